"""Short-lived tokens that are good for one session: made by your server, shown by a browser.

Owns the form of a token and the check of it, in constant time.  What a guest may do is not in it:
that is for `authorize`, which is given back what was put in.

Theory of operation.  A token is `rt1.PAYLOAD.SIGNATURE`, in letters, digits, `-` and `_`, so that
it can be a subprotocol.  The payload is JSON that anybody can read and nobody can change.  A token
that was redeemed is remembered until it would have expired.  So it is good once for every issuer
that is asked: where several processes share a secret, once in each, unless they share `spend`.
"""

from __future__ import annotations

import base64
import hmac
import math
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

from attrs import field, frozen

from realtime_trio._misuse import check_kind, check_number
from realtime_trio._protocol.json_text import parse_json, write_json
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import JsonObject
from realtime_trio.relay.access import AccessDenied

_FORM: Final = "rt1"
_SHORTEST_SECRET: Final = 32
"""Bytes: as many as the signature has."""
_LONGEST: Final = 4096
"""Characters; a header of a handshake may be a little longer."""


@frozen(kw_only=True)
class Token:
    """What a token says that was good."""

    who: str
    """Who may have a session."""
    data: JsonObject = field(factory=dict)
    """What else was put in."""


class TokenIssuer:
    """Makes and redeems tokens.

    Args:
        secret: At least 32 bytes that nobody else knows, e.g. `secrets.token_bytes(32)`; tokens of
            before a restart are good only with the same ones.
        clock: Tells the time in seconds since 1970.
        spend: Called as `spend(token_id, expires_at)` for a token that is good otherwise; returns
            whether this is the first time.  By default this issuer remembers by itself.
    """

    def __init__(
        self,
        secret: bytes,
        *,
        clock: Callable[[], float] = time.time,
        spend: Callable[[str, float], bool] | None = None,
    ) -> None:
        check_kind("secret", secret, bytes, allowed=f"{_SHORTEST_SECRET} bytes or more")
        if len(secret) < _SHORTEST_SECRET:
            raise LocalProtocolError(f"secret must be {_SHORTEST_SECRET} bytes or more")
        self._secret = secret
        self._clock = clock
        self._spend = self._remember if spend is None else spend
        self._spent: dict[str, float] = {}

    def issue(
        self,
        who: str,
        *,
        seconds: float = 60.0,
        address: str | None = None,
        data: JsonObject | None = None,
    ) -> str:
        """Make a token.

        Args:
            who: Who may have a session; anybody who sees the token can read it.
            seconds: For how long it lets somebody in.  The session may last longer.
            address: The IP address from which alone it is good.
            data: What else `authorize` should be told: JSON, which can be read as well.

        Raises:
            TypeError, LocalProtocolError: An argument makes no sense, or it gets too long.
        """
        check_kind("who", who, str, allowed="a str")
        check_number(
            "seconds",
            seconds,
            lambda value: 0 < value < math.inf,
            allowed="more than 0, and finite",
        )
        payload: dict[str, object] = {
            "id": secrets.token_urlsafe(12),
            "who": who,
            "exp": self._clock() + seconds,
        }
        if address is not None:
            payload["ip"] = address
        if data:
            payload["data"] = dict(data)
        signed = f"{_FORM}.{_encode(write_json(payload).encode())}"
        token = f"{signed}.{self._sign(signed)}"
        if len(token) > _LONGEST:
            raise LocalProtocolError(f"a token may have {_LONGEST} characters, not {len(token)}")
        return token

    def redeem(self, token: str, *, address: str | None = None) -> Token:
        """Let a token pass, once.

        Args:
            token: What a guest has shown.
            address: Where it comes from.

        Raises:
            AccessDenied: It is not one of ours, has expired, has been used, or is not good there.
        """
        payload = self._verified(token)
        expires_at = float(payload["exp"])
        if self._clock() >= expires_at:
            raise AccessDenied("the token has expired", code="token_expired")
        if payload.get("ip") not in (None, address):
            raise AccessDenied("the token is not good here", status=403, code="token_elsewhere")
        if not self._spend(payload["id"], expires_at):
            raise AccessDenied("the token has been used", code="token_used")
        return Token(who=payload["who"], data=payload.get("data", {}))

    def _verified(self, token: str) -> dict[str, Any]:
        """What a token says, which is one of ours."""
        signed, _, signature = token.rpartition(".")
        # The signature first: nothing is read that we have not written.
        if len(token) > _LONGEST or not hmac.compare_digest(
            signature.encode(), self._sign(signed).encode()
        ):
            raise AccessDenied("the token is not valid", code="token_invalid")
        payload: dict[str, Any] = parse_json(_decode(signed.partition(".")[2]))
        return payload

    def _sign(self, signed: str) -> str:
        return _encode(hmac.digest(self._secret, signed.encode(), "sha256"))

    def _remember(self, token_id: str, expires_at: float) -> bool:
        now = self._clock()
        self._spent = {known: until for known, until in self._spent.items() if now < until}
        if token_id in self._spent:
            return False
        self._spent[token_id] = expires_at
        return True


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
