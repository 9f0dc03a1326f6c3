"""`realtime-trio serve`: what it says, what it offers, and how it ends."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
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
from cryptography.hazmat.primitives import serialization

from realtime_trio import (
    ConnectionFailed,
    ErrorEvent,
    open_session,
    read_recording,
)
from realtime_trio._protocol.kinds import DEFAULT_MODEL
from realtime_trio.cli import serve as serving_command

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
                lines.extend(output.readline() for _ in range(3))
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
    assert re.fullmatch(rf"\[1\] 127\.0\.0\.1:\d+ connects: {re.escape(DEFAULT_MODEL)}\n", lines[1])
    assert lines[2] == "[1] <- session.created\n"
    assert re.fullmatch(r"\[1\] disconnects: 1000 \(\d+\.\d s\)\n", lines[3])


async def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    async with service() as (url, _, _):
        port = url.split(":")[2].split("/")[0]
        assert await run_beside("serve", "--port", port) == 1
    assert capsys.readouterr().err == (
        f"realtime-trio: cannot listen at 127.0.0.1:{port}: {os.strerror(errno.EADDRINUSE)}\n"
    )


def test_a_folder_that_cannot_be_made_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    assert run("serve", "--port", "0", "--record", str(tmp_path / "file" / "records")) == 1
    assert str(tmp_path / "file" / "records") in capsys.readouterr().err


def test_a_file_that_is_not_a_certificate_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = trustme.CA()
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    issued = authority.issue_cert("127.0.0.1")
    chain.write_bytes(issued.cert_chain_pems[0].bytes())
    key.write_bytes(authority.issue_cert("127.0.0.1").private_key_pem.bytes())
    for options, files in [
        (["--cert", QUESTION], f"{QUESTION} does"),
        (["--cert", str(chain)], f"{chain} does"),
        (["--cert", str(chain), "--key", str(key)], f"{chain} and {key} do"),
    ]:
        assert run("serve", "--port", "0", *options) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"realtime-trio: {files} not have a certificate and its private key")


def test_an_encrypted_key_is_not_asked_for_its_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    issued = trustme.CA().issue_cert("127.0.0.1")
    private = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_bytes(issued.cert_chain_pems[0].bytes())
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    assert run("serve", "--port", "0", "--cert", str(chain), "--key", str(key)) == 1
    assert f"the private key in {key} is encrypted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "remarks"),
    [
        ([], []),
        (["--host", "localhost"], []),
        (["--host", "::1"], []),
        (["--host", "0.0.0.0"], ["whoever reaches this machine at 0.0.0.0 can use"]),
        (["--host", "box.example"], ["whoever reaches this machine at box.example can use"]),
        (
            ["--host", "0.0.0.0", "--api-key", KEY],
            ["other users of this machine can read the key of --api-key"],
        ),
        (
            ["--llm", "http://127.0.0.1:1", "--model", "m", "--llm-key", KEY],
            ["other users of this machine can read the key of --llm-key"],
        ),
    ],
)
def test_serve_warns_of_what_others_can_use_and_read(
    arguments: list[str],
    remarks: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(serving_command, "run", lambda _: sys.exit(0))
    assert run("serve", *arguments) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(remarks)
    assert all(map(str.startswith, lines, remarks))
    assert KEY not in "".join(lines)


def test_a_key_in_the_environment_is_used_and_not_warned_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serving_command, "run", lambda _: sys.exit(0))
    monkeypatch.setenv("SIMULATOR_API_KEY", KEY)
    assert run("serve", "--host", "0.0.0.0") == 0
    assert capsys.readouterr().err == ""


async def test_the_limits_of_serve_are_options() -> None:
    with trio.fail_after(20):
        async with serving(
            "--no-voice",
            *("--max-connections", "1", "--max-input-audio", "1"),
            *("--allow-origin", "http://localhost:5173", "--allow-host", "relay.example"),
        ) as (url, _):
            page = [("Origin", "http://localhost:5173")]
            async with open_session(url=url, headers=page, turn_detection=None) as session:
                errors = session.events(ErrorEvent)
                await session.append_audio(np.zeros(24_000 * 60, np.int16))
                assert (await errors.receive()).error.code == "input_audio_buffer_full"
                with pytest.raises(ConnectionFailed) as refused:
                    async with open_session(url=url):
                        pass
                assert refused.value.status == 503


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
            ("faster_whisper", "pocketsphinx"),
            ["--voice"],
            "real speech needs faster-whisper, of the extra voice: pip install '.[voice]'",
        ),
        (
            ("httpx2",),
            ["--llm", "http://127.0.0.1:1", "--model", "llama"],
            "needs httpx2, of the extra llm: pip install '.[llm]'",
        ),
    ],
)
def test_serve_says_which_extra_is_missing(
    missing: tuple[str, ...],
    arguments: list[str],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for module in missing:
        monkeypatch.setitem(sys.modules, module, None)
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
        _, *printed, _ = [line.partition(" ")[2] for line in spoken.splitlines()]
        assert printed == ["<- session.created", "-> session.update", "<- session.updated"]
