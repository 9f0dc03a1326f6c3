"""A web application with a relay in it: a page, a token for whoever asks, and the sessions.

Run it with `hypercorn -k trio examples/relay_in_starlette:app`, or as a program.  The service is
the one that OPENAI_API_KEY, or OPENAI_BASE_URL, stands for.  Needs the extra `web`, and Starlette.
"""

import secrets
import signal
import sys

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from realtime_trio import SessionConfig
from realtime_trio.relay import Grant, HandshakeRequest, Limits, TokenIssuer, relay_app, token_of

issuer = TokenIssuer(secrets.token_bytes(32))


async def token(request: Request) -> JSONResponse:  # noqa: ASYNC124 - it may wait
    """Give a token to somebody who has logged in; here, to everybody."""
    assert request.client is not None
    issued = issuer.issue("somebody", address=request.client.host)
    return JSONResponse({"token": issued})  # noqa: ASYNC910 - it has nothing to wait for


async def authorize(request: HandshakeRequest) -> Grant:  # noqa: ASYNC124 - it may wait
    """Say what the bearer of a token may do."""
    who = issuer.redeem(token_of(request), address=request.peer[0]).who
    return Grant(  # noqa: ASYNC910 - it has nothing to wait for
        who=who,
        session=SessionConfig.of(instructions="You are a great, upbeat friend."),
        limits=Limits(seconds=600),
    )


relay = relay_app(authorize, grace=30)
app = Starlette(routes=[Route("/token", token, methods=["POST"]), Mount("/v1", relay)])


async def stop() -> None:
    """Return when it is time to stop: at SIGTERM, once all sessions are over."""
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        await anext(signals)
        await relay.drain()


async def main() -> None:
    """Serve at the address in the first argument, such as 127.0.0.1:8080."""
    config = Config()
    config.websocket_ping_interval = 20.0
    config.websocket_max_message_size = 2**20
    config.bind = [sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8080"]
    await serve(app, config, shutdown_trigger=stop)  # type: ignore[arg-type]


if __name__ == "__main__":
    trio.run(main)
