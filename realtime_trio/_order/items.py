"""Rules about the items of the conversation, on both sides of the wire."""

from __future__ import annotations

from collections.abc import Iterable

from realtime_trio._order.wire_log import Complaints, WireLog, status_of
from realtime_trio.events import (
    AssistantMessage,
    ClientEvent,
    ContentPart,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ConversationItemTruncated,
    Event,
    FunctionCallOutput,
    InputAudio,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    Item,
    McpCall,
    McpListTools,
    OutputAudio,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    UserMessage,
)


def items_are_added_once(so_far: WireLog, event: Event) -> Complaints:
    """`conversation.item.added` comes once for every item."""
    # An id that a client uses twice is not refused: the second item was seen to be added behind
    # itself.
    if (
        isinstance(event, ConversationItemAdded)
        and event.item.id in so_far.items
        and event.previous_item_id != event.item.id
    ):
        yield f"item {event.item.id} was added before"


def items_are_done_once_added(so_far: WireLog, event: Event) -> Complaints:
    """`conversation.item.done` comes once, after `conversation.item.added`, at the same place."""
    if not isinstance(event, ConversationItemDone):
        return
    entry = so_far.items.get(event.item.id or "")
    if entry is None:
        # What becomes of an item that is deleted while it grows is not documented.
        if event.item.id not in so_far.deleted:
            yield f"item {event.item.id} is done, but was never added"
        return
    # An MCP call may be done twice: with its arguments, and again with its output.
    if entry.is_done and not isinstance(event.item, McpCall):
        yield f"item {event.item.id} was done before"
    if event.previous_item_id != entry.previous and entry.previous not in so_far.deleted:
        yield (
            f"item {event.item.id} was added behind {entry.previous} "
            f"and is done behind {event.previous_item_id}"
        )


def items_are_done_before_the_next(so_far: WireLog, event: Event) -> Complaints:
    """An item that the client or the user has made is done before the next of them is added."""
    if isinstance(event, ConversationItemAdded) and _is_whole(so_far, event.item):
        for item_id, entry in so_far.items.items():
            if not entry.is_done and _is_whole(so_far, entry.item):
                yield (
                    f"item {event.item.id} is added, but {item_id} was added before and is not done"
                )


def _is_whole(so_far: WireLog, item: Item) -> bool:
    """Whether an item is complete when it is added: nothing streams into it."""
    return item.id not in so_far.outputs and not isinstance(item, McpCall | McpListTools)


def items_stand_where_they_belong(so_far: WireLog, event: Event) -> Complaints:
    """An item is added behind the last one, or where the client asked for it."""
    if not isinstance(event, ConversationItemAdded) or (
        event.item.id in so_far.items and event.previous_item_id == event.item.id
    ):
        return
    request = so_far.request_of(event.item)
    if so_far.is_unsure and request in so_far.nameless:
        return
    asked = request.previous_item_id if request is not None else None
    previous = event.previous_item_id
    if asked == "root":
        if previous is not None:
            yield f"item {event.item.id} was to be the first, and is added behind {previous}"
    elif asked:
        if previous != asked:
            yield (
                f"item {event.item.id} was to stand behind {asked}, and is added behind {previous}"
            )
    elif not so_far.has_client and event.item.id not in so_far.outputs:
        # Without the client's side, it is not known where the client wanted it.
        if previous is not None and previous not in so_far.items:
            yield f"item {event.item.id} is added behind {previous}, which is not there"
    elif previous != so_far.last:
        yield (
            f"item {event.item.id} has previous_item_id {previous}, "
            f"but the last item is {so_far.last}"
        )


def items_have_their_status(so_far: WireLog, event: Event) -> Complaints:
    """An output is `in_progress` when it is added, `completed` or `incomplete` when it is done.

    Every other item is `completed` from the start.
    """
    allowed: tuple[str, ...]
    match event:
        case ConversationItemAdded(item=item):
            allowed = ("in_progress",) if item.id in so_far.outputs else ("completed",)
        case ConversationItemDone(item=item):
            allowed = ("completed", "incomplete") if item.id in so_far.outputs else ("completed",)
        case ResponseOutputItemAdded(item=item):
            allowed = ("in_progress",)
        case ResponseOutputItemDone(item=item):
            # As the conversation has shown it, which comes first.
            final = so_far.outputs[item.id].final if item.id in so_far.outputs else None
            known = status_of(final) if final is not None else None
            allowed = ("completed", "incomplete") if known is None else (known,)
        case _:
            return
    status = status_of(item)
    # Not every kind of item has a status.
    if status is not None and status not in allowed:
        yield f"{event.type} shows item {item.id} as {status}; it should be {' or '.join(allowed)}"


def deleted_items_are_gone(so_far: WireLog, event: Event) -> Complaints:
    """Only items of the conversation are deleted, retrieved and truncated."""
    match event:
        case ConversationItemDeleted(item_id=item_id) | ConversationItemTruncated(item_id=item_id):
            pass
        case ConversationItemRetrieved(item=item):
            item_id = item.id or ""
        case _:
            return
    if item_id not in so_far.items:
        yield f"{event.type} is about item {item_id}, which " + (
            "was deleted" if item_id in so_far.deleted else "was never added"
        )


def requests_come_before_their_answers(so_far: WireLog, event: Event) -> Complaints:
    """Nothing is deleted, retrieved, truncated or cleared unless the client asked for it."""
    # On a WebSocket.  In WebRTC and SIP calls the service truncates by itself when the user
    # interrupts.
    kind: type[ClientEvent]
    item_id: str | None = None
    match event:
        case ConversationItemDeleted():
            kind, item_id = ConversationItemDelete, event.item_id
        case ConversationItemRetrieved():
            kind, item_id = ConversationItemRetrieve, event.item.id
        case ConversationItemTruncated():
            kind, item_id = ConversationItemTruncate, event.item_id
        case InputAudioBufferCleared():
            kind = InputAudioBufferClear
        case _:
            return
    if so_far.has_client and so_far.asked[kind, item_id] <= 0:
        yield f"{event.type} answers nothing: the client did not send {kind.type}" + (
            f" for {item_id}" if item_id else ""
        )


def truncations_shorten(so_far: WireLog, event: Event) -> Complaints:
    """An item that was truncated can only become shorter."""
    if (
        isinstance(event, ConversationItemTruncated)
        and (entry := so_far.items.get(event.item_id)) is not None
    ):
        before = entry.audio_end_ms
        if before is not None and event.audio_end_ms > before:
            yield (
                f"item {event.item_id} was cut at {before} ms, "
                f"and is now cut at {event.audio_end_ms} ms"
            )


def audio_travels_in_deltas(_: WireLog, event: Event) -> Complaints:
    """Items and parts are shown without audio, except where the client retrieves them."""
    items: Iterable[Item] = ()
    match event:
        case (
            ConversationItemAdded()
            | ConversationItemDone()
            | ResponseOutputItemAdded()
            | ResponseOutputItemDone()
        ):
            items = (event.item,)
        case ResponseDone(response=response):
            items = response.output
        case (
            ResponseContentPartAdded(part=ContentPart(audio=audio))
            | ResponseContentPartDone(part=ContentPart(audio=audio))
        ) if audio:
            yield f"{event.type} carries audio"
    for item in items:
        parts = item.content if isinstance(item, UserMessage | AssistantMessage) else ()
        if any(isinstance(part, InputAudio | OutputAudio) and part.audio for part in parts):
            yield f"{event.type} carries the audio of item {item.id}"


def clients_name_items_that_are_there(so_far: WireLog, event: Event) -> Complaints:
    """A client names only items that are in the conversation, or that it has created."""
    match event:
        case (
            ConversationItemDelete(item_id=item_id)
            | ConversationItemRetrieve(item_id=item_id)
            | ConversationItemTruncate(item_id=item_id)
        ):
            pass
        case ConversationItemCreate(previous_item_id=str(item_id)) if item_id not in ("", "root"):
            pass
        case _:
            return
    # An item that the client has created may be named before the server has added it: requests are
    # taken in order.
    if item_id not in so_far.items and (item_id not in so_far.created or item_id in so_far.deleted):
        yield f"{event.type} names item {item_id}, which " + (
            "was deleted" if item_id in so_far.deleted else "was never there"
        )


def clients_answer_calls_once(so_far: WireLog, event: Event) -> Complaints:
    """The output of a function answers a call that was made, and that was not answered yet."""
    if isinstance(event, ConversationItemCreate) and isinstance(event.item, FunctionCallOutput):
        is_answered = so_far.calls.get(event.item.call_id)
        if is_answered is None:
            yield f"there is no call {event.item.call_id} that could be answered"
        elif is_answered:
            yield f"the call {event.item.call_id} was answered before"
