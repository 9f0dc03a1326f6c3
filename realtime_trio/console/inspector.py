"""A session of one's own program, live in a browser.

Owns how a session is listened to for that, and what a page may do to it.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

import trio
from attrs import field, frozen

from realtime_trio._misuse import check_kind, to_tuple
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.wire_record import WireRecord
from realtime_trio._runtime.hub import EventStream
from realtime_trio._runtime.nursery import open_service_nursery
from realtime_trio._serving.visitors import Visitors
from realtime_trio._session.base import BaseSession
from realtime_trio._session.input_audio import InputAudioSession
from realtime_trio._session.voice import Session
from realtime_trio._state.utility_events import (
    ToolApprovalRequested,
    ToolCallFinished,
    ToolCallStarted,
)
from realtime_trio._transport.contract import Transport
from realtime_trio.console.board import KEPT_SIZE, Look
from realtime_trio.console.messages import call_id_of, client_events
from realtime_trio.console.price_list import prices_told
from realtime_trio.console.serving import INSPECT, PAGE, Address, Announced, serve_console
from realtime_trio.console.shown import ShownSession
from realtime_trio.console.sources import OnlyShown, Silent
from realtime_trio.console.visit import serve_visit
from realtime_trio.errors import LocalProtocolError, SessionClosed, SlowConsumer
from realtime_trio.events import (
    ConversationItemCreate,
    ConversationItemDeleted,
    Event,
    JsonObject,
    McpApprovalResponse,
)
from realtime_trio.simulator.script.fault import Fault

_FAREWELL: Final = 1.0
"""Seconds that pages have to take what they have not been told yet, when the block is left."""
_APPROVALS: Final = (ToolApprovalRequested, ToolCallStarted, ToolCallFinished)


@frozen
class Inspector:
    """A session that can be seen in a browser."""

    url: str = field(repr=False)
    """The address to open.  Whoever knows it sees everything, and may act if that was allowed."""


@asynccontextmanager
async def open_inspector(
    session: BaseSession,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    may_act: bool = False,
    hosts: Iterable[str] = (),
    kept: int = KEPT_SIZE,
    prints: bool = True,
) -> AsyncIterator[Inspector]:
    """Show a session in a browser while the block runs.

        async with open_session() as session, open_inspector(session):
            ...

    A page sees every message on the wire, both voices, the conversation, what it costs, and which
    messages break the rules of the protocol; and what came before it was opened, as far as that is
    kept.  Keys and other secrets are left out of the messages.  The session is not slowed down by
    anybody who looks: a browser that does not keep up is told how much it has missed.

    Open it right behind the session, or what came before is not seen, and the order of events
    cannot be judged.  The streams of the application get the beginning of the session all the same.

    Args:
        session: The session, of any kind.
        host: Address to listen on.  Beyond this machine everything goes unencrypted; there are
            better ways, such as a tunnel.
        port: Port to listen on, 0 for any free one.
        may_act: Whether a page may also send events, and decide about calls that wait for approval.
        hosts: Names under which the page is reached, besides `host` and those of the loopback.
        kept: Characters of messages that are kept for pages that are opened later; 64 MiB are about
            a quarter of an hour of speech.
        prints: Whether to print the address on standard error.

    Yields:
        Where it is.

    Raises:
        OSError: The address cannot be bound.
        LocalProtocolError: An option makes no sense.
        TypeError: It is not a session.
    """
    check_kind("session", session, BaseSession, allowed="an open session")
    if kept < 1:
        raise LocalProtocolError(f"kept must be 1 character or more, not {kept}")
    names = to_tuple("hosts", hosts)
    Visitors(host, hosts=names)  # a name that is none is found here, as the caller's mistake
    shown = ShownSession(may_act=may_act, room=kept)
    # Both before anything is waited for, so that nothing passes unseen.
    wire = session._overhear_wire()
    approvals = session._overhear(*_APPROVALS)
    subject = SessionSubject(session, shown, may_act=may_act)
    source = AttachedSource(subject, may_act=may_act)
    is_up = trio.Event()
    addresses: list[Address] = []

    def announce(address: Address) -> None:
        addresses.append(address)
        is_up.set()

    async def serve() -> None:  # noqa: ASYNC910 - it serves until it is cancelled
        # Translated here: an OSError that leaves a task would be called a bug of ours.
        try:
            await serve_console(source, host, port, hosts=names, task_status=Announced(announce))
        except OSError as error:
            services.fail(error)

    with wire, approvals:
        async with open_service_nursery() as services:
            services.start_soon(_follow_wire, wire, shown, session)
            services.start_soon(_follow_approvals, approvals, shown)
            services.start_soon(serve)
            await is_up.wait()
            (address,) = addresses
            if prints:
                print(f"realtime console: {address.url}", file=sys.stderr, flush=True)
            yield Inspector(address.url)
            # What has just happened is what people want to see of a program that has ended.
            with trio.move_on_after(_FAREWELL):
                while wire.pending:  # noqa: ASYNC110 - a turn for the task that follows the wire
                    await trio.lowlevel.checkpoint()
                shown.end(session.closed, "the program does not show the session any more")
                await source.wait_told()


async def _follow_wire(
    wire: EventStream[WireRecord], shown: ShownSession, session: BaseSession
) -> None:
    await trio.lowlevel.checkpoint()
    try:
        while True:
            try:
                _note(await wire.receive(), shown)
            except SlowConsumer as gap:
                shown.miss(gap.dropped)
            except SessionClosed:
                break
    finally:
        # A session that is lost cancels its block, and the last records may still be there.
        while wire.pending:
            _note(wire.receive_nowait(), shown)
        if session.closed is not None:
            shown.end(session.closed)


def _note(record: WireRecord, shown: ShownSession) -> None:
    shown.note(record)
    match record.event:
        # A call on an MCP server is decided by an item, whoever sends it.
        case ConversationItemCreate(item=McpApprovalResponse(approval_request_id=decided)):
            shown.forget_approval(decided)
        case ConversationItemDeleted(item_id=gone):
            shown.forget_approval(gone)
        case _:
            pass


async def _follow_approvals(stream: EventStream[Event], shown: ShownSession) -> None:
    await trio.lowlevel.checkpoint()
    while True:
        try:
            match await stream.receive():
                case ToolApprovalRequested(call=call):
                    shown.await_approval(call_id_of(call), call)
                case ToolCallStarted(call=begun) | ToolCallFinished(call=begun):
                    shown.forget_approval(call_id_of(begun))
                case _:
                    pass
        except SlowConsumer:
            # There are few of these, so that this takes thousands of calls in one step.
            continue
        except SessionClosed:
            break


class SessionSubject(OnlyShown):
    """An open session as the subject of a page."""

    def __init__(self, session: BaseSession, shown: ShownSession, *, may_act: bool) -> None:
        super().__init__(
            "a session of a program that only shows it; open_inspector(may_act=True) allows more"
        )
        link = session._link.codec
        self.codec = Codec(Role.SERVER, link.dialect, kind=link.kind)
        """What a client may send, in the words of the connection."""
        self._session = session
        self._shown = shown
        self._may_act = may_act

    def look(self) -> Look:
        """What the session has said, and what it says from now on."""
        return self._shown.look()

    def script(self) -> str:
        """What the server has said so far, as the text of a script file."""
        return self._shown.material.write()

    def prices(self) -> JsonObject | None:
        """What its models cost, by the price list that the session itself goes by.  Blocks."""
        if not isinstance(self._session, InputAudioSession):
            return prices_told(())
        costs = self._session._costs
        alias = costs.alias_of(costs.model)
        return prices_told(
            [costs.model, costs.transcriber],
            self._session._price_list,
            aliases={} if costs.model is None or alias is None else {costs.model: alias},
        )

    async def send(self, event: JsonObject) -> None:
        """Send an event as it is, if that is allowed."""
        if not self._may_act:
            await super().send(event)
        await self._session.send_raw(event)

    async def decide(self, call: str, *, approve: bool, reason: str | None) -> None:
        """Let a call be made that waits for approval, or refuse it, if that is allowed."""
        if not self._may_act:
            await super().decide(call, approve=approve, reason=reason)
        if not isinstance(self._session, Session):
            raise LocalProtocolError("no call waits for approval: this session has no tools")
        if approve:
            await self._session.approve(call)
        else:
            await self._session.reject(call, reason)

    async def fault(self, fault: Fault) -> None:
        """Refuse: only a simulator that is the console's own can be made to fail."""
        raise LocalProtocolError(
            "nothing can be made to go wrong here: that is for a console with a simulator"
        )


class AttachedSource(Silent):
    """A session as what a console shows.

    Args:
        subject: The session.
        may_act: Whether pages may act on it.
    """

    def __init__(self, subject: SessionSubject, *, may_act: bool) -> None:
        self._subject = subject
        self._may_act = may_act
        self._listeners = 0
        self._all_told = trio.Event()
        self._all_told.set()

    def setup(self, page: str) -> JsonObject:
        """What a page is told when it is opened."""
        codec = self._subject.codec
        return {
            "source": "attached",
            "title": f"a {codec.kind.value} session",
            "kind": codec.kind.value,
            "models": [],
            "voices": [],
            "simulator": False,
            "may_act": self._may_act,
            "client_events": client_events(codec),
            "realtime_url": None,
            "inspect_url": f"{INSPECT}?{PAGE}={page}",
            "prices": self._subject.prices(),
        }

    async def show(self, transport: Transport, page: str) -> None:
        """Serve the WebSocket by which a page sees the session."""
        if not self._listeners:
            self._all_told = trio.Event()
        self._listeners += 1
        is_told = False

        def told() -> None:
            nonlocal is_told
            if not is_told:
                is_told = True
                self._listeners -= 1
                if not self._listeners:
                    self._all_told.set()

        try:
            await serve_visit(transport, self._subject, told)
        finally:
            told()

    async def wait_told(self) -> None:
        """Wait until every page has been told everything, or has gone."""
        await self._all_told.wait()
