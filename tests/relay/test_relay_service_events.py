"""What a guest is told: all but what a grant hides, and as it came where nothing is hidden."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from realtime_trio.relay.grant import Grant
from realtime_trio.relay.service_events import ServiceEvents


def get_weather(city: str) -> str:
    """The weather."""
    return city


Json = dict[str, Any]


def told(events: ServiceEvents, payload: Json) -> Json | None:
    text = events.clean(json.dumps(payload), json.loads(json.dumps(payload)))
    return None if text is None else json.loads(text)


def with_tools(**grant: Any) -> ServiceEvents:
    return ServiceEvents(Grant(tools=[get_weather], **grant))


def call(item_id: str = "item_call", name: str = "get_weather", **fields: Any) -> Json:
    return {
        "id": item_id,
        "type": "function_call",
        "name": name,
        "call_id": f"call_of_{item_id}",
        **fields,
    }


def message(item_id: str) -> Json:
    return {"id": item_id, "type": "message", "role": "assistant", "content": []}


def added(item: Json, previous: str | None) -> Json:
    return {"type": "conversation.item.added", "item": item, "previous_item_id": previous}


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "response.done", "response": {"id": "r", "output": [message("a")]}},
        {"type": "an.event.of.tomorrow", "field": {"instructions": "not a session's"}},
        added(message("a"), None),
        {"type": "error", "error": {"message": "x", "event_id": "evt_of_the_guest"}},
        {"type": "error", "error": "a text"},
        {"type": "session.updated", "session": "a text"},
        {"type": "conversation.item.deleted", "item_id": 1},
        {"type": "conversation.item.added", "item": {"type": "message"}},
    ],
)
def test_what_hides_nothing_is_passed_on_as_it_came(payload: Json) -> None:
    text = json.dumps(payload, indent=1)
    assert with_tools().clean(text, payload) == text


def test_instructions_and_tools_are_cut_out_of_sessions_and_responses() -> None:
    events = ServiceEvents(Grant())
    session = {"id": "s", "instructions": "a secret", "tools": [{"name": "x"}], "model": "m"}
    for wire_type in ("session.created", "session.updated", "a.session.of.tomorrow"):
        assert told(events, {"type": wire_type, "session": session}) == {
            "type": wire_type,
            "session": {"id": "s", "model": "m"},
        }
    response = {"id": "r", "instructions": "a secret"}
    assert told(events, {"type": "response.created", "response": response}) == {
        "type": "response.created",
        "response": {"id": "r"},
    }


def test_a_grant_says_what_is_hidden() -> None:
    session = {"instructions": "a secret", "model": "m"}
    payload = {"type": "session.created", "session": session}
    assert told(ServiceEvents(Grant(hidden=())), payload) == payload
    assert told(ServiceEvents(Grant(hidden={"model"})), payload) == {
        "type": "session.created",
        "session": {"instructions": "a secret"},
    }


# Tools


def test_the_calls_of_the_relay_are_not_told_of() -> None:
    events = with_tools()
    item = call()
    for payload in (
        {"type": "response.output_item.added", "item": item, "output_index": 0},
        added(item, "item_user"),
        {"type": "response.function_call_arguments.delta", "item_id": "item_call", "delta": "{"},
        {"type": "response.function_call_arguments.done", "item_id": "item_call"},
        {"type": "response.output_item.done", "item": item},
        {"type": "conversation.item.done", "item": item, "previous_item_id": "item_user"},
        added(
            {"id": "item_out", "type": "function_call_output", "call_id": "call_of_item_call"},
            "item_call",
        ),
        {"type": "conversation.item.deleted", "item_id": "item_out"},
    ):
        assert told(events, payload) is None
    assert events.hides("item_call")
    assert events.hides_call("call_of_item_call")
    assert not events.hides("item_user")
    done = {"type": "response.done", "response": {"output": [message("a"), item]}}
    assert told(events, done) == {"type": "response.done", "response": {"output": [message("a")]}}


def test_the_calls_of_the_guest_are() -> None:
    events = with_tools()
    item = call(name="paint")
    for payload in (
        {"type": "response.output_item.added", "item": item},
        added(item, None),
        added({"id": "o", "type": "function_call_output", "call_id": "call_of_item_call"}, None),
        {"type": "response.done", "response": {"output": [item]}},
    ):
        assert told(events, payload) == payload


def test_a_call_that_a_response_tells_of_first_is_hidden_there() -> None:
    events = with_tools()
    done = {"type": "response.done", "response": {"output": [call(), "nonsense"]}}
    assert told(events, done) == {"type": "response.done", "response": {"output": ["nonsense"]}}
    assert told(events, {"type": "conversation.item.truncated", "item_id": "item_call"}) is None


def test_calls_may_be_shown() -> None:
    events = with_tools(hide_tools=False)
    assert told(events, added(call(), None)) == added(call(), None)


def test_a_call_without_an_id_is_hidden_by_its_name_alone() -> None:
    events = with_tools()
    item = {"id": "a", "type": "function_call", "name": "get_weather"}
    assert told(events, added(item, None)) is None
    assert told(events, added({"type": "function_call", "name": "get_weather"}, None)) is not None


def test_items_stand_behind_the_last_one_that_the_guest_knows() -> None:
    events = with_tools()
    events.hide_item("item_out")
    for item, previous in ((call("b"), "a"), (call("c"), "b")):
        assert told(events, added(item, previous)) is None
    output = {"id": "item_out", "type": "function_call_output", "call_id": "call_of_b"}
    assert told(events, added(output, "c")) is None
    shown = told(events, added(message("d"), "item_out"))
    assert shown is not None
    assert shown["previous_item_id"] == "a"


def test_items_that_stand_in_a_circle_stand_nowhere() -> None:
    events = with_tools()
    for item, previous in ((call("b"), "c"), (call("c"), "b")):
        assert told(events, added(item, previous)) is None
    shown = told(events, added(message("d"), "c"))
    assert shown is not None
    assert shown["previous_item_id"] is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=12))
def test_no_hidden_item_is_ever_named_as_the_previous_one(pairs: list[tuple[str, str]]) -> None:
    events = with_tools()
    for item_id, previous in pairs:
        assert told(events, added(call(item_id), previous)) is None
    for previous in "abcdef":
        shown = told(events, added(message("z"), previous))
        assert shown is not None
        assert not events.hides(str(shown["previous_item_id"]))


def test_what_the_relay_has_asked_for_is_refused_without_the_guest() -> None:
    events = ServiceEvents(Grant())
    events.expect("event_ours")
    refusal = {"type": "error", "error": {"message": "x", "event_id": "event_ours"}}
    assert told(events, refusal) is None


def test_the_oldest_hidden_items_are_forgotten() -> None:
    events = ServiceEvents(Grant())
    for number in range(4097):
        events.hide_item(f"item_{number}")
    assert not events.hides("item_0")
    assert events.hides("item_1")
    assert events.hides("item_4096")


# What is not known


def test_what_is_not_known_may_be_dropped() -> None:
    events = ServiceEvents(Grant(unknown="drop"))
    assert told(events, {"type": "an.event.of.tomorrow", "event_id": "e"}) is None
    payload = {"type": "input_audio_buffer.cleared", "event_id": "e"}
    assert told(events, {**payload, "new": 1}) == payload
