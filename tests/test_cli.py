"""The command line: what it prints and writes, how it ends, and that it keeps keys to itself."""

from __future__ import annotations

import importlib.util
import os
import runpy
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import trio
import trustme

import realtime_trio
from realtime_trio import ConnectionFailed, cli, open_session, read_recording
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._transport.contract import Transport
from realtime_trio.audio import PCM_RATE, read_wav, write_wav
from realtime_trio.events import (
    AudioConfig,
    AudioInputConfig,
    AudioOutputConfig,
    ErrorDetail,
    ErrorEvent,
    Event,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    RealtimeSession,
    Response,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseErrorDetail,
    ResponseOutputAudioTranscriptDelta,
    ResponseStatusDetails,
    ServerEvent,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)
from realtime_trio.simulator import INSTANT, Reply, Script, serve_simulator
from realtime_trio.simulator.serving.websocket_server import HandshakeRequest, serve_websocket

QUESTION = str(Path(__file__).parent.parent / "examples" / "question.wav")
HAS_VOICE = all(
    importlib.util.find_spec(package) for package in ("pocketsphinx", "espeakng_loader")
)
MUTE = "an agent by rules answers, it does not understand speech, its voice is synthetic babble"
ABLE = "an agent by rules answers, what is said is recognized by pocketsphinx, espeak-ng speaks"
DESCRIBED = ABLE if HAS_VOICE else MUTE
NOTICE = f"no key and no --url: talking to the built-in simulator; {DESCRIBED}\n"
DEAF = "I received 2.7 seconds of audio and understood no word of it.\n"
GREETING = "Hello! I am an offline simulator. How can I help?\n"
KEY = "sk-something-secret"

pytestmark = pytest.mark.socket


@pytest.fixture(autouse=True)
def _no_service_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: str) -> int:
    """Run the command line in this process and return its exit code."""
    with pytest.raises(SystemExit) as end:
        cli.main(arguments, prog_name="realtime-trio")
    assert isinstance(end.value.code, int)
    return end.value.code


async def run_beside(*arguments: str) -> int:
    """The same next to a server of the test: it has a trio of its own, in a thread."""
    with trio.fail_after(10):
        return await trio.to_thread.run_sync(run, *arguments)


def started(*arguments: str) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "realtime_trio", *arguments]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
        env=environment,
    )


def interrupt(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Press Ctrl-C."""
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=20)


@asynccontextmanager
async def simulator(script: Script, api_key: str | None = None) -> AsyncIterator[str]:
    async with trio.open_nursery() as nursery:
        yield await nursery.start(partial(serve_simulator, script, api_key=api_key))
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def service(
    *answer: ServerEvent,
) -> AsyncIterator[tuple[str, list[HandshakeRequest], list[Event]]]:
    """A service that answers a request for a response with these events and closes.

    Yields its URL, the handshakes of its clients and the events they sent.
    """
    requests: list[HandshakeRequest] = []
    received: list[Event] = []

    async def serve_client(transport: Transport, request: HandshakeRequest) -> None:
        codec = Codec(Role.SERVER)
        requests.append(request)
        await transport.send(codec.encode(SessionCreated(event_id="e", session=RealtimeSession())))
        while batch := await transport.receive():
            for event in map(codec.decode, batch):
                received.append(event)
                match event:
                    case SessionUpdate():
                        await transport.send(
                            codec.encode(SessionUpdated(event_id="e", session=RealtimeSession()))
                        )
                    case InputAudioBufferCommit():
                        await transport.send(
                            codec.encode(InputAudioBufferCommitted(event_id="e", item_id="item_0"))
                        )
                    case ResponseCreate():
                        for reply in answer:
                            await transport.send(codec.encode(reply))
                        await transport.aclose()
                    case _:
                        pass

    async with trio.open_nursery() as nursery:
        host, port = await nursery.start(serve_websocket, serve_client, "127.0.0.1", 0)
        yield f"ws://{host}:{port}/v1", requests, received
        nursery.cancel_scope.cancel()


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


@contextmanager
def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> Iterator[None]:
    """Make this the standard input."""
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as stdin:
        with open(writing, "w", encoding="utf-8", newline="") as keyboard:
            keyboard.write(text)
        monkeypatch.setattr(sys, "stdin", stdin)
        yield


# --- say ------------------------------------------------------------------------------------------


def test_without_key_and_url_say_asks_the_simulator_and_admits_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)  # without the extra voice
    out = tmp_path / "answer.wav"
    assert run("say", QUESTION, "--out", str(out)) == 0
    spoken, remarks = capsys.readouterr()
    assert spoken == DEAF
    assert remarks.startswith(f"{NOTICE.replace(DESCRIBED, MUTE)}asking: {QUESTION}, 2.7 s\n")
    answer = read_wav(out)
    assert f"answer: {len(answer) / PCM_RATE:.1f} s, written to {out}\n" in remarks
    assert np.abs(answer).max() > 1000
    assert "usage: 52 tokens in (0 cached), " in remarks


@pytest.mark.skipif(not HAS_VOICE, reason="needs the extra voice")
def test_with_the_extra_voice_the_simulator_hears_and_speaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "answer.wav"
    assert run("say", QUESTION, "--out", str(out)) == 0
    spoken, remarks = capsys.readouterr()
    assert spoken.startswith("I understood: “what is the weather like in paris today”.")
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
    async with simulator(Script()) as url:
        assert await run_beside("say", str(file), "--url", url) == 0
    assert "I received 1.5 seconds of audio" in capsys.readouterr().out


async def test_with_a_url_there_is_no_talk_of_a_simulator(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with simulator(Script([Reply.text("Hi.")])) as url:
        assert await run_beside("say", QUESTION, "--url", url) == 0
    spoken, remarks = capsys.readouterr()
    assert spoken == "Hi.\n"
    assert "simulator" not in remarks
    assert "written" not in remarks


async def test_the_environment_chooses_the_service_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with simulator(Script([Reply.text("Hi.")]), api_key=KEY) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        assert await run_beside("say", QUESTION) == 0
    assert capsys.readouterr().out == "Hi.\n"


async def test_at_speed_1_the_question_takes_as_long_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "question.wav"
    write_wav(file, np.zeros(PCM_RATE // 4, np.int16))
    async with service(begun(), done()) as (url, _, received):
        start = trio.current_time()
        assert await run_beside("say", str(file), "--url", url, "--speed", "1") == 0
        assert trio.current_time() - start >= 0.25
    appends = [
        len(event.audio.samples) for event in received if isinstance(event, InputAudioBufferAppend)
    ]
    assert appends == [2400, 2400, 1200]


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
    async with simulator(
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
    async with simulator(Script(pacing=INSTANT)) as url:
        assert await run_beside("say", str(file), "--url", url) == 1
    assert capsys.readouterr().err.endswith(
        "realtime-trio: cannot commit 0 ms of audio: at least 100 ms must have been appended\n"
    )


async def test_a_wrong_key_is_refused_and_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    async with simulator(Script(), api_key="sk-right") as url:
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


def test_an_answer_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("say", QUESTION, "--out", str(tmp_path / "nowhere" / "answer.wav")) == 1
    assert "No such file or directory" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments", [["say"], ["say", "missing.wav"], ["say", QUESTION, "--speed", "0"], ["sing"]]
)
def test_wrong_usage_is_2(arguments: Sequence[str]) -> None:
    assert run(*arguments) == 2


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
    assert "server_error: ]0;mine\n" in remarks


# --- chat -----------------------------------------------------------------------------------------


async def test_chat_answers_line_by_line_until_quit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with typed(monkeypatch, "How are you?\n\n  \n And ü?\r\n/quit\nnever asked\n"):
        async with simulator(Script()) as url:
            assert await run_beside("chat", "--url", url) == 0
    assert capsys.readouterr() == ("You said: How are you?\nYou said: And ü?\n", "")


async def test_the_end_of_the_input_ends_the_chat(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with typed(monkeypatch, "without a newline"):
        async with simulator(Script()) as url:
            assert await run_beside("chat", "--modality", "audio", "--url", url) == 0
    assert capsys.readouterr().out == "You said: without a newline\n"


async def test_a_failed_answer_does_not_end_the_chat_but_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with typed(monkeypatch, "one\ntwo\n"):
        async with simulator(
            Script([Reply.fail("overloaded", "Later."), Reply.text("Fine.")])
        ) as url:
            assert await run_beside("chat", "--url", url) == 1
    assert capsys.readouterr() == (
        "Fine.\n",
        "realtime-trio: the response failed: overloaded: Later.\n",
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
async def test_at_a_terminal_chat_prompts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keyboard, terminal = os.openpty()
    try:
        os.write(keyboard, b"Hello\n/quit\n")
        # Reading does not block: the terminal has its input already.
        with open(terminal, encoding="utf-8") as stdin:  # noqa: ASYNC230
            monkeypatch.setattr(sys, "stdin", stdin)
            async with simulator(Script()) as url:
                assert await run_beside("chat", "--url", url) == 0
    finally:
        os.close(keyboard)
    assert capsys.readouterr() == ("You said: Hello\n", "> > ")


# --- serve ----------------------------------------------------------------------------------------


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
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with trio.fail_after(20):
        async with serving("--no-voice", "--cert", str(tmp_path / "server.pem")) as (url, _):
            assert url.startswith("wss://")
            async with open_session(
                url=url, ssl_context=context, output_modalities=["text"]
            ) as session:
                assert (await session.ask("Hello?")).text == GREETING.strip()


# --- as processes ---------------------------------------------------------------------------------


def test_say_as_a_process(tmp_path: Path) -> None:
    out = tmp_path / "answer.wav"
    with started("say", QUESTION, "--out", str(out)) as process:
        spoken, remarks = process.communicate(timeout=20)
    assert spoken.startswith("I understood: " if HAS_VOICE else DEAF)
    assert process.returncode == 0
    assert remarks.startswith(NOTICE)
    assert len(read_wav(out)) > PCM_RATE


def test_chat_as_a_process() -> None:
    with started("chat") as process:
        answer = process.communicate("Hello\nWhat is 12 times 7?\n", timeout=20)
    assert answer == (f"{GREETING}12 times 7 is 84.\n", NOTICE)
    assert process.returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_ctrl_c_at_the_prompt_ends_the_chat_quietly() -> None:
    with started("chat") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write("Hello\n")
        assert process.stdout.readline() == GREETING
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read() == NOTICE


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_ctrl_c_while_it_speaks_ends_say_quietly() -> None:
    with started("say", QUESTION, "--speed", "0.1") as process:
        assert process.stderr is not None
        remarks = [process.stderr.readline(), process.stderr.readline()]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert remarks == [NOTICE, f"asking: {QUESTION}, 2.7 s\n"]
        assert process.stderr.read() == ""


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


# --- the program itself ---------------------------------------------------------------------------


def test_the_module_is_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["whatever", "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(
            str(Path(realtime_trio.__file__).with_name("__main__.py")), run_name="__main__"
        )
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("realtime-trio, version ")


@pytest.mark.parametrize("package", ["click", "rich.console"])
def test_without_the_extra_the_program_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(cli.__file__)
    assert (
        end.value.code
        == f"realtime-trio: the command line needs {package}: pip install 'realtime-trio[cli]'"
    )
