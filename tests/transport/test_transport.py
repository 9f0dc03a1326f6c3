"""The transport contract, kept by every kind of transport, and what only the in-memory pair has."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing
from websocket_peers import limited_nursery, receive_all

from realtime_trio._serving.websocket_server import HandshakeRequest, serve_websocket
from realtime_trio._transport.contract import Close, Transport
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio._transport.settings import WebSocketSettings
from realtime_trio._transport.websocket_client import open_websocket
from realtime_trio.errors import ConnectionLost, LocalProtocolError

KINDS = [
    "memory",
    pytest.param("websocket client", marks=pytest.mark.socket),
    pytest.param("websocket server", marks=pytest.mark.socket),
]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def open_pair(
    kind: str, capacity: float = math.inf, settings: WebSocketSettings | None = None
) -> AsyncIterator[tuple[Transport, Transport]]:
    """Two connected ends; of a WebSocket, the first is the client or the server, as `kind` says.

    The capacity of a WebSocket is that of the kernel, and what its settings say.
    """
    settings = settings or WebSocketSettings()
    async with limited_nursery() as nursery:
        if kind == "memory":
            yield memory_transport_pair(capacity=capacity)
        else:
            accepted, taken = trio.open_memory_channel[Transport](1)

            async def handler(transport: Transport, _request: HandshakeRequest) -> None:
                accepted.send_nowait(transport)
                await trio.sleep_forever()

            host, port = await nursery.start(
                partial(serve_websocket, handler, "127.0.0.1", 0, settings=settings)
            )
            async with open_websocket(f"ws://{host}:{port}/", settings=settings) as client:
                server = await taken.receive()
                yield (client, server) if kind == "websocket client" else (server, client)


async def send_forever(transport: Transport) -> None:
    while True:
        await transport.send("x" * 2**22)  # more than the kernel buffers


async def test_text_and_binary_messages_arrive_as_what_they_are_both_ways(kind: str) -> None:
    async with open_pair(kind) as (left, right):
        await left.send("grüße")
        await left.send(b"\x00\xff")
        await right.send("")
        assert await left.receive() == ("",)
        assert left.closed is right.closed is None
        await left.aclose()
        assert await receive_all(right) == ["grüße", b"\x00\xff"]


async def test_many_small_messages_arrive_in_order_and_in_batches(kind: str) -> None:
    async with open_pair(kind) as (left, right):
        sent = [f"message {number}" for number in range(500)]
        batches = []
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def send_all() -> None:
                for message in sent:
                    await left.send(message)
                await left.aclose()

            await trio.testing.wait_all_tasks_blocked(0.01)
            with trio.fail_after(5):
                while batch := await right.receive():
                    batches.append(batch)
        assert [message for batch in batches for message in batch] == sent
        assert len(batches) < len(sent)


async def test_a_cancelled_receive_loses_nothing(kind: str) -> None:
    async with open_pair(kind) as (left, right):
        received: list[str | bytes] = []
        with trio.move_on_after(0):
            await right.receive()
        for number in range(50):
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def receive() -> None:
                    received.extend(await right.receive())

                await left.send(str(number))
                await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        await left.aclose()
        received += await receive_all(right)
        assert received == [str(number) for number in range(50)]


@pytest.mark.parametrize("code", [1000, 1001, 1009, 1011, 4000])
async def test_the_peer_drains_and_then_sees_code_and_reason(kind: str, code: int) -> None:
    async with open_pair(kind) as (left, right):
        await left.send("last words")
        await left.aclose(code, "because")
        assert left.closed == Close(code, "because")
        assert await receive_all(right) == ["last words"]
        assert right.closed == Close(code, "because")
        assert await right.receive() == ()
        assert left.closed.is_clean is (code == 1000)


async def test_sending_after_the_end_raises_on_both_sides_even_after_a_clean_close(
    kind: str,
) -> None:
    async with open_pair(kind) as (left, right):
        await left.aclose(1000, "bye")
        assert await receive_all(right) == []
        for end in (left, right):
            with pytest.raises(ConnectionLost) as caught:
                await end.send("too late")
            assert (caught.value.code, caught.value.reason) == (1000, "bye")


async def test_own_messages_stay_readable_after_closing_and_waiting_receivers_are_released(
    kind: str,
) -> None:
    async with open_pair(kind) as (left, right):
        await right.send("unread")
        await trio.testing.wait_all_tasks_blocked(0.05)
        await left.aclose()
        assert await left.receive() == ("unread",)
        assert await left.receive() == ()
    async with open_pair(kind) as (left, _right), trio.open_nursery() as nursery:
        outcomes: list[object] = []

        @nursery.start_soon
        async def wait() -> None:
            outcomes.append(await left.receive())

        await trio.testing.wait_all_tasks_blocked()
        await left.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert outcomes == [()]


async def test_closing_is_idempotent_and_the_first_close_counts(kind: str) -> None:
    async with open_pair(kind) as (left, right):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(left.aclose, 4001, "first")
            await trio.testing.wait_all_tasks_blocked(0)
            nursery.start_soon(left.aclose, 4002, "second")
        await left.aclose(4003, "third")
        assert await receive_all(right) == []
        await right.aclose(4004, "fourth")
        assert left.closed == right.closed == Close(4001, "first")


async def test_closing_works_in_a_cancelled_scope(kind: str) -> None:
    async with open_pair(kind) as (left, right):
        with trio.CancelScope() as scope:
            scope.cancel()
            await left.aclose(4000, "cancelled")
            assert left.closed == Close(4000, "cancelled")
        assert await receive_all(right) == []
        assert right.closed == Close(4000, "cancelled")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 5000])
async def test_a_code_that_may_not_be_sent_is_refused_and_nothing_is_closed(
    kind: str, code: int
) -> None:
    async with open_pair(kind) as (left, right):
        with pytest.raises(LocalProtocolError, match=str(code)):
            await left.aclose(code)
        await left.send("still here")
        assert await right.receive() == ("still here",)


async def test_a_send_cancelled_on_entry_did_nothing(kind: str) -> None:
    async with open_pair(kind) as (left, right):
        with trio.CancelScope() as scope:
            scope.cancel()
            await left.send("never")
        assert left.closed is None
        await left.send("fine")
        assert await right.receive() == ("fine",)


async def test_a_send_cancelled_half_way_breaks_the_connection_for_good(kind: str) -> None:
    async with open_pair(kind, capacity=1) as (left, right):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_forever, left)
            await trio.testing.wait_all_tasks_blocked(0.05)
            nursery.cancel_scope.cancel()
        assert left.closed == Close(1006, "a send was cancelled half way")
        with pytest.raises(ConnectionLost, match="half way"):
            await left.send("more")
        await left.aclose()
        assert set(await receive_all(right)) <= {"x" * 2**22}
        assert right.closed is not None
        assert right.closed.code == 1006


async def test_a_waiting_send_is_released_when_the_connection_ends(kind: str) -> None:
    async with open_pair(kind, capacity=1) as (left, right):
        errors = []
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def send_all() -> None:
                with pytest.raises(ConnectionLost) as caught:
                    await send_forever(left)
                errors.append(caught.value.code)

            await trio.testing.wait_all_tasks_blocked(0.05)
            with trio.fail_after(5):
                await right.aclose(4000)
                await left.aclose()
        assert len(errors) == 1


def fill(transport: Transport, messages: Iterator[str]) -> list[str | bytes]:
    """Send without waiting until that is refused; return what was not."""
    sent: list[str | bytes] = []
    for message in messages:
        if not transport.send_nowait(message):
            return sent
        sent.append(message)
    raise AssertionError("endless")


def numbered() -> Iterator[str]:
    """More than systems buffer."""
    return (f"{number} " + "x" * 2**16 for number in range(1000))


async def test_what_was_sent_without_waiting_arrives_whole_and_in_order_among_what_waited(
    kind: str,
) -> None:
    async with open_pair(kind, capacity=3) as (left, right), trio.open_nursery() as nursery:
        sent: list[str | bytes] = []

        @nursery.start_soon
        async def send() -> None:
            messages = numbered()
            for _ in range(3):
                sent.extend(fill(left, messages))
                # One was refused, and the next one waits until there is room.
                message = next(messages)
                await left.send(message)
                sent.append(message)
            await left.aclose()

        assert await receive_all(right) == sent
        assert len(sent) > 6


async def test_nothing_is_sent_without_waiting_while_the_peer_does_not_keep_up(kind: str) -> None:
    # Much less may wait at the peer than systems buffer.
    settings = WebSocketSettings(max_message_size=2**17)
    async with open_pair(kind, 1, settings) as (left, right):
        sent: list[str | bytes] = []
        messages = numbered()
        # The peer reads ahead for a while, and then does not any more.
        for _ in range(3):
            sent += fill(left, messages)
            await trio.testing.wait_all_tasks_blocked(0.1)
        for _ in range(3):
            assert not left.send_nowait("refused")
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert left.closed is None
        received: list[str | bytes] = []
        while len(received) < len(sent):
            received += await right.receive()
        assert received == sent
        assert left.send_nowait("again")
        assert await right.receive() == ("again",)


async def test_nothing_is_sent_without_waiting_after_the_end_on_either_side(kind: str) -> None:
    async with open_pair(kind) as (left, right):
        assert left.send_nowait("before")
        await left.aclose(1000, "bye")
        assert not left.send_nowait("late")
        assert await receive_all(right) == ["before"]
        assert not right.send_nowait("late")
        assert left.closed == right.closed == Close(1000, "bye")


async def test_what_was_sent_without_waiting_arrives_before_the_goodbye(kind: str) -> None:
    async with open_pair(kind) as (left, right):
        big = "x" * 2**24  # more than systems buffer: the rest is written meanwhile
        assert left.send_nowait(big)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(left.aclose)
            assert await receive_all(right) == [big]
        assert right.closed == Close(1000)


@pytest.mark.parametrize("message", ["", "grüße", b"", b"\x00\xff"])
async def test_every_kind_of_message_can_be_sent_without_waiting(
    kind: str, message: str | bytes
) -> None:
    async with open_pair(kind) as (left, right):
        assert left.send_nowait(message)
        assert await right.receive() == (message,)


@pytest.mark.parametrize(
    ("code", "is_clean"), [(1000, True), (1005, True), (1001, False), (1006, False), (4000, False)]
)
def test_clean_means_1000_or_no_code_at_all(code: int, is_clean: bool) -> None:
    assert Close(code).is_clean is is_clean


async def test_public_functions_are_checkpoints() -> None:
    left, right = memory_transport_pair()
    with trio.testing.assert_checkpoints():
        await left.send("a")
    with trio.testing.assert_checkpoints():
        await right.receive()
    await right.aclose()
    with trio.testing.assert_checkpoints():
        await right.receive()


async def test_a_full_inbox_makes_the_sender_wait_until_it_is_emptied() -> None:
    left, right = memory_transport_pair(capacity=2)
    progress = []
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def send_all() -> None:
            for number in range(5):
                await left.send(str(number))
                progress.append(number)

        for expected in [("0", "1"), ("2", "3"), ("4",)]:
            await trio.testing.wait_all_tasks_blocked()
            assert len(progress) == int(expected[-1]) + 1
            assert await right.receive() == expected


async def test_an_aborted_connection_drains_and_then_looks_like_a_failure_at_both_ends() -> None:
    left, right = memory_transport_pair()
    await left.send("in flight")
    left.abort()
    left.abort("only the first counts")
    assert await receive_all(right) == ["in flight"]
    assert left.closed == right.closed == Close(1006, "connection dropped")
    with pytest.raises(ConnectionLost):
        await right.send("x")


async def test_what_arrives_after_closing_is_discarded() -> None:
    left, right = memory_transport_pair()
    await right.aclose()
    with pytest.raises(ConnectionLost):
        await left.send("late")
    assert await right.receive() == ()


async def test_each_message_takes_one_place_however_it_was_sent() -> None:
    left, right = memory_transport_pair(capacity=4)
    for message in "ab":
        assert left.send_nowait(message)
    with trio.fail_after(5):
        await left.send("c")
    assert left.send_nowait("d")
    assert not left.send_nowait("e")
    assert await right.receive() == ("a", "b", "c", "d")
