"""The simulated service, without a network and without a clock.

Client events go in, and server events come out when their time has come.  Owns one connection's
configuration, the user's turns, and the dispatch of client events to the rooms that obey them.
Time is passed in, ids come from a factory, what the model says comes from a `Script`; so the same
events at the same times always give the same answers.  For what the script does not say, somebody
outside may be asked: an agent, and ears.

Theory of operation.  Whatever arrives is obeyed at once and answered into the outbox, after
everything that was due until then.  Responses, transcriptions and what happens on MCP servers take
their time: each is a generator that the server lets run when its next step is due (see
`lifecycle.Task`).  What has not been said yet can therefore still be taken back, which is what
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
from typing import Final

import attrs

from realtime_trio._protocol.kinds import DEFAULT_MODEL, SessionKind
from realtime_trio.audio import AudioData
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    ClientEvent,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    ErrorEvent,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
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
)
from realtime_trio.simulator.roles import Piece, Say
from realtime_trio.simulator.script.script import Call, Failure, Performance, Script
from realtime_trio.simulator.service.configuration import (
    detection_of,
    idle_timeout_ms,
    initial_session,
    input_format,
    input_of,
    updated_session,
)
from realtime_trio.simulator.service.conversation import ServerConversation
from realtime_trio.simulator.service.input_audio import InputAudioBuffer, TurnEnded
from realtime_trio.simulator.service.item_entry import KnownItem
from realtime_trio.simulator.service.item_requests import ItemRequests
from realtime_trio.simulator.service.lifecycle import Lifecycle, Steps, Task
from realtime_trio.simulator.service.mcp import HostedTools
from realtime_trio.simulator.service.questions import Question, Questions
from realtime_trio.simulator.service.refusal import (
    SUPPORTED_TYPES,
    Refusal,
    audio_bytes,
    explain,
    unsupported,
)
from realtime_trio.simulator.service.response import RunningResponse
from realtime_trio.simulator.service.running_responses import RunningResponses
from realtime_trio.simulator.service.turn_detection import SpeechStarted
from realtime_trio.simulator.service.understanding import Understanding

_MIN_COMMIT_MS = 100
"""Milliseconds that a client may commit at least; its error says so on the live wire."""
_MAX_APPEND = 15 * 2**20
"""Bytes of audio in one event, by the specification.  Which error the service gives for more was
never seen."""
MAX_INPUT_AUDIO: Final = 32 * 2**20
"""Bytes of audio that may wait for a commit: eleven minutes of PCM.  Whether the service has such a
limit is not known."""
_MAX_BACKLOG = 8
"""Pieces of an answer that may wait to be said.  Enough that an agent can prepare the next sentence
while one is being said, and few enough that it learns in time that it was interrupted."""
_MAX_UNTAKEN = 100
"""Events that may wait to be taken before agents are held back: the client may be the slow one."""


class SimulatedServer(Lifecycle):
    """The service's side of one connection.

    Call `connect` once, then `receive` for every event of the client, and `take_due` for what is to
    be sent: after each of these calls, and whenever `next_due` has come.  With `has_agent` or
    `has_ears`, take its questions (`take_questions`) after each of these calls as well, and answer
    them as long as they are wanted (`is_wanted`); then `take_due` again.  Not thread-safe; never
    waits.

    Args:
        script: What the model says; or a `Performance` of it, for a connection that goes on where
            another one was lost.
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
        max_input_audio: Bytes of audio that the client may append without committing or clearing
            it; more is refused.

    Raises:
        LocalProtocolError: The kind of session is not simulated.
    """

    def __init__(
        self,
        script: Script | Performance,
        *,
        kind: SessionKind = SessionKind.REALTIME,
        model: str = DEFAULT_MODEL,
        new_id: Callable[[str], str] | None = None,
        expires_after: float = 3600.0,
        epoch: float = 0.0,
        has_agent: bool = False,
        has_ears: bool = False,
        max_input_audio: int = MAX_INPUT_AUDIO,
    ) -> None:
        if kind is SessionKind.TRANSLATION:
            raise LocalProtocolError(
                "this server has realtime and transcription sessions; "
                "for translation there is SimulatedTranslator"
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
        self._items = ItemRequests(self._conversation, self._hosted, self._out)
        self._questions = Questions(has_agent, has_ears)
        self._understanding = Understanding(self._performance, self._questions, self._out)
        self._responses = RunningResponses(
            self._performance,
            self._conversation,
            self._hosted,
            self._understanding,
            self._questions,
            self._out,
        )
        self._input = InputAudioBuffer(input_format(self._session), detection_of(self._session))
        self._max_input_audio = max_input_audio
        self._turn_item: str | None = None
        """Id of the item that the present turn will be."""
        self._silence: Task | None = None
        """The wait for a user who says nothing."""

    def _greet(self, expires_at: int | None) -> None:
        # Only this: `conversation.created`, which the older dialect knew, is not sent any more.  To
        # its clients somebody else says it, with the id below.
        self._session = attrs.evolve(self._session, expires_at=expires_at)
        self._out.send(SessionCreated(event_id=self._out.event_id(), session=self._session))

    @property
    def conversation_id(self) -> str:
        """The id of the conversation, as its responses name it."""
        return self._conversation.id

    @property
    def items(self) -> tuple[KnownItem, ...]:
        """The conversation as the server has it, in order.

        With what the user is understood to say, whether clients were told or not.
        """
        return tuple(entry.understood for entry in self._conversation.entries)

    # --- time -------------------------------------------------------------------------------------

    def _next_step(self) -> float:
        # A handful of tasks at most, so looking through all of them is cheaper than a heap.
        return min(map(_due, self._running), default=math.inf)

    def _step(self) -> None:
        min(self._running, key=_due).advance()
        self._forget_finished()

    @property
    def _running(self) -> list[Task]:
        waiting = [] if self._silence is None else [self._silence]
        # Of what is due at the same time the first goes on first: transcripts come before answers.
        return [
            *self._understanding.tasks,
            *self._hosted.tasks,
            *self._responses.tasks,
            *waiting,
        ]

    def _forget_finished(self) -> None:
        self._understanding.forget_finished()
        self._hosted.forget_finished()
        if self._silence is not None and self._silence.due is None:
            self._silence = None
        finished = self._responses.forget_finished()
        if finished is not None:
            self._wait_for_user(finished)

    def _new_id(self, prefix: str) -> str:
        """An id; for items, one that no client has taken.

        Ids count up in the same way in every session, so a client that restores the items of an
        earlier one brings ids that this one would make.
        """
        new_id = self._make_id(prefix)
        while prefix == "item_" and self._conversation.find(new_id) is not None:
            new_id = self._make_id(prefix)
        return new_id

    # --- questions --------------------------------------------------------------------------------

    @property
    def has_agent(self) -> bool:
        """Whether somebody answers `AnswerWanted`.  To be set before `connect`."""
        return self._questions.has_agent

    @has_agent.setter
    def has_agent(self, has_agent: bool) -> None:
        self._questions.has_agent = has_agent

    @property
    def has_ears(self) -> bool:
        """Whether somebody answers `TranscriptWanted`.  To be set before `connect`."""
        return self._questions.has_ears

    @has_ears.setter
    def has_ears(self, has_ears: bool) -> None:
        self._questions.has_ears = has_ears

    def take_questions(self) -> tuple[Question, ...]:
        """What the server wants to know, in the order in which it came up.

        Each question is returned once, unless it is void already.
        """
        return tuple(question for question in self._questions.take() if self.is_wanted(question.id))

    def is_wanted(self, question_id: str) -> bool:
        """Whether the server still waits for an answer, or for more of it.

        Not if the response was cancelled, has used up its tokens, or the session is over.  What the
        user said is wanted in any case, since the next response will read it.
        """
        if self._close is not None:
            return False
        return (
            self._understanding.is_open(question_id)
            or self._responses.answering(question_id) is not None
        )

    def is_keeping_up(self, question_id: str) -> bool:
        """Whether the next piece of an answer is welcome now.

        It is if little of what came before it still waits to be said, or to be taken.
        """
        response = self._responses.answering(question_id)
        return (
            response is not None
            and response.backlog < _MAX_BACKLOG
            and len(self._out.events) < _MAX_UNTAKEN
        )

    def say(self, question_id: str, piece: Piece, now: float) -> None:
        """Go on with an answer.  Ignored if it is not wanted any more, as all of these.

        Raises:
            LocalProtocolError: This is not a piece of an answer.
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
        response = self._responses.answering(question_id)
        # An empty piece would open a message in which nothing is said.
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

    def _end_answer(self, question_id: str, now: float, failure: Failure | None = None) -> None:
        self._advance(now)
        response = self._responses.answering(question_id)
        if response is not None:
            response.end(self._now, failure)

    def _finish_transcript(self, question_id: str, outcome: str | Failure, now: float) -> None:
        self._advance(now)
        entry = (
            None
            if self._close is not None
            else self._understanding.finish(question_id, outcome, self._now)
        )
        if entry is not None:
            self._responses.decide_waiting(entry, self._now)

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
            case ConversationItemCreate():
                self._items.create(event, input_format(self._session), self._now)
            case ConversationItemDelete(item_id=item_id):
                self._items.delete(item_id)
            case ConversationItemRetrieve(item_id=item_id):
                self._items.retrieve(item_id)
            case ConversationItemTruncate():
                self._items.truncate(event)
            case ResponseCreate(response=config):
                self._create_response(config or ResponseConfig())
            case ResponseCancel(response_id=response_id):
                self._responses.cancel(response_id, self._now)
                self._forget_finished()
            case UnknownEvent():
                raise explain(event)
            case _:
                raise unsupported(event.type, SUPPORTED_TYPES, "type")

    def _update(self, change: SessionConfig | TranscriptionSessionConfig) -> None:
        session = updated_session(
            self._session,
            change,
            has_spoken=self._conversation.has_spoken,
            is_responding=self._responses.is_active,
        )
        tools = change.tools or () if isinstance(change, SessionConfig) else ()
        # The last check: an update that is wrong anywhere changes nothing at all.
        self._hosted.check(tools, "session.tools")
        before, detection = detection_of(self._session), detection_of(session)
        self._session = session
        if self._input.configure(input_format(self._session), detection):
            self._turn_item = None
        # Whoever names the same timeout again does not begin the wait anew, nor end it.
        if idle_timeout_ms(before) != idle_timeout_ms(detection):
            self._silence = None
        self._out.send(SessionUpdated(event_id=self._out.event_id(), session=session))
        # The listing begins after the acknowledgement, which does not wait for it.
        self._hosted.discover(tools, self._now)

    # --- input audio ------------------------------------------------------------------------------

    def _append_audio(self, audio: AudioData) -> None:
        if audio.nbytes > _MAX_APPEND:
            raise Refusal(
                f"Invalid 'audio': string too long. Expected at most {_MAX_APPEND} bytes of audio, "
                f"but got {audio.nbytes} bytes instead.",
                code="string_above_max_length",
                param="audio",
            )
        if self._input.size + audio.nbytes > self._max_input_audio:
            # That there is a limit, and how it is told, is our choice.
            raise Refusal(
                f"The input audio buffer is full: it holds at most {self._max_input_audio} bytes. "
                "Commit or clear it first.",
                code="input_audio_buffer_full",
            )
        for event in self._input.append(audio_bytes(audio, "audio")):
            # What takes no time is over before the next thing is heard, so that it makes no
            # difference how a client cuts its audio into appends.
            self._advance(self._now)
            if isinstance(event, SpeechStarted):
                self._start_turn(event.audio_start_ms)
            else:
                self._end_turn(event)

    def _start_turn(self, audio_start_ms: int) -> None:
        # The turn has the id of its item from the first event on, long before there is an item.
        self._turn_item = self._new_id("item_")
        self._out.send(
            InputAudioBufferSpeechStarted(
                event_id=self._out.event_id(),
                audio_start_ms=audio_start_ms,
                item_id=self._turn_item,
            )
        )
        detection = detection_of(self._session)
        # `is not False` here and below: what is None has the service's default, which is true.
        if detection is not None and detection.interrupt_response is not False:
            self._responses.interrupt(self._now)
            self._forget_finished()
        # After that, because the end of the answer has begun the wait for a silent user.
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
                "Error committing input audio buffer: buffer too small. "
                f"Expected at least {_MIN_COMMIT_MS}ms of audio, "
                f"but buffer only has {milliseconds:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )
        # While the user speaks, this takes the turn and its id; no `speech_stopped` follows, as it
        # was seen on the live wire.  Responses come by themselves only to turns that end.
        item_id, self._turn_item = self._turn_item or self._new_id("item_"), None
        self._commit(item_id, self._input.take())

    def _commit(self, item_id: str, audio: bytes, *, is_silent: bool = False) -> None:
        entry = self._items.commit(item_id, audio, input_format(self._session))
        self._understanding.commit(
            entry, input_of(self._session).transcription, self._now, is_silent=is_silent
        )

    # --- silence ----------------------------------------------------------------------------------

    def _wait_for_user(self, response: RunningResponse) -> None:
        """Speak up if the user says nothing after this response, and the session wants that."""
        timeout_ms = idle_timeout_ms(detection_of(self._session))
        if timeout_ms is not None and not self._input.is_speaking:
            self._silence = Task(
                self._be_silent(self._now + response.spoken_ms / 1000, timeout_ms / 1000)
            )

    def _be_silent(self, start: float, timeout: float) -> Steps:
        # Speech is sent faster than it plays: the silence begins when the user has heard all of it.
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

    def _create_response(self, config: ResponseConfig) -> None:
        if not isinstance(self._session, RealtimeSession):
            raise Refusal(
                "A transcription session does not create responses.", code="invalid_parameter"
            )
        self._responses.create(self._session, config, self._now)
        # Its end will begin another wait; what is out of band is not heard, and leaves this one be.
        if config.conversation != "none":
            self._silence = None

    def _respond_unasked(self) -> None:
        """Answer a turn, as `response.create` would."""
        if not isinstance(self._session, RealtimeSession):
            return
        try:
            self._create_response(ResponseConfig())
        except Refusal as refusal:
            # While another response is active this "may fail", says the specification, and not
            # how.  Our choice is the error that a client would get, which names no event of its.
            self._out.send(ErrorEvent(event_id=self._out.event_id(), error=refusal.detail(None)))


def _due(running: Task) -> float:
    return math.inf if running.due is None else running.due
