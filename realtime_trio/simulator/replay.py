"""A recorded session as a server, which says again what was said then.

Owns the comparison of the client that is here with the one that was recorded.  Refuses to know what
the recording means.

Theory of operation.  The recording is a row of steps, with one position in it.  A step of the
server is taken when it is due; a step of the client is passed when the client that is here has sent
as many requests, or as much audio.  So the client may run ahead, and what it has sent already
lets several steps pass at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import attrs
from attrs import define

from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._protocol.rewriting import rewrite
from realtime_trio._transport.contract import GOING_AWAY, NORMAL_CLOSURE, Close
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemCreated,
    ErrorDetail,
    ErrorEvent,
    Event,
    InputAudioBufferAppend,
    InputAudioBufferCommitted,
    JsonObject,
    ResponseCreate,
    ResponseOutputItemAdded,
    ServerEvent,
    TranslationSessionClosed,
    TranslationSessionInputAudioBufferAppend,
    UnknownEvent,
)
from realtime_trio.recording import Recording

_IDS: Final = frozenset(
    {"call_id", "event_id", "id", "item_id", "previous_item_id", "approval_request_id"}
)
"""Fields by which one event refers to another."""
_APPENDS: Final = (InputAudioBufferAppend, TranslationSessionInputAudioBufferAppend)


@define(eq=False)
class _Step:
    """A record of the recording."""

    event: Event
    is_client: bool
    gap: float
    """Seconds since the record before."""
    requests: int
    """How many requests the client had sent before it."""
    audio: int
    """How many bytes of audio the client had sent by then, this record included."""


class ReplayServer:
    """The server's side of a connection, played from a recording.

    It is a `Simulation`, for `run_server` and `open_simulator_transport`.

    Every event of the server waits for what the client had sent before it in the recording, and
    then for as long as it took there.  What the client sends is compared by type alone, so texts
    and settings may differ; of audio only the amount counts, however it is cut into pieces.  The
    ids that the client makes, for events, items and calls, take the place of those in the
    recording.  A client that sends something else gets an `error` event of the code
    `unexpected_event`, which says what the recording has there, and the recording goes on waiting
    for that.

    Messages of the server that this version does not know as events are left out.

    Args:
        recording: What to play.
        speed: How many times faster than it was recorded; infinite plays everything at once.

    Raises:
        LocalProtocolError: `speed` is not greater than 0.
    """

    def __init__(self, recording: Recording, *, speed: float = 1.0) -> None:
        if not speed > 0:
            raise LocalProtocolError(
                f"speed is {speed}; "
                "it must be greater than 0, and is infinite for everything at once"
            )
        self._kind = recording.kind
        self._speed = speed
        self._steps = list(_steps(recording))
        self._requests = [
            step for step in self._steps if step.is_client and not isinstance(step.event, _APPENDS)
        ]
        self._nameless = _ids_of_nameless_items(recording)
        self._position = 0
        self._reached = 0.0
        self._now = 0.0
        self._requested_at: list[float] = []
        self._audio = 0
        self._audio_at = 0.0
        self._ids: dict[str, str] = {}
        self._metadata: list[tuple[JsonObject, JsonObject | None]] = []
        self._refusals: list[ErrorEvent] = []
        self._refused = 0
        self._close: Close | None = None

    @property
    def kind(self) -> SessionKind:
        """What the session is for."""
        return self._kind

    @property
    def is_finished(self) -> bool:
        """Whether everything in the recording has been said and heard."""
        return self._position == len(self._steps)

    @property
    def expected(self) -> str | None:
        """Type of the event that the client is to send next, audio left aside.

        None if it has sent everything that the recorded client had sent.
        """
        return (
            self._requests[self._request_count].event.type
            if self._request_count < len(self._requests)
            else None
        )

    @property
    def close(self) -> Close | None:
        """How it wants the connection closed: as the service does where a session ends by itself.

        None as long as it does not want that.
        """
        return self._close

    @property
    def next_due(self) -> float | None:
        """When to call `take_due` again if nothing arrives until then.

        None if the client has to send something first.
        """
        if self._refusals:
            return self._now
        step = self._next_step
        return None if step is None or step.is_client else self._due(step)

    def connect(self, now: float) -> None:
        """Begin; called once, before everything else."""
        self._now = self._reached = self._audio_at = now
        self._pass_client()

    def receive(self, event: Event, now: float) -> None:
        """Take what the client sent."""
        self._now = max(self._now, now)
        if isinstance(event, _APPENDS):
            self._audio += event.audio.nbytes
            self._audio_at = self._now
        elif event.type == self.expected:
            self._note_request(self._requests[self._request_count], event)
        else:
            self._refuse(event)
        self._pass_client()

    def take_due(self, now: float) -> tuple[ServerEvent, ...]:
        """Everything to be sent by now, in order; each event is returned once."""
        self._now = max(self._now, now)
        events: list[ServerEvent] = []
        while (
            (step := self._next_step) is not None
            and not step.is_client
            and self._due(step) <= self._now
        ):
            # When it was due and not now, so that a late call does not delay all that follows.
            self._reached = self._due(step)
            self._position += 1
            events.append(self._translated(step.event))
            self._pass_client()
        events += self._refusals
        self._refusals.clear()
        if self.is_finished and events:
            self._close = _close_after(events[-1])
        return tuple(events)

    # --- inside -----------------------------------------------------------------------------------

    @property
    def _request_count(self) -> int:
        return len(self._requested_at)

    @property
    def _next_step(self) -> _Step | None:
        return None if self.is_finished else self._steps[self._position]

    def _due(self, step: _Step) -> float:
        return self._reached + step.gap / self._speed

    def _pass_client(self) -> None:
        """Go on to the next thing to say, over everything that the client has sent already."""
        while (step := self._next_step) is not None and step.is_client:
            # This goes for audio too: a client that has come to the next request will not send more
            # of it before that, even if it sent less than the recorded one.
            if step.requests < self._request_count:
                arrived = self._requested_at[step.requests]
            elif isinstance(step.event, _APPENDS) and step.audio <= self._audio:
                arrived = self._audio_at
            else:
                break
            self._reached = max(self._reached, arrived)
            self._position += 1

    def _note_request(self, step: _Step, event: Event) -> None:
        # The first pair counts: an id is met where it is made before it is met where it is used.
        for old, new in _pairs(step.event, event):
            self._ids.setdefault(old, new)
        match step.event, event:
            case ConversationItemCreate(item=then), ConversationItemCreate(item=now) if (
                now.id and not then.id
            ):
                if made := self._nameless.get(self._request_count):
                    self._ids.setdefault(made, now.id)
            case ResponseCreate(response=then), ResponseCreate(response=now) if (
                then is not None and then.metadata
            ):
                self._metadata.append((then.metadata, now.metadata if now is not None else None))
        # The amounts are aligned here, so that a client that speaks shorter or longer does not
        # drift out of step with the recording.
        self._audio = step.audio
        self._requested_at.append(self._now)

    def _refuse(self, event: Event) -> None:
        self._refused += 1
        expected = f"'{self.expected}'" if self.expected is not None else "nothing more"
        error = ErrorDetail(
            type="invalid_request_error",
            code="unexpected_event",
            message=(
                f"The recording goes on with {expected} from the client, but '{event.type}' came."
            ),
            event_id=getattr(event, "event_id", None) or None,
        )
        self._refusals.append(ErrorEvent(event_id=f"event_unexpected_{self._refused}", error=error))

    def _translated(self, event: Event) -> ServerEvent:
        assert isinstance(event, ServerEvent), "steps of the server are its events"
        return rewrite(rewrite(event, self._replace_ids), self._replace_metadata)

    def _replace_ids(self, name: str, value: object) -> object:
        if isinstance(value, str):
            if name in _IDS:
                return self._ids.get(value, value)
            # Explanations of errors quote ids.
            if name == "message":
                for then, now in self._ids.items():
                    value = (
                        value.replace(f"'{then}'", f"'{now}'") if f"'{then}'" in value else value
                    )
        return value

    def _replace_metadata(self, name: str, value: object) -> object:
        if name == "metadata" and isinstance(value, Mapping):
            return next((now for then, now in self._metadata if then == value), value)
        return value


def _close_after(event: Event) -> Close | None:
    """How the service closes the connection after this event, if it is the last."""
    match event:
        case TranslationSessionClosed():
            return Close(NORMAL_CLOSURE)
        case ErrorEvent(error=ErrorDetail(code="session_expired")):
            return Close(GOING_AWAY, "session_expired")
    return None


def _steps(recording: Recording) -> Iterator[_Step]:
    requests = audio = 0
    time = 0.0
    for record in recording.records:
        event, is_client = record.event, record.source == "client"
        if isinstance(event, UnknownEvent) and not is_client:
            continue
        if isinstance(event, _APPENDS):
            audio += event.audio.nbytes
        yield _Step(event, is_client, max(0.0, record.time - time), requests, audio)
        requests += is_client and not isinstance(event, _APPENDS)
        # The opening of a further connection stands behind what was said on the old one meanwhile.
        time = max(time, record.time)


def _pairs(then: object, now: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Ids that stand in the same places of two events and differ."""
    if isinstance(then, str) and isinstance(now, str):
        if name in _IDS and then != now:
            yield then, now
    elif isinstance(then, tuple) and isinstance(now, tuple):
        # Not strict: the client may send another number of parts than the recorded one.
        for one, other in zip(then, now, strict=False):
            yield from _pairs(one, other, name)
    elif type(then) is type(now) and attrs.has(cls := type(then)):
        for field in attrs.fields(cls):
            yield from _pairs(getattr(then, field.name), getattr(now, field.name), field.name)


def _ids_of_nameless_items(recording: Recording) -> dict[int, str]:
    """Ids that the server made for items of the client, by the number of the request."""
    ids: dict[int, str] = {}
    others: set[str | None] = set()
    waiting: list[tuple[int, type]] = []
    requests = 0
    for record in recording.records:
        match record.event:
            case ConversationItemCreate(item=item):
                if item.id:
                    others.add(item.id)
                else:
                    waiting.append((requests, type(item)))
            case ResponseOutputItemAdded(item=item):
                others.add(item.id)
            case InputAudioBufferCommitted(item_id=item_id):
                others.add(item_id)
            # An item of which nothing is known was made for a client that gave no id.  Those that
            # wait are served in order and by kind, since one before them may have been refused.
            case ConversationItemAdded(item=item) | ConversationItemCreated(item=item) if (
                item.id and item.id not in others
            ):
                found = next((entry for entry in waiting if entry[1] is type(item)), None)
                if found is not None:
                    waiting.remove(found)
                    ids[found[0]] = item.id
        requests += record.source == "client" and not isinstance(record.event, _APPENDS)
    return ids
