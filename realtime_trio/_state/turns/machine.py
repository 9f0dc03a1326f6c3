"""Whose turn it is: when a `response.create` may go out, and which response answers which request.

Owns the order of the responses of one session, and asks for the replies to tool outputs.  Pure: it
is told what is wanted and what happened, and says what to send and whom to tell.  It refuses to
know what waiting is, what a tool is, or what a response says.  Which calls await their output, and
whether a reply is owed, is in `_state.turns.rounds`.
"""

# Theory of operation
#
# The default conversation has one active response at a time, and a create that comes too early is
# refused.  So there is a guard in two halves, `_asked` (our create is under way) and `_active` (a
# response runs), and `state` is nothing but the two together:
#
#               our create   created     created       done of the     our create
#               handed out   (ours)      (not ours)    active one      refused
#   FREE        ASKED        -           TAKEN         -               -
#   ASKED       -            TAKEN       CONTESTED     -               FREE, or TAKEN (*)
#   TAKEN       -            -           TAKEN (**)    FREE            -
#   CONTESTED   -            TAKEN       CONTESTED     ASKED           TAKEN
#
# A create goes out in FREE alone.  CONTESTED is the race with turn detection, which starts
# responses by itself: our create will be refused if it arrives before that response is done, and
# taken otherwise.  A refusal because of an active response is not a failure: the request takes its
# place at the head of the queue again.
#
# (*) If no response is known that explains the refusal, we missed its beginning: a nameless one is
# taken to be active, and the next `done` ends it.  If the one that explains it has ended meanwhile,
# we try again at once.  (**) The new one supersedes the old one.
#
# Our creates are recognised by a pair of their metadata, which the server repeats.  Until it has
# done so once, the first response that begins after a create is taken for its answer, unless turn
# detection owes one; a refusal afterwards proves that guess wrong.
#
# The user's turn.  While turn detection is going to start a response (`_user` is not SILENT),
# follow-ups wait for it: they would talk over the user and then make that response fail.  They wait
# until a response is done, or it is clear that none comes: the audio was cleared, committed by the
# client, or an error that names nobody says so; or the session has waited long enough.  What the
# application asks for waits neither for the user nor for tools.

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar, Final

from realtime_trio._state.reactions import Reactions
from realtime_trio._state.recent import Recent
from realtime_trio._state.turns.actions import (
    Actions,
    Concluded,
    Failed,
    Finished,
    GiveUpCalls,
    NotAsked,
    ResponseRequest,
    Restarted,
    Send,
    Started,
    Withdrawn,
)
from realtime_trio._state.turns.rounds import Round, Rounds
from realtime_trio._state.turns.run import Asked, Run, cut, is_interrupted, mark, salvage
from realtime_trio.errors import BudgetExceeded, LocalProtocolError, ServerError
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemCreated,
    ConversationItemDone,
    ErrorDetail,
    ErrorEvent,
    FunctionCall,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    Response,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    SemanticVad,
    ServerEvent,
    ServerVad,
    TurnDetection,
    UnknownEvent,
    Unset,
)

_ALREADY_ACTIVE: Final = "conversation_already_has_active_response"
_NO_ENDS: Final[Mapping[str, Response]] = MappingProxyType({})
_EXPIRED: Final = "session_expired"
_REMEMBERED: Final = 64
"""Ended responses whose stragglers we know; they trail by a round trip, not by minutes."""


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


class Turns:
    """The turns of one session.  Every method returns what is to be done now, in order.

    Args:
        new_id: Makes the ids of the events that originate here: called with a prefix.
        admit: Is asked before a create is handed out.  It returns what to send in its place, or
            raises `BudgetExceeded`.
    """

    def __init__(
        self,
        new_id: Callable[[str], str],
        admit: Callable[[ResponseCreate], ResponseCreate] = lambda create: create,
    ) -> None:
        self._new_id = new_id
        self._admit = admit
        self._is_closed = False
        self._queue: list[ResponseRequest] = []
        # Those in the queue that were sent once, so that what they are about is there already.
        self._refused_before: set[ResponseRequest] = set()
        # Creates without an answer: at most one for the conversation, any number out of band.
        self._under_way: list[Asked] = []
        self._active: Run | None = None
        self._running: list[Run] = []
        self._rounds: Rounds[ResponseRequest] = Rounds()
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
    def is_idle(self) -> bool:
        """Whether no response is active, asked for, owed or expected; the user may be speaking."""
        return (
            self.state is State.FREE
            and not self._queue
            and not self._rounds.owe_reply
            and self._user in (_User.SILENT, _User.SPEAKING)
        )

    @property
    def is_withholding(self) -> bool:
        """Whether a reply to tools waits for nothing but the user to finish."""
        return (
            self._user is not _User.SILENT and self._rounds.owe_reply and self.state is State.FREE
        )

    @property
    def under_way(self) -> tuple[ResponseCreate, ...]:
        """The creates that were sent, and that the server has neither taken nor refused."""
        return tuple(asked.event for asked in self._under_way)

    @property
    def running(self) -> tuple[str, ...]:
        """Ids of the responses that run, the oldest first; empty where they are not known."""
        return tuple(run.id for run in self._running)

    @property
    def awaited(self) -> frozenset[str]:
        """The calls of functions that await their outputs."""
        return self._rounds.awaited

    @property
    def hosted_calls(self) -> tuple[str, ...]:
        """The calls that the service has yet to run."""
        return self._rounds.hosted

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing goes on or will by itself: nobody speaks, and no call waits."""
        return (
            self.state is State.FREE
            and not self._running
            and not self._queue
            and not self._rounds.are_open
            and self._user is _User.SILENT
        )

    @property
    def is_responding(self) -> bool:
        """Whether a response is active or asked for, in the conversation or beside it."""
        return bool(self._queue or self._under_way or self._running)

    @property
    def awaits_outputs(self) -> bool:
        """Whether a call has no output yet."""
        return self._rounds.await_outputs

    @property
    def _asked(self) -> Asked | None:
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
                "response.create needs an event id that no other open request has, "
                f"not {event_id!r}"
            )
        if request.is_out_of_band:
            return self._hand_out(request)
        self._queue.append(request)
        return self._advance()

    def cancel(self, response_id: str | None = None) -> Actions:
        """Stop a response, by default whatever has the turn.

        By default a create that is under way is stopped too, as soon as its response begins.
        Requests that were not sent yet stay, and so do follow-ups that are owed.  Nothing happens
        if the response is over or being stopped.
        """
        if response_id is None and (asked := self._asked) is not None:
            asked.is_abandoned = True
        run = self._active if response_id is None else self._find(response_id)
        return () if run is None else self._stop(run)

    def abandon(self, request: ResponseRequest) -> Actions:
        """Withdraw a request that nobody wants any more, or stop its response and what follows.

        No reply to the tools of its turn is asked for, or it is stopped.  Nothing happens if the
        request is settled.
        """
        if request in self._queue:
            self._queue.remove(request)
            self._refused_before.discard(request)
            return (Withdrawn(request),)
        for asked in self._under_way:
            if asked.request is request:
                asked.is_abandoned = asked.is_unwanted = True
        run = next(
            (
                run
                for run in self._running
                if run.asked is not None and run.asked.request is request
            ),
            None,
        )
        if run is None:
            return self._give_up(request)
        run.is_given_up = True
        return (*_give_up_calls(run), *self._stop(run))

    def _give_up(self, request: ResponseRequest) -> Actions:
        """Stop a turn that is in a round of tools."""
        owner = self._rounds.give_up(request)
        if owner is None or owner.response is None:
            return ()
        actions: Actions = (Concluded(request, owner.response), *_give_up_calls(owner))
        if self._rounds.owe_reply:
            return actions  # the follow-up is for others, too
        if (asked := self._asked) is not None and asked.request.is_follow_up:
            asked.is_abandoned = True
        run = self._active
        if run is not None and run.asked is not None and run.asked.request.is_follow_up:
            actions += self._stop(run)
        return actions

    def stop_waiting_for_user(self) -> Actions:
        """Withhold nothing any longer for a user who does not finish."""
        self._user = _User.SILENT
        return self._advance()

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
        if self._rounds.knows(call_id):
            raise LocalProtocolError(f"call {call_id!r} is known already")
        self._rounds.add_alone(call_id)

    def awaits(self, call_id: str) -> bool:
        """Whether this is a call of the model's that nobody has answered."""
        return self._rounds.awaits(call_id)

    def call_answered(self, call_id: str, *, respond: bool = True) -> Actions:
        """Note that the output of a call has been posted.

        The model is asked to reply once all calls of that response have their outputs.

        Args:
            call_id: A call that a response made, which was done with status `completed`.
            respond: Whether the model should reply to this one.

        Raises:
            LocalProtocolError: There is no such call, or it is answered.
        """
        if self._is_closed:
            return ()
        owner = self._rounds.output_posted(call_id, respond=respond)
        return (*self._conclude(owner), *self._advance())

    def news_told(self, call_id: str, item_id: str) -> Actions:
        """Note that news of a call that had its output have been posted, as a message.

        The model is asked to reply to them as to an output.

        Args:
            call_id: The call.
            item_id: The system message.
        """
        if self._is_closed:
            return ()
        self._rounds.news_posted(call_id, item_id)
        return self._advance()

    def disconnected(self, error: Exception) -> Actions:
        """The connection is gone for good: settle every request with `error`.  Idempotent."""
        failed = tuple(Failed(request, error) for request in self._unsettled())
        self._is_closed = True
        self._queue.clear()
        self._forget()
        return failed

    def restart(self, *, ask: bool, ends: Mapping[str, Response] = _NO_ENDS) -> Actions:
        """Go on with another connection, whose server is told what the last one knew.

        The responses that were running went with the old connection.  One that had made calls ends
        as if it had been cancelled: its calls may still be answered, and the reply to their outputs
        goes on from there.  The others are asked for again, or end like that; so does the one that
        turn detection owed, unless the user speaks, since what is being said will be answered.
        Creates without an answer stay under way: whoever has sent them sends them again
        (`under_way`).  Nothing happens after `disconnected`.

        Args:
            ask: Whether to ask again for responses that were cut.
            ends: How responses have ended, by their ids, as far as that is known.  What has
                completed is not asked for again.
        """
        if self._is_closed:
            return ()
        is_owed = self._user is _User.DUE
        is_interrupted = self._user in (_User.SPEAKING, _User.STOPPED)
        self._user = _User.SILENT
        running, self._running, self._active = self._running, [], None
        # Stragglers cannot come, and another server may have the same ids.
        self._ended = Recent(_REMEMBERED)
        actions: Actions = ()
        for run in running:
            end = ends.get(run.id) or cut(run.id)
            is_over = end.status == "completed" or (is_interrupted and not run.is_aside)
            if not ask or is_over or not _is_wanted(run):
                actions += self._finish(run, end)
                continue
            self._rounds.forget(run)
            # A follow-up is owed again by itself, since what it was to read is still unread.
            if run.asked is None:
                is_owed = is_owed or not run.is_aside
            elif not run.asked.request.is_follow_up:
                actions += self._ask_again(run.asked.request)
        for asked in [*self._under_way]:
            if asked.is_abandoned and not asked.request.is_follow_up:
                self._under_way.remove(asked)
                actions += (Withdrawn(asked.request),)
        is_owed = is_owed or bool(self._rounds.hosted)
        for owner in self._rounds.give_up_hosted():
            assert owner.response is not None, "nothing else concludes"
            actions += tuple(Concluded(request, owner.response) for request in owner.origins)
        is_answered = self._asked is not None or self._queue or self._rounds.owe_reply
        if ask and is_owed and not is_interrupted and not is_answered:
            self._queue.append(ResponseRequest(ResponseCreate(event_id=self._new_id("evt_"))))
        return (*actions, *self._advance())

    def _ask_again(self, request: ResponseRequest) -> Actions:
        self._refused_before.add(request)
        if request.is_out_of_band:
            return (Restarted(request), *self._hand_out(request))
        self._queue.insert(0, request)
        return (Restarted(request),)

    def apply(self, event: ServerEvent) -> Actions:
        """Take note of a server event; most are of no interest.

        Never raises, whatever the server sends.
        """
        if self._is_closed:
            return ()
        react = self.reactions[type(event)]
        # What does not concern the turns leaves them as they were, with nothing to be asked for.
        return () if react is None else (*react(self, event), *self._advance())

    # --- sending ----------------------------------------------------------------------------------

    def _advance(self) -> Actions:
        """Hand out the next create, if there is one and it may go."""
        actions: Actions = ()
        # Once, unless it is not admitted: then comes the turn of the next one.
        while self.state is State.FREE and (request := self._next()) is not None:
            actions += self._hand_out(request)
        return actions

    def _next(self) -> ResponseRequest | None:
        # The reply to the tools comes first: it belongs to an older turn than what is queued.
        if self._user is _User.SILENT and self._rounds.owe_reply:
            return ResponseRequest(ResponseCreate(event_id=self._new_id("evt_")), is_follow_up=True)
        return self._queue.pop(0) if self._queue else None

    def _hand_out(self, request: ResponseRequest) -> Actions:
        about = () if request in self._refused_before else request.about
        self._refused_before.discard(request)
        try:
            event = self._admit(mark(request.event))
        except BudgetExceeded as error:
            return self._not_asked(request, error, about)
        self._under_way.append(Asked(request, event, self._rounds.unread))
        # Together: a message that goes ahead of its response is answered by the one before.
        return (*(Send(each) for each in about), Send(event))

    def _not_asked(
        self,
        request: ResponseRequest,
        error: BudgetExceeded,
        about: tuple[ConversationItemCreate, ...],
    ) -> Actions:
        """Give up a request that was not admitted."""
        if not request.is_follow_up:
            return (NotAsked(request, error, about),)
        # Nobody will read these outputs now, so those who wait for the reply to them are told.
        origins = self._rounds.read(self._rounds.unread)
        return tuple(Failed(each, error) for each in origins)

    def _stop(self, run: Run) -> Actions:
        # Without an id, a cancel means the conversation's response, and would hit another one.
        if run.is_stopped or (run.is_aside and not run.id):
            return ()
        run.is_stopped = True
        return (Send(ResponseCancel(event_id=self._new_id("evt_"), response_id=run.id or None)),)

    # --- responses --------------------------------------------------------------------------------

    def _begin(self, response: Response, *, is_seen: bool = True) -> Actions:
        if response.id and (response.id in self._ended or self._find(response.id) is not None):
            return ()
        named = self._named(response)
        acknowledged = self._rounds.acknowledged
        run = self._start(response, named or self._guess(response), is_guess=named is None)
        run.reads = acknowledged if is_seen else frozenset()
        if run.asked is None:
            return ()
        started = Started(run.asked.request, run.id)
        if not run.asked.is_abandoned:
            return (started,)
        run.is_given_up = run.is_given_up or run.asked.is_unwanted
        return (started, *self._stop(run))

    def _start(self, response: Response, asked: Asked | None, *, is_guess: bool) -> Run:
        run = Run(id=response.id, is_guess=is_guess)
        if asked is not None:
            self._assign(run, asked)
        elif self._active is not None:
            # Somebody else's; in the conversation it could not run now.
            run.is_aside = response.conversation_id is None
        self._running.append(run)
        if not run.is_aside:
            self._active = run
        return run

    def _assign(self, run: Run, asked: Asked) -> None:
        self._under_way.remove(asked)
        run.asked = asked
        run.is_aside = asked.request.is_out_of_band

    def _end(self, response: Response) -> Actions:
        run = self._ending(response)
        self._ended.add(response.id or (run.id if run is not None else ""))
        if (asked := self._asked) is not None and (run is None or not run.is_aside):
            asked.saw_an_end = True
        if self._user is _User.DUE and (run is None or run is self._active):
            # This was the response that turn detection owed, or it was in that one's way.
            self._hear(_User.SILENT)
        if run is None:
            return ()
        self._running.remove(run)
        if run is self._active:
            self._active = None
            # The user has interrupted it, and the event that says so may still be on its way.
            if self._user is _User.SILENT and is_interrupted(response):
                self._hear(_User.DUE)
        return self._finish(run, response)

    def _finish(self, run: Run, response: Response) -> Actions:
        """Settle what waited for a response that is over."""
        self._rounds.response_done(run, response, is_guess=run.is_guess)
        actions: Actions = ()
        reads = run.reads
        if run.asked is not None:
            request = run.asked.request
            actions = (Finished(request, response),)
            run.origins += [] if request.is_follow_up else [request]
            reads |= run.asked.covers
        if not run.is_aside:
            # Whoever waited for the replies to these outputs now waits for the end of this one.
            run.origins += self._rounds.read(reads)
        if run.is_given_up:
            # Nothing follows any more, though its calls may still be answered.
            actions += tuple(Concluded(origin, response) for origin in run.origins)
            run.origins.clear()
        return (*actions, *self._conclude(run))

    def _ending(self, response: Response) -> Run | None:
        """Which response this is the end of.

        By id, by name, and if it has neither, the one that it must be.
        """
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

    def _find(self, response_id: str) -> Run | None:
        return next((run for run in self._running if run.id == response_id), None)

    def _named(self, response: Response) -> Asked | None:
        """The create that the response's metadata name."""
        asked = next(
            (asked for asked in self._under_way if asked.is_named_by(response.metadata)), None
        )
        self._echoes = self._echoes or asked is not None
        return asked

    def _guess(self, response: Response) -> Asked | None:
        """The create that a response without a name must answer, as far as one can tell."""
        if self._echoes:
            return None
        aside = next((asked for asked in self._under_way if asked.request.is_out_of_band), None)
        # A server that does not say which conversation can still mean the one beside it, if that is
        # all that was asked for.
        is_aside = response.conversation_id is None or (
            isinstance(response.conversation_id, Unset) and self._asked is None
        )
        if is_aside and aside is not None:
            return aside
        return None if self._user is _User.DUE else self._asked

    # --- refusals ---------------------------------------------------------------------------------

    def _refuse(self, detail: ErrorDetail) -> Actions:
        asked = self._refused(detail.event_id)
        if asked is None:
            # Not ours; the response that turn detection owes may be what could not be created.  But
            # one that ends the whole session is about no response, which is still owed on the next.
            is_about_it = detail.event_id is None and detail.code != _EXPIRED
            if is_about_it and self._user is _User.DUE:
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
            origins = self._rounds.read(asked.covers) if request.is_follow_up else []
            return tuple(Failed(each, error) for each in (request, *origins))
        if self._active is None and not asked.saw_an_end:
            # What was in our way began without our seeing it: (*) of the table above.
            self._active = Run()
            self._running.append(self._active)
        if asked.is_abandoned and not request.is_follow_up:
            return (Withdrawn(request),)
        if not request.is_follow_up:
            self._queue.insert(0, request)
            self._refused_before.add(request)
        return ()

    def _refused(self, event_id: str | None) -> Asked | None:
        for asked in self._under_way:
            if asked.event.event_id == event_id:
                self._under_way.remove(asked)
                return asked
        for run in self._running:
            if run.is_guess and run.asked is not None and run.asked.event.event_id == event_id:
                asked, run.asked = run.asked, None
                return asked
        return None

    # --- calls ------------------------------------------------------------------------------------

    def _note_call(self, response_id: str, call_id: str) -> Actions:
        if self._rounds.knows(call_id):
            return ()
        actions: Actions = ()
        if self._find(response_id) is None and self._active is not None and not self._active.id:
            # The one that is active without a name, since only one can be.
            self._active.id = response_id
        if self._find(response_id) is None:
            # A response whose beginning we did not see has begun by now.
            unseen = Response(id=response_id, conversation_id=None)
            actions = self._begin(unseen, is_seen=False)
        run = self._find(response_id)
        if run is None:
            # It has not begun, since it has ended: a straggler makes a round of its own.
            self._rounds.add_alone(call_id)
        else:
            self._rounds.add(run, call_id)
        return actions

    def _note_hosted(self, response_id: str | None, call: McpCall | McpApprovalRequest) -> Actions:
        name = self._rounds.name_hosted(call)
        actions: Actions = ()
        if self._rounds.knows(name):
            pass
        elif response_id is not None:
            actions = self._note_call(response_id, name)
        elif self._active is not None:
            self._rounds.add(self._active, name)
        else:
            self._rounds.add_alone(name)
        self._rounds.mark_hosted(name)
        if isinstance(call, McpCall) and (call.output is not None or call.error is not None):
            actions += self._hosted_ended(call.id)
        return actions

    def _hosted_ended(self, item_id: str) -> Actions:
        owner = self._rounds.hosted_ended(item_id)
        return () if owner is None else self._conclude(owner)

    def _conclude(self, owner: Round[ResponseRequest]) -> Actions:
        """If nothing follows this response, tell those who wait for that."""
        if owner.response is None or not self._rounds.conclude(owner):
            return ()
        return tuple(Concluded(request, owner.response) for request in owner.origins)

    # --- events -----------------------------------------------------------------------------------

    def _on_created(self, event: ResponseCreated) -> Actions:
        return self._begin(event.response)

    def _on_response_done(self, event: ResponseDone) -> Actions:
        return self._end(event.response)

    def _on_unknown(self, event: UnknownEvent) -> Actions:
        if event.type == ResponseCreated.type:
            return self._begin(salvage(event.raw))
        if event.type == ResponseDone.type:
            return self._end(salvage(event.raw))
        return ()

    def _on_output_added(self, event: ResponseOutputItemAdded) -> Actions:
        match event.item:
            case McpCall() as call:
                return self._note_hosted(event.response_id, call)
        return ()

    def _on_output_done(self, event: ResponseOutputItemDone) -> Actions:
        match event.item:
            case FunctionCall(call_id=str(call_id), status="completed" | None):
                return self._note_call(event.response_id, call_id)
            case McpCall() | McpApprovalRequest() as call:
                return self._note_hosted(event.response_id, call)
        return ()

    def _on_item(
        self, event: ConversationItemAdded | ConversationItemCreated | ConversationItemDone
    ) -> Actions:
        match event.item:
            case McpCall() as call if not isinstance(event, ConversationItemCreated):
                return self._note_hosted(None, call)
            case McpApprovalResponse(approve=False) as denied if isinstance(
                event, ConversationItemAdded
            ):
                return self._hosted_ended(denied.approval_request_id)
            case item:
                self._rounds.acknowledge(item)
        return ()

    def _on_hosted_ended(self, event: ResponseMcpCallCompleted | ResponseMcpCallFailed) -> Actions:
        return self._hosted_ended(event.item_id)

    def _on_error(self, event: ErrorEvent) -> Actions:
        return self._refuse(event.error)

    def _on_committed(self, _: InputAudioBufferCommitted) -> Actions:
        # Turn detection answers what it committed itself, and announced as speech before.
        self._hear(_User.DUE if self._user is _User.STOPPED else _User.SILENT)
        return ()

    def _on_speech_started(self, _: InputAudioBufferSpeechStarted) -> Actions:
        self._hear(_User.SPEAKING)
        return ()

    def _on_speech_stopped(
        self, _: InputAudioBufferSpeechStopped | InputAudioBufferTimeoutTriggered
    ) -> Actions:
        self._hear(_User.STOPPED)
        return ()

    def _on_cleared(self, _: InputAudioBufferCleared) -> Actions:
        self._hear(_User.SILENT)
        return ()

    # --- everything else --------------------------------------------------------------------------

    def _hear(self, user: _User) -> None:
        self._user = user if self._creates else _User.SILENT

    def _unsettled(self) -> tuple[ResponseRequest, ...]:
        asked = [run.asked for run in self._running if run.asked is not None] + self._under_way
        requests = [*self._rounds.origins, *(each.request for each in asked), *self._queue]
        return tuple(dict.fromkeys(requests))

    def _forget(self) -> None:
        """Forget everything that belongs to one connection."""
        self._under_way.clear()
        self._refused_before.clear()
        self._active = None
        self._running.clear()
        self._rounds = Rounds()
        self._ended = Recent(_REMEMBERED)
        self._user = _User.SILENT
        self._creates = False
        self._echoes = False

    reactions: ClassVar[Reactions[Turns, Actions]] = Reactions(
        {
            ConversationItemAdded: _on_item,
            ConversationItemCreated: _on_item,
            ConversationItemDone: _on_item,
            ErrorEvent: _on_error,
            InputAudioBufferCleared: _on_cleared,
            InputAudioBufferCommitted: _on_committed,
            InputAudioBufferSpeechStarted: _on_speech_started,
            InputAudioBufferSpeechStopped: _on_speech_stopped,
            InputAudioBufferTimeoutTriggered: _on_speech_stopped,
            ResponseCreated: _on_created,
            ResponseDone: _on_response_done,
            ResponseMcpCallCompleted: _on_hosted_ended,
            ResponseMcpCallFailed: _on_hosted_ended,
            ResponseOutputItemAdded: _on_output_added,
            ResponseOutputItemDone: _on_output_done,
            UnknownEvent: _on_unknown,
        }
    )
    """What is done with which event: not with deltas, of which there are most."""


def _is_wanted(run: Run) -> bool:
    """Whether to ask again for a response that was cut.

    Not if somebody has stopped it; and one that has called functions is followed by the reply to
    their outputs, or they would be called twice.
    """
    return not (run.is_stopped or run.is_given_up or run.calls - run.hosted)


def _give_up_calls(owner: Round[ResponseRequest]) -> tuple[GiveUpCalls, ...]:
    return (GiveUpCalls(frozenset(owner.pending)),) if owner.pending else ()
