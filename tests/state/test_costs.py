"""What a session has cost: every token once, in the right column."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, strategies as st
from strategies import any_server_event

from realtime_trio._state import costs as ledger_module
from realtime_trio._state.costs import Ledger, Usage
from realtime_trio.events import (
    CachedTokenDetails,
    ConversationItemInputAudioTranscriptionCompleted,
    DurationTranscriptionUsage,
    InputTokenDetails,
    OutputTokenDetails,
    RateLimit,
    RateLimitsUpdated,
    Response,
    ResponseDone,
    ResponseUsage,
    ServerEvent,
    TokenTranscriptionUsage,
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


def test_tokens_are_summed_by_modality_with_the_cached_ones_as_a_share() -> None:
    ledger = Ledger()
    ledger.apply(done("resp_1", SPOKEN))
    ledger.apply(done("resp_2", SPOKEN))
    assert ledger.usage == Usage(
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
    assert ledger.usage.cached_share == 0.64


def test_nothing_costs_nothing() -> None:
    assert Ledger().usage == Usage()
    assert Usage().cached_share == 0.0


def test_each_response_can_be_looked_up() -> None:
    ledger = Ledger()
    ledger.apply(done("resp_1", SPOKEN))
    assert ledger.of_response("resp_1") == SPOKEN
    assert ledger.of_response("resp_2") is None


def test_a_cancelled_response_counts_when_it_was_billed() -> None:
    ledger = Ledger()
    ledger.apply(done("resp_1", SPOKEN, "cancelled"))
    ledger.apply(done("resp_2", None, "cancelled"))
    assert (ledger.usage.responses, ledger.usage.total_tokens) == (1, 120)


def test_usage_without_details_counts_in_the_totals() -> None:
    ledger = Ledger()
    ledger.apply(done("resp_1", ResponseUsage(total_tokens=3, input_tokens=1, output_tokens=2)))
    assert ledger.usage == Usage(responses=1, total_tokens=3, input_tokens=1, output_tokens=2)


def test_a_response_reported_twice_counts_once_and_as_it_was_last() -> None:
    ledger = Ledger()
    ledger.apply(done("resp_1", SPOKEN))
    ledger.apply(done("resp_1", ResponseUsage(total_tokens=7)))
    assert ledger.usage == Usage(responses=1, total_tokens=7)
    assert ledger.of_response("resp_1") == ResponseUsage(total_tokens=7)


def test_responses_without_an_id_are_different_ones() -> None:
    ledger = Ledger()
    ledger.apply(done("", SPOKEN))
    ledger.apply(done("", SPOKEN))
    assert ledger.usage.responses == 2


def test_transcriptions_are_apart_by_tokens_and_by_seconds() -> None:
    ledger = Ledger()
    details = TranscriptionTokenDetails(text_tokens=1, audio_tokens=16)
    ledger.apply(
        transcribed(
            "item_1",
            TokenTranscriptionUsage(
                input_tokens=17, output_tokens=5, total_tokens=22, input_token_details=details
            ),
        )
    )
    ledger.apply(
        transcribed(
            "item_2", TokenTranscriptionUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        )
    )
    ledger.apply(transcribed("item_3", DurationTranscriptionUsage(seconds=2.5)))
    assert ledger.usage == Usage(
        transcriptions=3,
        transcription_tokens=24,
        transcription_input_tokens=18,
        transcription_input_text_tokens=1,
        transcription_input_audio_tokens=16,
        transcription_output_tokens=6,
        transcription_seconds=2.5,
    )


def test_cumulative_snapshots_of_a_transcription_count_once() -> None:
    ledger = Ledger()
    ledger.apply(transcribed("item_1", DurationTranscriptionUsage(seconds=1.0)))
    ledger.apply(transcribed("item_1", DurationTranscriptionUsage(seconds=2.5)))
    assert (ledger.usage.transcriptions, ledger.usage.transcription_seconds) == (1, 2.5)


def test_a_kind_of_billing_from_the_future_counts_nothing() -> None:
    ledger = Ledger()
    ledger.apply(transcribed("item_1", UnknownObject("moons", {"type": "moons"})))
    assert ledger.usage == Usage()


def test_the_latest_rate_limits_are_kept_by_name() -> None:
    ledger = Ledger()
    tokens, requests = (
        RateLimit(name="tokens", remaining=10),
        RateLimit(name="requests", remaining=3),
    )
    ledger.apply(
        RateLimitsUpdated(
            event_id="e", rate_limits=(RateLimit(name="tokens", remaining=20), requests)
        )
    )
    ledger.apply(RateLimitsUpdated(event_id="e", rate_limits=(tokens,)))
    assert ledger.rate_limits == {"tokens": tokens, "requests": requests}


def test_usages_add_and_subtract() -> None:
    before, after = Usage(responses=1, total_tokens=10), Usage(responses=3, total_tokens=25)
    assert after - before == Usage(responses=2, total_tokens=15)
    assert after + before == Usage(responses=4, total_tokens=35)
    for operation in (Usage.__add__, Usage.__sub__):
        assert operation(after, 1) is NotImplemented  # type: ignore[arg-type]  # that is the point


def test_what_can_be_looked_up_is_bounded_and_the_sums_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger_module, "_REMEMBERED", 2)
    ledger = Ledger()
    for number in range(3):
        ledger.apply(done(f"resp_{number}", SPOKEN))
    assert [ledger.of_response(f"resp_{number}") is not None for number in range(3)] == [
        False,
        True,
        True,
    ]
    assert ledger.usage.responses == 3


@given(st.lists(any_server_event(), max_size=10))
def test_no_event_makes_it_raise_and_the_usage_handed_out_never_changes(
    events: list[ServerEvent],
) -> None:
    ledger = Ledger()
    for event in events:
        before = ledger.usage
        copy = attrs.evolve(before)
        ledger.apply(event)
        assert before == copy
