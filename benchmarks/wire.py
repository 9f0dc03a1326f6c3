"""The processes of the wire benchmarks, and which core each may use.

`open_rig` starts the service (`wire_service`), and clients (`wire_clients/`) as they are wanted.
The service has one core and the clients, of which one runs at a time, have another, where the
machine has two and lets us choose.  Where we may, they go before other programs: who waits for a
core finds more to do at once, which makes every event look cheaper and every latency worse.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Final

import trustme

HERE: Final = Path(__file__).parent
PRIORITY: Final = -20
"""Of all processes that are measured; only root may have it."""
Answer = Mapping[str, float]

SESSION, CONNECTION, OPENAI, AGENTS, WEBSOCKETS, PICOWS, NAIVE = (
    "realtime_trio, session",
    "realtime_trio, connection",
    "openai-python",
    "openai-agents",
    "websockets + our codec",
    "picows + our codec, callback",
    "trio-websocket + cattrs.structure",
)
NO_AUDIO = "realtime_trio, no retention"
PROGRAMS: Final[Mapping[str, tuple[str, ...]]] = {
    SESSION: ("wire_our_session.py",),
    NO_AUDIO: ("wire_our_session.py", "--retention", "none"),
    CONNECTION: ("wire_our_connection.py",),
    OPENAI: ("wire_openai.py",),
    AGENTS: ("wire_agents.py",),
    WEBSOCKETS: ("wire_websockets.py",),
    PICOWS: ("wire_picows.py",),
    NAIVE: ("wire_naive.py",),
}


def _cores() -> tuple[int, int] | None:
    """One for the service, and one for the clients."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else None


def settle(core: int | None, *, first: bool = True) -> None:
    """Keep this process to a core, and ask not to be kept waiting by what else runs here.

    Args:
        core: The only one that it may use; None for any.
        first: Whether it goes before everything else.  Only for what does little for long: others
            do not run on its core while it does.
    """
    if core is not None:
        os.sched_setaffinity(0, {core})
    with suppress(AttributeError, PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    # Linux may compare sessions of processes before it compares processes: see autogroups in
    # sched(7).  This process begins one.
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(PRIORITY))
    if first:
        with suppress(AttributeError, OSError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


class Process:
    """A process that answers JSON lines with JSON lines."""

    def __init__(self, *program: str, core: int | None = None, **environment: str) -> None:
        self._process = Popen(
            [sys.executable, *program],
            stdin=PIPE,
            stdout=PIPE,
            text=True,
            env=os.environ | environment,
            start_new_session=True,
            preexec_fn=partial(settle, core),
        )

    def tell(self, **order: object) -> Answer:
        """Give an order and wait until it is carried out."""
        assert self._process.stdin is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return self.read()

    def read(self) -> Answer:
        """Wait for an answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} has failed")
        answer: Answer = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


class Rig:
    """A service, and clients by name."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self.cores = _cores()
        """Where the service runs, and where the clients do; None if there is no choice."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "authority.pem")
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
            folder / "service.pem"
        )
        self.service = Process(
            str(HERE / "wire_service.py"),
            str(folder / "service.pem"),
            core=self.cores[0] if self.cores else None,
        )
        stack.callback(self.service.close)
        self._ports = self.service.read()
        self._clients: dict[str, Process] = {}

    def url(self, *, tls: bool) -> str:
        """Where the service is."""
        scheme, port = ("wss", "tls") if tls else ("ws", "plain")
        return f"{scheme}://127.0.0.1:{self._ports[port]}/v1/realtime?model=gpt-realtime"

    def client(self, name: str) -> Process:
        """The process of a client, which is started when it is wanted for the first time."""
        if name not in self._clients:
            self._clients[name] = self.fresh_client(name)
            self._stack.callback(self._clients[name].close)
        return self._clients[name]

    def run(self, program: str) -> str:
        """Run Python where the clients run; returns what it has printed."""
        return subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            stdout=PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=partial(settle, self.cores[1] if self.cores else None, first=False),
        ).stdout

    def fresh_client(self, name: str) -> Process:
        """Another process of a client; the caller closes it."""
        script, *arguments = PROGRAMS[name]
        return Process(
            str(HERE / "wire_clients" / script),
            *arguments,
            core=self.cores[1] if self.cores else None,
            SSL_CERT_FILE=str(self._folder / "authority.pem"),
        )


@contextmanager
def open_rig() -> Iterator[Rig]:
    """Start the service; everything that was started is gone when the block ends."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        yield Rig(stack, Path(folder))
