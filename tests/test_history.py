"""A store keeps what a session has, and the next session goes on from there."""

from __future__ import annotations

import errno
import io
import json
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from conversation_events import added, done
from peers import Leaves, created, memory_server
from simulated import SLOW, open_simulated, speech
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import history
from realtime_trio._runtime import disk, journal_file
from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio._state.conversation import restoring, size
from realtime_trio._state.conversation.journal import HEADER
from realtime_trio._state.utility_events import ItemAppended, ToolCallRequested
from realtime_trio.errors import ConnectionFailed, ConnectionLost, LocalProtocolError
from realtime_trio.events import (
    FunctionTool,
    Item,
    JsonObject,
    SessionCreated,
    SystemMessage,
    Transcription,
    UserMessage,
)
from realtime_trio.history import HistoryLimit, open_store
from realtime_trio.simulator import Call, Reply, Script, open_simulator_transport


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "talk.jsonl"


def words_of(entries: Sequence[JsonObject]) -> list[object]:
    """What a stored conversation says, in short."""
    found: list[object] = []
    for entry in entries:
        content = entry.get("content")
        parts = content if isinstance(content, list) else [entry]
        part = parts[0] if parts else {}
        found.append(
            part.get("text") or part.get("transcript") or part.get("output") or part.get("name")
        )
    return found


def content(path: Path) -> bytes:
    return path.read_bytes()


def add(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def said(session: Session) -> list[str]:
    return [
        item.text or item.transcript or item.output or item.name or ""
        for item in session.conversation.items
    ]


def test_what_users_need_of_a_restored_conversation_is_in_one_place() -> None:
    assert history.Omission is restoring.Omission
    assert history.HistoryLimit is size.HistoryLimit
    assert history.Summarize is size.Summarize


# --- a session and the next one -------------------------------------------------------------------


async def test_a_session_goes_on_where_the_one_before_ended(
    path: Path, autojump_clock: MockClock
) -> None:
    async with open_store(path) as store:
        assert store.path == path
        async with open_simulated(Reply.text("Hi!"), store=store) as session:
            assert await store.history() == []
            await session.ask("Hello?")
        assert words_of(await store.history()) == ["Hello?", "Hi!"]
    async with (
        open_store(path) as store,
        open_simulated(Reply.text("Bye!"), store=store) as session,
    ):
        assert said(session) == ["Hello?", "Hi!"]
        await session.ask("Bye?")
    async with open_store(path) as store:
        assert words_of(await store.history()) == ["Hello?", "Hi!", "Bye?", "Bye!"]
        assert store.dropped == 0


async def test_one_store_serves_one_session_after_another(
    path: Path, autojump_clock: MockClock
) -> None:
    async with open_store(path) as store:
        for number in range(3):
            async with open_simulated(Reply.text("Yes."), store=store) as session:
                assert len(session.conversation.items) == 2 * number
                await session.ask(f"{number}?")
        assert len(await store.history()) == 6


async def test_what_was_spoken_stays_in_the_file_as_it_was(
    path: Path, autojump_clock: MockClock
) -> None:
    spoken: dict[str, Any] = {
        "transcripts": ["How are you?"],
        "turn_detection": None,
        "transcription": Transcription(model="whisper-1"),
    }
    async with (
        open_store(path) as store,
        open_simulated(Reply.text("Fine."), store=store, **spoken) as session,
    ):
        await session.append_audio(speech(500))
        await session.ask()
        await store.flush()
        first = await store.history()
        assert words_of(first) == ["How are you?", "Fine."]
    for _ in range(2):
        async with open_store(path) as store, open_simulated(store=store) as session:
            assert [item.text for item in session.conversation.items] == ["How are you?", "Fine."]
            assert [omission.what for omission in session.omissions] == ["audio", "audio"]
            assert await store.history() == first


async def test_audio_is_kept_if_it_is_wanted(path: Path, autojump_clock: MockClock) -> None:
    async with (
        open_store(path, audio=True) as store,
        open_simulated(store=store, turn_detection=None) as session,
    ):
        await session.append_audio(speech(500))
        await session.commit_audio()
        await wait_all_tasks_blocked()
    async with open_store(path) as store, open_simulated(store=store) as session:
        assert session.omissions == ()
        item = session.conversation.items[0]
        assert (await session.retrieve_item(item)).audio_ms == 500


async def test_an_interrupted_answer_is_kept_as_it_was_heard(
    path: Path, autojump_clock: MockClock
) -> None:
    reply = Reply.text("one two three four five six seven eight")
    async with open_store(path) as store, open_simulated(reply, store=store) as session:
        await session.ask("Count!")
        item = session.conversation.items[-1]
        await session.truncate(item, item.audio_ms / 2)
        heard = item.heard_transcript
        assert heard == "one two three four"
    async with open_store(path) as store, open_simulated(store=store) as session:
        assert said(session) == ["Count!", heard]


async def test_items_that_are_deleted_are_gone(path: Path, autojump_clock: MockClock) -> None:
    async with open_store(path) as store, open_simulated(store=store) as session:
        for number in range(3):
            await session.insert_item(UserMessage.text(str(number), id=f"item_{number}"))
        await session.delete_item("item_1")
    async with open_store(path) as store:
        assert words_of(await store.history()) == ["0", "2"]


async def test_items_stand_in_the_order_of_the_conversation(
    path: Path, autojump_clock: MockClock
) -> None:
    async with open_store(path) as store, open_simulated(store=store) as session:
        await session.insert_item(UserMessage.text("b", id="item_b"))
        await store.flush()
        await session.insert_item(UserMessage.text("d", id="item_d"))
        await session.insert_item(UserMessage.text("c"), previous_item_id="item_b")
        await store.flush()
        await session.insert_item(SystemMessage.text("a"), previous_item_id="root")
    async with open_store(path) as store:
        assert words_of(await store.history()) == ["a", "b", "c", "d"]


async def test_a_call_that_was_never_answered_is_left_behind(
    path: Path, autojump_clock: MockClock
) -> None:
    tool = FunctionTool(name="look", parameters={"type": "object", "properties": {}})
    script = Reply.calls(Call("look", call_id="call_1"))
    async with (
        open_store(path) as store,
        open_simulated(script, store=store, tools=[tool]) as session,
    ):
        calls = session.events(ToolCallRequested)
        await session.send_message("What do you see?")
        await calls.receive()
    async with open_store(path) as store:
        assert words_of(await store.history()) == ["What do you see?", "look"]
        async with open_simulated(store=store) as session:
            assert said(session) == ["What do you see?"]
            assert [omission.reason for omission in session.omissions] == [
                "the call was never answered"
            ]
        assert words_of(await store.history()) == ["What do you see?"]


async def test_a_summary_takes_the_place_of_what_is_old_in_the_file_too(
    path: Path, autojump_clock: MockClock
) -> None:
    async with open_store(path) as store, open_simulated(store=store) as session:
        for number in range(5):
            await session.insert_item(UserMessage.text(str(number)))

    async def summarize(items: Sequence[Item]) -> str:
        await trio.lowlevel.checkpoint()
        return f"{len(items)} numbers"

    limit = HistoryLimit(items=3, summarize=summarize)
    async with (
        open_store(path) as store,
        open_simulated(store=store, history_limit=limit) as session,
    ):
        assert said(session) == ["3 numbers", "3", "4"]
    async with open_store(path) as store:
        assert words_of(await store.history()) == ["3 numbers", "3", "4"]


# --- when it is written ---------------------------------------------------------------------------


async def test_an_item_is_in_the_file_when_it_is_done_and_not_only_at_the_end(path: Path) -> None:
    with trio.fail_after(10):
        async with (
            open_store(path) as store,
            open_simulated(Reply.text("Hi!"), store=store) as session,
        ):
            await session.ask("Hello?")
            await store.flush()
            lines = content(path).splitlines()
            assert [json.loads(line)["id"] for line in lines[1:]] == [
                item.id for item in session.conversation.items
            ]


async def test_the_disk_is_worked_on_in_a_thread(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()
    write_all = disk.write_all

    def noted(file: io.FileIO, data: bytes) -> OSError | None:
        threads.add(threading.get_ident())
        return write_all(file, data)

    monkeypatch.setattr(journal_file, "write_all", noted)
    with trio.fail_after(10):
        async with (
            open_store(path) as store,
            open_simulated(Reply.text("Hi!"), store=store) as session,
        ):
            await session.ask("Hello?")
            await store.compact()
    assert threads
    assert threading.get_ident() not in threads


async def test_the_first_stream_of_the_program_still_has_the_beginning(
    path: Path, autojump_clock: MockClock
) -> None:
    async with open_store(path) as store, open_simulated(store=store) as session:
        assert isinstance(await session.events().receive(), SessionCreated)


async def test_what_is_cancelled_is_written_as_far_as_it_came(
    path: Path, autojump_clock: MockClock
) -> None:
    async with open_store(path) as store:
        with trio.CancelScope() as scope:
            async with open_simulated(
                Reply.text("A very long story."), pacing=SLOW, store=store
            ) as session:
                appended = session.events(ItemAppended)
                await session.send_message("Tell me!")
                await appended.receive()
                await appended.receive()
                scope.cancel()
                await trio.sleep_forever()
        entries = await store.history()
        assert words_of(entries)[0] == "Tell me!"
        # Either of the two that were cancelled may have come first.
        assert entries[1]["status"] in ("in_progress", "incomplete")


async def test_a_connection_that_breaks_leaves_what_there_was(
    path: Path, autojump_clock: MockClock
) -> None:
    near, server = memory_server()
    message = UserMessage.text("Hello?", id="item_1")
    async with open_store(path) as store:
        await server.say(created())
        with trio.fail_after(10), Leaves(ConnectionLost):
            async with open_session(transport=near, store=store) as session:
                appended = session.events(ItemAppended)
                await server.say(added(message), done(message))
                await appended.receive()
                await server.transport.aclose(1011, "broken")
                await trio.sleep_forever()
        assert words_of(await store.history()) == ["Hello?"]


async def test_a_session_that_is_refused_leaves_the_file_alone(
    path: Path, autojump_clock: MockClock
) -> None:
    async with open_store(path) as store, open_simulated(Reply.text("Hi!"), store=store) as session:
        await session.ask("Hello?")
    before = content(path)
    near, _server = memory_server()
    async with open_store(path) as store:
        with pytest.raises(ConnectionFailed):
            async with open_session(transport=near, store=store, connect_timeout=1):
                pytest.fail("not reached")
    assert content(path) == before


async def test_a_store_that_fell_behind_catches_up(
    path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        open_store(path) as store,
        open_simulator_transport(Script()) as transport,
        open_session(transport=transport, store=store, capacity=2) as session,
    ):
        await store._disk.acquire()  # the disk is slow
        for number in range(20):
            await session.insert_item(UserMessage.text(str(number)))
        await session.delete_item(session.conversation.items[3])
        store._disk.release()
        await wait_all_tasks_blocked()
        numbers = [str(number) for number in range(20) if number != 3]
        assert words_of(await store.history()) == numbers


# --- what goes wrong ------------------------------------------------------------------------------


async def test_half_a_line_is_dropped_and_that_is_said(
    path: Path, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    async with open_store(path) as store, open_simulated(store=store) as session:
        await session.insert_item(UserMessage.text("Hello?"))
    add(path, b'{"id":"item_2","af')
    with caplog.at_level(logging.WARNING, "realtime_trio"):
        async with open_store(path) as store:
            assert store.dropped == 18
            assert words_of(await store.history()) == ["Hello?"]
    assert caplog.messages == [
        f"dropped 18 bytes at the end of {path}: a line that a crash has cut off"
    ]


async def test_a_file_of_another_kind_is_not_opened(path: Path) -> None:
    add(path, b"Dear diary\n")
    with pytest.raises(LocalProtocolError, match="is not the journal of a conversation"):
        async with open_store(path):
            pytest.fail("not reached")


async def test_a_store_is_opened_by_a_path() -> None:
    wrong: Any = 7
    with pytest.raises(TypeError, match="by the path of its file, not by int"):
        async with open_store(wrong):
            pytest.fail("not reached")


async def test_a_session_takes_a_store_that_is_open(path: Path, autojump_clock: MockClock) -> None:
    wrong: Any = str(path)
    with pytest.raises(TypeError, match=r"store must be a store of open_store\(\), or None"):
        async with open_simulated(store=wrong):
            pytest.fail("not reached")
    async with open_store(path) as store:
        pass
    uses: list[Callable[[], Any]] = [store.history, store.flush, store.compact]
    for use in uses:
        with pytest.raises(LocalProtocolError, match="the store is closed"):
            await use()
    with pytest.raises(LocalProtocolError, match="the store is closed"):
        async with open_simulated(store=store):
            pytest.fail("not reached")


async def test_a_session_begins_with_a_history_or_with_a_store(
    path: Path, autojump_clock: MockClock
) -> None:
    entry = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
    async with open_store(path) as store:
        with pytest.raises(LocalProtocolError, match="a history or with a store, not with both"):
            async with open_simulated(store=store, history=[entry]):
                pytest.fail("not reached")


async def test_two_sessions_cannot_share_a_store(path: Path, autojump_clock: MockClock) -> None:
    async with open_store(path) as store, open_simulated(store=store):
        with pytest.raises(LocalProtocolError, match="keeps another session already"):
            async with open_simulated(store=store):
                pytest.fail("not reached")


async def test_a_disk_that_is_full_ends_the_session_with_that_error(
    path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(path) as store:
        with Leaves(OSError, match="full"):
            async with open_simulated(store=store) as session:
                monkeypatch.setattr(
                    journal_file, "write_all", lambda *_: OSError(errno.ENOSPC, "full")
                )
                await session.insert_item(UserMessage.text("Hello?"))
                await trio.sleep_forever()
    assert content(path) == HEADER


async def test_whoever_waits_for_the_disk_is_told_that_it_is_full(
    path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_store(path) as store:
        async with open_simulated(store=store) as session:
            await wait_all_tasks_blocked()  # the store has looked at the beginning
            with monkeypatch.context() as patch:
                patch.setattr(journal_file, "write_all", lambda *_: OSError(errno.ENOSPC, "full"))
                # Behind the back of the store's own task, which would be the first otherwise.
                session.conversation.apply(added(UserMessage.text("Hello?", id="item_1")))
                with pytest.raises(OSError, match="full"):
                    await store.flush()
        # There was room again before the end.
        assert words_of(await store.history()) == ["Hello?"]


async def test_a_long_journal_is_shortened(path: Path, autojump_clock: MockClock) -> None:
    async with open_store(path) as store, open_simulated(store=store) as session:
        for number in range(4):
            await session.insert_item(UserMessage.text(str(number), id=f"item_{number}"))
        await session.delete_item("item_0")
        await store.flush()
        assert len(content(path).splitlines()) == 6
        await store.compact()
        assert len(content(path).splitlines()) == 4
        await session.insert_item(UserMessage.text("4"))
    async with open_store(path) as store:
        assert words_of(await store.history()) == ["1", "2", "3", "4"]
