"""What the simulated model says, and when which reply is used."""

from __future__ import annotations

import math

import numpy as np
import pytest

from realtime_trio.audio import AudioData
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
    ConversationItemCreate,
    ConversationItemDone,
    FunctionCallOutput,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputImage,
    McpApprovalRequest,
    McpApprovalResponse,
    McpListedTool,
    McpTool,
    OutputAudio,
    RealtimeSession,
    Response,
    ResponseCreate,
    ResponseDone,
    ResponseOutputAudioDelta,
    ServerEvent,
    SessionAudio,
    SessionAudioOutput,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    Transcription,
    UserMessage,
)
from realtime_trio.recording import Recording, WireRecord
from realtime_trio.simulator import (
    INSTANT,
    LIFELIKE,
    Call,
    Failure,
    HostedCall,
    McpServer,
    Message,
    Pacing,
    Reply,
    Script,
    SimulatedServer,
    Turn,
    synthesize_speech,
)

NOTHING_YET = Turn(items=(), modality="text")


def turn(
    *items: UserMessage | AssistantMessage | FunctionCallOutput, heard_seconds: float = 0.0
) -> Turn:
    return Turn(items=items, modality="text", heard_seconds=heard_seconds)


def words(reply: Reply) -> str:
    return "".join(output.text for output in reply.outputs if isinstance(output, Message))


def test_a_text_is_one_message_without_a_voice_of_its_own() -> None:
    assert Reply.text("hi").outputs == (Message("hi"),)
    assert Reply.text("hi").outputs == Reply.speech("hi").outputs


def test_speech_takes_samples_of_any_kind() -> None:
    samples = np.array([1, 2, 3], np.int16)
    assert Reply.speech("hi", samples).outputs == (Message("hi", audio=AudioData(samples)),)
    assert (
        Reply.speech("hi", samples.astype("<i2").tobytes()).outputs
        == Reply.speech("hi", samples).outputs
    )


def test_every_keyword_of_a_call_is_an_argument() -> None:
    reply = Reply.call("book", name="Ada", when="today", call_id=7, pacing=None)
    assert reply.outputs == (
        Call("book", '{"name":"Ada","when":"today","call_id":7,"pacing":null}'),
    )
    assert reply.when is None


def test_a_call_without_arguments_has_an_empty_object() -> None:
    assert Reply.call("stop").outputs == (Call("stop"),)
    assert Call("stop").arguments == "{}"


def test_arguments_may_be_broken_json_on_purpose() -> None:
    assert Reply.calls(Call("stop", '{"a":', call_id="call_1")).outputs[0] == Call(
        "stop", '{"a":', "call_1"
    )


def test_arguments_without_a_json_form_are_refused_where_they_are_written() -> None:
    with pytest.raises(LocalProtocolError):
        Reply.call("stop", at=object())


def test_a_failure_has_code_and_message() -> None:
    assert Reply.fail("insufficient_quota", "Pay first.", type="insufficient_quota") == Reply(
        failure=Failure("insufficient_quota", "Pay first.", "insufficient_quota")
    )
    assert Reply.fail(None, "Oops.").failure == Failure(None, "Oops.", "server_error")


def test_replies_can_be_put_after_each_other_in_one_response() -> None:
    fast = Pacing(audio_speed=10)
    reply = Reply.text("Wait.", pacing=fast).then(Reply.call("look")).then(Reply.fail("x", "y"))
    assert reply.outputs == (Message("Wait."), Call("look"))
    assert reply.failure == Failure("x", "y")
    assert reply.pacing is fast


def test_replies_come_in_order_and_once() -> None:
    performance = Script([Reply.text("one"), Reply.text("two")]).perform()
    assert [words(performance.answer(NOTHING_YET)) for _ in range(2)] == ["one", "two"]
    assert words(performance.answer(NOTHING_YET)).startswith("Hello! I am a simulator")


def test_a_reply_with_a_predicate_waits_until_it_fits() -> None:
    performance = Script(
        [
            Reply.text("sunny", when=lambda turn: "weather" in turn.user_text),
            Reply.text("one"),
            Reply.text("two"),
        ]
    ).perform()
    answers = [
        words(performance.answer(turn(UserMessage.text(text))))
        for text in ("hello", "the weather?", "the weather?")
    ]
    assert answers == ["one", "sunny", "two"]


def test_a_predicate_sees_what_the_model_would_see() -> None:
    seen: list[Turn] = []

    def remember(turn: Turn) -> bool:
        seen.append(turn)
        return False

    Script([Reply.text("never", when=remember)]).perform().answer(NOTHING_YET)
    assert seen == [NOTHING_YET]


def test_a_failing_predicate_is_reported_as_such() -> None:
    def fail(_turn: Turn) -> bool:
        raise KeyError("x")

    with pytest.raises(
        LocalProtocolError, match="predicate of a reply failed with KeyError"
    ) as info:
        Script([Reply.text("never", when=fail)]).perform().answer(NOTHING_YET)
    assert isinstance(info.value.__cause__, KeyError)


def test_every_performance_starts_from_the_beginning() -> None:
    script = Script([Reply.text("one")])
    assert [words(script.perform().answer(NOTHING_YET)) for _ in range(2)] == ["one", "one"]


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (turn(UserMessage.text("How are you?")), "You said: How are you?"),
        (turn(UserMessage.text("Hi"), AssistantMessage.text("Yes?")), "You said: Hi"),
        (
            turn(UserMessage.text("Hi"), FunctionCallOutput(call_id="call_1", output="21")),
            "The function returned: 21",
        ),
        (
            turn(UserMessage(content=[InputAudio(None, "Spoken.")]), heard_seconds=2.0),
            "You said: Spoken.",
        ),
        (
            turn(UserMessage(content=[InputAudio(), InputImage()]), heard_seconds=2.04),
            "I received 2.0 seconds of audio, but I am a simulator and cannot hear.",
        ),
    ],
)
def test_without_a_script_the_simulator_says_honestly_what_it_got(before: Turn, said: str) -> None:
    assert words(Script().perform().answer(before)) == said


def test_transcripts_come_in_order_and_then_tell_only_the_length() -> None:
    performance = Script(transcripts=["What is the weather?", None]).perform()
    assert [performance.transcribe(1.26) for _ in range(3)] == [
        "What is the weather?",
        None,
        "[1.3 seconds of audio]",
    ]


def test_phrases_come_in_order_and_then_there_is_silence() -> None:
    performance = Script(translations=[("Hallo.", "Hello."), ("Ja.", "Yes.")]).perform()
    assert [performance.translate() for _ in range(3)] == [
        ("Hallo.", "Hello."),
        ("Ja.", "Yes."),
        None,
    ]


def test_without_phrases_it_admits_that_it_hears_nothing_as_long_as_it_is_asked() -> None:
    performance = Script().perform()
    first, second = performance.translate(), performance.translate()
    assert first is not None
    assert first == second
    assert "simulator" in first[1]


def test_phrases_are_pairs_and_a_script_with_them_is_a_value() -> None:
    assert Script(translations=[("a", "b")]).translations == (("a", "b"),)
    assert Script(translations=iter([("a", "b")])) == Script(translations=(("a", "b"),))


def test_by_default_everything_comes_at_once() -> None:
    assert Script().pacing is INSTANT
    assert Script().transcription_delay == 0.0
    assert (
        Pacing(time_to_first_event=0.0, tokens_per_second=math.inf, audio_speed=math.inf) == INSTANT
    )
    assert LIFELIKE.audio_speed > 1


@pytest.mark.parametrize("wrong", [-1.0, math.inf, math.nan])
def test_a_delay_that_is_none_is_refused(wrong: float) -> None:
    with pytest.raises(LocalProtocolError, match="time_to_first_event"):
        Pacing(time_to_first_event=wrong)
    with pytest.raises(LocalProtocolError, match="transcription_delay"):
        Script(transcription_delay=wrong)


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan])
def test_a_speed_that_is_none_is_refused(wrong: float) -> None:
    with pytest.raises(LocalProtocolError, match="tokens_per_second"):
        Pacing(tokens_per_second=wrong)
    with pytest.raises(LocalProtocolError, match="audio_speed"):
        Pacing(audio_speed=wrong)


# --- from a recording -----------------------------------------------------------------------------


def test_a_recorded_session_can_be_scripted() -> None:
    docs = McpServer("docs", [McpListedTool(name="search", input_schema={})])
    spoken = synthesize_speech("Hello!")
    script = Script(
        [
            Reply.speech("Hello!", spoken),
            Reply.text("Let me look.").then(Reply.calls(Call("look", {"at": "the sky"}, "call_1"))),
            Reply.mcp("docs", "search", {"for": "birds"}, output="robin", approval=False),
            Reply.mcp("docs", "search", {"for": "bees"}, output="honey", approval=True),
            Reply.fail("server_overloaded", "Try again."),
        ],
        transcripts=["good morning", None],
        mcp_servers=[docs],
    )
    server = SimulatedServer(script)
    records: list[WireRecord] = []

    def listen() -> list[ServerEvent]:
        events = list(server.take_due(0.0))
        records.extend(WireRecord(0.0, "server", event) for event in events)
        return events

    server.connect(0.0)
    config = SessionConfig.of(
        tools=[McpTool(server_label="docs", server_url="https://docs.example")],
        transcription=Transcription(model="whisper-1"),
        turn_detection=None,
    )
    server.receive(SessionUpdate(session=config), 0.0)
    for _ in range(2):
        server.receive(InputAudioBufferAppend(audio=np.zeros(4800, np.int16)), 0.0)
        server.receive(InputAudioBufferCommit(), 0.0)
    for _ in script.replies:
        server.receive(ResponseCreate(), 0.0)
        for event in listen():
            match event:
                case ConversationItemDone(item=McpApprovalRequest(id=request_id)):
                    server.receive(
                        ConversationItemCreate(
                            item=McpApprovalResponse(approval_request_id=request_id, approve=True)
                        ),
                        0.0,
                    )
                    listen()
                case _:
                    pass
    retold = Script.from_recording(Recording(records=tuple(records)), pacing=LIFELIKE)
    assert (retold.transcripts, retold.mcp_servers, retold.pacing) == (
        ("good morning", None),
        (docs,),
        LIFELIKE,
    )
    hello, look, birds, bees, failure = retold.replies
    assert hello == Reply(outputs=(Message("Hello!", audio=AudioData(spoken)),))
    assert [type(output) for output in look.outputs] == [Message, Call]
    assert look.outputs[1] == Call("look", {"at": "the sky"}, "call_1")
    assert birds.outputs == (
        HostedCall("docs", "search", {"for": "birds"}, output="robin", approval=False),
    )
    assert bees.outputs == (
        HostedCall("docs", "search", {"for": "bees"}, output="honey", approval=True),
    )
    assert failure.failure == Failure("server_overloaded", "Try again.")


def test_speech_on_the_telephone_is_scripted_at_24_khz() -> None:
    output = SessionAudioOutput(format=AudioFormat.pcmu())
    events = [
        SessionCreated(event_id="e", session=RealtimeSession(audio=SessionAudio(output=output))),
        ResponseOutputAudioDelta(
            event_id="e",
            response_id="r",
            item_id="i",
            output_index=0,
            content_index=0,
            delta=b"\xff" * 800,
        ),
        ResponseDone(
            event_id="e",
            response=Response(
                output=(
                    AssistantMessage(
                        id="i",
                        content=[OutputAudio(transcript="Hm.")],
                    ),
                )
            ),
        ),
    ]
    (reply,) = Script.from_recording(
        Recording(records=tuple(WireRecord(0.0, "server", event) for event in events))
    ).replies
    (message,) = reply.outputs
    assert isinstance(message, Message)
    assert message.audio is not None
    assert len(message.audio.samples) == 2400
