"""What depends on the kind of session stands in one table."""

from __future__ import annotations

import pytest

from realtime_trio import events
from realtime_trio._protocol.kinds import KINDS, SessionKind, kind_at, kind_opened_by
from realtime_trio.events import (
    RealtimeSession,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
    TranscriptionSession,
    TranslationAudio,
    TranslationSession,
    TranslationSessionCreated,
)

REALTIME, TRANSCRIPTION, TRANSLATION = SessionKind


def test_every_kind_has_its_row_and_its_own_address() -> None:
    assert list(KINDS) == list(SessionKind)
    assert len({(row.path, row.intent) for row in KINDS.values()}) == len(KINDS)


@pytest.mark.parametrize("kind", SessionKind)
def test_wire_types_are_unique_within_a_kind_and_direction(kind: SessionKind) -> None:
    for classes in (KINDS[kind].client_events, KINDS[kind].server_events):
        assert len({cls.type for cls in classes}) == len(classes)


@pytest.mark.parametrize("kind", SessionKind)
def test_a_kind_begins_with_an_event_of_its_own_table(kind: SessionKind) -> None:
    assert KINDS[kind].created in KINDS[kind].server_events
    assert events.ErrorEvent in KINDS[kind].server_events


@pytest.mark.parametrize(
    ("path", "intent", "kind"),
    [
        ("/v1/realtime", None, REALTIME),
        ("/realtime", "conversation", REALTIME),
        ("/v1/realtime", "transcription", TRANSCRIPTION),
        ("/v1/realtime/translations", None, TRANSLATION),
        ("/v1/realtime/translations", "transcription", TRANSLATION),
        ("/v1/responses", None, None),
        ("", "transcription", None),
    ],
)
def test_an_address_tells_the_kind(path: str, intent: str | None, kind: SessionKind | None) -> None:
    assert kind_at(path, intent) is kind


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (SessionCreated(event_id="e", session=RealtimeSession()), REALTIME),
        (SessionCreated(event_id="e", session=TranscriptionSession()), TRANSCRIPTION),
        (
            TranslationSessionCreated(
                event_id="e",
                session=TranslationSession(
                    id="s", expires_at=0, model="m", audio=TranslationAudio()
                ),
            ),
            TRANSLATION,
        ),
        (SessionUpdated(event_id="e", session=RealtimeSession()), None),
    ],
)
def test_the_first_event_tells_the_kind(event: ServerEvent, kind: SessionKind | None) -> None:
    assert kind_opened_by(event) is kind


def test_the_url_names_the_model_of_a_session_unless_it_is_for_transcription() -> None:
    assert {kind for kind, row in KINDS.items() if not row.has_model_in_url} == {
        SessionKind.TRANSCRIPTION
    }
