"""What is told of a session, to those who are there and to those who come later."""

from __future__ import annotations

import json

import pytest

from realtime_trio import SessionClosed, SlowConsumer
from realtime_trio.console import board as board_module
from realtime_trio.console.board import Board


async def test_whoever_looks_gets_past_and_rest_without_a_seam() -> None:
    board = Board("state")
    board.tell("one")
    look = board.look()
    board.tell("two")
    with look.stream as stream:
        assert [*look.past, await stream.receive()] == ["state", "one", "two"]


def test_a_state_is_told_once_and_not_kept() -> None:
    board = Board("first")
    with board.look().stream as stream:
        board.tell_state("first")
        board.tell_state("second")
        board.tell_state("second")
        board.tell("text")
        assert [stream.receive_nowait(), stream.receive_nowait()] == ["second", "text"]
    assert [*board.look().past] == ["second", "text"]


def test_the_ring_is_bounded_in_size() -> None:
    board = Board("state", room=10)
    for number in range(8):
        board.tell(f"{number}" * 4)
    _, dropped, *rest = board.look().past
    assert json.loads(dropped) == {"kind": "dropped", "count": 6}
    assert rest == ["6666", "7777"]
    # The last one is there, however long it is.
    board.tell("x" * 100)
    _, dropped, *rest = board.look().past
    assert (json.loads(dropped)["count"], rest) == (8, ["x" * 100])


def test_the_ring_is_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "MOST_KEPT", 2)
    board = Board("state")
    for number in range(3):
        board.tell(f"{number}")
    _, dropped, *rest = board.look().past
    assert (json.loads(dropped)["count"], rest) == (1, ["1", "2"])


def test_a_browser_that_falls_behind_is_told_how_much_it_missed() -> None:
    board = Board("state")
    with board.look().stream as slow, board.look().stream as quick:
        for number in range(4100):
            board.tell(f"{number}")
            assert quick.receive_nowait() == f"{number}"
        for number in range(4096):
            assert slow.receive_nowait() == f"{number}"
        with pytest.raises(SlowConsumer) as gap:
            slow.receive_nowait()
        assert gap.value.dropped == 4


async def test_after_the_end_there_is_what_was_kept_and_nothing_more() -> None:
    board = Board("state")
    board.tell("one")
    board.close()
    look = board.look()
    assert [*look.past] == ["state", "one"]
    with pytest.raises(SessionClosed):
        await look.stream.receive()
