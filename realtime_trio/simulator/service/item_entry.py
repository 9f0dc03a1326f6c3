"""An item as the server keeps it: the audio that belongs to it, its size, and how it is shown.

Owns what an item becomes: as it grows, as it is understood, and when it is cut.  Where it stands is
the conversation's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import attrs
from attrs import define

from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputItem,
    InputText,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
    OutputAudio,
    OutputText,
    SystemMessage,
    UserContent,
    UserMessage,
)
from realtime_trio.simulator.service.refusal import Refusal, check_range
from realtime_trio.simulator.service.usage import (
    ASSISTANT_MS_PER_TOKEN,
    USER_MS_PER_TOKEN,
    audio_tokens,
    bytes_per_ms,
    duration_ms,
    text_tokens,
)

KnownItem: TypeAlias = (
    SystemMessage
    | UserMessage
    | AssistantMessage
    | FunctionCall
    | FunctionCallOutput
    | McpApprovalResponse
    | McpListTools
    | McpCall
    | McpApprovalRequest
)
"""An item that a conversation can hold."""


@define(eq=False)
class ItemEntry:
    """An item of the conversation, or of an out-of-band response, as the server keeps it."""

    id: str
    item: KnownItem
    """With the user's audio; the model's is kept apart, since it grows.  Set only by `become`."""
    format: AudioFormat
    """Encoding of its audio."""
    spoken: bytearray = attrs.Factory(bytearray)
    """The model's speech so far.  Grows only by `speak`."""
    transcript: str | None = None
    """What the user says in its audio, from the moment it is understood, which is before clients
    are told.  Set only by `understand`."""
    is_left_out: bool = False
    """Whether the model does not see it any more, to make room for newer items.  Clients still
    do."""
    on_change: Callable[[ItemEntry], None] | None = attrs.field(default=None, init=False)
    """Told after every change, so that nobody has to look through all items for what changed."""
    is_cut: bool = attrs.field(default=False, init=False)
    """Whether it was truncated; then nothing that is still said of it belongs to it any more."""
    _counted: tuple[KnownItem, int, tuple[int, int]] | None = attrs.field(default=None, init=False)
    """Its tokens, and of what: every response reads all of a conversation, most of which does not
    change any more."""

    @property
    def shown(self) -> KnownItem:
        """The item as events show it: without audio."""
        if isinstance(self.item, UserMessage):
            return attrs.evolve(self.item, content=[_silent(part) for part in self.item.content])
        return self.item

    @property
    def whole(self) -> KnownItem:
        """The item as `retrieve` shows it: with audio."""
        if isinstance(self.item, AssistantMessage) and self.spoken:
            audio = AudioData(self.spoken)
            parts = [
                attrs.evolve(part, audio=audio) if isinstance(part, OutputAudio) else part
                for part in self.item.content
            ]
            return attrs.evolve(self.item, content=parts)
        return self.item

    @property
    def understood(self) -> KnownItem:
        """The item as the model reads it: with what was said, before the transcript is out."""
        if isinstance(self.item, UserMessage) and self.transcript is not None:
            parts = [
                attrs.evolve(part, transcript=self.transcript)
                if isinstance(part, InputAudio)
                else part
                for part in self.item.content
            ]
            return attrs.evolve(self.item, content=parts)
        return self.item

    @property
    def heard_ms(self) -> float:
        """Milliseconds of the user's audio in it."""
        if not isinstance(self.item, UserMessage):
            return 0.0
        sizes = (
            part.audio.nbytes
            for part in self.item.content
            if isinstance(part, InputAudio) and part.audio is not None
        )
        return duration_ms(sum(sizes), self.format)

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens of text and of audio that the model has to read."""
        size = len(self.spoken)
        if self._counted is None or self._counted[0] is not self.item or self._counted[1] != size:
            audio = audio_tokens(self.heard_ms, USER_MS_PER_TOKEN) + audio_tokens(
                duration_ms(size, self.format), ASSISTANT_MS_PER_TOKEN
            )
            self._counted = self.item, size, (text_tokens(_texts(self.item)), audio)
        return self._counted[2]

    def become(self, item: KnownItem) -> None:
        """Take a newer state of the item, without the words if it was truncated.

        The stream of a response goes on after a truncation, and states at its end all that was
        generated.  That must not bring back what the user did not hear.
        """
        if self.is_cut and isinstance(item, AssistantMessage):
            item = attrs.evolve(item, content=(OutputAudio(),))
        self.item = item
        self._changed()

    def speak(self, audio: bytes) -> None:
        """Append to the model's speech, unless it was truncated."""
        if not self.is_cut:
            self.spoken += audio
            self._changed()

    def understand(self, words: str) -> None:
        """Note what the user says in its audio."""
        self.transcript = words
        self._changed()

    def truncate(self, content_index: int, audio_end_ms: int) -> None:
        """Cut the model's speech, and drop its transcript.

        Then the context holds nothing that the user did not hear.

        Raises:
            Refusal: There is no such audio.
        """
        check_range(audio_end_ms, 0, 2**31 - 1, "audio_end_ms")
        if not isinstance(self.item, AssistantMessage) or not self.spoken:
            raise Refusal(
                "Only model output audio messages can be truncated.",
                code="unsupported_content_type",
            )
        if content_index != 0:
            raise Refusal(
                f"Invalid 'content_index': the item has no part {content_index}.",
                code="invalid_value",
                param="content_index",
            )
        # Of what was sent so far, which is all that a client can have played.
        duration = int(duration_ms(len(self.spoken), self.format))
        if audio_end_ms > duration:
            raise Refusal(
                f"Audio content of {duration}ms is already shorter than {audio_end_ms}ms",
                code="invalid_value",
            )
        # Nobody knows which words belong to the rest, so the whole transcript goes, as the
        # specification has it; by the guide it is that of the unplayed part.
        del self.spoken[audio_end_ms * bytes_per_ms(self.format) :]
        self.is_cut = True
        self.become(self.item)

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change(self)


def _silent(part: UserContent) -> UserContent:
    return attrs.evolve(part, audio=None) if isinstance(part, InputAudio) else part


def _texts(item: InputItem) -> Iterator[str | None]:
    match item:
        case (
            SystemMessage(content=content)
            | UserMessage(content=content)
            | AssistantMessage(content=content)
        ):
            for part in content:
                match part:
                    case InputText(text=text) | OutputText(text=text):
                        yield text
                    case OutputAudio(transcript=transcript):
                        yield transcript
        case (
            FunctionCall(name=name, arguments=arguments)
            | McpApprovalRequest(name=name, arguments=arguments)
        ):
            yield from (name, arguments)
        case McpCall(name=name, arguments=arguments):
            yield from (name, arguments, item.output)
        case McpListTools(tools=tools):
            # A list is read with every response.  In which form is not known, so this is a guess.
            yield from map(str, tools)
        case FunctionCallOutput(output=output):
            yield output
