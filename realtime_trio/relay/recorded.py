"""Recordings of what goes on between a relay and the service, a file for every session."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path

import trio

from realtime_trio._protocol.codec import Role
from realtime_trio._serving.wiretap import open_wiretap
from realtime_trio._transport.contract import Transport
from realtime_trio.relay.grant import Grant
from realtime_trio.relay.service import Service


def recorded(service: Service, folder: str | os.PathLike[str]) -> Service:
    """The same service, whose sessions are recorded as `open_recording` does it.

    A recording has what the service was told and said, the calls that guests do not see included.
    `serve_relay(record=...)` and `relay_app(record=...)` do this; around `relay` it is yours to do.

    Args:
        service: The service.
        folder: Where the files are made; it is made with the first, if it does not exist.
    """
    numbers = count(1)

    def connect(grant: Grant) -> AbstractAsyncContextManager[Transport]:
        return connect_and_record(grant)

    @asynccontextmanager
    async def connect_and_record(grant: Grant) -> AsyncIterator[Transport]:
        await make_folder(folder)
        # Numbered, because two sessions may begin in the same second, those of other processes too.
        stamp = time.strftime("%Y%m%d-%H%M%S")
        named = (Path(folder, f"{stamp}-{number}.jsonl") for number in numbers)
        path = next(path for path in named if not path.exists())
        async with (
            service(grant) as transport,
            open_wiretap(transport, path, kind=grant.kind, role=Role.CLIENT) as tapped,
        ):
            yield tapped

    return connect


async def make_folder(folder: str | os.PathLike[str]) -> None:
    """Make the folder for recordings, unless it is there.

    Raises:
        OSError: It cannot be made.
    """
    await trio.to_thread.run_sync(partial(Path(folder).mkdir, parents=True, exist_ok=True))
