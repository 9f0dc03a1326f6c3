"""An application that does not listen, fails or is interrupted.

It is seen through sessions and bare connections, on a real network.  Whatever it is: the
application's own exception leaves the block unchanged, and no task and no socket is left.
"""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
import trio
from openings import (
    Open,
    both,
    event_frame,
    frame_between_pings,
    greet,
    greet_and_listen,
    greet_by_hand,
    start,
)
from peers import Leaves, Server, committed, created, delete, open_server
from trio.testing import wait_all_tasks_blocked
from websocket_peers import CLOSE, PING, PONG, frame, open_tcp_server

from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio._transport.contract import Close
from realtime_trio.errors import SessionClosed, SlowConsumer
from realtime_trio.events import (
    ConversationItemDelete,
    Event,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommitted,
    SessionCreated,
)

pytestmark = [
    pytest.mark.socket,
    pytest.mark.usefixtures("no_service_in_environment", "no_socket_is_left", "no_task_is_left"),
]


# The application does not listen


async def test_a_slow_consumer_is_told_what_it_missed_and_goes_on() -> None:
    async def serve(server: Server) -> None:
        await greet(server)
        await server.say(*map(committed, range(100)))
        await server.hear(InputAudioBufferClear)
        await server.say(committed(100))
        await server.hear_the_rest()

    async with open_server(serve) as url, open_session(url=url) as session:
        slow, keen = (
            session.events(InputAudioBufferCommitted, capacity=10),
            session.events(InputAudioBufferCommitted),
        )
        await start(session)
        assert [(await keen.receive()).event_id for _ in range(100)] == [
            f"event_{number}" for number in range(100)
        ]
        assert [(await slow.receive()).event_id for _ in range(10)] == [
            f"event_{number}" for number in range(10)
        ]
        with pytest.raises(SlowConsumer) as caught:
            await slow.receive()
        assert caught.value.dropped == 90
        await session.send(InputAudioBufferClear())
        assert (await slow.receive()).event_id == "event_100"


async def test_a_consumer_that_stops_listening_loses_events_but_not_the_session() -> None:
    pings = 300  # a hundred minutes at the service's rate of one in 20 s
    finished = trio.Event()

    async def ping_and_talk(stream: trio.SocketStream) -> None:
        reader = await greet_by_hand(stream)
        for number in range(pings):
            await stream.send_all(event_frame(committed(number)) + frame(PING, b"%d" % number))
            assert await frame_between_pings(stream, reader) == (PONG, b"%d" % number)
        finished.set()
        opcode, payload = await frame_between_pings(stream, reader)
        assert opcode == CLOSE
        await stream.send_all(frame(CLOSE, payload))

    async with open_tcp_server(ping_and_talk) as url:
        async with open_session(
            url=url, capacity=20, ping_interval=0.02, ping_timeout=4
        ) as session:
            async for event in session.events():
                assert isinstance(event, SessionCreated)
                break
            with (
                session.events(InputAudioBufferCommitted) as stream,
                session.events(InputAudioBufferCommitted, capacity=999) as other,
            ):
                await start(session)
                async for _ in stream:
                    break
                await finished.wait()
                assert session.closed is None
                assert [(await other.receive()).event_id for _ in range(pings)] == [
                    f"event_{number}" for number in range(pings)
                ]
                seen = [await stream.receive() for _ in range(stream.pending)]
                with pytest.raises(SlowConsumer) as caught:
                    await stream.receive()
                assert 1 + len(seen) + caught.value.dropped == pings
        assert session.closed == Close(1000)


# The application fails


@both
async def test_an_exception_of_the_block_leaves_as_it_is(open_: Open) -> None:
    closes: list[Close | None] = []
    error = ValueError("mine")

    async def serve(server: Server) -> None:
        await greet(server)
        await server.hear_the_rest()
        closes.append(server.transport.closed)

    async with open_server(serve) as url:
        with Leaves(ValueError) as caught:
            async with open_(url=url) as opened:
                events = await start(opened)
                await events.__anext__()
                await wait_all_tasks_blocked(0.01)
                raise error
    assert caught.value is error
    assert not hasattr(error, "__notes__")
    assert closes == [Close(1001)]


@both
async def test_a_group_from_a_nursery_of_the_block_leaves_as_it_is(open_: Open) -> None:
    groups: list[ExceptionGroup[Exception]] = []

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("mine")

    async with open_server(greet_and_listen) as url:
        with Leaves(ExceptionGroup) as caught:
            async with open_(url=url):
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(fail)
                        nursery.start_soon(trio.sleep_forever)
                except ExceptionGroup as group:
                    groups.append(group)
                    raise
    assert [caught.value] == groups
    assert list(map(str, groups[0].exceptions)) == ["mine"]


async def test_sends_that_wait_when_the_block_is_left_are_told() -> None:
    outcomes: list[str] = []

    async def jam(stream: trio.SocketStream) -> None:
        await greet_by_hand(stream)
        await trio.sleep_forever()

    async def send(session: Session) -> None:
        await trio.lowlevel.checkpoint()
        try:
            while True:
                await session.send(InputAudioBufferAppend(audio=bytes(2**16)))
        except SessionClosed:
            outcomes.append("told")

    async with (
        open_tcp_server(jam) as url,
        trio.open_nursery() as nursery,  # around the session, so that its tasks outlive it
        open_session(url=url, close_timeout=0.1) as session,
    ):
        await start(session)
        for _ in range(3):
            nursery.start_soon(send, session)  # noqa: ASYNC111
        await wait_all_tasks_blocked(0.02)
        assert outcomes == []
    assert outcomes == ["told"] * 3


async def test_leaving_writes_what_was_sent_before_it_closes() -> None:
    heard: list[Event] = []

    async def serve(server: Server) -> None:
        await server.say(created())
        heard.extend(await server.hear_the_rest())
        assert server.transport.closed == Close(1000)

    async with open_server(serve) as url, open_session(url=url) as session:
        for number in range(200):
            await session.send(delete(number))
    assert [event.item_id for event in heard if isinstance(event, ConversationItemDelete)] == [
        str(number) for number in range(200)
    ]


# The application is interrupted


@both
async def test_ctrl_c_in_the_block_leaves_as_it_is(open_: Open) -> None:
    async with open_server(greet_and_listen) as url:
        with Leaves(KeyboardInterrupt) as caught:
            async with open_(url=url):
                signal.raise_signal(signal.SIGINT)
    assert not hasattr(caught.value, "__notes__")


PROGRAM = """
import sys, trio
from realtime_trio import open_connection, open_session
from realtime_trio.events import InputAudioBufferCommit

async def main():
    open_ = {"open_session": open_session, "open_connection": open_connection}[sys.argv[1]]
    async with open_(url=sys.argv[2]) as opened:
        await opened.send(InputAudioBufferCommit())
        await trio.sleep_forever()

trio.run(main)
"""


@both
async def test_ctrl_c_in_a_terminal_ends_a_program_in_the_ordinary_way(open_: Open) -> None:
    ready = trio.Event()
    closes: list[Close | None] = []

    async def serve(server: Server) -> None:
        await greet(server)
        ready.set()
        await server.hear_the_rest()
        closes.append(server.transport.closed)

    async def send_signal(process: trio.Process) -> None:
        await ready.wait()
        process.send_signal(signal.SIGINT)

    async with open_server(serve, limit=20) as url, trio.open_nursery() as nursery:
        command = [sys.executable, "-c", PROGRAM, open_.__name__, url]
        process = await trio.lowlevel.open_process(command, stderr=subprocess.PIPE)
        nursery.start_soon(send_signal, process)
        assert process.stderr is not None
        async with process.stderr:
            said = b"".join([chunk async for chunk in process.stderr]).decode()
        await process.wait()
    assert process.returncode == -signal.SIGINT
    assert said.startswith("Traceback (most recent call last):")
    assert said.endswith("\nKeyboardInterrupt\n")
    assert "Exception Group" not in said
    assert "During handling" not in said
    assert closes[0] is not None
    # Without a goodbye if it was hit in the middle of its only send.
    assert closes[0].code in {1001, 1006}
