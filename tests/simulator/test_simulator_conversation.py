"""The simulated server's conversation: items that clients insert, retrieve, cut and delete."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from service_client import Client, audio, of_type, only, types, usage

from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AssistantMessage,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDone,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    ConversationItemTruncated,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    McpApprovalRequest,
    McpApprovalResponse,
    OutputAudio,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    SystemMessage,
    UserMessage,
)
from realtime_trio.simulator import Pacing, Reply


def test_an_item_is_added_and_done_at_once() -> None:
    client = Client()
    added, done = client.send(ConversationItemCreate(item=UserMessage.text("hi", id="mine")))
    assert isinstance(added, ConversationItemAdded)
    assert isinstance(done, ConversationItemDone)
    assert (
        added.item
        == done.item
        == UserMessage(id="mine", status="completed", content=[InputText("hi")])
    )
    assert added.previous_item_id is done.previous_item_id is None


def test_items_get_an_id_from_the_server_unless_they_have_one() -> None:
    added = only(
        Client().send(ConversationItemCreate(item=SystemMessage.text("hi"))), ConversationItemAdded
    )
    assert added.item.id is not None
    assert added.item.id.startswith("item_")
    assert len(added.item.id) == 26


def test_items_go_where_the_client_wants_them() -> None:
    client = Client()
    previous = []
    for name, after in [("b", None), ("d", ""), ("a", "root"), ("c", "b"), ("e", "d")]:
        added = only(
            client.send(
                ConversationItemCreate(item=UserMessage.text("x", id=name), previous_item_id=after)
            ),
            ConversationItemAdded,
        )
        previous.append(added.previous_item_id)
    assert previous == [None, "b", None, "b", "d"]


def test_an_item_after_one_that_does_not_exist_is_refused() -> None:
    client = Client()
    error = client.refused(
        ConversationItemCreate(
            item=UserMessage.text("hi", id="mine"), previous_item_id="x", event_id="e1"
        )
    )
    assert error.code == "item_create_invalid_previous_item_id"
    assert error.message == "Error adding item: the previous item with id 'x' does not exist."
    assert error.event_id == "e1"
    assert (
        client.refused(ConversationItemRetrieve(item_id="mine")).code
        == "item_retrieve_invalid_item_id"
    )


def test_a_second_item_of_the_same_id_is_not_refused() -> None:
    client = Client()
    for previous in (None, "twin"):
        added = only(
            client.send(ConversationItemCreate(item=UserMessage.text("x", id="twin"))),
            ConversationItemAdded,
        )
        assert added.previous_item_id == previous


@pytest.mark.parametrize(
    ("item", "code", "param"),
    [
        (UserMessage.text("x", id="x" * 39), "string_above_max_length", "item.id"),
        (UserMessage.text("x" * 256_001), "string_above_max_length", "item.content[0].text"),
        (
            UserMessage(content=[InputText("a"), InputImage()]),
            "missing_required_parameter",
            "item.content[1].image_url",
        ),
        (
            UserMessage(content=[InputAudio(AudioData.from_base64("%%%%"))]),
            "invalid_value",
            "item.content[0].audio",
        ),
        (
            AssistantMessage(content=[OutputAudio(transcript="x")]),
            "invalid_value",
            "item.content[0].type",
        ),
        (
            FunctionCall(name="f", arguments="", call_id="x" * 33),
            "string_above_max_length",
            "item.call_id",
        ),
        (
            FunctionCall(name="f", arguments="", call_id="no spaces"),
            "invalid_value",
            "item.call_id",
        ),
        (FunctionCallOutput(call_id="call_1", output=""), "invalid_tool_call_id", None),
    ],
)
def test_items_that_cannot_be_are_refused(item: Any, code: str, param: str | None) -> None:
    error = Client().refused(ConversationItemCreate(item=item))
    assert (error.code, error.param) == (code, param)


def test_a_too_long_id_is_refused_in_the_words_of_the_service() -> None:
    assert Client().refused(
        ConversationItemCreate(item=UserMessage.text("x", id="x" * 39))
    ).message == (
        "Invalid 'item.id': string too long. Expected a string with maximum length 32, "
        "but got a string with length 39 instead."
    )


@pytest.mark.parametrize(
    "item",
    [
        SystemMessage.text("Be kind.", id="i"),
        UserMessage(
            id="i", content=[InputText("Look:"), InputImage("data:image/png;base64,AAAA", "low")]
        ),
        AssistantMessage.text("Yes.", id="i"),
        FunctionCall(id="i", name="look", arguments="{}", call_id="call_1"),
    ],
)
def test_items_come_back_as_they_were(item: Any) -> None:
    client = Client()
    client.send(ConversationItemCreate(item=item))
    assert client.item("i") == attrs.evolve(item, status="completed")


def test_an_approval_is_an_item_too() -> None:
    client = Client()
    client.send(
        ConversationItemCreate(
            item=McpApprovalRequest(id="r", server_label="s", name="f", arguments="{}")
        )
    )
    client.send(
        ConversationItemCreate(
            item=McpApprovalResponse(id="i", approval_request_id="r", approve=True)
        )
    )
    assert client.item("i") == McpApprovalResponse(id="i", approval_request_id="r", approve=True)
    assert only(client.send(ResponseCreate()), ResponseDone).response.status == "completed"


def test_a_call_can_be_restored_with_its_output() -> None:
    client = Client()
    client.send(ConversationItemCreate(item=FunctionCall(name="look", arguments="{}")))
    client.send(
        ConversationItemCreate(item=FunctionCall(name="look", arguments="{}", call_id="call_1"))
    )
    events = client.send(
        ConversationItemCreate(item=FunctionCallOutput(call_id="call_1", output="21"))
    )
    assert types(events) == ["conversation.item.added", "conversation.item.done"]


def test_the_users_audio_is_only_in_retrieved_items() -> None:
    client = Client()
    added = only(
        client.send(
            ConversationItemCreate(item=UserMessage.audio(audio(50), transcript="hm", id="i"))
        ),
        ConversationItemAdded,
    )
    assert added.item == UserMessage(id="i", status="completed", content=[InputAudio(None, "hm")])
    assert client.item("i").content == (InputAudio(audio(50), "hm"),)


def test_a_deleted_item_is_gone() -> None:
    client = Client()
    client.send(
        ConversationItemCreate(item=UserMessage.text("hi", id="a")),
        ConversationItemCreate(item=UserMessage.text("hi", id="b")),
    )
    assert types(client.send(ConversationItemDelete(item_id="b"))) == ["conversation.item.deleted"]
    error = client.refused(ConversationItemDelete(item_id="b"))
    assert (error.code, error.param) == ("item_delete_invalid_item_id", None)
    assert error.message == "Error deleting item: the item with id 'b' does not exist."
    added = only(
        client.send(ConversationItemCreate(item=UserMessage.text("hi"))), ConversationItemAdded
    )
    assert added.previous_item_id == "a"


def test_an_unknown_item_cannot_be_retrieved() -> None:
    error = Client().refused(ConversationItemRetrieve(item_id="x"))
    assert (error.code, error.message) == (
        "item_retrieve_invalid_item_id",
        "Error retrieving item: the item with id 'x' does not exist.",
    )


# --- truncation -----------------------------------------------------------------------------------


def spoken_item(client: Client) -> str:
    return str(only(client.send(ResponseCreate()), ResponseOutputItemAdded).item.id)


def test_truncating_keeps_what_was_heard_and_drops_the_transcript() -> None:
    client = Client(Reply.speech("One two.", np.arange(24_000, dtype=np.int16)))
    item_id = spoken_item(client)
    assert client.item(item_id).content == (
        OutputAudio(AudioData(np.arange(24_000, dtype=np.int16)), "One two."),
    )
    (truncated,) = client.send(
        ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=500)
    )
    assert isinstance(truncated, ConversationItemTruncated)
    assert (truncated.item_id, truncated.content_index, truncated.audio_end_ms) == (item_id, 0, 500)
    assert client.item(item_id).content == (
        OutputAudio(AudioData(np.arange(12_000, dtype=np.int16))),
    )


def test_truncating_beyond_the_end_is_refused() -> None:
    client = Client(Reply.speech("One.", np.zeros(88_800, np.int16)))
    item_id = spoken_item(client)
    error = client.refused(
        ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=3760)
    )
    assert (error.code, error.message) == (
        "invalid_value",
        "Audio content of 3700ms is already shorter than 3760ms",
    )
    assert types(
        client.send(ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=3700))
    ) == ["conversation.item.truncated"]


def speaking(client: Client) -> str:
    """The id of an answer of two seconds, of which one second has been sent."""
    item_id = str(only(client.send(ResponseCreate(), now=0), ResponseOutputItemAdded).item.id)
    client.take(1.0)
    return item_id


def two_seconds() -> Client:
    samples = np.arange(48_000, dtype=np.int16)
    return Client(Reply.speech("One two three four.", samples, pacing=Pacing(audio_speed=1.0)))


def test_cancelling_after_a_truncation_does_not_bring_back_what_was_not_heard() -> None:
    # The order of openai-agents.
    client = two_seconds()
    item_id = speaking(client)
    events = client.send(
        ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=400),
        ResponseCancel(),
    )
    assert client.item(item_id) == AssistantMessage(
        id=item_id,
        status="incomplete",
        content=(OutputAudio(AudioData(np.arange(9_600, dtype=np.int16))),),
    )
    # What the response says of itself is what was generated, as on the live wire.
    told = only(events, ResponseOutputAudioTranscriptDone).transcript
    assert told
    assert only(events, ResponseDone).response.output == (only(events, ConversationItemDone).item,)
    assert only(events, ConversationItemDone).item == AssistantMessage(
        id=item_id, status="incomplete", content=(OutputAudio(transcript=told),)
    )


def test_what_is_said_after_a_truncation_does_not_join_the_item() -> None:
    client = two_seconds()
    item_id = speaking(client)
    client.send(ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=400))
    assert of_type(client.take(1.5), ResponseOutputAudioDelta)
    assert only(client.take(9.0), ResponseDone).response.status == "completed"
    assert client.item(item_id).content == (
        OutputAudio(AudioData(np.arange(9_600, dtype=np.int16))),
    )
    # The model reads no word of it either.
    before = usage(client.send(ResponseCreate(response=ResponseConfig(instructions=""))))
    assert before.input_token_details is not None
    assert before.input_token_details.text_tokens == 0
    assert before.input_token_details.audio_tokens == 8


def test_only_the_models_audio_can_be_truncated() -> None:
    client = Client(Reply.speech("One.", np.zeros(4800, np.int16)))
    item_id = spoken_item(client)
    client.send(ConversationItemCreate(item=UserMessage.audio(audio(500), id="users")))
    client.send(ConversationItemCreate(item=AssistantMessage.text("hi", id="text")))
    codes = [
        client.refused(
            ConversationItemTruncate(item_id=name, content_index=index, audio_end_ms=end)
        ).code
        for name, index, end in [
            ("x", 0, 0),
            ("users", 0, 0),
            ("text", 0, 0),
            (item_id, 1, 0),
            (item_id, 0, -11),
        ]
    ]
    assert codes == [
        "item_truncate_invalid_item_id",
        "unsupported_content_type",
        "unsupported_content_type",
        "invalid_value",
        "integer_below_min_value",
    ]
