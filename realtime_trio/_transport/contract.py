"""Moving whole messages between two peers: what every transport promises.

Owns the contract (`Transport`, `Close`).  `_transport.memory` keeps it without a network, and
`_transport.websocket` over a WebSocket.  A message is a `str` (a text frame) or `bytes` (a binary
frame); nothing here knows what is inside.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from realtime_trio.errors import LocalProtocolError

# RFC 6455 section 7.4.1.  1005 and 1006 never travel: they are what the receiving side notes.
NORMAL_CLOSURE = 1000
GOING_AWAY = 1001
NO_STATUS_RECEIVED = 1005
ABNORMAL_CLOSURE = 1006
_NEVER_SENT = frozenset({1004, NO_STATUS_RECEIVED, ABNORMAL_CLOSURE, 1015})
"""Codes that are not allowed in a close frame."""


@attrs.frozen
class Close:
    """How a connection ended."""

    code: int
    """WebSocket close code; 1006 means that no close frame was seen, 1005 that the peer's close
    frame had no code."""
    reason: str = ""
    """What the side that closed gave as the reason, or our own words if there was none."""

    @property
    def is_clean(self) -> bool:
        """Whether this was a goodbye: 1000, or a close frame without a code (1005).

        Everything else is a failure.
        """
        # A peer that leaves out the code has said goodbye in the right way; browsers do by default.
        return self.code in (NORMAL_CLOSURE, NO_STATUS_RECEIVED)


class Transport(Protocol):
    """A connection that carries whole messages, in order, both ways.

    One task receives, one task sends, any task may close.  Every transport of this library keeps
    exactly this contract.
    """

    @property
    def closed(self) -> Close | None:
        """How the connection ended, or None while it is open.

        It may be set while received messages still wait for `receive`, and never changes once set.
        If this side closed first, it is what was passed to `aclose`.
        """
        ...

    async def receive(self) -> tuple[str | bytes, ...]:
        """Wait for messages and return all that have arrived, at least one.

        Returns `()` once the connection has ended, by either side and in whatever way, and every
        message that came before has been returned; `closed` then says how it ended.  It never
        raises for anything that the peer does.

        Cancel-safe: nothing is lost.
        """
        ...

    async def send(self, message: str | bytes) -> None:
        """Send one message; return when it has been handed to the network.

        Waits while the peer does not keep up.  One task at a time.

        Cancelling is *not* safe: unless it was cancelled on entry, before anything was written, a
        cancelled send ends the connection for good as `Close(1006)`, because the peer may have half
        a frame.

        Raises:
            ConnectionLost: The connection has ended, cleanly or not; code and reason are those of
                `closed`.
        """
        ...

    def send_nowait(self, message: str | bytes) -> bool:
        """Send one message if the network takes it without waiting.

        Never waits and never raises for anything that the peer does.  By the same task as `send`,
        or while no `send` is under way: messages leave in the order of the calls.

        Returns:
            True: the message will be written whole, and before all that is sent later.  False:
            nothing was sent, because the peer does not keep up or the connection has ended; `send`
            waits, or raises.
        """
        ...

    async def aclose(self, code: int = NORMAL_CLOSURE, reason: str = "") -> None:
        """Say goodbye and free everything; return when no task and no socket is left.

        Messages that were received before stay readable, later ones are discarded.  A second call,
        or one after the connection has ended by itself, only waits for the end.  It is bounded by
        the transport's own close timeout.

        Cancellation: the connection is closed all the same, and nothing is waited for.  The close
        frame goes if the network takes it at once, and the line is dropped.

        Args:
            code: Close code for the peer, 1000-1003, 1007-1014 or 3000-4999.
            reason: Text for the peer; on the wire it is cut off after 123 bytes of UTF-8.

        Raises:
            LocalProtocolError: The code may not appear on the wire.  Nothing was closed.
        """
        ...


def check_close_code(code: int) -> None:
    """Raise LocalProtocolError unless RFC 6455 allows this code in a close frame."""
    if not 1000 <= code <= 4999 or code in _NEVER_SENT:
        raise LocalProtocolError(
            f"close code {code} may not be sent; use 1000-1003, 1007-1014 or 3000-4999"
        )
