"""GA <-> beta: the two spellings of the protocol, as functions from payload to payload.

Owns what changed between the beta protocol, which older deployments and local servers still speak,
and today's: event names, the flat session, the names of assistant content.  Knows nothing of event
classes, JSON text or sockets, and judges nothing: what has an unexpected type or an unknown name is
passed on as it is, for the codec to explain.

Theory of operation.  A *row* pairs the names of one event and says which of its members has another
shape.  A *shape* lists the *places* of an object's members: a flat beta key on
one side, a path into the GA object on the other.  Members move one by one and only if they are
there, because a session update is a merge: an absent member leaves a setting alone and null clears
it, so neither may turn into the other.  The functions merely follow the tables, in one direction or
the other.

Not everything survives.  Beta has no word for the GA settings in `ga_only`, and a server that
checks its input refuses the whole update for one unknown key, so these are left out; GA has no
place for those in `beta_only`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeVar

_Object = dict[str, object]
_Convert = Callable[[object], object]
_T = TypeVar("_T")


class Dialect(enum.Enum):
    """Which spelling of the protocol a connection speaks."""

    GA = "ga"
    """The protocol of today."""
    BETA = "beta"
    """The protocol of the `realtime=v1` beta: older Azure deployments and some local servers."""


def client_to_beta(payload: _Object) -> _Object:
    """Spell a client event the beta way, before it is sent to a beta server.

    Args:
        payload: The GA event.  It is not changed; the result may share parts with it.

    Returns:
        The beta event, or `payload` itself if both spellings are the same.
    """
    return _to_beta(_CLIENT, payload)


def client_from_beta(payload: _Object) -> _Object:
    """Spell a beta client's event today's way, for a server that received it.

    Args:
        payload: The beta event, or any other JSON object.  It is not changed; the result may share
            parts with it.

    Returns:
        The GA event, or `payload` itself if both spellings are the same.
    """
    return _from_beta(_CLIENT, payload)


def server_from_beta(payload: _Object) -> _Object:
    """Spell a beta server's event today's way, for a client that received it.

    What GA requires and beta does not send is filled in empty: the `name` of
    `response.function_call_arguments.done` (the item has it) and the `usage` of a transcription.
    `conversation.item.created` keeps its name, since it stands for GA's pair of events and not for
    one.

    Args:
        payload: The beta event, or any other JSON object.  It is not changed; the result may share
            parts with it.

    Returns:
        The GA event, or `payload` itself if both spellings are the same.
    """
    event = _from_beta(_SERVER, payload)
    filled = _named(_FILLED, event)
    if filled is not None and event.get(filled.key) is None:
        return {**event, filled.key: filled.empty()}
    return event


def server_to_beta(payload: _Object) -> _Object | None:
    """Spell a server event the beta way, before it is sent to a beta client.

    Args:
        payload: The GA event.  It is not changed; the result may share parts with it.

    Returns:
        The beta event, `payload` itself if both spellings are the same, or None if beta has no such
        event and nothing is to be sent.
    """
    if payload.get("type") in _GA_ONLY_EVENTS:
        return None
    event = _to_beta(_SERVER, payload)
    filled = _named(_FILLED, event)
    if filled is not None and event.get(filled.key) == filled.empty():
        return {key: value for key, value in event.items() if key != filled.key}
    return event


# --- values ---------------------------------------------------------------------------------------


class _Reshape(NamedTuple):
    """How one value changes, in each direction; what a function does not expect it leaves alone."""

    from_beta: _Convert
    to_beta: _Convert


def _same(value: object) -> object:
    return value


def _format_from_beta(value: object) -> object:
    if isinstance(value, str) and value in _FORMATS:
        wire_type, rate = _FORMATS[value]
        return (
            {"type": wire_type, "rate": rate} if wire_type == "audio/pcm" else {"type": wire_type}
        )
    # A format that is newer than this table keeps its name, in GA's shape.
    return {"type": value} if isinstance(value, str) else value


def _format_to_beta(value: object) -> object:
    if isinstance(value, dict):
        for name, (wire_type, rate) in _FORMATS.items():
            # A rate that beta cannot express is passed on: better a refusal than audio at the wrong
            # speed.
            if value.get("type") == wire_type and value.get("rate") in (None, rate):
                return name
        known = {wire_type for wire_type, _ in _FORMATS.values()}
        if isinstance(value.get("type"), str) and len(value) == 1 and value["type"] not in known:
            return value["type"]
    return value


# Spoken output comes with its text in both dialects.  Beta wants both named and refuses audio
# alone, GA refuses both.
def _modalities_from_beta(value: object) -> object:
    return ["audio"] if value in (["audio", "text"], ["text", "audio"]) else value


def _modalities_to_beta(value: object) -> object:
    return ["audio", "text"] if value == ["audio"] else value


# GA says null; some servers that speak beta have an object for "off".
def _turn_detection_from_beta(value: object) -> object:
    return None if isinstance(value, dict) and value.get("type") == "none" else value


def _without(*keys: str) -> _Reshape:
    """To beta, leave out these keys of an object."""

    def to_beta(value: object) -> object:
        return (
            {k: v for k, v in value.items() if k not in keys} if isinstance(value, dict) else value
        )

    return _Reshape(_same, to_beta)


def _item(item: object, *, names: Mapping[str, str]) -> object:
    if (
        not isinstance(item, dict)
        or item.get("role") != "assistant"
        or not isinstance(content := item.get("content"), list)
    ):
        return item
    return {**item, "content": [_content_part(part, names) for part in content]}


def _content_part(part: object, names: Mapping[str, str]) -> object:
    if isinstance(part, dict) and isinstance(tag := part.get("type"), str) and tag in names:
        return {**part, "type": names[tag]}
    return part


def _each(value: object, *, convert: _Convert) -> object:
    return [convert(element) for element in value] if isinstance(value, list) else value


_FORMATS: Final[Mapping[str, tuple[str, int]]] = {
    "pcm16": ("audio/pcm", 24_000),
    "g711_ulaw": ("audio/pcmu", 8_000),
    "g711_alaw": ("audio/pcma", 8_000),
}
"""Beta's name of an audio format -> GA's type and the rate in Hz that goes without saying; GA
writes it for PCM only."""

_ASSISTANT_CONTENT: Final[Mapping[str, str]] = {"text": "output_text", "audio": "output_audio"}
"""Types of the parts of assistant items, beta -> GA.  Those of user items and in
`response.content_part.*` are the same in both."""

_SAME: Final = _Reshape(_same, _same)
_FORMAT: Final = _Reshape(_format_from_beta, _format_to_beta)
_MODALITIES: Final = _Reshape(_modalities_from_beta, _modalities_to_beta)
_ITEM: Final = _Reshape(
    partial(_item, names=_ASSISTANT_CONTENT),
    partial(_item, names={ga: beta for beta, ga in _ASSISTANT_CONTENT.items()}),
)
_ITEMS: Final = _Reshape(
    partial(_each, convert=_ITEM.from_beta), partial(_each, convert=_ITEM.to_beta)
)


# --- objects --------------------------------------------------------------------------------------


class _MemberPlace(NamedTuple):
    """Where one member of an object is to be found in either dialect."""

    beta: str
    ga: tuple[str, ...]
    reshape: _Reshape = _SAME
    read_only: bool = False
    """A second spelling: understood, never written."""


class _Shape(NamedTuple):
    """How an object differs between the dialects; members not mentioned are the same in both."""

    places: tuple[_MemberPlace, ...]
    ga_only: frozenset[str] = frozenset()
    """Members that beta does not know; a strict beta server would refuse the object for them."""
    beta_only: frozenset[str] = frozenset()
    """Members that GA has no place for."""
    kind: str | None = None
    """The `type` that GA's object has and beta's lacks."""

    def from_beta(self, value: object) -> object:
        if not isinstance(value, dict):
            return value
        nested = {k: v for k, v in value.items() if k not in self.beta_only}
        for place in self.places:
            member = nested.pop(place.beta, _ABSENT)
            if member is not _ABSENT and not _put(
                nested, place.ga, place.reshape.from_beta(member)
            ):
                # Its place is taken: a server that mixes the dialects has filled it already.
                nested[place.beta] = member
        if self.kind is not None:
            # The events of a transcription session leave no doubt; others may be of a server that
            # has moved on in part.
            nested["type"] = nested.get("type", self.kind) if self.kind == "realtime" else self.kind
        return nested

    def to_beta(self, value: object) -> object:
        if not isinstance(value, dict):
            return value
        flat = {k: v for k, v in value.items() if k not in self.ga_only}
        for place in self.places:
            member = _ABSENT if place.read_only else _take(flat, place.ga)
            if member is not _ABSENT:
                flat[place.beta] = place.reshape.to_beta(member)
        return flat


# Not None: null is a value here, which clears a setting.
_ABSENT: Final = object()


def _put(target: _Object, path: Sequence[str], value: object) -> bool:
    """Store a value under a path; False if something else is in the way.

    Objects on the way are replaced by copies, since they belong to the caller.
    """
    head, *rest = path
    if not rest:
        if head in target:
            return False
        target[head] = value
        return True
    child = target.get(head, {})
    if not isinstance(child, dict):
        return False
    copy = dict(child)
    if not _put(copy, rest, value):
        return False
    target[head] = copy
    return True


def _take(target: _Object, path: Sequence[str]) -> object:
    """Remove and return the value under a path.

    Objects on the way are replaced by copies; those that are left empty go as well.
    """
    head, *rest = path
    if not rest:
        return target.pop(head, _ABSENT)
    child = target.get(head)
    if not isinstance(child, dict):
        return _ABSENT
    copy = dict(child)
    value = _take(copy, rest)
    # Beta has no nested objects here: one left empty would be a key that it refuses.
    if copy:
        target[head] = copy
    else:
        del target[head]
    return value


_INPUT_FORMAT: Final = _MemberPlace("input_audio_format", ("audio", "input", "format"), _FORMAT)
_INPUT_TRANSCRIPTION: Final = _MemberPlace(
    "input_audio_transcription", ("audio", "input", "transcription")
)
_INPUT_NOISE_REDUCTION: Final = _MemberPlace(
    "input_audio_noise_reduction", ("audio", "input", "noise_reduction"), _without("strength")
)
_TURN_DETECTION: Final = _MemberPlace(
    "turn_detection",
    ("audio", "input", "turn_detection"),
    _Reshape(_turn_detection_from_beta, _same),
)
_OUTPUT_MODALITIES: Final = _MemberPlace("modalities", ("output_modalities",), _MODALITIES)
_OUTPUT_FORMAT: Final = _MemberPlace("output_audio_format", ("audio", "output", "format"), _FORMAT)
_VOICE: Final = _MemberPlace("voice", ("audio", "output", "voice"))

_SESSION_REPORTED: Final = _Shape(
    places=(
        _OUTPUT_MODALITIES,
        _INPUT_FORMAT,
        _INPUT_TRANSCRIPTION,
        _INPUT_NOISE_REDUCTION,
        _TURN_DETECTION,
        _OUTPUT_FORMAT,
        _VOICE,
        _MemberPlace("speed", ("audio", "output", "speed")),
        _MemberPlace("max_response_output_tokens", ("max_output_tokens",)),
    ),
    ga_only=frozenset({"type", "parallel_tool_calls", "reasoning"}),
    # GA has taken the temperature away, and gives out secrets over HTTP.
    beta_only=frozenset({"temperature", "client_secret"}),
    kind="realtime",
)
"""The voice session of `session.created` and `session.updated`."""

_SESSION_ASKED: Final = _SESSION_REPORTED._replace(
    places=tuple(
        # Settings of models that came with GA.
        place._replace(reshape=_without("languages", "keywords", "delay"))
        if place is _INPUT_TRANSCRIPTION
        else place
        for place in _SESSION_REPORTED.places
    ),
    # A beta server may report `include`, but takes it for transcription sessions only.
    ga_only=_SESSION_REPORTED.ga_only | {"include"},
)
"""The voice session of `session.update`."""

_TRANSCRIPTION: Final = _Shape(
    places=(
        _INPUT_FORMAT,
        _INPUT_TRANSCRIPTION,
        _INPUT_NOISE_REDUCTION,
        _TURN_DETECTION._replace(
            reshape=_Reshape(_turn_detection_from_beta, _without("idle_timeout_ms").to_beta)
        ),
    ),
    ga_only=frozenset({"type"}),
    beta_only=frozenset({"modalities", "client_secret"}),
    kind="transcription",
)
"""The session of the `transcription_session.*` events, which GA writes as `session.*` with a
session of that type."""

_RESPONSE: Final = _Shape(
    places=(
        _OUTPUT_MODALITIES,
        _OUTPUT_FORMAT,
        _VOICE,
        # Beta has both names for it here; GA's is written, and both are read.
        _MemberPlace("max_response_output_tokens", ("max_output_tokens",), read_only=True),
        _MemberPlace("input", ("input",), _ITEMS),
        _MemberPlace("output", ("output",), _ITEMS),
    ),
    ga_only=frozenset({"parallel_tool_calls", "reasoning"}),
    beta_only=frozenset({"temperature"}),
)
"""The settings in `response.create` and the response in `response.created` and `response.done`."""


# --- events ---------------------------------------------------------------------------------------


class _EventRow(NamedTuple):
    """One event in both dialects."""

    beta: str
    ga: str
    key: str = ""
    """The member that changes, `""` if only the event's name does."""
    shape: _Shape | _Reshape = _SAME
    """How that member changes."""


class _Side(NamedTuple):
    """The rows of one direction of traffic, by either name; of rows that share one, the first."""

    by_beta: Mapping[str, _EventRow]
    by_ga: Mapping[str, _EventRow]

    @classmethod
    def of(cls, rows: Sequence[_EventRow]) -> _Side:
        # Reversed, since the last one wins in a dictionary.
        return cls(
            {row.beta: row for row in reversed(rows)}, {row.ga: row for row in reversed(rows)}
        )


class _Filled(NamedTuple):
    """A member that GA requires and beta does not send: filled in empty, and left out again."""

    key: str
    empty: Callable[[], object]


_CLIENT: Final = _Side.of(
    [
        _EventRow("session.update", "session.update", "session", _SESSION_ASKED),
        _EventRow("transcription_session.update", "session.update", "session", _TRANSCRIPTION),
        _EventRow("conversation.item.create", "conversation.item.create", "item", _ITEM),
        _EventRow("response.create", "response.create", "response", _RESPONSE),
    ]
)
"""What clients send."""

_SERVER: Final = _Side.of(
    [
        _EventRow("session.created", "session.created", "session", _SESSION_REPORTED),
        _EventRow("session.updated", "session.updated", "session", _SESSION_REPORTED),
        _EventRow("transcription_session.created", "session.created", "session", _TRANSCRIPTION),
        _EventRow("transcription_session.updated", "session.updated", "session", _TRANSCRIPTION),
        # GA's pair `added` and `done` is one event in beta: `added` becomes it, `done` is not sent,
        # and on the way back it keeps its name, for one event cannot become two here.
        _EventRow("conversation.item.created", "conversation.item.created", "item", _ITEM),
        _EventRow("conversation.item.created", "conversation.item.added", "item", _ITEM),
        _EventRow("conversation.item.retrieved", "conversation.item.retrieved", "item", _ITEM),
        _EventRow("response.created", "response.created", "response", _RESPONSE),
        _EventRow("response.done", "response.done", "response", _RESPONSE),
        _EventRow("response.output_item.added", "response.output_item.added", "item", _ITEM),
        _EventRow("response.output_item.done", "response.output_item.done", "item", _ITEM),
        _EventRow("response.text.delta", "response.output_text.delta"),
        _EventRow("response.text.done", "response.output_text.done"),
        _EventRow("response.audio.delta", "response.output_audio.delta"),
        _EventRow("response.audio.done", "response.output_audio.done"),
        _EventRow("response.audio_transcript.delta", "response.output_audio_transcript.delta"),
        _EventRow("response.audio_transcript.done", "response.output_audio_transcript.done"),
    ]
)
"""What servers send."""

_GA_ONLY_EVENTS: Final = (
    "conversation.item.done",
    "input_audio_buffer.timeout_triggered",
    "input_audio_buffer.dtmf_event_received",
)
"""Server events that beta does not have."""

_FILLED: Final[Mapping[str, _Filled]] = {
    "response.function_call_arguments.done": _Filled("name", str),
    "conversation.item.input_audio_transcription.completed": _Filled("usage", dict),
}


# --- following the tables -------------------------------------------------------------------------


def _from_beta(side: _Side, payload: _Object) -> _Object:
    row = _named(side.by_beta, payload)
    if row is None:
        return payload
    event = {**payload, "type": row.ga}
    if row.key in event:
        event[row.key] = row.shape.from_beta(event[row.key])
    return event


def _to_beta(side: _Side, payload: _Object) -> _Object:
    row = _named(side.by_ga, payload)
    if row is None:
        return payload
    # Both kinds of session share GA's names; in beta, a transcription session has its own.
    session = payload.get("session")
    if isinstance(session, dict) and session.get("type") == "transcription":
        row = side.by_beta.get(f"transcription_{row.ga}", row)
    event = {**payload, "type": row.beta}
    if row.key in event:
        event[row.key] = row.shape.to_beta(event[row.key])
    return event


def _named(table: Mapping[str, _T], event: _Object) -> _T | None:
    wire_type = event.get("type")
    return table.get(wire_type) if isinstance(wire_type, str) else None
