"""What every wire event has, and two words that Python lacks: *unset* and *unknown*.

Owns the base classes, and the markers that the codec reads off a field.  Knows nothing of JSON,
sockets or tasks.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final, Literal

from attrs import field

from realtime_trio._frozen import frozen
from realtime_trio.audio.data import AudioData, AudioLike

JsonObject = Mapping[str, object]
"""A JSON object whose members the protocol leaves open (tool parameters, metadata, prompt
variables)."""


# An enum and not a plain object: type checkers narrow `x is UNSET` for the members of an enum only.
class Unset(enum.Enum):
    """The type of `UNSET`; falsy, so `if config.instructions:` does what it says."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> Literal[False]:
        return False


UNSET: Final = Unset.UNSET
"""Leave this setting alone: the key does not appear in the message.  Not the same as `None`, which
is sent as null and clears the setting."""

WRITE_NULL: Final[Mapping[object, object]] = MappingProxyType({"realtime_trio.write_null": True})
"""Field metadata: `None` is written as null instead of being left out, because peers read meaning
into the null."""

SERVER_WRITES_NULL: Final[Mapping[object, object]] = MappingProxyType(
    {"realtime_trio.server_writes_null": True}
)
"""Field metadata: the same, but only where a server writes it; a client may leave it out."""


@frozen(kw_only=True)
class Event:
    """One protocol message, in either direction."""

    type: ClassVar[str] = ""
    """The wire name of the event, e.g. `response.output_audio.delta`."""


@frozen(kw_only=True)
class ClientEvent(Event):
    """An event that a client sends."""

    event_id: str | None = None
    """Your name for this event, up to 512 characters; an `error` event about it usually carries the
    same id.  A session fills it in when None."""


@frozen(kw_only=True)
class ServerEvent(Event):
    """An event that the server sends."""

    event_id: str
    """The server's name for this event, unique within the session."""


@frozen(kw_only=True)
class UnknownEvent(ServerEvent):
    """An event that this version cannot type.

    Its type is newer than this version, or its payload does not fit its type.  It is delivered like
    any other event, so that nothing the peer says is lost.  A `Codec` of a server encodes it as it
    came, so that it can be passed on; a client uses `send_raw`.
    """

    event_id: str = ""
    """The event's id, `""` if it had none."""
    # The wire name differs from value to value here: a field, where all others have a constant.
    type: str = field(default="")  # type: ignore[misc]
    """The wire name it came with, `""` if it had none."""
    raw: object = field(repr=False)
    """The decoded JSON value, or the message itself (str or bytes) if it was not JSON."""
    problem: str | None = None
    """None for a type we do not know; otherwise what was wrong and where, e.g. `required field
    missing @ $.response.status`."""


@frozen
class UnknownObject:
    """A nested object (item, content part, tool, ...) of a `type` that this version does not know.

    It is encoded as it came.
    """

    type: str | None
    """The object's own `type`, None if it had none."""
    raw: JsonObject = field(repr=False)
    """The object as it came."""

    @property
    def id(self) -> str | None:
        """The object's id, None if it has none."""
        value = self.raw.get("id")
        return value if isinstance(value, str) else None


def to_audio(value: AudioLike) -> AudioData:
    """Field converter: whatever holds audio becomes an `AudioData`."""
    return value if isinstance(value, AudioData) else AudioData.of(value)


def to_optional_audio(value: AudioLike | None) -> AudioData | None:
    """Field converter: the same, and None stays None."""
    return None if value is None else to_audio(value)
