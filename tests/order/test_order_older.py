"""The older protocol, held against the rules of today's."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from order_turns import Events, created, say, text_turn
from simulator_clients import serving

from realtime_trio import Session, open_session, read_recording
from realtime_trio._order import check_order
from realtime_trio._order.older import OlderProtocol, is_older
from realtime_trio._protocol.dialects import Dialect
from realtime_trio.events import (
    ConversationCreated,
    ConversationInfo,
    ConversationItemAdded,
    ConversationItemCreated,
    ConversationItemDeleted,
    ConversationItemDone,
    Event,
    ResponseDone,
    ResponseOutputItemDone,
    Transcription,
)
from realtime_trio.recording import WireRecord
from realtime_trio.simulator import Reply, Script, synthesize_speech


def older(events: Events) -> Events:
    """What a server of the older protocol would have said instead."""
    greeting, *rest = events
    return [
        greeting,
        say(ConversationCreated, conversation=ConversationInfo(id="conv_1")),
        *(
            say(ConversationItemCreated, item=event.item, previous_item_id=event.previous_item_id)
            if isinstance(event, ConversationItemAdded)
            else event
            for event in rest
            if not isinstance(event, ConversationItemDone)
        ),
    ]


def test_it_is_told_by_how_a_session_begins() -> None:
    assert is_older(older(text_turn()))
    assert not is_older(text_turn())
    assert not is_older([created()])
    assert not is_older([])


def test_messages_in_the_older_order_break_no_rule() -> None:
    assert check_order(older(text_turn())) == []


def test_what_is_wrong_is_found_there_too() -> None:
    events = older(text_turn())
    done = next(event for event in events if isinstance(event, ResponseOutputItemDone))
    index = events.index(done)
    broken = [*events[:index], *events[index + 1 :]]
    violations = check_order(broken)
    assert {violation.rule for violation in violations} == {"responses_close_what_they_opened"}
    # The position is that among the messages as they came.
    assert isinstance(broken[violations[0].index], ResponseDone)


def test_an_item_is_done_when_its_output_is() -> None:
    reader = OlderProtocol()
    read: list[Event] = []
    for event in older(text_turn()):
        read += reader.read(event)
    assert [event.type for event in read if "item" in event.type] == [
        "conversation.item.create",
        "conversation.item.added",
        "conversation.item.done",
        "response.output_item.added",
        "conversation.item.added",
        "conversation.item.done",
        "response.output_item.done",
    ]
    assert not any(isinstance(event, ConversationCreated) for event in read)


def test_a_deleted_item_is_not_done_afterwards() -> None:
    reader = OlderProtocol()
    read: list[Event] = []
    for event in older(text_turn()):
        if isinstance(event, ResponseOutputItemDone):
            read += reader.read(say(ConversationItemDeleted, item_id=str(event.item.id)))
        read += reader.read(event)
    # Only that of the user.
    assert sum(isinstance(event, ConversationItemDone) for event in read) == 1


async def ask_everything(session: Session) -> None:
    await session.ask("What is the weather like in Oslo?")
    async with session.user_turn():
        await session.append_audio(synthesize_speech("Hello there."))
    await session.wait_for(ResponseDone)
    await session.delete_item(str(session.conversation.items[0].id))
    async with session.open_response(instructions="Be brief.") as response:
        await response.wait()


def get_weather(city: str) -> str:
    """Say what the weather is like."""
    return "sunny"


def recorded(folder: Path) -> tuple[WireRecord, ...]:
    (path,) = folder.iterdir()
    return read_recording(path).records


@pytest.mark.socket
async def test_a_recorded_session_with_an_older_client_can_be_checked(tmp_path: Path) -> None:
    script = Script(
        [
            Reply.call("get_weather", city="Oslo"),
            Reply.text("It is sunny."),
            Reply.speech("Hello."),
            Reply.text("Bye."),
        ],
        transcripts=["Hello there."],
    )
    with trio.fail_after(10):
        async with (
            serving(script, beta=True, record=tmp_path) as url,
            open_session(
                url=url,
                dialect=Dialect.BETA,
                turn_detection=None,
                tools=[get_weather],
                transcription=Transcription(model="whisper-1"),
            ) as session,
        ):
            await ask_everything(session)
    records = recorded(tmp_path)
    assert sum(isinstance(record.event, ConversationItemCreated) for record in records) >= 6
    assert isinstance(records[1].event, ConversationCreated)
    assert check_order(records) == []
