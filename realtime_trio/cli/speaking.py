"""The user's side of a talk: when it is their turn, and what of the microphone is sent.

Owns the three ways to know: the service finds turns in what it hears, this machine does, or a key
is pressed.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import numpy as np
import trio
from numpy.typing import NDArray

from realtime_trio._session.voice import Session
from realtime_trio.devices import PreRoll, SpeechModel, VoiceActivity
from realtime_trio.playback import Playback

Turns: TypeAlias = Literal["service", "here", "key"]
"""Who finds the turns of the user."""
_PREROLL: Final = 0.3
"""Seconds before the key that are sent as well: who presses it begins to speak already."""
_LEAST: Final = 0.1
"""Seconds of audio below which the service refuses a turn."""


class Speaking:
    """Sends what the user says.

    Args:
        session: Where to.  Its turn detection is on with `service`, and else off.
        rate: Samples per second of what is heard.
        playback: What the model says.
        model: Tells what is speech.
        turns: Who finds the turns.
        is_quick: With `service`, whether speech that is heard here interrupts.
    """

    def __init__(
        self,
        session: Session,
        rate: int,
        playback: Playback,
        model: SpeechModel,
        turns: Turns,
        *,
        is_quick: bool,
    ) -> None:
        self._session = session
        self._rate = rate
        self._playback = playback
        self._turns = turns
        self._is_quick = is_quick
        self._activity = VoiceActivity(model, rate)
        self._preroll = PreRoll(round(_PREROLL * rate))
        self._is_pressed = False
        self._said: int | None = None
        """Samples that were sent of the turn that the user has; None between turns."""

    @property
    def is_on(self) -> bool:
        """Whether the user has their turn, as far as it is known on this side."""
        return self._is_pressed if self._turns == "key" else self._activity.is_speech

    async def press(self) -> None:
        """The key: it begins and ends a turn, or interrupts where turns are found otherwise."""
        await trio.lowlevel.checkpoint()
        if self._turns == "key":
            self._is_pressed = not self._is_pressed
        else:
            await self._session.cancel_response()

    async def hear(self, chunk: NDArray[np.int16]) -> None:
        """Take what the microphone has heard, and send what belongs to a turn."""
        await trio.lowlevel.checkpoint()
        activity = self._activity.process(chunk)
        match self._turns:
            case "service":
                if self._is_quick and activity.has_started and self._playback.is_audible:
                    await self._session.cancel_response()
                await self._session.append_audio(chunk)
            case "here":
                if len(activity.audio):
                    await self._say(activity.audio)
                if activity.has_ended:
                    await self._finish()
            case "key" if self._is_pressed:
                await self._say(np.concatenate((self._preroll.take(), chunk)))
            case _:
                if self._said is not None:
                    await self._finish()
                self._preroll.put(chunk)

    async def _say(self, audio: NDArray[np.int16]) -> None:
        if self._said is None:
            self._said = 0
            await self._session.cancel_response()
        self._said += len(audio)
        await self._session.append_audio(audio)

    async def _finish(self) -> None:
        said, self._said = self._said or 0, None
        if said < _LEAST * self._rate:
            await self._session.clear_audio()
        else:
            await self._session.respond()
