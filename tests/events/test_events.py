"""The event classes are complete, named after the wire, immutable and documented."""

from __future__ import annotations

import ast
import copy
import importlib
import pickle
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

import attrs
import manifest
import numpy as np
import pytest

from realtime_trio import events
from realtime_trio.audio.data import AudioData, AudioLike
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    TRANSLATION_CLIENT_EVENTS,
    TRANSLATION_SERVER_EVENTS,
    UNSET,
    AssistantMessage,
    AudioConfig,
    AudioFormat,
    AudioInputConfig,
    AudioOutputConfig,
    ClientEvent,
    ConversationItemCreate,
    ErrorDetail,
    ErrorEvent,
    Event,
    FunctionCallOutput,
    FunctionTool,
    InputAudio,
    InputAudioBufferAppend,
    InputImage,
    InputText,
    McpTool,
    NoiseReduction,
    OutputAudio,
    OutputText,
    ResponseCreate,
    ResponseOutputAudioDelta,
    SemanticVad,
    ServerEvent,
    ServerVad,
    SessionConfig,
    SessionUpdate,
    SystemMessage,
    Transcription,
    TranscriptionAudioConfig,
    TranscriptionSessionConfig,
    TranslationAudioConfig,
    TranslationAudioInputConfig,
    TranslationAudioOutputConfig,
    TranslationSessionConfig,
    UnknownEvent,
    UnknownObject,
    Unset,
    UserMessage,
)

TABLES: Mapping[str, tuple[tuple[type[Event], ...], Mapping[str, manifest.Fields]]] = {
    "client": (CLIENT_EVENTS, manifest.CLIENT),
    "server": (SERVER_EVENTS, manifest.SERVER),
    "translation client": (TRANSLATION_CLIENT_EVENTS, manifest.TRANSLATION_CLIENT),
    "translation server": (TRANSLATION_SERVER_EVENTS, manifest.TRANSLATION_SERVER),
}
WIRE_EVENTS = sorted(
    {cls for classes, _ in TABLES.values() for cls in classes}, key=lambda cls: cls.__name__
)
SOURCES = sorted(Path(events.__file__).parent.glob("*.py"))


def fields_of(cls: type) -> tuple[attrs.Attribute[object], ...]:
    attrs_class = cast("type[attrs.AttrsInstance]", cls)
    return tuple(attrs.fields(attrs.resolve_types(attrs_class)))


def classes_in(annotation: object) -> Iterator[type]:
    if isinstance(annotation, type) and attrs.has(annotation):
        yield annotation
    for argument in get_args(annotation):
        yield from classes_in(argument)


def vocabulary() -> set[type]:
    """Every event class and, through their fields, every class that can be inside one."""
    found: set[type] = {Event, ClientEvent, ServerEvent, UnknownEvent}
    pending = {*WIRE_EVENTS, *found}
    while pending:
        cls = pending.pop()
        found.add(cls)
        pending |= {inner for a in fields_of(cls) for inner in classes_in(a.type)} - found
    return found


VOCABULARY = sorted(vocabulary(), key=lambda cls: cls.__name__)


# --- completeness ---------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
def test_the_classes_are_exactly_the_events_of_the_manifest(table: str) -> None:
    classes, expected = TABLES[table]
    assert sorted(cls.type for cls in classes) == sorted(expected)


@pytest.mark.parametrize("table", TABLES)
def test_every_event_has_exactly_the_fields_of_the_manifest(table: str) -> None:
    classes, expected = TABLES[table]
    for cls in classes:
        required = frozenset(a.name for a in fields_of(cls) if a.default is attrs.NOTHING)
        optional = frozenset(a.name for a in fields_of(cls)) - required
        assert (cls.type, required, optional) == (cls.type, *expected[cls.type])


def test_the_protocol_is_as_large_as_documented() -> None:
    assert [len(classes) for classes, _ in TABLES.values()] == [11, 46, 3, 7]
    assert (len(manifest.TRANSCRIPTION_CLIENT), len(manifest.TRANSCRIPTION_SERVER)) == (7, 15)


def test_transcription_sessions_use_a_part_of_the_same_events() -> None:
    assert manifest.TRANSCRIPTION_CLIENT.issubset(manifest.CLIENT)
    assert manifest.TRANSCRIPTION_SERVER.issubset(manifest.SERVER)


@pytest.mark.parametrize("table", TABLES)
def test_client_events_and_server_events_are_told_apart_by_their_base(table: str) -> None:
    base = ClientEvent if "client" in table else ServerEvent
    assert [cls.__name__ for cls in TABLES[table][0] if not issubclass(cls, base)] == []


# --- names ----------------------------------------------------------------------------------------


def name_for(wire_type: str, prefix: str = "") -> str:
    if wire_type == "error":
        return "ErrorEvent"
    return prefix + "".join(word.capitalize() for word in wire_type.replace(".", "_").split("_"))


@pytest.mark.parametrize("table", TABLES)
def test_class_names_are_derived_from_wire_types(table: str) -> None:
    prefix = "Translation" if table.startswith("translation") else ""
    assert [cls.__name__ for cls in TABLES[table][0]] == [
        name_for(cls.type, prefix) for cls in TABLES[table][0]
    ]


def test_everything_is_importable_from_the_package() -> None:
    assert [
        cls.__name__ for cls in VOCABULARY if getattr(events, cls.__name__, None) is not cls
    ] == []


def test_a_name_that_does_not_travel_is_not_just_missing() -> None:
    with pytest.raises(AttributeError, match="derived, it does not travel: import it from"):
        _ = events.ItemUpdated  # type: ignore[attr-defined]  # this is the point


def test_no_event_class_is_left_out_of_the_tables() -> None:
    modules = [
        importlib.import_module(f"realtime_trio.events.{module.name}")
        for module in pkgutil.iter_modules(events.__path__)
    ]
    defined = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Event)
    }
    assert {cls for cls in defined if cls.type} == set(WIRE_EVENTS) | {UnknownEvent}


# --- shape ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", VOCABULARY, ids=lambda cls: cls.__name__)
def test_every_class_is_a_frozen_attrs_class_with_slots(cls: type) -> None:
    assert attrs.has(cls)
    assert not hasattr(object.__new__(cls), "__dict__")
    assert "__attrs_attrs__" in vars(cls)  # its own decorator, not just its base's
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        object.__new__(cls).anything = 1  # type: ignore[attr-defined]  # this is the point


@pytest.mark.parametrize("cls", VOCABULARY, ids=lambda cls: cls.__name__)
def test_every_class_takes_keywords(cls: type) -> None:
    positional = {
        "InputText",
        "InputAudio",
        "InputImage",
        "OutputText",
        "OutputAudio",
        "UnknownObject",
    }
    assert all(a.kw_only for a in fields_of(cls)) or cls.__name__ in positional


@pytest.mark.parametrize("cls", WIRE_EVENTS, ids=lambda cls: cls.__name__)
def test_the_wire_type_is_known_to_type_checkers(cls: type[Event]) -> None:
    (literal,) = get_args(get_type_hints(cls)["type"])
    assert get_args(literal) == (cls.type,)


@pytest.mark.parametrize("cls", VOCABULARY, ids=lambda cls: cls.__name__)
def test_defaults_are_immutable(cls: type) -> None:
    for a in fields_of(cls):
        if a.default is not attrs.NOTHING:
            assert (
                a.default is None or a.default is UNSET or isinstance(a.default, str | int | tuple)
            ), f"{cls.__name__}.{a.name}"


# --- documentation --------------------------------------------------------------------------------


def documented(body: list[ast.stmt], index: int) -> bool:
    following = body[index + 1] if index + 1 < len(body) else None
    return (
        isinstance(following, ast.Expr)
        and isinstance(following.value, ast.Constant)
        and isinstance(following.value.value, str)
    )


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_class_and_every_public_field_has_a_docstring(source: Path) -> None:
    module = ast.parse(source.read_text(encoding="utf-8"))
    missing = [] if ast.get_docstring(module) else ["the module"]
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef):
            if not ast.get_docstring(node):
                missing.append(node.name)
            # The keys of a TypedDict are documented where its docstring says: at the class that
            # they configure.
            if "TypedDict" not in {base.id for base in node.bases if isinstance(base, ast.Name)}:
                annotated = [
                    (i, n) for i, n in enumerate(node.body) if isinstance(n, ast.AnnAssign)
                ]
                fields = [(i, n) for i, n in annotated if not ast.unparse(n.target).startswith("_")]
                missing += [
                    f"{node.name}.{ast.unparse(field.target)}"
                    for i, field in fields
                    if not documented(node.body, i)
                ]
    assert missing == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_public_alias_and_constant_has_a_docstring(source: Path) -> None:
    body = ast.parse(source.read_text(encoding="utf-8")).body
    missing = []
    for index, node in enumerate(body):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
            if not target.startswith("_") and not documented(body, index):
                missing.append(target)
    assert missing == []


# --- what users build -----------------------------------------------------------------------------


def test_a_text_message_takes_one_call() -> None:
    assert UserMessage.text("hi") == UserMessage(content=(InputText("hi"),))
    assert UserMessage.text("hi", id="item_1").id == "item_1"
    assert SystemMessage.text("Be brief.") == SystemMessage(content=(InputText("Be brief."),))
    assert AssistantMessage.text("Hello!") == AssistantMessage(content=(OutputText("Hello!"),))


def test_messages_know_their_role_and_type() -> None:
    assert [(cls.type, cls.role) for cls in (SystemMessage, UserMessage, AssistantMessage)] == [
        ("message", "system"),
        ("message", "user"),
        ("message", "assistant"),
    ]


def test_a_message_takes_any_iterable_of_parts() -> None:
    for cls, part in (
        (UserMessage, InputText("a")),
        (SystemMessage, InputText("a")),
        (AssistantMessage, OutputText("a")),
    ):
        # Each class has parts of its own, and mypy takes the parameters for a product of both.
        made: Any = cls
        assert made(content=[part]) == made(content=(part,)) == made(content=iter([part]))


def test_an_audio_message_takes_samples_or_bytes() -> None:
    samples = np.array([0, 1, -1], dtype=np.int16)
    expected = UserMessage(content=(InputAudio(AudioData(samples), "hm"),))
    assert UserMessage.audio(samples, transcript="hm") == expected
    assert UserMessage.audio(samples.tobytes(), transcript="hm") == expected
    assert UserMessage.audio(AudioData(samples), transcript="hm") == expected


def test_a_function_call_output_takes_keywords() -> None:
    output = FunctionCallOutput(call_id="call_1", output='{"ok": true}')
    assert (output.type, output.call_id, output.output, output.id) == (
        "function_call_output",
        "call_1",
        '{"ok": true}',
        None,
    )


def test_audio_formats_have_names() -> None:
    assert AudioFormat.pcm() == AudioFormat(type="audio/pcm", rate=24_000)
    assert AudioFormat.pcmu() == AudioFormat(type="audio/pcmu", rate=None)
    assert AudioFormat.pcma() == AudioFormat(type="audio/pcma", rate=None)


def test_turn_detection_leaves_everything_to_the_server_by_default() -> None:
    assert ServerVad() == ServerVad(idle_timeout_ms=UNSET)
    assert ServerVad() != ServerVad(idle_timeout_ms=None)
    assert (ServerVad.type, SemanticVad.type, SemanticVad(eagerness="low").eagerness) == (
        "server_vad",
        "semantic_vad",
        "low",
    )


def test_a_session_configuration_can_be_written_flat() -> None:
    vad, transcription, noise = (
        ServerVad(threshold=0.7),
        Transcription(model="whisper-1"),
        NoiseReduction(type="near_field"),
    )
    flat = SessionConfig.of(
        voice="marin",
        speed=1.1,
        input_format=AudioFormat.pcmu(),
        output_format=AudioFormat.pcma(),
        transcription=transcription,
        noise_reduction=noise,
        turn_detection=vad,
        instructions="Be brief.",
        max_output_tokens="inf",
        tools=(FunctionTool(name="f"),),
    )
    assert flat == SessionConfig(
        audio=AudioConfig(
            input=AudioInputConfig(
                format=AudioFormat.pcmu(),
                transcription=transcription,
                noise_reduction=noise,
                turn_detection=vad,
            ),
            output=AudioOutputConfig(format=AudioFormat.pcma(), voice="marin", speed=1.1),
        ),
        instructions="Be brief.",
        max_output_tokens="inf",
        tools=(FunctionTool(name="f"),),
    )


def test_a_flat_configuration_contains_only_what_was_given() -> None:
    assert SessionConfig.of() == SessionConfig()
    assert SessionConfig.of(voice="marin") == SessionConfig(
        audio=AudioConfig(output=AudioOutputConfig(voice="marin"))
    )
    assert SessionConfig.of(turn_detection=None) == SessionConfig(
        audio=AudioConfig(input=AudioInputConfig(turn_detection=None))
    )
    assert SessionConfig.of(instructions="") == SessionConfig(instructions="")
    assert SessionConfig.of(model="gpt-realtime", truncation="disabled") == SessionConfig(
        model="gpt-realtime", truncation="disabled"
    )


def test_a_flat_configuration_takes_every_setting() -> None:
    from_of = {name for name in get_type_hints(SessionConfig.of) if name != "return"}
    nested = {
        a.name
        for cls in (SessionConfig, AudioInputConfig, AudioOutputConfig)
        for a in fields_of(cls)
    } - {"audio", "format"}
    assert from_of == nested | {"input_format", "output_format"}
    assert set(get_type_hints(events.SessionSettings)) == from_of - {
        "model",
        "tools",
    }  # which are given otherwise


def test_a_transcription_configuration_can_be_written_flat() -> None:
    assert TranscriptionSessionConfig.of() == TranscriptionSessionConfig()
    assert TranscriptionSessionConfig.of(include=()) == TranscriptionSessionConfig(include=())
    assert TranscriptionSessionConfig.of(noise_reduction=None) == TranscriptionSessionConfig(
        audio=TranscriptionAudioConfig(input=AudioInputConfig(noise_reduction=None))
    )


def test_a_translation_configuration_can_be_written_flat() -> None:
    assert TranslationSessionConfig.of() == TranslationSessionConfig()
    assert TranslationSessionConfig.of(language="es") == TranslationSessionConfig(
        audio=TranslationAudioConfig(output=TranslationAudioOutputConfig(language="es"))
    )
    assert TranslationSessionConfig.of(transcription=None) == TranslationSessionConfig(
        audio=TranslationAudioConfig(input=TranslationAudioInputConfig(transcription=None))
    )


# --- unset, null, set -----------------------------------------------------------------------------


def test_unset_is_neither_none_nor_true() -> None:
    unset, none, value = (
        SessionConfig.of(turn_detection=setting) for setting in (UNSET, None, SemanticVad())
    )
    assert len({unset, none, value}) == 3
    assert not UNSET
    assert repr(UNSET) == "UNSET"


def test_unset_survives_copying_and_pickling() -> None:
    config = SessionConfig()
    assert copy.deepcopy(config).instructions is UNSET
    assert pickle.loads(pickle.dumps(config)).instructions is UNSET


def test_only_settings_can_be_unset_and_the_conversation_of_a_response() -> None:
    settings = {cls for cls in VOCABULARY for a in fields_of(cls) if Unset in get_args(a.type)}
    assert {cls.__name__ for cls in settings if not cls.__name__.endswith("Config")} == {
        "ServerVad",
        "Response",
    }
    for cls in settings:
        for a in fields_of(cls):
            assert (a.default is UNSET) == (Unset in get_args(a.type))


def test_what_is_left_out_of_a_count_is_none_at_all_and_the_first_part_is_meant() -> None:
    numbers = {
        (cls.__name__, a.name): a.default
        for cls in VOCABULARY
        for a in fields_of(cls)
        if type(a.default) in (int, float)
    }
    assert {name for name, default in numbers.items() if default != 0} == set()
    assert numbers["ConversationItemInputAudioTranscriptionFailed", "content_index"] == 0


def test_settings_by_keyword_may_all_be_left_out() -> None:
    assert events.SessionSettings.__required_keys__ == frozenset()
    assert events.ResponseSettings.__required_keys__ == frozenset()


# --- audio in events ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "audio",
    [
        b"\x01\x00\xff\xff",
        bytearray(b"\x01\x00\xff\xff"),
        memoryview(b"\x01\x00\xff\xff"),
        np.array([1, -1], dtype=np.int16),
        np.array([1, -1], dtype=">i2"),
        AudioData(b"\x01\x00\xff\xff"),
    ],
    ids=["bytes", "bytearray", "memoryview", "int16", "big-endian", "AudioData"],
)
def test_client_events_take_audio_in_any_form(audio: AudioLike) -> None:
    event = InputAudioBufferAppend(audio=audio)
    assert event.audio.data == b"\x01\x00\xff\xff"
    assert event == InputAudioBufferAppend(audio=AudioData(b"\x01\x00\xff\xff"))


def test_client_events_take_floats() -> None:
    event = InputAudioBufferAppend(audio=np.array([0.0, 1.0, -1.0], dtype=np.float32))
    assert event.audio.samples.tolist() == [0, 32767, -32768]


def test_what_is_not_audio_is_refused_at_once() -> None:
    with pytest.raises(LocalProtocolError, match="cannot take str as audio"):
        InputAudioBufferAppend(audio="AAAA")  # type: ignore[arg-type]  # this is the point


def test_audio_of_a_part_may_be_left_out() -> None:
    assert InputAudio().audio is None
    assert InputAudio(b"ab").audio == AudioData(b"ab")
    assert OutputAudio(transcript="hi").audio is None


def test_an_audio_delta_is_bytes_and_samples() -> None:
    event = ResponseOutputAudioDelta(
        event_id="e",
        response_id="r",
        item_id="i",
        output_index=0,
        content_index=0,
        delta=AudioData.from_base64("AQD//w=="),
    )
    assert event.delta.data == b"\x01\x00\xff\xff"
    assert event.delta.samples.tolist() == [1, -1]
    assert np.shares_memory(event.delta.samples, np.frombuffer(event.delta.data, np.uint8))


def test_an_event_does_not_print_audio_pictures_or_credentials() -> None:
    tool = McpTool(server_label="m", authorization="secret", headers={"X-Key": "secret"})
    printed = repr(
        (
            InputAudioBufferAppend(audio=AudioData(b"abc")),
            ConversationItemCreate(item=UserMessage.audio(b"abc")),
            ConversationItemCreate(item=UserMessage.of(InputImage("data:image/png;base64,YWJj"))),
            tool,
        )
    )
    assert "<AudioData 3 bytes>" in printed
    assert "YWJj" not in printed
    assert "secret" not in printed


# --- the unknown ----------------------------------------------------------------------------------


def test_an_unknown_event_is_a_server_event_with_its_own_wire_name() -> None:
    event = UnknownEvent(
        type="response.hologram.delta",
        raw={"type": "response.hologram.delta", "event_id": "e"},
        event_id="e",
    )
    assert isinstance(event, ServerEvent)
    assert (event.type, event.event_id, event.problem) == ("response.hologram.delta", "e", None)
    assert UnknownEvent(raw=b"?") == UnknownEvent(type="", event_id="", raw=b"?", problem=None)


def test_an_unknown_event_does_not_print_its_payload() -> None:
    assert "secret" not in repr(UnknownEvent(raw={"key": "secret"}))
    assert "secret" not in repr(UnknownObject("hologram", {"key": "secret"}))


@pytest.mark.parametrize(
    ("raw", "expected"), [({"id": "item_1"}, "item_1"), ({}, None), ({"id": 5}, None)]
)
def test_an_unknown_object_tells_its_id(raw: dict[str, object], expected: str | None) -> None:
    assert UnknownObject("hologram", raw).id == expected


def test_events_are_values() -> None:
    error = ErrorEvent(event_id="e", error=ErrorDetail(type="server_error", message="oops"))
    assert error == ErrorEvent(event_id="e", error=ErrorDetail(type="server_error", message="oops"))
    assert hash(error) == hash(copy.deepcopy(error))
    assert error != attrs.evolve(error, event_id="f")
    assert len({ResponseCreate(), ResponseCreate(), SessionUpdate(session=SessionConfig())}) == 2


def test_events_match_by_shape() -> None:
    match ConversationItemCreate(item=UserMessage(content=(InputText("a"), InputAudio(None, "b")))):
        case ConversationItemCreate(
            item=UserMessage(content=(InputText(first), InputAudio(transcript=second)))
        ):
            assert (first, second) == ("a", "b")
        case _:  # pragma: no cover - the test would have failed
            pytest.fail("no match")


def test_the_settings_of_a_response_can_be_written_flat() -> None:
    assert events.ResponseConfig.of() == events.ResponseConfig()
    flat = events.ResponseConfig.of(
        voice="marin",
        output_modalities=["audio"],
        tools=[FunctionTool(name="f")],
        input=[UserMessage.text("Hi")],
        metadata={"a": "b"},
    )
    assert flat == events.ResponseConfig(
        audio=events.ResponseAudioConfig(output=events.ResponseAudioOutputConfig(voice="marin")),
        output_modalities=("audio",),
        tools=(FunctionTool(name="f"),),
        input=(UserMessage.text("Hi"),),
        metadata={"a": "b"},
    )
    assert events.ResponseConfig.of(
        output_format=AudioFormat.pcmu()
    ).audio == events.ResponseAudioConfig(
        output=events.ResponseAudioOutputConfig(format=AudioFormat.pcmu())
    )
