"""What was sent and is not known to have arrived: what has to be sent again on another link.

Owns the log of these events, in the order in which they were sent, and the user's audio among them,
within bounds.  Pure: it is told what is sent and what comes, and is asked for the rest.

Theory of operation.  Everything that is sent comes in here, whether it is written at once or waits
for the network, and leaves when the server has said what became of it:

- what is acknowledged or refused, when it is;
- a create of a response, when its response has begun or it was refused.  Which create that is the
  turns know best (`under_way`), for those that they have asked for; those of the application are
  remembered until their responses are done (`answered`), since one that is cut is asked for again
  as it was;
- audio, when it is part of a message or was thrown away: by our own commit or clear, or where turn
  detection says that a turn has ended.  While nobody speaks, turn detection needs but the last
  moments of it;
- everything else, when it is written: nobody will ever say what became of it.

So what is in here when the link breaks is exactly what another server may lack, and no server has
it twice, since each begins with nothing but the items that were acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import takewhile
from typing import ClassVar, Final

from attrs import define

from realtime_trio._state.conversation.audio import DEFAULT_ENCODING, Encoding
from realtime_trio._state.reactions import Reactions
from realtime_trio._state.turns.run import is_answered_by
from realtime_trio.events import (
    ClientEvent,
    ErrorEvent,
    Event,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
    UnknownEvent,
)

LEAD_MS: Final = 2_000
"""Milliseconds of audio that are kept while nobody speaks.  Turn detection says that somebody does
a few hundred milliseconds after they began, plus half a round trip."""
MOST_AUDIO_MS: Final = 300_000
"""Milliseconds of audio that are kept at most: more than anybody says at a stretch, and 14 MB."""
_MOST: Final = 4_096
"""Events besides audio that are kept at most.  Some servers never acknowledge some kinds."""


@define(eq=False)
class Unsure:
    """Something that was sent and is not known to have arrived."""

    event: Event
    """What was sent."""
    text: str
    """Its message; empty for audio, which is bulky and easily written again."""
    is_expected: bool
    """Whether the server acknowledges it."""
    is_written: bool
    """Whether it was written to a link."""
    time: float
    """When it was sent."""
    ms: int = 0
    """How much audio it is."""
    end_ms: int = 0
    """Where that ends, in milliseconds since the link began."""
    is_held: bool = False
    """Whether there was no link when it was sent."""


@define
class Rest:
    """What is to be sent on another link, and what is not."""

    entries: list[Unsure]
    """What is to be sent, in order."""
    audio_ms: int
    """Milliseconds of audio that are not among it."""


class Unconfirmed:
    """The log of one session.

    Args:
        under_way: Says which creates the turns have asked for without an answer.
    """

    def __init__(self, under_way: Callable[[], Collection[ResponseCreate]] = tuple) -> None:
        self._under_way = under_way
        self._entries: dict[int, Unsure] = {}
        """By the identity of their events, which the entries keep alive."""
        self._audio: dict[int, Unsure] = {}
        """Those of them that are audio."""
        self._audio_ms = 0
        self._own_creates: dict[int, ResponseCreate] = {}
        """Creates that the application has sent by itself."""
        self._answered: dict[str, ResponseCreate] = {}
        """Responses that run -> those of these creates that they answer."""
        self._encoding = DEFAULT_ENCODING
        self._is_detecting = False
        self._end_ms = 0
        self._speeches: dict[str, int | None] = {}
        """Turns that have begun and are not committed -> where they ended."""
        self._repeated_ms = 0
        """Where that ends which was said again on this link."""
        self._forgotten_ms = 0
        """Audio that was not committed and is not kept, since the last commit."""
        self._down_since: float | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Unsure]:
        return iter([*self._entries.values()])

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is in here but audio in which nobody speaks."""
        is_silence = not self._audio or (self._is_detecting and not self._speeches)
        return len(self._entries) == len(self._audio) and is_silence

    @property
    def answered(self) -> Mapping[str, ResponseCreate]:
        """The creates that the application has sent by itself, by the ids of their responses.

        Only of responses that run; none when the link is gone (`down`).
        """
        return self._answered

    def configure(self, encoding: Encoding, *, is_detecting: bool) -> None:
        """Take the encoding of the audio to come, and whether the server detects turns."""
        self._encoding = encoding
        self._is_detecting = is_detecting
        if not is_detecting:
            self._speeches.clear()

    # --- what is sent -----------------------------------------------------------------------------

    def sent(
        self, event: Event, text: str, now: float, *, is_written: bool, is_expected: bool
    ) -> None:
        """Note that something is sent.

        Args:
            event: The event, always the same object for the same sending.
            text: Its message.
            now: The time, in seconds.
            is_written: Whether the network has it already.
            is_expected: Whether the server will acknowledge it.
        """
        if isinstance(event, InputAudioBufferAppend):
            self._append(event, now, is_written=is_written)
            return
        if isinstance(event, ResponseCreate):
            if all(event is not each for each in self._under_way()):
                self._own_creates[id(event)] = event
        elif is_written and not is_expected:
            return
        self._entries[id(event)] = Unsure(event, text, is_expected, is_written, now)
        if len(self._entries) - len(self._audio) > _MOST:
            self._drop(next(entry for entry in self if id(entry.event) not in self._audio))

    def written(self, event: Event) -> None:
        """Note that something which had to wait is being written."""
        entry = self._entries.get(id(event))
        if entry is None:
            return
        entry.is_written = True
        is_kept = isinstance(event, InputAudioBufferAppend | ResponseCreate)
        if not entry.is_expected and not is_kept:
            self._drop(entry)

    def _append(self, event: InputAudioBufferAppend, now: float, *, is_written: bool) -> None:
        ms = event.audio.nbytes * 1000 // self._encoding.bytes_per_s
        self._end_ms += ms
        is_held = self._down_since is not None
        entry = Unsure(event, "", False, is_written, now, ms, self._end_ms, is_held)
        self._entries[id(event)] = self._audio[id(event)] = entry
        self._audio_ms += ms
        self._trim()

    def _trim(self) -> None:
        """Let go of audio that nobody will need, and of what is too much to keep."""
        # What has just been said again may be speech that the new server has not noticed yet.
        is_noticed = self._end_ms >= self._repeated_ms + LEAD_MS
        is_silent = self._is_detecting and not self._speeches and self._down_since is None
        limit = LEAD_MS if is_silent and is_noticed else MOST_AUDIO_MS
        while self._audio_ms - (oldest := next(iter(self._audio.values()))).ms >= limit:
            self._drop(oldest)
            if limit == MOST_AUDIO_MS:
                self._forgotten_ms += oldest.ms

    # --- what the server says ---------------------------------------------------------------------

    def settled(self, event: Event, *, is_refused: bool) -> None:
        """Note that the server has acknowledged an event, or that it never will."""
        entry = self._entries.get(id(event))
        # Of a commit and a clear that were obeyed, `apply` is told what they were about.
        if entry is not None and (is_refused or not isinstance(event, _COMMITS)):
            self._drop(entry)

    def apply(self, event: ServerEvent) -> None:
        """Take note of a server event.  After the acknowledgements and the turns have."""
        if (react := self.reactions[type(event)]) is not None:
            react(self, event)

    def _on_committed(self, event: InputAudioBufferCommitted) -> None:
        end_ms = self._speeches.pop(event.item_id, None)
        commit = self._oldest(InputAudioBufferCommit)
        if end_ms is not None:
            self._forget_audio(lambda entry: entry.end_ms <= end_ms)
        elif commit is not None:
            self._forget_before(commit)
        else:
            self._forget_audio(lambda entry: entry.is_written)
        self._forgotten_ms = 0

    def _on_cleared(self, _: InputAudioBufferCleared) -> None:
        clear = self._oldest(InputAudioBufferClear)
        if clear is not None:
            self._forget_before(clear)
        else:
            self._forget_audio(lambda entry: entry.is_written)
        self._speeches.clear()
        self._forgotten_ms = 0

    def _on_speech_started(self, event: InputAudioBufferSpeechStarted) -> None:
        self._speeches[event.item_id] = None

    def _on_speech_stopped(
        self, event: InputAudioBufferSpeechStopped | InputAudioBufferTimeoutTriggered
    ) -> None:
        self._speeches[event.item_id] = event.audio_end_ms

    def _on_created(self, event: ResponseCreated) -> None:
        own = self._own_creates
        named = (key for key, each in own.items() if is_answered_by(each, event.response.metadata))
        key = next(named, None)
        if key is None and not self._forget_answered():
            # Nobody else's that we know of, so the oldest of the application's own.
            key = next(iter(own), None)
        if key is not None:
            if event.response.id:
                self._answered[event.response.id] = own[key]
            self._drop(self._entries[key])

    def _on_done(self, event: ResponseDone) -> None:
        self._answered.pop(event.response.id, None)

    def _on_error(self, event: ErrorEvent) -> None:
        self._forget_answered()
        if not event.error.event_id:
            return
        for response_id, create in [*self._answered.items()]:
            if create.event_id == event.error.event_id:
                # It was somebody else's: of those without a name, the first had to be taken for it.
                del self._answered[response_id]
        for entry in self:
            # Audio that is refused was not audio, and will not be audio for another server.
            if _id_of(entry.event) == event.error.event_id:
                self._drop(entry)

    def _forget_answered(self) -> bool:
        """Forget the creates of the turns that are not under way any more; say if there was one."""
        under_way = {id(each) for each in self._under_way()}
        answered = [
            entry
            for entry in self
            if isinstance(entry.event, ResponseCreate)
            and id(entry.event) not in under_way
            and id(entry.event) not in self._own_creates
        ]
        for entry in answered:
            self._drop(entry)
        return bool(answered)

    # --- another link -----------------------------------------------------------------------------

    def down(self, now: float) -> None:
        """Note that there is no link: what comes now waits for the next one."""
        if self._down_since is None:
            self._down_since = now
        self._answered = {}
        # The commit of what was being said was not made, or nobody knows of it.
        self._speeches.clear()

    def rest(self, now: float, stale: float) -> Rest:
        """What is to be sent on another link, which has come up.

        From now on it counts as written there.

        Args:
            now: The time, in seconds.
            stale: Seconds after which audio that had to wait is not worth saying any more, unless a
                commit has made a message of it.
        """
        entries = [*self._entries.values()]
        committed = max(
            (at for at, each in enumerate(entries) if isinstance(each.event, _COMMITS)), default=-1
        )
        lost_ms, self._forgotten_ms = self._forgotten_ms, 0
        for at, entry in enumerate(entries):
            is_late = entry.is_held and entry.time < now - stale
            if id(entry.event) in self._audio and is_late and at > committed:
                self._drop(entry)
                lost_ms += entry.ms
        self._forget_answered()
        self._down_since, self._end_ms = None, 0
        for entry in self._audio.values():
            self._end_ms += entry.ms
            entry.end_ms = self._end_ms
            entry.is_held = False
        self._repeated_ms = self._end_ms
        return Rest([*self._entries.values()], lost_ms)

    # --- the log ----------------------------------------------------------------------------------

    def _oldest(self, kind: type[Event]) -> Unsure | None:
        return next(
            (entry for entry in self._entries.values() if isinstance(entry.event, kind)), None
        )

    def _forget_before(self, end: Unsure) -> None:
        """Forget a commit or a clear, and the audio before it."""
        before = takewhile(lambda entry: entry is not end, self)
        for entry in [entry for entry in before if id(entry.event) in self._audio]:
            self._drop(entry)
        self._drop(end)

    def _forget_audio(self, is_over: Callable[[Unsure], bool]) -> None:
        for entry in [*takewhile(is_over, self._audio.values())]:
            self._drop(entry)

    def _drop(self, entry: Unsure) -> None:
        key = id(entry.event)
        self._entries.pop(key, None)
        self._own_creates.pop(key, None)
        if self._audio.pop(key, None) is not None:
            self._audio_ms -= entry.ms

    reactions: ClassVar[Reactions[Unconfirmed, None]] = Reactions(
        {
            ErrorEvent: _on_error,
            InputAudioBufferCleared: _on_cleared,
            InputAudioBufferCommitted: _on_committed,
            InputAudioBufferSpeechStarted: _on_speech_started,
            InputAudioBufferSpeechStopped: _on_speech_stopped,
            InputAudioBufferTimeoutTriggered: _on_speech_stopped,
            ResponseCreated: _on_created,
            ResponseDone: _on_done,
        }
    )
    """What says that something has arrived; acknowledgements say the rest."""


def _id_of(event: Event) -> str | None:
    return event.event_id if isinstance(event, ClientEvent | UnknownEvent) else None


_COMMITS: Final = InputAudioBufferCommit | InputAudioBufferClear
