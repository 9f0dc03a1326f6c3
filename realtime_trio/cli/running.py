"""Running a command to its end, and turning the end into an exit code.

Owns what Ctrl-C and a closed pipe do, and which exceptions become a line of text.  Everything else
is a fault of this library and keeps its traceback.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import trio

from realtime_trio._runtime.nursery import leaves_of
from realtime_trio.cli.terminal import abandon, complain, prepare
from realtime_trio.errors import RealtimeError

_INTERRUPTED: Final = 130
"""Exit code after Ctrl-C: 128 and the number of SIGINT, as shells have it."""
_UNREAD: Final = 141
"""Exit code when nobody reads the output any more, as in `say ... | head`: 128 and the number of
SIGPIPE."""


def run(job: Callable[[], Awaitable[bool | None]]) -> NoReturn:
    """Run a command and exit with its code.

    Args:
        job: The command.  It raises if it went wrong, or returns False if it has already said so.
    """
    prepare()
    status = 1
    try:
        status = _status_of(job)
    # Once more, since there may be nobody either who reads the complaints.
    except* BrokenPipeError:
        status = _UNREAD
    abandon()
    sys.exit(status)


def _status_of(job: Callable[[], Awaitable[bool | None]]) -> int:
    status = 1
    try:
        status = trio.run(_until_interrupted, job)
    # Groups, since a simulator may run in a nursery around the session.
    except* KeyboardInterrupt:
        status = _INTERRUPTED
    except* BrokenPipeError:
        status = _UNREAD
    except* (RealtimeError, OSError) as group:
        for error in leaves_of(group):
            complain(_words_of(error))
    return status


def _words_of(error: BaseException) -> str:
    match error:
        # Not its number, which is for programs.
        case OSError(strerror=str(said), filename=None):
            return said
        case OSError(strerror=str(said), filename=path):
            return f"{said}: {path}"
    return str(error)


async def _until_interrupted(job: Callable[[], Awaitable[bool | None]]) -> int:
    """Run a job to its end or until Ctrl-C.

    Ctrl-C cancels the job: it ends where it waits for something, and not in the middle of a line.
    """
    # Stays if the block below is cancelled before the job has returned.
    status = _INTERRUPTED
    async with trio.open_nursery() as nursery:
        # Python delivers signals to the main thread only; tests run commands in others.
        if threading.current_thread() is threading.main_thread():
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
