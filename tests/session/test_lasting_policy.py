"""When another connection is tried, and when it would be of no use."""

from __future__ import annotations

import math

import pytest

from realtime_trio._session.lasting.policy import Reconnect, is_final, is_refused
from realtime_trio._transport.contract import Close
from realtime_trio.errors import ConnectionFailed, LocalProtocolError


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"attempts": -1}, "attempts must be a whole number from 0 up"),
        ({"attempts": 1.5}, "attempts must be a whole number"),
        ({"give_up_after": 0}, "give_up_after must be more than 0 seconds"),
        ({"delay": -1}, "delay must be 0 or more"),
        ({"longest_delay": -1}, "longest_delay must be 0 or more"),
        ({"stale_audio": -1}, "stale_audio must be 0 or more"),
        ({"longest_session": 0}, "longest_session must be more than 0"),
        ({"resume": "never"}, "resume must be 'ask' or 'drop'"),
        ({"renew_before": 0}, "renew_before must be more than 0 seconds"),
        ({"renew_before": 3600}, "less than longest_session"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, object], problem: str) -> None:
    with pytest.raises(LocalProtocolError, match=problem):
        Reconnect(**options)  # type: ignore[arg-type]


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(TypeError, match="attempts"):
        Reconnect(attempts="many")  # type: ignore[arg-type]


def test_a_policy_may_go_on_for_ever() -> None:
    policy = Reconnect(attempts=math.inf, give_up_after=math.inf, renew_before=None)  # type: ignore[arg-type]
    assert policy.delay_before(10_000, lambda: 0.0) == policy.longest_delay


def test_delays_double_up_to_a_limit_and_are_shortened_at_random() -> None:
    policy = Reconnect(delay=0.5, longest_delay=3.0)
    assert [policy.delay_before(n, lambda: 0.0) for n in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert policy.delay_before(2, lambda: 1.0) == 0.5
    assert policy.delay_before(2, lambda: 0.5) == 0.75


@pytest.mark.parametrize(
    "error",
    [
        ConnectionFailed("no", status=401),
        ConnectionFailed("no", status=403),
        ConnectionFailed("no", status=404),
        ConnectionFailed("no", code="invalid_api_key"),
        ConnectionFailed("no", code="insufficient_quota"),
        ConnectionFailed("no", code="invalid_model"),
        LocalProtocolError("the api_key function returned an empty key"),
        TypeError("no"),
    ],
)
def test_what_would_be_the_same_the_next_time_is_refused(error: Exception) -> None:
    assert is_refused(error)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionFailed("no"),
        ConnectionFailed("no", status=429),
        ConnectionFailed("no", status=408),
        ConnectionFailed("no", status=425),
        ConnectionFailed("no", status=500),
        ConnectionFailed("no", status=503),
        ConnectionFailed("no", status=302),
        ConnectionFailed("no", code="server_error"),
        OSError("the network is down, says the function for the key"),
    ],
)
def test_what_may_be_another_the_next_time_is_tried_again(error: Exception) -> None:
    assert not is_refused(error)


@pytest.mark.parametrize(
    ("code", "final"),
    [
        *((code, False) for code in (1001, 1005, 1006, 1011, 1012, 1013, 1014, 1015)),
        *((code, True) for code in (1002, 1003, 1007, 1008, 1009, 1010)),
        *((code, True) for code in (3000, 4000, 4999)),
        (2999, False),
    ],
)
def test_codes_of_the_close_say_whether_it_is_final(code: int, final: bool) -> None:
    assert is_final(Close(code), None) is final
    assert is_final(Close(code), "session_expired") is final
    assert is_final(Close(code), "insufficient_quota")
