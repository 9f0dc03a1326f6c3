"""A client of the simulated server without a network, for tests: it checks all that it is told.

Owns the clock of such a test, and short words for what came of something.  What only tests of
detected turns or of hosted tools need is in `detected_turns` and `hosted_tools`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from schema import check_message

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio.audio import AudioData
from realtime_trio.events import (
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ErrorDetail,
    ErrorEvent,
    Event,
    RealtimeSession,
    ResponseDone,
    ResponseUsage,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    UnknownEvent,
)
from realtime_trio.simulator import Reply, Script, SimulatedServer
from realtime_trio.simulator.service.strictness import read_message

E = TypeVar("E", bound=Event)

LOOK = Reply.call("look", x=1)

TEXT_RESPONSE = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_text.delta*",
    "response.output_text.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]
"""What a response of one text consists of, in the shorthand of `types`."""


class Client:
    """Encodes what the server says, holds it against the schema, and decodes it strictly.

    Args:
        replies: What the model says.
        text: Ask for text instead of speech, in the whole session.
        server: The other side, instead of one that gives the replies.
        options: For a server that gives the replies.
    """

    def __init__(
        self,
        *replies: Reply,
        text: bool = False,
        server: SimulatedServer | None = None,
        **options: Any,
    ) -> None:
        self.server = server or SimulatedServer(Script(replies), **options)
        self.now = 0.0
        self.theirs = Codec(Role.SERVER, kind=self.server.kind)
        self._ours = Codec(Role.CLIENT, kind=self.server.kind, strict=True)
        self.server.connect(self.now)
        (created,) = self.take()
        assert isinstance(created, SessionCreated)
        self.created = created
        if text:
            self.send(SessionUpdate(session=SessionConfig(output_modalities=("text",))))

    def take(self, now: float | None = None) -> list[Event]:
        """What the server has to say by now."""
        self.now = self.now if now is None else now
        events: list[Event] = []
        for event in self.server.take_due(self.now):
            text = self.theirs.encode(event)
            check_message(text, self.server.kind)
            received = self._ours.decode(text)
            assert type(received) is type(event)
            events.append(received)
        return events

    def send(self, *events: Event, now: float | None = None) -> list[Event]:
        """Send these at once; return what came of them."""
        self.now = self.now if now is None else now
        for event in events:
            self.server.receive(
                event
                if isinstance(event, UnknownEvent)
                else self.theirs.decode(self._ours.encode(event)),
                self.now,
            )
        return self.take()

    def say(self, message: str) -> list[Event]:
        """Send a raw message."""
        self.server.receive(read_message(self.theirs, message), self.now)
        return self.take()

    def refused(self, event: Event | str) -> ErrorDetail:
        """Send something that is wrong; return the refusal, which is all that came of it."""
        (error,) = self.say(event) if isinstance(event, str) else self.send(event)
        assert isinstance(error, ErrorEvent)
        assert error.error.type == "invalid_request_error"
        return error.error

    @property
    def session(self) -> RealtimeSession:
        """The configuration as it is now."""
        (updated,) = self.send(SessionUpdate(session=SessionConfig()))
        assert isinstance(updated, SessionUpdated)
        assert isinstance(updated.session, RealtimeSession)
        return updated.session

    def item(self, item_id: str) -> Any:
        """An item as it is now, with the user's audio."""
        (retrieved,) = self.send(ConversationItemRetrieve(item_id=item_id))
        assert isinstance(retrieved, ConversationItemRetrieved)
        return retrieved.item


def of_type(events: Sequence[Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def only(events: Sequence[Event], kind: type[E]) -> E:
    (event,) = of_type(events, kind)
    return event


def types(events: Sequence[Event]) -> list[str]:
    """The wire types; several of the same in a row count once, marked with a star."""
    names: list[str] = []
    for event in events:
        if names and names[-1].rstrip("*") == event.type:
            names[-1] = f"{event.type}*"
        else:
            names.append(event.type)
    return names


def audio(milliseconds: float) -> AudioData:
    return AudioData(np.full(int(24 * milliseconds), 1000, np.int16))


def usage(events: Sequence[Event]) -> ResponseUsage:
    found = only(events, ResponseDone).response.usage
    assert found is not None
    return found
