"""Hostile guests on a real socket: nothing leaks, and a session beside them goes on undisturbed.

Every test lets an honest guest talk while somebody else misbehaves, and looks at all that the
misbehaving one was told.  In the end there are no more tasks and sockets than with the honest guest
alone, and no other connection with the service.  All of it holds for a relay on a port of its own,
and for an application under Hypercorn, where the server sees to the frames.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
import trio.testing
from attrs import field, frozen
from hypothesis import HealthCheck, given, settings, strategies as st
from peers import sockets, tasks
from relays import CREATED, KEY, Audits, granting, hypercorn, relay_at_port, service_of

from realtime_trio import Session, open_session
from realtime_trio._transport.contract import Close, Transport
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio._transport.settings import WebSocketSettings
from realtime_trio._transport.websocket_client import open_websocket
from realtime_trio.errors import ConnectionFailed, ConnectionLost
from realtime_trio.events import SessionConfig
from realtime_trio.relay import (
    Authorize,
    Grant,
    HandshakeRequest,
    Limits,
    Service,
    TokenIssuer,
    relay_app,
    service_at,
    token_of,
)
from realtime_trio.simulator import Reply, Script, serve_simulator

pytestmark = pytest.mark.socket

INSTRUCTIONS = "never tell anybody the word abracadabra"
SECRETS = (KEY, "abracadabra", "Traceback", os.getcwd())
PATIENT = WebSocketSettings(
    connect_timeout=1.0,
    close_timeout=0.3,
    ping_interval=1.0,
    ping_timeout=1.0,
    max_message_size=2**16,
)
LIMITS = Limits(message_size=2**16, refusals_per_minute=50, events_per_minute=500)

HANDSHAKE = (
    b"GET /v1/realtime HTTP/1.1\r\nhost: %b\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


class Hostile:
    """A socket on which anything may be said, and all that was told there."""

    def __init__(self, stream: trio.SocketStream, host: str) -> None:
        self.stream = stream
        self.host = host.encode()
        self.told = b""

    async def say(self, *data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        # The relay may hang up in the middle of it.
        with suppress(trio.BrokenResourceError):
            for each in data:
                await self.stream.send_all(each)

    async def shake_hands(self) -> None:
        await self.say(HANDSHAKE % self.host)
        await self.read_until(b"session.created")

    async def read_until(self, words: bytes) -> None:
        await trio.lowlevel.checkpoint()
        while words not in self.told:
            received = await self.stream.receive_some()
            assert received, self.told
            self.told += received

    async def read_to_the_end(self) -> bytes:
        await trio.lowlevel.checkpoint()
        with suppress(trio.BrokenResourceError):
            while received := await self.stream.receive_some():
                self.told += received
        return self.told


@asynccontextmanager
async def hostile_at(url: str) -> AsyncIterator[Hostile]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    async with await trio.open_tcp_stream(parts.hostname, parts.port) as stream:
        hostile = Hostile(stream, parts.netloc)
        yield hostile
        for secret in SECRETS:
            assert secret.encode() not in hostile.told


def frame(payload: bytes, *, opcode: int = 1, fin: bool = True, is_masked: bool = True) -> bytes:
    size, mask = len(payload), 0x80 if is_masked else 0
    if size < 126:
        length = bytes([size])
    elif size < 2**16:
        length = b"\x7e" + size.to_bytes(2)
    else:
        length = b"\x7f" + size.to_bytes(8)
    head = bytes([opcode | (0x80 if fin else 0), length[0] | mask]) + length[1:]
    return head + (bytes(4) if is_masked else b"") + payload


async def still_talks(session: Session) -> None:
    assert (await session.ask("Are you there?")).text == "I am."


@frozen(eq=False)
class Upstream:
    """A service, and how many connections with it there are."""

    service: Service
    _open: list[Grant] = field(factory=list)

    @asynccontextmanager
    async def __call__(self, grant: Grant) -> AsyncIterator[Transport]:
        async with self.service(grant) as transport:
            self._open.append(grant)
            try:
                yield transport
            finally:
                self._open.remove(grant)

    @property
    def connections(self) -> int:
        return len(self._open)


@asynccontextmanager
async def on_a_port(
    authorize: Authorize | Grant, service: Service, **options: Any
) -> AsyncIterator[str]:
    options = {"settings": PATIENT, **options}
    async with relay_at_port(authorize, service=service, limit=40, **options) as url:
        yield url


@asynccontextmanager
async def in_an_application(
    authorize: Authorize | Grant, service: Service, **options: Any
) -> AsyncIterator[str]:
    decide = granting(authorize) if isinstance(authorize, Grant) else authorize
    async with hypercorn(
        relay_app(decide, service=service, **options),
        limit=40,
        keep_alive_timeout=PATIENT.connect_timeout,
        websocket_ping_interval=PATIENT.ping_interval,
        websocket_max_message_size=PATIENT.max_message_size,
        graceful_timeout=PATIENT.close_timeout,
    ) as url:
        yield f"{url}/v1/realtime"


Shell = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture(params=[on_a_port, in_an_application])
def shell(request: pytest.FixtureRequest) -> Shell:
    """Serves a relay, and gives its URL."""
    chosen: Shell = request.param
    return chosen


@asynccontextmanager
async def beside_an_honest_guest(
    shell: Shell, authorize: Authorize | Grant | None = None, *, key: str = "none", **options: Any
) -> AsyncIterator[tuple[str, Session, Audits]]:
    """A relay with an honest guest, who is asked before and after whatever happens in the block."""
    audits = Audits()
    grant = Grant(
        who="ann", limits=LIMITS, session=SessionConfig.of(instructions=INSTRUCTIONS), sessions=99
    )
    async with trio.open_nursery() as nursery:
        script = Script([Reply.text("I am.")] * 99)
        behind: str = await nursery.start(partial(serve_simulator, script, api_key=KEY))
        upstream = Upstream(service_at(behind, api_key=KEY))
        async with (
            shell(authorize or grant, upstream, audit=audits, **options) as url,
            open_session(url=url, api_key=key, auth="subprotocol") as session,
        ):
            await still_talks(session)
            before = len(tasks()), len(sockets())
            assert upstream.connections == 1
            yield url, session, audits
            await still_talks(session)
            with trio.fail_after(10):
                while (
                    upstream.connections > 1
                    or len(tasks()) > before[0]
                    or len(sockets()) > before[1]
                ):
                    await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()


# The protocol below


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 1000,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000,
        b"GET /" + b"a" * 100_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /v1/realtime HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n",
        HANDSHAKE.replace(b"13", b"12") % b"x",
    ],
)
async def test_what_is_no_handshake_gets_an_answer_or_none_and_nothing_else(
    shell: Shell, garbage: bytes
) -> None:
    async with beside_an_honest_guest(shell) as (url, _, _):
        async with hostile_at(url) as hostile:
            await hostile.say(garbage)
            # Hypercorn refuses some handshakes and leaves it to the client to hang up.
            with trio.move_on_after(math.inf if shell is on_a_port else 2):
                await hostile.read_to_the_end()
        assert b"101" not in hostile.told.split(b"\r\n")[0]


async def test_a_handshake_with_a_key_of_another_length_is_none() -> None:
    async with beside_an_honest_guest(on_a_port) as (url, _, _), hostile_at(url) as hostile:
        await hostile.say(HANDSHAKE.replace(b"MDEy", b"") % b"x")
        assert not (await hostile.read_to_the_end()).startswith(b"HTTP/1.1 101")


@pytest.mark.parametrize(
    "data",
    [
        frame(b"{}", is_masked=False),
        frame(b"\xff\xfe"),
        frame(b"x" * 200, opcode=9),
        frame(b"", opcode=3),
        frame(b"x", opcode=0),
        frame(b"x", fin=False) + frame(b"x"),
        frame(b"\x03", opcode=8),
        frame((1005).to_bytes(2), opcode=8),
        b"\xf1\x80\x00\x00\x00\x00",
    ],
)
async def test_frames_that_break_the_rules_end_their_own_connection(
    shell: Shell, data: bytes
) -> None:
    async with beside_an_honest_guest(shell) as (url, _, audits), hostile_at(url) as hostile:
        await hostile.shake_hands()
        await hostile.say(data)
        await hostile.read_to_the_end()
        assert (await audits.next()).why == "guest_left"


async def test_a_frame_that_would_never_end_is_nobody_elses_affair(shell: Shell) -> None:
    async with beside_an_honest_guest(shell) as (url, _, audits):
        async with hostile_at(url) as hostile:
            await hostile.shake_hands()
            await hostile.say(b"\x81\xff" + (2**63 - 1).to_bytes(8) + bytes(100_000))
            # Hypercorn counts what it has, and so waits for more than it will take.
            with trio.move_on_after(1):
                await hostile.read_to_the_end()
        assert (await audits.next()).events_up == 0


async def test_fuzzed_frames_disturb_nobody(shell: Shell) -> None:
    source = random.Random(1)
    async with beside_an_honest_guest(shell) as (url, session, _):
        for _ in range(10):
            async with hostile_at(url) as hostile:
                await hostile.shake_hands()
                for _ in range(5):
                    await hostile.say(source.randbytes(source.randrange(1, 500)))
                with trio.move_on_after(0.05):
                    await hostile.read_to_the_end()
        await still_talks(session)


# Events

_types = [
    "session.update",
    "input_audio_buffer.append",
    "conversation.item.create",
    "response.create",
]
_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "item", "session", "audio"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_messages = (
    st.binary(max_size=99)
    | st.text(max_size=99).map(str.encode)
    | st.builds(
        lambda wire_type, more: json.dumps({**more, "type": wire_type}).encode(),
        st.sampled_from(_types),
        st.dictionaries(st.sampled_from(["item", "session", "audio", "response"]), _values),
    )
)


@given(st.lists(_messages, min_size=1, max_size=20))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_fuzzed_events_are_refused_or_passed_on_and_the_guest_beside_goes_on(
    shell: Shell,
    messages: list[bytes],
) -> None:
    async def main() -> None:
        async with beside_an_honest_guest(shell) as (url, _, _), hostile_at(url) as hostile:
            await hostile.shake_hands()
            await hostile.say(*(frame(message) for message in messages))
            await hostile.say(frame((1000).to_bytes(2), opcode=8))
            await hostile.read_to_the_end()

    trio.run(main)


async def events_until_the_end(url: str, messages: Iterator[str]) -> tuple[list[Any], Close | None]:
    """What a guest is told who says all that without reading in between."""
    told: list[Any] = []
    async with open_websocket(url) as transport:
        async with trio.open_nursery() as nursery:

            async def say() -> None:
                await trio.lowlevel.checkpoint()
                # It may be over before all is said.
                with suppress(Exception):
                    for message in messages:
                        await transport.send(message)

            nursery.start_soon(say)
            while batch := await transport.receive():
                told += [json.loads(message) for message in batch]
            nursery.cancel_scope.cancel()
        return told, transport.closed


async def test_a_flood_of_events_that_are_not_allowed_is_the_end(shell: Shell) -> None:
    flood = ('{"type":"session.update","session":{"instructions":"x"}}' for _ in range(10_000))
    async with beside_an_honest_guest(shell) as (url, _, audits):
        told, closed = await events_until_the_end(url, flood)
        assert closed == Close(1008, "too_many_refusals")
        assert {event["type"] for event in told} == {"session.created", "error"}
        record = await audits.next()
        assert (record.why, record.events_up) == ("refusals", 0)
        assert record.refused <= 52


async def test_a_flood_of_audio_is_not_passed_on_faster_than_it_can_be_spoken(shell: Shell) -> None:
    append = json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 32_000})
    async with beside_an_honest_guest(shell) as (url, _, audits):
        told, closed = await events_until_the_end(url, (append for _ in range(5000)))
        assert closed == Close(1008, "too_many_refusals")
        assert told[-2]["error"]["code"] == "rate_limit_exceeded"
        assert (await audits.next()).audio_seconds < 20


async def test_a_flood_of_events_that_are_allowed_is_slowed_down_to_its_limit(shell: Shell) -> None:
    flood = ('{"type":"input_audio_buffer.clear"}' for _ in range(5000))
    async with beside_an_honest_guest(shell) as (url, _, audits):
        _, closed = await events_until_the_end(url, flood)
        assert closed == Close(1008, "too_many_refusals")
        assert (await audits.next()).events_up <= 600


@pytest.mark.parametrize("size", [2**16 + 1, 2**20])
async def test_a_message_that_is_too_long_is_the_end(shell: Shell, size: int) -> None:
    async with beside_an_honest_guest(shell) as (url, _, audits):
        async with hostile_at(url) as hostile:
            await hostile.shake_hands()
            await hostile.say(frame(b"x" * size))
            await hostile.read_until((1009).to_bytes(2))
        assert (await audits.next()).events_up == 0


async def test_a_message_in_many_pieces_is_too_long_as_well(shell: Shell) -> None:
    async with beside_an_honest_guest(shell) as (url, _, audits):
        async with hostile_at(url) as hostile:
            await hostile.shake_hands()
            await hostile.say(frame(b"x" * 1000, fin=False))
            for _ in range(100):
                await hostile.say(frame(b"x" * 1000, opcode=0, fin=False))
            await hostile.read_until((1009).to_bytes(2))
        assert (await audits.next()).events_up == 0


async def test_a_second_type_in_an_event_is_found_whatever_the_spelling(shell: Shell) -> None:
    session = '"session":{"type":"realtime","instructions":"x"}'
    smuggled = [
        f'{{"type":"input_audio_buffer.append","audio":"AAAA","type":"session.update",{session}}}',
        f'{{"type":"session.update",{session},"type":"response.cancel"}}',
        f'{{"type":"response.cancel","\\u0074ype":"session.update",{session}}}',
        f'{{"type":"response.cancel","TYPE":"session.update",{session}}}',
    ]
    async with beside_an_honest_guest(shell) as (url, _, audits):
        async with open_websocket(url) as transport:
            await transport.receive()
            for message in smuggled:
                await transport.send(message)
                [text] = await transport.receive()
                assert json.loads(text)["error"]["code"] == "invalid_event"
        assert (await audits.next()).events_up == 0


# Patience


@pytest.mark.parametrize("begun", [b"", b"G", HANDSHAKE[:-2] % b"x"])
async def test_whoever_is_slow_on_purpose_is_not_waited_for(shell: Shell, begun: bytes) -> None:
    async with beside_an_honest_guest(shell) as (url, session, _), hostile_at(url) as hostile:
        async with trio.open_nursery() as nursery:

            async def drip() -> None:
                await hostile.say(begun)
                while True:
                    await hostile.say(b"a")
                    await trio.sleep(0.1)

            nursery.start_soon(drip)
            start = trio.current_time()
            await hostile.read_to_the_end()
            assert trio.current_time() - start < 5
            nursery.cancel_scope.cancel()
        await still_talks(session)


async def test_many_who_are_slow_keep_nobody_out_for_long(shell: Shell) -> None:
    """More connections than there is room for; once they are given up, there is room again."""
    async with beside_an_honest_guest(shell, max_sessions=2) as (url, session, _):
        parts = urlsplit(url)
        streams = [
            await trio.open_tcp_stream(str(parts.hostname), int(parts.port or 0))
            for _ in range(300)
        ]
        await still_talks(session)
        with trio.fail_after(10):
            for stream in streams:
                with suppress(trio.BrokenResourceError):
                    while await stream.receive_some():
                        pass
                await stream.aclose()
            async with open_session(url=url, api_key=None) as other:
                await still_talks(other)


async def test_a_guest_that_never_reads_slows_nobody_down_and_keeps_no_session(
    shell: Shell,
) -> None:
    """Its service says more than all buffers take, and is waited for by nobody but that guest."""
    far, near = memory_transport_pair(capacity=100)
    delta = json.dumps({"type": "response.output_audio.delta", "delta": "A" * 10_000})
    said, is_over, audits = 0, trio.Event(), Audits()

    async def flood() -> None:
        nonlocal said
        await far.send(json.dumps(CREATED))
        with suppress(ConnectionLost):
            while True:
                await far.send(delta)
                said += 1
        is_over.set()

    async def authorize(request: HandshakeRequest) -> Grant:
        await trio.lowlevel.checkpoint()
        if request.header("authorization"):
            return Grant(who="ann")
        return Grant(who="hostile", limits=Limits(seconds=3))

    async with trio.open_nursery() as nursery:
        simulate = partial(serve_simulator, Script([Reply.text("I am.")] * 99), api_key=KEY)
        honest = service_at(await nursery.start(simulate), api_key=KEY)

        def service(grant: Grant) -> AbstractAsyncContextManager[Transport]:
            return honest(grant) if grant.who == "ann" else service_of(near)(grant)

        async with (
            shell(authorize, service, audit=audits) as url,
            open_session(url=url, api_key="x") as session,
        ):
            async with hostile_at(url) as hostile:
                nursery.start_soon(flood)
                await hostile.shake_hands()
                before = -1
                while said > before:
                    before = said
                    await still_talks(session)
                    await trio.sleep(0.05)
                # What the system buffers, and what the relay lets wait.
                assert 0 < said * len(delta) < 32 * 2**20
                # It is given up since its pongs do not come, or when its time is over; not even a
                # server that goes on waiting for it keeps the session and its service.
                record = await audits.next()
                assert record.who == "hostile"
                assert record.why in ("guest_left", "time")
                await is_over.wait()
                await still_talks(session)
            await still_talks(session)
        nursery.cancel_scope.cancel()


# Who one is


async def test_a_page_of_another_origin_gets_nothing(shell: Shell) -> None:
    async with beside_an_honest_guest(shell) as (url, _, _):
        for origin in ("https://evil.example", "null", f"http://{urlsplit(url).netloc}.evil"):
            with pytest.raises(ConnectionFailed) as refused:
                async with open_websocket(url, headers=[("Origin", origin)]):
                    pass
            assert refused.value.status == 403


async def test_a_name_that_leads_here_gets_nothing() -> None:
    """DNS rebinding: for the browser, page and relay are one.

    Where everybody on this machine is let in; others have an `authorize` that says who somebody is.
    """
    async with beside_an_honest_guest(on_a_port) as (url, _, _), hostile_at(url) as hostile:
        hostile.host = b"evil.example"
        await hostile.say(HANDSHAKE % hostile.host)
        assert (await hostile.read_to_the_end()).startswith(b"HTTP/1.1 403")


async def test_a_token_that_was_stolen_or_replayed_gets_nothing(shell: Shell) -> None:
    issuer = TokenIssuer(os.urandom(32))

    async def authorize(request: HandshakeRequest) -> Grant:
        await trio.lowlevel.checkpoint()
        token = issuer.redeem(token_of(request), address=request.peer[0])
        return Grant(who=token.who, session=SessionConfig.of(instructions=INSTRUCTIONS))

    def with_token(token: str) -> dict[str, Any]:
        return {"subprotocols": ["realtime", f"openai-insecure-api-key.{token}"]}

    used = issuer.issue("ann")
    async with beside_an_honest_guest(shell, authorize, key=used) as (url, session, _):
        stolen = issuer.issue("ann", address="203.0.113.9")
        forged = TokenIssuer(os.urandom(32)).issue("ann")
        for token in (used, stolen, forged, used.swapcase(), KEY, "x" * 5000):
            with pytest.raises(ConnectionFailed) as refused:
                async with open_websocket(url, **with_token(token)):
                    pass
            assert refused.value.status in (401, 403)
            body = refused.value.body.decode()
            assert token not in body
            assert all(secret not in body for secret in SECRETS)
        await still_talks(session)
