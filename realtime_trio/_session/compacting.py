"""Making a conversation shorter while it goes on.

Owns the order of things: the summary first, then the deletions.  Which items are old is decided in
`_state.conversation.old_part`.

Theory of operation.  The summary is put behind the last old item, right where the rest begins: so
it is never older, for a service that leaves out the oldest items by itself, than what it stands
for.  When the service has it, all deletions are queued in one step, without a checkpoint between
them.  So there are two states to be cancelled in: before that step nothing has happened, and what
was inserted is taken back; after it everything happens, and only the waiting ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import trio

from realtime_trio import _elsewhere
from realtime_trio._misuse import check_number, kind_of
from realtime_trio._session.limited import LimitedSession
from realtime_trio._state.acknowledgements import Pending
from realtime_trio._state.conversation.history import entries_of
from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio._state.conversation.size import Summarize
from realtime_trio.errors import LocalProtocolError, ServerError
from realtime_trio.events import ConversationItemCreate, ConversationItemDelete

if TYPE_CHECKING:
    from realtime_trio._state.conversation import old_part, restoring
else:
    old_part = _elsewhere.module("realtime_trio._state.conversation.old_part")
    restoring = _elsewhere.module("realtime_trio._state.conversation.restoring")


class CompactingSession(LimitedSession):
    """Base of sessions whose conversation can be made shorter."""

    _compacting: trio.Lock | None = None
    """Held by whoever makes the conversation shorter: two would tell the same twice.  Made by the
    first."""

    async def compact(
        self,
        *,
        keep_items: int | None = None,
        keep_ms: float | None = None,
        summarize: Summarize | None = None,
    ) -> old_part.Compaction:
        """Delete the old part of the conversation, and put a summary in its place.

        Every response reads all of the conversation, and is billed for it; the service leaves out
        the oldest items by itself only when its context is full, and without a word.  What is
        deleted here is gone for the client, too.  Do it seldom and thoroughly: the cached beginning
        of the conversation is another one afterwards.

        A turn that is going on stays as it is: one in which a response is active or owed, a tool
        is at work, or the answer may still be audible.  Calls of tools go together with their
        outputs or not at all.  So more may stay than you ask for.

        Args:
            keep_items: How many of the last items stay at least.
            keep_ms: How many milliseconds of talk stay at least, from the end; texts count as long
                as it takes to say them, 66 ms a character.  Give either this or `keep_items`.
            summarize: An async function that gets the items that go, the oldest first, as values
                with their words, and returns a text, which becomes a system message in their place;
                `""` for none.  It may ask this session, out of band, and is not called if there are
                no words.  None deletes without a word.

        Returns:
            What was deleted, and the summary.  If nothing is old enough nothing happens, and
            `summarize` is not called.

        Raises:
            LocalProtocolError, TypeError: The arguments make no sense, or the summary is not a
                text; nothing was sent.
            ServerError: The server refused the summary, and nothing was deleted; or it refused a
                deletion, and a note says how many were made.
            SessionClosed: The session ended before all was done.

        Cancellation: until the summary has been taken nothing changes, and one that is on its way
        is taken back.  After that all deletions are made, whether anybody waits for them or not.
        What `summarize` raises leaves everything as it was.
        """
        _check_keeping(keep_items, keep_ms, summarize)
        self._compacting = self._compacting or trio.Lock()
        async with self._compacting:
            self._check_open()
            old = old_part.old_part(
                self._conversation.items,
                keep_items=keep_items,
                keep_ms=keep_ms,
                is_busy=not self._turns.is_idle,
                is_open=self._turns.awaits,
                audible=self._audible_id(),
            )
            if not old:
                return old_part.Compaction()
            text = "" if summarize is None else await self._summary_of(old, summarize)
            return await self._replace(old, text)

    async def _summary_of(self, old: Sequence[ConversationItem], summarize: Summarize) -> str:
        told = restoring.restore(
            entries_of(old), new_id=self._new_id, encoding=self._conversation.input_encoding
        )
        if not told.events:
            return ""  # noqa: ASYNC910 - taking the lock was one
        text = await summarize([event.item for event in told.events])
        if not isinstance(text, str):
            raise TypeError(f"summarize must return a text, not {kind_of(text)}")
        return text

    async def _replace(self, old: Sequence[ConversationItem], text: str) -> old_part.Compaction:
        # Others may have deleted some of them while the summary was being written.
        old = [item for item in old if self._conversation.get(item.id) is item]
        summary_id = None
        try:
            if text.strip() and old:
                message = restoring.system_message(text, self._new_id("item_"))
                create = ConversationItemCreate(item=message, previous_item_id=self._last_told(old))
                pending = await self._send_request(create)
                summary_id = message.id
                await self._wait_for_ack(pending)
            await self._outbox.wait_for_room()
            # No checkpoint from here until all are queued.
            deletions = [
                self._delete(item) for item in old if not self._forget_left_behind(item.id)
            ]
        except ServerError:
            raise
        except BaseException:
            if summary_id is not None:
                self._post(self._named(ConversationItemDelete(item_id=summary_id)))
            raise
        await self._wait_for_all(deletions)
        return old_part.Compaction(
            removed=tuple(old),
            summary=None if summary_id is None else self._conversation.get(summary_id),
        )

    def _last_told(self, old: Sequence[ConversationItem]) -> str:
        """What the summary stands behind, for a server that may have been told only the rest."""
        is_left_behind = self._conversation.is_left_behind
        return next((item.id for item in reversed(old) if not is_left_behind(item.id)), "root")

    def _delete(self, item: ConversationItem) -> tuple[ConversationItem, Pending]:
        event = self._named(ConversationItemDelete(item_id=item.id))
        pending = self._enqueue(event, self._codec.encode(event))
        assert pending is not None, "deletions are acknowledged"
        return item, pending

    async def _wait_for_all(self, deletions: Sequence[tuple[ConversationItem, Pending]]) -> None:
        await trio.lowlevel.checkpoint()
        refused: ServerError | None = None
        count = 0
        for item, pending in deletions:
            try:
                await self._wait_for_ack(pending)
                count += 1
            except ServerError as error:
                # What somebody else has deleted meanwhile is gone all the same.
                if self._conversation.get(item.id) is item:
                    refused = refused or error
        if refused is not None:
            refused.add_note(f"{count} of {len(deletions)} items were deleted")
            raise refused

    def _audible_id(self) -> str | None:
        """Id of what is being heard, as far as it is known; all that follows is still to be."""
        if self._playing is None:
            item = self._conversation.audible
            return None if item is None else item.id
        part = self._playing.playback.playing
        return None if part is None else part.item_id


def _check_keeping(keep_items: object, keep_ms: object, summarize: object) -> None:
    if (keep_items is None) == (keep_ms is None):
        raise LocalProtocolError("compact() takes either keep_items or keep_ms")
    if keep_items is not None:
        if isinstance(keep_items, bool) or not isinstance(keep_items, int):
            raise TypeError(f"keep_items must be 0 or more items, not {kind_of(keep_items)}")
        check_number("keep_items", keep_items, lambda count: count >= 0, allowed="0 or more items")
    if keep_ms is not None:
        check_number(
            "keep_ms", keep_ms, lambda ms: 0 <= ms < math.inf, allowed="0 or more milliseconds"
        )
    if summarize is not None and not callable(summarize):
        raise TypeError(
            f"summarize must be an async function from items to a text, not {kind_of(summarize)}"
        )
