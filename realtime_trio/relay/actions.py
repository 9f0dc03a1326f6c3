"""What a relay is to do with a message, or because of one: values, in the order of doing."""

from __future__ import annotations

from attrs import frozen

from realtime_trio.relay.ending import Ending


@frozen
class ToService:
    """Send this to the service."""

    text: str


@frozen
class ToGuest:
    """Send this to the guest."""

    text: str


Action = ToService | ToGuest | Ending
Actions = tuple[Action, ...]
"""What is to be done, in this order; an `Ending` is the last."""
