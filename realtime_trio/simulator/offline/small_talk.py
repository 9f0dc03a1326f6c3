"""What the offline agent can talk about by itself: one table of patterns and answers.

Owns the rules and their words.  Refuses to know about tools, instructions and audio.  Every answer
is a function of what was said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Final

from attrs import frozen

from realtime_trio.simulator.offline.numbers import NUMBER, read_number, write_number

_LONGEST_COUNT: Final = 50
"""Numbers: about a minute when they are spoken."""


@frozen(kw_only=True)
class Speaker:
    """Who answers."""

    name: str | None = None
    """What it is called, if the instructions say so."""
    abilities: str = ""
    """What it can do with the tools on offer, as the end of a sentence."""

    @property
    def introduction(self) -> str:
        """What it is, as the beginning of a sentence."""
        return (
            f"I am {self.name}, an offline simulator" if self.name else "I am an offline simulator"
        )


_Match = re.Match[str]


@frozen
class Rule:
    """An answer to what fits a pattern."""

    pattern: re.Pattern[str]
    """Searched for in the whole of what was said."""
    answer: Callable[[_Match, Speaker], str]
    """Makes the answer."""
    takes_words: bool = False
    """The words after the command are material, and ask for no tool."""


def _rule(
    pattern: str, answer: Callable[[_Match, Speaker], str], *, takes_words: bool = False
) -> Rule:
    return Rule(re.compile(pattern, re.IGNORECASE), answer, takes_words)


_OPERATORS: Final[Mapping[str, Callable[[Fraction, Fraction], Fraction]]] = {
    "plus": lambda a, b: a + b,
    "minus": lambda a, b: a - b,
    "times": lambda a, b: a * b,
    "divided by": lambda a, b: a / b,
}
_SYNONYMS: Final = {
    "+": "plus",
    "and": "plus",
    "-": "minus",
    "−": "minus",
    "less": "minus",
    "*": "times",
    "x": "times",
    "×": "times",
    "multiplied by": "times",
    "/": "divided by",
    "÷": "divided by",
    "over": "divided by",
    "divide": "divided by",
    "multiply": "times",
    "subtract": "minus",
}


def _calculate(found: _Match, _: Speaker) -> str:
    word = re.sub(r"\s+", " ", found["operator"].lower())
    operator = _SYNONYMS.get(word, word)
    left, right = read_number(found["left"]), read_number(found["right"])
    if operator == "divided by" and right == 0:
        return "Nothing can be divided by zero."
    result = _OPERATORS[operator](left, right)
    return f"{write_number(left)} {operator} {write_number(right)} is {write_number(result)}."


def _count(found: _Match, _: Speaker) -> str:
    start, end = (
        int(read_number(found[group])) if found[group] else 1 for group in ("first", "last")
    )
    if abs(end - start) >= _LONGEST_COUNT:
        return f"That is further than I count: at most {_LONGEST_COUNT} numbers."
    step = 1 if end >= start else -1
    return ", ".join(map(str, range(start, end + step, step))) + "."


def _repeat(found: _Match, _: Speaker) -> str:
    return found["words"].strip().strip("\"“”'‘’").strip()


def _spell(found: _Match, _: Speaker) -> str:
    return ", ".join(found["words"].upper()) + "."


def _name_itself(_: _Match, speaker: Speaker) -> str:
    return (
        f"{speaker.introduction}, not a language model: "
        "I follow a few rules and hear words, not meaning."
    )


def _help(_: _Match, speaker: Speaker) -> str:
    return f"I can {speaker.abilities}."


def _greet(_: _Match, speaker: Speaker) -> str:
    return greeting(speaker)


def greeting(speaker: Speaker) -> str:
    """Begin a conversation."""
    return f"Hello! {speaker.introduction}. How can I help?"


# The first that fits answers: what is special stands before what is general.
RULES: Final = (
    _rule(
        r"\b(?:answer|reply|respond|say)\b[^.\"“]{0,80}?"
        r"\bexactly\b[^\"“:]{0,40}:?\s*(?P<words>\S.*)",
        _repeat,
        takes_words=True,
    ),
    _rule(
        r"^(?:(?:can|could) you |please |now )*"
        r"(?:say|repeat(?: after me)?)(?: the words?)?\b[,: ]+(?P<words>\S.*)",
        _repeat,
        takes_words=True,
    ),
    _rule(
        r"\b(?:spell|how do you (?:spell|write))\b[,: ]+(?:the (?:word|name) )?"
        r"[\"“'‘]?(?P<words>[^\W_]+)[\"”'’]?[.?!]?$",
        _spell,
        takes_words=True,
    ),
    _rule(
        rf"\bcount (?:(?:up|down) )?(?:from (?P<first>{NUMBER}) )?"
        rf"(?:up |down )?to (?P<last>{NUMBER})",
        _count,
    ),
    _rule(
        rf"(?P<left>{NUMBER}) ?"
        r"(?P<operator>plus|minus|less|times|x|multiplied by|divided by|over|[-+*/×÷−])"
        rf" ?(?P<right>{NUMBER})",
        _calculate,
    ),
    _rule(
        rf"\b(?:add|sum of) (?P<left>{NUMBER}) (?P<operator>and|plus) (?P<right>{NUMBER})",
        _calculate,
    ),
    _rule(
        rf"\b(?P<operator>divide|multiply) (?P<left>{NUMBER}) by (?P<right>{NUMBER})", _calculate
    ),
    _rule(rf"\b(?P<operator>subtract) (?P<right>{NUMBER}) from (?P<left>{NUMBER})", _calculate),
    # The answer may not depend on anything but what was said.
    _rule(
        r"\b(?:what|which) (?:time|day|date)\b|\b(?:the|today['’]s) (?:time|date)\b",
        lambda *_: "I have no clock, so I cannot tell.",
    ),
    _rule(
        r"\b(?:who|what) are you\b|\byour name\b"
        r"|\bare you (?:an? )?(?:ai|bot|robot|human|person|real|machine|simulator)\b",
        _name_itself,
    ),
    _rule(r"\bwhat can (?:you|i)\b|\bhelp\b|\bwhat do you do\b", _help),
    _rule(
        r"\bhow are you\b|\bhow do you do\b",
        lambda *_: "I am a program, so always the same. Thank you for asking.",
    ),
    # Before thanks alone, since who takes leave usually says thanks first.
    _rule(
        r"\bthank(?:s| you)\b.*\b(?:bye|goodbye)\b|\b(?:good ?bye|bye|see you|good night)\b",
        lambda *_: "Goodbye!",
    ),
    _rule(r"\bthank(?:s| you)\b", lambda *_: "You are welcome."),
    _rule(r"^\W*(?:hello|hi|hey|good (?:morning|afternoon|evening|day))\b", _greet),
    _rule(r"^\W*(?:never ?mind|forget it|cancel|stop|no)\b", lambda *_: "All right."),
)
"""What is understood."""


def fitting_rule(text: str) -> tuple[Rule, _Match] | None:
    """The first rule that fits, and where."""
    return next(((rule, found) for rule in RULES if (found := rule.pattern.search(text))), None)


def talk(text: str, speaker: Speaker) -> str:
    """Answer what was said; where no rule fits, by saying so."""
    fitting = fitting_rule(text)
    if fitting is not None:
        rule, found = fitting
        return rule.answer(found, speaker)
    return (
        f"I understood: “{text}”. {speaker.introduction} and have no answer to that. "
        f"I can {speaker.abilities}."
    )
