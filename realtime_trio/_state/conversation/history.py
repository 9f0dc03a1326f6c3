"""Conversations that outlive their session: written as JSON-ready objects, and replayed.

Owns what of a conversation can be told again.  The service takes words but not its own speech; so
speech is replayed as its transcript, and what has no words, or makes no sense without its other
half, is left out and said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from attrs import asdict, evolve

from realtime_trio._frozen import frozen
from realtime_trio._misuse import kind_of
from realtime_trio._state.conversation.item import ConversationItem, Part
from realtime_trio.events import (
    AssistantMessage,
    ConversationItemCreate,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    JsonObject,
    OutputAudio,
    OutputText,
    SystemMessage,
    UnknownObject,
    UserMessage,
)

_MAX_ID: Final = 32
_WRITTEN: Final = ("input_text", "output_text", "text")
_SPOKEN: Final = ("input_audio", "output_audio", "audio")

_Replayable = SystemMessage | UserMessage | AssistantMessage | FunctionCall | FunctionCallOutput


@frozen(kw_only=True)
class Omission:
    """An entry of a history, or a part of one, that cannot be replayed."""

    index: int
    """Position of the entry in the history, from 0."""
    item_id: str | None
    """Its id, None if it has none."""
    reason: str
    """Why, for people."""


@frozen(kw_only=True)
class Replay:
    """The events that recreate a conversation."""

    events: tuple[ConversationItemCreate, ...]
    """To be sent in this order.  Items keep their ids; a call comes before its output."""
    omitted: tuple[Omission, ...]
    """What of the history is not in `events`, in the history's order."""


@frozen
class _Entry:
    """One entry of a history, read."""

    item_id: str | None
    item: _Replayable | None
    problem: str | None = None
    """Why it is not there, or not all of it."""


def export_items(items: Iterable[ConversationItem]) -> list[JsonObject]:
    """Write items as JSON-ready objects, as the protocol does: texts and transcripts, no audio."""
    return [_exported(item) for item in items]


def history_events(history: Iterable[object]) -> Replay:
    """Turn a history into the events that seed a new conversation with it.

    What a person or the model said is replayed as text.  Left out are parts without words, calls
    that were never answered, outputs without a call, and what only the service can make.

    Args:
        history: What `Conversation.export` returned, or what was read back from where that was
            stored.  What is malformed is left out like the rest.

    Raises:
        TypeError: It is not a list of entries at all.
    """
    # A text and a single entry can be iterated, too: into letters and into keys.
    if isinstance(history, str | bytes | Mapping) or not isinstance(history, Iterable):
        raise TypeError(f"history must be a list of entries, not {kind_of(history)}")
    entries = [_read(entry) for entry in history]
    calls: dict[str, FunctionCall] = {}
    outputs: dict[str, FunctionCallOutput] = {}
    # Calls and outputs are looked up before anything is replayed: an output may stand before its
    # call, and each is replayed only together with its other half.
    for entry in entries:
        match entry.item:
            case FunctionCall(call_id=str(call_id)) as call:
                calls.setdefault(call_id, call)
            case FunctionCallOutput(call_id=call_id) as output:
                outputs.setdefault(call_id, output)
            case _:
                pass
    items: list[_Replayable] = []
    omitted: list[Omission] = []
    replayed: set[str] = set()
    for index, entry in enumerate(entries):
        problem = entry.problem
        match entry.item:
            case FunctionCall() as call:
                if call.call_id is None or call.call_id not in outputs:
                    problem = "the call was never answered"
                elif calls[call.call_id] is not call:
                    problem = "an earlier call has the same call_id"
                elif call.call_id not in replayed:  # unless its output came before it
                    replayed.add(call.call_id)
                    items.append(call)
            case FunctionCallOutput(call_id=call_id) as output:
                if call_id not in calls:
                    problem = "there is no call that it answers"
                elif outputs[call_id] is not output:
                    problem = "the call was answered before"
                else:
                    if call_id not in replayed:
                        replayed.add(call_id)
                        items.append(calls[call_id])
                    items.append(output)
            case None:
                pass
            case message:
                items.append(message)
        if problem is not None:
            omitted.append(Omission(index=index, item_id=entry.item_id, reason=problem))
    return Replay(
        events=tuple(ConversationItemCreate(item=item) for item in _with_fresh_ids(items)),
        omitted=tuple(omitted),
    )


def _with_fresh_ids(items: Iterable[_Replayable]) -> Iterator[_Replayable]:
    """Leave the id to the server where the history's own would be refused or is used already."""
    used = set()
    for item in items:
        if item.id is not None and (len(item.id) > _MAX_ID or item.id in used):
            item = evolve(item, id=None)
        used.add(item.id)
        yield item


# --- reading --------------------------------------------------------------------------------------


def _read(entry: object) -> _Entry:
    if not isinstance(entry, Mapping):
        return _Entry(None, None, "it is not an item")
    item_id = _text(entry, "id") or None
    call_id, name, output = _text(entry, "call_id"), _text(entry, "name"), _text(entry, "output")
    match entry.get("type"):
        case "message":
            return _read_message(entry, item_id)
        case "function_call" if call_id and name:
            return _Entry(
                item_id,
                FunctionCall(
                    id=item_id,
                    call_id=call_id,
                    name=name,
                    arguments=_text(entry, "arguments") or "",
                ),
            )
        case "function_call_output" if call_id:
            return _Entry(
                item_id, FunctionCallOutput(id=item_id, call_id=call_id, output=output or "")
            )
        case "function_call" | "function_call_output":
            return _Entry(item_id, None, "it has no call_id or no name")
        case _:
            return _Entry(item_id, None, "only the service makes items of this type")


def _read_message(entry: Mapping[object, object], item_id: str | None) -> _Entry:
    content = entry.get("content")
    pieces = [_read_part(part) for part in content] if isinstance(content, list | tuple) else []
    found = [piece for piece in pieces if piece is not None]
    words = [piece for piece in found if isinstance(piece, str)]
    if not found:
        return _Entry(item_id, None, "it has no words")
    problem = "a part of it has no words" if len(found) < len(pieces) else None
    match entry.get("role"):
        case "user":
            seen = [InputText(piece) if isinstance(piece, str) else piece for piece in found]
            return _Entry(item_id, UserMessage(id=item_id, content=seen), problem)
        case "assistant" if words:
            return _Entry(
                item_id,
                AssistantMessage(id=item_id, content=[OutputText(piece) for piece in words]),
                problem,
            )
        case "system" if words:
            return _Entry(
                item_id,
                SystemMessage(id=item_id, content=[InputText(piece) for piece in words]),
                problem,
            )
        case _:
            return _Entry(item_id, None, "nobody says it")


def _read_part(part: object) -> str | InputImage | None:
    """What a part says or shows."""
    if not isinstance(part, Mapping):
        return None
    kind = part.get("type")
    if kind == "input_image" and (url := _text(part, "image_url")):
        return InputImage(url, _text(part, "detail"))
    words = (
        _text(part, "text")
        if kind in _WRITTEN
        else _text(part, "transcript")
        if kind in _SPOKEN
        else None
    )
    return words if words and not words.isspace() else None


def _text(entry: Mapping[object, object], key: str) -> str | None:
    value = entry.get(key)
    return value if isinstance(value, str) else None


# --- writing --------------------------------------------------------------------------------------


def _exported(item: ConversationItem) -> JsonObject:
    match item.snapshot:
        case UnknownObject() as unknown:
            return unknown.raw
        case SystemMessage() | UserMessage() | AssistantMessage() as message:
            content = [_exported_part(part) for part in item.parts]
            return {
                "id": item.id,
                "type": message.type,
                "status": item.status,
                "role": message.role,
                "content": content,
            }
        case other:
            return {"type": other.type, **asdict(other, filter=lambda _, value: value is not None)}


def _exported_part(part: Part) -> JsonObject:
    match part:
        case InputText() | OutputText():
            return {"type": part.type, "text": part.text}
        case InputAudio() | OutputAudio():
            return {"type": part.type, "transcript": part.transcript}
        case InputImage():
            return {"type": part.type, "image_url": part.image_url, "detail": part.detail}
        case unknown:
            return unknown.raw
