"""The offline agent: what it says, how it speaks, and which instructions it follows."""

from __future__ import annotations

import numpy as np
import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from offline_talk import HOUSE, WEATHER, hold, make_tool, output, pieces_of

from realtime_trio.events import (
    AssistantMessage,
    FunctionCall,
    InputImage,
    InputItem,
    SystemMessage,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMcp,
    UserMessage,
)
from realtime_trio.simulator.offline.agent import OfflineAgent
from realtime_trio.simulator.roles import Piece, Say
from realtime_trio.simulator.script.script import Call, Turn

# --- talk -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Hello!", "Hello! I am an offline simulator. How can I help?"),
        (
            "Who are you?",
            "I am an offline simulator, not a language model: "
            "I follow a few rules and hear words, not meaning.",
        ),
        ("what is 12 times 7", "12 times 7 is 84."),
        ("What's twenty-one divided by 4?", "21 divided by 4 is 5.25."),
        ("how much is a hundred and five minus 1,000", "105 minus 1000 is -895."),
        ("10 / 3", "10 divided by 3 is 3.333333."),
        ("1/0", "Nothing can be divided by zero."),
        ("add two and three", "2 plus 3 is 5."),
        ("multiply 3 by minus four", "3 times -4 is -12."),
        ("Subtract 3 from ten.", "10 minus 3 is 7."),
        ("Count to five", "1, 2, 3, 4, 5."),
        ("count down from three to one", "3, 2, 1."),
        ("count from 97 to 99", "97, 98, 99."),
        ("count to a million", "That is further than I count: at most 50 numbers."),
        ("spell the word banana", "B, A, N, A, N, A."),
        ("How do you spell “tea”?", "T, E, A."),
        ("please say good evening", "good evening"),
        ("Repeat after me: the cat sat.", "the cat sat."),
        ('Reply with exactly: "pong"', "pong"),
        ("What time is it?", "I have no clock, so I cannot tell."),
        ("how are you", "I am a program, so always the same. Thank you for asking."),
        ("Thanks a lot", "You are welcome."),
        ("thank you, goodbye", "Goodbye!"),
        ("never mind", "All right."),
        (
            "What can you do?",
            "I can calculate with two numbers, count, spell and repeat what you say.",
        ),
    ],
)
async def test_it_answers_what_it_has_a_rule_for(said: str, answer: str) -> None:
    assert await hold(said) == answer


async def test_it_says_what_it_understood_where_it_has_no_answer() -> None:
    assert await hold("Tell me a joke.") == (
        "I understood: “Tell me a joke.”. I am an offline simulator and have no answer to that. "
        "I can calculate with two numbers, count, spell and repeat what you say."
    )


async def test_it_begins_when_nobody_has_said_anything() -> None:
    assert await hold() == "Hello! I am an offline simulator. How can I help?"
    assert (
        await hold(UserMessage(content=(InputImage(),)))
        == "Hello! I am an offline simulator. How can I help?"
    )


async def test_it_says_when_it_understood_nothing_of_what_it_heard() -> None:
    heard = await hold(UserMessage.audio(b"\0\0"), heard_seconds=2.5)
    assert heard == "I received 2.5 seconds of audio and understood no word of it."


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("none", None),
        ("auto", "get_weather"),
        (ToolChoiceFunction(name="start_timer"), "start_timer"),
        (ToolChoiceMcp(server_label="docs"), None),
    ],
)
async def test_it_calls_what_it_may(choice: ToolChoice, called: str | None) -> None:
    timer = make_tool("start_timer", "Start a timer.", minutes={"type": "integer"})
    said = UserMessage.text("What is the weather like in Paris?")
    pieces = await pieces_of(
        Turn(items=(said,), modality="text", tools=(WEATHER, timer), tool_choice=choice)
    )
    assert [piece.name for piece in pieces if isinstance(piece, Call)] == (
        [] if called is None else [called]
    )


@pytest.mark.parametrize("words", ["Good evening.", "Don't do anything.", "12 times 7"])
async def test_it_calls_something_if_it_must(words: str) -> None:
    silence = make_tool("be_silent", "Say nothing.")
    turn = Turn(
        items=(UserMessage.text(words),), modality="text", tools=(silence,), tool_choice="required"
    )
    assert await pieces_of(turn) == [Call("be_silent", {})]


async def test_it_names_a_few_of_the_tools_it_can_call() -> None:
    tools = tuple(make_tool(f"tool_{letter}") for letter in "abcdefg")
    answer = await hold("help", tools=tools)
    assert isinstance(answer, str)
    assert answer.endswith(
        "repeat what you say and call tool a, tool b, tool c, tool d, tool e and 2 more."
    )


async def test_a_message_comes_sentence_by_sentence() -> None:
    turn = Turn(items=(UserMessage.text("hello"),), modality="text")
    assert await pieces_of(turn) == [
        Say("Hello! "),
        Say("I am an offline simulator. "),
        Say("How can I help?"),
    ]


async def test_a_full_stop_inside_a_number_ends_no_sentence() -> None:
    turn = Turn(items=(UserMessage.text("1.5 plus 2"),), modality="text")
    assert await pieces_of(turn) == [Say("1.5 plus 2 is 3.5.")]


# --- voice ----------------------------------------------------------------------------------------


class Clicks:
    """A voice that says one sample per character, and remembers what."""

    def __init__(self) -> None:
        self.spoken: list[str] = []

    async def speak(self, text: str) -> NDArray[np.int16]:
        await trio.lowlevel.checkpoint()
        self.spoken.append(text)
        return np.ones(len(text), np.int16)


async def test_with_a_voice_every_sentence_has_its_audio() -> None:
    voice = Clicks()
    pieces = await pieces_of(Turn(items=(UserMessage.text("hello"),), modality="audio"), voice)
    assert voice.spoken == ["Hello!", "I am an offline simulator.", "How can I help?"]
    assert [
        len(piece.audio.samples) for piece in pieces if isinstance(piece, Say) and piece.audio
    ] == [6, 26, 15]


async def test_what_is_read_or_called_is_not_spoken() -> None:
    voice = Clicks()
    hello, weather = UserMessage.text("hello"), UserMessage.text("weather in Paris")
    assert [
        piece.audio
        for piece in await pieces_of(Turn(items=(hello,), modality="text"), voice)
        if isinstance(piece, Say)
    ] == [None] * 3
    assert await pieces_of(Turn(items=(weather,), modality="audio", tools=(WEATHER,)), voice) == [
        Call("get_weather", {"city": "Paris"})
    ]
    assert voice.spoken == []


async def test_without_a_voice_audio_is_left_to_others() -> None:
    pieces = await pieces_of(Turn(items=(UserMessage.text("thanks"),), modality="audio"))
    assert pieces == [Say("You are welcome.")]


async def test_an_answer_is_a_series_of_checkpoints() -> None:
    with trio.testing.assert_checkpoints():
        await pieces_of(Turn(items=(), modality="text"))


async def test_a_cancelled_answer_says_nothing_more() -> None:
    said: list[Piece] = []
    with trio.CancelScope() as scope:
        async for piece in OfflineAgent().answer(Turn(items=(), modality="text")):
            said.append(piece)
            scope.cancel()
    assert scope.cancelled_caught
    assert said == [Say("Hello! ")]


# --- instructions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instructions", "said", "answer"),
    [
        ("You are called Ada.", "hello", "Hello! I am Ada, an offline simulator. How can I help?"),
        (
            "Your name is Ada Byron, a clerk.",
            "hello",
            "Hello! I am Ada Byron, an offline simulator. How can I help?",
        ),
        (
            "You are Ada.\nYou are a helpful assistant.",
            "hello",
            "Hello! I am Ada, an offline simulator. How can I help?",
        ),
        (
            "You are A helpful assistant.",
            "hello",
            "Hello! I am an offline simulator. How can I help?",
        ),
        ('Always answer with exactly: "Roger that."', "what is 1 + 1", "Roger that."),
        ("Whatever comes, reply with exactly: Over and out", "hello", "Over and out"),
        ("Answer in at most three words.", "hello", "Hello! I am"),
        ("Answer in one sentence.", "hello", "Hello!"),
        ("Keep it short: no more than 2 sentences.", "hello", "Hello! I am an offline simulator."),
        ('Always end with "over".', "what is 1 + 1", "1 plus 1 is 2. over"),
        ("End every answer with the word over.", "what is 1 + 1", "1 plus 1 is 2. over"),
        (
            'Begin every answer with “Well,” and end it with "right?"',
            "what is 1 + 1",
            "Well, 1 plus 1 is 2. right?",
        ),
        ('Answer in at most 4 words. End with "over and out".', "what is 1 + 1", "1 over and out"),
        ('Answer in at most 2 words. End with "over and out".', "what is 1 + 1", "over and out"),
        ("Speak like a pirate.", "thanks", "You are welcome."),
    ],
)
async def test_it_follows_the_instructions_it_can_follow(
    instructions: str, said: str, answer: str
) -> None:
    assert await hold(said, instructions=instructions) == answer


async def test_system_messages_are_instructions_and_the_newest_counts() -> None:
    system = SystemMessage.text('From now on end with "and out".')
    pieces = await pieces_of(
        Turn(
            items=(system, UserMessage.text("thanks")),
            modality="text",
            instructions='End with "over".',
        )
    )
    assert (
        "".join(piece.text for piece in pieces if isinstance(piece, Say))
        == "You are welcome. and out"
    )


# --- outputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "answer"),
    [
        ('{"temperature": 21, "sky": "clear"}', "It says: temperature 21, sky clear."),
        (
            '{"wind": {"speed_kmh": 3.5, "gusts": false}, "alert": null, "sunny": true}',
            "It says: wind speed kmh 3.5, wind gusts no, sunny yes.",
        ),
        ('[{"name": "Ann"}, {"name": "Bob"}]', "It says: name Ann, name Bob."),
        ("It is sunny.", "It says: It is sunny."),
        ('"sunny"', "It says: sunny."),
        ("42", "It says: 42."),
        ("", "Done."),
        ("null", "Done."),
        ("{}", "Done."),
        ('{"error": "no such city"}', "That did not work: no such city."),
        ('{"error": null, "temperature": 3}', "It says: temperature 3."),
        ("Error: no such city!", "That did not work: no such city!"),
        ("error", "That did not work."),
        (str([*range(14)]), "It says: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, and 2 more."),
        # An output that happens to be a valid event is JSON like any other.
        (
            '{"type": "input_audio_buffer.clear", "event_id": "e"}',
            "It says: type input_audio_buffer.clear, event id e.",
        ),
    ],
)
async def test_the_output_of_a_tool_is_told(returned: str, answer: str) -> None:
    said = await hold("what is the weather in Paris", output(returned), tools=HOUSE)
    assert said == answer


async def test_outputs_of_parallel_calls_are_told_together_and_earlier_ones_are_not() -> None:
    calls = [
        FunctionCall(name="get_weather", arguments="{}", call_id=f"call_{n}") for n in range(3)
    ]
    items: tuple[InputItem, ...] = (
        UserMessage.text("weather in Oslo"),
        calls[0],
        output("snow"),
        AssistantMessage.text("It says: snow."),
        UserMessage.text("weather in Paris and in Rome"),
        *calls[1:],
        output("rain"),
        output("sun"),
    )
    pieces = await pieces_of(Turn(items=items, modality="text", tools=HOUSE))
    assert pieces == [Say("It says: rain. "), Say("It says: sun.")]


async def test_a_tool_is_not_called_again_after_its_output() -> None:
    weather = "what is the weather in Paris"
    assert isinstance(await hold(weather, output("the weather in Paris is fine"), tools=HOUSE), str)
    again = await hold(
        weather, output("fine"), AssistantMessage.text("It says: fine."), tools=HOUSE
    )
    assert isinstance(again, str)
    assert await hold(weather, output("fine"), weather, tools=HOUSE) == (
        "get_weather",
        '{"city":"Paris"}',
    )


async def test_a_call_without_an_output_is_waited_for() -> None:
    call = FunctionCall(name="get_weather", arguments="{}", call_id="call_1")
    pieces = await pieces_of(
        Turn(items=(UserMessage.text("weather in Rome"), call), modality="text", tools=HOUSE)
    )
    assert pieces == [Say("I am still waiting for the result of get weather.")]


# --- anything at all ------------------------------------------------------------------------------


@given(st.lists(st.text(max_size=40), max_size=3), st.text(max_size=60))
def test_no_words_make_it_fail_and_the_pieces_are_the_message(
    said: list[str], instructions: str
) -> None:
    turn = Turn(
        items=tuple(map(UserMessage.text, said)),
        modality="text",
        instructions=instructions,
        tools=HOUSE,
    )
    first, second = (trio.run(pieces_of, turn) for _ in range(2))
    assert first == second
    assert first


def test_a_very_long_text_is_read_in_part() -> None:
    turn = Turn(
        items=(UserMessage.text("one " * 50_000),), modality="text", instructions="say " * 50_000
    )
    (spoken,) = [
        piece
        for piece in trio.run(pieces_of, turn)
        if isinstance(piece, Say) and "understood" in piece.text
    ]
    assert len(spoken.text) < 2_100
