"""Where a living conversation may be parted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conversation_events import (
    added,
    answering,
    assistant,
    call,
    created,
    ended,
    item_of,
    output_added,
    output_done,
    sound,
    speech,
    tell,
    user,
    words,
)
from histories import talk
from hypothesis import given, strategies as st

from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio._state.conversation.old_part import old_part, talk_ms
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio.events import (
    AssistantMessage,
    FunctionCallOutput,
    Item,
    McpApprovalRequest,
    McpApprovalResponse,
    McpListTools,
    OutputText,
    ServerEvent,
    SystemMessage,
    UserMessage,
)


def output(item_id: str, call_id: str = "call_1") -> FunctionCallOutput:
    return FunctionCallOutput(id=item_id, call_id=call_id, output="1")


def said(item_id: str, text: str = "x") -> AssistantMessage:
    return assistant(item_id, OutputText(text), status="completed")


def made(item_id: str, call_id: str = "call_1") -> Item:
    return call(item_id, "{}", call_id=call_id, status="completed")


def in_response(response_id: str, item: Item) -> list[ServerEvent]:
    """A call, as a response makes it."""
    return [output_added(item, response_id), added(item), output_done(item, response_id)]


def ids(old: tuple[ConversationItem, ...]) -> str:
    return "".join(item.id for item in old)


def turns(*letters: str) -> Conversation:
    """A conversation in which u, v and w are the user's, a and b the model's."""
    return talk(*(user(each, "x") if each in "uvwxyz" else said(each) for each in letters))


def test_the_last_items_stay() -> None:
    items = turns(*"uavbw").items
    assert [ids(old_part(items, keep_items=count)) for count in range(7)] == [
        "uavbw",
        "uavb",
        "uav",
        "ua",
        "u",
        "",
        "",
    ]


def test_the_last_milliseconds_of_talk_stay() -> None:
    items = talk(user("u", "x" * 10), said("a", "x" * 20), user("v", "x" * 30)).items
    found = [ids(old_part(items, keep_ms=ms)) for ms in (0, 1, 1980, 1981, 3300, 3301, 9999)]
    assert found == ["uav", "ua", "ua", "u", "u", "", ""]


def test_speech_counts_by_its_audio_and_calls_not_at_all() -> None:
    conversation = answering()
    tell(conversation, words("Hello"), speech(sound(1000)), ended())
    assert talk_ms(item_of(conversation)) == 1000
    items = talk(user("u", "x"), made("c"), output("o"), said("a", "x")).items
    assert ids(old_part(items, keep_ms=67)) == ""
    assert ids(old_part(items, keep_ms=66)) == "uco"


def test_a_call_goes_with_its_output_or_not_at_all() -> None:
    items = talk(
        user("u", "x"),
        made("c"),
        made("d", "call_2"),
        output("o"),
        output("p", "call_2"),
        said("a"),
    ).items
    found = [ids(old_part(items, keep_items=count)) for count in range(7)]
    assert found == ["ucdopa", "ucdop", "u", "u", "u", "u", ""]


def test_an_output_that_stands_before_its_call_goes_with_it() -> None:
    items = talk(output("o"), made("c"), said("a")).items
    assert [ids(old_part(items, keep_items=count)) for count in range(3)] == ["oca", "oc", ""]


def test_the_calls_of_a_response_go_together() -> None:
    conversation = talk(user("u", "x"))
    # The first call is answered before the second one is made.
    tell(
        conversation,
        created("resp_1"),
        *in_response("resp_1", made("c")),
        added(output("o"), "c"),
        *in_response("resp_1", made("d", "call_2")),
        added(output("p", "call_2"), "d"),
        ended("resp_1"),
        created("resp_2"),
        *in_response("resp_2", made("e", "call_3")),
        added(output("q", "call_3"), "e"),
        ended("resp_2"),
    )
    items = conversation.items
    found = [ids(old_part(items, keep_items=count)) for count in range(8)]
    assert found == ["ucodpeq", "ucodp", "ucodp", "u", "u", "u", "u", ""]


def test_a_turn_with_an_open_call_stays() -> None:
    items = talk(user("u", "x"), said("a"), user("v", "x"), made("c"), user("w", "x")).items
    assert ids(old_part(items, keep_items=0, is_open=lambda call_id: call_id == "call_1")) == "ua"


def test_a_call_that_nobody_answers_any_more_goes_like_anything_else() -> None:
    items = talk(user("u", "x"), made("c"), user("w", "x")).items
    assert [ids(old_part(items, keep_items=count)) for count in range(3)] == ["ucw", "uc", "u"]


def test_a_request_for_approval_goes_with_its_answer_or_not_at_all() -> None:
    request = McpApprovalRequest(id="q", server_label="s", name="f", arguments="{}")
    response = McpApprovalResponse(id="r", approval_request_id="q", approve=True)
    items = talk(user("u", "x"), request, said("a"), response, user("v", "x")).items
    for item in items:
        item._status = "completed"
    found = [ids(old_part(items, keep_items=count)) for count in range(5)]
    assert found == ["uqarv", "uqar", "u", "u", "u"]
    open_request = talk(user("t", "x"), said("a"), user("u", "x"), request).items
    for item in open_request:
        item._status = "completed"
    assert ids(old_part(open_request, keep_items=0)) == "ta"


def test_lists_of_tools_stay() -> None:
    listed = McpListTools(id="l", server_label="s", tools=())
    items = talk(user("u", "x"), listed, user("v", "x")).items
    items[1]._status = "completed"
    assert ids(old_part(items, keep_items=0)) == "uv"


def test_what_is_still_made_stays_with_its_turn() -> None:
    conversation = turns(*"uavw")
    tell(conversation, created(), output_added(assistant("b")), added(assistant("b"), "w"))
    assert ids(old_part(conversation.items, keep_items=0)) == "ua"


@pytest.mark.parametrize(
    ("letters", "old"),
    [
        ("uav", "ua"),
        ("uavb", "ua"),
        ("uavbwx", "uavb"),
        ("u", ""),
        ("", ""),
        ("a", ""),
    ],
)
def test_while_a_response_is_asked_for_its_turn_stays(letters: str, old: str) -> None:
    assert ids(old_part(turns(*letters).items, keep_items=0, is_busy=True)) == old


def test_outputs_that_were_not_read_stay_while_their_reader_is_asked_for() -> None:
    items = talk(
        user("u", "x"), said("a"), user("v", "x"), made("c"), output("o"), user("w", "x")
    ).items
    assert ids(old_part(items, keep_items=0, is_busy=True)) == "ua"


def test_what_is_being_played_stays_with_all_that_follows() -> None:
    items = turns(*"uavbwa").items
    assert ids(old_part(items, keep_items=0, audible="b")) == "ua"


KINDS = st.sampled_from(["user", "said", "system", "call", "output"])


@given(
    st.lists(st.tuples(KINDS, st.integers(1, 3)), max_size=12),
    st.integers(0, 12) | st.none(),
    st.integers(0, 500) | st.none(),
    st.booleans(),
    st.sets(st.integers(1, 3)),
)
def test_whatever_it_is_made_of_rounds_stay_whole_and_the_end_stays(
    made_of: list[tuple[str, int]],
    keep_items: int | None,
    keep_ms: int | None,
    is_busy: bool,
    awaited: set[int],
) -> None:
    build: dict[str, Callable[[str, int], Item]] = {
        "user": lambda name, _: user(name, "x"),
        "said": lambda name, _: said(name),
        "system": lambda name, _: SystemMessage.text("x", id=name),
        "call": lambda name, number: made(name, f"call_{number}"),
        "output": lambda name, number: output(name, f"call_{number}"),
    }
    items = talk(*(build[kind](f"{at}", number) for at, (kind, number) in enumerate(made_of))).items
    old = old_part(
        items,
        keep_items=keep_items,
        keep_ms=keep_ms,
        is_busy=is_busy,
        is_open=lambda call_id: int(call_id[-1]) in awaited,
    )
    assert old == tuple(items[: len(old)])
    rest = tuple(items[len(old) :])
    assert len(rest) >= min(keep_items or 0, len(items))
    if rest and keep_ms:
        assert sum(map(talk_ms, rest)) >= min(keep_ms, sum(map(talk_ms, items)))
    answered_later = {item.call_id for item in rest if item.type == "function_call_output"}
    answered_before = {item.call_id for item in old if item.type == "function_call_output"}
    for item in old:
        if item.type == "function_call" and item.call_id not in answered_before:
            assert item.call_id not in answered_later
    if is_busy and items and not any(isinstance(item.snapshot, UserMessage) for item in items):
        assert old == ()
