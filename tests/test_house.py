"""What the documentation says of the house is true: picture, rooms, words and paths."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from floors import MODULES, PACKAGE, PICTURE, SOURCE, draw, imports_of, room_of

ROOT = Path(__file__).parent.parent
MAP = ROOT / "docs" / "architecture.md"
PAGES = (MAP, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md")
PUBLIC = (
    "",
    "audio",
    "console",
    "devices",
    "events",
    "history",
    "playback",
    "relay",
    "simulator",
    "testing",
    "tools",
)
"""Modules whose names users know; what they mean is explained where users look."""


def words_in_code(page: Path) -> set[str]:
    """Every word in code style on a page, fences included."""
    spans = re.findall(r"`([^`]+)`", page.read_text(encoding="utf-8"))
    return {word for span in spans for word in re.findall(r"[\w./]+", span)}


def internal_classes() -> Iterator[str]:
    public = {
        name
        for module in PUBLIC
        for name in dir(importlib.import_module(f"{PACKAGE}.{module}".removesuffix(".")))
    }
    for path in MODULES.values():
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.ClassDef) and not statement.name.startswith("_"):
                yield from {statement.name} - public


def test_the_picture_is_current() -> None:
    """`python docs/floors.py` draws it again."""
    assert PICTURE.read_text(encoding="utf-8") == draw()


def test_every_room_is_in_the_picture() -> None:
    drawn = set(re.findall(r"<text[^>]*>([^<]*)</text>", draw()))
    rooms = {room_of(module) for module in MODULES} - {"", "_version.py", "__main__.py"}
    wing = {room for room in rooms if room.startswith("simulator/") and room != "simulator/"}
    assert rooms - wing <= drawn
    assert {room.removeprefix("simulator/") for room in wing} <= drawn


@pytest.mark.parametrize(
    ("module", "room"),
    [
        ("", ""),
        ("errors", "errors.py"),
        ("audio", "audio/"),
        ("audio.pcm", "audio/"),
        ("_state.turns.machine", "_state/"),
        ("simulator", "simulator/"),
        ("simulator.roles", "simulator/roles.py"),
        ("simulator.service.server", "simulator/service/"),
    ],
)
def test_a_folder_is_a_room(module: str, room: str) -> None:
    assert room_of(module) == room


def test_imports_in_functions_and_for_type_checkers_count() -> None:
    source = """
from .items import Item
if TYPE_CHECKING:
    from realtime_trio._session.voice import Session
def load():
    import trio
"""
    assert [
        (each.target, each.name, each.in_function) for each in imports_of("events.x", source)
    ] == [
        ("realtime_trio.events.items", "Item", False),
        ("realtime_trio._session.voice", "Session", False),
        ("trio", None, True),
    ]


def test_every_module_is_on_the_map() -> None:
    files = {path.name for path in MODULES.values()} - {"__init__.py", "__main__.py", "_version.py"}
    named = {word.rpartition("/")[2] for word in words_in_code(MAP)}
    events = {path.name for path in (SOURCE / "events").glob("*.py")}  # which are known as a family
    assert files - events - named == set()


def test_every_word_of_the_code_is_in_the_glossary() -> None:
    assert set(internal_classes()) - words_in_code(MAP) == set()


def test_every_name_on_the_map_is_in_the_code() -> None:
    today = MAP.read_text(encoding="utf-8").partition("### Names that were given up")[0]
    named = {
        name
        for span in re.findall(r"`([^`]+)`", today)
        for name in re.findall(r"\b[A-Z][a-z]\w+", span)
    }
    code = "\n".join(path.read_text(encoding="utf-8") for path in MODULES.values())
    assert {name for name in named if not re.search(rf"\b{name}\b", code)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_on_a_page_exists(page: Path) -> None:
    written = {word for word in words_in_code(page) if "/" in word and word.endswith((".py", "/"))}
    written -= {word for word in written if re.search(r"[A-Z]{4}|__", word)}  # placeholders
    places = (ROOT, SOURCE, SOURCE / "_state", SOURCE / "simulator")
    assert {p for p in written if not any((place / p).exists() for place in places)} == set()


def test_every_upper_bound_has_a_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = (project["dependencies"], *project["optional-dependencies"].values())
    declared = [each for group in groups for each in group]
    bounded = {re.split(r"\W*[<>=]", each)[0] for each in declared if "<" in each}
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    section = page.partition("## Upper bounds")[2].partition("\n## ")[0]
    assert set(re.findall(r"^- \*\*(.+?)\*\*, below", section, re.MULTILINE)) == bounded
    assert bounded
