"""Conversations that outlive their session: how much of them is told again, and a file of them.

Owns the store, which follows a session and survives a crash of the program.  What a file of it
holds is in `_state.conversation.journal`, and how a conversation is restored in
`_state.conversation.restoring`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import trio

from realtime_trio._misuse import kind_of
from realtime_trio._runtime.disk import in_thread
from realtime_trio._runtime.hub import EventStream
from realtime_trio._runtime.journal_file import JournalFile
from realtime_trio._runtime.nursery import ServiceNursery, open_service_nursery
from realtime_trio._state.conversation.keeping import Keeper
from realtime_trio._state.conversation.old_part import Compaction as Compaction
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.conversation.restoring import Omission as Omission
from realtime_trio._state.conversation.size import (
    HistoryLimit as HistoryLimit,
    Summarize as Summarize,
)
from realtime_trio.errors import LocalProtocolError, SessionClosed, SlowConsumer
from realtime_trio.events import Event, JsonObject

_BATCH: Final = 256
"""Events looked at before what follows from them is written."""
_logger = logging.getLogger("realtime_trio")


class ConversationStore:
    """A conversation in a file, which a session takes up and goes on with.  Made by `open_store`.

    It holds the conversation as the session has it: items that are deleted, or that a limit leaves
    out, are gone here as well.
    """

    def __init__(
        self, path: Path, file: JournalFile, limiter: trio.CapacityLimiter, *, audio: bool
    ) -> None:
        self._path = path
        self._file = file
        self._limiter = limiter
        self._audio = audio
        self._keeper: Keeper | None = None
        self._disk = trio.Lock()
        """Whoever has it is the only one at the file, and writes what the keeper gave it."""
        self._is_following = False
        self._is_open = True

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def dropped(self) -> int:
        """Bytes at the end of the file that were dropped when it was opened.

        They are the beginning of a line that a crash has cut off: of one item at most.
        """
        return self._file.dropped

    async def history(self) -> list[JsonObject]:
        """The conversation as it is in the file, in the form that `open_session` takes.

        Raises:
            LocalProtocolError: The store is closed.
            OSError: The file cannot be read.
        """
        self._check_open()
        async with self._disk:
            return (await in_thread(self._limiter, self._file.read)).items

    async def flush(self) -> None:
        """Wait until what has happened in the session so far is on the disk.

        An answer that the model is still giving is not written before it is over.  Without a
        session there is nothing to wait for.

        Cancellation: what was to be written is written all the same.

        Raises:
            LocalProtocolError: The store is closed.
            OSError: The file cannot be written.
        """
        await trio.lowlevel.checkpoint()
        self._check_open()
        if self._keeper is not None:
            self._keeper.note_all()
        if (failure := await self._write()) is not None:
            raise failure

    async def compact(self) -> None:
        """Rewrite the file without what is not needed any more; that happens by itself, too.

        The new file takes the place of the old one in one step, so that a crash leaves one of them.

        Raises:
            LocalProtocolError: The store is closed.
            OSError: The file cannot be replaced; it is as it was.
        """
        self._check_open()
        async with self._disk:
            await in_thread(self._limiter, self._file.shorten)

    @asynccontextmanager
    async def _following(
        self,
    ) -> AsyncIterator[Callable[[Conversation, EventStream[Event]], None]]:
        """Keep the conversation of a session that begins and ends within the block.

        It yields a function that is given the conversation and its events.  What is written last is
        written when the block ends, in whatever way.

        Raises:
            LocalProtocolError: The store is closed, or keeps another session.
            OSError: The file cannot be written; the block is cancelled.
        """
        self._check_open()
        if self._is_following:
            raise LocalProtocolError(
                "the store keeps another session already; each session needs one of its own"
            )
        self._is_following = True
        try:
            async with open_service_nursery() as services:

                def begin(conversation: Conversation, events: EventStream[Event]) -> None:
                    self._keeper = Keeper(conversation, self._file.item_ids, audio=self._audio)
                    services.start_soon(self._keep, self._keeper, events, services)

                yield begin
        finally:
            self._is_following = False
            self._keeper = None

    async def _keep(
        self, keeper: Keeper, events: EventStream[Event], services: ServiceNursery
    ) -> None:
        async def write(*, is_last: bool = False) -> None:
            # Not raised: an OSError that leaves a task would be called a bug of ours.
            if (failure := await self._write(is_last=is_last)) is not None:
                services.fail(failure)

        try:
            await write()
            while await _note(events, keeper):
                await write()
        finally:
            # Whatever is still in the stream is in the conversation, which is looked at as a whole.
            await write(is_last=True)  # noqa: ASYNC102 - `_write` is shielded
            events.close()

    async def _write(self, *, is_last: bool = False) -> OSError | None:
        failure = None
        # Shielded: what the keeper has given out is written, or the file would lack it for ever.
        with trio.CancelScope(shield=True):
            async with self._disk:
                if self._keeper is not None and (lines := self._keeper.lines(is_last=is_last)):
                    failure = await in_thread(self._limiter, partial(self._file.append, lines))
                    if failure is not None:
                        self._keeper.undo(lines)
        return failure

    def _check_open(self) -> None:
        if not self._is_open:
            raise LocalProtocolError("the store is closed: its block has been left")


async def _note(events: EventStream[Event], keeper: Keeper) -> bool:
    """Wait for events and take note of all there are; False at the end of the stream."""
    await trio.lowlevel.checkpoint()
    try:
        keeper.note(await events.receive())
        for _ in range(min(events.pending, _BATCH)):
            keeper.note(events.receive_nowait())
    except SlowConsumer:
        keeper.note_all()
    except (SessionClosed, trio.WouldBlock):
        return False
    return True


@asynccontextmanager
async def open_store(
    path: str | os.PathLike[str], *, audio: bool = False
) -> AsyncIterator[ConversationStore]:
    """Open a file that keeps a conversation, for `open_session(store=...)`.

    A session begins with the conversation that is in the file, and from then on every item is
    written as soon as it has its form, by a thread, so that it delays nothing else.  A program that
    is killed at any moment loses the item that was in flight, and no other; the next session goes
    on from there.  The file is only appended to, and rewritten as a whole when most of it is not
    needed any more.

    Args:
        path: The file, which is made if there is none, and which only its owner may read.
        audio: Whether to keep what the user said as audio, too, as far as the session's `retention`
            has it; without that and without transcription, spoken turns cannot be told again.

    Raises:
        LocalProtocolError: The file is something else, is damaged in the middle, or is open
            already, here or in another program.
        OSError: The file cannot be read and written.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"a store is opened by the path of its file, not by {kind_of(path)}")
    limiter = trio.CapacityLimiter(1)  # its own, so that it never waits for the threads of others
    where = Path(path)
    file = await in_thread(limiter, partial(JournalFile, where))
    if file.dropped:
        _logger.warning(
            "dropped %d bytes at the end of %s: a line that a crash has cut off",
            file.dropped,
            where,
        )
    store = ConversationStore(where, file, limiter, audio=audio)
    try:
        yield store
    finally:
        store._is_open = False
        file.close()
