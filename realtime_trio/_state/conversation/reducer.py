"""The conversation as the server tells it: from server events to items and utility events.

Owns which event changes what.  Pure, and it refuses to send and to decide: it never asks for a
response and never raises on anything a server says.  Which items are known, and what is told of a
change, is in `_state.conversation.known`.

Theory of operation.  Every item is known by its id from the first event that mentions it: the
output of a response, the commit of the user's speech, a transcript that is early.  It is *shown* -
stands in `items`, and its changes are told - from the event that puts it into the conversation.
Today's protocol says `conversation.item.added` for that, the older one
`conversation.item.created`, a few servers nothing at all; so the first content of an item of the
conversation's own responses does it as well.  Responses out of band have no conversation: their
items are never shown.

A whole that is stated (`*.done`, `conversation.item.done`, `response.done`) is adopted.  What the
deltas did not bring is told as a delta, so that nobody has to look twice; an empty whole erases
nothing.

What arrives for a response after it was cancelled - by us, or by the user's speech - is not mixed
in but told as `DeltaDropped`; the same goes for what arrives for a truncated part.  Stated wholes
of a cancelled response are still adopted, because the model will remember them, but without a
delta, so that nobody plays or prints them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain
from typing import ClassVar

from realtime_trio._state.conversation.asked import AskedResponses
from realtime_trio._state.conversation.audible import Audible
from realtime_trio._state.conversation.audio import DEFAULT_RETENTION, Encoding, Retention, Shelf
from realtime_trio._state.conversation.content import (
    Change,
    WordsDelta,
    adopt,
    adopt_part,
    comes_from_server,
    fill_input,
    is_silent,
    is_whole_at_once,
    merge,
    part_of,
    status_of,
)
from realtime_trio._state.conversation.history import export_items
from realtime_trio._state.conversation.input_buffer import Committed, InputBuffer
from realtime_trio._state.conversation.item import (
    HIDDEN,
    ConversationItem,
    GrowingText,
    TranscriptSegment,
)
from realtime_trio._state.conversation.known import KnownItems, drop
from realtime_trio._state.conversation.messages import SpokenMessages
from realtime_trio._state.reactions import Reactions
from realtime_trio._state.utility_events import (
    ArgumentsDelta,
    AudioDelta,
    InputTranscriptDelta,
    InputTranscriptSegment,
    Interrupted,
    ItemAppended,
    ItemCompleted,
    ItemTruncated,
    ItemUpdated,
    TextDelta,
    TranscriptDelta,
    UtilityEvent,
)
from realtime_trio.audio.track import sample_count
from realtime_trio.events import (
    ContentPart,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemCreated,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemInputAudioTranscriptionSegment,
    ConversationItemRetrieved,
    ConversationItemTruncated,
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
    JsonObject,
    RealtimeSession,
    ResponseCancel,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    SemanticVad,
    ServerVad,
    SessionCreated,
    SessionUpdated,
    TranscriptionSession,
)


class Conversation:
    """The items of one conversation, kept up to date by the server's events.

    Args:
        retention: Which audio to keep with the items: `"all"` of it, which is 2.9 MB for every
            minute that is said, `"none"`, or the last so many seconds of each side.
        input_capacity_s: The most input audio to keep until it is committed, in seconds; a longer
            turn loses its beginning here, not on the server.  The default is longer than people
            speak at a stretch, and 14 MB.
        clock: Tells the time in seconds, by which `Interrupted.item` is found.  By default time
            stands still, and everything that was said is still audible.
        wants: Says of a class of utility events whether anybody would get one now.  Updates that
            nobody would get are not made.  By default all are.

    Raises:
        TypeError, LocalProtocolError: The retention is neither a word that is known nor a number of
            seconds from 0 up.
    """

    def __init__(
        self,
        *,
        retention: Retention = DEFAULT_RETENTION,
        input_capacity_s: float = 300.0,
        clock: Callable[[], float] = lambda: 0.0,
        wants: Callable[[type[UtilityEvent]], bool] = lambda _: True,
    ) -> None:
        self._clock = clock
        self._wants = wants
        self._audible = Audible()
        self._shelf = Shelf(retention)
        self._input = InputBuffer(round(input_capacity_s * 1000) if self._shelf.keeps else 0)
        self._messages = SpokenMessages()
        self._asked = AskedResponses()
        self._interrupts = True
        self._items = KnownItems()
        self._by_id = self._items.by_id

    # --- looking ----------------------------------------------------------------------------------

    @property
    def items(self) -> Sequence[ConversationItem]:
        """The items as they stand now, in order.

        Like a tuple: it stays as it is when items come and go, and equals a tuple of the same
        items.  Looking costs the same however long the conversation is.
        """
        return self._items.shown

    def get(self, item_id: str) -> ConversationItem | None:
        """The item of this id, None if there is none.

        Items of responses out of band can be had here, too, while their response runs; they are not
        in `items`.
        """
        return self._items.get(item_id)

    def made_by(self, response_id: str) -> Sequence[ConversationItem]:
        """What a response has made that is still running; nothing if it is not."""
        return self._items.made_by(response_id)

    @property
    def pending_input_ms(self) -> int:
        """Milliseconds of input audio that were sent and neither committed nor cleared."""
        return self._input.pending_ms

    @property
    def audible(self) -> ConversationItem | None:
        """The model's message that may still be audible, None if none can be; an estimate."""
        return self._audible.at(self._clock())

    @property
    def audible_until(self) -> float | None:
        """When a player that plays what arrives will have played all of the model's speech.

        In seconds of the session's clock, `trio.current_time()`; None if there is nothing to play.
        """
        return self._audible.until

    @property
    def input_encoding(self) -> Encoding:
        """How the session's input is encoded."""
        return self._shelf.input

    def export(self, *, audio: bool = False) -> list[JsonObject]:
        """The items as JSON-ready objects: what `open_session` takes as a `history`.

        They are written as the protocol writes them, with texts and transcripts.  A message that
        was truncated has what was heard of it as its transcript, and `heard_ms` beside that.

        Args:
            audio: Whether to write the user's audio, too, as base64 and with its `format`, where
                all of it was kept.  Then a turn that was not transcribed can be told again.
        """
        return export_items(self.items, audio=audio)

    # --- what the client does ---------------------------------------------------------------------

    def sent(self, event: Event) -> None:
        """Take note of what is sent, in the order in which it is sent.

        Only audio, commits, clears, messages, creates and cancellations matter.
        """
        match event:
            case InputAudioBufferAppend():
                self._input.append(event.audio)
            case InputAudioBufferCommit():
                self._input.mark("commit", event.event_id)
            case InputAudioBufferClear():
                self._input.mark("clear", event.event_id)
            case ResponseCreate():
                self._asked.sent(event)
            case ResponseCancel():
                self.cancelled(event.response_id)
            case ConversationItemCreate() if self._shelf.keeps:
                self._messages.sent(event)

    def cancelled(self, response_id: str | None = None) -> None:
        """Note that a response was cancelled: from now on what arrives of it is dropped.

        Args:
            response_id: Which one; whatever runs in the conversation when None.
        """
        self._items.cancel(response_id)

    def end(self) -> tuple[UtilityEvent, ...]:
        """Note that nothing will arrive any more: what was growing stays as it is, incomplete.

        Returns:
            What that means, as `apply` does.
        """
        return _in_order(self._items.end_all())

    def show_committed(self) -> tuple[UtilityEvent, ...]:
        """Note that what was committed is in the conversation, if the server did not get to say so.

        Returns:
            What that means, as `apply` does.
        """
        return _in_order(self._items.show_committed())

    def leave_behind(self, item_ids: Collection[str]) -> None:
        """Note that it goes on with a server which has all items but these.

        They keep their places: what comes stands behind them.
        """
        for item in self.items:
            item._is_left_behind = item._id in item_ids

    def is_left_behind(self, item_id: str) -> bool:
        """Whether this is an item that the present server was not told of."""
        item = self._by_id.get(item_id)
        return item is not None and item._is_left_behind

    def tell_again(self, item_ids: Collection[str]) -> None:
        """Note that it goes on with a server which was told of these items, and has made none."""
        for item in self.items:
            item._is_told_again = item._id in item_ids

    def is_told_again(self, item_id: str) -> bool:
        """Whether the present server was told of an item, so that it refuses to truncate it."""
        item = self._by_id.get(item_id)
        return item is not None and item._is_told_again

    # --- what the server says ---------------------------------------------------------------------

    def apply(self, event: Event) -> tuple[UtilityEvent, ...]:
        """Take one server event.  Never raises, whatever it says.

        Returns:
            What it means, in the order in which it is to be told.
        """
        react = self.reactions[type(event)]
        return () if react is None else react(self, event)

    # --- deltas -----------------------------------------------------------------------------------

    def _on_audio(self, event: ResponseOutputAudioDelta) -> tuple[UtilityEvent, ...]:
        item = self._by_id.get(event.item_id)
        if item is None or (response := item._response) is None:
            item = self._items.expect(event.item_id, event.response_id, "message", "assistant")
            if item is None:
                return ()
            assert item._response is not None, "it came in one"
            response = item._response
        part = item._parts.get(event.content_index) or part_of(
            item, event.content_index, "output_audio"
        )
        track = part.track or self._shelf.output_track(item, part)
        # Spelled out, here and below: this is the most frequent event, and a property is a call.
        if response.is_stopped or part.is_cut:
            count = sample_count(event.delta, track.encoding)
            item._dropped_us += count * 1_000_000 // track.rate
            return drop(item, AudioDelta(event.delta, track.encoding, event.content_index))
        audio = self._shelf.append_output(track, event.delta)
        if audio is None:
            return self._items.tell(item, (), reveal=True)
        if item is not self._audible.latest and not response.is_out_of_band:
            self._audible.begin(item, self._clock())
        is_shown = item._phase is not HIDDEN
        if is_shown and not self._wants(ItemUpdated):
            return ()
        delta = AudioDelta(audio, track.encoding, event.content_index)
        update = ItemUpdated(item=item, delta=delta)
        return (update,) if is_shown else self._items.reveal(item, update)

    def _on_words(
        self, event: ResponseOutputTextDelta | ResponseOutputAudioTranscriptDelta
    ) -> tuple[UtilityEvent, ...]:
        item = self._by_id.get(event.item_id)
        if item is None or (response := item._response) is None:
            item = self._items.expect(event.item_id, event.response_id, "message", "assistant")
            if item is None:
                return ()
            assert item._response is not None, "it came in one"
            response = item._response
        is_written = isinstance(event, ResponseOutputTextDelta)
        part = item._parts.get(event.content_index) or part_of(
            item, event.content_index, "output_text" if is_written else "output_audio"
        )
        is_over = response.is_stopped or part.is_cut
        if is_written:
            return self._grow(item, part.text, event.delta, TextDelta, is_over=is_over)
        return self._grow(item, part.transcript, event.delta, TranscriptDelta, is_over=is_over)

    def _on_arguments(
        self, event: ResponseFunctionCallArgumentsDelta | ResponseMcpCallArgumentsDelta
    ) -> tuple[UtilityEvent, ...]:
        item = self._items.expect_call(event)
        if item is None:
            return ()
        return self._grow(
            item, item._arguments, event.delta, ArgumentsDelta, is_over=item._is_stopped
        )

    def _on_input_words(
        self, event: ConversationItemInputAudioTranscriptionDelta
    ) -> tuple[UtilityEvent, ...]:
        item = self._items.expect(event.item_id, None, "message", "user")
        if item is None:
            return ()
        words = part_of(item, event.content_index or 0, "input_audio").transcript
        return self._grow(item, words, event.delta, InputTranscriptDelta, reveal=False)

    def _grow(
        self,
        item: ConversationItem,
        text: GrowingText,
        more: str,
        make: type[WordsDelta],
        *,
        is_over: bool = False,
        reveal: bool = True,
    ) -> tuple[UtilityEvent, ...]:
        if not more:
            return self._items.tell(item, (), reveal=reveal)
        if is_over or text.is_final:
            return drop(item, make(more))
        text.append(more)
        is_shown = item._phase is not HIDDEN
        if is_shown and not self._wants(ItemUpdated):
            return ()
        update = ItemUpdated(item=item, delta=make(more))
        if is_shown:
            return (update,)
        return self._items.reveal(item, update) if reveal else ()

    # --- wholes -----------------------------------------------------------------------------------

    def _on_words_done(
        self, event: ResponseOutputTextDone | ResponseOutputAudioTranscriptDone
    ) -> tuple[UtilityEvent, ...]:
        if isinstance(event, ResponseOutputTextDone):
            whole = ContentPart(type="text", text=event.text)
        else:
            whole = ContentPart(type="audio", transcript=event.transcript)
        return self._on_whole_part(
            event.item_id, event.response_id, event.content_index, whole, final=True
        )

    def _on_part(
        self, event: ResponseContentPartAdded | ResponseContentPartDone
    ) -> tuple[UtilityEvent, ...]:
        final = isinstance(event, ResponseContentPartDone)
        return self._on_whole_part(
            event.item_id, event.response_id, event.content_index, event.part, final=final
        )

    def _on_whole_part(
        self, item_id: str, response_id: str, index: int, whole: ContentPart, *, final: bool
    ) -> tuple[UtilityEvent, ...]:
        item = self._items.expect(item_id, response_id, "message", "assistant")
        return (
            ()
            if item is None
            else self._items.tell(
                item, adopt_part(item, index, whole, self._shelf, final=final), reveal=True
            )
        )

    def _on_arguments_done(
        self, event: ResponseFunctionCallArgumentsDone | ResponseMcpCallArgumentsDone
    ) -> tuple[UtilityEvent, ...]:
        item = self._items.expect_call(event)
        if item is None:
            return ()
        deltas = adopt(item._arguments, event.arguments, ArgumentsDelta, final=True)
        if (
            isinstance(event, ResponseFunctionCallArgumentsDone)
            and event.name
            and item._name is None
        ):
            item._name = event.name
            deltas.append(None)
        return self._items.tell(item, deltas, reveal=True)

    # --- items ------------------------------------------------------------------------------------

    def _on_added(
        self, event: ConversationItemAdded | ConversationItemCreated
    ) -> tuple[UtilityEvent, ...]:
        item = self._items.described(event.item)
        if item is None:
            return ()
        deltas = merge(item, event.item, self._shelf, final=False)
        deltas += self._hear(item)
        deltas += self._items.place(item, event)
        status = status_of(event.item)
        if is_whole_at_once(event.item):
            status = "completed"
        elif status is None:
            status = (
                "in_progress"
                if item._response is not None or comes_from_server(event.item)
                else "completed"
            )
        elif status == "completed" and item._is_growing:
            # Some servers announce an answer as completed before they have sent any of it.
            status = "in_progress"
        deltas += self._items.become(item, status)
        return self._items.tell(item, deltas, reveal=True, announced=True)

    def _on_done(self, event: ConversationItemDone) -> tuple[UtilityEvent, ...]:
        item = self._items.described(event.item, is_new=False)
        if item is None:
            return ()
        deltas = merge(item, event.item, self._shelf, final=True)
        deltas += self._hear(item)
        deltas += self._items.place(item, event)
        deltas += self._items.become(
            item,
            "completed" if is_whole_at_once(event.item) else status_of(event.item) or "completed",
        )
        return self._items.tell(item, deltas, reveal=True, announced=True) + self._items.request(
            item
        )

    def _on_output_added(self, event: ResponseOutputItemAdded) -> tuple[UtilityEvent, ...]:
        item = self._items.output(event.item, event.response_id)
        return (
            ()
            if item is None
            else self._items.tell(item, merge(item, event.item, self._shelf, final=False))
        )

    def _on_output_done(self, event: ResponseOutputItemDone) -> tuple[UtilityEvent, ...]:
        item = self._items.output(event.item, event.response_id)
        if item is None:
            return ()
        deltas = merge(item, event.item, self._shelf, final=True)
        status = status_of(event.item) or "completed"
        deltas += self._items.become(item, status)
        if status == "completed":
            assert item._response is not None, "it came in a response"
            item._response.completed.add(item)
        return self._items.tell(item, deltas, reveal=True) + self._items.request(item)

    def _on_retrieved(self, event: ConversationItemRetrieved) -> tuple[UtilityEvent, ...]:
        wire = event.item
        item = self._items.described(wire)
        if item is None:
            return ()
        deltas = merge(item, wire, self._shelf, final=True, retrieved=True)
        if not item._is_growing:
            deltas += self._items.become(
                item, "completed" if is_whole_at_once(wire) else status_of(wire) or "completed"
            )
        return self._items.tell(item, deltas, reveal=True, announced=True)

    def _on_truncated(self, event: ConversationItemTruncated) -> tuple[UtilityEvent, ...]:
        item = self._items.get(event.item_id)
        if item is None or not item._is_shown:
            return ()
        part = item._parts.get(event.content_index)
        if part is not None:
            part.cut(event.audio_end_ms, item._dropped_us)
        item._dropped_us = 0
        item._heard_ms = max(0, min(event.audio_end_ms, item.audio_ms))
        item._is_interrupted = True
        # Who cuts an item has stopped the player, and knows what was heard.
        self._audible.silence()
        return (ItemTruncated(item=item, audio_end_ms=event.audio_end_ms),)

    def _on_deleted(self, event: ConversationItemDeleted) -> tuple[UtilityEvent, ...]:
        return self._items.delete(event.item_id)

    # --- the user's speech ------------------------------------------------------------------------

    def _on_speech_started(self, event: InputAudioBufferSpeechStarted) -> tuple[UtilityEvent, ...]:
        self._input.speech_started(event.item_id, event.audio_start_ms)
        if not self._interrupts:
            return ()
        self.cancelled()
        spoken = self._audible.at(self._clock())
        # The player is told to stop, so whatever comes next is audible from when it comes.
        self._audible.silence()
        if spoken is not None and self._items.get(spoken._id) is not spoken:
            spoken = None  # deleted: there is nothing left that could be cut
        return (Interrupted(item=spoken, audio_start_ms=event.audio_start_ms),)

    def _on_speech_stopped(self, event: InputAudioBufferSpeechStopped) -> tuple[UtilityEvent, ...]:
        self._input.speech_stopped(event.item_id, event.audio_end_ms)
        return ()

    def _on_timeout(self, event: InputAudioBufferTimeoutTriggered) -> tuple[UtilityEvent, ...]:
        self._input.speech_started(event.item_id, event.audio_start_ms)
        self._input.speech_stopped(event.item_id, event.audio_end_ms)
        return ()

    def _on_cleared(self, _: InputAudioBufferCleared) -> tuple[UtilityEvent, ...]:
        self._input.cleared()
        return ()

    def _on_committed(self, event: InputAudioBufferCommitted) -> tuple[UtilityEvent, ...]:
        # A commit that is repeated must not take the audio that was appended since.
        known = self._items.get(event.item_id)
        if known is not None and known._is_committed:
            return ()
        committed = self._input.committed(event.item_id)
        item = self._items.expect(event.item_id, None, "message", "user")
        if item is None:
            return ()
        if not item._is_shown:
            item._previous_item_id = event.previous_item_id
        return self._items.tell(item, self._attach(item, committed))

    def _hear(self, item: ConversationItem) -> list[Change]:
        """Give a user message its audio, if it was sent with it or made without a commit."""
        if item._role != "user":
            return []
        changes: list[Change] = []
        for index, audio in self._messages.take(item._id).items():
            part = part_of(item, index, "input_audio")
            if is_silent(part):
                changes += fill_input(part, audio, self._shelf)
        heard = self._input.heard(item._id)
        return changes if heard is None else changes + self._attach(item, heard)

    def _attach(self, item: ConversationItem, committed: Committed) -> list[Change]:
        item._is_committed = True
        part = part_of(item, min(item._parts, default=0), "input_audio")
        # The server has brought its own copy, which is what the model heard.
        if not is_silent(part):
            return []
        track = self._shelf.input_track(part)
        track.received += committed.missing
        self._shelf.append_input(track, committed.audio)
        return [None] if track.received else []

    def _on_transcription(
        self, event: ConversationItemInputAudioTranscriptionCompleted
    ) -> tuple[UtilityEvent, ...]:
        item = self._items.expect(event.item_id, None, "message", "user")
        if item is None:
            return ()
        part = part_of(item, event.content_index or 0, "input_audio")
        deltas = adopt(part.transcript, event.transcript, InputTranscriptDelta, final=True)
        if not event.transcript and not part.transcript.read() and not part.is_wordless:
            part.is_wordless = True
            deltas.append(InputTranscriptDelta(""))
        return self._items.tell(item, deltas)

    def _on_transcription_failed(
        self, event: ConversationItemInputAudioTranscriptionFailed
    ) -> tuple[UtilityEvent, ...]:
        item = self._items.expect(event.item_id, None, "message", "user")
        if item is None or item._transcription_error == event.error:
            return ()
        item._transcription_error = event.error
        return self._items.tell(item, (None,))

    def _on_segment(
        self, event: ConversationItemInputAudioTranscriptionSegment
    ) -> tuple[UtilityEvent, ...]:
        item = self._items.expect(event.item_id, None, "message", "user")
        segment = TranscriptSegment(event.text, event.speaker, event.start, event.end)
        if item is None or item._segments.get(event.id) == segment:
            return ()
        item._segments[event.id] = segment
        return self._items.tell(item, (InputTranscriptSegment(segment),))

    # --- responses --------------------------------------------------------------------------------

    def _on_response_created(self, event: ResponseCreated) -> tuple[UtilityEvent, ...]:
        is_out_of_band = self._asked.begun(event.response)
        self._items.begin(event.response, is_out_of_band=is_out_of_band)
        return ()

    def _on_response_done(self, event: ResponseDone) -> tuple[UtilityEvent, ...]:
        self._audible.end(self._clock())
        response = event.response
        changes: dict[ConversationItem, list[Change]] = {}
        # Asked before the items are looked at, since looking at one makes its response known.
        is_out_of_band = self._items.is_out_of_band(response)
        for wire in response.output:
            if is_out_of_band and self._items.get(wire.id) is None:
                continue
            item = self._items.output(wire, response.id)
            if item is not None:
                changed = changes.setdefault(item, [])
                changed += merge(item, wire, self._shelf, final=True)
                changed += self._items.become(item, status_of(wire) or "completed")
        return _in_order(self._items.end(response, changes))

    # --- the session ------------------------------------------------------------------------------

    def _on_session_created(self, event: SessionCreated) -> tuple[UtilityEvent, ...]:
        """A new session knows nothing of what the one before was about to say or to hear."""
        events = self.end()
        self._input.reset()
        self._configure(event.session)
        return events

    def _on_session_updated(self, event: SessionUpdated) -> tuple[UtilityEvent, ...]:
        self._configure(event.session)
        return ()

    def _configure(self, session: RealtimeSession | TranscriptionSession) -> None:
        audio_in, audio_out = (
            (session.audio.input, session.audio.output)
            if session.audio is not None
            else (None, None)
        )
        if audio_in is not None:
            self._shelf.input = Encoding.of(audio_in.format) or self._shelf.input
            self._input.configure(self._shelf.input)
            detection = audio_in.turn_detection
            forbidden = (
                isinstance(detection, ServerVad | SemanticVad)
                and detection.interrupt_response is False
            )
            self._interrupts = isinstance(session, RealtimeSession) and not forbidden
        if audio_out is not None:
            self._shelf.output = Encoding.of(audio_out.format) or self._shelf.output

    def _on_error(self, event: ErrorEvent) -> tuple[UtilityEvent, ...]:
        self._input.refused(event)
        self._messages.refused(event.error.event_id)
        self._asked.refused(event.error.event_id)
        return ()

    # --- all of it --------------------------------------------------------------------------------

    reactions: ClassVar[Reactions[Conversation, tuple[UtilityEvent, ...]]] = Reactions(
        {
            ConversationItemAdded: _on_added,
            ConversationItemCreated: _on_added,
            ConversationItemDeleted: _on_deleted,
            ConversationItemDone: _on_done,
            ConversationItemInputAudioTranscriptionCompleted: _on_transcription,
            ConversationItemInputAudioTranscriptionDelta: _on_input_words,
            ConversationItemInputAudioTranscriptionFailed: _on_transcription_failed,
            ConversationItemInputAudioTranscriptionSegment: _on_segment,
            ConversationItemRetrieved: _on_retrieved,
            ConversationItemTruncated: _on_truncated,
            ErrorEvent: _on_error,
            InputAudioBufferCleared: _on_cleared,
            InputAudioBufferCommitted: _on_committed,
            InputAudioBufferSpeechStarted: _on_speech_started,
            InputAudioBufferSpeechStopped: _on_speech_stopped,
            InputAudioBufferTimeoutTriggered: _on_timeout,
            ResponseContentPartAdded: _on_part,
            ResponseContentPartDone: _on_part,
            ResponseCreated: _on_response_created,
            ResponseDone: _on_response_done,
            ResponseFunctionCallArgumentsDelta: _on_arguments,
            ResponseFunctionCallArgumentsDone: _on_arguments_done,
            ResponseMcpCallArgumentsDelta: _on_arguments,
            ResponseMcpCallArgumentsDone: _on_arguments_done,
            ResponseOutputAudioDelta: _on_audio,
            ResponseOutputAudioTranscriptDelta: _on_words,
            ResponseOutputAudioTranscriptDone: _on_words_done,
            ResponseOutputItemAdded: _on_output_added,
            ResponseOutputItemDone: _on_output_done,
            ResponseOutputTextDelta: _on_words,
            ResponseOutputTextDone: _on_words_done,
            SessionCreated: _on_session_created,
            SessionUpdated: _on_session_updated,
        }
    )
    """What is done with which event; the others do not concern a conversation."""


def _in_order(events: Iterable[UtilityEvent]) -> tuple[UtilityEvent, ...]:
    """Order what several items tell at once: updates, appearances, completions."""
    batches: tuple[list[UtilityEvent], ...] = ([], [], [])
    for event in events:
        batches[isinstance(event, ItemAppended) + 2 * isinstance(event, ItemCompleted)].append(
            event
        )
    return tuple(chain.from_iterable(batches))
