"""Conversations to be told again, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from itertools import count

from realtime_trio._state.conversation.audio import DEFAULT_ENCODING, Encoding
from realtime_trio._state.conversation.history import entries_of, read_history
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.conversation.restoring import Restored, restore
from realtime_trio._state.conversation.size import NO_LIMIT, HistoryLimit
from realtime_trio.events import ConversationItemAdded, Item


def talk(*items: Item) -> Conversation:
    """A conversation in which the server has said that there are these items."""
    conversation = Conversation()
    previous = None
    for item in items:
        conversation.apply(
            ConversationItemAdded(event_id="e", item=item, previous_item_id=previous)
        )
        previous = item.id
    return conversation


def numbered() -> Callable[[str], str]:
    """Makes ids that tell in which order they were made."""
    numbers = count(1)
    return lambda prefix: f"{prefix}new{next(numbers)}"


def restored(
    history: Iterable[object],
    *,
    encoding: Encoding | None = DEFAULT_ENCODING,
    limit: HistoryLimit = NO_LIMIT,
    open_calls: Collection[str] = (),
    keep_ids: bool = False,
) -> Restored:
    """What becomes of an exported conversation."""
    return restore(
        read_history(history),
        new_id=numbered(),
        encoding=encoding,
        limit=limit,
        open_calls=open_calls,
        keep_ids=keep_ids,
    )


def stored(conversation: Conversation, *, audio: bool = False) -> list[object]:
    """What a program reads back that has stored a conversation in between."""
    read: list[object] = json.loads(json.dumps(conversation.export(audio=audio)))
    return read


def kept(conversation: Conversation, *, encoding: Encoding | None = DEFAULT_ENCODING) -> Restored:
    """What becomes of a conversation that is still here."""
    return restore(entries_of(conversation.items), new_id=numbered(), encoding=encoding)


def items_of(restored: Restored) -> list[Item]:
    """The items that are told, which hold together by their ids."""
    previous: str | None = "root"
    for event in restored.events:
        assert event.previous_item_id == previous
        previous = event.item.id
        assert previous is not None
    return [event.item for event in restored.events]


def differences(restored: Restored) -> list[tuple[int, str, str]]:
    """What is different, by place, kind and reason."""
    return [(each.index, each.what, each.reason) for each in restored.omitted]
