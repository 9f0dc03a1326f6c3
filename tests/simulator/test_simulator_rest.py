"""The REST endpoints: client secrets and models, and how they refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest

from realtime_trio._protocol.kinds import DEFAULT_MODEL, SessionKind
from realtime_trio._serving.http import HttpRequest
from realtime_trio.events import SessionUpdate, TranslationSessionUpdate
from realtime_trio.simulator import sequential_ids
from realtime_trio.simulator.serving.admission import KeyRing
from realtime_trio.simulator.serving.rest import MODELS, RestApi

NOW = 1_800_000_000.5
SECRETS = "/v1/realtime/client_secrets"
TRANSLATION_SECRETS = "/v1/realtime/translations/client_secrets"


class Api:
    """A REST API and its keys, asked with JSON."""

    def __init__(self, api_key: str | None = "sk-right", models: list[str] | None = None) -> None:
        self.keys = KeyRing(api_key)
        self._rest = RestApi(self.keys, models=models, new_id=sequential_ids(), created_at=NOW)

    def ask(
        self, method: str, path: str, body: object = None, key: str | None = "sk-right"
    ) -> tuple[int, Any]:
        headers = () if key is None else (("authorization", f"Bearer {key}"),)
        content = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        response = self._rest.answer(
            HttpRequest(
                method=method, path=path, headers=headers, body=content, peer=("192.0.2.1", 1)
            ),
            NOW,
        )
        assert ("content-type", "application/json") in response.headers
        return response.status, json.loads(response.body)

    def refused(self, path: str, body: object) -> tuple[str | None, str | None]:
        """Code and parameter of the error that a body is refused with."""
        status, answer = self.ask("POST", path, body)
        assert status == 400
        assert list(answer) == ["error"]
        assert set(answer["error"]) == {"message", "type", "param", "code"}
        assert answer["error"]["type"] == "invalid_request_error"
        return answer["error"]["code"], answer["error"]["param"]


# --- client secrets -------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [None, {}, {"session": None, "expires_after": None}])
def test_a_secret_may_be_for_any_session(body: object) -> None:
    api = Api()
    status, answer = api.ask("POST", SECRETS, body)
    assert status == 200
    assert answer["expires_at"] == 1_800_000_600
    session = answer["session"]
    assert (session["type"], session["object"], session["model"]) == (
        "realtime",
        "realtime.session",
        DEFAULT_MODEL,
    )
    assert session["id"].startswith("sess_")
    assert session["expires_at"] == 0
    secret = api.keys.find(answer["value"], NOW)
    assert secret is not None
    assert (secret.kind, secret.model, secret.update, secret.expires_at) == (
        None,
        None,
        None,
        1_800_000_600,
    )


def test_a_secret_can_hold_the_configuration_of_a_voice_session() -> None:
    api = Api()
    tool = {"type": "function", "name": "f", "parameters": {"type": "object", "$schema": "x"}}
    session = {
        "type": "realtime",
        "model": "gpt-realtime-2",
        "instructions": "Hi",
        "audio": {"output": {"voice": "marin"}},
        "tools": [tool],
    }
    status, answer = api.ask(
        "POST",
        SECRETS,
        {"session": session, "expires_after": {"anchor": "created_at", "seconds": 10}},
    )
    assert status == 200
    assert answer["expires_at"] == 1_800_000_010
    shown = answer["session"]
    assert (shown["model"], shown["instructions"], shown["audio"]["output"]["voice"]) == (
        "gpt-realtime-2",
        "Hi",
        "marin",
    )
    assert shown["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert shown["tools"] == [tool]
    secret = api.keys.find(answer["value"], NOW)
    assert secret is not None
    assert (secret.kind, secret.model) == (SessionKind.REALTIME, "gpt-realtime-2")
    assert isinstance(secret.update, SessionUpdate)


def test_a_secret_can_hold_tools_of_servers_that_will_be_asked_later() -> None:
    tool = {"type": "mcp", "server_label": "s", "server_url": "https://mcp.example/"}
    status, answer = Api().ask("POST", SECRETS, {"session": {"type": "realtime", "tools": [tool]}})
    assert status == 200
    assert answer["session"]["tools"][0]["server_label"] == "s"
    assert (
        Api().refused(SECRETS, {"session": {"type": "realtime", "tools": [tool, tool]}})[1]
        is not None
    )


def test_a_secret_can_hold_the_configuration_of_a_transcription() -> None:
    api = Api(models=["gpt-realtime"])
    session = {
        "type": "transcription",
        "audio": {"input": {"transcription": {"model": "whisper-1"}}},
    }
    status, answer = api.ask(
        "POST", SECRETS, {"session": session, "expires_after": {"seconds": 7200}}
    )
    assert (status, answer["expires_at"]) == (200, 1_800_007_200)
    assert (answer["session"]["type"], answer["session"]["object"]) == (
        "transcription",
        "realtime.transcription_session",
    )
    assert answer["session"]["audio"]["input"]["transcription"]["model"] == "whisper-1"
    secret = api.keys.find(answer["value"], NOW)
    assert secret is not None
    assert (secret.kind, secret.model) == (SessionKind.TRANSCRIPTION, None)


def test_a_secret_can_hold_the_configuration_of_a_translation() -> None:
    api = Api()
    session = {"model": "gpt-realtime-translate", "audio": {"output": {"language": "fr"}}}
    status, answer = api.ask("POST", TRANSLATION_SECRETS, {"session": session})
    assert status == 200
    shown = answer["session"]
    assert (shown["type"], shown["model"], shown["expires_at"]) == (
        "translation",
        "gpt-realtime-translate",
        0,
    )
    assert shown["audio"]["output"]["language"] == "fr"
    secret = api.keys.find(answer["value"], NOW)
    assert secret is not None
    assert (secret.kind, secret.model) == (SessionKind.TRANSLATION, "gpt-realtime-translate")
    assert isinstance(secret.update, TranslationSessionUpdate)


@pytest.mark.parametrize("body", [b"nonsense", b"[]", b"null", b'"text"', b"\xff"])
def test_a_body_is_a_json_object(body: bytes) -> None:
    assert Api().refused(SECRETS, body) == (None, None)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"bogus": 1}, "unknown_parameter", "bogus"),
        ({"expires_after": 600}, "invalid_type", "expires_after"),
        ({"expires_after": {"seconds": 9}}, "integer_below_min_value", "expires_after.seconds"),
        ({"expires_after": {"seconds": 7201}}, "integer_above_max_value", "expires_after.seconds"),
        ({"expires_after": {"seconds": "600"}}, "invalid_type", "expires_after.seconds"),
        ({"expires_after": {"seconds": True}}, "invalid_type", "expires_after.seconds"),
        ({"expires_after": {"anchor": "now"}}, "invalid_value", "expires_after.anchor"),
        ({"expires_after": {"anchor": None}}, "invalid_type", "expires_after.anchor"),
        ({"expires_after": {"anchor": ["created_at"]}}, "invalid_type", "expires_after.anchor"),
        ({"expires_after": {"hours": 1}}, "unknown_parameter", "expires_after.hours"),
        ({"session": "gpt-realtime"}, "invalid_type", "session"),
        ({"session": {}}, "missing_required_parameter", "session.type"),
        ({"session": {"type": "translation"}}, "invalid_value", "session.type"),
        ({"session": {"type": "realtime", "bogus": 1}}, "unknown_parameter", "session.bogus"),
        (
            {"session": {"type": "realtime", "output_modalities": ["text", "audio"]}},
            "invalid_value",
            "session.output_modalities",
        ),
        (
            {"session": {"type": "realtime", "audio": {"output": {"voice": "x"}}}},
            "invalid_value",
            "session.audio.output.voice",
        ),
        ({"session": {"type": "realtime", "model": 1}}, "invalid_type", "session.model"),
    ],
)
def test_what_is_wrong_in_a_body_is_named(body: object, code: str, param: str) -> None:
    assert Api().refused(SECRETS, body) == (code, param)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_required_parameter", "session"),
        ({"session": {}}, "missing_required_parameter", "session.model"),
        ({"session": {"model": 1}}, "invalid_type", "session.model"),
        ({"session": "x"}, "invalid_type", "session"),
        (
            {"session": {"model": "x", "instructions": "Hi"}},
            "unknown_parameter",
            "session.instructions",
        ),
        (
            {"session": {"model": "x", "audio": {"output": {"language": "tlh"}}}},
            "invalid_value",
            "session.audio.output.language",
        ),
    ],
)
def test_what_is_wrong_in_a_translation_is_named(body: object, code: str, param: str) -> None:
    assert Api().refused(TRANSLATION_SECRETS, body) == (code, param)


def test_a_session_needs_one_of_the_models_there_are() -> None:
    api = Api(models=["mine"])
    assert api.refused(SECRETS, {"session": {"type": "realtime", "model": "other"}}) == (
        "invalid_model",
        "session.model",
    )
    assert api.refused(TRANSLATION_SECRETS, {"session": {"model": "other"}}) == (
        "invalid_model",
        "session.model",
    )
    assert api.ask("POST", SECRETS, {"session": {"type": "realtime", "model": "mine"}})[0] == 200
    status, answer = api.ask("POST", SECRETS)
    assert (status, answer["session"]["model"]) == (200, "mine")
    assert Api(models=[]).refused(SECRETS, {}) == ("invalid_model", "session.model")


# --- models ---------------------------------------------------------------------------------------


def test_todays_models_are_listed() -> None:
    status, answer = Api().ask("GET", "/v1/models?limit=20")
    assert (status, answer["object"]) == (200, "list")
    assert [model["id"] for model in answer["data"]] == list(MODELS)
    assert answer["data"][0] == {
        "id": DEFAULT_MODEL,
        "object": "model",
        "created": 1_800_000_000,
        "owned_by": "system",
    }


def test_only_the_models_that_are_served_are_listed() -> None:
    api = Api(models=["mine", "org/yours"])
    assert [model["id"] for model in api.ask("GET", "/v1/models/")[1]["data"]] == [
        "mine",
        "org/yours",
    ]
    assert api.ask("GET", "/v1/models/mine")[1]["id"] == "mine"
    assert api.ask("GET", "/v1/models/org%2Fyours")[1]["id"] == "org/yours"
    status, answer = api.ask("GET", "/v1/models/gpt-realtime")
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (
        404,
        "model_not_found",
        "model",
    )


# --- keys and addresses ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", SECRETS),
        ("POST", TRANSLATION_SECRETS),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/x"),
    ],
)
def test_the_key_is_needed_for_everything(method: str, path: str) -> None:
    api = Api()
    for key, code in (
        (None, None),
        ("sk-wrong", "invalid_api_key"),
        (api.ask("POST", SECRETS)[1]["value"], "invalid_api_key"),
    ):
        status, answer = api.ask(method, path, key=key)
        assert (status, answer["error"]["code"]) == (401, code)
        assert "sk-" not in answer["error"]["message"]


def test_without_a_key_of_its_own_anybody_is_answered() -> None:
    assert Api(api_key=None).ask("POST", SECRETS, key=None)[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v1/realtime"),
        ("GET", "/v1/realtime?model=x"),
        ("GET", SECRETS),
        ("POST", "/v1/models"),
        ("DELETE", "/v1/models/gpt-realtime"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/client_secrets"),
    ],
)
def test_everything_else_is_not_there(method: str, path: str) -> None:
    status, answer = Api().ask(method, path, key=None)
    assert status == 404
    assert answer["error"] == {
        "message": f"Invalid URL ({method} {path.partition('?')[0].rstrip('/')})",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


def test_any_base_will_do() -> None:
    assert Api().ask("POST", "/openai/v1/realtime/client_secrets/")[0] == 200
    assert Api().ask("GET", "/models/gpt-realtime")[0] == 200


def test_a_body_that_is_nested_without_end_is_refused() -> None:
    deep = '{"p":' * 500 + "1" + "}" * 500
    body = f'{{"session": {{"type": "realtime", "tracing": {{"metadata": {deep}}}}}}}'
    assert Api().refused(SECRETS, body.encode()) == ("invalid_value", "session")


def test_too_many_client_secrets_are_a_429() -> None:
    api = Api()
    body = json.dumps({"session": {"type": "realtime", "instructions": "x" * 1_000_000}}).encode()
    assert [api.ask("POST", SECRETS, body)[0] for _ in range(17)] == [*[200] * 16, 429]
