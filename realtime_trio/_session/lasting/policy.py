"""When a session gets another link, how often that is tried, and what is never tried again.

Owns the numbers, and the table of refusals.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal

from realtime_trio._frozen import frozen
from realtime_trio._misuse import check_choice, check_number
from realtime_trio._transport.contract import Close
from realtime_trio.errors import ConnectionFailed, LocalProtocolError

_REFUSED_BY_CODE: Final = frozenset(
    {
        "beta_api_shape_disabled",
        "insufficient_quota",
        "invalid_api_key",
        "invalid_intent",
        "invalid_model",
        "missing_model",
        "model_not_found",
        "unsupported_country_region_territory",
    }
)
"""Codes and types of errors after which the service says the same the next time."""
_HTTP_WORTH_ANOTHER: Final = frozenset({408, 425, 429})
"""Statuses from 400 to 499 that may be others the next time: too slow, too early, too many."""
_CLOSE_REFUSES: Final = frozenset({1002, 1003, 1007, 1008, 1009, 1010})
"""Close codes of the WebSocket protocol that mean what we said, and not that it could not be heard:
what we would say again is the same.  3000 to 4999 are the service's own, for keys and requests."""


@frozen(kw_only=True)
class Reconnect:
    """How a session goes on when its connection does not: `open_session(reconnect=Reconnect())`.

    Raises:
        TypeError: A number is not a number.
        LocalProtocolError: A value is out of range.
    """

    attempts: int = 12
    """Attempts after a loss; 0 never tries, so that only `restart` and the renewal open another
    connection.  A connection that is lost soon after it was made does not begin a new count."""
    give_up_after: float = 120.0
    """Seconds after a loss at which it is given up: a tunnel, a lift, a restart of the service."""
    delay: float = 0.25
    """Seconds before the first attempt.  It doubles with every further one, and each is shortened
    at random by up to a half, so that all clients of a service do not come back at once."""
    longest_delay: float = 8.0
    """Seconds beyond which it does not double, as in the service's own clients."""
    resume: Literal["ask", "drop"] = "ask"
    """What becomes of a response that was cut: `ask` for it again, or `drop` it.  One that had
    called functions goes on with the reply to their outputs in either case."""
    stale_audio: float = 10.0
    """Seconds after which the user's audio that waits for a connection is dropped, unless a commit
    has made a message of it.  What was said before the loss, and not committed, is said again."""
    renew_before: float | None = 300.0
    """Seconds before the server's end of the session from which on an idle moment is used to go on
    over another connection; at the latest it is done when a tenth of them is left.  None never
    renews: then the session expires, which is a loss like any other."""
    longest_session: float = 3600.0
    """Seconds after which a server ends its session that does not say when (`expires_at`), or that
    says it by a clock which differs from ours."""

    def __attrs_post_init__(self) -> None:
        not_negative, positive = "0 or more", "more than 0 seconds"
        check_number(
            "attempts",
            self.attempts,
            lambda many: many >= 0 and (many == math.inf or many == int(many)),
            allowed="a whole number from 0 up",
        )
        for name, value, least in (
            ("give_up_after", self.give_up_after, positive),
            ("delay", self.delay, not_negative),
            ("longest_delay", self.longest_delay, not_negative),
            ("stale_audio", self.stale_audio, not_negative),
            ("longest_session", self.longest_session, positive),
        ):
            check_number(
                name,
                value,
                (lambda number: number > 0) if least is positive else (lambda number: number >= 0),
                allowed=least,
            )
        check_choice("resume", self.resume, ("ask", "drop"))
        if self.renew_before is not None:
            check_number(
                "renew_before",
                self.renew_before,
                lambda seconds: 0 < seconds < self.longest_session,
                allowed="more than 0 seconds and less than longest_session, or None",
            )

    def delay_before(self, attempt: int, chance: Callable[[], float]) -> float:
        """Seconds to wait before an attempt.

        Args:
            attempt: Which one, from 1.
            chance: Returns a random number from 0 to 1.
        """
        whole = min(self.longest_delay, self.delay * 2.0 ** min(attempt - 1, 64))
        return whole * (1 - chance() / 2)


def is_refused(error: Exception) -> bool:
    """Whether the same would come of another attempt: a bad key, a model that is gone, no money."""
    if not isinstance(error, ConnectionFailed):
        return isinstance(error, LocalProtocolError | TypeError)
    status = error.status
    if status is not None and 400 <= status < 500:
        return status not in _HTTP_WORTH_ANOTHER
    return error.code in _REFUSED_BY_CODE


def is_final(close: Close, code: str | None) -> bool:
    """Whether a connection ended in a way after which no other is tried.

    Args:
        close: How it ended.
        code: The code, or the type, of the last error that the service named no event in.
    """
    return 3000 <= close.code < 5000 or close.code in _CLOSE_REFUSES or code in _REFUSED_BY_CODE
