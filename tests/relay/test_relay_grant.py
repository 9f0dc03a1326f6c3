"""What a guest may do: the value, and what is refused before anybody is let in."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_trio._protocol.kinds import DEFAULT_MODEL
from realtime_trio.connection import SessionKind
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    FunctionTool,
    SessionConfig,
    TranscriptionSessionConfig,
    TranslationSessionConfig,
)
from realtime_trio.money import Budget
from realtime_trio.relay.grant import ANY, Grant, allows


def get_weather(city: str) -> str:
    """The weather."""
    return city


def test_a_grant_without_anything_is_for_somebody_who_talks() -> None:
    grant = Grant()
    assert grant.model_or_default == DEFAULT_MODEL
    assert allows(grant.events, "response.create")
    assert not allows(grant.events, "session.update")
    assert not allows(grant.events, "conversation.item.delete")
    assert grant.own_tools == frozenset()


def test_all_names_may_be_allowed_at_once() -> None:
    assert allows(frozenset({ANY}), "anything")
    assert not allows(frozenset(), "anything")


def test_functions_run_in_the_relay_and_definitions_do_not() -> None:
    grant = Grant(tools=[get_weather, FunctionTool(name="paint")])
    assert grant.tools.names == ("get_weather", "paint")
    assert grant.own_tools == {"get_weather"}
    assert Grant(tools=grant.tools).tools is grant.tools


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"who": 1}, TypeError),
        ({"model": 1}, TypeError),
        ({"kind": "realtime"}, TypeError),
        ({"limits": 1}, TypeError),
        ({"budget": 1}, TypeError),
        ({"budget": Budget(usd=1)}, LocalProtocolError),
        ({"events": "input_audio_buffer.append"}, TypeError),
        ({"items": [1]}, TypeError),
        ({"session": TranscriptionSessionConfig()}, TypeError),
        ({"kind": SessionKind.TRANSLATION, "session": SessionConfig()}, TypeError),
        ({"sessions": 0}, LocalProtocolError),
        ({"unknown": "maybe"}, LocalProtocolError),
        ({"other_updates": "pass"}, LocalProtocolError),
        ({"tools": [get_weather], "kind": SessionKind.TRANSCRIPTION}, LocalProtocolError),
        ({"session": SessionConfig(tools=())}, LocalProtocolError),
    ],
)
def test_a_grant_that_makes_no_sense_is_refused(
    fields: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Grant(**fields)


def test_the_instructions_of_a_grant_are_those_of_its_session() -> None:
    assert Grant().instructions is None
    assert Grant(session=SessionConfig()).instructions is None
    assert Grant(session=SessionConfig.of(instructions="x")).instructions == "x"


def test_a_budget_is_kept_by_a_meter() -> None:
    assert Grant().meter(0.0) is None
    meter = Grant(budget=Budget(seconds=10)).meter(5.0)
    assert meter is not None
    assert meter.next_time == 13.0


def test_every_kind_of_session_has_a_configuration_of_its_own() -> None:
    translation = Grant(
        kind=SessionKind.TRANSLATION, session=TranslationSessionConfig.of(language="es")
    )
    assert translation.model_or_default == "gpt-realtime-translate"
    assert Grant(kind=SessionKind.TRANSCRIPTION, session=TranscriptionSessionConfig()).session
