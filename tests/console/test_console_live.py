"""Pages that are clients of a service: what is wrong on the way, and what may go wrong."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from console_visits import Page, opened, serving, setup

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._serving.websocket_server import HandshakeRequest
from realtime_trio._transport.contract import Transport
from realtime_trio.console import live
from realtime_trio.console.live import LiveSource
from realtime_trio.console.serving import Address
from realtime_trio.events import RealtimeSession, SessionCreated
from realtime_trio.simulator import Reply, Script, SimulatedServer, run_server

pytestmark = pytest.mark.socket

TEXT = {"type": "session.update", "session": {"type": "realtime", "output_modalities": ["text"]}}


def simulated(*replies: Reply) -> LiveSource:
    async def serve(transport: Transport, request: HandshakeRequest) -> None:
        await run_server(transport, SimulatedServer(Script(replies)))

    return LiveSource(serve, models=("gpt-realtime", "gpt-realtime-mini"), is_simulated=True)


@asynccontextmanager
async def talking(source: LiveSource) -> AsyncIterator[tuple[Address, dict[str, Any], Page, Page]]:
    """A page with both of its WebSockets: how it sees what goes on, and where it is a client."""
    async with serving(source) as address:
        told = await setup(address)
        async with opened(address, told["inspect_url"]) as seen:
            await seen.until_kind("state")
            async with opened(address, told["realtime_url"]) as client:
                yield address, told, seen, client


async def test_a_page_is_told_what_to_begin_with() -> None:
    async with serving(simulated()) as address:
        told, again = await setup(address), await setup(address)
    assert told["source"] == "live"
    assert told["models"] == ["gpt-realtime", "gpt-realtime-mini"]
    assert told["simulator"]
    assert told["may_act"]
    assert "marin" in told["voices"]
    assert "response.create" in told["client_events"]
    assert told["realtime_url"].startswith("/v1/realtime?model=gpt-realtime&console=")
    # Every page has a name of its own.
    assert told["inspect_url"] != again["inspect_url"]


async def test_a_page_talks_with_the_service() -> None:
    async with talking(simulated(Reply.text("Hello."))) as (_, _, seen, client):
        await client.until_type("session.created")
        await client.say(TEXT)
        await client.say({"type": "response.create"})
        done = await client.until_type("response.done")
        assert "Hello." in json.dumps(done)
        begun = await seen.until_kind("connection")
        assert begun == {"kind": "connection", "number": 1, "open": True}
        script = await seen.ask("script")
        assert json.loads(script["text"]) == {"replies": [{"text": "Hello."}]}
        assert not any(message["kind"] == "marks" for message in seen.got)


async def test_what_breaks_the_rules_is_marked_by_its_number() -> None:
    created = SessionCreated(event_id="event_1", session=RealtimeSession(id="sess_1"))

    async def serve(transport: Transport, request: HandshakeRequest) -> None:
        text = Codec(Role.SERVER).encode(created)
        await transport.send(text)
        await transport.receive()
        await transport.send(text)
        await transport.receive()

    source = LiveSource(serve, models=("x",), is_simulated=False)
    async with talking(source) as (_, _, seen, client):
        await client.receive()
        await client.say({"type": "response.create"})
        marks = await seen.until_kind("marks")
        assert (marks["connection"], marks["side"], marks["number"]) == (1, "server", 1)
        assert marks["event_id"] == "event_1"
        assert "session_is_created_first" in {mark["rule"] for mark in marks["marks"]}


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("drop", 1006),
        ({"closing": {"code": 4001, "reason": "because"}}, 4001),
        ("expiry", 1001),
        ("reset", 1006),
    ],
)
async def test_a_fault_that_needs_no_event_strikes_at_once(fault: object, code: int) -> None:
    async with talking(simulated()) as (_, _, seen, client):
        await client.until_type("session.created")
        assert (await seen.ask("fault", fault=fault))["problem"] is None
        while await client.receive() is not None:
            pass
        assert client.transport.closed is not None
        assert client.transport.closed.code == code
        await seen.had(lambda m: m["kind"] == "connection" and not m["open"])
        # Now there is nothing to go wrong, and a page may connect again.
        assert "no connection" in (await seen.ask("fault", 2, fault="drop"))["problem"]


async def test_an_error_comes_at_once_and_the_session_goes_on() -> None:
    async with talking(simulated(Reply.text("Hello."))) as (_, _, seen, client):
        await client.until_type("session.created")
        failing = {"failing": {"code": "overloaded", "message": "Try again."}}
        assert (await seen.ask("fault", fault=failing))["problem"] is None
        error = await client.until_type("error")
        assert error["error"]["message"] == "Try again."
        await client.say(TEXT)
        await client.say({"type": "response.create"})
        await client.until_type("response.done")


async def test_a_fault_waits_for_its_event() -> None:
    async with talking(simulated(Reply.text("Hello."))) as (_, _, seen, client):
        await client.until_type("session.created")
        assert (await seen.ask("fault", fault={"drop": {"on": "response.done"}}))["problem"] is None
        await client.say(TEXT)
        await client.say({"type": "response.create"})
        await client.until_type("response.created")
        while await client.receive() is not None:
            pass
        assert not any(message["type"] == "response.done" for message in client.got)
        assert client.transport.closed is not None
        assert client.transport.closed.code == 1006


async def test_a_fault_that_makes_no_sense_is_explained() -> None:
    async with talking(simulated()) as (_, _, seen, _):
        for fault, problem in (
            ("dorp", "did you mean drop?"),
            ({"delay": {}}, "seconds is missing"),
            ({"closing": {"code": 1006}}, "1006"),
            (5, "expected a mapping"),
        ):
            assert problem in (await seen.ask("fault", fault=fault))["problem"]


async def test_a_service_cannot_be_made_to_fail() -> None:
    async def serve(transport: Transport, request: HandshakeRequest) -> None:
        await transport.receive()

    source = LiveSource(serve, models=("x",), is_simulated=False)
    async with talking(source) as (_, told, seen, _):
        assert not told["simulator"]
        assert "no simulator" in (await seen.ask("fault", fault="drop"))["problem"]


async def test_a_page_that_connects_again_is_judged_anew() -> None:
    async with talking(simulated(Reply.text("One."))) as (address, told, seen, client):
        await client.until_type("session.created")
        await client.transport.aclose()
        await seen.until(lambda m: m["kind"] == "connection" and not m["open"])
        async with opened(address, told["realtime_url"]) as again:
            await again.until_type("session.created")
            begun = await seen.until(lambda m: m["kind"] == "connection" and m["open"])
            assert begun["number"] == 2
            assert (await seen.ask("script"))["text"] == "{}"
        assert not any(message["kind"] == "marks" for message in seen.got)


async def test_a_page_that_sends_nothing_sends_nothing_here_either() -> None:
    async with talking(simulated()) as (_, _, seen, _):
        answer = await seen.ask("send", event={"type": "response.create"})
        assert "own connection" in answer["problem"]
        assert (await seen.ask("check", 2, event={"type": "response.create"}))["problem"] is None


async def test_pages_do_not_see_each_other() -> None:
    async with serving(simulated()) as address:
        first, second = await setup(address), await setup(address)
        async with (
            opened(address, first["inspect_url"]) as one,
            opened(address, second["inspect_url"]) as other,
            opened(address, first["realtime_url"]) as client,
        ):
            await client.until_type("session.created")
            await one.until_kind("connection")
            assert "no connection" in (await other.ask("fault", fault="drop"))["problem"]
            assert not any(message["kind"] == "connection" for message in other.got)


async def test_there_are_not_any_number_of_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_PAGES", 1)
    async with talking(simulated()) as (address, told, seen, client):
        other = await setup(address)
        for url in (other["inspect_url"], other["realtime_url"]):
            async with opened(address, url) as refused:
                assert await refused.receive() is None
                assert refused.transport.closed is not None
                assert refused.transport.closed.code == 1013
        # The page that is there may have more WebSockets.
        async with opened(address, told["inspect_url"]) as more:
            await more.until_kind("state")
        await client.transport.aclose()
        await seen.transport.aclose()
        with trio.fail_after(5):
            while True:
                async with opened(address, other["inspect_url"]) as page:
                    if await page.receive() is not None:
                        break
