"""Calls in the conversation, and what responses out of band leave there."""

from __future__ import annotations

import pytest
from conversation_events import (
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
    sound,
    speech,
    started,
    tell,
    text,
    text_done,
    words,
)

from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.utility_events import (
    ArgumentsDelta,
    ItemCompleted,
    ItemUpdated,
    ToolCallRequested,
)
from realtime_trio.events import (
    ContentPart,
    McpCall,
    McpListedTool,
    McpListTools,
    OutputText,
    ResponseContentPartAdded,
    ResponseFunctionCallArgumentsDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
)

# --- what a server says, in short -----------------------------------------------------------------


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


def test_a_call_that_is_described_better_is_updated_and_otherwise_not() -> None:
    conversation = answering(call("item_1", name="", call_id=None))
    told = tell(conversation, output_added(call("item_1", name="f", call_id="call_1")))
    assert told == [ItemUpdated(item=item_of(conversation))]
    assert tell(conversation, output_added(call("item_1", name="", call_id=None))) == []
    assert item_of(conversation).call_id == "call_1"
