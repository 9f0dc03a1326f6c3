"""What the model says in the conversation: answers that grow, piece by piece."""

from __future__ import annotations

import numpy as np
from conversation_events import (
    BROKEN,
    added,
    answering,
    arguments,
    assistant,
    call,
    created,
    done,
    ended,
    ids,
    item_of,
    names,
    output_added,
    output_done,
    part,
    retrieved,
    sound,
    speech,
    tell,
    text,
    text_done,
    user,
    words,
)
from numpy.testing import assert_array_equal

from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.utility_events import (
    AudioDelta,
    DeltaDropped,
    ItemAppended,
    ItemCompleted,
    ItemUpdated,
    TextDelta,
    TranscriptDelta,
)
from realtime_trio.events import (
    ContentPart,
    InputImage,
    OutputAudio,
    OutputText,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    UnknownObject,
    UserMessage,
)


def test_a_written_answer_in_the_order_of_the_protocol() -> None:
    conversation = Conversation()
    final = assistant("item_1", OutputText("Hello world"), status="completed")
    told = [
        tell(conversation, event)
        for event in (
            created(),
            output_added(assistant("item_1")),
            added(assistant("item_1")),
            part(ResponseContentPartAdded, ContentPart(type="text", text="")),
            text("Hello "),
            text("world"),
            text_done("Hello world"),
            part(ResponseContentPartDone, ContentPart(type="text", text="Hello world")),
            done(final),
            output_done(final),
            ended(output=[final]),
        )
    ]
    item = item_of(conversation)
    assert told == [
        [],
        [],
        [ItemAppended(item=item)],
        [],
        [ItemUpdated(item=item, delta=TextDelta("Hello "))],
        [ItemUpdated(item=item, delta=TextDelta("world"))],
        [],
        [],
        [ItemCompleted(item=item)],
        [],
        [],
    ]
    assert (item.text, item.parts, item.response_id) == (
        "Hello world",
        (OutputText("Hello world"),),
        "resp_1",
    )


def test_a_spoken_answer_has_audio_and_its_transcript_also_in_its_part() -> None:
    conversation = answering()
    told = tell(conversation, words("Hel"), speech(sound(10)), words("lo"), speech(sound(5, 10)))
    item = item_of(conversation)
    assert [event.delta for event in told if isinstance(event, ItemUpdated)] == [
        TranscriptDelta("Hel"),
        AudioDelta(sound(10)),
        TranscriptDelta("lo"),
        AudioDelta(sound(5, 10)),
    ]
    assert_array_equal(item.audio, sound(15))
    assert (item.transcript, item.audio_ms, item.text) == ("Hello", 15, "")
    assert item.parts == (OutputAudio(None, "Hello"),)


def test_an_answer_is_complete_only_if_it_was_completed() -> None:
    conversation = answering()
    item = item_of(conversation)
    incomplete = assistant("item_1", OutputText("Hel"), status="incomplete")
    told = tell(
        conversation,
        text("Hel"),
        done(incomplete),
        output_done(incomplete),
        ended(status="incomplete"),
    )
    assert told == [ItemUpdated(item=item, delta=TextDelta("Hel")), ItemUpdated(item=item)]
    assert (item.status, item.is_complete, item.is_interrupted) == ("incomplete", False, False)


def test_an_answer_in_progress_is_not_complete_because_it_says_so_when_it_begins() -> None:
    conversation = Conversation()
    hasty = assistant("item_1", status="completed")
    assert names(tell(conversation, created(), output_added(hasty), added(hasty))) == [
        "ItemAppended"
    ]
    assert names(tell(conversation, text("Hi"), output_done(hasty))) == [
        "ItemUpdated",
        "ItemCompleted",
    ]


def test_an_answer_without_a_status_is_in_progress_until_it_is_done() -> None:
    conversation = Conversation()
    item = assistant("item_1", status=None)
    assert names(tell(conversation, created(), output_added(item), added(item))) == ["ItemAppended"]
    assert names(tell(conversation, output_done(item))) == ["ItemCompleted"]


def test_completed_comes_once_and_after_appended() -> None:
    conversation = Conversation()
    final = assistant("item_1", OutputText("Hi"), status="completed")
    said = [
        output_done(final),
        done(final),
        added(final),
        output_done(final),
        ended(output=[final]),
        retrieved(final),
    ]
    told = tell(conversation, created(), *said)
    assert names(told) == ["ItemUpdated", "ItemAppended", "ItemCompleted"]


def test_updated_comes_before_appended_before_completed() -> None:
    conversation = Conversation()
    finals = [
        assistant(item_id, OutputText("Hi"), status="completed") for item_id in ("item_1", "item_2")
    ]
    told = tell(conversation, created(), ended(output=finals))
    assert names(told) == [
        "ItemUpdated",
        "ItemUpdated",
        "ItemAppended",
        "ItemAppended",
        "ItemCompleted",
        "ItemCompleted",
    ]
    assert [event.item.id for event in told if isinstance(event, ItemAppended)] == [
        "item_1",
        "item_2",
    ]


def test_final_content_counts_when_there_were_no_deltas_and_is_told_as_a_delta() -> None:
    conversation = answering()
    item = item_of(conversation)
    final = assistant(
        "item_1", OutputText("Hello"), OutputAudio(sound(3), "there"), status="completed"
    )
    told = tell(conversation, text("Hel"), output_done(final))
    assert told == [
        ItemUpdated(item=item, delta=TextDelta("Hel")),
        ItemUpdated(item=item, delta=TextDelta("lo")),
        ItemUpdated(item=item, delta=TranscriptDelta("there")),
        ItemUpdated(item=item, delta=AudioDelta(sound(3), content_index=1)),
        ItemCompleted(item=item),
    ]
    assert (item.text, item.transcript, item.audio_ms) == ("Hello", "there", 3)


def test_content_of_a_part_counts_when_there_were_no_deltas() -> None:
    conversation = answering()
    item = item_of(conversation)
    whole = ContentPart(type="audio", audio=sound(2), transcript="Hello")
    told = tell(
        conversation, part(ResponseContentPartDone, whole), part(ResponseContentPartDone, whole)
    )
    assert told == [
        ItemUpdated(item=item, delta=TranscriptDelta("Hello")),
        ItemUpdated(item=item, delta=AudioDelta(sound(2))),
    ]


def test_half_a_sample_as_a_whole_is_nothing() -> None:
    conversation = answering()
    assert (
        tell(conversation, part(ResponseContentPartDone, ContentPart(type="audio", audio=b"\x01")))
        == []
    )


def test_content_of_a_part_that_is_added_counts() -> None:
    conversation = answering()
    assert names(
        tell(conversation, part(ResponseContentPartAdded, ContentPart(type="text", text="Hi")))
    ) == ["ItemUpdated"]
    assert names(tell(conversation, text("!"))) == ["ItemUpdated"]
    assert item_of(conversation).text == "Hi!"


def test_a_part_of_unknown_type_is_kept() -> None:
    conversation = answering()
    tell(conversation, part(ResponseContentPartAdded, ContentPart(type="video")))
    assert item_of(conversation).parts == (UnknownObject("video", {"type": "video"}),)


def test_an_empty_final_text_erases_nothing() -> None:
    conversation = answering()
    told = tell(
        conversation,
        text("Hello"),
        text_done(""),
        output_done(assistant("item_1", OutputText(""), status="completed")),
    )
    assert names(told) == ["ItemUpdated", "ItemCompleted"]
    assert item_of(conversation).text == "Hello"


def test_a_final_text_that_differs_replaces_the_deltas() -> None:
    conversation = answering()
    tell(conversation, text("Hallo"))
    assert tell(conversation, text_done("Hello")) == [ItemUpdated(item=item_of(conversation))]
    assert item_of(conversation).text == "Hello"


def test_text_behind_the_final_text_is_dropped() -> None:
    conversation = answering()
    tell(conversation, text("Hello"), text_done("Hello"))
    assert tell(conversation, text("lo")) == [
        DeltaDropped(item=item_of(conversation), delta=TextDelta("lo"))
    ]
    assert item_of(conversation).text == "Hello"


def test_empty_deltas_change_nothing() -> None:
    conversation = answering()
    assert tell(conversation, text(""), words(""), speech(b""), arguments("")) == []


def test_an_audio_delta_of_odd_bytes_carries_the_rest_into_the_next() -> None:
    conversation = answering()
    data = sound(1).tobytes() + sound(1, 7).tobytes()
    told = tell(
        conversation, speech(data[:5]), speech(data[5:6]), speech(data[6:7]), speech(data[7:])
    )
    assert [
        event.delta.audio.nbytes
        for event in told
        if isinstance(event, ItemUpdated) and isinstance(event.delta, AudioDelta)
    ] == [
        4,
        2,
        90,
    ]
    assert_array_equal(item_of(conversation).audio, np.frombuffer(data, np.int16))


def test_an_audio_delta_that_cannot_be_decoded_is_silence() -> None:
    conversation = answering()
    told = tell(conversation, speech(BROKEN), speech(sound(1, 9)))
    assert names(told) == ["ItemUpdated", "ItemUpdated"]
    assert item_of(conversation).audio.tolist() == [0] * (BROKEN.nbytes // 2) + [9] * 24


def test_several_messages_in_one_response_are_several_items() -> None:
    conversation = answering()
    tell(conversation, output_added(assistant("item_2")), added(assistant("item_2"), "item_1"))
    tell(
        conversation,
        speech(sound(2)),
        speech(sound(3), "item_2"),
        words("one"),
        words("two", "item_2"),
    )
    first, second = conversation.items
    assert (first.audio_ms, second.audio_ms) == (2, 3)
    assert (first.transcript, second.transcript) == ("one", "two")
    assert first.response_id == second.response_id == "resp_1"


def test_parts_are_told_apart_by_their_index() -> None:
    conversation = answering()
    tell(conversation, text("a"), words("b", index=1), speech(sound(1), index=1), text("c"))
    item = item_of(conversation)
    assert item.parts == (OutputText("ac"), OutputAudio(None, "b"))


def test_deltas_for_an_unseen_item_make_it() -> None:
    conversation = Conversation()
    told = tell(conversation, text("Hi"))
    item = item_of(conversation)
    assert told == [ItemUpdated(item=item, delta=TextDelta("Hi")), ItemAppended(item=item)]
    assert (item.type, item.role, item.status) == ("message", "assistant", "in_progress")
    assert (
        names(tell(conversation, words("Hi", "item_2"), speech(sound(1), "item_3")))
        == ["ItemUpdated", "ItemAppended"] * 2
    )
    assert names(tell(conversation, arguments("{", "item_4"))) == ["ItemUpdated", "ItemAppended"]
    assert names(
        tell(conversation, part(ResponseContentPartAdded, ContentPart(type="text"), "item_5"))
    ) == ["ItemAppended"]
    assert (
        names(tell(conversation, speech(b"", "item_6"), text("", "item_7"))) == ["ItemAppended"] * 2
    )


def test_a_response_that_ends_completes_what_was_not_said_to_be_done() -> None:
    conversation = answering()
    tell(conversation, text("Hi"))
    assert tell(conversation, ended()) == [ItemCompleted(item=item_of(conversation))]


def test_a_response_that_fails_leaves_nothing_in_progress() -> None:
    conversation = answering()
    item = item_of(conversation)
    assert tell(conversation, ended(status="failed")) == [ItemUpdated(item=item)]
    assert (item.status, item.is_interrupted) == ("incomplete", False)


def test_an_item_that_nobody_announced_is_shown_at_the_end_of_its_response_at_last() -> None:
    conversation = Conversation()
    assert tell(conversation, created(), output_added(call("item_1"))) == []
    assert names(tell(conversation, ended())) == ["ItemAppended", "ItemCompleted"]


def test_a_response_that_was_never_created_can_end() -> None:
    conversation = Conversation()
    assert tell(conversation, ended("resp_9", "cancelled")) == []
    assert names(
        tell(
            conversation,
            ended("resp_8", output=[assistant("item_1", OutputText("Hi"), status="completed")]),
        )
    ) == [
        "ItemUpdated",
        "ItemAppended",
        "ItemCompleted",
    ]


def test_a_response_without_an_id_ends_like_any_other_and_so_does_the_next() -> None:
    conversation = Conversation()
    for item_id in ("item_1", "item_2"):
        told = tell(
            conversation,
            created(""),
            output_added(assistant(item_id), ""),
            text("Hi", item_id, ""),
            ended(""),
        )
        assert names(told) == ["ItemUpdated", "ItemAppended", "ItemCompleted"]


def test_a_response_is_created_once() -> None:
    conversation = answering()
    assert tell(conversation, created(conversation_id=None), text("Hi")) != []


def test_an_id_can_be_used_for_another_response() -> None:
    conversation = answering()
    tell(
        conversation,
        ended(),
        created(),
        output_added(assistant("item_2")),
        added(assistant("item_2"), "item_1"),
    )
    assert names(tell(conversation, text("Hi", "item_2"))) == ["ItemUpdated"]


def test_items_from_the_future_are_kept_as_they_came() -> None:
    conversation = Conversation()
    first = UnknownObject("hologram", {"type": "hologram", "id": "item_1", "status": "in_progress"})
    second = UnknownObject(
        "hologram", {"type": "hologram", "id": "item_1", "status": "completed", "depth": 3}
    )
    told = tell(conversation, created(), output_added(first), added(first), output_done(second))
    item = item_of(conversation)
    assert told == [ItemAppended(item=item), ItemUpdated(item=item), ItemCompleted(item=item)]
    assert (item.type, item.snapshot) == ("hologram", second)


def test_a_status_from_the_future_is_kept() -> None:
    conversation = answering()
    tell(conversation, done(assistant("item_1", status="paused")))
    assert item_of(conversation).status == "paused"
    assert names(tell(conversation, output_done(assistant("item_1", status="completed")))) == [
        "ItemCompleted"
    ]


def test_pictures_and_parts_from_the_future_are_kept() -> None:
    conversation = Conversation()
    picture, smell = (
        InputImage("data:image/png;base64,AA=="),
        UnknownObject("smell", {"type": "smell"}),
    )
    item = UserMessage(id="item_1", content=[picture, smell])
    tell(conversation, added(item))
    assert item_of(conversation).parts == (picture, smell)
    assert tell(conversation, done(item)) == []
    brighter = UserMessage(id="item_1", content=[InputImage("data:image/png;base64,//=="), smell])
    assert tell(conversation, done(brighter)) == [ItemUpdated(item=item_of(conversation))]


def test_it_knows_what_a_running_response_has_made() -> None:
    conversation = answering()
    assert [*conversation.made_by("resp_1")] == [*conversation.items]
    assert not conversation.made_by("resp_2")
    conversation.end()
    assert not conversation.made_by("resp_1")


def test_it_knows_of_what_the_present_server_was_told() -> None:
    conversation = Conversation()
    tell(conversation, added(user("a", "Hello!")), added(user("b", "Hello!"), after="a"))
    conversation.tell_again({"a", "c"})
    assert [conversation.is_told_again(each) for each in ("a", "b", "c")] == [True, False, False]
    conversation.tell_again(())
    assert not conversation.is_told_again("a")


def test_what_the_server_does_not_have_any_more_keeps_its_place() -> None:
    conversation = Conversation()
    tell(conversation, added(user("a", "Hello!")), added(user("b", "Hello!"), after="a"))
    conversation.leave_behind({"b"})
    assert [conversation.is_left_behind(each) for each in ("a", "b", "c")] == [False, True, False]
    conversation.apply(added(user("c", "Hello!"), after="a"))
    assert ids(conversation) == ["a", "b", "c"]
