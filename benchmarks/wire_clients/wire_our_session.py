"""realtime_trio's `open_session`, by its documentation.

With `--retention none` it keeps no audio.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from driving import Samples, See, obey
from trio_loop import TrioLoop

from realtime_trio import Session, open_session
from realtime_trio.events import InputAudioBufferClear, InputAudioBufferCleared, ServerEvent

_open = partial(open_session, retention="none") if "none" in sys.argv else open_session


class SessionWire:
    """A session that is read with one stream of all events."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._events = session.events()

    async def begin(self) -> None:
        await self._session.send(InputAudioBufferClear())

    async def drain(self) -> None:
        async for event in self._events:
            if isinstance(event, InputAudioBufferCleared):
                return

    async def listen(self, see: See) -> None:
        async for event in self._events:
            if isinstance(event, ServerEvent):
                assert event.event_id is not None
                see(event.event_id)

    async def append(self, samples: Samples) -> None:
        await self._session.append_audio(samples)


@asynccontextmanager
async def open_wire(url: str) -> AsyncIterator[SessionWire]:
    async with _open(url=url, api_key="-") as session:
        yield SessionWire(session)


if __name__ == "__main__":
    obey(TrioLoop(), open_wire)
