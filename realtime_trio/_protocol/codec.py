"""JSON text <-> typed events, in either role, for every kind of session, in today's dialect and the older one.

Owns the wire format.  Nothing from orjson or cattrs leaves this room: what cannot be decoded
becomes an `UnknownEvent` (in strict codecs a `RemoteProtocolError`), what cannot be encoded is a
`LocalProtocolError` that names the place.

Theory of operation ------------------- A dispatch table maps a wire type to a structure function,
which cattrs generates the first time the type is met.  Its happy path does no bookkeeping: the
exact types of all required str, int, bool and nothing else are compared in one step, everything
else has a small hook. When anything about an event does not fit, the event is decoded a second time
by a converter that keeps track of paths, only to say what was wrong and where.  The JSON parser
never sees audio: see `_parse`.

Three rules cover what the protocol's schema leaves open.  A field that has no default is required.
Null means absent wherever null is not one of the field's values.  An object whose `type` is not
known is an `UnknownObject` where the union allows one.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

import attrs
import numpy as np
import orjson
from cattrs import (
    ClassValidationError,
    Converter,
    IterableValidationError,
    IterableValidationNote,
    transform_error,
)
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from realtime_trio import events
from realtime_trio._protocol.dialects import (
    Dialect,
    client_from_beta,
    client_to_beta,
    server_from_beta,
    server_to_beta,
)
from realtime_trio._protocol.kinds import KINDS, SessionKind
from realtime_trio.audio.data import AudioData
from realtime_trio.errors import (
    InternalError,
    LocalProtocolError,
    RealtimeError,
    RemoteProtocolError,
)
from realtime_trio.events import (
    SERVER_WRITES_NULL,
    UNSET,
    WRITE_NULL,
    ClientEvent,
    Event,
    UnknownEvent,
    UnknownObject,
    Unset,
)

_Json = dict[str, Any]
_Hook = Callable[[Any, Any], Any]


class Role(enum.Enum):
    """Which side of the connection a codec serves: it decodes what the other side sends."""

    CLIENT = "client"
    SERVER = "server"


class Codec:
    """Decodes and encodes the events of one kind of session.  Stateless: one codec can serve any number of connections.

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
        client_table = _table(KINDS[kind].client_events)
        server_table = _table(KINDS[kind].server_events)
        self._incoming = server_table if role is Role.CLIENT else client_table
        self._outgoing = client_table if role is Role.CLIENT else server_table
        self._writer = _WRITERS[role]
        self._reshape_incoming: Callable[[_Json], _Json] | None = None
        self._reshape_outgoing: Callable[[_Json], _Json | None] | None = None
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
            payload = orjson.loads(data) if len(data) < _AUDIO_THRESHOLD else _parse(data)
        except ValueError as exc:
            return self._unknown("", data, f"not JSON: {exc}")
        arrived = payload
        if self._reshape_incoming is not None and type(payload) is dict:
            payload = self._reshape_incoming(payload)
        try:
            structure = self._incoming[payload["type"]]
        except (KeyError, TypeError):
            return self._untyped(arrived)
        try:
            event: Event = structure(payload, None)
        except (KeyError, TypeError, ValueError, AttributeError, RealtimeError):
            return self._misfit(payload, arrived)
        return event

    def encode(self, event: Event) -> str:
        """Turn an event into the text of one message.

        Raises:
            LocalProtocolError: The event does not belong to this role, kind of session or dialect,
                or a field holds something that the protocol has no place for; the message names the
                field.
        """
        wire_type = event.type
        known = self._outgoing.classes.get(wire_type)
        if known is not type(event):
            allowed = ", ".join(sorted(self._outgoing.classes))
            raise LocalProtocolError(
                f"a {self.role.value} cannot send {type(event).__name__} in a {self.kind.value} session; allowed: {allowed}"
            )
        try:
            payload: _Json = self._writer.get_unstructure_hook(known)(event)
            if isinstance(event, ClientEvent):
                # What users build is checked the way a server would check it; what our own server
                # builds is checked by our tests.
                _fast_converter.get_structure_hook(known)(payload, None)
        except (KeyError, TypeError, ValueError, AttributeError, RealtimeError):
            raise LocalProtocolError(
                f"cannot encode {wire_type}: {_explain_unencodable(known, event, self._writer)}"
            ) from None
        if self._reshape_outgoing is not None:
            reshaped = self._reshape_outgoing(payload)
            if reshaped is None:
                raise LocalProtocolError(f"the beta dialect has no event for {wire_type}")
            payload = reshaped
        try:
            return orjson.dumps(payload, option=orjson.OPT_SERIALIZE_NUMPY).decode()
        except (
            TypeError
        ) as exc:  # includes orjson.JSONEncodeError; its text names types, never values
            raise LocalProtocolError(f"cannot encode {wire_type}: {exc}") from None

    def encode_raw(self, payload: Mapping[str, object] | str) -> str:
        """Turn a JSON object into the text of a message, unchecked and in no dialect; a text is passed on as it is.

        Raises:
            LocalProtocolError: The object holds something that JSON does not have.
        """
        if isinstance(payload, str):
            return payload
        if not isinstance(payload, Mapping):
            raise LocalProtocolError(
                f"cannot send {_name_of(payload)} as a message; allowed: an object, or the text of one"
            )
        try:
            return orjson.dumps(payload if type(payload) is dict else dict(payload)).decode()
        except (TypeError, ValueError) as exc:
            raise LocalProtocolError(f"cannot encode the message: {exc}") from None

    def _untyped(self, payload: Any) -> UnknownEvent:
        if type(payload) is not dict:
            return self._unknown("", payload, f"expected an object, got {_name_of(payload)}")
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

    def _misfit(self, payload: _Json, arrived: _Json) -> Event:
        cls = self._incoming.classes[payload["type"]]
        try:
            event: Event = _explaining_converter.get_structure_hook(cls)(payload, None)
        except Exception as exc:
            return self._unknown(arrived["type"], arrived, _explain(exc))
        # pragma: no cover - the two converters agree; if they ever do not, the event is worth more
        # than the doubt
        return event

    def _unknown(self, wire_type: str, raw: object, problem: str | None) -> UnknownEvent:
        if self.strict:
            raise RemoteProtocolError(
                f"cannot decode {wire_type or 'message'}: {problem or 'unknown event type'}"
            )
        event_id = raw.get("event_id") if isinstance(raw, dict) else None
        return UnknownEvent(
            event_id=event_id if type(event_id) is str else "",
            type=wire_type,
            raw=raw,
            problem=problem,
        )


# --- parsing --------------------------------------------------------------------------------------

_AUDIO_THRESHOLD: Final = 1024
"""Messages shorter than this (characters) go to the JSON parser whole: cutting only pays for real
audio."""
_CUT: Final = "<cut>"
"""Stands in for what was cut out; not base64, so no server sends it as audio."""


def _parse(data: str | bytes) -> Any:
    r"""Parse a message, keeping a long base64 `delta` away from the JSON parser.

    A spoken answer is 95 % base64, which a JSON parser reads character by character.  Here it is
    cut out with two searches, which run at memory speed: inside a JSON string a quote is always
    escaped, so `"delta":` can only be a key, and base64 has no escapes, so its value ends at the
    next quote.  If the cut was not a top-level string free of escapes, nothing was lost: the whole
    message is parsed.
    """
    text = data if isinstance(data, str) else str(data, "utf-8")
    start = text.find('"delta":')
    if start < 0:
        return orjson.loads(text)
    start = text.find('"', start + 8) + 1
    end = text.find('"', start)
    if start == 0 or end - start < _AUDIO_THRESHOLD // 2:
        return orjson.loads(text)
    audio = text[start:end]
    if "\\" in audio or not audio.isascii():
        return orjson.loads(text)
    payload = orjson.loads(text[:start] + _CUT + text[end:])
    if (
        type(payload) is not dict
        or payload.get("delta") != _CUT
        or not str(payload.get("type")).endswith("audio.delta")
    ):
        return orjson.loads(text)
    payload["delta"] = audio
    return payload


# --- structuring: JSON values -> events -----------------------------------------------------------


class _MisfitError(TypeError):
    """A JSON value that does not fit a field; the text says what was expected."""


_EXPECTED: Final[Mapping[type, str]] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    NoneType: "null",
}
_PRIMITIVES: Final = frozenset({str, int, bool, float})

_EXTRA_TAGS: Final[Mapping[type, tuple[str | None, ...]]] = {
    # Other spellings seen on the wire; None stands for an absent `type`.
    events.OutputText: ("text",),
    events.OutputAudio: ("audio",),
    events.RealtimeSession: (None,),
    events.FunctionTool: (None,),
}


def _name_of(value: object) -> str:
    return _EXPECTED.get(type(value), type(value).__name__)


def _quote(value: object) -> str:
    """A short string as it is, of anything else what it is: a problem must be readable, and quotes no content."""
    return repr(value) if type(value) is str and len(value) <= 40 else _name_of(value)


def _exact(expected: type) -> _Hook:
    """A hook that admits exactly this JSON type.  An integer is a number; true is not an integer; what is not finite is neither."""

    def hook(value: Any, _: Any) -> Any:
        if type(value) is expected:
            return value
        raise _MisfitError(f"expected {_EXPECTED[expected]}, got {_name_of(value)}")

    def number(value: Any, _: Any) -> Any:
        if type(value) is int or (type(value) is float and math.isfinite(value)):
            return value
        raise _MisfitError(
            f"expected a number, got {value if type(value) is float else _name_of(value)}"
        )

    return number if expected is float else hook


def _literal(values: tuple[object, ...]) -> _Hook:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is str and value in values:
            return value
        allowed = ", ".join(map(repr, values))
        raise _MisfitError(
            f"expected {'one of ' if len(values) > 1 else ''}{allowed}, got {_quote(value)}"
        )

    return hook


def _sequence(element: _Hook, explaining: bool) -> _Hook:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is not list:
            raise _MisfitError(f"expected a list, got {_name_of(value)}")
        if not explaining:
            return tuple([element(v, None) for v in value])
        for index, v in enumerate(value):
            try:
                element(v, None)
            except Exception as exc:
                exc.add_note(IterableValidationNote(f"element {index}", index, object))
                raise IterableValidationError("list", [exc], object) from None
        return tuple([element(v, None) for v in value])

    return hook


def _tagged(classes: tuple[type, ...], converter: Converter) -> _Hook:
    """A hook for a union of classes told apart by `type` (and, for messages, by `role`)."""
    members = [cls for cls in classes if cls is not UnknownObject]
    tolerant = len(members) < len(classes)
    table: dict[object, _Hook] = {}
    for cls in members:
        hook = converter.get_structure_hook(cls)
        tag: Any = getattr(cls, "type", None)
        role = getattr(cls, "role", None)
        for spelling in (tag, *_EXTRA_TAGS.get(cls, ())):
            table[spelling if role is None else (spelling, role)] = hook

    def hook_for_object(value: Any, _: Any) -> Any:
        if type(value) is not dict:
            raise _MisfitError(f"expected an object, got {_name_of(value)}")
        tag = value.get("type")
        key = (tag, value.get("role")) if tag == "message" else tag
        try:
            hook = table.get(key)
        except TypeError:  # an unhashable `type`
            hook = None
        if hook is not None:
            return hook(value, None)
        if tolerant:
            return UnknownObject(tag if type(tag) is str else None, value)
        allowed = ", ".join(repr(getattr(cls, "type", None)) for cls in members)
        raise _MisfitError(f"expected an object of type {allowed}, got {_quote(tag)}")

    return hook_for_object


def _union(members: tuple[Any, ...], converter: Converter, explaining: bool) -> _Hook:
    """A hook that picks by the JSON type of the value: a string one way, an object another."""
    by_json_type: dict[type, _Hook] = {}
    literals = tuple(v for m in members if get_origin(m) is Literal for v in get_args(m))
    classes = tuple(m for m in members if attrs.has(m))
    for member in members:
        if member is NoneType:
            by_json_type[NoneType] = lambda _value, _: None
        elif member is AudioData:
            by_json_type[str] = _audio
        elif member in _PRIMITIVES:
            by_json_type[member] = _exact(member)
            if member is float:
                by_json_type.setdefault(int, _exact(float))
        elif get_origin(member) is tuple:
            by_json_type[list] = _hook(member, converter, explaining)
        elif _is_json_object(member):
            by_json_type[dict] = _exact(dict)
    if literals and str not in by_json_type:
        by_json_type[str] = _literal(literals)
    if classes:
        by_json_type[dict] = (
            converter.get_structure_hook(classes[0])
            if len(classes) == 1
            else _tagged(classes, converter)
        )
    if len(by_json_type) == 1:  # a union of classes, or an optional thing that cannot be null
        return next(iter(by_json_type.values()))
    allowed = " or ".join(_EXPECTED[t] for t in by_json_type if t is not int or int in members)

    def hook(value: Any, _: Any) -> Any:
        chosen = by_json_type.get(type(value))
        if chosen is None:
            raise _MisfitError(f"expected {allowed}, got {_name_of(value)}")
        return chosen(value, None)

    return hook


def _audio(value: Any, _: Any) -> AudioData:
    if type(value) is not str:
        raise _MisfitError(f"expected base64 text, got {_name_of(value)}")
    return AudioData.from_base64(value)


def _hook(annotation: Any, converter: Converter, explaining: bool) -> _Hook:
    """The hook for a field's annotation."""
    if annotation is AudioData:
        return _audio
    if annotation in _PRIMITIVES:
        return _exact(annotation)
    if _is_json_object(annotation):
        return _exact(dict)
    origin = get_origin(annotation)
    if origin is Literal:
        return _literal(get_args(annotation))
    if origin is tuple:
        return _sequence(_hook(get_args(annotation)[0], converter, explaining), explaining)
    if origin in (Union, UnionType):
        return _union(
            tuple(m for m in get_args(annotation) if m is not Unset), converter, explaining
        )
    return converter.get_structure_hook(annotation)


def _is_json_object(annotation: Any) -> bool:
    return get_origin(annotation) is Mapping


def _simplify(annotation: Any) -> tuple[Any, bool]:
    """Split an annotation into what a value is and whether it may be null.  `Literal[...] | str` is a string."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation, False
    members = [m for m in get_args(annotation) if m is not Unset]
    core = [m for m in members if m is not NoneType]
    if str in core:
        core = [m for m in core if get_origin(m) is not Literal]
    return Union[tuple(core)], NoneType in members  # noqa: UP007 - built from a list


def _fast_class_hook(cls: type, converter: Converter) -> _Hook:
    """Generate the structure function of one class.

    It fills the slots directly: an attrs `__init__`, with its keyword arguments and its bypass of
    the frozen `__setattr__`, costs more than the rest of decoding together.  The instance is born
    as a subclass of the same layout that can be written to, and becomes the real, frozen thing by a
    change of class.  Field converters are not run: the hooks already produce what they would.
    """
    thawed = type(
        cls.__name__,
        (cls,),
        {"__slots__": (), "__setattr__": object.__setattr__, "__delattr__": object.__delattr__},
    )
    names: dict[str, Any] = {
        "cls": cls,
        "new": partial(object.__new__, thawed),
        "Misfit": _MisfitError,
        "UNSET": UNSET,
    }
    lines = ["def structure(o, _=None):", " e = new()"]
    for a in attrs.fields(attrs.resolve_types(cls)):
        core, nullable = _simplify(a.type)
        key, default = repr(a.name), f"default_{a.name}"
        names[default] = a.default
        if a.default is attrs.NOTHING:
            lines.append(f" v = o[{key}]")
            absent = "v is None" if nullable else ""
        elif nullable and a.default is not None:
            lines.append(f" v = o.get({key}, {default})")
            absent = f"v is None or v is {default}"
        else:
            lines.append(f" v = o.get({key})")
            absent = "v is None"
            if a.default is not None:
                lines.append(f" if v is None: v = {default}")
                absent = f"v is {default}"
        if core in (str, int, bool):
            guard = f"not ({absent}) and " if absent else ""
            lines.append(f" if {guard}type(v) is not {core.__name__}: raise Misfit")
            lines.append(f" e.{a.name} = v")
        else:
            hook = f"hook_{a.name}"
            names[hook] = _hook(core, converter, explaining=False)
            lines.append(
                f" e.{a.name} = v if {absent} else {hook}(v, None)"
                if absent
                else f" e.{a.name} = {hook}(v, None)"
            )
    lines += [" e.__class__ = cls", " return e"]
    # Compiled beforehand: CPython takes a Ctrl-C inside the exec of a text for one that nobody
    # caught, and dies of it in the end.
    exec(compile("\n".join(lines), f"<structure {cls.__qualname__}>", "exec"), names)
    structure: _Hook = names["structure"]
    return structure


def _explaining_class_hook(cls: type, converter: Converter) -> _Hook:
    """The same function as cattrs makes it: it visits every field and remembers where it was."""
    overrides: dict[str, Any] = {}
    for a in attrs.fields(attrs.resolve_types(cls)):
        hook = _hook(a.type, converter, explaining=True)
        if a.default is not attrs.NOTHING and not _simplify(a.type)[1]:
            hook = _null_is_absent(hook, a.default)
        overrides[a.name] = override(struct_hook=hook)
    structure: _Hook = make_dict_structure_fn(cls, converter, **overrides)

    def explained(value: Any, _: Any) -> Any:
        return structure(_exact(dict)(value, None), cls)

    return explained


def _null_is_absent(hook: _Hook, default: object) -> _Hook:
    return lambda value, _: default if value is None else hook(value, None)


def _explain(exc: Exception) -> str:
    if isinstance(exc, ClassValidationError | IterableValidationError):
        return transform_error(exc, format_exception=_say)[0]
    return f"{_say(exc, None)} @ $"


def _say(exc: BaseException, _: object) -> str:
    if isinstance(exc, KeyError):
        return "required field missing"
    return str(exc) or type(exc).__name__


# --- unstructuring: events -> JSON values ---------------------------------------------------------


def _dump(writer: Converter, value: Any) -> Any:
    """The JSON value of anything an event can hold.  What has no JSON form is passed on, for the encoder to name."""
    cls = type(value)
    if cls is str or cls is int or value is None:
        return value
    if cls is AudioData:
        return value.base64
    if cls is tuple or cls is list:
        return [_dump(writer, v) for v in value]
    if cls is UnknownObject:
        return dict(value.raw)
    if attrs.has(cls):
        return writer.get_unstructure_hook(cls)(value)
    if isinstance(value, np.generic):  # a numpy scalar is as good as a number
        return value.item()
    if isinstance(value, Mapping) and cls is not dict:
        return dict(value)
    return value


def _unstructure_class_hook(
    cls: type, writer: Converter, marks: Iterable[Mapping[object, object]]
) -> Callable[[Any], _Json]:
    """Write a class; fields with one of these marks also where they are None."""
    attrs.resolve_types(cls)
    overrides: dict[str, Any] = {}
    for a in attrs.fields(cls):
        omit = a.default in (None, UNSET) and not any(
            mark.keys() <= a.metadata.keys() for mark in marks
        )
        overrides[a.name] = override(unstruct_hook=partial(_dump, writer), omit_if_default=omit)
    unstructure: Callable[[Any], _Json] = make_dict_unstructure_fn(cls, writer, **overrides)
    tags = {
        name: value
        for name in ("type", "role")
        if type(value := getattr(cls, name, None)) is str and value
    }
    if not tags:
        return unstructure
    return partial(_with_tags, tags, unstructure)


def _with_tags(tags: dict[str, str], unstructure: Callable[[Any], _Json], value: Any) -> _Json:
    return {**tags, **unstructure(value)}


# --- one table per kind of session and direction --------------------------------------------------


def _make_converter(explaining: bool) -> Converter:
    converter = Converter(detailed_validation=explaining)
    make = _explaining_class_hook if explaining else _fast_class_hook
    converter.register_structure_hook_factory(attrs.has, lambda cls: make(cls, converter))
    return converter


def _make_writer(*marks: Mapping[object, object]) -> Converter:
    writer = Converter()
    writer.register_unstructure_hook_factory(
        attrs.has, lambda cls: _unstructure_class_hook(cls, writer, marks)
    )
    return writer


_fast_converter: Final = _make_converter(explaining=False)
_explaining_converter: Final = _make_converter(explaining=True)
_WRITERS: Final = {
    Role.CLIENT: _make_writer(WRITE_NULL),
    Role.SERVER: _make_writer(WRITE_NULL, SERVER_WRITES_NULL),
}


class _Table(dict[str, _Hook]):
    """Wire type -> structure function, filled as types are met, so that a cold start builds nothing it does not use."""

    def __init__(self, classes: tuple[type[Event], ...]) -> None:
        super().__init__()
        self.classes: dict[str, type[Event]] = {cls.type: cls for cls in classes}

    def __missing__(self, wire_type: str) -> _Hook:
        hook = self[wire_type] = _fast_converter.get_structure_hook(self.classes[wire_type])
        return hook


_table: Final = cache(_Table)
"""The table of some event classes, one for all codecs."""


def _explain_unencodable(cls: type[Event], event: Event, writer: Converter) -> str:
    try:
        _explaining_converter.get_structure_hook(cls)(writer.get_unstructure_hook(cls)(event), None)
    except Exception as exc:
        return _explain(exc)
    raise InternalError(f"{cls.__name__} cannot be encoded, but nothing is wrong with it")
