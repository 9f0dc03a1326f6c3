"""Each machine has a table of the events that concern it; whoever is not in it costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest
from attrs import frozen

from realtime_trio._state.acknowledgements import Acknowledgements
from realtime_trio._state.captions import Captions
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.costs import Costs
from realtime_trio._state.mcp import McpActivity
from realtime_trio._state.reactions import Concerned, Reactions, Room
from realtime_trio._state.turns.machine import Turns
from realtime_trio.events import (
    Event,
    InputAudioBufferCleared,
    RateLimitsUpdated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ServerEvent,
    UnknownEvent,
)

TABLES: dict[type, Mapping[type[Event], object]] = {
    machine: machine.reactions
    for machine in (Acknowledgements, Captions, Conversation, Costs, McpActivity, Turns)
}


class Machine:
    def on_done(self, _: ResponseDone) -> str:
        return "done"

    def on_cleared(self, _: InputAudioBufferCleared) -> str:
        return "cleared"


@frozen(kw_only=True)
class DoneAndMore(ResponseDone):
    """As a later version, or an application, may have it."""


@frozen(kw_only=True)
class EvenMore(DoneAndMore):
    pass


@pytest.fixture
def table() -> Reactions[Machine, str]:
    return Reactions({ResponseDone: Machine.on_done, InputAudioBufferCleared: Machine.on_cleared})


def test_an_event_is_taken_by_the_method_of_its_class(table: Reactions[Machine, str]) -> None:
    assert table[ResponseDone] is Machine.on_done
    assert table[InputAudioBufferCleared] is Machine.on_cleared


@pytest.mark.parametrize("kind", [RateLimitsUpdated, UnknownEvent, ServerEvent, Event])
def test_a_class_that_is_not_in_the_table_concerns_nobody(
    table: Reactions[Machine, str], kind: type[Event]
) -> None:
    assert table[kind] is None


def test_a_class_goes_by_the_nearest_one_it_is_derived_from(
    table: Reactions[Machine, str],
) -> None:
    # Asked for first, the one in between changes nothing.
    assert table[DoneAndMore] is Machine.on_done
    assert table[EvenMore] is Machine.on_done


def test_a_base_that_concerns_nobody_hides_no_other(table: Reactions[Machine, str]) -> None:
    class Aside(Event):
        pass

    class Both(Aside, ResponseDone):
        pass

    assert table[Aside] is None
    assert table[Both] is Machine.on_done


def test_bases_are_looked_through_once(table: Reactions[Machine, str]) -> None:
    assert RateLimitsUpdated not in table
    assert table[RateLimitsUpdated] is None
    assert RateLimitsUpdated in table


# --- rooms ---------------------------------------------------------------------------------------


class Counter:
    """Takes note of events, and says how many it has seen."""

    def __init__(self) -> None:
        self.seen: list[Event] = []

    def on_cleared(self, event: InputAudioBufferCleared) -> tuple[Event, ...]:
        self.seen.append(event)
        return (event,) * len(self.seen)

    def on_rate_limits(self, event: RateLimitsUpdated) -> None:
        self.seen.append(event)

    reactions: ClassVar[Reactions[Counter, tuple[Event, ...] | None]] = Reactions(
        {InputAudioBufferCleared: on_cleared, RateLimitsUpdated: on_rate_limits}
    )


CLEARED = InputAudioBufferCleared(event_id="event_1")
LIMITS = RateLimitsUpdated(event_id="event_2", rate_limits=())


def test_in_the_room_of_a_machine_each_event_is_taken_by_its_method() -> None:
    counter = Counter()
    room = counter.reactions.of(counter)
    assert room(ResponseDone) is None
    for event in (CLEARED, LIMITS):
        take_note = room(type(event))
        assert take_note is not None
        take_note(event)
    assert counter.seen == [CLEARED, LIMITS]


def test_somebody_else_may_take_note_of_the_same_events() -> None:
    seen: list[Event] = []
    room = Counter.reactions.through(seen.append)
    assert room(ResponseDone) is None
    assert room(RateLimitsUpdated) == seen.append


def test_all_whom_an_event_concerns_are_told_in_order_and_what_follows_is_put_together() -> None:
    first, second, seen = Counter(), Counter(), list[Event]()
    second.on_cleared(CLEARED)
    concerned = Concerned(
        lambda: (
            Counter.reactions.of(first),
            Counter.reactions.through(seen.append),
            Counter.reactions.of(second),
        )
    )
    assert concerned.tell(CLEARED) == (CLEARED,) * 3
    assert concerned.tell(LIMITS) == ()
    assert [len(first.seen), len(seen), len(second.seen)] == [2, 2, 3]


def test_rooms_are_looked_for_once_for_every_class_of_events() -> None:
    asked = []

    def rooms() -> tuple[Room, ...]:
        asked.append("rooms")
        return (lambda kind: asked.append(kind.__name__),)

    concerned = Concerned(rooms)
    assert asked == []
    for event in (CLEARED, LIMITS, CLEARED):
        assert concerned.tell(event) == ()
    assert asked == ["rooms", "InputAudioBufferCleared", "rooms", "RateLimitsUpdated"]


# --- the machines there are ----------------------------------------------------------------------


@pytest.mark.parametrize("delta", [ResponseOutputAudioDelta, ResponseOutputAudioTranscriptDelta])
def test_what_the_model_says_concerns_the_conversation_alone(delta: type[ServerEvent]) -> None:
    concerned = {machine for machine, table in TABLES.items() if table[delta] is not None}
    assert concerned == {Conversation}


def test_the_end_of_a_response_concerns_everybody_who_has_to_know() -> None:
    concerned = {machine for machine, table in TABLES.items() if table[ResponseDone] is not None}
    assert concerned == {Conversation, Costs, McpActivity, Turns}


@pytest.mark.parametrize("machine", TABLES, ids=lambda machine: machine.__name__)
def test_only_events_of_the_server_are_in_a_table(machine: type) -> None:
    listed = [kind for kind, react in TABLES[machine].items() if react is not None]
    assert listed
    assert all(issubclass(kind, ServerEvent) for kind in listed)
