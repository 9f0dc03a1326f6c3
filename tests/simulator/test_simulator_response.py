"""The simulated server's responses: which events, in which order, with what inside."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from service_client import LOOK, TEXT_RESPONSE, Client, of_type, only, types, usage

from realtime_trio.audio import mulaw_encode, resample
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
    ContentPart,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDone,
    ConversationItemTruncate,
    FunctionCall,
    FunctionCallOutput,
    OutputAudio,
    OutputText,
    Response,
    ResponseAudioConfig,
    ResponseAudioOutputConfig,
    ResponseConfig,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseErrorDetail,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseStatusDetails,
    SessionConfig,
    SessionUpdate,
    UserMessage,
)
from realtime_trio.simulator import (
    Call,
    Reply,
    synthesize_speech,
)

CALL_OUTPUT = [
    "response.output_item.added",
    "conversation.item.added",
    "response.function_call_arguments.delta*",
    "response.function_call_arguments.done",
    "conversation.item.done",
    "response.output_item.done",
]


def test_a_text_response_has_its_events_in_order() -> None:
    client = Client(Reply.text("Hello, dear world!"), text=True)
    client.send(ConversationItemCreate(item=UserMessage.text("hi", id="question")))
    events = client.send(ResponseCreate(response=ResponseConfig(metadata={"a": "b"})))
    assert types(events) == TEXT_RESPONSE
    created = only(events, ResponseCreated).response
    assert created == Response(
        id=created.id,
        object="realtime.response",
        status="in_progress",
        conversation_id=created.conversation_id,
        metadata={"a": "b"},
        output_modalities=("text",),
        max_output_tokens="inf",
        audio=created.audio,
    )
    assert created.id.startswith("resp_")
    assert str(created.conversation_id).startswith("conv_")
    added = only(events, ResponseOutputItemAdded)
    assert added.item == AssistantMessage(id=added.item.id, status="in_progress", content=())
    assert only(events, ConversationItemAdded).previous_item_id == "question"
    assert only(events, ConversationItemDone).previous_item_id == "question"
    assert only(events, ConversationItemAdded).item == added.item
    assert only(events, ResponseContentPartAdded).part == ContentPart(type="text", text="")
    deltas = of_type(events, ResponseOutputTextDelta)
    assert [delta.delta for delta in deltas] == ["Hello", ",", " dear", " world", "!"]
    assert all(delta.obfuscation for delta in deltas)
    assert {(delta.response_id, delta.item_id) for delta in deltas} == {(created.id, added.item.id)}
    assert only(events, ResponseContentPartDone).part == ContentPart(
        type="text", text="Hello, dear world!"
    )
    item = AssistantMessage(
        id=added.item.id, status="completed", content=[OutputText("Hello, dear world!")]
    )
    assert (
        only(events, ResponseOutputItemDone).item == only(events, ConversationItemDone).item == item
    )
    done = only(events, ResponseDone).response
    assert done == attrs.evolve(created, status="completed", output=(item,), usage=done.usage)
    assert client.item(str(added.item.id)) == item


def test_a_spoken_response_has_its_events_in_order_and_its_transcript_ahead() -> None:
    samples = np.arange(24_000, dtype=np.int16)
    client = Client(Reply.speech("One two three four five six.", samples))
    events = client.send(ResponseCreate())
    flow = [event.type.removeprefix("response.") for event in events]
    assert [name for name in flow if not name.endswith("delta")] == [
        "created",
        "output_item.added",
        "conversation.item.added",
        "content_part.added",
        "output_audio.done",
        "output_audio_transcript.done",
        "content_part.done",
        "conversation.item.done",
        "output_item.done",
        "done",
        "rate_limits.updated",
    ]
    assert (
        "".join(name[len("output_audio")] for name in flow if name.endswith("delta"))
        == "___.__._._.."
    )
    assert (
        "".join(delta.delta for delta in of_type(events, ResponseOutputAudioTranscriptDelta))
        == "One two three four five six."
    )
    deltas = of_type(events, ResponseOutputAudioDelta)
    assert [len(delta.delta.samples) for delta in deltas] == [4800] * 5
    assert np.array_equal(np.concatenate([delta.delta.samples for delta in deltas]), samples)
    assert only(events, ResponseContentPartAdded).part == ContentPart(type="audio", transcript="")
    assert only(events, ResponseContentPartDone).part == ContentPart(
        type="audio", transcript="One two three four five six."
    )
    done = only(events, ResponseDone).response
    assert isinstance(done.output[0], AssistantMessage)
    assert done.output[0].content == (OutputAudio(transcript="One two three four five six."),)
    assert done.usage is not None
    assert done.usage.output_token_details is not None
    assert (
        done.usage.output_token_details.audio_tokens,
        done.usage.output_token_details.text_tokens,
    ) == (20, 7)


def test_a_text_is_spoken_and_speech_is_written_as_the_modality_wants_it() -> None:
    client = Client(Reply.text("Hi there."), Reply.speech("Hi there.", np.zeros(100, np.int16)))
    spoken = client.send(ResponseCreate())
    samples = np.concatenate(
        [delta.delta.samples for delta in of_type(spoken, ResponseOutputAudioDelta)]
    )
    assert np.array_equal(samples, synthesize_speech("Hi there."))
    assert (
        types(client.send(ResponseCreate(response=ResponseConfig(output_modalities=("text",)))))
        == TEXT_RESPONSE
    )


@pytest.mark.parametrize("codec", ["pcmu", "pcma"])
def test_speech_comes_in_the_format_of_the_session(codec: str) -> None:
    samples = (8000 * np.sin(np.arange(24_000) / 20)).astype(np.int16)
    client = Client(Reply.speech("One.", samples))
    client.send(
        SessionUpdate(session=SessionConfig.of(output_format=AudioFormat(type="audio/pcmu")))
    )
    asked = ResponseAudioConfig(
        output=ResponseAudioOutputConfig(format=AudioFormat(type=f"audio/{codec}"), voice="echo")
    )
    events = client.send(ResponseCreate(response=ResponseConfig(audio=asked)))
    data = b"".join(delta.delta.data for delta in of_type(events, ResponseOutputAudioDelta))
    assert len(data) == 8000
    assert (data == mulaw_encode(resample(samples, 24_000, 8_000))) == (codec == "pcmu")
    report = only(events, ResponseDone).response.audio
    assert report is not None
    assert report.output is not None
    assert (report.output.format, report.output.voice) == (
        AudioFormat(type=f"audio/{codec}"),
        "echo",
    )
    item_id = str(only(events, ResponseOutputItemAdded).item.id)
    assert client.item(item_id).content[0].audio.data == data
    client.send(ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=10))
    assert client.item(item_id).content[0].audio.data == data[:80]


def test_the_synthetic_voice_keeps_to_the_sessions_speed() -> None:
    client = Client(Reply.text("Hi there."))
    client.send(SessionUpdate(session=SessionConfig.of(speed=1.5)))
    events = client.send(ResponseCreate())
    size = sum(len(delta.delta.samples) for delta in of_type(events, ResponseOutputAudioDelta))
    assert size == len(synthesize_speech("Hi there.", speed=1.5))


def test_a_call_has_its_events_in_order() -> None:
    client = Client(Reply.calls(Call("get_weather", {"city": "Paris"}, call_id="call_mine")))
    events = client.send(ResponseCreate())
    assert types(events) == [
        "response.created",
        *CALL_OUTPUT,
        "response.done",
        "rate_limits.updated",
    ]
    added = only(events, ResponseOutputItemAdded)
    assert added.item == FunctionCall(
        id=added.item.id,
        status="in_progress",
        name="get_weather",
        call_id="call_mine",
        arguments="",
    )
    done = only(events, ResponseFunctionCallArgumentsDone)
    assert (done.name, done.call_id, done.arguments) == (
        "get_weather",
        "call_mine",
        '{"city":"Paris"}',
    )
    assert (
        "".join(delta.delta for delta in of_type(events, ResponseFunctionCallArgumentsDelta))
        == done.arguments
    )
    item = FunctionCall(
        id=added.item.id,
        status="completed",
        name="get_weather",
        call_id="call_mine",
        arguments='{"city":"Paris"}',
    )
    assert (
        only(events, ResponseOutputItemDone).item == only(events, ConversationItemDone).item == item
    )
    assert only(events, ResponseDone).response.output == (item,)
    answered = client.send(
        ConversationItemCreate(item=FunctionCallOutput(call_id="call_mine", output="21")),
        ResponseCreate(),
    )
    assert "The function returned: 21" in str(only(answered, ResponseDone).response.output)


def test_several_outputs_come_one_after_the_other() -> None:
    client = Client(Reply.text("Let me look.").then(LOOK).then(Reply.call("listen")), text=True)
    events = client.send(ResponseCreate())
    assert types(events) == [
        *TEXT_RESPONSE[:-2],
        *CALL_OUTPUT,
        *CALL_OUTPUT,
        "response.done",
        "rate_limits.updated",
    ]
    added = of_type(events, ResponseOutputItemAdded)
    assert [event.output_index for event in added] == [0, 1, 2]
    assert [event.item.id for event in added] == [
        item.id for item in only(events, ResponseDone).response.output
    ]
    calls = [
        item.call_id
        for item in only(events, ResponseDone).response.output
        if isinstance(item, FunctionCall)
    ]
    assert len({*calls}) == 2
    assert [len(call or "") for call in calls] == [21, 21]
    assert [event.previous_item_id for event in of_type(events, ConversationItemAdded)] == [
        None,
        added[0].item.id,
        added[1].item.id,
    ]


def test_a_failed_response_says_why_and_sends_no_error() -> None:
    client = Client(Reply.fail("inference_rate_limit_exceeded", "Slow down."))
    events = client.send(ResponseCreate())
    assert types(events) == ["response.created", "response.done", "rate_limits.updated"]
    response = only(events, ResponseDone).response
    assert response.status == "failed"
    assert response.status_details == ResponseStatusDetails(
        type="failed",
        error=ResponseErrorDetail(
            type="server_error", code="inference_rate_limit_exceeded", message="Slow down."
        ),
    )
    assert response.output == ()


def test_a_response_can_fail_after_it_said_something() -> None:
    client = Client(Reply.text("Well").then(Reply.fail(None, "Oops.")), text=True)
    response = only(client.send(ResponseCreate()), ResponseDone).response
    assert response.status == "failed"
    assert [getattr(item, "status", None) for item in response.output] == ["completed"]


@pytest.mark.parametrize(
    ("reply", "modality", "limit", "said"),
    [
        (Reply.text("one two three four"), "text", 2, [OutputText("one two")]),
        (
            Reply.speech("one two three four", np.zeros(4800, np.int16)),
            "audio",
            2,
            [OutputAudio(transcript="one two")],
        ),
        (
            Reply.speech("one", np.zeros(48_000, np.int16)),
            "audio",
            6,
            [OutputAudio(transcript="one")],
        ),
    ],
)
def test_a_response_that_gets_too_long_is_cut(
    reply: Reply, modality: Any, limit: int, said: list[Any]
) -> None:
    client = Client(reply.then(LOOK))
    config = ResponseConfig(output_modalities=(modality,), max_output_tokens=limit)
    events = client.send(ResponseCreate(response=config))
    response = only(events, ResponseDone).response
    assert response.status == "incomplete"
    assert response.status_details == ResponseStatusDetails(
        type="incomplete", reason="max_output_tokens"
    )
    assert response.max_output_tokens == limit
    (item,) = response.output
    assert isinstance(item, AssistantMessage)
    assert item == AssistantMessage(id=item.id, status="incomplete", content=said)
    assert usage(events).output_tokens <= limit


def test_a_call_that_gets_too_long_is_incomplete() -> None:
    client = Client(LOOK)
    client.send(SessionUpdate(session=SessionConfig(max_output_tokens=1)))
    (item,) = only(client.send(ResponseCreate()), ResponseDone).response.output
    assert isinstance(item, FunctionCall)
    assert (item.status, item.arguments) == ("incomplete", "{")


def test_an_empty_reply_is_an_empty_response() -> None:
    client = Client(Reply(), Reply.text(""), Reply.text(""))
    assert types(client.send(ResponseCreate())) == [
        "response.created",
        "response.done",
        "rate_limits.updated",
    ]
    assert "response.output_audio.done" in types(client.send(ResponseCreate()))
    client.send(SessionUpdate(session=SessionConfig(output_modalities=("text",))))
    assert types(client.send(ResponseCreate())) == [
        name for name in TEXT_RESPONSE if "delta" not in name
    ]
