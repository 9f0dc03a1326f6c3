"""What the service of the wire benchmarks sends, prepared as WebSocket frames.

A *flow* is everything that one connection gets once it has asked to begin:

- a flood, as fast as the client takes it: `mix` (whole spoken turns of the corpus), `control` (the
  same without audio) or `audio` (one long answer, nearly all of it audio deltas);
- a pace, event by event in real time: `A` is 25 audio deltas of 40 ms and 25 words of transcript a
  second, `B` is 50 audio deltas of 20 ms a second;
- `sink`: nothing; the service only counts what the client appends.

A flood ends with `MARK`, so that every client knows without counting that it has seen all of it.
The ids of items, responses and calls are new in every turn, as they are in life: a client that
keeps a conversation would take a second item of the same id for a mistake.  In a pace, an event's
id is a placeholder of `STAMP_DIGITS` digits, which the service overwrites with the time.
"""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Iterator
from typing import Final, Literal

from attrs import frozen
from corpus import is_audio, voice_turn

Flow = Literal["mix", "control", "audio", "A", "B", "sink"]

STAMP_DIGITS: Final = 20
PACE_HZ: Final = 50
"""Events a second in every pace."""

_TURN: Final = voice_turn()[1:]
_ID: Final = re.compile(r'"((?:item|resp|call)_\w*\d\w*)"')
_PLACEHOLDER: Final = "event_" + "0" * STAMP_DIGITS
CREATED: Final = re.sub(r"event_\w{21}", _PLACEHOLDER, voice_turn()[0])
"""The greeting."""


@frozen
class Pace:
    """A flow in real time."""

    opening: tuple[bytes, ...]
    """Frames that are sent at once, before the first stamped one."""
    stamped: tuple[tuple[bytes, bytes], ...]
    """What is before and after the digits of the time; sent in turn, over and over."""


def frame(text: str) -> bytes:
    """A message as servers send it: one frame, not masked."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes([0x81, size]) + payload
    if size < 1 << 16:
        return bytes([0x81, 126]) + size.to_bytes(2) + payload
    return bytes([0x81, 127]) + size.to_bytes(8) + payload


def message(wire_type: str, **fields: object) -> str:
    """An event that is not from the corpus."""
    return json.dumps(
        {"type": wire_type, "event_id": _PLACEHOLDER, **fields}, separators=(",", ":")
    )


MARK: Final = frame(message("input_audio_buffer.cleared"))
"""The end of a flood; it also answers the `input_audio_buffer.clear` that started it."""


def flood(flow: Flow, turns: int) -> list[bytes]:
    """The frames of a flood, without the mark."""
    return [frame(text) for text in _flood(flow, turns)]


def _flood(flow: Flow, turns: int) -> Iterator[str]:
    if flow == "audio":
        answer = [text for text in _TURN if "resp_answer" in text or "item_answer" in text]
        deltas = [text for text in answer if is_audio(text)]
        yield from answer[: answer.index(deltas[0])]
        yield from deltas * turns
        return
    texts = _TURN if flow == "mix" else [text for text in _TURN if not is_audio(text)]
    for turn in range(turns):
        for text in texts:
            yield _of_turn(text, turn)


def _of_turn(text: str, turn: int) -> str:
    text = _ID.sub(rf'"\1_t{turn}"', text)
    if turn:
        last = f'"previous_item_id":"item_answer0000000000001_t{turn - 1}"'
        text = text.replace('"previous_item_id":null', last)
    return text


def pace(flow: Flow, seed: int = 1) -> Pace:
    """The frames of one answer that never ends."""
    place = {
        "response_id": "resp_1",
        "item_id": "item_1",
        "output_index": 0,
        "content_index": 0,
    }
    item: dict[str, object] = {
        "id": "item_1",
        "type": "message",
        "role": "assistant",
        "status": "in_progress",
    }
    started = item | {"content": []}
    response = {
        "object": "realtime.response",
        "id": "resp_1",
        "status": "in_progress",
        "status_details": None,
        "output": [],
        "conversation_id": "conv_1",
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "usage": None,
        "metadata": None,
    }
    opening = (
        message("response.created", response=response),
        message("response.output_item.added", response_id="resp_1", output_index=0, item=started),
        message("conversation.item.added", previous_item_id=None, item=started),
        message("response.content_part.added", **place, part={"type": "audio", "transcript": ""}),
    )
    ms = 40 if flow == "A" else 20
    audio = base64.b64encode(random.Random(seed).randbytes(ms * 48)).decode()
    repeated = [message("response.output_audio.delta", **place, delta=audio)]
    if flow == "A":
        repeated.append(message("response.output_audio_transcript.delta", **place, delta=" sunny"))
    return Pace(tuple(map(frame, opening)), tuple(map(_split, repeated)))


def _split(text: str) -> tuple[bytes, bytes]:
    before, _, after = frame(text).partition(b"0" * STAMP_DIGITS)
    return before, after
