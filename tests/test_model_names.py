"""Which models the documentation names: those of today, and the default of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from realtime_trio._protocol.kinds import DEFAULT_MODEL, DEFAULT_TRANSLATION_MODEL
from realtime_trio.simulator.serving.rest import MODELS

ROOT = Path(__file__).parent.parent
NAME = re.compile(r"\bgpt-realtime(?:-[0-9a-z]+(?:\.\d+)?)*")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*.*")),
]
SOURCES = sorted((ROOT / "realtime_trio").rglob("*.py"))
CURRENT = {DEFAULT_MODEL, f"{DEFAULT_MODEL}-mini", DEFAULT_TRANSLATION_MODEL}
ABOUT_OTHERS = {
    "simulator/serving/admission.py",  # what the service was seen to say
    "simulator/serving/rest.py",  # the models that there are
    "simulator/service/configuration.py",  # what they can do
}


def names_in(path: Path) -> set[str]:
    return set(NAME.findall(path.read_bytes().decode(errors="replace")))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_page_and_no_example_names_a_model_of_yesterday(path: Path) -> None:
    assert names_in(path) - CURRENT == set()


def test_no_docstring_and_no_default_names_one() -> None:
    found = {
        str(path.relative_to(ROOT / "realtime_trio")): stray
        for path in SOURCES
        if (stray := names_in(path) - CURRENT)
    }
    assert found.keys() - ABOUT_OTHERS == set()


def test_the_code_has_the_default_in_one_place() -> None:
    quoted = [path.name for path in SOURCES if f'"{DEFAULT_MODEL}"' in path.read_text("utf-8")]
    assert quoted == ["kinds.py"]


def test_the_simulator_knows_it_and_those_before() -> None:
    assert MODELS[0] == DEFAULT_MODEL
    assert {f"{DEFAULT_MODEL}-mini", "gpt-realtime", "gpt-realtime-mini"} < set(MODELS)


def test_a_stray_name_would_be_found() -> None:
    said = "`gpt-realtime`, gpt-realtime-mini. gpt-realtime-2.1-mini?"
    assert NAME.findall(said) == ["gpt-realtime", "gpt-realtime-mini", "gpt-realtime-2.1-mini"]
