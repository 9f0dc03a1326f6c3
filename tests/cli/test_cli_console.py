"""`realtime-trio console`: what it says, what it shows, and how it ends."""

from __future__ import annotations

import json
import re
import subprocess
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from commands import KEY, interrupt, run, run_beside, started
from console_visits import get, opened, serving, setup
from recordings import client, created, saved, server

from realtime_trio._protocol.kinds import DEFAULT_MODEL
from realtime_trio.cli import console as command
from realtime_trio.console.access import Token
from realtime_trio.console.recorded import RecordedSource
from realtime_trio.console.serving import Address
from realtime_trio.events import ResponseCreate
from realtime_trio.recording import Recording, read_recording
from realtime_trio.simulator import Reply, Script, serve_simulator
from realtime_trio.simulator.serving.rest import MODELS, TALKING_MODELS

pytestmark = [pytest.mark.socket, pytest.mark.usefixtures("no_service_in_environment")]

RECORDING = Recording.of([*server(created()), *client(ResponseCreate())])


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[Address]:
    """A console in a process of its own."""
    process = started("console", "--port", "0", "--no-browser", *arguments)
    try:
        assert process.stdout is not None
        with trio.fail_after(60):
            line: str = await trio.to_thread.run_sync(process.stdout.readline)
        found = re.fullmatch(r"the console is at (.+)/#(\S+) until Ctrl-C\n", line)
        assert found is not None
        yield Address(found[1], Token(found[2]))
        output, errors = await trio.to_thread.run_sync(interrupt, process)
        assert (process.returncode, output) == (130, "")
        assert "Traceback" not in errors
    finally:
        process.kill()
        process.communicate()


async def test_the_simulator_talks_with_the_page() -> None:
    async with running() as address:
        told = await setup(address)
        assert told["simulator"]
        assert told["models"] == list(TALKING_MODELS)
        assert told["title"] == DEFAULT_MODEL
        async with (
            opened(address, told["inspect_url"]) as seen,
            opened(address, told["realtime_url"]) as page,
        ):
            await page.until_type("session.created")
            await page.say({"type": "session.update", "session": TEXT})
            await page.say({"type": "conversation.item.create", "item": HELLO})
            await page.say({"type": "response.create"})
            done = await page.until_type("response.done")
            assert "simulator" in json.dumps(done)
            assert not any(message["kind"] == "marks" for message in seen.got)
        status, _, _ = await get(address.base, "/v1/models")
        assert status == 404


TEXT = {"type": "realtime", "output_modalities": ["text"]}
HELLO = {
    "type": "message",
    "role": "user",
    "content": [{"type": "input_text", "text": "Hello"}],
}


async def test_a_script_is_what_the_simulator_says(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"replies": ["It is noon."], "pacing": "instant"}')
    async with running("--script", str(script)) as address:
        told = await setup(address)
        async with opened(address, told["realtime_url"]) as page:
            await page.say({"type": "session.update", "session": TEXT})
            await page.say({"type": "response.create"})
            assert "It is noon." in json.dumps(await page.until_type("response.done"))


async def test_a_recording_is_shown(tmp_path: Path) -> None:
    path = saved(tmp_path / "call.jsonl", RECORDING)
    async with running("--open", str(path)) as address:
        told = await setup(address)
        assert (told["source"], told["title"]) == ("recording", "call.jsonl")
        async with opened(address, told["inspect_url"]) as page:
            await page.until_kind("end")
            assert [m["kind"] for m in page.got] == ["state", "record", "record", "end"]


def test_a_file_that_is_no_recording_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("x\n")
    assert run("console", "--open", str(path), "--no-browser") == 1
    assert capsys.readouterr().err.startswith(f"realtime-trio: {path} is not a recording")


def test_a_recording_has_no_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path / "call.jsonl", RECORDING)
    assert run("console", "--open", str(path), "--script", str(path)) == 2
    assert "--open is for one that is over" in capsys.readouterr().err


async def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(RecordedSource(RECORDING, "x")) as address:
        port = address.base.rpartition(":")[2]
        assert await run_beside("console", "--port", port, "--no-browser") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"realtime-trio: cannot listen at 127.0.0.1:{port}: ")


def test_the_browser_is_opened_unless_it_is_not_wanted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def open_and_end(url: str) -> bool:
        seen.append(url)
        raise OSError("that was all")

    monkeypatch.setattr(webbrowser, "open", open_and_end)
    assert run("console", "--port", "0") == 1
    assert f"the console is at {seen[0]} until Ctrl-C\n" == capsys.readouterr().out


def test_who_lets_the_network_in_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "run", lambda _: None)
    for host, said in (("127.0.0.1", ""), ("localhost", ""), ("0.0.0.0", "unencrypted")):
        with pytest.raises(SystemExit):
            run_nothing("--host", host)
        assert said in capsys.readouterr().err


def run_nothing(*arguments: str) -> None:
    command.console.main(["--no-browser", *arguments])


def test_a_report_is_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path / "call.jsonl", RECORDING)
    assert run("report", str(path)) == 0
    page = (tmp_path / "call.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "Content-Security-Policy" in page
    assert "<title>call.jsonl</title>" in page
    assert f"written to {tmp_path / 'call.html'}" in capsys.readouterr().err.replace("\n", "")
    other = tmp_path / "other.html"
    assert run("report", str(path), "-o", str(other)) == 0
    assert other.read_text("utf-8") == page


def test_a_report_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path / "call.jsonl", RECORDING)
    assert run("report", str(path), "-o", str(tmp_path / "no" / "x.html")) == 1
    error = capsys.readouterr().err
    assert error.startswith("realtime-trio: ")
    assert "Traceback" not in error


def test_nobody_reads_what_the_console_says() -> None:
    process = started("console", "--port", "0", "--no-browser")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    try:
        assert process.wait(60) == 141
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    finally:
        process.communicate()


async def test_a_service_is_reached_through_a_relay_that_keeps_the_key(tmp_path: Path) -> None:
    script = Script([Reply.text("It is noon.")])
    async with trio.open_nursery() as nursery:
        url = await nursery.start(partial(serve_simulator, script, api_key=KEY))
        options = ("--url", url, "--api-key", KEY, "--model", "gpt-realtime-2")
        async with running(*options, "--record", str(tmp_path / "calls")) as address:
            told = await setup(address)
            assert not told["simulator"]
            assert told["models"][0] == "gpt-realtime-2"
            assert sorted(told["models"]) == sorted(TALKING_MODELS)
            assert KEY not in json.dumps(told)
            async with (
                opened(address, told["inspect_url"]) as seen,
                opened(address, told["realtime_url"]) as page,
            ):
                created_ = await page.until_type("session.created")
                assert created_["session"]["model"] == "gpt-realtime-2"
                await page.say({"type": "session.update", "session": TEXT | {"instructions": "x"}})
                updated = await page.until_type("session.updated")
                # Nothing is hidden from the one whose key it is.
                assert updated["session"]["instructions"] == "x"
                await page.say({"type": "response.create", "response": {"metadata": {"a": "b"}}})
                assert "It is noon." in json.dumps(await page.until_type("response.done"))
                assert "no simulator" in (await seen.ask("fault", fault="drop"))["problem"]
                assert not any(message["kind"] == "marks" for message in seen.got)
        nursery.cancel_scope.cancel()
    (recording,) = (tmp_path / "calls").iterdir()
    assert read_recording(recording).records[0].event.type == "session.created"
    assert KEY not in recording.read_text("utf-8")


@pytest.mark.parametrize("model", sorted(set(MODELS) - set(TALKING_MODELS)))
@pytest.mark.parametrize("service", [(), ("--api-key", KEY)])
def test_a_model_that_holds_no_conversation_is_not_talked_with(
    model: str, service: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("console", "--no-browser", "--model", model, *service) == 2
    assert "holds no conversation" in capsys.readouterr().err


def test_a_model_of_somebody_else_is_the_first_to_choose() -> None:
    assert command._models("mine") == ("mine", *TALKING_MODELS)


def test_a_service_has_no_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path / "call.jsonl", RECORDING)
    assert run("console", "--url", "ws://127.0.0.1:1", "--script", str(path)) == 2
    assert "it is not there" in capsys.readouterr().err
