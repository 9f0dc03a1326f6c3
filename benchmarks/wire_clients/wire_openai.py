"""openai-python's `AsyncOpenAI().realtime.connect`, by its documentation."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from driving import AsyncioLoop, Samples, See, obey
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection


class OpenAIWire:
    """A connection of openai-python."""

    def __init__(self, connection: AsyncRealtimeConnection) -> None:
        self._connection = connection

    async def begin(self) -> None:
        await self._connection.input_audio_buffer.clear()

    async def drain(self) -> None:
        async for event in self._connection:
            if event.type == "input_audio_buffer.cleared":
                return

    async def listen(self, see: See) -> None:
        async for event in self._connection:
            see(event.event_id)  # type: ignore[union-attr]  # some classes have none, never here

    async def append(self, samples: Samples) -> None:
        await self._connection.input_audio_buffer.append(
            audio=base64.b64encode(samples.tobytes()).decode()
        )


@asynccontextmanager
async def open_wire(url: str) -> AsyncIterator[OpenAIWire]:
    client = AsyncOpenAI(api_key="-", websocket_base_url=url.partition("/realtime")[0])
    async with client.realtime.connect(model="gpt-realtime") as connection:
        created = await connection.recv()
        assert created.type == "session.created"
        yield OpenAIWire(connection)


if __name__ == "__main__":
    obey(AsyncioLoop(), open_wire)
