"""What a message is to the service.

A codec is tolerant: it passes over what it has no place for, so that the future does not break it.
The service refuses that in what clients send, wherever its objects are closed; only data of the
user's own, such as metadata and the schemas of tools, may hold anything.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final

import attrs

from realtime_trio._protocol.codec import Codec
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.json_text import parse_json
from realtime_trio.events import (
    Event,
    InputAudio,
    InputImage,
    InputText,
    OutputAudio,
    OutputText,
    UnknownEvent,
    UnknownObject,
)
from realtime_trio.simulator.service.refusal import UNKNOWN_PARAMETER

_OF_ANY_PART: Final = {
    **dict.fromkeys(
        (InputText, InputAudio, InputImage),
        frozenset({"text", "audio", "image_url", "detail", "transcript"}),
    ),
    **dict.fromkeys(
        (OutputText, OutputAudio), frozenset({"text", "audio", "transcript", "format"})
    ),
}
"""To the service all parts of a message are one object, with more keys than each needs."""


def read_message(codec: Codec, message: str | bytes) -> Event:
    """Decode what a client sent as strictly as the service does.

    Args:
        codec: A server's.  What the older dialect has no place for is not looked for: its service
            is not there to be asked.
        message: As it came.

    Returns:
        The event, or an `UnknownEvent` for whatever the service does not take: a binary frame, what
        is not JSON, what does not fit its type, and what names a parameter that does not exist.
    """
    # The service speaks text only, even if the bytes would read as JSON.
    if isinstance(message, bytes):
        return UnknownEvent(raw=message, problem="binary frame")
    event = codec.decode(message)
    if isinstance(event, UnknownEvent) or codec.dialect is not Dialect.GA:
        return event
    payload = parse_json(message)
    path = _unknown_key(event, payload)
    if path is None:
        return event
    # Kept, because the service names the event in its refusal even if it cannot obey it.
    event_id = getattr(event, "event_id", None) or ""
    return UnknownEvent(
        event_id=event_id, type=event.type, raw=payload, problem=f"{UNKNOWN_PARAMETER} @ ${path}"
    )


def _unknown_key(value: object, raw: object) -> str | None:
    """Path of the first key in a JSON value that nothing was made of, None if there is none."""
    if isinstance(value, tuple) and isinstance(raw, list):
        paths = (
            (f"[{index}]", _unknown_key(part, its_raw))
            for index, (part, its_raw) in enumerate(zip(value, raw, strict=True))
        )
    # What stayed an `UnknownObject` has no closed list of keys to be held against.
    elif (
        attrs.has(type(value)) and not isinstance(value, UnknownObject) and isinstance(raw, Mapping)
    ):
        cls: type = type(value)
        known, tags = _keys(cls)
        paths = (
            (f".{key}", _unknown_key(getattr(value, key), its_raw) if key in known else "")
            for key, its_raw in raw.items()
            if key not in tags
        )
    else:
        return None
    return next((place + path for place, path in paths if path is not None), None)


@functools.cache
def _keys(cls: type) -> tuple[frozenset[str], frozenset[str]]:
    """The keys of an object: the fields of its class, and what else it may have."""
    tags = frozenset(name for name in ("type", "role") if getattr(cls, name, None))
    return frozenset(a.name for a in attrs.fields(cls)), tags | _OF_ANY_PART.get(cls, frozenset())
