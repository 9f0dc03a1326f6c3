"""How far turn detection is with the user's turn, by itself."""

from __future__ import annotations

import pytest

from realtime_trio._state.turns.user_turn import UserTurn
from realtime_trio.events import SemanticVad, ServerVad, TurnDetection, UnknownObject


def detected(turn_detection: TurnDetection | None) -> UserTurn:
    turn = UserTurn()
    turn.configure(turn_detection)
    return turn


def where(turn: UserTurn) -> tuple[bool, bool, bool, bool]:
    return turn.is_silent, turn.is_speaking, turn.is_uncommitted, turn.is_due


SILENT = (True, False, False, False)
SPEAKING = (False, True, True, False)
STOPPED = (False, False, True, False)
DUE = (False, False, False, True)


def committed() -> UserTurn:
    turn = detected(ServerVad())
    turn.start()
    turn.stop()
    turn.commit()
    return turn


@pytest.mark.parametrize(
    "turn_detection",
    [
        ServerVad(),
        ServerVad(create_response=True),
        SemanticVad(),
        UnknownObject("telepathy", {"type": "telepathy"}),
    ],
)
def test_a_turn_goes_from_speech_to_the_response_that_is_due(turn_detection: TurnDetection) -> None:
    turn = detected(turn_detection)
    assert where(turn) == SILENT
    turn.start()
    assert where(turn) == SPEAKING
    turn.stop()
    assert where(turn) == STOPPED
    turn.commit()
    assert where(turn) == DUE
    turn.response_done(is_interrupted=False)
    assert where(turn) == SILENT


@pytest.mark.parametrize(
    "turn_detection",
    [None, ServerVad(create_response=False), SemanticVad(create_response=False)],
)
def test_a_turn_that_nobody_answers_is_silent(turn_detection: TurnDetection | None) -> None:
    turn = detected(turn_detection)
    for happens in (turn.start, turn.stop, turn.commit):
        happens()
        assert where(turn) == SILENT
    turn.response_done(is_interrupted=True)
    assert where(turn) == SILENT


def test_nothing_is_expected_before_turn_detection_is_known() -> None:
    turn = UserTurn()
    turn.start()
    assert where(turn) == SILENT


def test_turn_detection_that_is_switched_off_ends_the_turn() -> None:
    turn = committed()
    turn.configure(ServerVad(silence_duration_ms=300))
    assert where(turn) == DUE
    turn.configure(None)
    assert where(turn) == SILENT


def test_what_the_client_commits_is_not_answered() -> None:
    turn = detected(ServerVad())
    turn.commit()
    assert where(turn) == SILENT
    turn.start()
    turn.commit()
    assert where(turn) == SILENT


def test_a_response_that_ends_while_the_user_speaks_leaves_the_turn() -> None:
    turn = detected(ServerVad())
    turn.start()
    turn.response_done(is_interrupted=True)
    assert where(turn) == SPEAKING


@pytest.mark.parametrize("turn", [detected(ServerVad()), committed()])
def test_an_interrupted_response_announces_another(turn: UserTurn) -> None:
    turn.response_done(is_interrupted=True)
    assert where(turn) == DUE


def test_silence_ends_the_turn_and_the_next_one_begins_as_before() -> None:
    turn = committed()
    turn.silence()
    assert where(turn) == SILENT
    turn.start()
    assert where(turn) == SPEAKING
