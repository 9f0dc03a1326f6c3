"""Events <-> JSON values: the generated functions, and the words for what does not fit.

Owns the structure and unstructure functions of every class, and the words for a value that does not
fit.  Nothing from cattrs leaves this room.  The text of messages, and who may send what, is in
`_protocol.codec`.

Theory of operation.  A table maps a wire type to a structure function, which is generated the first
time the type is met.  Its happy path does no bookkeeping: the exact types of all required str, int,
bool and nothing else are compared in one step, everything else has a small hook.  When anything
about an event does not fit, the event is structured a second time by a converter that keeps track
of paths, only to say what was wrong and where.

Three rules cover what the protocol's schema leaves open.  A field that has no default is required.
Null means absent wherever null is not one of the field's values.  An object whose `type` is not
known is an `UnknownObject` where the union allows one.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from operator import attrgetter, methodcaller
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, Union, get_args, get_origin

import attrs

from realtime_trio import _elsewhere, events
from realtime_trio.audio.data import AudioData
from realtime_trio.errors import InternalError, RealtimeError
from realtime_trio.events import (
    SERVER_WRITES_NULL,
    UNSET,
    WRITE_NULL,
    Event,
    UnknownObject,
    Unset,
)

if TYPE_CHECKING:
    import cattrs
    import numpy as np
else:
    cattrs = _elsewhere.module("cattrs")
    np = _elsewhere.module("numpy")

Json = dict[str, Any]
_Hook = Callable[[Any, Any], Any]
_HookOf = Callable[[Any], _Hook]
"""From a class to its structure function."""

MISFITS: Final = (KeyError, TypeError, ValueError, AttributeError, RealtimeError)
"""What a structure function raises, one way or the other, about a value that does not fit."""


# --- structuring: JSON values -> events -----------------------------------------------------------


class MisfitError(TypeError):
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


def name_of(value: object) -> str:
    return _EXPECTED.get(type(value), type(value).__name__)


def _quote(value: object) -> str:
    """A short string as it is; the kind of any other value.

    A problem has to be readable, and must not quote content.
    """
    return repr(value) if type(value) is str and len(value) <= 40 else name_of(value)


def _exact(expected: type) -> _Hook:
    """A hook that admits exactly this JSON type.

    An integer is a number, true is not an integer, and NaN and infinity are not numbers.
    """

    def hook(value: Any, _: Any) -> Any:
        if type(value) is expected:
            return value
        raise MisfitError(f"expected {_EXPECTED[expected]}, got {name_of(value)}")

    def number(value: Any, _: Any) -> Any:
        if type(value) is int or (type(value) is float and math.isfinite(value)):
            return value
        raise MisfitError(
            f"expected a number, got {value if type(value) is float else name_of(value)}"
        )

    return number if expected is float else hook


def _literal(values: tuple[object, ...]) -> _Hook:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is str and value in values:
            return value
        allowed = ", ".join(map(repr, values))
        raise MisfitError(
            f"expected {'one of ' if len(values) > 1 else ''}{allowed}, got {_quote(value)}"
        )

    return hook


def _sequence(element: _Hook, explaining: bool) -> _Hook:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is not list:
            raise MisfitError(f"expected a list, got {name_of(value)}")
        if not explaining:
            # Made of a list: a generator costs a call for every element.
            return tuple([element(v, None) for v in value])
        for index, v in enumerate(value):
            try:
                element(v, None)
            except Exception as exc:
                exc.add_note(cattrs.IterableValidationNote(f"element {index}", index, object))
                raise cattrs.IterableValidationError("list", [exc], object) from None
        return tuple([element(v, None) for v in value])

    return hook


def _tagged(classes: tuple[type, ...], hook_of: _HookOf) -> _Hook:
    """A hook for a union of classes told apart by `type` (and, for messages, by `role`)."""
    members = [cls for cls in classes if cls is not UnknownObject]
    tolerant = len(members) < len(classes)
    table: dict[object, _Hook] = {}
    for cls in members:
        hook = hook_of(cls)
        tag: Any = getattr(cls, "type", None)
        role = getattr(cls, "role", None)
        for spelling in (tag, *_EXTRA_TAGS.get(cls, ())):
            table[spelling if role is None else (spelling, role)] = hook

    def hook_for_object(value: Any, _: Any) -> Any:
        if type(value) is not dict:
            raise MisfitError(f"expected an object, got {name_of(value)}")
        tag = value.get("type")
        key = (tag, value.get("role")) if tag == "message" else tag
        try:
            hook = table.get(key)
        except TypeError:
            # A `type` that is a list or an object cannot be looked up.
            hook = None
        if hook is not None:
            return hook(value, None)
        if tolerant:
            return UnknownObject(tag if type(tag) is str else None, value)
        allowed = ", ".join(repr(getattr(cls, "type", None)) for cls in members)
        raise MisfitError(f"expected an object of type {allowed}, got {_quote(tag)}")

    return hook_for_object


def _union(members: tuple[Any, ...], hook_of: _HookOf, explaining: bool) -> _Hook:
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
            # JSON does not tell 1 from 1.0; an int that the union has by itself goes first.
            if member is float:
                by_json_type.setdefault(int, _exact(float))
        elif get_origin(member) is tuple:
            by_json_type[list] = _hook(member, hook_of, explaining)
        elif _is_json_object(member):
            by_json_type[dict] = _exact(dict)
    # `Literal[...] | str` names the values known today: any string will do, one of tomorrow too.
    if literals and str not in by_json_type:
        by_json_type[str] = _literal(literals)
    if classes:
        by_json_type[dict] = hook_of(classes[0]) if len(classes) == 1 else _tagged(classes, hook_of)
    # A union of classes, or what is left when UNSET is taken away: one hook, and no choice.
    if len(by_json_type) == 1:
        return next(iter(by_json_type.values()))
    allowed = " or ".join(_EXPECTED[t] for t in by_json_type if t is not int or int in members)

    def hook(value: Any, _: Any) -> Any:
        chosen = by_json_type.get(type(value))
        if chosen is None:
            raise MisfitError(f"expected {allowed}, got {name_of(value)}")
        return chosen(value, None)

    return hook


def _audio(value: Any, _: Any) -> AudioData:
    if type(value) is not str:
        raise MisfitError(f"expected base64 text, got {name_of(value)}")
    return AudioData.from_base64(value)


def _hook(annotation: Any, hook_of: _HookOf, explaining: bool) -> _Hook:
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
        return _sequence(_hook(get_args(annotation)[0], hook_of, explaining), explaining)
    if origin in (Union, UnionType):
        return _union(tuple(m for m in get_args(annotation) if m is not Unset), hook_of, explaining)
    return hook_of(annotation)


def _is_json_object(annotation: Any) -> bool:
    return get_origin(annotation) is Mapping


def _simplify(annotation: Any) -> tuple[Any, bool]:
    """Split an annotation into what a value is and whether it may be null.

    `Literal[...] | str` is a string.
    """
    if get_origin(annotation) not in (Union, UnionType):
        return annotation, False
    members = [m for m in get_args(annotation) if m is not Unset]
    core = [m for m in members if m is not NoneType]
    if str in core:
        core = [m for m in core if get_origin(m) is not Literal]
    return Union[tuple(core)], NoneType in members  # noqa: UP007 - built from a list


def _make_fast_hook(cls: type) -> _Hook:
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
        "Misfit": MisfitError,
        "UNSET": UNSET,
    }
    lines = ["def structure(o, _=None):", " e = new()"]
    for a in attrs.fields(attrs.resolve_types(cls)):
        core, nullable = _simplify(a.type)
        key, default = repr(a.name), f"default_{a.name}"
        names[default] = a.default
        # Three ways to read a member: it is required; its null means something else than its
        # absence; or null means absent.
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
        # The types of most fields, compared in place: calling a hook costs more than comparing.
        if core in (str, int, bool):
            guard = f"not ({absent}) and " if absent else ""
            lines.append(f" if {guard}type(v) is not {core.__name__}: raise Misfit")
            lines.append(f" e.{a.name} = v")
        else:
            hook = f"hook_{a.name}"
            names[hook] = _hook(core, _fast_hook_of, explaining=False)
            lines.append(
                f" e.{a.name} = v if {absent} else {hook}(v, None)"
                if absent
                else f" e.{a.name} = {hook}(v, None)"
            )
    lines += [" e.__class__ = cls", " return e"]
    # Compiled beforehand: CPython takes a Ctrl-C inside the exec of a text for one that was not
    # caught, and exits with it in the end.
    exec(compile("\n".join(lines), f"<structure {cls.__qualname__}>", "exec"), names)
    structure: _Hook = names["structure"]
    return structure


_fast_hook_of: Final[_HookOf] = cache(_make_fast_hook)


@cache
def _converter() -> cattrs.Converter:
    return cattrs.Converter(detailed_validation=True)


def _make_explaining_hook(cls: type) -> _Hook:
    """The same function as cattrs makes it, which visits every field and remembers where it was.

    cattrs is loaded here, by the first event that does not fit.
    """
    overrides: dict[str, Any] = {}
    for a in attrs.fields(attrs.resolve_types(cls)):
        hook = _hook(a.type, _explaining_hook_of, explaining=True)
        if a.default is not attrs.NOTHING and not _simplify(a.type)[1]:
            hook = _null_is_absent(hook, a.default)
        overrides[a.name] = cattrs.override(struct_hook=hook)
    structure: _Hook = cattrs.gen.make_dict_structure_fn(cls, _converter(), **overrides)

    def explained(value: Any, _: Any) -> Any:
        return structure(_exact(dict)(value, None), cls)

    return explained


_explaining_hook_of: Final[_HookOf] = cache(_make_explaining_hook)


def _null_is_absent(hook: _Hook, default: object) -> _Hook:
    return lambda value, _: default if value is None else hook(value, None)


def _explain(exc: Exception) -> str:
    # Only the first problem: the others often follow from it.
    if isinstance(exc, cattrs.ClassValidationError | cattrs.IterableValidationError):
        return cattrs.transform_error(exc, format_exception=_say)[0]
    return f"{_say(exc, None)} @ $"


def _say(exc: BaseException, _: object) -> str:
    if isinstance(exc, KeyError):
        return "required field missing"
    return str(exc) or type(exc).__name__


# --- unstructuring: events -> JSON values ---------------------------------------------------------


class Writer(dict[Any, Callable[[Any], Any]]):
    """Class -> what makes the JSON value of an instance, filled as classes are met.

    What has no form in JSON is passed on, for the encoder to name.

    Args:
        marks: Fields with one of these marks are written also where they are None.
    """

    def __init__(self, *marks: Mapping[object, object]) -> None:
        super().__init__()
        self._marks = marks

    def __missing__(self, cls: Any) -> Callable[[Any], Any]:
        write = self[cls] = self._writer_of(cls)
        return write

    def _writer_of(self, cls: Any) -> Callable[[Any], Any]:
        if cls is tuple or cls is list:
            return lambda values: [self[type(v)](v) for v in values]
        if cls is UnknownObject:
            return lambda value: dict(value.raw)
        if attrs.has(cls):
            return self._make_object_writer(cls)
        if issubclass(cls, AudioData):
            return attrgetter("base64")
        # What users compute with is as good as a number of Python's, and any mapping as good as a
        # dict; the hooks that check it ask for the exact types.
        # Without numpy, which then need not be loaded, there is nothing of it.
        if "numpy" in sys.modules and issubclass(cls, np.generic):
            return methodcaller("item")
        if issubclass(cls, Mapping) and cls is not dict:
            return dict
        return lambda value: value

    def _make_object_writer(self, cls: Any) -> Callable[[Any], Json]:
        """Generate what writes the fields of a class that are not left out."""
        # Class variables, and so no fields.
        tags = {
            name: value
            for name in ("type", "role")
            if type(value := getattr(cls, name, None)) is str and value
        }
        lines = ["def write(e):", f" o = {tags!r}"]
        for a in attrs.fields(cls):
            lines += [
                f" v = e.{a.name}",
                # Strings in place: most of what is sent is made of them.
                f" {self._condition(a)}o[{a.name!r}] = v if type(v) is str else writer[type(v)](v)",
            ]
        lines.append(" return o")
        names: dict[str, Any] = {"writer": self, "UNSET": UNSET}
        exec(compile("\n".join(lines), f"<write {cls.__qualname__}>", "exec"), names)
        write: Callable[[Any], Json] = names["write"]
        return write

    def _condition(self, field: attrs.Attribute[Any]) -> str:
        """Under which condition a field is written: most of them if they have not their default."""
        if field.default not in (None, UNSET) or any(
            mark.keys() <= field.metadata.keys() for mark in self._marks
        ):
            return ""
        return f"if v is not {field.default!r}: "


CLIENT_WRITER: Final = Writer(WRITE_NULL)
SERVER_WRITER: Final = Writer(WRITE_NULL, SERVER_WRITES_NULL)


_PLAIN: Final = (str, int, bool, AudioData)
"""Types of fields that can be checked by looking at the type of the value, and nothing else."""


def _plain_writer(cls: type[Event]) -> Callable[[Any], Json] | None:
    """Generate what writes and checks a client event in one go; None if a field is not plain.

    Structuring the result again checks it, too, but takes longer than writing it, and audio is
    appended many times a second.  The function raises `MisfitError` about every value that is not
    just so, also if the general way would know how to write it.
    """
    names: dict[str, Any] = {"Misfit": MisfitError, "AudioData": AudioData, "UNSET": UNSET}
    lines = ["def write(e):", f" o = {{'type': {cls.type!r}}}"]
    for a in attrs.fields(attrs.resolve_types(cls)):
        core, _ = _simplify(a.type)
        if core not in _PLAIN or WRITE_NULL.keys() <= a.metadata.keys():
            return None
        value = "v.base64" if core is AudioData else "v"
        may_be_left_out = a.default in (None, UNSET)
        lines += [
            f" v = e.{a.name}",
            f" if type(v) is {core.__name__}: o[{a.name!r}] = {value}",
            f" elif v is not {a.default}: raise Misfit"
            if may_be_left_out
            else " else: raise Misfit",
        ]
    lines.append(" return o")
    exec(compile("\n".join(lines), f"<write {cls.__qualname__}>", "exec"), names)
    write: Callable[[Any], Json] = names["write"]
    return write


# --- one table per kind of session and direction --------------------------------------------------


class EventTable(dict[str, _Hook]):
    """Wire type -> structure function, filled as types are met.

    So a cold start does not build what it does not use.
    """

    def __init__(self, classes: tuple[type[Event], ...]) -> None:
        super().__init__()
        self.classes: dict[str, type[Event]] = {cls.type: cls for cls in classes}

    def __missing__(self, wire_type: str) -> _Hook:
        hook = self[wire_type] = _fast_hook_of(self.classes[wire_type])
        return hook


table_of: Final = cache(EventTable)
"""The table of some event classes, one for all codecs."""


class _PlainWriters(dict[type[Event], Callable[[Any], Json] | None]):
    """Event class -> what writes it if it is plain, filled as classes are met."""

    def __missing__(self, cls: type[Event]) -> Callable[[Any], Json] | None:
        write = self[cls] = _plain_writer(cls)
        return write


PLAIN_WRITERS: Final = _PlainWriters()


def structure_explaining(cls: type[Event], payload: Json) -> Event:
    """Structure an event with the functions that keep track of paths.

    Raises:
        MisfitError: It does not fit; the text says what was wrong and where.
    """
    try:
        event: Event = _explaining_hook_of(cls)(payload, None)
    except Exception as exc:
        raise MisfitError(_explain(exc)) from None
    return event


def unstructure(event: Event, writer: Writer, *, check: bool) -> Json:
    """The JSON object of an event.

    Args:
        event: The event.
        writer: `CLIENT_WRITER` or `SERVER_WRITER`.
        check: Whether to check what users have built, in the way a server would check it.

    Raises:
        MisfitError: A field holds something that the protocol has no place for; the text says what
            was wrong and where.
    """
    cls = type(event)
    if check and (write := PLAIN_WRITERS[cls]) is not None:
        try:
            return write(event)
        except MisfitError:
            pass
    try:
        payload: Json = writer[cls](event)
        # By reading it back: what cannot be read is what a server would refuse.
        if check:
            _fast_hook_of(cls)(payload, None)
    except MISFITS:
        raise MisfitError(_explain_unwritable(event, writer)) from None
    return payload


def _explain_unwritable(event: Event, writer: Writer) -> str:
    cls = type(event)
    try:
        structure_explaining(cls, writer[cls](event))
    except MisfitError as exc:
        return str(exc)
    except Exception as exc:
        return _explain(exc)
    raise InternalError(f"{cls.__name__} cannot be encoded, but nothing is wrong with it")
