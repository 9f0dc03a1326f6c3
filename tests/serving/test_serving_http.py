"""One request over HTTP and its answer, however a client writes, breaks off or overdoes it."""

from __future__ import annotations

import logging

import h11
import pytest
import trio
from trio.testing import MockClock, memory_stream_pair, wait_all_tasks_blocked

from realtime_trio._serving.http import (
    MAX_BODY_SIZE,
    HttpHandler,
    HttpRequest,
    HttpResponse,
    RequestHead,
    _Exchange,
    answer_request,
)
from realtime_trio._transport.headers import encode_headers
from realtime_trio.errors import ConnectionFailed, LocalProtocolError

PEER = ("192.0.2.1", 4711)
UPGRADE = (
    b"GET /v1/realtime?model=x HTTP/1.1\r\nhost: x\r\n"
    b"connection: Upgrade\r\nupgrade: WebSocket\r\n\r\n"
)


async def echo(request: HttpRequest) -> HttpResponse:
    await trio.lowlevel.checkpoint()
    return HttpResponse(
        status=200,
        headers=(("x-method", request.method),),
        body=request.body or request.path.encode(),
    )


async def exchange(*chunks: bytes, handler: HttpHandler = echo) -> tuple[bytes | None, bytes]:
    """Send these, each when nothing else happens any more.

    Return what `answer_request` did, and what the client got.
    """
    ours, theirs = memory_stream_pair()
    result: list[bytes | None] = []

    async def serve() -> None:
        result.append(await answer_request(theirs, handler, PEER))
        await theirs.aclose()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            for chunk in chunks:
                await wait_all_tasks_blocked()
                await ours.send_all(chunk)
        answer = b"".join([bytes(data) async for data in ours])
    return result[0], answer


def parsed(answer: bytes, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body, as another HTTP client reads them."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(answer)
    client.receive_data(b"")
    head, body = client.next_event(), b""
    assert isinstance(head, h11.Response)
    while isinstance(part := client.next_event(), h11.Data):
        body += part.data
    assert isinstance(part, h11.EndOfMessage)
    return head.status_code, {name.decode(): value.decode() for name, value in head.headers}, body


async def test_a_request_is_answered_and_the_connection_is_over(autojump_clock: MockClock) -> None:
    result, answer = await exchange(b"GET /v1/models?a=b HTTP/1.1\r\nhost: x\r\n\r\n")
    assert result is None
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert parsed(answer) == (
        200,
        {"x-method": "GET", "content-length": "14", "connection": "close"},
        b"/v1/models?a=b",
    )


async def test_head_and_body_may_come_in_pieces(autojump_clock: MockClock) -> None:
    result, answer = await exchange(
        b"POST / HTTP/1.1\r\nho", b"st: x\r\ncontent-length: 4\r\n\r\na", b"bc", b"d"
    )
    assert result is None
    assert parsed(answer)[2] == b"abcd"


async def test_a_body_in_chunks_is_put_together(autojump_clock: MockClock) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    _, answer = await exchange(head, b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n")
    assert parsed(answer)[2] == b"abcde"


async def test_who_waits_to_be_told_to_go_on_is_told(autojump_clock: MockClock) -> None:
    _, answer = await exchange(
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n", b"ok"
    )
    first, _, rest = answer.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 100 ")
    assert parsed(rest)[2] == b"ok"


async def test_head_gets_the_head_only(autojump_clock: MockClock) -> None:
    _, answer = await exchange(b"HEAD /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n")
    assert parsed(answer, "HEAD")[1]["content-length"] == "10"


async def test_the_handler_sees_everything_and_the_repr_hides_secrets(
    autojump_clock: MockClock,
) -> None:
    requests = []

    async def handler(request: HttpRequest) -> HttpResponse:
        requests.append(request)
        return await echo(request)

    await exchange(
        b"POST /p?key=s3cret HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3cret\r\n"
        b"content-length: 6\r\n\r\ns3cret",
        handler=handler,
    )
    [request] = requests
    assert (request.method, request.path, request.body, request.peer) == (
        "POST",
        "/p?key=s3cret",
        b"s3cret",
        PEER,
    )
    assert request.header("AUTHORIZATION") == "Bearer s3cret"
    assert request.header("x-unknown") is None
    assert "'/p'" in repr(request)
    assert "s3cret" not in repr(request)


async def test_what_asks_for_a_websocket_is_handed_back_as_it_came(
    autojump_clock: MockClock,
) -> None:
    ours, theirs = memory_stream_pair()
    await ours.send_all(UPGRADE + b"first frame")
    assert await answer_request(theirs, echo, PEER) == UPGRADE + b"first frame"
    await theirs.aclose()
    assert [data async for data in ours] == []


async def test_a_body_over_the_limit_is_refused_before_it_is_there(
    autojump_clock: MockClock,
) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (10 * MAX_BODY_SIZE)
    result, answer = await exchange(head, bytes(MAX_BODY_SIZE), b"x")
    assert result is None
    assert parsed(answer, "POST")[0] == 413
    assert (
        parsed((await exchange(head.replace(b"10485760", b"1048576"), bytes(MAX_BODY_SIZE)))[1])[0]
        == 200
    )


@pytest.mark.parametrize(
    ("garbage", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + bytes(2**17), 431),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nno chunk\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: carrier-pigeon\r\n\r\n", 501),
    ],
)
async def test_what_is_no_http_gets_an_error(
    garbage: bytes, status: int, autojump_clock: MockClock
) -> None:
    result, answer = await exchange(garbage)
    assert result is None
    assert parsed(answer)[0] == status


@pytest.mark.parametrize(
    "part", [b"", b"GET / HTT", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc"]
)
async def test_a_client_that_leaves_before_it_has_asked_is_a_failed_connection(
    part: bytes, autojump_clock: MockClock
) -> None:
    ours, theirs = memory_stream_pair()
    await ours.send_all(part)
    await ours.aclose()
    with pytest.raises(ConnectionFailed, match="has gone"):
        await answer_request(theirs, echo, PEER)


async def test_a_client_that_leaves_before_it_is_answered_is_a_failed_connection(
    autojump_clock: MockClock,
) -> None:
    ours, theirs = memory_stream_pair()

    async def leave(request: HttpRequest) -> HttpResponse:
        await ours.aclose()
        return await echo(request)

    await ours.send_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    with pytest.raises(ConnectionFailed, match="has gone"):
        await answer_request(theirs, leave, PEER)


async def crash(_request: HttpRequest) -> HttpResponse:
    await trio.lowlevel.checkpoint()
    raise ValueError("a bug")


async def write_an_impossible_header(_request: HttpRequest) -> HttpResponse:
    await trio.lowlevel.checkpoint()
    return HttpResponse(status=200, headers=(("x", "a\r\nb: c"),))


@pytest.mark.parametrize("handler", [crash, write_an_impossible_header])
async def test_a_failing_handler_is_logged_and_is_a_500(
    handler: HttpHandler, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    _, answer = await exchange(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", handler=handler)
    assert parsed(answer)[0] == 500
    assert [(record.name, record.levelno) for record in caplog.records] == [
        ("realtime_trio.serving", logging.ERROR)
    ]


async def test_a_status_without_a_name_is_sent_all_the_same(autojump_clock: MockClock) -> None:
    async def handler(_request: HttpRequest) -> HttpResponse:
        await trio.lowlevel.checkpoint()
        return HttpResponse(status=299)

    _, answer = await exchange(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", handler=handler)
    assert answer.startswith(b"HTTP/1.1 299 \r\n")


def test_headers_are_checked_without_quoting_their_values() -> None:
    assert encode_headers([("X-Extra", "1 2"), ("x-ü".replace("ü", "u"), "größe")]) == [
        (b"X-Extra", b"1 2"),
        (b"x-u", "größe".encode("latin-1")),
    ]
    for header in [
        ("no good", "s3cret"),
        ("Host", "s3cret"),
        ("x", "s3cret\n"),
        ("x", "s3cret€"),
        ("sec-websocket-key", "s3cret"),
        ("Upgrade", "s3cret"),
        ("Connection", "s3cret"),
        ("Content-Length", "s3cret"),
        ("Transfer-Encoding", "s3cret"),
    ]:
        with pytest.raises(LocalProtocolError) as caught:
            encode_headers([header])
        assert "s3cret" not in str(caught.value)


def test_a_request_has_a_path_and_headers() -> None:
    request = RequestHead(path="/a?b", headers=(("x", "1"), ("x", "2")), peer=PEER)
    assert request.header("X") == "1"


async def test_of_a_request_only_the_head_is_kept_and_what_came_with_it() -> None:
    ours, theirs = memory_stream_pair()
    reading = _Exchange(ours)
    came = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 12\r\n\r\nat once"
    await theirs.send_all(came)
    assert isinstance(await reading.next_event(), h11.Request)
    assert isinstance(await reading.next_event(), h11.Data)
    await theirs.send_all(b"later")
    assert isinstance(await reading.next_event(), h11.Data)
    assert reading.received == came
