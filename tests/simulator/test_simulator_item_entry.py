"""One item of the simulated server: how it is shown, what the model reads of it, how it is cut."""

from __future__ import annotations

import pytest

from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputText,
    McpCall,
    McpListedTool,
    McpListTools,
    OutputAudio,
    OutputText,
    SystemMessage,
    UserMessage,
)
from realtime_trio.simulator.service.configuration import PCM
from realtime_trio.simulator.service.item_entry import ItemEntry, KnownItem
from realtime_trio.simulator.service.refusal import Refusal

SECOND = bytes(48_000)
"""Of silence, as 24 kHz PCM."""
SAID = AssistantMessage(id="said", content=[OutputAudio(transcript="one two three")])


def entry_of(item: KnownItem, audio_format: AudioFormat = PCM) -> ItemEntry:
    return ItemEntry("item_1", item, audio_format)


def spoken(audio: bytes = SECOND, audio_format: AudioFormat = PCM) -> ItemEntry:
    entry = entry_of(SAID, audio_format)
    entry.speak(audio)
    return entry


# --- how it is shown ------------------------------------------------------------------------------


def test_events_show_no_audio_and_a_retrieval_shows_all() -> None:
    heard = entry_of(UserMessage(content=[InputText("listen"), InputAudio(SECOND)]))
    assert heard.shown == UserMessage(content=[InputText("listen"), InputAudio()])
    assert heard.whole == UserMessage(content=[InputText("listen"), InputAudio(SECOND)])
    said = spoken()
    assert said.shown == SAID
    assert said.whole == AssistantMessage(
        id="said", content=[OutputAudio(AudioData(SECOND), "one two three")]
    )


def test_an_item_without_audio_is_shown_as_it_is() -> None:
    written = AssistantMessage(content=[OutputText("one")])
    for item in (written, SAID, FunctionCallOutput(call_id="c", output="7")):
        entry = entry_of(item)
        assert (entry.shown, entry.whole, entry.understood) == (item, item, item)


def test_the_model_reads_what_was_understood_before_clients_are_told() -> None:
    entry = entry_of(UserMessage(content=[InputText("listen"), InputAudio(SECOND)]))
    assert entry.understood == entry.item
    entry.understand("hello")
    assert entry.understood == UserMessage(
        content=[InputText("listen"), InputAudio(SECOND, "hello")]
    )
    assert entry.whole == entry.item


# --- how much there is of it ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "tokens"),
    [
        (SystemMessage(content="one two"), (2, 0)),
        (UserMessage(content=["one", InputAudio(SECOND)]), (1, 10)),
        (
            AssistantMessage(content=[OutputText("one"), OutputAudio(transcript="two three")]),
            (3, 0),
        ),
        (FunctionCall(name="look", arguments="{}"), (3, 0)),
        (McpCall(id="m", name="look", arguments="{}", server_label="docs", output="a b c"), (6, 0)),
        (McpCall(id="m", name="look", arguments="{}", server_label="docs", output=None), (3, 0)),
        (FunctionCallOutput(call_id="c", output="a b"), (2, 0)),
    ],
)
def test_an_item_takes_tokens_of_text_and_of_audio(
    item: KnownItem, tokens: tuple[int, int]
) -> None:
    assert entry_of(item).tokens == tokens


def test_a_list_of_tools_is_read_too() -> None:
    tools = tuple(McpListedTool(name=name, input_schema={}) for name in ("a", "b"))
    one, two = (
        entry_of(McpListTools(server_label="docs", tools=tools[:count])) for count in (1, 2)
    )
    assert 0 < one.tokens[0] < two.tokens[0]


def test_the_models_speech_takes_a_token_for_each_50_ms_that_begin() -> None:
    assert spoken().tokens == (3, 20)
    assert spoken(SECOND + bytes(2)).tokens == (3, 21)
    assert spoken(bytes(8000), AudioFormat.pcmu()).tokens == (3, 20)


def test_only_the_users_audio_was_heard() -> None:
    assert entry_of(UserMessage(content=[InputAudio(SECOND), InputAudio(SECOND)])).heard_ms == 2000
    assert entry_of(UserMessage(content=[InputAudio(bytes(80))]), AudioFormat.pcma()).heard_ms == 10
    assert entry_of(UserMessage(content=[InputAudio(), InputText("hm")])).heard_ms == 0
    assert spoken().heard_ms == 0


def test_tokens_are_counted_again_after_a_change_and_only_then() -> None:
    entry = entry_of(SAID)
    assert entry.tokens == (3, 0)
    assert entry.tokens is entry.tokens
    entry.speak(SECOND)
    assert entry.tokens == (3, 20)
    entry.become(AssistantMessage(content=[OutputAudio(transcript="one two three four")]))
    assert entry.tokens == (4, 20)


# --- what changes ---------------------------------------------------------------------------------


def test_every_change_is_told() -> None:
    told: list[ItemEntry] = []
    entry = entry_of(SAID)
    entry.on_change = told.append
    entry.speak(SECOND)
    entry.become(SAID)
    entry.understand("hello")
    assert told == [entry] * 3
    entry.truncate(0, 500)
    assert told == [entry] * 4
    # Of what was cut nothing is taken any more.
    entry.speak(SECOND)
    assert told == [entry] * 4


@pytest.mark.parametrize(("kept_ms", "tokens"), [(0, 0), (500, 10), (1000, 20)])
def test_what_is_cut_off_is_forgotten_with_all_the_words(kept_ms: int, tokens: int) -> None:
    entry = spoken()
    entry.truncate(0, kept_ms)
    assert len(entry.spoken) == kept_ms * 48
    assert entry.item == AssistantMessage(id="said", content=[OutputAudio()])
    assert entry.tokens == (0, tokens)
    # What the response says at its end does not bring back what the user did not hear.
    entry.speak(SECOND)
    entry.become(SAID)
    assert (len(entry.spoken), entry.tokens) == (kept_ms * 48, (0, tokens))


@pytest.mark.parametrize(
    ("entry", "index", "end_ms", "said"),
    [
        (entry_of(UserMessage(content=[InputAudio(SECOND)])), 0, 0, "Only model output audio"),
        (entry_of(SAID), 0, 0, "Only model output audio"),
        (spoken(), 1, 0, "the item has no part 1"),
        (spoken(), 0, 1001, "1000ms is already shorter than 1001ms"),
        (spoken(), 0, -1, "audio_end_ms"),
    ],
)
def test_a_cut_that_is_not_possible_is_refused_and_changes_nothing(
    entry: ItemEntry, index: int, end_ms: int, said: str
) -> None:
    before = entry.whole
    with pytest.raises(Refusal, match=said):
        entry.truncate(index, end_ms)
    assert entry.whole == before
    assert not entry.is_cut
