"""Speech from before another connection, which a server would refuse to cut."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from lasting_talk import client_lines, open_lasting, server_lines, service_of, taken
from trio.testing import MockClock

from realtime_trio._session.voice import Session
from realtime_trio._state.utility_events import Interrupted
from realtime_trio.errors import RequestLost, ServerError
from realtime_trio.events import (
    ConversationItemTruncate,
    ErrorEvent,
    ResponseDone,
    UserMessage,
)
from realtime_trio.history import HistoryLimit
from realtime_trio.lasting import Reconnected
from realtime_trio.playback import Playback
from realtime_trio.recording import WireRecord
from realtime_trio.simulator import Reply, synthesize_speech

STORY = Reply.text("Once upon a time there was a fox.")


def cuts(records: list[WireRecord]) -> list[Any]:
    return [each.event for each in records if isinstance(each.event, ConversationItemTruncate)]


async def go_on(session: Session, service: Any, way: str) -> None:
    """Go on over another connection."""
    if way == "restart":
        await session.restart()
        return
    with session.events(Reconnected) as reconnected:
        service.drop()
        await reconnected.receive()


@pytest.mark.parametrize("way", ["restart", "loss"])
@pytest.mark.parametrize("by", ["voice", "hand"])
@pytest.mark.parametrize("most", [None, 1])
async def test_what_was_said_before_is_silenced_and_not_cut(
    way: str, by: str, most: int | None, autojump_clock: MockClock
) -> None:
    service = service_of(STORY, Reply.text("Yes?"))
    playback = Playback()
    async with open_lasting(
        service, playback=playback, history_limit=HistoryLimit(items=most)
    ) as session:
        await session.ask("Tell me a story.")
        playback.take(6000)
        if most is not None:
            # So that the next server is not even told of it.
            await session.insert_item(UserMessage.text("Go on!"))
        await go_on(session, service, way)
        wire, events = session.wire(), session.events(Interrupted, ErrorEvent)
        if by == "hand":
            assert await session.cancel_response() is session.conversation.items[1]
            assert playback.playing is None
            await session.insert_item(UserMessage.text("Stop!"))
        else:
            with session.events(ResponseDone) as done:
                await session.append_audio(synthesize_speech("Stop!"))
                await done.receive()
        assert cuts(taken(wire)) == []
        assert [type(event) for event in taken(events)] == [Interrupted] * (by == "voice")
        if most is None:
            assert server_lines(service.server)[:2] == client_lines(session)[:2]


async def test_what_is_cut_by_its_samples_is_left_alone_as_well(autojump_clock: MockClock) -> None:
    service = service_of(STORY, STORY)
    async with open_lasting(service) as session:
        await session.ask("Tell me a story.")
        await session.restart()
        wire, errors = session.wire(), session.events(ErrorEvent)
        spoken = session.conversation.items[-1]
        assert await session.cancel_response(spoken, 6000) is spoken
        await session.insert_item(UserMessage.text("Stop!"))
        assert cuts(taken(wire)) == []
        # Who insists is told by the server.
        with pytest.raises(ServerError):
            await session.truncate(spoken, 100)
        assert len(taken(errors)) == 1
        # What is said now can be cut as ever.
        await session.ask("Tell me another one.")
        spoken = session.conversation.items[-1]
        await session.cancel_response(spoken, 6000)
        await session.insert_item(UserMessage.text("Stop!"))
        assert spoken.is_interrupted
        assert spoken.audio_ms == 250
        assert not errors.pending


async def test_what_is_cut_while_there_is_no_connection_is_told_as_it_was_heard(
    autojump_clock: MockClock,
) -> None:
    service = service_of(STORY)
    playback = Playback()
    async with open_lasting(service, playback=playback) as session:
        await session.ask("Tell me a story.")
        playback.take(12_000)
        errors, reconnected = session.events(ErrorEvent), session.events(Reconnected)
        service.refuse(None)
        service.drop()
        await trio.sleep(0.1)
        await session.cancel_response()
        lost = (await reconnected.receive()).lost
        assert {each.what for each in lost.omissions} == {"audio", "words"}
        spoken = session.conversation.items[-1]
        assert (spoken.is_interrupted, spoken.audio_ms) == (True, 500)
        assert server_lines(service.server)[-1] == ("assistant", spoken.heard_transcript)
        assert not errors.pending


async def test_a_cut_that_comes_while_a_server_is_told_of_the_item_is_lost_and_named(
    autojump_clock: MockClock,
) -> None:
    async def summarize(items: Any) -> str:
        # The conversation is being told: it is too late for that one.
        nursery.start_soon(truncate)
        await trio.sleep(1)
        return "A story."

    refused: list[RequestLost] = []

    async def truncate() -> None:
        with pytest.raises(RequestLost, match="told again") as caught:
            await session.truncate(spoken, 100)
        refused.append(caught.value)

    service = service_of(STORY)
    limit = HistoryLimit(items=2, summarize=summarize)
    async with (
        open_lasting(service, history_limit=limit) as session,
        trio.open_nursery() as nursery,
    ):
        await session.insert_item(UserMessage.text("Hello!"))
        await session.ask("Tell me a story.")
        spoken = session.conversation.items[-1]
        lost = await session.restart()
        assert [type(each) for each in lost.requests] == [ConversationItemTruncate]
        assert not spoken.is_interrupted
    assert refused
