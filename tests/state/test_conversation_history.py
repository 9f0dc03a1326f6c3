"""What of a conversation can be told again, in which order, and what is said to be missing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st
from strategies import JSON_VALUES, any_server_event

from realtime_trio._protocol.codec import Codec
from realtime_trio._state.conversation.history import Replay, history_events
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio.events import (
    AssistantMessage,
    ConversationItemAdded,
    ConversationItemInputAudioTranscriptionCompleted,
    DurationTranscriptionUsage,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpApprovalRequest,
    OutputAudio,
    OutputText,
    ServerEvent,
    SystemMessage,
    UnknownObject,
    UserMessage,
)

IMAGE = "data:image/png;base64,AA=="


def talk(*items: Item) -> Conversation:
    conversation = Conversation()
    previous = None
    for item in items:
        conversation.apply(
            ConversationItemAdded(event_id="e", item=item, previous_item_id=previous)
        )
        previous = item.id
    return conversation


def again(conversation: Conversation) -> Replay:
    """What a program does that stores a history in between."""
    return history_events(json.loads(json.dumps(conversation.export())))


def items_of(replay: Replay) -> list[Item]:
    return [event.item for event in replay.events]


def reasons(replay: Replay) -> list[tuple[int, str]]:
    return [(omission.index, omission.reason) for omission in replay.omitted]


def test_a_conversation_is_exported_as_the_protocol_writes_it() -> None:
    conversation = talk(
        SystemMessage.text("be nice", id="item_0"),
        UserMessage(
            id="item_1",
            content=[InputText("look"), InputImage(IMAGE, "low"), InputAudio(None, "here")],
        ),
        AssistantMessage(
            id="item_2", status="completed", content=[OutputText("yes"), OutputAudio(None, "I see")]
        ),
        FunctionCall(id="item_3", status="completed", name="f", call_id="call_1", arguments="{}"),
        FunctionCallOutput(id="item_4", call_id="call_1", output="1"),
    )
    assert conversation.export() == [
        {
            "id": "item_0",
            "type": "message",
            "status": "completed",
            "role": "system",
            "content": [{"type": "input_text", "text": "be nice"}],
        },
        {
            "id": "item_1",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "look"},
                {"type": "input_image", "image_url": IMAGE, "detail": "low"},
                {"type": "input_audio", "transcript": "here"},
            ],
        },
        {
            "id": "item_2",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "yes"},
                {"type": "output_audio", "transcript": "I see"},
            ],
        },
        {
            "id": "item_3",
            "type": "function_call",
            "status": "completed",
            "name": "f",
            "call_id": "call_1",
            "arguments": "{}",
        },
        {"id": "item_4", "type": "function_call_output", "call_id": "call_1", "output": "1"},
    ]


def test_speech_is_replayed_as_text_and_items_keep_their_ids_and_order() -> None:
    replay = again(
        talk(
            SystemMessage.text("be nice", id="item_0"),
            UserMessage(
                id="item_1",
                content=[InputText("look"), InputImage(IMAGE), InputAudio(None, "here")],
            ),
            AssistantMessage(
                id="item_2",
                status="completed",
                content=[OutputText("yes"), OutputAudio(None, "I see")],
            ),
            FunctionCall(
                id="item_3", status="completed", name="f", call_id="call_1", arguments="{}"
            ),
            FunctionCallOutput(id="item_4", call_id="call_1", output="1"),
        )
    )
    assert items_of(replay) == [
        SystemMessage.text("be nice", id="item_0"),
        UserMessage(id="item_1", content=[InputText("look"), InputImage(IMAGE), InputText("here")]),
        AssistantMessage(id="item_2", content=[OutputText("yes"), OutputText("I see")]),
        FunctionCall(id="item_3", name="f", call_id="call_1", arguments="{}"),
        FunctionCallOutput(id="item_4", call_id="call_1", output="1"),
    ]
    assert replay.omitted == ()


def test_a_call_is_replayed_before_its_output_whatever_the_order_was() -> None:
    replay = history_events(
        [
            {"type": "function_call_output", "call_id": "call_1", "output": "1"},
            {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
        ]
    )
    assert [item.type for item in items_of(replay)] == ["function_call", "function_call_output"]
    assert replay.omitted == ()


def test_calls_without_an_output_and_outputs_without_a_call_are_left_out() -> None:
    replay = history_events(
        [
            {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_2", "output": "1"},
        ]
    )
    assert replay.events == ()
    assert reasons(replay) == [
        (0, "the call was never answered"),
        (1, "there is no call that it answers"),
    ]


def test_of_calls_and_outputs_with_the_same_call_id_the_first_are_replayed() -> None:
    call = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "call_1", "output": "1"}
    replay = history_events([call, {**call, "name": "g"}, output, {**output, "output": "2"}])
    assert items_of(replay) == [
        FunctionCall(name="f", call_id="call_1", arguments="{}"),
        FunctionCallOutput(call_id="call_1", output="1"),
    ]
    assert reasons(replay) == [
        (1, "an earlier call has the same call_id"),
        (3, "the call was answered before"),
    ]


def test_speech_without_a_transcript_is_left_out() -> None:
    replay = again(
        talk(UserMessage(id="item_1", content=[InputAudio()]), UserMessage.text("hi", id="item_2"))
    )
    assert items_of(replay) == [UserMessage.text("hi", id="item_2")]
    assert [(omission.index, omission.item_id, omission.reason) for omission in replay.omitted] == [
        (0, "item_1", "it has no words")
    ]


def test_a_transcription_without_words_is_left_out() -> None:
    conversation = talk(UserMessage(id="item_1", content=[InputAudio()]))
    usage = DurationTranscriptionUsage(seconds=1.0)
    conversation.apply(
        ConversationItemInputAudioTranscriptionCompleted(
            event_id="e", item_id="item_1", content_index=0, transcript="", usage=usage
        )
    )
    assert reasons(again(conversation)) == [(0, "it has no words")]


def test_a_message_of_which_only_a_part_has_words_is_replayed_and_the_loss_is_said() -> None:
    replay = again(talk(UserMessage(id="item_1", content=[InputText("hear this"), InputAudio()])))
    assert items_of(replay) == [UserMessage.text("hear this", id="item_1")]
    assert reasons(replay) == [(0, "a part of it has no words")]


def test_what_only_the_service_makes_is_exported_and_not_replayed() -> None:
    conversation = talk(
        McpApprovalRequest(id="item_1", server_label="s", name="f", arguments="{}"),
        UnknownObject("hologram", {"type": "hologram", "id": "item_2", "depth": 3}),
    )
    assert conversation.export() == [
        {
            "type": "mcp_approval_request",
            "id": "item_1",
            "server_label": "s",
            "name": "f",
            "arguments": "{}",
        },
        {"type": "hologram", "id": "item_2", "depth": 3},
    ]
    assert reasons(again(conversation)) == [
        (index, "only the service makes items of this type") for index in (0, 1)
    ]


def test_an_unknown_part_is_exported_as_it_came() -> None:
    smell = UnknownObject("smell", {"type": "smell", "note": "smoke"})
    conversation = talk(UserMessage(id="item_1", content=[smell]))
    assert conversation.export()[0]["content"] == [{"type": "smell", "note": "smoke"}]
    assert reasons(again(conversation)) == [(0, "it has no words")]


def test_ids_that_would_be_refused_are_left_to_the_server() -> None:
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
    replay = history_events(
        [
            {**message, "id": "x" * 33},
            {**message, "id": "same"},
            {**message, "id": "same"},
            {**message, "id": ""},
        ]
    )
    assert [item.id for item in items_of(replay)] == [None, "same", None, None]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("hello", "it is not an item"),
        ({}, "only the service makes items of this type"),
        ({"type": "message", "role": "user", "content": "hello"}, "it has no words"),
        ({"type": "message", "role": "user", "content": ["hello"]}, "it has no words"),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_image"}]},
            "it has no words",
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": 3}]},
            "it has no words",
        ),
        ({"type": "message", "content": [{"type": "text", "text": "hi"}]}, "nobody says it"),
        (
            {
                "type": "message",
                "role": "system",
                "content": [{"type": "input_image", "image_url": IMAGE}],
            },
            "nobody says it",
        ),
        (
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "input_image", "image_url": IMAGE}],
            },
            "nobody says it",
        ),
        ({"type": "function_call", "name": "f"}, "it has no call_id or no name"),
        ({"type": "function_call_output", "call_id": 3}, "it has no call_id or no name"),
    ],
)
def test_what_is_malformed_is_left_out(entry: object, reason: str) -> None:
    assert reasons(history_events([entry])) == [(0, reason)]


@given(st.lists(JSON_VALUES, max_size=4))
def test_no_history_makes_it_raise(history: list[object]) -> None:
    replay = history_events(history)
    assert replay.events == ()
    assert [omission.index for omission in replay.omitted] == list(range(len(history)))


@given(st.lists(any_server_event(), max_size=8))
def test_whatever_the_server_said_can_be_written_read_and_sent(events: list[ServerEvent]) -> None:
    conversation = Conversation()
    for event in events:
        conversation.apply(event)
    replay = again(conversation)
    left_out = {omission.index for omission in replay.omitted}
    assert len(conversation.items) - len(left_out) <= len(replay.events)
    for create in replay.events:
        Codec().encode(create)


@pytest.mark.parametrize("history", ["text", b"bytes", {"type": "message"}, 7])
def test_what_is_no_list_of_entries_is_no_history(history: object) -> None:
    with pytest.raises(TypeError, match="history must be a list of entries, not"):
        history_events(history)  # type: ignore[arg-type]
