"""Two spellings of the protocol: each says what the other means; nothing is lost or invented."""

from __future__ import annotations

import pytest
from dialect_payloads import (
    BETA_ITEM,
    CLIENT_PAIRS,
    GA_ITEM,
    PCM,
    SERVER_PAIRS,
    Json,
)

from realtime_trio._protocol.dialects import (
    Dialect,
    client_from_beta,
    client_to_beta,
    server_from_beta,
    server_to_beta,
)


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
    """What is in GA's place already stays, flat settings join it, and its `type` is believed."""
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


@pytest.mark.parametrize("odd", [None, False, "realtime", []])
def test_a_transcription_session_stays_one_whatever_type_it_claims(odd: object) -> None:
    session = server_from_beta({"type": "transcription_session.created", "session": {"type": odd}})
    assert session == {"type": "session.created", "session": {"type": "transcription"}}
