"""Arguments that no connection and no session can be opened with: refused before anything is."""

from __future__ import annotations

import asyncio
import math
from collections import UserDict
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from realtime_trio import (
    Dialect,
    Endpoint,
    azure,
    open_connection,
    open_session,
    open_transcription_session,
    open_translation_session,
)
from realtime_trio._runtime.hub import EventHub
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio.connection import WebSocketSettings
from realtime_trio.errors import LocalProtocolError
from realtime_trio.testing import open_simulated_session

NOWHERE = "ws://127.0.0.1:1/v1"
NAMED_LATER = "open_translation_session"


async def nothing() -> str:
    await trio.lowlevel.checkpoint()
    return ""


async def number() -> Any:
    await trio.lowlevel.checkpoint()
    return 5


OPENINGS: dict[str, Callable[..., Any]] = {
    "open_session": open_session,
    "open_connection": open_connection,
    "open_transcription_session": open_transcription_session,
    NAMED_LATER: open_translation_session,
}

CONNECTING: list[tuple[str, object, type[Exception], str]] = [
    ("url", 5, TypeError, "url must be a str, an Endpoint or None, not int"),
    ("model", 5, TypeError, "model must be a str or None, not int"),
    ("api_key", 5, TypeError, "api_key must be a str, an async function or None, not int"),
    ("api_key", "", LocalProtocolError, "api_key is empty; None sends no key"),
    ("api_key", nothing, LocalProtocolError, "the api_key function returned an empty key"),
    ("api_key", number, LocalProtocolError, "the api_key function returned int, not a str"),
    ("auth", "basic", LocalProtocolError, "'bearer', 'api-key' or 'subprotocol', not 'basic'"),
    ("dialect", "beta", TypeError, "must be Dialect.GA or Dialect.BETA, not 'beta'"),
    ("organization", 5, TypeError, "organization must be a str or None, not int"),
    ("project", 5, TypeError, "project must be a str or None, not int"),
    ("safety_identifier", b"x", TypeError, "safety_identifier must be a str or None, not bytes"),
    ("call_id", 5, TypeError, "call_id must be a str or None, not int"),
    ("headers", 5, TypeError, "headers must be a mapping of str to str, or pairs of two str"),
    ("headers", "ab", TypeError, "headers must be a mapping of str to str, or pairs of two str"),
    ("headers", ["ab"], TypeError, "each of the headers must be a pair of two str, not str"),
    ("headers", [("a", "b", "c")], TypeError, "each of the headers must be a pair of two str"),
    ("headers", {"X-Number": 5}, TypeError, "each of the headers must be a pair of two str"),
    ("ssl_context", "x", TypeError, "ssl_context must be an SSLContext or None, not str"),
    ("proxy", 5, TypeError, "proxy must be a str or None, not int"),
    ("connect_timeout", -1, LocalProtocolError, "connect_timeout must be 0 or more seconds"),
    ("connect_timeout", None, TypeError, "connect_timeout must be 0 or more seconds, not None"),
    ("close_timeout", "2", TypeError, "close_timeout must be 0 or more seconds, not str"),
    ("ping_interval", 0, LocalProtocolError, "ping_interval must be more than 0 seconds, not 0"),
    ("ping_timeout", None, TypeError, "ping_timeout must be more than 0 seconds, not None"),
    ("max_message_size", 0, LocalProtocolError, "max_message_size must be at least 1, not 0"),
    ("receive_buffer_size", 0, LocalProtocolError, "receive_buffer_size must be at least 1"),
]


@pytest.mark.parametrize("opening", OPENINGS)
@pytest.mark.parametrize(("name", "value", "error", "said"), CONNECTING)
async def test_an_option_that_cannot_be_meant_is_refused_before_connecting(
    opening: str, name: str, value: object, error: type[Exception], said: str
) -> None:
    if name == "model" and opening == "open_transcription_session":
        error, said = LocalProtocolError, "got an integer @ "
    options: dict[str, object] = {"url": NOWHERE, name: value}
    if opening == NAMED_LATER:
        options["language"] = "fr"
    with pytest.raises(error, match=said):
        async with OPENINGS[opening](**options):
            pytest.fail("not reached")


SESSION: list[tuple[str, object, type[Exception], str]] = [
    ("retention", "some", LocalProtocolError, "'all', 'none' or a number of seconds from 0 up"),
    ("retention", -1, LocalProtocolError, "'all', 'none' or a number of seconds from 0 up, not -1"),
    ("retention", math.inf, LocalProtocolError, "number of seconds from 0 up, not inf"),
    ("retention", None, TypeError, "retention must be 'all', 'none' or a number"),
    ("capacity", 0, ValueError, "capacity must be at least 1 event, not 0"),
    ("capacity", "x", TypeError, "capacity must be a whole number of events, not str"),
    ("new_id", "item_", TypeError, "new_id must be a function from a prefix to an id, not str"),
    ("transport", 5, TypeError, "transport must be a Transport, .* or None, not int"),
]
VOICE: list[tuple[str, object, type[Exception], str]] = [
    ("tool_concurrency", 1.5, LocalProtocolError, "a whole number from 1 up, not 1.5"),
    ("tool_concurrency", "8", TypeError, "a whole number from 1 up, not str"),
    ("tool_errors", "none", LocalProtocolError, "'type', 'full' or a function of the exception"),
    ("tool_errors", None, TypeError, "'type', 'full' or a function of the exception, not None"),
    ("tool_output_limit", 0, LocalProtocolError, "whole number of characters from 1 up, or None"),
    ("tool_output_limit", "all", TypeError, "a whole number of characters from 1 up, or None"),
    ("tool_timeout", None, TypeError, "tool_timeout must be more than 0 seconds, not None"),
    ("approval_timeout", 0, LocalProtocolError, "approval_timeout must be more than 0 seconds"),
    ("history", "user: hello", TypeError, "history must be a list of entries, not str"),
    ("history", {"type": "message"}, TypeError, "history must be a list of entries, not dict"),
    ("history", 5, TypeError, "history must be a list of entries, not int"),
]


@pytest.mark.parametrize(
    ("opening", "name", "value", "error", "said"),
    [
        *(("open_session", *each) for each in SESSION + VOICE),
        *(("open_transcription_session", *each) for each in SESSION),
        *((NAMED_LATER, *each) for each in SESSION if each[0] != "retention"),
    ],
)
async def test_an_argument_that_no_session_can_have_is_refused_before_connecting(
    opening: str, name: str, value: object, error: type[Exception], said: str
) -> None:
    options: dict[str, object] = {"url": NOWHERE, name: value}
    if opening == NAMED_LATER:
        options["language"] = "fr"
    with pytest.raises(error, match=said):
        async with OPENINGS[opening](**options):
            pytest.fail("not reached")


async def test_an_option_is_looked_at_also_with_a_transport_of_ones_own(
    autojump_clock: MockClock,
) -> None:
    misspelt: Any = {"dialect": "beta"}
    with pytest.raises(TypeError, match=r"Dialect\.BETA, not 'beta'"):
        async with open_simulated_session(**misspelt):
            pytest.fail("not reached")


def test_patience_may_be_endless_and_a_pace_left_out() -> None:
    settings = WebSocketSettings(
        connect_timeout=math.inf, close_timeout=0, ping_interval=None, ping_timeout=math.inf
    )
    assert settings.ping_interval is None


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Trace": "1", "X-Other": "2"},
        UserDict({"X-Trace": "1", "X-Other": "2"}),
        [("X-Trace", "1"), ("X-Other", "2")],
        [["X-Trace", "1"], ["X-Other", "2"]],
    ],
    ids=["a dict", "another mapping", "pairs", "lists of two"],
)
@pytest.mark.parametrize(
    "make",
    [
        lambda headers: Endpoint(headers=headers),
        lambda headers: azure("https://res.openai.azure.com", "d", api_key="k", headers=headers),
    ],
    ids=["Endpoint", "azure"],
)
def test_headers_may_be_a_mapping_or_pairs(
    make: Callable[[Any], Endpoint], headers: object
) -> None:
    assert make(headers).headers == (("X-Trace", "1"), ("X-Other", "2"))


def test_headers_may_come_from_an_iterator() -> None:
    pairs = (pair for pair in [("X-Trace", "1")])
    assert Endpoint(headers=pairs).headers == (("X-Trace", "1"),)


def test_two_letters_are_not_a_header() -> None:
    assert Endpoint(headers={"ab": "x"}).headers == (("ab", "x"),)


def test_what_is_refused_of_a_header_is_not_shown() -> None:
    misused: Any = [("Authorization", "s3cret", "s3cret")]
    with pytest.raises(TypeError) as caught:
        Endpoint(headers=misused)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", ["url", "model_parameter"])
def test_an_endpoint_is_made_of_text(name: str) -> None:
    misused: Any = {name: 5}
    with pytest.raises(TypeError, match=f"{name} must be a str, not int"):
        Endpoint(**misused)


def test_an_endpoint_without_a_key_has_none() -> None:
    assert Endpoint(api_key=None, dialect=Dialect.BETA).api_key is None


@pytest.mark.parametrize("retention", ["all", "none", 0, 2.5])
def test_what_a_conversation_keeps_is_a_word_or_seconds(retention: Any) -> None:
    assert Conversation(retention=retention).items == ()


def test_a_stream_that_holds_nothing_is_refused() -> None:
    misused: Any = 1.5
    with pytest.raises(TypeError, match="capacity must be a whole number of events, not float"):
        EventHub(capacity=misused)
    with pytest.raises(ValueError, match="at least 1 event, not 0"):
        EventHub[object]().subscribe(capacity=0)


async def test_a_key_that_is_fetched_may_take_its_time(autojump_clock: MockClock) -> None:
    async def slow() -> str:
        await trio.sleep(0.1)
        return ""

    fetch: Callable[[], Awaitable[str]] = slow
    with pytest.raises(LocalProtocolError, match="returned an empty key"):
        async with open_connection(NOWHERE, api_key=fetch):
            pytest.fail("not reached")


@pytest.mark.parametrize("opening", [*OPENINGS, "open_simulated_session"])
@pytest.mark.parametrize("loop", ["asyncio", "none"])
def test_where_there_is_no_trio_a_sentence_says_so(opening: str, loop: str) -> None:
    options = {"language": "fr"} if opening == NAMED_LATER else {}
    openings: dict[str, Callable[..., Any]] = {
        **OPENINGS,
        "open_simulated_session": open_simulated_session,
    }

    async def enter() -> None:
        async with openings[opening](**options):
            pytest.fail("not reached")

    def run() -> None:
        if loop == "asyncio":
            asyncio.run(enter())
        else:
            enter().send(None)

    with pytest.raises(LocalProtocolError, match=r"in trio alone, .* with trio\.run\(main\)$"):
        run()
