"""Who is let in: tokens in requests, sessions that are counted, and refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from realtime_trio._serving.websocket_server import HandshakeRequest
from realtime_trio.connection import SessionKind
from realtime_trio.relay.access import (
    AccessDenied,
    Doors,
    check_kind_of_session,
    refusal,
    token_of,
)
from realtime_trio.relay.grant import Grant


def request(path: str = "/v1/realtime", *subprotocols: str, **headers: str) -> HandshakeRequest:
    return HandshakeRequest(
        path=path,
        headers=tuple(headers.items()),
        peer=("192.0.2.1", 1),
        subprotocols=subprotocols,
    )


def test_a_token_is_found_where_clients_put_it() -> None:
    assert token_of(request(authorization="Bearer a")) == "a"
    assert token_of(request("/", "realtime", "openai-insecure-api-key.b")) == "b"
    assert token_of(request("/?token=c"), query="token") == "c"
    assert token_of(request("/?token=c", authorization="Bearer a"), query="token") == "a"


@pytest.mark.parametrize(
    ("shown", "query"), [(request(), None), (request("/?token=c"), None), (request(), "token")]
)
def test_without_a_token_nobody_is_let_in(shown: HandshakeRequest, query: str | None) -> None:
    with pytest.raises(AccessDenied) as denial:
        token_of(shown, query=query)
    assert (denial.value.status, denial.value.code) == (401, "token_missing")


@pytest.mark.parametrize("status", [401, 403, 429])
def test_a_refusal_is_json_and_kept_by_nobody(status: int) -> None:
    response = refusal(status, "code", "why")
    headers = dict(response.headers)
    assert json.loads(response.body)["error"] == {
        "message": "why",
        "type": "invalid_request_error",
        "code": "code",
    }
    assert response.status == status
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert ("www-authenticate" in headers) is (status == 401)


@pytest.mark.parametrize(
    ("path", "kind", "fits"),
    [
        ("/v1/realtime?model=x", SessionKind.REALTIME, True),
        ("/v1/realtime?intent=transcription", SessionKind.TRANSCRIPTION, True),
        ("/v1/realtime/translations", SessionKind.TRANSLATION, True),
        ("/v1/realtime", SessionKind.TRANSCRIPTION, False),
        ("/v1/realtime/translations", SessionKind.REALTIME, False),
    ],
)
def test_a_guest_gets_the_kind_of_session_that_it_asks_for_or_none(
    path: str, kind: SessionKind, fits: bool
) -> None:
    if fits:
        check_kind_of_session(request(path), Grant(kind=kind))
    else:
        with pytest.raises(AccessDenied, match=kind.value):
            check_kind_of_session(request(path), Grant(kind=kind))


def code_of(doors: Doors, grant: Grant, address: str = "a") -> tuple[int, str] | None:
    try:
        doors.enter(grant, address)
    except AccessDenied as denied:
        return denied.status, denied.code
    return None


def test_sessions_are_counted_in_total_by_address_and_by_guest() -> None:
    ann, bob = Grant(who="ann", sessions=1), Grant(who="bob", sessions=5)
    doors = Doors(3, 2)
    assert code_of(doors, ann) is None
    assert code_of(doors, ann) == (429, "too_many_sessions_of_guest")
    assert code_of(doors, bob) is None
    assert code_of(doors, bob) == (429, "too_many_sessions_of_address")
    assert code_of(doors, bob, "b") is None
    assert code_of(doors, bob, "c") == (429, "too_many_sessions")
    assert doors.inside == 3
    doors.leave(ann, "a")
    assert code_of(doors, ann) is None
    doors.is_closing = True
    assert code_of(doors, ann, "d") == (503, "stopping")


whos = st.sampled_from(["ann", "bob", "cat"])
addresses = st.sampled_from(["a", "b"])


@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.lists(st.tuples(st.booleans(), whos, addresses), max_size=60),
)
def test_no_count_is_ever_exceeded_and_none_is_left_over(
    most: int, most_per_address: int, steps: list[tuple[bool, str, str]]
) -> None:
    doors = Doors(most, most_per_address)
    inside: list[tuple[Grant, str]] = []
    for comes, who, address in steps:
        if comes:
            grant = Grant(who=who, sessions=2)
            if code_of(doors, grant, address) is None:
                inside.append((grant, address))
        elif inside:
            doors.leave(*inside.pop())
        assert doors.inside == len(inside) <= most
        assert all(sum(a == x for _, a in inside) <= most_per_address for x in "ab")
        assert all(sum(g.who == x for g, _ in inside) <= 2 for x in ("ann", "bob", "cat"))
    while inside:
        doors.leave(*inside.pop())
    left: Any = (doors._by_who, doors._by_address)
    assert left == ({}, {})
