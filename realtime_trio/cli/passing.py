"""What passes on the connections of a server, as lines to read: what `serve` prints.

Owns what is worth a line and what is folded.  Pure: it is told messages and returns lines.

Theory of operation.  What is said comes in pieces, and is one line when it is whole; audio that is
appended, and events that say nothing by themselves, are gathered in a run, which ends when
something else happens, when the direction changes, or when somebody who has waited long enough asks
for it (`flush`).  So lines stand in the order in which things happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import define, field, frozen

from realtime_trio._legible import legible
from realtime_trio._protocol.wire_record import Source, WireRecord
from realtime_trio.audio import PCM_RATE
from realtime_trio.events import (
    ConversationItemCreate,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemTruncate,
    ErrorEvent,
    Event,
    FunctionCall,
    FunctionCallOutput,
    InputAudioBufferAppend,
    InputText,
    Item,
    McpCall,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseMcpCallArgumentsDelta,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    TranslationSessionInputAudioBufferAppend,
    TranslationSessionInputTranscriptDelta,
    TranslationSessionOutputAudioDelta,
    TranslationSessionOutputTranscriptDelta,
    UnknownEvent,
    UserMessage,
)
from realtime_trio.recording import AudioFormats

_ARROWS: Final[Mapping[Source, str]] = {"client": "->", "server": "<-"}
_LONGEST: Final = 300
"""Characters of what somebody said."""
_LONGEST_TYPE: Final = 100
_MOST_IN_A_RUN: Final = 6
"""Different events in one line."""
_APPENDS: Final = (InputAudioBufferAppend, TranslationSessionInputAudioBufferAppend)
_FOLDED: Final = (
    ConversationItemInputAudioTranscriptionDelta,
    ResponseFunctionCallArgumentsDelta,
    ResponseMcpCallArgumentsDelta,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputTextDelta,
)
"""Pieces of what is told as a whole afterwards."""
_TRANSLATED: Final = "translation"
_HEARD: Final = "heard"
"""Names of what has no item: the two sides of a translation."""
_ENDS: Final = (".", "!", "?", "\u2026", "\u3002")
"""With what a sentence of a translation ends, which nobody says otherwise."""


@frozen
class Line:
    """A line about one direction of a connection."""

    side: Source
    """Who has sent what it is about."""
    text: str
    """The line, without its connection."""


@define
class _Said:
    """What is being said."""

    words: str = ""
    seconds: float = 0.0

    def told(self, end: str = "") -> str:
        length = f" ({self.seconds:.1f} s)" if self.seconds else ""
        return f'"{legible(self.words, _LONGEST)}{end}"{length}'


@define
class _Run:
    """Events that say nothing by themselves, one after the other."""

    side: Source
    is_audio: bool
    counts: dict[str, int] = field(factory=dict)
    seconds: float = 0.0

    def line(self) -> Line:
        named = [name if count == 1 else f"{name} x{count}" for name, count in self.counts.items()]
        length = f" ({self.seconds:.1f} s)" if self.seconds else ""
        return Line(self.side, f"{_ARROWS[self.side]} {', '.join(named)}{length}")


class Passing:
    """What passes on one connection."""

    def __init__(self) -> None:
        self._formats = AudioFormats()
        self._run: _Run | None = None
        self._said: dict[str, _Said] = {}
        """What is being said, by item."""

    def apply(self, record: WireRecord) -> list[Line]:
        """Take the next message; returns the lines that are finished by it."""
        event, side = record.event, record.source
        if side == "server":
            self._formats.follow(event)
        if isinstance(event, _FOLDED):
            self._gather(event)
            return []
        lines = []
        said = self._finish(event)
        if said == []:
            return []
        if said is None:
            lines += self._fold(side, event)
        else:
            lines += self.flush()
            lines += [Line(side, f"{_ARROWS[side]} {text}") for text in said]
        return lines

    def flush(self) -> list[Line]:
        """The line of what was gathered, if there is any."""
        run, self._run = self._run, None
        return [] if run is None else [run.line()]

    def _gather(self, event: Event) -> None:
        match event:
            case ResponseOutputAudioDelta(item_id=item_id, delta=audio):
                rate = _bytes_per_second(self._formats.output(event.response_id))
                self._saying(item_id).seconds += audio.nbytes / rate
            case (
                ResponseOutputAudioTranscriptDelta(item_id=item_id, delta=text)
                | ResponseOutputTextDelta(item_id=item_id, delta=text)
            ):
                said = self._saying(item_id)
                # No more than is shown: a server may talk for ever.
                said.words = (said.words + text)[: _LONGEST + 1]
            case _:
                pass

    def _saying(self, item_id: str) -> _Said:
        return self._said.setdefault(item_id, _Said())

    def _fold(self, side: Source, event: Event) -> list[Line]:
        """Put an event into the run; returns the line of the run before, if it was another one."""
        name = legible(event.type, _LONGEST_TYPE) or "something that is not an event"
        is_audio = isinstance(event, _APPENDS)
        run, lines = self._run, []
        if run is not None and (
            run.side != side or run.is_audio != is_audio or len(run.counts) == _MOST_IN_A_RUN
        ):
            lines, run = self.flush(), None
        if run is None:
            run = self._run = _Run(side, is_audio)
        run.counts[name] = run.counts.get(name, 0) + 1
        if isinstance(event, _APPENDS):
            run.seconds += event.audio.nbytes / _bytes_per_second(self._formats.input)
        return lines

    def _finish(self, event: Event) -> list[str] | None:
        """What an event says, in lines; None if it says nothing by itself."""
        match event:
            case ResponseOutputItemDone(item=item):
                return [self._output(item)]
            case ResponseDone(response=response):
                # What was cut short is never done.
                cut = [said.told("...") for said in self._said.values() if said.words]
                self._said.clear()
                usage = response.usage
                tokens = (
                    ""
                    if usage is None
                    else f", {usage.input_tokens} tokens in, {usage.output_tokens} out"
                )
                return [*cut, f"response.done: {response.status}{tokens}"]
            case ConversationItemCreate(item=item):
                return [_input(item)]
            case ConversationItemTruncate():
                return [f"{event.type}: {event.audio_end_ms / 1000:.1f} s were heard"]
            case ConversationItemInputAudioTranscriptionCompleted(transcript=words):
                return [f'understood: "{legible(words, _LONGEST)}"']
            case ConversationItemInputAudioTranscriptionFailed(error=failure):
                return [f"not understood: {legible(failure.message or 'no reason given')}"]
            case ErrorEvent(error=error):
                return [f"error: {legible(error.message)}"]
            case UnknownEvent(problem=problem) if problem is not None:
                name = legible(event.type, _LONGEST_TYPE) or "something that is not an event"
                return [f"{name}: {legible(problem)}"]
            case TranslationSessionOutputAudioDelta(delta=audio):
                self._saying(_TRANSLATED).seconds += audio.nbytes / _bytes_per_second(None)
                return []
            case TranslationSessionOutputTranscriptDelta(delta=text):
                return self._sentence(_TRANSLATED, text, "")
            case TranslationSessionInputTranscriptDelta(delta=text):
                return self._sentence(_HEARD, text, "understood: ")
            case _:
                return None

    def _sentence(self, key: str, text: str, before: str) -> list[str]:
        """Gather what is translated, and tell it sentence by sentence."""
        said = self._saying(key)
        said.words = f"{said.words}{text}".lstrip()
        if not said.words.rstrip().endswith(_ENDS) and len(said.words) < _LONGEST:
            return []
        del self._said[key]
        return [f"{before}{said.told()}"]

    def _output(self, item: Item) -> str:
        said = self._said.pop(item.id or "", None)
        match item:
            case FunctionCall() | McpCall():
                return f"{item.name}({legible(item.arguments, _LONGEST)})"
            case _ if said is not None:
                return said.told()
            case _:
                return f"response.output_item.done: {legible(str(item.type), _LONGEST_TYPE)}"


def _input(item: Item) -> str:
    match item:
        case UserMessage(content=parts):
            words = " ".join(part.text for part in parts if isinstance(part, InputText))
            kinds = [part.type for part in parts if not isinstance(part, InputText)]
            shown = [f'"{legible(words, _LONGEST)}"'] if words else []
            return (
                ", ".join([*shown, *(legible(str(kind), _LONGEST_TYPE) for kind in kinds)]) or '""'
            )
        case FunctionCallOutput(output=output):
            return f"output: {legible(output, _LONGEST)}"
        case _:
            return f"conversation.item.create: {legible(str(item.type), _LONGEST_TYPE)}"


def _bytes_per_second(audio_format: str | None) -> float:
    # G.711 has a byte for each of its samples, PCM two.
    return 8000 if audio_format in ("audio/pcmu", "audio/pcma") else 2 * PCM_RATE
