"""Turns of speech on this side."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from realtime_trio import LocalProtocolError
from realtime_trio.devices import EnergyModel, VoiceActivity

RATE = 24_000


class Told:
    """A model that believes whatever is loud to be speech, as likely as it is loud."""

    rate = RATE
    frame = 240

    def probability(self, samples: NDArray[np.int16]) -> float:
        return float(np.abs(samples).mean()) / 1000


def piece(*levels: int, seconds: float = 0.02) -> list[NDArray[np.int16]]:
    return [np.full(round(seconds * RATE), level, np.int16) for level in levels]


def detector(end: float = 0.04, preroll: float = 0.04) -> VoiceActivity:
    return VoiceActivity(Told(), start_seconds=0.04, end_seconds=end, preroll_seconds=preroll)


def marks(activity: VoiceActivity, chunks: Iterable[NDArray[np.int16]]) -> str:
    """One letter a chunk: nothing, started, going on, ended."""
    said = ""
    for chunk in chunks:
        heard = activity.process(chunk)
        both = heard.has_started, heard.has_ended
        said += {(True, False): "s", (False, True): "e", (True, True): "b"}.get(
            both, "+" if activity.is_speech else "."
        )
    return said


def test_speech_begins_when_it_has_lasted_and_ends_after_a_pause() -> None:
    levels = (0, 0, 900, 900, 900, 0, 900, 0, 0, 0)
    assert marks(detector(), piece(*levels)) == "...s++++e."


def test_a_click_is_no_speech() -> None:
    assert marks(detector(), piece(0, 900, 0, 900, 0)) == "....."


def test_what_is_nearly_speech_does_not_begin_and_does_not_end() -> None:
    assert marks(detector(), piece(400, 400, 400, 900, 900, 400, 400, 400)) == "....s+++"


def test_what_came_before_belongs_to_the_speech() -> None:
    activity = detector()
    heard = [activity.process(chunk) for chunk in piece(1, 2, 3, 900, 901, 902)]
    assert [len(each.audio) for each in heard] == [0, 0, 0, 0, 4 * 480, 480]
    assert sorted(set(heard[4].audio.tolist())) == [2, 3, 900, 901]
    assert heard[5].probability == pytest.approx(0.902)


def test_nothing_of_one_turn_is_told_again_with_the_next() -> None:
    activity = detector(end=0.02)
    chunks = piece(1, 900, 901, 2, 902, 903, 0)
    audio = np.concatenate([activity.process(chunk).audio for chunk in chunks])
    assert audio[::480].tolist() == [1, 900, 901, 2, 902, 903, 0]


def test_one_long_chunk_may_be_a_whole_turn() -> None:
    activity = detector()
    chunk = np.concatenate(piece(0, 0, 900, 900, 900, 0, 0, 0))
    heard = activity.process(chunk)
    assert heard.has_started
    assert heard.has_ended
    assert heard.audio.tolist() == chunk.tolist()
    assert not activity.is_speech


@given(st.lists(st.integers(0, 2000), max_size=30), st.integers(1, 999))
def test_however_it_is_cut_the_turns_are_the_same(levels: list[int], size: int) -> None:
    whole = np.concatenate((*piece(*levels), np.empty(0, np.int16)))
    ways = []
    for step in (240, size):
        activity = detector()
        turns: list[bool] = []
        for start in range(0, len(whole), step):
            heard = activity.process(whole[start : start + step])
            # Both in one chunk: it was over that began, or began that is going on.
            both = [True] * heard.has_started + [False] * heard.has_ended
            turns += both if activity.is_speech != (len(both) == 2) else both[::-1]
        ways.append(turns)
    assert ways[0] == ways[1]


def test_the_energy_takes_what_is_louder_than_the_room_for_speech() -> None:
    noise = np.random.default_rng(1).normal(0, 60, RATE * 3)
    tone = 4000 * np.sin(np.arange(RATE) * 0.06)
    voice = np.concatenate((np.zeros(RATE), tone, np.zeros(RATE)))
    samples = (noise + voice).astype(np.int16)
    activity = VoiceActivity(EnergyModel())
    heard = [activity.process(chunk) for chunk in np.split(samples, 150)]
    started = [index for index, each in enumerate(heard) if each.has_started]
    ended = [index for index, each in enumerate(heard) if each.has_ended]
    assert len(started) == len(ended) == 1
    assert 50 <= started[0] <= 55
    assert 120 <= ended[0] <= 130


def test_the_energy_learns_the_noise_of_a_room() -> None:
    model = EnergyModel()
    noise = np.random.default_rng(1).normal(0, 800, model.frame * 1000).astype(np.int16)
    frames = np.split(noise, 1000)
    said = [model.probability(frame) for frame in frames]
    assert said[0] > 0.9
    assert max(said[-100:]) < 0.1


@pytest.mark.parametrize(
    "options",
    [{"threshold": 0.0}, {"threshold": 1.0}, {"start_seconds": -1.0}, {"end_seconds": -0.1}],
)
def test_what_makes_no_sense_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(LocalProtocolError):
        VoiceActivity(Told(), **options)  # type: ignore[arg-type]
