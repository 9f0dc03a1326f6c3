"""Price lists: that of genai-prices, where it is installed, and one's own."""

from __future__ import annotations

import sys
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest

from realtime_trio import money
from realtime_trio._protocol.kinds import DEFAULT_MODEL
from realtime_trio._state.costs import Usage
from realtime_trio.errors import LocalProtocolError
from realtime_trio.money import ModelPrices, cost_of, default_prices, known_prices


@pytest.fixture
def library() -> ModuleType:
    # pydantic and httpx2, which come with it, are of no concern here.
    library: ModuleType = pytest.importorskip(
        "genai_prices", reason="the extra `prices` is not installed"
    )
    return library


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    monkeypatch.setitem(sys.modules, "genai_prices.data", None)
    with pytest.raises(LocalProtocolError, match=r"A price list needs genai-prices, .*\[prices\]"):
        known_prices()


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("model", [DEFAULT_MODEL, "gpt-realtime-2.1-mini", "gpt-realtime-mini"])
def test_the_models_of_today_have_prices_of_every_modality(model: str) -> None:
    prices = known_prices()[model]
    for column in ("text", "audio"):
        read, cached, said = (
            getattr(prices, f"{column}_{way}") for way in ("input", "cached", "output")
        )
        assert 0 < cached < read < said
    assert prices.image_input is not None
    assert prices.image_cached is not None


@pytest.mark.usefixtures("library")
def test_the_list_has_what_it_names() -> None:
    prices = known_prices()
    assert len(dict(prices)) == len(prices) > 10


@pytest.mark.usefixtures("library")
def test_transcription_is_billed_by_the_minute_or_by_the_token() -> None:
    prices = known_prices()
    assert prices["whisper-1"] == ModelPrices(minute="0.006")
    assert prices["gpt-4o-transcribe"].minute is None
    assert prices["gpt-4o-transcribe"].audio_input is not None


@pytest.mark.usefixtures("library")
def test_what_it_does_not_know_is_not_there() -> None:
    prices = known_prices()
    assert prices.get("albatross") is None
    assert "gpt-realtime-9000" not in prices
    assert "gpt-realtime" in set(prices)
    assert len(prices) == len(list(prices))


@pytest.mark.usefixtures("library")
def test_a_provider_that_it_does_not_know_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="no provider 'albatross'"):
        known_prices("albatross")


def test_a_list_of_your_own_can_be_made_of_it(library: ModuleType) -> None:
    prices = {"my-deployment": known_prices()[DEFAULT_MODEL]}
    cost = cost_of(Usage(input_text_tokens=1_000_000), prices, "my-deployment")
    assert cost.total == prices["my-deployment"].text_input


def test_our_arithmetic_is_theirs(library: Any) -> None:
    taken = Usage(
        input_tokens=6000,
        input_text_tokens=1000,
        input_audio_tokens=4000,
        input_image_tokens=1000,
        cached_tokens=2240,
        cached_text_tokens=640,
        cached_audio_tokens=1280,
        cached_image_tokens=320,
        output_tokens=700,
        output_text_tokens=200,
        output_audio_tokens=500,
    )
    theirs = library.calc_price(
        library.Usage(
            input_tokens=6000,
            input_audio_tokens=4000,
            input_image_tokens=1000,
            cache_read_tokens=2240,
            cache_audio_read_tokens=1280,
            cache_image_read_tokens=320,
            output_tokens=700,
            output_audio_tokens=500,
        ),
        DEFAULT_MODEL,
        provider_id="openai",
    )
    cost = cost_of(taken, known_prices(), DEFAULT_MODEL)
    assert cost.total == theirs.total_price
    assert (cost.input, cost.output) == (theirs.input_price, theirs.output_price)


def test_a_price_in_tiers_is_none(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    types = sys.modules["genai_prices.types"]
    tiers = types.TieredPrices(base=Decimal(1), tiers=[types.Tier(start=10, price=Decimal(2))])
    tiered = types.ModelPrice(input_mtok=tiers, output_mtok=Decimal(3))
    calculated = type("Calculated", (), {"model_price": tiered})
    monkeypatch.setattr(library, "calc_price", lambda *_, **__: calculated)
    assert known_prices()["whatever"] == ModelPrices(text_output=3)


@pytest.mark.parametrize("is_there", [True, False])
def test_sessions_go_by_it_if_it_is_there(is_there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def known() -> dict[str, ModelPrices]:
        if not is_there:
            raise LocalProtocolError("not installed")
        return {"parrot-1": ModelPrices()}

    monkeypatch.setattr(money, "known_prices", known)
    default_prices.cache_clear()
    try:
        assert len(default_prices()) == is_there
        assert default_prices() is default_prices()
    finally:
        default_prices.cache_clear()
