"""A session with limits: what it has cost, what it may cost, and when it hangs up.

Owns what a session does when its budget is spent, or when nothing happens any more.  How much is
left is decided in `_state.budget`; what is under way is known to the sessions below and above.  A
session without limits has nothing of it, and does not load it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import attrs
import trio

from realtime_trio import _elsewhere
from realtime_trio._misuse import check_kind
from realtime_trio._session.parts import SessionParts
from realtime_trio._session.responding import RespondingSession
from realtime_trio._session.responses import Answer
from realtime_trio._state.acknowledgements import Pending
from realtime_trio._state.costs import Costs, usage_of
from realtime_trio._state.reactions import Reactions, Room
from realtime_trio._state.turns.actions import Actions, Withdrawn
from realtime_trio._state.utility_events import ToolCallFinished
from realtime_trio.errors import LocalProtocolError, SlowConsumer
from realtime_trio.events import (
    ErrorEvent,
    Event,
    Response,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    SemanticVad,
    ServerEvent,
    ServerVad,
    SessionConfig,
    SessionUpdate,
)

if TYPE_CHECKING:
    from realtime_trio._session import farewell, idle_watch, spending
    from realtime_trio._session.limits import Limits
    from realtime_trio._state import budget, prices
else:
    farewell = _elsewhere.module("realtime_trio._session.farewell")
    idle_watch = _elsewhere.module("realtime_trio._session.idle_watch")
    spending = _elsewhere.module("realtime_trio._session.spending")
    budget = _elsewhere.module("realtime_trio._state.budget")
    prices = _elsewhere.module("realtime_trio._state.prices")

_ENDS: Final = (ResponseDone, ErrorEvent, ToolCallFinished)
"""With one of these the last thing ends that is under way."""


class LimitedSession(RespondingSession):
    """Base of sessions in which the model responds, within limits."""

    _farewell: farewell.Farewell | None = None
    _idle_watch: idle_watch.IdleWatch | None = None
    _spending: spending.Spending | None = None

    def __init__(self, parts: SessionParts) -> None:
        super().__init__(parts)
        if parts.limits is not None:
            self._limit(parts.limits)

    def _limit(self, limits: Limits) -> None:
        """Make what keeps the session within its limits."""
        goodbye = self._farewell = farewell.Farewell(
            self._services,
            tell=self._tell,
            wait_quiet=self._wait_quiet,
            is_heard=self._is_heard,
            drain=self._drain,
            end=self._hang_up,
            limit=limits.close_timeout,
        )
        if limits.meter is not None:
            self._spending = spending.Spending(limits.meter, self._services, self._tell)
        if limits.idle_timeout is not None:
            self._idle_watch = idle_watch.IdleWatch(
                limits.idle_timeout,
                self._services,
                is_busy=self._is_busy,
                is_heard=self._is_heard,
                audible_until=lambda: self._conversation.audible_until,
                hang_up=lambda: goodbye.begin("idle"),
            )

    def cost_of(self, response: Response | Answer | str) -> prices.Cost:
        """What one response has cost; see `cost`.

        Args:
            response: A response that is done, or its id.

        Raises:
            LocalProtocolError: It is not done, the server has not said what it took, or it was
                hundreds of responses ago.
        """
        check_kind("response", response, Response, Answer, str, allowed="a response or its id")
        if isinstance(response, Answer):
            response = response.response
        response_id = response if isinstance(response, str) else response.id
        usage = self._costs.of_response(response_id)
        if usage is None:
            raise LocalProtocolError(
                f"it is not known what the response {response_id!r} has cost: it is not done, the "
                "server has not said what it took, or it was hundreds of responses ago"
            )
        model = self._costs.model_of(response_id)
        return prices.cost_of(usage_of(usage), self._price_list, model, self._costs.alias_of(model))

    # --- the gate ---------------------------------------------------------------------------------

    def _begin_limits(self) -> None:
        """The session can be used: from here on its seconds count, and so does idleness."""
        if self._spending is not None:
            self._spending.begin()
        if self._idle_watch is not None:
            self._idle_watch.begin()

    def _limit_rooms(self) -> Iterator[Room]:
        """Who takes note of what a session takes, and of what happens in it."""
        if self._spending is None:
            yield Costs.reactions.of(self._costs)
        else:
            yield self._spending.reactions.through(self._spending.apply)
        if self._idle_watch is not None:
            yield self._idle_watch.reactions.through(self._idle_watch.apply)

    def _acting(self) -> tuple[Room, ...]:
        if self._spending is None:
            return super()._acting()
        spent = Reactions({budget.BudgetSpent: LimitedSession._on_budget_spent})
        return (*super()._acting(), spent.of(self))

    def _check_budget(self) -> None:
        if self._spending is not None:
            # Where both is true, that it has ended says more.
            self._check_open()
            self._spending.check()

    def _admit(self, create: ResponseCreate) -> ResponseCreate:
        return create if self._spending is None else self._spending.hand_out(create)

    def _enqueue(self, event: Event, text: str) -> Pending | None:
        if self._spending is not None:
            passed = self._spending.let_pass(event)
            # What was sent unchecked may have fields that this version does not know, and goes as
            # it is.
            if passed is not event and text == self._codec.encode(event):
                event, text = passed, self._codec.encode(passed)
        return super()._enqueue(event, text)

    def _act(self, actions: Actions) -> None:
        if self._spending is not None:
            for action in actions:
                if isinstance(action, Withdrawn):
                    self._spending.meter.withdraw(action.request.event.event_id)
        super()._act(actions)

    def _take_turns(self, event: ServerEvent) -> None:
        super()._take_turns(event)
        if self._spending is not None and self._spending.is_unwanted(event):
            assert isinstance(event, ResponseCreated)
            self._act(self._turns.cancel(event.response.id))

    # --- the end ----------------------------------------------------------------------------------

    def _on_budget_spent(self, _: budget.BudgetSpent) -> None:
        """See to it that nothing more is spent, and end the session as the budget says."""
        assert self._spending is not None, "it has a budget"
        assert self._farewell is not None, "a budget is a limit"
        spent = self._spending.meter.budget
        self._stop_server_responses()
        if spent.when_spent == "goodbye":
            self._farewell.begin("budget", partial(self._say_goodbye, spent.goodbye))
        elif spent.when_spent == "close":
            self._farewell.begin("budget")

    def _stop_server_responses(self) -> None:
        """See to it that turn detection starts no more responses by itself."""
        detection = self._input.turn_detection
        if not isinstance(detection, ServerVad | SemanticVad):
            return
        if detection.create_response is not False:
            silent = attrs.evolve(detection, create_response=False)
            update = SessionUpdate(session=SessionConfig.of(turn_detection=silent))
            self._post(self._named(update))

    async def _say_goodbye(self, how: str) -> None:
        assert self._spending is not None
        self._check_open()
        always = self.config.instructions
        request = self._request_for(
            None,
            {"instructions": f"{always}\n\n{how}" if always else how, "tool_choice": "none"},
        )
        self._spending.meter.expect_goodbye(str(request.event.event_id))
        await self._book.wait_concluded(request)

    def _is_busy(self) -> bool:
        """Whether a response or a tool is under way, or the user has the floor."""
        return self._turns.is_responding or self._turns.awaits_outputs or self._is_in_turn

    def _is_heard(self) -> bool:
        return self._playing is not None and self._playing.playback.is_audible

    def _hang_up(self) -> None:
        """End the session; what could not be written by now is not waited for any more."""
        self._outbox.discard()
        self._close()

    async def _wait_quiet(self) -> None:
        """Wait until no response is active, and none is wanted any more."""
        await trio.lowlevel.checkpoint()
        with self._hub.subscribe(*_ENDS, kept=False) as ends:
            while self._turns.is_responding:
                with suppress(SlowConsumer):
                    await ends.receive()

    def _note_sent(self, event: Event) -> None:
        super()._note_sent(event)
        if self._idle_watch is not None:
            self._idle_watch.sent(event, is_detecting=self._is_detecting_turns)
