"""Our client against a mock of the service that other people wrote: @copilotkit/aimock.

It omits much that the service sends (ids of conversations, defaults of the session, the item of a
commit, most acknowledgements), which is what makes it worth a try.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from strangers import Stranger, stranger_serving

from realtime_trio import open_session, open_transcription_session
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._session.voice import Session
from realtime_trio.errors import ConnectionFailed
from realtime_trio.events import InputAudioBufferAppend, InputAudioBufferCommit

AIMOCK = Stranger("servers/aimock.cjs")
KEY = "sk-something"

pytestmark = [pytest.mark.socket, AIMOCK.installed]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with stranger_serving(AIMOCK, KEY) as url:
        with trio.fail_after(10):
            yield url


@pytest.fixture
async def session(url: str) -> AsyncIterator[Session]:
    def get_weather(city: str) -> str:
        """The weather in a city.

        Args:
            city: Which.
        """
        return f"Sunny in {city}"

    async with open_session(
        "gpt-realtime",
        url=url,
        api_key=KEY,
        output_modalities=["text"],
        turn_detection=None,
        tools=[get_weather],
    ) as session:
        yield session


async def test_a_text_turn(session: Session) -> None:
    answer = await session.ask("Good morning!")
    assert answer.text == "Good morning to you, too."
    assert answer.status == "completed"
    assert [item.role for item in session.conversation.items] == ["user", "assistant"]


async def test_text_comes_in_pieces(session: Session) -> None:
    await session.send_message("Good morning!", respond=False)
    async with session.open_response() as response:
        pieces = [delta async for delta in response]
    assert len(pieces) > 1


async def test_the_model_calls_a_tool_and_reads_what_it_returned(session: Session) -> None:
    assert (await session.ask("What is the weather in Paris?")).text == "It is sunny there."
    assert [item.type for item in session.conversation.items] == [
        "message",
        "function_call",
        "function_call_output",
        "message",
    ]


async def test_a_tool_may_be_called_after_some_words(session: Session) -> None:
    assert (await session.ask("Look it up.")).text == "It is sunny there."
    assert "Let me look." in [item.text for item in session.conversation.items]


async def test_a_cancelled_answer_leaves_the_session_usable(session: Session) -> None:
    await session.send_message("Tell me a story.", respond=False)
    async with session.open_response() as response:
        async for _ in response:
            break
    assert (await session.ask("Good morning!")).text == "Good morning to you, too."


async def test_a_failed_answer_says_why_and_leaves_the_session_usable(session: Session) -> None:
    failed = await session.ask("Fail, please.")
    assert failed.status == "failed"
    assert failed.response.status_details is not None
    assert failed.response.status_details.error is not None
    assert failed.response.status_details.error.code == "overloaded"
    assert (await session.ask("Good morning!")).status == "completed"


async def test_a_change_of_the_configuration_is_taken(session: Session) -> None:
    assert (await session.update(instructions="Be kind.")).instructions == "Be kind."
    assert session.config.instructions == "Be kind."


async def test_a_transcription_session(url: str) -> None:
    async with open_transcription_session(
        "gpt-4o-transcribe", url=url, api_key=KEY, turn_detection=None
    ) as session:
        await session.send(InputAudioBufferAppend(audio=bytes(48000)))
        # Not `commit_audio`: this server does not say which item a commit became.
        await session.send(InputAudioBufferCommit())
        async for caption in session.captions():
            if caption.is_final:
                break
    assert caption.text == "What is the weather like?"


async def test_a_wrong_key_is_refused(url: str) -> None:
    with pytest.raises(ConnectionFailed, match="401"):
        async with open_session("gpt-realtime", url=url, api_key="sk-nothing"):
            pass


async def test_the_beta_protocol_is_refused_as_the_service_does(url: str) -> None:
    with pytest.raises(ConnectionFailed, match="no longer supported"):
        async with open_session("gpt-realtime", url=url, api_key=KEY, dialect=Dialect.BETA):
            pass
