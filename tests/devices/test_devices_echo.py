"""The gate against echo: by hand, and in a room with the delay of real devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime_trio.audio import PCM_RATE, read_wav
from realtime_trio.devices import EchoGate
from realtime_trio.devices.echo import is_headphones

CHUNK = 480  # 20 ms
SILENT = np.zeros(CHUNK, np.int16)
EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def sound(level: int) -> NDArray[np.int16]:
    return np.resize(np.array([level, -level], np.int16), CHUNK)


PLAYED, ECHO, VOICE = sound(8000), sound(800), sound(6000)


def passes(gate: EchoGate, near: NDArray[np.int16], far: NDArray[np.int16]) -> bool:
    out = gate.process(near, far)
    expected = near if gate.is_open else np.zeros_like(near)
    assert out.tolist() == expected.tolist()
    return gate.is_open


def echoing() -> EchoGate:
    """A gate that has heard an echo for long enough to know it."""
    gate = EchoGate()
    assert not any(passes(gate, ECHO, PLAYED) for _ in range(300))
    return gate


def test_everything_passes_while_nothing_is_played() -> None:
    gate = EchoGate()
    assert gate.is_open
    assert all(passes(gate, near, SILENT) for near in (VOICE, ECHO, VOICE))


def test_an_echo_does_not_pass_and_neither_does_its_tail() -> None:
    gate = echoing()
    assert [passes(gate, ECHO, SILENT) for _ in range(26)] == [False] * 24 + [True] * 2


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
    assert [passes(gate, ECHO, PLAYED) for _ in range(32)] == [True] * 29 + [False] * 3


def test_who_interrupts_has_silenced_the_model_or_is_an_echo_that_became_louder() -> None:
    gate = echoing()
    passed = [passes(gate, VOICE, PLAYED) for _ in range(300)]
    assert passed == [False] * 2 + [True] * 50 + [False] * 248
    # And louder than that is somebody again.
    assert [passes(gate, sound(20_000), PLAYED) for _ in range(3)] == [False, False, True]


def test_an_echo_that_became_louder_does_not_open_it_again_after_a_pause() -> None:
    gate = echoing()
    passed = [passes(gate, near, PLAYED) for near in ([VOICE] * 10 + [ECHO]) * 20]
    assert passed == [False] * 2 + [True] * 50 + [False] * 168


def test_an_echo_that_becomes_louder_because_what_is_played_does_is_none_but_an_echo() -> None:
    gate = echoing()
    assert not any(passes(gate, sound(3200), sound(32000)) for _ in range(10))


def test_before_the_echo_is_known_it_may_be_as_loud_as_what_is_played() -> None:
    for level, is_somebody in ((8000, False), (16_000, False), (24_000, True)):
        gate = EchoGate()
        passes(gate, SILENT, SILENT)
        passed = [passes(gate, sound(level), PLAYED) for _ in range(40)]
        assert any(passed) == is_somebody


def test_a_noise_that_is_louder_than_a_soft_echo_is_no_person() -> None:
    gate = echoing()
    noise = sound(300)
    for _ in range(200):
        passes(gate, noise, PLAYED)
    assert not any(passes(gate, noise, sound(100)) for _ in range(100))


def test_a_softer_echo_is_learned_slowly_and_a_louder_one_at_once() -> None:
    gate = echoing()
    for _ in range(50):
        passes(gate, sound(80), PLAYED)
    assert not any(passes(gate, sound(1200), PLAYED) for _ in range(5))
    for _ in range(400):
        passes(gate, sound(80), PLAYED)
    assert any(passes(gate, sound(1200), PLAYED) for _ in range(5))
    for _ in range(80):
        passes(gate, sound(1500), PLAYED)
    assert not any(passes(gate, sound(3000), PLAYED) for _ in range(5))


def above(db: float) -> NDArray[np.int16]:
    """So many dB above what is played."""
    return sound(round(8000 * 10 ** (db / 20)))


@pytest.mark.parametrize(("db", "is_somebody"), [(-12.2, False), (-11.8, True)])
def test_clearly_louder_is_8_db_above_the_echo(db: float, is_somebody: bool) -> None:
    gate = EchoGate()
    for _ in range(1000):
        passes(gate, above(-20), PLAYED)
    assert any(passes(gate, above(db), PLAYED) for _ in range(5)) == is_somebody


@pytest.mark.parametrize(
    ("heard", "db", "is_somebody"),
    [
        (45, 7, False),  # 0.9 s: nothing is known
        (55, 7, True),  # 0.1 s after the first second: the estimate is at -1.9 dB
        (75, -1, False),  # 0.5 s: at -7.9 dB
        (75, 1, True),
    ],
)
def test_the_estimate_is_lowered_after_a_second_and_by_its_e_th_part_in_another(
    heard: int, db: float, is_somebody: bool
) -> None:
    gate = EchoGate()
    for _ in range(heard):
        passes(gate, above(-20), PLAYED)
    assert any(passes(gate, above(db), PLAYED) for _ in range(5)) == is_somebody


@pytest.mark.parametrize(("db", "is_somebody"), [(-9.5, False), (-8.5, True)])
def test_the_estimate_follows_a_louder_echo_by_half_with_every_chunk(
    db: float, is_somebody: bool
) -> None:
    gate = EchoGate()
    for _ in range(1000):
        passes(gate, above(-20), PLAYED)
    passes(gate, above(-14), PLAYED)
    assert any(passes(gate, above(db), PLAYED) for _ in range(3)) == is_somebody


def test_an_echo_that_has_not_come_yet_is_not_a_soft_one() -> None:
    gate = echoing()
    for _ in range(40):
        passes(gate, SILENT, SILENT)
    for _ in range(40):  # as with a device that buffers 0.8 s
        passes(gate, SILENT, PLAYED)
    assert not any(passes(gate, above(-14), PLAYED) for _ in range(10))


# --- a room ---------------------------------------------------------------------------------------


def speech() -> NDArray[np.int16]:
    """25 s of what a model might say, with pauses."""
    said = [read_wav(file) for file in sorted((EXAMPLES / "questions").glob("*.wav"))]
    pause = np.zeros(PCM_RATE // 3, np.int16)
    return np.concatenate([each for one in said * 4 for each in (one, pause)])[: 25 * PCM_RATE]


def heard(played: NDArray[np.int16], delay: float, level_db: float) -> NDArray[np.float64]:
    """What a microphone hears of it: late, softer, with an echo of 0.3 s and a noise of -65 dB."""
    random = np.random.default_rng(1)
    count = round(0.3 * PCM_RATE)
    room = random.normal(0, 1, count) * np.exp(-6.9 * np.arange(count) / count)
    room[0] = 8
    room *= 10 ** (level_db / 20) / np.sqrt(np.sum(room**2))
    size = 1 << (len(played) + count).bit_length()
    product = np.fft.rfft(played.astype(float), size) * np.fft.rfft(room, size)
    echo = np.fft.irfft(product)[: len(played)]
    late = np.concatenate((np.zeros(round(delay * PCM_RATE)), echo))[: len(played)]
    noise: NDArray[np.float64] = late + random.normal(0, 32768 * 10 ** (-65 / 20), len(played))
    return noise


def loud_chunks(
    gate: EchoGate, near: NDArray[np.float64], far: NDArray[np.int16]
) -> NDArray[np.int64]:
    """Numbers of the chunks that pass and are more than the noise of the room."""
    clipped = np.clip(near, -32768, 32767).astype(np.int16)
    passed = []
    for number, start in enumerate(range(0, len(far), CHUNK)):
        out = gate.process(clipped[start : start + CHUNK], far[start : start + CHUNK])
        if np.abs(out.astype(int)).max() > 200:
            passed.append(number)
    return np.array(passed)


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.15, 0.3, 0.45])
@pytest.mark.parametrize("level", [0.0, -10.0, -25.0])
def test_in_a_room_no_echo_passes_however_late_and_a_person_does(
    delay: float, level: float
) -> None:
    far = speech()
    echo = heard(far, delay, level)
    assert len(loud_chunks(EchoGate(), echo, far)) == 0
    if not level:
        return  # nobody is clearly louder than that
    start = 20 * PCM_RATE
    question = read_wav(EXAMPLES / "question.wav")
    together = echo.copy()
    together[start : start + len(question)] += question[: len(far) - start]
    passed = loud_chunks(EchoGate(), together, far)
    assert len(passed) > 0
    assert start <= passed[0] * CHUNK < start + len(question)


@pytest.mark.parametrize("name", ["USB Headset", "Headphones (Realtek)", "Ann's AirPods Pro"])
def test_what_is_worn_on_the_ears_is_known_by_its_name(name: str) -> None:
    assert is_headphones(name)
    assert not is_headphones("Speakers (Realtek)")
