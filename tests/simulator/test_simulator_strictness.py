"""What a message of a client is to the service: the event it is, or what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from strategies import events

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    TRANSLATION_CLIENT_EVENTS,
    ConversationItemCreate,
    InputAudioBufferClear,
    ResponseCreate,
    SessionUpdate,
    UnknownEvent,
)
from realtime_trio.simulator.service.refusal import explain
from realtime_trio.simulator.service.strictness import read_message

SERVER = Codec(Role.SERVER)


def update(**session: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"type": "realtime", **session}}


def create(item: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "conversation.item.create", "item": item, **more}


TOOL = {
    "type": "function",
    "name": "f",
    "parameters": {"$schema": "x", "type": "object", "made_up": {"any": 1}},
}


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"type": "input_audio_buffer.clear", "bogus": None}, "bogus"),
        ({"type": "input_audio_buffer.append", "audio": "AAAA", "rate": 24_000}, "rate"),
        (update(bogus_field=1), "session.bogus_field"),
        (update(voice="alloy"), "session.voice"),
        (
            update(audio={"input": {"turn_detection": {"type": "server_vad", "eagerness": "low"}}}),
            "session.audio.input.turn_detection.eagerness",
        ),
        (
            update(audio={"output": {"format": {"type": "audio/pcm", "rate": 24_000, "bits": 16}}}),
            "session.audio.output.format.bits",
        ),
        (update(tools=[TOOL, {**TOOL, "strict": True}]), "session.tools[1].strict"),
        ({"type": "response.create", "response": {"modalities": ["text"]}}, "response.modalities"),
        (
            {
                "type": "response.create",
                "response": {
                    "input": [{"type": "item_reference", "id": "a", "status": "completed"}]
                },
            },
            "response.input[0].status",
        ),
        (create({"type": "message", "role": "user", "content": [], "name": "x"}), "item.name"),
        (
            create(
                {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "x", "tone": "sad"}],
                }
            ),
            "item.content[0].tone",
        ),
        (
            create({"type": "function_call", "name": "f", "arguments": "", "role": "assistant"}),
            "item.role",
        ),
    ],
)
def test_a_parameter_that_does_not_exist_is_named(message: dict[str, Any], param: str) -> None:
    event = read_message(SERVER, json.dumps({**message, "event_id": "mine"}))
    assert isinstance(event, UnknownEvent)
    assert (event.type, event.event_id) == (message["type"], "mine")
    refusal = explain(event)
    assert (refusal.code, refusal.param, str(refusal)) == (
        "unknown_parameter",
        param,
        f"Unknown parameter: '{param}'.",
    )


@pytest.mark.parametrize("name", ["text", "audio"])
def test_a_part_with_the_name_of_the_older_protocol_is_refused_by_name(name: str) -> None:
    content = [{"type": "output_text", "text": "a"}, {"type": name, "text": "b"}]
    item = {"type": "message", "role": "assistant", "content": content}
    for message, where in [
        (create(item), "item"),
        ({"type": "response.create", "response": {"input": [item]}}, "response.input[0]"),
    ]:
        event = read_message(SERVER, json.dumps({**message, "event_id": "mine"}))
        assert isinstance(event, UnknownEvent)
        refusal = explain(event)
        assert (event.event_id, refusal.code, refusal.param, str(refusal)) == (
            "mine",
            "invalid_value",
            f"{where}.content[1].type",
            f"Invalid value: '{name}'. Supported values are: 'output_text'.",
        )


def test_the_first_of_several_is_named() -> None:
    event = read_message(SERVER, json.dumps(update(audio={"input": {"zeta": 1}}, beta=2)))
    assert isinstance(event, UnknownEvent)
    assert (explain(event).param, event.event_id) == ("session.audio.input.zeta", "")


@pytest.mark.parametrize(
    "message",
    [
        update(tools=[TOOL], tracing={"workflow_name": "x", "metadata": {"anything": 1}}),
        update(prompt={"id": "pmpt_1", "variables": {"anything": "x"}}),
        update(
            tools=[{"type": "gizmo", "anything": 1}]
        ),  # refused for what it is, not for what it holds
        {"type": "response.create", "response": {"metadata": {"anything": "x"}}},
        create(
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "x", "audio": None, "transcript": None}],
            }
        ),
        create(
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "x", "transcript": None}],
            }
        ),
    ],
)
def test_what_is_open_may_hold_anything(message: dict[str, Any]) -> None:
    assert read_message(SERVER, json.dumps(message)) == SERVER.decode(json.dumps(message))


@pytest.mark.parametrize("cls", [InputAudioBufferClear, ResponseCreate, SessionUpdate])
def test_what_a_client_of_ours_sends_has_no_other_parameters(cls: type[Any]) -> None:
    ours = Codec(Role.CLIENT)

    @given(events(cls))
    def reads(event: Any) -> None:
        try:
            message = ours.encode(event)
        except LocalProtocolError:
            return
        assert read_message(SERVER, message) == SERVER.decode(message)

    reads()


def test_what_fits_no_event_is_what_the_codec_says() -> None:
    for message in (
        "hello",
        "[]",
        '{"type": "nope", "bogus": 1}',
        '{"type": "session.update", "bogus": 1}',
    ):
        assert read_message(SERVER, message) == SERVER.decode(message)


def test_a_binary_frame_is_no_event_whatever_it_says() -> None:
    event = read_message(SERVER, b'{"type": "input_audio_buffer.clear"}')
    assert isinstance(event, UnknownEvent)
    assert explain(event).code == "invalid_event"


def test_translation_sessions_are_as_strict() -> None:
    codec = Codec(Role.SERVER, kind=SessionKind.TRANSLATION)
    event = read_message(codec, '{"type": "session.update", "session": {"instructions": "x"}}')
    assert isinstance(event, UnknownEvent)
    assert explain(event).param == "session.instructions"


def test_the_older_dialect_is_read_as_its_codec_reads_it() -> None:
    codec = Codec(Role.SERVER, Dialect.BETA)
    message = '{"type": "session.update", "session": {"modalities": ["text"], "bogus": 1}}'
    assert isinstance(read_message(codec, message), SessionUpdate)
    item = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "x"}]}
    assert isinstance(read_message(codec, json.dumps(create(item))), ConversationItemCreate)


def test_no_event_of_a_client_is_one_of_a_server() -> None:
    # What is there to see in a message is asked of a codec that has no class for it.
    assert not {cls.type for cls in (*CLIENT_EVENTS, *TRANSLATION_CLIENT_EVENTS)} & {
        cls.type for cls in SERVER_EVENTS
    }
