"""Arguments of a function tool, cut out of what the user said.

Owns the heuristics of where people put values: behind a preposition, in quotes, as a number, as one
of a few words.  Refuses to know which tool they are for.

Theory of operation.  What can be told best is searched first: one of a few words, yes or no, a
number, and at last strings, which are quoted, stand behind a preposition or begin with a capital
letter.  What was found is cut out, so no word becomes two arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal, assert_never

from attrs import define

from realtime_trio.events import JsonObject
from realtime_trio.simulator.offline.numbers import NUMBER, read_number

# The word itself where cutting off the s would make another one.
_NO_PLURAL: Final = frozenset(["times", "news", "always", "this"])


def words_of(text: str) -> list[str]:
    """Lower-case words in the singular; `getUserName` and `get_user_name` are three."""
    return [_singular(word) for word in spell_out(text).split()]


def spell_out(name: str) -> str:
    """An identifier as people say it: `get user name`."""
    return " ".join(re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()))


def _singular(word: str) -> str:
    if word in _NO_PLURAL or len(word) < 4 or not word.endswith("s") or word.endswith("ss"):
        return word
    return word[:-3] + "y" if word.endswith("ies") else word[:-1]


# --- schemas --------------------------------------------------------------------------------------

Kind = Literal["choice", "boolean", "number", "string", "array", "object"]
_KINDS: Final[Mapping[object, Kind]] = {
    "boolean": "boolean",
    "integer": "number",
    "number": "number",
    "string": "string",
    "array": "array",
    "object": "object",
}
_ORDER: Final[tuple[Kind, ...]] = ("choice", "boolean", "array", "number", "string", "object")
"""What can be told best comes first; an array of numbers before a single one, which would leave it
too few."""


def mapping(value: object) -> JsonObject:
    """The value if it is an object of JSON, else an empty one."""
    # A schema is whatever the client sent.
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def required_of(schema: JsonObject) -> list[str]:
    """Names of the properties that a call must have."""
    return [name for name in _list(schema.get("required")) if isinstance(name, str)]


def property_of(schema: JsonObject, name: str) -> JsonObject:
    """The schema of one property, references followed."""
    return _resolve(mapping(mapping(schema.get("properties")).get(name)), schema)


def _resolve(schema: JsonObject, root: JsonObject) -> JsonObject:
    """Follow references, and take the first branch of a choice that is not null."""
    # Deep enough for schemas that people write, and an end for those that run in circles.
    for _ in range(4):
        reference = schema.get("$ref")
        branches = [
            branch
            for key in ("anyOf", "oneOf", "allOf")
            for branch in map(mapping, _list(schema.get(key)))
        ]
        if isinstance(reference, str):
            # `#/$defs/Name`, as generators of schemas write it; other references come to nothing.
            schema = mapping(
                mapping(root.get(reference.split("/")[1] if "/" in reference else "")).get(
                    reference.split("/")[-1]
                )
            )
        elif branches:
            schema = next(
                (branch for branch in branches if branch.get("type") != "null"), branches[0]
            )
    return (
        {**schema, "items": _resolve(mapping(schema.get("items")), root)}
        if "items" in schema
        else schema
    )


def kind_of(schema: JsonObject) -> Kind:
    """What kind of value it describes."""
    if "enum" in schema or "const" in schema:
        return "choice"
    declared = schema.get("type")
    types = _list(declared) or [declared]
    # Without a type anything goes, and words are all we have.
    return next((_KINDS[name] for name in types if name in _KINDS), "string")


def options_of(schema: JsonObject) -> list[object]:
    """The values of a choice."""
    return _list(schema.get("enum")) or [schema.get("const")]


# --- values in words ------------------------------------------------------------------------------

_PREPOSITIONS: Final = "in at on to into from for of near with by about named called"
_PHRASE_ENDS: Final = (
    "and or but then please now today tonight tomorrow is are be me you it him her us them that "
    "this what saying"
)
_STOPPER: Final = rf"(?:{'|'.join((_PREPOSITIONS + ' ' + _PHRASE_ENDS).split())})\b"
_PHRASE: Final = rf"((?!{_STOPPER})[\w'’&-]+(?:\s+(?!{_STOPPER})[\w'’&-]+)*)"
_QUOTED: Final = re.compile(r"[\"“«]([^\"”»]+)[\"”»]|(?<!\w)['‘]([^'’]+)['’](?!\w)")
_PROPER: Final = re.compile(r"(?<![.!?|] )(?<!^)\b([A-Z][\w'’-]+(?: [A-Z][\w'’-]+)*)")
_WHEN: Final = re.compile(
    r"\b(\d{4}-\d\d-\d\d|\d{1,2}:\d\d(?: ?[ap]\.?m\b)?|\d{1,2} ?[ap]m"
    r"|today|tonight|tomorrow|yesterday|noon|midnight"
    r"|(?:next |this )?(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day|week|month))\b",
    re.IGNORECASE,
)
_TRUE: Final = re.compile(r"\b(?:on|yes|true|enabled?|sure|yep)\b", re.IGNORECASE)
_FALSE: Final = re.compile(r"\b(?:off|no|not|false|disabled?|without)\b", re.IGNORECASE)


def _after(prepositions: str) -> re.Pattern[str]:
    return re.compile(
        rf"\b(?:{'|'.join(prepositions.split())})\s+"
        rf"(?:(?:the|an?|my|your)\s+)?(?!{NUMBER}){_PHRASE}",
        re.IGNORECASE,
    )


_PLACES: Final = "city town place location country region address room area where zone"
_SENTENCE: Final = re.compile(
    r"(?:\b(?:saying|says?|that|about|titled)\b|:)\s+([^|]+?)\s*[.!?]*$", re.IGNORECASE
)
_STRINGS: Final = tuple(
    (frozenset(names.split()), patterns)
    for names, patterns in (
        ("date day time when hour deadline due", (_WHEN, _after("on at for"))),
        ("from origin source departure start sender", (_after("from"),)),
        ("to destination target arrival", (_after("to into for"), _PROPER)),
        (_PLACES, (_after("in at near into"), _after("for from to of"), _PROPER)),
        (
            "name person user recipient contact customer who guest",
            (_after("for to with named called by"), _PROPER),
        ),
        ("message text body note content reminder task subject", (_SENTENCE, _after("about for"))),
    )
)
"""Where strings stand, by words in the name of the argument; quoted ones are looked for before."""
_ANY_STRING: Final = (_after(_PREPOSITIONS), _PROPER)


def is_about_place(name: str) -> bool:
    """Whether an argument says where something is."""
    return not {*_PLACES.split()}.isdisjoint(words_of(name))


@define
class Search:
    """What is left of a request while arguments are cut out of it."""

    _rest: str
    _own: list[str]
    """Words of the tool's name: they say what to call, not with what."""

    def find(self, name: str, schema: JsonObject) -> object:
        """The value of one argument, which is then cut out; None if nothing was found."""
        match kind_of(schema):
            case "choice":
                return self._choice(options_of(schema))
            case "boolean":
                return self._boolean(name)
            case "number":
                return self._number(schema)
            case "string":
                return self._string(name)
            case "array":
                items = mapping(schema.get("items"))
                return (
                    None
                    if kind_of(items) == "array"
                    else list(iter(lambda: self.find(name, items), None)) or None
                )
            case "object":
                return None
            case never:
                assert_never(never)

    def _cut(self, found: re.Match[str]) -> str:
        """The text of the group that took part."""
        group = found.lastindex or 0
        start, end = found.span(group)
        # A mark stays, so that no phrase reaches over the gap; the patterns know it.
        self._rest = f"{self._rest[:start]}|{self._rest[end:]}"
        return found[group]

    def _choice(self, options: list[object]) -> object:
        """The option that comes first in the text."""
        found: list[tuple[re.Match[str], object]] = []
        for option in options:
            if isinstance(option, str) and (words := re.findall(r"[^\W_]+", option)):
                pattern = r"\b" + r"[\s_-]+".join(words) + r"s?\b"
                found += [
                    (match, option) for match in re.finditer(pattern, self._rest, re.IGNORECASE)
                ]
            elif isinstance(option, int | float):
                found += [
                    (match, option)
                    for match in _numbers(self._rest)
                    if read_number(match[0]) == option
                ]
        if not found:
            return None
        # Of two that begin together the longer one: "light blue" before "light".
        match, option = min(found, key=lambda pair: (pair[0].start(), -pair[0].end()))
        self._cut(match)
        return option

    def _boolean(self, name: str) -> bool | None:
        # No before yes: "do not turn it on" has both.
        for pattern, value in ((_FALSE, False), (_TRUE, True)):
            if found := pattern.search(self._rest):
                self._cut(found)
                return value
        # "With breakfast" sets `breakfast`.
        words = set(words_of(name))
        return True if words and words <= set(words_of(self._rest)) else None

    def _number(self, schema: JsonObject) -> int | float | None:
        lowest, highest = schema.get("minimum"), schema.get("maximum")
        for found in _numbers(self._rest):
            value = read_number(found[0])
            is_whole = value.denominator == 1
            if (
                (is_whole or schema.get("type") != "integer")
                and not (isinstance(lowest, int | float) and value < lowest)
                and not (isinstance(highest, int | float) and value > highest)
            ):
                self._cut(found)
                return int(value) if is_whole else float(value)
        return None

    def _string(self, name: str) -> str | None:
        words = set(words_of(name))
        patterns = next((patterns for names, patterns in _STRINGS if names & words), _ANY_STRING)
        for pattern in (_QUOTED, *patterns):
            for found in pattern.finditer(self._rest):
                # A capital letter alone makes neither the tool's own words nor "I" a value.
                if not set(words_of(found[found.lastindex or 0])) <= {*self._own, "i"}:
                    return self._cut(found).strip()
        return None


def _numbers(text: str) -> Iterable[re.Match[str]]:
    return re.finditer(NUMBER, text, re.IGNORECASE)


def fill(schema: JsonObject, search: Search, known: JsonObject) -> JsonObject:
    """Every argument that can be found, in the order of the schema.

    What is optional and not mentioned is left out.
    """
    required = required_of(schema)
    names = list(dict.fromkeys([*mapping(schema.get("properties")), *required]))
    found = dict(known)
    # Searched in another order than returned: see the module's theory of operation.
    for name in sorted(
        names,
        key=lambda name: (_ORDER.index(kind_of(property_of(schema, name))), name not in required),
    ):
        if (
            name not in found
            and (value := search.find(name, property_of(schema, name))) is not None
        ):
            found[name] = value
    return {name: found[name] for name in names if name in found}
