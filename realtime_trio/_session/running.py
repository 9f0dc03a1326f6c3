"""From keywords to a session of any kind that is ready, and from there to one that is gone.

Owns the order of both: what is refused before anything is opened, the connection, the nursery, the
tasks, the time that opening and closing may take.  What is to be said on the way is known to the
session.
"""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

import trio

from realtime_trio import _elsewhere
from realtime_trio._misuse import kind_of
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.endpoint import Endpoint
from realtime_trio._protocol.kinds import KINDS, SessionKind
from realtime_trio._runtime.hub import check_capacity
from realtime_trio._runtime.nursery import ServiceNursery, open_service_nursery
from realtime_trio._session.base import BaseSession
from realtime_trio._session.link import Link
from realtime_trio._transport.closing import closing
from realtime_trio._transport.contract import Transport
from realtime_trio.connection import (
    ConnectOptions,
    OpenTransport,
    check_runs_in_trio,
    open_transport,
    resolve_endpoint,
    websocket_settings,
)
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import ClientEvent

if TYPE_CHECKING:
    from realtime_trio import recording
else:
    recording = _elsewhere.module("realtime_trio.recording")

X = TypeVar("X", bound=BaseSession)


def check_arguments(
    *,
    transport: Transport | OpenTransport | None,
    capacity: int | None,
    new_id: Callable[[str], str],
) -> None:
    """Refuse what no kind of session could be opened with, before anything is opened.

    Raises:
        LocalProtocolError: This is not trio.
        TypeError: An argument is of a kind that cannot be meant.
        ValueError: The capacity is less than 1.
    """
    check_runs_in_trio()
    if not (transport is None or hasattr(transport, "receive") or callable(transport)):
        raise TypeError(
            "transport must be a Transport, a function that opens one or None, "
            f"not {kind_of(transport)}"
        )
    if capacity is not None:
        check_capacity(capacity)
    if not callable(new_id):
        raise TypeError(f"new_id must be a function from a prefix to an id, not {kind_of(new_id)}")


@asynccontextmanager
async def run_session(
    make: Callable[[Link, ServiceNursery], X],
    kind: SessionKind,
    configure: ClientEvent | None,
    *,
    model: str | None,
    url: str | Endpoint | None,
    transport: Transport | OpenTransport | None,
    record: str | os.PathLike[str] | None,
    options: ConnectOptions,
    prepare: Callable[[X], Awaitable[None]] | None = None,
    keep_up: Callable[[X, OpenTransport, float], Callable[[], Awaitable[None]]] | None = None,
) -> AsyncIterator[X]:
    """Run a session of any kind: ready when the block is entered, closed and gone when it is left.

    Args:
        make: Makes the session from its link and its nursery.
        kind: Its kind.
        configure: The update to be acknowledged before it is ready, if any.
        model: As for `open_session`.
        url: As for `open_session`.
        transport: As for `open_session`.
        record: As for `open_session`.
        options: How to connect.
        prepare: What is still to be done when it is ready, before the block is entered.
        keep_up: Sees to it that the session has another link when it needs one: from the session,
            how to open a connection, and the seconds that this may take, it makes the task that
            does so.  None if there is no other link.
    """
    limit = options.get("request_timeout")
    if limit is not None and not limit > 0:
        raise LocalProtocolError(
            f"request_timeout must be more than 0 seconds or None, not {limit}"
        )
    # Looked at in any case: with a transport of their own, people can misspell a dialect, too.
    endpoint = resolve_endpoint(Endpoint() if transport is not None else url, options)
    codec = Codec(
        Role.CLIENT,
        endpoint.dialect,
        kind=kind,
        strict=options.get("strict", False),
    )
    if configure is not None:
        codec.encode(configure)  # an unusable setting is found here, before anything is sent
    if record is not None:
        recording.check_recordable(record)  # and so is a file that is there already
    settings = websocket_settings(options)
    deadline = trio.current_time() + settings.connect_timeout
    dial: OpenTransport
    if transport is None:
        dial = partial(open_transport, endpoint, kind, model, options)
    elif isinstance(transport, type) or not hasattr(transport, "receive"):
        dial = cast("OpenTransport", transport)
    elif keep_up is None:
        dial = partial(_own, cast("Transport", transport))
    else:
        raise LocalProtocolError(
            "to reconnect, a session must be able to open a connection: "
            "transport must be a function that opens one, and not a transport"
        )
    async with dial() as connected, open_service_nursery() as services:
        link = Link(connected, codec, configures=configure is not None)
        session = make(link, services)
        if transport is None and KINDS[kind].has_model_in_url and endpoint.call_id is None:
            session._chosen_model = endpoint.chosen_model(kind, model)
        async with _recorded(session, record):
            # In the nursery before anything is awaited: from here on the end is always noticed.
            if keep_up is None:
                services.start_soon(session._receive_loop)
            else:
                services.start_soon(keep_up(session, dial, settings.connect_timeout))
            try:
                await session._become_ready(configure, deadline)
                if prepare is not None:
                    await prepare(session)
                # Until here `connect_timeout` has limited all of it.
                session._request_timeout = math.inf if limit is None else limit
                session._is_entered = True
                session._wire.stop_keeping()
                yield session
                # Shielded: the nursery's own end must not cut the goodbye short.
                with trio.move_on_after(settings.close_timeout, shield=True):
                    await session._drain()
            finally:
                session._close()


def _recorded(
    session: BaseSession, path: str | os.PathLike[str] | None
) -> AbstractAsyncContextManager[None]:
    """Record a session, if that is wanted, and leave its beginning to the application."""
    if path is None:
        return nullcontext()
    return recording.open_recording(session._overhear_wire(), path)


@asynccontextmanager
async def _own(transport: Transport) -> AsyncIterator[Transport]:
    """Close somebody else's transport at the end of the block."""
    async with closing(transport):
        yield transport
