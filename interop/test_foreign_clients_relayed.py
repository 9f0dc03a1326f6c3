"""Other people's clients, unchanged, through a relay: what works with the service works behind it.

Each goes through a relay on a port of its own, and through one that is an ASGI application.  It has
the key of the simulator, the clients have one of its own making, and their configuration passes,
since they cannot do without.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from certificates import server_context
from relays import hypercorn
from strangers import Account, Stranger, run_client
from test_foreign_clients import (
    AGENTS_NODE,
    AGENTS_PYTHON,
    OPENAI_NODE,
    OPENAI_PYTHON,
    STORY,
    base_of,
    clients,
    everybody,
    question as question,
)

from realtime_trio import SessionConfig
from realtime_trio.audio import AudioData
from realtime_trio.relay import (
    AccessDenied,
    Authorize,
    Grant,
    HandshakeRequest,
    Service,
    relay_app,
    serve_relay,
    service_at,
    token_of,
)
from realtime_trio.simulator import Reply, Script, Turn, serve_simulator, synthesize_speech

pytestmark = pytest.mark.socket

KEY, TOKEN = "sk-of-the-relay", "sk-of-a-guest"
OPEN = Grant(events={"*"}, items={"*"}, overrides={"*"}, updates={"*"}, sessions=math.inf)
"""For clients that configure their sessions."""
INSTRUCTIONS = "You are a pirate."
LOCKED = Grant(session=SessionConfig.of(instructions=INSTRUCTIONS), other_updates="drop")
"""For clients that think they do."""


@asynccontextmanager
async def on_a_port(
    authorize: Authorize, service: Service, authority: trustme.CA | None, _: Path
) -> AsyncIterator[str]:
    context = None if authority is None else server_context(authority)
    async with trio.open_nursery() as nursery:
        yield await nursery.start(
            partial(serve_relay, authorize, service=service, ssl_context=context)
        )
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def in_an_application(
    authorize: Authorize, service: Service, authority: trustme.CA | None, folder: Path
) -> AsyncIterator[str]:
    tls = None
    if authority is not None:
        certificate = authority.issue_cert("127.0.0.1")
        tls = folder / "chain.pem", folder / "key.pem"
        certificate.private_key_pem.write_to_path(tls[1])
        tls[0].write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    async with hypercorn(relay_app(authorize, service=service), tls=tls, limit=60) as url:
        yield f"{url}/v1/realtime"


Shell = Callable[[Authorize, Service, trustme.CA | None, Path], AbstractAsyncContextManager[str]]
"""Serves a relay, and gives its URL."""


@pytest.fixture(params=[on_a_port, in_an_application])
def shell(request: pytest.FixtureRequest) -> Shell:
    """How a relay is served."""
    chosen: Shell = request.param
    return chosen


async def play(
    client: Stranger,
    folder: Path,
    scenario: str,
    *arguments: str,
    shell: Shell,
    script: Script | None = None,
    grant: Grant = OPEN,
    token: str = TOKEN,
) -> Account:
    """Let a client play a scenario against a relay, behind which is a simulator of its own."""

    async def authorize(request: HandshakeRequest) -> Grant:
        await trio.lowlevel.checkpoint()
        if token_of(request) != TOKEN:
            raise AccessDenied("the token is not valid", code="invalid_api_key")
        return grant

    variables: dict[str, Any] = {"OPENAI_API_KEY": token}
    authority = trustme.CA() if client.needs_tls else None
    if authority is not None:
        authority.cert_pem.write_to_path(folder / "ca.pem")
        variables["NODE_EXTRA_CA_CERTS"] = str(folder / "ca.pem")
    async with trio.open_nursery() as nursery:
        behind = await nursery.start(partial(serve_simulator, script or Script(), api_key=KEY))
        async with shell(authorize, service_at(behind, api_key=KEY), authority, folder) as url:
            seen = await run_client(
                client, scenario, *arguments, OPENAI_BASE_URL=base_of(url), **variables
            )
        nursery.cancel_scope.cancel()
    assert not seen.mentions(KEY)
    return seen


@everybody
async def test_a_text_turn(client: Stranger, tmp_path: Path, shell: Shell) -> None:
    seen = await play(
        client, tmp_path, "text_turn", shell=shell, script=Script([Reply.text("Good morning.")])
    )
    assert seen["answer"] == "Good morning."
    assert seen["status"] == "completed"
    assert not seen.all("error")


@everybody
async def test_an_audio_turn(client: Stranger, tmp_path: Path, shell: Shell, question: str) -> None:
    voice = synthesize_speech("It is sunny.")
    script = Script(
        [Reply.speech("It is sunny.", voice)], transcripts=["What is the weather like?"]
    )
    seen = await play(client, tmp_path, "audio_turn", question, shell=shell, script=script)
    assert seen["heard"] == "What is the weather like?"
    assert seen["audio"] == hashlib.sha256(AudioData(voice).data).hexdigest()
    assert not seen.all("error")


@everybody
async def test_tools_of_the_client_are_run_by_it(
    client: Stranger, tmp_path: Path, shell: Shell
) -> None:
    script = Script([Reply.call("get_weather", city="Paris")])
    seen = await play(client, tmp_path, "tool_call", shell=shell, script=script)
    assert seen["tool"] == {"city": "Paris"}
    assert seen.all("answer")[-1] == "The function returned: Sunny in Paris"
    assert not seen.all("error")


@everybody
async def test_speech_interrupts_the_answer(
    client: Stranger, tmp_path: Path, shell: Shell, question: str
) -> None:
    script = Script([STORY, Reply.text("Yes.")])
    seen = await play(client, tmp_path, "barge_in", question, shell=shell, script=script)
    assert seen.all("status") == ["cancelled", "completed"]
    assert seen.all("interrupted")
    assert not seen.all("error")


@everybody
async def test_an_answer_can_be_cancelled_and_cut(
    client: Stranger, tmp_path: Path, shell: Shell
) -> None:
    script = Script([STORY, Reply.text("The end.")])
    seen = await play(client, tmp_path, "cancel_and_truncate", shell=shell, script=script)
    assert seen.all("status") == ["cancelled", "completed"]
    assert isinstance(seen["truncated"], int)
    assert not seen.all("error")


@clients(OPENAI_PYTHON, OPENAI_NODE, AGENTS_NODE, AGENTS_PYTHON)
async def test_a_configuration_that_is_locked_stays_and_the_client_is_content(
    client: Stranger, tmp_path: Path, shell: Shell
) -> None:
    told: list[str | None] = []

    def remember(turn: Turn) -> bool:
        told.append(turn.instructions)
        return True

    script = Script([Reply.text("Good morning.", when=remember)])
    seen = await play(client, tmp_path, "text_turn", shell=shell, script=script, grant=LOCKED)
    assert seen["answer"] == "Good morning."
    assert told == [INSTRUCTIONS]
    assert not seen.all("error")
    assert not seen.mentions("pirate")


@everybody
async def test_a_wrong_token_is_reported_the_clients_own_way(
    client: Stranger, tmp_path: Path, shell: Shell
) -> None:
    seen = await play(client, tmp_path, "wrong_key", shell=shell, token="sk-nothing")
    assert seen.all("closed") or seen.all("failure") or seen.all("error")
