"""One create under way, and one response: how they are recognised, and what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import define, evolve

from realtime_trio._state.turns.actions import ResponseRequest
from realtime_trio._state.turns.rounds import Round
from realtime_trio.events import (
    Item,
    JsonObject,
    Response,
    ResponseConfig,
    ResponseCreate,
    ResponseStatusDetails,
)

METADATA_KEY: Final = "client_event_id"
"""The metadata pair by which a response tells which create it answers."""
METADATA_PAIRS: Final = 16
"""How many pairs the protocol allows.  A request that needs them all is recognised by all."""


CUT: Final = "connection_lost"
"""Why a response is over that went with its connection.  No server says this."""


@define(eq=False)
class Asked:
    """A create under way."""

    request: ResponseRequest
    """What it is for."""
    event: ResponseCreate
    """What was sent."""
    covers: frozenset[str]
    """The outputs and news that were sent before it, so that its response reads them."""
    is_abandoned: bool = False
    """Whether nobody wants its response any more."""
    is_unwanted: bool = False
    """Whether nobody wants what would follow its response either."""
    saw_an_end: bool = False
    """Whether a response ended while it was under way, which explains a refusal."""

    def is_named_by(self, metadata: JsonObject | None) -> bool:
        """Whether a response with these metadata answers it."""
        return is_answered_by(self.event, metadata)


@define(eq=False, kw_only=True)
class Run(Round[ResponseRequest]):
    """One response, from its beginning to its end; its calls may outlive it as a round."""

    id: str = ""
    """Its id, empty if that could not be read."""
    asked: Asked | None = None
    """The create that it answers, None if it is not ours."""
    is_guess: bool = False
    """Whether `asked` was inferred from the order of things."""
    is_stopped: bool = False
    """Whether we have cancelled it."""
    reads: frozenset[str] = frozenset()
    """What the server had acknowledged when it began."""


def is_answered_by(create: ResponseCreate, metadata: JsonObject | None) -> bool:
    """Whether a response with these metadata names this create."""
    if not metadata:
        return False
    # The whole is compared where there was no room for a pair of ours.
    return (
        metadata.get(METADATA_KEY) == create.event_id
        or (create.response or ResponseConfig()).metadata == metadata
    )


def mark(event: ResponseCreate) -> ResponseCreate:
    """Name the event in its metadata, unless the user needs all of the room or that very key."""
    config = event.response
    given = None if config is None else config.metadata
    if given and (METADATA_KEY in given or len(given) >= METADATA_PAIRS):
        return event
    metadata = {**(given or {}), METADATA_KEY: event.event_id}
    # A reply to tools has no settings, and somebody waits for it: `evolve` takes four times longer.
    marked = (
        ResponseConfig(metadata=metadata) if config is None else evolve(config, metadata=metadata)
    )
    return ResponseCreate(event_id=event.event_id, response=marked)


def is_marked(event: ResponseCreate) -> bool:
    """Whether a create was named so."""
    return METADATA_KEY in ((event.response or ResponseConfig()).metadata or {})


def is_interrupted(response: Response) -> bool:
    """Whether the user's speech has ended this response."""
    match response:
        case Response(
            status="cancelled", status_details=ResponseStatusDetails(reason="turn_detected")
        ):
            return True
    return False


def cut(response_id: str, output: tuple[Item, ...] = (), *, is_whole: bool = False) -> Response:
    """A response that went with its connection, as the server would have told of its end.

    Args:
        response_id: Its id.
        output: What had come of it.
        is_whole: Whether that is all that it was to say, as far as one can tell.
    """
    if is_whole:
        return Response(id=response_id, status="completed", output=output)
    return Response(
        id=response_id,
        status="cancelled",
        status_details=ResponseStatusDetails(type="cancelled", reason=CUT),
        output=output,
    )


def is_cut(response: Response) -> bool:
    """Whether a response went with its connection."""
    match response:
        case Response(status="cancelled", status_details=ResponseStatusDetails(reason=reason)):
            return reason == CUT
    return False


def salvage(raw: object) -> Response:
    """Name a response that could not be decoded; it begins and ends all the same."""
    match raw:
        case {"response": {"id": str(response_id), "metadata": Mapping() as metadata}}:
            return Response(id=response_id, metadata=metadata)
        case {"response": {"id": str(response_id)}}:
            return Response(id=response_id)
    return Response()
