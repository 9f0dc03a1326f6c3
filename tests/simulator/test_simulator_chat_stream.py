"""What is read in the chunks of a chat completion, and where it is put together and cut."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_trio.simulator.chat.stream import (
    CallDelta,
    ChatDelta,
    ChunkError,
    GrowingCalls,
    GrowingText,
    read_chunk,
    read_error,
)
from realtime_trio.simulator.script.script import Call


def chunk(finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"delta": delta, "finish_reason": finish_reason}]}


# --- chunks ---------------------------------------------------------------------------------------


def test_a_chunk_is_what_it_adds() -> None:
    assert read_chunk(chunk(content="Hi")) == ChatDelta("Hi")
    assert read_chunk(chunk(content=None, refusal="No")) == ChatDelta("No")
    assert read_chunk(chunk("stop", content="", tool_calls=None)) == ChatDelta("", (), "stop")
    assert read_chunk({"choices": []}) == ChatDelta()
    calls = [
        {"index": 1, "id": "c", "function": {"name": "f", "arguments": "{"}},
        {"index": "1", "function": {}},
    ]
    assert read_chunk(chunk(tool_calls=calls)).calls == (
        CallDelta(index=1, call_id="c", name="f", arguments="{"),
        CallDelta(index=None, call_id="", name="", arguments=""),
    )


def test_an_explanation_of_an_error_is_cut_to_500_characters() -> None:
    for error in ({"error": {"message": "x" * 501}}, {"error": "x" * 501}):
        assert read_error(error) == ("x" * 500, None)
    assert read_error([{"error": {"message": "full", "code": "busy"}}]) == ("full", "busy")
    assert read_error({"error": {"message": "full", "code": 5}}) == ("full", None)
    assert read_error("no") == (None, None)


# --- calls ----------------------------------------------------------------------------------------


def piece(
    arguments: str = "", *, index: int | None = None, call_id: str = "", name: str = ""
) -> CallDelta:
    return CallDelta(index=index, call_id=call_id, name=name, arguments=arguments)


def calls_of(*pieces: CallDelta, taken: set[str | None] | None = None) -> list[Call]:
    calls = GrowingCalls(set() if taken is None else taken)
    for each in pieces:
        calls.add(each)
    return list(calls.complete())


def test_pieces_of_two_calls_at_once_go_by_their_numbers() -> None:
    assert calls_of(
        piece("[", index=0, name="f"),
        piece("{", index=1, name="g"),
        piece("]", index=0),
        piece("}", index=1),
    ) == [Call("f", "[]"), Call("g", "{}")]


def test_a_name_that_is_repeated_with_a_number_begins_nothing() -> None:
    assert calls_of(piece("{", index=0, call_id="c", name="f"), piece("}", index=0, name="f")) == [
        Call("f", "{}", "c")
    ]


def test_a_new_id_with_a_name_begins_a_call_and_without_one_does_not() -> None:
    first = piece("{}", index=0, call_id="a", name="f")
    assert calls_of(first, piece("[]", index=0, call_id="b", name="f")) == [
        Call("f", "{}", "a"),
        Call("f", "[]", "b"),
    ]
    assert calls_of(first, piece(" ", index=0, call_id="b")) == [Call("f", "{} ", "a")]


def test_an_id_that_the_conversation_has_is_not_kept_and_a_kept_one_is_taken() -> None:
    taken: set[str | None] = {"old"}
    calls = calls_of(
        piece(call_id="old", name="f"),
        piece(call_id="n" * 32, name="f"),
        piece(call_id="n" * 33, name="f"),
        taken=taken,
    )
    assert [call.call_id for call in calls] == [None, "n" * 32, None]
    assert "n" * 32 in taken


def test_a_call_without_a_name_is_none() -> None:
    with pytest.raises(ChunkError, match="no name"):
        calls_of(piece("{}", index=0))


# --- sentences ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentences", "rest"),
    [
        # Nothing ends before the fifth character.
        ("Mr. X", [], "Mr. X"),
        ("abc. X", [], "abc. X"),
        ("abcd. X", ["abcd. "], "X"),
        ("  abcd. X", ["  abcd. "], "X"),
        ("  abc. X", [], "  abc. X"),
        # More might belong to the end, unless it is a full stop that needs no space.
        ("Well. ", ["Well. "], ""),
        ("Well.", [], "Well."),
        ("今日は元気。", ["今日は元気。"], ""),
        # By 300 characters something has to be heard.
        ("x" * 299, [], "x" * 299),
        ("x" * 300, ["x" * 300], ""),
        ("x" * 301, ["x" * 300], "x"),
        (" " + "x" * 300, [" " + "x" * 300], ""),
        ("x" * 298 + " yz", ["x" * 298 + " "], "yz"),
        ("x" * 299 + " y", ["x" * 299 + " "], "y"),
        ("x " + "y" * 299, ["x "], "y" * 299),
    ],
)
def test_a_sentence_is_cut_off_as_soon_as_it_is_complete(
    text: str, sentences: list[str], rest: str
) -> None:
    growing = GrowingText()
    assert list(growing.add(text)) == sentences
    assert growing.rest == rest


def test_sentences_do_not_depend_on_how_the_text_comes() -> None:
    growing = GrowingText()
    text = "One here. Two here! " + "x" * 310
    assert [sentence for letter in text for sentence in growing.add(letter)] == [
        "One here. ",
        "Two here! ",
        "x" * 300,
    ]
    assert growing.rest == "x" * 10
