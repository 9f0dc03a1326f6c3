"""trio-websocket, json and `cattrs.structure`: what one writes oneself in an afternoon.

Events have classes of their own, as flat as their first use needs; items and responses stay
dictionaries.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import cattrs
from attrs import field, frozen, make_class
from driving import Samples, See, obey
from trio_loop import TrioLoop
from trio_websocket import WebSocketConnection, open_websocket_url

Json = dict[str, object]


@frozen
class Event:
    """What every event has."""

    type: str
    event_id: str


_RESPONSE = {"response_id": str, "output_index": int}
_ITEM = {**_RESPONSE, "item_id": str}
_PART = {**_ITEM, "content_index": int}
_FIELDS: dict[str, dict[str, type]] = {
    "session.created": {"session": dict},
    "input_audio_buffer.cleared": {},
    "input_audio_buffer.speech_started": {"audio_start_ms": int, "item_id": str},
    "input_audio_buffer.speech_stopped": {"audio_end_ms": int, "item_id": str},
    "input_audio_buffer.committed": {"item_id": str},
    "conversation.item.added": {"item": dict},
    "conversation.item.done": {"item": dict},
    "response.created": {"response": dict},
    "response.done": {"response": dict},
    "response.output_item.added": {**_RESPONSE, "item": dict},
    "response.output_item.done": {**_RESPONSE, "item": dict},
    "response.content_part.added": {**_PART, "part": dict},
    "response.content_part.done": {**_PART, "part": dict},
    "response.output_audio.delta": {**_PART, "delta": str},
    "response.output_audio.done": _PART,
    "response.output_audio_transcript.delta": {**_PART, "delta": str},
    "response.output_audio_transcript.done": {**_PART, "transcript": str},
    "response.function_call_arguments.delta": {**_ITEM, "call_id": str, "delta": str},
    "response.function_call_arguments.done": {**_ITEM, "call_id": str, "arguments": str},
    "rate_limits.updated": {"rate_limits": list},
}


_EVENTS: dict[str, type[Event]] = {
    name: make_class(
        name.replace(".", "_"),
        {key: field(type=kind) for key, kind in fields.items()},
        bases=(Event,),
        frozen=True,
    )
    for name, fields in _FIELDS.items()
}


class NaiveWire:
    """A connection of trio-websocket."""

    def __init__(self, websocket: WebSocketConnection) -> None:
        self._websocket = websocket

    async def receive(self) -> Event:
        """The next event."""
        payload = json.loads(await self._websocket.get_message())
        return cattrs.structure(payload, _EVENTS[payload["type"]])

    async def begin(self) -> None:
        await self._send({"type": "input_audio_buffer.clear"})

    async def drain(self) -> None:
        while (await self.receive()).type != "input_audio_buffer.cleared":
            pass

    async def listen(self, see: See) -> None:
        while True:
            see((await self.receive()).event_id)

    async def append(self, samples: Samples) -> None:
        audio = base64.b64encode(samples.tobytes()).decode()
        await self._send({"type": "input_audio_buffer.append", "audio": audio})

    async def _send(self, event: Json) -> None:
        await self._websocket.send_message(json.dumps(event))


@asynccontextmanager
async def open_wire(url: str) -> AsyncIterator[NaiveWire]:
    async with open_websocket_url(url) as websocket:
        wire = NaiveWire(websocket)
        await wire.receive()
        yield wire


if __name__ == "__main__":
    obey(TrioLoop(), open_wire)
