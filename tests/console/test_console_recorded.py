"""A recording in a browser."""

from __future__ import annotations

import json

import attrs
import pytest
from console_visits import opened, serving, setup
from recordings import client, created, server

from realtime_trio.console import price_list
from realtime_trio.console.recorded import RecordedSource, RecordedSubject, setup_of, told_of
from realtime_trio.events import (
    AssistantMessage,
    OutputText,
    RealtimeSession,
    Response,
    ResponseCreate,
    ResponseDone,
    SessionUpdated,
)
from realtime_trio.money import ModelPrices
from realtime_trio.recording import Recording

DONE = ResponseDone(
    event_id="event_2",
    response=Response(
        id="resp_1",
        status="completed",
        output=(AssistantMessage(id="item_1", content=(OutputText(text="Hello."),)),),
    ),
)
RECORDING = Recording.of([*server(created()), *client(ResponseCreate()), *server(created(), DONE)])


def test_every_record_is_told_and_mistakes_are_marked() -> None:
    state, first, second, third, _, end = map(json.loads, told_of(RECORDING))
    assert (state["open"], state["may_act"], state["order"]) == (False, False, "watched")
    assert (first["at"], first["marks"], second["side"]) == (0, [], "client")
    assert "session_is_created_first" in {mark["rule"] for mark in third["marks"]}
    assert (end["kind"], end["code"]) == ("end", None)


def test_a_recording_with_gaps_is_not_judged() -> None:
    state, *records, dropped, _ = map(json.loads, told_of(attrs.evolve(RECORDING, dropped=7)))
    assert (state["order"], dropped) == ("unwatched", {"kind": "dropped", "count": 7})
    assert all(record["marks"] == [] for record in records)


def test_its_setup_says_what_it_is() -> None:
    told = setup_of(RECORDING, "a.jsonl")
    assert (told["source"], told["title"], told["models"]) == (
        "recording",
        "a.jsonl",
        ["gpt-realtime"],
    )
    assert setup_of(Recording(records=()), "x")["models"] == []
    assert (told["simulator"], told["may_act"], told["inspect_url"]) == (False, False, None)


@pytest.mark.socket
async def test_a_page_sees_all_of_it_and_may_ask() -> None:
    async with serving(RecordedSource(RECORDING, "a.jsonl")) as address:
        told = await setup(address)
        assert told["inspect_url"].startswith("/inspect?console=")
        for _ in range(2):
            async with opened(address, told["inspect_url"]) as page:
                await page.until_kind("end")
                assert len(page.got) == 6
                script = await page.ask("script")
                assert json.loads(script["text"]) == {"replies": [{"text": "Hello."}]}
                for kind, members in (
                    ("send", {"event": {"type": "response.create"}}),
                    ("decide", {"call": "x", "approve": True}),
                    ("fault", {"fault": "drop"}),
                ):
                    assert "a recording" in (await page.ask(kind, 2, **members))["problem"]


def test_a_look_at_it_has_an_end() -> None:
    look = RecordedSubject(RECORDING).look()
    assert len([*look.past]) == 6


def test_a_recording_is_priced_by_the_models_that_its_server_has_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prices = {"mine": ModelPrices(text_input=1), "other": ModelPrices(text_input=2)}
    monkeypatch.setattr(price_list, "default_prices", lambda: prices)
    session = RealtimeSession(id="sess_1", model="mine")
    records = server(created(), SessionUpdated(event_id="event_9", session=session))
    assert setup_of(Recording.of(records), "x")["prices"] == {"mine": {"text_input": 1.0}}
