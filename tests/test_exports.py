"""The front door re-exports a list of names, and every one of them is documented."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import itertools
import re
from pathlib import Path
from types import ModuleType

import pytest

import realtime_trio
from realtime_trio import _elsewhere
from realtime_trio._state import utility_events

NAMES = (Path(__file__).parent.parent / "docs" / "names.md").read_text(encoding="utf-8")
"""The page that lists the front door's names.  A new one needs a place there, and a reason why
`realtime_trio.events`, `.tools`, `.audio` or another room would not do."""
AT_THE_DOOR, ELSEWHERE = NAMES.split("\n## Elsewhere\n")
LISTED = re.findall(r"`(\w+)`", AT_THE_DOOR.partition("\n## ")[2])
MOST = 110
"""Names at the front door.  More than that nobody reads."""
DOOR = ast.parse(Path(realtime_trio.__file__).read_text(encoding="utf-8"))
TYPED = next(statement for statement in DOOR.body if isinstance(statement, ast.If))
"""What type checkers read, and, in its else, what happens at run time."""
IMPORTS = [statement for statement in TYPED.body if isinstance(statement, ast.ImportFrom)]
EXPORTS = {
    alias.asname or alias.name: statement.module or ""
    for statement in IMPORTS
    for alias in statement.names
}


def documented_assignments(module: ModuleType) -> set[str]:
    """Type aliases and constants: names assigned at the top with a docstring right below them."""
    body = ast.parse(inspect.getsource(module)).body
    names = set()
    for statement, following in itertools.pairwise(body):
        targets = (
            statement.targets
            if isinstance(statement, ast.Assign)
            else [getattr(statement, "target", None)]
        )
        if (
            isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def home_of(name: str, module: ModuleType) -> ModuleType:
    """The module that defines a name; packages pass names on."""
    for statement in ast.walk(ast.parse(inspect.getsource(module))):
        if (
            isinstance(statement, ast.ImportFrom)
            and statement.module
            and name in {alias.asname or alias.name for alias in statement.names}
        ):
            return home_of(
                name,
                importlib.import_module(
                    "." * statement.level + statement.module, module.__package__
                ),
            )
    return module


def test_the_front_door_exports_what_is_listed_and_nothing_else() -> None:
    assert len(LISTED) == len(set(LISTED))
    assert set(_elsewhere.public_names(realtime_trio)) == set(LISTED)
    assert len(LISTED) <= MOST


def test_the_page_says_where_the_names_of_single_modules_are() -> None:
    told = re.findall(r"^\| `(realtime_trio\.\w+)` \| (.*) \|$", ELSEWHERE, re.MULTILINE)
    assert {(name, home) for home, row in told for name in re.findall(r"`(\w+)`", row)} >= set(
        _elsewhere.OF_MODULES.items()
    )
    for home, row in told:
        module = importlib.import_module(home)
        assert [name for name in re.findall(r"`(\w+)`", row) if not hasattr(module, name)] == []


def test_the_front_door_is_a_docstring_and_re_exports() -> None:
    docstring, *imports, typed = DOOR.body
    assert isinstance(docstring, ast.Expr)
    assert ast.get_docstring(DOOR)
    assert [ast.unparse(statement) for statement in imports] == [
        "import typing as _typing",
        "from realtime_trio import _elsewhere as _elsewhere",
    ]
    assert typed is TYPED
    assert ast.unparse(TYPED.test) == "_typing.TYPE_CHECKING"
    assert TYPED.body == IMPORTS  # and nothing more


def test_names_are_loaded_from_where_type_checkers_see_them() -> None:
    loaded = vars(realtime_trio)["_names"]
    packages = {name: f"realtime_trio.{name}" for name in ("audio", "events", "tools")}
    unlisted = {name: f"realtime_trio.{name}" for name in ("connection", "errors", "recording")}
    assert loaded == EXPORTS | packages | unlisted
    for name, home in loaded.items():
        module = importlib.import_module(home)
        value = getattr(realtime_trio, name)
        assert value is (module if name in packages | unlisted else getattr(module, name))


def test_every_re_export_says_x_as_x() -> None:
    assert [
        alias.name
        for statement in IMPORTS
        for alias in statement.names
        if alias.asname != alias.name
    ] == []


def test_every_re_export_comes_from_inside_and_only_once() -> None:
    assert [
        statement.module
        for statement in IMPORTS
        if statement.level == 0 and (statement.module or "").split(".")[0] != "realtime_trio"
    ] == []
    assert len(EXPORTS) == sum(len(statement.names) for statement in IMPORTS)


def test_the_version_is_the_installed_one() -> None:
    assert realtime_trio.__version__ == importlib.metadata.version("realtime-trio")


@pytest.mark.parametrize("name", sorted(LISTED))
def test_every_public_name_is_documented(name: str) -> None:
    value = getattr(realtime_trio, name)
    if inspect.isclass(value) or inspect.isroutine(value):
        assert (value.__doc__ or "").strip()
    else:
        assert name in documented_assignments(home_of(name, realtime_trio))


def test_what_does_not_travel_is_listed() -> None:
    derived = {
        name
        for name in _elsewhere.public_names(utility_events)
        if home_of(name, utility_events) is utility_events
        and getattr(utility_events, name) is getattr(realtime_trio, name, None)
    }
    assert set(_elsewhere.DERIVED) == derived | {"ConversationItem", "TranscriptSegment"}
    assert list(_elsewhere.DERIVED) == sorted(_elsewhere.DERIVED)
