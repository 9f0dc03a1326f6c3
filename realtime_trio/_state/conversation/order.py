"""Which items stand in a conversation, and in which order.

Owns the list of items.
"""

from __future__ import annotations

from realtime_trio._state.conversation.item import ConversationItem, ItemPhase


class ItemOrder:
    """The items of a conversation, in order.

    An item stands behind the one the server named, or at the end if that one is not here.  If the
    server named none, the item is the first, provided that this server names them at all; one that
    names none for an answer does not.
    """

    def __init__(self) -> None:
        self._items: list[ConversationItem] = []
        self._snapshot: tuple[ConversationItem, ...] | None = ()
        self._names_previous = True

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """The items, in order."""
        if self._snapshot is None:
            self._snapshot = tuple(self._items)
        return self._snapshot

    def show(self, item: ConversationItem) -> None:
        """Put an item in."""
        item._reach(ItemPhase.SHOWN)
        self._insert(item)

    def remove(self, item: ConversationItem) -> None:
        """Take an item out."""
        self._items.remove(item)
        self._snapshot = None

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
        stated = item._previous_item_id
        item._previous_item_id = previous_item_id or item._previous_item_id
        if item._previous_item_id:
            self._names_previous = True
        elif follows and len(self._items) > item._is_shown:
            # An answer cannot come before everything else: this server does not name them at all.
            self._names_previous = False
        if not item._is_shown:
            return False
        before = self._items.index(item)
        self.remove(item)
        return self._insert(item) != before or item._previous_item_id != stated

    def _insert(self, item: ConversationItem) -> int:
        position = self._position(item)
        self._items.insert(position, item)
        self._snapshot = None
        return position

    def _position(self, item: ConversationItem) -> int:
        previous = item._previous_item_id
        if not previous:
            return 0 if item._is_anchored and self._names_previous else len(self._items)
        if previous == "root":
            return 0
        for index in range(len(self._items) - 1, -1, -1):  # nearly always the last one
            if self._items[index]._id == previous:
                return index + 1
        return len(self._items)
