"""The gate against echo."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime_trio.devices import EchoGate
from realtime_trio.devices.echo import is_headphones

CHUNK = 480  # 20 ms
SILENT = np.zeros(CHUNK, np.int16)


def sound(level: int) -> NDArray[np.int16]:
    return np.resize(np.array([level, -level], np.int16), CHUNK)


PLAYED, ECHO, VOICE = sound(8000), sound(800), sound(6000)


def passes(gate: EchoGate, near: NDArray[np.int16], far: NDArray[np.int16]) -> bool:
    out = gate.process(near, far)
    expected = near if gate.is_open else np.zeros_like(near)
    assert out.tolist() == expected.tolist()
    return gate.is_open


def echoing(chunks: int = 25) -> EchoGate:
    """A gate that has heard half a second of echo."""
    gate = EchoGate()
    assert not any(passes(gate, ECHO, PLAYED) for _ in range(chunks))
    return gate


def test_everything_passes_while_nothing_is_played() -> None:
    gate = EchoGate()
    assert all(passes(gate, near, SILENT) for near in (VOICE, ECHO, VOICE))


def test_an_echo_does_not_pass_and_neither_does_its_tail() -> None:
    gate = echoing()
    assert [passes(gate, ECHO, SILENT) for _ in range(13)] == [False] * 12 + [True]


def test_who_is_clearly_louder_for_long_enough_passes() -> None:
    gate = echoing()
    assert [passes(gate, VOICE, PLAYED) for _ in range(5)] == [False, False, True, True, True]


def test_a_short_bang_does_not_open_it() -> None:
    gate = echoing()
    assert not passes(gate, VOICE, PLAYED)
    assert not passes(gate, VOICE, PLAYED)
    assert not passes(gate, ECHO, PLAYED)
    assert not passes(gate, VOICE, PLAYED)


def test_it_stays_open_between_words_and_then_closes() -> None:
    gate = echoing()
    for _ in range(3):
        passes(gate, VOICE, PLAYED)
    assert [passes(gate, ECHO, PLAYED) for _ in range(32)].count(True) in (29, 30)


def test_an_echo_that_becomes_louder_because_what_is_played_does_is_none_but_an_echo() -> None:
    gate = echoing()
    assert not any(passes(gate, sound(3200), sound(32000)) for _ in range(10))


def test_it_does_not_open_before_it_has_learned_how_loud_the_echo_is() -> None:
    gate = EchoGate()
    first = [passes(gate, near, PLAYED) for near in (SILENT, ECHO, ECHO, sound(3000))]
    assert not any(first)
    assert not any(passes(gate, sound(3000), PLAYED) for _ in range(30))


def test_a_softer_echo_is_learned_slowly() -> None:
    gate = echoing()
    assert not any(passes(gate, sound(80), PLAYED) for _ in range(3))
    assert not any(passes(gate, sound(1200), PLAYED) for _ in range(5))
    for _ in range(400):
        passes(gate, sound(80), PLAYED)
    assert any(passes(gate, sound(1200), PLAYED) for _ in range(5))


@pytest.mark.parametrize("name", ["USB Headset", "Headphones (Realtek)", "Ann's AirPods Pro"])
def test_what_is_worn_on_the_ears_is_known_by_its_name(name: str) -> None:
    assert is_headphones(name)
    assert not is_headphones("Speakers (Realtek)")
