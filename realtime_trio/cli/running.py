"""Running a command to its end, and turning the end into an exit code.

Owns what Ctrl-C does and which exceptions become a line of text.  Everything else is a fault of
this library and keeps its traceback.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import NoReturn

import trio

from realtime_trio._runtime.nursery import leaves_of
from realtime_trio.cli.terminal import complain
from realtime_trio.errors import RealtimeError


def run(job: Callable[[], Awaitable[bool | None]]) -> NoReturn:
    """Run a command and exit with its code.

    Args:
        job: The command.  If it went wrong it raises, or returns False when it has said so itself.
    """
    status = 1
    try:
        status = trio.run(_until_interrupted, job)
    except* KeyboardInterrupt:
        status = 130
    except* (RealtimeError, OSError) as group:
        for error in leaves_of(group):
            complain(str(error))
    sys.exit(status)


async def _until_interrupted(job: Callable[[], Awaitable[bool | None]]) -> int:
    """Run a job to its end or until Ctrl-C.

    Ctrl-C cancels the job: it ends where it waits for something, and not in the middle of a line.
    """
    status = 130
    async with trio.open_nursery() as nursery:
        if threading.current_thread() is threading.main_thread():  # elsewhere there are no signals
            await nursery.start(_cancel_on_interrupt, nursery.cancel_scope)
        status = 1 if await job() is False else 0
        nursery.cancel_scope.cancel()
    return status


async def _cancel_on_interrupt(
    scope: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()
