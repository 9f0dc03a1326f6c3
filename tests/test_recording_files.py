"""The file of a recording: where it may be, who may read it, and that it is never replaced."""

from __future__ import annotations

import io
import os
import stat
import sys
import time
from pathlib import Path

import pytest
import trio
from peers import Leaves, memory_server
from recordings import created, lines_of, server
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._runtime.disk import write_all
from realtime_trio._runtime.hub import EventHub
from realtime_trio._session.opening import open_session
from realtime_trio.recording import WireRecord, open_recording, read_recording
from realtime_trio.simulator import Reply, Script
from realtime_trio.testing import open_simulated_session

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs the permissions of POSIX")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


@pytest.fixture
def taken(path: Path) -> Path:
    path.write_text("the only copy", encoding="utf-8")
    return path


def content(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def record_nothing(path: Path) -> None:
    hub: EventHub[WireRecord] = EventHub()
    async with open_recording(hub.subscribe(), path):
        pass


async def test_a_file_that_exists_is_not_replaced(taken: Path) -> None:
    with pytest.raises(FileExistsError, match="a recording does not replace a file") as caught:
        await record_nothing(taken)
    assert caught.value.filename == str(taken)
    assert content(taken) == "the only copy"


async def test_the_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="the folder of the recording does not exist"):
        await record_nothing(tmp_path / "nowhere" / "session.jsonl")


async def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="a recording is a file"):
        await record_nothing(tmp_path)


async def test_a_name_without_a_folder_is_in_the_one_that_we_are_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await record_nothing(Path("session.jsonl"))
    assert (tmp_path / "session.jsonl").exists()


@pytest.mark.parametrize("place", ["session.jsonl", "nowhere/session.jsonl"])
async def test_a_session_finds_that_before_it_says_anything(
    place: str, tmp_path: Path, taken: Path, autojump_clock: MockClock
) -> None:
    near, peer = memory_server()
    with pytest.raises(OSError, match="recording"):
        async with open_session(transport=near, record=tmp_path / place):
            pass
    await near.aclose()
    assert await peer.hear_the_rest() == []


@POSIX
async def test_only_its_owner_may_read_it(path: Path) -> None:
    before = os.umask(0)
    try:
        await record_nothing(path)
    finally:
        os.umask(before)
    assert mode(path) == 0o600


@POSIX
async def test_it_may_be_a_pipe(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        await record_nothing(path)
        assert os.read(reader, 1000) == b'{"version":1,"kind":"realtime","model":null}\n'
    finally:
        os.close(reader)


async def test_time_stands_still_while_an_autojump_clock_records(
    path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    append = write_all

    def slowly(file: io.FileIO, data: bytes) -> OSError | None:
        time.sleep(0.05)
        return append(file, data)

    monkeypatch.setattr("realtime_trio.recording.write_all", slowly)
    script = Script([Reply.text("Hi.")])
    with trio.fail_after(1):
        async with open_simulated_session(script, record=path, output_modalities=["text"]) as (
            session,
            _,
        ):
            for _ in range(3):
                await session.ask("Hello?")
                await trio.sleep(0.1)
    assert read_recording(path).records[-1].event.type == "rate_limits.updated"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
async def test_a_full_disk_is_found_under_an_autojump_clock(autojump_clock: MockClock) -> None:
    with Leaves(OSError, match="No space"):
        await record_nothing(Path("/dev/full"))


async def test_times_count_from_the_first_record_behind_a_gap(path: Path) -> None:
    hub: EventHub[WireRecord] = EventHub(backlog=1)
    for record in server(created(), created()):
        hub.publish(record)
    wire = hub.subscribe()
    wire.receive_nowait()
    async with open_recording(wire, path):
        await wait_all_tasks_blocked()
        for record in server(created()):
            hub.publish(record)
    assert '"dropped"' in lines_of(path)[1]
    assert [record.time for record in read_recording(path).records] == [0.0]
