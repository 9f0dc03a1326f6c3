"""Client secrets: keys of the service's own that are good for minutes, for browsers that reach it.

A browser that talks with the service by itself, over WebRTC or a WebSocket, needs no relay but a
key that may be seen.  The service makes one for a session of the configuration that it is given.
"""

from __future__ import annotations

from typing import Any, Unpack
from urllib.parse import urlsplit, urlunsplit

import trio
from attrs import field, frozen

from realtime_trio._legible import legible
from realtime_trio._misuse import check_kind, check_number, without_extra
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.endpoint import Endpoint
from realtime_trio._protocol.http_refusal import HttpRefusal
from realtime_trio._protocol.json_text import parse_json, write_json
from realtime_trio._protocol.kinds import KINDS, SessionKind
from realtime_trio.connection import ConnectOptions, check_options, resolve_endpoint
from realtime_trio.errors import ConnectionFailed, LocalProtocolError
from realtime_trio.events import SessionConfig, SessionUpdate, TranscriptionSessionConfig

_SHORTEST, _LONGEST = 10, 7200
"""Seconds, as the service documents them."""
_TIMEOUT = 10.0


@frozen(kw_only=True)
class ClientSecret:
    """A key for one browser.  Its repr does not show it."""

    value: str = field(repr=False)
    """The key: `ek_...`."""
    expires_at: float
    """Until when a session can be begun with it, in seconds since 1970."""


async def mint_client_secret(
    url: str | Endpoint | None = None,
    *,
    model: str | None = None,
    session: SessionConfig | TranscriptionSessionConfig | None = None,
    seconds: int = 600,
    **options: Unpack[ConnectOptions],
) -> ClientSecret:
    """Ask the service for a key that a browser may have.

    Needs the extra `rest`.

    Args:
        url: The service, as for `open_session`.
        model: Model of the session that can be begun with it.
        session: Its configuration, which the browser can change unless the service refuses it.
        seconds: For how long a session can be begun with it, 10 to 7200; a session that has begun
            goes on.
        **options: See `ConnectOptions`; those for WebSockets alone have no effect.

    Raises:
        ConnectionFailed: The service cannot be reached, or refuses; `status`, `code` and `body` say
            how.
        LocalProtocolError, TypeError: An argument makes no sense, or the extra is not installed.

    Cancellation: safe; the service may have made a key that nobody has.
    """
    try:
        import httpx2
    except ModuleNotFoundError as error:
        raise LocalProtocolError(without_extra("a client secret", "httpx2", "rest")) from error
    check_options(options, ConnectOptions, function=mint_client_secret)
    kinds = (SessionConfig, TranscriptionSessionConfig, type(None))
    check_kind("session", session, *kinds, allowed="a SessionConfig or TranscriptionSessionConfig")
    check_number(
        "seconds", seconds, lambda value: _SHORTEST <= value <= _LONGEST, allowed="10 to 7200"
    )
    endpoint = resolve_endpoint(url, options)
    key = await endpoint.api_key() if callable(endpoint.api_key) else endpoint.api_key
    headers, _ = endpoint.credentials(key)
    body = {
        "expires_after": {"anchor": "created_at", "seconds": int(seconds)},
        "session": _session(session, model),
    }
    timeout = options.get("connect_timeout", _TIMEOUT)
    try:
        async with httpx2.AsyncClient(
            timeout=None, verify=options.get("ssl_context") or True
        ) as client:
            with trio.fail_after(timeout):
                response = await client.post(
                    _address(endpoint),
                    content=write_json(body).encode(),
                    headers=[*headers, ("content-type", "application/json")],
                )
    except trio.TooSlowError:
        raise ConnectionFailed(f"the service did not answer within {timeout:g} s") from None
    except httpx2.HTTPError as error:
        raise ConnectionFailed(f"the service cannot be reached: {type(error).__name__}") from error
    if response.status_code != 200:
        raise _refusal(response.status_code, response.content)
    return _read(response.content)


def _session(
    session: SessionConfig | TranscriptionSessionConfig | None, model: str | None
) -> dict[str, Any]:
    """The configuration as JSON, with the model."""
    is_conversation = not isinstance(session, TranscriptionSessionConfig)
    update = SessionUpdate(session=session or SessionConfig())
    content: dict[str, Any] = parse_json(Codec(Role.CLIENT).encode(update))["session"]
    if is_conversation:
        content.setdefault("model", model or KINDS[SessionKind.REALTIME].default_model)
    elif model is not None:
        raise LocalProtocolError("a transcription has its model in `audio.input.transcription`")
    return content


def _address(endpoint: Endpoint) -> str:
    parts = urlsplit(endpoint.target(SessionKind.REALTIME, None))
    scheme = {"ws": "http", "wss": "https"}[parts.scheme]
    return urlunsplit((scheme, parts.netloc, f"{parts.path}/client_secrets", "", ""))


def _refusal(status: int, body: bytes) -> ConnectionFailed:
    said = HttpRefusal.of(body)
    why = f": {legible(said.message)}" if said.message else ""
    return ConnectionFailed(
        f"the service made no client secret, HTTP {status}{why}",
        status=status,
        code=said.code,
        body=body,
    )


def _read(body: bytes) -> ClientSecret:
    members = _members(body)
    value, expires_at = members.get("value"), members.get("expires_at")
    if not isinstance(value, str) or not isinstance(expires_at, int | float):
        raise ConnectionFailed("the service answered with something that is no client secret")
    return ClientSecret(value=value, expires_at=float(expires_at))


def _members(body: bytes) -> dict[str, Any]:
    try:
        content = parse_json(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
