"""Which route a request is for."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_trio._serving.http import RequestHead
from realtime_trio.errors import LocalProtocolError
from realtime_trio.relay.routes import Route, find_route

ROUTES = [Route("/a"), Route("/a/*"), Route("/a/b/*"), Route("/a/b/c"), Route("/dir/")]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/a", "/a"),
        ("/a/", "/a"),
        ("/a?b", "/a"),
        ("/a/x", "/a/*"),
        ("/a/b", "/a/b/*"),
        ("/a/b/x/y", "/a/b/*"),
        ("/a/b/c", "/a/b/c"),
        ("/a/b/c/", "/a/b/c"),
        ("/dir", "/dir/"),
        ("/dir/x", None),
        ("/ab", None),
        ("/", None),
    ],
)
def test_a_path_counts_first_then_the_longest_that_fits(path: str, found: str | None) -> None:
    request = RequestHead(path=path, headers=(), peer=("127.0.0.1", 1))
    route = find_route(ROUTES, request)
    assert (None if route is None else route.path) == found


def test_one_route_may_serve_all_that_nobody_else_does() -> None:
    request = RequestHead(path="/", headers=(), peer=("127.0.0.1", 1))
    assert find_route([Route("/*")], request) == Route("/*")


@pytest.mark.parametrize("path", ["page", "/a*", "/*/b", "", "*"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(LocalProtocolError, match="route"):
        Route(path)


def test_a_path_is_a_text() -> None:
    wrong: Any = None
    with pytest.raises(TypeError, match="path must be a str"):
        Route(wrong)
