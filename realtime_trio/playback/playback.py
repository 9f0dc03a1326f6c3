"""Playback: what of the model's speech is to be heard, was heard, and will never be heard.

Owns the way of every sample from an event to a sink, and what the server has to be told when that
way is cut short.  Pure: it is told the events, asked for samples, and told what was played; it
neither waits nor sends.

Theory of operation.  Audio waits in a queue until a sink takes it.  What was taken is due, as runs
of samples of one part each, until a tracker says that it was heard; then it is added to its part.
So the work for a sample does not depend on how many there were before, and nothing is remembered
of it but a number.  An interruption empties the queue and forgets what is due, and asks each part
how much of it was heard.

The server cancels a response, or is told to, while more of it is on its way.  So the ids of what
was interrupted are remembered for a while, and what still comes for them is refused.  If it is the
first of its item, then the server has an item of which nobody heard anything: that is deleted, too.

A sound card asks for samples on a thread of its own, in the middle of anything.  Every public
method takes one lock for as long as it takes to copy what is asked for; what takes longer, decoding
and converting, is done before.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, Literal, SupportsIndex

from attrs import evolve, frozen

from realtime_trio import _elsewhere
from realtime_trio._misuse import check_choice, check_kind
from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio._state.recent import Recent
from realtime_trio._state.utility_events import (
    AudioDelta,
    DeltaDropped,
    Interrupted,
    ItemCompleted,
    ItemDeleted,
    ItemTruncated,
    ItemUpdated,
)
from realtime_trio.audio.data import AudioData, AudioLike
from realtime_trio.audio.pcm import G711_RATE, PCM_RATE
from realtime_trio.audio.resample import MAX_RATE, MIN_RATE
from realtime_trio.audio.track import PCM, AudioTrack, is_g711
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    ClientEvent,
    ConversationItemDelete,
    ConversationItemTruncate,
    Event,
    ResponseCancel,
    ResponseCreated,
    ResponseDone,
)
from realtime_trio.playback.part import Part, PlayedPart
from realtime_trio.playback.queue import Run, SampleQueue
from realtime_trio.playback.tracking import ClockTracker, ReportTracker, Tracker

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = _elsewhere.module("numpy")

_REMEMBERED: Final = 64
"""Parts and ids of what is over; far more than are ever asked for, or than stragglers come for."""

Cut = ConversationItemTruncate | ConversationItemDelete
"""What the server is told about an item that was not heard to its end."""


@frozen(kw_only=True)
class Interruption:
    """What is to be done after an interruption; the sound has stopped already."""

    playing: PlayedPart | None
    """Where it stopped; None if nothing was to be heard."""
    cancel: ResponseCancel | None
    """Stops the response that is active; None if there is none."""
    cuts: tuple[Cut, ...]
    """Cut each item to what was heard of it, and delete one of which nothing was heard.  Nothing
    for what was heard to its end."""

    @property
    def events(self) -> tuple[ClientEvent, ...]:
        """All of it, in the order in which it is to be sent."""
        # The cancel goes first, or the server would go on adding to what is being cut.
        return self.cuts if self.cancel is None else (self.cancel, *self.cuts)


class Playback:
    """Plays what the model says, and knows what of it was heard.

    Give it to `open_session(playback=...)`, or tell it every event yourself and send what it
    returns:

        async for event in session.events():
            for follow_up in playback.apply(event):
                await session.send(follow_up)

    A sink takes samples with `take` or `fill`; audio is played in the order in which it came.  What
    is not taken waits, 2.9 MB a minute at 24 kHz; of what was heard, a few numbers are kept.

    Samples may be taken, and reported as played, on any thread, also in the callback of a sound
    card: no method waits for anything but another one's copying of a chunk.  Events, audio and
    interruptions are for one thread at a time.

    Args:
        rate: Rate of the sink in Hz, 8000 to 192000, of all samples and counts.  Audio of another
            rate is converted when it arrives.  `audio/pcm` has 24000, `audio/pcmu` and `audio/pcma`
            have 8000.
        tracking: How it is known what was heard.  `taken`: what is taken is heard, for sinks that
            take samples as they play them, such as a sound card.  `reported`: what `played` or
            `reached` say, for sinks that play later and say so, such as a telephone line.  `clock`:
            an estimate for sinks that say nothing: what is taken is played at once and in real
            time.
        clock: Tells the time in seconds and does not go back, such as `time.monotonic`; for `clock`
            and nothing else.

    Raises:
        LocalProtocolError: A rate out of range, another word, or a clock that is missing or
            unused.
        TypeError: The rate is not a whole number.
    """

    def __init__(
        self,
        rate: int = PCM_RATE,
        *,
        tracking: Literal["taken", "reported", "clock"] = "taken",
        clock: Callable[[], float] | None = None,
    ) -> None:
        check_kind("rate", rate, SupportsIndex, allowed="a whole number of Hz")
        if not MIN_RATE <= rate <= MAX_RATE:
            raise LocalProtocolError(f"rate must be {MIN_RATE} to {MAX_RATE} Hz, not {rate}")
        check_choice("tracking", tracking, ("taken", "reported", "clock"))
        if (clock is not None) != (tracking == "clock"):
            raise LocalProtocolError(
                "a clock belongs to tracking='clock', which needs one: "
                "Playback(tracking='clock', clock=time.monotonic)"
            )
        self._rate = int(rate)
        if clock is not None:
            self._tracker: Tracker = ClockTracker(self._rate, clock)
        else:
            self._tracker = ReportTracker() if tracking == "reported" else Tracker()
        self._lock = threading.Lock()
        self._queue = SampleQueue()
        self._due: deque[Run] = deque()
        """What was taken and not heard, oldest first."""
        self._due_count = 0
        self._position = 0
        """Up to where the tracker's position has been added to the parts."""
        self._parts: dict[tuple[str | None, int], Part] = {}
        self._last: Part | None = None
        self._active: str | None = None
        """The response that is being made, as far as it is known."""
        self._over = Recent(_REMEMBERED)
        """Responses that have ended."""
        self._stopped = Recent(_REMEMBERED)
        """Items and responses for which nothing is played any more."""

    # --- looking ----------------------------------------------------------------------------------

    @property
    def rate(self) -> int:
        """Samples per second that a sink takes, and all counts are in."""
        return self._rate

    @property
    def is_estimate(self) -> bool:
        """Whether what was heard is only estimated, by a clock."""
        return isinstance(self._tracker, ClockTracker)

    @property
    def queued(self) -> int:
        """Samples that wait to be taken."""
        return self._queue.count

    @property
    def unheard(self) -> int:
        """Samples that are still to be heard: those that are queued, and those that were taken."""
        with self._lock:
            self._look()
            return self._queue.count + self._due_count

    @property
    def is_audible(self) -> bool:
        """Whether anything is still to be heard of what has arrived."""
        return self.unheard > 0

    @property
    def playing(self) -> PlayedPart | None:
        """What is being heard, or comes next, or is still coming; None if it is all over."""
        with self._lock:
            self._look()
            playing = self._playing()
            return None if playing is None else playing.value

    @property
    def parts(self) -> tuple[PlayedPart, ...]:
        """What was played lately, is being played or waits, in the order in which it came."""
        with self._lock:
            self._look()
            return tuple(part.value for part in self._parts.values())

    def heard_ms(self, item_id: str) -> int:
        """Milliseconds that were heard of an item, rounded down, of all its parts together.

        0 for an item that was not played, or so long ago that it is forgotten: 64 parts.
        """
        with self._lock:
            self._look()
            return sum(part.heard_ms for part in self._parts.values() if part.item_id == item_id)

    # --- being fed --------------------------------------------------------------------------------

    def apply(self, event: Event) -> tuple[ClientEvent, ...]:
        """Take one event of a session, in order; those that do not matter change nothing.

        It takes the audio of `ItemUpdated`, and goes silent at once at `Interrupted`, of which the
        server cancels the response by itself; a sink with a queue of its own has to clear that
        then.  An item that is truncated or deleted by somebody else goes silent, too.

        Returns:
            What the server is to be told of it, nearly always nothing.
        """
        match event:
            case ItemUpdated(item=item, delta=AudioDelta() as delta):
                return self._on_audio(item, delta)
            case DeltaDropped(item=item, delta=AudioDelta() as delta):
                return self._straggler(item, delta)
            case ItemCompleted(item=item):
                self.finish(item.id)
            case ItemTruncated(item=item) | ItemDeleted(item=item):
                self.stop(item.id)
            case ResponseCreated(response=response):
                # What is out of band is not in the conversation, so there is nothing to cut.
                if response.conversation_id is not None:
                    self._active = response.id
            case ResponseDone(response=response):
                self._end_response(response.id)
            case Interrupted():
                return self._interrupt().cuts
        return ()

    def append(
        self,
        audio: AudioLike,
        item_id: str | None = None,
        *,
        content_index: int = 0,
        response_id: str | None = None,
        encoding: str = PCM,
        rate: int | None = None,
    ) -> bool:
        """Queue audio that is in no event of a session: of a bare `Connection`, or your own.

        Args:
            audio: Encoded audio, or samples: as for `AudioData`.
            item_id: The item it is of.  None for what is not in the conversation, such as a signal
                tone or an answer out of band: it is silenced like everything else, and the server
                is told nothing of it.
            content_index: Which part of the item.
            response_id: The response it is of, by which stragglers are known of which the item is
                not.
            encoding: Of encoded audio: `audio/pcm`, `audio/pcmu` or `audio/pcma`.
            rate: Its rate in Hz; None for that of its encoding, 24000 or 8000; samples have 24000.

        Returns:
            Whether it will be played: False for a straggler, something that was interrupted.

        Raises:
            LocalProtocolError: This is not audio.
        """
        data = AudioData.of(audio)
        if data.is_pcm:
            encoding = PCM
        return self._append(data, item_id, content_index, response_id, encoding, rate, None)

    def finish(self, item_id: str | None) -> None:
        """Note that no more audio of an item arrives; what is queued is played to its end.

        `apply` does so by itself.  So does audio of another part: speech comes one part after the
        other.
        """
        for part in [part for part in self._parts.values() if part.item_id == item_id]:
            self._finish(part)

    def stop(self, item_id: str) -> None:
        """Let an item be silent from now on, without telling the server.

        What the sink has taken of it is played to its end.
        """
        self._stopped.add(item_id)
        with self._lock:
            self._queue.drop(lambda part: part.item_id == item_id)
            for part in self._parts.values():
                part.is_silenced = part.is_silenced or part.item_id == item_id

    # --- the sink ---------------------------------------------------------------------------------

    def take(self, count: int) -> NDArray[np.int16]:
        """Take the next samples, as many as there are: for files, telephones and browsers.

        Args:
            count: How many at most, 0 or more.

        Returns:
            Shape (n,), int16, at `rate`; n is less than `count`, and 0 in the end, where nothing
            more has arrived.

        Raises:
            LocalProtocolError: The count is negative.
        """
        if count < 0:
            raise LocalProtocolError(f"count must be 0 or more samples, not {count}")
        with self._lock:
            out = np.empty(min(count, self._queue.count), np.int16)
            self._take_into(out)
        return out

    def fill(self, out: NDArray[np.int16]) -> int:
        """Fill a buffer with the next samples, and with silence behind them: for sound cards.

        Args:
            out: Shape (n,), int16, such as `outdata[:, 0]` of a callback.

        Returns:
            How many of its samples are not that silence.
        """
        with self._lock:
            filled = self._take_into(out)
        out[filled:] = 0
        return filled

    def played(self, count: int) -> None:
        """Note that the sink has played so many samples more of those that it has taken.

        More than that is silence of its own, and does not count.  What it has played of something
        that was interrupted is to be reported before the interruption; use marks where it cannot.

        Args:
            count: Samples at `rate`, 0 or more.

        Raises:
            LocalProtocolError: This is not `tracking="reported"`, or the count is negative.
        """
        if count < 0:
            raise LocalProtocolError(f"count must be 0 or more samples, not {count}")
        with self._lock:
            self._reports().played(count)
            self._look()

    def mark(self) -> str:
        """Name the place behind the last sample that was taken, for sinks that can tell it back.

        Send it behind the samples, and say `reached(name)` when it comes back.

        Raises:
            LocalProtocolError: This is not `tracking="reported"`.
        """
        with self._lock:
            return self._reports().mark()

    def reached(self, mark: str) -> None:
        """Note that the sink has played everything before this mark.

        One that is not awaited is ignored: telephone lines send back the marks of what they were
        told to clear.

        Raises:
            LocalProtocolError: This is not `tracking="reported"`.
        """
        with self._lock:
            self._reports().reached(mark)
            self._look()

    # --- interrupting -----------------------------------------------------------------------------

    def interrupt(self, response_id: str | None = None) -> Interruption:
        """Be silent at once: the queue is emptied, and what still arrives of it is refused.

        A sink with a queue of its own has to clear that: what it has taken and not played counts as
        unheard.  A session that has this playback does it all at `cancel_response()`.

        Args:
            response_id: Silence this response alone; others are heard to their end.  Where the sink
                has taken some of both it is not to be cleared, and all that it has taken counts as
                heard.  None silences everything.

        Returns:
            What the server is to be told.  A second call has nothing to add.
        """
        is_active = self._active is not None and response_id in (None, self._active)
        cancel = ResponseCancel(response_id=self._active) if is_active else None
        return evolve(self._interrupt(response_id), cancel=cancel)

    # --- inside -----------------------------------------------------------------------------------

    def _on_audio(self, item: ConversationItem, delta: AudioDelta) -> tuple[ClientEvent, ...]:
        response_id = item.response_id
        is_played = self._append(
            delta.audio,
            item.id,
            delta.content_index,
            response_id,
            delta.encoding,
            item.audio_rate,
            item,
        )
        if not is_played:
            return self._straggler(item, delta)
        # Some servers do not say of a response that it is of the conversation, but its audio is.
        if response_id is not None and response_id not in self._over:
            self._active = response_id
        return ()

    def _straggler(self, item: ConversationItem, delta: AudioDelta) -> tuple[ClientEvent, ...]:
        """Something came that will not be heard.

        If nothing else came of its item, then the server has one that nobody has heard anything of.
        """
        if item.id in self._stopped or any(item_id == item.id for item_id, _ in self._parts):
            return ()
        self._stopped.add(item.id)
        if item.text:  # which was read, and stays
            return (_truncate(item.id, delta.content_index, 0),)
        return (ConversationItemDelete(item_id=item.id),)

    def _end_response(self, response_id: str) -> None:
        # One without an id can only be meant for the one that is active.
        if response_id == self._active or not response_id:
            self._active = None
        self._over.add(response_id)
        for part in [part for part in self._parts.values() if part.response_id == response_id]:
            self._finish(part)

    def _append(
        self,
        audio: AudioData,
        item_id: str | None,
        content_index: int,
        response_id: str | None,
        encoding: str,
        rate: int | None,
        item: ConversationItem | None,
    ) -> bool:
        if item_id in self._stopped or response_id in self._stopped:
            return False
        part = self._parts.get((item_id, content_index))
        if self._last is not None and self._last is not part:
            self._finish(self._last)
        if part is None or part.is_silenced:
            part = self._begin(item_id, content_index, response_id, encoding, rate, item)
        self._last = part
        samples = part.receive(audio)
        with self._lock:
            self._queue.append(part, samples)
        return True

    def _begin(
        self,
        item_id: str | None,
        content_index: int,
        response_id: str | None,
        encoding: str,
        rate: int | None,
        item: ConversationItem | None,
    ) -> Part:
        if rate is None:
            rate = G711_RATE if is_g711(encoding) else PCM_RATE
        part = Part(
            item_id=item_id,
            content_index=content_index,
            response_id=response_id,
            sink_rate=self._rate,
            track=AudioTrack(encoding, rate, keep=False),
            item=item,
        )
        with self._lock:
            self._look()
            self._parts[item_id, content_index] = part
            while len(self._parts) > _REMEMBERED:
                oldest = next(iter(self._parts.values()))
                if not oldest.is_settled:
                    break  # it waits, and so do all behind it
                del self._parts[oldest.item_id, oldest.content_index]
        return part

    def _finish(self, part: Part) -> None:
        samples = part.finish()
        if not part.is_silenced:
            with self._lock:
                self._queue.append(part, samples)

    def _take_into(self, out: NDArray[np.int16]) -> int:
        runs = self._queue.take_into(out)
        filled = 0
        for run in runs:
            filled += run.count
            if self._due and self._due[-1].part is run.part:
                self._due[-1].count += run.count
            else:
                self._due.append(run)
        self._due_count += filled
        self._tracker.took(filled)
        self._look()
        return filled

    def _look(self) -> None:
        """Add to the parts what was heard since."""
        heard = self._tracker.position() - self._position
        self._position += heard
        self._due_count -= heard
        while heard > 0:
            run = self._due[0]
            count = min(heard, run.count)
            run.part.heard += count
            run.count -= count
            heard -= count
            if not run.count:
                self._due.popleft()

    def _playing(self) -> Part | None:
        part = self._due[0].part if self._due else self._queue.head
        if part is None and self._last is not None and not self._last.is_over:
            part = self._last
        return part

    def _interrupt(self, response_id: str | None = None) -> Interruption:
        def is_meant(part: Part) -> bool:
            return response_id in (None, part.response_id)

        with self._lock:
            self._look()
            playing = self._playing()
            if playing is not None and not is_meant(playing):
                playing = None
            stopped_at = None if playing is None else playing.value
            self._queue.drop(is_meant)
            if all(is_meant(run.part) for run in self._due):
                self._silence_sink()
            cuts = tuple(self._cuts([part for part in self._parts.values() if is_meant(part)]))
        stopped = self._active if response_id is None else response_id
        if stopped is not None:
            self._stopped.add(stopped)
        if stopped == self._active:
            self._active = None
        return Interruption(playing=stopped_at, cancel=None, cuts=cuts)

    def _silence_sink(self) -> None:
        """Count what was taken and not heard as never heard."""
        self._due.clear()
        self._due_count = 0
        self._tracker.silence()
        self._position = self._tracker.position()

    def _cuts(self, parts: Iterable[Part]) -> Iterator[Cut]:
        """Silence what of these was not heard to its end, and cut it to what was."""
        coming = Counter[Part]()
        for run in self._due:
            coming[run.part] += run.count
        unheard: dict[str | None, list[Part]] = {}
        heard_ms = {part: part.heard_ms_with(coming[part]) for part in self._parts.values()}
        for part in parts:
            is_whole = part.is_final and heard_ms[part] == part.track.ms
            if not part.is_silenced and not is_whole:
                part.is_silenced = True
                unheard.setdefault(part.item_id, []).append(part)
        for item_id, missed in unheard.items():
            if item_id is None:
                continue
            self._stopped.add(item_id)
            for part in missed:
                if part.response_id is not None and not part.is_final:
                    self._stopped.add(part.response_id)
            every = [part for part in self._parts.values() if part.item_id == item_id]
            # What is written in it was read, so the item stays.
            if any(heard_ms[part] or (part.item and part.item.text) for part in every):
                for part in missed:
                    yield _truncate(item_id, part.content_index, heard_ms[part])
            elif any(part.track.received for part in every):
                yield ConversationItemDelete(item_id=item_id)

    def _reports(self) -> ReportTracker:
        if not isinstance(self._tracker, ReportTracker):
            raise LocalProtocolError(
                "this playback does not go by reports; Playback(tracking='reported') does"
            )
        return self._tracker


def _truncate(item_id: str, content_index: int, heard_ms: int) -> ConversationItemTruncate:
    return ConversationItemTruncate(
        item_id=item_id, content_index=content_index, audio_end_ms=heard_ms
    )
