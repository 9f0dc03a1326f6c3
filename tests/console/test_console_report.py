"""A recording as a single HTML file."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from recordings import client, created, server

from realtime_trio import LocalProtocolError
from realtime_trio.console.page_files import PageFile
from realtime_trio.console.report import report_of
from realtime_trio.events import (
    ConversationItemCreate,
    ResponseCreate,
    ResponseOutputTextDelta,
    UserMessage,
)
from realtime_trio.recording import Recording

PAGE = (
    "<!doctype html>\n<html lang='en'><head><title>x</title>\n"
    '<link rel="stylesheet" href="page/a.css"><link rel="stylesheet" href="page/b.css" />\n'
    '<link rel="icon" href="page/icon.svg" type="image/svg+xml">\n'
    '<script type="module" src="page/main.js"></script></head>\n<body><main></main></body></html>\n'
)
FILES = {
    "index.html": PAGE,
    "main.js": 'import { show } from "./show.js";\nshow();\n',
    "show.js": "export function show() { document.title = 'x'; }\n",
    "icon.svg": "<svg/>",
    "a.css": "a { color: red }",
    "b.css": "b { background: url(data:image/png;base64,AA==) }",
}


def given(**changed: str) -> dict[str, PageFile]:
    files = FILES | {name.replace("_", "."): text for name, text in changed.items()}
    return {path: PageFile("x", text.encode()) for path, text in files.items()}


class Elements(HTMLParser):
    """The elements of a page, with their attributes and what stands in them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        # What comes now is in none of those that are found.
        self.found.append(("", {}, ""))

    def handle_data(self, data: str) -> None:
        if self.found:
            tag, attributes, before = self.found[-1]
            self.found[-1] = tag, attributes, before + data

    def data(self, identifier: str) -> Any:
        (text,) = [text for _, attrs, text in self.found if attrs.get("id") == identifier]
        return json.loads(text)

    def all(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attrs, text) for name, attrs, text in self.found if name == tag]


def recorded() -> Recording:
    evil = "</script><script>alert(1)</script><!-- \u2028 & \" '"
    delta = ResponseOutputTextDelta(
        event_id="e", response_id="r", item_id="i", output_index=0, content_index=0, delta=evil
    )
    return Recording.of(
        [
            *server(created()),
            *client(ConversationItemCreate(item=UserMessage.of(evil))),
            *server(delta),
        ]
    )


def test_a_report_has_the_recording_and_says_that_it_has_no_server() -> None:
    page = Elements(report_of(recorded(), "a.jsonl", files=given()))
    setup, messages = page.data("setup"), page.data("messages")
    assert (setup["source"], setup["inspect_url"], setup["title"]) == ("recording", None, "a.jsonl")
    assert setup["script"] == "{}"
    kinds = [message["kind"] for message in messages]
    assert kinds == ["state", "record", "record", "record", "end"]
    assert messages[3]["event"]["delta"].startswith("</script><script>alert(1)")
    # The delta belongs to no response.
    assert messages[3]["marks"] != []


def test_nothing_that_was_said_can_become_a_part_of_the_page() -> None:
    page = report_of(recorded(), "<script>", files=given())
    assert "alert(1)</script>" not in page
    assert "<title>&lt;script&gt;</title>" in page
    scripts = Elements(page).all("script")
    assert [attrs.get("type") for attrs, _ in scripts] == [
        "application/json",
        "application/json",
        "module",
    ]


def test_the_policy_allows_exactly_what_is_in_the_file() -> None:
    page = report_of(recorded(), "x", files=given())
    elements = Elements(page)
    (policy,) = [
        attrs["content"]
        for attrs, _ in elements.all("meta")
        if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    (script,) = [text for attrs, text in elements.all("script") if attrs.get("type") == "module"]
    assert rules["script-src"] == hashed(script)
    assert rules["style-src"].split() == [hashed(text) for _, text in elements.all("style")]
    assert (rules["default-src"], rules["base-uri"]) == ("'none'", "'none'")
    assert "unsafe" not in policy
    assert "http" not in policy
    # Before anything that it is to hold for.
    assert page.index("Content-Security-Policy") < page.index("<style")


def hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_file_loads_nothing() -> None:
    page = report_of(recorded(), "x", files=given())
    assert re.findall(r"""(?:src|href)=["'](?!data:)""", page) == []
    assert [text for _, text in Elements(page).all("style")] == [FILES["a.css"], FILES["b.css"]]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (given(index_html="<head></head>"), "loads 0"),
        (given(index_html=PAGE.replace("a.css", "c.css")), r"no style sheet c\.css"),
        (given(index_html=PAGE.replace("icon.svg", "no.svg")), r"no icon no\.svg"),
        (given(a_css="@import 'b.css';"), r"a\.css loads something"),
        (given(a_css="a { src: url(x.woff2) }"), r"a\.css loads something"),
        (given(a_css="</style>"), "end its own element"),
        (given(main_js="const x = '</SCRIPT>';"), "end its own element"),
        (given(main_js="x <!--y"), "end its own element"),
        (given(index_html=PAGE.replace("<main>", '<img src="x.png">')), r"loads x\.png"),
    ],
)
def test_what_cannot_be_in_one_file_is_named(files: dict[str, PageFile], problem: str) -> None:
    with pytest.raises(LocalProtocolError, match=problem):
        report_of(recorded(), "x", files=files)


def test_a_page_without_styles_allows_none() -> None:
    plain = re.sub(r"<link[^>]*>", "", PAGE)
    assert "style-src 'none'" in report_of(recorded(), "x", files=given(index_html=plain))


def test_the_page_of_the_package_makes_a_report() -> None:
    page = report_of(Recording.of(client(ResponseCreate())), "x")
    assert len(Elements(page).data("messages")) == 3
