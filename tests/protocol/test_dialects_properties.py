"""What holds for every payload that is spelled in the other dialect."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from dialect_payloads import (
    BETA_SESSION,
    CALL_ITEM,
    CLIENT_PAIRS,
    GA_SESSION,
    PCM,
    SERVER_PAIRS,
    TOOL,
    Json,
)
from hypothesis import given, strategies as st

from realtime_trio._protocol.dialects import (
    client_from_beta,
    client_to_beta,
    server_from_beta,
    server_to_beta,
)

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
    """Objects of objects; beta cannot express an empty one, and in a merge it says nothing."""
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
