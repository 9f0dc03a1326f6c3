"""A language model behind the simulator: any OpenAI-compatible chat-completions endpoint answers.

Owns the HTTP request, and how an answer ends; what is written and read is the business of
`simulator.chat`, and how a sentence sounds that of a `Voice`.  Knows no event of the Realtime
protocol.  Needs the extra `llm`.

Theory of operation.  An answer is an object, not a generator, and between two pieces it is in no
nursery, cancel scope or context manager: it only holds what `aclose` will close.  What httpx2 hands
out is a chain of generators inside each other.  Closing the outermost leaves the others to the
garbage collector, of which trio complains rightly; so `_Completion` ends them from within, by
letting the innermost run into a cancelled scope.  httpcore2 then closes the connection by itself.
"""

from __future__ import annotations

import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Final, Literal

import trio
from attrs import field, frozen

from realtime_trio._misuse import without_extra
from realtime_trio._protocol.json_text import write_json
from realtime_trio.audio import AudioData
from realtime_trio.errors import LocalProtocolError, RealtimeError
from realtime_trio.events import FunctionCall
from realtime_trio.simulator.chat.request import chat_request
from realtime_trio.simulator.chat.stream import (
    ChatDelta,
    ChunkError,
    GrowingCalls,
    GrowingText,
    read_chunk,
    read_error,
)
from realtime_trio.simulator.roles import Piece, Say, Voice
from realtime_trio.simulator.script.script import Call, Turn

try:
    import httpx2
except ModuleNotFoundError as error:
    missing = without_extra("a language model as an agent", str(error.name), "llm")
    raise ModuleNotFoundError(missing, name=error.name) from None

_PATH: Final = "/chat/completions"
_DONE: Final = "[DONE]"
_CLOSE_TIMEOUT: Final = 1.0
"""Seconds that closing the connection may take; a courtesy to TLS, nothing depends on it."""
_KEY: Final = re.compile(r"[!-~]+")


class AgentError(RealtimeError):
    """An agent could not answer.

    The message is for people, and names neither keys nor what was said.
    """

    code: str | None
    """The endpoint's own code for it, such as `model_not_found`, if it gave one."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class ChatCompletionsAgent:
    """Answers with a language model, local or remote, over OpenAI-compatible chat completions.

    Written answers come as the model's own deltas.  Spoken ones come in sentences, so that a voice
    has something to pronounce: with `voice` each has its audio, without it they are left to the
    simulator's synthetic voice.  Calls come last, when their arguments are complete.  Any number of
    answers may be under way at once.

    The model reads the instructions, all messages and function calls, and transcripts where there
    is audio: what the user said and nobody transcribed is "[inaudible]" to it, and speech of its
    own that was cut short is "[interrupted]".  A call that has no output yet has "[no result yet]",
    since these endpoints want an output for every call.  Pictures are passed on; tools of MCP
    servers are not.

    Args:
        url: The base URL as such servers print it, `http://127.0.0.1:11434/v1`, whose `/v1` may be
            left out if there is no other path.  Or the whole address, ending in
            `/chat/completions`.
        model: The endpoint's name for the model.
        api_key: Sent as a bearer token, and never shown; None sends no key.
        voice: Speaks the answers; None leaves that to the synthetic voice.
        timeout: Seconds of silence until an answer fails.  The default is long because local models
            read a conversation before they begin.
        client: For settings of your own: proxies, certificates, connections kept open.  You close
            it.  None makes one for every answer, with httpx2's defaults, which honour the proxy
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
        self._endpoint = _ModelServer(url=_completions_url(url), key=api_key, timeout=timeout)
        self._model = model
        self._voice = voice
        # The context is what makes a client expensive, so it is made once, not in every answer.
        self._client = client or httpx2.create_ssl_context()

    def answer(self, turn: Turn) -> ChatAnswer:
        """Ask the model, and pass on what it says while it says it.

        The request leaves with the first step of the iteration.
        """
        return ChatAnswer(_Completion(self._endpoint), self._client, self._model, self._voice, turn)


class ChatAnswer(AsyncIterator[Piece]):
    """The pieces of one answer.  Closes itself at its end, and when it fails or is cancelled.

    If you leave it before, close it (`contextlib.aclosing`): that closes the connection, by which
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
        self._calls = GrowingCalls(
            taken={item.call_id for item in turn.items if isinstance(item, FunctionCall)}
        )
        self._text = GrowingText()
        self._pieces: deque[Say | Call] = deque()
        self._state: Literal["new", "open", "ended"] = "new"

    async def __anext__(self) -> Piece:
        """Wait for the next piece.

        Raises:
            AgentError: The endpoint cannot be reached, refuses, or sends something that is not an
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
            # Cancelled too: the caller may not call `aclose` then, and the endpoint would talk on.
            await self.aclose()
            raise
        return piece

    async def _read(self) -> None:
        """Turn the next chunk into pieces: none, one or several."""
        if self._state == "new":
            self._state = "open"
            await self._completion.ask(self._client, chat_request(self._turn, self._model))
        delta = await self._completion.read()
        if delta is None:
            # The rest may take long to speak, and does not need the connection any more.
            await self._completion.aclose()
            self._state = "ended"
            if self._text.rest.strip():
                self._pieces.append(Say(self._text.rest))
            with self._completion.endpoint.translated("broke off its answer"):
                self._pieces += self._calls.complete()
            return
        for piece in delta.calls:
            self._calls.add(piece)
        if self._turn.modality == "audio":
            self._pieces += map(Say, self._text.add(delta.text))
        elif delta.text:
            self._pieces.append(Say(delta.text))

    async def aclose(self) -> None:
        """Close the connection; nothing more will come.  Idempotent."""
        self._state = "ended"
        self._pieces.clear()
        await self._completion.aclose()


# --- HTTP -----------------------------------------------------------------------------------------


def _completions_url(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise LocalProtocolError(
            "the URL of a chat-completions endpoint begins with http:// or https:// "
            "and names a host"
        )
    path = parsed.path.rstrip("/")
    return parsed.copy_with(path=path if path.endswith(_PATH) else (path or "/v1") + _PATH)


@frozen(kw_only=True)
class _ModelServer:
    """The endpoint that is asked, and what is said about it when it fails."""

    url: httpx2.URL = field(repr=False)
    key: str | None = field(repr=False)
    timeout: float

    @property
    def headers(self) -> dict[str, str]:
        ours = {"Accept": "text/event-stream", "Content-Type": "application/json"}
        return ours | ({} if self.key is None else {"Authorization": f"Bearer {self.key}"})

    def error(self, what: str, *, code: str | None = None) -> AgentError:
        """An error that names it without its secrets.

        Of the URL only the parts are shown that cannot hold a secret, and of the key nothing, not
        even where the endpoint quotes it.
        """
        shown = self.url.copy_with(userinfo=b"", query=None, fragment=None)
        words = what if self.key is None else what.replace(self.key, "[key]")
        return AgentError(f"the language model at {shown} {words}", code=code)

    def refusal(self, response: httpx2.Response) -> AgentError:
        """The error that an HTTP status stands for."""
        # Not every error is JSON, whatever its headers say.
        with suppress(ValueError, RecursionError):
            message, code = read_error(response.json())
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
            raise self.error("answered with something that is not a stream of events") from error
        except httpx2.HTTPError as error:
            raise self.error(f"{failing}: {str(error) or type(error).__name__}") from error
        except (ChunkError, ValueError, RecursionError) as error:
            # Of an error in JSON only that it is one: its text would quote the answer.
            reason = str(error) if isinstance(error, ChunkError) else "it is not JSON"
            raise self.error(
                f"sent something that is not a chunk of a chat completion: {reason}"
            ) from error


class _Completion:
    """One request, and the stream that answers it; the module's docstring says how it ends."""

    def __init__(self, endpoint: _ModelServer) -> None:
        self.endpoint = endpoint
        self._opened = AsyncExitStack()
        self._events: AsyncIterator[httpx2.ServerSentEvent]
        self._has_finished = False

    async def ask(
        self, client: httpx2.AsyncClient | ssl.SSLContext, request: dict[str, object]
    ) -> None:
        """Send the request and wait for the answer to begin.  Called once, before everything else.

        Raises:
            AgentError: There is no answer, or it is a refusal.
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

    async def read(self) -> ChatDelta | None:
        """The next chunk, or None at the end.

        Raises:
            AgentError: There is no more although the answer is not complete.
        """
        with self.endpoint.translated("broke off its answer"):
            async for event in self._events:
                if event.data == _DONE:
                    return None
                if event.data:
                    return self._read(event.json())
        # Some servers leave out the mark, so a reason to finish counts as the end too.
        if not self._has_finished:
            raise self.endpoint.error("ended its answer early")
        return None

    def _read(self, chunk: object) -> ChatDelta:
        # Status and headers have been sent by now, so an error comes as one more chunk.
        message, code = read_error(chunk)
        if message is not None:
            raise self.endpoint.error(f"failed: {message}", code=code)
        delta = read_chunk(chunk)
        if delta.finish_reason == "content_filter":
            raise self.endpoint.error("withheld the rest of its answer", code=delta.finish_reason)
        self._has_finished = self._has_finished or bool(delta.finish_reason)
        return delta

    async def aclose(self) -> None:
        """Close what is open, also before all of it is, and also when cancelled."""
        with trio.move_on_after(_CLOSE_TIMEOUT, shield=True):
            await self._opened.aclose()


async def _run_dry(events: AsyncIterator[httpx2.ServerSentEvent]) -> None:
    """End a chain of generators from within.

    It yields what it holds, and where it would wait for more it is cancelled.
    """
    with suppress(httpx2.HTTPError), trio.CancelScope() as scope:
        scope.cancel()
        async for _ in events:
            pass
    await trio.lowlevel.checkpoint()
