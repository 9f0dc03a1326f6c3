"""How a WebSocket behaves: the options that client and server share.

Owns the defaults, and the reasons for them.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

CONNECT_TIMEOUT: Final = 10.0
CLOSE_TIMEOUT: Final = 2.0


@frozen(kw_only=True)
class WebSocketSettings:
    """How patient a WebSocket is and how much it accepts."""

    connect_timeout: float = CONNECT_TIMEOUT
    """Seconds for everything up to the finished handshake; a session must also be ready by then."""
    close_timeout: float = CLOSE_TIMEOUT
    """Seconds the peer gets to answer our close frame; leaving a session takes no longer either."""
    ping_interval: float | None = 20.0
    """Seconds between pings; None sends none.  They find peers that vanished, and keep middleboxes
    from forgetting the connection."""
    ping_timeout: float = 20.0
    """Seconds without an answer to a ping after which the connection is given up, `Close(1006)`."""
    max_message_size: int = 64 * 2**20
    """Bytes or characters of the longest message to accept; a longer one ends the connection with
    `Close(1009)`.  It also limits what may wait to be received.  A minute of retrieved audio is
    4 MiB of base64; trio-websocket's own 1 MiB would end the session."""
    receive_buffer_size: int = 64 * 2**10
    """Bytes per read from the network.  trio-websocket's own 4 KiB costs nearly twice the time."""
