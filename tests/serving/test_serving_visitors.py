"""Which web pages and which names of the host a server without a key answers to."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from simulator_clients import ask, receive_until, serving

from realtime_trio._serving.http import RequestHead
from realtime_trio._serving.visitors import Visitors
from realtime_trio._transport.websocket_client import open_websocket
from realtime_trio.errors import ConnectionFailed, LocalProtocolError
from realtime_trio.events import SessionCreated
from realtime_trio.simulator import serve_simulator

EVIL = "http://evil.example"
DEV = "http://localhost:5173"


def asking(host: str | None = "127.0.0.1:8765", origin: str | None = None) -> RequestHead:
    headers = [("host", host), ("origin", origin)]
    return RequestHead(
        path="/v1/realtime",
        headers=tuple((name, value) for name, value in headers if value is not None),
        peer=("127.0.0.1", 1),
    )


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("127.0.0.1", None),  # HTTP/1.0
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1:8765"),
        ("127.0.0.1", "127.0.0.2:80"),
        ("127.0.0.1", "LOCALHOST:8765"),
        ("127.0.0.1", "localhost."),
        ("127.0.0.1", "app.localhost:1"),
        ("::1", "[::1]:8765"),
        ("127.0.0.1", "[::1]"),
        ("192.0.2.7", "192.0.2.7:8765"),
        ("Box.example", "box.example:8765"),
        # Bound to all addresses: it does not know which, but nobody can choose one.
        ("0.0.0.0", "192.0.2.7:8765"),
        ("::", "192.0.2.7:8765"),
        ("::", "[2001:db8::1]"),
    ],
)
def test_it_answers_to_its_address_and_to_the_loopback(address: str, host: str | None) -> None:
    assert Visitors(address).objection(asking(host)) is None


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("127.0.0.1", "evil.example:8765"),
        ("127.0.0.1", "localhost.evil.example"),
        ("127.0.0.1", "127.0.0.1.evil.example"),
        ("127.0.0.1", "192.0.2.7"),
        ("192.0.2.7", "192.0.2.8"),
        ("0.0.0.0", "box.example"),
        ("127.0.0.1", ""),
        ("127.0.0.1", "[::1"),
        ("127.0.0.1", "127.0.0.1@evil.example"),
        ("127.0.0.1", "a\x00b"),
    ],
)
def test_it_does_not_answer_to_names_that_others_can_choose(address: str, host: str) -> None:
    objection = Visitors(address).objection(asking(host))
    assert objection is not None
    assert "--allow-host" in objection
    assert objection.isprintable()


def test_names_can_be_allowed() -> None:
    relayed = Visitors("127.0.0.1", hosts=["Relay.example", "[2001:db8::1]"])
    assert relayed.objection(asking("relay.example:443")) is None
    assert relayed.objection(asking("[2001:DB8::1]:443")) is None
    assert relayed.objection(asking("other.example")) is not None
    assert Visitors("127.0.0.1", hosts=["*"]).objection(asking("other.example")) is None


@pytest.mark.parametrize(
    "origin",
    [EVIL, DEV, "null", "", "file://", "http://127.0.0.1:8766", "http://127.0.0.1", "*"],
)
def test_pages_of_other_origins_are_not_let_in(origin: str) -> None:
    objection = Visitors("127.0.0.1").objection(asking(origin=origin))
    assert objection is not None
    assert "--allow-origin" in objection


def test_a_page_that_a_name_of_its_own_led_here_is_not_let_in() -> None:
    # DNS rebinding: for the browser, page and server are one.
    assert Visitors("127.0.0.1").objection(asking("evil.example:8765", f"{EVIL}:8765")) is not None


def test_pages_of_the_same_origin_are_let_in() -> None:
    for host, origin in [
        ("127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("localhost", "https://LocalHost"),
        ("localhost:443", "https://localhost"),
        ("localhost", "http://localhost"),
    ]:
        assert Visitors("127.0.0.1").objection(asking(host, origin)) is None


def test_pages_can_be_allowed() -> None:
    some = Visitors("127.0.0.1", origins=["HTTP://localhost:5173/", "https://app.example:443"])
    assert some.objection(asking(origin=DEV)) is None
    assert some.objection(asking(origin="https://app.example")) is None
    assert some.objection(asking(origin="http://app.example")) is not None
    assert some.objection(asking(origin="null")) is not None
    assert Visitors("127.0.0.1", origins=["null"]).objection(asking(origin="null")) is None
    assert Visitors("127.0.0.1", origins=["*"]).objection(asking(origin=EVIL)) is None
    # Which page it is says nothing of the name it came by.
    assert Visitors("127.0.0.1", origins=["*"]).objection(asking("evil.example", EVIL)) is not None


def test_what_cannot_be_an_origin_or_a_host_is_refused() -> None:
    wrong: Any
    for wrong in (["localhost:5173"], ["http://localhost/page"], [""]):
        with pytest.raises(LocalProtocolError, match="not the origin of a web page"):
            Visitors("127.0.0.1", origins=wrong)
    for wrong in (["http://a"], ["a:80"], [""]):
        with pytest.raises(LocalProtocolError, match="not the name of a host"):
            Visitors("127.0.0.1", hosts=wrong)
    with pytest.raises(TypeError, match="origins must be a sequence, not str"):
        Visitors("127.0.0.1", origins=DEV)


def test_the_port_of_a_scheme_need_not_be_said() -> None:
    # Programs that are no browsers say what they like.
    for scheme, port in (("http", 80), ("https", 443), ("ws", 80), ("wss", 443)):
        short, long = f"{scheme}://app.example", f"{scheme}://app.example:{port}"
        other = f"{scheme}://app.example:{port + 1}"
        for allowed in (short, long):
            some = Visitors("127.0.0.1", origins=[allowed])
            assert some.objection(asking(origin=short)) is None
            assert some.objection(asking(origin=other)) is not None


@pytest.mark.parametrize("request_", [asking("h" * 1000), asking(origin="h" * 1000)])
def test_an_objection_quotes_no_more_than_200_characters(request_: RequestHead) -> None:
    objection = Visitors("127.0.0.1").objection(request_)
    assert objection is not None
    assert f"'{'h' * 200}... (1000 characters)'" in objection


# --- on a real port -------------------------------------------------------------------------------


async def status_of(url: str, *, path: str = "", **options: Any) -> int | None:
    """The status with which a WebSocket is refused, None if it is let in."""
    await trio.lowlevel.checkpoint()
    try:
        async with open_websocket(f"{url}{path}?model=x", **options) as transport:
            assert len(await receive_until(transport, SessionCreated)) == 1
    except ConnectionFailed as error:
        return error.status  # noqa: ASYNC910 - opening is where it waits
    return None


@pytest.mark.socket
async def test_a_web_page_of_another_origin_cannot_use_the_simulator(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as url:
        assert await status_of(url, headers=[("Origin", EVIL)]) == 403
        status, _, answer = await ask(url, "POST", "/v1/realtime/client_secrets", {}, origin=EVIL)
        assert (status, answer["error"]["code"]) == (403, "forbidden")
        assert "--allow-origin" in answer["error"]["message"]
        status, _, answer = await ask(url, "GET", "/v1/models", host="evil.example")
        assert (status, answer["error"]["code"]) == (403, "forbidden")
        assert await status_of(url) is None
    # The browser does not tell its user, so the log does.
    assert [line[:55] for line in caplog.messages] == [
        *["refused a client: web pages of 'http://evil.example' ar"] * 2,
        "refused a client: this server does not answer to the ho",
    ]


@pytest.mark.socket
async def test_origins_and_hosts_can_be_allowed() -> None:
    async with serving(origins=[DEV], hosts=["relay.example"]) as url:
        assert await status_of(url, headers=[("Origin", DEV)]) is None
        assert await status_of(url, headers=[("Origin", EVIL)]) == 403
        assert (await ask(url, "GET", "/v1/models", host="relay.example"))[0] == 200


@pytest.mark.socket
async def test_who_shows_a_key_may_come_from_anywhere() -> None:
    page = [("Origin", DEV)]
    async with serving() as url:
        _, _, answer = await ask(url, "POST", "/v1/realtime/client_secrets", {})
        secret = f"openai-insecure-api-key.{answer['value']}"
        assert await status_of(url, headers=page, subprotocols=["realtime", secret]) is None
        wrong = "openai-insecure-api-key.ek_0123456789abcdef0123456789abcdef"
        assert await status_of(url, headers=page, subprotocols=["realtime", wrong]) == 403
    async with serving(api_key="sk-right") as url:
        key = "openai-insecure-api-key.sk-right"
        assert await status_of(url, headers=page, subprotocols=["realtime", key]) is None
        status, _, _ = await ask(
            url, "GET", "/v1/models", key="sk-right", host="relay.example", origin=DEV
        )
        assert status == 200
        # Others get to hear what the service would tell them.
        assert (await ask(url, "GET", "/v1/models", origin=EVIL))[0] == 401


@pytest.mark.socket
async def test_there_are_not_more_connections_than_allowed() -> None:
    async with serving(max_connections=2) as url:
        async with (
            open_websocket(f"{url}?model=x") as first,
            open_websocket(f"{url}?model=x"),
        ):
            assert await status_of(url) == 503
            with trio.fail_after(5):
                await first.aclose()
                while await first.receive():
                    pass
        # The server notices a moment later that they have gone.
        with trio.fail_after(5):
            while await status_of(url) is not None:  # noqa: ASYNC110 - nothing tells of it
                await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("limit", ["max_connections", "max_input_audio"])
async def test_a_limit_is_at_least_one(limit: str) -> None:
    options: Any = {limit: 0}
    with trio.fail_after(5), pytest.raises(LocalProtocolError, match=f"{limit} must be 1 or more"):
        await serve_simulator(**options)
