"""Money is exact, disjoint by column, and never guessed."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import attrs
import pytest
from bills import MODEL, PRICES, created, done, transcribed, usage
from hypothesis import given, strategies as st

from realtime_trio._state.costs import Costs, Usage
from realtime_trio._state.prices import (
    Cost,
    ModelPrices,
    Unpriced,
    cost_of,
    dearest_output,
    session_cost,
)
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    InputTokenDetails,
    RealtimeSession,
    ResponseUsage,
    SessionAudio,
    SessionAudioInput,
    SessionUpdated,
    Transcription,
)

TOKENS = st.integers(0, 10**6)
COUNTED = st.builds(
    lambda text, audio, image, share, says, speaks: Usage(
        responses=1,
        input_tokens=text + audio + image,
        input_text_tokens=text,
        input_audio_tokens=audio,
        input_image_tokens=image,
        cached_tokens=sum(n * share // 100 for n in (text, audio, image)),
        cached_text_tokens=text * share // 100,
        cached_audio_tokens=audio * share // 100,
        cached_image_tokens=image * share // 100,
        output_tokens=says + speaks,
        output_text_tokens=says,
        output_audio_tokens=speaks,
        total_tokens=text + audio + image + says + speaks,
    ),
    *[TOKENS] * 3,
    st.integers(0, 100),
    *[TOKENS] * 2,
)


def configured(transcriber: str | None) -> SessionUpdated:
    asked = None if transcriber is None else Transcription(model=transcriber)
    audio = SessionAudio(input=SessionAudioInput(transcription=asked))
    session = RealtimeSession(id="sess_1", model=MODEL, audio=audio)
    return SessionUpdated(event_id="e", session=session)


def test_every_column_has_its_own_price() -> None:
    taken = Usage(
        input_text_tokens=1_000_000,
        cached_text_tokens=500_000,
        input_audio_tokens=1_000_000,
        cached_audio_tokens=250_000,
        input_image_tokens=100_000,
        cached_image_tokens=50_000,
        output_text_tokens=10_000,
        output_audio_tokens=10_000,
    )
    cost = cost_of(taken, PRICES, MODEL)
    assert cost == Cost(
        input_text=Decimal(2),
        cached_text=Decimal("0.2"),
        input_audio=Decimal(24),
        cached_audio=Decimal("0.1"),
        input_image=Decimal("0.25"),
        cached_image=Decimal("0.025"),
        output_text=Decimal("0.16"),
        output_audio=Decimal("0.64"),
    )
    assert cost.text == Decimal("2.36")
    assert cost.audio == Decimal("24.74")
    assert cost.image == Decimal("0.275")
    assert cost.cached == Decimal("0.325")
    assert cost.input == Decimal("26.575")
    assert cost.output == Decimal("0.8")
    assert cost.total == cost.known == Decimal("27.375")


def test_nothing_costs_nothing_whatever_the_list_knows() -> None:
    assert cost_of(Usage(), {}, None) == Cost()
    assert Cost().total == 0


def test_a_model_without_a_price_is_named_and_there_is_no_total() -> None:
    cost = cost_of(Usage(total_tokens=7), PRICES, "albatross")
    assert cost.total is None
    assert cost.known == 0
    assert [str(each) for each in cost.unpriced] == ["no price is known for the model 'albatross'"]


def test_a_column_without_a_price_is_named_and_the_others_are_known() -> None:
    prices = {"mute": ModelPrices(text_input=1)}
    cost = cost_of(Usage(input_text_tokens=10, output_audio_tokens=1), prices, "mute")
    assert (cost.total, cost.known) == (None, Decimal("0.00001"))
    assert cost.unpriced == {Unpriced("mute", "audio_output")}
    assert str(Unpriced("mute", "audio_output")) == "no price is known for audio_output of 'mute'"


def test_tokens_of_unknown_modality_have_no_price() -> None:
    costs = Costs(MODEL)
    costs.apply(done("r1", ResponseUsage(total_tokens=3, input_tokens=1, output_tokens=2)))
    cost = session_cost(costs, PRICES)
    assert cost.total is None
    assert cost.unpriced == {Unpriced(MODEL, "modality")}
    assert "modality" in str(Unpriced(MODEL, "modality"))


def test_for_a_bound_they_count_at_the_most_that_they_can_cost() -> None:
    costs = Costs(MODEL)
    costs.apply(done("r1", ResponseUsage(total_tokens=3, input_tokens=1, output_tokens=2)))
    assert session_cost(costs, PRICES, is_bound=True).known == Decimal("0.000160")
    assert session_cost(costs, {}, is_bound=True).known == 0


def test_a_response_without_a_bill_is_not_free() -> None:
    costs = Costs(MODEL)
    costs.apply(done("r1"))
    assert session_cost(costs, PRICES).total is None


def test_cached_tokens_of_one_modality_need_no_details() -> None:
    of_one_kind = {
        "text": InputTokenDetails(cached_tokens=5, text_tokens=10),
        "audio": InputTokenDetails(cached_tokens=5, audio_tokens=10),
        "image": InputTokenDetails(cached_tokens=5, image_tokens=10),
    }
    for kind, details in of_one_kind.items():
        costs = Costs(MODEL)
        costs.apply(done("r1", ResponseUsage(input_tokens=10, input_token_details=details)))
        cost = session_cost(costs, PRICES)
        assert cost.total is not None
        assert getattr(cost, f"cached_{kind}") > 0


def test_cached_tokens_of_several_modalities_need_them() -> None:
    details = InputTokenDetails(cached_tokens=5, text_tokens=10, audio_tokens=10)
    costs = Costs(MODEL)
    costs.apply(done("r1", ResponseUsage(input_tokens=20, input_token_details=details)))
    assert session_cost(costs, PRICES).unpriced == {Unpriced(MODEL, "modality")}


def test_transcriptions_are_billed_by_their_own_model() -> None:
    costs = Costs()
    costs.apply(created())
    costs.apply(configured("scribe-1"))
    costs.apply(transcribed("item_1", 90.0))
    cost = session_cost(costs, PRICES)
    assert (cost.transcription, cost.total) == (Decimal("0.009"), Decimal("0.009"))
    assert dict(costs.by_model) == {"scribe-1": Usage(transcriptions=1, transcription_seconds=90.0)}


def test_a_transcription_by_duration_of_a_model_billed_by_tokens_has_no_price() -> None:
    taken = Usage(transcription_seconds=1.0)
    assert cost_of(taken, PRICES, "scribe-2").unpriced == {Unpriced("scribe-2", "minute")}


def test_transcriptions_by_tokens() -> None:
    taken = Usage(
        transcription_input_text_tokens=100,
        transcription_input_audio_tokens=100,
        transcription_output_tokens=10,
    )
    assert cost_of(taken, PRICES, "scribe-2").total == Decimal("0.00095")


def test_the_name_that_was_asked_for_will_do_where_the_server_reports_another_one() -> None:
    costs = Costs(MODEL)
    costs.apply(created("parrot-1-2026-05-01"))
    costs.apply(done("r1", usage(text=10)))
    assert session_cost(costs, PRICES).total == Decimal("0.00004")
    assert session_cost(costs, {"parrot-1-2026-05-01": ModelPrices(text_input=1)}).total == (
        Decimal("0.00001")
    )


def test_a_price_of_output_that_is_enough() -> None:
    assert dearest_output(PRICES, "nobody", MODEL) == Decimal("0.000064")
    assert dearest_output(PRICES, "nobody") is None
    assert dearest_output(PRICES, "scribe-1") is None


@pytest.mark.parametrize(
    ("price", "error"),
    [
        (-1, LocalProtocolError),
        ("much", LocalProtocolError),
        (float("nan"), LocalProtocolError),
        ("Infinity", LocalProtocolError),
        (True, TypeError),
        ([1], TypeError),
    ],
)
def test_prices_that_make_no_sense_are_refused(price: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="US dollars"):
        ModelPrices(text_input=price)


def test_a_float_is_taken_as_it_is_printed() -> None:
    assert ModelPrices(text_input=0.1).text_input == Decimal("0.1")


def test_costs_add_and_keep_what_has_no_price() -> None:
    both = Cost(input_text=Decimal(1)) + Cost(
        input_text=Decimal(2), unpriced=frozenset({Unpriced("x", "model")})
    )
    assert both.input_text == 3
    assert both.total is None
    assert Cost().__add__(1) is NotImplemented  # type: ignore[operator]  # that is the point


@given(st.lists(COUNTED, max_size=8))
def test_the_whole_costs_what_its_parts_cost_to_the_last_digit(usages: list[Usage]) -> None:
    with localcontext(prec=3):  # what a program does with its own numbers
        parts, whole = Cost(), Usage()
        for each in usages:
            parts += cost_of(each, PRICES, MODEL)
            whole += each
        assert parts == cost_of(whole, PRICES, MODEL)


@given(COUNTED)
def test_the_columns_are_all_of_it(taken: Usage) -> None:
    cost = cost_of(taken, PRICES, MODEL)
    with localcontext(prec=60):
        columns = (
            value for name, value in attrs.asdict(cost, recurse=False).items() if name != "unpriced"
        )
        assert cost.total == sum(columns)
        assert cost.total == cost.input + cost.output == cost.text + cost.audio + cost.image
