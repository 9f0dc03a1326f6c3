"""Hypothesis strategies for every event, built from the types of their fields.

    @given(events(ResponseDone))
    @given(any_client_event())
    @given(any_server_event(SessionKind.TRANSLATION))

A new field needs nothing here.  A `Palette` narrows what is drawn, for tests that need events that
a particular peer would accept.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Final, Literal, TypeVar, Union, cast, get_args, get_origin

import attrs
from hypothesis import strategies as st

from realtime_trio._protocol.kinds import SessionKind
from realtime_trio.audio.data import AudioData
from realtime_trio.events import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    TRANSLATION_CLIENT_EVENTS,
    TRANSLATION_SERVER_EVENTS,
    UNSET,
    ClientEvent,
    ServerEvent,
    UnknownObject,
    Unset,
)

_T = TypeVar("_T")
_Strategy = st.SearchStrategy[object]

INTEGERS: Final = st.integers(-(2**53), 2**53)
"""What every JSON implementation can hold."""
FLOATS: Final = st.floats(allow_nan=False, allow_infinity=False)
TEXTS: Final = st.text(max_size=20)
AUDIO: Final = st.binary(max_size=40).map(AudioData)

JSON_VALUES: Final[_Strategy] = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | TEXTS,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(TEXTS, children, max_size=3),
    max_leaves=8,
)
"""Anything that fits into a message."""
JSON_OBJECTS: Final = st.dictionaries(TEXTS, JSON_VALUES, max_size=3)
UNKNOWN_OBJECTS: Final = st.builds(
    lambda tag, raw: UnknownObject(tag, {**raw, "type": tag}),
    st.sampled_from(["hologram", "input_smell"]),
    JSON_OBJECTS,
)


@attrs.frozen(kw_only=True, eq=False)
class Palette:
    """What to draw the fields of an event from."""

    future: bool = True
    """Whether a field that may hold tomorrow's values does: unknown objects, and any text where
    only some values are known."""
    fields: Mapping[tuple[type, str], _Strategy] = MappingProxyType({})
    """Strategies for particular fields, by class and name; these fields are always given."""
    classes: Mapping[type, _Strategy] = MappingProxyType({})
    """Strategies for particular classes as a whole; `st.nothing()` takes a class out of every
    union."""


ANYTHING: Final = Palette()
"""Whatever the types allow."""


def events(cls: type[_T], palette: Palette = ANYTHING) -> st.SearchStrategy[_T]:
    """Instances of an event class, or of the class of anything inside an event."""
    # mypy does not see that a class is hashable, which the cache asks for.
    return cast("st.SearchStrategy[_T]", _instances(cls, palette))  # type: ignore[arg-type]


@cache
def _instances(cls: type, palette: Palette) -> _Strategy:
    required: dict[str, _Strategy] = {}
    optional: dict[str, _Strategy] = {}
    for a in attrs.fields(attrs.resolve_types(cls)):
        chosen = next(
            (
                palette.fields[base, a.name]
                for base in cls.__mro__
                if (base, a.name) in palette.fields
            ),
            None,
        )
        values = values_of(a.type, palette) if chosen is None else chosen
        if a.default is attrs.NOTHING or chosen is not None:
            required[a.name] = values
        else:
            optional[a.name] = values
    return st.fixed_dictionaries(required, optional=optional).map(lambda fields: cls(**fields))


def values_of(annotation: object, palette: Palette = ANYTHING) -> _Strategy:
    """Values of a field's type."""
    members = (
        get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    )
    literals = any(get_origin(member) is Literal for member in members)
    return st.one_of(
        [
            _member(m, palette)
            for m in members
            if palette.future or not (m is UnknownObject or (literals and m is str))
        ]
    )


def _member(annotation: object, palette: Palette) -> _Strategy:
    origin = get_origin(annotation)
    if origin is Literal:
        return st.sampled_from(get_args(annotation))
    if origin is tuple:
        return st.lists(values_of(get_args(annotation)[0], palette), max_size=2).map(tuple)
    if origin is Mapping:
        return JSON_OBJECTS
    if annotation in _PRIMITIVES:
        return _PRIMITIVES[annotation]
    assert isinstance(annotation, type)
    chosen = palette.classes.get(annotation)
    return events(annotation, palette) if chosen is None else chosen


_PRIMITIVES: Final[Mapping[object, _Strategy]] = {
    str: TEXTS,
    int: INTEGERS,
    float: FLOATS | INTEGERS,
    bool: st.booleans(),
    NoneType: st.none(),
    Unset: st.just(UNSET),
    AudioData: AUDIO,
    UnknownObject: UNKNOWN_OBJECTS,
}


def any_client_event(kind: SessionKind = SessionKind.REALTIME) -> st.SearchStrategy[ClientEvent]:
    """Any event that a client may send in a session of this kind."""
    classes = TRANSLATION_CLIENT_EVENTS if kind is SessionKind.TRANSLATION else CLIENT_EVENTS
    return st.one_of([events(cls) for cls in classes])


def any_server_event(kind: SessionKind = SessionKind.REALTIME) -> st.SearchStrategy[ServerEvent]:
    """Any event that a server may send in a session of this kind."""
    classes = TRANSLATION_SERVER_EVENTS if kind is SessionKind.TRANSLATION else SERVER_EVENTS
    return st.one_of([events(cls) for cls in classes])
