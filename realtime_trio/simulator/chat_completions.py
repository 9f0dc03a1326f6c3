"""A language model behind the simulator: turns are answered by any OpenAI-compatible chat-completions endpoint.

Owns the HTTP request and the translation both ways: a turn becomes messages and tools, the stream
that comes back becomes words, sentences and calls.  Knows no event of the Realtime protocol; how a
sentence sounds is the business of a `Voice`.  Needs the extra `realtime-trio[llm]`.

Theory of operation.  An answer is an object and no generator, and between two pieces it is in no
nursery, cancel scope or context manager: it only holds what `aclose` will close.  What httpx2 hands
out is a chain of generators inside each other.  Closing the outermost leaves the others to the
garbage collector, of which trio complains rightly; so `_Completion` ends them from within, by
letting the innermost run into a cancelled scope.  httpcore2 then closes the connection by itself.
"""

from __future__ import annotations

import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from itertools import groupby
from typing import Literal

import trio
from attrs import define, field, frozen

from realtime_trio._protocol.json_text import write_json
from realtime_trio.audio import AudioData
from realtime_trio.errors import LocalProtocolError, RealtimeError
from realtime_trio.events import (
    AssistantMessage,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    InputAudio,
    InputImage,
    InputItem,
    InputText,
    McpCall,
    OutputAudio,
    OutputText,
    SystemMessage,
    ToolChoiceFunction,
    UserMessage,
)
from realtime_trio.simulator.roles import Piece, Say, Voice
from realtime_trio.simulator.script.script import Call, Turn

try:
    import httpx2
except ModuleNotFoundError as error:
    missing = f"a language model as an agent needs {error.name}: pip install 'realtime-trio[llm]'"
    raise ModuleNotFoundError(missing, name=error.name) from None

_PATH = "/chat/completions"
_DONE = "[DONE]"
_CLOSE_TIMEOUT = 1.0
"""Seconds that closing the connection may take; a courtesy to TLS, nothing depends on it."""
_LONGEST_EXPLANATION = 500
"""Characters of what an endpoint says about an error: some put half a web page there."""

_INAUDIBLE = "[inaudible]"
_INTERRUPTED = "[interrupted]"
_NO_OUTPUT = "[no result yet]"
_FAILED = "[failed]"

_CALL_ID = re.compile(r"[a-zA-Z0-9_-]{1,32}")
_KEY = re.compile(r"[!-~]+")
# Closing quotes, brackets and the asterisks of Markdown belong to the sentence.  The ideographic
# full stops need no space after them.
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]*_]*\s+|[。！？]+|\n+")
_SHORTEST_SENTENCE = 4
"""Nothing ends before this many characters: so "Mr. " and "1. " are no sentences, and "Sure! " is
one."""
_LONGEST_SENTENCE = 300
"""Characters, about 20 s of speech: by then something has to be heard, sentence or not."""

_Json = dict[str, object]


class AgentError(RealtimeError):
    """An agent could not answer.  The message is for people, and names neither keys nor what was said."""

    code: str | None
    """The endpoint's own code for it, such as `model_not_found`, if it gave one."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class ChatCompletionsAgent:
    """Answers with a language model, local or remote, through an OpenAI-compatible chat-completions endpoint.

    Written answers come as the model's own deltas.  Spoken ones come in sentences, so that a voice
    has something to pronounce: with `voice` each has its audio, without it they are left to the
    simulator's synthetic voice.  Calls come last, when their arguments are complete. Any number of
    answers may be under way at once.

    The model reads the instructions, all messages and function calls, and transcripts where there
    is audio: what the user said and nobody transcribed is "[inaudible]" to it, and speech of its
    own that was cut short is "[interrupted]".  A call that has no output yet has "[no result yet]",
    since these endpoints want an output for every call.  Pictures are passed on, tools of MCP
    servers are not.

    Args:
        url: Where it is: the base URL as such servers print it, `http://127.0.0.1:11434/v1`, whose
            `/v1` may be left out if there is no other path, or the whole address, ending in
            `/chat/completions`.
        model: Its name for the model.
        api_key: Sent as a bearer token; None for none.  Shown nowhere.
        voice: Speaks the answers; the synthetic voice when None.
        timeout: Seconds of silence until an answer fails.  The default is long because local models
            read a conversation before they begin.
        client: For settings of your own (proxies, certificates, connections kept open); yours to
            close.  None: one for every answer, with httpx2's defaults, which honour the proxy
            variables of the environment.

    Raises:
        LocalProtocolError: The URL is not one of http or https, or the key is not printable ASCII.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str,
        api_key: str | None = None,
        voice: Voice | None = None,
        timeout: float = 60.0,
        client: httpx2.AsyncClient | None = None,
    ) -> None:
        if api_key is not None and not _KEY.fullmatch(api_key):
            raise LocalProtocolError(
                "the key of a chat-completions endpoint must be printable ASCII without spaces"
            )
        self._endpoint = _Endpoint(url=_completions_url(url), key=api_key, timeout=timeout)
        self._model = model
        self._voice = voice
        self._client = (
            client or httpx2.create_ssl_context()
        )  # what makes a client expensive, so once and not in every answer

    def answer(self, turn: Turn) -> ChatAnswer:
        """Ask the model, and pass on what it says while it says it.  The request leaves with the first step of the iteration."""
        return ChatAnswer(_Completion(self._endpoint), self._client, self._model, self._voice, turn)


class ChatAnswer(AsyncIterator[Piece]):
    """The pieces of one answer.  Closes itself at its end, and when it fails or is cancelled.

    Close it when you leave it before (`contextlib.aclosing`): that closes the connection, by which
    the endpoint learns to stop.
    """

    def __init__(
        self,
        completion: _Completion,
        client: httpx2.AsyncClient | ssl.SSLContext,
        model: str,
        voice: Voice | None,
        turn: Turn,
    ) -> None:
        self._completion = completion
        self._client = client
        self._model = model
        self._voice = voice
        self._turn = turn
        self._calls = _Calls(
            taken={item.call_id for item in turn.items if isinstance(item, FunctionCall)}
        )
        self._sentences = _Sentences()
        self._pieces: deque[Say | Call] = deque()
        self._state: Literal["new", "open", "ended"] = "new"

    async def __anext__(self) -> Piece:
        """Wait for the next piece.

        Raises:
            AgentError: The endpoint cannot be reached, refuses, or sends something that is no
                answer or ends too early.

        Cancellation: ends the answer and closes the connection.
        """
        try:
            await trio.lowlevel.checkpoint()
            while not self._pieces and self._state != "ended":
                await self._read()
            if not self._pieces:
                raise StopAsyncIteration
            piece = self._pieces.popleft()
            if (
                isinstance(piece, Say)
                and self._turn.modality == "audio"
                and self._voice is not None
            ):
                piece = Say(piece.text, AudioData(await self._voice.speak(piece.text.strip())))
        except BaseException:
            await self.aclose()
            raise
        return piece

    async def _read(self) -> None:
        """Turn the next chunk into pieces: none, one or several."""
        if self._state == "new":
            self._state = "open"
            await self._completion.ask(self._client, _chat_request(self._turn, self._model))
        delta = await self._completion.read()
        if delta is None:
            await self._completion.aclose()
            self._state = "ended"
            if self._sentences.rest.strip():
                self._pieces.append(Say(self._sentences.rest))
            with self._completion.endpoint.translated("broke off its answer"):
                self._pieces += self._calls.complete()
            return
        for piece in delta.calls:
            self._calls.add(piece)
        if self._turn.modality == "audio":
            self._pieces += map(Say, self._sentences.add(delta.text))
        elif delta.text:
            self._pieces.append(Say(delta.text))

    async def aclose(self) -> None:
        """Close the connection; nothing more will come.  Twice is as good as once."""
        self._state = "ended"
        self._pieces.clear()
        await self._completion.aclose()


# --- from a turn to a request ---------------------------------------------------------------------


def _chat_request(turn: Turn, model: str) -> _Json:
    tools = [_tool(tool) for tool in turn.tools if isinstance(tool, FunctionTool)]
    request: _Json = {"model": model, "stream": True, "messages": _messages(turn)}
    if not tools:
        return request
    match turn.tool_choice:
        case ToolChoiceFunction(name=name):
            choice: object = {"type": "function", "function": {"name": name}}
        case str() as choice:
            pass
        case _:  # a tool on an MCP server, and none of those is offered
            choice = "none"
    return request | {"tools": tools, "tool_choice": choice}


def _tool(tool: FunctionTool) -> _Json:
    description = {} if tool.description is None else {"description": tool.description}
    parameters = tool.parameters or {
        "type": "object",
        "properties": {},
    }  # optional by the book, but not with every server
    return {
        "type": "function",
        "function": {"name": tool.name, **description, "parameters": parameters},
    }


def _messages(turn: Turn) -> list[_Json]:
    """The conversation as such endpoints insist on having it: every call directly before its output.

    In a realtime conversation people talk on while a function runs.  So a call is told where its
    output is, and in its own place only if there is none; then the model still ends with what
    happened last.
    """
    messages: list[_Json] = (
        [{"role": "system", "content": turn.instructions}] if turn.instructions else []
    )
    items = [plain for item in turn.items for plain in _without_mcp(item)]
    calls = {item.call_id: item for item in items if isinstance(item, FunctionCall)}
    answered = {item.call_id for item in items if isinstance(item, FunctionCallOutput)}
    for _, run in groupby(items, key=type):
        done: list[tuple[FunctionCall, str]] = []
        others: list[_Json] = []
        for item in run:
            match item:
                case FunctionCall(call_id=call_id) if call_id not in answered:
                    done.append((item, _NO_OUTPUT))
                case FunctionCallOutput(call_id=call_id, output=output) if call_id in calls:
                    done.append((calls.pop(call_id), output))
                case FunctionCallOutput(
                    output=output
                ):  # of a call that is no part of this input, or a second output
                    others.append({"role": "user", "content": f"[a function returned] {output}"})
                case SystemMessage() | UserMessage() | AssistantMessage():
                    others += _message(item)
        if done:
            _append_calls(messages, done)
        messages += others
    return messages


def _without_mcp(item: InputItem) -> tuple[InputItem, ...]:
    """An item, or instead of a call that the service ran itself, the same as two items of a function."""
    if not isinstance(item, McpCall):
        return (item,)
    output = _FAILED if item.error is not None else item.output
    call = FunctionCall(name=item.name, arguments=item.arguments, call_id=item.id)
    return (call,) if output is None else (call, FunctionCallOutput(call_id=item.id, output=output))


def _append_calls(messages: list[_Json], done: Iterable[tuple[FunctionCall, str]]) -> None:
    outputs: list[_Json] = [
        {"role": "tool", "tool_call_id": call.call_id, "content": output} for call, output in done
    ]
    calls = [
        {
            "id": call.call_id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments or "{}"},
        }
        for call, _ in done
    ]
    # What the model said in the same breath is the same message there, and many templates want the
    # roles to alternate.
    if messages and messages[-1]["role"] == "assistant":
        messages[-1]["tool_calls"] = calls
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": calls})
    messages += outputs


def _message(item: SystemMessage | UserMessage | AssistantMessage) -> list[_Json]:
    """At most one message.  Its content is a plain text unless there are pictures: not every server takes parts."""
    texts: list[str] = []
    pictures: list[_Json] = []
    for part in item.content:
        match part:
            case InputText(text=text) | OutputText(text=text):
                texts.append(text)
            case InputAudio(transcript=transcript):
                texts.append(transcript or _INAUDIBLE)
            case OutputAudio(transcript=transcript):
                texts.append(transcript or _INTERRUPTED)
            case InputImage(image_url=url, detail=detail):
                pictures.append(
                    {
                        "type": "image_url",
                        "image_url": {"url": url} | ({"detail": detail} if detail else {}),
                    }
                )
    text = "\n".join(filter(None, texts))
    if pictures:
        return [
            {
                "role": item.role,
                "content": [*([{"type": "text", "text": text}] if text else []), *pictures],
            }
        ]
    return [{"role": item.role, "content": text}] if text else []


# --- from a stream to pieces ----------------------------------------------------------------------


@frozen(kw_only=True)
class _CallDelta:
    """A piece of a call."""

    index: int | None
    call_id: str
    name: str
    arguments: str


@frozen
class _Delta:
    """What one chunk of the stream adds."""

    text: str = ""
    calls: tuple[_CallDelta, ...] = ()
    finish_reason: str = ""


class _Misfit(Exception):  # noqa: N818 - becomes an AgentError, which can say who sent it
    """A chunk is not what a chunk of a chat completion is."""


def _to_delta(chunk: object) -> _Delta:
    """Read a chunk; what a model thinks to itself (`reasoning_content`) is not among what it says.

    Raises:
        _Misfit: It is none.
    """
    match chunk:
        case {"choices": [{"delta": {**delta}, **choice}, *_]}:
            text = _text(delta, "content") or _text(delta, "refusal")
            calls = delta.get("tool_calls") or ()
            if not isinstance(calls, list | tuple):
                raise _Misfit("tool_calls is no array")
            return _Delta(text, tuple(map(_to_call_delta, calls)), _text(choice, "finish_reason"))
        case {"choices": []}:  # a chunk that only counts tokens
            return _Delta()
    raise _Misfit("it has no choices")


def _to_call_delta(piece: object) -> _CallDelta:
    match piece:
        case {"function": {**function}, **rest}:
            index = rest.get("index")
            return _CallDelta(
                index=index if isinstance(index, int) else None,
                call_id=_text(rest, "id"),
                name=_text(function, "name"),
                arguments=_text(function, "arguments"),
            )
    raise _Misfit("a tool call has no function")


def _text(parent: Mapping[object, object], key: str) -> str:
    """A string that may be absent or null."""
    value = parent.get(key)
    if not isinstance(value, str | None):
        raise _Misfit(f"{key} is no string")
    return value or ""


@define
class _GrowingCall:
    index: int | None
    call_id: str
    name: str
    arguments: list[str] = field(factory=list)


class _Calls:
    """Puts calls together from their pieces, which servers number in different ways, or not at all."""

    def __init__(self, taken: set[str | None]) -> None:
        self._taken = taken
        self._calls: list[_GrowingCall] = []

    def add(self, piece: _CallDelta) -> None:
        call = self._find(piece)
        if call is None:
            call = _GrowingCall(piece.index, piece.call_id, piece.name)
            self._calls.append(call)
        call.name = call.name or piece.name
        call.arguments.append(piece.arguments)

    def _find(self, piece: _CallDelta) -> _GrowingCall | None:
        """The call that goes on with this piece; None if another one begins.

        A name alone begins nothing, since some servers repeat it; with a new id it does, even if
        the number is an old one, since others number all calls 0.  Without number and id there is
        only the name to go by.
        """
        for call in reversed(self._calls):
            if piece.index is None or piece.index == call.index:
                is_repeated = (
                    piece.call_id == call.call_id if piece.call_id else piece.index is not None
                )
                return call if is_repeated or not piece.name else None
        return None

    def complete(self) -> Iterator[Call]:
        """All of them.  An id stays if it can be one in a Realtime conversation and is new there; otherwise the simulator makes one.

        Raises:
            _Misfit: One has no name.
        """
        for call in self._calls:
            if not call.name:
                raise _Misfit("a tool call has no name")
            is_usable = (
                _CALL_ID.fullmatch(call.call_id) is not None and call.call_id not in self._taken
            )
            self._taken.add(call.call_id)
            yield Call(
                call.name, "".join(call.arguments) or "{}", call.call_id if is_usable else None
            )


class _Sentences:
    """Cuts a text into what can be spoken at a time, while it grows.  Nothing gets lost: the pieces and the rest are the text."""

    def __init__(self) -> None:
        self.rest = ""

    def add(self, text: str) -> Iterator[str]:
        self.rest += text
        while (end := self._end()) is not None:
            sentence, self.rest = self.rest[:end], self.rest[end:]
            yield sentence

    def _end(self) -> int | None:
        start = len(self.rest) - len(self.rest.lstrip())
        limit = start + _LONGEST_SENTENCE
        end = _SENTENCE_END.search(self.rest, start + _SHORTEST_SENTENCE, limit)
        if end is not None:
            return end.end()
        if len(self.rest) < limit:
            return None
        return self.rest.rfind(" ", start, limit) + 1 or limit


# --- HTTP -----------------------------------------------------------------------------------------


def _completions_url(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise LocalProtocolError(
            "the URL of a chat-completions endpoint begins with http:// or https:// and names a host"
        )
    path = parsed.path.rstrip("/")
    return parsed.copy_with(path=path if path.endswith(_PATH) else (path or "/v1") + _PATH)


@frozen(kw_only=True)
class _Endpoint:
    """Whom to ask, and how to speak of it."""

    url: httpx2.URL = field(repr=False)
    key: str | None = field(repr=False)
    timeout: float

    @property
    def headers(self) -> dict[str, str]:
        ours = {"Accept": "text/event-stream", "Content-Type": "application/json"}
        return ours | ({} if self.key is None else {"Authorization": f"Bearer {self.key}"})

    def error(self, what: str, *, code: str | None = None) -> AgentError:
        """An error about it.  Of the URL only what is no secret is shown, and of the key nothing, not even if the endpoint quotes it."""
        shown = self.url.copy_with(userinfo=b"", query=None, fragment=None)
        words = what if self.key is None else what.replace(self.key, "[key]")
        return AgentError(f"the language model at {shown} {words}", code=code)

    def refusal(self, response: httpx2.Response) -> AgentError:
        """The error that an HTTP status stands for."""
        with suppress(ValueError, RecursionError):  # not every error is JSON
            message, code = _explanation(response.json())
            if message is not None:
                return self.error(
                    f"refused with status {response.status_code}: {message}", code=code
                )
        return self.error(
            f"refused with status {response.status_code} {response.reason_phrase}".rstrip()
        )

    @contextmanager
    def translated(self, failing: str) -> Iterator[None]:
        """Within, errors of httpx2 and of the stream's content become ours."""
        try:
            yield
        except httpx2.TimeoutException as error:
            raise self.error(f"was silent for {self.timeout:g} s") from error
        except httpx2.SSEError as error:
            raise self.error("answered with something that is no stream of events") from error
        except httpx2.HTTPError as error:
            raise self.error(f"{failing}: {str(error) or type(error).__name__}") from error
        except (
            _Misfit,
            ValueError,
            RecursionError,
        ) as error:  # of JSON only the kind of error: its text would quote the answer
            reason = str(error) if isinstance(error, _Misfit) else "it is not JSON"
            raise self.error(
                f"sent something that is no chunk of a chat completion: {reason}"
            ) from error


class _Completion:
    """One request, and the stream that answers it.  See the module for how it ends."""

    def __init__(self, endpoint: _Endpoint) -> None:
        self.endpoint = endpoint
        self._opened = AsyncExitStack()
        self._events: AsyncIterator[httpx2.ServerSentEvent]
        self._has_finished = False

    async def ask(self, client: httpx2.AsyncClient | ssl.SSLContext, request: _Json) -> None:
        """Send the request and wait for the answer to begin.  Called once, before everything else.

        Raises:
            AgentError: It does not.
        """
        if isinstance(client, ssl.SSLContext):
            client = await self._opened.enter_async_context(httpx2.AsyncClient(verify=client))
        body, endpoint = write_json(request), self.endpoint
        post = client.build_request(
            "POST", endpoint.url, content=body, headers=endpoint.headers, timeout=endpoint.timeout
        )
        with endpoint.translated("cannot be reached"):
            response = await client.send(post, stream=True)
            self._opened.push_async_callback(response.aclose)
            if not response.is_success:
                await response.aread()
                raise endpoint.refusal(response)
        self._events = aiter(httpx2.EventSource(response))
        self._opened.push_async_callback(_run_dry, self._events)

    async def read(self) -> _Delta | None:
        """The next chunk, or None at the end.

        Raises:
            AgentError: There is none although the answer is not complete.
        """
        with self.endpoint.translated("broke off its answer"):
            async for event in self._events:
                if event.data == _DONE:
                    return None
                if event.data:
                    return self._read(event.json())
        if not self._has_finished:
            raise self.endpoint.error("ended its answer early")
        return None

    def _read(self, chunk: object) -> _Delta:
        message, code = _explanation(chunk)
        if message is not None:
            raise self.endpoint.error(f"failed: {message}", code=code)
        delta = _to_delta(chunk)
        if delta.finish_reason == "content_filter":
            raise self.endpoint.error("withheld the rest of its answer", code=delta.finish_reason)
        self._has_finished = self._has_finished or bool(delta.finish_reason)
        return delta

    async def aclose(self) -> None:
        """Close what is open, even if that is not all and even if cancelled."""
        with trio.move_on_after(_CLOSE_TIMEOUT, shield=True):
            await self._opened.aclose()


async def _run_dry(events: AsyncIterator[httpx2.ServerSentEvent]) -> None:
    """End a chain of generators from within: it yields what it holds, and where it would wait for more it is cancelled."""
    with suppress(httpx2.HTTPError), trio.CancelScope() as scope:
        scope.cancel()
        async for _ in events:
            pass
    await trio.lowlevel.checkpoint()


def _explanation(body: object) -> tuple[str | None, str | None]:
    """What an error says, and its code; servers have their own ways to write it."""
    match body:
        case [first, *_]:
            return _explanation(first)
        case {"error": {"message": str() as message, **rest}}:
            code = rest.get("code")
            return message[:_LONGEST_EXPLANATION], code if isinstance(code, str) else None
        case (
            {"error": str() as message}
            | {"message": str() as message}
            | {"detail": str() as message}
        ):
            return message[:_LONGEST_EXPLANATION], None
    return None, None
