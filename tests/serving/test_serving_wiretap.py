"""A transport that reports what it carries, and a recording of a connection at the server's end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import trio
from peers import Leaves
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._serving.wiretap import Wiretap, open_wiretap
from realtime_trio._transport.contract import Close
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio.errors import ConnectionLost
from realtime_trio.events import (
    RealtimeSession,
    ResponseCreate,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
)
from realtime_trio.recording import Source, read_recording

CREATED = SessionCreated(event_id="event_1", session=RealtimeSession(id="sess_1"))


@pytest.mark.parametrize(
    ("role", "ours", "theirs"),
    [(Role.CLIENT, "client", "server"), (Role.SERVER, "server", "client")],
)
async def test_it_hands_everything_on_and_says_who_said_it(
    role: Role, ours: str, theirs: str
) -> None:
    noted: list[tuple[Source, str | bytes]] = []
    near, far = memory_transport_pair()
    tap = Wiretap(near, role, lambda source, message: noted.append((source, message)))
    with assert_checkpoints():
        await tap.send("a")
    assert await far.receive() == ("a",)
    await far.send(b"b")
    await far.send("c")
    assert noted == [(ours, "a")]  # what has not been taken is not noted
    with assert_checkpoints():
        assert await tap.receive() == (b"b", "c")
    assert noted == [(ours, "a"), (theirs, b"b"), (theirs, "c")]
    closed = tap.closed
    assert closed is None
    await tap.aclose(4000, "bye")
    assert tap.closed == far.closed == Close(4000, "bye")
    assert await tap.receive() == ()
    assert len(noted) == 3


async def test_a_message_is_noted_before_it_is_sent_even_if_it_never_is() -> None:
    noted: list[str | bytes] = []
    near, _ = memory_transport_pair(capacity=1)
    tap = Wiretap(near, Role.SERVER, lambda _source, message: noted.append(message))
    await tap.send("a")
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tap.send, "b")
            await wait_all_tasks_blocked()
            assert noted == ["a", "b"]
            nursery.cancel_scope.cancel()
    with pytest.raises(ConnectionLost):
        await tap.send("c")
    assert noted == ["a", "b", "c"]


async def test_what_goes_without_waiting_is_noted_and_nothing_else() -> None:
    noted: list[str | bytes] = []
    near, far = memory_transport_pair(capacity=1)
    tap = Wiretap(near, Role.SERVER, lambda _source, message: noted.append(message))
    assert tap.send_nowait("a")
    assert not tap.send_nowait("b")
    await tap.aclose()
    assert await far.receive() == ("a",)
    assert noted == ["a"]


async def test_a_connection_is_recorded_until_the_block_ends(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = tmp_path / "wire.jsonl"
    near, far = memory_transport_pair()
    server, client = Codec(Role.SERVER), Codec(Role.CLIENT)
    start = trio.current_time()
    async with open_wiretap(near, path, kind=SessionKind.REALTIME) as tap:
        await tap.send(server.encode(CREATED))
        await trio.sleep(2.0)
        await far.send(client.encode(ResponseCreate(event_id="evt_1")))
        await tap.receive()
    records = read_recording(path).records
    assert [(record.source, record.event) for record in records] == [
        ("server", CREATED),
        ("client", ResponseCreate(event_id="evt_1")),
    ]
    assert records[1].time - records[0].time == pytest.approx(2.0)
    assert records[0].time == pytest.approx(start)
    # The clock of the wall stands beside trio's, which jumped.
    assert all(record.wall_time is not None for record in records)
    if sys.platform != "win32":
        assert path.stat().st_mode & 0o077 == 0


async def test_a_recording_is_whole_if_the_block_is_left_by_an_exception(tmp_path: Path) -> None:
    path = tmp_path / "wire.jsonl"
    near, _ = memory_transport_pair()
    with trio.fail_after(5), Leaves(ZeroDivisionError):
        async with open_wiretap(near, path, kind=SessionKind.REALTIME) as tap:
            await tap.send(Codec(Role.SERVER).encode(CREATED))
            raise ZeroDivisionError
    assert [record.event for record in read_recording(path).records] == [CREATED]


async def test_a_recording_is_read_in_the_dialect_that_is_spoken(tmp_path: Path) -> None:
    path = tmp_path / "wire.jsonl"
    near, far = memory_transport_pair()
    update = SessionUpdate(session=SessionConfig(output_modalities=("text",)))
    async with open_wiretap(near, path, kind=SessionKind.REALTIME, dialect=Dialect.BETA) as tap:
        await far.send(Codec(Role.CLIENT, Dialect.BETA).encode(update))
        await tap.receive()
    (record,) = read_recording(path).records
    assert isinstance(record.event, SessionUpdate)
    assert isinstance(record.event.session, SessionConfig)
    assert record.event.session.output_modalities == ("text",)


async def test_a_recording_never_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "wire.jsonl"
    path.write_text("mine")
    near, _ = memory_transport_pair()
    with pytest.raises(FileExistsError):
        async with open_wiretap(near, path, kind=SessionKind.REALTIME):
            pytest.fail("not reached")
    assert path.read_text() == "mine"
