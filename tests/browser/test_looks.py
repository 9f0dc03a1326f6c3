"""How the page looks: on every screen, in light and dark, and for those who do not see it.

Where PICTURES names a folder, the pictures of the documentation are put there.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser_pages import (
    OpenPage,
    choose_mode,
    connect,
    event_row,
    expect,
    item,
    open_panel,
    run_console,
    silence,
    spoken,
    wait_until_silent,
    write_message,
    write_microphone,
    write_script,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
STORY = (
    "Once upon a time there was a small robot that wanted to count the stars. Every night it sat "
    "on a hill and counted, one after the other, until the sun came up and it had to begin again."
)
SCREENS: dict[str, dict[str, Any]] = {
    "desktop": {"size": (1440, 900)},
    "desktop-dark": {"size": (1440, 900), "dark": True},
    "tablet": {"size": (1024, 768)},
    "phone": {"size": (390, 844), "touch": True},
    "phone-dark": {"size": (360, 740), "dark": True, "touch": True},
}


def take_picture(page: Page, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        page.mouse.move(0, 0)
        page.screenshot(path=Path(folder) / f"{name}.png")


def talk(page: Page) -> None:
    """Have a conversation that shows what there is to see."""
    page.get_by_role("button", name="Connect and say hello").click()
    story = item(page, "model").filter(has_text="Once upon a time")
    expect(story).to_contain_text("interrupted")
    expect(item(page, "model").filter(has_text="What would you like to hear?")).to_be_visible()
    choose_mode(page, "Push to talk")
    write_message(page, "Remember that I like stars, and show me Reykjavik.")
    expect(item(page, "model").filter(has_text="The sky is dark there.")).to_be_visible()


def script(folder: Path) -> Path:
    calls = [
        {"name": "set_memory", "arguments": {"key": "likes", "value": "stars"}},
        {"name": "show_place", "arguments": {"place": "Reykjavik"}},
    ]
    return write_script(
        folder,
        STORY,
        "Of course. What would you like to hear?",
        {"calls": calls},
        "The sky is dark there. You would see a lot of them.",
        transcripts=["Tell me a story about stars.", "Wait a moment."],
    )


def microphone(folder: Path) -> Path:
    # The story takes 13 s, and begins late on a machine that is busy.
    pieces = [silence(4), spoken(1.8), silence(8), spoken(1.2), silence(60)]
    return write_microphone(folder / "microphone.wav", *pieces)


@pytest.mark.parametrize("screen", SCREENS)
def test_everything_has_its_place_on_every_screen(
    open_page: OpenPage, tmp_path: Path, screen: str
) -> None:
    options = SCREENS[screen]
    is_phone = options["size"][0] < 760
    with run_console("--script", script(tmp_path)) as url:
        page = open_page(url, microphone=microphone(tmp_path), **options)
        expect(page.get_by_role("button", name="Connect and say hello")).to_be_visible()
        check_layout(page)
        take_picture(page, f"{screen}-start")
        talk(page)
        take_picture(page, screen)
        check_layout(page)
        for view in ("Events", "Timeline", "Details") if is_phone else ():
            page.get_by_role("navigation").get_by_role("button", name=view).click()
            check_layout(page)
            take_picture(page, f"{screen}-{view.lower()}")


LAYOUT = """() => {
  const problems = [];
  const width = document.documentElement.clientWidth;
  const height = document.documentElement.clientHeight;
  if (document.documentElement.scrollWidth > width) problems.push("the page scrolls sideways");
  if (document.documentElement.scrollHeight > height) problems.push("the page scrolls down");
  for (const element of document.querySelectorAll("button, input, select, section, .state")) {
    if (!element.checkVisibility({ opacityProperty: true })) continue;
    if (element.closest(".sr, .conversation-scroller, .log-scroller, .panel, .tabs")) continue;
    const box = element.getBoundingClientRect();
    if (box.width === 0) continue;
    if (box.left < -1 || box.right > width + 1 || box.top < -1 || box.bottom > height + 1)
      problems.push(`${element.className || element.id || element.tagName} is cut off`);
  }
  return problems;
}"""


def check_layout(page: Page) -> None:
    assert page.evaluate(LAYOUT) == []


WIDTHS = (360, 390, 600, 760, 761, 768, 834, 900, 1000, 1001, 1024, 1180, 1181, 1280, 1440)
OVERLAPS = """() => {
  const problems = [];
  const parts = [...document.querySelectorAll(
    "#header .logo, #header h1 span:last-child, .source, .state, .header-tools > button, " +
    ".choices select, .dock-middle > *, .log-tools > *, .section-head > *",
  )].filter((part) => part.checkVisibility() && getComputedStyle(part).clipPath === "none");
  // A word that is too long for its box sticks out of it.
  const extent = (part) => {
    const words = document.createRange();
    words.selectNodeContents(part);
    const [box, inside] = [part.getBoundingClientRect(), words.getBoundingClientRect()];
    return { ...box.toJSON(), right: Math.max(box.right, inside.right) };
  };
  const boxes = parts.map(extent);
  parts.forEach((part, i) => {
    for (let j = i + 1; j < parts.length; j += 1) {
      const [a, b] = [boxes[i], boxes[j]];
      const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (part.contains(parts[j]) || width < 1 || height < 1) continue;
      problems.push(`${part.className || part.id} covers ${parts[j].className || parts[j].id}`);
    }
  });
  for (const input of document.querySelectorAll("input[placeholder]")) {
    const style = getComputedStyle(input);
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = style.font;
    const room = input.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    if (input.checkVisibility() && pen.measureText(input.placeholder).width > room)
      problems.push(`"${input.placeholder}" is cut off`);
  }
  return problems;
}"""


def test_nothing_covers_anything_else_at_any_width(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url)
        expect(page.get_by_role("button", name="Connect and say hello")).to_be_visible()
        problems = overlaps(page)
        choose_mode(page, "Push to talk")
        connect(page)
        problems += overlaps(page)
    assert problems == []


def overlaps(page: Page) -> list[str]:
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        found += [f"at {width} pixels {each}" for each in page.evaluate(OVERLAPS)]
    return found


@pytest.mark.parametrize("screen", ["desktop", "desktop-dark", "phone"])
def test_everybody_can_use_it(open_page: OpenPage, tmp_path: Path, screen: str) -> None:
    """Names, roles, keyboard and contrast, as far as a program can judge them."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed: nox -s browser does that where npm is")
    with run_console("--script", script(tmp_path)) as url:
        page = open_page(url, microphone=microphone(tmp_path), **SCREENS[screen], tools=[AXE])
        expect(page.get_by_role("button", name="Connect and say hello")).to_be_visible()
        assert violations(page) == []
        talk(page)
        assert violations(page) == []
        if screen == "phone":
            for view in ("Timeline", "Events", "Details"):
                page.get_by_role("navigation").get_by_role("button", name=view).click()
                assert violations(page) == [], view
        else:
            event_row(page, "rate_limits.updated").last.locator(".row-head").click()
        for name in ("Latency", "Usage", "Session", "Tools", "Send", "Faults"):
            open_panel(page, name)
            page.wait_for_timeout(400)  # the panels rest between two drawings
            assert violations(page) == [], name


def violations(page: Page) -> list[str]:
    found = page.evaluate("axe.run()")
    return [
        f"{each['id']}: {node['html'][:200]} {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


def test_who_wants_no_movement_gets_none(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path, STORY)) as url:
        page = open_page(url, still=True)
        choose_mode(page, "Push to talk")
        connect(page)
        write_message(page, "Tell me a story.")
        expect(item(page, "model").filter(has_text="robot")).to_be_visible()
        styles = page.locator(".bars-model span").first
        assert styles.evaluate("bar => getComputedStyle(bar).transitionDuration") == "0s"
        expect(page.locator(".bars-model")).to_have_attribute("data-sounds", "true")
        shapes = {styles.evaluate("bar => bar.style.transform") for _ in range(5)}
        assert len(shapes) == 1
        wait_until_silent(page)


def test_the_keyboard_reaches_everything(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url)
        connect(page)
        page.locator("body").click(position={"x": 3, "y": 3})
        reached = set()
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.add(page.evaluate(FOCUSED))
        wanted = {"Skip to the conversation", "Disconnect", "Listen", "Zoom in", "Search events"}
        wanted |= {"Pause", "Latency", "Message", "Add an image", "Events, oldest first"}
        assert wanted <= reached, wanted - reached


FOCUSED = """() => {
  const element = document.activeElement;
  return element.getAttribute("aria-label") ?? element.textContent.trim();
}"""


def test_pictures_of_single_parts(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", script(tmp_path)) as url:
        page = open_page(url, microphone=microphone(tmp_path))
        talk(page)
        wait_until_silent(page)
        page.get_by_role("button", name="Disconnect").click()
        page.get_by_role("button", name="Show everything").click()
        panel = open_panel(page, "Latency")
        expect(panel.locator(".figure")).to_contain_text(re.compile("median"))
        if folder := os.environ.get("PICTURES"):
            page.locator("#timeline").screenshot(path=Path(folder) / "timeline.png")
            page.locator("#panels").screenshot(path=Path(folder) / "latency.png")
