"""What a server has said, as far as a script file needs it, and the text of that file."""

from __future__ import annotations

from collections import deque
from typing import Final

from realtime_trio._protocol.json_text import write_json_indented
from realtime_trio._protocol.wire_record import WireRecord
from realtime_trio.events import (
    Event,
    ResponseFunctionCallArgumentsDelta,
    ResponseMcpCallArgumentsDelta,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputTextDelta,
    ServerEvent,
)
from realtime_trio.simulator.script.to_document import document_of

MOST_KEPT: Final = 8192
"""Events that are kept, the last ones: some hundreds of answers."""
_PIECES: Final = (
    ResponseFunctionCallArgumentsDelta,
    ResponseMcpCallArgumentsDelta,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputTextDelta,
)


class ScriptMaterial:
    """Remembers what the server said."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=MOST_KEPT)

    def add(self, record: WireRecord) -> None:
        """Take the next message of the session."""
        # Pieces are told again as a whole, and audio is not part of a script.
        if isinstance(record.event, ServerEvent) and not isinstance(record.event, _PIECES):
            self._events.append(record.event)

    def write(self) -> str:
        """The script as JSON, which is YAML as well."""
        return write_json_indented(document_of(tuple(self._events)))
