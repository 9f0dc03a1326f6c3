"""The kinds of session, a row each: address, default model, and the events that travel.

Owns everything that depends on the kind of session alone.  A new kind is a member of `SessionKind`
and a row in `KINDS`.  What its events look like is in `events`, how they are read and written in
`_protocol.codec`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import AttrsInstance

from realtime_trio._frozen import frozen
from realtime_trio.events import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    TRANSLATION_CLIENT_EVENTS,
    TRANSLATION_SERVER_EVENTS,
    ClientEvent,
    Event,
    RealtimeSession,
    ServerEvent,
    SessionCreated,
    TranscriptionSession,
    TranslationSession,
    TranslationSessionCreated,
)

DEFAULT_MODEL: Final = "gpt-realtime-2.1"
"""The model of a voice session that names none.  A test finds other names in the documentation."""
DEFAULT_TRANSCRIPTION_MODEL: Final = "gpt-4o-transcribe"
"""The model of a transcription session that names none."""
DEFAULT_TRANSLATION_MODEL: Final = "gpt-realtime-translate"
"""The model of a translation session that names none."""


class SessionKind(enum.Enum):
    """What a session is for."""

    REALTIME = "realtime"
    """A conversation with a model, spoken or written."""
    TRANSCRIPTION = "transcription"
    """Speech in, text out; the events are those of a conversation."""
    TRANSLATION = "translation"
    """Speech in, translated speech out.  These sessions reuse the others' event names for other
    payloads."""


@frozen(kw_only=True)
class KindRow:
    """What one kind of session has of its own."""

    path: str
    """Path of its WebSocket, below the API's base."""
    intent: str | None = None
    """Value of the query parameter `intent`, which tells kinds that share a path apart; None for
    the one that needs none."""
    default_model: str
    """The model when the user names none."""
    has_model_in_url: bool = True
    """Whether the URL names the model; if not, only the configuration does."""
    has_beta: bool = True
    """Whether there are such sessions in the beta dialect."""
    client_events: tuple[type[ClientEvent], ...]
    """What a client may send."""
    server_events: tuple[type[ServerEvent], ...]
    """What the server may send."""
    created: type[SessionCreated | TranslationSessionCreated]
    """The event with which the server opens the session."""
    session: type[AttrsInstance]
    """The configuration that `created` carries."""


KINDS: Final[Mapping[SessionKind, KindRow]] = MappingProxyType(
    {
        SessionKind.REALTIME: KindRow(
            path="/realtime",
            default_model=DEFAULT_MODEL,
            client_events=CLIENT_EVENTS,
            server_events=SERVER_EVENTS,
            created=SessionCreated,
            session=RealtimeSession,
        ),
        SessionKind.TRANSCRIPTION: KindRow(
            path="/realtime",
            intent="transcription",
            default_model=DEFAULT_TRANSCRIPTION_MODEL,
            # The service refuses a model beside this intent; `session.update` names it.
            has_model_in_url=False,
            client_events=CLIENT_EVENTS,
            server_events=SERVER_EVENTS,
            created=SessionCreated,
            session=TranscriptionSession,
        ),
        SessionKind.TRANSLATION: KindRow(
            path="/realtime/translations",
            default_model=DEFAULT_TRANSLATION_MODEL,
            # Translation is younger than the beta.
            has_beta=False,
            client_events=TRANSLATION_CLIENT_EVENTS,
            server_events=TRANSLATION_SERVER_EVENTS,
            created=TranslationSessionCreated,
            session=TranslationSession,
        ),
    }
)
"""Every kind of session."""


def kind_at(path: str, intent: str | None) -> SessionKind | None:
    """The kind of session that an address asks for, None if there are no sessions there.

    Args:
        path: Path of the URL, without a slash at its end; it may start with any base.
        intent: The query parameter `intent`, None if there is none.  One that no kind has is the
            same as none.
    """
    # The end of the path decides: services put these addresses below bases of their own.
    there = [kind for kind, row in KINDS.items() if path.endswith(row.path)]
    by_intent = {KINDS[kind].intent: kind for kind in there}
    return by_intent.get(intent, by_intent.get(None))


def kind_opened_by(first: Event) -> SessionKind | None:
    """The kind of session that begins with this event, None if none does."""
    for kind, row in KINDS.items():
        # Voice and transcription sessions begin with the same event; only its content differs.
        if isinstance(first, row.created) and isinstance(first.session, row.session):
            return kind
    return None
