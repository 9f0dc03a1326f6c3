"""The items of a response, streamed: messages in writing or as speech, and calls of tools.

Owns the order of events within an item, and what stands in its deltas.  How much may be said, and
whether to stop, it asks of the response's progress; what a call of an MCP tool leads to is known
elsewhere.

Theory of operation.  Each kind of item is a generator: it opens the item, says one delta after the
other, each when its time has come, and closes the item.  The loops over deltas end when the
progress says so, and the lines after the loop close what is open: the same lines in the same order,
whether the item was interrupted or not.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from operator import itemgetter
from typing import TypedDict

import attrs
from attrs import define, field

from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AssistantMessage,
    ContentPart,
    ConversationItemAdded,
    ConversationItemDone,
    FunctionCall,
    McpApprovalRequest,
    McpCall,
    OutputAudio,
    OutputText,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
)
from realtime_trio.simulator.roles import Say
from realtime_trio.simulator.script.script import Call, HostedCall, Message, Output
from realtime_trio.simulator.service.conversation import ServerConversation
from realtime_trio.simulator.service.item_entry import ItemEntry, KnownItem
from realtime_trio.simulator.service.lifecycle import ServerOutbox
from realtime_trio.simulator.service.mcp import HostedTools, MadeCall
from realtime_trio.simulator.service.response_progress import Clock, ResponseProgress
from realtime_trio.simulator.service.response_settings import ResolvedSettings
from realtime_trio.simulator.service.usage import (
    ASSISTANT_MS_PER_TOKEN,
    audio_tokens,
    bytes_per_ms,
    duration_ms,
    encode_audio,
    tokenize,
)
from realtime_trio.simulator.speech import synthesize_speech

CHUNK_MS = 200
"""Milliseconds of speech in one delta."""
_LEAD = 0.4
"""Seconds by which a transcript is ahead of its speech.  On the live wire it usually is ahead, by
no fixed time."""
_PADDING = "Kq3vTz8LmXw1RbYf"
"""Letters without a meaning, and always the same ones, so that every run is the same."""


class _PartPlace(TypedDict):
    """Where a content part is, as all its events say it."""

    response_id: str
    item_id: str
    output_index: int
    content_index: int


@define(eq=False)
class OutputWriter:
    """Streams the items of one response to the outbox, and into the conversation."""

    _response_id: str
    _settings: ResolvedSettings
    _progress: ResponseProgress
    _hosted: HostedTools
    _conversation: ServerConversation | None
    """Where the items go, None if the response is out of band."""
    _out: ServerOutbox
    made: list[MadeCall] = field(factory=list, init=False)
    """Calls of MCP tools that are to run when the response is done."""

    def write(self, index: int, output: Output | Say, now: float) -> Clock:
        """Stream one item.

        Args:
            index: Its position in the response.
            output: What it is made of; the first piece, if it is a message that comes bit by bit.
            now: The time of its first event.
        """
        if isinstance(output, Call):
            return self._call(index, output, now)
        if isinstance(output, HostedCall):
            return (self._ask if output.approval else self._call_hosted)(index, output, now)
        if self._settings.modality == "audio":
            return self._speak(index, output, now)
        return self._type(index, output, now)

    # --- items ------------------------------------------------------------------------------------

    def _open(self, index: int, item: KnownItem) -> tuple[ItemEntry, str | None]:
        """Begin an item; returns where it is kept, and the id of the item before it."""
        entry = ItemEntry(str(item.id), item, self._settings.format)
        self._progress.entries.append(entry)
        self._progress.output.append(item)
        self._out.send(
            ResponseOutputItemAdded(
                event_id=self._out.event_id(),
                response_id=self._response_id,
                output_index=index,
                item=entry.shown,
            )
        )
        # What is out of band joins no conversation, so only the response tells of it.
        if self._conversation is None:
            return entry, None
        previous = self._conversation.insert(entry)
        self._out.send(
            ConversationItemAdded(
                event_id=self._out.event_id(), item=entry.shown, previous_item_id=previous
            )
        )
        return entry, previous

    def _close(
        self,
        index: int,
        entry: ItemEntry,
        previous: str | None,
        item: KnownItem,
        *,
        is_final: bool = True,
    ) -> None:
        """Finish an item of the response.

        The conversation is told as well, unless something becomes of the item afterwards.
        """
        entry.become(item)
        # Told as it was generated, also if it has been truncated meanwhile: only the conversation's
        # copy is without what was not heard.
        self._progress.output[index] = item
        # The conversation comes first: that is the order on the live wire.
        if self._conversation is not None and is_final:
            self._out.send(
                ConversationItemDone(
                    event_id=self._out.event_id(), item=item, previous_item_id=previous
                )
            )
        self._out.send(
            ResponseOutputItemDone(
                event_id=self._out.event_id(),
                response_id=self._response_id,
                output_index=index,
                item=item,
            )
        )

    # --- messages ---------------------------------------------------------------------------------

    def _open_message(
        self, index: int, content: OutputText | OutputAudio, part: ContentPart
    ) -> tuple[ItemEntry, str | None, _PartPlace]:
        """Begin a message and its only part."""
        # The item is shown empty first: the part has an event of its own.
        entry, previous = self._open(
            index, AssistantMessage(id=self._out.new_id("item_"), status="in_progress", content=())
        )
        entry.become(AssistantMessage(id=entry.id, status="in_progress", content=(content,)))
        place = _PartPlace(
            response_id=self._response_id, item_id=entry.id, output_index=index, content_index=0
        )
        self._out.send(ResponseContentPartAdded(event_id=self._out.event_id(), **place, part=part))
        return entry, previous, place

    def _close_message(
        self,
        entry: ItemEntry,
        previous: str | None,
        place: _PartPlace,
        content: OutputText | OutputAudio,
        part: ContentPart,
    ) -> None:
        self._out.send(ResponseContentPartDone(event_id=self._out.event_id(), **place, part=part))
        message = AssistantMessage(
            id=entry.id, status=self._progress.item_status, content=(content,)
        )
        self._close(place["output_index"], entry, previous, message)

    def _type(self, index: int, piece: Message | Say | None, now: float) -> Clock:
        """A message in writing."""
        entry, previous, place = self._open_message(
            index, OutputText(), ContentPart(type="text", text="")
        )
        said = ""
        while piece is not None:
            for token in tokenize(piece.text):
                yield now
                if not self._progress.may_say(text=1):
                    break
                said += token
                self._out.send(
                    ResponseOutputTextDelta(
                        event_id=self._out.event_id(),
                        **place,
                        delta=token,
                        obfuscation=_padding(token),
                    )
                )
                now += 1 / self._progress.pacing.tokens_per_second
            piece, now = yield from self._progress.next_piece(piece, now)
        # The protocol has these ends for interrupted messages, too, with what was said so far.
        self._out.send(ResponseOutputTextDone(event_id=self._out.event_id(), **place, text=said))
        self._close_message(
            entry, previous, place, OutputText(said), ContentPart(type="text", text=said)
        )
        return now

    def _speak(self, index: int, piece: Message | Say | None, now: float) -> Clock:
        """A message as speech, with its transcript."""
        entry, previous, place = self._open_message(
            index, OutputAudio(transcript=""), ContentPart(type="audio", transcript="")
        )
        said = ""
        speed = self._progress.pacing.audio_speed
        start = now
        while piece is not None:
            chunks = self._chunks(piece)
            for offset, part in _interleave(tokenize(piece.text), chunks):
                now = start + offset / speed
                yield now
                if isinstance(part, str):
                    if not self._progress.may_say(text=1):
                        break
                    said += part
                    self._out.send(
                        ResponseOutputAudioTranscriptDelta(
                            event_id=self._out.event_id(),
                            **place,
                            delta=part,
                            obfuscation=_padding(part),
                        )
                    )
                else:
                    milliseconds = duration_ms(len(part), entry.format)
                    if not self._progress.may_say(
                        audio=audio_tokens(milliseconds, ASSISTANT_MS_PER_TOKEN)
                    ):
                        break
                    entry.speak(part)
                    self._out.send(
                        ResponseOutputAudioDelta(
                            event_id=self._out.event_id(), **place, delta=AudioData(part)
                        )
                    )
            start += duration_ms(sum(map(len, chunks)), entry.format) / 1000 / speed
            piece, now = yield from self._progress.next_piece(piece, now)
            # A piece follows the one before it without a gap, unless it came too late for that.
            start = max(start, now)
        # Speech before transcript, as it was seen; the protocol guarantees neither order.
        self._out.send(ResponseOutputAudioDone(event_id=self._out.event_id(), **place))
        self._out.send(
            ResponseOutputAudioTranscriptDone(
                event_id=self._out.event_id(), **place, transcript=said
            )
        )
        # The same thing is spelled `audio` in parts and `output_audio` in items; neither has bytes.
        self._close_message(
            entry,
            previous,
            place,
            OutputAudio(transcript=said),
            ContentPart(type="audio", transcript=said),
        )
        return now

    def _chunks(self, piece: Message | Say) -> list[bytes]:
        """The speech of a piece, one delta each."""
        settings = self._settings
        audio = piece.audio
        if audio is None:
            audio = AudioData(
                synthesize_speech(piece.text, voice=str(settings.voice), speed=settings.speed)
            )
        # Encoded as a whole, not chunk by chunk: resampling would leave a click at every seam.
        data = encode_audio(audio, settings.format)
        size = CHUNK_MS * bytes_per_ms(settings.format)
        return [data[start : start + size] for start in range(0, len(data), size)]

    # --- calls ------------------------------------------------------------------------------------

    def _call(self, index: int, output: Call, now: float) -> Clock:
        """A call of a function, which the client runs.  It has no content part."""
        call_id = output.call_id or self._out.new_id("call_")
        item = FunctionCall(
            id=self._out.new_id("item_"),
            status="in_progress",
            name=output.name,
            call_id=call_id,
            arguments="",
        )
        entry, previous = self._open(index, item)

        def tell(token: str) -> None:
            self._out.send(
                ResponseFunctionCallArgumentsDelta(
                    event_id=self._out.event_id(),
                    response_id=self._response_id,
                    item_id=entry.id,
                    output_index=index,
                    call_id=call_id,
                    delta=token,
                    obfuscation=_padding(token),
                )
            )

        said, now = yield from self._spell(output.arguments, tell, now)
        # Sent for a call that was cut short, too: clients go by the status of the item.
        self._out.send(
            ResponseFunctionCallArgumentsDone(
                event_id=self._out.event_id(),
                response_id=self._response_id,
                item_id=entry.id,
                output_index=index,
                call_id=call_id,
                name=output.name,
                arguments=said,
            )
        )
        called = attrs.evolve(item, status=self._progress.item_status, arguments=said)
        self._close(index, entry, previous, called)
        return now

    def _call_hosted(self, index: int, output: HostedCall, now: float) -> Clock:
        """A call of an MCP tool, which the service runs when the response is done."""
        item = McpCall(
            id=self._out.new_id("item_"),
            server_label=output.server_label,
            name=output.name,
            arguments="",
        )
        entry, previous = self._open(index, item)

        def tell(token: str) -> None:
            self._out.send(
                ResponseMcpCallArgumentsDelta(
                    event_id=self._out.event_id(),
                    response_id=self._response_id,
                    item_id=entry.id,
                    output_index=index,
                    delta=token,
                    obfuscation=_padding(token),
                )
            )

        said, now = yield from self._spell(output.arguments, tell, now)
        self._out.send(
            ResponseMcpCallArgumentsDone(
                event_id=self._out.event_id(),
                response_id=self._response_id,
                item_id=entry.id,
                output_index=index,
                arguments=said,
            )
        )
        item = attrs.evolve(item, arguments=said)
        # An MCP call has no status.  One that is whole counts, however the response ends after it.
        is_whole = self._progress.ending is None
        self._close(index, entry, previous, item, is_final=not is_whole)
        if is_whole:
            self.made.append(
                MadeCall(
                    output,
                    item,
                    entry=entry,
                    previous=previous,
                    output_index=index,
                    is_apart=self._conversation is None,
                )
            )
        return now

    def _ask(self, index: int, output: HostedCall, now: float) -> Clock:
        """A request for approval, which does not stream: it is there as a whole or not at all."""
        # The arguments take their time, and their tokens, all the same.
        _, now = yield from self._spell(output.arguments, lambda _: None, now)
        if self._progress.ending is None:
            item = McpApprovalRequest(
                id=self._out.new_id("item_"),
                server_label=output.server_label,
                name=output.name,
                arguments=output.arguments,
            )
            entry, previous = self._open(index, item)
            self._close(index, entry, previous, item)
            self._hosted.await_approval(item.id, output, index)
        return now

    def _spell(
        self, arguments: str, tell: Callable[[str], None], now: float
    ) -> Generator[float, float, tuple[str, float]]:
        """Say the arguments of a call; returns as much as was said of them, and the time."""
        said = ""
        for token in tokenize(arguments):
            yield now
            if not self._progress.may_say(text=1):
                break
            said += token
            tell(token)
            now += 1 / self._progress.pacing.tokens_per_second
        return said, now


def _interleave(tokens: Sequence[str], chunks: Sequence[bytes]) -> list[tuple[float, str | bytes]]:
    """Put the tokens of a transcript among the chunks of its speech.

    Returns:
        Both, each with its time in seconds since the speech began; a token is a little ahead of
        where it is spoken.
    """
    duration = len(chunks) * CHUNK_MS / 1000
    timeline: list[tuple[float, str | bytes]] = [
        (max(0.0, index * duration / len(tokens) - _LEAD), token)
        for index, token in enumerate(tokens)
    ]
    timeline += [(index * CHUNK_MS / 1000, chunk) for index, chunk in enumerate(chunks)]
    # The sort is stable: of two things at the same time the transcript comes first.
    timeline.sort(key=itemgetter(0))
    return timeline


def _padding(delta: str) -> str:
    """What the service sends along to hide how long a delta is."""
    return _PADDING[: 16 - len(delta) % 16]
