"""Wire records made by hand, and recordings saved and read back, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import trio

from realtime_trio.events import Event, RealtimeSession, SessionCreated
from realtime_trio.recording import Recording, WireRecord, read_recording


def created(**fields: Any) -> SessionCreated:
    return SessionCreated(
        event_id="event_1",
        session=RealtimeSession(**{"id": "sess_1", "model": "gpt-realtime", **fields}),
    )


def server(*events: Event) -> list[WireRecord]:
    return [WireRecord(5.0 + index / 4, "server", event) for index, event in enumerate(events)]


def client(*events: Event) -> list[WireRecord]:
    return [attrs.evolve(record, source="client") for record in server(*events)]


def saved(path: Path, recording: Recording, **options: bool) -> Path:
    path.write_text("".join(recording.lines(**options)), encoding="utf-8")
    return path


def read_back(path: Path, *records: WireRecord, **options: bool) -> list[Event]:
    return [
        record.event
        for record in read_recording(saved(path, Recording.of(records), **options)).records
    ]


async def wait_for_lines(path: Path, count: int) -> None:
    """What is in the file stays there, even if we crash now."""
    with trio.fail_after(5):
        await trio.lowlevel.checkpoint()
        while len(lines_of(path)) < count:  # noqa: ASYNC110 - a file tells nobody that it has grown
            await trio.lowlevel.checkpoint()


def lines_of(path: Path) -> list[str]:
    return path.read_text("utf-8").split("\n")[:-1]
