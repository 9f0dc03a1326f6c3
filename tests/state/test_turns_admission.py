"""Requests that are not admitted: nothing of them is sent, and everybody is told."""

from __future__ import annotations

from itertools import count

import attrs
import pytest
from turn_events import called, created, done, feed, refusal, request, sent

from realtime_trio._state.turns.actions import Failed, NotAsked, Send
from realtime_trio._state.turns.exchange import State
from realtime_trio._state.turns.machine import Turns
from realtime_trio.errors import BudgetExceeded
from realtime_trio.events import ResponseConfig, ResponseCreate

NO = BudgetExceeded("nothing is left", limit="tokens")


class Gate:
    """Admits creates until it is told not to."""

    def __init__(self) -> None:
        self.is_closed = False
        self.asked: list[str | None] = []

    def __call__(self, create: ResponseCreate) -> ResponseCreate:
        self.asked.append(create.event_id)
        if self.is_closed:
            raise NO
        return create


def open_gated() -> tuple[Turns, Gate]:
    numbers, gate = count(1), Gate()
    return Turns(lambda prefix: f"{prefix}{next(numbers)}", gate), gate


def test_what_is_admitted_is_what_is_sent() -> None:
    def shorter(create: ResponseCreate) -> ResponseCreate:
        config = create.response or ResponseConfig()
        return attrs.evolve(create, response=attrs.evolve(config, max_output_tokens=7))

    turns = Turns(lambda prefix: prefix, shorter)
    (action,) = turns.want_response(request("a"))
    assert isinstance(action, Send)
    assert isinstance(action.event, ResponseCreate)
    assert action.event.response is not None
    assert action.event.response.max_output_tokens == 7
    assert action.event.response.metadata == {"client_event_id": "a"}


@pytest.mark.parametrize("aside", [False, True])
def test_nothing_is_sent_of_a_request_that_is_not_admitted(aside: bool) -> None:
    turns, gate = open_gated()
    gate.is_closed = True
    wish = request("a", aside=aside, about="m")
    assert turns.want_response(wish) == (NotAsked(wish, NO, wish.about),)
    assert turns.state is State.FREE
    assert not turns.is_responding


def test_it_is_asked_when_it_is_its_turn_and_not_before() -> None:
    turns, gate = open_gated()
    first, second, third = request("a"), request("b", about="m"), request("c")
    for wish in (first, second, third):
        turns.want_response(wish)
    assert gate.asked == ["a"]
    gate.is_closed = True
    actions = feed(turns, [created("r", "a"), done("r")])
    assert [each for each in actions if isinstance(each, NotAsked)] == [
        NotAsked(second, NO, second.about),
        NotAsked(third, NO, ()),
    ]
    assert sent(*actions) == []
    gate.is_closed = False
    assert sent(*turns.want_response(request("d"))) == ["d"]


def test_any_number_of_them_takes_no_deeper_stack() -> None:
    turns, gate = open_gated()
    for number in range(5000):
        turns.want_response(request(f"evt_{number}"))
    gate.is_closed = True
    actions = feed(turns, [created("r", "evt_0"), done("r")])
    assert sum(isinstance(each, NotAsked) for each in actions) == 4999


def test_who_waits_for_the_reply_to_tools_is_told() -> None:
    turns, gate = open_gated()
    wish = request("a")
    turns.want_response(wish)
    feed(turns, [created("r", "a"), called("r", "c"), done("r")])
    awaiting = [turns.awaits_outputs]
    gate.is_closed = True
    assert turns.call_answered("c") == (Failed(wish, NO),)
    assert [*awaiting, turns.awaits_outputs] == [True, False]
    # These outputs are not asked about again, and later ones are.
    assert turns.stop_waiting_for_user() == ()
    gate.is_closed = False
    assert sent(*turns.want_response(request("b"))) == ["b"]


def test_a_request_that_the_server_refused_once_has_said_what_it_is_about() -> None:
    turns, gate = open_gated()
    wish = request("a", about="m")
    assert sent(*turns.want_response(wish)) == ["m", "a"]
    feed(turns, [created("vad"), refusal("a")])
    gate.is_closed = True
    actions = feed(turns, [done("vad")])
    assert NotAsked(wish, NO, ()) in actions
