"""How much of a tool's exceptions and outputs the model is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import trio
from simulated import buffered, sent
from tool_sessions import calls, error, messages_of, open_tools, outputs, outputs_of, start_turn
from trio.testing import MockClock

from realtime_trio import ToolContext, tool
from realtime_trio._state.utility_events import ToolCallFinished
from realtime_trio.errors import ToolError
from realtime_trio.events import InputImage
from realtime_trio.tools import ToolOutput

IMAGE = InputImage("data:image/png;base64,iVBORw0KGgo=")


def connect_to_database() -> None:
    raise ConnectionError("cannot reach postgres://admin:s3cret@db.example/")


def fail_as_asyncio_does() -> None:
    raise asyncio.CancelledError("s3cret")


def say_so() -> None:
    raise ToolError("there is no such city")


@pytest.mark.parametrize(
    ("fail", "tool_errors", "message"),
    [
        (connect_to_database, None, "the tool failed with ConnectionError"),
        (connect_to_database, "type", "the tool failed with ConnectionError"),
        (connect_to_database, lambda exc: f"try later ({len(exc.args)})", "try later (1)"),
        (connect_to_database, lambda exc: 1 / 0, "the tool failed with ConnectionError"),
        (connect_to_database, lambda exc: None, "the tool failed with ConnectionError"),
        (fail_as_asyncio_does, str, "the tool failed with CancelledError"),
        (say_so, "type", "there is no such city"),
        (say_so, lambda exc: "never asked", "there is no such city"),
    ],
)
async def test_of_an_exception_the_model_is_told_what_it_may_know_and_the_log_everything(
    fail: Callable[[], None],
    tool_errors: Any,
    message: str,
    caplog: pytest.LogCaptureFixture,
    mock_clock: MockClock,
) -> None:
    options = {} if tool_errors is None else {"tool_errors": tool_errors}
    async with open_tools([tool(fail, name="fail")], calls("fail"), **options) as session:
        wire = session.wire()
        await session.ask("Try!")
        assert outputs(wire) == [("call_1", error(message))]
    assert f"in {fail.__name__}" in caplog.text
    assert "s3cret" in caplog.text or fail is say_so


async def test_of_several_exceptions_each_is_told_as_it_may_be(mock_clock: MockClock) -> None:
    def fail() -> None:
        raise ExceptionGroup("all", [ValueError("s3cret"), ToolError("no such city")])

    async with open_tools([fail], calls("fail")) as session:
        wire = session.wire()
        await session.ask("Try!")
        assert outputs(wire) == [("call_1", error("the tool failed with ValueError; no such city"))]


async def test_an_output_that_is_too_long_is_cut_off_and_the_model_told_so(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    async def read(context: ToolContext) -> ToolOutput:
        await trio.lowlevel.checkpoint()
        context.respond_early(["x" * 40] * 2)
        return ToolOutput("y" * 50, [IMAGE])

    async with open_tools([read], calls("read"), tool_output_limit=40) as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await start_turn(session)
        note = "\n[cut off: the first 40 of {} characters]"
        early, news = '["' + "x" * 38 + note.format(87), "y" * 40 + note.format(50)
        events = sent(wire)
        assert outputs_of(events) == [("call_1", early)]
        assert messages_of(events) == [f"read (call call_1) has finished: {news}"]
        [end] = buffered(finished)
        assert (end.output, end.attachments) == (news, (IMAGE,))
    assert "tool read: the output of 87 characters was cut off after 40" in caplog.text


async def test_an_error_that_is_too_long_is_cut_off_and_is_still_json(
    mock_clock: MockClock,
) -> None:
    def fail() -> None:
        raise ToolError("x" * 50)

    async with open_tools([fail], calls("fail"), tool_output_limit=40) as session:
        wire = session.wire()
        await session.ask("Try!")
        message = "x" * 40 + "\n[cut off: the first 40 of 50 characters]"
        assert outputs(wire) == [("call_1", error(message))]


@pytest.mark.parametrize(("limit", "expected"), [(None, 32 * 2**20), ("default", 32_768)])
async def test_outputs_have_a_limit_unless_you_take_it_away(
    limit: int | str | None, expected: int, mock_clock: MockClock
) -> None:
    async def read() -> str:
        await trio.lowlevel.checkpoint()
        return "x" * 32 * 2**20

    options: Any = {} if limit == "default" else {"tool_output_limit": limit}
    async with open_tools([read], calls("read"), **options) as session:
        finished = session.events(ToolCallFinished)
        await start_turn(session)
        [end] = buffered(finished)
        assert len(end.output.partition("\n")[0]) == expected
