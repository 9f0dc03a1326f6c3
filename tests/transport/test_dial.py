"""From a URL to a stream: URL checks, TCP, TLS, proxies, and what failures say."""

from __future__ import annotations

import re
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trustme
from certificates import client_context, server_context
from websocket_peers import listening

from realtime_trio._transport.dial import (
    PROXY_FROM_ENVIRONMENT,
    default_ssl_context,
    open_line,
    parse_url,
)
from realtime_trio.errors import ConnectionFailed, LocalProtocolError

PROXY_VARIABLES = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"]


@pytest.fixture(autouse=True)
def _no_proxies_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def echo(stream: trio.abc.Stream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def assert_echoes(
    url: str, *, ssl_context: ssl.SSLContext | None = None, proxy: str | None = None
) -> None:
    line = await open_line(parse_url(url), ssl_context=ssl_context, proxy=proxy)
    line.write(b"hello")
    await line.drain()
    answer = None
    while answer is None:
        await line.wait_readable()
        answer = line.read(100)
    assert answer == b"hello"
    line.close()


async def failure_of(
    url: str, *, ssl_context: ssl.SSLContext | None = None, proxy: str | None = None
) -> str:
    with pytest.raises(ConnectionFailed) as caught, trio.fail_after(5):
        await open_line(parse_url(url), ssl_context=ssl_context, proxy=proxy)
    # What a proxy has said is no cause, since it may have said our password.
    assert caught.value.__cause__ is not None or proxy is not None
    return str(caught.value)


async def closed_port() -> int:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port: int = listeners[0].socket.getsockname()[1]
    await listeners[0].aclose()
    return port


# URLs


@pytest.mark.parametrize(
    ("url", "shown", "host_header", "resource"),
    [
        ("ws://example.org", "ws://example.org:80/", "example.org", "/"),
        (
            "WSS://Example.org/v1?model=a&b",
            "wss://example.org:443/v1",
            "example.org",
            "/v1?model=a&b",
        ),
        (
            "ws://example.org:8080/a%20b#part",
            "ws://example.org:8080/a%20b",
            "example.org:8080",
            "/a%20b",
        ),
        ("wss://[::1]:443/", "wss://[::1]:443/", "[::1]", "/"),
        ("ws://[::1]:443?x", "ws://[::1]:443/", "[::1]:443", "/?x"),
        ("wss://bücher.example/", "wss://xn--bcher-kva.example:443/", "xn--bcher-kva.example", "/"),
    ],
)
def test_a_url_is_taken_apart_and_shown_without_its_query(
    url: str, shown: str, host_header: str, resource: str
) -> None:
    target = parse_url(url)
    assert str(target) == shown
    assert target.host_header == host_header
    assert target.path + target.query == resource
    assert target.authorization is None


def test_user_name_and_password_become_an_authorization_and_are_never_shown() -> None:
    target = parse_url("wss://al%3Fice:s3cret%21@example.org/?token=t0ken")
    assert target.authorization == "Basic YWw/aWNlOnMzY3JldCE="
    for text in (str(target), repr(target)):
        assert not any(secret in text for secret in ("ice", "s3cret", "YWw", "t0ken"))
    assert parse_url("wss://alice@example.org/").authorization == "Basic YWxpY2U6"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://example.org/", "'http' is not the scheme"),
        ("example.org/v1", "no host"),
        ("ws:///path", "no host"),
        ("ws://user:se/cret@example.org", "invalid host or port"),
        ("ws://example.org:99999/", "invalid host or port"),
        ("ws://example.org:0/", "no port"),
        ("ws://[::1/", "invalid host or port"),
        (f"ws://{'a' * 64}.example/", "invalid host or port"),
        ("ws://example.org/a b", "percent-encoded"),
        ("ws://example.org/?q=ü", "percent-encoded"),
    ],
)
def test_an_unusable_url_is_refused_before_anything_is_sent_and_without_quoting_it(
    url: str, problem: str
) -> None:
    with pytest.raises(LocalProtocolError, match=problem) as caught:
        parse_url(url)
    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None


# TCP


@pytest.mark.socket
async def test_a_direct_connection_carries_bytes() -> None:
    async with listening(echo) as port:
        await assert_echoes(f"ws://127.0.0.1:{port}/")


@pytest.mark.socket
async def test_a_refused_connection_says_where_and_why() -> None:
    port = await closed_port()
    assert (
        await failure_of(f"ws://127.0.0.1:{port}/v1?key=s3cret")
        == f"cannot connect to ws://127.0.0.1:{port}/v1: Connection refused"
    )


@pytest.mark.socket
async def test_a_name_that_does_not_resolve_says_so() -> None:
    message = await failure_of("wss://no-such-host.invalid/v1?key=s3cret")
    assert message.startswith("cannot connect to wss://no-such-host.invalid:443/v1: ")
    why = message.rpartition(": ")[2]
    assert len(why) > 8
    # In the words of the system, without its number.
    assert "Errno" not in why


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def open_tls_server(authority: trustme.CA, name: str = "127.0.0.1") -> AsyncIterator[int]:
    context = server_context(authority, name)

    async def handle(stream: trio.SocketStream) -> None:
        try:
            await echo(trio.SSLStream(stream, context, server_side=True, https_compatible=True))
        except trio.BrokenResourceError:
            await stream.aclose()

    async with listening(handle) as port:
        yield port


@pytest.mark.socket
async def test_tls_with_a_trusted_certificate_carries_bytes(authority: trustme.CA) -> None:
    context = client_context(authority)
    async with open_tls_server(authority) as port:
        await assert_echoes(f"wss://127.0.0.1:{port}/", ssl_context=context)


@pytest.mark.socket
async def test_an_unknown_authority_is_refused_by_default_and_named_as_the_reason(
    authority: trustme.CA,
) -> None:
    async with open_tls_server(authority) as port:
        message = await failure_of(f"wss://127.0.0.1:{port}/?key=s3cret")
        assert message.startswith(
            f"TLS with wss://127.0.0.1:{port}/ failed: certificate verify failed: "
        )
        assert "s3cret" not in message
    assert default_ssl_context() is default_ssl_context()


@pytest.mark.socket
async def test_a_certificate_for_another_host_is_refused(authority: trustme.CA) -> None:
    context = client_context(authority)
    async with open_tls_server(authority, "example.org") as port:
        assert (
            "127.0.0.1"
            in (await failure_of(f"wss://127.0.0.1:{port}/", ssl_context=context)).partition(
                "verify failed"
            )[2]
        )


@pytest.mark.socket
async def test_a_server_that_does_not_speak_tls_is_named_as_such() -> None:
    async with listening(echo) as port:
        message = await failure_of(f"wss://127.0.0.1:{port}/")
    # Which one it is depends on the version of OpenSSL.
    assert re.search(r" failed: [a-z]+( [a-z0-9]+)+$", message)


@pytest.mark.socket
async def test_a_server_that_hangs_up_during_the_tls_handshake_is_named_as_such() -> None:
    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.aclose()

    async with listening(hang_up) as port:
        message = await failure_of(f"wss://127.0.0.1:{port}/")
        assert message.partition("failed: ")[2] in {
            "the server closed the connection",
            "unexpected eof while reading",
        }


@pytest.mark.socket
async def test_a_connection_reset_during_the_tls_handshake_is_named_as_such() -> None:
    async def reset(stream: trio.SocketStream) -> None:
        await trio.lowlevel.checkpoint()
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()

    async with listening(reset) as port:
        assert (await failure_of(f"wss://127.0.0.1:{port}/")).endswith(
            "failed: the server closed the connection"
        )


@pytest.mark.socket
async def test_cancelling_during_the_tls_handshake_leaves_no_socket() -> None:
    begun, closed = trio.Event(), trio.Event()

    async def never_answer(stream: trio.SocketStream) -> None:
        async for _ in stream:
            begun.set()
        closed.set()

    async with listening(never_answer) as port, trio.open_nursery() as nursery:

        async def dial() -> None:
            await open_line(parse_url(f"wss://127.0.0.1:{port}/"), ssl_context=None, proxy=None)
            raise AssertionError("a cancelled handshake is no connection")

        nursery.start_soon(dial)
        await begun.wait()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await closed.wait()


# Proxies


async def splice(left: trio.SocketStream, right: trio.SocketStream) -> None:
    async def copy(source: trio.SocketStream, sink: trio.SocketStream) -> None:
        async for data in source:
            await sink.send_all(data)
        nursery.cancel_scope.cancel()

    async with left, right, trio.open_nursery() as nursery:
        nursery.start_soon(copy, left, right)
        nursery.start_soon(copy, right, left)


async def read_exactly(stream: trio.SocketStream, count: int) -> bytes:
    await trio.lowlevel.checkpoint()
    data = b""
    while len(data) < count:
        data += await stream.receive_some(count - len(data))
    return data


class ProxyServer:
    """Sends everybody to one port of 127.0.0.1, and remembers what host was asked for."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[bytes] = []

    async def http(self, stream: trio.SocketStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive_some()
        self.requests.append(request)
        if b"forbidden" in request:
            await stream.send_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return
        if b"echo" in request:
            [sent] = [line for line in request.split(b"\r\n") if line.startswith(b"Proxy-Auth")]
            start = {b"echo": b"HTTP/1.1 ", b"echo-status": b"HTTP/1.1 407 "}[
                request.split(b".")[0].removeprefix(b"CONNECT ")
            ]
            await stream.send_all(start + sent + b"\r\n\r\n")
            return
        await stream.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await splice(stream, await trio.open_tcp_stream("127.0.0.1", self.port))

    async def socks5(self, stream: trio.SocketStream) -> None:
        _version, methods = await read_exactly(stream, 2)
        offered = await read_exactly(stream, methods)
        if 2 in offered:
            await stream.send_all(b"\x05\x02")
            credentials = await read_exactly(stream, 1)
            for _ in range(2):
                credentials += await read_exactly(stream, (await read_exactly(stream, 1))[0])
            self.requests.append(credentials)
            await stream.send_all(b"\x01\x00")
        else:
            await stream.send_all(b"\x05\x00")
        head = await read_exactly(stream, 4)
        self.requests.append(
            await read_exactly(
                stream, 6 if head[3] == 1 else (await read_exactly(stream, 1))[0] + 2
            )
        )
        await stream.send_all(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
        await splice(stream, await trio.open_tcp_stream("127.0.0.1", self.port))

    async def socks4(self, stream: trio.SocketStream) -> None:
        self.requests.append(await read_exactly(stream, 9))
        await stream.send_all(b"\x00\x5a\x00\x00\x00\x00\x00\x00")
        await splice(stream, await trio.open_tcp_stream("127.0.0.1", self.port))


@asynccontextmanager
async def open_proxy(
    kind: str, target: Callable[[trio.SocketStream], Awaitable[None]] = echo
) -> AsyncIterator[tuple[ProxyServer, int, int]]:
    """Yield a proxy, its port, and the port of the server behind it."""
    async with listening(target) as port:
        proxy = ProxyServer(port)
        async with listening(getattr(proxy, kind)) as proxy_port:
            yield proxy, proxy_port, port


@pytest.mark.socket
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
async def test_a_socks5_proxy_resolves_the_name_and_checks_the_password(scheme: str) -> None:
    async with open_proxy("socks5") as (proxy, proxy_port, _):
        await assert_echoes(
            "ws://api.example.invalid:81/",
            proxy=f"{scheme}://al%40ice:s3cret@127.0.0.1:{proxy_port}",
        )
        assert proxy.requests == [b"\x01al@ices3cret", b"api.example.invalid\x00\x51"]


@pytest.mark.socket
async def test_a_socks4_proxy_is_given_an_address() -> None:
    async with open_proxy("socks4") as (proxy, proxy_port, port):
        await assert_echoes(f"ws://127.0.0.1:{port}/", proxy=f"socks4://127.0.0.1:{proxy_port}")
        assert proxy.requests[0][4:8] == bytes([127, 0, 0, 1])


@pytest.mark.socket
async def test_an_http_proxy_is_asked_to_connect_with_or_without_credentials_and_scheme() -> None:
    async with open_proxy("http") as (proxy, proxy_port, _):
        await assert_echoes("ws://api.example.invalid/", proxy=f"127.0.0.1:{proxy_port}")
        await assert_echoes(
            "ws://api.example.invalid/", proxy=f"http://alice@127.0.0.1:{proxy_port}"
        )
        assert proxy.requests[0].startswith(b"CONNECT api.example.invalid:80 HTTP/1.1\r\n")
        assert [
            b"Proxy-Authorization: Basic YWxpY2U6" in request for request in proxy.requests
        ] == [False, True]


@pytest.mark.socket
async def test_tls_runs_through_a_proxy(authority: trustme.CA) -> None:
    context = client_context(authority)
    async with (
        open_tls_server(authority, "api.example.invalid") as port,
        listening(ProxyServer(port).http) as proxy_port,
    ):
        await assert_echoes(
            "wss://api.example.invalid/",
            ssl_context=context,
            proxy=f"http://127.0.0.1:{proxy_port}",
        )


@pytest.mark.socket
async def test_a_failing_proxy_is_named_without_its_password() -> None:
    async with open_proxy("http") as (_, proxy_port, _port):
        message = await failure_of(
            "ws://forbidden.invalid/?key=k3y", proxy=f"http://alice:s3cret@127.0.0.1:{proxy_port}"
        )
        proxy = f"http://127.0.0.1:{proxy_port}"
        assert (
            message == f"cannot connect to ws://forbidden.invalid:80/ through the proxy {proxy}: "
            "407 Proxy Authentication Required"
        )
    port = await closed_port()
    message = await failure_of(
        "ws://example.invalid/", proxy=f"socks5://alice:s3cret@127.0.0.1:{port}"
    )
    assert f"through the proxy socks5://127.0.0.1:{port}: " in message
    assert "s3cret" not in message
    message = await failure_of(
        "ws://example.invalid/", proxy=f"http://al%3Aice:s3cret@127.0.0.1:{port}"
    )
    assert "s3cret" not in message


@pytest.mark.socket
@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("echo.invalid", "it did not answer as a proxy"),
        ("echo-status.invalid", "407 Proxy Authentication Required"),
    ],
)
async def test_a_proxy_that_echoes_credentials_does_not_get_them_into_an_exception(
    host: str, why: str
) -> None:
    async with open_proxy("http") as (_, proxy_port, _port):
        with pytest.raises(ConnectionFailed) as caught:
            await open_line(
                parse_url(f"ws://{host}/"),
                ssl_context=None,
                proxy=f"http://alice:s3cret@127.0.0.1:{proxy_port}",
            )
    shown = f"cannot connect to ws://{host}:80/ through the proxy http://127.0.0.1:{proxy_port}: "
    assert str(caught.value) == shown + why
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.socket
async def test_a_socks_proxy_that_refuses_says_why() -> None:
    async def refuse(stream: trio.SocketStream) -> None:
        await read_exactly(stream, 3)
        await stream.send_all(b"\x05\x00")
        await read_exactly(stream, 4)
        # 5 is "connection refused" (RFC 1928, 6).
        await stream.send_all(b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00")

    async with listening(refuse) as port:
        message = await failure_of("ws://example.invalid/", proxy=f"socks5://127.0.0.1:{port}")
    shown = (
        f"cannot connect to ws://example.invalid:80/ through the proxy socks5://127.0.0.1:{port}"
    )
    assert message.startswith(f"{shown}: ")
    assert "refused" in message.removeprefix(shown).lower()


@pytest.mark.socket
async def test_a_password_that_a_proxy_cannot_be_told_is_not_quoted() -> None:
    async with open_proxy("http") as (_, proxy_port, _port):
        message = await failure_of(
            "ws://example.invalid/", proxy=f"http://alice:s3cret%E2%82%AC@127.0.0.1:{proxy_port}"
        )
    assert message.endswith(": the user name or the password cannot be written in its protocol")


@pytest.mark.parametrize(
    ("proxy", "problem"),
    [
        ("https://alice:s3cret@127.0.0.1:1", "proxy scheme 'https' is not supported"),
        ("socks5://alice:s3cret@", "proxy URL has no host"),
        ("http://alice:s3/cret@127.0.0.1:1", "proxy URL has an invalid host or port"),
    ],
)
async def test_an_unusable_proxy_url_is_refused_without_quoting_it(
    proxy: str, problem: str
) -> None:
    with pytest.raises(LocalProtocolError, match=problem) as caught:
        await open_line(parse_url("ws://example.invalid/"), ssl_context=None, proxy=proxy)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("scheme", "port"),
    [("http", 80), ("socks4", 1080), ("socks4a", 1080), ("socks5", 1080), ("socks5h", 1080)],
)
async def test_a_proxy_without_the_extra_names_the_extra(
    scheme: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)
    with pytest.raises(LocalProtocolError, match=r"pip install '\.\[proxy\]'") as caught:
        await open_line(
            parse_url("ws://example.invalid/"),
            ssl_context=None,
            proxy=f"{scheme}://alice:s3cret@example.invalid",
        )
    assert f"the proxy {scheme}://example.invalid:{port} needs" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.socket
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
async def test_the_environment_names_a_proxy(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_proxy("socks5") as (proxy, proxy_port, port):
        monkeypatch.setenv(variable, f"socks5://127.0.0.1:{proxy_port}")
        await assert_echoes("ws://api.example.invalid/", proxy=PROXY_FROM_ENVIRONMENT)
        assert len(proxy.requests) == 1
        await assert_echoes(f"ws://127.0.0.1:{port}/", proxy=PROXY_FROM_ENVIRONMENT)
        assert len(proxy.requests) == 1, "loopback hosts are not for a proxy"


@pytest.mark.socket
async def test_https_proxy_is_for_wss_and_no_proxy_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_proxy("http") as (proxy, proxy_port, _):
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy_port}")
        assert "proxy" in await failure_of("wss://forbidden.invalid/", proxy=PROXY_FROM_ENVIRONMENT)
        assert "proxy" not in await failure_of(
            "ws://forbidden.invalid/", proxy=PROXY_FROM_ENVIRONMENT
        )
        monkeypatch.setenv("no_proxy", ".invalid")
        assert "proxy" not in await failure_of(
            "wss://forbidden.invalid/", proxy=PROXY_FROM_ENVIRONMENT
        )
        assert len(proxy.requests) == 1


@pytest.mark.socket
async def test_an_environment_proxy_is_not_asked_for_localhost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("all_proxy", "socks5://proxy.invalid")
    port = await closed_port()
    assert "proxy" not in await failure_of(f"ws://localhost:{port}/", proxy=PROXY_FROM_ENVIRONMENT)
