"""A program that plays into a loop of PulseAudio and listens to it; the tests of devices run it.

A process of its own, since PortAudio looks for devices once, when it is loaded.  It prints a line
of JSON about each thing that it has found out.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio.audio import PCM_RATE
from realtime_trio.devices import (
    DeviceError,
    DeviceLost,
    Microphone,
    PortAudio,
    Speaker,
    open_microphone,
    open_speaker,
)

NO_LOOP = 77
"""The exit code where there is no PortAudio, or no loop."""
TONE_SECONDS = 1.0


def tone() -> NDArray[np.int16]:
    """A tone that rises from 300 to 3000 Hz, so that no two moments of it are alike."""
    seconds = np.arange(round(TONE_SECONDS * PCM_RATE)) / PCM_RATE
    turns = 300 * seconds + (3000 - 300) / TONE_SECONDS / 2 * seconds**2
    return (8000 * np.sin(2 * np.pi * turns)).astype(np.int16)


def likeness(heard: NDArray[np.int16], said: NDArray[np.int16]) -> float:
    """How much the most alike stretches of 0.2 s resemble each other, 0 to 1."""
    size = PCM_RATE // 5
    best = 0.0
    for start in range(0, len(said) - size, size):
        piece = said[start : start + size].astype(float)
        product = np.correlate(heard.astype(float), piece, "valid")
        power = np.convolve(heard.astype(float) ** 2, np.ones(size), "valid")
        best = max(best, float(np.max(product / np.sqrt(np.maximum(power, 1) * (piece @ piece)))))
    return best


def tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


async def listen(speaker: Speaker, microphone: Microphone) -> None:
    """Play the tone again and again, until it was heard."""
    await trio.lowlevel.checkpoint()
    said = tone()
    heard = np.empty(0, np.int16)
    found, number = 0.0, 0
    while found < 0.99:  # a machine that is busy misses some of it
        number += 1
        speaker.playback.append(said, f"item_{number}")
        speaker.playback.finish(f"item_{number}")
        while speaker.playback.is_audible:
            heard = np.concatenate((heard, await anext(microphone)))
        heard = heard[-3 * PCM_RATE :]
        found = likeness(heard, said)
    tell(likeness=found, heard_ms=speaker.playback.heard_ms("item_1"))


async def main(what: str) -> None:
    try:
        found = await PortAudio().devices()
    except DeviceError as error:
        print(error, file=sys.stderr)
        sys.exit(NO_LOOP)
    if not any("loop" in device.name for device in found):
        print("ALSA has no plugin for PulseAudio", file=sys.stderr)
        sys.exit(NO_LOOP)
    await trio.lowlevel.checkpoint()
    match what:
        case "loop":
            async with (
                open_speaker(device="loop") as speaker,
                open_microphone("loop", echo=None) as microphone,
            ):
                await listen(speaker, microphone)
        case "speaker":
            try:
                async with open_speaker(device="loop"):
                    tell(is_open=True)
                    await trio.sleep_forever()
            except DeviceLost as lost:
                tell(lost=lost.name)
        case _:
            async with open_microphone("loop") as microphone:
                tell(is_open=True)
                try:
                    async for _ in microphone:
                        pass
                except DeviceLost as lost:
                    tell(lost=lost.name)


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
