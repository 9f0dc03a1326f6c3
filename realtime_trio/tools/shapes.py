"""What an annotation means for a tool: the few shapes that JSON arguments can take.

Owns the choice of annotations that a tool may have.  `schema` draws these shapes for the model,
`arguments` reads values by them; since both go by the same shapes, they cannot disagree.  Elements
and members are annotations again, looked at when they are needed, so that classes may contain
themselves.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import enum
import json
import math
import typing
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path, PurePath
from types import MappingProxyType, NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NotRequired,
    Required,
    Union,
    assert_never,
    get_args,
    get_origin,
)
from uuid import UUID

import attrs
from attrs import NOTHING

from realtime_trio._frozen import frozen
from realtime_trio.errors import ToolDefinitionError
from realtime_trio.events import UNSET
from realtime_trio.tools.constraints import KINDS, Constraints, Kind, kind_of
from realtime_trio.tools.documentation import documentation_of

ALLOWED: Final = (
    "allowed are str, int, float, bool, None, Any, Literal, Enum, list, tuple, set, "
    "dict[str, ...], unions, TypedDict, attrs classes, dataclasses, "
    "datetime, date, time, UUID, Path and Decimal"
)

# --- texts with a format --------------------------------------------------------------------------


@frozen
class TextFormat:
    """A type that travels as text."""

    format: str
    """Its name in JSON Schema."""
    noun: str
    """What to ask the model for."""
    parse: Callable[[str], object]
    """Makes a value of it.  Raises ValueError."""


def _finite_decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as exc:
        raise ValueError(str(exc)) from None
    # "NaN" and "Infinity" are decimals to Python; a tool that asks for an amount expects neither.
    if not math.isfinite(number):
        raise ValueError(text)
    return number


TEXT_FORMATS: Final[Mapping[type, TextFormat]] = MappingProxyType(
    {
        # In the order in which a union tries them: the narrowest first, and a date before the
        # moment at its midnight.
        UUID: TextFormat("uuid", "a UUID", UUID),
        datetime.date: TextFormat(
            "date", "a date such as '2025-01-31'", datetime.date.fromisoformat
        ),
        datetime.datetime: TextFormat(
            "date-time",
            "an ISO 8601 time such as '2025-01-31T09:30:00Z'",
            datetime.datetime.fromisoformat,
        ),
        datetime.time: TextFormat(
            "time", "a time of day such as '09:30:00'", datetime.time.fromisoformat
        ),
        Decimal: TextFormat(
            "decimal", "a decimal number as text, such as '19.99'", _finite_decimal
        ),
        Path: TextFormat("path", "a path as text", Path),
        PurePath: TextFormat("path", "a path as text", PurePath),
    }
)
"""Types that travel as text."""


# --- shapes ---------------------------------------------------------------------------------------


@frozen
class Anything:
    """`Any`: every JSON value, as the parser returns it."""


@frozen
class Scalar:
    """Exactly one kind of JSON value, except that an integer is a number."""

    python: type
    kind: Kind
    noun: str


@frozen
class Text:
    """A text of a certain format."""

    form: TextFormat


@frozen
class Choice:
    """One of a few values, as pairs: its form in JSON, and what it stands for."""

    values: tuple[tuple[object, object], ...]


@frozen
class Array:
    """Any number of elements of one kind."""

    element: Any
    build: Callable[[list[Any]], Any]
    unique: bool


@frozen
class FixedArray:
    """A fixed number of elements, each with an annotation of its own."""

    elements: tuple[Any, ...]


@frozen
class Table:
    """Any number of members of one kind, under any names."""

    member: Any


@frozen
class Record:
    """A class with known members."""

    cls: Any


@frozen
class OneOf:
    """A union.

    The narrowest member that fits wins, whatever their order.  To Python, `str | UUID` and
    `UUID | str` are equal, and caches swap one for the other.
    """

    members: tuple[Any, ...]


@frozen
class Refined:
    """`Annotated`: another shape with a description or limits."""

    inner: Any
    description: str | None
    constraints: tuple[Constraints, ...]


Shape = Anything | Scalar | Text | Choice | Array | FixedArray | Table | Record | OneOf | Refined


def kinds_of(shape: Shape) -> frozenset[Kind]:
    """The kinds of JSON values that it takes at all."""
    match shape:
        case Anything():
            return frozenset(KINDS)
        case Scalar(kind="number"):
            return frozenset({"integer", "number"})
        case Scalar(kind=kind):
            return frozenset({kind})
        case Text():
            return frozenset({"string"})
        case Choice(values=values):
            return frozenset(kind_of(value) for value, _ in values)
        case Array() | FixedArray():
            return frozenset({"array"})
        case Table() | Record():
            return frozenset({"object"})
        case OneOf(members=members):
            return frozenset().union(*(kinds_of(shape_of(member)) for member in members))
        case Refined(inner=inner):
            return kinds_of(shape_of(inner))
        case _:
            assert_never(shape)


def noun_of(shape: Shape) -> str:
    """The words in which to ask for it."""
    match shape:
        case Anything():
            return "anything"
        case Scalar(noun=noun):
            return noun
        case Text(form=form):
            return form.noun
        case Choice(values=values):
            listed = ", ".join(
                repr(value) if isinstance(value, str) else json.dumps(value) for value, _ in values
            )
            return f"one of {listed}" if len(values) > 1 else listed
        case Array():
            return "a list"
        case FixedArray(elements=elements):
            return f"a list of {len(elements)}"
        case Table() | Record():
            return "an object"
        case OneOf(members=members):
            return " or ".join(dict.fromkeys(noun_of(shape_of(member)) for member in members))
        case Refined(inner=inner):
            return noun_of(shape_of(inner))
        case _:
            assert_never(shape)


def rank_of(shape: Shape) -> tuple[int, int]:
    """How narrow it is; a union tries the lowest rank first."""
    match shape:
        case Choice():
            return 0, 0
        case Text(form=form):
            return 1, list(TEXT_FORMATS.values()).index(form)
        case Scalar(kind=kind):
            return 2, KINDS.index(kind)
        case FixedArray():
            return 3, 0
        case Record(cls=cls):
            # One with more members says more.
            return 4, -len(members_of(cls, cls.__qualname__))
        case Array() | Table():
            return 5, 0
        case OneOf():
            return 6, 0
        case Refined(inner=inner):
            return rank_of(shape_of(inner))
        case Anything():
            return 7, 0
        case _:
            assert_never(shape)


_SCALARS: Final[Mapping[type, Scalar]] = MappingProxyType(
    {
        NoneType: Scalar(NoneType, "null", "null"),
        bool: Scalar(bool, "boolean", "true or false"),
        int: Scalar(int, "integer", "an integer"),
        float: Scalar(float, "number", "a number"),
        str: Scalar(str, "string", "a string"),
    }
)
_ARRAYS: Final[Mapping[Any, Callable[[list[Any]], Any]]] = MappingProxyType(
    {
        list: list,
        set: set,
        frozenset: frozenset,
        collections.abc.Iterable: list,
        collections.abc.Collection: list,
        collections.abc.Sequence: list,
        collections.abc.MutableSequence: list,
        collections.abc.Set: frozenset,
        collections.abc.MutableSet: set,
    }
)
_TABLES: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def shape_of(annotation: Any, where: str = "") -> Shape:
    """What an annotation means.

    Args:
        annotation: A resolved annotation: no strings in it.
        where: What messages call the place at which it stands.

    Raises:
        ToolDefinitionError: It has no form in JSON; the message says where, and what would be
            allowed.
    """
    annotation = _unaliased(annotation, where)
    if annotation is Any or annotation is object:
        return Anything()
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        metadata = annotation.__metadata__
        # The last description counts: what is written around another annotation is written later.
        descriptions = [datum for datum in metadata if isinstance(datum, str)]
        limits = tuple(datum for datum in metadata if isinstance(datum, Constraints))
        return Refined(annotation.__origin__, descriptions[-1] if descriptions else None, limits)
    if origin is Literal:
        return _choice(
            [
                (value.value if isinstance(value, enum.Enum) else value, value)
                for value in arguments
            ],
            where,
        )
    if origin in (Union, UnionType):
        return OneOf(arguments)
    if (kind := origin or annotation) is tuple:
        # `tuple` alone takes anything; `tuple[()]`, which has no arguments either, takes nothing.
        if arguments[1:] == (...,) or (not arguments and annotation != tuple[()]):
            return Array(arguments[0] if arguments else Any, tuple, False)
        return FixedArray(arguments)
    if kind in _ARRAYS:
        return _array(_ARRAYS[kind], arguments[0] if arguments else Any, where)
    if kind in _TABLES:
        if arguments and _unaliased(arguments[0], where) is not str:
            raise ToolDefinitionError(
                f"{where}: keys of a dictionary must be str, not {_name(arguments[0])}"
            )
        return Table(arguments[1] if arguments else Any)
    if isinstance(annotation, type) and origin is None:
        return _class_shape(annotation, where)
    raise _no_shape(annotation, where)


def _class_shape(cls: type, where: str) -> Shape:
    if cls in _SCALARS:
        return _SCALARS[cls]
    if cls in TEXT_FORMATS:
        return Text(TEXT_FORMATS[cls])
    if issubclass(cls, enum.Enum):
        return _choice([(member.value, member) for member in cls], where)
    if is_typed_dict(cls) or attrs.has(cls) or dataclasses.is_dataclass(cls):
        return Record(cls)
    raise _no_shape(cls, where)


def _unaliased(annotation: Any, where: str) -> Any:
    """Look through `NewType` and `type X = ...`, and spell None as its type."""
    # Annotations are keys of caches, here and in cattrs.
    try:
        hash(annotation)
    except TypeError:
        raise ToolDefinitionError(f"{where}: nothing in an annotation may be unhashable") from None
    # By its name: Python 3.11 has no TypeAliasType, and typing_extensions has one of its own.
    while isinstance(annotation, typing.NewType) or type(annotation).__name__ == "TypeAliasType":
        annotation = (
            annotation.__supertype__
            if isinstance(annotation, typing.NewType)
            else annotation.__value__
        )
    return NoneType if annotation is None else annotation


def _choice(values: list[tuple[object, object]], where: str) -> Choice:
    for value, meaning in values:
        if type(value) not in _SCALARS or value in (math.inf, -math.inf):
            raise ToolDefinitionError(
                f"{where}: {meaning!r} cannot be written in JSON; "
                "allowed are str, int, float, bool and None"
            )
    if not values:
        raise ToolDefinitionError(f"{where}: an Enum without members allows nothing")
    return Choice(tuple(values))


def _array(build: Callable[[list[Any]], Any], element: Any, where: str) -> Array:
    unique = build in (set, frozenset)
    if unique and getattr(get_origin(element) or element, "__hash__", None) is None:
        raise ToolDefinitionError(
            f"{where}: elements of a set must be hashable, and {_name(element)} is not; "
            "a list may hold it"
        )
    return Array(element, build, unique)


def _no_shape(annotation: Any, where: str) -> ToolDefinitionError:
    return ToolDefinitionError(f"{where}: {_name(annotation)} has no JSON schema; {ALLOWED}")


def _name(annotation: Any) -> str:
    return (
        annotation.__qualname__
        if isinstance(annotation, type) and get_origin(annotation) is None
        else str(annotation)
    )


# --- members of classes ---------------------------------------------------------------------------


@frozen(kw_only=True)
class Member:
    """A field of a class, or a parameter of a function."""

    name: str
    """Its name in JSON."""
    annotation: Any
    """Its annotation, resolved."""
    required: bool = True
    """It must be given."""
    default: Any = UNSET
    """What it is otherwise, if that is a value."""
    description: str | None = None
    """What the documentation says about it."""


def members_of(cls: Any, where: str) -> tuple[Member, ...]:
    """The members of a TypedDict, an attrs class or a dataclass, as its constructor takes them.

    Raises:
        ToolDefinitionError: A member has no annotation, or one that cannot be resolved.
    """
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except Exception as exc:  # an annotation may be any expression
        raise ToolDefinitionError(
            f"{where}: the annotations of {cls.__qualname__} cannot be resolved: {exc}"
        ) from None
    described = documentation_of(cls).members
    members = (
        _typed_dict_members(cls, hints) if is_typed_dict(cls) else _field_members(cls, hints, where)
    )
    return tuple(attrs.evolve(member, description=described.get(member.name)) for member in members)


def is_typed_dict(cls: Any) -> bool:
    """Whether it is a TypedDict, of `typing` or of `typing_extensions`."""
    return hasattr(cls, "__required_keys__")


def _typed_dict_members(cls: Any, hints: Mapping[str, Any]) -> Iterator[Member]:
    for name, annotation in hints.items():
        required = name in cls.__required_keys__
        if (qualifier := get_origin(annotation)) in (Required, NotRequired):
            # Postponed annotations hide the qualifier from `__required_keys__`.
            required = qualifier is Required
            annotation = get_args(annotation)[0]
        yield Member(name=name, annotation=annotation, required=required)


def _field_members(cls: Any, hints: Mapping[str, Any], where: str) -> Iterator[Member]:
    for attribute, name, required, default in _fields(cls):
        if attribute not in hints:
            raise ToolDefinitionError(
                f"{where}: {cls.__qualname__}.{attribute} has no annotation; {ALLOWED}"
            )
        yield Member(name=name, annotation=hints[attribute], required=required, default=default)


def _fields(cls: Any) -> Iterator[tuple[str, str, bool, Any]]:
    """Of each field: its name, its name for the constructor, whether it is required, its default.

    The default is UNSET where a factory makes it.
    """
    if attrs.has(cls):
        # What the constructor does not take is not the model's to give.
        for attribute in attrs.fields(cls):
            if attribute.init:
                required = attribute.default is NOTHING
                is_made = isinstance(attribute.default, attrs.Factory)  # type: ignore[arg-type]
                default = UNSET if required or is_made else attribute.default
                yield attribute.name, attribute.alias or attribute.name, required, default
    else:
        for field in dataclasses.fields(cls):
            if field.init:
                default = UNSET if field.default is dataclasses.MISSING else field.default
                required = default is UNSET and field.default_factory is dataclasses.MISSING
                yield field.name, field.name, required, default
