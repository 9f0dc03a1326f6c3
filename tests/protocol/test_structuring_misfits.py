"""What does not fit the protocol is explained: what was expected, and where."""

from __future__ import annotations

import pytest
from coding import (
    ChangesItsMind,
    Json,
    audio_delta,
    created,
    decode,
    done,
)

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio.errors import (
    InternalError,
    LocalProtocolError,
    RemoteProtocolError,
)
from realtime_trio.events import (
    UNSET,
    ConversationItemCreate,
    Event,
    FunctionTool,
    InputAudioBufferAppend,
    InputText,
    ResponseConfig,
    ResponseCreate,
    SessionConfig,
    SessionUpdate,
    UnknownEvent,
    UserMessage,
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
        "expected one of 'low', 'medium', 'high', 'auto', got 'huge' @ "
        "$.session.audio.input.turn_detection.eagerness",
    ),
    (
        detection(type="semantic_vad", eagerness=7),
        "expected null or a string, got an integer @ "
        "$.session.audio.input.turn_detection.eagerness",
    ),
    (
        detection(type="server_vad", threshold="0.5"),
        "expected a number or null, got a string @ $.session.audio.input.turn_detection.threshold",
    ),
    (
        detection(type="server_vad", threshold=True),
        "expected a number or null, got true or false @ "
        "$.session.audio.input.turn_detection.threshold",
    ),
    (
        detection(type="server_vad", create_response=1),
        "expected true or false or null, got an integer @ "
        "$.session.audio.input.turn_detection.create_response",
    ),
    (
        detection(type="server_vad", idle_timeout_ms=1.0),
        "expected an integer or null, got a number @ "
        "$.session.audio.input.turn_detection.idle_timeout_ms",
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
            unencodable(item=UserMessage(content=[5])),  # type: ignore[list-item]
            "expected an object, got an integer @ $.item.content[0]",
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
        match=(
            r"^cannot encode session.update: expected a number, got .* @ "
            r"\$.session.audio.output.speed$"
        ),
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
        item=UserMessage(
            content=[InputAudioBufferAppend(audio=b"abcd" * 500)]  # type: ignore[list-item]
        )
    )
    with pytest.raises(LocalProtocolError) as caught:
        Codec(Role.SERVER).encode(event)
    assert "YWJjZ" not in str(caught.value)
    with pytest.raises(RemoteProtocolError) as refused:
        decode(audio_delta(delta="YWJjZ" * 500, item_id=None), Codec(strict=True))
    assert "YWJjZ" not in str(refused.value)
