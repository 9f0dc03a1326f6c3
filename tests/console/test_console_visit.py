"""One page at its WebSocket, in memory: what it is told, what it asks for, and how it goes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from console_visits import Page
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio.console.board import Board, Look
from realtime_trio.console.sources import OnlyShown
from realtime_trio.console.visit import serve_visit
from realtime_trio.events import JsonObject
from realtime_trio.simulator.script.fault import Fault


class Remembered(OnlyShown):
    """A subject that remembers what was done to it."""

    def __init__(self) -> None:
        super().__init__("a test")
        self.codec = Codec(Role.SERVER)
        self.board = Board('{"kind":"state"}')
        self.done: list[object] = []

    def look(self) -> Look:
        return self.board.look()

    def script(self) -> str:
        return "{}"

    async def send(self, event: JsonObject) -> None:
        await trio.lowlevel.checkpoint()
        self.done.append(event)

    async def decide(self, call: str, *, approve: bool, reason: str | None) -> None:
        await trio.lowlevel.checkpoint()
        self.done.append((call, approve, reason))

    async def fault(self, fault: Fault) -> None:
        await trio.lowlevel.checkpoint()
        self.done.append(fault)


@asynccontextmanager
async def visiting(subject: Remembered) -> AsyncIterator[Page]:
    ours, theirs = memory_transport_pair()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_visit, theirs, subject)
            yield Page(ours)
            await ours.aclose()


async def test_a_page_is_told_what_was_and_what_comes(autojump_clock: MockClock) -> None:
    subject = Remembered()
    subject.board.tell('{"kind":"one"}')
    async with visiting(subject) as page:
        await page.until_kind("one")
        subject.board.tell('{"kind":"two"}')
        await page.until_kind("two")
        assert [message["kind"] for message in page.got] == ["state", "one", "two"]


async def test_a_page_may_stay_when_nothing_more_comes(autojump_clock: MockClock) -> None:
    told: list[bool] = []
    subject = Remembered()
    ours, theirs = memory_transport_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_visit, theirs, subject, lambda: told.append(True))
        page = Page(ours)
        await page.until_kind("state")
        assert told == []
        subject.board.close()
        await wait_all_tasks_blocked()
        assert told == [True]
        assert (await page.ask("script"))["text"] == "{}"
        await ours.aclose()


@pytest.mark.parametrize(
    ("kind", "members", "done"),
    [
        ("send", {"event": {"type": "response.create"}}, {"type": "response.create"}),
        ("send", {"event": {"type": "x"}, "unchecked": True}, {"type": "x"}),
        ("decide", {"call": "c", "approve": True}, ("c", True, None)),
        ("decide", {"call": "c", "approve": False, "reason": "no"}, ("c", False, "no")),
        ("decide", {"call": "c", "approve": False, "reason": 5}, ("c", False, None)),
        ("fault", {"fault": "drop"}, Fault.drop()),
        ("check", {"event": {"type": "response.create"}}, None),
    ],
)
async def test_what_a_page_asks_for_is_done(
    kind: str, members: dict[str, Any], done: object, autojump_clock: MockClock
) -> None:
    subject = Remembered()
    async with visiting(subject) as page:
        assert (await page.ask(kind, **members))["problem"] is None
    assert subject.done == ([] if done is None else [done])


@pytest.mark.parametrize(
    ("kind", "members", "problem"),
    [
        ("send", {"event": {"type": "x"}}, "a client does not send 'x'"),
        ("send", {"event": {"type": "x"}, "unchecked": 1}, "a client does not send 'x'"),
        ("send", {"event": 5, "unchecked": True}, "an event is a JSON object"),
        ("send", {}, "send needs an event"),
        ("check", {}, "check needs an event"),
        ("check", {"event": None}, "an event is a JSON object"),
        ("decide", {"call": "c"}, "decide needs a call"),
        ("decide", {"call": "c", "approve": 1}, "decide needs a call"),
        ("decide", {"call": 5, "approve": True}, "decide needs a call"),
        ("fault", {}, "fault needs a fault"),
        ("fault", {"fault": {"delay": {"seconds": -1}}}, "expected seconds"),
    ],
)
async def test_what_cannot_be_done_is_explained(
    kind: str, members: dict[str, Any], problem: str, autojump_clock: MockClock
) -> None:
    subject = Remembered()
    async with visiting(subject) as page:
        assert problem in (await page.ask(kind, **members))["problem"]
    assert subject.done == []


async def test_nonsense_is_refused_and_the_page_stays(autojump_clock: MockClock) -> None:
    async with visiting(Remembered()) as page:
        for said in ("x", "{}", b"\xff", "[" * 10_000):
            await page.transport.send(said)
            assert (await page.until_kind("refused"))["id"] is None
        assert (await page.ask("script"))["problem"] is None


async def test_a_page_that_reads_nothing_holds_up_nobody(autojump_clock: MockClock) -> None:
    subject = Remembered()
    async with visiting(subject) as slow, visiting(subject) as quick:
        for number in range(20_000):
            subject.board.tell(json.dumps({"kind": "n", "number": number}))
            if number % 1000 == 0:
                await trio.sleep(1)
                await quick.until(lambda m, n=number: m.get("number") == n)  # type: ignore[misc]
        await quick.until(lambda m: m.get("number") == 19_999)
        assert not any(message["kind"] == "dropped" for message in quick.got)
        dropped = 0
        while (message := await slow.receive()) is not None:
            dropped += message.get("count", 0)
            if message.get("number") == 19_999:
                break
            if message["kind"] == "dropped":
                break
        numbers = [message for message in slow.got if message["kind"] == "n"]
        assert len(numbers) + dropped == 20_000


async def test_a_page_that_goes_while_it_is_told_something_is_no_failure(
    autojump_clock: MockClock,
) -> None:
    subject = Remembered()
    ours, theirs = memory_transport_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_visit, theirs, subject)
        await wait_all_tasks_blocked()
        ours.abort()
        subject.board.tell("{}")


async def test_a_recording_of_the_page_is_judged() -> None:
    session = {"type": "realtime", "id": "sess_1", "model": "x"}
    created = {"type": "session.created", "event_id": "event_1", "session": session}
    records = [{"side": "server", "event": created}] * 2
    async with visiting(Remembered()) as page:
        answer = await page.ask("judge", records=records)
        assert (answer["kind"], answer["problem"], list(answer["marks"])) == ("judged", None, ["1"])
        assert "session_is_created_first" in {mark["rule"] for mark in answer["marks"]["1"]}
        answer = await page.ask("judge", 2, records=5)
        assert (answer["kind"], "marks" in answer) == ("judged", False)
        assert "a list of up to" in answer["problem"]
