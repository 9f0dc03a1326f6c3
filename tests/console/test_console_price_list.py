"""What models cost, as a page is told it."""

from __future__ import annotations

import importlib
import json

import pytest

from realtime_trio._protocol.kinds import DEFAULT_MODEL
from realtime_trio.console.price_list import prices_told
from realtime_trio.console.recorded import setup_of
from realtime_trio.money import ModelPrices, default_prices
from realtime_trio.recording import Recording
from realtime_trio.simulator.serving.rest import MODELS

OURS = {"mine": ModelPrices(text_input="1.5", minute=0), "other": ModelPrices(text_input=2)}


def test_what_has_a_price_is_told_and_nothing_else() -> None:
    assert prices_told(["mine", None, "unknown"], OURS) == {
        "mine": {"text_input": 1.5, "minute": 0}
    }


def test_a_model_is_told_by_its_other_name() -> None:
    told = prices_told(["mine-2026-11-30", "unknown"], OURS, aliases={"mine-2026-11-30": "mine"})
    assert told == {"mine-2026-11-30": {"text_input": 1.5, "minute": 0}}


def test_what_sessions_use_is_always_told() -> None:
    prices = dict.fromkeys(MODELS, ModelPrices(audio_output=64))
    assert prices_told([], prices) == {model: {"audio_output": 64.0} for model in MODELS}


def test_the_list_of_the_extra_is_told() -> None:
    pytest.importorskip("genai_prices")
    told = json.loads(json.dumps(prices_told([])))
    known = default_prices()[DEFAULT_MODEL]
    assert told[DEFAULT_MODEL]["audio_output"] == float(known.audio_output or 0) > 0
    assert told["whisper-1"]["minute"] > 0, "transcriptions cost something, too"


def test_without_a_list_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    default_prices.cache_clear()
    try:
        assert prices_told(["gpt-realtime"]) is None
        assert setup_of(Recording(records=()), "x")["prices"] is None
    finally:
        default_prices.cache_clear()
