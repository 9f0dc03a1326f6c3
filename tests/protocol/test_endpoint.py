"""From an address and a key to a URL, headers and subprotocols."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import trio

from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.endpoint import Endpoint, azure
from realtime_trio._protocol.kinds import DEFAULT_MODEL, SessionKind
from realtime_trio.errors import LocalProtocolError

KEY = "sk-very-secret"
REALTIME, TRANSCRIPTION, TRANSLATION = (
    SessionKind.REALTIME,
    SessionKind.TRANSCRIPTION,
    SessionKind.TRANSLATION,
)


def headers_of(endpoint: Endpoint, key: str | None = KEY) -> dict[str, str]:
    headers, subprotocols = endpoint.credentials(key)
    assert subprotocols == []
    return dict(headers)


# Where to


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://api.openai.com/v1", "wss://api.openai.com/v1/realtime?model=m"),
        ("https://api.openai.com/v1/", "wss://api.openai.com/v1/realtime?model=m"),
        ("wss://api.openai.com/v1/realtime", "wss://api.openai.com/v1/realtime?model=m"),
        ("http://localhost:8000", "ws://localhost:8000/realtime?model=m"),
        (
            "ws://localhost:8000/v1/realtime?model=theirs",
            "ws://localhost:8000/v1/realtime?model=theirs",
        ),
        (
            "ws://localhost:8000/v1?tenant=a%20b&empty=",
            "ws://localhost:8000/v1/realtime?tenant=a+b&empty=&model=m",
        ),
        ("ws://[::1]:8000/v1#here", "ws://[::1]:8000/v1/realtime?model=m"),
    ],
)
def test_an_api_base_and_the_address_of_the_websocket_are_both_understood(
    url: str, target: str
) -> None:
    assert Endpoint(url=url).target(REALTIME, "m") == target


def test_without_anything_it_is_the_service_of_openai_with_its_everyday_model() -> None:
    assert (
        Endpoint().target(REALTIME, None)
        == f"wss://api.openai.com/v1/realtime?model={DEFAULT_MODEL}"
    )


def test_a_translation_session_without_a_model_gets_the_one_that_translates() -> None:
    assert Endpoint().target(TRANSLATION, None).endswith("?model=gpt-realtime-translate")


def test_the_model_of_the_endpoint_comes_before_the_one_asked_for() -> None:
    assert Endpoint(model="mine").target(REALTIME, "yours").endswith("?model=mine")


def test_a_model_with_odd_characters_is_escaped() -> None:
    target = Endpoint().target(REALTIME, "a model&intent=x")
    assert parse_qs(urlsplit(target).query) == {"model": ["a model&intent=x"]}


def test_joining_a_call_names_the_call_and_no_model() -> None:
    assert (
        Endpoint(call_id="rtc_1", model="m")
        .target(REALTIME, "m")
        .endswith("/realtime?call_id=rtc_1")
    )


@pytest.mark.parametrize(
    ("url", "query"),
    [("ws://localhost", "intent=transcription"), ("ws://localhost?intent=mine", "intent=mine")],
)
def test_a_transcription_session_is_asked_for_by_intent_and_has_no_model(
    url: str, query: str
) -> None:
    assert Endpoint(url=url).target(TRANSCRIPTION, "m") == f"ws://localhost/realtime?{query}"


@pytest.mark.parametrize(
    ("url", "start"),
    [
        ("wss://api.openai.com/v1", "wss://api.openai.com/v1/realtime/translations?model=t"),
        (
            "wss://localhost/v1/realtime/translations",
            "wss://localhost/v1/realtime/translations?model=t",
        ),
    ],
)
def test_a_translation_session_has_an_address_of_its_own(url: str, start: str) -> None:
    assert Endpoint(url=url).target(TRANSLATION, "t") == start


def test_the_default_service_translates_at_the_address_for_that() -> None:
    assert (
        Endpoint().target(TRANSLATION, "t")
        == "wss://api.openai.com/v1/realtime/translations?model=t"
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://localhost",
        "wss://",
        "wss:///v1",
        "wss://[::secret",
        "wss://[secret]/v1",
    ],
)
def test_an_address_that_is_none_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        Endpoint(url=url).target(REALTIME, None)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# How to be let in


def test_a_key_travels_as_a_bearer_token() -> None:
    assert headers_of(Endpoint()) == {"Authorization": f"Bearer {KEY}"}


def test_without_a_key_no_credentials_are_sent() -> None:
    assert headers_of(Endpoint(), None) == {}
    assert headers_of(Endpoint(auth="api-key"), None) == {}
    assert Endpoint(auth="subprotocol").credentials(None) == ([], ["realtime"])


def test_every_header_that_was_asked_for_is_sent() -> None:
    endpoint = Endpoint(
        organization="org_1", project="proj_1", safety_identifier="hash", headers=[("X-Trace", "1")]
    )
    assert headers_of(endpoint) == {
        "X-Trace": "1",
        "OpenAI-Safety-Identifier": "hash",
        "Authorization": f"Bearer {KEY}",
        "OpenAI-Organization": "org_1",
        "OpenAI-Project": "proj_1",
    }


def test_where_headers_cannot_be_set_the_key_travels_among_the_subprotocols() -> None:
    endpoint = Endpoint(
        auth="subprotocol", organization="org_1", project="proj_1", headers=(("X-Trace", "1"),)
    )
    headers, subprotocols = endpoint.credentials(KEY)
    assert headers == [("X-Trace", "1")]
    assert subprotocols == [
        "realtime",
        f"openai-insecure-api-key.{KEY}",
        "openai-organization.org_1",
        "openai-project.proj_1",
    ]


def test_the_older_protocol_is_announced_as_a_header() -> None:
    assert headers_of(Endpoint(dialect=Dialect.BETA))["OpenAI-Beta"] == "realtime=v1"


def test_the_older_protocol_is_announced_as_a_subprotocol_too_where_headers_may_not_arrive() -> (
    None
):
    _, subprotocols = Endpoint(dialect=Dialect.BETA, auth="subprotocol").credentials(KEY)
    assert subprotocols == ["realtime", f"openai-insecure-api-key.{KEY}", "openai-beta.realtime-v1"]


# Azure


@pytest.mark.parametrize("suffix", ["", "/", "/openai", "/openai/", "/openai/v1", "/openai/v1/"])
def test_a_deployment_on_azure_is_named_like_a_model(suffix: str) -> None:
    endpoint = azure("https://res.openai.azure.com" + suffix, "my-deployment", api_key=KEY)
    assert (
        endpoint.target(REALTIME, "ignored")
        == "wss://res.openai.azure.com/openai/v1/realtime?model=my-deployment"
    )
    assert headers_of(endpoint) == {"api-key": KEY}
    assert endpoint.dialect is Dialect.GA


def test_an_older_deployment_on_azure_has_another_address_and_dialect() -> None:
    endpoint = azure(
        "https://res.openai.azure.com",
        "my deployment",
        api_key=KEY,
        api_version="2025-04-01-preview",
    )
    target = urlsplit(endpoint.target(REALTIME, "ignored"))
    assert (target.scheme, target.netloc, target.path) == (
        "wss",
        "res.openai.azure.com",
        "/openai/realtime",
    )
    assert parse_qs(target.query) == {
        "api-version": ["2025-04-01-preview"],
        "deployment": ["my deployment"],
    }
    assert headers_of(endpoint) == {"api-key": KEY}
    assert endpoint.dialect is Dialect.BETA


def test_azure_takes_a_token_instead_of_a_key() -> None:
    endpoint = azure("https://res.openai.azure.com", "d", token="entra", headers=[("X-Trace", "1")])
    assert endpoint.api_key == "entra"
    assert headers_of(endpoint, "entra") == {"Authorization": "Bearer entra", "X-Trace": "1"}


@pytest.mark.parametrize("keys", [{}, {"api_key": KEY, "token": KEY}])
def test_azure_wants_exactly_one_credential(keys: dict[str, str]) -> None:
    with pytest.raises(LocalProtocolError, match="either api_key or token") as caught:
        # To mypy, a dictionary of any keys may hold headers as well.
        azure("https://res.openai.azure.com", "d", **keys)  # type: ignore[arg-type]
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("headers", [{"X-Trace": "1"}, [("X-Trace", "1")], [["X-Trace", "1"]]])
def test_headers_are_a_mapping_or_pairs(headers: Any) -> None:
    assert Endpoint(headers=headers).headers == (("X-Trace", "1"),)


@pytest.mark.parametrize("headers", ["ab", b"ab", 5, ["ab"], [("a", "b", "c")], [("a", 5)]])
def test_other_headers_are_refused(headers: Any) -> None:
    with pytest.raises(TypeError, match=r"headers must be a (mapping|pair) of .*str"):
        Endpoint(headers=headers)


async def fetch_key() -> str:
    await trio.lowlevel.checkpoint()
    return KEY


def test_a_key_is_a_text_or_fetched() -> None:
    assert Endpoint(api_key=fetch_key).api_key is fetch_key
    misused: Any = 5
    with pytest.raises(TypeError, match="api_key must be a str, an async function or None"):
        Endpoint(api_key=misused)
    with pytest.raises(LocalProtocolError, match="api_key is empty"):
        Endpoint(api_key="")


def test_a_dialect_is_not_its_name() -> None:
    misused: Any = "beta"
    with pytest.raises(TypeError, match=r"Dialect\.GA or Dialect\.BETA, not 'beta'"):
        Endpoint(dialect=misused)


# What it shows of itself


def test_no_secret_is_in_its_repr() -> None:
    endpoint = Endpoint(
        url="wss://user:pass/word@localhost/v1?api-key=query-secret",
        api_key=KEY,
        safety_identifier="hash-of-a-person",
        headers=(("Authorization", "header-secret"),),
        model="m",
    )
    shown = repr(endpoint)
    assert not [
        secret
        for secret in (KEY, "pass", "word", "query-secret", "hash-of-a-person", "header-secret")
        if secret in shown
    ]
    assert "'...@localhost/v1'" in shown
    assert "model='m'" in shown


def test_its_repr_shows_an_ordinary_address() -> None:
    assert "url='ws://localhost:8000/v1'" in repr(
        Endpoint(url="ws://localhost:8000/v1", api_key=KEY)
    )


# What cannot be meant


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"headers": [("a", 7)]}, "each of the headers must be a pair of two str"),
        ({"headers": [("a", "b", "c")]}, "each of the headers must be a pair of two str"),
        ({"headers": ["ab"]}, "each of the headers must be a pair of two str"),
        ({"headers": "ab"}, "headers must be a mapping"),
        ({"api_key": 7}, "api_key must be a str, an async function or None"),
        ({"dialect": "beta"}, "dialect must be Dialect.GA or Dialect.BETA, not 'beta'"),
    ],
)
def test_what_is_of_a_wrong_kind_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Endpoint(**wrong)


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="api_key is empty"):
        Endpoint(api_key="")
