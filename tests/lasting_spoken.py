"""A spoken turn with a tool that is to end with the right answer, said once, whatever breaks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import numpy as np
import trio
from lasting_talk import lines_of
from numpy.typing import NDArray

from realtime_trio import open_session, tool
from realtime_trio._session.voice import Session
from realtime_trio.events import AssistantMessage, ResponseDone, UserMessage
from realtime_trio.lasting import Loss, Reconnect
from realtime_trio.simulator import Call, Turn
from realtime_trio.simulator.roles import Piece, Say

QUESTION = "How is the weather in Paris?"
NOTHING = Loss()
ANSWER = "It is sunny in Paris, at 21 degrees."
PROMPT = Reconnect(delay=0.01, longest_delay=0.05, attempts=20)


class Agent:
    """Looks the weather up, once, and tells it."""

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:  # noqa: ASYNC900, ASYNC911
        await trio.lowlevel.checkpoint()
        if turn.tool_output is None:
            assert turn.user_text == QUESTION
            yield Call("get_weather", {"city": "Paris"})
        else:
            yield Say("It is sunny in Paris, ")
            yield Say(f"at {turn.tool_output} degrees.")  # noqa: ASYNC911


class Ears:
    """Always hears the same."""

    async def transcribe(self, samples: NDArray[np.int16]) -> str | None:
        await trio.lowlevel.checkpoint()
        return QUESTION


@tool
async def get_weather(city: str) -> int:
    """Look up the weather."""
    await trio.lowlevel.checkpoint()
    return 21


def spoken() -> NDArray[np.int16]:
    """Half a second of speech, and silence after it."""
    speech = np.tile(np.array([4000, -4000], np.int16), 6000)
    return np.concatenate([speech, np.zeros(24_000, np.int16)])


async def answered(session: Session) -> None:
    """Wait until the answer has been given."""
    with session.events(ResponseDone) as done:
        while True:
            response = (await done.receive()).response
            if response.status == "completed" and any(
                isinstance(item, AssistantMessage) for item in response.output
            ):
                return


async def talk(session: Session) -> None:
    """One turn, spoken, with a tool."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answered, session)
        await trio.lowlevel.checkpoint()
        await session.append_audio(spoken(), chunk_ms=100)
    # Whatever were still to come would come before this.
    item = await session.insert_item(UserMessage.text("Thank you."))
    assert session.conversation.items[-1] is item


def check(session: Session, lost: Loss = NOTHING) -> None:
    lines = lines_of(item.snapshot for item in session.conversation.items)
    whole = [
        line
        for line, item in zip(lines, session.conversation.items, strict=True)
        if item.status == "completed"
    ]
    assert whole[-4:] == [
        ("call", 'get_weather {"city":"Paris"}'),
        ("output", "21"),
        ("assistant", ANSWER),
        ("user", "Thank you."),
    ]
    assert whole.count(("assistant", ANSWER)) == 1
    question = session.conversation.items[0]
    heard = "" if question.id in lost.transcripts else QUESTION
    assert [words for who, words in whole if who == "user"] == [heard, "Thank you."]


open_talking = partial(
    open_session,
    api_key="key",
    reconnect=PROMPT,
    tools=[get_weather],
    transcription="whisper-1",
    turn_detection="server_vad",
)
