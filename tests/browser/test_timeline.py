"""The timeline, and what is drawn from the times of events: seen, zoomed, listened to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from browser_pages import (
    OpenPage,
    choose_mode,
    connect,
    event_row,
    expect,
    expect_usage,
    item,
    open_panel,
    run_console,
    silence,
    spoken,
    wait_until_heard,
    wait_until_silent,
    write_message,
    write_microphone,
    write_script,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

STORY = (
    "Once upon a time there was a small robot that wanted to count the stars. Every night it sat "
    "on a hill and counted, one after the other, until the sun came up and it had to begin again."
)
"""Long enough to be interrupted on a busy machine, too."""

COLORS = """canvas => {
  const style = getComputedStyle(canvas);
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const found = {};
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  for (const name of ["you", "you-soft", "model", "model-soft", "tool", "bad"]) {
    probe.fillStyle = style.getPropertyValue("--" + name);
    probe.fillRect(0, 0, 1, 1);
    const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
    let count = 0;
    for (let i = 0; i < pixels.length; i += 4)
      if (pixels[i] === r && pixels[i + 1] === g && pixels[i + 2] === b) count += 1;
    found[name] = count;
  }
  return found;
}"""


def colors(page: Page) -> dict[str, int]:
    """How many pixels of the timeline have each of its colours."""
    found: dict[str, int] = page.locator("canvas").evaluate(COLORS)
    return found


def said(open_page: OpenPage, url: str, microphone: Path) -> Page:
    """A session that is over, in which both sides have spoken and a tool was called."""
    page = open_page(url, microphone=microphone)
    connect(page)
    expect(item(page, "you").filter(has_text="Tell me a story.")).to_be_visible()
    expect(item(page, "model").filter(has_text="stars.")).to_be_visible()
    wait_until_heard(page)
    choose_mode(page, "Push to talk")
    write_message(page, "Remember it.")
    expect(item(page, "model").filter(has_text="Done.")).to_be_visible()
    wait_until_silent(page)
    page.get_by_role("button", name="Disconnect").click()
    expect(page.locator(".state")).to_have_text("Disconnected")
    page.get_by_role("button", name="Show everything").click()
    return page


def story(folder: Path) -> Path:
    memory = {"name": "set_memory", "arguments": {"key": "story", "value": "stars"}}
    return write_script(folder, STORY, {"call": memory}, "Done.", transcripts=["Tell me a story."])


def microphone(folder: Path) -> Path:
    return write_microphone(folder / "microphone.wav", silence(4), spoken(1.5), silence(60))


def test_both_voices_speech_responses_tools_and_interruptions_are_drawn(
    open_page: OpenPage, tmp_path: Path
) -> None:
    with run_console("--script", story(tmp_path)) as url:
        page = said(open_page, url, microphone(tmp_path))
        page.wait_for_timeout(300)  # the picture rests for a few frames
        found = colors(page)
    assert min(found.values()) > 20, found


def test_one_listens_from_where_one_clicks(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", story(tmp_path)) as url:
        page = said(open_page, url, microphone(tmp_path))
        canvas = page.locator("canvas")
        box = canvas.bounding_box()
        assert box is not None
        canvas.click(position={"x": 3, "y": box["height"] - 20})
        expect(page.locator(".timeline-tools").get_by_text("Stop")).to_be_visible()
        wait_until_heard(page)
        # At that moment nothing else had been said.
        expect(item(page, "you").filter(has_text="Tell me a story.")).to_have_count(0)
        expect(page.locator(".where")).to_have_text(re.compile(r"^\d+\.\d\d of \d+\.\d\d$"))
        page.keyboard.press("Escape")
        wait_until_silent(page)
        page.get_by_role("button", name="To the end").click()
        expect(item(page, "you").filter(has_text="Tell me a story.")).to_be_visible()


def test_keys_move_and_zoom(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", story(tmp_path)) as url:
        page = said(open_page, url, microphone(tmp_path))
        slider = page.get_by_role("slider")
        slider.focus()
        end = float(slider.get_attribute("aria-valuenow") or "nan")
        page.keyboard.press("Home")
        expect(slider).to_have_attribute("aria-valuenow", "0.00")
        expect(page.locator(".items > li")).to_have_count(0)
        page.keyboard.press("ArrowRight")
        expect(slider).not_to_have_attribute("aria-valuenow", "0.00")
        wide = float(slider.get_attribute("aria-valuenow") or "nan")
        page.keyboard.press("Home")
        expect(slider).to_have_attribute("aria-valuenow", "0.00")
        for _ in range(3):
            page.keyboard.press("+")
        page.keyboard.press("ArrowRight")
        expect(slider).not_to_have_attribute("aria-valuenow", "0.00")
        narrow = float(slider.get_attribute("aria-valuenow") or "nan")
        assert abs(narrow - wide / 8) < 0.05
        page.keyboard.press("End")
        expect(slider).to_have_attribute("aria-valuenow", f"{end:.2f}")


def test_every_turn_has_its_waterfall(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", story(tmp_path)) as url:
        page = said(open_page, url, microphone(tmp_path))
        panel = open_panel(page, "Latency")
        turns = panel.locator(".turns > li")
        expect(turns.filter(has_text="after speech")).to_contain_text(
            re.compile(r"committed .* response created .* first audio .* first sample played")
        )
        expect(turns.filter(has_text="after a tool")).to_have_count(1)
        expect(panel.locator(".figure")).to_contain_text(re.compile(r"(ms|s) median of \d turns"))


def test_usage_is_counted_and_priced(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", story(tmp_path)) as url:
        page = open_page(url)
        connect(page)
        expect(event_row(page, "response.done").first).to_be_visible()
        panel = expect_usage(page, "1 response")
        audio = panel.get_by_role("row", name=re.compile("^audio"))
        expect(audio.get_by_role("cell").nth(2)).to_have_text(re.compile(r"^\d+$"))


def test_captions_are_seen_and_read_out(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", story(tmp_path)) as url:
        page = open_page(url)
        connect(page)
        expect(page.locator(".caption-model")).to_have_text("Good day.")
        expect(page.locator("[aria-live=polite]")).to_have_text("Assistant: Good day.")
