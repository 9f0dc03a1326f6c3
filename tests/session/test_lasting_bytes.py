"""Sessions that go on over real sockets: cut at any byte of a spoken turn with a tool."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final, Literal
from urllib.parse import urlsplit

import pytest
import trio
from attrs import define, field
from lasting_spoken import NOTHING, Agent, Ears, check, open_talking, talk

from realtime_trio.lasting import Reconnected
from realtime_trio.simulator import Cast, Script, serve_simulator

Side = Literal["client", "server"]
"""Who sends the bytes that are counted."""
SPREAD: Final = 14
"""Places that are spread over everything that one side says."""
AROUND: Final = range(-1, 7)
"""Bytes about a boundary: the last of a frame, its follower's whole header, some of its payload."""


@define(eq=False)
class Forwarder:
    """Passes everything on, both ways, until it is told to cut."""

    url: str
    """Where to."""
    passed: dict[Side, bytearray] = field(
        factory=lambda: {"client": bytearray(), "server": bytearray()}
    )
    """What has passed on all connections since `forget`."""
    side: Side | None = None
    """Whose bytes are counted; None lets everything pass."""
    left: int = 0
    """How many of them may still pass, once."""

    def forget(self) -> None:
        """Count from now on."""
        for passed in self.passed.values():
            passed.clear()

    def cut(self, side: Side, after: int) -> None:
        """Cut the connection when so many more bytes of this side have passed."""
        self.side, self.left = side, after

    async def serve(self, *, task_status: trio.TaskStatus[str]) -> None:
        """Listen; tells where."""
        async with trio.open_nursery() as nursery:
            (listener,) = await nursery.start(
                partial(trio.serve_tcp, self._connection, 0, host="127.0.0.1")
            )
            port = listener.socket.getsockname()[1]
            task_status.started(f"ws://127.0.0.1:{port}{urlsplit(self.url).path}")

    async def _connection(self, client: trio.SocketStream) -> None:
        there = urlsplit(self.url)
        assert there.hostname is not None
        assert there.port is not None
        async with (
            await trio.open_tcp_stream(there.hostname, there.port) as server,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._pass_on, "client", client, server, nursery.cancel_scope)
            nursery.start_soon(self._pass_on, "server", server, client, nursery.cancel_scope)

    async def _pass_on(
        self,
        side: Side,
        source: trio.SocketStream,
        target: trio.SocketStream,
        connection: trio.CancelScope,
    ) -> None:
        await trio.lowlevel.checkpoint()
        try:
            async for data in source:
                is_cut = side == self.side and len(data) >= self.left
                passing = data[: self.left] if is_cut else data
                self.left -= len(passing) if side == self.side else 0
                self.passed[side] += passing
                await target.send_all(passing)
                if is_cut:
                    self.side = None
                    break
        except trio.BrokenResourceError:
            pass
        # The end of one way is the end of both.
        connection.cancel()


def boundaries(stream: bytes) -> Iterator[int]:
    """Where the frames of a WebSocket begin, in a stream that begins with one (RFC 6455, 5.2)."""
    at = 0
    while at < len(stream):
        yield at
        size = stream[at + 1] & 0x7F
        extended = {126: 2, 127: 8}.get(size, 0)
        if extended:
            size = int.from_bytes(stream[at + 2 : at + 2 + extended])
        is_masked = stream[at + 1] & 0x80
        at += 2 + extended + (4 if is_masked else 0) + size


def places(stream: bytes) -> list[int]:
    """Where to cut: all over it, and at every byte about the boundaries of some frames."""
    frames = [*boundaries(stream)]
    spread = {len(stream) * (2 * step + 1) // (2 * SPREAD) for step in range(SPREAD)}
    # The last one opens what comes when the turn is over.
    chosen = (frames[len(frames) // 2], frames[-2])
    around = {boundary + byte for boundary in chosen for byte in AROUND}
    return sorted(spread | around)


async def a_turn(side: Side | None = None, after: int = 0) -> tuple[int, dict[Side, bytearray]]:
    """Have a turn; returns how often the connection was lost, and what has passed."""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            cast = Cast(Agent(), ears=Ears())
            url = await nursery.start(partial(serve_simulator, Script(), cast=cast))
            forwarder = Forwarder(url)
            async with open_talking(url=await nursery.start(forwarder.serve)) as session:
                forwarder.forget()
                if side is not None:
                    forwarder.cut(side, after)
                reconnected = session.events(Reconnected)
                await talk(session)
                told = [reconnected.receive_nowait() for _ in range(reconnected.pending)]
                check(session, sum((each.lost for each in told), NOTHING))
                passed = {key: bytearray(value) for key, value in forwarder.passed.items()}
            nursery.cancel_scope.cancel()
    return len(told), passed


@pytest.mark.parametrize("side", ["client", "server"])
async def test_at_whatever_byte_the_connection_breaks_the_right_answer_is_given_once(
    side: Side,
) -> None:
    cuts, passed = await a_turn()
    assert cuts == 0
    where = places(bytes(passed[side]))
    assert len(where) > SPREAD
    for after in where:
        lost, _ = await a_turn(side, after)
        # What comes last may pass when the turn is over, as far as we look at it.
        assert lost == 1 or after > 0.9 * len(passed[side])


async def test_after_whichever_message_of_ours_the_connection_breaks_the_answer_is_given_once() -> (
    None
):
    _, passed = await a_turn()
    sent = passed["client"]
    ends = [*boundaries(bytes(sent))][1:]
    assert len(ends) > 15
    for end in ends:
        lost, _ = await a_turn("client", end)
        assert lost == 1 or end > 0.9 * len(sent)
