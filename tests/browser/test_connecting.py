"""Connecting takes its time, and hands are fast: whatever comes in between does no harm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser_pages import (
    GREETING,
    OpenPage,
    choose_mode,
    connect,
    drop_recording,
    event_row,
    expect,
    item,
    open_panel,
    run_console,
    save_recording,
    search_events,
    spoken,
    write_message,
    write_microphone,
    write_script,
)

from realtime_trio.events import InputAudioBufferCommit, SessionConfig, SessionUpdate

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOLD_SPEAKER = """
const add = AudioWorklet.prototype.addModule;
globalThis.held = new Promise((resolve) => (globalThis.release = resolve));
AudioWorklet.prototype.addModule = async function (...given) {
  await held;
  return add.apply(this, given);
};
"""
"""The speaker is not ready before somebody says `release()`."""

MICROPHONE = """
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
globalThis.tracks = [];
globalThis.refusal = null;
globalThis.permission = Promise.resolve();
navigator.mediaDevices.getUserMedia = async (wish) => {
  await permission;
  if (refusal !== null) throw new DOMException("no", refusal);
  const stream = await ask(wish);
  tracks.push(...stream.getTracks());
  return stream;
};
"""
"""A browser that may be told to wait with the microphone (`permission`), or to refuse it
(`refusal`), and whose microphones (`tracks`) may be unplugged."""


@pytest.fixture
def held_speaker(tmp_path: Path) -> Path:
    path = tmp_path / "held_speaker.js"
    path.write_text(HOLD_SPEAKER)
    return path


@pytest.fixture
def handled_microphone(tmp_path: Path) -> Path:
    path = tmp_path / "handled_microphone.js"
    path.write_text(MICROPHONE)
    return path


def hang_up(page: Page) -> None:
    page.get_by_role("button", name="Disconnect").click()
    expect(page.locator(".state")).to_have_text("Disconnected")


def test_hanging_up_while_it_connects(
    open_page: OpenPage, tmp_path: Path, held_speaker: Path
) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url, tools=[held_speaker])
        page.get_by_role("button", name="Connect", exact=True).click()
        expect(page.locator(".state")).to_have_text("Connecting")
        hang_up(page)
        page.evaluate("release()")
        page.wait_for_timeout(500)  # so long nothing happens
        expect(page.locator(".state")).to_have_text("Disconnected")
        expect(page.locator(".count")).to_have_text("0 events")
        # And then it can be done again.
        connect(page)
        expect(item(page, "model")).to_contain_text(GREETING)


def test_two_clicks_connect_once(open_page: OpenPage, tmp_path: Path, held_speaker: Path) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url, tools=[held_speaker])
        page.get_by_role("button", name="Connect and say hello").dblclick()
        page.evaluate("release()")
        expect(item(page, "model")).to_contain_text(GREETING)
        expect(item(page, "you")).to_have_count(1)
        search_events(page, "session.created")
        expect(event_row(page, "session.created")).to_have_count(1)


def test_the_mode_is_chosen_while_it_connects(
    open_page: OpenPage, tmp_path: Path, held_speaker: Path
) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url, tools=[held_speaker])
        page.get_by_role("button", name="Connect", exact=True).click()
        expect(page.locator(".state")).to_have_text("Connecting")
        choose_mode(page, "Push to talk")
        page.evaluate("release()")
        expect(page.locator(".talk")).to_have_text("Hold to talk")
        expect(item(page, "model")).to_contain_text(GREETING)
        recording = save_recording(page, tmp_path)
    (update,) = [r.event for r in recording.records if isinstance(r.event, SessionUpdate)]
    assert isinstance(update.session, SessionConfig)
    audio = update.session.audio
    assert audio
    assert audio.input
    assert audio.input.turn_detection is None


def test_the_model_and_the_voice_are_those_that_were_chosen(
    open_page: OpenPage, tmp_path: Path
) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url)
        page.get_by_role("combobox", name="Model").select_option("gpt-realtime-2.1-mini")
        page.get_by_role("combobox", name="Voice").select_option("marin")
        connect(page)
        panel = open_panel(page, "Session")
        panel.get_by_text("All settings").click()
        expect(panel.locator(".json")).to_contain_text('"gpt-realtime-2.1-mini"')
        expect(panel.locator(".json")).to_contain_text('"voice": "marin"')
        expect(page.get_by_role("combobox", name="Voice")).to_have_value("marin")
        hang_up(page)
        assert save_recording(page, tmp_path).model == "gpt-realtime-2.1-mini"


def test_a_microphone_that_comes_after_hanging_up_is_let_go(
    open_page: OpenPage, tmp_path: Path, handled_microphone: Path
) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url, tools=[handled_microphone])
        page.evaluate("void (permission = new Promise((resolve) => (globalThis.allow = resolve)))")
        connect(page)
        expect(page.locator(".talk")).to_have_text("Allow microphone")
        expect(page.locator(".talk")).to_be_disabled()
        hang_up(page)
        page.evaluate("allow()")
        page.wait_for_timeout(500)  # so long it takes to come
        assert page.evaluate("tracks.map((track) => track.readyState)") == ["ended"]


def test_without_a_microphone_one_can_still_write(
    open_page: OpenPage, tmp_path: Path, handled_microphone: Path
) -> None:
    with run_console("--script", write_script(tmp_path, "It is noon.")) as url:
        page = open_page(url, tools=[handled_microphone])
        page.evaluate("refusal = 'NotAllowedError'")
        page.get_by_role("button", name="Connect", exact=True).click()
        why = "Connected, without a microphone: the browser does not allow it"
        expect(page.locator(".state")).to_have_text(why)
        expect(page.locator(".talk")).to_have_text("No microphone")
        expect(page.locator(".talk")).to_be_disabled()
        write_message(page, "What time is it?")
        expect(item(page, "model").filter(has_text="It is noon.")).to_be_visible()
        expect(page.locator(".state")).to_have_text(why)


def test_a_microphone_that_is_unplugged_is_looked_for(
    open_page: OpenPage, tmp_path: Path, handled_microphone: Path
) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url, tools=[handled_microphone])
        connect(page)
        expect(page.locator(".talk")).to_have_text("Listening")
        # There is another one.
        page.evaluate("tracks[0].dispatchEvent(new Event('ended'))")
        expect(page.locator(".talk")).to_have_text("Listening")
        page.wait_for_timeout(300)  # so long it takes to come
        assert page.evaluate("tracks.map((track) => track.readyState)") == ["ended", "live"]
        # And now there is none.
        page.evaluate("refusal = 'NotFoundError'; tracks[1].dispatchEvent(new Event('ended'))")
        why = "Connected, without a microphone: there is none"
        expect(page.locator(".state")).to_have_text(why)
        expect(page.locator(".talk")).to_have_text("No microphone")
        # It is plugged in again, and heard.
        change = "navigator.mediaDevices.dispatchEvent(new Event('devicechange'))"
        page.evaluate(f"refusal = null; {change}")
        expect(page.locator(".talk")).to_have_text("Listening")
        expect(page.locator(".state")).to_have_text("Connected")
        search_events(page, "append")
        count = page.locator(".count").inner_text()
        expect(page.locator(".count")).not_to_have_text(count)


def test_a_muted_microphone_is_heard_again_in_the_next_conversation(
    open_page: OpenPage, tmp_path: Path
) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url)
        connect(page)
        page.locator(".talk").click()
        expect(page.locator(".talk")).to_have_text("Unmute")
        hang_up(page)
        expect(page.locator(".talk")).to_have_text("Not connected")
        connect(page)
        expect(page.locator(".talk")).to_have_text("Listening")
        search_events(page, "append")
        expect(event_row(page, "input_audio_buffer.append").first).to_be_visible()


def test_a_recording_ends_the_conversation_and_stays(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url)
        connect(page)
        expect(item(page, "model")).to_contain_text(GREETING)
        hang_up(page)
        save_recording(page, tmp_path)
        recording = (tmp_path / "saved.jsonl").read_text()
        connect(page)
        drop_recording(page, "saved.jsonl", recording)
        expect(page.locator(".state")).to_have_text("Recorded")
        shown = page.locator(".count").inner_text()
        page.wait_for_timeout(500)  # so long nothing else comes
        expect(page.locator(".state")).to_have_text("Recorded")
        expect(page.locator(".count")).to_have_text(shown)
        expect(item(page, "model")).to_have_count(1)
        expect(page.locator(".talk")).to_have_text("Not connected")
        # And back.
        connect(page)
        expect(page.locator(".source")).to_have_text("simulator")


def test_of_two_files_the_last_is_shown(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url)
        connect(page)
        hang_up(page)
        save_recording(page, tmp_path)
        recording = (tmp_path / "saved.jsonl").read_text()
        # The first one takes long to read.
        page.evaluate(SLOW_FILE)
        drop_recording(page, "slow.jsonl", recording)
        drop_recording(page, "fast.jsonl", recording)
        expect(page.locator(".source")).to_have_text("recording · fast.jsonl")
        page.evaluate("readSlow()")
        page.wait_for_timeout(300)  # so long nothing happens
        expect(page.locator(".source")).to_have_text("recording · fast.jsonl")


SLOW_FILE = """() => {
  const read = Blob.prototype.text;
  const slow = new Promise((resolve) => (globalThis.readSlow = resolve));
  Blob.prototype.text = async function () {
    if (this.name === "slow.jsonl") await slow;
    return read.call(this);
  };
}"""


def test_who_looks_away_has_let_go_of_the_button(open_page: OpenPage, tmp_path: Path) -> None:
    played = write_script(tmp_path, "It is noon.", transcripts=["What time is it?"])
    microphone = write_microphone(tmp_path / "microphone.wav", spoken(60))
    with run_console("--script", played) as url:
        page = open_page(url, microphone=microphone)
        choose_mode(page, "Push to talk")
        connect(page)
        expect(item(page, "model")).to_contain_text(GREETING)
        page.locator(".talk").hover()
        page.mouse.down()
        expect(page.locator(".talk")).to_have_text("Release to send")
        page.wait_for_timeout(500)  # so long it is held
        page.evaluate("window.dispatchEvent(new Event('blur'))")
        expect(page.locator(".talk")).to_have_text("Hold to talk")
        page.mouse.up()
        expect(item(page, "model").filter(has_text="It is noon.")).to_be_visible()
        recording = save_recording(page, tmp_path)
    assert len([r for r in recording.records if isinstance(r.event, InputAudioBufferCommit)]) == 1


def test_what_the_service_does_not_like_is_said(open_page: OpenPage, tmp_path: Path) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url)
        connect(page)
        panel = open_panel(page, "Send")
        panel.get_by_label("Event as JSON").fill(
            '{"type": "conversation.item.delete", "item_id": "item_nobody_knows"}'
        )
        panel.get_by_role("button", name="Send", exact=True).click()
        expect(page.locator("#notice")).to_contain_text("item_nobody_knows")
        page.locator("#notice span").click()
        expect(page.locator("#notice")).to_have_text("")
        expect(page.locator(".state")).to_have_text("Connected")


def test_a_page_that_nobody_serves_shows_what_is_dropped(
    open_page: OpenPage, tmp_path: Path
) -> None:
    with run_console("--script", write_script(tmp_path)) as url:
        page = open_page(url)
        connect(page)
        expect(item(page, "model")).to_contain_text(GREETING)
        hang_up(page)
        save_recording(page, tmp_path)
        stranger = open_page(f"{url.partition('#')[0]}#wrong", forgives=["401"])
        expect(stranger.get_by_text("This address has no valid token.")).to_be_visible()
        drop_recording(stranger, "saved.jsonl", (tmp_path / "saved.jsonl").read_text())
        expect(item(stranger, "model")).to_contain_text(GREETING)
        expect(stranger.locator(".state")).to_contain_text("Recorded")
