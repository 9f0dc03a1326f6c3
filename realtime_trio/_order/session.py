"""Rules about the session itself: how it begins, what is an answer, and how translation goes on."""

from __future__ import annotations

from realtime_trio._order.wire_log import FIRST_EVENT, Complaints, WireLog
from realtime_trio.events import (
    ConversationCreated,
    ConversationItemCreated,
    ErrorEvent,
    Event,
    InputAudioBufferDtmfEventReceived,
    SessionUpdated,
    TranslationSessionUpdated,
)


def session_is_created_first(so_far: WireLog, event: Event) -> Complaints:
    """The server begins with `session.created`, once, unless it turns the client away."""
    if event.type == FIRST_EVENT and so_far.is_created:
        yield "the session is created a second time"
    # The service accepts every upgrade: a wrong key or model is told as an error, and then the
    # connection is closed.
    elif event.type != FIRST_EVENT and not so_far.has_spoken and not isinstance(event, ErrorEvent):
        yield f"the first event is {event.type}, not {FIRST_EVENT}"


def session_is_updated_when_asked(so_far: WireLog, event: Event) -> Complaints:
    """Every `session.updated` answers a `session.update`."""
    if (
        isinstance(event, SessionUpdated | TranslationSessionUpdated)
        and so_far.has_client
        and not so_far.updates
    ):
        yield "no session.update was waiting for an answer"


def event_ids_are_unique(so_far: WireLog, event: Event) -> Complaints:
    """Every event of the server has an id of its own."""
    event_id = getattr(event, "event_id", None)
    # A pressed key is the one event that the specification gives no id.
    if not event_id and not isinstance(event, InputAudioBufferDtmfEventReceived):
        yield f"{event.type} has no event id"
    elif event_id in so_far.event_ids:
        yield f"the id {event_id} was used before"


def errors_name_what_was_sent(so_far: WireLog, event: Event) -> Complaints:
    """An `error` that names an event names one that the client sent."""
    if (
        isinstance(event, ErrorEvent)
        # An error may leave it out: not everything that goes wrong was asked for.
        and event.error.event_id
        and so_far.has_client
        and event.error.event_id not in so_far.sent
    ):
        yield f"the client did not send an event {event.error.event_id}"


def only_today_is_spoken(_: WireLog, event: Event) -> Complaints:
    """The events of the older protocol are not sent, unless the session begins as it did there."""
    # Today's specification still lists both, and the service was never seen to send them.
    if isinstance(event, ConversationCreated | ConversationItemCreated):
        yield f"{event.type} belongs to the older protocol"


def nothing_follows_the_close(so_far: WireLog, event: Event) -> Complaints:
    """After `session.closed` a translation session says nothing."""
    if so_far.is_closed:
        yield f"{event.type} comes after session.closed"


def translation_goes_on(so_far: WireLog, event: Event) -> Complaints:
    """Positions of a translation never go back."""
    # They may stay: they move in steps of 200 ms, and each kind of delta has its own.
    elapsed_ms = getattr(event, "elapsed_ms", None)
    before = so_far.elapsed_ms.get(event.type, 0)
    if elapsed_ms is not None and elapsed_ms < before:
        yield f"{event.type} goes back from {before} ms to {elapsed_ms} ms"
