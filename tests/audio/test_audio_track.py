"""Audio that grows: chunks in any split, cuts, forgetting, and arrays that stay what they were."""

from __future__ import annotations

import base64
import gc
import itertools
import sys
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from realtime_trio.audio import AudioData, alaw_decode, mulaw_decode
from realtime_trio.audio.track import PCM, PCMA, PCMU, AudioTrack, sample_count, samples_of

BROKEN = AudioData.from_base64("not base64!!")
BROKEN_EVEN = AudioData.from_base64("nobase6!")


def ramp(count: int, start: int = 0) -> NDArray[np.int16]:
    return np.arange(start, start + count, dtype=np.int16)


def pcm(count: int, start: int = 0) -> AudioData:
    return AudioData(ramp(count, start))


def test_nothing_is_an_empty_array() -> None:
    track = AudioTrack()
    assert track.samples.dtype == np.int16
    assert (len(track.samples), track.received, track.kept, track.ms) == (0, 0, 0, 0)


def test_a_chunk_is_handed_back_undecoded() -> None:
    chunk = AudioData.from_base64(base64.b64encode(ramp(10).tobytes()).decode())
    track = AudioTrack()
    assert track.append(chunk) is chunk
    assert_array_equal(track.samples, ramp(10))


def test_milliseconds_follow_the_rate_and_are_rounded_down() -> None:
    track = AudioTrack(rate=8000)
    track.append(pcm(15))
    assert track.ms == 1


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6), st.booleans())
def test_splits_in_the_middle_of_a_sample_lose_nothing(
    data: bytes, cuts: list[int], reads: bool
) -> None:
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    track = AudioTrack()
    added = []
    for start, end in itertools.pairwise(bounds):
        chunk = track.append(AudioData(data[start:end]))
        if chunk is not None:
            assert chunk.nbytes % 2 == 0
            added.append(chunk.data)
        if reads:
            assert len(track.samples) == track.received
    assert_array_equal(track.samples, np.frombuffer(data[: len(data) // 2 * 2], "<i2"))
    assert b"".join(added) == data[: len(data) // 2 * 2]


@given(st.binary(max_size=40))
def test_the_size_of_base64_is_known_without_decoding_it(data: bytes) -> None:
    audio = AudioData.from_base64(base64.b64encode(data).decode())
    for encoding in (PCM, PCMU, PCMA):
        assert sample_count(audio, encoding) == len(samples_of(audio, encoding))


@pytest.mark.parametrize(("encoding", "decode"), [(PCMU, mulaw_decode), (PCMA, alaw_decode)])
def test_telephony_is_decoded_and_has_a_sample_per_byte(encoding: str, decode: object) -> None:
    assert callable(decode)
    track = AudioTrack(encoding, 8000)
    for chunk in (b"\x00\x55\xaa", b"\xff"):
        track.append(AudioData(chunk))
    assert track.received == 4
    assert_array_equal(track.samples, decode(b"\x00\x55\xaa\xff"))


@pytest.mark.parametrize("encoding", [PCM, PCMU, PCMA])
def test_broken_base64_is_silence_of_its_size(encoding: str) -> None:
    track = AudioTrack(encoding)
    track.append(BROKEN)
    assert_array_equal(track.samples, np.zeros(sample_count(BROKEN, encoding), np.int16))


def test_broken_base64_in_the_middle_of_a_sample_is_silence_too() -> None:
    track = AudioTrack()
    track.append(AudioData(b"\x01"))
    track.append(BROKEN)
    track.append(AudioData(b"\x02\x03\x00"))
    assert_array_equal(track.samples, [1, 0, 0, 0, 2 << 8, 3])


def test_broken_base64_does_not_shift_what_follows() -> None:
    assert BROKEN.nbytes % 2
    track = AudioTrack()
    track.append(BROKEN)
    track.append(pcm(3, 1))
    assert_array_equal(track.samples, [0, 0, 0, 0, 1, 2, 3])


def test_what_is_not_kept_is_counted() -> None:
    track = AudioTrack(keep=False)
    assert track.append(pcm(240)) is not None
    assert (track.received, track.ms, track.kept, len(track.samples)) == (240, 10, 0, 0)


def test_an_array_stays_what_it_was_when_more_arrives_or_is_cut() -> None:
    track = AudioTrack()
    track.append(pcm(100))
    seen = track.samples
    for start in range(100, 400, 100):
        track.append(pcm(100, start))
        assert_array_equal(track.samples, ramp(start + 100))
    track.truncate(50)
    track.append(pcm(10, 1000))
    assert_array_equal(seen, ramp(100))
    assert_array_equal(track.samples, [*ramp(50), *ramp(10, 1000)])


def test_closing_lets_go_of_base64_and_changes_no_sample() -> None:
    track = AudioTrack()
    text = base64.b64encode(ramp(10).tobytes()).decode()
    references = sys.getrefcount(text)
    track.append(AudioData.from_base64(text))
    track.append(BROKEN_EVEN)
    assert sys.getrefcount(text) == references + 1
    track.close()
    assert sys.getrefcount(text) == references
    assert_array_equal(track.samples, [*ramp(10), *[0] * (BROKEN_EVEN.nbytes // 2)])


def test_samples_cannot_be_written() -> None:
    track = AudioTrack()
    track.append(pcm(3))
    with pytest.raises(ValueError, match="read-only"):
        track.samples[0] = 1


def test_truncating_cuts_the_end_and_the_half_sample_behind_it() -> None:
    track = AudioTrack()
    track.append(pcm(10))
    track.append(AudioData(b"\x07"))
    track.truncate(4)
    track.append(AudioData(b"\x09\x00"))
    assert_array_equal(track.samples, [0, 1, 2, 3, 9])


def test_truncating_beyond_the_end_changes_nothing() -> None:
    track = AudioTrack()
    track.append(pcm(10))
    track.truncate(11)
    assert track.received == 10


def test_truncating_below_zero_leaves_nothing() -> None:
    track = AudioTrack()
    track.append(pcm(10))
    track.truncate(-1)
    assert (track.received, track.kept) == (0, 0)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=12),
    st.lists(st.integers(0, 12), max_size=4),
    st.integers(0, 30),
)
def test_forgetting_keeps_the_end(
    chunks: list[tuple[int, bool]], forgotten: list[int], length: int
) -> None:
    track = AudioTrack()
    expected: list[int] = []
    for size, read in chunks:
        track.append(pcm(size, len(expected)))
        expected += range(len(expected), len(expected) + size)
        if read:
            assert len(track.samples) == len(expected)
    received = len(expected)
    for count in forgotten:
        track.forget(count)
        del expected[:count]
        assert (track.kept, track.received) == (len(expected), received)
    assert_array_equal(track.samples, np.array(expected, np.int16))
    track.truncate(length)
    assert_array_equal(
        track.samples, np.array([value for value in expected if value < length], np.int16)
    )


def test_a_part_of_a_chunk_can_be_forgotten() -> None:
    track = AudioTrack()
    track.append(pcm(10))
    track.append(pcm(10, 10))
    track.forget(13)
    assert (track.kept, track.received) == (7, 20)
    assert_array_equal(track.samples, ramp(7, 13))


def test_closing_takes_no_more_room_than_needed() -> None:
    track = AudioTrack()
    for start in range(5):
        track.append(pcm(100, start))
        assert len(track.samples) == (start + 1) * 100
    assert track.samples.base is not None
    track.close()
    track.close()
    assert track.samples.base is not None
    assert len(track.samples.base) == 500
    assert_array_equal(track.samples, np.concatenate([ramp(100, start) for start in range(5)]))
    track.append(pcm(1))
    assert track.received == 501


def memory_of(make: Callable[[], object]) -> int:
    """Bytes that are still taken after `make`, as long as what it returns is kept."""
    make()  # what is made once is not counted
    gc.collect()
    tracemalloc.start()
    try:
        made = make()
        taken = tracemalloc.get_traced_memory()[0]
        del made
    finally:
        tracemalloc.stop()
    return taken


@pytest.mark.parametrize(("encoding", "size"), [(PCM, 2), (PCM, 1), (PCMU, 1), (PCM, 0)])
def test_fragments_take_little_more_room_than_their_samples(encoding: str, size: int) -> None:
    def make() -> AudioTrack:
        track = AudioTrack(encoding)
        for number in range(20_000):
            track.append(
                AudioData.from_base64(base64.b64encode(bytes([number % 256] * size)).decode())
            )
        return track

    assert memory_of(make) < 20_000 * 5 + 60_000
    count = 20_000 * size // 2 if encoding == PCM else 20_000
    assert (make().received, len(make().samples)) == (count, count)


def test_a_large_chunk_among_fragments_is_decoded_once() -> None:
    track = AudioTrack()
    track.append(pcm(100_000))
    for number in range(2000):
        track.append(pcm(1, number))
    assert_array_equal(track.samples, np.concatenate([ramp(100_000), ramp(2000)]))


def test_fragments_are_forgotten_like_everything_else() -> None:
    track = AudioTrack()
    for number in range(1000):
        track.append(pcm(1, number))
    track.forget(300)
    assert (track.received, track.kept) == (1000, 700)
    assert_array_equal(track.samples, ramp(1000)[300:])
    track.truncate(900)
    assert_array_equal(track.samples, ramp(900)[300:])
