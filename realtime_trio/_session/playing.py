"""The model's speech of a session on its way to a sink.

Owns what the session does for the `Playback` that it was given: it tells it the events, sends what
follows from them, and wakes the streams that wait for samples.  What was heard, and what follows
from that, is the playback's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self

import attrs
import trio

from realtime_trio import _elsewhere
from realtime_trio._misuse import check_kind
from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.recent import Recent
from realtime_trio._state.utility_events import Interrupted, UtilityEvent
from realtime_trio.errors import LocalProtocolError, SessionClosed
from realtime_trio.events import ClientEvent, ConversationItemTruncate, ErrorEvent, Event
from realtime_trio.playback.chunks import ItemChunks
from realtime_trio.playback.playback import Playback

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = _elsewhere.module("numpy")

_REFLEXES: Final = 64
"""Events sent by reflex whose refusal is recognised; a refusal trails by a round trip."""
_CHUNKS_PER_S: Final = 50
"""Chunks of a stream in a second, unless it is told otherwise: 20 ms each, the packets of telephone
lines and browsers."""


def check_playback(playback: object) -> None:
    """Refuse what nothing can be played with.

    Raises:
        TypeError: It is neither a `Playback` nor None.
    """
    check_kind("playback", playback, Playback, type(None), allowed="a Playback or None")


class SessionPlayback:
    """The playback of one session.

    Args:
        playback: The playback.
        conversation: The items that it plays.
        post: Queues an event at once, and returns its id.
    """

    def __init__(
        self, playback: Playback, conversation: Conversation, post: Callable[[ClientEvent], str]
    ) -> None:
        self.playback = playback
        self._conversation = conversation
        self._post = post
        self._reflexes = Recent(_REFLEXES)
        self._waiting = trio.lowlevel.ParkingLot()
        self.is_closed = False
        """Whether the session has ended, so that no more arrives."""

    def apply(self, event: Event) -> tuple[UtilityEvent, ...]:
        """Let the conversation take a server event, and play what follows from it.

        Returns:
            As the conversation does, but that an interruption names what was really audible.
        """
        self._send(self.playback.apply(event))
        derived = []
        for told in self._conversation.apply(event):
            derived.append(
                attrs.evolve(told, item=self.item) if isinstance(told, Interrupted) else told
            )
            self._send(self.playback.apply(told))
        self._waiting.unpark_all()
        return tuple(derived)

    def interrupt(self, response_id: str | None = None) -> None:
        """Be silent, as somebody who begins to talk expects; whoever calls this sends the cancel.

        Args:
            response_id: Silence this response alone; None silences everything.
        """
        self._send(self.playback.interrupt(response_id).cuts)
        self._waiting.unpark_all()

    def is_benign(self, event: ErrorEvent) -> bool:
        """Whether this refuses a cut: the item is gone, or was cut by somebody else."""
        return event.error.event_id in self._reflexes

    def close(self) -> None:
        """Nothing arrives any more; streams deliver what there is, and end."""
        self.is_closed = True
        for part in self.playback.parts:
            self.playback.finish(part.item_id)
        self._waiting.unpark_all()

    @property
    def is_playing(self) -> bool:
        """Whether the user may still hear something of the model's."""
        return self.playback.playing is not None

    async def wait_changed(self) -> None:
        """Wait until something has arrived, or was interrupted."""
        await self._waiting.park()

    @property
    def item(self) -> ConversationItem | None:
        """The item that is audible, or still coming."""
        playing = self.playback.playing
        return None if playing is None else self._conversation.get(playing.item_id or "")

    def _send(self, events: tuple[ClientEvent, ...]) -> None:
        for event in events:
            if isinstance(event, ConversationItemTruncate) and self._is_text(event.item_id):
                continue
            self._reflexes.add(self._post(event))

    def _is_text(self, item_id: str) -> bool:
        """Whether the server would refuse to cut an item: to it, that was never spoken."""
        conversation = self._conversation
        return conversation.is_told_again(item_id) or conversation.is_left_behind(item_id)


class AudioOutput:
    """The speech of one item, chunk by chunk, as it arrives.  Made by `Session.audio_output`.

    Iterate it.  It begins with what comes next, and ends with the item; the item after it is for
    the next stream.  It stops at once when it is interrupted.  Nothing is lost: what is not taken
    waits.  One task at a time.
    """

    def __init__(self, session: SessionPlayback, size: int) -> None:
        self._session = session
        self._chunks = ItemChunks(session.playback, size)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> NDArray[np.int16]:
        """Wait for the next chunk: shape (n,), int16, at the rate of the playback.

        Cancel-safe: what was not returned waits.

        Raises:
            SessionClosed: The session has ended, and no further item has begun.
        """
        await trio.lowlevel.checkpoint()
        while (chunk := self._chunks.take()) is None:
            if self._chunks.is_over:
                raise StopAsyncIteration
            if self._session.is_closed:
                raise SessionClosed("the session has ended, and all of its speech was taken")
            await self._session.wait_changed()
        return chunk


def open_output(session: SessionPlayback | None, size: int | None) -> AudioOutput:
    """Make a stream of the speech that comes next.

    Raises:
        LocalProtocolError: There is no playback, or the size is less than 1.
    """
    if session is None:
        raise LocalProtocolError(
            "audio_output() takes what is to be played from a playback: "
            "open_session(playback=Playback())"
        )
    if size is None:
        size = session.playback.rate // _CHUNKS_PER_S
    if size < 1:
        raise LocalProtocolError(f"size must be 1 or more samples, not {size}")
    return AudioOutput(session, size)
