"""The files of the page, as they are in the package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from attrs import field, frozen

INDEX: Final = "index.html"
"""The page itself, which names everything else."""
_TYPES: Final[Mapping[str, str]] = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "wav": "audio/wav",
    "woff2": "font/woff2",
}


@frozen
class PageFile:
    """A file that browsers may have."""

    content_type: str
    """What it is, as a header says it."""
    data: bytes = field(repr=False)
    """Its bytes."""

    @property
    def text(self) -> str:
        """The same as text."""
        return self.data.decode("utf-8")


@cache
def page_files() -> Mapping[str, PageFile]:
    """All files of the page, by their path below `page/`, with slashes.

    They are read once.  Blocks while that is done.
    """
    return dict(_walk(files("realtime_trio.console") / "page", ""))


def _walk(folder: Traversable, before: str) -> Iterator[tuple[str, PageFile]]:
    for entry in folder.iterdir():
        path = f"{before}{entry.name}"
        content_type = _TYPES.get(entry.name.rpartition(".")[2])
        if entry.is_dir():
            yield from _walk(entry, f"{path}/")
        # Nothing else is for browsers, such as what an editor or an operating system leaves behind.
        elif content_type is not None and not entry.name.startswith("."):
            yield path, PageFile(content_type, entry.read_bytes())
