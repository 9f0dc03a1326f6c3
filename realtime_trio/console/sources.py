"""What a console can show, as its server sees it; and what one that only looks can do."""

from __future__ import annotations

from typing import Final, Protocol

from realtime_trio._protocol.codec import Codec
from realtime_trio._serving.websocket_server import HandshakeRequest
from realtime_trio._transport.contract import Transport
from realtime_trio.console.board import Look
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import JsonObject
from realtime_trio.simulator.script.fault import Fault


class Subject(Protocol):
    """What one page looks at, and what it may do to it.

    What cannot be done raises a `RealtimeError` that says why, for a person.
    """

    @property
    def codec(self) -> Codec:
        """That of a server, by which it is known what a client may send."""
        ...

    def look(self) -> Look:
        """What there is to see; the stream is to be closed in the end."""
        ...

    def script(self) -> str:
        """What the server has said so far, as the text of a script file."""
        ...

    async def send(self, event: JsonObject) -> None:
        """Send an event that was checked, or is not to be."""
        ...

    async def decide(self, call: str, *, approve: bool, reason: str | None) -> None:
        """Let a call be made that waits for approval, or refuse it."""
        ...

    async def fault(self, fault: Fault) -> None:
        """Let something go wrong."""
        ...


class Source(Protocol):
    """What a console shows."""

    @property
    def talks(self) -> bool:
        """Whether a page is a client here; if not, `talk` is not called."""
        ...

    def setup(self, page: str) -> JsonObject:
        """What a page is told when it is opened.  Blocks; it is called in a thread.

        Args:
            page: The name of the page, new for every page.
        """
        ...

    async def show(self, transport: Transport, page: str) -> None:
        """Serve the WebSocket by which a page sees what goes on, until either side closes."""
        ...

    async def talk(self, transport: Transport, request: HandshakeRequest, page: str) -> None:
        """Serve the WebSocket on which a page is a client, until either side closes."""
        ...


class Silent:
    """The part of a source with which pages do not talk."""

    talks: Final = False
    """There is nobody to talk with."""

    async def talk(self, transport: Transport, request: HandshakeRequest, page: str) -> None:
        """Never called."""
        raise AssertionError("no page was let in to talk")


class OnlyShown:
    """The part of a subject to which nothing can be done.

    Args:
        why: What kind of thing it is, as the end of the sentence "this is ...".
    """

    def __init__(self, why: str) -> None:
        self._why = why

    async def send(self, event: JsonObject) -> None:
        """Refuse."""
        raise LocalProtocolError(f"nothing can be sent here: this is {self._why}")

    async def decide(self, call: str, *, approve: bool, reason: str | None) -> None:
        """Refuse."""
        raise LocalProtocolError(f"nothing can be decided here: this is {self._why}")

    async def fault(self, fault: Fault) -> None:
        """Refuse."""
        raise LocalProtocolError(f"nothing can be made to go wrong here: this is {self._why}")
