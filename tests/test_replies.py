"""Which answer belongs to which request."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from realtime_trio.errors import ServerError, SessionClosed
from realtime_trio.events import (
    ClientEvent,
    ErrorDetail,
    ErrorEvent,
    Event,
    InputAudioBufferCommitted,
    RealtimeSession,
    ResponseCreate,
    SessionConfig,
    SessionUpdate,
    SessionUpdated,
    TranslationAudio,
    TranslationSession,
    TranslationSessionConfig,
    TranslationSessionUpdate,
    TranslationSessionUpdated,
    UnknownEvent,
)
from realtime_trio.replies import Replies, Request


def nobody_waits() -> None: ...


def update(event_id: str) -> SessionUpdate:
    return SessionUpdate(event_id=event_id, session=SessionConfig())


def updated(event_id: str = "event_1") -> SessionUpdated:
    return SessionUpdated(event_id=event_id, session=RealtimeSession())


def refusal(of: str | None, **details: str) -> ErrorEvent:
    return ErrorEvent(event_id="event_2", error=ErrorDetail(type="invalid_request_error", message="no", event_id=of, **details))


def expect(replies: Replies, event: Event) -> Request:
    request = replies.expect(event, nobody_waits)
    assert request is not None
    return request


def test_an_acknowledgement_settles_the_request() -> None:
    replies, calls = Replies(), []
    request = replies.expect(update("a"), lambda: calls.append("settled"))
    assert request is not None
    answer = updated()
    replies.settle(answer)
    assert request.answer is answer
    assert request.error is None
    assert calls == ["settled"]


def test_acknowledgements_of_one_kind_are_matched_in_the_order_of_the_requests() -> None:
    replies = Replies()
    requests = [expect(replies, update(event_id)) for event_id in "abc"]
    answers = [updated(str(n)) for n in range(3)]
    for answer in answers:
        replies.settle(answer)
    assert [request.answer for request in requests] == answers


def test_requests_of_different_kinds_do_not_answer_each_other() -> None:
    replies = Replies()
    one = expect(replies, update("a"))
    other = expect(replies, TranslationSessionUpdate(event_id="b", session=TranslationSessionConfig()))
    session = TranslationSession(id="sess_1", expires_at=0, model="t", audio=TranslationAudio())
    answer = TranslationSessionUpdated(event_id="event_1", session=session)
    replies.settle(answer)
    assert (one.answer, other.answer) == (None, answer)


def test_a_refusal_settles_the_request_it_names_and_no_other() -> None:
    replies = Replies()
    first, second, third = (expect(replies, update(event_id)) for event_id in "abc")
    replies.settle(refusal("b", code="invalid_value", param="session.voice"))
    assert (first.error, third.error) == (None, None)
    assert isinstance(second.error, ServerError)
    assert (second.error.code, second.error.param, second.error.message, second.error.event_id) == (
        "invalid_value",
        "session.voice",
        "no",
        "b",
    )
    answers = [updated("1"), updated("2")]
    for answer in answers:
        replies.settle(answer)
    assert [request.answer for request in (first, second, third)] == [answers[0], None, answers[1]]


@pytest.mark.parametrize("of", [None, "", "somebody-else"])
def test_an_error_about_something_else_settles_nothing(of: str | None) -> None:
    replies = Replies()
    request = expect(replies, update("a"))
    replies.settle(refusal(of))
    assert request.error is None


def test_an_answer_nobody_asked_for_is_no_surprise() -> None:
    replies = Replies()
    replies.settle(updated())
    replies.settle(refusal("a"))
    replies.settle(InputAudioBufferCommitted(event_id="event_1", item_id="item_1"))
    request = expect(replies, update("a"))
    assert request.answer is None


@pytest.mark.parametrize(
    "event",
    [
        ResponseCreate(event_id="a"),
        SessionUpdate(session=SessionConfig()),
        SessionUpdate(event_id="", session=SessionConfig()),
        UnknownEvent(event_id="a", type="session.update", raw={}),
    ],
    ids=["never acknowledged", "no id", "empty id", "not understood"],
)
def test_what_has_no_answer_that_could_be_told_is_no_request(event: ClientEvent | UnknownEvent) -> None:
    replies = Replies()
    assert replies.expect(event, nobody_waits) is None
    request = expect(replies, update("b"))
    replies.settle(updated())
    assert request.answer is not None


def test_closing_settles_everything_that_is_open() -> None:
    replies, calls = Replies(), []
    open_requests = [replies.expect(update(event_id), lambda: calls.append("settled")) for event_id in "ab"]
    answered = open_requests.pop(0)
    assert answered is not None
    replies.settle(updated())
    error = SessionClosed("over")
    replies.close(error)
    replies.close(SessionClosed("again"))
    assert answered.error is None
    assert [request and request.error for request in open_requests] == [error]
    assert calls == ["settled", "settled"]


def test_a_request_does_not_show_who_waits() -> None:
    assert "on_settled" not in repr(expect(Replies(), update("a")))


@given(st.lists(st.sampled_from(["send", "acknowledge", "refuse oldest", "refuse newest"]), max_size=30))
def test_every_request_is_settled_exactly_once_whatever_happens(steps: list[str]) -> None:
    replies = Replies()
    settled: list[str] = []
    waiting: list[Request] = []
    expected: list[str] = []
    for number, step in enumerate(steps):
        if step == "send":
            event_id = f"evt_{number}"
            request = replies.expect(update(event_id), lambda event_id=event_id: settled.append(event_id))  # type: ignore[misc]
            assert request is not None
            waiting.append(request)
        elif waiting:
            request = waiting.pop(-1 if "newest" in step else 0)
            if step == "acknowledge":
                replies.settle(updated())
            else:
                replies.settle(refusal(request.event.event_id))
            expected.append(request.event.event_id)
    replies.close(SessionClosed("over"))
    assert settled == expected + [request.event.event_id for request in waiting]
