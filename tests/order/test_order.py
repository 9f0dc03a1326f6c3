"""The order rules: messages that keep them, and for every rule messages that break it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, TypeVar

import attrs
import pytest
from hypothesis import given, strategies as st
from strategies import any_client_event, any_server_event

from realtime_trio._order import CLIENT_RULES, SERVER_RULES, Violation, assert_order, check_order
from realtime_trio._order.check import UNANSWERED
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AssistantMessage,
    ContentPart,
    ConversationCreated,
    ConversationInfo,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemCreated,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
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
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferDtmfEventReceived,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    Item,
    McpApprovalRequest,
    McpCall,
    McpListTools,
    McpListToolsCompleted,
    McpListToolsFailed,
    McpListToolsInProgress,
    OutputAudio,
    OutputText,
    RateLimitsUpdated,
    RealtimeSession,
    Response,
    ResponseCancel,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseErrorDetail,
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
    UnknownEvent,
    UserMessage,
)
from realtime_trio.recording import WireRecord

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
LOUD = AssistantMessage(
    content=(OutputText("hi"), OutputAudio(AudioData(b"\0\0"))), id="a", status="completed"
)
CALL = FunctionCall(name="look", arguments='{"x":1}', call_id="call_1", id="a", status="completed")


def stopped(status: str, details: ResponseStatusDetails | None) -> Events:
    return changed(text_turn(), ResponseDone, response=response(status, FULL, details=details))


BROKEN: list[tuple[str, Events]] = [
    ("session_is_created_first", text_turn()[1:]),
    ("session_is_created_first", again(text_turn(), SessionCreated)),
    ("session_is_updated_when_asked", again(text_turn(), SessionUpdated)),
    ("event_ids_are_unique", changed(text_turn(), RateLimitsUpdated, event_id="")),
    ("event_ids_are_unique", [created(), *[error()] * 2]),
    ("errors_name_what_was_sent", [*text_turn(), error("c9")]),
    (
        "only_today_is_spoken",
        [created(), say(ConversationCreated, conversation=ConversationInfo())],
    ),
    ("only_today_is_spoken", [created(), say(ConversationItemCreated, item=user())]),
    ("nothing_follows_the_close", [*translation(), error()]),
    (
        "translation_goes_on",
        changed(translation(), TranslationSessionOutputTranscriptDelta, nth=1, elapsed_ms=0),
    ),
    # speech
    ("speech_has_a_beginning_and_an_end", again(speech_turn(), InputAudioBufferSpeechStarted)),
    ("speech_has_a_beginning_and_an_end", without(speech_turn(), InputAudioBufferCommitted)),
    ("speech_has_a_beginning_and_an_end", without(speech_turn(), InputAudioBufferSpeechStarted)),
    (
        "speech_has_a_beginning_and_an_end",
        changed(speech_turn(), InputAudioBufferSpeechStopped, item_id="v"),
    ),
    (
        "speech_has_a_beginning_and_an_end",
        changed(speech_turn(), InputAudioBufferCommitted, item_id="z"),
    ),
    (
        "audio_positions_grow",
        changed(speech_turn(), InputAudioBufferTimeoutTriggered, audio_start_ms=0),
    ),
    (
        "audio_positions_grow",
        changed(speech_turn(), InputAudioBufferTimeoutTriggered, audio_end_ms=800),
    ),
    (
        "audio_positions_grow",
        changed(speech_turn(), InputAudioBufferSpeechStopped, audio_end_ms=50),
    ),
    ("commits_become_items", without(speech_turn(), ConversationItemAdded)),
    (
        "commits_become_items",
        [*speech_turn(), say(InputAudioBufferCommitted, item_id="u", previous_item_id="v")],
    ),
    (
        "commits_become_items",
        changed(speech_turn(), InputAudioBufferCommitted, nth=1, previous_item_id=None),
    ),
    (
        "commits_become_items",
        changed(speech_turn(), ConversationItemAdded, item=CALL, previous_item_id="z"),
    ),
    (
        "commits_become_items",
        changed(speech_turn(), ConversationItemAdded, item=attrs.evolve(FULL, id="u")),
    ),
    (
        "commits_become_items",
        changed(speech_turn(), InputAudioBufferCommitted, previous_item_id="z"),
    ),
    (
        "transcriptions_end_once",
        again(speech_turn(), ConversationItemInputAudioTranscriptionCompleted),
    ),
    (
        "transcriptions_end_once",
        changed(speech_turn(), ConversationItemInputAudioTranscriptionCompleted, item_id="z"),
    ),
    (
        "transcriptions_end_once",
        moved(
            speech_turn(),
            ConversationItemInputAudioTranscriptionDelta,
            InputAudioBufferTimeoutTriggered,
        ),
    ),
    # items
    ("items_are_added_once", again(text_turn(), ConversationItemAdded)),
    ("items_are_done_once_added", without(items_turn(), ConversationItemAdded)),
    ("items_are_done_once_added", again(items_turn(), ConversationItemDone)),
    (
        "items_are_done_once_added",
        changed(items_turn(), ConversationItemDone, previous_item_id="z"),
    ),
    ("items_are_done_before_the_next", without(items_turn(), ConversationItemDone)),
    (
        "items_stand_where_they_belong",
        changed(text_turn(), ConversationItemAdded, nth=1, previous_item_id=None),
    ),
    (
        "items_stand_where_they_belong",
        changed(items_turn(), ConversationItemAdded, nth=1, previous_item_id="u"),
    ),
    (
        "items_stand_where_they_belong",
        changed(items_turn(), ConversationItemAdded, nth=2, previous_item_id="u"),
    ),
    ("items_stand_where_they_belong", [created(), *joins(user(), "z")]),
    ("items_have_their_status", [created(), *joins(attrs.evolve(user(), status="in_progress"))]),
    (
        "items_have_their_status",
        changed(
            text_turn(), ConversationItemDone, nth=1, item=attrs.evolve(FULL, status="in_progress")
        ),
    ),
    (
        "items_have_their_status",
        changed(text_turn(), ResponseOutputItemDone, item=attrs.evolve(FULL, status="incomplete")),
    ),
    ("items_have_their_status", changed(text_turn(), ResponseOutputItemAdded, item=FULL)),
    ("deleted_items_are_gone", again(items_turn(), ConversationItemDeleted)),
    ("deleted_items_are_gone", changed(items_turn(), ConversationItemRetrieved, item=user("z"))),
    ("deleted_items_are_gone", changed(items_turn(), ConversationItemTruncated, item_id="z")),
    ("requests_come_before_their_answers", without(items_turn(), ConversationItemDelete)),
    ("requests_come_before_their_answers", without(items_turn(), ConversationItemRetrieve)),
    ("requests_come_before_their_answers", without(items_turn(), ConversationItemTruncate)),
    ("requests_come_before_their_answers", without(items_turn(), InputAudioBufferClear)),
    (
        "truncations_shorten",
        [
            *items_turn(),
            say(ConversationItemTruncated, item_id="a", content_index=0, audio_end_ms=30),
        ],
    ),
    ("audio_travels_in_deltas", changed(text_turn(), ResponseOutputItemDone, item=LOUD)),
    (
        "audio_travels_in_deltas",
        changed(text_turn(), ResponseDone, response=response("completed", LOUD)),
    ),
    (
        "audio_travels_in_deltas",
        changed(
            spoken_turn(), ResponseContentPartDone, part=ContentPart(type="audio", audio=b"\0\0")
        ),
    ),
    # responses
    ("responses_begin_and_end", without(text_turn(), ResponseCreated)),
    ("responses_begin_and_end", again(text_turn(), ResponseCreated)),
    ("responses_begin_and_end", again(text_turn(), ResponseDone)),
    ("responses_begin_and_end", moved(text_turn(), ResponseDone, ResponseOutputTextDone)),
    (
        "one_response_at_a_time",
        before(
            text_turn(),
            ResponseDone,
            say(ResponseCreated, response=response("in_progress", id="s")),
        ),
    ),
    (
        "responses_say_how_they_end",
        changed(text_turn(), ResponseCreated, response=response("queued")),
    ),
    ("responses_say_how_they_end", stopped("completed", ResponseStatusDetails(type="completed"))),
    ("responses_say_how_they_end", stopped("cancelled", None)),
    (
        "responses_say_how_they_end",
        stopped("incomplete", ResponseStatusDetails(type="incomplete", reason="turn_detected")),
    ),
    ("responses_say_how_they_end", stopped("failed", ResponseStatusDetails(type="failed"))),
    ("responses_say_how_they_end", stopped("in_progress", None)),
    ("responses_close_what_they_opened", without(text_turn(), ResponseOutputItemDone)),
    (
        "responses_close_what_they_opened",
        changed(text_turn(), ResponseDone, response=response("completed")),
    ),
    (
        "responses_close_what_they_opened",
        changed(
            text_turn(),
            ResponseDone,
            response=response("completed", attrs.evolve(FULL, status="incomplete")),
        ),
    ),
    ("rate_limits_follow_responses", again(text_turn(), RateLimitsUpdated)),
    # outputs
    ("outputs_are_numbered", changed(text_turn(), ResponseOutputItemAdded, output_index=1)),
    (
        "outputs_are_numbered",
        without(changed(text_turn(), ResponseOutputItemAdded, output_index=1), ResponseCreated),
    ),
    ("outputs_keep_their_order", again(text_turn(), ResponseOutputItemAdded)),
    ("outputs_keep_their_order", without(text_turn(), ResponseOutputItemAdded)),
    (
        "outputs_keep_their_order",
        moved(text_turn(), ConversationItemAdded, ResponseOutputTextDelta),
    ),
    ("outputs_keep_their_order", moved(text_turn(), ConversationItemDone, ResponseDone)),
    ("outputs_keep_their_order", moved(text_turn(), ConversationItemDone, ResponseContentPartDone)),
    (
        "outputs_keep_their_order",
        moved(call_turn(), ResponseOutputItemDone, ResponseFunctionCallArgumentsDone),
    ),
    ("outputs_keep_their_order", again(text_turn(), ResponseOutputItemDone)),
    ("outputs_keep_their_order", changed(text_turn(), ResponseOutputTextDone, output_index=1)),
    (
        "outputs_keep_their_order",
        changed(
            text_turn(), ResponseCreated, response=response("in_progress", conversation_id=None)
        ),
    ),
    ("parts_keep_their_order", again(text_turn(), ResponseContentPartAdded)),
    ("parts_keep_their_order", without(text_turn(), ResponseContentPartAdded)),
    ("parts_keep_their_order", again(text_turn(), ResponseContentPartDone)),
    ("parts_keep_their_order", without(text_turn(), ResponseOutputTextDone)),
    ("parts_keep_their_order", again(text_turn(), ResponseOutputTextDone)),
    ("parts_keep_their_order", without(spoken_turn(), ResponseOutputAudioDone)),
    ("parts_keep_their_order", without(spoken_turn(), ResponseOutputAudioTranscriptDone)),
    ("parts_keep_their_order", again(spoken_turn(), ResponseOutputAudioDone)),
    (
        "parts_keep_their_order",
        before(
            spoken_turn(), ResponseOutputAudioDelta, say(ResponseOutputTextDelta, **PART, delta="x")
        ),
    ),
    (
        "parts_keep_their_order",
        before(text_turn(), ResponseOutputTextDelta, say(ResponseOutputAudioDone, **PART)),
    ),
    (
        "parts_keep_their_order",
        before(
            text_turn(),
            ResponseOutputTextDelta,
            say(ResponseOutputAudioTranscriptDelta, **PART, delta="hi "),
        ),
    ),
    ("arguments_keep_their_order", again(call_turn(), ResponseFunctionCallArgumentsDone)),
    (
        "arguments_keep_their_order",
        before(
            text_turn(),
            ResponseOutputTextDelta,
            say(ResponseFunctionCallArgumentsDelta, **PLACE, call_id="x", delta=""),
        ),
    ),
    (
        "arguments_keep_their_order",
        before(call_turn(), ConversationItemDone, say(ResponseOutputTextDelta, **PART, delta="x")),
    ),
    (
        "arguments_keep_their_order",
        before(
            call_turn(),
            ResponseFunctionCallArgumentsDone,
            say(ResponseMcpCallArgumentsDelta, **PLACE, delta=""),
        ),
    ),
    ("deltas_add_up", changed(text_turn(), ResponseOutputTextDone, text="hi")),
    (
        "deltas_add_up",
        changed(spoken_turn(), ResponseOutputAudioTranscriptDone, transcript="x" * 80),
    ),
    (
        "deltas_add_up",
        changed(text_turn(), ResponseContentPartDone, part=ContentPart(type="text", text="hi")),
    ),
    (
        "deltas_add_up",
        changed(
            text_turn(),
            ResponseOutputItemDone,
            item=attrs.evolve(FULL, content=(OutputText("hi"),)),
        ),
    ),
    (
        "deltas_add_up",
        changed(text_turn(), ResponseOutputItemDone, item=attrs.evolve(FULL, content=())),
    ),
    ("deltas_add_up", changed(call_turn(), ResponseFunctionCallArgumentsDone, arguments="{}")),
    (
        "deltas_add_up",
        changed(
            call_turn(),
            ResponseDone,
            response=response("completed", attrs.evolve(CALL, arguments="{}")),
        ),
    ),
    # MCP
    ("tools_are_listed_once", again(mcp_turn(), McpListToolsInProgress)),
    ("tools_are_listed_once", without(mcp_turn(), McpListToolsInProgress)),
    (
        "tools_are_listed_once",
        before(mcp_turn(), ResponseCreated, say(McpListToolsFailed, item_id="l")),
    ),
    ("mcp_calls_run_after_their_response", without(mcp_turn(), ResponseMcpCallInProgress)),
    ("mcp_calls_run_after_their_response", again(mcp_turn(), ResponseMcpCallInProgress)),
    ("mcp_calls_run_after_their_response", again(mcp_turn(), ResponseMcpCallFailed)),
    (
        "mcp_calls_run_after_their_response",
        moved(mcp_turn(), ResponseMcpCallCompleted, ResponseDone),
    ),
    ("mcp_calls_run_after_their_response", without(mcp_turn(), ResponseMcpCallArgumentsDone)),
    (
        "mcp_calls_run_after_their_response",
        changed(mcp_turn(), ResponseMcpCallCompleted, item_id="z"),
    ),
    (
        "mcp_calls_run_after_their_response",
        changed(mcp_turn(), ResponseMcpCallCompleted, item_id="l"),
    ),
    # clients
    ("clients_name_items_that_are_there", [created(), ConversationItemDelete(item_id="z")]),
    ("clients_name_items_that_are_there", [*items_turn(), ConversationItemRetrieve(item_id="w")]),
    (
        "clients_name_items_that_are_there",
        [created(), ConversationItemCreate(item=user(), previous_item_id="z")],
    ),
    (
        "clients_answer_calls_once",
        [
            *call_turn(),
            ConversationItemCreate(item=FunctionCallOutput(call_id="call_1", output="")),
        ],
    ),
    (
        "clients_answer_calls_once",
        [created(), ConversationItemCreate(item=FunctionCallOutput(call_id="z", output=""))],
    ),
    (
        UNANSWERED,
        without(
            before(text_turn(), ConversationItemCreate, ResponseCreate(event_id="c9")),
            ResponseCreated,
        ),
    ),
]


def rules(events: Events) -> set[str]:
    return {violation.rule for violation in check_order(events)}


# --- the tests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", TURNS)
def test_messages_in_order_break_no_rule(turn: Callable[[], Events]) -> None:
    assert check_order(turn()) == []


@pytest.mark.parametrize("turn", TURNS)
def test_the_server_alone_is_judged_without_what_only_the_client_knows(
    turn: Callable[[], Events],
) -> None:
    assert check_order([event for event in turn() if isinstance(event, ServerEvent)]) == []


@pytest.mark.parametrize(("rule", "events"), BROKEN)
def test_a_broken_rule_is_named(rule: str, events: Events) -> None:
    assert rule in rules(events)


def test_every_rule_is_broken_here_and_explains_itself() -> None:
    names = {rule.__name__ for rule in (*SERVER_RULES, *CLIENT_RULES)}
    assert {rule for rule, _ in BROKEN} == names | {UNANSWERED}
    assert all(rule.__doc__ for rule in (*SERVER_RULES, *CLIENT_RULES))


def test_a_violation_says_where_and_what() -> None:
    events = [created(), say(SessionCreated, session=SESSION)]
    assert check_order(events) == [
        Violation("session_is_created_first", 1, "the session is created a second time")
    ]


def test_the_source_of_a_record_decides_who_said_it() -> None:
    strange = UnknownEvent(type="session.hum", raw={"type": "session.hum"})
    records = [WireRecord(0.0, "server", created()), WireRecord(0.1, "client", strange)]
    assert check_order(records) == []
    assert rules([created(), strange]) == {"event_ids_are_unique"}


def test_asserting_the_order_lists_all_that_is_wrong() -> None:
    assert_order(text_turn())
    with pytest.raises(AssertionError) as failure:
        assert_order([error(), created(), created(), ConversationItemDelete(item_id="z")])
    lines = str(failure.value).splitlines()
    assert lines == [
        "the messages break the protocol's order:",
        "  [2] session_is_created_first: the session is created a second time (at session.created, sent by the server)",
        "  [3] clients_name_items_that_are_there: conversation.item.delete names item z, which nobody knows "
        "(at conversation.item.delete, sent by the client)",
    ]


def test_a_client_that_is_turned_away_gets_an_error_and_nothing_else() -> None:
    assert check_order([error()]) == []


def test_a_pressed_key_has_no_event_id() -> None:
    assert (
        check_order([created(), InputAudioBufferDtmfEventReceived(event="1", received_at=0)]) == []
    )


def test_a_response_out_of_band_runs_beside_another_and_leaves_the_conversation_alone() -> None:
    apart = [
        say(ResponseCreated, response=response("in_progress", conversation_id=None)),
        *text_output(out_of_band=True),
        say(ResponseDone, response=response("completed", FULL, conversation_id=None)),
    ]
    running = say(ResponseCreated, response=response("in_progress", id="s"))
    assert check_order([created(), running, *apart]) == []


def test_a_cancelled_response_is_in_order_if_it_says_why_and_closes_everything() -> None:
    short = attrs.evolve(FULL, status="incomplete")
    details = ResponseStatusDetails(type="cancelled", reason="client_cancelled")
    events = [
        *text_turn()[:8],
        *text_output(status="incomplete"),
        say(ResponseDone, response=response("cancelled", short, details=details)),
    ]
    assert check_order(events) == []


def test_a_failed_response_says_why() -> None:
    details = ResponseStatusDetails(type="failed", error=ResponseErrorDetail(code="server_error"))
    assert (
        check_order(
            [
                created(),
                say(ResponseCreated, response=response("in_progress")),
                say(ResponseDone, response=response("failed", details=details)),
            ]
        )
        == []
    )


def test_a_client_may_commit_in_the_middle_of_speech() -> None:
    events = [
        created(),
        say(InputAudioBufferSpeechStarted, audio_start_ms=0, item_id="u"),
        InputAudioBufferCommit(),
        say(InputAudioBufferCommitted, item_id="u"),
        *joins(spoken()),
        say(InputAudioBufferSpeechStopped, audio_end_ms=900, item_id="other"),
        say(InputAudioBufferCommitted, item_id="v", previous_item_id="u"),
        *joins(spoken("v"), "u"),
    ]
    assert check_order(events) == []


def test_clearing_the_buffer_ends_the_speech_in_it() -> None:
    started = [
        say(InputAudioBufferSpeechStarted, audio_start_ms=start, item_id=item)
        for start, item in ((0, "u"), (50, "v"))
    ]
    assert (
        check_order(
            [
                created(),
                started[0],
                InputAudioBufferClear(),
                say(InputAudioBufferCleared),
                started[1],
            ]
        )
        == []
    )


def test_turn_detection_may_change_while_the_user_speaks() -> None:
    started = [
        say(InputAudioBufferSpeechStarted, audio_start_ms=start, item_id=item)
        for start, item in ((0, "u"), (500, "v"))
    ]
    stopped = say(InputAudioBufferSpeechStopped, audio_end_ms=400, item_id="u")
    changed = [SessionUpdate(session=SessionConfig()), say(SessionUpdated, session=SESSION)]
    assert (
        check_order([created(), started[0], *changed, stopped])
        == check_order([created(), started[0], *changed, started[1]])
        == []
    )


def test_a_commit_of_something_else_leaves_the_speech_going() -> None:
    events = [
        created(),
        say(InputAudioBufferSpeechStarted, audio_start_ms=0, item_id="u"),
        say(InputAudioBufferCommitted, item_id="v"),
        *joins(spoken("v")),
        say(InputAudioBufferSpeechStopped, audio_end_ms=100, item_id="u"),
    ]
    assert check_order(events) == []


def test_a_transcription_may_fail_and_may_come_after_its_item_is_deleted() -> None:
    failed = say(
        ConversationItemInputAudioTranscriptionFailed, item_id="u", content_index=0, error={}
    )
    deletion = [ConversationItemDelete(item_id="u"), say(ConversationItemDeleted, item_id="u")]
    assert check_order([*speech_turn()[:6], *deletion, failed]) == []


def test_an_item_that_is_deleted_while_it_grows_may_still_be_done() -> None:
    deletion = [ConversationItemDelete(item_id="a"), say(ConversationItemDeleted, item_id="a")]
    assert check_order(before(text_turn(), ResponseOutputTextDone, *deletion)) == []


def test_an_item_whose_predecessor_was_deleted_may_be_done_at_another_place() -> None:
    deletion = [ConversationItemDelete(item_id="u"), say(ConversationItemDeleted, item_id="u")]
    events = before(text_turn(), ResponseOutputTextDone, *deletion)
    assert check_order(changed(events, ConversationItemDone, nth=1, previous_item_id=None)) == []


def test_a_refusal_answers_a_response_create_by_its_id_or_else_the_oldest() -> None:
    asked = [ResponseCreate(event_id="c1"), ResponseCreate(event_id="c2")]
    later = [
        ConversationItemCreate(event_id="c3", item=UserMessage.text("hello", id="u")),
        *joins(user()),
    ]
    assert check_order([created(), *asked, error("c1"), error(), *later]) == []
    assert [
        violation.index for violation in check_order([created(), *asked, error("c2"), *later])
    ] == [1]
    assert (
        check_order([created(), ResponseCreate(event_id="c1"), error("c1"), error(), *later]) == []
    )


def test_a_response_create_that_the_server_has_not_come_to_is_no_violation() -> None:
    assert check_order([created(), ResponseCreate(event_id="c1"), ResponseCancel()]) == []


def test_an_approval_request_is_an_output_like_others() -> None:
    item = McpApprovalRequest(id="a", server_label="docs", name="search", arguments="{}")
    events = [
        created(),
        say(ResponseCreated, response=response("in_progress")),
        say(ResponseOutputItemAdded, response_id="r", output_index=0, item=item),
        *joins(item),
        say(ResponseOutputItemDone, response_id="r", output_index=0, item=item),
        say(ResponseDone, response=response("completed", item)),
    ]
    assert check_order(events) == []


def test_what_a_later_version_says_about_an_output_is_left_to_it() -> None:
    item = AssistantMessage(content=(), status="in_progress")
    added = say(ResponseOutputItemAdded, response_id="r", output_index=0, item=item)
    hum = say(UnknownEvent, type="response.output_hum.delta", raw={})
    assert (
        check_order([created(), say(ResponseCreated, response=response("in_progress")), added, hum])
        == []
    )


def test_a_part_that_shows_no_words_contradicts_none() -> None:
    wordless = AssistantMessage(content=(OutputAudio(),), id="a", status="completed")
    assert check_order(changed(spoken_turn(), ResponseOutputItemDone, item=wordless)) == []


@given(
    st.lists(
        any_server_event() | any_client_event() | any_server_event(SessionKind.TRANSLATION),
        max_size=12,
    )
)
def test_no_order_of_events_is_too_strange_to_be_judged(events: Events) -> None:
    check_order(events)


@given(st.sampled_from(TURNS), st.data())
def test_no_half_of_a_turn_is_too_strange_to_be_judged(
    turn: Callable[[], Events], data: st.DataObject
) -> None:
    events = turn()
    kept = data.draw(st.lists(st.sampled_from(events), max_size=30))
    check_order(kept)
