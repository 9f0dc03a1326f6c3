"""Which words of a speech were heard, by how much of it was."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from realtime_trio._state.conversation.heard import words_heard

SHARES = st.floats(0, 1, allow_nan=False)


@pytest.mark.parametrize(
    ("words", "heard", "whole", "expected"),
    [
        ("one two three four", 500, 1000, "one two"),
        ("one two three four", 390, 1000, "one two"),  # just to the end of "two"
        ("one two three four", 380, 1000, "one"),
        ("one two three four", 100, 1000, ""),
        ("one two three four", 1000, 1000, "one two three four"),
        ("one two three four", 1200, 1000, "one two three four"),
        ("one two three four", 0, 1000, ""),
        ("one two three four", 0, 0, ""),
        ("one two three four", 10, 0, ""),
        ("one\ntwo  three", 400, 1000, "one"),
        ("今日はとても暑いですね", 500, 1000, "今日はとて"),
        ("สวัสดีครับ", 500, 1000, "สวัสด"),
        ("", 500, 1000, ""),
    ],
)
def test_words_count_by_their_share_of_the_time(
    words: str, heard: float, whole: float, expected: str
) -> None:
    assert words_heard(words, heard, whole) == expected


@given(st.text(), SHARES)
def test_what_was_heard_is_a_beginning_that_took_no_longer_than_that(
    words: str, share: float
) -> None:
    heard = words_heard(words, share, 1.0)
    assert words.startswith(heard)
    assert len(heard) <= len(words) * share


@given(st.lists(st.text("abc", min_size=1), min_size=1).map(" ".join), SHARES)
def test_no_word_is_heard_in_part(words: str, share: float) -> None:
    heard = words_heard(words, share, 1.0)
    assert heard.split(" ") == words.split(" ")[: len(heard.split(" "))] or heard == ""


@given(st.text(), SHARES, SHARES)
def test_who_hears_longer_hears_no_less(words: str, one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert len(words_heard(words, less, 1.0)) <= len(words_heard(words, more, 1.0))
