"""The service that commands talk to: how it is chosen, and the session with it."""

from __future__ import annotations

from typing import Any

import click
import pytest
import trio
from click.testing import CliRunner
from commands import KEY, NOTICE, service

from realtime_trio.cli.service import Service, opened, takes_service
from realtime_trio.connection import ExposedKeyWarning
from realtime_trio.events import AudioConfig, AudioOutputConfig, SessionConfig, SessionUpdate

pytestmark = pytest.mark.usefixtures("no_service_in_environment")


def chosen(**options: str | None) -> Service:
    nothing: dict[str, Any] = dict.fromkeys(
        ("url", "api_key", "model", "instructions", "voice"), None
    )
    return Service(**nothing | options)


@click.command()
@click.argument("question")
@takes_service
def ask(service: Service, question: str) -> None:
    """Ask something."""
    print(service, service.api_key, question)


def asked(*arguments: str, **environment: str) -> str:
    result = CliRunner(env=environment).invoke(ask, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output.strip()


def test_the_options_are_one_service_and_the_rest_goes_to_the_command() -> None:
    options = [
        "--url",
        "ws://a",
        "--api-key",
        "sk-1",
        "--model",
        "m",
        "--instructions",
        "i",
        "--voice",
        "v",
    ]
    expected = Service(url="ws://a", api_key="sk-1", model="m", instructions="i", voice="v")
    assert asked(*options, "Why?") == f"{expected} sk-1 Why?"
    assert asked("Why?") == f"{chosen()} None Why?"


def test_address_and_key_may_come_from_the_environment() -> None:
    expected = chosen(url="ws://a", api_key="sk-1")
    assert asked("Why?", OPENAI_BASE_URL="ws://a", OPENAI_API_KEY="sk-1") == f"{expected} sk-1 Why?"


def test_a_command_keeps_its_name_and_its_help() -> None:
    assert ask.name == "ask"
    help_ = asked("--help")
    assert "Ask something." in help_
    for option in ("--url", "--api-key", "--model", "--instructions", "--voice"):
        assert option in help_


def test_a_key_is_not_shown() -> None:
    assert KEY not in repr(chosen(api_key=KEY))


@pytest.mark.socket
async def test_what_was_chosen_reaches_the_service() -> None:
    async with service() as (url, requests, received):
        given = chosen(url=url, api_key=KEY, model="m", instructions="Be brief.", voice="marin")
        with trio.fail_after(10):
            async with opened(given, turn_detection=None):
                pass
    assert requests[0].path == "/v1/realtime?model=m"
    assert requests[0].header("authorization") == f"Bearer {KEY}"
    update = received[0]
    assert isinstance(update, SessionUpdate)
    assert isinstance(update.session, SessionConfig)
    assert update.session.instructions == "Be brief."
    assert isinstance(update.session.audio, AudioConfig)
    assert update.session.audio.output == AudioOutputConfig(voice="marin")


@pytest.mark.socket
async def test_what_was_not_chosen_is_left_to_the_service() -> None:
    async with service() as (url, requests, received):
        with trio.fail_after(10):
            async with opened(chosen(url=url), turn_detection=None):
                pass
    assert requests[0].header("authorization") is None
    update = received[0]
    assert isinstance(update, SessionUpdate)
    assert isinstance(update.session, SessionConfig)
    assert not update.session.instructions
    assert isinstance(update.session.audio, AudioConfig)
    assert not update.session.audio.output


@pytest.mark.socket
async def test_without_a_choice_a_simulator_answers_and_that_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with trio.fail_after(30):
        async with opened(chosen(), output_modalities=["text"]) as session:
            answer = await session.ask("Hello!")
        # It left although the simulator would serve forever.
    assert answer.text.startswith("Hello!")
    assert capsys.readouterr() == ("", NOTICE)


@pytest.mark.socket
async def test_what_the_environment_says_is_left_to_the_library(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with service() as (url, requests, _):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        with trio.fail_after(10):
            async with opened(chosen(url=url, api_key=KEY)):
                pass
    assert requests[0].header("authorization") == f"Bearer {KEY}"
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("key", "is_warned_of"), [(KEY, True), ("own", False)])
async def test_only_a_key_that_was_not_given_for_an_address_is_warned_of(
    key: str, is_warned_of: bool, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    elsewhere = chosen(url="wss://llm.invalid", api_key=key)
    with trio.fail_after(10), pytest.RaisesGroup(Exception, allow_unwrapped=True):
        async with opened(elsewhere):
            pytest.fail("not reached")
    assert [warning.category for warning in recwarn] == [ExposedKeyWarning] * is_warned_of
