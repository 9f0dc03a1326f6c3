"""What a page and its server say to each other."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st
from recordings import created, server

from realtime_trio import Close
from realtime_trio._order import Violation
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio.console.messages import (
    Ask,
    AskError,
    answer,
    call_id_of,
    client_events,
    connection_told,
    dropped_told,
    end_told,
    marks_told,
    problem_with,
    read_ask,
    record_told,
    refused,
    state_told,
)
from realtime_trio.events import FunctionCall, McpApprovalRequest
from realtime_trio.recording import WireRecord

BROKEN = Violation("some_rule", 3, "this is wrong")
SERVER = Codec(Role.SERVER)


def test_a_record_is_the_message_as_it_was() -> None:
    text = '{"type": "later.event", "number": 1.50, "delta": "<b>"}'
    event = Codec().decode(text)
    record = WireRecord.of_message(7.0, "server", event, text, wall_time=1e9)
    told = record_told(record, 1.2345678, [BROKEN])
    assert json.loads(told) == {
        "kind": "record",
        "side": "server",
        "at": 1.234568,
        "wall": 1e9,
        "marks": [{"rule": "some_rule", "explanation": "this is wrong"}],
        "event": {"type": "later.event", "number": 1.5, "delta": "<b>"},
    }
    assert '"number": 1.50' in told


def test_a_secret_is_not_told() -> None:
    text = '{"type":"x","authorization":"Bearer sk-abcdefgh12345"}'
    record = WireRecord.of_message(0, "client", SERVER.decode(text), text)
    assert json.loads(record_told(record, 0, ()))["event"]["authorization"] == "<secret>"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("not JSON", "not JSON"),
        ("[1]", "[1]"),
        (b"\xff\x00", "\\xff\x00"),
        ('"a string"', '"a string"'),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_is_not_an_event_is_told_as_text(message: str | bytes, shown: str) -> None:
    record = WireRecord.of_message(0, "server", Codec().decode(message), message)
    told = json.loads(record_told(record, 0, ()))
    assert told["text"] == shown
    assert "event" not in told
    assert told["wall"] is None


@given(st.text() | st.binary())
def test_whatever_was_on_the_wire_becomes_json(message: str | bytes) -> None:
    record = WireRecord.of_message(0, "server", Codec().decode(message), message)
    assert json.loads(record_told(record, 0, ()))["kind"] == "record"


def test_the_other_things_that_are_told() -> None:
    assert json.loads(marks_told(2, "client", 17, None, [BROKEN])) == {
        "kind": "marks",
        "connection": 2,
        "side": "client",
        "number": 17,
        "event_id": None,
        "marks": [{"rule": "some_rule", "explanation": "this is wrong"}],
    }
    assert json.loads(connection_told(1, is_open=False)) == {
        "kind": "connection",
        "number": 1,
        "open": False,
    }
    assert json.loads(dropped_told(12)) == {"kind": "dropped", "count": 12}
    assert json.loads(end_told(Close(1001, "bye\x1b[2J"))) == {
        "kind": "end",
        "code": 1001,
        "reason": json.loads(end_told(Close(1001, "bye\x1b[2J")))["reason"],
    }
    assert "\x1b" not in json.loads(end_told(Close(1001, "bye\x1b[2J")))["reason"]
    assert json.loads(end_told(None, "over"))["reason"] == "over"


def test_a_state_has_the_calls_that_wait() -> None:
    calls = (
        FunctionCall(id="item_1", call_id="call_1", name="pay", arguments="{}"),
        McpApprovalRequest(id="item_2", server_label="docs", name="find", arguments="{}"),
    )
    told = json.loads(state_told(is_open=True, may_act=False, why_unwatched="so", approvals=calls))
    assert (told["order"], told["why"], told["open"], told["may_act"]) == (
        "unwatched",
        "so",
        True,
        False,
    )
    assert told["approvals"] == [
        {"call": "call_1", "name": "pay", "arguments": "{}", "server_label": None},
        {"call": "item_2", "name": "find", "arguments": "{}", "server_label": "docs"},
    ]
    assert json.loads(state_told(is_open=False, may_act=True, why_unwatched=None))["order"] == (
        "watched"
    )
    assert call_id_of(FunctionCall(name="x", arguments="")) == ""


def test_what_a_page_asks_for_is_read() -> None:
    ask = read_ask('{"kind": "check", "id": 7, "event": {"type": "x"}}')
    assert (ask.kind, ask.id, ask.members["event"]) == ("check", 7, {"type": "x"})
    assert read_ask(b'{"kind": "script", "id": "a"}').id == "a"
    for odd in ("true", "1.5", "[]", "null"):
        assert read_ask(f'{{"kind": "script", "id": {odd}}}').id is None


@pytest.mark.parametrize("said", ["", "x", "5", "[]", "{}", '{"kind": 5}', '{"kind": "dance"}'])
def test_what_cannot_be_read_is_explained(said: str) -> None:
    with pytest.raises(AskError, match=r"not JSON|check, send, decide, fault, script, judge"):
        read_ask(said)


@given(st.text() | st.binary())
def test_whatever_a_page_says_is_read_or_refused(said: str | bytes) -> None:
    with suppress(AskError):
        read_ask(said)


def test_answers_have_the_id_and_their_own_names() -> None:
    ask = Ask(kind="send", id=3, members={})
    assert json.loads(answer(ask, "why not")) == {"kind": "sent", "id": 3, "problem": "why not"}
    ask = Ask(kind="script", id=None, members={})
    assert json.loads(answer(ask, None, text="{}"))["text"] == "{}"
    assert json.loads(refused("so")) == {"kind": "refused", "id": None, "problem": "so"}


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ({"type": "response.create"}, None),
        ({"type": "response.create", "later": 1}, None),
        ({"type": "response.create", "event_id": 5}, "event_id"),
        ({"type": "session.created"}, "a client does not send 'session.created'"),
        ({}, "type"),
        ([], "an event is a JSON object"),
        ("response.create", "an event is a JSON object"),
        ({"type": "x" * 1000}, "1000 characters"),
    ],
)
def test_an_event_is_checked_as_a_server_reads_it(event: Any, problem: str | None) -> None:
    found = problem_with(event, SERVER)
    assert found is None if problem is None else problem in (found or "")


def test_what_a_client_sends_depends_on_the_session() -> None:
    assert "response.create" in client_events(SERVER)
    translating = Codec(Role.SERVER, kind=SessionKind.TRANSLATION)
    assert "response.create" not in client_events(translating)
    assert "translation" in (problem_with({"type": "response.create"}, translating) or "")
    beta = Codec(Role.SERVER, Dialect.BETA)
    assert problem_with({"type": "response.create"}, beta) is None


def test_a_record_without_a_text_is_written() -> None:
    (record,) = server(created())
    assert json.loads(record_told(record, 0, ()))["event"]["type"] == "session.created"
