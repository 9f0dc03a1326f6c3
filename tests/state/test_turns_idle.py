"""When nothing is going on, so that the conversation behind it may be touched."""

from __future__ import annotations

from turn_events import (
    COMMITTED,
    LOST,
    SPEECH_STARTED,
    SPEECH_STOPPED,
    ask,
    called,
    created,
    done,
    feed,
    open_turns,
    request,
)

from realtime_trio._state.turns.machine import Turns
from realtime_trio.events import ServerVad


def is_idle(turns: Turns) -> bool:
    return turns.is_idle


def test_nothing_is_going_on_before_and_after_a_response() -> None:
    turns = open_turns()
    assert is_idle(turns)
    ask(turns, "a")
    assert not is_idle(turns)
    feed(turns, [created("resp_1", "a")])
    assert not is_idle(turns)
    feed(turns, [done("resp_1", "a")])
    assert is_idle(turns)


def test_a_request_that_waits_is_something_that_is_going_on() -> None:
    turns = open_turns()
    ask(turns, "a")
    turns.want_response(request("b"))
    feed(turns, [created("resp_1", "a"), done("resp_1", "a")])
    assert not is_idle(turns)  # b has been sent


def test_a_reply_to_tools_that_is_owed_is_something_that_is_going_on() -> None:
    turns = open_turns(ServerVad())
    feed(turns, [created("resp_1"), called("resp_1", "call_1"), done("resp_1"), SPEECH_STARTED])
    assert is_idle(turns)  # the user speaks, and the call waits for its output
    turns.call_answered("call_1")
    assert turns.is_withholding
    assert not is_idle(turns)


def test_a_turn_of_the_user_is_going_on_from_its_end_to_that_of_its_response() -> None:
    turns = open_turns(ServerVad())
    feed(turns, [SPEECH_STARTED])
    assert is_idle(turns)
    feed(turns, [SPEECH_STOPPED])
    assert not is_idle(turns)
    feed(turns, [COMMITTED])
    assert not is_idle(turns)
    feed(turns, [created("resp_1"), done("resp_1")])
    assert is_idle(turns)


def test_after_the_end_nothing_is_idle() -> None:
    turns = open_turns()
    turns.disconnected(LOST)
    assert not is_idle(turns)
