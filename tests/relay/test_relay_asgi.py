"""A relay as an ASGI application: by itself, and in a real server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from relays import CREATED, KEY, Audits, Talker, granting, hypercorn, service_of
from trio.testing import MockClock

from realtime_trio import open_session
from realtime_trio._transport.contract import Close
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio._transport.websocket_client import open_websocket
from realtime_trio.errors import ConnectionFailed, LocalProtocolError
from realtime_trio.recording import read_recording
from realtime_trio.relay import AccessDenied, Authorize, Grant, HandshakeRequest, service_at
from realtime_trio.relay.asgi import RelayApp, relay_app
from realtime_trio.simulator import Reply, Script, serve_simulator

Event = MutableMapping[str, Any]


class Visit:
    """One connection with an application, as a server has it."""

    def __init__(self, app: RelayApp, **scope: Any) -> None:
        self._app = app
        self.scope: Event = {
            "type": "websocket",
            "path": "/v1/realtime",
            "query_string": b"",
            "headers": [(b"Host", b"relay.example")],
            "subprotocols": ["realtime", "openai-insecure-api-key.t"],
            "client": ("192.0.2.1", 1),
            "extensions": {"websocket.http.response": {}},
            **scope,
        }
        self.tell, self._told = trio.open_memory_channel[Event](100)
        self._say, self.said = trio.open_memory_channel[Event](100)
        self.refuses_sends = False
        self.has_returned = trio.Event()
        self.accept_event: Callable[[Event], Awaitable[None]] = self._say.send

    async def run(self) -> None:
        await self._app(self.scope, self._told.receive, self._send)
        self.has_returned.set()

    async def _send(self, event: Event) -> None:
        if self.refuses_sends:
            raise OSError("the client has gone")
        await self.accept_event(event)

    async def next(self, kind: str) -> Event:
        with trio.fail_after(20):
            event = await self.said.receive()
        assert event["type"] == kind, event
        return event


@asynccontextmanager
async def visiting(
    authorize: Authorize | None = None, **scope: Any
) -> AsyncIterator[tuple[Visit, Talker, Audits]]:
    """A guest of an application, the service behind it, and the audit."""
    service_end, service = memory_transport_pair()
    audits = Audits()
    app = relay_app(
        authorize or granting(Grant(who="ann")), service=service_of(service_end), audit=audits
    )
    visit = Visit(app, **scope)
    await visit.tell.send({"type": "websocket.connect"})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(visit.run)
        yield visit, Talker(service), audits
        nursery.cancel_scope.cancel()


async def greeted(visit: Visit, service: Talker) -> None:
    assert (await visit.next("websocket.accept"))["subprotocol"] == "realtime"
    await service.say(CREATED)
    assert "session.created" in (await visit.next("websocket.send"))["text"]


async def test_a_session_goes_through_it(autojump_clock: MockClock) -> None:
    async with visiting() as (visit, service, audits):
        await greeted(visit, service)
        await visit.tell.send({"type": "websocket.receive", "text": '{"type":"response.create"}'})
        assert await service.hear_text() == '{"type":"response.create"}'
        await visit.tell.send({"type": "websocket.receive", "text": None, "bytes": b"x"})
        assert "binary" in (await visit.next("websocket.send"))["text"]
        await visit.tell.send({"type": "websocket.disconnect", "code": 4321})
        assert await service.hear_the_rest() == []
        assert service.transport.closed == Close(4321)
        record = await audits.next()
        assert (record.who, record.peer, record.why) == ("ann", "192.0.2.1", "guest_left")


async def test_when_the_service_leaves_the_guest_hears_why(autojump_clock: MockClock) -> None:
    async with visiting() as (visit, service, audits):
        await greeted(visit, service)
        await service.transport.aclose(4000, "x" * 200)
        close = await visit.next("websocket.close")
        assert (close["code"], close["reason"]) == (4000, "x" * 123)
        assert (await audits.next()).why == "service_closed"


async def test_a_guest_that_has_gone_is_noticed_when_something_is_sent(
    autojump_clock: MockClock,
) -> None:
    async with visiting() as (visit, service, audits):
        await greeted(visit, service)
        visit.refuses_sends = True
        await service.say({"type": "response.output_text.delta", "event_id": "e"})
        assert (await audits.next()).why == "guest_left"
        await service.hear_the_rest()
        assert service.transport.closed == Close(1011)


async def refused(visit: Visit) -> tuple[int, str]:
    start = await visit.next("websocket.http.response.start")
    body = await visit.next("websocket.http.response.body")
    return start["status"], json.loads(body["body"])["error"]["code"]


async def test_whoever_is_refused_is_told_so_over_http(autojump_clock: MockClock) -> None:
    async def authorize(_request: HandshakeRequest) -> Grant:
        await trio.lowlevel.checkpoint()
        raise AccessDenied("not today", status=429, code="no_entry")

    async with visiting(authorize) as (visit, _, _):
        assert await refused(visit) == (429, "no_entry")
    headers = [(b"host", b"relay.example"), (b"origin", b"https://evil.example")]
    async with visiting(headers=headers) as (visit, _, _):
        assert await refused(visit) == (403, "forbidden")
    async with visiting(path="/v1/realtime/translations") as (visit, _, _):
        assert await refused(visit) == (403, "wrong_kind")


async def test_a_server_that_cannot_say_it_refuses_in_its_own_way(
    autojump_clock: MockClock,
) -> None:
    headers = [(b"host", b"relay.example"), (b"origin", b"https://evil.example")]
    async with visiting(headers=headers, extensions={}) as (visit, _, _):
        await visit.next("websocket.close")


async def test_it_may_be_mounted_anywhere(autojump_clock: MockClock) -> None:
    seen: list[str] = []

    async def authorize(request: HandshakeRequest) -> Grant:
        await trio.lowlevel.checkpoint()
        seen.append(request.path)
        return Grant()

    for path, root, query in (
        ("/talk", "", b""),
        ("/talk/", "/talk", b"a=b"),
        ("/realtime", "/api", b"model=x"),
    ):
        async with visiting(authorize, path=path, root_path=root, query_string=query) as (v, _, _):
            await v.next("websocket.accept")
    assert seen == ["/talk", "/talk/?a=b", "/api/realtime?model=x"]


async def test_requests_that_are_not_for_websockets_find_nothing(autojump_clock: MockClock) -> None:
    async with visiting(type="http") as (visit, _, _):
        assert (await visit.next("http.response.start"))["status"] == 404
        await visit.next("http.response.body")
    async with visiting(type="http", path="/v1/healthz") as (visit, _, _):
        assert (await visit.next("http.response.start"))["status"] == 200
        await visit.next("http.response.body")


async def test_what_asgi_does_not_have_today_is_refused() -> None:
    app = relay_app(granting(Grant()), service=service_of(memory_transport_pair()[0]))
    visit = Visit(app, type="webtransport")
    with pytest.raises(LocalProtocolError, match=r"'webtransport'.*websocket, http and lifespan"):
        await visit.run()


async def test_sessions_are_counted(autojump_clock: MockClock) -> None:
    app = relay_app(granting(Grant(sessions=1)), service=service_of(memory_transport_pair()[0]))
    async with trio.open_nursery() as nursery:
        for accepted in (True, False):
            visit = Visit(app)
            await visit.tell.send({"type": "websocket.connect"})
            nursery.start_soon(visit.run)
            if accepted:
                await visit.next("websocket.accept")
            else:
                assert await refused(visit) == (429, "too_many_sessions_of_guest")
        nursery.cancel_scope.cancel()


# How it ends


@asynccontextmanager
async def living(app: RelayApp) -> AsyncIterator[Visit]:
    """The lifespan of an application, which has started."""
    lifespan = Visit(app, type="lifespan")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lifespan.run)
        await lifespan.tell.send({"type": "lifespan.startup"})
        await lifespan.next("lifespan.startup.complete")
        yield lifespan
        nursery.cancel_scope.cancel()


async def test_when_the_server_stops_sessions_get_their_time_and_then_a_goodbye(
    autojump_clock: MockClock,
) -> None:
    service_end, service = memory_transport_pair()
    app = relay_app(granting(Grant()), service=service_of(service_end), grace=7)
    visit, late = Visit(app), Visit(app)
    async with living(app) as lifespan, trio.open_nursery() as nursery:
        await visit.tell.send({"type": "websocket.connect"})
        nursery.start_soon(visit.run)
        await greeted(visit, Talker(service))
        began = trio.current_time()
        await lifespan.tell.send({"type": "lifespan.shutdown"})
        await trio.sleep(1)
        await late.tell.send({"type": "websocket.connect"})
        nursery.start_soon(late.run)
        assert await refused(late) == (503, "stopping")
        assert visit.said.statistics().current_buffer_used == 0
        close = await visit.next("websocket.close")
        assert (close["code"], close["reason"]) == (1001, "the relay is stopping")
        await lifespan.next("lifespan.shutdown.complete")
        assert 7 <= trio.current_time() - began < 8


async def test_it_stops_at_once_if_nobody_is_inside(autojump_clock: MockClock) -> None:
    app = relay_app(granting(Grant()), service=service_of(memory_transport_pair()[0]))
    async with living(app) as lifespan:
        began = trio.current_time()
        await lifespan.tell.send({"type": "lifespan.shutdown"})
        await lifespan.next("lifespan.shutdown.complete")
        assert trio.current_time() == began


async def test_it_can_be_drained_by_hand_and_says_so_to_whoever_asks_for_its_health(
    autojump_clock: MockClock,
) -> None:
    app = relay_app(granting(Grant()), service=service_of(memory_transport_pair()[0]))
    await app.drain()
    health = Visit(app, type="http", path="/healthz")
    await health.run()
    assert (await health.next("http.response.start"))["status"] == 503
    assert b"stopping" in (await health.next("http.response.body"))["body"]


async def test_a_session_that_is_cancelled_ends_with_1001(autojump_clock: MockClock) -> None:
    async with visiting() as (visit, service, audits):
        await greeted(visit, service)
    assert (await visit.next("websocket.close"))["code"] == 1001
    assert (await audits.next()).why == "cancelled"


async def test_a_server_that_cannot_be_hurried_keeps_no_session(autojump_clock: MockClock) -> None:
    """Hypercorn shields its sends, so that a client that does not read holds them up for ever."""
    lets_go = trio.Event()
    service_end, service = memory_transport_pair()
    audits = Audits()
    app = relay_app(granting(Grant(sessions=1)), service=service_of(service_end), audit=audits)
    visit, next_one = Visit(app), Visit(app)
    say = visit.accept_event

    async def hang(event: Event) -> None:
        if event["type"] == "websocket.accept":
            await say(event)
        else:
            with trio.CancelScope(shield=True):
                await lets_go.wait()

    visit.accept_event = hang
    async with trio.open_nursery() as nursery:
        try:
            for each in (visit, next_one):
                await each.tell.send({"type": "websocket.connect"})
            nursery.start_soon(visit.run)
            await visit.next("websocket.accept")
            talker = Talker(service)
            await talker.say(CREATED)
            await trio.sleep(1)
            await talker.transport.aclose(4000)
            assert (await audits.next()).why == "service_closed"
            # It is not counted any more, whatever the server still does.
            await trio.sleep(1)
            nursery.start_soon(next_one.run)
            await next_one.next("websocket.accept")
        finally:
            lets_go.set()
        nursery.cancel_scope.cancel()


async def test_what_a_guest_says_after_the_goodbye_is_taken_until_it_is_gone(
    autojump_clock: MockClock,
) -> None:
    """Hypercorn never ends a connection on which it has something for whoever has returned."""
    late: Event = {"type": "websocket.receive", "text": "{}"}
    async with visiting() as (visit, service, audits):
        await greeted(visit, service)
        await service.transport.aclose(4000)
        await visit.next("websocket.close")
        await audits.next()
        with trio.fail_after(5):
            for _ in range(300):
                await visit.tell.send(late)
            await visit.tell.send({"type": "websocket.disconnect", "code": 1006})
            await visit.has_returned.wait()


async def test_a_guest_that_is_silent_after_the_goodbye_is_not_waited_for(
    autojump_clock: MockClock,
) -> None:
    async with visiting() as (visit, service, _):
        await greeted(visit, service)
        await service.transport.aclose(4000)
        await visit.next("websocket.close")
        with trio.fail_after(5):
            await visit.has_returned.wait()


async def test_every_session_is_recorded_as_the_service_saw_it(tmp_path: Path) -> None:
    service_end, service = memory_transport_pair()
    folder = tmp_path / "made" / "later"
    app = relay_app(granting(Grant()), service=service_of(service_end), record=folder)
    assert not folder.exists()
    visit = Visit(app)
    async with trio.open_nursery() as nursery:
        await visit.tell.send({"type": "websocket.connect"})
        nursery.start_soon(visit.run)
        await greeted(visit, Talker(service))
        await visit.tell.send({"type": "websocket.disconnect", "code": 1000})
    [file] = folder.iterdir()
    assert [record.event.type for record in read_recording(file).records] == ["session.created"]


def test_it_runs_in_trio_alone() -> None:
    app = relay_app(granting(Grant()), service=service_of(memory_transport_pair()[0]))
    visit = Visit(app)
    with pytest.raises(LocalProtocolError, match="trio"):
        visit.run().send(None)


def test_it_needs_somebody_who_decides() -> None:
    wrong: Any = Grant()
    with pytest.raises(TypeError, match="authorize"):
        relay_app(wrong, service=service_of(memory_transport_pair()[0]))


# In a real server


@pytest.mark.socket
async def test_our_own_client_talks_through_it_in_starlette_under_hypercorn() -> None:
    starlette: Any = pytest.importorskip("starlette.applications")
    routing: Any = pytest.importorskip("starlette.routing")

    async def authorize(request: HandshakeRequest) -> Grant:
        await trio.lowlevel.checkpoint()
        if request.header("authorization") != "Bearer good":
            raise AccessDenied("who are you?", code="unknown_guest")
        return Grant(who="ann")

    audits = Audits()
    async with trio.open_nursery() as nursery:
        script = Script([Reply.text("Good morning to you, too.")])
        simulator: str = await nursery.start(partial(serve_simulator, script, api_key=KEY))
        relay = relay_app(authorize, service=service_at(simulator, api_key=KEY), audit=audits)
        async with hypercorn(starlette.Starlette(routes=[routing.Mount("/v1", relay)])) as url:
            async with open_session(url=f"{url}/v1", api_key="good") as session:
                assert (await session.ask("Good morning.")).text == "Good morning to you, too."
            assert (await audits.next()).why == "guest_left"
            with pytest.raises(ConnectionFailed) as failure:
                async with open_websocket(f"{url}/v1/realtime"):
                    pass
            assert failure.value.status == 401
            assert b"unknown_guest" in failure.value.body
        nursery.cancel_scope.cancel()


@pytest.mark.socket
async def test_hypercorn_can_mount_it_and_stops_only_when_it_is_drained() -> None:
    dispatcher: Any = pytest.importorskip("hypercorn.middleware.dispatcher")

    async def page(scope: Event, receive: Any, send: Any) -> None:
        """An application that has nothing to say, but that there is a lifespan."""
        await trio.lowlevel.checkpoint()
        while scope["type"] == "lifespan":
            event = (await receive())["type"]
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return

    stops, audits = trio.Event(), Audits()
    async with trio.open_nursery() as nursery:
        simulator: str = await nursery.start(partial(serve_simulator, Script(), api_key=KEY))
        service = service_at(simulator, api_key=KEY)
        relay = relay_app(granting(Grant()), service=service, audit=audits, grace=0.1)

        async def stop() -> None:
            await stops.wait()
            await relay.drain()

        mounted = dispatcher.TrioDispatcherMiddleware({"/v1": relay, "": page})
        async with hypercorn(mounted, shutdown_trigger=stop) as url:
            async with open_websocket(f"{url}/v1/realtime") as transport:
                await transport.receive()
                stops.set()
                assert await transport.receive() == ()
                assert transport.closed == Close(1001, "the relay is stopping")
            assert (await audits.next()).why == "drained"
        nursery.cancel_scope.cancel()


@pytest.mark.socket
async def test_whoever_hypercorn_cuts_off_hears_a_goodbye() -> None:
    pytest.importorskip("hypercorn", reason="the extra web is not installed")
    audits = Audits()
    async with trio.open_nursery() as nursery:
        simulator: str = await nursery.start(partial(serve_simulator, Script(), api_key=KEY))
        service = service_at(simulator, api_key=KEY)
        relay = relay_app(granting(Grant()), service=service, audit=audits)
        stops = trio.Event()
        async with hypercorn(relay, shutdown_trigger=stops.wait, graceful_timeout=0.1) as url:
            async with open_websocket(f"{url}/v1/realtime") as transport:
                await transport.receive()
                stops.set()
                assert await transport.receive() == ()
                assert transport.closed == Close(1001)
            assert (await audits.next()).why == "cancelled"
        nursery.cancel_scope.cancel()
