"""The streams and updates of a session, with a server that says what a test tells it to."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
import trio
from peers import (
    Leaves,
    Updates,
    committed,
    created,
    delete,
    deleted,
    failure,
    fill,
    instructions_of,
    memory_server,
    open_pair,
    tasks,
    updated,
)
from simulated import open_simulated, types_sent
from trio.testing import MockClock, wait_all_tasks_blocked
from websocket_peers import TEXT, accept_upgrade, frame, open_peer, read_to_the_end

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._runtime.hub import EventStream
from realtime_trio._session.ids import generate_id
from realtime_trio._session.opening import open_session
from realtime_trio._session.responses import Answer
from realtime_trio._session.voice import Session
from realtime_trio._state.utility_events import ItemAppended, ItemCompleted
from realtime_trio.errors import (
    ConnectionLost,
    RemoteProtocolError,
    ServerError,
    SlowConsumer,
)
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemDelete,
    ErrorEvent,
    Event,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    RealtimeSession,
    ResponseDone,
    ServerEvent,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    TranscriptionSession,
    UnknownEvent,
)
from realtime_trio.recording import WireRecord
from realtime_trio.simulator import Reply

if TYPE_CHECKING:
    from typing import assert_type


# Looking


async def test_the_first_stream_does_not_miss_the_beginning(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, _):
        assert isinstance(await session.events().receive(), SessionCreated)


async def test_break_then_resume_loses_nothing(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        stream = session.events(InputAudioBufferCommitted)
        await server.say(*map(committed, range(4)))
        async for event in stream:
            assert event.item_id == "item_0"
            break
        await server.say(committed(4))
        await server.transport.aclose()
        assert [event.item_id async for event in stream] == ["item_1", "item_2", "item_3", "item_4"]


async def test_every_consumer_has_a_view_of_its_own(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        everything, commits, both = (
            session.events(),
            session.events(InputAudioBufferCommitted),
            session.events(InputAudioBufferCommitted, InputAudioBufferCleared),
        )
        await server.say(committed(1), InputAudioBufferCleared(event_id="event_2"), committed(3))
        await server.transport.aclose()
        assert [event.event_id async for event in everything if isinstance(event, ServerEvent)] == [
            "event_created",
            "event_1",
            "event_2",
            "event_3",
        ]
        assert [event.event_id async for event in commits] == ["event_1", "event_3"]
        assert [event.event_id async for event in both] == ["event_1", "event_2", "event_3"]


def test_types_narrow_a_stream_for_the_type_checker_too() -> None:
    if TYPE_CHECKING:

        async def narrowed(session: Session) -> None:
            assert_type(session.events(), EventStream[Event])
            assert_type(
                session.events(InputAudioBufferCommitted), EventStream[InputAudioBufferCommitted]
            )
            assert_type(
                session.events(SessionCreated, ErrorEvent), EventStream[SessionCreated | ErrorEvent]
            )
            assert_type(await session.wait_for(ErrorEvent), ErrorEvent)
            assert_type(
                await session.wait_for(ErrorEvent, SessionCreated), ErrorEvent | SessionCreated
            )
            assert_type(session.wire(), EventStream[WireRecord])


async def test_waiting_for_an_event_gives_the_next_one_and_no_earlier_one(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        stream = session.events(InputAudioBufferCommitted)
        await server.say(committed(1))
        assert (await stream.receive()).item_id == "item_1"
        got: list[InputAudioBufferCommitted | InputAudioBufferCleared] = []

        async def wait() -> None:
            got.append(await session.wait_for(InputAudioBufferCommitted, InputAudioBufferCleared))

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        await server.say(failure("something else"), committed(2), committed(3))
        await wait_all_tasks_blocked()
        assert got == [committed(2)]


async def test_the_first_stream_brings_the_beginning(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, _):
        await trio.sleep(1)
        assert isinstance(await session.events().receive(), SessionCreated)
        assert session.events().pending == 0


async def test_once_something_was_waited_for_a_stream_begins_where_it_is_opened(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):
        with trio.move_on_after(1):
            await session.wait_for(SessionCreated)
        with session.events() as events, session.wire() as wire:
            assert (events.pending, wire.pending) == (0, 0)
            await server.say(committed(1))
            assert await events.receive() == committed(1)


async def test_once_something_was_sent_a_stream_begins_where_it_is_opened(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("One."), Reply.text("Two.")) as session:
        assert (await session.ask("One?")).text == "One."
        with session.events(ResponseDone) as done:
            await session.send_message("Two?")
            response = (await done.receive()).response
    assert Answer(response=response, audio=np.empty(0, np.int16)).text == "Two."


async def test_a_stream_opened_right_after_a_question_brings_all_of_the_answer(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("One."), output_modalities=["text"]) as session:
        await session.send_message("One?")
        types = []
        async for event in session.events(ServerEvent):
            types.append(event.type)
            if isinstance(event, ResponseDone):
                break
    assert types[:2] == ["conversation.item.added", "conversation.item.done"]
    assert "response.created" in types


async def test_a_history_is_not_something_that_the_block_has_sent(
    autojump_clock: MockClock,
) -> None:
    history = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
    ]
    async with open_simulated(history=history) as session:
        wire = session.wire()
        assert isinstance(await session.events().receive(), SessionCreated)
        assert "conversation.item.create" in types_sent(wire)


async def test_the_wire_shows_both_directions_with_time_and_sender(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):
        wire = session.wire()
        start = trio.current_time()
        await trio.sleep(1)
        await session.send(InputAudioBufferCommit())
        await server.hear(InputAudioBufferCommit)
        await trio.sleep(1)
        await server.say(committed(1))
        records = [await wire.receive() for _ in range(3)]
        assert [(record.time - start, record.source, record.event) for record in records] == [
            (0, "server", created()),
            (1, "client", InputAudioBufferCommit(event_id="evt_1")),
            (2, "server", committed(1)),
        ]


async def test_the_wire_shows_what_is_about_to_be_written_before_it_is(
    autojump_clock: MockClock,
) -> None:
    async with open_pair(network=1) as (session, _):
        wire = session.wire(capacity=10)
        for number in range(4):
            await session.send(delete(number))
        await wait_all_tasks_blocked()
        records = [wire.receive_nowait() for _ in range(wire.pending)]
        assert deleted([record.event for record in records]) == [
            0,
            1,
        ]  # 0 has arrived, 1 is being written, 2 and 3 are queued


async def test_the_wire_does_not_show_what_could_not_be_written(autojump_clock: MockClock) -> None:
    with Leaves(ConnectionLost):
        async with open_pair(network=1) as (session, server):
            wire = session.wire()
            for number in range(10):
                await session.send(delete(number))
            await wait_all_tasks_blocked()
            server.drop()
            await trio.sleep_forever()
    assert deleted([record.event async for record in wire]) == [0, 1]


async def test_an_event_from_the_future_is_delivered_without_a_word(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    async with open_pair() as (session, server):
        stream = session.events(UnknownEvent)
        await server.transport.send(
            '{"type": "response.hologram.delta", "event_id": "event_1", "shape": "a cube"}'
        )
        event = await stream.receive()
    assert (event.type, event.event_id, event.problem) == (
        "response.hologram.delta",
        "event_1",
        None,
    )
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (
            '{"type": "error", "event_id": "event_1", '
            '"error": {"message": 5, "type": "my secret text"}}',
            "error",
        ),
        ("my secret text", ""),
        (b"\xff my secret text", ""),
        ('["my secret text"]', ""),
    ],
)
async def test_what_cannot_be_decoded_is_delivered_and_warned_about_once_without_its_content(
    message: str | bytes, kind: str, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_pair() as (session, server):
        stream, later = session.events(UnknownEvent), session.events(InputAudioBufferCommitted)
        await server.transport.send(message)
        await server.say(committed(1))
        event = await stream.receive()
        assert event.type == kind
        assert event.problem is not None
        assert (await later.receive()).item_id == "item_1"
    [warning] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert warning.name == "realtime_trio"
    assert "my secret text" not in caplog.text


async def test_a_strict_session_ends_with_what_cannot_be_decoded(autojump_clock: MockClock) -> None:
    with Leaves(RemoteProtocolError, match="not JSON") as caught:
        async with open_pair(strict=True) as (_, server):
            await server.transport.send("garbage")
            await trio.sleep_forever()
    assert (caught.value.__cause__, getattr(caught.value, "__notes__", [])) == (None, [])
    assert server.transport.closed is not None


async def test_a_strict_session_that_is_being_left_does_not_wait_for_a_sender_that_is_gone(
    autojump_clock: MockClock,
) -> None:
    start = trio.current_time()
    with Leaves(RemoteProtocolError):
        async with open_pair(strict=True, network=1) as (session, server):
            await fill(session)
            await server.transport.send("garbage")
    assert trio.current_time() == start


async def test_logs_tell_kinds_and_sizes_and_never_what_was_said(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_pair() as (session, server):
        await session.send(SessionUpdate(session=SessionConfig(instructions="my secret text")))
        await server.hear(SessionUpdate)
        stream = session.events(SessionUpdated)
        await server.say(updated("my secret text"))
        await stream.receive()
    assert "sending session.update (" in caplog.text
    assert "received session.updated (" in caplog.text
    assert "my secret text" not in caplog.text


async def test_a_session_does_not_show_what_it_knows(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, _):
        assert "as you like" not in repr(session)


# Updating


async def test_an_update_returns_the_whole_configuration_once_the_server_has_taken_it(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        got: list[RealtimeSession] = []

        async def change() -> None:
            got.append(await session.update(instructions="be brief", turn_detection=None))

        nursery.start_soon(change)
        update = await server.hear(SessionUpdate)
        assert update.session == SessionConfig.of(instructions="be brief", turn_detection=None)
        await server.say(committed(1))
        await wait_all_tasks_blocked()
        assert got == []
        await server.say(updated("be brief"))
        await wait_all_tasks_blocked()
        assert got == [session.config]
        assert session.config.instructions == "be brief"


async def test_an_update_takes_a_configuration_or_keywords_and_no_misspelt_ones(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):
        with pytest.raises(TypeError, match="either a SessionConfig or keywords"):
            await session.update(SessionConfig(), voice="marin")
        with pytest.raises(TypeError, match="unexpected keyword 'voize'"):
            await session.update(voize="marin")  # type: ignore[call-arg]  # the point of the test
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.update, SessionConfig(instructions="be brief"))
            assert (await server.hear(SessionUpdate)).session == SessionConfig(
                instructions="be brief"
            )
            await server.say(updated("be brief"))


async def test_two_updates_at_once_get_their_own_answers(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        updates = Updates(session, nursery)
        await updates.start("one")
        await updates.start("two")
        assert [instructions_of(await server.hear(SessionUpdate)) for _ in range(2)] == [
            "one",
            "two",
        ]
        await server.say(updated("one"), updated("two"))
        await wait_all_tasks_blocked()
        assert updates.outcomes == {"one": "one", "two": "two"}
        assert session.config.instructions == "two"


async def test_updates_that_wait_for_the_network_get_their_own_answers(
    autojump_clock: MockClock,
) -> None:
    async with open_pair(network=1) as (session, server), trio.open_nursery() as nursery:
        updates = Updates(session, nursery)
        waiting = await fill(session)
        for name in ("one", "two", "three"):
            await updates.start(name)
        for _ in range(waiting):
            await server.hear(ConversationItemDelete)
        for name in ("one", "two", "three"):
            assert instructions_of(await server.hear(SessionUpdate)) == name
            await server.say(updated(name))
        await wait_all_tasks_blocked()
        assert updates.outcomes == {"one": "one", "two": "two", "three": "three"}


async def test_a_refused_update_says_why_while_another_one_goes_through(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        updates = Updates(session, nursery)
        await updates.start("one")
        await updates.start("two")
        await server.hear(SessionUpdate)
        second = await server.hear(SessionUpdate)
        await server.say(failure("no", of=second.event_id))
        await wait_all_tasks_blocked()
        assert updates.outcomes == {"two": "ServerError"}
        await server.say(updated("one"))
        await wait_all_tasks_blocked()
        assert updates.outcomes == {"two": "ServerError", "one": "one"}
        assert session.config.instructions == "one"


async def test_a_refused_update_is_an_error_with_the_parameter_and_the_session_goes_on(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        stream = session.events(ErrorEvent)

        async def refuse() -> None:
            update = await server.hear(SessionUpdate)
            await server.say(
                failure(
                    "no such voice", code="invalid_value", param="session.voice", of=update.event_id
                )
            )

        nursery.start_soon(refuse)
        with pytest.raises(ServerError) as caught:
            await session.update(voice="nobody")
        assert (caught.value.code, caught.value.param, caught.value.event_id) == (
            "invalid_value",
            "session.voice",
            "evt_1",
        )
        assert (await stream.receive()).error.message == "no such voice"
        await session.send(InputAudioBufferClear())
        await server.hear(InputAudioBufferClear)


async def test_a_cancelled_update_does_not_steal_the_answer_of_the_next(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        updates = Updates(session, nursery)
        scope = trio.CancelScope()
        await updates.start("one", scope)
        scope.cancel()
        await updates.start("two")
        await server.say(updated("one"))
        await wait_all_tasks_blocked()
        assert updates.outcomes == {}
        await server.say(updated("two"))
        await wait_all_tasks_blocked()
        assert updates.outcomes == {"two": "two"}


async def test_an_update_cancelled_before_it_was_queued_expects_no_answer(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        updates = Updates(session, nursery)
        scope = trio.CancelScope()
        scope.cancel()
        await updates.start("one", scope)
        await updates.start("two")
        assert instructions_of(await server.hear(SessionUpdate)) == "two"
        await server.say(updated("two"))
        await wait_all_tasks_blocked()
        assert updates.outcomes == {"two": "two"}


RAW_UPDATE = {"type": "session.update", "session": {"type": "realtime", "instructions": "one"}}


@pytest.mark.parametrize(
    "sent",
    [
        SessionUpdate(session=SessionConfig(instructions="one")),
        {**RAW_UPDATE, "event_id": "mine"},
        RAW_UPDATE,
        {"type": "session.update", "session": {"type": "future", "speed": "high"}},
    ],
    ids=["typed", "raw", "raw without an id", "in a shape of another version"],
)
async def test_an_update_that_was_only_sent_does_not_answer_one_that_is_awaited(
    sent: SessionUpdate | dict[str, object], autojump_clock: MockClock
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        updates = Updates(session, nursery)
        if isinstance(sent, SessionUpdate):
            await session.send(sent)
        else:
            await session.send_raw(sent)
        await updates.start("two")
        await server.say(updated("one"))
        await wait_all_tasks_blocked()
        assert updates.outcomes == {}
        await server.say(updated("two"))
        await wait_all_tasks_blocked()
        assert updates.outcomes == {"two": "two"}


async def test_an_answer_of_another_kind_leaves_the_configuration_as_it_is(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        updates = Updates(session, nursery)
        await updates.start("one")
        await server.say(SessionUpdated(event_id="event_1", session=TranscriptionSession()))
        await wait_all_tasks_blocked()
        assert updates.outcomes == {"one": "as you like"}


async def test_an_update_without_an_answer_ends_with_the_session(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        async with open_pair() as (session, _):
            updates = Updates(session, nursery)
            await updates.start("one")
        await wait_all_tasks_blocked()
        assert updates.outcomes == {"one": "SessionClosed"}


# Not looking


async def test_a_consumer_that_stops_holds_nobody_up_and_is_told_what_it_missed(
    autojump_clock: MockClock,
) -> None:
    near, server = memory_server()
    await server.say(created())
    async with open_session(transport=near, capacity=4) as session:
        lazy = session.events(InputAudioBufferCommitted)
        keen = session.events(InputAudioBufferCommitted, capacity=1000)
        await server.say(committed(0))
        async for _ in lazy:
            break
        await server.say(*map(committed, range(1, 100)))
        await wait_all_tasks_blocked()
        assert keen.pending == 100
        assert [(await lazy.receive()).item_id for _ in range(4)] == [
            "item_1",
            "item_2",
            "item_3",
            "item_4",
        ]
        with pytest.raises(SlowConsumer) as caught:
            await lazy.receive()
        assert caught.value.dropped == 95
        await server.say(committed(100))
        assert (await lazy.receive()).item_id == "item_100"


async def test_a_session_that_does_nothing_has_one_task(autojump_clock: MockClock) -> None:
    before = tasks()
    async with open_pair():
        await wait_all_tasks_blocked()
        assert len(tasks() - before) == 1  # it receives


@pytest.mark.socket
async def test_a_session_on_a_socket_has_four_tasks_at_most() -> None:
    async def script(stream: trio.SocketStream) -> None:
        opening = Codec(Role.SERVER).encode(created()).encode()
        await accept_upgrade(stream, frame(TEXT, opening))
        await read_to_the_end(stream)

    async with open_peer(script) as url:
        before = tasks()
        async with open_session(url=url):
            # One more is the server's.
            assert len(tasks() - before) <= 4 + 1


def test_ids_are_as_long_as_the_services_own_and_never_twice_the_same() -> None:
    ids = {generate_id("evt_") for _ in range(1000)}
    assert len(ids) == 1000
    assert {(event_id[:4], len(event_id), event_id.isascii()) for event_id in ids} == {
        ("evt_", 21, True)
    }


def test_letters_of_ids_are_about_equally_likely_in_every_place() -> None:
    ids = [generate_id("evt_") for _ in range(20_000)]
    for place in range(4, 21):
        counts = Counter(event_id[place] for event_id in ids)
        # 345 of each on average, with a standard deviation of 18.
        assert len(counts) == 58
        assert 150 < min(counts.values()) <= max(counts.values()) < 600


async def test_a_consumer_that_stops_holds_on_to_so_many_bytes_and_no_more(
    autojump_clock: MockClock,
) -> None:
    near, server = memory_server()
    await server.say(created())
    async with open_session(transport=near) as session:
        session._hub._room = session._wire._room = 10_000  # instead of 128 MiB
        events, appended, wire = session.events(), session.events(ItemAppended), session.wire()
        while events.pending:  # what was kept of the beginning
            events.receive_nowait()
        while wire.pending:
            wire.receive_nowait()
        for number in range(5):
            await server.transport.send(
                '{"type": "conversation.item.added", "event_id": "e", "item": {"type": "message", '
                f'"id": "item_{number}", "role": "user", "status": "completed", "content": '
                f'[{{"type": "input_text", "text": "{"x" * 6000}"}}]}}}}'
            )
        await wait_all_tasks_blocked()
        # Of two messages everything is there, what follows from them included.
        types = [type(events.receive_nowait()) for _ in range(events.pending)]
        assert types == [ConversationItemAdded, ItemAppended, ItemCompleted] * 2
        for stream in (wire, appended):
            assert stream.pending == 2
            stream.receive_nowait()
            stream.receive_nowait()
        for laggard, missed in ((events, 9), (wire, 3), (appended, 3)):
            with pytest.raises(SlowConsumer) as caught:
                laggard.receive_nowait()
            assert caught.value.dropped == missed
