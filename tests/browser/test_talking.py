"""Talking in the browser: what is said is heard, answered aloud, and may be interrupted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

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
    save_recording,
    search_events,
    silence,
    spoken,
    wait_until_heard,
    wait_until_silent,
    write_message,
    write_microphone,
    write_script,
)

from realtime_trio._order import check_order
from realtime_trio.audio import PCM_RATE
from realtime_trio.events import (
    ConversationItemTruncate,
    InputAudioBufferCommit,
    InputAudioBufferSpeechStarted,
    ResponseCancel,
    ResponseOutputAudioDelta,
    SessionUpdate,
)

if TYPE_CHECKING:
    from playwright.sync_api import Page

STORY = (
    "Once upon a time there was a small robot that wanted to count the stars, and so it sat on a "
    "hill every night and counted, one after the other, until the sun came up and it had to begin "
    "again from the beginning."
)


def test_a_spoken_question_is_heard_answered_aloud_interrupted_and_truncated(
    open_page: OpenPage, tmp_path: Path
) -> None:
    played = write_script(
        tmp_path, STORY, "All right.", transcripts=["Tell me a story.", "Stop, please."]
    )
    microphone = write_microphone(
        tmp_path / "microphone.wav",
        silence(4),
        spoken(1.5),
        silence(6),
        spoken(1),
        silence(30),
    )
    with run_console("--script", played) as url:
        page = open_page(url, microphone=microphone)
        connect(page)
        expect(item(page, "model").first).to_contain_text(GREETING)
        wait_until_heard(page)
        # It is heard ...
        expect(item(page, "you").filter(has_text="Tell me a story.")).to_be_visible()
        # ... answered aloud ...
        story = item(page, "model").filter(has_text="Once upon a time")
        expect(story).to_be_visible()
        wait_until_heard(page)
        # ... and interrupted: the rest is not heard, and is shown so.
        expect(story).to_contain_text(re.compile(r"interrupted, \d+\.\d s heard"))
        expect(story.locator("s")).to_contain_text("from the beginning.")
        expect(item(page, "model").filter(has_text="All right.")).to_be_visible()
        expect(page.locator(".caption-model")).to_have_text("All right.")
        recording = save_recording(page, tmp_path)
    assert check_order(recording.records) == []
    cuts = [r for r in recording.records if isinstance(r.event, ConversationItemTruncate)]
    (cut,) = cuts[-1:]
    assert isinstance(cut.event, ConversationItemTruncate)
    pieces = [
        record
        for record in recording.records
        if isinstance(record.event, ResponseOutputAudioDelta)
        and record.event.item_id == cut.event.item_id
    ]
    heard = cut.event.audio_end_ms / 1000
    received = sum(
        len(piece.event.delta.data) / 2 / PCM_RATE
        for piece in pieces
        if isinstance(piece.event, ResponseOutputAudioDelta)
    )
    assert heard < received
    # It was played from when it came, and until the interruption; not for longer than it lasted.
    assert 0 < heard <= cut.time - pieces[0].time + 0.05
    started = [r for r in recording.records if isinstance(r.event, InputAudioBufferSpeechStarted)]
    assert started[-1].time <= cut.time < started[-1].time + 1
    # The service cancels by itself what a voice interrupts.
    assert not [r for r in recording.records if isinstance(r.event, ResponseCancel)]


def test_a_page_greets_and_says_how_it_stands(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url)
        expect(page.locator(".state")).to_have_text("Not connected")
        expect(page.locator(".source")).to_have_text("simulator")
        page.get_by_role("button", name="Connect and say hello").click()
        expect(page.locator(".state")).to_have_text("Connected")
        expect(item(page, "you").first).to_contain_text("Hello!")
        expect(item(page, "model").first).to_contain_text(GREETING)
        page.get_by_role("button", name="Disconnect").click()
        expect(page.locator(".state")).to_have_text("Disconnected")
        expect(page.get_by_role("button", name="Connect", exact=True)).to_be_enabled()
        expect(item(page, "model").first).to_contain_text(GREETING)
        # And again, from the beginning.
        connect(page)
        expect(item(page, "model")).to_have_count(1)


@pytest.mark.parametrize("hand", ["mouse", "touch", "space bar"])
def test_push_to_talk(open_page: OpenPage, tmp_path: Path, hand: str) -> None:
    played = write_script(tmp_path, "It is noon.", transcripts=["What time is it?"])
    microphone = write_microphone(tmp_path / "microphone.wav", spoken(60))
    with run_console("--script", played) as url:
        page = open_page(url, microphone=microphone, touch=hand == "touch")
        choose_mode(page, "Push to talk")
        connect(page)
        expect(item(page, "model").first).to_contain_text(GREETING)
        expect(page.locator(".talk")).to_have_text("Hold to talk")
        press(page, hand)
        expect(page.locator(".talk")).to_have_text("Release to send")
        expect(page.locator(".bars-you")).to_have_attribute("data-sounds", "true")
        page.wait_for_timeout(800)  # so long it is held
        let_go(page, hand)
        expect(page.locator(".talk")).to_have_text("Hold to talk")
        question = item(page, "you").filter(has_text="What time is it?")
        expect(question).to_be_visible()
        expect(question.get_by_role("button", name=re.compile("Play .* of audio"))).to_be_visible()
        expect(item(page, "model").filter(has_text="It is noon.")).to_be_visible()
        recording = save_recording(page, tmp_path)
    assert check_order(recording.records) == []
    assert len([r for r in recording.records if isinstance(r.event, InputAudioBufferCommit)]) == 1


def press(page: Page, hand: str) -> None:
    page.locator("body").click(position={"x": 5, "y": 5})
    if hand == "space bar":
        page.keyboard.down("Space")
    elif hand == "mouse":
        page.locator(".talk").hover()
        page.mouse.down()
    else:
        page.locator(".talk").dispatch_event("pointerdown", POINTER)


def let_go(page: Page, hand: str) -> None:
    if hand == "space bar":
        page.keyboard.up("Space")
    elif hand == "mouse":
        page.mouse.up()
    else:
        page.locator(".talk").dispatch_event("pointerup", POINTER)


POINTER = {"pointerId": 1, "pointerType": "touch", "button": 0, "isPrimary": True}


def test_pressing_the_button_interrupts(open_page: OpenPage, tmp_path: Path) -> None:
    played = write_script(tmp_path, STORY, "Yes?", transcripts=["Wait."])
    microphone = write_microphone(tmp_path / "microphone.wav", spoken(60))
    with run_console("--script", played) as url:
        page = open_page(url, microphone=microphone)
        choose_mode(page, "Push to talk")
        connect(page)
        write_message(page, "Tell me a story.")
        expect(item(page, "model").filter(has_text="robot")).to_be_visible()
        wait_until_heard(page)
        press(page, "space bar")
        expect(item(page, "model").filter(has_text="interrupted")).to_be_visible()
        wait_until_silent(page)
        page.wait_for_timeout(500)  # so long it is held
        let_go(page, "space bar")
        expect(item(page, "model").filter(has_text="Yes?")).to_be_visible()
        recording = save_recording(page, tmp_path)
    assert check_order(recording.records) == []


def test_the_mode_changes_while_connected(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url)
        connect(page)
        for name in ("Push to talk", "Semantic VAD", "Server VAD"):
            choose_mode(page, name)
        panel = open_panel(page, "Session")
        expect(panel.locator(".updates > li")).to_have_count(5)  # created, updated by us, thrice
        expect(panel.locator(".updates > li").first).to_contain_text("server_vad")
        recording = save_recording(page, tmp_path)
    updates = [
        record.event.session
        for record in recording.records
        if isinstance(record.event, SessionUpdate)
    ]
    assert len(updates) == 4


def test_a_muted_microphone_is_not_sent(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url)
        connect(page)
        expect(page.locator(".talk")).to_have_text("Listening")
        search_events(page, "append")
        expect(event_row(page, "input_audio_buffer.append").first).to_be_visible()
        page.locator(".talk").click()
        expect(page.locator(".talk")).to_have_text("Unmute")
        page.wait_for_timeout(300)  # what was on the way has come
        count = page.locator(".count").inner_text()
        page.wait_for_timeout(1000)
        assert page.locator(".count").inner_text() == count
        page.locator(".talk").click()
        expect(page.locator(".count")).not_to_have_text(count)


def test_what_is_written_is_answered(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path, "It is noon.")) as url:
        page = open_page(url)
        choose_mode(page, "Push to talk")
        connect(page)
        write_message(page, "What time is it?")
        expect(item(page, "you").last).to_contain_text("What time is it?")
        answer = item(page, "model").filter(has_text="It is noon.")
        expect(answer).to_be_visible()
        wait_until_silent(page)
        answer.get_by_role("button", name=re.compile("^Play")).click()
        wait_until_heard(page)


def test_an_item_can_be_deleted(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url)
        connect(page)
        card = item(page, "model").filter(has_text=GREETING)
        expect(card).to_be_visible()
        expect(event_row(page, "response.done").first).to_be_visible()
        card.hover()
        card.get_by_role("button", name="Delete this item").click()
        expect(card).to_have_count(0)


def test_the_tools_of_the_page_remember_and_show(open_page: OpenPage, tmp_path: Path) -> None:
    played = write_script(
        tmp_path,
        {
            "calls": [
                {"name": "set_memory", "arguments": {"key": "colour", "value": "blue"}},
                {"name": "show_place", "arguments": {"place": "Reykjavik"}},
            ]
        },
        "Done.",
    )
    with run_console("--script", played) as url:
        page = open_page(url)
        choose_mode(page, "Push to talk")
        connect(page)
        write_message(page, "Remember that I like blue, and show me Reykjavik.")
        expect(item(page, "tool").first).to_contain_text("set_memory")
        expect(item(page, "tool").last).to_contain_text("64.15")
        expect(item(page, "model").filter(has_text="Done.")).to_be_visible()
        panel = open_panel(page, "Tools")
        expect(panel).to_contain_text("colour")
        expect(panel).to_contain_text("blue")
        expect(panel).to_contain_text("64.15° N, 21.94° W")
        expect(
            panel.get_by_role("img", name="Map of the world with Reykjavik on it")
        ).to_be_visible()
        recording = save_recording(page, tmp_path)
    assert check_order(recording.records) == []


def test_a_voice_is_seen(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path, STORY)) as url:
        page = open_page(url)
        choose_mode(page, "Push to talk")
        connect(page)
        write_message(page, "Tell me a story.")
        expect(page.locator(".bars-model")).to_have_attribute("data-sounds", "true")
        expect(page.locator(".bars-you")).to_have_attribute("data-sounds", "false")


HOSTED = {
    "type": "session.update",
    "session": {
        "type": "realtime",
        "tools": [
            {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example/mcp"}
        ],
    },
}


def test_a_call_of_a_hosted_tool_waits_for_a_yes(open_page: OpenPage, tmp_path: Path) -> None:
    call = {
        "server_label": "docs",
        "name": "search",
        "arguments": {"query": "nursery"},
        "output": "A nursery holds tasks.",
        "approval": True,
    }
    server = {"label": "docs", "tools": [{"name": "search", "input_schema": {"type": "object"}}]}
    played = write_script(tmp_path, {"mcp": call}, "It holds tasks.", mcp_servers=(server,))
    with run_console("--script", played) as url:
        page = open_page(url)
        choose_mode(page, "Push to talk")
        connect(page)
        panel = open_panel(page, "Send")
        panel.get_by_label("Event as JSON").fill(json.dumps(HOSTED))
        panel.get_by_role("button", name="Send", exact=True).click()
        expect(item(page, "tool").filter(has_text="docs: tools")).to_be_visible()
        write_message(page, "What is a nursery?")
        request = item(page, "tool").filter(has_text="waits for you")
        expect(request).to_contain_text("nursery")
        request.get_by_role("button", name="Approve").click()
        expect(item(page, "tool").filter(has_text="approved")).to_be_visible()
        expect(item(page, "tool").filter(has_text="A nursery holds tasks.")).to_be_visible()
        expect(item(page, "model").filter(has_text="It holds tasks.")).to_be_visible()
        recording = save_recording(page, tmp_path)
    assert check_order(recording.records) == []
