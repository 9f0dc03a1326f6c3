"""A browser, what it hears, and the consoles that it opens: for the tests in tests/browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import attrs
import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio.audio import PCM_RATE, write_wav
from realtime_trio.money import default_prices
from realtime_trio.recording import Recording, read_recording
from realtime_trio.simulator.speech import synthesize_speech

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

OpenPage: TypeAlias = "Callable[..., Page]"
"""Opens a page in a browser of its own."""
CHROMIUMS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_READY: Final = 60.0
"""Seconds in which a console has printed its address, models loaded and all."""


def find_chromium() -> str | None:
    """The browser's program: that of `CHROMIUM`, or what is on PATH."""
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, CHROMIUMS)), None)


def expect(shown: Locator) -> Any:
    """Say what is to be seen, and wait until it is."""
    from playwright.sync_api import expect as playwright_expect

    return playwright_expect(shown)


# --- what the browser hears -----------------------------------------------------------------------


def silence(seconds: float) -> NDArray[np.int16]:
    return np.zeros(int(seconds * PCM_RATE), np.int16)


def spoken(seconds: float) -> NDArray[np.int16]:
    """One utterance: something that is taken for speech, without a pause at which it would end."""
    vowels = synthesize_speech("oaieau" * int(1 + 3 * seconds))
    return vowels[: int(seconds * PCM_RATE)]


def write_microphone(path: Path, *pieces: NDArray[np.int16]) -> Path:
    write_wav(path, np.concatenate(pieces))
    return path


# --- what the model says --------------------------------------------------------------------------

GREETING: Final = "Good day."
"""What every script begins with, since the page says hello."""


def write_script(
    folder: Path,
    *replies: Any,
    transcripts: list[str | None] | None = None,
    mcp_servers: tuple[Any, ...] = (),
) -> Path:
    """A script of what the model says after its greeting, and of what it understands."""
    path = folder / "script.json"
    pacing = {"tokens_per_second": 40, "audio_speed": 4, "time_to_first_event": 0.1}
    played = {
        "pacing": pacing,
        "replies": [GREETING, *replies],
        "transcripts": transcripts or [],
        "mcp_servers": mcp_servers,
        "transcription_delay": 0.05,
    }
    path.write_text(json.dumps(played), encoding="utf-8")
    return path


# --- consoles -------------------------------------------------------------------------------------


@contextmanager
def run_console(*arguments: str | os.PathLike[str]) -> Iterator[str]:
    """`realtime-trio console` as a process of its own; gives the address that it prints."""
    command = [sys.executable, "-m", "realtime_trio", "console", "--port", "0", "--no-browser"]
    with subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        watchdog = threading.Timer(_READY, process.kill)
        watchdog.start()
        try:
            address = _address_in(process)
            watchdog.cancel()
            yield address
        finally:
            watchdog.cancel()
            process.terminate()
            process.wait(_READY)


def _address_in(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"https?://\S+#\S+", line):
            return found[0]
    raise AssertionError(f"the console has not printed its address: {''.join(said)}")


@attrs.define
class Program:
    """A program that runs in a thread, while the test drives the browser."""

    url: str = ""
    """What it serves."""
    _token: trio.lowlevel.TrioToken | None = None
    _failure: BaseException | None = None

    def run(self, job: Callable[..., Awaitable[object]], *arguments: Any) -> object:
        """Let the program do something, and wait until it is done."""
        assert self._token is not None
        return trio.from_thread.run(job, *arguments, trio_token=self._token)


@contextmanager
def run_program(serve: Callable[[Callable[[str], None]], Awaitable[None]]) -> Iterator[Program]:
    """Run a trio program in a thread until the block ends.

    `serve` is told how to say its address, and is cancelled in the end.
    """
    program = Program()
    ready = threading.Event()
    scope = trio.CancelScope()

    def announce(url: str) -> None:
        program.url = url
        program._token = trio.lowlevel.current_trio_token()
        ready.set()

    async def main() -> None:
        with scope:
            await serve(announce)

    def work() -> None:
        try:
            trio.run(main)
        except BaseException as failure:  # noqa: ASYNC103
            program._failure = failure
        finally:
            ready.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        assert ready.wait(_READY), "the program has not said its address"
        yield program
    finally:
        if program._token is not None and thread.is_alive():
            with suppress(trio.RunFinishedError):  # it has ended by itself
                trio.from_thread.run_sync(scope.cancel, trio_token=program._token)
        thread.join(10)
    if program._failure is not None:
        raise program._failure


# --- what a person does with a page ---------------------------------------------------------------


def connect(page: Page) -> None:
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.locator(".state")).to_have_text("Connected")
    # From then on the session is as the page has asked for.
    expect(event_row(page, "session.updated").first).to_be_visible()


def event_row(page: Page, kind: str) -> Locator:
    """The rows of the log for this type of event, as far as they are scrolled into view."""
    return page.locator(".row").filter(has=page.locator(".row-type", has_text=exactly(kind)))


def exactly(words: str) -> re.Pattern[str]:
    return re.compile(f"^{re.escape(words)}$")


def item(page: Page, side: str) -> Locator:
    """The cards of the conversation of `you`, `model` or `tool`."""
    return page.locator(f".item-{side}")


def write_message(page: Page, text: str) -> None:
    page.get_by_placeholder("Type a message").fill(text)
    page.keyboard.press("Enter")


def choose_mode(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name).check()


def search_events(page: Page, words: str) -> None:
    page.get_by_role("searchbox", name="Search events").fill(words)


def drop_recording(page: Page, name: str, text: str) -> None:
    """Drop a file of text on the page."""
    hand_over(page, "drop", name, "", text.encode())


def hand_over(page: Page, how: Literal["drop", "paste"], name: str, kind: str, data: bytes) -> None:
    """Drop a file on the page, or paste it, where the focus is."""
    page.evaluate(_HAND_OVER, [how, name, kind, b64encode(data).decode()])


_HAND_OVER: Final = """([how, name, type, data]) => {
  const transfer = new DataTransfer();
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  transfer.items.add(new File([bytes], name, { type }));
  const target = document.activeElement ?? document.body;
  const options = { bubbles: true, cancelable: true };
  target.dispatchEvent(
    how === "drop"
      ? new DragEvent("drop", { ...options, dataTransfer: transfer })
      : new ClipboardEvent("paste", { ...options, clipboardData: transfer }),
  );
}"""


def open_panel(page: Page, name: str) -> Locator:
    page.get_by_role("tab", name=name).click()
    return page.get_by_role("tabpanel", name=name)


def expect_usage(page: Page, things: str) -> Locator:
    """See that so many things were counted, and priced where there is a price list; the panel."""
    panel = open_panel(page, "Usage")
    counted = r"\$0\.\d{4}" if default_prices() else r"[\d,]+ tokens"
    expect(panel.locator(".figure")).to_have_text(re.compile(f"^{counted} for {things}$"))
    return panel


def loudness(page: Page) -> float:
    """The loudest of the samples that have just reached the audio output, from 0 to 1."""
    return float(page.evaluate("loudness()"))


def wait_until_heard(page: Page) -> None:
    """Wait until samples that are not silence reach the audio output."""
    wait_until(page, lambda: loudness(page) > 0.02, "nothing is heard")


def wait_until_silent(page: Page) -> None:
    wait_until(page, lambda: loudness(page) < 0.001, "it is not silent")


def wait_until(page: Page, holds: Callable[[], bool], complaint: str) -> None:
    """Wait until something holds that is not to be seen in a page."""
    # Not `wait_for_function`, which the policy of the page does not let evaluate anything.
    for _ in range(600):
        if holds():
            return
        page.wait_for_timeout(50)
    raise AssertionError(complaint)


def save_recording(page: Page, folder: Path) -> Recording:
    """Save what the page has recorded, and read it as everybody else would."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save").click()
    path = folder / "saved.jsonl"
    download.value.save_as(path)
    return read_recording(path)
