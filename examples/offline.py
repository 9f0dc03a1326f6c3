"""The same question, asked of a simulator in memory: no key, no network, no waiting.

This is how to test what you build.
"""

import trio

from realtime_trio import open_session
from realtime_trio.simulator import Reply, Script, open_simulator_transport


async def main() -> None:
    """Ask one question of a model that is scripted."""
    script = Script([Reply.text("Great, thanks for asking!")])
    async with (
        open_simulator_transport(script) as transport,
        open_session(transport=transport) as session,
    ):
        answer = await session.ask("How are you?")  # waits for the whole answer
    print(answer.transcript)


trio.run(main)
