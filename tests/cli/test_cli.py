"""The program itself: its name, its usage, and what is missing without its extra."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from commands import QUESTION, run

import realtime_trio
from realtime_trio import cli
from realtime_trio._misuse import without_extra

pytestmark = [
    pytest.mark.socket,
    pytest.mark.usefixtures("no_service_in_environment"),
]


@pytest.mark.parametrize(
    "arguments", [["say"], ["say", "missing.wav"], ["say", QUESTION, "--speed", "0"], ["sing"]]
)
def test_wrong_usage_is_2(arguments: Sequence[str]) -> None:
    assert run(*arguments) == 2


def test_the_module_is_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["whatever", "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(
            str(Path(realtime_trio.__file__).with_name("__main__.py")), run_name="__main__"
        )
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("realtime-trio, version ")


@pytest.mark.parametrize("package", ["click", "rich.console"])
def test_without_the_extra_the_program_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(cli.__file__)
    said = f"realtime-trio: {without_extra('the command line', package, 'cli')}"
    assert end.value.code == said
