"""Sessions with limits, and their servers, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Unpack

import trio
from bills import MODEL, PRICES, began, done, usage
from peers import Server, counted_ids, memory_server

from realtime_trio._protocol.kinds import DEFAULT_MODEL
from realtime_trio._session.opening import SessionOptions, open_session
from realtime_trio._session.voice import Session
from realtime_trio.events import (
    RealtimeSession,
    ResponseCreate,
    ResponseUsage,
    SessionAudio,
    SessionAudioInput,
    SessionCreated,
    TurnDetection,
)
from realtime_trio.money import Budget, Prices
from realtime_trio.playback import Playback
from realtime_trio.simulator import INSTANT, Pacing, Reply, Script, open_simulator_transport
from realtime_trio.tools import AnyTool

SIMULATED_PRICES: Final = {DEFAULT_MODEL: PRICES[MODEL]}


def ready(turn_detection: TurnDetection | None = None) -> SessionCreated:
    audio = SessionAudio(input=SessionAudioInput(turn_detection=turn_detection))
    session = RealtimeSession(id="sess_1", model=MODEL, instructions="Be kind.", audio=audio)
    return SessionCreated(event_id="e", session=session)


@asynccontextmanager
async def open_limited(
    *,
    budget: Budget | None = None,
    prices: Prices | None = PRICES,
    idle_timeout: float | None = None,
    detection: TurnDetection | None = None,
    playback: Playback | None = None,
    tools: tuple[AnyTool, ...] | None = None,
    **options: Unpack[SessionOptions],
) -> AsyncIterator[tuple[Session, Server]]:
    """A session that is ready, and its server, which does as the test says."""
    near, server = memory_server()
    await server.say(ready(detection))
    with trio.fail_after(600):
        async with open_session(
            MODEL,
            transport=near,
            new_id=counted_ids(),
            budget=budget,
            prices=prices,
            idle_timeout=idle_timeout,
            playback=playback,
            tools=tools,
            **options,
        ) as session:
            yield session, server


@asynccontextmanager
async def open_simulated_within(
    *replies: Reply,
    budget: Budget | None = None,
    idle_timeout: float | None = None,
    playback: Playback | None = None,
    pacing: Pacing = INSTANT,
    tools: tuple[AnyTool, ...] | None = None,
    **options: Unpack[SessionOptions],
) -> AsyncIterator[Session]:
    """A session with a simulator that gives these replies."""
    options.setdefault("strict", True)
    with trio.fail_after(3600):
        async with (
            open_simulator_transport(Script(replies, pacing=pacing)) as transport,
            open_session(
                transport=transport,
                budget=budget,
                prices=SIMULATED_PRICES,
                idle_timeout=idle_timeout,
                playback=playback,
                tools=tools,
                **options,
            ) as session,
        ):
            yield session


async def answer(server: Server, number: int, took: ResponseUsage | None = None) -> ResponseCreate:
    """Take the next create, and respond to it."""
    create = await server.hear(ResponseCreate)
    name = create.event_id
    took = usage(text=10) if took is None else took
    await server.say(began(f"resp_{number}", of=name), done(f"resp_{number}", took, of=name))
    return create
