"""Conversation events: items are created, finished, deleted, retrieved and truncated."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from attrs import field

from realtime_trio._frozen import frozen
from realtime_trio.events._base import WRITE_NULL, ClientEvent, ServerEvent
from realtime_trio.events.items import Item


@frozen(kw_only=True)
class ConversationItemCreate(ClientEvent):
    """Add an item.

    Answered by `ConversationItemAdded` and `ConversationItemDone`.  Starts no response.
    """

    type: ClassVar[Literal["conversation.item.create"]] = "conversation.item.create"
    """Wire name."""

    item: Item
    """The item."""
    previous_item_id: str | None = None
    """Insert behind this item; `root` inserts at the front; None appends."""


@frozen(kw_only=True)
class ConversationItemDelete(ClientEvent):
    """Remove an item.  Answered by `ConversationItemDeleted`."""

    type: ClassVar[Literal["conversation.item.delete"]] = "conversation.item.delete"
    """Wire name."""

    item_id: str
    """Which item."""


@frozen(kw_only=True)
class ConversationItemRetrieve(ClientEvent):
    """Ask for an item as the server keeps it, audio included.

    Answered by `ConversationItemRetrieved`.
    """

    type: ClassVar[Literal["conversation.item.retrieve"]] = "conversation.item.retrieve"
    """Wire name."""

    item_id: str
    """Which item."""


@frozen(kw_only=True)
class ConversationItemTruncate(ClientEvent):
    """Cut an assistant's audio to what the user heard.  Answered by `ConversationItemTruncated`."""

    type: ClassVar[Literal["conversation.item.truncate"]] = "conversation.item.truncate"
    """Wire name."""

    item_id: str
    """Which assistant message."""
    content_index: int
    """Which of its parts; 0."""
    # A duration of the item's own audio, unlike `audio_end_ms` of the input buffer's events, which
    # is a position in the audio of the session.
    audio_end_ms: int
    """Milliseconds of audio to keep; more than the item has is an error."""


@frozen(kw_only=True)
class ConversationInfo:
    """A conversation."""

    id: str | None = None
    """`conv_...`."""
    object: str | None = None
    """Always `realtime.conversation`."""


@frozen(kw_only=True)
class ConversationCreated(ServerEvent):
    """A conversation was created.

    Older servers send it right after `SessionCreated`, today's service never does.
    """

    type: ClassVar[Literal["conversation.created"]] = "conversation.created"
    """Wire name."""

    conversation: ConversationInfo
    """The conversation."""


@frozen(kw_only=True)
class ConversationItemCreated(ServerEvent):
    """An item was created, in the older protocol.

    Today's has two events for it, `ConversationItemAdded` and `ConversationItemDone`.
    """

    type: ClassVar[Literal["conversation.item.created"]] = "conversation.item.created"
    """Wire name."""

    item: Item
    """The item as far as it is known."""
    previous_item_id: str | None = field(default=None, metadata=WRITE_NULL)
    """Item before it; None for the first."""


# Every `previous_item_id` below is written as null when None: it says that the item is the first,
# not that its place is unknown.
@frozen(kw_only=True)
class ConversationItemAdded(ServerEvent):
    """An item entered the conversation.

    An item of the user is complete; an item of a response is empty and grows.
    """

    type: ClassVar[Literal["conversation.item.added"]] = "conversation.item.added"
    """Wire name."""

    item: Item
    """The item; its audio, transcript or arguments may still be missing."""
    previous_item_id: str | None = field(default=None, metadata=WRITE_NULL)
    """Item before it; None for the first."""


@frozen(kw_only=True)
class ConversationItemDone(ServerEvent):
    """An item has its final form."""

    type: ClassVar[Literal["conversation.item.done"]] = "conversation.item.done"
    """Wire name."""

    item: Item
    """The item, without audio."""
    previous_item_id: str | None = field(default=None, metadata=WRITE_NULL)
    """Item before it; None for the first."""


@frozen(kw_only=True)
class ConversationItemDeleted(ServerEvent):
    """An item was removed."""

    type: ClassVar[Literal["conversation.item.deleted"]] = "conversation.item.deleted"
    """Wire name."""

    item_id: str
    """Which item."""


@frozen(kw_only=True)
class ConversationItemRetrieved(ServerEvent):
    """The answer to `ConversationItemRetrieve`."""

    type: ClassVar[Literal["conversation.item.retrieved"]] = "conversation.item.retrieved"
    """Wire name."""

    item: Item
    """The item, audio included."""


@frozen(kw_only=True)
class ConversationItemTruncated(ServerEvent):
    """An assistant's audio was cut; its transcript is gone from the server's context."""

    type: ClassVar[Literal["conversation.item.truncated"]] = "conversation.item.truncated"
    """Wire name."""

    item_id: str
    """Which item."""
    content_index: int
    """Which of its parts."""
    audio_end_ms: int
    """Milliseconds of audio that are left."""


CLIENT: Final[tuple[type[ClientEvent], ...]] = (
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
)
"""What a client sends."""

SERVER: Final[tuple[type[ServerEvent], ...]] = (
    ConversationCreated,
    ConversationItemCreated,
    ConversationItemAdded,
    ConversationItemDone,
    ConversationItemDeleted,
    ConversationItemRetrieved,
    ConversationItemTruncated,
)
"""What a server sends."""
