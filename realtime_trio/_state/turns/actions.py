"""What is asked of the turns, and what they say is to be done.

Owns the words between the turns and the session, and nothing that happens.
"""

from __future__ import annotations

import attrs

from realtime_trio._frozen import frozen
from realtime_trio.errors import BudgetExceeded
from realtime_trio.events import (
    ConversationItemCreate,
    Response,
    ResponseCancel,
    ResponseCreate,
)


@attrs.frozen(eq=False)
class ResponseRequest:
    """One wish for a response; what happens to it is told by naming it."""

    event: ResponseCreate
    """What to send, with an event id of its own."""
    is_follow_up: bool = False
    """Whether it was made here, so that the model replies to the outputs of its tools."""
    about: tuple[ConversationItemCreate, ...] = ()
    """What the response is about, with event ids: sent right before it, and once."""

    @property
    def is_out_of_band(self) -> bool:
        """Whether it stays out of the conversation and so needs no turn."""
        return self.event.response is not None and self.event.response.conversation == "none"


@frozen
class Send:
    """Post this now, before anything else is posted."""

    event: ConversationItemCreate | ResponseCreate | ResponseCancel


@frozen
class Started:
    """The request is being answered.

    Comes a second time if the server then said that this response was not the request's.
    """

    request: ResponseRequest
    response_id: str


@frozen
class Restarted:
    """The request is asked for again: its response went with a connection that broke."""

    request: ResponseRequest


@frozen
class Finished:
    """The request's own response is done, with whatever status.  May come without `Started`."""

    request: ResponseRequest
    response: Response


@frozen
class Concluded:
    """Nothing follows any more: this is the last response, after all rounds of tools.

    Never told of follow-ups.
    """

    request: ResponseRequest
    response: Response


@frozen
class Failed:
    """The request, or the follow-up to its tools, was refused, or the session ended."""

    request: ResponseRequest
    error: Exception


@frozen
class NotAsked:
    """The request was not sent, because it was not admitted."""

    request: ResponseRequest
    error: BudgetExceeded
    unsaid: tuple[ConversationItemCreate, ...]
    """What it is about, as far as that was not sent either."""


@frozen
class Withdrawn:
    """The request was abandoned before the server had taken it: there is no response."""

    request: ResponseRequest


@frozen
class GiveUpCalls:
    """Nobody waits for these calls any more, though they may still be answered."""

    call_ids: frozenset[str]


Action = (
    Send | Started | Restarted | Finished | Concluded | Failed | NotAsked | Withdrawn | GiveUpCalls
)
Actions = tuple[Action, ...]
