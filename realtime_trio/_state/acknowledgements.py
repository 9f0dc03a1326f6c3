"""Who waits for which answer: matches server events to the client events they acknowledge or refuse.

Owns the open requests of a session.  Pure: it is told what was sent and what came, and calls back
when a request is settled.  It refuses to know what waiting is.

The protocol acknowledges requests without naming them.  Where a request names an item its
acknowledgement does too, and they are matched by that; the others are matched in the order of the
requests, which is the order in which the server works.  Refusals name the request by its event id,
or at least quote the item.  An acknowledgement that cannot be read is one all the same: whoever
waits for it is told so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from attrs import define, field

from realtime_trio.errors import RemoteProtocolError, ServerError
from realtime_trio.events import (
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
    TranslationSessionUpdate,
    TranslationSessionUpdated,
    UnknownEvent,
)

_Key = tuple[type[ClientEvent], str | None]

_QUOTING_CODES: Final[dict[str, type[ClientEvent]]] = {
    "item_delete_invalid_item_id": ConversationItemDelete,
    "item_retrieve_invalid_item_id": ConversationItemRetrieve,
    "item_truncate_invalid_item_id": ConversationItemTruncate,
}
"""Refusals that come without an event id now and then, and what they refuse; their message quotes
the item's id."""

_ACKNOWLEDGES: Final[dict[str, tuple[type[ClientEvent], ...]]] = {
    SessionUpdated.type: (SessionUpdate, TranslationSessionUpdate),
    InputAudioBufferCommitted.type: (InputAudioBufferCommit,),
    InputAudioBufferCleared.type: (InputAudioBufferClear,),
    ConversationItemAdded.type: (ConversationItemCreate,),
    ConversationItemCreated.type: (ConversationItemCreate,),
    ConversationItemDeleted.type: (ConversationItemDelete,),
    ConversationItemRetrieved.type: (ConversationItemRetrieve,),
    ConversationItemTruncated.type: (ConversationItemTruncate,),
}
"""Wire types of acknowledgements, for those that cannot be read, and what they acknowledge."""


def _asked(event: ClientEvent) -> _Key | None:
    """What a client event waits for; None if nothing would tell its answer from another's."""
    match event:
        case (
            SessionUpdate()
            | TranslationSessionUpdate()
            | InputAudioBufferCommit()
            | InputAudioBufferClear()
        ):
            return type(event), None
        case ConversationItemCreate(item=item):
            return (type(event), item.id) if item.id else None
        case ConversationItemDelete() | ConversationItemRetrieve() | ConversationItemTruncate():
            return type(event), event.item_id
        case _:
            return None


def _answered(event: ServerEvent) -> _Key | None:
    """What a server event acknowledges."""
    match event:
        case SessionUpdated():
            return SessionUpdate, None
        case TranslationSessionUpdated():
            return TranslationSessionUpdate, None
        case InputAudioBufferCommitted():
            return InputAudioBufferCommit, None
        case InputAudioBufferCleared():
            return InputAudioBufferClear, None
        case ConversationItemAdded(item=item) | ConversationItemCreated(item=item):
            return ConversationItemCreate, item.id
        case ConversationItemDeleted(item_id=item_id):
            return ConversationItemDelete, item_id
        case ConversationItemRetrieved(item=item):
            return ConversationItemRetrieve, item.id
        case ConversationItemTruncated(item_id=item_id):
            return ConversationItemTruncate, item_id
        case _:
            return None


@define(eq=False)
class Request:
    """One client event that waits for its answer."""

    event: ClientEvent
    """What was sent."""
    on_settled: Callable[[], None] = field(repr=False)
    """Called once, when `answer` or `error` has been set.  Must not raise."""
    answer: ServerEvent | None = None
    """The acknowledgement."""
    error: Exception | None = None
    """Why there is none: a `ServerError`, a `RemoteProtocolError` if it could not be read, or what
    ended the session."""

    def _settle(self, answer: ServerEvent | None, error: Exception | None) -> None:
        self.answer, self.error = answer, error
        self.on_settled()


class Replies:
    """The open requests of one session."""

    def __init__(self) -> None:
        self._waiting: dict[_Key, deque[Request]] = {}

    def expect(self, event: Event, on_settled: Callable[[], None]) -> Request | None:
        """Note that `event` is about to be sent; None if its answer could not be told: its kind has none, or it has no id to be refused by.

        A request stays here until it is settled even if nobody waits for it any more, because the
        next one's answer comes after its own.
        """
        if (
            not isinstance(event, ClientEvent)
            or not event.event_id
            or (key := _asked(event)) is None
        ):
            return None
        request = Request(event, on_settled)
        self._waiting.setdefault(key, deque()).append(request)
        return request

    def awaits(self, kind: type[ClientEvent]) -> bool:
        """Whether an event of this kind, of those that name no item, is open."""
        return (kind, None) in self._waiting

    def settle(self, event: ServerEvent) -> bool:
        """Take note of a server event: it may acknowledge the oldest request of its kind, or refuse one.

        Returns:
            Whether somebody had waited for it.
        """
        if isinstance(event, ErrorEvent):
            return self._refuse(event.error)
        if isinstance(event, UnknownEvent):
            return self._give_up(event)
        if not self._waiting or (key := _answered(event)) is None or key not in self._waiting:
            return False
        self._take(key, self._waiting[key][0])._settle(event, None)
        return True

    def close(self, error: Exception) -> None:
        """Settle everything that is still open with `error`."""
        waiting, self._waiting = self._waiting, {}
        for queue in waiting.values():
            for request in queue:
                request._settle(None, error)

    def _refuse(self, detail: ErrorDetail) -> bool:
        found = self._named(detail) if detail.event_id else self._quoted(detail)
        if found is None:
            return False
        error = ServerError(
            detail.message,
            type=detail.type,
            code=detail.code,
            param=detail.param,
            event_id=found[1].event.event_id,
        )
        self._take(*found)._settle(None, error)
        return True

    def _give_up(self, event: UnknownEvent) -> bool:
        """Settle what an acknowledgement that cannot be read must have answered."""
        kinds = _ACKNOWLEDGES.get(event.type, ())
        item_id = _item_id_of(event.raw)
        key = next(
            (key for key in self._waiting if key[0] in kinds and key[1] in (None, item_id)), None
        )
        if key is None:
            return False
        error = RemoteProtocolError(
            f"the server's answer cannot be read: {event.type}: {event.problem}"
        )
        self._take(key, self._waiting[key][0])._settle(None, error)
        return True

    def _named(self, detail: ErrorDetail) -> tuple[_Key, Request] | None:
        return next(
            (
                (key, request)
                for key, queue in self._waiting.items()
                for request in queue
                if request.event.event_id == detail.event_id
            ),
            None,
        )

    def _quoted(self, detail: ErrorDetail) -> tuple[_Key, Request] | None:
        """The request that a refusal without an event id must mean: of the quoted item, or the update of the setting at fault."""
        refused = _QUOTING_CODES.get(detail.code or "")
        is_setting = detail.param is not None and detail.param.partition(".")[0] == "session"
        for key, queue in self._waiting.items():
            kind, item_id = key
            if (
                f"'{item_id}'" in detail.message
                if kind is refused
                else is_setting and kind in (SessionUpdate, TranslationSessionUpdate)
            ):
                return key, queue[0]
        return None

    def _take(self, key: _Key, request: Request) -> Request:
        queue = self._waiting[key]
        queue.remove(request)
        if not queue:
            del self._waiting[key]
        return request


def _item_id_of(raw: object) -> object:
    match raw:
        case {"item_id": item_id} | {"item": {"id": item_id}}:
            return item_id
        case _:
            return ""
