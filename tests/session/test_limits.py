"""What is made of the limits that a session is opened with."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import trio
from bills import MODEL, PRICES
from trio.testing import MockClock, assert_checkpoints

from realtime_trio._protocol.chosen_model import ChosenModel
from realtime_trio._session import limits
from realtime_trio._session.limits import check_limits, load_prices, make_limits
from realtime_trio.errors import LocalProtocolError
from realtime_trio.money import Budget

CHOSEN = ChosenModel(MODEL, "somebody")


def test_limits_that_can_be_meant_pass() -> None:
    check_limits(None, None)
    check_limits(Budget(tokens=1), 0.5)
    with pytest.raises(TypeError, match="budget must be a Budget"):
        check_limits(1, None)


async def test_a_budget_gets_a_meter_and_nothing_else_does(autojump_clock: MockClock) -> None:
    await trio.lowlevel.checkpoint()
    free = make_limits(None, None, CHOSEN, idle_timeout=None, close_timeout=2.0)
    assert free.meter is None
    bound = make_limits(Budget(usd=1), PRICES, CHOSEN, idle_timeout=3.0, close_timeout=2.0)
    assert bound.meter is not None
    assert bound.meter.costs.model == MODEL
    unknown = make_limits(Budget(usd=1), PRICES, None, idle_timeout=None, close_timeout=2.0)
    assert unknown.meter is not None
    assert unknown.meter.costs.model is None
    assert bound.meter.budget == Budget(usd=1)
    with pytest.raises(LocalProtocolError, match="needs the prices"):
        make_limits(Budget(usd=1), None, CHOSEN, idle_timeout=None, close_timeout=2.0)


@pytest.mark.parametrize("is_loaded", [True, False])
async def test_the_list_is_loaded_beside_everything_else(
    is_loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "known_prices", lambda: PRICES)
    monkeypatch.delitem(sys.modules, "genai_prices", raising=False)
    if is_loaded:
        monkeypatch.setitem(sys.modules, "genai_prices", ModuleType("genai_prices"))
    with assert_checkpoints():
        assert await load_prices() is PRICES
