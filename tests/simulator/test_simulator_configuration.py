"""The simulated server's configuration: its defaults, what an update changes, what is refused."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from service_client import Client, types
from simulated import SLOW

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    AudioConfig,
    AudioFormat,
    AudioInputConfig,
    AudioOutputConfig,
    CustomVoice,
    ErrorEvent,
    FunctionTool,
    RealtimeSession,
    Reasoning,
    ResponseAudioConfig,
    ResponseAudioOutputConfig,
    ResponseConfig,
    ResponseCreate,
    RetentionRatio,
    SemanticVad,
    ServerVad,
    SessionConfig,
    SessionUpdate,
    SessionUpdated,
    TokenLimits,
    ToolChoiceFunction,
    Tracing,
    Transcription,
    TranscriptionSession,
    TranscriptionSessionConfig,
    UnknownObject,
)
from realtime_trio.simulator import (
    Reply,
    Script,
    SimulatedServer,
)


def test_the_session_starts_with_the_defaults_of_the_service() -> None:
    session = Client(model="gpt-realtime-1.5", epoch=1_000_000).created.session
    assert isinstance(session, RealtimeSession)
    assert session.id.startswith("sess_")
    assert session.instructions
    assert session == RealtimeSession(
        id=session.id,
        object="realtime.session",
        expires_at=1_003_600,
        output_modalities=("audio",),
        model="gpt-realtime-1.5",
        instructions=session.instructions,
        tools=(),
        tool_choice="auto",
        max_output_tokens="inf",
        truncation="auto",
        audio=session.audio,
    )
    assert session.audio is not None
    assert session.audio.input is not None
    assert session.audio.output is not None
    assert (
        session.audio.input.format
        == session.audio.output.format
        == AudioFormat(type="audio/pcm", rate=24_000)
    )
    assert session.audio.input.transcription is None
    assert session.audio.input.noise_reduction is None
    assert session.audio.input.turn_detection == ServerVad(
        threshold=0.5,
        prefix_padding_ms=300,
        silence_duration_ms=200,
        create_response=True,
        interrupt_response=True,
        idle_timeout_ms=None,
    )
    assert (session.audio.output.voice, session.audio.output.speed) == ("alloy", 1.0)


def test_a_transcription_session_has_fewer_settings() -> None:
    session = Client(kind=SessionKind.TRANSCRIPTION).created.session
    assert isinstance(session, TranscriptionSession)
    assert session.object == "realtime.transcription_session"
    assert session.audio is not None
    assert session.audio.output is None
    assert session.audio.input is not None
    assert session.audio.input.turn_detection == ServerVad(
        threshold=0.5, prefix_padding_ms=300, silence_duration_ms=200
    )


def test_translation_sessions_have_a_server_of_their_own() -> None:
    with pytest.raises(LocalProtocolError, match="SimulatedTranslator"):
        SimulatedServer(Script(), kind=SessionKind.TRANSLATION)


def test_an_update_changes_what_it_names_and_the_answer_shows_everything() -> None:
    client = Client()
    before = client.session
    (updated,) = client.send(
        SessionUpdate(
            session=SessionConfig.of(instructions="Be brief.", turn_detection=None, voice="marin")
        )
    )
    assert isinstance(updated, SessionUpdated)
    after = updated.session
    assert isinstance(after, RealtimeSession)
    assert before.audio is not None
    assert before.audio.input is not None
    assert before.audio.output is not None
    expected = attrs.evolve(
        before,
        instructions="Be brief.",
        audio=attrs.evolve(
            before.audio,
            input=attrs.evolve(before.audio.input, turn_detection=None),
            output=attrs.evolve(before.audio.output, voice="marin"),
        ),
    )
    assert after == expected
    assert client.session == expected


def test_nested_settings_merge_and_lists_are_replaced() -> None:
    client = Client()
    client.send(
        SessionUpdate(
            session=SessionConfig.of(
                turn_detection=ServerVad(silence_duration_ms=700), tools=(FunctionTool(name="a"),)
            )
        ),
        SessionUpdate(
            session=SessionConfig.of(transcription=Transcription(model="whisper-1", language="en"))
        ),
        SessionUpdate(
            session=SessionConfig.of(
                turn_detection=ServerVad(threshold=0.9), transcription=Transcription(language="fr")
            )
        ),
        SessionUpdate(
            session=SessionConfig.of(
                tools=(FunctionTool(name="b"),), truncation=RetentionRatio(retention_ratio=0.8)
            )
        ),
    )
    session = client.session
    assert session.tools == (FunctionTool(name="b"),)
    assert session.truncation == RetentionRatio(retention_ratio=0.8)
    assert session.audio is not None
    assert session.audio.input is not None
    assert session.audio.input.transcription == Transcription(model="whisper-1", language="fr")
    vad = session.audio.input.turn_detection
    assert isinstance(vad, ServerVad)
    assert (vad.silence_duration_ms, vad.threshold, vad.prefix_padding_ms) == (700, 0.9, 300)


def test_another_turn_detection_starts_from_its_own_defaults() -> None:
    client = Client()
    client.send(
        SessionUpdate(session=SessionConfig.of(turn_detection=SemanticVad(eagerness="low")))
    )
    session = client.session
    assert session.audio is not None
    assert session.audio.input is not None
    assert session.audio.input.turn_detection == SemanticVad(
        eagerness="low", create_response=True, interrupt_response=True
    )


@pytest.mark.parametrize("kind", [SessionKind.REALTIME, SessionKind.TRANSCRIPTION])
def test_turn_detection_that_is_off_is_reported_as_null_and_can_be_turned_on_again(
    kind: SessionKind,
) -> None:
    server = SimulatedServer(Script(), kind=kind)
    server.connect(0)
    codec = Codec(Role.SERVER, kind=kind)
    config = SessionConfig if kind is SessionKind.REALTIME else TranscriptionSessionConfig
    changes = (
        config(),
        config.of(turn_detection=None),
        config.of(transcription=None),
        config.of(turn_detection=ServerVad(threshold=0.9)),
    )
    for change in changes:
        server.receive(SessionUpdate(session=change), 0)
    reported = [
        json.loads(codec.encode(event))["session"]["audio"]["input"]["turn_detection"]
        for event in server.take_due(0)
    ]
    created, unchanged, off, still_off, on = reported
    assert created == unchanged
    assert created["type"] == "server_vad"
    assert (off, still_off) == (None, None)
    assert on == created | {"threshold": 0.9}


def test_formats_are_reported_in_full() -> None:
    client = Client()
    change = SessionConfig.of(
        input_format=AudioFormat(type="audio/pcm"),
        output_format=AudioFormat(type="audio/pcmu", rate=8000),
    )
    client.send(SessionUpdate(session=change))
    session = client.session
    assert session.audio is not None
    assert session.audio.input is not None
    assert session.audio.output is not None
    assert session.audio.input.format == AudioFormat.pcm()
    assert session.audio.output.format == AudioFormat.pcmu()


def test_a_transcription_session_can_be_updated() -> None:
    client = Client(kind=SessionKind.TRANSCRIPTION)
    config = TranscriptionSessionConfig.of(
        transcription=Transcription(model="gpt-4o-transcribe"), turn_detection=SemanticVad()
    )
    (updated,) = client.send(SessionUpdate(session=config))
    assert isinstance(updated, SessionUpdated)
    assert updated.session.audio is not None
    assert updated.session.audio.input is not None
    assert updated.session.audio.input.transcription == Transcription(model="gpt-4o-transcribe")
    assert updated.session.audio.input.turn_detection == SemanticVad(eagerness="auto")
    assert types(client.send(SessionUpdate(session=TranscriptionSessionConfig(include=())))) == [
        "session.updated"
    ]


def test_the_kind_of_session_cannot_be_changed() -> None:
    error = Client().refused(SessionUpdate(session=TranscriptionSessionConfig()))
    assert error.code == "invalid_parameter"
    assert (
        error.message
        == "Passing a transcription session update event to a realtime session is not allowed."
    )
    assert (
        Client(kind=SessionKind.TRANSCRIPTION).refused(SessionUpdate(session=SessionConfig())).code
        == "invalid_parameter"
    )


REFUSED_UPDATES = [
    (
        SessionConfig(output_modalities=("audio", "text")),
        "invalid_value",
        "session.output_modalities",
    ),
    (SessionConfig(output_modalities=()), "invalid_value", "session.output_modalities"),
    (SessionConfig(model="gpt-4o"), "invalid_parameter", "session.model"),
    (SessionConfig(max_output_tokens=0), "integer_below_min_value", "session.max_output_tokens"),
    (SessionConfig(max_output_tokens=5000), "integer_above_max_value", "session.max_output_tokens"),
    (
        SessionConfig(tools=(UnknownObject("gizmo", {"type": "gizmo"}),)),
        "invalid_value",
        "session.tools[0].type",
    ),
    (SessionConfig(tool_choice="perhaps"), "invalid_value", "session.tool_choice"),
    (
        SessionConfig(tool_choice=UnknownObject("gizmo", {"type": "gizmo"})),
        "invalid_value",
        "session.tool_choice.type",
    ),
    (SessionConfig(parallel_tool_calls=True), "invalid_parameter", "session.parallel_tool_calls"),
    (
        SessionConfig.of(input_format=AudioFormat(type="audio/mp3")),
        "invalid_value",
        "session.audio.input.format.type",
    ),
    (
        SessionConfig.of(input_format=AudioFormat(rate=24_000)),
        "missing_required_parameter",
        "session.audio.input.format.type",
    ),
    (
        SessionConfig.of(input_format=AudioFormat(type="audio/pcm", rate=16_000)),
        "integer_below_min_value",
        "session.audio.input.format.rate",
    ),
    (
        SessionConfig.of(output_format=AudioFormat(type="audio/pcm", rate=48_000)),
        "integer_above_max_value",
        "session.audio.output.format.rate",
    ),
    (SessionConfig(truncation="sometimes"), "invalid_value", "session.truncation"),
    (
        SessionConfig(truncation=UnknownObject("gizmo", {"type": "gizmo"})),
        "invalid_value",
        "session.truncation.type",
    ),
    (
        SessionConfig(truncation=RetentionRatio(retention_ratio=1.1)),
        "decimal_above_max_value",
        "session.truncation.retention_ratio",
    ),
    (
        SessionConfig(
            truncation=RetentionRatio(
                retention_ratio=1.0, token_limits=TokenLimits(post_instructions=-1)
            )
        ),
        "integer_below_min_value",
        "session.truncation.token_limits.post_instructions",
    ),
    (SessionConfig.of(voice="nobody"), "invalid_value", "session.audio.output.voice"),
    (SessionConfig.of(speed=0.1), "decimal_below_min_value", "session.audio.output.speed"),
    (SessionConfig.of(speed=2.0), "decimal_above_max_value", "session.audio.output.speed"),
    (
        SessionConfig.of(turn_detection=ServerVad(threshold=1.5)),
        "decimal_above_max_value",
        "session.audio.input.turn_detection.threshold",
    ),
    (
        SessionConfig.of(turn_detection=ServerVad(prefix_padding_ms=-1)),
        "integer_below_min_value",
        "session.audio.input.turn_detection.prefix_padding_ms",
    ),
    (
        SessionConfig.of(turn_detection=ServerVad(idle_timeout_ms=10)),
        "integer_below_min_value",
        "session.audio.input.turn_detection.idle_timeout_ms",
    ),
    (
        SessionConfig.of(turn_detection=UnknownObject("psychic", {"type": "psychic"})),
        "invalid_value",
        "session.audio.input.turn_detection.type",
    ),
]


@pytest.mark.parametrize(
    ("change", "code", "param"), REFUSED_UPDATES, ids=[param for _, _, param in REFUSED_UPDATES]
)
def test_a_wrong_update_is_refused_as_a_whole(change: SessionConfig, code: str, param: str) -> None:
    client = Client(model="gpt-realtime")
    before = client.session
    error = client.refused(SessionUpdate(session=attrs.evolve(change, instructions="new")))
    assert (error.code, error.param) == (code, param)
    assert client.session == before


def test_refusals_use_the_words_of_the_service() -> None:
    client = Client()
    assert client.refused(
        SessionUpdate(session=SessionConfig(output_modalities=("audio", "text")))
    ).message == (
        "Invalid modalities: ['audio', 'text']. Supported combinations are: ['text'] and ['audio']."
    )
    bad_rate = SessionConfig.of(input_format=AudioFormat(type="audio/pcm", rate=16_000))
    assert "Expected a value >= 24000" in client.refused(SessionUpdate(session=bad_rate)).message


def test_settings_that_are_fine_are_accepted() -> None:
    client = Client(model="gpt-realtime-2")
    change = SessionConfig.of(
        model="gpt-realtime-2",
        parallel_tool_calls=True,
        tool_choice=ToolChoiceFunction(name="x"),
        max_output_tokens=4096,
        speed=1.5,
        voice=CustomVoice(id="voice_1"),
        turn_detection=ServerVad(idle_timeout_ms=6000, threshold=1.0),
        tracing="auto",
        instructions="",
    )
    assert types(client.send(SessionUpdate(session=change))) == ["session.updated"]
    assert types(client.send(SessionUpdate(session=SessionConfig(max_output_tokens="inf")))) == [
        "session.updated"
    ]
    assert client.session.instructions == ""


@pytest.mark.parametrize(
    ("model", "code"),
    [("gpt-realtime-2.1-mini", None), ("gpt-realtime-2025-08-28", "invalid_parameter")],
)
def test_only_models_of_the_second_generation_reason(model: str, code: str | None) -> None:
    (event,) = Client(model=model).send(
        SessionUpdate(session=SessionConfig(reasoning=Reasoning(effort="low")))
    )
    assert (event.error.code if isinstance(event, ErrorEvent) else None) == code


def test_tracing_cannot_change_once_it_is_on() -> None:
    client = Client()
    client.send(SessionUpdate(session=SessionConfig(tracing="auto")))
    assert (
        client.refused(SessionUpdate(session=SessionConfig(tracing=None))).param
        == "session.tracing"
    )
    assert (
        client.refused(SessionUpdate(session=SessionConfig(tracing=Tracing(group_id="x")))).param
        == "session.tracing"
    )
    assert types(client.send(SessionUpdate(session=SessionConfig(tracing="auto")))) == [
        "session.updated"
    ]


def test_the_voice_is_fixed_once_the_model_has_spoken() -> None:
    client = Client()
    client.send(SessionUpdate(session=SessionConfig.of(voice="ash")), ResponseCreate())
    error = client.refused(SessionUpdate(session=SessionConfig.of(voice="cedar")))
    assert (error.code, error.message) == (
        "cannot_update_voice",
        "Cannot update a conversation's voice if assistant audio is present.",
    )
    assert types(client.send(SessionUpdate(session=SessionConfig.of(voice="ash")))) == [
        "session.updated"
    ]
    config = ResponseAudioConfig(output=ResponseAudioOutputConfig(voice="cedar"))
    assert (
        client.refused(ResponseCreate(response=ResponseConfig(audio=config))).code
        == "cannot_update_voice"
    )


def test_speed_changes_only_between_turns() -> None:
    client = Client(Reply.text("a b c", pacing=SLOW))
    client.send(ResponseCreate())
    assert (
        client.refused(SessionUpdate(session=SessionConfig.of(speed=1.2))).param
        == "session.audio.output.speed"
    )
    assert types(client.send(SessionUpdate(session=SessionConfig.of(speed=1.0)))) == [
        "session.updated"
    ]
    client.take(now=60)
    assert types(client.send(SessionUpdate(session=SessionConfig.of(speed=1.2)))) == [
        "session.updated"
    ]


def test_an_update_may_say_nothing_about_a_direction_or_about_its_parts() -> None:
    client = Client()
    nothing = SessionConfig(audio=AudioConfig(input=AudioInputConfig(), output=AudioOutputConfig()))
    for change in (nothing, SessionConfig(audio=AudioConfig())):
        assert types(client.send(SessionUpdate(session=change))) == ["session.updated"]


# --- transcription models -------------------------------------------------------------------------

_SETTINGS: dict[str, Any] = {
    "languages": ("en", "fr"),
    "keywords": ("Trio",),
    "prompt": "About nurseries.",
    "delay": "low",
}


@pytest.mark.parametrize(
    ("model", "has"),
    [
        ("whisper-1", {"prompt"}),
        ("gpt-4o-transcribe", {"prompt"}),
        ("gpt-4o-mini-transcribe-2025-12-15", {"prompt"}),
        ("gpt-4o-transcribe-diarize", set()),
        ("gpt-transcribe", {"languages", "keywords", "prompt"}),
        ("gpt-live-transcribe", {"languages", "keywords", "prompt"}),
        ("gpt-realtime-whisper", {"delay"}),
        # Nobody knows what these have.
        ("my-deployment", set(_SETTINGS)),
    ],
)
@pytest.mark.parametrize("kind", [SessionKind.REALTIME, SessionKind.TRANSCRIPTION])
def test_a_transcription_model_is_refused_what_it_does_not_have(
    kind: SessionKind, model: str, has: set[str]
) -> None:
    config = SessionConfig if kind is SessionKind.REALTIME else TranscriptionSessionConfig
    refused = set()
    for name, value in _SETTINGS.items():
        client = Client(server=SimulatedServer(Script(), kind=kind))
        transcription = Transcription(model=model, language="en", **{name: value})
        (answer,) = client.send(
            SessionUpdate(session=config.of(transcription=transcription, turn_detection=None))
        )
        if isinstance(answer, ErrorEvent):
            refused.add(name)
            assert (answer.error.code, answer.error.param, answer.error.message) == (
                "invalid_value",
                f"session.audio.input.transcription.{name}",
                f"'{name}' is not supported for this transcription model.",
            )
    assert refused == set(_SETTINGS) - has


def test_a_setting_is_held_against_the_model_that_is_there() -> None:
    client = Client()
    client.send(
        SessionUpdate(session=SessionConfig.of(transcription=Transcription(model="whisper-1")))
    )
    error = client.refused(
        SessionUpdate(session=SessionConfig.of(transcription=Transcription(keywords=("Trio",))))
    )
    assert error.param == "session.audio.input.transcription.keywords"


def test_another_transcription_model_does_without_what_it_does_not_have() -> None:
    client = Client()
    for transcription in (
        Transcription(
            model="gpt-transcribe", keywords=("Trio",), prompt="Nurseries.", language="en"
        ),
        Transcription(model="whisper-1"),
    ):
        client.send(SessionUpdate(session=SessionConfig.of(transcription=transcription)))
    assert client.session.audio is not None
    assert client.session.audio.input is not None
    assert client.session.audio.input.transcription == Transcription(
        model="whisper-1", prompt="Nurseries.", language="en"
    )


def test_a_delay_that_does_not_exist_is_refused() -> None:
    transcription = Transcription(model="gpt-realtime-whisper", delay="short")
    error = Client().refused(
        SessionUpdate(session=SessionConfig.of(transcription=transcription, turn_detection=None))
    )
    assert error.message == (
        "Invalid value: 'short'. "
        "Supported values are: 'minimal', 'low', 'medium', 'high', and 'xhigh'."
    )


# --- tools ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "empty_string"),
        ("get weather", "invalid_value"),
        ("wetter.größe", "invalid_value"),
        ("x" * 65, "string_above_max_length"),
    ],
)
def test_a_function_is_refused_whose_name_no_model_could_use(name: str, code: str) -> None:
    client = Client()
    tools = (FunctionTool(name="fine-1_"), FunctionTool(name=name))
    for event, param in [
        (SessionUpdate(session=SessionConfig(tools=tools)), "session.tools[1].name"),
        (ResponseCreate(response=ResponseConfig(tools=tools)), "response.tools[1].name"),
    ]:
        error = client.refused(event)
        assert (error.code, error.param) == (code, param)
    assert client.session.tools == ()


def test_names_of_functions_may_be_long() -> None:
    tools = (FunctionTool(name="x" * 64),)
    client = Client()
    client.send(SessionUpdate(session=SessionConfig(tools=tools)))
    assert client.session.tools == tools


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"properties": value}
    return value


def test_what_a_client_makes_up_may_not_be_nested_without_end() -> None:
    client = Client()
    tools = ({"type": "function", "name": "f", "parameters": nested(900)},)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"tools": tools}, "session.tools[0].parameters"),
        ({"tracing": {"metadata": nested(900)}}, "session.tracing.metadata"),
        ({"prompt": {"id": "p", "variables": nested(900)}}, "session.prompt.variables"),
    ]
    for session, param in cases:
        message = {"type": "session.update", "session": {"type": "realtime", **session}}
        error = client.refused(json.dumps(message))
        assert (error.code, error.param) == ("invalid_value", param)
        assert error.message == (
            f"Invalid '{param}': nested too deeply. Expected a value of at most 100 levels."
        )
    response = {"type": "response.create", "response": {"tools": tools}}
    assert client.refused(json.dumps(response)).param == "response.tools[0].parameters"


def test_schemas_as_deep_as_anybody_writes_them_are_fine() -> None:
    client = Client()
    tools = (FunctionTool(name="f", parameters=nested(100)),)
    client.send(SessionUpdate(session=SessionConfig(tools=tools)))
    assert client.session.tools == tools
