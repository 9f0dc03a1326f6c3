"""The conversation as the server tells it.

Named after what the JavaScript client does, or should have done: every behaviour that is kept and
every mistake that is not repeated.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from strategies import INTEGERS, Palette, any_server_event, events

from realtime_trio._state.conversation.audio import Encoding, Retention
from realtime_trio._state.conversation.item import ConversationItem, TranscriptSegment
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.utility_events import (
    ArgumentsDelta,
    AudioDelta,
    DeltaDropped,
    InputTranscriptDelta,
    InputTranscriptSegment,
    Interrupted,
    ItemAppended,
    ItemCompleted,
    ItemDeleted,
    ItemTruncated,
    ItemUpdated,
    TextDelta,
    ToolCallRequested,
    TranscriptDelta,
    UtilityEvent,
)
from realtime_trio.audio import AudioData, mulaw_decode
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    SERVER_EVENTS,
    AssistantMessage,
    AudioFormat,
    ContentPart,
    ConversationItemAdded,
    ConversationItemCreated,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemInputAudioTranscriptionSegment,
    ConversationItemRetrieved,
    ConversationItemTruncated,
    DurationTranscriptionUsage,
    ErrorDetail,
    ErrorEvent,
    Event,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    InputImage,
    InputText,
    Item,
    McpCall,
    McpListedTool,
    McpListTools,
    OutputAudio,
    OutputText,
    RateLimitsUpdated,
    RealtimeSession,
    Response,
    ResponseAudio,
    ResponseAudioOutput,
    ResponseCancel,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    ServerEvent,
    ServerVad,
    SessionAudio,
    SessionAudioInput,
    SessionAudioOutput,
    SessionCreated,
    SessionUpdated,
    SystemMessage,
    TranscriptionErrorDetail,
    TranscriptionSession,
    UnknownEvent,
    UnknownObject,
    UserMessage,
)

BROKEN = AudioData.from_base64("not base64!!")

# --- what a server says, in short -----------------------------------------------------------------


def user(item_id: str, *content: str) -> UserMessage:
    return UserMessage(
        id=item_id, status="completed", content=[InputText(text) for text in content]
    )


def heard(item_id: str, transcript: str | None = None) -> UserMessage:
    return UserMessage(id=item_id, status="completed", content=[InputAudio(None, transcript)])


def assistant(
    item_id: str, *content: OutputText | OutputAudio, status: str | None = "in_progress"
) -> AssistantMessage:
    return AssistantMessage(id=item_id, status=status, content=content)


def call(
    item_id: str,
    arguments: str = "",
    *,
    name: str = "f",
    call_id: str | None = "call_1",
    status: str | None = "in_progress",
) -> FunctionCall:
    return FunctionCall(id=item_id, name=name, call_id=call_id, arguments=arguments, status=status)


def added(item: Item, after: str | None = None) -> ConversationItemAdded:
    return ConversationItemAdded(event_id="e", item=item, previous_item_id=after)


def done(item: Item, after: str | None = None) -> ConversationItemDone:
    return ConversationItemDone(event_id="e", item=item, previous_item_id=after)


def created(
    response_id: str = "resp_1",
    conversation_id: str | None = "conv_1",
    encoding: AudioFormat | None = None,
) -> ResponseCreated:
    audio = None if encoding is None else ResponseAudio(output=ResponseAudioOutput(format=encoding))
    return ResponseCreated(
        event_id="e",
        response=Response(
            id=response_id, status="in_progress", conversation_id=conversation_id, audio=audio
        ),
    )


def ended(
    response_id: str = "resp_1",
    status: str = "completed",
    output: Iterable[Item] = (),
    conversation_id: str | None = "conv_1",
) -> ResponseDone:
    return ResponseDone(
        event_id="e",
        response=Response(
            id=response_id, status=status, output=tuple(output), conversation_id=conversation_id
        ),
    )


def output_added(item: Item, response_id: str = "resp_1") -> ResponseOutputItemAdded:
    return ResponseOutputItemAdded(event_id="e", response_id=response_id, output_index=0, item=item)


def output_done(item: Item, response_id: str = "resp_1") -> ResponseOutputItemDone:
    return ResponseOutputItemDone(event_id="e", response_id=response_id, output_index=0, item=item)


def text(
    delta: str, item_id: str = "item_1", response_id: str = "resp_1", index: int = 0
) -> ResponseOutputTextDelta:
    return ResponseOutputTextDelta(
        event_id="e",
        response_id=response_id,
        item_id=item_id,
        output_index=0,
        content_index=index,
        delta=delta,
    )


def text_done(
    whole: str, item_id: str = "item_1", response_id: str = "resp_1"
) -> ResponseOutputTextDone:
    return ResponseOutputTextDone(
        event_id="e",
        response_id=response_id,
        item_id=item_id,
        output_index=0,
        content_index=0,
        text=whole,
    )


def words(
    delta: str, item_id: str = "item_1", response_id: str = "resp_1", index: int = 0
) -> ResponseOutputAudioTranscriptDelta:
    return ResponseOutputAudioTranscriptDelta(
        event_id="e",
        response_id=response_id,
        item_id=item_id,
        output_index=0,
        content_index=index,
        delta=delta,
    )


def words_done(
    whole: str, item_id: str = "item_1", response_id: str = "resp_1"
) -> ResponseOutputAudioTranscriptDone:
    return ResponseOutputAudioTranscriptDone(
        event_id="e",
        response_id=response_id,
        item_id=item_id,
        output_index=0,
        content_index=0,
        transcript=whole,
    )


def speech(
    audio: AudioData | NDArray[np.int16] | bytes,
    item_id: str = "item_1",
    response_id: str = "resp_1",
    index: int = 0,
) -> ResponseOutputAudioDelta:
    return ResponseOutputAudioDelta(
        event_id="e",
        response_id=response_id,
        item_id=item_id,
        output_index=0,
        content_index=index,
        delta=audio,
    )


def part(
    cls: type[ResponseContentPartAdded] | type[ResponseContentPartDone],
    content: ContentPart,
    item_id: str = "item_1",
) -> ResponseContentPartAdded | ResponseContentPartDone:
    return cls(
        event_id="e",
        response_id="resp_1",
        item_id=item_id,
        output_index=0,
        content_index=0,
        part=content,
    )


def arguments(
    delta: str, item_id: str = "item_1", call_id: str = "call_1"
) -> ResponseFunctionCallArgumentsDelta:
    return ResponseFunctionCallArgumentsDelta(
        event_id="e",
        response_id="resp_1",
        item_id=item_id,
        output_index=0,
        call_id=call_id,
        delta=delta,
    )


def arguments_done(
    whole: str, item_id: str = "item_1", name: str = "f"
) -> ResponseFunctionCallArgumentsDone:
    return ResponseFunctionCallArgumentsDone(
        event_id="e",
        response_id="resp_1",
        item_id=item_id,
        output_index=0,
        call_id="call_1",
        name=name,
        arguments=whole,
    )


def transcript(
    delta: str, item_id: str = "item_1", index: int | None = 0
) -> ConversationItemInputAudioTranscriptionDelta:
    return ConversationItemInputAudioTranscriptionDelta(
        event_id="e", item_id=item_id, content_index=index, delta=delta
    )


def transcribed(
    whole: str, item_id: str = "item_1"
) -> ConversationItemInputAudioTranscriptionCompleted:
    usage = DurationTranscriptionUsage(seconds=1.0)
    return ConversationItemInputAudioTranscriptionCompleted(
        event_id="e", item_id=item_id, content_index=0, transcript=whole, usage=usage
    )


def untranscribed(item_id: str = "item_1") -> ConversationItemInputAudioTranscriptionFailed:
    error = TranscriptionErrorDetail(code="audio_unintelligible")
    return ConversationItemInputAudioTranscriptionFailed(
        event_id="e", item_id=item_id, content_index=0, error=error
    )


def segment(
    what: str, speaker: str, segment_id: str = "seg_1", item_id: str = "item_1"
) -> ConversationItemInputAudioTranscriptionSegment:
    return ConversationItemInputAudioTranscriptionSegment(
        event_id="e",
        item_id=item_id,
        content_index=0,
        text=what,
        id=segment_id,
        speaker=speaker,
        start=0.0,
        end=1.0,
    )


def truncated(ms: int, item_id: str = "item_1", index: int = 0) -> ConversationItemTruncated:
    return ConversationItemTruncated(
        event_id="e", item_id=item_id, content_index=index, audio_end_ms=ms
    )


def deleted(item_id: str = "item_1") -> ConversationItemDeleted:
    return ConversationItemDeleted(event_id="e", item_id=item_id)


def retrieved(item: Item) -> ConversationItemRetrieved:
    return ConversationItemRetrieved(event_id="e", item=item)


def committed(item_id: str = "item_1", after: str | None = None) -> InputAudioBufferCommitted:
    return InputAudioBufferCommitted(event_id="e", item_id=item_id, previous_item_id=after)


def started(ms: int, item_id: str = "item_1") -> InputAudioBufferSpeechStarted:
    return InputAudioBufferSpeechStarted(event_id="e", audio_start_ms=ms, item_id=item_id)


def stopped(ms: int, item_id: str = "item_1") -> InputAudioBufferSpeechStopped:
    return InputAudioBufferSpeechStopped(event_id="e", audio_end_ms=ms, item_id=item_id)


def session(
    input_format: AudioFormat | None = None,
    output_format: AudioFormat | None = None,
    turn_detection: ServerVad | None = None,
) -> RealtimeSession:
    heard_as = SessionAudioInput(format=input_format, turn_detection=turn_detection)
    return RealtimeSession(
        audio=SessionAudio(input=heard_as, output=SessionAudioOutput(format=output_format))
    )


def sound(ms: int, start: int = 0) -> NDArray[np.int16]:
    """24 samples a millisecond, each the millisecond it belongs to."""
    return np.repeat(np.arange(start, start + ms, dtype=np.int16), 24)


# --- and what is made of it -----------------------------------------------------------------------


def tell(conversation: Conversation, *said: Event) -> list[UtilityEvent]:
    return [told for event in said for told in conversation.apply(event)]


def names(told: Iterable[UtilityEvent]) -> list[str]:
    return [type(event).__name__ for event in told]


def item_of(conversation: Conversation, item_id: str = "item_1") -> ConversationItem:
    item = conversation.get(item_id)
    assert item is not None
    return item


def ids(conversation: Conversation) -> list[str]:
    return [item.id for item in conversation.items]


def answering(item: Item | None = None) -> Conversation:
    """A response is under way and has begun an item."""
    conversation = Conversation()
    item = item or assistant("item_1")
    tell(conversation, created(), output_added(item), added(item))
    return conversation


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


# --- an answer grows ------------------------------------------------------------------------------


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
        ItemUpdated(item=item, delta=AudioDelta(sound(3))),
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


# --- calls ----------------------------------------------------------------------------------------


def test_a_call_grows_and_is_requested_when_it_is_done() -> None:
    conversation = answering(call("item_1"))
    item = item_of(conversation)
    assert (item.name, item.call_id, item.arguments) == ("f", "call_1", "")
    final = call("item_1", '{"a":1}', status="completed")
    told = tell(
        conversation,
        arguments('{"a"'),
        arguments(":1}"),
        arguments_done('{"a":1}'),
        done(final),
        output_done(final),
        ended(),
    )
    assert told == [
        ItemUpdated(item=item, delta=ArgumentsDelta('{"a"')),
        ItemUpdated(item=item, delta=ArgumentsDelta(":1}")),
        ItemCompleted(item=item),
        ToolCallRequested(call=final, item=item),
    ]


def test_a_call_without_deltas_is_requested_with_its_arguments() -> None:
    conversation = answering(call("item_1"))
    told = tell(conversation, output_done(call("item_1", '{"a":1}', status="completed")))
    assert names(told) == ["ItemUpdated", "ItemCompleted", "ToolCallRequested"]
    requested = told[-1]
    assert isinstance(requested, ToolCallRequested)
    assert requested.call.arguments == '{"a":1}'


def test_a_final_call_without_arguments_does_not_erase_those_that_came() -> None:
    conversation = answering(call("item_1"))
    told = tell(
        conversation,
        arguments_done("{}"),
        output_done(call("item_1", "", status="completed", name="", call_id=None)),
    )
    assert [event.call for event in told if isinstance(event, ToolCallRequested)] == [
        call("item_1", "{}", status="completed")
    ]


def test_arguments_that_come_with_the_item_are_on_it() -> None:
    conversation = answering(call("item_1", '{"a":1}'))
    item = item_of(conversation)
    assert item.call == call("item_1", '{"a":1}')


def test_arguments_are_whole_when_they_are_said_to_be() -> None:
    conversation = answering(call("item_1"))
    assert tell(conversation, arguments_done("{}")) == [
        ItemUpdated(item=item_of(conversation), delta=ArgumentsDelta("{}"))
    ]


def test_the_name_of_a_call_that_began_with_its_arguments_is_learned_later() -> None:
    conversation = Conversation()
    tell(conversation, arguments("{"))
    item = item_of(conversation)
    assert (item.type, item.call_id, item.name) == ("function_call", "call_1", None)
    assert tell(conversation, arguments_done("{")) == [ItemUpdated(item=item)]
    assert item.name == "f"


@pytest.mark.parametrize("status", ["incomplete", "in_progress", "cancelled"])
def test_a_call_that_is_not_completed_is_not_requested(status: str) -> None:
    conversation = answering(call("item_1"))
    told = tell(
        conversation, arguments_done("{}"), output_done(call("item_1", "{}", status=status))
    )
    assert "ToolCallRequested" not in names(told)


def test_a_call_without_a_status_is_requested_when_it_is_done() -> None:
    conversation = answering(call("item_1"))
    assert (
        names(tell(conversation, output_done(call("item_1", "{}", status=None))))[-1]
        == "ToolCallRequested"
    )


def test_a_call_is_requested_once() -> None:
    conversation = answering(call("item_1"))
    final = call("item_1", "{}", status="completed")
    told = tell(
        conversation, output_done(final), output_done(final), done(final), ended(output=[final])
    )
    assert names(told).count("ToolCallRequested") == 1


def test_a_call_is_requested_when_the_conversation_has_it_if_that_comes_after_its_end() -> None:
    conversation = Conversation()
    tell(
        conversation,
        created(conversation_id=None),
        output_added(call("item_1")),
        arguments_done("{}"),
    )
    final = call("item_1", "{}", status="completed")
    assert tell(conversation, output_done(final)) == []
    assert names(tell(conversation, done(final), ended()))[-1] == "ToolCallRequested"


def test_a_call_that_a_client_created_is_not_requested() -> None:
    conversation = Conversation()
    final = call("item_1", "{}", status="completed")
    assert names(tell(conversation, added(final), done(final))) == ["ItemAppended", "ItemCompleted"]


def test_a_call_that_was_whole_before_the_cancellation_still_wants_an_answer() -> None:
    conversation = answering(call("item_1"))
    tell(conversation, arguments("{}"), started(0, "item_2"))
    assert names(tell(conversation, output_done(call("item_1", "{}", status="completed")))) == [
        "ItemCompleted",
        "ToolCallRequested",
    ]


def test_a_call_of_a_tool_server_grows_and_gets_its_output_in_the_end() -> None:
    conversation = Conversation()
    begun = McpCall(id="item_1", server_label="s", name="f", arguments="")
    tell(conversation, created(), output_added(begun), added(begun))
    item = item_of(conversation)
    delta = ResponseMcpCallArgumentsDelta(
        event_id="e", response_id="resp_1", item_id="item_1", output_index=0, delta="{"
    )
    whole = ResponseMcpCallArgumentsDone(
        event_id="e", response_id="resp_1", item_id="item_1", output_index=0, arguments="{}"
    )
    ran = McpCall(id="item_1", server_label="s", name="f", arguments="{}", output="1")
    told = tell(conversation, delta, whole, done(ran), output_done(ran))
    assert told == [
        ItemUpdated(item=item, delta=ArgumentsDelta("{")),
        ItemUpdated(item=item, delta=ArgumentsDelta("}")),
        ItemUpdated(item=item),
        ItemCompleted(item=item),
    ]
    assert (item.type, item.name, item.arguments, item.output) == ("mcp_call", "f", "{}", "1")


def test_a_list_of_tools_is_complete_when_it_is_done() -> None:
    conversation = Conversation()
    told = tell(conversation, added(McpListTools(id="item_1", server_label="s", tools=())))
    listed = McpListTools(
        id="item_1", server_label="s", tools=(McpListedTool(name="f", input_schema={}),)
    )
    told += tell(conversation, done(listed))
    assert names(told) == ["ItemAppended", "ItemUpdated", "ItemCompleted"]
    assert item_of(conversation).snapshot == listed


# --- out of band ----------------------------------------------------------------------------------


def test_a_response_out_of_band_leaves_no_trace_in_the_conversation() -> None:
    conversation = Conversation()
    final = assistant("item_1", OutputText("cats"), status="completed")
    requested = call("item_2", "{}", status="completed")
    told = tell(
        conversation,
        created(conversation_id=None),
        output_added(assistant("item_1")),
        text("ca"),
        words("x"),
        speech(sound(1)),
    )
    assert item_of(conversation).text == "ca"
    told += tell(
        conversation,
        text_done("cats"),
        output_done(final),
        output_added(call("item_2")),
        output_done(requested),
    )
    told += tell(conversation, ended(output=[final, requested], conversation_id=None))
    assert told == []
    assert conversation.items == ()
    assert conversation.get("item_1") is None


def test_stragglers_of_a_response_out_of_band_are_nobodys() -> None:
    conversation = Conversation()
    tell(conversation, created(conversation_id=None), text("a"), ended(conversation_id=None))
    assert (
        tell(
            conversation,
            text("b"),
            output_added(assistant("item_2")),
            speech(sound(1)),
            arguments("{"),
            arguments_done("{}"),
        )
        == []
    )
    assert tell(conversation, part(ResponseContentPartAdded, ContentPart(type="text"))) == []
    assert (
        tell(
            conversation,
            output_done(assistant("item_1", status="completed")),
            ended(conversation_id=None),
        )
        == []
    )
    assert conversation.get("item_1") is None


def test_the_end_of_a_response_out_of_band_that_nobody_saw_begin_shows_nothing() -> None:
    conversation = Conversation()
    assert (
        tell(
            conversation,
            ended(output=[assistant("item_1", status="completed")], conversation_id=None),
        )
        == []
    )


def test_cancelling_the_conversation_does_not_touch_what_is_out_of_band() -> None:
    conversation = Conversation()
    tell(conversation, created(conversation_id=None), text("a"))
    conversation.cancelled()
    tell(conversation, text("b"))
    assert item_of(conversation).text == "ab"


def test_an_item_that_the_server_announces_is_in_the_conversation_whatever_its_response_says() -> (
    None
):
    conversation = Conversation()
    tell(
        conversation,
        created(conversation_id=None),
        output_added(assistant("item_1")),
        added(assistant("item_1")),
    )
    assert names(tell(conversation, text("a"), ended(conversation_id=None))) == [
        "ItemUpdated",
        "ItemCompleted",
    ]
    assert ids(conversation) == ["item_1"]


# --- interruptions --------------------------------------------------------------------------------


def test_the_users_speech_interrupts() -> None:
    conversation = answering()
    assert tell(conversation, started(120, "item_2")) == [
        Interrupted(item=None, audio_start_ms=120)
    ]
    tell(Conversation(), speech(sound(10)))
    conversation = answering()
    tell(conversation, speech(sound(10)))
    assert tell(conversation, started(120, "item_2")) == [
        Interrupted(item=item_of(conversation), audio_start_ms=120)
    ]


def test_speech_that_was_truncated_is_not_interrupted_again() -> None:
    conversation = answering()
    tell(conversation, speech(sound(10)), started(0, "item_2"), truncated(5))
    assert tell(conversation, started(120, "item_3")) == [
        Interrupted(item=None, audio_start_ms=120)
    ]


def test_speech_does_not_interrupt_where_it_must_not() -> None:
    conversation = answering()
    tell(
        conversation,
        SessionUpdated(
            event_id="e", session=session(turn_detection=ServerVad(interrupt_response=False))
        ),
    )
    assert names(tell(conversation, started(0, "item_2"), text("Hi"))) == ["ItemUpdated"]
    tell(
        conversation,
        SessionUpdated(
            event_id="e", session=session(turn_detection=ServerVad(interrupt_response=True))
        ),
    )
    assert names(tell(conversation, started(0, "item_3"))) == ["Interrupted"]


def test_in_a_transcription_session_there_is_nothing_to_interrupt() -> None:
    conversation = Conversation()
    tell(
        conversation,
        SessionCreated(
            event_id="e",
            session=TranscriptionSession(audio=SessionAudio(input=SessionAudioInput())),
        ),
    )
    assert tell(conversation, started(0)) == []


def test_stragglers_of_an_interrupted_response_are_marked_and_not_mixed_in() -> None:
    conversation = answering()
    item = item_of(conversation)
    tell(conversation, speech(sound(10)), words("Hello"), started(0, "item_2"))
    told = tell(conversation, speech(sound(5)), words(" world"), text("x", index=1))
    assert told == [
        DeltaDropped(item=item, delta=AudioDelta(sound(5))),
        DeltaDropped(item=item, delta=TranscriptDelta(" world")),
        DeltaDropped(item=item, delta=TextDelta("x")),
    ]
    assert (item.audio_ms, item.transcript) == (10, "Hello")


def test_the_words_of_an_interrupted_answer_are_what_the_model_remembers_and_nobody_prints_them() -> (
    None
):
    conversation = answering()
    item = item_of(conversation)
    tell(conversation, words("Hello"), started(0, "item_2"))
    assert tell(conversation, words_done("Hello world")) == [ItemUpdated(item=item)]
    final = assistant("item_1", OutputAudio(None, "Hello world"), status="incomplete")
    assert tell(conversation, done(final), output_done(final), ended(status="cancelled")) == [
        ItemUpdated(item=item)
    ]
    assert (item.status, item.is_interrupted, item.transcript) == (
        "incomplete",
        True,
        "Hello world",
    )


def test_an_observer_learns_from_the_end_of_the_response_that_it_was_interrupted() -> None:
    conversation = answering()
    item = item_of(conversation)
    tell(conversation, output_done(assistant("item_1", status="incomplete")))
    assert not item.is_interrupted
    assert tell(conversation, ended(status="cancelled")) == [ItemUpdated(item=item)]
    assert item.is_interrupted


@pytest.mark.parametrize("response_id", [None, "resp_1"])
def test_what_arrives_after_our_own_cancellation_is_dropped(response_id: str | None) -> None:
    conversation = answering()
    conversation.sent(ResponseCancel(response_id=response_id))
    assert names(
        tell(conversation, text("Hi"), output_added(assistant("item_2")), text("Ho", "item_2"))
    ) == ["DeltaDropped"]
    assert names(tell(conversation, ended(status="cancelled"))) == ["ItemUpdated", "ItemAppended"]
    assert all(item.is_interrupted for item in conversation.items)


def test_cancelling_another_response_changes_nothing() -> None:
    conversation = answering()
    conversation.sent(ResponseCancel(response_id="resp_2"))
    assert names(tell(conversation, text("Hi"))) == ["ItemUpdated"]


def test_what_arrives_after_the_end_of_a_response_is_dropped() -> None:
    conversation = answering()
    tell(conversation, text("Hi"), ended(status="cancelled"))
    assert (
        names(tell(conversation, text("Hi"), speech(sound(1), index=1), words("x", index=1)))
        == ["DeltaDropped"] * 3
    )
    assert tell(conversation, text("Hi", "item_2"), output_added(assistant("item_3"))) == []
    assert ids(conversation) == ["item_1"]


def test_an_announced_item_whose_response_is_over_takes_no_deltas() -> None:
    conversation = Conversation()
    tell(conversation, created(), ended(), added(assistant("item_1")))
    assert names(tell(conversation, text("Hi"))) == ["DeltaDropped"]


def test_the_next_response_is_not_affected() -> None:
    conversation = answering()
    tell(conversation, started(0, "item_2"), ended(status="cancelled"))
    told = tell(
        conversation,
        created("resp_2"),
        output_added(assistant("item_3"), "resp_2"),
        text("Hi", "item_3", "resp_2"),
    )
    assert names(told) == ["ItemUpdated", "ItemAppended"]


# --- truncation -----------------------------------------------------------------------------------


def test_truncating_cuts_the_audio_to_whole_samples_and_clears_the_transcript() -> None:
    conversation = answering()
    item = item_of(conversation)
    tell(conversation, words("Hello"), speech(np.arange(24_001, dtype=np.int16)))
    assert tell(conversation, truncated(999)) == [ItemTruncated(item=item, audio_end_ms=999)]
    assert_array_equal(item.audio, np.arange(999 * 24_000 // 1000, dtype=np.int16))
    assert (item.transcript, item.parts) == ("", (OutputAudio(None, ""),))
    assert (item.heard_ms, item.audio_ms, item.is_interrupted) == (999, 999, True)


def test_truncating_cuts_the_part_it_names() -> None:
    conversation = answering()
    tell(
        conversation,
        words("one"),
        speech(sound(5)),
        words("two", index=1),
        speech(sound(5, 100), index=1),
        truncated(2, index=1),
    )
    item = item_of(conversation)
    assert item.transcript == "one"
    assert_array_equal(item.audio, [*sound(5), *sound(2, 100)])


def test_truncating_a_part_that_is_not_there_cuts_nothing() -> None:
    conversation = answering()
    tell(conversation, words("one"), speech(sound(5)))
    assert names(tell(conversation, truncated(2, index=7))) == ["ItemTruncated"]
    assert (item_of(conversation).transcript, item_of(conversation).audio_ms) == ("one", 5)


@pytest.mark.parametrize(("ms", "left"), [(10**12, 5), (-(10**12), 0), (5, 5), (0, 0)])
def test_truncating_keeps_within_what_there_is(ms: int, left: int) -> None:
    conversation = answering()
    tell(conversation, speech(sound(5)), truncated(ms))
    assert (item_of(conversation).audio_ms, item_of(conversation).heard_ms) == (left, left)


def test_truncating_an_item_without_audio_changes_no_audio() -> None:
    conversation = answering()
    tell(conversation, text("Hi"))
    assert names(tell(conversation, truncated(5))) == ["ItemTruncated"]
    assert (item_of(conversation).heard_ms, item_of(conversation).text) == (0, "Hi")


def test_an_unknown_item_cannot_be_truncated() -> None:
    conversation = Conversation()
    tell(conversation, transcript("Hi"))
    assert tell(conversation, truncated(5), truncated(5, "item_2")) == []


def test_nothing_that_was_not_heard_comes_back_after_a_truncation() -> None:
    conversation = answering()
    item = item_of(conversation)
    tell(conversation, words("Hello"), speech(sound(10)), truncated(4))
    assert names(tell(conversation, speech(sound(5)), words(" world"))) == [
        "DeltaDropped",
        "DeltaDropped",
    ]
    final = assistant("item_1", OutputAudio(None, "Hello world"), status="completed")
    whole = ContentPart(type="audio", transcript="Hello world")
    told = tell(
        conversation,
        words_done("Hello world"),
        part(ResponseContentPartDone, whole),
        done(final),
        output_done(final),
        ended(),
    )
    assert told == [ItemCompleted(item=item)]
    assert (item.transcript, item.audio_ms) == ("", 4)


def test_what_is_left_of_a_truncated_item_can_be_retrieved() -> None:
    conversation = answering()
    tell(
        conversation,
        words("Hello world"),
        speech(sound(10)),
        truncated(4),
        ended(status="cancelled"),
    )
    tell(
        conversation,
        retrieved(assistant("item_1", OutputAudio(sound(4), "Hello"), status="incomplete")),
    )
    assert (item_of(conversation).transcript, item_of(conversation).audio_ms) == ("Hello", 4)


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


# --- the user's audio -----------------------------------------------------------------------------


def test_a_commit_gives_the_item_it_names_all_uncommitted_audio() -> None:
    conversation = Conversation()
    for start in (0, 100):
        conversation.sent(InputAudioBufferAppend(audio=sound(100, start)))
    assert conversation.pending_input_ms == 200
    conversation.sent(InputAudioBufferCommit(event_id="evt_1"))
    conversation.sent(InputAudioBufferAppend(audio=sound(50, 200)))
    assert conversation.pending_input_ms == 50
    told = tell(conversation, committed(), added(heard("item_1")))
    assert names(told) == ["ItemAppended", "ItemCompleted"]
    assert_array_equal(item_of(conversation).audio, sound(200))
    assert conversation.pending_input_ms == 50


def test_audio_goes_to_the_item_that_was_committed_and_not_to_the_next_one_of_the_user() -> None:
    conversation = Conversation()
    conversation.append_input(AudioData(sound(100)))
    tell(conversation, added(user("item_1", "typed")))
    assert item_of(conversation).audio_ms == 0
    tell(conversation, committed("item_2", "item_1"), added(heard("item_2"), "item_1"))
    assert (item_of(conversation).audio_ms, item_of(conversation, "item_2").audio_ms) == (0, 100)
    assert item_of(conversation, "item_2").text == ""


def test_a_commit_that_is_told_after_its_item_still_brings_the_audio() -> None:
    conversation = Conversation()
    conversation.append_input(AudioData(sound(100)))
    tell(conversation, added(heard("item_1")))
    item = item_of(conversation)
    assert tell(conversation, committed()) == [ItemUpdated(item=item)]
    assert item.audio_ms == 100
    assert tell(conversation, committed()) == []


def test_a_commit_of_nothing_brings_nothing() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")))
    assert tell(conversation, committed()) == []


def test_a_refused_commit_leaves_the_audio_pending() -> None:
    conversation = Conversation()
    conversation.append_input(AudioData(sound(50)))
    conversation.sent(InputAudioBufferCommit(event_id="evt_1"))
    error = ErrorDetail(
        type="invalid_request_error",
        code="input_audio_buffer_commit_empty",
        message="no",
        event_id="evt_1",
    )
    tell(conversation, ErrorEvent(event_id="e", error=error))
    assert conversation.pending_input_ms == 50


def test_cleared_audio_belongs_to_nobody() -> None:
    conversation = Conversation()
    conversation.append_input(AudioData(sound(50)))
    conversation.sent(InputAudioBufferClear())
    conversation.append_input(AudioData(sound(20, 50)))
    tell(conversation, InputAudioBufferCleared(event_id="e"), committed(), added(heard("item_1")))
    assert_array_equal(item_of(conversation).audio, sound(20, 50))


def test_detected_speech_is_cut_out_of_the_sessions_audio() -> None:
    conversation = Conversation()
    conversation.append_input(AudioData(sound(1000)))
    tell(conversation, started(100), stopped(600), committed(), added(heard("item_1")))
    assert_array_equal(item_of(conversation).audio, sound(500, 100))
    conversation.append_input(AudioData(sound(500, 1000)))
    tell(
        conversation,
        started(1100, "item_2"),
        stopped(1400, "item_2"),
        committed("item_2"),
        added(heard("item_2"), "item_1"),
    )
    assert_array_equal(item_of(conversation, "item_2").audio, sound(300, 1100))


def test_speech_that_stopped_without_having_started_is_empty() -> None:
    conversation = Conversation()
    conversation.append_input(AudioData(sound(1000)))
    tell(conversation, stopped(600), committed(), added(heard("item_1")))
    assert item_of(conversation).audio_ms == 0


def test_detected_speech_is_attached_without_a_commit_too() -> None:
    conversation = Conversation()
    conversation.append_input(AudioData(sound(1000)))
    tell(
        conversation,
        started(100),
        stopped(600),
        ConversationItemCreated(event_id="e", item=heard("item_1")),
        committed(),
    )
    assert item_of(conversation).audio_ms == 500
    assert conversation.pending_input_ms == 400


def test_the_silence_of_an_idle_timeout_is_a_message() -> None:
    conversation = Conversation()
    conversation.append_input(AudioData(sound(1000)))
    idle = InputAudioBufferTimeoutTriggered(
        event_id="e", audio_start_ms=0, audio_end_ms=800, item_id="item_1"
    )
    tell(conversation, idle, committed(), added(heard("item_1")))
    assert item_of(conversation).audio_ms == 800


def test_telephony_is_decoded_both_ways() -> None:
    conversation = Conversation()
    formats = session(AudioFormat.pcmu(), AudioFormat.pcma())
    tell(conversation, SessionCreated(event_id="e", session=formats))
    conversation.append_input(AudioData(bytes(range(80))))
    assert conversation.pending_input_ms == 10
    tell(conversation, committed(), added(heard("item_1")))
    assert_array_equal(item_of(conversation).audio, mulaw_decode(bytes(range(80))))
    told = tell(conversation, created(), speech(b"\x00\x01\x02", "item_2"))
    assert_array_equal(
        item_of(conversation, "item_2").audio, AudioDelta(b"\x00\x01\x02", "audio/pcma").samples
    )
    assert isinstance(told[0], ItemUpdated)
    assert told[0].delta == AudioDelta(b"\x00\x01\x02", "audio/pcma")
    assert item_of(conversation, "item_2").audio_rate == 8_000


def test_a_response_may_have_its_own_format() -> None:
    conversation = Conversation()
    tell(conversation, created(encoding=AudioFormat.pcmu()), speech(b"\x00\xff", "item_1"))
    assert_array_equal(item_of(conversation).audio, mulaw_decode(b"\x00\xff"))
    tell(conversation, created("resp_2"), speech(sound(1), "item_2", "resp_2"))
    assert item_of(conversation, "item_2").audio_rate == 24_000


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (None, None),
        (AudioFormat(), Encoding("audio/pcm", 24_000)),
        (AudioFormat(type="audio/pcm", rate=16_000), Encoding("audio/pcm", 16_000)),
        (AudioFormat(type="audio/pcm", rate=0), Encoding("audio/pcm", 24_000)),
        (AudioFormat(type="audio/pcmu", rate=24_000), Encoding("audio/pcmu", 8_000)),
        (AudioFormat(type="audio/opus", rate=-1), Encoding("audio/opus", 24_000)),
    ],
)
def test_what_a_format_leaves_open_is_filled_in(
    stated: AudioFormat | None, expected: Encoding | None
) -> None:
    assert Encoding.of(stated) == expected


def test_a_session_without_audio_settings_changes_none() -> None:
    conversation = Conversation()
    tell(conversation, SessionUpdated(event_id="e", session=RealtimeSession()))
    tell(conversation, SessionUpdated(event_id="e", session=RealtimeSession(audio=SessionAudio())))
    tell(conversation, SessionUpdated(event_id="e", session=session()))
    tell(conversation, speech(sound(1)))
    assert item_of(conversation).audio_rate == 24_000


# --- transcripts of the user ----------------------------------------------------------------------


def test_a_transcript_in_pieces() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")))
    item = item_of(conversation)
    told = tell(
        conversation, transcript("Hel"), transcript("lo", index=None), transcribed("Hello.")
    )
    assert told == [
        ItemUpdated(item=item, delta=InputTranscriptDelta(piece)) for piece in ("Hel", "lo", ".")
    ]
    assert (item.transcript, item.parts) == ("Hello.", (InputAudio(None, "Hello."),))


def test_a_transcript_at_once() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")))
    told = tell(conversation, transcribed("Hello"), transcribed("Hello"), transcript("lo"))
    assert told == [
        ItemUpdated(item=item_of(conversation), delta=InputTranscriptDelta("Hello")),
        DeltaDropped(item=item_of(conversation), delta=InputTranscriptDelta("lo")),
    ]


def test_a_transcript_that_comes_before_its_item_waits_for_it_without_an_event() -> None:
    conversation = Conversation()
    assert tell(conversation, transcript("Hel"), transcribed("Hello"), segment("Hello", "A")) == []
    assert conversation.items == ()
    assert names(tell(conversation, added(heard("item_1")))) == ["ItemAppended", "ItemCompleted"]
    assert item_of(conversation).transcript == "Hello"


def test_transcripts_that_come_in_another_order_find_their_items() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")), added(heard("item_2"), "item_1"))
    tell(conversation, transcribed("two", "item_2"), transcribed("one", "item_1"))
    assert [item.transcript for item in conversation.items] == ["one", "two"]


def test_a_transcript_without_words_is_a_space_and_empty_in_its_part() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")))
    item = item_of(conversation)
    assert tell(conversation, transcribed(""), transcribed("")) == [
        ItemUpdated(item=item, delta=InputTranscriptDelta(""))
    ]
    assert (item.transcript, item.parts) == (" ", (InputAudio(None, ""),))


def test_an_empty_whole_does_not_erase_a_transcript_in_pieces() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")), transcript("Hello"))
    assert tell(conversation, transcribed("")) == []
    assert item_of(conversation).transcript == "Hello"


def test_a_transcription_that_fails_says_why_once() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")))
    item = item_of(conversation)
    assert tell(conversation, untranscribed(), untranscribed()) == [ItemUpdated(item=item)]
    assert item.transcription_error == TranscriptionErrorDetail(code="audio_unintelligible")
    assert item.is_complete


def test_segments_tell_speakers_apart() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")))
    item = item_of(conversation)
    told = tell(conversation, segment("Hi", "A"), segment("Hi", "A"), segment("Ho", "B", "seg_2"))
    expected = (TranscriptSegment("Hi", "A", 0.0, 1.0), TranscriptSegment("Ho", "B", 0.0, 1.0))
    assert told == [
        ItemUpdated(item=item, delta=InputTranscriptSegment(piece)) for piece in expected
    ]
    assert item.segments == expected


def test_a_transcript_that_comes_with_the_item_counts() -> None:
    conversation = Conversation()
    tell(conversation, added(heard("item_1")))
    told = tell(conversation, done(heard("item_1", "Hello")))
    assert told == [ItemUpdated(item=item_of(conversation), delta=InputTranscriptDelta("Hello"))]


# --- how much is kept -----------------------------------------------------------------------------


def test_with_no_retention_audio_is_counted_and_not_kept() -> None:
    conversation = Conversation(retention="none")
    conversation.append_input(AudioData(sound(100)))
    assert conversation.pending_input_ms == 100
    tell(conversation, committed(), added(heard("item_1")))
    told = tell(conversation, created(), speech(sound(10), "item_2"))
    assert isinstance(told[0], ItemUpdated)
    assert told[0].delta == AudioDelta(sound(10))
    for item, ms in zip(conversation.items, (100, 10), strict=True):
        assert (item.audio_ms, len(item.audio)) == (ms, 0)
    tell(conversation, truncated(4, "item_2"))
    assert item_of(conversation, "item_2").heard_ms == 4


def test_the_last_seconds_are_kept() -> None:
    conversation = Conversation(retention=0.1)
    tell(conversation, created())
    for start in range(0, 200, 10):
        tell(conversation, speech(sound(10, start)))
    item = item_of(conversation)
    assert item.audio_ms == 200
    assert_array_equal(item.audio, sound(100, 100))
    for start in range(0, 50, 10):
        tell(conversation, speech(sound(10, start), "item_2"))
    assert_array_equal(item.audio, sound(50, 150))


def test_no_seconds_are_none() -> None:
    conversation = Conversation(retention=0)
    tell(conversation, created(), speech(sound(10)))
    assert (item_of(conversation).audio_ms, len(item_of(conversation).audio)) == (10, 0)


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_a_retention_that_makes_no_sense_is_refused(seconds: float) -> None:
    with pytest.raises(LocalProtocolError, match="seconds of audio"):
        Conversation(retention=seconds)


def test_a_turn_longer_than_the_capacity_loses_its_beginning_here_and_is_as_long_as_it_was() -> (
    None
):
    conversation = Conversation(input_capacity_s=0.05)
    conversation.append_input(AudioData(sound(80)))
    tell(conversation, committed(), added(heard("item_1")))
    assert item_of(conversation).audio_ms == 80
    assert_array_equal(item_of(conversation).audio, sound(50, 30))


def test_what_is_over_is_not_remembered_forever() -> None:
    conversation = Conversation()
    for number in range(1000):
        tell(
            conversation,
            created(f"resp_{number}"),
            output_added(assistant(f"item_{number}"), f"resp_{number}"),
            ended(f"resp_{number}"),
        )
        tell(conversation, deleted(f"item_{number}"))
    kept = [
        value for value in vars(conversation).values() if isinstance(value, dict | list | tuple)
    ]
    assert sum(map(len, kept)) < 200


def test_what_a_client_sends_besides_does_not_matter() -> None:
    conversation = Conversation()
    conversation.sent(ResponseCreate())
    assert (conversation.items, conversation.pending_input_ms) == ((), 0)


def test_the_conversation_can_be_exported() -> None:
    conversation = Conversation()
    tell(conversation, added(user("item_1", "hi")))
    content = [{"type": "input_text", "text": "hi"}]
    assert conversation.export() == [
        {
            "id": "item_1",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": content,
        }
    ]


# --- a new session --------------------------------------------------------------------------------


def test_a_new_session_interrupts_what_the_old_one_was_saying_and_counts_audio_anew() -> None:
    conversation = answering()
    item = item_of(conversation)
    conversation.append_input(AudioData(sound(1000)))
    assert tell(
        conversation, text("Hel"), SessionCreated(event_id="e", session=RealtimeSession())
    ) == [
        ItemUpdated(item=item, delta=TextDelta("Hel")),
        ItemUpdated(item=item),
    ]
    assert (item.status, item.is_interrupted, conversation.pending_input_ms) == (
        "incomplete",
        True,
        0,
    )
    conversation.append_input(AudioData(sound(1000)))
    tell(
        conversation,
        started(100, "item_2"),
        stopped(200, "item_2"),
        committed("item_2"),
        added(heard("item_2"), "item_1"),
    )
    assert_array_equal(item_of(conversation, "item_2").audio, sound(100, 100))


def test_items_that_are_replayed_into_a_new_session_are_the_same_items() -> None:
    conversation = Conversation()
    tell(
        conversation,
        added(user("item_1", "hi")),
        SessionCreated(event_id="e", session=RealtimeSession()),
    )
    item = item_of(conversation)
    assert tell(conversation, added(user("item_1", "hi")), done(user("item_1", "hi"))) == []
    assert conversation.items == (item,)


# --- whatever a server says -----------------------------------------------------------------------

_IDS = st.sampled_from(["item_1", "item_2", "item_3", "item_4"])
_ITEM_CLASSES = (
    UserMessage,
    SystemMessage,
    AssistantMessage,
    FunctionCall,
    FunctionCallOutput,
    McpListTools,
    McpCall,
)
_SMALL = st.sampled_from(["", "a", "ab", "abc", "b"])
_BASE64 = st.binary(max_size=5).map(
    lambda data: AudioData.from_base64(base64.b64encode(data).decode())
)
_AUDIO = st.one_of(st.binary(max_size=5).map(AudioData), st.builds(lambda: BROKEN), _BASE64)
_MS = st.one_of(st.integers(-1, 3), INTEGERS)


def _crowded() -> Palette:
    """Few ids, so that events meet; short texts, so that they repeat each other."""
    fields: dict[tuple[type, str], st.SearchStrategy[object]] = {}
    for cls in SERVER_EVENTS:
        fields[cls, "event_id"] = st.just("e")
        fields[cls, "item_id"] = _IDS
        fields[cls, "previous_item_id"] = st.one_of(st.none(), st.just("root"), _IDS)
        fields[cls, "response_id"] = st.sampled_from(["resp_1", "resp_2", ""])
        fields[cls, "content_index"] = st.sampled_from([0, 0, 1])
        fields[cls, "delta"] = _AUDIO if cls is ResponseOutputAudioDelta else _SMALL
        for name in ("text", "transcript", "arguments"):
            fields[cls, name] = _SMALL
        for name in ("audio_start_ms", "audio_end_ms"):
            fields[cls, name] = _MS
    for item in _ITEM_CLASSES:
        fields[item, "id"] = _IDS
        fields[item, "status"] = st.sampled_from(
            [None, "in_progress", "completed", "incomplete", "paused"]
        )
        fields[item, "arguments"] = _SMALL
    for content in (InputText, InputAudio, OutputText, OutputAudio, ContentPart):
        fields[content, "text"] = _SMALL
        fields[content, "transcript"] = st.one_of(st.none(), _SMALL)
        fields[content, "audio"] = st.one_of(st.none(), _AUDIO)
    fields[Response, "id"] = st.sampled_from(["resp_1", "resp_2", ""])
    fields[Response, "conversation_id"] = st.sampled_from([None, "conv_1"])
    return Palette(fields=fields)


_CROWDED = _crowded()
_SAID: st.SearchStrategy[Event] = st.one_of(
    [events(cls, _CROWDED) for cls in SERVER_EVENTS if cls is not RateLimitsUpdated]
)
_DONE: st.SearchStrategy[Event] = st.builds(
    lambda: InputAudioBufferAppend(audio=BROKEN)
) | st.sampled_from(
    [
        InputAudioBufferAppend(audio=sound(30)),
        InputAudioBufferAppend(audio=b"odd"),
        InputAudioBufferCommit(event_id="evt_1"),
        InputAudioBufferClear(),
        ResponseCancel(),
        ResponseCancel(response_id="resp_1"),
    ]
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
@given(steps=st.lists(st.one_of(_SAID, _SAID, _SAID, _DONE), max_size=25))
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
        st.tuples(st.sampled_from(["item_1", "item_2"]), st.binary(max_size=9), _SMALL), max_size=20
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


def test_audio_that_was_retrieved_is_not_replaced_by_what_was_appended() -> None:
    conversation = Conversation()
    conversation.append_input(AudioData(sound(500)))
    kept = sound(200, start=7)
    tell(
        conversation,
        added(heard("item_1")),
        retrieved(UserMessage(id="item_1", content=[InputAudio(AudioData(kept))])),
    )
    assert tell(conversation, committed("item_1")) == []
    np.testing.assert_array_equal(item_of(conversation).audio, kept)
