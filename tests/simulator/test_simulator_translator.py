"""The simulated interpreter against its specification: which events, when, with what inside.

Everything it says goes through a codec and a strict client's codec, so each of these tests also
checks what is on the wire.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from service_client import of_type

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._transport.contract import Close
from realtime_trio.audio import AudioData
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    ErrorDetail,
    ErrorEvent,
    Event,
    NoiseReduction,
    ResponseCreate,
    ServerEvent,
    Transcription,
    TranslationAudio,
    TranslationAudioConfig,
    TranslationAudioInput,
    TranslationAudioInputConfig,
    TranslationAudioOutput,
    TranslationAudioOutputConfig,
    TranslationSession,
    TranslationSessionClose,
    TranslationSessionClosed,
    TranslationSessionConfig,
    TranslationSessionCreated,
    TranslationSessionInputAudioBufferAppend,
    TranslationSessionInputTranscriptDelta,
    TranslationSessionOutputAudioDelta,
    TranslationSessionOutputTranscriptDelta,
    TranslationSessionUpdate,
    TranslationSessionUpdated,
    UnknownEvent,
)
from realtime_trio.simulator import Pacing, Script, SimulatedTranslator, synthesize_speech

GREETING = ("Guten Morgen, wie geht es Ihnen?", "Good morning, how are you?")
THANKS = ("Danke, gut.", "Fine, thanks.")
CLOSE = TranslationSessionClose()


class Client:
    """Encodes what the server says, and decodes it strictly."""

    def __init__(
        self, *translations: tuple[str, str], pacing: Pacing | None = None, **options: Any
    ) -> None:
        script = Script(translations=translations, pacing=pacing or Pacing())
        self.server = SimulatedTranslator(script, **options)
        self.now = 0.0
        self._theirs = Codec(Role.SERVER, kind=SessionKind.TRANSLATION)
        self._ours = Codec(Role.CLIENT, kind=SessionKind.TRANSLATION, strict=True)
        self.server.connect(self.now)
        (created,) = self.take()
        assert isinstance(created, TranslationSessionCreated)
        self.created = created.session

    def take(self, now: float | None = None) -> list[Event]:
        self.now = self.now if now is None else now
        events: list[Event] = []
        for event in self.server.take_due(self.now):
            received = self._ours.decode(self._theirs.encode(event))
            assert received == event
            events.append(received)
        return events

    def send(self, *events: Event, now: float | None = None) -> list[Event]:
        self.now = self.now if now is None else now
        for event in events:
            self.server.receive(self._theirs.decode(self._ours.encode(event)), self.now)
        return self.take()

    def say(self, message: str) -> ErrorDetail:
        """Send a raw message that is no good."""
        self.server.receive(self._theirs.decode(message), self.now)
        (error,) = self.take()
        assert isinstance(error, ErrorEvent)
        return error.error

    def refused(self, event: Event) -> ErrorDetail:
        """Send something that is wrong; return the refusal, which is all that came of it."""
        (error,) = self.send(event)
        assert isinstance(error, ErrorEvent)
        assert error.error.type == "invalid_request_error"
        return error.error

    def update(self, config: TranslationSessionConfig) -> TranslationSession:
        (updated,) = self.send(TranslationSessionUpdate(session=config))
        assert isinstance(updated, TranslationSessionUpdated)
        return updated.session


def audio(milliseconds: int) -> TranslationSessionInputAudioBufferAppend:
    return TranslationSessionInputAudioBufferAppend(
        audio=np.full(24 * milliseconds, 1000, np.int16)
    )


def said(events: Sequence[Event]) -> str:
    return "".join(
        event.delta for event in of_type(events, TranslationSessionOutputTranscriptDelta)
    )


def heard(events: Sequence[Event]) -> str:
    return "".join(event.delta for event in of_type(events, TranslationSessionInputTranscriptDelta))


def speech(events: Sequence[Event]) -> bytes:
    return b"".join(
        event.delta.data for event in of_type(events, TranslationSessionOutputAudioDelta)
    )


def positions(events: Sequence[Event]) -> list[int | None]:
    """Where in the audio the translated speech belongs."""
    return [event.elapsed_ms for event in of_type(events, TranslationSessionOutputAudioDelta)]


# --- the session ----------------------------------------------------------------------------------


def test_the_session_starts_with_nothing_switched_on() -> None:
    client = Client(model="some-model", epoch=1_000_000)
    assert client.created == TranslationSession(
        id=client.created.id,
        model="some-model",
        expires_at=1_003_600,
        audio=TranslationAudio(input=TranslationAudioInput(), output=TranslationAudioOutput()),
    )
    assert client.created.id.startswith("sess_")


def test_an_update_changes_what_it_names_and_the_answer_shows_everything() -> None:
    client = Client()
    client.update(
        TranslationSessionConfig.of(
            language="es", noise_reduction=NoiseReduction(type="near_field", strength=0.5)
        )
    )
    client.update(
        TranslationSessionConfig.of(transcription=Transcription(model="gpt-realtime-whisper"))
    )
    session = client.update(
        TranslationSessionConfig.of(noise_reduction=NoiseReduction(type="far_field"))
    )
    assert session.audio == TranslationAudio(
        input=TranslationAudioInput(
            transcription=Transcription(model="gpt-realtime-whisper"),
            noise_reduction=NoiseReduction(type="far_field", strength=0.5),
        ),
        output=TranslationAudioOutput(language="es"),
    )
    session = client.update(TranslationSessionConfig.of(transcription=None, noise_reduction=None))
    assert session.audio == TranslationAudio(
        input=TranslationAudioInput(), output=TranslationAudioOutput(language="es")
    )


def test_an_update_may_say_nothing_about_a_direction_or_about_its_parts() -> None:
    client = Client()
    parts = TranslationAudioConfig(
        input=TranslationAudioInputConfig(), output=TranslationAudioOutputConfig()
    )
    for config in (
        TranslationSessionConfig(),
        TranslationSessionConfig(audio=TranslationAudioConfig()),
        TranslationSessionConfig(audio=parts),
    ):
        assert client.update(config) == client.created


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"language": "klingon"}, "invalid_value", "session.audio.output.language"),
        (
            {"transcription": Transcription()},
            "missing_required_parameter",
            "session.audio.input.transcription.model",
        ),
        (
            {"transcription": Transcription(model="m", language="de")},
            "unknown_parameter",
            "session.audio.input.transcription.language",
        ),
        (
            {"noise_reduction": NoiseReduction(strength=1.0)},
            "missing_required_parameter",
            "session.audio.input.noise_reduction.type",
        ),
    ],
)
def test_a_wrong_update_is_refused_as_a_whole(
    change: dict[str, Any], code: str, param: str
) -> None:
    client = Client()
    error = client.refused(
        TranslationSessionUpdate(
            event_id="mine", session=TranslationSessionConfig.of(**({"language": "es"} | change))
        )
    )
    assert (error.code, error.param, error.event_id) == (code, param, "mine")
    assert client.update(TranslationSessionConfig()) == client.created


def test_the_session_expires_with_an_error_and_a_close_even_while_it_is_being_closed() -> None:
    client = Client(GREETING, pacing=Pacing(audio_speed=0.01), expires_after=60.0)
    client.send(audio(200), CLOSE)
    events = client.take(now=60)
    assert isinstance(events[-1], ErrorEvent)
    assert events[-1].error.code == "session_expired"
    assert client.server.close == Close(1001, "session_expired")
    assert client.server.next_due is None
    assert client.take(now=120) == []


def test_a_session_need_not_expire() -> None:
    client = Client(expires_after=math.inf)
    assert client.created.expires_at == 0
    assert client.server.next_due is None


def test_misuse_by_the_program_around_it_is_reported_to_that_program() -> None:
    server = SimulatedTranslator(Script())
    with pytest.raises(LocalProtocolError, match="only after `connect`"):
        server.receive(CLOSE, 0)
    server.connect(0)
    with pytest.raises(LocalProtocolError, match="server of its own"):
        server.connect(1)
    with pytest.raises(LocalProtocolError, match="not TranslationSessionClosed"):
        server.receive(TranslationSessionClosed(event_id="x"), 0)


# --- translating ----------------------------------------------------------------------------------


def test_a_phrase_is_spread_over_the_frames_that_its_translation_takes_to_be_spoken() -> None:
    client = Client(GREETING)
    frames = [client.send(audio(200)) for _ in range(20)]
    events = [event for frame in frames for event in frame]
    assert said(events) == "Good morning, how are you?"
    assert speech(events) == synthesize_speech("Good morning, how are you?").tobytes()
    spoken = [frame for frame in frames if frame]
    assert frames == spoken + [[]] * (20 - len(spoken))
    assert positions(events) == [200 * number for number in range(1, len(spoken) + 1)]
    assert said(spoken[0])
    assert all(len(speech(frame)) == 9600 for frame in spoken[:-1])
    assert 0 < len(speech(spoken[-1])) <= 9600


def test_speech_says_what_it_is_made_of() -> None:
    first = of_type(Client(GREETING).send(audio(200)), TranslationSessionOutputAudioDelta)[0]
    assert (first.sample_rate, first.channels, first.format, first.elapsed_ms) == (
        24_000,
        1,
        "pcm16",
        200,
    )


def test_text_comes_before_its_speech_at_the_same_position() -> None:
    events = Client(GREETING).send(audio(200))
    assert [event.type for event in events] == [
        "session.output_transcript.delta",
        "session.output_audio.delta",
    ]
    assert {getattr(event, "elapsed_ms", None) for event in events} == {200}


def test_positions_may_repeat_and_never_go_back() -> None:
    client = Client(GREETING, ("a b c d e f g h i j k l m n o p q r s t", "Yes."))
    client.update(TranslationSessionConfig.of(transcription=Transcription(model="m")))
    events = client.send(audio(10_000))
    elapsed = [getattr(event, "elapsed_ms", 0) for event in events]
    assert elapsed == sorted(elapsed)
    assert len({*elapsed}) < len(elapsed)
    assert all(position % 200 == 0 for position in elapsed)


def test_audio_is_cut_and_joined_into_frames_of_200_ms() -> None:
    pieces, whole = Client(GREETING), Client(GREETING)
    assert pieces.send(audio(50), audio(140)) == []
    assert positions(pieces.send(audio(10))) == [200]
    assert positions(pieces.send(audio(430))) == [400, 600]
    assert positions(pieces.send(audio(170))) == [800]
    assert positions(whole.send(audio(800))) == [200, 400, 600, 800]


def test_an_empty_piece_of_audio_is_no_audio() -> None:
    assert Client(GREETING).send(audio(0)) == []


def test_what_was_said_is_told_only_if_it_is_transcribed() -> None:
    client = Client(GREETING)
    silent = client.send(audio(200))
    client.update(
        TranslationSessionConfig.of(transcription=Transcription(model="gpt-realtime-whisper"))
    )
    loud = client.send(audio(5000))
    assert heard(silent) == ""
    assert heard(loud) in GREETING[0]
    assert heard(loud).endswith("geht es Ihnen?")


def test_phrases_follow_each_other_and_need_no_spaces_from_the_client() -> None:
    client = Client(GREETING, THANKS)
    client.update(TranslationSessionConfig.of(transcription=Transcription(model="m")))
    events = client.send(audio(10_000))
    assert said(events) == "Good morning, how are you? Fine, thanks."
    assert heard(events) == "Guten Morgen, wie geht es Ihnen? Danke, gut."
    assert speech(events) == b"".join(
        synthesize_speech(translated).tobytes() for _, translated in (GREETING, THANKS)
    )


def test_words_may_go_untranslated() -> None:
    client = Client(("Ähm.", ""), THANKS)
    client.update(TranslationSessionConfig.of(transcription=Transcription(model="m")))
    first = client.send(audio(200))
    rest = client.send(audio(5000))
    assert (heard(first), said(first), speech(first)) == ("Ähm.", "", b"")
    assert (heard(rest), said(rest)) == (" Danke, gut.", " Fine, thanks.")


def test_without_a_script_it_says_over_and_over_that_it_hears_nothing() -> None:
    client = Client()
    client.update(TranslationSessionConfig.of(transcription=Transcription(model="m")))
    events = client.send(audio(20_000))
    assert said(events).count("[I am a simulator, so I hear nothing and translate nothing.]") >= 2
    assert heard(events).startswith("[speech] [speech]")
    assert len(said(client.send(CLOSE))) < 60


# --- pace -----------------------------------------------------------------------------------------


def test_a_paced_translation_lags_behind_and_keeps_to_its_speed() -> None:
    client = Client(GREETING, pacing=Pacing(time_to_first_event=1.0, audio_speed=2.0))
    assert client.send(audio(600)) == []
    times = []
    while (due := client.server.next_due) is not None and due < 100:
        assert client.take(due)
        times.append(due)
    assert times == pytest.approx([1.0, 1.1, 1.2])


def test_a_frame_that_comes_late_is_late() -> None:
    client = Client(GREETING, pacing=Pacing(time_to_first_event=1.0, audio_speed=1.0))
    client.send(audio(200))
    client.send(audio(200), now=0.7)
    assert positions(client.take(1.65)) == [200]
    assert client.server.next_due == pytest.approx(1.7)
    assert positions(client.take(1.75)) == [400]


def test_what_is_left_when_the_session_is_closed_keeps_its_pace() -> None:
    client = Client(THANKS, pacing=Pacing(audio_speed=1.0))
    assert positions(client.send(audio(200), CLOSE)) == [200]
    times = []
    while client.server.close is None:
        due = client.server.next_due
        assert due is not None
        client.take(due)
        times.append(due)
    assert times == pytest.approx([0.2 * number for number in range(1, len(times) + 1)])
    assert len(times) > 2


# --- the end --------------------------------------------------------------------------------------


def test_closing_finishes_the_phrase_and_then_the_session() -> None:
    client = Client(GREETING, THANKS)
    begun = client.send(audio(200))
    events = client.send(CLOSE)
    assert said(begun + events) == "Good morning, how are you?"
    assert speech(begun + events) == synthesize_speech("Good morning, how are you?").tobytes()
    assert positions(begun + events) == [
        200 * number for number in range(1, len(positions(begun + events)) + 1)
    ]
    assert isinstance(events[-1], TranslationSessionClosed)
    assert client.server.close == Close(1000)
    assert (client.server.next_due, client.take(100), client.send(audio(200))) == (None, [], [])


def test_closing_translates_the_beginning_of_a_frame_as_well() -> None:
    client = Client(GREETING)
    assert client.send(audio(10)) == []
    events = client.send(CLOSE)
    assert said(events) == "Good morning, how are you?"
    assert isinstance(events[-1], TranslationSessionClosed)


def test_closing_a_session_without_audio_ends_it_at_once() -> None:
    client = Client(GREETING)
    client.server.receive(CLOSE, 5.0)
    assert client.server.close is None
    assert client.server.next_due == 5.0
    assert [event.type for event in client.take(5.0)] == ["session.closed"]
    assert client.server.close == Close(1000)


@pytest.mark.parametrize(
    "event",
    [
        audio(200),
        CLOSE,
        TranslationSessionUpdate(session=TranslationSessionConfig.of(language="es")),
    ],
)
def test_nothing_can_be_sent_after_the_close(event: Event) -> None:
    client = Client(GREETING)
    events = client.send(audio(200), CLOSE, event)
    (error,) = of_type(events, ErrorEvent)
    assert error.error.code == "session_closing"
    assert said(events) == "Good morning, how are you?"
    assert isinstance(events[-1], TranslationSessionClosed)


# --- what is no good ------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [AudioData.from_base64("%%%%"), AudioData(bytes(9601))])
def test_wrong_audio_is_refused_and_not_heard(wrong: AudioData) -> None:
    client = Client(GREETING)
    client.server.receive(TranslationSessionInputAudioBufferAppend(event_id="mine", audio=wrong), 0)
    (event,) = client.take()
    assert isinstance(event, ErrorEvent)
    assert (event.error.code, event.error.param, event.error.event_id) == (
        "invalid_value",
        "audio",
        "mine",
    )
    assert client.send(audio(190)) == []


def test_events_of_other_sessions_are_refused_with_a_list_of_those_that_exist() -> None:
    client = Client()
    error = client.say('{"type": "response.create", "event_id": "mine"}')
    assert (error.code, error.param, error.event_id) == ("invalid_value", "type", "mine")
    assert error.message == (
        "Invalid value: 'response.create'. "
        "Supported values are: 'session.update', 'session.input_audio_buffer.append', "
        "and 'session.close'."
    )
    client.server.receive(ResponseCreate(event_id="mine"), 0)
    (event,) = client.take()
    assert isinstance(event, ErrorEvent)
    assert event.error == error


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ("hello", "invalid_json", None),
        ("[]", "invalid_event", None),
        ('{"type": "session.input_audio_buffer.append"}', "missing_required_parameter", "audio"),
        ('{"type": "session.input_audio_buffer.append", "audio": 5}', "invalid_type", "audio"),
        (
            '{"type": "session.update", "session": {"audio": {"output": {"language": 5}}}}',
            "invalid_type",
            "session.audio.output.language",
        ),
        (
            '{"type": "session.update",'
            ' "session": {"audio": {"input": {"noise_reduction": {"type": "loud"}}}}}',
            "invalid_value",
            "session.audio.input.noise_reduction.type",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_place(
    message: str, code: str, param: str | None
) -> None:
    error = Client().say(message)
    assert (error.code, error.param) == (code, param)


# --- whatever a client sends ----------------------------------------------------------------------

CLIENT_EVENTS = st.one_of(
    st.builds(audio, st.integers(0, 900)),
    st.builds(
        lambda size: TranslationSessionInputAudioBufferAppend(audio=bytes(size)), st.integers(0, 9)
    ),
    st.builds(
        lambda text: TranslationSessionInputAudioBufferAppend(audio=AudioData.from_base64(text)),
        st.just("%%%%"),
    ),
    st.builds(
        TranslationSessionUpdate,
        session=st.sampled_from(
            [
                TranslationSessionConfig.of(language="x"),
                TranslationSessionConfig.of(language="fr", transcription=None),
                TranslationSessionConfig.of(
                    transcription=Transcription(model="m"), noise_reduction=None
                ),
            ]
        ),
    ),
    st.builds(
        UnknownEvent,
        type=st.text(max_size=3),
        raw=st.sampled_from([b"", {}, "x"]),
        problem=st.sampled_from([None, "not JSON"]),
    ),
)
PHRASES = st.tuples(st.text(max_size=20), st.text(max_size=20))
PACINGS = st.sampled_from(
    [None, Pacing(time_to_first_event=0.5, audio_speed=2.0), Pacing(audio_speed=0.5)]
)


@given(
    phrases=st.lists(PHRASES, max_size=3),
    pacing=PACINGS,
    steps=st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.6]), CLIENT_EVENTS), max_size=15),
)
def test_nothing_a_client_sends_breaks_the_translator(
    phrases: list[tuple[str, str]], pacing: Pacing | None, steps: list[tuple[float, Event]]
) -> None:
    client = Client(*phrases, pacing=pacing)
    events: list[Event] = []
    now = 0.0
    for delay, event in steps:
        now += delay
        client.server.receive(event, now)
        if delay:
            events += client.take(now)
    client.server.receive(CLOSE, now)
    while (due := client.server.next_due) is not None:
        events += client.take(due)
    assert client.server.close == Close(1000)
    assert isinstance(events[-1], TranslationSessionClosed)
    assert len({event.event_id for event in events if isinstance(event, ServerEvent)}) == len(
        events
    )
    elapsed = [
        event.elapsed_ms or 0
        for event in events
        if isinstance(event, TranslationSessionOutputAudioDelta)
    ]
    assert elapsed == sorted(elapsed)
    script = " ".join(translated for _, translated in phrases)
    assert not phrases or script.startswith(said(events))
