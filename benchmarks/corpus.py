"""The events of one spoken turn, as a server sends them: the input of every decoding benchmark.

Seeded, so that every run and every peer sees the same bytes.  Proportions follow a ten-second
spoken answer with one function call before it: audio deltas of 4 to 20 kB, transcript and argument
deltas of a word each, the lifecycle of items and responses, one session.created.
"""

from __future__ import annotations

import base64
import json
import random
from typing import Final

_RATE_BYTES_PER_MS: Final = 48
_SENTENCE: Final = (
    "Right now in Paris it is twenty one degrees and mostly sunny, with a light breeze from the "
    "west; later this afternoon some clouds will move in, but it should stay dry until tomorrow "
    "evening, so a walk along the river is a good idea."
)


def voice_turn(seed: int = 1) -> list[str]:
    """Return the messages of the turn, in order, as JSON text."""
    rng = random.Random(seed)
    made = _Maker(rng)
    made.add("session.created", session=_session())
    made.add(
        "input_audio_buffer.speech_started", audio_start_ms=320, item_id="item_user00000000000001"
    )
    made.add(
        "input_audio_buffer.speech_stopped", audio_end_ms=2240, item_id="item_user00000000000001"
    )
    made.add(
        "input_audio_buffer.committed", previous_item_id=None, item_id="item_user00000000000001"
    )
    user = {
        "id": "item_user00000000000001",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": None}],
    }
    made.add("conversation.item.added", previous_item_id=None, item=user)
    made.add("conversation.item.done", previous_item_id=None, item=user)
    _call(made)
    _answer(made, rng)
    return made.messages


class _Maker:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.messages: list[str] = []

    def add(self, wire_type: str, **fields: object) -> None:
        event_id = "event_" + "".join(
            self._rng.choices(
                "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", k=21
            )
        )
        self.messages.append(
            json.dumps({"type": wire_type, "event_id": event_id, **fields}, separators=(",", ":"))
        )


def _session() -> dict[str, object]:
    pcm = {"type": "audio/pcm", "rate": 24000}
    vad = {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 200,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    }
    weather = {
        "type": "function",
        "name": "get_weather",
        "description": "Retrieves the weather for a place.",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string"}},
            "required": ["location"],
        },
    }
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_00000000000000000000A",
        "model": "gpt-realtime",
        "output_modalities": ["audio"],
        "instructions": (
            "You are a helpful, witty and friendly voice assistant. "
            "Talk quickly and keep answers short."
        ),
        "tools": [weather],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "expires_at": 1790000000,
        "audio": {
            "input": {
                "format": pcm,
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": vad,
            },
            "output": {"format": pcm, "voice": "marin", "speed": 1.0},
        },
        "include": None,
    }


def _response(
    response_id: str, status: str, output: list[object], usage: object
) -> dict[str, object]:
    return {
        "object": "realtime.response",
        "id": response_id,
        "status": status,
        "status_details": None,
        "output": output,
        "conversation_id": "conv_0000000000000000000001",
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"}},
        "usage": usage,
        "metadata": None,
    }


_USAGE: Final = {
    "total_tokens": 390,
    "input_tokens": 190,
    "output_tokens": 200,
    "input_token_details": {
        "text_tokens": 120,
        "audio_tokens": 70,
        "image_tokens": 0,
        "cached_tokens": 128,
        "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 64, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 50, "audio_tokens": 150},
}


def _call(made: _Maker) -> None:
    place = {
        "response_id": "resp_call000000000000001",
        "item_id": "item_call000000000000001",
        "output_index": 0,
    }
    item = {
        "id": place["item_id"],
        "type": "function_call",
        "name": "get_weather",
        "call_id": "call_0123456789abcdef",
    }
    started = {**item, "status": "in_progress", "arguments": ""}
    arguments = '{"location":"Paris, France"}'
    finished = {**item, "status": "completed", "arguments": arguments}
    made.add(
        "response.created", response=_response(str(place["response_id"]), "in_progress", [], None)
    )
    made.add(
        "response.output_item.added", response_id=place["response_id"], output_index=0, item=started
    )
    made.add("conversation.item.added", previous_item_id="item_user00000000000001", item=started)
    for start in range(0, len(arguments), 4):
        made.add(
            "response.function_call_arguments.delta",
            **place,
            call_id=item["call_id"],
            delta=arguments[start : start + 4],
            obfuscation="aZ3kQ9xYp1",
        )
    made.add(
        "response.function_call_arguments.done",
        **place,
        call_id=item["call_id"],
        name=item["name"],
        arguments=arguments,
    )
    made.add("conversation.item.done", previous_item_id="item_user00000000000001", item=finished)
    made.add(
        "response.output_item.done", response_id=place["response_id"], output_index=0, item=finished
    )
    made.add(
        "response.done",
        response=_response(str(place["response_id"]), "completed", [finished], _USAGE),
    )
    limits = [{"name": "tokens", "limit": 40000, "remaining": 39610, "reset_seconds": 0.585}]
    made.add("rate_limits.updated", rate_limits=limits)


def _answer(made: _Maker, rng: random.Random) -> None:
    place = {
        "response_id": "resp_answer0000000000001",
        "item_id": "item_answer0000000000001",
        "output_index": 0,
        "content_index": 0,
    }
    item = {"id": place["item_id"], "type": "message", "role": "assistant"}
    started = {**item, "status": "in_progress", "content": []}
    finished = {
        **item,
        "status": "completed",
        "content": [{"type": "output_audio", "transcript": _SENTENCE}],
    }
    made.add(
        "response.created", response=_response(str(place["response_id"]), "in_progress", [], None)
    )
    made.add(
        "response.output_item.added", response_id=place["response_id"], output_index=0, item=started
    )
    made.add("conversation.item.added", previous_item_id="item_call000000000000001", item=started)
    made.add("response.content_part.added", **place, part={"type": "audio", "transcript": ""})
    words = _SENTENCE.split(" ")
    remaining_ms = 10_000
    while remaining_ms > 0 or words:
        if words:
            made.add(
                "response.output_audio_transcript.delta",
                **place,
                delta=" " + words.pop(0),
                obfuscation="kQ9xYp1aZ3"[: rng.randrange(10)],
            )
        if remaining_ms > 0:
            ms = min(remaining_ms, rng.randrange(62, 312))  # 4 to 20 kB on the wire
            remaining_ms -= ms
            audio = base64.b64encode(rng.randbytes(ms * _RATE_BYTES_PER_MS)).decode()
            made.add("response.output_audio.delta", **place, delta=audio)
    made.add("response.output_audio.done", **place)
    made.add("response.output_audio_transcript.done", **place, transcript=_SENTENCE)
    made.add("response.content_part.done", **place, part={"type": "audio", "transcript": _SENTENCE})
    made.add("conversation.item.done", previous_item_id="item_call000000000000001", item=finished)
    made.add(
        "response.output_item.done", response_id=place["response_id"], output_index=0, item=finished
    )
    made.add(
        "response.done",
        response=_response(str(place["response_id"]), "completed", [finished], _USAGE),
    )


def is_audio(message: str) -> bool:
    """Whether a message of the corpus is an audio delta."""
    return message.startswith('{"type":"response.output_audio.delta"')
