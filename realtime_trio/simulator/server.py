"""The simulated service, without a network and without a clock: client events go in, server events come out when their time has come.

Owns one connection's session, conversation, input audio and responses, and the outbox.  Time is passed in, ids come from a factory, what
the model says comes from a `Script`; so the same events at the same times always give the same answers.

Theory of operation.  Whatever arrives is obeyed at once and answered into the outbox, after everything that was due until then.  Responses,
transcriptions and what happens on MCP servers take their time: each is a generator that the server lets run when its next step is due (see
`_response`).  What has not been said yet can therefore still be taken back, which is what cancelling means.
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
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ConversationItemTruncated,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputItem,
    ItemReference,
    McpApprovalResponse,
    RealtimeSession,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    TranscriptionSessionConfig,
    UnknownEvent,
    UserMessage,
)
from realtime_trio.simulator._conversation import Conversation, Entry, check_item, with_identity
from realtime_trio.simulator._lifecycle import Lifecycle
from realtime_trio.simulator._mcp import HostedTask, HostedTools
from realtime_trio.simulator._refusal import SUPPORTED_TYPES, Refusal, audio_bytes, check_choice, explain, unsupported
from realtime_trio.simulator._response import RunningResponse
from realtime_trio.simulator._session import PCM, ResponseSettings, initial_session, input_of, settings_for, updated_session
from realtime_trio.simulator._transcription import RunningTranscription
from realtime_trio.simulator._usage import InputTokens, duration_ms, text_tokens
from realtime_trio.simulator.script import Script, Turn

_MIN_COMMIT_MS = 100


class SimulatedServer(Lifecycle):
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
            raise LocalProtocolError("this server has realtime and transcription sessions; for translation there is SimulatedTranslator")
        super().__init__(kind=kind, model=model, new_id=new_id, expires_after=expires_after, epoch=epoch)
        self._performance = script.perform()
        self._session = initial_session(kind, session_id=self._make_id("sess_"), model=model, expires_at=None)
        self._conversation = Conversation(self._make_id("conv_"))
        self._hosted = HostedTools(self._performance.mcp_servers, self._conversation, self._out)
        self._input = bytearray()
        self._transcriptions: list[RunningTranscription] = []
        self._responses: list[RunningResponse] = []
        self._active: RunningResponse | None = None
        self._read_before = 0

    def _greet(self, expires_at: int | None) -> None:
        self._session = attrs.evolve(self._session, expires_at=expires_at)
        self._out.send(SessionCreated(event_id=self._out.event_id(), session=self._session))

    # --- time -----------------------------------------------------------------------------------------------------------------------

    def _next_step(self) -> float:
        return min(map(_due, self._running), default=math.inf)

    def _step(self) -> None:
        min(self._running, key=_due).advance()
        self._forget_finished()

    @property
    def _running(self) -> list[RunningTranscription | HostedTask | RunningResponse]:
        return [*self._transcriptions, *self._hosted.tasks, *self._responses]

    def _forget_finished(self) -> None:
        self._transcriptions = [transcription for transcription in self._transcriptions if transcription.due is not None]
        self._hosted.forget_finished()
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
        session = updated_session(self._session, change, has_spoken=self._conversation.has_spoken, is_responding=self._active is not None)
        tools = change.tools or () if isinstance(change, SessionConfig) else ()
        self._hosted.check(tools, "session.tools")
        self._session = session
        self._out.send(SessionUpdated(event_id=self._out.event_id(), session=session))
        self._hosted.discover(tools, self._now)

    # --- items ----------------------------------------------------------------------------------------------------------------------

    def _create_item(self, item: InputItem, previous_item_id: str | None) -> None:
        checked = check_item(item, "item")
        self._conversation.check_call(checked)
        item_id = checked.id or self._new_id("item_")
        entry = Entry(item_id, with_identity(checked, item_id, self._make_id("call_")), self._input_format)
        self._announce(entry, self._conversation.insert(entry, previous_item_id))
        if isinstance(checked, McpApprovalResponse):
            self._hosted.answer(checked, self._now)

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
        message = UserMessage(id=item_id, status="completed", content=(InputAudio(AudioData(self._input)),))
        self._input.clear()
        entry = Entry(item_id, message, self._input_format)
        previous = self._conversation.insert(entry)
        self._out.send(InputAudioBufferCommitted(event_id=self._out.event_id(), item_id=item_id, previous_item_id=previous))
        self._announce(entry, previous)
        transcription = input_of(self._session).transcription
        if transcription is not None:
            self._transcriptions.append(
                RunningTranscription(
                    entry,
                    self._performance.transcribe(entry.heard_ms / 1000),
                    transcription,
                    delay=self._performance.transcription_delay,
                    tokens_per_second=self._performance.pacing.tokens_per_second,
                    outbox=self._out,
                    now=self._now,
                )
            )

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
        self._hosted.check(config.tools or (), "response.tools")
        given = None if config.input is None else [self._resolve(*numbered) for numbered in enumerate(config.input)]
        self._hosted.discover(config.tools or (), self._now)
        context = list(self._conversation) if given is None else given
        reply = self._hosted.offered(self._performance.answer(_turn(context, settings)), settings.tools)
        response = RunningResponse(
            reply,
            settings,
            reply.pacing or self._performance.pacing,
            read=self._count(context, settings, is_out_of_band or given is not None),
            hosted=self._hosted,
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
        response.cancel("client_cancelled", self._now)
        self._forget_finished()


def _due(running: RunningTranscription | HostedTask | RunningResponse) -> float:
    return math.inf if running.due is None else running.due


def _turn(context: list[Entry], settings: ResponseSettings) -> Turn:
    heard = next((entry.heard_ms for entry in reversed(context) if isinstance(entry.item, UserMessage)), 0.0)
    return Turn(
        items=tuple(entry.understood for entry in context),
        modality=settings.modality,
        instructions=settings.instructions,
        tools=settings.tools,
        metadata=settings.metadata,
        heard_seconds=heard / 1000,
    )
