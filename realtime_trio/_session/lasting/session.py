"""A session that may outlive its links, as far as that is the session's own business.

Owns `restart`, and introduces the session's parts to what keeps it going.  A session without a
policy has nothing of it, and does not load it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

import trio
from attrs import evolve

from realtime_trio import _elsewhere
from realtime_trio._session.approvals import HostedApprovals
from realtime_trio._session.compacting import CompactingSession
from realtime_trio._session.ids import with_id
from realtime_trio._session.tool_items import ToolItems
from realtime_trio._state.acknowledgements import Pending
from realtime_trio._state.conversation.audio import DEFAULT_ENCODING, Encoding
from realtime_trio._state.conversation.size import HistoryLimit
from realtime_trio._state.reactions import Room
from realtime_trio.connection import OpenTransport
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    ClientEvent,
    ConversationItemCreate,
    Event,
    RealtimeSession,
    ServerEvent,
)

if TYPE_CHECKING:
    from realtime_trio._session.lasting import continuity, policy, upkeep
    from realtime_trio._state import losses
else:
    continuity = _elsewhere.module("realtime_trio._session.lasting.continuity")
    policy = _elsewhere.module("realtime_trio._session.lasting.policy")
    upkeep = _elsewhere.module("realtime_trio._session.lasting.upkeep")
    losses = _elsewhere.module("realtime_trio._state.losses")


class LastingSession(CompactingSession):
    """Base of sessions that go on over another connection."""

    async def restart(self) -> losses.Loss:
        """Go on over another connection now, with the conversation and everything else as it is.

        The other one is opened and configured first.  A response that is being given is cut, as by
        a loss of the connection.

        Returns:
            What could not be brought along.

        Raises:
            LocalProtocolError: The session was opened without `reconnect`.
            ConnectionFailed: There is no other connection; the session goes on with this one.
            SessionClosed: The session has ended.

        Cancellation: it may still be restarted.
        """
        await trio.lowlevel.checkpoint()
        if self._upkeep is None:
            raise LocalProtocolError(
                "restart() needs open_session(reconnect=Reconnect()), which keeps what another "
                "connection has to be told"
            )
        self._check_open()
        return await self._upkeep.restart()

    def _last(
        self,
        reconnect: policy.Reconnect,
        limit: HistoryLimit,
        dial: OpenTransport,
        connect_timeout: float,
        *,
        items: ToolItems,
        approvals: HostedApprovals,
        configured: Callable[[RealtimeSession], None],
    ) -> Callable[[], Awaitable[None]]:
        """Keep from now on what another link has to be told, and open one when it is needed.

        Args:
            reconnect: When there is another one.
            limit: How much of the conversation it is told.
            dial: Opens a connection.
            connect_timeout: Seconds that this may take.
            items: How the model is told of outputs.
            approvals: What somebody has to decide.
            configured: Puts a configuration in force that the server reports.

        Returns:
            The task that does so.
        """
        self._upkeep = upkeep.Upkeep(
            policy=reconnect,
            continuity=continuity.Continuity(
                policy=reconnect,
                limit=limit,
                codec=self._codec,
                new_id=self._new_id,
                outbox=self._outbox,
                acknowledgements=self._acknowledgements,
                conversation=self._conversation,
                turns=self._turns,
                items=items,
                approvals=approvals,
                understand=(self._playing or self._conversation).apply,
                account=self._account,
                publish=self._hub.publish,
                act=self._act,
                settled=self._settled,
                configured=configured,
                is_transcribing=lambda: self._input.transcription is not None,
                is_playing=lambda: self._playing is not None and self._playing.is_playing,
            ),
            services=self._services,
            outbox=self._outbox,
            hub=self._hub,
            dial=dial,
            codec=self._codec,
            link=self._link,
            chosen_model=self._chosen_model,
            connect_timeout=connect_timeout,
            dispatch=self._dispatch,
            take=self._take,
            record=self._record,
            put_in_place=self._put_in_place,
            ended=self._ended,
            over=self._close,
        )
        return self._upkeep.run

    def _named(self, event: ClientEvent) -> ClientEvent:
        named = super()._named(event)
        # Of an item without an id nobody could say whether a server has it.
        if self._upkeep is not None and isinstance(named, ConversationItemCreate):
            return evolve(named, item=with_id(named.item, self._new_id))
        return named

    def _lasting_rooms(self) -> tuple[Room, ...]:
        if self._upkeep is None:
            return ()
        log = self._upkeep.continuity.log
        return (log.reactions.of(log), self._upkeep.reactions.of(self._upkeep))

    def _note_audio_settings(self) -> None:
        """Take note of how the user's audio is encoded, and whether the server detects turns."""
        if self._upkeep is not None:
            encoding = Encoding.of(self._input_format) or DEFAULT_ENCODING
            log = self._upkeep.continuity.log
            log.configure(encoding, is_detecting=self._is_detecting_turns)

    def _account(self, event: ServerEvent) -> Iterator[Event]:
        """Let the sums and the limits take note of an event that no server has said."""
        for room in self._limit_rooms():
            if take_note := room(type(event)):
                yield from take_note(event) or ()

    def _settled(self, pending: Pending) -> None:
        super()._settled(pending)
        if self._upkeep is not None:
            self._upkeep.continuity.note_settled(pending)
