"""What callers are told whose arguments cannot be used: one wording for every room.

Owns the questions that are asked about any argument: whether there is such a keyword, whether the
value is of a kind that can be meant, whether it is one of those that are known.  What is allowed is
said by whoever asks.  A wrong kind is a `TypeError`, as with Python's own functions; a value that
makes no sense is a `LocalProtocolError`.  Owns also what to install for what needs an extra.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import SupportsFloat, TypeVar

from realtime_trio.errors import LocalProtocolError

_T = TypeVar("_T")


def check_keywords(given: Iterable[str], allowed: Iterable[str]) -> None:
    """Refuse keywords that are not among those that are allowed.

    Python does so for a misspelt argument, but not for `**options: Unpack[...]`.

    Raises:
        TypeError: One is not; the message names the one that may have been meant.
    """
    allowed = sorted(allowed)
    if unknown := sorted(set(given).difference(allowed)):
        said = ", ".join(f"{name!r}{_meant(name, allowed)}" for name in unknown)
        raise TypeError(f"unexpected keyword {said}; allowed are {', '.join(allowed)}")


def check_kind(name: str, value: object, *kinds: type, allowed: str) -> None:
    """Refuse a value of any other kind.

    Args:
        name: What is given, in the words of the caller.
        value: What was given.
        kinds: Classes of values that are fine.
        allowed: The same, in words.

    Raises:
        TypeError: It is of another kind.
    """
    if not isinstance(value, kinds):
        raise TypeError(f"{name} must be {allowed}, not {kind_of(value)}")


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Refuse a value that is not one of those that are known.

    Raises:
        LocalProtocolError: It is not; the message names those that are.
    """
    choices = tuple(choices)
    if value not in choices:
        *most, last = map(repr, choices)
        raise LocalProtocolError(f"{name} must be {', '.join(most)} or {last}, not {value!r}")


def check_number(name: str, value: object, fits: Callable[[float], bool], *, allowed: str) -> None:
    """Refuse what is not a number, and a number that does not fit.

    Raises:
        TypeError: It is not a number.
        LocalProtocolError: It does not fit.
    """
    # For Python a bool is a number, too; as a number of seconds or samples it is a mistake.
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        raise TypeError(f"{name} must be {allowed}, not {kind_of(value)}")
    if not fits(float(value)):
        raise LocalProtocolError(f"{name} must be {allowed}, not {value}")


def to_tuple(name: str, values: Iterable[_T]) -> tuple[_T, ...]:
    """The values, unless they are a text, which would come apart into its letters."""
    given: object = values
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"{name} must be a sequence, not {kind_of(given)}")
    return tuple(values)


def kind_of(value: object) -> str:
    """The kind of a value, for a sentence that says what was given: never the value itself."""
    if value is None:
        return "None"
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def without_extra(need: str, package: str, extra: str) -> str:
    """What to install where the package of an extra is missing.

    Args:
        need: What cannot be done without it.
        package: What is missing.
        extra: The extra that brings it.
    """
    return (
        f"{need} needs {package}, of the extra {extra}: "
        f"pip install '.[{extra}]' in a clone of realtime_trio"
    )


def _meant(name: str, allowed: list[str]) -> str:
    close = difflib.get_close_matches(name, allowed, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
