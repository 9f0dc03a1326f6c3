"""How the simulated service says no: its sentences, its codes, and what is refused at the edges."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from realtime_trio.audio import AudioData
from realtime_trio.events import UnknownEvent
from realtime_trio.simulator.service.refusal import (
    Refusal,
    audio_bytes,
    check_choice,
    check_depth,
    check_length,
    check_name,
    check_range,
    explain,
    listed,
)


def refused(check: Callable[[], object]) -> tuple[str, str | None, str | None]:
    with pytest.raises(Refusal) as caught:
        check()
    return str(caught.value), caught.value.code, caught.value.param


def nested(levels: int) -> object:
    value: object = 1
    wraps: list[Callable[[object], object]] = [
        lambda inner: {"a": inner, "b": 2},
        lambda inner: [3, inner],
        lambda inner: (inner,),
    ]
    for level in range(levels):
        value = wraps[level % 3](value)
    return value


def test_a_list_reads_as_in_english() -> None:
    assert listed(["a"]) == "'a'"
    assert listed(["a", "b"]) == "'a' and 'b'"
    assert listed(["a", "b", "c"]) == "'a', 'b', and 'c'"
    assert listed(["a", "b", "c", "d"]) == "'a', 'b', 'c', and 'd'"


def test_a_refusal_is_about_one_event() -> None:
    detail = Refusal("No.", code="invalid_value", param="session.voice").detail("mine")
    assert (detail.type, detail.code, detail.message, detail.param, detail.event_id) == (
        "invalid_request_error",
        "invalid_value",
        "No.",
        "session.voice",
        "mine",
    )


def test_a_value_that_does_not_exist_is_refused_with_those_that_do() -> None:
    check_choice("b", ("a", "b"), "p")
    assert refused(lambda: check_choice("c", ("a", "b"), "p")) == (
        "Invalid value: 'c'. Supported values are: 'a' and 'b'.",
        "invalid_value",
        "p",
    )
    assert refused(lambda: check_choice(None, ("a", "b"), "p")) == (
        "Missing required parameter: 'p'.",
        "missing_required_parameter",
        "p",
    )


def test_a_number_may_be_at_its_limits_and_not_beyond() -> None:
    for value in (1, 5, 10):
        check_range(value, 1, 10, "p")
    assert refused(lambda: check_range(0, 1, 10, "p")) == (
        "Invalid 'p': integer below minimum value. Expected a value >= 1, but got 0 instead.",
        "integer_below_min_value",
        "p",
    )
    assert refused(lambda: check_range(1.6, 0.25, 1.5, "p")) == (
        "Invalid 'p': decimal above maximum value. Expected a value <= 1.5, but got 1.6 instead.",
        "decimal_above_max_value",
        "p",
    )


def test_a_text_may_be_as_long_as_its_limit() -> None:
    check_length(None, 3, "p")
    check_length("abc", 3, "p")
    assert refused(lambda: check_length("abcd", 3, "p")) == (
        "Invalid 'p': string too long. Expected a string with maximum length 3, "
        "but got a string with length 4 instead.",
        "string_above_max_length",
        "p",
    )


def test_a_name_is_one_that_programs_like() -> None:
    check_name("look_up-2", 9, "p")
    assert refused(lambda: check_name("", 9, "p"))[1] == "empty_string"
    assert refused(lambda: check_name("look_up-22", 9, "p"))[1] == "string_above_max_length"
    assert refused(lambda: check_name("look up", 9, "p")) == (
        "Invalid 'p': string does not match pattern. "
        "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
        "invalid_value",
        "p",
    )


@pytest.mark.parametrize("value", [None, "text", {}, [[]], nested(100)])
def test_data_may_be_nested_a_hundred_levels(value: object) -> None:
    check_depth(value, "p")


@pytest.mark.parametrize("levels", [101, 100_000])
def test_data_that_is_nested_deeper_is_refused_however_deep_it_is(levels: int) -> None:
    value = nested(levels)
    assert refused(lambda: check_depth(value, "p")) == (
        "Invalid 'p': nested too deeply. Expected a value of at most 100 levels.",
        "invalid_value",
        "p",
    )


def test_audio_that_is_not_base64_is_refused() -> None:
    assert audio_bytes(AudioData.from_base64("AQI="), "audio") == b"\x01\x02"
    assert refused(lambda: audio_bytes(AudioData.from_base64("A*"), "audio"))[1:] == (
        "invalid_value",
        "audio",
    )


@pytest.mark.parametrize(
    ("problem", "said", "code", "param"),
    [
        (
            "required field missing @ $.item",
            "parameter: 'item'",
            "missing_required_parameter",
            "item",
        ),
        ("unknown parameter @ $.a.b", "Unknown parameter: 'a.b'.", "unknown_parameter", "a.b"),
        (
            "expected an object of type 'a', 'b', got 'c' @ $.x",
            "Invalid value: 'c'. Supported values are: 'a' and 'b'.",
            "invalid_value",
            "x.type",
        ),
        (
            "expected an object of type 'a', got null @ $.x",
            "Missing required parameter: 'x.type'.",
            "missing_required_parameter",
            "x.type",
        ),
        (
            "expected one of 'a', 'b', got 'c' @ $.x",
            "Invalid value: 'c'. Supported values are: 'a' and 'b'.",
            "invalid_value",
            "x",
        ),
        (
            "expected 'a', got 'it's @ $.y' @ $.x",
            "Invalid value: 'it's @ $.y'. Supported values are: 'a'.",
            "invalid_value",
            "x",
        ),
        (
            "expected a string, got an integer @ $.x",
            "Invalid type for 'x': expected a string, got an integer instead.",
            "invalid_type",
            "x",
        ),
        ("not JSON: oops", "failed to parse JSON value", "invalid_json", None),
        ("it is a list", "Invalid event: it is a list.", "invalid_event", None),
    ],
)
def test_what_is_wrong_with_a_message_is_said_in_the_services_words(
    problem: str, said: str, code: str, param: str | None
) -> None:
    refusal = explain(UnknownEvent(type="response.create", raw={}, problem=problem))
    assert said in str(refusal)
    assert (refusal.code, refusal.param) == (code, param)


def test_a_type_that_does_not_exist_and_one_that_is_meant_for_others_are_refused() -> None:
    unknown = explain(UnknownEvent(type="c", raw={}), ("a", "b"))
    assert str(unknown) == "Invalid value: 'c'. Supported values are: 'a' and 'b'."
    assert (unknown.code, unknown.param) == ("invalid_value", "type")
    misplaced = explain(UnknownEvent(type="a", raw={}), ("a", "b"))
    assert "event 'a' to this session is not allowed" in str(misplaced)
    assert explain(UnknownEvent(type="a", raw=b"\x00"), ("a",)).code == "invalid_event"
