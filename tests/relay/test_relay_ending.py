"""How a session ends: which code for whom."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from realtime_trio._transport.contract import Close, check_close_code
from realtime_trio.relay.ending import DRAINED, forwarded, limit_reached, too_big, unavailable


@pytest.mark.parametrize(
    ("code", "other"),
    [
        (1000, 1000),
        (1001, 1001),
        (1005, 1000),
        (1006, 1011),
        (1011, 1011),
        (1015, 1011),
        (3000, 3000),
        (4321, 4321),
        (999, 1011),
        (5000, 1011),
    ],
)
def test_codes_are_passed_on_unless_they_never_travel(code: int, other: int) -> None:
    assert forwarded(Close(code, "why")).code == other


def test_a_reason_is_passed_on_with_its_code_and_not_with_another() -> None:
    assert forwarded(Close(4000, "why")) == Close(4000, "why")
    assert forwarded(Close(1005)) == Close(1000)
    assert forwarded(Close(1006, "the key is sk-1")) == Close(1011, "the other side was lost")


@given(st.integers(0, 70_000).filter(lambda code: code != 1004))
def test_whatever_comes_can_be_sent(code: int) -> None:
    check_close_code(forwarded(Close(code)).code)


def test_endings_say_why_to_whom_it_concerns() -> None:
    limit = limit_reached("idle", "session_idle", "nobody says anything")
    assert limit.error is not None
    assert (limit.why, limit.close, limit.error.code) == (
        "idle",
        Close(1008, "session_idle"),
        "session_idle",
    )
    big = too_big(11, 10)
    assert big.error is not None
    assert (big.close.code, big.error.message) == (
        1009,
        "a message of 11 characters is too long; allowed: 10",
    )
    none = unavailable("Incorrect API key provided: sk-1")
    assert none.error is not None
    assert "sk-1" not in f"{none.close} {none.error}"
    assert "sk-1" in none.detail
    assert DRAINED.close.code == 1001
