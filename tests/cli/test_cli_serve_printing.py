"""`realtime-trio serve`: what it prints, recordings that it plays, and its console."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
from commands import GREETING, KEY, QUESTION, interrupt, run, started
from console_visits import get, opened, setup

from realtime_trio import (
    ConnectionFailed,
    RealtimeError,
    open_session,
    open_transcription_session,
)
from realtime_trio._protocol.kinds import DEFAULT_MODEL
from realtime_trio.console.access import Token
from realtime_trio.console.serving import Address

pytestmark = [
    pytest.mark.socket,
    pytest.mark.usefixtures("no_service_in_environment"),
]


@asynccontextmanager
async def serving(*arguments: str) -> AsyncIterator[tuple[str, list[str]]]:
    """A server in a process of its own: its URL, and in the end the lines that it has printed."""
    lines: list[str] = []
    with started("serve", "--port", "0", "--no-voice", *arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            # With JSON the greeting is for people.
            stream = process.stderr if "--json" in arguments else process.stdout
            with trio.fail_after(60):
                greeting = await trio.to_thread.run_sync(stream.readline)
                yield greeting.split()[4], lines
        except BaseException:
            process.kill()
            raise
        spoken, remarks = await trio.to_thread.run_sync(interrupt, process)
        assert (process.returncode, remarks) == (130, "")
        lines += spoken.splitlines()


def script_of(folder: Path, *replies: object) -> str:
    path = folder / "script.json"
    path.write_text(json.dumps({"replies": replies, "pacing": "instant"}))
    return str(path)


async def test_serve_prints_what_is_said(tmp_path: Path) -> None:
    script = script_of(tmp_path, "It is noon.")
    async with serving("--script", script) as (url, lines):
        async with open_session(url=url, output_modalities=("audio",)) as session:
            await session.ask("What time is it?")
        async with open_session(url=url):
            pass
    said = [line for line in lines if '"' in line]
    assert said[0] == '[1] -> "What time is it?"'
    assert re.fullmatch(r'\[1\] <- "It is noon\." \(\d\.\d s\)', said[1])
    assert len(said) == 2
    assert [line[:3] for line in lines].count("[2]") == 3
    assert not any("delta" in line for line in lines)


async def test_serve_can_be_quiet(tmp_path: Path) -> None:
    async with serving("--quiet") as (url, lines), open_session(url=url) as session:
        await session.ask("Hello?")
    assert lines == []


async def test_serve_prints_json_for_programs(tmp_path: Path) -> None:
    async with (
        serving("--json", "--script", script_of(tmp_path, "Hi.")) as (url, lines),
        open_session(url=url) as session,
    ):
        await session.ask("Hello?")
        await session.send_raw({"type": "x", "authorization": "Bearer sk-abcdefgh1234"})
    first, *records, last = map(json.loads, lines)
    assert (first["kind"], first["connection"], first["model"]) == ("connected", 1, DEFAULT_MODEL)
    assert (last["kind"], last["code"]) == ("disconnected", 1000)
    assert {record["kind"] for record in records} == {"record"}
    types = [record["event"]["type"] for record in records]
    assert types[0] == "session.created"
    assert "response.output_audio.delta" in types
    # Audio is left out, and so are keys.
    (spoken, *_) = [r for r in records if r["event"]["type"] == "response.output_audio.delta"]
    assert re.fullmatch(r"<\d+ bytes of audio>", spoken["event"]["delta"])
    (secret,) = [r["event"]["authorization"] for r in records if r["event"]["type"] == "x"]
    assert secret == "<secret>"


async def test_a_recording_is_played_to_every_client(tmp_path: Path) -> None:
    path = tmp_path / "call.jsonl"
    async with (
        serving("--script", script_of(tmp_path, "It is noon.")) as (url, _),
        open_session(url=url, record=path) as session,
    ):
        await session.ask("What time is it?")
    async with serving("--replay", str(path)) as (url, lines):
        for _ in range(2):
            async with open_session(url=url) as session:
                assert (await session.ask("How late is it?")).text == "It is noon."
        with pytest.raises(ConnectionFailed, match="replays a realtime session"):
            async with open_transcription_session(url=url):
                pass
    assert [line for line in lines if "turned away" in line]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--replay", QUESTION, "--llm", "http://x", "--model", "x"], "--replay says everything"),
        (["--replay", QUESTION, "--script", QUESTION], "--replay says everything"),
        (["--quiet", "--json"], "--quiet prints nothing"),
    ],
)
def test_options_that_exclude_each_other_are_named(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("serve", *arguments) == 2
    assert problem in capsys.readouterr().err


async def test_the_console_is_on_the_same_port() -> None:
    with started("serve", "--port", "0", "--no-voice", "--console", "--api-key", KEY) as process:
        assert process.stdout is not None
        try:
            with trio.fail_after(60):
                url = (await trio.to_thread.run_sync(process.stdout.readline)).split()[4]
                shown = (await trio.to_thread.run_sync(process.stdout.readline)).split()[4]
                base, _, token = shown.partition("/#")
                address = Address(base, Token(token))
                # The page needs the token and no key, and everybody else a key and no token.
                told = await setup(address)
                async with opened(address, told["realtime_url"]) as page:
                    await page.until_type("session.created")
                with pytest.raises(ConnectionFailed, match="API key"):
                    async with open_session(url=url, api_key="sk-wrong"):
                        pass
                async with open_session(url=url, api_key=KEY) as session:
                    assert (await session.ask("Hello?")).text == GREETING.strip()
                status, _, _ = await get(base, "/v1/models", token=KEY)
                assert status == 200
                assert (await get(base, "/v1/models"))[0] == 401
                assert (await get(base, "/"))[0] == 200
        except BaseException:
            process.kill()
            raise
        await trio.to_thread.run_sync(interrupt, process)


async def test_serve_ends_quietly_when_nobody_reads() -> None:
    """As in `serve | head -1`."""
    process = started("serve", "--port", "0", "--no-voice")
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        with trio.fail_after(60):
            url = (await trio.to_thread.run_sync(process.stdout.readline)).split()[4]
            process.stdout.close()
            with suppress(RealtimeError):
                async with open_session(url=url) as session:
                    await session.ask("Hello?")
            assert await trio.to_thread.run_sync(process.wait) == 141
            assert process.stderr.read() == ""
    finally:
        process.kill()
        process.stdout = None
        process.communicate()
