"""Decode a spoken turn: our codec, openai-python's `parse_event`, and msgspec as the limit.

Everybody gets the same str, as our transport delivers it.  (openai-python's own transport hands it
bytes, which cost it a little more.)
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Sequence

import msgspec
import msgspec_events
import numpy as np
from corpus import is_audio, voice_turn
from harness import Report
from openai import BaseModel
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from realtime_trio.connection import Codec, Role
from realtime_trio.events import ResponseOutputAudioDelta, ServerEvent

OURS, OPENAI, MSGSPEC = "realtime_trio", "openai", "msgspec.Struct"

_codec = Codec(strict=True)
_msgspec = msgspec.json.Decoder(msgspec_events.Event)
# Parsing needs nothing of a connection, and its constructor needs a connected WebSocket, so it is
# left out.
_openai = AsyncRealtimeConnection.__new__(AsyncRealtimeConnection)

DECODERS: dict[str, Callable[[str], object]] = {
    OURS: _codec.decode,
    MSGSPEC: _msgspec.decode,
    OPENAI: _openai.parse_event,
}


def main() -> int:
    report = Report("bench_decode", __doc__)
    mix = voice_turn()
    check_nothing_is_lost(mix)
    control = [message for message in mix if not is_audio(message)]
    audio = [message for message in mix if is_audio(message)]
    of_mix = report.compare(
        f"decode the mix: {len(mix)} events", _passes(mix, DECODERS), peer=OPENAI, events=len(mix)
    )
    of_control = report.compare(
        f"decode control events: {len(control)}",
        _passes(control, DECODERS),
        peer=OPENAI,
        events=len(control),
    )
    of_audio = report.compare(
        f"decode audio deltas: {len(audio)}",
        _passes(audio, DECODERS),
        peer=OPENAI,
        events=len(audio),
    )
    to_samples: dict[str, Callable[[str], object]] = {OURS: our_samples, OPENAI: openai_samples}
    of_samples = report.compare(
        "audio delta to int16 array", _passes(audio, to_samples), peer=OPENAI, events=len(audio)
    )
    print()
    report.meet("decode.mix", of_mix.ratio(OPENAI, OURS))
    report.meet("decode.control", of_control.ratio(OPENAI, OURS))
    report.meet("decode.audio", of_audio.ratio(OPENAI, OURS))
    report.meet("decode.samples", of_samples.ratio(OPENAI, OURS))
    report.meet("decode.limit", of_mix.ratio(OURS, MSGSPEC))
    return report.finish()


def _passes(
    messages: Sequence[str], decoders: dict[str, Callable[[str], object]]
) -> dict[str, Callable[[], object]]:
    return {name: _one_pass(messages, decode) for name, decode in decoders.items()}


def _one_pass(messages: Sequence[str], decode: Callable[[str], object]) -> Callable[[], None]:
    def run() -> None:
        for message in messages:
            decode(message)

    return run


def our_samples(message: str) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """What an application that plays the audio does with ours."""
    event = _codec.decode(message)
    assert isinstance(event, ResponseOutputAudioDelta)
    return event.delta.samples


def openai_samples(message: str) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """What it does with openai-python."""
    event = _openai.parse_event(message)
    assert event.type == "response.output_audio.delta"
    return np.frombuffer(base64.b64decode(event.delta), np.int16)


def check_nothing_is_lost(messages: Sequence[str]) -> None:
    """Make sure that the candidates do the same work.

    Each one's event, written back, is the message again, but for nulls.
    """
    server = Codec(Role.SERVER)
    for message in messages:
        expected = _without_nulls(json.loads(message))
        ours, theirs = _codec.decode(message), _openai.parse_event(message)
        assert isinstance(ours, ServerEvent)
        assert isinstance(theirs, BaseModel)
        rewritten = {
            OURS: server.encode(ours),
            OPENAI: theirs.to_json(exclude_unset=False, warnings=False),
            MSGSPEC: msgspec.json.encode(_msgspec.decode(message)).decode(),
        }
        for name, text in rewritten.items():
            assert _without_nulls(json.loads(text)) == expected, (
                f"{name} loses something of {message[:60]}"
            )
        if is_audio(message):
            assert np.array_equal(our_samples(message), openai_samples(message))


def _without_nulls(value: object) -> object:
    match value:
        case dict():
            return {
                key: _without_nulls(member) for key, member in value.items() if member is not None
            }
        case list():
            return [_without_nulls(element) for element in value]
        case _:
            return value


if __name__ == "__main__":
    sys.exit(main())
