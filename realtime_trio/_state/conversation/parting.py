"""Where a conversation may be parted, so that rounds of tools stay whole.

Owns the rule alone: what belongs together is for those who ask.  Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence


def boundaries(rounds: Sequence[str | None], unfinished: Collection[str] = ()) -> Iterator[int]:
    """The positions at which no round is parted, from 0 on.

    Args:
        rounds: Of each item, in order, the round that it is part of; None if it is of none.
        unfinished: The rounds of which something is still to come, so that none of them has an end.
    """
    ends = {each: position for position, each in enumerate(rounds)}
    end = -1
    yield 0
    for position, each in enumerate(rounds):
        if each is not None:
            end = max(end, len(rounds) if each in unfinished else ends[each])
        if end <= position:
            yield position + 1
