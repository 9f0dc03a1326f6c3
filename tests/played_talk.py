"""A conversation whose speech is played, told by a server's events; for tests."""

from __future__ import annotations

from typing import Any

from conversation_events import added, assistant, created, output_added

from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio.events import ClientEvent, Event
from realtime_trio.playback import Interruption, Playback


class PlayedTalk:
    """Does as a session does: what the server says goes to the conversation and to the playback.

    Args:
        rate: Of the sink.
        how: Keywords of the `Playback`.
    """

    def __init__(self, rate: int = 24_000, **how: Any) -> None:
        self.conversation = Conversation()
        self.playback = Playback(rate, **how)

    def hear(self, *said: Event) -> list[ClientEvent]:
        """Take what the server says; returns what the playback wants to be sent."""
        sent: list[ClientEvent] = []
        for event in said:
            for told in (event, *self.conversation.apply(event)):
                sent += self.playback.apply(told)
        return sent

    def interrupt(self) -> Interruption:
        """Interrupt as a client, and send what that asks for."""
        interruption = self.playback.interrupt()
        for event in interruption.events:
            self.conversation.sent(event)
        return interruption

    def begin(self, item_id: str = "item_1", response_id: str = "resp_1") -> None:
        """The server begins a response with a message."""
        self.hear(created(response_id))
        self.begin_item(item_id, response_id)

    def begin_item(self, item_id: str, response_id: str = "resp_1") -> None:
        """The server begins a message."""
        item = assistant(item_id)
        self.hear(output_added(item, response_id), added(item))
