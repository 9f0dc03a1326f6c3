"""openai-agents' `RealtimeRunner`, by its documentation; tracing is off.

Its session hands out every server event raw, and more events that say what it means.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agents import set_tracing_disabled
from agents.realtime import RealtimeAgent, RealtimeModelSendRawMessage, RealtimeRunner
from agents.realtime.session import RealtimeSession
from driving import AsyncioLoop, Samples, See, obey


class AgentsWire:
    """A session of openai-agents."""

    def __init__(self, session: RealtimeSession) -> None:
        self._session = session

    async def begin(self) -> None:
        await self._session.model.send_event(
            RealtimeModelSendRawMessage(message={"type": "input_audio_buffer.clear"})
        )

    async def drain(self) -> None:
        async for event in self._session:
            if event.type == "raw_model_event" and event.data.type == "raw_server_event":
                if event.data.data["type"] == "input_audio_buffer.cleared":
                    return
            elif event.type == "error" and "get_weather not found" not in str(event.error):
                raise RuntimeError(str(event.error))  # the corpus calls a tool that is not given

    async def listen(self, see: See) -> None:
        async for event in self._session:
            if event.type == "raw_model_event" and event.data.type == "raw_server_event":
                see(event.data.data["event_id"])
            elif event.type == "error":
                raise RuntimeError(str(event.error))

    async def append(self, samples: Samples) -> None:
        await self._session.send_audio(samples.tobytes())


@asynccontextmanager
async def open_wire(url: str) -> AsyncIterator[AgentsWire]:
    runner = RealtimeRunner(RealtimeAgent(name="assistant"), config={"tracing_disabled": True})
    async with await runner.run(model_config={"url": url, "api_key": "-"}) as session:
        yield AgentsWire(session)


if __name__ == "__main__":
    set_tracing_disabled(True)
    obey(AsyncioLoop(), open_wire)
