"""Fixtures for tests of applications: `simulated_session`, and with pytest-trio `realtime_server`.

pytest finds them by itself wherever this library is installed, also for tests that have nothing to
do with it.  So the library is loaded by the first test that uses a fixture.  Define a fixture
`realtime_script` of your own to decide what the model says in them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from realtime_trio import _elsewhere

if TYPE_CHECKING:
    import trio

    from realtime_trio import Session, simulator, testing
    from realtime_trio.simulator import Script, Simulation
else:
    simulator = _elsewhere.module("realtime_trio.simulator")
    testing = _elsewhere.module("realtime_trio.testing")

# pytest loads this file wherever the library is installed, also where pytest-trio is not.  Where it
# is, pytest loads it as well.
try:
    from pytest_trio import trio_fixture  # type: ignore[import-untyped]  # it has no types
except ModuleNotFoundError:  # then nothing could run a server beside the test
    trio_fixture = None


@pytest.fixture
def realtime_script() -> Script:
    """What the simulated model says in the other fixtures; override it to decide that.

    Without a fixture of your own the simulator answers for itself.
    """
    return simulator.Script()


@pytest.fixture
def simulated_session(
    realtime_script: Script,
) -> Callable[..., AbstractAsyncContextManager[tuple[Session, Simulation]]]:
    """`open_simulated_session` with `realtime_script` as its script.

    `async with simulated_session(instructions="...") as (session, server)` opens a session with the
    simulator in memory.
    """
    return partial(testing.open_simulated_session, realtime_script)


if trio_fixture is not None:

    @trio_fixture  # type: ignore[untyped-decorator]
    async def realtime_server(nursery: trio.Nursery, realtime_script: Script) -> str:
        """URL of a simulator that serves `realtime_script` to any client while the test runs.

        It listens at a free port of 127.0.0.1.
        """
        url: str = await nursery.start(simulator.serve_simulator, realtime_script)
        return url
