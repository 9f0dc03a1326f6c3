"""A response as one thing, while it streams and when it is done, driven event by event."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from realtime_trio._runtime.hub import EventHub
from realtime_trio._session.responses import FOLLOWED, Answer, LiveResponse
from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio._state.utility_events import (
    ArgumentsDelta,
    AudioDelta,
    DeltaDropped,
    TextDelta,
    TranscriptDelta,
)
from realtime_trio.audio import AudioData
from realtime_trio.audio.track import MANY, SMALL
from realtime_trio.errors import ServerError, SessionClosed, SlowConsumer
from realtime_trio.events import (
    AssistantMessage,
    ErrorDetail,
    ErrorEvent,
    Event,
    FunctionCall,
    OutputAudio,
    OutputText,
    Response,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputTextDelta,
    ResponseUsage,
    UnknownEvent,
    UnknownObject,
)

SAMPLES = np.arange(100, dtype=np.int16)


class Source:
    """What a session does for a response that is followed."""

    def __init__(self, *, capacity: int = 100, encoding: str = "audio/pcm") -> None:
        self.hub: EventHub[Event] = EventHub(capacity=capacity, backlog=0)
        self.stream = self.hub.subscribe(*FOLLOWED)
        self.live = LiveResponse(self.stream, lambda: encoding)

    def begin(self, response_id: str = "resp_1") -> None:
        self.live._id = response_id

    def text(self, *deltas: str, of: str = "resp_1") -> None:
        for delta in deltas:
            self.hub.publish(ResponseOutputTextDelta(**PLACE, response_id=of, delta=delta))

    def done(self, response: Response | None = None) -> None:
        self.live._end(response or Response(id="resp_1", status="completed"))
        self.hub.publish(
            ResponseDone(
                event_id="event_1", response=response or Response(id="resp_1", status="completed")
            )
        )

    def fail(self, error: Exception) -> None:
        self.live._end(error)
        self.hub.publish(failure())


PLACE: Any = {"event_id": "event_1", "item_id": "item_1", "output_index": 0, "content_index": 0}


def failure() -> ErrorEvent:
    return ErrorEvent(event_id="event_1", error=ErrorDetail(type="server_error", message="no"))


# When it is done


def test_the_words_of_an_answer_are_those_of_its_messages_in_order() -> None:
    output = (
        AssistantMessage(
            content=[
                OutputText("Let me "),
                OutputAudio(transcript="look."),
                UnknownObject("hologram", {}),
            ]
        ),
        FunctionCall(name="look", arguments="{}", call_id="call_1"),
        AssistantMessage(content=[OutputAudio(transcript=None), OutputAudio(transcript=" There.")]),
    )
    usage = ResponseUsage(total_tokens=3, input_tokens=2, output_tokens=1)
    answer = Answer(
        response=Response(id="resp_1", status="completed", output=output, usage=usage),
        audio=SAMPLES,
    )
    assert answer.text == "Let me look. There."
    assert answer.transcript == "look. There."
    assert answer.calls == (output[1],)
    assert answer.items == output
    assert (answer.status, answer.usage) == ("completed", usage)


def test_an_answer_without_anything_is_empty() -> None:
    answer = Answer(response=Response(id="resp_1", status="failed"), audio=np.empty(0, np.int16))
    assert (answer.text, answer.transcript, answer.calls, answer.items, answer.usage) == (
        "",
        "",
        (),
        (),
        None,
    )
    assert answer == Answer(response=Response(id="resp_1", status="failed"), audio=SAMPLES)
    assert "array" not in repr(answer)


# While it streams


async def test_every_kind_of_piece_is_told_and_other_responses_are_not(
    autojump_clock: MockClock,
) -> None:
    source = Source()
    source.begin()
    source.text("a")
    source.text("not mine", of="resp_2")
    source.hub.publish(ResponseOutputAudioTranscriptDelta(**PLACE, response_id="resp_1", delta="b"))
    source.hub.publish(
        ResponseOutputAudioDelta(**PLACE, response_id="resp_1", delta=AudioData(SAMPLES))
    )
    source.hub.publish(
        ResponseFunctionCallArgumentsDelta(
            event_id="event_1",
            response_id="resp_1",
            item_id="item_2",
            output_index=1,
            call_id="call_1",
            delta="{}",
        )
    )
    source.done()
    pieces = [piece async for piece in source.live]
    assert pieces == [
        TextDelta("a"),
        TranscriptDelta("b"),
        AudioDelta(AudioData(SAMPLES)),
        ArgumentsDelta("{}"),
    ]
    answer = await source.live.wait()
    assert answer.response == Response(id="resp_1", status="completed")
    assert answer.is_audio_whole
    assert np.array_equal(answer.audio, SAMPLES)


async def test_speech_is_decoded_as_it_is_encoded(autojump_clock: MockClock) -> None:
    source = Source(encoding="audio/pcmu")
    source.begin()
    source.hub.publish(
        ResponseOutputAudioDelta(**PLACE, response_id="resp_1", delta=AudioData(bytes([0xFF] * 8)))
    )
    source.done()
    assert np.array_equal((await source.live.wait()).audio, np.zeros(8, np.int16))


async def test_a_reader_who_is_behind_is_not_stopped_by_the_end_of_something_else(
    autojump_clock: MockClock,
) -> None:
    source = Source()
    source.begin()
    source.text("a")
    source.hub.publish(failure())
    source.hub.publish(ResponseDone(event_id="event_1", response=Response(id="resp_2")))
    source.hub.publish(UnknownEvent(type="response.done", raw={}))
    source.text("b")
    source.done()
    source.text("c")  # a straggler
    assert [piece async for piece in source.live] == [TextDelta("a"), TextDelta("b")]


async def test_a_reader_who_waits_is_told_the_end_as_it_comes(autojump_clock: MockClock) -> None:
    source = Source()
    pieces: list[object] = []

    async def read() -> None:
        pieces.extend([piece async for piece in source.live])
        pieces.append("end")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        source.begin()
        source.text("a")
        await wait_all_tasks_blocked()
        assert (source.live.id, source.live.is_done) == ("resp_1", False)
        source.text("b")
        source.done()
        assert source.live.is_done
    assert pieces == [TextDelta("a"), TextDelta("b"), "end"]


@pytest.mark.parametrize(
    ("begun", "ended", "expected"),
    [("resp_1", "", "resp_1"), (None, "resp_2", "resp_2"), (None, "", None)],
)
async def test_the_id_is_known_as_soon_as_the_server_says_it(
    begun: str | None, ended: str, expected: str | None, autojump_clock: MockClock
) -> None:
    source = Source()
    if begun:
        source.begin(begun)
    source.done(Response(id=ended, status="completed"))
    assert source.live.id == expected
    answer = await source.live.wait()
    assert (answer.status, answer.audio.tolist()) == ("completed", [])


async def test_a_refusal_is_raised_behind_what_came_before_and_again_every_time(
    autojump_clock: MockClock,
) -> None:
    source = Source()
    source.begin()
    source.text("a")
    source.fail(ServerError("no"))
    assert await source.live.__anext__() == TextDelta("a")
    for _ in range(2):
        with assert_checkpoints(), pytest.raises(ServerError):
            await source.live.wait()
        with assert_checkpoints(), pytest.raises(ServerError):
            await source.live.__anext__()
    assert source.live.is_done


async def test_the_end_of_the_session_is_raised_behind_what_came_before(
    autojump_clock: MockClock,
) -> None:
    source = Source()
    source.begin()
    source.text("a")
    source.live._end(SessionClosed("over"))
    source.hub.close()
    assert await source.live.__anext__() == TextDelta("a")
    with pytest.raises(SessionClosed, match="over"):
        await source.live.wait()


async def test_what_the_conversation_drops_is_not_told(autojump_clock: MockClock) -> None:
    source = Source()
    source.begin()
    source.text("a", "b")
    item = ConversationItem(id="item_1", type="message")
    source.hub.publish(DeltaDropped(item=item, delta=TextDelta("b")))
    source.text("c")
    source.done()
    assert [piece async for piece in source.live] == [TextDelta("a"), TextDelta("c")]


async def test_what_had_come_can_be_read_when_the_block_was_left(
    autojump_clock: MockClock,
) -> None:
    source = Source()
    source.begin()
    source.hub.publish(
        ResponseOutputAudioDelta(**PLACE, response_id="resp_1", delta=AudioData(SAMPLES))
    )
    source.done()
    source.text("of another", of="resp_2")
    source.live._leave()
    source.stream.close()
    assert np.array_equal((await source.live.wait()).audio, SAMPLES)


async def test_a_response_that_nobody_follows_any_more_has_no_end(
    autojump_clock: MockClock,
) -> None:
    source = Source()
    source.begin()
    source.text("a")
    source.stream.close()
    assert [piece async for piece in source.live] == []
    with pytest.raises(SessionClosed, match="the session ended before the response did"):
        await source.live.wait()


@pytest.mark.parametrize("end_is_missed", [False, True])
async def test_a_reader_who_falls_too_far_behind_is_told_once_and_gets_the_rest(
    end_is_missed: bool, autojump_clock: MockClock
) -> None:
    source = Source(capacity=3)
    source.begin()
    source.text(*"abcde")
    if end_is_missed:
        source.done()
    for letter in "abc":
        assert await source.live.__anext__() == TextDelta(letter)
    with pytest.raises(SlowConsumer) as caught:
        await source.live.wait()
    assert caught.value.dropped == (3 if end_is_missed else 2)
    if not end_is_missed:
        source.text("f")
        source.done()
        assert await source.live.__anext__() == TextDelta("f")
    assert (await source.live.wait()).status == "completed"
    assert [piece async for piece in source.live] == []


async def test_a_cancelled_wait_loses_nothing(autojump_clock: MockClock) -> None:
    source = Source()
    source.begin()
    with trio.move_on_after(1):
        await source.live.wait()
    source.hub.publish(
        ResponseOutputAudioDelta(**PLACE, response_id="resp_1", delta=AudioData(SAMPLES))
    )
    with trio.move_on_after(1):
        await source.live.wait()
    source.done()
    assert np.array_equal((await source.live.wait()).audio, SAMPLES)


async def test_fragments_of_audio_are_joined_while_they_come(autojump_clock: MockClock) -> None:
    source = Source(capacity=3000)
    source.begin()
    for number in range(2000):
        samples = np.array([number] * (number % 2), np.int16)  # every other one is empty
        source.hub.publish(
            ResponseOutputAudioDelta(**PLACE, response_id="resp_1", delta=AudioData(samples))
        )
    source.done()
    answer = await source.live.wait()
    assert answer.audio.tolist() == list(range(1, 2000, 2))
    assert len(source.live._audio) <= 256


@pytest.mark.parametrize(("last", "kept"), [(SMALL - 1, 1), (SMALL, MANY)])
async def test_only_fragments_are_joined_and_as_soon_as_there_are_many(
    last: int, kept: int, autojump_clock: MockClock
) -> None:
    source = Source(capacity=2 * MANY)
    source.begin()
    for samples in [SMALL] * (MANY - 1) + [last]:
        piece = AudioData(np.zeros(samples, np.int16))
        source.hub.publish(ResponseOutputAudioDelta(**PLACE, response_id="resp_1", delta=piece))
    for _ in range(MANY - 1):
        await source.live.__anext__()
    assert len(source.live._audio) == MANY - 1
    await source.live.__anext__()
    assert len(source.live._audio) == kept


async def test_what_comes_behind_the_end_is_not_taken_when_the_block_is_left(
    autojump_clock: MockClock,
) -> None:
    source = Source()
    source.begin()
    speech = ResponseOutputAudioDelta(**PLACE, response_id="resp_1", delta=AudioData(SAMPLES))
    source.hub.publish(speech)
    source.done()
    source.hub.publish(speech)
    source.live._leave()
    assert np.array_equal((await source.live.wait()).audio, SAMPLES)
    assert source.stream.pending == 1
