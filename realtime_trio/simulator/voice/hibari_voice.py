"""A voice like a person's: hibari, of the extra `voice`.

Owns what must be known of that library.  It speaks English, offline: its wheel carries the model.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final, Protocol, Self

import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio.audio import pcm16_from_float
from realtime_trio.errors import LocalProtocolError
from realtime_trio.simulator.voice.extra import import_extra

_SEED: Final = 0
"""Of the noise in consonants and breath, so that the same text has the same samples."""


class _Synthesizer(Protocol):
    def __call__(self, text: str, speed: float, seed: int) -> NDArray[np.float32]: ...
    def split_sentences(self, text: str) -> list[str]: ...


class HibariVoice:
    """Speaks English with hibari, a small neural voice: offline, and pleasant to listen to.

    Takes 0.02 to 0.1 s of one core per second of speech, in a thread and one sentence at a time,
    whoever asks: the event loop goes on meanwhile.  The same text has the same samples.  It speaks
    the 24 kHz of the protocol, so nothing is resampled.

    Args:
        model: Another voice of hibari: the path of its ONNX file.  None is the American one that
            comes with the package.  Nothing is ever downloaded.
        british: Pronounce words the British way, which the voices `emma` and `fable` were made for.
        speed: 0.5 to 2; 1 is normal, 2 is twice as fast.

    Raises:
        LocalProtocolError: The extra `voice` is not installed, there is no such file, or the speed
            is out of range.

    Construction loads the model and a dictionary, which takes about a second.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        british: bool = False,
        speed: float = 1.0,
    ) -> None:
        if not 0.5 <= speed <= 2.0:
            raise LocalProtocolError(f"cannot speak at speed {speed}; allowed: 0.5 to 2")
        hibari = import_extra("hibari", "hibari-tts", extra="voice")
        if model is not None and not os.path.isfile(model):
            raise LocalProtocolError(f"there is no voice of hibari at {os.fspath(model)!r}")
        # Loaded here: otherwise it would be at the first sentence, while somebody waits for it.
        g2p = import_extra("hibari.g2p", "hibari-tts", extra="voice").G2P(british=british)
        self._synthesizer: _Synthesizer = hibari.Hibari(
            model=None if model is None else os.fspath(model), threads=1, g2p=g2p
        )
        self._speed = speed
        self._limiter = trio.CapacityLimiter(1)

    def stream(self, text: str) -> SpokenSentences:
        """Speak a text sentence by sentence: the first can be heard while the next is made.

        Args:
            text: Anything; what has no sound gives no samples.

        Returns:
            To be iterated over with `async for`, once.
        """
        return SpokenSentences(self, iter(self._synthesizer.split_sentences(text)))

    async def speak(self, text: str) -> NDArray[np.int16]:
        """Speak a text.

        Args:
            text: Anything; what has no sound, like an empty text, gives no samples.

        Returns:
            Shape (n,), int16, 24 kHz mono.

        Cancellation is noticed after the sentence that is being spoken, and has no effect on later
        calls.
        """
        await trio.lowlevel.checkpoint()
        sentences = [samples async for samples in self.stream(text)]
        # The empty array is for texts without any sound: there is no concatenation of nothing.
        return np.concatenate([np.zeros(0, np.int16), *sentences])

    async def _speak(self, sentence: str) -> NDArray[np.int16]:
        return await trio.to_thread.run_sync(self._synthesize, sentence, limiter=self._limiter)

    def _synthesize(self, sentence: str) -> NDArray[np.int16]:
        return pcm16_from_float(self._synthesizer(sentence, self._speed, _SEED))


class SpokenSentences:
    """The sentences of a text as they are spoken: an async iterator of int16 at 24 kHz.

    Nothing is made ahead: a sentence is spoken when it is asked for.  Cancelling costs the sentence
    that was being spoken, and the next is the one after it.
    """

    def __init__(self, voice: HibariVoice, sentences: Iterator[str]) -> None:
        self._voice = voice
        self._sentences = sentences

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> NDArray[np.int16]:
        sentence = next(self._sentences, None)
        if sentence is None:
            await trio.lowlevel.checkpoint()
            raise StopAsyncIteration
        return await self._voice._speak(sentence)
