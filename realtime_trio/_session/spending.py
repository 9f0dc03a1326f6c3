"""The budget of a session: every response that it asks for goes through here.

Owns the clock of the budget, and the gate in front of `response.create`.  What is left, and what a
response may say of it, is decided in `_state.budget`.

There are two ways to the gate.  What the session asks for itself, replies to tools included, is
admitted when the turns hand it out; what the application sends as a raw event, when it is about to
be queued.  Both end in the same queue, where the first must not be asked a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import trio

from realtime_trio._runtime.nursery import ServiceNursery
from realtime_trio._state.budget import BudgetMeter
from realtime_trio._state.reactions import Reactions
from realtime_trio._state.utility_events import UtilityEvent
from realtime_trio.events import Event, ResponseCreate, ResponseCreated, ServerEvent, UnknownEvent


class Spending:
    """The gate of one session.

    Args:
        meter: The budget, and what was taken of it.
        services: Runs the clock.
        tell: Publishes what time brings, and acts on it.
    """

    reactions: ClassVar[Reactions[BudgetMeter, None]] = BudgetMeter.reactions
    """What concerns the budget."""

    def __init__(
        self,
        meter: BudgetMeter,
        services: ServiceNursery,
        tell: Callable[[UtilityEvent], None],
    ) -> None:
        self.meter = meter
        self._services = services
        self._tell = tell
        self._handed_out: set[str | None] = set()
        """Creates that the turns have handed out, on their way to the queue."""
        self._untold: list[UtilityEvent] | None = []
        """What was to be told before the session could be used; None from then on."""

    def begin(self) -> None:
        """Count the seconds from here on, and tell what was to be told before."""
        self.meter.begin(trio.current_time())
        untold, self._untold = self._untold or [], None
        for event in untold:
            self._tell(event)
        self._services.start_soon(self._watch)

    def check(self) -> None:
        """Refuse what a response is needed for.

        Raises:
            BudgetExceeded: There will be no response.
        """
        self.meter.check(trio.current_time())

    def hand_out(self, create: ResponseCreate) -> ResponseCreate:
        """Admit a create of the session's own; what it returns is about to be queued.

        Raises:
            BudgetExceeded: It must not be sent.
        """
        admitted = self.meter.admit(create, trio.current_time())
        self._handed_out.add(admitted.event_id)
        return admitted

    def let_pass(self, event: Event) -> Event:
        """Look at an event on its way into the queue.

        Returns:
            What to send in its place: of a create of the application one that may say less.

        Raises:
            BudgetExceeded: It must not be sent.
        """
        match event:
            case ResponseCreate(event_id=event_id) if event_id in self._handed_out:
                self._handed_out.discard(event_id)
            case ResponseCreate():
                return self.meter.admit(event, trio.current_time())
            case UnknownEvent(type=ResponseCreate.type):
                # Sent unchecked, in a shape of another version.
                self.check()
        return event

    def apply(self, event: ServerEvent) -> tuple[UtilityEvent, ...]:
        """Take note of a server event.

        Returns:
            What follows from it.  Nobody acts on that while the session is still being opened.
        """
        told = self.meter.apply(event, trio.current_time())
        if self._untold is None:
            return told
        self._untold += told
        return ()

    def is_unwanted(self, event: ServerEvent) -> bool:
        """Whether the server has begun a response by itself for which nothing is left."""
        return (
            isinstance(event, ResponseCreated)
            and self.meter.is_spent
            and not self.meter.is_under_way(event.response.id)
        )

    async def _watch(self) -> None:
        await trio.lowlevel.checkpoint()
        while (when := self.meter.next_time) is not None:
            await trio.sleep_until(when)
            for event in self.meter.pass_time(trio.current_time()):
                self._tell(event)
