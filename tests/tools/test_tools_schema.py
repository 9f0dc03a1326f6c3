"""What functions want, as JSON Schema."""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

import jsonschema  # type: ignore[import-untyped]
import pytest
from attrs import field, frozen

from realtime_trio.errors import ToolDefinitionError
from realtime_trio.tools.constraints import Constraints
from realtime_trio.tools.schema import Injected, parameters_schema, signature_of

if TYPE_CHECKING:
    from fractions import Fraction


class Color(enum.Enum):
    RED = "red"
    MANY = 2


@frozen
class Place:
    """Somewhere."""

    lat: float
    """North."""
    lng: Annotated[float, Constraints(minimum=-180, maximum=180)]
    name: str | None = None


@frozen
class Node:
    label: str
    parent: Node | None = None
    children: list[Node] = field(factory=list)


@dataclasses.dataclass
class Even:
    odd: Odd | None = None


@dataclasses.dataclass
class Odd:
    even: Even | None = None


class Options(TypedDict, total=False):
    loud: bool


@frozen
class Context(Injected):
    user: str


def schema_of(function: Callable[..., object]) -> dict[str, Any]:
    schema = dict(parameters_schema(signature_of(function)))
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def test_a_function_without_parameters_takes_an_empty_object() -> None:
    def ping() -> None:
        pass

    assert schema_of(ping) == {"type": "object", "properties": {}, "additionalProperties": False}


def test_every_shape_is_drawn() -> None:
    def everything(
        anything: Any,
        whole: int,
        number: float,
        flag: bool,
        nothing: None,
        when: datetime,
        color: Color,
        word: Literal["a", "b"],
        texts: list[str],
        unique: set[str],
        row: tuple[int, str],
        empty: tuple[()],
        table: dict[str, int],
        maybe: int | None,
        limited: Annotated[
            list[str] | str, "Some.", Constraints(min_length=1), Constraints(pattern="a")
        ],
        described: Annotated[int, "Years."],
        options: Options,
        place: Place,
    ) -> None:
        pass

    schema = schema_of(everything)
    assert schema["properties"] == {
        "anything": {},
        "whole": {"type": "integer"},
        "number": {"type": "number"},
        "flag": {"type": "boolean"},
        "nothing": {"type": "null"},
        "when": {"type": "string", "format": "date-time"},
        "color": {"type": ["string", "integer"], "enum": ["red", 2]},
        "word": {"type": "string", "enum": ["a", "b"]},
        "texts": {"type": "array", "items": {"type": "string"}},
        "unique": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "row": {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
            "minItems": 2,
            "maxItems": 2,
        },
        "empty": {"type": "array", "minItems": 0, "maxItems": 0},
        "table": {"type": "object", "additionalProperties": {"type": "integer"}},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "limited": {
            "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}],
            "minItems": 1,
            "minLength": 1,
            "pattern": "a",
            "description": "Some.",
        },
        "described": {"type": "integer", "description": "Years."},
        "options": {
            "type": "object",
            "properties": {"loud": {"type": "boolean"}},
            "additionalProperties": False,
        },
        "place": {
            "type": "object",
            "description": "Somewhere.",
            "properties": {
                "lat": {"type": "number", "description": "North."},
                "lng": {"type": "number", "minimum": -180, "maximum": 180},
                "name": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            },
            "required": ["lat", "lng"],
            "additionalProperties": False,
        },
    }
    assert schema["required"] == list(schema["properties"])
    assert "$defs" not in schema


def test_a_class_that_contains_itself_gets_a_name() -> None:
    def plant(tree: Node, other: Node) -> None:
        pass

    schema = schema_of(plant)
    assert schema["properties"] == {
        "tree": {"$ref": "#/$defs/Node"},
        "other": {"$ref": "#/$defs/Node"},
    }
    node = schema["$defs"]["Node"]
    assert node["properties"]["parent"] == {
        "anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}],
        "default": None,
    }
    assert node["properties"]["children"] == {"type": "array", "items": {"$ref": "#/$defs/Node"}}


def test_classes_that_contain_each_other_are_drawn_once() -> None:
    def count(even: Even, odd: Odd) -> None:
        pass

    schema = schema_of(count)
    assert list(schema["$defs"]) == ["Even"]
    jsonschema.validate({"even": {"odd": {"even": {}}}, "odd": {"even": None}}, schema)


def test_classes_of_the_same_name_are_told_apart() -> None:
    first = Node
    second = dataclasses.make_dataclass("Node", [("next", "Any")])
    third = dataclasses.make_dataclass("Node", [("next", "Any")])
    second.__annotations__["next"] = second | None
    third.__annotations__["next"] = third | None

    def plant(a: Any, b: Any, c: Any) -> None:
        pass

    plant.__annotations__ = {"a": first, "b": second, "c": third}
    schema = schema_of(plant)
    assert [schema["properties"][name]["$ref"] for name in "abc"] == [
        "#/$defs/Node",
        "#/$defs/Node_2",
        "#/$defs/Node_3",
    ]
    assert list(schema["$defs"]["Node_3"]["properties"]) == ["next"]


def test_what_has_a_default_may_be_left_out_and_the_default_is_told_if_it_can_be() -> None:
    def order(
        size: int = 3,
        place: Place = Place(1.0, 2.0),
        color: Color = Color.RED,
        extras: tuple[str, ...] = ("milk",),
        *,
        wrong: int = None,  # type: ignore[assignment]  # noqa: RUF013
        infinite: float = math.inf,
        strange: Any = object,
        half: str = "\ud800",
        last: str,
    ) -> None:
        pass

    schema = schema_of(order)
    assert schema["required"] == ["last"]
    told = {
        name: drawn["default"] for name, drawn in schema["properties"].items() if "default" in drawn
    }
    assert told == {
        "size": 3,
        "place": {"lat": 1.0, "lng": 2.0, "name": None},
        "color": "red",
        "extras": ["milk"],
    }


def test_descriptions_come_from_annotations_first_and_then_from_the_docstring() -> None:
    def go(lat: float, lng: Annotated[float, "East."], place: Place) -> None:
        """Go there.

        Args:
            lat: North.
            lng: Not this.
            place: Nor this: the class says what it is.
        """

    signature = signature_of(go)
    assert signature.name == "go"
    assert signature.description == "Go there."
    drawn = schema_of(go)["properties"]
    assert [drawn[name]["description"] for name in drawn] == [
        "North.",
        "East.",
        "Nor this: the class says what it is.",
    ]


def test_a_context_is_not_shown() -> None:
    def remind(text: str, context: Context) -> None:
        pass

    def optionally(text: str, context: Context | None = None) -> None:
        pass

    for function in (remind, optionally):
        assert signature_of(function).injected == "context"
        assert list(schema_of(function)["properties"]) == ["text"]


class Lights:
    def switch(self, on: bool) -> None:
        """Switch the lights."""

    @classmethod
    def count(cls, room: str) -> None:
        pass

    @staticmethod
    def name(room: str) -> None:
        pass


@pytest.mark.parametrize(
    ("function", "names", "is_method"),
    [
        (Lights().switch, ["on"], False),
        (Lights.switch, ["on"], True),
        (Lights.count, ["room"], False),
        (Lights.name, ["room"], False),
    ],
)
def test_methods_are_functions_without_their_object(
    function: Callable[..., object], names: list[str], is_method: bool
) -> None:
    assert list(schema_of(function)["properties"]) == names
    assert signature_of(function).is_method == is_method


def test_a_decorated_function_is_read_through_its_wrapper() -> None:
    def go(lat: float) -> None:
        """Go there."""

    @functools.wraps(go)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        pass

    assert list(schema_of(wrapper)["properties"]) == ["lat"]
    assert signature_of(wrapper).description == "Go there."


def test_what_a_function_returns_may_be_known_to_type_checkers_alone() -> None:
    def half(number: int) -> Fraction:
        raise AssertionError

    assert list(schema_of(half)["properties"]) == ["number"]


def positional(a: int, /) -> None: ...
def several(*numbers: int) -> None: ...
def named(**numbers: int) -> None: ...
def silent(a) -> None: ...  # type: ignore[no-untyped-def]
def unknown(a: Fraction) -> None: ...
def raw(a: bytes) -> None: ...
def deep(place: Place, a: list[dict[str, tuple[int, bytes]]]) -> None: ...
def limited(a: Annotated[str, Constraints(minimum=1)]) -> None: ...
def greedy(a: Context, b: Context) -> None: ...
def counting(a: int) -> Iterator[int]:
    yield a


async def waiting(a: int) -> AsyncIterator[int]:  # noqa: ASYNC124, ASYNC900, ASYNC911
    yield a  # noqa: ASYNC911


@dataclasses.dataclass
class Blob:
    content: bytes


def nested(blobs: list[Blob]) -> None: ...


class TypeAliasType:
    """What newer Pythons make of `type Json = str | list[Json]`."""

    __value__: Any = None


def endless(a: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            positional,
            "positional: parameter 'a' is positional only, and arguments have names; remove "
            "the slash",
        ),
        (
            several,
            "several: parameter 'numbers' takes arguments without names; allowed is a list "
            "under a name of its own",
        ),
        (
            named,
            r"named: parameter 'numbers' takes arguments of any name; allowed is a dict\[str, "
            r"...\] under a name of its own",
        ),
        (silent, "silent: parameter 'a' has no annotation; allowed are str, int"),
        (
            unknown,
            "unknown: parameter 'a': annotation 'Fraction' cannot be resolved: name "
            "'Fraction' is not defined; names in it must be",
        ),
        (raw, "raw: parameter 'a': bytes has no JSON schema; allowed are str, int"),
        (deep, "deep: parameter 'a', elements, members, element 1: bytes has no JSON schema"),
        (nested, "nested: parameter 'blobs', elements, Blob 'content': bytes has no JSON schema"),
        (
            limited,
            "limited: parameter 'a': minimum is for numbers, "
            "and the annotation does not allow them",
        ),
        (greedy, "greedy: parameter 'b' asks for the same as 'a'; one is enough"),
        (counting, "counting is a generator; a call has one output: return it"),
        (waiting, "waiting is a generator"),
        (
            len,
            "<built-in function len> is not a function; allowed are functions, async "
            "functions and methods of objects",
        ),
        (functools.partial(raw), "is not a function"),
        (Lights, "is not a function"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_with_its_name(
    function: Callable[..., object], message: str
) -> None:
    with pytest.raises(ToolDefinitionError, match=message):
        schema_of(function)


def test_a_type_that_contains_itself_and_is_no_class_is_refused() -> None:
    json = TypeAliasType()
    json.__value__ = str | list[json]  # type: ignore[valid-type]
    endless.__annotations__ = {"a": json}
    with pytest.raises(
        ToolDefinitionError, match="endless: a type contains itself; only classes may"
    ):
        schema_of(endless)


def test_with_a_definition_written_by_hand_annotations_do_not_matter() -> None:
    def relay(  # type: ignore[no-untyped-def]
        self: bytes,
        a,
        b: Fraction = 3,  # type: ignore[assignment]
        *,
        context: Context,
        **more: bytes,
    ) -> None:
        pass

    signature = signature_of(relay, typed=False)
    assert [
        (parameter.name, parameter.annotation, parameter.required)
        for parameter in signature.parameters
    ] == [
        ("self", Any, True),
        ("a", Any, True),
        ("b", Any, False),
    ]
    assert signature.injected == "context"
    assert signature.is_open
    assert "additionalProperties" not in parameters_schema(signature)
