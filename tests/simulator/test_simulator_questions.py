"""Whose audio is listened to: each piece once, and only if nobody has given its words."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from realtime_trio.audio import mulaw_encode
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
    FunctionCallOutput,
    InputAudio,
    InputText,
    OutputAudio,
    UserMessage,
)
from realtime_trio.simulator.service.configuration import PCM
from realtime_trio.simulator.service.item_entry import ItemEntry, KnownItem
from realtime_trio.simulator.service.questions import Hearing, TranscriptWanted

AUDIO = np.array([1, -2, 3], np.int16)


def entry_of(item: KnownItem) -> ItemEntry:
    return ItemEntry("item_1", item, PCM)


def heard() -> ItemEntry:
    return entry_of(UserMessage(content=[InputAudio(AUDIO)]))


@pytest.fixture
def asked() -> list[TranscriptWanted]:
    return []


@pytest.fixture
def hearing(asked: list[TranscriptWanted]) -> Hearing:
    return Hearing(asked.append)


def test_audio_is_listened_to_once(hearing: Hearing, asked: list[TranscriptWanted]) -> None:
    first, second = heard(), heard()
    for entry in (first, first, second, first):
        hearing.listen(entry)
    assert [question.id for question in asked] == ["audio_1", "audio_2"]
    assert hearing.finish("audio_1") is first
    hearing.listen(first)
    assert len(asked) == 2


def test_all_the_audio_of_an_item_is_one_question(
    hearing: Hearing, asked: list[TranscriptWanted]
) -> None:
    item = UserMessage(
        content=[InputAudio(AUDIO), InputText("and"), InputAudio(), InputAudio(AUDIO)]
    )
    hearing.listen(entry_of(item))
    (question,) = asked
    assert question.samples.tolist() == [1, -2, 3, 1, -2, 3]


def test_audio_of_the_telephone_is_heard_at_24_khz(
    hearing: Hearing, asked: list[TranscriptWanted]
) -> None:
    data = mulaw_encode(np.full(80, 1000, np.int16))
    entry = ItemEntry("i", UserMessage(content=[InputAudio(data)]), AudioFormat.pcmu())
    hearing.listen(entry)
    (question,) = asked
    assert len(question.samples) == 240


@pytest.mark.parametrize(
    "item",
    [
        UserMessage.text("hello"),
        UserMessage(content=[InputAudio(AUDIO, "hello")]),
        UserMessage(content=[InputAudio(b"")]),
        UserMessage(content=[InputAudio()]),
        AssistantMessage(content=[OutputAudio(AUDIO)]),
        FunctionCallOutput(call_id="c", output="7"),
    ],
)
def test_where_there_is_nothing_to_be_heard_nobody_is_asked(
    item: KnownItem, hearing: Hearing, asked: list[TranscriptWanted]
) -> None:
    hearing.listen(entry_of(item))
    assert asked == []


def test_what_was_understood_or_is_skipped_is_not_asked_about(
    hearing: Hearing, asked: list[TranscriptWanted]
) -> None:
    understood, skipped = heard(), heard()
    understood.understand("hello")
    hearing.listen(understood)
    hearing.skip(skipped)
    hearing.listen(skipped)
    assert asked == []


def test_a_question_is_open_until_it_is_finished(hearing: Hearing) -> None:
    entry, other = heard(), heard()
    assert not hearing.awaits_any([entry, other])
    hearing.listen(entry)
    assert hearing.is_open("audio_1")
    assert hearing.awaits_any([entry, other])
    assert not hearing.awaits_any([other])
    assert hearing.finish("audio_1") is entry
    assert hearing.finish("audio_1") is None
    assert not hearing.is_open("audio_1")
    assert not hearing.awaits_any([entry, other])


def test_audio_of_a_deleted_item_does_not_stay_in_memory(hearing: Hearing) -> None:
    entry = heard()
    hearing.listen(entry)
    hearing.finish("audio_1")
    gone = weakref.ref(entry)
    del entry
    gc.collect()
    assert gone() is None
