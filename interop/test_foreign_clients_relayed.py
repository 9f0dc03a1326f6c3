"""Other people's clients, unchanged, through a relay: what works with the service works behind it.

The relay has the key of the simulator, the clients have one of its own making, and their
configuration passes, since they cannot do without.
"""

from __future__ import annotations

import hashlib
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from certificates import server_context
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
    Grant,
    HandshakeRequest,
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


async def play(
    client: Stranger,
    folder: Path,
    scenario: str,
    *arguments: str,
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
    options: dict[str, Any] = {}
    if client.needs_tls:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        options["ssl_context"] = server_context(authority)
        variables["NODE_EXTRA_CA_CERTS"] = str(folder / "ca.pem")
    async with trio.open_nursery() as nursery:
        behind = await nursery.start(partial(serve_simulator, script or Script(), api_key=KEY))
        service = service_at(behind, api_key=KEY)
        url = await nursery.start(partial(serve_relay, authorize, service=service, **options))
        seen = await run_client(
            client, scenario, *arguments, OPENAI_BASE_URL=base_of(url), **variables
        )
        nursery.cancel_scope.cancel()
    assert not seen.mentions(KEY)
    return seen


@everybody
async def test_a_text_turn(client: Stranger, tmp_path: Path) -> None:
    seen = await play(client, tmp_path, "text_turn", script=Script([Reply.text("Good morning.")]))
    assert seen["answer"] == "Good morning."
    assert seen["status"] == "completed"
    assert not seen.all("error")


@everybody
async def test_an_audio_turn(client: Stranger, tmp_path: Path, question: str) -> None:
    voice = synthesize_speech("It is sunny.")
    script = Script(
        [Reply.speech("It is sunny.", voice)], transcripts=["What is the weather like?"]
    )
    seen = await play(client, tmp_path, "audio_turn", question, script=script)
    assert seen["heard"] == "What is the weather like?"
    assert seen["audio"] == hashlib.sha256(AudioData(voice).data).hexdigest()
    assert not seen.all("error")


@everybody
async def test_tools_of_the_client_are_run_by_it(client: Stranger, tmp_path: Path) -> None:
    script = Script([Reply.call("get_weather", city="Paris")])
    seen = await play(client, tmp_path, "tool_call", script=script)
    assert seen["tool"] == {"city": "Paris"}
    assert seen.all("answer")[-1] == "The function returned: Sunny in Paris"
    assert not seen.all("error")


@everybody
async def test_speech_interrupts_the_answer(
    client: Stranger, tmp_path: Path, question: str
) -> None:
    script = Script([STORY, Reply.text("Yes.")])
    seen = await play(client, tmp_path, "barge_in", question, script=script)
    assert seen.all("status") == ["cancelled", "completed"]
    assert seen.all("interrupted")
    assert not seen.all("error")


@everybody
async def test_an_answer_can_be_cancelled_and_cut(client: Stranger, tmp_path: Path) -> None:
    script = Script([STORY, Reply.text("The end.")])
    seen = await play(client, tmp_path, "cancel_and_truncate", script=script)
    assert seen.all("status") == ["cancelled", "completed"]
    assert isinstance(seen["truncated"], int)
    assert not seen.all("error")


@clients(OPENAI_PYTHON, OPENAI_NODE, AGENTS_NODE, AGENTS_PYTHON)
async def test_a_configuration_that_is_locked_stays_and_the_client_is_content(
    client: Stranger, tmp_path: Path
) -> None:
    told: list[str | None] = []

    def remember(turn: Turn) -> bool:
        told.append(turn.instructions)
        return True

    script = Script([Reply.text("Good morning.", when=remember)])
    seen = await play(client, tmp_path, "text_turn", script=script, grant=LOCKED)
    assert seen["answer"] == "Good morning."
    assert told == [INSTRUCTIONS]
    assert not seen.all("error")
    assert not seen.mentions("pirate")


@everybody
async def test_a_wrong_token_is_reported_the_clients_own_way(
    client: Stranger, tmp_path: Path
) -> None:
    seen = await play(client, tmp_path, "wrong_key", token="sk-nothing")
    assert seen.all("closed") or seen.all("failure") or seen.all("error")
