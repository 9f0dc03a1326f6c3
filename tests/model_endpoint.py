"""A chat-completions endpoint in memory, for tests of the agent that asks one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Self, TypedDict, Unpack

import httpx2
import trio
from attrs import define, field
from completions import DONE, call_chunk, chunk

from realtime_trio.events import (
    FunctionCall,
    FunctionCallOutput,
    InputItem,
    Modality,
    Tool,
    UserMessage,
)
from realtime_trio.simulator.chat_completions import ChatCompletionsAgent
from realtime_trio.simulator.roles import Piece, Voice
from realtime_trio.simulator.script.reply import Turn

URL = "http://model.test/v1"

IN_PIECES = [
    call_chunk("", name="f", index=0, id="call_1"),
    call_chunk("", name="g", index=1, id="call_2"),
    call_chunk('{"a"', index=0),
    call_chunk('{"b"', index=1),
    call_chunk(": 1}", index=0),
    call_chunk(": 2}", index=1),
]
"""Two calls, in pieces that arrive by turns."""


class Body(httpx2.AsyncByteStream):
    """An answer that arrives in these pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


class Options(TypedDict, total=False):
    """Settings of an agent."""

    api_key: str
    voice: Voice


@define
class Endpoint:
    """An endpoint in memory: it gives everybody the same answer, and keeps what it was asked."""

    body: Sequence[bytes] = (chunk(content="Hi."), DONE)
    status: int = 200
    type: str = "text/event-stream; charset=utf-8"
    requests: list[httpx2.Request] = field(factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return httpx2.Response(
            self.status, headers={"Content-Type": self.type}, stream=Body(self.body)
        )

    @asynccontextmanager
    async def open_agent(
        self, url: str = URL, **options: Unpack[Options]
    ) -> AsyncIterator[ChatCompletionsAgent]:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(self)) as client:
            yield ChatCompletionsAgent(url, model="m", client=client, **options)

    async def answer(self, turn: Turn, url: str = URL, **options: Unpack[Options]) -> list[Piece]:
        async with self.open_agent(url, **options) as agent:
            return [piece async for piece in agent.answer(turn)]


def turn(
    *items: InputItem,
    modality: Modality = "text",
    instructions: str = "",
    tools: Sequence[Tool] = (),
) -> Turn:
    return Turn(
        items=items or (UserMessage.text("Hello"),),
        modality=modality,
        instructions=instructions,
        tools=tuple(tools),
    )


async def answer_to(
    *body: bytes, modality: Modality = "text", **options: Unpack[Options]
) -> list[Piece]:
    return await Endpoint(body).answer(turn(modality=modality), **options)


def call(call_id: str, name: str = "look", arguments: str = "{}") -> FunctionCall:
    return FunctionCall(name=name, arguments=arguments, call_id=call_id)


def output(call_id: str, text: str) -> FunctionCallOutput:
    return FunctionCallOutput(call_id=call_id, output=text)


def deltas(text: str) -> list[bytes]:
    return [chunk(content=text[start : start + 3]) for start in range(0, len(text), 3)]
