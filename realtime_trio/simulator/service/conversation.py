"""The server's side of the conversation: items in their order, and what may be done to them.

Owns where items stand, and which items a client may make.  What an item is to the server is in
`item_entry`; which events tell of them is not known here.
"""

from __future__ import annotations

from collections import Counter

import attrs

from realtime_trio.events import (
    AssistantMessage,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputItem,
    InputText,
    ItemReference,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
    OutputText,
    SystemMessage,
    UnknownObject,
    UserMessage,
)
from realtime_trio.simulator.service.item_entry import ItemEntry, KnownItem
from realtime_trio.simulator.service.refusal import (
    Refusal,
    audio_bytes,
    check_length,
    check_name,
    missing,
    unsupported,
)
from realtime_trio.simulator.service.visible_items import VisibleItems

_ITEM_TYPES = (
    "message",
    "function_call",
    "function_call_output",
    "mcp_approval_response",
    "mcp_list_tools",
    "mcp_call",
    "mcp_approval_request",
)
_ROLES = (SystemMessage.role, UserMessage.role, AssistantMessage.role)
# Text alone for the assistant: the service does not take speech of the model from a client, so a
# conversation that is restored has its words and not its sound.
_CONTENT = {
    SystemMessage: (InputText,),
    UserMessage: (InputText, InputAudio, InputImage),
    AssistantMessage: (OutputText,),
}
# Limits that the live service was seen to keep; for ids, not yet with its newest models.
_MAX_ID = 32
_MAX_TEXT = 256_000


class ServerConversation:
    """The items, in order."""

    # Nothing here looks through all items: a conversation may be long, and every turn adds to it.

    def __init__(self, conversation_id: str) -> None:
        self.id = conversation_id
        self.visible = VisibleItems()
        """What of it the model sees."""
        self._entries: list[ItemEntry] = []
        self._by_id: dict[str, list[ItemEntry]] = {}
        """The items of each id, the newest last."""
        self._mentions: Counter[tuple[type[KnownItem], str | None]] = Counter()
        """How many items there are of a kind about a call or a request."""
        self._spoken: set[ItemEntry] = set()
        """The items with speech of the model."""

    @property
    def entries(self) -> tuple[ItemEntry, ...]:
        """The items, in order; a copy."""
        return tuple(self._entries)

    @property
    def last_id(self) -> str | None:
        """Id of the last item."""
        return self._entries[-1].id if self._entries else None

    @property
    def has_spoken(self) -> bool:
        """Whether the model's speech is in it."""
        return bool(self._spoken)

    def find(self, item_id: str) -> ItemEntry | None:
        """The item of this id; the newest if there are several, which the service allows."""
        return self._by_id[item_id][-1] if item_id in self._by_id else None

    def get(self, item_id: str, doing: str, code: str) -> ItemEntry:
        """The item of this id.

        Raises:
            Refusal: There is none.
        """
        entry = self.find(item_id)
        if entry is None:
            # Without a `param`, unlike other refusals of values; clients find the id in the text.
            raise Refusal(
                f"Error {doing} item: the item with id '{item_id}' does not exist.", code=code
            )
        return entry

    def insert(self, entry: ItemEntry, previous_item_id: str | None = None) -> str | None:
        """Put an item after another one, `"root"` meaning the front and None or `""` the end.

        Returns:
            Id of the item before it, None for the first.

        Raises:
            Refusal: There is no such item to put it after.
        """
        # Events never say "root": they show the first item without one before it.
        previous = None if previous_item_id == "root" else self.last_id
        position = 0 if previous_item_id == "root" else len(self._entries)
        if previous_item_id and previous_item_id != "root":
            before = self.find(previous_item_id)
            if before is None:
                raise Refusal(
                    f"Error adding item: the previous item with id '{previous_item_id}' "
                    "does not exist.",
                    code="item_create_invalid_previous_item_id",
                )
            previous, position = before.id, self._position(before) + 1
        behind = (other for other in self._entries[position:] if not other.is_left_out)
        self.visible.insert(entry, before=next(behind, None))
        self._entries.insert(position, entry)
        self._by_id.setdefault(entry.id, []).append(entry)
        self._mentions[_mention(entry.item)] += 1
        entry.on_change = self._note_change
        return previous

    def remove(self, entry: ItemEntry) -> None:
        """Take an item out."""
        entry.on_change = None
        del self._entries[self._position(entry)]
        if not entry.is_left_out:
            self.visible.remove(entry)
        namesakes = self._by_id[entry.id]
        namesakes.remove(entry)
        if not namesakes:
            del self._by_id[entry.id]
        self._mentions[_mention(entry.item)] -= 1
        self._spoken.discard(entry)

    def _position(self, entry: ItemEntry) -> int:
        # From the end, where clients insert and delete.
        position = len(self._entries) - 1
        while self._entries[position] is not entry:
            position -= 1
        return position

    def _note_change(self, entry: ItemEntry) -> None:
        self.visible.note_change(entry)
        if entry.spoken:
            self._spoken.add(entry)
        else:
            self._spoken.discard(entry)

    def check_call(self, item: KnownItem) -> None:
        """Refuse the output of a call that was never made, and an approval that nobody asked for.

        A request that is answered already asks no more.
        """
        if isinstance(item, McpApprovalResponse):
            self._check_approval(item.approval_request_id)
        # Restored conversations are checked as well: a call has to be inserted before its output.
        if isinstance(item, FunctionCallOutput) and not self._mentions[FunctionCall, item.call_id]:
            raise Refusal(
                f"Tool call ID '{item.call_id}' not found in conversation.",
                code="invalid_tool_call_id",
            )

    def _check_approval(self, request_id: str) -> None:
        if not self._mentions[McpApprovalRequest, request_id]:
            raise Refusal(
                f"Approval request ID '{request_id}' not found in conversation.",
                code="invalid_approval_request_id",
            )
        if self._mentions[McpApprovalResponse, request_id]:
            raise Refusal(
                f"Approval request ID '{request_id}' is already answered.",
                code="invalid_approval_request_id",
            )


def _mention(item: KnownItem) -> tuple[type[KnownItem], str | None]:
    """The call or the request that an item is about, with the kind of the item."""
    match item:
        case FunctionCall(call_id=name) | McpApprovalResponse(approval_request_id=name):
            return type(item), name
        case _:
            return type(item), item.id


def check_item(item: InputItem, param: str) -> KnownItem:
    """Check an item that a client made up.

    Returns:
        The item itself.

    Raises:
        Refusal: A client cannot make such an item.
    """
    match item:
        case UnknownObject(type="message"):
            role = item.raw.get("role")
            raise unsupported(role if isinstance(role, str) else None, _ROLES, f"{param}.role")
        case UnknownObject() | ItemReference():  # references have a place in responses only
            raise unsupported(item.type, _ITEM_TYPES, f"{param}.type")
        case SystemMessage() | UserMessage() | AssistantMessage():
            _check_content(item, param)
        case FunctionCall(call_id=call_id):
            if call_id is not None:
                check_name(call_id, _MAX_ID, f"{param}.call_id")
    check_length(item.id, _MAX_ID, f"{param}.id")
    return item


def _check_content(message: SystemMessage | UserMessage | AssistantMessage, param: str) -> None:
    allowed = _CONTENT[type(message)]
    for index, part in enumerate(message.content):
        where = f"{param}.content[{index}]"
        if not isinstance(part, allowed):
            raise unsupported(part.type, [cls.type for cls in allowed], f"{where}.type")
        match part:
            case InputText(text=text) | OutputText(text=text):
                check_length(text, _MAX_TEXT, f"{where}.text")
            case InputAudio(audio=audio) if audio is not None:
                audio_bytes(audio, f"{where}.audio")
            case InputImage(image_url=None):
                raise missing(f"{where}.image_url")


def with_identity(item: KnownItem, item_id: str, call_id: str) -> KnownItem:
    """The item as the server keeps it: with ids, and with the status that its kind has.

    Args:
        item: What the client sent.
        item_id: Its id.
        call_id: For a call that came without one.
    """
    # Whatever a client says, its items are complete; and items in events have no `object`, though
    # the specification allows it.
    match item:
        case McpApprovalResponse() | McpListTools() | McpCall() | McpApprovalRequest():
            return attrs.evolve(item, id=item_id)
        case FunctionCall():
            # Without an id of the call no output could answer it.
            return attrs.evolve(
                item, id=item_id, status="completed", call_id=item.call_id or call_id, object=None
            )
        case _:
            return attrs.evolve(item, id=item_id, status="completed", object=None)
