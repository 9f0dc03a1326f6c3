"""JavaScript modules as one script, for a page that is a single file.

Owns the few forms of import and export that the page keeps to, which docs/console.md lists, and
nothing else of JavaScript: what stands between them is not looked at.

Theory of operation.  Every module becomes a function, in an order in which each comes behind those
that it imports, and returns an object of its exports.  An import becomes a line that takes the
names out of such an object.  Exports are constants once a module has run, except for those declared
with `let`, which are read when they are used by a getter, as the names of modules are.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Final

from realtime_trio.errors import LocalProtocolError

_IMPORT: Final = re.compile(
    r"^import\s+(?:\{(?P<names>[^}]*)\}|\*\s+as\s+(?P<all>[\w$]+))\s+from\s+"
    r"""(?P<quote>["'])(?P<path>[^"']+)(?P=quote);?[ \t]*$""",
    re.MULTILINE,
)
_BARE_IMPORT: Final = re.compile(
    r"""^import\s+(?P<quote>["'])(?P<path>[^"']+)(?P=quote);?[ \t]*$""", re.MULTILINE
)
_EXPORT: Final = re.compile(
    r"^export\s+(?P<declaration>(?:async\s+)?function\s*\*?|class|const)\s+(?P<name>[\w$]+)",
    re.MULTILINE,
)
_OTHER: Final = re.compile(r"^(?:import|export)\b[^(.\n]*", re.MULTILINE)
"""What begins like one of these and is none of the forms above."""


def link(modules: Mapping[str, str], main: str) -> str:
    """Make one script of a module and all that it imports.

    Args:
        modules: The sources by their paths, with slashes and without dots.
        main: The path of the module to begin with.

    Returns:
        A script that does what importing `main` would do; for a `<script type="module">`.

    Raises:
        LocalProtocolError: A module is missing, imports go in a circle, or an import or export has
            another form.
    """
    imports: dict[str, list[str]] = {}
    waiting = [main]
    while waiting:
        path = waiting.pop()
        if path in imports:
            continue
        if path not in modules:
            raise LocalProtocolError(f"there is no module {path}, which is to be linked")
        imports[path] = list(_imported_by(path, modules[path]))
        waiting += imports[path]
    try:
        order = list(TopologicalSorter(imports).static_order())
    except CycleError as error:
        raise LocalProtocolError(
            f"modules import each other: {' -> '.join(error.args[1])}"
        ) from None
    numbers = {path: number for number, path in enumerate(order)}
    parts = [_part(path, modules[path], numbers) for path in order]
    return "".join(['"use strict";\n', *parts])


def _imported_by(path: str, source: str) -> Iterator[str]:
    for pattern in (_IMPORT, _BARE_IMPORT):
        for found in pattern.finditer(source):
            yield _resolve(path, found["path"])


def _resolve(path: str, imported: str) -> str:
    if not imported.startswith("."):
        raise LocalProtocolError(
            f"{path} imports {imported!r}; a module of the page imports others by relative paths"
        )
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), imported))


def _part(path: str, source: str, numbers: Mapping[str, int]) -> str:
    def taken(found: re.Match[str]) -> str:
        module = f"module{numbers[_resolve(path, found['path'])]}"
        if found["all"] is not None:
            return f"const {found['all']} = {module};"
        # In JavaScript a new name stands behind a colon here.
        names = re.sub(r"\s+as\s+", ": ", found["names"])
        return f"const {{{names}}} = {module};"

    exported: list[str] = []

    def declared(found: re.Match[str]) -> str:
        exported.append(found["name"])
        return f"{found['declaration']} {found['name']}"

    body = _EXPORT.sub(declared, _BARE_IMPORT.sub("", _IMPORT.sub(taken, source)))
    if (other := _OTHER.search(body)) is not None:
        raise LocalProtocolError(f"{path}: {other[0].strip()!r} is a form that cannot be linked")
    return (
        f"// {path}\nconst module{numbers[path]} = (() => {{\n{body}\n"
        f"return {{ {', '.join(exported)} }};\n}})();\n"
    )
