"""What a recorded session sounded like."""

from __future__ import annotations

import io
import itertools
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from recordings import created, saved

from realtime_trio.audio import AudioData, mulaw_encode
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    AudioFormat,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemTruncate,
    Event,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferCommitted,
    InputText,
    Response,
    ResponseAudio,
    ResponseAudioOutput,
    ResponseCancel,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    SessionAudio,
    SessionAudioInput,
    SessionAudioOutput,
    TranslationSessionInputAudioBufferAppend,
    TranslationSessionOutputAudioDelta,
    UserMessage,
)
from realtime_trio.recorded_audio import recording_to_wav
from realtime_trio.recording import Recording, Source, WireRecord, read_recording

RATE = 24_000
Timed = tuple[float, Source, Event]


def tone(seconds: float, value: int) -> NDArray[np.int16]:
    return np.full(round(seconds * RATE), value, np.int16)


def recorded(*events: Timed) -> Recording:
    first: Timed = (0.0, "server", created())
    return Recording(records=tuple(WireRecord(*event) for event in (first, *events)))


def played(recording: Recording) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """What the user and what the model said."""
    file = io.BytesIO()
    seconds = recording_to_wav(recording, file)
    with wave.open(io.BytesIO(file.getvalue())) as stereo:
        assert stereo.getparams()[:3] == (2, 2, RATE)
        assert stereo.getnframes() == round(seconds * RATE)
        frames = np.frombuffer(stereo.readframes(stereo.getnframes()), "<i2").reshape(-1, 2)
    return frames[:, 0], frames[:, 1]


def stretches(samples: NDArray[np.int16]) -> list[tuple[float, float, int]]:
    """Runs of the same value that are not silence: from and to, in seconds, and the value."""
    edges = np.flatnonzero(np.diff(samples.astype(np.int32), prepend=0, append=0))
    return [
        (int(start) / RATE, int(end) / RATE, int(samples[start]))
        for start, end in itertools.pairwise(edges)
        if samples[start]
    ]


def says(time: float, seconds: float, value: int, event_id: str | None = None) -> Timed:
    audio = AudioData.of(tone(seconds, value))
    return time, "client", InputAudioBufferAppend(audio=audio, event_id=event_id)


def speech(
    time: float, seconds: float, value: int, item: str = "item_1", response: str = "resp_1"
) -> Timed:
    delta = ResponseOutputAudioDelta(
        event_id="e",
        response_id=response,
        item_id=item,
        output_index=0,
        content_index=0,
        delta=AudioData.of(tone(seconds, value)),
    )
    return time, "server", delta


def truncated(time: float, ms: int, item: str = "item_1") -> Timed:
    cut = ConversationItemTruncate(item_id=item, content_index=0, audio_end_ms=ms)
    return time, "client", cut


def cancelled(time: float, response: str = "resp_1") -> Timed:
    return (
        time,
        "server",
        ResponseDone(event_id="e", response=Response(id=response, status="cancelled")),
    )


def test_both_sides_are_on_one_axis_the_user_on_the_left() -> None:
    user, model = played(recorded(says(1.0, 0.5, 7), speech(2.0, 0.25, 9)))
    assert stretches(user) == [(0.5, 1.0, 7)]
    assert stretches(model) == [(2.0, 2.25, 9)]


def test_a_recording_without_audio_is_an_empty_file() -> None:
    user, model = played(recorded())
    assert len(user) == len(model) == 0


def test_a_microphone_leaves_no_gaps_where_its_chunks_were_a_little_late() -> None:
    chunks = [says(0.1 * n + (0.05 if n % 2 else 0.0), 0.1, n) for n in range(1, 5)]
    user, _ = played(recorded(*chunks))
    # The first sets the beginning.
    assert [end for _, end, _ in stretches(user)] == pytest.approx([0.15, 0.25, 0.35, 0.45])


def test_a_pause_of_the_microphone_is_a_pause() -> None:
    user, _ = played(recorded(says(1.0, 0.5, 1), says(4.0, 0.5, 2)))
    assert stretches(user) == [(0.5, 1.0, 1), (3.5, 4.0, 2)]


def test_a_file_that_was_sent_at_once_takes_the_time_that_it_is_long() -> None:
    user, _ = played(recorded(*(says(0.0, 1.0, n) for n in (1, 2, 3))))
    assert stretches(user) == [(0.0, 1.0, 1), (1.0, 2.0, 2), (2.0, 3.0, 3)]


def test_what_has_waited_ends_when_it_is_sent() -> None:
    waited = [says(9.0 + 0.001 * n, 0.5, n) for n in (2, 3, 4)]
    user, _ = played(recorded(says(1.0, 0.5, 1), *waited, says(9.504, 0.5, 5)))
    assert stretches(user) == [
        (0.5, 1.0, 1),
        (7.504, 8.004, 2),
        (8.004, 8.504, 3),
        (8.504, 9.004, 4),
        (9.004, 9.504, 5),
    ]


def test_what_is_said_again_on_another_connection_was_heard_once() -> None:
    another: Timed = (4.0, "server", created())
    user, _ = played(
        recorded(
            *(says(0.5 * n, 0.5, n, f"event_{n}") for n in (1, 2, 3)),
            another,
            # The first was committed; the last two have waited for the connection.
            *(says(4.0, 0.5, n, f"event_{n}") for n in (2, 3, 4, 5)),
            says(4.5, 0.5, 6, "event_6"),
        )
    )
    assert stretches(user) == [
        (0.0, 0.5, 1),
        (0.5, 1.0, 2),
        (1.0, 1.5, 3),
        (3.0, 3.5, 4),
        (3.5, 4.0, 5),
        (4.0, 4.5, 6),
    ]


def test_a_client_that_gives_all_its_audio_one_id_is_heard() -> None:
    user, _ = played(recorded(says(0.5, 0.5, 1, "mine"), says(1.0, 0.5, 2, "mine")))
    assert stretches(user) == [(0.0, 0.5, 1), (0.5, 1.0, 2)]


def test_speech_that_comes_faster_than_it_is_played_waits() -> None:
    _, model = played(
        recorded(speech(1.0, 2.0, 1), speech(1.1, 2.0, 2), speech(9.0, 1.0, 3, item="item_2"))
    )
    assert stretches(model) == [(1.0, 3.0, 1), (3.0, 5.0, 2), (9.0, 10.0, 3)]


def test_what_an_interruption_cut_off_is_not_there_and_the_next_answer_need_not_wait() -> None:
    _, model = played(
        recorded(
            speech(1.0, 5.0, 1),
            speech(1.1, 5.0, 2),
            cancelled(2.5),
            truncated(2.5, 1500),
            speech(2.6, 5.0, 2),  # a straggler
            speech(3.0, 1.0, 3, item="item_2", response="resp_2"),
        )
    )
    assert stretches(model) == [(1.0, 2.5, 1), (3.0, 4.0, 3)]


def test_the_shortest_cut_counts_and_a_cut_in_a_later_delta_is_found() -> None:
    _, model = played(
        recorded(speech(1.0, 1.0, 1), speech(1.0, 1.0, 2), truncated(3.0, 1750), truncated(3, 1500))
    )
    assert stretches(model) == [(1.0, 2.0, 1), (2.0, 2.5, 2)]


def test_of_a_deleted_answer_nothing_was_heard() -> None:
    deleted: Timed = (1.5, "client", ConversationItemDelete(item_id="item_1"))
    _, model = played(recorded(speech(1.0, 1.0, 1), deleted, speech(2.0, 1.0, 2, item="item_2")))
    assert stretches(model) == [(2.0, 3.0, 2)]


@pytest.mark.parametrize("response_id", [None, "resp_1"])
def test_a_cancelled_answer_that_nobody_cut_fell_silent_when_it_was_cancelled(
    response_id: str | None,
) -> None:
    asked: Timed = (2.0, "client", ResponseCancel(response_id=response_id))
    _, model = played(recorded(speech(1.0, 5.0, 1), asked, cancelled(2.5)))
    assert stretches(model) == [(1.0, 2.0, 1)]


def test_an_answer_that_the_service_cancelled_fell_silent_then() -> None:
    _, model = played(recorded(speech(1.0, 5.0, 1), cancelled(2.5)))
    assert stretches(model) == [(1.0, 2.5, 1)]


def test_a_cancel_that_came_too_late_silences_nothing() -> None:
    late: Timed = (2.0, "client", ResponseCancel())
    done: Timed = (
        2.1,
        "server",
        ResponseDone(event_id="e", response=Response(id="resp_1", status="completed")),
    )
    _, model = played(
        recorded(
            speech(1.0, 5.0, 1),
            late,
            done,
            speech(7.0, 2.0, 2, "item_2", "resp_2"),
            cancelled(8.0, "resp_2"),
        )
    )
    assert stretches(model) == [(1.0, 6.0, 1), (7.0, 8.0, 2)]


def test_an_answer_cancelled_before_its_turn_was_not_heard() -> None:
    _, model = played(
        recorded(
            speech(1.0, 5.0, 1), speech(1.5, 1.0, 2, "item_2", "resp_2"), cancelled(2, "resp_2")
        )
    )
    assert stretches(model) == [(1.0, 6.0, 1)]


def test_audio_in_a_message_is_heard_when_it_is_sent() -> None:
    content = (
        InputText(text="Listen:"),
        InputAudio(audio=AudioData.of(tone(1.0, 5))),
        InputAudio(),
    )
    message = ConversationItemCreate(item=UserMessage(content=content))
    user, _ = played(recorded((2.0, "client", message)))
    assert stretches(user) == [(2.0, 3.0, 5)]


def test_what_another_server_is_told_of_was_heard_once() -> None:
    def told(item_id: str) -> ConversationItemCreate:
        audio = InputAudio(audio=AudioData.of(tone(0.5, 5)))
        return ConversationItemCreate(item=UserMessage(id=item_id, content=(audio,)))

    committed = InputAudioBufferCommitted(event_id="e", item_id="item_1")
    user, _ = played(
        recorded(
            says(1.0, 0.5, 7),
            (1.1, "server", committed),
            (2.0, "client", told("item_2")),
            *((9.0, "client", told(each)) for each in ("item_1", "item_2", "item_3")),
        )
    )
    assert stretches(user) == [(0.5, 1.0, 7), (2.0, 2.5, 5), (9.0, 9.5, 5)]


def test_half_a_sample_at_the_end_of_a_delta_belongs_to_the_next() -> None:
    data = tone(1.0, 0x0102).astype("<i2").tobytes()
    empty = [speech(1.0, 0.0, 0)] * 3
    pieces = [
        (time, source, type(event)(**{**fields(event), "delta": AudioData(part)}))
        for (time, source, event), part in zip(
            empty, (data[:1], data[1:1001], data[1001:]), strict=True
        )
    ]
    _, model = played(recorded(*pieces))
    assert stretches(model) == [(1.0, 2.0, 0x0102)]


def fields(event: Event) -> dict[str, object]:
    assert isinstance(event, ResponseOutputAudioDelta)
    return {
        name: getattr(event, name)
        for name in ("event_id", "response_id", "item_id", "output_index", "content_index")
    }


def test_a_telephone_call_is_heard_at_its_own_rate() -> None:
    pcmu = AudioFormat(type="audio/pcmu")
    session = created(
        audio=SessionAudio(
            input=SessionAudioInput(format=pcmu), output=SessionAudioOutput(format=pcmu)
        )
    )
    voice = AudioData(mulaw_encode(np.full(8_000, 1000, np.int16)))
    _, server, delta = speech(2.0, 0.0, 0)
    assert isinstance(delta, ResponseOutputAudioDelta)
    spoken = ResponseOutputAudioDelta(**{**fields(delta), "delta": voice})  # type: ignore[arg-type]
    recording = Recording(
        records=(
            WireRecord(0.0, "server", session),
            WireRecord(1.0, "client", InputAudioBufferAppend(audio=voice)),
            WireRecord(2.0, server, spoken),
        )
    )
    user, model = played(recording)
    assert len(model) == 3 * RATE
    for side, begin in ((user, 0), (model, 2)):
        middle = side[round((begin + 0.1) * RATE) : round((begin + 0.9) * RATE)]
        assert abs(int(middle.mean()) - 1000) < 30
        assert np.abs(side[: round(max(0, begin - 0.01) * RATE)]).max(initial=0) == 0


def test_a_response_may_have_a_format_of_its_own() -> None:
    audio = ResponseAudio(output=ResponseAudioOutput(format=AudioFormat(type="audio/pcmu")))
    begun = ResponseCreated(event_id="e", response=Response(id="resp_1", audio=audio))
    _, _, delta = speech(1.0, 0.0, 0)
    voice = AudioData(mulaw_encode(np.zeros(8_000, np.int16)))
    spoken = ResponseOutputAudioDelta(**{**fields(delta), "delta": voice})  # type: ignore[arg-type]
    _, model = played(recorded((1.0, "server", begun), (1.0, "server", spoken)))
    assert len(model) == 2 * RATE


def test_a_translation_is_heard_beside_its_original() -> None:
    original = TranslationSessionInputAudioBufferAppend(audio=AudioData.of(tone(1.0, 1)))
    deltas = [
        TranslationSessionOutputAudioDelta(event_id="e", delta=AudioData.of(tone(0.2, n)))
        for n in (2, 3)
    ]
    recording = Recording(
        records=(
            WireRecord(1.0, "client", original),
            WireRecord(1.5, "server", deltas[0]),
            WireRecord(1.5, "server", deltas[1]),
        )
    )
    user, model = played(recording)
    assert stretches(user) == [(0.0, 1.0, 1)]
    assert [value for _, _, value in stretches(model)] == [2, 3]


def test_audio_that_was_left_out_of_a_recording_is_silence(tmp_path: Path) -> None:
    recording = recorded(says(1.0, 0.5, 7), speech(2.0, 0.25, 9))
    scrubbed = read_recording(saved(tmp_path / "scrubbed.jsonl", recording, scrub_audio=True))
    user, model = played(scrubbed)
    assert len(user) == len(model) == round(2.25 * RATE)
    assert not user.any()
    assert not model.any()


@pytest.mark.parametrize(
    "time", [-0.001, 43_200.001, 1e12, float("inf"), float("nan")], ids=lambda time: f"{time:g}"
)
def test_a_time_that_cannot_be_is_refused_before_anything_is_written(
    time: float, tmp_path: Path
) -> None:
    out = tmp_path / "talk.wav"
    with pytest.raises(
        LocalProtocolError, match=r"record 3 of the recording is at .* 0 to 43200 s"
    ):
        recording_to_wav(recorded(says(1.0, 0.5, 7), speech(time, 0.25, 9)), out)
    assert not out.exists()


def test_what_sounds_longer_than_a_file_can_be_is_refused_as_well(tmp_path: Path) -> None:
    out = tmp_path / "talk.wav"
    with pytest.raises(LocalProtocolError, match=r"sounds for 43201 s; .* holds 43200 s at most"):
        recording_to_wav(recorded(speech(43_200.0, 1.0, 9)), out)
    assert not out.exists()
