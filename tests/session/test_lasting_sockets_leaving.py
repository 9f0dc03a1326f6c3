"""Leaving in the middle of a reconnection, over real sockets: at once, with nothing left behind.

A session loses its connection and is caught in one of the stages of getting another one.  It is
left by a cancellation, by an exception of the block, or by Ctrl-C, wherever that strikes: in the
block, or in a task of the session that runs code of the application.
"""

from __future__ import annotations

import gc
import signal
import ssl
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count, product
from typing import Literal
from urllib.parse import urlsplit

import pytest
import trio
from attrs import define, field
from certificates import tls_contexts
from peers import sockets, tasks
from trio.testing import wait_all_tasks_blocked

from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio.events import ConversationItemCreate, Item, UserMessage
from realtime_trio.history import HistoryLimit
from realtime_trio.lasting import Reconnect, Reconnecting
from realtime_trio.simulator import Fault, Script, serve_simulator

pytestmark = [pytest.mark.socket, pytest.mark.usefixtures("no_service_in_environment")]

Stage = Literal["backoff", "key", "handshake", "summary", "telling"]
"""How far the search for another connection is."""
How = Literal["cancellation", "exception", "interrupt", "interrupt in a task"]
STAGES: Sequence[Stage] = ("backoff", "key", "handshake", "summary", "telling")
HOWS: Sequence[How] = ("cancellation", "exception", "interrupt")
IN_TASKS: Sequence[tuple[Stage, How]] = (
    ("key", "interrupt in a task"),
    ("summary", "interrupt in a task"),
)
"""Where a task of the session runs code of the application."""


class LeftError(Exception):
    """Of the block."""


@define(eq=False)
class World:
    """A service that can be lost, and a session that is caught in the search for another one."""

    stage: Stage
    how: How
    tls: tuple[ssl.SSLContext, ssl.SSLContext] | None
    port: int = 0
    """Where the service is."""
    reached: trio.Event = field(factory=trio.Event)
    """The session is in that stage."""
    connections: Iterator[int] = field(factory=partial(count, 1))
    keys: Iterator[int] = field(factory=partial(count, 1))
    first: trio.CancelScope = field(factory=trio.CancelScope)
    """The first connection."""

    # --- the service ------------------------------------------------------------------------------

    async def serve(self, *, task_status: trio.TaskStatus[str]) -> None:
        """Serve, behind something that cuts the first connection and may swallow the others."""
        async with trio.open_nursery() as nursery:
            stalls = iter([(), (Fault.stall(on="conversation.item"),)])
            url: str = await nursery.start(
                partial(
                    serve_simulator,
                    Script(),
                    ssl_context=None if self.tls is None else self.tls[0],
                    faults=lambda: next(stalls),
                )
            )
            parts = urlsplit(url)
            assert parts.port is not None
            self.port = parts.port
            (listener,) = await nursery.start(
                partial(trio.serve_tcp, self._connection, 0, host="127.0.0.1")
            )
            port = listener.socket.getsockname()[1]
            task_status.started(f"{parts.scheme}://127.0.0.1:{port}{parts.path}")

    async def _connection(self, client: trio.SocketStream) -> None:
        is_first = next(self.connections) == 1
        if not is_first and self.stage == "handshake":
            async for _ in client:
                self.reached.set()
            return
        with self.first if is_first else trio.CancelScope():
            async with (
                client,
                await trio.open_tcp_stream("127.0.0.1", self.port) as server,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(self._pass_on, client, server, nursery.cancel_scope)
                nursery.start_soon(self._pass_on, server, client, nursery.cancel_scope)

    async def _pass_on(
        self, source: trio.SocketStream, target: trio.SocketStream, connection: trio.CancelScope
    ) -> None:
        await trio.lowlevel.checkpoint()
        try:
            async for data in source:
                await target.send_all(data)
        except trio.BrokenResourceError:
            pass
        connection.cancel()

    # --- what a session runs of the application ---------------------------------------------------

    async def key(self) -> str:
        """Give the key, but keep whoever asks again waiting."""
        await trio.lowlevel.checkpoint()
        if self.stage == "key" and next(self.keys) > 1:
            await self._be_caught()
        return "key"

    async def summarize(self, _: Sequence[Item]) -> str:
        """Never come to an end."""
        await self._be_caught()
        return ""

    async def _be_caught(self) -> None:
        self.reached.set()
        if self.how == "interrupt in a task":
            signal.raise_signal(signal.SIGINT)
        await trio.sleep_forever()

    # --- the session ------------------------------------------------------------------------------

    async def live(self, url: str, nursery: trio.Nursery) -> None:
        """Have a session, lose it, and leave it."""
        with trio.CancelScope() as scope:
            async with open_session(
                url=url,
                api_key=self.key,
                ssl_context=None if self.tls is None else self.tls[1],
                reconnect=Reconnect(delay=30 if self.stage == "backoff" else 0, longest_delay=30),
                history_limit=(
                    HistoryLimit(items=1, summarize=self.summarize)
                    if self.stage == "summary"
                    else HistoryLimit()
                ),
            ) as session:
                for words in ("Hello!", "Are you there?"):
                    await session.insert_item(UserMessage.text(words))
                await self._lose(session)
                match self.how:
                    case "cancellation":
                        scope.cancel()
                    case "exception":
                        raise LeftError
                    case "interrupt":
                        nursery.start_soon(press_ctrl_c)
                await trio.sleep_forever()

    async def _lose(self, session: Session) -> None:
        trying, wire = session.events(Reconnecting), session.wire()
        self.first.cancel()
        await trying.receive()
        match self.stage:
            case "backoff":
                self.reached.set()
            case "telling":
                while wire.pending:
                    wire.receive_nowait()
                while not isinstance((await wire.receive()).event, ConversationItemCreate):
                    pass
                self.reached.set()
        await self.reached.wait()


@trio.lowlevel.enable_ki_protection
async def press_ctrl_c() -> None:
    """Press it while nobody runs who could be interrupted, so that the block is."""
    await wait_all_tasks_blocked()
    signal.raise_signal(signal.SIGINT)


async def leave(world: World) -> None:
    """Leave a session in this stage; all that there was before is there afterwards, and no more."""
    tasks_before, sockets_before = tasks(), sockets()
    caught: BaseException | None = None
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(world.serve)
            try:
                await world.live(url, nursery)
            except (LeftError, KeyboardInterrupt) as error:
                caught = error
            # Without a wait until the search is over.
            assert world.reached.is_set()
            nursery.cancel_scope.cancel()
    expected = {"cancellation": None, "exception": LeftError}.get(world.how, KeyboardInterrupt)
    assert type(caught) is (expected or type(None))
    assert tasks() == tasks_before
    assert sockets() == sockets_before


@pytest.mark.parametrize("is_secure", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize(("stage", "how"), [*product(STAGES, HOWS), *IN_TASKS])
def test_leaving_at_any_stage_of_a_search_leaves_nothing_behind(
    stage: Stage, how: How, is_secure: bool
) -> None:
    # In a run of its own, of which the block is the main task: that is who gets Ctrl-C.
    trio.run(leave, World(stage, how, tls_contexts() if is_secure else None))
    # What nobody closed would be complained of now.
    gc.collect()
