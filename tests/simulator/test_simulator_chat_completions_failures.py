"""A language model as an agent: how an answer fails, and how it ends early."""

from __future__ import annotations

import json
import runpy
import sys
from contextlib import aclosing

import httpx2
import numpy as np
import pytest
import trio
from completions import DONE, call_chunk, chunk, served
from model_endpoint import IN_PIECES, URL, Endpoint, deltas, turn
from numpy.typing import NDArray

from realtime_trio.simulator import chat_completions as llm
from realtime_trio.simulator.chat_completions import AgentError, ChatCompletionsAgent
from realtime_trio.simulator.roles import Say
from realtime_trio.simulator.script.reply import Call

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
        == f"the language model at {URL}/chat/completions refused with status {message}"
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
        "the language model at http://model.test/v1/chat/completions refused with status 401: "
        "Incorrect API key provided: [key]."
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"data: {'choices'\n\n", "not a chunk of a chat completion: it is not JSON"),
        (b"data: " + b"[" * 200_000 + b"\n\n", "not a chunk of a chat completion: it is not JSON"),
        (b"data: {}\n\n", "it has no choices"),
        (b'data: {"choices": [{"text": "a"}]}\n\n', "it has no choices"),
        (chunk(content=1), "content is not a string"),
        (chunk(tool_calls="f"), "tool_calls is not an array"),
        (chunk(tool_calls=["f"]), "a tool call has no function"),
        (
            chunk(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": {"a": 1}}}]),
            "arguments is not a string",
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
    with pytest.raises(AgentError, match="not a stream of events"):
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
    with pytest.raises(ModuleNotFoundError, match=r"httpx2, of .* pip install '\.\[llm\]'"):
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
