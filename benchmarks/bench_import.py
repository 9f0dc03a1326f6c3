"""Import the package: fresh processes, taking turns, files in the system's cache.

Measured inside each process, from just before the import to just after, so that starting Python
itself does not count.  `import realtime_trio` alone loads next to nothing, so what is compared is
the import of a name that a program needs, and of everything that a session has loaded when it is
connected.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

from harness import CLOCK, Comparison, Report, interleave

OURS, OURS_CONNECTED, OURS_DEPENDENCIES, OPENAI, OPENAI_REALTIME = (
    "realtime_trio.open_session",
    "realtime_trio + its WebSocket",
    "its dependencies alone",
    "openai",
    "openai + its realtime client",
)

STATEMENTS = {
    OURS: "from realtime_trio import open_session",
    # Loaded when something connects.
    OURS_CONNECTED: "from realtime_trio import open_session; import trio_websocket",
    OURS_DEPENDENCIES: "import attrs, cattrs, numpy, orjson, pybase64, trio, trio_websocket",
    OPENAI: "import openai",
    # `import openai` leaves these for later; a session needs them before it has connected.
    OPENAI_REALTIME: """
import openai, openai.resources.realtime.realtime, websockets.asyncio.client
openai.AsyncOpenAI(api_key="-").realtime
""",
}

TIMED = """
import time
started = time.{clock}()
{statement}
print(time.{clock}() - started)
"""

# Functions made by exec say so in their file name, "<...>"; those that cattrs or the codec make are
# called structure or unstructure.
COUNTED = """
import json, sys
made = []
def watch(event, arguments):
    if event == "exec" and arguments[0].co_filename.startswith("<"):
        names = (getattr(constant, "co_name", "") for constant in arguments[0].co_consts)
        made.extend(name for name in names if "structure" in name)
sys.addaudithook(watch)
from realtime_trio import open_session
from realtime_trio._protocol.codec import Codec
at_import = len(made)
Codec(strict=True).decode({message!r})
print(json.dumps([at_import, len(made)]))
"""

MESSAGE = json.dumps({"type": "input_audio_buffer.cleared", "event_id": "event_1"})


def main() -> int:
    report = Report("bench_import", __doc__)
    samplers = {name: _sampler(statement) for name, statement in STATEMENTS.items()}
    interleave(samplers, 1)  # byte code gets compiled, files get cached
    rounds = interleave(samplers, 5 if report.quick else 15)
    imports = report.add(
        "import in a fresh process", Comparison(rounds=rounds, peer=OPENAI, unit="ms")
    )
    at_import, after_one_event = json.loads(_run(COUNTED.format(message=MESSAGE)))
    assert after_one_event > at_import, (
        "the functions are not counted: they are made in another way than this script watches for"
    )
    print(
        f"\nstructure functions made by the import: {at_import}; "
        f"by decoding the first event: {after_one_event - at_import}\n"
    )
    report.at_most("import, times the time of `import openai`", imports.ratio(OURS, OPENAI), 1 / 2)
    report.at_most(
        "all that a session needs, times what openai needs for one",
        imports.ratio(OURS_CONNECTED, OPENAI_REALTIME),
        0.4,
    )
    report.at_most("structure functions made by the import", at_import, 0)
    return report.finish()


def _sampler(statement: str) -> Callable[[], float]:
    program = TIMED.format(clock=CLOCK, statement=statement)
    return lambda: float(_run(program)) * 1e3


def _run(program: str) -> str:
    # -I: the installed package, whatever the working directory and the environment are.
    return subprocess.run(
        [sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
