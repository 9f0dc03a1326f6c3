"""A recording as a page is shown it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from realtime_trio._order import Violation, check_order
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._state.costs import Costs
from realtime_trio._transport.contract import Transport
from realtime_trio.console.board import Board, Look
from realtime_trio.console.messages import (
    client_events,
    dropped_told,
    end_told,
    record_told,
    state_told,
)
from realtime_trio.console.price_list import prices_told
from realtime_trio.console.script_material import ScriptMaterial
from realtime_trio.console.sources import OnlyShown, Silent
from realtime_trio.console.visit import serve_visit
from realtime_trio.events import JsonObject
from realtime_trio.recording import Recording


def told_of(recording: Recording) -> Iterator[str]:
    """What a page is told of a recording: how things stand, every record, and the end."""
    why = "records are missing in it" if recording.dropped else None
    yield state_told(is_open=False, may_act=False, why_unwatched=why)
    # Without knowing what is missing, a gap would look like a mistake of somebody.
    violations = {} if recording.dropped else _violations(recording)
    for index, record in enumerate(recording.records):
        yield record_told(record, record.time, violations.get(index, ()))
    if recording.dropped:
        yield dropped_told(recording.dropped)
    yield end_told(None, "the end of the recording")


def _violations(recording: Recording) -> dict[int, list[Violation]]:
    found = check_order(recording.records)
    return {index: list(broken) for index, broken in groupby(found, key=lambda each: each.index)}


def setup_of(recording: Recording, title: str) -> JsonObject:
    """What a page is told of a recording before it sees it.  Blocks."""
    codec = Codec(Role.SERVER, kind=recording.kind)
    return {
        "source": "recording",
        "title": title,
        "kind": recording.kind.value,
        "models": [] if recording.model is None else [recording.model],
        "voices": [],
        "simulator": False,
        "may_act": False,
        "client_events": client_events(codec),
        "realtime_url": None,
        "inspect_url": None,
        "prices": prices_told(_models_of(recording)),
    }


def _models_of(recording: Recording) -> set[str | None]:
    """The model of its header, and all that its server has named."""
    costs = Costs(recording.model)
    models = {recording.model}
    for record in recording.records:
        costs.apply(record.event)
        models |= {costs.model, costs.transcriber}
    return models


def script_of(recording: Recording) -> str:
    """What the server said in a recording, as the text of a script file."""
    material = ScriptMaterial()
    for record in recording.records:
        material.add(record)
    return material.write()


class RecordedSubject(OnlyShown):
    """A recording as the subject of a page."""

    def __init__(self, recording: Recording) -> None:
        super().__init__("a recording")
        self.codec = Codec(Role.SERVER, kind=recording.kind)
        """What a client may send."""
        self._recording = recording

    def look(self) -> Look:
        """All of it."""
        board = Board("")
        board.close()
        return Look(told_of(self._recording), board.look().stream)

    def script(self) -> str:
        """What the server said in it, as the text of a script file."""
        return script_of(self._recording)


class RecordedSource(Silent):
    """A recording as what a console shows.

    Args:
        recording: The recording.
        title: What to call it.
    """

    def __init__(self, recording: Recording, title: str) -> None:
        self._recording = recording
        self._title = title

    def setup(self, page: str) -> JsonObject:
        """What a page is told when it is opened."""
        return {**setup_of(self._recording, self._title), "inspect_url": f"/inspect?console={page}"}

    async def show(self, transport: Transport, page: str) -> None:
        """Serve the WebSocket by which a page sees it."""
        await serve_visit(transport, RecordedSubject(self._recording))
