"""A recording that only a page has: which of its messages break the order of events.

Owns what a page may hand over for that, and how much of it.  The rules are those of every other
recording.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

from realtime_trio._order import Violation, check_order
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.json_text import write_json
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._protocol.wire_record import Source, WireRecord
from realtime_trio.errors import LocalProtocolError

_T = TypeVar("_T")

MOST_RECORDS: Final = 50_000
"""Records that are judged at once: as many as a page keeps."""
MOST_VIOLATIONS: Final = 1000
"""How many are told, the first ones: far more than a person looks through."""
_KINDS: Final = {kind.value: kind for kind in SessionKind}
_DIALECTS: Final = {dialect.value: dialect for dialect in Dialect}
_ROLES: Final[Mapping[Source, Role]] = {"client": Role.SERVER, "server": Role.CLIENT}
"""Who reads what a side has sent."""


def judge(asked: Mapping[str, object]) -> list[Violation]:
    """Find out which of the records that a page has sent break the order of events.

    Blocks, for seconds if there are many.

    Args:
        asked: What the page said, as docs/console.md describes it.

    Returns:
        The first 1000 violations, in order; their index is the place in the list of records.

    Raises:
        LocalProtocolError: That is not what was sent, or it is too much.
    """
    records = asked.get("records")
    kind = _named(_KINDS, asked.get("session", SessionKind.REALTIME.value))
    dialect = _named(_DIALECTS, asked.get("dialect", Dialect.GA.value))
    if not isinstance(records, list) or len(records) > MOST_RECORDS:
        raise LocalProtocolError(f"judge needs records, a list of up to {MOST_RECORDS:,}")
    if kind is None or dialect is None:
        raise LocalProtocolError(
            f"judge needs a session of {', '.join(_KINDS)}, and a dialect of {', '.join(_DIALECTS)}"
        )
    codecs = {side: Codec(role, dialect, kind=kind) for side, role in _ROLES.items()}
    read = [_read(index, record, codecs) for index, record in enumerate(records)]
    return check_order(read)[:MOST_VIOLATIONS]


def _named(table: Mapping[str, _T], name: object) -> _T | None:
    return table.get(name) if isinstance(name, str) else None


def _read(index: int, record: object, codecs: Mapping[Source, Codec]) -> WireRecord:
    match record:
        case {"side": "client" | "server" as side, "event": dict(event)}:
            text = write_json(event)
        case {"side": "client" | "server" as side, "text": str(text)}:
            pass
        case _:
            raise LocalProtocolError(
                f"record {index} needs a side, client or server, and an event or a text"
            )
    # Read at once, and not kept: what the rules need is in the event.
    return WireRecord(0, side, codecs[side].decode(text))
