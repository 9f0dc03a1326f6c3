"""A module that is asked for the name of another one says where it is, however it is asked."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

import realtime_trio
from realtime_trio import _elsewhere, audio, events, tools
from realtime_trio._elsewhere import DERIVED, homes, public_names

HOMES = homes(events, tools, audio)
ELSEWHERE = sorted(set(HOMES) - set(public_names(realtime_trio)))


def test_the_names_of_a_package_are_what_it_has_and_not_where() -> None:
    assert {"SessionUpdate", "UNSET"} <= set(public_names(events))
    assert not {"items", "config", "_elsewhere"} & set(public_names(events))


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_front_door_says_where_a_name_is(name: str) -> None:
    home = HOMES[name]
    sentence = f"^realtime_trio has no {name}: import it from {home}$"
    with pytest.raises(AttributeError, match=sentence):
        getattr(realtime_trio, name)
    with pytest.raises(ImportError, match=sentence):
        exec(f"from realtime_trio import {name}")
    exec(f"from {home} import {name}")


@pytest.mark.parametrize("name", DERIVED)
def test_the_events_say_that_a_name_does_not_travel(name: str) -> None:
    sentence = f"^{name} is derived, it does not travel: import it from realtime_trio$"
    with pytest.raises(AttributeError, match=sentence):
        getattr(events, name)
    with pytest.raises(ImportError, match=sentence):
        exec(f"from realtime_trio.events import {name}")
    exec(f"from realtime_trio import {name}")


@pytest.mark.parametrize("module", [realtime_trio, events])
def test_a_name_that_is_nowhere_is_missing_as_in_any_module(module: ModuleType) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'") as caught:
        _ = module.nothing
    assert (caught.value.name, caught.value.obj) == ("nothing", module)
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        exec(f"from {module.__name__} import nothing")


@pytest.mark.parametrize("module", [realtime_trio, events])
def test_tools_that_look_into_the_module_are_not_disturbed(module: ModuleType) -> None:
    absent = ELSEWHERE if module is realtime_trio else list(DERIVED)
    assert not any(hasattr(module, name) for name in [*absent, "__wrapped__"])
    assert not set(absent) & set(dir(module))
    everything: dict[str, object] = {}
    exec(f"from {module.__name__} import *", everything)
    assert set(public_names(module)) <= set(everything)


def test_a_stand_in_loads_its_module_once_something_of_it_is_used() -> None:
    program = """
import sys
from realtime_trio import _elsewhere

late = _elsewhere.module("colorsys")
assert late.__name__ == "colorsys"
assert "colorsys" not in sys.modules
assert late.ONE_THIRD == 1 / 3
assert late.ONE_THIRD is sys.modules["colorsys"].ONE_THIRD
assert "ONE_THIRD" in vars(late)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_stand_in_fails_as_its_module_does() -> None:
    with pytest.raises(AttributeError, match="module 'colorsys' has no attribute 'nothing'"):
        _ = _elsewhere.module("colorsys").nothing
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_module'"):
        _ = _elsewhere.module("no_such_module").anything
