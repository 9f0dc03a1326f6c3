"""Which audio a user message is made of."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.testing import assert_array_equal

from realtime_trio._state.conversation.audio import Encoding
from realtime_trio._state.conversation.input_buffer import COMMIT_EMPTY, InputBuffer
from realtime_trio.audio import AudioData
from realtime_trio.events import ErrorDetail, ErrorEvent

MS = 24
"""Samples of a millisecond."""


def appended(*milliseconds: int, capacity_ms: int = 60_000) -> InputBuffer:
    """A buffer with pieces of these lengths; each sample is the millisecond it belongs to."""
    buffer = InputBuffer(capacity_ms)
    start = 0
    for length in milliseconds:
        append(buffer, start, length)
        start += length
    return buffer


def append(buffer: InputBuffer, start: int, length: int) -> None:
    buffer.append(AudioData(np.repeat(np.arange(start, start + length, dtype=np.int16), MS)))


def heard(buffer: InputBuffer, item_id: str = "item_1") -> list[int]:
    """The milliseconds that are in the message."""
    samples = buffer.committed(item_id).audio.samples
    assert len(samples) % MS == 0
    return list(samples[::MS])


def refusal(code: str, event_id: str | None = None) -> ErrorEvent:
    return ErrorEvent(
        event_id="e",
        error=ErrorDetail(type="invalid_request_error", code=code, message="no", event_id=event_id),
    )


def kept_ms(buffer: InputBuffer) -> int:
    """How much audio it holds on to, which nobody can see from outside."""
    return sum(map(len, buffer._chunks or ())) * 1000 // buffer._encoding.bytes_per_s


def test_a_commit_takes_all_that_was_not_committed() -> None:
    buffer = appended(100, 50)
    assert buffer.pending_ms == 150
    assert heard(buffer) == list(range(150))
    assert (buffer.pending_ms, kept_ms(buffer)) == (0, 0)


def test_a_commit_takes_what_was_appended_before_it_was_sent_and_no_more() -> None:
    buffer = appended(100)
    buffer.mark("commit", "evt_1")
    append(buffer, 100, 60)
    assert buffer.pending_ms == 60
    assert heard(buffer) == list(range(100))
    assert (buffer.pending_ms, kept_ms(buffer)) == (60, 60)
    assert heard(buffer, "item_2") == list(range(100, 160))


def test_commits_are_answered_in_their_order() -> None:
    buffer = appended(100)
    buffer.mark("commit", "evt_1")
    append(buffer, 100, 100)
    buffer.mark("commit", "evt_2")
    assert buffer.pending_ms == 0
    assert heard(buffer) == list(range(100))
    assert heard(buffer, "item_2") == list(range(100, 200))


def test_what_a_refused_commit_would_have_taken_is_pending_again() -> None:
    buffer = appended(50)
    buffer.mark("commit", "evt_1")
    buffer.refused(refusal("whatever", "evt_2"))
    assert buffer.pending_ms == 0
    buffer.refused(refusal("whatever", "evt_1"))
    assert buffer.pending_ms == 50


def test_a_refusal_that_names_no_event_is_for_the_oldest_commit() -> None:
    buffer = appended(50)
    buffer.refused(refusal(COMMIT_EMPTY))
    buffer.mark("clear", None)
    buffer.mark("commit", None)
    buffer.refused(refusal("whatever"))
    buffer.refused(refusal(COMMIT_EMPTY, "evt_of_something_else"))
    append(buffer, 50, 10)
    buffer.refused(refusal(COMMIT_EMPTY))
    buffer.cleared()
    assert heard(buffer) == list(range(50, 60))


def test_a_clear_drops_what_was_appended_before_it_was_sent() -> None:
    buffer = appended(100)
    buffer.mark("clear", "evt_1")
    append(buffer, 100, 30)
    buffer.cleared()
    assert heard(buffer) == list(range(100, 130))


def test_a_clear_that_nobody_announced_drops_everything() -> None:
    buffer = appended(100)
    buffer.cleared()
    assert (buffer.pending_ms, heard(buffer)) == (0, [])


def test_a_detected_turn_is_cut_by_the_milliseconds_of_the_session() -> None:
    buffer = appended(1000)
    buffer.speech_started("item_1", 200)
    buffer.speech_stopped("item_1", 700)
    assert heard(buffer) == list(range(200, 700))
    assert buffer.pending_ms == 300


def test_milliseconds_of_the_session_go_on_after_commits() -> None:
    buffer = appended(1000)
    assert heard(buffer) == list(range(1000))
    append(buffer, 1000, 1000)
    buffer.speech_started("item_2", 1100)
    buffer.speech_stopped("item_2", 1400)
    assert heard(buffer, "item_2") == list(range(1100, 1400))


def test_the_padding_of_a_turn_may_reach_back_into_the_one_before() -> None:
    buffer = appended(1000)
    buffer.speech_started("item_1", 0)
    buffer.speech_stopped("item_1", 800)
    assert heard(buffer) == list(range(800))
    buffer.speech_started("item_2", 600)
    buffer.speech_stopped("item_2", 1000)
    assert heard(buffer, "item_2") == list(range(600, 1000))


def test_two_seconds_before_a_turn_are_kept_and_no_more() -> None:
    buffer = appended(*[100] * 60)
    buffer.speech_started("item_1", 0)
    buffer.speech_stopped("item_1", 5000)
    assert len(heard(buffer)) == 5000
    assert kept_ms(buffer) == 3000


def test_a_turn_that_never_began_is_empty() -> None:
    buffer = appended(1000)
    buffer.speech_stopped("item_1", 700)
    assert heard(buffer) == []
    assert buffer.pending_ms == 300


def test_a_commit_in_the_middle_of_a_turn_begins_where_that_began() -> None:
    buffer = appended(1000)
    buffer.speech_started("item_1", 500)
    buffer.mark("commit", "evt_1")
    assert heard(buffer) == list(range(500, 1000))


def test_a_turn_that_ends_in_the_future_ends_now() -> None:
    buffer = appended(100)
    buffer.speech_started("item_1", -50)
    buffer.speech_stopped("item_1", 10**12)
    assert heard(buffer) == list(range(100))


def test_the_audio_of_a_turn_can_be_had_without_a_commit() -> None:
    buffer = appended(1000)
    assert buffer.heard("item_1") is None
    buffer.speech_started("item_1", 0)
    assert buffer.heard("item_1") is None
    buffer.speech_stopped("item_1", 10)
    taken = buffer.heard("item_1")
    assert taken is not None
    assert list(taken.audio.samples[::MS]) == list(range(10))
    assert buffer.heard("item_1") is None


def test_what_is_older_than_the_capacity_is_missing_and_counted() -> None:
    buffer = appended(50, 50, 50, capacity_ms=70)
    assert (buffer.pending_ms, kept_ms(buffer)) == (150, 70)
    committed = buffer.committed("item_1")
    assert_array_equal(committed.audio.samples[::MS], range(80, 150))
    assert committed.missing == 80 * MS


def test_a_turn_of_which_nothing_was_kept_is_missing_as_a_whole() -> None:
    buffer = appended(100, 100, capacity_ms=100)
    buffer.speech_started("item_1", 0)
    buffer.speech_stopped("item_1", 50)
    committed = buffer.committed("item_1")
    assert (committed.audio.nbytes, committed.missing) == (0, 50 * MS)


def test_without_capacity_it_only_counts() -> None:
    buffer = appended(100, 100, capacity_ms=0)
    assert (buffer.pending_ms, kept_ms(buffer)) == (200, 0)
    committed = buffer.committed("item_1")
    assert (committed.audio.nbytes, committed.missing, buffer.pending_ms) == (0, 200 * MS, 0)


def test_audio_that_the_server_will_refuse_is_not_counted() -> None:
    buffer = appended(100)
    buffer.append(AudioData.from_base64("not base64!!"))
    assert buffer.pending_ms == 100


def test_telephony_has_eight_bytes_a_millisecond() -> None:
    buffer = InputBuffer(60_000)
    buffer.configure(Encoding("audio/pcmu", 8_000))
    buffer.append(AudioData(bytes(range(80))))
    assert buffer.pending_ms == 10
    buffer.speech_started("item_1", 2)
    buffer.speech_stopped("item_1", 4)
    committed = buffer.committed("item_1")
    assert (committed.audio.data, committed.missing) == (bytes(range(16, 32)), 0)


def test_another_encoding_drops_the_audio_and_keeps_counting() -> None:
    buffer = appended(1000)
    buffer.configure(Encoding())
    assert kept_ms(buffer) == 1000
    buffer.configure(Encoding("audio/pcmu", 8_000))
    assert (buffer.pending_ms, kept_ms(buffer)) == (1000, 0)
    buffer.append(AudioData(bytes(range(80))))
    assert buffer.pending_ms == 1010
    buffer.speech_started("item_1", 1002)
    buffer.speech_stopped("item_1", 1004)
    assert buffer.committed("item_1").audio.data == bytes(range(16, 32))


def test_a_new_session_begins_at_zero() -> None:
    buffer = appended(1000)
    buffer.mark("commit", None)
    buffer.reset()
    assert (buffer.pending_ms, kept_ms(buffer)) == (0, 0)
    append(buffer, 0, 10)
    buffer.speech_started("item_1", 0)
    buffer.speech_stopped("item_1", 5)
    assert heard(buffer) == list(range(5))


def test_turns_that_are_never_committed_do_not_pile_up() -> None:
    buffer = appended(1000)
    for number in range(100):
        buffer.speech_started(f"item_{number}", 0)
        buffer.speech_stopped(f"item_{number}", 10)
    assert buffer.heard("item_0") is None
    assert buffer.heard("item_99") is not None


@given(st.lists(st.integers(0, 7), max_size=10), st.integers(1, 3))
def test_odd_pieces_make_whole_samples(sizes: list[int], capacity_ms: int) -> None:
    buffer = InputBuffer(capacity_ms)
    data = b"".join(bytes([number % 251]) * size for number, size in enumerate(sizes, 1))
    position = 0
    for size in sizes:
        buffer.append(AudioData(data[position : position + size]))
        position += size
    kept = buffer.committed("item_1").audio.data
    assert kept == data[len(data) - len(kept) :]
    assert (len(data) - len(kept)) % 2 == 0


_STEPS = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 40)),
    st.tuples(st.sampled_from(["commit", "clear", "cleared", "committed", "refuse"]), st.just(0)),
    st.tuples(st.sampled_from(["started", "stopped", "heard"]), st.integers(-5, 200)),
)


@pytest.mark.parametrize("capacity_ms", [0, 30, 10_000])
@given(steps=st.lists(_STEPS, max_size=30))
def test_whatever_happens_it_keeps_no_more_than_its_capacity_and_counts_nothing_twice(
    capacity_ms: int, steps: list[tuple[str, int]]
) -> None:
    buffer = InputBuffer(capacity_ms)
    total = 0
    for number, (step, value) in enumerate(steps):
        match step:
            case "append":
                append(buffer, total, value)
                total += value
            case "commit":
                buffer.mark("commit", f"evt_{number}")
            case "clear":
                buffer.mark("clear", None)
            case "cleared":
                buffer.cleared()
            case "committed":
                milliseconds = heard(buffer, f"item_{value}")
                assert all(
                    after == before + 1 for before, after in itertools.pairwise(milliseconds)
                )
            case "refuse":
                buffer.refused(refusal(COMMIT_EMPTY))
            case "started":
                buffer.speech_started("item_0", value)
            case "stopped":
                buffer.speech_stopped("item_0", value)
            case _:
                buffer.heard("item_0")
        assert kept_ms(buffer) <= max(capacity_ms, 0)
        assert 0 <= buffer.pending_ms <= total
