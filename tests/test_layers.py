"""Who may import whom: the floors of docs/architecture.md, checked on the source.

`FLOORS` is the map of the house, from the ground up, with one row a folder.  A new folder, or a new
module at the top, fails here until it has a place on it.  What is imported for type checkers alone
counts like everything else.  How imports are read is in docs/floors.py, which draws the map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

import pytest
from floors import MODULES, PACKAGE, Import, imports_of, read

T = TypeVar("T")

# From the ground up.  A row may import what stands in rows below it, and its own modules without a
# circle.  `x.*` is the folder x with everything in it that has no row of its own; other names are
# single modules, and "" is the package itself, the front door.
FLOORS = (
    ("_version", "_elsewhere", "_frozen", "_legible", "_misuse", "errors"),
    ("audio.*",),
    ("events.*",),
    ("_protocol.*",),
    ("tools.*",),
    ("_state.*",),
    ("playback.*", "money"),
    ("_order.*",),
    ("_runtime.*",),
    ("_transport.*",),
    ("devices.*",),
    ("connection", "history", "recording"),
    ("_serving.*",),
    ("recorded_audio",),
    ("_session.*",),
    ("lasting",),
    ("",),
    ("relay.*",),
    ("simulator.speech", "simulator.script.*"),
    ("simulator.roles",),
    ("simulator.service.*",),
    ("simulator.offline.*", "simulator.chat.*"),
    ("simulator.chat_completions", "simulator.voice.*", "simulator.replay"),
    ("simulator.serving.*",),
    ("simulator",),
    ("console.*",),
    ("testing", "cli.*", "_pytest_plugin", "__main__"),
)
LEVELS = {pattern: level for level, row in enumerate(FLOORS) for pattern in row}

# Here nothing waits, sleeps or logs, and times and ids are passed in.
PURE = (
    "_elsewhere",
    "_frozen",
    "_legible",
    "_misuse",
    "errors",
    "audio.*",
    "events.*",
    "_protocol.*",
    "tools.*",
    "_state.*",
    "playback.*",
    "devices.activity",
    "devices.backend",
    "devices.echo",
    "devices.errors",
    "devices.far",
    "devices.level",
    "devices.preroll",
    "devices.ring",
    "devices.sink",
    "_order.*",
)
PURE_IN_THE_SIMULATOR = (
    "simulator.roles",
    "simulator.speech",
    "simulator.service.*",
    "simulator.chat.*",
)
PURE_IN_THE_RELAY = (
    "relay.access",
    "relay.actions",
    "relay.ending",
    "relay.grant",
    "relay.greeting",
    "relay.guest_events",
    "relay.limits",
    "relay.policy",
    "relay.reading",
    "relay.routes",
    "relay.service_events",
    "relay.spending",
)
IMPURE = {"trio", "trio_websocket", "time", "random", "uuid", "logging"}
# What is only a class is allowed: a UUID is a value, making one up is not pure.
PURE_PARTS = {"uuid.UUID"}

# Foreign packages with one border each, where what they raise is translated.
RESERVED = {
    "trio_websocket": [
        "_transport.websocket",
        "_transport.websocket_client",
        "_transport.failed_handshake",
        "_serving.websocket_server",
    ],
    "cattrs": ["_protocol.structuring", "tools.*"],
    "json": ["tools.*", "relay.reading", "simulator.script.document"],
    "orjson": ["_protocol.json_text"],
    "yaml": ["simulator.script.document"],
    "h11": ["_serving.http"],
}

# What is loaded when it is first used: extras, which may be missing, and the WebSocket, because
# whoever only imports the package needs neither it nor the h11 that comes with it.
LOADED_LATE = {
    "simulator.script.document": {"yaml"},
    "_transport.dial": {"python_socks"},
    "relay.client_secrets": {"httpx2"},
    "connection": {f"{PACKAGE}._transport.websocket_client"},
}


def matches(module: str, pattern: str) -> bool:
    return module == pattern or (pattern.endswith(".*") and f"{module}.".startswith(pattern[:-1]))


def place(module: str, table: Mapping[str, T]) -> T | None:
    """The module's own row in a table, else that of the innermost folder that has one."""
    fitting = [pattern for pattern in table if matches(module, pattern)]
    return table[max(fitting, key=len)] if fitting else None


def is_pure(module: str) -> bool:
    pure = (*PURE, *PURE_IN_THE_SIMULATOR, *PURE_IN_THE_RELAY)
    return any(matches(module, pattern) for pattern in pure)


def violations(module: str, imported: Import) -> Iterator[str]:
    level = place(module, LEVELS)
    assert level is not None, f"{module} has no level"
    top = imported.top
    if (ours := imported.ours) is not None:
        theirs = place(ours, LEVELS)
        if theirs is None or theirs > level:
            yield (
                f"{ours or PACKAGE} is on level {theirs}, {module} on level {level}: "
                "imports point down"
            )
    part = f"{imported.target}.{imported.name}"
    if is_pure(module) and top in IMPURE and part not in PURE_PARTS:
        yield f"{module} is pure: no {top}"
    if top in RESERVED and not any(matches(module, pattern) for pattern in RESERVED[top]):
        yield f"{top} is for {RESERVED[top]} alone"
    late = LOADED_LATE.get(module, set())
    if imported.in_function and not late & {top, imported.target}:
        yield f"{imported.target} is imported inside a function"


def complaints(module: str, source: str) -> list[str]:
    return [
        complaint
        for imported in imports_of(module, source)
        for complaint in violations(module, imported)
    ]


def cycle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_module_has_a_level() -> None:
    assert [module for module in MODULES if place(module, LEVELS) is None] == []


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_keep_the_rules(module: str) -> None:
    assert [
        f"{MODULES[module]}:{item.line}: {complaint}"
        for item in read(module)
        for complaint in violations(module, item)
    ] == []


def test_no_module_imports_itself_through_others() -> None:
    graph = {
        module: {item.ours for item in read(module) if item.ours is not None} for module in MODULES
    }
    assert cycle(graph) == []


def test_no_row_and_no_allowance_is_stale() -> None:
    patterns = [*LEVELS, *PURE, *PURE_IN_THE_SIMULATOR, *PURE_IN_THE_RELAY, *LOADED_LATE]
    patterns += [pattern for allowed in RESERVED.values() for pattern in allowed]
    assert [p for p in patterns if not any(matches(module, p) for module in MODULES)] == []
    used: dict[str, set[str]] = {}
    for module in MODULES:
        for item in read(module):
            used.setdefault(module, set()).update({item.target, item.target.partition(".")[0]})
    for foreign, allowed in RESERVED.items():
        for pattern in allowed:
            assert any(foreign in used[m] for m in used if matches(m, pattern)), (foreign, pattern)
    for module, late in LOADED_LATE.items():
        assert late - {t for i in read(module) if i.in_function for t in (i.target, i.top)} == set()


# The checker itself: every rule is broken once, in the ways one can write an import.


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("events.items", "from realtime_trio._protocol.codec import Codec"),
        ("events.items", "from .._protocol.codec import Codec"),
        ("events.items", "import realtime_trio._protocol.codec"),
        ("events.items", "if TYPE_CHECKING: from realtime_trio._session.voice import Session"),
        ("audio.pcm", "from realtime_trio.events import Event"),
        ("errors", "from . import audio"),
        ("_state.turns", "from realtime_trio import Session"),
        ("_session.voice", "from realtime_trio.simulator.service.server import SimulatedServer"),
        ("_session.voice", "from realtime_trio.unheard_of import anything"),
        (
            "simulator.service.server",
            "from realtime_trio.simulator.offline.agent import OfflineAgent",
        ),
    ],
)
def test_an_import_that_points_up_is_found(module: str, line: str) -> None:
    assert complaints(module, line) != []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("_protocol.codec", "import trio"),
        ("_state.turns", "from time import monotonic"),
        ("tools.schema", "import logging"),
        ("tools.schema", "from uuid import UUID, uuid4"),
        ("simulator.service.server", "import trio"),
        ("_session.voice", "from trio_websocket import ConnectionClosed"),
        ("_session.voice", "import json"),
        ("_state.conversation.reducer", "from cattrs.errors import BaseValidationError"),
    ],
)
def test_a_foreign_package_in_the_wrong_room_is_found(module: str, line: str) -> None:
    assert complaints(module, line) != []


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("_session.voice", "python_socks"),
        ("cli.serve", "realtime_trio.simulator"),
        ("cli.serve", "python_socks"),
        ("_runtime.hub", "collections"),
    ],
)
def test_an_import_inside_a_function_is_found(module: str, imported: str) -> None:
    assert complaints(module, f"class A:\n    async def f(self):\n        import {imported}") != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "events.items",
            "from ._base import Event\nfrom ..audio import pcm\nfrom ..errors import ProtocolError",
        ),
        (
            "_state.turns",
            "from realtime_trio.audio.pcm import PCM_RATE\nfrom realtime_trio.events import Event",
        ),
        (
            "_session.voice",
            "import logging\nimport trio\nfrom realtime_trio._runtime.hub import EventHub",
        ),
        (
            "_transport.dial",
            "import trio\ndef f():\n    from python_socks.async_.trio import Proxy",
        ),
        ("_transport.websocket", "import trio_websocket"),
        ("simulator.script.document", "def f():\n    import yaml"),
        ("tools.arguments", "import cattrs\nimport json"),
        ("tools.shapes", "from uuid import UUID"),
    ],
)
def test_imports_that_point_down_pass(module: str, source: str) -> None:
    assert complaints(module, source) == []


def test_a_cycle_is_found() -> None:
    assert cycle({"hub": {"session"}, "session": {"connection"}, "connection": {"hub"}}) != []
    assert cycle({"session": {"hub", "connection"}, "connection": {"hub"}}) == []
