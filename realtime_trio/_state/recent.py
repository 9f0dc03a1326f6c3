"""Ids of what is over, remembered for a while, so that stragglers can be told from news.

Owns how the oldest are forgotten.
"""

from __future__ import annotations


class Recent:
    """A set of ids that forgets the oldest when it is full.

    Args:
        capacity: How many ids it remembers, at least 1.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._ids: dict[str, None] = {}

    def add(self, new_id: str) -> None:
        """Remember an id, from now on as the newest."""
        self._ids.pop(new_id, None)
        self._ids[new_id] = None
        if len(self._ids) > self._capacity:
            # Dictionaries keep the order of insertion: the first key is the oldest.
            del self._ids[next(iter(self._ids))]

    def discard(self, old_id: str) -> None:
        """Forget an id; one that is not remembered is forgotten already."""
        self._ids.pop(old_id, None)

    def __contains__(self, some_id: object) -> bool:
        return some_id in self._ids
