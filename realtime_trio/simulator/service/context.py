"""What a response reads: how much of the conversation fits, and how much of that is cached.

Owns the cache, and what is left out of the context for good.  That leaves no trace in the
conversation itself: clients can still retrieve what the model does not see any more.

Theory of operation.  Instructions and tools are always read.  When the rest does not fit, the
oldest items go until it does, or, with a retention ratio, until only that share of what may be
there is left: then the next few turns find the same beginning, and the cache holds. The cache is a
prefix: what a response reads is cached as far as the response before it began with the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

from attrs import define, field, frozen

from realtime_trio.events import RetentionRatio
from realtime_trio.simulator.service.conversation import ItemEntry, ServerConversation
from realtime_trio.simulator.service.refusal import Refusal
from realtime_trio.simulator.service.response_settings import ResolvedSettings
from realtime_trio.simulator.service.usage import InputTokens, text_tokens


@frozen
class _Piece:
    """Part of a prompt."""

    key: object
    """What tells it from others."""
    text: int
    audio: int

    @property
    def tokens(self) -> int:
        return self.text + self.audio


@define(eq=False)
class Context:
    """What the model sees of a conversation."""

    _conversation: ServerConversation
    _read_before: list[_Piece] = field(factory=list, init=False)
    """What the last response read that belongs to the conversation."""

    def select(self, given: list[ItemEntry] | None, settings: ResolvedSettings) -> list[ItemEntry]:
        """Choose what a response reads, and change nothing.

        Args:
            given: Items that the request names in place of the conversation, None if it does not.
            settings: Of the response.

        Raises:
            Refusal: It is too much, and nothing may be left out, or that would not help.
        """
        entries = (
            [entry for entry in self._conversation if not entry.is_left_out]
            if given is None
            else given
        )
        room = settings.max_input_tokens - _preamble(settings).tokens
        ratio = 1.0
        if isinstance(settings.truncation, RetentionRatio):
            ratio, limits = settings.truncation.retention_ratio, settings.truncation.token_limits
            if limits is not None and limits.post_instructions is not None:
                room = min(room, limits.post_instructions)
        sizes = [sum(entry.tokens) for entry in entries]
        total, first = sum(sizes), 0
        if total > room and settings.truncation != "disabled":
            # The last item stays: without it there would be nothing to answer.
            while first < len(entries) - 1 and total > room * ratio:
                total -= sizes[first]
                first += 1
        # The service refuses the request; there is no response that fails.
        if total > room:
            raise Refusal(
                "Conversation is too long to create a Response.", code="conversation_too_long"
            )
        return entries[first:]

    def read(
        self, entries: list[ItemEntry], settings: ResolvedSettings, *, is_apart: bool
    ) -> InputTokens:
        """Count what a response reads.

        Args:
            entries: What was selected for it.
            settings: Of the response.
            is_apart: Whether it is out of band or reads other items than the conversation's: then
                nothing is cached, and nothing becomes of what was left out.
        """
        # With its size, because an item that was truncated is another one to the cache.
        pieces = [_preamble(settings), *(_Piece(entry.id, *entry.tokens) for entry in entries)]
        cached: Iterable[_Piece] = ()
        if not is_apart:
            cached = [
                piece
                for piece, before in takewhile(_same, zip(pieces, self._read_before, strict=False))
            ]
            self._read_before = pieces
            # Items are left out for good, or the cache would never hold for two turns.
            for entry in self._conversation:
                if entry in entries:
                    break
                entry.is_left_out = True
        return InputTokens(
            text=sum(piece.text for piece in pieces),
            audio=sum(piece.audio for piece in pieces),
            cacheable=sum(piece.tokens for piece in cached),
        )


def _preamble(settings: ResolvedSettings) -> _Piece:
    """Instructions and tools, which are never left out."""
    texts = (settings.instructions, *map(str, settings.tools))
    return _Piece(texts, text_tokens(texts), 0)


def _same(pair: tuple[_Piece, _Piece]) -> bool:
    return pair[0] == pair[1]
