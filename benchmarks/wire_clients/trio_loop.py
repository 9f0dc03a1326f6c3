"""trio, as a loop for the clients of the wire benchmarks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import trio
from driving import Group, Result


class _TrioGroup:
    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    def start(
        self, function: Callable[..., Coroutine[object, object, None]], *args: object
    ) -> None:
        self._nursery.start_soon(function, *args)


class TrioLoop:
    """trio with its defaults."""

    def run(self, main: Callable[[], Coroutine[object, object, Result]]) -> Result:
        return trio.run(main)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    @asynccontextmanager
    async def group(self) -> AsyncIterator[Group]:
        async with trio.open_nursery() as nursery:
            yield _TrioGroup(nursery)
            nursery.cancel_scope.cancel()
