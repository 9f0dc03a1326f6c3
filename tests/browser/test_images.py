"""Images that go with what one says: chosen, pasted and dropped."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser_pages import (
    OpenPage,
    choose_mode,
    connect,
    expect,
    hand_over,
    item,
    run_console,
    save_recording,
    write_message,
    write_script,
)

from realtime_trio.events import ConversationItemCreate, InputImage, UserMessage

if TYPE_CHECKING:
    from playwright.sync_api import Page


def png(width: int, height: int) -> bytes:
    """A blue picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + check

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    rows = (b"\0" + b"\x1a\x5f\xc4" * width) * height
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


PICTURE = png(1280, 960)
"""Larger than what a model sees, so that the page makes it smaller."""


def give(page: Page, how: str, data: bytes = PICTURE) -> None:
    if how == "choose":
        chosen: Any = {"name": "square.png", "mimeType": "image/png", "buffer": data}
        page.set_input_files('input[accept^="image"]', files=[chosen])
    else:
        hand_over(page, "paste" if how == "paste" else "drop", "square.png", "image/png", data)


@pytest.mark.parametrize("how", ["choose", "paste", "drop"])
def test_an_image_goes_with_the_message(open_page: OpenPage, tmp_path: Path, how: str) -> None:
    with run_console("--script", write_script(tmp_path, "A blue square.")) as url:
        page = open_page(url)
        choose_mode(page, "Push to talk")
        connect(page)
        give(page, how)
        # It is seen before it is sent ...
        preview = page.get_by_role("button", name="Remove the image")
        expect(preview.get_by_role("img", name="Image to send")).to_be_visible()
        expect(page.get_by_placeholder("Type a message")).to_be_focused()
        write_message(page, "What is this?")
        # ... in what was said ...
        said = item(page, "you").last
        expect(said).to_contain_text("What is this?")
        expect(said.get_by_role("img", name="Image that was sent")).to_be_visible()
        expect(preview).to_be_hidden()
        # ... and it is answered.
        expect(item(page, "model").filter(has_text="A blue square.")).to_be_visible()
        shown = said.get_by_role("img").evaluate(
            "image => [image.naturalWidth, image.naturalHeight]"
        )
        assert shown == [1024, 768]
        recording = save_recording(page, tmp_path)
    (parts,) = [
        record.event.item.content
        for record in recording.records
        if isinstance(record.event, ConversationItemCreate)
        if isinstance(record.event.item, UserMessage)
        if len(record.event.item.content) > 1
    ]
    assert isinstance(parts[0], InputImage)
    assert str(parts[0].image_url).startswith("data:image/png;base64,")


def test_an_image_may_be_all_that_is_said(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path, "A blue square.")) as url:
        page = open_page(url)
        choose_mode(page, "Push to talk")
        connect(page)
        give(page, "paste")
        page.get_by_role("button", name="Remove the image").click()
        expect(page.get_by_role("button", name="Remove the image")).to_be_hidden()
        give(page, "drop")
        expect(page.get_by_role("img", name="Image to send")).to_be_visible()
        page.get_by_role("button", name="Send", exact=True).first.click()
        expect(item(page, "you").last.get_by_role("img")).to_be_visible()
        expect(item(page, "model").filter(has_text="A blue square.")).to_be_visible()


@pytest.mark.parametrize("how", ["choose", "paste", "drop"])
def test_what_is_no_image_is_said_to_be_none(open_page: OpenPage, tmp_path: Path, how: str) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url)
        choose_mode(page, "Push to talk")
        connect(page)
        give(page, how, b"no")
        expect(page.get_by_text("square.png is not an image that can be shown.")).to_be_visible()
        expect(page.get_by_role("button", name="Remove the image")).to_be_hidden()


@pytest.mark.parametrize("how", ["paste", "drop"])
def test_an_image_needs_a_conversation(open_page: OpenPage, tmp_path: Path, how: str) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url)
        expect(page.get_by_role("button", name="Connect", exact=True)).to_be_enabled()
        give(page, how)
        expect(page.get_by_role("status").filter(has_text="Connect first")).to_be_visible()
        expect(page.get_by_role("button", name="Remove the image")).to_be_hidden()
