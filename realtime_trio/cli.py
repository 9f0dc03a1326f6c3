"""The command line: ask one question, hold a conversation, or run the simulator.

Owns the options, the terminal and the exit codes: 0, 1 for an error, 2 for wrong usage, 130 after
Ctrl-C.  What the model says goes to standard output and every remark to standard error.  Needs the
extra `realtime-trio[cli]`.
"""

from __future__ import annotations

import functools
import gc
import importlib
import logging
import re
import signal
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Final, NoReturn, Unpack

import numpy as np
import trio
from attrs import field, frozen
from numpy.typing import NDArray

from realtime_trio._runtime.hub import EventStream
from realtime_trio._runtime.nursery import leaves_of
from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio._version import __version__
from realtime_trio.audio import PCM_RATE, WavWriter, read_wav
from realtime_trio.errors import LocalProtocolError, RealtimeError, ServerError, SessionClosed
from realtime_trio.events import (
    ConversationItemCreate,
    ErrorEvent,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    Modality,
    Response,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputTextDelta,
    ResponseUsage,
    ServerEvent,
    SessionSettings,
    UserMessage,
)
from realtime_trio.simulator import (
    LIFELIKE,
    Cast,
    Ears,
    OfflineAgent,
    Script,
    ScriptFile,
    Voice,
    load_script,
    serve_simulator,
)
from realtime_trio.simulator.voice import EspeakVoice, PocketsphinxEars

try:
    import click
    from rich.console import Console
    from rich.segment import Segment, Segments
    from rich.style import Style
except ModuleNotFoundError as error:
    # Nobody but the command line itself imports this module, so this is where a person can be told
    # instead of shown a traceback.
    sys.exit(
        f"realtime-trio: the command line needs {error.name}: pip install 'realtime-trio[cli]'"
    )

DEFAULT_PORT: Final = 8765
"""Where `serve` listens, so that one can write down its address."""
CHUNK: Final = PCM_RATE // 10
"""Samples in one append: 100 ms, what microphones deliver and the service's own examples send."""

# All but tab and newline: what a server says must not be able to steer the terminal.
_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_OUTPUT: Final = Console()
_REMARKS: Final = Console(stderr=True)
_VOICE: Final = Style(bold=True)


@frozen(kw_only=True)
class Service:
    """Which service to talk to, and what to ask of it; None is the default."""

    url: str | None
    """Its address."""
    api_key: str | None = field(repr=False)
    """Key."""
    model: str | None
    """Model."""
    instructions: str | None
    """System instructions."""
    voice: str | None
    """Voice."""


# --- commands -------------------------------------------------------------------------------------


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="realtime-trio")
def main() -> None:
    """Talk with a Realtime model.

    OpenAI's own service with a key, any other with --url, and a built-in simulator with neither.
    """


def _takes_service(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose the service, and pass them as one `Service`."""

    @click.option(
        "--url",
        envvar="OPENAI_BASE_URL",
        show_envvar=True,
        help="Address of the service, for example ws://localhost:8765/v1",
    )
    @click.option(
        "--api-key",
        envvar="OPENAI_API_KEY",
        show_envvar=True,
        help="Key; the environment keeps it from other users' eyes",
    )
    @click.option("--model", help="Model  [default: gpt-realtime]")
    @click.option("--instructions", help="How the model shall behave")
    @click.option("--voice", help="Voice of the answers")
    @functools.wraps(command)
    def with_service(
        *,
        url: str | None,
        api_key: str | None,
        model: str | None,
        instructions: str | None,
        voice: str | None,
        **rest: object,
    ) -> None:
        command(
            Service(url=url, api_key=api_key, model=model, instructions=instructions, voice=voice),
            **rest,
        )

    return with_service


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="WAV file to write the spoken answer to",
)
@click.option(
    "--speed",
    type=click.FloatRange(0, min_open=True),
    help="1 sends as fast as one speaks  [default: as fast as possible]",
)
@_takes_service
def say(service: Service, file: Path, out: Path | None, speed: float | None) -> None:
    """Ask a spoken question.  Prints the answer while it streams.

    FILE is a WAV file: any rate, any number of channels, not compressed.
    """
    _run(functools.partial(_say, service, file, out, speed))


@main.command()
@click.option(
    "--modality",
    type=click.Choice(["text", "audio"]),
    default="text",
    show_default=True,
    help="What the model answers with",
)
@_takes_service
def chat(service: Service, modality: Modality) -> None:
    """Hold a conversation by keyboard.  /quit or the end of the input ends it.

    Lines may also come through a pipe.
    """
    _run(functools.partial(_chat, service, modality))


_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen at, 0 for any",
)
@click.option("--api-key", help="Key that clients must have  [default: any or none]")
@click.option(
    "--script",
    type=_FILE,
    help="What the model says, as YAML or JSON; when that is used up, it answers for itself",
)
@click.option(
    "--llm",
    metavar="URL",
    help="Let a language model answer: any OpenAI-compatible chat-completions endpoint",
)
@click.option("--model", help="Name of the language model")
@click.option("--llm-key", envvar="LLM_API_KEY", show_envvar=True, help="Key of the language model")
@click.option(
    "--voice/--no-voice",
    default=None,
    help="Hear and speak with the extra voice  [default: if it is installed]",
)
@click.option(
    "--beta", is_flag=True, help="Speak the older beta protocol with clients that ask for it"
)
@click.option("--cert", type=_FILE, help="Certificate chain (PEM): serve wss and https")
@click.option("--key", type=_FILE, help="Its private key (PEM), if that is not in the same file")
@click.option(
    "--record",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Record every session there",
)
def serve(
    host: str,
    port: int,
    api_key: str | None,
    script: Path | None,
    llm: str | None,
    model: str | None,
    llm_key: str | None,
    voice: bool | None,
    beta: bool,
    cert: Path | None,
    key: Path | None,
    record: Path | None,
) -> None:
    """Run the simulator until Ctrl-C.  Prints a line for every event it receives and sends.

    It answers with an agent that needs no service: by rules, in English, and it says so.  With the
    extra `voice` it hears and speaks.
    """
    if (llm is None) != (model is None):
        raise click.UsageError(
            "--llm and --model go together: where the language model is, and what it is called there"
        )
    if key is not None and cert is None:
        raise click.UsageError("--key is the key of a --cert")

    async def job() -> None:
        context = None
        if cert is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(cert, key)
        played = (
            ScriptFile(Script(pacing=LIFELIKE))
            if script is None
            else await trio.to_thread.run_sync(load_script, script)
        )
        cast = _cast_of(voice, llm=llm, model=model, key=llm_key)
        run = functools.partial(
            serve_simulator,
            played.script,
            host,
            port,
            cast=cast,
            api_key=api_key,
            beta=beta,
            faults=played.faults,
            record=record,
            ssl_context=context,
        )
        await _serve(run, cast)

    _run(job)


def _run(job: Callable[[], Awaitable[bool | None]]) -> NoReturn:
    """Run a command to its end and turn the end into an exit code.  A job that went wrong raises, or returns False if it said so itself."""
    status = 1
    try:
        status = trio.run(_until_interrupted, job)
    except* KeyboardInterrupt:
        status = 130
    except* (RealtimeError, OSError) as group:
        for error in leaves_of(group):
            _complain(str(error))
    sys.exit(status)


async def _until_interrupted(job: Callable[[], Awaitable[bool | None]]) -> int:
    """Run a job to its end or until Ctrl-C, which so ends it where it waits for something and not in the middle of any line."""
    status = 130
    async with trio.open_nursery() as nursery:
        if threading.current_thread() is threading.main_thread():  # elsewhere there are no signals
            await nursery.start(_cancel_on_interrupt, nursery.cancel_scope)
        status = 1 if await job() is False else 0
        nursery.cancel_scope.cancel()
    return status


async def _cancel_on_interrupt(
    scope: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()


# --- jobs -----------------------------------------------------------------------------------------


async def _say(service: Service, file: Path, out: Path | None, speed: float | None) -> bool:
    question = await trio.to_thread.run_sync(read_wav, file)
    async with _open(service, turn_detection=None) as session:
        with session.events(ServerEvent) as events:
            _remark(f"asking: {file}, {len(question) / PCM_RATE:.1f} s")
            await _speak(session, question, speed)
            await session.send(ResponseCreate())
            with nullcontext() if out is None else WavWriter(out) as recording:
                response, seconds = await _print_answer(events, recording)
    went_well = _went_well(response)
    _remark(f"answer: {seconds:.1f} s" + (f", written to {out}" if out else ""))
    if response.usage is not None:
        _remark(f"usage: {_summary(response.usage)}")
    return went_well


async def _speak(session: Session, samples: NDArray[np.int16], speed: float | None) -> None:
    """Send audio in chunks, as one turn; no chunk leaves before a microphone of this speed would have recorded it."""
    start = trio.current_time()
    for position in range(0, len(samples), CHUNK):
        chunk = samples[position : position + CHUNK]
        if speed is not None:
            await trio.sleep_until(start + (position + len(chunk)) / PCM_RATE / speed)
        await session.send(InputAudioBufferAppend(audio=chunk))
    await session.send(InputAudioBufferCommit())


async def _chat(service: Service, modality: Modality) -> bool:
    went_well = True
    lines = _Lines()
    async with _open(service, output_modalities=(modality,)) as session:
        with session.events(ServerEvent) as events:
            while (line := await lines.read()) is not None and line != "/quit":
                if not line:
                    continue
                await session.send(ConversationItemCreate(item=UserMessage.text(line)))
                await session.send(ResponseCreate())
                response, _ = await _print_answer(events)
                went_well &= _went_well(response)
    return went_well


async def _serve(run: Callable[..., Awaitable[None]], cast: Cast) -> None:
    logger, printer = logging.getLogger("realtime_trio.simulator"), _LogPrinter()
    # A full collection would hold up every client for a tenth of a second, and what is there by now
    # stays anyway.
    thresholds_before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    level_before = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(printer)
    try:
        async with trio.open_nursery() as nursery:
            url: str = await nursery.start(run)
            _OUTPUT.out(
                f"the simulator listens at {url} until Ctrl-C; {_described(cast)}",
                highlight=False,
            )
    finally:
        logger.removeHandler(printer)
        logger.setLevel(level_before)
        gc.set_threshold(*thresholds_before)
        gc.unfreeze()


# --- the service ----------------------------------------------------------------------------------


@asynccontextmanager
async def _open(service: Service, **settings: Unpack[SessionSettings]) -> AsyncIterator[Session]:
    """A session with the service that was chosen, or with a simulator of our own if none was."""
    if service.instructions is not None:
        settings["instructions"] = service.instructions
    if service.voice is not None:
        settings["voice"] = service.voice
    async with trio.open_nursery() as nursery:
        url = service.url
        if url is None and service.api_key is None:
            cast = _cast_of(None)
            _remark(f"no key and no --url: talking to the built-in simulator; {_described(cast)}")
            url = await nursery.start(functools.partial(serve_simulator, cast=cast))
        async with open_session(
            service.model, url=url, api_key=service.api_key, **settings
        ) as session:
            yield session
        nursery.cancel_scope.cancel()


def _cast_of(
    voice: bool | None,
    *,
    llm: str | None = None,
    model: str | None = None,
    key: str | None = None,
) -> Cast:
    """Who answers, listens and speaks in the simulator; a voice if there is one, unless it must be there or must not."""
    ears: Ears | None = None
    mouth: Voice | None = None
    if voice is not False:
        try:
            ears, mouth = PocketsphinxEars(), EspeakVoice()
        except LocalProtocolError:  # the extra is not installed
            if voice:
                raise
    if llm is None or model is None:
        return Cast(OfflineAgent(), ears=ears, voice=mouth)
    try:
        chat_completions = importlib.import_module("realtime_trio.simulator.chat_completions")
    except ModuleNotFoundError as error:
        raise LocalProtocolError(str(error)) from error
    return Cast(
        chat_completions.ChatCompletionsAgent(llm, model=model, api_key=key),
        ears=ears,
        voice=mouth,
    )


def _described(cast: Cast) -> str:
    """What is real of it and what is not."""
    who = (
        "an agent by rules answers"
        if isinstance(cast.agent, OfflineAgent)
        else "a language model answers"
    )
    hears = (
        "what is said is recognized by pocketsphinx"
        if cast.ears
        else "it does not understand speech"
    )
    speaks = "espeak-ng speaks" if cast.voice else "its voice is synthetic babble"
    return f"{who}, {hears}, {speaks}"


async def _print_answer(
    events: EventStream[ServerEvent], recording: WavWriter | None = None
) -> tuple[Response, float]:
    """Print the next answer while it streams.

    Args:
        events: Where it comes.
        recording: What to add its speech to.

    Returns:
        The finished response, and the duration of its speech in seconds.

    Raises:
        ServerError: An error came first, so that there will be no answer.
        SessionClosed: The service closed the session before the answer was finished.
    """
    has_begun, has_text, samples = False, False, 0
    try:
        async for event in events:
            match event:
                case ResponseCreated():
                    has_begun = True
                case (
                    ResponseOutputTextDelta(delta=text)
                    | ResponseOutputAudioTranscriptDelta(delta=text)
                ):
                    has_text = True
                    _stream(text)
                case ResponseOutputAudioDelta(delta=audio):
                    samples += len(audio.samples)
                    if recording is not None:
                        recording.append(audio.samples)
                case ErrorEvent(error=error):
                    failure = ServerError(
                        error.message,
                        type=error.type,
                        code=error.code,
                        param=error.param,
                        event_id=error.event_id,
                    )
                    if not has_begun:
                        raise failure
                    _complain(str(failure))
                case ResponseDone(response=response):
                    return response, samples / PCM_RATE
                case _:
                    pass
    finally:
        if has_text:
            _stream("\n")
    raise SessionClosed("the service closed the session before the answer was finished")


def _went_well(response: Response) -> bool:
    """Say how a response ended, unless it completed; return False if it failed."""
    details = response.status_details
    match response.status:
        case "failed":
            error = details.error if details is not None else None
            why = (
                []
                if error is None
                else [part for part in (error.code or error.type, error.message) if part]
            )
            _complain(": ".join(["the response failed", *why]))
            return False
        case "incomplete" | "cancelled" as status:
            why = [] if details is None or details.reason is None else [details.reason]
            _remark(": ".join([f"the answer is {status}", *why]))
        case _:
            pass
    return True


def _summary(usage: ResponseUsage) -> str:
    cached = usage.input_token_details.cached_tokens if usage.input_token_details is not None else 0
    return f"{usage.input_tokens} tokens in ({cached} cached), {usage.output_tokens} tokens out"


# --- the terminal ---------------------------------------------------------------------------------


class _Lines:
    """The lines of standard input, for a task that may be cancelled while it waits for one.

    Cancelling leaves a thread behind that still reads.  If it read through `sys.stdin` it would
    hold a lock that the interpreter needs when it exits; so this reads the file itself.
    """

    def __init__(self) -> None:
        self._file = open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)  # noqa: SIM115 - not ours to close
        self._pending = b""

    async def read(self) -> str | None:
        """The next line, stripped; None at the end."""
        await trio.lowlevel.checkpoint()
        if sys.stdin.isatty():
            _REMARKS.out("> ", end="", style="bold", highlight=False)
        while b"\n" not in self._pending:
            chunk = await trio.to_thread.run_sync(self._file.read, 65536, abandon_on_cancel=True)
            if not chunk:
                break
            self._pending += chunk
        line, newline, self._pending = self._pending.partition(b"\n")
        return line.decode(sys.stdin.encoding, "replace").strip() if line or newline else None


class _LogPrinter(logging.Handler):
    """Prints what is logged, one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        _OUTPUT.out(
            f"{time.strftime('%H:%M:%S')} {_harmless(record.getMessage())}", highlight=False
        )


def _harmless(text: str) -> str:
    return _CONTROL_CHARACTERS.sub("", text)


def _stream(text: str) -> None:
    """Print a piece of what the model says exactly as it is: rich would lay out a piece as if it were all."""
    _OUTPUT.print(Segments([Segment(_harmless(text), _VOICE)]), end="", soft_wrap=True)


def _remark(text: str) -> None:
    _REMARKS.out(_harmless(text), style="dim", highlight=False)


def _complain(text: str) -> None:
    _REMARKS.out(_harmless(f"realtime-trio: {text}"), style="red", highlight=False)
