"""A tool that does nothing: from the call on the wire to its output on the wire.

Calls come one after another, and 100 in one response.

The model is a blocking socket in this process (`tool_service`), so all clients are measured by one
clock, from just before the call is written until its output is read.  Every client is a process of
its own (`tool_clients`), speaks a real WebSocket on the loopback interface, and gets the same
bytes, but for what the service repeats of its own: ids, metadata, the definitions of its tools.
They take turns; in each turn a process that is warm opens a new session.  Times are wall clock, as
only that tells what a user waits; CPU time is what the client's process says in a tool.  Before
what is timed the service pauses for 4 ms, as real ones do longer: so the client is done with what
came before, and the processor's caches have forgotten it, which is half of the times of everybody.

Comparable is what users get who write down one async tool, read every event and leave the settings
alone; with openai-agents tracing is off, and there are neither guardrails nor handoffs.  "By hand"
are the same WebSockets with the json module and nothing else: what is left there is the wire, the
event loop and waking up a process.  It shows how much of a time belongs to the library and how much
is below it.

Not comparable: openai-agents starts all tools at once, we run 8 at a time (`tool_concurrency`).
Both keep a history, of different things; openai-agents searches its own for every item, so that its
calls cost the more the longer a session is, and these sessions are short.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen
from typing import Final

from harness import Comparison, Report, interleave
from tool_service import PATIENCE_S, Service

OURS, OUR_WEBSOCKET, AGENTS, THEIR_WEBSOCKET = (
    "realtime_trio",
    "trio-websocket by hand",
    "openai-agents",
    "websockets by hand",
)

PROGRAMS: Final = {
    OURS: "realtime_trio_session.py",
    OUR_WEBSOCKET: "trio_by_hand.py",
    AGENTS: "agents_session.py",
    THEIR_WEBSOCKET: "asyncio_by_hand.py",
}
# What is measured of each client in each round.
OUTPUT, CREATE, CPU = "output", "create", "cpu"
PARALLEL_OUTPUT, PARALLEL_CREATE, PARALLEL_CPU = (
    "parallel output",
    "parallel create",
    "parallel cpu",
)
CREATES, OUTPUTS_BEFORE = "creates", "outputs before the first create"

PARALLEL: Final = 100
# of so many calls, in a session each; one alone is soon over, and whatever else the machine does
# shows
BATCHES: Final = 3
WARM_UP: Final = 5


class Client:
    """A process that opens a session whenever it is told to, and what it was measured at.

    Args:
        program: In `tool_clients`.
        calls: How many to make one after another.
    """

    def __init__(self, program: str, calls: int) -> None:
        self.calls = calls
        self.costs: dict[str, list[float]] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE_S)
        url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}/v1/realtime?model=gpt-realtime"
        script = Path(__file__).parent / "tool_clients" / program
        self._process = Popen([sys.executable, str(script), url], stdin=PIPE)

    @contextmanager
    def session(self) -> Iterator[Service]:
        """Let it open a session; it is warm inside the block."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        connection, _ = self._listener.accept()
        with connection:
            service = Service(connection)
            for arguments in _arguments(WARM_UP):
                service.call("echo", arguments)
            yield service
            service.say_goodbye()

    def play(self) -> float:
        """Measure a round; returns how long the median call took."""
        self._play_in_sequence()
        self._play_in_parallel()
        return self.costs[OUTPUT][-1]

    def _play_in_sequence(self) -> None:
        calls = _arguments(self.calls)
        with self.session() as service:
            before = _cpu_us(service)
            turns = [service.call("echo", arguments) for arguments in calls]
            cpu_us = _cpu_us(service) - before
        assert [turn.outputs for turn in turns] == [(arguments["text"],) for arguments in calls]
        self._note(OUTPUT, median(turn.output_s for turn in turns) * 1e6)
        self._note(CREATE, median(turn.create_s for turn in turns) * 1e6)
        self._note(CPU, cpu_us / (len(calls) + 1))  # from within one call to within another

    def _play_in_parallel(self) -> None:
        calls = _arguments(PARALLEL)
        turns, cpu_us = [], []
        for _ in range(BATCHES):
            with self.session() as service:
                before = _cpu_us(service)
                turns.append(service.call_many("echo", calls))
                cpu_us.append((_cpu_us(service) - before) / PARALLEL)
        assert all(
            turn.outputs == tuple(arguments["text"] for arguments in calls) for turn in turns
        )
        self._note(PARALLEL_OUTPUT, median(turn.output_s for turn in turns) * 1e3)
        self._note(PARALLEL_CREATE, median(turn.create_s for turn in turns) * 1e3)
        self._note(PARALLEL_CPU, median(cpu_us))
        self._note(CREATES, max(turn.creates for turn in turns))
        self._note(OUTPUTS_BEFORE, min(turn.outputs_before_create for turn in turns))

    def _note(self, what: str, cost: float) -> None:
        self.costs.setdefault(what, []).append(cost)

    def forget(self) -> None:
        """Discard what was measured so far."""
        self.costs.clear()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)
        self._listener.close()


def main() -> int:
    report = Report("bench_tools", __doc__)
    calls, repeats = (20, 5) if report.quick else (100, 15)
    with ExitStack() as stack:
        clients = {name: Client(program, calls) for name, program in PROGRAMS.items()}
        for client in clients.values():
            stack.callback(client.close)
        players = {name: client.play for name, client in clients.items()}
        interleave(players, 1)  # byte code gets compiled, validators get built
        for client in clients.values():
            client.forget()
        interleave(players, repeats)

    def add(title: str, what: str, unit: str) -> Comparison:
        return report.add(
            title,
            Comparison(
                rounds={name: client.costs[what] for name, client in clients.items()},
                peer=AGENTS,
                unit=unit,
            ),
        )

    output = add("call done to its output, one at a time", OUTPUT, "us")
    create = add("response done to the response.create, one call in it", CREATE, "us")
    cpu = add("CPU time of the client, one call in a response: 8 events in, 2 out", CPU, "us/call")
    parallel = add(f"{PARALLEL} calls in one response: to the last output", PARALLEL_OUTPUT, "ms")
    add("the same, to the response.create that reads them all", PARALLEL_CREATE, "ms")
    parallel_cpu = add(
        "the same, CPU time of the client: 7 events in, 1 out", PARALLEL_CPU, "us/call"
    )
    print()
    for name in (OURS, AGENTS):
        creates, outputs = (
            max(clients[name].costs[CREATES]),
            min(clients[name].costs[OUTPUTS_BEFORE]),
        )
        report.fact(f"{name}: responses asked for after {PARALLEL} calls, at most", creates)
        report.fact(f"{name}: outputs before the first of them, at least", outputs)
    print()
    report.meet("tools.output", output.ratio(AGENTS, OURS))
    report.meet("tools.create", create.ratio(OURS, AGENTS))
    report.meet("tools.cpu", cpu.ratio(OURS, AGENTS))
    report.meet("tools.parallel", parallel.ratio(AGENTS, OURS))
    report.meet("tools.parallel.cpu", parallel_cpu.ratio(OURS, AGENTS))
    report.meet("tools.creates", max(clients[OURS].costs[CREATES]))
    report.meet("tools.outputs", min(clients[OURS].costs[OUTPUTS_BEFORE]))
    return report.finish()


def _arguments(calls: int) -> list[dict[str, str]]:
    return [{"text": f"call number {number}"} for number in range(calls)]


def _cpu_us(service: Service) -> float:
    return int(service.call("cpu_ns", {}).outputs[0]) / 1e3


if __name__ == "__main__":
    sys.exit(main())
