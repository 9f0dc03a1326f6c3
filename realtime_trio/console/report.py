"""A recording as a single HTML file, which shows it without a server and without a network.

Owns how the page, its scripts and styles, and the recording become one text.  The policy of the
file allows exactly these scripts and styles, by their hashes, and nothing from elsewhere.
"""

from __future__ import annotations

import hashlib
import html
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Final

from realtime_trio._protocol.json_text import write_json
from realtime_trio.console.linking import link
from realtime_trio.console.page_files import INDEX, PageFile, page_files
from realtime_trio.console.recorded import script_of, setup_of, told_of
from realtime_trio.errors import LocalProtocolError
from realtime_trio.recording import Recording

_SCRIPT: Final = re.compile(
    r"""<script\s+type="module"\s+src="(?:\./|/)?page/(?P<path>[^"]+)"\s*>\s*</script>"""
)
_STYLE: Final = re.compile(
    r"""<link\s+rel="stylesheet"\s+href="(?:\./|/)?page/(?P<path>[^"]+)"\s*/?>"""
)
_ICON: Final = re.compile(
    r"""<link\s+rel="icon"\s+href="(?:\./|/)?page/(?P<path>[^"]+)"(?P<rest>[^>]*)>"""
)
_HEAD: Final = re.compile(r"<head[^>]*>")
_BODY_END: Final = re.compile(r"</body\s*>")
_ELSEWHERE: Final = re.compile(r"""(?:src|href)="(?!data:|#)(?P<url>[^"]+)\"""")
_TITLE: Final = re.compile(r"<title>[^<]*</title>")


def report_of(
    recording: Recording, title: str, *, files: Mapping[str, PageFile] | None = None
) -> str:
    """Make a report of a recording: the page of the console as one HTML file.

    It has all of the recording, but for the keys and other secrets that are left out of recordings,
    too; audio included, and every word that was said.  Blocks.

    Args:
        recording: What to show.
        title: What to call it.
        files: The files of the page; by default those of the package.

    Raises:
        LocalProtocolError: The page has something that cannot be put into one file.
    """
    files = page_files() if files is None else files
    page = files[INDEX].text
    scripts = [found["path"] for found in _SCRIPT.finditer(page)]
    if len(scripts) != 1:
        raise LocalProtocolError(f"{INDEX} should load one module, and loads {len(scripts)}")
    modules = {path: file.text for path, file in files.items() if path.endswith(".js")}
    script = link(modules, scripts[0])
    styles = [_style(files, found["path"]) for found in _STYLE.finditer(page)]
    if re.search(r"</(?:script|style)|<!--", "".join([script, *styles]), re.IGNORECASE):
        raise LocalProtocolError("a script or style of the page would end its own element")
    # The styles in the order of their elements, each in the place of its link.
    remaining = iter(styles)
    page = _STYLE.sub(lambda _: f"<style>{next(remaining)}</style>", page)
    page = _ICON.sub(lambda found: _icon(files, found["path"], found["rest"]), page)
    page = _SCRIPT.sub("", page)
    if (loaded := _ELSEWHERE.search(page)) is not None:
        raise LocalProtocolError(f"{INDEX} loads {loaded['url']}, which is not in a single file")
    page = _TITLE.sub(lambda _: f"<title>{html.escape(title)}</title>", page)
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_policy(script, styles)}">'
    page = _HEAD.sub(lambda head: f"{head[0]}\n{policy}", page, count=1)
    # Behind everything else, so that a browser has laid out the page before it reads the recording.
    data = (
        _data("setup", write_json({**setup_of(recording, title), "script": script_of(recording)}))
        + _data("messages", _list_of(told_of(recording)))
        + f'<script type="module">{script}</script>\n'
    )
    return _BODY_END.sub(lambda end: data + end[0], page, count=1)


def _style(files: Mapping[str, PageFile], path: str) -> str:
    if path not in files:
        raise LocalProtocolError(f"there is no style sheet {path}, which {INDEX} loads")
    text = files[path].text
    if re.search(r"@import|url\((?!['\"]?data:)", text):
        raise LocalProtocolError(f"{path} loads something, which a report cannot")
    return text


def _icon(files: Mapping[str, PageFile], path: str, rest: str) -> str:
    if path not in files:
        raise LocalProtocolError(f"there is no icon {path}, which {INDEX} loads")
    data = b64encode(files[path].data).decode()
    return f'<link rel="icon" href="data:{files[path].content_type};base64,{data}"{rest}>'


def _policy(script: str, styles: Iterable[str]) -> str:
    allowed = " ".join(_hash(style) for style in styles) or "'none'"
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(script)}",
            f"style-src {allowed}",
            "img-src data: blob:",
            "media-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _hash(text: str) -> str:
    # Browsers count the line breaks of an inline script as single newlines.
    data = text.replace("\r\n", "\n").replace("\r", "\n").encode()
    return f"'sha256-{b64encode(hashlib.sha256(data).digest()).decode()}'"


def _list_of(texts: Iterable[str]) -> str:
    return "[" + ",\n".join(texts) + "]"


def _data(name: str, json: str) -> str:
    # In JSON this character is found in strings alone, where it may be written so; as it is, it
    # could end the element.
    safe = json.replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{safe}</script>\n'
