"""Tokens that are good once, for a while, and for whom they were made."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given, strategies as st

from realtime_trio._transport.headers import TOKEN
from realtime_trio.errors import LocalProtocolError
from realtime_trio.relay.access import AccessDenied
from realtime_trio.relay.tokens import Token, TokenIssuer

SECRET = bytes(range(32))


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def issuer(**options: Any) -> tuple[TokenIssuer, Clock]:
    clock = Clock()
    return TokenIssuer(SECRET, clock=clock, **options), clock


def denied(issuer: TokenIssuer, token: str, **options: Any) -> tuple[int, str]:
    with pytest.raises(AccessDenied) as denial:
        issuer.redeem(token, **options)
    assert token[:20] not in str(denial.value)
    return denial.value.status, denial.value.code


def test_a_token_says_what_was_put_in() -> None:
    made, _ = issuer()
    assert made.redeem(made.issue("ann", data={"model": "m"})) == Token(
        who="ann", data={"model": "m"}
    )
    assert made.redeem(made.issue("änn")) == Token(who="änn")


def test_a_token_is_good_once() -> None:
    made, _ = issuer()
    token = made.issue("ann")
    made.redeem(token)
    assert denied(made, token) == (401, "token_used")
    made.redeem(made.issue("ann"))


def test_a_token_expires_and_is_forgotten_then() -> None:
    made, clock = issuer()
    token, other = made.issue("ann", seconds=30), made.issue("ann", seconds=30)
    made.redeem(other)
    clock.now += 29.9
    made.redeem(token)
    clock.now += 0.1
    assert denied(made, token) == (401, "token_expired")
    made.redeem(made.issue("ann"))
    assert len(made._spent) == 1


def test_a_token_may_be_good_from_one_address_alone() -> None:
    made, _ = issuer()
    token = made.issue("ann", address="192.0.2.1")
    assert denied(made, token) == (403, "token_elsewhere")
    assert denied(made, token, address="192.0.2.2") == (403, "token_elsewhere")
    assert made.redeem(token, address="192.0.2.1").who == "ann"
    assert made.redeem(made.issue("ann"), address="192.0.2.1").who == "ann"


def test_tokens_of_others_are_not_good() -> None:
    made, _ = issuer()
    assert denied(made, TokenIssuer(bytes(32)).issue("ann")) == (401, "token_invalid")


@given(st.text() | st.from_regex(r"rt1\.[\w-]*\.[\w-]*", fullmatch=True))
def test_nothing_that_was_not_issued_is_good(token: str) -> None:
    made, _ = issuer()
    with pytest.raises(AccessDenied):
        made.redeem(token)


@given(st.data())
def test_no_letter_of_a_token_can_be_changed(data: st.DataObject) -> None:
    made, _ = issuer()
    token = made.issue("ann")
    at = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("abcXYZ019-_."))
    changed = token[:at] + letter + token[at + 1 :]
    if changed == token:
        return
    # The last letter of a signature has bits that say nothing, and is compared all the same.
    assert denied(made, changed) == (401, "token_invalid")


def test_a_signature_is_not_good_for_another_payload() -> None:
    made, _ = issuer()
    form, payload, signature = made.issue("ann").split(".")
    content = json.loads(base64.urlsafe_b64decode(payload + "=="))
    forged = base64.urlsafe_b64encode(json.dumps({**content, "who": "bob"}).encode()).decode()
    assert denied(made, f"{form}.{forged.rstrip('=')}.{signature}") == (401, "token_invalid")


def test_a_token_can_be_a_subprotocol() -> None:
    made, _ = issuer()
    for number in range(50):
        assert TOKEN.fullmatch(made.issue(f"änn {number}", data={"a": "\n"}))


def test_spending_can_be_shared() -> None:
    spent: dict[str, float] = {}

    def spend(token_id: str, expires_at: float) -> bool:
        return spent.setdefault(token_id, expires_at) == expires_at and len(spent) == 1

    made, clock = issuer(spend=spend)
    token = made.issue("ann", seconds=10)
    made.redeem(token)
    assert list(spent.values()) == [clock.now + 10]
    assert denied(made, made.issue("ann")) == (401, "token_used")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"secret": "text" * 10}, TypeError),
        ({"secret": b"short"}, LocalProtocolError),
    ],
)
def test_a_secret_is_one(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match="32 bytes"):
        TokenIssuer(**arguments)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"who": 1}, TypeError),
        ({"seconds": 0}, LocalProtocolError),
        ({"seconds": float("inf")}, LocalProtocolError),
        ({"data": {"a": "x" * 4000}}, LocalProtocolError),
    ],
)
def test_what_cannot_be_a_token_is_refused(
    arguments: dict[str, Any], error: type[Exception]
) -> None:
    made, _ = issuer()
    with pytest.raises(error):
        made.issue(**{"who": "ann", **arguments})


def test_a_token_too_long_for_a_header_is_not_looked_at() -> None:
    made, _ = issuer()
    assert denied(made, "x" * 5000) == (401, "token_invalid")
    assert re.match(r"rt1\.", made.issue("ann"))
