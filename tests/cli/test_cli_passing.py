"""What passes on a connection, as lines to read."""

from __future__ import annotations

from typing import Any

import pytest
from recordings import client, created, server

from realtime_trio._protocol.codec import Codec
from realtime_trio.audio import AudioData
from realtime_trio.cli.passing import Passing
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
    ConversationItemCreate,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemTruncate,
    DurationTranscriptionUsage,
    ErrorDetail,
    ErrorEvent,
    Event,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputText,
    RateLimitsUpdated,
    Response,
    ResponseCreate,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseUsage,
    SessionAudio,
    SessionAudioInput,
    TranslationSessionInputTranscriptDelta,
    TranslationSessionOutputAudioDelta,
    TranslationSessionOutputTranscriptDelta,
    UserMessage,
)
from realtime_trio.recording import WireRecord

AUDIO = AudioData(bytes(4800))  # a tenth of a second
AT: dict[str, Any] = {
    "event_id": "e",
    "response_id": "r",
    "item_id": "i",
    "output_index": 0,
    "content_index": 0,
}


def told(passing: Passing, *events: Event, side: str = "server") -> list[str]:
    records = server(*events) if side == "server" else client(*events)
    return [line.text for record in records for line in passing.apply(record)]


def test_what_is_said_is_one_line_with_its_length() -> None:
    passing = Passing()
    pieces = [
        ResponseOutputAudioTranscriptDelta(**AT, delta="It is "),
        ResponseOutputAudioDelta(**AT, delta=AUDIO),
        ResponseOutputAudioTranscriptDelta(**AT, delta="noon."),
        ResponseOutputAudioDelta(**AT, delta=AUDIO),
    ]
    assert told(passing, *pieces) == []
    done = ResponseOutputItemDone(
        event_id="e", response_id="r", output_index=0, item=AssistantMessage(id="i", content=())
    )
    assert told(passing, done) == ['<- "It is noon." (0.2 s)']
    assert told(passing, done) == ["<- response.output_item.done: message"]


def test_what_was_cut_short_is_told_when_the_response_ends() -> None:
    passing = Passing()
    told(passing, ResponseOutputTextDelta(**AT, delta="Well, I"))
    usage = ResponseUsage(total_tokens=5, input_tokens=2, output_tokens=3)
    done = ResponseDone(event_id="e", response=Response(id="r", status="cancelled", usage=usage))
    assert told(passing, done) == [
        '<- "Well, I..."',
        "<- response.done: cancelled, 2 tokens in, 3 out",
    ]
    done = ResponseDone(event_id="e", response=Response(id="r", status="completed"))
    assert told(passing, done) == ["<- response.done: completed"]


def test_audio_is_gathered_until_something_else_happens() -> None:
    passing = Passing()
    append = InputAudioBufferAppend(audio=AUDIO)
    assert told(passing, append, append, append, side="client") == []
    assert told(passing, InputAudioBufferCommit(), side="client") == [
        "-> input_audio_buffer.append x3 (0.3 s)"
    ]
    assert [line.text for line in passing.flush()] == ["-> input_audio_buffer.commit"]
    assert passing.flush() == []


def test_the_length_of_audio_depends_on_its_format() -> None:
    passing = Passing()
    told(
        passing,
        created(audio=SessionAudio(input=SessionAudioInput(format=AudioFormat(type="audio/pcmu")))),
    )
    passing.flush()
    told(passing, InputAudioBufferAppend(audio=AudioData(bytes(8000))), side="client")
    assert [line.text for line in passing.flush()] == ["-> input_audio_buffer.append (1.0 s)"]


def test_events_that_say_nothing_are_gathered_by_side() -> None:
    passing = Passing()
    limits = RateLimitsUpdated(event_id="e", rate_limits=())
    assert told(passing, created(), limits, limits) == []
    assert told(passing, ResponseCreate(), side="client") == [
        "<- session.created, rate_limits.updated x2"
    ]
    assert told(passing, InputAudioBufferCleared(event_id="e")) == ["-> response.create"]


def test_a_run_has_no_more_than_six_different_events() -> None:
    passing = Passing()
    lines: list[str] = []
    codec = Codec()
    for number in range(14):
        text = f'{{"type": "event.{number}"}}'
        record = WireRecord.of_message(0, "server", codec.decode(text), text)
        lines += [line.text for line in passing.apply(record)]
    assert [line.count("event.") for line in lines] == [6, 6]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (ConversationItemCreate(item=UserMessage.of("Hi there.")), '"Hi there."'),
        (
            ConversationItemCreate(
                item=UserMessage(content=(InputText(text="See:"), InputAudio(audio=AUDIO)))
            ),
            '"See:", input_audio',
        ),
        (ConversationItemCreate(item=UserMessage(content=())), '""'),
        (
            ConversationItemCreate(item=FunctionCallOutput(call_id="c", output='{"sunny":true}')),
            'output: {"sunny":true}',
        ),
        (
            ConversationItemCreate(item=FunctionCall(name="x", arguments="{}")),
            "conversation.item.create: function_call",
        ),
        (
            ConversationItemTruncate(item_id="i", content_index=0, audio_end_ms=1240),
            "conversation.item.truncate: 1.2 s were heard",
        ),
    ],
)
def test_what_the_client_says(event: Event, line: str) -> None:
    assert told(Passing(), event, side="client") == [f"-> {line}"]


def test_what_the_server_says_of_itself() -> None:
    passing = Passing()
    call = FunctionCall(id="i", name="get_weather", arguments='{"city":"Paris"}')
    done = ResponseOutputItemDone(event_id="e", response_id="r", output_index=0, item=call)
    assert told(passing, done) == ['<- get_weather({"city":"Paris"})']
    error = ErrorEvent(event_id="e", error=ErrorDetail(type="x", message="No\x1b[2J such model."))
    assert told(passing, error) == [r"<- error: No\x1b[2J such model."]
    heard = ConversationItemInputAudioTranscriptionCompleted(
        event_id="e",
        item_id="i",
        content_index=0,
        transcript="Good morning.",
        usage=DurationTranscriptionUsage(seconds=1.0),
    )
    piece = ConversationItemInputAudioTranscriptionDelta(
        event_id="e", item_id="i", content_index=0, delta="Good"
    )
    assert told(passing, piece, heard) == ['<- understood: "Good morning."']


def test_a_translation_is_told_sentence_by_sentence() -> None:
    passing = Passing()
    audio = TranslationSessionOutputAudioDelta(event_id="e", delta=AUDIO)

    def output(text: str) -> Event:
        return TranslationSessionOutputTranscriptDelta(event_id="e", delta=text)

    heard = TranslationSessionInputTranscriptDelta(event_id="e", delta="Guten Morgen.")
    assert told(passing, heard, audio, output("Good "), audio, output("morning.")) == [
        '<- understood: "Guten Morgen."',
        '<- "Good morning." (0.2 s)',
    ]
    long = told(passing, *[output(" and so on")] * 40)
    assert len(long) == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("nonsense", "something that is not an event: not JSON"),
        ('{"type": "session.created"}', "session.created: required field missing"),
        ('{"type": "' + "x" * 500 + '"}', None),
    ],
)
def test_what_cannot_be_read_says_so(text: str, line: str | None) -> None:
    passing = Passing()
    record = WireRecord.of_message(0, "server", Codec().decode(text), text)
    lines = [*passing.apply(record), *passing.flush()]
    assert len(lines) == 1
    assert len(lines[0].text) < 300
    assert line is None or lines[0].text.startswith(f"<- {line}")


def test_a_long_speech_is_cut_off() -> None:
    passing = Passing()
    told(passing, *[ResponseOutputTextDelta(**AT, delta="word " * 1000)] * 10)
    done = ResponseDone(event_id="e", response=Response(id="r", status="incomplete"))
    said, _ = told(passing, done)
    assert len(said) < 400
