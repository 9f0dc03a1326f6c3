"""A guest of a relay, in a browser: what it can do there, and what it sees.

Where PICTURES names a folder, the picture of docs/relay.md is put there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio
from browser_pages import (
    OpenPage,
    connect,
    expect,
    item,
    open_panel,
    run_console,
    run_program,
    search_events,
    wait_until_silent,
    write_message,
)

from realtime_trio import tool
from realtime_trio.events import SessionConfig
from realtime_trio.relay import Grant, serve_relay, service_at
from realtime_trio.simulator import Reply, Script, serve_simulator

KEY = "sk-of-the-relay"
INSTRUCTIONS = "You are a pirate."


@tool
def count_gold() -> str:
    """How much gold there is."""
    return "three chests"


async def serve(announce: Callable[[str], None]) -> None:
    """A relay that has the instructions, and a tool."""
    script = Script(
        [
            Reply.text("Good day."),
            Reply.text("Ahoy!"),
            Reply.call("count_gold"),
            Reply.text("We have three chests of it."),
        ]
    )
    grant = Grant(
        session=SessionConfig.of(instructions=INSTRUCTIONS),
        tools=[count_gold],
        updates={"audio.input.turn_detection", "output_modalities"},
        other_updates="drop",
    )
    async with trio.open_nursery() as nursery:
        behind = await nursery.start(partial(serve_simulator, script, api_key=KEY))
        service = service_at(behind, api_key=KEY)
        announce(await nursery.start(partial(serve_relay, grant, service=service)))


def test_a_guest_talks_and_sees_nothing_of_what_is_the_relays(open_page: OpenPage) -> None:
    with run_program(serve) as relay, run_console("--url", relay.url, "--api-key", "none") as url:
        page = open_page(url, size=(1440, 900))
        connect(page)
        expect(item(page, "model").filter(has_text="Good day.")).to_be_visible()
        wait_until_silent(page)
        write_message(page, "Who are you?")
        expect(item(page, "model").filter(has_text="Ahoy!")).to_be_visible()
        wait_until_silent(page)
        write_message(page, "How much gold do we have?")
        expect(item(page, "model").filter(has_text="We have three chests")).to_be_visible()
        panel = open_panel(page, "Session")
        panel.get_by_text("All settings").click()
        expect(panel).to_contain_text("turn_detection")
        expect(panel).not_to_contain_text("pirate")
        if folder := os.environ.get("PICTURES"):
            page.mouse.move(0, 0)
            page.screenshot(path=Path(folder) / "relayed.png")
        for hidden in ("function_call", "count_gold", "pirate"):
            search_events(page, hidden)
            expect(page.get_by_text("No event is like that.")).to_be_visible()
