"""`realtime-trio talk` and `devices`: sound in, sound out, keys, and how it ends."""

from __future__ import annotations

import importlib
import io
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import trio
from commands import interrupt, run, run_beside, started
from simulated import simulator_at_port

from realtime_trio import cli
from realtime_trio.audio import PCM_RATE, read_wav, write_wav
from realtime_trio.cli import devices as listing, talk, terminal
from realtime_trio.cli.keys import open_keys
from realtime_trio.devices import Device, EchoGate, SimulatedDevices
from realtime_trio.events import InputAudioBufferAppend, InputAudioBufferCommit
from realtime_trio.recording import read_recording
from realtime_trio.simulator import INSTANT, Reply, Script, synthesize_speech

pytestmark = [
    pytest.mark.socket,
    pytest.mark.usefixtures("no_service_in_environment"),
]
needs_terminals = pytest.mark.skipif(sys.platform == "win32", reason="there are no terminals")


@pytest.fixture
def question(tmp_path: Path) -> Path:
    """A WAV file with a second of speech and a second of silence."""
    file = tmp_path / "question.wav"
    spoken = synthesize_speech("What time is it now?")[:PCM_RATE]
    write_wav(file, np.concatenate((spoken, np.zeros(PCM_RATE, np.int16))))
    return file


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A talk from a file ends soon after it."""
    monkeypatch.setattr(talk, "_PATIENCE", 0.5)


def answering(*replies: Reply) -> Script:
    return Script(replies, transcripts=["What time is it?"] * 3, pacing=INSTANT)


@pytest.mark.usefixtures("impatient")
async def test_a_question_from_a_file_is_answered_into_a_file(
    question: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer, record = tmp_path / "answer.wav", tmp_path / "talk.jsonl"
    speech = synthesize_speech("It is noon.")
    async with simulator_at_port(answering(Reply.speech("It is noon.", speech))) as url:
        arguments = ["--wav-in", str(question), "--wav-out", str(answer), "--record", str(record)]
        assert await run_beside("talk", "--url", url, *arguments) == 0
    output = capsys.readouterr()
    assert sorted(output.out.splitlines()) == ["model: It is noon.", "you: What time is it?"]
    (usage,) = output.err.splitlines()
    assert re.fullmatch(r"usage: \d+ tokens in .* tokens out, \d+ for transcripts", usage)
    heard = read_wav(answer)
    start = int(np.flatnonzero(heard)[0]) - int(np.flatnonzero(speech)[0])
    assert start > PCM_RATE  # as time passes: not before the question was over
    assert heard[start : start + len(speech)].tolist() == speech.tolist()
    assert len(read_recording(record).records) > 50


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
async def test_after_ctrl_c_it_says_what_it_took(question: Path, tmp_path: Path) -> None:
    async with simulator_at_port(answering(Reply.text("It is noon."))) as url:
        arguments = ["--wav-in", str(question), "--wav-out", str(tmp_path / "answer.wav")]
        process = await trio.to_thread.run_sync(started, "talk", "--url", url, *arguments)
        assert process.stdout is not None
        with trio.fail_after(60):
            while "model" not in await trio.to_thread.run_sync(process.stdout.readline):
                pass
        _, remarks = await trio.to_thread.run_sync(interrupt, process)
    assert process.returncode == 130
    assert re.match(r"usage: \d+ tokens in", remarks)


@pytest.mark.usefixtures("impatient")
async def test_a_response_that_fails_counts(
    question: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with simulator_at_port(answering(Reply.fail("overloaded", "Later."))) as url:
        arguments = ["--wav-in", str(question), "--wav-out", str(tmp_path / "answer.wav")]
        assert await run_beside("talk", "--url", url, *arguments, "--quick") == 1
    assert "the response failed: overloaded: Later." in capsys.readouterr().err


@needs_terminals
async def test_keys_mute_interrupt_and_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keyboard, descriptor = os.openpty()
    monkeypatch.setattr(talk, "PortAudio", lambda: SimulatedDevices())
    with open(descriptor, encoding="utf-8") as stdin:  # noqa: ASYNC230 - does not block
        monkeypatch.setattr(sys, "stdin", stdin)
        os.write(keyboard, b"m x q")
        async with simulator_at_port(answering()) as url:
            arguments = ["--wav-out", str(tmp_path / "answer.wav"), "--echo", "none"]
            assert await run_beside("talk", "--url", url, *arguments) == 0
    os.close(keyboard)
    assert capsys.readouterr().err == ""


@needs_terminals
@pytest.mark.usefixtures("impatient")
async def test_a_key_begins_and_ends_what_is_said(
    monkeypatch: pytest.MonkeyPatch,
    question: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keyboard, descriptor = os.openpty()
    record = tmp_path / "talk.jsonl"
    with open(descriptor, encoding="utf-8") as stdin:  # noqa: ASYNC230 - does not block
        monkeypatch.setattr(sys, "stdin", stdin)
        async with (
            simulator_at_port(answering(Reply.text("It is noon."))) as url,
            trio.open_nursery() as nursery,
        ):
            arguments = ["talk", "--url", url, "--wav-in", str(question), "--turns", "key"]
            arguments += ["--wav-out", str(tmp_path / "answer.wav"), "--record", str(record)]
            nursery.start_soon(run_beside, *arguments)
            os.write(keyboard, b" ")
            while not record.exists() or b"append" not in record.read_bytes():  # noqa: ASYNC110, ASYNC240 - another program writes it
                await trio.sleep(0.05)
            await trio.sleep(0.5)  # as long as somebody speaks
            os.write(keyboard, b" ")
    os.close(keyboard)
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "model: It is noon.",
        "you: What time is it?",
    ]
    sent = [each.event for each in read_recording(record).records if each.source == "client"]
    appended = sum(
        len(event.audio.samples) for event in sent if isinstance(event, InputAudioBufferAppend)
    )
    # Not all of the file: what was heard between the keys.
    assert 0.3 < appended / PCM_RATE < 1.8
    assert sum(isinstance(event, InputAudioBufferCommit) for event in sent) == 1


@needs_terminals
async def test_the_terminal_is_as_it_was_after_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    termios = importlib.import_module("termios")
    keyboard, descriptor = os.openpty()
    with open(descriptor, encoding="utf-8") as stdin:  # noqa: ASYNC230 - does not block
        monkeypatch.setattr(sys, "stdin", stdin)
        before = termios.tcgetattr(descriptor)
        async with open_keys() as key:
            assert termios.tcgetattr(descriptor) != before
            os.write(keyboard, b"ab")
            assert [await key(), await key()] == ["a", "b"]
        assert termios.tcgetattr(descriptor) == before
    os.close(keyboard)


def test_the_meters_are_drawn_over_each_other_and_go_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(terminal._Screen):
        def __init__(self) -> None:
            super().__init__(force_terminal=True, width=20, file=io.StringIO())

    screen = Screen()
    monkeypatch.setattr(terminal, "_REMARKS", screen)
    status = terminal.StatusLine()
    with screen.capture() as capture:
        status.show("[red]\x1b[2J a line that does not fit")
        status.show("again")
        status.clear()
        status.clear()
    drawn = capture.get().split("\r\x1b[2K")
    assert len(drawn) == 3
    assert "[red][2J a line tha" in drawn[0]
    assert "does not" not in drawn[0]
    assert drawn[2] == ""


def test_devices_are_lines() -> None:
    device = Device(
        number=3, name="USB Audio, ALSA", inputs=1, outputs=2, rate=48_000, is_default_input=True
    )
    assert (
        listing.line(device)
        == "  3    1 in   2 out   48000 Hz  USB Audio, ALSA  (default microphone)"
    )


def test_without_portaudio_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert run("devices") == 1
    assert "of the extra devices" in capsys.readouterr().err
    assert run("talk") == 1
    assert "of the extra devices" in capsys.readouterr().err


def test_without_a_sound_card_it_says_how_to_do_without(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Bare(SimulatedDevices):
        async def devices(self) -> tuple[Device, ...]:
            await trio.lowlevel.checkpoint()
            return ()

    monkeypatch.setattr(talk, "PortAudio", Bare)
    assert run("talk") == 1
    assert capsys.readouterr().err == (
        "realtime-trio: this machine has no sound device; --wav-in FILE and --wav-out FILE do "
        "without one\n"
    )


def test_a_file_that_cannot_be_written_is_refused_before_anybody_is_called(
    question: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere" / "answer.wav"
    arguments = ["--wav-in", str(question), "--wav-out", str(nowhere)]
    assert run("talk", "--url", "ws://127.0.0.1:1", *arguments) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_devices_lists_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(listing, "PortAudio", lambda: SimulatedDevices())
    assert run("devices") == 0
    assert capsys.readouterr().out.count("simulated") == 2


def test_echo_and_devices_as_they_are_chosen() -> None:
    assert talk._echo("none") is None
    assert talk._echo("auto") == "auto"
    assert isinstance(talk._echo("gate"), EchoGate)
    assert [talk._device(each) for each in (None, "7", "USB 7")] == [None, 7, "USB 7"]
    assert cli.main.commands.keys() >= {"talk", "devices"}
