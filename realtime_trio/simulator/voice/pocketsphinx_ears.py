"""Ears that need little: pocketsphinx, of the extra `voice-light`.

Owns what must be known of that library.  It recognizes English, offline, and its wheel carries the
model.

Theory of operation.  pocketsphinx does not let other Python code run while it works, so a thread
alone would not keep an event loop alive: its audio is given in small steps, between which the loop
gets its turns, and the one long step, the second search over the whole utterance, is left out.  It
was made for rooms with microphones: in digital silence, as a synthetic voice or a noise gate leaves
it, it hears little, so a soft noise is laid under everything.
"""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Final, Protocol

import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio.audio import PCM_RATE, resample
from realtime_trio.errors import LocalProtocolError
from realtime_trio.simulator.voice.extra import import_extra

_EAR_RATE: Final = 16_000
"""Hz, of the recordings the acoustic model was made from."""
_STEP: Final = _EAR_RATE // 50
"""Samples given at once, 20 ms; on a slow core they take 10 to 15 ms, when nothing else runs."""
_LOUDNESS: Final = 8000.0
"""The loudest sample of every utterance, near that of the recordings."""
_SILENCE: Final = 100
"""Below this peak (-50 dB) there is nothing to hear."""
_NOISE: Final = 14.0
"""Standard deviation of the noise under the speech, 55 dB below its peak: in quiet or loud noise
fewer words are recognized."""
_PADDING: Final = _EAR_RATE * 3 // 10
"""Samples of noise before and after; without them the first and the last word get lost."""
_CHANNEL: Final = "45.0,8.0,-5.1,3.1,-5.6,-4.6,-5.5,-9.6,-1.7,-8.3,-1.9,1.1,-2.2"
"""Mean cepstrum to start from, so that every utterance is heard alike whatever came before;
measured on `EspeakVoice`."""
_BETTER: Final = 1.1
"""How much better expected phrases must explain what was heard.  Measured: 1.16 to 1.83 where they
were said; where not, 0.66 to 1.10 and, once, 1.26."""


class _Hypothesis(Protocol):
    @property
    def hypstr(self) -> str: ...
    @property
    def score(self) -> float: ...


class _Decoder(Protocol):
    def set_cmn(self, means: str) -> None: ...
    def start_utt(self) -> None: ...
    def process_raw(self, data: bytes) -> object: ...
    def end_utt(self) -> None: ...
    def hyp(self) -> _Hypothesis | None: ...
    def lookup_word(self, word: str) -> str | None: ...


class PocketsphinxEars:
    """Recognizes English speech with pocketsphinx: offline, and far from what is usual today.

    How well it hears `EspeakVoice` with its defaults was measured.  Of 28 short commands and
    questions, most of which had served to choose voice and settings, it heard 79 % of the words and
    13 whole sentences; of 10 everyday sentences that were kept for the end, 66 of 70 words and 6
    whole sentences.  Of the plain voice `en-us` it heard 55 % and 66 % of the words.  A word counts
    as heard wherever it stands, and wrong ones beside it do not matter.  It was never measured on
    people.  Short utterances and names are its weak points.  Everything is in lower case, without
    punctuation, and numbers are words.

    If you know what will be said, give it in `phrases`: all of 20 sentences given so were heard
    without a mistake.  Now and then another sentence that sounds alike is then taken for one of
    them: 1 of 18.

    Recognition takes 0.1 to 0.25 s of one core per second of audio, twice that with phrases, in a
    thread and one utterance at a time.  The event loop goes on meanwhile, with pauses of 10 to 50
    ms.  An instance takes about 100 MB of memory.

    Args:
        phrases: Sentences that are expected, in any case and punctuation.  Utterances that consist
            of their words, in about their order, are recognized by them; everything else is heard
            as without phrases.

    Raises:
        LocalProtocolError: The extra `voice-light` is not installed, or a phrase has a word of
            unknown pronunciation.

    Construction loads the model, which takes about 0.3 s.
    """

    def __init__(self, phrases: Iterable[str] = ()) -> None:
        self._pocketsphinx = _pocketsphinx()
        self._limiter = trio.CapacityLimiter(1)
        general = self._make_decoder()
        self._decoders = [general]
        expected = [
            words for phrase in phrases if (words := re.findall(r"[a-z']+", phrase.lower()))
        ]
        if expected:
            self._decoders.append(self._make_expecting(expected, general))

    async def transcribe(self, samples: NDArray[np.int16]) -> str | None:
        """Recognize one utterance.

        Args:
            samples: Shape (n,), int16, 24 kHz mono.

        Returns:
            Words in lower case; None if no word was heard.  Noise without speech may give words all
            the same.

        Raises:
            LocalProtocolError: An array of another dtype or shape was given.

        Cancellation stops the work within about 50 ms and has no effect on later calls.
        """
        return await trio.to_thread.run_sync(self._transcribe, samples, limiter=self._limiter)

    def _transcribe(self, samples: NDArray[np.int16]) -> str | None:
        narrow = resample(samples, PCM_RATE, _EAR_RATE)
        peak = int(np.abs(narrow.astype(np.int32)).max(initial=0))
        if peak < _SILENCE:
            return None
        heard = np.pad(narrow * (_LOUDNESS / peak), _PADDING)
        # From a fixed seed: the same samples are heard alike every time.
        heard += np.random.default_rng(0).normal(0.0, _NOISE, len(heard))
        audio = np.rint(heard).astype(np.int16)
        general, *expecting = [_decode(decoder, audio) for decoder in self._decoders]
        text = next((text for text, score in expecting if score > _BETTER * general[1]), general[0])
        return text or None

    def _make_decoder(self, **options: object) -> _Decoder:
        # Without fwdflat, the second search, and with 3000 active states per frame instead of 30000
        # it takes half the time and never stalls for long.  That costs one word in twenty of the
        # default voice, and none of the voice en-us.
        decoder: _Decoder = self._pocketsphinx.Decoder(
            samprate=_EAR_RATE, loglevel="FATAL", fwdflat=False, maxhmmpf=3000, **options
        )
        return decoder

    def _make_expecting(self, expected: list[list[str]], general: _Decoder) -> _Decoder:
        """A decoder that knows only the words of the phrases, and which may follow each other."""
        words = sorted({word for words in expected for word in words})
        if unknown := [word for word in words if general.lookup_word(word) is None]:
            raise LocalProtocolError(
                "the pronunciation of these words of the phrases is not known: "
                f"{', '.join(unknown)}"
            )
        model = importlib.import_module("pocketsphinx.lm").ArpaBoLM(
            text="\n".join(map(" ".join, expected)), add_start=True
        )
        model.compute()
        # pocketsphinx reads both from files, and has read them when it is constructed.
        with tempfile.TemporaryDirectory() as folder:
            dictionary, language = Path(folder, "words.dict"), Path(folder, "phrases.lm")
            dictionary.write_text(
                "".join(line for word in words for line in _pronunciations(general, word)),
                encoding="utf-8",
            )
            model.write_file(str(language))
            return self._make_decoder(dict=str(dictionary), lm=str(language))


def _pronunciations(decoder: _Decoder, word: str) -> Iterator[str]:
    """Lines of a pronouncing dictionary; the second entry of `the` is called `the(2)`."""
    name, entry = word, 1
    while (phones := decoder.lookup_word(name)) is not None:
        yield f"{name} {phones}\n"
        entry += 1
        name = f"{word}({entry})"


def _decode(decoder: _Decoder, audio: NDArray[np.int16]) -> tuple[str, float]:
    """What was heard, and how well that explains it."""
    decoder.set_cmn(_CHANNEL)
    decoder.start_utt()
    try:
        for start in range(0, len(audio), _STEP):
            # Raises Cancelled in this thread, which is the only way to stop it.
            trio.from_thread.check_cancelled()
            decoder.process_raw(audio[start : start + _STEP].tobytes())
    finally:
        decoder.end_utt()
    hypothesis = decoder.hyp()
    return ("", 0.0) if hypothesis is None else (hypothesis.hypstr, hypothesis.score)


def _pocketsphinx() -> ModuleType:
    try:
        return import_extra("pocketsphinx", "pocketsphinx", extra="voice-light")
    except LocalProtocolError as error:
        if sys.version_info < (3, 14):
            raise
        raise LocalProtocolError(
            "these ears need pocketsphinx, which the extra voice-light leaves out on this Python: "
            "there is no wheel for it; the extra voice has better ones"
        ) from error.__cause__
