"""What the simulated server transcribes of the user's audio, and when it says so."""

from __future__ import annotations

import pytest
from service_client import Client, audio, of_type, only, types

from realtime_trio._protocol.kinds import SessionKind
from realtime_trio.events import (
    ConversationItemDelete,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    DurationTranscriptionUsage,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    ResponseCreate,
    ResponseOutputTextDone,
    SessionConfig,
    SessionUpdate,
    TokenTranscriptionUsage,
    Transcription,
    TranscriptionSessionConfig,
)
from realtime_trio.simulator import (
    INSTANT,
    Pacing,
    Reply,
    Script,
    SimulatedServer,
)


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
    # Committed audio is a message of one part.
    assert failed.content_index == 0
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
