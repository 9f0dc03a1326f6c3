"""Sessions that go on over real sockets: cut at every message of a spoken turn with a tool."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import partial
from itertools import count

import numpy as np
import trio
from lasting_talk import lines_of
from numpy.typing import NDArray

from realtime_trio import open_session, tool
from realtime_trio._session.voice import Session
from realtime_trio.events import AssistantMessage, ResponseDone, UserMessage
from realtime_trio.lasting import Loss, Reconnect, Reconnected
from realtime_trio.simulator import Call, Cast, Fault, Script, Turn, serve_simulator
from realtime_trio.simulator.roles import Piece, Say

QUESTION = "How is the weather in Paris?"
NOTHING = Loss()
ANSWER = "It is sunny in Paris, at 21 degrees."
PROMPT = Reconnect(delay=0.01, longest_delay=0.05, attempts=20)


class Agent:
    """Looks the weather up, once, and tells it."""

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:
        await trio.lowlevel.checkpoint()
        if turn.tool_output is None:
            assert turn.user_text == QUESTION
            yield Call("get_weather", {"city": "Paris"})
        else:
            yield Say("It is sunny in Paris, ")
            yield Say(f"at {turn.tool_output} degrees.")


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


def first_only(*faults: Fault) -> Callable[[], Iterable[Fault]]:
    """These go wrong on the first connection, and nothing on all others."""
    connections = count(1)
    return lambda: faults if next(connections) == 1 else ()


def spoken() -> NDArray[np.int16]:
    """Half a second of speech, and silence after it."""
    speech = np.tile(np.array([4000, -4000], np.int16), 6000)
    return np.concatenate([speech, np.zeros(24_000, np.int16)])


async def serve(nursery: trio.Nursery, *faults: Fault) -> str:
    cast = Cast(Agent(), ears=Ears())
    url: str = await nursery.start(
        partial(serve_simulator, Script(), cast=cast, faults=first_only(*faults))
    )
    return url


def faults_at(nth: int) -> Iterator[Fault]:
    yield Fault.drop(nth=nth)
    yield Fault.reset(nth=nth)
    yield Fault.expiry(nth=nth)


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


async def messages_of_a_turn() -> int:
    """How many messages the server sends in the turn, when nothing goes wrong."""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            url = await serve(nursery)
            async with open_talking(url=url) as session:
                wire = session.wire()
                await talk(session)
                check(session)
                records = [wire.receive_nowait() for _ in range(wire.pending)]
            nursery.cancel_scope.cancel()
    return sum(record.source == "server" for record in records)


open_talking = partial(
    open_session,
    api_key="key",
    reconnect=PROMPT,
    tools=[get_weather],
    transcription="whisper-1",
    turn_detection="server_vad",
)


async def test_wherever_the_connection_breaks_the_right_answer_is_given_once() -> None:
    whole = await messages_of_a_turn()
    assert whole > 25
    cut = 0
    # The first two open the session.
    for nth in range(3, whole + 1):
        for fault in faults_at(nth):
            with trio.fail_after(30):
                async with trio.open_nursery() as nursery:
                    url = await serve(nursery, fault)
                    async with open_talking(url=url) as session:
                        reconnected = session.events(Reconnected)
                        await talk(session)
                        told = [reconnected.receive_nowait() for _ in range(reconnected.pending)]
                        check(session, sum((each.lost for each in told), NOTHING))
                        cut += len(told)
                    nursery.cancel_scope.cancel()
    assert cut >= 3 * (whole - 3)
