"""The tap: what trio-websocket sees of a connection, by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from websocket_peers import reset

from realtime_trio._transport.line import Line
from realtime_trio._transport.tap import Tap

pytestmark = pytest.mark.socket

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n"


@asynccontextmanager
async def open_tap() -> AsyncIterator[tuple[Tap, trio.SocketStream]]:
    """A tap, and the peer at the other end of its line."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        near = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        far = await listener.accept()
    line = Line(near)
    try:
        with trio.fail_after(5):
            async with far:
                yield Tap(line), far
    finally:
        line.close()


async def opened(tap: Tap, far: trio.SocketStream, behind: bytes = b"") -> None:
    """Do the handshake."""
    await far.send_all(HEAD + behind)
    assert await tap.receive_some() == HEAD
    tap.opening = None


async def test_a_handshake_ends_at_the_blank_line_wherever_it_is_cut() -> None:
    await trio.lowlevel.checkpoint()
    for cut in range(len(HEAD) + 3):
        async with open_tap() as (tap, far):
            data = HEAD + b"abc"
            seen = b""
            for piece in (data[:cut], data[cut:]):
                await far.send_all(piece)
                if piece and tap.is_open:
                    seen += await tap.receive_some()
            assert seen == HEAD
            assert not tap.is_open
            # What came in another piece is for the lane to read.
            assert tap.take_ahead() == b"abc"[: 3 if cut < len(HEAD) else cut - len(HEAD)]
            assert tap.take_ahead() == b""


async def test_a_closed_tap_gives_what_it_was_given_in_order_and_no_more() -> None:
    async with open_tap() as (tap, far), trio.open_nursery() as nursery:
        await opened(tap, far)
        await far.send_all(b"not for you")
        tap.give(b"one")
        tap.give(b"two")
        assert await tap.receive_some(4) == b"onet"
        assert await tap.receive_some() == b"wo"
        seen: list[bytes] = []

        @nursery.start_soon
        async def receive() -> None:
            seen.append(bytes(await tap.receive_some()))

        await trio.testing.wait_all_tasks_blocked()
        assert seen == []
        tap.give(b"three")
        await trio.testing.wait_all_tasks_blocked()
        assert seen == [b"three"]


async def test_a_released_tap_gives_what_it_was_given_first_and_then_the_line() -> None:
    async with open_tap() as (tap, far), trio.open_nursery() as nursery:
        await opened(tap, far)
        seen: list[bytes] = []

        @nursery.start_soon
        async def receive() -> None:
            while data := await tap.receive_some():
                seen.append(bytes(data))

        await trio.testing.wait_all_tasks_blocked()
        tap.give(b"given")
        tap.release()
        tap.release()
        await far.send_all(b"read")
        await far.send_eof()
    assert seen == [b"given", b"read"]
    assert tap.is_open
    assert tap.ending == "the peer hung up without a close frame"


async def test_whoever_waits_for_a_closed_tap_reads_the_line_once_it_is_released() -> None:
    async with open_tap() as (tap, far), trio.open_nursery() as nursery:
        await opened(tap, far)
        await far.send_all(b"read")
        seen: list[bytes] = []

        @nursery.start_soon
        async def receive() -> None:
            seen.append(bytes(await tap.receive_some()))

        await trio.testing.wait_all_tasks_blocked()
        assert seen == []
        tap.release()
    assert seen == [b"read"]


async def test_a_refusal_is_passed_on_whole_wherever_its_head_ends() -> None:
    await trio.lowlevel.checkpoint()
    refusal = b"HTTP/1.1 401 No\r\ncontent-length: 9\r\n\r\nwho\r\n\r\nyou"
    for cut in range(1, len(refusal) + 1):
        async with open_tap() as (tap, far):
            seen = b""
            for piece in (refusal[:cut], refusal[cut:]):
                await far.send_all(piece)
                if piece:
                    seen += await tap.receive_some()
            # Of less than this nobody can tell that it is one.
            if cut >= len(b"HTTP/1.1 401"):
                assert seen == refusal
            assert tap.opening is not None


async def test_a_refusal_whose_body_does_not_end_is_over_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("realtime_trio._transport.tap._BODY_TIMEOUT", 0.01)
    async with open_tap() as (tap, far):
        head = b"HTTP/1.1 401 No\r\n\r\n"
        await far.send_all(head[:-2])
        assert await tap.receive_some() == head[:-2]
        await far.send_all(head[-2:])
        assert await tap.receive_some() == head[-2:]
        assert await tap.receive_some() == b""


async def test_whoever_gives_waits_while_it_is_full_and_until_it_is_released() -> None:
    async with open_tap() as (tap, far):
        await opened(tap, far)
        tap.give(bytes(2**16))
        await tap.wait_taken()
        for how in ("taken", "released"):
            tap.give(b"x")
            async with trio.open_nursery() as nursery:
                waited = trio.Event()

                @nursery.start_soon
                async def wait(waited: trio.Event = waited) -> None:
                    await tap.wait_taken()
                    waited.set()

                await trio.testing.wait_all_tasks_blocked()
                assert not waited.is_set(), "it is full"
                if how == "taken":
                    assert await tap.receive_some(1) == b"\x00"
                else:
                    tap.release()
            assert not tap.is_full


async def test_it_tells_when_it_is_asked_for_more() -> None:
    async with open_tap() as (tap, far):
        await opened(tap, far)
        asked: list[int] = []
        tap.on_dealt = lambda: asked.append(1)
        tap.give(b"ab")
        assert await tap.receive_some(1) == b"a"
        assert await tap.receive_some(1) == b"b"
        assert len(asked) == 2
        # It may be answered in the act.
        tap.on_dealt = lambda: tap.give(b"c")
        assert await tap.receive_some() == b"c"


async def test_a_write_is_noted_and_a_broken_line_says_how_it_broke() -> None:
    async with open_tap() as (tap, far):
        await opened(tap, far)
        await tap.send_all(b"unheard")
        tap.sent = trio.Event()
        await tap.send_all(b"heard")
        assert tap.sent.is_set()
        tap.sent = trio.Event()
        reset(far)
        # The first tells that the peer has gone, and every other says so again.
        for _ in range(2):
            with pytest.raises(trio.BrokenResourceError):
                await tap.send_all(b"x")
        assert not tap.sent.is_set()
        assert tap.ending.startswith("the connection broke: ")
        first = tap.ending
        tap.release()
        # Systems tell an error once, and then call it the end; the first reason stays.
        assert await tap.receive_some() == b""
        assert tap.ending == first


async def test_an_end_during_the_handshake_is_told() -> None:
    async with open_tap() as (tap, far):
        told: list[str] = []
        tap.on_end = lambda: told.append(tap.ending)
        await far.send_all(b"HTTP/1.1 1")
        assert await tap.receive_some() == b"HTTP/1.1 1"
        assert told == []
        await far.send_eof()
        assert await tap.receive_some() == b""
        assert told == ["the peer hung up without a close frame"]
        assert bytes(tap.opening or b"") == b"HTTP/1.1 1"


async def test_a_closed_one_closes_its_line_and_keeps_the_first_reason() -> None:
    async with open_tap() as (tap, far):
        await opened(tap, far)
        with trio.testing.assert_checkpoints():
            await tap.aclose()
        assert tap.line.is_closed
        assert tap.ending == "closed here"
        await tap.aclose()
        tap.release()
        with pytest.raises(trio.ClosedResourceError):
            await tap.receive_some()
        assert await far.receive_some() == b""


async def test_an_endless_handshake_is_the_end() -> None:
    async with open_tap() as (tap, far), trio.open_nursery() as nursery:
        size = 0

        @nursery.start_soon
        async def send() -> None:
            await far.send_all(bytes(2**20 + 1))

        while (data := await tap.receive_some()) != b"":
            size += len(data)
        assert size <= 2**20
        nursery.cancel_scope.cancel()


async def test_a_request_that_was_read_already_is_given_without_what_came_behind() -> None:
    async with open_tap() as (tap, _far):
        tap.opening = None
        tap.begin_frames(b"GET / HTTP/1.1\n\nframes")
        assert await tap.receive_some() == b"GET / HTTP/1.1\n\n"
        assert tap.take_ahead() == b"frames"
        assert not tap.is_open
