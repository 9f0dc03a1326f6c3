"""A line: reading and writing at once, and waiting; with and without TLS, over real sockets."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from certificates import tls_contexts

from realtime_trio._transport.line import Line

pytestmark = pytest.mark.socket

BIG = b"x" * 2**24  # more than systems buffer


async def connected() -> tuple[trio.SocketStream, trio.SocketStream]:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    near = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
    far = await listener.accept()
    await listener.aclose()
    return near, far


@asynccontextmanager
async def open_lines(kind: str) -> AsyncIterator[tuple[Line, Line]]:
    """Two lines that are connected: with "TLS", a client and its server."""
    near, far = map(Line, await connected())
    try:
        with trio.fail_after(20):
            if kind == "TLS":
                server, client = tls_contexts()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(far.start_tls, server)
                    await near.start_tls(client, server_hostname="127.0.0.1")
            yield near, far
    finally:
        near.close()
        far.close()


@pytest.fixture(params=["plain", "TLS"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def read_some(line: Line) -> bytes:
    while True:
        await line.wait_readable()
        if (data := line.read(2**16)) is not None:
            return data


async def read_exactly(line: Line, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = await read_some(line)
        assert piece
        data += piece
    return bytes(data)  # noqa: ASYNC910 - reading was one


async def test_what_is_written_is_read_both_ways(kind: str) -> None:
    async with open_lines(kind) as (near, far):
        assert near.read(100) is None
        for one, other in ((near, far), (far, near)):
            assert one.write(b"hello, ")
            assert one.write(b"world")
            assert await read_exactly(other, 12) == b"hello, world"
        assert near.read(100) is None


async def test_what_does_not_go_is_kept_and_drained_in_order(kind: str) -> None:
    async with open_lines(kind) as (near, far):
        assert not near.write(BIG)
        assert not near.write(b"behind")
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(near.drain)
            assert await read_exactly(far, len(BIG) + 6) == BIG + b"behind"
        assert not near.has_rest
        assert near.write(b"more")


async def test_a_cancelled_drain_leaves_the_rest_to_the_next(kind: str) -> None:
    async with open_lines(kind) as (near, far):
        near.write(BIG)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.drain)
            await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.drain)
            assert await read_exactly(far, len(BIG)) == BIG


async def test_a_drain_whose_first_is_cancelled_goes_on_by_the_second(kind: str) -> None:
    async with open_lines(kind) as (near, far), trio.open_nursery() as nursery:
        near.write(BIG)
        first = trio.CancelScope()

        @nursery.start_soon
        async def drain_first() -> None:
            with first:
                await near.drain()

        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.start_soon(near.drain)
        await trio.testing.wait_all_tasks_blocked(0.01)
        first.cancel()
        assert await read_exactly(far, len(BIG)) == BIG


async def test_waking_the_reader_does_not_disturb_the_writer(kind: str) -> None:
    async with open_lines(kind) as (near, far), trio.open_nursery() as nursery:
        near.write(BIG)
        nursery.start_soon(near.drain)
        woken = trio.Event()

        @nursery.start_soon
        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await read_some(near)
            woken.set()

        await trio.testing.wait_all_tasks_blocked(0.01)
        near.wake_reader()
        await woken.wait()
        assert not near.is_closed
        assert await read_exactly(far, len(BIG)) == BIG
        far.write(b"still here")
        assert await read_exactly(near, 10) == b"still here"


async def test_the_end_is_read_again_and_again(kind: str) -> None:
    async with open_lines(kind) as (near, far):
        far.write(b"last")
        far.send_fin()
        assert await read_exactly(near, 4) == b"last"
        assert await read_some(near) == b""
        assert await read_some(near) == b""


async def test_a_reset_breaks_the_line_and_it_stays_broken(kind: str) -> None:
    async with open_lines(kind) as (near, far):
        far.reset_on_close()
        far.close()
        for _ in range(2):
            with pytest.raises(trio.BrokenResourceError) as caught:
                await read_some(near)
            assert isinstance(caught.value.__cause__, ConnectionError)
        for _ in range(2):
            with pytest.raises(trio.BrokenResourceError) as caught:
                near.write(b"anybody there?")
            assert isinstance(caught.value.__cause__, OSError)


async def test_everybody_who_drains_hears_of_a_broken_line(kind: str) -> None:
    async with open_lines(kind) as (near, far), trio.open_nursery() as nursery:
        near.write(BIG)
        heard = []

        async def drain() -> None:
            with pytest.raises(trio.BrokenResourceError):
                await near.drain()
            heard.append(True)

        for _ in range(3):
            nursery.start_soon(drain)
        await trio.testing.wait_all_tasks_blocked(0.01)
        far.reset_on_close()
        far.close()
        with trio.fail_after(5):  # noqa: ASYNC912 - the loop is one
            while len(heard) < 3:
                await trio.testing.wait_all_tasks_blocked(0.01)


async def test_closing_wakes_whoever_waits_and_refuses_whoever_comes(kind: str) -> None:
    async with open_lines(kind) as (near, _far), trio.open_nursery() as nursery:
        near.write(BIG)
        released = []

        async def wait(what: str) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await (near.drain() if what == "drain" else read_some(near))
            released.append(what)

        nursery.start_soon(wait, "drain")
        nursery.start_soon(wait, "read")
        await trio.testing.wait_all_tasks_blocked(0.01)
        near.close()
        near.close()
        near.wake_reader()
        assert near.is_closed
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(released) == ["drain", "read"]
        with pytest.raises(trio.ClosedResourceError):
            await near.wait_readable()
        with pytest.raises(trio.ClosedResourceError):
            near.read(1)
        with pytest.raises(trio.ClosedResourceError):
            near.write(b"x")
        near.send_fin()


async def test_what_has_not_gone_cannot_be_drained_once_the_line_is_closed(kind: str) -> None:
    async with open_lines(kind) as (near, _far):
        assert not near.write(BIG)
        near.close()
        with pytest.raises(trio.ClosedResourceError):
            await near.drain()


# TLS


async def test_what_comes_with_the_end_of_the_handshake_is_not_lost() -> None:
    """A client's last word of the handshake and its first message may arrive together."""
    near, far = await connected()
    server_context, client_context = tls_contexts()
    server = Line(far)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.start_tls, server_context)
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                await near.send_all(outgoing.read())
                incoming.write(await near.receive_some())
        client.write(b"early")
        await near.send_all(outgoing.read())
    assert await read_some(server) == b"early"
    assert server.read(100) is None
    server.close()
    await near.aclose()


async def test_a_certificate_that_is_not_good_is_refused_and_the_peer_is_told() -> None:
    near, far = map(Line, await connected())
    server, _ = tls_contexts()
    told: list[ssl.SSLError] = []

    async def serve() -> None:  # noqa: ASYNC910 - the handshake is one
        try:
            await far.start_tls(server)
            await read_some(far)
        except (ssl.SSLError, trio.BrokenResourceError) as error:
            cause = error.__cause__ or error
            assert isinstance(cause, ssl.SSLError)
            told.append(cause)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(ssl.SSLCertVerificationError):
            await near.start_tls(ssl.create_default_context(), server_hostname="127.0.0.1")
    assert "UNKNOWN_CA" in str(told[0]).upper()
    near.close()
    far.close()


async def test_a_peer_that_hangs_up_during_the_handshake() -> None:
    near, far = await connected()
    await far.aclose()
    line = Line(near)
    with pytest.raises((EOFError, trio.BrokenResourceError)):
        await line.start_tls(ssl.create_default_context(), server_hostname="127.0.0.1")
    line.close()


async def test_a_peer_that_says_no_more_during_the_handshake() -> None:
    near, far = await connected()
    await far.send_eof()
    line = Line(near)
    with trio.fail_after(5), pytest.raises(EOFError):
        await line.start_tls(ssl.create_default_context(), server_hostname="127.0.0.1")
    line.close()
    await far.aclose()


async def test_a_goodbye_of_tls_is_an_end_while_the_socket_stays_open() -> None:
    near, far = await connected()
    server_context, client_context = tls_contexts()
    line = Line(near)
    server = trio.SSLStream(far, server_context, server_side=True, https_compatible=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.do_handshake)
        await line.start_tls(client_context, server_hostname="127.0.0.1")
    await server.send_all(b"bye")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.aclose)
        assert await read_exactly(line, 3) == b"bye"
        assert await read_some(line) == b""
        assert await read_some(line) == b""
    line.close()


async def test_the_end_is_said_in_the_words_of_tls_as_well() -> None:
    near, far = await connected()
    server_context, client_context = tls_contexts()
    line = Line(near)
    # Not `https_compatible`: it takes nothing but a goodbye of TLS for the end.
    server = trio.SSLStream(far, server_context, server_side=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.do_handshake)
        await line.start_tls(client_context, server_hostname="127.0.0.1")
    line.write(b"bye")
    line.send_fin()
    assert await server.receive_some() == b"bye"
    assert await server.receive_some() == b""
    line.close()
    await far.aclose()


async def test_garbage_instead_of_tls_breaks_the_line() -> None:
    near, far = await connected()
    server_context, client_context = tls_contexts()
    line = Line(near)
    server = trio.SSLStream(far, server_context, server_side=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.do_handshake)
        await line.start_tls(client_context, server_hostname="127.0.0.1")
    await far.send_all(b"garbage " * 10)
    with pytest.raises(trio.BrokenResourceError) as caught:
        await read_some(line)
    assert isinstance(caught.value.__cause__, ssl.SSLError)
    line.close()
    await far.aclose()
