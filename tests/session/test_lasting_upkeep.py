"""Sessions that go on over another connection: after a loss, on demand, before the end."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pytest
import trio
from lasting_talk import (
    client_lines,
    ids_of,
    open_lasting,
    server_lines,
    service_of,
    taken,
)
from simulated import SLOW
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._session.opening import open_session
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio.errors import (
    ConnectionFailed,
    ConnectionLost,
    LocalProtocolError,
    RequestLost,
    ServerError,
    SessionClosed,
)
from realtime_trio.events import (
    ConversationItemRetrieve,
    Event,
    ResponseDone,
    SessionCreated,
    UserMessage,
)
from realtime_trio.lasting import Loss, Reconnect, Reconnected, Reconnecting
from realtime_trio.recording import read_recording
from realtime_trio.simulator import Fault, Reply, Script, SimulatedService
from realtime_trio.testing import assert_order
from realtime_trio.tools import tool

NOTHING: Final = Loss()
COUNTING: Final = Reply.text("One, two, three, four, five, six.", pacing=SLOW)


async def test_a_session_goes_on_over_another_connection(autojump_clock: MockClock) -> None:
    service = service_of(Reply.text("One."), Reply.text("Two."))
    async with open_lasting(service, instructions="Be brief.", turn_detection=None) as session:
        events = session.events(Reconnecting, Reconnected, SessionCreated)
        assert (await session.ask("A?")).text == "One."
        service.drop()
        assert (await session.ask("B?")).text == "Two."
        assert len(service.servers) == 2
        assert server_lines(service.server) == client_lines(session)
        assert ids_of(service.server.items) == ids_of(session.conversation.items)
        assert session.config.instructions == "Be brief."
        assert session.closed is None
        created, reconnecting, reconnected = taken(events)
        assert isinstance(created, SessionCreated)
        assert reconnecting == Reconnecting(
            attempt=1, why="connection lost: 1006 the connection dropped"
        )
        assert isinstance(reconnected, Reconnected)
        (omission,) = reconnected.lost.omissions
        assert omission.item_id == session.conversation.items[1].id
        assert omission.reason == "the model's speech is told as its transcript"
        assert reconnected.lost == Loss(omissions=(omission,))
        assert 125 <= reconnected.gap_ms <= 250


async def test_without_a_policy_a_lost_connection_ends_the_session(
    autojump_clock: MockClock,
) -> None:
    service = service_of()

    async def talk() -> None:
        async with open_session(transport=service.open) as session:
            with pytest.raises(LocalProtocolError, match=r"open_session\(reconnect=Reconnect"):
                await session.restart()
            service.drop()
            await trio.sleep_forever()

    with pytest.raises(ConnectionLost):
        await talk()


async def test_with_a_transport_there_is_no_other_to_be_had() -> None:
    transport, _ = memory_transport_pair()
    with pytest.raises(LocalProtocolError, match="a function that opens one"):
        async with open_session(transport=transport, reconnect=Reconnect()):
            raise AssertionError


# What is under way


async def test_a_message_whose_acknowledgement_was_lost_is_there_once(
    autojump_clock: MockClock,
) -> None:
    service = SimulatedService(
        faults=lambda number: [Fault.drop("conversation.item.added")] if number == 1 else []
    )
    async with open_lasting(service) as session:
        item = await session.insert_item(UserMessage.text("Hello!"))
        assert server_lines(service.server) == [("user", "Hello!")]
        assert ids_of(service.server.items) == [item.id]
        assert client_lines(session) == [("user", "Hello!")]


async def test_what_is_sent_meanwhile_waits_and_keeps_its_order(
    autojump_clock: MockClock,
) -> None:
    service = service_of(Reply.text("Hello."))
    async with open_lasting(service) as session:
        service.refuse(None)
        service.drop()
        await wait_all_tasks_blocked()
        for word in ("one", "two", "three"):
            await session.send_message(word, respond=False)
        answer = await session.ask("four")
        assert answer.text == "Hello."
        assert [words for _, words in server_lines(service.server)] == [
            "one",
            "two",
            "three",
            "four",
            "Hello.",
        ]
        assert server_lines(service.server) == client_lines(session)


async def test_an_update_that_nobody_confirmed_is_made_again(autojump_clock: MockClock) -> None:
    service = SimulatedService(
        faults=lambda number: [Fault.drop("session.updated", nth=2)] if number == 1 else []
    )
    async with open_lasting(service, instructions="One.", voice="marin") as session:
        config = await session.update(instructions="Two.")
        assert config.instructions == session.config.instructions == "Two."
        assert config.audio is not None
        assert config.audio.output is not None
        assert config.audio.output.voice == "marin"
        service.drop()
        config = await session.update(turn_detection=None)
        assert config.instructions == "Two."


async def test_what_an_item_that_was_to_be_deleted_said_is_not_told_again(
    autojump_clock: MockClock,
) -> None:
    service = SimulatedService(
        faults=lambda number: [Fault.drop("conversation.item.deleted")] if number == 1 else []
    )
    async with open_lasting(service) as session:
        item = await session.insert_item(UserMessage.text("Forget it."))
        await session.insert_item(UserMessage.text("Hello!"))
        await session.delete_item(item)
        await session.wait_for(Reconnected)
        assert client_lines(session) == server_lines(service.server) == [("user", "Hello!")]


async def test_what_cannot_be_asked_again_fails_and_is_among_the_losses(
    autojump_clock: MockClock,
) -> None:
    service = SimulatedService(
        faults=lambda number: [Fault.drop("conversation.item.retrieved")] if number == 1 else []
    )
    async with open_lasting(service) as session:
        item = await session.insert_item(UserMessage.text("Hello!"))
        reconnected = session.events(Reconnected)
        with pytest.raises(RequestLost, match="went with the connection"):
            await session.retrieve_item(item)
        lost = (await reconnected.receive()).lost
        (request,) = lost.requests
        assert isinstance(request, ConversationItemRetrieve)
        assert lost == Loss(requests=(request,))


# Responses


async def test_a_response_that_was_cut_is_reported_and_asked_for_again(
    autojump_clock: MockClock,
) -> None:
    service = service_of(
        Reply.text("One, two, three, four, five, six.", pacing=SLOW), Reply.text("Seven.")
    )
    async with open_lasting(service) as session, trio.open_nursery() as nursery:
        done, reconnected = session.events(ResponseDone), session.events(Reconnected)
        answers: list[str] = []

        async def ask() -> None:
            answers.append((await session.ask("Count!")).text)

        nursery.start_soon(ask)
        await trio.sleep(2.5)
        assert session.conversation.items[-1].status == "in_progress"
        service.drop()
        await wait_all_tasks_blocked()
        cut = (await done.receive()).response
        assert cut.status == "cancelled"
        assert cut.status_details is not None
        assert cut.status_details.reason == "connection_lost"
        assert session.conversation.items[-1].status == "incomplete"
        assert session.conversation.items[-1].is_interrupted
        assert (await done.receive()).response.status == "completed"
        lost = (await reconnected.receive()).lost
        assert lost.responses == (cut.id,)
        await wait_all_tasks_blocked()
        assert answers == ["Seven."]


async def test_a_response_that_was_cut_can_be_dropped(autojump_clock: MockClock) -> None:
    service = service_of(
        Reply.text("One, two, three, four, five, six.", pacing=SLOW), Reply.text("Seven.")
    )
    async with open_lasting(service, Reconnect(resume="drop")) as session:
        with trio.move_on_after(60):
            async with session.open_response() as response:
                await trio.sleep(2.5)
                service.drop()
                answer = await response.wait()
        assert answer.status == "cancelled"
        await session.wait_for(Reconnected)
        assert (await session.ask("And?")).text == "Seven."


async def test_a_response_that_is_followed_begins_anew(autojump_clock: MockClock) -> None:
    service = service_of(
        Reply.text("One, two, three, four, five, six.", pacing=SLOW), Reply.text("Seven.")
    )
    async with open_lasting(service) as session, session.open_response() as response:
        await trio.sleep(2.5)
        first = response.id
        service.drop()
        answer = await response.wait()
        assert answer.text == "Seven."
        assert response.id == answer.response.id != first
        assert len(answer.audio) == session.conversation.items[-1].audio_ms * 24


# Tools


async def test_a_call_goes_on_and_is_answered_over_another_connection(
    autojump_clock: MockClock,
) -> None:
    @tool
    async def look(where: str) -> str:
        """Look somewhere."""
        await trio.sleep(1)
        service.drop()
        await trio.sleep(5)
        return f"nothing {where}"

    service = service_of(Reply.call("look", where="there"), Reply.text("There is nothing."))
    async with open_lasting(service, tools=[look]) as session:
        reconnected = session.events(Reconnected)
        answer = await session.ask("What is there?")
        assert answer.text == "There is nothing."
        assert server_lines(service.server) == client_lines(session)
        assert [kind for kind, _ in server_lines(service.server)] == [
            "user",
            "call",
            "output",
            "assistant",
        ]
        assert (await reconnected.receive()).lost == NOTHING


async def test_an_output_that_nobody_confirmed_is_given_again(autojump_clock: MockClock) -> None:
    @tool
    async def look() -> str:
        """Look."""
        await trio.lowlevel.checkpoint()
        return "nothing"

    def faults(number: int) -> list[Fault]:
        # The user's message, the call, and then the output.
        return [Fault.drop("conversation.item.added", nth=3)] if number == 1 else []

    script = Script([Reply.call("look"), *2 * [Reply.text("There is nothing.")]])
    service = SimulatedService(script, faults=faults)
    async with open_lasting(service, tools=[look]) as session:
        assert (await session.ask("What is there?")).text == "There is nothing."
        assert server_lines(service.server) == client_lines(session)
        assert len(service.server.items) == 4


async def test_a_call_that_is_not_in_the_conversation_any_more_is_answered_in_a_message(
    autojump_clock: MockClock,
) -> None:
    service = service_of(Reply.call("look", where="there"), Reply.text("I see."))
    definition = tool(_look).definition
    async with open_lasting(service, tools=[definition]) as session:
        await session.send_message("What is there?")
        await session.wait_for(ResponseDone)
        (call,) = (item.call for item in session.conversation.items if item.call is not None)
        await session.delete_item(str(call.id))
        reconnected = session.events(Reconnected)
        service.drop()
        assert (await reconnected.receive()).lost == Loss(calls=(str(call.call_id),))
        with session.events(ResponseDone) as done:
            await session.send_tool_output(call, "nothing")
            await done.receive()
        assert server_lines(service.server)[1:] == [
            ("system", f"a function called before (call {call.call_id}) has returned: nothing"),
            ("assistant", "I see."),
        ]


async def _look(where: str) -> str:
    """Look somewhere."""
    await trio.lowlevel.checkpoint()
    raise AssertionError(where)


# The user's audio


async def test_audio_that_was_not_committed_is_said_again(autojump_clock: MockClock) -> None:
    service = service_of()
    async with open_lasting(service, turn_detection=None) as session:
        reconnected = session.events(Reconnected)
        await session.append_audio(np.arange(2400, dtype=np.int16))
        await trio.sleep(1)
        service.drop()
        await wait_all_tasks_blocked()
        await session.append_audio(np.arange(2400, dtype=np.int16))
        item_id = await session.commit_audio()
        assert item_id is not None
        item = session.conversation.get(item_id)
        assert item is not None
        assert item.audio_ms == 200
        assert np.array_equal(item.audio, [*range(2400), *range(2400)])
        (message,) = service.server.items
        assert message.id == item_id
        assert (await reconnected.receive()).lost == NOTHING


async def test_audio_that_waited_too_long_is_dropped_and_said_so(
    autojump_clock: MockClock,
) -> None:
    service = service_of()
    async with open_lasting(service, Reconnect(stale_audio=3.0), turn_detection=None) as session:
        reconnected = session.events(Reconnected)
        service.refuse(*[None] * 5)
        service.drop()
        await wait_all_tasks_blocked()
        await session.append_audio(np.zeros(2400, np.int16))
        lost = (await reconnected.receive()).lost
        assert lost == Loss(audio_ms=100)


# Giving up


async def test_what_is_refused_is_not_tried_again(autojump_clock: MockClock) -> None:
    service = service_of()
    refusals = None, ConnectionFailed("no such key", status=401)
    with pytest.raises(ConnectionLost, match="the connection dropped") as caught:
        await _ask_without_a_connection(service, Reconnect(), *refusals)
    assert caught.value.__notes__ == [
        "attempt 1: nobody answers",
        "attempt 2: no such key",
        "not tried again: it would be the same the next time",
    ]


async def _ask_without_a_connection(
    service: SimulatedService, policy: Reconnect, *refusals: Exception | None
) -> None:
    async with open_lasting(service, policy, instructions="Be brief.") as session:
        service.refuse(*refusals)
        service.drop()
        await session.ask("Hello?")


@pytest.mark.parametrize(
    ("fault", "story"),
    [
        (Fault.closing(4000, "no", on="session.created"), "closed the new connection: 4000 no"),
        (Fault.closing(1008, "no", on="session.updated"), "closed the new connection: 1008 no"),
    ],
)
async def test_a_new_connection_that_refuses_us_is_the_last_one(
    fault: Fault, story: str, autojump_clock: MockClock
) -> None:
    service = SimulatedService(faults=lambda number: [fault] if number > 1 else [])
    with pytest.raises(ConnectionLost) as caught:
        await _ask_without_a_connection(service, Reconnect())
    assert caught.value.__notes__ == [
        f"attempt 1: the service {story}",
        "not tried again: it would be the same the next time",
    ]


async def test_a_new_connection_that_breaks_at_once_is_not_the_last_one(
    autojump_clock: MockClock,
) -> None:
    faults = {2: Fault.drop("session.created"), 3: Fault.closing(1013, on="session.created")}
    service = SimulatedService(faults=lambda number: [faults[number]] if number in faults else [])
    async with open_lasting(service) as session:
        trying = session.events(Reconnecting)
        service.drop()
        await session.insert_item(UserMessage.text("Hello!"))
        assert [each.attempt for each in taken(trying)] == [1, 2, 3]


async def test_a_new_connection_that_says_nothing_is_given_up_in_time(
    autojump_clock: MockClock,
) -> None:
    def faults(number: int) -> list[Fault]:
        return [Fault.stall(on="session.created")] if number == 2 else []

    service = SimulatedService(faults=faults)
    async with open_lasting(service, connect_timeout=5.0) as session:
        trying = session.events(Reconnecting)
        service.drop()
        await session.insert_item(UserMessage.text("Hello!"))
        assert taken(trying)[1].why == "there was no other connection within 5 s"


@pytest.mark.parametrize("code", [3000, 4000, 1008])
async def test_a_close_that_refuses_us_is_the_end(code: int, autojump_clock: MockClock) -> None:
    fault = Fault.closing(code, "no", on="conversation.item.added")
    service = SimulatedService(faults=lambda _: [fault])
    with pytest.raises(ConnectionLost) as caught:
        async with open_lasting(service) as session:
            await session.ask("Hello?")
    assert caught.value.__notes__ == ["not tried again: it would be the same on another connection"]
    assert len(service.servers) == 1


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (Reconnect(attempts=2), "2 attempts are allowed"),
        (Reconnect(give_up_after=3.0), "3 s are allowed"),
        (Reconnect(attempts=0), "0 attempts are allowed"),
    ],
)
async def test_attempts_and_time_are_bounded(
    policy: Reconnect, why: str, autojump_clock: MockClock
) -> None:
    service = service_of()
    with pytest.raises(ConnectionLost) as caught:
        await _ask_without_a_connection(service, policy, *[None] * 99)
    assert caught.value.__notes__[-1] == f"not tried again: {why}"
    assert autojump_clock.current_time() < 10


async def test_the_last_attempt_has_time_and_is_the_last(autojump_clock: MockClock) -> None:
    service = SimulatedService()
    # Shortened at random, the first delay is 4 to 8 s, and the second one longer than what is left.
    policy = Reconnect(give_up_after=8.0, delay=8.0)
    async with open_lasting(service, policy) as session:
        trying = session.events(Reconnecting)
        service.refuse(None)
        service.drop()
        await session.insert_item(UserMessage.text("Hello!"))
        assert trio.current_time() < 8
        assert len(taken(trying)) == 2

    async def talk() -> None:
        async with open_lasting(service, policy) as session:
            service.refuse(None, None, None)
            service.drop()
            await session.ask("Hello?")

    with pytest.raises(ConnectionLost) as caught:
        await talk()
    assert caught.value.__notes__[1:] == [
        "attempt 2: nobody answers",
        "not tried again: 8 s are allowed",
    ]


async def test_connections_that_do_not_hold_count_on(autojump_clock: MockClock) -> None:
    fault = Fault.drop("conversation.item.added")
    service = SimulatedService(faults=lambda _: [fault])
    with pytest.raises(ConnectionLost) as caught:
        async with open_lasting(service, Reconnect(attempts=4)) as session:
            await session.ask("Hello?")
    assert len(service.servers) == 5
    assert caught.value.__notes__[-1] == "not tried again: 4 attempts are allowed"


async def test_a_clean_close_by_the_server_ends_the_session(autojump_clock: MockClock) -> None:
    fault = Fault.closing(1000, "goodbye", on="conversation.item.added")
    service = SimulatedService(faults=lambda _: [fault])
    async with open_lasting(service) as session:
        with pytest.raises(SessionClosed):
            await session.ask("Hello?")
        with pytest.raises(SessionClosed):
            await session.restart()
    assert len(service.servers) == 1


# By hand


async def test_a_session_can_be_restarted_by_hand(autojump_clock: MockClock) -> None:
    service = service_of(Reply.text("One."), Reply.text("Two."))
    async with open_lasting(service, Reconnect(attempts=0)) as session:
        await session.ask("A?")
        old = service.server
        lost = await session.restart()
        assert [omission.what for omission in lost.omissions] == ["audio"]
        assert service.server is not old
        assert (await session.ask("B?")).text == "Two."
        assert server_lines(service.server) == client_lines(session)


async def test_a_restart_that_fails_leaves_the_session_as_it_is(
    autojump_clock: MockClock,
) -> None:
    service = service_of(Reply.text("One."))
    async with open_lasting(service) as session:
        service.refuse(None)
        with pytest.raises(ConnectionFailed, match="nobody answers"):
            await session.restart()
        assert (await session.ask("A?")).text == "One."
        assert len(service.servers) == 1


# Leaving


async def test_leaving_while_there_is_no_connection_writes_what_was_sent(
    autojump_clock: MockClock,
) -> None:
    service = service_of()
    async with open_lasting(service) as session:
        service.drop()
        await wait_all_tasks_blocked()
        await session.send_message("Goodbye.", respond=False)
    assert server_lines(service.server) == [("user", "Goodbye.")]


async def test_a_cancellation_while_there_is_no_connection_leaves_nothing_behind(
    autojump_clock: MockClock,
) -> None:
    service = service_of()
    with trio.CancelScope() as scope:
        async with open_lasting(service) as session:
            service.refuse(*[None] * 99)
            service.drop()
            await session.wait_for(Reconnecting)
            scope.cancel()
            await session.ask("Hello?")
    assert scope.cancelled_caught


async def test_what_the_new_server_says_of_the_old_items_is_told_to_nobody(
    autojump_clock: MockClock,
) -> None:
    service = service_of(Reply.text("One."), Reply.text("Two."))
    async with open_lasting(service) as session:
        await session.ask("A?")
        await trio.sleep(1)
        with session.events() as events:
            taken(events)
            service.drop()
            await session.wait_for(Reconnected)
            await trio.sleep(10)
            seen: list[Event] = taken(events)
        assert [type(event) for event in seen] == [Reconnecting, Reconnected]


async def test_a_recording_goes_on_and_every_connection_in_it_is_in_order(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    service = service_of(Reply.text("One."), Reply.text("Two."))
    path = tmp_path / "talk.jsonl"
    async with open_session(
        transport=service.open, reconnect=Reconnect(), record=path, strict=True
    ) as session:
        await session.ask("A?")
        service.drop()
        await session.ask("B?")
    recording = read_recording(path)
    begun = [each for each in recording.records if isinstance(each.event, SessionCreated)]
    assert len(begun) == 2
    assert_order(recording.records)


async def test_a_usage_is_that_of_all_connections(autojump_clock: MockClock) -> None:
    service = service_of(Reply.text("One."), Reply.text("Two."))
    async with open_lasting(service) as session:
        await session.ask("A?")
        service.drop()
        await session.ask("B?")
        assert session.usage.responses == 2


async def test_leaving_without_a_connection_in_time_is_a_loss(autojump_clock: MockClock) -> None:
    service = service_of()

    async def talk() -> None:
        async with open_lasting(service, close_timeout=2.0) as session:
            service.refuse(*[None] * 99)
            service.drop()
            await session.wait_for(Reconnecting)
            await session.send_message("Goodbye.", respond=False)

    with pytest.raises(ConnectionLost, match="dropped"):
        await talk()


async def test_nobody_waits_for_a_connection_who_has_nothing_to_say(
    autojump_clock: MockClock,
) -> None:
    service = service_of()
    async with open_lasting(service, close_timeout=2.0) as session:
        service.refuse(*[None] * 99)
        service.drop()
        await session.wait_for(Reconnecting)
    assert trio.current_time() < 1


async def test_a_cut_that_nobody_confirmed_is_made_before_the_item_is_told_again(
    autojump_clock: MockClock,
) -> None:
    def faults(number: int) -> list[Fault]:
        return [Fault.drop("conversation.item.truncated")] if number == 1 else []

    service = SimulatedService(Script([Reply.text("One two three four.")]), faults=faults)
    async with open_lasting(service) as session:
        reconnected = session.events(Reconnected)
        await session.ask("Count!")
        spoken = session.conversation.items[-1]
        item = await session.truncate(spoken, spoken.audio_ms / 2)
        assert item is spoken
        assert item.is_interrupted
        event = await reconnected.receive()
        assert server_lines(service.server)[-1][1] in ("One two", "One two three", "One")
        assert {each.what for each in event.lost.omissions} == {"audio", "words"}


async def test_a_cut_that_every_server_refuses_is_refused(autojump_clock: MockClock) -> None:
    def faults(number: int) -> list[Fault]:
        return [Fault.drop("error")] if number == 1 else []

    service = SimulatedService(faults=faults)
    async with open_lasting(service, turn_detection=None) as session:
        await session.append_audio(np.zeros(24_000, np.int16))
        item_id = await session.commit_audio()
        assert item_id is not None
        with pytest.raises(ServerError):
            await session.truncate(item_id, 100)
        assert session.conversation.items[0].audio_ms == 1000


@pytest.mark.parametrize("nth", range(1, 9))
async def test_a_new_connection_may_break_at_any_message_of_its_opening(
    nth: int, autojump_clock: MockClock
) -> None:
    def faults(number: int) -> list[Fault]:
        return [Fault.drop(nth=nth)] if number == 2 else []

    service = SimulatedService(faults=faults)
    async with open_lasting(service, instructions="Be brief.") as session:
        for word in ("one", "two"):
            await session.insert_item(UserMessage.text(word))
        service.drop()
        await session.insert_item(UserMessage.text("three"))
        await session.insert_item(UserMessage.text("four"))
        assert [words for _, words in server_lines(service.server)] == [
            "one",
            "two",
            "three",
            "four",
        ]
        assert server_lines(service.server) == client_lines(session)
