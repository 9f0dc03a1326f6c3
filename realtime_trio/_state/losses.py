"""What a session tells of its links: that it needs another one, has one, and what that has cost.

Owns these events and the list of losses.  What is lost is decided in `_state.continuity`, and when
a link is given up, in `_session.lasting`.
"""

from __future__ import annotations

from realtime_trio._frozen import frozen
from realtime_trio._state.conversation.restoring import Omission
from realtime_trio._state.utility_events import UtilityEvent
from realtime_trio.events._base import ClientEvent, UnknownEvent


@frozen(kw_only=True)
class Loss:
    """What is not on the new link as it was on the old one.  False if nothing is."""

    omissions: tuple[Omission, ...] = ()
    """Items that the model does not have any more, or not as they were, and why.  `index` is the
    place in the conversation as it stood."""
    audio_ms: int = 0
    """Milliseconds of the user's audio that no server got, or that was not kept to be said again.
    Audio of items is among the omissions instead."""
    transcripts: tuple[str, ...] = ()
    """Ids of the user's messages whose transcripts were still to come, and will not."""
    responses: tuple[str, ...] = ()
    """Ids of the responses that were cut, or that nobody heard the end of."""
    calls: tuple[str, ...] = ()
    """Ids of the calls that are not in the conversation any more.  Those of functions go on, and
    the model is told of their outputs in messages; those that the service was making on MCP servers
    are gone."""
    requests: tuple[ClientEvent | UnknownEvent, ...] = ()
    """What was asked of the server and cannot be asked again; who waited for it got a
    `RequestLost`."""

    def __bool__(self) -> bool:
        return self != Loss()

    def __add__(self, other: Loss) -> Loss:
        """Both together."""
        if not isinstance(other, Loss):
            return NotImplemented
        return Loss(
            omissions=self.omissions + other.omissions,
            audio_ms=self.audio_ms + other.audio_ms,
            transcripts=self.transcripts + other.transcripts,
            responses=self.responses + other.responses,
            calls=self.calls + other.calls,
            requests=self.requests + other.requests,
        )


@frozen(kw_only=True)
class Reconnecting(UtilityEvent):
    """The connection was lost, and another one is tried: once for every attempt.

    The session goes on: what is sent meanwhile waits.
    """

    attempt: int
    """The how-manieth attempt, from 1."""
    why: str
    """Why the connection was lost, or the attempt before this one failed; for people."""


@frozen(kw_only=True)
class Reconnected(UtilityEvent):
    """The session goes on over another connection, with what it knew before."""

    lost: Loss
    """What could not be brought along."""
    gap_ms: int
    """Milliseconds from when the loss was noticed until now."""


@frozen(kw_only=True)
class SessionExpiring(UtilityEvent):
    """The server is going to end its session soon; another one is opened before."""

    seconds_left: float
    """Seconds until then."""


@frozen(kw_only=True)
class SessionRenewed(UtilityEvent):
    """The session goes on over another connection, which was opened before the old one ended."""

    lost: Loss
    """What could not be brought along; nothing was cut if an idle moment came in time."""
    gap_ms: int
    """Milliseconds for which what was sent had to wait."""

    @property
    def omissions(self) -> tuple[Omission, ...]:
        """Items that the model does not have any more, or not as they were, and why."""
        return self.lost.omissions
