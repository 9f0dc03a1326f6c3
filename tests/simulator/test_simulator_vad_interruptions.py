"""Speech interrupts the simulated server's answers, as far as its settings allow."""

from __future__ import annotations

import numpy as np
import trio
from detected_turns import (
    INTERRUPTED,
    STORY,
    TURN,
    Speaker,
    silence,
    spoken,
    tone,
)
from service_client import of_type, only, types
from simulated import buffered, open_simulated
from trio.testing import MockClock

from realtime_trio._state.utility_events import Interrupted
from realtime_trio.events import (
    AssistantMessage,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ConversationItemTruncate,
    ErrorEvent,
    Event,
    InputAudioBufferCommitted,
    OutputAudio,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseStatusDetails,
    ServerVad,
)
from realtime_trio.simulator import Pacing, Reply


def test_who_speaks_interrupts_the_answer() -> None:
    client = Speaker(STORY, Reply.text("All right."))
    client.send(ResponseCreate())
    before = client.wait(2.5)
    heard = b"".join(delta.delta.data for delta in of_type(before, ResponseOutputAudioDelta))
    events = client.append(tone(100))
    assert types(events) == INTERRUPTED
    response = only(events, ResponseDone).response
    assert response.status == "cancelled"
    assert response.status_details == ResponseStatusDetails(
        type="cancelled", reason="turn_detected"
    )
    item_id = str(response.output[0].id)
    # What was said stays until the client says how much of it was heard.
    (retrieved,) = client.send(ConversationItemRetrieve(item_id=item_id))
    assert isinstance(retrieved, ConversationItemRetrieved)
    assert isinstance(retrieved.item, AssistantMessage)
    (part,) = retrieved.item.content
    assert isinstance(part, OutputAudio)
    assert part.audio is not None
    assert part.audio.data == heard
    assert types(
        client.send(ConversationItemTruncate(item_id=item_id, content_index=0, audio_end_ms=500))
    ) == ["conversation.item.truncated"]
    answered = client.append(silence(300))
    assert types(answered)[:5] == [*TURN[1:], "response.created"]
    assert only(answered, InputAudioBufferCommitted).previous_item_id == item_id
    assert "All right." in str(only(answered, ResponseDone).response.output)


def test_an_answer_that_was_cancelled_already_is_not_cancelled_again() -> None:
    client = Speaker(STORY)
    client.send(ResponseCreate())
    client.wait(2.5)
    client.send(ResponseCancel())
    assert types(client.append(tone(100))) == TURN[:1]


def test_out_of_band_responses_are_not_interrupted() -> None:
    client = Speaker(STORY, STORY)
    aside = only(
        client.send(ResponseCreate(response=ResponseConfig(conversation="none"))), ResponseCreated
    ).response.id
    client.send(ResponseCreate())
    client.wait(2.5)
    assert only(client.append(tone(100)), ResponseDone).response.id != aside
    done = only(client.wait(60), ResponseDone).response
    assert (done.id, done.status) == (aside, "completed")


def test_an_answer_that_may_not_be_interrupted_goes_on_and_keeps_the_next_one_from_beginning() -> (
    None
):
    client = Speaker(STORY, detection=ServerVad(interrupt_response=False))
    running = only(client.send(ResponseCreate()), ResponseCreated).response.id
    client.wait(2.5)
    events = client.append(spoken())
    assert types(events) == [*TURN, "error"]
    error = only(events, ErrorEvent).error
    assert (error.code, error.event_id) == ("conversation_already_has_active_response", None)
    assert running in error.message
    done = only(client.wait(60), ResponseDone).response
    assert (done.id, done.status) == (running, "completed")


def test_turn_detection_can_do_nothing_but_report_and_commit() -> None:
    client = Speaker(STORY, detection=ServerVad(interrupt_response=False, create_response=False))
    client.send(ResponseCreate())
    client.wait(2.5)
    assert types(client.append(spoken())) == TURN
    assert only(client.wait(60), ResponseDone).response.status == "completed"


def test_an_answer_can_be_interrupted_again_and_again() -> None:
    client = Speaker(STORY, STORY)
    client.append(spoken())
    client.wait(2.0)
    events = client.append(spoken())
    assert [response.response.status for response in of_type(events, ResponseDone)] == ["cancelled"]
    assert types(events)[-2:] == ["conversation.item.done", "response.created"]


def test_answers_that_take_no_time_are_not_interrupted_by_what_follows_in_the_same_append() -> None:
    client = Speaker(Reply.text("One."), Reply.text("Two."))
    events = client.append(np.concatenate((spoken(), spoken())))
    assert [event.response.status for event in of_type(events, ResponseDone)] == [
        "completed",
        "completed",
    ]


async def test_our_own_client_speaks_and_interrupts(autojump_clock: MockClock) -> None:
    voice = Pacing(audio_speed=1.0)
    async with open_simulated(
        Reply.text("Once upon a time, long ago.", pacing=voice), Reply.text("All right.")
    ) as session:
        events = session.events(ResponseDone, Interrupted)
        answers: list[Event] = []
        for start in range(
            0, 8000, 100
        ):  # a question, a pause in which the answer begins, and a word in the middle of it
            loud = start < 1000 or 1800 <= start < 2500
            await session.append_audio(tone(100) if loud else silence(100))
            await trio.sleep(0.1)
        answers += buffered(events)
        assert [type(event) for event in answers] == [
            Interrupted,
            Interrupted,
            ResponseDone,
            ResponseDone,
        ]
        assert [event.response.status for event in of_type(answers, ResponseDone)] == [
            "cancelled",
            "completed",
        ]
        question, _, word, answer = session.conversation.items
        assert (question.audio_ms, word.audio_ms) == (
            1200,
            1200,
        )  # padding and the pause behind included
        assert answer.transcript == "All right."
