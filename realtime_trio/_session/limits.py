"""How long a session may go on, as it was opened: its budget, and how long it may be idle.

Owns what is made of the arguments of `open_session`, price lists included.
"""

from __future__ import annotations

import sys
from types import MappingProxyType

import trio
from attrs import frozen

from realtime_trio._misuse import check_kind, check_number
from realtime_trio._protocol.chosen_model import ChosenModel
from realtime_trio._state.budget import Budget, BudgetMeter
from realtime_trio._state.prices import Prices
from realtime_trio.money import known_prices


@frozen(kw_only=True)
class Limits:
    """What limits one session."""

    meter: BudgetMeter | None
    """Its budget; it counts what the session takes."""
    idle_timeout: float | None
    """Seconds in which nothing happens, None for ever."""
    close_timeout: float
    """Seconds that closing may take."""


def check_limits(budget: object, idle_timeout: object) -> None:
    """Refuse limits that cannot be meant.

    Raises:
        LocalProtocolError, TypeError: One of them is.
    """
    check_kind("budget", budget, Budget, type(None), allowed="a Budget or None")
    if idle_timeout is not None:
        check_number(
            "idle_timeout", idle_timeout, lambda n: n > 0, allowed="more than 0 seconds or None"
        )


async def load_prices() -> Prices:
    """Load the list of the extra `prices`, beside everything else that runs.

    Raises:
        LocalProtocolError: The extra is not installed.
    """
    if "genai_prices" in sys.modules:
        await trio.lowlevel.checkpoint()
        return known_prices()
    return await trio.to_thread.run_sync(known_prices)


def make_limits(
    budget: Budget | None,
    prices: Prices | None,
    model: ChosenModel | None,
    *,
    idle_timeout: float | None,
    close_timeout: float,
) -> Limits:
    """Make the limits of one session.

    Args:
        budget: What it may take, if that is limited.
        prices: What models cost, if that is given.
        model: The model that will be asked for, None if that is not known.
        idle_timeout: Seconds in which nothing happens.
        close_timeout: Seconds that closing may take.

    Raises:
        LocalProtocolError: The budget is in US dollars, and the model has no price.
    """
    meter = None
    if budget is not None:
        meter = BudgetMeter(
            budget,
            prices=MappingProxyType({}) if prices is None else prices,
            model=None if model is None else model.name,
            is_default=model is not None and model.is_default,
            now=trio.current_time(),
        )
    return Limits(meter=meter, idle_timeout=idle_timeout, close_timeout=close_timeout)
