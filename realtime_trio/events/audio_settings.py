"""How audio is encoded, cleaned, transcribed and cut into turns, for every kind of session.

Each of these objects has one member that most people mean, and can be given by that alone, as a
word: `input_format="pcmu"`, `transcription="gpt-4o-transcribe"`, `turn_detection="server_vad"`.
What travels is the object in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar, Final, Literal

from realtime_trio._frozen import frozen
from realtime_trio._misuse import check_choice
from realtime_trio.events._base import UNSET, UnknownObject, Unset

AudioFormatName = Literal[
    "pcm",
    "pcm16",
    "audio/pcm",
    "pcmu",
    "g711_ulaw",
    "audio/pcmu",
    "pcma",
    "g711_alaw",
    "audio/pcma",
]
"""Words for audio formats: three for each, as today's protocol, its beta and others call them."""
TurnDetectionName = Literal["server_vad", "semantic_vad", "none"]
"""Words for turn detection as it is by default, by loudness or by meaning, and for none."""
NoiseReductionType = Literal["near_field", "far_field"]
"""`near_field` for headsets, `far_field` for laptop and conference microphones."""
Eagerness = Literal["low", "medium", "high", "auto"]
"""How readily semantic turn detection takes a pause for the end of a turn: it waits at most 8, 4 or
2 s; `auto` is `medium`."""


@frozen(kw_only=True)
class AudioFormat:
    """How audio is encoded on the wire."""

    type: Literal["audio/pcm", "audio/pcmu", "audio/pcma"] | str | None = None
    """`audio/pcm` is 16-bit little-endian mono; `audio/pcmu` and `audio/pcma` are G.711 mu-law and
    A-law at 8 kHz."""
    rate: int | None = None
    """Sample rate in Hz; only for PCM, and there only 24000."""

    @classmethod
    def pcm(cls) -> AudioFormat:
        """16-bit little-endian mono PCM at 24 kHz, the default."""
        return cls(type="audio/pcm", rate=24_000)

    @classmethod
    def pcmu(cls) -> AudioFormat:
        """G.711 mu-law at 8 kHz, as telephony in America and Japan uses it."""
        return cls(type="audio/pcmu")

    @classmethod
    def pcma(cls) -> AudioFormat:
        """G.711 A-law at 8 kHz, as telephony elsewhere uses it."""
        return cls(type="audio/pcma")


@frozen(kw_only=True)
class NoiseReduction:
    """Noise reduction of the input, applied before turn detection and before the model hears it."""

    type: NoiseReductionType | None = None
    """Which kind of microphone to expect."""
    strength: float | None = None
    """How strongly, 1 being the default."""


@frozen(kw_only=True)
class Transcription:
    """Transcription of the user's audio by a separate model.

    It does not change what the voice model hears.
    """

    model: str | None = None
    """Transcription model, e.g. `gpt-4o-transcribe`."""
    language: str | None = None
    """ISO 639-1 code of the spoken language; improves accuracy and latency."""
    languages: tuple[str, ...] | None = None
    """Languages to expect, for models that take several."""
    keywords: tuple[str, ...] | None = None
    """Words to expect, such as names."""
    prompt: str | None = None
    """Free text that guides the style of the transcript, or goes on from an earlier one."""
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | str | None = None
    """How long a streaming model may wait for more context."""


@frozen(kw_only=True)
class ServerVad:
    """Turn detection by loudness: a turn ends after a stretch of silence."""

    type: ClassVar[Literal["server_vad"]] = "server_vad"
    """Tells it from semantic turn detection."""

    threshold: float | None = None
    """Activation threshold, 0 to 1; higher needs louder speech.  The server's default is 0.5."""
    prefix_padding_ms: int | None = None
    """Milliseconds of audio from before the detected start that count as speech.  Default 300."""
    silence_duration_ms: int | None = None
    """Milliseconds of silence that end a turn.  The documented default is 500; the service was seen
    to use 200."""
    create_response: bool | None = None
    """Whether the end of a turn starts a response by itself.  Default true."""
    interrupt_response: bool | None = None
    """Whether the start of speech cancels the running response.  Default true."""
    # The one member here with three states: updates are merged, so that only null can turn it off.
    idle_timeout_ms: int | Unset | None = UNSET
    """Milliseconds of silence after a response, 5000 to 30000, before the server speaks up by
    itself; None turns that off."""


@frozen(kw_only=True)
class SemanticVad:
    """Turn detection by meaning: a model decides whether the user has finished."""

    type: ClassVar[Literal["semantic_vad"]] = "semantic_vad"
    """Tells it from turn detection by loudness."""

    eagerness: Eagerness | None = None
    """How readily a pause is taken for the end of the turn.  Default `auto`."""
    create_response: bool | None = None
    """Whether the end of a turn starts a response by itself.  Default true."""
    interrupt_response: bool | None = None
    """Whether the start of speech cancels the running response.  Default true."""


TurnDetection = ServerVad | SemanticVad | UnknownObject
"""Who decides that the user's turn is over.  None stands for push to talk, where the client commits
the audio."""


# --- words for them -------------------------------------------------------------------------------

# Whatever is neither a word nor an object is passed on, for the codec to refuse with its place.

_FORMATS: Final[Mapping[str, Callable[[], AudioFormat]]] = MappingProxyType(
    {
        "pcm": AudioFormat.pcm,
        "pcm16": AudioFormat.pcm,
        "audio/pcm": AudioFormat.pcm,
        "pcmu": AudioFormat.pcmu,
        "g711_ulaw": AudioFormat.pcmu,
        "audio/pcmu": AudioFormat.pcmu,
        "pcma": AudioFormat.pcma,
        "g711_alaw": AudioFormat.pcma,
        "audio/pcma": AudioFormat.pcma,
    }
)

_DETECTIONS: Final[Mapping[str, TurnDetection | None]] = MappingProxyType(
    {"server_vad": ServerVad(), "semantic_vad": SemanticVad(), "none": None}
)


def to_audio_format(value: AudioFormat | AudioFormatName | Unset) -> AudioFormat | Unset:
    """Field converter: the format, also of its name.

    Raises:
        LocalProtocolError: There is no format of this name.
    """
    if not isinstance(value, str):
        return value
    check_choice("an audio format", value, _FORMATS)
    return _FORMATS[value]()


def to_optional_audio_format(value: AudioFormat | AudioFormatName | None) -> AudioFormat | None:
    """Field converter: the same, and None stays None.

    Raises:
        LocalProtocolError: There is no format of this name.
    """
    return None if value is None else (to_audio_format(value) or None)


def to_transcription(value: Transcription | str | Unset | None) -> Transcription | Unset | None:
    """Field converter: the transcription, also of the name of a model."""
    return Transcription(model=value) if isinstance(value, str) else value


def to_noise_reduction(
    value: NoiseReduction | NoiseReductionType | Unset | None,
) -> NoiseReduction | Unset | None:
    """Field converter: the noise reduction, also of the kind of microphone."""
    return NoiseReduction(type=value) if isinstance(value, str) else value


def to_turn_detection(
    value: TurnDetection | TurnDetectionName | Unset | None,
) -> TurnDetection | Unset | None:
    """Field converter: the turn detection, also of its name.

    Raises:
        LocalProtocolError: There is no turn detection of this name.
    """
    if not isinstance(value, str):
        return value
    check_choice("turn detection", value, _DETECTIONS)
    return _DETECTIONS[value]
