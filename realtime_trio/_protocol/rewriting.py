"""Copies of events in which some parts are others: for what replaces secrets, audio or ids.

Owns the walk through values of attrs classes, mappings and sequences, and how deep it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar, cast

import attrs

_T = TypeVar("_T")

Replace = Callable[[str, object], object]
"""Takes the name of a field and its value, and returns the value that should be there instead, or
the same object to leave it alone."""

_DEEPEST: Final = 100
"""How deep `rewrite` goes.  What the protocol defines is nested a dozen deep; below that are only
the open objects of others, and a peer may nest them until Python's stack ends."""


def rewrite(value: _T, replace: Replace, name: str = "") -> _T:
    """Replace parts of an event, or of any value inside one.

    Args:
        value: The event.
        replace: Asked about every part, the whole before its parts.  Parts of a value that it has
            replaced are not visited, and neither are parts that are nested more than 100 deep.
        name: What the value is called where it stands.

    Returns:
        The changed copy, or the same object if nothing was changed.
    """
    return cast("_T", _rewrite(value, replace, name, _DEEPEST))


def _rewrite(value: object, replace: Replace, name: str, depth: int) -> object:
    replaced = replace(name, value)
    if replaced is not value or depth == 0:
        return replaced
    # Copies are made only where something has changed: most events hold nothing to replace.
    if isinstance(value, tuple | list):
        elements = [_rewrite(element, replace, name, depth - 1) for element in value]
        return type(value)(elements) if _differ(elements, value) else value
    if isinstance(value, Mapping):
        members = {
            key: _rewrite(member, replace, str(key), depth - 1) for key, member in value.items()
        }
        return members if _differ(members.values(), value.values()) else value
    cls: Any = type(value)
    if attrs.has(cls):
        fields = {field.name: getattr(value, field.name) for field in attrs.fields(cls)}
        changed = {
            key: new
            for key, old in fields.items()
            if (new := _rewrite(old, replace, key, depth - 1)) is not old
        }
        # An instance of an attrs class, which the type checker cannot know.
        return attrs.evolve(value, **changed) if changed else value  # type: ignore[misc]
    return value


def _differ(new: Iterable[object], old: Iterable[object]) -> bool:
    return any(one is not other for one, other in zip(new, old, strict=True))
