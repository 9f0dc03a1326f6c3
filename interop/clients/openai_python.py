"""openai-python, by its documentation: `AsyncOpenAI().realtime.connect(model=...)`.

See `strangers` for arguments and output.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import (
    RealtimeFunctionToolParam,
    RealtimeServerEvent,
    RealtimeSessionCreateRequestParam,
)
from openai.types.realtime.realtime_audio_formats_param import AudioPCM
from openai.types.realtime.realtime_transcription_session_create_request_param import (
    RealtimeTranscriptionSessionCreateRequestParam,
)
from pydantic import TypeAdapter, ValidationError
from websockets.exceptions import ConnectionClosed, InvalidHandshake

EVENT: TypeAdapter[RealtimeServerEvent] = TypeAdapter(RealtimeServerEvent)
PCM: AudioPCM = {"type": "audio/pcm", "rate": 24000}
WEATHER: RealtimeFunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


async def receive(connection: AsyncRealtimeConnection) -> RealtimeServerEvent:
    """The next event, held against the client's types; the client itself takes any JSON."""
    raw = await connection.recv_bytes()
    try:
        EVENT.validate_json(raw)
    except ValidationError as error:
        say(misfit=f"{raw[:300]!r}: {error}")
    return connection.parse_event(raw)


async def follow(
    connection: AsyncRealtimeConnection, *, stop_after: str = "response.done", count: int = 1
) -> list[RealtimeServerEvent]:
    """Tell about events until one of a type has come so many times; all of them."""
    events: list[RealtimeServerEvent] = []
    audio = b""
    while True:
        event = await receive(connection)
        events.append(event)
        match event.type:
            case "response.output_audio.delta":
                audio += base64.b64decode(event.delta)
            case "response.output_text.done":
                say(answer=event.text)
            case "response.output_audio_transcript.done":
                say(answer=event.transcript)
            case "response.done":
                say(status=event.response.status)
                if event.response.status_details is not None:
                    say(reason=event.response.status_details.reason)
                if audio:
                    say(audio=hashlib.sha256(audio).hexdigest())
                    audio = b""
            case "conversation.item.input_audio_transcription.completed":
                say(heard=event.transcript)
            case "conversation.item.truncated":
                say(truncated=event.audio_end_ms)
            case "input_audio_buffer.speech_started":
                say(interrupted=event.item_id)
            case "error":
                say(error=event.error.code, event_id=event.error.event_id)
        if sum(event.type == stop_after for event in events) == count:
            return events


async def send_text(connection: AsyncRealtimeConnection, text: str) -> None:
    await connection.conversation.item.create(
        item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    )
    await connection.response.create()


async def send_audio(connection: AsyncRealtimeConnection, pcm: bytes) -> None:
    for start in range(0, len(pcm), 4800):
        await connection.input_audio_buffer.append(
            audio=base64.b64encode(pcm[start : start + 4800]).decode()
        )


async def text_turn(connection: AsyncRealtimeConnection) -> None:
    await connection.session.update(session={"type": "realtime", "output_modalities": ["text"]})
    await send_text(connection, "Good morning!")
    await follow(connection)


async def audio_turn(connection: AsyncRealtimeConnection, pcm: bytes) -> None:
    session: RealtimeSessionCreateRequestParam = {
        "type": "realtime",
        "audio": {
            "input": {
                "format": PCM,
                "turn_detection": None,
                "transcription": {"model": "gpt-4o-mini-transcribe"},
            }
        },
    }
    await connection.session.update(session=session)
    await send_audio(connection, pcm)
    await connection.input_audio_buffer.commit()
    await connection.response.create()
    await follow(connection)


async def tool_call(connection: AsyncRealtimeConnection) -> None:
    await connection.session.update(
        session={
            "type": "realtime",
            "output_modalities": ["text"],
            "tools": [WEATHER],
            "tool_choice": "auto",
        }
    )
    await send_text(connection, "What is the weather in Paris?")
    calls = [
        event
        for event in await follow(connection)
        if event.type == "response.function_call_arguments.done"
    ]
    for call in calls:
        arguments = json.loads(call.arguments)
        say(tool=arguments)
        output = f"Sunny in {arguments['city']}"
        await connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": call.call_id, "output": output}
        )
    await connection.response.create()
    await follow(connection)


async def barge_in(connection: AsyncRealtimeConnection, pcm: bytes) -> None:
    session: RealtimeSessionCreateRequestParam = {
        "type": "realtime",
        "audio": {
            "input": {
                "turn_detection": {
                    "type": "server_vad",
                    "create_response": True,
                    "interrupt_response": True,
                }
            }
        },
    }
    await connection.session.update(session=session)
    await send_audio(connection, pcm)
    await follow(connection, stop_after="response.output_audio.delta")
    await send_audio(connection, pcm)
    await follow(connection, count=2)


async def cancel_and_truncate(connection: AsyncRealtimeConnection) -> None:
    await send_text(connection, "Tell me a long story.")
    *_, delta = await follow(connection, stop_after="response.output_audio.delta", count=3)
    assert delta.type == "response.output_audio.delta"
    await connection.response.cancel()
    await connection.conversation.item.truncate(
        item_id=delta.item_id, content_index=delta.content_index, audio_end_ms=40
    )
    await follow(connection, stop_after="conversation.item.truncated")
    await send_text(connection, "Go on.")
    await follow(connection)


async def refused_events(connection: AsyncRealtimeConnection) -> None:
    await connection.conversation.item.delete(item_id="item_nobody", event_id="event_delete")
    await connection.send(
        {
            "type": "conversation.item.truncate",
            "item_id": "item_nobody",
            "content_index": 0,
            "audio_end_ms": 0,
        }
    )
    await connection.response.cancel(event_id="event_cancel")
    await text_turn(connection)


async def connected(scenario: Callable[..., Awaitable[None]], arguments: tuple[bytes, ...]) -> None:
    async with AsyncOpenAI().realtime.connect(model="gpt-realtime") as connection:
        await scenario(connection, *arguments)


async def transcription_session(pcm: bytes) -> None:
    async with AsyncOpenAI().realtime.connect(
        extra_query={"intent": "transcription"}
    ) as connection:
        session: RealtimeTranscriptionSessionCreateRequestParam = {
            "type": "transcription",
            "audio": {
                "input": {
                    "format": PCM,
                    "turn_detection": None,
                    "transcription": {"model": "gpt-4o-transcribe"},
                }
            },
        }
        await connection.session.update(session=session)
        await send_audio(connection, pcm)
        await connection.input_audio_buffer.commit()
        await follow(connection, stop_after="conversation.item.input_audio_transcription.completed")


async def turned_away(query: dict[str, object]) -> None:
    try:
        async with AsyncOpenAI().realtime.connect(extra_query=query) as connection:
            await follow(connection)
    except (ConnectionClosed, InvalidHandshake) as error:
        say(failure=str(error))


async def main(scenario: str, *arguments: bytes) -> None:
    match scenario:
        case "wrong_key":
            await turned_away({"model": "gpt-realtime"})
        case "missing_model":
            await turned_away({})
        case "transcription_session":
            await transcription_session(*arguments)
        case _:
            await connected(globals()[scenario], arguments)


asyncio.run(main(sys.argv[1], *(Path(file).read_bytes() for file in sys.argv[2:])))
