"""Audio buffer events: the user's audio on its way in, and the model's on its way out.

The output buffer exists in WebRTC and SIP calls only, where the service does the playing.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from attrs import field

from realtime_trio._frozen import frozen
from realtime_trio.audio.data import AudioData
from realtime_trio.events._base import WRITE_NULL, ClientEvent, ServerEvent, to_audio


@frozen(kw_only=True)
class InputAudioBufferAppend(ClientEvent):
    """Append audio to the input buffer.  The server does not acknowledge it."""

    type: ClassVar[Literal["input_audio_buffer.append"]] = "input_audio_buffer.append"
    """Wire name."""

    audio: AudioData = field(converter=to_audio)
    """int16 or float32 array of shape (n,), or bytes, in the session's input format (24 kHz mono
    PCM by default); up to 15 MiB."""


@frozen(kw_only=True)
class InputAudioBufferCommit(ClientEvent):
    """Make the buffered audio a user message.

    Answered by `InputAudioBufferCommitted`.  Starts no response.  Refused with less than 100 ms in
    the buffer.
    """

    type: ClassVar[Literal["input_audio_buffer.commit"]] = "input_audio_buffer.commit"
    """Wire name."""


@frozen(kw_only=True)
class InputAudioBufferClear(ClientEvent):
    """Discard the buffered audio.  Answered by `InputAudioBufferCleared`."""

    type: ClassVar[Literal["input_audio_buffer.clear"]] = "input_audio_buffer.clear"
    """Wire name."""


@frozen(kw_only=True)
class InputAudioBufferCommitted(ServerEvent):
    """The buffered audio becomes a user message.

    The client has committed it, or turn detection heard the end of a turn.
    """

    type: ClassVar[Literal["input_audio_buffer.committed"]] = "input_audio_buffer.committed"
    """Wire name."""

    item_id: str
    """Id of the user message to come."""
    previous_item_id: str | None = field(default=None, metadata=WRITE_NULL)
    """Item before it; None for the first."""


@frozen(kw_only=True)
class InputAudioBufferCleared(ServerEvent):
    """The buffered audio was discarded."""

    type: ClassVar[Literal["input_audio_buffer.cleared"]] = "input_audio_buffer.cleared"
    """Wire name."""


@frozen(kw_only=True)
class InputAudioBufferSpeechStarted(ServerEvent):
    """Turn detection heard the user begin to speak.

    Stop playing: the server cancels the running response, unless you have disabled that.
    """

    type: ClassVar[Literal["input_audio_buffer.speech_started"]] = (
        "input_audio_buffer.speech_started"
    )
    """Wire name."""

    # Both positions count all audio ever appended: neither a commit nor a clear starts them anew.
    audio_start_ms: int
    """Start of the speech, padding included, in milliseconds of audio appended since the session
    began."""
    item_id: str
    """Id of the user message to come."""


@frozen(kw_only=True)
class InputAudioBufferSpeechStopped(ServerEvent):
    """Turn detection heard the end of the user's turn; a commit follows."""

    type: ClassVar[Literal["input_audio_buffer.speech_stopped"]] = (
        "input_audio_buffer.speech_stopped"
    )
    """Wire name."""

    audio_end_ms: int
    """End of the speech, trailing silence included, in milliseconds of audio appended since the
    session began."""
    item_id: str
    """Id of the user message to come."""


@frozen(kw_only=True)
class InputAudioBufferTimeoutTriggered(ServerEvent):
    """The user was silent for the idle timeout; the silence is committed, a response follows."""

    type: ClassVar[Literal["input_audio_buffer.timeout_triggered"]] = (
        "input_audio_buffer.timeout_triggered"
    )
    """Wire name."""

    audio_start_ms: int
    """Start of the silence, in milliseconds of audio appended since the session began."""
    audio_end_ms: int
    """Its end."""
    item_id: str
    """Id of the silent user message."""


@frozen(kw_only=True)
class InputAudioBufferDtmfEventReceived(ServerEvent):
    """A key was pressed on the telephone (SIP calls).  The one server event without an id."""

    type: ClassVar[Literal["input_audio_buffer.dtmf_event_received"]] = (
        "input_audio_buffer.dtmf_event_received"
    )
    """Wire name."""

    # The protocol breaks its own rule here: the specification gives this event no id.
    event_id: str | None = None  # type: ignore[assignment]
    """None: the server does not give one."""
    event: str
    """The key: 0-9, `*`, `#`, A-D."""
    received_at: int
    """When, in seconds since the epoch."""


@frozen(kw_only=True)
class OutputAudioBufferClear(ClientEvent):
    """Stop playing, in a WebRTC or SIP call; a WebSocket session refuses it.

    Answered by `OutputAudioBufferCleared`.  Cancel the response first: this does not stop it.
    """

    type: ClassVar[Literal["output_audio_buffer.clear"]] = "output_audio_buffer.clear"
    """Wire name."""


@frozen(kw_only=True)
class OutputAudioBufferStarted(ServerEvent):
    """The service began to play a response to the caller."""

    type: ClassVar[Literal["output_audio_buffer.started"]] = "output_audio_buffer.started"
    """Wire name."""

    response_id: str
    """Which response."""


@frozen(kw_only=True)
class OutputAudioBufferStopped(ServerEvent):
    """The service has played a response to its end."""

    type: ClassVar[Literal["output_audio_buffer.stopped"]] = "output_audio_buffer.stopped"
    """Wire name."""

    response_id: str
    """Which response."""


@frozen(kw_only=True)
class OutputAudioBufferCleared(ServerEvent):
    """Playing stopped early, because the user spoke or the client asked for it."""

    type: ClassVar[Literal["output_audio_buffer.cleared"]] = "output_audio_buffer.cleared"
    """Wire name."""

    response_id: str
    """Which response."""


CLIENT: Final[tuple[type[ClientEvent], ...]] = (
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputAudioBufferClear,
    OutputAudioBufferClear,
)
"""What a client sends."""

SERVER: Final[tuple[type[ServerEvent], ...]] = (
    InputAudioBufferCommitted,
    InputAudioBufferCleared,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    InputAudioBufferDtmfEventReceived,
    OutputAudioBufferStarted,
    OutputAudioBufferStopped,
    OutputAudioBufferCleared,
)
"""What a server sends."""
