"""What is allowed in an HTTP header, on either side of a handshake.

Owns the check of headers that a user chose, so that no value can add another header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from realtime_trio.errors import LocalProtocolError

TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""What names of headers and subprotocols are made of."""
# RFC 9110 section 5.5: blanks and tabs inside only; what is above ASCII is taken as Latin-1.
_FIELD_VALUE: Final = re.compile(r"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
# What delimits and routes a message: a second one of these, and two hops of the way may disagree
# about where a request ends, which is how requests are smuggled.
_OWN_HEADERS: Final = re.compile(
    r"(?i:host|upgrade|connection|content-length|transfer-encoding|sec-websocket-.*)"
)


def encode_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Encode the headers that a user chose.

    Raises:
        LocalProtocolError: One of them cannot be written, or is one that only the library sets.
    """
    encoded = []
    for name, value in headers:
        if not TOKEN.fullmatch(name) or _OWN_HEADERS.fullmatch(name):
            raise LocalProtocolError(
                "a header has a name that is not allowed here; host, upgrade, connection, "
                "content-length, transfer-encoding and sec-websocket-* are ours"
            )
        if not _FIELD_VALUE.fullmatch(value):
            # Never quoted: the usual reason is a key that was read from a file with its line break.
            raise LocalProtocolError(
                f"the value of header {name!r} has a line break, spaces around it "
                "or characters beyond Latin-1"
            )
        encoded.append((name.encode("ascii"), value.encode("latin-1")))
    return encoded
