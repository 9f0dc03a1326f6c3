"""What `serve` prints of its connections: lines to read, or lines of JSON for programs."""

from __future__ import annotations

import math
from typing import Final

import trio

from realtime_trio._legible import legible
from realtime_trio._protocol.json_text import write_json
from realtime_trio._protocol.wire_record import Source, WireRecord
from realtime_trio._serving.requests import path_of
from realtime_trio._serving.websocket_server import HandshakeRequest
from realtime_trio._transport.contract import Close
from realtime_trio.cli.passing import Line, Passing
from realtime_trio.cli.terminal import report
from realtime_trio.recording import message_json
from realtime_trio.simulator.serving.admission import Admitted, TurnedAway

_PATIENCE: Final = 0.25
"""Seconds that events which say nothing by themselves are gathered, after the last of them."""
_COLOURS: Final[dict[Source, str]] = {"client": "cyan", "server": "green"}
_LONGEST: Final = 200


class _Printer:
    """Prints for as long as somebody reads it."""

    def __init__(self) -> None:
        self._unread = trio.Event()

    def _report(self, text: str, style: str | None = None) -> None:
        # An onlooker must not raise, or it would end the connection that it looks at.
        try:
            report(text, style=style)
        except BrokenPipeError:
            self._unread.set()

    async def run(self) -> None:
        """Wait until nobody reads any more.

        Raises:
            BrokenPipeError: That has happened.
        """
        await self._unread.wait()
        raise BrokenPipeError


class LinePrinter(_Printer):
    """An onlooker that prints a line for what is worth one."""

    def __init__(self) -> None:
        super().__init__()
        self._passing: dict[int, Passing] = {}
        self._began: dict[int, float] = {}
        self._flush_at = math.inf
        self._woken = trio.Event()

    def connected(
        self, number: int, request: HandshakeRequest, admission: Admitted | TurnedAway
    ) -> None:
        """Print who has come, and what for."""
        self._passing[number] = Passing()
        self._began[number] = trio.current_time()
        what = path_of(request)
        if isinstance(admission, Admitted) and admission.model:
            what = admission.model
        if isinstance(admission, TurnedAway):
            what = f"{legible(what, _LONGEST)}, and is turned away"
        self._report(
            f"[{number}] {request.peer[0]}:{request.peer[1]} connects: {legible(what, _LONGEST)}",
            "dim",
        )

    def passed(self, number: int, record: WireRecord) -> None:
        """Print what is finished by a message."""
        passing = self._passing[number]
        self._print(number, passing.apply(record))
        self._flush_at = trio.current_time() + _PATIENCE
        self._woken.set()

    def disconnected(self, number: int, close: Close | None) -> None:
        """Print how it ended, and how long it took."""
        self._print(number, self._passing.pop(number).flush())
        seconds = trio.current_time() - self._began.pop(number)
        how = (
            "is cut off"
            if close is None
            else f"disconnects: {close.code} {legible(close.reason, _LONGEST)}".rstrip()
        )
        self._report(f"[{number}] {how} ({seconds:.1f} s)", "dim")

    async def run(self) -> None:
        """The same, and print what was gathered when nothing has happened for a moment."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._flush_loop)
            await super().run()

    async def _flush_loop(self) -> None:
        while True:
            await self._woken.wait()
            await trio.sleep_until(self._flush_at)
            # More may have passed meanwhile; then its own moment counts.
            if trio.current_time() >= self._flush_at:
                self._woken, self._flush_at = trio.Event(), math.inf
                for number, passing in self._passing.items():
                    self._print(number, passing.flush())

    def _print(self, number: int, lines: list[Line]) -> None:
        for line in lines:
            self._report(f"[{number}] {line.text}", _COLOURS[line.side])


class JsonPrinter(_Printer):
    """An onlooker that prints everything as lines of JSON, but for audio and secrets."""

    def connected(
        self, number: int, request: HandshakeRequest, admission: Admitted | TurnedAway
    ) -> None:
        """Print who has come, and what for."""
        self._print_json(
            {
                "kind": "connected",
                "connection": number,
                "peer": f"{request.peer[0]}:{request.peer[1]}",
                "session": admission.kind.value,
                "model": admission.model if isinstance(admission, Admitted) else None,
                "admitted": isinstance(admission, Admitted),
            }
        )

    def passed(self, number: int, record: WireRecord) -> None:
        """Print a message."""
        message = message_json(record, scrub_audio=True)
        name = "event" if message.startswith("{") else "text"
        head = write_json(
            {
                "kind": "record",
                "connection": number,
                "side": record.source,
                "wall": None if record.wall_time is None else round(record.wall_time, 6),
            }
        )
        self._report(f'{head[:-1]},"{name}":{message}}}')

    def disconnected(self, number: int, close: Close | None) -> None:
        """Print how it ended."""
        self._print_json(
            {
                "kind": "disconnected",
                "connection": number,
                "code": None if close is None else close.code,
                "reason": "" if close is None else close.reason,
            }
        )

    def _print_json(self, value: object) -> None:
        self._report(write_json(value))
