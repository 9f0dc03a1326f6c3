"""Leaving in a hurry: an exception or a cancellation is not held up by a peer that does not answer.

The servers here have 5 seconds, and the closing handshake would have 60.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Any

import numpy as np
import pytest
import trio
from openings import event_frame
from peers import Leaves, committed, created
from websocket_peers import CLOSE, PING, accept_upgrade, frame, open_tcp_server

from realtime_trio import ConnectionFailed, Session, open_session
from realtime_trio._transport.line import Line
from realtime_trio._transport.tap import Tap
from realtime_trio.connection import Connection, open_connection
from realtime_trio.events import InputAudioBufferCommit

pytestmark = [
    pytest.mark.socket,
    pytest.mark.usefixtures("no_service_in_environment", "no_socket_is_left", "no_task_is_left"),
]

Opened = Session | Connection
Open = Callable[..., AbstractAsyncContextManager[Opened]]
both = pytest.mark.parametrize(
    "open_",
    [
        partial(open_session, close_timeout=60),
        partial(open_connection, close_timeout=60),
    ],
    ids=["open_session", "open_connection"],
)


class Silent:
    """A service that says hello and then nothing any more, not even goodbye."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, bytes]] = []
        self.has_ended = trio.Event()

    async def __call__(self, stream: trio.SocketStream) -> None:
        reader = await accept_upgrade(stream)
        await stream.send_all(event_frame(created()))
        try:
            while True:
                self.heard.append(await reader.frame())
        except (AssertionError, trio.BrokenResourceError):  # the end
            self.has_ended.set()


@both
@pytest.mark.parametrize("how", ["exception", "cancellation", "interrupt"])
async def test_nobody_waits_for_a_peer_that_does_not_say_goodbye(open_: Open, how: str) -> None:
    server = Silent()
    async with open_tcp_server(server) as url:
        with trio.CancelScope() as scope, suppress(ValueError, KeyboardInterrupt):
            async with open_(url=url):
                if how == "cancellation":
                    scope.cancel()
                    await trio.sleep_forever()
                raise ValueError("mine") if how == "exception" else KeyboardInterrupt
        assert scope.cancelled_caught == (how == "cancellation")
        await server.has_ended.wait()
    assert (CLOSE, b"\x03\xe9") in server.heard  # 1001: it was told all the same


async def test_nobody_waits_for_a_peer_that_does_not_even_read() -> None:
    async def deaf(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream)
        await stream.send_all(event_frame(created()))
        await trio.sleep_forever()

    async with open_tcp_server(deaf) as url:
        with Leaves(ValueError, "mine"):
            async with open_session(url=url, close_timeout=60) as session:
                with trio.move_on_after(0.3):  # until the network takes no more
                    while True:
                        await session.append_audio(np.ones(500_000, np.int16))
                raise ValueError("mine")


async def test_the_time_to_connect_is_all_the_time_there_is() -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await accept_upgrade(stream)
        await trio.sleep_forever()

    async with open_tcp_server(silent) as url:
        with Leaves(ConnectionFailed, "did not begin the session in time"):
            async with open_session(url=url, connect_timeout=0.1, close_timeout=60):
                pytest.fail("not reached")


async def answer_once(stream: trio.SocketStream) -> None:
    reader = await accept_upgrade(stream)
    await stream.send_all(event_frame(created()))
    with suppress(AssertionError):  # the client may have gone before it could say anything
        await reader.frame()
        await stream.send_all(event_frame(committed(1)) * 2 + frame(PING, b""))
        await trio.sleep_forever()


@both
@pytest.mark.parametrize(
    ("room", "where"),
    [(Tap, "receive_some"), (Tap, "send_all"), (Tap, "aclose"), (Line, "read"), (Line, "write")],
)
async def test_ctrl_c_that_lands_in_our_own_code_leaves_no_socket(
    open_: Open, room: type[Tap | Line], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(room, where)
    is_open = False

    # Of an asynchronous method it lands before the first step.
    def interrupted(*arguments: Any) -> Any:
        if is_open:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(room, where, interrupted)
    async with open_tcp_server(answer_once) as url:
        with Leaves(KeyboardInterrupt):
            async with open_(url=url) as opened:
                is_open = True
                await opened.send(InputAudioBufferCommit())
                await trio.sleep(0.1)
                if where == "aclose":
                    raise KeyboardInterrupt
                await trio.sleep_forever()
