"""The beginning of a session: one greeting, whatever the relay and the service say before it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from realtime_trio.connection import SessionKind
from realtime_trio.events import FunctionTool, SessionConfig, TranslationSessionConfig
from realtime_trio.relay.grant import Grant
from realtime_trio.relay.greeting import Greeting, GreetingError


def get_weather(city: str) -> str:
    """The weather."""
    return city


def greeting(**grant: Any) -> Greeting:
    return Greeting(Grant(**grant), lambda prefix: f"{prefix}1")


def take(begin: Greeting, **payload: Any) -> tuple[Any, list[Any]]:
    update, texts = begin.take(json.dumps(payload), payload)
    return None if update is None else json.loads(update), [json.loads(text) for text in texts]


CREATED = {"type": "session.created", "event_id": "e", "session": {"id": "s"}}
UPDATED = {"type": "session.updated", "event_id": "f", "session": {"id": "s", "voice": "x"}}


def test_without_a_configuration_the_greeting_is_that_of_the_service() -> None:
    begin = greeting()
    assert not begin.is_done
    assert begin.take("as it came", CREATED) == (None, ["as it came"])
    assert begin.is_done


def test_a_session_is_configured_and_then_greeted_as_if_it_had_been_born_so() -> None:
    begin = greeting(session=SessionConfig.of(instructions="Be brief."))
    update, texts = take(begin, **CREATED)
    assert texts == []
    assert update["session"] == {"type": "realtime", "instructions": "Be brief."}
    assert update["event_id"] == "event_1"
    assert not begin.is_done
    assert take(begin, **UPDATED) == (None, [{**CREATED, "session": UPDATED["session"]}])
    assert begin.is_done


def test_tools_are_part_of_the_configuration() -> None:
    for tools, names in (([get_weather], ["get_weather"]), ([FunctionTool(name="a")], ["a"])):
        update, _ = take(greeting(tools=tools), **CREATED)
        assert [tool["name"] for tool in update["session"]["tools"]] == names


def test_a_translation_is_configured_in_its_own_words() -> None:
    begin = greeting(
        kind=SessionKind.TRANSLATION, session=TranslationSessionConfig.of(language="es")
    )
    update, _ = take(begin, **CREATED)
    assert update["session"] == {"audio": {"output": {"language": "es"}}}


def test_what_comes_in_between_comes_after_the_greeting() -> None:
    begin = greeting(session=SessionConfig.of(instructions="Be brief."))
    take(begin, **CREATED)
    assert take(begin, type="conversation.created") == (None, [])
    _, texts = take(begin, **UPDATED)
    assert [text["type"] for text in texts] == ["session.created", "conversation.created"]


@pytest.mark.parametrize("error", [{"message": "no such model"}, "no such model"])
@pytest.mark.parametrize("is_created", [False, True])
def test_a_service_that_refuses_ends_it(error: Any, is_created: bool) -> None:
    begin = greeting(session=SessionConfig.of(instructions="Be brief."))
    if is_created:
        take(begin, **CREATED)
    with pytest.raises(GreetingError, match="no such model"):
        take(begin, type="error", error=error)


def test_a_service_that_only_talks_ends_it() -> None:
    begin = greeting()
    for _ in range(16):
        assert take(begin, type="x") == (None, [])
    with pytest.raises(GreetingError, match="says a lot"):
        take(begin, type="x")
