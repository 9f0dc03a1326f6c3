"""Whose turn it is: when a `response.create` may go out, and which response answers which request.

Owns the order of the responses of one session and the tool answers that still await a reply.  Pure:
it is told what is wanted and what happened, and says what to send and whom to tell.  It refuses to
know what waiting is, what a tool is, or what a response says.
"""

# Theory of operation  The default conversation has one active response at a time, and a create that
# comes too early is refused.  So there is a guard in two halves, `_asked` (our create is under way)
# and `_active` (a response runs), and `state` is nothing but the two together:  our create handed
# out   created (ours)   created (not ours)   done of the active one   our create refused FREE
# ASKED                   -                TAKEN                -                        - ASKED
# -                       TAKEN            CONTESTED            -                        FREE, or
# TAKEN (*) TAKEN       -                       -                TAKEN (superseded)   FREE
# - CONTESTED   -                       TAKEN            CONTESTED            ASKED
# TAKEN  A create goes out in FREE alone.  CONTESTED is the race with turn detection, which starts
# responses by itself: our create will be refused if it arrives before that response is done, and
# taken otherwise.  A refusal because of an active response is no failure: the request takes its
# place at the head of the queue again.  (*) If no response is known that explains the refusal, we
# missed its beginning: a nameless one is taken to be active, and the next `done` ends it.  If the
# one that explains it has ended meanwhile, we try again at once.  Our creates are recognised by a
# pair of their metadata, which the server repeats.  Until it has done so once, the first response
# that begins after a create is taken for its answer, unless turn detection owes one; a refusal
# afterwards proves that guess wrong.  Tool answers.  An answer is *unread* from when it is sent
# until a response is done that began after it: one that we asked for later, or any that began after
# the server had acknowledged the answer.  A follow-up is owed while a response is done, all of its
# calls are answered and some answer is unread.  So whether one is owed is never remembered, always
# derived: it cannot be forgotten by a refusal or be sent once per call, and the reply to the user's
# interruption, which reads the answers too, makes it superfluous.  Calls on MCP servers are run by
# the service, after the response that made them is done, and it does not go on by itself.  So they
# are calls like others, answered when the service says so, or when their approval is denied: a call
# that was asked for first goes by the id of that request.  Those of a response that did not
# complete are not waited for.  The user's turn.  While turn detection is going to start a response
# (`_user` is not SILENT), follow-ups wait for it: they would talk over the user and then make that
# response fail.  They wait until a response is done, or it is clear that none comes: the audio was
# cleared, committed by the client, or an error that names nobody says so.  What the application
# asks for waits neither for the user nor for tools.

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Final

from attrs import define, evolve, field, frozen

from realtime_trio._state.recent import Recent
from realtime_trio.errors import LocalProtocolError, ServerError
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreated,
    ConversationItemDone,
    ErrorDetail,
    ErrorEvent,
    FunctionCall,
    FunctionCallOutput,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    Item,
    JsonObject,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    Response,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseStatusDetails,
    SemanticVad,
    ServerEvent,
    ServerVad,
    SystemMessage,
    TurnDetection,
    UnknownEvent,
)

METADATA_KEY: Final = "client_event_id"
"""The metadata pair by which a response tells which create it answers."""
METADATA_PAIRS: Final = 16
"""How many pairs the protocol allows; a request that needs them all is recognised by all of them."""
_ALREADY_ACTIVE: Final = "conversation_already_has_active_response"
_REMEMBERED: Final = (
    64  # ended responses whose stragglers we know; they trail by a round trip, not by minutes
)


class State(enum.Enum):
    """Who has the turn in the default conversation."""

    FREE = "free"  # nobody: a create may go out
    ASKED = "asked"  # our create is under way
    TAKEN = "taken"  # a response is active
    CONTESTED = "contested"  # a response is active that is not ours, and our create is under way
    CLOSED = "closed"  # the session has ended


class _User(enum.Enum):
    """How far turn detection is with the user's turn, as long as it is going to answer it."""

    SILENT = enum.auto()
    SPEAKING = enum.auto()
    STOPPED = enum.auto()  # ... and the commit is to come
    DUE = enum.auto()  # committed: a response is to come, and while it runs


_HEARD: Final[dict[type[ServerEvent], _User]] = {
    InputAudioBufferSpeechStarted: _User.SPEAKING,
    InputAudioBufferSpeechStopped: _User.STOPPED,
    InputAudioBufferTimeoutTriggered: _User.STOPPED,
    InputAudioBufferCleared: _User.SILENT,
}


@frozen(eq=False)
class ResponseRequest:
    """One wish for a response; what happens to it is told by naming it."""

    event: ResponseCreate
    """What to send, with an event id of its own."""
    is_follow_up: bool = False
    """Whether it was made here, so that the model replies to the answers of its tools."""

    @property
    def is_out_of_band(self) -> bool:
        """Whether it stays out of the conversation and so needs no turn."""
        return self.event.response is not None and self.event.response.conversation == "none"


@frozen
class Send:
    """Post this now, before anything else is posted."""

    event: ResponseCreate | ResponseCancel


@frozen
class Started:
    """The request is being answered.  Comes a second time if the server then said that this response was not the request's."""

    request: ResponseRequest
    response_id: str


@frozen
class Finished:
    """The request's own response is done, with whatever status.  May come without `Started`."""

    request: ResponseRequest
    response: Response


@frozen
class Concluded:
    """Nothing follows any more: this is the last response to the request, after all rounds of tools.  Not for follow-ups."""

    request: ResponseRequest
    response: Response


@frozen
class Failed:
    """The request, or the follow-up to its tools, was refused, or the session ended."""

    request: ResponseRequest
    error: Exception


@frozen
class Withdrawn:
    """The request was abandoned before the server had taken it: there is no response."""

    request: ResponseRequest


Action = Send | Started | Finished | Concluded | Failed | Withdrawn
Actions = tuple[Action, ...]


@define(eq=False)
class _Asked:
    """A create under way."""

    request: ResponseRequest
    event: ResponseCreate
    covers: frozenset[str]  # calls whose answers were sent before it
    is_abandoned: bool = False
    saw_an_end: bool = False  # a response ended while it was under way

    def is_named_by(self, metadata: JsonObject | None) -> bool:
        if not metadata:
            return False
        return (
            metadata.get(METADATA_KEY) == self.event.event_id
            or (self.event.response or ResponseConfig()).metadata == metadata
        )


@define(eq=False)
class _Run:
    """One response, from its beginning until its calls are answered and the answers are read."""

    id: str = ""
    asked: _Asked | None = None
    is_guess: bool = False  # `asked` was inferred from the order of things
    is_aside: bool = False
    is_stopped: bool = False
    reads: frozenset[str] = (
        frozenset()
    )  # calls whose answers the server had acknowledged when it began
    pending: set[str] = field(factory=set)
    hosted: set[str] = field(factory=set)  # those of the pending ones that the service runs
    calls: set[str] = field(factory=set)  # all of them
    unread: dict[str, bool] = field(
        factory=dict
    )  # answered call, or news of one -> whether the server has acknowledged it
    origins: list[ResponseRequest] = field(
        factory=list
    )  # requests that wait for the end of all this
    response: Response | None = None  # once it is done

    @property
    def is_complete(self) -> bool:
        return self.response is not None and not self.pending and not self.unread


class Turns:
    """The turns of one session.  Every method returns what is to be done now, in order.

    Args:
        new_id: Makes the ids of the events that originate here: called with a prefix.
    """

    def __init__(self, new_id: Callable[[str], str]) -> None:
        self._new_id = new_id
        self._is_closed = False
        self._queue: deque[ResponseRequest] = deque()
        self._under_way: list[
            _Asked
        ] = []  # creates without an answer: at most one for the conversation, any number out of band
        self._active: _Run | None = None
        self._running: list[_Run] = []
        self._rounds: list[
            _Run
        ] = []  # responses with calls, running or done, until the answers are read
        self._calls: set[str] = set()
        self._approved: dict[
            str, str
        ] = {}  # item of a call on an MCP server -> the request for its approval
        self._ended = Recent(_REMEMBERED)
        self._user = _User.SILENT
        self._creates = False  # whether turn detection starts responses
        self._echoes = False  # whether the server repeats metadata, as far as we have seen

    @property
    def state(self) -> State:
        """Who has the turn."""
        if self._is_closed:
            return State.CLOSED
        if self._asked is None:
            return State.FREE if self._active is None else State.TAKEN
        return State.ASKED if self._active is None else State.CONTESTED

    @property
    def _asked(self) -> _Asked | None:
        return next((asked for asked in self._under_way if not asked.request.is_out_of_band), None)

    # --- what we want -----------------------------------------------------------------------------

    def want_response(self, request: ResponseRequest) -> Actions:
        """Ask for a response: sent as soon as it is its turn, at once if it is out of band.

        Raises:
            LocalProtocolError: The session has ended, or the event has no id or that of another
                open request.
        """
        event_id = request.event.event_id
        if self._is_closed:
            raise LocalProtocolError("no response can be asked for: the session has ended")
        if not event_id or any(event_id == other.event.event_id for other in self._unsettled()):
            raise LocalProtocolError(
                f"response.create needs an event id that no other open request has, not {event_id!r}"
            )
        if request.is_out_of_band:
            return self._hand_out(request)
        self._queue.append(request)
        return self._advance()

    def cancel(self, response_id: str | None = None) -> Actions:
        """Stop a response, by default whatever has the turn: then also the create under way, as soon as its response begins.

        Requests that were not sent yet stay, and so do follow-ups that are owed.  Nothing happens
        if the response is over or being stopped.
        """
        if response_id is None and (asked := self._asked) is not None:
            asked.is_abandoned = True
        run = self._active if response_id is None else self._find(response_id)
        return () if run is None else self._stop(run)

    def abandon(self, request: ResponseRequest) -> Actions:
        """Nobody wants this response any more: withdraw the request or stop its response.  Nothing happens if it is settled."""
        if request in self._queue:
            self._queue.remove(request)
            return (Withdrawn(request),)
        for asked in self._under_way:
            if asked.request is request:
                asked.is_abandoned = True
        run = next(
            (
                run
                for run in self._running
                if run.asked is not None and run.asked.request is request
            ),
            None,
        )
        return () if run is None else self._stop(run)

    # --- what happened ----------------------------------------------------------------------------

    def configure(self, turn_detection: TurnDetection | None) -> Actions:
        """Note the turn detection in force, as the server reports it."""
        match turn_detection:
            case ServerVad() | SemanticVad():
                self._creates = turn_detection.create_response is not False
            case _:
                self._creates = turn_detection is not None
        self._hear(self._user)
        return self._advance()

    def call_added(self, call_id: str) -> None:
        """Note a call that no response of this session made, e.g. one from a restored history.

        Raises:
            LocalProtocolError: The call is known.
        """
        if call_id in self._calls:
            raise LocalProtocolError(f"call {call_id!r} is known already")
        self._add_call(_Run(response=Response()), call_id)

    def awaits(self, call_id: str) -> bool:
        """Whether this is a call of the model's that nobody has answered."""
        return any(call_id in run.pending for run in self._rounds)

    def call_answered(self, call_id: str, *, respond: bool = True) -> Actions:
        """Note that the output of a call has been posted; the model replies once all calls of that response are answered.

        Args:
            call_id: A call that a response made, which was done with status `completed`.
            respond: Whether the model shall reply to this one.

        Raises:
            LocalProtocolError: There is no such call, or it is answered.
        """
        if self._is_closed:
            return ()
        run = next((run for run in self._rounds if call_id in run.pending), None)
        if run is None:
            raise LocalProtocolError(
                f"call {call_id!r} {'is answered already' if call_id in self._calls else 'was never made'}"
            )
        run.pending.remove(call_id)
        if respond and not run.is_aside:
            run.unread[call_id] = False
        return (*self._conclude(run), *self._advance())

    def news_told(self, call_id: str, item_id: str) -> Actions:
        """Note that news of a call that had its answer have been posted as a message; the model replies to them as to an answer.

        Args:
            call_id: The call.
            item_id: The system message.
        """
        if self._is_closed:
            return ()
        run = next((run for run in self._rounds if call_id in run.calls), None)
        if run is None:
            run = _Run(response=Response())
            self._rounds.append(run)
        run.unread[item_id] = False
        return self._advance()

    def disconnected(self, error: Exception) -> Actions:
        """The connection is gone: settle every request with `error`.  Idempotent."""
        failed = tuple(Failed(request, error) for request in self._unsettled())
        self._is_closed = True
        self._active = None
        for collection in (self._queue, self._under_way, self._running, self._rounds):
            collection.clear()
        return failed

    def apply(self, event: ServerEvent) -> Actions:
        """Take note of a server event.  Never raises, whatever the server sends; what does not concern the turns is ignored."""
        if self._is_closed:
            return ()
        actions: Actions = ()
        match event:
            case ResponseCreated(response=response):
                actions = self._begin(response)
            case ResponseDone(response=response):
                actions = self._end(response)
            case UnknownEvent(type=ResponseCreated.type, raw=raw):
                actions = self._begin(_salvage(raw))
            case UnknownEvent(type=ResponseDone.type, raw=raw):
                actions = self._end(_salvage(raw))
            case ResponseOutputItemDone(
                response_id=response_id,
                item=FunctionCall(call_id=str(call_id), status="completed" | None),
            ):
                actions = self._note_call(response_id, call_id)
            case ResponseOutputItemAdded(response_id=response_id, item=McpCall() as call):
                actions = self._note_hosted(response_id, call)
            case ResponseOutputItemDone(
                response_id=response_id, item=McpCall() | McpApprovalRequest() as call
            ):
                actions = self._note_hosted(response_id, call)
            case (
                ConversationItemAdded(item=McpCall() as call)
                | ConversationItemDone(item=McpCall() as call)
            ):
                actions = self._note_hosted(None, call)
            case ResponseMcpCallCompleted(item_id=item_id) | ResponseMcpCallFailed(item_id=item_id):
                actions = self._hosted_answered(item_id)
            case ConversationItemAdded(
                item=McpApprovalResponse(approval_request_id=request_id, approve=False)
            ):
                actions = self._hosted_answered(request_id)
            case (
                ConversationItemAdded(item=item)
                | ConversationItemDone(item=item)
                | ConversationItemCreated(item=item)
            ):
                self._acknowledge(item)
            case ErrorEvent(error=detail):
                actions = self._refuse(detail)
            # turn detection answers what it committed itself, and that was announced
            case InputAudioBufferCommitted():
                self._hear(_User.DUE if self._user is _User.STOPPED else _User.SILENT)
            case other:
                self._hear(_HEARD.get(type(other), self._user))
        return (*actions, *self._advance())

    # --- sending ----------------------------------------------------------------------------------

    def _advance(self) -> Actions:
        """Hand out the next create if there is one and it may go: the reply to the tools first, it belongs to an older turn."""
        if self.state is not State.FREE:
            return ()
        if self._user is _User.SILENT and any(
            run.unread and run.response is not None and not run.pending for run in self._rounds
        ):
            request = ResponseRequest(
                ResponseCreate(event_id=self._new_id("evt_")), is_follow_up=True
            )
        elif self._queue:
            request = self._queue.popleft()
        else:
            return ()
        return self._hand_out(request)

    def _hand_out(self, request: ResponseRequest) -> Actions:
        event = _mark(request.event)
        self._under_way.append(
            _Asked(
                request, event, frozenset(call_id for run in self._rounds for call_id in run.unread)
            )
        )
        return (Send(event),)

    def _stop(self, run: _Run) -> Actions:
        if run.is_stopped or (
            run.is_aside and not run.id
        ):  # without an id, a cancel means the conversation's response
            return ()
        run.is_stopped = True
        return (Send(ResponseCancel(event_id=self._new_id("evt_"), response_id=run.id or None)),)

    # --- responses --------------------------------------------------------------------------------

    def _begin(self, response: Response, *, is_seen: bool = True) -> Actions:
        if response.id and (response.id in self._ended or self._find(response.id) is not None):
            return ()
        named = self._named(response)
        acknowledged = frozenset(
            call_id
            for run in self._rounds
            for call_id, is_acknowledged in run.unread.items()
            if is_acknowledged
        )
        run = self._start(response, named or self._guess(response), is_guess=named is None)
        run.reads = acknowledged if is_seen else frozenset()
        if run.asked is None:
            return ()
        return (
            Started(run.asked.request, run.id),
            *(self._stop(run) if run.asked.is_abandoned else ()),
        )

    def _start(self, response: Response, asked: _Asked | None, *, is_guess: bool) -> _Run:
        run = _Run(response.id, is_guess=is_guess)
        if asked is not None:
            self._assign(run, asked)
        elif self._active is not None:
            run.is_aside = (
                response.conversation_id is None
            )  # somebody else's; in the conversation it could not run now
        self._running.append(run)
        if not run.is_aside:
            self._active = run
        return run

    def _assign(self, run: _Run, asked: _Asked) -> None:
        self._under_way.remove(asked)
        run.asked = asked
        run.is_aside = asked.request.is_out_of_band

    def _end(self, response: Response) -> Actions:
        run = self._ending(response)
        self._ended.add(response.id or (run.id if run is not None else ""))
        if (asked := self._asked) is not None and (run is None or not run.is_aside):
            asked.saw_an_end = True
        if self._user is _User.DUE and (run is None or run is self._active):
            self._hear(_User.SILENT)  # this was the response, or it was in its way
        if run is None:
            return ()
        self._running.remove(run)
        run.response = response
        if (
            run.is_aside and not run.is_guess
        ):  # its calls are not in the conversation, so nobody can answer them
            run.pending.clear()
        elif response.status != "completed":
            run.pending -= run.hosted
        if run is self._active:
            self._active = None
            if self._user is _User.SILENT and _is_interrupted(response):
                self._hear(_User.DUE)
        actions: Actions = ()
        reads = run.reads
        if run.asked is not None:
            request = run.asked.request
            actions = (Finished(request, response),)
            run.origins += [] if request.is_follow_up else [request]
            reads |= run.asked.covers
        if not run.is_aside:
            run.origins += self._strike(reads)
        return (*actions, *self._conclude(run))

    def _ending(self, response: Response) -> _Run | None:
        """Which response this is the end of: by id, by name, and if it has neither, the one that it must be."""
        if response.id and response.id in self._ended:
            return None
        named = self._named(response)
        run = self._find(response.id) if response.id else None
        run = run or next(
            (
                run
                for run in self._running
                if run.asked is not None and run.asked.is_named_by(response.metadata)
            ),
            None,
        )
        if run is not None and run.asked is None and named is not None:
            self._assign(run, named)
        if run is not None:
            return run
        if named is None and self._active is not None:
            return self._active if "" in (response.id, self._active.id) else None
        asked = named or self._guess(response) or (None if response.id else self._asked)
        return None if asked is None else self._start(response, asked, is_guess=named is None)

    def _find(self, response_id: str) -> _Run | None:
        return next((run for run in self._running if run.id == response_id), None)

    def _named(self, response: Response) -> _Asked | None:
        """The create that the response's metadata name."""
        asked = next(
            (asked for asked in self._under_way if asked.is_named_by(response.metadata)), None
        )
        self._echoes = self._echoes or asked is not None
        return asked

    def _guess(self, response: Response) -> _Asked | None:
        """The create that a response without a name must answer, as far as one can tell."""
        if self._echoes:
            return None
        aside = next((asked for asked in self._under_way if asked.request.is_out_of_band), None)
        if response.conversation_id is None and aside is not None:
            return aside
        return None if self._user is _User.DUE else self._asked

    # --- refusals ---------------------------------------------------------------------------------

    def _refuse(self, detail: ErrorDetail) -> Actions:
        asked = self._refused(detail.event_id)
        if (
            asked is None
        ):  # not ours; the response that turn detection owes may be what could not be created
            if detail.event_id is None and self._user is _User.DUE:
                self._hear(_User.SILENT)
            return ()
        request = asked.request
        if detail.code != _ALREADY_ACTIVE or request.is_out_of_band:
            error = ServerError(
                detail.message,
                type=detail.type,
                code=detail.code,
                param=detail.param,
                event_id=detail.event_id,
            )
            origins = self._strike(asked.covers) if request.is_follow_up else []
            return tuple(Failed(each, error) for each in (request, *origins))
        if self._active is None and not asked.saw_an_end:
            self._active = _Run()
            self._running.append(self._active)
        if asked.is_abandoned and not request.is_follow_up:
            return (Withdrawn(request),)
        if not request.is_follow_up:
            self._queue.appendleft(request)
        return ()

    def _refused(self, event_id: str | None) -> _Asked | None:
        for asked in self._under_way:
            if asked.event.event_id == event_id:
                self._under_way.remove(asked)
                return asked
        for run in self._running:
            if run.is_guess and run.asked is not None and run.asked.event.event_id == event_id:
                asked, run.asked = run.asked, None
                return asked
        return None

    # --- tools ------------------------------------------------------------------------------------

    def _note_call(self, response_id: str, call_id: str) -> Actions:
        if call_id in self._calls:
            return ()
        # A response whose beginning we did not see has begun by now; the straggler of one that
        # ended makes a round of its own.
        actions = (
            self._begin(Response(id=response_id), is_seen=False)
            if self._find(response_id) is None
            else ()
        )
        self._add_call(self._find(response_id) or _Run(response=Response()), call_id)
        return actions

    def _note_hosted(self, response_id: str | None, call: McpCall | McpApprovalRequest) -> Actions:
        name = call.id
        if isinstance(call, McpCall) and call.approval_request_id is not None:
            name = self._approved[call.id] = call.approval_request_id
        actions: Actions = ()
        if name not in self._calls and response_id is not None:
            actions = self._note_call(response_id, name)
        elif name not in self._calls:
            self._add_call(self._active or _Run(response=Response()), name)
        for run in self._rounds:
            if name in run.pending:
                run.hosted.add(name)
        if isinstance(call, McpCall) and (call.output is not None or call.error is not None):
            actions += self._hosted_answered(call.id)
        return actions

    def _hosted_answered(self, item_id: str) -> Actions:
        name = self._approved.pop(item_id, item_id)
        for run in self._rounds:
            if name in run.pending:
                run.pending.remove(name)
                if not run.is_aside:
                    run.unread[name] = True
                return self._conclude(run)
        return ()

    def _acknowledge(self, item: Item) -> None:
        name = (
            item.call_id
            if isinstance(item, FunctionCallOutput)
            else item.id
            if isinstance(item, SystemMessage)
            else None
        )
        for run in self._rounds:
            if name in run.unread:
                run.unread[name] = True

    def _add_call(self, run: _Run, call_id: str) -> None:
        self._calls.add(call_id)
        run.calls.add(call_id)
        run.pending.add(call_id)
        if run not in self._rounds:
            self._rounds.append(run)

    def _strike(self, call_ids: Collection[str]) -> list[ResponseRequest]:
        """These answers are read; whoever waited for that now waits for what read them."""
        origins: list[ResponseRequest] = []
        for run in [*self._rounds]:
            for call_id in run.unread.keys() & call_ids:
                del run.unread[call_id]
                if run.is_complete:
                    self._rounds.remove(run)
                    origins += run.origins
        return origins

    def _conclude(self, run: _Run) -> Actions:
        """If nothing follows this response, tell those who wait for that."""
        if run.response is None or not run.is_complete:
            return ()
        if run in self._rounds:
            self._rounds.remove(run)
        return tuple(Concluded(request, run.response) for request in run.origins)

    # --- everything else --------------------------------------------------------------------------

    def _hear(self, user: _User) -> None:
        self._user = user if self._creates else _User.SILENT

    def _unsettled(self) -> tuple[ResponseRequest, ...]:
        origins = [request for run in self._rounds for request in run.origins]
        asked = [run.asked for run in self._running if run.asked is not None] + self._under_way
        return tuple(dict.fromkeys([*origins, *(each.request for each in asked), *self._queue]))


def _mark(event: ResponseCreate) -> ResponseCreate:
    """Name the event in its metadata, unless the user needs all of the room or that very key."""
    config = event.response or ResponseConfig()
    metadata = dict(config.metadata or {})
    if METADATA_KEY in metadata or len(metadata) >= METADATA_PAIRS:
        return event
    return evolve(
        event, response=evolve(config, metadata={**metadata, METADATA_KEY: event.event_id})
    )


def _is_interrupted(response: Response) -> bool:
    match response:
        case Response(
            status="cancelled", status_details=ResponseStatusDetails(reason="turn_detected")
        ):
            return True
    return False


def _salvage(raw: object) -> Response:
    """What a response that could not be decoded is called: its beginning is a beginning all the same, and its end an end."""
    match raw:
        case {"response": {"id": str(response_id), "metadata": Mapping() as metadata}}:
            return Response(id=response_id, metadata=metadata)
        case {"response": {"id": str(response_id)}}:
            return Response(id=response_id)
    return Response()
