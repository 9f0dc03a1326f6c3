"""What tools return, as text for the model."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import enum
import json
import math
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import NamedTuple
from uuid import UUID

import numpy as np
import pytest
from attrs import define, field, frozen
from hypothesis import given, strategies as st

from realtime_trio.events import InputImage
from realtime_trio.tools.results import (
    LARGEST_ARRAY,
    ToolOutput,
    ToolResultError,
    cut_off,
    encode_result,
)


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: int


@frozen
class Place:
    name: str
    position: Point
    _hidden: int = 7
    made: int = field(init=False, default=8)


@dataclasses.dataclass
class Weather:
    place: Place
    temperature: float


@define(eq=False)
class Knot:
    other: object = None


class Shout(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is, ä", "as it is, ä"),
        ("", ""),
        (Shout("hey"), '"hey"'),
        (None, "null"),
        (True, "true"),
        (3, "3"),
        (2**100, str(2**100)),
        (1.5, "1.5"),
        (Color.RED, '"red"'),
        (Level.HIGH, "3"),
        (datetime.date(2025, 1, 31), '"2025-01-31"'),
        (datetime.datetime(2025, 1, 31, 9, 30, tzinfo=datetime.UTC), '"2025-01-31T09:30:00+00:00"'),
        (datetime.time(9, 30), '"09:30:00"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (PurePosixPath("/tmp/a"), '"/tmp/a"'),
        (Decimal("19.90"), '"19.90"'),
        ([1, "a", None], '[1,"a",null]'),
        ((1, 2), "[1,2]"),
        (collections.deque([1]), "[1]"),
        (range(3), "[0,1,2]"),
        ({"b", "a"}, '["a","b"]'),
        (frozenset({10, 9}), "[10,9]"),
        ({"a": {"b": 1}}, '{"a":{"b":1}}'),
        (
            {1: "a", Color.RED: 2, UUID(int=0): 3},
            '{"1":"a","red":2,"00000000-0000-0000-0000-000000000000":3}',
        ),
        (collections.Counter("aab"), '{"a":2,"b":1}'),
        (Point(1, 2), '{"x":1,"y":2}'),
        (
            Place("here", Point(1, 2)),
            '{"name":"here","position":{"x":1,"y":2},"hidden":7,"made":8}',
        ),
        (Weather(Place("a", Point(0, 0)), 21.5).temperature, "21.5"),
        (
            [Weather(Place("a", Point(0, 0)), 2)],
            '[{"place":{"name":"a","position":{"x":0,"y":0},"hidden":7,"made":8},"temperature":2}]',
        ),
        (np.float32(0.5), "0.5"),
        (np.float64(0.5), "0.5"),
        (np.longdouble(0.5), "0.5"),
        (np.int16(-3), "-3"),
        (np.bool_(True), "true"),
        (np.datetime64("2025-01-31T09:30:00.123456789"), '"2025-01-31T09:30:00.123456789"'),
        (np.array([[1, 2], [3, 4]], dtype=np.int16), "[[1,2],[3,4]]"),
        (np.array(5), "5"),
    ],
)
def test_a_result_reads_as(value: object, text: str) -> None:
    assert encode_result(value) == text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "the result is of type object, which is not JSON; allowed are str"),
        (Place, "the result is of type type,"),
        (b"bytes", "the result is of type bytes,"),
        (bytearray(2), "the result is of type bytearray,"),
        (memoryview(b""), "the result is of type memoryview,"),
        (iter(()), "the result is of type tuple_iterator,"),
        ({"a": [1, Fraction(1, 2)]}, r"the result\['a'\]\[1\] is of type Fraction,"),
        (
            Weather(Place("a", Point(1, 2j)), 0.0),  # type: ignore[arg-type]
            r"the result\.place\.position\.y is of type complex,",
        ),
        ({Fraction(1)}, "an element of the result is of type Fraction,"),
        (math.nan, "the result is nan, which is not JSON; use None instead"),
        ([np.float32("inf")], r"the result\[0\] is inf,"),
        (np.complex64(1j), "the result is of type complex,"),
        (np.clongdouble(1j), "the result is of type clongdouble,"),
        (
            np.zeros((2, LARGEST_ARRAY)),
            r"the result is an array of shape \(2, 1000\); a model can be told at most 1000 "
            r"numbers",
        ),
        ({None: 1}, "a key of the result is of type NoneType; allowed are str, int"),
        ({True: 1}, "a key of the result is of type bool;"),
        ({(1, 2): 1}, "a key of the result is of type tuple;"),
        pytest.param(
            10**5000,
            "the result contains an integer of thousands of digits; return it as text",
            id="long",
        ),
        pytest.param(
            {10**5000: 1}, "the result contains an integer of thousands of digits", id="long key"
        ),
        ("\ud800", "the result contains half a surrogate pair"),
        (["\udc00"], "the result contains half a surrogate pair"),
    ],
)
def test_what_is_not_json_is_named_with_its_place(value: object, message: str) -> None:
    with pytest.raises(ToolResultError, match=message):
        encode_result(value)


def test_a_result_that_contains_itself_is_refused() -> None:
    knot = Knot()
    knot.other = [knot]
    with pytest.raises(
        ToolResultError, match="the result contains itself, or is nested too deeply"
    ):
        encode_result(knot)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(JSON)
def test_what_is_json_already_stays_what_it_is(value: object) -> None:
    text = encode_result(value)
    assert text == value if isinstance(value, str) else json.loads(text) == value


THINGS = (
    st.builds(object)
    | st.binary()
    | st.complex_numbers()
    | st.floats()
    | st.fractions()
    | st.decimals()
    | st.text()
    | st.datetimes()
    | st.uuids()
)


@given(
    st.recursive(
        THINGS,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        ),
    )
)
def test_nothing_but_our_own_error_comes_out(value: object) -> None:
    with contextlib.suppress(ToolResultError):
        assert isinstance(encode_result(value), str)


# --- outputs with images --------------------------------------------------------------------------

IMAGE = InputImage(image_url="data:image/png;base64,AAAA")


@pytest.mark.parametrize(
    ("result", "output"),
    [
        ("plain", ToolOutput("plain")),
        ({"a": 1}, ToolOutput('{"a":1}')),
        (None, ToolOutput("null")),
        (ToolOutput("with a picture", (IMAGE,)), ToolOutput("with a picture", (IMAGE,))),
        (IMAGE, ToolOutput("The image follows.", (IMAGE,))),
    ],
)
def test_whatever_a_function_returns_is_an_output(result: object, output: ToolOutput) -> None:
    assert ToolOutput.of(result) == output


def test_attachments_may_be_any_iterable_of_images() -> None:
    assert ToolOutput("x", [IMAGE, IMAGE]).attachments == (IMAGE, IMAGE)


@pytest.mark.parametrize("attachment", ["data:image/png;base64,AAAA", b"\x89PNG", None])
def test_what_is_not_an_image_cannot_be_attached(attachment: object) -> None:
    kind = type(attachment).__name__
    with pytest.raises(ToolResultError, match=f"is of type {kind}; allowed is InputImage"):
        ToolOutput("x", [attachment])  # type: ignore[list-item]


def test_half_a_surrogate_pair_is_no_text_of_an_output() -> None:
    with pytest.raises(ToolResultError, match="surrogate"):
        ToolOutput.of(ToolOutput("\ud800"))


def test_an_error_is_an_object_that_models_know_whatever_its_text() -> None:
    assert ToolOutput.error("it broke") == ToolOutput('{"error":"it broke"}')
    assert ToolOutput.error("\ud800") == ToolOutput('{"error":"?"}')


def test_a_text_that_is_too_long_is_cut_off_with_a_note() -> None:
    assert cut_off("abcdef", 6) == cut_off("abcdef", None) == "abcdef"
    assert cut_off("abcdefg", 6) == "abcdef\n[cut off: the first 6 of 7 characters]"
