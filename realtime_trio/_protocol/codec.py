"""JSON text <-> typed events, in either role, for every kind of session and in every dialect.

Owns the wire format: what a message is, and who may send it.  Nothing from the JSON library or from
cattrs leaves this room: what cannot be decoded becomes an `UnknownEvent` (in strict codecs a
`RemoteProtocolError`), what cannot be encoded is a `LocalProtocolError` that names the place.  How
classes and JSON values become each other is in `_protocol.structuring`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any

from realtime_trio._legible import legible
from realtime_trio._misuse import kind_of
from realtime_trio._protocol.dialects import (
    Dialect,
    client_from_beta,
    client_to_beta,
    server_from_beta,
    server_to_beta,
)
from realtime_trio._protocol.json_text import (
    AUDIO_THRESHOLD,
    parse_json,
    parse_message,
    write_json,
)
from realtime_trio._protocol.kinds import KINDS, SessionKind
from realtime_trio._protocol.structuring import (
    CLIENT_WRITER,
    MISFITS,
    SERVER_WRITER,
    Json,
    MisfitError,
    name_of,
    structure_explaining,
    table_of,
    unstructure,
)
from realtime_trio.errors import LocalProtocolError, RemoteProtocolError
from realtime_trio.events import ClientEvent, Event, UnknownEvent


class Role(enum.Enum):
    """Which side of the connection a codec serves: it decodes what the other side sends."""

    CLIENT = "client"
    SERVER = "server"


class Codec:
    """Decodes and encodes the events of one kind of session.

    It has no state: one codec can serve any number of connections.

    Args:
        role: Which side it serves.  A client decodes server events and encodes client events; a
            server the other way round.
        dialect: Which names and shapes the wire has; the event classes are the same.
        kind: What the session is for.
        strict: Raise on what cannot be decoded instead of delivering it as `UnknownEvent`.
    """

    def __init__(
        self,
        role: Role = Role.CLIENT,
        dialect: Dialect = Dialect.GA,
        *,
        kind: SessionKind = SessionKind.REALTIME,
        strict: bool = False,
    ) -> None:
        self.role = role
        self.dialect = dialect
        self.kind = kind
        self.strict = strict
        client_table = table_of(KINDS[kind].client_events)
        server_table = table_of(KINDS[kind].server_events)
        self._incoming = server_table if role is Role.CLIENT else client_table
        self._outgoing = client_table if role is Role.CLIENT else server_table
        self._writer = CLIENT_WRITER if role is Role.CLIENT else SERVER_WRITER
        self._reshape_incoming: Callable[[Json], Json] | None = None
        self._reshape_outgoing: Callable[[Json], Json | None] | None = None
        if dialect is Dialect.BETA:
            self._reshape_incoming = server_from_beta if role is Role.CLIENT else client_from_beta
            self._reshape_outgoing = client_to_beta if role is Role.CLIENT else server_to_beta

    def decode(self, data: str | bytes) -> Event:
        """Turn one message into an event.

        Args:
            data: The text of a WebSocket text message, as str or UTF-8.

        Returns:
            A server event for a client, a client event for a server; an `UnknownEvent` for what has
            no type here or does not fit its type, in which case `problem` says why.

        Raises:
            RemoteProtocolError: Only if strict: the message is not a JSON object, its type is
                unknown, or its payload does not fit.
        """
        try:
            # Asked here and not in parse_message: of a short message, the call is a good part.
            payload = parse_json(data) if len(data) < AUDIO_THRESHOLD else parse_message(data)
        except ValueError as exc:
            return self._unknown("", data, f"not JSON: {exc}")
        # What an UnknownEvent shows is what came, in the words of its dialect.
        arrived = payload
        if self._reshape_incoming is not None and type(payload) is dict:
            payload = self._reshape_incoming(payload)
        # One lookup, and no questions before it: a message without a type, or one that is not an
        # object, is rare enough to be found out by the failure.
        try:
            structure = self._incoming[payload["type"]]
        except (KeyError, TypeError):
            return self._untyped(arrived)
        try:
            event: Event = structure(payload, None)
        except MISFITS:
            return self._misfit(payload, arrived)
        return event

    def encode(self, event: Event) -> str:
        """Turn an event into the text of one message.

        A server passes an `UnknownEvent` on as the object that it came as, in whatever dialect, so
        that something between a server and its clients need not know all that it carries.  A
        client sends what this version does not know with `send_raw`.

        Raises:
            TypeError: It is not an event.
            LocalProtocolError: The event does not belong to this role, kind of session or dialect,
                or a field holds something that the protocol has no place for; the message names the
                field.
        """
        check_event(event)
        wire_type = event.type
        # By the class and not by the type alone: kinds of session share types, and not payloads.
        known = self._outgoing.classes.get(wire_type)
        if known is not type(event):
            if isinstance(event, UnknownEvent):
                return self._encode_unknown(event)
            allowed = ", ".join(sorted(self._outgoing.classes))
            raise LocalProtocolError(
                f"a {self.role.value} cannot send {type(event).__name__} "
                f"in a {self.kind.value} session; allowed: {allowed}"
            )
        # What users build is checked the way a server would check it; what our own server builds is
        # checked by our tests.
        try:
            payload = unstructure(event, self._writer, check=isinstance(event, ClientEvent))
        except MisfitError as misfit:
            raise LocalProtocolError(f"cannot encode {wire_type}: {misfit}") from None
        if self._reshape_outgoing is not None:
            reshaped = self._reshape_outgoing(payload)
            if reshaped is None:
                raise LocalProtocolError(f"the beta dialect has no event for {wire_type}")
            payload = reshaped
        try:
            return write_json(payload)
        except TypeError as exc:
            raise LocalProtocolError(f"cannot encode {wire_type}: {exc}") from None

    def encode_raw(self, payload: Mapping[str, object] | str) -> str:
        """Turn a JSON object into the text of a message, unchecked and in no dialect.

        A text is passed on as it is.

        Raises:
            LocalProtocolError: The object holds something that JSON does not have, or the text half
                of a surrogate pair.
        """
        if isinstance(payload, str):
            # Half of a surrogate pair has no form in UTF-8, which is found here and not by the
            # transport, where it would be the end of the connection.
            try:
                payload.encode()
            except UnicodeEncodeError as exc:
                raise LocalProtocolError(
                    f"cannot send the message: its character {exc.start} is half of a surrogate "
                    "pair, which UTF-8 cannot express"
                ) from None
            return payload
        if not isinstance(payload, Mapping):
            raise LocalProtocolError(
                f"cannot send {name_of(payload)} as a message; "
                "allowed: an object, or the text of one"
            )
        try:
            return write_json(payload if type(payload) is dict else dict(payload))
        except (TypeError, ValueError) as exc:
            raise LocalProtocolError(f"cannot encode the message: {exc}") from None

    def _encode_unknown(self, event: UnknownEvent) -> str:
        if self.role is Role.CLIENT:
            raise LocalProtocolError(
                "a client cannot send UnknownEvent; "
                "allowed: send_raw(), for what this version does not know"
            )
        if not isinstance(event.raw, Mapping):
            raise LocalProtocolError(
                f"a server cannot pass on {name_of(event.raw)} as an event; allowed: an "
                "UnknownEvent that was an object"
            )
        return self.encode_raw(event.raw)

    def _untyped(self, payload: Any) -> UnknownEvent:
        if type(payload) is not dict:
            return self._unknown("", payload, f"expected an object, got {name_of(payload)}")
        wire_type = payload.get("type")
        if type(wire_type) is not str:
            return self._unknown(
                "",
                payload,
                "required field missing @ $.type"
                if wire_type is None
                else "expected a string @ $.type",
            )
        return self._unknown(wire_type, payload, None)

    def _misfit(self, payload: Json, arrived: Json) -> Event:
        try:
            # Returns an event if the two converters disagree: then it did fit, after all.
            return structure_explaining(self._incoming.classes[payload["type"]], payload)
        except MisfitError as misfit:
            return self._unknown(arrived["type"], arrived, str(misfit))

    def _unknown(self, wire_type: str, raw: object, problem: str | None) -> UnknownEvent:
        if self.strict:
            raise RemoteProtocolError(
                f"cannot decode {legible(wire_type) or 'message'}: "
                f"{legible(problem or 'unknown event type')}"
            )
        event_id = raw.get("event_id") if isinstance(raw, dict) else None
        return UnknownEvent(
            event_id=event_id if type(event_id) is str else "",
            type=wire_type,
            raw=raw,
            problem=problem,
        )


def check_event(event: object) -> None:
    """Refuse what is not an event at all: a JSON object, a class, nothing.

    Raises:
        TypeError: It is not an event.
    """
    if not isinstance(event, Event):
        raise TypeError(
            f"send() takes an event such as ResponseCreate(), not {kind_of(event)}; "
            "send_raw() takes JSON objects"
        )
