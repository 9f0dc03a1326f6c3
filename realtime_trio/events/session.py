"""Session events: how a session begins, is configured, and says what went wrong."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from attrs import field

from realtime_trio._frozen import frozen
from realtime_trio.events._base import WRITE_NULL, ClientEvent, ServerEvent
from realtime_trio.events.config import RealtimeSession, SessionConfig
from realtime_trio.events.transcription import TranscriptionSession, TranscriptionSessionConfig


@frozen(kw_only=True)
class SessionUpdate(ClientEvent):
    """Change the session's configuration.

    Answered by `SessionUpdated`, or by an error; then nothing has changed, not even the settings
    that were in order.
    """

    type: ClassVar[Literal["session.update"]] = "session.update"
    """Wire name."""

    session: SessionConfig | TranscriptionSessionConfig
    """What to change: only what is set."""


@frozen(kw_only=True)
class SessionCreated(ServerEvent):
    """The first event of every connection: the session with its default configuration."""

    type: ClassVar[Literal["session.created"]] = "session.created"
    """Wire name."""

    session: RealtimeSession | TranscriptionSession
    """The effective configuration."""


@frozen(kw_only=True)
class SessionUpdated(ServerEvent):
    """A `SessionUpdate` took effect."""

    type: ClassVar[Literal["session.updated"]] = "session.updated"
    """Wire name."""

    session: RealtimeSession | TranscriptionSession
    """The whole effective configuration, not only the change."""


@frozen(kw_only=True)
class ErrorDetail:
    """What went wrong."""

    type: str
    """Kind of error: `invalid_request_error`, `server_error`, ..."""
    message: str
    """Explanation for people."""
    code: str | None = field(default=None, metadata=WRITE_NULL)
    """Code for programs, e.g. `unknown_parameter`."""
    param: str | None = field(default=None, metadata=WRITE_NULL)
    """Dotted path of the parameter at fault."""
    # A name in it is certain, its absence says nothing: some refusals of a delete were seen to come
    # with null, although the event they refuse had an id.
    event_id: str | None = field(default=None, metadata=WRITE_NULL)
    """Id of the client event at fault, if it had one and the server repeats it."""


@frozen(kw_only=True)
class ErrorEvent(ServerEvent):
    """Something went wrong, usually with a client event.

    The session goes on unless the server closes it next.
    """

    type: ClassVar[Literal["error"]] = "error"
    """Wire name."""

    error: ErrorDetail
    """What went wrong."""


CLIENT: Final[tuple[type[ClientEvent], ...]] = (SessionUpdate,)
"""What a client sends."""

SERVER: Final[tuple[type[ServerEvent], ...]] = (
    SessionCreated,
    SessionUpdated,
    ErrorEvent,
)
"""What a server sends."""
