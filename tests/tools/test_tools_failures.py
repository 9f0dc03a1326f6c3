"""What the model is told about an exception that came out of a tool."""

from __future__ import annotations

import asyncio

import pytest
import trio

from realtime_trio.errors import LocalProtocolError, ToolError
from realtime_trio.tools.failures import (
    ToolErrors,
    check_tool_errors,
    type_for_model,
    words_for_model,
)


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "tool_errors", "words"),
    [
        (ValueError("s3cret"), "type", "the tool failed with ValueError"),
        (ValueError("no such city"), "full", "no such city"),
        (ValueError(), "full", "ValueError"),
        (SpeechlessError(), "full", "SpeechlessError"),
        (SystemExit("enough"), "full", "enough"),
        (ValueError("s3cret"), lambda error: f"{len(str(error))} letters", "6 letters"),
        (ToolError("no such city"), "type", "no such city"),
        (ToolError("no such city"), lambda _: "never asked", "no such city"),
        (ToolError(), "type", "ToolError"),
        (SystemExit("s3cret"), str, "the tool failed with SystemExit"),
        (asyncio.CancelledError("s3cret"), str, "the tool failed with CancelledError"),
    ],
)
def test_an_exception_is_told_as_it_may_be(
    error: BaseException, tool_errors: ToolErrors, words: str
) -> None:
    assert words_for_model(error, tool_errors) == words


def test_a_function_that_returns_no_text_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="the tool_errors function returned None, not a str"):
        words_for_model(ValueError(), lambda _: None)  # type: ignore[arg-type, return-value]


def test_the_least_that_is_told_is_the_class() -> None:
    assert type_for_model(OSError("s3cret")) == "the tool failed with OSError"


async def describe(_error: Exception) -> str:
    await trio.lowlevel.checkpoint()
    return "too late"


@pytest.mark.parametrize("allowed", ["type", "full", str, lambda error: "x"])
def test_two_words_and_functions_are_allowed(allowed: ToolErrors) -> None:
    check_tool_errors(allowed)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ("none", LocalProtocolError, "not 'none'"),
        (None, TypeError, "not None"),
        (5, TypeError, "not int"),
        (describe, TypeError, "not an async one"),
    ],
)
def test_everything_else_is_refused(given: object, error: type[Exception], said: str) -> None:
    allowed = "tool_errors must be 'type', 'full' or a function of the exception, "
    with pytest.raises(error, match=allowed + said):
        check_tool_errors(given)
