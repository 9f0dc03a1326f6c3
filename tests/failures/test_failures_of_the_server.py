"""What can go wrong on the way to a server and at its end.

It is seen through sessions and bare connections, on a real network.  Whatever it is: one bare
exception of ours leaves the block, and no task and no socket is left.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio
import trustme
from certificates import client_context, server_context
from openings import (
    Open,
    Opened,
    both,
    consume,
    event_frame,
    events_of,
    greet,
    greet_by_hand,
    start,
)
from peers import Leaves, Server, committed, created, failure, open_server
from trio.testing import wait_all_tasks_blocked
from websocket_peers import BINARY, CLOSE, TEXT, Reader, frame, open_tcp_server, reset

from realtime_trio._protocol.json_text import write_json
from realtime_trio._serving.websocket_server import Reject
from realtime_trio._session.opening import open_session
from realtime_trio._transport.contract import Close
from realtime_trio.audio.data import AudioData
from realtime_trio.connection import open_connection
from realtime_trio.errors import ConnectionFailed, ConnectionLost, RemoteProtocolError
from realtime_trio.events import (
    Event,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    ResponseOutputAudioDelta,
    UnknownEvent,
)

pytestmark = [
    pytest.mark.socket,
    pytest.mark.usefixtures("no_service_in_environment", "no_socket_is_left", "no_task_is_left"),
]


def open_tls_server(authority: trustme.CA) -> AbstractAsyncContextManager[str]:
    return open_server(greet, ssl_context=server_context(authority))


# There is no connection


@both
async def test_refused(open_: Open) -> None:
    with socket.socket() as unused:
        # Bound and not listening: nobody else can listen there meanwhile.
        unused.bind(("127.0.0.1", 0))
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
    async with open_tls_server(authority) as url:
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
            open_tls_server(authority) as url,
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
@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (404, "model_not_found", "The model `parrot-0` does not exist."),
        (400, None, "The model parrot-0 has been retired."),
        (404, "DeploymentNotFound", "The API deployment for this resource does not exist."),
        (400, "invalid_model", ""),
    ],
)
async def test_a_model_that_is_refused_with_the_handshake(
    open_: Open, status: int, code: str | None, message: str
) -> None:
    body = write_json({"error": {"message": message, "code": code, "param": None}}).encode()
    async with open_server(greet, admit=lambda _: Reject(status=status, body=body)) as url:
        with Leaves(
            ConnectionFailed,
            f"HTTP {status} .*: {message or code}; the model 'parrot-0' was chosen by the argument",
        ) as caught:
            async with open_(url=url, model="parrot-0"):
                pytest.fail("not reached")
    failure = caught.value
    assert isinstance(failure, ConnectionFailed)
    assert (failure.status, failure.body, failure.code) == (status, body, code)


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
    # Else the block is cancelled, and may be before it has seen the last event.
    if code == 1000 or open_ is open_connection:
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
