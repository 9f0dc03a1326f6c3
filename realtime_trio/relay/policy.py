"""What becomes of every message that comes to a relay: the rules and the limits together.

Owns one session's counts and times.  Pure: messages and times go in, and what is to be done comes
out.  It refuses to know what a connection is.

Theory of operation.  Nearly all that travels are deltas one way and appends the other.  Those are
asked about first, by `passes_to_service` and `passes_to_guest`, which look at no more of a message
than is safe (see `reading`) and count it; whatever they do not let pass is read as a whole, by
`from_guest` and `from_service`.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final, TypeGuard

from attrs import define

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.json_text import parse_json
from realtime_trio._state.costs import Usage
from realtime_trio.audio.pcm import PCM_RATE
from realtime_trio.events import (
    ClientEvent,
    ErrorDetail,
    ErrorEvent,
    ResponseCancel,
    ResponseCreate,
)
from realtime_trio.relay.actions import Actions, ToGuest, ToService
from realtime_trio.relay.ending import limit_reached, too_big, unavailable
from realtime_trio.relay.grant import Grant
from realtime_trio.relay.greeting import Greeting, GreetingError
from realtime_trio.relay.guest_events import GuestEvents, NotAllowedError, audio_in, items_named_by
from realtime_trio.relay.limits import Lead, Pace
from realtime_trio.relay.reading import (
    Json,
    UnreadableError,
    audio_of_append,
    read_from_guest,
    read_from_service,
    type_from_service,
)
from realtime_trio.relay.service_events import PLAIN, ServiceEvents
from realtime_trio.relay.spending import CONCERNS, Spending

_PCM_BYTES: Final = 2.0 * PCM_RATE
"""Bytes of a second of audio, unless the session has another format."""
_BYTES_OF_FORMATS: Final = {"audio/pcmu": 8000.0, "audio/pcma": 8000.0}
_BYTES_PER_CHARACTER: Final = 3 / 4
"""Of base64."""
_LONGEST_ID: Final = 512
"""Characters; the service does not take longer ones."""


@define(kw_only=True)
class Tally:
    """What a session has used so far."""

    events_up: int = 0
    """Events of the guest that were passed on."""
    events_down: int = 0
    """Events of the service that were passed on."""
    refused: int = 0
    """Events of the guest that were not."""
    audio_seconds: float = 0.0
    """Audio of the guest that was passed on."""
    responses: int = 0
    """Responses that began."""


class Policy:
    """The rules of one session, from before its greeting to its end.

    Args:
        grant: What the guest may do.
        now: The time.
        new_id: Makes ids of events, which nobody can guess: called with a prefix.
    """

    def __init__(self, grant: Grant, now: float, new_id: Callable[[str], str]) -> None:
        limits = grant.limits
        self._limits = limits
        self._new_id = new_id
        self._greeting = Greeting(grant, new_id)
        self._guest = GuestEvents(grant)
        self._service = ServiceEvents(grant)
        self._asks = Codec(Role.CLIENT, kind=grant.kind)
        self._says = Codec(Role.SERVER, kind=grant.kind)
        self._is_plain = grant.unknown == "pass"
        self._are_appends_free = self._guest.are_appends_free
        self._expires_at = now + limits.seconds
        self._active_at = now
        self._events = Pace(limits.events_per_minute, since=now)
        self._responses = Pace(limits.responses_per_minute, since=now)
        self._refusals = Pace(limits.refusals_per_minute, since=now)
        self._lead = Lead(limits.audio_ahead)
        self._bytes_per_second = _PCM_BYTES
        self._spending = Spending(grant, now, new_id=new_id, ask=self.ask)
        self.tally = Tally()
        """What was used so far."""

    @property
    def is_open(self) -> bool:
        """Whether the session is configured, so that the guest may begin."""
        return self._greeting.is_done

    @property
    def usage(self) -> Usage:
        """What the service has billed so far."""
        return self._spending.usage

    @property
    def usd(self) -> Decimal:
        """What that costs, as far as the grant has prices."""
        return self._spending.usd

    # --- time -------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        """When `look` has something to say, if nothing happens until then."""
        deadline = min(self._expires_at, self._active_at + self._limits.idle_seconds)
        spent_at = self._spending.next_time
        return deadline if spent_at is None else min(deadline, spent_at)

    def look(self, now: float) -> Actions:
        """What is to be done because of the time."""
        if now >= self._expires_at:
            message = f"the session has reached its limit of {self._limits.seconds:g} seconds"
            return (limit_reached("time", "session_expired", message),)
        if now >= self._active_at + self._limits.idle_seconds:
            message = f"nobody has said anything for {self._limits.idle_seconds:g} seconds"
            return (limit_reached("idle", "session_idle", message),)
        return self._spending.pass_time(now)

    # --- from the guest ---------------------------------------------------------------------------

    def passes_to_service(self, message: str | bytes, now: float) -> TypeGuard[str]:
        """Whether a message of the guest is plainly audio, and may be passed on as it is."""
        if (
            not self._are_appends_free
            or not isinstance(message, str)
            or len(message) > self._limits.message_size
            or (size := audio_of_append(message)) is None
        ):
            return False
        # What is refused after that is counted again by `from_guest`, to the guest's disadvantage.
        if not self._events.take(now) or not self._takes_audio(size, now):
            return False
        self.tally.events_up += 1
        return True

    def from_guest(self, message: str | bytes, now: float) -> Actions:
        """What becomes of a message of the guest that is not plainly audio."""
        if len(message) > self._limits.message_size:
            return (too_big(len(message), self._limits.message_size),)
        payload: Json = {}
        try:
            if isinstance(message, bytes):
                raise UnreadableError("events are text, and this is a binary message")
            payload = read_from_guest(message)
            text = self._checked(message, payload, now)
        except UnreadableError as error:
            return self._refuse(NotAllowedError(str(error), code="invalid_event"), payload, now)
        except NotAllowedError as error:
            return self._refuse(error, payload, now)
        if not payload["type"].endswith("input_audio_buffer.append"):
            self._active_at = now
        return (ToService(text),)

    def _checked(self, text: str, payload: Json, now: float) -> str:
        """The text to pass on, once it has been counted.

        Raises:
            NotAllowedError: It is not to be passed on.
        """
        checked = self._guest.check(text, payload)
        if any(map(self._service.hides, items_named_by(payload))) or self._answers_for_us(payload):
            raise NotAllowedError("there is no such item", code="item_not_found", param="item_id")
        if payload["type"] == "response.create" and not self._responses.has_room(now):
            raise NotAllowedError(
                f"more than {self._limits.responses_per_minute:g} responses in a minute",
                code="rate_limit_exceeded",
            )
        if not self._events.take(now):
            raise NotAllowedError(
                f"more than {self._limits.events_per_minute:g} events in a minute",
                code="rate_limit_exceeded",
            )
        if not self._takes_audio(audio_in(payload), now):
            raise NotAllowedError(
                f"the audio is more than {self._limits.audio_ahead:g} seconds ahead of real time",
                code="rate_limit_exceeded",
            )
        if payload["type"] == "response.create":
            checked = self._spending.admit_text(checked, now)
        self.tally.events_up += 1
        return checked

    def _answers_for_us(self, payload: Json) -> bool:
        item = payload.get("item")
        call_id = item.get("call_id") if isinstance(item, dict) else None
        return isinstance(call_id, str) and self._service.hides_call(call_id)

    def _takes_audio(self, characters: int, now: float) -> bool:
        if not characters:
            return True
        seconds = characters * _BYTES_PER_CHARACTER / self._bytes_per_second
        if not self._lead.take(seconds, now):
            return False
        self.tally.audio_seconds += seconds
        return True

    def _refuse(self, why: NotAllowedError, payload: Json, now: float) -> Actions:
        self.tally.refused += 1
        if not self._refusals.take(now):
            return (limit_reached("refusals", "too_many_refusals", "too much was refused"),)
        event_id = payload.get("event_id")
        named = isinstance(event_id, str) and len(event_id) <= _LONGEST_ID
        detail = ErrorDetail(
            type="invalid_request_error",
            code=why.code,
            message=str(why),
            param=why.param,
            event_id=event_id if named else None,
        )
        return (self.tell(detail),)

    def tell(self, error: ErrorDetail) -> ToGuest:
        """An error as the guest is told of it."""
        return ToGuest(self._says.encode(ErrorEvent(event_id=self._new_id("event_"), error=error)))

    # --- from the service -------------------------------------------------------------------------

    def passes_to_guest(self, message: str | bytes, now: float) -> TypeGuard[str]:
        """Whether a message of the service is plainly a delta, and may be passed on as it is."""
        if (
            not self._is_plain
            or not isinstance(message, str)
            or type_from_service(message) not in PLAIN
        ):
            return False
        self._active_at = now
        self.tally.events_down += 1
        return True

    def from_service(self, text: str, now: float) -> Actions:
        """What becomes of a message of the service that is not plainly a delta."""
        payload = read_from_service(text)
        # There is no such thing in the protocol, and nobody can have been meant.
        if payload is None:
            return ()
        self._active_at = now
        if self.is_open:
            # Looked at first: what the guest is told may be less.
            follows = self._follow(text, payload, now)
            return (*self._told(text, payload), *follows)
        try:
            update, greeting = self._greeting.take(text, payload)
        except GreetingError as error:
            return (unavailable(detail=str(error)),)
        if greeting:
            self._spending.begin(now)
        return (
            *(() if update is None else (ToService(update),)),
            *self._follow(text, payload, now),
            *(action for said in greeting for action in self._told(said, parse_json(said))),
        )

    def hide_item(self, item_id: str) -> None:
        """Tell the guest nothing of an item that the relay is about to create."""
        self._service.hide_item(item_id)

    def ask(self, event: ClientEvent) -> ToService:
        """An event of the relay's own, as a message; if it is refused, the guest is not told."""
        if event.event_id is not None:
            self._service.expect(event.event_id)
        return ToService(self._asks.encode(event))

    def admit(self, create: ResponseCreate, now: float) -> ResponseCreate:
        """Let the relay ask for a response of its own.

        Raises:
            NotAllowedError: Nothing is left of the budget.
        """
        return self._spending.admit(create, now)

    def _told(self, text: str, payload: Json) -> Actions:
        told = self._service.clean(text, payload)
        if told is None:
            return ()
        self.tally.events_down += 1
        return (ToGuest(told),)

    def _follow(self, text: str, payload: Json, now: float) -> Actions:
        """Take note of what matters for the limits."""
        wire_type = payload.get("type")
        if wire_type not in CONCERNS:
            return ()
        actions = self._spending.apply(text, now)
        if wire_type == "response.created":
            return (*actions, *self._begin(payload, now))
        if wire_type in ("session.created", "session.updated"):
            self._bytes_per_second = _bytes_per_second(payload)
        return actions

    def _begin(self, payload: Json, now: float) -> Actions:
        self.tally.responses += 1
        if self._responses.take(now):
            return ()
        # Turn detection has begun it, or a guest that asked too often; either way it is too much.
        response = payload.get("response")
        response_id = response.get("id") if isinstance(response, dict) else None
        cancel = ResponseCancel(
            event_id=self._new_id("event_"),
            response_id=response_id if isinstance(response_id, str) else None,
        )
        return (self.ask(cancel),)


def _bytes_per_second(payload: Json) -> float:
    """Bytes of a second of the audio that a session takes."""
    value: object = payload.get("session")
    for name in ("audio", "input", "format", "type"):
        value = value.get(name) if isinstance(value, dict) else None
    return _BYTES_OF_FORMATS.get(str(value), _PCM_BYTES)
