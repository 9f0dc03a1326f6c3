"""The simulated service, without a network and without a clock: client events go in, server events come out when their time has come.

Owns one connection's session, conversation, input audio and responses, and the outbox.  Time is passed in, ids come from a factory, what
the model says comes from a `Script`; so the same events at the same times always give the same answers.

Theory of operation.  Whatever arrives is obeyed at once and answered into the outbox, after everything that was due until then.  Responses
take their time: each is a generator that the server lets run when its next step is due (see `_response`).  What has not been said yet
can therefore still be taken back, which is what cancelling means.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from realtime_trio.audio import AudioData
from realtime_trio.codec import SessionKind
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    AudioFormat,
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ConversationItemTruncated,
    DurationTranscriptionUsage,
    ErrorDetail,
    ErrorEvent,
    Event,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputItem,
    ItemReference,
    RealtimeSession,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ServerEvent,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    TokenTranscriptionUsage,
    Transcription,
    TranscriptionErrorDetail,
    TranscriptionSessionConfig,
    TranscriptionTokenDetails,
    TranscriptionUsage,
    UnknownEvent,
    UserMessage,
)
from realtime_trio.simulator._conversation import Conversation, Entry, check_item, with_identity
from realtime_trio.simulator._refusal import SUPPORTED_TYPES, Refusal, audio_bytes, check_choice, check_length, explain, unsupported
from realtime_trio.simulator._response import Outbox, RunningResponse
from realtime_trio.simulator._session import PCM, ResponseSettings, initial_session, input_of, settings_for, updated_session
from realtime_trio.simulator._usage import USER_MS_PER_TOKEN, InputTokens, audio_tokens, duration_ms, text_tokens, tokenize
from realtime_trio.simulator.script import Script, Turn
from realtime_trio.transport import GOING_AWAY, Close

_MIN_COMMIT_MS = 100
_MAX_EVENT_ID = 512
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def sequential_ids() -> Callable[[str], str]:
    """Make a factory of ids that look like the service's and count up: the same ones in every run.

    Returns:
        A function from a prefix (`item_`, `resp_`, `event_`, ...) to an id with 21 more characters, or 16 after `call_`.
    """
    count = 0

    def new_id(prefix: str) -> str:
        nonlocal count
        count += 1
        digits, rest = "", count
        while rest:
            rest, digit = divmod(rest, len(_BASE62))
            digits = _BASE62[digit] + digits
        return prefix + digits.rjust(16 if prefix == "call_" else 21, "0")

    return new_id


class SimulatedServer:
    """The service's side of one connection.

    Call `connect` once, then `receive` for every event of the client, and `take_due` for what is to be sent: after each of these calls, and
    whenever `next_due` has come.  Not thread-safe; never waits.

    Args:
        script: What the model says.
        kind: What the session is for: `REALTIME` or `TRANSCRIPTION`.
        model: The model the client asked for; any name is served.
        new_id: Makes ids: a function from a prefix to an id that was never made before.  `sequential_ids()` when None.
        expires_after: Seconds until the session ends with an error and close code 1001; infinite for never.
        epoch: What the clock's zero is in seconds since 1970, for `expires_at`, the one time on the wire that is absolute.

    Raises:
        LocalProtocolError: The kind of session is not simulated.
    """

    def __init__(
        self,
        script: Script,
        *,
        kind: SessionKind = SessionKind.REALTIME,
        model: str = "gpt-realtime",
        new_id: Callable[[str], str] | None = None,
        expires_after: float = 3600.0,
        epoch: float = 0.0,
    ) -> None:
        if kind is SessionKind.TRANSLATION:
            raise LocalProtocolError("the simulator serves realtime and transcription sessions, not translation sessions")
        self.kind = kind
        self.model = model
        self._expires_after = expires_after
        self._epoch = epoch
        self._make_id = new_id or sequential_ids()
        self._performance = script.perform()
        self._out = Outbox(self._new_id)
        self._session = initial_session(kind, session_id=self._make_id("sess_"), model=model, expires_at=None)
        self._conversation = Conversation(self._make_id("conv_"))
        self._input = bytearray()
        self._responses: list[RunningResponse] = []
        self._active: RunningResponse | None = None
        self._read_before = 0
        self._is_connected = False
        self._now = 0.0
        self._expiry = math.inf
        self._close: Close | None = None

    @property
    def close(self) -> Close | None:
        """How the server wants the connection closed, once it does and everything due has been taken; nothing is said after that."""
        return self._close

    @property
    def next_due(self) -> float | None:
        """When to call `take_due` again if nothing arrives until then; None if there will be nothing to take."""
        if self._out.events:
            return self._now
        if self._close is not None:
            return None
        due = min([response.due for response in self._responses if response.due is not None], default=math.inf)
        due = min(due, self._expiry)
        return due if due < math.inf else None

    def connect(self, now: float) -> None:
        """Greet the client.

        Args:
            now: Seconds of any clock that never goes back.

        Raises:
            LocalProtocolError: It was called before.
        """
        if self._is_connected:
            raise LocalProtocolError("this server is connected already; every connection needs a server of its own")
        self._is_connected = True
        self._now = now
        self._expiry = now + self._expires_after
        expires_at = int(self._epoch + self._expiry) if self._expiry < math.inf else None
        self._session = attrs.evolve(self._session, expires_at=expires_at)
        self._out.send(SessionCreated(event_id=self._out.event_id(), session=self._session))

    def receive(self, event: Event, now: float) -> None:
        """Obey an event of the client, or refuse it with an `error` event.

        Nothing a client can send makes this raise.  Ignored once the server wants to close.

        Args:
            event: A client event, or the `UnknownEvent` that a codec makes of what it cannot type.  A binary frame is an `UnknownEvent`
                whose `raw` is bytes.
            now: Seconds, as for `connect`.

        Raises:
            LocalProtocolError: A server event was passed, the server is not connected, or a predicate of the script failed.
        """
        if not self._is_connected:
            raise LocalProtocolError("a server obeys only after `connect`")
        if not isinstance(event, ClientEvent | UnknownEvent):
            raise LocalProtocolError(f"a server receives client events, not {type(event).__name__}")
        self._advance(now)
        if self._close is not None:
            return
        try:
            if event.event_id:
                check_length(event.event_id, _MAX_EVENT_ID, "event_id")
            self._obey(event)
        except Refusal as refusal:
            self._out.send(ErrorEvent(event_id=self._out.event_id(), error=refusal.detail(event.event_id or None)))

    def take_due(self, now: float) -> tuple[ServerEvent, ...]:
        """Everything to be sent by now, in order; each event is returned once."""
        self._advance(now)
        events = tuple(self._out.events)
        self._out.events.clear()
        return events

    # --- time -----------------------------------------------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        """Say everything that is due by now."""
        self._now = max(self._now, now)
        while self._close is None:
            response = min(self._responses, key=_due, default=None)
            if response is not None and _due(response) <= min(self._now, self._expiry):
                response.advance()
                self._forget_finished()
            elif self._expiry <= self._now:
                message = f"Your session hit the maximum duration of {self._expires_after / 60:g} minutes."
                error = ErrorDetail(type="invalid_request_error", code="session_expired", message=message)
                self._out.send(ErrorEvent(event_id=self._out.event_id(), error=error))
                self._close = Close(GOING_AWAY, "session_expired")
            else:
                return

    def _forget_finished(self) -> None:
        self._responses = [response for response in self._responses if response.due is not None]
        if self._active not in self._responses:
            self._active = None

    def _new_id(self, prefix: str) -> str:
        """An id; for items, one that no client has taken."""
        new_id = self._make_id(prefix)
        while self._conversation.find(new_id) is not None:
            new_id = self._make_id(prefix)
        return new_id

    # --- client events --------------------------------------------------------------------------------------------------------------

    def _obey(self, event: ClientEvent | UnknownEvent) -> None:
        match event:
            case InputAudioBufferAppend(audio=audio):
                self._input += audio_bytes(audio, "audio")
            case InputAudioBufferCommit():
                self._commit()
            case InputAudioBufferClear():
                self._input.clear()
                self._out.send(InputAudioBufferCleared(event_id=self._out.event_id()))
            case SessionUpdate(session=change):
                self._update(change)
            case ConversationItemCreate(item=item, previous_item_id=previous_item_id):
                self._create_item(item, previous_item_id)
            case ConversationItemDelete(item_id=item_id):
                self._conversation.remove(self._conversation.get(item_id, "deleting", "item_delete_invalid_item_id"))
                self._out.send(ConversationItemDeleted(event_id=self._out.event_id(), item_id=item_id))
            case ConversationItemRetrieve(item_id=item_id):
                entry = self._conversation.get(item_id, "retrieving", "item_retrieve_invalid_item_id")
                self._out.send(ConversationItemRetrieved(event_id=self._out.event_id(), item=entry.whole))
            case ConversationItemTruncate(item_id=item_id, content_index=content_index, audio_end_ms=audio_end_ms):
                self._conversation.get(item_id, "truncating", "item_truncate_invalid_item_id").truncate(content_index, audio_end_ms)
                self._out.send(
                    ConversationItemTruncated(
                        event_id=self._out.event_id(), item_id=item_id, content_index=content_index, audio_end_ms=audio_end_ms
                    )
                )
            case ResponseCreate(response=config):
                self._create_response(config or ResponseConfig())
            case ResponseCancel(response_id=response_id):
                self._cancel_response(response_id)
            case UnknownEvent():
                raise explain(event)
            case _:
                raise unsupported(event.type, SUPPORTED_TYPES, "type")

    def _update(self, change: SessionConfig | TranscriptionSessionConfig) -> None:
        self._session = updated_session(
            self._session, change, has_spoken=self._conversation.has_spoken, is_responding=self._active is not None
        )
        self._out.send(SessionUpdated(event_id=self._out.event_id(), session=self._session))

    # --- items ----------------------------------------------------------------------------------------------------------------------

    def _create_item(self, item: InputItem, previous_item_id: str | None) -> None:
        checked = check_item(item, "item")
        self._conversation.check_call(checked)
        item_id = checked.id or self._new_id("item_")
        entry = Entry(item_id, with_identity(checked, item_id, self._make_id("call_")), self._input_format)
        self._announce(entry, self._conversation.insert(entry, previous_item_id))

    def _announce(self, entry: Entry, previous: str | None) -> None:
        self._out.send(ConversationItemAdded(event_id=self._out.event_id(), item=entry.shown, previous_item_id=previous))
        self._out.send(ConversationItemDone(event_id=self._out.event_id(), item=entry.shown, previous_item_id=previous))

    @property
    def _input_format(self) -> AudioFormat:
        return input_of(self._session).format or PCM

    # --- input audio ----------------------------------------------------------------------------------------------------------------

    def _commit(self) -> None:
        milliseconds = duration_ms(len(self._input), self._input_format)
        if milliseconds < _MIN_COMMIT_MS:
            raise Refusal(
                f"Error committing input audio buffer: buffer too small. Expected at least {_MIN_COMMIT_MS}ms of audio, "
                f"but buffer only has {milliseconds:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        item_id = self._new_id("item_")
        audio = AudioData(self._input)
        message = UserMessage(id=item_id, status="completed", content=(InputAudio(audio),))
        self._input.clear()
        entry = Entry(item_id, message, self._input_format)
        previous = self._conversation.insert(entry)
        self._out.send(InputAudioBufferCommitted(event_id=self._out.event_id(), item_id=item_id, previous_item_id=previous))
        self._announce(entry, previous)
        transcription = input_of(self._session).transcription
        if transcription is not None:
            self._transcribe(entry, message, audio, transcription)

    def _transcribe(self, entry: Entry, message: UserMessage, audio: AudioData, transcription: Transcription) -> None:
        seconds = entry.heard_ms / 1000
        transcript = self._performance.transcribe(seconds)
        if transcript is None:
            error = TranscriptionErrorDetail(
                type="transcription_error", code="audio_unintelligible", message="The audio could not be transcribed."
            )
            self._out.send(
                ConversationItemInputAudioTranscriptionFailed(event_id=self._out.event_id(), item_id=entry.id, content_index=0, error=error)
            )
            return
        by_duration = str(transcription.model).endswith("whisper-1")
        for delta in [transcript] if by_duration else tokenize(transcript):
            self._out.send(
                ConversationItemInputAudioTranscriptionDelta(event_id=self._out.event_id(), item_id=entry.id, content_index=0, delta=delta)
            )
        usage: TranscriptionUsage = DurationTranscriptionUsage(seconds=seconds)
        if not by_duration:
            heard, written = audio_tokens(entry.heard_ms, USER_MS_PER_TOKEN), text_tokens([transcript])
            usage = TokenTranscriptionUsage(
                input_tokens=heard,
                output_tokens=written,
                total_tokens=heard + written,
                input_token_details=TranscriptionTokenDetails(audio_tokens=heard),
            )
        self._out.send(
            ConversationItemInputAudioTranscriptionCompleted(
                event_id=self._out.event_id(), item_id=entry.id, content_index=0, transcript=transcript, usage=usage
            )
        )
        entry.item = attrs.evolve(message, content=[InputAudio(audio, transcript)])

    # --- responses ------------------------------------------------------------------------------------------------------------------

    def _create_response(self, config: ResponseConfig) -> None:
        if not isinstance(self._session, RealtimeSession):
            raise Refusal("A transcription session does not create responses.", code="invalid_parameter")
        check_choice(config.conversation or "auto", ("auto", "none"), "response.conversation")
        is_out_of_band = config.conversation == "none"
        if self._active is not None and not is_out_of_band:
            raise Refusal(
                f"Conversation already has an active response in progress: {self._active.id}. "
                "Wait until the response is finished before creating a new one.",
                code="conversation_already_has_active_response",
            )
        settings = settings_for(self._session, config, has_spoken=self._conversation.has_spoken)
        context = list(self._conversation) if config.input is None else [self._resolve(*numbered) for numbered in enumerate(config.input)]
        reply = self._performance.answer(_turn(context, settings))
        response = RunningResponse(
            reply,
            settings,
            reply.pacing or self._performance.pacing,
            read=self._count(context, settings, is_out_of_band or config.input is not None),
            conversation=None if is_out_of_band else self._conversation,
            outbox=self._out,
            now=self._now,
        )
        self._responses.append(response)
        if not is_out_of_band:
            self._active = response

    def _resolve(self, index: int, item: InputItem) -> Entry:
        param = f"response.input[{index}]"
        if isinstance(item, ItemReference):
            entry = self._conversation.find(item.id)
            if entry is None:
                raise Refusal(
                    f"Invalid '{param}.id': the item with id '{item.id}' does not exist.", code="invalid_value", param=f"{param}.id"
                )
            return entry
        return Entry(item.id or "", check_item(item, param), self._input_format)

    def _count(self, context: list[Entry], settings: ResponseSettings, is_apart: bool) -> InputTokens:
        """What the response has to read.  What the conversation's response before it read is in the cache."""
        counts = [entry.tokens for entry in context]
        tools = [str(tool) for tool in settings.tools]
        text = text_tokens([settings.instructions, *tools]) + sum(text for text, _ in counts)
        read = InputTokens(text=text, audio=sum(audio for _, audio in counts), cacheable=0 if is_apart else self._read_before)
        if not is_apart:
            self._read_before = read.total
        return read

    def _cancel_response(self, response_id: str | None) -> None:
        if response_id is None:
            response = self._active
        else:
            response = next((running for running in self._responses if running.id == response_id), None)
        if response is None:
            raise Refusal("Cancellation failed: no active response found", code="response_cancel_not_active")
        response.cancel("client_cancelled")
        self._forget_finished()


def _due(response: RunningResponse) -> float:
    return math.inf if response.due is None else response.due


def _turn(context: list[Entry], settings: ResponseSettings) -> Turn:
    heard = next((entry.heard_ms for entry in reversed(context) if isinstance(entry.item, UserMessage)), 0.0)
    return Turn(
        items=tuple(entry.item for entry in context),
        modality=settings.modality,
        instructions=settings.instructions,
        tools=settings.tools,
        metadata=settings.metadata,
        heard_seconds=heard / 1000,
    )
