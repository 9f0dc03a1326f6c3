"""Requests that the server answers late or never."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from peers import committed, open_pair
from simulated import speech
from trio.testing import MockClock

from realtime_trio._session.voice import Session
from realtime_trio.errors import LocalProtocolError, RequestTimeout
from realtime_trio.events import InputAudioBufferCleared, InputAudioBufferCommitted

REQUESTS: dict[str, Callable[[Session], Awaitable[object]]] = {
    "retrieve": lambda session: session.retrieve_item("item_1"),
    "delete": lambda session: session.delete_item("item_1"),
    "commit": lambda session: session.commit_audio(),
    "update": lambda session: session.update(instructions="Be brief."),
}


@pytest.mark.parametrize("what", REQUESTS)
async def test_a_request_that_is_not_answered_in_time_is_an_error_and_the_session_lives(
    what: str, autojump_clock: MockClock
) -> None:
    async with open_pair(request_timeout=5) as (session, server):
        events = session.events(InputAudioBufferCommitted)
        await session.append_audio(speech(200))
        start = trio.current_time()
        with pytest.raises(RequestTimeout, match=r"did not answer .* within 5 s"):
            await REQUESTS[what](session)
        assert trio.current_time() - start == 5
        await server.say(committed(1))
        await events.receive()


async def test_an_answer_that_comes_too_late_is_not_that_of_the_next_request(
    autojump_clock: MockClock,
) -> None:
    async with open_pair(request_timeout=5) as (session, server), trio.open_nursery() as nursery:
        with pytest.raises(RequestTimeout):
            await session.clear_audio()

        async def answer_once() -> None:
            await trio.sleep(1)
            await server.say(InputAudioBufferCleared(event_id="e"))

        nursery.start_soon(answer_once)
        with pytest.raises(RequestTimeout):
            await session.clear_audio()


async def test_without_a_limit_a_request_waits(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, _):
        with trio.move_on_after(50) as scope:
            await session.delete_item("item_1")
        assert scope.cancelled_caught


async def test_a_limit_is_a_time(autojump_clock: MockClock) -> None:
    with pytest.raises(LocalProtocolError, match="request_timeout must be more than 0"):
        async with open_pair(request_timeout=0):
            pytest.fail("not reached")
