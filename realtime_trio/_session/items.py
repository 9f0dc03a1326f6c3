"""What can be done to single items of the conversation.

Owns inserting, deleting, retrieving and truncating: each waits until the server has done it.
"""

from __future__ import annotations

import math

import trio

from realtime_trio._misuse import check_number, kind_of
from realtime_trio._session.ids import with_id
from realtime_trio._session.input_audio import InputAudioSession
from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    Item,
    OutputAudio,
    RealtimeSession,
    UnknownObject,
)

ItemOrId = str | ConversationItem | Item
"""What says which item is meant: its id, or the item itself."""


class ItemSession(InputAudioSession[RealtimeSession]):
    """Base of sessions that hold a conversation with items that come and go."""

    async def insert_item(
        self, item: Item, *, previous_item_id: ItemOrId | None = None
    ) -> ConversationItem:
        """Add an item to the conversation and wait until the server has taken it.

        This does not start a response.

        Args:
            item: The item; it gets an id if it has none.
            previous_item_id: Insert after this item, given by its id or itself; `root` at the
                front; None appends.

        Raises:
            ServerError: The server refused it.
            LocalProtocolError, TypeError: It is not an item, or does not fit the protocol; nothing
                was sent.
            SessionClosed: The session ended before the answer came.
        """
        if isinstance(item, UnknownObject):
            raise LocalProtocolError(
                "only items of known types can be inserted; send others with send_raw()"
            )
        if not isinstance(item, Item):
            raise TypeError(
                'insert_item() takes an item such as UserMessage.text("Hello"), '
                f"not {kind_of(item)}"
            )
        item = with_id(item, self._new_id)
        after = None if previous_item_id is None else id_of(previous_item_id)
        await self._request(ConversationItemCreate(item=item, previous_item_id=after))
        return self._known_item(str(item.id))

    async def delete_item(self, item_id: ItemOrId) -> None:
        """Delete an item and wait until it is gone.

        One that the present server was not told of, after a reconnection, is gone at once.

        Args:
            item_id: The item, or its id.

        Raises:
            ServerError: The server refused, e.g. because there is no such item.
            LocalProtocolError, TypeError: This is not an item that has an id; nothing was sent.
            SessionClosed: The session ended before the answer came.
        """
        item_id = id_of(item_id)
        await trio.lowlevel.checkpoint()
        self._check_open()
        if not self._forget_left_behind(item_id):
            await self._request(ConversationItemDelete(item_id=item_id))

    async def retrieve_item(self, item_id: ItemOrId) -> ConversationItem:
        """Fetch an item as the server keeps it, audio included, into the conversation.

        Args:
            item_id: The item, or its id.

        Raises:
            ServerError: The server refused, e.g. because there is no such item.
            LocalProtocolError, TypeError: This is not an item that has an id; nothing was sent.
            SessionClosed: The session ended before the answer came.
        """
        item_id = id_of(item_id)
        await self._request(ConversationItemRetrieve(item_id=item_id))
        return self._known_item(item_id)

    async def truncate(
        self, item_id: ItemOrId, audio_end_ms: float, *, content_index: int = 0
    ) -> ConversationItem:
        """Cut an assistant message to what the user heard, and wait until the server has done so.

        Args:
            item_id: The message, or its id.
            audio_end_ms: Milliseconds to keep, 0 or more; a fraction is rounded.
            content_index: Its part.

        Raises:
            ServerError: The server refused, e.g. because there is less audio.
            LocalProtocolError, TypeError: This is not an item that has an id, or not a length;
                nothing was sent.
            SessionClosed: The session ended before the answer came.
        """
        item_id = id_of(item_id)
        check_number(
            "audio_end_ms",
            audio_end_ms,
            lambda ms: 0 <= ms < math.inf,
            allowed="0 or more milliseconds",
        )
        await self._request(
            ConversationItemTruncate(
                item_id=item_id, content_index=content_index, audio_end_ms=round(audio_end_ms)
            )
        )
        return self._known_item(item_id)

    def _forget_left_behind(self, item_id: str) -> bool:
        """Delete an item if it is one that the present server was not told of; say whether it was.

        That one would refuse to delete it.
        """
        if not self._conversation.is_left_behind(item_id):
            return False
        deleted = ConversationItemDeleted(event_id=self._new_id("event_"), item_id=item_id)
        for event in self._concerned.tell(deleted):
            self._hub.publish(event)
        return True

    def _known_item(self, item_id: str) -> ConversationItem:
        item = self._conversation.get(item_id)
        if item is None:  # deleted since, or not of this session
            raise LocalProtocolError(f"there is no item {item_id!r} in the conversation")
        return item

    def _spoken_item(self, item_id: str) -> ConversationItem:
        item = self._conversation.get(item_id)
        if item is None:
            raise LocalProtocolError(f"there is no item {item_id!r} in the conversation")
        if item.type != "message" or item.role != "assistant":
            raise LocalProtocolError(
                f"item {item_id!r} is not an assistant message; only those can be interrupted"
            )
        if not any(isinstance(part, OutputAudio) for part in item.parts) or item.audio_ms == 0:
            raise LocalProtocolError(f"item {item_id!r} has no audio that could be cut")
        return item


def id_of(item: ItemOrId) -> str:
    """The id of an item that is given by its id or by itself.

    Raises:
        TypeError: It is neither.
        LocalProtocolError: It has no id, since it was never in a conversation.
    """
    if isinstance(item, str):
        return item
    if not isinstance(item, ItemOrId):
        raise TypeError(f"an item is named by its id or by itself, not by {kind_of(item)}")
    if item.id is None:
        raise LocalProtocolError(
            "this item has no id, so nobody else knows it; insert_item() returns one that has"
        )
    return item.id
