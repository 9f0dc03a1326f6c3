"""Numbers as people say and write them: "12.5", "1,000", "twenty-one", "minus three".

A pattern that finds them and a function that reads what it found; nothing else.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

_UNITS: Final = {
    word: n
    for n, word in enumerate(
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"], 1
    )
}
_TEENS: Final = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety"
_VALUES: Final = (
    {"zero": 0, "oh": 0, "a": 1}
    | _UNITS
    | {word: n for n, word in enumerate(_TEENS.split(), 10)}
    | {word: 10 * n for n, word in enumerate(_TENS.split(), 2)}
)
_SCALES: Final = {"hundred": 100, "thousand": 1000, "million": 1_000_000}


def _any(words: str | dict[str, int]) -> str:
    return f"(?:{'|'.join(words.split() if isinstance(words, str) else words)})"


_UNIT: Final = _any(_UNITS)
# Longer forms stand before shorter ones: of two alternatives that fit, the first is taken.
_BELOW_100: Final = f"(?:{_any(_TENS)}(?:[ -]{_UNIT})?|{_any(_TEENS)}|{_UNIT}|zero)"
_BELOW_1000: Final = f"(?:(?:{_UNIT}|a) hundred(?: (?:and )?{_BELOW_100})?|{_BELOW_100})"
_BELOW_MILLION: Final = (
    f"(?:(?:{_BELOW_1000}|a) thousand(?: (?:and )?{_BELOW_1000})?|{_BELOW_1000})"
)
_WORDS: Final = (
    f"(?:(?:{_BELOW_1000}|a) million(?: (?:and )?{_BELOW_MILLION})?|{_BELOW_MILLION})"
    f"(?: point(?: (?:{_UNIT}|zero|oh))+)?"
)

NUMBER: Final = (
    rf"(?:(?<![\w.])-|\bminus )?(?:(?<![\w.])\d+(?:,\d{{3}})*(?:\.\d+)?(?![\d])|\b{_WORDS}\b)"
)
"""Finds a number; without groups, for patterns that ignore case."""


def read_number(text: str) -> Fraction:
    """The exact value of what `NUMBER` matched; for any other text there is no promise."""
    words = re.split(r"[ -]", re.sub(r"^(?:-|minus )", "", text.lower()))
    value = _read_digits(words[0]) if words[0][0].isdigit() else _read_words(words)
    return -value if re.match(r"-|minus ", text, re.IGNORECASE) else value


def _read_digits(text: str) -> Fraction:
    return Fraction(text.replace(",", ""))


def _read_words(words: list[str]) -> Fraction:
    whole, _, decimals = " ".join(words).partition(" point ")
    total = group = 0
    for word in whole.split():
        if word == "hundred":
            group *= 100
        elif word in _SCALES:
            total, group = total + group * _SCALES[word], 0
        elif word != "and":
            group += _VALUES[word]
    # Behind the point every word is one digit: "point one oh five".
    digits = "".join(str(_VALUES[word]) for word in decimals.split())
    return Fraction(f"{total + group}.{digits or 0}")


def write_number(value: Fraction) -> str:
    """In digits, to six decimals: `84`, `0.333333`."""
    return (
        str(value.numerator)
        if value.denominator == 1
        else f"{float(value):.6f}".rstrip("0").rstrip(".")
    )
