"""A conversation that goes on is made shorter, whole turns at a time, and never in the middle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from conversation_events import added
from peers import failure, open_pair
from simulated import open_simulated, records, sent, speech
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio._state.conversation.old_part import Compaction
from realtime_trio._state.utility_events import ItemAppended, ItemDeleted, ToolCallRequested
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio.errors import LocalProtocolError, RequestTimeout, ServerError, SessionClosed
from realtime_trio.events import (
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    FunctionTool,
    Item,
    RetentionRatio,
    SystemMessage,
    TokenLimits,
    UserMessage,
)
from realtime_trio.playback import Playback
from realtime_trio.simulator import Call, Reply, Script, SimulatedServer, run_server


async def fill(session: Session, count: int) -> None:  # noqa: ASYNC910 - nobody gives 0
    for number in range(count):
        await session.insert_item(UserMessage.text(str(number), id=f"item_{number}"))


def said(session: Session) -> list[str]:
    return [item.text or item.transcript or item.type or "" for item in session.conversation.items]


async def in_short(items: Sequence[Item]) -> str:
    await trio.lowlevel.checkpoint()
    texts = [item.content[0].text for item in items if isinstance(item, UserMessage)]  # type: ignore[union-attr]
    return f"before: {' '.join(texts)}"


async def test_the_old_part_is_deleted_and_a_summary_stands_in_its_place(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated() as session:
        await fill(session, 5)
        done = await session.compact(keep_items=2, summarize=in_short)
        assert said(session) == ["before: 0 1 2", "3", "4"]
        assert [item.text for item in done.removed] == ["0", "1", "2"]
        assert done.summary is session.conversation.items[0]
        assert done.summary.role == "system"
        # The server says so as well: what it does not have cannot be retrieved.
        for item in session.conversation.items:
            await session.retrieve_item(item)
        with pytest.raises(ServerError):
            await session.retrieve_item("item_0")


async def test_without_a_summary_the_old_part_just_goes(autojump_clock: MockClock) -> None:
    async with open_simulated() as session:
        await fill(session, 3)
        done = await session.compact(keep_items=1)
        assert (len(done.removed), done.summary) == (2, None)
        assert said(session) == ["2"]


async def test_an_empty_summary_is_none(autojump_clock: MockClock) -> None:
    async def nothing(items: Sequence[Item]) -> str:
        await trio.lowlevel.checkpoint()
        return " "

    async with open_simulated() as session:
        await fill(session, 3)
        done = await session.compact(keep_items=1, summarize=nothing)
        assert done.summary is None
        assert said(session) == ["2"]


async def test_if_nothing_is_old_nothing_happens(autojump_clock: MockClock) -> None:
    async def never(items: Sequence[Item]) -> str:
        await trio.lowlevel.checkpoint()
        raise AssertionError

    async with open_simulated() as session:
        wire = session.wire()
        await fill(session, 2)
        records(wire)
        with assert_checkpoints():
            assert await session.compact(keep_items=2, summarize=never) == Compaction()
        assert sent(wire) == []


async def test_what_has_no_words_is_not_summarized(autojump_clock: MockClock) -> None:
    async def never(items: Sequence[Item]) -> str:
        await trio.lowlevel.checkpoint()
        raise AssertionError

    async with open_simulated(turn_detection=None, retention="none") as session:
        await session.append_audio(speech(500))
        await session.commit_audio()
        await fill(session, 1)
        done = await session.compact(keep_items=1, summarize=never)
        assert (len(done.removed), done.summary) == (1, None)
        assert said(session) == ["0"]


async def test_speech_is_kept_by_how_long_it_is(autojump_clock: MockClock) -> None:
    replies = [Reply.speech(text, speech(1000)) for text in ("One.", "Two.", "Three.")]
    async with open_simulated(*replies) as session:
        for _ in replies:
            await session.ask("x" * 10)
        await trio.sleep(10)  # until all of it was heard
        await session.compact(keep_ms=1500)
        assert said(session) == ["x" * 10, "Three."]


async def test_a_summary_is_told_what_was_heard_and_may_ask_the_session_itself(
    autojump_clock: MockClock,
) -> None:
    told: list[Item] = []
    replies = [
        Reply.speech("one two three four", speech(1000)),
        Reply.text("They were counting."),
    ]
    async with open_simulated(*replies) as session:
        await session.ask("Count!")
        await session.truncate(session.conversation.items[-1], 500)

        async def ask(items: Sequence[Item]) -> str:
            told.extend(items)
            async with session.open_response(
                instructions="Put it in short.",
                conversation="none",
                input=items,
                output_modalities=("text",),
            ) as response:
                return (await response.wait()).text

        await session.compact(keep_items=0, summarize=ask)
        assert said(session) == ["They were counting."]
    assert [item.content[0].text for item in told] == ["Count!", "one two"]  # type: ignore[union-attr]


# --- the active turn ------------------------------------------------------------------------------


async def test_a_turn_that_is_going_on_stays(autojump_clock: MockClock) -> None:
    async with open_simulated(
        Reply.text("One."), Reply.text("A long story."), output_modalities=("text",)
    ) as session:
        await session.ask("1?")
        await session.insert_item(UserMessage.text("2?"))
        async with session.open_response():
            done = await session.compact(keep_items=0)
            assert [item.text for item in done.removed] == ["1?", "One."]
        assert said(session) == ["2?", "A long story."]


async def test_a_tool_that_is_at_work_keeps_its_turn(autojump_clock: MockClock) -> None:
    release = trio.Event()

    async def look() -> str:
        """Look around."""
        await release.wait()
        return "a tree"

    script = [Reply.text("Hi."), Reply.calls(Call("look")), Reply.text("I see a tree.")]
    async with (
        open_simulated(*script, tools=[look], output_modalities=("text",)) as session,
        trio.open_nursery() as nursery,
    ):
        await session.ask("Hello?")
        calls = session.events(ToolCallRequested)
        nursery.start_soon(session.ask, "What do you see?")
        await calls.receive()
        await wait_all_tasks_blocked()
        done = await session.compact(keep_items=0)
        assert [item.text for item in done.removed] == ["Hello?", "Hi."]
        release.set()
    assert said(session)[0] == "What do you see?"
    assert said(session)[-1] == "I see a tree."


async def test_a_call_that_the_application_answers_keeps_its_turn(
    autojump_clock: MockClock,
) -> None:
    tool = FunctionTool(name="look", parameters={"type": "object", "properties": {}})
    script = [Reply.calls(Call("look", call_id="call_1")), Reply.text("A tree.")]
    async with open_simulated(*script, tools=[tool], output_modalities=("text",)) as session:
        calls = session.events(ToolCallRequested)
        await session.send_message("Well?")
        await calls.receive()
        await wait_all_tasks_blocked()
        assert (await session.compact(keep_items=0)).removed == ()
        await session.send_tool_output("call_1", "a tree")
        await wait_all_tasks_blocked()
        assert said(session)[-1] == "A tree."
        assert len((await session.compact(keep_items=0)).removed) == 4


async def test_what_is_still_being_played_stays(autojump_clock: MockClock) -> None:
    playback = Playback()
    replies = [Reply.speech("One.", speech(1000)), Reply.speech("Two.", speech(1000))]
    async with open_simulated(*replies, playback=playback) as session:
        await session.ask("1?")
        await session.ask("2?")
        playback.take(30_000)  # the first, and a quarter of the second
        assert len((await session.compact(keep_items=0)).removed) == 2
        assert said(session) == ["2?", "Two."]
        playback.take(30_000)
        assert len((await session.compact(keep_items=0)).removed) == 2


async def test_what_may_still_be_audible_stays(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.speech("One.", speech(1000))) as session:
        await session.ask("1?")
        assert (await session.compact(keep_items=0)).removed == ()
        await trio.sleep(5)
        assert len((await session.compact(keep_items=0)).removed) == 2


async def test_the_conversation_goes_on_while_a_summary_is_made(
    autojump_clock: MockClock,
) -> None:
    started, release = trio.Event(), trio.Event()

    async def slowly(items: Sequence[Item]) -> str:
        started.set()
        await release.wait()
        return "in short"

    async with open_simulated(Reply.text("Yes.")) as session, trio.open_nursery() as nursery:
        await fill(session, 4)
        nursery.start_soon(lambda: session.compact(keep_items=1, summarize=slowly))
        await started.wait()
        await session.ask("Still there?")
        await session.delete_item("item_2")
        release.set()
    assert said(session) == ["in short", "3", "Still there?", "Yes."]


async def test_what_was_deleted_by_others_meanwhile_needs_no_summary(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated() as session:
        await fill(session, 1)

        async def delete(items: Sequence[Item]) -> str:
            await session.delete_item("item_0")
            return "in short"

        assert await session.compact(keep_items=0, summarize=delete) == Compaction()
        assert said(session) == []


async def test_two_at_once_take_turns(autojump_clock: MockClock) -> None:
    asked: list[int] = []

    async def count(items: Sequence[Item]) -> str:
        asked.append(len(items))
        await trio.sleep(1)
        return f"{len(items)} things"

    async with open_simulated() as session:
        await fill(session, 6)
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(lambda: session.compact(keep_items=2, summarize=count))
        # The second one found a summary and two items, and has put the summary in short again.
        assert asked == [4, 1]
        assert said(session) == ["1 things", "4", "5"]


async def test_a_summary_is_read_also_where_the_service_leaves_out_what_is_old(
    autojump_clock: MockClock,
) -> None:
    async def count(items: Sequence[Item]) -> str:
        await trio.lowlevel.checkpoint()
        return f"before: {len(items)} messages"

    server = SimulatedServer(Script([Reply.text("Yes.") for _ in range(6)]))
    near, far = memory_transport_pair()
    ratio = RetentionRatio(retention_ratio=0.5, token_limits=TokenLimits(post_instructions=60))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_server, far, server)
        async with open_session(
            transport=near, truncation=ratio, output_modalities=("text",)
        ) as session:
            for number in range(5):
                await session.ask(f"{number} " + "x" * 60)
            entries = server._conversation._entries
            assert [entry.is_left_out for entry in entries[:6]].count(True) == 5
            done = await session.compact(keep_items=2, summarize=count)
            # What the model does not see any more is told in the summary, and that is seen.
            assert len(done.removed) == 8
            assert done.summary is not None
            assert done.summary.text == "before: 8 messages"
            await session.ask("Well?")
            entries = server._conversation._entries
            assert [entry.id for entry in entries] == [
                item.id for item in session.conversation.items
            ]
            assert not any(entry.is_left_out for entry in entries)


# --- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({}, LocalProtocolError, "either keep_items or keep_ms"),
        ({"keep_items": 1, "keep_ms": 1}, LocalProtocolError, "either keep_items or keep_ms"),
        ({"keep_items": -1}, LocalProtocolError, "keep_items must be 0 or more items, not -1"),
        ({"keep_items": 1.5}, TypeError, "keep_items must be 0 or more items, not float"),
        ({"keep_items": True}, TypeError, "keep_items must be 0 or more items, not bool"),
        ({"keep_ms": -1}, LocalProtocolError, "keep_ms must be 0 or more milliseconds, not -1"),
        ({"keep_ms": float("inf")}, LocalProtocolError, "0 or more milliseconds, not inf"),
        ({"keep_ms": "all"}, TypeError, "keep_ms must be 0 or more milliseconds, not str"),
        ({"keep_items": 1, "summarize": "x"}, TypeError, "summarize must be an async function"),
    ],
)
async def test_arguments_that_make_no_sense_are_refused(
    arguments: dict[str, Any], error: type[Exception], match: str, autojump_clock: MockClock
) -> None:
    async with open_simulated() as session:
        with pytest.raises(error, match=match):
            await session.compact(**arguments)


async def test_a_summary_is_a_text(autojump_clock: MockClock) -> None:
    async def wrong(items: Sequence[Item]) -> Any:
        await trio.lowlevel.checkpoint()

    async with open_simulated() as session:
        await fill(session, 2)
        with pytest.raises(TypeError, match="summarize must return a text, not None"):
            await session.compact(keep_items=0, summarize=wrong)
        assert said(session) == ["0", "1"]


async def test_a_summary_that_fails_leaves_everything_as_it_was(
    autojump_clock: MockClock,
) -> None:
    async def fail(items: Sequence[Item]) -> str:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    async with open_simulated() as session:
        await fill(session, 2)
        with pytest.raises(ZeroDivisionError):
            await session.compact(keep_items=0, summarize=fail)
        assert said(session) == ["0", "1"]
        assert len((await session.compact(keep_items=0)).removed) == 2


async def test_after_the_end_nothing_can_be_compacted(autojump_clock: MockClock) -> None:
    async with open_simulated() as session:
        pass
    with pytest.raises(SessionClosed):
        await session.compact(keep_items=0)


async def test_a_summary_that_is_refused_deletes_nothing(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        await two_items(session, server)

        async def refuse() -> None:
            create = await server.hear(ConversationItemCreate)
            await server.say(failure("no", code="nope", of=create.event_id))

        nursery.start_soon(refuse)
        with pytest.raises(ServerError, match="no"):
            await session.compact(keep_items=0, summarize=in_short)
        assert said(session) == ["0", "1"]


async def two_items(session: Session, server: Any) -> None:
    stream = session.events(ItemAppended)
    await server.say(added(UserMessage.text("0", id="item_0")))
    await server.say(added(UserMessage.text("1", id="item_1"), "item_0"))
    await stream.receive()
    await stream.receive()


@pytest.mark.parametrize("is_gone", [True, False])
async def test_a_deletion_that_is_refused_is_an_error_unless_the_item_is_gone(
    is_gone: bool, autojump_clock: MockClock
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        await two_items(session, server)

        async def refuse() -> None:
            first = await server.hear(ConversationItemDelete)
            second = await server.hear(ConversationItemDelete)
            if is_gone:
                await server.say(ConversationItemDeleted(event_id="e", item_id=first.item_id))
            await server.say(failure("no such item", code="nope", of=first.event_id))
            await server.say(ConversationItemDeleted(event_id="e", item_id=second.item_id))

        nursery.start_soon(refuse)
        if is_gone:
            await session.compact(keep_items=0)
        else:
            with pytest.raises(ServerError, match="no such item") as caught:
                await session.compact(keep_items=0)
            assert caught.value.__notes__ == ["1 of 2 items were deleted"]


async def test_a_server_that_does_not_answer_is_not_waited_for(autojump_clock: MockClock) -> None:
    async with open_pair(request_timeout=1.0) as (session, server):
        wire = session.wire()
        await two_items(session, server)
        with pytest.raises(RequestTimeout):
            await session.compact(keep_items=0, summarize=in_short)
        create, delete = sent(wire)
        assert isinstance(create, ConversationItemCreate)
        assert isinstance(delete, ConversationItemDelete)
        assert delete.item_id == create.item.id


async def test_cancelled_before_the_summary_is_taken_it_is_taken_back(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):
        wire = session.wire()
        await two_items(session, server)
        with trio.move_on_after(1):
            await session.compact(keep_items=0, summarize=in_short)
        create, delete = sent(wire)
        assert isinstance(create, ConversationItemCreate)
        assert create.previous_item_id == "item_1"
        assert isinstance(delete, ConversationItemDelete)
        assert delete.item_id == create.item.id
        assert said(session) == ["0", "1"]


async def test_cancelled_before_the_summary_is_sent_nothing_is_sent(
    autojump_clock: MockClock,
) -> None:
    async def forever(items: Sequence[Item]) -> str:
        await trio.sleep_forever()
        raise AssertionError

    async with open_pair() as (session, server):
        wire = session.wire()
        await two_items(session, server)
        with trio.move_on_after(1):
            await session.compact(keep_items=0, summarize=forever)
        assert sent(wire) == []


async def test_cancelled_while_deletions_are_waited_for_all_of_them_are_made(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):
        await two_items(session, server)
        with trio.move_on_after(1):
            await session.compact(keep_items=0)
        gone = session.events(ItemDeleted)
        for _ in range(2):
            delete = await server.hear(ConversationItemDelete)
            await server.say(ConversationItemDeleted(event_id="e", item_id=delete.item_id))
            await gone.receive()
        assert said(session) == []


async def test_more_than_waits_in_a_queue_is_deleted_in_one_go(autojump_clock: MockClock) -> None:
    async with open_simulated() as session:
        await fill(session, 600)
        assert len((await session.compact(keep_items=100, summarize=in_short)).removed) == 500
        assert len(session.conversation.items) == 101


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20])
async def test_cancelled_after_any_number_of_steps_it_is_done_or_not(
    after: int, autojump_clock: MockClock
) -> None:
    async with open_simulated() as session:
        await fill(session, 4)
        with trio.CancelScope() as scope:

            async def cancel() -> None:  # noqa: ASYNC910 - 0 is at once
                for _ in range(after):
                    await trio.lowlevel.checkpoint()
                scope.cancel()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel)
                await session.compact(keep_items=1, summarize=in_short)
        await wait_all_tasks_blocked()
        assert said(session) in (["0", "1", "2", "3"], ["before: 0 1 2", "3"])
        # What the server has is what is here.
        await session.insert_item(SystemMessage.text("end"))
        for item in session.conversation.items:
            await session.retrieve_item(item)
