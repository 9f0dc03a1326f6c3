"""One line for every session through a relay: who, how long, how much, and why it ended.

Owns what stands in it: no content, and no secrets.  Where it goes is for the application, by
default into the log `realtime_trio.relay.audit`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from attrs import asdict, frozen

from realtime_trio._protocol.json_text import write_json
from realtime_trio.relay.ending import Why

_logger = logging.getLogger("realtime_trio.relay.audit")


@frozen(kw_only=True)
class AuditRecord:
    """What became of one session."""

    who: str
    """Who the guest was, as the grant says."""
    peer: str
    """IP address from which it came, `""` if that is not known."""
    model: str
    """Model."""
    started_at: float
    """Seconds since 1970."""
    seconds: float
    """How long it took."""
    why: Why
    """Why it ended."""
    code: int
    """Close code for the guest, or of the guest."""
    events_up: int
    """Events of the guest that were passed on."""
    events_down: int
    """Events of the service that were passed on."""
    refused: int
    """Events of the guest that were not passed on."""
    audio_seconds: float
    """Audio of the guest."""
    responses: int
    """Responses that began."""
    input_tokens: int
    """Tokens that responses read."""
    output_tokens: int
    """Tokens that they wrote."""
    transcription_tokens: int
    """Tokens of transcriptions."""
    usd: float
    """What all of them cost, as far as the grant has prices."""

    def line(self) -> str:
        """The record as one line of JSON."""
        return write_json(asdict(self))


Audit = Callable[[AuditRecord], None]
"""Takes the record of a session when it is over.  It must not wait."""


def log_audit(record: AuditRecord) -> None:
    """Write a record into the log."""
    _logger.info("%s", record.line())
