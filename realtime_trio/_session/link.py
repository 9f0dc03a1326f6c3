"""One socket of a session: its transport and codec, the two loops on it, and how far it is.

Owns what comes and goes with the socket.  What outlives it, the queue of what is to be sent
included, belongs to the session.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from contextlib import suppress

import trio

from realtime_trio._legible import legible
from realtime_trio._protocol.codec import Codec
from realtime_trio._runtime.outbox import Outbox
from realtime_trio._transport.contract import Close, Transport
from realtime_trio.connection import MESSAGES_IN_A_ROW, decode
from realtime_trio.errors import ConnectionLost
from realtime_trio.events import Event, ServerEvent

_logger = logging.getLogger("realtime_trio")


class Phase(enum.IntEnum):
    """How far the life of a link is.  It never goes back."""

    CONNECTING = enum.auto()
    """The server has not said that the session begins."""
    CONFIGURING = enum.auto()
    """It has begun, and the server has not yet taken the configuration it was given."""
    READY = enum.auto()
    """It can be used."""
    LEAVING = enum.auto()
    """The block is being left: what was sent is being written."""
    OVER = enum.auto()
    """Everything has been said: however the connection ends now, nothing is lost."""


class Link:
    """One socket of a session.

    Args:
        transport: A connected transport.
        codec: Reads and writes what travels on it.
        configures: Whether the session is ready only when a configuration has been taken.
    """

    def __init__(self, transport: Transport, codec: Codec, *, configures: bool) -> None:
        self.codec = codec
        self._transport = transport
        self._configures = configures
        self._phase = Phase.CONNECTING
        self._begun = trio.Event()
        self._is_muted = False

    @property
    def phase(self) -> Phase:
        """How far it is."""
        return self._phase

    @property
    def is_ready(self) -> bool:
        """Whether the session on it could be used.

        It is decided by what the server said before it said something else, and not by which task
        runs first when it said everything at once.
        """
        return self._phase >= Phase.READY

    @property
    def closed(self) -> Close | None:
        """How the connection ended, None while it is open."""
        return self._transport.closed

    def enter(self, phase: Phase) -> None:
        """Go on to a phase, or stay in a later one: the only place where the phase changes."""
        # Several may say the same end in any order: the drain, the receive loop, the block's exit.
        self._phase = max(self._phase, phase)

    def begin(self) -> None:
        """The server has said that the session begins."""
        self.enter(Phase.CONFIGURING if self._configures else Phase.READY)
        self._begun.set()

    def configured(self) -> None:
        """The server has taken a configuration."""
        if self._phase is Phase.CONFIGURING:
            self.enter(Phase.READY)

    async def wait_begun(self) -> None:
        """Wait until the server has said that the session begins."""
        await self._begun.wait()

    async def receive_loop(self, understand: Callable[[ServerEvent, str | bytes], None]) -> None:
        """Hand every server event, and its message, to `understand` until the connection ends.

        It awaits nothing but the transport, and lets others run within a long batch.
        """
        message: str | bytes = ""
        while batch := await self._transport.receive():
            for start in range(0, len(batch), MESSAGES_IN_A_ROW):
                if start:
                    await trio.lowlevel.checkpoint()
                if self._is_muted:
                    break
                for message in batch[start : start + MESSAGES_IN_A_ROW]:
                    understand(decode(self.codec, message), message)
            # Let go of it: the next may be a long time coming.
            del batch
            message = ""

    def mute(self) -> None:
        """Listen no more: the session goes on with another link, and what arrives here is lost."""
        self._is_muted = True

    def send_nowait(self, event: Event, text: str) -> bool:
        """Write at once what nothing else has to be written before, if the network takes it.

        Returns:
            Whether it will be written, whole and before all that is sent later.
        """
        if not self._transport.send_nowait(text):
            return False
        _log_sending(event, text)
        return True

    async def send_loop(
        self, outbox: Outbox[tuple[Event, str]], note: Callable[[Event, str], None]
    ) -> None:
        """Write what waits in the outbox, until it is closed; `note` sees every event before.

        Nothing is written any more once the connection has ended, and nobody is told so here: the
        receive loop sees the end too, and knows what it means.  Until it has closed the outbox
        nobody is told to stop, because a task that is sending would get a `SessionClosed` of its
        own instead of the `ConnectionLost`.
        """
        while (entry := await outbox.take()) is not None:
            event, text = entry
            if self._transport.closed is not None:
                # Goes on taking, or those who wait for room would hang until the outbox closes.
                continue
            # Before the write: a record must not show the answer ahead of the question.
            note(event, text)
            _log_sending(event, text)
            # What is taken at once is written together with what is behind it.
            if not self._transport.send_nowait(text):
                with suppress(ConnectionLost):
                    await self._transport.send(text)

    async def write(self, event: Event, text: str) -> None:
        """Write something at once, before the session goes on with this link.

        Raises:
            ConnectionLost: It has ended.
        """
        _log_sending(event, text)
        await self._transport.send(text)

    async def retire(self) -> None:
        """Say goodbye for a session that goes on: it is not over, whatever becomes of this link."""
        await self._transport.aclose()

    async def aclose(self) -> None:
        """Say goodbye."""
        # Before the close: the end that the receive loop is about to see is then no loss.
        self.enter(Phase.OVER)
        await self._transport.aclose()


def _log_sending(event: Event, text: str) -> None:
    if _logger.isEnabledFor(logging.DEBUG):
        # Of any type, if it was sent raw.
        _logger.debug("sending %s (%d characters)", legible(event.type), len(text))
