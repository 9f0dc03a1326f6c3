"""How a WebSocket behaves: the options that client and server share.

Owns the defaults, and the reasons for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from attrs import Attribute, field, frozen

from realtime_trio._misuse import check_number

CONNECT_TIMEOUT: Final = 10.0
CLOSE_TIMEOUT: Final = 2.0


def _number(
    fits: Callable[[float], bool], allowed: str
) -> Callable[[object, Attribute[Any], object], None]:
    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        check_number(attribute.name, value, fits, allowed=allowed)

    return check


_patience: Final = _number(lambda seconds: seconds >= 0, "0 or more seconds")
_pace: Final = _number(lambda seconds: seconds > 0, "more than 0 seconds")
_size: Final = _number(lambda size: size >= 1, "at least 1")


def _pace_or_none(settings: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None:
        _pace(settings, attribute, value)


@frozen(kw_only=True)
class WebSocketSettings:
    """How patient a WebSocket is and how much it accepts.

    Raises:
        TypeError: A value is not a number.
        LocalProtocolError: A time is negative, or a size or a pace is not more than 0.
    """

    connect_timeout: float = field(default=CONNECT_TIMEOUT, validator=_patience)
    """Seconds for everything up to the finished handshake; a session must also be ready by then."""
    close_timeout: float = field(default=CLOSE_TIMEOUT, validator=_patience)
    """Seconds the peer gets to answer our close frame; leaving a session takes no longer either."""
    ping_interval: float | None = field(default=20.0, validator=_pace_or_none)
    """Seconds between pings; None sends none.  They find peers that vanished, and keep middleboxes
    from forgetting the connection."""
    ping_timeout: float = field(default=20.0, validator=_pace)
    """Seconds without an answer to a ping after which the connection is given up, `Close(1006)`."""
    max_message_size: int = field(default=64 * 2**20, validator=_size)
    """Bytes or characters of the longest message to accept; a longer one ends the connection with
    `Close(1009)`.  It also limits what may wait to be received.  A minute of retrieved audio is
    4 MiB of base64; trio-websocket's own 1 MiB would end the session."""
    receive_buffer_size: int = field(default=64 * 2**10, validator=_size)
    """Bytes per read from the network: about ten audio deltas.  Larger reads were not faster."""
