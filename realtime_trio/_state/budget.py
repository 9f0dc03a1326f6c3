"""What a session may take: when no more responses are asked for, and how long the last ones may be.

Owns the limits, and what is promised to the responses under way.  Pure: it is told what is about to
be sent, every server event, and the time.  It needs no session: whoever passes events on between a
client and a server can keep a budget with it.
"""

# Theory of operation
#
# What a response takes is known when it is done.  What it reads is not known before, since that is
# the whole conversation; what it says is bounded by `max_output_tokens`.  So a response is admitted
# while something is left, and is told to say no more than that: a budget is exceeded by what the
# last response reads, and never by what it says.  Between `admit` and its end a response has a
# promise of the tokens it may say, so that several at once, beside the conversation, cannot spend
# the same rest.  Responses that the server starts by itself, as turn detection does, are not
# admitted by anybody; they count when they are done.
#
# A promise is kept under the id of the create.  A response tells which create it answers by its
# metadata, where the server repeats them; else it is the oldest that was admitted.  Promises must
# not stay for ever where a server says neither that a response is done nor that it was refused:
# there is one response in the conversation at a time, so a create in the conversation takes the
# place of the one before.
#
# A goodbye is one response more, once all is spent.  What it will take is set aside from the
# beginning: its own words, and reading what the last response has read.

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from types import MappingProxyType
from typing import ClassVar, Final, Literal, TypeAlias

import attrs

from realtime_trio._frozen import frozen
from realtime_trio._misuse import check_choice, check_kind, check_number
from realtime_trio._state.costs import Costs, usage_of
from realtime_trio._state.prices import (
    EXACT,
    ZERO,
    Dollars,
    Prices,
    add,
    cost_of,
    dearest_output,
    dollars,
    session_cost,
)
from realtime_trio._state.reactions import Reactions
from realtime_trio._state.turns.run import is_answered_by, is_cut, is_marked
from realtime_trio._state.utility_events import UtilityEvent
from realtime_trio.errors import BudgetExceeded, LocalProtocolError
from realtime_trio.events import (
    ConversationItemInputAudioTranscriptionCompleted,
    ErrorEvent,
    Event,
    RateLimitsUpdated,
    RealtimeSession,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
)

Limit: TypeAlias = Literal["usd", "tokens", "seconds"]
"""What can run out."""

LONGEST_OUTPUT: Final = 4096
"""The most that `max_output_tokens` may say, by the protocol: three minutes of speech."""
UNLIMITED_OUTPUT: Final = 32_768
"""What a response may say that is given no limit, by the model that may say most.  While that much
is left, nothing is clamped."""
GOODBYE_TOKENS: Final = 400
"""What a goodbye may say: some 15 seconds of speech, with their transcript."""
GOODBYE: Final = "Tell the user, in one short sentence, that you have to end now, and say goodbye."

Ending: TypeAlias = Literal["refuse", "close", "goodbye"]
"""What happens when a budget is spent."""


def _usd(value: Dollars | None) -> Decimal | None:
    return None if value is None else dollars("usd", value)


@attrs.frozen(kw_only=True)
class Budget:
    """What a session may take: at least one limit, of which the first that is reached counts.

    Raises:
        LocalProtocolError, TypeError: There is no limit, or one is not a number that makes sense.
    """

    usd: Decimal | None = attrs.field(default=None, converter=_usd)
    """US dollars for responses and transcriptions; needs the prices of the model."""
    tokens: int | None = None
    """Tokens read and written by responses and transcriptions, cached ones included."""
    seconds: float | None = None
    """Seconds since the session could be used, idle ones included."""
    warn_at: float = 0.8
    """The share of a limit, more than 0 and at most 1, at which a `BudgetWarning` comes."""
    when_spent: Ending = "refuse"
    """`refuse`: no more responses are asked for, and the session goes on.  `close`: it ends with
    the response that is active.  `goodbye`: the model says goodbye first."""
    goodbye: str = GOODBYE
    """What the model is told in order to say goodbye, after the instructions of the session."""

    def __attrs_post_init__(self) -> None:
        if self.usd is None and self.tokens is None and self.seconds is None:
            raise LocalProtocolError("a budget needs a limit: usd=, tokens= or seconds=")
        if self.tokens is not None:
            check_kind("tokens", self.tokens, int, allowed="a whole number of tokens")
            check_number("tokens", self.tokens, lambda n: n >= 0, allowed="0 or more tokens")
        if self.seconds is not None:
            check_number("seconds", self.seconds, lambda n: n >= 0, allowed="0 or more seconds")
        check_number(
            "warn_at", self.warn_at, lambda n: 0 < n <= 1, allowed="more than 0 and at most 1"
        )
        check_choice("when_spent", self.when_spent, ("refuse", "close", "goodbye"))
        check_kind("goodbye", self.goodbye, str, allowed="a str")


@frozen(kw_only=True)
class Spent:
    """What was taken so far, in the units of a `Budget`."""

    usd: Decimal
    """US dollars, as far as there are prices."""
    tokens: int
    """Tokens of responses and transcriptions."""
    seconds: float
    """Seconds since the session could be used."""


@frozen(kw_only=True)
class BudgetWarning(UtilityEvent):
    """A share of one limit is spent.  Comes once for each."""

    limit: Limit
    """Which limit."""
    share: float
    """How much of it is spent, from 0 to 1, or more."""
    spent: Spent
    """What was spent."""


@frozen(kw_only=True)
class BudgetSpent(UtilityEvent):
    """No more responses are asked for.  Comes once, for the limit that was reached first."""

    limit: Limit
    """Which limit."""
    spent: Spent
    """What was spent."""


@attrs.define(eq=False)
class _Promise:
    create: ResponseCreate
    tokens: int
    is_aside: bool
    response_id: str | None = None


class BudgetMeter:
    """One budget, and what was taken of it.

    Args:
        budget: The limits.
        prices: The price list; needed for a limit in US dollars.
        model: The model that was asked for, None if nobody knows.
        is_default: Whether nobody has chosen that model, so that a server may take no notice of it.
        now: The time at which the seconds begin, on any clock that does not go back.

    Raises:
        LocalProtocolError: The budget is in US dollars, and the list has no price of what the model
            says.  If that turns out later, because only the server names the model, nothing is
            admitted.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        prices: Prices = MappingProxyType({}),
        model: str | None = None,
        is_default: bool = False,
        now: float = 0.0,
    ) -> None:
        self.budget = budget
        self.costs = Costs(model, is_default=is_default)
        """What was taken, by model."""
        self._prices = prices
        self._began = now
        self._max_output: object = None
        self._promises: dict[object, _Promise] = {}
        """Id of a create, or anything if it has none -> what it may say."""
        self._warned: set[Limit] = set()
        self._spent_limit: Limit | None = None
        self._goodbye_id: str | None = None
        self._echoes = False
        """Whether the server repeats metadata, as far as was seen."""
        self._last_read: tuple[int, Decimal] = (0, ZERO)
        """Tokens and dollars of what the last response in the conversation has read."""
        if budget.usd is not None and model is not None and self._price_of_output is None:
            raise LocalProtocolError(
                f"a budget in US dollars needs the prices of {model!r}, which are not known: "
                "give prices={...}, or a limit in tokens or seconds"
            )

    # --- looking ----------------------------------------------------------------------------------

    @property
    def is_spent(self) -> bool:
        """Whether no more responses are admitted."""
        return self._spent_limit is not None

    @property
    def next_time(self) -> float | None:
        """When to call `pass_time` next; None if time has nothing more to say."""
        seconds = self.budget.seconds
        if seconds is None or self.is_spent:
            return None
        share = 1.0 if "seconds" in self._warned else self.budget.warn_at
        return self._began + seconds * share

    def begin(self, now: float) -> None:
        """Count the seconds from here on: the session can be used."""
        self._began = now

    def spent(self, now: float) -> Spent:
        """What was taken until now."""
        usage = self.costs.usage
        return Spent(
            usd=session_cost(self.costs, self._prices, is_bound=True).known,
            tokens=max(usage.total_tokens, usage.input_tokens + usage.output_tokens)
            + usage.transcription_tokens,
            seconds=max(0.0, now - self._began),
        )

    def check(self, now: float) -> None:
        """Say whether anything is left, as far as is known before the responses under way are done.

        Raises:
            BudgetExceeded: There is not.
        """
        self._check(self.spent(now))

    # --- what is about to be sent -----------------------------------------------------------------

    def admit(self, create: ResponseCreate, now: float) -> ResponseCreate:
        """Let a response be asked for.

        Args:
            create: What is about to be sent; with an event id of its own, so that a refusal by the
                server can be told.
            now: The time.

        Returns:
            The same event, or one with less `max_output_tokens`: no more than what is left.

        Raises:
            BudgetExceeded: Nothing is left.
        """
        config = create.response or ResponseConfig()
        is_aside = config.conversation == "none"
        is_goodbye = create.event_id is not None and create.event_id == self._goodbye_id
        if not is_aside:
            self._promises = {key: each for key, each in self._promises.items() if each.is_aside}
        left = GOODBYE_TOKENS if is_goodbye else self._admissible(now)
        asked = self._asked_output(config)
        if asked is not None:
            allowed = min(asked, left)
        else:
            allowed = UNLIMITED_OUTPUT if left >= UNLIMITED_OUTPUT else min(left, LONGEST_OUTPUT)
        if allowed not in (asked, UNLIMITED_OUTPUT):
            create = attrs.evolve(create, response=attrs.evolve(config, max_output_tokens=allowed))
        self._promises[create.event_id or object()] = _Promise(create, allowed, is_aside)
        return create

    def has_admitted(self, event_id: str | None) -> bool:
        """Whether a create of this id was admitted, and its response is not done."""
        return event_id in self._promises

    def is_under_way(self, response_id: str) -> bool:
        """Whether a response was admitted and is not done, as far as one can tell."""
        return any(each.response_id == response_id for each in self._promises.values())

    def withdraw(self, event_id: str | None) -> None:
        """Note that there will be no response to a create that was admitted, and keep no promise.

        It went with its connection before the server had taken it, and is not sent again.
        """
        self._promises.pop(event_id, None)

    def expect_goodbye(self, event_id: str) -> None:
        """Admit the create of this id, although nothing is left, until its response is done.

        One that went with its connection may be asked for again.
        """
        self._goodbye_id = event_id

    # --- what happened ----------------------------------------------------------------------------

    def apply(self, event: Event, now: float) -> tuple[UtilityEvent, ...]:
        """Take note of a server event; most are of no interest.  Never raises.

        Returns:
            What follows from it: a warning, or that the budget is spent.
        """
        react = self.reactions[type(event)]
        if react is None:
            return ()
        self.costs.apply(event)
        react(self, event)
        return self.pass_time(now)

    def pass_time(self, now: float) -> tuple[UtilityEvent, ...]:
        """Take note of the time, at the latest when `next_time` has come."""
        spent = self.spent(now)
        told: list[UtilityEvent] = []
        for limit, share in self._shares(spent).items():
            if share >= self.budget.warn_at and limit not in self._warned:
                self._warned.add(limit)
                told.append(BudgetWarning(limit=limit, share=share, spent=spent))
        if self._spent_limit is None and (limit_reached := self._reached(spent)) is not None:
            self._spent_limit = limit_reached
            told.append(BudgetSpent(limit=limit_reached, spent=spent))
        return tuple(told)

    # --- inside -----------------------------------------------------------------------------------

    def _shares(self, spent: Spent) -> Mapping[Limit, float]:
        budget = self.budget
        shares: dict[Limit, float] = {}
        if budget.usd is not None:
            shares["usd"] = float(spent.usd / budget.usd) if budget.usd else 1.0
        if budget.tokens is not None:
            shares["tokens"] = spent.tokens / budget.tokens if budget.tokens else 1.0
        if budget.seconds is not None:
            shares["seconds"] = spent.seconds / budget.seconds if budget.seconds else 1.0
        return shares

    def _reached(self, spent: Spent) -> Limit | None:
        """The limit that leaves not a token for a response, if there is one."""
        if self.budget.seconds is not None and spent.seconds >= self.budget.seconds:
            return "seconds"
        left = self._left(spent)
        return next((limit for limit, tokens in left.items() if tokens < 1), None)

    def _admissible(self, now: float) -> int:
        """Tokens that one more response may say."""
        spent = self.spent(now)
        self._check(spent)
        promised = sum(each.tokens for each in self._promises.values())
        left = self._left(spent)
        if not left:
            return UNLIMITED_OUTPUT
        limit = min(left, key=left.__getitem__)
        if left[limit] - promised < 1:
            raise BudgetExceeded(
                "no response is asked for: what is left of the budget is promised to those under "
                f"way; {self._words(spent, limit)}",
                limit=limit,
            )
        return left[limit] - promised

    def _check(self, spent: Spent) -> None:
        reached = self._spent_limit or self._reached(spent)
        if reached is not None:
            raise BudgetExceeded(
                f"no response is asked for: {self._words(spent, reached)}", limit=reached
            )

    def _words(self, spent: Spent, limit: Limit) -> str:
        budget = self.budget
        match limit:
            case "usd" if self._price_of_output is None:
                return f"no price is known for {self.costs.model!r}, for a budget in US dollars"
            case "usd":
                said = f"${spent.usd:f} of the budget of ${budget.usd:f} are spent"
            case "tokens":
                said = f"{spent.tokens} tokens of the budget of {budget.tokens} are spent"
            case _:
                said = f"{spent.seconds:g} s of the budget of {budget.seconds:g} s have passed"
        is_set_aside = self._shares(spent)[limit] < 1 and budget.when_spent == "goodbye"
        return f"{said}, and the rest is set aside for a goodbye" if is_set_aside else said

    def _left(self, spent: Spent) -> dict[Limit, int]:
        """Tokens of output that the limits leave, but for the goodbye."""
        left: dict[Limit, int] = {}
        has_goodbye = self.budget.when_spent == "goodbye"
        read, paid = self._last_read if has_goodbye else (0, ZERO)
        words = GOODBYE_TOKENS if has_goodbye else 0
        if self.budget.tokens is not None:
            left["tokens"] = self.budget.tokens - spent.tokens - read - words
        if self.budget.usd is not None:
            rest = EXACT.subtract(self.budget.usd, add(spent.usd, paid))
            left["usd"] = self._affordable(rest) - words
        return left

    def _affordable(self, rest: Decimal) -> int:
        """Tokens of output that are to be had for so many dollars."""
        price = self._price_of_output
        if price is None or rest <= 0:
            return 0
        if not price:
            return UNLIMITED_OUTPUT  # saying something is free, reading is not
        return int(EXACT.divide(rest, price).to_integral_value(ROUND_FLOOR, context=EXACT))

    @property
    def _price_of_output(self) -> Decimal | None:
        return dearest_output(self._prices, *self._model_names)

    @property
    def _model_names(self) -> tuple[str | None, str | None]:
        return self.costs.model, self.costs.alias_of(self.costs.model)

    def _asked_output(self, config: ResponseConfig) -> int | None:
        asked: object = config.max_output_tokens or self._max_output
        return asked if isinstance(asked, int) else None

    def _on_session(self, event: SessionCreated | SessionUpdated) -> None:
        if isinstance(event.session, RealtimeSession):
            self._max_output = event.session.max_output_tokens

    def _on_created(self, event: ResponseCreated) -> None:
        promise = self._find(event)
        if promise is not None:
            promise.response_id = event.response.id

    def _on_done(self, event: ResponseDone) -> None:
        promise = self._find(event)
        if promise is not None:
            self._drop(promise)
            if promise.create.event_id == self._goodbye_id and not is_cut(event.response):
                self._goodbye_id = None
        usage = event.response.usage
        if usage is None:
            return
        if promise is None or not promise.is_aside:
            paid = cost_of(usage_of(usage), self._prices, *self._model_names).input
            self._last_read = (usage.input_tokens, paid)

    def _on_error(self, event: ErrorEvent) -> None:
        self._promises.pop(event.error.event_id, None)

    def _on_other(self, event: ServerEvent) -> None:
        """What the sums know what to do with."""

    def _find(self, event: ResponseCreated | ResponseDone) -> _Promise | None:
        response, promises = event.response, self._promises.values()
        for each in promises:
            if each.response_id is not None and each.response_id == response.id:
                return each
        waiting = [each for each in promises if each.response_id is None]
        for each in waiting:
            if is_answered_by(each.create, response.metadata):
                self._echoes = True
                return each
        # One that has a name would be told by it.
        nameless = (each for each in waiting if not (self._echoes and is_marked(each.create)))
        return next(nameless, None)

    def _drop(self, promise: _Promise) -> None:
        self._promises = {key: each for key, each in self._promises.items() if each is not promise}

    reactions: ClassVar[Reactions[BudgetMeter, None]] = Reactions(
        {
            ConversationItemInputAudioTranscriptionCompleted: _on_other,
            ErrorEvent: _on_error,
            RateLimitsUpdated: _on_other,
            ResponseCreated: _on_created,
            ResponseDone: _on_done,
            SessionCreated: _on_session,
            SessionUpdated: _on_session,
        }
    )
    """What concerns a budget: what `Costs` wants to know, and the life of responses."""
