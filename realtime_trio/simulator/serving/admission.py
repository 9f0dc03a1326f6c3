"""Who is let in, and to what: a connection's request, judged as the service judges it.

Owns the keys, the client secrets made from them, and the words with which clients are turned away.
Times are seconds since 1970 and are passed in.  The service accepts every WebSocket on its paths
and turns clients away afterwards; what it says then is decided here, too.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection, Mapping
from typing import Final

from attrs import frozen

from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.kinds import KINDS, SessionKind, kind_at
from realtime_trio._serving.requests import key_of, path_of, query_of
from realtime_trio._serving.websocket_server import HandshakeRequest
from realtime_trio._transport.contract import Close
from realtime_trio.events import ClientEvent, ErrorDetail
from realtime_trio.simulator.service.refusal import Refusal

_BETA_SUBPROTOCOL: Final = "openai-beta.realtime-v1"
# Close codes, as the service was seen to use them.
_BAD_KEY: Final = 3000
_BAD_REQUEST: Final = 4000
_EXAMPLES: Final = {SessionKind.REALTIME: "gpt-realtime-1.5"}
"""The model that the service recommends to clients that name none; seen on the live wire."""
_SECRET_PREFIX: Final = "ek_"
_NONCE: Final = 16
"""Hexadecimal digits of each half of a secret: with the prefix, the length of the service's."""
_MOST_SECRETS: Final = 1000
"""Secrets at once.  Anybody who reaches the server may ask for them, and they take memory."""
_MOST_CONFIGURATION: Final = 16 * 2**20
"""Bytes of the configurations that secrets stand for."""


@frozen(kw_only=True)
class ClientSecret:
    """What a client secret stands for."""

    expires_at: float
    """Until when it lets clients in."""
    kind: SessionKind | None = None
    """What the session is for; None leaves it to the URL."""
    model: str | None = None
    """The model, which wins over that of the URL; None leaves it to the URL."""
    update: ClientEvent | None = None
    """The configuration of the session, as a client would send it."""
    size: int = 0
    """About how many bytes that takes."""


class KeyRing:
    """The keys that let clients in: one that stays, and secrets that expire.

    Args:
        api_key: The key; None lets in every client.
    """

    def __init__(self, api_key: str | None = None) -> None:
        self._api_key = api_key
        self._secrets: dict[str, ClientSecret] = {}
        self._seal = secrets.token_bytes(32)
        """Tells an expired secret from one that never existed, without remembering it."""

    @property
    def is_open(self) -> bool:
        """Whether every client is let in, with or without a key."""
        return self._api_key is None

    def issue(self, secret: ClientSecret, now: float) -> str:
        """Make a key for a secret, good for any number of sessions until it expires.

        Raises:
            Refusal: There are too many that have not expired, or they take too much memory.
        """
        self._forget_expired(now)
        size = sum(kept.size for kept in self._secrets.values()) + secret.size
        if len(self._secrets) >= _MOST_SECRETS or size > _MOST_CONFIGURATION:
            raise Refusal(
                "Too many client secrets have not expired yet.", code="rate_limit_exceeded"
            )
        nonce = secrets.token_hex(_NONCE // 2)
        key = f"{_SECRET_PREFIX}{nonce}{self._sign(nonce)}"
        self._secrets[key] = secret
        return key

    def knows(self, key: str | None, now: float) -> bool:
        """Whether this is a client secret that has not expired."""
        self._forget_expired(now)
        return (key or "") in self._secrets

    def _forget_expired(self, now: float) -> None:
        self._secrets = {
            key: secret for key, secret in self._secrets.items() if now < secret.expires_at
        }

    def _sign(self, nonce: str) -> str:
        return hmac.digest(self._seal, nonce.encode(), "sha256").hex()[:_NONCE]

    def _has_expired(self, key: str) -> bool:
        """Whether this was a client secret once."""
        nonce = key.removeprefix(_SECRET_PREFIX)[:_NONCE]
        return secrets.compare_digest(
            key.encode(), f"{_SECRET_PREFIX}{nonce}{self._sign(nonce)}".encode()
        )

    def check(self, key: str | None) -> None:
        """Let the API key pass, which is the only key for requests that are not for a session.

        Raises:
            Refusal: It is another key, or there is no key.
        """
        if self._api_key is None:
            return
        if key is None:
            raise Refusal("Missing bearer or basic authentication in header", code=None)
        # In constant time, since a simulator may be served on a real network.
        if not secrets.compare_digest(key.encode(), self._api_key.encode()):
            raise Refusal("Incorrect API key provided.", code="invalid_api_key")

    def find(self, key: str | None, now: float) -> ClientSecret | None:
        """Let a key pass that is for a session: the API key, or a client secret, which is returned.

        Raises:
            Refusal: It is neither, or the secret has expired.
        """
        self._forget_expired(now)
        secret = self._secrets.get(key or "")
        if secret is None and key is not None and self._has_expired(key):
            raise Refusal("Ephemeral token expired", code=None)
        if secret is None:
            self.check(key)
        return secret


@frozen(kw_only=True)
class Admitted:
    """The session that a client gets."""

    kind: SessionKind
    """What it is for."""
    model: str
    """The model; empty if the URL and the secret name none."""
    dialect: Dialect
    """How the client spells the protocol."""
    update: ClientEvent | None
    """The configuration with which the session begins."""


@frozen(kw_only=True)
class TurnedAway:
    """What is said to a client that is not let in."""

    kind: SessionKind
    """What it asked for."""
    error: ErrorDetail
    """The error it gets."""
    close: Close
    """How the connection is closed after that."""


def admit(
    request: HandshakeRequest,
    keys: KeyRing,
    now: float,
    *,
    models: Collection[str] | None = None,
    beta: bool = False,
) -> Admitted | TurnedAway:
    """Decide about a client whose WebSocket was accepted.

    Args:
        request: What it asks for.
        keys: The keys that let clients in.
        now: The time.
        models: The models that exist; None takes any name.
        beta: Whether the beta protocol is spoken.
    """
    query = query_of(request)
    # Other paths are not served, and were turned away before their WebSocket was accepted.
    kind = kind_at(path_of(request), query.get("intent")) or SessionKind.REALTIME
    try:
        secret = keys.find(key_of(request), now) or ClientSecret(expires_at=now)
    except Refusal as refusal:
        return _turn_away(kind, refusal, _BAD_KEY)
    try:
        return _admit(request, query, kind, secret, models=models, beta=beta)
    except Refusal as refusal:
        return _turn_away(kind, refusal, _BAD_REQUEST)


def _admit(
    request: HandshakeRequest,
    query: Mapping[str, str],
    kind: SessionKind,
    secret: ClientSecret,
    *,
    models: Collection[str] | None,
    beta: bool,
) -> Admitted:
    is_beta = request.header("openai-beta") is not None or _BETA_SUBPROTOCOL in request.subprotocols
    if is_beta and (not beta or not KINDS[kind].has_beta):
        raise Refusal(
            "The beta API shape is disabled; use the GA API without OpenAI-Beta.",
            code="beta_api_shape_disabled",
        )
    if kind is SessionKind.TRANSLATION and "intent" in query:
        raise Refusal(
            "You must not provide an intent parameter for translation sessions.",
            code="invalid_intent",
        )
    if secret.kind not in (None, kind):
        # A transcription does not need `intent` in the URL if its secret says so; otherwise the URL
        # has to be for what was prepared.
        if secret.kind is not SessionKind.TRANSCRIPTION or kind is not SessionKind.REALTIME:
            raise Refusal(
                f"The client secret is for a {secret.kind.value} session.", code="invalid_parameter"
            )
        kind = secret.kind
    model = secret.model or query.get("model")
    row = KINDS[kind]
    if row.has_model_in_url:
        if model is None:
            example = _EXAMPLES.get(kind, row.default_model)
            raise Refusal(
                "You must provide a model parameter, "
                f"for example wss://api.openai.com/v1{row.path}?model={example}",
                code="missing_model",
            )
        check_model(model, models)
    return Admitted(
        kind=kind,
        model=model or "",
        dialect=Dialect.BETA if is_beta else Dialect.GA,
        update=secret.update,
    )


def check_model(model: str, models: Collection[str] | None, param: str | None = None) -> None:
    """Refuse a model that does not exist."""
    if models is not None and model not in models:
        raise Refusal(
            f'Model "{model}" is not supported in realtime mode.', code="invalid_model", param=param
        )


def is_served(request: HandshakeRequest) -> bool:
    """Whether there are WebSockets on this path, whatever its base."""
    return kind_at(path_of(request), None) is not None


def _turn_away(kind: SessionKind, refusal: Refusal, close_code: int) -> TurnedAway:
    error = refusal.detail(None)
    return TurnedAway(
        kind=kind,
        error=error,
        close=Close(close_code, error.type if error.code is None else f"{error.type}.{error.code}"),
    )
