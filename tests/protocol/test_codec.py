"""Who may send what: in either role, for every kind of session, in every dialect."""

from __future__ import annotations

import copy
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from coding import (
    AUDIO_TEXT,
    BETA_CLIENT,
    CODECS,
    EVERY_EVENT,
    FEWER,
    TRANSLATION,
    ChangesItsMind,
    audio_delta,
    created,
    decode,
    ends,
    payload_of,
)
from hypothesis import given, strategies as st
from strategies import any_client_event, events

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio.errors import (
    LocalProtocolError,
    RemoteProtocolError,
)
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDone,
    ErrorDetail,
    ErrorEvent,
    Event,
    InputAudioBufferClear,
    InputAudioBufferSpeechStarted,
    RealtimeSession,
    SemanticVad,
    SessionAudio,
    SessionAudioInput,
    SessionAudioOutput,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    TranscriptionSession,
    TranslationSessionClose,
    TranslationSessionConfig,
    TranslationSessionCreated,
    TranslationSessionUpdate,
    UnknownEvent,
    UserMessage,
)

# --- what is fine ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("cls", "sender", "kind"), EVERY_EVENT)
@FEWER
@given(data=st.data())
def test_decoding_undoes_encoding(
    cls: type[Event], sender: Role, kind: SessionKind, data: st.DataObject
) -> None:
    sending, receiving = ends(sender, kind)
    event = data.draw(events(cls))
    text = sending.encode(event)
    decoded = receiving.decode(text)
    assert type(decoded) is cls
    assert decoded == event
    assert receiving.decode(text.encode()) == event
    assert pickle.loads(pickle.dumps(decoded)) == copy.deepcopy(decoded) == event


@given(any_client_event())
def test_transcription_sessions_speak_the_events_of_voice_sessions(event: Event) -> None:
    sending, receiving = ends(Role.CLIENT, SessionKind.TRANSCRIPTION)
    assert receiving.decode(sending.encode(event)) == event
    assert sending.encode(event) == Codec().encode(event)


def test_importing_builds_nothing_and_the_first_event_builds_only_what_it_needs() -> None:
    program = """
from realtime_trio._protocol.codec import Codec
codec = Codec()
assert not codec._incoming
codec.decode('{"type": "input_audio_buffer.cleared", "event_id": "e"}')
assert list(codec._incoming) == ["input_audio_buffer.cleared"]
assert not codec._outgoing
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_translation_session_is_configured_without_a_type() -> None:
    update = TranslationSessionUpdate(
        session=TranslationSessionConfig.of(language="es", noise_reduction=None)
    )
    assert payload_of(update, Role.CLIENT, TRANSLATION) == {
        "type": "session.update",
        "session": {"audio": {"input": {"noise_reduction": None}, "output": {"language": "es"}}},
    }


def test_the_kind_of_session_decides_what_a_shared_name_means() -> None:
    payload = {
        "type": "session.created",
        "event_id": "e",
        "session": {"id": "s", "expires_at": 1, "model": "m", "audio": {}},
    }
    assert type(decode(payload)) is SessionCreated
    assert type(decode(payload, Codec(kind=TRANSLATION))) is TranslationSessionCreated
    assert type(decode({"type": "response.done"}, Codec(kind=TRANSLATION))) is UnknownEvent


def test_a_session_is_realtime_unless_it_says_otherwise() -> None:
    untyped, transcription = (
        {"type": "session.created", "event_id": "e", "session": s}
        for s in ({}, {"type": "transcription"})
    )
    assert decode(untyped) == SessionCreated(event_id="e", session=RealtimeSession())
    assert decode(transcription) == SessionCreated(event_id="e", session=TranscriptionSession())


@pytest.mark.parametrize(
    "data",
    [
        "",
        "nope",
        "{",
        b"\xff\xfe",
        b'{"type": "\xff"}',
        "[" * 5000,
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": "\ud800"}',
        "{}" * 2000,
        b"\xff" * 2000,
    ],
    ids=[
        "empty",
        "word",
        "open",
        "bytes",
        "not UTF-8",
        "deep",
        "NaN",
        "infinite",
        "surrogate",
        "long",
        "long bytes",
    ],
)
def test_what_is_not_json_is_kept_as_it_came(data: str | bytes) -> None:
    event = Codec().decode(data)
    assert isinstance(event, UnknownEvent)
    assert (event.type, event.event_id, event.raw) == ("", "", data)
    assert event.problem is not None
    assert event.problem.startswith("not JSON: ")
    with pytest.raises(RemoteProtocolError, match=r"^cannot decode message: not JSON: "):
        Codec(strict=True).decode(data)


@pytest.mark.parametrize("wire_type", ["response.hologram.delta", "session.update", ""])
def test_an_unknown_type_is_no_problem_unless_strict(wire_type: str) -> None:
    payload = {"type": wire_type, "event_id": "e", "x": [1]}
    assert decode(payload) == UnknownEvent(type=wire_type, event_id="e", raw=payload, problem=None)
    assert decode({**payload, "event_id": 5}) == UnknownEvent(
        type=wire_type, event_id="", raw={**payload, "event_id": 5}, problem=None
    )
    with pytest.raises(
        RemoteProtocolError, match=f"^cannot decode {wire_type or 'message'}: unknown event type$"
    ):
        decode(payload, Codec(strict=True))


def test_a_strict_codec_quotes_an_unknown_type_legibly() -> None:
    with pytest.raises(RemoteProtocolError, match=r"^cannot decode \\x1bx+\.\.\. ") as caught:
        decode({"type": "\x1b" + "x" * 10_000}, Codec(strict=True))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize(
    "message",
    [
        '{"type":"response.hologram.delta","event_id":"e","shape":{"sides":6}}',
        '{"type":"response.done","event_id":"e","response":"done"}',
        '{"event_id":"e"}',
    ],
    ids=["of another version", "of another shape", "without a type"],
)
def test_a_server_passes_on_what_it_does_not_know_as_it_came(
    message: str, dialect: Dialect
) -> None:
    event = Codec(dialect=dialect).decode(message)
    assert isinstance(event, UnknownEvent)
    assert Codec(Role.SERVER, dialect).encode(event) == message


def test_what_is_passed_on_must_still_be_json() -> None:
    event = UnknownEvent(type="x", raw={"type": "x", "shape": object()})
    with pytest.raises(LocalProtocolError, match=r"^cannot encode the message: "):
        Codec(Role.SERVER).encode(event)


def test_a_server_decodes_client_events_only() -> None:
    server = Codec(Role.SERVER)
    assert decode({"type": "input_audio_buffer.clear"}, server) == InputAudioBufferClear()
    assert decode({"type": "input_audio_buffer.cleared", "event_id": "e"}, server) == UnknownEvent(
        type="input_audio_buffer.cleared",
        event_id="e",
        raw={"type": "input_audio_buffer.cleared", "event_id": "e"},
        problem=None,
    )


@pytest.mark.parametrize(
    ("codec", "event", "problem"),
    [
        (
            Codec(),
            ErrorEvent(event_id="e", error=ErrorDetail(type="t", message="m")),
            "a client cannot send ErrorEvent in a realtime session",
        ),
        (
            Codec(Role.SERVER),
            InputAudioBufferClear(),
            "a server cannot send InputAudioBufferClear in a realtime session",
        ),
        (
            Codec(kind=TRANSLATION),
            InputAudioBufferClear(),
            "a client cannot send InputAudioBufferClear in a translation session",
        ),
        (
            Codec(),
            TranslationSessionClose(),
            "a client cannot send TranslationSessionClose in a realtime session",
        ),
        (
            Codec(kind=TRANSLATION),
            SessionUpdate(session=SessionConfig()),
            "a client cannot send SessionUpdate in a translation session; allowed: "
            "session.close, session.input_audio_buffer.append, ",
        ),
        (
            Codec(),
            UnknownEvent(type="response.create", raw={}),
            "a client cannot send UnknownEvent; allowed: send_raw()",
        ),
        *(
            (
                Codec(Role.SERVER),
                UnknownEvent(raw=raw, problem="not an object"),
                f"a server cannot pass on {name} as an event; allowed: ",
            )
            for raw, name in [("{broken", "a string"), (b"\xff", "bytes"), ([1], "a list")]
        ),
    ],
)
def test_events_that_belong_elsewhere_are_refused(codec: Codec, event: Event, problem: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        codec.encode(event)
    assert str(caught.value).startswith(problem)
    assert "; allowed: " in str(caught.value)


@pytest.mark.parametrize(
    "payload",
    [{"type": "x", "n": [1]}, MappingProxyType({"type": "x", "n": [1]}), '{"type":"x","n":[1]}'],
)
def test_raw_messages_are_sent_as_they_are(payload: Mapping[str, object] | str) -> None:
    for codec in CODECS:
        assert codec.encode_raw(payload) == '{"type":"x","n":[1]}'


@pytest.mark.parametrize("payload", [{"a": object()}, {1: "a"}, {"a": "\ud800"}, ChangesItsMind()])
def test_raw_messages_must_be_json(payload: Mapping[str, object]) -> None:
    with pytest.raises(LocalProtocolError, match=r"^cannot encode the message: "):
        Codec().encode_raw(payload)


def test_half_of_a_surrogate_pair_is_refused_and_not_quoted() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        Codec().encode_raw('{"secret": "\ud83d"}')
    assert str(caught.value) == (
        "cannot send the message: its character 12 is half of a surrogate pair, "
        "which UTF-8 cannot express"
    )


@pytest.mark.parametrize(
    ("payload", "name"),
    [([], "a list"), ([1], "a list"), (5, "an integer"), (None, "null"), (b"{}", "bytes")],
)
def test_raw_messages_must_be_objects(payload: object, name: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"^cannot send {name} as a message; allowed: "):
        Codec().encode_raw(payload)  # type: ignore[arg-type]  # as a user may


BETA_SERVER = Codec(Role.SERVER, Dialect.BETA, strict=True)


def test_a_beta_server_is_understood() -> None:
    old = {**audio_delta(), "type": "response.audio.delta"}
    assert decode(old, BETA_CLIENT) == decode(audio_delta())
    assert BETA_CLIENT.decode(
        json.dumps({**old, "delta": AUDIO_TEXT}, separators=(",", ":"))
    ) == decode(audio_delta(delta=AUDIO_TEXT))
    session = {
        "id": "s",
        "voice": "alloy",
        "modalities": ["text", "audio"],
        "input_audio_format": "pcm16",
        "turn_detection": None,
    }
    event = decode(created(**session), BETA_CLIENT)
    assert isinstance(event, SessionCreated)
    assert event.session == RealtimeSession(
        id="s",
        output_modalities=("audio",),
        audio=SessionAudio(
            input=SessionAudioInput(format=AudioFormat.pcm()),
            output=SessionAudioOutput(voice="alloy"),
        ),
    )


def test_a_beta_server_is_spoken_to_in_its_own_words() -> None:
    update = SessionUpdate(
        session=SessionConfig.of(
            voice="alloy", turn_detection=SemanticVad(), output_format=AudioFormat.pcmu()
        )
    )
    assert json.loads(BETA_CLIENT.encode(update)) == {
        "type": "session.update",
        "session": {
            "voice": "alloy",
            "turn_detection": {"type": "semantic_vad"},
            "output_audio_format": "g711_ulaw",
        },
    }
    assert BETA_SERVER.decode(BETA_CLIENT.encode(update)) == update


def test_a_beta_client_is_understood_and_answered() -> None:
    item = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "hi"}]}
    assert decode(
        {"type": "conversation.item.create", "item": item}, BETA_SERVER
    ) == ConversationItemCreate(item=AssistantMessage.text("hi"))
    answer = ConversationItemAdded(event_id="e", item=AssistantMessage.text("hi"))
    assert json.loads(BETA_SERVER.encode(answer)) == {
        "type": "conversation.item.created",
        "event_id": "e",
        "item": item,
        "previous_item_id": None,
    }


def test_what_the_beta_dialect_has_no_word_for_cannot_be_sent() -> None:
    with pytest.raises(
        LocalProtocolError, match=r"^the beta dialect has no event for conversation.item.done$"
    ):
        BETA_SERVER.encode(ConversationItemDone(event_id="e", item=AssistantMessage.text("hi")))


def test_events_that_beta_spells_alike_pass_unchanged() -> None:
    event = InputAudioBufferSpeechStarted(event_id="e", audio_start_ms=5, item_id="i")
    assert BETA_SERVER.encode(event) == Codec(Role.SERVER).encode(event)
    assert BETA_CLIENT.decode(BETA_SERVER.encode(event)) == event
    delete = ConversationItemDelete(item_id="i")
    assert BETA_SERVER.decode(BETA_CLIENT.encode(delete)) == delete


@pytest.mark.parametrize("data", ["nope", "[]", "{}", '{"type": 5}'])
def test_nonsense_is_nonsense_in_every_dialect(data: str) -> None:
    assert Codec(dialect=Dialect.BETA).decode(data) == Codec().decode(data)


# --- borders: what does not fit becomes an event or an error of ours ------------------------------


@pytest.mark.parametrize(
    ("data", "wire_type", "problem"),
    [
        ("no JSON", "", "not JSON: "),
        ("[]", "", "expected an object, got a list"),
        ("{}", "", "required field missing @ $.type"),
        ('{"type": 1}', "", "expected a string @ $.type"),
        ('{"type": "new"}', "new", None),
        ('{"type": "error", "event_id": "e"}', "error", "required field missing @ $.error"),
    ],
)
def test_what_cannot_be_decoded_is_an_unknown_event_or_if_strict_an_error(
    data: str, wire_type: str, problem: str | None
) -> None:
    event = Codec().decode(data)
    assert isinstance(event, UnknownEvent)
    assert event.type == wire_type
    assert (event.problem or "").startswith(problem or "")
    with pytest.raises(RemoteProtocolError, match=problem and re.escape(problem)):
        Codec(strict=True).decode(data)


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (
            ConversationItemDelete(item_id=None),  # type: ignore[arg-type]
            "expected a string, got null",
        ),
        (ConversationItemCreate(item=UserMessage.text("\ud800")), "surrogates"),
    ],
)
def test_what_cannot_be_encoded_is_a_local_error(event: Event, problem: str) -> None:
    with pytest.raises(LocalProtocolError, match=problem):
        Codec().encode(event)


@pytest.mark.parametrize(
    ("value", "kind"),
    [({"type": "response.create"}, "dict"), (None, "None"), (AudioFormat, "the class AudioFormat")],
)
def test_what_is_not_an_event_cannot_be_encoded(value: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=rf"an event such as ResponseCreate\(\), not {kind};"):
        Codec().encode(value)
