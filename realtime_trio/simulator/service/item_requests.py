"""What clients ask of items, and the messages that become of the user's audio.

Owns which events say that an item came, went or changed.  What an item may be, and where it stands,
is the conversation's business.
"""

from __future__ import annotations

from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AudioFormat,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ConversationItemTruncated,
    InputAudio,
    InputAudioBufferCommitted,
    McpApprovalResponse,
    UserMessage,
)
from realtime_trio.simulator.service.conversation import (
    ServerConversation,
    check_item,
    with_identity,
)
from realtime_trio.simulator.service.item_entry import ItemEntry
from realtime_trio.simulator.service.lifecycle import ServerOutbox
from realtime_trio.simulator.service.mcp import HostedTools


class ItemRequests:
    """The items of one session, as its client changes them.

    What is asked of an item that does not exist, or cannot be done to it, raises `Refusal` and
    changes nothing.

    Args:
        conversation: Where they are kept.
        hosted: What is told of approvals.
        outbox: Where events go.
    """

    def __init__(
        self, conversation: ServerConversation, hosted: HostedTools, outbox: ServerOutbox
    ) -> None:
        self._conversation = conversation
        self._hosted = hosted
        self._out = outbox

    def create(
        self, request: ConversationItemCreate, audio_format: AudioFormat, now: float
    ) -> None:
        """Insert an item of the client.

        Args:
            request: What the client sent.
            audio_format: Encoding of the audio in it.
            now: The present time.
        """
        checked = check_item(request.item, "item")
        self._conversation.check_call(checked)
        # A second item of the same id is not refused: the live service appends it, too.
        item_id = checked.id or self._out.new_id("item_")
        entry = ItemEntry(
            item_id, with_identity(checked, item_id, self._out.new_id("call_")), audio_format
        )
        self._announce(entry, self._conversation.insert(entry, request.previous_item_id))
        # The answer is an item like any other, and comes before the call that it allows.
        if isinstance(checked, McpApprovalResponse):
            self._hosted.answer(checked, now)

    def commit(self, item_id: str, audio: bytes, audio_format: AudioFormat) -> ItemEntry:
        """Make a message of the user's audio; returns where it is kept."""
        message = UserMessage(
            id=item_id, status="completed", content=(InputAudio(AudioData(audio)),)
        )
        entry = ItemEntry(item_id, message, audio_format)
        # The commit names the item first: clients note it, to know which audio became of the item.
        previous = self._conversation.insert(entry)
        self._out.send(
            InputAudioBufferCommitted(
                event_id=self._out.event_id(), item_id=item_id, previous_item_id=previous
            )
        )
        self._announce(entry, previous)
        return entry

    def delete(self, item_id: str) -> None:
        """Take an item out, even one that the model is still making: nobody says it may not be."""
        entry = self._conversation.get(item_id, "deleting", "item_delete_invalid_item_id")
        self._conversation.remove(entry)
        self._out.send(ConversationItemDeleted(event_id=self._out.event_id(), item_id=item_id))

    def retrieve(self, item_id: str) -> None:
        """Show an item with its audio, which no other event does."""
        entry = self._conversation.get(item_id, "retrieving", "item_retrieve_invalid_item_id")
        self._out.send(ConversationItemRetrieved(event_id=self._out.event_id(), item=entry.whole))

    def truncate(self, request: ConversationItemTruncate) -> None:
        """Drop what the user did not hear of the model's speech."""
        entry = self._conversation.get(
            request.item_id, "truncating", "item_truncate_invalid_item_id"
        )
        entry.truncate(request.content_index, request.audio_end_ms)
        self._out.send(
            ConversationItemTruncated(
                event_id=self._out.event_id(),
                item_id=request.item_id,
                content_index=request.content_index,
                audio_end_ms=request.audio_end_ms,
            )
        )

    def _announce(self, entry: ItemEntry, previous: str | None) -> None:
        # Both at once, since nothing streams of it.  `conversation.item.created`, which the
        # reference still mentions, is never sent.
        self._out.send(
            ConversationItemAdded(
                event_id=self._out.event_id(), item=entry.shown, previous_item_id=previous
            )
        )
        self._out.send(
            ConversationItemDone(
                event_id=self._out.event_id(), item=entry.shown, previous_item_id=previous
            )
        )
