"""One further link of a session, from dialing until its end.

Owns the transport, and the opening exchange on it.  What is said in that exchange comes from
`continuity`; when there is a need for another link is known to `upkeep`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

import trio

from realtime_trio._legible import legible
from realtime_trio._protocol.chosen_model import ChosenModel
from realtime_trio._protocol.codec import Codec
from realtime_trio._protocol.wire_record import Source
from realtime_trio._session.lasting.policy import is_final
from realtime_trio._session.link import Link
from realtime_trio._state.introduction import Introduction
from realtime_trio._transport.contract import Transport
from realtime_trio.errors import ConnectionFailed, ConnectionLost
from realtime_trio.events import ClientEvent, Event, ServerEvent, SessionUpdate

Dial: TypeAlias = Callable[[], AbstractAsyncContextManager[Transport]]
"""Opens a connection to the service, with whatever key there is then."""


class Record(Protocol):
    """Takes note of what is on the wire."""

    def __call__(
        self,
        source: Source,
        event: Event,
        message: str | bytes,
        moment: Moment | None = None,
        /,
    ) -> None:
        """Take note of a message: now, or of another moment."""


Moment: TypeAlias = tuple[float, float]
"""A time by trio's clock, and by that of the world."""


class RefusedLink(ConnectionFailed):
    """There is no further link, and there would be none the next time."""


class Successor:
    """One further link.  `run` is its task; everything else is for the task that needs it.

    Args:
        dial: Opens the connection.
        codec: Reads and writes what travels on it.
        record: Takes note of what is on the wire.
        chosen_model: The model in the address, where it was made here.
        is_shown: Whether that is done at once.  Where another link still talks it is done when that
            has ended (`show`), since whoever reads it takes everything for the words of one server.
    """

    def __init__(
        self,
        dial: Dial,
        codec: Codec,
        record: Record,
        *,
        chosen_model: ChosenModel | None,
        is_shown: bool,
    ) -> None:
        self._chosen_model = chosen_model
        self._dial = dial
        self._codec = codec
        self._record = record
        self._unshown: list[tuple[Source, Event, str | bytes, Moment]] = []
        self._is_shown = is_shown
        self._changed = trio.lowlevel.ParkingLot()
        self._scope = trio.CancelScope()
        self._understand: Callable[[ServerEvent, str | bytes], None] = self._introduce
        self._error: Exception | None = None
        self._configuration: object = None
        """What it was configured with."""
        self.introduction = Introduction()
        self.link: Link | None = None
        """None until there is a connection."""

    # --- its task ---------------------------------------------------------------------------------

    async def run(self, ended: Callable[[Link], None]) -> None:  # noqa: ASYNC910 - if given up
        """Open the connection, and read from it until it ends.

        Args:
            ended: Called when it has ended after the session went on with it.
        """
        try:
            with self._scope:
                await self._carry(ended)
        # The application's function for the key runs in here, and may raise anything.
        except Exception as error:
            if self._has_taken_over:
                raise
            self._fail(error)
        finally:
            self._changed.unpark_all()

    async def _carry(self, ended: Callable[[Link], None]) -> None:
        async with self._dial() as transport:
            link = self.link = Link(transport, self._codec, configures=False)
            self._changed.unpark_all()
            await link.receive_loop(lambda event, message: self._understand(event, message))
            close = link.closed
            assert close is not None
            if self._has_taken_over:
                ended(link)
                return
            detail = self.introduction.error
            said = close.reason if detail is None else detail.message
            code = None if detail is None else detail.code or detail.type
            kind = RefusedLink if is_final(close, code) else ConnectionFailed
            why = f"the service closed the new connection: {close.code} {legible(said)}".rstrip()
            if self._chosen_model is not None:
                why += self._chosen_model.advice(code, said)
            self._fail(kind(why, code=code))

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self._changed.unpark_all()

    def _introduce(self, event: ServerEvent, message: str | bytes) -> None:
        self._note("server", event, message)
        self.introduction.apply(event, message)
        self._changed.unpark_all()

    # --- the opening ------------------------------------------------------------------------------

    async def configure(self, configuration: SessionUpdate | None) -> None:
        """Wait for the greeting, and for its yes to a configuration, unless it has said that.

        Raises:
            RefusedLink: The service does not take the configuration, or us.
            ConnectionFailed: It does not work now.
            RealtimeError, Exception: What the application's function for the key has raised, or
                an argument for connecting that is unusable.
        """
        await self._wait_until(lambda: self.introduction.created is not None)
        if configuration is not None and self.lacks(configuration):
            self._configuration = configuration.session
            await self._say(configuration)
            await self._wait_until(lambda: self.introduction.is_configured)
        if (refusal := self.introduction.refusal) is not None:
            raise RefusedLink(f"the service refused the configuration: {refusal}") from refusal

    def lacks(self, configuration: SessionUpdate | None) -> bool:
        """Whether it was not configured like this."""
        return configuration is not None and configuration.session != self._configuration

    async def tell(self, items: tuple[ClientEvent, ...], advanced: Callable[[], None]) -> None:  # noqa: ASYNC910 - if there is nothing to say
        """Tell it the conversation, and wait until it has taken or refused every item.

        Args:
            items: What creates the items.
            advanced: Called whenever one of them has been said, or answered.

        Raises:
            ConnectionFailed: It has ended meanwhile.
        """
        for create in items:
            await self._say(create)
            advanced()
        introduction = self.introduction
        while unanswered := introduction.unanswered:
            await self._wait_until(lambda: introduction.unanswered < unanswered)
            advanced()
        # Also if there was nothing to say: it may have ended while that was found out.
        self._check_open()

    async def _say(self, event: ClientEvent) -> None:
        assert self.link is not None, "it has greeted us"
        text = self._codec.encode(event)
        self.introduction.says(event)
        self._note("client", event, text)
        try:
            await self.link.write(event, text)
        except ConnectionLost:
            # Why, its own task is about to say.
            await self._wait_until(lambda: False)

    async def _wait_until(self, is_so: Callable[[], bool]) -> None:
        await trio.lowlevel.checkpoint()
        while not is_so() and self._error is None:
            await self._changed.park()
        # Also if it is so: nobody may go on with a link that has just ended.
        self._check_open()

    def _check_open(self) -> None:
        if self._error is not None:
            raise self._error

    # --- on record --------------------------------------------------------------------------------

    def _note(self, source: Source, event: Event, message: str | bytes) -> None:
        if self._is_shown:
            self._record(source, event, message)
        else:
            moment = trio.current_time(), time.time()
            self._unshown.append((source, event, message, moment))

    def show(self) -> None:
        """No other link talks any more: show what was said here, and what will be.  Idempotent."""
        self._is_shown = True
        unshown, self._unshown = self._unshown, []
        for each in unshown:
            self._record(*each)

    # --- afterwards -------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether it has not failed."""
        return self._error is None

    @property
    def _has_taken_over(self) -> bool:
        return self._understand != self._introduce

    def take_over(self, understand: Callable[[ServerEvent, str | bytes], None]) -> Link:
        """The session goes on with it: `understand` gets what it says from now on."""
        assert self.link is not None
        introduction, record = self.introduction, self._record

        def without_echoes(event: ServerEvent, message: str | bytes) -> None:
            # The last words about what it was told may come now.
            if introduction.is_echo(event):
                record("server", event, message)
            else:
                understand(event, message)

        self._understand = without_echoes if introduction.taken else understand
        self.link.begin()
        return self.link

    def give_up(self) -> None:
        """Close it: the session does not go on with it."""
        self._scope.cancel()
