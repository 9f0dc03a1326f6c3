"""A session of one's own program in a browser: on a real port, with clients of our own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from console_visits import Page, get, opened, setup
from simulated import open_simulated, records

from realtime_trio import (
    ConnectionLost,
    LocalProtocolError,
    Session,
    SessionClosed,
    ToolCallFinished,
    open_session,
    tool,
)
from realtime_trio.console import open_inspector
from realtime_trio.console.access import Token
from realtime_trio.console.serving import Address
from realtime_trio.events import McpListedTool, McpTool, SessionCreated
from realtime_trio.money import ModelPrices
from realtime_trio.simulator import (
    Fault,
    Reply,
    Script,
    SimulatedServer,
    SimulatedService,
    open_simulator_transport,
)
from realtime_trio.simulator.script.script import McpServer

pytestmark = pytest.mark.socket


def address_of(url: str) -> Address:
    base, _, token = url.partition("/#")
    return Address(base, Token(token))


@asynccontextmanager
async def watching(session: Session, **options: Any) -> AsyncIterator[tuple[Address, Page]]:
    """A session with an inspector, and a page that looks at it."""
    async with open_inspector(session, prints=False, **options) as inspector:
        address = address_of(inspector.url)
        told = await setup(address)
        async with opened(address, told["inspect_url"]) as page:
            yield address, page


async def test_a_page_sees_the_session_from_its_beginning() -> None:
    async with open_simulated(Reply.text("It is noon.")) as session, watching(session) as (_, page):
        state = await page.receive()
        assert state == {
            "kind": "state",
            "open": True,
            "may_act": False,
            "order": "watched",
            "why": None,
            "approvals": [],
        }
        record = await page.receive()
        assert record is not None
        assert (record["kind"], record["side"], record["at"]) == ("record", "server", 0)
        assert record["event"]["type"] == "session.created"
        assert record["marks"] == []
        await session.send_message("What time is it?")
        done = await page.until_type("response.done")
        assert "It is noon." in json.dumps(done)
        sides = [(m["side"], m["event"]["type"]) for m in page.got if m["kind"] == "record"]
        assert ("client", "response.create") in sides
        assert all(m["marks"] == [] for m in page.got if m["kind"] == "record")


async def test_the_application_gets_the_beginning_all_the_same() -> None:
    async with open_simulated() as session, open_inspector(session, prints=False):
        with session.events(SessionCreated) as events:
            assert isinstance(await events.receive(), SessionCreated)
        with session.wire() as wire:
            assert isinstance((await wire.receive()).event, SessionCreated)


async def test_a_page_that_comes_later_sees_what_came_before_once() -> None:
    async with (
        open_simulated(Reply.text("One."), Reply.text("Two.")) as session,
        open_inspector(session, prints=False) as inspector,
    ):
        address = address_of(inspector.url)
        await session.ask("First?")
        async with opened(address, (await setup(address))["inspect_url"]) as page:
            await page.until_type("response.done")
            await session.ask("Second?")
            await page.until_type("response.done")
            records = [m for m in page.got if m["kind"] == "record"]
            ids = [m["event"]["event_id"] for m in records if m["side"] == "server"]
            assert len(ids) == len(set(ids))
            types = [m["event"]["type"] for m in records]
            assert types.count("session.created") == 1
            assert types.count("response.done") == 2


async def test_what_the_program_says_last_is_seen_and_then_the_end() -> None:
    seen: list[dict[str, Any]] = []

    async def browse(address: Address, *, task_status: trio.TaskStatus[None]) -> None:
        async with opened(address, (await setup(address))["inspect_url"]) as page:
            await page.receive()
            task_status.started()
            while await page.receive() is not None:
                pass
            seen.extend(page.got)

    # The page stays when the inspector has gone.
    async with trio.open_nursery() as nursery, open_simulated(Reply.text("Bye.")) as session:
        inspecting = open_inspector(session, prints=False)
        async with inspecting as inspector:
            address = address_of(inspector.url)
            await nursery.start(browse, address)  # noqa: ASYNC111 - it is there to outlive it
            await session.ask("Bye?")
    end = seen[-1]
    assert (end["kind"], end["code"]) == ("end", None)
    assert end["reason"] == "the program does not show the session any more"
    types = [message["event"]["type"] for message in seen if message["kind"] == "record"]
    assert "response.done" in types


async def test_how_a_session_was_lost_is_told_although_everything_ends() -> None:
    seen: list[dict[str, Any]] = []

    async def browse(address: Address, *, task_status: trio.TaskStatus[None]) -> None:
        async with opened(address, (await setup(address))["inspect_url"]) as page:
            await page.receive()
            task_status.started()
            while await page.receive() is not None:
                pass
            seen.extend(page.got)

    passed: list[str] = []

    async def lose_it(nursery: trio.Nursery) -> None:
        faults = [Fault.drop("response.done")]
        async with (
            open_simulator_transport(Script([Reply.text("Hello.")]), faults=faults) as transport,
            open_session(transport=transport) as session,
            open_inspector(session, prints=False) as inspector,
        ):
            address = address_of(inspector.url)
            await nursery.start(browse, address)  # noqa: ASYNC111 - it is there to outlive it
            with session.wire() as wire:
                try:
                    await session.ask("Hello?")
                finally:
                    passed.extend(record.event.type for record in records(wire))

    async with trio.open_nursery() as nursery:
        with pytest.raises(ConnectionLost):
            await lose_it(nursery)
    *_, end = seen
    assert (end["kind"], end["code"]) == ("end", 1006)
    types = [message["event"]["type"] for message in seen if message["kind"] == "record"]
    assert types == passed
    assert "response.created" in types
    assert "response.done" not in types


async def test_the_end_of_the_session_is_told_with_its_code() -> None:
    async with open_simulated() as session, watching(session) as (_, page):
        await page.until_type("session.created")
        await session._link.aclose()
        end = await page.until_kind("end")
        assert end["code"] == 1000
        states = [m for m in page.got if m["kind"] == "state"]
        assert [state["open"] for state in states] == [True, False]
        # The page may stay and ask.
        assert (await page.ask("script"))["problem"] is None


async def test_a_page_that_only_looks_cannot_act() -> None:
    async with open_simulated() as session, watching(session) as (_, page):
        for kind, members in (
            ("send", {"event": {"type": "response.create"}}),
            ("decide", {"call": "call_1", "approve": True}),
            ("fault", {"fault": "drop"}),
        ):
            answer = await page.ask(kind, **members)
            assert "cannot" in answer["problem"] or "nothing" in answer["problem"]
        assert not any(m["kind"] == "record" and m["side"] == "client" for m in page.got)


async def test_a_page_may_send_events_that_fit_the_protocol() -> None:
    async with (
        open_simulated(Reply.text("Sent.")) as session,
        watching(session, may_act=True) as (_, page),
    ):
        answer = await page.ask("send", event={"type": "response.create", "response": 5})
        assert "response" in answer["problem"]
        answer = await page.ask("send", event={"type": "no.such.event"})
        assert "response.create" in answer["problem"]
        message = {
            "type": "conversation.item.create",
            "item": {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Hello"}],
            },
            "later": "a field of another version",
        }
        assert (await page.ask("check", 2, event=message))["kind"] == "checked"
        assert (await page.ask("send", 3, event=message))["problem"] is None
        assert (await page.ask("send", 4, event={"type": "response.create"}))["problem"] is None
        await page.until_type("response.done")
        # As it was typed, with what this version does not know.
        (item,) = [m for m in page.got if m.get("event", {}).get("type") == message["type"]]
        assert item["event"]["later"] == "a field of another version"
        unchecked = await page.ask("send", 5, event={"type": "no.such.event"}, unchecked=True)
        assert unchecked["problem"] is None
        error = await page.until_type("error")
        assert error["side"] == "server"


async def test_a_call_that_waits_for_approval_can_be_decided_in_the_page() -> None:
    paid: list[int] = []

    @tool(requires_approval=True)
    def pay(amount: int) -> str:
        """Pay somebody."""
        paid.append(amount)
        return "paid"

    replies = (Reply.call("pay", amount=5), Reply.call("pay", amount=7), Reply.text("Done."))
    async with (
        open_simulated(*replies, tools=[pay]) as session,
        watching(session, may_act=True) as (_, page),
    ):
        with session.events(ToolCallFinished) as finished:
            await session.send_message("Pay.")
            state = await page.until(lambda m: bool(m.get("approvals")))
            (waiting,) = state["approvals"]
            assert (waiting["name"], waiting["server_label"]) == ("pay", None)
            assert json.loads(waiting["arguments"]) == {"amount": 5}
            answer = await page.ask("decide", call=waiting["call"], approve=True)
            assert answer["problem"] is None
            with trio.fail_after(5):
                assert (await finished.receive()).outcome == "completed"
            state = await page.until(
                lambda m: bool(m.get("approvals")) and m["approvals"][0]["call"] != waiting["call"]
            )
            second = state["approvals"][0]["call"]
            answer = await page.ask("decide", 2, call=second, approve=False, reason="enough")
            assert answer["problem"] is None
            assert (await finished.receive()).outcome == "rejected"
            await page.until(lambda m: m["kind"] == "state" and m["approvals"] == [])
        answer = await page.ask("decide", 3, call="call_x", approve=True)
        assert "call_x" in answer["problem"]
    assert paid == [5]


async def test_an_approval_that_was_deleted_is_not_asked_for_in_the_page() -> None:
    docs = McpServer("docs", [McpListedTool(name="search", input_schema={"type": "object"})])
    script = Script(
        [Reply.mcp("docs", "search", output="Two pages."), Reply.text("Done.")], mcp_servers=[docs]
    )
    tools = [McpTool(server_label="docs", server_url="https://docs.example.com")]
    async with (
        open_session(transport=SimulatedService(script).open, tools=tools) as session,
        watching(session) as (_, page),
    ):
        await session.send_message("Search.")
        state = await page.until(lambda m: bool(m.get("approvals")))
        await session.delete_item(state["approvals"][0]["call"])
        await page.until(lambda m: m["kind"] == "state" and m["approvals"] == [])


async def test_an_inspector_that_came_late_says_so_and_marks_nothing() -> None:
    async with open_simulated(Reply.text("One."), Reply.text("Two.")) as session:
        await session.ask("First?")
        async with watching(session) as (_, page):
            await session.ask("Second?")
            await page.until_type("response.done")
            *_, state = [m for m in page.got if m["kind"] == "state"]
            assert state["order"] == "unwatched"
            assert "beginning" in state["why"]
            assert all(m["marks"] == [] for m in page.got if m["kind"] == "record")


async def test_secrets_do_not_reach_the_page() -> None:
    async with open_simulated() as session, watching(session, may_act=True) as (_, page):
        await session.send_raw({"type": "x", "authorization": "sk-0123456789abcdef"})
        record = await page.until_type("x")
        assert record["event"]["authorization"] == "<secret>"


async def test_what_was_said_becomes_a_script() -> None:
    async with open_simulated(Reply.text("It is noon.")) as session, watching(session) as (_, page):
        await session.ask("What time is it?")
        await page.until_type("response.done")
        script = await page.ask("script")
        assert json.loads(script["text"]) == {"replies": [{"text": "It is noon."}]}


async def test_a_session_that_has_ended_cannot_be_sent_to() -> None:
    async with open_simulated() as session, watching(session, may_act=True) as (_, page):
        await session._link.aclose()
        await page.until_kind("end")
        answer = await page.ask("send", event={"type": "response.create"})
        assert "ended" in answer["problem"]
    with pytest.raises(SessionClosed):
        await session.send_raw({"type": "x"})


async def test_a_port_that_is_taken_is_an_oserror_and_nothing_else() -> None:
    async with open_simulated() as session, open_inspector(session, prints=False) as inspector:
        port = int(inspector.url.rpartition("/#")[0].rpartition(":")[2])
        with pytest.raises(OSError, match=str(port)):
            async with open_inspector(session, prints=False, port=port):
                pass


async def test_what_cannot_be_meant_is_refused_before_anything_is_opened() -> None:
    wrong: Any = "session"
    with pytest.raises(TypeError, match="session must be an open session, not str"):
        async with open_inspector(wrong):
            pass
    async with open_simulated() as session:
        with pytest.raises(LocalProtocolError, match="kept must be"):
            async with open_inspector(session, kept=0):
                pass
        with pytest.raises(LocalProtocolError, match="not the name of a host"):
            async with open_inspector(session, hosts=["a b"]):
                pass


async def test_the_address_is_printed_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    async with open_simulated() as session, open_inspector(session) as inspector:
        printed = capsys.readouterr()
        assert printed.err == f"realtime console: {inspector.url}\n"
        assert printed.out == ""
        assert inspector.url not in repr(inspector)
        status, _, _ = await get(address_of(inspector.url).base, "/")
        assert status == 200


async def test_an_error_in_the_block_leaves_it_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_simulated() as session, watching(session):
            _ = 1 / 0


async def test_a_page_reckons_with_the_prices_of_the_session() -> None:
    prices = {"mine": ModelPrices(text_input="1.25")}
    async with (
        open_simulator_transport(SimulatedServer(Script(), model="mine")) as transport,
        open_session(transport=transport, prices=prices) as session,
        watching(session) as (address, _),
    ):
        assert (await setup(address))["prices"] == {"mine": {"text_input": 1.25}}
