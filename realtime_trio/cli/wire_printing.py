"""Everything that goes over the wire, on standard error: what `--debug` shows."""

from __future__ import annotations

from typing import Final

import trio

from realtime_trio._legible import legible
from realtime_trio._protocol.wire_record import WireRecord
from realtime_trio._runtime.hub import EventStream
from realtime_trio.cli.terminal import remark
from realtime_trio.errors import SessionClosed, SlowConsumer
from realtime_trio.recording import message_json

_LONGEST: Final = 2000
"""Characters of a message; configurations with many tools are longer."""
_ARROWS: Final = {"client": "->", "server": "<-"}


async def print_wire(wire: EventStream[WireRecord]) -> None:
    """Print every message of a stream until it ends, without audio and secrets."""
    await trio.lowlevel.checkpoint()
    start: float | None = None
    while True:  # noqa: ASYNC913
        try:
            record = await wire.receive()
        except SlowConsumer as gap:
            remark(f"{gap.dropped} messages were missed here")
            continue
        except SessionClosed:
            return
        start = record.time if start is None else start
        message = legible(message_json(record, scrub_audio=True), _LONGEST)
        remark(f"{record.time - start:9.3f} {_ARROWS[record.source]} {message}")
