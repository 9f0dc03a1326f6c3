"""What a request says about its client: where it wants to go, and with which key.

Owns the places where a key may stand, as OpenAI's service has them.  Whether it is a good one is
for others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, urlsplit

from realtime_trio._serving.http import RequestHead
from realtime_trio._serving.websocket_server import HandshakeRequest

SUBPROTOCOL: Final = "realtime"
"""The subprotocol that is selected if it is offered; the others that clients offer carry data."""
_KEY_PREFIX: Final = "openai-insecure-api-key."


def path_of(request: RequestHead) -> str:
    """The path, without the query and without slashes at the end."""
    return urlsplit(request.path).path.rstrip("/")


def query_of(request: RequestHead) -> Mapping[str, str]:
    """The query; of a parameter that stands twice the last value counts."""
    return {name: values[-1] for name, values in parse_qs(urlsplit(request.path).query).items()}


def key_of(request: RequestHead) -> str | None:
    """The key of a client, wherever it stands: in the headers or in a subprotocol; or None."""
    scheme, _, key = (request.header("authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and key:
        return key.strip()
    # Browsers cannot set headers on a WebSocket, so the service takes the key there, too.
    subprotocols = (
        request.subprotocols
        if isinstance(request, HandshakeRequest)
        else map(str.strip, (request.header("sec-websocket-protocol") or "").split(","))
    )
    offered = (
        name.removeprefix(_KEY_PREFIX) for name in subprotocols if name.startswith(_KEY_PREFIX)
    )
    return request.header("api-key") or next(offered, None)
