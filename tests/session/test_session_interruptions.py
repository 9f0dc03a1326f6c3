"""Interrupting the model, and cancelling whoever talks at every step."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
from peers import CancelAt, failure, open_pair, tasks
from simulated import SLOW, buffered, only, open_simulated, records, sent, speech, types_sent
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from realtime_trio._session.responses import Answer
from realtime_trio._session.voice import Session
from realtime_trio._state.utility_events import Interrupted, ToolCallRequested
from realtime_trio.errors import LocalProtocolError, ServerError
from realtime_trio.events import (
    AudioFormat,
    ConversationItemTruncate,
    ErrorEvent,
    InputAudioBufferAppend,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    Response,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputItemAdded,
    ServerEvent,
    ServerVad,
    UserMessage,
)
from realtime_trio.simulator import Call, Reply, synthesize_speech

ALREADY_ACTIVE = "conversation_already_has_active_response"


def begun(create: ResponseCreate | None, response_id: str = "resp_1") -> Response:
    metadata = (
        create.response.metadata if create is not None and create.response is not None else None
    )
    return Response(id=response_id, conversation_id="conv_1", metadata=metadata)


# Interrupting


async def spoken_item(session: Session) -> str:
    """Ask the model to speak, and wait until it has spoken for 600 ms."""
    deltas = session.events(ResponseOutputAudioDelta)
    await session.send_message("Speak!")
    for _ in range(3):
        delta = await deltas.receive()
    return delta.item_id


async def test_interrupting_cancels_and_cuts_to_what_was_heard(autojump_clock: MockClock) -> None:
    async with open_simulated(
        Reply.speech("Once upon a time.", speech(5000), pacing=SLOW)
    ) as session:
        item_id = await spoken_item(session)
        wire, done = session.wire(), session.events(ResponseDone)
        item = await session.cancel_response(item_id, 7201)
        assert item is session.conversation.get(item_id)
        assert (await done.receive()).response.status == "cancelled"
        await wait_all_tasks_blocked()
        events = [
            event
            for event in sent(wire)
            if isinstance(event, ResponseCancel | ConversationItemTruncate)
        ]
        assert [event.type for event in events] == ["response.cancel", "conversation.item.truncate"]
        truncate = only(ConversationItemTruncate, events)
        assert (truncate.item_id, truncate.content_index, truncate.audio_end_ms) == (
            item_id,
            0,
            300,
        )
        assert item is not None
        assert (item.audio_ms, item.heard_ms, item.transcript, item.is_interrupted) == (
            300,
            300,
            "",
            True,
        )


@pytest.mark.parametrize(
    ("samples", "milliseconds"),
    [(14399, 599), (14375.6, 599), (23, 0), (0, 0), (-5, 0)],
    ids=str,
)
async def test_what_was_heard_is_whole_milliseconds(
    samples: float, milliseconds: int, autojump_clock: MockClock
) -> None:
    async with open_simulated(Reply.speech("Once upon a time.", speech(600))) as session:
        answer = await session.ask("Speak!")
        wire, errors = session.wire(), session.events(ErrorEvent)
        await session.cancel_response(answer.items[0].id, samples)
        await wait_all_tasks_blocked()
        assert [event.type for event in sent(wire)][-1] == "conversation.item.truncate"
        item = session.conversation.items[1]
        assert (item.audio_ms, item.heard_ms) == (milliseconds, milliseconds)
        assert errors.pending == 0


@pytest.mark.parametrize("samples", [14400, 14399.5, 24001])
async def test_an_answer_that_was_heard_whole_is_left_alone(
    samples: float, autojump_clock: MockClock
) -> None:
    async with open_simulated(Reply.speech("Once upon a time.", speech(600))) as session:
        answer = await session.ask("Speak!")
        wire = session.wire()
        item = await session.cancel_response(answer.items[0].id, samples)
        await wait_all_tasks_blocked()
        assert types_sent(wire) == []
        assert item is not None
        assert (item.transcript, item.heard_ms) == ("Once upon a time.", None)


async def test_no_more_is_cut_off_than_has_arrived(autojump_clock: MockClock) -> None:
    async with open_simulated(
        Reply.speech("Once upon a time.", speech(5000), pacing=SLOW)
    ) as session:
        item_id = await spoken_item(session)
        errors = session.events(ErrorEvent)
        item = await session.cancel_response(item_id, 24 * 60_000)
        await wait_all_tasks_blocked()
        assert item is not None
        assert item.heard_ms == 600  # the server has sent no more, but said more
        assert errors.pending == 0


@pytest.mark.parametrize("samples", [math.nan, math.inf, -math.inf])
async def test_a_count_that_is_none_is_refused_before_anything_is_sent(
    samples: float, autojump_clock: MockClock
) -> None:
    async with open_simulated(
        Reply.speech("Once upon a time.", speech(5000), pacing=SLOW)
    ) as session:
        item_id = await spoken_item(session)
        wire = session.wire()
        before = types_sent(wire)
        with pytest.raises(LocalProtocolError, match="cannot have been played"):
            await session.cancel_response(item_id, samples)
        await wait_all_tasks_blocked()
        assert "response.cancel" not in [*before, *types_sent(wire)]


async def test_speech_after_an_answer_that_was_heard_erases_nothing(
    autojump_clock: MockClock,
) -> None:
    """As in the guide: on every `Interrupted` the player's count is handed on."""
    async with open_simulated(
        Reply.speech("Once upon a time.", speech(600)),
        Reply.text("Yes?"),
        turn_detection=ServerVad(),
    ) as session:
        await session.ask("Speak!")
        await trio.sleep(300)
        with session.events(Interrupted) as interruptions:
            await session.append_audio(synthesize_speech("Where is my parcel?"))
            interrupted = await interruptions.receive()
        assert interrupted.item is None
        assert session.conversation.items[1].transcript == "Once upon a time."


async def test_samples_of_telephony_count_at_its_own_rate(autojump_clock: MockClock) -> None:
    async with open_simulated(
        Reply.speech("Hello.", speech(600)), output_format=AudioFormat.pcma()
    ) as session:
        answer = await session.ask("Speak!")
        await session.cancel_response(answer.items[0].id, 8 * 250)
        await wait_all_tasks_blocked()
        assert session.conversation.items[1].heard_ms == 250


async def test_without_an_item_the_response_is_cancelled_and_nothing_is_cut(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("Once upon a time.", pacing=SLOW)) as session:
        wire, done = session.wire(), session.events(ResponseDone)
        await session.send_message("Speak!")
        created_event = await session.wait_for(ResponseCreated)
        assert await session.cancel_response() is None
        assert (await done.receive()).response.status == "cancelled"
        cancel = only(ResponseCancel, sent(wire))
        assert cancel.response_id == created_event.response.id


async def test_where_nothing_is_active_nothing_is_cancelled(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.text("Once.", pacing=SLOW)) as session:
        wire, done = session.wire(), session.events(ResponseDone)
        await session.cancel_response()
        await session.respond()
        await session.wait_for(ResponseOutputItemAdded)
        await session.cancel_response()
        await session.cancel_response()
        await done.receive()
        await session.cancel_response()
        await wait_all_tasks_blocked()
        assert types_sent(wire) == ["response.create", "response.cancel"]


async def test_what_is_cancelled_before_it_began_is_cancelled_when_it_begins(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("Once.", pacing=SLOW)) as session:
        wire = session.wire()
        async with session.open_response() as response:
            await session.cancel_response()
            assert (await response.wait()).status == "cancelled"
        assert types_sent(wire) == ["response.create", "response.cancel"]


async def test_a_cancel_that_comes_too_late_is_nobodys_business(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        events, wire = session.events(), session.wire()
        await session.respond()
        create = await server.hear(ResponseCreate)
        response = begun(create)
        await server.say(ResponseCreated(event_id="event_1", response=response))
        await wait_all_tasks_blocked()
        await session.cancel_response()
        cancel = await server.hear(ResponseCancel)
        await server.say(
            ResponseDone(event_id="event_2", response=response),
            failure("Cancellation failed", code="response_cancel_not_active", of=cancel.event_id),
            failure("Cancellation failed", code="response_cancel_not_active", of="somebody else's"),
        )
        await wait_all_tasks_blocked()
        assert [
            event.error.event_id for event in buffered(events) if isinstance(event, ErrorEvent)
        ] == ["somebody else's"]
        assert [
            record.event.error.event_id
            for record in records(wire)
            if isinstance(record.event, ErrorEvent)
        ] == [
            cancel.event_id,
            "somebody else's",
        ]


async def test_a_create_that_lost_a_race_is_nobodys_business_and_is_repeated(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        events, wire = session.events(ErrorEvent), session.wire()
        answers: list[Answer] = []

        async def ask() -> None:
            answers.append(await session.ask())

        nursery.start_soon(ask)
        create = await server.hear(ResponseCreate)
        await server.say(
            ResponseCreated(event_id="event_1", response=begun(None, "resp_vad")),
            failure(
                "Conversation already has an active response",
                code=ALREADY_ACTIVE,
                of=create.event_id,
            ),
            ResponseDone(event_id="event_2", response=begun(None, "resp_vad")),
        )
        again = await server.hear(ResponseCreate)
        response = begun(again)
        await server.say(
            ResponseCreated(event_id="event_3", response=response),
            ResponseDone(event_id="event_4", response=response),
        )
        await wait_all_tasks_blocked()
        assert [answer.response.id for answer in answers] == ["resp_1"]
        assert events.pending == 0
        assert any(isinstance(record.event, ErrorEvent) for record in records(wire))


@pytest.mark.parametrize("how", ["ask", "follow"])
async def test_who_waits_for_a_response_that_somebody_else_cancelled_before_it_began_is_told(
    how: str, autojump_clock: MockClock
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        outcomes: list[str] = []

        async def follow() -> None:
            async with session.open_response() as response:
                await response.wait()

        async def wait() -> None:
            with pytest.raises(ServerError, match="the response was cancelled before it began"):
                await (session.ask() if how == "ask" else follow())
            outcomes.append("told")

        nursery.start_soon(wait)
        create = await server.hear(ResponseCreate)
        await session.cancel_response()
        await server.say(
            ResponseCreated(event_id="event_1", response=begun(None, "resp_vad")),
            failure(
                "Conversation already has an active response",
                code=ALREADY_ACTIVE,
                of=create.event_id,
            ),
        )
        await wait_all_tasks_blocked()
        assert outcomes == ["told"]


async def test_a_withdrawn_request_that_is_refused_is_nobodys_business(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):
        errors = session.events(ErrorEvent)
        async with session.open_response():
            create = await server.hear(ResponseCreate)
        await server.say(
            ResponseCreated(event_id="event_1", response=begun(None, "resp_vad")),
            failure(
                "Conversation already has an active response",
                code=ALREADY_ACTIVE,
                of=create.event_id,
            ),
        )
        await wait_all_tasks_blocked()
        assert errors.pending == 0


async def test_a_server_that_refuses_responses_out_of_band_beside_others_is_quoted(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        errors = session.events(ErrorEvent)

        async def refuse() -> None:
            create = await server.hear(ResponseCreate)
            await server.say(
                failure(
                    "Conversation already has an active response",
                    code=ALREADY_ACTIVE,
                    of=create.event_id,
                )
            )

        nursery.start_soon(refuse)
        with pytest.raises(ServerError, match="already has an active response"):
            await session.ask(conversation="none")
        assert errors.pending == 1
        nursery.start_soon(refuse)
        await session.respond(conversation="none")
        await wait_all_tasks_blocked()
        assert errors.pending == 2


async def test_a_response_that_turn_detection_interrupts_is_an_answer_that_says_so(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        answers: list[Answer] = []

        async def ask() -> None:
            answers.append(await session.ask())

        nursery.start_soon(ask)
        create = await server.hear(ResponseCreate)
        await server.say(
            ResponseCreated(event_id="event_1", response=begun(create)),
            ResponseDone(
                event_id="event_2",
                response=Response(id="resp_1", status="cancelled", conversation_id="conv_1"),
            ),
        )
        await wait_all_tasks_blocked()
        assert [(answer.status, len(answer.audio)) for answer in answers] == [("cancelled", 0)]
    assert await server.hear_the_rest() == []


# Waiting and not waiting


async def test_everything_that_talks_is_a_checkpoint(autojump_clock: MockClock) -> None:
    async with open_simulated(turn_detection=None) as session:
        await session.append_audio(speech(200))
        calls: list[Callable[[], Awaitable[object]]] = [
            partial(session.append_audio, b""),
            session.commit_audio,
            session.clear_audio,
            session.respond,
            session.ask,
            partial(session.ask, conversation="none"),
            partial(session.send_message, "words", respond=False),
            session.cancel_response,
        ]
        for call in calls:
            with assert_checkpoints():
                await call()
        async with session.open_response() as response:
            with assert_checkpoints():
                await response.wait()
            with assert_checkpoints():
                await response.wait()


async def test_what_is_cancelled_before_it_begins_sends_nothing(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        await session.append_audio(speech(200))
        calls: list[Callable[[], Awaitable[object]]] = [
            partial(session.append_audio, speech(200)),
            session.commit_audio,
            session.clear_audio,
            session.respond,
            session.ask,
            partial(session.ask, "words"),
            partial(session.ask, conversation="none"),
            partial(session.send_message, "words"),
        ]
        for call in calls:
            with trio.CancelScope() as scope:
                scope.cancel()
                await call()
            assert scope.cancelled_caught
        with trio.CancelScope() as scope:
            scope.cancel()
            async with session.open_response():
                pytest.fail("not reached")
    assert [event.type for event in await server.hear_the_rest()] == ["input_audio_buffer.append"]


@pytest.mark.parametrize("kind", ["commit", "clear"])
async def test_an_answer_that_nobody_waits_for_any_more_is_not_taken_for_the_next(
    kind: str, autojump_clock: MockClock
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        done: list[object] = []
        await session.append_audio(speech(200))
        await server.hear(InputAudioBufferAppend)

        async def call() -> None:
            done.append(
                await (session.commit_audio() if kind == "commit" else session.clear_audio())
            )

        with trio.move_on_after(1):
            await call()
        await session.append_audio(speech(200))
        nursery.start_soon(call)
        await wait_all_tasks_blocked()
        answers: dict[str, list[ServerEvent]] = {
            "commit": [
                InputAudioBufferCommitted(event_id="event_1", item_id=f"item_{number}")
                for number in (1, 2)
            ],
            "clear": [InputAudioBufferCleared(event_id="event_1")] * 2,
        }
        await server.say(answers[kind][0])
        await wait_all_tasks_blocked()
        assert done == []
        await server.say(answers[kind][1])
        await wait_all_tasks_blocked()
        assert done == (["item_2"] if kind == "commit" else [None])


async def test_what_the_library_sends_itself_does_not_answer_for_what_is_awaited(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server), trio.open_nursery() as nursery:
        cleared: list[str] = []
        with pytest.raises(ZeroDivisionError):
            async with session.user_turn():
                raise ZeroDivisionError

        async def clear() -> None:
            await session.clear_audio()
            cleared.append("cleared")

        nursery.start_soon(clear)
        await wait_all_tasks_blocked()
        await server.say(InputAudioBufferCleared(event_id="event_1"))
        await wait_all_tasks_blocked()
        assert cleared == []
        await server.say(InputAudioBufferCleared(event_id="event_2"))
        await wait_all_tasks_blocked()
        assert cleared == ["cleared"]


async def life_of_a_talk(scope: trio.CancelScope, canceller: CancelAt) -> bool:
    """Talk in every way, with a cancellation somewhere; return whether the end was reached."""
    before, start = tasks(), trio.current_time()
    is_done = False
    with scope:
        canceller.scope = scope
        replies = (
            Reply.text("One."),
            Reply.text("Two."),
            Reply.calls(Call("look", call_id="call_1")),
            Reply.text("Three."),
        )
        async with open_simulated(*replies, turn_detection=None) as session:
            await session.append_audio(speech(200))
            assert await session.commit_audio() is not None
            await session.clear_audio()
            async with session.user_turn(respond=False):
                await session.append_audio(speech(100))
            answer = await session.ask("Hello!")
            async with session.open_response() as response:
                async for _ in response:
                    pass
                await response.wait()
            await session.cancel_response(answer.items[0].id, 100)
            calls, done = session.events(ToolCallRequested), session.events(ResponseDone)
            await session.respond()
            call = (await calls.receive()).call
            await session.send_tool_output(str(call.call_id), "{}")
            for _ in range(2):
                await done.receive()
            item = await session.insert_item(UserMessage.text("Again!"))
            await session.retrieve_item(item.id)
            await session.delete_item(item.id)
            await session.update(instructions="Be brief.")
            await session.ask("Aside?", conversation="none")
        is_done = True
    canceller.scope = None
    assert tasks() <= before
    assert trio.current_time() == start
    return is_done


def test_a_talk_may_be_cancelled_at_every_single_step() -> None:
    for step in range(1, 5000):
        scope, canceller = trio.CancelScope(), CancelAt(step)
        is_done = trio.run(
            life_of_a_talk,
            scope,
            canceller,
            clock=MockClock(autojump_threshold=0),
            instruments=[canceller],
        )
        assert is_done != scope.cancelled_caught
        if canceller.steps_left > 0:
            assert is_done
            assert step > 100
            return
    pytest.fail("a talk takes more steps than that?")
