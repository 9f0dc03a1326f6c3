"""WebSocket transports over real sockets: every way to connect, to be refused, to end and to be left."""

from __future__ import annotations

import base64
import hashlib
import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing
import trustme

from realtime_trio._transport.contract import Close, Transport
from realtime_trio._transport.settings import WebSocketSettings
from realtime_trio._transport.websocket import Tap, WebSocketTransport, open_websocket
from realtime_trio.errors import ConnectionFailed, ConnectionLost, LocalProtocolError
from realtime_trio.simulator.serving.http import HttpRequest, HttpResponse
from realtime_trio.simulator.serving.websocket_server import (
    Accept,
    HandshakeRequest,
    Reject,
    serve_websocket,
)

pytestmark = pytest.mark.socket

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
Script = Callable[[trio.SocketStream], Awaitable[None]]


# A WebSocket peer by hand, for what no honest library would do.


def frame(opcode: int, payload: bytes, *, size: int | None = None) -> bytes:
    """One whole frame of up to 125 bytes, or one that announces `size` bytes and then has fewer."""
    return struct.pack("!BB", 0x80 | opcode, len(payload) if size is None else size) + payload


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


async def read_request(stream: trio.abc.Stream) -> bytes:
    await trio.lowlevel.checkpoint()
    request = b""
    while b"\r\n\r\n" not in request:
        data = await stream.receive_some()
        assert data, "the client hung up"
        request += data
    return request


async def answer_upgrade(stream: trio.abc.Stream, rest: bytes = b"") -> None:
    request = await read_request(stream)
    [key] = [
        line.partition(b":")[2].strip()
        for line in request.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key:")
    ]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    head = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept
        + b"\r\n\r\n"
    )
    await stream.send_all(head + rest)


async def read_to_the_end(stream: trio.abc.Stream) -> bytes:
    await trio.lowlevel.checkpoint()
    data = b""
    try:
        async for chunk in stream:
            data += chunk
    except trio.BrokenResourceError:
        data += b"<reset>"
    return data


def reset(stream: trio.SocketStream) -> None:
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


@asynccontextmanager
async def limited_nursery() -> AsyncIterator[trio.Nursery]:
    """A nursery whose tasks end with the block, which must not take longer than 5 seconds."""
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 5
        yield nursery
        nursery.cancel_scope.cancel()
    assert trio.current_time() < nursery.cancel_scope.deadline, "too slow"


@asynccontextmanager
async def open_peer(script: Script) -> AsyncIterator[str]:
    """Run a script for one client; leaving waits for the script's end, which proves that the client's socket is closed."""
    finished = trio.Event()

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            await script(stream)
        finished.set()

    async with limited_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, handle, listeners)
        yield f"ws://127.0.0.1:{listeners[0].socket.getsockname()[1]}/v1"
        await finished.wait()


def count_tasks(root: trio.lowlevel.Task | None = None) -> int:
    root = root or trio.lowlevel.current_root_task()
    assert root is not None
    return 1 + sum(
        count_tasks(task) for nursery in root.child_nurseries for task in nursery.child_tasks
    )


async def receive_all(transport: Transport) -> list[str | bytes]:
    messages: list[str | bytes] = []
    while True:
        with trio.fail_after(5):
            batch = await transport.receive()
        if not batch:
            return messages
        messages.extend(batch)


async def echo(transport: Transport, _request: HandshakeRequest) -> None:
    await trio.lowlevel.checkpoint()
    for message in await transport.receive():
        await transport.send(message)
    await receive_all(transport)


# Connecting


async def test_a_refused_connection_fails_with_host_and_port() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    with pytest.raises(ConnectionFailed, match=f"127.0.0.1:{port}.*refused") as caught:
        async with open_websocket(f"ws://127.0.0.1:{port}/v1"):
            pytest.fail("not reached")
    assert (caught.value.status, caught.value.body) == (None, b"")


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (401, "401 Unauthorized"),
        (404, "404 Not Found"),
        (500, "500 Internal Server Error"),
        (599, "599"),
    ],
)
async def test_a_rejected_handshake_has_the_status_and_the_body(status: int, phrase: str) -> None:
    def admit(_request: HandshakeRequest) -> Reject:
        return Reject(
            status=status, headers=(("www-authenticate", "Bearer"),), body=b'{"error": "no"}'
        )

    async with limited_nursery() as nursery:
        host, port = await nursery.start(
            lambda task_status: serve_websocket(
                echo, "127.0.0.1", 0, admit=admit, task_status=task_status
            )
        )
        with pytest.raises(ConnectionFailed) as caught:
            async with open_websocket(
                f"ws://{host}:{port}/v1?key=s3cret", headers=[("authorization", "t0ken")]
            ):
                pytest.fail("not reached")
    assert (
        str(caught.value)
        == f"ws://127.0.0.1:{port}/v1 rejected the WebSocket handshake with HTTP {phrase}"
    )
    assert (caught.value.status, caught.value.body) == (status, b'{"error": "no"}')
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize(
    ("answer", "status", "body", "message"),
    [
        (
            b"HTTP/1.1 503 Busy\r\nconnection: close\r\n\r\ntry later",
            503,
            b"try later",
            "rejected .* HTTP 503 Service Unavailable$",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            200,
            b"hello",
            "rejected .* HTTP 200 OK$",
        ),
        (
            b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n",
            401,
            b"",
            "rejected .* HTTP 401 Unauthorized$",
        ),
        (b"HTTP/1.1 103 Early\r\n\r\n", 103, b"", "rejected .* HTTP 103 Early Hints$"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", None, b"", "did not answer as a WebSocket server"),
        (
            b"HTTP/1.1 101 Yes\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
            None,
            b"",
            "did not answer as a WebSocket server",
        ),
        (b"HTTP/1.1 40", None, b"", "closed the connection during the WebSocket handshake$"),
        (b"", None, b"", "closed the connection during the WebSocket handshake$"),
        (
            b"HTTP/1.1 500 No\r\n\r\n" + bytes(2**20),
            500,
            None,
            "rejected .* HTTP 500 Internal Server Error$",
        ),
    ],
)
async def test_whatever_comes_instead_of_a_handshake_is_a_failed_connection(
    answer: bytes, status: int | None, body: bytes | None, message: str
) -> None:
    async def script(stream: trio.SocketStream) -> None:
        await read_request(stream)
        try:
            await stream.send_all(answer)
            await stream.send_eof()
        except trio.BrokenResourceError:
            return
        await read_to_the_end(stream)

    async with open_peer(script) as url:
        with pytest.raises(ConnectionFailed, match=message) as caught:
            async with open_websocket(url + "?key=s3cret"):
                pytest.fail("not reached")
    assert caught.value.status == status
    assert body is None or caught.value.body == body
    assert "s3cret" not in str(caught.value)


async def test_a_connection_reset_during_the_handshake_is_a_failed_connection() -> None:
    async def script(stream: trio.SocketStream) -> None:
        await read_request(stream)
        reset(stream)

    async with open_peer(script) as url:
        with pytest.raises(
            ConnectionFailed, match="closed the connection during the WebSocket handshake"
        ):
            async with open_websocket(url):
                pytest.fail("not reached")


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_a_server_that_never_answers_runs_into_the_connect_timeout(scheme: str) -> None:
    async def script(stream: trio.SocketStream) -> None:
        await read_to_the_end(stream)

    async with open_peer(script) as url:
        with pytest.raises(
            ConnectionFailed, match=r"127\.0\.0\.1:\d+/v1: no answer within 0.1 s$"
        ) as caught:
            async with open_websocket(
                url.replace("ws", scheme, 1), settings=WebSocketSettings(connect_timeout=0.1)
            ):
                pytest.fail("not reached")
        assert caught.value.__cause__ is None


async def test_cancelling_while_connecting_leaves_nothing_behind() -> None:
    before = count_tasks()

    async def script(stream: trio.SocketStream) -> None:
        await read_to_the_end(stream)

    async with open_peer(script) as url:
        during = count_tasks()
        with trio.move_on_after(0.05) as scope:
            async with open_websocket(url):
                pytest.fail("not reached")
        assert scope.cancelled_caught
        assert count_tasks() == during + 1, "the script's task is still there, and nothing of ours"
    assert count_tasks() == before


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"url": "http://127.0.0.1/"}, "'http' is not the scheme"),
        ({"ssl_context": ssl.create_default_context()}, "SSL context"),
        ({"subprotocols": ["s3 cret"]}, "subprotocol"),
        ({"headers": [("authorization", "Bearer s3cret\n")]}, "'authorization' has a line break"),
        ({"headers": [("authorization", "Bearer s3cret€")]}, "'authorization'"),
        ({"headers": [("no good", "s3cret")]}, "not allowed"),
        ({"headers": [("Sec-WebSocket-Extensions", "permessage-deflate")]}, "sec-websocket-"),
    ],
)
async def test_unusable_arguments_are_refused_without_quoting_secrets(
    arguments: dict[str, object], problem: str
) -> None:
    with pytest.raises(LocalProtocolError, match=problem) as caught:
        async with open_websocket(**{"url": "ws://127.0.0.1:9/", **arguments}):  # type: ignore[arg-type]
            pytest.fail("not reached")
    assert "s3" not in str(caught.value)


async def test_the_handshake_carries_path_headers_credentials_and_no_extension() -> None:
    requests = []

    async def script(stream: trio.SocketStream) -> None:
        requests.append((await read_request(stream)).split(b"\r\n"))

    async with open_peer(script) as url:
        with pytest.raises(ConnectionFailed):
            async with open_websocket(
                url.replace("://", "://al:pw@") + "?a=b",
                headers=[("X-Extra", "1 2")],
                subprotocols=["one", "two"],
            ):
                pytest.fail("not reached")
    [lines] = requests
    assert lines[0] == b"GET /v1?a=b HTTP/1.1"
    assert {
        b"X-Extra: 1 2",
        b"Authorization: Basic YWw6cHc=",
        b"Sec-WebSocket-Protocol: one, two",
    } <= set(lines)
    assert b"Host: " + url.encode().split(b"/")[2] in lines
    assert b"extensions" not in b"".join(lines).lower()


async def test_an_explicit_authorization_header_wins_over_the_url() -> None:
    async def handler(transport: Transport, request: HandshakeRequest) -> None:
        await transport.send(
            repr([value for name, value in request.headers if name == "authorization"])
        )

    async with limited_nursery() as nursery:
        host, port = await nursery.start(serve_websocket, handler, "127.0.0.1", 0)
        async with open_websocket(
            f"ws://al:pw@{host}:{port}/", headers=[("AUTHORIZATION", "Bearer x")]
        ) as transport:
            assert await receive_all(transport) == ["['Bearer x']"]


async def test_a_proxy_is_taken_from_the_argument_or_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://al:s3cret@127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    for arguments, shown in [
        ({}, "http://127.0.0.1:9"),
        ({"proxy": "socks5://127.0.0.1:9"}, "socks5://127.0.0.1:9"),
        ({"proxy": None}, None),
    ]:
        with pytest.raises(ConnectionFailed) as caught:
            async with open_websocket("ws://api.example.invalid/", **arguments):  # type: ignore[arg-type]
                pytest.fail("not reached")
        assert ("through the proxy" in str(caught.value)) is (shown is not None)
        assert shown is None or f"through the proxy {shown}: " in str(caught.value)
        assert "s3cret" not in str(caught.value)


async def test_messages_travel_over_tls_and_an_unknown_authority_is_refused() -> None:
    authority = trustme.CA()
    server, client = (
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH),
        ssl.create_default_context(),
    )
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with limited_nursery() as nursery:
        host, port = await nursery.start(
            lambda task_status: serve_websocket(
                echo, "127.0.0.1", 0, ssl_context=server, task_status=task_status
            )
        )
        with pytest.raises(ConnectionFailed, match="certificate verify failed"):
            async with open_websocket(f"wss://{host}:{port}/"):
                pytest.fail("not reached")
        async with open_websocket(f"wss://{host}:{port}/", ssl_context=client) as transport:
            await transport.send("secret")
            assert await transport.receive() == ("secret",)
        assert transport.closed == Close(1000)


# How a connection ends


@pytest.mark.parametrize(
    ("ending", "close"),
    [
        (close_frame(1000, b"bye"), Close(1000, "bye")),
        (close_frame(1001), Close(1001)),
        (close_frame(1009, b"too big"), Close(1009, "too big")),
        (close_frame(1011, "größer".encode()), Close(1011, "größer")),
        (close_frame(4000, b"session expired"), Close(4000, "session expired")),
        (frame(CLOSE, b""), Close(1005)),
        (close_frame(1000) + frame(PING, b"late"), Close(1000)),
        (b"", Close(1006, "the peer hung up without a close frame")),
        (frame(TEXT, b"half", size=100), Close(1006, "the peer hung up without a close frame")),
    ],
)
async def test_what_came_before_the_end_is_delivered_and_the_end_is_reported_as_it_came(
    ending: bytes, close: Close
) -> None:
    async def script(stream: trio.SocketStream) -> None:
        await answer_upgrade(stream, frame(TEXT, b"one") + frame(BINARY, b"two") + ending)
        await stream.send_eof()
        await read_to_the_end(stream)

    async with open_peer(script) as url, open_websocket(url) as transport:
        assert await receive_all(transport) == ["one", b"two"]
        assert transport.closed == close
        with pytest.raises(ConnectionLost) as caught:
            await transport.send("too late")
        assert (caught.value.code, caught.value.reason) == (close.code, close.reason)


async def test_a_reset_in_the_middle_of_a_frame_is_an_abnormal_end() -> None:
    async def script(stream: trio.SocketStream) -> None:
        await answer_upgrade(stream, frame(TEXT, b"whole"))
        await read_exactly_a_pong(stream)
        await stream.send_all(frame(TEXT, b"half", size=100))
        reset(stream)

    async def read_exactly_a_pong(stream: trio.SocketStream) -> None:
        await stream.send_all(frame(PING, b""))
        assert await stream.receive_some()

    async with open_peer(script) as url, open_websocket(url) as transport:
        assert await receive_all(transport) == ["whole"]
        assert transport.closed == Close(1006, "the connection broke: Connection reset by peer")


@pytest.mark.parametrize(
    ("garbage", "code"),
    [
        (b"\xff\xff\xff\xff", 1002),
        (frame(TEXT, b"\xff\xfe"), 1007),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", 1002),
    ],
)
async def test_garbage_ends_the_connection_as_a_protocol_error(garbage: bytes, code: int) -> None:
    async def script(stream: trio.SocketStream) -> None:
        await answer_upgrade(stream, frame(TEXT, b"fine"))
        await stream.send_all(garbage)
        await read_to_the_end(stream)

    async with open_peer(script) as url, open_websocket(url) as transport:
        assert await receive_all(transport) == ["fine"]
        assert transport.closed is not None
        assert transport.closed.code == code


async def test_a_message_over_the_limit_ends_the_connection_with_1009_and_the_peer_learns_it() -> (
    None
):
    ends, seen_ends = trio.open_memory_channel[Close | None](0)

    async def handler(transport: Transport, _request: HandshakeRequest) -> None:
        await transport.send("small")
        await transport.send("x" * 5000)
        await receive_all(transport)
        await ends.send(transport.closed)

    async with limited_nursery() as nursery:
        host, port = await nursery.start(serve_websocket, handler, "127.0.0.1", 0)
        async with open_websocket(
            f"ws://{host}:{port}/", settings=WebSocketSettings(max_message_size=1000)
        ) as transport:
            assert await receive_all(transport) == ["small"]
            assert transport.closed is not None
            assert transport.closed.code == 1009
            assert "1000" in transport.closed.reason
            assert await seen_ends.receive() == transport.closed


async def test_two_messages_over_the_limit_at_once_still_end_it_with_1009() -> None:
    async def script(stream: trio.SocketStream) -> None:
        await answer_upgrade(stream, 3 * frame(TEXT, bytes(50)))
        await read_to_the_end(stream)

    async with (
        open_peer(script) as url,
        open_websocket(url, settings=WebSocketSettings(max_message_size=10)) as transport,
    ):
        assert await receive_all(transport) == []
        assert transport.closed is not None
        assert transport.closed.code == 1009


async def test_twenty_mebibytes_travel_both_ways() -> None:
    message = "0123456789abcdef" * (20 * 2**16)
    async with limited_nursery() as nursery:
        host, port = await nursery.start(serve_websocket, echo, "127.0.0.1", 0)
        async with open_websocket(f"ws://{host}:{port}/") as transport:
            await transport.send(message)
            assert await transport.receive() == (message,)
            await transport.send(b"and on")


# Keep-alive and a consumer that does not come


async def test_a_peer_that_never_answers_pings_is_given_up() -> None:
    async def script(stream: trio.SocketStream) -> None:
        await answer_upgrade(stream)
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
        await answer_upgrade(stream)
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
        await answer_upgrade(stream)
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
        await answer_upgrade(stream, 100 * frame(TEXT, b"unread"))
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
        await answer_upgrade(stream, 100 * frame(TEXT, b"x" * 10) + frame(PING, b""))
        await stream.receive_some()
        pings_answered.set()
        await stream.send_all(close_frame(1000))
        await read_to_the_end(stream)

    async with (
        open_peer(script) as url,
        open_websocket(url, settings=WebSocketSettings(max_message_size=100)) as transport,
    ):
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert not pings_answered.is_set()
        assert await transport.receive() == 10 * ("x" * 10,)
        assert await receive_all(transport) == 90 * ["x" * 10]
        assert pings_answered.is_set()
        assert transport.closed == Close(1000)


async def test_leaving_with_a_full_inbox_closes_at_once() -> None:
    async def script(stream: trio.SocketStream) -> None:
        await answer_upgrade(stream, 100 * frame(TEXT, b"x" * 10))
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


async def test_a_close_frame_is_given_up_on_when_it_cannot_be_answered() -> None:
    async def script(stream: trio.SocketStream) -> None:
        await answer_upgrade(stream)
        await stream.receive_some(1)
        await stream.send_all(close_frame(1009, b"enough"))
        await stuck.wait()

    stuck = trio.Event()
    async with (
        open_peer(script) as url,
        trio.open_nursery() as nursery,
        open_websocket(
            url, settings=WebSocketSettings(ping_interval=0.1, ping_timeout=0.05)
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
    authority = trustme.CA()
    server, client = (
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH),
        ssl.create_default_context(),
    )
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    received: list[bytes] = []

    async def script(stream: trio.SocketStream) -> None:
        upgraded = (
            trio.SSLStream(stream, server, server_side=True, https_compatible=True)
            if secure
            else stream
        )
        await answer_upgrade(upgraded)
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
        await answer_upgrade(stream)
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
        await answer_upgrade(stream)
        received.append(await stream.receive_some())
        await stream.send_all(answers)
        received.append(await read_to_the_end(stream))

    before = count_tasks()
    async with open_peer(script) as url:
        async with open_websocket(url, settings=WebSocketSettings(close_timeout=0.2)) as transport:
            pass
        assert transport.closed == Close(1000)
        assert await transport.receive() == ()
    assert received[0][:2] == bytes([0x80 | CLOSE, 0x80 | 2])
    assert count_tasks() == before


async def test_leaving_because_of_an_exception_says_going_away_and_the_exception_leaves_unchanged() -> (
    None
):
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
        await answer_upgrade(stream, close_frame(1011))
        await read_to_the_end(stream)

    async with open_peer(script) as url:
        async with open_websocket(url) as transport:
            await receive_all(transport)
            await trio.sleep(0.01)
        assert transport.closed == Close(1011)


async def test_a_close_frame_that_crosses_ours_is_still_answered() -> None:
    received: list[bytes] = []

    async def script(stream: trio.SocketStream) -> None:
        await answer_upgrade(stream)
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
        await answer_upgrade(stream, close_frame(1000))
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
        async with Tap(stream) as tap:
            await tap.wait_send_all_might_not_block()


# Serving


async def test_the_server_sees_the_request_and_selects_a_subprotocol() -> None:
    requests = []

    def admit(request: HandshakeRequest) -> Accept:
        requests.append(request)
        return Accept(subprotocol=request.subprotocols[-1], headers=(("x-served-by", "test"),))

    async def handler(transport: Transport, request: HandshakeRequest) -> None:
        await transport.send(request.path)

    async with limited_nursery() as nursery:
        host, port = await nursery.start(
            lambda task_status: serve_websocket(
                handler, "127.0.0.1", 0, admit=admit, task_status=task_status
            )
        )
        url = f"ws://{host}:{port}/v1/realtime?model=m&key=s3cret"
        async with open_websocket(
            url, headers=[("Authorization", "Bearer t0ken")], subprotocols=["realtime", "key.k3y"]
        ) as transport:
            assert transport.subprotocol == "key.k3y"
            assert await receive_all(transport) == ["/v1/realtime?model=m&key=s3cret"]
            assert transport.closed == Close(1000)
    [request] = requests
    assert request.subprotocols == ("realtime", "key.k3y")
    assert request.header("AUTHORIZATION") == "Bearer t0ken"
    assert request.header("x-unknown") is None
    assert request.peer[0] == "127.0.0.1"
    assert "/v1/realtime" in repr(request)
    assert not any(secret in repr(request) for secret in ("s3cret", "t0ken", "k3y"))


async def test_an_exception_in_a_handler_is_logged_and_closes_that_connection_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(transport: Transport, request: HandshakeRequest) -> None:
        if request.path == "/bad":
            raise ValueError("a bug")
        await echo(transport, request)

    async with limited_nursery() as nursery:
        host, port = await nursery.start(serve_websocket, handler, "127.0.0.1", 0)
        async with (
            open_websocket(f"ws://{host}:{port}/good") as good,
            open_websocket(f"ws://{host}:{port}/bad") as bad,
        ):
            assert await receive_all(bad) == []
            assert bad.closed == Close(1011, "internal error")
            await good.send("still there?")
            assert await good.receive() == ("still there?",)
    [record] = caplog.records
    assert record.name == "realtime_trio.simulator"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)


async def test_a_client_that_has_gone_is_no_error_of_the_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handled = trio.Event()

    async def handler(transport: Transport, _request: HandshakeRequest) -> None:
        await receive_all(transport)
        handled.set()
        await transport.send("anybody?")

    async with limited_nursery() as nursery:
        host, port = await nursery.start(serve_websocket, handler, "127.0.0.1", 0)
        async with open_websocket(f"ws://{host}:{port}/"):
            pass
        await handled.wait()
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def select_what_was_not_offered(_request: HandshakeRequest) -> Accept:
    return Accept(subprotocol="mine")


def crash(_request: HandshakeRequest) -> Accept:
    raise ValueError("a bug")


def answer_with_an_impossible_header(_request: HandshakeRequest) -> Reject:
    return Reject(status=401, headers=(("bad name", "x"),))


@pytest.mark.parametrize(
    "admit", [select_what_was_not_offered, crash, answer_with_an_impossible_header]
)
async def test_a_failing_admission_is_logged_and_answered_with_http_500(
    admit: Callable[[HandshakeRequest], Accept | Reject], caplog: pytest.LogCaptureFixture
) -> None:
    async with limited_nursery() as nursery:
        host, port = await nursery.start(
            lambda task_status: serve_websocket(
                echo, "127.0.0.1", 0, admit=admit, task_status=task_status
            )
        )
        with pytest.raises(ConnectionFailed, match="HTTP 500"):
            async with open_websocket(f"ws://{host}:{port}/"):
                pytest.fail("not reached")
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_clients_that_are_no_websocket_clients_are_survived() -> None:
    async with limited_nursery() as nursery:
        host, port = await nursery.start(
            lambda task_status: serve_websocket(
                echo,
                "127.0.0.1",
                0,
                settings=WebSocketSettings(connect_timeout=0.1),
                task_status=task_status,
            )
        )
        for request in [
            b"",
            b"nonsense\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: \xff\r\n\r\n",
        ]:
            stream = await trio.open_tcp_stream(host, port)
            await stream.send_all(request)
            await stream.send_eof()
            assert b" 101 " not in await read_to_the_end(stream)
            await stream.aclose()
        silent = await trio.open_tcp_stream(host, port)
        assert await read_to_the_end(silent) == b""
        await silent.aclose()
        gone = socket.create_connection((host, port))
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()
        async with open_websocket(f"ws://{host}:{port}/") as transport:
            await transport.send("fine")
            assert await transport.receive() == ("fine",)


async def test_cancelling_the_server_closes_every_connection_as_going_away_and_leaves_no_task() -> (
    None
):
    before = count_tasks()
    async with limited_nursery() as nursery, trio.open_nursery() as server_nursery:
        host, port = await server_nursery.start(serve_websocket, echo, "127.0.0.1", 0)
        url = f"ws://{host}:{port}/"
        async with open_websocket(url) as one, open_websocket(url) as two:
            server_nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                assert await receive_all(one) == await receive_all(two) == []
            assert one.closed == two.closed == Close(1001)
            assert not nursery.cancel_scope.cancel_called
    assert count_tasks() == before


async def test_a_client_that_never_answers_the_close_frame_does_not_hold_the_server_up() -> None:
    async def handler(_transport: Transport, _request: HandshakeRequest) -> None:
        await trio.lowlevel.checkpoint()

    async with limited_nursery() as nursery:
        host, port = await nursery.start(
            lambda task_status: serve_websocket(
                handler,
                "127.0.0.1",
                0,
                settings=WebSocketSettings(close_timeout=0.05),
                task_status=task_status,
            )
        )
        stream = await trio.open_tcp_stream(host, port)
        await stream.send_all(
            b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert (await read_to_the_end(stream)).endswith(close_frame(1000))
        await stream.aclose()


async def test_what_comes_over_plain_http_is_answered_and_websockets_are_served_beside_it() -> None:
    async def answer(request: HttpRequest) -> HttpResponse:
        await trio.lowlevel.checkpoint()
        return HttpResponse(
            status=200,
            body=f"{request.method} {request.path} {len(request.body)} {request.peer[0]}".encode(),
        )

    async with limited_nursery() as nursery:
        host, port = await nursery.start(
            partial(
                serve_websocket,
                echo,
                "127.0.0.1",
                0,
                http=answer,
                settings=WebSocketSettings(receive_buffer_size=16),
            )
        )
        for ending in (False, True):
            stream = await trio.open_tcp_stream(host, port)
            await stream.send_all(b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc")
            if ending:
                await stream.send_eof()
            assert (await read_to_the_end(stream)).endswith(b"\r\n\r\nPOST /x 3 127.0.0.1")
            await stream.aclose()
        async with open_websocket(f"ws://{host}:{port}/", subprotocols=["one"]) as transport:
            assert transport.subprotocol is None
            await transport.send("fine")
            assert await transport.receive() == ("fine",)


async def test_an_answer_is_read_even_by_a_client_who_is_still_sending() -> None:
    async def answer(_request: HttpRequest) -> HttpResponse:
        await trio.lowlevel.checkpoint()
        raise AssertionError

    async with limited_nursery() as nursery:
        host, port = await nursery.start(
            lambda task_status: serve_websocket(
                echo, "127.0.0.1", 0, http=answer, task_status=task_status
            )
        )
        stream = await trio.open_tcp_stream(host, port)
        await stream.send_all(
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % 2**22 + bytes(2**22)
        )
        answer_of_server = await read_to_the_end(stream)
        assert answer_of_server.startswith(b"HTTP/1.1 413 ")
        assert b"<reset>" not in answer_of_server
        await stream.aclose()


async def test_a_client_that_leaves_before_it_is_answered_or_takes_too_long_is_survived(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def never(_request: HttpRequest) -> HttpResponse:
        await trio.sleep_forever()
        raise AssertionError

    async with limited_nursery() as nursery:
        serve = partial(
            serve_websocket,
            echo,
            "127.0.0.1",
            0,
            http=never,
            settings=WebSocketSettings(connect_timeout=0.1),
        )
        host, port = await nursery.start(serve)
        for request in [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"]:
            patient = await trio.open_tcp_stream(host, port)
            await patient.send_all(request)
            assert await read_to_the_end(patient) == b""
            await patient.aclose()
            impatient = await trio.open_tcp_stream(host, port)
            await impatient.send_all(request)
            reset(impatient)
        async with open_websocket(f"ws://{host}:{port}/") as transport:
            await transport.send("fine")
            assert await transport.receive() == ("fine",)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_an_interrupt_in_a_handler_ends_the_server_even_while_that_is_cancelled(
    is_cancelled: bool,
) -> None:
    interrupt = SystemExit("enough")

    async def serve() -> None:
        async with trio.open_nursery() as nursery:

            async def handler(_transport: Transport, _request: HandshakeRequest) -> None:
                await trio.lowlevel.checkpoint()
                if is_cancelled:
                    nursery.cancel_scope.cancel()
                raise interrupt

            host, port = await nursery.start(serve_websocket, handler, "127.0.0.1", 0)
            async with open_websocket(f"ws://{host}:{port}/") as transport:
                await receive_all(transport)

    caught: list[BaseException] = []
    await trio.lowlevel.checkpoint()
    try:
        await serve()
    except* SystemExit as group:
        caught += group.exceptions
    assert caught == [interrupt]


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("how", ["abort", "reset"])
async def test_a_connection_can_be_dropped_as_by_a_failing_network(how: str, secure: bool) -> None:
    authority = trustme.CA()
    server, client = (
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH),
        ssl.create_default_context(),
    )
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    ends = []

    async def handler(transport: Transport, _request: HandshakeRequest) -> None:
        assert isinstance(transport, WebSocketTransport)
        ends.append(transport)
        while await transport.receive() == ("go on",):
            await transport.send("last words")
        getattr(transport, how)("on purpose")
        getattr(transport, how)("twice")
        assert transport.closed == Close(1006, "on purpose")
        with pytest.raises(ConnectionLost, match="1006 on purpose"):
            await transport.send("anybody?")
        await transport.aclose()
        assert await receive_all(transport) == []

    async with limited_nursery() as nursery:
        serve = partial(
            serve_websocket, handler, "127.0.0.1", 0, ssl_context=server if secure else None
        )
        host, port = await nursery.start(serve)
        url = f"{'wss' if secure else 'ws'}://{host}:{port}/"
        async with open_websocket(url, ssl_context=client if secure else None) as transport:
            await transport.send("go on")
            assert await transport.receive() == ("last words",)
            await transport.send("enough")
            assert await receive_all(transport) == []
            assert transport.closed is not None
            assert transport.closed.code == 1006
            if how == "reset":
                assert "reset" in transport.closed.reason
            with pytest.raises(ConnectionLost) as caught:
                await transport.send("anybody?")
            assert caught.value.code == 1006
    [end] = ends
    assert end.closed == Close(1006, "on purpose")


async def test_an_aborted_connection_leaves_what_was_received_and_releases_who_waits() -> None:
    async def handler(transport: Transport, _request: HandshakeRequest) -> None:
        await transport.send("one")
        await receive_all(transport)

    before = count_tasks()
    async with limited_nursery() as nursery:
        host, port = await nursery.start(serve_websocket, handler, "127.0.0.1", 0)
        async with open_websocket(f"ws://{host}:{port}/") as transport:
            await trio.testing.wait_all_tasks_blocked(0.05)
            transport.abort()
            assert transport.closed == Close(1006, "connection dropped")
            assert await receive_all(transport) == ["one"]
        async with open_websocket(f"ws://{host}:{port}/") as transport:
            assert await transport.receive() == ("one",)
            async with trio.open_nursery() as waiting:
                waiting.start_soon(receive_all, transport)
                await trio.testing.wait_all_tasks_blocked()
                transport.reset()
            assert transport.closed == Close(1006, "connection reset")
    assert count_tasks() == before
