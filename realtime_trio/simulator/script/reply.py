"""One reply of the simulated model: what it says and calls, how it ends, and how fast it comes.

Owns the words, and the turn that the model has before it; nothing of the protocol.  Everything here
is a value.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from types import NoneType
from typing import Any, Final

import attrs
from attrs import field, frozen

from realtime_trio._misuse import check_kind, check_number, kind_of, to_tuple
from realtime_trio._protocol.json_text import write_json
from realtime_trio.audio import AudioData, AudioLike
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    FunctionCallOutput,
    InputAudio,
    InputItem,
    InputText,
    JsonObject,
    McpCall,
    McpError,
    McpToolExecutionError,
    Modality,
    Tool,
    ToolChoice,
    UserMessage,
)


def check_delay(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    """Refuse what is not a number of seconds."""
    # NaN fails both comparisons, and is refused too.
    check_number(
        attribute.name,
        value,
        lambda number: 0 <= number < math.inf,
        allowed="a number of seconds, 0 or more",
    )


_Validator = Callable[[object, "attrs.Attribute[Any]", object], None]


def of_kind(*kinds: type, allowed: str) -> _Validator:
    """A validator that refuses values of other kinds with a TypeError."""

    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        check_kind(attribute.name, value, *kinds, allowed=allowed)

    return check


def each_of_kind(*kinds: type, allowed: str) -> _Validator:
    """The same for every element."""

    def check(_: object, attribute: attrs.Attribute[Any], values: object) -> None:
        assert isinstance(values, tuple), "a converter has made a tuple"
        for value in values:
            check_kind(attribute.name, value, *kinds, allowed=allowed)

    return check


_IS_TEXT: Final = of_kind(str, allowed="a str")
_IS_OPTIONAL_TEXT: Final = of_kind(str, NoneType, allowed="a str or None")


def _check_speed(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    check_number(
        attribute.name,
        value,
        lambda number: number > 0,
        allowed="a number greater than 0, math.inf for no limit",
    )


@frozen(kw_only=True)
class Pacing:
    """How fast a reply comes.  The default is all at once, so that tests take no time."""

    time_to_first_event: float = field(default=0.0, validator=check_delay)
    """Seconds between `response.created` and the first event of the first output.  In a translation
    session: between a frame of audio and what is said in it."""
    tokens_per_second: float = field(default=math.inf, validator=_check_speed)
    """Deltas per second of written text, of a call's arguments, and of the transcript of what the
    user said."""
    audio_speed: float = field(default=math.inf, validator=_check_speed)
    """How many seconds of speech come in a second.  A transcript keeps a little ahead of its
    speech."""


INSTANT = Pacing()
"""Everything at once."""
LIFELIKE = Pacing(time_to_first_event=0.35, tokens_per_second=40.0, audio_speed=4.0)
"""About as the service does it: a short wait, then speech several times faster than real time."""


@frozen(kw_only=True)
class Turn:
    """What the model would have before it when it answers; given to predicates and agents."""

    items: tuple[InputItem, ...]
    """The conversation so far, or the `input` of the response; speech of the assistant as its
    transcript."""
    modality: Modality
    """What the answer will be made of."""
    instructions: str = ""
    """The effective instructions."""
    tools: tuple[Tool, ...] = ()
    """The tools on offer."""
    tool_choice: ToolChoice = "auto"
    """Whether tools may, must or must not be called, or which one must.  It is not checked that the
    answer keeps to it."""
    max_output_tokens: int | None = None
    """After how many tokens the answer is cut off, None for never.  Speech counts 20 tokens a
    second."""
    metadata: JsonObject | None = None
    """The metadata of the request."""
    heard_seconds: float = 0.0
    """Seconds of audio in the last user message."""

    @property
    def user_text(self) -> str:
        """What the user last wrote or, as far as it was transcribed, said; `""` if nothing."""
        # The last user message, which need not be the last item: there may be a call after it.
        message = next(
            (item for item in reversed(self.items) if isinstance(item, UserMessage)), None
        )
        return "" if message is None else " ".join(filter(None, map(_text_of, message.content)))

    @property
    def tool_output(self) -> str | None:
        """The output of a function or of an MCP tool if that is the last item, else None."""
        last = self.items[-1] if self.items else None
        return last.output if isinstance(last, FunctionCallOutput | McpCall) else None


def _text_of(part: object) -> str | None:
    match part:
        case InputText(text=text):
            return text
        case InputAudio(transcript=transcript):
            return transcript
    return None


Predicate = Callable[[Turn], bool]
"""Decides whether a reply fits."""


def _to_optional_audio(audio: AudioLike | None) -> AudioData | None:
    return None if audio is None else AudioData.of(audio)


def _to_json(arguments: str | Mapping[str, object]) -> str:
    # As it is: a broken text is how a client's reading of arguments is tested.
    if isinstance(arguments, str):
        return arguments
    try:
        return write_json(dict(arguments))
    except (TypeError, ValueError) as error:
        raise LocalProtocolError(f"the arguments of a call are not JSON: {error}") from None


@frozen
class Message:
    """Something to say: spoken or written as the response's modality wants it."""

    text: str = field(validator=_IS_TEXT)
    """The words."""
    audio: AudioData | None = field(default=None, converter=_to_optional_audio, kw_only=True)
    """How they are spoken: samples at 24 kHz.  None leaves that to the synthetic voice, if they are
    spoken at all."""


@frozen
class Call:
    """A function call."""

    name: str = field(validator=_IS_TEXT)
    """Which function; it is not checked that it was offered."""
    arguments: str = field(default="{}", converter=_to_json)
    """A mapping, or JSON text, which may be broken if that is what you want to test."""
    call_id: str | None = field(default=None, validator=_IS_OPTIONAL_TEXT)
    """Id of the call; None lets the server make one."""


@frozen
class Failure:
    """How a response fails."""

    code: str | None = field(validator=_IS_OPTIONAL_TEXT)
    """Code for programs, e.g. `insufficient_quota`."""
    message: str = field(validator=_IS_TEXT)
    """Explanation for people."""
    type: str = field(default="server_error", validator=_IS_TEXT)
    """Kind of error."""


def _to_error(error: McpError | str | None) -> McpError | None:
    return McpToolExecutionError(message=error) if isinstance(error, str) else error


@frozen
class HostedCall:
    """A call of a tool on an MCP server, which the service makes by itself, and what comes of it.

    The model can only call what it was offered.  If the tool is not among those that the response
    may use, because its server is not in the configuration, was not listed yet, or keeps it from
    the model, the reply says so in words in place of the call.
    """

    server_label: str = field(validator=_IS_TEXT)
    """Which server."""
    name: str = field(validator=_IS_TEXT)
    """Which of its tools."""
    arguments: str = field(default="{}", converter=_to_json)
    """A mapping, or JSON text, which may be broken if that is what you want to test."""
    output: str = field(default="", converter=_to_json, kw_only=True)
    """What the tool returns unless it fails: a text, or a mapping that becomes JSON."""
    error: McpError | None = field(default=None, converter=_to_error, kw_only=True)
    """How the call fails; a text is the message of a tool that failed.  None lets it succeed."""
    approval: bool | None = field(default=None, kw_only=True)
    """Whether the service asks before it makes the call; None leaves that to `require_approval` of
    the configured tool."""
    duration: float = field(default=0.0, validator=check_delay, kw_only=True)
    """Seconds that the tool takes.  The conversation goes on meanwhile."""


Output = Message | Call | HostedCall
"""One item of a reply."""


def _to_outputs(outputs: Iterable[Output]) -> tuple[Output, ...]:
    return to_tuple("outputs", outputs)


@frozen(kw_only=True)
class Reply:
    """One response: its outputs in order, and how it ends.  Made by the constructors below."""

    outputs: tuple[Output, ...] = field(
        default=(),
        converter=_to_outputs,
        validator=each_of_kind(
            Message, Call, HostedCall, allowed="made of Message, Call and HostedCall"
        ),
    )
    """What it says and calls, each an item."""
    failure: Failure | None = field(
        default=None, validator=of_kind(Failure, NoneType, allowed="a Failure or None")
    )
    """Why the response fails after these outputs; None lets it complete."""
    when: Predicate | None = field(default=None)
    """A reply with a predicate waits in the script until a turn fits."""
    pacing: Pacing | None = field(
        default=None, validator=of_kind(Pacing, NoneType, allowed="a Pacing or None")
    )
    """How fast it comes; None leaves that to the script."""

    @when.validator
    def _check_predicate(self, _: object, when: object) -> None:
        if when is None:
            return
        if not callable(when):
            raise TypeError(f"when must be a function of the turn, not {kind_of(when)}")
        # What an async function returns is true before it has run, so the reply would always fit.
        if inspect.iscoroutinefunction(when) or inspect.isasyncgenfunction(when):
            raise TypeError("when must be a plain function of the turn, not an async one")

    @classmethod
    def text(
        cls, text: str, *, when: Predicate | None = None, pacing: Pacing | None = None
    ) -> Reply:
        """Say something; in a session with audio output it is spoken by the synthetic voice."""
        return cls(outputs=(Message(text),), when=when, pacing=pacing)

    @classmethod
    def speech(
        cls,
        text: str,
        audio: AudioLike | None = None,
        *,
        when: Predicate | None = None,
        pacing: Pacing | None = None,
    ) -> Reply:
        """Say something with a voice of your own.

        In a session with text output only the words are used.

        Args:
            text: The transcript.
            audio: int16 samples of shape (n,) at 24 kHz mono, float samples in [-1, 1], or PCM
                bytes; None takes the synthetic voice.
            when: Use this reply only for a turn for which this is true.
            pacing: How fast it comes.
        """
        return cls(outputs=(Message(text, audio=audio),), when=when, pacing=pacing)

    @classmethod
    def call(cls, name: str, /, **arguments: object) -> Reply:
        """Call one function; every keyword is an argument of the call.

        For a call id, a predicate or a pacing, see `calls`.
        """
        # No argument of a call is a function or a pacing, since these are not JSON.
        if callable(arguments.get("when")) or isinstance(arguments.get("pacing"), Pacing):
            raise TypeError(
                "every keyword of Reply.call is an argument of the call; for a predicate or a "
                "pacing write Reply.calls(Call(name, {...}), when=..., pacing=...)"
            )
        # The name is positional only, so that an argument may be called `name`.
        return cls.calls(Call(name, arguments))

    @classmethod
    def calls(
        cls, *calls: Call, when: Predicate | None = None, pacing: Pacing | None = None
    ) -> Reply:
        """Call several functions in one response."""
        return cls(outputs=calls, when=when, pacing=pacing)

    @classmethod
    def mcp(
        cls,
        server_label: str,
        name: str,
        arguments: str | Mapping[str, object] = "{}",
        /,
        *,
        output: str | Mapping[str, object] = "",
        error: McpError | str | None = None,
        approval: bool | None = None,
        duration: float = 0.0,
        when: Predicate | None = None,
        pacing: Pacing | None = None,
    ) -> Reply:
        """Call a tool on an MCP server.

        For example `Reply.mcp("docs", "search", {"query": "trio"}, output="Two pages.")`.  The
        server must be in the session's configuration and in the script's `mcp_servers`.  Whether
        the model goes on afterwards is up to the client, as with functions.

        Args:
            server_label: Which server.
            name: Which of its tools.
            arguments: A mapping, or JSON text.
            output: What the tool returns unless it fails.
            error: How the call fails; a text is the message of a tool that failed.
            approval: Whether the service asks before it makes the call; None leaves that to
                `require_approval` of the configured tool.
            duration: Seconds that the tool takes.
            when: Use this reply only for a turn for which this is true.
            pacing: How fast the call is written.
        """
        call = HostedCall(
            server_label,
            name,
            arguments,
            output=output,
            error=error,
            approval=approval,
            duration=duration,
        )
        return cls(outputs=(call,), when=when, pacing=pacing)

    @classmethod
    def fail(
        cls,
        code: str | None,
        message: str,
        *,
        type: str = "server_error",  # noqa: A002 - the protocol's own name
        when: Predicate | None = None,
    ) -> Reply:
        """Let the response fail.

        For example `Reply.fail("inference_rate_limit_exceeded", "Try again later.")`.
        """
        return cls(failure=Failure(code, message, type), when=when)

    def then(self, other: Reply) -> Reply:
        """Put another reply's outputs, and its failure, after this one's, in the same response.

        `Reply.text("Let me look.").then(Reply.call("get_weather", city="Paris"))`.  Predicate and
        pacing are this one's, else the other's.
        """
        check_kind("what comes then", other, Reply, allowed="a Reply")
        return Reply(
            outputs=self.outputs + other.outputs,
            failure=self.failure or other.failure,
            when=self.when or other.when,
            pacing=self.pacing or other.pacing,
        )
