"""The simulated server against its specification: which events, in which order, with what inside.

Everything it says goes through a codec and a strict client's codec, so each of these tests also
checks what is on the wire; if there is a schema of the protocol, it is held against that, too.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

import attrs
import numpy as np
import pytest
from hypothesis import given, strategies as st
from schema import check_message

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._transport.contract import Close
from realtime_trio.audio import AudioData, mulaw_encode, resample
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    AssistantMessage,
    AudioConfig,
    AudioFormat,
    AudioInputConfig,
    AudioOutputConfig,
    ContentPart,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ConversationItemTruncated,
    CustomVoice,
    DurationTranscriptionUsage,
    ErrorDetail,
    ErrorEvent,
    Event,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputImage,
    InputText,
    ItemReference,
    McpApprovalRequest,
    McpApprovalResponse,
    OutputAudio,
    OutputAudioBufferClear,
    OutputText,
    RateLimitsUpdated,
    RealtimeSession,
    Reasoning,
    Response,
    ResponseAudioConfig,
    ResponseAudioOutputConfig,
    ResponseCancel,
    ResponseConfig,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseErrorDetail,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    ResponseStatusDetails,
    ResponseUsage,
    RetentionRatio,
    SemanticVad,
    ServerEvent,
    ServerVad,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    SystemMessage,
    TokenLimits,
    TokenTranscriptionUsage,
    ToolChoiceFunction,
    Tracing,
    Transcription,
    TranscriptionSession,
    TranscriptionSessionConfig,
    UnknownEvent,
    UnknownObject,
    UserMessage,
)
from realtime_trio.simulator import (
    INSTANT,
    Call,
    Pacing,
    Reply,
    Script,
    SimulatedServer,
    Turn,
    sequential_ids,
    synthesize_speech,
)
from realtime_trio.simulator.service.strictness import read_message

E = TypeVar("E", bound=Event)

SLOW = Pacing(time_to_first_event=1.0, tokens_per_second=1.0, audio_speed=1.0)
LOOK = Reply.call("look", x=1)


class Client:
    """A client that checks what it gets: every event is encoded, and decoded again by a strict codec."""

    def __init__(
        self,
        *replies: Reply,
        text: bool = False,
        server: SimulatedServer | None = None,
        **options: Any,
    ) -> None:
        self.server = server or SimulatedServer(Script(replies), **options)
        self.now = 0.0
        self._theirs = Codec(Role.SERVER, kind=self.server.kind)
        self._ours = Codec(Role.CLIENT, kind=self.server.kind, strict=True)
        self.server.connect(self.now)
        (created,) = self.take()
        assert isinstance(created, SessionCreated)
        self.created = created
        if text:
            self.send(SessionUpdate(session=SessionConfig(output_modalities=("text",))))

    def take(self, now: float | None = None) -> list[Event]:
        self.now = self.now if now is None else now
        events: list[Event] = []
        for event in self.server.take_due(self.now):
            text = self._theirs.encode(event)
            check_message(text, self.server.kind)
            received = self._ours.decode(text)
            assert type(received) is type(event)
            events.append(received)
        return events

    def send(self, *events: Event, now: float | None = None) -> list[Event]:
        self.now = self.now if now is None else now
        for event in events:
            self.server.receive(
                event
                if isinstance(event, UnknownEvent)
                else self._theirs.decode(self._ours.encode(event)),
                self.now,
            )
        return self.take()

    def say(self, message: str) -> list[Event]:
        """Send a raw message."""
        self.server.receive(read_message(self._theirs, message), self.now)
        return self.take()

    def refused(self, event: Event | str) -> ErrorDetail:
        """Send something; return what is wrong with it, and make sure that nothing else came of it."""
        (error,) = self.say(event) if isinstance(event, str) else self.send(event)
        assert isinstance(error, ErrorEvent)
        assert error.error.type == "invalid_request_error"
        return error.error

    @property
    def session(self) -> RealtimeSession:
        """The configuration as it is now."""
        (updated,) = self.send(SessionUpdate(session=SessionConfig()))
        assert isinstance(updated, SessionUpdated)
        assert isinstance(updated.session, RealtimeSession)
        return updated.session

    def item(self, item_id: str) -> Any:
        (retrieved,) = self.send(ConversationItemRetrieve(item_id=item_id))
        assert isinstance(retrieved, ConversationItemRetrieved)
        return retrieved.item


def of_type(events: Sequence[Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def only(events: Sequence[Event], kind: type[E]) -> E:
    (event,) = of_type(events, kind)
    return event


def types(events: Sequence[Event]) -> list[str]:
    """The wire types; several of the same in a row count once, marked with a star."""
    names: list[str] = []
    for event in events:
        if names and names[-1].rstrip("*") == event.type:
            names[-1] = f"{event.type}*"
        else:
            names.append(event.type)
    return names


def audio(milliseconds: float) -> AudioData:
    return AudioData(np.full(int(24 * milliseconds), 1000, np.int16))


def usage(events: Sequence[Event]) -> ResponseUsage:
    found = only(events, ResponseDone).response.usage
    assert found is not None
    return found


# --- the session ----------------------------------------------------------------------------------


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
    client = Client()
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


def test_the_session_expires_with_an_error_and_a_close() -> None:
    client = Client(
        Reply.text("too late", pacing=Pacing(time_to_first_event=100)), expires_after=60.0
    )
    client.send(ResponseCreate())
    due = client.server.next_due
    before = client.server.close
    (error,) = client.take(now=60)
    assert due == 60
    assert isinstance(error, ErrorEvent)
    assert error.error.code == "session_expired"
    assert error.error.message == "Your session hit the maximum duration of 1 minutes."
    assert (before, client.server.close) == (None, Close(1001, "session_expired"))
    assert client.send(ResponseCreate(), now=200) == []
    assert (client.server.next_due, client.take(now=300)) == (None, [])


def test_a_session_need_not_expire() -> None:
    client = Client(expires_after=math.inf)
    assert client.created.session.expires_at is None
    assert client.server.next_due is None


# --- what is no event -----------------------------------------------------------------------------


def test_an_unknown_type_is_refused_with_a_list_of_those_that_exist() -> None:
    error = Client().refused('{"type": "nope", "event_id": "mine"}')
    assert (error.code, error.param, error.event_id) == ("invalid_value", "type", "mine")
    assert error.message == (
        "Invalid value: 'nope'. Supported values are: 'session.update', 'session.close', 'input_audio_buffer.append', "
        "'session.input_audio_buffer.append', 'input_audio_buffer.commit', 'input_audio_buffer.clear', 'conversation.item.create', "
        "'conversation.item.truncate', 'conversation.item.delete', 'conversation.item.retrieve', 'response.create', and 'response.cancel'."
    )


def test_an_event_of_other_transports_is_unknown_here() -> None:
    error = Client().refused(OutputAudioBufferClear(event_id="mine"))
    assert (error.code, error.param, error.event_id) == ("invalid_value", "type", "mine")


def test_a_binary_frame_is_refused() -> None:
    error = Client().refused(UnknownEvent(raw=b"{}", problem="binary frame"))
    assert (error.code, error.message) == (
        "invalid_event",
        "Expected a text WebSocket message; binary frames are not supported.",
    )


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ("hello", "invalid_json", None),
        ("[]", "invalid_event", None),
        ("{}", "missing_required_parameter", "type"),
        ('{"type": 5}', "invalid_type", "type"),
        ('{"type": "session.update"}', "missing_required_parameter", "session"),
        ('{"type": "session.update", "session": {}}', "missing_required_parameter", "session.type"),
        ('{"type": "session.update", "session": {"type": "x"}}', "invalid_value", "session.type"),
        (
            '{"type": "session.update", "session": {"type": "realtime", "audio": {"input": {"format": {"rate": "x"}}}}}',
            "invalid_type",
            "session.audio.input.format.rate",
        ),
        (
            '{"type": "session.update", "session": {"type": "realtime", "output_modalities": ["video"]}}',
            "invalid_value",
            "session.output_modalities[0]",
        ),
        (
            '{"type": "conversation.item.create", "item": {"type": "message", "role": "user"}}',
            "missing_required_parameter",
            "item.content",
        ),
        (
            '{"type": "conversation.item.create", "item": {"type": "message"}}',
            "missing_required_parameter",
            "item.role",
        ),
        (
            '{"type": "conversation.item.create", "item": {"type": "message", "role": "boss"}}',
            "invalid_value",
            "item.role",
        ),
        (
            '{"type": "conversation.item.create", "item": {"type": "gizmo"}}',
            "invalid_value",
            "item.type",
        ),
        (
            '{"type": "conversation.item.create", "item": {}}',
            "missing_required_parameter",
            "item.type",
        ),
        (
            '{"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [{"type": "text"}]}}',
            "invalid_value",
            "item.content[0].type",
        ),
        ('{"type": "input_audio_buffer.append", "audio": "%%%%"}', "invalid_value", "audio"),
        (
            '{"type": "response.create", "response": {"metadata": {"a": 1}}}',
            "invalid_type",
            "response.metadata.a",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_place(
    message: str, code: str, param: str | None
) -> None:
    error = Client().refused(message)
    assert (error.code, error.param) == (code, param)


def test_a_missing_session_type_is_named_as_the_service_does() -> None:
    error = Client().refused('{"type": "session.update", "session": {}}')
    assert error.message == "Missing required parameter: 'session.type'."
    error = Client().refused('{"type": "session.update", "session": {"type": "x"}}')
    assert (
        error.message == "Invalid value: 'x'. Supported values are: 'realtime' and 'transcription'."
    )


def test_an_event_id_may_not_be_too_long() -> None:
    assert (
        Client().refused(InputAudioBufferClear(event_id="x" * 513)).code
        == "string_above_max_length"
    )
    assert types(Client().send(InputAudioBufferClear(event_id="x" * 512))) == [
        "input_audio_buffer.cleared"
    ]


def test_misuse_by_the_program_around_it_is_reported_to_that_program() -> None:
    server = SimulatedServer(Script())
    with pytest.raises(LocalProtocolError, match="only after `connect`"):
        server.receive(ResponseCreate(), 0)
    server.connect(0)
    with pytest.raises(LocalProtocolError, match="server of its own"):
        server.connect(1)
    with pytest.raises(LocalProtocolError, match="not RateLimitsUpdated"):
        server.receive(RateLimitsUpdated(event_id="x", rate_limits=()), 0)


# --- items ----------------------------------------------------------------------------------------


def test_an_item_is_added_and_done_at_once() -> None:
    client = Client()
    added, done = client.send(ConversationItemCreate(item=UserMessage.text("hi", id="mine")))
    assert isinstance(added, ConversationItemAdded)
    assert isinstance(done, ConversationItemDone)
    assert (
        added.item
        == done.item
        == UserMessage(id="mine", status="completed", content=[InputText("hi")])
    )
    assert added.previous_item_id is done.previous_item_id is None


def test_items_get_an_id_from_the_server_unless_they_have_one() -> None:
    added = only(
        Client().send(ConversationItemCreate(item=SystemMessage.text("hi"))), ConversationItemAdded
    )
    assert added.item.id is not None
    assert added.item.id.startswith("item_")
    assert len(added.item.id) == 26


def test_items_go_where_the_client_wants_them() -> None:
    client = Client()
    previous = []
    for name, after in [("b", None), ("d", ""), ("a", "root"), ("c", "b"), ("e", "d")]:
        added = only(
            client.send(
                ConversationItemCreate(item=UserMessage.text("x", id=name), previous_item_id=after)
            ),
            ConversationItemAdded,
        )
        previous.append(added.previous_item_id)
    assert previous == [None, "b", None, "b", "d"]


def test_an_item_after_one_that_does_not_exist_is_refused() -> None:
    client = Client()
    error = client.refused(
        ConversationItemCreate(
            item=UserMessage.text("hi", id="mine"), previous_item_id="x", event_id="e1"
        )
    )
    assert error.code == "item_create_invalid_previous_item_id"
    assert error.message == "Error adding item: the previous item with id 'x' does not exist."
    assert error.event_id == "e1"
    assert (
        client.refused(ConversationItemRetrieve(item_id="mine")).code
        == "item_retrieve_invalid_item_id"
    )


def test_a_second_item_of_the_same_id_is_not_refused() -> None:
    client = Client()
    for previous in (None, "twin"):
        added = only(
            client.send(ConversationItemCreate(item=UserMessage.text("x", id="twin"))),
            ConversationItemAdded,
        )
        assert added.previous_item_id == previous


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        (UserMessage.text("x", id="x" * 39), "string_above_max_length", "item.id"),
        (UserMessage.text("x" * 256_001), "string_above_max_length", "item.content[0].text"),
        (
            UserMessage(content=[InputText("a"), InputImage()]),
            "missing_required_parameter",
            "item.content[1].image_url",
        ),
        (
            UserMessage(content=[InputAudio(AudioData.from_base64("%%%%"))]),
            "invalid_value",
            "item.content[0].audio",
        ),
        (
            AssistantMessage(content=[OutputAudio(transcript="x")]),
            "invalid_value",
            "item.content[0].type",
        ),
        (
            FunctionCall(name="f", arguments="", call_id="x" * 33),
            "string_above_max_length",
            "item.call_id",
        ),
        (
            FunctionCall(name="f", arguments="", call_id="no spaces"),
            "invalid_value",
            "item.call_id",
        ),
        (FunctionCallOutput(call_id="call_1", output=""), "invalid_tool_call_id", None),
    ],
)
def test_items_that_cannot_be_are_refused(item: Any, code: str, param: str | None) -> None:
    error = Client().refused(ConversationItemCreate(item=item))
    assert (error.code, error.param) == (code, param)


def test_a_too_long_id_is_refused_in_the_words_of_the_service() -> None:
    assert Client().refused(
        ConversationItemCreate(item=UserMessage.text("x", id="x" * 39))
    ).message == (
        "Invalid 'item.id': string too long. Expected a string with maximum length 32, but got a string with length 39 instead."
    )


@pytest.mark.parametrize(
    "item",
    [
        SystemMessage.text("Be kind.", id="i"),
        UserMessage(
            id="i", content=[InputText("Look:"), InputImage("data:image/png;base64,AAAA", "low")]
        ),
        AssistantMessage.text("Yes.", id="i"),
        FunctionCall(id="i", name="look", arguments="{}", call_id="call_1"),
    ],
)
def test_items_come_back_as_they_were(item: Any) -> None:
    client = Client()
    client.send(ConversationItemCreate(item=item))
    assert client.item("i") == attrs.evolve(item, status="completed")


def test_an_approval_is_an_item_too() -> None:
    client = Client()
    client.send(
        ConversationItemCreate(
            item=McpApprovalRequest(id="r", server_label="s", name="f", arguments="{}")
        )
    )
    client.send(
        ConversationItemCreate(
            item=McpApprovalResponse(id="i", approval_request_id="r", approve=True)
        )
    )
    assert client.item("i") == McpApprovalResponse(id="i", approval_request_id="r", approve=True)
    assert only(client.send(ResponseCreate()), ResponseDone).response.status == "completed"


def test_a_call_can_be_restored_with_its_output() -> None:
    client = Client()
    client.send(ConversationItemCreate(item=FunctionCall(name="look", arguments="{}")))
    client.send(
        ConversationItemCreate(item=FunctionCall(name="look", arguments="{}", call_id="call_1"))
    )
    events = client.send(
        ConversationItemCreate(item=FunctionCallOutput(call_id="call_1", output="21"))
    )
    assert types(events) == ["conversation.item.added", "conversation.item.done"]


def test_the_users_audio_is_only_in_retrieved_items() -> None:
    client = Client()
    added = only(
        client.send(
            ConversationItemCreate(item=UserMessage.audio(audio(50), transcript="hm", id="i"))
        ),
        ConversationItemAdded,
    )
    assert added.item == UserMessage(id="i", status="completed", content=[InputAudio(None, "hm")])
    assert client.item("i").content == (InputAudio(audio(50), "hm"),)


def test_a_deleted_item_is_gone() -> None:
    client = Client()
    client.send(
        ConversationItemCreate(item=UserMessage.text("hi", id="a")),
        ConversationItemCreate(item=UserMessage.text("hi", id="b")),
    )
    assert types(client.send(ConversationItemDelete(item_id="b"))) == ["conversation.item.deleted"]
    error = client.refused(ConversationItemDelete(item_id="b"))
    assert (error.code, error.param) == ("item_delete_invalid_item_id", None)
    assert error.message == "Error deleting item: the item with id 'b' does not exist."
    added = only(
        client.send(ConversationItemCreate(item=UserMessage.text("hi"))), ConversationItemAdded
    )
    assert added.previous_item_id == "a"


def test_an_unknown_item_cannot_be_retrieved() -> None:
    error = Client().refused(ConversationItemRetrieve(item_id="x"))
    assert (error.code, error.message) == (
        "item_retrieve_invalid_item_id",
        "Error retrieving item: the item with id 'x' does not exist.",
    )


# --- truncation -----------------------------------------------------------------------------------


def spoken_item(client: Client) -> str:
    return str(only(client.send(ResponseCreate()), ResponseOutputItemAdded).item.id)


def test_truncating_keeps_what_was_heard_and_drops_the_transcript() -> None:
    client = Client(Reply.speech("One two.", np.arange(24_000, dtype=np.int16)))
    item_id = spoken_item(client)
    assert client.item(item_id).content == (
        OutputAudio(AudioData(np.arange(24_000, dtype=np.int16)), "One two."),
    )
    (truncated,) = client.send(
        ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=500)
    )
    assert isinstance(truncated, ConversationItemTruncated)
    assert (truncated.item_id, truncated.content_index, truncated.audio_end_ms) == (item_id, 0, 500)
    assert client.item(item_id).content == (
        OutputAudio(AudioData(np.arange(12_000, dtype=np.int16))),
    )


def test_truncating_beyond_the_end_is_refused() -> None:
    client = Client(Reply.speech("One.", np.zeros(88_800, np.int16)))
    item_id = spoken_item(client)
    error = client.refused(
        ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=3760)
    )
    assert (error.code, error.message) == (
        "invalid_value",
        "Audio content of 3700ms is already shorter than 3760ms",
    )
    assert types(
        client.send(ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=3700))
    ) == ["conversation.item.truncated"]


def test_only_the_models_audio_can_be_truncated() -> None:
    client = Client(Reply.speech("One.", np.zeros(4800, np.int16)))
    item_id = spoken_item(client)
    client.send(ConversationItemCreate(item=UserMessage.audio(audio(500), id="users")))
    client.send(ConversationItemCreate(item=AssistantMessage.text("hi", id="text")))
    codes = [
        client.refused(
            ConversationItemTruncate(item_id=name, content_index=index, audio_end_ms=end)
        ).code
        for name, index, end in [
            ("x", 0, 0),
            ("users", 0, 0),
            ("text", 0, 0),
            (item_id, 1, 0),
            (item_id, 0, -11),
        ]
    ]
    assert codes == [
        "item_truncate_invalid_item_id",
        "unsupported_content_type",
        "unsupported_content_type",
        "invalid_value",
        "integer_below_min_value",
    ]


# --- input audio ----------------------------------------------------------------------------------


def test_committed_audio_becomes_a_user_message() -> None:
    client = Client()
    assert (
        client.send(
            InputAudioBufferAppend(audio=audio(60)), InputAudioBufferAppend(audio=audio(60))
        )
        == []
    )
    committed, added, done = client.send(InputAudioBufferCommit())
    assert isinstance(committed, InputAudioBufferCommitted)
    assert isinstance(added, ConversationItemAdded)
    assert isinstance(done, ConversationItemDone)
    assert committed.previous_item_id is added.previous_item_id is None
    assert (
        added.item
        == done.item
        == UserMessage(id=committed.item_id, status="completed", content=[InputAudio()])
    )
    assert client.item(committed.item_id).content == (InputAudio(audio(120)),)
    assert client.refused(InputAudioBufferCommit()).code == "input_audio_buffer_commit_empty"


@pytest.mark.parametrize(("milliseconds", "shown"), [(0, "0.00ms"), (99.5, "99.50ms")])
def test_less_than_100_ms_cannot_be_committed(milliseconds: float, shown: str) -> None:
    client = Client()
    client.send(InputAudioBufferAppend(audio=audio(milliseconds)))
    error = client.refused(InputAudioBufferCommit())
    assert error.code == "input_audio_buffer_commit_empty"
    assert error.message == (
        f"Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but buffer only has {shown} of audio."
    )
    client.send(InputAudioBufferAppend(audio=audio(100)))
    assert types(client.send(InputAudioBufferCommit()))[0] == "input_audio_buffer.committed"


def test_100_ms_of_g711_are_800_bytes() -> None:
    client = Client()
    client.send(
        SessionUpdate(session=SessionConfig.of(input_format=AudioFormat.pcmu())),
        InputAudioBufferAppend(audio=bytes(799)),
    )
    assert "99.88ms" in client.refused(InputAudioBufferCommit()).message
    client.send(InputAudioBufferAppend(audio=b"\xff"))
    assert types(client.send(InputAudioBufferCommit()))[0] == "input_audio_buffer.committed"


def test_cleared_audio_is_gone() -> None:
    client = Client()
    assert types(
        client.send(InputAudioBufferAppend(audio=audio(200)), InputAudioBufferClear())
    ) == ["input_audio_buffer.cleared"]
    assert client.refused(InputAudioBufferCommit()).code == "input_audio_buffer_commit_empty"


def test_an_append_may_not_be_too_long() -> None:
    client = Client()
    client.send(SessionUpdate(session=SessionConfig.of(turn_detection=None)))
    error = client.refused(InputAudioBufferAppend(audio=bytes(15 * 2**20 + 1), event_id="mine"))
    assert (error.code, error.param, error.event_id) == ("string_above_max_length", "audio", "mine")
    assert client.refused(InputAudioBufferCommit()).code == "input_audio_buffer_commit_empty"
    assert client.send(InputAudioBufferAppend(audio=bytes(15 * 2**20))) == []


@pytest.mark.parametrize("kind", [SessionKind.REALTIME, SessionKind.TRANSCRIPTION])
def test_committed_audio_is_transcribed_if_that_is_wanted(kind: SessionKind) -> None:
    client = Client(server=SimulatedServer(Script(transcripts=["What is the weather?"]), kind=kind))
    config = SessionConfig if kind is SessionKind.REALTIME else TranscriptionSessionConfig
    client.send(
        SessionUpdate(session=config.of(transcription=Transcription(model="gpt-4o-transcribe")))
    )
    events = client.send(InputAudioBufferAppend(audio=audio(1630)), InputAudioBufferCommit())
    assert types(events) == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.delta*",
        "conversation.item.input_audio_transcription.completed",
    ]
    completed = only(events, ConversationItemInputAudioTranscriptionCompleted)
    deltas = of_type(events, ConversationItemInputAudioTranscriptionDelta)
    assert (
        "".join(delta.delta for delta in deltas) == completed.transcript == "What is the weather?"
    )
    assert completed.item_id == only(events, InputAudioBufferCommitted).item_id
    assert isinstance(completed.usage, TokenTranscriptionUsage)
    assert (completed.usage.input_tokens, completed.usage.total_tokens) == (
        17,
        17 + completed.usage.output_tokens,
    )
    assert client.item(completed.item_id).content[0].transcript == "What is the weather?"


def test_whisper_says_everything_in_one_delta_and_bills_by_duration() -> None:
    client = Client(server=SimulatedServer(Script(transcripts=["What is the weather?"])))
    client.send(
        SessionUpdate(session=SessionConfig.of(transcription=Transcription(model="whisper-1")))
    )
    events = client.send(InputAudioBufferAppend(audio=audio(1500)), InputAudioBufferCommit())
    assert (
        only(events, ConversationItemInputAudioTranscriptionDelta).delta == "What is the weather?"
    )
    assert only(
        events, ConversationItemInputAudioTranscriptionCompleted
    ).usage == DurationTranscriptionUsage(seconds=1.5)


def test_a_transcription_can_fail() -> None:
    client = Client(server=SimulatedServer(Script(transcripts=[None])))
    client.send(
        SessionUpdate(session=SessionConfig.of(transcription=Transcription(model="whisper-1")))
    )
    events = client.send(InputAudioBufferAppend(audio=audio(1500)), InputAudioBufferCommit())
    failed = only(events, ConversationItemInputAudioTranscriptionFailed)
    assert failed.error.code == "audio_unintelligible"
    assert types(events)[-1] == failed.type


def listening(
    *replies: Reply,
    delay: float,
    pacing: Pacing = INSTANT,
    text: bool = True,
    model: str = "gpt-4o-transcribe",
) -> Client:
    """A client whose speech is transcribed, but late."""
    script = Script(
        replies,
        transcripts=["What is the weather?", None],
        transcription_delay=delay,
        pacing=pacing,
    )
    client = Client(text=text, server=SimulatedServer(script))
    client.send(SessionUpdate(session=SessionConfig.of(transcription=Transcription(model=model))))
    return client


SPEAK = (InputAudioBufferAppend(audio=audio(1500)), InputAudioBufferCommit())


def test_a_transcript_can_come_after_the_answer() -> None:
    client = listening(Reply.text("Sunny."), delay=2.0)
    answered = client.send(*SPEAK, ResponseCreate())
    item_id = only(answered, InputAudioBufferCommitted).item_id
    assert types(answered)[-1] == "rate_limits.updated"
    assert not any("transcription" in name for name in types(answered))
    assert client.item(item_id).content[0].transcript is None
    assert client.server.next_due == 2.0
    assert client.take(1.9) == []
    assert types(client.take(2.0)) == [
        "conversation.item.input_audio_transcription.delta*",
        "conversation.item.input_audio_transcription.completed",
    ]
    assert client.item(item_id).content[0].transcript == "What is the weather?"


def test_a_transcript_can_come_in_the_middle_of_the_answer() -> None:
    client = listening(
        Reply.text("one two three", pacing=Pacing(tokens_per_second=1.0)),
        delay=0.25,
        pacing=Pacing(tokens_per_second=2.0),
    )
    events = client.send(*SPEAK, ResponseCreate())
    while (due := client.server.next_due) is not None and due < 3600:
        events += client.take(due)
    names = [
        name
        for name in types(events)
        if name.endswith(("delta", "delta*", "completed", "response.done"))
    ]
    transcript = "conversation.item.input_audio_transcription"
    assert names == [
        "response.output_text.delta",
        f"{transcript}.delta*",
        "response.output_text.delta",
        f"{transcript}.delta*",
        "response.output_text.delta",
        "response.done",
        f"{transcript}.delta*",
        f"{transcript}.completed",
    ]


def test_transcripts_are_in_order_each_for_itself_and_may_overlap() -> None:
    client = listening(delay=1.0)
    events = client.send(*SPEAK)
    events += client.send(*SPEAK, now=0.9)
    first, second = (event.item_id for event in of_type(events, InputAudioBufferCommitted))
    assert {getattr(event, "item_id", None) for event in client.take(1.0)} == {first}
    (failed,) = client.take(1.9)
    assert isinstance(failed, ConversationItemInputAudioTranscriptionFailed)
    assert failed.item_id == second


def test_with_some_jitter_transcripts_lose_the_order_of_their_audio_the_same_in_every_run() -> None:
    orders = []
    for _ in range(2):
        script = Script(
            transcripts=map(str, range(10)), transcription_delay=1.0, transcription_jitter=5.0
        )
        client = Client(server=SimulatedServer(script))
        client.send(
            SessionUpdate(session=SessionConfig.of(transcription=Transcription(model="whisper-1")))
        )
        client.send(*SPEAK * 10)
        assert client.take(0.9) == []
        completed = of_type(client.take(6.0), ConversationItemInputAudioTranscriptionCompleted)
        orders.append([event.transcript for event in completed])
    assert orders[0] == orders[1] != sorted(orders[0])
    assert len({*orders[0]}) == 10


def test_the_model_understands_the_user_before_the_transcript_is_out() -> None:
    client = listening(
        Reply.text("Sunny.", when=lambda turn: "weather" in turn.user_text), delay=60.0
    )
    assert only(client.send(*SPEAK, ResponseCreate()), ResponseOutputTextDone).text == "Sunny."


def test_a_transcript_comes_although_its_item_is_gone() -> None:
    client = listening(delay=1.0, model="whisper-1")
    item_id = only(client.send(*SPEAK), InputAudioBufferCommitted).item_id
    client.send(ConversationItemDelete(item_id=item_id))
    assert (
        only(client.take(1.0), ConversationItemInputAudioTranscriptionCompleted).item_id == item_id
    )


def test_a_session_can_expire_before_its_transcripts_are_out() -> None:
    script = Script(transcription_delay=100.0)
    client = Client(server=SimulatedServer(script, expires_after=60.0))
    client.send(
        SessionUpdate(session=SessionConfig.of(transcription=Transcription(model="whisper-1"))),
        *SPEAK,
    )
    assert types(client.take(200)) == ["error"]


def test_a_transcription_session_gives_no_answers() -> None:
    client = Client(kind=SessionKind.TRANSCRIPTION)
    assert client.refused(ResponseCreate()).code == "invalid_parameter"


# --- responses ------------------------------------------------------------------------------------

TEXT_RESPONSE = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_text.delta*",
    "response.output_text.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]
CALL_OUTPUT = [
    "response.output_item.added",
    "conversation.item.added",
    "response.function_call_arguments.delta*",
    "response.function_call_arguments.done",
    "conversation.item.done",
    "response.output_item.done",
]


def test_a_text_response_has_its_events_in_order() -> None:
    client = Client(Reply.text("Hello, dear world!"), text=True)
    client.send(ConversationItemCreate(item=UserMessage.text("hi", id="question")))
    events = client.send(ResponseCreate(response=ResponseConfig(metadata={"a": "b"})))
    assert types(events) == TEXT_RESPONSE
    created = only(events, ResponseCreated).response
    assert created == Response(
        id=created.id,
        object="realtime.response",
        status="in_progress",
        conversation_id=created.conversation_id,
        metadata={"a": "b"},
        output_modalities=("text",),
        max_output_tokens="inf",
        audio=created.audio,
    )
    assert created.id.startswith("resp_")
    assert str(created.conversation_id).startswith("conv_")
    added = only(events, ResponseOutputItemAdded)
    assert added.item == AssistantMessage(id=added.item.id, status="in_progress", content=())
    assert only(events, ConversationItemAdded).previous_item_id == "question"
    assert only(events, ConversationItemDone).previous_item_id == "question"
    assert only(events, ConversationItemAdded).item == added.item
    assert only(events, ResponseContentPartAdded).part == ContentPart(type="text", text="")
    deltas = of_type(events, ResponseOutputTextDelta)
    assert [delta.delta for delta in deltas] == ["Hello", ",", " dear", " world", "!"]
    assert all(delta.obfuscation for delta in deltas)
    assert {(delta.response_id, delta.item_id) for delta in deltas} == {(created.id, added.item.id)}
    assert only(events, ResponseContentPartDone).part == ContentPart(
        type="text", text="Hello, dear world!"
    )
    item = AssistantMessage(
        id=added.item.id, status="completed", content=[OutputText("Hello, dear world!")]
    )
    assert (
        only(events, ResponseOutputItemDone).item == only(events, ConversationItemDone).item == item
    )
    done = only(events, ResponseDone).response
    assert done == attrs.evolve(created, status="completed", output=(item,), usage=done.usage)
    assert client.item(str(added.item.id)) == item


def test_a_spoken_response_has_its_events_in_order_and_its_transcript_ahead() -> None:
    samples = np.arange(24_000, dtype=np.int16)
    client = Client(Reply.speech("One two three four five six.", samples))
    events = client.send(ResponseCreate())
    flow = [event.type.removeprefix("response.") for event in events]
    assert [name for name in flow if not name.endswith("delta")] == [
        "created",
        "output_item.added",
        "conversation.item.added",
        "content_part.added",
        "output_audio.done",
        "output_audio_transcript.done",
        "content_part.done",
        "conversation.item.done",
        "output_item.done",
        "done",
        "rate_limits.updated",
    ]
    assert (
        "".join(name[len("output_audio")] for name in flow if name.endswith("delta"))
        == "___.__._._.."
    )
    assert (
        "".join(delta.delta for delta in of_type(events, ResponseOutputAudioTranscriptDelta))
        == "One two three four five six."
    )
    deltas = of_type(events, ResponseOutputAudioDelta)
    assert [len(delta.delta.samples) for delta in deltas] == [4800] * 5
    assert np.array_equal(np.concatenate([delta.delta.samples for delta in deltas]), samples)
    assert only(events, ResponseContentPartAdded).part == ContentPart(type="audio", transcript="")
    assert only(events, ResponseContentPartDone).part == ContentPart(
        type="audio", transcript="One two three four five six."
    )
    done = only(events, ResponseDone).response
    assert isinstance(done.output[0], AssistantMessage)
    assert done.output[0].content == (OutputAudio(transcript="One two three four five six."),)
    assert done.usage is not None
    assert done.usage.output_token_details is not None
    assert (
        done.usage.output_token_details.audio_tokens,
        done.usage.output_token_details.text_tokens,
    ) == (20, 7)


def test_a_text_is_spoken_and_speech_is_written_as_the_modality_wants_it() -> None:
    client = Client(Reply.text("Hi there."), Reply.speech("Hi there.", np.zeros(100, np.int16)))
    spoken = client.send(ResponseCreate())
    samples = np.concatenate(
        [delta.delta.samples for delta in of_type(spoken, ResponseOutputAudioDelta)]
    )
    assert np.array_equal(samples, synthesize_speech("Hi there."))
    assert (
        types(client.send(ResponseCreate(response=ResponseConfig(output_modalities=("text",)))))
        == TEXT_RESPONSE
    )


@pytest.mark.parametrize("codec", ["pcmu", "pcma"])
def test_speech_comes_in_the_format_of_the_session(codec: str) -> None:
    samples = (8000 * np.sin(np.arange(24_000) / 20)).astype(np.int16)
    client = Client(Reply.speech("One.", samples))
    client.send(
        SessionUpdate(session=SessionConfig.of(output_format=AudioFormat(type="audio/pcmu")))
    )
    asked = ResponseAudioConfig(
        output=ResponseAudioOutputConfig(format=AudioFormat(type=f"audio/{codec}"), voice="echo")
    )
    events = client.send(ResponseCreate(response=ResponseConfig(audio=asked)))
    data = b"".join(delta.delta.data for delta in of_type(events, ResponseOutputAudioDelta))
    assert len(data) == 8000
    assert (data == mulaw_encode(resample(samples, 24_000, 8_000))) == (codec == "pcmu")
    report = only(events, ResponseDone).response.audio
    assert report is not None
    assert report.output is not None
    assert (report.output.format, report.output.voice) == (
        AudioFormat(type=f"audio/{codec}"),
        "echo",
    )
    item_id = str(only(events, ResponseOutputItemAdded).item.id)
    assert client.item(item_id).content[0].audio.data == data
    client.send(ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=10))
    assert client.item(item_id).content[0].audio.data == data[:80]


def test_the_synthetic_voice_keeps_to_the_sessions_speed() -> None:
    client = Client(Reply.text("Hi there."))
    client.send(SessionUpdate(session=SessionConfig.of(speed=1.5)))
    events = client.send(ResponseCreate())
    size = sum(len(delta.delta.samples) for delta in of_type(events, ResponseOutputAudioDelta))
    assert size == len(synthesize_speech("Hi there.", speed=1.5))


def test_a_call_has_its_events_in_order() -> None:
    client = Client(Reply.calls(Call("get_weather", {"city": "Paris"}, call_id="call_mine")))
    events = client.send(ResponseCreate())
    assert types(events) == [
        "response.created",
        *CALL_OUTPUT,
        "response.done",
        "rate_limits.updated",
    ]
    added = only(events, ResponseOutputItemAdded)
    assert added.item == FunctionCall(
        id=added.item.id,
        status="in_progress",
        name="get_weather",
        call_id="call_mine",
        arguments="",
    )
    done = only(events, ResponseFunctionCallArgumentsDone)
    assert (done.name, done.call_id, done.arguments) == (
        "get_weather",
        "call_mine",
        '{"city":"Paris"}',
    )
    assert (
        "".join(delta.delta for delta in of_type(events, ResponseFunctionCallArgumentsDelta))
        == done.arguments
    )
    item = FunctionCall(
        id=added.item.id,
        status="completed",
        name="get_weather",
        call_id="call_mine",
        arguments='{"city":"Paris"}',
    )
    assert (
        only(events, ResponseOutputItemDone).item == only(events, ConversationItemDone).item == item
    )
    assert only(events, ResponseDone).response.output == (item,)
    answered = client.send(
        ConversationItemCreate(item=FunctionCallOutput(call_id="call_mine", output="21")),
        ResponseCreate(),
    )
    assert "The function returned: 21" in str(only(answered, ResponseDone).response.output)


def test_several_outputs_come_one_after_the_other() -> None:
    client = Client(Reply.text("Let me look.").then(LOOK).then(Reply.call("listen")), text=True)
    events = client.send(ResponseCreate())
    assert types(events) == [
        *TEXT_RESPONSE[:-2],
        *CALL_OUTPUT,
        *CALL_OUTPUT,
        "response.done",
        "rate_limits.updated",
    ]
    added = of_type(events, ResponseOutputItemAdded)
    assert [event.output_index for event in added] == [0, 1, 2]
    assert [event.item.id for event in added] == [
        item.id for item in only(events, ResponseDone).response.output
    ]
    calls = [
        item.call_id
        for item in only(events, ResponseDone).response.output
        if isinstance(item, FunctionCall)
    ]
    assert len({*calls}) == 2
    assert [len(call or "") for call in calls] == [21, 21]
    assert [event.previous_item_id for event in of_type(events, ConversationItemAdded)] == [
        None,
        added[0].item.id,
        added[1].item.id,
    ]


def test_a_failed_response_says_why_and_sends_no_error() -> None:
    client = Client(Reply.fail("inference_rate_limit_exceeded", "Slow down."))
    events = client.send(ResponseCreate())
    assert types(events) == ["response.created", "response.done", "rate_limits.updated"]
    response = only(events, ResponseDone).response
    assert response.status == "failed"
    assert response.status_details == ResponseStatusDetails(
        type="failed",
        error=ResponseErrorDetail(
            type="server_error", code="inference_rate_limit_exceeded", message="Slow down."
        ),
    )
    assert response.output == ()


def test_a_response_can_fail_after_it_said_something() -> None:
    client = Client(Reply.text("Well").then(Reply.fail(None, "Oops.")), text=True)
    response = only(client.send(ResponseCreate()), ResponseDone).response
    assert response.status == "failed"
    assert [getattr(item, "status", None) for item in response.output] == ["completed"]


@pytest.mark.parametrize(
    ("reply", "modality", "limit", "said"),
    [
        (Reply.text("one two three four"), "text", 2, [OutputText("one two")]),
        (
            Reply.speech("one two three four", np.zeros(4800, np.int16)),
            "audio",
            2,
            [OutputAudio(transcript="one two")],
        ),
        (
            Reply.speech("one", np.zeros(48_000, np.int16)),
            "audio",
            6,
            [OutputAudio(transcript="one")],
        ),
    ],
)
def test_a_response_that_gets_too_long_is_cut(
    reply: Reply, modality: Any, limit: int, said: list[Any]
) -> None:
    client = Client(reply.then(LOOK))
    config = ResponseConfig(output_modalities=(modality,), max_output_tokens=limit)
    events = client.send(ResponseCreate(response=config))
    response = only(events, ResponseDone).response
    assert response.status == "incomplete"
    assert response.status_details == ResponseStatusDetails(
        type="incomplete", reason="max_output_tokens"
    )
    assert response.max_output_tokens == limit
    (item,) = response.output
    assert isinstance(item, AssistantMessage)
    assert item == AssistantMessage(id=item.id, status="incomplete", content=said)
    assert usage(events).output_tokens <= limit


def test_a_call_that_gets_too_long_is_incomplete() -> None:
    client = Client(LOOK)
    client.send(SessionUpdate(session=SessionConfig(max_output_tokens=1)))
    (item,) = only(client.send(ResponseCreate()), ResponseDone).response.output
    assert isinstance(item, FunctionCall)
    assert (item.status, item.arguments) == ("incomplete", "{")


def test_an_empty_reply_is_an_empty_response() -> None:
    client = Client(Reply(), Reply.text(""), Reply.text(""))
    assert types(client.send(ResponseCreate())) == [
        "response.created",
        "response.done",
        "rate_limits.updated",
    ]
    assert "response.output_audio.done" in types(client.send(ResponseCreate()))
    client.send(SessionUpdate(session=SessionConfig(output_modalities=("text",))))
    assert types(client.send(ResponseCreate())) == [
        name for name in TEXT_RESPONSE if "delta" not in name
    ]


# --- one at a time, and out of band ---------------------------------------------------------------


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


# --- time and cancelling --------------------------------------------------------------------------


def test_a_paced_reply_comes_in_its_own_time() -> None:
    client = Client(Reply.text("one two three", pacing=SLOW), text=True)
    assert types(client.send(ResponseCreate())) == ["response.created"]
    assert client.server.next_due == 1.0
    assert client.take(now=0.9) == []
    assert types(client.take(now=1.0)) == [*TEXT_RESPONSE[1:4], "response.output_text.delta"]
    assert client.server.next_due == 2.0
    assert types(client.take(now=2.5)) == ["response.output_text.delta"]
    assert types(client.take(now=3.0)) == ["response.output_text.delta", *TEXT_RESPONSE[5:]]
    assert client.server.next_due == 3600.0


def test_speech_comes_a_multiple_of_its_own_speed() -> None:
    client = Client(
        Reply.speech(
            "One two three four.", np.zeros(48_000, np.int16), pacing=Pacing(audio_speed=4.0)
        )
    )
    events = client.send(ResponseCreate())
    for now in (0.1, 0.2, 0.3, 0.4):
        events += client.take(now)
    assert len(of_type(events, ResponseOutputAudioDelta)) == 9
    assert types(client.take(now=0.45))[-1] == "rate_limits.updated"


def test_a_call_is_paced_like_text() -> None:
    client = Client(Reply.calls(Call("f", "a b"), pacing=SLOW))
    client.send(ResponseCreate())
    assert "response.function_call_arguments.delta" in types(client.take(now=1.0))
    assert "response.done" in types(client.take(now=2.0))


def test_a_script_sets_the_pace_of_replies_without_their_own() -> None:
    client = Client(server=SimulatedServer(Script([Reply.text("a")], pacing=SLOW)))
    assert types(client.send(ResponseCreate())) == ["response.created"]


def test_what_waits_to_be_taken_is_due() -> None:
    server = SimulatedServer(Script())
    due = [server.next_due]
    server.connect(5.0)
    due.append(server.next_due)
    server.take_due(5.0)
    assert [*due, server.next_due] == [None, 5.0, 3605.0]


def test_a_clock_that_goes_back_does_no_harm() -> None:
    client = Client(Reply.text("a b", pacing=SLOW), text=True)
    client.send(ResponseCreate(), now=10)
    assert client.take(now=5) == []
    assert "response.output_text.delta" in types(client.take(now=11.0))


def test_cancelling_closes_everything_that_is_open() -> None:
    client = Client(
        Reply.speech(
            "One two three four five.", np.arange(48_000, dtype=np.int16), pacing=SLOW
        ).then(LOOK)
    )
    before = client.send(ResponseCreate()) + client.take(now=1.5)
    assert types(before)[-1].endswith("delta")
    events = client.send(ResponseCancel())
    assert types(events) == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]
    said = "".join(delta.delta for delta in of_type(before, ResponseOutputAudioTranscriptDelta))
    heard = b"".join(delta.delta.data for delta in of_type(before, ResponseOutputAudioDelta))
    assert 0 < len(heard) < 96_000
    response = only(events, ResponseDone).response
    assert response.status == "cancelled"
    assert response.status_details == ResponseStatusDetails(
        type="cancelled", reason="client_cancelled"
    )
    assert response.usage is not None
    (item,) = response.output
    assert isinstance(item, AssistantMessage)
    assert item == AssistantMessage(
        id=item.id, status="incomplete", content=[OutputAudio(transcript=said)]
    )
    assert client.take(now=100) == []
    assert client.item(str(item.id)).content == (OutputAudio(AudioData(heard), said),)


def test_cancel_and_truncate_in_one_go_both_succeed() -> None:
    client = Client(
        Reply.speech("One two three four five.", np.arange(48_000, dtype=np.int16), pacing=SLOW)
    )
    item_id = str(
        only(client.send(ResponseCreate()) + client.take(now=1.5), ResponseOutputItemAdded).item.id
    )
    events = client.send(
        ResponseCancel(),
        ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=100),
    )
    assert types(events)[-3:] == [
        "response.done",
        "rate_limits.updated",
        "conversation.item.truncated",
    ]


def test_what_is_finished_when_the_rest_is_cancelled_stays_finished() -> None:
    reply = (
        Reply.text("Look", pacing=Pacing(tokens_per_second=1.0))
        .then(Reply.calls(Call("f", "a b c")))
        .then(LOOK)
    )
    client = Client(reply, text=True)
    client.send(ResponseCreate())
    client.take(now=1.0)
    events = client.send(ResponseCancel())
    assert types(events) == [
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]
    outputs = only(events, ResponseDone).response.output
    assert [getattr(item, "status", None) for item in outputs] == ["completed", "incomplete"]


def test_a_response_can_be_cancelled_before_it_says_anything() -> None:
    client = Client(Reply.text("a", pacing=SLOW))
    client.send(ResponseCreate())
    events = client.send(ResponseCancel())
    assert types(events) == ["response.done", "rate_limits.updated"]
    assert only(events, ResponseDone).response.output == ()
    assert types(client.send(ResponseCreate()))[0] == "response.created"


def test_cancelling_nothing_is_refused() -> None:
    client = Client(Reply.text("a", pacing=SLOW))
    assert (
        client.refused(ResponseCancel()).message == "Cancellation failed: no active response found"
    )
    client.send(ResponseCreate())
    error = client.refused(ResponseCancel(response_id="resp_x", event_id="mine"))
    assert (error.code, error.event_id) == ("response_cancel_not_active", "mine")
    assert client.take(now=60) != []


def test_an_out_of_band_response_is_cancelled_by_its_id() -> None:
    client = Client(Reply.text("a b", pacing=SLOW), Reply.text("c d", pacing=SLOW))
    client.send(ResponseCreate())
    aside = only(
        client.send(ResponseCreate(response=ResponseConfig(conversation="none"))), ResponseCreated
    ).response.id
    assert only(client.send(ResponseCancel(response_id=aside)), ResponseDone).response.id == aside
    assert only(client.take(now=60), ResponseDone).response.status == "completed"
    assert client.refused(ResponseCancel()).code == "response_cancel_not_active"


def test_what_was_due_before_a_cancel_is_said_before_it() -> None:
    client = Client(Reply.text("one two", pacing=SLOW), text=True)
    client.send(ResponseCreate())
    events = client.send(ResponseCancel(), now=1.5)
    assert [delta.delta for delta in of_type(events, ResponseOutputTextDelta)] == ["one"]


def test_deleting_the_item_of_a_running_response_does_not_disturb_it() -> None:
    client = Client(Reply.text("one two", pacing=SLOW), text=True)
    client.send(ResponseCreate())
    item_id = str(only(client.take(now=1.0), ResponseOutputItemAdded).item.id)
    assert client.item(item_id).status == "in_progress"
    assert types(client.send(ConversationItemDelete(item_id=item_id))) == [
        "conversation.item.deleted"
    ]
    assert only(client.take(now=60), ResponseDone).response.status == "completed"


# --- usage and ids --------------------------------------------------------------------------------


def test_audio_is_billed_by_its_length_and_text_by_its_pieces() -> None:
    client = Client(Reply.speech("Yes.", np.zeros(24_000, np.int16)), Reply.text("No."))
    client.send(SessionUpdate(session=SessionConfig(instructions="")))
    client.send(InputAudioBufferAppend(audio=audio(1050)), InputAudioBufferCommit())
    first = usage(client.send(ResponseCreate()))
    assert first.input_token_details is not None
    assert (first.input_token_details.audio_tokens, first.input_token_details.text_tokens) == (
        11,
        0,
    )
    assert (first.input_tokens, first.output_tokens, first.total_tokens) == (11, 22, 33)
    second = usage(client.send(ResponseCreate()))
    assert second.input_token_details is not None
    assert (second.input_token_details.audio_tokens, second.input_token_details.text_tokens) == (
        31,
        2,
    )


def test_what_was_read_before_is_cached_in_blocks_of_64() -> None:
    client = Client(text=True)
    client.send(SessionUpdate(session=SessionConfig(instructions="word " * 200)))
    client.send(ConversationItemCreate(item=FunctionCall(name="f", arguments="{}", call_id="c")))
    client.send(ConversationItemCreate(item=FunctionCallOutput(call_id="c", output="7")))
    client.send(ConversationItemCreate(item=UserMessage.audio(audio(15_000))))
    reads = [usage(client.send(ResponseCreate())).input_token_details for _ in range(2)]
    apart = usage(
        client.send(ResponseCreate(response=ResponseConfig(conversation="none")))
    ).input_token_details
    first, second = reads
    assert first is not None
    assert second is not None
    assert apart is not None
    assert (first.cached_tokens, apart.cached_tokens) == (0, 0)
    assert second.cached_tokens_details is not None
    cached = (second.cached_tokens_details.text_tokens, second.cached_tokens_details.audio_tokens)
    assert cached == (192, 128)
    assert second.cached_tokens == 320


def test_the_account_is_told_what_it_has_left() -> None:
    events = Client(text=True).send(ResponseCreate())
    (limit,) = only(events, RateLimitsUpdated).rate_limits
    assert limit.name == "tokens"
    assert limit.limit is not None
    assert limit.remaining == limit.limit - usage(events).total_tokens


def test_ids_look_like_those_of_the_service_and_are_the_same_in_every_run() -> None:
    first, second = sequential_ids(), sequential_ids()
    assert first("item_") == second("item_") == "item_000000000000000000001"
    assert len(first("call_")) == len("call_") + 16
    ids = [first("x") for _ in range(100)]
    assert len({*ids}) == 100
    assert ids[-1] == f"x{'1e'.rjust(21, '0')}"


def test_ids_can_be_made_elsewhere() -> None:
    numbers = iter(range(1000))
    client = Client(new_id=lambda prefix: f"{prefix}{next(numbers)}")
    assert client.created.session.id == "sess_0"


def test_an_item_of_the_server_never_takes_an_id_of_the_client() -> None:
    names = iter(
        [
            "sess_1",
            "conv_1",
            "event_1",
            "call_1",
            "event_2",
            "event_3",
            "item_1",
            "item_2",
            "call_2",
            "event_4",
            "event_5",
        ]
    )
    client = Client(new_id=lambda _prefix: next(names))
    added = [
        only(client.send(ConversationItemCreate(item=item)), ConversationItemAdded).item.id
        for item in (UserMessage.text("x", id="item_1"), UserMessage.text("x"))
    ]
    assert added == ["item_1", "item_2"]


# --- whatever a client sends ----------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "root", "", "item_000000000000000000009", "x" * 33])
ITEMS = st.one_of(
    st.builds(
        lambda text, name: UserMessage.text(text, id=name or None), st.text(max_size=5), NAMES
    ),
    st.builds(
        lambda size, name: UserMessage.audio(bytes(size), id=name or None),
        st.integers(0, 9000),
        NAMES,
    ),
    st.builds(lambda name: FunctionCall(name="f", arguments="{}", call_id=name or None), NAMES),
    st.builds(lambda name: FunctionCallOutput(call_id=name, output="x"), NAMES),
    st.just(UnknownObject("gizmo", {"type": "gizmo"})),
)
FORMATS = st.sampled_from(
    [AudioFormat.pcm(), AudioFormat.pcmu(), AudioFormat.pcma(), AudioFormat(type="x")]
)
UPDATES = st.one_of(
    st.builds(lambda f: SessionConfig.of(input_format=f), FORMATS),
    st.builds(lambda f: SessionConfig.of(output_format=f), FORMATS),
    st.sampled_from(
        [
            SessionConfig(output_modalities=("text",)),
            SessionConfig(output_modalities=("audio",)),
            SessionConfig.of(voice="cedar", speed=1.5),
            SessionConfig.of(transcription=Transcription(model="whisper-1"), turn_detection=None),
            SessionConfig.of(turn_detection=SemanticVad(), tracing="auto"),
            SessionConfig.of(
                turn_detection=ServerVad(silence_duration_ms=0, interrupt_response=False)
            ),
            TranscriptionSessionConfig(),
        ]
    ),
)
RESPONSES = st.builds(
    ResponseConfig,
    conversation=st.sampled_from([None, "auto", "none", "x"]),
    output_modalities=st.sampled_from([None, ("text",), ("audio",), ()]),
    max_output_tokens=st.sampled_from([None, 1, 5, "inf"]),
    input=st.one_of(
        st.none(),
        st.lists(st.one_of(ITEMS, st.builds(ItemReference, id=NAMES)), max_size=2).map(tuple),
    ),
)
CLIENT_EVENTS = st.one_of(
    st.builds(ConversationItemCreate, item=ITEMS, previous_item_id=st.one_of(st.none(), NAMES)),
    st.builds(ConversationItemDelete, item_id=NAMES),
    st.builds(ConversationItemRetrieve, item_id=NAMES),
    st.builds(
        ConversationItemTruncate,
        item_id=NAMES,
        content_index=st.integers(-1, 1),
        audio_end_ms=st.integers(-1, 500),
    ),
    st.builds(InputAudioBufferAppend, audio=st.integers(0, 9000).map(bytes)),
    st.builds(
        InputAudioBufferAppend,
        audio=st.integers(0, 9000).map(lambda size: 0.5 * np.sin(np.arange(size))),
    ),
    st.builds(
        lambda text: InputAudioBufferAppend(audio=AudioData.from_base64(text)), st.just("%%%%")
    ),
    st.just(InputAudioBufferCommit()),
    st.just(InputAudioBufferClear()),
    st.builds(SessionUpdate, session=UPDATES),
    st.builds(ResponseCreate, response=st.one_of(st.none(), RESPONSES)),
    st.builds(ResponseCancel, response_id=st.one_of(st.none(), NAMES)),
    st.builds(
        UnknownEvent,
        type=st.text(max_size=3),
        raw=st.sampled_from([b"", {}, "x"]),
        problem=st.sampled_from([None, "not JSON", "odd"]),
    ),
)
PACINGS = st.sampled_from(
    [
        None,
        Pacing(time_to_first_event=0.5, tokens_per_second=4.0, audio_speed=2.0),
        Pacing(audio_speed=0.5),
    ]
)
REPLIES = st.one_of(
    st.builds(lambda pacing: Reply.text("One two three.", pacing=pacing), PACINGS),
    st.builds(
        lambda pacing: Reply.speech("Yes.", np.zeros(9600, np.int16), pacing=pacing).then(LOOK),
        PACINGS,
    ),
    st.builds(lambda pacing: Reply.calls(Call("f"), Call("g", "a b c"), pacing=pacing), PACINGS),
    st.builds(Reply.fail, st.just("x"), st.just("y")),
)


def check_order(events: Sequence[Event]) -> None:
    """What must hold of everything a server ever says."""
    ids = [event.event_id for event in events if isinstance(event, ServerEvent)]
    assert len(ids) == len(events) == len({*ids})
    created = [event.response.id for event in of_type(events, ResponseCreated)]
    done = [event.response.id for event in of_type(events, ResponseDone)]
    assert Counter(created) == Counter(done)
    assert len({*created}) == len(created)
    active: str | None = None
    open_items: Counter[str | None] = Counter()
    open_outputs: set[tuple[str, int]] = set()
    for event in events:
        match event:
            case ResponseCreated(response=Response(id=name, conversation_id=str())):
                assert active is None
                active = name
            case ResponseDone(response=response):
                assert not any(owner == response.id for owner, _ in open_outputs)
                active = None if active == response.id else active
                assert response.status in ("completed", "cancelled", "incomplete", "failed")
            case ConversationItemAdded(item=item):
                open_items[item.id] += 1
            case ConversationItemDone(item=item):
                assert open_items[item.id] > 0
                open_items[item.id] -= 1
            case ResponseOutputItemAdded(response_id=owner, output_index=index):
                open_outputs.add((owner, index))
            case ResponseOutputItemDone(response_id=owner, output_index=index):
                open_outputs.remove((owner, index))
            case (
                ResponseOutputTextDelta()
                | ResponseOutputAudioDelta()
                | ResponseFunctionCallArgumentsDelta()
            ):
                assert (event.response_id, event.output_index) in open_outputs
    assert active is None
    assert not +open_items
    assert not open_outputs


@given(
    kind=st.sampled_from([SessionKind.REALTIME, SessionKind.REALTIME, SessionKind.TRANSCRIPTION]),
    replies=st.lists(REPLIES, max_size=4),
    delay=st.sampled_from([0.0, 0.3, 100.0]),
    steps=st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.6]), CLIENT_EVENTS), max_size=25),
)
def test_nothing_a_client_sends_breaks_the_server(
    kind: SessionKind, replies: list[Reply], delay: float, steps: list[tuple[float, Event]]
) -> None:
    client = Client(
        server=SimulatedServer(
            Script(replies, transcripts=["x", None], transcription_delay=delay), kind=kind
        )
    )
    theirs = client._theirs
    said: list[Event] = []
    now = 0.0
    for pause, event in steps:
        now += pause
        client.server.receive(event, now)
        if pause:
            said += client.take(now)
    while (due := client.server.next_due) is not None and due < 3600:
        said += client.take(due)
    check_order(said)
    assert all(theirs.encode(event) for event in said)
    assert isinstance(client.take(3600)[-1], ErrorEvent)
    assert client.server.close == Close(1001, "session_expired")
