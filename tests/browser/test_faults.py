"""What can go wrong with a simulator at the press of a button, and how the page takes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser_pages import (
    GREETING,
    OpenPage,
    choose_mode,
    connect,
    event_row,
    expect,
    item,
    open_panel,
    run_console,
    write_message,
    write_script,
)


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ("Drop the line", "The session has ended: 1006"),
        ("Session expires", "The session has ended: 1001 session_expired"),
        ("Close with", "The session has ended: 1011 from the console"),
    ],
)
def test_a_lost_session_is_seen_and_another_one_begins(
    open_page: OpenPage, tmp_path: Path, fault: str, state: str
) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url)
        connect(page)
        expect(item(page, "model")).to_contain_text(GREETING)
        open_panel(page, "Faults").get_by_role("button", name=re.compile(f"^{fault}")).click()
        expect(page.locator(".state")).to_contain_text(state)
        expect(page.locator(".talk")).to_be_disabled()
        connect(page)
        expect(item(page, "model")).to_contain_text(GREETING)


def test_an_error_is_seen_and_the_session_goes_on(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path, "Still here.")) as url:
        page = open_page(url)
        choose_mode(page, "Push to talk")
        connect(page)
        open_panel(page, "Faults").get_by_role("button", name="Error event").click()
        error = event_row(page, "error")
        expect(error).to_contain_text("An error was asked for in the console.")
        write_message(page, "Are you there?")
        expect(item(page, "model").filter(has_text="Still here.")).to_be_visible()


def test_a_broken_message_is_seen_as_it_was(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path, "Hm.")) as url:
        page = open_page(url)
        choose_mode(page, "Push to talk")
        connect(page)
        expect(event_row(page, "rate_limits.updated")).to_be_visible()
        open_panel(page, "Faults").get_by_role("button", name="Corrupt").click()
        write_message(page, "Are you there?")
        row = event_row(page, "(not an event)")
        expect(row).to_contain_text('{"type":"')
        row.locator(".row-head").click()
        expect(page.locator(".row-detail")).to_contain_text('{"type":"')


def test_without_the_token_there_is_nothing_to_see(open_page: OpenPage) -> None:
    with run_console() as url:
        page = open_page(url.partition("#")[0] + "#wrong", forgives=["401"])
        expect(page.locator("#conversation")).to_contain_text("no valid token")


def test_the_token_leaves_the_address_and_survives_a_reload(open_page: OpenPage) -> None:
    with run_console() as url:
        page = open_page(url)
        expect(page.locator(".source")).to_have_text("simulator")
        assert "#" not in page.url
        page.reload()
        expect(page.locator(".source")).to_have_text("simulator")
        connect(page)
