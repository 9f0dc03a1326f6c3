"""Other people's clients, unchanged: what works with the service must work with the simulator."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import trio
import trustme
from certificates import server_context
from strangers import HERE, Account, Stranger, run_client

from realtime_trio.audio import AudioData, read_wav
from realtime_trio.events import AssistantMessage, UserMessage
from realtime_trio.simulator import Pacing, Reply, Script, Turn, serve_simulator, synthesize_speech

OPENAI_PYTHON = Stranger("clients/openai_python.py")
OPENAI_NODE = Stranger("clients/openai_node.cjs", needs_tls=True)
AGENTS_PYTHON = Stranger("clients/agents_python.py")
AGENTS_NODE = Stranger("clients/agents_node.cjs")

KEY = "sk-something"
STORY = Reply.text(
    "Once upon a time there was a city in which it was always sunny.",
    pacing=Pacing(audio_speed=2.0),
)


def clients(*chosen: Stranger) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "client", [pytest.param(c, id=Path(c.script).stem, marks=c.installed) for c in chosen]
    )


everybody = clients(OPENAI_PYTHON, OPENAI_NODE, AGENTS_PYTHON, AGENTS_NODE)
pytestmark = pytest.mark.socket


async def play(
    client: Stranger,
    folder: Path,
    scenario: str,
    *arguments: str,
    script: Script | None = None,
    key: str = KEY,
) -> Account:
    """Let a client play a scenario against a simulator of its own."""
    run = partial(run_client, client, scenario, *arguments, OPENAI_API_KEY=key)
    serve = partial(serve_simulator, script or Script(), api_key=KEY)
    async with trio.open_nursery() as nursery:
        if client.needs_tls:
            authority = trustme.CA()
            authority.cert_pem.write_to_path(folder / "ca.pem")
            context = server_context(authority)
            url: str = await nursery.start(partial(serve, ssl_context=context))
            seen = await run(
                OPENAI_BASE_URL=base_of(url), NODE_EXTRA_CA_CERTS=str(folder / "ca.pem")
            )
        else:
            seen = await run(OPENAI_BASE_URL=base_of(await nursery.start(serve)))
        nursery.cancel_scope.cancel()
    return seen


def base_of(url: str) -> str:
    """The URL by which clients of the whole API are configured."""
    return url.replace("ws", "http", 1).removesuffix("/realtime")


@pytest.fixture
def question(tmp_path: Path) -> str:
    """A recorded question as PCM, with the silence after it that ends a turn."""
    file = tmp_path / "question.pcm"
    samples = np.concatenate(
        [read_wav(HERE.parent / "examples" / "question.wav"), np.zeros(24000, np.int16)]
    )
    file.write_bytes(AudioData(samples).data)
    return str(file)


@everybody
async def test_a_text_turn(client: Stranger, tmp_path: Path) -> None:
    seen = await play(
        client, tmp_path, "text_turn", script=Script([Reply.text("Good morning to you, too.")])
    )
    assert seen["answer"] == "Good morning to you, too."
    assert seen["status"] == "completed"
    assert not seen.all("error")


@everybody
async def test_an_audio_turn_brings_every_sample_and_all_words(
    client: Stranger, tmp_path: Path, question: str
) -> None:
    voice = synthesize_speech("It is sunny.")
    script = Script(
        [Reply.speech("It is sunny.", voice)], transcripts=["What is the weather like?"]
    )
    seen = await play(client, tmp_path, "audio_turn", question, script=script)
    assert seen["heard"] == "What is the weather like?"
    assert seen["answer"] == "It is sunny."
    assert seen["audio"] == hashlib.sha256(AudioData(voice).data).hexdigest()
    assert seen["status"] == "completed"
    assert not seen.all("error")


@everybody
async def test_the_model_calls_a_tool_and_reads_what_it_returned(
    client: Stranger, tmp_path: Path
) -> None:
    seen = await play(
        client, tmp_path, "tool_call", script=Script([Reply.call("get_weather", city="Paris")])
    )
    assert seen["tool"] == {"city": "Paris"}
    assert seen.all("answer")[-1] == "The function returned: Sunny in Paris"
    assert seen.all("status") == ["completed", "completed"]
    assert not seen.all("error")


@everybody
async def test_speech_during_the_answer_interrupts_it_and_is_answered(
    client: Stranger, tmp_path: Path, question: str
) -> None:
    seen = await play(
        client, tmp_path, "barge_in", question, script=Script([STORY, Reply.text("Yes.")])
    )
    assert seen.all("status") == ["cancelled", "completed"]
    assert seen["reason"] == "turn_detected"
    assert seen.all("interrupted")
    assert seen.all("answer")[-1] == "Yes."
    assert not seen.all("error")


@everybody
async def test_an_answer_can_be_cancelled_and_cut_to_what_was_heard(
    client: Stranger, tmp_path: Path
) -> None:
    seen = await play(
        client, tmp_path, "cancel_and_truncate", script=Script([STORY, Reply.text("The end.")])
    )
    assert seen.all("status") == ["cancelled", "completed"]
    assert seen["reason"] == "client_cancelled"
    assert isinstance(seen["truncated"], int)
    assert seen.all("answer")[-1] == "The end."
    assert not seen.all("error")


@everybody
async def test_a_refused_event_is_named_and_the_client_goes_on(
    client: Stranger, tmp_path: Path
) -> None:
    seen = await play(
        client, tmp_path, "refused_events", script=Script([Reply.text("Still here.")])
    )
    assert seen.all("error") == [
        "item_delete_invalid_item_id",
        "item_truncate_invalid_item_id",
        "response_cancel_not_active",
    ]
    assert seen.all("event_id") == ["event_delete", None, "event_cancel"]
    assert seen["answer"] == "Still here."


@clients(AGENTS_NODE)
async def test_a_rewritten_history_is_what_the_model_reads(
    client: Stranger, tmp_path: Path
) -> None:
    turns: list[Turn] = []

    def remember(turn: Turn) -> bool:
        turns.append(turn)
        return True

    script = Script(
        [Reply.text("Good morning to you, too."), Reply.text("In Paris.", when=remember)]
    )
    seen = await play(client, tmp_path, "rewritten_history", script=script)
    texts = ["I am in Paris.", "Good morning to you, too.", "Where am I?"]
    assert seen["history"] == [*texts, "In Paris."]
    messages = [
        item for item in turns[-1].items if isinstance(item, UserMessage | AssistantMessage)
    ]
    assert [getattr(message.content[0], "text", "") for message in messages] == texts
    assert not seen.all("error")


@clients(OPENAI_PYTHON, OPENAI_NODE)
async def test_a_transcription_session(client: Stranger, tmp_path: Path, question: str) -> None:
    seen = await play(
        client,
        tmp_path,
        "transcription_session",
        question,
        script=Script(transcripts=["What is the weather like?"]),
    )
    assert seen["heard"] == "What is the weather like?"
    assert not seen.all("error")


@everybody
async def test_a_wrong_key_is_reported_the_clients_own_way(
    client: Stranger, tmp_path: Path
) -> None:
    seen = await play(client, tmp_path, "wrong_key", key="sk-nothing")
    assert seen.mentions("invalid_api_key")
    assert seen.all("closed") or seen.all("failure")


# The other one refuses to connect without a model.
@clients(OPENAI_PYTHON, AGENTS_PYTHON, AGENTS_NODE)
async def test_a_missing_model_is_reported_the_clients_own_way(
    client: Stranger, tmp_path: Path
) -> None:
    seen = await play(client, tmp_path, "missing_model")
    assert seen.mentions("missing_model")
    assert seen.all("closed") or seen.all("failure")
