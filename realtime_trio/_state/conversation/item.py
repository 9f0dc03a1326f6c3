"""Items that grow: one live object per item of a conversation, from the first delta to the last.

Owns how an item reads.  When it changes is decided in `_state.conversation.reducer` and the modules
beside it, which alone use the underscored half; everybody else can only look.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, cast

from attrs import define, field

from realtime_trio import _elsewhere
from realtime_trio._frozen import frozen
from realtime_trio._state.conversation.heard import words_heard
from realtime_trio.audio.pcm import PCM_RATE
from realtime_trio.audio.track import AudioTrack
from realtime_trio.events._base import UnknownObject
from realtime_trio.events.items import (
    AssistantContent,
    AssistantMessage,
    FunctionCall,
    InputAudio,
    InputImage,
    InputText,
    Item,
    ItemStatus,
    OutputAudio,
    OutputText,
    SystemContent,
    SystemMessage,
    UserContent,
    UserMessage,
)
from realtime_trio.events.transcription import TranscriptionErrorDetail

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = _elsewhere.module("numpy")

Part = InputText | InputAudio | InputImage | OutputText | OutputAudio | UnknownObject
"""A part of a message, as the protocol writes it."""

LISTING: Final = "mcp_list_tools"
"""The type of an item that lists the tools on an MCP server.  It is no answer, and comes whenever a
server has been asked for its tools: on a further connection often before the server is told the
conversation, which then stands before it."""
_REPR_TEXT = 40
_MANY_PIECES: Final = 256
"""Pieces of a text that may wait to be joined, whatever their size."""
_SMALL_PIECE: Final = 64
"""Characters of a piece on average below which many of them are joined at once."""


@frozen
class TranscriptSegment:
    """A stretch of a user's speech by one speaker."""

    text: str
    """What was said."""
    speaker: str
    """Label of the speaker."""
    start: float
    """Start in the item's audio, in seconds."""
    end: float
    """End in the item's audio, in seconds."""


class GrowingText:
    """Text that arrives in pieces and may be stated as a whole in the end.  For the reducer."""

    __slots__ = ("_most", "_pieces", "is_final")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._most = _MANY_PIECES
        self.is_final = False
        """Whether the whole was stated; a piece that comes after that repeats something."""

    def append(self, piece: str) -> None:
        """Append a piece."""
        if not piece:
            return
        self._pieces.append(piece)
        if len(self._pieces) >= self._most:
            self._join_fragments()

    def _join_fragments(self) -> None:
        """Join the pieces if they are small: a string of one letter takes fifty bytes.

        By the average, since the text that was joined counts too: joining all of it every so many
        pieces would be quadratic.
        """
        length = sum(map(len, self._pieces))
        if length < len(self._pieces) * _SMALL_PIECE:
            self.read()
        self._most = max(_MANY_PIECES, length // _SMALL_PIECE + 1)

    def read(self) -> str:
        """The text so far."""
        # Joined once and kept, so that reading after every delta does not join all of them again.
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def adopt(self, text: str, *, final: bool) -> str | None:
        """Take a statement of the text as a whole.

        An empty one never erases anything, and one that is not final only adds.

        Returns:
            What was missing at the end, `""` if nothing was; None if the text was rewritten.
        """
        current = self.read()
        extends = text.startswith(current)
        if not text or not (final or extends):
            return ""
        self.is_final = self.is_final or final
        self._pieces = [text]
        return text[len(current) :] if extends else None

    def clear(self) -> None:
        """Empty it."""
        self._pieces = []


@define(eq=False)
class GrowingPart:
    """One content part of an item.  For the reducer."""

    kind: str | None
    """Wire tag, as items name it: `input_text`, `output_audio`, ..."""
    text: GrowingText = field(factory=GrowingText)
    """Its words, if it is written."""
    transcript: GrowingText = field(factory=GrowingText)
    """Its words, if it is spoken."""
    track: AudioTrack | None = None
    """Its audio, None until there is some."""
    as_is: InputImage | UnknownObject | None = None
    """The part itself, of those that do not grow."""
    is_cut: bool = False
    """Whether it was truncated: what comes after that was not heard."""
    said: str = ""
    """Its words when it was truncated, of which not all were heard."""
    said_samples: int = 0
    """How much audio these words took."""
    is_wordless: bool = False
    """Whether its transcription is complete and empty."""

    @property
    def heard(self) -> str:
        """What of its transcript was heard: all of it, unless it was truncated.

        What the server says of a truncated part goes before the estimate.
        """
        stated = self.transcript.read()
        if stated or not self.is_cut:
            return stated
        received = 0 if self.track is None else self.track.received
        return words_heard(self.said, received, self.said_samples)

    def cut(self, audio_end_ms: int, dropped_us: int) -> None:
        """Keep so much of its audio, and none of its words, as the server does.

        Args:
            audio_end_ms: Where the audio ends now.
            dropped_us: Microseconds of audio that the server has of it and the track has not.
        """
        if self.track is not None:
            if not self.is_cut:
                # A whole transcript is that of all audio; one in pieces came with what was kept.
                dropped = dropped_us * self.track.rate // 1_000_000
                self.said = self.transcript.read()
                self.said_samples = self.track.received + dropped * self.transcript.is_final
            self.track.truncate(audio_end_ms * self.track.rate // 1000)
        self.is_cut = True
        self.transcript.clear()
        self.is_wordless = False

    @property
    def value(self) -> Part:
        """The part as it stands, without audio."""
        match self.kind:
            case "input_text":
                return InputText(self.text.read())
            case "input_audio":
                transcript = self.transcript.read()
                return InputAudio(None, transcript if transcript or self.is_wordless else None)
            case "output_text":
                return OutputText(self.text.read())
            case "output_audio":
                return OutputAudio(None, self.transcript.read())
            case _:
                return self.as_is or UnknownObject(self.kind, {"type": self.kind})


class ItemPhase(enum.IntEnum):
    """How far an item is.  It never goes back."""

    HIDDEN = enum.auto()
    """It is known but not in the conversation: it waits to be announced, or belongs to a response
    out of band."""
    SHOWN = enum.auto()
    """It is in the conversation, and its changes are told."""
    COMPLETE = enum.auto()
    """It has its final form, and `ItemCompleted` was told."""
    REQUESTED = enum.auto()
    """It is a call, and `ToolCallRequested` was told."""


HIDDEN: Final = ItemPhase.HIDDEN
"""At hand by itself: an enumeration is slow to look into, and this is asked for every delta."""


@define(eq=False)
class GrowingResponse:
    """A response, as far as its items depend on it.  For the reducer."""

    id: str = ""
    """Its id."""
    is_out_of_band: bool = False
    """Whether its items stay out of the conversation."""
    is_stopped: bool = False
    """Whether what still arrives of it is a straggler: it was cancelled, or it is over."""
    is_over: bool = False
    """Whether the server has said that it is done."""
    encoding: tuple[str, int] | None = None
    """Encoding and rate of its audio, if it has its own."""
    items: list[ConversationItem] = field(factory=list)
    """What it has made."""
    completed: set[ConversationItem] = field(factory=set)
    """Those of its items that it says are done and completed."""


@define(eq=False, repr=False)
class ConversationItem:
    """An item of a conversation, as it stands.

    There is one object per item, and it grows while its deltas arrive: it may already hold more
    than the event that carried it.  Compare items by identity or by id.
    """

    _id: str
    _type: str | None
    _role: str | None = None
    _response: GrowingResponse | None = None
    _status: ItemStatus | str = "in_progress"
    _previous_item_id: str | None = None
    _name: str | None = None
    _call_id: str | None = None
    _output: str | None = None
    _arguments: GrowingText = field(factory=GrowingText)
    _parts: dict[int, GrowingPart] = field(factory=dict)
    _segments: dict[str, TranscriptSegment] = field(factory=dict)
    _transcription_error: TranscriptionErrorDetail | None = None
    _heard_ms: int | None = None
    _dropped_us: int = 0
    _as_is: Item | None = None
    """The item itself, of those that do not grow."""
    _phase: ItemPhase = ItemPhase.HIDDEN
    _is_interrupted: bool = False
    _is_anchored: bool = False
    """Whether the server has said where in the conversation it stands."""
    _follows: bool = False
    """Whether it answers something, and is never the first item beside others."""
    _is_committed: bool = False
    """Whether it was made of the input buffer."""
    _is_left_behind: bool = False
    """Whether the server does not have it: it went with another one."""
    _is_told_again: bool = False
    """Whether the server has it from us, and not by making it: then its speech is text there."""

    @property
    def id(self) -> str:
        """Item id."""
        return self._id

    @property
    def type(self) -> str | None:
        """`message`, `function_call`, `mcp_call`, ...; None if the server gave none."""
        return self._type

    @property
    def role(self) -> str | None:
        """`user`, `assistant` or `system`; None for everything but messages."""
        return self._role

    @property
    def status(self) -> ItemStatus | str:
        """`in_progress`, `completed`, or `incomplete` when it was cut short while it was made."""
        return self._status

    @property
    def is_complete(self) -> bool:
        """Whether it has its final form.  An item that was cut short never gets there."""
        return self._phase >= ItemPhase.COMPLETE

    @property
    def previous_item_id(self) -> str | None:
        """The item it was put behind, as the server said then.

        None for the first item, and where the server does not say.
        """
        return self._previous_item_id

    @property
    def response_id(self) -> str | None:
        """The response it is part of; None for what a client or the user made."""
        return None if self._response is None else self._response.id

    @property
    def text(self) -> str:
        """The text of all its text parts; `""` if there is none.

        What was spoken is in `transcript`.
        """
        return "".join(part.text.read() for part in self._ordered)

    @property
    def transcript(self) -> str:
        """What its audio says, so far; `""` if that is not known, and after a truncation.

        A single space when a transcription is complete and found no words, so that it differs from
        one that is still to come.
        """
        transcript = "".join(part.transcript.read() for part in self._ordered)
        return transcript or (" " if any(part.is_wordless for part in self._parts.values()) else "")

    @property
    def audio(self) -> NDArray[np.int16]:
        """Its audio, so far: shape (n,), int16, read-only, at `audio_rate`; G.711 is decoded.

        Empty if there is none or if none is kept.  Where only the last seconds are kept, it is the
        end of what `audio_ms` counts. Reading it after every delta is fine: only what is new is
        copied.
        """
        tracks = self._tracks
        if len(tracks) == 1:
            return tracks[0].samples
        samples = np.concatenate([np.empty(0, np.int16), *(track.samples for track in tracks)])
        samples.flags.writeable = False
        return samples

    @property
    def audio_ms(self) -> int:
        """Milliseconds of audio it has received, kept or not, without what was truncated."""
        return sum(track.ms for track in self._tracks)

    @property
    def is_audio_whole(self) -> bool:
        """Whether `audio` is all of what `audio_ms` counts: nothing was let go of."""
        return all(track.kept == track.received for track in self._tracks)

    @property
    def audio_rate(self) -> int:
        """Rate of `audio` in Hz."""
        return next((track.rate for track in self._tracks), PCM_RATE)

    @property
    def heard_ms(self) -> int | None:
        """Milliseconds of audio that the user heard, once it was truncated; None before."""
        return self._heard_ms

    @property
    def heard_transcript(self) -> str:
        """What of its transcript was heard; the same as `transcript` until it is truncated.

        After that it is an estimate, in whole words, by how much of the audio was kept: the server
        takes the transcript back and does not say which words are left.
        """
        return "".join(part.heard for part in self._ordered)

    @property
    def dropped_ms(self) -> int:
        """Milliseconds of audio that the server has of it and `audio` has not.

        They arrived after its response had been cancelled; 0 again once it was truncated.
        """
        return self._dropped_us // 1000

    @property
    def is_interrupted(self) -> bool:
        """Whether it was truncated, or cut short because its response was cancelled."""
        return self._is_interrupted

    @property
    def segments(self) -> tuple[TranscriptSegment, ...]:
        """Stretches of speech with their speakers, from models that tell speakers apart."""
        return tuple(self._segments.values())

    @property
    def transcription_error(self) -> TranscriptionErrorDetail | None:
        """Why it has no transcript, if its transcription failed."""
        return self._transcription_error

    @property
    def is_awaiting_words(self) -> bool:
        """Whether it is the user's speech, without a transcript or the reason why there is none."""
        return self._is_committed and not self.transcript and self._transcription_error is None

    @property
    def name(self) -> str | None:
        """The function or MCP tool that is called."""
        return self._name

    @property
    def call_id(self) -> str | None:
        """Names a function call, in the call and in its output."""
        return self._call_id

    @property
    def arguments(self) -> str:
        """JSON text of a call's arguments, so far."""
        return self._arguments.read()

    @property
    def call(self) -> FunctionCall | None:
        """The function call as it stands; None if the item is not one."""
        if self._type != "function_call":
            return None
        return FunctionCall(
            id=self._id,
            status=self._status,
            name=self._name or "",
            call_id=self._call_id,
            arguments=self.arguments,
        )

    @property
    def output(self) -> str | None:
        """What a function or an MCP tool returned."""
        return self._output

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of a message as they stand, without audio."""
        return tuple(part.value for part in self._ordered)

    @property
    def snapshot(self) -> Item:
        """The item as it stands, as the protocol writes it: a value that does not change any more.

        It has no audio.
        """
        match self._role:
            case "system":
                return SystemMessage(
                    content=cast("tuple[SystemContent, ...]", self.parts),
                    id=self._id,
                    status=self._status,
                )
            case "user":
                return UserMessage(
                    content=cast("tuple[UserContent, ...]", self.parts),
                    id=self._id,
                    status=self._status,
                )
            case "assistant":
                return AssistantMessage(
                    content=cast("tuple[AssistantContent, ...]", self.parts),
                    id=self._id,
                    status=self._status,
                )
            case _:
                return (
                    self.call
                    or self._as_is
                    or UnknownObject(self._type, {"type": self._type, "id": self._id})
                )

    def __repr__(self) -> str:
        what = [self._id, self._role or self._type or "item", self._status]
        words = self.text or self.transcript or self.arguments or self._output or ""
        if words:
            what.append(
                repr(words if len(words) <= _REPR_TEXT else words[: _REPR_TEXT - 3] + "...")
            )
        return f"<ConversationItem {' '.join(what)}>"

    @property
    def _is_shown(self) -> bool:
        # By identity, which is faster than a comparison, and asked for every delta.
        return self._phase is not HIDDEN

    @property
    def _is_stopped(self) -> bool:
        """Whether what still arrives for it is a straggler."""
        return self._response is not None and self._response.is_stopped

    @property
    def _response_is_out_of_band(self) -> bool:
        return self._response is not None and self._response.is_out_of_band

    @property
    def _is_growing(self) -> bool:
        """Whether its response is still making it."""
        response = self._response
        return response is not None and not response.is_over and not self.is_complete

    def _reach(self, phase: ItemPhase) -> None:
        """Go on to a phase, or stay in a later one."""
        self._phase = max(self._phase, phase)

    @property
    def _ordered(self) -> list[GrowingPart]:
        return (
            [part for _, part in sorted(self._parts.items())]
            if len(self._parts) > 1
            else list(self._parts.values())
        )

    @property
    def _tracks(self) -> list[AudioTrack]:
        return [part.track for part in self._ordered if part.track is not None]
