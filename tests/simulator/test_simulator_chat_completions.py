"""A language model as an agent: what its endpoint is asked, what its stream is understood to say, and how an answer ends early."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from typing import Self, TypedDict, Unpack

import attrs
import httpx2
import numpy as np
import pytest
import trio
from attrs import define, field
from completions import DONE, call_chunk, chunk, served
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from realtime_trio.audio import AudioData
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    AssistantMessage,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    InputAudio,
    InputImage,
    InputItem,
    InputText,
    ItemReference,
    McpCall,
    McpProtocolError,
    McpTool,
    Modality,
    OutputAudio,
    SystemMessage,
    Tool,
    ToolChoice,
    ToolChoiceFunction,
    ToolChoiceMcp,
    UnknownObject,
    UserMessage,
)
from realtime_trio.simulator import chat_completions as llm
from realtime_trio.simulator.chat_completions import AgentError, ChatCompletionsAgent
from realtime_trio.simulator.roles import Piece, Say, Voice
from realtime_trio.simulator.script.reply import Call, Turn

URL = "http://model.test/v1"


class Body(httpx2.AsyncByteStream):
    """An answer that arrives in these pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


class Options(TypedDict, total=False):
    """Settings of an agent."""

    api_key: str
    voice: Voice


@define
class Endpoint:
    """A chat-completions endpoint in memory: it answers everybody the same and keeps what it was asked."""

    body: Sequence[bytes] = (chunk(content="Hi."), DONE)
    status: int = 200
    type: str = "text/event-stream; charset=utf-8"
    requests: list[httpx2.Request] = field(factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return httpx2.Response(
            self.status, headers={"Content-Type": self.type}, stream=Body(self.body)
        )

    @asynccontextmanager
    async def open_agent(
        self, url: str = URL, **options: Unpack[Options]
    ) -> AsyncIterator[ChatCompletionsAgent]:
        async with httpx2.AsyncClient(transport=httpx2.MockTransport(self)) as client:
            yield ChatCompletionsAgent(url, model="m", client=client, **options)

    async def answer(self, turn: Turn, url: str = URL, **options: Unpack[Options]) -> list[Piece]:
        async with self.open_agent(url, **options) as agent:
            return [piece async for piece in agent.answer(turn)]


def turn(
    *items: InputItem,
    modality: Modality = "text",
    instructions: str = "",
    tools: Sequence[Tool] = (),
) -> Turn:
    return Turn(
        items=items or (UserMessage.text("Hello"),),
        modality=modality,
        instructions=instructions,
        tools=tuple(tools),
    )


async def asked(before: Turn) -> dict[str, object]:
    """What the endpoint is asked for this turn."""
    endpoint = Endpoint()
    await endpoint.answer(before)
    [request] = endpoint.requests
    content: dict[str, object] = json.loads(request.content)
    return content


async def messages_for(*items: InputItem) -> object:
    return (await asked(turn(*items)))["messages"]


async def answer_to(
    *body: bytes, modality: Modality = "text", **options: Unpack[Options]
) -> list[Piece]:
    return await Endpoint(body).answer(turn(modality=modality), **options)


def call(call_id: str, name: str = "look", arguments: str = "{}") -> FunctionCall:
    return FunctionCall(name=name, arguments=arguments, call_id=call_id)


def output(call_id: str, text: str) -> FunctionCallOutput:
    return FunctionCallOutput(call_id=call_id, output=text)


def asking(*call_ids: str, content: str | None = None) -> dict[str, object]:
    calls = [
        {"id": call_id, "type": "function", "function": {"name": "look", "arguments": "{}"}}
        for call_id in call_ids
    ]
    return {"role": "assistant", "content": content, "tool_calls": calls}


def told(call_id: str, text: str) -> dict[str, object]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


# --- what is asked --------------------------------------------------------------------------------


async def test_a_turn_becomes_messages_in_the_order_of_the_conversation() -> None:
    request = await asked(
        turn(
            UserMessage.text("Hello"),
            AssistantMessage.text("Hi."),
            SystemMessage.text("Be quick."),
            UserMessage(content=[InputAudio(b"\0\0", "What time is it?")]),
            AssistantMessage(content=[OutputAudio(transcript="Noon.")]),
            UserMessage(content=[InputAudio(b"\0\0"), InputText("or did you not hear me?")]),
            AssistantMessage(content=[OutputAudio()]),
            instructions="Be kind.",
        )
    )
    assert request == {
        "model": "m",
        "stream": True,
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi."},
            {"role": "system", "content": "Be quick."},
            {"role": "user", "content": "What time is it?"},
            {"role": "assistant", "content": "Noon."},
            {"role": "user", "content": "[inaudible]\nor did you not hear me?"},
            {"role": "assistant", "content": "[interrupted]"},
        ],
    }


async def test_functions_are_offered_in_the_nested_shape_and_mcp_servers_are_not() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tools: list[Tool] = [
        FunctionTool(name="get_weather", description="Looks out of the window.", parameters=schema),
        FunctionTool(name="ping"),
        McpTool(server_label="docs", server_url="https://docs.test"),
    ]
    assert (await asked(turn(tools=tools)))["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "Looks out of the window.",
                "parameters": schema,
            },
        },
        {
            "type": "function",
            "function": {"name": "ping", "parameters": {"type": "object", "properties": {}}},
        },
    ]
    assert "tools" not in await asked(turn(tools=tools[2:]))


@pytest.mark.parametrize(
    ("choice", "asked_for"),
    [
        ("auto", "auto"),
        ("required", "required"),
        (ToolChoiceFunction(name="look"), {"type": "function", "function": {"name": "look"}}),
        (ToolChoiceMcp(server_label="docs"), "none"),
    ],
)
async def test_the_choice_of_tools_is_passed_on(choice: ToolChoice, asked_for: object) -> None:
    before = attrs.evolve(turn(tools=[FunctionTool(name="look")]), tool_choice=choice)
    assert (await asked(before))["tool_choice"] == asked_for


async def test_calls_of_one_response_are_one_message_together_with_what_was_said() -> None:
    assert await messages_for(
        UserMessage.text("And?"),
        AssistantMessage.text("Let me look."),
        call("call_1"),
        call("call_2"),
        output("call_1", "rain"),
        output("call_2", "snow"),
        call("call_3", arguments=""),
        output("call_3", "sun"),
    ) == [
        {"role": "user", "content": "And?"},
        asking("call_1", "call_2", content="Let me look."),
        told("call_1", "rain"),
        told("call_2", "snow"),
        asking("call_3"),
        told("call_3", "sun"),
    ]


async def test_a_call_is_told_where_its_output_is_however_long_that_took() -> None:
    waiting = (UserMessage.text("Hurry!"), AssistantMessage.text("Yes."))
    assert await messages_for(
        call("call_1"), call("call_2"), output("call_2", "snow"), *waiting, output("call_1", "rain")
    ) == [
        asking("call_2"),
        told("call_2", "snow"),
        {"role": "user", "content": "Hurry!"},
        asking("call_1", content="Yes."),
        told("call_1", "rain"),
    ]


async def test_a_call_without_output_says_so() -> None:
    assert await messages_for(call("call_1"), UserMessage.text("Well?")) == [
        asking("call_1"),
        told("call_1", "[no result yet]"),
        {"role": "user", "content": "Well?"},
    ]


async def test_an_output_without_a_call_is_not_lost() -> None:
    assert await messages_for(
        call("call_1"), output("call_1", "1"), output("call_1", "2"), output("call_0", "0")
    ) == [
        asking("call_1"),
        told("call_1", "1"),
        {"role": "user", "content": "[a function returned] 2"},
        {"role": "user", "content": "[a function returned] 0"},
    ]


async def test_what_the_service_called_itself_reads_as_calls() -> None:
    running = McpCall(id="mcp_1", server_label="docs", name="look", arguments="{}")
    done = McpCall(id="mcp_2", server_label="docs", name="look", arguments="{}", output="found")
    failed = McpCall(
        id="mcp_3",
        server_label="docs",
        name="look",
        arguments="{}",
        error=McpProtocolError(code=1, message="no"),
    )
    assert await messages_for(done, failed, running) == [
        asking("mcp_2"),
        told("mcp_2", "found"),
        asking("mcp_3"),
        told("mcp_3", "[failed]"),
        asking("mcp_1"),
        told("mcp_1", "[no result yet]"),
    ]


async def test_pictures_are_passed_on() -> None:
    picture = InputImage("data:image/png;base64,AAAA", "low")
    assert await messages_for(
        UserMessage(content=[InputText("Who?"), picture]),
        UserMessage(content=[InputImage("data:,")]),
    ) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Who?"},
                {
                    "type": "image_url",
                    "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"},
                },
            ],
        },
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
    ]


async def test_what_says_nothing_is_left_out() -> None:
    nothing = UserMessage(content=[UnknownObject("smell", {"type": "smell"})])
    assert await messages_for(
        UserMessage.text(""), nothing, ItemReference(id="item_1"), UserMessage.text("Hello")
    ) == [{"role": "user", "content": "Hello"}]


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
        'data: {"choices": [{"delta": {"content": "Gr\u00fc\u00df\u2028Gott \U0001f600"}}]}\r\n\r\n'.encode(),
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
IN_PIECES = [
    call_chunk("", name="f", index=0, id="call_1"),
    call_chunk("", name="g", index=1, id="call_2"),
    call_chunk('{"a"', index=0),
    call_chunk('{"b"', index=1),
    call_chunk(": 1}", index=0),
    call_chunk(": 2}", index=1),
]
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


def deltas(text: str) -> list[bytes]:
    return [chunk(content=text[start : start + 3]) for start in range(0, len(text), 3)]


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


# --- how it fails ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "message", "code"),
    [
        (
            404,
            b'{"error": {"message": "model \'m\' not found", "code": "model_not_found"}}',
            "404: model 'm' not found",
            "model_not_found",
        ),
        (500, b'{"error": {"message": "out of memory", "code": 500}}', "500: out of memory", None),
        (400, b'[{"error": {"message": "bad", "code": 400}}]', "400: bad", None),
        (400, b'{"error": "no template"}', "400: no template", None),
        (400, b'{"object": "error", "message": "too long"}', "400: too long", None),
        (401, b'{"detail": "who are you?"}', "401: who are you?", None),
        (502, b"<html>Bad gateway</html>", "502 Bad Gateway", None),
        (429, b'{"error": null}', "429 Too Many Requests", None),
        (307, b"", "307 Temporary Redirect", None),
        (599, b"", "599", None),
    ],
)
async def test_a_status_that_is_no_success_fails_with_the_endpoints_words(
    status: int, body: bytes, message: str, code: str | None
) -> None:
    with pytest.raises(AgentError) as info:
        await Endpoint([body], status, "application/json").answer(turn())
    assert (
        str(info.value)
        == f"the language model at http://model.test/v1/chat/completions refused with status {message}"
    )
    assert info.value.code == code


async def test_long_explanations_are_cut() -> None:
    with pytest.raises(AgentError) as info:
        await Endpoint([json.dumps({"error": "x" * 10_000}).encode()], 500).answer(turn())
    assert len(str(info.value)) < 700


async def test_neither_key_nor_password_is_shown() -> None:
    endpoint = Endpoint([b'{"error": {"message": "Incorrect API key provided: sk-secret."}}'], 401)
    with pytest.raises(AgentError) as info:
        await endpoint.answer(
            turn(), url="http://me:hush@model.test/v1?token=psst", api_key="sk-secret"
        )
    assert str(info.value) == (
        "the language model at http://model.test/v1/chat/completions refused with status 401: Incorrect API key provided: [key]."
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"data: {'choices'\n\n", "no chunk of a chat completion: it is not JSON"),
        (b"data: " + b"[" * 200_000 + b"\n\n", "no chunk of a chat completion: it is not JSON"),
        (b"data: {}\n\n", "it has no choices"),
        (b'data: {"choices": [{"text": "a"}]}\n\n', "it has no choices"),
        (chunk(content=1), "content is no string"),
        (chunk(tool_calls="f"), "tool_calls is no array"),
        (chunk(tool_calls=["f"]), "a tool call has no function"),
        (
            chunk(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": {"a": 1}}}]),
            "arguments is no string",
        ),
        (call_chunk("{}", index=0) + DONE, "a tool call has no name"),
        (
            b'data: {"error": {"message": "out of memory", "code": "oom"}}\n\n',
            "failed: out of memory",
        ),
        (b'event: error\ndata: {"message": "overloaded"}\n\n', "failed: overloaded"),
        (chunk(finish_reason="content_filter"), "withheld the rest"),
        (b"", "ended its answer early"),
        (b"data: [DO", "ended its answer early"),
    ],
)
async def test_a_stream_that_is_no_answer_fails_after_what_was_said(
    line: bytes, message: str
) -> None:
    async with Endpoint([chunk(content="Well,"), line]).open_agent() as agent:
        answer = agent.answer(turn())
        assert await anext(answer) == Say("Well,")
        with pytest.raises(AgentError, match=message):
            await anext(answer)
        assert [piece async for piece in answer] == []


async def test_an_answer_that_is_not_streamed_fails() -> None:
    with pytest.raises(AgentError, match="no stream of events"):
        await Endpoint(
            [b'{"choices": [{"message": {"content": "Hi."}}]}'], type="application/json"
        ).answer(turn())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (httpx2.ReadTimeout(""), "was silent for 2.5 s"),
        (
            httpx2.ConnectError("Name or service not known"),
            "cannot be reached: Name or service not known",
        ),
        (httpx2.ReadError(""), "cannot be reached: ReadError"),
    ],
)
async def test_an_endpoint_that_does_not_answer_fails(
    error: httpx2.HTTPError, message: str
) -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise error

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(refuse)) as client:
        agent = ChatCompletionsAgent(URL, model="m", client=client, timeout=2.5)
        with pytest.raises(AgentError, match=message):
            await anext(agent.answer(turn()))


async def test_a_voice_that_fails_ends_the_answer() -> None:
    class Mute:
        async def speak(self, text: str) -> NDArray[np.int16]:
            raise OSError("no loudspeaker")

    async with Endpoint([*deltas("One. And two. "), DONE]).open_agent(voice=Mute()) as agent:
        answer = agent.answer(turn(modality="audio"))
        with pytest.raises(OSError, match="no loudspeaker"):
            await anext(answer)
        assert [piece async for piece in answer] == []


def test_without_its_library_the_module_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ModuleNotFoundError, match=r"httpx2: pip install 'realtime-trio\[llm\]'"):
        runpy.run_path(llm.__file__)


# --- over a real socket ---------------------------------------------------------------------------


@pytest.mark.socket
async def test_an_answer_over_a_real_connection() -> None:
    async with served(chunk(content="Hel"), chunk(content="lo."), *IN_PIECES, DONE) as endpoint:
        agent = ChatCompletionsAgent(endpoint.url, model="m", api_key="sk-1")
        pieces = [piece async for piece in agent.answer(turn())]
        await endpoint.left.wait()  # it leaves after the mark, although this endpoint ends nothing
    assert pieces == [
        Say("Hel"),
        Say("lo."),
        Call("f", '{"a": 1}', "call_1"),
        Call("g", '{"b": 2}', "call_2"),
    ]
    assert endpoint.request.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert b"authorization: bearer sk-1\r\n" in endpoint.request.lower()


@pytest.mark.socket
async def test_closing_an_answer_closes_its_connection() -> None:
    async with served(
        chunk(content="One,") + chunk(content=" two,"), chunk(content=" three")
    ) as endpoint:
        agent = ChatCompletionsAgent(endpoint.url, model="m")
        async with aclosing(agent.answer(turn())) as answer:
            assert await anext(answer) == Say("One,")
        await endpoint.left.wait()
        await answer.aclose()
        assert [piece async for piece in answer] == []


@pytest.mark.socket
async def test_cancelling_an_answer_closes_its_connection() -> None:
    async with served(chunk(content="One,")) as endpoint:
        agent = ChatCompletionsAgent(endpoint.url, model="m")
        with trio.CancelScope() as scope:
            async for _ in agent.answer(turn()):
                scope.cancel()  # arrives while it waits for more
        assert scope.cancelled_caught
        await endpoint.left.wait()


@pytest.mark.socket
async def test_closing_in_a_cancelled_scope_closes_the_connection() -> None:
    async with served(chunk(content="One,")) as endpoint:
        answer = ChatCompletionsAgent(endpoint.url, model="m").answer(turn())
        assert await anext(answer) == Say("One,")
        with trio.CancelScope() as scope:
            scope.cancel()
            await answer.aclose()
        await endpoint.left.wait()


@pytest.mark.socket
async def test_an_answer_that_was_never_begun_needs_no_closing() -> None:
    answer = ChatCompletionsAgent("http://127.0.0.1:1", model="m").answer(turn())
    await answer.aclose()
    assert [piece async for piece in answer] == []


@pytest.mark.socket
async def test_a_connection_that_breaks_fails_the_answer() -> None:
    async with served(chunk(content="One,"), hangs_up=True) as endpoint:
        answer = ChatCompletionsAgent(endpoint.url, model="m").answer(turn())
        assert await anext(answer) == Say("One,")
        with pytest.raises(AgentError, match="broke off its answer"):
            await anext(answer)


@pytest.mark.socket
async def test_nobody_at_the_address_fails_the_answer() -> None:
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))  # bound, but nobody listens
        agent = ChatCompletionsAgent(f"http://127.0.0.1:{unused.getsockname()[1]}/v1", model="m")
        with (
            trio.fail_after(5),
            pytest.raises(
                AgentError,
                match=r"at http://127\.0\.0\.1:\d+/v1/chat/completions cannot be reached: ",
            ),
        ):
            await anext(agent.answer(turn()))
