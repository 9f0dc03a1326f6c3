"""What can go wrong on a real network, seen through sessions and bare connections.

Whatever it is: one bare exception of ours leaves the block, or the user's own unchanged, and no
task and no socket is left.
"""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio
import trustme
from peers import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Leaves,
    Reader,
    Server,
    accept_upgrade,
    committed,
    created,
    delete,
    event_frame,
    failure,
    frame,
    open_server,
    open_tcp_server,
    reset,
    sockets,
    tasks,
)
from trio.testing import wait_all_tasks_blocked

from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio._transport.contract import Close
from realtime_trio.audio.data import AudioData
from realtime_trio.connection import Connection, open_connection
from realtime_trio.errors import (
    ConnectionFailed,
    ConnectionLost,
    RemoteProtocolError,
    SessionClosed,
    SlowConsumer,
)
from realtime_trio.events import (
    ConversationItemDelete,
    Event,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    ResponseOutputAudioDelta,
    SessionCreated,
    UnknownEvent,
)
from realtime_trio.simulator.serving.websocket_server import Reject

pytestmark = pytest.mark.socket

Opened = Session | Connection
Open = Callable[..., AbstractAsyncContextManager[Opened]]
both = pytest.mark.parametrize("open_", [open_session, open_connection])


@pytest.fixture(autouse=True)
def _environment_without_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "all_proxy",
        "http_proxy",
        "https_proxy",
        "ALL_PROXY",
        "HTTP_PROXY",
        "HTTPS_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _no_socket_is_left() -> Iterator[None]:
    before = sockets()
    yield
    assert sockets() <= before


@pytest.fixture(autouse=True)
async def _no_task_is_left() -> AsyncIterator[None]:
    await trio.lowlevel.checkpoint()
    before = tasks()
    yield
    assert tasks() <= before


def events_of(opened: Opened) -> Any:
    return opened if isinstance(opened, Connection) else opened.events()


async def consume(events: Any) -> list[Event]:
    """All events up to the end."""
    await trio.lowlevel.checkpoint()
    return [event async for event in events]


async def greet(server: Server) -> None:
    """Begin the session, and wait until the client says that it has seen that."""
    await server.say(created())
    await server.hear(InputAudioBufferCommit)


async def start(opened: Opened) -> Any:
    """Let the server go on, and return the events from the first on."""
    events = events_of(opened)
    await opened.send(InputAudioBufferCommit())
    return events


async def greet_by_hand(stream: trio.SocketStream) -> Reader:
    reader = await accept_upgrade(stream)
    await stream.send_all(event_frame(created()))
    opcode, _ = await frame_between_pings(stream, reader)
    assert opcode == TEXT
    return reader


async def frame_between_pings(stream: trio.SocketStream, reader: Reader) -> tuple[int, bytes]:
    """The next frame that is not the client's keep-alive, which is answered."""
    while True:
        opcode, payload = await reader.frame()
        if opcode != PING:
            return opcode, payload
        await stream.send_all(frame(PONG, payload))


def open_tls_server(certificate: trustme.LeafCert) -> AbstractAsyncContextManager[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return open_server(greet, ssl_context=context)


def client_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


# There is no connection


@both
async def test_refused(open_: Open) -> None:
    with socket.socket() as unused:
        unused.bind(
            ("127.0.0.1", 0)
        )  # bound and not listening: nobody else can listen there meanwhile
        port = unused.getsockname()[1]
        with trio.fail_after(5):
            with Leaves(
                ConnectionFailed, f"cannot connect to ws://127.0.0.1:{port}/realtime: .*refused"
            ):
                async with open_(url=f"ws://127.0.0.1:{port}"):
                    pytest.fail("not reached")


@both
async def test_no_such_name(open_: Open) -> None:
    with trio.fail_after(30):  # some resolvers take their time over it
        with Leaves(
            ConnectionFailed, "cannot connect to ws://nowhere.invalid:80/v1/realtime: "
        ) as caught:
            async with open_(url="ws://nowhere.invalid/v1", proxy=None, connect_timeout=25):
                pytest.fail("not reached")
    assert (caught.value.status, caught.value.code, caught.value.body) == (None, None, b"")


@both
async def test_a_certificate_nobody_vouches_for(open_: Open) -> None:
    authority, other = trustme.CA(), trustme.CA()
    async with open_tls_server(authority.issue_cert("127.0.0.1")) as url:
        with Leaves(
            ConnectionFailed, "TLS with wss://127.0.0.1:.* failed: certificate verify failed"
        ):
            async with open_(url=url, ssl_context=client_context(other)):
                pytest.fail("not reached")


@both
async def test_a_certificate_we_vouch_for(open_: Open) -> None:
    authority = trustme.CA()
    with trio.fail_after(5):
        async with (
            open_tls_server(authority.issue_cert("127.0.0.1")) as url,
            open_(url=url, ssl_context=client_context(authority)) as opened,
        ):
            events = await start(opened)
            assert await consume(events) == [created()]


@both
async def test_a_server_without_tls(open_: Open) -> None:
    async def answer_in_plain_text(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with open_tcp_server(answer_in_plain_text) as url:
        with Leaves(ConnectionFailed, "TLS with .* failed"):
            async with open_(url=url.replace("ws://", "wss://")):
                pytest.fail("not reached")


@both
@pytest.mark.parametrize("status", [401, 404, 500])
async def test_an_http_error_with_a_body(open_: Open, status: int) -> None:
    body = b'{"error": {"message": "no"}}'
    async with open_server(greet, admit=lambda _: Reject(status=status, body=body)) as url:
        with Leaves(
            ConnectionFailed, f"rejected the WebSocket handshake with HTTP {status}"
        ) as caught:
            async with open_(url=url):
                pytest.fail("not reached")
    assert (caught.value.status, caught.value.body, caught.value.code) == (status, body, None)


@both
async def test_a_server_that_does_not_answer_the_handshake(open_: Open) -> None:
    async def listen(stream: trio.SocketStream) -> None:
        await Reader(stream).request()
        assert await stream.receive_some() == b""

    async with open_tcp_server(listen) as url:
        with Leaves(ConnectionFailed, r"no answer within 0\.1 s"):
            async with open_(url=url, connect_timeout=0.1):
                pytest.fail("not reached")


# There is a connection, but no session


@pytest.mark.parametrize("code", [3000, 4000])
async def test_an_admission_error_is_a_failed_session(code: int) -> None:
    async with open_server(refuse_admission(code)) as url:
        with Leaves(ConnectionFailed, "refused the session: Incorrect API key provided") as caught:
            async with open_session(url=url):
                pytest.fail("not reached")
    assert (caught.value.code, caught.value.status) == ("invalid_api_key", None)


@pytest.mark.parametrize("code", [3000, 4000])
async def test_an_admission_error_is_an_event_and_a_loss_for_a_connection(code: int) -> None:
    seen: list[Event] = []
    async with open_server(refuse_admission(code)) as url:
        with Leaves(ConnectionLost) as caught:
            async with open_connection(url=url) as connection:
                seen.append(await connection.receive())
                await connection.receive()
    assert seen == [failure("Incorrect API key provided", code="invalid_api_key")]
    assert (caught.value.code, caught.value.reason) == (code, "invalid_request_error")


def refuse_admission(code: int) -> Callable[[Server], Awaitable[None]]:
    async def serve(server: Server) -> None:
        await server.say(failure("Incorrect API key provided", code="invalid_api_key"))
        await server.transport.aclose(code, "invalid_request_error")

    return serve


async def test_a_session_that_is_never_begun() -> None:
    async def serve(server: Server) -> None:
        assert await server.hear_the_rest() == []

    async with open_server(serve) as url:
        with Leaves(ConnectionFailed, "did not begin the session in time"):
            async with open_session(url=url, connect_timeout=0.1):
                pytest.fail("not reached")


async def test_a_connection_does_not_wait_for_a_session() -> None:
    async def serve(server: Server) -> None:
        await server.hear(InputAudioBufferCommit)

    async with (
        open_server(serve) as url,
        open_connection(url=url, connect_timeout=0.1) as connection,
    ):
        await start(connection)
        assert await consume(connection) == []


# The connection ends


@both
@pytest.mark.parametrize("code", [1000, 1001, 1009, 1011])
async def test_the_server_closes(open_: Open, code: int) -> None:
    seen: list[Event] = []

    async def serve(server: Server) -> None:
        await greet(server)
        await server.say(committed(1))
        await server.transport.aclose(code, "because")

    async def use(url: str) -> Opened:
        async with open_(url=url) as opened:
            stream = events_of(opened)
            await start(opened)
            async for event in stream:
                # A comprehension would keep nothing of what came before the end.
                seen.append(event)  # noqa: PERF401
        return opened

    async with open_server(serve) as url:
        if code == 1000:
            opened = await use(url)
            assert opened.closed == Close(1000, "because")
        else:
            with Leaves(ConnectionLost) as caught:
                await use(url)
            assert (caught.value.code, caught.value.reason) == (code, "because")
    assert seen[:1] == [created()]
    if (
        code == 1000 or open_ is open_connection
    ):  # else the block is cancelled, and may be before it has seen the last event
        assert seen == [created(), committed(1)]


@both
@pytest.mark.parametrize("how", ["hangs up", "resets", "resets in the middle of a frame"])
async def test_the_server_vanishes(open_: Open, how: str) -> None:
    async def vanish(stream: trio.SocketStream) -> None:
        await greet_by_hand(stream)
        if how == "resets in the middle of a frame":
            await stream.send_all(event_frame(committed(1))[:20])
        if how == "hangs up":
            await stream.aclose()
        else:
            reset(stream)

    async with open_tcp_server(vanish) as url:
        with Leaves(ConnectionLost) as caught:
            async with open_(url=url) as opened:
                events = await start(opened)
                await consume(events)
    assert caught.value.code == 1006
    assert caught.value.reason in {
        "the peer hung up without a close frame",
        "the connection broke: Connection reset by peer",
    }


@both
async def test_the_network_swallows_everything(open_: Open) -> None:
    async def fall_silent(stream: trio.SocketStream) -> None:
        await greet_by_hand(stream)
        await trio.sleep_forever()

    async with open_tcp_server(fall_silent) as url:
        with Leaves(ConnectionLost, r"1006 no pong within 0\.05 s"):
            async with open_(url=url, ping_interval=0.05, ping_timeout=0.05) as opened:
                events = await start(opened)
                await consume(events)


async def test_a_connection_lost_while_sending_leaves_the_block_bare() -> None:
    async def vanish(stream: trio.SocketStream) -> None:
        await greet_by_hand(stream)
        await wait_all_tasks_blocked(0.02)  # the network is jammed, and the outbox full behind it
        reset(stream)

    async with open_tcp_server(vanish) as url:
        with Leaves(ConnectionLost) as caught:
            async with open_session(url=url) as session:
                while True:
                    await session.send(InputAudioBufferAppend(audio=bytes(2**16)))
    assert caught.value.code == 1006


# The server talks nonsense


@both
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_garbage_is_delivered_and_nothing_ends(
    open_: Open, opcode: int, caplog: pytest.LogCaptureFixture
) -> None:
    garbage = b"garbage" if opcode == TEXT else b"\x00\xff\xfe"

    async def serve(stream: trio.SocketStream) -> None:
        await greet_by_hand(stream)
        await stream.send_all(
            frame(opcode, garbage) + event_frame(committed(1)) + frame(CLOSE, b"\x03\xe8")
        )
        await stream.receive_some()

    async with open_tcp_server(serve) as url, open_(url=url) as opened:
        events = await start(opened)
        first, unknown, last = await consume(events)
    assert (first, last) == (created(), committed(1))
    assert isinstance(unknown, UnknownEvent)
    assert unknown.raw == (garbage.decode() if opcode == TEXT else garbage)
    assert [record.levelname for record in caplog.records if record.name == "realtime_trio"] == [
        "WARNING"
    ]


@both
async def test_garbage_ends_what_is_strict(open_: Open) -> None:
    async def serve(server: Server) -> None:
        await greet(server)
        await server.transport.send("garbage")
        await server.hear_the_rest()

    async with open_server(serve) as url:
        with Leaves(RemoteProtocolError, "not JSON"):
            async with open_(url=url, strict=True) as opened:
                events = await start(opened)
                await consume(events)


@both
async def test_text_that_is_no_utf8_ends_the_connection(open_: Open) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await greet_by_hand(stream)
        await stream.send_all(frame(TEXT, b"\xff\xff"))
        await stream.receive_some()

    async with open_tcp_server(serve) as url:
        with Leaves(ConnectionLost) as caught:
            async with open_(url=url) as opened:
                events = await start(opened)
                await consume(events)
    assert caught.value.code in {1006, 1007}


@both
@pytest.mark.parametrize("is_admitted", [True, False])
async def test_a_message_of_20_mib(open_: Open, is_admitted: bool) -> None:
    audio = AudioData(bytes(15 * 2**20))
    delta = ResponseOutputAudioDelta(
        event_id="e", response_id="r", item_id="i", output_index=0, content_index=0, delta=audio
    )
    seen: list[Event] = []

    async def serve(server: Server) -> None:
        await greet(server)
        await server.say(delta)
        await server.hear_the_rest()

    async def use(url: str, **options: Any) -> None:
        async with open_(url=url, **options) as opened:
            stream = events_of(opened)
            await start(opened)
            seen.append(await anext(stream))
            seen.append(await anext(stream))

    async with open_server(serve, limit=10) as url:
        if is_admitted:
            await use(url)
            assert isinstance(seen[1], ResponseOutputAudioDelta)
            assert len(seen[1].delta.base64) == 20 * 2**20
        else:
            with Leaves(ConnectionLost, "1009"):
                await use(url, max_message_size=2**20)


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


async def greet_and_listen(server: Server) -> None:
    await server.say(created())
    await server.hear_the_rest()


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
    assert closes[0].code in {
        1001,
        1006,
    }  # without a goodbye if it was hit in the middle of its only send
