"""What every simulated session has in common, whatever it is for.

It greets, obeys or refuses, says things when they are due, and ends.  Owns the present time, the
outbox, the expiry and the closing.  What a session understands and says is its subclass's business.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import TypeAlias

from attrs import define, field

from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._transport.contract import GOING_AWAY, Close
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    ClientEvent,
    ErrorDetail,
    ErrorEvent,
    Event,
    ServerEvent,
    UnknownEvent,
)
from realtime_trio.simulator.service.refusal import Refusal, check_length

_MAX_EVENT_ID = 512
"""Characters of a client's `event_id`, by the specification."""
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def sequential_ids() -> Callable[[str], str]:
    """Make a factory of ids that look like the service's and count up: the same ones in every run.

    Returns:
        A function from a prefix (`item_`, `resp_`, `event_`, ...) to an id with 21 more characters,
        or 16 after `call_`.
    """
    count = 0
    # The lengths are those of the live service; some clients go by them.

    def new_id(prefix: str) -> str:
        nonlocal count
        count += 1
        digits, rest = "", count
        while rest:
            rest, digit = divmod(rest, len(_BASE62))
            digits = _BASE62[digit] + digits
        return prefix + digits.rjust(16 if prefix == "call_" else 21, "0")

    return new_id


@define(eq=False)
class ServerOutbox:
    """Where events wait to be taken, and where new ones get their ids."""

    new_id: Callable[[str], str]
    """Makes an id with a prefix, e.g. `item_`."""
    events: list[ServerEvent] = field(factory=list)
    """What has been said and not been taken yet."""

    def event_id(self) -> str:
        """An id for an event."""
        return self.new_id("event_")

    def send(self, event: ServerEvent) -> None:
        """Say something."""
        self.events.append(event)


Steps: TypeAlias = Generator[float, float, None]
"""Does something that takes its time: yields the times before which it must not go on, infinite
while it waits for something from outside, and is sent the time at which it does go on."""


class Task:
    """Something that takes its time.

    Args:
        steps: Does it.  It runs to the first time that it waits for at once.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.due = next(steps, None)

    due: float | None
    """When it goes on, and while it does, the time of that; None when it is done."""

    def advance(self) -> None:
        """Take the step that is due."""
        assert self.due is not None, "what is done has no steps left"
        try:
            self.due = self._steps.send(self.due)
        except StopIteration:
            self.due = None

    def wake(self, now: float) -> None:
        """Let it go on if it waits for something from outside."""
        # What waits for a time is not hurried: its pace is not that of whoever feeds it.
        if self.due == math.inf:
            self.due = now


class Lifecycle(ABC):
    """One connection from the greeting to the close.

    The constructor's arguments are explained where users meet them: in the subclasses.
    """

    def __init__(
        self,
        *,
        kind: SessionKind,
        model: str,
        new_id: Callable[[str], str] | None,
        expires_after: float,
        epoch: float,
    ) -> None:
        self.kind = kind
        self.model = model
        self._expires_after = expires_after
        self._epoch = epoch
        self._make_id = new_id or sequential_ids()
        self._out = ServerOutbox(self._new_id)
        self._is_connected = False
        self._now = 0.0
        self._expiry = math.inf
        self._close: Close | None = None

    @property
    def close(self) -> Close | None:
        """How the server wants the connection closed, None while it does not.

        The connection is to be closed when everything due has been taken; nothing is said after
        that.
        """
        return self._close

    @property
    def next_due(self) -> float | None:
        """When to call `take_due` again if nothing arrives until then.

        None if there will be nothing to take.
        """
        # First of all, since what was said before the server wanted to close is still to be sent.
        if self._out.events:
            return self._now
        if self._close is not None:
            return None
        due = min(self._next_step(), self._expiry)
        return due if due < math.inf else None

    def connect(self, now: float) -> None:
        """Greet the client.

        Args:
            now: Seconds of any clock that never goes back.

        Raises:
            LocalProtocolError: It was called before.
        """
        if self._is_connected:
            raise LocalProtocolError(
                "this server is connected already; every connection needs a server of its own"
            )
        self._is_connected = True
        self._now = now
        self._expiry = now + self._expires_after
        self._greet(int(self._epoch + self._expiry) if self._expiry < math.inf else None)

    def receive(self, event: Event, now: float) -> None:
        """Obey an event of the client, or refuse it with an `error` event.

        Nothing a client can send makes this raise.  Ignored once the server wants to close.

        Args:
            event: A client event, or the `UnknownEvent` that a codec makes of what it cannot type.
                A binary frame is an `UnknownEvent` whose `raw` is bytes.
            now: Seconds, as for `connect`.

        Raises:
            LocalProtocolError: A server event was passed, the server is not connected, or a
                predicate of the script failed.
        """
        if not self._is_connected:
            raise LocalProtocolError("a server obeys only after `connect`")
        if not isinstance(event, ClientEvent | UnknownEvent):
            raise LocalProtocolError(f"a server receives client events, not {type(event).__name__}")
        # What was due until now comes first: it was said before the client could be heard.
        self._advance(now)
        if self._close is not None:
            return
        try:
            if event.event_id:
                check_length(event.event_id, _MAX_EVENT_ID, "event_id")
            self._obey(event)
        except Refusal as refusal:
            # Nearly every error leaves the session as it was; whether one is fatal only the close
            # says.
            self._out.send(
                ErrorEvent(
                    event_id=self._out.event_id(), error=refusal.detail(event.event_id or None)
                )
            )

    def take_due(self, now: float) -> tuple[ServerEvent, ...]:
        """Everything to be sent by now, in order; each event is returned once."""
        self._advance(now)
        events = tuple(self._out.events)
        self._out.events.clear()
        return events

    def _advance(self, now: float) -> None:
        """Say everything that is due by now, each thing at its own time."""
        # A clock that goes back stands still here.
        until = max(self._now, now)
        while self._close is None:
            due = self._next_step()
            # What is due after the expiry is never said, however late somebody looks.
            if due < math.inf and due <= min(until, self._expiry):
                self._now = max(self._now, due)
                self._step()
            elif self._expiry <= until:
                # Error and close code as they were seen on the live wire after sixty minutes.
                minutes = f"{self._expires_after / 60:g}"
                error = ErrorDetail(
                    type="invalid_request_error",
                    code="session_expired",
                    message=f"Your session hit the maximum duration of {minutes} minutes.",
                )
                self._out.send(ErrorEvent(event_id=self._out.event_id(), error=error))
                self._close = Close(GOING_AWAY, "session_expired")
            else:
                break
        self._now = until

    def _new_id(self, prefix: str) -> str:
        """An id that is not in use."""
        return self._make_id(prefix)

    @abstractmethod
    def _greet(self, expires_at: int | None) -> None:
        """Say the first event."""

    @abstractmethod
    def _obey(self, event: ClientEvent | UnknownEvent) -> None:
        """Do what a client event says, or raise `Refusal` and change nothing."""

    @abstractmethod
    def _next_step(self) -> float:
        """When there is something to say next; infinite if not."""

    @abstractmethod
    def _step(self) -> None:
        """Say what is due at `_next_step`."""
