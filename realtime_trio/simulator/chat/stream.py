"""From the stream of a chat completion to the pieces of an answer.

Owns the reading of chunks, and putting calls and sentences together from them.  Refuses to know
where the chunks come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from attrs import define, field, frozen

from realtime_trio.simulator.script.script import Call

_LONGEST_EXPLANATION: Final = 500
"""Characters of what an endpoint says about an error: some put half a web page there."""
_CALL_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,32}")
"""The ids that the Realtime API takes."""
# Closing quotes, brackets and the asterisks of Markdown belong to the sentence.  The ideographic
# full stops need no space after them.
_SENTENCE_END: Final = re.compile(r"[.!?…]+[\"'”’)\]*_]*\s+|[。！？]+|\n+")
_SHORTEST_SENTENCE: Final = 4
"""Characters before which nothing ends: so "Mr. " and "1. " are not sentences, and "Sure! " is."""
_LONGEST_SENTENCE: Final = 300
"""Characters, about 20 s of speech: by then something has to be heard, sentence or not."""


class ChunkError(Exception):
    """A chunk is not one of a chat completion.

    Not one of the public errors: the shell turns it into an `AgentError`, which can name the
    endpoint.
    """


@frozen(kw_only=True)
class CallDelta:
    """A piece of a call."""

    index: int | None
    """Number of the call in this answer, if the server counts them."""
    call_id: str
    """Empty if this piece has none; the same goes for `name` and `arguments`."""
    name: str
    arguments: str


@frozen
class ChatDelta:
    """What one chunk of the stream adds."""

    text: str = ""
    calls: tuple[CallDelta, ...] = ()
    finish_reason: str = ""
    """Empty until the answer ends."""


def read_chunk(chunk: object) -> ChatDelta:
    """Read a chunk, given as parsed JSON.

    What a model thinks to itself (`reasoning_content`) is not among what it says.

    Raises:
        ChunkError: It is not a chunk.
    """
    match chunk:
        case {"choices": [{"delta": {**delta}, **choice}, *_]}:
            text = _text(delta, "content") or _text(delta, "refusal")
            calls = delta.get("tool_calls") or ()
            if not isinstance(calls, list | tuple):
                raise ChunkError("tool_calls is not an array")
            return ChatDelta(text, tuple(map(_call_delta, calls)), _text(choice, "finish_reason"))
        case {"choices": []}:
            # It only counts tokens.
            return ChatDelta()
    raise ChunkError("it has no choices")


def _call_delta(piece: object) -> CallDelta:
    match piece:
        case {"function": {**function}, **rest}:
            index = rest.get("index")
            return CallDelta(
                index=index if isinstance(index, int) else None,
                call_id=_text(rest, "id"),
                name=_text(function, "name"),
                arguments=_text(function, "arguments"),
            )
    raise ChunkError("a tool call has no function")


def _text(parent: Mapping[object, object], key: str) -> str:
    """A string that may be absent or null."""
    value = parent.get(key)
    if not isinstance(value, str | None):
        raise ChunkError(f"{key} is not a string")
    return value or ""


def read_error(body: object) -> tuple[str | None, str | None]:
    """What an error says, and its code; None for what is not there.

    Only the object in `error` is OpenAI's; servers that call themselves compatible have other ways
    to write it.
    """
    match body:
        case [first, *_]:
            return read_error(first)
        case {"error": {"message": str() as message, **rest}}:
            code = rest.get("code")
            return message[:_LONGEST_EXPLANATION], code if isinstance(code, str) else None
        case (
            {"error": str() as message}
            | {"message": str() as message}
            | {"detail": str() as message}
        ):
            return message[:_LONGEST_EXPLANATION], None
    return None, None


# --- calls ----------------------------------------------------------------------------------------


@define
class _GrowingCall:
    index: int | None
    call_id: str
    name: str
    arguments: list[str] = field(factory=list)


class GrowingCalls:
    """Puts calls together from their pieces, which servers number in different ways or not at all.

    Args:
        taken: Ids of the calls that the conversation has already.
    """

    def __init__(self, taken: set[str | None]) -> None:
        self._taken = taken
        self._calls: list[_GrowingCall] = []

    def add(self, piece: CallDelta) -> None:
        """Take the next piece, of whichever call."""
        call = self._find(piece)
        if call is None:
            call = _GrowingCall(piece.index, piece.call_id, piece.name)
            self._calls.append(call)
        call.name = call.name or piece.name
        call.arguments.append(piece.arguments)

    def _find(self, piece: CallDelta) -> _GrowingCall | None:
        """The call that goes on with this piece; None if another one begins.

        A name alone begins nothing, since some servers repeat it.  A new id begins a call even if
        the number is an old one, since other servers number all calls 0.  Without number and id
        there is only the name to go by.
        """
        for call in reversed(self._calls):
            if piece.index is None or piece.index == call.index:
                is_repeated = (
                    piece.call_id == call.call_id if piece.call_id else piece.index is not None
                )
                return call if is_repeated or not piece.name else None
        return None

    def complete(self) -> Iterator[Call]:
        """All the calls, when there are no more pieces.

        A call keeps its id if the Realtime API could have given it and if it is new in the
        conversation; otherwise the simulator makes one.

        Raises:
            ChunkError: A call has no name.
        """
        for call in self._calls:
            if not call.name:
                raise ChunkError("a tool call has no name")
            is_usable = (
                _CALL_ID.fullmatch(call.call_id) is not None and call.call_id not in self._taken
            )
            self._taken.add(call.call_id)
            yield Call(
                call.name, "".join(call.arguments) or "{}", call.call_id if is_usable else None
            )


# --- sentences ------------------------------------------------------------------------------------


class GrowingText:
    """Cuts a text, while it grows, into sentences that can be spoken one at a time.

    Nothing gets lost: the sentences and the rest are the text.
    """

    def __init__(self) -> None:
        self.rest = ""
        """What was not cut off yet."""

    def add(self, text: str) -> Iterator[str]:
        """Take more of the text, and cut off the sentences that are complete."""
        self.rest += text
        while (end := self._end()) is not None:
            sentence, self.rest = self.rest[:end], self.rest[end:]
            yield sentence

    def _end(self) -> int | None:
        # White space at the beginning is not counted: it makes nothing longer for the ear.
        start = len(self.rest) - len(self.rest.lstrip())
        limit = start + _LONGEST_SENTENCE
        end = _SENTENCE_END.search(self.rest, start + _SHORTEST_SENTENCE, limit)
        if end is not None:
            return end.end()
        if len(self.rest) < limit:
            return None
        return self.rest.rfind(" ", start, limit) + 1 or limit
