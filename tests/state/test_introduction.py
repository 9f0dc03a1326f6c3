"""The opening of a further link: greeting, configuration, items."""

from __future__ import annotations

from realtime_trio._state.introduction import Introduction
from realtime_trio.errors import ServerError
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDone,
    ErrorDetail,
    ErrorEvent,
    RateLimitsUpdated,
    RealtimeSession,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    TranscriptionSession,
    UserMessage,
)

CREATED = SessionCreated(event_id="e", session=RealtimeSession(id="sess_1"))
UPDATE = SessionUpdate(event_id="u", session=SessionConfig(instructions="Be brief."))
UPDATED = SessionUpdated(
    event_id="e", session=RealtimeSession(id="sess_1", instructions="Be brief.")
)


def message(item_id: str) -> ConversationItemCreate:
    return ConversationItemCreate(
        event_id=f"create {item_id}", item=UserMessage.text("Hello!", id=item_id)
    )


def added(item_id: str) -> ConversationItemAdded:
    return ConversationItemAdded(event_id="e", item=UserMessage.text("Hello!", id=item_id))


def refusal(event_id: str | None) -> ErrorEvent:
    detail = ErrorDetail(type="server_error", message="no", code="x", event_id=event_id)
    return ErrorEvent(event_id="e", error=detail)


def state_of(opening: Introduction) -> tuple[bool, bool]:
    """Whether it is configured, and whether it was told everything."""
    return opening.is_configured, not opening.unanswered


def test_before_the_greeting_nothing_is_configured() -> None:
    assert state_of(Introduction()) == (False, True)


def test_without_a_configuration_the_greeting_is_enough() -> None:
    assert Introduction().session is None
    opening = Introduction()
    opening.apply(CREATED, "")
    assert opening.is_configured
    assert opening.session is CREATED.session
    assert not opening.unanswered
    assert opening.refusal is None


def test_a_configuration_is_in_force_when_it_was_taken() -> None:
    opening = Introduction()
    opening.apply(CREATED, "")
    opening.says(UPDATE)
    assert state_of(opening) == (False, True)
    opening.apply(UPDATED, "")
    assert state_of(opening) == (True, True)
    assert opening.session is UPDATED.session
    assert opening.refusal is None


def test_a_configuration_can_be_refused() -> None:
    opening = Introduction()
    opening.apply(CREATED, "")
    opening.says(UPDATE)
    opening.apply(refusal("u"), "")
    assert opening.is_configured
    assert isinstance(opening.refusal, ServerError)
    assert opening.error is None


def test_every_item_is_taken_or_refused() -> None:
    opening = Introduction()
    opening.apply(CREATED, "")
    for item_id in ("a", "b"):
        opening.says(message(item_id))
    opening.apply(added("a"), "")
    assert state_of(opening) == (True, False)
    opening.apply(refusal("create b"), "")
    assert state_of(opening) == (True, True)
    assert opening.taken == {"a"}
    assert opening.refused == (("b", "x: no"),)


def test_an_error_about_nothing_is_why_it_does_not_begin() -> None:
    opening = Introduction()
    error = refusal(None)
    opening.apply(error, "")
    assert opening.error is error.error


def test_what_it_says_of_the_items_is_an_echo_and_all_else_is_for_later() -> None:
    opening = Introduction()
    opening.apply(CREATED, "")
    opening.says(message("a"))
    done = ConversationItemDone(event_id="e", item=UserMessage.text("Hello!", id="a"))
    other, limits = added("b"), RateLimitsUpdated(event_id="e", rate_limits=())
    opening.apply(added("a"), "1")
    opening.apply(done, "2")
    opening.apply(other, "3")
    opening.apply(limits, "4")
    assert opening.rest == [(other, "3"), (limits, "4")]
    assert opening.is_echo(done)
    assert not opening.is_echo(other)
    assert not opening.is_echo(limits)


def test_a_session_of_another_kind_has_no_configuration_of_ours() -> None:
    opening = Introduction()
    opening.apply(SessionCreated(event_id="e", session=TranscriptionSession()), "")
    assert opening.session is None
