"""What a session may cost, and what a relay does when that is spent."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest

from realtime_trio._protocol.codec import Codec
from realtime_trio.events import ClientEvent, ResponseCreate, SessionConfig
from realtime_trio.money import Budget, ModelPrices
from realtime_trio.relay.actions import Actions, ToService
from realtime_trio.relay.ending import Ending
from realtime_trio.relay.grant import Grant
from realtime_trio.relay.guest_events import NotAllowedError
from realtime_trio.relay.spending import Spending

CREATE = '{"type":"response.create"}'


def spending(**grant: Any) -> Spending:
    numbers = count(1)

    def ask(event: ClientEvent) -> ToService:
        return ToService(Codec().encode(event))

    return Spending(Grant(**grant), 0.0, new_id=lambda prefix: f"{prefix}{next(numbers)}", ask=ask)


def created(made: Spending, response_id: str, now: float = 0.0) -> Actions:
    response = {"id": response_id, "status": "in_progress"}
    event = {"type": "response.created", "event_id": "e", "response": response}
    return made.apply(json.dumps(event), now)


def done(made: Spending, response_id: str, tokens: int = 0, now: float = 0.0) -> Actions:
    usage = {"total_tokens": tokens, "input_tokens": tokens, "output_tokens": 0}
    response = {"id": response_id, "status": "completed", "usage": usage}
    event = {"type": "response.done", "event_id": "e", "response": response}
    return made.apply(json.dumps(event), now)


def asked(actions: Actions) -> dict[str, Any]:
    [action] = actions
    assert isinstance(action, ToService), action
    event: dict[str, Any] = json.loads(action.text)
    return event


def is_end(actions: Actions) -> bool:
    return [type(action) for action in actions] == [Ending]


def test_without_a_budget_everything_is_counted_and_nothing_refused() -> None:
    made = spending(prices={"gpt-x": ModelPrices(text_input=1)}, model="gpt-x")
    assert made.next_time is None
    assert made.admit_text(CREATE, 0.0) == CREATE
    create = ResponseCreate()
    assert made.admit(create, 0.0) is create
    usage = {
        "total_tokens": 1_000_000,
        "input_tokens": 1_000_000,
        "input_token_details": {"text_tokens": 1_000_000},
    }
    event = {"type": "response.done", "event_id": "e", "response": {"id": "r", "usage": usage}}
    assert made.apply(json.dumps(event), 0.0) == ()
    assert made.usage.input_tokens == 1_000_000
    assert made.usd == 1
    made.begin(1.0)
    assert made.pass_time(1e9) == ()
    assert made.apply("[]", 0.0) == ()


def test_what_little_is_left_is_all_that_a_response_may_say() -> None:
    made = spending(budget=Budget(tokens=100))
    event = json.loads(made.admit_text(CREATE, 0.0))
    assert event["response"]["max_output_tokens"] == 100
    assert event["event_id"]
    with pytest.raises(NotAllowedError, match="does not fit"):
        made.admit_text('{"type":"response.create","response":1}', 0.0)


def test_where_much_is_left_the_text_is_passed_on_as_it_came() -> None:
    made = spending(budget=Budget(tokens=10**9))
    text = ' {"type": "response.create", "event_id": "mine", "tomorrow": 1}'
    assert made.admit_text(text, 0.0) == text


def test_once_it_is_spent_nothing_is_asked_for_and_the_session_goes_on() -> None:
    made = spending(budget=Budget(tokens=100))
    assert created(made, "r1") == ()
    assert done(made, "r1", 100) == ()
    with pytest.raises(NotAllowedError) as refused:
        made.admit_text(CREATE, 0.0)
    assert refused.value.code == "budget_exceeded"
    assert asked(created(made, "r2"))["response_id"] == "r2"
    assert asked(created(made, "")).get("response_id") is None
    assert done(made, "r2") == ()
    assert made.pass_time(1e9) == ()


def test_it_may_end_the_session_with_the_response_that_is_active() -> None:
    made = spending(budget=Budget(seconds=10, when_spent="close"))
    made.begin(5.0)
    created(made, "r1")
    assert made.next_time == 13.0
    assert made.pass_time(13.0) == ()
    assert made.next_time == 15.0
    assert made.pass_time(15.0) == ()
    assert made.next_time == 45.0
    assert is_end(done(made, "r1", now=20.0))
    assert made.pass_time(44.0) == ()
    assert is_end(made.pass_time(45.0))


def test_it_ends_at_once_if_no_response_is_active() -> None:
    made = spending(budget=Budget(tokens=100, when_spent="close"))
    created(made, "r1")
    assert is_end(done(made, "r1", 100))


def goodbye() -> tuple[Spending, dict[str, Any]]:
    """A session whose model is asked to say goodbye, and how."""
    made = spending(
        budget=Budget(tokens=1000, when_spent="goodbye", goodbye="Say goodbye."),
        session=SessionConfig.of(instructions="You are a pirate."),
    )
    created(made, "r1")
    create = asked(done(made, "r1", 1000))
    assert create["response"]["instructions"] == "You are a pirate.\n\nSay goodbye."
    return made, create


def test_the_model_may_say_goodbye_first() -> None:
    made, _ = goodbye()
    assert created(made, "r2") == ()
    assert is_end(done(made, "r2"))


def test_a_goodbye_that_is_refused_or_does_not_come_is_the_end_all_the_same() -> None:
    made, create = goodbye()
    other = {"type": "error", "event_id": "e", "error": {"type": "x", "message": "x"}}
    assert made.apply(json.dumps(other), 0.0) == ()
    error = {"type": "x", "message": "x", "event_id": create["event_id"]}
    assert is_end(made.apply(json.dumps({"type": "error", "event_id": "e", "error": error}), 0.0))
    made, _ = goodbye()
    assert is_end(made.pass_time(30.0))


def test_whatever_else_begins_during_the_goodbye_is_cancelled() -> None:
    made, _ = goodbye()
    created(made, "r2")
    assert asked(created(made, "r3"))["type"] == "response.cancel"
    assert done(made, "r3") == ()
    assert is_end(done(made, "r2"))


def test_an_error_about_the_guest_ends_nothing() -> None:
    made, _ = goodbye()
    error = {"type": "x", "message": "x", "event_id": "of the guest"}
    assert made.apply(json.dumps({"type": "error", "event_id": "e", "error": error}), 0.0) == ()
