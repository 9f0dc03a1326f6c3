"""What another server is told before a session goes on with it, and what it says to that.

Owns the opening of one further link: its greeting, the configuration, the items of the
conversation.  Pure: it is told what comes and says how far it is.  What the items are is in
`_state.conversation.history`; sending them is for the session.
"""

from __future__ import annotations

from collections.abc import Iterable

from realtime_trio._legible import legible
from realtime_trio._state.acknowledgements import Acknowledgements, Pending
from realtime_trio.events import (
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemCreated,
    ConversationItemDone,
    ErrorDetail,
    ErrorEvent,
    RealtimeSession,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
)

_Echo = ConversationItemAdded | ConversationItemCreated | ConversationItemDone
"""What a server says of an item that it was told."""


class Introduction:
    """The opening of one link, until the session goes on with it."""

    def __init__(self) -> None:
        self.created: SessionCreated | None = None
        """Its greeting."""
        self.updated: SessionUpdated | None = None
        """Its answer to the configuration."""
        self.error: ErrorDetail | None = None
        """The last error that was about nothing we had said: why it does not begin."""
        self.rest: list[tuple[ServerEvent, str | bytes]] = []
        """What it has said besides, with the messages, for when the session goes on with it."""
        self._acknowledgements = Acknowledgements()
        self._configuration: Pending | None = None
        self._items: list[Pending] = []
        self._told: set[str] = set()

    def says(self, event: ClientEvent) -> None:
        """Note that something is about to be said: the configuration, or an item with an id."""
        pending = self._acknowledgements.expect(event)
        assert pending is not None, "only what is acknowledged is said"
        if isinstance(event, ConversationItemCreate):
            self._items.append(pending)
            self._told.add(str(event.item.id))
        else:
            self._configuration = pending

    def apply(self, event: ServerEvent, message: str | bytes) -> None:
        """Take what the server says."""
        settled = self._acknowledgements.settle(event)
        match event:
            case SessionCreated():
                self.created = event
            case SessionUpdated():
                self.updated = event
            case ErrorEvent() if settled is None:
                self.error = event.error
            case ErrorEvent():
                pass
            case _ if not self.is_echo(event):
                self.rest.append((event, message))

    def is_echo(self, event: ServerEvent) -> bool:
        """Whether an event says only that the server has an item which it was told."""
        return isinstance(event, _Echo) and event.item.id in self._told

    @property
    def is_configured(self) -> bool:
        """Whether it has answered the configuration, if it was given one."""
        pending = self._configuration
        return self.created is not None and (pending is None or pending.is_settled)

    @property
    def unanswered(self) -> int:
        """How many of the items that it was told it has neither taken nor refused."""
        return sum(not pending.is_settled for pending in self._items)

    @property
    def refusal(self) -> Exception | None:
        """Why it did not take the configuration; None if it did, or has not answered."""
        return None if self._configuration is None else self._configuration.error

    @property
    def session(self) -> RealtimeSession | None:
        """The configuration that is in force."""
        said = self.updated or self.created
        session = None if said is None else said.session
        return session if isinstance(session, RealtimeSession) else None

    @property
    def refused(self) -> tuple[tuple[str, str], ...]:
        """The items that it did not take: id, and why."""
        return tuple(
            (_id_of(pending), legible(str(pending.error)))
            for pending in self._items
            if pending.error is not None
        )

    @property
    def taken(self) -> frozenset[str]:
        """Ids of the items that it has taken."""
        return frozenset(_ids(pending for pending in self._items if pending.error is None))


def _ids(pendings: Iterable[Pending]) -> Iterable[str]:
    return map(_id_of, pendings)


def _id_of(pending: Pending) -> str:
    assert isinstance(pending.event, ConversationItemCreate)
    return str(pending.event.item.id)
