"""What a session has cost: every token once, in the right column."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, strategies as st
from strategies import any_server_event

from realtime_trio._state import costs as costs_module
from realtime_trio._state.costs import Costs, Usage, usage_of
from realtime_trio.events import (
    CachedTokenDetails,
    ConversationItemInputAudioTranscriptionCompleted,
    DurationTranscriptionUsage,
    InputTokenDetails,
    OutputTokenDetails,
    RateLimit,
    RateLimitsUpdated,
    RealtimeSession,
    Response,
    ResponseDone,
    ResponseUsage,
    ServerEvent,
    SessionAudio,
    SessionAudioInput,
    SessionCreated,
    SessionUpdated,
    TokenTranscriptionUsage,
    Transcription,
    TranscriptionSession,
    TranscriptionTokenDetails,
    TranscriptionUsage,
    UnknownObject,
)

SPOKEN = ResponseUsage(
    total_tokens=120,
    input_tokens=100,
    output_tokens=20,
    input_token_details=InputTokenDetails(
        cached_tokens=64,
        text_tokens=60,
        audio_tokens=30,
        image_tokens=10,
        cached_tokens_details=CachedTokenDetails(text_tokens=50, audio_tokens=8, image_tokens=6),
    ),
    output_token_details=OutputTokenDetails(text_tokens=5, audio_tokens=15),
)


def done(response_id: str, usage: ResponseUsage | None, status: str = "completed") -> ResponseDone:
    return ResponseDone(event_id="e", response=Response(id=response_id, status=status, usage=usage))


def transcribed(
    item_id: str, usage: TranscriptionUsage
) -> ConversationItemInputAudioTranscriptionCompleted:
    return ConversationItemInputAudioTranscriptionCompleted(
        event_id="e", item_id=item_id, content_index=0, transcript="hello", usage=usage
    )


def session_of(model: str | None, transcriber: str | None) -> SessionUpdated:
    asked = None if transcriber is None else Transcription(model=transcriber)
    audio = SessionAudio(input=SessionAudioInput(transcription=asked))
    session = RealtimeSession(id="sess_1", model=model, audio=audio)
    return SessionUpdated(event_id="e", session=session)


def test_tokens_are_summed_by_modality_with_the_cached_ones_as_a_share() -> None:
    costs = Costs()
    costs.apply(done("resp_1", SPOKEN))
    costs.apply(done("resp_2", SPOKEN))
    assert costs.usage == Usage(
        responses=2,
        total_tokens=240,
        input_tokens=200,
        input_text_tokens=120,
        input_audio_tokens=60,
        input_image_tokens=20,
        cached_tokens=128,
        cached_text_tokens=100,
        cached_audio_tokens=16,
        cached_image_tokens=12,
        output_tokens=40,
        output_text_tokens=10,
        output_audio_tokens=30,
    )
    assert costs.usage.cached_share == 0.64


def test_nothing_costs_nothing() -> None:
    assert Costs().usage == Usage()
    assert Usage().cached_share == 0.0


def test_each_response_can_be_looked_up() -> None:
    costs = Costs()
    costs.apply(done("resp_1", SPOKEN))
    assert costs.of_response("resp_1") == SPOKEN
    assert costs.of_response("resp_2") is None


def test_a_cancelled_response_counts_when_it_was_billed() -> None:
    costs = Costs()
    costs.apply(done("resp_1", SPOKEN, "cancelled"))
    costs.apply(done("resp_2", None, "cancelled"))
    assert (costs.usage.responses, costs.usage.total_tokens) == (1, 120)


def test_usage_without_details_counts_in_the_totals() -> None:
    costs = Costs()
    costs.apply(done("resp_1", ResponseUsage(total_tokens=3, input_tokens=1, output_tokens=2)))
    assert costs.usage == Usage(
        responses=1, total_tokens=3, input_tokens=1, output_tokens=2, untold_tokens=3
    )


def test_a_response_reported_twice_counts_once_and_as_it_was_last() -> None:
    costs = Costs()
    costs.apply(done("resp_1", SPOKEN))
    costs.apply(done("resp_1", ResponseUsage(total_tokens=7)))
    assert costs.usage == Usage(responses=1, total_tokens=7)
    assert costs.of_response("resp_1") == ResponseUsage(total_tokens=7)


def test_responses_without_an_id_are_different_ones() -> None:
    costs = Costs()
    costs.apply(done("", SPOKEN))
    costs.apply(done("", SPOKEN))
    assert costs.usage.responses == 2


def test_transcriptions_are_apart_by_tokens_and_by_seconds() -> None:
    costs = Costs()
    details = TranscriptionTokenDetails(text_tokens=1, audio_tokens=16)
    costs.apply(
        transcribed(
            "item_1",
            TokenTranscriptionUsage(
                input_tokens=17, output_tokens=5, total_tokens=22, input_token_details=details
            ),
        )
    )
    costs.apply(
        transcribed(
            "item_2", TokenTranscriptionUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        )
    )
    costs.apply(transcribed("item_3", DurationTranscriptionUsage(seconds=2.5)))
    assert costs.usage == Usage(
        transcriptions=3,
        transcription_tokens=24,
        transcription_input_tokens=18,
        transcription_input_text_tokens=1,
        transcription_input_audio_tokens=16,
        transcription_output_tokens=6,
        transcription_seconds=2.5,
        untold_tokens=1,
    )


def test_cumulative_snapshots_of_a_transcription_count_once() -> None:
    costs = Costs()
    costs.apply(transcribed("item_1", DurationTranscriptionUsage(seconds=1.0)))
    costs.apply(transcribed("item_1", DurationTranscriptionUsage(seconds=2.5)))
    assert (costs.usage.transcriptions, costs.usage.transcription_seconds) == (1, 2.5)


def test_a_kind_of_billing_from_the_future_counts_nothing() -> None:
    costs = Costs()
    costs.apply(transcribed("item_1", UnknownObject("moons", {"type": "moons"})))
    assert costs.usage == Usage()


def test_the_latest_rate_limits_are_kept_by_name() -> None:
    costs = Costs()
    tokens, requests = (
        RateLimit(name="tokens", remaining=10),
        RateLimit(name="requests", remaining=3),
    )
    costs.apply(
        RateLimitsUpdated(
            event_id="e", rate_limits=(RateLimit(name="tokens", remaining=20), requests)
        )
    )
    costs.apply(RateLimitsUpdated(event_id="e", rate_limits=(tokens,)))
    assert costs.rate_limits == {"tokens": tokens, "requests": requests}


def test_usages_add_and_subtract() -> None:
    before, after = Usage(responses=1, total_tokens=10), Usage(responses=3, total_tokens=25)
    assert after - before == Usage(responses=2, total_tokens=15)
    assert after + before == Usage(responses=4, total_tokens=35)
    for operation in (Usage.__add__, Usage.__sub__):
        assert operation(after, 1) is NotImplemented  # type: ignore[arg-type]  # that is the point


# --- by model -------------------------------------------------------------------------------------


def test_the_model_is_the_one_that_the_server_names() -> None:
    costs = Costs("parrot-1")
    assert (costs.model, costs.alias_of("parrot-1"), costs.transcriber) == (
        "parrot-1",
        "parrot-1",
        None,
    )
    costs.apply(session_of("parrot-1-2026", "scribe-1"))
    assert (costs.model, costs.transcriber) == ("parrot-1-2026", "scribe-1")
    assert costs.alias_of("parrot-1-2026") == "parrot-1"
    assert costs.alias_of("scribe-1") is None
    costs.apply(session_of(None, None))
    assert (costs.model, costs.transcriber) == ("parrot-1-2026", None)


def test_a_default_that_the_server_took_no_notice_of_is_not_another_name() -> None:
    costs = Costs("parrot-1", is_default=True)
    costs.apply(session_of("parrot-1-2026", None))
    assert costs.alias_of("parrot-1-2026") == "parrot-1"
    costs.apply(session_of("albatross", None))
    assert costs.alias_of("albatross") is None
    assert Costs().alias_of(None) is None


def test_a_session_without_audio_settings_keeps_its_transcriber() -> None:
    costs = Costs()
    costs.apply(session_of("parrot-1", "scribe-1"))
    costs.apply(SessionUpdated(event_id="e", session=RealtimeSession(id="s", model="parrot-1")))
    assert costs.transcriber == "scribe-1"


def test_a_transcription_session_has_a_transcriber_alone() -> None:
    costs = Costs()
    heard = SessionAudio(input=SessionAudioInput(transcription=Transcription(model="scribe-1")))
    session = TranscriptionSession(id="s", audio=heard)
    costs.apply(SessionCreated(event_id="e", session=session))
    assert (costs.model, costs.transcriber) == (None, "scribe-1")


def test_what_each_model_took_is_apart() -> None:
    costs = Costs()
    costs.apply(session_of("parrot-1", "scribe-1"))
    costs.apply(done("resp_1", SPOKEN))
    costs.apply(transcribed("item_1", DurationTranscriptionUsage(seconds=2.0)))
    costs.apply(session_of("parrot-1", "scribe-2"))
    costs.apply(transcribed("item_2", DurationTranscriptionUsage(seconds=3.0)))
    # What is reported again is still of the model that it was of.
    costs.apply(transcribed("item_1", DurationTranscriptionUsage(seconds=2.5)))
    by_model = costs.by_model
    assert by_model["parrot-1"].total_tokens == 120
    assert by_model["scribe-1"].transcription_seconds == 2.5
    assert by_model["scribe-2"].transcription_seconds == 3.0
    assert sum(by_model.values(), Usage()) == costs.usage
    assert costs.model_of("resp_1") == "parrot-1"
    assert costs.model_of("resp_2") is None


def test_a_response_that_ended_without_a_bill_is_noted() -> None:
    costs = Costs()
    costs.apply(done("resp_1", None))
    costs.apply(done("resp_2", None, "cancelled"))
    costs.apply(done("resp_3", SPOKEN))
    costs.apply(done("resp_3", None))
    assert costs.usage.unreported == 1


@pytest.mark.parametrize("kind", ["text", "audio", "image"])
def test_cached_tokens_of_one_modality_are_of_that_modality(kind: str) -> None:
    read = {
        "text": InputTokenDetails(cached_tokens=5, text_tokens=10),
        "audio": InputTokenDetails(cached_tokens=5, audio_tokens=10),
        "image": InputTokenDetails(cached_tokens=5, image_tokens=10),
    }[kind]
    taken = usage_of(ResponseUsage(input_tokens=10, input_token_details=read))
    assert getattr(taken, f"cached_{kind}_tokens") == 5
    assert taken.untold_tokens == 0


def test_cached_tokens_of_several_modalities_are_untold() -> None:
    read = InputTokenDetails(cached_tokens=5, text_tokens=10, audio_tokens=10)
    assert usage_of(ResponseUsage(input_tokens=20, input_token_details=read)).untold_tokens == 5


def test_what_can_be_looked_up_is_bounded_and_the_sums_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(costs_module, "_REMEMBERED", 2)
    costs = Costs()
    for number in range(3):
        costs.apply(done(f"resp_{number}", SPOKEN))
    assert [costs.of_response(f"resp_{number}") is not None for number in range(3)] == [
        False,
        True,
        True,
    ]
    assert costs.usage.responses == 3


@given(st.lists(any_server_event(), max_size=10))
def test_no_event_makes_it_raise_and_the_usage_handed_out_never_changes(
    events: list[ServerEvent],
) -> None:
    costs = Costs()
    for event in events:
        before = costs.usage
        copy = attrs.evolve(before)
        costs.apply(event)
        assert before == copy
