"""The log of events: folded, opened, found, paused, saved, and sent again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from browser_pages import (
    OpenPage,
    choose_mode,
    connect,
    event_row,
    expect,
    item,
    open_panel,
    run_console,
    save_recording,
    search_events,
    write_message,
    write_script,
)

from realtime_trio.events import InputAudioBufferClear
from realtime_trio.simulator import load_script

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

ANSWER = "One, two, three, four, five, six, seven, eight, nine, ten."


def talked(open_page: OpenPage, url: str) -> Page:
    """A page on which something was said."""
    page = open_page(url)
    choose_mode(page, "Push to talk")
    connect(page)
    write_message(page, "Count to ten.")
    expect(item(page, "model").filter(has_text="ten.")).to_be_visible()
    expect(event_row(page, "rate_limits.updated").last).to_be_visible()
    return page


def detail(page: Page) -> Locator:
    return page.locator(".row-detail")


def test_events_have_arrows_times_and_counts(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path, ANSWER)) as url:
        page = talked(open_page, url)
        deltas = event_row(page, "response.output_audio_transcript.delta").last
        expect(deltas.locator(".row-count")).to_have_text(re.compile(r"×\d+"))
        expect(deltas.locator(".row-arrow")).to_have_text("↓")
        expect(deltas.locator(".row-time")).to_have_text(re.compile(r"^\d+\.\d\d$"))
        create = event_row(page, "response.create").last
        expect(create.locator(".row-arrow")).to_have_text("↑")


def test_an_event_opens_and_its_audio_is_trimmed(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path, ANSWER)) as url:
        page = talked(open_page, url)
        event_row(page, "response.output_audio.delta").last.locator(".row-head").click()
        expect(detail(page)).to_contain_text(re.compile(r"<[\d,]+ bytes of audio>"))
        expect(detail(page)).to_contain_text(re.compile(r"\d+ of \d+"))
        last = detail(page).inner_text()
        page.get_by_role("button", name="Previous event").click()
        expect(detail(page)).not_to_have_text(last)
        detail(page).get_by_role("button", name="Copy").click()
        copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
        assert copied["type"] == "response.output_audio.delta"
        assert len(copied["delta"]) > 100, "all of the audio is in what is copied"


def test_events_are_found_by_words_and_side(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path, ANSWER)) as url:
        page = talked(open_page, url)
        page.keyboard.press("Escape")
        page.locator(".talk").focus()
        page.keyboard.press("/")
        expect(page.get_by_role("searchbox")).to_be_focused()
        search_events(page, "count to ten")
        expect(page.locator(".count")).to_contain_text("rows found")
        expect(event_row(page, "conversation.item.create")).to_have_count(1)
        expect(event_row(page, "response.done")).to_have_count(0)
        page.get_by_label("Side").select_option("server")
        expect(event_row(page, "conversation.item.create")).to_have_count(0)
        expect(event_row(page, "conversation.item.added")).to_have_count(1)
        search_events(page, "nothing is called so")
        expect(page.locator("#log .empty")).to_have_text("No event is like that.")


def test_a_paused_log_stands_still_and_goes_on(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path, ANSWER, "More.")) as url:
        page = talked(open_page, url)
        page.get_by_role("button", name="Pause").click()
        expect(page.locator(".count")).to_contain_text("paused")
        created = event_row(page, "response.created").count()
        write_message(page, "More?")
        expect(item(page, "model").filter(has_text="More.")).to_be_visible()
        expect(page.locator(".count")).to_contain_text(re.compile(r"paused, \d+ more"))
        assert event_row(page, "response.created").count() == created
        page.get_by_role("button", name="Pause").click()
        expect(page.locator(".count")).not_to_contain_text("paused")


def test_scrolling_up_stops_the_log_from_following(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path, ANSWER, "More.")) as url:
        page = talked(open_page, url)
        scroller = page.locator(".log-scroller")
        scroller.hover()
        page.mouse.wheel(0, -5000)
        expect(event_row(page, "session.created")).to_be_visible()
        newest = page.get_by_role("button", name="Newest")
        expect(newest).to_be_visible()
        write_message(page, "More?")
        expect(item(page, "model").filter(has_text="More.")).to_be_visible()
        assert scroller.evaluate("log => log.scrollTop") == 0
        newest.click()
        expect(event_row(page, "rate_limits.updated").last).to_be_visible()
        expect(newest).to_be_hidden()


def test_keys_walk_through_the_log(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path, ANSWER)) as url:
        page = talked(open_page, url)
        page.locator(".log-scroller").focus()
        page.keyboard.press("Home")
        expect(event_row(page, "session.created")).to_have_attribute("aria-selected", "true")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(event_row(page, "session.update")).to_have_attribute("aria-expanded", "true")
        expect(detail(page)).to_contain_text("set_memory")
        page.keyboard.press("Enter")
        expect(detail(page)).to_have_count(0)


def test_what_is_saved_and_copied_is_what_was_said(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path, ANSWER)) as url:
        page = talked(open_page, url)
        recording = save_recording(page, tmp_path)
        assert recording.model == page.get_by_label("Model").input_value()
        assert recording.records[0].event.type == "session.created"
        page.get_by_role("button", name="Copy as script").click()
        expect(page.get_by_text("The script was copied.")).to_be_visible()
        script = tmp_path / "copied.json"
        script.write_text(page.evaluate("navigator.clipboard.readText()"))
    replies = load_script(script).script.replies
    assert len(replies) == 2
    assert ANSWER in script.read_text()


def test_an_event_is_checked_and_sent(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path, ANSWER)) as url:
        page = talked(open_page, url)
        panel = open_panel(page, "Send")
        editor = panel.get_by_label("Event as JSON")
        panel.get_by_label("Client event").select_option("input_audio_buffer.clear")
        expect(panel.get_by_role("status")).to_have_text("This is an event that a client may send.")
        panel.get_by_role("button", name="Send").click()
        expect(event_row(page, "input_audio_buffer.cleared")).to_be_visible()
        editor.fill('{"type": "session.close')
        expect(panel.get_by_role("status")).to_contain_text("This is not JSON")
        expect(panel.get_by_role("button", name="Send")).to_be_disabled()
        editor.fill('{"type": "conversation.item.truncate", "item_id": 7}')
        expect(panel.get_by_role("status")).to_contain_text("item_id")
        panel.get_by_role("button", name="Send anyway").click()
        expect(event_row(page, "error")).to_be_visible()
        recording = save_recording(page, tmp_path)
    assert any(isinstance(record.event, InputAudioBufferClear) for record in recording.records)


def test_an_event_goes_back_into_the_editor(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path, ANSWER)) as url:
        page = talked(open_page, url)
        search_events(page, "count to ten")
        event_row(page, "conversation.item.create").locator(".row-head").click()
        detail(page).get_by_role("button", name="Edit and send").click()
        expect(page.get_by_label("Event as JSON")).to_have_value(re.compile("Count to ten."))


def test_what_breaks_the_rules_is_marked(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path, ANSWER)) as url:
        page = talked(open_page, url)
        panel = open_panel(page, "Faults")
        panel.get_by_role("button", name="Duplicate the next item").click()
        expect(panel.get_by_role("status")).to_contain_text("on its way")
        write_message(page, "And again?")
        page.get_by_role("button", name="Problems").click()
        row = event_row(page, "conversation.item.added")
        expect(row.locator(".row-mark")).to_have_text("⚠")
        row.locator(".row-head").click()
        expect(detail(page)).to_contain_text("items are added once")
