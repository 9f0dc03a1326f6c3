"""What docstrings tell the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypedDict

import pytest
from attrs import frozen
from hypothesis import given, strategies as st

from realtime_trio.tools.documentation import documentation_of


def google(lat: float, lng: float) -> None:
    """Go there.

    Right now,
    without asking.

    Args:
        lat: Degrees north
            of the equator.
        lng (float): Degrees east.
        nobody:

    Returns:
        Nothing.
    """


def numpy(lat: float, lng: float) -> None:
    """Go there.

    Right now,
    without asking.

    Parameters
    ----------
    lat : float
        Degrees north
        of the equator.
    lng
        Degrees east.

    Returns
    -------
    None
    """


def sphinx(lat: float, lng: float) -> None:
    """Go there.

    Right now,
    without asking.

    :param lat: Degrees north
        of the equator.
    :param float lng: Degrees east.
    :returns: Nothing.
    """


@pytest.mark.parametrize("function", [google, numpy, sphinx])
def test_every_usual_style_is_read(function: Callable[..., object]) -> None:
    documentation = documentation_of(function)
    assert documentation.description == "Go there.\n\nRight now,\nwithout asking."
    assert documentation.members == {"lat": "Degrees north of the equator.", "lng": "Degrees east."}


def silent() -> None:
    pass


@frozen
class Place:
    """Where.

    Attributes:
        lat: North.
    """

    lat: float
    lng: float
    """East."""
    name: str = ""
    "What people say."


@dataclasses.dataclass
class Undocumented:
    lat: float
    """North."""


class Options(TypedDict):
    """Choices."""

    loud: bool
    """Shout."""


class Son(Place):
    pass


@pytest.mark.parametrize(
    ("documented", "description", "members"),
    [
        (silent, None, {}),
        (Place, "Where.", {"lat": "North.", "lng": "East.", "name": "What people say."}),
        (Undocumented, None, {"lat": "North."}),
        (Options, "Choices.", {"loud": "Shout."}),
        (Son, None, {}),
        (type("Made", (), {}), None, {}),
        (
            type("Hidden", (), {"__module__": "nowhere", "__doc__": "In no file."}),
            "In no file.",
            {},
        ),
    ],
)
def test_classes_say_what_their_fields_are(
    documented: type, description: str | None, members: dict[str, str]
) -> None:
    documentation = documentation_of(documented)
    assert (documentation.description, documentation.members) == (description, members)


LINES = st.sampled_from(
    [
        "Args:",
        "    a: b",
        "a : int",
        "----",
        ":param a: b",
        ":",
        ":param",
        "Parameters",
        ".. a::",
        "",
        "Returns:",
        "@param",
    ]
)


@given(st.lists(LINES | st.text(max_size=6), max_size=8).map("\n".join))
def test_no_docstring_is_too_strange(text: str) -> None:
    def strange() -> None:
        pass

    strange.__doc__ = text
    documentation = documentation_of(strange)
    assert documentation.description is None or documentation.description.strip()


def test_a_docstring_that_trips_one_style_is_read_in_another() -> None:
    def strange() -> None:
        """:\t:param a: b"""

    assert documentation_of(strange).description == ":       :param a: b"
