"""Follow-ups while turn detection may answer the user at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
from turn_events import (
    CLEARED,
    COMMITTED,
    SPEECH_STARTED,
    SPEECH_STOPPED,
    acknowledged,
    ask,
    called,
    created,
    done,
    feed,
    open_turns,
    refusal,
    request,
    sent,
    state_of,
    with_call_under_way,
)

from realtime_trio._state.turns.actions import (
    Concluded,
    Finished,
)
from realtime_trio._state.turns.exchange import State
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreated,
    ConversationItemDone,
    FunctionCallOutput,
    ServerEvent,
    ServerVad,
    UnknownObject,
)

CLAIRVOYANCE: Final = UnknownObject("clairvoyance", {"type": "clairvoyance"})
"""Turn detection from the future."""


# --- turn detection -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [ConversationItemAdded, ConversationItemDone, ConversationItemCreated]
)
def test_after_an_interruption_the_reply_to_the_user_takes_the_place_of_the_follow_up(
    kind: Callable[..., ConversationItemAdded | ConversationItemDone | ConversationItemCreated],
) -> None:
    turns = open_turns(ServerVad())
    wish = ask(turns)
    feed(
        turns,
        [created("r", "a"), called("r", "c"), SPEECH_STARTED, done("r", reason="turn_detected")],
    )
    assert turns.call_answered("c") == ()
    turns.apply(kind(event_id="event", item=FunctionCallOutput(call_id="c", output="{}")))
    assert feed(turns, [SPEECH_STOPPED, COMMITTED, created("vad")]) == ()
    end = done("vad")
    assert turns.apply(end) == (Concluded(wish, end.response),)
    assert state_of(turns) is State.FREE


def test_an_answer_that_came_too_late_for_the_reply_to_the_user_gets_its_own() -> None:
    turns, _ = with_call_under_way(ServerVad())
    feed(turns, [SPEECH_STARTED, SPEECH_STOPPED, COMMITTED, created("vad")])
    turns.call_answered("c")
    turns.apply(acknowledged("c"))
    assert sent(*turns.apply(done("vad"))) == ["evt_1"]


def test_after_a_cancel_of_ours_the_follow_up_is_sent() -> None:
    turns = open_turns(ServerVad())
    ask(turns)
    feed(turns, [created("r", "a"), called("r", "c")])
    turns.cancel()
    turns.call_answered("c")
    assert sent(*turns.apply(done("r", reason="client_cancelled"))) == [
        "evt_2"
    ]  # evt_1 was the cancel


def test_after_an_interruption_that_is_not_answered_the_follow_up_is_sent() -> None:
    turns = open_turns(ServerVad(create_response=False))
    ask(turns)
    feed(turns, [created("r", "a"), called("r", "c"), SPEECH_STARTED])
    turns.call_answered("c")
    assert sent(*turns.apply(done("r", reason="turn_detected"))) == ["evt_1"]


def test_an_interruption_whose_cause_comes_later_holds_the_follow_up_as_well() -> None:
    turns = open_turns(ServerVad())
    ask(turns)
    feed(turns, [created("r", "a"), called("r", "c")])
    turns.call_answered("c")
    assert (
        feed(turns, [done("r", reason="turn_detected"), SPEECH_STARTED, SPEECH_STOPPED, COMMITTED])[
            1:
        ]
        == ()
    )
    assert sent(*feed(turns, [created("vad"), done("vad")])) == ["evt_1"]


@pytest.mark.parametrize(
    "ending",
    [
        [CLEARED],
        [COMMITTED],  # by the client: turn detection has not heard the end
        [SPEECH_STOPPED, COMMITTED, refusal(None)],
    ],
)
def test_when_the_users_turn_ends_without_a_response_the_follow_up_is_sent(
    ending: list[ServerEvent],
) -> None:
    turns, _ = with_call_under_way(CLAIRVOYANCE)
    turns.apply(SPEECH_STARTED)
    assert turns.call_answered("c") == ()
    assert sent(*feed(turns, ending)) == ["evt_1"]


def test_an_out_of_band_response_does_not_release_the_follow_up() -> None:
    turns, _ = with_call_under_way(ServerVad())
    turns.want_response(request("x", aside=True))
    feed(turns, [SPEECH_STARTED, SPEECH_STOPPED, COMMITTED, created("s", "x", conversation=None)])
    assert turns.call_answered("c") == ()
    assert [type(action) for action in turns.apply(done("s"))] == [Finished, Concluded]


def test_when_the_response_to_the_user_is_never_seen_its_end_releases_the_follow_up() -> None:
    turns, _ = with_call_under_way(ServerVad())
    feed(turns, [created("s"), done("s"), SPEECH_STARTED, SPEECH_STOPPED, COMMITTED])
    assert turns.call_answered("c") == ()
    assert sent(*turns.apply(done("unseen"))) == ["evt_1"]


def test_turning_turn_detection_off_releases_the_follow_up() -> None:
    turns, _ = with_call_under_way(ServerVad())
    turns.apply(SPEECH_STARTED)
    assert turns.call_answered("c") == ()
    assert sent(*turns.configure(None)) == ["evt_1"]


@pytest.mark.parametrize("interrupts", [True, False])
def test_a_response_that_outlasts_the_users_turn_is_followed_up(
    interrupts: bool,
) -> None:
    turns = open_turns(ServerVad(interrupt_response=interrupts))
    ask(turns)
    feed(turns, [SPEECH_STARTED, created("r", "a"), called("r", "c"), SPEECH_STOPPED, COMMITTED])
    turns.call_answered("c")
    assert sent(*turns.apply(done("r"))) == ["evt_1"]


def test_a_reply_is_withheld_while_the_user_speaks_and_not_when_that_is_given_up() -> None:
    turns, _ = with_call_under_way(ServerVad())
    withheld = [turns.is_withholding]
    feed(turns, [SPEECH_STARTED])
    withheld.append(turns.is_withholding)
    assert turns.call_answered("c") == ()
    withheld.append(turns.is_withholding)
    assert sent(*turns.stop_waiting_for_user()) == ["evt_1"]
    withheld.append(turns.is_withholding)
    assert withheld == [False, False, True, False]
