"""Audio that was sent as a message, until the server has taken the message.

Owns these few: the server repeats the message without its audio, so whoever wants to keep it has to
remember it.
"""

from __future__ import annotations

from typing import Final

from realtime_trio._frozen import frozen
from realtime_trio.audio.data import AudioData
from realtime_trio.events import ConversationItemCreate, InputAudio, UserMessage

_REMEMBERED: Final = 64
"""Messages that may wait to be taken; that lasts a round trip."""


@frozen
class _Message:
    event_id: str | None
    audio: dict[int, AudioData]


class SpokenMessages:
    """The audio of messages on their way, by item and content part."""

    def __init__(self) -> None:
        self._messages: dict[str, _Message] = {}

    def sent(self, event: ConversationItemCreate) -> None:
        """Note that an item was sent; most have no audio."""
        item = event.item
        if not isinstance(item, UserMessage) or not item.id:
            return
        audio = {
            index: part.audio
            for index, part in enumerate(item.content)
            if isinstance(part, InputAudio) and part.audio
        }
        if not audio:
            return
        while len(self._messages) >= _REMEMBERED:
            del self._messages[next(iter(self._messages))]
        self._messages[item.id] = _Message(event.event_id, audio)

    def take(self, item_id: str) -> dict[int, AudioData]:
        """The audio of a message that was taken, by content part; empty if it had none."""
        message = self._messages.pop(item_id, None)
        return {} if message is None else message.audio

    def refused(self, event_id: str | None) -> None:
        """Forget the message that an error is about, if it is about one."""
        for item_id, message in self._messages.items():
            if message.event_id == event_id:
                del self._messages[item_id]
                return
