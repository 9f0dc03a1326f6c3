"""What of a conversation is to be written down next, so that a journal follows it.

Owns what a journal is taken to hold, and nothing of files.  An item is written when it has its
form, and again when it changes after that: a transcript that comes late, a truncation.  While the
model is still making it, it is in flight, and a crash loses it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from realtime_trio._protocol.json_text import write_json
from realtime_trio._state.conversation.history import export_items, exported
from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio._state.conversation.journal import Gone, JournalLine, Order, Put
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.utility_events import (
    ItemAppended,
    ItemCompleted,
    ItemDeleted,
    ItemEvent,
    ItemTruncated,
)
from realtime_trio.events import (
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemRetrieved,
    Event,
    ResponseDone,
)

NOTED: Final = (
    ItemAppended,
    ItemCompleted,
    ItemDeleted,
    ItemEvent,
    ItemTruncated,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemRetrieved,
    ResponseDone,
)
"""Events after which an item may have to be written.  The updates are not among them: there is one
for every delta, and they are not even made unless somebody wants them."""


class Keeper:
    """Says which lines keep a journal true to a conversation.

    Args:
        conversation: The conversation.
        stored: Ids of the items that the journal has, in order.  Those of them that are in the
            conversation are the same there, perhaps in other words, and stay as they were written
            until they change.
        audio: Whether to write what the user said as audio, too.
    """

    def __init__(self, conversation: Conversation, stored: Collection[str], *, audio: bool) -> None:
        self._conversation = conversation
        self._audio = audio
        self._order = Order()
        self._prints: dict[str, bytes] = {}
        """Of the items that are in the journal: what they were when they were written."""
        self._marked: dict[str, None] = {}
        """Ids to be looked at, in order."""
        self._looks_at_all = True
        previous = None
        for item_id in stored:
            self._order.put(item_id, previous)
            previous = item_id
        for item in conversation.items:
            if item.id in self._order:
                self._prints[item.id] = _print_of(item)

    def note(self, event: Event) -> None:
        """Take note of an event, one of `NOTED`."""
        match event:
            case ItemEvent(item=item):
                self._marked[item.id] = None
            case ConversationItemInputAudioTranscriptionCompleted(item_id=item_id):
                self._marked[item_id] = None
            case ConversationItemRetrieved(item=item):
                self._marked[str(item.id)] = None
            case ResponseDone(response=response):
                self._marked.update((str(item.id), None) for item in response.output)
            case _:
                pass

    def note_all(self) -> None:
        """Look at everything next time: events were missed, or it is the last time."""
        self._looks_at_all = True

    def undo(self, lines: Iterable[JournalLine]) -> None:
        """Take note that lines could not be appended: they are due again."""
        for line in lines:
            self._prints.pop(line.item_id, None)
            if isinstance(line, Gone):
                self._order.put(line.item_id, None)
        self._looks_at_all = True

    def lines(self, *, is_last: bool = False) -> list[JournalLine]:
        """What is to be appended now.

        Args:
            is_last: Whether nothing follows, so that what is in flight is written as it is.
        """
        if self._looks_at_all or is_last:
            found = [*self._lost(), *self._all(is_last=is_last)]
        else:
            found = list(self._of_marked())
        self._marked.clear()
        self._looks_at_all = False
        return found

    def _of_marked(self) -> Iterator[JournalLine]:
        for item_id in self._marked:
            item = self._conversation.get(item_id)
            if item is None or not item._is_shown:
                yield from self._gone(item_id)
            elif not _is_in_flight(item):
                yield from self._put(item, self._before(item))

    def _lost(self) -> Iterator[JournalLine]:
        here = {item.id for item in self._conversation.items}
        for item_id in [each for each in self._order if each not in here]:
            yield from self._gone(item_id)

    def _all(self, *, is_last: bool) -> Iterator[JournalLine]:
        items = self._conversation.items
        written = [item.id for item in items if item.id in self._order]
        is_in_order = written == list(self._order)
        previous: str | None = None
        for item in items:
            if is_last or not _is_in_flight(item):
                yield from self._put(item, previous, is_moved=not is_in_order)
            if item.id in self._order:
                previous = item.id

    def _put(
        self, item: ConversationItem, after: str | None, *, is_moved: bool = False
    ) -> Iterator[JournalLine]:
        seen = _print_of(item)
        if self._prints.get(item.id) == seen and not is_moved:
            return
        self._prints[item.id] = seen
        self._order.put(item.id, after)
        yield Put(item.id, after, exported(item, audio=self._audio))

    def _gone(self, item_id: str) -> Iterator[JournalLine]:
        if item_id in self._order:
            self._order.remove(item_id)
            self._prints.pop(item_id, None)
            yield Gone(item_id)

    def _before(self, item: ConversationItem) -> str | None:
        """The nearest item before this one that the journal has."""
        items = self._conversation.items
        is_found = False
        # From the end, where nearly everything happens.
        for position in range(len(items) - 1, -1, -1):
            other = items[position]
            if is_found and other.id in self._order:
                return other.id
            is_found = is_found or other is item
        return None


def _is_in_flight(item: ConversationItem) -> bool:
    return item.status == "in_progress"


def _print_of(item: ConversationItem) -> bytes:
    """Tells whether an item has changed, without keeping what it was."""
    text = write_json([export_items([item]), item.audio_ms])
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
