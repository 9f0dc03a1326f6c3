"""The server that plays a recording: what it waits for, renames, and says to other clients."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio
from simulated import SLOW, open_simulated, records, speech
from trio.testing import MockClock

from realtime_trio._order import assert_order
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio._transport.contract import Close
from realtime_trio.errors import LocalProtocolError, ServerError
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ErrorDetail,
    ErrorEvent,
    Event,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    RealtimeSession,
    Response,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemAdded,
    ServerEvent,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    TranslationSessionClose,
    TranslationSessionClosed,
    TranslationSessionInputAudioBufferAppend,
    UnknownEvent,
    UserMessage,
)
from realtime_trio.recording import Recording, WireRecord
from realtime_trio.simulator import Pacing, Reply, open_simulator_transport
from realtime_trio.simulator.replay import ReplayServer

SESSION = RealtimeSession(id="sess_1", model="gpt-realtime")
UPDATE = SessionUpdate(event_id="c1", session=SessionConfig(instructions="be kind"))
CREATED = SessionCreated(event_id="event_1", session=SESSION)
UPDATED = SessionUpdated(event_id="event_2", session=SESSION)


def said(event: ServerEvent, time: float = 0.0) -> WireRecord:
    return WireRecord(time, "server", event)


def sent(event: Event, time: float = 0.0) -> WireRecord:
    return WireRecord(time, "client", event)


def replay(
    *steps: WireRecord, speed: float = math.inf, kind: SessionKind = SessionKind.REALTIME
) -> ReplayServer:
    server = ReplayServer(Recording(records=steps, kind=kind), speed=speed)
    server.connect(100.0)
    return server


def joined(item_id: str, text: str = "hello") -> ConversationItemAdded:
    return ConversationItemAdded(
        event_id=f"event_{item_id}", item=UserMessage.text(text, id=item_id)
    )


async def recorded(
    body: Callable[[Session], Awaitable[object]],
    *replies: Reply,
    pacing: Pacing = SLOW,
    **options: Any,
) -> Recording:
    async with open_simulated(*replies, pacing=pacing, **options) as session:
        wire = session.wire()
        await body(session)
        return Recording.of(records(wire))


# --- whole sessions -------------------------------------------------------------------------------


async def test_a_recorded_conversation_can_be_had_again(autojump_clock: MockClock) -> None:
    async def talk(session: Session) -> list[str]:
        answers = [await session.ask(question) for question in ("Hello!", "And you?")]
        return [answer.text or answer.transcript for answer in answers]

    recording = await recorded(talk, Reply.text("Good day."), Reply.text("Fine."))
    start = trio.current_time()
    server = ReplayServer(recording)
    async with (
        open_simulator_transport(server) as transport,
        open_session(transport=transport, strict=True) as session,
    ):
        wire = session.wire()
        assert await talk(session) == ["Good day.", "Fine."]
    assert server.is_finished
    assert server.expected is None
    assert_order(records(wire))
    assert trio.current_time() - start == pytest.approx(recording.records[-1].time)


async def test_it_can_be_had_in_no_time(autojump_clock: MockClock) -> None:
    async def talk(session: Session) -> None:
        await session.ask("Hello!")

    recording = await recorded(talk, Reply.text("Good day, how are you?"))
    start = trio.current_time()
    async with (
        open_simulator_transport(ReplayServer(recording, speed=math.inf)) as transport,
        open_session(transport=transport) as session,
    ):
        await talk(session)
    assert trio.current_time() == start


async def test_tools_push_to_talk_and_interruptions_are_played_as_well(
    autojump_clock: MockClock,
) -> None:
    async def talk(session: Session) -> None:
        await session.insert_item(UserMessage.text("Look!"))
        with session.events(ResponseDone) as done:
            await session.respond()
            [call] = (await done.receive()).response.output
            assert isinstance(call, FunctionCall)
            await session.send_tool_output(str(call.call_id), "a tree")
            await done.receive()
        async with session.user_turn():
            await session.append_audio(speech(300))
        await session.wait_for(ResponseOutputItemAdded)
        await session.cancel_response()
        await session.wait_for(ResponseDone)

    options: dict[str, Any] = {"tools": [FunctionTool(name="look")], "turn_detection": None}
    recording = await recorded(
        talk, Reply.call("look"), Reply.text("It is green."), Reply.text("A long story"), **options
    )
    server = ReplayServer(recording)
    async with (
        open_simulator_transport(server) as transport,
        open_session(transport=transport, strict=True, **options) as session,
    ):
        wire = session.wire()
        await talk(session)
    assert server.is_finished
    assert_order(records(wire))


async def test_a_session_that_does_something_else_is_told_so(autojump_clock: MockClock) -> None:
    async def talk(session: Session) -> None:
        await session.ask("Hello!")

    server = ReplayServer(await recorded(talk, Reply.text("Good day.")))
    async with (
        open_simulator_transport(server) as transport,
        open_session(transport=transport) as session,
    ):
        with pytest.raises(
            ServerError,
            match=r"goes on with 'conversation\.item\.create' from the client, "
            r"but 'session\.update' came",
        ):
            await session.update(instructions="be unkind")
        await talk(session)


# --- waiting --------------------------------------------------------------------------------------


def test_what_the_server_says_waits_for_what_the_client_had_sent() -> None:
    server = replay(said(CREATED), sent(UPDATE), said(UPDATED))
    assert (server.next_due, server.expected) == (100.0, "session.update")
    assert server.take_due(100.0) == (CREATED,)
    assert (server.next_due, server.is_finished) == (None, False)
    assert server.take_due(500.0) == ()
    server.receive(UPDATE, 500.0)
    assert server.take_due(500.0) == (UPDATED,)
    assert (server.next_due, server.expected, server.is_finished, server.close) == (
        None,
        None,
        True,
        None,
    )


def test_it_takes_as_long_as_it_took_then() -> None:
    server = replay(
        said(CREATED), sent(UPDATE, 5.0), said(UPDATED, 7.0), said(joined("u"), 8.0), speed=2.0
    )
    assert server.take_due(100.0) == (CREATED,)
    server.receive(UPDATE, 200.0)
    assert server.next_due == 201.0
    assert server.take_due(200.9) == ()
    assert server.take_due(201.0) == (UPDATED,)
    assert server.next_due == 201.5
    assert server.take_due(300.0) == (joined("u"),)


def test_what_is_on_record_late_makes_nothing_wait_longer() -> None:
    # The beginning of another connection stands behind what was said on the first one meanwhile.
    again = attrs.evolve(CREATED, event_id="event_9")
    server = replay(
        said(CREATED), said(joined("u"), 9.0), said(again, 2.0), said(joined("v"), 10.0), speed=1.0
    )
    server.take_due(100.0)
    assert server.take_due(109.0) == (joined("u"), again)
    assert server.next_due == 110.0


def test_a_client_may_be_ahead_of_the_recording() -> None:
    create = ConversationItemCreate(item=UserMessage.text("hello", id="u"))
    server = replay(
        said(CREATED, 1.0),
        sent(UPDATE, 1.0),
        said(UPDATED, 2.0),
        sent(create, 2.0),
        said(joined("u"), 3.0),
        speed=1.0,
    )
    server.receive(UPDATE, 100.0)
    server.receive(create, 100.0)
    assert server.next_due == 101.0
    assert server.take_due(101.0) == (CREATED,)
    assert server.take_due(102.5) == (UPDATED,)
    assert server.take_due(103.0) == (joined("u"),)


def test_of_audio_it_is_the_amount_that_counts() -> None:
    started = InputAudioBufferSpeechStarted(event_id="event_3", audio_start_ms=0, item_id="u")
    committed = InputAudioBufferCommitted(event_id="event_4", item_id="u")
    pieces = [sent(InputAudioBufferAppend(audio=bytes(4))) for _ in range(3)]
    server = replay(
        said(CREATED),
        *pieces[:2],
        said(started),
        *pieces,
        sent(InputAudioBufferCommit()),
        said(committed),
    )
    server.take_due(100.0)
    for _ in range(3):
        server.receive(InputAudioBufferAppend(audio=bytes(2)), 101.0)
    assert server.take_due(101.0) == ()
    server.receive(InputAudioBufferAppend(audio=bytes(2)), 102.0)
    assert server.take_due(102.0) == (started,)
    server.receive(InputAudioBufferCommit(), 103.0)  # this client has less to say
    assert server.take_due(103.0) == (committed,)
    assert server.is_finished


def test_more_audio_than_then_is_no_surprise_and_brings_nothing_forward() -> None:
    started = [
        InputAudioBufferSpeechStarted(event_id=f"event_{n}", audio_start_ms=0, item_id="u")
        for n in (3, 4)
    ]
    append = InputAudioBufferAppend(audio=bytes(4))
    server = replay(
        sent(append),
        said(started[0]),
        sent(InputAudioBufferCommit()),
        sent(append),
        said(started[1]),
    )
    for _ in range(3):
        server.receive(append, 100.0)
    server.receive(InputAudioBufferCommit(), 100.0)
    assert server.take_due(100.0) == (started[0],)
    server.receive(append, 100.0)
    assert server.take_due(100.0) == (started[1],)


def test_messages_that_were_no_events_are_left_out() -> None:
    strange = UnknownEvent(event_id="event_9", type="session.hum", raw={})
    server = replay(
        said(CREATED), said(strange), sent(UnknownEvent(type="hum", raw={})), said(UPDATED)
    )
    assert server.take_due(100.0) == (CREATED,)
    server.receive(UnknownEvent(type="hum", raw={"other": 1}), 100.0)
    assert server.take_due(100.0) == (UPDATED,)


def test_a_speed_of_nothing_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="speed is 0"):
        ReplayServer(Recording(records=()), speed=0)


# --- something else -------------------------------------------------------------------------------


def test_an_unexpected_event_is_refused_and_the_recording_goes_on_waiting() -> None:
    server = replay(said(CREATED), sent(UPDATE), said(UPDATED))
    server.take_due(100.0)
    server.receive(ConversationItemDelete(event_id="mine", item_id="u"), 101.0)
    assert server.next_due == 101.0
    [refusal] = server.take_due(101.0)
    assert isinstance(refusal, ErrorEvent)
    assert refusal.error == ErrorDetail(
        type="invalid_request_error",
        code="unexpected_event",
        message="The recording goes on with 'session.update' from the client, "
        "but 'conversation.item.delete' came.",
        event_id="mine",
    )
    server.receive(UPDATE, 102.0)
    assert server.take_due(102.0) == (UPDATED,)
    server.receive(UPDATE, 103.0)
    [refusal] = server.take_due(103.0)
    assert isinstance(refusal, ErrorEvent)
    assert "goes on with nothing more from the client" in refusal.error.message


# --- ids ------------------------------------------------------------------------------------------


def test_ids_that_the_client_makes_take_the_place_of_those_of_then() -> None:
    then = ConversationItemCreate(
        event_id="then", item=UserMessage.text("hello", id="item_then"), previous_item_id="root"
    )
    now = ConversationItemCreate(
        event_id="now",
        item=UserMessage.text("good morning", id="item_now"),
        previous_item_id="root",
    )
    problem = ErrorDetail(type="x", message="the item 'item_then' is 'odd'", event_id="then")
    server = replay(
        sent(then),
        said(joined("item_then", "item_then")),
        said(ErrorEvent(event_id="event_9", error=problem)),
    )
    server.receive(now, 100.0)
    added, refused = server.take_due(100.0)
    assert added == attrs.evolve(
        joined("item_then", "item_then"), item=UserMessage.text("item_then", id="item_now")
    )
    assert isinstance(refused, ErrorEvent)
    assert refused.error == attrs.evolve(
        problem, message="the item 'item_now' is 'odd'", event_id="now"
    )


def test_an_item_that_had_no_name_then_gets_the_one_it_has_now() -> None:
    call = FunctionCall(name="look", arguments="{}", call_id="call_1", id="item_call")
    server = replay(
        sent(UPDATE),
        sent(ConversationItemCreate(item=UserMessage.text("hello", id="item_named"))),
        sent(ConversationItemCreate(item=UserMessage.text("hello"))),
        sent(ConversationItemCreate(item=UserMessage.text("again"))),
        said(InputAudioBufferCommitted(event_id="event_1", item_id="item_spoken")),
        said(joined("item_spoken")),
        said(
            ResponseOutputItemAdded(event_id="event_2", response_id="r", output_index=0, item=call)
        ),
        said(ConversationItemAdded(event_id="event_3", item=call)),
        said(joined("item_named")),
        said(joined("item_7")),
        said(joined("item_8")),
        said(
            ConversationItemAdded(
                event_id="event_4",
                item=FunctionCallOutput(call_id="call_1", output="", id="item_9"),
            )
        ),
    )
    server.receive(UPDATE, 100.0)
    server.receive(ConversationItemCreate(item=UserMessage.text("hello", id="item_a")), 100.0)
    server.receive(ConversationItemCreate(item=UserMessage.text("hello", id="item_b")), 100.0)
    server.receive(ConversationItemCreate(item=UserMessage.text("hello")), 100.0)
    added = [
        event.item.id
        for event in server.take_due(100.0)
        if isinstance(event, ConversationItemAdded)
    ]
    assert added == ["item_spoken", "item_call", "item_a", "item_b", "item_8", "item_9"]


def test_a_nameless_item_that_was_never_added_leaves_every_name_alone() -> None:
    server = replay(sent(ConversationItemCreate(item=UserMessage.text("hello"))), said(CREATED))
    server.receive(ConversationItemCreate(item=UserMessage.text("hello", id="item_a")), 100.0)
    assert server.take_due(100.0) == (CREATED,)


def test_responses_repeat_the_metadata_of_the_request_of_now() -> None:
    tagged = [
        ResponseCreate(response=ResponseConfig(metadata={"tag": tag})) for tag in ("then", "other")
    ]
    answers = [
        ResponseCreated(event_id="event_1", response=Response(id="r", metadata={"tag": tag}))
        for tag in ("then", "other", "none")
    ]
    server = replay(*map(sent, tagged), sent(ResponseCreate()), *map(said, answers))
    server.receive(ResponseCreate(response=ResponseConfig(metadata={"tag": "now"})), 100.0)
    server.receive(ResponseCreate(), 100.0)
    server.receive(ResponseCreate(response=ResponseConfig(metadata={"tag": "new"})), 100.0)
    metadata = [
        event.response.metadata
        for event in server.take_due(100.0)
        if isinstance(event, ResponseCreated)
    ]
    assert metadata == [{"tag": "now"}, None, {"tag": "none"}]


# --- the end --------------------------------------------------------------------------------------


def test_a_translation_is_closed_after_its_last_word() -> None:
    append = TranslationSessionInputAudioBufferAppend(audio=bytes(4))
    steps = [
        sent(append),
        sent(TranslationSessionClose()),
        said(TranslationSessionClosed(event_id="event_1")),
    ]
    server = replay(*steps, kind=SessionKind.TRANSLATION)
    assert server.kind is SessionKind.TRANSLATION
    server.receive(append, 100.0)
    server.receive(TranslationSessionClose(), 100.0)
    assert server.close is None
    server.take_due(100.0)
    assert server.close == Close(1000)


def test_a_session_that_expired_then_expires_now() -> None:
    expired = ErrorEvent(
        event_id="event_2", error=ErrorDetail(type="x", code="session_expired", message="over")
    )
    server = replay(said(CREATED), said(expired))
    assert server.take_due(100.0) == (CREATED, expired)
    assert server.close == Close(1001, "session_expired")
