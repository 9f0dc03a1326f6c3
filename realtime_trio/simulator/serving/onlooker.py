"""Who looks on while a simulator serves its clients: a terminal, a log, a test."""

from __future__ import annotations

from typing import Protocol

from realtime_trio._protocol.wire_record import WireRecord
from realtime_trio._serving.websocket_server import HandshakeRequest
from realtime_trio._transport.contract import Close
from realtime_trio.simulator.serving.admission import Admitted, TurnedAway


class Onlooker(Protocol):
    """Is told what happens on every connection, in order; must neither wait nor raise."""

    def connected(
        self, number: int, request: HandshakeRequest, admission: Admitted | TurnedAway
    ) -> None:
        """A client has connected, and is the `number`-th, counted from 1."""
        ...

    def passed(self, number: int, record: WireRecord) -> None:
        """A message has come from a client, or is about to be sent to it."""
        ...

    def disconnected(self, number: int, close: Close | None) -> None:
        """The connection of a client is over; None if it was cut off by the end of the server."""
        ...
