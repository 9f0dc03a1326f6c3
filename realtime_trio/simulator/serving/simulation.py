"""What can be driven, and what can be put around it: a configuration, and the beta protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from realtime_trio._protocol.dialects import server_to_beta
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._transport.contract import Close
from realtime_trio.events import (
    ClientEvent,
    ConversationCreated,
    Event,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
    TranslationSessionCreated,
    TranslationSessionUpdated,
)


class Simulation(Protocol):
    """What can be driven: the server's side of one connection, whatever it is for.

    `SimulatedServer` and `SimulatedTranslator` can, and so can a class of your own that wraps them
    or takes their place.
    """

    @property
    def kind(self) -> SessionKind:
        """What the session is for; it decides which events there are."""
        ...

    @property
    def close(self) -> Close | None:
        """How it wants the connection closed, once it does and everything due has been taken."""
        ...

    @property
    def next_due(self) -> float | None:
        """When to call `take_due` again if nothing arrives until then.

        None if there will be nothing to take.  It changes whenever there is something new to say.
        """
        ...

    def connect(self, now: float) -> None:
        """Greet the client; called once, before everything else."""
        ...

    def receive(self, event: Event, now: float) -> None:
        """Take what the client sent: a client event, or an `UnknownEvent`."""
        ...

    def take_due(self, now: float) -> Sequence[ServerEvent]:
        """Everything to be sent by now, in order; each event is returned once."""
        ...


class _Around:
    """Does what another simulation does, except for what it says."""

    def __init__(self, server: Simulation) -> None:
        self._server = server

    @property
    def kind(self) -> SessionKind:
        """What the session is for."""
        return self._server.kind

    @property
    def close(self) -> Close | None:
        """How it wants the connection closed."""
        return self._server.close

    @property
    def next_due(self) -> float | None:
        """When to call `take_due` again if nothing arrives until then."""
        return self._server.next_due

    def connect(self, now: float) -> None:
        """Greet the client."""
        self._server.connect(now)

    def receive(self, event: Event, now: float) -> None:
        """Take what the client sent."""
        self._server.receive(event, now)


class Configured(_Around):
    """A session that has been configured before it greets its client.

    Sessions are, for example, that were prepared with a client secret.

    Args:
        server: A fresh one.
        update: The configuration, as the client would send it.  If the server refuses it, the
            client is told so after the greeting.
    """

    def __init__(self, server: Simulation, update: ClientEvent) -> None:
        super().__init__(server)
        self._update = update
        self._has_greeted = False

    def connect(self, now: float) -> None:
        """Configure the session and greet the client."""
        # The greeting stays in the server until it is taken, so it can show the configuration.
        super().connect(now)
        self._server.receive(self._update, now)

    def take_due(self, now: float) -> Sequence[ServerEvent]:
        """Everything to be sent by now, first the greeting, which shows the configured session."""
        events = self._server.take_due(now)
        if not self._has_greeted:
            self._has_greeted = True
            # The client did not ask for an update, so it is not told of one: greeting and answer
            # become one event.  If the update was refused there is an error, and both stay.
            match events:
                case [SessionCreated() as created, SessionUpdated(session=session), *others]:
                    return [attrs.evolve(created, session=session), *others]
                case [
                    TranslationSessionCreated() as started,
                    TranslationSessionUpdated(session=configured),
                    *others,
                ]:
                    return [attrs.evolve(started, session=configured), *others]
        return events


class InBeta(_Around):
    """A session whose client knows only the beta protocol: what that has no event for is not said.

    To be encoded with `Codec(Role.SERVER, Dialect.BETA)`.

    Args:
        server: A fresh one.
        opening: Said right after the greeting, as it was in the beta.  None for sessions that have
            no conversation.
    """

    def __init__(self, server: Simulation, opening: ConversationCreated | None = None) -> None:
        super().__init__(server)
        self._opening = opening

    def take_due(self, now: float) -> Sequence[ServerEvent]:
        """Everything to be sent by now that a beta client understands."""
        due: list[ServerEvent] = []
        for event in self._server.take_due(now):
            # By the type alone: whether the beta has such an event does not depend on its fields.
            if server_to_beta({"type": event.type}) is not None:
                due.append(event)
            if isinstance(event, SessionCreated) and self._opening is not None:
                due.append(self._opening)
        return due
