"""Draws the floors of the house from its imports: `python docs/floors.py` writes floors.svg.

Owns how imports are read, which tests/test_layers.py uses as well, and how the picture looks.
Which imports are allowed is for that test to say.

Theory of operation.  A folder is a room, and so is a module that lies in no folder but the package
or its simulator.  A room is put on a floor above everything that it imports.  An arrow that others
imply is left out.  One that passes floors in between gets a place on each of them, so that it does
not run through rooms.  The rooms of a floor are ordered by where their neighbours are, which keeps
arrows short; what is left is to give everybody room.  Nothing depends on hashes or time: the same
imports give the same bytes.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from attrs import frozen

PACKAGE: Final = "realtime_trio"
SOURCE: Final = Path(__file__).resolve().parent.parent / PACKAGE
PICTURE: Final = Path(__file__).resolve().with_name("floors.svg")

# --- reading --------------------------------------------------------------------------------------


@frozen
class Import:
    """One name that a module imports, or one module."""

    target: str
    """The imported module in full: `realtime_trio.events.items` for `from .items import Item`
    inside the events package."""
    name: str | None
    """What is taken from it, None if it is the module itself."""
    line: int
    """Where it stands."""
    in_function: bool
    """Whether it happens only when a function is called."""

    @property
    def top(self) -> str:
        """The package that the module belongs to."""
        return self.target.partition(".")[0]

    @property
    def ours(self) -> str | None:
        """The module's name inside our package, None when it is somebody else's."""
        head, _, rest = self.target.partition(".")
        return rest if head == PACKAGE else None


def _modules_on_disk() -> dict[str, Path]:
    modules = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return modules


MODULES: Final = _modules_on_disk()
"""Every module by its name inside the package, which itself is the empty name."""


def imports_of(module: str, source: str, *, is_package: bool = False) -> list[Import]:
    """Every import in a source, those for type checkers included.

    Args:
        module: The module's name inside the package, on which relative imports depend.
        source: Its text.
        is_package: Whether it is an `__init__`.
    """
    home = [PACKAGE, *module.split(".")] if module else [PACKAGE]
    if not is_package:
        home.pop()

    def read_statement(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str | None]]:
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
            return
        parents = home[: len(home) + 1 - node.level] if node.level else []
        origin = ".".join([*parents, *([node.module] if node.module else [])])
        for alias in node.names:
            member = f"{origin}.{alias.name}"
            # `from package import module` names a module where a class usually stands.
            is_module = member.removeprefix(f"{PACKAGE}.") in MODULES
            yield (member, None) if is_module else (origin, alias.name)

    def visit(node: ast.AST, in_function: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for target, name in read_statement(node):
                yield Import(target, name, node.lineno, in_function)
        else:
            in_function = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for child in ast.iter_child_nodes(node):
                yield from visit(child, in_function)

    return list(visit(ast.parse(source), False))


@cache
def read(module: str) -> tuple[Import, ...]:
    """The imports of one of our modules."""
    path = MODULES[module]
    source = path.read_text(encoding="utf-8")
    return tuple(imports_of(module, source, is_package=path.name == "__init__.py"))


# --- rooms and floors -----------------------------------------------------------------------------

Graph = Mapping[str, frozenset[str]]
"""For each room the rooms below it to which there is an arrow."""

_LEFT_OUT: Final = ("_version", "__main__")
"""A number, and two lines that call the command line."""


def room_of(module: str) -> str:
    """The room of a module, as it is called in the picture; empty for the front door itself."""
    parts = module.split(".") if module else []
    is_wing = parts[:1] == ["simulator"]
    if MODULES[module].name != "__init__.py" and len(parts) == 1 + is_wing:
        return "/".join(parts) + ".py"
    return "".join(f"{part}/" for part in parts[: 1 + is_wing])


def _map(modules: Collection[str]) -> dict[str, frozenset[str]]:
    below: dict[str, set[str]] = {}
    for module in modules:
        room = below.setdefault(room_of(module), set())
        ours = (each.ours for each in read(module))
        room |= {room_of(name) for name in ours if name is not None and name in modules}
    return {room: frozenset(others - {room}) for room, others in below.items()}


def _without_shortcuts(graph: Graph) -> Graph:
    """The graph without arrows that other arrows imply."""

    @cache
    def reached(room: str) -> frozenset[str]:
        return graph[room].union(*map(reached, graph[room]))

    return {room: below - frozenset().union(*map(reached, below)) for room, below in graph.items()}


def _floors(graph: Graph) -> dict[str, int]:
    """The floor of each room, 0 for the ground: as near to its neighbours as the arrows allow."""

    @cache
    def lowest(room: str) -> int:
        return max((1 + lowest(below) for below in graph[room]), default=0)

    floors = {room: lowest(room) for room in sorted(graph)}
    above = {room: [r for r in graph if room in graph[r]] for room in graph}
    # What many stand on stays at the bottom; what only a room far above needs moves up to it.
    for room in sorted(floors, key=lambda room: (-floors[room], room)):
        if above[room] and len(graph[room]) <= len(above[room]) == 1:
            floors[room] = min(floors[each] for each in above[room]) - 1
    return floors


# --- places ---------------------------------------------------------------------------------------

_WIDTH, _HEIGHT = 190, 44
_GAP, _STOREY, _MARGIN = 28, 92, 32
_LANE: Final = 20
"""Width of an arrow that passes a floor."""
_WALL: Final = 0.7 * _WIDTH
"""Width of the part of a room at which arrows begin and end."""
_TIP: Final = 5
"""What an arrow's head has of its length."""
_SWEEPS: Final = 24
_STRAIGHT: Final = 2
"""How much more an arrow pulls that passes floors."""

_Spot = tuple[str, str, int]
"""A room, as (room, "", floor), or an arrow on its way, as (from, to, floor)."""
_Way = tuple[_Spot, ...]
"""An arrow: from a room by what it passes to another one."""


def _spots(graph: Graph, floors: Mapping[str, int]) -> dict[_Spot, list[_Spot]]:
    """Everything that needs a place, with what it leads down to on the next floor."""
    spots: dict[_Spot, list[_Spot]] = {(room, "", floors[room]): [] for room in sorted(graph)}
    for room in sorted(graph):
        for below in sorted(graph[room]):
            last: _Spot = (room, "", floors[room])
            for floor in range(floors[room] - 1, floors[below], -1):
                spots[last].append((room, below, floor))
                last = (room, below, floor)
                spots[last] = []
            spots[last].append((below, "", floors[below]))
    return spots


def _width(spot: _Spot) -> int:
    return _LANE if spot[1] else _WIDTH


def _places(spots: Mapping[_Spot, list[_Spot]]) -> dict[_Spot, float]:
    """Where the middle of everything is, from left to right."""
    neighbours: dict[_Spot, list[_Spot]] = {spot: list(below) for spot, below in spots.items()}
    for spot, below in spots.items():
        for each in below:
            neighbours[each].append(spot)
    height = 1 + max(floor for _, _, floor in spots)
    rows: list[list[_Spot]] = [[] for _ in range(height)]
    for spot in spots:
        rows[spot[2]].append(spot)
    places = dict.fromkeys(spots, 0.0)
    for row in rows:
        places |= _spread({spot: 200.0 * number for number, spot in enumerate(row)})
    for sweep in range(_SWEEPS):
        for row in rows if sweep % 2 else reversed(rows):
            places |= _spread({spot: _wish(spot, neighbours[spot], places) for spot in row})
    left = min(place - _width(spot) / 2 for spot, place in places.items())
    return {spot: place - left + _MARGIN for spot, place in places.items()}


def _wish(spot: _Spot, near: Iterable[_Spot], places: Mapping[_Spot, float]) -> float:
    """The mean of the neighbours' places; arrows that pass a floor count more, and get straight."""
    weights = {each: 1 + _STRAIGHT * (bool(spot[1]) + bool(each[1])) for each in near}
    # Exact, since `sum` rounds in another way from Python 3.12 on, and the picture must not change.
    return math.fsum(weights[each] * places[each] for each in weights) / sum(weights.values())


def _spread(wished: Mapping[_Spot, float]) -> dict[_Spot, float]:
    """Keep the order that is wished for, and move apart what would overlap."""
    blocks: list[tuple[list[_Spot], float, float]] = []
    for spot in sorted(wished, key=lambda spot: (wished[spot], spot)):
        members, start, width = [spot], wished[spot] - _width(spot) / 2, float(_width(spot))
        # Neighbours that push each other become a block, whose place is the mean of their wishes.
        while blocks and blocks[-1][1] + blocks[-1][2] + _GAP > start:
            before, other_start, other_width = blocks.pop()
            shifted = start - other_width - _GAP
            start = (len(before) * other_start + len(members) * shifted) / (
                len(before) + len(members)
            )
            members, width = before + members, other_width + _GAP + width
        blocks.append((members, start, width))
    places = {}
    for members, start, _ in blocks:
        for spot in members:
            places[spot] = start + _width(spot) / 2
            start += _width(spot) + _GAP
    return places


# --- drawing --------------------------------------------------------------------------------------

# A background of its own: the picture is the same on a light page and on a dark one.
_STYLE: Final = """
  .page { fill: #fdfdfb; stroke: #d5d5cd }
  .floor { stroke: #e9e9e2 }
  .arrow { fill: none; stroke: #8b94a3; stroke-width: 1.3 }
  .tip { fill: #8b94a3 }
  .room { stroke-width: 1.2 }
  .pure { fill: #e8f1e4; stroke: #8fb07f }
  .waiting { fill: #e6eef8; stroke: #86a5cb }
  text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
         fill: #22262d; text-anchor: middle }
  .wing { font-size: 11px; fill: #6a7280 }
  .note { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif;
          fill: #4c535e; text-anchor: start }
"""
_LEGEND: Final = (("pure", "does not import trio"), ("waiting", "imports trio"))
_READING: Final = "An arrow means: imports. What follows from other arrows is left out."


def draw(modules: Iterable[str] = MODULES) -> str:
    """The picture, as the text of an SVG file."""
    drawn = [module for module in modules if module not in _LEFT_OUT]
    graph = _without_shortcuts(_map(drawn))
    floors = _floors(graph)
    spots = _spots(graph, floors)
    places = _places(spots)
    waiting = {room_of(m) for m in drawn if any(each.top == "trio" for each in read(m))}
    height = _MARGIN * 2 + _STOREY * max(floors.values()) + _HEIGHT + 40
    width = max(place + _width(spot) / 2 for spot, place in places.items()) + _MARGIN

    def top(floor: int) -> float:
        return height - _MARGIN - 40 - _HEIGHT - _STOREY * floor

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'width="{width:.0f}" height="{height}" role="img">',
        "<title>The rooms of realtime_trio: a room imports what its arrows point to</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="page" x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1}" '
        'rx="10"/>',
    ]
    lines += _arrows(spots, places, top)
    for spot, place in places.items():
        if not spot[1]:
            lines += _room(spot[0], place, top(spot[2]), spot[0] in waiting)
    for number, (kind, words) in enumerate(_LEGEND):
        x, y = _MARGIN + 190 * number, height - 36
        lines.append(f'<rect class="room {kind}" x="{x}" y="{y}" width="22" height="14" rx="3"/>')
        lines.append(f'<text class="note" x="{x + 30}" y="{y + 12}">{words}</text>')
    x = _MARGIN + 190 * len(_LEGEND)
    lines.append(f'<text class="note" x="{x}" y="{height - 24}">{_READING}</text>')
    return "\n".join([*lines, "</svg>", ""])


def _room(room: str, place: float, y: float, is_waiting: bool) -> Iterator[str]:
    kind = "waiting" if is_waiting else "pure"
    x = place - _WIDTH / 2
    yield (
        f'<rect class="room {kind}" x="{x:.1f}" y="{y}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" rx="6"/>'
    )
    wing, slash, name = (room.removesuffix("/") or f"the front door/{PACKAGE}").rpartition("/")
    label = name + "/" * room.endswith("/")
    if wing:
        above = f"{wing}{slash}" if room else wing
        yield f'<text class="wing" x="{place:.1f}" y="{y + 17}">{above}</text>'
    yield f'<text x="{place:.1f}" y="{y + (34 if wing else 27)}">{label}</text>'


def _arrows(
    spots: Mapping[_Spot, Sequence[_Spot]],
    places: Mapping[_Spot, float],
    top_of: Callable[[int], float],
) -> Iterator[str]:
    ways = [
        tuple(_way(room, first, spots))
        for room, below in spots.items()
        if not room[1]
        for first in below
    ]
    leaving, arriving = _doors(ways, places, 0, 1), _doors(ways, places, -1, -2)
    for way in ways:
        x, y = leaving[way], top_of(way[0][2]) + _HEIGHT
        path = f"M{x:.1f} {y:.0f}"
        for spot in way[1:]:
            is_end = spot is way[-1]
            to_x = arriving[way] if is_end else places[spot]
            to_y = top_of(spot[2]) - _TIP * is_end
            half = (y + to_y) / 2
            path += f"C{x:.1f} {half:.0f} {to_x:.1f} {half:.0f} {to_x:.1f} {to_y:.0f}"
            if not is_end:
                path += f"v{_HEIGHT}"
            x, y = to_x, to_y + _HEIGHT
        yield f'<path class="arrow" d="{path}"/>'
        yield f'<path class="tip" d="M{x:.1f} {top_of(way[-1][2]):.0f}l-3.5 -8h7z"/>'


def _way(room: _Spot, first: _Spot, spots: Mapping[_Spot, Sequence[_Spot]]) -> Iterator[_Spot]:
    """From one room to another, with everything that is passed."""
    yield room
    while first[1]:
        yield first
        (first,) = spots[first]
    yield first


def _doors(
    ways: Iterable[_Way], places: Mapping[_Spot, float], end: int, beside: int
) -> dict[_Way, float]:
    """Where arrows meet the wall of a room at one of their ends: side by side, none crossing."""
    doors = {}
    by_room: dict[_Spot, list[_Way]] = {}
    for way in ways:
        by_room.setdefault(way[end], []).append(way)
    for room, of_room in by_room.items():
        of_room.sort(key=lambda way: (places[way[beside]], way))
        for number, way in enumerate(of_room, 1):
            doors[way] = places[room] + _WALL * (number / (len(of_room) + 1) - 0.5)
    return doors


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
