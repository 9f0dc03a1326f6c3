"""Which messages of a running session are marked, and when nobody looks any more."""

from __future__ import annotations

import pytest
from recordings import client, created, server

from realtime_trio.audio import AudioData
from realtime_trio.console import marks
from realtime_trio.console.marks import OrderMarks
from realtime_trio.events import (
    ErrorDetail,
    ErrorEvent,
    InputAudioBufferAppend,
    InputAudioBufferCleared,
    RateLimitsUpdated,
    ResponseCreate,
    SessionConfig,
    SessionUpdate,
)

ERROR = ErrorEvent(event_id="event_e", error=ErrorDetail(type="x", message="y"))


def test_what_breaks_a_rule_is_marked_when_it_comes() -> None:
    order = OrderMarks(from_start=True)
    first, second = server(created(), created())
    assert order.judge(first) == []
    assert {violation.rule for violation in order.judge(second)} >= {"session_is_created_first"}
    assert order.why_unwatched is None


def test_a_session_that_is_seen_from_its_middle_is_not_judged() -> None:
    order = OrderMarks(from_start=False)
    assert order.judge(client(ResponseCreate())[0]) == []
    late = created()
    (record,) = server(ERROR)
    assert order.judge(record) == []
    # An error may be the first word of a server.
    assert order.why_unwatched is None
    order = OrderMarks(from_start=False)
    (later,) = server(ERROR)
    (middle,) = server(InputAudioBufferCleared(event_id="e"))
    assert order.judge(middle) == []
    assert order.why_unwatched == "the beginning of the session was not seen"
    assert order.judge(server(late)[0]) == []
    assert order.judge(later) == []


def test_a_session_that_is_seen_from_its_beginning_is_judged_on() -> None:
    order = OrderMarks(from_start=False)
    limits = RateLimitsUpdated(event_id="event_2", rate_limits=())
    first, second = server(created(), limits)
    assert order.judge(first) == []
    assert [violation.rule for violation in order.judge(second)] == ["rate_limits_follow_responses"]
    assert order.why_unwatched is None


def test_a_session_whose_beginning_must_be_seen_is_judged_from_it() -> None:
    order = OrderMarks(from_start=True)
    (middle,) = server(InputAudioBufferCleared(event_id="e"))
    assert order.judge(middle)[0].rule == "session_is_created_first"


def test_a_long_session_is_not_judged_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "MOST_MESSAGES", 3)
    order = OrderMarks(from_start=True)
    for record in (*server(created()), *client(ResponseCreate(), ResponseCreate())):
        order.judge(record)
        assert order.why_unwatched is None
    assert order.judge(client(ResponseCreate())[0]) == []
    assert "too long" in (order.why_unwatched or "")


def test_text_counts_and_audio_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "MOST_TEXT", 2000)
    order = OrderMarks(from_start=True)
    order.judge(server(created())[0])
    order.judge(client(InputAudioBufferAppend(audio=AudioData(bytes(5000))))[0])
    assert order.judge(client(ResponseCreate())[0]) == []
    config = SessionConfig(instructions="x" * 2000)
    order.judge(client(SessionUpdate(session=config))[0])
    assert "too long" in (order.why_unwatched or "")


def test_the_first_reason_stays() -> None:
    order = OrderMarks(from_start=True)
    order.give_up("one")
    order.give_up("two")
    assert order.why_unwatched == "one"
    assert order.judge(server(created())[0]) == []
