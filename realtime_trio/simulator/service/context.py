"""What a response reads: how much of the conversation fits, and how much of that is cached.

Owns the cache, and what is left out of the context for good.  That leaves no trace in the
conversation itself: clients can still retrieve what the model does not see any more.

Theory of operation.  Instructions and tools are always read.  When the rest does not fit, the
oldest items go until it does, or, with a retention ratio, until only that share of what may be
there is left: then the next few turns find the same beginning, and the cache holds. The cache is a
prefix: what a response reads is cached as far as the response before it began with the same.

Items are left out for good, or the cache would never hold for two turns.
"""

from __future__ import annotations

import attrs
from attrs import define, field, frozen

from realtime_trio.events import RetentionRatio
from realtime_trio.simulator.service.conversation import ServerConversation
from realtime_trio.simulator.service.item_entry import ItemEntry, KnownItem
from realtime_trio.simulator.service.refusal import Refusal
from realtime_trio.simulator.service.response_settings import ResolvedSettings
from realtime_trio.simulator.service.usage import InputTokens, text_tokens


@frozen(kw_only=True)
class Selection:
    """What a response reads beside instructions and tools."""

    entries: list[ItemEntry]
    """The items."""
    items: tuple[KnownItem, ...]
    """The same, as the model understood them when they were selected."""
    text: int
    """Their tokens of text."""
    audio: int
    """Their tokens of audio."""
    left_out: int
    """How many visible items of the conversation are not read, because it would be too much."""
    is_conversation: bool
    """Whether these are items of the conversation, and not of the request."""

    def with_words_of(self, entry: ItemEntry) -> Selection:
        """The same after it has become known what the user says in an item."""
        items = list(self.items)
        # From the end: what is still being listened to came last.
        for position in range(len(items) - 1, -1, -1):
            if self.entries[position] is entry:
                items[position] = entry.understood
                break
        return attrs.evolve(self, items=tuple(items))


@define(eq=False)
class Context:
    """What the model sees of a conversation."""

    _conversation: ServerConversation
    _preamble_before: tuple[str, ...] | None = field(default=None, init=False)
    """Instructions and tools of the last response that belongs to the conversation."""

    def select(self, given: list[ItemEntry] | None, settings: ResolvedSettings) -> Selection:
        """Choose what a response reads, and change nothing.

        Args:
            given: Items that the request names in place of the conversation, None if it does not.
            settings: Of the response.

        Raises:
            Refusal: It is too much, and nothing may be left out, or that would not help.
        """
        visible = self._conversation.visible
        sums = visible.sizes() if given is None else _add_up(given)
        room = settings.max_input_tokens - text_tokens(_preamble(settings))
        ratio = 1.0
        if isinstance(settings.truncation, RetentionRatio):
            ratio, limits = settings.truncation.retention_ratio, settings.truncation.token_limits
            if limits is not None and limits.post_instructions is not None:
                room = min(room, limits.post_instructions)
        end, first = sum(sums[-1]), 0
        if end - sum(sums[0]) > room and settings.truncation != "disabled":
            # The last item stays: without it there would be nothing to answer.
            while first < len(sums) - 2 and end - sum(sums[first]) > room * ratio:
                first += 1
        # The service refuses the request; there is no response that fails.
        if end - sum(sums[first]) > room:
            raise Refusal(
                "Conversation is too long to create a Response.", code="conversation_too_long"
            )
        return Selection(
            entries=visible.entries(first) if given is None else given[first:],
            items=visible.understood(first)
            if given is None
            else tuple(entry.understood for entry in given[first:]),
            text=sums[-1][0] - sums[first][0],
            audio=sums[-1][1] - sums[first][1],
            left_out=first,
            is_conversation=given is None,
        )

    def read(
        self, selection: Selection, settings: ResolvedSettings, *, is_apart: bool
    ) -> InputTokens:
        """Count what a response reads.

        Args:
            selection: What was selected for it, since which nothing has changed.
            settings: Of the response.
            is_apart: Whether it is out of band: then nothing is cached, and nothing becomes of what
                was left out.
        """
        preamble = _preamble(settings)
        text = text_tokens(preamble)
        cacheable = 0
        # Other items than the conversation's are not remembered either.
        if not is_apart and selection.is_conversation:
            visible = self._conversation.visible
            if preamble == self._preamble_before:
                cacheable = text
                # Whatever is left out at the beginning makes the rest another prompt.
                if not selection.left_out:
                    sums = visible.sizes()
                    cacheable += sum(sums[visible.unread]) - sum(sums[0])
            self._preamble_before = preamble
            visible.leave_out(selection.left_out)
            visible.read()
        return InputTokens(text=selection.text + text, audio=selection.audio, cacheable=cacheable)


def _preamble(settings: ResolvedSettings) -> tuple[str, ...]:
    """Instructions and tools, which are never left out."""
    return (settings.instructions, *map(str, settings.tools))


def _add_up(entries: list[ItemEntry]) -> list[tuple[int, int]]:
    """Tokens of text and of audio in front of each item, and in the end of all."""
    sums = [(0, 0)]
    for entry in entries:
        text, audio = sums[-1]
        sums.append((text + entry.tokens[0], audio + entry.tokens[1]))
    return sums
