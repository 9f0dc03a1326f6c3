"""What a page of the console and its server say to each other, as texts.

Owns the spelling of it, which docs/console.md describes, and nothing of who says what when.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, Literal

from attrs import frozen

from realtime_trio._legible import legible
from realtime_trio._order import Violation
from realtime_trio._protocol.codec import Codec
from realtime_trio._protocol.json_text import parse_json, write_json
from realtime_trio._protocol.kinds import KINDS
from realtime_trio._protocol.wire_record import Source, WireRecord
from realtime_trio._transport.contract import Close
from realtime_trio.events import FunctionCall, McpApprovalRequest, UnknownEvent
from realtime_trio.recording import message_json

AskKind = Literal["check", "send", "decide", "fault", "script", "judge"]
_ANSWERS: Final[Mapping[AskKind, str]] = {
    "check": "checked",
    "send": "sent",
    "decide": "decided",
    "fault": "faulted",
    "script": "script",
    "judge": "judged",
}
"""What a page may ask for, and what the answer is called."""
_KINDS: Final[Mapping[object, AskKind]] = {kind: kind for kind in _ANSWERS}
_LONGEST_TYPE: Final = 100
"""Characters of an event's type in an explanation."""


@frozen(kw_only=True)
class Ask:
    """What a page asks for."""

    kind: AskKind
    """What."""
    id: int | str | None
    """The page's own number for it."""
    members: Mapping[str, object]
    """All that it said."""


class AskError(Exception):
    """A page has said something that cannot be read; the message says what could be."""


def read_ask(message: str | bytes) -> Ask:
    """Read what a page says.

    Raises:
        AskError: It is none of the things that a page may say.
    """
    try:
        said: object = parse_json(message)
    except ValueError as error:
        raise AskError(f"not JSON: {error}") from None
    if isinstance(said, dict) and (kind := _KINDS.get(said.get("kind"))) is not None:
        asked = said.get("id")
        is_id = isinstance(asked, int | str) and not isinstance(asked, bool)
        return Ask(kind=kind, id=asked if is_id else None, members=said)
    raise AskError(f"expected an object whose kind is one of {', '.join(_ANSWERS)}")


def answer(ask: Ask, problem: str | None, **members: object) -> str:
    """The answer to what a page asked for; `problem` says why it was not done."""
    return write_json({"kind": _ANSWERS[ask.kind], "id": ask.id, "problem": problem, **members})


def refused(problem: str) -> str:
    """The answer to what cannot be read."""
    return write_json({"kind": "refused", "id": None, "problem": problem})


def record_told(record: WireRecord, at: float, violations: Iterable[Violation]) -> str:
    """A message on the wire.

    Args:
        record: The message.
        at: Seconds since the first one.
        violations: The rules that it breaks.
    """
    message = message_json(record)
    name = "event" if message.startswith("{") else "text"
    head = write_json(
        {
            "kind": "record",
            "side": record.source,
            "at": round(at, 6),
            "wall": None if record.wall_time is None else round(record.wall_time, 6),
            "marks": marks_of(violations),
        }
    )
    # Put together as text, so that the page sees numbers and order as they were on the wire.
    return f'{head[:-1]},"{name}":{message}}}'


def marks_told(
    connection: int, side: Source, number: int, event_id: str | None, violations: list[Violation]
) -> str:
    """What is wrong with a message that the page has itself.

    Args:
        connection: The number of the connection, from 1.
        side: Who sent it.
        number: How many that side had sent before on that connection.
        event_id: Its id, if it has one.
        violations: The rules that it breaks.
    """
    return write_json(
        {
            "kind": "marks",
            "connection": connection,
            "side": side,
            "number": number,
            "event_id": event_id,
            "marks": marks_of(violations),
        }
    )


def marks_of(violations: Iterable[Violation]) -> list[dict[str, str]]:
    """What is wrong with one message, as values."""
    return [{"rule": each.rule, "explanation": each.explanation} for each in violations]


def connection_told(number: int, *, is_open: bool) -> str:
    """A connection of the page to the service has begun or ended."""
    return write_json({"kind": "connection", "number": number, "open": is_open})


def dropped_told(count: int) -> str:
    """So many records are missing at this place."""
    return write_json({"kind": "dropped", "count": count})


def end_told(close: Close | None, reason: str = "") -> str:
    """Nothing more will come."""
    return write_json(
        {
            "kind": "end",
            "code": None if close is None else close.code,
            "reason": reason if close is None else legible(close.reason),
        }
    )


def state_told(
    *,
    is_open: bool,
    may_act: bool,
    why_unwatched: str | None,
    approvals: Collection[FunctionCall | McpApprovalRequest] = (),
) -> str:
    """How things stand.

    Args:
        is_open: Whether more may come.
        may_act: Whether events may be sent and calls decided.
        why_unwatched: Why nobody looks at the order of events; None if somebody does.
        approvals: The calls that wait for a yes or no.
    """
    return write_json(
        {
            "kind": "state",
            "open": is_open,
            "may_act": may_act,
            "order": "watched" if why_unwatched is None else "unwatched",
            "why": why_unwatched,
            "approvals": [_approval(call) for call in approvals],
        }
    )


def _approval(call: FunctionCall | McpApprovalRequest) -> dict[str, object]:
    return {
        "call": call_id_of(call),
        "name": call.name,
        "arguments": call.arguments,
        "server_label": call.server_label if isinstance(call, McpApprovalRequest) else None,
    }


def call_id_of(call: FunctionCall | McpApprovalRequest) -> str:
    """By which id a call is decided."""
    found = call.id if isinstance(call, McpApprovalRequest) else call.call_id
    return found or ""


def problem_with(event: object, codec: Codec) -> str | None:
    """Why a client could not send this, None if it fits the protocol.

    Args:
        event: What somebody has typed, as it comes from JSON.
        codec: That of a server, which reads what clients send.
    """
    if not isinstance(event, dict):
        return "an event is a JSON object"
    read = codec.decode(write_json(event))
    if not isinstance(read, UnknownEvent):
        return None
    if read.problem is not None:
        return read.problem
    allowed = ", ".join(client_events(codec))
    return (
        f"a client does not send {legible(read.type, _LONGEST_TYPE)!r} in a {codec.kind.value} "
        f"session, as far as this version knows; it sends {allowed}"
    )


def client_events(codec: Codec) -> list[str]:
    """The types of everything that a client sends."""
    return sorted(kind.type for kind in KINDS[codec.kind].client_events)
