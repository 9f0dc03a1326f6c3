"""Every exception of the library.

The tree::

    RealtimeError
    ├─ ConnectionFailed        never got a session          (.status, .code, .body)
    ├─ ConnectionLost          had one, lost it             (.code, .reason)
    ├─ SessionClosed           a session was used after its end
    ├─ ProtocolError           abstract
    │   ├─ LocalProtocolError  your code asked for something that is illegal here
    │   └─ RemoteProtocolError the server sent something undecodable
    ├─ ServerError             an `error` event answered your request
    ├─ RequestTimeout          the server did not answer it in time; the session lives
    ├─ RequestLost             it went with a connection that broke; the session lives
    ├─ BudgetExceeded          the budget is spent: no response is asked for  (.limit)
    ├─ SlowConsumer            this stream overflowed; the others are fine
    ├─ ToolDefinitionError     this annotation has no JSON schema
    ├─ ToolError               raised by your tools, with words for the model
    └─ InternalError           a bug in realtime_trio

Owns the wording of what users catch.  Foreign exceptions (cattrs, orjson, trio-websocket, ssl) are
translated where they enter, in the codec and in the transport; none of them leaves the library.  No
message ever contains a key, audio or a whole payload.  What a peer has said is in the attributes as
it came, and in the message in a legible form.
"""

from __future__ import annotations

from realtime_trio._legible import legible

# Some names say what happened and do not end in "Error", the suffix that N818 asks for: nobody need
# have made a mistake when a connection is lost or a session is closed.


class RealtimeError(Exception):
    """Base of everything this library raises on purpose."""


class ConnectionFailed(RealtimeError):  # noqa: N818
    """A session or connection could not be established.

    Raised by `open_session` and `open_connection` for a refused or unreachable server, a TLS
    failure, a rejected WebSocket handshake, and for an admission error: the live service accepts
    every handshake and reports a wrong key or model afterwards, as an `error` event followed by a
    close.
    """

    status: int | None
    """HTTP status of the rejected handshake (401, 404, ...); None if there was no HTTP answer."""
    code: str | None
    """The service's error code (`invalid_api_key`, `invalid_model`, ...), or None."""
    body: bytes
    """Body of the rejected handshake's HTTP response, as far as it came within a second; `b""` if
    there was none."""

    def __init__(
        self, message: str, *, status: int | None = None, code: str | None = None, body: bytes = b""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.body = body


class ConnectionLost(RealtimeError):  # noqa: N818
    """An established connection ended in any other way than a clean close (1000)."""

    code: int
    """WebSocket close code; 1006 when the peer went away without a close frame."""
    reason: str
    """Close reason as the peer sent it, or our own words for 1006."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"connection lost: {code} {legible(reason)}".rstrip())
        self.code = code
        self.reason = reason


class SessionClosed(RealtimeError):  # noqa: N818
    """A session or connection was used after it had ended."""


class ProtocolError(RealtimeError):
    """Abstract: one of the two sides did something the protocol does not allow."""


class LocalProtocolError(ProtocolError):
    """Your code asked for something that is illegal here; nothing was sent.

    The message names the state and what would be allowed.
    """


class RemoteProtocolError(ProtocolError):
    """The other side sent something undecodable.

    Raised by strict codecs, and where bad audio of an event is read.
    """


class ServerError(RealtimeError):
    """The service answered a request with an `error` event.  The session usually goes on."""

    type: str
    """`invalid_request_error`, `server_error`, ..."""
    code: str | None
    """Machine-readable code such as `unknown_parameter`, if the service gave one."""
    param: str | None
    """Dotted path of the offending parameter, e.g. `session.audio.input.format.rate`."""
    message: str
    """The service's own explanation as it came: of any length, with any character.  The text of
    this exception has it in a legible form."""
    event_id: str | None
    """Id of the client event that caused it, if the service said."""

    def __init__(
        self,
        message: str,
        *,
        type: str = "invalid_request_error",  # noqa: A002 - the protocol's own name
        code: str | None = None,
        param: str | None = None,
        event_id: str | None = None,
    ) -> None:
        # The code first: it is what a program compares and what a person searches for.
        super().__init__(
            f"{legible(code or type)}: {legible(message)}"
            + (f" (param {legible(param)})" if param else "")
        )
        self.type = type
        self.code = code
        self.param = param
        self.message = message
        self.event_id = event_id


class RequestTimeout(RealtimeError, TimeoutError):  # noqa: N818
    """The server did not answer a request within `request_timeout`; the session lives on.

    What was asked for may still happen.
    """


class RequestLost(RealtimeError):  # noqa: N818
    """A request went with a connection that broke, and cannot be made on the next one.

    Only sessions that reconnect raise it, and they live on.  What was asked for may have happened
    on the server that is gone, which makes no difference any more.
    """


class BudgetExceeded(RealtimeError):  # noqa: N818
    """A response was not asked for, because the budget of the session does not allow it.

    Nothing was sent.  Everything that costs no response goes on.
    """

    limit: str
    """Which limit it is: `usd`, `tokens` or `seconds`."""

    def __init__(self, message: str, *, limit: str) -> None:
        super().__init__(message)
        self.limit = limit


class SlowConsumer(RealtimeError):  # noqa: N818
    """An event stream was not read fast enough and its bound was reached.

    Raised once, after everything that was buffered has been delivered.  The stream then goes on
    with what arrives from there on.
    """

    dropped: int
    """How many events this stream missed."""

    def __init__(self, dropped: int) -> None:
        super().__init__(
            f"this event stream fell behind and missed {dropped} event(s); "
            "read faster or raise its capacity"
        )
        self.dropped = dropped


class ToolDefinitionError(RealtimeError):
    """A function cannot be offered as a tool.

    The message names the parameter and what would be allowed.
    """


class ToolError(RealtimeError):
    """Raise it in a tool to tell the model in these words why there is no result.

    Of every other exception the model is told what `tool_errors` of `open_session` says, which is
    the name of its class unless you choose otherwise.
    """


class InternalError(RealtimeError):
    """A bug in realtime_trio.  Please report it with its traceback."""
