"""Transcripts of the user's speech, in every session, and the sessions that do nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final, Literal

from realtime_trio._frozen import frozen
from realtime_trio.events._base import UNSET, ClientEvent, ServerEvent, Unset
from realtime_trio.events.audio_settings import (
    AudioFormat,
    AudioFormatName,
    NoiseReduction,
    NoiseReductionType,
    Transcription,
    TurnDetection,
    TurnDetectionName,
)
from realtime_trio.events.config import AudioInputConfig, Include, SessionAudio, as_words
from realtime_trio.events.usage import TranscriptionUsage


@frozen(kw_only=True)
class TranscriptionAudioConfig:
    """Audio settings of a transcription session."""

    input: AudioInputConfig | Unset = UNSET
    """What you send."""


@frozen(kw_only=True)
class TranscriptionSessionConfig:
    """Configuration of a session that only transcribes: what its `session.update` carries.

    Only what is set changes.
    """

    type: ClassVar[Literal["transcription"]] = "transcription"
    """Kind of session; the server insists on it."""

    audio: TranscriptionAudioConfig | Unset = UNSET
    """Audio settings."""
    include: tuple[Include | str, ...] | Unset = UNSET
    """Extra fields the server's events should carry; `()` for none."""

    @classmethod
    def of(
        cls,
        *,
        input_format: AudioFormat | AudioFormatName | Unset = UNSET,
        transcription: Transcription | str | Unset | None = UNSET,
        noise_reduction: NoiseReduction | NoiseReductionType | Unset | None = UNSET,
        turn_detection: TurnDetection | TurnDetectionName | Unset | None = UNSET,
        include: Include | str | Iterable[Include | str] | Unset = UNSET,
    ) -> TranscriptionSessionConfig:
        """Build a configuration from flat keywords, without the nesting; see `SessionConfig.of`."""
        audio_in = AudioInputConfig(
            format=input_format,
            transcription=transcription,
            noise_reduction=noise_reduction,
            turn_detection=turn_detection,
        )
        return cls(
            audio=UNSET
            if audio_in == AudioInputConfig()
            else TranscriptionAudioConfig(input=audio_in),
            include=UNSET if isinstance(include, Unset) else as_words(include),
        )


@frozen(kw_only=True)
class TranscriptionSession:
    """The effective configuration of a transcription session, as the server reports it."""

    type: ClassVar[Literal["transcription"]] = "transcription"
    """Kind of session."""

    id: str = ""
    """`sess_...`."""
    object: str = "realtime.transcription_session"
    """Always `realtime.transcription_session`."""
    expires_at: int | None = None
    """When the server will end the session, in seconds since the epoch."""
    include: tuple[Include | str, ...] | None = None
    """Extra fields the server's events carry."""
    audio: SessionAudio | None = None
    """Audio settings; there is no output."""


@frozen(kw_only=True)
class LogProb:
    """How sure the transcription model was of one token."""

    token: str
    """The token's text."""
    logprob: float
    """Natural logarithm of its probability."""
    bytes: tuple[int, ...]
    """Its UTF-8 bytes."""


@frozen(kw_only=True)
class DetectedLanguage:
    """A language the transcription model heard."""

    code: str
    """Its code."""


@frozen(kw_only=True)
class ConversationItemInputAudioTranscriptionDelta(ServerEvent):
    """More of the transcript of a user message.

    Another model writes it, in its own time: before, during or after the response.
    """

    type: ClassVar[Literal["conversation.item.input_audio_transcription.delta"]] = (
        "conversation.item.input_audio_transcription.delta"
    )
    """Wire name."""

    item_id: str
    """Which user message."""
    # Optional in this event alone; in practice a user message has one part, and the index is 0.
    content_index: int | None = None
    """Which of its parts."""
    delta: str = ""
    """Text to append."""
    logprobs: tuple[LogProb, ...] | None = None
    """How sure the model was, if the session includes that."""
    obfuscation: str | None = None
    """Random padding that hides the length of the text; ignore it."""


@frozen(kw_only=True)
class ConversationItemInputAudioTranscriptionSegment(ServerEvent):
    """A stretch of speech by one speaker, from models that tell speakers apart."""

    type: ClassVar[Literal["conversation.item.input_audio_transcription.segment"]] = (
        "conversation.item.input_audio_transcription.segment"
    )
    """Wire name."""

    item_id: str
    """Which user message."""
    content_index: int
    """Which of its parts."""
    text: str
    """What was said."""
    id: str
    """Id of the segment."""
    speaker: str
    """Label of the speaker."""
    start: float
    """Start in the item's audio, in seconds."""
    end: float
    """End in the item's audio, in seconds."""


@frozen(kw_only=True)
class ConversationItemInputAudioTranscriptionCompleted(ServerEvent):
    """The transcript of a user message is complete.

    Transcripts may be completed in another order than the messages were spoken.
    """

    type: ClassVar[Literal["conversation.item.input_audio_transcription.completed"]] = (
        "conversation.item.input_audio_transcription.completed"
    )
    """Wire name."""

    item_id: str
    """Which user message."""
    content_index: int = 0
    """Which of its parts; some servers leave it out."""
    transcript: str
    """The whole transcript."""
    usage: TranscriptionUsage
    """What the transcription costs."""
    languages: tuple[DetectedLanguage, ...] | None = None
    """Languages that were heard."""
    logprobs: tuple[LogProb, ...] | None = None
    """How sure the model was, if the session includes that."""


@frozen(kw_only=True)
class TranscriptionErrorDetail:
    """Why a transcription failed."""

    type: str | None = None
    """Kind of error."""
    code: str | None = None
    """Code for programs, e.g. `audio_unintelligible`."""
    message: str | None = None
    """Explanation for people."""
    param: str | None = None
    """Parameter at fault."""


@frozen(kw_only=True)
class ConversationItemInputAudioTranscriptionFailed(ServerEvent):
    """A user message could not be transcribed.  The message itself is fine: the model heard it."""

    type: ClassVar[Literal["conversation.item.input_audio_transcription.failed"]] = (
        "conversation.item.input_audio_transcription.failed"
    )
    """Wire name."""

    item_id: str
    """Which user message."""
    content_index: int = 0
    """Which of its parts; some servers leave it out."""
    error: TranscriptionErrorDetail
    """Why."""


CLIENT: Final[tuple[type[ClientEvent], ...]] = ()
"""What a client sends."""

SERVER: Final[tuple[type[ServerEvent], ...]] = (
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionSegment,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionFailed,
)
"""What a server sends."""
