"""Faults strike when and as often as they should, and do what they say."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from realtime_trio._transport.contract import Close, Transport
from realtime_trio._transport.memory import MemoryTransport, memory_transport_pair
from realtime_trio.errors import ConnectionLost, LocalProtocolError
from realtime_trio.simulator.script.fault import Fault
from realtime_trio.simulator.serving.faults import FaultyTransport

DELTA = '{"type":"response.output_audio.delta","event_id":"e","output_index":0,"delta":"AAAA"}'
TEXT = '{"type":"response.output_text.delta","event_id":"e","delta":"hi"}'
TRANSCRIPT = '{"type":"conversation.item.input_audio_transcription.completed","event_id":"e"}'
DONE = '{"type":"response.done","event_id":"e"}'


@asynccontextmanager
async def between(*faults: Fault) -> AsyncIterator[tuple[FaultyTransport, MemoryTransport]]:
    near, far = memory_transport_pair()
    yield FaultyTransport(near, faults), far
    await near.aclose()


async def received(
    far: MemoryTransport, *messages: str, through: FaultyTransport
) -> list[str | bytes]:
    """What arrives of these messages."""
    for message in messages:
        await through.send(message)
    await through.aclose()
    arrived: list[str | bytes] = []
    while batch := await far.receive():
        arrived += batch
    return arrived


@pytest.mark.parametrize(
    ("fault", "doubled"),
    [
        (Fault.duplicate(), [0]),
        (Fault.duplicate("response.output_text"), [1]),
        (Fault.duplicate("response.output", nth=2), [1]),
        (Fault.duplicate(times=2), [0, 1]),
        (Fault.duplicate(nth=2, times=math.inf), [1, 2]),
        (Fault.duplicate("session.created"), []),
    ],
)
async def test_a_fault_strikes_when_and_as_often_as_it_should(
    fault: Fault, doubled: list[int]
) -> None:
    messages = [DELTA, TEXT, DONE]
    expected = [
        message for index, message in enumerate(messages) for _ in range(1 + (index in doubled))
    ]
    async with between(fault) as (near, far):
        assert await received(far, *messages, through=near) == expected


@pytest.mark.parametrize(
    "fault",
    [
        Fault.drop(),
        Fault.reset(),
        Fault.closing(1013),
        Fault.expiry(),
        Fault.stall(),
        Fault.delay(1),
        Fault.corrupt(),
        Fault.duplicate(),
        Fault.reorder("rate_limits.updated"),
        Fault.failing(None, "oops"),
    ],
    ids=lambda fault: fault.kind,
)
def test_a_fault_strikes_once_and_as_soon_as_it_can(fault: Fault) -> None:
    assert (fault.nth, fault.times) == (1, 1)
    assert fault.behind == 1


@pytest.mark.parametrize("fault", [Fault.drop("response.done"), Fault.reset("response.done")])
async def test_a_connection_drops_without_a_word(fault: Fault) -> None:
    async with between(fault) as (near, far):
        await near.send(DELTA)
        with pytest.raises(ConnectionLost):
            await near.send(DONE)
        assert await far.receive() == (DELTA,)
        assert await far.receive() == ()
        assert far.closed is not None
        assert (near.closed, far.closed.code) == (far.closed, 1006)


async def test_a_connection_is_closed_in_place_of_an_event() -> None:
    async with between(Fault.closing(1013, "try later", on="response.done")) as (near, far):
        with pytest.raises(ConnectionLost, match="1013 try later"):
            await near.send(DONE)
        assert await far.receive() == ()
        assert far.closed == Close(1013, "try later")


async def test_an_expired_session_says_so_first() -> None:
    async with between(Fault.expiry()) as (near, far):
        with pytest.raises(ConnectionLost):
            await near.send(DELTA)
        (said,) = await far.receive()
        assert json.loads(said)["error"]["code"] == "session_expired"
        assert far.closed == Close(1001, "session_expired")


async def test_an_error_comes_out_of_the_blue() -> None:
    async with between(Fault.failing("server_overloaded", "Try again.", on="response.done")) as (
        near,
        far,
    ):
        error, done = await received(far, DONE, through=near)
        assert (json.loads(error)["type"], json.loads(error)["error"]["message"], done) == (
            "error",
            "Try again.",
            DONE,
        )


async def test_a_delay_and_a_slow_line_take_their_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with between(
        Fault.delay(3.0, on="response.output_text"), Fault.slow(len(DONE), on="response.done")
    ) as (near, _):
        start = trio.current_time()
        await near.send(DELTA)
        assert trio.current_time() == start
        await near.send(TEXT)
        assert trio.current_time() == start + 3.0
        await near.send(DONE)
        await near.send(DONE)
        assert trio.current_time() == start + 5.0


async def test_a_stalled_server_says_nothing_and_remembers_what_it_was_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with between(Fault.stall(60.0)) as (near, far):
        await far.send("hello")
        start = trio.current_time()
        await near.send(DELTA)
        assert trio.current_time() == start + 60.0
        assert await near.receive() == ("hello",)
        await far.send("again")
        assert await near.receive() == ("again",)
        assert await far.receive() == (DELTA,)


async def test_a_server_that_stalls_for_ever_notices_that_the_client_has_gone() -> None:
    heard: list[tuple[str | bytes, ...]] = []

    async def listen(near: FaultyTransport) -> None:
        while batch := await near.receive():
            heard.append(batch)

    async def say_and_leave(far: MemoryTransport) -> None:
        await trio.testing.wait_all_tasks_blocked()
        await far.send("hello")
        await far.aclose()

    async with between(Fault.stall()) as (near, far), trio.open_nursery() as nursery:
        nursery.start_soon(listen, near)
        nursery.start_soon(say_and_leave, far)
        with pytest.raises(ConnectionLost), trio.fail_after(5):
            await near.send(DELTA)
    assert heard == [("hello",)]


async def test_a_stalled_server_acts_late_on_what_it_is_told_meanwhile(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with between(Fault.stall(60.0)) as (near, far), trio.open_nursery() as nursery:
        nursery.start_soon(near.send, DELTA)
        await trio.testing.wait_all_tasks_blocked()
        start = trio.current_time()
        await far.send("hello")
        assert await near.receive() == ("hello",)
        assert trio.current_time() == start + 60.0


@pytest.mark.parametrize(
    ("fault", "spoilt"),
    [
        (Fault.corrupt(), DELTA[: len(DELTA) // 2]),
        (Fault.corrupt("garbage"), "{" + DELTA),
        (
            Fault.corrupt("payload"),
            '{"type":"response.output_audio.delta",'
            '"event_id":[[]],"output_index":[[]],"delta":[[]]}',
        ),
        (Fault.corrupt("audio"), DELTA.replace("AAAA", "*no base64*")),
    ],
)
async def test_a_message_is_spoilt(fault: Fault, spoilt: str) -> None:
    async with between(fault) as (near, far):
        assert await received(far, DELTA, DELTA, through=near) == [spoilt, DELTA]


async def test_binary_messages_are_cut_and_have_no_type() -> None:
    async with between(Fault.corrupt()) as (near, far):
        await near.send(b"1234")
        assert await far.receive() == (b"12",)


async def test_what_may_come_late_comes_late() -> None:
    async with between(
        Fault.reorder("conversation.item.input_audio_transcription.completed", behind=2)
    ) as (near, far):
        assert await received(far, TRANSCRIPT, DELTA, TEXT, DONE, through=near) == [
            DELTA,
            TEXT,
            TRANSCRIPT,
            DONE,
        ]


def test_what_has_its_place_cannot_come_late() -> None:
    with pytest.raises(LocalProtocolError, match="has its place"):
        Fault.reorder("response.done")


def test_impossible_faults_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match="at least once"):
        Fault.drop(nth=0)
    with pytest.raises(LocalProtocolError, match="more than 0"):
        Fault.slow(0)
    with pytest.raises(LocalProtocolError, match="1006"):
        Fault.closing(1006)


def test_a_transport_that_cannot_break_cannot_be_broken() -> None:
    class Plain:
        """A transport of somebody else's."""

        closed = None

        async def receive(self) -> tuple[str | bytes, ...]:
            await trio.lowlevel.checkpoint()
            return ()

        async def send(self, message: str | bytes) -> None: ...

        def send_nowait(self, message: str | bytes) -> bool:
            return False

        async def aclose(self, code: int = 1000, reason: str = "") -> None: ...

    plain: Transport = Plain()
    FaultyTransport(plain, [Fault.stall()])
    with pytest.raises(
        LocalProtocolError,
        match="the fault drop needs a transport with `abort`, which Plain does not have",
    ):
        FaultyTransport(plain, [Fault.drop()])
