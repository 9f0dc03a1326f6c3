"""The rules and the limits of one session together, with times passed in."""

from __future__ import annotations

import base64
import json
import math
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from relays import CREATED

from realtime_trio.events import ResponseCancel, ResponseConfig, ResponseCreate, SessionConfig
from realtime_trio.money import Budget, ModelPrices
from realtime_trio.relay.actions import Actions, ToGuest, ToService
from realtime_trio.relay.ending import Ending
from realtime_trio.relay.grant import DEFAULT_EVENTS, Grant
from realtime_trio.relay.guest_events import NotAllowedError
from realtime_trio.relay.limits import Limits
from realtime_trio.relay.policy import Policy

Json = dict[str, Any]


def get_weather(city: str) -> str:
    """The weather."""
    return city


def policy(*, is_open: bool = True, now: float = 0.0, **grant: Any) -> Policy:
    numbers = count(1)
    made = Policy(Grant(**grant), now, lambda prefix: f"{prefix}{next(numbers)}")
    if is_open:
        for wire_type in ("session.created", "session.updated"):
            if not made.is_open:
                made.from_service(json.dumps({**CREATED, "type": wire_type}), now)
        assert made.is_open
    return made


def limited(**limits: Any) -> Policy:
    return policy(limits=Limits(**limits))


def from_guest(made: Policy, payload: Json, now: float = 0.0) -> Actions:
    return made.from_guest(json.dumps(payload), now)


def from_service(made: Policy, payload: Json, now: float = 0.0) -> Actions:
    return made.from_service(json.dumps(payload), now)


def refusal(actions: Actions) -> Json:
    [action] = actions
    assert isinstance(action, ToGuest), action
    event = json.loads(action.text)
    assert event["type"] == "error"
    error: Json = event["error"]
    return error


def append(seconds: float, **fields: Any) -> str:
    audio = base64.b64encode(bytes(round(seconds * 24_000) * 2)).decode()
    return json.dumps({"type": "input_audio_buffer.append", "audio": audio, **fields})


def done(**usage: Any) -> Json:
    return {"type": "response.done", "event_id": "e", "response": {"id": "r", "usage": usage}}


# What passes


def test_what_is_allowed_is_passed_on_as_it_came() -> None:
    made = policy()
    text = ' {"type": "response.create"}'
    assert made.from_guest(text, 0.0) == (ToService(text),)
    text = ' {"type": "response.created", "response": {}}'
    assert made.from_service(text, 0.0) == (ToGuest(text),)
    assert (made.tally.events_up, made.tally.events_down, made.tally.responses) == (1, 2, 1)


def test_audio_and_deltas_pass_after_a_look() -> None:
    made = policy()
    assert made.passes_to_service(append(0.1), 0.0)
    assert made.passes_to_guest('{"type":"response.output_audio.delta","delta":"AAAA"}', 0.0)
    assert made.tally.events_up == 1
    assert made.tally.audio_seconds == pytest.approx(0.1)


@pytest.mark.parametrize("message", [b"x", "nonsense", '{"type":"response.create"}'])
def test_nothing_else_does(message: str | bytes) -> None:
    made = policy()
    assert not made.passes_to_service(message, 0.0)
    assert not made.passes_to_guest(message, 0.0)


def test_where_what_is_not_known_is_dropped_everything_is_read() -> None:
    made = policy(unknown="drop")
    assert not made.passes_to_service(append(0.1), 0.0)
    assert not made.passes_to_guest('{"type":"response.output_audio.delta"}', 0.0)


def test_what_is_not_an_event_is_refused_with_the_name_of_the_event() -> None:
    made = policy()
    for message in ("nonsense", b"\x00"):
        assert refusal(made.from_guest(message, 0.0))["code"] == "invalid_event"
    error = refusal(from_guest(made, {"type": "x", "event_id": "mine"}))
    assert (error["code"], error["event_id"], error["param"]) == ("not_allowed", "mine", "type")
    for event_id in (1, "a" * 513):
        assert refusal(from_guest(made, {"type": "x", "event_id": event_id}))["event_id"] is None
    assert made.tally.refused == 5


def test_nothing_that_is_no_object_comes_from_a_service() -> None:
    assert policy().from_service("[]", 0.0) == ()


# The beginning


def test_the_session_is_configured_before_the_guest_is_greeted() -> None:
    made = policy(is_open=False, session=SessionConfig.of(instructions="a secret"))
    [update] = from_service(made, CREATED)
    assert isinstance(update, ToService)
    assert json.loads(update.text)["session"]["instructions"] == "a secret"
    assert not made.is_open
    [greeting] = from_service(made, {**CREATED, "type": "session.updated"})
    assert isinstance(greeting, ToGuest)
    assert json.loads(greeting.text)["type"] == "session.created"
    assert "secret" not in greeting.text
    assert made.is_open


def test_a_service_that_does_not_want_is_not_available_and_no_more_is_said() -> None:
    made = policy(is_open=False)
    error = {"message": "Incorrect API key provided: sk-1"}
    [ending] = from_service(made, {"type": "error", "error": error})
    assert isinstance(ending, Ending)
    assert ending.why == "service_failed"
    assert "sk-1" in ending.detail
    assert "sk-1" not in f"{ending.error}{ending.close}"


# Limits


def test_a_session_ends_when_its_time_is_over() -> None:
    made = limited(seconds=100, idle_seconds=1000)
    assert made.deadline == 100.0
    assert made.look(99.9) == ()
    [ending] = made.look(100.0)
    assert isinstance(ending, Ending)
    assert (ending.why, ending.close.code) == ("time", 1008)


def test_a_session_ends_when_nobody_says_anything() -> None:
    made = limited(idle_seconds=10)
    assert made.passes_to_service(append(0.1), 5.0)
    made.from_guest(append(0.1, other=1), 5.0)
    assert made.deadline == 10.0
    from_guest(made, {"type": "input_audio_buffer.commit"}, 6.0)
    assert made.deadline == 16.0
    assert made.passes_to_guest('{"type":"response.output_text.delta"}', 7.0)
    assert made.deadline == 17.0
    from_service(made, {"type": "input_audio_buffer.speech_started"}, 8.0)
    assert made.look(17.9) == ()
    [ending] = made.look(18.0)
    assert isinstance(ending, Ending)
    assert ending.why == "idle"


def test_what_is_refused_keeps_nobody_awake() -> None:
    made = limited(idle_seconds=10)
    from_guest(made, {"type": "x"}, 5.0)
    assert made.deadline == 10.0


def test_audio_must_not_be_far_ahead_of_real_time() -> None:
    made = limited(audio_ahead=1.0)
    assert made.passes_to_service(append(0.9), 0.0)
    assert not made.passes_to_service(append(0.2), 0.0)
    error = refusal(made.from_guest(append(0.2, event_id="mine"), 0.0))
    assert (error["code"], error["event_id"]) == ("rate_limit_exceeded", "mine")
    message = {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_audio", "audio": "A" * 64_000}],
    }
    spoken = {"type": "conversation.item.create", "item": message}
    assert refusal(from_guest(made, spoken))["code"] == "rate_limit_exceeded"
    assert made.passes_to_service(append(0.2), 0.2)
    assert made.tally.audio_seconds == pytest.approx(1.1)


@pytest.mark.parametrize(("name", "seconds"), [("audio/pcm", 0.1), ("audio/pcmu", 0.6)])
def test_how_long_audio_is_depends_on_the_format_of_the_session(name: str, seconds: float) -> None:
    made = policy()
    session = {"audio": {"input": {"format": {"type": name}}}}
    from_service(made, {"type": "session.updated", "session": session})
    assert made.passes_to_service(append(0.1), 0.0)
    assert made.tally.audio_seconds == pytest.approx(seconds)
    from_service(made, {"type": "session.updated", "session": "nonsense"})


def test_events_are_counted_by_the_minute() -> None:
    made = limited(events_per_minute=2)
    for _ in range(2):
        assert from_guest(made, {"type": "input_audio_buffer.clear"}) != ()
    assert not made.passes_to_service(append(0.01), 0.0)
    error = refusal(from_guest(made, {"type": "input_audio_buffer.clear"}))
    assert error["code"] == "rate_limit_exceeded"
    assert "2 events" in error["message"]
    assert from_guest(made, {"type": "input_audio_buffer.clear"}, 30.0) == (
        ToService('{"type": "input_audio_buffer.clear"}'),
    )


def test_responses_are_counted_by_the_minute_whoever_begins_them() -> None:
    made = limited(responses_per_minute=1)
    created = {"type": "response.created", "response": {"id": "resp_1"}}
    [told] = from_service(made, created)
    assert isinstance(told, ToGuest)
    assert refusal(from_guest(made, {"type": "response.create"}))["code"] == "rate_limit_exceeded"
    for response, response_id in (({"id": "resp_2"}, "resp_2"), ({"id": 1}, None), (1, None)):
        told, cancel = from_service(made, {"type": "response.created", "response": response})
        assert isinstance(told, ToGuest)
        assert isinstance(cancel, ToService)
        asked = json.loads(cancel.text)
        assert asked["type"] == "response.cancel"
        assert asked.get("response_id") == response_id
        # What comes of it is not the guest's.
        error = {"type": "error", "error": {"event_id": asked["event_id"]}}
        assert from_service(made, error) == ()
    assert made.tally.responses == 4


def test_a_budget_is_kept_for_guest_and_relay() -> None:
    made = policy(budget=Budget(tokens=100, when_spent="close"), prices={"m": ModelPrices()})
    [passed] = from_guest(made, {"type": "response.create"})
    assert isinstance(passed, ToService)
    assert json.loads(passed.text)["response"]["max_output_tokens"] == 100
    create = made.admit(ResponseCreate(event_id="ours", response=ResponseConfig()), 0.0)
    assert create.response is not None
    assert create.response.max_output_tokens == 100
    told, ending = from_service(made, done(total_tokens=100, input_tokens=50, output_tokens=50))
    assert isinstance(told, ToGuest)
    assert isinstance(ending, Ending)
    assert ending.why == "budget"
    assert made.usage.output_tokens == 50
    assert made.usd == 0
    with pytest.raises(NotAllowedError):
        made.admit(ResponseCreate(event_id="ours"), 0.0)
    assert refusal(from_guest(made, {"type": "response.create"}))["code"] == "budget_exceeded"


def test_the_time_of_a_budget_begins_with_the_session() -> None:
    made = policy(is_open=False, budget=Budget(seconds=10, when_spent="close", warn_at=1.0))
    from_service(made, CREATED, 5.0)
    assert made.deadline == 15.0
    assert made.look(14.9) == ()
    [ending] = made.look(15.0)
    assert isinstance(ending, Ending)
    assert ending.why == "budget"


def test_too_much_that_is_refused_is_the_end() -> None:
    made = limited(refusals_per_minute=2)
    for _ in range(2):
        refusal(from_guest(made, {"type": "x"}))
    [ending] = from_guest(made, {"type": "x"})
    assert isinstance(ending, Ending)
    assert (ending.why, ending.close.code) == ("refusals", 1008)


@pytest.mark.parametrize("message", ["x" * 101, append(0.1), b"x" * 101])
def test_a_message_that_is_too_long_is_the_end(message: str | bytes) -> None:
    made = limited(message_size=100)
    assert not made.passes_to_service(message, 0.0)
    [ending] = made.from_guest(message, 0.0)
    assert isinstance(ending, Ending)
    assert (ending.why, ending.close.code) == ("message_size", 1009)


# What the relay does itself


def test_items_of_the_relay_cannot_be_touched() -> None:
    made = policy(
        tools=[get_weather],
        events=DEFAULT_EVENTS | {"conversation.item.delete"},
        items={"function_call_output"},
    )
    made.hide_item("item_out")
    delete = {"type": "conversation.item.delete", "item_id": "item_out"}
    assert refusal(from_guest(made, delete))["code"] == "item_not_found"
    call = {"id": "i", "type": "function_call", "name": "get_weather", "call_id": "call_1"}
    assert from_service(made, {"type": "response.output_item.added", "item": call}) == ()
    output = {"type": "function_call_output", "call_id": "call_1", "output": "x"}
    forged = {"type": "conversation.item.create", "item": output}
    assert refusal(from_guest(made, forged))["code"] == "item_not_found"
    own = {**forged, "item": {**output, "call_id": "call_2"}}
    assert from_guest(made, own) == (ToService(json.dumps(own)),)


def test_what_the_relay_asks_for_is_refused_without_the_guest() -> None:
    made = policy()
    asked = made.ask(ResponseCancel(event_id="event_ours"))
    assert json.loads(asked.text) == {"type": "response.cancel", "event_id": "event_ours"}
    assert made.ask(ResponseCancel()).text == '{"type":"response.cancel"}'
    assert from_service(made, {"type": "error", "error": {"event_id": "event_ours"}}) == ()


# Whatever comes

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "id", "item", "session", "response", "error", "audio", "name"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
types = st.sampled_from(
    [
        *sorted(DEFAULT_EVENTS),
        "session.update",
        "session.created",
        "session.updated",
        "response.created",
        "response.done",
        "response.output_item.added",
        "conversation.item.added",
        "conversation.item.input_audio_transcription.completed",
        "error",
        "tomorrow",
    ]
)
names = ["item", "session", "response", "error", "item_id", "previous_item_id", "event_id", "audio"]
events = st.builds(
    lambda wire_type, members: json.dumps({"type": wire_type, **members}),
    types,
    st.dictionaries(st.sampled_from(names), values, max_size=4),
)
messages = events | st.text() | st.binary()


@given(st.lists(st.tuples(st.booleans(), messages), max_size=30), st.booleans(), st.booleans())
def test_nothing_makes_it_fail_whatever_either_side_says(
    said: list[tuple[bool, str | bytes]], is_open: bool, drops: bool
) -> None:
    made = policy(
        is_open=is_open,
        tools=[get_weather],
        unknown="drop" if drops else "pass",
        updates={"audio.input", "tools"},
        items={"*"},
        overrides={"*"},
    )
    for is_guest, message in said:
        if is_guest and not made.passes_to_service(message, 0.0):
            made.from_guest(message, 0.0)
        elif not is_guest and isinstance(message, str) and not made.passes_to_guest(message, 0.0):
            made.from_service(message, 0.0)


class Session(RuleBasedStateMachine):
    """A guest that does what it likes, and a service that answers."""

    @initialize(events=st.integers(1, 30), responses=st.integers(1, 5), ahead=st.floats(0.5, 5))
    def begin(self, events: int, responses: int, ahead: float) -> None:
        self.now = 0.0
        self.limits = Limits(
            events_per_minute=events,
            responses_per_minute=responses,
            audio_ahead=ahead,
            idle_seconds=20,
            seconds=300,
            refusals_per_minute=math.inf,
        )
        self.policy = policy(limits=self.limits)
        self.said = 0.0
        self.passed = 0
        self.heard = 0.0
        self.running: set[str] = set()
        self.numbers = count(1)

    @rule(seconds=st.floats(0.01, 15))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.sampled_from([0.02, 0.1, 1.0]), is_plain=st.booleans())
    def speak(self, seconds: float, is_plain: bool) -> None:
        text = append(seconds) if is_plain else append(seconds, more=1)
        if self.policy.passes_to_service(text, self.now):
            assert is_plain
            passed = True
        else:
            [action] = self.policy.from_guest(text, self.now)
            passed = isinstance(action, ToService)
        if passed:
            self.passed += 1
            self.heard += seconds

    @rule()
    def ask(self) -> None:
        [action] = from_guest(self.policy, {"type": "response.create"}, self.now)
        if isinstance(action, ToService):
            self.passed += 1
            self.said = self.now

    @rule(ours=st.booleans())
    def answer(self, ours: bool) -> None:
        response_id = f"resp_{next(self.numbers)}"
        actions = from_service(
            self.policy, {"type": "response.created", "response": {"id": response_id}}, self.now
        )
        self.said = self.now
        if len(actions) == 1:
            self.running.add(response_id)
        else:
            assert isinstance(actions[1], ToService)
            assert json.loads(actions[1].text)["response_id"] == response_id

    @rule()
    def look(self) -> None:
        is_over = self.now >= 300 or self.now >= self.said + 20
        assert bool(self.policy.look(self.now)) == is_over
        assert is_over == (self.now >= self.policy.deadline)

    @invariant()
    def nobody_gets_more_than_the_limits_say(self) -> None:
        minutes = self.now / 60
        limits = self.limits
        assert self.passed <= limits.events_per_minute * (1 + minutes) + 1e-6
        assert len(self.running) <= limits.responses_per_minute * (1 + minutes) + 1e-6
        assert self.heard <= self.now + limits.audio_ahead + 1e-3
        assert self.policy.tally.events_up == self.passed
        assert self.policy.tally.audio_seconds == pytest.approx(self.heard, abs=1e-3)


Session.TestCase.settings = settings(max_examples=25, stateful_step_count=30)
TestSession = Session.TestCase
