"""Who may use a console: its token, its names, and what a browser may do with its page.

Theory of operation.  Anybody on this machine, and any web page in its browser, can reach a port of
the loopback.  So everything that shows or changes a session needs the token, which is made anew for
every console and stands in the part of the address that browsers keep to themselves.  Beside that
the server answers only to its own names (against DNS rebinding) and to its own page (`Visitors`).
The page itself is the same for everybody and needs no token; the policy that comes with it lets it
load nothing from elsewhere and run nothing that was not in its files.
"""

from __future__ import annotations

import secrets
from typing import Final

from attrs import field, frozen

from realtime_trio._protocol.json_text import write_json
from realtime_trio._serving.http import HttpResponse, RequestHead
from realtime_trio._serving.requests import key_of

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""What the page may load and run."""
_HEADERS: Final = (
    ("content-security-policy", POLICY),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "microphone=(self), camera=(), geolocation=()"),
)
_JSON: Final = "application/json"


def _new_token() -> str:
    return secrets.token_urlsafe(32)


@frozen
class Token:
    """What opens one console, for as long as it is there."""

    text: str = field(factory=_new_token, repr=False)
    """The token: 43 letters, digits, `-` and `_`, made of 256 random bits."""

    def is_shown_by(self, request: RequestHead) -> bool:
        """Whether a request has it, as a bearer token or in a subprotocol."""
        shown = key_of(request) or ""
        # In constant time, or its letters could be guessed one by one.
        return secrets.compare_digest(shown.encode(), self.text.encode())


def response(
    status: int,
    body: bytes,
    content_type: str,
    more: tuple[tuple[str, str], ...] = (),
) -> HttpResponse:
    """An answer of a console, with all that a browser is to be told about it."""
    return HttpResponse(
        status=status, headers=(("content-type", content_type), *_HEADERS, *more), body=body
    )


def json_response(value: object, status: int = 200) -> HttpResponse:
    """An answer in JSON."""
    return response(status, write_json(value).encode(), _JSON)


def problem_response(
    status: int, message: str, more: tuple[tuple[str, str], ...] = ()
) -> HttpResponse:
    """An answer that says what is wrong."""
    body = write_json({"error": {"message": message}}).encode()
    return response(status, body, _JSON, more)
