"""What models cost, as a page is told it, so that both reckon with the same prices.

Owns which models a page may meet.  The prices are those of `realtime_trio.money`, and without its
extra there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import attrs

from realtime_trio.events import JsonObject
from realtime_trio.money import ModelPrices, Prices, default_prices
from realtime_trio.simulator.serving.rest import MODELS

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


def prices_told(
    models: Iterable[str | None],
    prices: Prices | None = None,
    *,
    aliases: Mapping[str, str] = _NONE,
) -> JsonObject | None:
    """The prices of these models, and of all that a session is known to use, in US dollars.

    Args:
        models: What is known of the models that will be shown; None and unknown names are left out.
        prices: The price list; by default that of the extra `prices`.  The first call loads it,
            which takes a third of a second: call this in a thread.
        aliases: By model, another name to look for where the list does not have that one.

    Returns:
        By model, what has a price, by the names of `ModelPrices`; None if there is no list at all.
    """
    listed = default_prices() if prices is None else prices
    if not listed:
        return None
    named = dict.fromkeys(model for model in (*models, *MODELS) if model is not None)
    found = {model: listed.get(model) or listed.get(aliases.get(model, "")) for model in named}
    return {model: _columns(known) for model, known in found.items() if known is not None}


def _columns(known: ModelPrices) -> JsonObject:
    # A page reckons in floating point, which is exact enough for what it shows.
    given = attrs.asdict(known)
    return {name: float(price) for name, price in given.items() if price is not None}
