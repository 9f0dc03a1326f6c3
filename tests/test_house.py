"""The picture of the floors in the documentation is that of today's imports."""

from __future__ import annotations

import re

import pytest
from floors import MODULES, PICTURE, draw, imports_of, room_of


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
