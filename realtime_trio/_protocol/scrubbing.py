"""What is left out of a message before it is written down: secrets, and the content of audio.

Owns which parts of a message these are.  It works on the text, so that everything else stays as it
was on the wire: fields that this version does not know, members in their order, numbers as they
were spelled.

Theory of operation.  One pass over the strings, numbers and brackets of the text.  A string with a
colon behind it is the name of what follows, and a stack of names says what surrounds a value.
There is no parser to refuse anything: a message that does not fit, is nested without end, was cut
off, or is not JSON at all, is scrubbed as far as it looks like JSON.
"""

from __future__ import annotations

import enum
import re
from typing import Final

from realtime_trio._protocol.json_text import parse_json, write_json
from realtime_trio.audio.data import AudioData

SECRET: Final = "<secret>"
"""What is written in place of a secret."""

# Possessive throughout, so that no text takes longer than its length.  A string that does not end
# is one, too: a message that was cut off may have been cut in the middle of a key.
_TOKENS: Final = re.compile(
    r'"(?P<inside>[^"\\]*+(?:\\.[^"\\]*+)*+)(?:"(?P<names>\s*+:)?|\\?\Z)'
    r"|(?P<opens>[{\[])|[}\]]|(?P<number>-?\d[\d.eE+-]*+)",
    re.DOTALL,
)

# Spelled as headers are, as fields of JSON are, and as JavaScript does: what separates words is
# taken out before a name is looked up.
_SEPARATORS: Final = str.maketrans("", "", "-_ ")
_SECRET_NAMES: Final = frozenset(
    {
        "accesstoken",
        "apikey",
        "authorization",
        "authtoken",
        "bearertoken",
        "clientsecret",
        "cookie",
        "credentials",
        "idtoken",
        "passwd",
        "password",
        "privatekey",
        "proxyauthorization",
        "refreshtoken",
        "secret",
        "secretkey",
        "sessiontoken",
        "setcookie",
        "xapikey",
    }
)
# OpenAI's keys begin with `sk-`, its short-lived ones for browsers with `ek_`.  A user name and a
# password stand before the host of a URL, and of the connection strings of databases.
_KEYS: Final = re.compile(
    r"\b(?:sk|ek)[-_][\w-]{8,}|\bBearer\s+[\w.~+/-]+=*|(?<=://)[^\s/?#@\"'<>]+@"
)
_QUERY: Final = re.compile(r"\?.*", re.DOTALL)


class _Place(enum.Enum):
    """What surrounds a value."""

    PLAIN = enum.auto()
    """Objects whose members are named by the protocol, or by somebody like it."""
    HIDDEN = enum.auto()
    """Something secret as a whole: headers, or an object in the place of a key."""
    PROPERTIES = enum.auto()
    """The properties of a JSON Schema: the parameter `password` of a function is not a password."""


def scrub(text: str, wire_type: str, *, secrets: bool, audio: bool) -> str:
    """Leave secrets or audio out of the text of a message.

    Args:
        text: The message, JSON or not.
        wire_type: Its type, `""` if that is not known.
        secrets: Whether to replace what is secret by `SECRET`: values in the place of a credential,
            headers, what looks like a key, and in URLs the password and the whole query.
        audio: Whether to replace audio by its size, as `audio_mark` writes it.

    Returns:
        The text, in which everything else is as it was.
    """
    if not (secrets or audio):
        return text
    # Of what could not be read the type is somewhere in the text.
    is_spoken = wire_type.endswith("audio.delta") if wire_type else 'audio.delta"' in text
    pieces: list[str] = []
    done = 0
    name, place = "", _Place.PLAIN
    around: list[tuple[str, _Place]] = []
    for token in _TOKENS.finditer(text):
        kind = token.lastgroup
        if kind == "names":
            name = _unescaped(token["inside"])
        elif kind == "opens":
            around.append((name, place))
            place = _place_in(place, name)
        elif kind is None:
            # More brackets may close than were opened, in what is not JSON.
            name, place = around.pop() if around else ("", _Place.PLAIN)
        else:
            value = token["number"] if kind == "number" else _unescaped(token["inside"])
            new = value
            if kind == "inside" and audio and (name == "audio" or (is_spoken and name == "delta")):
                new = audio_mark(AudioData.from_base64(value))
            elif secrets:
                new = _without_secrets(value, name, place, is_number=kind == "number")
            if new is not value:
                pieces += text[done : token.start()], write_json(new)
                done = token.end()
    return "".join((*pieces, text[done:])) if pieces else text


def without_keys(text: str) -> str:
    """Replace what looks like a key, or like the password in a URL, wherever it stands."""
    # One of these is in all that is looked for, and none in base64: a search for a single
    # character passes over audio at memory speed.
    if "-" in text or "_" in text or " " in text or ":" in text:
        return _KEYS.sub(SECRET, text)
    return text


def audio_mark(audio: AudioData) -> str:
    """What is written in place of audio."""
    return f"<{audio.nbytes} bytes of audio>"


def _unescaped(inside: str) -> str:
    """What a string says, given what stands between its quotes."""
    if "\\" not in inside:
        return inside
    try:
        return str(parse_json(f'"{inside}"'))
    except ValueError:
        return inside


def _place_in(place: _Place, name: str) -> _Place:
    """What surrounds the members of an object or a list of this name."""
    if place is _Place.HIDDEN:
        return place
    if place is _Place.PROPERTIES:
        return _Place.PLAIN
    if name == "properties":
        return _Place.PROPERTIES
    return _Place.HIDDEN if _is_secret(name) or name.lower() == "headers" else _Place.PLAIN


def _is_secret(name: str) -> bool:
    return name.lower().translate(_SEPARATORS) in _SECRET_NAMES


def _without_secrets(value: str, name: str, place: _Place, *, is_number: bool) -> str:
    # An empty string says that there is no secret, which is worth knowing.
    if value and (place is _Place.HIDDEN or _is_secret(name)):
        return SECRET
    if is_number:
        return value
    clean = without_keys(value)
    if "?" in clean and name.lower().endswith(("url", "uri")):
        clean = _QUERY.sub(SECRET, clean)
    return clean if clean != value else value
