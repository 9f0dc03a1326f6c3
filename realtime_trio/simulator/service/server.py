"""The simulated service, without a network and without a clock: client events go in, server events come out when their time has come.

Owns one connection's session, conversation, input audio and responses, and the outbox.  Time is
passed in, ids come from a factory, what the model says comes from a `Script`; so the same events at
the same times always give the same answers.  What the script does not say somebody outside may: an
agent, and ears.

Theory of operation.  Whatever arrives is obeyed at once and answered into the outbox, after
everything that was due until then.  Responses, transcriptions and what happens on MCP servers take
their time: each is a generator that the server lets run when its next step is due (see
`_response`).  What has not been said yet can therefore still be taken back, which is what
cancelling means.

What needs an agent or ears is a question, which whoever drives the server takes from it and answers
when it can.  Meanwhile the response or the transcription that waits for it is due at no time, and
can be cancelled like any other; then the question is not wanted any more.

Audio has a time of its own, in which turns are detected and reported; to the clock, everything in
an append happens when that arrives.  The silence after which the service speaks up is measured by
the clock, since it may come without any audio.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
from attrs import frozen

from realtime_trio._protocol.kinds import DEFAULT_MODEL, SessionKind
from realtime_trio.audio import AudioData
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
    ErrorEvent,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
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
    ToolChoice,
    TranscriptionSessionConfig,
    UnknownEvent,
    UserMessage,
)
from realtime_trio.simulator.roles import Piece, Say
from realtime_trio.simulator.script.script import Call, Failure, Script, Turn
from realtime_trio.simulator.service.configuration import (
    PCM,
    detection_of,
    idle_timeout_ms,
    initial_session,
    input_of,
    updated_session,
)
from realtime_trio.simulator.service.context import Context
from realtime_trio.simulator.service.conversation import (
    ItemEntry,
    ServerConversation,
    check_item,
    with_identity,
)
from realtime_trio.simulator.service.input_audio import InputAudioBuffer, TurnEnded
from realtime_trio.simulator.service.lifecycle import Lifecycle, Steps, Task
from realtime_trio.simulator.service.mcp import HostedTools
from realtime_trio.simulator.service.questions import AnswerWanted, Hearing, Question
from realtime_trio.simulator.service.refusal import (
    SUPPORTED_TYPES,
    Refusal,
    audio_bytes,
    check_choice,
    explain,
    unsupported,
)
from realtime_trio.simulator.service.response import RunningResponse
from realtime_trio.simulator.service.response_settings import ResolvedSettings, settings_for
from realtime_trio.simulator.service.transcription import UNINTELLIGIBLE, RunningTranscription
from realtime_trio.simulator.service.turn_detection import SpeechStarted

_MIN_COMMIT_MS = 100
_MAX_APPEND = 15 * 2**20
"""Bytes of audio in one event; which error the service gives for more was never seen."""
_MAX_BACKLOG = 8
"""Pieces of an answer that may wait to be said.  Enough that an agent can prepare the next sentence
while one is being said, and few enough that it learns in time that it was interrupted."""
_MAX_UNTAKEN = 100
"""Events that may wait to be taken before agents are held back: the client may not keep up either."""


@frozen
class _Undecided:
    """A response of which it is not known yet what it says."""

    response: RunningResponse
    context: list[ItemEntry]
    """What it reads."""
    settings: ResolvedSettings
    tool_choice: ToolChoice


class SimulatedServer(Lifecycle):
    """The service's side of one connection.

    Call `connect` once, then `receive` for every event of the client, and `take_due` for what is to
    be sent: after each of these calls, and whenever `next_due` has come.  With `has_agent` or
    `has_ears`, take its questions (`take_questions`) after each of these calls as well, and answer
    them as long as they are wanted (`is_wanted`); then `take_due` again.  Not thread-safe; never
    waits.

    Args:
        script: What the model says.
        kind: What the session is for: `REALTIME` or `TRANSCRIPTION`.
        model: The model the client asked for; any name is served.
        new_id: Makes ids: a function from a prefix to an id that was never made before.
            `sequential_ids()` when None.
        expires_after: Seconds until the session ends with an error and close code 1001; infinite
            for never.
        epoch: What the clock's zero is in seconds since 1970, for `expires_at`, the one time on the
            wire that is absolute.
        has_agent: Ask what to answer to the turns for which the script has no reply.
        has_ears: Ask what the user says in audio for which the script has no transcript, when
            somebody needs to know: a transcription that is configured, the agent, or a reply with a
            predicate.

    Raises:
        LocalProtocolError: The kind of session is not simulated.
    """

    def __init__(
        self,
        script: Script,
        *,
        kind: SessionKind = SessionKind.REALTIME,
        model: str = DEFAULT_MODEL,
        new_id: Callable[[str], str] | None = None,
        expires_after: float = 3600.0,
        epoch: float = 0.0,
        has_agent: bool = False,
        has_ears: bool = False,
    ) -> None:
        if kind is SessionKind.TRANSLATION:
            raise LocalProtocolError(
                "this server has realtime and transcription sessions; for translation there is SimulatedTranslator"
            )
        super().__init__(
            kind=kind, model=model, new_id=new_id, expires_after=expires_after, epoch=epoch
        )
        self._performance = script.perform()
        self._session = initial_session(
            kind, session_id=self._make_id("sess_"), model=model, expires_at=None
        )
        self._conversation = ServerConversation(self._make_id("conv_"))
        self._hosted = HostedTools(self._performance.mcp_servers, self._conversation, self._out)
        self._context = Context(self._conversation)
        self._input = InputAudioBuffer(self._input_format, detection_of(self._session))
        self._turn_item: str | None = None
        """Id of the item that the present turn will be."""
        self._silence: Task | None = None
        """The wait for a user who says nothing."""
        self._transcriptions: list[RunningTranscription] = []
        self._responses: list[RunningResponse] = []
        self._active: RunningResponse | None = None
        self.has_agent = has_agent
        """Whether somebody answers `AnswerWanted`.  To be set before `connect`."""
        self.has_ears = has_ears
        """Whether somebody answers `TranscriptWanted`.  To be set before `connect`."""
        self._questions: list[Question] = []
        self._hearing = Hearing(self._questions.append)
        self._undecided: list[_Undecided] = []

    def _greet(self, expires_at: int | None) -> None:
        self._session = attrs.evolve(self._session, expires_at=expires_at)
        self._out.send(SessionCreated(event_id=self._out.event_id(), session=self._session))

    # --- time -------------------------------------------------------------------------------------

    def _next_step(self) -> float:
        return min(map(_due, self._running), default=math.inf)

    def _step(self) -> None:
        min(self._running, key=_due).advance()
        self._forget_finished()

    @property
    def _running(self) -> list[Task]:
        waiting = [] if self._silence is None else [self._silence]
        return [*self._transcriptions, *self._hosted.tasks, *self._responses, *waiting]

    def _forget_finished(self) -> None:
        self._transcriptions = [
            transcription for transcription in self._transcriptions if transcription.due is not None
        ]
        self._hosted.forget_finished()
        self._responses = [response for response in self._responses if response.due is not None]
        if self._silence is not None and self._silence.due is None:
            self._silence = None
        if self._active is not None and self._active not in self._responses:
            finished, self._active = self._active, None
            self._wait_for_user(finished)

    def _new_id(self, prefix: str) -> str:
        """An id; for items, one that no client has taken."""
        new_id = self._make_id(prefix)
        while prefix == "item_" and self._conversation.find(new_id) is not None:
            new_id = self._make_id(prefix)
        return new_id

    # --- questions --------------------------------------------------------------------------------

    def take_questions(self) -> tuple[Question, ...]:
        """What the server wants to know, in the order in which it came up; each question is returned once, unless it is void already."""
        questions = tuple(question for question in self._questions if self.is_wanted(question.id))
        self._questions.clear()
        return questions

    def is_wanted(self, question_id: str) -> bool:
        """Whether the server still waits for an answer, or for more of it.

        Not if the response was cancelled, has used up its tokens, or the session is over.  What the
        user said is wanted in any case, since the next response will read it.
        """
        if self._close is not None:
            return False
        return self._hearing.is_open(question_id) or self._answering(question_id) is not None

    def is_keeping_up(self, question_id: str) -> bool:
        """Whether the next piece of an answer is welcome now, because little of what came before it still waits to be said or taken."""
        response = self._answering(question_id)
        return (
            response is not None
            and response.backlog < _MAX_BACKLOG
            and len(self._out.events) < _MAX_UNTAKEN
        )

    def say(self, question_id: str, piece: Piece, now: float) -> None:
        """Go on with an answer.  Ignored if it is not wanted any more, as all of these.

        Raises:
            LocalProtocolError: This is no piece of an answer.
            RemoteProtocolError: Its audio is base64 that is not valid.
        """
        if not isinstance(piece, Say | Call):
            raise LocalProtocolError(
                f"an answer is made of Say and Call, not of {type(piece).__name__}"
            )
        is_empty = (
            isinstance(piece, Say)
            and not (piece.audio is not None and piece.audio.data)
            and not piece.text
        )
        self._advance(now)
        response = self._answering(question_id)
        if response is not None and not is_empty:
            response.say(piece, self._now)

    def answer_ends(self, question_id: str, now: float) -> None:
        """That was the whole answer; it may have no piece at all."""
        self._end_answer(question_id, now)

    def answer_fails(self, question_id: str, failure: Failure, now: float) -> None:
        """There is no answer, or no more of it: the response says what it has, and fails."""
        self._end_answer(question_id, now, failure)

    def transcription_ends(self, question_id: str, words: str | None, now: float) -> None:
        """Understand what the user said: these words, or none.

        Raises:
            LocalProtocolError: A predicate of the script, which had to wait for the words, failed.
        """
        self._finish_transcript(question_id, words or "", now)

    def transcription_fails(self, question_id: str, failure: Failure, now: float) -> None:
        """Nobody can tell what the user said.

        Raises:
            LocalProtocolError: As `transcription_ends`.
        """
        self._finish_transcript(question_id, failure, now)

    def _answering(self, response_id: str) -> RunningResponse | None:
        return next(
            (
                running
                for running in self._responses
                if running.id == response_id and running.is_open
            ),
            None,
        )

    def _end_answer(self, question_id: str, now: float, failure: Failure | None = None) -> None:
        self._advance(now)
        response = self._answering(question_id)
        if response is not None:
            response.end(self._now, failure)

    def _finish_transcript(self, question_id: str, outcome: str | Failure, now: float) -> None:
        self._advance(now)
        entry = self._hearing.finish(question_id)
        if entry is None or self._close is not None:
            return
        self._understand(entry, outcome)
        undecided, self._undecided = self._undecided, []
        for pending in undecided:
            self._decide_when_understood(pending)

    def _understand(self, entry: ItemEntry, outcome: str | Failure) -> None:
        """Note what the user says in an item, and tell those who wait for it."""
        self._hearing.skip(entry)
        if isinstance(outcome, str):
            entry.transcript = outcome
        for transcription in self._transcriptions:
            if transcription.entry is entry:
                transcription.finish(outcome, self._now)

    # --- client events ----------------------------------------------------------------------------

    def _obey(self, event: ClientEvent | UnknownEvent) -> None:
        match event:
            case InputAudioBufferAppend(audio=audio):
                self._append_audio(audio)
            case InputAudioBufferCommit():
                self._commit_by_hand()
            case InputAudioBufferClear():
                self._input.take()
                self._turn_item = None
                self._out.send(InputAudioBufferCleared(event_id=self._out.event_id()))
            case SessionUpdate(session=change):
                self._update(change)
            case ConversationItemCreate(item=item, previous_item_id=previous_item_id):
                self._create_item(item, previous_item_id)
            case ConversationItemDelete(item_id=item_id):
                self._conversation.remove(
                    self._conversation.get(item_id, "deleting", "item_delete_invalid_item_id")
                )
                self._out.send(
                    ConversationItemDeleted(event_id=self._out.event_id(), item_id=item_id)
                )
            case ConversationItemRetrieve(item_id=item_id):
                entry = self._conversation.get(
                    item_id, "retrieving", "item_retrieve_invalid_item_id"
                )
                self._out.send(
                    ConversationItemRetrieved(event_id=self._out.event_id(), item=entry.whole)
                )
            case ConversationItemTruncate(
                item_id=item_id, content_index=content_index, audio_end_ms=audio_end_ms
            ):
                self._conversation.get(
                    item_id, "truncating", "item_truncate_invalid_item_id"
                ).truncate(content_index, audio_end_ms)
                self._out.send(
                    ConversationItemTruncated(
                        event_id=self._out.event_id(),
                        item_id=item_id,
                        content_index=content_index,
                        audio_end_ms=audio_end_ms,
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
        session = updated_session(
            self._session,
            change,
            has_spoken=self._conversation.has_spoken,
            is_responding=self._active is not None,
        )
        tools = change.tools or () if isinstance(change, SessionConfig) else ()
        self._hosted.check(tools, "session.tools")
        before, detection = detection_of(self._session), detection_of(session)
        self._session = session
        if self._input.configure(self._input_format, detection):
            self._turn_item = None
        if idle_timeout_ms(before) != idle_timeout_ms(detection):
            self._silence = None
        self._out.send(SessionUpdated(event_id=self._out.event_id(), session=session))
        self._hosted.discover(tools, self._now)

    # --- items ------------------------------------------------------------------------------------

    def _create_item(self, item: InputItem, previous_item_id: str | None) -> None:
        checked = check_item(item, "item")
        self._conversation.check_call(checked)
        item_id = checked.id or self._new_id("item_")
        entry = ItemEntry(
            item_id, with_identity(checked, item_id, self._make_id("call_")), self._input_format
        )
        self._announce(entry, self._conversation.insert(entry, previous_item_id))
        if isinstance(checked, McpApprovalResponse):
            self._hosted.answer(checked, self._now)

    def _announce(self, entry: ItemEntry, previous: str | None) -> None:
        self._out.send(
            ConversationItemAdded(
                event_id=self._out.event_id(), item=entry.shown, previous_item_id=previous
            )
        )
        self._out.send(
            ConversationItemDone(
                event_id=self._out.event_id(), item=entry.shown, previous_item_id=previous
            )
        )

    @property
    def _input_format(self) -> AudioFormat:
        return input_of(self._session).format or PCM

    # --- input audio ------------------------------------------------------------------------------

    def _append_audio(self, audio: AudioData) -> None:
        if audio.nbytes > _MAX_APPEND:
            raise Refusal(
                f"Invalid 'audio': string too long. Expected at most {_MAX_APPEND} bytes of audio, but got {audio.nbytes} bytes instead.",
                code="string_above_max_length",
                param="audio",
            )
        for event in self._input.append(audio_bytes(audio, "audio")):
            self._advance(
                self._now
            )  # what takes no time is over before the next thing is heard, however audio is cut into appends
            if isinstance(event, SpeechStarted):
                self._start_turn(event.audio_start_ms)
            else:
                self._end_turn(event)

    def _start_turn(self, audio_start_ms: int) -> None:
        self._turn_item = self._new_id("item_")
        self._out.send(
            InputAudioBufferSpeechStarted(
                event_id=self._out.event_id(),
                audio_start_ms=audio_start_ms,
                item_id=self._turn_item,
            )
        )
        detection = detection_of(self._session)
        if (
            self._active is not None
            and detection is not None
            and detection.interrupt_response is not False
        ):
            self._active.cancel("turn_detected", self._now)
            self._forget_finished()
        self._silence = None

    def _end_turn(self, turn: TurnEnded) -> None:
        assert self._turn_item is not None, "a turn that ends has begun"
        item_id, self._turn_item = self._turn_item, None
        self._out.send(
            InputAudioBufferSpeechStopped(
                event_id=self._out.event_id(), audio_end_ms=turn.audio_end_ms, item_id=item_id
            )
        )
        self._commit(item_id, turn.audio)
        detection = detection_of(self._session)
        if detection is not None and detection.create_response is not False:
            self._respond_unasked()

    def _commit_by_hand(self) -> None:
        milliseconds = self._input.pending_ms
        if milliseconds < _MIN_COMMIT_MS:
            raise Refusal(
                f"Error committing input audio buffer: buffer too small. Expected at least {_MIN_COMMIT_MS}ms of audio, "
                f"but buffer only has {milliseconds:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        item_id, self._turn_item = self._turn_item or self._new_id("item_"), None
        self._commit(item_id, self._input.take())

    def _commit(self, item_id: str, audio: bytes, *, is_silent: bool = False) -> None:
        message = UserMessage(
            id=item_id, status="completed", content=(InputAudio(AudioData(audio)),)
        )
        entry = ItemEntry(item_id, message, self._input_format)
        previous = self._conversation.insert(entry)
        self._out.send(
            InputAudioBufferCommitted(
                event_id=self._out.event_id(), item_id=item_id, previous_item_id=previous
            )
        )
        self._announce(entry, previous)
        transcription = input_of(self._session).transcription
        if transcription is not None:
            self._transcriptions.append(
                RunningTranscription(
                    entry,
                    transcription,
                    delay=self._performance.transcription_wait(),
                    tokens_per_second=self._performance.pacing.tokens_per_second,
                    outbox=self._out,
                    now=self._now,
                )
            )
        self._listen(entry, is_silent=is_silent, is_transcribed=transcription is not None)

    def _listen(self, entry: ItemEntry, *, is_silent: bool, is_transcribed: bool) -> None:
        """Understand what the user says in an item if that is known; if not, ask for it if it is needed in any case."""
        if not (is_transcribed or self.has_agent or self.has_ears):
            return
        if is_silent:
            self._understand(entry, "")
        elif self._performance.has_transcripts or (is_transcribed and not self.has_ears):
            words = self._performance.transcribe(entry.heard_ms / 1000)
            self._understand(entry, UNINTELLIGIBLE if words is None else words)
        elif is_transcribed:
            self._hearing.listen(entry)

    # --- silence ----------------------------------------------------------------------------------

    def _wait_for_user(self, response: RunningResponse) -> None:
        """Speak up by oneself if the user says nothing after this response, and the session wants that."""
        timeout_ms = idle_timeout_ms(detection_of(self._session))
        if timeout_ms is not None and not self._input.is_speaking:
            self._silence = Task(
                self._be_silent(self._now + response.spoken_ms / 1000, timeout_ms / 1000)
            )

    def _be_silent(self, start: float, timeout: float) -> Steps:
        yield start
        start_ms = self._input.end_ms
        yield start + timeout
        end_ms = self._input.end_ms
        item_id = self._new_id("item_")
        self._out.send(
            InputAudioBufferTimeoutTriggered(
                event_id=self._out.event_id(),
                audio_start_ms=int(start_ms),
                audio_end_ms=int(end_ms),
                item_id=item_id,
            )
        )
        self._commit(item_id, self._input.take(start_ms), is_silent=True)
        detection = detection_of(self._session)
        assert detection is not None, "without turn detection nobody waits"
        # Only both settings together keep the model from ever responding by itself.
        if detection.create_response is not False or detection.interrupt_response is not False:
            self._respond_unasked()

    # --- responses --------------------------------------------------------------------------------

    def _respond_unasked(self) -> None:
        if not isinstance(self._session, RealtimeSession):
            return
        try:
            self._create_response(ResponseConfig())
        except Refusal as refusal:
            self._out.send(ErrorEvent(event_id=self._out.event_id(), error=refusal.detail(None)))

    def _create_response(self, config: ResponseConfig) -> None:
        if not isinstance(self._session, RealtimeSession):
            raise Refusal(
                "A transcription session does not create responses.", code="invalid_parameter"
            )
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
        given = (
            None
            if config.input is None
            else [self._resolve(*numbered) for numbered in enumerate(config.input)]
        )
        context = self._context.select(given, settings)
        if config.tools:
            self._hosted.discover(config.tools, self._now)
            context = self._context.select(
                given, settings
            )  # which may have a list of tools more now
        response = RunningResponse(
            settings,
            self._performance.pacing,
            read=self._context.read(
                context, settings, is_apart=is_out_of_band or given is not None
            ),
            hosted=self._hosted,
            conversation=None if is_out_of_band else self._conversation,
            outbox=self._out,
            now=self._now,
        )
        self._responses.append(response)
        if not is_out_of_band:
            self._active, self._silence = response, None
        tool_choice = (
            config.tool_choice
            if config.tool_choice is not None
            else self._session.tool_choice or "auto"
        )
        if self.has_ears and self._performance.goes_by_words:
            for entry in context:
                self._hearing.listen(entry)
        self._decide_when_understood(_Undecided(response, context, settings, tool_choice))

    def _decide_when_understood(self, pending: _Undecided) -> None:
        if self._performance.goes_by_words and any(map(self._hearing.awaits, pending.context)):
            self._undecided.append(pending)
        elif pending.response.is_open:  # it may have been cancelled while it waited
            self._decide(pending)

    def _decide(self, pending: _Undecided) -> None:
        """Let a response say what the script has for it, or else what the agent answers, or else something of one's own."""
        turn = _turn(pending)
        reply = (
            self._performance.take_reply(turn) if self.has_agent else self._performance.answer(turn)
        )
        if reply is None:
            self._questions.append(AnswerWanted(id=pending.response.id, turn=turn))
        else:
            pending.response.perform(self._hosted.offered(reply, pending.settings.tools), self._now)

    def _resolve(self, index: int, item: InputItem) -> ItemEntry:
        param = f"response.input[{index}]"
        if isinstance(item, ItemReference):
            entry = self._conversation.find(item.id)
            if entry is None:
                raise Refusal(
                    f"Invalid '{param}.id': the item with id '{item.id}' does not exist.",
                    code="invalid_value",
                    param=f"{param}.id",
                )
            return entry
        return ItemEntry(item.id or "", check_item(item, param), self._input_format)

    def _cancel_response(self, response_id: str | None) -> None:
        if response_id is None:
            response = self._active
        else:
            response = next(
                (running for running in self._responses if running.id == response_id), None
            )
        if response is None:
            raise Refusal(
                "Cancellation failed: no active response found", code="response_cancel_not_active"
            )
        response.cancel("client_cancelled", self._now)
        self._forget_finished()


def _due(running: Task) -> float:
    return math.inf if running.due is None else running.due


def _turn(pending: _Undecided) -> Turn:
    context, settings = pending.context, pending.settings
    heard = next(
        (entry.heard_ms for entry in reversed(context) if isinstance(entry.item, UserMessage)), 0.0
    )
    return Turn(
        items=tuple(entry.understood for entry in context),
        modality=settings.modality,
        instructions=settings.instructions,
        tools=settings.tools,
        tool_choice=pending.tool_choice,
        max_output_tokens=settings.max_output_tokens
        if isinstance(settings.max_output_tokens, int)
        else None,
        metadata=settings.metadata,
        heard_seconds=heard / 1000,
    )
