"""Connecting to a WebSocket server: from a URL to an open transport.

Owns the handshake of a client.  The socket, and proxies and TLS before that, are in
`_transport.dial`; what is done with the connection is in `_transport.websocket`.
permessage-deflate is not offered: speech in base64 does not shrink enough to pay for it.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final, cast

import trio
from trio_websocket import WebSocketConnection, wrap_client_stream

from realtime_trio._transport.dial import PROXY_FROM_ENVIRONMENT, open_line, parse_url
from realtime_trio._transport.headers import TOKEN, encode_headers
from realtime_trio._transport.settings import WebSocketSettings
from realtime_trio._transport.tap import Tap
from realtime_trio._transport.websocket import WebSocketTransport, connect_limit, run_websocket
from realtime_trio.errors import LocalProtocolError

_DEFAULTS: Final = WebSocketSettings()


@asynccontextmanager
async def open_websocket(
    url: str,
    *,
    headers: Iterable[tuple[str, str]] = (),
    subprotocols: Iterable[str] = (),
    ssl_context: ssl.SSLContext | None = None,
    proxy: str | None = PROXY_FROM_ENVIRONMENT,
    settings: WebSocketSettings = _DEFAULTS,
) -> AsyncIterator[WebSocketTransport]:
    """Connect to a WebSocket server; leaving the block closes the connection.

    The close code is 1000, or 1001 if the block raised.

    An exception of the block leaves unchanged, and the end of the connection never raises here:
    `closed` tells about it.  After the block no task and no socket is left; getting there takes
    `settings.close_timeout` at most.

    Args:
        url: `ws://` or `wss://`.  A user name and password in it become an Authorization header.
        headers: More headers for the handshake.
        subprotocols: Subprotocols to offer, the preferred one first;
            `WebSocketTransport.subprotocol` is the one that the server selected.
        ssl_context: For `wss://`; by default certificates are checked against the system's
            authorities.
        proxy: `http://` (CONNECT), `socks4://`, `socks4a://` or `socks5://`, with `user:password@`
            if need be; None connects directly.  By default `https_proxy` (for wss), `http_proxy`
            (for ws), `all_proxy` and `no_proxy` of the environment decide, except for loopback
            hosts.  Needs the extra `proxy`.
        settings: How patient it is and how much it accepts.

    Raises:
        ConnectionFailed: The connection could not be made, for whatever reason; `status` and `body`
            are the server's answer if it refused by HTTP.
        LocalProtocolError: An argument is unusable; nothing was sent.

    Cancellation: safe while connecting.
    """
    target = parse_url(url)
    if ssl_context is not None and target.scheme == "ws":
        raise LocalProtocolError("an SSL context was given for a ws:// URL; use wss://")
    offered = list(subprotocols)
    if not all(TOKEN.fullmatch(name) for name in offered):
        raise LocalProtocolError(
            "a subprotocol name may only have letters, digits and !#$%&'*+-.^_`|~"
        )
    extra_headers = encode_headers(headers)
    # A header that was given on purpose wins over the user name in the URL.
    if target.authorization is not None and all(
        name.lower() != b"authorization" for name, _ in extra_headers
    ):
        extra_headers.append((b"Authorization", target.authorization.encode("ascii")))

    async def handshake(nursery: trio.Nursery, tap: Tap) -> WebSocketConnection:
        return await wrap_client_stream(
            nursery,
            # Documented as "an arbitrary stream", annotated more narrowly.
            cast("trio.SocketStream", tap),
            target.host_header,
            target.path + target.query,
            subprotocols=offered,
            extra_headers=extra_headers,
            # The inbox is the queue; it is bounded by size, which a number of messages is not.
            message_queue_size=0,
            max_message_size=settings.max_message_size,
            receive_buffer_size=settings.receive_buffer_size,
        )

    # One time limit for TCP, proxy, TLS and the handshake together.
    start = trio.current_time()
    with connect_limit(settings, start, str(target)):
        line = await open_line(target, ssl_context=ssl_context, proxy=proxy)
    transport = WebSocketTransport(line, settings, is_client=True)
    async with run_websocket(transport, handshake, start, str(target)):
        yield transport
