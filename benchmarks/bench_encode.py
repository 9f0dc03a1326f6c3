"""Append 100 ms of microphone audio: int16 array to the text of one message.

openai-python's side is its real `AsyncRealtimeConnection.send`, given what its documentation tells
users to build, up to the point where the text would go to the WebSocket.  The third candidate is
what nobody's library does: no event, no checks, only the standard library.
"""

from __future__ import annotations

import base64
import json
import sys

import numpy as np
from harness import Report
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from realtime_trio._protocol.codec import Codec
from realtime_trio.events import InputAudioBufferAppend

OURS, OPENAI, STDLIB = "realtime_trio", "openai", "base64 + json.dumps"

SAMPLES = np.random.default_rng(1).integers(-20_000, 20_000, 2400, np.int16)
"""100 ms at 24 kHz."""


class Sink(AsyncRealtimeConnection):
    """A connection that keeps the text it would send."""

    def __init__(self) -> None:
        # Not `super().__init__()`, which needs a WebSocket that is connected.
        self.text: bytes | str = ""

    # It stands in for a socket that is always ready, so there is nothing to wait for.
    async def _send(self, data: bytes | str) -> None:  # noqa: ASYNC910
        self.text = data


_codec = Codec(strict=True)
_sink = Sink()


def main() -> int:
    report = Report("bench_encode", __doc__)
    assert json.loads(ours()) == json.loads(openai_way()) == json.loads(stdlib())
    candidates = {OURS: ours, STDLIB: stdlib, OPENAI: openai_way}
    append = report.compare("append 100 ms of audio: int16 array to text", candidates, peer=OPENAI)
    print()
    report.at_most(
        "append of 100 ms, times the CPU time of openai-python", append.ratio(OURS, OPENAI), 1 / 5
    )
    return report.finish()


def ours() -> str:
    return _codec.encode(InputAudioBufferAppend(audio=SAMPLES))


def openai_way() -> str | bytes:
    sending = _sink.send(
        {"type": "input_audio_buffer.append", "audio": base64.b64encode(SAMPLES.tobytes()).decode()}
    )
    try:
        sending.send(None)  # it never waits, so it needs no event loop
    except StopIteration:
        return _sink.text
    raise AssertionError("openai-python's send waited for something")


def stdlib() -> str:
    return json.dumps(
        {"type": "input_audio_buffer.append", "audio": base64.b64encode(SAMPLES.tobytes()).decode()}
    )


if __name__ == "__main__":
    sys.exit(main())
