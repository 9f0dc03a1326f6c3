"""Matches server events to the client events they acknowledge or refuse.

Owns the table of what acknowledges what (`ACKNOWLEDGED`), and the events of a session that still
wait for it.  Pure: it is told what was sent and what came, and returns what that has settled.  It
refuses to know what waiting is.

The protocol acknowledges without naming the client event.  Where a client event names an item its
acknowledgement does too, and they are matched by that; the others are matched in the order of
sending, which is the order in which the server works.  Refusals name the client event by its id, or
at least quote the item; one that names nothing means an event that had no name.  An acknowledgement
that cannot be read is one all the same: those who wait for it are told so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, ClassVar, Final

from attrs import define

from realtime_trio._frozen import frozen
from realtime_trio._legible import legible
from realtime_trio._state.reactions import Reactions
from realtime_trio.errors import RemoteProtocolError, ServerError, SessionClosed
from realtime_trio.events import (
    CLIENT_EVENTS,
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemCreated,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ConversationItemTruncated,
    ErrorDetail,
    ErrorEvent,
    Event,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    ServerEvent,
    SessionUpdate,
    SessionUpdated,
    TranslationSessionClose,
    TranslationSessionClosed,
    TranslationSessionUpdate,
    TranslationSessionUpdated,
    UnknownEvent,
)


def _of_session(_: object) -> str | None:
    return None


def _of_item(event: Any) -> str | None:
    """The id of the item that an event carries or names."""
    item_id: str | None = event.item.id if hasattr(event, "item") else event.item_id
    return item_id


@frozen
class Ack:
    """One kind of client event that the server acknowledges."""

    sent: type[ClientEvent]
    """The client event."""
    by: tuple[type[ServerEvent], ...]
    """What acknowledges it: any of these."""
    key: Callable[[Any], str | None] = _of_session
    """Of either event: the id that both carry, so that they are matched by it; None matches in the
    order of sending."""
    quoting_code: str | None = None
    """Code of a refusal that comes without an event id now and then; its message quotes the key."""
    takes_settings: bool = False
    """Whether a refusal without an event id whose `param` is a setting of the session means it."""
    is_last: bool = False
    """Whether nothing is sent after it, so that no other can be taken for it."""
    if_ended: str = "the session ended before the server answered"
    """What is said to those who wait when the session ends first."""


ACKNOWLEDGED: Final = (
    Ack(SessionUpdate, (SessionUpdated,), takes_settings=True),
    Ack(TranslationSessionUpdate, (TranslationSessionUpdated,), takes_settings=True),
    Ack(
        TranslationSessionClose,
        (TranslationSessionClosed,),
        is_last=True,
        if_ended="the session ended before everything was translated",
    ),
    Ack(InputAudioBufferCommit, (InputAudioBufferCommitted,)),
    Ack(InputAudioBufferClear, (InputAudioBufferCleared,)),
    Ack(ConversationItemCreate, (ConversationItemAdded, ConversationItemCreated), _of_item),
    Ack(
        ConversationItemDelete,
        (ConversationItemDeleted,),
        _of_item,
        quoting_code="item_delete_invalid_item_id",
    ),
    Ack(
        ConversationItemRetrieve,
        (ConversationItemRetrieved,),
        _of_item,
        quoting_code="item_retrieve_invalid_item_id",
    ),
    Ack(
        ConversationItemTruncate,
        (ConversationItemTruncated,),
        _of_item,
        quoting_code="item_truncate_invalid_item_id",
    ),
)
"""What is acknowledged, and by what.  A new pair is a new row."""

_BY_SENT: Final = {row.sent: row for row in ACKNOWLEDGED}

_Key = tuple[type[ClientEvent], str | None]


def unanswered(sent: type[ClientEvent]) -> SessionClosed:
    """The error of those who wait for the acknowledgement of such an event when a session ends."""
    return SessionClosed(_BY_SENT[sent].if_ended)


@define(eq=False)
class Pending:
    """One client event that waits for its acknowledgement."""

    event: ClientEvent | UnknownEvent
    """What was sent; unknown if it was sent unchecked, in a shape that this version cannot read."""
    acknowledgement: ServerEvent | None = None
    """What acknowledged it."""
    error: Exception | None = None
    """Why it was not: a `ServerError`, a `RemoteProtocolError` if the acknowledgement could not be
    read, or what ended the session."""

    @property
    def is_settled(self) -> bool:
        """Whether the server has answered, or never will."""
        return self.acknowledgement is not None or self.error is not None


def _taking(row: Ack) -> Callable[[Acknowledgements, ServerEvent], Pending | None]:
    return lambda waiting, event: waiting._acknowledge(row, event)


class Acknowledgements:
    """The client events of one session that wait to be acknowledged.

    Args:
        client_events: What a client may send in this kind of session, which says what is meant by a
            wire type.
    """

    def __init__(self, client_events: Collection[type[ClientEvent]] = CLIENT_EVENTS) -> None:
        self._by_type = {row.sent.type: row for row in ACKNOWLEDGED if row.sent in client_events}
        self._waiting: dict[_Key, list[Pending]] = {}

    def expect(self, event: Event) -> Pending | None:
        """Note that `event` is about to be sent; None if its acknowledgement could not be told.

        That is so if its kind has none, or if the event concerns an item and does not name it.  It
        stays here until it is settled even if nobody waits for it, because the acknowledgement of
        the next one comes after its own; where there is no next one, an event without an id is not
        expected, because an error about something else would be taken for its refusal.

        Args:
            event: A client event, or what was sent unchecked.
        """
        match event:
            case UnknownEvent() if row := self._by_type.get(event.type):
                key = None if row.key is _of_session else _item_id_of(event.raw)
            case ClientEvent() if row := _BY_SENT.get(type(event)):
                key = row.key(event)
            case _:
                return None
        if not key and row.key is not _of_session:
            return None
        if row.is_last and not event.event_id:
            return None
        pending = Pending(event)
        self._waiting.setdefault((row.sent, key), []).append(pending)
        return pending

    def awaits(self, kind: type[ClientEvent]) -> bool:
        """Whether an event of this kind, of those that name no item, is pending."""
        return (kind, None) in self._waiting

    def find(self, event: ClientEvent) -> Pending | None:
        """What waits for the acknowledgement of exactly this event."""
        queues = self._waiting.values()
        return next((each for queue in queues for each in queue if each.event is event), None)

    def settle(self, event: ServerEvent) -> Pending | None:
        """Take note of a server event: it may acknowledge the oldest of its kind, or refuse one.

        Returns:
            What it has settled, None if nothing waited for it.
        """
        if not self._waiting:
            return None
        react = self.reactions[type(event)]
        return None if react is None else react(self, event)

    def withdraw(self, event: Event, outcome: ServerEvent | Exception) -> Pending | None:
        """Settle an event that the server will not answer any more, because it never gets it.

        Args:
            event: Exactly what was sent.
            outcome: What is taken for its acknowledgement, or why there is none.

        Returns:
            What that has settled, None if nothing waits for this event.
        """
        for key, queue in self._waiting.items():
            for pending in queue:
                if pending.event is event:
                    self._take(key, pending)
                    if isinstance(outcome, Exception):
                        pending.error = outcome
                    else:
                        pending.acknowledgement = outcome
                    return pending
        return None

    def close(self) -> tuple[Pending, ...]:
        """Settle everything that is still pending with a `SessionClosed`, and return it."""
        waiting, self._waiting = self._waiting, {}
        settled = tuple(pending for queue in waiting.values() for pending in queue)
        for (kind, _), queue in waiting.items():
            for pending in queue:
                pending.error = unanswered(kind)
        return settled

    def _acknowledge(self, row: Ack, event: ServerEvent) -> Pending | None:
        key = row.sent, row.key(event)
        if key not in self._waiting:
            return None
        pending = self._take(key, self._waiting[key][0])
        pending.acknowledgement = event
        return pending

    def _refuse(self, event: ErrorEvent) -> Pending | None:
        detail = event.error
        found = (
            self._named(detail) if detail.event_id else self._quoted(detail) or self._without_name()
        )
        if found is None:
            return None
        pending = self._take(*found)
        pending.error = ServerError(
            detail.message,
            type=detail.type,
            code=detail.code,
            param=detail.param,
            event_id=pending.event.event_id,
        )
        return pending

    def _give_up(self, event: UnknownEvent) -> Pending | None:
        """Settle what an acknowledgement that cannot be read must have meant."""
        item_id = _item_id_of(event.raw)
        for key in self._waiting:
            kind, asked = key
            if asked in (None, item_id) and event.type in (by.type for by in _BY_SENT[kind].by):
                pending = self._take(key, self._waiting[key][0])
                pending.error = RemoteProtocolError(
                    f"the server's answer cannot be read: {event.type}: "
                    f"{legible(str(event.problem))}"
                )
                return pending
        return None

    def _named(self, detail: ErrorDetail) -> tuple[_Key, Pending] | None:
        for key, queue in self._waiting.items():
            for pending in queue:
                if pending.event.event_id == detail.event_id:
                    return key, pending
        return None

    def _quoted(self, detail: ErrorDetail) -> tuple[_Key, Pending] | None:
        """What a refusal without an event id must mean.

        It is the client event of the quoted item, or the update of the setting at fault.
        """
        is_setting = detail.param is not None and detail.param.partition(".")[0] == "session"
        for key, queue in self._waiting.items():
            kind, item_id = key
            row = _BY_SENT[kind]
            is_quoted = row.quoting_code is not None and row.quoting_code == detail.code
            if f"'{item_id}'" in detail.message if is_quoted else row.takes_settings and is_setting:
                # A server that names events by their ids means one that has none.
                return key, next((each for each in queue if not each.event.event_id), queue[0])
        return None

    def _without_name(self) -> tuple[_Key, Pending] | None:
        """The oldest client event without an id, which is what a refusal without one is about.

        It may be about something else, and then an acknowledgement goes to the wrong one of two;
        but an event that was refused and went on waiting would take that of the next for ever.
        """
        for key, queue in self._waiting.items():
            for pending in queue:
                if not pending.event.event_id:
                    return key, pending
        return None

    def _take(self, key: _Key, pending: Pending) -> Pending:
        queue = self._waiting[key]
        queue.remove(pending)
        if not queue:
            del self._waiting[key]
        return pending

    reactions: ClassVar[Reactions[Acknowledgements, Pending | None]] = Reactions(
        {
            **{answer: _taking(row) for row in ACKNOWLEDGED for answer in row.by},
            ErrorEvent: _refuse,
            UnknownEvent: _give_up,
        }
    )
    """What may settle something."""


def _item_id_of(raw: object) -> str:
    match raw:
        case {"item_id": str(item_id)} | {"item": {"id": str(item_id)}}:
            return item_id
        case _:
            return ""
