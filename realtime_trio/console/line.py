"""The connection of a page that is a client itself: what passes is judged, and may go wrong.

Owns the tap between the browser and the service.
"""

from __future__ import annotations

from collections.abc import Callable

from realtime_trio._protocol.codec import Role
from realtime_trio._protocol.wire_record import Source
from realtime_trio._serving.wiretap import Wiretap
from realtime_trio._transport.contract import Transport
from realtime_trio.simulator.serving.faults import Breakable


class BrowserLine(Wiretap):
    """The server's end of a connection to a browser; it can be broken as a network breaks.

    Args:
        transport: The connection.
        note: Is told every message, with the side that sent it.
    """

    def __init__(self, transport: Transport, note: Callable[[Source, str | bytes], None]) -> None:
        super().__init__(transport, Role.SERVER, note)
        self._breakable = transport

    def abort(self, reason: str = "the connection dropped") -> None:
        """Drop the connection without a close frame."""
        if isinstance(self._breakable, Breakable):
            self._breakable.abort(reason)
