"""The thin primitive: from arguments and environment to an open connection with typed events."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio
from peers import (
    Leaves,
    Server,
    committed,
    created,
    failure,
    memory_server,
    open_server,
    steps_of,
)
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.endpoint import OPENAI_URL, Endpoint, azure
from realtime_trio._protocol.kinds import DEFAULT_MODEL, SessionKind
from realtime_trio._serving.websocket_server import Accept, HandshakeRequest, Reject
from realtime_trio._session.opening import open_session
from realtime_trio._transport.contract import Close
from realtime_trio.connection import (
    MESSAGES_IN_A_ROW,
    Connection,
    ConnectOptions,
    ExposedKeyWarning,
    open_connection,
    open_transport,
    resolve_endpoint,
)
from realtime_trio.errors import (
    ConnectionFailed,
    ConnectionLost,
    LocalProtocolError,
    RemoteProtocolError,
    SessionClosed,
)
from realtime_trio.events import (
    ConversationItemDelete,
    ErrorEvent,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    SessionCreated,
    UnknownEvent,
)

pytestmark = pytest.mark.usefixtures("no_service_in_environment")

KEY = "sk-very-secret"
socket = pytest.mark.socket

Open = Callable[..., AbstractAsyncContextManager[object]]
both = pytest.mark.parametrize("open_", [open_connection, open_session])


def connect(*, strict: bool = False) -> tuple[Connection, Server]:
    near, server = memory_server()
    return Connection(near, Codec(Role.CLIENT, strict=strict)), server


# Which service is meant


def test_without_arguments_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert resolve_endpoint(None, {}) == Endpoint(url=OPENAI_URL, api_key=KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    assert resolve_endpoint(None, {}) == Endpoint(url="http://localhost:8000/v1", api_key=KEY)


def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://theirs")
    mine = "wss://mine"
    assert resolve_endpoint(mine, {"api_key": KEY}) == Endpoint(url=mine, api_key=KEY)
    assert resolve_endpoint(mine, {"api_key": None}) == Endpoint(url=mine, api_key=None)


def test_an_endpoint_is_complete_and_gets_no_key_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert resolve_endpoint(Endpoint(url="ws://local"), {}).api_key is None


def test_arguments_override_parts_of_an_endpoint() -> None:
    endpoint = azure("https://res.openai.azure.com", "d", api_key="old")
    options = ConnectOptions(
        api_key=KEY,
        headers=[("X-Trace", "1")],
        project="p",
        organization="o",
        call_id="c",
        safety_identifier="s",
    )
    merged = resolve_endpoint(endpoint, options)
    assert (merged.url, merged.auth, merged.model) == (endpoint.url, "api-key", "d")
    assert (merged.api_key, merged.headers, merged.project, merged.organization) == (
        KEY,
        (("X-Trace", "1"),),
        "p",
        "o",
    )
    assert (merged.call_id, merged.safety_identifier) == ("c", "s")


@pytest.mark.parametrize("key", [None, ""])
@pytest.mark.parametrize("url", [None, "https://api.openai.com/v1"])
def test_openais_own_service_needs_a_key(
    url: str | None, key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if key is not None:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(
        LocalProtocolError, match="no API key: pass api_key=, or set OPENAI_API_KEY"
    ):
        resolve_endpoint(url, {})


def test_other_services_may_do_without_a_key() -> None:
    assert resolve_endpoint("ws://localhost:8000", {}).api_key is None


# Where a key would be exposed


@pytest.mark.parametrize(
    ("url", "options", "warning"),
    [
        ("wss://llm.example", {}, "OPENAI_API_KEY would be sent to llm.example, which is not"),
        ("ws://llm.example", {}, "a key would be sent to llm.example without encryption"),
        ("ws://llm.example", {"api_key": "own"}, "without encryption"),
        (Endpoint(url="http://llm.example", api_key="own"), {}, "without encryption"),
        (Endpoint(url="http://llm.example"), {"api_key": "own"}, "without encryption"),
    ],
)
def test_a_key_that_would_be_exposed_is_warned_of_or_forbidden(
    url: str | Endpoint,
    options: ConnectOptions,
    warning: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.warns(ExposedKeyWarning, match=warning) as issued:
        resolved = resolve_endpoint(url, options)
    assert KEY not in str(issued[0].message)
    assert resolve_endpoint(url, {**options, "exposed_key": "allow"}) == resolved
    with pytest.raises(LocalProtocolError, match=warning):
        resolve_endpoint(url, {**options, "exposed_key": "forbid"})


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (None, {}),
        ("wss://eu.api.openai.com/v1", {}),
        ("ws://localhost:8765/v1", {}),
        ("wss://llm.example", {"api_key": "own"}),
        ("ws://llm.example", {"api_key": None}),
        (Endpoint(url="ws://llm.example"), {}),
        (azure("https://res.openai.azure.com", "d", api_key="own"), {}),
    ],
)
def test_a_key_that_goes_where_it_should_is_not_worth_a_word(
    url: str | Endpoint | None, options: ConnectOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    resolve_endpoint(url, {**options, "exposed_key": "forbid"})


def test_address_and_key_of_the_environment_are_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://llm.example/v1")
    assert resolve_endpoint(None, {"exposed_key": "forbid"}).api_key == KEY
    monkeypatch.setenv("OPENAI_BASE_URL", "http://llm.example/v1")
    with pytest.raises(LocalProtocolError, match="without encryption"):
        resolve_endpoint(None, {"exposed_key": "forbid"})


@both
async def test_a_forbidden_exposure_is_refused_before_anything_is_sent(
    open_: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(LocalProtocolError, match="which is not OpenAI"):
        async with open_(url="wss://127.0.0.1.example", exposed_key="forbid"):
            pytest.fail("not reached")


def test_an_unknown_way_to_deal_with_exposed_keys_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="'warn', 'allow' or 'forbid', not 'never'"):
        resolve_endpoint("ws://localhost", {"exposed_key": "never"})  # type: ignore[typeddict-item]


@both
async def test_a_misspelt_option_is_refused_as_python_refuses_it(open_: Open) -> None:
    with pytest.raises(
        TypeError, match=r"'apikey' \(did you mean 'api_key'\?\); allowed are .*auth"
    ):
        async with open_("ws://127.0.0.1:9", apikey=KEY):
            pytest.fail("not reached")


@both
async def test_an_unusable_address_is_refused(open_: Open) -> None:
    with pytest.raises(LocalProtocolError, match="a service URL starts with"):
        async with open_(url="gopher://127.0.0.1"):
            pytest.fail("not reached")


# How to be let in


@asynccontextmanager
async def open_door() -> AsyncIterator[tuple[str, list[HandshakeRequest]]]:
    """A server that begins every session; its URL, and what its clients asked for."""
    requests: list[HandshakeRequest] = []

    def admit(request: HandshakeRequest) -> Accept:
        requests.append(request)
        return Accept(subprotocol=request.subprotocols[0] if request.subprotocols else None)

    async def serve(server: Server) -> None:
        await server.say(created())
        await server.hear_the_rest()

    with trio.fail_after(5):
        async with open_server(serve, admit=admit) as url:
            yield url, requests


async def what_arrives(open_: Open, **options: Any) -> HandshakeRequest:
    async with open_door() as (url, requests), open_(url=url, **options):
        pass
    [request] = requests
    return request


@socket
@both
async def test_key_model_and_headers_arrive(open_: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    request = await what_arrives(open_, model="m", organization="o", headers=[("X-Trace", "1")])
    assert request.path == "/realtime?model=m"
    assert [
        request.header(name) for name in ("authorization", "openai-organization", "x-trace")
    ] == [f"Bearer {KEY}", "o", "1"]


@socket
async def test_the_address_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_door() as (url, requests):
        monkeypatch.setenv("OPENAI_BASE_URL", url.replace("ws://", "http://") + "/v1")
        async with open_connection():
            pass
    assert [request.path for request in requests] == [f"/v1/realtime?model={DEFAULT_MODEL}"]


@socket
@both
async def test_the_key_may_travel_as_a_subprotocol(open_: Open) -> None:
    request = await what_arrives(open_, api_key=KEY, auth="subprotocol")
    assert request.subprotocols == ("realtime", f"openai-insecure-api-key.{KEY}")
    assert request.header("authorization") is None


@socket
async def test_the_kind_of_session_decides_on_address_and_events() -> None:
    async with open_door() as (url, requests):
        async with open_connection(url, kind=SessionKind.TRANSLATION, model="t") as connection:
            with pytest.raises(LocalProtocolError, match="translation session"):
                await connection.send(InputAudioBufferClear())
        async with open_connection(url, kind=SessionKind.TRANSCRIPTION):
            pass
    assert [request.path for request in requests] == [
        "/realtime/translations?model=t",
        "/realtime?intent=transcription",
    ]


@socket
async def test_the_dialect_of_the_endpoint_is_spoken() -> None:
    async def serve(server: Server) -> None:
        await server.transport.send(
            '{"type":"session.created","event_id":"e","session":{"id":"s","modalities":["text"]}}'
        )
        await server.hear_the_rest()

    with trio.fail_after(5):
        async with (
            open_server(serve) as url,
            open_connection(Endpoint(url=url, dialect=Dialect.BETA)) as connection,
        ):
            event = await connection.receive()
    assert isinstance(event, SessionCreated)
    # The beta protocol has one kind of session, so there is nothing to tell apart here.
    assert event.session.output_modalities == ("text",)  # type: ignore[union-attr]


@socket
@both
async def test_a_key_may_be_fetched_for_every_connection(open_: Open) -> None:
    keys = iter(["first", "second"])

    async def fetch() -> str:
        await trio.lowlevel.checkpoint()
        return next(keys)

    async with open_door() as (url, requests):
        for _ in range(2):
            async with open_(url=url, api_key=fetch):
                pass
    assert [request.header("authorization") for request in requests] == [
        "Bearer first",
        "Bearer second",
    ]


async def test_a_key_that_does_not_come_in_time_is_a_failed_connection(
    autojump_clock: MockClock,
) -> None:
    async def fetch() -> str:
        await trio.sleep_forever()

    start = trio.current_time()
    for open_ in (open_connection, open_session):
        with Leaves(
            ConnectionFailed, match="api_key function did not return within the connect timeout"
        ):
            async with open_(url="ws://127.0.0.1:9", api_key=fetch, connect_timeout=3):
                pytest.fail("not reached")
    assert trio.current_time() - start == 6


@both
async def test_a_key_of_the_wrong_type_is_named_but_not_shown(open_: Open) -> None:
    async def fetch() -> bytes:
        await trio.lowlevel.checkpoint()
        return KEY.encode()

    with Leaves(
        LocalProtocolError, match="the api_key function returned bytes, not a str"
    ) as caught:
        async with open_(url="ws://127.0.0.1:9", api_key=fetch):
            pytest.fail("not reached")
    assert KEY not in str(caught.value)


@both
async def test_what_the_key_function_raises_is_not_disguised(open_: Open) -> None:
    error = LookupError("the vault is shut")

    async def fetch() -> str:
        await trio.lowlevel.checkpoint()
        raise error

    with Leaves(LookupError) as caught:
        async with open_(url="ws://127.0.0.1:9", api_key=fetch):
            pytest.fail("not reached")
    assert caught.value is error


# Where a key must not appear


def everything_said(error: BaseException) -> str:
    """Text, repr, notes and attributes of an error and of all that is behind it.

    The traceback as Python prints it is part of that.
    """
    said = "".join(traceback.format_exception(error))
    behind: list[BaseException | None] = [error]
    while behind:
        if (one := behind.pop()) is not None:
            said += f"{one!s} {one!r} {getattr(one, '__notes__', '')} {vars(one)}"
            behind += [one.__cause__, one.__context__]
    return said


def ways_to_fail(url: str) -> Iterator[tuple[str, dict[str, object]]]:
    for auth in ("bearer", "api-key", "subprotocol"):
        yield url, {"auth": auth, "api_key": KEY}
        yield "ws://127.0.0.1:1", {"auth": auth, "api_key": KEY}
        yield url, {"auth": auth, "api_key": KEY + "\n"}
    yield url.replace("ws://", f"ws://user:{KEY}@") + f"/v1?api-key={KEY}", {"api_key": KEY}
    yield f"ws://user:{KEY}@host:port/", {"api_key": KEY}
    yield f"ws://[{KEY}", {"api_key": KEY}


@socket
@both
async def test_a_key_is_in_no_error_and_in_no_log_line(
    open_: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caught: list[Exception] = []

    async def serve(_server: Server) -> None:
        await trio.lowlevel.checkpoint()
        pytest.fail("not reached")

    with trio.fail_after(5):
        async with open_server(
            serve, admit=lambda _: Reject(status=401, body=b"who are you?")
        ) as url:
            for target, options in ways_to_fail(url):
                try:
                    async with open_(url=target, exposed_key="allow", **options):
                        pytest.fail("not reached")
                except (ConnectionFailed, LocalProtocolError) as error:
                    caught.append(error)
    assert len(caught) == 12
    assert [error for error in caught if KEY in everything_said(error)] == []
    assert KEY not in caplog.text


@socket
@both
async def test_a_key_is_in_no_repr_and_in_no_log_line_of_a_connection_that_works(
    open_: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_door() as (url, _), open_(url=Endpoint(url=url, api_key=KEY)) as opened:
        assert KEY not in f"{opened!r} {opened!s}"
    assert KEY not in caplog.text


# Typed events


async def test_events_go_both_ways(autojump_clock: MockClock) -> None:
    connection, server = connect()
    await server.say(created(), committed(1))
    assert [await connection.receive(), await connection.receive()] == [created(), committed(1)]
    await connection.send(InputAudioBufferCommit(event_id="mine"))
    assert await server.hear(InputAudioBufferCommit) == InputAudioBufferCommit(event_id="mine")


async def test_an_illegal_event_is_refused_and_nothing_is_sent(autojump_clock: MockClock) -> None:
    connection, server = connect()
    with pytest.raises(LocalProtocolError, match="item_id"):
        # What mypy would refuse is the point of the test.
        await connection.send(ConversationItemDelete(item_id=5))  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="cannot encode the message"):
        await connection.send_raw({"type": object()})
    with pytest.raises(LocalProtocolError, match="half of a surrogate pair"):
        await connection.send_raw('{"type": "\ud83d"}')
    await connection.aclose()
    assert await server.hear_the_rest() == []


async def test_raw_messages_are_passed_on_as_they_are(autojump_clock: MockClock) -> None:
    connection, server = connect()
    await connection.send_raw({"type": "hologram.create"})
    await connection.send_raw("anything")
    assert await server.transport.receive() == ('{"type":"hologram.create"}', "anything")


async def test_a_relay_passes_on_what_it_does_not_know(autojump_clock: MockClock) -> None:
    connection, service = connect()
    message = '{"type":"response.hologram.delta","event_id":"e","delta":{"sides":6}}'
    await service.transport.send(message)
    to_browser = Codec(Role.SERVER)
    assert to_browser.encode(await connection.receive()) == message


@pytest.mark.parametrize("message", ["garbage", b"\x00\xff", "[]"])
async def test_what_cannot_be_decoded_is_delivered_and_warned_about_once(
    message: str | bytes, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    connection, server = connect()
    await server.transport.send(message)
    event = await connection.receive()
    assert isinstance(event, UnknownEvent)
    assert event.raw == ([] if message == "[]" else message)
    assert [(record.name, record.levelname) for record in caplog.records] == [
        ("realtime_trio", "WARNING")
    ]
    assert "cannot decode a message: " in caplog.text


async def test_an_unknown_event_type_cannot_forge_a_line_of_the_log(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    caplog.set_level(logging.DEBUG)
    forged = r"x\nCRITICAL root: \u001b[2Jall is lost" + "x" * 100_000
    connection, server = connect()
    await server.transport.send(f'{{"type": "{forged}"}}')
    await server.transport.send(f'{{"type": "rate_limits.updated", "rate_limits": "{forged}"}}')
    await connection.receive()
    await connection.receive()
    assert len(caplog.records) == 3
    for record in caplog.records:
        assert record.getMessage().isprintable()
        assert len(record.getMessage()) < 1200
    assert r"received x\nCRITICAL root: \x1b[2Jall is lostxxx" in caplog.text


async def test_text_in_a_binary_message_is_understood(autojump_clock: MockClock) -> None:
    connection, server = connect()
    await server.transport.send(
        b'{"type":"input_audio_buffer.committed","event_id":"event_1","item_id":"item_1"}'
    )
    assert await connection.receive() == committed(1)


async def test_a_strict_connection_raises_what_cannot_be_decoded_and_goes_on(
    autojump_clock: MockClock,
) -> None:
    connection, server = connect(strict=True)
    await server.transport.send("garbage")
    await server.say(committed(1))
    with pytest.raises(RemoteProtocolError, match="not JSON"):
        await connection.receive()
    assert await connection.receive() == committed(1)


@socket
@pytest.mark.parametrize("options", [{}, {"strict": False}, {"strict": True}])
async def test_only_who_asks_for_it_gets_a_strict_connection(options: dict[str, bool]) -> None:
    async def serve(server: Server) -> None:
        await server.transport.send("garbage")
        await server.hear_the_rest()

    with trio.fail_after(5):
        # As far as mypy can see, the dictionary may have any key.
        async with open_server(serve) as url, open_connection(url, **options) as connection:  # type: ignore[arg-type]
            if options.get("strict"):
                with pytest.raises(RemoteProtocolError, match="not JSON"):
                    await connection.receive()
            else:
                assert isinstance(await connection.receive(), UnknownEvent)


@both
async def test_a_parameter_of_the_function_itself_may_have_been_meant(open_: Open) -> None:
    with pytest.raises(TypeError, match=r"'modle' \(did you mean 'model'\?\)"):
        async with open_(url="ws://127.0.0.1:9", modle="gpt-realtime"):
            pytest.fail("not reached")
    with pytest.raises(TypeError, match=r"'ulr' \(did you mean 'url'\?\)"):
        async with open_(ulr="ws://127.0.0.1:9"):
            pytest.fail("not reached")


@both
def test_without_trio_there_is_no_connection(open_: Open) -> None:
    async def use() -> None:
        async with open_(url="ws://127.0.0.1:9"):
            pytest.fail("not reached")

    with pytest.raises(LocalProtocolError, match="runs in trio alone"):
        asyncio.run(use())


# How it ends


@pytest.mark.parametrize("closing", ["server", "client"])
async def test_a_normal_close_delivers_everything_and_ends_the_iteration(
    closing: str, autojump_clock: MockClock
) -> None:
    connection, server = connect()
    await server.say(committed(1), committed(2))
    if closing == "server":
        await server.transport.aclose(1000, "goodbye")
    else:
        await connection.aclose(1000, "goodbye")
    assert [event async for event in connection] == [committed(1), committed(2)]
    assert [event async for event in connection] == []
    with pytest.raises(SessionClosed, match="the connection was closed"):
        await connection.receive()
    assert connection.closed == server.transport.closed == Close(1000, "goodbye")


async def test_any_other_end_is_raised_after_everything_was_delivered(
    autojump_clock: MockClock,
) -> None:
    connection, server = connect()
    await server.say(committed(1))
    await server.transport.aclose(1011, "oops")
    seen = []
    with Leaves(ConnectionLost) as caught:
        async for event in connection:
            # A comprehension would keep nothing of what came before the end.
            seen.append(event)  # noqa: PERF401
    assert seen == [committed(1)]
    assert (caught.value.code, caught.value.reason) == (1011, "oops")
    with pytest.raises(ConnectionLost):
        await connection.receive()


async def test_nothing_can_be_sent_after_the_end(autojump_clock: MockClock) -> None:
    connection, server = connect()
    await server.transport.aclose(1000)
    for call in (connection.send(InputAudioBufferClear()), connection.send_raw({})):
        with pytest.raises(ConnectionLost) as caught:
            await call
        assert caught.value.code == 1000


async def test_a_close_code_that_may_not_be_sent_is_refused(autojump_clock: MockClock) -> None:
    connection, _ = connect()
    with pytest.raises(LocalProtocolError, match="1006"):
        await connection.aclose(1006)
    assert connection.closed is None


@socket
@pytest.mark.parametrize(("error", "code"), [(None, 1000), (ValueError("mine"), 1001)])
async def test_leaving_the_block_closes_the_connection(error: Exception | None, code: int) -> None:
    closes: list[Close | None] = []

    async def serve(server: Server) -> None:
        await server.hear_the_rest()
        closes.append(server.transport.closed)

    async def use(url: str) -> None:
        async with open_connection(url):
            await trio.lowlevel.checkpoint()
            if error is not None:
                raise error

    with trio.fail_after(5):
        async with open_server(serve) as url:
            if error is None:
                await use(url)
            else:
                with Leaves(ValueError) as caught:
                    await use(url)
                assert caught.value is error
    assert closes == [Close(code)]


@socket
async def test_a_refusal_after_the_handshake_is_seen_as_it_comes() -> None:
    async def serve(server: Server) -> None:
        await server.say(failure("Incorrect API key provided", code="invalid_api_key"))
        await server.transport.aclose(3000, "invalid_request_error")

    with trio.fail_after(5):
        async with open_server(serve) as url, open_connection(url) as connection:
            event = await connection.receive()
            assert isinstance(event, ErrorEvent)
            assert event.error.code == "invalid_api_key"
            with pytest.raises(ConnectionLost, match="3000 invalid_request_error"):
                await connection.receive()


# Cancelling


async def test_every_call_is_a_checkpoint(autojump_clock: MockClock) -> None:
    connection, server = connect()
    await server.say(committed(1))
    with assert_checkpoints():
        await connection.receive()
    with assert_checkpoints():
        await connection.send(InputAudioBufferClear())
    with assert_checkpoints():
        await connection.send_raw({})
    await server.transport.aclose()
    with assert_checkpoints(), pytest.raises(SessionClosed):
        await connection.receive()
    with assert_checkpoints(), pytest.raises(StopAsyncIteration):
        await anext(connection)


async def test_of_messages_that_came_together_every_thirty_second_lets_others_run(
    autojump_clock: MockClock,
) -> None:
    connection, server = connect()
    await server.say(*map(committed, range(4 * MESSAGES_IN_A_ROW)))
    with steps_of(trio.lowlevel.current_task().name) as steps:
        for number in range(4 * MESSAGES_IN_A_ROW):
            assert await connection.receive() == committed(number)
            assert len(steps) == 1 + number // MESSAGES_IN_A_ROW


async def test_a_call_cancelled_at_its_first_checkpoint_has_done_nothing(
    autojump_clock: MockClock,
) -> None:
    connection, server = connect()
    await server.say(committed(1), committed(2))
    assert await connection.receive() == committed(1)
    for call in (
        connection.receive(),
        connection.send(InputAudioBufferClear()),
        connection.send_raw({}),
        anext(connection),
    ):
        with trio.CancelScope() as scope:
            scope.cancel()
            await call
        assert scope.cancelled_caught
    assert await connection.receive() == committed(2)
    await connection.send(InputAudioBufferCommit())
    await server.hear(InputAudioBufferCommit)


async def test_a_receive_cancelled_while_it_waits_loses_nothing(autojump_clock: MockClock) -> None:
    connection, server = connect()
    with trio.move_on_after(1) as scope:
        await connection.receive()
    assert scope.cancelled_caught
    await server.say(committed(1))
    assert await connection.receive() == committed(1)


async def test_closing_is_never_cancelled(autojump_clock: MockClock) -> None:
    connection, server = connect()
    with trio.CancelScope() as scope:
        scope.cancel()
        await connection.aclose(4000, "enough")
    assert not scope.cancelled_caught
    await wait_all_tasks_blocked()
    assert server.transport.closed == Close(4000, "enough")


@socket
async def test_opening_may_be_cancelled_while_the_key_is_fetched_or_the_server_is_silent() -> None:
    async def never() -> str:
        await trio.sleep_forever()

    async def serve(_server: Server) -> None:
        await trio.sleep_forever()

    with trio.fail_after(5):
        async with open_server(serve) as url:
            for options in ({"api_key": never}, {}):
                with trio.move_on_after(0.1) as scope:
                    # As far as mypy can see, the dictionary may have any key.
                    async with open_session(url=url, **options):  # type: ignore[arg-type]
                        pytest.fail("not reached")
                assert scope.cancelled_caught


@socket
async def test_a_transport_lets_messages_through_as_they_are() -> None:
    async def serve(server: Server) -> None:
        for message in await server.transport.receive():
            await server.transport.send(message)

    with trio.fail_after(5):
        async with (
            open_server(serve) as url,
            open_transport(Endpoint(url=url), SessionKind.REALTIME, None, {}) as transport,
        ):
            await transport.send(b"\x00 anything")
            assert await transport.receive() == (b"\x00 anything",)


@socket
async def test_a_refusal_that_comes_out_of_the_block_is_not_explained() -> None:
    async def serve(server: Server) -> None:
        await server.transport.receive()

    # Of another connection, for example, which has been explained already.
    refusal = ConnectionFailed("refused", body=b'{"error": {"message": "No such model."}}')
    with trio.fail_after(5):
        async with open_server(serve) as url:
            with pytest.raises(ConnectionFailed) as raised:
                async with open_transport(Endpoint(url=url), SessionKind.REALTIME, None, {}):
                    raise refusal
    assert raised.value is refusal
    assert refusal.__cause__ is None
