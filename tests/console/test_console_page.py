"""The page by itself: what it makes of records, in node; and what a browser is given of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from realtime_trio.console.page_files import page_files

UNITS = Path(__file__).parents[1] / "browser" / "units"
PAGE = page_files()
SCRIPTS = sorted(path for path in PAGE if path.endswith(".js"))
PURE = re.compile(r"(wire|state)/|audio/(pcm|g711|resampler|spectrum)\.js|talk/(?!call)")
"""What imports nothing of a browser, so that it can be tested without one."""


def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.lstrip("v").split(".")[0]) < 20:
        pytest.skip(f"node {version.stdout.strip()} is older than 20")
    return found


def test_what_the_page_makes_of_records() -> None:
    files = sorted(map(str, UNITS.glob("*.test.js")))
    assert files
    ran = subprocess.run([node(), "--test", *files], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("path", SCRIPTS)
def test_a_module_begins_by_saying_what_it_is(path: str) -> None:
    assert PAGE[path].text.startswith("// ")


@pytest.mark.parametrize("path", [path for path in SCRIPTS if PURE.match(path)])
def test_what_is_pure_imports_nothing_of_a_browser(path: str) -> None:
    imported = re.findall(r'^import .* from "(?P<path>[^"]+)";$', PAGE[path].text, re.MULTILINE)
    folder = Path(path).parent
    for relative in imported:
        target = (Path("/") / folder / relative).resolve().relative_to("/").as_posix()
        assert PURE.match(target), f"{path} imports {target}"


@pytest.mark.parametrize("path", SCRIPTS)
def test_what_comes_from_a_model_is_text(path: str) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", PAGE[path].text
    )


def test_nothing_comes_from_elsewhere() -> None:
    for path, file in PAGE.items():
        for address in re.findall(r"https?://[^\s\"'<>)]+", file.data.decode()):
            assert address.startswith("http://www.w3.org/"), f"{path} names {address}"
