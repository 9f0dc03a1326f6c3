"""A voice that needs little: espeak-ng, of the extra `voice-light`.

Owns what must be known of that library, which is C and is called as such.  It works offline, and
its wheel carries all its data.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from typing import Final

import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio.audio import PCM_RATE, resample
from realtime_trio.errors import LocalProtocolError
from realtime_trio.simulator.voice.extra import import_extra

# Numbers of the C interface, espeak-ng's speak_lib.h.
_SYNCHRONOUS: Final = 2
_DONT_EXIT: Final = 0x8000
_CHARACTERS: Final = 1
_UTF8: Final = 1
_RATE: Final = 1
_RANGE: Final = 4

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class _Espeak:
    """The C library.

    It has one voice and one set of parameters per process, hence the lock around everything.
    """

    def __init__(self) -> None:
        loader = import_extra("espeakng_loader", "espeakng-loader", extra="voice-light")
        self._library = ctypes.CDLL(loader.get_library_path())
        self._lock = threading.Lock()
        self._chunks: list[NDArray[np.int16]] = []
        # Kept, because the library has only its address, which does not keep it alive.
        self._callback = _Callback(self._collect)
        self.rate: int = self._library.espeak_Initialize(
            _SYNCHRONOUS, 0, os.fsencode(loader.get_data_path()), _DONT_EXIT
        )
        """Hz, of what it speaks."""
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(
        self, text: str, voice: str, words_per_minute: int, pitch_range: int
    ) -> NDArray[np.int16]:
        """Samples of shape (n,) at `rate`; blocks."""
        # To C the text ends at its first zero byte.
        data = text.replace("\0", " ").encode("utf-8", "replace")
        with self._lock:
            self._chunks.clear()
            _check(
                self._library.espeak_SetVoiceByName(voice.encode()),
                f"espeak-ng has no voice {voice!r}",
            )
            self._library.espeak_SetParameter(_RATE, words_per_minute, 0)
            self._library.espeak_SetParameter(_RANGE, pitch_range, 0)
            size = ctypes.c_size_t(len(data) + 1)
            status = self._library.espeak_Synth(data, size, 0, _CHARACTERS, 0, _UTF8, None, None)
            _check(status, f"espeak-ng cannot speak a text of {len(text)} characters")
            # The empty array is for texts without any sound: there is no concatenation of nothing.
            return np.concatenate([np.zeros(0, np.int16), *self._chunks])

    def _collect(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _: object) -> int:
        # The last call has no samples.
        if count > 0:
            # `astype` copies; the memory is the library's.
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).astype(np.int16))
        return 0


def _check(status: int, complaint: str) -> None:
    if status != 0:
        raise LocalProtocolError(f"{complaint} (status {status})")


# Once per process, since the library has one state for all who use it.
_load_espeak = functools.cache(_Espeak)


class EspeakVoice:
    """Speaks with espeak-ng: offline, robotic, and easy to understand.

    Takes 2 to 5 ms of one core per second of speech, in a thread; instances share one library,
    which speaks one text at a time.  The same text sounds the same but need not have the same
    samples: the library goes on where it was in its cycles.

    Args:
        voice: A voice of espeak-ng, `language` or `language+variant`.  The default is American
            English in the variant that `PocketsphinxEars` understand best.
        words_per_minute: 80 to 450; calm by default, for the same reason.
        pitch_range: 0 is a monotone, 50 is lively, up to 100.

    Raises:
        LocalProtocolError: The extra `voice-light` is not installed, there is no such voice, or a
            number is out of range.
    """

    def __init__(
        self, voice: str = "en-us+klatt4", *, words_per_minute: int = 150, pitch_range: int = 35
    ) -> None:
        if not (80 <= words_per_minute <= 450 and 0 <= pitch_range <= 100):
            raise LocalProtocolError(
                f"cannot speak {words_per_minute} words per minute with a pitch range of "
                f"{pitch_range}; allowed: 80 to 450, 0 to 100"
            )
        self._espeak = _load_espeak()
        self._voice = voice
        self._words_per_minute = words_per_minute
        self._pitch_range = pitch_range
        # So that a wrong voice is an error here, and not in the middle of an answer.
        self._speak("")

    async def speak(self, text: str) -> NDArray[np.int16]:
        """Speak a text.

        Args:
            text: Anything; what has no sound, like an empty text, gives few or no samples.

        Returns:
            Shape (n,), int16, 24 kHz mono.

        Cancellation is noticed when the text has been spoken, and has no effect on later calls.
        """
        return await trio.to_thread.run_sync(self._speak, text)

    def _speak(self, text: str) -> NDArray[np.int16]:
        spoken = self._espeak.speak(text, self._voice, self._words_per_minute, self._pitch_range)
        return resample(spoken, self._espeak.rate, PCM_RATE)
