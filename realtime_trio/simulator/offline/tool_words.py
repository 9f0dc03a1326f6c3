"""From a user's words to the call of a function tool: which one is meant, and with which arguments.

Owns the heuristics, and they are not more than that: words that the request shares with a tool's
name and description, and values that stand in the request where people put them.  Refuses to know
who calls, and what becomes of the call.

Theory of operation.  A tool is meant if enough of its name's words, or of its description's, occur
in the request; verbs that any request may have count little.  Its arguments are then cut out of the
request one after the other, those first that can be told best: one of a few words, yes or no, a
number, and at last strings, which are quoted, stand behind a preposition or begin with a capital
letter.  What was cut out is gone, so no word becomes two arguments.  If a required argument is
missing, the request stays open: it is asked for, and the next thing the user says is searched for
it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, assert_never

import attrs
from attrs import field, frozen

from realtime_trio.events import FunctionTool, JsonObject
from realtime_trio.simulator.offline.argument_words import (
    Search,
    fill,
    is_about_place,
    kind_of,
    mapping,
    options_of,
    property_of,
    required_of,
    spell_out,
    words_of,
)

_THRESHOLD: Final = 1.0
"""Half of the words of a name, all of them weighty, or two such words of a description."""
_NAME_WEIGHT: Final = 2.0
_DESCRIPTION_WEIGHT: Final = 0.5
_MAX_DESCRIPTION: Final = 4.0
"""So that a long description does not win by its length."""

# The single letters and "don" are what the pattern for words leaves of "it's", "don't", "we'll".
_STOP: Final = frozenset(
    re.findall(
        r"\w+",
        """a an the this that these those some any all each every and or but not no if then than so
        as at by for from in into of off on onto to with without about over under up down out near
        is are was were be been being am do does did done has have had can could may might must
        shall should will would i me my you your he his she her it its we us our they them their
        what which who whom whose when where why how please tell function tool user given return
        current currently get fetch use call want need like let one now right just hey hello s t m
        re ll ve d don""",
    )
)
_WEAK: Final = frozenset(
    re.findall(
        r"\w+",
        "find make set show start stop turn switch put take give send check look search open "
        "create add new say on off",
    )
)
"""Verbs, and particles of verbs, that say little about what is meant."""
_WEAK_WEIGHT: Final = 0.5
_HANDOFF: Final = ["transfer", "to"]
"""How the names of tools begin with which frameworks for agents hand over to another agent."""
_HANDOFF_STOP: Final = frozenset(["agent", "handoff", "handle", "request"])
"""What stands in the name or the description of every handoff, and does not tell to whom it is."""


def _content(words: Iterable[str]) -> set[str]:
    return {word for word in words if word not in _STOP or word in _WEAK}


def _weigh(words: Iterable[str]) -> float:
    return sum(_WEAK_WEIGHT if word in _WEAK else 1.0 for word in words)


def _score(tool: FunctionTool, said: set[str]) -> tuple[float, float]:
    """How much a tool is meant; of two alike, how much of its name was said."""
    words, described_as = words_of(tool.name), words_of(tool.description or "")
    # Not for all tools: in `transfer_money` the first word says a good deal.
    if words[:2] == _HANDOFF:
        words = [word for word in words[2:] if word not in _HANDOFF_STOP]
        described_as = [word for word in described_as if word not in _HANDOFF_STOP]
    # A name such as `get_it` has nothing but little words; then they have to do.
    name = _content(words) or set(words)
    description = _content(described_as) - name
    named = _weigh(name & said)
    described = min(_weigh(description & said), _MAX_DESCRIPTION)
    return _NAME_WEIGHT * named / max(_weigh(name), 1.0) + _DESCRIPTION_WEIGHT * described, named


_REFUSAL: Final = re.compile(r"\b(?:do not|don['’]?t|never)\b", re.IGNORECASE)

# --- what is asked for ----------------------------------------------------------------------------


@frozen
class ToolRequest:
    """A tool the user asked for, with what is known of its arguments."""

    tool: FunctionTool
    """Which one."""
    arguments: JsonObject = field(factory=dict[str, object])
    """What was found so far."""

    @property
    def missing(self) -> str | None:
        """Name of the first required argument that nothing was found for.

        None if the tool can be called.
        """
        return next(
            (name for name in required_of(_schema_of(self.tool)) if name not in self.arguments),
            None,
        )

    @property
    def question(self) -> str | None:
        """Asks for what is missing."""
        name = self.missing
        return None if name is None else _ask(name, property_of(_schema_of(self.tool), name))

    def answered(self, text: str, *, is_name: bool) -> ToolRequest | None:
        """The request after the user's answer to `question`; None if that was not an answer.

        Args:
            text: What the user said.
            is_name: Whether the whole text may be what was asked for if nothing is found in it.
        """
        name = self.missing
        assert name is not None, "only an incomplete request asks"
        schema = _schema_of(self.tool)
        search = Search(text, words_of(self.tool.name))
        value = search.find(name, property_of(schema, name))
        if value is None and is_name and kind_of(property_of(schema, name)) == "string":
            value = _bare_answer(text)
        return (
            None
            if value is None
            else attrs.evolve(
                self, arguments=fill(schema, search, known={**self.arguments, name: value})
            )
        )

    def repeated(self, newer: ToolRequest) -> ToolRequest:
        """The newer request, with what this one knew already if both are for the same tool."""
        if newer.tool != self.tool:
            return newer
        nothing = Search("", [])
        return attrs.evolve(
            self,
            arguments=fill(
                _schema_of(self.tool), nothing, known={**self.arguments, **newer.arguments}
            ),
        )


def find_request(
    tools: Iterable[FunctionTool], text: str, *, is_required: bool = False
) -> ToolRequest | None:
    """The tool that a user's words ask for, with the arguments that are in them, or None.

    If one is required it is the likeliest, however unlikely that is.
    """
    if _REFUSAL.search(text) and not is_required:
        return None
    said = set(words_of(text))
    # max takes the first of equals: the order of the tools decides.
    best = max(tools, key=lambda tool: _score(tool, said), default=None)
    if best is None or (_score(best, said)[0] < _THRESHOLD and not is_required):
        return None
    return ToolRequest(best, fill(_schema_of(best), Search(text, words_of(best.name)), known={}))


def _schema_of(tool: FunctionTool) -> JsonObject:
    return mapping(tool.parameters)


# --- questions and answers ------------------------------------------------------------------------

_LEAD: Final = re.compile(
    r"^(?:(?:it(?:['’]s| is)|in|at|for|to|from|on|the|please|use|make it|say"
    r"|i (?:want|need|choose|would like))\b[\s,:]*)+",
    re.IGNORECASE,
)
_QUESTION: Final = re.compile(
    r"^(?:what|who|when|where|why|how|which|can|could|do|does|is|are|tell|nothing)\b", re.IGNORECASE
)
_LONGEST_ANSWER: Final = 12
"""Words; more than that is not the name of something."""


def _ask(name: str, schema: JsonObject) -> str:
    label = spell_out(name)
    match kind_of(schema):
        case "choice":
            return f"Which {label}: {join_words(map(str, options_of(schema)), 'or')}?"
        case "boolean":
            return f"{label.capitalize()}: yes or no?"
        case "number":
            return f"How many {label}?" if label.endswith("s") else f"Which number for {label}?"
        case "string":
            return f"For which {label}?" if is_about_place(name) else f"Which {label}?"
        case "array":
            return f"Which {label}?"
        case "object":
            return f"I cannot put together the {label} that this needs."
        case never:
            assert_never(never)


def join_words(words: Iterable[str], conjunction: str = "and") -> str:
    """`a, b and c`."""
    *first, last = [*words] or [""]
    return f"{', '.join(first)} {conjunction} {last}" if first else last


def _bare_answer(text: str) -> str | None:
    """The whole answer, if it may be the name of something."""
    answer = re.sub(
        r"[\s,]*(?:\bplease)?[\s.!]*$", "", _LEAD.sub("", text.strip()), flags=re.IGNORECASE
    )
    is_name = (
        1 <= len(answer.split()) <= _LONGEST_ANSWER
        and not answer.endswith("?")
        and not _QUESTION.match(answer)
    )
    return answer if is_name and not _REFUSAL.search(answer) else None
