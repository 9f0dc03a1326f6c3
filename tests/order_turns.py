"""Turns as a server tells them, and the ways to spoil them, for the tests of the order rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, TypeVar

import attrs

from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AssistantMessage,
    ContentPart,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ConversationItemTruncated,
    DurationTranscriptionUsage,
    ErrorDetail,
    ErrorEvent,
    Event,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    Item,
    McpCall,
    McpListTools,
    McpListToolsCompleted,
    McpListToolsInProgress,
    OutputAudio,
    OutputText,
    RateLimitsUpdated,
    RealtimeSession,
    Response,
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
    ResponseStatusDetails,
    ServerEvent,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    TranslationAudio,
    TranslationSession,
    TranslationSessionClosed,
    TranslationSessionCreated,
    TranslationSessionOutputTranscriptDelta,
    UserMessage,
)

E = TypeVar("E", bound=Event)
Events = list[Event]


# --- what is said ---------------------------------------------------------------------------------

_numbers = count(1)


def say(kind: type[ServerEvent], **fields: Any) -> Event:
    return kind(event_id=f"event_{next(_numbers)}", **fields)


SESSION = RealtimeSession(id="sess_1")


def created() -> Event:
    return say(SessionCreated, session=SESSION)


def error(of: str | None = None) -> Event:
    return say(
        ErrorEvent, error=ErrorDetail(type="invalid_request_error", message="no", event_id=of)
    )


def joins(item: Item, previous: str | None = None) -> Events:
    return [
        say(kind, item=item, previous_item_id=previous)
        for kind in (ConversationItemAdded, ConversationItemDone)
    ]


def user(item_id: str = "u") -> UserMessage:
    return attrs.evolve(UserMessage.text("hello", id=item_id), status="completed")


def spoken(item_id: str = "u") -> UserMessage:
    return UserMessage(content=(InputAudio(),), id=item_id, status="completed")


def response(
    status: str, *items: Item, details: ResponseStatusDetails | None = None, **fields: Any
) -> Response:
    return Response(
        **{
            "id": "r",
            "status": status,
            "output": items,
            "status_details": details,
            "conversation_id": "conv_1",
            **fields,
        }
    )


PLACE: dict[str, Any] = {"response_id": "r", "item_id": "a", "output_index": 0}
PART = {**PLACE, "content_index": 0}


def text_output(*, status: str = "completed", out_of_band: bool = False) -> Events:
    empty = AssistantMessage(content=(), id="a", status="in_progress")
    full = AssistantMessage(content=(OutputText("hi you"),), id="a", status=status)
    joined = [] if out_of_band else joins(empty, "u")[:1]
    left = [] if out_of_band else joins(full, "u")[1:]
    return [
        say(ResponseOutputItemAdded, response_id="r", output_index=0, item=empty),
        *joined,
        say(ResponseContentPartAdded, **PART, part=ContentPart(type="text", text="")),
        say(ResponseOutputTextDelta, **PART, delta="hi "),
        say(ResponseOutputTextDelta, **PART, delta="you"),
        say(ResponseOutputTextDone, **PART, text="hi you"),
        say(ResponseContentPartDone, **PART, part=ContentPart(type="text", text="hi you")),
        *left,
        say(ResponseOutputItemDone, response_id="r", output_index=0, item=full),
    ]


def text_turn() -> Events:
    full = AssistantMessage(content=(OutputText("hi you"),), id="a", status="completed")
    return [
        created(),
        SessionUpdate(event_id="c1", session=SessionConfig(instructions="be kind")),
        say(SessionUpdated, session=SESSION),
        ConversationItemCreate(event_id="c2", item=UserMessage.text("hello", id="u")),
        *joins(user()),
        ResponseCreate(event_id="c3"),
        say(ResponseCreated, response=response("in_progress")),
        *text_output(),
        say(ResponseDone, response=response("completed", full)),
        say(RateLimitsUpdated, rate_limits=()),
    ]


def spoken_turn() -> Events:
    empty = AssistantMessage(content=(), id="a", status="in_progress")
    full = AssistantMessage(content=(OutputAudio(transcript="hi"),), id="a", status="completed")
    return [
        created(),
        say(ResponseCreated, response=response("in_progress")),
        say(ResponseOutputItemAdded, response_id="r", output_index=0, item=empty),
        say(ConversationItemAdded, item=empty),
        say(ResponseContentPartAdded, **PART, part=ContentPart(type="audio", transcript="")),
        say(ResponseOutputAudioTranscriptDelta, **PART, delta="hi"),
        say(ResponseOutputAudioDelta, **PART, delta=b"\0\0"),
        say(ResponseOutputAudioTranscriptDone, **PART, transcript="hi"),
        say(ResponseOutputAudioDone, **PART),
        say(ResponseContentPartDone, **PART, part=ContentPart(type="audio", transcript="hi")),
        say(ConversationItemDone, item=full),
        say(ResponseOutputItemDone, response_id="r", output_index=0, item=full),
        say(ResponseDone, response=response("completed", full)),
    ]


def call_turn() -> Events:
    empty = FunctionCall(name="look", arguments="", call_id="call_1", id="a", status="in_progress")
    full = attrs.evolve(empty, arguments='{"x":1}', status="completed")
    place = {**PLACE, "call_id": "call_1"}
    return [
        created(),
        say(ResponseCreated, response=response("in_progress")),
        say(ResponseOutputItemAdded, response_id="r", output_index=0, item=empty),
        say(ConversationItemAdded, item=empty),
        say(ResponseFunctionCallArgumentsDelta, **place, delta='{"x":'),
        say(ResponseFunctionCallArgumentsDelta, **place, delta="1}"),
        say(ResponseFunctionCallArgumentsDone, **place, name="look", arguments='{"x":1}'),
        say(ConversationItemDone, item=full),
        say(ResponseOutputItemDone, response_id="r", output_index=0, item=full),
        say(ResponseDone, response=response("completed", full)),
        ConversationItemCreate(
            event_id="c1", item=FunctionCallOutput(call_id="call_1", output="seen")
        ),
        *joins(
            FunctionCallOutput(call_id="call_1", output="seen", id="o", status="completed"), "a"
        ),
    ]


def speech_turn() -> Events:
    """Two turns: one that turn detection ends, and one that an idle timeout begins."""
    return [
        created(),
        say(InputAudioBufferSpeechStarted, audio_start_ms=100, item_id="u"),
        say(InputAudioBufferSpeechStopped, audio_end_ms=900, item_id="u"),
        say(InputAudioBufferCommitted, item_id="u"),
        *joins(spoken()),
        say(
            ConversationItemInputAudioTranscriptionDelta,
            item_id="u",
            content_index=0,
            delta="hello",
        ),
        say(
            ConversationItemInputAudioTranscriptionCompleted,
            item_id="u",
            content_index=0,
            transcript="hello",
            usage=DurationTranscriptionUsage(seconds=1),
        ),
        say(InputAudioBufferTimeoutTriggered, audio_start_ms=900, audio_end_ms=6900, item_id="v"),
        say(InputAudioBufferCommitted, item_id="v", previous_item_id="u"),
        *joins(spoken("v"), "u"),
    ]


def hosted_call(arguments: str = "{}", output: str | None = None) -> McpCall:
    return McpCall(id="a", server_label="docs", name="search", arguments=arguments, output=output)


def mcp_turn() -> Events:
    """A list, a call in a response, and a call that was approved afterwards."""
    place = {"item_id": "a", "output_index": 0}
    approved = attrs.evolve(hosted_call(), id="b")
    return [
        created(),
        say(McpListToolsInProgress, item_id="l"),
        say(ConversationItemAdded, item=McpListTools(id="l", server_label="docs", tools=())),
        say(McpListToolsCompleted, item_id="l"),
        say(ConversationItemDone, item=McpListTools(id="l", server_label="docs", tools=())),
        say(ResponseCreated, response=response("in_progress")),
        say(ResponseOutputItemAdded, response_id="r", output_index=0, item=hosted_call("")),
        say(ConversationItemAdded, item=hosted_call(""), previous_item_id="l"),
        say(ResponseMcpCallArgumentsDelta, response_id="r", **place, delta="{}"),
        say(ResponseMcpCallArgumentsDone, response_id="r", **place, arguments="{}"),
        say(ResponseMcpCallInProgress, **place),
        say(ResponseDone, response=response("completed", hosted_call())),
        say(ResponseMcpCallCompleted, **place),
        say(ConversationItemDone, item=hosted_call(output="found"), previous_item_id="l"),
        say(
            ResponseOutputItemDone,
            response_id="r",
            output_index=0,
            item=hosted_call(output="found"),
        ),
        say(ConversationItemAdded, item=approved, previous_item_id="a"),
        say(ResponseMcpCallInProgress, item_id="b", output_index=0),
        say(ResponseMcpCallFailed, item_id="b", output_index=0),
        say(ConversationItemDone, item=approved, previous_item_id="a"),
    ]


def items_turn() -> Events:
    """Items in all places, deleted, retrieved and cut."""
    full = AssistantMessage(
        content=(OutputAudio(AudioData(b"\0\0"), "hi"),), id="a", status="completed"
    )
    bare = AssistantMessage(content=(OutputAudio(transcript="hi"),), id="a", status="completed")
    return [
        created(),
        ConversationItemCreate(item=UserMessage.text("hello", id="u")),
        *joins(user()),
        ConversationItemCreate(item=UserMessage.text("first", id="v"), previous_item_id="root"),
        *joins(user("v")),
        ConversationItemCreate(item=UserMessage.text("second"), previous_item_id="v"),
        *joins(user("w"), "v"),
        ConversationItemCreate(item=UserMessage.text("twice", id="u")),
        *joins(user("u"), "u"),
        ConversationItemDelete(item_id="w"),
        ConversationItemCreate(item=UserMessage.text("late", id="x"), previous_item_id="w"),
        say(ConversationItemDeleted, item_id="w"),
        error(),
        ConversationItemCreate(item=AssistantMessage.text("hi", id="a")),
        *joins(bare, "u"),
        ConversationItemRetrieve(item_id="a"),
        say(ConversationItemRetrieved, item=full),
        ConversationItemTruncate(item_id="a", content_index=0, audio_end_ms=20),
        say(ConversationItemTruncated, item_id="a", content_index=0, audio_end_ms=20),
        InputAudioBufferClear(),
        say(InputAudioBufferCleared),
    ]


def translation() -> Events:
    session = TranslationSession(
        id="sess_1", expires_at=1, model="gpt-realtime-translate", audio=TranslationAudio()
    )
    return [
        say(TranslationSessionCreated, session=session),
        say(TranslationSessionOutputTranscriptDelta, delta="a", elapsed_ms=200),
        say(TranslationSessionOutputTranscriptDelta, delta="b", elapsed_ms=200),
        say(TranslationSessionClosed),
    ]


TURNS: list[Callable[[], Events]] = [
    text_turn,
    spoken_turn,
    call_turn,
    speech_turn,
    mcp_turn,
    items_turn,
    translation,
]


# --- breaking it ----------------------------------------------------------------------------------


def without(events: Iterable[Event], *kinds: type[Event]) -> Events:
    return [event for event in events if not isinstance(event, kinds)]


def changed(events: Iterable[Event], kind: type[Event], nth: int = 0, **fields: Any) -> Events:
    """With other fields in the nth event of a kind."""
    found = count()
    return [
        attrs.evolve(e, **fields) if isinstance(e, kind) and next(found) == nth else e
        for e in events
    ]


def before(events: Iterable[Event], kind: type[Event], *inserted: Event, nth: int = 0) -> Events:
    """With events inserted before the nth event of a kind."""
    found = count()
    result: Events = []
    for event in events:
        if isinstance(event, kind) and next(found) == nth:
            result += inserted
        result.append(event)
    return result


def moved(events: Events, kind: type[Event], to: type[Event]) -> Events:
    """With the last event of one kind before the first of another."""
    event = [e for e in events if isinstance(e, kind)][-1]
    return before([e for e in events if e is not event], to, event)


def again(events: Events, kind: type[Event], *, nth: int = 0) -> Events:
    """With the nth event of a kind said twice."""
    event = [e for e in events if isinstance(e, kind)][nth]
    position = events.index(event) + 1
    named: dict[str, Any] = {"event_id": f"event_{next(_numbers)}"}
    return [*events[:position], attrs.evolve(event, **named), *events[position:]]


FULL = AssistantMessage(content=(OutputText("hi you"),), id="a", status="completed")
