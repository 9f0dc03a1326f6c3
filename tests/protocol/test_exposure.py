"""Where a key would be seen by others than those it is meant for."""

from __future__ import annotations

import pytest

from realtime_trio._protocol.exposure import exposure_of_key, is_loopback, is_openai


@pytest.mark.parametrize(
    ("host", "loopback", "openai"),
    [
        ("127.0.0.1", True, False),
        ("127.8.9.10", True, False),
        ("::1", True, False),
        ("localhost", True, False),
        ("LocalHost", True, False),
        ("sim.localhost", True, False),
        ("localhost.example.com", False, False),
        ("notlocalhost", False, False),
        ("0.0.0.0", False, False),
        ("192.168.0.2", False, False),
        ("api.openai.com", False, True),
        ("eu.api.openai.com", False, True),
        ("api.openai.com.example.com", False, False),
        ("evil-api.openai.com", False, False),
        ("", False, False),
    ],
)
def test_this_machine_and_openai_are_known_by_their_whole_names(
    host: str, loopback: bool, openai: bool
) -> None:
    assert (is_loopback(host), is_openai(host)) == (loopback, openai)


@pytest.mark.parametrize(
    ("url", "borrowed", "own"),
    [
        ("wss://api.openai.com/v1", None, None),
        ("https://EU.API.OPENAI.COM", None, None),
        ("ws://localhost:8765/v1", None, None),
        ("http://[::1]:8765/v1", None, None),
        ("wss://127.0.0.1", None, None),
        ("wss://api.openai.com.evil.example/v1", "which is not OpenAI", None),
        ("https://api.openai.com@evil.example/v1", "sent to evil.example, which", None),
        ("wss://llm.example:444/v1", "sent to llm.example, which", None),
        ("ws://llm.example/v1", "without encryption", "without encryption"),
        ("http://api.openai.com/v1", "without encryption", "without encryption"),
        ("http://10.0.0.5:4000", "sent to 10.0.0.5 without", "sent to 10.0.0.5 without"),
        ("wss://[bad", None, None),
    ],
)
def test_a_key_is_exposed_on_the_way_or_by_going_astray(
    url: str, borrowed: str | None, own: str | None
) -> None:
    for is_borrowed, problem in ((True, borrowed), (False, own)):
        found = exposure_of_key(url, is_borrowed=is_borrowed)
        assert (found is None) == (problem is None)
        assert problem is None or problem in str(found)


def test_the_complaint_shows_nothing_but_the_host() -> None:
    found = exposure_of_key("ws://al:s3cret@llm.example/s3cret?key=s3cret", is_borrowed=False)
    assert "s3cret" not in str(found)
