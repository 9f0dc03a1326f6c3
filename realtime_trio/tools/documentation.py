"""What the docstring of a function or class tells the model.

Owns docstring-parser, which has an opinion about every text and trips over some: a style it cannot
read is a style the text is not in.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import field, frozen
from docstring_parser import Docstring, DocstringStyle, parse
from docstring_parser.attrdoc import add_attribute_docstrings

_STYLES: Final = (DocstringStyle.GOOGLE, DocstringStyle.NUMPYDOC, DocstringStyle.REST)


@frozen
class Documentation:
    """What is written about something."""

    description: str | None = None
    """Everything in front of the sections, None if there is nothing."""
    members: Mapping[str, str] = field(factory=dict)
    """What is written about each parameter or field."""


def documentation_of(documented: Callable[..., object] | type) -> Documentation:
    """Read the docstring of a function or class: Google, NumPy or Sphinx style, for classes also strings under their fields."""
    text = vars(documented).get("__doc__") if isinstance(documented, type) else documented.__doc__
    if not isinstance(text, str) or (
        dataclasses.is_dataclass(documented) and text.startswith(f"{documented.__name__}(")
    ):
        text = ""  # of dataclasses: what the decorator writes if nobody else does
    text = inspect.cleandoc(text)
    readings = [reading for style in _STYLES if (reading := _read(text, style)) is not None]
    best = max(
        readings, key=lambda reading: (len(reading.params), len(reading.meta))
    )  # as NumPy style, everything can be read
    if isinstance(documented, type):
        _add_strings_under_fields(documented, best)
    members = {
        param.arg_name: " ".join(param.description.split())
        for param in best.params
        if param.description
    }
    return Documentation((best.description or "").strip() or None, MappingProxyType(members))


def _read(text: str, style: DocstringStyle) -> Docstring | None:
    try:
        return parse(text, style)
    except Exception:  # ParseError, and whatever else a strange text does to the parser
        return None


def _add_strings_under_fields(cls: type[Any], reading: Docstring) -> None:
    try:
        add_attribute_docstrings(cls, reading)
    except Exception:  # no source, or one that is no Python when it stands alone
        return
