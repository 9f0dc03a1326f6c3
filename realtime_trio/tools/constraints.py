"""The kinds of JSON values, and the limits that a tool may set to them.

Owns the words of JSON Schema for both.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

from realtime_trio._frozen import frozen
from realtime_trio.errors import ToolDefinitionError

Kind = Literal["null", "boolean", "integer", "number", "string", "array", "object"]
"""A kind of JSON value, in the words of JSON Schema."""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""All of them."""

_NUMERIC: Final[frozenset[Kind]] = frozenset({"integer", "number"})
_SIZED: Final[Mapping[Kind, str]] = MappingProxyType(
    {"string": "Length", "array": "Items", "object": "Properties"}
)
_UNITS: Final[Mapping[Kind, str]] = MappingProxyType(
    {"string": "characters", "array": "elements", "object": "members"}
)


def kind_of(value: object) -> Kind:
    """The kind of a JSON value, as a parser returned it."""
    match value:
        case None:
            return "null"
        # Before int: to Python, True is a number.
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


@frozen(kw_only=True)
class Constraints:
    """Limits that an annotation alone cannot express.

    `Annotated[int, Constraints(minimum=1, maximum=10)]`, for example.  The model is told about
    them, and a value that breaks them never reaches the function.

    Raises:
        ToolDefinitionError: The pattern is not a regular expression.
    """

    minimum: float | None = None
    """Numbers: the smallest one allowed."""
    maximum: float | None = None
    """Numbers: the largest one allowed."""
    exclusive_minimum: float | None = None
    """Numbers: greater than this."""
    exclusive_maximum: float | None = None
    """Numbers: less than this."""
    min_length: int | None = None
    """The least number of characters of a text, elements of a list or members of a dictionary."""
    max_length: int | None = None
    """The largest number of them."""
    pattern: str | None = None
    """Text: a regular expression that is found somewhere in it; anchor it with `^` and `$` for the
    whole text."""

    def __attrs_post_init__(self) -> None:
        # Now, where the traceback shows the line that wrote it, and not when the model first calls.
        try:
            re.compile(self.pattern or "")
        except re.error as exc:
            raise ToolDefinitionError(
                f"pattern {self.pattern!r} is not a regular expression: {exc}"
            ) from None

    def keywords(self, kinds: Collection[Kind], where: str) -> dict[str, object]:
        """The JSON Schema of these limits, for values of these kinds.

        Raises:
            ToolDefinitionError: A limit means nothing for any of them.
        """
        keywords: dict[str, object] = {}
        for name, keyword in (
            ("minimum", "minimum"),
            ("maximum", "maximum"),
            ("exclusive_minimum", "exclusiveMinimum"),
            ("exclusive_maximum", "exclusiveMaximum"),
        ):
            if (limit := getattr(self, name)) is not None:
                _must_apply(name, "numbers", _NUMERIC.intersection(kinds), where)
                keywords[keyword] = limit
        for name, prefix in (("min_length", "min"), ("max_length", "max")):
            if (length := getattr(self, name)) is not None:
                sized = [kind for kind in _SIZED if kind in kinds]
                _must_apply(name, "texts, lists and dictionaries", sized, where)
                keywords.update({prefix + _SIZED[kind]: length for kind in sized})
        if self.pattern is not None:
            _must_apply("pattern", "texts", "string" in kinds, where)
            keywords["pattern"] = self.pattern
        return keywords

    def problem(self, value: object) -> str | None:
        """What is wrong with a JSON value, None if nothing is.

        A limit does not concern values of other kinds.
        """
        kind = kind_of(value)
        if isinstance(value, int | float) and kind in _NUMERIC:
            return self._problem_of_number(value)
        if isinstance(value, str | list | dict):
            if self.min_length is not None and len(value) < self.min_length:
                return f"expected at least {self.min_length} {_UNITS[kind]}, got {len(value)}"
            if self.max_length is not None and len(value) > self.max_length:
                return f"expected at most {self.max_length} {_UNITS[kind]}, got {len(value)}"
        if (
            isinstance(value, str)
            and self.pattern is not None
            # JSON Schema's `pattern` is not anchored either, so both sides mean the same.
            and re.search(self.pattern, value) is None
        ):
            return f"expected a text that matches {self.pattern}"
        return None

    def _problem_of_number(self, value: float) -> str | None:
        if self.minimum is not None and value < self.minimum:
            return f"expected at least {self.minimum}, got {value}"
        if self.maximum is not None and value > self.maximum:
            return f"expected at most {self.maximum}, got {value}"
        if self.exclusive_minimum is not None and value <= self.exclusive_minimum:
            return f"expected more than {self.exclusive_minimum}, got {value}"
        if self.exclusive_maximum is not None and value >= self.exclusive_maximum:
            return f"expected less than {self.exclusive_maximum}, got {value}"
        return None


def _must_apply(name: str, applies_to: str, applies: object, where: str) -> None:
    if not applies:
        raise ToolDefinitionError(
            f"{where}: {name} is for {applies_to}, and the annotation does not allow them"
        )
