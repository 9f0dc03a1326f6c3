"""One response under way: its events in the protocol's order, and the way it ends when it is stopped half way.

Theory of operation.  A response is a generator that sends its events to the outbox and yields the
time before which it must not go on. The server lets it run when that time has come.  What it says
it takes from a queue, which a script fills at once and an agent bit by bit; while that is empty and
more may come, it waits for no time but to be woken.  Stopping it notes how it ends and lets it run
to its end regardless of times: every loop over deltas looks at the note and falls through to the
lines that close the part, the item and the response. So what is open is closed in the same order
and by the same code, interrupted or not, and what was not said yet is never said.

A call of an MCP tool is made here and run elsewhere, when the response is done.  Like a call of a
function it counts if it was made as a whole, however the response ends after it; one that is cut
short is closed like everything else and is never run.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from operator import itemgetter
from typing import TypedDict

import attrs

from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AssistantMessage,
    ContentPart,
    ConversationItemAdded,
    ConversationItemDone,
    FunctionCall,
    ItemStatus,
    McpApprovalRequest,
    McpCall,
    OutputAudio,
    OutputText,
    RateLimitsUpdated,
    Response,
    ResponseAudio,
    ResponseAudioOutput,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreated,
    ResponseDone,
    ResponseErrorDetail,
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
    ResponseStatus,
    ResponseStatusDetails,
    ResponseUsage,
)
from realtime_trio.simulator.roles import Piece, Say
from realtime_trio.simulator.script.script import (
    Call,
    Failure,
    HostedCall,
    Message,
    Output,
    Pacing,
    Reply,
)
from realtime_trio.simulator.service.conversation import ItemEntry, KnownItem, ServerConversation
from realtime_trio.simulator.service.lifecycle import ServerOutbox, Task
from realtime_trio.simulator.service.mcp import HostedTools, MadeCall
from realtime_trio.simulator.service.response_settings import ResolvedSettings
from realtime_trio.simulator.service.usage import (
    ASSISTANT_MS_PER_TOKEN,
    InputTokens,
    audio_tokens,
    bytes_per_ms,
    duration_ms,
    encode_audio,
    make_rate_limits,
    make_usage,
    tokenize,
)
from realtime_trio.simulator.speech import synthesize_speech

CHUNK_MS = 200
"""Milliseconds of speech in one delta."""
_LEAD = 0.4
"""Seconds a transcript is ahead of its speech."""
_PADDING = "Kq3vTz8LmXw1RbYf"

Clock = Generator[float, None, float]
"""Yields the times it waits for; returns the time it ended."""


class RunningResponse(Task):
    """A response from its creation to `response.done`.

    Give it either the whole of what it says, by `perform`, or one piece after the other, by `say`
    and finally `end`.

    Args:
        settings: How it is said.
        pacing: How fast, if that is not said by what it performs.
        read: What it had to read.
        hosted: Where its calls of MCP tools go.
        conversation: Where its items go, None if out of band.
        outbox: Where its events go.
        now: Time of its creation.
    """

    def __init__(
        self,
        settings: ResolvedSettings,
        pacing: Pacing,
        *,
        read: InputTokens,
        hosted: HostedTools,
        conversation: ServerConversation | None,
        outbox: ServerOutbox,
        now: float,
    ) -> None:
        self.id = outbox.new_id("resp_")
        self._settings = settings
        self._pacing = pacing
        self._created = now
        self._queue: deque[Output | Say] = deque()
        """What is to be said next."""
        self._more_may_come = True
        self._failure: Failure | None = None
        self._read = read
        self._hosted = hosted
        self._conversation = conversation
        self._out = outbox
        self._entries: list[ItemEntry] = []
        self._made: list[MadeCall] = []
        self._text_tokens = 0
        self._audio_tokens = 0
        self._ending: tuple[ResponseStatus, ResponseStatusDetails] | None = None
        super().__init__(self._run(now))

    @property
    def is_open(self) -> bool:
        """Whether more can be said in it."""
        return self.due is not None and self._more_may_come

    @property
    def backlog(self) -> int:
        """How many pieces were given to it and not begun yet."""
        return len(self._queue)

    @property
    def spoken_ms(self) -> float:
        """Milliseconds that its speech plays, as far as there is any."""
        return sum(duration_ms(len(entry.spoken), entry.format) for entry in self._entries)

    def perform(self, reply: Reply, now: float) -> None:
        """Say all of a reply, and nothing more."""
        self._queue += reply.outputs
        self._pacing = reply.pacing or self._pacing
        self.end(now, reply.failure)

    def say(self, piece: Piece, now: float) -> None:
        """Go on with a piece of the message, or with a call."""
        self._queue.append(piece)
        self.wake(now)

    def end(self, now: float, failure: Failure | None = None) -> None:
        """Nothing more will come; if that is because of a failure, the response fails when everything else has been said."""
        self._more_may_come = False
        self._failure = failure
        self.wake(now)

    def wake(self, now: float) -> None:
        """Let it go on, though not before the time of its first event."""
        super().wake(max(now, self._created + self._pacing.time_to_first_event))

    def cancel(self, reason: str, now: float) -> None:
        """Stop it: what is open is closed, unsaid things stay unsaid, and `response.done` follows.  For `reason`, see the protocol."""
        self._ending = "cancelled", ResponseStatusDetails(type="cancelled", reason=reason)
        self.due = now
        self.advance()
        assert self.due is None, "a response that is ending waits for nothing"

    # --- the lifecycle ----------------------------------------------------------------------------

    def _run(self, now: float) -> Iterator[float]:
        self._out.send(
            ResponseCreated(event_id=self._out.event_id(), response=self._report("in_progress"))
        )
        index = 0
        now = yield from self._wait(now)
        while self._goes_on:
            output = self._queue.popleft()
            if isinstance(output, Call):
                now = yield from self._call(index, output, now)
            elif isinstance(output, HostedCall):
                now = yield from (self._ask if output.approval else self._call_hosted)(
                    index, output, now
                )
            elif self._settings.modality == "audio":
                now = yield from self._speak(index, output, now)
            else:
                now = yield from self._write(index, output, now)
            index += 1
            now = yield from self._wait(now)
        self._fail_if_told()
        status, details = self._ending or ("completed", None)
        usage = make_usage(self._read, text=self._text_tokens, audio=self._audio_tokens)
        self._out.send(
            ResponseDone(
                event_id=self._out.event_id(), response=self._report(status, details, usage)
            )
        )
        self._out.send(
            RateLimitsUpdated(event_id=self._out.event_id(), rate_limits=make_rate_limits(usage))
        )
        assert self.due is not None, "nothing was called before the first wait"
        for made in self._made:
            self._hosted.run(made, self.due)

    def _wait(self, now: float) -> Clock:
        """Wait until there is something to say, or nothing more will come."""
        while not self._queue and self._more_may_come and self._ending is None:
            yield math.inf
            assert self.due is not None, "it was woken"
            now = max(now, self.due)
        return now

    @property
    def _goes_on(self) -> bool:
        """Whether there is something to say, and it may be said."""
        return self._ending is None and bool(self._queue)

    def _fail_if_told(self) -> None:
        if self._ending is None and self._failure is not None:
            error = ResponseErrorDetail(
                type=self._failure.type, code=self._failure.code, message=self._failure.message
            )
            self._ending = "failed", ResponseStatusDetails(type="failed", error=error)

    def _report(
        self,
        status: ResponseStatus,
        details: ResponseStatusDetails | None = None,
        usage: ResponseUsage | None = None,
    ) -> Response:
        return Response(
            id=self.id,
            object="realtime.response",
            status=status,
            status_details=details,
            output=tuple(entry.shown for entry in self._entries),
            metadata=self._settings.metadata,
            audio=ResponseAudio(
                output=ResponseAudioOutput(format=self._settings.format, voice=self._settings.voice)
            ),
            usage=usage,
            conversation_id=None if self._conversation is None else self._conversation.id,
            output_modalities=(self._settings.modality,),
            max_output_tokens=self._settings.max_output_tokens,
        )

    def _open(self, index: int, item: KnownItem) -> tuple[ItemEntry, str | None]:
        entry = ItemEntry(str(item.id), item, self._settings.format)
        self._entries.append(entry)
        self._out.send(
            ResponseOutputItemAdded(
                event_id=self._out.event_id(),
                response_id=self.id,
                output_index=index,
                item=entry.shown,
            )
        )
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
        """Finish an item of the response; the conversation is told now unless something becomes of the item afterwards."""
        entry.item = item
        if self._conversation is not None and is_final:
            self._out.send(
                ConversationItemDone(
                    event_id=self._out.event_id(), item=entry.shown, previous_item_id=previous
                )
            )
        self._out.send(
            ResponseOutputItemDone(
                event_id=self._out.event_id(),
                response_id=self.id,
                output_index=index,
                item=entry.shown,
            )
        )

    def _may_say(self, *, text: int = 0, audio: int = 0) -> bool:
        """Spend tokens, unless the response is stopped or that would be more than it was allowed."""
        if self._ending is None and self._text_tokens + self._audio_tokens + text + audio > _limit(
            self._settings
        ):
            self._ending = (
                "incomplete",
                ResponseStatusDetails(type="incomplete", reason="max_output_tokens"),
            )
        if self._ending is not None:
            return False
        self._text_tokens += text
        self._audio_tokens += audio
        return True

    @property
    def _item_status(self) -> ItemStatus:
        return "completed" if self._ending is None else "incomplete"

    # --- outputs ----------------------------------------------------------------------------------

    def _write(self, index: int, piece: Message | Say | None, now: float) -> Clock:
        entry, previous = self._open(
            index, AssistantMessage(id=self._out.new_id("item_"), status="in_progress", content=())
        )
        place = self._start_part(entry, index, OutputText(), ContentPart(type="text", text=""))
        said = ""
        while piece is not None:
            for token in tokenize(piece.text):
                yield now
                if not self._may_say(text=1):
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
                now += 1 / self._pacing.tokens_per_second
            piece, now = yield from self._next_piece(piece, now)
        self._out.send(ResponseOutputTextDone(event_id=self._out.event_id(), **place, text=said))
        self._out.send(
            ResponseContentPartDone(
                event_id=self._out.event_id(), **place, part=ContentPart(type="text", text=said)
            )
        )
        self._close(
            index,
            entry,
            previous,
            AssistantMessage(id=entry.id, status=self._item_status, content=(OutputText(said),)),
        )
        return now

    def _speak(self, index: int, piece: Message | Say | None, now: float) -> Clock:
        entry, previous = self._open(
            index, AssistantMessage(id=self._out.new_id("item_"), status="in_progress", content=())
        )
        place = self._start_part(
            entry, index, OutputAudio(transcript=""), ContentPart(type="audio", transcript="")
        )
        said = ""
        start = now
        while piece is not None:
            chunks = self._chunks(piece)
            for offset, part in _interleave(tokenize(piece.text), chunks):
                now = start + offset / self._pacing.audio_speed
                yield now
                if isinstance(part, str):
                    if not self._may_say(text=1):
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
                    if not self._may_say(
                        audio=audio_tokens(
                            duration_ms(len(part), entry.format), ASSISTANT_MS_PER_TOKEN
                        )
                    ):
                        break
                    entry.spoken += part
                    self._out.send(
                        ResponseOutputAudioDelta(
                            event_id=self._out.event_id(), **place, delta=AudioData(part)
                        )
                    )
            start += (
                duration_ms(sum(map(len, chunks)), entry.format) / 1000 / self._pacing.audio_speed
            )
            piece, now = yield from self._next_piece(piece, now)
            start = max(start, now)
        self._out.send(ResponseOutputAudioDone(event_id=self._out.event_id(), **place))
        self._out.send(
            ResponseOutputAudioTranscriptDone(
                event_id=self._out.event_id(), **place, transcript=said
            )
        )
        self._out.send(
            ResponseContentPartDone(
                event_id=self._out.event_id(),
                **place,
                part=ContentPart(type="audio", transcript=said),
            )
        )
        content = (OutputAudio(transcript=said),)
        self._close(
            index,
            entry,
            previous,
            AssistantMessage(id=entry.id, status=self._item_status, content=content),
        )
        return now

    def _next_piece(
        self, piece: Message | Say, now: float
    ) -> Generator[float, None, tuple[Say | None, float]]:
        """Wait for what follows in the same message; None if nothing does.  A message whose end never came is incomplete."""
        if isinstance(piece, Message):
            return None, now
        now = yield from self._wait(now)
        following = self._queue[0] if self._goes_on else None
        if isinstance(following, Say):
            self._queue.popleft()
            return following, now
        if following is None:
            self._fail_if_told()
        return None, now

    def _call(self, index: int, output: Call, now: float) -> Clock:
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
                    response_id=self.id,
                    item_id=entry.id,
                    output_index=index,
                    call_id=call_id,
                    delta=token,
                    obfuscation=_padding(token),
                )
            )

        said, now = yield from self._spell(output.arguments, tell, now)
        self._out.send(
            ResponseFunctionCallArgumentsDone(
                event_id=self._out.event_id(),
                response_id=self.id,
                item_id=entry.id,
                output_index=index,
                call_id=call_id,
                name=output.name,
                arguments=said,
            )
        )
        self._close(
            index, entry, previous, attrs.evolve(item, status=self._item_status, arguments=said)
        )
        return now

    def _call_hosted(self, index: int, output: HostedCall, now: float) -> Clock:
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
                    response_id=self.id,
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
                response_id=self.id,
                item_id=entry.id,
                output_index=index,
                arguments=said,
            )
        )
        item = attrs.evolve(item, arguments=said)
        is_whole = self._ending is None
        self._close(index, entry, previous, item, is_final=not is_whole)
        if is_whole:
            is_apart = self._conversation is None
            self._made.append(
                MadeCall(
                    output,
                    item,
                    entry=entry,
                    previous=previous,
                    output_index=index,
                    is_apart=is_apart,
                )
            )
        return now

    def _ask(self, index: int, output: HostedCall, now: float) -> Clock:
        """Ask for approval: nothing streams of that, so the item is there as a whole or not at all."""
        _, now = yield from self._spell(output.arguments, lambda _: None, now)
        if self._ending is None:
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
    ) -> Generator[float, None, tuple[str, float]]:
        """Write the arguments of a call; returns what was written before it was stopped, and the time."""
        said = ""
        for token in tokenize(arguments):
            yield now
            if not self._may_say(text=1):
                break
            said += token
            tell(token)
            now += 1 / self._pacing.tokens_per_second
        return said, now

    def _start_part(
        self, entry: ItemEntry, index: int, content: OutputText | OutputAudio, part: ContentPart
    ) -> _PartPlace:
        entry.item = AssistantMessage(id=entry.id, status="in_progress", content=(content,))
        place = _PartPlace(
            response_id=self.id, item_id=entry.id, output_index=index, content_index=0
        )
        self._out.send(ResponseContentPartAdded(event_id=self._out.event_id(), **place, part=part))
        return place

    def _chunks(self, piece: Message | Say) -> list[bytes]:
        settings = self._settings
        audio = piece.audio
        if audio is None:
            audio = AudioData(
                synthesize_speech(piece.text, voice=str(settings.voice), speed=settings.speed)
            )
        data = encode_audio(audio, settings.format)
        size = CHUNK_MS * bytes_per_ms(settings.format)
        return [data[start : start + size] for start in range(0, len(data), size)]


class _PartPlace(TypedDict):
    response_id: str
    item_id: str
    output_index: int
    content_index: int


def _interleave(tokens: Sequence[str], chunks: Sequence[bytes]) -> list[tuple[float, str | bytes]]:
    """Tokens of a transcript among the chunks of its speech, each with its time in it: a token a little ahead of where it is spoken."""
    duration = len(chunks) * CHUNK_MS / 1000
    timeline: list[tuple[float, str | bytes]] = [
        (max(0.0, index * duration / len(tokens) - _LEAD), token)
        for index, token in enumerate(tokens)
    ]
    timeline += [(index * CHUNK_MS / 1000, chunk) for index, chunk in enumerate(chunks)]
    timeline.sort(
        key=itemgetter(0)
    )  # stable: of two things at the same time the transcript comes first
    return timeline


def _limit(settings: ResolvedSettings) -> float:
    return settings.max_output_tokens if isinstance(settings.max_output_tokens, int) else math.inf


def _padding(delta: str) -> str:
    """What the service sends along to hide how long a delta is."""
    return _PADDING[: 16 - len(delta) % 16]
