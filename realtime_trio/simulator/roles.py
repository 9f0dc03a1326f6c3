"""Who may answer, hear and speak in the place of the service's models: the contracts alone.

Owns `Agent`, `Ears` and `Voice`, behind which anything can be plugged in, and the pieces that an
answer is made of.  Refuses to know the protocol: an agent is given a `Turn` and yields what to say
and to call.
"""

# Contracts apart from what keeps them: the service is told answers as pieces, and must not import
# an agent for that.

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from realtime_trio.audio import AudioData, AudioLike
from realtime_trio.simulator.script.reply import Call, Turn


def _to_optional_audio(audio: AudioLike | None) -> AudioData | None:
    return None if audio is None else AudioData.of(audio)


@frozen
class Say:
    """The next piece of the message that is being said; the pieces joined are the message."""

    text: str
    """The words, with the space that parts them from the next piece."""
    audio: AudioData | None = field(default=None, converter=_to_optional_audio)
    """The speech of this piece: int16 PCM at 24 kHz.  None: the synthetic voice says it, if the
    response is spoken at all."""


Piece = Say | Call
"""What an agent yields.  A call ends the message before it; what is said after a call is another
message."""


class Agent(Protocol):
    """Answers turns."""

    # Not `async def`: calling an async generator function returns the iterator itself.
    def answer(self, turn: Turn) -> AsyncIterator[Piece]:
        """Answer one turn, piece by piece, as soon as each is known.

        An async generator, which may wait as long as it needs to.  When its response is cancelled,
        it is cancelled at a checkpoint of its own, or closed where it yielded; nothing more of it
        is used.  Turns of several connections may be answered at once.

        Args:
            turn: What the model would read: the conversation, the instructions, the tools.
        """
        ...


class Ears(Protocol):
    """Recognizes speech."""

    async def transcribe(self, samples: NDArray[np.int16]) -> str | None:
        """Recognize what was said in one committed piece of audio.

        Args:
            samples: Shape (n,), int16, 24 kHz mono.

        Returns:
            The words; None or `""` if nothing was understood.
        """
        ...


class Voice(Protocol):
    """Speaks."""

    async def speak(self, text: str) -> NDArray[np.int16]:
        """Speak a text.

        Args:
            text: Usually one sentence, so that the first can be heard while the next is made.

        Returns:
            Shape (n,), int16, 24 kHz mono; n may be 0.
        """
        ...
