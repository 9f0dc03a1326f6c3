"""Turn detection by loudness: where a turn begins and ends, and what is not speech."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from realtime_trio.audio import (
    alaw_decode,
    alaw_encode,
    mulaw_decode,
    mulaw_encode,
    read_wav,
    resample,
)
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import SemanticVad, ServerVad
from realtime_trio.events.audio_settings import Eagerness
from realtime_trio.simulator import synthesize_speech
from realtime_trio.simulator.service.turn_detection import (
    SpeechStarted,
    SpeechStopped,
    TurnDetector,
)

Samples: TypeAlias = NDArray[np.int16]

RATE = 24_000
QUESTION = Path(__file__).parents[2] / "examples" / "question.wav"
EXACT = ServerVad(prefix_padding_ms=0, silence_duration_ms=500)


def silence(ms: int, rate: int = RATE) -> Samples:
    return np.zeros(ms * rate // 1000, np.int16)


def noise(ms: int, dbfs: float, rate: int = RATE) -> Samples:
    samples = np.random.default_rng(7).normal(0.0, 32768 * 10 ** (dbfs / 20), ms * rate // 1000)
    return np.clip(np.round(samples), -32768, 32767).astype(np.int16)


def tone(ms: int, dbfs: float = -12.0, rate: int = RATE) -> Samples:
    """A sine of that RMS."""
    phase = np.arange(ms * rate // 1000) * (2 * np.pi * 300 / rate)
    sine: Samples = (np.sin(phase) * (32768 * 2**0.5 * 10 ** (dbfs / 20))).astype(np.int16)
    return sine


def joined(*pieces: Samples) -> Samples:
    return np.concatenate(pieces)


def mixed(one: Samples, other: Samples) -> Samples:
    return (one.astype(np.int32) + other[: len(one)]).clip(-32768, 32767).astype(np.int16)


def extent_ms(samples: Samples) -> tuple[float, float]:
    """Where the part lies that is not quieter than one per cent of full scale."""
    audible = np.flatnonzero(np.abs(samples.astype(np.int32)) > 327)
    return audible[0] / RATE * 1000, (audible[-1] + 1) / RATE * 1000


def heard(
    samples: Samples, vad: ServerVad | SemanticVad = EXACT, rate: int = RATE
) -> tuple[SpeechStarted | SpeechStopped, ...]:
    return TurnDetector(vad, rate=rate).append(samples)


def turns(events: tuple[SpeechStarted | SpeechStopped, ...]) -> list[tuple[int, int]]:
    """Begin and end of each turn; the end of one that is not over is far away."""
    starts = [event.audio_start_ms for event in events if isinstance(event, SpeechStarted)]
    ends = [event.audio_end_ms for event in events if isinstance(event, SpeechStopped)]
    return list(zip(starts, [*ends, 1_000_000], strict=False))


# --- speech ---------------------------------------------------------------------------------------


SPOKEN = {
    "recorded": read_wav(QUESTION),
    "synthetic": synthesize_speech(
        "The weather in Paris is sunny, with a light breeze from the west."
    ),
    "quiet": (read_wav(QUESTION) // 3).astype(np.int16),
}


@pytest.mark.parametrize("background_dbfs", [None, -50.0])
@pytest.mark.parametrize("spoken", SPOKEN.values(), ids=SPOKEN)
def test_speech_is_found_where_it_is(spoken: Samples, background_dbfs: float | None) -> None:
    stream = joined(silence(1234), spoken, silence(1500))
    begin, end = extent_ms(stream)
    if background_dbfs is not None:
        stream = mixed(stream, noise(10_000, background_dbfs))
    [(start_ms, end_ms)] = turns(heard(stream))
    assert start_ms == pytest.approx(begin, abs=60)
    assert end_ms - 500 == pytest.approx(end, abs=60)


@pytest.mark.parametrize("law", ["mu", "a"])
def test_speech_on_the_telephone_is_found_too(law: str) -> None:
    stream = joined(silence(1000), read_wav(QUESTION), silence(1500))
    begin, end = extent_ms(stream)
    narrow = resample(stream, RATE, 8000)
    decoded = (
        mulaw_decode(mulaw_encode(narrow)) if law == "mu" else alaw_decode(alaw_encode(narrow))
    )
    [(start_ms, end_ms)] = turns(heard(decoded, rate=8000))
    assert start_ms == pytest.approx(begin, abs=60)
    assert end_ms - 500 == pytest.approx(end, abs=60)


def test_speech_at_the_very_beginning_of_a_session_is_not_taken_for_background() -> None:
    question = read_wav(QUESTION)
    begin, _ = extent_ms(question)
    assert turns(heard(joined(question[int(begin * RATE / 1000) :], silence(1000))))[0][0] == 0


def test_the_end_of_a_turn_includes_the_silence_behind_it() -> None:
    assert turns(heard(joined(silence(200), tone(400), silence(1000)))) == [(200, 1100)]


def test_what_is_left_out_has_the_defaults_of_the_service() -> None:
    stream = joined(silence(1000), tone(400), silence(2000))
    assert turns(heard(stream, ServerVad())) == [(700, 1600)]
    assert turns(heard(stream, SemanticVad())) == [(700, 2400)]


@pytest.mark.parametrize(
    ("eagerness", "wait_ms"), [("high", 500), ("medium", 1000), ("auto", 1000), ("low", 2000)]
)
def test_the_less_eager_the_longer_semantic_detection_waits(
    eagerness: Eagerness, wait_ms: int
) -> None:
    stream = joined(silence(1000), tone(400), silence(wait_ms - 10), tone(400), silence(3000))
    assert turns(heard(stream, SemanticVad(eagerness=eagerness))) == [
        (700, 1800 + wait_ms - 10 + wait_ms)
    ]


@pytest.mark.parametrize("vad", [ServerVad(silence_duration_ms=300), ServerVad(), SemanticVad()])
def test_a_pause_ends_the_turn_only_if_it_is_long_enough(vad: ServerVad | SemanticVad) -> None:
    wait_ms = 1000 if isinstance(vad, SemanticVad) else vad.silence_duration_ms or 200
    short, long = (
        turns(heard(joined(tone(400), silence(pause), tone(400), silence(2000)), vad))
        for pause in (wait_ms - 10, wait_ms + 10)
    )
    assert len(short) == 1
    assert len(long) == 2


@pytest.mark.parametrize("rate", [8_000, 24_000])
def test_who_wants_half_a_minute_of_silence_gets_all_of_it(rate: int) -> None:
    vad = ServerVad(prefix_padding_ms=0, silence_duration_ms=30_000)
    stream = joined(tone(1000, rate=rate), silence(31_000, rate))
    assert turns(heard(stream, vad, rate)) == [(0, 31_000)]


def test_without_any_patience_the_first_quiet_frame_ends_the_turn() -> None:
    assert turns(heard(joined(tone(100), silence(100)), ServerVad(silence_duration_ms=0))) == [
        (0, 110)
    ]


def test_the_padding_reaches_neither_behind_the_session_nor_into_the_turn_before() -> None:
    stream = joined(silence(100), tone(400), silence(300), tone(400), silence(1000))
    assert turns(heard(stream, ServerVad(prefix_padding_ms=300, silence_duration_ms=200))) == [
        (0, 700),
        (700, 1400),
    ]


# --- what is no speech ----------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, -1, 12_345, 32_767, -32_768])
def test_a_constant_is_silence(level: int) -> None:
    assert heard(np.full(5 * RATE, level, np.int16), ServerVad(threshold=0.0)) == ()


def test_full_scale_is_no_overflow() -> None:
    square = np.repeat(np.tile(np.array([32_767, -32_768], np.int16), 500), 24)
    assert turns(heard(joined(square, silence(1000)), ServerVad(threshold=1.0))) == [(0, 1200)]


@pytest.mark.parametrize("dbfs", [-50.0, -44.0])
def test_noise_below_the_threshold_is_silence(dbfs: float) -> None:
    assert heard(noise(15_000, dbfs)) == ()


@pytest.mark.parametrize("ms", [1, 10, 29])
def test_clicks_neither_begin_a_turn_nor_prolong_it(ms: int) -> None:
    clicks = [part for gap in range(100, 140) for part in (silence(gap), tone(ms, -3.0))]
    assert heard(joined(*clicks)) == ()
    [(_, end_ms)] = turns(heard(joined(tone(400), *clicks)))
    assert end_ms == pytest.approx(900, abs=40)


def test_what_never_pauses_becomes_background() -> None:
    hum = tone(30_000, -30.0)
    [(start_ms, end_ms)] = turns(heard(hum))
    assert start_ms == 0
    assert 10_000 <= end_ms <= 11_500
    # Who speaks louder than that is heard still, and a hum that returns after a rest is news.
    question = read_wav(QUESTION)
    stream = joined(hum, mixed(question, hum), hum[: 5 * RATE], silence(500), hum[:RATE])
    _, (start_ms, end_ms), (again_ms, _) = turns(
        heard(stream, ServerVad(prefix_padding_ms=0, silence_duration_ms=1000))
    )
    assert 30_000 <= start_ms < end_ms <= 30_000 + len(question) / 24 + 1000
    assert again_ms == pytest.approx((len(stream) - RATE) / 24, abs=10)


def test_speech_of_a_minute_does_not_become_background() -> None:
    spoken = np.tile(read_wav(QUESTION), 25)
    assert len(turns(heard(joined(spoken, silence(1000))))) == 1


# --- thresholds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("threshold", "dbfs"), [(0.0, -60), (0.1, -56), (0.5, -40), (0.9, -24), (1.0, -20)]
)
def test_a_threshold_is_a_level(threshold: float, dbfs: float) -> None:
    assert heard(tone(1000, dbfs - 1), ServerVad(threshold=threshold)) == ()
    assert heard(tone(1000, dbfs + 1), ServerVad(threshold=threshold)) == (
        SpeechStarted(audio_start_ms=0),
    )


levels = st.lists(st.tuples(st.integers(10, 400), st.floats(-70, -10)), min_size=1, max_size=12)


@given(levels, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_threshold_hears_nothing_that_a_lower_one_does_not(
    parts: list[tuple[int, float]], one: float, other: float
) -> None:
    stream = joined(*(noise(ms, dbfs, 8000) for ms, dbfs in parts))
    sensitive, deaf = (
        turns(heard(stream, ServerVad(threshold=threshold, prefix_padding_ms=0), 8000))
        for threshold in sorted([one, other])
    )
    for begin, end in deaf:
        assert any(start <= begin and end <= stop for start, stop in sensitive)


# --- streams --------------------------------------------------------------------------------------


STREAM = joined(
    silence(333),
    tone(777),
    silence(555),
    noise(250, -20.0),
    silence(222),
    tone(30),
    silence(900),
    tone(101),
    silence(12_000),
)
WHOLE = heard(STREAM)


@given(st.lists(st.integers(0, len(STREAM)), max_size=40))
def test_the_cut_into_appends_makes_no_difference(cuts: list[int]) -> None:
    detector = TurnDetector(EXACT, rate=RATE)
    events: list[SpeechStarted | SpeechStopped] = []
    for piece in np.split(STREAM, sorted(cuts)):
        events += detector.append(piece)
    assert tuple(events) == WHOLE
    assert len(turns(WHOLE)) == 3


def test_single_samples_are_appends_too() -> None:
    detector = TurnDetector(EXACT, rate=8000)
    stream = joined(silence(15, 8000), tone(105, rate=8000), silence(600, 8000))
    events = [event for sample in stream for event in detector.append(np.array([sample]))]
    assert turns(tuple(events)) == [(10, 620)]


def test_the_axis_begins_where_one_says() -> None:
    detector = TurnDetector(ServerVad(), rate=RATE, start=RATE + 12)
    assert turns(detector.append(joined(tone(400), silence(500)))) == [(1001, 1600)]
    assert detector.append(joined(tone(60))) == (SpeechStarted(audio_start_ms=1601),)


def test_audio_that_is_no_16_bit_mono_is_refused_and_not_counted() -> None:
    detector = TurnDetector(EXACT, rate=RATE)
    with pytest.raises(LocalProtocolError, match="int16"):
        detector.append(np.zeros(RATE, np.float32))
    assert detector.append(tone(100)) == (SpeechStarted(audio_start_ms=0),)


def test_no_audio_is_held() -> None:
    detector = TurnDetector(EXACT, rate=RATE)
    minute = np.tile(tone(1000), 60)
    tracemalloc.start()
    try:
        for _ in range(3):
            detector.append(np.concatenate((minute, minute[:100])))
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 20_000
    assert peak < 4 * minute.nbytes


def test_an_append_may_reuse_its_buffer() -> None:
    detector = TurnDetector(EXACT, rate=RATE)
    buffer = tone(55)
    assert detector.append(buffer) == (SpeechStarted(audio_start_ms=0),)
    buffer[:] = 0
    detector.append(silence(5))
    assert detector.append(silence(1000)) == (SpeechStopped(audio_end_ms=560),)


# --- the client's own commits and clears ----------------------------------------------------------


def test_a_turn_that_the_client_ends_has_no_stop_and_who_speaks_on_begins_another() -> None:
    detector = TurnDetector(EXACT, rate=RATE)
    assert detector.append(joined(silence(500), tone(505))) == (SpeechStarted(audio_start_ms=500),)
    detector.empty()
    assert not detector.is_speaking
    assert detector.append(silence(600)) == ()
    assert detector.append(tone(400)) == (SpeechStarted(audio_start_ms=1600),)
    detector.empty()
    assert turns(detector.append(joined(tone(400), silence(600)))) == [(2005, 2910)]


def test_the_padding_does_not_reach_into_what_the_client_committed_or_cleared() -> None:
    detector = TurnDetector(ServerVad(), rate=RATE)
    detector.append(silence(905))
    detector.empty()
    assert detector.append(joined(silence(100), tone(400))) == (SpeechStarted(audio_start_ms=905),)


def test_a_turn_can_outlive_a_commit() -> None:
    detector = TurnDetector(ServerVad(), rate=RATE)
    detector.append(joined(silence(500), tone(400)))
    detector.empty(turn_goes_on=True)
    assert detector.is_speaking
    assert detector.keep_from_ms == 900
    assert detector.append(joined(tone(400), silence(300))) == (SpeechStopped(audio_end_ms=1500),)
    assert not detector.is_speaking


def test_what_is_older_than_the_padding_need_not_be_kept() -> None:
    detector = TurnDetector(ServerVad(prefix_padding_ms=200), rate=RATE)
    kept = [detector.keep_from_ms]
    for piece in (
        silence(100),
        silence(900),
        tone(40),
        tone(400),
        silence(190),
        silence(10),
        silence(500),
    ):
        detector.append(piece)
        kept.append(detector.keep_from_ms)
    assert kept == [0, 0, 800, 800, 800, 800, 1640, 1940]


operations = st.one_of(
    st.none(), st.booleans(), st.tuples(st.integers(1, 900), st.sampled_from([-70.0, -30.0]))
)


@given(st.lists(operations, max_size=30))
def test_starts_and_stops_alternate_and_never_reach_back(
    steps: list[bool | tuple[int, float] | None],
) -> None:
    detector = TurnDetector(ServerVad(), rate=8000)
    appended = earliest = kept = 0
    for step in steps:
        was_speaking = detector.is_speaking
        if isinstance(step, tuple):
            samples = noise(*step, rate=8000)[1:]
            appended += len(samples)
            for event in detector.append(samples):
                assert was_speaking is isinstance(event, SpeechStopped)
                was_speaking = not was_speaking
                position = (
                    event.audio_start_ms if isinstance(event, SpeechStarted) else event.audio_end_ms
                )
                assert max(earliest, kept * 8) - 8 < position * 8 <= appended
                earliest = position * 8
            assert detector.is_speaking is was_speaking
        elif step is not None:
            detector.empty(turn_goes_on=step)
            assert detector.is_speaking is (was_speaking and step)
            earliest = appended
        assert kept <= detector.keep_from_ms <= appended / 8
        kept = detector.keep_from_ms
