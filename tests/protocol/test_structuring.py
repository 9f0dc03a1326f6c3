"""JSON values become events, and events become JSON values."""

from __future__ import annotations

import copy
import pickle
from types import MappingProxyType

import attrs
import numpy as np
import pytest
from coding import (
    BETA_CLIENT,
    TABLES,
    TRANSLATION,
    Json,
    decode,
    ends,
    payload_of,
)
from hypothesis import assume, given
from strategies import any_server_event

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio.audio.data import AudioData
from realtime_trio.errors import LocalProtocolError
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
        Codec().encode(
            attrs.evolve(truncate, audio_end_ms=np.float64(7.0))  # type: ignore[arg-type]
        )


def test_lists_and_any_mappings_are_accepted() -> None:
    metadata = MappingProxyType({"a": np.int8(5), "b": (1, [2])})
    config = ResponseConfig(output_modalities=["text"], metadata=metadata)  # type: ignore[arg-type]
    event = ResponseCreate(response=config)
    assert payload_of(event, Role.CLIENT)["response"] == {
        "output_modalities": ["text"],
        "metadata": {"a": 5, "b": [1, [2]]},
    }


def test_audio_of_any_class_is_audio() -> None:
    class Tagged(AudioData):
        __slots__ = ()

    event = InputAudioBufferAppend(audio=Tagged(b"abc"))
    assert Codec().encode(event) == '{"type":"input_audio_buffer.append","audio":"YWJj"}'


def test_a_conversation_is_information() -> None:
    payload = {"type": "conversation.created", "event_id": "e", "conversation": {"id": "conv_1"}}
    event = decode(payload, BETA_CLIENT)
    assert getattr(event, "conversation", None) == ConversationInfo(id="conv_1")
