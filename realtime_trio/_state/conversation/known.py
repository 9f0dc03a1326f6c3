"""The items and responses that the server has spoken of, and what is told when they change.

Owns which items are known, which of them are in the conversation and in which order, which
responses run, and what is over.  How the content of an item is read is in
`_state.conversation.content`; which event changes what is in `_state.conversation.reducer`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from realtime_trio._state.conversation.audio import Encoding
from realtime_trio._state.conversation.content import Change, comes_from_server
from realtime_trio._state.conversation.item import ConversationItem, GrowingResponse, ItemPhase
from realtime_trio._state.conversation.order import ItemOrder, Items
from realtime_trio._state.recent import Recent
from realtime_trio._state.utility_events import (
    Delta,
    DeltaDropped,
    ItemAppended,
    ItemCompleted,
    ItemDeleted,
    ItemUpdated,
    ToolCallRequested,
    UtilityEvent,
)
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreated,
    ConversationItemDone,
    Item,
    Response,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
)

_REMEMBERED: Final = 64  # Ids of what is over, for stragglers; they follow within moments.
_NO_CHANGES: Final[Mapping[ConversationItem, list[Change]]] = MappingProxyType({})


class KnownItems:
    """The items and responses of one conversation, by their ids."""

    def __init__(self) -> None:
        self.by_id: dict[str, ConversationItem] = {}
        """Every item that is known, shown or not; for those who look one up with every delta."""
        self._order = ItemOrder()
        self._running: dict[str, GrowingResponse] = {}
        self._over = Recent(_REMEMBERED)
        self._deleted = Recent(_REMEMBERED)

    @property
    def shown(self) -> Items:
        """The items of the conversation, in order."""
        return self._order.items

    def get(self, item_id: str | None) -> ConversationItem | None:
        """The item of this id, shown or not; None if there is none."""
        return None if item_id is None else self.by_id.get(item_id)

    def made_by(self, response_id: str) -> tuple[ConversationItem, ...]:
        """What a running response has made."""
        growing = self._running.get(response_id)
        return () if growing is None else tuple(growing.items)

    # --- items ------------------------------------------------------------------------------------

    def described(self, wire: Item, *, is_new: bool = True) -> ConversationItem | None:
        """The item that the server describes, made if it is unknown; None if it has no id.

        Args:
            wire: What the server says of it.
            is_new: Whether the server says so of an item that may be new.  What was said to be
                deleted is made anew only then: its response may run on and finish it.
        """
        if wire.id is None:
            return None
        item = self.by_id.get(wire.id)
        if item is None:
            if wire.id in self._deleted and not is_new:
                return None
            self._deleted.discard(wire.id)
            item = self.by_id[wire.id] = ConversationItem(id=wire.id, type=wire.type)
        return item

    def output(self, wire: Item, response_id: str) -> ConversationItem | None:
        """The item that a response describes; None if it is a straggler that nobody knows."""
        return None if wire.id is None else self.expect(wire.id, response_id, wire.type, None)

    def expect(
        self, item_id: str, response_id: str | None, kind: str | None, role: str | None
    ) -> ConversationItem | None:
        """The item of this id, made if it is new.

        None if it was deleted, or if nobody knows it and its response is over.
        """
        item = self.by_id.get(item_id)
        if item is None:
            if item_id in self._deleted or response_id in self._over:
                return None
            item = self.by_id[item_id] = ConversationItem(id=item_id, type=kind, role=role)
        if response_id is not None and item._response is None:
            if response_id in self._over:
                item._response = GrowingResponse(response_id, is_over=True, is_stopped=True)
            else:
                item._response = self._response(response_id)
                item._response.items.append(item)
        return item

    def expect_call(
        self,
        event: ResponseFunctionCallArgumentsDelta
        | ResponseFunctionCallArgumentsDone
        | ResponseMcpCallArgumentsDelta
        | ResponseMcpCallArgumentsDone,
    ) -> ConversationItem | None:
        """The call that such arguments are for; otherwise like `expect`."""
        if isinstance(event, ResponseMcpCallArgumentsDelta | ResponseMcpCallArgumentsDone):
            return self.expect(event.item_id, event.response_id, "mcp_call", None)
        item = self.expect(event.item_id, event.response_id, "function_call", None)
        if item is not None and not item._is_shown:
            item._call_id = item._call_id or event.call_id or None
        return item

    def delete(self, item_id: str) -> tuple[UtilityEvent, ...]:
        """Forget an item but for its id, so that no straggler brings it back."""
        item = self.by_id.pop(item_id, None)
        if item is None:
            return ()
        self._deleted.add(item_id)
        if not item._is_shown:
            return ()
        self._order.remove(item)
        return (ItemDeleted(item=item),)

    def place(
        self,
        item: ConversationItem,
        event: ConversationItemAdded | ConversationItemCreated | ConversationItemDone,
    ) -> list[Change]:
        """Take the server's word for where an item stands."""
        follows = item._response is not None or item._is_committed or comes_from_server(event.item)
        return [None] if self._order.place(item, event.previous_item_id, follows=follows) else []

    def become(self, item: ConversationItem, status: str) -> list[Change]:
        """Set the status.  What is complete stays complete.

        That an item becomes complete is not a change but told as `ItemCompleted`.
        """
        if status == "in_progress" or item._status in ("completed", status):
            return []
        item._status = status
        for part in item._parts.values():
            if part.track is not None:
                part.track.close()
        if status == "completed":
            return []
        item._is_interrupted = item._is_interrupted or item._is_stopped
        return [None]

    # --- responses --------------------------------------------------------------------------------

    def begin(self, response: Response, *, is_out_of_band: bool) -> None:
        """A response has begun."""
        self._over.discard(response.id)
        growing = self._response(response.id)
        # An item that the server has announced is in the conversation, whatever the response says.
        growing.is_out_of_band = is_out_of_band and not any(
            item._is_shown for item in growing.items
        )
        output = response.audio and response.audio.output
        growing.encoding = Encoding.of(output.format) if output else None

    def cancel(self, response_id: str | None) -> None:
        """A response was cancelled, or with None all that run in the conversation."""
        for growing in self._running.values():
            if growing.id == response_id or (response_id is None and not growing.is_out_of_band):
                growing.is_stopped = True

    def is_out_of_band(self, response: Response) -> bool:
        """Whether a response that ends has no place in the conversation.

        One whose beginning was not seen is out of band if it says so itself.
        """
        growing = self._running.get(response.id)
        if growing is None:
            return response.conversation_id is None
        return growing.is_out_of_band and not isinstance(response.conversation_id, str)

    def end(
        self, response: Response, changes: Mapping[ConversationItem, list[Change]]
    ) -> list[UtilityEvent]:
        """Settle what a response leaves open, and tell that with the changes of its end."""
        growing = self._running.pop(response.id, None) or GrowingResponse(response.id)
        if response.id:
            self._over.add(response.id)
        return self._settle(growing, response.status, changes)

    def end_all(self) -> list[UtilityEvent]:
        """The session is gone: end all running responses as if they were cancelled.

        What grew outside of them, such as the output of a tool server, stays as it is, too.
        """
        running = list(self._running.values())
        self._running.clear()
        events = [told for growing in running for told in self._settle(growing, "cancelled")]
        for item in self.by_id.values():
            if item._status == "in_progress":
                events += self.tell(item, self.become(item, "incomplete"))
        return events

    def show_committed(self) -> list[UtilityEvent]:
        """Put messages in that were made of the input buffer and not announced yet."""
        events: list[UtilityEvent] = []
        for item in self.by_id.values():
            if item._is_committed and not item._is_shown:
                events += self.tell(item, self.become(item, "completed"), reveal=True)
        return events

    def _response(self, response_id: str) -> GrowingResponse:
        return self._running.setdefault(response_id, GrowingResponse(response_id))

    def _settle(
        self,
        growing: GrowingResponse,
        status: str | None,
        changes: Mapping[ConversationItem, list[Change]] = _NO_CHANGES,
    ) -> list[UtilityEvent]:
        events: list[UtilityEvent] = []
        for item in dict.fromkeys((*changes, *growing.items)):
            deltas = changes.get(item, [])
            if self.by_id.get(item._id) is not item:
                pass  # deleted
            elif growing.is_out_of_band and not item._is_shown:
                del self.by_id[item._id]
            else:
                if item._status == "in_progress":
                    deltas += self.become(
                        item, "completed" if status == "completed" else "incomplete"
                    )
                if (
                    status == "cancelled"
                    and item._status == "incomplete"
                    and not item._is_interrupted
                ):
                    item._is_interrupted = True
                    deltas.append(None)
                events += self.tell(item, deltas, reveal=True)
        # Only now: what the end itself has brought is not a straggler.
        growing.is_over = growing.is_stopped = True
        return events

    # --- telling ----------------------------------------------------------------------------------

    def tell(
        self,
        item: ConversationItem,
        deltas: Iterable[Change],
        *,
        reveal: bool = False,
        announced: bool = False,
    ) -> tuple[UtilityEvent, ...]:
        """Tell what has changed of an item.

        Args:
            item: The item, as it is now.
            deltas: What has changed; several changes without a delta are told once.
            reveal: Whether the event shows that the item is in the conversation, unless its
                response is out of band.
            announced: Whether the event says so itself.
        """
        appears = not item._is_shown and (
            announced or (reveal and not item._response_is_out_of_band)
        )
        if not item._is_shown and not appears:
            return ()
        known = list(deltas)
        if item._is_stopped:
            # The whole of a cancelled response is adopted, since the model remembers it; but as a
            # change without a delta, so that nobody plays or prints it.
            known = [None for _ in known]
        told: list[Change] = [delta for delta in known if delta is not None]
        if not appears and len(told) < len(known):
            told.append(None)
        if appears and item._response is None:
            # Nobody follows the growth of what the user or the client made: `ItemAppended` brings
            # it as a whole.  The deltas of an answer are told even if they come first, so that they
            # are all of it.
            told.clear()
        events: list[UtilityEvent] = [ItemUpdated(item=item, delta=delta) for delta in told]
        if appears:
            self._order.show(item)
            events.append(ItemAppended(item=item))
        if item._status == "completed" and not item.is_complete:
            item._reach(ItemPhase.COMPLETE)
            events.append(ItemCompleted(item=item))
        return tuple(events)

    def reveal(self, item: ConversationItem, update: ItemUpdated) -> tuple[UtilityEvent, ...]:
        """Tell of a delta of an item that was not shown before."""
        return () if item._response_is_out_of_band else (update, *self.tell(item, (), reveal=True))

    def request(self, item: ConversationItem) -> tuple[UtilityEvent, ...]:
        """Tell that a call is to be made, once.

        That needs both the response, which has completed it, and the conversation, which has it.
        They say so in either order.
        """
        if (
            item._response is None
            or item not in item._response.completed
            or item._phase is not ItemPhase.COMPLETE
            or (call := item.call) is None
        ):
            return ()
        item._reach(ItemPhase.REQUESTED)
        return (ToolCallRequested(call=call, item=item),)


def drop(item: ConversationItem, delta: Delta) -> tuple[UtilityEvent, ...]:
    """Tell that a straggler was left out."""
    return (DeltaDropped(item=item, delta=delta),) if item._is_shown else ()
