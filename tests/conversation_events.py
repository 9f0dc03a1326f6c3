"""What servers say of a conversation, in short, and what is made of it; for tests."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.utility_events import UtilityEvent
from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
    ContentPart,
    ConversationItemAdded,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemInputAudioTranscriptionSegment,
    ConversationItemRetrieved,
    ConversationItemTruncated,
    DurationTranscriptionUsage,
    Event,
    FunctionCall,
    InputAudio,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputText,
    Item,
    OutputAudio,
    OutputText,
    RealtimeSession,
    Response,
    ResponseAudio,
    ResponseAudioOutput,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    ServerVad,
    SessionAudio,
    SessionAudioInput,
    SessionAudioOutput,
    TranscriptionErrorDetail,
    UserMessage,
)

BROKEN = AudioData.from_base64("not base64!!")


# --- what a server says, in short -----------------------------------------------------------------


def user(item_id: str, *content: str) -> UserMessage:
    return UserMessage(
        id=item_id, status="completed", content=[InputText(text) for text in content]
    )


def heard(item_id: str, transcript: str | None = None) -> UserMessage:
    return UserMessage(id=item_id, status="completed", content=[InputAudio(None, transcript)])


def assistant(
    item_id: str, *content: OutputText | OutputAudio, status: str | None = "in_progress"
) -> AssistantMessage:
    return AssistantMessage(id=item_id, status=status, content=content)


def call(
    item_id: str,
    arguments: str = "",
    *,
    name: str = "f",
    call_id: str | None = "call_1",
    status: str | None = "in_progress",
) -> FunctionCall:
    return FunctionCall(id=item_id, name=name, call_id=call_id, arguments=arguments, status=status)


def added(item: Item, after: str | None = None) -> ConversationItemAdded:
    return ConversationItemAdded(event_id="e", item=item, previous_item_id=after)


def done(item: Item, after: str | None = None) -> ConversationItemDone:
    return ConversationItemDone(event_id="e", item=item, previous_item_id=after)


def created(
    response_id: str = "resp_1",
    conversation_id: str | None = "conv_1",
    encoding: AudioFormat | None = None,
) -> ResponseCreated:
    audio = None if encoding is None else ResponseAudio(output=ResponseAudioOutput(format=encoding))
    return ResponseCreated(
        event_id="e",
        response=Response(
            id=response_id, status="in_progress", conversation_id=conversation_id, audio=audio
        ),
    )


def ended(
    response_id: str = "resp_1",
    status: str = "completed",
    output: Iterable[Item] = (),
    conversation_id: str | None = "conv_1",
) -> ResponseDone:
    return ResponseDone(
        event_id="e",
        response=Response(
            id=response_id, status=status, output=tuple(output), conversation_id=conversation_id
        ),
    )


def output_added(item: Item, response_id: str = "resp_1") -> ResponseOutputItemAdded:
    return ResponseOutputItemAdded(event_id="e", response_id=response_id, output_index=0, item=item)


def output_done(item: Item, response_id: str = "resp_1") -> ResponseOutputItemDone:
    return ResponseOutputItemDone(event_id="e", response_id=response_id, output_index=0, item=item)


def text(
    delta: str, item_id: str = "item_1", response_id: str = "resp_1", index: int = 0
) -> ResponseOutputTextDelta:
    return ResponseOutputTextDelta(
        event_id="e",
        response_id=response_id,
        item_id=item_id,
        output_index=0,
        content_index=index,
        delta=delta,
    )


def text_done(
    whole: str, item_id: str = "item_1", response_id: str = "resp_1"
) -> ResponseOutputTextDone:
    return ResponseOutputTextDone(
        event_id="e",
        response_id=response_id,
        item_id=item_id,
        output_index=0,
        content_index=0,
        text=whole,
    )


def words(
    delta: str, item_id: str = "item_1", response_id: str = "resp_1", index: int = 0
) -> ResponseOutputAudioTranscriptDelta:
    return ResponseOutputAudioTranscriptDelta(
        event_id="e",
        response_id=response_id,
        item_id=item_id,
        output_index=0,
        content_index=index,
        delta=delta,
    )


def speech(
    audio: AudioData | NDArray[np.int16] | bytes,
    item_id: str = "item_1",
    response_id: str = "resp_1",
    index: int = 0,
) -> ResponseOutputAudioDelta:
    return ResponseOutputAudioDelta(
        event_id="e",
        response_id=response_id,
        item_id=item_id,
        output_index=0,
        content_index=index,
        delta=audio,
    )


def part(
    cls: type[ResponseContentPartAdded] | type[ResponseContentPartDone],
    content: ContentPart,
    item_id: str = "item_1",
) -> ResponseContentPartAdded | ResponseContentPartDone:
    return cls(
        event_id="e",
        response_id="resp_1",
        item_id=item_id,
        output_index=0,
        content_index=0,
        part=content,
    )


def arguments(
    delta: str, item_id: str = "item_1", call_id: str = "call_1"
) -> ResponseFunctionCallArgumentsDelta:
    return ResponseFunctionCallArgumentsDelta(
        event_id="e",
        response_id="resp_1",
        item_id=item_id,
        output_index=0,
        call_id=call_id,
        delta=delta,
    )


def transcript(
    delta: str, item_id: str = "item_1", index: int | None = 0
) -> ConversationItemInputAudioTranscriptionDelta:
    return ConversationItemInputAudioTranscriptionDelta(
        event_id="e", item_id=item_id, content_index=index, delta=delta
    )


def transcribed(
    whole: str, item_id: str = "item_1"
) -> ConversationItemInputAudioTranscriptionCompleted:
    usage = DurationTranscriptionUsage(seconds=1.0)
    return ConversationItemInputAudioTranscriptionCompleted(
        event_id="e", item_id=item_id, content_index=0, transcript=whole, usage=usage
    )


def untranscribed(item_id: str = "item_1") -> ConversationItemInputAudioTranscriptionFailed:
    error = TranscriptionErrorDetail(code="audio_unintelligible")
    return ConversationItemInputAudioTranscriptionFailed(
        event_id="e", item_id=item_id, content_index=0, error=error
    )


def segment(
    what: str, speaker: str, segment_id: str = "seg_1", item_id: str = "item_1"
) -> ConversationItemInputAudioTranscriptionSegment:
    return ConversationItemInputAudioTranscriptionSegment(
        event_id="e",
        item_id=item_id,
        content_index=0,
        text=what,
        id=segment_id,
        speaker=speaker,
        start=0.0,
        end=1.0,
    )


def truncated(ms: int, item_id: str = "item_1", index: int = 0) -> ConversationItemTruncated:
    return ConversationItemTruncated(
        event_id="e", item_id=item_id, content_index=index, audio_end_ms=ms
    )


def deleted(item_id: str = "item_1") -> ConversationItemDeleted:
    return ConversationItemDeleted(event_id="e", item_id=item_id)


def retrieved(item: Item) -> ConversationItemRetrieved:
    return ConversationItemRetrieved(event_id="e", item=item)


def committed(item_id: str = "item_1", after: str | None = None) -> InputAudioBufferCommitted:
    return InputAudioBufferCommitted(event_id="e", item_id=item_id, previous_item_id=after)


def started(ms: int, item_id: str = "item_1") -> InputAudioBufferSpeechStarted:
    return InputAudioBufferSpeechStarted(event_id="e", audio_start_ms=ms, item_id=item_id)


def session(
    input_format: AudioFormat | None = None,
    output_format: AudioFormat | None = None,
    turn_detection: ServerVad | None = None,
) -> RealtimeSession:
    heard_as = SessionAudioInput(format=input_format, turn_detection=turn_detection)
    return RealtimeSession(
        audio=SessionAudio(input=heard_as, output=SessionAudioOutput(format=output_format))
    )


def sound(ms: int, start: int = 0) -> NDArray[np.int16]:
    """24 samples a millisecond, each the millisecond it belongs to."""
    return np.repeat(np.arange(start, start + ms, dtype=np.int16), 24)


# --- and what is made of it -----------------------------------------------------------------------


def tell(conversation: Conversation, *said: Event) -> list[UtilityEvent]:
    return [told for event in said for told in conversation.apply(event)]


def names(told: Iterable[UtilityEvent]) -> list[str]:
    return [type(event).__name__ for event in told]


def item_of(conversation: Conversation, item_id: str = "item_1") -> ConversationItem:
    item = conversation.get(item_id)
    assert item is not None
    return item


def ids(conversation: Conversation) -> list[str]:
    return [item.id for item in conversation.items]


def answering(item: Item | None = None, conversation: Conversation | None = None) -> Conversation:
    """A response is under way and has begun an item."""
    conversation = Conversation() if conversation is None else conversation
    item = item or assistant("item_1")
    tell(conversation, created(), output_added(item), added(item))
    return conversation
