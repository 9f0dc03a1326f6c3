"""What a tool returned, as the text the model reads.

Owns which Python values have a JSON form.  A value that has none is named with its place, and
nothing of it is quoted.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from decimal import Decimal
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import attrs
from attrs import field

from realtime_trio import _elsewhere
from realtime_trio._frozen import frozen
from realtime_trio.events import InputImage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = _elsewhere.module("numpy")

LARGEST_ARRAY: Final = 1000
"""Elements of the largest numpy array that a result may hold.  A model reads every number as a few
tokens; audio does not belong here."""
_ATTACHED: Final = "The image follows."
"""Output of a call whose function has returned an image and no words."""


class ToolResultError(ValueError):
    """A tool has returned something that is not JSON; the message says what and where."""


def _to_images(images: Iterable[InputImage]) -> tuple[InputImage, ...]:
    attachments = tuple(images)
    for each in attachments:
        # A tool's result is often untyped, and has to be refused before anything of it is sent.
        if type(each) is not InputImage:
            kind = type(each).__qualname__
            raise ToolResultError(f"an attachment is of type {kind}; allowed is InputImage")
    return attachments


def encode_result(value: object) -> str:
    """The output of a call: a str as it is, None as `null`, everything else as JSON.

    JSON can be made of attrs classes, dataclasses, named tuples, enums, mappings, sequences, sets
    (sorted), numpy scalars and small arrays; dates, times, `UUID`, `Path` and `Decimal` become
    text.

    Raises:
        ToolResultError: It is or contains something else, NaN or infinity, half a surrogate pair,
            or itself.
    """
    try:
        text = value if type(value) is str else _dumps(to_json(value))
        # Here it is the result that is refused; the codec would refuse the whole event.
        text.encode()
    except RecursionError:
        raise ToolResultError("the result contains itself, or is nested too deeply") from None
    except UnicodeEncodeError:
        raise ToolResultError(
            "the result contains half a surrogate pair, which is not text"
        ) from None
    return text


def cut_off(text: str, limit: int | None) -> str:
    """The first `limit` characters of a text, and a note for the model if that is not all.

    A model that knows that it has read the beginning can work with it, or ask for less; told only
    that there was too much, it has nothing where a tool has no way to ask for less.
    """
    if limit is None or len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut off: the first {limit} of {len(text)} characters]"


def to_json(value: object, place: str = "the result") -> object:
    """The same as plain dictionaries, lists, strings, numbers, booleans and None.

    Args:
        value: What to convert.
        place: How to call it in messages.

    Raises:
        ToolResultError: It is or contains something that is not JSON.
        RecursionError: It contains itself.
    """
    match value:
        # First, since the members of an IntEnum or StrEnum are numbers and texts as well.
        case enum.Enum():
            return to_json(value.value, place)
        case None | bool() | int() | str():
            return value
        case float():
            if math.isfinite(value):
                return float(value)
            raise ToolResultError(f"{place} is {value}, which is not JSON; use None instead")
        # Without numpy, which then need not be loaded, there is nothing of it.
        case _ if "numpy" in sys.modules and isinstance(value, np.generic | np.ndarray):
            return to_json(_without_numpy(value, place), place)
        case datetime.date() | datetime.time():
            return value.isoformat()
        case UUID() | PurePath() | Decimal():
            return str(value)
        case tuple() if hasattr(value, "_fields"):  # a named tuple
            return _members(zip(value._fields, value, strict=True), place)
        case Mapping():
            return {
                _key(key, place): to_json(member, f"{place}[{key!r}]")
                for key, member in value.items()
            }
        # Sorted, so that the same set always reads the same: the order of texts in a set changes
        # from one run of Python to the next.
        case Set():
            return sorted(
                (to_json(member, f"an element of {place}") for member in value), key=_dumps
            )
        case Sequence() if not isinstance(value, bytes | bytearray | memoryview):
            return [to_json(member, f"{place}[{index}]") for index, member in enumerate(value)]
        case _ if attrs.has(cls := type(value)):
            return _members(
                (
                    (field.alias or field.name, getattr(value, field.name))
                    for field in attrs.fields(cls)
                ),
                place,
            )
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return _members(
                ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value)),
                place,
            )
        case _:
            raise _not_json(value, place)


def _without_numpy(value: np.generic | NDArray[Any], place: str) -> object:
    """A scalar or array of numpy as what it is without numpy."""
    match value:
        # Before the general case: `item()` of a long double is a long double again, and that of a
        # time finer than microseconds is an integer.
        case np.floating():
            return float(value)
        case np.datetime64():
            return str(value)
        case np.generic() if not isinstance(scalar := value.item(), np.generic):
            return scalar
        case np.ndarray() if value.size <= LARGEST_ARRAY:
            return value.tolist()
        case np.ndarray():
            raise ToolResultError(
                f"{place} is an array of shape {value.shape}; "
                f"a model can be told at most {LARGEST_ARRAY} numbers"
            )
        case _:
            raise _not_json(value, place)


def _not_json(value: object, place: str) -> ToolResultError:
    return ToolResultError(
        f"{place} is of type {type(value).__qualname__}, which is not JSON; allowed are "
        "str, numbers, bool, None, lists, dictionaries, sets, attrs classes, dataclasses, "
        "enums, dates, UUID, Path, Decimal and small numpy arrays"
    )


def _members(members: Iterable[tuple[str, object]], place: str) -> dict[str, object]:
    return {name: to_json(member, f"{place}.{name}") for name, member in members}


def _key(key: object, place: str) -> str:
    text = to_json(key, f"a key of {place}")
    if isinstance(text, str):
        return text
    if isinstance(text, int) and not isinstance(text, bool):
        return _dumps(text)
    raise ToolResultError(
        f"a key of {place} is of type {type(key).__qualname__}; "
        "allowed are str, int, and what becomes one of them"
    )


def _dumps(value: object) -> str:
    # Not orjson: it refuses integers beyond 64 bits, and a factorial is what people try first.
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        raise ToolResultError(
            "the result contains an integer of thousands of digits; return it as text"
        ) from None


@frozen
class ToolOutput:
    """What the model is told about a call: a text, and images that go with it.

    Return one from a tool to show the model images.  The protocol's output of a function is text
    alone, so the images follow it in the conversation, as a message of the user with `input_image`
    parts, before the model replies.
    """

    text: str
    """The output of the call."""
    attachments: tuple[InputImage, ...] = field(default=(), converter=_to_images)
    """The images, in order."""

    @classmethod
    def of(cls, result: object) -> ToolOutput:
        """Make an output of whatever a function has returned.

        Raises:
            ToolResultError: It is not JSON; see `encode_result`.
        """
        match result:
            case ToolOutput():
                return cls(encode_result(result.text), result.attachments)
            case InputImage():
                return cls(_ATTACHED, (result,))
            case _:
                return cls(encode_result(result))

    @classmethod
    def error(cls, message: str) -> ToolOutput:
        """Say that there is no result, in the shape that models know."""
        return cls(encode_result({"error": message.encode(errors="replace").decode()}))
