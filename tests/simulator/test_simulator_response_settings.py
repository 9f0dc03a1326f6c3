"""Which responses of the simulated server may begin, what they read, and where they are written."""

from __future__ import annotations

from typing import Any

import pytest
from service_client import TEXT_RESPONSE, Client, audio, only, types
from simulated import SLOW

from realtime_trio._protocol.kinds import SessionKind
from realtime_trio.events import (
    AudioFormat,
    ConversationItemCreate,
    ConversationItemRetrieve,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    InputText,
    ItemReference,
    RealtimeSession,
    ResponseAudioConfig,
    ResponseAudioOutputConfig,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemAdded,
    SessionAudio,
    SessionAudioOutput,
    SessionConfig,
    UnknownObject,
    UserMessage,
)
from realtime_trio.simulator import (
    Reply,
    Turn,
)
from realtime_trio.simulator.service.configuration import initial_session, updated_session
from realtime_trio.simulator.service.refusal import Refusal
from realtime_trio.simulator.service.response_settings import ResolvedSettings, settings_for


def test_only_one_response_at_a_time_writes_to_the_conversation() -> None:
    client = Client(Reply.text("a b c", pacing=SLOW))
    created = only(client.send(ResponseCreate()), ResponseCreated)
    error = client.refused(ResponseCreate(event_id="mine"))
    assert (error.code, error.event_id) == ("conversation_already_has_active_response", "mine")
    assert error.message == (
        f"Conversation already has an active response in progress: {created.response.id}. "
        "Wait until the response is finished before creating a new one."
    )
    client.take(now=60)
    assert types(client.send(ResponseCreate()))[0] == "response.created"


def test_out_of_band_responses_leave_the_conversation_alone() -> None:
    client = Client(Reply.text("a b c", pacing=SLOW), Reply.text("an aside"), text=True)
    client.send(ResponseCreate())
    events = client.send(
        ResponseCreate(
            response=ResponseConfig(conversation="none", metadata={"topic": "x"}, input=())
        )
    )
    assert types(events) == [name for name in TEXT_RESPONSE if not name.startswith("conversation")]
    for response in (only(events, ResponseCreated).response, only(events, ResponseDone).response):
        assert response.conversation_id is None
        assert response.metadata == {"topic": "x"}
    item_id = str(only(events, ResponseOutputItemAdded).item.id)
    assert (
        client.refused(ConversationItemRetrieve(item_id=item_id)).code
        == "item_retrieve_invalid_item_id"
    )
    assert client.refused(ResponseCreate()).code == "conversation_already_has_active_response"


def test_a_response_reads_its_input_instead_of_the_conversation() -> None:
    turns: list[Turn] = []

    def remember(turn: Turn) -> bool:
        turns.append(turn)
        return False

    client = Client(Reply.text("never", when=remember), text=True)
    client.send(ConversationItemCreate(item=UserMessage.text("first", id="a")))
    client.send(ConversationItemCreate(item=UserMessage.audio(audio(500), id="b")))
    restored = (
        FunctionCall(name="f", arguments="{}", call_id="c"),
        FunctionCallOutput(call_id="c", output="7"),
    )
    for config in (
        ResponseConfig(instructions="Sing.", tools=(FunctionTool(name="f"),), metadata={"k": "v"}),
        ResponseConfig(input=()),
        ResponseConfig(input=(ItemReference(id="a"), UserMessage.text("raw"))),
        ResponseConfig(input=restored, conversation="none"),
    ):
        client.send(ResponseCreate(response=config))
    whole, nothing, mixed, made_up = turns
    assert [item.id for item in whole.items] == ["a", "b"]
    assert whole.heard_seconds == 0.5
    assert (whole.instructions, whole.tools, whole.metadata) == (
        "Sing.",
        (FunctionTool(name="f"),),
        {"k": "v"},
    )
    assert whole.modality == "text"
    assert (nothing.items, nothing.heard_seconds) == ((), 0.0)
    assert [getattr(item, "content", None) for item in mixed.items] == [
        (InputText("first"),),
        (InputText("raw"),),
    ]
    assert made_up.items == restored


@pytest.mark.parametrize(
    ("config", "code", "param"),
    [
        (ResponseConfig(conversation="mine"), "invalid_value", "response.conversation"),
        (
            ResponseConfig(output_modalities=("text", "audio")),
            "invalid_value",
            "response.output_modalities",
        ),
        (
            ResponseConfig(max_output_tokens=0),
            "integer_below_min_value",
            "response.max_output_tokens",
        ),
        (ResponseConfig(tool_choice="x"), "invalid_value", "response.tool_choice"),
        (
            ResponseConfig(tools=(UnknownObject("x", {"type": "x"}),)),
            "invalid_value",
            "response.tools[0].type",
        ),
        (
            ResponseConfig(metadata={str(n): "x" for n in range(17)}),
            "object_above_max_properties",
            "response.metadata",
        ),
        (ResponseConfig(metadata={"x" * 65: "x"}), "string_above_max_length", "response.metadata"),
        (
            ResponseConfig(metadata={"x": "x" * 513}),
            "string_above_max_length",
            "response.metadata.x",
        ),
        (ResponseConfig(input=(ItemReference(id="x"),)), "invalid_value", "response.input[0].id"),
        (
            ResponseConfig(input=(UserMessage.text("x", id="x" * 33),)),
            "string_above_max_length",
            "response.input[0].id",
        ),
        (
            ResponseConfig(
                audio=ResponseAudioConfig(
                    output=ResponseAudioOutputConfig(format=AudioFormat(type="x"))
                )
            ),
            "invalid_value",
            "response.audio.output.format.type",
        ),
    ],
)
def test_a_response_that_cannot_be_is_refused_and_uses_up_no_reply(
    config: ResponseConfig, code: str, param: str
) -> None:
    client = Client(Reply.text("only one"), text=True)
    error = client.refused(ResponseCreate(response=config))
    assert (error.code, error.param) == (code, param)
    assert "only one" in str(only(client.send(ResponseCreate()), ResponseDone).response.output)


def test_an_audio_setting_of_a_response_may_be_empty() -> None:
    client = Client(text=True)
    config = ResponseConfig(audio=ResponseAudioConfig(output=ResponseAudioOutputConfig()))
    assert types(client.send(ResponseCreate(response=config))) == TEXT_RESPONSE


# --- what applies ---------------------------------------------------------------------------------


def session_of(model: str = "gpt-realtime", **changes: Any) -> RealtimeSession:
    initial = initial_session(
        SessionKind.REALTIME, session_id="sess_1", model=model, expires_at=None
    )
    session = updated_session(
        initial, SessionConfig.of(**changes), has_spoken=False, is_responding=False
    )
    assert isinstance(session, RealtimeSession)
    return session


def test_a_response_has_what_the_session_has() -> None:
    session = session_of(
        instructions="Be brief.",
        voice="marin",
        speed=1.5,
        output_format="pcmu",
        tools=[FunctionTool(name="look")],
        max_output_tokens=100,
        truncation="disabled",
    )
    settings = settings_for(session, ResponseConfig(), has_spoken=True)
    assert (settings.modality, settings.voice, settings.speed) == ("audio", "marin", 1.5)
    assert settings.format == AudioFormat.pcmu()
    assert settings.instructions == "Be brief."
    assert settings.tools == (FunctionTool(name="look"),)
    assert (settings.max_output_tokens, settings.truncation) == (100, "disabled")
    assert settings.metadata is None


def test_a_request_goes_before_the_session() -> None:
    session = session_of(
        instructions="Be brief.", tools=[FunctionTool(name="look")], max_output_tokens=100
    )
    config = ResponseConfig.of(
        output_modalities="text",
        instructions="",
        tools=(),
        voice="cedar",
        output_format="pcma",
        max_output_tokens="inf",
        metadata={"a": "b"},
    )
    settings = settings_for(session, config, has_spoken=False)
    assert (settings.modality, settings.voice) == ("text", "cedar")
    assert settings.format == AudioFormat.pcma()
    assert (settings.instructions, settings.tools) == ("", ())
    assert (settings.max_output_tokens, settings.metadata) == ("inf", {"a": "b"})


def test_a_session_that_says_nothing_has_the_defaults_of_the_service() -> None:
    empty = RealtimeSession(audio=SessionAudio(output=SessionAudioOutput()))
    settings = settings_for(empty, ResponseConfig(), has_spoken=False)
    assert settings == ResolvedSettings(
        modality="text",
        voice="alloy",
        format=AudioFormat.pcm(),
        speed=1.0,
        instructions="",
        tools=(),
        max_output_tokens="inf",
        metadata=None,
        max_input_tokens=28_224,
        truncation="auto",
    )


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-realtime", 28_224),
        ("gpt-realtime-mini", 28_224),
        ("gpt-realtime-2", 96_000),
        ("gpt-realtime-2025-08-28", 28_224),
    ],
)
def test_how_much_a_model_reads_depends_on_its_generation(model: str, tokens: int) -> None:
    settings = settings_for(session_of(model), ResponseConfig(), has_spoken=False)
    assert settings.max_input_tokens == tokens


def test_metadata_may_be_as_large_as_documented() -> None:
    session = session_of()
    largest: dict[str, object] = {f"{number:064}": "x" * 512 for number in range(16)}
    assert (
        settings_for(session, ResponseConfig(metadata=largest), has_spoken=False).metadata
        == largest
    )
    too_large: list[dict[str, object]] = [
        largest | {"one": "more"},
        {"k" * 65: "x"},
        {"k": "x" * 513},
        {"k": 1},
    ]
    for metadata in too_large:
        with pytest.raises(Refusal):
            settings_for(session, ResponseConfig(metadata=metadata), has_spoken=False)
