"""The two spellings of the protocol: what one says must come out as what the other means, and nothing may be lost or invented."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from realtime_trio._protocol.dialects import (
    Dialect,
    client_from_beta,
    client_to_beta,
    server_from_beta,
    server_to_beta,
)

Json = dict[str, Any]

PCM = {"type": "audio/pcm", "rate": 24_000}
TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "Look out of the window.",
    "parameters": {"type": "object"},
}

GA_SESSION: Json = {
    "type": "realtime",
    "model": "gpt-realtime",
    "instructions": "Be brief.",
    "output_modalities": ["audio"],
    "audio": {
        "input": {
            "format": PCM,
            "transcription": {"model": "whisper-1", "language": "de", "prompt": "names"},
            "noise_reduction": {"type": "near_field"},
            "turn_detection": {"type": "server_vad", "threshold": 0.5, "idle_timeout_ms": 6000},
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "marin", "speed": 1.25},
    },
    "tools": [TOOL],
    "tool_choice": "auto",
    "tracing": "auto",
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
    "prompt": {"id": "pmpt_1"},
    "max_output_tokens": 400,
}
BETA_SESSION: Json = {
    "model": "gpt-realtime",
    "instructions": "Be brief.",
    "modalities": ["audio", "text"],
    "input_audio_format": "pcm16",
    "input_audio_transcription": {"model": "whisper-1", "language": "de", "prompt": "names"},
    "input_audio_noise_reduction": {"type": "near_field"},
    "turn_detection": {"type": "server_vad", "threshold": 0.5, "idle_timeout_ms": 6000},
    "output_audio_format": "g711_ulaw",
    "voice": "marin",
    "speed": 1.25,
    "tools": [TOOL],
    "tool_choice": "auto",
    "tracing": "auto",
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
    "prompt": {"id": "pmpt_1"},
    "max_response_output_tokens": 400,
}
GA_TRANSCRIPTION: Json = {
    "type": "transcription",
    "audio": {
        "input": {
            "format": {"type": "audio/pcma"},
            "transcription": {"model": "gpt-4o-transcribe", "keywords": ["trio"], "delay": "low"},
            "noise_reduction": None,
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
        }
    },
    "include": ["item.input_audio_transcription.logprobs"],
}
BETA_TRANSCRIPTION: Json = {
    "input_audio_format": "g711_alaw",
    "input_audio_transcription": {
        "model": "gpt-4o-transcribe",
        "keywords": ["trio"],
        "delay": "low",
    },
    "input_audio_noise_reduction": None,
    "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
    "include": ["item.input_audio_transcription.logprobs"],
}
GA_ITEM: Json = {
    "id": "item_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [
        {"type": "output_text", "text": "Hello."},
        {"type": "output_audio", "transcript": "Hello."},
    ],
}
BETA_ITEM: Json = {
    **GA_ITEM,
    "content": [{"type": "text", "text": "Hello."}, {"type": "audio", "transcript": "Hello."}],
}
USER_ITEM: Json = {
    "type": "message",
    "role": "user",
    "content": [{"type": "input_text", "text": "Hi"}, {"type": "input_audio", "audio": ""}],
}
CALL_ITEM: Json = {
    "type": "function_call",
    "name": "get_weather",
    "call_id": "call_1",
    "arguments": "{}",
}
GA_RESPONSE: Json = {
    "id": "resp_1",
    "object": "realtime.response",
    "status": "completed",
    "output": [GA_ITEM, CALL_ITEM],
    "output_modalities": ["audio"],
    "audio": {"output": {"format": PCM, "voice": "alloy"}},
    "max_output_tokens": "inf",
    "metadata": {"topic": "weather"},
    "usage": None,
}
BETA_RESPONSE: Json = {
    "id": "resp_1",
    "object": "realtime.response",
    "status": "completed",
    "output": [BETA_ITEM, CALL_ITEM],
    "modalities": ["audio", "text"],
    "output_audio_format": "pcm16",
    "voice": "alloy",
    "max_output_tokens": "inf",
    "metadata": {"topic": "weather"},
    "usage": None,
}
GA_CONFIG: Json = {
    "output_modalities": ["text"],
    "instructions": "Say hello.",
    "audio": {"output": {"voice": {"id": "voice_1"}}},
    "max_output_tokens": 50,
    "conversation": "none",
    "input": [USER_ITEM, GA_ITEM, {"type": "item_reference", "id": "item_2"}],
}
BETA_CONFIG: Json = {
    "modalities": ["text"],
    "instructions": "Say hello.",
    "voice": {"id": "voice_1"},
    "max_output_tokens": 50,
    "conversation": "none",
    "input": [USER_ITEM, BETA_ITEM, {"type": "item_reference", "id": "item_2"}],
}
CLOCK: Json = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}

CLIENT_PAIRS: list[tuple[Json, Json]] = [  # beta, GA
    (
        {"type": "session.update", "session": BETA_SESSION},
        {"type": "session.update", "session": GA_SESSION},
    ),
    (
        {"type": "transcription_session.update", "session": BETA_TRANSCRIPTION},
        {"type": "session.update", "session": GA_TRANSCRIPTION},
    ),
    (
        {
            "type": "conversation.item.create",
            "event_id": "e1",
            "previous_item_id": "root",
            "item": BETA_ITEM,
        },
        {
            "type": "conversation.item.create",
            "event_id": "e1",
            "previous_item_id": "root",
            "item": GA_ITEM,
        },
    ),
    (
        {"type": "conversation.item.create", "item": USER_ITEM},
        {"type": "conversation.item.create", "item": USER_ITEM},
    ),
    (
        {"type": "response.create", "response": BETA_CONFIG},
        {"type": "response.create", "response": GA_CONFIG},
    ),
    ({"type": "response.create"}, {"type": "response.create"}),
    (
        {"type": "input_audio_buffer.append", "audio": "AAAA"},
        {"type": "input_audio_buffer.append", "audio": "AAAA"},
    ),
]
SERVER_PAIRS: list[tuple[Json, Json]] = [  # beta, GA
    (
        {"type": "session.created", "session": {**BETA_SESSION, "id": "sess_1", "include": None}},
        {"type": "session.created", "session": {**GA_SESSION, "id": "sess_1", "include": None}},
    ),
    (
        {"type": "session.updated", "session": BETA_SESSION},
        {"type": "session.updated", "session": GA_SESSION},
    ),
    (
        {"type": "transcription_session.created", "session": BETA_TRANSCRIPTION},
        {"type": "session.created", "session": GA_TRANSCRIPTION},
    ),
    (
        {"type": "transcription_session.updated", "session": BETA_TRANSCRIPTION},
        {"type": "session.updated", "session": GA_TRANSCRIPTION},
    ),
    (
        {"type": "conversation.created", "conversation": {"id": "c"}},
        {"type": "conversation.created", "conversation": {"id": "c"}},
    ),
    (
        {"type": "conversation.item.created", "item": BETA_ITEM},
        {"type": "conversation.item.created", "item": GA_ITEM},
    ),
    (
        {"type": "conversation.item.retrieved", "item": BETA_ITEM},
        {"type": "conversation.item.retrieved", "item": GA_ITEM},
    ),
    (
        {"type": "response.created", "response": BETA_RESPONSE},
        {"type": "response.created", "response": GA_RESPONSE},
    ),
    (
        {"type": "response.done", "response": BETA_RESPONSE},
        {"type": "response.done", "response": GA_RESPONSE},
    ),
    (
        {"type": "response.output_item.added", "output_index": 0, "item": BETA_ITEM},
        {"type": "response.output_item.added", "output_index": 0, "item": GA_ITEM},
    ),
    (
        {"type": "response.output_item.done", "item": BETA_ITEM},
        {"type": "response.output_item.done", "item": GA_ITEM},
    ),
    (
        {"type": "response.output_item.done", "item": CALL_ITEM},
        {"type": "response.output_item.done", "item": CALL_ITEM},
    ),
    (
        {
            "type": "response.content_part.added",
            **CLOCK,
            "part": {"type": "audio", "transcript": ""},
        },
        {
            "type": "response.content_part.added",
            **CLOCK,
            "part": {"type": "audio", "transcript": ""},
        },
    ),
    (
        {"type": "response.text.delta", **CLOCK, "delta": "He"},
        {"type": "response.output_text.delta", **CLOCK, "delta": "He"},
    ),
    (
        {"type": "response.text.done", **CLOCK, "text": "Hello."},
        {"type": "response.output_text.done", **CLOCK, "text": "Hello."},
    ),
    (
        {"type": "response.audio.delta", **CLOCK, "delta": "AAA="},
        {"type": "response.output_audio.delta", **CLOCK, "delta": "AAA="},
    ),
    ({"type": "response.audio.done", **CLOCK}, {"type": "response.output_audio.done", **CLOCK}),
    (
        {"type": "response.audio_transcript.delta", **CLOCK, "delta": "He"},
        {"type": "response.output_audio_transcript.delta", **CLOCK, "delta": "He"},
    ),
    (
        {"type": "response.audio_transcript.done", **CLOCK, "transcript": "Hello."},
        {"type": "response.output_audio_transcript.done", **CLOCK, "transcript": "Hello."},
    ),
    (
        {"type": "response.function_call_arguments.done", "call_id": "call_1", "arguments": "{}"},
        {
            "type": "response.function_call_arguments.done",
            "call_id": "call_1",
            "arguments": "{}",
            "name": "",
        },
    ),
    (
        {
            "type": "response.function_call_arguments.done",
            "call_id": "call_1",
            "arguments": "{}",
            "name": "get_weather",
        },
        {
            "type": "response.function_call_arguments.done",
            "call_id": "call_1",
            "arguments": "{}",
            "name": "get_weather",
        },
    ),
    (
        {
            "type": "conversation.item.input_audio_transcription.completed",
            "item_id": "item_1",
            "content_index": 0,
            "transcript": "Hi",
        },
        {
            "type": "conversation.item.input_audio_transcription.completed",
            "item_id": "item_1",
            "content_index": 0,
            "transcript": "Hi",
            "usage": {},
        },
    ),
    (
        {"type": "error", "error": {"type": "x", "message": "y"}},
        {"type": "error", "error": {"type": "x", "message": "y"}},
    ),
    (
        {"type": "some.future.event", "item": BETA_ITEM},
        {"type": "some.future.event", "item": BETA_ITEM},
    ),
]


def name_of_pair(value: object) -> str | None:
    return str(value["type"]) if isinstance(value, dict) else None


@pytest.mark.parametrize(("beta", "ga"), CLIENT_PAIRS, ids=name_of_pair)
def test_a_client_event_means_the_same_in_both_spellings(beta: Json, ga: Json) -> None:
    assert client_from_beta(beta) == ga
    assert client_to_beta(ga) == beta


@pytest.mark.parametrize(("beta", "ga"), SERVER_PAIRS, ids=name_of_pair)
def test_a_server_event_means_the_same_in_both_spellings(beta: Json, ga: Json) -> None:
    assert server_from_beta(beta) == ga
    assert server_to_beta(ga) == beta


def test_the_dialects_have_the_names_users_write() -> None:
    assert [d.value for d in Dialect] == ["ga", "beta"]


# --- sessions -------------------------------------------------------------------------------------


def update(session: object) -> Json:
    return {"type": "session.update", "session": session}


def to_beta(session: object) -> object:
    return client_to_beta(update(session))["session"]


def from_beta(session: object) -> object:
    return client_from_beta(update(session))["session"]


@pytest.mark.parametrize(
    ("beta", "ga"),
    [
        ({}, {}),
        ({"input_audio_transcription": None}, {"audio": {"input": {"transcription": None}}}),
        ({"input_audio_noise_reduction": None}, {"audio": {"input": {"noise_reduction": None}}}),
        ({"turn_detection": None}, {"audio": {"input": {"turn_detection": None}}}),
        ({"tracing": None}, {"tracing": None}),
        ({"prompt": None, "tools": []}, {"prompt": None, "tools": []}),
        ({"max_response_output_tokens": None}, {"max_output_tokens": None}),
        (
            {"modalities": None, "voice": None},
            {"output_modalities": None, "audio": {"output": {"voice": None}}},
        ),
    ],
)
def test_what_is_absent_stays_absent_and_what_is_null_stays_null(beta: Json, ga: Json) -> None:
    assert from_beta(beta) == {"type": "realtime", **ga}
    assert to_beta({"type": "realtime", **ga}) == beta


@pytest.mark.parametrize(
    ("name", "ga"),
    [("pcm16", PCM), ("g711_ulaw", {"type": "audio/pcmu"}), ("g711_alaw", {"type": "audio/pcma"})],
)
def test_audio_formats_have_a_name_in_beta_and_an_object_in_ga(name: str, ga: Json) -> None:
    beta = {"input_audio_format": name, "output_audio_format": name}
    nested = {"type": "realtime", "audio": {"input": {"format": ga}, "output": {"format": ga}}}
    assert from_beta(beta) == nested
    assert to_beta(nested) == beta


@pytest.mark.parametrize(
    ("ga", "beta"),
    [
        ({"type": "audio/pcm"}, "pcm16"),
        ({"type": "audio/pcmu", "rate": 8000}, "g711_ulaw"),
        ({"type": "audio/pcm", "rate": 16_000}, {"type": "audio/pcm", "rate": 16_000}),
        ({"type": "audio/opus"}, "audio/opus"),
        ({"type": ["audio/pcm"]}, {"type": ["audio/pcm"]}),
        (None, None),
    ],
)
def test_a_format_that_beta_cannot_name_is_passed_on(ga: object, beta: object) -> None:
    assert to_beta({"audio": {"input": {"format": ga}}}) == {"input_audio_format": beta}


@pytest.mark.parametrize(
    ("beta", "ga"),
    [
        ("opus", {"type": "opus"}),
        (7, 7),
        (None, None),
        (["pcm16"], ["pcm16"]),
        ({"type": "pcm16"}, {"type": "pcm16"}),
    ],
)
def test_a_format_name_that_ga_does_not_know_is_passed_on(beta: object, ga: object) -> None:
    assert from_beta({"input_audio_format": beta}) == {
        "type": "realtime",
        "audio": {"input": {"format": ga}},
    }


@pytest.mark.parametrize(
    ("beta", "ga"),
    [
        (["text", "audio"], ["audio"]),
        (["audio", "text"], ["audio"]),
        (["audio"], ["audio"]),
        (["text"], ["text"]),
        ([], []),
        (["video", "audio"], ["video", "audio"]),
        ("audio", "audio"),
    ],
)
def test_spoken_output_goes_without_saying_text_in_ga(beta: object, ga: object) -> None:
    assert from_beta({"modalities": beta}) == {"type": "realtime", "output_modalities": ga}


def test_beta_wants_text_named_along_with_audio() -> None:
    assert to_beta({"output_modalities": ["audio"]}) == {"modalities": ["audio", "text"]}
    assert to_beta({"output_modalities": ["text"]}) == {"modalities": ["text"]}
    assert to_beta({"output_modalities": ["text", "audio"]}) == {"modalities": ["text", "audio"]}


def test_turn_detection_of_type_none_is_off() -> None:
    off = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    assert from_beta({"turn_detection": {"type": "none"}}) == off
    reported = server_from_beta(
        {"type": "session.updated", "session": {"turn_detection": {"type": "none", "threshold": 0}}}
    )
    assert reported["session"] == off
    assert to_beta(off) == {"turn_detection": None}


def test_a_beta_server_is_not_sent_what_it_would_refuse_the_whole_update_for() -> None:
    assert to_beta(
        {
            "type": "realtime",
            "instructions": "Be brief.",
            "reasoning": {"effort": "low"},
            "parallel_tool_calls": True,
            "include": ["item.input_audio_transcription.logprobs"],
            "audio": {
                "input": {
                    "transcription": {
                        "model": "whisper-1",
                        "languages": ["de"],
                        "keywords": ["trio"],
                        "delay": "low",
                    },
                    "noise_reduction": {"type": "far_field", "strength": 0.5},
                },
                "output": {},
            },
        }
    ) == {
        "instructions": "Be brief.",
        "input_audio_transcription": {"model": "whisper-1"},
        "input_audio_noise_reduction": {"type": "far_field"},
    }
    assert to_beta(
        {
            "type": "transcription",
            "audio": {"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 6000}}},
        }
    ) == {"turn_detection": {"type": "server_vad"}}
    assert (
        client_to_beta(
            {"type": "response.create", "response": {"reasoning": {}, "parallel_tool_calls": False}}
        )["response"]
        == {}
    )


def test_a_beta_client_may_be_told_what_it_could_not_have_asked_for() -> None:
    reported = {
        "type": "realtime",
        "include": ["x"],
        "audio": {"input": {"transcription": {"delay": "low"}}},
        "reasoning": {},
    }
    assert server_to_beta({"type": "session.updated", "session": reported}) == {
        "type": "session.updated",
        "session": {"include": ["x"], "input_audio_transcription": {"delay": "low"}},
    }


def test_beta_settings_that_ga_has_no_place_for_are_dropped() -> None:
    assert from_beta({"temperature": 0.8, "client_secret": {"value": "ek_1"}}) == {
        "type": "realtime"
    }
    assert client_from_beta(
        {
            "type": "transcription_session.update",
            "session": {"modalities": ["text"], "client_secret": {"expires_at": {}}},
        }
    ) == {"type": "session.update", "session": {"type": "transcription"}}
    assert client_from_beta({"type": "response.create", "response": {"temperature": 0.8}}) == {
        "type": "response.create",
        "response": {},
    }
    done = server_from_beta(
        {"type": "response.done", "response": {"id": "resp_1", "temperature": 0.8}}
    )
    assert done["response"] == {"id": "resp_1"}


def test_settings_from_the_future_pass_in_both_directions() -> None:
    assert from_beta({"mood": "sunny", "voice": "alloy"}) == {
        "type": "realtime",
        "mood": "sunny",
        "audio": {"output": {"voice": "alloy"}},
    }
    assert to_beta(
        {"mood": "sunny", "audio": {"input": {"gain": 2}, "output": {"voice": "alloy"}}}
    ) == {
        "mood": "sunny",
        "audio": {"input": {"gain": 2}},
        "voice": "alloy",
    }


def test_a_server_that_mixes_both_shapes_is_understood() -> None:
    """What is in GA's place already stays, the flat settings join it, and the `type` it gives is believed."""
    mixed = {
        "type": "transcription",
        "voice": "alloy",
        "turn_detection": None,
        "audio": {"output": {"voice": "marin", "speed": 1}},
    }
    assert from_beta(mixed) == {
        "type": "transcription",
        "voice": "alloy",
        "audio": {"input": {"turn_detection": None}, "output": {"voice": "marin", "speed": 1}},
    }


@pytest.mark.parametrize("blocked", [None, 7, "loud", [], {"output": None}, {"output": [1]}])
def test_a_setting_whose_place_is_taken_by_something_else_stays_where_it_is(
    blocked: object,
) -> None:
    session = {"type": "realtime", "voice": "alloy", "audio": blocked}
    assert from_beta(session) == session
    assert to_beta({"audio": blocked}) == {"audio": blocked}


# --- responses and items --------------------------------------------------------------------------


def test_both_names_of_the_token_limit_of_a_response_are_understood() -> None:
    for name in ("max_output_tokens", "max_response_output_tokens"):
        assert client_from_beta({"type": "response.create", "response": {name: 9}})["response"] == {
            "max_output_tokens": 9
        }
    assert client_to_beta({"type": "response.create", "response": {"max_output_tokens": 9}})[
        "response"
    ] == {"max_output_tokens": 9}


def test_an_item_is_added_in_ga_and_created_in_beta() -> None:
    added: Json = {
        "type": "conversation.item.added",
        "event_id": "e1",
        "previous_item_id": None,
        "item": GA_ITEM,
    }
    assert server_to_beta(added) == {
        "type": "conversation.item.created",
        "event_id": "e1",
        "previous_item_id": None,
        "item": BETA_ITEM,
    }


@pytest.mark.parametrize(
    "wire_type",
    [
        "conversation.item.done",
        "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.dtmf_event_received",
    ],
)
def test_events_beta_does_not_have_are_not_sent(wire_type: str) -> None:
    assert server_to_beta({"type": wire_type, "item": GA_ITEM}) is None


def test_a_name_or_usage_that_is_null_is_filled_in_like_an_absent_one() -> None:
    assert (
        server_from_beta({"type": "response.function_call_arguments.done", "name": None})["name"]
        == ""
    )
    assert (
        server_from_beta(
            {"type": "conversation.item.input_audio_transcription.completed", "usage": None}
        )["usage"]
        == {}
    )


@pytest.mark.parametrize(
    "item",
    [
        None,
        "item",
        {},
        {"role": "assistant"},
        {"role": "assistant", "content": "text"},
        {
            "role": "assistant",
            "content": [None, "text", {}, {"type": None}, {"type": ["text"]}, {"type": "video"}],
        },
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "output_text"}]},
        {"role": ["assistant"], "content": [{"type": "text"}]},
    ],
)
def test_an_item_of_another_shape_is_passed_on(item: object) -> None:
    event: Json = {"type": "response.output_item.done", "item": item}
    assert server_from_beta(event) == event
    assert server_to_beta(event) == event
    listed: Json = {"type": "response.done", "response": {"output": [item]}}
    assert server_from_beta(listed) == listed
    assert server_to_beta(listed) == listed


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"type": None},
        {"type": ["session.update"]},
        {"type": {"session": 1}},
        {"type": "session.update"},
        {"type": "session.update", "session": None},
        {"type": "session.created", "session": ["voice"]},
        {"type": "response.create", "response": None},
        {"type": "response.done", "response": {"output": "none"}},
        {"type": "conversation.created", "session": {"type": "transcription"}},
    ],
)
def test_an_event_of_another_shape_is_passed_on(payload: Json) -> None:
    for convert in (client_from_beta, client_to_beta, server_from_beta, server_to_beta):
        assert convert(payload) == payload


def test_only_the_name_changes_when_a_transcription_update_has_no_session_object() -> None:
    assert client_from_beta({"type": "transcription_session.update", "session": 7}) == {
        "type": "session.update",
        "session": 7,
    }


# --- for all payloads -----------------------------------------------------------------------------

TYPES = sorted(
    {event["type"] for pair in CLIENT_PAIRS + SERVER_PAIRS for event in pair}
    | {"conversation.item.added"}
)
WORDS = st.sampled_from(
    [
        *[
            "type",
            "session",
            "response",
            "item",
            "role",
            "content",
            "audio",
            "input",
            "output",
            "name",
            "usage",
            "rate",
            "",
        ],
        *BETA_SESSION,
        *GA_SESSION,
        *[
            "text",
            "assistant",
            "transcription",
            "none",
            "pcm16",
            "output_text",
            "temperature",
            "include",
            "strength",
            "max_output_tokens",
        ],
        *TYPES,
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=4)
    | WORDS
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=12,
)
WILD = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(TYPES) | VALUES,
        "session": VALUES,
        "response": VALUES,
        "item": VALUES,
    },
)

formats = st.sampled_from([PCM, {"type": "audio/pcmu"}, {"type": "audio/pcma"}])
modalities = st.sampled_from([["audio"], ["text"]])
voices = st.text(max_size=5) | st.fixed_dictionaries({"id": st.text(max_size=5)})
limits = st.integers(1, 4096) | st.just("inf")
transcriptions = st.fixed_dictionaries(
    {},
    optional={"model": st.text(max_size=5), "language": st.text(max_size=2), "prompt": st.text()},
)
noise_reductions = st.sampled_from([{"type": "near_field"}, {"type": "far_field"}])
turn_detections = st.fixed_dictionaries(
    {"type": st.sampled_from(["server_vad", "semantic_vad"])},
    optional={"threshold": st.floats(0, 1), "create_response": st.booleans()},
)


def some_of(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({}, optional=members)


def never_empty(**objects: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    """Objects whose members are objects; beta cannot express an empty one, and to a merge it says nothing."""
    return some_of(**{name: strategy.filter(bool) for name, strategy in objects.items()})


audio_in = some_of(
    format=formats,
    transcription=st.none() | transcriptions,
    noise_reduction=st.none() | noise_reductions,
    turn_detection=st.none() | turn_detections,
)
audio_out = some_of(format=formats, voice=voices, speed=st.floats(0.25, 1.5))
voice_sessions = st.fixed_dictionaries(
    {"type": st.just("realtime")},
    optional={
        "output_modalities": modalities,
        "model": st.text(max_size=5),
        "instructions": st.text(max_size=5),
        "audio": never_empty(input=audio_in, output=audio_out).filter(bool),
        "tracing": st.none() | st.just("auto"),
        "tools": st.lists(st.just(TOOL), max_size=2),
        "tool_choice": st.sampled_from(["auto", {"type": "function", "name": "get_weather"}]),
        "max_output_tokens": limits,
        "truncation": st.just("auto"),
        "prompt": st.none() | st.just({"id": "pmpt_1"}),
    },
)
transcription_sessions = st.fixed_dictionaries(
    {"type": st.just("transcription")},
    optional={
        "audio": never_empty(input=audio_in).filter(bool),
        "include": st.none() | st.just(["item.input_audio_transcription.logprobs"]),
    },
)
messages = st.one_of(
    [
        st.fixed_dictionaries(
            {
                "type": st.just("message"),
                "role": st.just(role),
                "content": st.lists(
                    st.fixed_dictionaries(
                        {"type": st.sampled_from(parts), "text": st.text(max_size=5)}
                    ),
                    max_size=3,
                ),
            }
        )
        for role, parts in [
            ("assistant", ["output_text", "output_audio"]),
            ("user", ["input_text", "input_audio"]),
            ("system", ["input_text"]),
        ]
    ]
)
items = (
    messages
    | st.just(CALL_ITEM)
    | st.just({"type": "function_call_output", "call_id": "call_1", "output": "{}"})
)
responses = some_of(
    output_modalities=modalities,
    instructions=st.text(max_size=5),
    audio=never_empty(output=some_of(format=formats, voice=voices)).filter(bool),
    max_output_tokens=limits,
    input=st.lists(items, max_size=2),
    output=st.lists(items, max_size=2),
    metadata=st.none() | st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
)


def events(*wire_types: str, **members: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(
        {"type": st.sampled_from(wire_types), "event_id": st.text(max_size=5), **members}
    )


ga_client_events = (
    events("session.update", session=voice_sessions | transcription_sessions)
    | events("conversation.item.create", item=items)
    | events("response.create", response=responses)
)
ga_server_events = (
    events("session.created", "session.updated", session=voice_sessions | transcription_sessions)
    | events(
        "conversation.item.created",
        "conversation.item.retrieved",
        "response.output_item.added",
        "response.output_item.done",
        item=items,
    )
    | events("response.created", "response.done", response=responses)
    | events(
        "response.output_text.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.delta",
        "response.content_part.done",
    )
)


@given(ga_client_events)
def test_a_client_event_of_what_both_dialects_have_survives_the_trip_to_beta_and_back(
    event: Json,
) -> None:
    assert client_from_beta(client_to_beta(event)) == event


@given(ga_server_events)
def test_a_server_event_of_what_both_dialects_have_survives_the_trip_to_beta_and_back(
    event: Json,
) -> None:
    beta = server_to_beta(event)
    assert beta is not None
    assert server_from_beta(beta) == event


Convert = Callable[[Json], Json | None]
CONVERSIONS: list[Convert] = [client_from_beta, client_to_beta, server_from_beta, server_to_beta]


@given(st.sampled_from(CONVERSIONS), WILD)
def test_no_payload_makes_a_conversion_fail_or_is_changed_by_it(
    convert: Convert, payload: Json
) -> None:
    before = copy.deepcopy(payload)
    convert(payload)
    assert payload == before


@given(WILD)
def test_what_a_beta_client_means_no_longer_changes_after_one_trip_to_ga_and_back(
    payload: Json,
) -> None:
    once = client_to_beta(client_from_beta(payload))
    assert client_to_beta(client_from_beta(once)) == once


@given(WILD)
def test_what_a_beta_server_means_no_longer_changes_after_one_trip_to_ga_and_back(
    payload: Json,
) -> None:
    once = server_to_beta(server_from_beta(payload))
    assert once is None or server_to_beta(server_from_beta(once)) == once


@pytest.mark.parametrize("odd", [None, False, "realtime", []])
def test_a_transcription_session_stays_one_whatever_type_it_claims(odd: object) -> None:
    session = server_from_beta({"type": "transcription_session.created", "session": {"type": odd}})
    assert session == {"type": "session.created", "session": {"type": "transcription"}}
