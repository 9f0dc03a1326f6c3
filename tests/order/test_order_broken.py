"""Every rule of the order, and messages that break it."""

from __future__ import annotations

import attrs
import pytest
from order_turns import (
    FULL,
    PART,
    PLACE,
    SESSION,
    Events,
    again,
    before,
    call_turn,
    changed,
    created,
    error,
    items_turn,
    joins,
    mcp_turn,
    moved,
    response,
    say,
    speech_turn,
    spoken_turn,
    text_turn,
    translation,
    user,
    without,
)

from realtime_trio._order import CLIENT_RULES, SERVER_RULES, check_order
from realtime_trio._order.check import UNANSWERED
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
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ConversationItemTruncated,
    FunctionCall,
    FunctionCallOutput,
    InputAudioBufferClear,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    McpListToolsFailed,
    McpListToolsInProgress,
    OutputAudio,
    OutputText,
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
    ResponseStatusDetails,
    SessionCreated,
    SessionUpdated,
    TranslationSessionOutputTranscriptDelta,
)

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
        # Right after the greeting it would begin a session of the older protocol.
        [created(), error(), say(ConversationCreated, conversation=ConversationInfo())],
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
    ("items_stand_where_they_belong", [created(), *joins(user(), "u")]),  # behind itself
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


@pytest.mark.parametrize(("rule", "events"), BROKEN)
def test_a_broken_rule_is_named(rule: str, events: Events) -> None:
    assert rule in {violation.rule for violation in check_order(events)}


def test_what_one_connection_passed_by_is_told_also_when_another_has_begun() -> None:
    passed_by = dict(BROKEN)[UNANSWERED]
    again = say(SessionCreated, session=attrs.evolve(SESSION, id="sess_2"))
    assert check_order([*passed_by, again]) == check_order(passed_by)


def test_every_rule_is_broken_here_and_explains_itself() -> None:
    names = {rule.__name__ for rule in (*SERVER_RULES, *CLIENT_RULES)}
    assert {rule for rule, _ in BROKEN} == names | {UNANSWERED}
    assert all(rule.__doc__ for rule in (*SERVER_RULES, *CLIENT_RULES))


def test_a_long_text_is_quoted_by_its_ends() -> None:
    long = "begins" + 1000 * "." + "ends"
    events = changed(text_turn(), ResponseOutputTextDone, text=long)
    quoted = [each.explanation for each in check_order(events) if "begins" in each.explanation]
    assert quoted
    assert all("ends" in explanation and len(explanation) < 200 for explanation in quoted)


def test_it_is_said_who_speaks() -> None:
    def explained(events: Events) -> str:
        return "\n".join(violation.explanation for violation in check_order(events))

    silence = explained(without(speech_turn(), InputAudioBufferSpeechStarted))
    assert "nobody speaks" in silence
    assert "is speaking" not in silence
    other = explained(changed(speech_turn(), InputAudioBufferSpeechStopped, item_id="v"))
    assert "is speaking" in other
    assert "nobody speaks" not in other
