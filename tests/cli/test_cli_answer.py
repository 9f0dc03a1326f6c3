"""One line of what a session took and cost."""

from __future__ import annotations

from decimal import Decimal

import pytest

from realtime_trio._state.costs import Usage
from realtime_trio.cli.answer import summary
from realtime_trio.cli.service import Service

TAKEN = Usage(responses=1, input_tokens=52, cached_tokens=40, output_tokens=7)


def service(url: str | None, api_key: str | None = None) -> Service:
    return Service(url=url, api_key=api_key, model=None, instructions=None, voice=None)


def test_without_a_price_it_is_tokens() -> None:
    assert summary(TAKEN, None) == "52 tokens in (40 cached), 7 tokens out"


def test_with_a_price_it_is_dollars_too() -> None:
    assert summary(TAKEN, Decimal("0.00126")) == ("52 tokens in (40 cached), 7 tokens out, $0.0013")


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        (Usage(transcription_tokens=9), ", 9 for transcripts"),
        (Usage(transcription_seconds=2.5), ", 2.5 s for transcripts"),
    ],
)
def test_transcripts_are_told_apart(taken: Usage, said: str) -> None:
    assert summary(TAKEN + taken, None).endswith(f"7 tokens out{said}")


@pytest.mark.parametrize(
    ("chosen", "is_priced"),
    [
        (service(None), False),  # the built-in simulator
        (service(None, "sk-1"), True),
        (service("wss://api.openai.com/v1", "sk-1"), True),
        (service("https://eu.api.openai.com/v1"), True),
        (service("ws://localhost:8765/v1", "sk-1"), False),
        (service("wss://api.openai.com.example.org/v1"), False),
    ],
)
def test_only_openais_own_service_has_openais_prices(chosen: Service, is_priced: bool) -> None:
    assert chosen.is_priced is is_priced
