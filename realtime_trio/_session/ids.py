"""Ids of events and items that this side makes up.

Owns how they look: like those of the service's own clients.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from attrs import evolve

from realtime_trio.events import Item, UnknownObject

_ID_ALPHABET: Final = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ID_LETTERS: Final = (_ID_ALPHABET * 5)[:256]
"""The letter that each byte becomes.  Some are for five bytes and some for four, by which a letter
has a hundredth of a bit less of chance in it."""


def generate_id(prefix: str, length: int = 21) -> str:
    """Make an id as the service's own clients do: the prefix, filled up to `length` characters.

    Characters that are easily mistaken for each other are left out.
    """
    letters = random.randbytes(max(0, length - len(prefix))).translate(_ID_LETTERS)
    return prefix + letters.decode()


def with_id(item: Item, new_id: Callable[[str], str]) -> Item:
    """The item with an id, by which its acknowledgement can be told."""
    if item.id or isinstance(item, UnknownObject):
        return item
    return evolve(item, id=new_id("item_"))
