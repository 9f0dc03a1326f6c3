"""The load of `bench_simulator`: users who ask again and again, and a clock for what they wait for.

Every user is a WebSocket that says the same over and over in real time: a question, then silence
until the answer has been heard.  They begin at different times, so that at every moment some speak,
some have just stopped and some listen.  As little as possible is done for each of them, since all
of that delays the clock: messages are encoded beforehand, and what arrives is told apart by how it
begins.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import numpy as np
import trio
from attrs import Factory, define, frozen
from simulator_process import ANSWER

from realtime_trio._transport.contract import Transport
from realtime_trio._transport.websocket_client import open_websocket
from realtime_trio.audio import PCM_RATE, AudioData, read_wav
from realtime_trio.connection import Codec
from realtime_trio.events import InputAudioBufferAppend, ServerVad
from realtime_trio.simulator import LIFELIKE, synthesize_speech
from realtime_trio.simulator.service.response_output import CHUNK_MS
from realtime_trio.simulator.service.turn_detection import SpeechStopped, TurnDetector

CYCLE_S: Final = 6.0
"""From one question to the next: 2.7 s to ask, and time for an answer that begins half a second
later and is as long."""
ANSWERING_S: Final = 2.0
"""By then every answer is complete that a server in time gives: 0.35 s of thought, and 2.7 s of
speech at four times its speed."""

# Our server writes the type first.
_STOPPED, _CREATED, _DELTA, _ERROR = (
    f'{{"type":"{name}"'
    for name in (
        "input_audio_buffer.speech_stopped",
        "response.created",
        "response.output_audio.delta",
        "error",
    )
)
_GOLDEN: Final = (5**0.5 - 1) / 2
"""Its multiples, modulo 1, lie evenly and never coincide: neither within a cycle nor, which equal
steps would, within an append."""
_CHUNK_S: Final = CHUNK_MS / 1000
_DELTAS: Final = math.ceil(len(synthesize_speech(ANSWER)) / (_CHUNK_S * PCM_RATE))
"""In every answer."""


@frozen
class Question:
    """What a user says from one question to the next."""

    messages: tuple[str, ...]
    """Speech, then silence."""
    append_s: float
    """Seconds of audio in each of them."""
    last: int
    """Which of them holds the end of the turn: so much silence that the server must notice it."""


def read_question(recording: Path, append_ms: int) -> Question:
    """Cut a recording in which nobody pauses into appends of so many milliseconds."""
    samples = read_wav(recording)
    appends = np.pad(samples, (0, round(CYCLE_S * PCM_RATE) - len(samples))).reshape(
        -1, PCM_RATE * append_ms // 1000
    )
    heard = list(map(TurnDetector(ServerVad(), rate=PCM_RATE).append, appends))
    (last,) = (
        number
        for number, events in enumerate(heard)
        if any(isinstance(event, SpeechStopped) for event in events)
    )
    codec = Codec()
    return Question(
        tuple(codec.encode(InputAudioBufferAppend(audio=AudioData(append))) for append in appends),
        append_ms / 1000,
        last,
    )


@define
class Turn:
    """When what happened, in seconds of trio's clock; None until then."""

    asked: float
    """Just before the message that ends the turn was written."""
    stopped: float | None = None
    """When `input_audio_buffer.speech_stopped` arrived."""
    created: float | None = None
    """When `response.created` arrived."""
    deltas: list[float] = Factory(list)
    """When its audio arrived."""


@frozen
class Figures:
    """What users saw during some time; in seconds."""

    stopped: Sequence[float]
    """From the end of each question to `speech_stopped`, or until now if that never came."""
    created: Sequence[float]
    """The same to `response.created`."""
    late: Sequence[float]
    """How much later each delta came than it should, counted from `response.created`."""
    delays: Sequence[float]
    """How much later each message of a user was written than it should: a measure of how far the
    load itself is behind."""
    gaps: int
    """Deltas that came when all audio before them had been played."""
    lost: int
    """Deltas that did not come."""


class User:
    """Somebody with a connection of their own, who never listens to the answer."""

    def __init__(self, transport: Transport, question: Question) -> None:
        self._transport = transport
        self._question = question
        self.turns: list[Turn] = []
        self.delays: list[tuple[float, float]] = []
        """When each message was due, and how much later it was written."""

    async def talk(self, start: float) -> None:
        """Ask again and again."""
        messages, append_s = self._question.messages, self._question.append_s
        number = 0
        while True:
            due = start + number * append_s
            await trio.sleep_until(due)
            now = trio.current_time()
            self.delays.append((due, now - due))
            index = number % len(messages)
            if index == self._question.last:
                self.turns.append(Turn(now))
            await self._transport.send(messages[index])
            number += 1

    async def listen(self) -> None:
        """Note when what arrives."""
        while True:
            batch = await self._transport.receive()
            now = trio.current_time()
            if not batch:
                raise RuntimeError(f"the server closed a connection: {self._transport.closed}")
            for message in batch:
                assert isinstance(message, str)
                if message.startswith(_DELTA):
                    self.turns[-1].deltas.append(now)
                elif message.startswith(_STOPPED):
                    self.turns[-1].stopped = now
                elif message.startswith(_CREATED):
                    self.turns[-1].created = now
                elif message.startswith(_ERROR):
                    raise RuntimeError(message)


class Crowd:
    """Users of one server.  Made by `open_crowd`."""

    def __init__(self, users: Sequence[User]) -> None:
        self._users = users

    def figures(self, start: float, end: float) -> Figures:
        """What became of the questions that ended from `start` until `end`, as far as it has."""
        now = trio.current_time()
        turns = [turn for user in self._users for turn in user.turns if start <= turn.asked < end]
        return Figures(
            stopped=[
                (now if turn.stopped is None else turn.stopped) - turn.asked for turn in turns
            ],
            created=[
                (now if turn.created is None else turn.created) - turn.asked for turn in turns
            ],
            late=[late for turn in turns for late in _lateness(turn)],
            delays=[
                delay for user in self._users for due, delay in user.delays if start <= due < end
            ],
            gaps=sum(
                came > turn.deltas[0] + number * _CHUNK_S
                for turn in turns
                for number, came in enumerate(turn.deltas)
            ),
            lost=sum(_DELTAS - len(turn.deltas) for turn in turns),
        )


def _lateness(turn: Turn) -> list[float]:
    if turn.created is None:
        return []
    first = turn.created + LIFELIKE.time_to_first_event
    return [
        came - first - number * _CHUNK_S / LIFELIKE.audio_speed
        for number, came in enumerate(turn.deltas)
    ]


@asynccontextmanager
async def open_crowd(url: str, question: Question, size: int) -> AsyncIterator[Crowd]:
    """Let users talk to a server; all of them do when the block is entered."""
    async with AsyncExitStack() as connections:
        address = f"{url}?model=gpt-realtime"
        users = [
            User(await connections.enter_async_context(open_websocket(address)), question)
            for _ in range(size)
        ]
        async with trio.open_nursery() as nursery:
            start = trio.current_time()
            for number, user in enumerate(users):
                nursery.start_soon(user.listen)
                nursery.start_soon(user.talk, start + CYCLE_S * (number * _GOLDEN % 1))
            await trio.sleep_until(start + CYCLE_S)
            yield Crowd(users)
            nursery.cancel_scope.cancel()
