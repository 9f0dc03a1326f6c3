"""What is short for people, spelt out for the protocol: messages made of anything, items that get their ids, changes instead of wholes.

Pure functions from values to values, for `session.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import attrs
import numpy as np

from realtime_trio.audio import AudioData, AudioLike
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    UNSET,
    AudioConfig,
    AudioInputConfig,
    AudioOutputConfig,
    InputText,
    Item,
    SessionConfig,
    UnknownObject,
    UserContent,
    UserMessage,
)

MessageContent = str | AudioLike | UserContent | Iterable[str | UserContent]
"""What `send_message` takes: a text, audio, a content part, or several texts and parts."""

_NESTED: Final = (SessionConfig, AudioConfig, AudioInputConfig, AudioOutputConfig)


def user_message(content: MessageContent) -> UserMessage:
    """Make a message of whatever somebody says.

    Raises:
        LocalProtocolError: It is nothing that can be said.
    """
    if isinstance(content, str):
        return UserMessage.text(content)
    if isinstance(content, bytes | bytearray | memoryview | np.ndarray | AudioData):
        return UserMessage.audio(content)
    parts = content if isinstance(content, Iterable) else (content,)
    return UserMessage(
        content=tuple(
            InputText(part) if isinstance(part, str) else _checked_part(part) for part in parts
        )
    )


def _checked_part(part: object) -> UserContent:
    if isinstance(part, UserContent):
        return part
    raise LocalProtocolError(
        f"cannot send {type(part).__name__} in a message; allowed: text, audio, a part, or several texts and parts"
    )


def identified(item: Item, new_id: Callable[[str], str]) -> Item:
    """The item with an id, by which its acknowledgement can be told."""
    return (
        item
        if item.id or isinstance(item, UnknownObject)
        else attrs.evolve(item, id=new_id("item_"))
    )


def difference(wanted: object, present: object) -> object:
    """What of a configuration differs from the one in force, as a configuration; UNSET if nothing does.

    Args:
        wanted: A `SessionConfig`, or one of the objects in it.
        present: The same as the server reports it: a `RealtimeSession`, or one of the objects in
            it.
    """
    if wanted is UNSET or wanted == present:
        return UNSET
    if not isinstance(wanted, _NESTED) or present is None:
        return wanted
    changes: Any = {
        a.name: difference(getattr(wanted, a.name), getattr(present, a.name))
        for a in attrs.fields(type(wanted))
    }
    return UNSET if all(change is UNSET for change in changes.values()) else type(wanted)(**changes)
