"""From the arguments that a model writes to those that a function takes: JSON to keyword arguments.

Owns the converter.  A value must be exactly what its annotation says; text that is not JSON, and
values that do not fit, become one sentence that the model can act on.  Nothing from cattrs leaves
this room.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, assert_never

import attrs

from realtime_trio import _elsewhere
from realtime_trio._protocol.json_text import parse_json
from realtime_trio.errors import ToolError
from realtime_trio.tools.constraints import kind_of
from realtime_trio.tools.schema import Signature
from realtime_trio.tools.shapes import (
    Anything,
    Array,
    Choice,
    FixedArray,
    OneOf,
    Record,
    Refined,
    Scalar,
    Shape,
    Table,
    Text,
    is_typed_dict,
    kinds_of,
    members_of,
    noun_of,
    rank_of,
    shape_of,
)

if TYPE_CHECKING:
    import cattrs
else:
    cattrs = _elsewhere.module("cattrs")

_Hook = Callable[[Any, Any], Any]

_MOST_PROBLEMS: Final = 5
"""Problems told at once; a model that has got more than this wrong starts afresh anyway."""
_LONGEST_QUOTE: Final = 40
"""Characters of the longest text that is quoted back; a longer one is only called a string."""
_NAMES: Final = {
    "null": "null",
    "boolean": "a boolean",
    "array": "a list",
    "object": "an object",
    "string": "a string",
}


class ToolArgumentsError(ValueError):
    """The arguments of a call do not fit the function; the message is written for the model."""


class _UnfitArgumentError(ValueError):
    """A value that does not fit; the text says what was expected."""


class ArgumentReader:
    """Turns the arguments of calls of one function into keyword arguments.

    Args:
        signature: What the function wants; its annotations must have passed `parameters_schema`.
    """

    def __init__(self, signature: Signature) -> None:
        # Here and not for the first call, which comes in the middle of a conversation.
        self._converter = _converter()
        self._is_open = signature.is_open
        self._required = [
            parameter.name for parameter in signature.parameters if parameter.required
        ]
        self._annotations = {
            parameter.name: parameter.annotation for parameter in signature.parameters
        }

    def read(self, arguments: str) -> dict[str, object]:
        """Turn the arguments of one call into keyword arguments.

        What was left out stays out, and the function's defaults apply.

        Args:
            arguments: JSON text of an object.  Empty text counts as an object without members:
                models write that for functions without parameters.

        Raises:
            ToolArgumentsError: They are not JSON, or do not fit.
        """
        try:
            given = parse_json(arguments) if arguments.strip() else {}
        except ValueError as exc:
            raise ToolArgumentsError(f"the arguments are not JSON: {exc}") from None
        if not isinstance(given, dict):
            raise ToolArgumentsError(
                f"expected a JSON object with the arguments by name, got {_quote(given)}"
            )
        problems = [f"{name} is missing" for name in self._required if name not in given]
        keywords: dict[str, object] = {}
        for name, value in given.items():
            if name in self._annotations:
                try:
                    keywords[name] = self._converter.structure(value, self._annotations[name])
                # Whatever it is: validators and converters of users' classes run in there.
                except Exception as exc:
                    problems += _problems(exc, name)
            elif self._is_open:
                keywords[name] = value
            else:
                problems.append(_unexpected(name, self._annotations))
        if problems:
            more = len(problems) - _MOST_PROBLEMS
            raise ToolArgumentsError(
                "; ".join(problems[:_MOST_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
            )
        return keywords


# --- explaining -----------------------------------------------------------------------------------


def _quote(value: object) -> str:
    """A short value as it is; the kind of any other."""
    kind = kind_of(value)
    # In the words of JSON, which the model writes: null and true, not None and True.
    if kind in _NAMES and not (kind == "string" and len(str(value)) <= _LONGEST_QUOTE):
        return str(value).lower() if kind == "boolean" else _NAMES[kind]
    return repr(value)


def _unexpected(name: str, allowed: Iterable[str]) -> str:
    return f"{_quote(name)} is not expected; allowed: {', '.join(allowed) or 'nothing'}"


def _problems(exc: BaseException, place: str) -> Iterator[str]:
    if isinstance(exc, cattrs.ClassValidationError | cattrs.IterableValidationError):
        inside, outside = exc.group_exceptions()
        for inner, note in inside:
            step = (
                f".{note.name}"
                if isinstance(note, cattrs.AttributeValidationNote)
                else f"[{note.index!r}]"
            )
            yield from (
                # How cattrs says that a required member is not there.
                [f"{place}{step} is missing"]
                if isinstance(inner, KeyError)
                else _problems(inner, place + step)
            )
        for inner in outside:
            yield from _problems(inner, place)
    elif isinstance(exc, cattrs.ForbiddenExtraKeysError):
        allowed = [member.name for member in members_of(exc.cl, place)]
        yield from (f"{place}: {_unexpected(name, allowed)}" for name in sorted(exc.extra_fields))
    elif isinstance(exc, RecursionError):
        yield f"{place[:_LONGEST_QUOTE]}: is nested too deeply"
    else:
        # A misfit, or what a validator of the class says.  The first argument alone: behind the
        # reason, those of attrs put the attribute and the value that they have checked.  What is
        # raised there by accident was not written for the model.
        is_meant = exc.args and isinstance(exc, ValueError | TypeError | ToolError)
        yield f"{place}: {exc.args[0] if is_meant else type(exc).__name__}"


# --- hooks ----------------------------------------------------------------------------------------


def _hook_for(annotation: Any, converter: cattrs.Converter) -> _Hook:
    """A structure hook for any annotation that has a shape.

    What is inside is looked up when it is met, because classes may contain themselves.
    """
    shape = shape_of(annotation)
    match shape:
        case Anything():
            return lambda value, _: value
        case Scalar():
            return _exactly(shape)
        case Text():
            return _formatted(shape)
        case Choice():
            return _chosen(shape)
        case Array():
            return _elements(shape, converter)
        case FixedArray():
            return _fixed_array(shape, converter)
        case Table():
            return _table(shape, converter)
        case Record():
            return (
                _typed_dict(shape, converter)
                if is_typed_dict(shape.cls)
                else _instance(shape, converter)
            )
        case OneOf():
            return _one_of(shape, converter)
        case Refined():
            return _limited(shape, converter)
        case _:
            assert_never(shape)


def _misfit(shape: Shape, value: object) -> _UnfitArgumentError:
    return _UnfitArgumentError(f"expected {noun_of(shape)}, got {_quote(value)}")


def _exactly(shape: Scalar) -> _Hook:
    def hook(value: Any, _: Any) -> Any:
        # Not isinstance: to that, True is an integer.
        if type(value) is shape.python:
            return value
        raise _misfit(shape, value)

    def number(value: Any, _: Any) -> Any:
        # Models write 1 for 1.0: JSON has one kind of number.
        if type(value) in (int, float) and math.isfinite(value):
            return float(value)
        raise _misfit(shape, value)

    return number if shape.python is float else hook


def _formatted(shape: Text) -> _Hook:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is not str:
            raise _misfit(shape, value)
        try:
            return shape.form.parse(value)
        except ValueError:
            raise _misfit(shape, value) from None

    return hook


def _chosen(shape: Choice) -> _Hook:
    # By type as well: 1, 1.0 and True are one key of a dictionary, and three values of a Literal.
    meanings = {(type(value), value): meaning for value, meaning in shape.values}

    def hook(value: Any, _: Any) -> Any:
        # Lists and objects first: they cannot be looked up, for they cannot be hashed.
        if kind_of(value) not in ("array", "object") and (type(value), value) in meanings:
            return meanings[type(value), value]
        raise _misfit(shape, value)

    return hook


def _each(converter: cattrs.Converter, items: Iterable[tuple[int | str, Any, Any]]) -> list[Any]:
    """Structure each (index, value, annotation); what does not fit is raised together, by index."""
    structured, errors = [], []
    for index, value, annotation in items:
        try:
            structured.append(converter.structure(value, annotation))
        except Exception as exc:
            # The way in which cattrs itself hands on where something is; `_problems` reads it.
            exc.add_note(cattrs.IterableValidationNote(f"at {index!r}", index, annotation))
            errors.append(exc)
    if errors:
        raise cattrs.IterableValidationError("elements that do not fit", errors, list)
    return structured


def _elements(shape: Array, converter: cattrs.Converter) -> _Hook:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is not list:
            raise _misfit(shape, value)
        structured = _each(
            converter, ((index, item, shape.element) for index, item in enumerate(value))
        )
        try:
            return shape.build(structured)
        except TypeError:
            raise _UnfitArgumentError(
                "expected elements that can be in a set: no lists, no objects"
            ) from None

    return hook


def _fixed_array(shape: FixedArray, converter: cattrs.Converter) -> _Hook:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is not list:
            raise _misfit(shape, value)
        if len(value) != len(shape.elements):
            raise _UnfitArgumentError(f"expected {noun_of(shape)}, got one of {len(value)}")
        return tuple(_each(converter, zip(range(len(value)), value, shape.elements, strict=True)))

    return hook


def _table(shape: Table, converter: cattrs.Converter) -> _Hook:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is not dict:
            raise _misfit(shape, value)
        return dict(
            zip(
                value,
                _each(converter, ((key, item, shape.member) for key, item in value.items())),
                strict=True,
            )
        )

    return hook


def _instance(shape: Record, converter: cattrs.Converter) -> _Hook:
    if attrs.has(shape.cls):
        # cattrs looks at the types in the fields, which are strings where annotations are
        # postponed.
        attrs.resolve_types(shape.cls)
    structure = cattrs.gen.make_dict_structure_fn(shape.cls, converter, _cattrs_use_alias=True)

    def hook(value: Any, _: Any) -> Any:
        if type(value) is not dict:
            raise _misfit(shape, value)
        return structure(value, shape.cls)

    return hook


def _typed_dict(shape: Record, converter: cattrs.Converter) -> _Hook:
    # Not as cattrs does it: it goes by `__required_keys__`, which are wrong where annotations are
    # postponed.
    members = {member.name: member for member in members_of(shape.cls, shape.cls.__qualname__)}

    def hook(value: Any, _: Any) -> Any:
        if type(value) is not dict:
            raise _misfit(shape, value)
        structured, errors = {}, list[Exception]()
        for name, member in members.items():
            try:
                if name in value or member.required:
                    structured[name] = converter.structure(value[name], member.annotation)
            except Exception as exc:
                exc.add_note(cattrs.AttributeValidationNote(f"at {name}", name, member.annotation))
                errors.append(exc)
        if extra := value.keys() - members.keys():
            errors.append(cattrs.ForbiddenExtraKeysError("", shape.cls, extra))
        if errors:
            raise cattrs.ClassValidationError("members that do not fit", errors, shape.cls)
        return structured

    return hook


def _one_of(shape: OneOf, converter: cattrs.Converter) -> _Hook:
    """The narrowest member that fits.

    If only one of them takes this kind of value at all, its complaint is the one that helps.
    """
    ranked = sorted(shape.members, key=lambda member: rank_of(shape_of(member)))
    kinds = [kinds_of(shape_of(member)) for member in ranked]

    def hook(value: Any, _: Any) -> Any:
        kind = kind_of(value)
        errors = []
        for member, accepted in zip(ranked, kinds, strict=True):
            if kind in accepted:
                try:
                    return converter.structure(value, member)
                except Exception as exc:
                    errors.append(exc)
        if len(errors) == 1:
            raise errors[0]
        if not errors or kind not in ("array", "object"):
            raise _misfit(shape, value)
        raise _UnfitArgumentError(
            f"fits nothing that is allowed: {' | '.join(map(_first, errors))}"
        )

    return hook


def _first(exc: Exception) -> str:
    return next(_problems(exc, "")).removeprefix(": ").removeprefix(".")


def _limited(shape: Refined, converter: cattrs.Converter) -> _Hook:
    def hook(value: Any, _: Any) -> Any:
        # The type first: limits judge the JSON value, and say little of one that is of another
        # kind.
        structured = converter.structure(value, shape.inner)
        for limits in shape.constraints:
            if problem := limits.problem(value):
                raise _UnfitArgumentError(problem)
        return structured

    return hook


@cache
def _class_hook(cls: type) -> _Hook:
    return _hook_for(cls, _converter())


def _by_class(value: Any, cls: type) -> Any:
    return _class_hook(cls)(value, cls)


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(detailed_validation=True, forbid_extra_keys=True)
    converter.register_structure_hook_factory(lambda _: True, _hook_for)
    # cattrs has hooks of its own for these, and asks them for subclasses too: an IntEnum is an int
    # to it.  So look at the class again.
    for cls in (str, int, float, bytes, Path, Enum):
        converter.register_structure_hook(cls, _by_class)
    return converter
