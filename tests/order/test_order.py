"""The order rules: messages that keep them, and what is said of those that do not."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
from hypothesis import given, strategies as st
from order_turns import (
    FULL,
    SESSION,
    TURNS,
    Events,
    before,
    changed,
    created,
    error,
    joins,
    mcp_turn,
    response,
    say,
    speech_turn,
    spoken,
    spoken_turn,
    text_output,
    text_turn,
    user,
)
from strategies import any_client_event, any_server_event

from realtime_trio._order import Violation, assert_order, check_order
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio.events import (
    AssistantMessage,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionFailed,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferDtmfEventReceived,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    McpApprovalRequest,
    OutputAudio,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseErrorDetail,
    ResponseMcpCallCompleted,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDone,
    ResponseStatusDetails,
    ServerEvent,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    UnknownEvent,
    UserMessage,
)
from realtime_trio.recording import WireRecord


def rules(events: Events) -> set[str]:
    return {violation.rule for violation in check_order(events)}


@pytest.mark.parametrize("turn", TURNS)
def test_messages_in_order_break_no_rule(turn: Callable[[], Events]) -> None:
    assert check_order(turn()) == []


@pytest.mark.parametrize("turn", TURNS)
def test_the_server_alone_is_judged_without_what_only_the_client_knows(
    turn: Callable[[], Events],
) -> None:
    assert check_order([event for event in turn() if isinstance(event, ServerEvent)]) == []


def test_a_violation_says_where_and_what() -> None:
    events = [created(), say(SessionCreated, session=SESSION)]
    assert check_order(events) == [
        Violation("session_is_created_first", 1, "the session is created a second time")
    ]


def test_every_connection_of_a_session_is_judged_by_itself() -> None:
    again = say(SessionCreated, session=attrs.evolve(SESSION, id="sess_2"))
    events = [*text_turn(), again, *text_turn()[1:]]
    assert check_order(events) == []
    mistaken = [*events, again, created(), say(SessionCreated, session=SESSION)]
    assert {each.index for each in check_order(mistaken)} == {len(events), len(events) + 2}


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
        "  [2] session_is_created_first: the session is created a second time (at "
        "session.created, sent by the server)",
        "  [3] clients_name_items_that_are_there: conversation.item.delete names item z, "
        "which was never there "
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


def test_a_call_on_an_mcp_server_may_be_over_after_its_item_is_deleted() -> None:
    turn = mcp_turn()
    approved = next(
        each for each in turn if isinstance(each, ConversationItemAdded) and each.item.id == "b"
    )
    begun = turn[: turn.index(approved) + 2]
    deletion = [ConversationItemDelete(item_id="b"), say(ConversationItemDeleted, item_id="b")]
    completed = say(ResponseMcpCallCompleted, item_id="b", output_index=0)
    assert check_order([*begun, *deletion, completed]) == []


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


@pytest.mark.parametrize("named", [True, False])
def test_a_refused_item_without_an_id_does_not_claim_the_place_of_the_next(named: bool) -> None:
    refused, taken = ("evt_1", "evt_2") if named else (None, None)
    create, text = ConversationItemCreate, UserMessage.text("hello")
    events = [
        created(),
        create(item=UserMessage.text("hello", id="u")),
        *joins(user("u")),
        create(item=text, previous_item_id="root", event_id=refused),
        error(refused),
        create(item=text, event_id=taken),
        *joins(user("w"), "u"),
    ]
    assert check_order(events) == []


def test_an_item_without_an_id_is_where_it_was_asked_for_also_after_another_was_refused() -> None:
    create, text = ConversationItemCreate, UserMessage.text("hello")
    events = [
        created(),
        create(item=text, event_id="evt_1"),
        *joins(user("u")),
        create(item=text, previous_item_id="u", event_id="evt_2"),
        error("evt_2"),
        create(item=text, previous_item_id="root", event_id="evt_3"),
        *joins(user("w"), "u"),
    ]
    assert rules(events) == {"items_stand_where_they_belong"}
