"""Audio that was sent as a message stays with its item."""

from __future__ import annotations

import numpy as np
import pytest
from conversation_events import added, sound, tell
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from realtime_trio._state.conversation.audio import Retention
from realtime_trio._state.conversation.messages import SpokenMessages
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio.audio import AudioData
from realtime_trio.events import (
    ConversationItemCreate,
    ErrorDetail,
    ErrorEvent,
    FunctionCallOutput,
    InputAudio,
    InputText,
    Item,
    SystemMessage,
    UserMessage,
)

SPEECH = AudioData(sound(300))


def create(item: Item, event_id: str | None = "evt_1") -> ConversationItemCreate:
    return ConversationItemCreate(event_id=event_id, item=item)


def message(item_id: str | None = "item_1", audio: AudioData | None = SPEECH) -> UserMessage:
    return UserMessage(content=(InputText("Listen:"), InputAudio(audio)), id=item_id)


def test_a_message_is_remembered_until_it_is_taken() -> None:
    messages = SpokenMessages()
    messages.sent(create(message()))
    assert messages.take("item_2") == {}
    assert messages.take("item_1") == {1: SPEECH}
    assert messages.take("item_1") == {}


@pytest.mark.parametrize(
    "item",
    [
        SystemMessage.text("x", id="item_1"),
        FunctionCallOutput(id="item_1", call_id="call_1", output=""),
        message(None),
        message(audio=None),
    ],
    ids=lambda item: f"{item.type} {item.id}",
)
def test_what_has_no_audio_or_no_id_is_not_remembered(item: Item) -> None:
    messages = SpokenMessages()
    messages.sent(create(item))
    assert messages.take("item_1") == {}


def test_a_message_that_was_refused_is_forgotten() -> None:
    messages = SpokenMessages()
    messages.sent(create(message("item_1"), "evt_1"))
    messages.sent(create(message("item_2"), "evt_2"))
    messages.refused("evt_3")
    messages.refused("evt_1")
    assert (messages.take("item_1"), messages.take("item_2")) == ({}, {1: SPEECH})


def test_messages_that_nobody_takes_do_not_pile_up() -> None:
    messages = SpokenMessages()
    for number in range(1000):
        messages.sent(create(message(f"item_{number}")))
    assert messages.take("item_0") == {}
    assert messages.take("item_999") == {1: SPEECH}


def test_messages_without_an_id_take_no_place_of_others() -> None:
    messages = SpokenMessages()
    messages.sent(create(message()))
    for _ in range(1000):
        messages.sent(create(message(None)))
    assert messages.take("item_1") == {1: SPEECH}


@pytest.mark.parametrize(("retention", "kept"), [("all", sound(300)), ("none", sound(0))])
def test_it_is_kept_with_its_item_if_audio_is_kept(
    retention: Retention, kept: NDArray[np.int16]
) -> None:
    conversation = Conversation(retention=retention)
    conversation.sent(create(message()))
    tell(conversation, added(message(audio=None)))
    assert_array_equal(conversation.items[0].audio, kept)


def test_the_servers_own_copy_is_the_better_one() -> None:
    conversation = Conversation()
    conversation.sent(create(message()))
    tell(conversation, added(message(audio=AudioData(sound(500)))))
    assert conversation.items[0].audio_ms == 500


def test_a_refused_message_leaves_no_audio_for_another_of_its_id() -> None:
    conversation = Conversation()
    conversation.sent(create(message()))
    detail = ErrorDetail(type="invalid_request_error", message="no", event_id="evt_1")
    tell(conversation, ErrorEvent(event_id="e", error=detail), added(message(audio=None)))
    assert conversation.items[0].audio_ms == 0
