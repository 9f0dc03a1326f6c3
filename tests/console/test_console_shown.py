"""A session as it is shown to those who look."""

from __future__ import annotations

import json
from typing import Any

from recordings import client, created, server

from realtime_trio import Close
from realtime_trio.console.shown import ShownSession
from realtime_trio.events import FunctionCall, ResponseCreate

CALL = FunctionCall(call_id="call_1", name="pay", arguments="{}")


def told(shown: ShownSession) -> list[dict[str, Any]]:
    """What somebody gets who comes now."""
    return [json.loads(text) for text in shown.look().past]


def test_times_count_from_the_first_message() -> None:
    shown = ShownSession(may_act=False)
    first, second = server(created(), created())
    shown.note(first)
    shown.note(second)
    _, one, two = told(shown)
    assert (one["at"], two["at"]) == (0, 0.25)
    assert one["marks"] == []
    assert two["marks"][0]["rule"] == "session_is_created_first"


def test_what_was_missed_is_told_and_ends_the_judging() -> None:
    shown = ShownSession(may_act=False)
    shown.note(server(created())[0])
    with shown.look().stream as stream:
        shown.miss(5)
        assert json.loads(stream.receive_nowait())["kind"] == "dropped"
        assert json.loads(stream.receive_nowait())["order"] == "unwatched"
    shown.note(server(created())[0])
    state, _, dropped, record = told(shown)
    assert dropped == {"kind": "dropped", "count": 5}
    assert (state["order"], record["marks"]) == ("unwatched", [])
    assert "missed" in state["why"]


def test_calls_wait_until_they_do_not() -> None:
    shown = ShownSession(may_act=True)
    with shown.look().stream as stream:
        shown.await_approval("call_1", CALL)
        assert json.loads(stream.receive_nowait())["approvals"][0]["call"] == "call_1"
        shown.forget_approval("call_2")
        shown.forget_approval("call_1")
        assert json.loads(stream.receive_nowait())["approvals"] == []
        assert stream.pending == 0


def test_the_end_is_told_once() -> None:
    shown = ShownSession(may_act=True)
    shown.note(client(ResponseCreate())[0])
    shown.await_approval("call_1", CALL)
    assert told(shown)[0]["may_act"]
    shown.end(Close(1000, "bye"))
    shown.end(None, "again")
    state, _, end = told(shown)
    assert (state["open"], state["may_act"], state["approvals"]) == (False, False, [])
    assert end == {"kind": "end", "code": 1000, "reason": "bye"}


def test_what_was_said_is_material_for_a_script() -> None:
    shown = ShownSession(may_act=False)
    shown.note(server(created())[0])
    assert shown.material.write() == "{}"
