"""Sessions with the simulator, for tests: in memory, strict, and with a look at the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar, Unpack

import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio._runtime.hub import EventStream
from realtime_trio._session.opening import SessionOptions, open_session
from realtime_trio._session.voice import Session
from realtime_trio._state.conversation.audio import DEFAULT_RETENTION, Retention
from realtime_trio._state.conversation.size import NO_LIMIT, HistoryLimit
from realtime_trio.events import Event, JsonObject
from realtime_trio.history import ConversationStore
from realtime_trio.playback import Playback
from realtime_trio.recording import WireRecord
from realtime_trio.simulator import (
    INSTANT,
    Pacing,
    Reply,
    Script,
    open_simulator_transport,
    serve_simulator,
)
from realtime_trio.tools import AnyTool

E = TypeVar("E", bound=Event)

SLOW = Pacing(time_to_first_event=1.0, tokens_per_second=1.0, audio_speed=1.0)
"""A second for every token and for every second of speech, so that there is time to do something in
the middle."""


@asynccontextmanager
async def open_simulated(
    *replies: Reply,
    transcripts: Iterable[str | None] = (),
    pacing: Pacing = INSTANT,
    history: Iterable[JsonObject] = (),
    history_limit: HistoryLimit = NO_LIMIT,
    store: ConversationStore | None = None,
    retention: Retention = DEFAULT_RETENTION,
    playback: Playback | None = None,
    tools: Iterable[AnyTool] | None = None,
    **options: Unpack[SessionOptions],
) -> AsyncIterator[Session]:
    """A session with a simulator that gives these replies."""
    script = Script(replies, transcripts=transcripts, pacing=pacing)
    options.setdefault("strict", True)
    with trio.fail_after(600):
        async with (
            open_simulator_transport(script) as transport,
            open_session(
                transport=transport,
                history=history,
                history_limit=history_limit,
                store=store,
                retention=retention,
                playback=playback,
                tools=tools,
                **options,
            ) as session,
        ):
            yield session


@asynccontextmanager
async def simulator_at_port(script: Script, *, api_key: str | None = None) -> AsyncIterator[str]:
    """The URL of a simulator on a real port, which must not be needed for more than 10 seconds."""
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            yield await nursery.start(partial(serve_simulator, script, api_key=api_key))
            nursery.cancel_scope.cancel()


def speech(milliseconds: int, *, level: int = 1000) -> NDArray[np.int16]:
    """Audio of this length that can be told from silence."""
    return np.full(24 * milliseconds, level, np.int16)


def records(wire: EventStream[WireRecord]) -> list[WireRecord]:
    """What went over the wire and was not looked at yet."""
    return [wire.receive_nowait() for _ in range(wire.pending)]


def sent(wire: EventStream[WireRecord]) -> list[Event]:
    """The same, of the client."""
    return [record.event for record in records(wire) if record.source == "client"]


def types_sent(wire: EventStream[WireRecord]) -> list[str]:
    return [event.type for event in sent(wire)]


def only(kind: type[E], events: Iterable[Event]) -> E:
    """The one event of this class among others."""
    [event] = [event for event in events if isinstance(event, kind)]
    return event


def buffered(stream: EventStream[E]) -> list[E]:
    return [stream.receive_nowait() for _ in range(stream.pending)]
