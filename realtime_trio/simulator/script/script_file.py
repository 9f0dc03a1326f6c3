"""Scripts as files: what the simulated model says, and what goes wrong, written as YAML or JSON.

Owns the format.  Readers say which keys there are and what may stand behind each.  Keys are called
like the attributes and parameters of the classes they stand for, so that one way to write a script
teaches the other.  Refuses to know the two syntaxes.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, get_args

from attrs import frozen

from realtime_trio._protocol.json_text import write_json
from realtime_trio.audio import AudioData, read_wav
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    FunctionTool,
    McpError,
    McpHttpError,
    McpListedTool,
    McpProtocolError,
    McpToolExecutionError,
    Modality,
)
from realtime_trio.simulator.script.document import (
    FilePlace,
    ScriptFileError as ScriptFileError,
    described,
    read_document,
)
from realtime_trio.simulator.script.fault import Corruption, Fault
from realtime_trio.simulator.script.script import (
    INSTANT,
    LIFELIKE,
    Call,
    Failure,
    HostedCall,
    McpServer,
    Pacing,
    Reply,
    Script,
    Turn,
)

_T = TypeVar("_T")


@frozen
class ScriptFile:
    """What a file says."""

    script: Script
    """What the simulated model says and understands."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong, on every connection."""


@frozen(kw_only=True)
class When:
    """A predicate that can be written down.

    Everything that is asked for must hold; a predicate that asks for nothing always holds.
    """

    user: re.Pattern[str] | None = None
    """Found in what the user last said or wrote."""
    tool_output: re.Pattern[str] | None = None
    """Found in the output of a tool, which is the last item."""
    instructions: re.Pattern[str] | None = None
    """Found in the effective instructions."""
    modality: Modality | None = None
    """What the answer is made of."""
    tools: tuple[str, ...] = ()
    """Names of functions that are all on offer."""
    min_heard: float = 0.0
    """Seconds of audio that the last user message has at least."""
    max_heard: float = math.inf
    """Seconds of audio that it has at most."""
    metadata: tuple[tuple[str, str], ...] = ()
    """Pairs of the request's metadata."""

    def __call__(self, turn: Turn) -> bool:
        """Whether the reply fits this turn."""
        offered = {tool.name for tool in turn.tools if isinstance(tool, FunctionTool)}
        return (
            _is_found(self.user, turn.user_text)
            and _is_found(self.tool_output, turn.tool_output)
            and _is_found(self.instructions, turn.instructions)
            and self.modality in (None, turn.modality)
            and offered.issuperset(self.tools)
            and self.min_heard <= turn.heard_seconds <= self.max_heard
            and all((turn.metadata or {}).get(key) == value for key, value in self.metadata)
        )


def _is_found(pattern: re.Pattern[str] | None, text: str | None) -> bool:
    return pattern is None or (text is not None and pattern.search(text) is not None)


def load_script(path: str | os.PathLike[str]) -> ScriptFile:
    """Read a script from a YAML or JSON file.

    It is YAML if its name ends in `.yaml` or `.yml`, JSON if it ends in `.json`.  Blocks while it
    reads the file, and the WAV files that the script names.

    Raises:
        ScriptFileError: The file, or a WAV file, cannot be read, is not YAML or JSON, or says
            something that a script cannot say; or it is YAML and PyYAML is not installed.
    """
    file = Path(path)
    return parse_script(read_document(file), folder=file.parent, file=str(file))


def parse_script(document: object, *, folder: Path, file: str = "script") -> ScriptFile:
    """Make a script of a document that is parsed already.

    Reads nothing but the WAV files that the document names.

    Args:
        document: A mapping as it comes from JSON.
        folder: Where the names of WAV files start.
        file: What to call the document in errors.

    Raises:
        ScriptFileError: It says something that a script cannot say, or a WAV file cannot be read.
    """
    return _SCRIPT_FILE(FilePlace(file, folder), document)


def parse_fault(document: object) -> Fault:
    """Make one fault of a document: an element of `faults` in a script.

    Raises:
        ScriptFileError: It says something that a fault cannot say.
    """
    return _fault(FilePlace("fault", Path()), document)


# --- readers --------------------------------------------------------------------------------------


_Read: TypeAlias = Callable[[FilePlace, object], _T]
"""Makes something of a value, or raises the place's error."""

_NONE: Final[Mapping[str, _Read[object]]] = {}


def _mapping(at: FilePlace, value: object) -> Mapping[object, object]:
    if not isinstance(value, Mapping):
        raise at.misfit("a mapping", value)
    return value


def _record(
    make: Callable[..., _T],
    required: Mapping[str, _Read[object]] = _NONE,
    optional: Mapping[str, _Read[object]] = _NONE,
) -> _Read[_T]:
    """A mapping with certain keys, which are the keywords of what makes something of it."""
    readers = {**required, **optional}

    def read(at: FilePlace, value: object) -> _T:
        document = _mapping(at, value)
        # Unknown keys first: a key that is missing may be there with a typing error.
        for key in document:
            if key not in readers:
                raise at.unknown(key, readers)
        for key in required:
            if key not in document:
                raise at.error(f"{key} is missing")
        members = {
            key: reader(at.member(key), document[key])
            for key, reader in readers.items()
            if key in document
        }
        # The constructors check more than a reader can, such as two values that exclude each other.
        try:
            return make(**members)
        except LocalProtocolError as error:
            raise at.error(str(error)) from None

    return read


def _list_of(read: _Read[_T]) -> _Read[tuple[_T, ...]]:
    def read_list(at: FilePlace, value: object) -> tuple[_T, ...]:
        if not isinstance(value, list):
            raise at.misfit("a list", value)
        return tuple(read(at.element(index), element) for index, element in enumerate(value))

    return read_list


def _one_of(variants: Mapping[str, _Read[_T]]) -> _Read[_T]:
    """A mapping with a single key, which says what stands behind it."""

    def read(at: FilePlace, value: object) -> _T:
        document = _mapping(at, value)
        # A misspelt name is told before a wrong number of names, for it helps more.
        for name in document:
            if name not in variants:
                raise at.unknown(name, variants)
        if len(document) != 1:
            raise at.error(f"expected exactly one of {', '.join(variants)}")
        return next(
            reader(at.member(name), document[name])
            for name, reader in variants.items()
            if name in document
        )

    return read


def _text_or(short: Callable[[str], _T], read: _Read[_T]) -> _Read[_T]:
    """A mapping, or a text that is short for one."""

    def read_either(at: FilePlace, value: object) -> _T:
        match value:
            case str():
                return short(_text(at, value))
            case Mapping():
                return read(at, value)
        raise at.misfit("a text or a mapping", value)

    return read_either


def _choice(choices: Mapping[str, _T], read: _Read[_T] | None = None) -> _Read[_T]:
    """One of a few words, or what else can be read."""

    def read_choice(at: FilePlace, value: object) -> _T:
        if isinstance(value, str):
            if value not in choices:
                raise at.unknown(value, choices)
            return choices[value]
        if read is None:
            raise at.misfit(f"one of {', '.join(choices)}", value)
        return read(at, value)

    return read_choice


def _text(at: FilePlace, value: object) -> str:
    if not isinstance(value, str):
        hint = (
            "; quotes make a text of anything"
            if isinstance(value, bool | int | float | None)
            else ""
        )
        raise at.error(f"expected a text, got {described(value)}{hint}")
    # JSON and YAML can both write such a text with escapes.
    try:
        value.encode()
    except UnicodeEncodeError:
        raise at.error("half a surrogate pair, which is not a text and cannot be sent") from None
    return value


def _text_or_null(at: FilePlace, value: object) -> str | None:
    return None if value is None else _text(at, value)


def _flag(at: FilePlace, value: object) -> bool:
    if not isinstance(value, bool):
        raise at.misfit("true or false", value)
    return value


def _integer(at: FilePlace, value: object) -> int:
    # A bool is an int to Python, and a mistake to us.
    if not isinstance(value, int) or isinstance(value, bool):
        raise at.misfit("a whole number", value)
    return value


def _count(at: FilePlace, value: object) -> int:
    number = _integer(at, value)
    if number < 1:
        raise at.misfit("a whole number, 1 or more", value)
    return number


def _number(at: FilePlace, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise at.misfit("a number", value)
    try:
        return float(value)
    except OverflowError:
        raise at.error("the number is too large") from None


def _seconds(at: FilePlace, value: object) -> float:
    seconds = _number(at, value)
    # JSON as Python reads it has NaN and Infinity.
    if not 0 <= seconds < math.inf:
        raise at.error(f"expected seconds, 0 or more and not infinitely many, got {seconds}")
    return seconds


def _pattern(at: FilePlace, value: object) -> re.Pattern[str]:
    written = _text(at, value)
    try:
        return re.compile(written, re.IGNORECASE)
    # Of repetitions and nesting without end the compiler raises the other two.
    except (re.error, OverflowError, RecursionError) as error:
        raise at.error(f"not a regular expression: {error}") from None


def _pairs(at: FilePlace, value: object) -> tuple[tuple[str, str], ...]:
    return tuple((key, _text(at.member(key), member)) for key, member in _named(at, value).items())


def _named(at: FilePlace, value: object) -> Mapping[str, object]:
    return {_text(at, key): member for key, member in _mapping(at, value).items()}


def _object(at: FilePlace, value: object) -> Mapping[str, object]:
    """A mapping of anything that JSON has."""
    document = _named(at, value)
    # It will be written when it is sent; here an error can still name its place.
    try:
        write_json(dict(document))
    except TypeError as error:
        raise at.error(f"this has no JSON form: {error}") from None
    return document


def _audio(at: FilePlace, value: object) -> AudioData:
    file = at.folder / _text(at, value)
    try:
        return AudioData.of(read_wav(file))
    except OSError as error:
        raise at.error(f"{file} cannot be read: {error.strerror}") from None
    except (LocalProtocolError, ValueError) as error:
        raise at.error(f"{file} cannot be read: {error}") from None


# --- pacing and predicates ------------------------------------------------------------------------

_PACING: Final = _choice(
    {"instant": INSTANT, "lifelike": LIFELIKE},
    _record(
        Pacing,
        optional={
            "time_to_first_event": _seconds,
            "tokens_per_second": _number,
            "audio_speed": _number,
        },
    ),
)


# `min` and `max` are keys of the format.
def _to_limits(*, min: float = 0.0, max: float = math.inf) -> tuple[float, float]:  # noqa: A002
    if min > max:
        raise LocalProtocolError(f"nothing is at least {min} and at most {max}")
    return min, max


def _to_when(*, heard_seconds: tuple[float, float] = (0.0, math.inf), **asked: Any) -> When:
    return When(min_heard=heard_seconds[0], max_heard=heard_seconds[1], **asked)


_WHEN: Final = _record(
    _to_when,
    optional={
        "user": _pattern,
        "tool_output": _pattern,
        "instructions": _pattern,
        "modality": _choice({name: name for name in get_args(Modality)}),
        "tools": _list_of(_text),
        "heard_seconds": _record(_to_limits, optional={"min": _seconds, "max": _seconds}),
        "metadata": _pairs,
    },
)

# --- replies --------------------------------------------------------------------------------------

_ARGUMENTS: Final = _text_or(str, _object)
_CALL: Final = _text_or(
    Call, _record(Call, {"name": _text}, {"arguments": _ARGUMENTS, "call_id": _text})
)
_CODED: Final[Mapping[str, _Read[object]]] = {"code": _integer, "message": _text}
_MCP_ERROR: Final[_Read[McpError]] = _one_of(
    {
        "tool_execution_error": _record(McpToolExecutionError, {"message": _text}),
        "protocol_error": _record(McpProtocolError, _CODED),
        "http_error": _record(McpHttpError, _CODED),
    }
)
_HOSTED_CALL: Final = _record(
    HostedCall,
    {"server_label": _text, "name": _text},
    {
        "arguments": _ARGUMENTS,
        "output": _text_or(str, _object),
        "error": _text_or(lambda message: McpToolExecutionError(message=message), _MCP_ERROR),
        "approval": _flag,
        "duration": _seconds,
    },
)
_FAILURE: Final = _record(Failure, {"code": _text_or_null, "message": _text}, {"type": _text})

_STEPS: Final[Mapping[str, _Read[Reply]]] = {
    "text": lambda at, value: Reply.text(_text(at, value)),
    "speech": _record(Reply.speech, {"text": _text}, {"audio": _audio}),
    "call": lambda at, value: Reply.calls(_CALL(at, value)),
    "calls": lambda at, value: Reply.calls(*_list_of(_CALL)(at, value)),
    "mcp": lambda at, value: Reply(outputs=(_HOSTED_CALL(at, value),)),
    "fail": lambda at, value: Reply(failure=_FAILURE(at, value)),
}


def _to_reply(
    *,
    then: tuple[Reply, ...] = (),
    when: When | None = None,
    pacing: Pacing | None = None,
    **first: Reply,
) -> Reply:
    if len(first) != 1:
        raise LocalProtocolError(
            f"expected exactly one of {', '.join(_STEPS)}, "
            f"got {' and '.join(first) or 'none'}; more go under then"
        )
    steps = (*first.values(), *then)
    # Only the last step's failure is looked at below, and outputs cannot come after a failure.
    if any(step.failure for step in steps[:-1]):
        raise LocalProtocolError("a response that has failed is over; nothing can come after fail")
    outputs = tuple(chain.from_iterable(step.outputs for step in steps))
    return Reply(outputs=outputs, failure=steps[-1].failure, when=when, pacing=pacing)


_STEP: Final = _text_or(Reply.text, _one_of(_STEPS))
_REPLY: Final = _text_or(
    Reply.text,
    _record(
        _to_reply, optional={**_STEPS, "then": _list_of(_STEP), "when": _WHEN, "pacing": _PACING}
    ),
)

# --- faults ---------------------------------------------------------------------------------------

_ONCE: Final[Mapping[str, _Read[object]]] = {"on": _text, "nth": _count}
_OFTEN: Final[Mapping[str, _Read[object]]] = {
    **_ONCE,
    "times": _choice({"forever": math.inf}, _count),
}

_NAMED_FAULT: Final[_Read[Fault]] = _one_of(
    {
        "drop": _record(Fault.drop, optional=_ONCE),
        "reset": _record(Fault.reset, optional=_ONCE),
        "closing": _record(Fault.closing, {"code": _integer}, {"reason": _text, **_ONCE}),
        "expiry": _record(Fault.expiry, optional=_ONCE),
        "stall": _record(Fault.stall, optional={"seconds": _seconds, **_ONCE}),
        "delay": _record(Fault.delay, {"seconds": _seconds}, _OFTEN),
        "slow": _record(Fault.slow, {"characters_per_second": _number}, _ONCE),
        "corrupt": _record(
            Fault.corrupt,
            optional={"how": _choice({name: name for name in get_args(Corruption)}), **_OFTEN},
        ),
        "duplicate": _record(Fault.duplicate, optional=_OFTEN),
        "reorder": _record(Fault.reorder, {"on": _text}, {"behind": _count, **_OFTEN}),
        "failing": _record(
            Fault.failing, {"code": _text_or_null, "message": _text}, {"type": _text, **_ONCE}
        ),
    }
)


def _fault(at: FilePlace, value: object) -> Fault:
    """Its name with its options, or without them."""
    # `drop`, `drop:` and `drop: {}` are the same.
    named = {value: None} if isinstance(value, str) else _mapping(at, value)
    return _NAMED_FAULT(
        at, {name: {} if options is None else options for name, options in named.items()}
    )


# --- the whole ------------------------------------------------------------------------------------

_MCP_TOOL: Final = _record(
    McpListedTool,
    {"name": _text, "input_schema": _object},
    {"description": _text_or_null, "annotations": _object},
)
_MCP_SERVER: Final = _record(
    McpServer,
    {"label": _text},
    {
        "tools": _list_of(_MCP_TOOL),
        "is_reachable": _flag,
        "listing_delay": _seconds,
        "completes_item_first": _flag,
    },
)


def _to_phrase(*, heard: str, translation: str) -> tuple[str, str]:
    return heard, translation


def _to_script_file(*, faults: tuple[Fault, ...] = (), **script: Any) -> ScriptFile:
    return ScriptFile(Script(**script), faults)


_SCRIPT_FILE: Final = _record(
    _to_script_file,
    optional={
        "replies": _list_of(_REPLY),
        "transcripts": _list_of(_text_or_null),
        "transcription_delay": _seconds,
        "transcription_jitter": _seconds,
        "translations": _list_of(_record(_to_phrase, {"heard": _text, "translation": _text})),
        "pacing": _PACING,
        "mcp_servers": _list_of(_MCP_SERVER),
        "faults": _list_of(_fault),
    },
)
