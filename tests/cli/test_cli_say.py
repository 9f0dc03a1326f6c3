"""`realtime-trio say`: what it prints and writes, and how it ends."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import trio
from commands import (
    DEAF,
    DESCRIBED,
    HAS_VOICE,
    KEY,
    MUTE,
    NOTICE,
    QUESTION,
    run,
    run_beside,
    service,
    started,
)
from numpy.typing import NDArray
from simulated import open_simulated, simulator_at_port

from realtime_trio import ExposedKeyWarning, ServerError
from realtime_trio.audio import PCM_RATE, WavReader, read_wav, write_wav
from realtime_trio.cli import say
from realtime_trio.events import (
    AudioConfig,
    AudioInputConfig,
    AudioOutputConfig,
    ConversationItemDelete,
    ErrorDetail,
    ErrorEvent,
    Event,
    InputAudioBufferAppend,
    Response,
    ResponseCreated,
    ResponseDone,
    ResponseErrorDetail,
    ResponseOutputAudioTranscriptDelta,
    ResponseStatusDetails,
    ServerEvent,
    SessionConfig,
    SessionUpdate,
)
from realtime_trio.simulator import INSTANT, Reply, Script, synthesize_speech
from realtime_trio.simulator.voice.espeak_voice import _load_espeak

pytestmark = [
    pytest.mark.socket,
    pytest.mark.usefixtures("no_service_in_environment"),
]


def begun() -> ServerEvent:
    return ResponseCreated(event_id="e", response=Response(status="in_progress"))


def transcript(text: str) -> ServerEvent:
    return ResponseOutputAudioTranscriptDelta(
        event_id="e",
        response_id="resp_1",
        item_id="item_1",
        output_index=0,
        content_index=0,
        delta=text,
    )


def done(status: str = "completed", details: ResponseStatusDetails | None = None) -> ServerEvent:
    return ResponseDone(event_id="e", response=Response(status=status, status_details=details))


def error(message: str, code: str | None = None) -> ServerEvent:
    return ErrorEvent(
        event_id="e", error=ErrorDetail(type="server_error", message=message, code=code)
    )


def appends_in(received: Sequence[Event]) -> list[InputAudioBufferAppend]:
    return [event for event in received if isinstance(event, InputAudioBufferAppend)]


def wav(samples: NDArray[np.int16]) -> bytes:
    file = io.BytesIO()
    write_wav(file, samples)
    return file.getvalue()


def test_without_key_and_url_say_asks_the_simulator_and_admits_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("faster_whisper", "pocketsphinx", "hibari", "espeakng_loader"):
        monkeypatch.setitem(sys.modules, module, None)  # without the extras for ears and voices
    _load_espeak.cache_clear()
    out = tmp_path / "answer.wav"
    assert run("say", QUESTION, "--out", str(out)) == 0
    spoken, remarks = capsys.readouterr()
    assert spoken == DEAF
    assert remarks.startswith(f"{NOTICE.replace(DESCRIBED, MUTE)}asking: {QUESTION}, 2.7 s\n")
    answer = read_wav(out)
    assert f"answer: {len(answer) / PCM_RATE:.1f} s, written to {out}\n" in remarks
    assert np.abs(answer).max() > 1000
    assert "usage: 52 tokens in (0 cached), " in remarks


def test_the_simulator_of_its_own_takes_a_question_of_any_length(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = tmp_path / "question.wav"
    write_wav(long, np.zeros(720 * PCM_RATE, np.int16))  # more than a stranger may send: 35 MB
    assert run("say", str(long)) == 0
    assert "I received 720.0 seconds of audio" in capsys.readouterr().out


@pytest.mark.skipif(not HAS_VOICE, reason="needs the extra voice or voice-light")
def test_with_an_extra_for_it_the_simulator_hears_and_speaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "answer.wav"
    assert run("say", QUESTION, "--out", str(out)) == 0
    spoken, remarks = capsys.readouterr()
    assert spoken.lower().startswith("i understood: “what is the weather like in paris today")
    assert remarks.startswith(NOTICE)
    assert len(read_wav(out)) > 5 * PCM_RATE


async def test_any_wav_is_sent_as_24_khz_mono(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "question.wav"
    write_wav(file, np.zeros(3 * 44100, np.int16), 44100)
    content = bytearray(file.read_bytes())
    content[22], content[32] = 2, 4  # two channels, so half as long
    file.write_bytes(content)
    async with simulator_at_port(Script()) as url:
        assert await run_beside("say", str(file), "--url", url) == 0
    assert "I received 1.5 seconds of audio" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="there is no POSIX shell")
async def test_a_pipe_is_sent_while_it_is_recorded() -> None:
    async with service(begun(), done()) as (url, _, received):
        process = await trio.to_thread.run_sync(started, "say", "-", "--url", url)
        assert process.stdin is not None
        # A recorder does not know how long it will be.
        content = bytearray(wav(np.ones(2 * PCM_RATE, np.int16)))
        content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
        # And has not come to the end.
        await trio.to_thread.run_sync(os.write, process.stdin.fileno(), content[:65_536])
        await trio.to_thread.run_sync(os.write, process.stdin.fileno(), content[65_536:])
        with trio.fail_after(60):
            await received.wait_until(
                lambda events: sum(len(e.audio.samples) for e in appends_in(events)) >= PCM_RATE
            )
        _, remarks = await trio.to_thread.run_sync(process.communicate)
    assert sum(len(event.audio.samples) for event in appends_in(received)) == 2 * PCM_RATE
    assert process.returncode == 0
    assert "asking: standard input\n" in remarks


async def test_a_terminal_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal then,
    monkeypatch.setenv("TERM", "xterm")  # and for one that can move its cursor
    async with service(begun(), done()) as (url, _, _):
        process = await trio.to_thread.run_sync(started, "say", QUESTION, "--url", url)
        _, remarks = await trio.to_thread.run_sync(process.communicate)
    assert process.returncode == 0
    assert "100%" in remarks


async def test_what_is_no_terminal_gets_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    async with service(begun(), done()) as (url, _, _):
        assert await run_beside("say", QUESTION, "--url", url) == 0
    assert "%" not in capsys.readouterr().err


async def test_with_a_url_there_is_no_talk_of_a_simulator(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with simulator_at_port(Script([Reply.text("Hi.")])) as url:
        assert await run_beside("say", QUESTION, "--url", url) == 0
    spoken, remarks = capsys.readouterr()
    assert spoken == "Hi.\n"
    assert "simulator" not in remarks
    assert "written" not in remarks


async def test_the_environment_chooses_the_service_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with simulator_at_port(Script([Reply.text("Hi.")]), api_key=KEY) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        assert await run_beside("say", QUESTION) == 0
    assert capsys.readouterr().out == "Hi.\n"


async def test_a_key_of_the_environment_that_goes_to_another_address_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.warns(ExposedKeyWarning, match="sent to llm.invalid, which is not OpenAI"):
        assert await run_beside("say", QUESTION, "--url", "wss://llm.invalid") == 1
    # One that was given on purpose is not.
    assert await run_beside("say", QUESTION, "--url", "wss://llm.invalid", "--api-key", "own") == 1
    assert KEY not in capsys.readouterr().err


async def test_at_speed_1_the_question_takes_as_long_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "question.wav"
    write_wav(file, np.zeros(PCM_RATE // 4, np.int16))
    async with service(begun(), done()) as (url, _, received):
        start = trio.current_time()
        assert await run_beside("say", str(file), "--url", url, "--speed", "1") == 0
        assert trio.current_time() - start >= 0.25
    assert [len(event.audio.samples) for event in appends_in(received)] == [2400, 2400, 1200]


async def test_the_options_reach_the_service_and_the_key_nobody_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with service(begun(), done()) as (url, requests, received):
        options = [
            "--api-key",
            KEY,
            "--model",
            "model-1",
            "--instructions",
            "Be brief.",
            "--voice",
            "marin",
        ]
        assert await run_beside("say", QUESTION, "--url", url, *options) == 0
    assert requests[0].path == "/v1/realtime?model=model-1"
    assert requests[0].header("authorization") == f"Bearer {KEY}"
    update = received[0]
    assert isinstance(update, SessionUpdate)
    assert isinstance(update.session, SessionConfig)
    assert update.session.instructions == "Be brief."
    audio = update.session.audio
    assert isinstance(audio, AudioConfig)
    assert isinstance(audio.input, AudioInputConfig)
    assert audio.input.turn_detection is None
    assert audio.output == AudioOutputConfig(voice="marin")
    assert KEY not in "".join(capsys.readouterr())


async def test_a_failed_response_is_said_and_is_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with simulator_at_port(
        Script([Reply.fail("insufficient_quota", "You ran out of money.")])
    ) as url:
        assert await run_beside("say", QUESTION, "--url", url) == 1
    assert (
        "realtime-trio: the response failed: insufficient_quota: You ran out of money.\n"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("details", "said"),
    [
        (None, "the response failed\n"),
        (ResponseStatusDetails(type="failed"), "the response failed\n"),
        (
            ResponseStatusDetails(error=ResponseErrorDetail(type="server_error")),
            "the response failed: server_error\n",
        ),
    ],
)
async def test_a_failure_without_reasons_is_said_too(
    capsys: pytest.CaptureFixture[str], details: ResponseStatusDetails | None, said: str
) -> None:
    async with service(begun(), done("failed", details)) as (url, _, _):
        assert await run_beside("say", QUESTION, "--url", url) == 1
    assert f"realtime-trio: {said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "details", "said"),
    [
        (
            "incomplete",
            ResponseStatusDetails(reason="max_output_tokens"),
            "the answer is incomplete: max_output_tokens\n",
        ),
        ("cancelled", ResponseStatusDetails(), "the answer is cancelled\n"),
        ("cancelled", None, "the answer is cancelled\n"),
    ],
)
async def test_half_an_answer_is_remarked_upon(
    capsys: pytest.CaptureFixture[str],
    status: str,
    details: ResponseStatusDetails | None,
    said: str,
) -> None:
    async with service(begun(), transcript("Half"), done(status, details)) as (url, _, _):
        assert await run_beside("say", QUESTION, "--url", url) == 0
    spoken, remarks = capsys.readouterr()
    assert spoken == "Half\n"
    assert said in remarks


async def test_an_error_instead_of_an_answer_ends_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with service(error("Not today.", "closed")) as (url, _, _):
        assert await run_beside("say", QUESTION, "--url", url) == 1
    assert capsys.readouterr().err.endswith("realtime-trio: closed: Not today.\n")


# In real time: a clock that jumps does not wait for the thread that reads.
async def test_what_the_service_refuses_of_a_long_question_ends_it_at_once(
    tmp_path: Path,
) -> None:
    file = tmp_path / "question.wav"
    write_wav(file, np.zeros(60 * PCM_RATE, np.int16))
    async with open_simulated(turn_detection=None) as session:
        with WavReader(file) as question:
            # Any error will do, such as that the buffer is full.
            await session.send(ConversationItemDelete(item_id="item_0"))
            with pytest.raises(ServerError) as refused:
                await say._speak(session, question, 1.0)
            assert refused.value.code == "item_delete_invalid_item_id"
            assert len(question.read(60 * PCM_RATE)) > 30 * PCM_RATE


async def test_an_error_in_the_middle_of_an_answer_does_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with service(
        begun(), transcript("One, "), error("Ouch."), transcript("two."), done()
    ) as (url, _, _):
        assert await run_beside("say", QUESTION, "--url", url) == 0
    spoken, remarks = capsys.readouterr()
    assert spoken == "One, two.\n"
    assert "realtime-trio: server_error: Ouch.\n" in remarks


@pytest.mark.parametrize(
    ("answer", "printed"), [([], ""), ([begun(), transcript("I was about to")], "I was about to\n")]
)
async def test_a_session_that_ends_too_early_is_an_error(
    capsys: pytest.CaptureFixture[str], answer: Sequence[ServerEvent], printed: str
) -> None:
    async with service(*answer) as (url, _, _):
        assert await run_beside("say", QUESTION, "--url", url) == 1
    spoken, remarks = capsys.readouterr()
    assert spoken == printed
    assert remarks.endswith(
        "realtime-trio: the service closed the session before the answer was finished\n"
    )


async def test_a_question_that_is_too_short_is_not_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "question.wav"
    write_wav(file, np.zeros(0, np.int16))
    async with simulator_at_port(Script(pacing=INSTANT)) as url:
        assert await run_beside("say", str(file), "--url", url) == 1
    assert capsys.readouterr().err.endswith(
        "realtime-trio: cannot commit 0 ms of audio: at least 100 ms must have been appended\n"
    )


async def test_a_wrong_key_is_refused_and_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    async with simulator_at_port(Script(), api_key="sk-right") as url:
        assert await run_beside("say", QUESTION, "--url", url, "--api-key", KEY) == 1
    assert capsys.readouterr() == (
        "",
        "realtime-trio: the service refused the session: Incorrect API key provided.\n",
    )


def test_nobody_at_home_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("say", QUESTION, "--url", "ws://127.0.0.1:1/v1") == 1
    spoken, remarks = capsys.readouterr()
    assert spoken == ""
    assert remarks.startswith("realtime-trio: cannot connect to ws://127.0.0.1:1")
    assert remarks.count("\n") == 1


def test_openai_wants_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("say", QUESTION, "--url", "https://api.openai.com/v1") == 1
    assert "OPENAI_API_KEY" in capsys.readouterr().err


def test_what_is_no_wav_file_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("say", __file__) == 1
    assert capsys.readouterr() == (
        "",
        "realtime-trio: not a WAV file: it does not start with a RIFF/WAVE header\n",
    )


@pytest.mark.parametrize("out", ["nowhere/answer.wav", "x" * 300 + ".wav", "."])
def test_an_answer_that_could_not_be_written_is_not_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
) -> None:
    assert run("say", QUESTION, "--out", str(tmp_path / out)) == 2
    spoken, remarks = capsys.readouterr()
    assert spoken == ""
    assert "asking" not in remarks
    assert "Invalid value for '--out'" in remarks


def test_looking_whether_it_can_be_written_leaves_no_file_and_harms_none(tmp_path: Path) -> None:
    new, old = tmp_path / "new.wav", tmp_path / "old.wav"
    old.write_bytes(b"precious")
    for out in (new, old):
        assert run("say", QUESTION, "--url", "ws://127.0.0.1:1", "--out", str(out)) == 1
    assert not new.exists()
    assert old.read_bytes() == b"precious"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
async def test_a_pipe_is_not_tried_before_the_question_is_asked(tmp_path: Path) -> None:
    pipe, got = tmp_path / "pipe", bytearray()
    os.mkfifo(pipe)
    async with (
        simulator_at_port(Script([Reply.speech("Hi.")])) as url,
        trio.open_nursery() as group,
    ):

        async def listen() -> None:
            got.extend(await trio.to_thread.run_sync(pipe.read_bytes))

        group.start_soon(listen)
        assert await run_beside("say", QUESTION, "--url", url, "--out", str(pipe)) == 0
    assert got[:4] == b"RIFF"


@pytest.mark.parametrize("patience", [0.0, 1.0], ids=["at once", "slowly"])
async def test_an_answer_goes_into_a_pipe_and_its_words_beside_it(patience: float) -> None:
    speech = synthesize_speech("It is noon. " * 3)  # more than fits into a pipe
    reply = Reply.speech("It is noon.", speech)
    async with simulator_at_port(Script([reply], pacing=INSTANT)) as url:
        command = [sys.executable, "-m", "realtime_trio", "say", QUESTION, "--url", url]
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(
                partial(
                    trio.run_process,
                    [*command, "--out", "-"],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
            assert process.stdout is not None
            assert process.stderr is not None
            beginning = await process.stdout.receive_some(1000)
            await trio.sleep(patience)  # as somebody who plays it
            rest = [part async for part in process.stdout]
            remarks = b"".join([part async for part in process.stderr]).decode()
    heard = read_wav(io.BytesIO(b"".join((beginning, *rest))))
    assert heard.tolist() == speech.tolist()
    assert "It is noon.\n" in remarks
    assert f"answer: {len(speech) / PCM_RATE:.1f} s\n" in remarks


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pipes to be broken")
async def test_a_pipe_that_nobody_reads_any_more_ends_say() -> None:
    reply = Reply.speech("It is noon.", synthesize_speech("It is noon. " * 3))
    async with simulator_at_port(Script([reply], pacing=INSTANT)) as url:
        command = f"{sys.executable} -m realtime_trio say {QUESTION} --url {url} --out - "
        shell = ["bash", "-c", f"{command} | head -c 10 > /dev/null; exit ${{PIPESTATUS[0]}}"]
        ended = await trio.run_process(shell, check=False, capture_stderr=True)
    assert ended.returncode == 141, ended.stderr.decode()


def test_a_terminal_gets_no_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    assert run("say", QUESTION, "--out", "-") == 2
    assert "a WAV file is nothing for a terminal" in " ".join(capsys.readouterr().err.split())


async def test_what_the_model_says_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    pieces = ["[bold]:smile:  ", "a\tb\n\n  ", "long " * 40, "end 12 'x' "]
    async with service(begun(), *map(transcript, pieces), done()) as (url, _, _):
        assert await run_beside("say", QUESTION, "--url", url) == 0
    assert capsys.readouterr().out == "".join(pieces) + "\n"


async def test_the_service_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    async with service(
        begun(), transcript("\x1b[2Jdrei\tvier\n\u009bf\x7fünf"), error("\x1b]0;mine\x07"), done()
    ) as (url, _, _):
        assert await run_beside("say", QUESTION, "--url", url) == 0
    spoken, remarks = capsys.readouterr()
    assert spoken == "[2Jdrei\tvier\nfünf\n"
    assert r"server_error: \x1b]0;mine\x07" in remarks


def test_say_as_a_process(tmp_path: Path) -> None:
    out = tmp_path / "answer.wav"
    with started("say", QUESTION, "--out", str(out)) as process:
        spoken, remarks = process.communicate(timeout=60)
    assert spoken.startswith("I understood: " if HAS_VOICE else DEAF)
    assert process.returncode == 0
    assert remarks.startswith(NOTICE)
    assert len(read_wav(out)) > PCM_RATE


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_ctrl_c_while_it_speaks_ends_say_quietly() -> None:
    with started("say", QUESTION, "--speed", "0.1") as process:
        assert process.stderr is not None
        remarks = [process.stderr.readline(), process.stderr.readline()]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert remarks == [NOTICE, f"asking: {QUESTION}, 2.7 s\n"]
        assert process.stderr.read() == ""
