"""Whatever a server says, the conversation takes it, and tells every change exactly once."""

from __future__ import annotations

import random

import numpy as np
import pytest
from conversation_events import (
    added,
    assistant,
    created,
    item_of,
    output_added,
    speech,
    tell,
    truncated,
    words,
)
from crowds import DONE, SAID, SMALL
from hypothesis import given, strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from strategies import any_server_event

from realtime_trio._state.conversation.audio import Retention
from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.utility_events import (
    AudioDelta,
    DeltaDropped,
    Interrupted,
    ItemAppended,
    ItemCompleted,
    ItemDeleted,
    ItemTruncated,
    ItemUpdated,
    TextDelta,
    ToolCallRequested,
    UtilityEvent,
)
from realtime_trio.events import (
    Event,
    InputImage,
    ServerEvent,
    UnknownObject,
)

_RANKS = {
    ItemUpdated: 0,
    ItemTruncated: 0,
    ItemDeleted: 0,
    Interrupted: 0,
    DeltaDropped: 0,
    ItemAppended: 1,
    ItemCompleted: 2,
    ToolCallRequested: 3,
}


def looks(item: ConversationItem) -> tuple[object, ...]:
    """All that can be seen of an item, in a few values."""
    shown = [
        part
        for part in item.parts
        if isinstance(part, InputImage) or (isinstance(part, UnknownObject) and len(part.raw) > 1)
    ]
    told = (
        item.arguments,
        item.output,
        item.segments,
        item.transcription_error,
        item.name,
        item.call_id,
    )
    state = (
        item.type,
        item.role,
        item.status,
        item.previous_item_id,
        item.heard_ms,
        item.is_interrupted,
        item.is_complete,
    )
    return item.id, item.text, item.transcript, shown, received(item), told, state


def received(item: ConversationItem) -> int:
    return sum(track.received for track in item._tracks)


@pytest.mark.parametrize("retention", ["all", "none", 0.001])
@given(steps=st.lists(st.one_of(SAID, SAID, SAID, DONE), max_size=25))
def test_no_sequence_makes_it_raise_and_every_change_is_told_exactly_once(
    retention: Retention, steps: list[Event]
) -> None:
    conversation = Conversation(retention=retention)
    appended: list[ConversationItem] = []
    completed: list[ConversationItem] = []
    for step in steps:
        before = {
            item: (looks(item), len(item.text), received(item)) for item in conversation.items
        }
        if isinstance(step, ServerEvent):
            told = conversation.apply(step)
        else:
            conversation.sent(step)
            told = ()
        items = conversation.items

        assert len({item.id for item in items}) == len(items)
        assert all(conversation.get(item.id) is item for item in items)
        ranks = [_RANKS[type(event)] for event in told]
        assert ranks == sorted(ranks)

        appended += [event.item for event in told if isinstance(event, ItemAppended)]
        completed += [event.item for event in told if isinstance(event, ItemCompleted)]
        assert len(set(appended)) == len(appended)
        assert len(set(completed)) == len(completed)
        assert set(completed) <= set(appended)
        assert {item for item in items if item.is_complete} == set(completed) & set(items)

        assert {event.item for event in told if isinstance(event, ItemAppended)} == set(
            items
        ) - set(before)
        assert {event.item for event in told if isinstance(event, ItemDeleted)} == set(
            before
        ) - set(items)
        mentioned = {
            event.item
            for event in told
            if isinstance(event, ItemUpdated | ItemTruncated | ItemCompleted)
        }
        for item in set(items) & set(before):
            looked, length, samples = before[item]
            if item not in mentioned:
                assert looks(item) == looked
            updates = [
                event.delta
                for event in told
                if isinstance(event, ItemUpdated) and event.item is item
            ]
            if any(isinstance(event, ItemTruncated) for event in told):
                continue
            assert updates.count(None) <= 1
            if None not in updates:
                assert len(item.text) - length == sum(
                    len(delta.text) for delta in updates if isinstance(delta, TextDelta)
                )
                assert received(item) - samples == sum(
                    len(delta.samples) for delta in updates if isinstance(delta, AudioDelta)
                )
        stayed = [item for item in items if item in before and item not in mentioned]
        assert stayed == [item for item in before if item in stayed]

        for item in items:
            if retention == "none":
                assert not len(item.audio)
            elif retention == "all" and not item._is_committed:
                assert len(item.audio) == received(item)
            else:
                assert len(item.audio) <= received(item)
        assert conversation.pending_input_ms >= 0


@given(st.lists(any_server_event(), max_size=12))
def test_no_event_of_any_kind_makes_it_raise(steps: list[ServerEvent]) -> None:
    conversation = Conversation()
    for step in steps:
        for event in conversation.apply(step):
            assert isinstance(event, UtilityEvent)
    for item in conversation.items:
        assert repr(item)
        assert item.snapshot.id == item.id


@given(
    st.lists(
        st.tuples(st.sampled_from(["item_1", "item_2"]), st.binary(max_size=9), SMALL), max_size=20
    ),
    st.integers(-1, 10),
    st.randoms(use_true_random=False),
)
def test_the_audio_of_an_item_is_the_sum_of_its_deltas_less_what_was_truncated(
    pieces: list[tuple[str, bytes, str]], ms: int, chance: random.Random
) -> None:
    conversation = Conversation()
    tell(
        conversation,
        created(),
        output_added(assistant("item_1")),
        output_added(assistant("item_2")),
    )
    tell(conversation, added(assistant("item_1")), added(assistant("item_2"), "item_1"))
    audio = {"item_1": b"", "item_2": b""}
    transcripts = {"item_1": "", "item_2": ""}
    told: dict[str, list[NDArray[np.int16]]] = {"item_1": [], "item_2": []}
    for item_id, data, delta in pieces:
        audio[item_id] += data
        transcripts[item_id] += delta
        for event in tell(conversation, speech(data, item_id), words(delta, item_id)):
            match event:
                case ItemUpdated(item=item, delta=AudioDelta(samples)):
                    told[item.id].append(samples)
        if chance.random() < 0.3:
            assert len(item_of(conversation, item_id).audio) == len(audio[item_id]) // 2
    for item_id, data in audio.items():
        item = item_of(conversation, item_id)
        samples = np.frombuffer(data[: len(data) // 2 * 2], np.int16)
        assert_array_equal(item.audio, samples)
        assert_array_equal(np.concatenate([np.empty(0, np.int16), *told[item_id]]), samples)
        assert item.transcript == transcripts[item_id]
        tell(conversation, truncated(ms, item_id))
        assert_array_equal(item.audio, samples[: max(0, ms) * 24])
