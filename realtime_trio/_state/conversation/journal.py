"""The journal of a conversation: lines that are appended, and what they say when they are read.

Owns the file format.  A journal is only ever appended to, and its last line may be cut off by a
crash: whatever comes before that still says what the conversation was.

The first line is `{"version": 1, "holds": "conversation"}`.  Every other line is about one item::

    {"id": ..., "after": id of the item before it, null for the first, "item": the item}
    {"id": ..., "item": null}

The first kind puts the item there, as `export` writes it, and takes the place of what was said of
it before; the second kind takes it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from realtime_trio._frozen import frozen
from realtime_trio._protocol.json_text import parse_json, write_json
from realtime_trio._state.conversation.history import json_ready
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import JsonObject

VERSION: Final = 1
"""Version of the file format."""
HEADER: Final = f'{{"version":{VERSION},"holds":"conversation"}}\n'.encode()
"""The first line."""


@frozen
class Put:
    """An item is in the conversation, like this."""

    item_id: str
    """Its id."""
    after: str | None
    """Id of the item before it, None if it is the first."""
    item: JsonObject
    """The item, as it is exported; audio may be as it is, or base64."""


@frozen
class Gone:
    """An item is not in the conversation any more."""

    item_id: str
    """Its id."""


JournalLine: TypeAlias = Put | Gone


class Order:
    """Ids in an order that only changes one by one."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._known: set[str] = set()

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def put(self, item_id: str, after: str | None) -> None:
        """Put an id behind another one, None meaning the front; at the end if that is not here."""
        self.remove(item_id)
        if after is None:
            self._ids.insert(0, item_id)
        elif after in self._known:
            self._ids.insert(self._position(after) + 1, item_id)
        else:
            self._ids.append(item_id)
        self._known.add(item_id)

    def take(self, line: JournalLine) -> None:
        """Do what a line says."""
        if isinstance(line, Put):
            self.put(line.item_id, line.after)
        else:
            self.remove(line.item_id)

    def remove(self, item_id: str) -> None:
        """Take an id out, if it is there."""
        if item_id in self._known:
            self._known.remove(item_id)
            del self._ids[self._position(item_id)]

    def _position(self, item_id: str) -> int:
        # From the end, where nearly everything happens.
        position = len(self._ids) - 1
        while self._ids[position] != item_id:
            position -= 1
        return position


class Journal:
    """What a journal says, line by line."""

    def __init__(self) -> None:
        self.lines = 0
        """How many lines it has, without the first one."""
        self.order = Order()
        """Ids of its items, in order."""
        self._items: dict[str, JsonObject] = {}

    @property
    def items(self) -> list[JsonObject]:
        """The items, in order."""
        return [self._items[item_id] for item_id in self.order]

    def take(self, line: JournalLine) -> None:
        """Take the next line."""
        self.lines += 1
        self.order.take(line)
        if isinstance(line, Put):
            self._items[line.item_id] = line.item
        else:
            self._items.pop(line.item_id, None)

    def in_short(self) -> Iterator[JournalLine]:
        """The fewest lines that say the same."""
        previous = None
        for item_id in self.order:
            yield Put(item_id, previous, self._items[item_id])
            previous = item_id


def write_line(line: JournalLine) -> bytes:
    """A line as it is appended; its end says that it is whole."""
    if isinstance(line, Gone):
        return f"{write_json({'id': line.item_id, 'item': None})}\n".encode()
    members = {"id": line.item_id, "after": line.after, "item": json_ready(line.item)}
    return f"{write_json(members)}\n".encode()


def read_journal(data: bytes, name: str) -> tuple[Journal, int]:
    """Read a journal, also one whose end was cut off by a crash.

    Args:
        data: What is in the file; nothing of one that is new.
        name: What to call it in errors.

    Returns:
        What it says, and how many bytes of it say that; what follows is the beginning of a line
        that was never finished.

    Raises:
        LocalProtocolError: It is not a journal, or of another version, or a line in the middle
            cannot be read.
    """
    journal = Journal()
    if HEADER.startswith(data):  # new, or cut off in its first line
        return journal, len(data) if data == HEADER else 0
    end = data.find(b"\n") + 1
    _check_header(data[:end], name)
    number, bad = 1, 0
    size = end
    while (end := data.find(b"\n", start := end) + 1) > 0:
        number += 1
        line = _read_line(data[start:end])
        if line is None:
            bad = bad or number
        elif bad:
            raise LocalProtocolError(f"line {bad} of {name} is not about an item; it is damaged")
        else:
            journal.take(line)
            size = end
    return journal, size


def _check_header(line: bytes, name: str) -> None:
    match _parsed(line):
        case {"holds": "conversation", "version": int(version)}:
            if version != VERSION:
                raise LocalProtocolError(
                    f"{name} is the journal of a conversation in version {version}; "
                    f"this library reads version {VERSION}"
                )
        case _:
            raise LocalProtocolError(
                f"{name} is not the journal of a conversation: its first line is not that of one"
            )


def _read_line(line: bytes) -> JournalLine | None:
    match _parsed(line):
        case {"id": str(item_id), "item": None}:
            return Gone(item_id)
        case {"id": str(item_id), "after": str() | None as after, "item": dict() as item}:
            return Put(item_id, after, item)
        case _:
            return None


def _parsed(line: bytes) -> object:
    try:
        return parse_json(line)
    except ValueError:
        return None
