"""A web application with a relay in it: a page, a token for whoever asks, and the sessions.

Run it with `hypercorn -k trio examples/relay_in_starlette:app`, or as a program.  The service is
the one that OPENAI_API_KEY, or OPENAI_BASE_URL, stands for.  Needs the extra `web`, and Starlette.
"""

import secrets
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


async def token(request: Request) -> JSONResponse:
    """Give a token to somebody who has logged in; here, to everybody."""
    assert request.client is not None
    return JSONResponse({"token": issuer.issue("somebody", address=request.client.host)})


async def authorize(request: HandshakeRequest) -> Grant:
    """Say what the bearer of a token may do."""
    who = issuer.redeem(token_of(request), address=request.peer[0]).who
    return Grant(
        who=who,
        session=SessionConfig.of(instructions="You are a great, upbeat friend."),
        limits=Limits(seconds=600),
    )


app = Starlette(
    routes=[Route("/token", token, methods=["POST"]), Mount("/v1", relay_app(authorize))]
)


async def main() -> None:
    """Serve at the address in the first argument, such as 127.0.0.1:8080."""
    config = Config()
    config.bind = [sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8080"]
    await serve(app, config)  # type: ignore[arg-type]


if __name__ == "__main__":
    trio.run(main)
