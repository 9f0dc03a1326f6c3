"""Leaving a connection: what its owner does at the end of a block.

Owns the difference between a goodbye, which is worth waiting for, and an end by an exception or a
cancellation, which is not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from realtime_trio._transport.contract import GOING_AWAY, NORMAL_CLOSURE, Transport


@asynccontextmanager
async def closing(transport: Transport) -> AsyncIterator[None]:
    """Close a transport at the end of a block: with 1000, or with 1001 if the block raised.

    What the block raised is not held up: then the close frame goes if it can go at once.
    """
    try:
        yield
    except BaseException:
        # A scope of its own, because the block may have been left by an exception and nobody is
        # cancelled.
        with trio.CancelScope(shield=True) as scope:
            scope.cancel()
            await transport.aclose(GOING_AWAY)
        raise
    # Bounded by the transport's own close timeout.
    with trio.CancelScope(shield=True):
        await transport.aclose(NORMAL_CLOSURE)
