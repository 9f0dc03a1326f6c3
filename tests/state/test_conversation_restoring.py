"""What of a conversation can be told again, in which order, and what is said to be different."""

from __future__ import annotations

import numpy as np
import pytest
from conversation_events import (
    answering,
    assistant,
    call,
    committed,
    done,
    ended,
    output_done,
    retrieved,
    session,
    sound,
    speech,
    tell,
    transcribed,
    truncated,
    words,
)
from histories import differences, items_of, kept, numbered, restored, stored, talk
from hypothesis import given, strategies as st
from strategies import JSON_VALUES, any_server_event

from realtime_trio._protocol.codec import Codec
from realtime_trio._state.conversation.audio import Encoding
from realtime_trio._state.conversation.history import Entry, Said, Spoken
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.conversation.restoring import Restored, boundary_at, restore
from realtime_trio._state.conversation.size import HistoryLimit
from realtime_trio.audio import AudioData
from realtime_trio.audio.g711 import alaw_decode, mulaw_decode
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputAudioBufferAppend,
    InputImage,
    InputText,
    Item,
    McpApprovalRequest,
    OutputAudio,
    OutputText,
    ServerEvent,
    SessionUpdated,
    SystemMessage,
    UnknownObject,
    UserMessage,
)

IMAGE = "data:image/png;base64,AA=="
CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "1"}


def again(conversation: Conversation) -> Restored:
    """What becomes of it, stored or not: without audio, that makes no difference."""
    there = restored(stored(conversation))
    assert kept(conversation, encoding=None) == there
    return there


def message(role: str, *texts: str, **members: object) -> dict[str, object]:
    kind = "output_text" if role == "assistant" else "input_text"
    content = [{"type": kind, "text": text} for text in texts]
    return {"type": "message", "role": role, "content": content, **members}


# --- words ----------------------------------------------------------------------------------------


def test_speech_is_told_as_its_transcript_and_items_keep_their_ids_and_order() -> None:
    there = again(
        talk(
            SystemMessage.text("be nice", id="item_0"),
            UserMessage(
                id="item_1",
                content=[InputText("look"), InputImage(IMAGE), InputAudio(None, "here")],
            ),
            AssistantMessage(
                id="item_2",
                status="completed",
                content=[OutputText("yes"), OutputAudio(None, "I see")],
            ),
            FunctionCall(
                id="item_3", status="completed", name="f", call_id="call_1", arguments="{}"
            ),
            FunctionCallOutput(id="item_4", call_id="call_1", output="1"),
        )
    )
    assert items_of(there) == [
        SystemMessage.text("be nice", id="item_0"),
        UserMessage(id="item_1", content=[InputText("look"), InputImage(IMAGE), InputText("here")]),
        AssistantMessage(id="item_2", content=[OutputText("yes"), OutputText("I see")]),
        FunctionCall(id="item_3", name="f", call_id="call_1", arguments="{}"),
        FunctionCallOutput(id="item_4", call_id="call_1", output="1"),
    ]
    assert differences(there) == [
        (1, "audio", "what was said is told as its transcript"),
        (2, "audio", "the model's speech is told as its transcript"),
    ]


def test_nothing_is_different_about_what_was_written() -> None:
    there = again(talk(UserMessage.text("Hello", id="item_1"), call("item_2", "{}")))
    assert differences(there) == [(1, "item", "the call was never answered")]
    assert restored([message("user", "Hello", id="item_1")]).omitted == ()


def test_speech_without_a_transcript_is_left_out() -> None:
    there = again(
        talk(UserMessage(id="item_1", content=[InputAudio()]), UserMessage.text("hi", id="item_2"))
    )
    assert items_of(there) == [UserMessage.text("hi", id="item_2")]
    assert differences(there) == [(0, "item", "it has no words")]
    assert there.omitted[0].item_id == "item_1"


def test_a_transcription_without_words_is_left_out() -> None:
    conversation = talk(UserMessage(id="item_1", content=[InputAudio()]))
    tell(conversation, transcribed(""))
    assert differences(again(conversation)) == [(0, "item", "it has no words")]


def test_a_message_of_which_only_a_part_has_words_is_told_and_the_loss_is_said() -> None:
    there = again(talk(UserMessage(id="item_1", content=[InputText("hear this"), InputAudio()])))
    assert items_of(there) == [UserMessage.text("hear this", id="item_1")]
    assert differences(there) == [(0, "part", "a part of it has no words")]


def test_an_answer_that_was_cut_short_is_told_as_far_as_it_had_come() -> None:
    conversation = answering()
    tell(conversation, words("Once upon a"), ended(status="cancelled"))
    there = again(conversation)
    assert items_of(there) == [AssistantMessage.text("Once upon a", id="item_1")]
    assert differences(there) == [
        (0, "words", "it was cut short, and is told as far as it had come"),
        (0, "audio", "the model's speech is told as its transcript"),
    ]


def test_a_text_that_is_too_long_for_a_part_is_told_in_several() -> None:
    long = "word " * 60_000
    (told,) = items_of(restored([message("user", long)]))
    assert isinstance(told, UserMessage)
    texts = [part.text for part in told.content if isinstance(part, InputText)]
    assert "".join(texts) == long
    assert [len(text) for text in texts] == [256_000, 44_000]


def test_what_only_the_service_makes_is_not_told() -> None:
    conversation = talk(
        McpApprovalRequest(id="item_1", server_label="s", name="f", arguments="{}"),
        UnknownObject("hologram", {"type": "hologram", "id": "item_2", "depth": 3}),
    )
    assert differences(again(conversation)) == [
        (index, "item", "only the service makes items of this type") for index in (0, 1)
    ]


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_an_image_that_is_not_the_users_is_left_out_of_what_is_told(role: str) -> None:
    entry = message(role, "look", id="item_1")
    content = entry["content"]
    assert isinstance(content, list)
    content.append({"type": "input_image", "image_url": IMAGE})
    there = restored([entry])
    assert len(there.events) == 1
    assert differences(there) == [(0, "part", "a part of it is an image, which only users show")]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("hello", "it is not an item"),
        ({}, "only the service makes items of this type"),
        ({"type": "message", "role": "user", "content": "hello"}, "it has no words"),
        ({"type": "message", "role": "user", "content": ["hello"]}, "it has no words"),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_image"}]},
            "it has no words",
        ),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": 3}]},
            "it has no words",
        ),
        (message("user", " \n"), "it has no words"),
        ({"type": "message", "content": [{"type": "text", "text": "hi"}]}, "nobody says it"),
        (
            {
                "type": "message",
                "role": "system",
                "content": [{"type": "input_image", "image_url": IMAGE}],
            },
            "nobody says it",
        ),
        ({"type": "function_call", "name": "f"}, "it has no call_id or no name"),
        ({"type": "function_call_output", "call_id": 3}, "it has no call_id or no name"),
    ],
)
def test_what_is_malformed_is_left_out(entry: object, reason: str) -> None:
    assert differences(restored([entry])) == [(0, "item", reason)]


# --- what was heard -------------------------------------------------------------------------------


def interrupted(ms: int) -> Conversation:
    """An answer of a second, "one two three four", of which so much was heard."""
    conversation = answering()
    tell(
        conversation,
        words("one two "),
        speech(sound(500)),
        words("three four"),
        speech(sound(500)),
        truncated(ms),
    )
    return conversation


def test_of_what_was_truncated_only_the_words_that_were_heard_are_told() -> None:
    there = again(interrupted(600))
    assert items_of(there) == [AssistantMessage.text("one two", id="item_1")]
    assert differences(there) == [
        (0, "audio", "the model's speech is told as its transcript"),
        (
            0,
            "words",
            "only what was heard of it is told, 600 ms; which words these were is estimated",
        ),
    ]


def test_what_was_not_heard_at_all_is_not_told() -> None:
    assert differences(again(interrupted(0))) == [
        (0, "item", "nothing of it was heard, or too little for a word")
    ]


def test_what_was_truncated_twice_is_told_as_it_was_heard_the_second_time() -> None:
    conversation = interrupted(900)
    tell(conversation, truncated(250))
    assert items_of(again(conversation)) == [AssistantMessage.text("one", id="item_1")]


def test_what_comes_after_a_truncation_does_not_bring_words_back() -> None:
    conversation = interrupted(600)
    whole = assistant("item_1", OutputAudio(None, "one two three four"), status="completed")
    tell(conversation, words(" five"), speech(sound(500)), output_done(whole), done(whole))
    tell(conversation, ended(output=[whole]))
    assert items_of(again(conversation)) == [AssistantMessage.text("one two", id="item_1")]


def test_where_the_server_says_which_words_are_left_nothing_is_estimated() -> None:
    conversation = interrupted(600)
    whole = assistant("item_1", OutputAudio(None, "one two three"), status="incomplete")
    tell(conversation, ended(status="cancelled"), retrieved(whole))
    there = again(conversation)
    assert items_of(there) == [AssistantMessage.text("one two three", id="item_1")]
    assert differences(there)[1] == (0, "words", "only what was heard of it is told, 600 ms")


def test_audio_that_was_dropped_after_a_cancel_counts_for_a_transcript_that_is_whole() -> None:
    conversation = answering()
    tell(conversation, speech(sound(500)))
    conversation.cancelled()
    tell(conversation, speech(sound(500)))
    whole = assistant("item_1", OutputAudio(None, "one two three four"), status="incomplete")
    tell(conversation, ended(status="cancelled", output=[whole]), truncated(400))
    assert items_of(again(conversation)) == [AssistantMessage.text("one two", id="item_1")]


# --- the user's audio -----------------------------------------------------------------------------


def spoken_turn(transcript: str | None = None, *, retention: float = 600.0) -> Conversation:
    conversation = Conversation(retention=retention)
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(1000))))
    item = UserMessage(id="item_1", content=[InputAudio(None, transcript)])
    tell(conversation, committed(), done(item))
    return conversation


def test_the_users_audio_is_sent_again_where_all_of_it_is_here() -> None:
    conversation = spoken_turn("Hello?")
    for there in (kept(conversation), restored(stored(conversation, audio=True))):
        (told,) = items_of(there)
        assert told == UserMessage.audio(sound(1000), transcript="Hello?", id="item_1")
        assert there.omitted == ()


def test_the_users_audio_is_sent_again_if_it_was_never_transcribed() -> None:
    conversation = spoken_turn()
    assert items_of(kept(conversation)) == [UserMessage.audio(sound(1000), id="item_1")]
    assert differences(restored(stored(conversation))) == [(0, "item", "it has no words")]


def test_the_users_audio_is_not_sent_again_in_part() -> None:
    conversation = spoken_turn("Hello?", retention=0.0)
    there = kept(conversation)
    assert items_of(there) == [UserMessage.text("Hello?", id="item_1")]
    assert differences(there) == [(0, "audio", "what was said is told as its transcript")]


def test_audio_in_another_encoding_than_the_sessions_is_not_sent_again() -> None:
    other = Encoding("audio/pcmu", 8000)
    there = kept(spoken_turn("Hello?"), encoding=other)
    assert items_of(there) == [UserMessage.text("Hello?", id="item_1")]
    mute = kept(spoken_turn(), encoding=other)
    assert items_of(mute) == []
    assert differences(mute) == [
        (0, "item", "it has audio that cannot be sent again, and no words")
    ]


@pytest.mark.parametrize("name", ["audio/pcmu", "audio/pcma"])
def test_audio_of_a_telephone_is_sent_again_as_it_came(name: str) -> None:
    every = AudioData(bytes(range(256)) * 4)
    conversation = Conversation()
    configured = session(input_format=AudioFormat(type=name))
    tell(conversation, SessionUpdated(event_id="e", session=configured))
    conversation.sent(InputAudioBufferAppend(audio=every))
    tell(conversation, committed(), done(UserMessage(id="item_1", content=[InputAudio()])))
    (told,) = items_of(kept(conversation, encoding=conversation.input_encoding))
    assert isinstance(told, UserMessage)
    (part,) = told.content
    assert isinstance(part, InputAudio)
    assert part.audio is not None
    # Mu-law has two zeros, which sound the same.
    decode = mulaw_decode if name == "audio/pcmu" else alaw_decode
    assert np.array_equal(decode(part.audio.data), decode(every.data))


@pytest.mark.parametrize(
    "part",
    [
        {"audio": "not base64!!", "format": {"type": "audio/pcm", "rate": 24000}},
        {"audio": "", "format": {"type": "audio/pcm", "rate": 24000}},
        {"audio": "AAAA"},
        {"audio": "AAAA", "format": "audio/pcm"},
        {"audio": 7},
    ],
)
def test_audio_that_was_stored_badly_is_not_sent(part: dict[str, object]) -> None:
    entry = {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_audio", "transcript": "Hello?", **part}],
    }
    (told,) = items_of(restored([entry]))
    assert told == UserMessage.text("Hello?", id=told.id)


def test_audio_that_is_too_long_for_a_message_is_told_as_its_transcript() -> None:
    audio = AudioData(bytes(11 * 2**20 + 2))
    spoken = Spoken(words="Hello?", audio=audio, encoding=Encoding())
    entry = Entry(item_id="item_1", told=Said(role="user", pieces=(spoken,)))
    assert items_of(restore([entry], new_id=numbered())) == [
        UserMessage.text("Hello?", id="item_1")
    ]


# --- tools ----------------------------------------------------------------------------------------


def test_a_call_is_told_before_its_output_whatever_the_order_was() -> None:
    there = restored([OUTPUT, CALL])
    assert [item.type for item in items_of(there)] == ["function_call", "function_call_output"]
    assert there.omitted == ()


def test_calls_without_an_output_and_outputs_without_a_call_are_left_out() -> None:
    there = restored([CALL, {**OUTPUT, "call_id": "call_2"}])
    assert there.events == ()
    assert differences(there) == [
        (0, "item", "the call was never answered"),
        (1, "item", "there is no call that it answers"),
    ]


def test_a_call_that_is_still_worked_on_is_told_without_its_output() -> None:
    there = restored([CALL, {**CALL, "call_id": "call_2"}], open_calls=["call_1"])
    assert [item.type for item in items_of(there)] == ["function_call"]
    assert differences(there) == [(1, "item", "the call was never answered")]


def test_of_calls_and_outputs_with_the_same_call_id_the_first_are_told() -> None:
    there = restored([CALL, {**CALL, "name": "g"}, OUTPUT, {**OUTPUT, "output": "2"}])
    assert items_of(there) == [
        FunctionCall(id="item_new1", name="f", call_id="call_1", arguments="{}"),
        FunctionCallOutput(id="item_new2", call_id="call_1", output="1"),
    ]
    assert differences(there) == [
        (1, "item", "an earlier call has the same call_id"),
        (3, "item", "the call was answered before"),
    ]


# --- ids ------------------------------------------------------------------------------------------


def test_ids_that_would_be_refused_become_others() -> None:
    there = restored(
        [
            message("user", "hi", id="x" * 33),
            message("user", "hi", id="same"),
            message("user", "hi", id="same"),
            message("user", "hi", id=""),
            message("user", "hi", id="root"),
            message("user", "hi"),
        ]
    )
    assert [item.id for item in items_of(there)] == [
        "item_new1",
        "same",
        "item_new2",
        "item_new3",
        "item_new4",
        "item_new5",
    ]
    assert differences(there) == [
        (0, "id", "its id has more than 32 characters"),
        (2, "id", "its id is that of another item"),
        (4, "id", "its id is that of another item"),
    ]


def test_ids_that_a_service_takes_again_are_kept() -> None:
    call_id = "chatcmpl-tool-" + 32 * "0"
    there = restored(
        [
            message("user", "hi", id="x" * 37),
            {**CALL, "call_id": call_id, "id": "y" * 37},
            {**OUTPUT, "call_id": call_id, "id": "z" * 37},
            message("user", "hi", id="x" * 37),
        ],
        keep_ids=True,
    )
    assert [item.id for item in items_of(there)] == ["x" * 37, "y" * 37, "z" * 37, "item_new1"]
    _, one, two, _ = items_of(there)
    assert isinstance(one, FunctionCall)
    assert isinstance(two, FunctionCallOutput)
    assert one.call_id == two.call_id == call_id
    assert differences(there) == [(3, "id", "its id is that of another item")]


@pytest.mark.parametrize("call_id", ["x" * 33, "call 1", "rufé"])
def test_a_call_and_its_output_get_the_same_new_call_id(call_id: str) -> None:
    there = restored([{**CALL, "call_id": call_id, "id": "a"}, {**OUTPUT, "call_id": call_id}])
    one, two = items_of(there)
    assert isinstance(one, FunctionCall)
    assert isinstance(two, FunctionCallOutput)
    assert one.call_id == two.call_id == "call_new1"
    why = "its call_id is not one of up to 32 letters, digits, _ and -"
    assert differences(there) == [(0, "id", why), (1, "id", why)]


# --- limits ---------------------------------------------------------------------------------------


def test_the_oldest_items_are_those_that_a_limit_leaves_out() -> None:
    history = [message("user", str(number), id=f"item_{number}") for number in range(4)]
    there = restored(history, limit=HistoryLimit(items=2))
    assert [item.id for item in items_of(there)] == ["item_2", "item_3"]
    assert differences(there) == [
        (index, "item", "it is older than what the limit allows") for index in (0, 1)
    ]
    assert [item.id for item in there.older] == ["item_0", "item_1"]
    assert restored(history, limit=HistoryLimit(items=4)).older == ()
    assert restored(history, limit=HistoryLimit(items=0)).events == ()


def test_a_limit_of_tokens_counts_from_the_end() -> None:
    # Four tokens of an item are for itself, and one for every four bytes of text.
    history = [message("user", "x" * 16, id=f"item_{number}") for number in range(4)]
    there = restored(history, limit=HistoryLimit(tokens=17))
    assert [item.id for item in items_of(there)] == ["item_2", "item_3"]
    assert restored(history, limit=HistoryLimit(tokens=7)).events == ()
    assert len(restored(history, limit=HistoryLimit(tokens=32)).events) == 4


def test_a_limit_does_not_part_a_call_from_its_output() -> None:
    history = [message("user", "a"), CALL, message("user", "b"), OUTPUT, message("user", "c")]
    there = restored(history, limit=HistoryLimit(items=2))
    assert [item.type for item in items_of(there)] == ["message"]
    there = restored(history, limit=HistoryLimit(items=4))
    assert items_of(there)[0].type == "function_call"


async def summary(items: object) -> str:  # noqa: ASYNC124
    raise AssertionError("only whoever sends asks for it")


def test_a_summary_takes_the_place_of_what_a_limit_leaves_out() -> None:
    history = [message("user", str(number), id=f"item_{number}") for number in range(4)]
    there = restored(history, limit=HistoryLimit(items=2, summarize=summary))
    assert [item.id for item in there.older] == ["item_0", "item_1", "item_2"]
    there = there.summarized("They counted.", "item_summary")
    assert items_of(there) == [
        SystemMessage.text("They counted.", id="item_summary"),
        UserMessage.text("3", id="item_3"),
    ]
    assert differences(there) == [
        (index, "item", "it is told in a summary, with what else is old") for index in range(3)
    ]


def test_an_empty_summary_is_none() -> None:
    there = restored([message("user", "0")], limit=HistoryLimit(items=0, summarize=summary))
    assert there.summarized(" ", "item_summary") is there


def test_within_the_limit_no_summary_is_asked_for() -> None:
    there = restored([message("user", "0")], limit=HistoryLimit(items=1, summarize=summary))
    assert there.older == ()
    assert len(there.events) == 1


def test_what_follows_an_open_call_stays_with_it() -> None:
    items: list[Item] = [
        UserMessage.text("a"),
        call("item_1"),
        UserMessage.text("b"),
        UserMessage.text("c"),
    ]
    assert [boundary_at(items, position) for position in range(5)] == [0, 1, 1, 1, 1]
    output = FunctionCallOutput(call_id="call_1", output="")
    assert [boundary_at([*items, output], position) for position in range(6)] == [0, 1, 5, 5, 5, 5]
    assert boundary_at([], 0) == 0


def parallel() -> list[dict[str, object]]:
    """Two rounds of two calls each, of which the first call is answered before the second."""
    entries: list[dict[str, object]] = [message("user", "Look!", id="item_u")]
    for name in "abcd":
        response_id = "resp_1" if name in "ab" else "resp_2"
        made = {**CALL, "call_id": name, "id": f"call_{name}", "response_id": response_id}
        entries.append({**made})
        entries.append({**OUTPUT, "call_id": name, "id": f"output_{name}"})
    return entries


@pytest.mark.parametrize(("most", "told"), [(9, 9), (8, 8), (7, 4), (5, 4), (4, 4), (3, 0)])
def test_a_limit_keeps_a_round_of_tools_whole(most: int, told: int) -> None:
    there = restored(parallel(), limit=HistoryLimit(items=most))
    assert len(there.events) == told
    # Without a word about who has made them, calls are parted one by one.
    plain = [{key: each[key] for key in each if key != "response_id"} for each in parallel()]
    there = restored(plain, limit=HistoryLimit(items=most))
    assert len(there.events) == most - (most % 2) * (most < 9)


def test_a_round_of_which_a_call_is_open_is_kept_whole() -> None:
    entries = parallel()[:4]  # the second call is not answered
    there = restored(entries, limit=HistoryLimit(items=1), open_calls=["b"])
    assert [item.id for item in items_of(there)] == ["call_a", "output_a", "call_b"]
    # And without hope of an answer, what is answered is told.
    there = restored(entries)
    assert [item.id for item in items_of(there)] == ["item_u", "call_a", "output_a"]
    assert differences(there) == [(3, "item", "the call was never answered")]


# --- whatever it is -------------------------------------------------------------------------------


@given(st.lists(JSON_VALUES, max_size=4))
def test_no_history_makes_it_raise(history: list[object]) -> None:
    there = restored(history)
    assert there.events == ()
    assert [omission.index for omission in there.omitted] == list(range(len(history)))


@given(st.lists(any_server_event(), max_size=8), st.booleans())
def test_whatever_the_server_said_can_be_written_read_and_sent(
    events: list[ServerEvent], audio: bool
) -> None:
    conversation = Conversation()
    for event in events:
        conversation.apply(event)
    there = restored(stored(conversation, audio=audio))
    assert kept(conversation, encoding=Encoding() if audio else None) == there
    gone = {omission.index for omission in there.omitted if omission.what == "item"}
    assert len(conversation.items) - len(gone) == len(there.events)
    for create in there.events:
        Codec().encode(create)
