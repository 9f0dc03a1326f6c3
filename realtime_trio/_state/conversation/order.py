"""Which items stand in a conversation, and in which order.

Owns the list of items.

Theory of operation.  A conversation grows at its end, and whoever looks at it wants what was there
when they looked.  So a look is the list and how many items of it count: it costs the same however
many there are, and so does appending, which changes only what nobody has seen.  Any other change
is made in a copy, if somebody has looked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, overload

from realtime_trio._state.conversation.item import LISTING, ConversationItem, ItemPhase

_NEAR: Final = 8
"""Items from the end that are looked at one by one; nearly everything happens there."""


class Items(Sequence[ConversationItem]):
    """The items of a conversation at one moment, in order.

    It is like a tuple, and equal to one of the same items.
    """

    __slots__ = ("_count", "_items")

    def __init__(self, items: list[ConversationItem]) -> None:
        self._items = items
        self._count = len(items)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> ConversationItem: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ConversationItem, ...]: ...

    def __getitem__(self, index: int | slice) -> ConversationItem | tuple[ConversationItem, ...]:
        if isinstance(index, slice):
            return tuple(self._items[at] for at in range(self._count)[index])
        if not -self._count <= index < self._count:
            raise IndexError(f"there are {self._count} items, and none at {index}")
        return self._items[index if index >= 0 else index + self._count]

    def __iter__(self) -> Iterator[ConversationItem]:
        return islice(self._items, self._count)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Items | tuple):
            return NotImplemented
        return tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))


class ItemOrder:
    """The items of a conversation, in order.

    An item stands behind the one the server named, or at the end if that one is not here.  If the
    server named none, the item is the first, provided that this server names them at all; one that
    names none for an answer does not.
    """

    def __init__(self) -> None:
        self._items: list[ConversationItem] = []
        self._by_id: dict[str, ConversationItem] = {}
        self._look: Items | None = None
        """What was seen last, as long as nothing has changed."""
        self._was_seen = False
        """Whether somebody may still look at this very list."""
        self._names_previous = True

    @property
    def items(self) -> Items:
        """The items, in order."""
        if self._look is None:
            self._look = Items(self._items)
            self._was_seen = True
        return self._look

    def show(self, item: ConversationItem) -> None:
        """Put an item in."""
        item._reach(ItemPhase.SHOWN)
        position = self._position(item)
        self._by_id[item._id] = item
        self._insert(position, item)

    def remove(self, item: ConversationItem) -> None:
        """Take an item out."""
        del self._by_id[item._id]
        self._take_out(self._index(item))

    def place(self, item: ConversationItem, previous_item_id: str | None, *, follows: bool) -> bool:
        """Take the server's word for where an item belongs.

        Only the first word counts: later events repeat what was true then.

        Args:
            item: The item, shown already or not.
            previous_item_id: What the server said.
            follows: Whether an item of this kind is never the first one beside others.

        Returns:
            Whether this has changed an item that is shown.
        """
        if item._is_anchored:
            return False
        item._is_anchored = True
        item._follows = follows
        stated = item._previous_item_id
        item._previous_item_id = previous_item_id or item._previous_item_id
        if item._previous_item_id:
            self._names_previous = True
        elif follows and item._type != LISTING and self._is_beside_others(item):
            # An answer cannot come before everything else: this server does not name them at all.
            self._names_previous = False
        if not item._is_shown:
            return False
        before = self._index(item)
        position = self._position(item)
        # Where it will be when it does not stand where it does now.
        position -= position > before
        if position != before:
            self._take_out(before)
            self._insert(position, item)
        return position != before or item._previous_item_id != stated

    def _insert(self, position: int, item: ConversationItem) -> None:
        if position < len(self._items):
            self._before_unlike_appending()
        self._items.insert(position, item)
        self._look = None

    def _take_out(self, position: int) -> None:
        self._before_unlike_appending()
        del self._items[position]
        self._look = None

    def _before_unlike_appending(self) -> None:
        if self._was_seen:
            self._items = self._items.copy()
            self._was_seen = False

    def _position(self, item: ConversationItem) -> int:
        previous = item._previous_item_id
        if not previous:
            if not (item._is_anchored and self._names_previous) or item._type == LISTING:
                return len(self._items)
            return self._behind_the_missing(0) if item._follows else 0
        if previous == "root":
            return 0
        known = self._by_id.get(previous)
        if known is None:
            return len(self._items)
        return self._behind_the_missing(self._index(known) + 1)

    def _behind_the_missing(self, position: int) -> int:
        # Of what it does not have, the server cannot say that something comes behind it.
        while position < len(self._items) and self._items[position]._is_left_behind:
            position += 1
        return position

    def _is_beside_others(self, item: ConversationItem) -> bool:
        """Whether the server has other items."""
        others = (other for other in reversed(self._items) if other is not item)
        return not all(other._is_left_behind for other in others)

    def _index(self, item: ConversationItem) -> int:
        end = len(self._items)
        for index in range(end - 1, max(0, end - _NEAR) - 1, -1):
            if self._items[index] is item:
                return index
        return self._items.index(item)
