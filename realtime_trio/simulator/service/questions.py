"""What the simulated server cannot know by itself: what to answer, and what the user said.

Owns the questions that it asks whoever drives it, and the list of audio that is being listened to.
Who answers, and how long that takes, is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from weakref import WeakSet

import attrs
import numpy as np
from attrs import define, field, frozen
from numpy.typing import NDArray

from realtime_trio.audio import G711_RATE, PCM_RATE, AudioData, alaw_decode, mulaw_decode, resample
from realtime_trio.events import InputAudio, UserMessage
from realtime_trio.simulator.script.script import Turn
from realtime_trio.simulator.service.configuration import PCM
from realtime_trio.simulator.service.item_entry import ItemEntry


@frozen(kw_only=True)
class AnswerWanted:
    """An agent is to answer a turn.

    `SimulatedServer.say` takes each piece of the answer, then `answer_ends` or `answer_fails`.
    """

    id: str
    """Names the question; it is the id of the response."""
    turn: Turn
    """What to answer."""


@frozen(kw_only=True, eq=False)
class TranscriptWanted:
    """Somebody with ears is to say what the user said.

    `SimulatedServer.transcription_ends` takes the words, `transcription_fails` that there are none.
    """

    id: str
    """Names the question."""
    samples: NDArray[np.int16] = attrs.field(repr=False)
    """Shape (n,), int16, 24 kHz mono."""


Question = AnswerWanted | TranscriptWanted
"""Something the server cannot know by itself."""


@define(eq=False)
class Questions:
    """What has come up and was not taken yet, and who is there to be asked."""

    has_agent: bool
    """Whether somebody answers `AnswerWanted`."""
    has_ears: bool
    """Whether somebody answers `TranscriptWanted`."""
    _asked: list[Question] = field(factory=list, init=False)

    def ask(self, question: Question) -> None:
        """Have a question taken."""
        self._asked.append(question)

    def take(self) -> list[Question]:
        """The questions since the last time, in the order in which they came up."""
        asked, self._asked = self._asked, []
        return asked


@define(eq=False)
class Hearing:
    """The user's audio that is being listened to, each piece once."""

    _ask: Callable[[TranscriptWanted], None]
    """Takes the questions."""
    _open: dict[str, ItemEntry] = field(factory=dict, init=False)
    # Weak, because a deleted item must not stay in memory for the sake of its audio.
    _known: WeakSet[ItemEntry] = field(factory=WeakSet, init=False)
    """What was listened to, or need not be."""
    _count: int = field(default=0, init=False)

    def listen(self, entry: ItemEntry) -> None:
        """Ask what the user says in an item, if it has audio whose words nobody has given yet."""
        # Noted before the answer: every response reads the item, and ears are asked once.
        if entry not in self._known and _has_unknown_words(entry):
            self._known.add(entry)
            self._count += 1
            # Not the id of the item: that may be a client's, and questions share one set of names.
            question = TranscriptWanted(id=f"audio_{self._count}", samples=_samples(entry))
            self._open[question.id] = entry
            self._ask(question)

    def skip(self, entry: ItemEntry) -> None:
        """Never ask about an item."""
        self._known.add(entry)

    def is_open(self, question_id: str) -> bool:
        """Whether a question was asked and not answered yet."""
        return question_id in self._open

    def awaits_any(self, entries: Sequence[ItemEntry]) -> bool:
        """Whether it is not known yet what the user says in one of these items, and will be."""
        # From the end: what is still being listened to came last.
        return any(entry is other for entry in self._open.values() for other in reversed(entries))

    def finish(self, question_id: str) -> ItemEntry | None:
        """Close a question; returns the item it was about, None if it was not open."""
        return self._open.pop(question_id, None)


def _has_unknown_words(entry: ItemEntry) -> bool:
    if not isinstance(entry.item, UserMessage) or entry.transcript is not None:
        return False
    return any(
        isinstance(part, InputAudio) and part.audio and part.transcript is None
        for part in entry.item.content
    )


def _samples(entry: ItemEntry) -> NDArray[np.int16]:
    """All the user's audio in an item, as ears want it."""
    assert isinstance(entry.item, UserMessage), "only messages of the user have audio to listen to"
    parts = (
        part.audio.data
        for part in entry.item.content
        if isinstance(part, InputAudio) and part.audio is not None
    )
    data = b"".join(parts)
    if entry.format.type == PCM.type:
        return AudioData(data).samples
    # One rate for all ears, so that none has to know what the client's audio was.
    narrow = mulaw_decode(data) if entry.format.type == "audio/pcmu" else alaw_decode(data)
    return resample(narrow, G711_RATE, PCM_RATE)
