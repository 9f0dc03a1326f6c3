"""A budget is exceeded by what one response reads, and by nothing else."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

import attrs
import pytest
from bills import MODEL, PRICES, began, create, created, done, transcribed, usage
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from strategies import any_server_event

from realtime_trio._state.budget import (
    GOODBYE_TOKENS,
    LONGEST_OUTPUT,
    UNLIMITED_OUTPUT,
    Budget,
    BudgetMeter,
    BudgetSpent,
    BudgetWarning,
    Spent,
)
from realtime_trio._state.prices import ModelPrices
from realtime_trio._state.turns.run import cut
from realtime_trio.errors import BudgetExceeded, LocalProtocolError
from realtime_trio.events import (
    ErrorDetail,
    ErrorEvent,
    InputAudioBufferCommitted,
    MaxOutputTokens,
    ResponseConfig,
    ResponseCreate,
    ResponseDone,
    ServerEvent,
    Unset,
)


def meter(budget: Budget) -> BudgetMeter:
    return BudgetMeter(budget, prices=PRICES, model=MODEL, now=100.0)


def clamp(event: ResponseCreate) -> MaxOutputTokens | Unset | None:
    return (event.response or ResponseConfig()).max_output_tokens


def refused(event_id: str | None) -> ErrorEvent:
    detail = ErrorDetail(type="invalid_request_error", message="no", event_id=event_id)
    return ErrorEvent(event_id="e", error=detail)


# --- budgets themselves -------------------------------------------------------------------------


def test_dollars_are_taken_as_they_are_written() -> None:
    assert Budget(usd=0.1).usd == Decimal("0.1")
    assert Budget(usd="0.1").usd == Budget(usd=Decimal("0.10")).usd


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({}, LocalProtocolError, "a budget needs a limit"),
        ({"usd": -1}, LocalProtocolError, "usd must be 0 or more"),
        ({"usd": "lots"}, LocalProtocolError, "usd must be an amount"),
        ({"tokens": 1.5}, TypeError, "tokens must be a whole number"),
        ({"tokens": True}, TypeError, "tokens must be 0 or more tokens"),
        ({"tokens": -1}, LocalProtocolError, "tokens must be 0 or more tokens"),
        ({"seconds": -1}, LocalProtocolError, "seconds must be 0 or more seconds"),
        ({"seconds": "ten"}, TypeError, "seconds must be 0 or more seconds"),
        ({"tokens": 1, "warn_at": 0}, LocalProtocolError, "warn_at must be more than 0"),
        ({"tokens": 1, "warn_at": 1.1}, LocalProtocolError, "warn_at must be more than 0"),
        ({"tokens": 1, "when_spent": "explode"}, LocalProtocolError, "when_spent must be"),
        ({"tokens": 1, "goodbye": 1}, TypeError, "goodbye must be a str"),
    ],
)
def test_budgets_that_make_no_sense_are_refused(
    options: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Budget(**options)


def test_a_budget_in_dollars_needs_prices() -> None:
    with pytest.raises(LocalProtocolError, match="needs the prices of 'albatross'"):
        BudgetMeter(Budget(usd=1), prices=PRICES, model="albatross")
    with pytest.raises(LocalProtocolError, match="needs the prices of 'scribe-1'"):
        BudgetMeter(Budget(usd=1), prices=PRICES, model="scribe-1")
    BudgetMeter(Budget(tokens=1), model="albatross")


def test_nothing_is_admitted_in_dollars_if_the_server_names_a_model_without_a_price() -> None:
    limited = BudgetMeter(Budget(usd=1), prices=PRICES)
    assert [type(event) for event in limited.apply(created("albatross"), 0.0)] == [BudgetSpent]
    with pytest.raises(BudgetExceeded, match="no price is known for 'albatross'"):
        limited.admit(create("a"), 0.0)


# --- what is left -------------------------------------------------------------------------------


def test_plenty_changes_nothing() -> None:
    limited = meter(Budget(usd=100, tokens=10**6, seconds=60))
    for event in (create("a"), create("a", most=10), create("a", most="inf")):
        assert limited.admit(event, 100.0) is event


def test_what_has_no_limit_gets_one_as_soon_as_it_could_say_more_than_is_left() -> None:
    assert clamp(meter(Budget(tokens=UNLIMITED_OUTPUT)).admit(create("a"), 100.0)) is None
    limited = meter(Budget(tokens=UNLIMITED_OUTPUT - 1))
    assert clamp(limited.admit(create("a", most="inf"), 100.0)) == LONGEST_OUTPUT
    assert clamp(limited.admit(create("b", most=5000), 100.0)) == 5000


def test_a_response_may_say_no_more_than_what_is_left() -> None:
    limited = meter(Budget(tokens=1000))
    assert clamp(limited.admit(create("a"), 100.0)) == 1000
    limited.apply(done("r1", usage(text=300, speaks=200)), 100.0)
    assert clamp(limited.admit(create("b", most=501), 100.0)) == 500
    assert clamp(limited.admit(create("c", most=499), 100.0)) == 499


def test_dollars_are_counted_in_the_dearest_tokens() -> None:
    limited = meter(Budget(usd="0.064"))
    assert clamp(limited.admit(create("a"), 100.0)) == 1000


def test_the_maximum_of_the_session_is_kept() -> None:
    limited = meter(Budget(tokens=1000))
    limited.apply(created(max_output_tokens=800), 100.0)
    assert clamp(limited.admit(create("a"), 100.0)) is None
    limited.apply(done("r1", usage(text=300)), 100.0)
    assert clamp(limited.admit(create("b"), 100.0)) == 700


def test_what_costs_nothing_to_say_is_limited_by_what_it_costs_to_read() -> None:
    prices = {MODEL: ModelPrices(text_input=1_000_000, text_output=0)}
    limited = BudgetMeter(Budget(usd=5), prices=prices, model=MODEL)
    assert clamp(limited.admit(create("a"), 0.0)) is None
    limited.apply(done("r1", usage(text=5)), 0.0)
    assert limited.is_spent


def test_when_nothing_is_left_nothing_is_admitted() -> None:
    limited = meter(Budget(tokens=1000, usd=5))
    limited.apply(done("r1", usage(text=1000)), 100.0)
    with pytest.raises(BudgetExceeded) as caught:
        limited.admit(create("a"), 100.0)
    assert str(caught.value) == (
        "no response is asked for: 1000 tokens of the budget of 1000 are spent"
    )
    assert caught.value.limit == "tokens"
    assert not limited.has_admitted("a")
    with pytest.raises(BudgetExceeded):
        limited.check(100.0)


def test_the_message_names_the_limit_in_its_own_unit() -> None:
    limited = meter(Budget(usd="0.01"))
    limited.apply(done("r1", usage(speaks=200)), 100.0)
    with pytest.raises(BudgetExceeded, match=r"\$0\.0128 of the budget of \$0\.01 are spent"):
        limited.check(100.0)
    with pytest.raises(BudgetExceeded, match=r"60 s of the budget of 60 s have passed"):
        meter(Budget(seconds=60)).check(160.0)


def test_a_budget_that_is_smaller_than_its_goodbye_says_so() -> None:
    with pytest.raises(
        BudgetExceeded, match="0 tokens of the budget of 300 are spent, and the rest is set aside"
    ):
        meter(Budget(tokens=300, when_spent="goodbye")).check(100.0)


def test_transcriptions_count() -> None:
    limited = meter(Budget(tokens=10, usd=1))
    limited.apply(transcribed("item_1", 60.0), 100.0)
    assert limited.spent(130.0) == Spent(usd=Decimal(0), tokens=0, seconds=30.0)


def test_totals_that_a_server_leaves_out_are_added_up() -> None:
    limited = meter(Budget(tokens=10))
    limited.apply(done("r1", attrs.evolve(usage(text=3, says=4), total_tokens=0)), 100.0)
    assert limited.spent(100.0).tokens == 7


# --- promises -----------------------------------------------------------------------------------


def test_two_at_once_cannot_spend_the_same_rest() -> None:
    limited = meter(Budget(tokens=1000))
    limited.admit(create("a", most=600), 100.0)
    assert clamp(limited.admit(create("b", aside=True), 100.0)) == 400
    with pytest.raises(BudgetExceeded, match="promised to those under way"):
        limited.admit(create("c", aside=True), 100.0)


@pytest.mark.parametrize(
    "end",
    [
        [began("r1", of="a"), done("r1")],
        [done("r1", of="a")],
        [began("r1"), done("r1")],
        [done("r1")],
        [refused("a")],
    ],
)
def test_the_end_of_a_response_gives_back_what_it_did_not_say(end: list[ServerEvent]) -> None:
    limited = meter(Budget(tokens=1000))
    limited.admit(create("a"), 100.0)
    for event in end:
        limited.apply(event, 100.0)
    assert not limited.has_admitted("a")
    assert clamp(limited.admit(create("b", aside=True), 100.0)) == 1000


def test_what_the_server_will_never_take_keeps_no_promise() -> None:
    limited = meter(Budget(tokens=1000))
    limited.admit(create("a", aside=True), 100.0)
    limited.withdraw("b")
    assert limited.has_admitted("a")
    limited.withdraw("a")
    assert clamp(limited.admit(create("b", aside=True), 100.0)) == 1000


def test_a_response_is_known_by_its_name_among_several() -> None:
    limited = meter(Budget(tokens=1000))
    limited.admit(create("a", most=100), 100.0)
    limited.admit(create("b", most=200, aside=True), 100.0)
    limited.apply(began("r2", of="b"), 100.0)
    limited.apply(done("r2"), 100.0)
    assert limited.has_admitted("a")
    assert not limited.has_admitted("b")


def test_a_refusal_of_something_else_changes_nothing() -> None:
    limited = meter(Budget(tokens=1000))
    limited.admit(create("a"), 100.0)
    limited.apply(refused(None), 100.0)
    limited.apply(refused("evt_other"), 100.0)
    assert limited.has_admitted("a")


def test_a_create_in_the_conversation_takes_the_place_of_one_that_never_ended() -> None:
    limited = meter(Budget(tokens=1000))
    limited.admit(create("a"), 100.0)
    limited.apply(began("r1", of="a"), 100.0)
    assert clamp(limited.admit(create("b"), 100.0)) == 1000


def test_creates_without_an_id_are_counted_too() -> None:
    limited = meter(Budget(tokens=1000))
    limited.admit(create(None, aside=True, most=900), 100.0)
    assert clamp(limited.admit(create("a"), 100.0)) == 100


# --- time, warnings, the end --------------------------------------------------------------------


def test_seconds_count_while_nothing_happens() -> None:
    limited = meter(Budget(seconds=60))
    assert limited.next_time == 148.0
    assert limited.pass_time(148.0)[0] == BudgetWarning(
        limit="seconds", share=0.8, spent=Spent(usd=Decimal(0), tokens=0, seconds=48.0)
    )
    assert limited.next_time == 160.0
    (spent,) = limited.pass_time(160.0)
    assert spent == BudgetSpent(
        limit="seconds", spent=Spent(usd=Decimal(0), tokens=0, seconds=60.0)
    )
    assert limited.pass_time(200.0) == ()


def test_seconds_begin_when_the_session_does() -> None:
    limited = meter(Budget(seconds=60))
    limited.begin(500.0)
    limited.check(559.0)
    with pytest.raises(BudgetExceeded):
        limited.check(560.0)


def test_seconds_alone_limit_no_words() -> None:
    event = create("a")
    assert meter(Budget(seconds=60)).admit(event, 100.0) is event


def test_without_a_limit_in_seconds_time_has_nothing_to_say() -> None:
    assert meter(Budget(tokens=1)).next_time is None


def test_each_limit_warns_once() -> None:
    limited = meter(Budget(tokens=1000, usd=1, warn_at=0.5))
    assert limited.apply(done("r1", usage(text=499)), 100.0) == ()
    (warning,) = limited.apply(done("r2", usage(text=1)), 100.0)
    assert isinstance(warning, BudgetWarning)
    assert (warning.limit, warning.share) == ("tokens", 0.5)
    assert limited.apply(done("r3", usage(text=100)), 100.0) == ()


def test_nothing_at_all_is_spent_at_once() -> None:
    for budget in (Budget(tokens=0), Budget(usd=0), Budget(seconds=0)):
        limited = meter(budget)
        with pytest.raises(BudgetExceeded):
            limited.check(100.0)
        assert [type(each) for each in limited.pass_time(100.0)] == [BudgetWarning, BudgetSpent]
        assert limited.is_spent


def test_what_is_spent_stays_spent_whatever_is_corrected() -> None:
    limited = meter(Budget(tokens=1000))
    limited.apply(done("r1", usage(text=1000)), 100.0)
    limited.apply(done("r1", usage(text=1)), 100.0)
    with pytest.raises(BudgetExceeded):
        limited.check(100.0)


def test_most_events_are_of_no_interest() -> None:
    limited = meter(Budget(seconds=1))
    committed = InputAudioBufferCommitted(event_id="e", item_id="item_1")
    assert limited.apply(committed, 1000.0) == ()


# --- the goodbye --------------------------------------------------------------------------------


def test_a_goodbye_is_set_aside_from_the_beginning() -> None:
    limited = meter(Budget(tokens=2000, when_spent="goodbye"))
    limited.apply(done("r1", usage(text=500, says=100)), 100.0)
    left = 2000 - 600 - 500 - GOODBYE_TOKENS
    assert clamp(limited.admit(create("a"), 100.0)) == left
    limited.apply(done("r2", usage(text=600, says=400)), 100.0)
    assert limited.is_spent
    limited.expect_goodbye("bye")
    assert clamp(limited.admit(create("bye"), 100.0)) == GOODBYE_TOKENS
    limited.apply(refused("bye"), 100.0)  # turn detection was faster
    assert clamp(limited.admit(create("bye"), 100.0)) == GOODBYE_TOKENS
    assert limited.apply(began("r3", of="bye"), 100.0) == ()
    assert limited.is_under_way("r3")
    limited.apply(done("r3", usage(text=1)), 100.0)
    assert not limited.is_under_way("r3")
    with pytest.raises(BudgetExceeded):
        limited.admit(create("bye"), 100.0)


def test_it_is_set_aside_in_dollars_too_and_what_is_beside_does_not_count() -> None:
    limited = meter(Budget(usd="0.1", when_spent="goodbye"))
    limited.apply(done("r1", usage(text=1000)), 100.0)  # $0.004, to be read again
    assert clamp(limited.admit(create("a"), 100.0)) == (
        int(Decimal("0.092") / Decimal("0.000064")) - GOODBYE_TOKENS
    )
    limited.apply(done("r2", of="a"), 100.0)
    limited.admit(create("b", aside=True, most=1), 100.0)
    limited.apply(done("r3", usage(text=10), of="b"), 100.0)  # reads nothing of the conversation
    assert clamp(limited.admit(create("c"), 100.0)) == (
        int(Decimal("0.09196") / Decimal("0.000064")) - GOODBYE_TOKENS
    )


def test_a_goodbye_that_went_with_its_connection_may_be_said_again() -> None:
    limited = meter(Budget(seconds=0, when_spent="goodbye"))
    limited.expect_goodbye("bye")
    for response_id in ("r1", "r2"):
        limited.admit(create("bye"), 100.0)
        limited.apply(began(response_id, of="bye"), 100.0)
        limited.apply(ResponseDone(event_id="e", response=cut(response_id)), 100.0)
        assert not limited.is_under_way(response_id)
    limited.admit(create("bye"), 100.0)
    limited.apply(done("r3", of="bye"), 100.0)
    with pytest.raises(BudgetExceeded):
        limited.admit(create("bye"), 100.0)


def test_a_goodbye_may_be_shorter() -> None:
    limited = meter(Budget(seconds=0, when_spent="goodbye"))
    limited.expect_goodbye("bye")
    event = create("bye", most=20)
    assert limited.admit(event, 100.0) is event


# --- any order of things ------------------------------------------------------------------------


@given(st.lists(any_server_event(), max_size=12))
def test_no_event_makes_it_raise(events: list[ServerEvent]) -> None:
    for budget in (Budget(usd=1, tokens=1000, seconds=5), Budget(usd=1, when_spent="goodbye")):
        limited = meter(budget)
        for event in events:
            limited.apply(event, 100.0)
        with suppress(BudgetExceeded):
            limited.admit(create("a"), 100.0)


class Spending(RuleBasedStateMachine):
    """A client that asks for as much as it is allowed, and a server that says all it may."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(tokens=100_000, usd="3")
        self.meter = meter(self.budget)
        self.count = 0
        self.running: dict[str, int] = {}  # create -> the most that it may say
        self.in_conversation: str | None = None
        self.read_last = 0
        self.spent_before = Spent(usd=Decimal(0), tokens=0, seconds=0.0)
        self.last: dict[str, Spent] = {}

    @rule(aside=st.booleans(), most=st.none() | st.integers(1, LONGEST_OUTPUT))
    def ask(self, aside: bool, most: int | None) -> None:
        if not aside and self.in_conversation is not None:
            return  # the turns see to that
        self.count += 1
        name = f"evt_{self.count}"
        try:
            admitted = self.meter.admit(create(name, aside=aside, most=most), 100.0)
        except BudgetExceeded:
            assert self.meter.is_spent or self.running
            return
        said = clamp(admitted)
        self.running[name] = said if isinstance(said, int) else UNLIMITED_OUTPUT
        if not aside:
            self.in_conversation = name

    @precondition(lambda self: self.running)
    @rule(data=st.data(), reads=st.integers(0, 10_000), share=st.floats(0, 1), named=st.booleans())
    def answer(self, data: st.DataObject, reads: int, share: float, named: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.running)))
        most = self.running.pop(name)
        if name == self.in_conversation:
            self.in_conversation = None
        speaks = int(most * share)
        event = done(f"resp_{name}", usage(text=reads, speaks=speaks), of=name)
        self.meter.apply(event, 100.0)
        self.read_last += reads

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.running)))
        del self.running[name]
        if name == self.in_conversation:
            self.in_conversation = None
        self.meter.apply(refused(name), 100.0)

    @invariant()
    def what_was_said_is_never_more_than_was_left(self) -> None:
        """All that is read is read by responses that were admitted while something was left."""
        spent = self.meter.spent(100.0)
        assert self.budget.tokens is not None
        promised = sum(self.running.values())
        said = spent.tokens - self.read_last
        assert said + promised <= self.budget.tokens


Spending.TestCase.settings = settings(max_examples=100, stateful_step_count=20)
test_spending = Spending.TestCase


@given(
    st.lists(
        st.tuples(st.integers(0, 4000), st.integers(0, 400), st.floats(0, 1)),
        min_size=1,
        max_size=40,
    ),
    st.integers(0, 60_000),
    st.integers(0, 3_000_000),
)
def test_one_after_the_other_they_exceed_the_budget_by_what_the_last_one_reads(
    talk: list[tuple[int, int, float]], tokens: int, microdollars: int
) -> None:
    budget = Budget(tokens=tokens, usd=Decimal(microdollars) / 1_000_000)
    limited = meter(budget)
    assert budget.tokens is not None
    assert budget.usd is not None
    for number, (text, cached, share) in enumerate(talk):
        before = limited.spent(100.0)
        try:
            admitted = limited.admit(create(f"evt_{number}"), 100.0)
        except BudgetExceeded:
            assert limited.is_spent or number == 0
            break
        assert before.tokens < budget.tokens
        assert before.usd < budget.usd
        said = clamp(admitted)
        speaks = int((said if isinstance(said, int) else UNLIMITED_OUTPUT) * share)
        read = usage(text=text, cached=min(text, cached), speaks=0)
        took = usage(text=text, cached=min(text, cached), speaks=speaks)
        limited.apply(done(f"resp_{number}", took), 100.0)
        after = limited.spent(100.0)
        assert after.tokens - read.total_tokens <= budget.tokens
        reading = (text - min(text, cached)) * Decimal("4e-6") + min(text, cached) * Decimal("4e-7")
        assert after.usd - reading <= budget.usd
