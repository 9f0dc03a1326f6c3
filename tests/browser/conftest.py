"""The browser of the tests of the page; without one they are skipped, and say why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser_pages import OpenPage, find_chromium, silence, write_microphone

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright, ViewportSize

_HERE = Path(__file__).parent
_PATIENCE = 30_000.0
"""Milliseconds for what the page is to show; a machine may be busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = _missing()
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.socket)
            if why is not None:
                item.add_marker(pytest.mark.skip(reason=why))


def _missing() -> str | None:
    """What is not there of all that these tests need."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "Playwright is not installed: nox -s browser has it"
    if find_chromium() is None:
        return "there is no browser: apt-get install chromium, or set CHROMIUM"
    return None


@pytest.fixture(scope="session")
def playwright_driver() -> Iterator[Playwright]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as driver:
        yield driver


@pytest.fixture
def open_page(playwright_driver: Playwright, tmp_path: Path) -> Iterator[OpenPage]:
    """Opens pages; whatever the browser complains about in them fails the test."""
    quiet = write_microphone(tmp_path / "quiet.wav", silence(120))
    browsers: list[Browser] = []
    complaints: list[str] = []
    forgiven: list[str] = []

    def complain(text: str) -> None:
        if not any(each in text for each in forgiven):
            complaints.append(text)

    def open_one(
        url: str,
        *,
        microphone: Path = quiet,
        size: tuple[int, int] = (1440, 900),
        dark: bool = False,
        touch: bool = False,
        still: bool = False,
        forgives: Iterable[str] = (),
        tools: Iterable[Path] = (),
        switches: Iterable[str] = (),
    ) -> Page:
        forgiven.extend(forgives)
        browser = playwright_driver.chromium.launch(
            executable_path=find_chromium(),
            args=[
                "--no-sandbox",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                "--autoplay-policy=no-user-gesture-required",
                f"--use-file-for-fake-audio-capture={microphone}%noloop",
                *switches,
            ],
        )
        browsers.append(browser)
        viewport: ViewportSize = {"width": size[0], "height": size[1]}
        context = browser.new_context(
            viewport=viewport,
            color_scheme="dark" if dark else "light",
            has_touch=touch,
            reduced_motion="reduce" if still else "no-preference",
            accept_downloads=True,
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(_PATIENCE)
        page = context.new_page()
        page.on("console", lambda said: complain(said.text))
        page.on("pageerror", lambda error: complaints.append(f"{error.message}\n{error.stack}"))
        for script in (_HERE / "ear.js", *tools):
            page.add_init_script(path=script)
        page.goto(url)
        return page

    yield open_one
    for browser in browsers:
        browser.close()
    assert complaints == []
