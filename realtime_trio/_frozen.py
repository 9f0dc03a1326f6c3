"""`frozen`: that of attrs, for a package with very many frozen classes.

Owns `__eq__`, `__hash__` and `__repr__` of values.  attrs writes and compiles these methods anew
for every class, which took longer than anything else of ours when a session was imported, and few
programs compare or print values of more than a handful of classes.  Here all classes share three
functions, which go by the fields: importing is quicker, comparing is slower, by a microsecond or
two.  Everything else about a class is as attrs makes it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import attrs


class _Value:
    """What a class has from here; nothing inherits from this one."""

    def __eq__(self, other: object) -> bool:
        cls: Any = self.__class__
        content_of = _content_of(cls)
        if other.__class__ is not cls:
            return NotImplemented
        # One by one, and not the two tuples: these would take NaN for equal to itself.
        return all(map(operator.eq, content_of(self), content_of(other)))

    def __hash__(self) -> int:
        cls: Any = self.__class__
        return hash((cls, _content_of(cls)(self)))

    def __repr__(self) -> str:
        cls: Any = self.__class__
        shown = ", ".join(
            f"{each.name}={getattr(self, each.name)!r}" for each in attrs.fields(cls) if each.repr
        )
        return f"{cls.__qualname__.rpartition('>.')[2]}({shown})"


@cache
def _content_of(cls: Any) -> Callable[[object], tuple[object, ...]]:
    """Make a function that returns the values of the fields that count for equality."""
    names = [each.name for each in attrs.fields(cls) if each.eq]
    if len(names) > 1:
        return operator.attrgetter(*names)
    # Of one name, attrgetter returns the bare value, and without any there is none.
    return lambda value: tuple([getattr(value, name) for name in names])


# Type checkers know the one of attrs, and what it makes of a class.
if TYPE_CHECKING:
    from attrs import frozen as frozen
else:

    def frozen(cls: type | None = None, /, **options: Any) -> Any:
        """`attrs.frozen`, with methods that all classes share.

        What a class defines itself stays as it is.  `eq` and `repr` of a field say whether it
        counts and whether it is shown; functions there are not called.
        """
        if cls is None:
            return partial(frozen, **options)
        for name in ("__eq__", "__hash__", "__repr__"):
            if name not in vars(cls):
                setattr(cls, name, vars(_Value)[name])
        return attrs.frozen(cls, eq=False, repr=False, **options)
