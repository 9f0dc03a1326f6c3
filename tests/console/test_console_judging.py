"""A recording that only a page has, and what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st
from recordings import client, created, server

from realtime_trio import LocalProtocolError
from realtime_trio._order import check_order
from realtime_trio.console import judging
from realtime_trio.console.judging import judge
from realtime_trio.events import ResponseCreate
from realtime_trio.recording import Recording, message_json

RECORDS = Recording.of([*server(created()), *client(ResponseCreate()), *server(created())]).records


def asked() -> list[Any]:
    return [{"side": each.source, "event": json.loads(message_json(each))} for each in RECORDS]


def test_records_are_judged_as_in_every_other_recording() -> None:
    found = judge({"records": asked()})
    assert found == check_order(RECORDS)
    assert {each.index for each in found} == {2}


def test_what_was_no_event_is_judged_with_the_rest() -> None:
    (found,) = judge({"records": [*asked()[:1], {"side": "server", "text": "nonsense"}]})
    assert (found.index, found.rule) == (1, "event_ids_are_unique")


def test_audio_may_be_left_out() -> None:
    append = {"side": "client", "event": {"type": "input_audio_buffer.append", "audio": ""}}
    assert judge({"records": [*asked()[:1], append]}) == []


def test_the_session_and_the_dialect_say_how_records_are_read() -> None:
    told = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0, "delta": ""}
    delta = {"type": "response.audio.delta", "event_id": "event_9", **told}
    records = [*asked()[:1], {"side": "server", "event": delta}]
    # As today's protocol knows no such event, nothing is known of it, either.
    assert judge({"records": records, "dialect": "ga"}) == []
    assert {found.index for found in judge({"records": records, "dialect": "beta"})} == {1}
    assert judge({"records": [], "session": "translation"}) == []


def test_no_more_than_the_first_violations_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MOST_VIOLATIONS", 1)
    repeated = asked() + asked()[:1]
    assert [each.index for each in judge({"records": repeated})] == [2]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({}, "a list of up to 50,000"),
        ({"records": [{}] * 50_001}, "a list of up to 50,000"),
        ({"records": [{"side": "page", "event": {}}]}, "record 0 needs a side"),
        ({"records": [*asked(), {"side": "client", "event": 5}]}, "record 3 needs a side"),
        ({"records": [], "session": "dance"}, "transcription"),
        ({"records": [], "dialect": "old"}, "beta"),
        ({"records": [], "session": [], "dialect": {}}, "translation"),
    ],
)
def test_what_cannot_be_judged_is_explained(said: Any, problem: str) -> None:
    with pytest.raises(LocalProtocolError, match=problem):
        judge(said)


@given(st.recursive(st.none() | st.text(), lambda e: st.lists(e) | st.dictionaries(st.text(), e)))
def test_whatever_an_event_has_is_judged(value: object) -> None:
    judge({"records": [{"side": "server", "event": {"type": "session.created", "session": value}}]})
