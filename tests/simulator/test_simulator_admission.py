"""Who is let in, and to which session."""

from __future__ import annotations

import gc
import re
import weakref

import pytest

from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._serving.websocket_server import HandshakeRequest
from realtime_trio._transport.contract import Close
from realtime_trio.events import SessionConfig, SessionUpdate
from realtime_trio.simulator.service.refusal import Refusal
from realtime_trio.simulator.serving.admission import (
    Admitted,
    ClientSecret,
    KeyRing,
    TurnedAway,
    admit,
    is_served,
)

NOW = 1_800_000_000.0
BETA_HEADER = {"headers": (("openai-beta", "realtime=v1"),)}
BETA_SUBPROTOCOL = {"subprotocols": ("realtime", "openai-beta.realtime-v1")}


def asking(
    path: str = "/v1/realtime?model=x",
    *,
    key: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    subprotocols: tuple[str, ...] = (),
) -> HandshakeRequest:
    shown = () if key is None else (("authorization", f"Bearer {key}"),)
    return HandshakeRequest(
        path=path, headers=(*headers, *shown), subprotocols=subprotocols, peer=("192.0.2.1", 1)
    )


def refused(decision: Admitted | TurnedAway) -> tuple[str | None, str, Close]:
    assert isinstance(decision, TurnedAway)
    return decision.error.code, decision.error.message, decision.close


def admitted(decision: Admitted | TurnedAway) -> Admitted:
    assert isinstance(decision, Admitted)
    return decision


# --- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        asking(key="sk-right"),
        asking(headers=(("authorization", "bearer  sk-right "),)),
        asking(headers=(("api-key", "sk-right"),)),
        asking(subprotocols=("realtime", "openai-insecure-api-key.sk-right")),
    ],
)
def test_the_right_key_is_let_in_however_it_comes(request_: HandshakeRequest) -> None:
    assert admitted(admit(request_, KeyRing("sk-right"), NOW)) == Admitted(
        kind=SessionKind.REALTIME, model="x", dialect=Dialect.GA, update=None
    )


def test_another_key_and_no_key_are_turned_away_with_3000() -> None:
    keys = KeyRing("sk-right")
    code, message, close = refused(admit(asking(key="sk-wröng"), keys, NOW))
    assert (code, close) == (
        "invalid_api_key",
        Close(3000, "invalid_request_error.invalid_api_key"),
    )
    assert "sk-" not in message
    for request in (
        asking(),
        asking(headers=(("authorization", "Basic sk-right"),)),
        asking(subprotocols=("realtime",)),
    ):
        code, message, close = refused(admit(request, keys, NOW))
        assert (code, message) == (None, "Missing bearer or basic authentication in header")
        assert close == Close(3000, "invalid_request_error")


def test_without_a_key_of_its_own_anybody_is_let_in() -> None:
    for key in (None, "sk-any", "ek_unheard_of"):
        assert admitted(admit(asking(key=key), KeyRing(), NOW)).update is None


def test_a_wrong_key_is_told_before_anything_else() -> None:
    request = asking("/v1/realtime", **BETA_HEADER)  # type: ignore[arg-type]
    assert refused(admit(request, KeyRing("sk"), NOW))[2].code == 3000


# --- client secrets -------------------------------------------------------------------------------


@pytest.mark.parametrize("api_key", ["sk-right", None])
def test_a_client_secret_lets_in_any_number_of_times_until_it_expires(api_key: str | None) -> None:
    keys = KeyRing(api_key)
    key = keys.issue(ClientSecret(expires_at=NOW + 600), NOW)
    assert re.fullmatch("ek_[0-9a-f]{32}", key)
    for later in (0, 1, 599.9):
        assert admitted(admit(asking(key=key), keys, NOW + later)).model == "x"
    for later in (600, 4000):
        assert refused(admit(asking(key=key), keys, NOW + later)) == (
            None,
            "Ephemeral token expired",
            Close(3000, "invalid_request_error"),
        )


def test_an_expired_secret_is_not_kept_and_still_told_from_one_that_never_existed() -> None:
    keys = KeyRing("sk-right")
    key = keys.issue(ClientSecret(expires_at=NOW + 600), NOW)
    kept = keys.issue(ClientSecret(expires_at=NOW + 7200), NOW)
    assert keys.knows(key, NOW + 599)
    assert not keys.knows(key, NOW + 600)
    assert refused(admit(asking(key=key), keys, NOW + 5000))[1] == "Ephemeral token expired"
    assert refused(admit(asking(key=f"{key[:-1]}?"), keys, NOW + 5000))[0] == "invalid_api_key"
    assert refused(admit(asking(key=key[:19]), keys, NOW + 5000))[0] == "invalid_api_key"
    assert admitted(admit(asking(key=kept), keys, NOW + 5000)).model == "x"


def test_what_a_secret_stands_for_is_forgotten_when_it_expires() -> None:
    keys = KeyRing()
    update = SessionUpdate(session=SessionConfig(instructions="Be brief."))
    memory = weakref.ref(update)
    keys.issue(ClientSecret(expires_at=NOW + 600, update=update), NOW)
    del update
    assert memory() is not None
    keys.find(None, NOW + 600)
    gc.collect()
    assert memory() is None


def test_secrets_of_one_server_are_nothing_to_another() -> None:
    key = KeyRing().issue(ClientSecret(expires_at=NOW), NOW)
    assert admitted(admit(asking(key=key), KeyRing(), NOW)).model == "x"
    assert refused(admit(asking(key=key), KeyRing("sk-right"), NOW))[0] == "invalid_api_key"


@pytest.mark.parametrize("size", [0, 2**20])
def test_there_are_not_more_secrets_than_fit(size: int) -> None:
    keys = KeyRing()
    most = 16 if size else 1000
    for _ in range(most):
        keys.issue(ClientSecret(expires_at=NOW + 600, size=size), NOW)
    with pytest.raises(Refusal, match="Too many client secrets") as too_many:
        keys.issue(ClientSecret(expires_at=NOW + 600, size=1), NOW)
    assert too_many.value.code == "rate_limit_exceeded"
    if size:
        # One that stands for no configuration takes no room.
        assert keys.issue(ClientSecret(expires_at=NOW + 600), NOW)
    # Room is made by expiring.
    assert keys.issue(ClientSecret(expires_at=NOW + 1200, size=1), NOW + 600)


def test_a_client_secret_makes_no_client_secrets() -> None:
    keys = KeyRing("sk-right")
    key = keys.issue(ClientSecret(expires_at=NOW + 600), NOW)
    with pytest.raises(Refusal, match="Incorrect"):
        keys.check(key)
    keys.check("sk-right")


def test_a_session_begins_with_the_configuration_of_its_secret() -> None:
    keys, update = KeyRing(), SessionUpdate(session=SessionConfig(instructions="Hi"))
    key = keys.issue(
        ClientSecret(
            expires_at=NOW + 1, kind=SessionKind.REALTIME, model="gpt-realtime-2", update=update
        ),
        NOW,
    )
    for path in ("/v1/realtime?model=x", "/v1/realtime"):
        decision = admitted(admit(asking(path, key=key), keys, NOW))
        assert (decision.model, decision.update) == ("gpt-realtime-2", update)


@pytest.mark.parametrize(
    ("kind", "path", "becomes"),
    [
        (SessionKind.TRANSCRIPTION, "/v1/realtime?intent=transcription", SessionKind.TRANSCRIPTION),
        (SessionKind.TRANSCRIPTION, "/v1/realtime", SessionKind.TRANSCRIPTION),
        (SessionKind.TRANSLATION, "/v1/realtime/translations?model=x", SessionKind.TRANSLATION),
        (None, "/v1/realtime?intent=transcription", SessionKind.TRANSCRIPTION),
        (SessionKind.REALTIME, "/v1/realtime?intent=transcription", None),
        (SessionKind.REALTIME, "/v1/realtime/translations?model=x", None),
        (SessionKind.TRANSLATION, "/v1/realtime?model=x", None),
        (SessionKind.TRANSCRIPTION, "/v1/realtime/translations?model=x", None),
    ],
)
def test_a_secret_is_for_the_kind_of_session_it_was_made_for(
    kind: SessionKind | None, path: str, becomes: SessionKind | None
) -> None:
    keys = KeyRing("sk")
    key = keys.issue(ClientSecret(expires_at=NOW + 1, kind=kind), NOW)
    decision = admit(asking(path, key=key), keys, NOW)
    if becomes is None:
        assert refused(decision)[0] == "invalid_parameter"
    else:
        assert admitted(decision).kind is becomes


# --- models and kinds -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/realtime", "missing_model"),
        ("/v1/realtime/?model=", "missing_model"),
        ("/v1/realtime?model=y", "invalid_model"),
        ("/v1/realtime/translations", "missing_model"),
        ("/v1/realtime/translations?model=y", "invalid_model"),
        ("/v1/realtime/translations?model=x&intent=transcription", "invalid_intent"),
    ],
)
def test_a_session_needs_one_of_the_models_there_are(path: str, code: str) -> None:
    assert refused(admit(asking(path), KeyRing(), NOW, models=["x"]))[::2] == (
        code,
        Close(4000, f"invalid_request_error.{code}"),
    )


@pytest.mark.parametrize(
    ("path", "example"),
    [
        ("/v1/realtime", "/realtime?model=gpt-realtime-1.5"),
        ("/v1/realtime/translations", "/realtime/translations?model=gpt-realtime-translate"),
    ],
)
def test_a_missing_model_is_told_in_the_words_of_the_service(path: str, example: str) -> None:
    assert refused(admit(asking(path), KeyRing(), NOW))[1] == (
        f"You must provide a model parameter, for example wss://api.openai.com/v1{example}"
    )


@pytest.mark.parametrize(
    ("path", "kind", "model"),
    [
        ("/v1/realtime?model=x", SessionKind.REALTIME, "x"),
        ("/openai/realtime/?model=y&model=x", SessionKind.REALTIME, "x"),
        ("/v1/realtime?intent=transcription", SessionKind.TRANSCRIPTION, ""),
        ("/v1/realtime?intent=transcription&model=y", SessionKind.TRANSCRIPTION, "y"),
        ("/v1/realtime/translations?model=x", SessionKind.TRANSLATION, "x"),
    ],
)
def test_the_url_says_what_the_session_is_for(path: str, kind: SessionKind, model: str) -> None:
    decision = admitted(admit(asking(path), KeyRing(), NOW, models=["x"]))
    assert (decision.kind, decision.model) == (kind, model)


def test_websockets_are_served_on_two_paths_under_any_base() -> None:
    for path in ("/v1/realtime", "/realtime/?model=x", "/a/b/realtime/translations?x"):
        assert is_served(asking(path))
    for path in ("/", "/v1/chat", "/v1/translations", "/v1/realtime/other"):
        assert not is_served(asking(path))


# --- the beta protocol ----------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [BETA_HEADER, BETA_SUBPROTOCOL])
def test_the_beta_protocol_is_spoken_only_when_that_is_wanted(
    asked: dict[str, tuple[str, ...]],
) -> None:
    request = asking(**asked)  # type: ignore[arg-type]
    assert refused(admit(request, KeyRing(), NOW))[::2] == (
        "beta_api_shape_disabled",
        Close(4000, "invalid_request_error.beta_api_shape_disabled"),
    )
    assert admitted(admit(request, KeyRing(), NOW, beta=True)).dialect is Dialect.BETA


def test_who_does_not_ask_for_the_beta_protocol_does_not_get_it() -> None:
    assert admitted(admit(asking(), KeyRing(), NOW, beta=True)).dialect is Dialect.GA


def test_there_was_no_translation_in_the_beta_protocol() -> None:
    request = asking("/v1/realtime/translations?model=x", **BETA_HEADER)  # type: ignore[arg-type]
    assert refused(admit(request, KeyRing(), NOW, beta=True))[0] == "beta_api_shape_disabled"
