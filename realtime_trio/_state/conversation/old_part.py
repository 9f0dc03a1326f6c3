"""Which items of a living conversation are old enough to go.

Owns where a conversation may be parted: behind a whole turn, never inside one that is going on, and
never between the calls of a response and their outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from realtime_trio._frozen import frozen
from realtime_trio._state.conversation.item import LISTING, ConversationItem
from realtime_trio._state.conversation.parting import boundaries
from realtime_trio.events import FunctionCallOutput, McpApprovalResponse

MS_PER_CHARACTER: Final = 66
"""How long a written character takes to say: 15 characters a second are an ordinary pace."""


@frozen(kw_only=True)
class Compaction:
    """What has become of a conversation that was made shorter."""

    removed: tuple[ConversationItem, ...] = ()
    """The items that were deleted, in order, as they were."""
    summary: ConversationItem | None = None
    """What was put in their place; None if nothing was."""


def old_part(
    items: Sequence[ConversationItem],
    *,
    keep_items: int | None = None,
    keep_ms: float | None = None,
    is_busy: bool = False,
    is_open: Callable[[str], bool] = lambda _: False,
    audible: str | None = None,
) -> tuple[ConversationItem, ...]:
    """The items that may go, in order: a beginning of the conversation.

    Lists of the tools on an MCP server are never among them: with the list, the model would lose
    the tools.

    Args:
        items: The conversation.
        keep_items: How many of the last items stay.
        keep_ms: How much of the end stays, in milliseconds of talk; see `talk_ms`.
        is_busy: Whether a response is active, asked for or owed: then its turn stays.
        is_open: Says of the id of a call without an output whether one may still come; its turn
            stays.  A call that nobody will answer goes like anything else.
        audible: Id of an item that is being played, and stays with all that follows.
    """
    end = len(items)
    if keep_items is not None:
        end = min(end, max(0, len(items) - keep_items))
    if keep_ms is not None:
        end = min(end, _first_within(items, keep_ms))
    calls = _Calls(items, is_open)
    for position, item in enumerate(items):
        if item.id == audible or item.status == "in_progress" or calls.is_open(item):
            end = min(end, _start_of_turn(items, position))
    if is_busy:
        end = min(end, _active_turn(items))
    end = max((each for each in calls.boundaries if each <= end), default=0)
    return tuple(item for item in items[:end] if item.type != LISTING)


def talk_ms(item: ConversationItem) -> float:
    """How long an item takes to say, in milliseconds: its audio, or its text if it has none."""
    return item.audio_ms or len(item.text) * MS_PER_CHARACTER


def _first_within(items: Sequence[ConversationItem], keep_ms: float) -> int:
    """The first item of which any part lies within the last milliseconds."""
    position = len(items)
    while position and keep_ms > 0:
        position -= 1
        keep_ms -= talk_ms(items[position])
    return position


class _Calls:
    """Which calls of tools and requests for approval are answered, and where."""

    def __init__(self, items: Sequence[ConversationItem], is_open: Callable[[str], bool]) -> None:
        self._items = items
        self._is_awaited = is_open
        self._answered = {_answers(item) for item in items} - {None}

    def is_open(self, item: ConversationItem) -> bool:
        """Whether an item asks for something that may still come."""
        asked = _asks(item)
        if asked is None or asked in self._answered:
            return False
        return item.type == "mcp_approval_request" or self._is_awaited(asked)

    @property
    def boundaries(self) -> Iterator[int]:
        """The positions at which no round of tools is parted."""
        rounds: dict[str | None, str | None] = {}
        for item in self._items:
            asked = _asks(item)
            if asked in self._answered:
                rounds[asked] = item.response_id or asked
        return boundaries([rounds.get(_asks(each) or _answers(each)) for each in self._items])


def _asks(item: ConversationItem) -> str | None:
    """What has to be answered, by the id that the answer names."""
    if item.type == "mcp_approval_request":
        return item.id
    return item.call_id if item.type == "function_call" else None


def _answers(item: ConversationItem) -> str | None:
    """What is answered by an item."""
    match item.snapshot:
        case McpApprovalResponse(approval_request_id=asked) | FunctionCallOutput(call_id=asked):
            return asked
        case _:
            return None


def _start_of_turn(items: Sequence[ConversationItem], position: int) -> int:
    """Where the turn begins that an item belongs to: with what the user says to begin it."""
    while position and items[position].role != "user":
        position -= 1
    while position and items[position - 1].role == "user":
        position -= 1
    return position


def _active_turn(items: Sequence[ConversationItem]) -> int:
    """Where the turn begins that is going on, at the latest.

    If there is nothing yet but what the user says, the turn before is unfinished as well, unless it
    ended with an answer: the outputs of its tools are still to be read.
    """
    if not items:
        return 0
    start = _start_of_turn(items, len(items) - 1)
    if start and items[-1].role == "user" and items[start - 1].role != "assistant":
        start = _start_of_turn(items, start - 1)
    return start
