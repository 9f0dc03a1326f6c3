"""What a message on its way through a relay is, read with as little work as is safe.

Owns the difference between the two sides.  A guest may be hostile: its message is read as every
parser would read it, or not at all.  The service is trusted: a look at the beginning is enough to
tell what may pass.

Theory of operation.  JSON lets a name stand twice, and parsers differ in which one counts; some do
not mind upper and lower case.  So a message that hides a second `type` behind the first would be
checked as one event and obeyed as another.  Messages of guests with such names are refused.  For
audio, which is nearly all that guests send, a shape is looked for that leaves no room for that, by
two searches at the speed of memory.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from realtime_trio._protocol.json_text import parse_message

Json = dict[str, Any]

_ID: Final = r'"event_id": ?(?:"[\w.-]*"|null), ?'
_APPEND: Final = re.compile(
    rf'\{{(?:{_ID})?"type": ?"(?:input_audio_buffer|session\.input_audio_buffer)\.append", ?'
    rf'(?:{_ID})?"audio": ?"'
)
_APPEND_ENDS: Final = ('"}', '" }')
_TYPE: Final = re.compile(r'\{\s*(?:"event_id":\s*"[^"\\]*",\s*)?"type":\s*"([^"\\]*)"')


class UnreadableError(Exception):
    """A message is not what an event should be; the text says why, and quotes nothing."""


def audio_of_append(text: str) -> int | None:
    """The characters of base64 in a message that is nothing but an append, as clients write one.

    None for everything else, other spellings of an append included.
    """
    head = _APPEND.match(text)
    if head is None:
        return None
    start = head.end()
    end = text.find('"', start)
    # The first quote is the last but for the bracket, and none was escaped.
    if text[end:] not in _APPEND_ENDS or text.find("\\", start) >= 0:
        return None
    return end - start


def read_from_guest(text: str) -> Json:
    """Read a message of a guest.

    Raises:
        UnreadableError: It is not a JSON object with a `type`, or a name in it stands twice.
    """
    try:
        payload = json.loads(text, object_pairs_hook=_unambiguous, parse_constant=_refuse_constant)
    except UnreadableError:
        raise
    except (ValueError, RecursionError):
        raise UnreadableError("the message is not JSON, or nested too deeply") from None
    if not isinstance(payload, dict):
        raise UnreadableError("the message is not an object")
    if not isinstance(payload.get("type"), str):
        raise UnreadableError("the message has no type")
    return payload


def _unambiguous(pairs: list[tuple[str, Any]]) -> Json:
    value = dict(pairs)
    if len({name.casefold() for name in value}) != len(pairs):
        raise UnreadableError("a name in the message stands twice")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise UnreadableError(f"{name} is not JSON")


def type_from_service(text: str) -> str | None:
    """The type of a message of the service, if it stands near the beginning; else None."""
    found = _TYPE.match(text)
    return None if found is None else found[1]


def read_from_service(text: str) -> Json | None:
    """Read a message of the service; None if it is not an object."""
    try:
        payload = parse_message(text)
    except ValueError:
        return None
    return payload if isinstance(payload, dict) else None
