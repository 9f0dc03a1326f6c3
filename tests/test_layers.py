"""Who may import whom: the arrows of docs/architecture.md, checked on the source without running it.

`LEVELS` is the map of the house.  A new module fails here until it has a place on it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TypeVar

import attrs
import pytest

T = TypeVar("T")

PACKAGE = "realtime_trio"
SOURCE = Path(__file__).parent.parent / PACKAGE

# Modules are called what they are called inside the package; "" is the package itself, the front door.
# `x.*` is the package x with everything in it, except what has a line of its own.
LEVELS = {
    # Values and numbers.
    "_version": 0,
    "errors": 0,
    "audio.*": 0,
    "events.*": 0,
    # Between bytes, functions and values.
    "audio.playback": 1,
    "codec": 1,
    "dialects": 1,
    "endpoint": 1,
    "tools.*": 1,
    # Pure machines.
    "captions": 2,
    "conversation.*": 2,
    "ledger": 2,
    "mcp": 2,
    "_order.*": 2,
    "shorthand": 2,
    "turns": 2,
    "replies": 2,
    # Everything that awaits.
    "": 3,
    "_dial": 3,
    "transport": 3,
    "_websocket": 3,
    "connection": 3,
    "hub": 3,
    "outbox": 3,
    "recording": 3,
    "_http": 3,
    "exchange": 3,
    "input_audio": 3,
    "answers": 3,
    "_nursery": 3,
    "tools.context": 3,
    "tools.executor": 3,
    "session": 3,
    "transcriber": 3,
    "translator": 3,
    # The other side of the wire.
    "simulator.*": 4,
    # What people start.
    "testing": 5,
    "cli": 5,
    "_pytest_plugin": 5,
    "__main__": 5,
}

# These know less of us than their level would let them.
KNOWS_ONLY = {
    "_version": [],
    "errors": [],
    "audio.*": ["errors", "audio.*"],
    "events.*": ["errors", "audio.*", "events.*"],
}

# Up to here nothing waits, sleeps or logs, and times and ids are passed in.
LAST_PURE_LEVEL = 2
IMPURE = {"trio", "trio_websocket", "time", "random", "uuid", "logging"}
# What is only a class is allowed: a UUID is a value, making one up is not pure.
PURE_PARTS = {"uuid.UUID"}

# Foreign packages with one border each, where what they raise is translated.
RESERVED = {
    "trio_websocket": ["transport", "_websocket"],
    "cattrs": ["codec", "dialects", "tools.*"],
    "json": ["codec", "dialects", "tools.*", "simulator._document"],
    "yaml": ["simulator._document"],
    "orjson": ["codec", "dialects", "tools.*", "simulator._rest"],
    "h11": ["_http"],
}

# Extras that may be missing: these modules, and no others, may import them inside a function.
OPTIONAL = {
    "simulator._document": {"yaml"},
    "_dial": {"python_socks"},
    "transport": {"python_socks"},
    "_websocket": {"python_socks"},
    "cli": {"click", "rich"},
}


@attrs.frozen
class Import:
    target: str
    """The imported module in full: `realtime_trio.events.items` for `from .items import Item` inside the events package."""
    line: int
    in_function: bool
    for_types_only: bool

    @property
    def ours(self) -> str | None:
        """What the map calls it, None when it is somebody else's."""
        head, _, rest = self.target.partition(".")
        return rest if head == PACKAGE else None


def modules_on_disk() -> dict[str, Path]:
    modules = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


MODULES = modules_on_disk()


def matches(module: str, pattern: str) -> bool:
    return module == pattern or (pattern.endswith(".*") and f"{module}.".startswith(pattern[:-1]))


def place(module: str, table: Mapping[str, T]) -> T | None:
    """The module's own line in a table, else its package's."""
    return table.get(module, next((value for pattern, value in table.items() if matches(module, pattern)), None))


def imports_of(module: str, source: str, *, is_package: bool = False) -> list[Import]:
    home = [PACKAGE, *module.split(".")] if module else [PACKAGE]
    if not is_package:
        home.pop()

    def targets(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
            return
        parents = home[: len(home) + 1 - node.level] if node.level else []
        origin = ".".join([*parents, *([node.module] if node.module else [])])
        for alias in node.names:
            name = f"{origin}.{alias.name}"
            yield name if name.removeprefix(f"{PACKAGE}.") in MODULES or name in PURE_PARTS else origin

    def visit(node: ast.AST, in_function: bool, for_types_only: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for target in dict.fromkeys(targets(node)):
                yield Import(target, node.lineno, in_function, for_types_only)
        elif isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for then in node.body:
                yield from visit(then, in_function, True)
            for otherwise in node.orelse:
                yield from visit(otherwise, in_function, for_types_only)
        else:
            in_function = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for child in ast.iter_child_nodes(node):
                yield from visit(child, in_function, for_types_only)

    return list(visit(ast.parse(source), False, False))


def violations(module: str, imported: Import) -> Iterator[str]:
    level = place(module, LEVELS)
    assert level is not None, f"{module} has no level"
    top = imported.target.partition(".")[0]
    if (ours := imported.ours) is not None:
        theirs = place(ours, LEVELS)
        if theirs is None or theirs > level:
            yield f"{ours or PACKAGE} is on level {theirs}, {module} on level {level}: imports point down"
        known = place(module, KNOWS_ONLY)
        if known is not None and not any(matches(ours, pattern) for pattern in known):
            yield f"{module} knows only {known} of us, not {ours or PACKAGE}"
    if level <= LAST_PURE_LEVEL and top in IMPURE and imported.target not in PURE_PARTS:
        yield f"{module} is pure: no {top}"
    if top in RESERVED and not any(matches(module, pattern) for pattern in RESERVED[top]):
        yield f"{top} is for {RESERVED[top]} alone"
    if imported.in_function and top not in OPTIONAL.get(module, ()):
        yield f"{imported.target} is imported inside a function"


def complaints(module: str, source: str) -> list[str]:
    return [complaint for imported in imports_of(module, source) for complaint in violations(module, imported)]


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
    path = MODULES[module]
    imported = imports_of(module, path.read_text(encoding="utf-8"), is_package=path.name == "__init__.py")
    assert [f"{path}:{item.line}: {complaint}" for item in imported for complaint in violations(module, item)] == []


def test_no_module_imports_itself_through_others() -> None:
    graph = {}
    for module, path in MODULES.items():
        imported = imports_of(module, path.read_text(encoding="utf-8"), is_package=path.name == "__init__.py")
        graph[module] = {item.ours for item in imported if item.ours is not None and not item.for_types_only}
    assert cycle(graph) == []


def test_importing_the_package_leaves_simulator_cli_and_extras_alone() -> None:
    listing = subprocess.run(
        [sys.executable, "-c", "import sys, realtime_trio; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    unwanted = [f"{PACKAGE}.simulator", f"{PACKAGE}.cli", f"{PACKAGE}.testing", "click", "rich", "python_socks"]
    assert [name for name in listing.stdout.split() if name in unwanted] == []


# The checker itself: every rule is broken once, in the ways one can write an import.


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("events.items", "from realtime_trio.codec import Codec"),
        ("events.items", "from ..codec import Codec"),
        ("events.items", "import realtime_trio.codec"),
        ("events.items", "if TYPE_CHECKING: from realtime_trio.session import Session"),
        ("audio.pcm", "from realtime_trio.audio.playback import PlaybackTracker"),
        ("audio.pcm", "from realtime_trio.events import Event"),
        ("errors", "from . import audio"),
        ("conversation", "from realtime_trio import Session"),
        ("session", "from realtime_trio.simulator.server import Server"),
        ("session", "from realtime_trio.unheard_of import anything"),
    ],
)
def test_an_import_that_points_up_is_found(module: str, line: str) -> None:
    assert complaints(module, line) != []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("codec", "import trio"),
        ("turns", "from time import monotonic"),
        ("tools.schema", "import logging"),
        ("tools.schema", "from uuid import UUID, uuid4"),
        ("session", "from trio_websocket import ConnectionClosed"),
        ("session", "import json"),
        ("conversation", "from cattrs.errors import BaseValidationError"),
    ],
)
def test_a_foreign_package_in_the_wrong_room_is_found(module: str, line: str) -> None:
    assert complaints(module, line) != []


@pytest.mark.parametrize(
    ("module", "imported"),
    [("session", "python_socks"), ("cli", "realtime_trio.simulator"), ("cli", "python_socks"), ("hub", "collections")],
)
def test_an_import_inside_a_function_is_found(module: str, imported: str) -> None:
    assert complaints(module, f"class A:\n    async def f(self):\n        import {imported}") != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("events.items", "from ._base import Event\nfrom ..audio import pcm\nfrom ..errors import ProtocolError"),
        ("conversation", "from realtime_trio.audio.playback import PlaybackTracker\nfrom realtime_trio.events import Event"),
        ("session", "import logging\nimport trio\nfrom realtime_trio.hub import EventHub"),
        ("transport", "import trio_websocket\ndef f():\n    from python_socks.async_.trio import Proxy"),
        ("cli", "def f():\n    import rich.console"),
        ("tools.executor", "import cattrs\nimport json"),
        ("tools.shapes", "from uuid import UUID"),
    ],
)
def test_imports_that_point_down_pass(module: str, source: str) -> None:
    assert complaints(module, source) == []


def test_a_cycle_is_found() -> None:
    assert cycle({"hub": {"session"}, "session": {"connection"}, "connection": {"hub"}}) != []
    assert cycle({"session": {"hub", "connection"}, "connection": {"hub"}}) == []
