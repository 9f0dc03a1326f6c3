"""The page stays smooth while much comes: measured in the browser."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest
import trio
from browser_pages import OpenPage, expect, run_program

from realtime_trio._transport.contract import Transport
from realtime_trio.console.serving import serve_console
from realtime_trio.console.sources import Silent
from realtime_trio.events import JsonObject

if TYPE_CHECKING:
    from playwright.sync_api import Page

BEFORE: Final = 10_000
"""Events that are there already."""
A_SECOND: Final = 100
SECONDS: Final = 5
"""How long is measured."""
LONGEST_FRAME: Final = 50.0
"""Milliseconds: from there on people notice, and browsers speak of a long task."""
HOUR: Final = 3600.0
"""Seconds of audio of each side among the events that are there already."""
_ALAW: Final = b"\x55\x2a\xaa\xd5\x2f\xaf\x35\xb5"
"""A sound of a telephone.  So an hour of it is small enough to be sent in a test."""
_LONG: Final = b64encode(_ALAW * int(8000 * HOUR / (BEFORE / 10) / len(_ALAW))).decode()
_SHORT: Final = b64encode(_ALAW * 100).decode()
FORMAT: Final = {"format": {"type": "audio/pcma"}}


def event(number: int) -> dict[str, object]:
    """One of a session in which both sides speak, with something new every second."""
    item = f"item_{number // A_SECOND}"
    audio = _LONG if number < BEFORE else _SHORT
    told: JsonObject
    match number % A_SECOND:
        case 0:
            told = {"type": "response.created", "response": {"id": f"resp_{item}"}}
        case 1:
            message = {"id": item, "type": "message", "role": "assistant", "status": "in_progress"}
            told = {"type": "conversation.item.added", "item": message}
        case 99:
            told = {"type": "response.done", "response": {"id": f"resp_{item}", "output": []}}
        case step if step % 10 == 5:
            told = {"type": "input_audio_buffer.append", "audio": audio}
        case step if step % 10 == 7:
            told = {"type": "response.output_audio.delta", "item_id": item, "delta": audio}
        case step if step % 10 == 3:
            told = {"type": "rate_limits.updated", "rate_limits": []}
        case step:
            kind = "response.output_audio_transcript.delta"
            told = {"type": kind, "item_id": item, "content_index": 0, "delta": f"word {step} "}
    side = "client" if told["type"] == "input_audio_buffer.append" else "server"
    # The hour first, and then what is measured.
    at = HOUR * number / BEFORE if number < BEFORE else HOUR + (number - BEFORE) / A_SECOND
    return record(at, side, told)


def record(at: float, side: str, told: JsonObject) -> dict[str, object]:
    return {"kind": "record", "side": side, "at": at, "wall": None, "event": told, "marks": []}


class Flood(Silent):
    """A session in which ever more is said."""

    def setup(self, page: str) -> JsonObject:
        return {
            "source": "attached",
            "title": "flood",
            "kind": "realtime",
            "models": [],
            "voices": [],
            "simulator": False,
            "may_act": False,
            "client_events": [],
            "realtime_url": None,
            "inspect_url": f"/inspect?console={page}",
        }

    async def show(self, transport: Transport, page: str) -> None:
        state = {"open": True, "may_act": False, "order": "watched", "why": None, "approvals": []}
        await transport.send(json.dumps({"kind": "state", **state}))
        session = {"type": "realtime", "audio": {"input": FORMAT, "output": FORMAT}}
        created = {"type": "session.created", "session": session}
        await transport.send(json.dumps(record(0, "server", created)))
        for first in range(0, BEFORE, A_SECOND):
            await transport.send(json.dumps([event(first + i) for i in range(A_SECOND)]))
        number = BEFORE
        start = trio.current_time()
        while transport.closed is None:
            await transport.send(json.dumps(event(number)))
            number += 1
            await trio.sleep_until(start + (number - BEFORE) / A_SECOND)


async def serve(announce: Callable[[str], None]) -> None:
    async with trio.open_nursery() as nursery:
        address = await nursery.start(partial(serve_console, Flood(), port=0))
        announce(address.url)


SCROLL: Final = """() => {
  const log = document.querySelector(".log-scroller");
  let top = 0;
  window.setInterval(() => { log.scrollTop = (top += 997) % log.scrollHeight; }, 50);
}"""


@pytest.mark.parametrize("scrolling", [False, True])
def test_no_frame_takes_long_while_a_hundred_events_a_second_arrive(
    open_page: OpenPage, scrolling: bool
) -> None:
    """By the processor time of what the page's thread does in one go.

    Other programs make that last longer on a busy machine, and are not the page's fault.
    """
    with run_program(serve) as program:
        page = open_page(program.url)
        expect(page.locator(".count")).to_contain_text(re.compile(r"1\d,\d{3} events"))
        expect(page.locator(".where")).to_have_text(re.compile(r"^6\d:\d\d\.\d\d$"))
        page.get_by_role("button", name="Show everything").click()
        if scrolling:
            page.evaluate(SCROLL)
        page.wait_for_timeout(1000)
        before = events_shown(page)
        browser = page.context.browser
        browser.start_tracing(page=page, categories=["disabled-by-default-devtools.timeline"])
        page.wait_for_timeout(1000 * SECONDS)
        tasks = main_thread_tasks(json.loads(browser.stop_tracing()))
        arrived = events_shown(page) - before
    print(f"{len(tasks)} tasks, the longest of {tasks[-1]:.0f} ms; {arrived} events")
    assert arrived > A_SECOND * SECONDS / 2, "the page has not kept up"
    assert tasks[-1] < LONGEST_FRAME


def events_shown(page: Page) -> int:
    found = re.search(r"([\d,]+) events", page.locator(".count").inner_text())
    assert found is not None
    return int(found[1].replace(",", ""))


def main_thread_tasks(trace: dict[str, Any]) -> list[float]:
    """Milliseconds of processor time of everything that the page's thread did, in order of size."""
    events = trace["traceEvents"]
    threads = {
        (event["pid"], event["tid"])
        for event in events
        if event.get("name") == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    return sorted(
        event["tdur"] / 1000
        for event in events
        if (event["pid"], event["tid"]) in threads and event.get("name") == "RunTask"
        if "tdur" in event
    )
