"""Tools on MCP servers, which the service lists and calls by itself, as utility events.

Owns what is under way: lists that are fetched, calls that run, approvals that are asked for.  Pure:
it is told every server event.  How an approval is sent is in `_session.approvals`; when the model
is asked to reply is in `_state.turns`.

Theory of operation.  The service reports everything twice over, in any order: as an event that
names only the id of an item (`response.mcp_call.completed`), and as the item itself, which in turn
is stated by the response and by the conversation.  So what is known of an item is put together
until it is enough to tell, and told once; then its id is remembered for a while, for what repeats
it.

The item of a call can be done before the call is made: a response ends with all its items, and the
service calls the tool only then, or after an approval.  Such an item has no outcome, and one with
the outcome follows the event that the call has ended.  So the item of a call is final when it
brings an outcome, when the conversation says that it is done, or when the response says so once the
call has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Final, TypeVar

from attrs import define, evolve

from realtime_trio._state.reactions import Reactions
from realtime_trio._state.recent import Recent
from realtime_trio._state.utility_events import (
    McpCallFinished,
    McpCallStarted,
    McpToolsListed,
    McpToolsUnavailable,
    ToolApprovalRequested,
    UtilityEvent,
)
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreated,
    ConversationItemDeleted,
    ConversationItemDone,
    Event,
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListedTool,
    McpListTools,
    McpListToolsCompleted,
    McpListToolsFailed,
    ResponseDone,
    ResponseMcpCallArgumentsDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
)

_T = TypeVar("_T")

_StatementOfOne = (
    ConversationItemAdded
    | ConversationItemCreated
    | ConversationItemDone
    | ResponseOutputItemAdded
    | ResponseOutputItemDone
)
"""What states an item."""
_Statement = _StatementOfOne | ResponseDone
"""What states items."""
_Done = ConversationItemDone | ResponseOutputItemDone | ResponseDone
"""What states items that do not grow any more, as far as the stater knows."""

_REMEMBERED: Final = 256
"""Most that is kept of each kind: of what is under way, since a call may never be made, and ids of
what is over.

Repeats follow within moments; but deletions count as well, and an application may delete a long
history at once.
"""


@define(eq=False)
class _Listing:
    item: McpListTools | None = None
    is_done: bool = False
    """Whether the item does not grow any more."""
    is_fetched: bool = False
    """Whether the service says that it has the tools."""

    def state(self, item: McpListTools, *, is_done: bool) -> None:
        """Take a statement of the item."""
        if is_done or not self.is_done:
            self.item = item
        self.is_done = self.is_done or is_done

    @property
    def whole(self) -> McpListTools | None:
        """The item with all its tools; None while more may come.

        One sign of three is not enough: tools may be some of them, a done item without any may be
        one that is about to fail, and tools that were fetched may not be stated yet.
        """
        if self.item is None:
            return None
        return self.item if bool(self.item.tools) + self.is_done + self.is_fetched > 1 else None


@define(eq=False)
class _CallProgress:
    item: McpCall | None = None
    arguments: str = ""
    is_done: bool = False
    """Whether the item does not grow any more, or only by its outcome."""
    is_final: bool = False
    """Whether it has its outcome, if it ever gets one."""
    is_running: bool = False
    has_ended: bool = False
    is_started: bool = False
    """Whether it was told that it runs."""

    def state(self, item: McpCall, *, is_done: bool, is_final: bool) -> None:
        """Take a statement of the item."""
        self.arguments = item.arguments or self.arguments
        if is_done or not self.is_done:
            self.item = item
        self.is_done = self.is_done or is_done
        self.is_final = self.is_final or is_final or (is_done and self.has_ended)

    def is_over(self, item: McpCall) -> bool:
        """Whether nothing more will be known of it."""
        has_outcome = item.output is not None or item.error is not None
        return (self.is_done and has_outcome) or (self.is_final and self.has_ended)


class McpActivity:
    """What the service does on MCP servers in one session."""

    def __init__(self) -> None:
        self._listings: dict[str, _Listing] = {}
        self._calls: dict[str, _CallProgress] = {}
        self._requests: dict[str, McpApprovalRequest] = {}
        self._listed: dict[str, McpToolsListed] = {}
        self._over = Recent(_REMEMBERED)

    @property
    def pending_approvals(self) -> Mapping[str, McpApprovalRequest]:
        """The approvals that were asked for and not answered yet, by id, oldest first; a copy."""
        return dict(self._requests)

    @property
    def tools(self) -> Mapping[str, tuple[McpListedTool, ...]]:
        """The tools of each MCP server, by its label, as last listed; a copy.

        A list that was deleted does not count.
        """
        return {label: listed.tools for label, listed in self._listed.items()}

    def apply(self, event: Event) -> tuple[UtilityEvent, ...]:
        """Take one server event; most are of no interest.  Never raises, whatever the server says.

        Returns:
            What it means, in the order in which it is to be told.
        """
        react = self.reactions[type(event)]
        return () if react is None else react(self, event)

    def _on_stated(self, event: _StatementOfOne) -> tuple[UtilityEvent, ...]:
        return self._on_item(event.item, event)

    def _on_response(self, event: ResponseDone) -> tuple[UtilityEvent, ...]:
        return tuple(told for item in event.response.output for told in self._on_item(item, event))

    def _on_arguments(self, event: ResponseMcpCallArgumentsDone) -> tuple[UtilityEvent, ...]:
        if call := self._entry(self._calls, event.item_id, _CallProgress):
            call.arguments = event.arguments or call.arguments
        return ()

    def _on_call_in_progress(self, event: ResponseMcpCallInProgress) -> tuple[UtilityEvent, ...]:
        if call := self._entry(self._calls, event.item_id, _CallProgress):
            call.is_running = True
            return self._tell_call(event.item_id, call)
        return ()

    def _on_call_ended(
        self, event: ResponseMcpCallCompleted | ResponseMcpCallFailed
    ) -> tuple[UtilityEvent, ...]:
        if call := self._entry(self._calls, event.item_id, _CallProgress):
            call.has_ended = True
            return self._tell_call(event.item_id, call)
        return ()

    def _on_listed(self, event: McpListToolsCompleted) -> tuple[UtilityEvent, ...]:
        if listing := self._entry(self._listings, event.item_id, _Listing):
            listing.is_fetched = True
            return self._tell_listing(event.item_id, listing)
        return ()

    def _on_not_listed(self, event: McpListToolsFailed) -> tuple[UtilityEvent, ...]:
        if listing := self._entry(self._listings, event.item_id, _Listing):
            # Ended at once: the item, which comes later, is an empty list and no news.
            self._end(event.item_id)
            label = None if listing.item is None else listing.item.server_label
            return (McpToolsUnavailable(server_label=label, item_id=event.item_id),)
        return ()

    def _on_deleted(self, event: ConversationItemDeleted) -> tuple[UtilityEvent, ...]:
        self._end(event.item_id)
        self._listed = {
            label: listed
            for label, listed in self._listed.items()
            if listed.item_id != event.item_id
        }
        return ()

    def _on_item(self, wire: Item, event: _Statement) -> tuple[UtilityEvent, ...]:
        is_done = isinstance(event, _Done)
        match wire:
            case McpCall():
                if call := self._entry(self._calls, wire.id, _CallProgress):
                    call.state(
                        wire, is_done=is_done, is_final=isinstance(event, ConversationItemDone)
                    )
                    return self._tell_call(wire.id, call)
            case McpListTools(id=str(item_id)):  # one without an id cannot be known again
                if listing := self._entry(self._listings, item_id, _Listing):
                    listing.state(wire, is_done=is_done)
                    return self._tell_listing(item_id, listing)
            case McpApprovalRequest() if is_done or isinstance(
                event, ConversationItemCreated
            ):  # the older protocol says no more
                if (
                    wire.id not in self._requests
                    and self._entry(self._requests, wire.id, lambda: wire) is not None
                ):
                    return (ToolApprovalRequested(call=wire),)
            case McpApprovalResponse():
                self._end(wire.approval_request_id)
        return ()

    def _tell_call(self, item_id: str, call: _CallProgress) -> tuple[UtilityEvent, ...]:
        if call.item is None:
            return ()
        known = evolve(call.item, arguments=call.arguments)
        is_over = call.is_over(known)
        events: list[UtilityEvent] = []
        if (call.is_running or is_over) and not call.is_started:
            call.is_started = True
            events.append(McpCallStarted(call=evolve(known, output=None, error=None)))
        if is_over:
            self._end(item_id)
            events.append(McpCallFinished(call=known))
        return tuple(events)

    def _tell_listing(self, item_id: str, listing: _Listing) -> tuple[UtilityEvent, ...]:
        whole = listing.whole
        if whole is None:
            return ()
        self._end(item_id)
        told = McpToolsListed(server_label=whole.server_label, tools=whole.tools, item_id=item_id)
        # Taken out first, so that the newest list is the last one to be forgotten.
        self._listed.pop(told.server_label, None)
        self._listed[told.server_label] = told
        if len(self._listed) > _REMEMBERED:
            del self._listed[next(iter(self._listed))]
        return (told,)

    def _entry(self, table: dict[str, _T], item_id: str, new: Callable[[], _T]) -> _T | None:
        """What is known of an item, begun if it is new; None if it is over.

        If too much is known, the oldest entry is given up.
        """
        if item_id in self._over:
            return None
        entry = table.get(item_id)
        if entry is None:
            entry = table[item_id] = new()
            if len(table) > _REMEMBERED:
                self._end(next(iter(table)))
        return entry

    def _end(self, item_id: str) -> None:
        """Forget an item but for its id, so that nothing is told of it again."""
        for table in (self._listings, self._calls, self._requests):
            table.pop(item_id, None)
        self._over.add(item_id)

    reactions: ClassVar[Reactions[McpActivity, tuple[UtilityEvent, ...]]] = Reactions(
        {
            ConversationItemAdded: _on_stated,
            ConversationItemCreated: _on_stated,
            ConversationItemDeleted: _on_deleted,
            ConversationItemDone: _on_stated,
            McpListToolsCompleted: _on_listed,
            McpListToolsFailed: _on_not_listed,
            ResponseDone: _on_response,
            ResponseMcpCallArgumentsDone: _on_arguments,
            ResponseMcpCallCompleted: _on_call_ended,
            ResponseMcpCallFailed: _on_call_ended,
            ResponseMcpCallInProgress: _on_call_in_progress,
            ResponseOutputItemAdded: _on_stated,
            ResponseOutputItemDone: _on_stated,
        }
    )
    """What states items, and what is said of those on MCP servers."""
