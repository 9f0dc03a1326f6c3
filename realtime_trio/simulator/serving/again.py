"""A simulated service in memory to which a client can connect again and again.

Owns what one connection leaves to the next: the rest of the script, and the ids.  A server knows
nothing of another one's conversation, as with the real service.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import trio

from realtime_trio._protocol.kinds import DEFAULT_MODEL
from realtime_trio._transport.contract import Transport
from realtime_trio.errors import ConnectionFailed
from realtime_trio.simulator.script.fault import Fault
from realtime_trio.simulator.script.script import Script
from realtime_trio.simulator.service.lifecycle import sequential_ids
from realtime_trio.simulator.service.server import SimulatedServer
from realtime_trio.simulator.serving.attended import Cast
from realtime_trio.simulator.serving.faults import Breakable
from realtime_trio.simulator.serving.serve import open_simulator_transport

_NO_SCRIPT = Script()


class SimulatedService:
    """A service for one client that reconnects: `open_session(transport=service.open, ...)`.

    The script goes on from connection to connection; everything else a server learns from its
    client.

    Args:
        script: What the model says.
        model: The model that it claims to be.
        cast: Who answers, listens and speaks where the script leaves it open.
        faults: Returns what goes wrong on the next connection, whose number it is given, from 1.
        expires_after: Seconds until a session ends.
        latency: Seconds that every new connection takes.
    """

    def __init__(
        self,
        script: Script = _NO_SCRIPT,
        *,
        model: str = DEFAULT_MODEL,
        cast: Cast | None = None,
        faults: Callable[[int], Iterable[Fault]] = lambda _: (),
        expires_after: float = 3600.0,
        latency: float = 0.0,
    ) -> None:
        self._performance = script.perform()
        self._model = model
        self._cast = cast
        self._faults = faults
        self._expires_after = expires_after
        self._latency = latency
        self._new_id = sequential_ids()
        self._refusals: list[Exception] = []
        self.servers: list[SimulatedServer] = []
        """The server of every connection so far, the present one last."""
        self.lines: list[Transport] = []
        """The client's end of every connection so far; `closed` says how it ended."""

    @property
    def server(self) -> SimulatedServer:
        """The server of the present connection."""
        return self.servers[-1]

    def drop(self) -> None:
        """Drop the present connection as a network failure would; nothing happens without one."""
        line: object = self.lines[-1] if self.lines else None
        if isinstance(line, Breakable):
            line.abort("the connection dropped")

    def refuse(self, *errors: Exception | None) -> None:
        """Let the next attempts to connect fail, one for each of these.

        Args:
            errors: What an attempt raises; None for a plain `ConnectionFailed`.
        """
        self._refusals += [error or ConnectionFailed("nobody answers") for error in errors]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Transport]:
        """Open a connection, which gets a server of its own.

        Raises:
            ConnectionFailed: It was refused.
        """
        await trio.sleep(self._latency)
        refusal = self._refusals.pop(0) if self._refusals else None
        if refusal is not None:
            raise refusal
        server = SimulatedServer(
            self._performance,
            model=self._model,
            new_id=self._new_id,
            expires_after=self._expires_after,
            # By the clock of the world, as far as there is one: clients compare with theirs.
            epoch=time.time() - trio.current_time(),
        )
        faults = tuple(self._faults(len(self.servers) + 1))
        async with open_simulator_transport(server, cast=self._cast, faults=faults) as line:
            self.servers.append(server)
            self.lines.append(line)
            yield line
