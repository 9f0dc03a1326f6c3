"""One session through a relay: a guest on one side, the service on the other, a grant between.

Owns the tasks of a session and its end.  Knows nothing of how guests come: they are transports.
What becomes of a message is decided in `policy`.

Theory of operation.  Three tasks: one reads from the guest, one from the service, and one waits for
the next moment at which time runs out.  Whatever ends the session says so once, by `_end`, which
cancels all three; then the guest is told, and both connections are closed.  Neither side ever waits
for what it sends itself: a pump stops reading while the other side has no room (see `pipe`).
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import Final

import trio

from realtime_trio._legible import legible
from realtime_trio._runtime.nursery import ServiceNursery, open_service_nursery
from realtime_trio._transport.contract import GOING_AWAY, Close, Transport
from realtime_trio._transport.settings import CLOSE_TIMEOUT, CONNECT_TIMEOUT
from realtime_trio.errors import ConnectionFailed
from realtime_trio.relay.actions import Action, ToGuest, ToService
from realtime_trio.relay.audit import Audit, AuditRecord, log_audit
from realtime_trio.relay.ending import DRAINED, Ending, forwarded, unavailable
from realtime_trio.relay.grant import Grant
from realtime_trio.relay.pipe import Pipe
from realtime_trio.relay.policy import Policy
from realtime_trio.relay.service import Service
from realtime_trio.relay.tools import RelayTools

_GREETING_S: Final = CONNECT_TIMEOUT
"""Seconds until the service must have begun and configured the session, connecting included."""
_MESSAGES_IN_A_ROW: Final = 32
"""Messages that are passed on before others have their turn; as a session does."""

_FAILED: Final = Ending("failed", Close(1011, "internal error"))
_CANCELLED: Final = Ending("cancelled", Close(GOING_AWAY))

_relay_logger = logging.getLogger("realtime_trio.relay")


async def relay(
    guest: Transport,
    grant: Grant,
    service: Service,
    *,
    peer: str = "",
    audit: Audit = log_audit,
    drained: trio.Event | None = None,
) -> AuditRecord:
    """Connect a guest with the service, as far as a grant allows, until one of them leaves.

    Both connections are closed when it returns; if one was closed with a code, so is the other one.

    Args:
        guest: The connection with the guest, who has been let in.
        grant: What the guest may do.
        service: Connects to the service: see `service_at`.
        peer: Address of the guest, for the audit.
        audit: Called once, when the session is over, however it ends.
        drained: Once this is set, the session ends with 1001.

    Returns:
        What was given to `audit`.

    Cancellation: both connections are closed with 1001.
    """
    session = _RelayedSession(guest, grant, service, drained)
    started_at, start = time.time(), trio.current_time()
    try:
        await session.run()
    finally:
        ending, tally, usage = session.ending, session.policy.tally, session.policy.usage
        record = AuditRecord(
            who=grant.who,
            peer=peer,
            model=grant.model_or_default,
            started_at=started_at,
            seconds=trio.current_time() - start,
            why=ending.why,
            code=ending.close.code,
            events_up=tally.events_up,
            events_down=tally.events_down,
            refused=tally.refused,
            audio_seconds=tally.audio_seconds,
            responses=tally.responses,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            transcription_tokens=usage.transcription_tokens,
            usd=float(session.policy.usd),
        )
        try:
            audit(record)
        except Exception:
            _relay_logger.exception("the record of a session could not be written")
    return record


class _RelayedSession:
    """One session, from the guest's arrival to the end of both connections."""

    def __init__(
        self, guest: Transport, grant: Grant, service: Service, drained: trio.Event | None
    ) -> None:
        self._guest = guest
        self._grant = grant
        self._service = service
        self._drained = trio.Event() if drained is None else drained
        self._patience_ends = trio.current_time() + _GREETING_S
        self.policy = Policy(grant, trio.current_time(), random_id)
        self.ending = _CANCELLED
        self._is_ending = False
        self._is_pumping = False
        self._is_dismissed = False
        self._connecting, self._pumping = trio.CancelScope(), trio.CancelScope()
        self._ready = trio.Event()
        self._to_guest: Pipe
        self._to_service: Pipe
        self._tools: RelayTools | None = None

    async def run(self) -> None:
        try:
            async with open_service_nursery() as services:
                self._to_guest = Pipe(self._guest, services)
                services.start_soon(self._from_guest_loop)
                services.start_soon(self._clock_loop)
                await self._connect(services)
        except BaseException as error:
            # An `Exception` is a fault of ours, and all else is somebody who gives up.
            if isinstance(error, Exception):
                self.ending = _FAILED
            # Nothing is waited for: the close frame goes if it can go at once.
            with trio.CancelScope(shield=True) as scope:
                scope.cancel()
                await self._guest.aclose(self.ending.close.code, self.ending.close.reason)
            raise

    async def _connect(self, services: ServiceNursery) -> None:
        """Have the session, until both connections are closed."""
        try:
            with self._connecting:
                async with self._service(self._grant) as transport:
                    with self._pumping:
                        await self._pump(transport, services)
                    await self._part(transport)
        except ConnectionFailed as error:
            self._end(unavailable(str(error)))
        await self._dismiss_guest()

    async def _pump(self, transport: Transport, services: ServiceNursery) -> None:
        self._to_service = Pipe(transport, services)
        if self._grant.own_tools:
            self._tools = RelayTools(
                self._grant, self.policy, services, post=self._to_service.post, new_id=random_id
            )
        self._is_pumping = True
        await self._from_service_loop(transport)

    # --- the pumps --------------------------------------------------------------------------------

    async def _from_guest_loop(self) -> None:
        await trio.lowlevel.checkpoint()
        while batch := await self._guest.receive():
            if not self._ready.is_set():
                await self._ready.wait()
            now = trio.current_time()
            for number, message in enumerate(batch, start=1):
                self._pass_to_service(message, now)
                if self._is_ending:
                    return
                if not self._to_service.has_room or number % _MESSAGES_IN_A_ROW == 0:
                    await self._to_service.wait_for_room()
                    now = trio.current_time()
        assert self._guest.closed is not None, "it has ended"
        self._end(Ending("guest_left", Close(forwarded(self._guest.closed).code)))

    async def _from_service_loop(self, transport: Transport) -> None:
        await trio.lowlevel.checkpoint()
        while batch := await transport.receive():
            now = trio.current_time()
            for number, message in enumerate(batch, start=1):
                self._pass_to_guest(message, now)
                if self._is_ending:
                    return
                if not self._to_guest.has_room or number % _MESSAGES_IN_A_ROW == 0:
                    await self._to_guest.wait_for_room()
                    now = trio.current_time()
        close = transport.closed
        assert close is not None, "it has ended"
        if self.policy.is_open:
            self._end(Ending("service_closed", forwarded(close)))
        else:
            self._end(unavailable(f"it closed the connection with {close.code} {close.reason}"))

    def _pass_to_service(self, message: str | bytes, now: float) -> None:
        if self.policy.passes_to_service(message, now):
            self._to_service.post(message)
            if self._tools is not None:
                self._tools.heard_audio()
            return
        for action in self.policy.from_guest(message, now):
            self._do(action)
            if self._tools is not None and isinstance(action, ToService):
                self._tools.see_guest(action.text)

    def _pass_to_guest(self, message: str | bytes, now: float) -> None:
        if self.policy.passes_to_guest(message, now):
            self._to_guest.post(message)
            return
        # Some servers send text in binary frames, and nobody sends anything else in them.
        text = message if isinstance(message, str) else message.decode(errors="replace")
        for action in self.policy.from_service(text, now):
            self._do(action)
        if self._tools is not None:
            self._tools.see(text)
        if self.policy.is_open:
            self._ready.set()

    def _do(self, action: Action) -> None:
        match action:
            case ToService(text):
                self._to_service.post(text)
            case ToGuest(text):
                self._to_guest.post(text)
            case Ending():
                self._end(action)

    # --- the end ----------------------------------------------------------------------------------

    async def _clock_loop(self) -> None:
        await trio.lowlevel.checkpoint()
        while not self._is_ending:
            deadline = self.policy.deadline
            if not self.policy.is_open:
                deadline = min(deadline, self._patience_ends)
            with trio.move_on_at(deadline):
                await self._drained.wait()
                self._end(DRAINED)
                return
            now = trio.current_time()
            if not self.policy.is_open and now >= self._patience_ends:
                self._end(unavailable(f"it has not begun the session within {_GREETING_S:g} s"))
            for action in self.policy.look(now):
                self._do(action)

    def _end(self, ending: Ending) -> None:
        """End the session; only the first reason counts."""
        if self._is_ending:
            return
        self._is_ending, self.ending = True, ending
        if ending.detail:
            _relay_logger.warning(
                "the session of %s cannot go on: %s",
                legible(self._grant.who),
                legible(ending.detail),
            )
        if self._is_pumping:
            self._pumping.cancel()
        else:
            self._connecting.cancel()

    async def _part(self, transport: Transport) -> None:
        """Close both connections, neither of which waits for the other."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.aclose, self.ending.close.code)
            nursery.start_soon(self._dismiss_guest)

    async def _dismiss_guest(self) -> None:
        """Tell the guest what it should know, and close its connection.  Idempotent."""
        await trio.lowlevel.checkpoint()
        ending = self.ending
        if not self._is_dismissed:
            self._is_dismissed = True
            if ending.error is not None:
                self._do(self.policy.tell(ending.error))
            with trio.move_on_after(CLOSE_TIMEOUT):
                await self._to_guest.wait_written()
        await self._guest.aclose(ending.close.code, ending.close.reason)


def random_id(prefix: str) -> str:
    """An id that nobody can guess."""
    return prefix + secrets.token_urlsafe(16)
