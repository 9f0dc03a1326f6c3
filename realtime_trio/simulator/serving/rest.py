"""The REST endpoints on the simulator's port: client secrets for browsers, and the list of models.

Owns what is read from and written into bodies.  Whether a session's configuration is valid is left
to a server of that kind, which is asked as a client would ask it.  Any base does as well as `/v1`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Final, cast
from urllib.parse import unquote

import attrs

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.json_text import parse_json, write_json
from realtime_trio._protocol.kinds import DEFAULT_MODEL, KINDS, SessionKind
from realtime_trio._serving.http import HttpRequest, HttpResponse, RequestHead
from realtime_trio._serving.requests import key_of, path_of
from realtime_trio.events import (
    ClientEvent,
    ErrorDetail,
    ErrorEvent,
    SessionConfig,
    SessionUpdate,
    TranslationSessionUpdate,
    UnknownEvent,
    Unset,
)
from realtime_trio.simulator.script.script import Script
from realtime_trio.simulator.service.refusal import (
    Refusal,
    check_choice,
    check_depth,
    check_range,
    explain,
    missing,
)
from realtime_trio.simulator.service.server import SimulatedServer
from realtime_trio.simulator.service.strictness import read_message
from realtime_trio.simulator.service.translator import SimulatedTranslator
from realtime_trio.simulator.serving.admission import ClientSecret, KeyRing, check_model
from realtime_trio.simulator.serving.simulation import Configured, Simulation

TALKING_MODELS: Final = (
    DEFAULT_MODEL,
    "gpt-realtime-2.1-mini",
    "gpt-realtime",
    "gpt-realtime-1.5",
    "gpt-realtime-2",
    "gpt-realtime-2025-08-28",
    "gpt-realtime-mini",
    "gpt-realtime-mini-2025-10-06",
    "gpt-realtime-mini-2025-12-15",
)
"""The models that one talks with."""
MODELS: Final = (
    *TALKING_MODELS,
    "gpt-realtime-translate",
    "gpt-realtime-whisper",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "whisper-1",
)
"""What is listed if it is not said which models exist; a session that names none gets the first."""

_ANCHOR: Final = "created_at"
# Seconds, as the service documents them.
_LIFETIME: Final = 600
_SHORTEST: Final = 10
_LONGEST: Final = 7200
_ENDPOINTS: Final = re.compile(
    r"/(?:(?P<secrets>realtime/(?P<translations>translations/)?client_secrets)"
    r"|models(?:/(?P<model>.+))?)$"
)

_Json = dict[str, object]


class RestApi:
    """Answers requests that are not for a WebSocket.

    Args:
        keys: The keys that let clients in; client secrets are added to them.
        models: The models that exist; None lists those of today, and lets a session have any.
        new_id: Makes an id with a prefix, e.g. `sess_`.
        created_at: When the models are said to be made, in seconds since 1970.
    """

    def __init__(
        self,
        keys: KeyRing,
        *,
        models: Collection[str] | None,
        new_id: Callable[[str], str],
        created_at: float,
    ) -> None:
        self._keys = keys
        self._models = models
        self._listed = MODELS if models is None else tuple(models)
        self._default_model = next(iter(self._listed), MODELS[0])
        self._new_id = new_id
        self._created_at = int(created_at)

    def answer(self, request: HttpRequest, now: float) -> HttpResponse:
        """Answer a request; `now` is in seconds since 1970."""
        endpoint = _ENDPOINTS.search(path_of(request))
        if endpoint is None or request.method != ("POST" if endpoint["secrets"] else "GET"):
            return not_found(request.method, request)
        # After the path: whether there is such an endpoint does not depend on the key.
        try:
            self._keys.check(key_of(request))
        except Refusal as refusal:
            return _error(401, refusal.detail(None))
        if not endpoint["secrets"]:
            return (
                self._list_models()
                if endpoint["model"] is None
                else self._describe_model(unquote(endpoint["model"]))
            )
        try:
            return self._make_secret(
                _parse(request.body),
                now,
                is_translation=endpoint["translations"] is not None,
                size=len(request.body),
            )
        except Refusal as refusal:
            status = 429 if refusal.code == "rate_limit_exceeded" else 400
            return _error(status, refusal.detail(None))

    # --- models -----------------------------------------------------------------------------------

    def _list_models(self) -> HttpResponse:
        return _json(200, {"object": "list", "data": [self._model(name) for name in self._listed]})

    def _describe_model(self, name: str) -> HttpResponse:
        if name in self._listed:
            return _json(200, self._model(name))
        message = f"The model '{name}' does not exist or you do not have access to it."
        return _error(404, Refusal(message, code="model_not_found", param="model").detail(None))

    def _model(self, name: str) -> _Json:
        return {"id": name, "object": "model", "created": self._created_at, "owned_by": "system"}

    # --- client secrets ---------------------------------------------------------------------------

    def _make_secret(
        self, body: _Json, now: float, *, is_translation: bool, size: int
    ) -> HttpResponse:
        for name in body:
            if name not in ("expires_after", "session"):
                raise _unknown(name)
        expires_at = int(now) + _lifetime(body.get("expires_after"))
        if body.get("session") is not None:
            secret, session = self._prepare(
                body["session"], expires_at, is_translation=is_translation
            )
        elif is_translation:
            raise missing("session")
        else:
            _, session = self._prepare({"type": "realtime"}, expires_at, is_translation=False)
            secret = ClientSecret(expires_at=expires_at)
        value = self._keys.issue(attrs.evolve(secret, size=size), now)
        return _json(200, {"value": value, "expires_at": expires_at, "session": session})

    def _prepare(
        self, session: object, expires_at: int, *, is_translation: bool
    ) -> tuple[ClientSecret, _Json]:
        """The secret for a session, and what the session will look like.

        Raises:
            Refusal: There cannot be such a session.
        """
        kind = SessionKind.TRANSLATION if is_translation else SessionKind.REALTIME
        model = None
        # A translation session cannot change its model, so the event that updates one has no field
        # for it, and a strict codec would refuse it.
        if is_translation and isinstance(session, dict):
            session = dict(session)
            model = session.pop("model", None)
            if model is None:
                raise missing("session.model")
            if not isinstance(model, str):
                raise _mistyped("session.model", "a string")
        # As a client would send it, so that every mistake is found and worded by the same rules.
        message = write_json({"type": "session.update", "session": session})
        update = read_message(Codec(Role.SERVER, kind=kind), message)
        server: SimulatedServer | SimulatedTranslator
        match update:
            case SessionUpdate(session=SessionConfig(model=asked)):
                model = None if isinstance(asked, Unset) else asked
                server = SimulatedServer(
                    Script(),
                    model=model or self._default_model,
                    new_id=self._new_id,
                    expires_after=math.inf,
                )
            # A transcription has no model in its session, only one for its transcripts.
            case SessionUpdate():
                kind = SessionKind.TRANSCRIPTION
                server = SimulatedServer(
                    Script(), kind=kind, model="", new_id=self._new_id, expires_after=math.inf
                )
            case TranslationSessionUpdate():
                server = SimulatedTranslator(
                    Script(), model=model or "", new_id=self._new_id, expires_after=math.inf
                )
            case _:
                assert isinstance(update, UnknownEvent), (
                    "what was read says that it updates a session"
                )
                raise explain(update)
        if KINDS[kind].has_model_in_url:
            check_model(server.model, self._models, "session.model")
        return ClientSecret(expires_at=expires_at, kind=kind, model=model, update=update), _show(
            server, update
        )


def _show(server: Simulation, update: ClientEvent) -> _Json:
    """What a session looks like with a configuration, before it has begun.

    Raises:
        Refusal: The server does not take it.
    """
    configured = Configured(server, update)
    configured.connect(0.0)
    greeting, *others = configured.take_due(0.0)
    for event in others:
        if isinstance(event, ErrorEvent):
            raise Refusal(event.error.message, code=event.error.code, param=event.error.param)
    # Encoded and parsed again, because the body is to have what the wire would have.
    session = cast(
        "_Json", parse_json(Codec(Role.SERVER, kind=server.kind).encode(greeting))["session"]
    )
    # A session that has not begun does not expire yet; only the secret does.
    return {**session, "expires_at": 0}


def _parse(body: bytes) -> _Json:
    try:
        value = parse_json(body or b"{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Refusal(
            "We could not parse the JSON body of your request: it is to be an object.", code=None
        )
    # Before it is written again, as the event that a client would send.
    for name, member in value.items():
        check_depth(member, name)
    return value


def _lifetime(expires_after: object) -> int:
    """Seconds for which a secret is good."""
    if expires_after is None:
        return _LIFETIME
    if not isinstance(expires_after, dict):
        raise _mistyped("expires_after", "an object")
    for name in expires_after:
        if name not in ("anchor", "seconds"):
            raise _unknown(f"expires_after.{name}")
    anchor = expires_after.get("anchor", _ANCHOR)
    if not isinstance(anchor, str):
        raise _mistyped("expires_after.anchor", "a string")
    check_choice(anchor, (_ANCHOR,), "expires_after.anchor")
    seconds = expires_after.get("seconds", _LIFETIME)
    # Not `isinstance`, since true and false are integers to Python.
    if type(seconds) is not int:
        raise _mistyped("expires_after.seconds", "an integer")
    check_range(seconds, _SHORTEST, _LONGEST, "expires_after.seconds")
    return seconds


def _unknown(param: str) -> Refusal:
    return Refusal(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)


def _mistyped(param: str, expected: str) -> Refusal:
    return Refusal(
        f"Invalid type for '{param}': expected {expected}.", code="invalid_type", param=param
    )


def not_found(method: str, request: RequestHead) -> HttpResponse:
    """The response for a path on which nothing is served."""
    return _error(
        404, Refusal(f"Invalid URL ({method} {path_of(request)})", code=None).detail(None)
    )


def forbidden(why: str) -> HttpResponse:
    """The response to those who must show a key, and have not."""
    return _error(403, Refusal(why, code="forbidden").detail(None))


def _error(status: int, error: ErrorDetail) -> HttpResponse:
    content = {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }
    return _json(status, {"error": content})


def _json(status: int, content: Mapping[str, object]) -> HttpResponse:
    return HttpResponse(
        status=status,
        headers=(("content-type", "application/json"),),
        body=write_json(content).encode(),
    )
