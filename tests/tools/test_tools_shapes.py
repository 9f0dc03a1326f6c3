"""Which annotations a tool may have, and what they mean."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import math
import typing
from collections.abc import (
    Iterable,
    Mapping,
    MutableMapping,
    MutableSequence,
    MutableSet,
    Sequence,
    Set,
)
from decimal import Decimal
from pathlib import Path, PurePath
from types import NoneType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NewType,
    NotRequired,
    Optional,
    Required,
    TypedDict,
    TypeVar,
    Union,
)
from uuid import UUID

import attr
import pytest
import typing_extensions
from attrs import field, frozen

from realtime_trio.errors import ToolDefinitionError
from realtime_trio.events import UNSET
from realtime_trio.tools.constraints import KINDS, Constraints
from realtime_trio.tools.shapes import (
    TEXT_FORMATS,
    Anything,
    Array,
    Choice,
    FixedArray,
    Member,
    OneOf,
    Record,
    Refined,
    Scalar,
    Table,
    Text,
    is_typed_dict,
    kinds_of,
    members_of,
    noun_of,
    rank_of,
    shape_of,
)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    HIGH = 3


class Vector(enum.Enum):
    UP = (0, 1)


class Limit(enum.Enum):
    NONE = math.inf


class Empty(enum.Enum):
    pass


@frozen
class Place:
    """Where.

    Attributes:
        lat: North.
    """

    lat: float
    lng: float = 0.0
    _secret: str = field(default="", alias="password")
    tags: list[str] = field(factory=list)
    near: list[Place] = field(factory=list)
    made: int = field(init=False, default=3)


@dataclasses.dataclass
class Weather:
    place: Place
    wind: float | None = None
    tags: list[str] = dataclasses.field(default_factory=list)
    made: int = dataclasses.field(init=False, default=3)


class Options(TypedDict, total=False):
    loud: Required[bool]
    rate: Annotated[int, "Words a minute."]


class MoreOptions(Options):
    voice: str
    pitch: NotRequired[float]


UserId = NewType("UserId", str)
Rates = typing_extensions.TypeAliasType("Rates", "dict[str, float]")
Colors = typing_extensions.TypeAliasType("Colors", list[Color])
T = TypeVar("T")


class Old(typing_extensions.TypedDict):
    a: int


@attr.s
class Bare:
    value = attr.ib()  # type: ignore[var-annotated]


@frozen
class Nothing:
    pass


@frozen
class Broken:
    value: Unheard  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("annotation", "shape"),
    [
        (Any, Anything()),
        (object, Anything()),
        (str, Scalar(str, "string", "a string")),
        (int, Scalar(int, "integer", "an integer")),
        (float, Scalar(float, "number", "a number")),
        (bool, Scalar(bool, "boolean", "true or false")),
        (None, Scalar(NoneType, "null", "null")),
        (NoneType, Scalar(NoneType, "null", "null")),
        (UUID, Text(TEXT_FORMATS[UUID])),
        (datetime.datetime, Text(TEXT_FORMATS[datetime.datetime])),
        (Path, Text(TEXT_FORMATS[Path])),
        (Literal["a", 1, True, None], Choice((("a", "a"), (1, 1), (True, True), (None, None)))),
        (Literal[Color.RED], Choice((("red", Color.RED),))),
        (Color, Choice((("red", Color.RED), ("blue", Color.BLUE)))),
        (Level, Choice(((3, Level.HIGH),))),
        (list, Array(Any, list, False)),
        (list[int], Array(int, list, False)),
        (typing.List[int], Array(int, list, False)),  # noqa: UP006
        (Sequence[int], Array(int, list, False)),
        (MutableSequence[int], Array(int, list, False)),
        (Iterable[int], Array(int, list, False)),
        (tuple, Array(Any, tuple, False)),
        (tuple[int, ...], Array(int, tuple, False)),
        (set[int], Array(int, set, True)),
        (MutableSet[int], Array(int, set, True)),
        (frozenset, Array(Any, frozenset, True)),
        (Set[int], Array(int, frozenset, True)),
        (tuple[int, str], FixedArray((int, str))),
        (tuple[int], FixedArray((int,))),
        (tuple[()], FixedArray(())),
        (dict, Table(Any)),
        (dict[str, int], Table(int)),
        (dict[UserId, int], Table(int)),
        (Mapping[str, int], Table(int)),
        (MutableMapping[str, int], Table(int)),
        (Place, Record(Place)),
        (Weather, Record(Weather)),
        (Options, Record(Options)),
        (Old, Record(Old)),
        (int | None, OneOf((int, NoneType))),
        (Optional[int], OneOf((int, NoneType))),  # noqa: UP045
        (Union[int, str], OneOf((int, str))),  # noqa: UP007
        (Annotated[int, "Years."], Refined(int, "Years.", ())),
        (
            Annotated[int, 3, Constraints(minimum=1), "a", "b"],
            Refined(int, "b", (Constraints(minimum=1),)),
        ),
        (UserId, Scalar(str, "string", "a string")),
        (Colors, Array(Color, list, False)),
    ],
)
def test_an_annotation_has_a_shape(annotation: Any, shape: object) -> None:
    assert shape_of(annotation) == shape


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (bytes, "here: bytes has no JSON schema; allowed are str, int, float"),
        (complex, "here: complex has no JSON schema"),
        (type, "here: type has no JSON schema"),
        (type[int], r"here: type\[int\] has no JSON schema"),
        (T, "here: ~T has no JSON schema"),
        (ClassVar[int], r"here: typing.ClassVar\[int\] has no JSON schema"),
        (3, "here: 3 has no JSON schema"),
        ("int", "here: int has no JSON schema"),
        (
            Vector,
            r"here: <Vector.UP: \(0, 1\)> cannot be written in JSON; allowed are str, int, "
            r"float, bool and None",
        ),
        (Limit, "here: <Limit.NONE: inf> cannot be written in JSON"),
        (Literal[b"a"], "here: b'a' cannot be written in JSON"),
        (Empty, "here: an Enum without members allows nothing"),
        (
            set[list[int]],
            r"here: elements of a set must be hashable, and list\[int\] is not; a list may hold it",
        ),
        (dict[int, str], "here: keys of a dictionary must be str, not int"),
        (Annotated[int, {}], "here: nothing in an annotation may be unhashable"),
    ],
)
def test_what_has_no_shape_is_refused(annotation: Any, message: str) -> None:
    with pytest.raises(ToolDefinitionError, match=f"^{message}"):
        shape_of(annotation, "here")


@pytest.mark.parametrize(
    ("annotation", "kinds", "noun"),
    [
        (Any, set(KINDS), "anything"),
        (int, {"integer"}, "an integer"),
        (float, {"integer", "number"}, "a number"),
        (datetime.date, {"string"}, "a date such as '2025-01-31'"),
        (Literal["a", 1, True], {"string", "integer", "boolean"}, "one of 'a', 1, true"),
        (Literal["a"], {"string"}, "'a'"),
        (list[int], {"array"}, "a list"),
        (tuple[int, str], {"array"}, "a list of 2"),
        (dict[str, int], {"object"}, "an object"),
        (Place, {"object"}, "an object"),
        (
            int | Place | Weather | None,
            {"integer", "object", "null"},
            "an integer or an object or null",
        ),
        (Annotated[str, "Name."], {"string"}, "a string"),
    ],
)
def test_a_shape_takes_certain_kinds_of_values_and_has_a_noun(
    annotation: Any, kinds: set[str], noun: str
) -> None:
    shape = shape_of(annotation)
    assert kinds_of(shape) == kinds
    assert noun_of(shape) == noun


def test_the_narrower_shape_has_the_lower_rank() -> None:
    narrow_to_wide: list[Any] = [
        Literal["a"],
        *TEXT_FORMATS,
        None,
        bool,
        int,
        float,
        str,
        tuple[int, int],
        Place,
        Weather,
        list[int],
        int | str,
        Any,
    ]
    formats = [form.format for form in TEXT_FORMATS.values()]
    assert formats == ["uuid", "date", "date-time", "time", "decimal", "path", "path"]
    assert (
        sorted(narrow_to_wide, key=lambda annotation: rank_of(shape_of(annotation)))
        == narrow_to_wide
    )
    assert rank_of(shape_of(Annotated[int, "Years."])) == rank_of(shape_of(int))
    assert rank_of(shape_of(dict[str, int])) > rank_of(shape_of(Options))
    assert rank_of(shape_of(dict[str, int])) > rank_of(shape_of(Nothing))


@pytest.mark.parametrize(
    ("cls", "text", "value"),
    [
        (UUID, "00000000-0000-0000-0000-000000000001", UUID(int=1)),
        (datetime.date, "2025-01-31", datetime.date(2025, 1, 31)),
        (
            datetime.datetime,
            "2025-01-31T09:30:00Z",
            datetime.datetime(2025, 1, 31, 9, 30, tzinfo=datetime.UTC),
        ),
        (datetime.time, "09:30", datetime.time(9, 30)),
        (Decimal, "19.90", Decimal("19.90")),
        (Path, "/tmp", Path("/tmp")),
        (PurePath, "a", PurePath("a")),
    ],
)
def test_a_text_of_a_format_becomes_a_value(cls: type, text: str, value: object) -> None:
    assert TEXT_FORMATS[cls].parse(text) == value


@pytest.mark.parametrize("text", ["x", "nan", "sNaN", "-Infinity"])
def test_a_decimal_is_a_finite_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"x|ConversionSyntax|nan|NaN|Infinity"):
        TEXT_FORMATS[Decimal].parse(text)


@pytest.mark.parametrize(
    ("cls", "members"),
    [
        (
            Place,
            (
                Member(name="lat", annotation=float, description="North."),
                Member(name="lng", annotation=float, required=False, default=0.0),
                Member(name="password", annotation=str, required=False, default=""),
                Member(name="tags", annotation=list[str], required=False, default=UNSET),
                Member(name="near", annotation=list[Place], required=False, default=UNSET),
            ),
        ),
        (
            Weather,
            (
                Member(name="place", annotation=Place),
                Member(name="wind", annotation=float | None, required=False, default=None),
                Member(name="tags", annotation=list[str], required=False),
            ),
        ),
        (
            MoreOptions,
            (
                Member(name="loud", annotation=bool),
                Member(name="rate", annotation=Annotated[int, "Words a minute."], required=False),
                Member(name="voice", annotation=str),
                Member(name="pitch", annotation=float, required=False),
            ),
        ),
        (Old, (Member(name="a", annotation=int),)),
    ],
)
def test_the_members_of_a_class_are_what_its_constructor_takes(
    cls: type, members: tuple[Member, ...]
) -> None:
    assert members_of(cls, "here") == members


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Bare, "here: Bare.value has no annotation; allowed are str"),
        (
            Broken,
            "here: the annotations of Broken cannot be resolved: name 'Unheard' is not defined",
        ),
    ],
)
def test_every_member_must_say_what_it_is(cls: type, message: str) -> None:
    with pytest.raises(ToolDefinitionError, match=message):
        members_of(cls, "here")


def test_typed_dicts_of_both_sources_are_known() -> None:
    assert [is_typed_dict(cls) for cls in (Options, Old, Place, dict)] == [True, True, False, False]
