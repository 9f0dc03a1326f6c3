"""Ears and voices behind the simulator: what they hear and speak, and what waits for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import trio
from casts import (
    MANUAL,
    SPOKEN,
    TEXT,
    WHISPER,
    Beeper,
    Listener,
    Scripted,
    error_of,
    on_a_wire,
    says,
    talking,
    tone,
)
from trio.testing import MockClock

from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._session.transcription import open_transcription_session
from realtime_trio.audio import AudioData, alaw_encode, mulaw_encode
from realtime_trio.errors import ServerError
from realtime_trio.events import (
    AudioFormat,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionDelta,
    ConversationItemInputAudioTranscriptionFailed,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    InputAudio,
    InputAudioBufferTimeoutTriggered,
    InputText,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ServerVad,
    SystemMessage,
    UserMessage,
)
from realtime_trio.simulator import (
    Pacing,
    Reply,
    Script,
    SimulatedServer,
    Turn,
    synthesize_speech,
)
from realtime_trio.simulator.roles import Say
from realtime_trio.testing import assert_conversation

# --- voices ---------------------------------------------------------------------------------------


async def test_the_voice_speaks_what_has_no_audio(autojump_clock: MockClock) -> None:
    voice = Beeper()
    own = np.full(4800, 5, np.int16)
    agent = Scripted([Say("Hello. "), Say("Mine. ", own), Say(" "), Say("Bye.")])
    async with talking(agent, voice=voice, **MANUAL) as session:
        answer = await session.ask("?")
    assert voice.spoken == ["Hello.", "Bye."]
    assert answer.transcript == "Hello. Mine.  Bye."
    assert answer.audio.tolist() == [77] * 6 * 480 + [5] * 4800 + [77] * 4 * 480


async def test_without_a_voice_it_is_the_synthetic_one(autojump_clock: MockClock) -> None:
    async with talking(says("Hello. ", "Bye."), **MANUAL) as session:
        answer = await session.ask("?")
    assert answer.transcript == "Hello. Bye."
    assert np.array_equal(
        answer.audio, np.concatenate((synthesize_speech("Hello. "), synthesize_speech("Bye.")))
    )


async def test_nobody_speaks_what_is_to_be_read(autojump_clock: MockClock) -> None:
    voice = Beeper()
    async with talking(says("Hello."), voice=voice, **TEXT) as session:
        answer = await session.ask("?")
    assert (answer.text, voice.spoken) == ("Hello.", [])


async def test_a_voice_that_raises_fails_the_response(autojump_clock: MockClock) -> None:
    async with talking(says("Hello."), voice=Beeper(ValueError("hoarse")), **MANUAL) as session:
        answer = await session.ask("?")
    assert error_of(answer.response).message == "the agent failed with ValueError: hoarse"


async def test_speech_in_pieces_is_sent_as_one_stream_at_its_pace(
    autojump_clock: MockClock,
) -> None:
    agent = Scripted(
        [Say("One. ", tone(1000)), Say("Two. ", tone(1000)), Say("Three.", tone(1000))]
    )
    async with talking(agent, script=Script(pacing=Pacing(audio_speed=2.0)), **MANUAL) as session:
        start = trio.current_time()
        with session.events(ResponseOutputAudioDelta) as deltas:
            await session.send_message("?")
            times = []
            for _ in range(15):
                await deltas.receive()
                times.append(round(trio.current_time() - start, 3))
    assert times == [round(0.1 * number, 3) for number in range(15)]


async def test_speech_goes_on_when_it_comes_late(autojump_clock: MockClock) -> None:
    agent = Scripted([Say("One. ", tone(200)), Say("Two. ", tone(200))], wait=5.0)
    async with talking(agent, script=Script(pacing=Pacing(audio_speed=1.0)), **MANUAL) as session:
        start = trio.current_time()
        with session.events(ResponseOutputAudioDelta) as deltas:
            await session.send_message("?")
            times = []
            for _ in range(2):
                await deltas.receive()
                times.append(round(trio.current_time() - start, 3))
    assert times == [5.0, 10.0]


# --- ears -----------------------------------------------------------------------------------------


async def test_the_agent_understands_what_the_ears_hear(autojump_clock: MockClock) -> None:
    agent, ears = says("Aha."), Listener(["good morning"])
    async with talking(agent, ears=ears, **TEXT) as session:
        with session.events(ConversationItemRetrieved) as retrieved:
            await session.append_audio(tone(500))
            answer = await session.ask()
            (item, _) = session.conversation.items
            await session.send(ConversationItemRetrieve(item_id=item.id))
            shown = (await retrieved.receive()).item
        assert item.transcript == ""  # nobody asked for it to be transcribed, so nobody is told
        assert isinstance(shown, UserMessage)
        assert isinstance(shown.content[0], InputAudio)
        assert shown.content[0].transcript is None
    assert answer.text == "Aha."
    assert agent.heard == ["good morning"]
    assert np.array_equal(ears.heard[0], tone(500))


async def test_the_answer_waits_for_the_words_and_audio_is_listened_to_once(
    autojump_clock: MockClock,
) -> None:
    agent, ears = says("Aha."), Listener(["one", "two"], wait=2.0)
    async with talking(agent, ears=ears, **TEXT) as session:
        for expected in (2.0, 4.0):
            await session.append_audio(tone(500))
            await session.ask()
            assert trio.current_time() == pytest.approx(expected)
        await session.ask()
        assert trio.current_time() == pytest.approx(4.0)
    assert agent.heard == ["one", "two", "two"]


async def test_what_is_heard_is_transcribed_if_that_is_wanted(autojump_clock: MockClock) -> None:
    agent, ears = says("Aha."), Listener(["good morning to you"], wait=2.0)
    script = Script(transcription_delay=1.0)
    async with talking(agent, script=script, ears=ears, transcription=WHISPER, **TEXT) as session:
        with session.events(
            ConversationItemInputAudioTranscriptionDelta,
            ConversationItemInputAudioTranscriptionCompleted,
        ) as events:
            await session.append_audio(tone(500))
            item_id = await session.commit_audio()
            deltas = []
            while isinstance(
                event := await events.receive(), ConversationItemInputAudioTranscriptionDelta
            ):
                deltas.append(event.delta)
            assert trio.current_time() == pytest.approx(2.0)
            assert (event.transcript, event.item_id) == ("good morning to you", item_id)
            assert len(deltas) > 1
            assert "".join(deltas) == event.transcript
            await session.ask()
    assert agent.heard == ["good morning to you"]
    assert len(ears.heard) == 1


async def test_a_transcript_comes_no_earlier_than_the_script_says(
    autojump_clock: MockClock,
) -> None:
    async with talking(
        says("a"),
        script=Script(transcription_delay=3.0),
        ears=Listener(["b"]),
        transcription=WHISPER,
        **TEXT,
    ) as session:
        with session.events(ConversationItemInputAudioTranscriptionCompleted) as completed:
            await session.append_audio(tone(500))
            assert (await session.ask()).text == "a"
            assert trio.current_time() == 0.0
            assert (await completed.receive()).transcript == "b"
            assert trio.current_time() == 3.0


async def test_what_nobody_understood_has_no_words(autojump_clock: MockClock) -> None:
    agent = says("Pardon?")
    async with talking(agent, ears=Listener([None]), transcription=WHISPER, **TEXT) as session:
        with session.events(ConversationItemInputAudioTranscriptionCompleted) as completed:
            await session.append_audio(tone(500))
            assert (await session.ask()).text == "Pardon?"
            assert (await completed.receive()).transcript == ""
    assert (agent.heard, agent.turns[0].heard_seconds) == ([""], 0.5)


async def test_ears_that_raise_fail_the_transcription_and_the_agent_answers_all_the_same(
    autojump_clock: MockClock,
) -> None:
    agent, ears = says("Pardon?"), Listener([ServerError("Busy.", code="busy")], wait=1.0)
    async with talking(agent, ears=ears, transcription=WHISPER, **TEXT) as session:
        with session.events(ConversationItemInputAudioTranscriptionFailed) as failed:
            await session.append_audio(tone(500))
            assert (await session.ask()).text == "Pardon?"
            error = (await failed.receive()).error
            assert (error.type, error.code, error.message) == (
                "transcription_error",
                "busy",
                "busy: Busy.",
            )
        assert (await session.ask("And now?")).text == "Pardon?"
    assert len(ears.heard) == 1
    assert agent.heard == ["", "And now?"]


async def test_ears_hear_turns_and_the_answer_comes_by_itself(autojump_clock: MockClock) -> None:
    agent, ears = says("Aha."), Listener(["how are you"], wait=2.0)
    async with talking(agent, ears=ears, transcription=WHISPER) as session:
        with session.events(ResponseCreated, ResponseDone) as events:
            await session.append_audio(SPOKEN)
            assert isinstance(await events.receive(), ResponseCreated)
            assert trio.current_time() == 0.0
            assert isinstance(done := await events.receive(), ResponseDone)
            assert trio.current_time() == pytest.approx(2.0)
        assert done.response.status == "completed"
        assert_conversation(session, [("user", "how are you"), ("assistant", "Aha.")])
    assert agent.heard == ["how are you"]
    assert 700 <= len(ears.heard[0]) / 24 <= 800


async def test_a_response_that_is_interrupted_while_it_waits_says_nothing_and_the_next_reads_both(
    autojump_clock: MockClock,
) -> None:
    agent, ears = says("Aha."), Listener(["first", "second"], wait=2.0)
    async with talking(agent, ears=ears) as session:
        with session.events(ResponseDone) as done:
            await session.append_audio(SPOKEN)
            await trio.sleep(1.0)
            await session.append_audio(SPOKEN)
            cancelled, completed = (await done.receive()).response, (await done.receive()).response
            assert trio.current_time() == pytest.approx(3.0)
        assert (cancelled.status, cancelled.output) == ("cancelled", ())
        assert completed.status == "completed"
    (turn,) = agent.turns
    assert [
        part.transcript
        for item in turn.items
        for part in getattr(item, "content", ())
        if isinstance(part, InputAudio)
    ] == [
        "first",
        "second",
    ]


async def test_a_reply_that_is_taken_in_any_case_waits_for_no_words(
    autojump_clock: MockClock,
) -> None:
    ears = Listener(["x"], wait=2.0)
    async with talking(
        says("a"), Reply.text("At once."), ears=ears, transcription=WHISPER, **TEXT
    ) as session:
        await session.append_audio(tone(500))
        assert (await session.ask()).text == "At once."
        assert trio.current_time() == 0.0


async def test_a_reply_that_goes_by_the_words_waits_for_them(autojump_clock: MockClock) -> None:
    def about(word: str) -> Callable[[Turn], bool]:
        return lambda turn: word in turn.user_text

    replies = [
        Reply.text("Rain.", when=about("weather")),
        Reply.text("Noon.", when=about("time")),
        Reply.text("Whatever."),
    ]
    ears = Listener(["what is the time"], wait=2.0)
    async with talking(None, *replies, ears=ears, **TEXT) as session:
        await session.append_audio(tone(500))
        assert (await session.ask()).text == "Noon."
        assert (await session.ask("weather")).text == "Rain."


async def test_ears_alone_are_enough_to_repeat_what_wassaid(autojump_clock: MockClock) -> None:
    async with talking(ears=Listener(["hello there"]), **TEXT) as session:
        await session.append_audio(tone(500))
        assert (await session.ask()).text == "You said: hello there"


async def test_what_the_script_understands_needs_no_ears(autojump_clock: MockClock) -> None:
    agent, ears = says("Aha."), Listener(["heard"])
    async with talking(
        agent, script=Script(transcripts=["scripted", None]), ears=ears, **TEXT
    ) as session:
        for _ in range(3):
            await session.append_audio(tone(500))
            await session.ask()
    assert agent.heard == ["scripted", "", "heard"]
    assert len(ears.heard) == 1


async def test_an_agent_without_ears_understands_what_the_script_does(
    autojump_clock: MockClock,
) -> None:
    agent = says("Aha.")
    async with talking(agent, script=Script(transcripts=["scripted"]), **TEXT) as session:
        for _ in range(2):
            await session.append_audio(tone(500))
            await session.ask()
    assert agent.heard == ["scripted", ""]


async def test_without_ears_the_length_of_the_audio_is_its_transcript(
    autojump_clock: MockClock,
) -> None:
    async with talking(says("Aha."), transcription=WHISPER, **TEXT) as session:
        with session.events(ConversationItemInputAudioTranscriptionCompleted) as completed:
            await session.append_audio(tone(500))
            await session.ask()
            assert (await completed.receive()).transcript == "[0.5 seconds of audio]"


async def test_audio_in_messages_is_heard_unless_its_words_are_given(
    autojump_clock: MockClock,
) -> None:
    agent, ears = says("Aha."), Listener(["heard"])
    content: list[InputText | InputAudio] = [
        InputText(text="Listen:"),
        InputAudio(AudioData(tone(200))),
    ]
    async with talking(agent, ears=ears, **TEXT) as session:
        await session.insert_item(SystemMessage.text("Be nice."))
        await session.insert_item(UserMessage(content=[InputAudio(AudioData(tone(100)), "given")]))
        await session.insert_item(UserMessage(content=[InputAudio()]))
        await session.insert_item(UserMessage(content=content))
        await session.ask()
        await session.ask(conversation="none", input=[UserMessage.text("No audio here.")])
    assert agent.heard == ["Listen: heard", "No audio here."]
    assert [len(samples) for samples in ears.heard] == [24 * 200]


@pytest.mark.parametrize(
    ("name", "encode"), [("audio/pcmu", mulaw_encode), ("audio/pcma", alaw_encode)]
)
async def test_ears_hear_every_format_as_24_khz(
    name: str, encode: Any, autojump_clock: MockClock
) -> None:
    ears = Listener(["heard"])
    async with talking(
        says("Aha."), ears=ears, input_format=AudioFormat(type=name), **TEXT
    ) as session:
        await session.append_audio(encode(tone(300)[::3]))
        await session.ask()
    (samples,) = ears.heard
    assert samples.dtype == np.int16
    assert len(samples) == 24 * 300
    assert np.corrcoef(samples, tone(300))[0, 1] > 0.99


async def test_silence_that_timed_out_is_not_listened_to(autojump_clock: MockClock) -> None:
    agent, ears = says("Still there?"), Listener([])
    detection = ServerVad(idle_timeout_ms=5000)
    async with talking(
        agent, ears=ears, turn_detection=detection, transcription=WHISPER
    ) as session:
        with session.events(InputAudioBufferTimeoutTriggered, ResponseDone) as events:
            await session.send_message("Hello.")
            assert isinstance(await events.receive(), ResponseDone)
            assert isinstance(await events.receive(), InputAudioBufferTimeoutTriggered)
            assert isinstance(await events.receive(), ResponseDone)
    assert ears.heard == []
    assert agent.heard == ["Hello.", ""]


async def test_a_transcription_session_has_ears_too(autojump_clock: MockClock) -> None:
    server = SimulatedServer(Script(), kind=SessionKind.TRANSCRIPTION)
    async with (
        on_a_wire(ears=Listener(["good evening"], wait=1.0), server=server) as wire,
        open_transcription_session(transport=wire, transcription=WHISPER, strict=True) as session,
    ):
        with session.events(ConversationItemInputAudioTranscriptionCompleted) as completed:
            await session.append_audio(SPOKEN)
            assert (await completed.receive()).transcript == "good evening"


async def test_the_end_of_the_connection_stops_the_ears(autojump_clock: MockClock) -> None:
    async with talking(says("a"), ears=Listener(["x"], wait=1000.0), **TEXT) as session:
        await session.append_audio(tone(500))
        await session.respond()
        await trio.sleep(1.0)
    assert trio.current_time() < 10.0
