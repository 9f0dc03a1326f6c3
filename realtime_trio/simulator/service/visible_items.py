"""The items that the model still sees, with their sizes added up.

Owns what changed since a response read them last.  What a response may read, and which of it is
cached, is decided in `context`.

Theory of operation.  Every response reads the whole conversation, nearly all of which is as the
response before has found it.  So nothing is counted twice: there is a running sum per item, and a
change takes back the sums behind it.  The next reader adds up what is missing, which is mostly the
two items of a turn.  For the same reason items are looked for from the end.
"""

from __future__ import annotations

from attrs import define, field

from realtime_trio.simulator.service.item_entry import ItemEntry, KnownItem


@define(eq=False)
class VisibleItems:
    """The items that the model sees, in order."""

    _entries: list[ItemEntry] = field(factory=list, init=False)
    _understood: list[KnownItem] = field(factory=list, init=False)
    """The same as the model reads them; those at the end may be missing."""
    _sums: list[tuple[int, int]] = field(factory=lambda: [(0, 0)], init=False)
    """Tokens of text and of audio in front of each item, counted from anywhere; those at the end
    may be missing."""
    _changed: set[ItemEntry] = field(factory=set, init=False)
    """What may have another size than when it was added up."""
    _unread: int = field(default=0, init=False)
    """Position of the first item that is not as the last response has read it."""
    # Only those with audio, which few items have.
    _unheard: dict[ItemEntry, None] = field(factory=dict, init=False)
    """What nobody with ears was asked about yet."""

    # --- changes ----------------------------------------------------------------------------------

    def insert(self, entry: ItemEntry, before: ItemEntry | None) -> None:
        """Put an item before another one, None meaning at the end."""
        position = len(self._entries) if before is None else self._position(before)
        self._forget(position)
        self._entries.insert(position, entry)
        if entry.heard_ms:
            self._unheard[entry] = None

    def remove(self, entry: ItemEntry) -> None:
        """Take an item out."""
        position = self._position(entry)
        self._forget(position)
        del self._entries[position]
        self._changed.discard(entry)
        self._unheard.pop(entry, None)

    def note_change(self, entry: ItemEntry) -> None:
        """Take note that an item is not what it was."""
        self._changed.add(entry)

    def leave_out(self, count: int) -> None:
        """Hide the first items from the model for good."""
        self._settle()
        for entry in self._entries[:count]:
            entry.is_left_out = True
        for parallel in (self._entries, self._understood, self._sums):
            del parallel[:count]
        self._unread = max(0, self._unread - count)

    # --- what is there ----------------------------------------------------------------------------

    def sizes(self) -> list[tuple[int, int]]:
        """Tokens of text and of audio in front of each item, and in the end of all.

        They are counted from anywhere: only the differences mean something.  Not to be changed.
        """
        self._settle()
        return self._sums

    def entries(self, first: int) -> list[ItemEntry]:
        """The items from a position on."""
        return self._entries[first:]

    def understood(self, first: int) -> tuple[KnownItem, ...]:
        """The items from a position on, as the model reads them."""
        self._settle()
        return tuple(self._understood[first:])

    @property
    def unread(self) -> int:
        """How many items at the beginning are as they were at the last `read`."""
        self._settle()
        return self._unread

    def read(self) -> None:
        """Take note that a response reads all items."""
        self._settle()
        self._unread = len(self._entries)

    def take_unheard(self) -> list[ItemEntry]:
        """The items with audio of the user that were inserted since the last time."""
        unheard, self._unheard = self._unheard, {}
        return [entry for entry in unheard if not entry.is_left_out]

    # --- inside -----------------------------------------------------------------------------------

    def _position(self, entry: ItemEntry) -> int:
        position = len(self._entries) - 1
        while self._entries[position] is not entry:
            position -= 1
        return position

    def _forget(self, position: int) -> None:
        """Add up again from an item on."""
        del self._sums[position + 1 :]
        del self._understood[position:]
        self._unread = min(self._unread, position)

    def _settle(self) -> None:
        """Add up what is missing."""
        changed, self._changed = self._changed, set()
        for entry in changed:
            # What was left out stays an item of the conversation, and may change as such.
            if entry.is_left_out:
                continue
            position = self._position(entry)
            # Otherwise it is yet to be added up.
            if position < len(self._understood):
                text, audio = self._sums[position]
                if (text + entry.tokens[0], audio + entry.tokens[1]) != self._sums[position + 1]:
                    self._forget(position)
                else:
                    self._understood[position] = entry.understood
        for entry in self._entries[len(self._understood) :]:
            text, audio = self._sums[-1]
            self._sums.append((text + entry.tokens[0], audio + entry.tokens[1]))
            self._understood.append(entry.understood)
