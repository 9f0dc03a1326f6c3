"""Running other people's clients and servers as processes of their own, and reading what they say.

Each is a small program in `clients` or `servers` that uses a package as its documentation shows.
Clients are told where to go by the environment (`OPENAI_BASE_URL`, `OPENAI_API_KEY`) and what to do
by their arguments: a scenario, and a file of PCM.  They print JSON lines in a vocabulary common to
all of them:

    answer      the words of the assistant's message, when its response is done
    status      how that response ended; `reason` why, if it was not completed
    audio       the SHA-256 of all samples that came with it
    heard       the transcript of what the user said
    tool        the arguments that the model called the tool with
    interrupted the client was told to stop playing
    truncated   where a message was cut, milliseconds
    error       the code of a refusal; `event_id` beside it is of the event that was refused
    history     the texts of all messages, as the client has them
    failure     what the client itself raised
    closed      the connection ended; with close code and reason, if the client can tell
    misfit      an event that the client's own schema does not accept
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from attrs import frozen

HERE = Path(__file__).parent
NODE_MODULES = "INTEROP_NODE_MODULES"
"""Environment variable: the `node_modules` in which package.json is installed."""
PYTHON = "INTEROP_PYTHON"
"""Environment variable: the Python interpreter for which requirements.txt is installed; may be the
one that runs the tests."""

_OURS = ("OPENAI_", "NODE_PATH", "NODE_OPTIONS", "NODE_EXTRA_CA_CERTS")


@frozen
class Stranger:
    """Somebody else's program."""

    script: str
    """Where it is, in this folder; the suffix says in which language."""
    needs_tls: bool = False
    """It makes `wss` of whatever URL it is given."""

    @property
    def needs(self) -> str:
        """The environment variable that says where what it is made of is installed."""
        return PYTHON if self.script.endswith(".py") else NODE_MODULES

    @property
    def installed(self) -> pytest.MarkDecorator:
        """Skips tests where it is not."""
        return pytest.mark.skipif(
            self.needs not in os.environ,
            reason=f"{self.needs} is not set; `nox -s interop` installs what it says",
        )

    def command(self) -> list[str]:
        """How to start it."""
        place = os.environ[self.needs]
        assert Path(place).exists(), f"{self.needs} is {place}, which is not there"
        return [place if self.needs == PYTHON else "node", str(HERE / self.script)]

    def environment(self, **variables: str) -> dict[str, str]:
        """That of this process without settings of anybody's account, and with these."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        return kept | {"NODE_PATH": os.environ.get(NODE_MODULES, "")} | variables


@frozen
class Account:
    """What a client had to say, in order."""

    lines: tuple[Mapping[str, object], ...]
    """The objects it printed."""

    def all(self, name: str) -> list[object]:
        """Every value of one kind, in order."""
        return [line[name] for line in self.lines if name in line]

    def __getitem__(self, name: str) -> object:
        """The only value of one kind."""
        (value,) = self.all(name)
        return value

    def mentions(self, text: str) -> bool:
        """Whether anything it printed has this in it."""
        return any(text in str(value) for line in self.lines for value in line.values())


async def run_client(
    client: Stranger, scenario: str, *arguments: str, patience: float = 20.0, **variables: str
) -> Account:
    """Run a client until it ends, which it must do by itself and with exit code 0.

    Args:
        client: Which.
        scenario: What it should do; its first argument.
        *arguments: The others.
        patience: Seconds it may take.
        **variables: Its environment: where to go, with which key.
    """
    command = [*client.command(), scenario, *arguments]
    run = partial(
        trio.run_process,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env=client.environment(**variables),
    )
    with trio.fail_after(patience):
        done: subprocess.CompletedProcess[bytes] = await run(command)
    sys.stderr.write(done.stderr.decode())  # shown by pytest if the test fails
    sys.stdout.write(done.stdout.decode())
    assert done.returncode == 0
    account = Account(
        tuple(json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{"))
    )
    assert not account.all("misfit")
    return account


@asynccontextmanager
async def stranger_serving(server: Stranger, *arguments: str) -> AsyncIterator[str]:
    """Run a server as long as the block lasts.  Its first line is the URL at which it serves.

    Yields:
        That URL.
    """
    async with trio.open_nursery() as nursery:
        run = partial(
            trio.run_process,
            [*server.command(), *arguments],
            stdout=subprocess.PIPE,
            env=server.environment(),
        )
        process: trio.Process = await nursery.start(run)
        assert process.stdout is not None
        with trio.fail_after(20):
            line = b""
            while not line.endswith(b"\n"):
                chunk = await process.stdout.receive_some()
                assert chunk, "it ended before it served"
                line += chunk
        yield line.decode().strip()
        nursery.cancel_scope.cancel()
