"""Every example runs against the simulator over a real WebSocket; the README shows one of them."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import runpy
import socket
import subprocess
import sys
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import trio
from completions import DONE, chunk, served
from numpy.typing import NDArray
from simulated import simulator_at_port

from realtime_trio import open_session
from realtime_trio.audio import PCM_RATE, read_wav, write_wav
from realtime_trio.errors import ConnectionFailed
from realtime_trio.simulator import INSTANT, Reply, Script, Turn, synthesize_speech

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
TESTED = {
    "hello.py",
    "offline.py",
    "text_chat.py",
    "remember.py",
    "speak_file.py",
    "several_consumers.py",
    "push_to_talk.py",
    "voice_chat.py",
    "barge_in.py",
    "out_of_band.py",
    "captions.py",
    "translate.py",
    "weather_tool.py",
    "approval.py",
    "manual_tools.py",
    "test_my_agent.py",
    "fault_injection.py",
    "night_shift.py",
    "local_llm.py",
    "spoken_conversation.py",
    "relay_in_starlette.py",
    "webrtc.py",
}


@asynccontextmanager
async def simulator(
    *replies: Reply,
    transcripts: Sequence[str | None] = (),
    translations: Sequence[tuple[str, str]] = (),
) -> AsyncIterator[str]:
    script = Script(replies, transcripts=transcripts, translations=translations, pacing=INSTANT)
    async with simulator_at_port(script) as url:
        yield url


def names_of(example: str) -> dict[str, Callable[..., Awaitable[None]]]:
    return runpy.run_path(str(EXAMPLES / example))


def main_of(example: str) -> Callable[..., Awaitable[None]]:
    return names_of(example)["main"]


@pytest.mark.socket
async def test_hello_prints_the_answer() -> None:
    async with simulator(Reply.text("Great, thanks for asking!")) as url:
        # It runs as soon as it is imported, as the README shows it; so it gets a process, and the
        # address by the environment.
        environment = {
            name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"
        } | {"OPENAI_BASE_URL": url}
        ended = await trio.run_process(
            [sys.executable, str(EXAMPLES / "hello.py")], env=environment, capture_stdout=True
        )
    assert ended.stdout == b"Great, thanks for asking!"


def test_offline_prints_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "offline.py"))
    assert capsys.readouterr().out == "Great, thanks for asking!\n"


@pytest.mark.socket
async def test_text_chat_prints_both_answers(capsys: pytest.CaptureFixture[str]) -> None:
    async with simulator(Reply.text("Mont Blanc."), Reply.text("Monte Rosa.")) as url:
        await main_of("text_chat.py")(url)
    assert capsys.readouterr().out.splitlines() == [
        "> What is the highest mountain of the Alps?",
        "Mont Blanc.",
        "[completed]",
        "> And the second highest?",
        "Monte Rosa.",
        "[completed]",
    ]


class Lines:
    """What somebody types; the program reads one line, and then no more if it is killed."""

    def __init__(self, *lines: str) -> None:
        self._lines = iter(lines)

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> str:
        await trio.lowlevel.checkpoint()
        for line in self._lines:
            return f"{line}\n"
        raise StopAsyncIteration


@pytest.mark.socket
async def test_remember_goes_on_where_it_was_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "talk.jsonl")
    main = main_of("remember.py")
    async with simulator(Reply.text("Hello, Ada!")) as url:
        await main(path, url, lines=Lines("I am Ada."))
    async with simulator(Reply.text("You are Ada."), Reply.text("She is Ada.")) as url:
        await main(path, url, lines=Lines("Who am I?", "short"))
    async with simulator(Reply.text("As I said.")) as url:
        await main(path, url, lines=Lines("Sure?"))
    short = "What was said before, in short: She is Ada."
    assert capsys.readouterr().out.splitlines() == [
        "Hello, Ada!",
        "> I am Ada.",
        "Hello, Ada!",
        "You are Ada.",
        f"[4 messages are now: {short}]",
        "As I said.",
    ]


@pytest.mark.socket
async def test_remember_puts_what_is_old_in_short_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "talk.jsonl"
    async with simulator(
        *(Reply.text(f"{number}.") for number in range(21)), Reply.text("They counted.")
    ) as url:
        await main_of("remember.py")(str(path), url, lines=Lines(*(f"{n}?" for n in range(21))))
    *_, last = capsys.readouterr().out.splitlines()
    assert last == ("[32 messages are now: What was said before, in short: They counted.]")


@pytest.mark.socket
async def test_speak_file_writes_the_spoken_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = tmp_path / "answer.wav"
    voice = synthesize_speech("It is noon.")
    async with simulator(
        Reply.speech("It is noon.", voice, when=lambda turn: round(turn.heard_seconds, 1) == 2.7)
    ) as url:
        await main_of("speak_file.py")(str(EXAMPLES / "question.wav"), str(answer), url)
    assert capsys.readouterr().out == f"It is noon.\n[completed, written to {answer}]\n"
    np.testing.assert_array_equal(read_wav(answer), voice)


@pytest.mark.socket
async def test_several_consumers_each_see_everything(capsys: pytest.CaptureFixture[str]) -> None:
    voice = np.full(PCM_RATE // 2, 1000, np.int16)
    async with simulator(
        Reply.speech("I am me.", voice), Reply.speech("I can talk.", voice)
    ) as url:
        await main_of("several_consumers.py")(url)
    printed = capsys.readouterr().out
    assert re.findall("caption: (.*)", printed) == ["I am me.", "I can talk."]
    assert re.findall("audio: (.*)", printed) == ["1.0 s"]
    first, second = map(int, re.findall(r"usage: (\d+) tokens so far", printed))
    assert 0 < first < second


@pytest.mark.socket
async def test_voice_chat_asks_and_plays_the_answer_as_time_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question, answer = tmp_path / "question.wav", tmp_path / "answer.wav"
    spoken, voice = synthesize_speech("What time is it?"), synthesize_speech("It is noon.")
    write_wav(question, spoken)
    async with simulator(
        Reply.speech("It is noon.", voice), transcripts=["What time is it?"]
    ) as url:
        started = trio.current_time()
        await names_of("voice_chat.py")["rehearse"](str(question), str(answer), url)
        took = trio.current_time() - started
    lines = capsys.readouterr().out.splitlines()
    assert sorted(lines) == ["model: It is noon.", "you:   What time is it?"]
    heard = read_wav(answer)
    start = int(np.flatnonzero(heard)[0]) - int(np.flatnonzero(voice)[0])
    # After the question, and 200 ms of the silence at its end.
    assert start > int(np.flatnonzero(spoken)[-1]) + 0.2 * PCM_RATE
    assert heard[start : start + len(voice)].tolist() == voice.tolist()
    assert len(heard) / PCM_RATE == pytest.approx(took, abs=0.5)


@pytest.mark.socket
async def test_push_to_talk_interrupts_the_first_answer(capsys: pytest.CaptureFixture[str]) -> None:
    story, noon = "Once upon a time, there was a clock.", "It is noon."
    heard = [lambda turn: round(turn.heard_seconds, 1) == 2.7] * 2
    async with simulator(
        Reply.speech(story, synthesize_speech(story), when=heard[0]),
        Reply.speech(noon, synthesize_speech(noon), when=heard[1]),
    ) as url:
        started = trio.current_time()
        await main_of("push_to_talk.py")(str(EXAMPLES / "question.wav"), url)
        took = trio.current_time() - started
    told, interrupted, answered = capsys.readouterr().out.splitlines()
    assert (told, answered) == (story, noon)
    cut = re.fullmatch(r"\[interrupted after (\d\.\d) s\]", interrupted)
    assert cut is not None
    assert 0.5 <= float(cut[1]) < len(synthesize_speech(story)) / PCM_RATE
    # Twice the question, a second of the story, and all of the other answer.
    assert took > 2 * 2.7 + 1 + len(synthesize_speech(noon)) / PCM_RATE


@pytest.mark.socket
async def test_push_to_talk_does_without_a_recording(capsys: pytest.CaptureFixture[str]) -> None:
    async with simulator(
        Reply.speech("Ah.", synthesize_speech("Ah.")),
        Reply.speech("Oh.", synthesize_speech("Oh."), when=lambda turn: turn.heard_seconds == 1),
    ) as url:
        await main_of("push_to_talk.py")(None, url)
    assert capsys.readouterr().out.splitlines() == ["Ah.", "Oh."]


@pytest.mark.socket
async def test_barge_in_stops_the_first_answer_and_hears_the_second(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question = tmp_path / "question.wav"
    write_wav(question, synthesize_speech("What?"))
    story, noon = "Once upon a time, there was a clock.", "It is noon."
    async with simulator(
        Reply.speech(story, synthesize_speech(story)), Reply.speech(noon, synthesize_speech(noon))
    ) as url:
        await main_of("barge_in.py")(str(question), url)
    interrupted, answered = capsys.readouterr().out.splitlines()
    heard = re.fullmatch(r"\[interrupted after (\d\.\d) s\]", interrupted)
    assert heard is not None
    assert 0 < float(heard[1]) < len(synthesize_speech(story)) / PCM_RATE
    assert answered == f"{noon} [heard {len(synthesize_speech(noon)) / PCM_RATE:.1f} s]"


@pytest.mark.socket
async def test_out_of_band_looks_at_the_talk_and_leaves_no_trace(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def is_aside(turn: Turn) -> bool:
        return (
            turn.modality == "text"
            and turn.metadata is not None
            and turn.metadata.get("purpose") == "mood"
        )

    moods = [
        Reply.text("worried", when=is_aside),
        Reply.text("angry", when=is_aside),
        Reply.text("calm", when=is_aside),
    ]
    async with simulator(
        *moods,
        Reply.text("Let me look."),
        Reply.text("I am sorry."),
        Reply.text("You are welcome."),
    ) as url:
        await main_of("out_of_band.py")(url)
    printed = capsys.readouterr().out.splitlines()
    talk = [line for line in printed if not line.startswith("[")]
    assert talk == [
        "> My parcel has not arrived.",
        "Let me look.",
        "> That is the third time!",
        "I am sorry.",
        "> All right. Thank you for your help.",
        "You are welcome.",
        "6 items, 6 responses",
    ]
    assert sorted(
        re.findall(r"^\[mood at '(.*?)[.!].*: (.*)\]$", "\n".join(printed), re.MULTILINE)
    ) == [
        ("All right", "calm"),
        ("My parcel has not arrived", "worried"),
        ("That is the third time", "angry"),
    ]


@pytest.mark.socket
async def test_captions_prints_a_line_for_each_file(capsys: pytest.CaptureFixture[str]) -> None:
    question = str(EXAMPLES / "question.wav")
    async with simulator(transcripts=["What time is it?", None, "Tell me."]) as url:
        await main_of("captions.py")([question, question, question], url)
    lines = capsys.readouterr().out.split("\n")
    # What a terminal shows: every caption is written over the one before.
    assert [line.rpartition("\r")[2] for line in lines] == [
        "What time is it?",
        "[The audio could not be transcribed.]",
        "Tell me.",
        "",
    ]
    assert len(lines[0].split("\r")) > 3


@pytest.mark.socket
async def test_translate_writes_the_translation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "translated.wav"
    async with simulator(translations=[("What time is it?", "¿Qué hora es?")]) as url:
        await main_of("translate.py")(str(EXAMPLES / "question.wav"), "es", str(target), url)
    assert capsys.readouterr().out == f"¿Qué hora es?\n[written to {target}]\n"
    np.testing.assert_array_equal(read_wav(target), synthesize_speech("¿Qué hora es?"))


# What they print, whether they talk with a service or, with `--simulated`, with a script of their
# own.
# In an order that may vary, since they run at once.
WEATHER = {
    '[get_weather {"city":"Paris","unit":"fahrenheit"}]',
    '[get_sunset {"city":"Paris"}]',
    '[get_weather has completed: {"sky":"cloudy","temperature":68.0}]',
    '[get_sunset has completed: "21:58:00"]',
}
APPROVED = [
    "[20.00 euros go to Ada]",
    "Ada has her money.",
    '[approved: pay {"recipient":"Grace","euros":2000}]',
    "[2000.00 euros go to Grace]",
    "Grace has hers, too.",
]
REJECTED = [
    *APPROVED[:2],
    '[rejected: pay {"recipient":"Grace","euros":2000}]',
    "Then I will not pay Grace.",
]
MANUAL = [
    '[find_product {"words":"umbrella"} -> [{"id": "U1", "name": "umbrella, black", "euros": 12}]]',
    "Yes, a black one for 12 euros.",
    '[order {"product":"U1"} -> {"ordered": "U1"}]',
    "It is on its way.",
    "I cannot order any more.",
]


async def run_with_its_script(
    example: str, monkeypatch: pytest.MonkeyPatch, **arguments: object
) -> None:
    """Run an example that brings its own script, as with a service that the environment names."""
    names = runpy.run_path(str(EXAMPLES / example))
    async with simulator(*names["SCRIPT"].replies) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        await names["main"](**arguments)


@pytest.mark.socket
async def test_weather_tool_calls_two_functions_and_answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_with_its_script("weather_tool.py", monkeypatch)
    *calls, answer = capsys.readouterr().out.splitlines()
    assert (len(calls), set(calls)) == (4, WEATHER)
    assert answer == "It is cloudy at 68 °F, and the sun sets at 21:58."


@pytest.mark.socket
@pytest.mark.parametrize(("verdict", "printed"), [(True, APPROVED), (False, REJECTED)])
async def test_approval_asks_about_the_large_payment_alone(
    verdict: bool,
    printed: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await run_with_its_script("approval.py", monkeypatch, verdict=verdict)
    assert capsys.readouterr().out.splitlines() == printed


@pytest.mark.parametrize(
    ("typed", "printed"), [("y\n", APPROVED), ("no\n", REJECTED), ("", REJECTED)]
)
async def test_approval_asks_at_the_terminal(
    typed: str,
    printed: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    with trio.fail_after(10):
        await runpy.run_path(str(EXAMPLES / "approval.py"))["simulated"]()
    question = 'pay {"recipient":"Grace","euros":2000}? [y/N] '
    assert capsys.readouterr().out.replace(question, "", 1).splitlines() == printed


@pytest.mark.socket
async def test_manual_tools_are_answered_from_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_with_its_script("manual_tools.py", monkeypatch)
    assert capsys.readouterr().out.splitlines() == MANUAL


@pytest.mark.parametrize(
    ("command", "last"),
    [
        (["weather_tool.py"], "It is cloudy at 68 °F, and the sun sets at 21:58."),
        (["approval.py"], REJECTED[-1]),  # nobody is at the terminal
        (["approval.py", "--no"], REJECTED[-1]),
        (["approval.py", "--yes"], APPROVED[-1]),
        (["manual_tools.py"], MANUAL[-1]),
    ],
    ids=["weather", "approval", "approval --no", "approval --yes", "manual"],
)
async def test_an_example_of_tools_needs_no_service(command: list[str], last: str) -> None:
    example, *flags = command
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")
    } | {"PYTHONUTF8": "1"}
    with trio.fail_after(10):
        ended = await trio.run_process(
            [sys.executable, str(EXAMPLES / example), "--simulated", *flags],
            env=environment,
            stdin=b"",
            capture_stdout=True,
        )
    assert ended.stdout.decode().splitlines()[-1] == last


def test_the_tests_of_an_agent_pass(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nfilterwarnings = error")
    pytester.makepyfile(test_my_agent=(EXAMPLES / "test_my_agent.py").read_text(encoding="utf-8"))
    pytester.runpytest_inprocess("--strict-markers").assert_outcomes(passed=4)


async def test_a_night_shift_answers_every_question() -> None:
    with trio.fail_after(30):
        ended = await trio.run_process(
            [sys.executable, str(EXAMPLES / "night_shift.py")],
            capture_stdout=True,
            capture_stderr=True,
        )
    lines = ended.stdout.decode().splitlines()
    assert ended.stderr == b""
    counts = re.fullmatch(
        r"2:\d\d:\d\d  (\d+) of (\d+) answered, over (\d+) connections", lines[-1]
    )
    assert counts is not None
    assert counts[1] == counts[2]
    assert int(counts[3]) > 4
    assert any("renewed" in line for line in lines)
    assert any("cut: 1 response" in line for line in lines)


async def test_fault_injection_gets_an_answer_whatever_goes_wrong() -> None:
    faults = list(runpy.run_path(str(EXAMPLES / "fault_injection.py"))["FAULTS"])
    with trio.fail_after(10):
        ended = await trio.run_process(
            [sys.executable, str(EXAMPLES / "fault_injection.py")],
            capture_stdout=True,
            capture_stderr=True,
        )
    lines = ended.stdout.decode().splitlines()
    assert ended.stderr == b""
    assert [line[:26].rstrip() for line in lines] == faults
    stories = {name: line[26:] for name, line in zip(faults, lines, strict=True)}
    assert all("You are Ada." in story for story in stories.values())
    lost = "connection lost: 1006 the connection dropped"
    assert stories["the connection drops"] == f" 1.0 s  {lost}; You are Ada. (1.05 s of speech)"
    assert (
        stories["nothing more is said"]
        == " 5.6 s  no answer in 5 s; You are Ada. (1.05 s of speech)"
    )
    assert stories["nothing, for a while"] == " 2.4 s  You are Ada. (1.05 s of speech)"
    assert (
        stories["half an event comes"] == " 0.6 s  [UnknownEvent] You are Ada. (1.05 s of speech)"
    )


@pytest.mark.socket
async def test_local_llm_lets_a_model_answer(capsys: pytest.CaptureFixture[str]) -> None:
    serve = runpy.run_path(str(EXAMPLES / "local_llm.py"))["main"]
    async with (
        served(chunk(content="Hello, "), chunk(content="Ada."), DONE) as endpoint,
        trio.open_nursery() as nursery,
    ):
        url = await nursery.start(serve, endpoint.url, "m", 0)
        async with open_session(url=url, output_modalities=["text"]) as session:
            assert (await session.ask("I am Ada.")).text == "Hello, Ada."
        nursery.cancel_scope.cancel()
    assert b'"content":"I am Ada."' in endpoint.request
    assert capsys.readouterr().out == f"m listens at {url} until Ctrl-C\n"


@pytest.mark.socket
@pytest.mark.parametrize("has_extras", [True, False])
async def test_a_spoken_conversation_needs_no_service(has_extras: bool, tmp_path: Path) -> None:
    extras = ("hibari", "faster_whisper", "pocketsphinx", "espeakng_loader")
    if has_extras and not any(map(importlib.util.find_spec, extras)):
        pytest.skip("neither of the extras voice and voice-light is installed")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")
    }
    missing = "" if has_extras else f"sys.modules.update(dict.fromkeys({extras})); "
    command = [
        sys.executable,
        "-c",
        f"import runpy, sys; {missing}del sys.argv[0]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')",
        str(EXAMPLES / "spoken_conversation.py"),
        str(tmp_path / "talk"),
    ]
    with trio.fail_after(100):
        ended = await trio.run_process(command, env=environment, capture_stdout=True)
    printed = ended.stdout.decode()
    assert ("is told what is asked" in printed and "hums" in printed) == (not has_extras)
    written = (tmp_path / "talk" / "transcript.txt").read_text(encoding="utf-8")
    assert written in printed
    # Who says what, in which order; the words are as good as the ears.
    assert re.sub(r"(?m)^(\w+):.*$", r"\1", written).split() == [
        *("user", "called", "result", "model"),
        *("user", "model") * 3,
    ]
    assert re.search(
        r"""^called: get_weather\({"city":"paris"}\)$""", written, re.MULTILINE | re.IGNORECASE
    )
    assert """result: {"sky":"sunny","temperature":21}\n""" in written
    said = re.findall(r"^model:  \[after \d+\.\d s\] (.*)$", written, re.MULTILINE)
    assert said[0] == "It says: sky sunny, temperature 21."
    cut = re.fullmatch(r"I can calculate\b(.*) \[interrupted after (\d\.\d) s\]", said[1])
    assert cut is not None
    # A second was listened to, and it takes a moment to notice who interrupts.
    assert "repeat" not in cut[1]
    assert 0.9 < (heard := float(cut[2])) < 3
    assert said[2:] == ["12 times 7 is 84.", "Goodbye!"]
    with wave.open(str(tmp_path / "talk" / "conversation.wav")) as stereo:
        assert stereo.getparams()[:3] == (2, 2, PCM_RATE)
        frames = np.frombuffer(stereo.readframes(stereo.getnframes()), "<i2").reshape(-1, 2)
    assert len(frames) < 60 * PCM_RATE
    # Both speak, and only for that moment at once: what was cut off, three seconds, is not there.
    is_loud = [level_by_tenths(frames[:, side]) > 1000 for side in (0, 1)]
    assert min(loud.sum() for loud in is_loud) > 20
    assert (is_loud[0] & is_loud[1]).sum() < 10 * (heard - 1) + 6


def level_by_tenths(samples: NDArray[np.int16]) -> NDArray[np.int32]:
    """The loudest sample of every 100 ms."""
    tenth = PCM_RATE // 10
    whole = samples[: len(samples) // tenth * tenth].astype(np.int32)
    levels: NDArray[np.int32] = np.abs(whole).reshape(-1, tenth).max(axis=1)
    return levels


@pytest.mark.socket
async def test_text_chat_says_what_the_service_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    ask = runpy.run_path(str(EXAMPLES / "text_chat.py"))["ask"]
    async with simulator() as url, open_session(url=url) as session:
        await ask(session, "x" * 300_000)
    assert "\n[string_above_max_length: " in capsys.readouterr().out


async def post(url: str) -> dict[str, str]:
    """Ask a server on this machine by HTTP; returns the JSON of its answer."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, port = host.split(":")
    async with await trio.open_tcp_stream(name, int(port)) as stream:
        head = f"POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n"
        await stream.send_all(f"{head}connection: close\r\n\r\n".encode())
        answer = b"".join([chunk async for chunk in stream])
    content: dict[str, str] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return content


@pytest.mark.socket
@pytest.mark.skipif(not importlib.util.find_spec("httpx2"), reason="the extra rest is missing")
async def test_webrtc_gives_its_page_a_client_secret() -> None:
    async with simulator() as url, trio.open_nursery() as nursery:
        environment = {**os.environ, "OPENAI_BASE_URL": url, "PYTHONUNBUFFERED": "1"}
        program = [sys.executable, str(EXAMPLES / "webrtc.py"), "0"]
        run = partial(trio.run_process, program, env=environment, stdout=subprocess.PIPE)
        process: trio.Process = await nursery.start(run)
        assert process.stdout is not None
        page = (await process.stdout.receive_some()).decode().strip()
        assert (await post(f"{page}secret"))["secret"].startswith("ek_")
        nursery.cancel_scope.cancel()


@pytest.mark.socket
@pytest.mark.skipif(
    not (importlib.util.find_spec("hypercorn") and importlib.util.find_spec("starlette")),
    reason="the extra web, or Starlette, is missing",
)
async def test_relay_in_starlette_lets_in_whoever_has_its_token_and_drains_at_sigterm() -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        host = f"127.0.0.1:{found.getsockname()[1]}"
    replies = [Reply.text("I am."), Reply.text("Yes.")]
    async with simulator(*replies) as url, trio.open_nursery() as nursery:
        environment = {**os.environ, "OPENAI_BASE_URL": url, "PYTHONUNBUFFERED": "1"}
        program = [sys.executable, str(EXAMPLES / "relay_in_starlette.py"), host]
        run = partial(trio.run_process, program, env=environment, stderr=subprocess.PIPE)
        process: trio.Process = await nursery.start(run)
        assert process.stderr is not None
        assert b"Running on" in await process.stderr.receive_some()
        token = (await post(f"http://{host}/token"))["token"]
        async with open_session(url=f"ws://{host}/v1", api_key=token) as session:
            assert (await session.ask("Are you there?")).text == "I am."
            process.terminate()
            # It lets nobody in any more, but goes on for whoever is inside.
            while True:
                with pytest.raises(ConnectionFailed) as refused:
                    async with open_session(url=f"ws://{host}/v1", api_key="none"):
                        pass
                if refused.value.status == 503:
                    break
            assert (await session.ask("Are you still there?")).text == "Yes."
        assert await process.wait() == 0


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == TESTED


@pytest.mark.parametrize("example", sorted(TESTED))
def test_an_example_is_short(example: str) -> None:
    # The demo is a whole program: sound card, conversation and report.
    most = 200 if example == "spoken_conversation.py" else 120
    assert len((EXAMPLES / example).read_text(encoding="utf-8").splitlines()) < most


def test_the_readme_shows_examples_and_nothing_else() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert snippets == [
        (EXAMPLES / name).read_text(encoding="utf-8") for name in ("hello.py", "offline.py")
    ]


def test_the_links_of_the_readme_lead_somewhere() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", readme) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert len(links) > 5
