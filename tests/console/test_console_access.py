"""The token of a console, and what browsers are told with every answer."""

from __future__ import annotations

import json

import pytest

from realtime_trio._serving.http import RequestHead
from realtime_trio.console.access import POLICY, Token, json_response, problem_response, response


def showing(**headers: str) -> RequestHead:
    return RequestHead(
        path="/setup.json",
        headers=tuple((name.replace("_", "-"), value) for name, value in headers.items()),
        peer=("127.0.0.1", 1),
    )


def test_a_token_is_shown_in_a_header_or_a_subprotocol() -> None:
    token = Token()
    assert token.is_shown_by(showing(authorization=f"Bearer {token.text}"))
    protocols = f"realtime, openai-insecure-api-key.{token.text}"
    assert token.is_shown_by(showing(sec_websocket_protocol=protocols))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {'A' * 43}"},
        {"authorization": "Bearer \xe9"},
        {"sec_websocket_protocol": "realtime"},
        {"sec_websocket_protocol": "openai-insecure-api-key."},
    ],
)
def test_anything_else_is_not_the_token(headers: dict[str, str]) -> None:
    assert not Token().is_shown_by(showing(**headers))


def test_tokens_are_long_and_each_is_another() -> None:
    tokens = {Token().text for _ in range(100)}
    assert len(tokens) == 100
    assert {len(token) for token in tokens} == {43}
    assert Token("abc").text not in repr(Token("abc"))


def test_answers_have_the_headers() -> None:
    answer = response(200, b"x", "text/plain", (("x-more", "1"),))
    headers = dict(answer.headers)
    assert headers["content-type"] == "text/plain"
    assert headers["content-security-policy"] == POLICY
    assert headers["cache-control"] == "no-store"
    assert headers["x-more"] == "1"
    told = json_response({"a": 1})
    assert (told.status, json.loads(told.body)) == (200, {"a": 1})
    problem = problem_response(404, "nothing")
    assert (problem.status, json.loads(problem.body)) == (404, {"error": {"message": "nothing"}})
