"""A small agent and its tests.

A script plays the model, so they need no key, no network and, with a clock that jumps, no time.

Run them in a clone:  pip install . pytest pytest-trio && pytest examples/test_my_agent.py
"""

import numpy as np
import pytest
import trio
from trio.testing import MockClock

from realtime_trio import ResponseDone, Session, tool
from realtime_trio.audio import PCM_RATE
from realtime_trio.playback import Playback
from realtime_trio.simulator import LIFELIKE, synthesize_speech
from realtime_trio.testing import Reply, Script, assert_conversation, open_simulated_session


@tool(timeout=5)
async def find_parcel(number: int) -> str:
    """Tell where a parcel is."""
    await trio.sleep(60 if number == 13 else 1)  # stands for a database, which hangs now and then
    return f"Parcel {number} comes tomorrow."


async def answer_calls(session: Session, playback: Playback, patience: float = 20.0) -> None:
    """Greet the caller, play what is said, and hang up after so many seconds of silence."""
    await session.greet("You answer the telephone of a parcel service.  Greet the caller.")
    with session.events() as events:
        while True:
            playback.take(playback.queued)  # for the line; here there is none
            with trio.move_on_after(playback.unheard / playback.rate + patience) as silence:
                await events.receive()
            if silence.cancelled_caught:
                return


def telephone() -> Playback:
    """Plays what it is given in real time, and does not say how far it is."""
    return Playback(tracking="clock", clock=trio.current_time)


pytestmark = pytest.mark.trio


@pytest.mark.parametrize(
    ("number", "output"),
    [(7, "Parcel 7 comes tomorrow."), (13, {"error": "the tool did not finish within 5 s"})],
)
async def test_it_looks_for_the_parcel(
    number: int, output: str | dict[str, str], autojump_clock: MockClock
) -> None:
    """The model is told what there is to tell, whatever the database does."""
    look = Reply.text("One moment.").then(Reply.call("find_parcel", number=number))
    script = Script(
        [
            Reply.text("Hello!"),
            look,
            Reply.text("So it is.", when=lambda turn: turn.tool_output is not None),
        ]
    )
    playback = telephone()
    async with (
        open_simulated_session(script, tools=[find_parcel], playback=playback) as (session, _),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(answer_calls, session, playback)
        await session.wait_for(ResponseDone)
        await session.send_message("Where is my parcel?")
    moment, call = ("assistant", "One moment."), ("call", "find_parcel", {"number": number})
    assert_conversation(
        session,
        [
            ("assistant", "Hello!"),
            ("user",),
            moment,
            call,
            ("output", output),
            ("assistant", "So it is."),
        ],
    )


async def test_it_stops_when_the_caller_interrupts(autojump_clock: MockClock) -> None:
    """The model knows how much of its greeting was heard."""
    speech = np.concatenate(
        [synthesize_speech("Where is my parcel?"), np.zeros(PCM_RATE, np.int16)]
    )
    script = Script(
        [
            Reply.text("Hello, this is your parcel service. How can I help you?", pacing=LIFELIKE),
            Reply.text("Yes?"),
        ]
    )
    playback = telephone()
    async with (
        open_simulated_session(script, playback=playback) as (session, _),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(answer_calls, session, playback)
        await trio.sleep(2)
        await session.append_audio(speech)  # all at once, which the service does not mind either
    greeting, *_ = session.conversation.items
    assert greeting.heard_ms == 1650  # it began after 350 ms
    assert_conversation(session, [("assistant", None), ("user", None), ("assistant", "Yes?")])


async def test_it_hangs_up_when_nobody_speaks(autojump_clock: MockClock) -> None:
    """The caller has twenty seconds from the end of the greeting."""
    playback = telephone()
    async with open_simulated_session(
        Script([Reply.speech("Hello!", np.ones(PCM_RATE, np.int16))]), playback=playback
    ) as (session, _):
        await answer_calls(session, playback)
    assert trio.current_time() == pytest.approx(21)
