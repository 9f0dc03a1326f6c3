"""A relay on a port: who gets in, what is served beside the sessions, and how it stops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from relays import KEY, Audits, granting, relay_at_port, service_of

from realtime_trio import open_session, tool
from realtime_trio._protocol.kinds import DEFAULT_MODEL
from realtime_trio._transport.contract import Close, Transport
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio._transport.websocket_client import open_websocket
from realtime_trio.errors import ConnectionFailed, LocalProtocolError, ServerError
from realtime_trio.events import FunctionCall, ResponseDone, SessionConfig
from realtime_trio.recording import read_recording
from realtime_trio.relay import (
    Accept,
    AccessDenied,
    Grant,
    HandshakeRequest,
    HttpRequest,
    HttpResponse,
    Reject,
    Route,
    TokenIssuer,
    serve_relay,
    service_at,
    token_of,
)
from realtime_trio.simulator import Reply, Script

pytestmark = pytest.mark.socket


async def get(url: str, *headers: str) -> tuple[int, Any]:
    """The status and the JSON of an HTTP response."""
    host, _, path = url.removeprefix("ws://").partition("/")
    name, port = host.rsplit(":", 1)
    lines = [f"GET /{path} HTTP/1.1", f"host: {host}", *headers, "", ""]
    async with await trio.open_tcp_stream(name, int(port)) as stream:
        await stream.send_all("\r\n".join(lines).encode())
        answer = b"".join([chunk async for chunk in stream])
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def beside(url: str, path: str) -> str:
    return url.removesuffix("/v1/realtime") + path


async def refusal_of(url: str, **options: Any) -> tuple[int | None, str]:
    """The status and the code with which a WebSocket is refused."""
    with pytest.raises(ConnectionFailed) as failure:
        async with open_websocket(url, **options):
            pass
    return failure.value.status, json.loads(failure.value.body)["error"]["code"]


# Talking through it


async def test_our_own_client_talks_with_the_service_without_its_key() -> None:
    audits = Audits()
    script = Script([Reply.text("Good morning to you, too.")])
    grant = Grant(who="ann", session=SessionConfig.of(instructions="Be secretive."))
    async with relay_at_port(grant, script=script, audit=audits) as url:
        async with open_session(url=url, api_key=None) as session:
            assert session.config.model == DEFAULT_MODEL
            assert session.config.instructions is None
            answer = await session.ask("Good morning.")
            assert answer.text == "Good morning to you, too."
            with pytest.raises(ServerError) as refused:
                await session.update(instructions="Tell me everything.")
            assert refused.value.code == "not_allowed"
        record = await audits.next()
    assert (record.who, record.why, record.peer) == ("ann", "guest_left", "127.0.0.1")
    assert record.refused == 1
    assert record.input_tokens > 0
    assert record.output_tokens > 0
    assert "morning" not in record.line()


async def test_tools_run_in_the_relay_and_the_guest_sees_nothing_of_them() -> None:
    asked: list[str] = []

    @tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return "sunny"

    script = Script([Reply.call("get_weather", city="Paris"), Reply.text("It is nice there.")])
    async with (
        relay_at_port(Grant(tools=[get_weather]), script=script) as url,
        open_session(url=url, api_key=None) as session,
    ):
        responses = session.events(ResponseDone)
        assert session.config.tools is None
        await session.send_message("How is Paris?")
        assert (await responses.receive()).response.output == ()
        await responses.receive()
        assert asked == ["Paris"]
        user, assistant = session.conversation.items
        assert (user.text, assistant.transcript) == ("How is Paris?", "It is nice there.")


async def test_calls_that_are_not_hidden_are_seen_and_answered_by_the_relay_all_the_same() -> None:
    @tool
    def get_weather(city: str) -> str:
        """The weather in a city."""
        return f"sunny in {city}"

    script = Script([Reply.call("get_weather", city="Paris"), Reply.text("It is nice there.")])
    grant = Grant(tools=[get_weather], hide_tools=False, hidden=())
    async with (
        relay_at_port(grant, script=script) as url,
        open_session(url=url, api_key=None) as session,
    ):
        responses = session.events(ResponseDone)
        assert session.config.tools == (get_weather.definition,)
        await session.send_message("How is Paris?")
        [call] = (await responses.receive()).response.output
        assert isinstance(call, FunctionCall)
        await responses.receive()
        assert [item.type for item in session.conversation.items] == [
            "message",
            "function_call",
            "function_call_output",
            "message",
        ]


# Who gets in


async def test_a_token_lets_in_once_wherever_it_stands() -> None:
    issuer = TokenIssuer(bytes(32))

    async def authorize(request: HandshakeRequest) -> Grant:
        await trio.lowlevel.checkpoint()
        token = issuer.redeem(token_of(request, query="token"))
        return Grant(who=token.who)

    async with relay_at_port(authorize) as url:
        assert await refusal_of(url) == (401, "token_missing")
        for options in (
            lambda token: {"headers": [("Authorization", f"Bearer {token}")]},
            lambda token: {"subprotocols": ["realtime", f"openai-insecure-api-key.{token}"]},
        ):
            token = issuer.issue("ann")
            async with open_websocket(url, **options(token)) as transport:
                assert transport.subprotocol in (None, "realtime")
                await transport.receive()
            assert await refusal_of(url, **options(token)) == (401, "token_used")
        token = issuer.issue("ann")
        async with open_websocket(f"{url}?token={token}"):
            pass
        assert await refusal_of(f"{url}?token={token}") == (401, "token_used")
        assert await refusal_of(f"{url}?token={token[:-2]}AA") == (401, "token_invalid")


@pytest.mark.parametrize("status", [401, 403, 404, 429])
async def test_whoever_is_refused_is_told_why_before_the_upgrade(status: int) -> None:
    async def authorize(_request: HandshakeRequest) -> Grant:
        await trio.lowlevel.checkpoint()
        raise AccessDenied("not today", status=status, code="no_entry")

    async with relay_at_port(authorize) as url:
        assert await refusal_of(url) == (status, "no_entry")


async def test_a_mistake_of_authorize_lets_nobody_in(caplog: pytest.LogCaptureFixture) -> None:
    async def authorize(_request: HandshakeRequest) -> Grant:
        await trio.lowlevel.checkpoint()
        raise KeyError("oops")

    async with relay_at_port(authorize) as url:
        with pytest.raises(ConnectionFailed) as failure:
            async with open_websocket(url):
                pass
        assert failure.value.status == 500
    assert "oops" in caplog.text


async def test_pages_of_other_origins_are_refused_and_others_can_be_allowed() -> None:
    async with relay_at_port(granting(Grant()), origins=["https://app.example"]) as url:
        host = url.removeprefix("ws://").partition("/")[0]
        evil = [("Origin", "https://evil.example")]
        assert await refusal_of(url, headers=evil) == (403, "forbidden")
        for origin in (f"http://{host}", "https://app.example"):
            async with open_websocket(url, headers=[("Origin", origin)]) as transport:
                await transport.receive()


async def test_without_authorization_only_this_machine_is_served() -> None:
    with pytest.raises(LocalProtocolError, match="without authorization"):
        await serve_relay(Grant(), "0.0.0.0", service=service_at("ws://127.0.0.1:1", api_key=None))


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"max_sessions": 1}, "too_many_sessions"),
        ({"max_sessions_per_address": 1}, "too_many_sessions_of_address"),
        ({}, "too_many_sessions_of_guest"),
    ],
)
async def test_sessions_are_counted_while_they_last(options: dict[str, Any], code: str) -> None:
    audits = Audits()
    authorize = granting(Grant(who="ann", sessions=1))
    async with relay_at_port(authorize, audit=audits, **options) as url:
        async with open_websocket(url) as transport:
            await transport.receive()
            assert await refusal_of(url) == (429, code)
        await audits.next()
        await trio.testing.wait_all_tasks_blocked(0.01)
        async with open_websocket(url) as transport:
            await transport.receive()


async def test_a_guest_gets_the_kind_of_session_that_it_may_have() -> None:
    async with relay_at_port(Grant()) as url:
        assert await refusal_of(f"{url}/translations") == (403, "wrong_kind")
        assert await refusal_of(f"{url}?intent=transcription") == (403, "wrong_kind")
        assert await refusal_of(beside(url, "/elsewhere")) == (404, "not_found")


# What else is served


async def test_its_health_can_be_asked_for_and_nothing_else() -> None:
    async with relay_at_port() as url:
        assert await get(beside(url, "/healthz")) == (200, {"status": "ok"})
        status, content = await get(beside(url, "/other"))
        assert (status, content["error"]["code"]) == (404, "not_found")


async def test_routes_serve_pages_and_other_websockets_on_the_same_port() -> None:
    async def page(request: HttpRequest) -> HttpResponse:
        await trio.lowlevel.checkpoint()
        return HttpResponse(status=200, body=json.dumps(request.path).encode())

    async def watch(transport: Transport, request: HandshakeRequest) -> None:
        await transport.send(request.path)

    def only_with_a_key(request: HandshakeRequest) -> Accept | Reject:
        return (
            Accept()
            if request.header("api-key")
            else Reject(status=401, body=b'{"error":{"code":"key"}}')
        )

    routes = [
        Route("/console/*", http=page),
        Route("/console/watch", websocket=watch),
        Route("/keyed", websocket=watch, admit=only_with_a_key),
    ]
    async with relay_at_port(routes=routes) as url:
        assert await get(beside(url, "/console/a.js?b")) == (200, "/console/a.js?b")
        assert await get(beside(url, "/console")) == (200, "/console")
        assert (await get(beside(url, "/consoles")))[0] == 404
        assert (await get(beside(url, "/console/a.js"), "origin: https://evil.example"))[0] == 403
        async with open_websocket(beside(url, "/console/watch")) as transport:
            assert await transport.receive() == ("/console/watch",)
            assert await transport.receive() == ()
            assert transport.closed == Close(1000)
        assert await refusal_of(beside(url, "/keyed")) == (401, "key")
        async with open_websocket(beside(url, "/keyed"), headers=[("api-key", "x")]) as transport:
            assert await transport.receive() == ("/keyed",)
        with pytest.raises(ConnectionFailed):
            async with open_websocket(beside(url, "/console/a.js")):
                pass


# How it stops


async def test_it_lets_nobody_in_while_it_stops_and_waits_for_those_inside() -> None:
    drain, has_stopped = trio.Event(), trio.Event()

    async def serve_until_drained(task_status: trio.TaskStatus[str]) -> None:  # noqa: ASYNC114, ASYNC128
        silent = service_of(memory_transport_pair()[0])
        await serve_relay(
            granting(Grant()), service=silent, drain=drain, grace=10, task_status=task_status
        )
        has_stopped.set()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve_until_drained)
            async with open_websocket(url) as transport:
                drain.set()
                await trio.testing.wait_all_tasks_blocked(0.01)
                assert await get(beside(url, "/healthz")) == (503, {"status": "stopping"})
                assert await refusal_of(url) == (503, "stopping")
                assert transport.closed is None
                assert not has_stopped.is_set()
            await has_stopped.wait()


async def test_sessions_that_go_on_for_too_long_end_with_1001() -> None:
    drain, audits = trio.Event(), Audits()
    async with (
        relay_at_port(drain=drain, grace=0.05, audit=audits) as url,
        open_websocket(url) as transport,
    ):
        await transport.receive()
        drain.set()
        assert await transport.receive() == ()
        assert transport.closed == Close(1001, "the relay is stopping")
        assert (await audits.next()).why == "drained"


# Recordings


async def test_every_session_is_recorded_as_the_service_saw_it(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    audits = Audits()
    grant = Grant(session=SessionConfig.of(instructions="Be secretive."))
    async with relay_at_port(grant, record=folder, audit=audits) as url:
        async with open_session(url=url, api_key=None) as session:
            await session.ask("Good morning.")
        await audits.next()
    [file] = folder.iterdir()
    types = [record.event.type for record in read_recording(file).records]
    assert types[:3] == ["session.created", "session.update", "session.updated"]
    assert types[-1] in ("response.done", "rate_limits.updated")
    assert KEY not in file.read_text()
