"""A copy of the server's input audio buffer: what was sent and which user message it became.

Owns the audio that is not committed yet, and the count of all that was ever appended.  Pure: it is
told what was sent and what came.

Theory of operation.  Positions are bytes since the session began, the axis on which the server's
turn detection gives milliseconds; a commit never resets it.  Commits and clears reach the server in
the order in which they were sent, while more audio follows them, so each leaves a mark at the
position it was sent at, and the server's answer takes the oldest mark of its kind.  Turn detection
needs no marks: it says itself where the turn began and ended.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from attrs import define

from realtime_trio._frozen import frozen
from realtime_trio._state.conversation.audio import DEFAULT_ENCODING, Encoding
from realtime_trio.audio.data import AudioData
from realtime_trio.errors import RemoteProtocolError
from realtime_trio.events import ErrorEvent

COMMIT_EMPTY: Final = "input_audio_buffer_commit_empty"
"""Error code of a refused commit; under turn detection it may come without the id of the commit."""

_SLACK_MS: Final = 2000
"""The padding before a turn, 300 ms by default, may reach back into the turn before it."""
_SPEECHES: Final = 16
"""Turns that have begun and are not committed: one, unless a server never commits."""


@frozen
class Committed:
    """The audio of a user message."""

    audio: AudioData
    """Its audio, as far as it was kept."""
    missing: int
    """Samples before that which were not kept."""


@define(eq=False)
class _Mark:
    """A commit or a clear that the server has not answered."""

    kind: Literal["commit", "clear"]
    position: int
    event_id: str | None


@define(eq=False)
class _Speech:
    """Where turn detection heard a turn."""

    start_ms: int
    end_ms: int | None = None


class InputBuffer:
    """What was appended and is not committed.

    Args:
        capacity_ms: The most audio to keep, in milliseconds; what is older is lost to the message
            it will belong to.  With 0 it only counts.
    """

    def __init__(self, capacity_ms: int) -> None:
        self._capacity_ms = capacity_ms
        self._encoding = DEFAULT_ENCODING
        self._capacity = self._size(capacity_ms)
        """In bytes of this encoding."""
        self._speeches: dict[str, _Speech] = {}
        self._marks: list[_Mark] = []
        self._chunks: deque[bytes] | None = None
        """What is kept of the audio; None before there was any, for an empty deque takes 760
        bytes."""
        self.reset()

    def reset(self) -> None:
        """Begin anew, with a new session."""
        self._base_ms = 0
        """Where the axis began to have the present format."""
        self._forget_audio(0)

    def configure(self, encoding: Encoding) -> None:
        """Take the encoding of the audio to come.

        If it differs, the audio that was kept is dropped, and still counts as pending.
        """
        if encoding == self._encoding:
            return
        pending_ms = self.pending_ms
        self._base_ms += self._ms(self._end)
        self._encoding = encoding
        self._capacity = self._size(self._capacity_ms)
        # A negative position, so that what is pending remains so with nothing kept of it.
        self._forget_audio(-pending_ms * encoding.bytes_per_s // 1000)

    def _forget_audio(self, committed: int) -> None:
        self._chunks = None
        self._marks.clear()
        self._speeches.clear()
        self._start = self._end = 0
        """Positions of the first byte that is kept, and behind the last one."""
        self._committed = committed
        """Position up to which the server has emptied its buffer."""

    @property
    def pending_ms(self) -> int:
        """Milliseconds that were appended and neither committed nor cleared.

        A commit or a clear counts from when it is sent, and not from when the server answers it.
        """
        taken = self._marks[-1].position if self._marks else self._committed
        return self._ms(max(0, self._end - max(taken, self._committed)))

    # --- what the client did ----------------------------------------------------------------------

    def append(self, audio: AudioData) -> None:
        """Note that audio was appended."""
        if not self._capacity_ms:
            self._end += audio.nbytes
            self._start = self._end
            return
        try:
            data = audio.data
        except RemoteProtocolError:
            # Invalid base64, relayed from somewhere else; the server will refuse it as well.
            return
        if self._chunks is None:
            self._chunks = deque()
        self._chunks.append(data)
        self._end += len(data)
        if self._end - self._start > self._capacity:
            self._trim(self._end - self._capacity)

    def mark(self, kind: Literal["commit", "clear"], event_id: str | None) -> None:
        """Note that everything up to here was committed or cleared, if the server agrees."""
        self._marks.append(_Mark(kind, self._end, event_id))

    # --- what the server says ---------------------------------------------------------------------

    def refused(self, event: ErrorEvent) -> None:
        """Take note of an error: it may refuse a commit or a clear."""
        mark = next(
            (
                mark
                for mark in self._marks
                if mark.event_id and mark.event_id == event.error.event_id
            ),
            None,
        )
        # An error that names nobody is about the oldest commit: they are answered in order.
        if mark is None and event.error.code == COMMIT_EMPTY and not event.error.event_id:
            mark = self._oldest("commit")
        if mark is not None:
            self._marks.remove(mark)

    def cleared(self) -> None:
        """The server emptied its buffer."""
        mark = self._take("clear")
        self._emptied(self._end if mark is None else mark.position, 0)

    def speech_started(self, item_id: str, start_ms: int) -> None:
        """Turn detection heard a turn begin."""
        while len(self._speeches) >= _SPEECHES:
            del self._speeches[next(iter(self._speeches))]
        self._speeches[item_id] = _Speech(start_ms)

    def speech_stopped(self, item_id: str, end_ms: int) -> None:
        """Turn detection heard a turn end.  A turn that never began is empty."""
        if item_id not in self._speeches:
            self.speech_started(item_id, end_ms)
        self._speeches[item_id].end_ms = end_ms

    def heard(self, item_id: str) -> Committed | None:
        """The audio of a turn whose message appeared without a commit.

        None if no turn of that id has ended.
        """
        speech = self._speeches.get(item_id)
        return None if speech is None or speech.end_ms is None else self.committed(item_id)

    def committed(self, item_id: str) -> Committed:
        """The server made a message of its buffer.

        Returns:
            Its audio: the turn that was detected under this id, else what was appended before the
            commit was sent, from where speech of this id has begun.
        """
        speech = self._speeches.pop(item_id, None)
        if speech is not None and speech.end_ms is not None:
            # The server says itself where the turn was, whatever was appended since; and the next
            # turn may begin a little before the end of this one, hence the slack.
            end = self._position(speech.end_ms)
            committed = self._slice(self._position(speech.start_ms), end)
            self._emptied(end, _SLACK_MS)
        else:
            mark = self._take("commit")
            end = self._end if mark is None else mark.position
            # Committed in the middle of detected speech: the message begins where that began.
            start = self._committed
            if speech is not None:
                start = max(start, self._position(speech.start_ms))
            committed = self._slice(start, end)
            self._emptied(end, 0)
        return committed

    # --- positions --------------------------------------------------------------------------------

    def _ms(self, size: int) -> int:
        return size * 1000 // self._encoding.bytes_per_s

    def _size(self, ms: int) -> int:
        return ms * self._encoding.bytes_per_s // 1000

    def _position(self, ms: int) -> int:
        """Position of a time on the server's axis; a time that is still to come is the end."""
        return max(
            0,
            min(
                (ms - self._base_ms) * self._encoding.rate // 1000 * self._encoding.width, self._end
            ),
        )

    def _slice(self, start: int, end: int) -> Committed:
        width = self._encoding.width
        # Rounded up to a whole sample: what is kept may begin in the middle of one.
        first = max(start, -(-self._start // width) * width)
        pieces = []
        position = self._start
        for chunk in self._chunks or ():
            pieces.append(chunk[max(0, first - position) : max(0, end - position)])
            position += len(chunk)
        return Committed(AudioData(b"".join(pieces)), max(0, min(first, end) - start) // width)

    def _emptied(self, position: int, slack_ms: int) -> None:
        self._committed = max(self._committed, position)
        self._trim(self._committed - self._size(slack_ms))

    def _trim(self, position: int) -> None:
        """Drop what is before a position."""
        chunks = self._chunks
        while chunks and self._start + len(chunks[0]) <= position:
            self._start += len(chunks.popleft())
        if self._start < position and chunks:
            chunks[0] = chunks[0][position - self._start :]
            self._start = position

    def _oldest(self, kind: Literal["commit", "clear"]) -> _Mark | None:
        return next((mark for mark in self._marks if mark.kind == kind), None)

    def _take(self, kind: Literal["commit", "clear"]) -> _Mark | None:
        mark = self._oldest(kind)
        if mark is not None:
            self._marks.remove(mark)
        return mark
