"""Money: what a session costs, what models cost, how much may be spent, and when to hang up.

Here are the names that programs need for it, and the one price list that can be had without asking
anybody: that of the package genai-prices, of the extra `prices`.  It is a table inside the package,
so nothing is fetched, and it is as old as the package that is installed.  Any mapping from names of
models to `ModelPrices` takes its place.

Owns what must be known of genai-prices.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from types import MappingProxyType, ModuleType
from typing import Any, Final

from realtime_trio._misuse import without_extra
from realtime_trio._state.budget import (
    Budget as Budget,
    BudgetMeter as BudgetMeter,
    BudgetSpent as BudgetSpent,
    BudgetWarning as BudgetWarning,
    Spent as Spent,
)
from realtime_trio._state.costs import Usage as Usage
from realtime_trio._state.prices import (
    Cost as Cost,
    ModelPrices as ModelPrices,
    Prices as Prices,
    Unpriced as Unpriced,
    cost_of as cost_of,
)
from realtime_trio._state.utility_events import HangingUp as HangingUp
from realtime_trio.errors import BudgetExceeded as BudgetExceeded, LocalProtocolError

_PROVIDER: Final = "openai"
_COLUMNS: Final = {
    "text_input": ("input_text_mtok", "input_mtok"),
    "text_cached": ("cache_text_read_mtok", "cache_read_mtok"),
    "text_output": ("output_text_mtok", "output_mtok"),
    "audio_input": ("input_audio_mtok",),
    "audio_cached": ("cache_audio_read_mtok",),
    "audio_output": ("output_audio_mtok",),
    "image_input": ("input_image_mtok",),
    "image_cached": ("cache_image_read_mtok",),
}
"""Column of ours -> those of the package, of which the first that is there counts."""
_HOURS: Final = ("input_audio_hours", "audio_hours")
_MINUTES: Final = 60


def known_prices(provider: str = _PROVIDER) -> Prices:
    """The price list of genai-prices: a mapping that finds a model under any name it is known by.

    Loading it takes a third of a second, once.

    Args:
        provider: Whose prices: an id of the package, such as `openai` or `azure`.

    Raises:
        LocalProtocolError: The extra `prices` is not installed, or it does not know the provider.
    """
    return _KnownPrices(provider)


@cache
def default_prices() -> Prices:
    """The list that sessions go by which were given none: `known_prices()`, or an empty one."""
    try:
        return known_prices()
    except LocalProtocolError:
        return MappingProxyType({})


class _KnownPrices(Mapping[str, ModelPrices]):
    def __init__(self, provider: str) -> None:
        providers: Any = _library("genai_prices.data").providers
        self._models = [each.models for each in providers if each.id == provider]
        if not self._models:
            raise LocalProtocolError(f"genai-prices has no provider {provider!r}")
        self._provider = provider
        self._found: dict[str, ModelPrices] = {}

    def __getitem__(self, name: str) -> ModelPrices:
        if name not in self._found:
            package: Any = _library("genai_prices")
            try:
                found = package.calc_price(package.Usage(), name, provider_id=self._provider)
            except LookupError:
                raise KeyError(name) from None
            self._found[name] = _ours(found.model_price)
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        # Some of its own names the package finds no price of.
        return (model.id for models in self._models for model in models if model.id in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _ours(prices: object) -> ModelPrices:
    columns = {ours: _first(prices, theirs) for ours, theirs in _COLUMNS.items()}
    hour = _first(prices, _HOURS)
    return ModelPrices(**columns, minute=None if hour is None else hour / _MINUTES)


def _first(prices: object, names: tuple[str, ...]) -> Decimal | None:
    # A price in tiers, which depends on the size of the request, is none: it would be a guess.
    values = (vars(prices).get(name) for name in names)
    return next((value for value in values if isinstance(value, Decimal)), None)


def _library(name: str) -> ModuleType:
    # By name: it need not be there.
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = without_extra("A price list", "genai-prices", "prices")
        raise LocalProtocolError(missing) from error
