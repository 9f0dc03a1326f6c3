"""Agents, ears and voices that do what a test tells them, and clients of a simulator with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import numpy as np
import trio
from attrs import define, field
from numpy.typing import NDArray
from schema import check_message

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._runtime.nursery import open_service_nursery
from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio.events import (
    AssistantMessage,
    Event,
    FunctionCall,
    Response,
    ResponseDone,
    ResponseErrorDetail,
    ResponseStatusDetails,
    Transcription,
)
from realtime_trio.simulator import (
    Pacing,
    Reply,
    Script,
    SimulatedServer,
    Turn,
)
from realtime_trio.simulator.roles import Agent, Ears, Piece, Say, Voice
from realtime_trio.simulator.serving.attended import Cast, run_server
from realtime_trio.testing import RecordingTransport, assert_order

E = TypeVar("E", bound=Event)
Samples = NDArray[np.int16]

SLOW = Pacing(time_to_first_event=1.0, tokens_per_second=1.0, audio_speed=1.0)
TEXT: Any = {"output_modalities": ["text"], "turn_detection": None}
MANUAL: Any = {"turn_detection": None}
WHISPER = Transcription(model="gpt-4o-transcribe")


@define(eq=False)
class Scripted:
    """An agent that says what it was told to say, and remembers how it was treated."""

    pieces: list[Piece] = field(factory=list)
    wait: float = 0.0
    """Seconds before every piece."""
    error: BaseException | None = None
    """What it raises in the end."""
    is_endless: bool = False
    turns: list[Turn] = field(factory=list, init=False)
    given: int = field(default=0, init=False)
    """How many pieces it has given."""
    closed_at: list[float] = field(factory=list, init=False)
    """When its answers ended."""

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:  # noqa: ASYNC900, ASYNC911
        self.turns.append(turn)
        try:
            while True:
                for piece in self.pieces:
                    if self.wait:
                        await trio.sleep(self.wait)
                    self.given += 1
                    yield piece  # noqa: ASYNC911
                if not self.is_endless:
                    break
            if self.error is not None:
                raise self.error
        finally:
            self.closed_at.append(trio.current_time())

    @property
    def heard(self) -> list[str]:
        return [turn.user_text for turn in self.turns]


@define(eq=False)
class Listener:
    """Ears that hear what they were told to hear, and remember to what they listened."""

    words: list[str | Exception | None]
    wait: float = 0.0
    heard: list[Samples] = field(factory=list, init=False)

    async def transcribe(self, samples: Samples) -> str | None:
        self.heard.append(samples)
        words = self.words[len(self.heard) - 1]
        await trio.sleep(self.wait)
        if isinstance(words, Exception):
            raise words
        return words


@define(eq=False)
class Beeper:
    """A voice that beeps for as many samples as the text has characters, times 480."""

    error: Exception | None = None
    spoken: list[str] = field(factory=list, init=False)

    async def speak(self, text: str) -> Samples:
        await trio.lowlevel.checkpoint()
        self.spoken.append(text)
        if self.error is not None:
            raise self.error
        return np.full(480 * len(text), 77, np.int16)


def says(*texts: str, **options: Any) -> Scripted:
    return Scripted([Say(text) for text in texts], **options)


@asynccontextmanager
async def on_a_wire(
    agent: Agent | None = None,
    script: Script | None = None,
    *,
    ears: Ears | None = None,
    voice: Voice | None = None,
    server: SimulatedServer | None = None,
) -> AsyncIterator[RecordingTransport]:
    """The client's end of a connection to a simulator with this cast."""
    served = server or SimulatedServer(script or Script())
    ours, theirs = memory_transport_pair()
    wire = RecordingTransport(ours, kind=served.kind)
    cast = Cast(agent, ears=ears, voice=voice)
    with trio.fail_after(3600):
        async with open_service_nursery() as nursery:
            ended = trio.Event()

            async def serve() -> None:
                await run_server(theirs, served, cast)
                ended.set()

            nursery.start_soon(serve)  # noqa: ASYNC113
            yield wire
            await ours.aclose()
            await ended.wait()
    assert_order(wire.records)
    codec = Codec(Role.SERVER, kind=served.kind)
    for event in wire.received:
        check_message(codec.encode(event), served.kind)


@asynccontextmanager
async def talking(
    agent: Agent | None = None,
    *replies: Reply,
    script: Script | None = None,
    ears: Ears | None = None,
    voice: Voice | None = None,
    server: SimulatedServer | None = None,
    **options: Any,
) -> AsyncIterator[Session]:
    """A session with a simulator that has these replies, and this cast where they end."""
    async with (
        on_a_wire(agent, script or Script(replies), ears=ears, voice=voice, server=server) as wire,
        open_session(transport=wire, strict=True, **options) as session,
    ):
        yield session


def tone(ms: int) -> Samples:
    sine: Samples = (8000 * np.sin(np.arange(24 * ms) * (2 * np.pi * 300 / 24_000))).astype(
        np.int16
    )
    return sine


def silence(ms: int) -> Samples:
    return np.zeros(24 * ms, np.int16)


SPOKEN = np.concatenate((tone(500), silence(400)))
"""A turn of the user, and enough silence to end it."""


def details(response: Response) -> ResponseStatusDetails:
    assert response.status_details is not None
    return response.status_details


def error_of(response: Response) -> ResponseErrorDetail:
    assert response.status == "failed"
    error = details(response).error
    assert error is not None
    return error


def statuses(response: Response) -> list[str | None]:
    return [getattr(item, "status", None) for item in response.output]


def said(item: object) -> str:
    if isinstance(item, FunctionCall):
        return item.name
    assert isinstance(item, AssistantMessage)
    (part,) = item.content
    return str(getattr(part, "text", None) or getattr(part, "transcript", None))


async def response_to(session: Session, text: str) -> Response:
    """Only the next response, however the turn goes on."""
    with session.events(ResponseDone) as done:
        await session.send_message(text)
        return (await done.receive()).response


async def send(wire: RecordingTransport, *events: Event) -> None:
    await trio.lowlevel.checkpoint()
    for event in events:
        await wire.send(Codec().encode(event))


async def receive(wire: RecordingTransport, kind: type[E], count: int = 1) -> list[E]:
    """The first so many events of this class."""
    await trio.lowlevel.checkpoint()
    while len(found := [event for event in wire.received if isinstance(event, kind)]) < count:
        assert await wire.receive()
    return found
