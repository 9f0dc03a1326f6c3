"""What peers say, where people read it."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from realtime_trio._legible import MOST_SHOWN, legible


@pytest.mark.parametrize("said", ["", "Invalid value: 'x'.", "Größe 10 µs, 東京", "a" * MOST_SHOWN])
def test_ordinary_text_stays_as_it_is(said: str) -> None:
    assert legible(said) == said


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("one\ntwo\r\n\tthree", r"one\ntwo\r\n\tthree"),
        ("\x1b]0;owned\x07\x9b2J", r"\x1b]0;owned\x07\x9b2J"),
        ("key\u202eterces\u2028\x00", r"key\u202eterces\u2028\x00"),
        ("half \ud83d", r"half \ud83d"),
    ],
)
def test_what_would_do_more_than_be_read_is_written_out(said: str, shown: str) -> None:
    assert legible(said) == shown


def test_a_long_text_is_cut_off_and_says_so() -> None:
    assert legible("x" * 1_500_000) == "x" * MOST_SHOWN + "... (1500000 characters)"
    assert legible("abcdef", 4) == "abcd... (6 characters)"
    assert legible("\n" * 501) == r"\n" * (MOST_SHOWN // 2) + "... (501 characters)"


@given(said=st.text(max_size=40), most=st.integers(1, 20))
def test_any_text_is_printable_and_bounded(said: str, most: int) -> None:
    shown = legible(said, most)
    assert shown.isprintable()
    assert len(shown) <= most + len("... (40 characters)")
    shown.encode()
