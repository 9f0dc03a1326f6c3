"""What can be put around a server, so that it begins configured or speaks the beta protocol."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._transport.contract import Close
from realtime_trio.events import (
    UNSET,
    ClientEvent,
    ConversationCreated,
    ConversationInfo,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDone,
    ErrorEvent,
    Event,
    RealtimeSession,
    ResponseCreate,
    ServerEvent,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    TranslationSessionConfig,
    TranslationSessionCreated,
    TranslationSessionUpdate,
    UserMessage,
)
from realtime_trio.simulator import Reply, Script, SimulatedServer, SimulatedTranslator
from realtime_trio.simulator.serving.simulation import Configured, InBeta, Simulation


def test_a_configured_session_shows_its_configuration_in_the_greeting() -> None:
    server = Configured(
        SimulatedServer(Script()), SessionUpdate(session=SessionConfig(instructions="Be kind."))
    )
    server.connect(5.0)
    assert server.next_due == 5.0
    (created,) = server.take_due(5.0)
    assert isinstance(created, SessionCreated)
    assert isinstance(created.session, RealtimeSession)
    assert created.session.instructions == "Be kind."
    assert created.session.expires_at == 3605
    server.receive(SessionUpdate(session=SessionConfig(instructions="Be brief.")), 6.0)
    assert [type(event) for event in server.take_due(6.0)] == [SessionUpdated]
    assert (server.kind, server.close) == (SessionKind.REALTIME, None)


def test_a_configured_translation_shows_its_language_in_the_greeting() -> None:
    update = TranslationSessionUpdate(session=TranslationSessionConfig.of(language="fr"))
    server = Configured(SimulatedTranslator(Script()), update)
    server.connect(0.0)
    (created,) = server.take_due(0.0)
    assert isinstance(created, TranslationSessionCreated)
    assert created.session.audio.output is not None
    assert created.session.audio.output.language == "fr"


def test_a_configuration_that_is_refused_is_told_after_the_greeting() -> None:
    server = Configured(
        SimulatedServer(Script()), SessionUpdate(session=SessionConfig(max_output_tokens=0))
    )
    server.connect(0.0)
    created, error = server.take_due(0.0)
    assert isinstance(created, SessionCreated)
    assert isinstance(error, ErrorEvent)


def said(server: Simulation, *events: ClientEvent) -> list[type]:
    server.connect(0.0)
    for event in events:
        server.receive(event, 0.0)
    return [type(event) for event in server.take_due(1000.0)]


def test_what_the_beta_protocol_has_no_event_for_is_not_said() -> None:
    events = (
        SessionUpdate(session=SessionConfig(output_modalities=("text",), tools=UNSET)),
        ConversationItemCreate(item=UserMessage.text("Hi")),
        ResponseCreate(),
    )
    everything = said(SimulatedServer(Script([Reply.text("Hello")])), *events)
    in_beta = said(InBeta(SimulatedServer(Script([Reply.text("Hello")]))), *events)
    assert ConversationItemDone in everything
    assert in_beta == [kind for kind in everything if kind is not ConversationItemDone]
    assert in_beta.count(ConversationItemAdded) == 2


@pytest.mark.parametrize("kind", [SessionKind.REALTIME, SessionKind.TRANSCRIPTION])
def test_what_is_said_in_beta_can_be_written_in_beta(kind: SessionKind) -> None:
    server = InBeta(SimulatedServer(Script([Reply.speech("Hello")]), kind=kind))
    codec = Codec(Role.SERVER, Dialect.BETA, kind=kind)
    server.connect(0.0)
    for event in (ConversationItemCreate(item=UserMessage.text("Hi")), ResponseCreate()):
        server.receive(event, 0.0)
    written = [codec.encode(event) for event in server.take_due(1000.0)]
    prefix = "transcription_" if kind is SessionKind.TRANSCRIPTION else ""
    assert f'"type":"{prefix}session.created"' in written[0]
    assert '"type":"conversation.item.created"' in written[1]


def test_the_beta_protocol_tells_of_the_conversation_right_after_the_greeting() -> None:
    opening = ConversationCreated(event_id="e", conversation=ConversationInfo(id="conv_1"))
    update = SessionUpdate(session=SessionConfig(output_modalities=("text",)))
    server = InBeta(Configured(SimulatedServer(Script()), update), opening)
    assert said(server) == [SessionCreated, ConversationCreated]


class Talker:
    """A server that is to say these events, one batch at a time, and then closes."""

    kind = SessionKind.TRANSCRIPTION

    def __init__(self, *batches: list[ServerEvent]) -> None:
        self.batches = list(batches)
        self.received: list[tuple[Event, float]] = []

    @property
    def close(self) -> Close | None:
        return None if self.batches else Close(4000, "said")

    @property
    def next_due(self) -> float | None:
        return 7.0 if self.batches else None

    def connect(self, now: float) -> None: ...

    def receive(self, event: Event, now: float) -> None:
        self.received.append((event, now))

    def take_due(self, now: float) -> list[ServerEvent]:
        return self.batches.pop(0)


CREATED = SessionCreated(event_id="event_1", session=RealtimeSession(model="m"))
UPDATED = SessionUpdated(event_id="event_2", session=RealtimeSession(model="n"))
UPDATE = SessionUpdate(session=SessionConfig())


@pytest.mark.parametrize("around", [InBeta, lambda server: Configured(server, UPDATE)])
def test_what_is_put_around_a_server_changes_nothing_else(
    around: Callable[[Simulation], Simulation],
) -> None:
    talker = Talker([CREATED])
    server = around(talker)
    server.connect(1.0)
    server.receive(ResponseCreate(), 2.0)
    assert talker.received[-1] == (ResponseCreate(), 2.0)
    assert (server.kind, server.close, server.next_due) == (
        SessionKind.TRANSCRIPTION,
        None,
        7.0,
    )
    assert list(server.take_due(7.0)) == [CREATED]
    assert (server.close, server.next_due) == (Close(4000, "said"), None)


def test_only_the_greeting_becomes_one_with_the_answer_to_its_configuration() -> None:
    talker = Talker([CREATED, UPDATED, UPDATED], [CREATED, UPDATED])
    server = Configured(talker, UPDATE)
    server.connect(1.0)
    assert talker.received == [(UPDATE, 1.0)]
    greeting = SessionCreated(event_id="event_1", session=UPDATED.session)
    assert server.take_due(1.0) == [greeting, UPDATED]
    assert server.take_due(1.0) == [CREATED, UPDATED]
