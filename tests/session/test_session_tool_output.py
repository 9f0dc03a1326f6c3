"""Tools that return images with their text: what the model is shown, and in which order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from simulated import buffered, sent
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import Session, ToolCallFinished, ToolContext, ToolOutput, open_session, tool
from realtime_trio._runtime.hub import EventStream
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    ConversationItemCreate,
    Event,
    FunctionCallOutput,
    FunctionTool,
    InputImage,
    InputText,
    ResponseCreate,
    SystemMessage,
    UserMessage,
)
from realtime_trio.recording import WireRecord
from realtime_trio.simulator import Call, Reply, Script, open_simulator_transport
from realtime_trio.tools import AnyTool, ToolResultError

MAP = InputImage(image_url="data:image/png;base64,bWFw")
PHOTO = InputImage(image_url="data:image/jpeg;base64,cGhvdG8=")
MANUAL = FunctionTool(
    name="manual", description="Done by hand.", parameters={"type": "object", "properties": {}}
)


@tool
async def show() -> ToolOutput:
    """Return a text and two images."""
    await trio.lowlevel.checkpoint()
    return ToolOutput("two views", [MAP, PHOTO])


@tool
async def draw() -> InputImage:
    """Return an image alone."""
    await trio.lowlevel.checkpoint()
    return MAP


@tool
async def develop(context: ToolContext) -> ToolOutput:
    """Say something first, and return the image later."""
    context.respond_early(ToolOutput("here is the map", [MAP]))
    await trio.sleep(1)
    return ToolOutput("and the photo", [PHOTO])


@tool
async def guess() -> ToolOutput:
    """Attach what is not an image."""
    await trio.lowlevel.checkpoint()
    return ToolOutput("look", ["picture.png"])  # type: ignore[list-item]  # what it is about


@asynccontextmanager
async def open_tools(*tools: AnyTool, calls: str) -> AsyncIterator[Session]:
    """A session with these tools, and a strict server whose first response calls one of them."""
    script = Script([Reply.calls(Call(calls, call_id="call_1"))])
    with trio.fail_after(60):
        async with (
            open_simulator_transport(script) as transport,
            open_session(
                transport=transport, tools=tools, output_modalities=("text",), strict=True
            ) as session,
        ):
            session.wire().close()  # the first who looks would see the opening
            yield session


def told(wire: EventStream[WireRecord]) -> list[object]:
    """What the client sent: texts as they are, images too, and `respond` for a response."""
    return [part for event in sent(wire) for part in _parts_of(event)]


def _parts_of(event: Event) -> tuple[object, ...]:
    match event:
        case ResponseCreate():
            return ("respond",)
        case ConversationItemCreate(item=FunctionCallOutput(output=output)):
            return (output,)
        case ConversationItemCreate(item=SystemMessage(content=[InputText() as part])):
            return (part.text,)
        case ConversationItemCreate(item=UserMessage(content=images)):
            return images
    return ()


async def test_the_images_follow_the_output_and_then_the_model_replies(
    autojump_clock: MockClock,
) -> None:
    async with open_tools(show, calls="show") as session:
        wire, finished = session.wire(), session.events(ToolCallFinished)
        await session.respond()
        await wait_all_tasks_blocked()
        assert told(wire) == ["respond", "two views", MAP, PHOTO, "respond"]
        [end] = buffered(finished)
        assert (end.output, end.attachments) == ("two views", (MAP, PHOTO))
        last = session.conversation.items[-2]
        assert (last.role, last.type) == ("user", "message")


async def test_an_image_alone_is_announced(autojump_clock: MockClock) -> None:
    async with open_tools(draw, calls="draw") as session:
        wire = session.wire()
        await session.respond()
        await wait_all_tasks_blocked()
        assert told(wire) == ["respond", "The image follows.", MAP, "respond"]


async def test_images_come_with_early_outputs_and_with_news(autojump_clock: MockClock) -> None:
    async with open_tools(develop, calls="develop") as session:
        wire = session.wire()
        await session.respond()
        await trio.sleep(2)
        assert told(wire) == [
            "respond",
            "here is the map",
            MAP,
            "respond",
            "develop (call call_1) has finished: and the photo",
            PHOTO,
            "respond",
        ]


async def test_what_is_not_an_image_is_an_error_for_the_model(autojump_clock: MockClock) -> None:
    async with open_tools(guess, calls="guess") as session:
        finished = session.events(ToolCallFinished)
        await session.respond()
        await wait_all_tasks_blocked()
        [end] = buffered(finished)
        assert end.outcome == "failed"
        assert "an attachment is of type str; allowed is InputImage" in end.output


async def test_an_output_by_hand_may_bring_images(autojump_clock: MockClock) -> None:
    async with open_tools(MANUAL, calls="manual") as session:
        wire = session.wire()
        await session.respond()
        await wait_all_tasks_blocked()
        await session.send_tool_output("call_1", ToolOutput("done", [PHOTO]))
        await wait_all_tasks_blocked()
        assert told(wire) == ["respond", "done", PHOTO, "respond"]


async def test_an_output_that_cannot_be_sent_is_not_half_sent(autojump_clock: MockClock) -> None:
    async with open_tools(MANUAL, calls="manual") as session:
        wire = session.wire()
        await session.respond()
        await wait_all_tasks_blocked()
        unusable = InputImage(image_url=3)  # type: ignore[arg-type]  # what it is about
        with pytest.raises(LocalProtocolError):
            await session.send_tool_output("call_1", ToolOutput("done", [unusable]))
        await session.send_tool_output("call_1", "done")
        await wait_all_tasks_blocked()
        assert told(wire) == ["respond", "done", "respond"]


def test_what_is_not_an_image_cannot_be_attached() -> None:
    with pytest.raises(ToolResultError, match="allowed is InputImage"):
        ToolOutput("x", [b"\x89PNG"])  # type: ignore[list-item]  # what it is about
