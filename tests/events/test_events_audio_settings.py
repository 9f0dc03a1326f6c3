"""Settings that are given by one word, and travel as the objects that they mean."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from realtime_trio._protocol.codec import Codec
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    UNSET,
    AudioConfig,
    AudioFormat,
    AudioFormatName,
    AudioInputConfig,
    AudioOutputConfig,
    NoiseReduction,
    ResponseAudioOutputConfig,
    ResponseConfig,
    SemanticVad,
    ServerVad,
    SessionConfig,
    SessionUpdate,
    Transcription,
    TranscriptionSessionConfig,
    TranslationSessionConfig,
    TurnDetection,
    TurnDetectionName,
)

FORMATS: dict[AudioFormatName, AudioFormat] = {
    "pcm": AudioFormat.pcm(),
    "pcm16": AudioFormat.pcm(),
    "audio/pcm": AudioFormat.pcm(),
    "pcmu": AudioFormat.pcmu(),
    "g711_ulaw": AudioFormat.pcmu(),
    "audio/pcmu": AudioFormat.pcmu(),
    "pcma": AudioFormat.pcma(),
    "g711_alaw": AudioFormat.pcma(),
    "audio/pcma": AudioFormat.pcma(),
}
DETECTIONS: dict[TurnDetectionName, TurnDetection | None] = {
    "server_vad": ServerVad(),
    "semantic_vad": SemanticVad(),
    "none": None,
}


def audio_of(config: SessionConfig) -> AudioConfig:
    assert isinstance(config.audio, AudioConfig)
    return config.audio


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_has_names(name: AudioFormatName) -> None:
    assert AudioInputConfig(format=name).format == FORMATS[name]
    assert AudioOutputConfig(format=name).format == FORMATS[name]
    assert ResponseAudioOutputConfig(format=name).format == FORMATS[name]
    config = SessionConfig.of(input_format=name, output_format=name)
    assert config == SessionConfig.of(input_format=FORMATS[name], output_format=FORMATS[name])
    assert ResponseConfig.of(output_format=name) == ResponseConfig.of(output_format=FORMATS[name])


def test_a_format_says_its_rate_where_the_service_wants_to_know() -> None:
    assert AudioFormat.pcm() == AudioFormat(type="audio/pcm", rate=24000)
    assert AudioFormat.pcmu() == AudioFormat(type="audio/pcmu", rate=None)
    assert AudioFormat.pcma() == AudioFormat(type="audio/pcma", rate=None)


@pytest.mark.parametrize("name", DETECTIONS)
def test_turn_detection_has_names(name: TurnDetectionName) -> None:
    assert AudioInputConfig(turn_detection=name).turn_detection == DETECTIONS[name]
    assert TranscriptionSessionConfig.of(turn_detection=name) == TranscriptionSessionConfig.of(
        turn_detection=DETECTIONS[name]
    )


def test_every_name_that_is_typed_is_known() -> None:
    assert set(get_args(AudioFormatName)) == set(FORMATS)
    assert set(get_args(TurnDetectionName)) == set(DETECTIONS)


def test_a_transcription_may_be_given_by_its_model_and_noise_reduction_by_the_microphone() -> None:
    short = SessionConfig.of(transcription="gpt-4o-transcribe", noise_reduction="far_field")
    assert audio_of(short).input == AudioInputConfig(
        transcription=Transcription(model="gpt-4o-transcribe"),
        noise_reduction=NoiseReduction(type="far_field"),
    )
    assert TranslationSessionConfig.of(
        transcription="gpt-realtime-whisper", noise_reduction="near_field"
    ) == TranslationSessionConfig.of(
        transcription=Transcription(model="gpt-realtime-whisper"),
        noise_reduction=NoiseReduction(type="near_field"),
    )


def test_what_is_several_may_be_one() -> None:
    logprobs = "item.input_audio_transcription.logprobs"
    assert SessionConfig.of(output_modalities="text", include=logprobs) == SessionConfig(
        output_modalities=("text",), include=(logprobs,)
    )
    assert TranscriptionSessionConfig.of(include=logprobs).include == (logprobs,)
    assert ResponseConfig.of(output_modalities="audio").output_modalities == ("audio",)
    assert ResponseConfig.of(output_modalities=()).output_modalities == ()


def test_none_and_what_is_unset_stay_what_they_are() -> None:
    assert AudioInputConfig(turn_detection=None, transcription=None, noise_reduction=None) == (
        AudioInputConfig(turn_detection="none", transcription=None, noise_reduction=None)
    )
    empty = AudioInputConfig()
    assert {empty.format, empty.transcription, empty.noise_reduction, empty.turn_detection} == {
        UNSET
    }
    assert ResponseAudioOutputConfig().format is None


MISUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a format": ({"input_format": "mp3"}, "an audio format must be 'pcm', .*, not 'mp3'"),
    "an output format": ({"output_format": "opus"}, "an audio format must be .*, not 'opus'"),
    "a detection": (
        {"turn_detection": "vad"},
        "turn detection must be 'server_vad', 'semantic_vad' or 'none', not 'vad'",
    ),
}


@pytest.mark.parametrize("case", MISUSED)
def test_a_name_that_is_not_known_is_refused_with_those_that_are(case: str) -> None:
    settings, said = MISUSED[case]
    with pytest.raises(LocalProtocolError, match=said):
        SessionConfig.of(**settings)


@pytest.mark.parametrize(
    "settings",
    [{"turn_detection": False}, {"input_format": 5}, {"transcription": 5}, {"noise_reduction": 5}],
)
def test_what_is_neither_a_word_nor_an_object_is_for_the_codec_to_refuse(
    settings: dict[str, Any],
) -> None:
    with pytest.raises(LocalProtocolError, match=r"expected .*an object, got .* @ \$\.session\."):
        Codec().encode(SessionUpdate(session=SessionConfig.of(**settings)))
