"""The table of rules, and the functions that hold what went over the wire against it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Final, Literal, Protocol

from attrs import evolve, frozen

from realtime_trio._order import items, older, outputs, responses, session, speech
from realtime_trio._order.wire_log import Complaints, WireLog
from realtime_trio.events import (
    ClientEvent,
    Event,
    SessionCreated,
)

Rule = Callable[[WireLog, Event], Complaints]


class Recorded(Protocol):
    """A message on the wire, as far as the rules look at it."""

    @property
    def source(self) -> Literal["client", "server"]: ...
    @property
    def event(self) -> Event: ...


@frozen
class Violation:
    """A rule of the protocol that was broken."""

    rule: str
    """Name of the rule."""
    index: int
    """Position among the records, from 0."""
    explanation: str
    """What happened, and what should have."""

    def __str__(self) -> str:
        return f"[{self.index}] {self.rule}: {self.explanation}"


# --- all of them ----------------------------------------------------------------------------------

SERVER_RULES: Final[tuple[Rule, ...]] = (
    session.session_is_created_first,
    session.session_is_updated_when_asked,
    session.event_ids_are_unique,
    session.errors_name_what_was_sent,
    session.only_today_is_spoken,
    session.nothing_follows_the_close,
    session.translation_goes_on,
    speech.speech_has_a_beginning_and_an_end,
    speech.audio_positions_grow,
    speech.commits_become_items,
    speech.transcriptions_end_once,
    items.items_are_added_once,
    items.items_are_done_once_added,
    items.items_are_done_before_the_next,
    items.items_stand_where_they_belong,
    items.items_have_their_status,
    items.deleted_items_are_gone,
    items.requests_come_before_their_answers,
    items.truncations_shorten,
    items.audio_travels_in_deltas,
    responses.responses_begin_and_end,
    responses.one_response_at_a_time,
    responses.responses_say_how_they_end,
    outputs.outputs_are_numbered,
    outputs.outputs_keep_their_order,
    outputs.parts_keep_their_order,
    outputs.arguments_keep_their_order,
    outputs.deltas_add_up,
    responses.responses_close_what_they_opened,
    responses.rate_limits_follow_responses,
    responses.tools_are_listed_once,
    responses.mcp_calls_run_after_their_response,
)
"""The rules that a server has to keep."""

CLIENT_RULES: Final[tuple[Rule, ...]] = (
    items.clients_name_items_that_are_there,
    items.clients_answer_calls_once,
)
"""The rules that a client has to keep."""

UNANSWERED: Final = "responses_are_answered"
"""Every `response.create` is followed by `response.created` or an error, unless the server never
came to it.  The one rule that can only be judged at the end."""


def check_order(records: Iterable[Recorded | Event]) -> list[Violation]:
    """Find out where messages break the protocol's order.

    Args:
        records: Everything that went over the wire, in order: wire records, or events.  The
            server's events alone are enough.  Of a session that went on over other connections
            each one is judged by itself, from its `session.created` on.

    Returns:
        Every violation, in order; none if the messages keep the rules.  One mistake may break
        several rules; what follows it is judged as if it had not happened.  A server that begins as
        in the older protocol, with `session.created` and `conversation.created`, is held to the
        same rules as far as its events say the same.
    """
    violations: list[Violation] = []
    sides = [_side(record) for record in records]
    beginnings = _beginnings(sides)
    for start, end in pairwise([*beginnings, len(sides)]):
        violations += (
            evolve(found, index=found.index + start) for found in _check(sides[start:end])
        )
    return violations


def _beginnings(sides: list[tuple[str, Event]]) -> list[int]:
    """Where the connections begin: with a session that has another id than the one before."""
    beginnings, present = [0], ""
    for index, (_, event) in enumerate(sides):
        if isinstance(event, SessionCreated):
            if present and event.session.id not in ("", present):
                beginnings.append(index)
            present = event.session.id
    return beginnings


def _check(sides: list[tuple[str, Event]]) -> list[Violation]:
    """The violations on one connection."""
    # Without the client's side it is unknown what was asked for, and rules about that say nothing.
    so_far = WireLog(has_client=any(source == "client" for source, _ in sides))
    violations: list[Violation] = []
    for index, source, event in _as_today(sides):
        rules = CLIENT_RULES if source == "client" else SERVER_RULES
        violations += [
            Violation(rule.__name__, index, complaint)
            for rule in rules
            for complaint in rule(so_far, event)
        ]
        # Noted after it is judged, and whatever the verdict: a rule compares an event with the
        # past, and one mistake must not make the rest unreadable.
        if source == "client":
            so_far.note_client(index, event)
        else:
            so_far.note_server(event)
    violations += [
        Violation(
            UNANSWERED,
            position,
            "this response.create was neither answered nor refused, though later events were",
        )
        for position in so_far.wanted
        # The server takes requests in order, so it has passed by this one.
        if position < so_far.last_obeyed
    ]
    # Those of the end come in where they belong.
    return sorted(violations, key=lambda violation: violation.index)


def _as_today(sides: list[tuple[str, Event]]) -> Iterator[tuple[int, str, Event]]:
    """The events of today's protocol, each with the position of what it was made of."""
    is_older = older.is_older(event for source, event in sides if source != "client")
    reader = older.OlderProtocol() if is_older else None
    for index, (source, event) in enumerate(sides):
        if reader is None or source == "client":
            yield index, source, event
        else:
            for read in reader.read(event):
                yield index, source, read


def _side(record: Recorded | Event) -> tuple[str, Event]:
    if isinstance(record, Event):
        return ("client" if isinstance(record, ClientEvent) else "server"), record
    return record.source, record.event


def assert_order(records: Iterable[Recorded | Event]) -> None:
    """Fail unless messages keep the protocol's order.

    Args:
        records: As for `check_order`.

    Raises:
        AssertionError: They do not.  It lists every violation, with the event that broke the rule.
    """
    messages = list(records)
    lines = []
    for violation in check_order(messages):
        source, event = _side(messages[violation.index])
        lines.append(f"  {violation} (at {event.type}, sent by the {source})")
    if lines:
        raise AssertionError("\n".join(["the messages break the protocol's order:", *lines]))
