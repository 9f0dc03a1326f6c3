"""`realtime-trio relay`: who gets in, what it prints, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from commands import interrupt, run, started

from realtime_trio import ConnectionFailed, open_session
from realtime_trio.relay import TokenIssuer

QUESTION = Path(__file__).parents[2] / "examples" / "question.wav"
SECRET = "a secret that has 32 bytes or more"

pytestmark = [pytest.mark.socket, pytest.mark.usefixtures("no_service_in_environment")]
posix = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM to send")


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.endswith(" until Ctrl-C or SIGTERM\n"), line
    return line.split()[4]


async def ask(url: str, token: str | None = None) -> str:
    with trio.fail_after(30):
        async with open_session(url=url, api_key=token) as session:
            return (await session.ask("Hello!")).text


@posix
def test_guests_talk_through_it_until_sigterm() -> None:
    process = started("relay", "--port", "0", "--instructions", "Be brief.")
    url = address_of(process)
    assert trio.run(ask, url)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    record = json.loads(output)
    assert (record["who"], record["why"], record["responses"]) == ("anonymous", "guest_left", 1)
    assert "built-in simulator" in errors
    assert process.returncode == 0


@posix
def test_with_a_secret_only_tokens_let_in(tmp_path: Path) -> None:
    process = started("relay", "--port", "0", "--secret", SECRET, "--record", str(tmp_path))
    url = address_of(process)
    issued = started("relay", "--secret", SECRET, "--issue", "ann")
    token = issued.communicate(timeout=60)[0].strip()
    with pytest.raises(ConnectionFailed) as refused:
        trio.run(ask, url)
    assert refused.value.status == 401
    assert trio.run(ask, url, token)
    with pytest.raises(ConnectionFailed):
        trio.run(ask, url, token)
    output, _ = interrupt(process)
    assert json.loads(output)["who"] == "ann"
    assert len(list(tmp_path.iterdir())) == 1
    assert process.returncode == 130


def test_whoever_is_refused_is_told_why_by_our_own_client(
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = started("relay", "--port", "0", "--secret", SECRET)
    url = address_of(process)
    token = TokenIssuer(SECRET.encode()).issue("ann")
    assert trio.run(ask, url, token)
    assert run("say", "--url", url, "--api-key", token, str(QUESTION)) == 1
    assert capsys.readouterr().err.endswith(" 401 Unauthorized: the token has been used\n")
    assert run("say", "--url", f"{url}/nothing", str(QUESTION)) == 1
    interrupt(process)


@posix
def test_guests_choose_how_they_talk_and_no_more() -> None:
    async def talk(url: str) -> None:
        with trio.fail_after(30):
            async with open_session(
                url=url, api_key=None, turn_detection=None, max_output_tokens=7
            ) as session:
                config = session.config
                assert config.audio is not None
                assert config.audio.input is not None
                assert config.audio.input.turn_detection is None
                assert config.max_output_tokens != 7

    process = started("relay", "--port", "0")
    trio.run(talk, address_of(process))
    interrupt(process)


def test_a_token_is_printed_that_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("relay", "--secret", SECRET, "--issue", "ann", "--token-seconds", "9") == 0
    token = capsys.readouterr().out.strip()
    assert TokenIssuer(SECRET.encode()).redeem(token).who == "ann"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--issue", "ann"], 2, "--issue needs --secret"),
        (["--key", __file__], 2, "--key needs --cert"),
        (["--host", "0.0.0.0"], 1, "without authorization"),
        (["--secret", "short"], 1, "32 bytes"),
        (["--allow-origin", "nonsense"], 1, "origin of a web page"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(
    arguments: list[str], status: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("relay", "--port", "0", *arguments) == status
    assert words in capsys.readouterr().err
