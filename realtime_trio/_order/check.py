"""The table of rules, and the functions that hold what went over the wire against it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Literal, Protocol

from attrs import frozen

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


class OrderWatch:
    """Holds messages against the rules as they come, one by one.

    It remembers what the rules need, which grows with the connection: an id for every event, and
    the words of what is being said.  Of a session that goes on over another connection each one is
    judged by itself, from its `session.created` on.

    Args:
        has_client: Whether the client's messages are watched, too.  Without them it is unknown what
            was asked for, and rules about that say nothing.
    """

    def __init__(self, *, has_client: bool = True) -> None:
        self._has_client = has_client
        self._index = -1
        self._session_id = ""
        self._passed_by: list[Violation] = []
        """Of the connections that are over."""
        self._begin()

    def _begin(self) -> None:
        """Another connection begins."""
        self._log = WireLog(has_client=self._has_client)
        self._opening: list[Event] = []
        """The first two events of the server, by which it is known what it speaks."""
        self._older: older.OlderProtocol | None = None

    def judge(self, source: Literal["client", "server"], event: Event) -> list[Violation]:
        """Take the next message, and return which rules it breaks.

        One mistake may break several rules; what follows it is judged as if it had not happened.

        Args:
            source: Which side sent it.
            event: What was sent.
        """
        self._index += 1
        if source == "client":
            violations = self._violations(CLIENT_RULES, event)
            # Noted after it is judged, and whatever the verdict: a rule compares an event with the
            # past, and one mistake must not make the rest unreadable.
            self._log.note_client(self._index, event)
            return violations
        if isinstance(event, SessionCreated):
            if self._session_id and event.session.id not in ("", self._session_id):
                self._passed_by = self.unanswered()
                self._begin()
            self._session_id = event.session.id
        violations = []
        for read in self._as_today(event):
            violations += self._violations(SERVER_RULES, read)
            self._log.note_server(read)
        return violations

    def unanswered(self) -> list[Violation]:
        """Requests for responses that the server has passed by, now that nothing more will come."""
        return self._passed_by + [
            Violation(
                UNANSWERED,
                position,
                "this response.create was neither answered nor refused, though later events were",
            )
            for position in self._log.wanted
            # The server takes requests in order, so it has passed by this one.
            if position < self._log.last_obeyed
        ]

    def _violations(self, rules: Iterable[Rule], event: Event) -> list[Violation]:
        return [
            Violation(rule.__name__, self._index, complaint)
            for rule in rules
            for complaint in rule(self._log, event)
        ]

    def _as_today(self, event: Event) -> Iterable[Event]:
        """The events of today's protocol that this one stands for."""
        if len(self._opening) < 2:
            self._opening.append(event)
            # The first of the two is the same in both protocols, so that it needs no reader.
            if older.is_older(self._opening):
                self._older = older.OlderProtocol()
        return (event,) if self._older is None else self._older.read(event)


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
    sides = [_side(record) for record in records]
    watch = OrderWatch(has_client=any(source == "client" for source, _ in sides))
    violations = [violation for source, event in sides for violation in watch.judge(source, event)]
    # Those of the end come in where they belong.
    return sorted((*violations, *watch.unanswered()), key=lambda violation: violation.index)


def _side(record: Recorded | Event) -> tuple[Literal["client", "server"], Event]:
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
