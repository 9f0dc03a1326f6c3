"""The WebSocket transport as a server has it: admission, handlers, and how it all ends."""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Callable
from functools import partial

import pytest
import trio
import trio.testing
from certificates import tls_contexts
from peers import tasks
from websocket_peers import close_frame, echo, limited_nursery, read_to_the_end, receive_all, reset

from realtime_trio._serving.http import HttpRequest, HttpResponse
from realtime_trio._serving.websocket_server import (
    Accept,
    HandshakeRequest,
    Reject,
    serve_websocket,
)
from realtime_trio._transport.contract import Close, Transport
from realtime_trio._transport.settings import WebSocketSettings
from realtime_trio._transport.websocket import WebSocketTransport
from realtime_trio._transport.websocket_client import open_websocket
from realtime_trio.errors import ConnectionFailed, ConnectionLost

pytestmark = pytest.mark.socket


# Serving


async def test_the_server_sees_the_request_and_selects_a_subprotocol() -> None:
    requests = []

    def admit(request: HandshakeRequest) -> Accept:
        requests.append(request)
        return Accept(subprotocol=request.subprotocols[-1], headers=(("x-served-by", "test"),))

    async def handler(transport: Transport, request: HandshakeRequest) -> None:
        await transport.send(request.path)

    async with limited_nursery() as nursery:
        host, port = await nursery.start(
            lambda task_status: serve_websocket(
                handler, "127.0.0.1", 0, admit=admit, task_status=task_status
            )
        )
        url = f"ws://{host}:{port}/v1/realtime?model=m&key=s3cret"
        async with open_websocket(
            url, headers=[("Authorization", "Bearer t0ken")], subprotocols=["realtime", "key.k3y"]
        ) as transport:
            assert transport.subprotocol == "key.k3y"
            assert await receive_all(transport) == ["/v1/realtime?model=m&key=s3cret"]
            assert transport.closed == Close(1000)
    [request] = requests
    assert request.subprotocols == ("realtime", "key.k3y")
    assert request.header("AUTHORIZATION") == "Bearer t0ken"
    assert request.header("x-unknown") is None
    assert request.peer[0] == "127.0.0.1"
    assert "/v1/realtime" in repr(request)
    assert not any(secret in repr(request) for secret in ("s3cret", "t0ken", "k3y"))


async def test_an_exception_in_a_handler_is_logged_and_closes_that_connection_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(transport: Transport, request: HandshakeRequest) -> None:
        if request.path == "/bad":
            raise ValueError("a bug")
        await echo(transport, request)

    async with limited_nursery() as nursery:
        host, port = await nursery.start(serve_websocket, handler, "127.0.0.1", 0)
        async with (
            open_websocket(f"ws://{host}:{port}/good") as good,
            open_websocket(f"ws://{host}:{port}/bad") as bad,
        ):
            assert await receive_all(bad) == []
            assert bad.closed == Close(1011, "internal error")
            await good.send("still there?")
            assert await good.receive() == ("still there?",)
    [record] = caplog.records
    assert record.name == "realtime_trio.serving"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)


async def test_a_client_that_has_gone_is_no_error_of_the_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handled = trio.Event()

    async def handler(transport: Transport, _request: HandshakeRequest) -> None:
        await receive_all(transport)
        handled.set()
        await transport.send("anybody?")

    async with limited_nursery() as nursery:
        host, port = await nursery.start(serve_websocket, handler, "127.0.0.1", 0)
        async with open_websocket(f"ws://{host}:{port}/"):
            pass
        await handled.wait()
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def select_what_was_not_offered(_request: HandshakeRequest) -> Accept:
    return Accept(subprotocol="mine")


def crash(_request: HandshakeRequest) -> Accept:
    raise ValueError("a bug")


def answer_with_an_impossible_header(_request: HandshakeRequest) -> Reject:
    return Reject(status=401, headers=(("bad name", "x"),))


@pytest.mark.parametrize(
    "admit", [select_what_was_not_offered, crash, answer_with_an_impossible_header]
)
async def test_a_failing_admission_is_logged_and_answered_with_http_500(
    admit: Callable[[HandshakeRequest], Accept | Reject], caplog: pytest.LogCaptureFixture
) -> None:
    async with limited_nursery() as nursery:
        host, port = await nursery.start(
            lambda task_status: serve_websocket(
                echo, "127.0.0.1", 0, admit=admit, task_status=task_status
            )
        )
        with pytest.raises(ConnectionFailed, match="HTTP 500"):
            async with open_websocket(f"ws://{host}:{port}/"):
                pytest.fail("not reached")
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_clients_that_are_no_websocket_clients_are_survived() -> None:
    async with limited_nursery() as nursery:
        host, port = await nursery.start(
            lambda task_status: serve_websocket(
                echo,
                "127.0.0.1",
                0,
                settings=WebSocketSettings(connect_timeout=0.1),
                task_status=task_status,
            )
        )
        for request in [
            b"",
            b"nonsense\r\n\r\n",
            b"POST / HTTP/1.1\r\nhost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: \xff\r\n\r\n",
        ]:
            stream = await trio.open_tcp_stream(host, port)
            await stream.send_all(request)
            await stream.send_eof()
            assert b" 101 " not in await read_to_the_end(stream)
            await stream.aclose()
        silent = await trio.open_tcp_stream(host, port)
        assert await read_to_the_end(silent) == b""
        await silent.aclose()
        gone = socket.create_connection((host, port))
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.close()
        async with open_websocket(f"ws://{host}:{port}/") as transport:
            await transport.send("fine")
            assert await transport.receive() == ("fine",)


async def test_cancelling_the_server_closes_every_connection_as_going_away_and_leaves_no_task() -> (
    None
):
    before = len(tasks())
    async with limited_nursery() as nursery, trio.open_nursery() as server_nursery:
        host, port = await server_nursery.start(serve_websocket, echo, "127.0.0.1", 0)
        url = f"ws://{host}:{port}/"
        async with open_websocket(url) as one, open_websocket(url) as two:
            server_nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                assert await receive_all(one) == await receive_all(two) == []
            assert one.closed == two.closed == Close(1001)
            assert not nursery.cancel_scope.cancel_called
    assert len(tasks()) == before


async def test_a_client_that_never_answers_the_close_frame_does_not_hold_the_server_up() -> None:
    async def handler(_transport: Transport, _request: HandshakeRequest) -> None:
        await trio.lowlevel.checkpoint()

    async with limited_nursery() as nursery:
        host, port = await nursery.start(
            lambda task_status: serve_websocket(
                handler,
                "127.0.0.1",
                0,
                settings=WebSocketSettings(close_timeout=0.05),
                task_status=task_status,
            )
        )
        stream = await trio.open_tcp_stream(host, port)
        await stream.send_all(
            b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert (await read_to_the_end(stream)).endswith(close_frame(1000))
        await stream.aclose()


async def test_what_comes_over_plain_http_is_answered_and_websockets_are_served_beside_it() -> None:
    async def answer(request: HttpRequest) -> HttpResponse:
        await trio.lowlevel.checkpoint()
        return HttpResponse(
            status=200,
            body=f"{request.method} {request.path} {len(request.body)} {request.peer[0]}".encode(),
        )

    async with limited_nursery() as nursery:
        host, port = await nursery.start(
            partial(
                serve_websocket,
                echo,
                "127.0.0.1",
                0,
                http=answer,
                settings=WebSocketSettings(receive_buffer_size=16),
            )
        )
        for ending in (False, True):
            stream = await trio.open_tcp_stream(host, port)
            await stream.send_all(b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc")
            if ending:
                await stream.send_eof()
            assert (await read_to_the_end(stream)).endswith(b"\r\n\r\nPOST /x 3 127.0.0.1")
            await stream.aclose()
        async with open_websocket(f"ws://{host}:{port}/", subprotocols=["one"]) as transport:
            assert transport.subprotocol is None
            await transport.send("fine")
            assert await transport.receive() == ("fine",)


async def test_an_answer_is_read_even_by_a_client_who_is_still_sending() -> None:
    async def answer(_request: HttpRequest) -> HttpResponse:
        await trio.lowlevel.checkpoint()
        raise AssertionError

    async with limited_nursery() as nursery:
        host, port = await nursery.start(
            lambda task_status: serve_websocket(
                echo, "127.0.0.1", 0, http=answer, task_status=task_status
            )
        )
        stream = await trio.open_tcp_stream(host, port)
        await stream.send_all(
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % 2**22 + bytes(2**22)
        )
        answer_of_server = await read_to_the_end(stream)
        assert answer_of_server.startswith(b"HTTP/1.1 413 ")
        assert b"<reset>" not in answer_of_server
        await stream.aclose()


async def test_a_client_that_leaves_before_it_is_answered_or_takes_too_long_is_survived(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def never(_request: HttpRequest) -> HttpResponse:
        await trio.sleep_forever()
        raise AssertionError

    async with limited_nursery() as nursery:
        serve = partial(
            serve_websocket,
            echo,
            "127.0.0.1",
            0,
            http=never,
            settings=WebSocketSettings(connect_timeout=0.1),
        )
        host, port = await nursery.start(serve)
        for request in [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"]:
            patient = await trio.open_tcp_stream(host, port)
            await patient.send_all(request)
            assert await read_to_the_end(patient) == b""
            await patient.aclose()
            impatient = await trio.open_tcp_stream(host, port)
            await impatient.send_all(request)
            reset(impatient)
        async with open_websocket(f"ws://{host}:{port}/") as transport:
            await transport.send("fine")
            assert await transport.receive() == ("fine",)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_an_interrupt_in_a_handler_ends_the_server_even_while_that_is_cancelled(
    is_cancelled: bool,
) -> None:
    interrupt = SystemExit("enough")

    async def serve() -> None:
        async with trio.open_nursery() as nursery:

            async def handler(_transport: Transport, _request: HandshakeRequest) -> None:
                await trio.lowlevel.checkpoint()
                if is_cancelled:
                    nursery.cancel_scope.cancel()
                raise interrupt

            host, port = await nursery.start(serve_websocket, handler, "127.0.0.1", 0)
            async with open_websocket(f"ws://{host}:{port}/") as transport:
                await receive_all(transport)

    caught: list[BaseException] = []
    await trio.lowlevel.checkpoint()
    try:
        await serve()
    except* SystemExit as group:
        caught += group.exceptions
    assert caught == [interrupt]


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("how", ["abort", "reset"])
async def test_a_connection_can_be_dropped_as_by_a_failing_network(how: str, secure: bool) -> None:
    server, client = tls_contexts()
    ends = []

    async def handler(transport: Transport, _request: HandshakeRequest) -> None:
        assert isinstance(transport, WebSocketTransport)
        ends.append(transport)
        while await transport.receive() == ("go on",):
            await transport.send("last words")
        getattr(transport, how)("on purpose")
        getattr(transport, how)("twice")
        assert transport.closed == Close(1006, "on purpose")
        with pytest.raises(ConnectionLost, match="1006 on purpose"):
            await transport.send("anybody?")
        await transport.aclose()
        assert await receive_all(transport) == []

    async with limited_nursery() as nursery:
        serve = partial(
            serve_websocket, handler, "127.0.0.1", 0, ssl_context=server if secure else None
        )
        host, port = await nursery.start(serve)
        url = f"{'wss' if secure else 'ws'}://{host}:{port}/"
        async with open_websocket(url, ssl_context=client if secure else None) as transport:
            await transport.send("go on")
            assert await transport.receive() == ("last words",)
            await transport.send("enough")
            assert await receive_all(transport) == []
            assert transport.closed is not None
            assert transport.closed.code == 1006
            if how == "reset":
                assert "reset" in transport.closed.reason
            with pytest.raises(ConnectionLost) as caught:
                await transport.send("anybody?")
            assert caught.value.code == 1006
    [end] = ends
    assert end.closed == Close(1006, "on purpose")


async def test_an_aborted_connection_leaves_what_was_received_and_releases_who_waits() -> None:
    async def handler(transport: Transport, _request: HandshakeRequest) -> None:
        await transport.send("one")
        await receive_all(transport)

    before = len(tasks())
    async with limited_nursery() as nursery:
        host, port = await nursery.start(serve_websocket, handler, "127.0.0.1", 0)
        async with open_websocket(f"ws://{host}:{port}/") as transport:
            await trio.testing.wait_all_tasks_blocked(0.05)
            transport.abort()
            assert transport.closed == Close(1006, "connection dropped")
            assert await receive_all(transport) == ["one"]
        async with open_websocket(f"ws://{host}:{port}/") as transport:
            assert await transport.receive() == ("one",)
            async with trio.open_nursery() as waiting:
                waiting.start_soon(receive_all, transport)
                await trio.testing.wait_all_tasks_blocked()
                transport.reset()
            assert transport.closed == Close(1006, "connection reset")
    assert len(tasks()) == before


async def test_a_client_may_be_served_by_what_its_admission_found_out() -> None:
    served: list[str] = []
    left = trio.Event()

    async def nobody(_transport: Transport, _request: HandshakeRequest) -> None:
        await trio.lowlevel.checkpoint()
        raise AssertionError("the admission says who serves")

    async def admit(request: HandshakeRequest) -> Accept:
        await trio.lowlevel.checkpoint()

        async def serve(transport: Transport) -> None:
            served.append(request.path)
            await transport.aclose(4000)

        return Accept(serve=serve, leave=left.set)

    async with limited_nursery() as nursery:
        serve = partial(serve_websocket, nobody, "127.0.0.1", 0, admit=admit)
        host, port = await nursery.start(serve)
        async with open_websocket(f"ws://{host}:{port}/here") as transport:
            assert await transport.receive() == ()
            assert transport.closed == Close(4000)
        await left.wait()
    assert served == ["/here"]


@pytest.mark.parametrize("headers", [(), (("x", "not a header\n"),)])
async def test_whoever_was_accepted_has_left_even_if_nothing_came_of_it(
    headers: tuple[tuple[str, str], ...],
) -> None:
    left: list[str] = []
    is_over = trio.Event()

    async def handler(transport: Transport, _request: HandshakeRequest) -> None:
        await transport.receive()

    def leave() -> None:
        left.append("left")
        is_over.set()

    def admit(_request: HandshakeRequest) -> Accept:
        stream.socket.close()
        return Accept(leave=leave, headers=headers)

    async with limited_nursery() as nursery:
        serve = partial(serve_websocket, handler, "127.0.0.1", 0, admit=admit)
        host, port = await nursery.start(serve)
        stream = await trio.open_tcp_stream(host, port)
        await stream.send_all(
            b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        await is_over.wait()
    assert left == ["left"]
