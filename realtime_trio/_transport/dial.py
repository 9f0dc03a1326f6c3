"""From a URL to the byte stream a WebSocket can run on: the URL, the proxy, TCP and TLS.

Owns every way in which getting there fails, and the rule that messages show
`scheme://host:port/path` and nothing else of a URL: user names, passwords and query values may be
secrets.  Knows nothing of WebSocket frames.
"""

from __future__ import annotations

import base64
import functools
import os
import re
import ssl
import urllib.parse
from http import HTTPStatus
from typing import TYPE_CHECKING

import attrs
import trio

from realtime_trio import _elsewhere
from realtime_trio._legible import legible
from realtime_trio._misuse import without_extra
from realtime_trio._protocol.exposure import is_loopback
from realtime_trio._transport.line import Line
from realtime_trio.errors import ConnectionFailed, LocalProtocolError

# With it come an HTTP client and what reads mail.  Connections to this machine do without.
if TYPE_CHECKING:
    import urllib.request as urllib_request
else:
    urllib_request = _elsewhere.module("urllib.request")

PROXY_FROM_ENVIRONMENT = "environment"
_WEBSOCKET_PORTS = {"ws": 80, "wss": 443}
# With curl's names: the "a" and the "h" say that the proxy resolves the name of the target.
_PROXIES = {
    "http": ("HTTP", 80),
    "socks4": ("SOCKS4", 1080),
    "socks4a": ("SOCKS4", 1080),
    "socks5": ("SOCKS5", 1080),
    "socks5h": ("SOCKS5", 1080),
}
_VISIBLE_ASCII = re.compile(r"[!-~]+")


@attrs.frozen(kw_only=True)
class Target:
    """The parts of a checked `ws://` or `wss://` URL.  Its `str` has no secrets."""

    scheme: str
    host: str
    """ASCII form; an IPv6 address without its brackets."""
    port: int
    path: str
    query: str = attrs.field(repr=False)
    """With its question mark, or empty."""
    authorization: str | None = attrs.field(repr=False)
    """Value of the Authorization header that the URL's user name and password stand for."""

    def __str__(self) -> str:
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}{self.path}"

    @property
    def host_header(self) -> str:
        """Value of the Host header: with the port only where it is not the scheme's own."""
        host = _bracketed(self.host)
        return host if self.port == _WEBSOCKET_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_url(url: str) -> Target:
    """Check a WebSocket URL and take it apart.

    Raises:
        LocalProtocolError: It is not a `ws://` or `wss://` URL, it has no host or a port out of
            range, or it has characters that must be percent-encoded.
    """
    parts, host, port = _split(url, "WebSocket URL")
    if parts.scheme not in _WEBSOCKET_PORTS:
        raise LocalProtocolError(
            f"{parts.scheme!r} is not the scheme of a WebSocket URL; use ws:// or wss://"
        )
    target = Target(
        scheme=parts.scheme,
        host=host,
        port=_WEBSOCKET_PORTS[parts.scheme] if port is None else port,
        path=parts.path or "/",
        query="?" + parts.query if parts.query else "",
        authorization=_basic_authorization(parts),
    )
    if not _VISIBLE_ASCII.fullmatch(target.path + target.query):
        raise LocalProtocolError(
            "the path and query of a WebSocket URL must be percent-encoded ASCII"
        )
    return target


@functools.cache
def default_ssl_context() -> ssl.SSLContext:
    """The shared context that checks certificates against the system's authorities.

    It is made once, since loading the authorities takes 29 ms.
    """
    return ssl.create_default_context()


async def open_line(
    target: Target, *, ssl_context: ssl.SSLContext | None, proxy: str | None
) -> Line:
    """Connect to a target, through a proxy if need be, with TLS for `wss`.

    Cancel-safe: no socket is left.

    Args:
        target: The server to connect to.
        ssl_context: For `wss`; None takes the shared default context.
        proxy: A proxy URL, None for a direct connection, or `PROXY_FROM_ENVIRONMENT`.

    Raises:
        ConnectionFailed: Name resolution, TCP, the proxy or TLS failed.
        LocalProtocolError: The proxy URL is unusable, or the extra it needs is not installed.
    """
    if proxy == PROXY_FROM_ENVIRONMENT:
        proxy = _environment_proxy(target)
    if proxy is None:
        try:
            stream = await trio.open_tcp_stream(target.host, target.port)
        except OSError as error:
            raise ConnectionFailed(f"cannot connect to {target}: {_os_reason(error)}") from error
    else:
        stream = await _open_through_proxy(target, proxy)
    line = Line(stream)
    if target.scheme == "wss":
        await _start_tls(line, target, ssl_context or default_ssl_context())
    return line


async def _start_tls(line: Line, target: Target, ssl_context: ssl.SSLContext) -> None:
    try:
        await line.start_tls(ssl_context, server_hostname=target.host)
    except (ssl.SSLError, trio.BrokenResourceError, EOFError) as error:
        # Closed without awaiting anything, so that it is closed even when cancelled.
        line.close()
        raise ConnectionFailed(f"TLS with {target} failed: {_tls_reason(error)}") from error
    except BaseException:
        line.close()
        raise


async def _open_through_proxy(target: Target, proxy: str) -> trio.SocketStream:
    # The environment often has a bare host:port.
    parts, host, port = _split(proxy if "://" in proxy else "http://" + proxy, "proxy URL")
    if parts.scheme not in _PROXIES:
        raise LocalProtocolError(
            f"proxy scheme {parts.scheme!r} is not supported; use one of {', '.join(_PROXIES)}"
        )
    kind, default_port = _PROXIES[parts.scheme]
    port = default_port if port is None else port
    shown = f"{parts.scheme}://{_bracketed(host)}:{port}"
    try:
        import python_socks
        from python_socks.async_.trio import Proxy
    except ImportError as error:
        raise LocalProtocolError(
            f"{without_extra(f'the proxy {shown}', 'python-socks', 'proxy')}, or pass proxy=None"
        ) from error
    client = Proxy(
        python_socks.ProxyType[kind],
        host,
        port,
        username=None if parts.username is None else urllib.parse.unquote(parts.username),
        password=None if parts.username is None else urllib.parse.unquote(parts.password or ""),
        # All but SOCKS4 resolve names for us, which also keeps the look-up off our network.
        rdns=parts.scheme != "socks4",
    )
    try:
        # Without a limit, as the caller has one for everything; the library's own would be 60 s.
        return trio.SocketStream(
            await client.connect(target.host, target.port, timeout=float("inf"))
        )
    except python_socks.ProxyError as error:
        why = _proxy_reason(kind, error.error_code, str(error))
    except UnicodeEncodeError:
        why = "the user name or the password cannot be written in its protocol"
    except (OSError, ValueError) as error:
        raise ConnectionFailed(
            f"cannot connect to {target} through the proxy {shown}: {error}"
        ) from error
    # Not in a handler, and so without a cause: tracebacks show causes, and a proxy may have sent
    # our own Proxy-Authorization back to us.
    raise ConnectionFailed(f"cannot connect to {target} through the proxy {shown}: {legible(why)}")


def _proxy_reason(kind: str, status: int | None, said: str) -> str:
    if kind != "HTTP":
        return said  # a number, in words of python-socks
    if status is None:
        return "it did not answer as a proxy"
    # The status in our own words: the phrase of the proxy's answer is the proxy's.
    return f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else str(status)


def _environment_proxy(target: Target) -> str | None:
    # A proxy cannot reach our own loopback interface, where servers for development listen.
    if is_loopback(target.host):
        return None
    proxies = urllib_request.getproxies()
    proxy = proxies.get("https" if target.scheme == "wss" else "http") or proxies.get("all")
    # With the port, because entries of `no_proxy` may name one.
    return None if urllib_request.proxy_bypass(f"{target.host}:{target.port}") else proxy


def _split(url: str, what: str) -> tuple[urllib.parse.SplitResult, str, int | None]:
    """Split a URL into its parts, the ASCII host and the port.

    Its errors quote nothing: a misplaced slash turns a password into a port.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host = host if ":" in host else host.encode("idna").decode("ascii")
    except ValueError:
        raise LocalProtocolError(f"the {what} has an invalid host or port") from None
    if not host or port == 0:
        raise LocalProtocolError(f"the {what} has no {'port' if host else 'host'}")
    return parts, host, port


def _basic_authorization(parts: urllib.parse.SplitResult) -> str | None:
    if parts.username is None:
        return None
    credentials = (
        f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
    )
    return "Basic " + base64.b64encode(credentials.encode()).decode("ascii")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _os_reason(error: OSError) -> str:
    attempts = error.__cause__
    if (
        isinstance(attempts, ExceptionGroup)
        and isinstance(first := attempts.exceptions[0], OSError)
        and first.errno is not None
    ):
        # Of several addresses the first one's error; trio's own text repeats the address.
        return os.strerror(first.errno)
    return error.strerror or str(error)


def _tls_reason(error: BaseException | None) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"certificate verify failed: {error.verify_message}"
        case ssl.SSLError(reason=str(reason)):
            return reason.replace("_", " ").lower()
        case _:
            return "the server closed the connection"
