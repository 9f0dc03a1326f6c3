"""How a session through a relay ends: why, and what is told to whom.

Pure.  Owns the close codes and the words.
"""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

from realtime_trio._transport.contract import (
    ABNORMAL_CLOSURE,
    GOING_AWAY,
    NO_STATUS_RECEIVED,
    NORMAL_CLOSURE,
    Close,
)
from realtime_trio.events import ErrorDetail

Why = Literal[
    "guest_left",
    "service_closed",
    "service_failed",
    "time",
    "idle",
    "budget",
    "refusals",
    "message_size",
    "drained",
    "cancelled",
    "failed",
]
"""Why a session ended: the guest or the service closed the connection, the service could not be
reached or configured, one of the limits, the relay is stopping, whoever runs it gave up, or a fault
of ours."""

_INTERNAL_ERROR: Final = 1011
_POLICY: Final = 1008
_TOO_BIG: Final = 1009
_TLS: Final = 1015


@frozen
class Ending:
    """How a session ends."""

    why: Why
    """For the audit."""
    close: Close
    """How both connections are closed."""
    error: ErrorDetail | None = None
    """What the guest is told before that."""
    detail: str = ""
    """What the log is told beside it, and the guest is not."""


def forwarded(close: Close) -> Close:
    """How one side is closed when the other one has been."""
    if close.code == NO_STATUS_RECEIVED:
        return Close(NORMAL_CLOSURE, close.reason)
    # These never travel, and 1006 means that something broke which is not the other side's affair.
    if close.code in (ABNORMAL_CLOSURE, _TLS) or not 1000 <= close.code <= 4999:
        return Close(_INTERNAL_ERROR, "the other side was lost")
    return close


def limit_reached(why: Why, code: str, message: str) -> Ending:
    """The end at one of the limits of a grant."""
    error = ErrorDetail(type="invalid_request_error", code=code, message=message)
    return Ending(why, Close(_POLICY, code), error)


def too_big(size: int, most: float) -> Ending:
    """The end over a message that is too long."""
    message = f"a message of {size} characters is too long; allowed: {most:.0f}"
    error = ErrorDetail(type="invalid_request_error", code="message_too_long", message=message)
    return Ending("message_size", Close(_TOO_BIG, "message too long"), error)


def unavailable(detail: str, why: Why = "service_failed") -> Ending:
    """The end if there is no service, or none as it should be, which is not the guest's affair."""
    error = ErrorDetail(
        type="server_error",
        code="service_unavailable",
        message="the service behind this relay is not available",
    )
    return Ending(why, Close(_INTERNAL_ERROR, "service unavailable"), error, detail)


DRAINED: Final = Ending("drained", Close(GOING_AWAY, "the relay is stopping"))
"""The end if the relay is stopping and has waited long enough."""
