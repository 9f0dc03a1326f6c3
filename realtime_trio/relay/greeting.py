"""The beginning of a session through a relay: configured before the guest sees it.

Pure.  Owns what the relay sends by itself at the beginning, and makes of the two answers of the
service the one greeting that the guest gets, as if the session had been born so: a guest that
configures its session at once must not take the answer to the relay for its own.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

from attrs import evolve

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.json_text import write_json
from realtime_trio.events import (
    SessionConfig,
    SessionUpdate,
    TranslationSessionConfig,
    TranslationSessionUpdate,
)
from realtime_trio.relay.grant import Grant
from realtime_trio.relay.reading import Json

_MOST_HELD: Final = 16
"""Events that a service sends before it has taken the configuration; there are none today."""


class GreetingError(Exception):
    """The service does not begin, or does not take the configuration; the text is the service's."""


class _Phase(enum.Enum):
    AWAITING_CREATED = enum.auto()
    AWAITING_UPDATED = enum.auto()
    DONE = enum.auto()


class Greeting:
    """The beginning of one session.

    Args:
        grant: With the configuration.
        new_id: Makes ids of events: called with a prefix.
    """

    def __init__(self, grant: Grant, new_id: Callable[[str], str]) -> None:
        self._update = _update(grant, new_id("event_"))
        self._phase = _Phase.AWAITING_CREATED
        self._created: Json = {}
        self._held: list[str] = []

    @property
    def is_done(self) -> bool:
        """Whether the guest may begin."""
        return self._phase is _Phase.DONE

    def take(self, text: str, payload: Json) -> tuple[str | None, list[str]]:
        """Take a message of the service.

        Args:
            text: The message.
            payload: The same, read.

        Returns:
            What to send to the service, and what is for the guest.

        Raises:
            GreetingError: There is not going to be a session.
        """
        wire_type = payload.get("type")
        if wire_type == "error":
            error = payload.get("error")
            raise GreetingError(str(error.get("message") if isinstance(error, dict) else error))
        match self._phase, wire_type:
            case _Phase.AWAITING_CREATED, "session.created" if self._update is None:
                self._phase = _Phase.DONE
                return None, [text, *self._held]
            case _Phase.AWAITING_CREATED, "session.created":
                self._phase, self._created = _Phase.AWAITING_UPDATED, payload
                return self._update, []
            case _Phase.AWAITING_UPDATED, "session.updated":
                self._phase = _Phase.DONE
                created = {**self._created, "session": payload.get("session")}
                return None, [write_json(created), *self._held]
        if len(self._held) == _MOST_HELD:
            raise GreetingError("it says a lot, but not how the session is configured")
        self._held.append(text)
        return None, []


def _update(grant: Grant, event_id: str) -> str | None:
    """The text that configures the session of a grant, None if nothing is to be configured."""
    codec = Codec(Role.CLIENT, kind=grant.kind)
    config = grant.session
    if len(grant.tools):
        assert config is None or isinstance(config, SessionConfig), "the grant says so"
        config = evolve(config or SessionConfig(), tools=grant.tools.definitions)
    if config is None:
        return None
    if isinstance(config, TranslationSessionConfig):
        return codec.encode(TranslationSessionUpdate(session=config, event_id=event_id))
    return codec.encode(SessionUpdate(session=config, event_id=event_id))
