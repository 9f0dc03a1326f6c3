"""What is loaded when: every program pays for it, and few need all of it."""

from __future__ import annotations

import subprocess
import sys
from typing import get_type_hints

import pytest
import trio

from realtime_trio import Session, open_session
from realtime_trio.history import Compaction, ConversationStore
from realtime_trio.lasting import Loss, Reconnect
from realtime_trio.money import Budget
from realtime_trio.playback import Playback
from realtime_trio.simulator import Reply, Script, serve_simulator

DEPENDENCIES = {
    *("attr", "cattrs", "docstring_parser", "h11", "numpy", "orjson", "pybase64"),
    *("trio", "trio_websocket"),
}
OTHER_SIDE = {f"realtime_trio.{name}" for name in ("simulator", "cli", "testing", "_pytest_plugin")}
EXTRAS = {"click", "rich", "python_socks", "yaml", "httpx2"}
ON_REQUEST = {
    f"realtime_trio.{name}"
    for name in (
        # A budget, an idle timeout, prices.
        *("_session.farewell", "_session.idle_watch", "_session.limits", "_session.spending"),
        *("_state.budget", "_state.idleness", "_state.prices", "money"),
        # Another connection.
        *("_session.lasting.continuity", "_session.lasting.policy", "_session.lasting.successor"),
        *("_session.lasting.upkeep", "_state.introduction", "_state.losses", "_state.unconfirmed"),
        *("lasting",),
        # An earlier conversation, and a file of it; making it shorter.
        *("_runtime.journal_file", "_state.conversation.journal", "_state.conversation.keeping"),
        *("_state.conversation.old_part", "_state.conversation.restoring", "history"),
        # A recording.
        *("_protocol.rewriting", "_protocol.scrubbing", "_runtime.disk", "recording"),
        # A playback.
        *("_session.playing", "playback", "playback.playback"),
    )
}
"""What a session has only if it is asked for: see the arguments of `open_session`."""

CONVERSATION = """
import sys
import trio
from realtime_trio import ItemCompleted, open_session

async def main():
    async with open_session(url=sys.argv[1], turn_detection=None) as session:
        items = session.events(ItemCompleted)
        await session.append_audio(bytes(4800))
        assert "numpy" not in sys.modules
        assert (await session.ask("Hello!")).text == "Good day."
        await anext(items)

trio.run(main)
"""
ONE_TOOL = """
from realtime_trio import tool

@tool
async def f() -> None:
    "Do nothing."
"""


def loaded_by(program: str, *arguments: str) -> set[str]:
    """The modules that a program has loaded when it ends."""
    # What the environment loads at the start, such as for measuring coverage, does not count.
    program = (
        f"import sys\nbefore = {{*sys.modules}}\n{program}\nprint(*({{*sys.modules}} - before))"
    )
    listing = subprocess.run(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True, check=True
    )
    return set(listing.stdout.split())


def ours(modules: set[str]) -> set[str]:
    return {module for module in modules if module.partition(".")[0] == "realtime_trio"}


def test_the_package_alone_loads_nothing() -> None:
    loaded = loaded_by("import realtime_trio")
    assert ours(loaded) == {"realtime_trio", "realtime_trio._elsewhere"}
    assert loaded & (DEPENDENCIES | EXTRAS) == set()


def test_the_pytest_plugin_loads_itself() -> None:
    """Also in projects that test something else, pytest loads it at every start."""
    plugins = loaded_by("import pytest, pytest_trio")
    loaded = loaded_by("import pytest, pytest_trio, realtime_trio._pytest_plugin")
    assert loaded - plugins == {
        "realtime_trio",
        "realtime_trio._elsewhere",
        "realtime_trio._pytest_plugin",
    }


@pytest.mark.parametrize("room", ["audio", "events", "tools", "_protocol.codec"])
def test_rooms_load_no_dependency_before_it_is_used(room: str) -> None:
    loaded = loaded_by(f"import realtime_trio.{room}")
    assert loaded & DEPENDENCIES <= {"attr", "orjson", "pybase64"}


def test_a_name_of_the_front_door_loads_neither_servers_nor_extras() -> None:
    loaded = loaded_by("from realtime_trio import *")
    assert loaded & (OTHER_SIDE | EXTRAS) == set()
    assert loaded & DEPENDENCIES == {"attr", "orjson", "pybase64", "trio"}
    assert loaded & {"email", "http.client", "urllib.request"} == set()


def test_a_tool_loads_what_its_calls_need() -> None:
    """It should not be loaded in the middle of a conversation, when the first call comes."""
    assert {"cattrs", "docstring_parser"} <= loaded_by(ONE_TOOL)


def test_what_is_loaded_on_request_is_there() -> None:
    """A name in the list that is misspelled would never be loaded."""
    assert loaded_by(f"import {', '.join(sorted(ON_REQUEST))}") >= ON_REQUEST


def test_the_types_of_what_is_loaded_late_can_be_asked_for() -> None:
    """Annotations name modules that are loaded by the asking."""
    hints = get_type_hints(open_session)
    assert hints["reconnect"] == Reconnect | None
    assert hints["budget"] == Budget | None
    assert hints["store"] == ConversationStore | None
    assert hints["playback"] == Playback | None
    assert get_type_hints(Session.compact)["return"] is Compaction
    assert get_type_hints(Session.restart)["return"] is Loss


def test_tests_with_a_script_do_without_the_agent_by_rules() -> None:
    assert "realtime_trio.simulator.offline.agent" not in loaded_by("import realtime_trio.testing")
    exported = loaded_by("from realtime_trio.simulator import *; assert OfflineAgent")
    assert "realtime_trio.simulator.offline.agent" in exported


@pytest.mark.socket
async def test_a_session_loads_neither_its_server_nor_what_its_program_does_not_use() -> None:
    async with trio.open_nursery() as nursery:
        url = await nursery.start(serve_simulator, Script([Reply.text("Good day.")]))
        with trio.fail_after(60):
            loaded = await trio.to_thread.run_sync(loaded_by, CONVERSATION, url)
        nursery.cancel_scope.cancel()
    assert {"trio_websocket", "realtime_trio._session.voice"} <= loaded
    assert loaded & (OTHER_SIDE | EXTRAS | ON_REQUEST) == set()
    assert loaded & {"cattrs", "docstring_parser"} == set()
