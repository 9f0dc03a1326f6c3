"""Client secrets: asked of a service, used by a browser."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from realtime_trio import open_session
from realtime_trio._serving.http import HttpRequest, HttpResponse
from realtime_trio._serving.websocket_server import HandshakeRequest, serve_websocket
from realtime_trio._transport.contract import Transport
from realtime_trio.errors import ConnectionFailed, LocalProtocolError
from realtime_trio.events import SessionConfig, TranscriptionSessionConfig
from realtime_trio.relay import mint_client_secret
from realtime_trio.simulator import serve_simulator

pytestmark = pytest.mark.socket
pytest.importorskip("httpx2", reason="the extra rest is not installed")


@asynccontextmanager
async def simulator() -> AsyncIterator[str]:
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            yield await nursery.start(partial(serve_simulator, api_key="sk-1"))
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def answering(status: int, body: bytes) -> AsyncIterator[str]:
    async def answer(_request: HttpRequest) -> HttpResponse:
        await trio.lowlevel.checkpoint()
        return HttpResponse(status=status, body=body)

    async def nobody(_transport: Transport, _request: HandshakeRequest) -> None:
        await trio.lowlevel.checkpoint()

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            serve = partial(serve_websocket, nobody, "127.0.0.1", 0, http=answer)
            host, port = await nursery.start(serve)
            yield f"ws://{host}:{port}/v1"
            nursery.cancel_scope.cancel()


async def test_a_secret_begins_a_session_as_it_was_configured() -> None:
    async with simulator() as url:
        secret = await mint_client_secret(
            url,
            api_key="sk-1",
            model="gpt-realtime-mini",
            session=SessionConfig.of(instructions="Be brief."),
            seconds=60,
        )
        assert secret.value.startswith("ek_")
        assert secret.value not in repr(secret)
        assert 50 < secret.expires_at - time.time() < 70
        async with open_session(url=url, api_key=secret.value, auth="subprotocol") as session:
            assert session.config.instructions == "Be brief."
            assert session.config.model == "gpt-realtime-mini"


async def test_it_may_be_for_a_transcription() -> None:
    async with simulator() as url:
        session = TranscriptionSessionConfig.of(transcription="whisper-1")
        secret = await mint_client_secret(url, api_key="sk-1", session=session)
        assert secret.value.startswith("ek_")
        with pytest.raises(LocalProtocolError, match="transcription"):
            await mint_client_secret(url, api_key="sk-1", session=session, model="whisper-1")


async def test_the_key_may_be_fetched() -> None:
    async def fetch() -> str:
        await trio.lowlevel.checkpoint()
        return "sk-1"

    async with simulator() as url:
        assert (await mint_client_secret(url, api_key=fetch)).value


async def test_a_refusal_is_told_with_its_code() -> None:
    async with simulator() as url:
        with pytest.raises(ConnectionFailed, match="Incorrect API key") as refused:
            await mint_client_secret(url, api_key="sk-2")
        assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"oops"), (500, b'{"error":"oops"}'), (200, b"[]"), (200, b'{"value":1}')],
)
async def test_what_is_no_secret_is_none(status: int, body: bytes) -> None:
    async with answering(status, body) as url:
        with pytest.raises(ConnectionFailed):
            await mint_client_secret(url, api_key=None)


async def test_a_service_that_is_not_there_is_told() -> None:
    with pytest.raises(ConnectionFailed, match="cannot be reached"):
        await mint_client_secret("ws://127.0.0.1:9/v1", api_key=None)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"seconds": 9}, LocalProtocolError),
        ({"seconds": 7201}, LocalProtocolError),
        ({"session": "x"}, TypeError),
        ({"sesion": None}, TypeError),
    ],
)
async def test_what_makes_no_sense_is_refused(
    arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await mint_client_secret("ws://127.0.0.1:9/v1", api_key=None, **arguments)
