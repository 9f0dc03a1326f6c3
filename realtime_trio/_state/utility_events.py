"""Utility events: what a server event means for the conversation.

They never travel.  A session derives them and publishes them right after the server event that
caused them.  In one batch updates come first, then `ItemAppended`, then `ItemCompleted`, then
`ToolCallRequested`.  What the session's own tools do is told when they do it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import field

from realtime_trio import _elsewhere
from realtime_trio._frozen import frozen
from realtime_trio._state.conversation.item import ConversationItem, TranscriptSegment
from realtime_trio.audio.data import AudioData
from realtime_trio.audio.track import PCM, samples_of
from realtime_trio.events._base import Event, to_audio
from realtime_trio.events.items import (
    FunctionCall,
    InputImage,
    McpApprovalRequest,
    McpCall,
    McpListedTool,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = _elsewhere.module("numpy")

# --- deltas ---------------------------------------------------------------------------------------


@frozen
class TextDelta:
    """More of the model's text."""

    text: str
    """Text to append."""


@frozen
class TranscriptDelta:
    """More of what the model's speech says."""

    text: str
    """Text to append."""


@frozen(match_args=False)
class AudioDelta:
    """More of the model's speech: `case ItemUpdated(item=item, delta=AudioDelta(samples))`."""

    __match_args__ = ("samples",)

    audio: AudioData = field(converter=to_audio)
    """Audio to append, encoded: whole samples."""
    encoding: str = PCM
    """How it is encoded: `audio/pcm`, `audio/pcmu` or `audio/pcma`."""
    content_index: int = 0
    """Which part of the item it is of."""

    @property
    def samples(self) -> NDArray[np.int16]:
        """Audio to append, decoded: shape (n,), int16, at the item's `audio_rate`.

        Audio that came as invalid base64 is silence of the length it seems to have.
        """
        return samples_of(self.audio, self.encoding)


@frozen
class ArgumentsDelta:
    """More of a call's arguments."""

    text: str
    """JSON text to append."""


@frozen
class InputTranscriptDelta:
    """More of what the user said."""

    text: str
    """Text to append; `""` when the transcription is complete and found no words."""


@frozen
class InputTranscriptSegment:
    """More of what the user said, with its speaker."""

    segment: TranscriptSegment
    """The stretch of speech; it is in the item's `segments`, not in its `transcript`, which comes
    by itself."""


Delta = (
    TextDelta
    | TranscriptDelta
    | AudioDelta
    | ArgumentsDelta
    | InputTranscriptDelta
    | InputTranscriptSegment
)
"""What an item grew by."""


# --- events ---------------------------------------------------------------------------------------


@frozen(kw_only=True)
class UtilityEvent(Event):
    """An event that a session derives from the server's."""


@frozen(kw_only=True)
class ItemEvent(UtilityEvent):
    """Something happened to an item of the conversation; `item` is the item as it is now.

    The base of `ItemAppended`, `ItemUpdated`, `ItemCompleted`, `ItemTruncated` and `ItemDeleted`:
    `events(ItemEvent)` brings every change of the conversation.  What changes nothing is not among
    them, such as `DeltaDropped`.
    """

    item: ConversationItem
    """The item."""


@frozen(kw_only=True)
class ItemAppended(ItemEvent):
    """An item entered the conversation, and is in its `items` at its place.

    A user's item brings all its content; an item of a response has yet to grow.
    """


@frozen(kw_only=True)
class ItemUpdated(ItemEvent):
    """An item of the conversation changed, and holds what it grew by already.

    All deltas of an item of a response, in order, are all of its text, speech and arguments, also
    where the server states a whole without having sent its parts; unless one of them is None.
    """

    delta: Delta | None = None
    """What it grew by.  None for any other change: look at the item."""


@frozen(kw_only=True)
class ItemCompleted(ItemEvent):
    """An item has its final form: once per item, and not at all for one that was cut short.

    A transcript of the user may follow.
    """


@frozen(kw_only=True)
class ItemDeleted(ItemEvent):
    """An item left the conversation; `item` is the item as it was."""


@frozen(kw_only=True)
class ItemTruncated(ItemEvent):
    """The model's speech was cut to what the user heard, and its transcript is gone."""

    audio_end_ms: int
    """Milliseconds that are left, as the server said."""


@frozen(kw_only=True)
class Interrupted(UtilityEvent):
    """The user began to speak: stop playing.

    The service cancels the running response itself.  Not said where the session's turn detection
    has `interrupt_response=False`.
    """

    item: ConversationItem | None
    """The speech of the model that may still be audible, by when it arrived and how long it is, or
    that is still coming; None if there is none.  Only the player knows how much of it was heard."""
    audio_start_ms: int
    """Start of the user's speech, in milliseconds of audio appended since the session began."""


@frozen(kw_only=True)
class HangingUp(UtilityEvent):
    """The session is about to end by itself: what was sent is written, and then it is closed.

    Streams deliver what they have and then end, as after a clean close by the server.
    """

    reason: Literal["budget", "idle"]
    """Its budget is spent, or nothing has happened for `idle_timeout` seconds."""


@frozen(kw_only=True)
class DeltaDropped(UtilityEvent):
    """A straggler: something arrived for an item that does not grow any more.

    Its response was cancelled or is over, or it was truncated.  The item is unchanged.
    """

    item: ConversationItem
    """The item it was for."""
    delta: Delta
    """What was left out."""


@frozen(kw_only=True)
class ToolCallRequested(UtilityEvent):
    """The model wants a function to be called, and the call is whole.

    Comes once per call, after its `ItemCompleted`.
    """

    call: FunctionCall
    """The call; its output must carry the same `call_id`."""
    item: ConversationItem
    """The item of the call."""


# --- tools that run here --------------------------------------------------------------------------

ToolOutcome = Literal[
    "completed", "failed", "invalid", "unknown", "timed_out", "cancelled", "rejected"
]
"""How a call ended: `completed` with a result, `failed` with an exception, `invalid` because the
arguments did not fit, `unknown` because there is no such tool, `timed_out` because tool or approval
took too long, `cancelled` by the application, the user's speech or the end of the session,
`rejected` because approval was denied."""


@frozen(kw_only=True)
class ToolApprovalRequested(UtilityEvent):
    """A call waits for approval.

    Decide with `await session.approve(call)` or `await session.reject(call, reason)`.
    """

    call: FunctionCall | McpApprovalRequest
    """The call: of a tool of the session, or of one on an MCP server."""


@frozen(kw_only=True)
class ToolCallStarted(UtilityEvent):
    """A tool of the session begins to run.

    Comes once per call, and not for a call that is answered without running.
    """

    call: FunctionCall
    """The call."""


@frozen(kw_only=True)
class ToolCallProgress(UtilityEvent):
    """A running tool reports how far it is.  The model is not told."""

    call: FunctionCall
    """The call."""
    progress: object
    """What the tool said: whatever it gave to `ToolContext.report`."""


@frozen(kw_only=True)
class ToolCallFinished(UtilityEvent):
    """A call of a tool of the session, or of an unknown one, has come to its end: once per call."""

    call: FunctionCall
    """The call."""
    output: str
    """What the model was told, usually JSON.  If the tool had answered early: its later message."""
    attachments: tuple[InputImage, ...] = ()
    """Images that the model was shown with it."""
    duration: float
    """Seconds from the start of the tool; 0.0 for one that did not run."""
    outcome: ToolOutcome
    """How it ended."""


# --- tools on MCP servers -------------------------------------------------------------------------


@frozen(kw_only=True)
class McpToolsListed(UtilityEvent):
    """The service has fetched the tools of an MCP server.

    The model can call them from the next response on.
    """

    server_label: str
    """Which server."""
    tools: tuple[McpListedTool, ...]
    """Its tools, as far as the configuration allows them."""
    item_id: str
    """The item that lists them."""


@frozen(kw_only=True)
class McpToolsUnavailable(UtilityEvent):
    """The service could not fetch the tools of an MCP server; responses go on without them."""

    server_label: str | None
    """Which server; None if it was never named."""
    item_id: str
    """The item that would have listed them."""


@frozen(kw_only=True)
class McpCallStarted(UtilityEvent):
    """The service is calling a tool on an MCP server."""

    call: McpCall
    """The call, without its outcome."""


@frozen(kw_only=True)
class McpCallFinished(UtilityEvent):
    """A tool on an MCP server has answered or failed: once per call.

    The session asks for the model's reply by itself.
    """

    call: McpCall
    """The call, with `output` or `error`."""
