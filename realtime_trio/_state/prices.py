"""What tokens and seconds cost: from a usage and a price list to dollars.

Owns the arithmetic of money, which is exact, and the columns of a bill.  Pure.  It refuses to know
where prices come from, and to guess one: what has no price is named, and then there is no total.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final, TypeAlias

import attrs

from realtime_trio._misuse import kind_of
from realtime_trio._state.costs import Costs, Usage
from realtime_trio.errors import LocalProtocolError

Dollars: TypeAlias = Decimal | int | float | str
"""An amount as one writes it.  A float is taken as it is printed: 0.1 is a tenth."""

EXACT: Final = Context(prec=500, rounding=ROUND_HALF_EVEN, traps=[])
"""Sums and products of prices and counts have far fewer digits, whatever context a program has
set for its own numbers."""
_MILLION: Final = Decimal(1_000_000)
_PICODOLLAR: Final = Decimal("1e-12")
"""To what the only quotients are rounded, those of seconds and a price per minute."""
ZERO: Final = Decimal(0)


def dollars(name: str, value: Dollars) -> Decimal:
    """Take an amount of money that a caller has given.

    Raises:
        TypeError: It is not a number, nor the text of one.
        LocalProtocolError: It is negative or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, Decimal | int | float | str):
        raise TypeError(f"{name} must be an amount of US dollars, not {kind_of(value)}")
    try:
        amount = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        raise LocalProtocolError(f"{name} must be an amount of US dollars, not {value!r}") from None
    if not amount.is_finite() or amount < 0:
        raise LocalProtocolError(f"{name} must be 0 or more US dollars, not {value}")
    return amount


def _price(value: Dollars | None) -> Decimal | None:
    return None if value is None else dollars("a price", value)


def add(*amounts: Decimal) -> Decimal:
    """The exact sum."""
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


@attrs.frozen(kw_only=True)
class ModelPrices:
    """The prices of one model, in US dollars.  None says that there is none, or none is known.

    Amounts may be given as `Decimal`, `int`, `str` or `float`; they are kept as `Decimal`.
    """

    text_input: Decimal | None = attrs.field(default=None, converter=_price)
    """A million tokens of text read."""
    text_cached: Decimal | None = attrs.field(default=None, converter=_price)
    """A million tokens of text read from the prompt cache."""
    text_output: Decimal | None = attrs.field(default=None, converter=_price)
    """A million tokens of text written, transcripts of speech included."""
    audio_input: Decimal | None = attrs.field(default=None, converter=_price)
    """A million tokens of audio read."""
    audio_cached: Decimal | None = attrs.field(default=None, converter=_price)
    """A million tokens of audio read from the prompt cache."""
    audio_output: Decimal | None = attrs.field(default=None, converter=_price)
    """A million tokens of audio spoken."""
    image_input: Decimal | None = attrs.field(default=None, converter=_price)
    """A million tokens of images read."""
    image_cached: Decimal | None = attrs.field(default=None, converter=_price)
    """A million tokens of images read from the prompt cache."""
    minute: Decimal | None = attrs.field(default=None, converter=_price)
    """A minute of audio, for transcriptions that are billed by duration."""


Prices: TypeAlias = Mapping[str, ModelPrices]
"""Name of a model -> what it costs."""


@attrs.frozen(order=True)
class Unpriced:
    """Something that was used and has no price."""

    model: str | None
    """The model, None if the server did not say which it is."""
    what: str
    """What of it: `model` if the list does not have the model at all, a column of `ModelPrices`
    that is None, or `modality` where the server did not say what the tokens are."""

    def __str__(self) -> str:
        if self.what == "model":
            return f"no price is known for the model {self.model!r}"
        if self.what == "modality":
            return f"it is not known of which modality some tokens of {self.model!r} are"
        return f"no price is known for {self.what} of {self.model!r}"


@attrs.frozen(kw_only=True)
class Cost:
    """What a response, or all of a session, has cost in US dollars: exact.

    The columns are disjoint, so that their sum is all of it: tokens that came from the cache are in
    `cached_...`, and not in `input_...`.  Transcriptions of the user's speech are apart, as another
    model makes them.
    """

    input_text: Decimal = ZERO
    """Text read, without what came from the cache."""
    input_audio: Decimal = ZERO
    """Audio read, without what came from the cache."""
    input_image: Decimal = ZERO
    """Images read, without what came from the cache."""
    cached_text: Decimal = ZERO
    """Text from the cache."""
    cached_audio: Decimal = ZERO
    """Audio from the cache."""
    cached_image: Decimal = ZERO
    """Images from the cache."""
    output_text: Decimal = ZERO
    """Text written, transcripts of speech included."""
    output_audio: Decimal = ZERO
    """Audio spoken."""
    transcription: Decimal = ZERO
    """Transcriptions of the user's speech."""
    unpriced: frozenset[Unpriced] = frozenset()
    """What was used and has no price; empty if everything has one."""

    @property
    def known(self) -> Decimal:
        """The sum of what has a price: all of it, unless something is `unpriced`."""
        return add(*(getattr(self, name) for name in _COLUMNS))

    @property
    def total(self) -> Decimal | None:
        """All of it; None if something has no price."""
        return None if self.unpriced else self.known

    @property
    def text(self) -> Decimal:
        """Text, read or written."""
        return add(self.input_text, self.cached_text, self.output_text)

    @property
    def audio(self) -> Decimal:
        """Audio, read or spoken."""
        return add(self.input_audio, self.cached_audio, self.output_audio)

    @property
    def image(self) -> Decimal:
        """Images read."""
        return add(self.input_image, self.cached_image)

    @property
    def input(self) -> Decimal:
        """What was read, from the cache or not."""
        return add(self.input_text, self.input_audio, self.input_image, self.cached)

    @property
    def cached(self) -> Decimal:
        """What came from the cache, which costs a fraction."""
        return add(self.cached_text, self.cached_audio, self.cached_image)

    @property
    def output(self) -> Decimal:
        """What was written and spoken."""
        return add(self.output_text, self.output_audio)

    def __add__(self, other: Cost) -> Cost:
        """Both together, e.g. of two sessions."""
        if not isinstance(other, Cost):
            return NotImplemented
        sums = {name: add(getattr(self, name), getattr(other, name)) for name in _COLUMNS}
        return Cost(**sums, unpriced=self.unpriced | other.unpriced)


_COLUMNS: Final = tuple(name for name in Cost.__annotations__ if name != "unpriced")


def cost_of(usage: Usage, prices: Prices, model: str | None, *aliases: str | None) -> Cost:
    """What a usage of one model costs.

    Args:
        usage: Tokens and seconds.
        prices: The price list.
        model: Name of the model as the server says it, None if it does not.
        aliases: Names under which it is looked for if the list does not have that one.
    """
    known = _find(prices, model, *aliases)
    if known is None:
        unpriced = {Unpriced(model, "model")} if any(_counts(usage)) else set()
        return Cost(unpriced=frozenset(unpriced))
    columns: dict[str, Decimal] = dict.fromkeys(_COLUMNS, ZERO)
    missing: set[Unpriced] = set()
    for column, count, price in _positions(usage):
        if not count:
            continue
        amount = None if price == "modality" else getattr(known, price)
        if amount is None:
            missing.add(Unpriced(model, price))
        else:
            columns[column] = EXACT.add(columns[column], _of_tokens(count, amount))
    if usage.transcription_seconds:
        if known.minute is None:
            missing.add(Unpriced(model, "minute"))
        else:
            spent = _of_seconds(usage.transcription_seconds, known.minute)
            columns["transcription"] = EXACT.add(columns["transcription"], spent)
    return Cost(**columns, unpriced=frozenset(missing))


def session_cost(costs: Costs, prices: Prices, *, is_bound: bool = False) -> Cost:
    """What all models of a session have cost together.

    Args:
        costs: What was taken.
        prices: The price list.
        is_bound: Whether tokens of unknown modality count at the most that they can cost, among the
            text, so that `known` is no less than what was paid for them.
    """
    total = Cost()
    for model, usage in costs.by_model.items():
        names = (model, costs.alias_of(model))
        total += cost_of(usage, prices, *names)
        if is_bound:
            total += _at_most(usage, prices, *names)
    return total


def dearest_output(prices: Prices, *names: str | None) -> Decimal | None:
    """Price of a token of output that is certainly enough, in dollars; None if it has none."""
    known = _find(prices, *names)
    if known is None:
        return None
    given = [price for price in (known.text_output, known.audio_output) if price is not None]
    return EXACT.divide(max(given), _MILLION) if given else None


def _at_most(usage: Usage, prices: Prices, *names: str | None) -> Cost:
    known = _find(prices, *names) or ModelPrices()
    read = (known.text_input, known.audio_input, known.image_input)
    said = (known.text_output, known.audio_output)
    told = usage.input_text_tokens + usage.input_audio_tokens + usage.input_image_tokens
    told_said = usage.output_text_tokens + usage.output_audio_tokens
    return Cost(
        input_text=_of_tokens(max(0, usage.input_tokens - told), _highest(read)),
        output_text=_of_tokens(max(0, usage.output_tokens - told_said), _highest(said)),
    )


def _highest(prices: Iterable[Decimal | None]) -> Decimal:
    return max((price for price in prices if price is not None), default=ZERO)


def _find(prices: Prices, *names: str | None) -> ModelPrices | None:
    found = (prices.get(name) for name in names if name is not None)
    return next((each for each in found if each is not None), None)


def _positions(usage: Usage) -> Iterator[tuple[str, int, str]]:
    """Column of the bill, number of tokens, and column of the price list, or `modality`."""
    for kind in ("text", "audio", "image"):
        read = getattr(usage, f"input_{kind}_tokens")
        cached = getattr(usage, f"cached_{kind}_tokens")
        yield f"input_{kind}", read - cached, f"{kind}_input"
        yield f"cached_{kind}", cached, f"{kind}_cached"
    yield "output_text", usage.output_text_tokens, "text_output"
    yield "output_audio", usage.output_audio_tokens, "audio_output"
    yield "transcription", usage.transcription_input_text_tokens, "text_input"
    yield "transcription", usage.transcription_input_audio_tokens, "audio_input"
    yield "transcription", usage.transcription_output_tokens, "text_output"
    yield "", usage.untold_tokens + usage.unreported, "modality"


def _counts(usage: Usage) -> Iterator[float]:
    yield from (usage.total_tokens, usage.input_tokens, usage.output_tokens, usage.unreported)
    yield from (usage.transcription_tokens, usage.transcription_seconds)


def _of_tokens(count: int, price: Decimal) -> Decimal:
    return EXACT.divide(EXACT.multiply(Decimal(count), price), _MILLION)


def _of_seconds(seconds: float, per_minute: Decimal) -> Decimal:
    amount = EXACT.divide(EXACT.multiply(Decimal(repr(seconds)), per_minute), Decimal(60))
    return amount.quantize(_PICODOLLAR, context=EXACT)
