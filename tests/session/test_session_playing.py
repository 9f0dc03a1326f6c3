"""A session with a playback: what is heard, and what the server is told of an interruption."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import trio
from numpy.testing import assert_array_equal
from simulated import SLOW, only, open_simulated, records, sent, speech, types_sent
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from realtime_trio._session.voice import Session
from realtime_trio._state.utility_events import Interrupted, ItemCompleted, ItemDeleted
from realtime_trio.audio import mulaw_decode, mulaw_encode
from realtime_trio.errors import LocalProtocolError, SessionClosed
from realtime_trio.events import (
    ConversationItemDelete,
    ConversationItemTruncate,
    ErrorEvent,
    ResponseCancel,
    ResponseCreate,
    ResponseDone,
    ResponseOutputAudioDelta,
)
from realtime_trio.playback import Playback
from realtime_trio.simulator import Reply, synthesize_speech

STORY = "Once upon a time."
FORMATS = ["audio/pcm", "audio/pcmu", "audio/pcma"]


async def told(session: Session) -> None:
    """Let the model tell a story, which arrives at once."""
    with session.events(ResponseDone) as done:
        await session.send_message("Tell me a story.")
        await done.receive()


def cuts(events: list[Any]) -> list[Any]:
    return [
        event
        for event in events
        if isinstance(event, ConversationItemTruncate | ConversationItemDelete | ResponseCancel)
    ]


async def interrupt_by_voice(session: Session) -> Interrupted:
    with session.events(Interrupted) as interruptions:
        await session.append_audio(synthesize_speech("Stop!"))
        return await interruptions.receive()


# --- interrupting ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("tracking", ["taken", "reported", "marks", "clock"])
async def test_an_interruption_at_a_known_sample_cuts_exactly_there(
    name: Any, tracking: Any, autojump_clock: MockClock
) -> None:
    rate = 24_000 if name == "audio/pcm" else 8000
    clock = trio.current_time if tracking == "clock" else None
    playback = Playback(rate, tracking="reported" if tracking == "marks" else tracking, clock=clock)
    story = Reply.speech(STORY, speech(5000))
    async with open_simulated(
        story, Reply.text("Yes?"), playback=playback, output_format=name
    ) as session:
        await told(session)
        wire = session.wire()
        heard = rate * 1234 // 1000 + 3
        match tracking:
            case "taken":
                playback.take(heard)
            case "reported":
                playback.take(3 * rate)
                playback.played(heard)
            case "marks":
                playback.take(heard)
                mark = playback.mark()
                playback.take(rate)
                playback.mark()
                playback.reached(mark)
            case "clock":
                playback.take(3 * rate)
                await trio.sleep(heard / rate)
        interrupted = await interrupt_by_voice(session)
        item = interrupted.item
        assert item is not None
        assert (item.role, playback.is_audible) == ("assistant", False)
        await wait_all_tasks_blocked()
        truncate = only(ConversationItemTruncate, cuts(sent(wire)))
        assert (truncate.item_id, truncate.content_index, truncate.audio_end_ms) == (
            item.id,
            0,
            1234,
        )
        assert item.heard_ms == 1234


async def test_an_answer_that_is_being_made_is_cut_and_not_cancelled_again(
    autojump_clock: MockClock,
) -> None:
    playback = Playback(tracking="clock", clock=trio.current_time)
    story = Reply.speech(STORY, speech(5000), pacing=SLOW)
    async with open_simulated(story, Reply.text("Yes?"), playback=playback) as session:
        await session.send_message("Tell me a story.")
        with trio.move_on_after(3):
            async for _ in session.audio_output():
                pass
        wire = session.wire()
        interrupted = await interrupt_by_voice(session)
        assert not playback.is_audible
        await wait_all_tasks_blocked()
        (cut,) = cuts(sent(wire))
        assert isinstance(cut, ConversationItemTruncate)
        assert interrupted.item is session.conversation.get(cut.item_id)
        assert cut.audio_end_ms == playback.heard_ms(cut.item_id) > 1000


async def test_who_was_heard_to_the_end_is_not_interrupted(autojump_clock: MockClock) -> None:
    playback = Playback()
    async with open_simulated(
        Reply.speech(STORY, speech(1000)), Reply.text("Yes?"), playback=playback
    ) as session:
        await told(session)
        playback.take(99_999)
        wire = session.wire()
        interrupted = await interrupt_by_voice(session)
        await wait_all_tasks_blocked()
        assert (interrupted.item, cuts(sent(wire))) == (None, [])
        assert session.conversation.items[1].transcript == STORY


async def test_of_what_nothing_was_heard_the_model_has_said_nothing(
    autojump_clock: MockClock,
) -> None:
    playback = Playback()
    async with open_simulated(
        Reply.speech(STORY, speech(1000)), Reply.text("Yes?"), playback=playback
    ) as session:
        await told(session)
        with session.events(ItemDeleted) as deletions:
            interrupted = await interrupt_by_voice(session)
            assert (await deletions.receive()).item is interrupted.item
        assert [item.role for item in session.conversation.items][:1] == ["user"]


async def test_a_button_interrupts_too(autojump_clock: MockClock) -> None:
    playback = Playback()
    async with open_simulated(
        Reply.speech(STORY, speech(5000), pacing=SLOW), playback=playback
    ) as session:
        deltas = session.events(ResponseOutputAudioDelta)
        await session.send_message("Tell me a story.")
        for _ in range(3):
            await deltas.receive()
        playback.take(24 * 250 + 7)
        wire, done = session.wire(), session.events(ResponseDone)
        item = await session.cancel_response()
        assert (await done.receive()).response.status == "cancelled"
        await wait_all_tasks_blocked()
        cancel, cut = cuts(sent(wire))
        assert isinstance(cancel, ResponseCancel)
        assert isinstance(cut, ConversationItemTruncate)
        assert item is not None
        assert (cut.item_id, cut.audio_end_ms, item.heard_ms) == (item.id, 250, 250)
        assert await session.cancel_response() is None


async def test_so_does_a_turn_of_the_user(autojump_clock: MockClock) -> None:
    playback = Playback()
    async with open_simulated(
        Reply.speech(STORY, speech(1000)),
        Reply.text("Yes?"),
        playback=playback,
        turn_detection=None,
    ) as session:
        await told(session)
        playback.take(24 * 250)
        wire = session.wire()
        async with session.user_turn():
            await session.append_audio(speech(200))
        await session.wait_for(ResponseDone)
        assert only(ConversationItemTruncate, cuts(sent(wire))).audio_end_ms == 250


async def test_a_cut_that_is_refused_is_nobodys_business(autojump_clock: MockClock) -> None:
    playback = Playback()
    async with open_simulated(Reply.speech(STORY, speech(1000)), playback=playback) as session:
        await told(session)
        playback.take(24 * 250)
        item = session.conversation.items[1]
        wire, errors = session.wire(), session.events(ErrorEvent)
        # The item is gone, and the playback does not know it yet.
        await session.send(ConversationItemDelete(item_id=item.id))
        await session.cancel_response()
        await wait_all_tasks_blocked()
        told_by_server = [record.event for record in records(wire) if record.source == "server"]
        assert only(ErrorEvent, told_by_server).error.code == "item_truncate_invalid_item_id"
        assert errors.pending == 0


async def test_what_else_is_refused_is_told(autojump_clock: MockClock) -> None:
    async with open_simulated(playback=Playback()) as session:
        with session.events(ErrorEvent) as errors:
            await session.send(ConversationItemDelete(item_id="item_0"))
            assert (await errors.receive()).error.code == "item_delete_invalid_item_id"


async def test_an_item_is_not_given_to_a_session_that_knows(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.speech(STORY, speech(1000)), playback=Playback()) as session:
        await told(session)
        wire = session.wire()
        with pytest.raises(LocalProtocolError, match=r"knows what was heard: cancel_response\(\)"):
            await session.cancel_response(session.conversation.items[1], 100)
        assert types_sent(wire) == []


async def test_what_is_not_a_playback_is_refused() -> None:
    with pytest.raises(TypeError, match="playback must be a Playback or None, not int"):
        async with open_simulated(playback=24_000):  # type: ignore[arg-type]  # that is the mistake
            pass


# --- leaving early --------------------------------------------------------------------------------


async def test_a_response_that_is_left_early_is_silent_and_cut_to_what_was_heard(
    autojump_clock: MockClock,
) -> None:
    playback = Playback()
    async with open_simulated(
        Reply.speech(STORY, speech(5000), pacing=SLOW), playback=playback
    ) as session:
        wire, done = session.wire(), session.events(ResponseDone)
        async with session.open_response() as response:
            while playback.queued < 24 * 500:
                await anext(response)
            playback.take(24 * 250 + 7)
        assert not playback.is_audible
        assert (await done.receive()).response.status == "cancelled"
        await wait_all_tasks_blocked()
        cancel, cut = cuts(sent(wire))
        assert isinstance(cancel, ResponseCancel)
        assert isinstance(cut, ConversationItemTruncate)
        assert cut.audio_end_ms == playback.heard_ms(cut.item_id) == 250
        assert not playback.is_audible  # stragglers are not heard, either


async def test_who_stops_waiting_for_an_answer_does_not_hear_it(autojump_clock: MockClock) -> None:
    playback = Playback()
    async with open_simulated(
        Reply.speech(STORY, speech(5000), pacing=SLOW), playback=playback
    ) as session:
        wire = session.wire()
        with trio.move_on_after(3):
            await session.ask("Tell me a story.")
        await wait_all_tasks_blocked()
        assert not playback.is_audible
        cancel, deletion = cuts(sent(wire))
        assert isinstance(cancel, ResponseCancel)
        assert isinstance(deletion, ConversationItemDelete)


@pytest.mark.parametrize("has_begun", [True, False])
async def test_what_is_left_early_does_not_silence_the_answer_before_it(
    has_begun: bool, autojump_clock: MockClock
) -> None:
    playback = Playback()
    first, second = speech(1000, level=1), speech(1000, level=2)
    async with open_simulated(
        Reply.speech(STORY, first),
        Reply.speech("And so on.", second, pacing=SLOW),
        playback=playback,
    ) as session:
        await told(session)
        playback.take(24 * 100)
        async with session.open_response() as response:
            if has_begun:
                await anext(response)
        await wait_all_tasks_blocked()
        assert playback.take(99_999).tolist() == [1] * 24 * 900


async def test_a_response_that_is_left_at_its_end_is_heard(autojump_clock: MockClock) -> None:
    playback = Playback()
    async with open_simulated(Reply.speech(STORY, speech(1000)), playback=playback) as session:
        wire = session.wire()
        async with session.open_response() as response:
            await response.wait()
        assert (playback.queued, cuts(sent(wire))) == (24_000, [])


# --- streams of samples ---------------------------------------------------------------------------


async def test_a_stream_has_all_of_one_item_in_order(autojump_clock: MockClock) -> None:
    first, second = (np.arange(count).astype(np.int16) for count in (24_123, 7))
    async with open_simulated(
        Reply.speech(STORY, first, pacing=SLOW), Reply.speech("Yes?", second), playback=Playback()
    ) as session:
        await session.send_message("Tell me a story.")
        await session.send_message("Anything else?")
        chunks = [chunk async for chunk in session.audio_output()]
        assert {len(chunk) for chunk in chunks[:-1]} == {480}
        assert_array_equal(np.concatenate(chunks), first)
        assert_array_equal(np.concatenate([c async for c in session.audio_output(2)]), second)


async def test_telephony_comes_in_packets(autojump_clock: MockClock) -> None:
    samples = mulaw_decode(mulaw_encode(np.arange(0, 32_000, 20).astype(np.int16)))
    async with open_simulated(
        Reply.speech(STORY, np.repeat(samples, 3)),
        playback=Playback(8000),
        output_format="audio/pcmu",
    ) as session:
        await session.send_message("Tell me a story.")
        packets = [len(chunk) async for chunk in session.audio_output()]
        assert set(packets) == {160}


async def test_a_stream_ends_at_once_when_it_is_interrupted(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.speech(STORY, speech(5000)), playback=Playback()) as session:
        await told(session)
        output = session.audio_output()
        assert len(await anext(output)) == 480
        await session.cancel_response()
        assert [chunk async for chunk in output] == []
        assert session.conversation.items[1].heard_ms is None  # the server has not said so yet


async def test_who_waits_for_more_is_woken_by_an_interruption(autojump_clock: MockClock) -> None:
    async with open_simulated(
        Reply.speech(STORY, speech(5000), pacing=SLOW), playback=Playback()
    ) as session:
        await session.send_message("Tell me a story.")
        is_over = trio.Event()

        async def listen() -> None:
            async for _ in session.audio_output():
                pass
            is_over.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await trio.sleep(3)
            assert not is_over.is_set()
            await session.cancel_response()
            await wait_all_tasks_blocked()
            assert is_over.is_set()


async def test_a_stream_that_is_left_can_be_gone_on_with(autojump_clock: MockClock) -> None:
    samples = np.arange(10_000).astype(np.int16)
    async with open_simulated(
        Reply.speech(STORY, samples, pacing=SLOW), playback=Playback()
    ) as session:
        await session.send_message("Tell me a story.")
        taken = []
        output = session.audio_output()
        for _ in range(200):  # cancelled at any moment
            with trio.move_on_after(0.01):
                async for chunk in output:
                    taken.append(chunk)  # noqa: PERF401 - or what has come would be lost
        taken += [chunk async for chunk in output]
        assert_array_equal(np.concatenate(taken), samples)


async def test_a_stream_outlives_its_session(autojump_clock: MockClock) -> None:
    async with open_simulated(
        Reply.speech(STORY, speech(1000), pacing=SLOW), playback=Playback()
    ) as session:
        deltas = session.events(ResponseOutputAudioDelta)
        await session.send_message("Tell me a story.")
        await deltas.receive()
        started, late = session.audio_output(7), session.audio_output()
        await anext(started)
    assert sum([len(chunk) async for chunk in started]) > 0
    assert [chunk async for chunk in started] == []
    with pytest.raises(SessionClosed, match="all of its speech was taken"):
        await anext(late)


async def test_who_waits_for_speech_learns_of_the_end(autojump_clock: MockClock) -> None:
    async def listen(session: Session) -> None:
        with pytest.raises(SessionClosed):
            await anext(session.audio_output())

    async with trio.open_nursery() as nursery, open_simulated(playback=Playback()) as session:
        nursery.start_soon(listen, session)  # noqa: ASYNC111 - which is what it is about
        await wait_all_tasks_blocked()


async def test_every_chunk_is_a_checkpoint(autojump_clock: MockClock) -> None:
    async with open_simulated(Reply.speech(STORY, speech(30)), playback=Playback()) as session:
        await told(session)
        output = session.audio_output()
        for _ in range(2):
            with assert_checkpoints():
                await anext(output)
        with assert_checkpoints(), pytest.raises(StopAsyncIteration):
            await anext(output)


@pytest.mark.parametrize(
    ("playback", "size", "message"),
    [
        (None, None, r"open_session\(playback=Playback\(\)\)"),
        (Playback(), 0, "size must be 1 or more samples, not 0"),
    ],
)
async def test_a_stream_that_cannot_be_is_refused(
    playback: Playback | None, size: int | None, message: str, autojump_clock: MockClock
) -> None:
    async with open_simulated(playback=playback) as session:
        with pytest.raises(LocalProtocolError, match=message):
            session.audio_output(size)


# --- speaking first -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("always", "greet", "expected"),
    [
        ("Be brief.", lambda s: s.greet(), "Be brief.\n\nGreet the user."),
        ("Be brief.", lambda s: s.greet("Say hello."), "Be brief.\n\nSay hello."),
        ("", lambda s: s.greet("Say hello."), "Say hello."),
        ("Be brief.", lambda s: s.greet("Hi.", instructions="Shout."), "Shout.\n\nHi."),
    ],
)
async def test_the_model_speaks_first_under_its_instructions(
    always: str,
    greet: Callable[[Session], Any],
    expected: str,
    autojump_clock: MockClock,
) -> None:
    async with open_simulated(Reply.text("Hello!"), instructions=always) as session:
        wire, done = session.wire(), session.events(ItemCompleted)
        await greet(session)
        await done.receive()
        create = only(ResponseCreate, sent(wire))
        assert create.response is not None
        assert create.response.instructions == expected
        assert [item.role for item in session.conversation.items] == ["assistant"]
