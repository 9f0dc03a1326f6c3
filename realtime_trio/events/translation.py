"""Translation sessions: speech in, translated speech out, no items and no responses.

They share wire names with voice sessions (`session.created`, ...) but not payloads, so their
classes carry the prefix `Translation` and the codec picks its table by the kind of session.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from attrs import field

from realtime_trio._frozen import frozen
from realtime_trio.audio.data import AudioData
from realtime_trio.events._base import UNSET, ClientEvent, ServerEvent, Unset, to_audio
from realtime_trio.events.audio_settings import (
    NoiseReduction,
    NoiseReductionType,
    Transcription,
    to_noise_reduction,
    to_transcription,
)


@frozen(kw_only=True)
class TranslationAudioInputConfig:
    """Settings of the audio you send."""

    transcription: Transcription | Unset | None = field(default=UNSET, converter=to_transcription)
    """Transcribe the original as well; None turns it off.  Only the model can be chosen, and may be
    given by its name."""
    noise_reduction: NoiseReduction | Unset | None = field(
        default=UNSET, converter=to_noise_reduction
    )
    """Reduce noise; None turns it off.  May be given by its `type`."""


@frozen(kw_only=True)
class TranslationAudioOutputConfig:
    """Settings of the audio you receive."""

    language: str | Unset = UNSET
    """Code of the language to translate into, e.g. `es`."""


@frozen(kw_only=True)
class TranslationAudioConfig:
    """Both directions of audio."""

    input: TranslationAudioInputConfig | Unset = UNSET
    """What you send."""
    output: TranslationAudioOutputConfig | Unset = UNSET
    """What you receive."""


@frozen(kw_only=True)
class TranslationSessionConfig:
    """Configuration of a translation session.

    Only what is set changes.  Model and audio format are fixed.
    """

    # No `type`, unlike the other configurations: the address alone makes it a translation session.
    audio: TranslationAudioConfig | Unset = UNSET
    """Audio settings."""

    @classmethod
    def of(
        cls,
        *,
        language: str | Unset = UNSET,
        transcription: Transcription | str | Unset | None = UNSET,
        noise_reduction: NoiseReduction | NoiseReductionType | Unset | None = UNSET,
    ) -> TranslationSessionConfig:
        """Build a configuration from flat keywords, without the nesting; see `SessionConfig.of`."""
        audio_in = TranslationAudioInputConfig(
            transcription=transcription, noise_reduction=noise_reduction
        )
        audio = TranslationAudioConfig(
            input=UNSET if audio_in == TranslationAudioInputConfig() else audio_in,
            output=UNSET
            if isinstance(language, Unset)
            else TranslationAudioOutputConfig(language=language),
        )
        return cls(audio=UNSET if audio == TranslationAudioConfig() else audio)


@frozen(kw_only=True)
class TranslationAudioInput:
    """Settings of the audio the server expects."""

    transcription: Transcription | None = None
    """Transcription of the original; None means off."""
    noise_reduction: NoiseReduction | None = None
    """Noise reduction; None means off."""


@frozen(kw_only=True)
class TranslationAudioOutput:
    """Settings of the audio the server sends."""

    language: str | None = None
    """Code of the language it speaks."""


@frozen(kw_only=True)
class TranslationAudio:
    """Both directions of audio."""

    input: TranslationAudioInput | None = None
    """What the server expects."""
    output: TranslationAudioOutput | None = None
    """What the server sends."""


@frozen(kw_only=True)
class TranslationSession:
    """The effective configuration of a translation session, as the server reports it."""

    type: ClassVar[Literal["translation"]] = "translation"
    """Kind of session."""

    id: str
    """`sess_...`."""
    expires_at: int
    """When the server will end the session, in seconds since the epoch."""
    model: str
    """Translation model."""
    audio: TranslationAudio
    """Audio settings."""


@frozen(kw_only=True)
class TranslationSessionUpdate(ClientEvent):
    """Change the session's configuration."""

    type: ClassVar[Literal["session.update"]] = "session.update"
    """Wire name."""

    session: TranslationSessionConfig
    """What to change: only what is set."""


@frozen(kw_only=True)
class TranslationSessionInputAudioBufferAppend(ClientEvent):
    """Append audio.  Send silence too: the model does not notice a pause in the sending."""

    type: ClassVar[Literal["session.input_audio_buffer.append"]] = (
        "session.input_audio_buffer.append"
    )
    """Wire name."""

    audio: AudioData = field(converter=to_audio)
    """24 kHz mono PCM: int16 or float32 array of shape (n,), or bytes."""


@frozen(kw_only=True)
class TranslationSessionClose(ClientEvent):
    """End the session after what was sent has been translated.  Send no audio after it."""

    type: ClassVar[Literal["session.close"]] = "session.close"
    """Wire name."""


@frozen(kw_only=True)
class TranslationSessionCreated(ServerEvent):
    """The first event of a translation session."""

    type: ClassVar[Literal["session.created"]] = "session.created"
    """Wire name."""

    session: TranslationSession
    """The effective configuration."""


@frozen(kw_only=True)
class TranslationSessionUpdated(ServerEvent):
    """A `TranslationSessionUpdate` took effect."""

    type: ClassVar[Literal["session.updated"]] = "session.updated"
    """Wire name."""

    session: TranslationSession
    """The whole effective configuration."""


@frozen(kw_only=True)
class TranslationSessionClosed(ServerEvent):
    """Everything has been translated; the server closes the connection next."""

    type: ClassVar[Literal["session.closed"]] = "session.closed"
    """Wire name."""


# The three deltas below have no `done`: a translation is one stream, without items or turns, and
# what came stays as it is.
@frozen(kw_only=True)
class TranslationSessionInputTranscriptDelta(ServerEvent):
    """More of what was said, in the original language; only if transcription is on."""

    type: ClassVar[Literal["session.input_transcript.delta"]] = "session.input_transcript.delta"
    """Wire name."""

    delta: str
    """Text to append as it is, without adding spaces."""
    elapsed_ms: int | None = None
    """Position in the session's audio, in milliseconds, in steps of 200; may repeat."""


@frozen(kw_only=True)
class TranslationSessionOutputTranscriptDelta(ServerEvent):
    """More of the translated text."""

    type: ClassVar[Literal["session.output_transcript.delta"]] = "session.output_transcript.delta"
    """Wire name."""

    delta: str
    """Text to append as it is, without adding spaces."""
    elapsed_ms: int | None = None
    """Position in the session's audio, in milliseconds, in steps of 200; may repeat."""


@frozen(kw_only=True)
class TranslationSessionOutputAudioDelta(ServerEvent):
    """More of the translated speech."""

    type: ClassVar[Literal["session.output_audio.delta"]] = "session.output_audio.delta"
    """Wire name."""

    delta: AudioData = field(converter=to_audio)
    """Audio to append: 16-bit mono PCM."""
    sample_rate: int | None = None
    """Samples per second; 24000 when None."""
    channels: int | None = None
    """Channels; 1 when None."""
    format: str | None = None
    """Always `pcm16`."""
    elapsed_ms: int | None = None
    """Position in the session's audio, in milliseconds, in steps of 200; may repeat."""


CLIENT: Final[tuple[type[ClientEvent], ...]] = (
    TranslationSessionUpdate,
    TranslationSessionInputAudioBufferAppend,
    TranslationSessionClose,
)
"""What a client sends."""

SERVER: Final[tuple[type[ServerEvent], ...]] = (
    TranslationSessionCreated,
    TranslationSessionUpdated,
    TranslationSessionClosed,
    TranslationSessionInputTranscriptDelta,
    TranslationSessionOutputTranscriptDelta,
    TranslationSessionOutputAudioDelta,
)
"""What a server sends."""
