"""Why there was no WebSocket: the wording of failed handshakes, for whoever wanted to connect."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from trio_websocket import ConnectionRejected

from realtime_trio.errors import ConnectionFailed

_HTTP_RESPONSE: Final = re.compile(
    rb"HTTP/1\.[01] (\d{3})\b.*?\r?\n\r?\n(.*)",
    re.DOTALL,
)


class AnsweredError(ConnectionFailed):
    """There was no handshake because the client got another answer.

    The client should be able to read that before the socket is closed.
    """


def handshake_failure(peer: str, error: Exception | None, received: bytes) -> ConnectionFailed:
    """Say why there was no handshake.

    Args:
        peer: What the other side is called.
        error: What the handshake has raised.
        received: What the other side has sent, as far as it is known.
    """
    if isinstance(error, ConnectionFailed):
        return error
    # The most telling one first: our own words, the server's answer, and what it was not.
    if isinstance(error, ConnectionRejected):
        return _rejection(peer, error.status_code, error.body or b"")
    if error is not None or (received and not received.startswith(b"HTTP/")):
        return ConnectionFailed(f"{peer} did not answer as a WebSocket server")
    # trio-websocket does not report a body that ends with the connection, and not by its announced
    # length; nor one that was cut off because it did not end.
    if response := _HTTP_RESPONSE.fullmatch(received):
        return _rejection(peer, int(response[1]), response[2])
    return ConnectionFailed(f"{peer} closed the connection during the WebSocket handshake")


def _rejection(peer: str, status: int, body: bytes) -> ConnectionFailed:
    phrase = f" {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else ""
    return ConnectionFailed(
        f"{peer} rejected the WebSocket handshake with HTTP {status}{phrase}",
        status=status,
        body=bytes(body),
    )
