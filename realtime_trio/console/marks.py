"""Which messages of a running session break the rules of the order of events.

Owns when that can be known, and how much is remembered for it.
"""

from __future__ import annotations

from typing import Final

from realtime_trio._order import OrderWatch, Violation
from realtime_trio._protocol.wire_record import WireRecord
from realtime_trio.events import (
    InputAudioBufferAppend,
    ResponseOutputAudioDelta,
    TranslationSessionInputAudioBufferAppend,
)

MOST_MESSAGES: Final = 250_000
"""Messages that are judged: an hour at 70 a second.  The rules remember an id of each."""
MOST_TEXT: Final = 32 * 2**20
"""Characters of the messages without audio; the rules remember the words that they bring."""
_SPOKEN: Final = (
    InputAudioBufferAppend,
    ResponseOutputAudioDelta,
    TranslationSessionInputAudioBufferAppend,
)
_BEGINNINGS: Final = ("session.created", "error")


class OrderMarks:
    """Judges a session while it runs, as long as that makes sense.

    Args:
        from_start: Whether everything is seen from the beginning.  If it is not known, that is
            decided by the first event of the server.
    """

    def __init__(self, *, from_start: bool) -> None:
        self._watch: OrderWatch | None = OrderWatch()
        self._begins = from_start
        self._messages = 0
        self._text = 0
        self._why: str | None = None

    @property
    def why_unwatched(self) -> str | None:
        """Why messages are not judged any more, in words for a person; None while they are."""
        return self._why

    def judge(self, record: WireRecord) -> list[Violation]:
        """Take the next message, and return the rules that it breaks."""
        if not self._begins and record.source == "server":
            self._begins = True
            if record.event.type not in _BEGINNINGS:
                self.give_up("the beginning of the session was not seen")
        if self._watch is None:
            return []
        self._messages += 1
        if not isinstance(record.event, _SPOKEN):
            self._text += len(record.text)
        if self._messages > MOST_MESSAGES or self._text > MOST_TEXT:
            self.give_up("the session has become too long to remember all that the rules need")
            return []
        return self._watch.judge(record.source, record.event)

    def give_up(self, why: str) -> None:
        """Judge no further message; the first reason stays."""
        self._why = self._why or why
        self._watch = None
