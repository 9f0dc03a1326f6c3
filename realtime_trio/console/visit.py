"""The WebSocket by which a page sees a session: what it is told, and what it asks for.

Owns the two tasks of one browser.  What there is to see and to do is the business of a `Subject`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import groupby
from typing import Final

import trio

from realtime_trio._runtime.hub import EventStream
from realtime_trio._transport.contract import Transport
from realtime_trio.console.board import Look
from realtime_trio.console.judging import judge
from realtime_trio.console.messages import (
    Ask,
    AskError,
    AskKind,
    answer,
    dropped_told,
    marks_of,
    problem_with,
    read_ask,
    refused,
)
from realtime_trio.console.sources import Subject
from realtime_trio.errors import ConnectionLost, RealtimeError, SessionClosed, SlowConsumer
from realtime_trio.simulator.script.script_file import parse_fault

_NEEDS: Final[Mapping[AskKind, str]] = {
    "check": "an event",
    "send": "an event",
    "decide": "a call, which is a text, and approve, which is true or false",
    "fault": "a fault",
}
"""What must be said with it."""
_LAST_WORDS: Final = 0.5
"""Seconds for what was not told yet when everything ends at once."""


async def serve_visit(
    transport: Transport, subject: Subject, told: Callable[[], None] = lambda: None
) -> None:
    """Tell a page what there is to see, and do what it asks for, until it goes.

    When nothing more will come the page may stay, and ask.

    Args:
        transport: The page's.
        subject: What it looks at.
        told: Called when nothing more will come and the page was told everything.

    Cancellation: the connection is over if a message was half sent.
    """
    visit = _Visit(transport, subject)
    await trio.lowlevel.checkpoint()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(visit.tell, told)
            await visit.listen()
            nursery.cancel_scope.cancel()
    # The page has gone while it was told something, which is how pages go.
    except* ConnectionLost:
        pass


async def _next(stream: EventStream[str]) -> str | None:
    """What is told next; None at the end."""
    await trio.lowlevel.checkpoint_if_cancelled()
    try:
        return await stream.receive()
    except SlowConsumer as gap:
        return dropped_told(gap.dropped)
    except SessionClosed:
        return None


async def _judged(ask: Ask) -> dict[str, object]:
    """The marks of the records that a page has sent, by the place of each, as JSON has it."""
    # In a thread: it takes seconds if there are many, and others are told things meanwhile.
    found = await trio.to_thread.run_sync(judge, ask.members, abandon_on_cancel=True)
    by_place = groupby(found, key=lambda violation: violation.index)
    return {str(place): marks_of(broken) for place, broken in by_place}


class _Visit:
    """One page while it is there."""

    def __init__(self, transport: Transport, subject: Subject) -> None:
        self._transport = transport
        self._subject = subject
        # Two tasks send, what is told and what is answered; a transport takes one message at a
        # time.
        self._sending = trio.Lock()
        self._unsent: str | None = None

    async def _send(self, text: str) -> None:
        """Send what is told, or have it left in `_unsent` if that is cancelled."""
        self._unsent = text
        await self._say(text)
        self._unsent = None

    async def _say(self, text: str) -> None:
        async with self._sending:
            await self._transport.send(text)

    async def tell(self, told: Callable[[], None]) -> None:
        """Send what there is to see."""
        await trio.lowlevel.checkpoint()
        look: Look = self._subject.look()
        with look.stream as stream:
            try:
                for text in look.past:
                    await self._send(text)
                while (news := await _next(stream)) is not None:
                    await self._send(news)
                told()
            except trio.Cancelled:
                # A session that was lost ends the program's block, and this with it: that is when
                # its last words matter most.
                with trio.move_on_after(_LAST_WORDS, shield=True), suppress(ConnectionLost):
                    # Whoever notes the end is being cancelled as well, and has its turn first.
                    await trio.lowlevel.checkpoint()
                    await self._send_rest(stream)
                raise

    async def _send_rest(self, stream: EventStream[str]) -> None:
        await trio.lowlevel.checkpoint()
        while self._transport.closed is None and (self._unsent is not None or stream.pending):
            await self._send(stream.receive_nowait() if self._unsent is None else self._unsent)

    async def listen(self) -> None:
        """Do what the page asks for, one after the other, until it goes."""
        while batch := await self._transport.receive():
            for message in batch:
                try:
                    said = await self._obey(read_ask(message))
                except AskError as error:
                    said = refused(str(error))
                await self._say(said)

    async def _obey(self, ask: Ask) -> str:
        await trio.lowlevel.checkpoint()
        if ask.kind == "script":
            return answer(ask, None, text=self._subject.script())
        try:
            if ask.kind == "judge":
                return answer(ask, None, marks=await _judged(ask))
            problem = await self._do(ask)
        except RealtimeError as error:
            problem = str(error)
        return answer(ask, problem)

    async def _do(self, ask: Ask) -> str | None:
        """Do it; why not, if what was said is not enough for that."""
        await trio.lowlevel.checkpoint()
        match ask.members:
            case {"event": event} if ask.kind in ("check", "send"):
                is_checked = ask.kind == "check" or ask.members.get("unchecked") is not True
                problem = problem_with(event, self._subject.codec) if is_checked else None
                if problem is None and ask.kind == "send":
                    if not isinstance(event, dict):
                        return "an event is a JSON object"
                    await self._subject.send(event)
                return problem
            case {"call": str(call), "approve": bool(approve)} if ask.kind == "decide":
                reason = ask.members.get("reason")
                await self._subject.decide(
                    call, approve=approve, reason=reason if isinstance(reason, str) else None
                )
                return None
            case {"fault": fault} if ask.kind == "fault":
                await self._subject.fault(parse_fault(fault))
                return None
        return f"{ask.kind} needs {_NEEDS[ask.kind]}"
