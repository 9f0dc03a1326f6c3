"""A session that may outlive its links, as far as that is the session's own business.

Owns `restart`, and introduces the session's parts to what keeps it going.  A session without a
policy has nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import trio

from realtime_trio._runtime.nursery import ServiceNursery
from realtime_trio._session.approvals import HostedApprovals
from realtime_trio._session.base import Room
from realtime_trio._session.compacting import CompactingSession
from realtime_trio._session.lasting.continuity import Continuity
from realtime_trio._session.lasting.policy import Reconnect
from realtime_trio._session.lasting.upkeep import Upkeep
from realtime_trio._session.limits import Limits
from realtime_trio._session.link import Link
from realtime_trio._session.tool_items import ToolItems
from realtime_trio._state.acknowledgements import Pending
from realtime_trio._state.conversation.audio import DEFAULT_ENCODING, Encoding, Retention
from realtime_trio._state.conversation.size import HistoryLimit
from realtime_trio._state.losses import Loss
from realtime_trio._state.unconfirmed import Unconfirmed
from realtime_trio.connection import OpenTransport
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import Event, RealtimeSession, ServerEvent
from realtime_trio.playback.playback import Playback


class LastingSession(CompactingSession):
    """Base of sessions that go on over another connection."""

    def __init__(
        self,
        link: Link,
        services: ServiceNursery,
        *,
        capacity: int | None,
        new_id: Callable[[str], str],
        retention: Retention,
        playback: Playback | None,
        bounds: Limits,
    ) -> None:
        super().__init__(
            link,
            services,
            capacity=capacity,
            new_id=new_id,
            retention=retention,
            playback=playback,
            bounds=bounds,
        )
        self._continuity: Continuity | None = None

    async def restart(self) -> Loss:
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
        policy: Reconnect,
        limit: HistoryLimit,
        items: ToolItems,
        approvals: HostedApprovals,
        configured: Callable[[RealtimeSession], None],
    ) -> Callable[[OpenTransport, float], Upkeep]:
        """Keep from now on what another link has to be told.

        Args:
            policy: When there is another one.
            limit: How much of the conversation it is told.
            items: How the model is told of outputs.
            approvals: What somebody has to decide.
            configured: Puts a configuration in force that the server reports.

        Returns:
            Makes what opens it, from how to connect and the seconds that this may take.
        """
        continuity = self._continuity = Continuity(
            policy=policy,
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
        )
        self._log = continuity.log

        def keep_up(dial: OpenTransport, connect_timeout: float) -> Upkeep:
            return Upkeep(
                policy=policy,
                continuity=continuity,
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
                is_entered=lambda: self._is_entered,
                ended=self._ended,
                over=self._close,
            )

        return keep_up

    def _lasting_rooms(self) -> tuple[Room, ...]:
        if self._log is None or self._upkeep is None:
            return ()
        return (
            (Unconfirmed.reactions, self._log.apply),
            (Upkeep.reactions, self._upkeep.apply),
        )

    def _note_audio_settings(self) -> None:
        """Take note of how the user's audio is encoded, and whether the server detects turns."""
        if self._log is not None:
            encoding = Encoding.of(self._input_format) or DEFAULT_ENCODING
            self._log.configure(encoding, is_detecting=self._is_detecting_turns)

    def _account(self, event: ServerEvent) -> Iterator[Event]:
        """Let the sums and the limits take note of an event that no server has said."""
        for table, take_note in self._limit_rooms():
            if table[type(event)] is not None:
                yield from take_note(event) or ()

    def _settled(self, pending: Pending) -> None:
        super()._settled(pending)
        if self._continuity is not None:
            self._continuity.note_settled(pending)
