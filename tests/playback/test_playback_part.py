"""A part that is played: samples of a sink become milliseconds of the part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from realtime_trio.audio import AudioData, mulaw_decode, resample
from realtime_trio.audio.track import PCM, PCMU, AudioTrack
from realtime_trio.playback.part import Part, PlayedPart


def part(
    rate: int = 24_000, sink_rate: int = 24_000, encoding: str = PCM, item_id: str = "item_1"
) -> Part:
    return Part(
        item_id=item_id,
        content_index=0,
        response_id=None,
        sink_rate=sink_rate,
        track=AudioTrack(encoding, rate, keep=False),
    )


def ramp(count: int) -> NDArray[np.int16]:
    return (np.arange(count) % 1000).astype(np.int16)


def test_what_arrives_is_handed_on() -> None:
    playing = part()
    assert_array_equal(playing.receive(AudioData(ramp(48))), ramp(48))
    assert playing.value == PlayedPart("item_1", 0, heard_ms=0, received_ms=2, is_final=False)
    assert (playing.produced, playing.heard) == (48, 0)


def test_half_a_sample_waits_for_the_other_half() -> None:
    playing = part()
    assert not len(playing.receive(AudioData(b"\x01")))
    assert_array_equal(playing.receive(AudioData(b"\x02")), [0x0201])


def test_telephony_is_decoded() -> None:
    playing = part(8000, 8000, PCMU)
    codes = bytes(range(80))
    assert_array_equal(playing.receive(AudioData(codes)), mulaw_decode(codes))
    playing.heard = 47
    assert (playing.track.ms, playing.heard_ms) == (10, 5)


def test_what_was_heard_is_rounded_down() -> None:
    playing = part()
    playing.receive(AudioData(ramp(100)))
    playing.heard = 47
    assert playing.heard_ms == 1


def test_a_part_is_settled_when_its_last_sample_was_heard() -> None:
    playing = part()
    playing.receive(AudioData(ramp(50)))
    playing.finish()
    playing.heard = 49
    assert (playing.heard_ms, playing.is_settled, playing.is_over) == (2, False, True)
    playing.heard = 50
    assert playing.is_settled


def test_what_will_be_heard_is_counted_as_what_was() -> None:
    playing = part(24_000, 11_025)
    playing.receive(AudioData(ramp(24_000)))
    playing.heard = 100
    assert playing.heard_ms_with(0) == playing.heard_ms == 9
    assert playing.heard_ms_with(11_025 - 100) == 1000 * 11_025 // 11_025
    playing.finish()
    assert playing.heard_ms_with(playing.produced - 100) == 1000


def test_a_part_of_which_more_comes_after_all_is_not_final() -> None:
    playing = part()
    playing.receive(AudioData(ramp(24)))
    playing.finish()
    assert playing.is_final
    playing.receive(AudioData(ramp(24)))
    assert not playing.is_final


def test_a_part_that_is_silenced_is_over() -> None:
    playing = part()
    playing.receive(AudioData(ramp(24)))
    assert (playing.is_over, playing.is_settled) == (False, False)
    playing.is_silenced = True
    assert (playing.is_over, playing.is_settled) == (True, True)


@pytest.mark.parametrize(
    ("rate", "sink_rate"), [(24_000, 48_000), (24_000, 8000), (8000, 44_100), (24_000, 11_025)]
)
def test_another_rate_is_converted_and_nothing_is_lost(rate: int, sink_rate: int) -> None:
    playing = part(rate, sink_rate)
    whole = ramp(rate // 10)
    chunks = [playing.receive(AudioData(chunk)) for chunk in np.split(whole, 10)]
    chunks += [playing.finish(), playing.finish()]
    assert_array_equal(np.concatenate(chunks), resample(whole, rate, sink_rate))
    assert playing.produced == len(np.concatenate(chunks))


@given(
    st.integers(1, 3000),
    st.sampled_from([8000, 16_000, 24_000]),
    st.sampled_from([8000, 11_025, 24_000, 44_100, 48_000]),
)
def test_all_of_it_is_all_of_it_at_any_rate(count: int, rate: int, sink_rate: int) -> None:
    playing = part(rate, sink_rate)
    playing.receive(AudioData(ramp(count)))
    playing.finish()
    playing.heard = playing.produced
    assert playing.heard_ms == playing.track.ms == count * 1000 // rate


@pytest.mark.parametrize("rate", [1, 7999, 192_001])
def test_a_rate_that_cannot_be_is_played_as_it_is(rate: int) -> None:
    playing = part(rate)
    assert_array_equal(playing.receive(AudioData(ramp(24))), ramp(24))
    playing.heard = 24
    assert playing.heard_ms <= playing.track.ms


@pytest.mark.parametrize("rate", [8000, 192_000])
def test_rates_at_the_ends_are_converted(rate: int) -> None:
    playing = part(rate)
    playing.receive(AudioData(ramp(rate // 100)))
    playing.finish()
    assert playing.produced == 240
