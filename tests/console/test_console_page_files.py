"""The files of the page, as they are in the package."""

from __future__ import annotations

from pathlib import Path

from realtime_trio import console
from realtime_trio.console.page_files import page_files

FOLDER = Path(console.__file__).parent / "page"


def test_every_file_of_the_page_is_served() -> None:
    files = page_files()
    assert {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.*")} == set(files)
    assert files["index.html"].content_type.startswith("text/html")
    assert files["index.html"].text.startswith("<!doctype html>")
    assert page_files() is files
    assert "doctype" not in repr(files["index.html"])
