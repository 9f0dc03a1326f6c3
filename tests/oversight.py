"""Look over the shoulder of every simulated server in any test.

What it says must keep the protocol's order of events.  It must also fit the JSON Schema that the
environment variable REALTIME_SCHEMA names, if it names one: see `schema`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

import pytest
from attrs import define, field, frozen
from schema import check_message

from realtime_trio._order.check import CLIENT_RULES, UNANSWERED, check_order
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio.events import ConversationItemCreate, Event, ServerEvent
from realtime_trio.simulator.service.lifecycle import Lifecycle

_MOST_EVENTS = 20_000
"""Kept of one test; hypothesis would fill the memory."""
_NOT_THE_SERVERS = {*(rule.__name__ for rule in CLIENT_RULES), UNANSWERED}
"""Tests are clients that do wrong on purpose, and stop in the middle."""


@frozen
class _Said:
    source: Literal["client", "server"]
    event: Event


@define(eq=False)
class _Talk:
    """What a server and its client have said."""

    events: list[_Said] = field(factory=list)
    heard: list[tuple[int, Event]] = field(factory=list)
    """What the client has said since the server was last listened to, and after how many events of
    the server's."""
    created: set[str] = field(factory=set)
    """Ids of the client's items."""
    is_muddled: bool = False
    """Whether the client has used an id twice, as the service allows: from then on nobody can tell
    which item is meant."""

    def listen(self, said: Iterable[ServerEvent]) -> None:
        """Put together what both have said."""
        both = [_Said("server", event) for event in said]
        for position, event in reversed(self.heard):
            both.insert(position, _Said("client", event))
        self.heard.clear()
        for each in both:
            match each:
                case _Said("client", ConversationItemCreate(item=item)) if item.id is not None:
                    self.is_muddled = self.is_muddled or item.id in self.created
                    self.created.add(item.id)
                case _:
                    pass
            if not self.is_muddled:
                self.events.append(each)

    def check(self) -> None:
        complaints = [
            violation
            for violation in check_order(self.events)
            if violation.rule not in _NOT_THE_SERVERS
        ]
        shown = "\n".join(
            f"{complaint} (at {self.events[complaint.index].event.type})"
            for complaint in complaints
        )
        assert not complaints, f"a simulated server has broken the protocol's order:\n{shown}"


@contextmanager
def overseen() -> Iterator[None]:
    """Check what the simulated servers of a block have said."""
    talks: dict[Lifecycle, _Talk] = {}
    count = 0
    receive, take_due = Lifecycle.receive, Lifecycle.take_due

    def watched_receive(server: Lifecycle, event: Event, now: float) -> None:
        if server._is_connected:
            server._advance(now)  # what was due before is said before
            talks.setdefault(server, _Talk()).heard.append((len(server._out.events), event))
        receive(server, event, now)

    def watched_take(server: Lifecycle, now: float) -> tuple[ServerEvent, ...]:
        nonlocal count
        events = take_due(server, now)
        codec = Codec(Role.SERVER, kind=server.kind)
        for event in events:
            check_message(codec.encode(event), server.kind)
        talks.setdefault(server, _Talk()).listen(events)
        count += len(events)
        # Enough of this test: what its servers have said so far is checked, and no more.
        if count > _MOST_EVENTS:
            watch.undo()
        return events

    with pytest.MonkeyPatch.context() as watch:
        watch.setattr(Lifecycle, "receive", watched_receive)
        watch.setattr(Lifecycle, "take_due", watched_take)
        yield
    for talk in talks.values():
        talk.check()
