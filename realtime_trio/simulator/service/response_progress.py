"""How far a response is: what it still has to say, what it has used up, and how it ends.

Owns the queue of what is said next, the count of tokens against the limit, and the note of how the
response ends.  Knows no event: who reads the note closes what is open.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator
from typing import TypeAlias

from attrs import define, field

from realtime_trio.events import (
    ItemStatus,
    ResponseErrorDetail,
    ResponseStatus,
    ResponseStatusDetails,
)
from realtime_trio.simulator.roles import Say
from realtime_trio.simulator.script.script import Failure, Message, Output, Pacing
from realtime_trio.simulator.service.item_entry import ItemEntry, KnownItem
from realtime_trio.simulator.service.usage import duration_ms

Clock: TypeAlias = Generator[float, float, float]
"""Yields the times it waits for, is sent the time at which it goes on, and returns the time it
ended."""


@define(eq=False)
class ResponseProgress:
    """What a response and the writer of its items both have to know."""

    pacing: Pacing
    """How fast it is said."""
    max_tokens: float
    """Tokens that it may say; infinite for no limit."""
    queue: deque[Output | Say] = field(factory=deque, init=False)
    """What is to be said next."""
    more_may_come: bool = field(default=True, init=False)
    """Whether the queue may still grow."""
    failure: Failure | None = field(default=None, init=False)
    """What keeps it from going on when the queue is empty."""
    ending: tuple[ResponseStatus, ResponseStatusDetails] | None = field(default=None, init=False)
    """How it ends, if not because everything was said.  Once there is such a note nothing more is
    said."""
    entries: list[ItemEntry] = field(factory=list, init=False)
    """Its items so far, as the conversation keeps them."""
    output: list[KnownItem] = field(factory=list, init=False)
    """The same items as they were generated, whatever the client has done to them since."""
    text_tokens: int = field(default=0, init=False)
    """Tokens of text, transcripts and arguments that it has said."""
    audio_tokens: int = field(default=0, init=False)
    """Tokens of speech that it has said."""

    @property
    def goes_on(self) -> bool:
        """Whether there is something to say, and it may be said."""
        return self.ending is None and bool(self.queue)

    @property
    def item_status(self) -> ItemStatus:
        """The status of an item that is closed now."""
        return "completed" if self.ending is None else "incomplete"

    @property
    def spoken_ms(self) -> float:
        """Milliseconds that its speech plays, as far as there is any."""
        return sum(duration_ms(len(entry.spoken), entry.format) for entry in self.entries)

    def may_say(self, *, text: int = 0, audio: int = 0) -> bool:
        """Spend tokens, unless the response is stopped or that would exceed its limit."""
        spent = self.text_tokens + self.audio_tokens
        # The delta that would exceed the limit is not said, so the answer is never longer than it.
        if self.ending is None and spent + text + audio > self.max_tokens:
            self.ending = (
                "incomplete",
                ResponseStatusDetails(type="incomplete", reason="max_output_tokens"),
            )
        if self.ending is not None:
            return False
        self.text_tokens += text
        self.audio_tokens += audio
        return True

    def fail_if_told(self) -> None:
        """Note a failure as the ending, unless the response ends in another way already."""
        # Whoever cancelled it wants to read that it was cancelled.
        if self.ending is None and self.failure is not None:
            error = ResponseErrorDetail(
                type=self.failure.type, code=self.failure.code, message=self.failure.message
            )
            self.ending = "failed", ResponseStatusDetails(type="failed", error=error)

    def wait(self, now: float) -> Clock:
        """Wait until there is something to say, or nothing more will come."""
        while not self.queue and self.more_may_come and self.ending is None:
            # The time at which it was woken may be before `now`, which is when the pace of what was
            # said so far lets it go on.
            now = max(now, (yield math.inf))
        return now

    def next_piece(
        self, piece: Message | Say, now: float
    ) -> Generator[float, float, tuple[Say | None, float]]:
        """Wait for the next piece of the message that is being said.

        Args:
            piece: What was said last.
            now: When that was.

        Returns:
            The piece, None if nothing follows in this message; and the time.
        """
        if isinstance(piece, Message):  # from a script, which always is a whole
            return None, now
        now = yield from self.wait(now)
        following = self.queue[0] if self.goes_on else None
        if isinstance(following, Say):
            self.queue.popleft()
            return following, now
        if following is None:
            # Noted before the message is closed: one whose end never came is incomplete.
            self.fail_if_told()
        return None, now
