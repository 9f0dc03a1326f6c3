"""What the docstring of a function or class tells the model.

Owns docstring-parser.  It reads nearly every text in every style, and fails at some: then the text
is not in that style.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from attrs import field

from realtime_trio import _elsewhere
from realtime_trio._frozen import frozen

if TYPE_CHECKING:
    import docstring_parser
    from docstring_parser import Docstring, attrdoc
else:
    docstring_parser = _elsewhere.module("docstring_parser")
    attrdoc = _elsewhere.module("docstring_parser.attrdoc")

_STYLES: Final = ("GOOGLE", "NUMPYDOC", "REST")


@frozen
class Documentation:
    """What is written about something."""

    description: str | None = None
    """Everything in front of the sections, None if there is nothing."""
    members: Mapping[str, str] = field(factory=dict)
    """What is written about each parameter or field."""


def documentation_of(documented: Callable[..., object] | type) -> Documentation:
    """Read the docstring of a function or class.

    It may be in Google, NumPy or Sphinx style; of classes, strings under their fields are read too.
    """
    # Of a class its own only: `__doc__` would be that of a base, which describes something else.
    text = vars(documented).get("__doc__") if isinstance(documented, type) else documented.__doc__
    if not isinstance(text, str) or (
        dataclasses.is_dataclass(documented) and text.startswith(f"{documented.__name__}(")
    ):
        # The signature, which the decorator of dataclasses writes where there is no docstring.
        text = ""
    text = inspect.cleandoc(text)
    readings = [reading for style in _STYLES if (reading := _read(text, style)) is not None]
    # The reading that found most: as plain prose, any text can be read in any style.
    best = max(readings, key=lambda reading: (len(reading.params), len(reading.meta)))
    if isinstance(documented, type):
        _add_strings_under_fields(documented, best)
    members = {
        param.arg_name: " ".join(param.description.split())
        for param in best.params
        if param.description
    }
    return Documentation((best.description or "").strip() or None, MappingProxyType(members))


def _read(text: str, style: str) -> Docstring | None:
    try:
        return docstring_parser.parse(text, docstring_parser.DocstringStyle[style])
    except Exception:
        # Not ParseError alone: a strange text brings down the parser in other ways, too.
        return None


def _add_strings_under_fields(cls: type[Any], reading: Docstring) -> None:
    try:
        attrdoc.add_attribute_docstrings(cls, reading)
    except Exception:
        # There is no source (a class made in a prompt), or it is not Python when it stands alone.
        return
