"""Two lanes on one WebSocket: together they are one, whatever the peer does and however it is cut.

Nothing hangs, nothing piles up, and frames never mix.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from itertools import pairwise

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st
from peers import tasks
from websocket_peers import BINARY, PING, PONG, TEXT, receive_all, reset
from websocket_raw import FIN, Frame, RawPeer, close, fragments, open_raw, whole

from realtime_trio._transport.contract import Close
from realtime_trio._transport.settings import WebSocketSettings
from realtime_trio._transport.websocket import WebSocketTransport
from realtime_trio.errors import ConnectionLost

pytestmark = pytest.mark.socket

sides = pytest.mark.parametrize("side", ["client", "server"])
receiving = pytest.mark.parametrize("receives", [True, False], ids=["receiving", "read ahead"])

NO_PINGS = WebSocketSettings(ping_interval=None, close_timeout=0.1)


@pytest.fixture(autouse=True)
def _what_nobody_receives_is_soon_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_trio._transport.websocket._FIRST_LOOK_S", 0.001)


@pytest.fixture
def _what_nobody_receives_is_read_ahead_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service task looks in every pass of the scheduler, and meets whoever receives often."""
    monkeypatch.setattr("realtime_trio._transport.websocket._FIRST_LOOK_S", 0)


async def is_closed(transport: WebSocketTransport) -> Close:
    """Wait for the end without receiving."""
    await trio.lowlevel.checkpoint()
    while transport.closed is None:
        await trio.testing.wait_all_tasks_blocked(0.001)
    return transport.closed


def reads_ahead(transport: WebSocketTransport) -> bool:
    return transport._ahead is not None


def squeeze(transport: WebSocketTransport, peer: RawPeer) -> None:
    """Let the systems between a transport and its peer, on a plain line, buffer next to nothing."""
    assert isinstance(peer.stream, trio.SocketStream)
    transport._line._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
    peer.stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


# An end that trio-websocket finds, while the plain lane waits for more


@sides
@receiving
@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param([Frame(TEXT, b"\xff")], 1007, id="not UTF-8"),
        pytest.param([Frame(TEXT, b"x"), Frame(0, b"\xff")], 1007, id="not UTF-8 later"),
        pytest.param([Frame(BINARY, bytes(3000))], 1009, id="too long"),
        pytest.param([Frame(BINARY, bytes(600)), Frame(0, bytes(600))], 1009, id="too long later"),
        pytest.param([Frame(TEXT, b"x"), *500 * [Frame(0, bytes(600))]], 1009, id="endless"),
        pytest.param([whole(TEXT, bytes(2**20))], 1009, id="too long by far"),
    ],
)
async def test_an_offence_in_a_part_of_a_message_ends_the_connection_before_the_message_ends(
    frames: list[Frame], code: int, side: str, receives: bool
) -> None:
    settings = attrs.evolve(NO_PINGS, max_message_size=1000)
    async with (
        open_raw(side, settings=settings) as (transport, peer),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(peer.send, peer.encode([whole(TEXT, b"fine"), *frames]))
        if not receives:
            await is_closed(transport)
        assert await receive_all(transport) == ["fine"]
        assert transport.closed is not None
        assert transport.closed.code == code
        with pytest.raises(ConnectionLost, match=str(code)):
            await transport.send("too late")
        assert not transport.send_nowait("too late")
        await transport.aclose()
        assert transport.closed.code == code


# A flood of pings from a peer that reads no pongs


async def flood(peer: RawPeer) -> None:
    data = peer.encode(100 * [whole(PING, bytes(125))])
    await trio.lowlevel.checkpoint()
    with suppress(trio.BrokenResourceError):
        while True:
            await peer.stream.send_all(data)


@sides
@receiving
@pytest.mark.parametrize("how", ["aclose", "abort", "no pong"])
async def test_a_flood_of_pings_is_bounded_and_whoever_receives_is_released_at_the_end(
    side: str, receives: bool, how: str
) -> None:
    settings = attrs.evolve(NO_PINGS, receive_buffer_size=2**12)
    if how == "no pong":
        settings = attrs.evolve(settings, ping_interval=0.05, ping_timeout=0.1)
    released = trio.Event()

    async def receive() -> None:
        assert await receive_all(transport) == ["before"]
        released.set()

    async with (
        open_raw(side, settings=settings) as (transport, peer),
        trio.open_nursery() as nursery,
    ):
        squeeze(transport, peer)
        await peer.send(peer.encode([whole(TEXT, b"before")]))
        nursery.start_soon(flood, peer)
        if receives:
            nursery.start_soon(receive)
        # Full, and no more than that: the pongs are stuck, and nothing more is read.
        while not transport._tap.is_full and transport.closed is None:
            await trio.testing.wait_all_tasks_blocked(0.001)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert len(transport._tap._given) <= 2**16 + 2**12
        if how == "aclose":
            await transport.aclose(4000)
        elif how == "abort":
            transport.abort()
        closed = await is_closed(transport)
        assert closed.code == (4000 if how == "aclose" else 1006)
        if not receives:
            nursery.start_soon(receive)
        await released.wait()
        nursery.cancel_scope.cancel()


@sides
async def test_pings_go_on_being_answered_once_their_pongs_are_read(side: str) -> None:
    async with open_raw(side, settings=NO_PINGS) as (transport, peer):
        squeeze(transport, peer)
        pings = [b"%d" % number + bytes(120) for number in range(2000)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                peer.send,
                peer.encode([*(whole(PING, ping) for ping in pings), whole(TEXT, b"behind")]),
            )
            received: list[str | bytes] = []

            @nursery.start_soon
            async def receive() -> None:
                received.extend(await transport.receive())

            while not transport._tap.is_full:
                await trio.testing.wait_all_tasks_blocked(0.001)
            pongs = await peer.frames(pongs=len(pings))
        assert [pong.payload for pong in pongs] == pings
        assert received == ["behind"]


# The last words of a peer that does not listen any more


async def send_for_ever(transport: WebSocketTransport) -> None:
    while True:
        await transport.send("more")


@sides
@receiving
@pytest.mark.parametrize("how", ["hangs up", "resets"])
async def test_a_send_that_fails_tells_what_the_peer_said_last(
    side: str, receives: bool, how: str
) -> None:
    received: list[str | bytes] = []

    async def receive() -> None:
        received.extend(await receive_all(transport))

    async with open_raw(side) as (transport, peer), trio.open_nursery() as nursery:
        assert isinstance(peer.stream, trio.SocketStream)
        last_words = [
            whole(TEXT, b"an error"),
            *fragments(TEXT, b"and ", b"why"),
            close(1008, b"not allowed"),
        ]
        if receives:
            nursery.start_soon(receive)
        await transport.send("unread")  # so that hanging up is a reset of its own
        await peer.send(peer.encode(last_words))
        if how == "resets":
            reset(peer.stream)
        else:
            await peer.stream.aclose()
        with pytest.raises(ConnectionLost) as caught:
            await send_for_ever(transport)
        assert (caught.value.code, caught.value.reason) == (1008, "not allowed")
        assert not transport.send_nowait("even more")
        if not receives:
            await receive()
    assert received == ["an error", "and why"]
    assert transport.closed == Close(1008, "not allowed")


@sides
async def test_a_send_that_fails_while_nobody_makes_room_does_not_wait_for_long(side: str) -> None:
    settings = attrs.evolve(NO_PINGS, max_message_size=100, receive_buffer_size=100)
    async with open_raw(side, settings=settings) as (transport, peer):
        assert isinstance(peer.stream, trio.SocketStream)
        await peer.send(peer.encode([*100 * [whole(TEXT, b"x" * 10)], close(1008)]))
        while not transport._inbox.is_full:
            await trio.testing.wait_all_tasks_blocked(0.001)
        reset(peer.stream)
        with pytest.raises(ConnectionLost, match="1006 the connection broke: "):
            await send_for_ever(transport)
        assert transport.closed is not None
        assert transport.closed.code == 1006
        # The reason was behind messages that nobody had taken; they are still there.
        assert await receive_all(transport) == 100 * ["x" * 10]
        assert transport.closed.code == 1006


@sides
async def test_leaving_does_not_wait_for_what_is_read_ahead(side: str) -> None:
    settings = attrs.evolve(NO_PINGS, close_timeout=60)
    async with open_raw(side, settings=settings) as (transport, peer):
        while transport._ahead is None:
            await trio.testing.wait_all_tasks_blocked(0.001)
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(transport.aclose, 4000)
                assert await peer.frame() == close(4000)
                await peer.send(peer.encode([close(4000)]))
                await peer.stream.aclose()


@sides
async def test_a_line_that_broke_takes_nothing_without_waiting(side: str) -> None:
    async with open_raw(side) as (transport, peer):
        assert isinstance(peer.stream, trio.SocketStream)
        reset(peer.stream)
        # Nobody has read yet that it broke: the writes find out.
        taken = [transport.send_nowait("x") for _ in range(3)]
        assert transport.closed is None
        assert taken[-1] is False
        assert await receive_all(transport) == []
        assert transport.closed == Close(1006, transport._tap.ending)


@sides
async def test_a_send_cancelled_on_entry_writes_nothing(side: str) -> None:
    async with open_raw(side) as (transport, peer):
        with trio.CancelScope() as scope:
            scope.cancel()
            await transport.send("never")
        assert scope.cancelled_caught
        await transport.send("fine")
        assert await peer.frame() == whole(TEXT, b"fine")


# Frames on the wire are whole


@sides
async def test_a_send_cancelled_behind_a_rest_breaks_nothing_since_nothing_of_it_was_written(
    side: str,
) -> None:
    async with open_raw(side, settings=NO_PINGS) as (transport, peer):
        big = "x" * 2**24  # more than systems buffer
        assert transport.send_nowait(big)
        for _ in range(3):
            assert not transport.send_nowait("refused")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(transport.send, "never")
                await trio.testing.wait_all_tasks_blocked(0.001)
                nursery.cancel_scope.cancel()
        assert transport.closed is None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.send, "fine")
            seen = await peer.frames(data=2)
        assert [frame.payload for frame in seen] == [big.encode(), b"fine"]
        assert transport.send_nowait("and on")
        assert await peer.frame() == whole(TEXT, b"and on")


@sides
async def test_whoever_sends_without_a_pause_lets_others_have_their_turn(side: str) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with open_raw(side, settings=NO_PINGS) as (transport, _peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            for _ in range(100):
                await transport.send("x")
            nursery.cancel_scope.cancel()
        # Every 16 messages; the last turn may come too late.
        assert turns >= 100 // 16 - 1


@sides
async def test_a_rest_is_written_though_nobody_sends_any_more(side: str) -> None:
    async with open_raw(side, settings=NO_PINGS) as (transport, peer):
        big = "x" * 2**24
        assert transport.send_nowait(big)
        assert transport._line.has_rest
        assert await peer.frame() == whole(TEXT, big.encode())


@sides
async def test_one_task_writes_what_the_network_did_not_take_time_and_again(side: str) -> None:
    async with open_raw(side, settings=NO_PINGS) as (transport, peer):
        squeeze(transport, peer)
        before = tasks()
        for _ in range(3):
            sent = 0
            while transport.send_nowait("x" * 5000):
                sent += 1
            assert transport._line.has_rest
            assert len(tasks() - before) == 1
            assert len(await peer.frames(data=sent)) == sent
            while tasks() != before:
                await trio.testing.wait_all_tasks_blocked(0.001)
            assert not transport._line.has_rest


@sides
async def test_whoever_receives_takes_over_from_what_reads_ahead(side: str) -> None:
    async with open_raw(side, settings=NO_PINGS) as (transport, peer):
        while not reads_ahead(transport):
            await trio.testing.wait_all_tasks_blocked(0.001)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_all, transport)
            while not transport._receives:
                await peer.send(peer.encode([whole(TEXT, b"x")]))
                await trio.testing.wait_all_tasks_blocked(0.001)
            assert not reads_ahead(transport)
            nursery.cancel_scope.cancel()


@sides
async def test_what_is_received_at_the_end_has_a_bound(side: str) -> None:
    settings = attrs.evolve(NO_PINGS, max_message_size=100, receive_buffer_size=100)
    async with open_raw(side, settings=settings) as (transport, peer):
        await peer.send(peer.encode(500 * [whole(TEXT, b"x" * 10)]))
        while not transport._inbox.is_full:
            await trio.testing.wait_all_tasks_blocked(0.001)
        waiting = len(transport._inbox._messages)
        transport.abort()
        assert len(await receive_all(transport)) == waiting < 500


@attrs.frozen
class Step:
    """What the only task that sends does next."""

    how: str
    size: int


steps = st.lists(
    st.builds(
        Step, st.sampled_from(["send", "nowait", "pause"]), st.sampled_from([0, 9, 999, 5000])
    ),
    max_size=20,
)


@pytest.mark.usefixtures("_what_nobody_receives_is_read_ahead_at_once")
@given(
    st.sampled_from(["client", "server"]),
    steps,
    st.lists(st.integers(0, 125), max_size=30),
    st.lists(st.integers(100, 5000), min_size=1, max_size=10),
    st.booleans(),
)
async def test_whatever_is_written_at_the_same_time_frames_stay_whole_and_messages_in_order(
    side: str, steps: list[Step], pings: list[int], reads: list[int], receives: bool
) -> None:
    """A message of one task, pongs of trio-websocket and pings of the keep-alive share a line."""
    settings = WebSocketSettings(ping_interval=0.001, ping_timeout=5)
    accepted: list[str | bytes] = []

    async def send() -> None:
        for number, step in enumerate(steps):
            message = f"{number} " + "x" * step.size
            match step.how:
                case "send":
                    await transport.send(message)
                    accepted.append(message)
                case "nowait":
                    had_room = transport._line.has_room
                    is_accepted = transport.send_nowait(message)
                    assert is_accepted is had_room
                    if is_accepted:
                        accepted.append(message)
                case _:
                    await trio.lowlevel.checkpoint()
        await transport.send(b"the end")
        sent.set()

    async def ping() -> None:
        await trio.lowlevel.checkpoint()
        for size in pings:
            await peer.send(peer.encode([whole(PING, bytes(size))]))

    sent = trio.Event()
    async with open_raw(side, settings=settings) as (transport, peer):
        squeeze(transport, peer)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            nursery.start_soon(ping)
            if receives:
                nursery.start_soon(transport.receive)
            received: list[str | bytes] = []
            pongs: list[int] = []
            turn = 0
            while len(pongs) < len(pings) or b"the end" not in received:
                peer.read_size = reads[turn % len(reads)]
                turn += 1
                frame = await peer.frame()
                assert frame is not None
                if frame.first == FIN | PING:
                    await peer.send(peer.encode([whole(PONG, frame.payload)]))
                elif frame.first == FIN | PONG:
                    pongs.append(len(frame.payload))
                else:
                    received.append(
                        frame.payload.decode() if frame.first == FIN | TEXT else frame.payload
                    )
            await sent.wait()
            nursery.cancel_scope.cancel()
        assert received == [*accepted, b"the end"]
        assert pongs == pings
        assert transport.closed is None


# What comes out is what went in


@attrs.frozen
class Ending:
    """The last frames of a peer, and what `closed` has to say about them."""

    frames: tuple[Frame, ...]
    code: int
    hangs_up: bool = False


def _messages() -> st.SearchStrategy[tuple[str | bytes, list[Frame]]]:
    """A message, and the frames that it is in, perhaps with others in between."""
    controls = st.lists(st.builds(whole, st.sampled_from([PING, PONG]), st.binary(max_size=125)))
    texts = st.text(max_size=200).map(lambda text: (text, text.encode()))
    binaries = st.binary(max_size=200).map(lambda data: (data, data))
    long = st.integers(60_000, 70_000).map(lambda size: ("x" * size, b"x" * size))

    def frames(
        message: tuple[str | bytes, bytes], cuts: list[float], between: list[Frame]
    ) -> tuple[str | bytes, list[Frame]]:
        value, payload = message
        opcode = TEXT if isinstance(value, str) else BINARY
        edges = [0, *sorted(int(cut * len(payload)) for cut in cuts), len(payload)]
        parts = fragments(opcode, *(payload[start:end] for start, end in pairwise(edges)))
        return value, [parts[0], *between, *parts[1:]]

    fractions: st.SearchStrategy[list[float]] = st.one_of(
        st.just([]), st.lists(st.floats(0, 1), max_size=4)
    )
    return st.builds(
        frames,
        st.one_of(texts, binaries, long),
        fractions,
        st.one_of(st.just([]), controls),
    )


ENDINGS = st.one_of(
    st.sampled_from(
        [
            Ending((), 1006, hangs_up=True),
            Ending((Frame(TEXT, b"never"),), 1006, hangs_up=True),
            Ending((whole(8),), 1005),
            Ending((whole(8, b"a"),), 1002),
            Ending((close(1005),), 1002),
            Ending((whole(TEXT, b"\xff"),), 1007),
            Ending((Frame(TEXT, b"\xff"),), 1007),
            Ending((*fragments(TEXT, b"x", b"\xc3"), whole(TEXT, b"behind")), 1007),
            Ending((Frame(FIN, b"the end of nothing"),), 1002),
            Ending((Frame(TEXT, b"a"), whole(BINARY, b"b")), 1002),
            Ending((Frame(FIN | 0x40 | TEXT, b"compressed"),), 1002),
            Ending((Frame(FIN | 3, b"unknown"),), 1002),
            Ending((Frame(PING, b"in pieces"),), 1002),
            Ending((Frame(FIN | PING, bytes(126)),), 1002),
            Ending((whole(BINARY, bytes(100_001)), whole(TEXT, b"behind")), 1009),
            Ending((Frame(BINARY, bytes(99_999)), Frame(FIN, bytes(2))), 1009),
        ]
    ),
    st.builds(
        lambda code, behind: Ending((close(code, b"bye"), *behind), code),
        st.sampled_from([1000, 1001, 1008, 1011, 3000, 4999]),
        st.lists(st.sampled_from([whole(TEXT, b"late"), whole(PING), close(1011)]), max_size=2),
    ),
)

RECEIVING = st.lists(
    st.tuples(st.sampled_from(["receive", "cancelled", "away"]), st.integers(0, 4)), max_size=20
)


@pytest.mark.usefixtures("_what_nobody_receives_is_read_ahead_at_once")
@given(
    st.sampled_from(["client", "server"]),
    st.booleans(),
    st.lists(_messages(), max_size=8),
    ENDINGS,
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3)), max_size=12),
    RECEIVING,
)
async def test_the_messages_are_those_that_were_sent_and_the_end_is_the_one_that_was_made(
    side: str,
    secure: bool,
    messages: list[tuple[str | bytes, list[Frame]]],
    ending: Ending,
    cuts: list[tuple[float, int]],
    receiving: list[tuple[str, int]],
) -> None:
    """However the stream is cut and delayed, whoever receives, and whenever that is cancelled."""
    settings = WebSocketSettings(ping_interval=None, max_message_size=100_000, close_timeout=1)
    received: list[str | bytes] = []

    async def send() -> None:
        data = peer.encode([frame for _, frames in messages for frame in frames])
        data += peer.encode(ending.frames)
        edges = sorted((int(cut * len(data)), pause) for cut, pause in cuts)
        start = 0
        for end, pause in [*edges, (len(data), 0)]:
            await peer.send(data[start:end])
            for _ in range(pause):
                await trio.lowlevel.checkpoint()
            start = end
        if ending.hangs_up:
            await peer.hang_up()
        await peer.rest()

    async def receive() -> None:
        received.extend(await transport.receive())

    async with open_raw(side, secure=secure, settings=settings) as (transport, peer):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            for how, pause in receiving:
                match how:
                    case "receive" if transport.closed is None:
                        with trio.move_on_after(0.01):
                            await receive()
                    case "cancelled":
                        async with trio.open_nursery() as brief:
                            brief.start_soon(receive)
                            for _ in range(pause):
                                await trio.lowlevel.checkpoint()
                            brief.cancel_scope.cancel()
                    case _:
                        for _ in range(10 * pause):
                            await trio.lowlevel.checkpoint()
            received += await receive_all(transport)
            nursery.cancel_scope.cancel()
        assert received == [message for message, _ in messages]
        assert transport.closed is not None
        assert transport.closed.code == ending.code
