"""The pace of the simulated server's responses, and what it means to cancel one half way."""

from __future__ import annotations

import numpy as np
import pytest
from service_client import LOOK, TEXT_RESPONSE, Client, of_type, only, types
from simulated import SLOW

from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AssistantMessage,
    ConversationItemDelete,
    ConversationItemTruncate,
    OutputAudio,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputItemAdded,
    ResponseOutputTextDelta,
    ResponseStatusDetails,
)
from realtime_trio.simulator import (
    Call,
    Pacing,
    Reply,
    Script,
    SimulatedServer,
)


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


def test_the_pace_of_long_speech_does_not_drift() -> None:
    silence = np.zeros(20 * 24_000, np.int16)
    client = Client(Reply.speech("One two.", silence, pacing=Pacing(audio_speed=1.0)))
    due, events = 0.0, client.send(ResponseCreate())
    played = 0
    while due < 100:
        for delta in of_type(events, ResponseOutputAudioDelta):
            assert due == pytest.approx(played / 48_000)
            played += delta.delta.nbytes
        due = client.server.next_due or 100.0
        events = client.take(due)
    assert played == silence.nbytes


def test_a_call_is_paced_like_text() -> None:
    client = Client(Reply.calls(Call("f", "a b"), pacing=SLOW))
    client.send(ResponseCreate())
    assert "response.function_call_arguments.delta" in types(client.take(now=1.0))
    assert "response.done" in types(client.take(now=2.0))


def test_a_script_sets_the_pace_of_replies_without_their_own() -> None:
    client = Client(server=SimulatedServer(Script([Reply.text("a")], pacing=SLOW)))
    assert types(client.send(ResponseCreate())) == ["response.created"]


# --- cancelling -----------------------------------------------------------------------------------


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
