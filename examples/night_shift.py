"""A night shift: two hours in one session, over whatever connections there are.

A porter asks every few minutes.  The first hour is calm, but the service ends every session after
an hour; in the second one connections drop, also in the middle of an answer, and the network is
away for a while.  No question goes unanswered.  There is no network here, and the clock jumps: it
takes seconds.

Run it:    python examples/night_shift.py
"""

import random
from collections.abc import AsyncIterator

import trio
from trio.testing import MockClock

from realtime_trio import Session, open_session, tool
from realtime_trio.lasting import (
    Reconnect,
    Reconnected,
    Reconnecting,
    SessionExpiring,
    SessionRenewed,
)
from realtime_trio.simulator import Call, Cast, Piece, Say, SimulatedService, Turn

SHIFT = 2 * 3600.0
GUESTS = {"12": "Ms. Ito", "27": "Mr. Okafor", "41": "nobody"}


class Concierge:
    """The model: looks a room up, and tells who is in it, at the pace of speech."""

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:  # noqa: ASYNC900, ASYNC911
        """Answer one turn."""
        await trio.sleep(0.2)
        if turn.tool_output is None:
            yield Call("look_up", {"room": turn.user_text.split()[-1].rstrip("?")})
            await trio.lowlevel.checkpoint()
            return
        for word in f"There is {turn.tool_output} in it.".split():
            await trio.sleep(0.3)
            yield Say(f"{word} ")


@tool
async def look_up(room: str) -> str:
    """Look up who is in a room."""
    await trio.sleep(1)  # the hotel's computer is old
    return GUESTS.get(room, "nobody")


def tell(what: str) -> None:
    """Print something with the time of the clock that jumps."""
    minutes, seconds = divmod(int(trio.current_time()), 60)
    print(f"{minutes // 60}:{minutes % 60:02}:{seconds:02}  {what}")


async def watch(session: Session) -> None:
    """Tell what becomes of the connections: nothing else in this program knows of it."""
    events = session.events(Reconnecting, Reconnected, SessionExpiring, SessionRenewed)
    async for event in events:
        match event:
            case Reconnecting(attempt=attempt, why=why):
                tell(f"    attempt {attempt}: {why}")
            case Reconnected(lost=lost, gap_ms=gap):
                cut = f"; cut: {len(lost.responses)} response" if lost.responses else ""
                tell(f"    back after {gap / 1000:.1f} s{cut}")
            case SessionExpiring(seconds_left=left):
                tell(f"    the session ends in {left:.0f} s")
            case SessionRenewed(gap_ms=gap):
                tell(f"    renewed, with a gap of {gap} ms")


async def misfortune(service: SimulatedService) -> None:
    """Drop the connection in a few seconds, and now and then for longer."""
    await trio.sleep(random.uniform(0, 4))
    if random.random() < 0.3:
        tell("    the network is away")
        service.refuse(*[None] * 5)
    service.drop()


async def main() -> None:
    """Ask all night, and count the answers."""
    random.seed(3)  # the same night every time
    service = SimulatedService(cast=Cast(Concierge()), latency=0.1)
    asked = answered = 0
    async with (
        open_session(transport=service.open, reconnect=Reconnect(), tools=[look_up]) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(watch, session)
        while trio.current_time() < SHIFT:
            await trio.sleep(random.uniform(60, 400))
            room = random.choice(list(GUESTS))
            asked += 1
            if trio.current_time() > SHIFT / 2 and random.random() < 0.5:
                nursery.start_soon(misfortune, service)
            answer = await session.ask(f"Who is in room {room}?")
            right = answer.text.strip() == f"There is {GUESTS[room]} in it."
            answered += right
            tell(f"room {room}: {answer.text.strip()}{'' if right else '  <- wrong'}")
        nursery.cancel_scope.cancel()
    tell(f"{answered} of {asked} answered, over {len(service.servers)} connections")


if __name__ == "__main__":
    trio.run(main, clock=MockClock(autojump_threshold=0))
