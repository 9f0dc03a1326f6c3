"""What the model passes, as what functions take."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import enum
import inspect
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict
from uuid import UUID

import jsonschema  # type: ignore[import-untyped]
import pytest
from attrs import field, frozen, validators
from hypothesis import given, strategies as st

from realtime_trio.errors import ToolError
from realtime_trio.tools.arguments import ArgumentReader, ToolArgumentsError
from realtime_trio.tools.constraints import Constraints
from realtime_trio.tools.results import encode_result
from realtime_trio.tools.schema import parameters_schema, signature_of


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 3


class Fruit(str, enum.Enum):  # noqa: UP042 - the one that is a str to cattrs
    APPLE = "apple"


@frozen
class Place:
    lat: float
    lng: float
    _name: str | None = None


@frozen
class Circle:
    radius: float = field(validator=validators.gt(0))
    kind: Literal["circle"] = "circle"


@frozen
class Square:
    side: float
    kind: Literal["square"] = "square"


@dataclasses.dataclass(frozen=True)
class Node:
    label: Annotated[str, "What it says."]
    parent: Optional["Node"] = None  # noqa: UP037, UP045
    children: list["Node"] = dataclasses.field(default_factory=list)  # noqa: UP037

    def __post_init__(self) -> None:
        if self.label == "bad":
            raise ValueError
        if self.label == "lost":
            raise ConnectionError("cannot reach postgres://admin:s3cret@db.example/")
        if self.label == "unheard of":
            raise ToolError("there is no such node")


@frozen
class Awkward:
    """Its fields are called what a generator of functions might call its own."""

    cl: int
    converter: int
    o: int = 0
    res: int = 0


class Options(TypedDict):
    loud: bool
    inner: NotRequired[list["Options"]]  # noqa: UP037


def reader_of(**annotations: Any) -> ArgumentReader:
    def function() -> None:
        pass

    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=value)
        for name, value in annotations.items()
    ]
    vars(function)["__signature__"] = inspect.Signature(parameters)
    return ArgumentReader(signature_of(function))


@pytest.mark.parametrize(
    ("annotation", "given_value", "value"),
    [
        (Any, {"a": [1, None]}, {"a": [1, None]}),
        (str, "a", "a"),
        (int, 3, 3),
        (float, 3.5, 3.5),
        (bool, False, False),
        (None, None, None),
        (int | None, None, None),
        (Literal["a", 1, True, None], True, True),
        (Literal["a", 1], 1, 1),
        (Literal[Color.RED], "red", Color.RED),
        (Color, "blue", Color.BLUE),
        (Level, 3, Level.HIGH),
        (Fruit, "apple", Fruit.APPLE),
        (list[int], [1, 2], [1, 2]),
        (list, [1, "a"], [1, "a"]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[int], [1, 2, 1], {1, 2}),
        (frozenset[Color], ["red"], frozenset({Color.RED})),
        (dict[str, Level], {"a": 1}, {"a": Level.LOW}),
        (UUID, "00000000-0000-0000-0000-000000000001", UUID(int=1)),
        (datetime.date, "2025-01-31", datetime.date(2025, 1, 31)),
        (Path, "/tmp", Path("/tmp")),
        (PurePath, "/tmp", PurePath("/tmp")),
        (Decimal, "1.50", Decimal("1.50")),
        (Annotated[int, "Years.", Constraints(minimum=0)], 0, 0),
        (Annotated[str, "Name."], "a", "a"),
        (Place, {"lat": 1, "lng": 2}, Place(1.0, 2.0)),
        (Place, {"lat": 1, "lng": 2, "name": "here"}, Place(1.0, 2.0, "here")),
        (Awkward, {"cl": 1, "converter": 2, "res": 3}, Awkward(1, 2, 0, 3)),
        (
            Options,
            {"loud": True, "inner": [{"loud": False}]},
            {"loud": True, "inner": [{"loud": False}]},
        ),
        (Node, {"label": "a", "children": [{"label": "b"}]}, Node("a", children=[Node("b")])),
        (Node | None, {"label": "a", "parent": {"label": "b"}}, Node("a", Node("b"))),
        (Circle | Square, {"side": 1, "kind": "square"}, Square(1.0)),
        (Circle | Square, {"radius": 1}, Circle(1.0)),
        (dict[str, float] | Place, {"lat": 1, "lng": 2}, Place(1.0, 2.0)),
        (dict[str, float] | Place, {"lat": 1}, {"lat": 1.0}),
        (str | UUID, "00000000-0000-0000-0000-000000000001", UUID(int=1)),
        (str | UUID, "somebody", "somebody"),
        (datetime.datetime | datetime.date, "2025-01-31", datetime.date(2025, 1, 31)),
        (
            datetime.datetime | datetime.date,
            "2025-01-31T09:30",
            datetime.datetime(2025, 1, 31, 9, 30),
        ),
        (float | int, 3, 3),
        (float | int, 3.0, 3.0),
        (str | Literal["a"] | Fruit, "apple", Fruit.APPLE),
        (tuple[int, int] | list[int], [1, 2], (1, 2)),
        (tuple[int, int] | list[int], [1], [1]),
    ],
)
def test_a_value_becomes_what_its_annotation_says(
    annotation: Any, given_value: object, value: object
) -> None:
    structured = reader_of(it=annotation).read(json.dumps({"it": given_value}))["it"]
    assert structured == value
    assert type(structured) is type(value)


def test_an_integer_is_a_number() -> None:
    assert [
        type(value)
        for value in reader_of(a=float, b=list[float]).read('{"a": 1, "b": []}').values()
    ] == [float, list]


@pytest.mark.parametrize(
    ("annotation", "given_value", "problem"),
    [
        (str, 3, "it: expected a string, got 3"),
        (int, "3", "it: expected an integer, got '3'"),
        (int, 3.0, "it: expected an integer, got 3.0"),
        (int, True, "it: expected an integer, got true"),
        (float, "north", "it: expected a number, got 'north'"),
        (float, False, "it: expected a number, got false"),
        (bool, 1, "it: expected true or false, got 1"),
        (None, 0, "it: expected null, got 0"),
        (str, None, "it: expected a string, got null"),
        (int, "a" * 41, "it: expected an integer, got a string"),
        (int, [1], "it: expected an integer, got a list"),
        (int, {"a": 1}, "it: expected an integer, got an object"),
        (int | None, "x", "it: expected an integer or null, got 'x'"),
        (Literal["a", "b"], "c", "it: expected one of 'a', 'b', got 'c'"),
        (Literal[1], True, "it: expected 1, got true"),
        (Literal[1], 1.0, "it: expected 1, got 1.0"),
        (Literal["a"], ["a"], "it: expected 'a', got a list"),
        (Color, "green", "it: expected one of 'red', 'blue', got 'green'"),
        (Level, 2, "it: expected one of 1, 3, got 2"),
        (list[int], "12", "it: expected a list, got '12'"),
        (
            list[int],
            [1, "a", 2, None],
            "it[1]: expected an integer, got 'a'; it[3]: expected an integer, got null",
        ),
        (tuple[int, str], [1], "it: expected a list of 2, got one of 1"),
        (tuple[int, str], "ab", "it: expected a list of 2, got 'ab'"),
        (tuple[int, str], ["a", "b"], "it[0]: expected an integer, got 'a'"),
        (set[Any], [[]], "it: expected elements that can be in a set: no lists, no objects"),
        (dict[str, int], [], "it: expected an object, got a list"),
        (dict[str, int], {"a b": 1.5}, "it['a b']: expected an integer, got 1.5"),
        (UUID, 3, "it: expected a UUID, got 3"),
        (datetime.date, "tomorrow", "it: expected a date such as '2025-01-31', got 'tomorrow'"),
        (datetime.date | UUID, "x", "it: expected a date such as '2025-01-31' or a UUID, got 'x'"),
        (Annotated[int, Constraints(minimum=1)], 0, "it: expected at least 1, got 0"),
        (
            list[Annotated[str, Constraints(pattern="^a")]],
            ["b"],
            "it[0]: expected a text that matches ^a",
        ),
        (Place, {"lat": 1}, "it.lng is missing"),
        (Place, {"lat": "x", "lng": 1}, "it.lat: expected a number, got 'x'"),
        (
            Place,
            {"lat": 1, "lng": 1, "zoom": 3},
            "it: 'zoom' is not expected; allowed: lat, lng, name",
        ),
        (Place, 3, "it: expected an object, got 3"),
        (Options, {"loud": "yes"}, "it.loud: expected true or false, got 'yes'"),
        (Options, {}, "it.loud is missing"),
        (Options, [], "it: expected an object, got a list"),
        (
            Options,
            {"loud": True, "quiet": True},
            "it: 'quiet' is not expected; allowed: loud, inner",
        ),
        (Circle, {"radius": 0}, "it: 'radius' must be > 0: 0.0"),
        (Node, {"label": "lost"}, "it: ConnectionError"),
        (Node, {"label": "unheard of"}, "it: there is no such node"),
        (Node, {"label": "bad"}, "it: ValueError"),
        (Place | None, {"lat": 1}, "it.lng is missing"),
        (
            Circle | Square,
            {"radius": "x"},
            "it: fits nothing that is allowed: radius: expected a number, got 'x' | side is "
            "missing",
        ),
        (
            list[str] | tuple[int, int],
            [1],
            "it: fits nothing that is allowed: expected a list of 2, got one of 1 | [0]: "
            "expected a string, got 1",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_described(
    annotation: Any, given_value: object, problem: str
) -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        reader_of(it=annotation).read(json.dumps({"it": given_value}))
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("", "lat is missing; lng is missing"),
        ("{}", "lat is missing; lng is missing"),
        ('{"lat": 1, "lng": 2, "zoom": 3}', "'zoom' is not expected; allowed: lat, lng"),
        ('{"lat": 1e999, "lng": 0}', "the arguments are not JSON: "),
        ('{"lat": 1', "the arguments are not JSON: "),
        ('{"lat": NaN, "lng": 0}', "the arguments are not JSON: "),
        ("\ud800", "the arguments are not JSON: "),
        ("[1, 2]", "expected a JSON object with the arguments by name, got a list"),
        ("null", "expected a JSON object with the arguments by name, got null"),
        ('"{}"', "expected a JSON object with the arguments by name, got '{}'"),
        ("[" * 2000 + "]" * 2000, "the arguments are not JSON: "),
    ],
)
def test_what_are_no_arguments_at_all_is_described(arguments: str, problem: str) -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        reader_of(lat=float, lng=float).read(arguments)
    assert str(caught.value).startswith(problem)


def test_without_parameters_nothing_is_expected() -> None:
    assert reader_of().read(" ") == {}
    with pytest.raises(ToolArgumentsError, match=r"^'a' is not expected; allowed: nothing$"):
        reader_of().read('{"a": 1}')


def test_what_was_left_out_is_left_to_the_defaults() -> None:
    def function(a: int, b: int = 2, *, c: int | None = None) -> None:
        pass

    assert ArgumentReader(signature_of(function)).read('{"a": 1, "c": null}') == {"a": 1, "c": None}


def test_a_long_list_of_problems_is_cut() -> None:
    with pytest.raises(
        ToolArgumentsError, match=r"^it\[0\].*it\[4\]: expected an integer, got 'a'; and 95 more$"
    ):
        reader_of(it=list[int]).read(json.dumps({"it": ["a"] * 100}))


@pytest.mark.parametrize("depth", [150, 200, 250, 300, 400])
def test_arguments_may_be_nested_too_deeply(depth: int) -> None:
    tree: dict[str, object] = {"label": 3}
    for _ in range(depth):
        tree = {"label": "a", "parent": tree}
    with pytest.raises(ToolArgumentsError, match=r"too deeply|got 3$"):
        reader_of(it=Node).read(json.dumps({"it": tree}))


def test_with_a_definition_written_by_hand_arguments_stay_json() -> None:
    def relay(a: bytes, **more: bytes) -> None:
        pass

    reader = ArgumentReader(signature_of(relay, typed=False))
    assert reader.read('{"a": [1], "b": {"c": 2}}') == {"a": [1], "b": {"c": 2}}
    with pytest.raises(ToolArgumentsError, match=r"^a is missing$"):
        reader.read('{"b": 1}')


# --- signature -> schema -> arguments -> call -----------------------------------------------------

LEAVES: list[Any] = [
    *(
        str,
        int,
        float,
        bool,
        None,
        Any,
        UUID,
        datetime.date,
        datetime.datetime,
        datetime.time,
        Decimal,
        Path,
        Color,
        Level,
        Fruit,
    ),
    *(Literal["a", 1, None], Place, Circle, Square, Node, Awkward, Options),
    Annotated[int, "Few.", Constraints(minimum=1, exclusive_maximum=4)],
    Annotated[str, Constraints(min_length=1, max_length=3)],
]


def grow(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        inner.map(lambda element: list[element]),  # type: ignore[valid-type]
        inner.map(lambda element: tuple[element, ...]),  # type: ignore[valid-type]
        inner.map(lambda element: dict[str, element]),  # type: ignore[valid-type]
        st.tuples(inner, inner).map(lambda elements: tuple.__class_getitem__(elements)),
        st.tuples(inner, inner).map(
            lambda members: Optional[members[0]] | members[1]  # noqa: UP045
        ),
        inner.map(lambda element: Annotated[element, "Described."]),
    )


ANNOTATIONS = st.recursive(st.sampled_from(LEAVES), grow, max_leaves=4) | st.sampled_from(
    [set[int], frozenset[str], set[Color]]
)
PARAMETERS = st.dictionaries(
    st.sampled_from("abcd"), st.tuples(ANNOTATIONS, st.booleans()), max_size=4
)

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(-5, 5)
    | st.text("abc", min_size=1, max_size=3)
)
JSON = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=5,
)
FORMATS = {
    "uuid": st.uuids().map(str),
    "date": st.dates().map(str),
    "date-time": st.datetimes(timezones=st.none() | st.just(datetime.UTC)).map(
        datetime.datetime.isoformat
    ),
    "time": st.times().map(datetime.time.isoformat),
    "decimal": st.decimals(allow_nan=False, allow_infinity=False).map(str),
    "path": st.lists(st.text("abc", min_size=1), min_size=1, max_size=3).map("/".join),
}


def function_with(parameters: dict[str, tuple[Any, bool]]) -> Callable[..., dict[str, object]]:
    def function(**keywords: object) -> dict[str, object]:
        return keywords

    vars(function)["__signature__"] = inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=annotation,
                default=inspect.Parameter.empty if required else "unset",
            )
            for name, (annotation, required) in parameters.items()
        ]
    )
    return function


def values_of(
    schema: dict[str, Any], definitions: dict[str, Any], depth: int = 0
) -> st.SearchStrategy[Any]:
    """What a model might write that was told this schema."""

    def inside(inner: dict[str, Any]) -> st.SearchStrategy[Any]:
        return values_of(inner, definitions, depth + 1)

    if "$ref" in schema:
        return values_of(definitions[schema["$ref"].rpartition("/")[2]], definitions, depth + 1)
    if "anyOf" in schema:
        return st.one_of([inside(member) for member in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case None:
            return JSON
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(
                schema.get("minimum", -(2**63)), schema.get("exclusiveMaximum", 2**63) - 1
            )
        case "number":
            return st.floats(0.5, 1e9) | st.integers(1, 2**53)
        case "string" if "format" in schema:
            return FORMATS[schema["format"]]
        case "string":
            return st.text(
                "abc ä", min_size=schema.get("minLength", 0), max_size=schema.get("maxLength", 5)
            )
        case "array" if "prefixItems" in schema:
            return st.tuples(*map(inside, schema["prefixItems"])).map(list)
        case "array" if schema.get("uniqueItems"):
            return st.lists(inside(schema["items"]), unique=True, max_size=3).map(
                lambda elements: sorted(
                    elements, key=lambda element: json.dumps(element, ensure_ascii=False)
                )
            )
        case "array":
            return st.just([]) if depth > 4 else st.lists(inside(schema["items"]), max_size=3)
        case _ if "properties" not in schema:
            return st.dictionaries(
                st.text("abc"), inside(schema["additionalProperties"]), max_size=3
            )
        case _:
            required = {
                name: inside(schema["properties"][name]) for name in schema.get("required", ())
            }
            optional = (
                {}
                if depth > 4
                else {
                    name: inside(drawn)
                    for name, drawn in schema["properties"].items()
                    if name not in required
                }
            )
            return st.fixed_dictionaries(required, optional=optional)


def without_defaults(value: Any, given_value: Any) -> Any:
    """A result, without the members that constructors added to what was given."""
    if isinstance(value, dict) and isinstance(given_value, dict):
        return {
            name: without_defaults(value[name], given_value[name])
            for name in value
            if name in given_value
        }
    if isinstance(value, list) and isinstance(given_value, list):
        return [without_defaults(*pair) for pair in zip(value, given_value, strict=True)]
    return value


@given(PARAMETERS, st.data())
def test_what_a_model_writes_by_the_schema_arrives(
    parameters: dict[str, tuple[Any, bool]], data: st.DataObject
) -> None:
    function = function_with(parameters)
    signature = signature_of(function)
    schema: dict[str, Any] = dict(parameters_schema(signature))
    jsonschema.Draft202012Validator.check_schema(schema)
    arguments = data.draw(values_of(schema, schema.get("$defs", {})))
    jsonschema.validate(arguments, schema)
    result = json.loads(
        encode_result(function(**ArgumentReader(signature).read(json.dumps(arguments))))
    )
    assert without_defaults(result, arguments) == arguments


@given(
    PARAMETERS.filter(lambda parameters: "set" not in repr(parameters)),
    st.dictionaries(st.sampled_from("abcde"), JSON),
)
def test_what_arrives_is_what_the_schema_allows(
    parameters: dict[str, tuple[Any, bool]], arguments: dict[str, Any]
) -> None:
    signature = signature_of(function_with(parameters))
    with contextlib.suppress(ToolArgumentsError):
        ArgumentReader(signature).read(json.dumps(arguments))
        jsonschema.validate(arguments, parameters_schema(signature))


NASTY = (
    st.text()
    | st.text('{}[]":,0123456789aeflnrstu\\ ')
    | JSON.map(json.dumps)
    | st.dictionaries(st.sampled_from("ab"), JSON).map(json.dumps)
)


@given(PARAMETERS, NASTY)
def test_nothing_but_our_own_error_comes_out(
    parameters: dict[str, tuple[Any, bool]], arguments: str
) -> None:
    with contextlib.suppress(ToolArgumentsError):
        ArgumentReader(signature_of(function_with(parameters))).read(arguments)
