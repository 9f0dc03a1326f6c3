"""Keeps a session on a link: opens another one when it breaks, when it is about to end, on demand.

Owns the tasks of the links, the attempts and their times.  What goes on from one link to the next
is decided in `continuity`, in single steps; what is worth another attempt, in `policy`.

Theory of operation.  One task per link reads from it, and one writes what waits in the outbox to
the present one.  The task in `Upkeep.run` does everything else, one thing after the other: it waits
for the end of the present link, for the time of its renewal or for somebody to call `restart`, and
then brings up a successor.  After a loss the session breaks off first and then looks for a link.
In the other cases it has a link first, configured, and breaks off for no longer than the round trip
in which that one is told the conversation.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar, Final

import trio
from attrs import define, field

from realtime_trio._legible import legible
from realtime_trio._protocol.chosen_model import ChosenModel
from realtime_trio._protocol.codec import Codec
from realtime_trio._runtime.hub import EventHub
from realtime_trio._runtime.nursery import ServiceNursery
from realtime_trio._runtime.outbox import Outbox
from realtime_trio._session.lasting.continuity import Continuity
from realtime_trio._session.lasting.policy import Reconnect, is_final, is_refused
from realtime_trio._session.lasting.successor import Dial, Record, RefusedLink, Successor
from realtime_trio._session.link import Link, Phase
from realtime_trio._state.losses import (
    Loss,
    Reconnected,
    Reconnecting,
    SessionExpiring,
    SessionRenewed,
)
from realtime_trio._state.reactions import Reactions
from realtime_trio._state.utility_events import ItemEvent, ToolCallFinished
from realtime_trio.errors import ConnectionFailed, ConnectionLost, SessionClosed, SlowConsumer
from realtime_trio.events import (
    ErrorEvent,
    Event,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStopped,
    RealtimeSession,
    ResponseDone,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
)

_LATEST_RENEWAL: Final = 0.1
"""Share of the margin that is left when a renewal does not wait for an idle moment any longer."""
_LOOK_AGAIN_S: Final = 1.0
"""Seconds between two looks for an idle moment.  Most of what is waited for is an event; but nobody
is told when a loudspeaker has played the last of an answer."""
_RENEWAL_PAUSE_S: Final = 10.0
"""Seconds between two attempts to open a link for a renewal: the old one still holds."""
_STIRS: Final = (
    ErrorEvent,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStopped,
    ItemEvent,
    ResponseDone,
    SessionUpdated,
    ToolCallFinished,
)
"""With what an idle moment may begin."""
_logger = logging.getLogger("realtime_trio")


@define(eq=False)
class _Wish:
    """Somebody who waits in `restart`."""

    done: trio.Event = field(factory=trio.Event)
    lost: Loss | None = None
    error: Exception | None = None


@define(eq=False, kw_only=True)
class Upkeep:
    """The links of one session."""

    policy: Reconnect
    """When there is another one."""
    continuity: Continuity
    """What goes on from one to the next."""
    services: ServiceNursery
    """Runs the tasks."""
    outbox: Outbox[tuple[Event, str]]
    """What waits to be written."""
    hub: EventHub[Event]
    """Where events are published."""
    dial: Dial
    """Opens another connection."""
    codec: Codec
    """Reads and writes."""
    link: Link
    """The present one."""
    chosen_model: ChosenModel | None
    """The model in the address, where it was made here."""
    connect_timeout: float
    """Seconds that one attempt may take."""
    dispatch: Callable[[ServerEvent, str | bytes], None]
    """Takes what the present one says."""
    take: Callable[[ServerEvent, str | bytes], None]
    """Takes it if it is on record already."""
    record: Record
    """Takes note of what is on the wire."""
    put_in_place: Callable[[Link], None]
    """Makes another one the session's."""
    ended: Callable[[], None]
    """Ends the session as its link has ended."""
    over: Callable[[], None]
    """Ends the session, whose link may still be there."""
    chance: Callable[[], float] = random.random
    """A random number from 0 to 1."""
    wall_time: Callable[[], float] = time.time
    """Seconds since 1970, by which the server says when it ends."""
    _bell: trio.Event = field(factory=trio.Event, init=False)
    _lost: ConnectionLost | None = field(default=None, init=False)
    """How the link was lost, until there is another one."""
    _lost_at: float = field(default=0.0, init=False)
    _attempt: int = field(default=0, init=False)
    """Attempts so far; they count on over links that did not hold."""
    _is_last: bool = field(default=False, init=False)
    """Whether there is no time for another one."""
    _held_since: float = field(default=0.0, init=False)
    """When the present link took over."""
    _ends_at: float = field(default=math.inf, init=False)
    """When the server ends the present link."""
    _warned: bool = field(default=False, init=False)
    _story: list[str] = field(factory=list, init=False)
    """What has been tried since the loss."""
    _wishes: list[_Wish] = field(factory=list, init=False)
    _is_over: bool = field(default=False, init=False)
    """Whether the session has ended, and gets no other link."""
    _successor: Successor | None = field(default=None, init=False)
    """The link that is being opened, if one is."""
    _waiting: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    """The wait for an idle moment, if there is one."""
    _work: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    """All attempts."""
    _sending: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _last_error: str | None = field(default=None, init=False)
    """Code or type of the last error that was about nothing in particular."""

    # --- for the session --------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the session on a link, until it ends."""
        self.services.start_soon(self._read, self.link)
        self._begin_sending()
        self._held_since = trio.current_time()
        try:
            with self._work:
                while True:
                    await self._do_next()
        finally:
            # Who leaves the block in the normal way is told if not all was written.
            if self._lost is not None and self.link.phase >= Phase.LEAVING and self.outbox.waits:
                self.services.fail(self._lost)
            self.outbox.discard()

    async def _do_next(self) -> None:
        with trio.move_on_at(self._renewal_at):
            await self._bell.wait()
        self._bell = trio.Event()
        if self._lost is not None:
            await self._reconnect(self._lost)
        elif self._wishes:
            await self._restart()
        elif trio.current_time() >= self._renewal_at:
            await self._renew()

    async def restart(self) -> Loss:
        """Go on over another connection now.

        Raises:
            ConnectionFailed: There is no other; the session goes on with the one it has.
        """
        wish = _Wish()
        self._wishes.append(wish)
        self._bell.set()
        # A renewal waits for a better moment no longer.
        self._waiting.cancel()
        await wish.done.wait()
        if wish.error is not None:
            raise wish.error
        assert wish.lost is not None
        return wish.lost

    def close(self) -> None:
        """The session has ended: nobody gets another link.  Idempotent."""
        self._is_over = True
        self._work.cancel()
        if self._successor is not None:
            self._successor.give_up()
        wishes, self._wishes = self._wishes, []
        for wish in wishes:
            wish.error = SessionClosed("the session ended before it could be restarted")
            wish.done.set()

    def apply(self, event: ServerEvent) -> None:
        """Take note of a server event."""
        if react := self.reactions[type(event)]:
            react(self, event)

    def _on_created(self, event: SessionCreated) -> None:
        """The present link has begun: note when it will end."""
        session = event.session
        stated = session.expires_at if isinstance(session, RealtimeSession) else None
        left = math.inf if stated is None else stated - self.wall_time()
        longest = self.policy.longest_session
        # A clock that is wrong by more than a session is long says nothing.
        self._ends_at = trio.current_time() + (left if 0 < left <= longest else longest)
        self._warned = False
        self._bell.set()

    def _on_error(self, event: ErrorEvent) -> None:
        if event.error.event_id is None:
            self._last_error = event.error.code or event.error.type

    reactions: ClassVar[Reactions[Upkeep, None]] = Reactions(
        {ErrorEvent: _on_error, SessionCreated: _on_created}
    )
    """What says how long a link will hold."""

    # --- links ------------------------------------------------------------------------------------

    async def _read(self, link: Link) -> None:
        await link.receive_loop(self.dispatch)
        self._link_ended(link)

    def _begin_sending(self) -> None:
        scope = self._sending = trio.CancelScope()
        self.services.start_soon(self._send, self.link, scope)

    async def _send(self, link: Link, scope: trio.CancelScope) -> None:  # noqa: ASYNC910
        with scope:
            await link.send_loop(self.outbox, self._note_written)

    def _note_written(self, event: Event, message: str) -> None:
        self.continuity.log.written(event)
        self.record("client", event, message)

    def _link_ended(self, link: Link) -> None:
        """A link has ended: if it is the present one the session breaks off, or ends."""
        close = link.closed
        assert close is not None
        if link is not self.link or self._lost is not None:
            return
        # One that is not ready has not begun the session, and there is nothing to go on with.
        if close.is_clean or not link.is_ready or link.phase >= Phase.LEAVING:
            self.ended()
            return
        self._lose(ConnectionLost(close.code, close.reason))
        if is_final(close, self._last_error):
            self._give_up("it would be the same on another connection")
        elif self._is_exhausted:
            self._give_up(self._why_exhausted)
        else:
            self._announce(str(self._lost))
            self._break_off()

    def _lose(self, lost: ConnectionLost) -> None:
        """There is no link from now on."""
        self._lost, self._lost_at = lost, trio.current_time()
        self._story.clear()
        self._is_last = False
        # One that has held for so long is not to be held against the next.
        if self._lost_at - self._held_since > self.policy.longest_delay:
            self._attempt = 0

    def _break_off(self) -> None:
        self._sending.cancel()
        self.continuity.break_off(trio.current_time())
        self._bell.set()
        self._waiting.cancel()

    def _take_over(self, successor: Successor, lost_what: Callable[[], Loss]) -> Loss:
        """Go on with a link that knows everything.  No checkpoint in here."""
        old = self.link
        self.link = successor.take_over(self.dispatch)
        self._successor = None
        # Who leaves the block meanwhile leaves it, whatever the link.
        self.link.enter(old.phase if old.phase is Phase.LEAVING else Phase.READY)
        self.put_in_place(self.link)
        lost = lost_what()
        self._lost, self._last_error = None, None
        self._held_since = trio.current_time()
        created = successor.introduction.created
        assert created is not None
        self._on_created(created)
        self._begin_sending()
        return lost

    def _dial(self) -> Successor:
        """Open a further link."""
        is_alone = self._lost is not None
        successor = self._successor = Successor(
            self.dial,
            self.codec,
            self.record,
            chosen_model=self.chosen_model,
            is_shown=is_alone,
        )
        self.services.start_soon(successor.run, self._link_ended)
        return successor

    async def _configured(self, successor: Successor, seconds: float) -> None:
        """Bring a further link so far that it only needs to be told the conversation.

        Raises:
            ConnectionFailed, Exception: That was not possible in this time.
        """
        with trio.move_on_after(seconds):
            await successor.configure(self.continuity.configuration)
            return
        raise ConnectionFailed(f"there was no other connection within {seconds:g} s")

    async def _told(self, successor: Successor, seconds: float) -> Loss:
        """Tell a further link the conversation, and go on with it.

        Args:
            successor: The link.
            seconds: How long it may take over an item, and over what comes before the first: a
                long conversation on a slow network may take longer than it takes to connect.

        Raises:
            ConnectionFailed: Nothing went on for so long, or it is time to give up.
        """
        until = self._lost_at + self.policy.give_up_after
        with trio.move_on_after(seconds) as patience:

            def have_patience() -> None:
                patience.deadline = min(trio.current_time() + seconds, until)

            # Again, if it has changed since.
            await successor.configure(self.continuity.configuration)
            retold = await self.continuity.tell()
            await successor.tell(retold.events, have_patience)
            introduction = successor.introduction
            return self._take_over(
                successor,
                lambda: self.continuity.go_on(introduction, retold, trio.current_time()),
            )
        raise ConnectionFailed(
            f"the service did not take the conversation: nothing happened for {seconds:g} s"
            if trio.current_time() < until
            else "there was no time left to tell the service the conversation"
        )

    # --- after a loss -----------------------------------------------------------------------------

    async def _reconnect(self, lost: ConnectionLost) -> None:
        """Try until there is another link, or no hope of one."""
        while self._lost is lost:
            left = self._lost_at + self.policy.give_up_after - trio.current_time()
            delay = self.policy.delay_before(self._attempt, self.chance)
            if delay >= left:
                # The last one takes place while there is time for it.
                delay, self._is_last = left / 2, True
            await trio.sleep(max(0.0, delay))
            successor = self._dial()
            try:
                left = self._lost_at + self.policy.give_up_after - trio.current_time()
                timeout = max(0.0, min(self.connect_timeout, left))
                await self._configured(successor, timeout)
                what = await self._told(successor, timeout)
            except Exception as error:
                # Whatever it is: the function for the key is the application's.
                successor.give_up()
                self._failed(error)
            else:
                gap_ms = round((trio.current_time() - self._lost_at) * 1000)
                self.hub.publish(Reconnected(lost=what, gap_ms=gap_ms))
                self._catch_up(successor)
                self._grant(what)
        await trio.lowlevel.checkpoint()

    def _failed(self, error: Exception) -> None:
        """An attempt has failed."""
        why = f"{type(error).__name__}: {legible(str(error))}"
        if isinstance(error, ConnectionFailed):
            why = legible(str(error))
        which = f"attempt {self._attempt}" if self._attempt else "going on over another one"
        self._story.append(f"{which}: {why}")
        if isinstance(error, RefusedLink) or is_refused(error):
            self._give_up("it would be the same the next time")
        elif self._is_exhausted:
            self._give_up(self._why_exhausted)
        else:
            self._announce(why)

    @property
    def _is_exhausted(self) -> bool:
        return bool(self._why_exhausted)

    @property
    def _why_exhausted(self) -> str:
        if self._attempt >= self.policy.attempts:
            return f"{self.policy.attempts} attempts are allowed"
        is_late = trio.current_time() - self._lost_at >= self.policy.give_up_after
        if self._is_last or is_late:
            return f"{self.policy.give_up_after:g} s are allowed"
        return ""

    def _announce(self, why: str) -> None:
        self._attempt += 1
        self.hub.publish(Reconnecting(attempt=self._attempt, why=why))

    def _give_up(self, why: str) -> None:
        lost, self._lost = self._lost, None
        assert lost is not None
        for line in self._story:
            lost.add_note(line)
        lost.add_note(f"not tried again: {why}")
        self.services.fail(lost)
        self.over()

    # --- on purpose -------------------------------------------------------------------------------

    async def _restart(self) -> None:
        await trio.lowlevel.checkpoint()
        successor = self._dial()
        try:
            await self._configured(successor, self.connect_timeout)
        except Exception as error:
            successor.give_up()
            wishes, self._wishes = self._wishes, []
            for wish in wishes:
                wish.error = error
                wish.done.set()
            return
        await self._change_over(successor, Reconnected)

    async def _renew(self) -> None:
        """Go on over another link before the server ends this one."""
        if not self._warned:
            self._warned = True
            left = self._ends_at - trio.current_time()
            self.hub.publish(SessionExpiring(seconds_left=left))
        successor = self._dial()
        latest = self._ends_at - self._margin * _LATEST_RENEWAL
        try:
            # What is configured while it waits has to be said there, too.
            while successor.introduction.created is None or successor.lacks(
                self.continuity.configuration
            ):
                await self._configured(successor, self.connect_timeout)
                await self._wait_idle(latest, successor)
        except Exception as error:
            successor.give_up()
            _logger.warning("the session cannot be renewed yet: %s", legible(str(error)))
            # The link that there is still holds.
            with trio.move_on_after(_RENEWAL_PAUSE_S):
                await self._bell.wait()
            return
        if self._is_over or not successor.is_open:
            successor.give_up()
            return  # noqa: ASYNC910 - the loop was one: a new link has not greeted us yet
        # After a loss meanwhile it is there already.
        await self._change_over(successor, SessionRenewed if self._lost is None else Reconnected)

    async def _change_over(
        self, successor: Successor, done: type[Reconnected] | type[SessionRenewed]
    ) -> None:
        """Go on with a link that is configured, and tell of it.

        If that fails it is a loss, and the next link an attempt like any other: the old one is not
        listened to any more.
        """
        old, closing = self.link, self._lost is None
        since = trio.current_time() if closing else self._lost_at
        # At once, or what is sent in between would be cut.  Whoever sends meanwhile waits; what is
        # half written goes to the old one.
        self.outbox.pause()
        await trio.lowlevel.checkpoint()
        if closing:
            with trio.move_on_after(self.connect_timeout):
                await self.outbox.wait_put_down()
        if self._lost is None:
            old.mute()
            self._lose(ConnectionLost(1006, "the session was to go on over another connection"))
            self._break_off()
        successor.show()
        try:
            what = await self._told(successor, self.connect_timeout)
        except Exception as error:
            successor.give_up()
            self._failed(error)
        else:
            gap_ms = round((trio.current_time() - since) * 1000)
            self.hub.publish(done(lost=what, gap_ms=gap_ms))
            self._catch_up(successor)
            self._grant(what)
        finally:
            if closing:
                self.services.start_soon(old.retire)

    async def _wait_idle(self, deadline: float, successor: Successor) -> None:
        """Wait for a moment at which nobody notices anything, or the deadline, or a loss."""
        await trio.lowlevel.checkpoint()
        with (
            self.hub.subscribe(*_STIRS, kept=False) as stream,
            trio.move_on_at(deadline) as self._waiting,  # noqa: ASYNC912 - it may be idle at once
        ):
            while successor.is_open and self._lost is None and not self._is_over:
                if self.continuity.is_idle or self._wishes:
                    break
                with trio.move_on_after(_LOOK_AGAIN_S), suppress(SlowConsumer, SessionClosed):
                    await stream.receive()

    @property
    def _margin(self) -> float:
        return self.policy.renew_before or 0.0

    @property
    def _renewal_at(self) -> float:
        if self.policy.renew_before is None or self.link.phase >= Phase.LEAVING:
            return math.inf
        return self._ends_at - self.policy.renew_before

    def _catch_up(self, successor: Successor) -> None:
        """Take what the new link has said besides, while it was being told everything."""
        for event, message in successor.introduction.rest:
            self.take(event, message)

    def _grant(self, what: Loss) -> None:
        """Whoever wanted a restart has one."""
        wishes, self._wishes = self._wishes, []
        for wish in wishes:
            wish.lost = what
            wish.done.set()
