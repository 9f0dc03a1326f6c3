"""The conversation, told by a server: items come, in their order, and go."""

from __future__ import annotations

import numpy as np
import pytest
from conversation_events import (
    added,
    answering,
    assistant,
    call,
    committed,
    created,
    deleted,
    done,
    ended,
    heard,
    ids,
    item_of,
    names,
    output_added,
    output_done,
    retrieved,
    segment,
    sound,
    speech,
    started,
    tell,
    text,
    transcribed,
    transcript,
    untranscribed,
    user,
    words,
)
from effort import lines_run
from numpy.testing import assert_array_equal

from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.utility_events import (
    InputTranscriptDelta,
    ItemAppended,
    ItemCompleted,
    ItemDeleted,
    ItemUpdated,
    TranscriptDelta,
    UtilityEvent,
)
from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AssistantMessage,
    ConversationItemCreated,
    FunctionCallOutput,
    InputAudio,
    InputAudioBufferAppend,
    InputText,
    Item,
    OutputAudio,
    OutputText,
    RateLimitsUpdated,
    SystemMessage,
    UnknownEvent,
    UnknownObject,
    UserMessage,
)

# --- items come -----------------------------------------------------------------------------------


def test_a_user_message_is_appended_and_completed_at_once() -> None:
    conversation = Conversation()
    told = tell(conversation, added(user("item_1", "hello")), done(user("item_1", "hello")))
    item = item_of(conversation)
    assert told == [ItemAppended(item=item), ItemCompleted(item=item)]
    assert (item.role, item.status, item.text, item.is_complete) == (
        "user",
        "completed",
        "hello",
        True,
    )


def test_the_older_created_says_the_same_as_added_and_done() -> None:
    conversation = Conversation()
    told = tell(conversation, ConversationItemCreated(event_id="e", item=user("item_1", "hello")))
    assert names(told) == ["ItemAppended", "ItemCompleted"]


def test_text_concatenates_the_text_parts() -> None:
    conversation = Conversation()
    tell(conversation, added(user("item_1", "hello ", "world")))
    assert item_of(conversation).text == "hello world"


@pytest.mark.parametrize(
    "item",
    [
        user("item_1", "hi"),
        SystemMessage.text("be nice", id="item_1"),
        FunctionCallOutput(id="item_1", call_id="call_1", output="1"),
        AssistantMessage.text("hello", id="item_1"),
        assistant("item_1", OutputText("hello"), status="completed"),
        call("item_1", "{}", status="completed"),
        call("item_1", "{}", status=None),
        UnknownObject("hologram", {"type": "hologram", "id": "item_1", "status": "completed"}),
        UnknownObject("hologram", {"type": "hologram", "id": "item_1"}),
    ],
    ids=lambda item: type(item).__name__,
)
def test_items_that_a_client_created_complete_instead_of_staying_in_progress_forever(
    item: Item,
) -> None:
    conversation = Conversation()
    assert names(tell(conversation, added(item))) == ["ItemAppended", "ItemCompleted"]
    assert item_of(conversation).status == "completed"


def test_the_output_of_a_call_is_on_its_item() -> None:
    conversation = Conversation()
    tell(conversation, added(FunctionCallOutput(id="item_1", call_id="call_1", output="[1]")))
    assert (item_of(conversation).output, item_of(conversation).call_id) == ("[1]", "call_1")


def test_a_message_of_the_user_completes_whatever_its_status_says() -> None:
    conversation = Conversation()
    item = UserMessage(id="item_1", status="in_progress", content=[InputText("hi")])
    assert names(tell(conversation, done(item))) == ["ItemAppended", "ItemCompleted"]


def test_a_duplicate_neither_detaches_the_item_nor_is_appended_twice() -> None:
    conversation = Conversation()
    tell(conversation, added(user("item_1", "hello")))
    item = item_of(conversation)
    assert tell(conversation, added(user("item_1", "hello"), after="item_1")) == []
    assert conversation.items == (item,)
    assert conversation.get("item_1") is item


def test_an_item_that_is_described_anew_is_updated() -> None:
    conversation = Conversation()
    tell(conversation, added(user("item_1", "hello")))
    item = item_of(conversation)
    assert tell(conversation, done(user("item_1", "goodbye"))) == [ItemUpdated(item=item)]
    assert item.text == "goodbye"


def test_items_without_an_id_cannot_be_kept() -> None:
    conversation = Conversation()
    nameless = UserMessage.text("hi")
    assert (
        tell(
            conversation,
            added(nameless),
            done(nameless),
            retrieved(nameless),
            output_added(nameless),
            output_done(nameless),
        )
        == []
    )
    assert tell(conversation, created(), ended(output=[nameless])) == []
    assert conversation.items == ()


def test_get_knows_no_other_items() -> None:
    assert Conversation().get("item_1") is None


def test_what_is_of_no_interest_tells_nothing() -> None:
    conversation = Conversation()
    nothing = [
        UnknownEvent(type="response.hologram.delta", raw={}),
        RateLimitsUpdated(event_id="e", rate_limits=()),
    ]
    assert tell(conversation, *nothing) == []


# --- order ----------------------------------------------------------------------------------------


def test_items_are_ordered_by_their_previous_item() -> None:
    conversation = Conversation()
    tell(
        conversation,
        added(user("a")),
        added(user("b"), "a"),
        added(user("c"), "a"),
        added(user("d"), "c"),
    )
    assert ids(conversation) == ["a", "c", "d", "b"]
    assert item_of(conversation, "d").previous_item_id == "c"


def test_root_inserts_at_the_front() -> None:
    conversation = Conversation()
    tell(conversation, added(user("a")), added(user("b")), added(user("c"), "root"))
    assert ids(conversation) == ["c", "b", "a"]


def test_an_item_behind_one_that_is_not_here_goes_to_the_end() -> None:
    conversation = Conversation()
    tell(conversation, added(user("a")), added(user("b"), "a"), deleted("a"), added(user("c"), "a"))
    assert ids(conversation) == ["b", "c"]


def test_a_server_that_never_names_previous_items_is_not_taken_to_insert_at_the_front() -> None:
    conversation = Conversation()
    tell(conversation, added(user("a")), added(assistant("b")), added(user("c")))
    assert ids(conversation) == ["a", "b", "c"]


def test_a_server_that_names_a_previous_item_after_all_inserts_at_the_front_again() -> None:
    conversation = Conversation()
    tell(conversation, added(user("a")), added(assistant("b")), added(user("c"), "b"))
    tell(conversation, added(user("d")))
    assert ids(conversation) == ["d", "a", "b", "c"]


def test_the_previous_item_of_a_commit_counts_when_the_item_names_none() -> None:
    conversation = Conversation()
    tell(
        conversation,
        added(user("a")),
        added(user("b"), "a"),
        committed("c", after="a"),
        added(heard("c")),
    )
    assert ids(conversation) == ["a", "c", "b"]


def test_an_item_that_was_shown_by_its_content_moves_to_its_place_when_that_is_known() -> None:
    conversation = Conversation()
    tell(conversation, added(user("a")), added(user("b"), "a"), created(), text("hi", "c"))
    assert ids(conversation) == ["a", "b", "c"]
    item = item_of(conversation, "c")
    assert tell(conversation, added(assistant("c", OutputText("hi")), "a")) == [
        ItemUpdated(item=item)
    ]
    assert ids(conversation) == ["a", "c", "b"]
    assert tell(conversation, added(assistant("c"), "b")) == []


def test_an_item_that_is_at_its_place_does_not_move() -> None:
    conversation = Conversation()
    tell(conversation, created(), text("hi", "a"))
    assert tell(conversation, added(assistant("a"))) == []
    tell(conversation, added(user("b")))
    assert ids(conversation) == [
        "b",
        "a",
    ]  # the answer was alone, so the server may well name previous items


# --- deletion and retrieval -----------------------------------------------------------------------


def test_a_deleted_item_is_gone() -> None:
    conversation = Conversation()
    tell(conversation, added(user("item_1", "hi")))
    item = item_of(conversation)
    assert tell(conversation, deleted()) == [ItemDeleted(item=item)]
    assert (conversation.items, conversation.get("item_1")) == ((), None)
    assert tell(conversation, deleted()) == []


def test_deltas_do_not_bring_a_deleted_item_back() -> None:
    conversation = answering()
    tell(conversation, text("Hi"), deleted())
    assert (
        tell(
            conversation,
            text("Ho"),
            transcribed("x"),
            untranscribed(),
            transcript("x"),
            segment("x", "A"),
            committed(),
            ended(),
        )
        == []
    )
    assert conversation.items == ()


def test_its_response_does_not_bring_a_deleted_item_back_when_it_finishes_it() -> None:
    conversation = answering()
    tell(conversation, text("Hi"), deleted())
    whole = assistant("item_1", OutputText("Hi there"))
    assert tell(conversation, done(whole), output_done(whole), ended(output=[whole])) == []
    assert conversation.items == ()


def test_an_item_that_is_created_again_is_a_new_one() -> None:
    conversation = Conversation()
    tell(conversation, added(user("item_1", "hi")))
    before = item_of(conversation)
    tell(conversation, deleted())
    assert names(tell(conversation, added(user("item_1", "ho")))) == [
        "ItemAppended",
        "ItemCompleted",
    ]
    assert item_of(conversation) is not before
    assert (before.text, item_of(conversation).text) == ("hi", "ho")


def test_deleting_what_was_never_shown_tells_nothing() -> None:
    conversation = Conversation()
    tell(conversation, transcript("Hi"))
    assert tell(conversation, deleted()) == []
    assert conversation.get("item_1") is None


def test_retrieving_fills_in_the_audio() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")))
    item = item_of(conversation)
    assert tell(
        conversation, retrieved(UserMessage(id="item_1", content=[InputAudio(sound(5), "Hi")]))
    ) == [
        ItemUpdated(item=item, delta=InputTranscriptDelta("Hi")),
        ItemUpdated(item=item),
    ]
    assert_array_equal(item.audio, sound(5))


def test_retrieved_audio_replaces_what_was_there() -> None:
    conversation = answering()
    tell(conversation, speech(sound(5)), ended())
    assert names(
        tell(
            conversation,
            retrieved(assistant("item_1", OutputAudio(sound(3, 50)), status="completed")),
        )
    ) == ["ItemUpdated"]
    assert_array_equal(item_of(conversation).audio, sound(3, 50))


def test_half_a_sample_that_is_retrieved_is_nothing() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")))
    assert (
        tell(conversation, retrieved(UserMessage(id="item_1", content=[InputAudio(b"\x01")]))) == []
    )


def test_an_item_that_is_retrieved_and_unknown_is_appended() -> None:
    conversation = Conversation()
    assert names(tell(conversation, retrieved(user("item_1", "hi")))) == [
        "ItemAppended",
        "ItemCompleted",
    ]


def test_retrieving_an_item_in_the_middle_does_not_complete_it() -> None:
    conversation = answering()
    tell(conversation, retrieved(assistant("item_1", OutputText("Hel"), status=None)))
    assert item_of(conversation).status == "in_progress"


# --- whatever a server says -----------------------------------------------------------------------


def test_audio_that_was_retrieved_is_not_replaced_by_what_was_appended() -> None:
    conversation = Conversation()
    conversation.sent(InputAudioBufferAppend(audio=AudioData(sound(500))))
    kept = sound(200, start=7)
    tell(
        conversation,
        added(heard("item_1")),
        retrieved(UserMessage(id="item_1", content=[InputAudio(AudioData(kept))])),
    )
    assert tell(conversation, committed("item_1")) == []
    np.testing.assert_array_equal(item_of(conversation).audio, kept)


# --- what nobody asks for -------------------------------------------------------------------------


def test_updates_that_nobody_would_get_are_not_made_and_change_no_item() -> None:
    wanted: set[type[UtilityEvent]] = set()
    conversation = Conversation(wants=lambda kind: kind in wanted)
    tell(conversation, created(), output_added(assistant("item_1")))
    # What shows an item is told as a whole, in the order in which it belongs.
    assert names(tell(conversation, words("One"))) == ["ItemUpdated", "ItemAppended"]
    assert tell(conversation, words(" two"), speech(sound(10))) == []
    item = item_of(conversation)
    assert (item.transcript, item.audio_ms) == ("One two", 10)
    wanted.add(ItemUpdated)
    assert tell(conversation, words(".")) == [ItemUpdated(item=item, delta=TranscriptDelta("."))]


def test_what_was_left_out_is_told_in_any_case() -> None:
    # A response that is followed asks for it, and others do not pay for what is so rare.
    conversation = answering(conversation=Conversation(wants=lambda _: False))
    conversation.cancelled()
    assert names(tell(conversation, words("late"))) == ["DeltaDropped"]


# --- what it takes --------------------------------------------------------------------------------


def test_a_turn_takes_the_same_however_long_the_conversation_is() -> None:
    def turn(conversation: Conversation, number: int) -> None:
        user_id, answer_id, response_id = f"u{number}", f"a{number}", f"r{number}"
        before = f"a{number - 1}" if number else None
        answer = assistant(answer_id, OutputText("Yes?"), status="completed")
        tell(
            conversation,
            started(0, user_id),
            committed(user_id, before),
            added(heard(user_id), before),
            done(heard(user_id), before),
            created(response_id),
            output_added(assistant(answer_id), response_id),
            added(assistant(answer_id), user_id),
            text("Yes?", answer_id, response_id),
            output_done(answer, response_id),
            done(answer, user_id),
            ended(response_id, output=[answer]),
        )
        assert conversation.items[-1].text == "Yes?"

    def grown(turns: int) -> Conversation:
        conversation = Conversation()
        for number in range(turns):
            turn(conversation, number)
        return conversation

    # Both remember as many ids of what is over as they ever do.
    short, long = grown(100), grown(1000)
    assert lines_run(lambda: turn(short, 100)) == lines_run(lambda: turn(long, 1000))


def test_what_grew_without_a_response_does_not_grow_for_ever_when_the_session_ends() -> None:
    conversation = Conversation()
    growing = AssistantMessage(id="a1", status="in_progress", content=[OutputText("Wait,")])
    finished = UserMessage(id="u1", status="completed", content=[InputText("Hello.")])
    tell(conversation, added(growing), added(finished))
    [update] = conversation.end()
    assert isinstance(update, ItemUpdated)
    assert (update.item.id, update.item.status, update.delta) == ("a1", "incomplete", None)
    assert {item.id: item.status for item in conversation.items} == {
        "a1": "incomplete",
        "u1": "completed",
    }
    assert conversation.end() == ()
