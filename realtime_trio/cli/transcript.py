"""What is said on both sides, as lines: what `talk` prints.

Owns when a line is finished, and how long nothing was said.  Speech is printed when it was
transcribed, or when it is said that there is no more of it; until then it is what is being said.
"""

from __future__ import annotations

from realtime_trio._state.utility_events import (
    InputTranscriptDelta,
    ItemCompleted,
    ItemTruncated,
    ItemUpdated,
    TextDelta,
    TranscriptDelta,
)
from realtime_trio.events import (
    ConversationItemInputAudioTranscriptionCompleted,
    Event,
    ResponseDone,
)

TRANSCRIBED = (
    ItemUpdated,
    ItemCompleted,
    ItemTruncated,
    ResponseDone,
    ConversationItemInputAudioTranscriptionCompleted,
)
"""The events that a transcript needs."""


class Transcript:
    """Makes lines of the events of a session."""

    def __init__(self) -> None:
        self._model: dict[str, str] = {}
        """What the model is saying, by item."""
        self._user: dict[str, str] = {}
        """What was heard of the user and is still being transcribed, by item."""

    @property
    def unfinished(self) -> str:
        """What is being said, in one line; `""` if nothing is."""
        said = [f"you: {text}" for text in self._user.values()]
        said += [f"model: {text}" for text in self._model.values()]
        return " | ".join(" ".join(text.split()) for text in said)

    def apply(self, event: Event) -> tuple[str, ...]:
        """Take one event, in order; returns the lines that are finished by it."""
        match event:
            case ItemUpdated(item=item, delta=TextDelta(text) | TranscriptDelta(text)):
                self._model[item.id] = self._model.get(item.id, "") + text
            case ItemUpdated(item=item, delta=InputTranscriptDelta(text)):
                self._user[item.id] = self._user.get(item.id, "") + text
            case ConversationItemInputAudioTranscriptionCompleted():
                self._user.pop(event.item_id, None)
                return _line("you", event.transcript)
            case ItemCompleted(item=item):
                return _line("model", self._model.pop(item.id, ""))
            case ResponseDone():
                # What was cut short is never completed.
                left = [_line("model", f"{text}...") for text in self._model.values() if text]
                self._model.clear()
                return tuple(line for lines in left for line in lines)
            case ItemTruncated():
                return (f"(interrupted; {event.audio_end_ms / 1000:.1f} s of it were heard)",)
            case _:
                pass
        return ()


class Silence:
    """Knows for how long nobody has spoken, and says so when somebody does again.

    Args:
        now: The time, in seconds.
        least: Seconds of silence that are worth a line.
    """

    def __init__(self, now: float, least: float = 3.0) -> None:
        self._last_sound = now
        self._least = least

    def seconds(self, now: float) -> float:
        """How long it has been silent; 0 if that is not worth a line."""
        silence = now - self._last_sound
        return silence if silence >= self._least else 0.0

    def end(self, now: float) -> tuple[str, ...]:
        """Take note that somebody speaks; returns the line that this finishes, if any."""
        silence = self.seconds(now)
        self._last_sound = now
        return (f"({silence:.0f} s of silence)",) if silence else ()


def _line(who: str, text: str) -> tuple[str, ...]:
    text = " ".join(text.split())
    return (f"{who}: {text}",) if text else ()


def meter(level: float, width: int = 10) -> str:
    """A level as a bar: empty at -60 dB and below, full at 0 dB."""
    filled = round(max(0.0, min(1.0, (level + 60) / 60)) * width)
    return "#" * filled + "-" * (width - filled)
