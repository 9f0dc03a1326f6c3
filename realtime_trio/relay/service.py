"""The service behind a relay: how a relay connects to it, with a key that no guest sees."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Unpack

from attrs import evolve

from realtime_trio._protocol.endpoint import Endpoint
from realtime_trio._transport.contract import Transport
from realtime_trio.connection import (
    ConnectOptions,
    check_options,
    open_transport,
    resolve_endpoint,
)
from realtime_trio.relay.grant import Grant

Service = Callable[[Grant], AbstractAsyncContextManager[Transport]]
"""Opens a connection for a guest; leaving the block closes it."""

_MAX_MESSAGE_SIZE: Final = 4 * 2**20
"""Characters of a message of the service, and of all that waits for a guest that does not keep up.
A service sends an answer faster than it can be heard: a minute of it is 4 MiB."""


def service_at(url: str | Endpoint | None = None, **options: Unpack[ConnectOptions]) -> Service:
    """Describe the service behind a relay; nothing is connected yet.

    Args:
        url: The service: a URL, an `Endpoint` such as `azure(...)`, or None for `OPENAI_BASE_URL`
            and then OpenAI's own.
        **options: See `ConnectOptions`.  `max_message_size` is 4 MiB unless you say otherwise: it
            also bounds what waits for a guest that does not keep up.

    Raises:
        LocalProtocolError, TypeError: An argument makes no sense, or there is no key.
    """
    check_options(options, ConnectOptions, function=service_at)
    endpoint = resolve_endpoint(url, options)
    options.setdefault("max_message_size", _MAX_MESSAGE_SIZE)

    def connect(grant: Grant) -> AbstractAsyncContextManager[Transport]:
        # The model of the grant, whatever an endpoint says; a deployment of Azure's has its own.
        model = grant.model
        used = endpoint if model is None else evolve(endpoint, model=model)
        return open_transport(used, grant.kind, model, options)

    return connect
