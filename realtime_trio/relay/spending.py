"""What a session through a relay may cost: the budget of a grant, kept for a guest that has none.

Pure.  Owns what a relay does when a budget is spent; the sums and the limits are those of
`_state.budget`.

Theory of operation.  What the guest asks for is admitted, or refused before it is sent.  Responses
that turn detection begins cannot be refused, only cancelled.  A goodbye is one response more, which
the relay asks for itself; with its end, or if it does not come, the session ends.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from attrs import evolve

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._state.budget import BudgetSpent
from realtime_trio._state.costs import Costs, Usage
from realtime_trio._state.prices import session_cost
from realtime_trio.errors import BudgetExceeded
from realtime_trio.events import (
    ClientEvent,
    ErrorEvent,
    Event,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
)
from realtime_trio.relay.actions import Actions, ToService
from realtime_trio.relay.ending import Ending, limit_reached
from realtime_trio.relay.grant import Grant
from realtime_trio.relay.guest_events import NotAllowedError

CONCERNS: Final = frozenset(
    {
        "conversation.item.input_audio_transcription.completed",
        "error",
        "response.created",
        "response.done",
        "session.created",
        "session.updated",
    }
)
"""Events of the service that have to do with money."""
_GOODBYE_S: Final = 30.0
"""Seconds for a goodbye; then the session ends without."""


class Spending:
    """What one session costs.

    Args:
        grant: With the budget, if there is one.
        now: The time.
        new_id: Makes ids of events: called with a prefix.
        ask: Makes a message to the service of an event of the relay's own.
    """

    def __init__(
        self,
        grant: Grant,
        now: float,
        *,
        new_id: Callable[[str], str],
        ask: Callable[[ClientEvent], ToService],
    ) -> None:
        self._new_id = new_id
        self._ask = ask
        self._prices = grant.prices
        self._meter = grant.meter(now)
        self._costs = Costs(grant.model_or_default) if self._meter is None else self._meter.costs
        self._reader = Codec(Role.CLIENT, kind=grant.kind)
        self._guest_reader = Codec(Role.SERVER, kind=grant.kind)
        self._instructions = grant.instructions
        self._active: set[str] = set()
        self._goodbye: str | None = None
        """Id of the event that asks for the goodbye."""
        self._goodbye_response: str | None = None
        self._ends_at: float | None = None
        """When a session whose budget is spent ends at the latest."""

    @property
    def usage(self) -> Usage:
        """What the service has billed so far."""
        return self._costs.usage

    @property
    def usd(self) -> Decimal:
        """What that costs, as far as there are prices."""
        return session_cost(self._costs, self._prices).known

    @property
    def next_time(self) -> float | None:
        """When to call `pass_time` next."""
        if self._ends_at is not None:
            return self._ends_at
        return None if self._meter is None else self._meter.next_time

    def begin(self, now: float) -> None:
        """The guest has the session, and seconds count."""
        if self._meter is not None:
            self._meter.begin(now)

    # --- what is about to be sent -----------------------------------------------------------------

    def admit_text(self, text: str, now: float) -> str:
        """Let a guest ask for a response; the text has less `max_output_tokens` if little is left.

        Raises:
            NotAllowedError: Nothing is left.
        """
        if self._meter is None:
            return text
        event = self._guest_reader.decode(text)
        if not isinstance(event, ResponseCreate):
            raise NotAllowedError(
                "it does not fit the protocol, so that it cannot be said what it would cost",
                code="invalid_event",
            )
        # Refusals name events, and a promise is to be given back when its response is refused.
        named = event if event.event_id else evolve(event, event_id=self._new_id("event_"))
        admitted = self.admit(named, now)
        return text if admitted is event else self._reader.encode(admitted)

    def admit(self, create: ResponseCreate, now: float) -> ResponseCreate:
        """The same of an event.

        Raises:
            NotAllowedError: Nothing is left.
        """
        if self._meter is None:
            return create
        try:
            return self._meter.admit(create, now)
        except BudgetExceeded as error:
            raise NotAllowedError(str(error), code="budget_exceeded") from None

    # --- what happened ----------------------------------------------------------------------------

    def apply(self, text: str, now: float) -> Actions:
        """Take note of an event of the service that concerns money."""
        event = self._reader.decode(text)
        if not isinstance(event, ServerEvent):
            return ()
        if self._meter is None:
            self._costs.apply(event)
            return ()
        was_spent = self._meter.is_spent
        told = self._meter.apply(event, now)
        return (
            *self._follow(event, now, was_spent=was_spent),
            *(self._spent(now) if any(isinstance(each, BudgetSpent) for each in told) else ()),
        )

    def pass_time(self, now: float) -> Actions:
        """Take note of the time."""
        if self._ends_at is not None and now >= self._ends_at:
            return (self._end(),)
        if self._meter is None:
            return ()
        told = self._meter.pass_time(now)
        return self._spent(now) if any(isinstance(each, BudgetSpent) for each in told) else ()

    def _follow(self, event: Event, now: float, *, was_spent: bool) -> Actions:
        match event:
            case ResponseCreated(response=response):
                self._active.add(response.id)
                if self._goodbye is not None and self._goodbye_response is None:
                    self._goodbye_response = response.id
                elif was_spent:
                    return (self._cancel(response.id),)
            case ResponseDone(response=response):
                self._active.discard(response.id)
                return self._after_response(response.id, now)
            case ErrorEvent(error=error) if error.event_id is not None:
                # The goodbye is not to be had.
                if error.event_id == self._goodbye:
                    return (self._end(),)
        return ()

    def _spent(self, now: float) -> Actions:
        """The budget is spent, just now."""
        assert self._meter is not None, "there is a budget"
        if self._meter.budget.when_spent == "refuse":
            return ()
        self._ends_at = now + _GOODBYE_S
        return () if self._active else self._leave(now)

    def _after_response(self, response_id: str, now: float) -> Actions:
        if self._ends_at is None or self._active:
            return ()
        if self._goodbye is not None and response_id != self._goodbye_response:
            return ()
        return self._leave(now)

    def _leave(self, now: float) -> Actions:
        """End the session, now that no response is active, or say goodbye first."""
        assert self._meter is not None, "there is a budget"
        budget = self._meter.budget
        if budget.when_spent == "close" or self._goodbye is not None:
            return (self._end(),)
        self._goodbye = self._new_id("event_")
        self._meter.expect_goodbye(self._goodbye)
        words = "\n\n".join(filter(None, (self._instructions, budget.goodbye)))
        create = ResponseCreate(
            event_id=self._goodbye, response=ResponseConfig(instructions=words, tools=())
        )
        return (self._ask(self._meter.admit(create, now)),)

    def _cancel(self, response_id: str) -> ToService:
        cancel = ResponseCancel(event_id=self._new_id("event_"), response_id=response_id or None)
        return self._ask(cancel)

    def _end(self) -> Ending:
        return limit_reached("budget", "budget_exceeded", "the budget of the session is spent")
