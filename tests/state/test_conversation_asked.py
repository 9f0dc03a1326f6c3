"""Which responses stay out of the conversation, on servers that do not say it."""

from __future__ import annotations

from typing import Any

import pytest
from conversation_events import added, assistant, output_added, tell, transcript

from realtime_trio._state.conversation.asked import AskedResponses
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.turns.run import METADATA_KEY
from realtime_trio.events import (
    UNSET,
    ErrorDetail,
    ErrorEvent,
    Response,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
)


def create(event_id: str, *, aside: bool = False, **metadata: str) -> ResponseCreate:
    config = ResponseConfig(conversation="none" if aside else None, metadata=metadata or None)
    return ResponseCreate(event_id=event_id, response=config)


def response(conversation: Any = UNSET, of: str | None = None, **metadata: str) -> Response:
    if of is not None:
        metadata[METADATA_KEY] = of
    return Response(id="resp_1", conversation_id=conversation, metadata=metadata or None)


def test_what_the_server_says_counts() -> None:
    asked = AskedResponses()
    assert asked.begun(response(None))
    assert not asked.begun(response("conv_1"))
    asked.sent(create("evt_1", aside=True))
    assert not asked.begun(response("conv_1", of="evt_1"))


def test_where_it_says_nothing_the_request_does() -> None:
    asked = AskedResponses()
    asked.sent(create("evt_1", aside=True))
    asked.sent(create("evt_2"))
    assert not asked.begun(response(of="evt_2"))
    assert asked.begun(response(of="evt_1"))


def test_a_response_that_nobody_asked_for_is_one_of_the_conversation() -> None:
    assert not AskedResponses().begun(response())


def test_metadata_of_the_users_own_name_a_request_too() -> None:
    asked = AskedResponses()
    asked.sent(create("evt_1", aside=True, topic="weather"))
    asked.sent(create("evt_2"))
    assert asked.begun(response(topic="weather"))


def test_without_names_one_of_the_conversation_is_more_likely() -> None:
    asked = AskedResponses()
    asked.sent(create("evt_1", aside=True))
    asked.sent(create("evt_2"))
    assert not asked.begun(response())
    assert asked.begun(response())
    assert not asked.begun(response())


def test_each_request_is_answered_once_and_not_at_all_when_refused() -> None:
    asked = AskedResponses()
    asked.sent(create("evt_1", aside=True))
    asked.sent(create("evt_2", aside=True))
    assert asked.begun(response(None))
    asked.refused("evt_2")
    assert not asked.begun(response())


def test_requests_that_nobody_answers_do_not_pile_up() -> None:
    asked = AskedResponses()
    asked.sent(create("evt_0", aside=True))
    for number in range(1, 1000):
        asked.sent(create(f"evt_{number}"))
    assert not asked.begun(response(of="evt_0"))


# --- in a conversation ----------------------------------------------------------------------------


@pytest.mark.parametrize("aside", [False, True])
def test_an_answer_of_a_server_that_names_no_conversation_streams(aside: bool) -> None:
    conversation = Conversation()
    conversation.sent(create("evt_1", aside=aside))
    told = tell(
        conversation,
        ResponseCreated(event_id="e", response=response(of="evt_1")),
        output_added(assistant("item_1")),
        transcript("Hello"),
        ResponseDone(event_id="e", response=response(of="evt_1")),
    )
    assert bool(told) == (not aside)
    assert [item.transcript for item in conversation.items] == ([] if aside else ["Hello"])


def test_a_refused_request_is_not_waited_for() -> None:
    conversation = Conversation()
    conversation.sent(create("evt_1", aside=True))
    detail = ErrorDetail(type="invalid_request_error", message="no", event_id="evt_1")
    tell(
        conversation,
        ErrorEvent(event_id="e", error=detail),
        ResponseCreated(event_id="e", response=response()),
        added(assistant("item_1")),
        transcript("Hello"),
    )
    assert conversation.items[0].transcript == "Hello"
