"""How an item reads, whatever it is made of."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from realtime_trio._state.conversation.item import (
    ConversationItem,
    GrowingPart,
    GrowingResponse,
    GrowingText,
    ItemPhase,
)
from realtime_trio.audio import AudioData
from realtime_trio.audio.track import AudioTrack
from realtime_trio.events import (
    AssistantMessage,
    FunctionCall,
    InputAudio,
    InputImage,
    InputText,
    McpApprovalRequest,
    OutputAudio,
    OutputText,
    SystemMessage,
    UnknownObject,
    UserMessage,
)


def text_part(kind: str, text: str) -> GrowingPart:
    part = GrowingPart(kind)
    part.text.append(text)
    return part


def spoken_part(kind: str, transcript: str, *samples: int) -> GrowingPart:
    part = GrowingPart(kind)
    part.transcript.append(transcript)
    part.track = AudioTrack()
    part.track.append(AudioData(np.array(samples, np.int16)))
    return part


def test_an_item_cannot_be_changed_by_accident() -> None:
    item = ConversationItem(id="item_1", type="message")
    for name in ("id", "status", "text", "audio", "is_complete", "anything_else"):
        with pytest.raises(AttributeError):
            setattr(item, name, None)


def test_a_new_item_is_in_progress_and_says_nothing() -> None:
    item = ConversationItem(
        id="item_1",
        type="message",
        role="assistant",
        response=GrowingResponse("resp_1"),
        previous_item_id="item_0",
    )
    assert (item.id, item.type, item.role, item.status) == (
        "item_1",
        "message",
        "assistant",
        "in_progress",
    )
    assert (item.response_id, item.previous_item_id) == ("resp_1", "item_0")
    assert (item.is_complete, item.is_interrupted, item.heard_ms) == (False, False, None)
    assert (item.text, item.transcript, item.arguments, item.segments, item.parts) == (
        "",
        "",
        "",
        (),
        (),
    )
    assert item.transcription_error is None


def test_items_are_compared_by_identity() -> None:
    assert ConversationItem(id="item_1", type="message") != ConversationItem(
        id="item_1", type="message"
    )


def test_text_joins_text_parts_in_order_of_their_index() -> None:
    parts = {1: text_part("input_text", "two"), 0: text_part("input_text", "one ")}
    item = ConversationItem(id="item_1", type="message", role="user", parts=parts)
    assert item.text == "one two"
    assert item.parts == (InputText("one "), InputText("two"))
    assert item.transcript == ""


def test_audio_and_transcript_join_audio_parts() -> None:
    parts = {0: spoken_part("output_audio", "one ", 1, 2), 1: spoken_part("output_audio", "two", 3)}
    item = ConversationItem(id="item_1", type="message", role="assistant", parts=parts)
    assert_array_equal(item.audio, [1, 2, 3])
    assert item.audio.dtype == np.int16
    assert not item.audio.flags.writeable
    assert item.transcript == "one two"
    assert (item.audio_ms, item.audio_rate) == (0, 24_000)


def test_the_audio_of_one_part_is_that_part() -> None:
    item = ConversationItem(
        id="item_1", type="message", role="user", parts={0: spoken_part("input_audio", "one", 1, 2)}
    )
    assert_array_equal(item.audio, [1, 2])


def test_without_audio_there_is_an_empty_array() -> None:
    item = ConversationItem(id="item_1", type="message", role="user")
    assert item.audio.dtype == np.int16
    assert (len(item.audio), item.audio_ms, item.audio_rate) == (0, 0, 24_000)


def test_the_rate_of_telephony_is_that_of_telephony() -> None:
    part = GrowingPart("output_audio", track=AudioTrack("audio/pcmu", 8_000))
    assert ConversationItem(id="item_1", type="message", parts={0: part}).audio_rate == 8_000


def test_a_transcription_without_words_reads_as_a_space_and_is_empty_in_its_part() -> None:
    part = GrowingPart("input_audio", is_wordless=True)
    item = ConversationItem(id="item_1", type="message", role="user", parts={0: part})
    assert item.transcript == " "
    assert item.parts == (InputAudio(None, ""),)


def test_a_transcription_that_has_not_come_reads_as_nothing() -> None:
    item = ConversationItem(
        id="item_1", type="message", role="user", parts={0: GrowingPart("input_audio")}
    )
    assert item.transcript == ""
    assert item.parts == (InputAudio(None, None),)


def test_snapshots_of_messages_are_protocol_values() -> None:
    image, unknown = (
        InputImage("data:image/png;base64,AA=="),
        UnknownObject("smell", {"type": "smell"}),
    )
    user = ConversationItem(
        id="item_1",
        type="message",
        role="user",
        status="completed",
        parts={
            0: text_part("input_text", "hi"),
            1: GrowingPart("input_image", as_is=image),
            2: GrowingPart("smell", as_is=unknown),
        },
    )
    assert user.snapshot == UserMessage(
        id="item_1", status="completed", content=[InputText("hi"), image, unknown]
    )
    system = ConversationItem(
        id="item_2", type="message", role="system", parts={0: text_part("input_text", "be nice")}
    )
    assert system.snapshot == SystemMessage(
        id="item_2", status="in_progress", content=[InputText("be nice")]
    )
    parts = {0: text_part("output_text", "hello"), 1: spoken_part("output_audio", "hello")}
    assistant = ConversationItem(id="item_3", type="message", role="assistant", parts=parts)
    assert assistant.snapshot == AssistantMessage(
        id="item_3", status="in_progress", content=[OutputText("hello"), OutputAudio(None, "hello")]
    )


def test_a_part_of_which_nothing_is_known_is_an_unknown_object() -> None:
    assert GrowingPart("hologram").value == UnknownObject("hologram", {"type": "hologram"})


def test_a_call_reads_as_a_function_call() -> None:
    item = ConversationItem(
        id="item_1", type="function_call", name="f", call_id="call_1", status="completed"
    )
    item._arguments.append("{}")
    call = FunctionCall(id="item_1", status="completed", name="f", call_id="call_1", arguments="{}")
    assert (item.call, item.snapshot) == (call, call)
    assert (item.name, item.call_id, item.arguments, item.output) == ("f", "call_1", "{}", None)


def test_a_call_of_which_only_arguments_are_known_is_one_all_the_same() -> None:
    item = ConversationItem(id="item_1", type="function_call")
    assert item.call == FunctionCall(id="item_1", status="in_progress", name="", arguments="")


def test_other_items_are_kept_as_they_are() -> None:
    request = McpApprovalRequest(id="item_1", server_label="s", name="f", arguments="{}")
    item = ConversationItem(id="item_1", type="mcp_approval_request", as_is=request)
    assert item.snapshot is request
    assert item.call is None


def test_an_item_of_which_nothing_is_known_is_an_unknown_object() -> None:
    assert ConversationItem(id="item_1", type="mcp_call").snapshot == UnknownObject(
        "mcp_call", {"type": "mcp_call", "id": "item_1"}
    )


def test_the_repr_is_short_and_shows_no_audio() -> None:
    parts = {0: spoken_part("output_audio", "a" * 100, *range(1000))}
    item = ConversationItem(id="item_1", type="message", role="assistant", parts=parts)
    assert repr(item) == f"<ConversationItem item_1 assistant in_progress '{'a' * 37}...'>"
    assert (
        repr(ConversationItem(id="item_2", type=None))
        == "<ConversationItem item_2 item in_progress>"
    )


def test_pieces_of_text_are_joined() -> None:
    text = GrowingText()
    for piece in ("a", "b", "c"):
        text.append(piece)
    assert (text.read(), text.read()) == ("abc", "abc")


def test_letters_take_little_more_room_than_the_text() -> None:
    def make(letters: str) -> GrowingText:
        text = GrowingText()
        for number in range(50_000):
            text.append(letters[number % len(letters)])
        return text

    # What orjson makes of one letter of a message is a string of its own.
    pieces = "".join(chr(0x4E00 + number) for number in range(5000))
    gc.collect()
    tracemalloc.start()
    text = make(pieces)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken < 50_000 * 2 * 1.5
    assert text.read() == pieces * 10


def test_pieces_that_say_nothing_are_not_kept() -> None:
    text = GrowingText()
    tracemalloc.start()
    for _ in range(10_000):
        text.append("")
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken < 1000
    assert text.read() == ""


@pytest.mark.parametrize(
    ("pieces", "whole", "final", "missing", "reads", "is_final"),
    [
        (["ab"], "abc", True, "c", "abc", True),
        (["ab"], "ab", True, "", "ab", True),
        (["ab"], "xy", True, None, "xy", True),
        (["ab"], "", True, "", "ab", False),  # an empty whole erases nothing
        ([], "ab", False, "ab", "ab", False),
        (["ab"], "a", False, "", "ab", False),  # of what is not final only the longer counts
        (["ab"], "abc", False, "c", "abc", False),
    ],
)
def test_a_whole_tells_what_was_missing(
    pieces: list[str], whole: str, final: bool, missing: str | None, reads: str, is_final: bool
) -> None:
    text = GrowingText()
    for piece in pieces:
        text.append(piece)
    assert text.adopt(whole, final=final) == missing
    assert (text.read(), text.is_final) == (reads, is_final)


def test_a_whole_stays_final_when_it_is_stated_again() -> None:
    text = GrowingText()
    text.adopt("ab", final=True)
    text.adopt("abc", final=False)
    assert text.is_final


def test_cleared_text_is_empty() -> None:
    text = GrowingText()
    text.append("a")
    text.clear()
    assert text.read() == ""


def test_an_item_goes_on_and_never_back() -> None:
    item = ConversationItem(id="item_1", type="message")
    seen = []
    for phase in (ItemPhase.HIDDEN, ItemPhase.SHOWN, ItemPhase.COMPLETE, ItemPhase.SHOWN):
        item._reach(phase)
        seen.append((item._is_shown, item.is_complete))
    assert seen == [(False, False), (True, False), (True, True), (True, True)]


def test_an_item_is_stopped_when_its_response_is() -> None:
    response = GrowingResponse("resp_1")
    item = ConversationItem(id="item_1", type="message", response=response)
    by_hand = ConversationItem(id="item_2", type="message")
    assert not item._is_stopped
    assert not by_hand._is_stopped
    assert ConversationItem(
        id="item_3", type="message", response=GrowingResponse("resp_2", is_stopped=True)
    )._is_stopped
    response.is_stopped = True
    assert (item._is_stopped, by_hand._is_stopped) == (True, False)


def test_audio_is_whole_until_some_of_it_is_let_go_of() -> None:
    item = ConversationItem(id="item_1", type="message", role="assistant")
    assert item.is_audio_whole
    part = item._parts[0] = spoken_part("output_audio", "", 1, 2, 3)
    assert item.is_audio_whole
    assert part.track is not None
    part.track.forget(1)
    assert not item.is_audio_whole


def test_what_was_dropped_is_told_in_milliseconds() -> None:
    item = ConversationItem(id="item_1", type="message", dropped_us=1999)
    assert item.dropped_ms == 1


@pytest.mark.parametrize(
    ("response", "phase", "is_growing"),
    [
        (None, ItemPhase.SHOWN, False),
        (GrowingResponse("resp_1"), ItemPhase.SHOWN, True),
        (GrowingResponse("resp_1"), ItemPhase.COMPLETE, False),
        (GrowingResponse("resp_1", is_over=True), ItemPhase.SHOWN, False),
    ],
)
def test_an_item_grows_while_its_response_makes_it(
    response: GrowingResponse | None, phase: ItemPhase, is_growing: bool
) -> None:
    item = ConversationItem(id="item_1", type="message", response=response, phase=phase)
    assert item._is_growing == is_growing


def test_an_item_is_out_of_band_when_its_response_is() -> None:
    aside = GrowingResponse("resp_1", is_out_of_band=True)
    items = [
        ConversationItem(id="item_1", type="message", response=response)
        for response in (None, GrowingResponse("resp_2"), aside)
    ]
    assert [item._response_is_out_of_band for item in items] == [False, False, True]


# --- what was heard -------------------------------------------------------------------------------


def test_what_was_not_truncated_was_heard() -> None:
    item = ConversationItem(id="item_1", type="message", role="assistant")
    item._parts[0] = spoken_part("output_audio", "one two", *range(100))
    assert item.heard_transcript == item.transcript == "one two"


def test_of_what_was_truncated_the_words_are_counted_off_by_time() -> None:
    part = spoken_part("output_audio", "one two three", *range(24 * 100))
    part.cut(60, 0)
    item = ConversationItem(id="item_1", type="message", role="assistant")
    item._parts[0] = part
    assert (item.transcript, item.heard_transcript) == ("", "one two")
    part.cut(30, 0)
    assert item.heard_transcript == "one"
    assert item.audio_ms == 30
    part.transcript.append("one two")  # the server says which words are left
    assert item.heard_transcript == "one two"


@pytest.mark.parametrize(("is_whole", "heard"), [(True, "one"), (False, "one two")])
def test_audio_that_was_dropped_counts_where_the_transcript_is_that_of_all(
    is_whole: bool, heard: str
) -> None:
    part = spoken_part("output_audio", "one two three", *range(24 * 100))
    part.transcript.is_final = is_whole
    part.cut(60, 100_000)
    assert part.heard == heard


def test_of_a_part_without_audio_nothing_was_heard() -> None:
    part = GrowingPart("output_audio")
    part.transcript.append("one two")
    part.cut(60, 0)
    assert part.heard == ""
