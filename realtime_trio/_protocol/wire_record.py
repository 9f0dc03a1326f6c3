"""One message on the wire as everybody may look at it: when, from whom, what it means, its text.

Owns the tie between an event and the text that it was on the wire.  Files of records are in
`recording`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal, cast

import attrs

from realtime_trio._frozen import frozen
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.json_text import write_json
from realtime_trio._protocol.kinds import KINDS, SessionKind
from realtime_trio.events import ClientEvent, Event, UnknownEvent

Source = Literal["client", "server"]
"""Which side of the connection has sent a message."""


@frozen
class _Original:
    """What an event was on the wire."""

    event: Event
    text: str | bytes
    dialect: Dialect


@frozen
class WireRecord:
    """One message on the wire, in either direction."""

    time: float
    """When it was received or was about to be written, in seconds of `trio.current_time()`."""
    source: Source
    """Which side sent it."""
    event: Event
    """What was sent."""
    wall_time: float | None = None
    """The same moment in seconds since 1970, as `time.time()` gives them; None if it is not
    known.  It is what logs of other programs go by, and jumps when somebody sets the clock."""
    # An event from elsewhere may have been put into a copy of the record: then this is not its
    # text, or whoever replaces events by harmless ones would save the others.
    _original: _Original | None = attrs.field(default=None, eq=False, repr=False)

    @classmethod
    def of_message(
        cls,
        time: float,
        source: Source,
        event: Event,
        text: str | bytes,
        *,
        dialect: Dialect = Dialect.GA,
        wall_time: float | None = None,
    ) -> WireRecord:
        """Make a record of a message.

        Args:
            time: When it was sent or received.
            source: Which side sent it.
            event: What it means.
            text: The message as it was.
            dialect: Which spelling of the protocol `text` is in.
            wall_time: The same moment in seconds since 1970.
        """
        return cls(time, source, event, wall_time, _Original(event, text, dialect))

    @property
    def text(self) -> str | bytes:
        """The message as it was on the wire, to the last blank.

        It has all fields, also those that this version does not know.  Of a recording it is what
        the file has, in which secrets may have been replaced.  If the record was made of an event
        alone, it is what a codec writes.

        Raises:
            LocalProtocolError: The record was made of an event alone, which cannot be sent.
        """
        kept = self._original
        return kept.text if kept is not None and kept.event is self.event else _written(self.event)

    @property
    def dialect(self) -> Dialect:
        """Which spelling of the protocol `text` is in."""
        kept = self._original
        return kept.dialect if kept is not None and kept.event is self.event else Dialect.GA


def _written(event: Event) -> str | bytes:
    """The message that an event would be."""
    if isinstance(event, UnknownEvent) and not isinstance(event.raw, Mapping):
        is_message = isinstance(event.raw, bytes) or is_not_json(event)
        return cast("str | bytes", event.raw) if is_message else write_json(event.raw)
    role = Role.CLIENT if isinstance(event, ClientEvent) else Role.SERVER
    return codec_of(role, _kind_of(type(event))).encode(event)


def is_not_json(event: Event) -> bool:
    """Whether a message was none of JSON, and is itself what is `raw` of the event."""
    return isinstance(event, UnknownEvent) and (event.problem or "").startswith("not JSON")


def _kind_of(event_class: type[Event]) -> SessionKind:
    """The first kind of session in which there is this event."""
    for kind, row in KINDS.items():
        if event_class in row.client_events or event_class in row.server_events:
            return kind
    return SessionKind.REALTIME


@cache
def codec_of(role: Role, kind: SessionKind, dialect: Dialect = Dialect.GA) -> Codec:
    """The codec of a role, for sessions of a kind in a dialect; made once."""
    return Codec(role, dialect, kind=kind)
