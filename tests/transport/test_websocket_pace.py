"""WebSockets that are slow, silent or left: keep-alive, full inboxes and the close timeout."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio
import trio.testing
from certificates import tls_contexts
from peers import tasks
from websocket_peers import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    accept_upgrade,
    close_frame,
    frame,
    limited_nursery,
    open_peer,
    read_to_the_end,
    receive_all,
    reset,
)

from realtime_trio._serving.websocket_server import HandshakeRequest, serve_websocket
from realtime_trio._transport.contract import Close, Transport
from realtime_trio._transport.line import Line
from realtime_trio._transport.settings import WebSocketSettings
from realtime_trio._transport.tap import Tap
from realtime_trio._transport.websocket_client import open_websocket
from realtime_trio.errors import ConnectionLost

pytestmark = pytest.mark.socket


# Keep-alive and a consumer that does not come


async def test_a_peer_that_never_answers_pings_is_given_up() -> None:
    async def script(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream)
        await read_to_the_end(stream)

    async with (
        open_peer(script) as url,
        open_websocket(
            url, settings=WebSocketSettings(ping_interval=0.02, ping_timeout=0.05)
        ) as transport,
    ):
        assert await receive_all(transport) == []
        assert transport.closed == Close(1006, "no pong within 0.05 s")


async def test_a_peer_that_answers_pings_is_kept() -> None:
    pings: list[bytes] = []

    async def script(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream)
        while len(pings) < 3:
            data = bytearray(await stream.receive_some())
            pings.append(bytes(byte ^ data[2 + index % 4] for index, byte in enumerate(data[6:])))
            await stream.send_all(frame(PONG, pings[-1]))
        await stream.send_all(close_frame(1000))
        await read_to_the_end(stream)

    async with (
        open_peer(script) as url,
        open_websocket(
            url, settings=WebSocketSettings(ping_interval=0.01, ping_timeout=2)
        ) as transport,
    ):
        assert await receive_all(transport) == []
        assert transport.closed == Close(1000)
    assert len(set(pings)) == 3


async def test_without_an_interval_nobody_pings_and_servers_ping_too() -> None:
    async def handler(transport: Transport, _request: HandshakeRequest) -> None:
        await receive_all(transport)
        await ends.send(transport.closed)

    ends, seen_ends = trio.open_memory_channel[Close | None](0)
    async with limited_nursery() as nursery:
        host, port = await nursery.start(
            lambda task_status: serve_websocket(
                handler,
                "127.0.0.1",
                0,
                settings=WebSocketSettings(ping_interval=0.01, ping_timeout=0.05),
                task_status=task_status,
            )
        )
        stream = await trio.open_tcp_stream(host, port)
        await stream.send_all(
            b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        data = await read_to_the_end(stream)
        assert data.partition(b"\r\n\r\n")[2][:1] == bytes([0x80 | PING])
        await stream.aclose()
        assert await seen_ends.receive() == Close(1006, "no pong within 0.05 s")

    received: list[bytes] = []

    async def script(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream)
        with trio.move_on_after(0.05):
            received.append(await stream.receive_some())
        await stream.send_all(close_frame(1000))
        await read_to_the_end(stream)

    async with (
        open_peer(script) as url,
        open_websocket(url, settings=WebSocketSettings(ping_interval=None)) as transport,
    ):
        await receive_all(transport)
    assert received == []


async def test_pings_are_answered_while_messages_wait_unread() -> None:
    answers = []

    async def script(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream, 100 * frame(TEXT, b"unread"))
        await stream.send_all(frame(PING, b"there?"))
        answers.append((await stream.receive_some())[0])
        answered.set()
        await read_to_the_end(stream)

    answered = trio.Event()
    async with (
        open_peer(script) as url,
        open_websocket(url, settings=WebSocketSettings(close_timeout=0.05)) as transport,
    ):
        await answered.wait()
        assert await transport.receive() == 100 * ("unread",)
    assert answers == [0x80 | PONG]


async def test_reading_stops_while_the_inbox_is_full_and_goes_on_when_it_is_emptied() -> None:
    pings_answered = trio.Event()

    async def script(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream, 100 * frame(TEXT, b"x" * 10) + frame(PING, b""))
        await stream.receive_some()
        pings_answered.set()
        await stream.send_all(close_frame(1000))
        await read_to_the_end(stream)

    async with (
        open_peer(script) as url,
        open_websocket(
            url, settings=WebSocketSettings(max_message_size=100, receive_buffer_size=100)
        ) as transport,
    ):
        await trio.testing.wait_all_tasks_blocked(0.1)
        assert not pings_answered.is_set()
        waiting = await transport.receive()
        assert 10 <= len(waiting) < 30, "as many as are full, and those of one reading more"
        assert await receive_all(transport) == (100 - len(waiting)) * ["x" * 10]
        assert pings_answered.is_set()
        assert transport.closed == Close(1000)


async def test_leaving_with_a_full_inbox_closes_at_once() -> None:
    async def script(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream, 100 * frame(TEXT, b"x" * 10))
        assert (await stream.receive_some())[0] == 0x80 | CLOSE
        await stream.send_all(close_frame(1000))
        await read_to_the_end(stream)

    async with (
        open_peer(script) as url,
        open_websocket(
            url, settings=WebSocketSettings(max_message_size=100, close_timeout=60)
        ) as transport,
    ):
        await trio.testing.wait_all_tasks_blocked(0.02)
    assert transport.closed == Close(1000)


@pytest.mark.parametrize(
    "interval", [pytest.param(0.1, id="ping first"), pytest.param(0.5, id="close frame first")]
)
async def test_a_close_frame_is_given_up_on_when_it_cannot_be_answered(interval: float) -> None:
    async def script(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream)
        await stream.receive_some(1)
        await stream.send_all(close_frame(1009, b"enough"))
        await stuck.wait()

    stuck = trio.Event()
    async with (
        open_peer(script) as url,
        trio.open_nursery() as nursery,
        open_websocket(
            url, settings=WebSocketSettings(ping_interval=interval, ping_timeout=0.05)
        ) as transport,
    ):

        @nursery.start_soon
        async def send_for_ever() -> None:
            with pytest.raises(ConnectionLost, match="1009 enough"):
                await transport.send("x" * 2**24)

        assert await receive_all(transport) == []
        assert transport.closed == Close(1009, "enough")
        stuck.set()


@pytest.mark.parametrize("secure", [False, True])
async def test_a_send_cancelled_half_way_drops_the_connection_and_writes_nothing_more(
    secure: bool,
) -> None:
    server, client = tls_contexts()
    received: list[bytes] = []

    async def script(stream: trio.SocketStream) -> None:
        upgraded = (
            trio.SSLStream(stream, server, server_side=True, https_compatible=True)
            if secure
            else stream
        )
        await accept_upgrade(upgraded)
        await cancelled.wait()
        received.append(await read_to_the_end(upgraded))

    cancelled = trio.Event()
    async with open_peer(script) as url:
        url = url.replace("ws://", "wss://") if secure else url
        async with open_websocket(url, ssl_context=client if secure else None) as transport:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(transport.send, "x" * 2**24)
                await trio.testing.wait_all_tasks_blocked(0.05)
                nursery.cancel_scope.cancel()
            assert transport.closed == Close(1006, "a send was cancelled half way")
            assert await transport.receive() == ()
            cancelled.set()
            with pytest.raises(ConnectionLost, match="half way"):
                await transport.send("more")
    assert 0 < len(received[0]) < 2**24


async def test_a_reset_releases_a_waiting_send() -> None:
    async def script(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream)
        await stream.receive_some(1)
        await trio.testing.wait_all_tasks_blocked(0.02)
        reset(stream)

    async with open_peer(script) as url, open_websocket(url) as transport:
        with pytest.raises(ConnectionLost, match="1006 the connection broke") as caught:
            await transport.send("x" * 2**24)
        assert transport.closed == Close(1006, caught.value.reason)
        assert await receive_all(transport) == []


# Leaving


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(frame(PING, b"") + close_frame(1000), id="a ping before the close frame"),
        pytest.param(
            frame(TEXT, b"late") + close_frame(1000), id="a message before the close frame"
        ),
    ],
)
async def test_leaving_says_goodbye_and_closes_the_socket_within_the_close_timeout(
    answers: bytes,
) -> None:
    received: list[bytes] = []

    async def script(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream)
        received.append(await stream.receive_some())
        await stream.send_all(answers)
        received.append(await read_to_the_end(stream))

    before = len(tasks())
    async with open_peer(script) as url:
        async with open_websocket(url, settings=WebSocketSettings(close_timeout=0.2)) as transport:
            pass
        assert transport.closed == Close(1000)
        assert await transport.receive() == ()
    assert received[0][:2] == bytes([0x80 | CLOSE, 0x80 | 2])
    assert len(tasks()) == before


async def test_leaving_by_an_exception_says_going_away_and_the_exception_leaves_unchanged() -> None:
    ends, seen_ends = trio.open_memory_channel[Close | None](0)

    async def handler(transport: Transport, _request: HandshakeRequest) -> None:
        await receive_all(transport)
        await ends.send(transport.closed)

    errors: list[BaseException] = [
        ValueError("mine"),
        ExceptionGroup("mine", [ValueError(), KeyError()]),
        KeyboardInterrupt(),
    ]
    async with limited_nursery() as nursery:
        host, port = await nursery.start(serve_websocket, handler, "127.0.0.1", 0)
        for error in errors:
            with pytest.raises(type(error)) as caught:
                async with open_websocket(f"ws://{host}:{port}/"):
                    raise error
            assert caught.value is error
            assert await seen_ends.receive() == Close(1001)
        with trio.move_on_after(0.05) as scope:
            async with open_websocket(f"ws://{host}:{port}/"):
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert await seen_ends.receive() == Close(1001)


async def test_the_end_of_the_connection_does_not_disturb_the_body() -> None:
    async def script(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream, close_frame(1011))
        await read_to_the_end(stream)

    async with open_peer(script) as url:
        async with open_websocket(url) as transport:
            await receive_all(transport)
            await trio.sleep(0.01)
        assert transport.closed == Close(1011)


async def test_a_close_frame_that_crosses_ours_is_still_answered() -> None:
    received: list[bytes] = []

    async def script(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream)
        await stream.receive_some(1)
        await stream.send_all(close_frame(4000))
        await leaving.wait()
        received.append(await read_to_the_end(stream))

    leaving = trio.Event()
    async with (
        open_peer(script) as url,
        open_websocket(url, settings=WebSocketSettings(close_timeout=5)) as transport,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(transport.send, "x" * 2**24)
        await trio.testing.wait_all_tasks_blocked(0.05)
        nursery.start_soon(transport.aclose)
        await trio.testing.wait_all_tasks_blocked(0.01)
        leaving.set()
    assert len(received[0]) == 2**24 + 13 + 8, "the message and the answer"
    assert received[0][-8:-6] == bytes([0x80 | CLOSE, 0x80 | 2])


async def test_data_behind_the_close_frame_is_read_and_ignored() -> None:
    async def script(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream, close_frame(1000))
        await stream.receive_some()
        await trio.testing.wait_all_tasks_blocked(0.01)
        await stream.send_all(frame(TEXT, b"afterthought"))

    async with open_peer(script) as url, open_websocket(url) as transport:
        assert await receive_all(transport) == []
        assert transport.closed == Close(1000)


async def test_a_tap_tells_when_the_stream_below_can_send() -> None:
    async def script(stream: trio.SocketStream) -> None:
        await read_to_the_end(stream)

    async with open_peer(script) as url:
        stream = await trio.open_tcp_stream("127.0.0.1", int(url.split(":")[2].split("/")[0]))
        async with Tap(Line(stream)) as tap:
            await tap.wait_send_all_might_not_block()


@pytest.mark.parametrize("reads", [True, False], ids=["a silent peer", "a peer that does not read"])
async def test_a_cancelled_close_says_goodbye_if_that_goes_at_once_and_drops_the_line(
    reads: bool,
) -> None:
    received: list[bytes] = []

    async def script(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream)
        if not reads:
            await gone.wait()
        received.append(await read_to_the_end(stream))
        hung_up.set()

    gone, hung_up = trio.Event(), trio.Event()
    async with open_peer(script) as url:
        async with open_websocket(url, settings=WebSocketSettings(close_timeout=60)) as transport:
            async with trio.open_nursery() as nursery:
                if not reads:
                    nursery.start_soon(suppressed, transport.send, "x" * 2**24)
                    await trio.testing.wait_all_tasks_blocked(0.05)
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await transport.aclose(1001)
                assert scope.cancelled_caught
            gone.set()
            await hung_up.wait()
        assert transport.closed == Close(1001)
    assert reads == (received[0][:2] == bytes([0x80 | CLOSE, 0x80 | 2]))


@pytest.mark.parametrize("says", [b"", close_frame(1000)], ids=["a silent peer", "the end"])
async def test_a_cancelled_close_does_not_wait_once_its_last_words_are_said(
    says: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_trio._transport.websocket._LAST_WORDS_S", 60)

    async def script(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream, says)
        await read_to_the_end(stream)

    async with (
        open_peer(script) as url,
        open_websocket(url, settings=WebSocketSettings(close_timeout=60)) as transport,
    ):
        if says:
            assert await receive_all(transport) == []
        with trio.CancelScope() as scope:
            scope.cancel()
            await transport.aclose()
        assert scope.cancelled_caught
        # It is over when `aclose` has returned, and not soon afterwards.
        assert not any(task.name.endswith("WebSocketTransport.run") for task in tasks())


async def suppressed(send: Callable[[str], Awaitable[None]], message: str) -> None:
    await trio.lowlevel.checkpoint()
    with suppress(ConnectionLost):
        await send(message)
