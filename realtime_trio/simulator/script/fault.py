"""What goes wrong on purpose, as values: faults that strike when an event is about to be sent.

Owns what there is to go wrong and when; the transport that does it is `serving.faults`.
"""

from __future__ import annotations

import math
from types import NoneType
from typing import Any, Final, Literal

import attrs
from attrs import field, frozen

from realtime_trio._misuse import check_number
from realtime_trio._transport.contract import GOING_AWAY, Close, check_close_code
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import ErrorDetail
from realtime_trio.simulator.script.reply import of_kind

MOVABLE: Final = (
    "conversation.item.input_audio_transcription.",
    "mcp_list_tools.",
    "rate_limits.updated",
)
"""Beginnings of the types whose place among the others the protocol leaves open, so that they may
legally come late."""

FaultKind = Literal[
    "drop", "reset", "close", "stall", "slow", "delay", "corrupt", "duplicate", "reorder", "error"
]
"""What a fault does; the constructors of `Fault` say more."""
Corruption = Literal["cut", "garbage", "payload", "audio"]
"""How a message is spoilt: `cut` in the middle, `garbage` that is not JSON, a `payload` whose
fields have the wrong types, or `audio` that is not base64."""


def _at_least_once(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    check_number(
        attribute.name,
        value,
        lambda number: number >= 1,
        allowed="1 or more, since a fault strikes at least once",
    )


def _not_negative(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    check_number(attribute.name, value, lambda number: number >= 0, allowed="0 seconds or more")


def _greater_than_nothing(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    check_number(
        attribute.name,
        value,
        lambda number: number > 0,
        allowed="more than 0, since a slow line still carries something",
    )


@frozen(kw_only=True)
class Fault:
    """One thing that goes wrong.  Made by the constructors; `on` and `nth` say when.

    It strikes when an event is about to be sent whose type is or begins with `on` (any event if
    None), for the `nth` time, from 1, and then at every following one until it has struck `times`
    times.
    """

    kind: FaultKind
    """What happens."""
    on: str | None = field(
        default=None, validator=of_kind(str, NoneType, allowed="the type of an event or None")
    )
    """Type of the event, or its beginning."""
    nth: int = field(default=1, validator=_at_least_once)
    """At which of these events it strikes for the first time, counted from 1."""
    times: float = field(default=1, validator=_at_least_once)
    """How often it strikes; `math.inf` for every event from the `nth` on."""
    seconds: float = field(default=0.0, validator=_not_negative)
    """How long a `delay` or `stall` takes."""
    characters_per_second: float = field(default=math.inf, validator=_greater_than_nothing)
    """How fast a `slow` line is."""
    behind: int = 1
    """After how many later messages a `reorder`ed one comes."""
    how: Corruption = "cut"
    """How a message is corrupted."""
    close: Close | None = None
    """How the connection is closed."""
    error: ErrorDetail | None = None
    """What the error event says."""

    @classmethod
    def drop(cls, on: str | None = None, *, nth: int = 1) -> Fault:
        """Drop the connection without a close frame, like a phone that loses its network."""
        return cls(kind="drop", on=on, nth=nth)

    @classmethod
    def reset(cls, on: str | None = None, *, nth: int = 1) -> Fault:
        """Reset the connection (TCP RST), like a proxy that crashes.

        In memory this is the same as `drop`.
        """
        return cls(kind="reset", on=on, nth=nth)

    @classmethod
    def closing(cls, code: int, reason: str = "", *, on: str | None = None, nth: int = 1) -> Fault:
        """Close the connection with this code instead of sending the event.

        Raises:
            LocalProtocolError: The code may not appear on the wire.
        """
        # Here, where the mistake is made, and not when the fault strikes.
        check_close_code(code)
        return cls(kind="close", on=on, nth=nth, close=Close(code, reason))

    @classmethod
    def expiry(cls, on: str | None = None, *, nth: int = 1) -> Fault:
        """End the session as the service does after an hour.

        That is an error `session_expired`, and then a close with 1001.
        """
        error = ErrorDetail(
            type="invalid_request_error",
            code="session_expired",
            message="Your session hit the maximum duration of 60 minutes.",
        )
        return cls(
            kind="close", on=on, nth=nth, close=Close(GOING_AWAY, "session_expired"), error=error
        )

    @classmethod
    def stall(cls, seconds: float = math.inf, *, on: str | None = None, nth: int = 1) -> Fault:
        """Say nothing for a while, or never again.

        What the client sends meanwhile is still read, but not acted upon.
        """
        return cls(kind="stall", on=on, nth=nth, seconds=seconds)

    @classmethod
    def delay(
        cls, seconds: float, *, on: str | None = None, nth: int = 1, times: float = 1
    ) -> Fault:
        """Send the event, and so everything after it, this many seconds later."""
        return cls(kind="delay", on=on, nth=nth, times=times, seconds=seconds)

    @classmethod
    def slow(cls, characters_per_second: float, *, on: str | None = None, nth: int = 1) -> Fault:
        """Limit what the line carries, from this event on.

        Raises:
            LocalProtocolError: `characters_per_second` is not greater than 0.
        """
        return cls(
            kind="slow", on=on, nth=nth, times=math.inf, characters_per_second=characters_per_second
        )

    @classmethod
    def corrupt(
        cls, how: Corruption = "cut", *, on: str | None = None, nth: int = 1, times: float = 1
    ) -> Fault:
        """Spoil the event: see `Corruption`."""
        return cls(kind="corrupt", on=on, nth=nth, times=times, how=how)

    @classmethod
    def duplicate(cls, on: str | None = None, *, nth: int = 1, times: float = 1) -> Fault:
        """Send the event twice."""
        return cls(kind="duplicate", on=on, nth=nth, times=times)

    @classmethod
    def reorder(cls, on: str, *, behind: int = 1, nth: int = 1, times: float = 1) -> Fault:
        """Send the event after so many later ones, where the protocol leaves its place open.

        Raises:
            LocalProtocolError: The protocol fixes the place of these events: see `MOVABLE`.
        """
        if not on.startswith(MOVABLE):
            raise LocalProtocolError(
                f"{on!r} has its place in the order of events; what may come late begins with "
                f"{', '.join(MOVABLE)}"
            )
        return cls(kind="reorder", on=on, nth=nth, times=times, behind=behind)

    @classmethod
    def failing(
        cls,
        code: str | None,
        message: str,
        *,
        type: str = "server_error",  # noqa: A002 - the protocol's own name
        on: str | None = None,
        nth: int = 1,
    ) -> Fault:
        """Send an `error` event out of the blue, before the event."""
        return cls(
            kind="error", on=on, nth=nth, error=ErrorDetail(type=type, code=code, message=message)
        )
