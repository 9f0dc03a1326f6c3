"""`realtime-trio serve`: what it says, what it offers, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme
from certificates import client_context
from commands import (
    DESCRIBED,
    GREETING,
    KEY,
    MUTE,
    QUESTION,
    interrupt,
    run,
    run_beside,
    service,
    started,
)

from realtime_trio import ConnectionFailed, open_session, read_recording

pytestmark = [
    pytest.mark.socket,
    pytest.mark.usefixtures("no_service_in_environment"),
]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send to oneself")
def test_serve_says_where_it_is_and_what_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    lines: list[str] = []

    async def visit(url: str) -> None:
        with trio.fail_after(5):
            async with open_session(url=url):
                pass

    def visitor() -> None:
        try:
            with open(reading, encoding="utf-8") as output:
                lines.append(output.readline())
                trio.run(visit, lines[0].split()[4])
                lines.append(output.readline())
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=visitor)
    with open(writing, "w", encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        thread.start()
        assert run("serve", "--port", "0") == 130
        thread.join()
    assert lines[0].startswith("the simulator listens at ws://127.0.0.1:")
    assert lines[0].endswith(f"/v1/realtime until Ctrl-C; {DESCRIBED}\n")
    assert lines[1].endswith(" sent session.created\n")


async def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    async with service() as (url, _, _):
        assert await run_beside("serve", "--port", url.split(":")[2].split("/")[0]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--llm", "http://127.0.0.1:1"], "--llm and --model go together"),
        (["--model", "llama"], "--llm and --model go together"),
        (["--key", QUESTION], "--key needs --cert"),
        (["--script", "missing.yaml"], "does not exist"),
    ],
)
def test_options_of_serve_that_make_no_sense_are_wrong_usage(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("serve", *arguments) == 2
    assert complaint in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("missing", "arguments", "complaint"),
    [
        (
            "pocketsphinx",
            ["--voice"],
            "real speech needs pocketsphinx: pip install 'realtime-trio[voice]'",
        ),
        (
            "httpx2",
            ["--llm", "http://127.0.0.1:1", "--model", "llama"],
            "pip install 'realtime-trio[llm]'",
        ),
    ],
)
def test_serve_says_which_extra_is_missing(
    missing: str,
    arguments: list[str],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "realtime_trio.simulator.chat_completions", raising=False)
    assert run("serve", "--port", "0", *arguments) == 1
    assert complaint in " ".join(capsys.readouterr().err.split())


def test_a_script_with_a_mistake_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"replies": [{"txt": "Hi."}]}', encoding="utf-8")
    assert run("serve", "--port", "0", "--script", str(script)) == 1
    assert "replies[0]" in capsys.readouterr().err


@asynccontextmanager
async def serving(*arguments: str) -> AsyncIterator[tuple[str, str]]:
    """`realtime-trio serve` in a process of its own; its URL, and what else it says of itself."""
    with started("serve", "--port", "0", *arguments) as process:
        try:
            assert process.stdout is not None
            greeting = await trio.to_thread.run_sync(process.stdout.readline)
            yield greeting.split()[4], greeting.partition("; ")[2].strip()
        finally:
            process.kill()


async def test_serve_plays_a_script_and_records_what_happens(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"replies": ["I say what I was told to."]}', encoding="utf-8")
    records = tmp_path / "records"
    with trio.fail_after(20):
        async with serving(
            "--no-voice", "--script", str(script), "--record", str(records), "--api-key", KEY
        ) as (url, described):
            async with open_session(url=url, api_key=KEY, output_modalities=["text"]) as session:
                assert (await session.ask("Hello?")).text == "I say what I was told to."
                assert (await session.ask("Hello?")).text == GREETING.strip()
            with pytest.raises(ConnectionFailed):
                async with open_session(url=url, api_key="sk-wrong"):
                    pass
    assert described == MUTE
    (recording,) = map(read_recording, records.iterdir())
    assert [record.event.type for record in recording.records][:3] == [
        "session.created",
        "session.update",
        "session.updated",
    ]


async def test_serve_puts_a_language_model_behind_the_simulator() -> None:
    llm = ["--llm", "http://127.0.0.1:1", "--model", "llama"]  # nobody listens at that port
    with trio.fail_after(20):
        async with (
            serving("--no-voice", *llm) as (url, described),
            open_session(url=url, output_modalities=["text"]) as session,
        ):
            assert (await session.ask("Hello?")).status == "failed"
    assert described.startswith("a language model answers")


async def test_serve_speaks_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    context = client_context(authority)
    with trio.fail_after(20):
        async with serving("--no-voice", "--cert", str(tmp_path / "server.pem")) as (url, _):
            assert url.startswith("wss://")
            async with open_session(
                url=url, ssl_context=context, output_modalities=["text"]
            ) as session:
                assert (await session.ask("Hello?")).text == GREETING.strip()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
async def test_serve_as_a_process_serves_until_ctrl_c() -> None:
    with started("serve", "--port", "0") as process:
        assert process.stdout is not None
        greeting = await trio.to_thread.run_sync(process.stdout.readline)
        try:
            with trio.fail_after(10):
                async with open_session(url=greeting.split()[4]) as session:
                    await session.update(instructions="Hi.")
        except BaseException:
            process.kill()
            raise
        spoken, remarks = await trio.to_thread.run_sync(interrupt, process)
        assert (process.returncode, remarks) == (130, "")
        printed = [line.partition(" ")[2] for line in spoken.splitlines()]
        assert printed == [
            "sent session.created",
            "received session.update",
            "sent session.updated",
        ]
