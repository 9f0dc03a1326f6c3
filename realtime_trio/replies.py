"""Who waits for which answer: matches server events to the client events they acknowledge or refuse.

Owns the open requests of a session.  Pure: it is told what was sent and what came, and calls back when a request is settled.  It refuses to
know what waiting is.

The protocol acknowledges most requests without naming them, so acknowledgements of one kind are matched in the order of the requests, which
is the order in which the server works.  Refusals name the request by its event id.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from attrs import define, field

from realtime_trio.errors import ServerError
from realtime_trio.events import (
    ClientEvent,
    ErrorEvent,
    Event,
    ServerEvent,
    SessionUpdate,
    SessionUpdated,
    TranslationSessionUpdate,
    TranslationSessionUpdated,
)

_ACKNOWLEDGED_BY: Final[dict[type[Event], type[ServerEvent]]] = {
    SessionUpdate: SessionUpdated,
    TranslationSessionUpdate: TranslationSessionUpdated,
}


@define(eq=False)
class Request:
    """One client event that waits for its answer."""

    event_id: str
    """Id of the client event."""
    on_settled: Callable[[], None] = field(repr=False)
    """Called once, when `answer` or `error` has been set.  Must not raise."""
    answer: ServerEvent | None = None
    """The acknowledgement."""
    error: Exception | None = None
    """Why there is none: a `ServerError`, or what ended the session."""

    def _settle(self, answer: ServerEvent | None, error: Exception | None) -> None:
        self.answer, self.error = answer, error
        self.on_settled()


class Replies:
    """The open requests of one session."""

    def __init__(self) -> None:
        self._waiting: dict[type[ServerEvent], deque[Request]] = {}

    def expect(self, event: Event, on_settled: Callable[[], None]) -> Request | None:
        """Note that `event` is about to be sent; None if its answer could not be told: its kind has none, or it has no id to be refused by.

        A request stays here until it is settled even if nobody waits for it any more, because the next one's answer comes after its own.
        """
        answer = _ACKNOWLEDGED_BY.get(type(event))
        if answer is None or not isinstance(event, ClientEvent) or not event.event_id:
            return None
        request = Request(event.event_id, on_settled)
        self._waiting.setdefault(answer, deque()).append(request)
        return request

    def withdraw(self, request: Request) -> None:
        """Forget a request that was not sent after all."""
        for queue in self._waiting.values():
            if request in queue:
                queue.remove(request)

    def settle(self, event: ServerEvent) -> None:
        """Take note of a server event: it may answer the oldest request of its kind, or refuse the one it names."""
        if isinstance(event, ErrorEvent):
            self._refuse(event)
        elif queue := self._waiting.get(type(event)):
            queue.popleft()._settle(event, None)

    def close(self, error: Exception) -> None:
        """Settle everything that is still open with `error`."""
        waiting, self._waiting = self._waiting, {}
        for queue in waiting.values():
            for request in queue:
                request._settle(None, error)

    def _refuse(self, event: ErrorEvent) -> None:
        detail = event.error
        for queue in self._waiting.values():
            for request in queue:
                if request.event_id == detail.event_id:
                    queue.remove(request)
                    error = ServerError(detail.message, type=detail.type, code=detail.code, param=detail.param, event_id=detail.event_id)
                    request._settle(None, error)
                    return
