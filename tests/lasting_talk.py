"""Sessions that reconnect to a simulated service in memory, and what both sides have, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias, TypeVar, Unpack

from realtime_trio._runtime.hub import EventStream
from realtime_trio._session.opening import SessionOptions, open_session
from realtime_trio._session.voice import Session
from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio._state.conversation.size import NO_LIMIT
from realtime_trio.events import (
    AssistantMessage,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputText,
    Item,
    OutputAudio,
    OutputText,
    SystemMessage,
    UserMessage,
)
from realtime_trio.history import HistoryLimit
from realtime_trio.lasting import Reconnect
from realtime_trio.money import Budget
from realtime_trio.playback import Playback
from realtime_trio.simulator import Reply, Script, SimulatedServer, SimulatedService
from realtime_trio.simulator.script.script import Pacing
from realtime_trio.tools.registry import AnyTool

E = TypeVar("E")
Line: TypeAlias = tuple[str, str]
"""Who says or does something, and what."""


def service_of(*replies: Reply, pacing: Pacing | None = None) -> SimulatedService:
    script = Script(replies) if pacing is None else Script(replies, pacing=pacing)
    return SimulatedService(script)


@asynccontextmanager
async def open_lasting(
    service: SimulatedService,
    policy: Reconnect | None = None,
    *,
    tools: Iterable[AnyTool] | None = None,
    playback: Playback | None = None,
    history_limit: HistoryLimit = NO_LIMIT,
    budget: Budget | None = None,
    idle_timeout: float | None = None,
    record: Path | None = None,
    **options: Unpack[SessionOptions],
) -> AsyncIterator[Session]:
    """A session that reconnects; what does not fit the protocol is an error."""
    options.setdefault("strict", True)
    async with open_session(
        transport=service.open,
        reconnect=policy or Reconnect(),
        tools=tools,
        playback=playback,
        history_limit=history_limit,
        budget=budget,
        idle_timeout=idle_timeout,
        record=record,
        **options,
    ) as session:
        yield session


def lines_of(items: Iterable[Item]) -> list[Line]:
    """Items in short: as the client has them, or as the server has."""
    return [_line_of(item) for item in items]


def server_lines(server: SimulatedServer) -> list[Line]:
    """The conversation as the server has it."""
    return lines_of(server.items)


def client_lines(session: Session) -> list[Line]:
    """The conversation as the client has it."""
    return lines_of(item.snapshot for item in session.conversation.items)


def ids_of(items: Iterable[Item | ConversationItem]) -> list[str | None]:
    return [None if item.id is None else str(item.id) for item in items]


def _line_of(item: Item) -> Line:
    match item:
        case UserMessage() | AssistantMessage() | SystemMessage():
            return str(item.role), " ".join(_words_of(part) for part in item.content).strip()
        case FunctionCall(name=name, arguments=arguments):
            return "call", f"{name} {arguments}"
        case FunctionCallOutput(output=output):
            return "output", output
        case _:
            return str(item.type), ""


def _words_of(part: object) -> str:
    match part:
        case InputText(text=text) | OutputText(text=text):
            return text
        case InputAudio(transcript=transcript) | OutputAudio(transcript=transcript):
            return (transcript or "").strip()
        case _:
            return ""


def taken(stream: EventStream[E]) -> list[E]:
    """What has arrived in a stream."""
    return [stream.receive_nowait() for _ in range(stream.pending)]
