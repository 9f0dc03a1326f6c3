"""Sessions that are not the page's own: of a program, in a recording, and in a report."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from browser_pages import (
    OpenPage,
    drop_recording,
    event_row,
    expect,
    expect_usage,
    item,
    open_panel,
    run_console,
    run_program,
    save_recording,
    wait_until_heard,
)
from simulated import open_simulated

from realtime_trio import Session, open_session, tool
from realtime_trio.audio import PCM_RATE
from realtime_trio.console import open_inspector, report_of
from realtime_trio.console.recorded import script_of
from realtime_trio.events import ConversationItemInputAudioTranscriptionCompleted
from realtime_trio.recording import read_recording
from realtime_trio.simulator import (
    LIFELIKE,
    Reply,
    Script,
    SimulatedServer,
    open_simulator_transport,
)
from realtime_trio.simulator.speech import synthesize_speech

if TYPE_CHECKING:
    from playwright.sync_api import Page

QUESTION = "What is the capital of France?"
ANSWER = "Paris is the capital of France, and lies on the Seine."
SPEECH = synthesize_speech(QUESTION)
PIECE = PCM_RATE // 10


def test_a_program_is_followed_while_it_runs(open_page: OpenPage) -> None:
    sessions: list[Session] = []

    async def serve(announce: Callable[[str], None]) -> None:
        async with (
            open_simulated(Reply.text("One."), Reply.text("Two.")) as session,
            open_inspector(session, prints=False) as inspector,
        ):
            sessions.append(session)
            announce(inspector.url)
            await trio.sleep_forever()

    with run_program(serve) as program:
        page = open_page(program.url)
        expect(page.locator(".source")).to_contain_text("attached")
        expect(page.locator(".state")).to_have_text("Following")
        expect(page.locator("#dock")).to_be_hidden()
        expect(event_row(page, "session.created")).to_be_visible()
        program.run(sessions[0].send_message, "Count.")
        expect(item(page, "you")).to_contain_text("Count.")
        expect(item(page, "model")).to_contain_text("One.")
        # Looking is all that was allowed.
        expect(page.get_by_role("button", name="Delete this item")).to_have_count(0)
    expect(page.locator(".state")).to_contain_text("Over")
    expect(item(page, "model")).to_contain_text("One.")


def test_a_page_may_act_if_the_program_lets_it(open_page: OpenPage) -> None:
    async def serve(announce: Callable[[str], None]) -> None:
        async with (
            open_simulated(Reply.text("As you wish.")) as session,
            open_inspector(session, prints=False, may_act=True) as inspector,
        ):
            announce(inspector.url)
            await trio.sleep_forever()

    with run_program(serve) as program:
        page = open_page(program.url)
        panel = open_panel(page, "Send")
        panel.get_by_label("Client event").select_option("response.create")
        panel.get_by_role("button", name="Send").click()
        expect(item(page, "model")).to_contain_text("As you wish.")
        item(page, "model").hover()
        item(page, "model").get_by_role("button", name="Delete this item").click()
        expect(item(page, "model")).to_have_count(0)


def test_a_page_reckons_as_the_program_does(open_page: OpenPage, tmp_path: Path) -> None:
    """Transcriptions, two of their models, and a model whose name has a date: as `session.cost`."""
    pytest.importorskip("genai_prices")
    sessions: list[Session] = []
    script = Script([Reply.text(ANSWER)] * 2, transcripts=[QUESTION] * 2)
    server = SimulatedServer(script, model="gpt-realtime-2026-11-30")

    async def serve(announce: Callable[[str], None]) -> None:
        async with (
            open_simulator_transport(server) as transport,
            open_session(
                "gpt-realtime",
                transport=transport,
                turn_detection=None,
                transcription="gpt-4o-mini-transcribe",
            ) as session,
            open_inspector(session, prints=False) as inspector,
        ):
            sessions.append(session)
            announce(inspector.url)
            await trio.sleep_forever()

    async def ask(session: Session) -> None:
        for transcriber in ("gpt-4o-mini-transcribe", "whisper-1"):
            await session.update(transcription=transcriber)
            with session.events(ConversationItemInputAudioTranscriptionCompleted) as transcribed:
                async with session.user_turn(respond=False):
                    await session.append_audio(SPEECH)
                await session.respond()
                await transcribed.receive()

    with run_program(serve) as program:
        page = open_page(program.url)
        expect(page.locator(".state")).to_have_text("Following")
        program.run(ask, sessions[0])
        panel = expect_usage(page, "2 responses and 2 transcriptions")
        cost = sessions[0].cost
        assert cost.total is not None
        expect(panel.locator(".figure strong")).to_have_text(f"${cost.total:.4f}")
        paid = panel.get_by_role("row", name="transcription").locator(".money")
        expect(paid).to_have_text(f"${cost.transcription:.4f}")
        # What was recorded costs the same.
        save_recording(page, tmp_path)
        path = tmp_path / "saved.jsonl"
        drop_recording(page, path.name, path.read_text())
        expect(page.locator(".state")).to_have_text("Recorded")
        expect(panel.locator(".figure strong")).to_have_text(f"${cost.total:.4f}")


@tool(requires_approval=True)
def pay(euros: int) -> str:
    """Pay somebody."""
    return f"{euros} paid"


def test_a_call_that_waits_is_decided_in_the_page(open_page: OpenPage) -> None:
    sessions: list[Session] = []

    async def serve(announce: Callable[[str], None]) -> None:
        async with (
            open_simulated(Reply.call("pay", euros=5), Reply.text("Paid."), tools=[pay]) as session,
            open_inspector(session, prints=False, may_act=True) as inspector,
        ):
            sessions.append(session)
            announce(inspector.url)
            await trio.sleep_forever()

    with run_program(serve) as program:
        page = open_page(program.url)
        expect(page.locator(".state")).to_have_text("Following")
        program.run(sessions[0].send_message, "Pay five euros.")
        approval = page.get_by_role("group", name="Approval of pay")
        expect(approval).to_contain_text('"euros":5')
        approval.get_by_role("button", name="Approve").click()
        expect(item(page, "tool")).to_contain_text("5 paid")
        expect(item(page, "model")).to_contain_text("Paid.")
        expect(approval).to_have_count(0)


async def hold_a_conversation(path: Path) -> None:
    """Ask aloud, in real time, and hear the answer; all of it is recorded."""
    script = Script([Reply.text(ANSWER)], transcripts=[QUESTION], pacing=LIFELIKE)
    async with (
        open_simulator_transport(script) as transport,
        open_session(
            transport=transport, record=path, turn_detection=None, transcription="whisper-1"
        ) as session,
    ):
        async with session.user_turn(respond=False):
            for start in range(0, len(SPEECH), PIECE):
                await session.append_audio(SPEECH[start : start + PIECE])
                await trio.sleep(PIECE / PCM_RATE)
        async with session.open_response() as response:
            async for _ in response:
                pass


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "paris.jsonl"
    trio.run(hold_a_conversation, path)
    return path


def check_recording(page: Page) -> None:
    """What everybody should see and hear of the recording."""
    expect(page.locator(".state")).to_have_text("Recorded")
    expect(page.locator(".source")).to_contain_text("paris.jsonl")
    expect(item(page, "you")).to_contain_text(QUESTION)
    expect(item(page, "model")).to_contain_text(ANSWER)
    play = item(page, "you").get_by_role("button", name=re.compile("^Play"))
    expect(play).to_have_text(f"{len(SPEECH) / PCM_RATE:.1f} s")
    # One moves along the time, and the page shows how it was then.
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("Home")
    expect(item(page, "you")).to_have_count(0)
    expect(page.locator(".row-later").first).to_be_visible()
    page.keyboard.press("End")
    expect(item(page, "model")).to_contain_text(ANSWER)
    play.click()
    wait_until_heard(page)


def test_a_recording_is_opened(open_page: OpenPage, recording: Path) -> None:
    with run_console("--open", recording) as url:
        page = open_page(url)
        check_recording(page)
        expect(page.locator("#dock")).to_be_hidden()


def test_a_recording_is_dropped(open_page: OpenPage, recording: Path, tmp_path: Path) -> None:
    with run_console() as url:
        page = open_page(url)
        drop_recording(page, recording.name, recording.read_text())
        check_recording(page)
        expect(page.locator(".state")).to_have_text("Recorded")
        saved = save_recording(page, tmp_path)
        drop_recording(page, "nonsense.txt", "nonsense")
        expect(page.get_by_text("this is not a recording")).to_be_visible()
        # What was shown is still shown.
        expect(item(page, "model")).to_contain_text(ANSWER)
        header, first, *rest = recording.read_text().splitlines(keepends=True)
        drop_recording(page, "broken.jsonl", "".join([header, first, first, *rest]))
        expect(page.locator(".row-mark", has_text="⚠").first).to_be_visible()
    original = read_recording(recording)
    assert [record.event for record in saved.records] == [r.event for r in original.records]
    assert saved.model == original.model


def test_a_report_is_one_file_that_shows_the_same(
    open_page: OpenPage, recording: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    report.write_text(report_of(read_recording(recording), recording.name), encoding="utf-8")
    page = open_page(report.as_uri())
    check_recording(page)
    # The script is the one that the program has written.
    page.get_by_role("button", name="Copy as script").click()
    expect(page.get_by_text("The script was copied.")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == script_of(read_recording(recording))
    expect_usage(page, "1 response and 1 transcription")
