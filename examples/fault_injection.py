"""What goes wrong on a line, and how an agent gets its answer all the same.

Each fault in turn, without a network, and in no time.

Run it:    python examples/fault_injection.py
"""

import logging
import math
from collections.abc import Iterable

import trio
from trio.testing import MockClock

from realtime_trio import (
    ConnectionFailed,
    ConnectionLost,
    ErrorEvent,
    SessionClosed,
    UnknownEvent,
    open_session,
)
from realtime_trio.audio import PCM_RATE
from realtime_trio.events import JsonObject
from realtime_trio.simulator import LIFELIKE, Fault, Reply, Script, Turn, open_simulator_transport

SPEECH, WORDS = "response.output_audio.delta", "response.output_audio_transcript.delta"
FAULTS = {
    "the connection drops": Fault.drop(SPEECH, nth=3),
    "it is reset at once": Fault.reset("session.created"),
    "the service restarts": Fault.closing(1012, "service restart", on=SPEECH, nth=3),
    "it says goodbye": Fault.closing(1000, on="response.done"),
    "the session expires": Fault.expiry("response.done"),
    "nothing more is said": Fault.stall(on=SPEECH, nth=3),
    "nothing, for a while": Fault.stall(2, on=SPEECH, nth=3),
    "an event is late": Fault.delay(2, on="response.created"),
    "every event is late": Fault.delay(0.05, on="response.", times=math.inf),
    "the line is slow": Fault.slow(40_000, on=SPEECH),
    "it is much too slow": Fault.slow(4_000, on=SPEECH),
    "half an event comes": Fault.corrupt("cut", on=WORDS),
    "an event is garbage": Fault.corrupt("garbage", on="response.content_part.done"),
    "an event has no sense": Fault.corrupt("payload", on="conversation.item.done"),
    "speech is spoilt": Fault.corrupt("audio", on=SPEECH),
    "the end is spoilt": Fault.corrupt("garbage", on="response.done"),
    "events come twice": Fault.duplicate(WORDS, times=math.inf),
    "an event comes later": Fault.reorder("rate_limits.updated", behind=3),
    "an error out of the blue": Fault.failing(None, "Something went wrong.", on=SPEECH),
}


def knows_ada(turn: Turn) -> bool:
    """Whether the model was told what was said in an earlier session."""
    return "Ada" in str(turn.items[0])


SCRIPT = Script(
    [Reply.text("You are Ada.", when=knows_ada), Reply.text("Who are you?")], pacing=LIFELIKE
)


async def ask(question: str, history: Iterable[JsonObject], faults: Iterable[Fault]) -> str:
    """Ask over a line with these faults, in a session that knows what was said before."""
    async with (
        open_simulator_transport(SCRIPT, faults=faults) as transport,
        open_session(transport=transport, history=history) as session,
    ):
        odd = session.events(UnknownEvent, ErrorEvent)
        answer = await session.ask(question)
        noticed = "".join(f"[{type(odd.receive_nowait()).__name__}] " for _ in range(odd.pending))
        return f"{noticed}{answer.transcript} ({len(answer.audio) / PCM_RATE:.2f} s of speech)"


async def main() -> None:
    """Ask the same with every fault, and again without one if that is in the way."""
    logging.getLogger("realtime_trio").setLevel(
        logging.ERROR
    )  # it warns of everything that it cannot read
    async with (
        open_simulator_transport(Script([Reply.text("Hello, Ada.")])) as transport,
        open_session(transport=transport) as session,
    ):
        await session.ask("I am Ada.")
    for name, fault in FAULTS.items():
        start = trio.current_time()
        story: list[str] = []
        for faults in ([fault], []):
            try:
                with trio.fail_after(5):  # longer than any answer takes
                    story.append(await ask("Who am I?", session.conversation.export(), faults))
                    break
            except (ConnectionFailed, ConnectionLost, SessionClosed, trio.TooSlowError) as trouble:
                story.append(str(trouble) or "no answer in 5 s")
        print(f"{name:26}{trio.current_time() - start:4.1f} s  {'; '.join(story)}")


if __name__ == "__main__":
    trio.run(main, clock=MockClock(autojump_threshold=0))
