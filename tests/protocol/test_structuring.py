"""JSON values become events or a helpful complaint, and events become JSON values."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from types import MappingProxyType
from typing import TypeAlias

import attrs
import numpy as np
import pytest
from coding import (
    BETA_CLIENT,
    CODECS,
    EVERY_EVENT,
    FEWER,
    TABLES,
    TRANSLATION,
    ChangesItsMind,
    Json,
    audio_delta,
    created,
    decode,
    done,
    ends,
    payload_of,
)
from hypothesis import assume, given, strategies as st
from strategies import JSON_VALUES, TEXTS, any_client_event, any_server_event, events

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._protocol.structuring import _explaining_converter, _fast_converter
from realtime_trio.errors import (
    InternalError,
    LocalProtocolError,
    RealtimeError,
    RemoteProtocolError,
)
from realtime_trio.events import (
    SERVER_EVENTS,
    UNSET,
    AssistantMessage,
    ConversationInfo,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDone,
    ConversationItemTruncate,
    ErrorDetail,
    ErrorEvent,
    Event,
    FunctionTool,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputText,
    McpApprovalFilter,
    McpTool,
    McpToolFilter,
    OutputAudio,
    OutputText,
    RealtimeSession,
    Response,
    ResponseConfig,
    ResponseCreate,
    ResponseDone,
    ServerVad,
    SessionAudio,
    SessionAudioInput,
    SessionAudioOutput,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    ToolChoiceFunction,
    Tracing,
    Transcription,
    TranscriptionSessionConfig,
    UnknownEvent,
    UnknownObject,
    UserMessage,
)


@given(any_server_event() | any_server_event(TRANSLATION))
def test_unknown_keys_are_ignored(event: Event) -> None:
    kind = (
        SessionKind.REALTIME if event.type in {cls.type for cls in SERVER_EVENTS} else TRANSLATION
    )
    assume(type(event) in TABLES[Role.SERVER, kind])
    payload = payload_of(event, Role.SERVER, kind)
    assert decode({**payload, "from_the_future": [1, {"x": None}]}, Codec(kind=kind)) == event


def test_a_decoded_event_is_like_one_that_was_constructed() -> None:
    payload = {
        "type": "error",
        "event_id": "e",
        "error": {"type": "server_error", "message": "oops", "code": None},
    }
    decoded = decode(payload)
    built = ErrorEvent(event_id="e", error=ErrorDetail(type="server_error", message="oops"))
    assert type(decoded) is ErrorEvent
    assert type(decoded.error) is ErrorDetail
    assert decoded == built
    assert hash(decoded) == hash(built)
    assert repr(decoded) == repr(built)
    assert pickle.loads(pickle.dumps(decoded)) == built
    assert copy.copy(decoded) == copy.deepcopy(decoded) == attrs.evolve(decoded) == built
    assert not hasattr(decoded, "__dict__")


@pytest.mark.parametrize("name", ["event_id", "error", "something_new"])
def test_a_decoded_event_cannot_be_changed(name: str) -> None:
    decoded = decode({"type": "error", "event_id": "e", "error": {"type": "t", "message": "m"}})
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(decoded, name, "x")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        delattr(decoded, name)


def test_optional_fields_are_left_out_and_meaningful_nulls_are_written() -> None:
    done = ConversationItemDone(event_id="e", item=UserMessage.text("hi"))
    assert payload_of(done, Role.SERVER) == {
        "type": "conversation.item.done",
        "event_id": "e",
        "item": {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "hi"}],
        },
        "previous_item_id": None,
    }
    assert payload_of(InputAudioBufferClear(), Role.CLIENT) == {"type": "input_audio_buffer.clear"}


def test_that_there_is_no_transcript_yet_is_said_by_servers_alone() -> None:
    spoken = UserMessage(content=[InputAudio()])
    done = payload_of(ConversationItemDone(event_id="e", item=spoken), Role.SERVER)
    message = {"type": "message", "role": "user"}
    assert done["item"] == message | {"content": [{"type": "input_audio", "transcript": None}]}
    create = payload_of(ConversationItemCreate(item=spoken), Role.CLIENT)
    assert create["item"] == message | {"content": [{"type": "input_audio"}]}


def test_null_in_place_of_an_optional_value_means_absent() -> None:
    nulls = {
        "output": None,
        "id": None,
        "usage": {"total_tokens": None, "input_token_details": None},
        "status": None,
        "audio": None,
    }
    assert decode({"type": "response.done", "event_id": "e", "response": nulls}) == decode(
        {"type": "response.done", "event_id": "e", "response": {"usage": {}}}
    )
    assert decode({"type": "response.done", "event_id": "e", "response": {}}) == ResponseDone(
        event_id="e", response=Response()
    )


def test_unset_null_and_a_value_are_three_different_things() -> None:
    def sent(config: SessionConfig | TranscriptionSessionConfig) -> object:
        return payload_of(SessionUpdate(session=config), Role.CLIENT)["session"]

    assert sent(SessionConfig()) == {"type": "realtime"}
    assert sent(SessionConfig.of(turn_detection=UNSET)) == {"type": "realtime"}
    assert sent(SessionConfig.of(turn_detection=None)) == {
        "type": "realtime",
        "audio": {"input": {"turn_detection": None}},
    }
    assert sent(SessionConfig.of(turn_detection=ServerVad())) == {
        "type": "realtime",
        "audio": {"input": {"turn_detection": {"type": "server_vad"}}},
    }
    assert sent(SessionConfig.of(turn_detection=ServerVad(idle_timeout_ms=None, threshold=1))) == {
        "type": "realtime",
        "audio": {
            "input": {
                "turn_detection": {"type": "server_vad", "threshold": 1, "idle_timeout_ms": None}
            }
        },
    }
    assert sent(SessionConfig.of(instructions="", tools=(), tracing=None)) == {
        "type": "realtime",
        "instructions": "",
        "tools": [],
        "tracing": None,
    }
    assert sent(TranscriptionSessionConfig.of(transcription=Transcription(model="whisper-1"))) == {
        "type": "transcription",
        "audio": {"input": {"transcription": {"model": "whisper-1"}}},
    }


def test_other_spellings_of_assistant_content_and_tools_are_understood() -> None:
    content = [
        {"type": "text", "text": "a"},
        {"type": "audio", "transcript": "b", "format": "pcm16"},
    ]
    added = decode(
        {
            "type": "conversation.item.added",
            "event_id": "e",
            "item": {"type": "message", "role": "assistant", "content": content},
        }
    )
    assert added == ConversationItemAdded(
        event_id="e",
        item=AssistantMessage(
            content=(OutputText("a"), OutputAudio(transcript="b", format="pcm16"))
        ),
    )
    assert decode(
        {"type": "session.updated", "event_id": "e", "session": {"tools": [{"name": "f"}]}}
    ) == SessionUpdated(event_id="e", session=RealtimeSession(tools=(FunctionTool(name="f"),)))


def test_unions_are_told_apart_by_json_type() -> None:
    def session(**members: object) -> RealtimeSession:
        event = decode(
            {"type": "session.created", "event_id": "e", "session": members}, Codec(strict=True)
        )
        assert isinstance(event, SessionCreated)
        assert isinstance(event.session, RealtimeSession)
        return event.session

    assert session(tool_choice="auto").tool_choice == "auto"
    assert session(tool_choice={"type": "function", "name": "f"}).tool_choice == ToolChoiceFunction(
        name="f"
    )
    assert session(max_output_tokens="inf").max_output_tokens == "inf"
    assert session(max_output_tokens=7).max_output_tokens == 7
    assert session(tracing="auto").tracing == "auto"
    assert session(tracing={"group_id": "g"}).tracing == Tracing(group_id="g")
    mcp = {
        "type": "mcp",
        "server_label": "m",
        "allowed_tools": {"read_only": True},
        "require_approval": {"never": {"tool_names": ["a"]}},
    }
    assert session(
        tools=[mcp, {**mcp, "allowed_tools": ["b"], "require_approval": "never"}]
    ).tools == (
        McpTool(
            server_label="m",
            allowed_tools=McpToolFilter(read_only=True),
            require_approval=McpApprovalFilter(never=McpToolFilter(tool_names=("a",))),
        ),
        McpTool(server_label="m", allowed_tools=("b",), require_approval="never"),
    )


def test_whole_numbers_are_numbers() -> None:
    session = {
        "audio": {
            "output": {"speed": 1},
            "input": {"turn_detection": {"type": "server_vad", "threshold": 0.5}},
        }
    }
    assert decode(
        {"type": "session.created", "event_id": "e", "session": session}
    ) == SessionCreated(
        event_id="e",
        session=RealtimeSession(
            audio=SessionAudio(
                output=SessionAudioOutput(speed=1.0),
                input=SessionAudioInput(turn_detection=ServerVad(threshold=0.5)),
            )
        ),
    )


def test_objects_of_unknown_types_are_kept_and_written_back() -> None:
    parts: list[Json] = [
        {"type": "input_smell", "intensity": 5},
        {"text": "no type"},
        {"type": ["list"]},
        {"type": 5},
    ]
    item = {"type": "message", "role": "user", "content": parts}
    content = [
        UnknownObject("input_smell", parts[0]),
        *(UnknownObject(None, part) for part in parts[1:]),
    ]
    event = ConversationItemAdded(event_id="e", item=UserMessage(content=content))
    assert decode({"type": "conversation.item.added", "event_id": "e", "item": item}) == event
    assert payload_of(event, Role.SERVER)["item"] == item


@pytest.mark.parametrize(
    "item",
    [
        {"type": "hologram", "id": "item_1"},
        {"type": "message", "role": "narrator"},
        {"type": "message", "role": {}},
        {"type": "message"},
        {},
    ],
    ids=["type", "role", "unhashable role", "no role", "nothing"],
)
def test_items_of_unknown_kinds_do_not_spoil_the_event(item: Json) -> None:
    event = decode(
        {"type": "conversation.item.added", "event_id": "e", "item": item}, Codec(strict=True)
    )
    wire_type = item.get("type")
    assert event == ConversationItemAdded(
        event_id="e", item=UnknownObject(wire_type if isinstance(wire_type, str) else None, item)
    )


def detection(**settings: object) -> Json:
    return created(audio={"input": {"turn_detection": settings}})


def added(*content: object) -> Json:
    return {
        "type": "conversation.item.added",
        "event_id": "e",
        "item": {"type": "message", "role": "user", "content": list(content)},
    }


def transcribed(**fields: object) -> Json:
    return {
        "type": "conversation.item.input_audio_transcription.completed",
        "event_id": "e",
        "item_id": "i",
        "content_index": 0,
        "transcript": "",
        "usage": {"type": "duration", "seconds": 1},
        **fields,
    }


MISFITS: list[tuple[Json, str]] = [
    (
        {"type": "response.output_text.delta", "event_id": "e"},
        "required field missing @ $.response_id",
    ),
    ({"type": "input_audio_buffer.cleared"}, "required field missing @ $.event_id"),
    (
        {"type": "input_audio_buffer.cleared", "event_id": None},
        "expected a string, got null @ $.event_id",
    ),
    (
        {"type": "input_audio_buffer.cleared", "event_id": 5},
        "expected a string, got an integer @ $.event_id",
    ),
    ({"type": "response.done", "event_id": "e"}, "required field missing @ $.response"),
    (
        {"type": "response.done", "event_id": "e", "response": None},
        "expected an object, got null @ $.response",
    ),
    (
        {"type": "response.done", "event_id": "e", "response": "x"},
        "expected an object, got a string @ $.response",
    ),
    (
        {"type": "response.done", "event_id": "e", "response": []},
        "expected an object, got a list @ $.response",
    ),
    (done(id=5), "expected a string, got an integer @ $.response.id"),
    (done(status=5), "expected a string or null, got an integer @ $.response.status"),
    (done(output={}), "expected a list, got an object @ $.response.output"),
    (done(output=[5]), "expected an object, got an integer @ $.response.output[0]"),
    (
        done(output=[{"type": "item_x"}, {"type": "function_call", "name": "f"}]),
        "required field missing @ $.response.output[1].arguments",
    ),
    (
        done(output=[{"type": "mcp_list_tools", "server_label": "s", "tools": [{"name": "n"}]}]),
        "required field missing @ $.response.output[0].tools[0].input_schema",
    ),
    (
        done(
            output=[
                {
                    "type": "mcp_list_tools",
                    "server_label": "s",
                    "tools": [{"name": "n", "input_schema": []}],
                }
            ]
        ),
        "expected an object, got a list @ $.response.output[0].tools[0].input_schema",
    ),
    (done(metadata=[]), "expected an object or null, got a list @ $.response.metadata"),
    (
        done(max_output_tokens=1.5),
        "expected an integer or a string or null, got a number @ $.response.max_output_tokens",
    ),
    (
        done(audio={"output": {"voice": 5}}),
        "expected a string or null or an object, got an integer @ $.response.audio.output.voice",
    ),
    (
        done(audio={"output": {"voice": {}}}),
        "required field missing @ $.response.audio.output.voice.id",
    ),
    (
        done(usage={"total_tokens": True}),
        "expected an integer, got true or false @ $.response.usage.total_tokens",
    ),
    (
        done(usage={"total_tokens": 2.0}),
        "expected an integer, got a number @ $.response.usage.total_tokens",
    ),
    (
        created(type="x"),
        "expected an object of type 'realtime', 'transcription', got 'x' @ $.session",
    ),
    (created(tools={}), "expected a list or null, got an object @ $.session.tools"),
    (created(tools=[{"type": "function"}]), "required field missing @ $.session.tools[0].name"),
    (created(include=[1]), "expected a string, got an integer @ $.session.include[0]"),
    (
        created(truncation=0.5),
        "expected a string or null or an object, got a number @ $.session.truncation",
    ),
    (
        detection(type="semantic_vad", eagerness="huge"),
        "expected one of 'low', 'medium', 'high', 'auto', got 'huge' @ $.session.audio.input.turn_detection.eagerness",
    ),
    (
        detection(type="semantic_vad", eagerness=7),
        "expected null or a string, got an integer @ $.session.audio.input.turn_detection.eagerness",
    ),
    (
        detection(type="server_vad", threshold="0.5"),
        "expected a number or null, got a string @ $.session.audio.input.turn_detection.threshold",
    ),
    (
        detection(type="server_vad", threshold=True),
        "expected a number or null, got true or false @ $.session.audio.input.turn_detection.threshold",
    ),
    (
        detection(type="server_vad", create_response=1),
        "expected true or false or null, got an integer @ $.session.audio.input.turn_detection.create_response",
    ),
    (
        detection(type="server_vad", idle_timeout_ms=1.0),
        "expected an integer or null, got a number @ $.session.audio.input.turn_detection.idle_timeout_ms",
    ),
    (audio_delta(delta=5), "expected base64 text, got an integer @ $.delta"),
    (audio_delta(delta=None), "expected base64 text, got null @ $.delta"),
    (audio_delta(output_index=True), "expected an integer, got true or false @ $.output_index"),
    (added(5), "expected an object, got an integer @ $.item.content[0]"),
    (
        added({"type": "input_text"}, {"type": "input_text", "text": 5}),
        "expected a string, got an integer @ $.item.content[1].text",
    ),
    (
        added({"type": "input_audio", "audio": 5}),
        "expected a string or null, got an integer @ $.item.content[0].audio",
    ),
    (
        transcribed(usage={"type": "duration", "seconds": "5"}),
        "expected a number, got a string @ $.usage.seconds",
    ),
    (transcribed(usage=5), "expected an object, got an integer @ $.usage"),
    (
        transcribed(logprobs=[{"token": "", "logprob": 0, "bytes": [1, "x"]}]),
        "expected an integer, got a string @ $.logprobs[0].bytes[1]",
    ),
    (
        {"type": "error", "event_id": "e", "error": {"type": "t"}},
        "required field missing @ $.error.message",
    ),
    (
        {"type": "rate_limits.updated", "event_id": "e", "rate_limits": [[]]},
        "expected an object, got a list @ $.rate_limits[0]",
    ),
]


@pytest.mark.parametrize(("payload", "problem"), MISFITS, ids=[problem for _, problem in MISFITS])
def test_what_does_not_fit_says_what_was_expected_and_where(payload: Json, problem: str) -> None:
    event_id = payload.get("event_id")
    expected = UnknownEvent(
        type=str(payload["type"]),
        event_id=event_id if isinstance(event_id, str) else "",
        raw=payload,
        problem=problem,
    )
    assert decode(payload) == expected
    with pytest.raises(RemoteProtocolError) as caught:
        decode(payload, Codec(strict=True))
    assert str(caught.value) == f"cannot decode {payload['type']}: {problem}"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ([1], "expected an object, got a list"),
        ("x", "expected an object, got a string"),
        (5, "expected an object, got an integer"),
        (0.5, "expected an object, got a number"),
        (True, "expected an object, got true or false"),
        (None, "expected an object, got null"),
        ({}, "required field missing @ $.type"),
        ({"type": None}, "required field missing @ $.type"),
        ({"type": 5}, "expected a string @ $.type"),
        ({"type": ["error"]}, "expected a string @ $.type"),
        ({"type": {}, "event_id": "e"}, "expected a string @ $.type"),
    ],
)
def test_what_is_no_event_at_all_says_so(payload: object, problem: str) -> None:
    event_id = "e" if isinstance(payload, dict) and "event_id" in payload else ""
    assert decode(payload) == UnknownEvent(type="", event_id=event_id, raw=payload, problem=problem)
    with pytest.raises(RemoteProtocolError, match=r"^cannot decode message: (expected|required)"):
        decode(payload, Codec(strict=True))


# --- what is not fine: encoding -------------------------------------------------------------------


def unencodable(*, item: object = UNSET, **fields: object) -> Event:
    """An event whose fields ignore their types, as those of users without a type checker do."""
    if item is not UNSET:
        return ConversationItemCreate(item=item)  # type: ignore[arg-type]
    return ResponseCreate(response=ResponseConfig(**fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (unencodable(item=None), "expected an object, got null @ $.item"),
        (
            unencodable(item=UserMessage(content="hi")),  # type: ignore[arg-type]
            "expected an object, got a string @ $.item.content[0]",
        ),
        (
            unencodable(item=UserMessage(content=[InputText(5)])),  # type: ignore[arg-type]
            "expected a string, got an integer @ $.item.content[0].text",
        ),
        (
            unencodable(item=UserMessage.text("hi", id=5)),  # type: ignore[arg-type]
            "expected a string or null, got an integer @ $.item.id",
        ),
        (
            unencodable(instructions=b"hi"),
            "expected a string or null, got bytes @ $.response.instructions",
        ),
        (
            unencodable(tools=FunctionTool(name="f")),
            "expected a list or null, got an object @ $.response.tools",
        ),
        (
            unencodable(tools=[FunctionTool(name=None)]),  # type: ignore[arg-type]
            "expected a string, got null @ $.response.tools[0].name",
        ),
        (
            unencodable(max_output_tokens="many"),
            "expected 'inf', got 'many' @ $.response.max_output_tokens",
        ),
        (
            unencodable(output_modalities=["smell"]),
            "expected one of 'text', 'audio', got 'smell' @ $.response.output_modalities[0]",
        ),
        (unencodable(metadata={"a": object()}), "Type is not JSON serializable: object"),
        (unencodable(metadata={1: "a"}), "Dict key must be str"),
        (unencodable(max_output_tokens=2**70), "Integer exceeds 64-bit range"),
        (unencodable(instructions="\ud800"), "str is not valid UTF-8: surrogates not allowed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_encoded_says_what_was_expected_and_where(
    event: Event, problem: str
) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        Codec().encode(event)
    assert str(caught.value) == f"cannot encode {event.type}: {problem}"


def test_a_required_field_cannot_be_none() -> None:
    with pytest.raises(
        LocalProtocolError,
        match=r"^cannot encode session.update: expected an object, got null @ \$.session$",
    ):
        Codec().encode(SessionUpdate(session=None))  # type: ignore[arg-type]


@pytest.mark.parametrize("speed", [float("nan"), float("inf"), float("-inf")])
def test_numbers_without_a_json_form_are_refused(speed: float) -> None:
    with pytest.raises(
        LocalProtocolError,
        match=r"^cannot encode session.update: expected a number, got .* @ \$.session.audio.output.speed$",
    ):
        Codec().encode(SessionUpdate(session=SessionConfig.of(speed=speed)))


def test_an_object_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match=r"^cannot encode response.create: not now @ \$$"):
        Codec().encode(ResponseCreate(response=ResponseConfig(metadata=ChangesItsMind(refusals=9))))


def test_an_error_that_cannot_be_explained_is_our_own() -> None:
    with pytest.raises(
        InternalError, match=r"^ResponseCreate cannot be encoded, but nothing is wrong with it$"
    ):
        Codec().encode(ResponseCreate(response=ResponseConfig(metadata=ChangesItsMind())))


def test_error_messages_hold_no_audio() -> None:
    event = ConversationItemCreate(
        item=UserMessage(content=[InputAudioBufferAppend(audio=b"abcd" * 500)])  # type: ignore[list-item]
    )
    with pytest.raises(LocalProtocolError) as caught:
        Codec(Role.SERVER).encode(event)
    assert "YWJjZ" not in str(caught.value)
    with pytest.raises(RemoteProtocolError) as refused:
        decode(audio_delta(delta="YWJjZ" * 500, item_id=None), Codec(strict=True))
    assert "YWJjZ" not in str(refused.value)


def test_numbers_from_numpy_are_as_good_as_any() -> None:
    truncate = ConversationItemTruncate(
        item_id="i",
        content_index=np.int64(0),  # type: ignore[arg-type]
        audio_end_ms=np.uint16(7),  # type: ignore[arg-type]
    )
    assert payload_of(truncate, Role.CLIENT) == {
        "type": "conversation.item.truncate",
        "item_id": "i",
        "content_index": 0,
        "audio_end_ms": 7,
    }
    vad = ServerVad(
        threshold=np.float32(0.5),  # type: ignore[arg-type]
        create_response=np.bool_(True),  # type: ignore[arg-type]
        silence_duration_ms=np.int32(200),  # type: ignore[arg-type]
    )
    update = SessionUpdate(session=SessionConfig.of(turn_detection=vad))
    assert ends(Role.CLIENT)[1].decode(Codec().encode(update)) == SessionUpdate(
        session=SessionConfig.of(
            turn_detection=ServerVad(threshold=0.5, create_response=True, silence_duration_ms=200)
        )
    )
    with pytest.raises(
        LocalProtocolError, match=r"expected an integer, got a number @ \$.audio_end_ms"
    ):
        Codec().encode(attrs.evolve(truncate, audio_end_ms=np.float64(7.0)))  # type: ignore[arg-type]


def test_lists_and_any_mappings_are_accepted() -> None:
    metadata = MappingProxyType({"a": np.int8(5), "b": (1, [2])})
    event = ResponseCreate(response=ResponseConfig(output_modalities=["text"], metadata=metadata))  # type: ignore[arg-type]
    assert payload_of(event, Role.CLIENT)["response"] == {
        "output_modalities": ["text"],
        "metadata": {"a": 5, "b": [1, [2]]},
    }


# --- properties: nothing gets through, nothing gets out -------------------------------------------


def strict_outcome(codec: Codec, data: str | bytes) -> Event | None:
    """The event, or None if the codec's strict twin refuses it."""
    try:
        return Codec(codec.role, codec.dialect, kind=codec.kind, strict=True).decode(data)
    except RemoteProtocolError:
        return None


TAGS = [
    "message",
    "function",
    "function_call",
    "mcp",
    "text",
    "realtime",
    "transcription",
    "server_vad",
    "tokens",
    None,
]
WIRE_TYPES = sorted(
    {cls.type for table in TABLES.values() for cls in table}
    | {"response.audio.delta", "transcription_session.update"}
)


Place: TypeAlias = tuple[Json, str] | tuple[list[object], int]


def places_in(value: object) -> Iterator[Place]:
    """Every object's key and every list's index, outermost first."""
    if isinstance(value, dict):
        for key in value:
            yield value, key
            yield from places_in(value[key])
    elif isinstance(value, list):
        for index in range(len(value)):
            yield value, index
            yield from places_in(value[index])


@st.composite
def mutations(draw: st.DrawFn, payload: Json) -> Json:
    """The payload with a few of its parts removed, replaced or extended; its own type stays."""
    for _ in range(draw(st.integers(1, 3))):
        places = [
            place for place in places_in(payload) if place[0] is not payload or place[1] != "type"
        ]
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        change = draw(st.sampled_from(["remove", "null", "replace", "wrap", "tag"]))
        if change == "remove":
            container.pop(key)  # type: ignore[arg-type]  # the two belong together
            continue
        replacements: dict[str, st.SearchStrategy[object]] = {
            "null": st.none(),
            "replace": JSON_VALUES,
            "wrap": st.just([container[key]]),  # type: ignore[index]
            "tag": st.fixed_dictionaries(
                {"type": st.sampled_from(TAGS) | JSON_VALUES},
                optional={"role": st.sampled_from(["user", "x"])},
            ),
        }
        container[key] = draw(replacements[change])  # type: ignore[index]
    return payload


@pytest.mark.parametrize(("cls", "sender", "kind"), EVERY_EVENT)
@FEWER
@given(data=st.data())
def test_both_converters_agree_on_what_fits(
    cls: type[Event], sender: Role, kind: SessionKind, data: st.DataObject
) -> None:
    event = data.draw(events(cls))
    payload = data.draw(mutations(payload_of(event, sender, kind)))
    before = copy.deepcopy(payload)
    try:
        fast = _fast_converter.get_structure_hook(cls)(payload, None)
    except (KeyError, TypeError, ValueError, AttributeError, RealtimeError):
        fast = None
    try:
        explaining = _explaining_converter.get_structure_hook(cls)(payload, None)
    except Exception:
        explaining = None
    assert fast == explaining
    assert payload == before


@pytest.mark.parametrize(
    "codec",
    CODECS,
    ids=lambda codec: f"{codec.role.value}-{codec.dialect.value}-{codec.kind.value}",
)
@FEWER
@given(st.binary(max_size=60) | TEXTS | st.builds(json.dumps, JSON_VALUES))
def test_nothing_that_arrives_is_too_much(codec: Codec, data: str | bytes) -> None:
    event = codec.decode(data)
    assert isinstance(event, Event)
    assert strict_outcome(codec, data) == (None if isinstance(event, UnknownEvent) else event)


@pytest.mark.parametrize(
    "codec",
    CODECS,
    ids=lambda codec: f"{codec.role.value}-{codec.dialect.value}-{codec.kind.value}",
)
@FEWER
@given(st.data())
def test_no_payload_of_a_known_event_is_too_much(codec: Codec, data: st.DataObject) -> None:
    kind = TRANSLATION if codec.kind is TRANSLATION else SessionKind.REALTIME
    sender = Role.SERVER if codec.role is Role.CLIENT else Role.CLIENT
    valid = data.draw(any_server_event(kind) if sender is Role.SERVER else any_client_event(kind))
    payload = data.draw(mutations(payload_of(valid, sender, kind)))
    payload["type"] = data.draw(st.just(payload["type"]) | st.sampled_from(WIRE_TYPES))
    text = json.dumps(payload)
    event = codec.decode(text)
    assert isinstance(event, Event)
    if isinstance(event, UnknownEvent):
        assert event.problem != ""
    assert strict_outcome(codec, text) == (None if isinstance(event, UnknownEvent) else event)


def test_a_conversation_is_information() -> None:
    payload = {"type": "conversation.created", "event_id": "e", "conversation": {"id": "conv_1"}}
    event = decode(payload, BETA_CLIENT)
    assert getattr(event, "conversation", None) == ConversationInfo(id="conv_1")
