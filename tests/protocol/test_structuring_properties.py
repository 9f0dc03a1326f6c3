"""Whatever arrives is understood or explained, and both converters agree on which."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import TypeAlias

import pytest
from coding import (
    CODECS,
    EVERY_EVENT,
    FEWER,
    TABLES,
    TRANSLATION,
    Json,
    payload_of,
)
from hypothesis import given, strategies as st
from strategies import JSON_VALUES, TEXTS, any_client_event, any_server_event, events

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._protocol.structuring import (
    CLIENT_WRITER,
    PLAIN_WRITERS,
    _explaining_hook_of,
    _fast_hook_of,
)
from realtime_trio.errors import (
    RealtimeError,
    RemoteProtocolError,
)
from realtime_trio.events import (
    CLIENT_EVENTS,
    TRANSLATION_CLIENT_EVENTS,
    ClientEvent,
    Event,
    UnknownEvent,
)


def strict_outcome(codec: Codec, data: str | bytes) -> Event | None:
    """The event, or None if the codec's strict twin refuses it."""
    try:
        return Codec(codec.role, codec.dialect, kind=codec.kind, strict=True).decode(data)
    except RemoteProtocolError:
        return None


TAGS = [
    "message",
    "function",
    "function_call",
    "mcp",
    "text",
    "realtime",
    "transcription",
    "server_vad",
    "tokens",
    None,
]
WIRE_TYPES = sorted(
    {cls.type for table in TABLES.values() for cls in table}
    | {"response.audio.delta", "transcription_session.update"}
)


Place: TypeAlias = tuple[Json, str] | tuple[list[object], int]


def places_in(value: object) -> Iterator[Place]:
    """Every object's key and every list's index, outermost first."""
    if isinstance(value, dict):
        for key in value:
            yield value, key
            yield from places_in(value[key])
    elif isinstance(value, list):
        for index in range(len(value)):
            yield value, index
            yield from places_in(value[index])


@st.composite
def mutations(draw: st.DrawFn, payload: Json) -> Json:
    """The payload with a few of its parts removed, replaced or extended; its own type stays."""
    for _ in range(draw(st.integers(1, 3))):
        places = [
            place for place in places_in(payload) if place[0] is not payload or place[1] != "type"
        ]
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        change = draw(st.sampled_from(["remove", "null", "replace", "wrap", "tag"]))
        if change == "remove":
            container.pop(key)  # type: ignore[arg-type]  # the two belong together
            continue
        replacements: dict[str, st.SearchStrategy[object]] = {
            "null": st.none(),
            "replace": JSON_VALUES,
            "wrap": st.just([container[key]]),  # type: ignore[index]
            "tag": st.fixed_dictionaries(
                {"type": st.sampled_from(TAGS) | JSON_VALUES},
                optional={"role": st.sampled_from(["user", "x"])},
            ),
        }
        container[key] = draw(replacements[change])  # type: ignore[index]
    return payload


@pytest.mark.parametrize(("cls", "sender", "kind"), EVERY_EVENT)
@FEWER
@given(data=st.data())
def test_both_converters_agree_on_what_fits(
    cls: type[Event], sender: Role, kind: SessionKind, data: st.DataObject
) -> None:
    event = data.draw(events(cls))
    payload = data.draw(mutations(payload_of(event, sender, kind)))
    before = copy.deepcopy(payload)
    try:
        fast = _fast_hook_of(cls)(payload, None)
    except (KeyError, TypeError, ValueError, AttributeError, RealtimeError):
        fast = None
    try:
        explaining = _explaining_hook_of(cls)(payload, None)
    except Exception:
        explaining = None
    assert fast == explaining
    assert payload == before


@pytest.mark.parametrize(
    "codec",
    CODECS,
    ids=lambda codec: f"{codec.role.value}-{codec.dialect.value}-{codec.kind.value}",
)
@FEWER
@given(st.binary(max_size=60) | TEXTS | st.builds(json.dumps, JSON_VALUES))
def test_nothing_that_arrives_is_too_much(codec: Codec, data: str | bytes) -> None:
    event = codec.decode(data)
    assert isinstance(event, Event)
    assert strict_outcome(codec, data) == (None if isinstance(event, UnknownEvent) else event)


@pytest.mark.parametrize(
    "codec",
    CODECS,
    ids=lambda codec: f"{codec.role.value}-{codec.dialect.value}-{codec.kind.value}",
)
@FEWER
@given(st.data())
def test_no_payload_of_a_known_event_is_too_much(codec: Codec, data: st.DataObject) -> None:
    kind = TRANSLATION if codec.kind is TRANSLATION else SessionKind.REALTIME
    sender = Role.SERVER if codec.role is Role.CLIENT else Role.CLIENT
    valid = data.draw(any_server_event(kind) if sender is Role.SERVER else any_client_event(kind))
    payload = data.draw(mutations(payload_of(valid, sender, kind)))
    payload["type"] = data.draw(st.just(payload["type"]) | st.sampled_from(WIRE_TYPES))
    text = json.dumps(payload)
    event = codec.decode(text)
    assert isinstance(event, Event)
    if isinstance(event, UnknownEvent):
        assert event.problem != ""
    assert strict_outcome(codec, text) == (None if isinstance(event, UnknownEvent) else event)


PLAIN = [cls for cls in (*CLIENT_EVENTS, *TRANSLATION_CLIENT_EVENTS) if PLAIN_WRITERS[cls]]


def test_the_events_that_are_sent_again_and_again_are_plain() -> None:
    assert {
        "input_audio_buffer.append",
        "session.input_audio_buffer.append",
        "response.cancel",
        "conversation.item.truncate",
    } <= {cls.type for cls in PLAIN}


@pytest.mark.parametrize("cls", PLAIN)
@given(data=st.data())
def test_the_short_way_writes_what_the_general_way_does(
    cls: type[ClientEvent], data: st.DataObject
) -> None:
    write, event = PLAIN_WRITERS[cls], data.draw(events(cls))
    assert write is not None
    generally = CLIENT_WRITER[cls](event)
    assert list(write(event).items()) == list(generally.items())
