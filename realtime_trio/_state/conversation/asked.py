"""Which responses stay out of the conversation, where the server does not say it.

Owns the creates that the server has not answered, as far as the conversation depends on them.  The
service writes a null for the conversation of a response out of band; several compatible servers
leave `conversation_id` out of all responses.  Then it is what this client has asked for.
"""

from __future__ import annotations

from typing import Final

from realtime_trio._state.turns.run import is_answered_by
from realtime_trio.events import Response, ResponseCreate, Unset

_REMEMBERED: Final = 64
"""Creates that may be under way: one in the conversation, and few beside it."""


class AskedResponses:
    """The creates of one session that were not answered yet, the oldest first."""

    def __init__(self) -> None:
        self._creates: list[ResponseCreate] = []

    def sent(self, event: ResponseCreate) -> None:
        """Note that a response was asked for."""
        self._creates = [*self._creates, event][-_REMEMBERED:]

    def refused(self, event_id: str | None) -> None:
        """Note an error, which may refuse one of them."""
        self._creates = [create for create in self._creates if create.event_id != event_id]

    def begun(self, response: Response) -> bool:
        """Note that a response has begun; say whether it is out of band."""
        conversation = response.conversation_id
        named = [create for create in self._creates if is_answered_by(create, response.metadata)]
        # A response without a name is more likely one of the conversation: turn detection, or a
        # server that does not repeat metadata, makes many of those.
        guesses = sorted(self._creates, key=_is_aside)
        if not isinstance(conversation, Unset):
            guesses = [each for each in guesses if _is_aside(each) == (conversation is None)]
        answered = next(iter([*named, *guesses]), None)
        if answered is not None:
            self._creates.remove(answered)
        if isinstance(conversation, Unset):
            return answered is not None and _is_aside(answered)
        return conversation is None


def _is_aside(create: ResponseCreate) -> bool:
    return create.response is not None and create.response.conversation == "none"
