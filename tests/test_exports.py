"""The front door re-exports, and does nothing else; everything behind it is documented."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import itertools
from pathlib import Path
from types import ModuleType

import pytest

import realtime_trio

DOOR = ast.parse(Path(realtime_trio.__file__).read_text(encoding="utf-8"))
IMPORTS = [statement for statement in DOOR.body if isinstance(statement, ast.ImportFrom)]
EXPORTS = {
    alias.asname or alias.name: statement.module or ""
    for statement in IMPORTS
    for alias in statement.names
}


def documented_assignments(module: ModuleType) -> set[str]:
    """Names that are assigned at the top of a module with a docstring right under them, as type aliases and constants are."""
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
    for statement in ast.parse(inspect.getsource(module)).body:
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


def test_the_front_door_is_a_docstring_and_re_exports() -> None:
    docstring, *rest = DOOR.body
    assert isinstance(docstring, ast.Expr)
    assert ast.get_docstring(DOOR)
    assert [
        ast.unparse(statement) for statement in rest if not isinstance(statement, ast.ImportFrom)
    ] == []


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


def test_nothing_public_is_there_by_accident() -> None:
    public = {
        name
        for name, value in vars(realtime_trio).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public == {name for name in EXPORTS if not name.startswith("_")}


def test_the_version_is_the_installed_one() -> None:
    assert realtime_trio.__version__ == importlib.metadata.version("realtime-trio")


@pytest.mark.parametrize("name", sorted(name for name in EXPORTS if not name.startswith("_")))
def test_every_public_name_is_documented(name: str) -> None:
    value = getattr(realtime_trio, name)
    if inspect.isclass(value) or inspect.isroutine(value):
        assert (value.__doc__ or "").strip()
    else:
        assert name in documented_assignments(home_of(name, realtime_trio))
