"""openai-agents, by its documentation: a `RealtimeAgent` run by a `RealtimeRunner`.

See `strangers` for arguments and output.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession, RealtimeSessionEvent
from agents.realtime.config import RealtimeSessionModelSettings
from agents.realtime.items import InputAudio, UserMessageItem
from agents.realtime.model import RealtimeModelConfig
from agents.realtime.model_inputs import RealtimeModelRawClientMessage, RealtimeModelSendRawMessage
from pydantic import ValidationError

Event = dict[str, Any]
"""An event as it was on the wire."""
URL = os.environ["OPENAI_BASE_URL"].replace("http", "ws", 1) + "/realtime"
SPOKEN: dict[str, Any] = {
    "turn_detection": None,
    "input_audio_transcription": {"model": "gpt-4o-mini-transcribe"},
}
WRITTEN: dict[str, Any] = {"modalities": ["text"]}


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


def get_weather(city: str) -> str:
    """The weather in a city."""
    say(tool={"city": city})
    return f"Sunny in {city}"


async def open_session(
    settings: dict[str, Any], url: str = f"{URL}?model=gpt-realtime"
) -> RealtimeSession:
    agent = RealtimeAgent(
        name="assistant", instructions="Be kind.", tools=[function_tool(get_weather)]
    )
    runner = RealtimeRunner(agent)
    # The settings may have any key of the class, which mypy cannot see.
    initial: RealtimeSessionModelSettings = {
        "model_name": "gpt-realtime",
        **settings,  # type: ignore[typeddict-item]
    }
    config: RealtimeModelConfig = {
        "url": url,
        "api_key": os.environ["OPENAI_API_KEY"],
        "initial_model_settings": initial,
    }
    return await runner.run(model_config=config)


class Watcher:
    """Tells what a session reports; one iteration over all of its scenario."""

    def __init__(self, session: RealtimeSession) -> None:
        self._session = session
        self._events = session.__aiter__()
        self._audio = b""

    async def until(
        self, condition: Callable[[RealtimeSessionEvent, Event], bool]
    ) -> RealtimeSessionEvent:
        """Until an event satisfies the condition, which also gets what was on the wire."""
        async for event in self._events:
            raw: Event = {}
            match event.type:
                case "audio":
                    self._audio += event.audio.data
                case "audio_interrupted":
                    say(interrupted=True)
                case "error":
                    if isinstance(event.error, ValidationError):
                        say(misfit=str(event.error))
                    else:
                        say(error=event.error.code, event_id=event.error.event_id)
                case "raw_model_event" if event.data.type == "raw_server_event":
                    raw = event.data.data
                    self._tell(raw)
                case "raw_model_event" if event.data.type == "exception":
                    say(failure=str(event.data.exception))
            if condition(event, raw):
                return event
        raise AssertionError("the session ended")

    def _tell(self, raw: Event) -> None:
        match raw["type"]:
            case "response.output_text.done":
                say(answer=raw["text"])
            case "response.output_audio_transcript.done":
                say(answer=raw["transcript"])
            case "conversation.item.truncated":
                say(truncated=raw["audio_end_ms"])
            case "response.done":
                say(status=raw["response"]["status"])
                if raw["response"].get("status_details"):
                    say(reason=raw["response"]["status_details"].get("reason"))
                if self._audio:
                    say(audio=hashlib.sha256(self._audio).hexdigest())
                    self._audio = b""

    async def until_wire(self, *kinds: str) -> None:
        """Until an event of each of these types has come, in whatever order."""
        missing = list(kinds)

        def is_last(event: RealtimeSessionEvent, raw: Event) -> bool:
            if raw.get("type") in missing:
                missing.remove(raw["type"])
            return not missing

        await self.until(is_last)


async def text_turn(session: RealtimeSession, watcher: Watcher) -> None:
    await session.send_message("Good morning!")
    await watcher.until_wire("response.done")


async def audio_turn(session: RealtimeSession, watcher: Watcher, pcm: bytes) -> None:
    await session.send_audio(pcm, commit=True)
    await session.model.send_event(RealtimeModelSendRawMessage(message={"type": "response.create"}))
    await watcher.until_wire("response.done")
    messages = [item for item in session._history if isinstance(item, UserMessageItem)]
    say(
        heard=next(
            part.transcript
            for item in messages
            for part in item.content
            if isinstance(part, InputAudio)
        )
    )


async def tool_call(session: RealtimeSession, watcher: Watcher) -> None:
    await session.send_message("What is the weather in Paris?")
    await watcher.until_wire("response.done", "response.done")


async def barge_in(session: RealtimeSession, watcher: Watcher, pcm: bytes) -> None:
    await session.send_audio(pcm)
    await watcher.until(lambda event, raw: event.type == "audio")
    await session.send_audio(pcm)
    await watcher.until_wire("response.done", "response.done")


async def cancel_and_truncate(session: RealtimeSession, watcher: Watcher) -> None:
    await session.send_message("Tell me a long story.")
    for _ in range(3):
        await watcher.until(lambda event, raw: event.type == "audio")
    await session.interrupt()
    await watcher.until_wire("conversation.item.truncated", "response.done")
    await session.send_message("Go on.")
    await watcher.until_wire("response.done")


async def refused_events(session: RealtimeSession, watcher: Watcher) -> None:
    messages: tuple[RealtimeModelRawClientMessage, ...] = (
        {
            "type": "conversation.item.delete",
            "other_data": {"item_id": "item_nobody", "event_id": "event_delete"},
        },
        {
            "type": "conversation.item.truncate",
            "other_data": {"item_id": "item_nobody", "content_index": 0, "audio_end_ms": 0},
        },
        {"type": "response.cancel", "other_data": {"event_id": "event_cancel"}},
    )
    for message in messages:
        await session.model.send_event(RealtimeModelSendRawMessage(message=message))
    await text_turn(session, watcher)


async def turned_away(url: str) -> None:
    try:
        async with await open_session({}, url) as session:
            await Watcher(session).until(lambda event, raw: False)
    except Exception as error:
        say(failure=str(error))


BARGE_IN = {
    **SPOKEN,
    "turn_detection": {"type": "server_vad", "create_response": True, "interrupt_response": True},
}
SCENARIOS: dict[str, tuple[Callable[..., Awaitable[None]], dict[str, Any]]] = {
    "text_turn": (text_turn, WRITTEN),
    "audio_turn": (audio_turn, SPOKEN),
    "tool_call": (tool_call, WRITTEN),
    "barge_in": (barge_in, BARGE_IN),
    "cancel_and_truncate": (cancel_and_truncate, SPOKEN),
    "refused_events": (refused_events, WRITTEN),
}


async def main(scenario: str, *arguments: bytes) -> None:
    match scenario:
        case "wrong_key":
            await turned_away(f"{URL}?model=gpt-realtime")
        case "missing_model":
            await turned_away(URL)
        case _:
            play, settings = SCENARIOS[scenario]
            async with await open_session(settings) as session:
                await play(session, Watcher(session), *arguments)


asyncio.run(main(sys.argv[1], *(Path(file).read_bytes() for file in sys.argv[2:])))
