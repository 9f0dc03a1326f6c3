"""What a restored conversation is: the events that recreate one, and every difference.

Owns what can be told again, and how.  A seeded session, a stored one and one that reconnects all
come here, so that all of them lose the same and say the same about it.

Theory of operation.  The service takes words but not its own speech, so that speech becomes its
transcript; of what was truncated, the words that were heard.  The user's speech is sent again where
all of its audio is still here, or else its transcript.  A call of a tool is told together with its
output or not at all.  Every item is put behind the one before it by name, and the first one at the
front, so that what comes meanwhile (the user goes on talking) stands behind all of them.  The
oldest items are those that go where there is a limit, and a summary may take their place.  A limit
keeps all calls of a response, with their outputs, or none of them.  One that nobody has answered
goes alone: without the others the model would not know what has been done, and do it again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from attrs import evolve

from realtime_trio._frozen import frozen
from realtime_trio._state.conversation.audio import DEFAULT_ENCODING, Encoding
from realtime_trio._state.conversation.history import Entry, Said, Spoken
from realtime_trio._state.conversation.parting import boundaries
from realtime_trio._state.conversation.size import NO_LIMIT, HistoryLimit, tokens_of
from realtime_trio.audio.data import AudioData
from realtime_trio.errors import RemoteProtocolError
from realtime_trio.events import (
    AssistantMessage,
    ConversationItemCreate,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    OutputText,
    SystemMessage,
    UserMessage,
)

MAX_ID: Final = 32
"""Characters that the service takes as the id of an item or a call."""
_CALL_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,32}")
_MAX_TEXT: Final = 256_000
"""Characters that the service takes as one text."""
_MAX_AUDIO: Final = 11 * 2**20
"""Bytes of audio that fit into a message of 15 MiB, the most that the service takes."""

Difference: TypeAlias = Literal["item", "part", "words", "audio", "id"]
"""What differs: a whole item or a part of it is not there, some of its words are not, its audio is
not but its words are, or it has another id."""

_Restorable: TypeAlias = (
    SystemMessage | UserMessage | AssistantMessage | FunctionCall | FunctionCallOutput
)
_Lack: TypeAlias = tuple[Difference, str]
_NO_ROUNDS: Final[Mapping[str, str]] = MappingProxyType({})
_BEYOND_LIMIT: Final = "it is older than what the limit allows"


@frozen(kw_only=True)
class Omission:
    """What a restored conversation has not, or not as it was."""

    index: int
    """Position of the entry in the history, from 0."""
    item_id: str | None
    """Its id there, None if it has none."""
    what: Difference = "item"
    """What differs: a whole `item` or a `part` of it is not there; some of its `words` are not, or
    it is estimated which; its `audio` is not, but its words are; it has another `id`."""
    reason: str
    """Why, for people."""


@frozen(kw_only=True)
class Restored:
    """How to recreate a conversation in a session that has none."""

    events: tuple[ConversationItemCreate, ...]
    """To be sent in this order.  Every item has an id, and names the one before it; the first one
    goes to the front."""
    omitted: tuple[Omission, ...]
    """Every difference, in the history's order."""
    older: tuple[Item, ...] = ()
    """What the limit leaves out, the oldest first; for a summary."""

    def summarized(self, text: str, item_id: str) -> Restored:
        """The same with a system message in front, in place of what the limit leaves out.

        Args:
            text: The summary; `""` for none.
            item_id: Id of the message.
        """
        if not text.strip():
            return self
        told = [system_message(text, item_id), *(event.item for event in self.events)]
        return evolve(
            self,
            events=tuple(_chained(told)),
            omitted=tuple(
                evolve(each, reason="it is told in a summary, with what else is old")
                if each.reason == _BEYOND_LIMIT
                else each
                for each in self.omitted
            ),
        )


def restore(
    entries: Sequence[Entry],
    *,
    new_id: Callable[[str], str],
    encoding: Encoding | None = DEFAULT_ENCODING,
    limit: HistoryLimit = NO_LIMIT,
    open_calls: Collection[str] = (),
    keep_ids: bool = False,
) -> Restored:
    """Say which events recreate a conversation, and what will be different.

    Of one that was exported, and of one that is still here:

        restore(read_history(history), new_id=new_id)
        restore(entries_of(conversation.items), new_id=new_id, encoding=conversation.input_encoding)

    Args:
        entries: The conversation: of `read_history` if it was exported, of `entries_of` if it is
            still here.
        new_id: Makes ids, called with a prefix; for items without an id, and for those whose id
            would be refused.
        encoding: How the new session's input is encoded: the user's audio is sent again where it is
            encoded like that.  None to send no audio at all.
        limit: How much to tell; see `Restored.summarized` for what to do about the rest.
        open_calls: Ids of calls without an output that are to be told all the same, because they
            are still worked on; their outputs can be sent when they are there.
        keep_ids: Whether the service has taken or made all of the ids, so that it takes them again,
            however long they are.
    """
    items, lacks = _tell(entries, encoding, open_calls)
    # A round is known by its response: the first call may be answered before the second is made.
    rounds = {
        str(entry.told.call_id): entry.response_id
        for entry in entries
        if isinstance(entry.told, FunctionCall) and entry.response_id is not None
    }
    first = _first_within(limit, list(items.values()), encoding or DEFAULT_ENCODING, rounds)
    older, kept = list(items.items())[:first], list(items.items())[first:]
    for index, _ in older:
        lacks[index] = [("item", _BEYOND_LIMIT)]
    told = _with_usable_ids(kept, lacks, new_id, math.inf if keep_ids else MAX_ID)
    return Restored(
        events=tuple(_chained(told)),
        omitted=tuple(
            Omission(index=index, item_id=entries[index].item_id, what=what, reason=reason)
            for index, differences in sorted(lacks.items())
            for what, reason in differences
        ),
        older=tuple(item for _, item in older),
    )


def system_message(text: str, item_id: str) -> SystemMessage:
    """A message with this text, in portions that the service takes."""
    return SystemMessage(content=tuple(map(InputText, _portions(text))), id=item_id)


def _chained(items: Sequence[Item]) -> Iterator[ConversationItemCreate]:
    """Each item behind the one before it, and the first at the front."""
    previous: str | None = "root"
    for item in items:
        yield ConversationItemCreate(item=item, previous_item_id=previous)
        previous = item.id


# --- which items ----------------------------------------------------------------------------------


def _tell(
    entries: Sequence[Entry], encoding: Encoding | None, open_calls: Collection[str]
) -> tuple[dict[int, _Restorable], dict[int, list[_Lack]]]:
    """What can be told, in order, by its position in the history; and what differs."""
    calls: dict[str, int] = {}
    outputs: dict[str, int] = {}
    # Calls and outputs are looked up before anything is told: an output may stand before its call,
    # and each is told only together with its other half.
    for index, entry in enumerate(entries):
        match entry.told:
            case FunctionCall(call_id=str(call_id)):
                calls.setdefault(call_id, index)
            case FunctionCallOutput(call_id=call_id):
                outputs.setdefault(call_id, index)
            case _:
                pass
    items: dict[int, _Restorable] = {}
    lacks: dict[int, list[_Lack]] = {}
    for index, entry in enumerate(entries):
        problem = entry.problem
        match entry.told:
            case None:
                pass
            case FunctionCall() as call:
                call_id = str(call.call_id)
                if call_id not in outputs and call_id not in open_calls:
                    problem = "the call was never answered"
                elif calls[call_id] != index:
                    problem = "an earlier call has the same call_id"
                else:
                    items.setdefault(index, call)  # unless its output came before it
            case FunctionCallOutput(call_id=call_id) as output:
                if call_id not in calls:
                    problem = "there is no call that it answers"
                elif outputs[call_id] != index:
                    problem = "the call was answered before"
                else:
                    answered = entries[calls[call_id]].told
                    assert isinstance(answered, FunctionCall)
                    items.setdefault(calls[call_id], answered)
                    items[index] = output
            case said:
                message, differences = _message(entry.item_id, said, encoding)
                if message is not None:
                    items[index] = message
                lacks[index] = differences
        if problem:
            lacks[index] = [("item", problem)]
    return items, lacks


def _first_within(
    limit: HistoryLimit,
    items: Sequence[_Restorable],
    encoding: Encoding,
    rounds: Mapping[str, str],
) -> int:
    """The position of the first item that the limit allows."""
    room = len(items) if limit.items is None else limit.items
    if limit.summarize is not None and len(items) > room:
        room -= 1  # for the summary
    first = max(0, len(items) - max(0, room))
    if limit.tokens is not None:
        tokens = 0
        for position in range(len(items) - 1, first - 1, -1):
            tokens += tokens_of(items[position], encoding)
            if tokens > limit.tokens:
                first = position + 1
                break
    return boundary_at(items, first, rounds)


def boundary_at(
    items: Sequence[object], position: int, rounds: Mapping[str, str] = _NO_ROUNDS
) -> int:
    """The first position from `position` on at which no round of tools is parted.

    If there is none, because a call is still open, the last one before.

    Args:
        items: Items, in order.
        position: Where to part them: before the item of this position, from 0.
        rounds: Ids of calls, and the round that each is part of; others are by themselves.
    """
    parts: list[str | None] = []
    unanswered: dict[str, str] = {}
    for item in items:
        match item:
            case FunctionCall(call_id=str(call_id)):
                parts.append(rounds.get(call_id, call_id))
                unanswered[call_id] = rounds.get(call_id, call_id)
            case FunctionCallOutput(call_id=call_id):
                parts.append(rounds.get(call_id, call_id))
                unanswered.pop(call_id, None)
            case _:
                parts.append(None)
    found = [*boundaries(parts, {*unanswered.values()})]
    return next((each for each in found if each >= position), found[-1])


# --- how an item is told --------------------------------------------------------------------------


def _message(
    item_id: str | None, said: Said, encoding: Encoding | None
) -> tuple[_Restorable | None, list[_Lack]]:
    """A message as it can be made by a client, and what it lacks; None if nothing can be told."""
    lacks: list[_Lack] = [("part", "a part of it has no words")] if said.is_partial else []
    speech = [piece for piece in said.pieces if isinstance(piece, Spoken)]
    if said.is_cut_short and all(spoken.heard_ms is None for spoken in speech):
        lacks.append(("words", "it was cut short, and is told as far as it had come"))
    texts: list[str] = []
    content: list[InputText | InputAudio | InputImage] = []
    for piece in said.pieces:
        match piece:
            case Spoken():
                if said.role == "user" and (audio := _usable_audio(piece, encoding)) is not None:
                    content.append(InputAudio(audio, piece.words))
                    continue
                lacks += _lacks_of_speech(piece, said.role)
                words = piece.words or ""
            case InputImage():
                content.append(piece)
                if said.role != "user":
                    lacks.append(("part", "a part of it is an image, which only users show"))
                continue
            case words:
                pass
        texts += _portions(words)
        content += map(InputText, _portions(words))
    match said.role:
        case "user" if content:
            return UserMessage(id=item_id, content=content), lacks
        case "assistant" if texts:
            return AssistantMessage(id=item_id, content=tuple(map(OutputText, texts))), lacks
        case "system" if texts:
            return SystemMessage(id=item_id, content=tuple(map(InputText, texts))), lacks
    return None, [("item", _why_nothing(said, speech))]


def _why_nothing(said: Said, speech: Sequence[Spoken]) -> str:
    """Why nothing of a message can be told."""
    if any(spoken.heard_ms is not None for spoken in speech):
        return "nothing of it was heard, or too little for a word"
    if any(spoken.words is not None for spoken in speech) or len(said.pieces) > len(speech):
        return "nobody says it"
    if speech:
        return "it has audio that cannot be sent again, and no words"
    return "it has no words"


def _usable_audio(spoken: Spoken, encoding: Encoding | None) -> AudioData | None:
    """The audio of a part, if it can be sent again as it is."""
    audio = spoken.audio
    if audio is None or encoding is None or spoken.encoding != encoding:
        return None
    try:
        return audio if 0 < len(audio.data) <= _MAX_AUDIO else None
    except RemoteProtocolError:  # what somebody stored, and is not base64
        return None


def _lacks_of_speech(spoken: Spoken, role: str | None) -> list[_Lack]:
    if spoken.words is None and spoken.heard_ms is None:
        return [("part", "a part of it has audio that cannot be sent again, and no words")]
    who = "the model's speech" if role == "assistant" else "what was said"
    lacks: list[_Lack] = [("audio", f"{who} is told as its transcript")]
    if spoken.heard_ms is not None:
        told = f"only what was heard of it is told, {spoken.heard_ms} ms"
        guess = "; which words these were is estimated" if spoken.is_estimate else ""
        lacks.append(("words", told + guess))
    return lacks


def _portions(text: str) -> Iterator[str]:
    """A text in portions that the service takes; none of an empty one."""
    return (text[start : start + _MAX_TEXT] for start in range(0, len(text), _MAX_TEXT))


# --- by which ids ---------------------------------------------------------------------------------


def _with_usable_ids(
    items: Sequence[tuple[int, _Restorable]],
    lacks: dict[int, list[_Lack]],
    new_id: Callable[[str], str],
    most: float,
) -> list[_Restorable]:
    """The items with ids that the service takes, of so many characters at most.

    What differs is added to `lacks`.
    """
    told: list[_Restorable] = []
    used: set[str | None] = {"root"}
    calls: dict[str, str] = {}
    for index, item in items:
        usable = item
        if isinstance(item, FunctionCall | FunctionCallOutput):
            # A call and its output name it alike, whatever it is called now.
            call_id = str(item.call_id)
            if most == MAX_ID and not _CALL_ID.fullmatch(call_id):
                if call_id not in calls:
                    calls[call_id] = new_id("call_")
                usable = evolve(item, call_id=calls[call_id])
                why = "its call_id is not one of up to 32 letters, digits, _ and -"
                lacks.setdefault(index, []).append(("id", why))
        if item.id is None:
            usable = evolve(usable, id=new_id("item_"))
        elif len(item.id) > most or item.id in used:
            usable = evolve(usable, id=new_id("item_"))
            is_long = len(item.id) > most
            why = f"has more than {MAX_ID} characters" if is_long else "is that of another item"
            lacks.setdefault(index, []).append(("id", f"its id {why}"))
        used.add(usable.id)
        told.append(usable)
    return told
