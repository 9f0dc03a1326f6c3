"""Encoding and decoding in short, for tests of the wire format."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import pytest
from hypothesis import settings

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio.events import (
    CLIENT_EVENTS,
    SERVER_EVENTS,
    TRANSLATION_CLIENT_EVENTS,
    TRANSLATION_SERVER_EVENTS,
    Event,
)

Json: TypeAlias = dict[str, object]

TRANSLATION = SessionKind.TRANSLATION
CODECS = [
    Codec(role, dialect, kind=kind) for role in Role for dialect in Dialect for kind in SessionKind
]
TABLES: Mapping[tuple[Role, SessionKind], tuple[type[Event], ...]] = {
    (Role.CLIENT, SessionKind.REALTIME): CLIENT_EVENTS,
    (Role.SERVER, SessionKind.REALTIME): SERVER_EVENTS,
    (Role.CLIENT, TRANSLATION): TRANSLATION_CLIENT_EVENTS,
    (Role.SERVER, TRANSLATION): TRANSLATION_SERVER_EVENTS,
}
FEWER = settings(max_examples=settings().max_examples // 3)
"""For properties that are checked for each of many."""
EVERY_EVENT = [
    pytest.param(cls, role, kind, id=f"{cls.__name__}-{kind.value}")
    for (role, kind), table in TABLES.items()
    for cls in table
]


def ends(
    sender: Role, kind: SessionKind = SessionKind.REALTIME, dialect: Dialect = Dialect.GA
) -> tuple[Codec, Codec]:
    """The codec that sends and the one that receives, which is strict."""
    receiver = Role.SERVER if sender is Role.CLIENT else Role.CLIENT
    return Codec(sender, dialect, kind=kind), Codec(receiver, dialect, kind=kind, strict=True)


def payload_of(event: Event, sender: Role, kind: SessionKind = SessionKind.REALTIME) -> Json:
    payload: Json = json.loads(Codec(sender, kind=kind).encode(event))
    return payload


def decode(payload: object, codec: Codec = Codec()) -> Event:  # noqa: B008 - codecs are stateless
    return codec.decode(json.dumps(payload))


# --- what is not fine: decoding -------------------------------------------------------------------


def done(**response: object) -> Json:
    return {"type": "response.done", "event_id": "e", "response": response}


def created(**session: object) -> Json:
    return {"type": "session.created", "event_id": "e", "session": session}


def audio_delta(**fields: object) -> Json:
    ids = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
    return {
        "type": "response.output_audio.delta",
        "event_id": "e",
        **ids,
        "delta": "AAAA",
        **fields,
    }


class ChangesItsMind(Mapping[str, object]):
    """Cannot be read so many times, and is perfectly fine afterwards."""

    def __init__(self, refusals: int = 1) -> None:
        self.refusals = refusals

    def __getitem__(self, key: str) -> object:
        return 1

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        self.refusals -= 1
        if self.refusals >= 0:
            raise ValueError("not now")
        return iter("a")


# --- the cut around long audio --------------------------------------------------------------------

AUDIO_TEXT = "QUJD" * 400


# --- the beta dialect -----------------------------------------------------------------------------

BETA_CLIENT = Codec(Role.CLIENT, Dialect.BETA, strict=True)
