"""The WebSocket transport: connecting, and how a connection ends."""

from __future__ import annotations

import ssl

import pytest
import trio
import trio.testing
from certificates import tls_contexts
from peers import tasks
from websocket_peers import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    Reader,
    accept_upgrade,
    close_frame,
    echo,
    frame,
    limited_nursery,
    open_peer,
    read_to_the_end,
    receive_all,
    reset,
)

from realtime_trio._serving.websocket_server import (
    HandshakeRequest,
    Reject,
    serve_websocket,
)
from realtime_trio._transport.contract import Close, Transport
from realtime_trio._transport.settings import WebSocketSettings
from realtime_trio._transport.websocket_client import open_websocket
from realtime_trio.errors import ConnectionFailed, ConnectionLost, LocalProtocolError

pytestmark = pytest.mark.socket


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
        await Reader(stream).request()
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


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"HTTP/1.1 401 No\r\ncontent-length: 500\r\n\r\n", 401),
        (b"HTTP/1.1 500 Oh\r\n\r\n", 500),
        (b"HTTP/1.1 429 Slow down\r\nconnection: keep-alive\r\n\r\n", 429),
    ],
)
@pytest.mark.parametrize("is_dripping", [True, False])
async def test_a_refusal_whose_body_does_not_end_is_told_by_its_status(
    head: bytes, status: int, is_dripping: bool
) -> None:
    async def script(stream: trio.SocketStream) -> None:
        await Reader(stream).request()
        await stream.send_all(head[:20])
        await trio.sleep(0.05)
        await stream.send_all(head[20:] + b"wait")
        try:
            while is_dripping:
                await trio.sleep(0.05)
                await stream.send_all(b".")
        except trio.BrokenResourceError:
            return
        await read_to_the_end(stream)

    start = trio.current_time()
    async with open_peer(script) as url:
        with pytest.raises(ConnectionFailed, match=f"rejected .* HTTP {status} ") as caught:
            async with open_websocket(url):
                pytest.fail("not reached")
    assert trio.current_time() - start < 3, "the time for connecting is 10 s"
    assert caught.value.status == status
    assert caught.value.body.startswith(b"wait")


async def test_a_connection_reset_during_the_handshake_is_a_failed_connection() -> None:
    async def script(stream: trio.SocketStream) -> None:
        await Reader(stream).request()
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
    before = len(tasks())

    async def script(stream: trio.SocketStream) -> None:
        await read_to_the_end(stream)

    async with open_peer(script) as url:
        during = len(tasks())
        with trio.move_on_after(0.05) as scope:
            async with open_websocket(url):
                pytest.fail("not reached")
        assert scope.cancelled_caught
        assert len(tasks()) == during + 1, "the script's task is still there, and nothing of ours"
    assert len(tasks()) == before


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
        ({"headers": [("Content-Length", "s3")]}, "content-length"),
        ({"headers": [("transfer-encoding", "chunked")]}, "transfer-encoding"),
    ],
)
async def test_unusable_arguments_are_refused_without_quoting_secrets(
    arguments: dict[str, object], problem: str
) -> None:
    all_arguments = {"url": "ws://127.0.0.1:9/", **arguments}
    with pytest.raises(LocalProtocolError, match=problem) as caught:
        async with open_websocket(**all_arguments):  # type: ignore[arg-type]
            pytest.fail("not reached")
    assert "s3" not in str(caught.value)


async def test_the_handshake_carries_path_headers_credentials_and_no_extension() -> None:
    requests = []

    async def script(stream: trio.SocketStream) -> None:
        requests.append((await Reader(stream).request()).split(b"\r\n"))

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
        url = "ws://api.example.invalid/"
        with pytest.raises(ConnectionFailed) as caught:
            async with open_websocket(url, **arguments):  # type: ignore[arg-type]
                pytest.fail("not reached")
        assert ("through the proxy" in str(caught.value)) is (shown is not None)
        assert shown is None or f"through the proxy {shown}: " in str(caught.value)
        assert "s3cret" not in str(caught.value)


async def test_messages_travel_over_tls_and_an_unknown_authority_is_refused() -> None:
    server, client = tls_contexts()
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
        await accept_upgrade(stream, frame(TEXT, b"one") + frame(BINARY, b"two") + ending)
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
        await accept_upgrade(stream, frame(TEXT, b"whole"))
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
        await accept_upgrade(stream, frame(TEXT, b"fine"))
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
        await accept_upgrade(stream, 3 * frame(TEXT, bytes(50)))
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
