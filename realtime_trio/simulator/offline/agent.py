"""An agent that needs no service: a small conversation by rules.

Owns what it reads in a turn, in which order, and how the instructions change what it says; the
rules are in `small_talk`, `tool_words` and `argument_words`.  Refuses to know the protocol: an
agent is given a `Turn` and yields what to say and to call.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import takewhile
from typing import Final

import attrs
import trio
from attrs import frozen

from realtime_trio._protocol.json_text import parse_json
from realtime_trio.events import (
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    InputText,
    SystemMessage,
    ToolChoiceFunction,
    ToolChoiceMcp,
    UserMessage,
)
from realtime_trio.simulator.offline.argument_words import spell_out
from realtime_trio.simulator.offline.numbers import NUMBER, read_number
from realtime_trio.simulator.offline.small_talk import Speaker, fitting_rule, greeting, talk
from realtime_trio.simulator.offline.tool_words import ToolRequest, find_request, join_words
from realtime_trio.simulator.roles import Piece, Say, Voice
from realtime_trio.simulator.script.script import Call, Turn


class OfflineAgent:
    """A small conversation without any service: deterministic, in English, and by rules.

    It says openly that it is not more than that.

    It greets, says what it is, calculates with two numbers, counts, spells, repeats, answers thanks
    and goodbyes, and otherwise says what it understood and what it can do.  It calls a function
    tool when the user's words are those of the tool's name or description, with the arguments it
    finds in them: words of an enum, on and off, numbers, quoted strings, and names behind a
    preposition.  It asks for a required argument that is missing, and takes the next thing the user
    says for the answer.  It reads out the outputs of tools, and calls no further tool after them.
    `tool_choice` is obeyed: a tool that must be called is called or asked about, whatever the
    words.

    Of the instructions, and of system messages, it follows these and ignores everything else: `You
    are called Ada`, `Answer with exactly: "..."`, `Answer in at most 10 words` (or sentences),
    `Begin with "..."` and `End with "..."`.

    It keeps nothing: everything follows from the turn, so one agent serves any number of
    connections.

    Args:
        voice: Speaks the answers in audio; None leaves that to the synthetic voice.
    """

    def __init__(self, voice: Voice | None = None) -> None:
        self._voice = voice

    # A generator, since it opens no cancel scope and no nursery that a yield could leave open.
    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:  # noqa: ASYNC900
        """Answer one turn: one `Say` per sentence, or one `Call`.

        Args:
            turn: What to answer.

        Yields:
            The pieces, with audio if there is a voice and the turn's modality is `audio`.

        What the voice raises comes out here.  Cancel-safe: nothing is kept between turns.
        """
        voice = self._voice if turn.modality == "audio" else None
        for piece in _answer(turn):
            await trio.lowlevel.checkpoint()
            if isinstance(piece, Say) and voice is not None:
                piece = attrs.evolve(piece, audio=await voice.speak(piece.text.strip()))
            yield piece
        await trio.lowlevel.checkpoint()


_LONGEST_TEXT: Final = 2_000
"""Characters of what the user said that are read.  Patterns may take time quadratic in them, and
this is more than people say at once."""
_LONGEST_INSTRUCTIONS: Final = 20_000
"""Characters, likewise."""


def _answer(turn: Turn) -> Iterator[Piece]:
    manner = _Manner.of(_instructions(turn))
    # Before everything else, tools included: somebody wants one answer whatever happens.
    if manner.exactly is not None:
        yield Say(manner.exactly)
        return
    # An output is read out even if its words would fit another tool: no loops of calls.
    request = None if turn.tool_output is not None else _open_request(turn)
    if request is not None and request.missing is None:
        yield Call(request.tool.name, request.arguments)
        return
    for sentence in _sentences(manner.apply(_words(turn, request, manner.name))):
        yield Say(sentence)


def _words(turn: Turn, request: ToolRequest | None, name: str | None) -> str:
    if outputs := _outputs(turn):
        return " ".join(map(_report, outputs))
    if request is not None and request.question is not None:
        return request.question
    speaker = Speaker(name=name, abilities=_abilities(_function_tools(turn)))
    if turn.items and isinstance(turn.items[-1], FunctionCall):
        return f"I am still waiting for the result of {spell_out(turn.items[-1].name)}."
    if text := turn.user_text[:_LONGEST_TEXT].strip():
        return talk(text, speaker)
    if turn.heard_seconds:
        return f"I received {turn.heard_seconds:.1f} seconds of audio and understood no word of it."
    return greeting(speaker)


def _sentences(text: str) -> list[str]:
    """Sentences with the space after them; joined they are the text.

    A full stop inside a number does not end a sentence.
    """
    return re.findall(r"\S.*?(?:[.!?…][\"”'’)]*(?:\s+|$)|$)", text, re.DOTALL)


# --- tools ----------------------------------------------------------------------------------------

_HISTORY: Final = 20
"""Items in which an open question may stand: a conversation about one call is not longer."""
_MOST_TOOLS: Final = 5
"""Tools that are named when the user asks what it can do."""


def _function_tools(turn: Turn) -> list[FunctionTool]:
    """The functions that may be called."""
    match turn.tool_choice:
        case "none" | ToolChoiceMcp():
            return []
        case ToolChoiceFunction(name=name):
            return [
                tool for tool in turn.tools if isinstance(tool, FunctionTool) and tool.name == name
            ]
        case _:
            return [tool for tool in turn.tools if isinstance(tool, FunctionTool)]


def _open_request(turn: Turn) -> ToolRequest | None:
    """What the user wants to have called and was not called yet.

    It is told from the conversation alone, by going through its end again at every turn.
    """
    tools = _function_tools(turn)
    is_required = turn.tool_choice == "required" or isinstance(turn.tool_choice, ToolChoiceFunction)
    request: ToolRequest | None = None
    for item in turn.items[-_HISTORY:]:
        if isinstance(item, FunctionCall):
            request = None
        elif isinstance(item, UserMessage):
            text = attrs.evolve(turn, items=(item,)).user_text[:_LONGEST_TEXT]
            # What must be called now was not required when the earlier messages were answered.
            request = _next_request(
                tools, request, text, is_required=is_required and item is turn.items[-1]
            )
    return request


def _next_request(
    tools: list[FunctionTool], earlier: ToolRequest | None, text: str, *, is_required: bool
) -> ToolRequest | None:
    fitting = fitting_rule(text)
    # "Say the weather is nice" is to be repeated, and not a question for the weather.
    is_talk = fitting is not None and fitting[0].takes_words and not is_required
    newer = (
        None if is_talk else find_request(tools, text, is_required=is_required and earlier is None)
    )
    if earlier is None or earlier.missing is None:
        return newer
    return (
        earlier.answered(text, is_name=fitting is None)
        if newer is None
        else earlier.repeated(newer)
    )


def _abilities(tools: list[FunctionTool]) -> str:
    own = ["calculate with two numbers", "count", "spell", "repeat what you say"]
    names = [spell_out(tool.name) for tool in tools[:_MOST_TOOLS]]
    more = [f"{len(tools) - _MOST_TOOLS} more"] if len(tools) > _MOST_TOOLS else []
    return join_words([*own, f"call {join_words([*names, *more])}"] if tools else own)


# --- outputs of tools -----------------------------------------------------------------------------

_MOST_FACTS: Final = 12
"""Facts of an output that are read out: about as many as a listener can remember."""
_FAILURES: Final = ("error", "errors", "exception")


def _outputs(turn: Turn) -> list[str]:
    """What functions have returned since anything else happened, in order.

    So the outputs of parallel calls are told together.
    """
    latest = takewhile(
        lambda item: isinstance(item, FunctionCallOutput | FunctionCall), reversed(turn.items)
    )
    outputs = (
        [item.output for item in latest if isinstance(item, FunctionCallOutput)]
        if turn.tool_output is not None
        else []
    )
    return outputs[::-1]


def _report(output: str) -> str:
    value = _parse(output)
    if isinstance(value, Mapping) and (
        failure := next((value[key] for key in _FAILURES if value.get(key)), None)
    ):
        return _sentence("That did not work", failure)
    if isinstance(value, str) and (
        found := re.match(r"\s*error\b[\s:]*(.*)", value, re.IGNORECASE | re.DOTALL)
    ):
        return _sentence("That did not work", found[1])
    return _sentence("It says", value) if any(True for _ in _facts(value)) else "Done."


def _parse(output: str) -> object:
    try:
        return parse_json(output)
    except ValueError:
        # A tool may return plain words.
        return output


def _sentence(opening: str, value: object) -> str:
    facts = list(_facts(value))
    more = len(facts) - _MOST_FACTS
    told = ", ".join(facts[:_MOST_FACTS]) + (f", and {more} more" if more > 0 else "")
    ended = told if re.search(r"[.!?…][\"”'’)]*$", told) else f"{told}."
    return f"{opening}: {ended}" if told else f"{opening}."


def _facts(value: object, name: str = "") -> Iterator[str]:
    """Everything in a JSON value, each with the way to it: `wind speed 3`."""
    match value:
        case Mapping():
            for key, member in value.items():
                yield from _facts(member, f"{name} {key.replace('_', ' ')}".strip())
        case list():
            for element in value:
                yield from _facts(element, name)
        # Before the rest, since a bool would be told as a number is.
        case True | False:
            yield f"{name} {'yes' if value else 'no'}".strip()
        case None | "":
            return
        case _:
            yield f"{name} {str(value).strip()}".strip()


# --- instructions ---------------------------------------------------------------------------------

_QUOTE: Final = r"[\"“«](?P<{0}>[^\"”»]+)[\"”»]"
_TOLD: Final = r"(?:" + _QUOTE.format("quoted") + r"|(?P<bare>[^\"“«.\n]+[^\s\"“«.\n]))"
_NAME: Final = re.compile(
    r"\b(?i:you are (?:called|named)|you['’]re (?:called|named)|your name is|call yourself"
    r"|you are|you['’]re) "
    r"[\"“]?(?P<name>[A-Z][\w-]+(?: [A-Z][\w-]+)*)"
)
_EXACTLY: Final = re.compile(
    rf"\b(?:answer|reply|respond|say)\b[^.\"“«]{{0,80}}?\bexactly\b[^.\"“«:]{{0,40}}:?\s*{_TOLD}",
    re.IGNORECASE,
)
_END: Final = re.compile(
    rf"\bend\b[^.\"“«]{{0,80}}?\bwith(?: the words?| the phrase)?:?\s+{_TOLD}", re.IGNORECASE
)
_BEGIN: Final = re.compile(
    rf"\b(?:begin|start)\b[^.\"“«]{{0,80}}?\bwith(?: the words?| the phrase)?:?\s+{_TOLD}",
    re.IGNORECASE,
)
_LIMIT: Final = re.compile(
    r"\b(?:at most|no more than|not more than|a maximum of|maximum|up to|in|within|only) "
    rf"(?P<number>{NUMBER}) (?P<unit>word|sentence)s?\b",
    re.IGNORECASE,
)


def _instructions(turn: Turn) -> str:
    messages = [
        part.text
        for item in turn.items
        if isinstance(item, SystemMessage)
        for part in item.content
        if isinstance(part, InputText)
    ]
    return "\n".join([turn.instructions, *messages])[:_LONGEST_INSTRUCTIONS]


def _told(pattern: re.Pattern[str], text: str) -> str | None:
    """The words that an instruction gives; of several the last, which is the newest."""
    found = list(pattern.finditer(text))
    return (found[-1]["quoted"] or found[-1]["bare"]) if found else None


@frozen(kw_only=True)
class _Manner:
    """How the instructions want it to speak."""

    name: str | None
    exactly: str | None
    beginning: str | None
    ending: str | None
    most_words: int | None
    most_sentences: int | None

    @classmethod
    def of(cls, instructions: str) -> _Manner:
        names = _NAME.findall(instructions)
        limits = {
            found["unit"].lower(): max(0, int(read_number(found["number"])))
            for found in _LIMIT.finditer(instructions)
        }
        return cls(
            name=names[-1] if names else None,
            exactly=_told(_EXACTLY, instructions),
            beginning=_told(_BEGIN, instructions),
            ending=_told(_END, instructions),
            most_words=limits.get("word"),
            most_sentences=limits.get("sentence"),
        )

    def apply(self, text: str) -> str:
        """Shorten the text, and put around it what it must begin and end with.

        The words of the beginning and the ending count, too.
        """
        around = [part for part in (self.beginning, self.ending) if part]
        words = "".join(_sentences(text)[: self.most_sentences]).split(" ")
        if self.most_words is not None:
            words = words[: max(0, self.most_words - sum(len(part.split()) for part in around))]
        return " ".join(filter(None, (self.beginning, " ".join(words).strip(), self.ending)))
