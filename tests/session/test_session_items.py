"""What a session knows and keeps: items, the configuration, histories and costs."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import trio
from peers import failure, open_pair
from simulated import SLOW, buffered, only, open_simulated, records, sent, speech, types_sent
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from realtime_trio._session.items import ItemOrId, id_of
from realtime_trio._session.voice import Session
from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio._state.conversation.size import HistoryLimit
from realtime_trio._state.utility_events import (
    ItemCompleted,
    ItemDeleted,
    ItemEvent,
    ItemUpdated,
    TextDelta,
    ToolCallRequested,
)
from realtime_trio.errors import LocalProtocolError, ServerError, SessionClosed
from realtime_trio.events import (
    AssistantMessage,
    AudioConfig,
    AudioInputConfig,
    AudioOutputConfig,
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDeleted,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ConversationItemTruncated,
    Event,
    FunctionTool,
    InputText,
    Item,
    JsonObject,
    OutputAudio,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
    ServerVad,
    SessionConfig,
    SessionUpdate,
    SystemMessage,
    Transcription,
    UnknownObject,
    UserMessage,
)
from realtime_trio.simulator import Call, Reply

HELLO = UserMessage.text("Hello!", id="item_hello")


# Inserting, deleting, retrieving, truncating


async def test_an_inserted_item_is_in_the_conversation_when_the_call_returns(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated() as session:
        item = await session.insert_item(SystemMessage.text("Be brief."))
        assert item is session.conversation.get(item.id)
        assert (item.role, item.text, item.status) == ("system", "Be brief.", "completed")
        assert len(item.id) == 21
        assert (await session.insert_item(HELLO)).id == "item_hello"


@pytest.mark.parametrize(
    ("behind", "order"), [("root", "cab"), ("item_a", "acb"), ("item_b", "abc"), (None, "abc")]
)
async def test_an_item_can_be_inserted_anywhere(
    behind: str | None, order: str, autojump_clock: MockClock
) -> None:
    async with open_simulated() as session:
        for name in "ab":
            await session.insert_item(UserMessage.text(name, id=f"item_{name}"))
        await session.insert_item(AssistantMessage.text("c", id="item_c"), previous_item_id=behind)
        assert "".join(item.text for item in session.conversation.items) == order


async def test_an_item_is_refused_by_the_server_or_before_it_is_sent(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated() as session:
        wire = session.wire()
        with pytest.raises(ServerError) as caught:
            await session.insert_item(HELLO, previous_item_id="item_nobody")
        assert caught.value.code == "item_create_invalid_previous_item_id"
        with pytest.raises(ServerError):
            await session.insert_item(
                AssistantMessage(content=[OutputAudio(transcript="I cannot be made")])
            )
        assert types_sent(wire) == ["conversation.item.create"] * 2
        with pytest.raises(LocalProtocolError, match="known types"):
            await session.insert_item(UnknownObject("hologram", {"type": "hologram"}))
        with pytest.raises(LocalProtocolError):
            await session.insert_item(UserMessage(content=[InputText(5)]))  # type: ignore[arg-type]
        assert sent(wire) == []
        assert session.conversation.items == ()


UNMEANT: dict[str, tuple[Callable[[Any], Awaitable[object]], type[Exception], str]] = {
    "insert a text": (
        lambda s: s.insert_item("Hello"),
        TypeError,
        r'insert_item\(\) takes an item such as UserMessage.text\("Hello"\), not str',
    ),
    "insert nothing": (lambda s: s.insert_item(None), TypeError, "takes an item .*, not None"),
    "insert a class": (
        lambda s: s.insert_item(UserMessage),
        TypeError,
        "takes an item .*, not the class UserMessage",
    ),
    "insert after a number": (
        lambda s: s.insert_item(HELLO, previous_item_id=3),
        TypeError,
        "an item is named by its id or by itself, not by int",
    ),
    "delete nothing": (lambda s: s.delete_item(None), TypeError, "by itself, not by None"),
    "delete what has no id": (
        lambda s: s.delete_item(UserMessage.text("Hello")),
        LocalProtocolError,
        r"this item has no id, so nobody else knows it; insert_item\(\) returns one that has",
    ),
    "retrieve a number": (lambda s: s.retrieve_item(5), TypeError, "by itself, not by int"),
    "truncate a number": (lambda s: s.truncate(5, 100), TypeError, "by itself, not by int"),
    "truncate to a text": (
        lambda s: s.truncate("item_1", "100"),
        TypeError,
        "audio_end_ms must be 0 or more milliseconds, not str",
    ),
    "truncate to less than nothing": (
        lambda s: s.truncate("item_1", -5),
        LocalProtocolError,
        "audio_end_ms must be 0 or more milliseconds, not -5",
    ),
    "truncate to for ever": (
        lambda s: s.truncate("item_1", math.inf),
        LocalProtocolError,
        "audio_end_ms must be 0 or more milliseconds, not inf",
    ),
}


@pytest.mark.parametrize("case", UNMEANT)
async def test_what_cannot_be_meant_is_not_sent(case: str, autojump_clock: MockClock) -> None:
    do, error, said = UNMEANT[case]
    async with open_pair() as (session, server):
        with pytest.raises(error, match=said):
            await do(session)
    assert await server.hear_the_rest() == []


async def test_a_deleted_item_is_gone_when_the_call_returns(autojump_clock: MockClock) -> None:
    async with open_simulated() as session:
        told = session.events(ItemDeleted)
        item = await session.insert_item(HELLO)
        await session.delete_item(item.id)
        assert session.conversation.items == ()
        assert (await told.receive()).item is item
        with pytest.raises(ServerError) as caught:
            await session.delete_item(item.id)
        assert caught.value.code == "item_delete_invalid_item_id"


async def test_a_retrieved_item_brings_what_the_server_keeps(autojump_clock: MockClock) -> None:
    async with open_simulated(
        Reply.speech("Hello.", speech(400)), retention="all", turn_detection=None
    ) as session:
        answer = await session.ask("Speak!")
        item = await session.retrieve_item(str(answer.items[0].id))
        assert np.array_equal(item.audio, speech(400))
        assert (item.transcript, item.status) == ("Hello.", "completed")
        with pytest.raises(ServerError) as caught:
            await session.retrieve_item("item_nobody")
        assert caught.value.code == "item_retrieve_invalid_item_id"


async def test_a_truncated_item_is_cut_when_the_call_returns(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.speech("Hello.", speech(400))) as session:
        answer = await session.ask("Speak!")
        item_id = str(answer.items[0].id)
        with pytest.raises(ServerError, match="already shorter"):
            await session.truncate(item_id, 401)
        item = await session.truncate(item_id, 150)
        assert (item.audio_ms, item.heard_ms, item.transcript) == (150, 150, "")
        with pytest.raises(ServerError):
            await session.truncate(item_id, 100, content_index=1)
        with pytest.raises(ServerError) as caught:
            await session.truncate("item_nobody", 0)
        assert caught.value.code == "item_truncate_invalid_item_id"


def acknowledgement(event: Event) -> ServerEvent:
    match event:
        case ConversationItemCreate(item=UserMessage() as item):
            return ConversationItemAdded(event_id="event_1", item=item)
        case ConversationItemDelete(item_id=item_id):
            return ConversationItemDeleted(event_id="event_1", item_id=item_id)
        case ConversationItemRetrieve(item_id=item_id):
            return ConversationItemRetrieved(
                event_id="event_1", item=UserMessage.text("kept", id=item_id)
            )
        case ConversationItemTruncate(item_id=item_id):
            return ConversationItemTruncated(
                event_id="event_1", item_id=item_id, content_index=0, audio_end_ms=5
            )
        case _:
            raise AssertionError(event)


CALLS: list[Callable[[Session], Awaitable[object]]] = [
    lambda session: session.insert_item(HELLO),
    lambda session: session.delete_item("item_hello"),
    lambda session: session.retrieve_item("item_hello"),
    lambda session: session.truncate("item_hello", 5),
]


@pytest.mark.parametrize(
    ("number", "code"),
    [(1, "delete"), (2, "retrieve"), (3, "truncate")],
    ids=["delete", "retrieve", "truncate"],
)
async def test_a_refusal_that_does_not_name_the_event_is_told_by_the_item_it_quotes(
    number: int, code: str, autojump_clock: MockClock
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:

        async def refuse() -> None:
            await server.hear(ClientEvent)
            await server.say(
                failure(
                    "the item with id 'item_other' does not exist",
                    code=f"item_{code}_invalid_item_id",
                )
            )
            await server.say(
                failure(
                    "the item with id 'item_hello' does not exist",
                    code=f"item_{code}_invalid_item_id",
                )
            )

        nursery.start_soon(refuse)
        with pytest.raises(ServerError, match="item_hello") as caught:
            await CALLS[number](session)
        assert caught.value.event_id is not None


@pytest.mark.parametrize("number", range(4), ids=["insert", "delete", "retrieve", "truncate"])
async def test_what_concerns_an_item_may_be_cancelled_refused_or_ended_and_the_next_is_acknowledged(
    number: int, autojump_clock: MockClock
) -> None:
    outcomes: list[str] = []
    async with trio.open_nursery() as nursery, open_pair() as (session, server):

        async def call(name: str) -> None:
            await trio.lowlevel.checkpoint()
            try:
                await CALLS[number](session)
            except (ServerError, SessionClosed) as error:
                name += f" {type(error).__name__}"
            outcomes.append(name)

        await server.say(ConversationItemAdded(event_id="event_0", item=HELLO))
        with trio.move_on_after(1):
            await call("cancelled")
        for name in ("refused", "answered", "ended"):
            nursery.start_soon(call, name)
            await wait_all_tasks_blocked()
        cancelled, refused, answered, _ = [await server.hear(ClientEvent) for _ in range(4)]
        await server.say(failure("no", of=refused.event_id))
        await wait_all_tasks_blocked()
        assert outcomes == ["refused ServerError"]
        await server.say(acknowledgement(cancelled))
        await wait_all_tasks_blocked()
        assert outcomes == ["refused ServerError"]
        if number == 1:
            await server.say(ConversationItemAdded(event_id="event_0", item=HELLO))
        await server.say(acknowledgement(answered))
        await wait_all_tasks_blocked()
        assert outcomes == ["refused ServerError", "answered"]
    assert outcomes == ["refused ServerError", "answered", "ended SessionClosed"]


async def test_an_item_of_a_time_before_the_session_is_not_in_its_conversation(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:

        async def cut() -> None:
            await server.say(acknowledgement(await server.hear(ConversationItemTruncate)))

        nursery.start_soon(cut)
        with pytest.raises(
            LocalProtocolError, match="there is no item 'item_hello' in the conversation"
        ):
            await session.truncate("item_hello", 5)


@pytest.mark.parametrize(
    ("which", "problem"),
    [
        ("item_of_somebody_else", "there is no item 'item_of_somebody_else' in the conversation"),
        ("user", "is not an assistant message"),
        ("function_call", "is not an assistant message"),
        ("written", "has no audio that could be cut"),
    ],
)
async def test_what_cannot_be_cut_is_refused_before_anything_is_cancelled(
    which: str, problem: str, autojump_clock: MockClock
) -> None:
    reply = Reply.text("Let me look.").then(Reply.call("get_weather"))
    async with open_simulated(
        reply, Reply.text("Slow.", pacing=SLOW), output_modalities=("text",)
    ) as session:
        done = session.events(ResponseDone)
        await session.send_message("Hello!")
        await done.receive()
        user, written, call = session.conversation.items
        await session.respond()
        await session.wait_for(ResponseCreated)
        wire = session.wire()
        records(wire)
        ids = {"user": user.id, "written": written.id, "function_call": call.id}
        with pytest.raises(LocalProtocolError, match=problem):
            await session.cancel_response(ids.get(which, which), 100)
        assert (await done.receive()).response.status == "completed"
        assert sent(wire) == []


@pytest.mark.parametrize("audio_ms", [0, 1])
async def test_speech_that_has_not_come_cannot_be_cut(
    audio_ms: int, autojump_clock: MockClock
) -> None:
    async with open_pair() as (session, server):
        part = OutputAudio(transcript="Hello.", audio=speech(audio_ms))
        item = AssistantMessage(content=[part], id="item_1", status="completed")
        await server.say(ConversationItemAdded(event_id="event_1", item=item))
        await wait_all_tasks_blocked()
        if audio_ms == 0:
            with pytest.raises(LocalProtocolError, match="'item_1' has no audio that could be cut"):
                await session.cancel_response("item_1", 0)
        else:
            assert (await session.cancel_response("item_1", 0)) is not None
            assert (await server.hear(ConversationItemTruncate)).audio_end_ms == 0


async def test_an_interruption_of_the_librarys_own_does_not_answer_a_truncation_that_is_awaited(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.speech("Hello.", speech(400))) as session:
        wire = session.wire()
        answer = await session.ask("Speak!")
        item_id = str(answer.items[0].id)
        await session.cancel_response(item_id, 24 * 300)
        item = await session.truncate(item_id, 100)
        assert item.heard_ms == 100
        assert [
            event.audio_end_ms
            for event in sent(wire)
            if isinstance(event, ConversationItemTruncate)
        ] == [300, 100]


@pytest.mark.parametrize(
    "item",
    ["item_1", UserMessage.text("Hello!", id="item_1"), ConversationItem("item_1", "message")],
)
def test_an_item_is_named_by_its_id_or_by_itself(item: ItemOrId) -> None:
    assert id_of(item) == "item_1"


async def test_everything_that_concerns_items_is_a_checkpoint(autojump_clock: MockClock) -> None:
    async with open_simulated(
        Reply.calls(Call("look", call_id="call_1")), Reply.speech("Hello.", speech(400))
    ) as session:
        calls, done = session.events(ToolCallRequested), session.events(ResponseDone)
        await session.respond()
        await calls.receive()
        with assert_checkpoints():
            await session.send_tool_output("call_1", "{}")
        for _ in range(2):
            await done.receive()
        spoken = session.conversation.items[-1]
        for call in (
            partial(session.insert_item, HELLO),
            partial(session.retrieve_item, "item_hello"),
            partial(session.delete_item, "item_hello"),
            partial(session.truncate, spoken.id, 100),
            session.update,
        ):
            with assert_checkpoints():
                await call()


# The configuration


async def test_only_what_differs_is_sent_and_nothing_if_nothing_does(
    autojump_clock: MockClock,
) -> None:
    vad = ServerVad(
        threshold=0.7,
        prefix_padding_ms=300,
        silence_duration_ms=500,
        create_response=True,
        interrupt_response=True,
    )
    async with open_simulated(voice="marin", instructions="Be brief.", speed=1.2) as session:
        wire = session.wire()
        sent(wire)
        await session.update(
            voice="marin", instructions="Be quick.", speed=1.2, max_output_tokens="inf"
        )
        assert only(SessionUpdate, sent(wire)).session == SessionConfig(instructions="Be quick.")
        await session.update(voice="cedar", instructions="Be quick.", turn_detection=None)
        assert only(SessionUpdate, sent(wire)).session == SessionConfig(
            audio=AudioConfig(
                input=AudioInputConfig(turn_detection=None), output=AudioOutputConfig(voice="cedar")
            )
        )
        assert (
            await session.update(voice="cedar", turn_detection=None, transcription=None)
            is session.config
        )
        assert await session.update() is session.config
        assert sent(wire) == []
        await session.update(turn_detection=vad, transcription=Transcription(model="whisper-1"))
        sent(wire)
        await session.update(turn_detection=None)
        assert only(SessionUpdate, sent(wire)).session == SessionConfig.of(turn_detection=None)


async def update_twice(session: Session, nursery: trio.Nursery) -> None:
    """Both are sent before the first is answered, since what a task starts runs after it."""
    nursery.start_soon(partial(session.update, instructions="one"))
    await session.update(instructions="two")


async def test_while_an_update_is_under_way_everything_is_sent_that_was_asked_for(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(instructions="one", speed=1.2) as session:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(update_twice, session, nursery)
        assert session.config.instructions == "one"


async def test_tools_stay_until_others_take_their_place(autojump_clock: MockClock) -> None:
    tool = FunctionTool(
        name="look", description="Look around.", parameters={"type": "object", "properties": {}}
    )
    async with open_simulated(tools=[tool]) as session:
        assert session.config.tools == (tool,)
        await session.update(instructions="Be brief.")
        assert session.config.tools == (tool,)
        await session.update(tools=[])
        assert session.config.tools is not None
        assert len(session.config.tools) == 0


async def test_the_voice_is_free_until_the_model_has_spoken_and_can_be_repeated_after_that(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("Hello."), Reply.text("Hello.")) as session:
        await session.ask("Write!", output_modalities=("text",))
        await session.update(voice="cedar")
        await session.ask("Speak!")
        wire = session.wire()
        sent(wire)
        with pytest.raises(LocalProtocolError, match="voice cannot change any more"):
            await session.update(voice="marin", instructions="Be brief.")
        assert sent(wire) == []
        assert (
            await session.update(voice="cedar", instructions="Be brief.")
        ).instructions == "Be brief."
        assert (await session.update(speed=1.1)).audio is not None


async def test_what_only_the_server_knows_to_be_wrong_is_an_error_with_the_parameter(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated() as session:
        with pytest.raises(ServerError) as caught:
            await session.update(speed=9.0)
        assert caught.value.param == "session.audio.output.speed"
        assert session.config.audio is not None
        assert session.config.audio.output is not None
        assert session.config.audio.output.speed == 1.0


# Histories


async def test_a_conversation_can_be_continued_in_another_session(
    autojump_clock: MockClock,
) -> None:
    replies = (
        Reply.text("It is sunny."),
        Reply.calls(Call("look", call_id="call_1")),
        Reply.text("A tree."),
    )
    async with open_simulated(
        *replies,
        transcripts=["How is the weather?"],
        turn_detection=None,
        transcription=Transcription(),
    ) as session:
        calls, done = session.events(ToolCallRequested), session.events(ResponseDone)
        async with session.user_turn():
            await session.append_audio(speech(500))
        await done.receive()
        await session.send_message("What do you see?")
        await calls.receive()
        await session.send_tool_output("call_1", "a tree")
        for _ in range(2):
            await done.receive()
        history = session.conversation.export()
        spoken = [
            (item.role, item.text or item.transcript or item.output)
            for item in session.conversation.items
        ]
    async with open_simulated(history=history, output_modalities=("text",)) as session:
        answer = await session.ask("And now?")
        assert answer.text == "You said: And now?"
        continued = [
            (item.role, item.text or item.transcript or item.output)
            for item in session.conversation.items
        ]
        assert continued[:-2] == spoken
        assert [item.id for item in session.conversation.items][: len(history)] == [
            entry["id"] for entry in history
        ]
        assert [(omission.index, omission.what) for omission in session.omissions] == [
            (0, "audio"),
            (1, "audio"),
            (5, "audio"),
        ]


async def test_what_of_a_history_cannot_be_replayed_is_said(autojump_clock: MockClock) -> None:
    history: list[JsonObject] = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]},
        {
            "type": "function_call",
            "id": "item_call",
            "name": "look",
            "call_id": "call_1",
            "arguments": "{}",
        },
        {"type": "hologram"},
    ]
    async with open_simulated(history=history) as session:
        assert [(omission.index, omission.item_id) for omission in session.omissions] == [
            (1, "item_call"),
            (2, None),
        ]
        await session.ask()
        assert [item.text or item.role for item in session.conversation.items][:1] == ["Hello!"]


async def test_of_a_history_that_is_too_long_the_oldest_part_is_summarized(
    autojump_clock: MockClock,
) -> None:
    history: list[JsonObject] = [
        {
            "type": "message",
            "role": "user",
            "id": f"item_{number}",
            "content": [{"type": "input_text", "text": str(number)}],
        }
        for number in range(5)
    ]

    async def summarize(items: Sequence[Item]) -> str:
        await trio.sleep(1)
        return f"The first {len(items)} numbers were said."

    limit = HistoryLimit(items=3, summarize=summarize)
    async with open_simulated(history=history, history_limit=limit) as session:
        assert [(item.role, item.text) for item in session.conversation.items] == [
            ("system", "The first 3 numbers were said."),
            ("user", "3"),
            ("user", "4"),
        ]
        assert [(omission.index, omission.what) for omission in session.omissions] == [
            (index, "item") for index in range(3)
        ]


async def test_a_summary_that_fails_is_the_callers_affair(autojump_clock: MockClock) -> None:
    async def fail(items: Sequence[Item]) -> str:  # noqa: ASYNC124
        raise ZeroDivisionError

    limit = HistoryLimit(items=0, summarize=fail)
    history: list[JsonObject] = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}
    ]
    with pytest.raises(ZeroDivisionError):
        async with open_simulated(history=history, history_limit=limit):
            pytest.fail("not reached")


# Costs


async def test_what_a_session_has_cost_is_summed_up(autojump_clock: MockClock) -> None:
    async with open_simulated(
        Reply.text("One."),
        Reply.text("Two."),
        transcripts=["Well?"],
        turn_detection=None,
        transcription=Transcription(model="whisper-1"),
    ) as session:
        assert (session.usage.responses, dict(session.rate_limits)) == (0, {})
        first = await session.ask("Hello!")
        await session.append_audio(speech(1500))
        second = await session.ask()
        assert first.usage is not None
        assert second.usage is not None
        assert session.usage.responses == 2
        assert session.usage.total_tokens == first.usage.total_tokens + second.usage.total_tokens
        assert session.usage.output_audio_tokens > 0
        assert (session.usage.transcriptions, session.usage.transcription_seconds) == (1, 1.5)
        await wait_all_tasks_blocked()
        assert {name: limit.name for name, limit in session.rate_limits.items()} == {
            "tokens": "tokens"
        }
    assert session.usage.responses == 2


async def test_an_interrupted_response_is_billed_too(autojump_clock: MockClock) -> None:
    async with (
        open_simulated(Reply.text("A very long story.", pacing=SLOW)) as session,
        session.open_response() as response,
    ):
        async for _ in response:
            break
        await session.cancel_response()
        answer = await response.wait()
        assert answer.status == "cancelled"
        assert answer.usage is not None
        assert session.usage.total_tokens == answer.usage.total_tokens


async def test_without_retention_the_conversation_knows_how_long_it_was_and_keeps_no_audio(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(
        Reply.speech("Hello.", speech(400)), retention="none", turn_detection=None
    ) as session:
        await session.append_audio(speech(300))
        await session.ask()
        assert [(item.audio_ms, len(item.audio)) for item in session.conversation.items] == [
            (300, 0),
            (400, 0),
        ]


async def test_updates_are_made_for_those_who_ask_for_them(autojump_clock: MockClock) -> None:
    async with open_simulated(
        Reply.text("One two three."), turn_detection=None, output_modalities=["text"]
    ) as session:
        with session.events(ItemCompleted):
            assert not session._hub.wants(ItemUpdated)
            with session.events(ItemEvent) as changes:
                assert session._hub.wants(ItemUpdated)
                await session.ask("Count!")
                said = [
                    event.delta.text
                    for event in buffered(changes)
                    if isinstance(event, ItemUpdated) and isinstance(event.delta, TextDelta)
                ]
    assert "".join(said) == "One two three."
