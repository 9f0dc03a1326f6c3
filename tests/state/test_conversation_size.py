"""How much room items take, and which limits can be meant."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_trio._state.conversation.audio import Encoding
from realtime_trio._state.conversation.size import HistoryLimit, tokens_of
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    AssistantMessage,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    SystemMessage,
    UnknownObject,
    UserMessage,
)

IMAGE = "data:image/png;base64,AA=="


@pytest.mark.parametrize(
    ("item", "tokens"),
    [
        (UserMessage.text(""), 4),
        (UserMessage.text("x"), 5),
        (UserMessage.text("x" * 8), 6),
        (SystemMessage.text("x" * 9), 7),
        (AssistantMessage.text("\u4eca" * 4), 7),
        (UserMessage.text("\ud800"), 5),
        (UserMessage.audio(bytes(4800)), 5),  # 100 ms
        (UserMessage.audio(bytes(4848)), 6),
        (UserMessage(content=[InputText("x"), InputImage(IMAGE), InputAudio()]), 1005),
        (FunctionCall(name="f", arguments="{}"), 6),
        (FunctionCallOutput(call_id="call_1", output="12345"), 6),
        (UnknownObject("hologram", {}), 4),
    ],
)
def test_tokens_are_counted_by_content(item: Item, tokens: int) -> None:
    assert tokens_of(item, Encoding()) == tokens


def test_audio_counts_by_how_long_it_is() -> None:
    assert tokens_of(UserMessage.audio(bytes(800)), Encoding("audio/pcmu", 8000)) == 5


@pytest.mark.parametrize("name", ["items", "tokens"])
def test_a_limit_that_makes_no_sense_is_refused(name: str) -> None:
    bad: Any = {name: -1}
    with pytest.raises(LocalProtocolError, match=f"{name} must be 0 or more, or None, not -1"):
        HistoryLimit(**bad)
    for wrong, kind in (("many", "str"), (2.5, "float"), (True, "bool")):
        bad = {name: wrong}
        with pytest.raises(TypeError, match=f"{name} must be 0 or more, or None, not {kind}"):
            HistoryLimit(**bad)


def test_what_summarizes_is_a_function() -> None:
    nothing: Any = "in short"
    with pytest.raises(TypeError, match=r"summarize must be an async function .* not str"):
        HistoryLimit(items=3, summarize=nothing)
