"""A relay mounted in other people's web frameworks, as docs/relay.md shows it, under Hypercorn.

Starlette is in tests/relay, since it is light enough to be there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from relays import KEY, Audits, hypercorn

from realtime_trio import open_session
from realtime_trio._transport.websocket_client import open_websocket
from realtime_trio.errors import ConnectionFailed
from realtime_trio.relay import (
    AccessDenied,
    Grant,
    HandshakeRequest,
    RelayApp,
    relay_app,
    service_at,
    token_of,
)
from realtime_trio.simulator import Reply, Script, serve_simulator

pytestmark = pytest.mark.socket

PAGE = Path(__file__).parents[1] / "docs" / "relay.md"
FRAMEWORKS = ("starlette", "fastapi", "quart_trio")


def mounting(framework: str) -> str:
    """The snippet of the documentation that mounts a relay in a framework."""
    snippets: Iterator[str] = (
        match[1]
        for match in re.finditer(
            r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
    )
    [snippet] = [each for each in snippets if f"from {framework}" in each]
    return snippet


async def authorize(request: HandshakeRequest) -> Grant:
    await trio.lowlevel.checkpoint()
    if token_of(request) != "good":
        raise AccessDenied("who are you?", code="unknown_guest")
    return Grant(who="ann")


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_a_conversation_goes_through_a_relay_that_is_mounted_as_documented(
    framework: str,
) -> None:
    pytest.importorskip(framework)
    audits = Audits()
    async with trio.open_nursery() as nursery:
        script = Script([Reply.text("Good morning to you, too.")])
        simulator: str = await nursery.start(partial(serve_simulator, script, api_key=KEY))

        def make(authorize: Any) -> RelayApp:
            service = service_at(simulator, api_key=KEY)
            return relay_app(authorize, service=service, audit=audits)

        names: dict[str, Any] = {"authorize": authorize, "relay_app": make, "__name__": "shop"}
        exec(mounting(framework), names)
        async with hypercorn(names["shop"]) as url:
            async with open_session(url=f"{url}/v1", api_key="good") as session:
                answer = await session.ask("Good morning.")
                assert answer.text == "Good morning to you, too."
            assert (await audits.next()).why == "guest_left"
            with pytest.raises(ConnectionFailed) as failure:
                async with open_websocket(f"{url}/v1/realtime"):
                    pass
            assert failure.value.status == 401
            assert b"token_missing" in failure.value.body
        nursery.cancel_scope.cancel()
