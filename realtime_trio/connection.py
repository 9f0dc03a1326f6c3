"""One WebSocket life with typed events: the thin primitive under a session.

Owns the way from an address and a key to an open connection, and the translation of messages to
events on it.  What the events mean is not decided here: there is no conversation, there are no
tools and no reflexes.
"""

from __future__ import annotations

import inspect
import logging
import os
import ssl
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import NoneType
from typing import Any, Final, Literal, Self, TypeAlias, TypedDict, Unpack

import trio
from attrs import evolve, fields

from realtime_trio._legible import legible
from realtime_trio._misuse import check_choice, check_keywords, check_kind
from realtime_trio._protocol.chosen_model import ChosenModel
from realtime_trio._protocol.codec import Codec as Codec, Role as Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.endpoint import OPENAI_URL, ApiKey, Endpoint, Headers
from realtime_trio._protocol.exposure import OPENAI_HOST, exposure_of_key
from realtime_trio._protocol.http_refusal import HttpRefusal
from realtime_trio._protocol.kinds import KINDS, SessionKind as SessionKind
from realtime_trio._transport.contract import Close, Transport
from realtime_trio._transport.dial import PROXY_FROM_ENVIRONMENT
from realtime_trio._transport.settings import WebSocketSettings as WebSocketSettings
from realtime_trio.errors import ConnectionFailed, ConnectionLost, LocalProtocolError, SessionClosed
from realtime_trio.events import ClientEvent, ServerEvent, UnknownEvent

_logger = logging.getLogger("realtime_trio")


class ConnectOptions(TypedDict, total=False):
    """How to reach a service and how to behave on the wire.

    Every `open_...` function takes these keywords.

    Attributes:
        api_key: Key, or an async function that returns one.  Default: the environment variable
            `OPENAI_API_KEY`, unless the service was given as an `Endpoint`.
        exposed_key: What to do before a key would be exposed: before `OPENAI_API_KEY` goes to a
            `url=` that is neither OpenAI's nor on this machine, and before any key goes beyond this
            machine without encryption.  `warn` issues an `ExposedKeyWarning`, `forbid` raises
            `LocalProtocolError` before anything is sent, `allow` lets it.
        auth: How the key travels: `bearer`, `api-key` or `subprotocol`.
        call_id: Join this WebRTC or SIP call instead of starting a session.
        organization: Organization to bill.
        project: Project to bill.
        safety_identifier: A hash that stands for your end user.
        headers: More headers for the handshake, as a mapping or as pairs.
        dialect: `Dialect.BETA` for servers that still speak the older protocol.
        ssl_context: For `wss://`; by default certificates are checked against the system's
            authorities.
        proxy: `http://`, `socks4://` or `socks5://` URL; None connects directly.  By default the
            environment decides, as it does for curl.  Needs the extra `proxy`.
        connect_timeout, close_timeout, ping_interval, ping_timeout, max_message_size,
            receive_buffer_size: See `WebSocketSettings`.
        request_timeout: Seconds that a session waits for the answer to a request, such as a commit
            or an update, before it raises `RequestTimeout`.  Not for responses, which take as long
            as they take.  None, the default, waits: every method can be given up by a cancel scope,
            and only you know what is too long; servers that answer some requests never need one.
        strict: Raise `RemoteProtocolError` on what cannot be decoded instead of delivering it as
            `UnknownEvent`.  For tests.
    """

    api_key: ApiKey | None
    exposed_key: Literal["warn", "allow", "forbid"]
    auth: Literal["bearer", "api-key", "subprotocol"]
    call_id: str
    organization: str
    project: str
    safety_identifier: str
    headers: Headers
    dialect: Dialect
    ssl_context: ssl.SSLContext | None
    proxy: str | None
    connect_timeout: float
    close_timeout: float
    ping_interval: float | None
    ping_timeout: float
    max_message_size: int
    receive_buffer_size: int
    request_timeout: float | None
    strict: bool


OpenTransport: TypeAlias = Callable[[], AbstractAsyncContextManager[Transport]]
"""Opens a connection, another one each time: an asynccontextmanager that yields a transport."""


class ExposedKeyWarning(UserWarning):
    """A key is about to go where others may see it; see `exposed_key` in `ConnectOptions`."""


MESSAGES_IN_A_ROW: Final = 32
"""Messages that are handed out before other tasks run: a transport may have thousands at once.  A
stream of a session delivers more than that many events in a row (`EVENTS_IN_A_ROW` of the hub), so
that it does not fill up while its consumer waits for its turn.  That turn costs about as much as
two messages do."""

_ENDPOINT_OPTIONS: Final = (
    "api_key",
    "auth",
    "call_id",
    "organization",
    "project",
    "safety_identifier",
    "headers",
    "dialect",
)
_WEBSOCKET_OPTIONS: Final = frozenset(field.name for field in fields(WebSocketSettings))


def resolve_endpoint(url: str | Endpoint | None, options: ConnectOptions) -> Endpoint:
    """Work out which service is meant, from the arguments and the environment.

    Args:
        url: An endpoint, taken as it is; a URL; or None for `OPENAI_BASE_URL` and, without that,
            OpenAI's own service.
        options: May override parts of the endpoint.

    Raises:
        TypeError: An argument is of a kind that cannot be meant.
        LocalProtocolError: OpenAI's own service needs a key and there is none, an argument makes no
            sense, or a key would be exposed and `exposed_key` forbids that.
    """
    check_kind("url", url, str, Endpoint, NoneType, allowed="a str, an Endpoint or None")
    given: dict[str, Any] = {
        name: value for name, value in options.items() if name in _ENDPOINT_OPTIONS
    }
    policy = options.get("exposed_key", "warn")
    check_choice("exposed_key", policy, ("warn", "allow", "forbid"))
    if isinstance(url, Endpoint):
        endpoint = evolve(url, **given)
        _check_exposure(endpoint, policy, is_borrowed=False)
        return endpoint
    is_borrowed = "api_key" not in given
    # Never for an `Endpoint`: a key of OpenAI's must not travel to another service by accident.
    # A variable that is set to nothing counts as unset, which is how shells and CI clear one.
    given.setdefault("api_key", os.environ.get("OPENAI_API_KEY") or None)
    endpoint = Endpoint(url=url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL, **given)
    # Other services may do without a key.  OpenAI's own would report it only after the handshake.
    if endpoint.api_key is None and endpoint.url.partition("://")[2].startswith(OPENAI_HOST):
        raise LocalProtocolError(
            "no API key: pass api_key=, or set OPENAI_API_KEY, or name another service with url="
        )
    # OPENAI_BASE_URL and OPENAI_API_KEY are a pair: whoever has set both has said where it goes.
    _check_exposure(endpoint, policy, is_borrowed=is_borrowed and url is not None)
    return endpoint


def model_asked_for(
    url: str | Endpoint | None, kind: SessionKind, model: str | None
) -> ChosenModel | None:
    """Which model a session will ask for, before anything is opened; None if for none.

    Args:
        url: As for `resolve_endpoint`.
        kind: Kind of session.
        model: The model that was given beside it.
    """
    check_kind("url", url, str, Endpoint, NoneType, allowed="a str, an Endpoint or None")
    if not isinstance(url, Endpoint):
        url = Endpoint(url=url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL)
    return None if url.call_id is not None else url.chosen_model(kind, model)


def _check_exposure(
    endpoint: Endpoint, policy: Literal["warn", "allow", "forbid"], *, is_borrowed: bool
) -> None:
    if endpoint.api_key is None or policy == "allow":
        return
    if (problem := exposure_of_key(endpoint.url, is_borrowed=is_borrowed)) is None:
        return
    if policy == "forbid":
        raise LocalProtocolError(problem)
    # Not a line in a log: it is the program that is to be changed, and who runs it can make it an
    # error, or silence it, with the filters of Python.
    warnings.warn(f"{problem} (exposed_key='allow' silences this)", ExposedKeyWarning, stacklevel=2)


def websocket_settings(options: ConnectOptions) -> WebSocketSettings:
    """Pick the settings of the WebSocket out of the keywords of an `open_...` function."""
    given: dict[str, Any] = {
        name: value for name, value in options.items() if name in _WEBSOCKET_OPTIONS
    }
    return WebSocketSettings(**given)


@asynccontextmanager
async def open_transport(
    endpoint: Endpoint, kind: SessionKind, model: str | None, options: ConnectOptions
) -> AsyncIterator[Transport]:
    """Connect to a service, and pass messages on as they are.

    Raises:
        ConnectionFailed: The connection could not be made, for whatever reason.
        LocalProtocolError, TypeError: An argument is unusable; nothing was sent.
    """
    # Loaded only when something connects: trio-websocket brings h11, and makes the import of the
    # package half as long again.
    from realtime_trio._transport.websocket_client import open_websocket

    context, proxy = options.get("ssl_context"), options.get("proxy", PROXY_FROM_ENVIRONMENT)
    check_kind("ssl_context", context, ssl.SSLContext, NoneType, allowed="an SSLContext or None")
    check_kind("proxy", proxy, str, NoneType, allowed="a str or None")
    timeout = websocket_settings(options).connect_timeout
    url = endpoint.target(kind, model)
    key = endpoint.api_key
    if callable(key):
        # Fetching the key counts as connecting: there is one time limit for both.
        deadline = trio.current_time() + timeout
        key = await _fetch_key(key, deadline)
        timeout = max(0.0, deadline - trio.current_time())
    headers, subprotocols = endpoint.credentials(key)
    opening = open_websocket(
        url,
        headers=headers,
        subprotocols=subprotocols,
        ssl_context=context,
        proxy=proxy,
        settings=evolve(websocket_settings(options), connect_timeout=timeout),
    )
    is_open = False
    try:
        async with opening as transport:
            is_open = True
            yield transport
    except ConnectionFailed as error:
        if is_open:  # then it is the block's own
            raise
        is_asked = KINDS[kind].has_model_in_url and endpoint.call_id is None
        chosen = endpoint.chosen_model(kind, model) if is_asked else None
        if (explained := _explained(error, chosen)) is None:
            raise
        raise explained from error


def _explained(error: ConnectionFailed, chosen: ChosenModel | None) -> ConnectionFailed | None:
    """A refused handshake in the words of its body; None if that says nothing.

    Args:
        error: What the transport has to say.
        chosen: The model in the address, if it has one.
    """
    said = HttpRefusal.of(error.body)
    if said == HttpRefusal():
        return None
    why = f": {legible(said.message or str(said.code))}"
    advice = "" if chosen is None else chosen.advice(said.code, said.message)
    return ConnectionFailed(
        f"{error}{why}{advice}", status=error.status, code=said.code, body=error.body
    )


async def _fetch_key(fetch: Callable[[], Awaitable[str]], deadline: float) -> str:
    # Not `fail_at`: a TooSlowError of the user's own function should leave as it is.
    with trio.move_on_at(deadline):
        key = await fetch()
        # Checked, since a None from an untyped function would end up in a header as "Bearer None".
        if not isinstance(key, str):
            raise LocalProtocolError(
                f"the api_key function returned {type(key).__name__}, not a str"
            )
        if not key:
            raise LocalProtocolError("the api_key function returned an empty key")
        return key
    raise ConnectionFailed("the api_key function did not return within the connect timeout")


def check_options(
    options: Mapping[str, object], *allowed: type, function: Callable[..., object] | None = None
) -> None:
    """Refuse a keyword that none of the `allowed` typed dictionaries has.

    Args:
        options: What was given.
        allowed: The typed dictionaries.
        function: Takes the options, and has parameters of its own that may have been meant as well.

    Raises:
        TypeError: One is unknown; the message names the one that may have been meant.
    """
    names = {name for group in allowed for name in group.__annotations__}
    # Looked at only to say something: a signature takes its time, and most calls are right.
    if function is not None and not options.keys() <= names:
        own = inspect.signature(function).parameters.values()
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        names |= {each.name for each in own if each.kind in kinds}
    check_keywords(options, names)


def check_runs_in_trio() -> None:
    """Refuse to open anything where nothing could run.

    Raises:
        LocalProtocolError: The caller is not a task of trio's.
    """
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        raise LocalProtocolError(
            "realtime_trio runs in trio alone, and this is asyncio or no event loop at all: "
            "start the program with trio.run(main)"
        ) from None


class Connection:
    """Typed events over one open connection.  Made by `open_connection`.

    One task may receive and one task may send.  All that happens by itself is that pings are sent
    and answered, and that only while `receive` is called now and then: a connection that nobody
    reads from is given up by both sides.
    """

    def __init__(self, transport: Transport, codec: Codec) -> None:
        self._transport = transport
        self._codec = codec
        self._arrived: list[str | bytes] = []
        """What has come together and was not handed out, the oldest last."""
        self._left = 0
        """How many of them are handed out until others have to have a turn."""

    @property
    def closed(self) -> Close | None:
        """How the connection ended, with close code and reason; None while it is open."""
        return self._transport.closed

    async def send(self, event: ClientEvent) -> None:
        """Send one event; return when it has been handed to the network.

        Cancelling is *not* safe: a send that was cancelled half way ends the connection.  Sessions
        have a queue and a task that writes, so that cancelling their `send` is safe.

        Raises:
            LocalProtocolError, TypeError: It is not an event, or does not fit the protocol; nothing
                was sent.
            ConnectionLost: The connection has ended.
        """
        await self._transport.send(self._codec.encode(event))

    async def send_raw(self, payload: Mapping[str, object] | str) -> None:
        """Send one message that is not checked, for what this version of the library does not know.

        Args:
            payload: A JSON object, or the text of a message as it is.

        Raises:
            LocalProtocolError: The object holds a value that JSON cannot express, or the text half
                of a surrogate pair; nothing was sent.
            ConnectionLost: The connection has ended.
        """
        await self._transport.send(self._codec.encode_raw(payload))

    async def receive(self) -> ServerEvent:
        """Wait for the next event.

        Every call is a checkpoint for cancellation.  Of events that have arrived together only
        every 32nd lets other tasks run.

        Cancel-safe: nothing is lost.

        Raises:
            SessionClosed: The connection was closed in the normal way, by either side.
            ConnectionLost: The connection ended in any other way.
            RemoteProtocolError: Only if strict: the message cannot be decoded.
        """
        # In terms of `__anext__`, as a stream does: `async for` is the common way.
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            raise SessionClosed("the connection was closed") from None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ServerEvent:
        """Wait for the next event.

        A normal close ends the iteration, any other end raises `ConnectionLost`.
        """
        arrived = self._arrived
        if arrived and self._left:
            self._left -= 1
            await trio.lowlevel.checkpoint_if_cancelled()
        elif arrived:
            await trio.lowlevel.checkpoint()
            self._left = MESSAGES_IN_A_ROW - 1
        else:
            arrived.extend(reversed(await self._transport.receive()))
            self._left = MESSAGES_IN_A_ROW - 1
        if not arrived:
            # A transport delivers nothing only after its end, and then it knows how it ended.
            close = self._transport.closed
            assert close is not None
            if close.is_clean:
                raise StopAsyncIteration
            raise ConnectionLost(close.code, close.reason)
        return decode(self._codec, arrived.pop())

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection with this code and reason; leaving the block does it with 1000.

        Idempotent, bounded by the close timeout, never cancelled.
        """
        await self._transport.aclose(code, reason)


def decode(codec: Codec, message: str | bytes) -> ServerEvent:
    """Decode one message from the server and log it: its size and type, never its content.

    The protocol has no binary messages.  They are decoded all the same, since some servers send
    text that way.
    """
    event = codec.decode(message)
    assert isinstance(event, ServerEvent), "a client's codec decodes server events"
    # Asked first, since this is on the way of every message and the arguments cost something, too.
    if _logger.isEnabledFor(logging.DEBUG):
        what = legible(event.type) or "something"
        _logger.debug("received %s (%d characters)", what, len(message))
    if isinstance(event, UnknownEvent) and event.problem is not None:
        _logger.warning(
            "cannot decode %s: %s; it is delivered as an UnknownEvent",
            legible(event.type) or "a message",
            legible(event.problem),
        )
    return event


@asynccontextmanager
async def open_connection(
    url: str | Endpoint | None = None,
    *,
    model: str | None = None,
    kind: SessionKind = SessionKind.REALTIME,
    **options: Unpack[ConnectOptions],
) -> AsyncIterator[Connection]:
    """Connect to a Realtime service for typed events and nothing else.

    The block owns the connection and closes it.  The connection is open when the block is entered,
    but the service may still refuse it: it answers every handshake, and reports a wrong key or
    model as an `ErrorEvent` followed by a close.  `open_session` waits for that; here you see it as
    it comes.

    Args:
        url: The service: a URL, an `Endpoint` such as `azure(...)`, or None for `OPENAI_BASE_URL`
            and then OpenAI's own.
        model: Model to talk to; `gpt-realtime-2.1` when neither this nor the endpoint names one.
        kind: Kind of session; it decides on the address and on the event classes.
        **options: See `ConnectOptions`.

    Raises:
        ConnectionFailed: The connection could not be made; `status` and `body` are the server's
            answer if it refused by HTTP.
        LocalProtocolError, TypeError: An argument is unusable; nothing was sent.
    """
    check_runs_in_trio()
    check_options(options, ConnectOptions, function=open_connection)
    endpoint = resolve_endpoint(url, options)
    codec = Codec(Role.CLIENT, endpoint.dialect, kind=kind, strict=options.get("strict", False))
    async with open_transport(endpoint, kind, model, options) as transport:
        yield Connection(transport, codec)
