"""How patient a WebSocket is and how much it accepts."""

from __future__ import annotations

import math
from typing import Any

import pytest

from realtime_trio._transport.settings import WebSocketSettings
from realtime_trio.errors import LocalProtocolError


def test_what_is_usual_is_what_is_written_in_the_reasons() -> None:
    settings = WebSocketSettings()
    assert (settings.connect_timeout, settings.close_timeout) == (10, 2)
    assert (settings.ping_interval, settings.ping_timeout) == (20, 20)
    assert settings.max_message_size == 64 * 1024 * 1024
    assert settings.receive_buffer_size == 64 * 1024


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connect_timeout", 0),
        ("close_timeout", 0),
        ("close_timeout", math.inf),
        ("ping_interval", None),
        ("ping_interval", 1e-3),
        ("ping_timeout", math.inf),
        ("max_message_size", 1),
        ("receive_buffer_size", 1),
    ],
)
def test_a_setting_may_be_as_small_as_it_makes_sense(name: str, value: Any) -> None:
    assert getattr(WebSocketSettings(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("connect_timeout", -1e-3, "0 or more seconds"),
        ("close_timeout", -1, "0 or more seconds"),
        ("ping_interval", 0, "more than 0 seconds"),
        ("ping_timeout", 0, "more than 0 seconds"),
        ("max_message_size", 0, "at least 1"),
        ("receive_buffer_size", 0.5, "at least 1"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(name: str, value: Any, allowed: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"^{name} must be {allowed}, not {value}$"):
        WebSocketSettings(**{name: value})
    with pytest.raises(TypeError, match=f"^{name} must be {allowed}, not str$"):
        WebSocketSettings(**{name: "5"})  # type: ignore[arg-type]
