"""The same events in both spellings of the protocol."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

PCM = {"type": "audio/pcm", "rate": 24_000}
TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "Look out of the window.",
    "parameters": {"type": "object"},
}

GA_SESSION: Json = {
    "type": "realtime",
    "model": "gpt-realtime",
    "instructions": "Be brief.",
    "output_modalities": ["audio"],
    "audio": {
        "input": {
            "format": PCM,
            "transcription": {"model": "whisper-1", "language": "de", "prompt": "names"},
            "noise_reduction": {"type": "near_field"},
            "turn_detection": {"type": "server_vad", "threshold": 0.5, "idle_timeout_ms": 6000},
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "marin", "speed": 1.25},
    },
    "tools": [TOOL],
    "tool_choice": "auto",
    "tracing": "auto",
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
    "prompt": {"id": "pmpt_1"},
    "max_output_tokens": 400,
}
BETA_SESSION: Json = {
    "model": "gpt-realtime",
    "instructions": "Be brief.",
    "modalities": ["audio", "text"],
    "input_audio_format": "pcm16",
    "input_audio_transcription": {"model": "whisper-1", "language": "de", "prompt": "names"},
    "input_audio_noise_reduction": {"type": "near_field"},
    "turn_detection": {"type": "server_vad", "threshold": 0.5, "idle_timeout_ms": 6000},
    "output_audio_format": "g711_ulaw",
    "voice": "marin",
    "speed": 1.25,
    "tools": [TOOL],
    "tool_choice": "auto",
    "tracing": "auto",
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
    "prompt": {"id": "pmpt_1"},
    "max_response_output_tokens": 400,
}
GA_TRANSCRIPTION: Json = {
    "type": "transcription",
    "audio": {
        "input": {
            "format": {"type": "audio/pcma"},
            "transcription": {"model": "gpt-4o-transcribe", "keywords": ["trio"], "delay": "low"},
            "noise_reduction": None,
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
        }
    },
    "include": ["item.input_audio_transcription.logprobs"],
}
BETA_TRANSCRIPTION: Json = {
    "input_audio_format": "g711_alaw",
    "input_audio_transcription": {
        "model": "gpt-4o-transcribe",
        "keywords": ["trio"],
        "delay": "low",
    },
    "input_audio_noise_reduction": None,
    "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
    "include": ["item.input_audio_transcription.logprobs"],
}
GA_ITEM: Json = {
    "id": "item_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [
        {"type": "output_text", "text": "Hello."},
        {"type": "output_audio", "transcript": "Hello."},
    ],
}
BETA_ITEM: Json = {
    **GA_ITEM,
    "content": [{"type": "text", "text": "Hello."}, {"type": "audio", "transcript": "Hello."}],
}
USER_ITEM: Json = {
    "type": "message",
    "role": "user",
    "content": [{"type": "input_text", "text": "Hi"}, {"type": "input_audio", "audio": ""}],
}
CALL_ITEM: Json = {
    "type": "function_call",
    "name": "get_weather",
    "call_id": "call_1",
    "arguments": "{}",
}
GA_RESPONSE: Json = {
    "id": "resp_1",
    "object": "realtime.response",
    "status": "completed",
    "output": [GA_ITEM, CALL_ITEM],
    "output_modalities": ["audio"],
    "audio": {"output": {"format": PCM, "voice": "alloy"}},
    "max_output_tokens": "inf",
    "metadata": {"topic": "weather"},
    "usage": None,
}
BETA_RESPONSE: Json = {
    "id": "resp_1",
    "object": "realtime.response",
    "status": "completed",
    "output": [BETA_ITEM, CALL_ITEM],
    "modalities": ["audio", "text"],
    "output_audio_format": "pcm16",
    "voice": "alloy",
    "max_output_tokens": "inf",
    "metadata": {"topic": "weather"},
    "usage": None,
}
GA_CONFIG: Json = {
    "output_modalities": ["text"],
    "instructions": "Say hello.",
    "audio": {"output": {"voice": {"id": "voice_1"}}},
    "max_output_tokens": 50,
    "conversation": "none",
    "input": [USER_ITEM, GA_ITEM, {"type": "item_reference", "id": "item_2"}],
}
BETA_CONFIG: Json = {
    "modalities": ["text"],
    "instructions": "Say hello.",
    "voice": {"id": "voice_1"},
    "max_output_tokens": 50,
    "conversation": "none",
    "input": [USER_ITEM, BETA_ITEM, {"type": "item_reference", "id": "item_2"}],
}
CLOCK: Json = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}

CLIENT_PAIRS: list[tuple[Json, Json]] = [  # beta, GA
    (
        {"type": "session.update", "session": BETA_SESSION},
        {"type": "session.update", "session": GA_SESSION},
    ),
    (
        {"type": "transcription_session.update", "session": BETA_TRANSCRIPTION},
        {"type": "session.update", "session": GA_TRANSCRIPTION},
    ),
    (
        {
            "type": "conversation.item.create",
            "event_id": "e1",
            "previous_item_id": "root",
            "item": BETA_ITEM,
        },
        {
            "type": "conversation.item.create",
            "event_id": "e1",
            "previous_item_id": "root",
            "item": GA_ITEM,
        },
    ),
    (
        {"type": "conversation.item.create", "item": USER_ITEM},
        {"type": "conversation.item.create", "item": USER_ITEM},
    ),
    (
        {"type": "response.create", "response": BETA_CONFIG},
        {"type": "response.create", "response": GA_CONFIG},
    ),
    ({"type": "response.create"}, {"type": "response.create"}),
    (
        {"type": "input_audio_buffer.append", "audio": "AAAA"},
        {"type": "input_audio_buffer.append", "audio": "AAAA"},
    ),
]
SERVER_PAIRS: list[tuple[Json, Json]] = [  # beta, GA
    (
        {"type": "session.created", "session": {**BETA_SESSION, "id": "sess_1", "include": None}},
        {"type": "session.created", "session": {**GA_SESSION, "id": "sess_1", "include": None}},
    ),
    (
        {"type": "session.updated", "session": BETA_SESSION},
        {"type": "session.updated", "session": GA_SESSION},
    ),
    (
        {"type": "transcription_session.created", "session": BETA_TRANSCRIPTION},
        {"type": "session.created", "session": GA_TRANSCRIPTION},
    ),
    (
        {"type": "transcription_session.updated", "session": BETA_TRANSCRIPTION},
        {"type": "session.updated", "session": GA_TRANSCRIPTION},
    ),
    (
        {"type": "conversation.created", "conversation": {"id": "c"}},
        {"type": "conversation.created", "conversation": {"id": "c"}},
    ),
    (
        {"type": "conversation.item.created", "item": BETA_ITEM},
        {"type": "conversation.item.created", "item": GA_ITEM},
    ),
    (
        {"type": "conversation.item.retrieved", "item": BETA_ITEM},
        {"type": "conversation.item.retrieved", "item": GA_ITEM},
    ),
    (
        {"type": "response.created", "response": BETA_RESPONSE},
        {"type": "response.created", "response": GA_RESPONSE},
    ),
    (
        {"type": "response.done", "response": BETA_RESPONSE},
        {"type": "response.done", "response": GA_RESPONSE},
    ),
    (
        {"type": "response.output_item.added", "output_index": 0, "item": BETA_ITEM},
        {"type": "response.output_item.added", "output_index": 0, "item": GA_ITEM},
    ),
    (
        {"type": "response.output_item.done", "item": BETA_ITEM},
        {"type": "response.output_item.done", "item": GA_ITEM},
    ),
    (
        {"type": "response.output_item.done", "item": CALL_ITEM},
        {"type": "response.output_item.done", "item": CALL_ITEM},
    ),
    (
        {
            "type": "response.content_part.added",
            **CLOCK,
            "part": {"type": "audio", "transcript": ""},
        },
        {
            "type": "response.content_part.added",
            **CLOCK,
            "part": {"type": "audio", "transcript": ""},
        },
    ),
    (
        {"type": "response.text.delta", **CLOCK, "delta": "He"},
        {"type": "response.output_text.delta", **CLOCK, "delta": "He"},
    ),
    (
        {"type": "response.text.done", **CLOCK, "text": "Hello."},
        {"type": "response.output_text.done", **CLOCK, "text": "Hello."},
    ),
    (
        {"type": "response.audio.delta", **CLOCK, "delta": "AAA="},
        {"type": "response.output_audio.delta", **CLOCK, "delta": "AAA="},
    ),
    ({"type": "response.audio.done", **CLOCK}, {"type": "response.output_audio.done", **CLOCK}),
    (
        {"type": "response.audio_transcript.delta", **CLOCK, "delta": "He"},
        {"type": "response.output_audio_transcript.delta", **CLOCK, "delta": "He"},
    ),
    (
        {"type": "response.audio_transcript.done", **CLOCK, "transcript": "Hello."},
        {"type": "response.output_audio_transcript.done", **CLOCK, "transcript": "Hello."},
    ),
    (
        {"type": "response.function_call_arguments.done", "call_id": "call_1", "arguments": "{}"},
        {
            "type": "response.function_call_arguments.done",
            "call_id": "call_1",
            "arguments": "{}",
            "name": "",
        },
    ),
    (
        {
            "type": "response.function_call_arguments.done",
            "call_id": "call_1",
            "arguments": "{}",
            "name": "get_weather",
        },
        {
            "type": "response.function_call_arguments.done",
            "call_id": "call_1",
            "arguments": "{}",
            "name": "get_weather",
        },
    ),
    (
        {
            "type": "conversation.item.input_audio_transcription.completed",
            "item_id": "item_1",
            "content_index": 0,
            "transcript": "Hi",
        },
        {
            "type": "conversation.item.input_audio_transcription.completed",
            "item_id": "item_1",
            "content_index": 0,
            "transcript": "Hi",
            "usage": {},
        },
    ),
    (
        {"type": "error", "error": {"type": "x", "message": "y"}},
        {"type": "error", "error": {"type": "x", "message": "y"}},
    ),
    (
        {"type": "some.future.event", "item": BETA_ITEM},
        {"type": "some.future.event", "item": BETA_ITEM},
    ),
]
