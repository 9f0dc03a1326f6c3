"""A language model as an agent: where it is, and what its stream is understood to say."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import trio
from attrs import define, field
from completions import DONE, call_chunk, chunk
from hypothesis import given, strategies as st
from model_endpoint import IN_PIECES, URL, Endpoint, answer_to, call, deltas, output, turn
from numpy.typing import NDArray

from realtime_trio.audio import AudioData
from realtime_trio.errors import LocalProtocolError
from realtime_trio.simulator.chat_completions import ChatCompletionsAgent
from realtime_trio.simulator.roles import Say
from realtime_trio.simulator.script.reply import Call


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434/v1/chat/completions"),
        ("http://127.0.0.1:11434/", "http://127.0.0.1:11434/v1/chat/completions"),
        ("http://127.0.0.1:11434/v1/", "http://127.0.0.1:11434/v1/chat/completions"),
        ("https://models.test/api/v2", "https://models.test/api/v2/chat/completions"),
        (
            "https://models.test/chat/completions?api-version=1",
            "https://models.test/chat/completions?api-version=1",
        ),
    ],
)
async def test_the_address_is_a_base_url_or_the_whole(given: str, url: str) -> None:
    endpoint = Endpoint()
    await endpoint.answer(turn(), url=given)
    assert [str(request.url) for request in endpoint.requests] == [url]


async def test_the_key_is_a_bearer_token_and_none_is_none() -> None:
    endpoint = Endpoint()
    await endpoint.answer(turn(), api_key="sk-1")
    await endpoint.answer(turn())
    assert [request.headers.get("Authorization") for request in endpoint.requests] == [
        "Bearer sk-1",
        None,
    ]
    assert endpoint.requests[0].headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "url", ["ws://model.test/v1", "model.test", "http://", "http://model.test:x", ""]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(LocalProtocolError, match="http://"):
        ChatCompletionsAgent(url, model="m")


@pytest.mark.parametrize("key", ["", "sk 1", "sk-1\n", "schlüssel"])
def test_a_key_that_is_none_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(LocalProtocolError, match="printable ASCII") as info:
        ChatCompletionsAgent(URL, model="m", api_key=key)
    assert not key or key not in str(info.value)


# --- what is answered -----------------------------------------------------------------------------


async def test_text_comes_delta_by_delta() -> None:
    body = [
        b": keep-alive\n\n",
        chunk(role="assistant", content=""),
        chunk(content=None, reasoning_content="Hm, a greeting."),
        chunk(content="Good"),
        b": keep-alive\n\n",
        b"event: ping\n\n",
        chunk(content=" day."),
        chunk(finish_reason="stop"),
        b'data: {"choices": [], "usage": {"total_tokens": 12}}\n\n',
        DONE,
        chunk(content="Nobody hears this."),
    ]
    assert await answer_to(*body) == [Say("Good"), Say(" day.")]


async def test_a_refusal_is_said() -> None:
    assert await answer_to(chunk(refusal="I would rather not."), DONE) == [
        Say("I would rather not.")
    ]


async def test_an_answer_may_end_without_the_mark() -> None:
    assert await answer_to(chunk(content="Yes."), chunk(finish_reason="stop")) == [Say("Yes.")]


async def test_an_empty_answer_is_one() -> None:
    assert await answer_to(chunk(finish_reason="stop"), DONE) == []


LINES = b"".join(
    [
        b"\xef\xbb\xbf: hello\r\n\r\n",
        b'data: {"choices": [{"delta": {"content": ',
        '"Gr\u00fc\u00df\u2028Gott \U0001f600"}}]}\r\n\r\n'.encode(),
        b'data: {"choices":\r\ndata: [{"delta": {"content": "!"}}]}\r\n\r\n',
        call_chunk('{"a": ', name="f", index=0, id="call_1"),
        call_chunk("1}", index=0),
        DONE,
    ]
).removeprefix(b"\xef\xbb\xbf")


@given(cuts=st.lists(st.integers(0, len(LINES))))
async def test_it_does_not_matter_where_the_network_cuts(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(LINES)]
    body = [LINES[start:end] for start, end in pairwise(edges)]
    assert await answer_to(*body) == [
        Say("Grüß\u2028Gott \U0001f600"),
        Say("!"),
        Call("f", '{"a": 1}', "call_1"),
    ]


# How different servers write two calls.
ALL_NUMBERED_ZERO = [
    call_chunk('{"a": 1}', name="f", index=0, id="call_1"),
    call_chunk('{"b": 2}', name="g", index=0, id="call_2"),
]
NAMES_REPEATED = [
    call_chunk('{"a"', name="f", index=0, id="call_1"),
    call_chunk(": 1}", name="f", index=0, id="call_1"),
    call_chunk('{"b": 2}', name="g", index=1, id="call_2"),
]
NOT_NUMBERED = [
    call_chunk('{"a"', name="f", id="call_1"),
    call_chunk(": 1}", id="call_1", name="f"),
    call_chunk('{"b": ', name="g", id="call_2"),
    call_chunk("2}"),
]
NAMES_LATE = [
    call_chunk("", index=0, id="call_1"),
    call_chunk('{"a": 1}', index=0, name="f"),
    IN_PIECES[1],
    call_chunk('{"b": 2}', index=1),
]


@pytest.mark.parametrize(
    "body", [IN_PIECES, ALL_NUMBERED_ZERO, NAMES_REPEATED, NOT_NUMBERED, NAMES_LATE]
)
async def test_calls_are_put_together(body: list[bytes]) -> None:
    pieces = await answer_to(chunk(content="Wait."), *body, chunk(finish_reason="tool_calls"), DONE)
    assert pieces == [
        Say("Wait."),
        Call("f", '{"a": 1}', "call_1"),
        Call("g", '{"b": 2}', "call_2"),
    ]


async def test_calls_without_numbers_and_ids_are_told_apart_by_their_names() -> None:
    assert await answer_to(call_chunk("{}", name="f"), call_chunk("{}", name="f"), DONE) == [
        Call("f"),
        Call("f"),
    ]


async def test_no_arguments_are_an_empty_object() -> None:
    assert await answer_to(chunk(tool_calls=[{"function": {"name": "f"}}]), DONE) == [
        Call("f", "{}")
    ]


async def test_an_id_that_cannot_be_kept_is_left_to_the_simulator() -> None:
    ids = ["call_1", "c" * 33, "no way", "call_2", "call_2"]
    body = [call_chunk(name="f", index=index, id=call_id) for index, call_id in enumerate(ids)]
    pieces = await Endpoint([*body, DONE]).answer(turn(call("call_1"), output("call_1", "rain")))
    assert [piece.call_id for piece in pieces if isinstance(piece, Call)] == [
        None,
        None,
        None,
        "call_2",
        None,
    ]


# --- how it is spoken -----------------------------------------------------------------------------


@define
class Speaker:
    """A voice that says as many samples as there are characters."""

    spoken: list[str] = field(factory=list)

    async def speak(self, text: str) -> NDArray[np.int16]:
        await trio.lowlevel.checkpoint()
        self.spoken.append(text)
        return np.zeros(len(text), np.int16)


async def test_speech_comes_in_sentences_with_the_calls_after_it() -> None:
    voice = Speaker()
    body = [
        *deltas("Sure! It is 3.5 degrees. Mr. X says so"),
        call_chunk(name="f", id="call_1"),
        DONE,
    ]
    assert await answer_to(*body, modality="audio", voice=voice) == [
        Say("Sure! ", AudioData(np.zeros(5, np.int16))),
        Say("It is 3.5 degrees. ", AudioData(np.zeros(18, np.int16))),
        Say("Mr. X says so", AudioData(np.zeros(13, np.int16))),
        Call("f", call_id="call_1"),
    ]
    assert voice.spoken == ["Sure!", "It is 3.5 degrees.", "Mr. X says so"]


async def test_without_a_voice_sentences_are_left_to_the_simulator() -> None:
    assert await answer_to(*deltas("It is noon. Really."), DONE, modality="audio") == [
        Say("It is noon. "),
        Say("Really."),
    ]


async def test_written_answers_are_not_spoken() -> None:
    voice = Speaker()
    assert await answer_to(chunk(content="Noon."), DONE, voice=voice) == [Say("Noon.")]
    assert voice.spoken == []


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("(He said: “no!”) Well…  I see.", ["(He said: “no!”) ", "Well…  ", "I see."]),
        ("1. Milk\n2. Eggs\n", ["1. Milk\n", "2. Eggs\n"]),
        ("今日は。元気ですか？はい", ["今日は。元気ですか？", "はい"]),
        ("\n\n \n", []),
        (" Yes. ", [" Yes. "]),
        ("x" * 650, ["x" * 300, "x" * 300, "x" * 50]),
        ("and so on " * 40, ["and so on " * 30, "and so on " * 10]),
        (" " * 700 + "Hm", [" " * 700 + "Hm"]),
    ],
)
async def test_sentences_end_where_a_voice_would_pause(text: str, sentences: list[str]) -> None:
    assert await answer_to(*deltas(text), DONE, modality="audio") == [
        Say(sentence) for sentence in sentences
    ]


@given(text=st.text(st.sampled_from("ab .!?\n…。)*")))
async def test_no_word_of_what_is_spoken_gets_lost(text: str) -> None:
    pieces = await answer_to(*deltas(text), DONE, modality="audio")
    said = "".join(piece.text for piece in pieces if isinstance(piece, Say))
    assert said.strip() == text.strip()
    assert all(piece.text.strip() for piece in pieces if isinstance(piece, Say))
