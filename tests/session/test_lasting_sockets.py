"""Sessions that go on over real sockets: cut at every message of a spoken turn with a tool."""

from __future__ import annotations

import signal
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count

import pytest
import trio
from attrs import frozen
from certificates import tls_contexts
from lasting_spoken import NOTHING, PROMPT, Agent, Ears, check, open_talking, talk
from peers import sockets, tasks

from realtime_trio import open_session
from realtime_trio._session.voice import Session
from realtime_trio.errors import ConnectionLost
from realtime_trio.events import UserMessage
from realtime_trio.lasting import Reconnect, Reconnected, Reconnecting
from realtime_trio.simulator import Cast, Fault, Script, serve_simulator


def first_only(*faults: Fault) -> Callable[[], Iterable[Fault]]:
    """These go wrong on the first connection, and nothing on all others."""
    connections = count(1)
    return lambda: faults if next(connections) == 1 else ()


async def serve(nursery: trio.Nursery, *faults: Fault, tls: ssl.SSLContext | None = None) -> str:
    cast = Cast(Agent(), ears=Ears())
    url: str = await nursery.start(
        partial(serve_simulator, Script(), cast=cast, faults=first_only(*faults), ssl_context=tls)
    )
    return url


def faults_at(nth: int, *, is_secure: bool) -> Iterator[Fault]:
    """One way to break at every message, and the others at some."""
    yield Fault.drop(nth=nth)
    if nth % 6 == 0:
        yield Fault.reset(nth=nth)
        if not is_secure:
            yield Fault.expiry(nth=nth)


async def messages_of_a_turn() -> int:
    """How many messages the server sends in the turn, when nothing goes wrong."""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            url = await serve(nursery)
            async with open_talking(url=url) as session:
                wire = session.wire()
                await talk(session)
                check(session)
                records = [wire.receive_nowait() for _ in range(wire.pending)]
            nursery.cancel_scope.cancel()
    return sum(record.source == "server" for record in records)


@pytest.mark.parametrize("is_secure", [False, True], ids=["ws", "wss"])
async def test_wherever_the_connection_breaks_the_right_answer_is_given_once(
    is_secure: bool,
) -> None:
    server_tls, client_tls = tls_contexts() if is_secure else (None, None)
    whole = await messages_of_a_turn()
    assert whole > 25
    cut = 0
    # The first two open the session.
    for nth in range(3, whole + 1):
        for fault in faults_at(nth, is_secure=is_secure):
            with trio.fail_after(30):
                async with trio.open_nursery() as nursery:
                    url = await serve(nursery, fault, tls=server_tls)
                    async with open_talking(url=url, ssl_context=client_tls) as session:
                        reconnected = session.events(Reconnected)
                        await talk(session)
                        told = [reconnected.receive_nowait() for _ in range(reconnected.pending)]
                        check(session, sum((each.lost for each in told), NOTHING))
                        cut += len(told)
                    nursery.cancel_scope.cancel()
    # The turn may have been over, as far as we look at it, when the last ones were to be sent.
    assert cut >= whole - 5


async def lose(session: Session, server: trio.CancelScope, how: str) -> None:
    """Lose the server, and stop in the middle of the search for another."""
    trying = session.events(Reconnecting)
    server.cancel()
    for _ in range(3):
        await trying.receive()
    if how == "interrupt":
        signal.raise_signal(signal.SIGINT)
    elif how == "exception":
        raise ValueError("mine")
    await trio.sleep_forever()


@pytest.mark.parametrize("how", ["cancellation", "exception", "interrupt"])
async def test_leaving_in_the_middle_of_a_search_leaves_nothing_behind(how: str) -> None:
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve_in_scope)
            tasks_before, sockets_before = tasks(), sockets()
            with trio.CancelScope() as scope, suppress(ValueError, KeyboardInterrupt):
                async with open_talking(url=server.url) as session:
                    if how == "cancellation":
                        nursery.start_soon(cancel_later, session, scope)  # noqa: ASYNC111
                    await lose(session, server.scope, how)
            assert tasks() < tasks_before
            assert not sockets() - sockets_before


async def cancel_later(session: Session, scope: trio.CancelScope) -> None:
    with session.events(Reconnecting) as trying:
        for _ in range(4):
            await trying.receive()
        scope.cancel()


@frozen
class Served:
    url: str
    scope: trio.CancelScope


async def serve_in_scope(  # noqa: ASYNC114 - it is started outside of any block
    task_status: trio.TaskStatus[Served],
) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            task_status.started(Served(await serve(nursery), scope))


async def test_the_key_is_asked_for_again_and_its_function_may_fail_for_a_while() -> None:
    given: list[str] = []

    async def key() -> str:
        await trio.lowlevel.checkpoint()
        given.append(f"key {len(given)}")
        if len(given) in (2, 3):
            raise OSError("the network is down")
        return given[-1]

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            url = await serve(nursery, Fault.drop("conversation.item.added"))
            async with open_session(url=url, api_key=key, reconnect=PROMPT) as session:
                trying = session.events(Reconnecting)
                await session.insert_item(UserMessage.text("Hello!"))
                attempts = [trying.receive_nowait().why for _ in range(trying.pending)]
            nursery.cancel_scope.cancel()
    assert len(given) == 4
    assert attempts[1:] == 2 * ["OSError: the network is down"]


async def test_a_key_that_is_refused_ends_the_session() -> None:
    keys = iter(["good", "bad"])

    async def key() -> str:
        await trio.lowlevel.checkpoint()
        return next(keys)

    async def talk() -> None:
        async with trio.open_nursery() as nursery:
            faults = [Fault.drop("conversation.item.added")]
            url = await nursery.start(
                partial(serve_simulator, Script(), api_key="good", faults=faults)
            )
            async with open_session(url=url, api_key=key, reconnect=PROMPT) as session:
                await session.insert_item(UserMessage.text("Hello!"))

    with trio.fail_after(30), pytest.RaisesGroup(ConnectionLost) as caught:
        await talk()
    (lost,) = caught.value.exceptions
    first, last = lost.__notes__
    assert first.startswith("attempt 1: the service closed the new connection: 3000")
    assert last == "not tried again: it would be the same the next time"


async def test_what_is_lost_for_good_is_lost_with_its_story() -> None:
    async def talk_to_nobody() -> None:
        policy = Reconnect(delay=0.01, attempts=2)
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve_in_scope)
            async with open_session(url=server.url, api_key="key", reconnect=policy):
                server.scope.cancel()
                await trio.sleep_forever()

    with trio.fail_after(30), pytest.RaisesGroup(ConnectionLost) as caught:
        await talk_to_nobody()
    (lost,) = caught.value.exceptions
    assert [note.partition(":")[0] for note in lost.__notes__] == [
        "attempt 1",
        "attempt 2",
        "not tried again",
    ]
