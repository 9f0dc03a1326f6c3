"""What a request says about its client."""

from __future__ import annotations

import pytest

from realtime_trio._serving.http import RequestHead
from realtime_trio._serving.requests import key_of, path_of, query_of
from realtime_trio._serving.websocket_server import HandshakeRequest


def head(path: str = "/v1/realtime", **headers: str) -> RequestHead:
    return RequestHead(
        path=path,
        headers=tuple((name.replace("_", "-"), value) for name, value in headers.items()),
        peer=("127.0.0.1", 1),
    )


@pytest.mark.parametrize(
    ("path", "bare"),
    [("/v1/realtime?model=x", "/v1/realtime"), ("/", ""), ("/a//", "/a"), ("/a/?b=/", "/a")],
)
def test_a_path_has_neither_query_nor_slashes_at_its_end(path: str, bare: str) -> None:
    assert path_of(head(path)) == bare


def test_of_a_parameter_that_stands_twice_the_last_value_counts() -> None:
    assert query_of(head("/x?a=1&b=%20&a=2")) == {"a": "2", "b": " "}


@pytest.mark.parametrize(
    ("request_head", "key"),
    [
        (head(), None),
        (head(authorization="Bearer  sk-1 "), "sk-1"),
        (head(authorization="bearer sk-1"), "sk-1"),
        (head(authorization="Basic sk-1"), None),
        (head(authorization="Bearer"), None),
        (head(api_key="sk-2"), "sk-2"),
        (head(sec_websocket_protocol="realtime, openai-insecure-api-key.sk-3"), "sk-3"),
        (head(sec_websocket_protocol="realtime"), None),
        (head(api_key="sk-2", sec_websocket_protocol="openai-insecure-api-key.sk-3"), "sk-2"),
        (head(authorization="Bearer sk-1", api_key="sk-2"), "sk-1"),
    ],
)
def test_a_key_is_found_wherever_the_service_looks_for_it(
    request_head: RequestHead, key: str | None
) -> None:
    assert key_of(request_head) == key


def test_a_key_among_the_subprotocols_of_a_handshake() -> None:
    request = HandshakeRequest(
        path="/", headers=(), peer=("::1", 1), subprotocols=("x", "openai-insecure-api-key.sk-3")
    )
    assert key_of(request) == "sk-3"
