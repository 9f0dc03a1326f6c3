"""Rules about the user's audio: from the first word to the transcript."""

from __future__ import annotations

from realtime_trio._order.wire_log import Complaints, WireLog
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemInputAudioTranscriptionSegment,
    ConversationItemTruncated,
    Event,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    UserMessage,
)


def speech_has_a_beginning_and_an_end(so_far: WireLog, event: Event) -> Complaints:
    """Speech starts, stops and is committed, under one item id.

    A commit by the client, or a clear, may come in between.
    """
    # Each case asks for `is_cut`: after such a commit, the service may go on under another id.
    match event:
        case InputAudioBufferSpeechStarted() if so_far.speaking:
            yield f"speech starts again while that of {so_far.speaking} has not stopped"
        case InputAudioBufferSpeechStarted() | InputAudioBufferTimeoutTriggered() if (
            so_far.stopped and not so_far.is_cut
        ):
            yield f"the speech of {so_far.stopped} was not committed yet"
        case InputAudioBufferSpeechStopped() if (
            not so_far.is_cut and event.item_id != so_far.speaking
        ):
            yield f"the speech of {event.item_id} stops, but " + (
                f"{so_far.speaking} is speaking" if so_far.speaking else "nobody speaks"
            )
        case InputAudioBufferCommitted() if (
            so_far.stopped and not so_far.is_cut and event.item_id != so_far.stopped
        ):
            yield f"{event.item_id} is committed, but the speech that stopped is {so_far.stopped}"


def audio_positions_grow(so_far: WireLog, event: Event) -> Complaints:
    """Positions count all audio of the session.

    Neither starts nor ends go back, and no end is before its start.
    """
    start = getattr(event, "audio_start_ms", None)
    # A truncation has a member of this name, which counts the audio of its item.
    end = (
        None
        if isinstance(event, ConversationItemTruncated)
        else getattr(event, "audio_end_ms", None)
    )
    if start is not None and start < so_far.starts_ms:
        yield f"audio_start_ms goes back from {so_far.starts_ms} to {start}"
    if end is not None and end < so_far.ends_ms:
        yield f"audio_end_ms goes back from {so_far.ends_ms} to {end}"
    if end is not None and end < (so_far.starts_ms if start is None else start):
        yield f"audio_end_ms {end} is before the start"


def commits_become_items(so_far: WireLog, event: Event) -> Complaints:
    """A commit is followed by `conversation.item.added` for a user message with that id.

    It is added at the place that the commit has named.
    """
    committed = so_far.committed
    match event:
        case InputAudioBufferCommitted() if committed is not None:
            yield f"{committed.item_id} was committed, and is not an item yet"
        case InputAudioBufferCommitted() if event.item_id in so_far.items:
            yield f"{event.item_id} is committed, but an item of that id is there already"
        case InputAudioBufferCommitted() if event.previous_item_id != so_far.last:
            yield (
                f"the commit has previous_item_id {event.previous_item_id}, "
                f"but the last item is {so_far.last}"
            )
        case ConversationItemAdded(item=item) if (
            committed is not None and item.id == committed.item_id
        ):
            if not isinstance(item, UserMessage):
                yield f"{item.id} was committed as the user's audio, and is added as a {item.type}"
            if event.previous_item_id != committed.previous_item_id:
                yield (
                    f"{item.id} was committed behind {committed.previous_item_id} "
                    f"and is added behind {event.previous_item_id}"
                )


def transcriptions_end_once(so_far: WireLog, event: Event) -> Complaints:
    """The transcription of a user message is pieces, and then one completion or failure."""
    match event:
        case (
            ConversationItemInputAudioTranscriptionDelta()
            | ConversationItemInputAudioTranscriptionSegment()
            | ConversationItemInputAudioTranscriptionCompleted()
            | ConversationItemInputAudioTranscriptionFailed()
        ):
            if (event.item_id, event.content_index or 0) in so_far.transcribed:
                yield f"{event.type} comes after the transcription of {event.item_id} has ended"
            # Only of the end: models that stream continuously begin before the commit.
            is_end = not isinstance(
                event,
                ConversationItemInputAudioTranscriptionDelta
                | ConversationItemInputAudioTranscriptionSegment,
            )
            if is_end and event.item_id not in so_far.items and event.item_id not in so_far.deleted:
                yield f"there is no item {event.item_id} to be transcribed"
