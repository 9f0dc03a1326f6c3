"""Whose turn it is: which `response.create` goes out next, and what follows from an event.

Owns the order of the responses of one session, and asks for the replies to tool outputs.  Pure: it
is told what is wanted and what happened, and says what to send and whom to tell.  It refuses to
know what waiting is, what a tool is, or what a response says.  What is under way, and which
response answers which create, is in `_state.turns.exchange`; how far the user is, in `user_turn`;
which calls await their output, and whether a reply is owed, in `rounds`.
"""

# Theory of operation
#
# What is wanted waits in a queue, and goes out when nothing is active or asked for.  A refusal
# because of an active response is not a failure: the request takes its place at the head of the
# queue again.
#
# Follow-ups, which are the replies to the outputs of tools, wait for the user as well.  What the
# application asks for waits neither for the user nor for tools.

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar, Final

from attrs import evolve

from realtime_trio._state.reactions import Reactions
from realtime_trio._state.recent import Recent
from realtime_trio._state.turns.actions import (
    Actions,
    Failed,
    NotAsked,
    ResponseRequest,
    Send,
    Started,
    Withdrawn,
)
from realtime_trio._state.turns.exchange import Exchange, State
from realtime_trio._state.turns.restart import lose
from realtime_trio._state.turns.rounds import Rounds
from realtime_trio._state.turns.run import Asked, is_interrupted, mark, salvage
from realtime_trio._state.turns.settling import conclude, finish
from realtime_trio._state.turns.stopping import abandon, stop, stop_turn
from realtime_trio._state.turns.user_turn import UserTurn
from realtime_trio.errors import BudgetExceeded, LocalProtocolError, ServerError
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemCreated,
    ConversationItemDeleted,
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
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ServerEvent,
    TurnDetection,
    UnknownEvent,
)

_ALREADY_ACTIVE: Final = "conversation_already_has_active_response"
_EXPIRED: Final = "session_expired"
_REMEMBERED: Final = 64
"""Deleted items whose stragglers are known; they trail by a round trip, not by minutes."""
_NO_ENDS: Final[Mapping[str, Response]] = MappingProxyType({})
_NO_CREATES: Final[Mapping[str, ResponseCreate]] = MappingProxyType({})


class Turns:
    """The turns of one session.  Every method returns what is to be done now, in order.

    Args:
        new_id: Makes the ids of the events that originate here: called with a prefix.
        admit: Is asked before a create is handed out.  It returns what to send in its place, or
            raises `BudgetExceeded`.
    """

    _refused_before: frozenset[ResponseRequest] = frozenset()
    """Those in the queue that were sent once, so that what they are about is there already."""

    def __init__(
        self,
        new_id: Callable[[str], str],
        admit: Callable[[ResponseCreate], ResponseCreate] = lambda create: create,
    ) -> None:
        self._new_id = new_id
        self._admit = admit
        self._is_closed = False
        self._queue: list[ResponseRequest] = []
        self._exchange = Exchange()
        self._rounds: Rounds[ResponseRequest] = Rounds()
        self._user = UserTurn()
        self._deleted = Recent(_REMEMBERED)

    @property
    def state(self) -> State:
        """Who has the turn."""
        return State.CLOSED if self._is_closed else self._exchange.state

    @property
    def is_idle(self) -> bool:
        """Whether no response is active, asked for, owed or expected; the user may be speaking."""
        return (
            self.state is State.FREE
            and not self._queue
            and not self._rounds.owe_reply
            and (self._user.is_silent or self._user.is_speaking)
        )

    @property
    def is_withholding(self) -> bool:
        """Whether a reply to tools waits for nothing but the user to finish."""
        return not self._user.is_silent and self._rounds.owe_reply and self.state is State.FREE

    @property
    def under_way(self) -> tuple[ResponseCreate, ...]:
        """The creates that were sent, and that the server has neither taken nor refused."""
        return tuple(asked.event for asked in self._exchange.under_way)

    @property
    def running(self) -> tuple[str, ...]:
        """Ids of the responses that run, the oldest first; empty where they are not known."""
        return tuple(run.id for run in self._exchange.running)

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
            and not self._exchange.running
            and not self._queue
            and not self._rounds.are_open
            and self._user.is_silent
        )

    @property
    def is_responding(self) -> bool:
        """Whether a response is active or asked for, in the conversation or beside it."""
        return bool(self._queue or self._exchange.under_way or self._exchange.running)

    @property
    def awaits_outputs(self) -> bool:
        """Whether a call has no output yet."""
        return self._rounds.await_outputs

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
        if response_id is None:
            return stop_turn(self._exchange, self._new_id)
        run = self._exchange.find(response_id)
        return () if run is None else stop(run, self._new_id)

    def cancel_sent(self, response_id: str | None = None) -> None:
        """Note that the application stops a response by an event of its own."""
        exchange = self._exchange
        run = exchange.active if response_id is None else exchange.find(response_id)
        if run is not None:
            run.is_stopped = True

    def abandon(self, request: ResponseRequest) -> Actions:
        """Withdraw a request that nobody wants any more, or stop its response and what follows.

        No reply to the tools of its turn is asked for, or it is stopped.  Nothing happens if the
        request is settled.
        """
        if request in self._queue:
            self._queue.remove(request)
            self._refused_before -= {request}
            return (Withdrawn(request),)
        return abandon(request, self._exchange, self._rounds, self._new_id)

    def stop_waiting_for_user(self) -> Actions:
        """Withhold nothing any longer for a user who does not finish."""
        self._user.silence()
        return self._advance()

    # --- what happened ----------------------------------------------------------------------------

    def configure(self, turn_detection: TurnDetection | None) -> Actions:
        """Note the turn detection in force, as the server reports it."""
        self._user.configure(turn_detection)
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
        return (*conclude(self._rounds, owner), *self._advance())

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
        self._refused_before = frozenset()
        self._exchange, self._rounds, self._user = Exchange(), Rounds(), UserTurn()
        return failed

    def restart(
        self,
        *,
        ask: bool,
        ends: Mapping[str, Response] = _NO_ENDS,
        creates: Mapping[str, ResponseCreate] = _NO_CREATES,
    ) -> Actions:
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
            creates: What the application has sent by itself, by the ids of the responses to it:
                they are asked for again with the settings that they had.
        """
        if self._is_closed:
            return ()
        is_due, is_interrupted = self._user.is_due, self._user.is_uncommitted
        self._user.silence()
        loss = lose(
            self._exchange, self._rounds, ends, creates, ask=ask, is_interrupted=is_interrupted
        )
        actions = loss.actions
        for request in loss.again:
            actions += self._ask_again(self._with_id(request))
        is_owed = (is_due or loss.is_reply_lost) and not is_interrupted
        is_answered = self._exchange.asked is not None or self._queue or self._rounds.owe_reply
        if ask and is_owed and not is_answered:
            self._queue.append(ResponseRequest(ResponseCreate(event_id=self._new_id("evt_"))))
        return (*actions, *self._advance())

    def _with_id(self, request: ResponseRequest) -> ResponseRequest:
        """The same request; what was sent unchecked need not have had an id."""
        if request.event.event_id:
            return request
        return evolve(request, event=evolve(request.event, event_id=self._new_id("evt_")))

    def _ask_again(self, request: ResponseRequest) -> Actions:
        self._refused_before |= {request}
        if request.is_out_of_band:
            return self._hand_out(request)
        self._queue.insert(0, request)
        return ()

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
        if self._user.is_silent and self._rounds.owe_reply:
            return ResponseRequest(ResponseCreate(event_id=self._new_id("evt_")), is_follow_up=True)
        return self._queue.pop(0) if self._queue else None

    def _hand_out(self, request: ResponseRequest) -> Actions:
        about = () if request in self._refused_before else request.about
        self._refused_before -= {request}
        try:
            event = self._admit(mark(request.event))
        except BudgetExceeded as error:
            return self._not_asked(request, error, about)
        self._exchange.ask(Asked(request, event, self._rounds.unread))
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

    # --- responses --------------------------------------------------------------------------------

    def _begin(self, response: Response, *, is_seen: bool = True) -> Actions:
        run = self._exchange.begin(response, is_due=self._user.is_due)
        if run is None:
            return ()
        run.reads = self._rounds.acknowledged if is_seen else frozenset()
        if run.asked is None:
            return ()
        started = Started(run.asked.request, run.id)
        if not run.asked.is_abandoned:
            return (started,)
        run.is_given_up = run.is_given_up or run.asked.is_unwanted
        return (started, *stop(run, self._new_id))

    def _end(self, response: Response) -> Actions:
        run = self._exchange.ending(response, is_due=self._user.is_due)
        if run is None or run is self._exchange.active:
            is_cut_in = run is not None and is_interrupted(response)
            self._user.response_done(is_interrupted=is_cut_in)
        self._exchange.end(run, response)
        return () if run is None else finish(self._rounds, run, response)

    # --- refusals ---------------------------------------------------------------------------------

    def _refuse(self, detail: ErrorDetail) -> Actions:
        asked = self._exchange.refused(detail.event_id)
        if asked is None:
            # Not ours; the response that turn detection owes may be what could not be created.  But
            # one that ends the whole session is about no response, which is still owed on the next.
            is_about_it = detail.event_id is None and detail.code != _EXPIRED
            if is_about_it and self._user.is_due:
                self._user.silence()
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
        if self._exchange.active is None and not asked.saw_an_end:
            # What was in our way began without our seeing it: (*) in `exchange`.
            self._exchange.begin_unseen()
        if asked.is_abandoned and not request.is_follow_up:
            return (Withdrawn(request),)
        if not request.is_follow_up:
            self._queue.insert(0, request)
            self._refused_before |= {request}
        return ()

    # --- calls ------------------------------------------------------------------------------------

    def _note_call(self, response_id: str, call_id: str) -> Actions:
        if self._rounds.knows(call_id):
            return ()
        actions: Actions = ()
        run = self._exchange.mention(response_id)
        if run is None:
            # A response whose beginning we did not see has begun by now.
            unseen = Response(id=response_id, conversation_id=None)
            actions = self._begin(unseen, is_seen=False)
            run = self._exchange.find(response_id)
        if run is None:
            # It has not begun, since it has ended: a straggler makes a round of its own.
            self._rounds.add_alone(call_id)
        else:
            self._rounds.add(run, call_id)
        return actions

    def _note_hosted(self, response_id: str | None, call: McpCall | McpApprovalRequest) -> Actions:
        name = self._rounds.name_hosted(call)
        actions: Actions = ()
        if self._rounds.knows(name) or name in self._deleted:
            pass
        elif response_id is not None:
            actions = self._note_call(response_id, name)
        elif self._exchange.active is not None:
            self._rounds.add(self._exchange.active, name)
        else:
            self._rounds.add_alone(name)
        self._rounds.mark_hosted(name)
        if isinstance(call, McpApprovalRequest):
            self._rounds.await_approval(name)
        elif call.output is not None or call.error is not None:
            actions += self._hosted_ended(call.id)
        return actions

    def _hosted_ended(self, item_id: str) -> Actions:
        owner = self._rounds.hosted_ended(item_id)
        return () if owner is None else conclude(self._rounds, owner)

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
            case McpApprovalResponse() as decided if isinstance(event, ConversationItemAdded):
                if not decided.approve:
                    return self._hosted_ended(decided.approval_request_id)
                self._rounds.approved(decided.approval_request_id)
            case item:
                self._rounds.acknowledge(item)
        return ()

    def _on_deleted(self, event: ConversationItemDeleted) -> Actions:
        self._deleted.add(event.item_id)
        owner = self._rounds.take_back(event.item_id)
        return () if owner is None else conclude(self._rounds, owner)

    def _on_hosted_ended(self, event: ResponseMcpCallCompleted | ResponseMcpCallFailed) -> Actions:
        return self._hosted_ended(event.item_id)

    def _on_error(self, event: ErrorEvent) -> Actions:
        return self._refuse(event.error)

    def _on_committed(self, _: InputAudioBufferCommitted) -> Actions:
        self._user.commit()
        return ()

    def _on_speech_started(self, _: InputAudioBufferSpeechStarted) -> Actions:
        self._user.start()
        return ()

    def _on_speech_stopped(
        self, _: InputAudioBufferSpeechStopped | InputAudioBufferTimeoutTriggered
    ) -> Actions:
        self._user.stop()
        return ()

    def _on_cleared(self, _: InputAudioBufferCleared) -> Actions:
        self._user.silence()
        return ()

    # --- everything else --------------------------------------------------------------------------

    def _unsettled(self) -> tuple[ResponseRequest, ...]:
        requests = [*self._rounds.origins, *self._exchange.requests, *self._queue]
        return tuple(dict.fromkeys(requests))

    reactions: ClassVar[Reactions[Turns, Actions]] = Reactions(
        {
            ConversationItemAdded: _on_item,
            ConversationItemCreated: _on_item,
            ConversationItemDeleted: _on_deleted,
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
