"""The older protocol, read as today's, so that one table of rules is enough for both.

Owns the difference in the order of events.  Names and shapes are translated before, by the codec.

Theory of operation.  Where today's protocol adds an item and later says that it is done, the older
one has a single event.  It says that an item was created: one of the user is done by then, and one
of a response will be when the response says that this output is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from attrs import define, field

from realtime_trio.events import (
    ConversationCreated,
    ConversationItemAdded,
    ConversationItemCreated,
    ConversationItemDeleted,
    ConversationItemDone,
    Event,
    Item,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    SessionCreated,
)


def is_older(events: Iterable[Event]) -> bool:
    """Whether a server speaks the older protocol: it begins with two events instead of one."""
    match list(islice(events, 2)):
        case [SessionCreated(), ConversationCreated()]:
            return True
    return False


@define(eq=False)
class OlderProtocol:
    """What the events of one session would be today."""

    _growing: set[str | None] = field(factory=set, init=False)
    """Items of responses that are not done."""
    _created: dict[str | None, str | None] = field(factory=dict, init=False)
    """Items of the conversation that are not done, with the item before each."""

    def read(self, event: Event) -> Iterator[Event]:
        """The events that a server of today would send in place of this one, in order."""
        match event:
            case ConversationCreated():
                return
            case ConversationItemCreated(item=item, previous_item_id=previous):
                yield ConversationItemAdded(
                    event_id=event.event_id, item=item, previous_item_id=previous
                )
                if item.id in self._growing:
                    self._created[item.id] = previous
                else:
                    yield _done(event, item, previous)
                return
            case ResponseOutputItemAdded(item=item):
                self._growing.add(item.id)
            case ResponseOutputItemDone(item=item):
                self._growing.discard(item.id)
                # What is out of band was never created, and so is not done either.
                if item.id in self._created:
                    yield _done(event, item, self._created.pop(item.id))
            case ConversationItemDeleted(item_id=item_id):
                self._created.pop(item_id, None)
        yield event


def _done(
    event: ConversationItemCreated | ResponseOutputItemDone, item: Item, previous: str | None
) -> Event:
    # An id of its own: to the rules this is an event like any other.
    return ConversationItemDone(
        event_id=f"{event.event_id} (done)", item=item, previous_item_id=previous
    )
