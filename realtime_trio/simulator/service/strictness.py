"""What a message is to the service.

A codec is tolerant: it passes over what it has no place for, so that the future does not break it,
and it understands the names of the older protocol.  The service refuses both in what clients send.
Wherever its objects are closed it refuses what it does not know; only data of the user's own, such
as metadata and the schemas of tools, may hold anything.
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

_RENAMED: Final[Mapping[type, str]] = {cls: cls.type for cls in (OutputText, OutputAudio)}
"""Parts that had another `type` in the older protocol, which codecs understand in any dialect."""


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
    objection = _objection(event, payload)
    if objection is None:
        return event
    path, problem = objection
    # Kept, because the service names the event in its refusal even if it cannot obey it.
    event_id = getattr(event, "event_id", None) or ""
    return UnknownEvent(
        event_id=event_id, type=event.type, raw=payload, problem=f"{problem} @ ${path}"
    )


def _objection(value: object, raw: object) -> tuple[str, str] | None:
    """The first thing in a JSON value that the service does not take, None if there is none.

    Returns:
        Where it is, and what is wrong with it.
    """
    if isinstance(value, tuple) and isinstance(raw, list):
        objections = (
            _within(f"[{index}]", _objection(part, its_raw))
            for index, (part, its_raw) in enumerate(zip(value, raw, strict=True))
        )
    # What stayed an `UnknownObject` has no closed list of keys to be held against.
    elif (
        attrs.has(type(value)) and not isinstance(value, UnknownObject) and isinstance(raw, Mapping)
    ):
        cls: type = type(value)
        known, tags = _keys(cls)
        if cls in _RENAMED and raw["type"] != _RENAMED[cls]:
            # Clients can make text of the assistant alone, so that is what is allowed.
            return "", f"expected an object of type '{OutputText.type}', got '{raw['type']}'"
        objections = (
            _within(
                f".{key}",
                _objection(getattr(value, key), its_raw)
                if key in known
                else ("", UNKNOWN_PARAMETER),
            )
            for key, its_raw in raw.items()
            if key not in tags
        )
    else:
        return None
    return next((objection for objection in objections if objection is not None), None)


def _within(place: str, objection: tuple[str, str] | None) -> tuple[str, str] | None:
    return None if objection is None else (place + objection[0], objection[1])


@functools.cache
def _keys(cls: type) -> tuple[frozenset[str], frozenset[str]]:
    """The keys of an object: the fields of its class, and what else it may have."""
    tags = frozenset(name for name in ("type", "role") if getattr(cls, name, None))
    return frozenset(a.name for a in attrs.fields(cls)), tags | _OF_ANY_PART.get(cls, frozenset())
