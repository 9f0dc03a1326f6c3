"""What is short for people, spelt out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, strategies as st

from realtime_trio._session.ids import with_id
from realtime_trio.audio import AudioData
from realtime_trio.errors import LocalProtocolError, ToolDefinitionError
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
    FunctionTool,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpTool,
    MessageContent,
    OutputText,
    RealtimeSession,
    ResponseConfig,
    ServerVad,
    SessionAudio,
    SessionAudioInput,
    SessionAudioOutput,
    SessionConfig,
    SystemMessage,
    Tool,
    UnknownObject,
    UserContent,
    UserMessage,
)

SAMPLES = np.array([1, -2, 3], np.int16)
PRESENT = RealtimeSession(
    instructions="Be brief.",
    output_modalities=("audio",),
    audio=SessionAudio(
        input=SessionAudioInput(format=AudioFormat.pcm(), turn_detection=ServerVad(threshold=0.5)),
        output=SessionAudioOutput(format=AudioFormat.pcm(), voice="marin", speed=1.0),
    ),
)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("Hello", [InputText("Hello")]),
        (SAMPLES, [InputAudio(AudioData(SAMPLES))]),
        (b"\x01\x00", [InputAudio(AudioData(b"\x01\x00"))]),
        (AudioData(b"\x01\x00"), [InputAudio(AudioData(b"\x01\x00"))]),
        (InputImage("data:image/png;base64,AA=="), [InputImage("data:image/png;base64,AA==")]),
        (
            ["What is this?", InputImage("data:,")],
            [InputText("What is this?"), InputImage("data:,")],
        ),
        ([], []),
    ],
)
def test_a_message_can_be_made_of_anything_that_can_be_said(
    content: MessageContent, parts: list[UserContent]
) -> None:
    assert UserMessage.of(content) == UserMessage(content=parts)


@pytest.mark.parametrize(
    "content",
    [
        5,
        None,
        OutputText("Hello"),
        [SAMPLES],
        ["Hello", 5],
        UserMessage.text("Hello"),
        {"type": "input_text", "text": "Hello"},
    ],
)
def test_what_cannot_be_said_is_refused_with_what_can(content: MessageContent) -> None:
    with pytest.raises(LocalProtocolError, match=r"^cannot send \w+ in a message; allowed: "):
        UserMessage.of(content)


def test_the_content_of_a_message_may_be_a_text_or_one_part() -> None:
    said, seen = InputText("Hello"), InputImage("data:,")
    assert UserMessage(content="Hello").content == (said,)
    assert UserMessage(content=seen).content == (seen,)
    assert UserMessage(content=["Hello", seen]).content == (said, seen)
    assert UserMessage(content=SAMPLES).content == (InputAudio(AudioData(SAMPLES)),)
    assert UserMessage(content=()).content == ()
    assert SystemMessage(content="Hello").content == (said,)
    assert SystemMessage(content=said).content == (said,)
    assert AssistantMessage(content="Hello").content == (OutputText("Hello"),)
    assert AssistantMessage(content=["Hello"]).content == (OutputText("Hello"),)


@pytest.mark.parametrize("make", [UserMessage, SystemMessage, AssistantMessage])
@pytest.mark.parametrize("wrap", [lambda part: part, lambda part: [part]])
def test_a_part_is_not_a_dictionary(
    make: Callable[..., object], wrap: Callable[[object], object]
) -> None:
    part = {"type": "input_text", "text": "Hello"}
    with pytest.raises(LocalProtocolError, match=r"^cannot send dict in a message; allowed: "):
        make(content=wrap(part))


@pytest.mark.parametrize(
    ("item", "item_id"),
    [
        (UserMessage.text("a"), "item_new"),
        (UserMessage.text("a", id="mine"), "mine"),
        (UnknownObject("gizmo", {}), None),
    ],
)
def test_an_item_without_an_id_gets_one(item: Item, item_id: str | None) -> None:
    assert with_id(item, lambda prefix: f"{prefix}new").id == item_id


@pytest.mark.parametrize(
    ("wanted", "change"),
    [
        (SessionConfig(), None),
        (SessionConfig.of(instructions="Be brief.", voice="marin"), None),
        (
            SessionConfig.of(
                turn_detection=ServerVad(threshold=0.5), input_format=AudioFormat.pcm()
            ),
            None,
        ),
        (SessionConfig.of(transcription=None), None),
        (SessionConfig.of(instructions="", voice="marin"), SessionConfig.of(instructions="")),
        (SessionConfig.of(turn_detection=None, speed=1.0), SessionConfig.of(turn_detection=None)),
        (
            SessionConfig.of(voice="cedar", instructions="Be brief."),
            SessionConfig.of(voice="cedar"),
        ),
    ],
)
def test_only_what_differs_is_left(wanted: SessionConfig, change: object) -> None:
    assert wanted.changes_from(PRESENT) == change


def test_everything_differs_from_what_was_never_reported() -> None:
    wanted = SessionConfig.of(voice="marin", instructions="Be brief.")
    assert wanted.changes_from(RealtimeSession()) == wanted


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "instructions": st.text(max_size=3),
            "voice": st.sampled_from(["marin", "cedar"]),
        },
    )
)
def test_what_is_left_asked_for_again_is_left_again(settings: dict[str, str]) -> None:
    wanted = SessionConfig.of(**settings)  # type: ignore[arg-type]  # of the right types, by name
    change = wanted.changes_from(PRESENT)
    assert change is None or change.changes_from(PRESENT) == change


def test_the_tools_of_a_response_have_names_that_the_service_takes() -> None:
    tools: list[Tool] = [FunctionTool(name="look"), McpTool(server_label="my server")]
    assert ResponseConfig.of(tools=iter(tools)).tools == tuple(tools)
    with pytest.raises(ToolDefinitionError, match="a tool cannot be called 'look up'"):
        ResponseConfig.of(tools=[FunctionTool(name="look up")])
    with pytest.raises(ToolDefinitionError) as refused:
        ResponseConfig.of(tools=[FunctionTool(name="look" * 1000)])
    assert len(str(refused.value)) < 300


def test_one_change_after_the_other_is_both_and_the_later_one_counts() -> None:
    first = SessionConfig.of(instructions="One.", voice="marin", turn_detection=None)
    second = SessionConfig.of(voice="cedar", turn_detection="semantic_vad", output_format="pcmu")
    assert first.updated_by(second) == SessionConfig.of(
        instructions="One.", voice="cedar", turn_detection="semantic_vad", output_format="pcmu"
    )
    assert second.updated_by(SessionConfig()) == second
    assert SessionConfig().updated_by(first) == first
