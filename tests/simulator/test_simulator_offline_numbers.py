"""Numbers in words and in digits, as the offline agent reads them."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from realtime_trio.simulator.offline.numbers import NUMBER, read_number, write_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("zero", "0"),
        ("seventeen", "17"),
        ("twenty-one", "21"),
        ("a hundred", "100"),
        ("three hundred and forty two", "342"),
        ("two thousand five hundred", "2500"),
        ("a million and one", "1000001"),
        ("one hundred twenty thousand", "120000"),
        ("minus three point oh five", "-3.05"),
        ("-12.5", "-12.5"),
        ("1,234,567", "1234567"),
    ],
)
def test_a_number_is_read_as_it_is_said(text: str, value: str) -> None:
    found = re.search(NUMBER, f"is {text} ok", re.IGNORECASE)
    assert found is not None
    assert found[0] == text
    assert write_number(read_number(found[0])) == value


def test_two_numbers_in_a_row_are_two() -> None:
    assert [
        read_number(number) for number in re.findall(NUMBER, "three four and twenty twelve")
    ] == [3, 4, 20, 12]


@given(st.integers(-(10**9), 10**9))
def test_digits_are_read_as_the_number_they_are(value: int) -> None:
    assert read_number(str(value)) == value
    assert write_number(Fraction(value)) == str(value)
