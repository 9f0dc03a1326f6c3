"""The simulated interpreter, without a network and without a clock.

Speech goes in, and comes out in another language.  Owns one translation session: its configuration,
how much audio has come, and what is still to be said.  It is driven exactly as `SimulatedServer`
is.  It has no ears, so what it hears is what the `Script` says.

Theory of operation.  The interpreter works in frames of 200 ms.  Audio only counts: every full
frame is put down with the time at which it will have been translated, and when that comes the next
slice of the phrase under way is said.  A phrase has as many slices as its translation takes frames
to be spoken, so what comes out keeps step with what goes in.  When the client closes the session,
the phrase under way is finished as if silence went on coming in.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs
from attrs import frozen

from realtime_trio._protocol.kinds import DEFAULT_TRANSLATION_MODEL, SessionKind
from realtime_trio._transport.contract import NORMAL_CLOSURE, Close
from realtime_trio.audio import PCM_RATE
from realtime_trio.events import (
    ClientEvent,
    NoiseReduction,
    ServerEvent,
    Transcription,
    TranslationAudio,
    TranslationAudioInput,
    TranslationAudioOutput,
    TranslationSession,
    TranslationSessionClose,
    TranslationSessionClosed,
    TranslationSessionConfig,
    TranslationSessionCreated,
    TranslationSessionInputAudioBufferAppend,
    TranslationSessionInputTranscriptDelta,
    TranslationSessionOutputAudioDelta,
    TranslationSessionOutputTranscriptDelta,
    TranslationSessionUpdate,
    TranslationSessionUpdated,
    UnknownEvent,
    Unset,
)
from realtime_trio.simulator.script.script import Script
from realtime_trio.simulator.service.configuration import merge
from realtime_trio.simulator.service.lifecycle import Lifecycle
from realtime_trio.simulator.service.refusal import (
    Refusal,
    audio_bytes,
    check_choice,
    explain,
    missing,
    unsupported,
)
from realtime_trio.simulator.service.usage import tokenize
from realtime_trio.simulator.speech import synthesize_speech

FRAME_MS: Final = 200
"""Milliseconds of audio that are translated at a time, as the service does it."""
_FRAME_BYTES: Final = 2 * PCM_RATE * FRAME_MS // 1000
_SUPPORTED_TYPES: Final = (
    TranslationSessionUpdate.type,
    TranslationSessionInputAudioBufferAppend.type,
    TranslationSessionClose.type,
)
_LANGUAGES: Final = ("es", "pt", "fr", "ja", "ru", "zh", "de", "ko", "hi", "id", "vi", "it", "en")


@frozen
class _Slice:
    """What is heard and said during one frame."""

    heard: tuple[str, ...]
    said: tuple[str, ...]
    speech: bytes


class SimulatedTranslator(Lifecycle):
    """The service's side of one connection for translation.

    Driven as `SimulatedServer` is: `connect` once, then `receive` for every event of the client,
    and `take_due` for what is to be sent: after each of these calls, and whenever `next_due` has
    come.  Not thread-safe; never waits.

    Args:
        script: What is heard and how it is translated (`Script.translations`), and at what pace.
        model: The model the client asked for; any name is served.
        new_id: Makes ids: a function from a prefix to an id that was never made before.
            `sequential_ids()` when None.
        expires_after: Seconds until the session ends with an error and close code 1001; infinite
            for never, which is reported as 0.
        epoch: What the clock's zero is in seconds since 1970, for `expires_at`, the one time on the
            wire that is absolute.
    """

    def __init__(
        self,
        script: Script,
        *,
        model: str = DEFAULT_TRANSLATION_MODEL,
        new_id: Callable[[str], str] | None = None,
        expires_after: float = 3600.0,
        epoch: float = 0.0,
    ) -> None:
        super().__init__(
            kind=SessionKind.TRANSLATION,
            model=model,
            new_id=new_id,
            expires_after=expires_after,
            epoch=epoch,
        )
        self._performance = script.perform()
        self._session = TranslationSession(
            id=self._make_id("sess_"),
            model=model,
            expires_at=0,
            audio=TranslationAudio(input=TranslationAudioInput(), output=TranslationAudioOutput()),
        )
        self._unframed = 0
        self._frames: deque[float] = deque()
        self._last_frame = -math.inf
        self._elapsed_ms = 0
        self._slices: deque[_Slice] = deque()
        self._has_spoken = False
        self._is_closing = False

    def _greet(self, expires_at: int | None) -> None:
        # Unlike in other sessions the field is required, so "never" needs a number.
        self._session = attrs.evolve(self._session, expires_at=expires_at or 0)
        self._out.send(
            TranslationSessionCreated(event_id=self._out.event_id(), session=self._session)
        )

    # --- time -------------------------------------------------------------------------------------

    @property
    def next_due(self) -> float | None:
        """When to call `take_due` again if nothing arrives until then.

        None if there will be nothing to take.
        """
        return self._now if self._is_flushed else super().next_due

    def take_due(self, now: float) -> tuple[ServerEvent, ...]:
        """Everything to be sent by now, in order; each event is returned once."""
        self._advance(now)
        # Only here, so that what a client sends right after `session.close` is still refused.
        if self._is_flushed:
            self._out.send(TranslationSessionClosed(event_id=self._out.event_id()))
            # The service closes after this event; that it does so with 1000 is our assumption.
            self._close = Close(NORMAL_CLOSURE)
        return super().take_due(now)

    @property
    def _is_flushed(self) -> bool:
        return self._is_closing and not self._frames and self._close is None

    def _next_step(self) -> float:
        return self._frames[0] if self._frames else math.inf

    def _step(self) -> None:
        due = self._frames.popleft()
        # Counted for frames in which nothing is said as well: it is a position in what was heard.
        self._elapsed_ms += FRAME_MS
        self._translate()
        self._finish_phrase(due)

    def _schedule(self, earliest: float) -> None:
        """Put down another frame, after the last one and no faster than the script's speed."""
        self._last_frame = max(
            earliest, self._last_frame + FRAME_MS / 1000 / self._performance.pacing.audio_speed
        )
        self._frames.append(self._last_frame)

    def _finish_phrase(self, now: float) -> None:
        """When no more audio will come, put down a frame of silence if there is more to say."""
        if self._is_closing and self._slices and not self._frames:
            self._schedule(now)

    # --- client events ----------------------------------------------------------------------------

    def _obey(self, event: ClientEvent | UnknownEvent) -> None:
        if self._is_closing:
            raise Refusal(
                "The session is closing; nothing can be sent after 'session.close'.",
                code="session_closing",
            )
        match event:
            case TranslationSessionInputAudioBufferAppend(audio=audio):
                self._append_audio(audio_bytes(audio, "audio"))
            case TranslationSessionUpdate(session=change):
                _check_update(change)
                # Language, transcription and noise reduction; type and model have no field to set.
                self._session = merge(self._session, change, self.kind)
                self._out.send(
                    TranslationSessionUpdated(event_id=self._out.event_id(), session=self._session)
                )
            case TranslationSessionClose():
                # Silence fills up the last frame.
                self._append_audio(bytes(-self._unframed % _FRAME_BYTES))
                self._is_closing = True
                self._finish_phrase(self._now)
            case UnknownEvent():
                raise explain(event, _SUPPORTED_TYPES)
            case _:
                raise unsupported(event.type, _SUPPORTED_TYPES, "type")

    # --- translation ------------------------------------------------------------------------------

    def _append_audio(self, data: bytes) -> None:
        # In other sessions an append may end within a sample; here whole samples are demanded.
        if len(data) % 2:
            raise Refusal(
                "Invalid 'audio'. Expected whole samples of mono PCM16 at 24kHz.",
                code="invalid_value",
                param="audio",
            )
        frames, self._unframed = divmod(self._unframed + len(data), _FRAME_BYTES)
        for _ in range(frames):
            self._schedule(self._now + self._performance.pacing.time_to_first_event)

    def _translate(self) -> None:
        """Say what belongs to a frame."""
        if not self._slices:
            phrase = self._performance.translate()
            if phrase is None:
                return
            self._slices.extend(_slice(*phrase, joint=" " if self._has_spoken else ""))
            self._has_spoken = True
        current = self._slices.popleft()
        listening = self._session.audio.input
        # All three at one position: a client that shows subtitles joins them by that.
        if listening is not None and listening.transcription is not None:
            for token in current.heard:
                self._out.send(
                    TranslationSessionInputTranscriptDelta(
                        event_id=self._out.event_id(), delta=token, elapsed_ms=self._elapsed_ms
                    )
                )
        for token in current.said:
            self._out.send(
                TranslationSessionOutputTranscriptDelta(
                    event_id=self._out.event_id(), delta=token, elapsed_ms=self._elapsed_ms
                )
            )
        if current.speech:
            self._out.send(
                TranslationSessionOutputAudioDelta(
                    event_id=self._out.event_id(),
                    delta=current.speech,
                    sample_rate=PCM_RATE,
                    channels=1,
                    format="pcm16",
                    elapsed_ms=self._elapsed_ms,
                )
            )


def _slice(words: str, translated: str, *, joint: str) -> list[_Slice]:
    """Spread a phrase over the frames that its translation takes to be spoken.

    Args:
        words: What is heard.
        translated: What is said.
        joint: What keeps both apart from the phrase before; clients add no spaces.
    """
    speech = synthesize_speech(translated).tobytes()
    count = max(1, math.ceil(len(speech) / _FRAME_BYTES))
    heard, said = tokenize(joint + words), tokenize(joint + translated)
    return [
        _Slice(
            _share(heard, index, count),
            _share(said, index, count),
            speech[index * _FRAME_BYTES : (index + 1) * _FRAME_BYTES],
        )
        for index in range(count)
    ]


def _share(tokens: list[str], index: int, count: int) -> tuple[str, ...]:
    return tuple(
        token for position, token in enumerate(tokens) if position * count // len(tokens) == index
    )


def _check_update(change: TranslationSessionConfig) -> None:
    """Refuse what a translation session cannot be set to.

    Raises:
        Refusal: Something in the update is wrong; none of it applies.
    """
    if isinstance(change.audio, Unset):
        return
    if not isinstance(change.audio.input, Unset):
        where = "session.audio.input"
        match change.audio.input.transcription:
            case Transcription(model=None):
                raise missing(f"{where}.transcription.model")
            # The class is that of other sessions; here its only parameter is the model.
            case Transcription(model=model) as asked if asked != Transcription(model=model):
                extra = next(
                    a.name
                    for a in attrs.fields(Transcription)
                    if a.name != "model" and getattr(asked, a.name) is not None
                )
                param = f"{where}.transcription.{extra}"
                raise Refusal(
                    f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param
                )
        match change.audio.input.noise_reduction:
            case NoiseReduction(type=kind):
                check_choice(kind, ("near_field", "far_field"), f"{where}.noise_reduction.type")
    if not isinstance(change.audio.output, Unset) and not isinstance(
        change.audio.output.language, Unset
    ):
        check_choice(change.audio.output.language, _LANGUAGES, "session.audio.output.language")
