"""Arguments that cannot be used: the wording, and misspelt keywords wherever keywords are taken."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from simulated import open_simulated, types_sent
from trio.testing import MockClock

from realtime_trio import (
    open_connection,
    open_session,
    open_transcription_session,
    open_translation_session,
    tool,
)
from realtime_trio._misuse import (
    check_choice,
    check_keywords,
    check_kind,
    check_number,
    kind_of,
    without_extra,
)
from realtime_trio.errors import LocalProtocolError
from realtime_trio.testing import open_simulated_session

# --- the wording ----------------------------------------------------------------------------------


def test_known_keywords_are_fine() -> None:
    check_keywords({"voice": 1}, ["voice", "speed"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["voise"], "unexpected keyword 'voise' (did you mean 'voice'?); allowed are speed, voice"),
        (["zzz"], "unexpected keyword 'zzz'; allowed are speed, voice"),
        (
            ["zzz", "voice", "sped"],
            "unexpected keyword 'sped' (did you mean 'speed'?), 'zzz'; allowed are speed, voice",
        ),
    ],
)
def test_an_unknown_keyword_is_named_with_the_one_that_was_meant(
    given: list[str], said: str
) -> None:
    with pytest.raises(TypeError, match=rf"^{re.escape(said)}$"):
        check_keywords(given, ["voice", "speed"])


def test_a_value_of_a_wrong_kind_is_not_shown() -> None:
    check_kind("model", "x", str, allowed="a str")
    check_kind("key", None, str, type(None), allowed="a str or None")
    with pytest.raises(TypeError, match=r"^model must be a str, not bytes$"):
        check_kind("model", b"secret", str, allowed="a str")


def test_a_value_that_is_not_known_is_shown_with_those_that_are() -> None:
    check_choice("auth", "bearer", ["bearer", "api-key"])
    with pytest.raises(LocalProtocolError, match=r"^auth must be 'a', 'b' or 'c', not 'basic'$"):
        check_choice("auth", "basic", ["a", "b", "c"])


def above_0(value: float) -> bool:
    return value > 0


@pytest.mark.parametrize("value", [1, 0.5, math.inf, np.float32(2.0), np.int16(3)])
def test_whatever_is_a_number_is_one(value: Any) -> None:
    check_number("timeout", value, above_0, allowed="more than 0 seconds")


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        ("5", TypeError, "str"),
        (None, TypeError, "None"),
        (True, TypeError, "bool"),
        (0, LocalProtocolError, "0"),
        (math.nan, LocalProtocolError, "nan"),
    ],
)
def test_what_is_not_a_number_or_does_not_fit_is_refused(
    value: Any, error: type[Exception], shown: str
) -> None:
    with pytest.raises(error, match=rf"^timeout must be more than 0 seconds, not {shown}$"):
        check_number("timeout", value, above_0, allowed="more than 0 seconds")


@pytest.mark.parametrize(
    ("value", "kind"), [(None, "None"), ({}, "dict"), (int, "the class int"), (5, "int")]
)
def test_what_was_given_is_named_by_its_kind(value: object, kind: str) -> None:
    assert kind_of(value) == kind


def test_what_needs_an_extra_says_how_to_install_it() -> None:
    assert without_extra("a proxy", "python-socks", "proxy") == (
        "a proxy needs python-socks, of the extra proxy: "
        "pip install '.[proxy]' in a clone of realtime_trio"
    )


# --- misspelt keywords ----------------------------------------------------------------------------

OPENED: dict[str, tuple[Callable[..., Any], dict[str, object], str]] = {
    "a setting": (open_session, {"voise": "marin"}, "'voise' (did you mean 'voice'?)"),
    "an option": (open_session, {"apikey": "k"}, "'apikey' (did you mean 'api_key'?)"),
    "a keyword of its own": (open_session, {"tool": []}, "'tool' (did you mean 'tools'?)"),
    "a word of the beta protocol": (
        open_session,
        {"input_audio_format": "pcm16"},
        "'input_audio_format' (did you mean 'input_format'?)",
    ),
    "a connection": (open_connection, {"header": []}, "'header' (did you mean 'headers'?)"),
    "a transcription": (
        open_transcription_session,
        {"turn_detektion": None},
        "'turn_detektion' (did you mean 'turn_detection'?)",
    ),
    "a translation": (
        open_translation_session,
        {"language": "fr", "recording": "x"},
        "'recording' (did you mean 'record'?)",
    ),
    "a simulation": (open_simulated_session, {"voise": "x"}, "'voise' (did you mean 'voice'?)"),
}


@pytest.mark.parametrize("case", OPENED)
async def test_a_misspelt_keyword_is_found_before_anything_is_opened(case: str) -> None:
    opening, keywords, said = OPENED[case]
    with pytest.raises(TypeError, match=re.escape(f"unexpected keyword {said}; allowed are ")):
        async with opening(**keywords):
            pytest.fail("not reached")


@pytest.mark.parametrize("method", ["update", "respond", "ask", "send_message"])
async def test_a_misspelt_setting_is_found_before_anything_is_sent(
    autojump_clock: MockClock, method: str
) -> None:
    content = ["Hello"] if method in ("ask", "send_message") else []
    async with open_simulated() as session:
        wire = session.wire()
        types_sent(wire)  # the opening
        with pytest.raises(TypeError, match=r"'voise' \(did you mean 'voice'\?\)"):
            await getattr(session, method)(*content, voise="marin")
        with pytest.raises(TypeError, match=r"'voise' \(did you mean 'voice'\?\)"):
            async with session.open_response(voise="marin"):  # type: ignore[call-arg]
                pytest.fail("not reached")
        assert types_sent(wire) == []


def test_a_misspelt_option_of_a_tool_is_found_where_it_is_written() -> None:
    misspelt: Any = {"retries": 3}
    with pytest.raises(TypeError, match="unexpected keyword 'retries'; allowed are definition, "):
        tool(**misspelt)
    misspelt = {"time_out": 3}
    with pytest.raises(TypeError, match=r"'time_out' \(did you mean 'timeout'\?\)"):
        tool(print, **misspelt)
