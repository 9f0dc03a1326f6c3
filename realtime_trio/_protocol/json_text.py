"""JSON text <-> plain values.  The one place where the JSON library is called.

Owns the way from text to dictionaries and back, and the shortcut around long audio.  What the
values mean is in `_protocol.codec`.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

# An alias and not a function of our own: of the smallest messages, the call is the larger part.
parse_json: Final = orjson.loads
"""Parse a JSON text, str or UTF-8, into plain values; a ValueError says what is not JSON."""


def write_json(value: object) -> str:
    """Write plain values, numpy scalars and arrays included, as JSON without spaces.

    Raises:
        TypeError: It holds something that JSON does not have; the text names types, never values.
    """
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def write_json_indented(value: object) -> str:
    """The same over several lines, for people."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode()


# --- messages with audio --------------------------------------------------------------------------

AUDIO_THRESHOLD: Final = 1024
"""Messages shorter than this (characters) go to the JSON parser whole: cutting only pays for real
audio."""
_CUT: Final = "<cut>"
"""Stands in for what was cut out.  It is not base64, so that no server sends it as audio."""


def parse_message(data: str | bytes) -> Any:
    r"""Parse a message, keeping a long base64 `delta` away from the JSON parser.

    A spoken answer is 95 % base64, which a JSON parser reads character by character.  Here it is
    cut out with two searches, which run at memory speed: inside a JSON string a quote is always
    escaped, so `"delta":` can only be a key, and base64 has no escapes, so its value ends at the
    next quote.  If the cut was not a top-level string free of escapes, nothing was lost: the whole
    message is parsed.
    """
    text = data if isinstance(data, str) else str(data, "utf-8")
    start = text.find('"delta":')
    if start < 0:
        return parse_json(text)
    start = text.find('"', start + 8) + 1
    end = text.find('"', start)
    # 0 is a failed search, plus 1.  A short value is not worth a copy of the text around it.
    if start == 0 or end - start < AUDIO_THRESHOLD // 2:
        return parse_json(text)
    audio = text[start:end]
    if "\\" in audio or not audio.isascii():
        return parse_json(text)
    payload = parse_json(text[:start] + _CUT + text[end:])
    # The cut may have been elsewhere: in a nested object, a list, or an event whose delta is text.
    if (
        type(payload) is not dict
        or payload.get("delta") != _CUT
        or not str(payload.get("type")).endswith("audio.delta")
    ):
        return parse_json(text)
    payload["delta"] = audio
    return payload
