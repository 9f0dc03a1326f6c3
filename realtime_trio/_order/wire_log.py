"""What has gone over the wire so far, as the rules of the protocol's order look at it.

Owns the bookkeeping and has no opinion: every event, in every order, is noted as well as it can be.
The opinions are in the rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final, TypeAlias, cast

from attrs import define, field

from realtime_trio.events import (
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ConversationItemTruncated,
    ErrorEvent,
    Event,
    FunctionCall,
    FunctionCallOutput,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    Item,
    McpListToolsCompleted,
    McpListToolsFailed,
    McpListToolsInProgress,
    RateLimitsUpdated,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    SessionUpdate,
    SessionUpdated,
    TranslationSessionClosed,
    TranslationSessionUpdate,
    TranslationSessionUpdated,
)

FIRST_EVENT: Final = "session.created"

Complaints: TypeAlias = Iterator[str]
"""The complaints of a rule, each of them a sentence."""


def status_of(item: Item) -> str | None:
    """An item's status; None for items that have none."""
    return cast("str | None", getattr(item, "status", None))


@define(eq=False)
class LoggedWords:
    """Text that is told in pieces and then as a whole."""

    pieces: list[str] = field(factory=list)
    whole: str | None = None

    @property
    def joined(self) -> str:
        return "".join(self.pieces)


@define(eq=False)
class LoggedPart:
    """A content part of an output."""

    kind: str | None = None
    is_added: bool = False
    words: LoggedWords = field(factory=LoggedWords)
    has_audio: bool = False
    is_audio_done: bool = False
    is_done: bool = False


@define(eq=False)
class LoggedOutput:
    """An item of a response."""

    item: Item
    index: int
    response: LoggedResponse
    parts: dict[int, LoggedPart] = field(factory=dict)
    arguments: LoggedWords = field(factory=LoggedWords)
    is_joined: bool = False
    """Whether it was put into the conversation."""
    final: Item | None = None
    """The item as the conversation shows it at the end."""
    is_done: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing of its content has been told yet."""
        return not self.parts and not self.arguments.pieces and self.arguments.whole is None


@define(eq=False)
class LoggedResponse:
    """A response."""

    id: str
    is_default: bool
    """Whether it belongs to the conversation."""
    outputs: list[LoggedOutput] = field(factory=list)
    is_done: bool = False


@define(eq=False)
class LoggedItem:
    """An item of the conversation."""

    item: Item
    previous: str | None
    is_done: bool = False
    audio_end_ms: int | None = None
    """Where it was truncated."""


@define(eq=False)
class WireLog:
    """Everything that the rules need to remember.

    Args:
        has_client: Whether the client's messages are logged too; without them it is not known what
            the server was asked for.
    """

    has_client: bool

    # The session.
    is_created: bool = False
    is_closed: bool = False
    has_spoken: bool = False
    """Whether the server has sent anything but errors."""
    event_ids: set[str] = field(factory=set)
    rate_limits_due: int = 0
    """Number of responses whose rate limits have not been told yet."""

    # What the client asked for.
    sent: dict[str, int] = field(factory=dict)
    """Ids of the client's events, and their positions."""
    updates: int = 0
    asked: Counter[tuple[type[ClientEvent], str | None]] = field(factory=Counter)
    """Numbers of requests that were not granted yet, by class and item."""
    created: dict[str, ConversationItemCreate] = field(factory=dict)
    """Items that the client has made, by id."""
    nameless: list[ConversationItemCreate] = field(factory=list)
    """Items that the client has made and that wait for an id from the server."""
    is_unsure: bool = False
    """Whether one of those was perhaps refused, by an error that does not name what it refuses."""
    positions: dict[str, int] = field(factory=dict)
    """Ids of the client's items, and the positions of their creation."""
    wanted: dict[int, str | None] = field(factory=dict)
    """Positions of each `response.create` that is not answered yet, and their event ids."""
    last_obeyed: int = -1
    """Position of the last client event that the server is known to have come to."""

    # The user's audio.
    speaking: str | None = None
    stopped: str | None = None
    is_cut: bool = False
    """Whether the client has committed in the middle of the speech: what is told about its end may
    be about another item."""
    committed: InputAudioBufferCommitted | None = None
    """A commit whose item has not been added yet."""
    starts_ms: int = 0
    ends_ms: int = 0

    # The conversation.
    items: dict[str, LoggedItem] = field(factory=dict)
    deleted: set[str] = field(factory=set)
    order: list[str] = field(factory=list)
    transcribed: set[tuple[str, int]] = field(factory=set)
    calls: dict[str, bool] = field(factory=dict)
    """Ids of calls, and whether the client has answered them."""
    tool_lists: dict[str, str] = field(factory=dict)
    """Listings of MCP tools: `in_progress`, `completed` or `failed`."""
    tool_calls: dict[str, str] = field(factory=dict)
    """Calls of MCP tools that were made, likewise."""

    # The responses.
    responses: dict[str, LoggedResponse] = field(factory=dict)
    outputs: dict[str, LoggedOutput] = field(factory=dict)
    active: LoggedResponse | None = None

    # Translation.
    elapsed_ms: dict[str, int] = field(factory=dict)

    @property
    def last(self) -> str | None:
        """The last item of the conversation."""
        return self.order[-1] if self.order else None

    def part(self, item_id: str, index: int) -> LoggedPart | None:
        """A part of an output, if both are known."""
        output = self.outputs.get(item_id)
        return output.parts.get(index) if output is not None else None

    def request_of(self, item: Item) -> ConversationItemCreate | None:
        """The request with which the client made this item; None if it probably did not."""
        if item.id in self.created:
            return self.created[item.id]
        if item.id in self.outputs or (
            self.committed is not None and self.committed.item_id == item.id
        ):
            return None
        # By its class, the oldest first: a client need not name its items, and the server's id says
        # nothing about the request.
        return next(
            (request for request in self.nameless if type(request.item) is type(item)), None
        )

    # --- the client's side ------------------------------------------------------------------------

    def note_client(self, position: int, event: Event) -> None:
        """Take note of what the client sent."""
        if event_id := getattr(event, "event_id", None):
            self.sent[event_id] = position
        match event:
            case SessionUpdate() | TranslationSessionUpdate():
                self.updates += 1
            case InputAudioBufferClear():
                self.asked[InputAudioBufferClear, None] += 1
            case InputAudioBufferCommit():
                self.is_cut = self.speaking is not None or self.stopped is not None
            case ConversationItemDelete() | ConversationItemRetrieve() | ConversationItemTruncate():
                self.asked[type(event), event.item_id] += 1
                # The first position counts, to be careful: the server has come at least that far.
                self.positions.setdefault(event.item_id, position)
            case ConversationItemCreate(item=item):
                if item.id:
                    self.created[item.id] = event
                    self.positions[item.id] = position
                else:
                    self.nameless.append(event)
                self._note_call(item)
                if isinstance(item, FunctionCallOutput):
                    self.calls[item.call_id] = True
            case ResponseCreate():
                self.wanted[position] = event.event_id

    # --- the server's side ------------------------------------------------------------------------

    def note_server(self, event: Event) -> None:
        """Take note of what the server sent."""
        if event_id := getattr(event, "event_id", None):
            self.event_ids.add(event_id)
        self.is_created = self.is_created or event.type == FIRST_EVENT
        self.has_spoken = self.has_spoken or not isinstance(event, ErrorEvent)
        match event:
            case ErrorEvent():
                self._note_error(event)
            case SessionUpdated() | TranslationSessionUpdated():
                self.updates = max(0, self.updates - 1)
                # Turn detection may be another one now, or will be after this turn: the stop may or
                # may not come.
                self.is_cut = self.is_cut or self.speaking is not None
                self.speaking = None
            case TranslationSessionClosed():
                self.is_closed = True
            case RateLimitsUpdated():
                self.rate_limits_due -= 1
            case McpListToolsInProgress() | McpListToolsCompleted() | McpListToolsFailed():
                self.tool_lists[event.item_id] = event.type.rpartition(".")[2]
            case _ if event.type.startswith("response."):
                self._note_response(event)
            case _ if event.type.startswith("input_audio_buffer."):
                self._note_input(event)
            case _:
                self._note_item(event)
        elapsed_ms = getattr(event, "elapsed_ms", None)
        if elapsed_ms is not None:
            self.elapsed_ms[event.type] = elapsed_ms

    def _note_error(self, event: ErrorEvent) -> None:
        refused = event.error.event_id
        if refused is None:
            self.is_unsure = any(request.event_id is None for request in self.nameless)
        else:
            self.nameless = [each for each in self.nameless if each.event_id != refused]
        position = self.sent.get(refused or "")
        if position is not None:
            self.last_obeyed = max(self.last_obeyed, position)
            self.wanted.pop(position, None)
        elif self.wanted:
            # Not every refusal names what it refuses: then it is taken for the oldest request.
            del self.wanted[min(self.wanted)]

    def _note_input(self, event: Event) -> None:
        match event:
            case InputAudioBufferSpeechStarted():
                self.speaking, self.stopped, self.is_cut = event.item_id, None, False
                self.starts_ms = event.audio_start_ms
            case InputAudioBufferSpeechStopped():
                self.speaking, self.stopped = None, event.item_id
                self.ends_ms = event.audio_end_ms
            case InputAudioBufferTimeoutTriggered():
                self.stopped = event.item_id
                self.starts_ms, self.ends_ms = event.audio_start_ms, event.audio_end_ms
            case InputAudioBufferCommitted():
                # A commit of another item leaves the speech going.
                self.stopped = None
                self.speaking = None if event.item_id == self.speaking else self.speaking
                self.committed = event
            case InputAudioBufferCleared():
                self._grant(InputAudioBufferClear, None)
                self.speaking = self.stopped = None

    def _note_item(self, event: Event) -> None:
        match event:
            case ConversationItemAdded(item=item) if item.id:
                self._note_added(item.id, event)
            # `setdefault`: an item that was never added is wrong, and noted all the same.
            case ConversationItemDone(item=item) if item.id:
                self.items.setdefault(
                    item.id, LoggedItem(event.item, event.previous_item_id)
                ).is_done = True
                if item.id in self.outputs:
                    self.outputs[item.id].final = item
            case ConversationItemDeleted(item_id=item_id):
                self._grant(ConversationItemDelete, item_id)
                self.items.pop(item_id, None)
                self.order = [known for known in self.order if known != item_id]
                self.deleted.add(item_id)
            case ConversationItemRetrieved(item=item):
                self._grant(ConversationItemRetrieve, item.id)
            case ConversationItemTruncated(item_id=item_id):
                self._grant(ConversationItemTruncate, item_id)
                if item_id in self.items:
                    self.items[item_id].audio_end_ms = event.audio_end_ms
            case (
                ConversationItemInputAudioTranscriptionCompleted()
                | ConversationItemInputAudioTranscriptionFailed()
            ):
                self.transcribed.add((event.item_id, event.content_index))

    def _note_added(self, item_id: str, event: ConversationItemAdded) -> None:
        request = self.request_of(event.item)
        if request is not None:
            if request in self.nameless:
                self.nameless.remove(request)
            self.last_obeyed = max(self.last_obeyed, self.positions.get(item_id, -1))
        elif self.committed is not None and self.committed.item_id == item_id:
            self.committed = None
        self.items[item_id] = LoggedItem(event.item, event.previous_item_id)
        # Ids may be used again, once the item is deleted.
        self.deleted.discard(item_id)
        previous = event.previous_item_id
        if previous is None:
            self.order.insert(0, item_id)
        else:
            # Behind an item that is not there: the end is as good a guess as any.
            self.order.insert(
                self.order.index(previous) + 1 if previous in self.order else len(self.order),
                item_id,
            )
        if item_id in self.outputs:
            self.outputs[item_id].is_joined = True
        self._note_call(event.item)

    def _note_call(self, item: Item) -> None:
        if isinstance(item, FunctionCall) and item.call_id:
            self.calls.setdefault(item.call_id, False)

    def _grant(self, kind: type[ClientEvent], item_id: str | None) -> None:
        self.asked[kind, item_id] -= 1
        self.last_obeyed = max(self.last_obeyed, self.positions.get(item_id or "", -1))

    def _note_response(self, event: Event) -> None:
        match event:
            case ResponseCreated(response=response):
                # Nothing in the event says which request it answers; they are taken in order.
                if self.wanted:
                    del self.wanted[min(self.wanted)]
                logged = self.responses[response.id] = LoggedResponse(
                    response.id, response.conversation_id is not None
                )
                self.active = logged if logged.is_default else self.active
            case ResponseDone(response=response):
                self.rate_limits_due += 1
                if finished := self.responses.get(response.id):
                    finished.is_done = True
                    self.active = None if self.active is finished else self.active
            case ResponseOutputItemAdded(item=item):
                logged = self.responses.setdefault(
                    event.response_id, LoggedResponse(event.response_id, is_default=True)
                )
                output = LoggedOutput(item, event.output_index, logged)
                logged.outputs.append(output)
                self.outputs[item.id or ""] = output
                self._note_call(item)
            case ResponseMcpCallInProgress() | ResponseMcpCallCompleted() | ResponseMcpCallFailed():
                self.tool_calls[event.item_id] = event.type.rpartition(".")[2]
            case _ if known := self.outputs.get(_item_id(event)):
                _note_content(known, event)


def _item_id(event: Event) -> str:
    if isinstance(event, ResponseOutputItemDone):
        return event.item.id or ""
    return str(getattr(event, "item_id", ""))


def _note_content(output: LoggedOutput, event: Event) -> None:
    # For events without a part, one that is thrown away, which spares every case below a question.
    part = (
        output.parts.setdefault(event.content_index, LoggedPart())
        if hasattr(event, "content_index")
        else LoggedPart()
    )
    match event:
        case ResponseOutputItemDone():
            output.is_done = True
        case ResponseContentPartAdded():
            part.kind, part.is_added = event.part.type, True
        case ResponseContentPartDone():
            part.is_done = True
        case ResponseOutputTextDelta() | ResponseOutputAudioTranscriptDelta():
            part.words.pieces.append(event.delta)
        case (
            ResponseOutputTextDone(text=whole) | ResponseOutputAudioTranscriptDone(transcript=whole)
        ):
            part.words.whole = whole
        case ResponseOutputAudioDelta():
            part.has_audio = True
        case ResponseOutputAudioDone():
            part.is_audio_done = True
        case ResponseFunctionCallArgumentsDelta() | ResponseMcpCallArgumentsDelta():
            output.arguments.pieces.append(event.delta)
        case ResponseFunctionCallArgumentsDone() | ResponseMcpCallArgumentsDone():
            output.arguments.whole = event.arguments
