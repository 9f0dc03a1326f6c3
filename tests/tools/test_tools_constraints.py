"""What a JSON value is, and the limits a tool may set to it."""

from __future__ import annotations

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, strategies as st

from realtime_trio.errors import ToolDefinitionError
from realtime_trio.tools.constraints import KINDS, Constraints, Kind, kind_of

ALL = Constraints(minimum=1, maximum=5, min_length=1, max_length=2, pattern="^a")
OPEN = Constraints(exclusive_minimum=1, exclusive_maximum=5)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        (False, "boolean"),
        (0, "integer"),
        (0.0, "number"),
        ("", "string"),
        ([], "array"),
        ({}, "object"),
    ],
)
def test_every_json_value_has_a_kind(value: object, kind: Kind) -> None:
    assert kind_of(value) == kind
    assert kind in KINDS


@pytest.mark.parametrize(
    ("constraints", "value", "problem"),
    [
        (ALL, 0, "expected at least 1, got 0"),
        (ALL, 5.5, "expected at most 5, got 5.5"),
        (ALL, 3, None),
        (ALL, True, None),
        (ALL, None, None),
        (ALL, "", "expected at least 1 characters, got 0"),
        (ALL, "abc", "expected at most 2 characters, got 3"),
        (ALL, "b", "expected a text that matches ^a"),
        (ALL, "a", None),
        (ALL, [], "expected at least 1 elements, got 0"),
        (ALL, [1], None),
        (ALL, {"a": 1, "b": 2, "c": 3}, "expected at most 2 members, got 3"),
        (OPEN, 1, "expected more than 1, got 1"),
        (OPEN, 5, "expected less than 5, got 5"),
        (OPEN, 2, None),
        (OPEN, "", None),
    ],
)
def test_a_value_beyond_a_limit_is_described(
    constraints: Constraints, value: object, problem: str | None
) -> None:
    assert constraints.problem(value) == problem


@pytest.mark.parametrize(
    ("constraints", "kinds", "message"),
    [
        (
            Constraints(minimum=1),
            ["string"],
            "here: minimum is for numbers, and the annotation does not allow them",
        ),
        (
            Constraints(exclusive_maximum=1),
            ["array", "null"],
            "here: exclusive_maximum is for numbers",
        ),
        (
            Constraints(max_length=1),
            ["integer"],
            "here: max_length is for texts, lists and dictionaries",
        ),
        (Constraints(pattern="a"), ["array"], "here: pattern is for texts"),
    ],
)
def test_a_limit_that_means_nothing_for_the_annotation_is_refused(
    constraints: Constraints, kinds: list[Kind], message: str
) -> None:
    with pytest.raises(ToolDefinitionError, match=message):
        constraints.keywords(kinds, "here")


def test_a_pattern_must_be_a_regular_expression() -> None:
    with pytest.raises(
        ToolDefinitionError, match=r"pattern '\(' is not a regular expression: missing \)"
    ):
        Constraints(pattern="(")


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-1, 7)
    | st.floats(0, 6)
    | st.text("ab", max_size=3)
    | st.lists(st.none(), max_size=3)
)


@given(st.sampled_from([ALL, OPEN]), VALUES | st.dictionaries(st.text("ab"), st.none(), max_size=3))
def test_what_is_refused_is_what_the_schema_forbids(
    constraints: Constraints, value: object
) -> None:
    assert (constraints.problem(value) is None) == jsonschema.Draft202012Validator(
        constraints.keywords(KINDS, "")
    ).is_valid(value)
