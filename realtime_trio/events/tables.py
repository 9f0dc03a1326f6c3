"""Which events exist, by kind of session and direction.

Made from the `CLIENT` and `SERVER` with which each file of events ends: an event is listed there
and nowhere else.  `_protocol.kinds` gives these tables to the kinds of session.
"""

from __future__ import annotations

from typing import Final

from realtime_trio.events import (
    audio_buffers,
    conversation,
    mcp,
    response,
    session,
    transcription,
    translation,
    usage,
)
from realtime_trio.events._base import ClientEvent, ServerEvent

CLIENT_EVENTS: Final[tuple[type[ClientEvent], ...]] = (
    *session.CLIENT,
    *conversation.CLIENT,
    *transcription.CLIENT,
    *audio_buffers.CLIENT,
    *response.CLIENT,
    *mcp.CLIENT,
    *usage.CLIENT,
)
"""What a client may send in a voice or transcription session."""

SERVER_EVENTS: Final[tuple[type[ServerEvent], ...]] = (
    *session.SERVER,
    *conversation.SERVER,
    *transcription.SERVER,
    *audio_buffers.SERVER,
    *response.SERVER,
    *mcp.SERVER,
    *usage.SERVER,
)
"""What the server may send in a voice or transcription session."""

# Translation sessions are a protocol of their own that reuses wire names of the other one
# (`session.created` among them) for other payloads: the two must never share a table.
TRANSLATION_CLIENT_EVENTS: Final[tuple[type[ClientEvent], ...]] = translation.CLIENT
"""What a client may send in a translation session."""

TRANSLATION_SERVER_EVENTS: Final[tuple[type[ServerEvent], ...]] = (
    *translation.SERVER,
    # The one event that both protocols have, in the same shape.
    session.ErrorEvent,
)
"""What the server may send in a translation session."""
