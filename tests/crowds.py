"""Events of few items and responses, so that they meet: the worst that a server could say."""

from __future__ import annotations

import base64

from conversation_events import BROKEN, sound
from hypothesis import strategies as st
from strategies import INTEGERS, Palette, events

from realtime_trio.audio import AudioData
from realtime_trio.events import (
    SERVER_EVENTS,
    AssistantMessage,
    ContentPart,
    Event,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    InputText,
    McpCall,
    McpListTools,
    OutputAudio,
    OutputText,
    RateLimitsUpdated,
    Response,
    ResponseCancel,
    ResponseOutputAudioDelta,
    SystemMessage,
    UserMessage,
)

IDS = st.sampled_from(["item_1", "item_2", "item_3", "item_4"])

_ITEM_CLASSES = (
    UserMessage,
    SystemMessage,
    AssistantMessage,
    FunctionCall,
    FunctionCallOutput,
    McpListTools,
    McpCall,
)

SMALL = st.sampled_from(["", "a", "ab", "abc", "b"])

_BASE64 = st.binary(max_size=5).map(
    lambda data: AudioData.from_base64(base64.b64encode(data).decode())
)

_AUDIO = st.one_of(st.binary(max_size=5).map(AudioData), st.builds(lambda: BROKEN), _BASE64)

_MS = st.one_of(st.integers(-1, 3), INTEGERS)


def _crowded() -> Palette:
    """Few ids, so that events meet; short texts, so that they repeat each other."""
    fields: dict[tuple[type, str], st.SearchStrategy[object]] = {}
    for cls in SERVER_EVENTS:
        fields[cls, "event_id"] = st.just("e")
        fields[cls, "item_id"] = IDS
        fields[cls, "previous_item_id"] = st.one_of(st.none(), st.just("root"), IDS)
        fields[cls, "response_id"] = st.sampled_from(["resp_1", "resp_2", ""])
        fields[cls, "content_index"] = st.sampled_from([0, 0, 1])
        fields[cls, "delta"] = _AUDIO if cls is ResponseOutputAudioDelta else SMALL
        for name in ("text", "transcript", "arguments"):
            fields[cls, name] = SMALL
        for name in ("audio_start_ms", "audio_end_ms"):
            fields[cls, name] = _MS
    for item in _ITEM_CLASSES:
        fields[item, "id"] = IDS
        fields[item, "status"] = st.sampled_from(
            [None, "in_progress", "completed", "incomplete", "paused"]
        )
        fields[item, "arguments"] = SMALL
    for content in (InputText, InputAudio, OutputText, OutputAudio, ContentPart):
        fields[content, "text"] = SMALL
        fields[content, "transcript"] = st.one_of(st.none(), SMALL)
        fields[content, "audio"] = st.one_of(st.none(), _AUDIO)
    fields[Response, "id"] = st.sampled_from(["resp_1", "resp_2", ""])
    fields[Response, "conversation_id"] = st.sampled_from([None, "conv_1"])
    return Palette(fields=fields)


CROWDED = _crowded()

SAID: st.SearchStrategy[Event] = st.one_of(
    [events(cls, CROWDED) for cls in SERVER_EVENTS if cls is not RateLimitsUpdated]
)
"""What a server says."""

DONE: st.SearchStrategy[Event] = st.builds(
    lambda: InputAudioBufferAppend(audio=BROKEN)
) | st.sampled_from(
    [
        InputAudioBufferAppend(audio=sound(30)),
        InputAudioBufferAppend(audio=b"odd"),
        InputAudioBufferCommit(event_id="evt_1"),
        InputAudioBufferClear(),
        ResponseCancel(),
        ResponseCancel(response_id="resp_1"),
    ]
)
"""What a client does."""
