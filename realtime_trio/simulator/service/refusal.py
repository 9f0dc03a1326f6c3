"""Saying no as the service does: `error` events, and the checks that several rooms share.

Owns their codes and sentences.  Many were read off the live wire word by word, since clients match
them; where the service was never seen to refuse something, they follow its pattern.  Paths are
dotted as the service writes them, e.g. `session.audio.input.format.rate`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from realtime_trio.audio import AudioData
from realtime_trio.errors import RemoteProtocolError
from realtime_trio.events import ErrorDetail, UnknownEvent

SUPPORTED_TYPES = (
    "session.update",
    "session.close",
    "input_audio_buffer.append",
    "session.input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.truncate",
    "conversation.item.delete",
    "conversation.item.retrieve",
    "response.create",
    "response.cancel",
)
"""What the service says it understands, in its order and with the types of translation sessions,
which it lists in the errors of voice sessions, too."""

UNKNOWN_PARAMETER = "unknown parameter"
"""What is wrong, in an `UnknownEvent`, with a parameter that the protocol does not have."""

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_DEEPEST = 100
"""Levels of objects and lists.  JSON of more than 254 cannot be written, and schemas that people
make have a dozen."""

# The codec's diagnoses are sentences for people.  Reading them here keeps the service's wording out
# of the codec, which clients use as well.
_WRONG_TAG = re.compile(
    r"expected an object of type (?P<allowed>.+), got (?:'(?P<got>.*)'|null)", re.DOTALL
)
_WRONG_CHOICE = re.compile(r"expected (?:one of )?(?P<allowed>'.+'), got '(?P<got>.*)'", re.DOTALL)


class Refusal(Exception):  # noqa: N818 - what happens, not an error of ours
    """A client event that cannot be obeyed; it becomes one `error` event and changes nothing."""

    def __init__(self, message: str, *, code: str | None, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param

    def detail(self, event_id: str | None) -> ErrorDetail:
        """The content of the `error` event about the client event of this id."""
        # The other type, `server_error`, is for faults of the service's own.
        return ErrorDetail(
            type="invalid_request_error",
            code=self.code,
            message=str(self),
            param=self.param,
            event_id=event_id,
        )


def listed(values: Sequence[str]) -> str:
    """Values in quotes as an English list."""
    quoted = [f"'{value}'" for value in values]
    if len(quoted) < 3:
        return " and ".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"


def unsupported(value: str | None, allowed: Sequence[str], param: str) -> Refusal:
    """The refusal of a value that is none of those allowed; a missing one if it is None."""
    if value is None:
        return missing(param)
    return Refusal(
        f"Invalid value: '{value}'. Supported values are: {listed(allowed)}.",
        code="invalid_value",
        param=param,
    )


def missing(param: str) -> Refusal:
    """The refusal of an event that lacks a parameter."""
    return Refusal(
        f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
    )


def check_choice(value: str | None, allowed: Sequence[str], param: str) -> None:
    """Refuse a value that is none of those allowed."""
    if value not in allowed:
        raise unsupported(value, allowed, param)


def check_range(value: float, low: float, high: float, param: str) -> None:
    """Refuse a number outside [low, high]; the code says `integer` if the limits are integers."""
    kind = "integer" if isinstance(low, int) else "decimal"
    if value < low:
        words, expected, code = "below minimum", f">= {low}", f"{kind}_below_min_value"
    elif value > high:
        words, expected, code = "above maximum", f"<= {high}", f"{kind}_above_max_value"
    else:
        return
    raise Refusal(
        f"Invalid '{param}': {kind} {words} value. "
        f"Expected a value {expected}, but got {value} instead.",
        code=code,
        param=param,
    )


def check_length(value: str | None, limit: int, param: str) -> None:
    """Refuse a string of more than `limit` characters."""
    if value is not None and len(value) > limit:
        raise Refusal(
            f"Invalid '{param}': string too long. Expected a string with maximum length {limit}, "
            f"but got a string with length {len(value)} instead.",
            code="string_above_max_length",
            param=param,
        )


def check_name(value: str, limit: int, param: str) -> None:
    """Refuse a name that is empty or too long, or has other characters than programs like."""
    if not value:
        raise Refusal(
            f"Invalid '{param}': empty string. Expected a string with minimum length 1, "
            "but got an empty string instead.",
            code="empty_string",
            param=param,
        )
    check_length(value, limit, param)
    if not _NAME.fullmatch(value):
        raise Refusal(
            f"Invalid '{param}': string does not match pattern. "
            f"Expected a string that matches the pattern '^{_NAME.pattern}$'.",
            code="invalid_value",
            param=param,
        )


def check_depth(value: object, param: str) -> None:
    """Refuse data of the client's own that is nested too deeply to be sent back."""
    # Level by level instead of by recursion, which is what has no room for such data.
    level, depth = [value], 0
    while level:
        if depth > _DEEPEST:
            # Whether the service has a limit, and which, is not known.
            raise Refusal(
                f"Invalid '{param}': nested too deeply. "
                f"Expected a value of at most {_DEEPEST} levels.",
                code="invalid_value",
                param=param,
            )
        level = [
            part
            for outer in level
            if isinstance(outer, Mapping | list | tuple)
            for part in (outer.values() if isinstance(outer, Mapping) else outer)
        ]
        depth += 1


def audio_bytes(audio: AudioData, param: str) -> bytes:
    """The bytes of audio a client sent; invalid base64 is refused."""
    try:
        return audio.data
    except RemoteProtocolError:
        raise Refusal(
            # The sentence was seen in sessions with PCM; nobody knows whether it varies.
            f"Invalid '{param}'. Expected base64-encoded audio bytes (mono PCM16 at 24kHz) "
            "but got an invalid value.",
            code="invalid_value",
            param=param,
        ) from None


def explain(event: UnknownEvent, supported: Sequence[str] = SUPPORTED_TYPES) -> Refusal:
    """Say the codec's diagnosis of a message that could not be typed in the service's words.

    Args:
        event: What came of the message.
        supported: The types that the session claims to understand.
    """
    if isinstance(event.raw, bytes):
        return Refusal(
            "Expected a text WebSocket message; binary frames are not supported.",
            code="invalid_event",
        )
    if event.problem is None and event.type in supported:
        # Listed by the service, though it is for another kind of session.  What it says then was
        # never seen; this is what it says of a configuration for another kind.
        return Refusal(
            f"Passing a translation event '{event.type}' to this session is not allowed.",
            code="invalid_parameter",
            param="type",
        )
    if event.problem is None:
        return unsupported(event.type, supported, "type")
    if event.problem.startswith("not JSON"):
        return Refusal(
            "Invalid event: failed to parse JSON value. "
            "Please check the value to ensure it is valid JSON.",
            code="invalid_json",
        )
    # From the right: the diagnosis may quote what the client sent.
    what, found, path = event.problem.rpartition(" @ $")
    if not found:
        return Refusal(f"Invalid event: {event.problem}.", code="invalid_event")
    param = path.removeprefix(".")
    if what == "required field missing":
        return missing(param)
    if what == UNKNOWN_PARAMETER:
        return Refusal(f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)
    if match := _WRONG_TAG.fullmatch(what):
        return unsupported(match["got"], match["allowed"][1:-1].split("', '"), f"{param}.type")
    if match := _WRONG_CHOICE.fullmatch(what):
        return unsupported(match["got"], match["allowed"][1:-1].split("', '"), param)
    return Refusal(f"Invalid type for '{param}': {what} instead.", code="invalid_type", param=param)
