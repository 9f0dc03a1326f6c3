"""What a guest may send: every rule, and what it is told when it breaks one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from realtime_trio.connection import SessionKind
from realtime_trio.events import FunctionTool
from realtime_trio.relay.grant import DEFAULT_EVENTS, Grant
from realtime_trio.relay.guest_events import (
    GuestEvents,
    NotAllowedError,
    audio_in,
    items_named_by,
)


def get_weather(city: str) -> str:
    """The weather."""
    return city


def checked(payload: dict[str, Any], **grant: Any) -> dict[str, Any]:
    """What is passed on."""
    text = json.dumps(payload)
    result: dict[str, Any] = json.loads(GuestEvents(Grant(**grant)).check(text, json.loads(text)))
    return result


def refused(payload: dict[str, Any], **grant: Any) -> NotAllowedError:
    with pytest.raises(NotAllowedError) as refusal:
        checked(payload, **grant)
    return refusal.value


def item(**fields: Any) -> dict[str, Any]:
    return {"type": "conversation.item.create", "item": fields}


def message(role: str, *parts: dict[str, Any]) -> dict[str, Any]:
    return item(type="message", role=role, content=list(parts))


def update(**session: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"type": "realtime", **session}}


TEXT = {"type": "input_text", "text": "hello"}
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "input_audio_buffer.append", "audio": "AAAA"},
        {"type": "input_audio_buffer.commit"},
        {"type": "input_audio_buffer.clear", "event_id": "e"},
        {"type": "response.create"},
        {"type": "response.create", "response": None},
        {"type": "response.create", "response": {"metadata": {"a": "b"}}},
        {"type": "response.cancel", "response_id": "resp_1"},
        {"type": "conversation.item.truncate", "item_id": "i", "audio_end_ms": 1},
        message("user", TEXT, IMAGE, {"type": "input_audio", "audio": "AAAA"}),
        {"type": "input_audio_buffer.commit", "a_field_of_tomorrow": {"a": [1]}},
    ],
)
def test_what_one_does_in_a_conversation_is_passed_on_unchanged(payload: dict[str, Any]) -> None:
    text = f" {json.dumps(payload)}\n"
    assert GuestEvents(Grant()).check(text, payload) == text


@pytest.mark.parametrize(
    ("payload", "param"),
    [
        ({"type": "session.update", "session": {}}, None),
        ({"type": "session.delete_everything"}, "type"),
        ({"type": "conversation.item.delete", "item_id": "i"}, "type"),
        ({"type": "conversation.item.retrieve", "item_id": "i"}, "type"),
        ({"type": "response.create", "response": {"instructions": "x"}}, "response.instructions"),
        (
            {"type": "response.create", "response": {"conversation": "none"}},
            "response.conversation",
        ),
        ({"type": "response.create", "response": []}, "response"),
        ({"type": "conversation.item.create"}, "item"),
        (message("system", TEXT), "item.content[0].type"),
        (message("assistant", {"type": "output_text", "text": "x"}), "item.content[0].type"),
        (message("user", TEXT, {"type": "surprise"}), "item.content[1].type"),
        (item(type="message", role="system", content=[]), "item.role"),
        (item(type="message", role="user", content="text"), "item.content[0].type"),
        (item(type="function_call_output", call_id="c", output="x"), "item.type"),
        (item(role="user"), "item.type"),
        (
            message("user", {"type": "input_image", "image_url": "http://10.0.0.1/"}),
            "item.content",
        ),
    ],
)
def test_everything_else_is_refused_by_default(payload: dict[str, Any], param: str | None) -> None:
    refusal = refused(payload)
    assert refusal.code == "not_allowed"
    assert refusal.param == param


def test_a_refusal_says_what_would_have_been_allowed() -> None:
    assert "response.cancel" in str(refused({"type": "x"}))
    assert "user.input_text" in str(refused(message("system", TEXT)))
    assert "allowed: metadata" in str(
        refused({"type": "response.create", "response": {"voice": "x"}})
    )


@pytest.mark.parametrize(
    ("payload", "grant"),
    [
        ({"type": "x"}, {"events": ()}),
        (message("user", TEXT), {"items": ()}),
        ({"type": "response.create", "response": {"voice": "x"}}, {"overrides": ()}),
    ],
)
def test_where_nothing_is_allowed_that_is_said(
    payload: dict[str, Any], grant: dict[str, Any]
) -> None:
    assert "allowed: nothing" in str(refused(payload, **grant))


@pytest.mark.parametrize(
    ("payload", "grant"),
    [
        (
            {"type": "conversation.item.delete", "item_id": "i"},
            {"events": DEFAULT_EVENTS | {"conversation.item.delete"}},
        ),
        ({"type": "an.event.of.tomorrow"}, {"events": {"*"}}),
        (message("system", TEXT), {"items": {"system.input_text"}}),
        (item(type="function_call_output", call_id="c"), {"items": {"function_call_output"}}),
        ({"type": "response.create", "response": {"voice": "x"}}, {"overrides": {"*"}}),
        (update(instructions="x", audio={"input": {}}), {"updates": {"*"}}),
    ],
)
def test_a_grant_may_allow_more(payload: dict[str, Any], grant: dict[str, Any]) -> None:
    assert checked(payload, **grant) == payload


# Sessions


def test_listed_fields_of_a_session_may_be_changed_and_no_others() -> None:
    grant = {"updates": {"audio.input.turn_detection", "audio.output"}}
    payload = update(audio={"input": {"turn_detection": None}, "output": {"voice": "x"}})
    assert checked(payload, **grant) == payload
    refusal = refused(update(audio={"input": {"turn_detection": None, "format": {}}}), **grant)
    assert refusal.param == "session.audio.input.format"
    assert "audio.output" in str(refusal)
    assert refused(update(instructions="x"), **grant).param == "session.instructions"
    assert refused(update(audio="x"), **grant).param == "session.audio"
    assert refused({"type": "session.update", "session": []}, **grant).param == "session"


def test_other_fields_may_be_taken_out_instead() -> None:
    payload = update(
        instructions="x", audio={"input": {"format": {}}, "output": {"voice": "x", "speed": 2}}
    )
    grant = {"updates": {"audio.output.voice"}, "other_updates": "drop"}
    assert checked(payload, **grant)["session"] == {
        "type": "realtime",
        "audio": {"output": {"voice": "x"}},
    }
    assert checked(payload, other_updates="drop")["session"] == {"type": "realtime"}


def test_the_model_is_that_of_the_grant_whatever_a_client_believes() -> None:
    payload = update(model="gpt-mine", instructions="x")
    assert checked(payload, updates={"*"}) == update(instructions="x")
    assert checked(update(model="gpt-mine"), updates={"instructions"}) == update()


@pytest.mark.parametrize("grant", [{"updates": {"*"}}, {"other_updates": "drop"}])
def test_a_session_stays_what_it_is(grant: dict[str, Any]) -> None:
    refusal = refused({"type": "session.update", "session": {"type": "transcription"}}, **grant)
    assert refusal.param == "session.type"


def test_tools_of_a_guest_come_to_those_of_the_relay() -> None:
    paint = {"type": "function", "name": "paint"}
    spoofed = {"type": "function", "name": "get_weather", "description": "mine"}
    grant = {"tools": [get_weather], "updates": {"tools"}}
    tools = checked(update(tools=[paint, spoofed, "nonsense"]), **grant)["session"]["tools"]
    assert [tool if isinstance(tool, str) else tool["name"] for tool in tools] == [
        "get_weather",
        "paint",
        "nonsense",
    ]
    assert tools[0]["description"] == "The weather."
    assert checked(update(tools="x"), **grant)["session"]["tools"] == "x"
    without = {"tools": [FunctionTool(name="paint")], "updates": {"instructions"}}
    assert checked(update(instructions="x"), **without) == update(instructions="x")


# What is not known


def test_what_is_not_known_may_be_dropped() -> None:
    grant: dict[str, Any] = {"unknown": "drop", "events": {"*"}}
    assert checked({"type": "input_audio_buffer.commit", "new": 1}, **grant) == {
        "type": "input_audio_buffer.commit"
    }
    assert refused({"type": "an.event.of.tomorrow"}, **grant).code == "unknown_event"
    assert refused({"type": "response.cancel", "response_id": 1}, **grant).code == "unknown_event"


@pytest.mark.parametrize(
    ("grant", "free"),
    [({}, True), ({"unknown": "drop"}, False), ({"events": ()}, False)],
)
def test_audio_is_not_looked_at_where_that_changes_nothing(
    grant: dict[str, Any], free: bool
) -> None:
    assert GuestEvents(Grant(**grant)).are_appends_free is free


def test_translation_sessions_have_appends_of_their_own() -> None:
    payload = {"type": "session.input_audio_buffer.append", "audio": "AAAA"}
    assert checked(payload, kind=SessionKind.TRANSLATION) == payload


# What an event brings


@pytest.mark.parametrize(
    ("payload", "characters"),
    [
        ({"type": "x"}, 0),
        ({"type": "x", "audio": "AAAA"}, 4),
        ({"type": "x", "audio": 4}, 0),
        (message("user", TEXT, {"type": "input_audio", "audio": "AAAAAA"}), 6),
        (item(type="message", content="text"), 0),
        ({"type": "x", "item": "text"}, 0),
        (item(type="message", content=["text", {"audio": "AA"}]), 2),
    ],
)
def test_audio_is_found_wherever_it_may_stand(payload: dict[str, Any], characters: int) -> None:
    assert audio_in(payload) == characters


def test_items_that_an_event_is_about_are_named() -> None:
    assert list(items_named_by({"item_id": "a", "previous_item_id": "b"})) == ["a", "b"]
    assert list(items_named_by({"item_id": 1, "previous_item_id": None})) == []
