"""The responses that somebody waits for, and the acting on what the turns decide.

Owns the responses that are being followed or waited for, and the ids of what was sent by reflex.
When a response may be asked for, and which response answers which request, is decided in
`_state.turns`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import trio
from attrs import define, field

from realtime_trio._runtime.hub import EventStream
from realtime_trio._session.responses import LiveResponse
from realtime_trio._state.recent import Recent
from realtime_trio._state.turns.actions import (
    Action,
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
from realtime_trio._state.turns.machine import Turns
from realtime_trio.errors import ServerError
from realtime_trio.events import (
    ClientEvent,
    ConversationItemCreate,
    ErrorDetail,
    Event,
    Response,
    ResponseCancel,
)

_BENIGN: Final = frozenset(
    {"response_cancel_not_active", "conversation_already_has_active_response"}
)
"""Refusals that mean that something else was faster; the turns deal with them."""
_REFLEXES: Final = 64
"""Events sent by reflex whose refusal is recognised; a refusal trails by a round trip."""


@define(eq=False)
class _Waiter:
    """A task that waits for the end of a turn."""

    done: trio.Event = field(factory=trio.Event)
    response: Response | None = None
    error: Exception | None = None


class ResponseBook:
    """The responses that somebody waits for.

    Args:
        turns: Decides.
        post: Queues an event at once.
        give_up_calls: Stops the tools of a turn for which nobody waits any more.
        silence: Lets nothing more be heard of a response that was cancelled.
    """

    def __init__(
        self,
        turns: Turns,
        post: Callable[[ClientEvent], None],
        give_up_calls: Callable[[frozenset[str]], None],
        silence: Callable[[str], None],
    ) -> None:
        self._turns = turns
        self._post = post
        self._give_up_calls = give_up_calls
        self._silence = silence
        self._reflexes = Recent(_REFLEXES)
        self._live: dict[ResponseRequest, LiveResponse] = {}
        self._waiters: dict[ResponseRequest, _Waiter] = {}
        self._messages: dict[str | None, ResponseRequest] = {}
        """Event that says something -> the request for its response, until it is acknowledged."""

    def is_benign(self, error: ErrorDetail) -> bool:
        """Whether this refuses something sent by reflex, because something else was faster."""
        return error.code in _BENIGN and error.event_id in self._reflexes

    def ask_for(self, request: ResponseRequest) -> None:
        """Ask for a response, when it is its turn.

        Raises:
            BudgetExceeded: It is its turn, and it is not admitted; nothing was sent.
        """
        self._messages.update((create.event_id, request) for create in request.about)
        actions = self._turns.want_response(request)
        refused = [each for each in actions if isinstance(each, NotAsked)]
        self.act([each for each in actions if each not in refused])
        for each in refused:
            # It is this one: whatever waited before it would have had its turn before.
            self._forget_messages(request)
            raise each.error

    def message_settled(self, event: ConversationItemCreate, error: Exception | None) -> None:
        """Take note that the server has taken an item, or refused it.

        Nobody wants a response to a message that is not there.
        """
        request = self._messages.pop(event.event_id, None)
        if request is not None and isinstance(error, ServerError):
            # Told first: giving up a response would tell of a cancellation.
            self._fail(request, error)
            self.act(self._turns.abandon(request))

    @contextmanager
    def following(
        self, request: ResponseRequest, stream: EventStream[Event], encoding: Callable[[], str]
    ) -> Iterator[LiveResponse]:
        """Ask for a response and follow it; leaving before its end gives it up."""
        live = self._live[request] = LiveResponse(stream, encoding)
        try:
            self.ask_for(request)
            yield live
        finally:
            live._leave()
            # Still in the book: it has not ended, so the block was left before its time.
            if self._live.pop(request, None) is not None:
                self.act(self._turns.abandon(request))

    async def wait_concluded(self, request: ResponseRequest) -> Response:
        """Ask for a response and wait for the end of its turn, all rounds of tools included.

        Cancellation: gives the response up.

        Raises:
            ServerError: It was refused, or the one to its tools was.
            SessionClosed: The session ended first.
        """
        waiter = self._waiters[request] = _Waiter()
        try:
            self.ask_for(request)
            await waiter.done.wait()
        finally:
            if self._waiters.pop(request, None) is not None:
                self.act(self._turns.abandon(request))
        if waiter.error is not None:
            raise waiter.error
        assert waiter.response is not None
        return waiter.response

    def act(self, actions: Iterable[Action]) -> None:
        """Do what the turns say, in their order."""
        for action in actions:
            match action:
                case Send(event=event):
                    assert event.event_id is not None
                    self._reflexes.add(event.event_id)
                    self._post(event)
                    if isinstance(event, ResponseCancel) and event.response_id is not None:
                        self._silence(event.response_id)
                # From here on `_id` and `_end` are this room's to set: a LiveResponse is what users
                # hold, and they should not find these among its methods.
                case Started(request=request, response_id=response_id):
                    if request in self._live:
                        self._live[request]._id = response_id
                case Restarted(request=request):
                    if request in self._live:
                        self._live[request]._begin_anew()
                case Finished(request=request, response=response):
                    if live := self._live.pop(request, None):
                        live._end(response)
                case Concluded(request=request, response=response):
                    if waiter := self._waiters.pop(request, None):
                        waiter.response = response
                        waiter.done.set()
                case Failed(request=request, error=error):
                    self._fail(request, error)
                case NotAsked(request=request, error=error) if self._is_awaited(request):
                    self._fail(request, error)
                case NotAsked(request=request, unsaid=unsaid):
                    # Its sender has gone on, and counts on the message.
                    self._forget_messages(request)
                    for create in unsaid:
                        self._post(create)
                case Withdrawn(request=request) if self._is_awaited(request):
                    why = "the response was cancelled before it began"
                    self._fail(request, ServerError(why, event_id=request.event.event_id))
                case Withdrawn(request=request):
                    self._forget_messages(request)
                case GiveUpCalls(call_ids):
                    self._give_up_calls(call_ids)

    def _is_awaited(self, request: ResponseRequest) -> bool:
        return request in self._live or request in self._waiters

    def _forget_messages(self, request: ResponseRequest) -> None:
        for create in request.about:
            self._messages.pop(create.event_id, None)

    def _fail(self, request: ResponseRequest, error: Exception) -> None:
        self._forget_messages(request)
        # A refusal that somebody is told of is not benign.
        self._reflexes.discard(str(request.event.event_id))
        if live := self._live.pop(request, None):
            live._end(error)
        if waiter := self._waiters.pop(request, None):
            waiter.error = error
            waiter.done.set()
