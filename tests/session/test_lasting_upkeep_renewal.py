"""Sessions that go on over another connection before the server ends the present one."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
import trio
from lasting_talk import client_lines, open_lasting, server_lines, service_of, taken
from simulated import SLOW
from trio.testing import MockClock

from realtime_trio._session.voice import Session
from realtime_trio._transport.contract import Close
from realtime_trio.errors import ConnectionFailed, ConnectionLost
from realtime_trio.events import (
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    ResponseDone,
    UserMessage,
)
from realtime_trio.lasting import (
    Loss,
    Reconnect,
    Reconnected,
    Reconnecting,
    SessionExpiring,
    SessionRenewed,
)
from realtime_trio.playback import Playback
from realtime_trio.simulator import Fault, Pacing, Reply, Script, SimulatedService
from realtime_trio.simulator.serving.faults import Breakable
from realtime_trio.tools import tool


def unsaid(*replies: Reply) -> SimulatedService:
    """A service that does not say when a session ends, so that only the clock that jumps counts."""
    return SimulatedService(Script(replies), expires_after=math.inf)


async def test_a_session_is_renewed_before_it_expires(autojump_clock: MockClock) -> None:
    service = service_of(Reply.text("One."), Reply.text("Two."))
    async with open_lasting(service, instructions="Be brief.") as session:
        events = session.events(SessionExpiring, SessionRenewed, Reconnecting, Reconnected)
        await session.ask("A?")
        await trio.sleep(3290)
        assert not events.pending
        await trio.sleep(20)
        expiring, renewed = taken(events)
        assert isinstance(expiring, SessionExpiring)
        assert expiring.seconds_left == pytest.approx(300, abs=5)
        assert isinstance(renewed, SessionRenewed)
        (omission,) = renewed.omissions
        assert omission.what == "audio"
        assert renewed.lost == Loss(omissions=(omission,))
        assert renewed.gap_ms == 0  # in memory a round trip takes no time
        assert len(service.servers) == 2
        assert [line.closed for line in service.lines] == [Close(1000), None]
        assert session.config.instructions == "Be brief."
        assert (await session.ask("B?")).text == "Two."
        assert server_lines(service.server) == client_lines(session)
        await trio.sleep(4 * 3600)
        assert [type(event) for event in taken(events)] == 4 * [SessionExpiring, SessionRenewed]
    assert [line.closed for line in service.lines] == 6 * [Close(1000)]


async def test_a_renewal_waits_for_an_idle_moment(autojump_clock: MockClock) -> None:
    service = unsaid(Reply.text("One two three four five six seven.", pacing=SLOW))
    async with open_lasting(service) as session:
        events = session.events(SessionExpiring, SessionRenewed, ResponseDone)
        await trio.sleep(3299)
        assert (await session.ask("Count!")).status == "completed"
        await trio.sleep(5)
        assert [type(event) for event in taken(events)] == [
            SessionExpiring,
            ResponseDone,
            SessionRenewed,
        ]


async def test_what_is_being_played_is_played_to_its_end_first(
    autojump_clock: MockClock,
) -> None:
    service = unsaid(Reply.text("One two three four five six seven."))
    playback = Playback()
    async with open_lasting(service, playback=playback) as session:
        renewed = session.events(SessionRenewed)
        await trio.sleep(3299)
        await session.ask("Count!")
        await trio.sleep(60)
        assert not renewed.pending
        while playback.playing is not None:
            playback.take(24_000)
        await renewed.receive()


async def test_at_the_latest_it_is_renewed_when_a_tenth_of_the_margin_is_left(
    autojump_clock: MockClock,
) -> None:
    @tool(timeout=5000)
    async def work() -> str:
        """Work."""
        await trio.sleep(4000)
        return "done"

    service = unsaid(Reply.call("work"), Reply.text("It is done."))
    async with open_lasting(service, tools=[work]) as session:
        renewed = session.events(SessionRenewed)
        answers: list[str] = []
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def ask() -> None:
                answers.append((await session.ask("Work!")).text)

            await renewed.receive()
            assert trio.current_time() == pytest.approx(3570, abs=2)
        assert answers == ["It is done."]
        assert server_lines(service.server) == client_lines(session)
        assert [kind for kind, _ in client_lines(session)] == [
            "user",
            "call",
            "output",
            "assistant",
        ]


async def test_a_response_in_the_way_is_cut_only_when_there_is_no_time_left(
    autojump_clock: MockClock,
) -> None:
    endless = Reply.text("One two three four five six.", pacing=Pacing(tokens_per_second=0.01))
    service = unsaid(endless, Reply.text("Enough."))
    async with open_lasting(service, output_modalities="text") as session:
        renewed = session.events(SessionRenewed)
        await trio.sleep(3290)
        assert (await session.ask("Count!")).text == "Enough."
        assert trio.current_time() == pytest.approx(3570, abs=5)
        (event,) = taken(renewed)
        assert len(event.lost.responses) == 1


async def test_if_there_is_no_other_connection_the_old_one_is_kept_and_it_is_tried_again(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    service = service_of(Reply.text("One."), Reply.text("Two."))
    async with open_lasting(service) as session:
        events = session.events(SessionExpiring, SessionRenewed, Reconnecting)
        service.refuse(*[None] * 5)
        await trio.sleep(3320)
        assert (await session.ask("A?")).text == "One."
        assert [type(event) for event in taken(events)] == [SessionExpiring]
        await trio.sleep(60)
        assert [type(event) for event in taken(events)] == [SessionRenewed]
        assert (await session.ask("B?")).text == "Two."
    assert caplog.messages.count("the session cannot be renewed yet: nobody answers") == 5


async def test_a_connection_that_is_lost_during_a_renewal_is_another_loss(
    autojump_clock: MockClock,
) -> None:
    service = SimulatedService(latency=30.0)
    async with open_lasting(service, connect_timeout=60) as session:
        events = session.events(SessionRenewed, Reconnecting, Reconnected)
        await trio.sleep(3310)
        service.drop()
        await session.insert_item(UserMessage.text("Hello!"))
        assert isinstance(taken(events)[0], Reconnecting)
        assert server_lines(service.server) == [("user", "Hello!")]
        await trio.sleep(100)
        assert server_lines(service.server) == [("user", "Hello!")]


async def test_what_the_user_says_meanwhile_is_on_the_new_connection(
    autojump_clock: MockClock,
) -> None:
    script = Script([Reply.text("One."), Reply.text("Two.")], transcripts=["Hello.", "Well."])
    service = SimulatedService(script, latency=0.5)
    policy = Reconnect(renew_before=10.0, longest_session=60.0)
    speech = np.tile(np.array([4000, -4000], np.int16), 12_000)
    async with open_lasting(service, policy, transcription="whisper-1") as session:
        events = session.events(InputAudioBufferSpeechStarted, SessionRenewed)
        committed = session.events(InputAudioBufferCommitted)
        # Silence, then somebody speaks just when the session is renewed, and silence again.
        for tenth in range(560):
            spoken = 500 <= tenth < 510
            piece = speech[:2400] if spoken else np.zeros(2400, np.int16)
            await session.append_audio(piece)
            await trio.sleep(0.1)
        kinds = [type(event) for event in taken(events)]
        assert kinds.count(SessionRenewed) == 1
        assert InputAudioBufferSpeechStarted in kinds
        (turn,) = {event.item_id for event in taken(committed)}
        item = session.conversation.get(turn)
        assert item is not None
        loud = np.abs(item.audio.astype(int)) > 1000
        assert loud.sum() >= 24_000  # all of the second that was spoken
        assert server_lines(service.server) == client_lines(session)


async def test_without_a_renewal_an_expiry_is_a_loss_like_any_other(
    autojump_clock: MockClock,
) -> None:
    service = service_of(Reply.text("One."), Reply.text("Two."))
    async with open_lasting(service, Reconnect(renew_before=None)) as session:
        events = session.events(SessionExpiring, SessionRenewed, Reconnecting, Reconnected)
        await session.ask("A?")
        await trio.sleep(3700)
        reconnecting, reconnected = taken(events)
        assert reconnecting == Reconnecting(attempt=1, why="connection lost: 1001 session_expired")
        assert isinstance(reconnected, Reconnected)
        assert (await session.ask("B?")).text == "Two."


async def test_a_new_connection_that_breaks_while_it_is_told_everything_is_a_loss(
    autojump_clock: MockClock,
) -> None:
    def faults(number: int) -> list[Fault]:
        return [Fault.drop("conversation.item.added")] if number == 2 else []

    service = SimulatedService(faults=faults)
    async with open_lasting(service) as session:
        await session.insert_item(UserMessage.text("Hello!"))
        events = session.events(SessionRenewed, Reconnecting, Reconnected)
        await trio.sleep(3310)
        assert [type(event) for event in taken(events)] == [Reconnecting, Reconnected]
        assert server_lines(service.server) == [("user", "Hello!")]


@pytest.mark.parametrize("nth", range(1, 8))
@pytest.mark.parametrize("way", ["renewal", "restart"])
async def test_a_new_connection_that_breaks_is_another_attempt_and_nothing_is_there_twice(
    nth: int, way: str, autojump_clock: MockClock
) -> None:
    def faults(number: int) -> list[Fault]:
        return [Fault.drop(nth=nth)] if number == 2 else []

    service = SimulatedService(faults=faults, expires_after=math.inf)
    policy = Reconnect(attempts=1, renew_before=100.0, longest_session=1000.0)
    async with open_lasting(service, policy, instructions="Be brief.") as session:
        for word in ("one", "two"):
            await session.insert_item(UserMessage.text(word))
        events = session.events(SessionRenewed, Reconnecting, Reconnected)
        server = None
        if way == "renewal":
            await trio.sleep(899.9)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep, 50)
                await trio.sleep(0.1)
                await session.insert_item(UserMessage.text("three"))
        else:
            try:
                lost = await session.restart()
            except ConnectionFailed:
                assert nth <= 2  # it was not even configured, and the old one goes on
                server = service.servers[0]
            else:
                assert lost == Loss()
            await session.insert_item(UserMessage.text("three"))
        await session.insert_item(UserMessage.text("four"))
        lines = server_lines(server or service.server)
        assert [words for _, words in lines] == ["one", "two", "three", "four"]
        assert lines == client_lines(session)
        for event in taken(events):
            assert isinstance(event, Reconnecting) or event.lost == Loss()


async def test_attempts_of_long_ago_are_not_held_against_a_renewal(
    autojump_clock: MockClock,
) -> None:
    def faults(number: int) -> list[Fault]:
        return [Fault.drop("conversation.item.added")] if number == 3 else []

    service = SimulatedService(faults=faults, expires_after=math.inf)
    policy = Reconnect(attempts=2, renew_before=100.0, longest_session=1000.0)
    async with open_lasting(service, policy) as session:
        await session.insert_item(UserMessage.text("Hello!"))
        events = session.events(SessionRenewed, Reconnecting, Reconnected)
        service.refuse(None)
        service.drop()
        await session.wait_for(Reconnected)
        assert [type(event) for event in taken(events)] == [Reconnecting, Reconnecting, Reconnected]
        await trio.sleep(950)
        # The third connection breaks while it is told everything; the fourth one holds.
        reconnecting, reconnected = taken(events)
        assert isinstance(reconnecting, Reconnecting)
        assert reconnecting.attempt == 1
        assert isinstance(reconnected, Reconnected)
        assert server_lines(service.server) == [("user", "Hello!")]


async def test_a_new_connection_that_breaks_while_it_is_told_everything_may_be_the_end(
    autojump_clock: MockClock,
) -> None:
    service = SimulatedService(
        faults=lambda number: [Fault.drop("conversation.item.added")] if number == 2 else []
    )

    async def talk() -> None:
        async with open_lasting(service, Reconnect(attempts=0)) as session:
            await session.insert_item(UserMessage.text("Hello!"))
            await session.restart()

    with pytest.raises(ConnectionLost, match="was to go on over another connection") as caught:
        await talk()
    first, last = caught.value.__notes__
    assert first.startswith("going on over another one: the service closed the new connection")
    assert last == "not tried again: 0 attempts are allowed"


async def test_who_is_sent_away_while_a_renewal_waits_is_sent_away(
    autojump_clock: MockClock,
) -> None:
    def faults(number: int) -> list[Fault]:
        return [Fault.closing(1000, on="response.output_audio.delta", nth=9)] if number == 1 else []

    service = SimulatedService(
        Script([Reply.text("One, two, three, four, five, six.", pacing=SLOW)]),
        faults=faults,
        expires_after=math.inf,
    )
    policy = Reconnect(renew_before=100.0, longest_session=1000.0)
    async with open_lasting(service, policy) as session:
        events = session.events(SessionExpiring, SessionRenewed, Reconnecting)
        await trio.sleep(899)
        await session.send_message("Count!")
        await trio.sleep(200)
        assert [type(event) for event in taken(events)] == [SessionExpiring]
        assert session.closed == Close(1000)
        assert [line.closed for line in service.lines] == [Close(1000), Close(1000)]


async def test_a_server_that_does_not_say_when_it_ends_is_left_after_the_longest_time(
    autojump_clock: MockClock,
) -> None:
    service = SimulatedService(expires_after=float("inf"))
    policy = Reconnect(longest_session=900.0, renew_before=100.0)
    async with open_lasting(service, policy) as session:
        renewed = session.events(SessionRenewed)
        await trio.sleep(790)
        assert taken(renewed) == []
        await trio.sleep(20)
        assert len(taken(renewed)) == 1


async def test_without_attempts_a_loss_ends_even_a_session_that_is_renewed(
    autojump_clock: MockClock,
) -> None:
    service = service_of()

    async def talk() -> None:
        async with open_lasting(service, Reconnect(attempts=0)) as session:
            await trio.sleep(4000)
            assert len(service.servers) == 2
            service.drop()
            await session.ask("Hello?")

    with pytest.raises(ConnectionLost):
        await talk()


# While a renewal waits


@asynccontextmanager
async def open_waiting() -> AsyncIterator[tuple[Session, SimulatedService, trio.Nursery]]:
    """A session whose next connection is ready, and waits for the end of a tool, 30 s from now."""

    @tool(timeout=5000)
    async def work() -> str:
        """Work."""
        await trio.sleep(50)
        return "done"

    service = unsaid(Reply.call("work"), Reply.text("Done."))
    policy = Reconnect(renew_before=100.0, longest_session=1000.0)
    async with (
        open_lasting(service, policy, tools=[work], instructions="One.") as session,
        trio.open_nursery() as nursery,
    ):
        await trio.sleep(890)
        nursery.start_soon(session.ask, "Work!")
        await trio.sleep(20)
        assert len(service.servers) == 2
        yield session, service, nursery


async def test_what_is_configured_while_a_renewal_waits_is_in_force_afterwards(
    autojump_clock: MockClock,
) -> None:
    async with open_waiting() as (session, service, _):
        await session.update(instructions="Two.")
        await session.update(max_output_tokens=99)
        await session.wait_for(SessionRenewed)
        assert trio.current_time() == 940
        assert len(service.servers) == 2
        for config in (session.config, (await session.update(tool_choice="auto"))):
            assert config.instructions == "Two."
            assert config.max_output_tokens == 99


async def test_a_restart_does_not_wait_as_a_renewal_does(autojump_clock: MockClock) -> None:
    async with open_waiting() as (session, service, nursery):
        nursery.start_soon(session.wait_for, SessionRenewed)
        await session.restart()
        assert trio.current_time() == 910
        assert len(service.servers) == 2
    assert client_lines(session)[-1] == ("assistant", "Done.")


async def test_a_loss_while_a_renewal_waits_has_its_connection_already(
    autojump_clock: MockClock,
) -> None:
    async with open_waiting() as (session, service, _):
        events = session.events(SessionRenewed, Reconnecting, Reconnected)
        assert isinstance(service.lines[0], Breakable)
        service.lines[0].abort("gone")
        await session.insert_item(UserMessage.text("Hello?"))
        assert trio.current_time() < 911
        assert len(service.servers) == 2
        assert [type(event) for event in taken(events)] == [Reconnecting, Reconnected]
    assert client_lines(session)[-1] == ("assistant", "Done.")
