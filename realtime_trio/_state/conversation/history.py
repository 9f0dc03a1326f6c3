"""Conversations that outlive their session: written as JSON-ready objects, and read back.

Owns how an item is written down, and what of it can be read.  What can be told again, and how, is
in `_state.conversation.restoring`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from attrs import asdict

from realtime_trio._frozen import frozen
from realtime_trio._misuse import kind_of
from realtime_trio._state.conversation.audio import Encoding, audio_of
from realtime_trio._state.conversation.item import ConversationItem, GrowingPart
from realtime_trio.audio.data import AudioData
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
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

_WRITTEN: Final = ("input_text", "output_text", "text")
_SPOKEN: Final = ("input_audio", "output_audio", "audio")


@frozen(kw_only=True)
class Spoken:
    """A part of a message that was said."""

    words: str | None
    """What is known of its words: of the model's speech, what was heard."""
    audio: AudioData | None = None
    """Its audio, whole; None if that was not kept."""
    encoding: Encoding | None = None
    """How the audio is encoded."""
    heard_ms: int | None = None
    """Milliseconds that were heard, if it was truncated."""
    is_estimate: bool = False
    """Whether it is estimated which words these were."""


Piece: TypeAlias = str | Spoken | InputImage
"""A part of a message: what is written, said or shown."""


@frozen(kw_only=True)
class Said:
    """A message."""

    role: str | None
    """Who says it."""
    pieces: tuple[Piece, ...]
    """Its parts, without those that cannot be read."""
    is_partial: bool = False
    """Whether there were parts that cannot be read."""
    is_cut_short: bool = False
    """Whether it was not said to its end."""


@frozen(kw_only=True)
class Entry:
    """One entry of a history, read."""

    item_id: str | None
    """Its id, None if it has none."""
    told: Said | FunctionCall | FunctionCallOutput | None = None
    """What it says; None if that cannot be told again."""
    problem: str = ""
    """Why not."""
    response_id: str | None = None
    """Of a call: the response that made it, together with others; None if that is not known."""


# --- writing --------------------------------------------------------------------------------------


def export_items(items: Iterable[ConversationItem], *, audio: bool = False) -> list[JsonObject]:
    """Write items as JSON-ready objects, as the protocol does: texts and transcripts.

    Some members are not the protocol's.  A part that was truncated has `heard_ms`, and as its
    transcript what was heard; `is_estimate` says that the words were counted off by time.  With
    `audio`, what the user said has its `format` beside it.  And a call has its `response_id`, by
    which those are known that were made together.

    Args:
        items: The items.
        audio: Whether to write the user's audio, too, where all of it was kept.
    """
    return [
        {key: json_ready(value) for key, value in exported(item, audio=audio).items()}
        for item in items
    ]


def entries_of(items: Iterable[ConversationItem]) -> tuple[Entry, ...]:
    """Read items of a living conversation: like those that were exported with their audio."""
    return tuple(_read(exported(item, audio=True)) for item in items)


def json_ready(value: object) -> object:
    """The same with audio as base64."""
    match value:
        case AudioData():
            return value.base64
        case Mapping():
            return {key: json_ready(member) for key, member in value.items()}
        case list() | tuple():
            return [json_ready(member) for member in value]
        case _:
            return value


def exported(item: ConversationItem, *, audio: bool) -> JsonObject:
    """Write one item, with audio as it is: base64 takes its time, and is made where there is some.

    Args:
        item: The item.
        audio: Whether to write the user's audio, too, where all of it was kept.
    """
    match item.snapshot:
        case UnknownObject() as unknown:
            return unknown.raw
        case SystemMessage() | UserMessage() | AssistantMessage() as message:
            content = [_exported_part(part, audio=audio) for part in item._ordered]
            return {
                "id": item.id,
                "type": message.type,
                "status": item.status,
                "role": message.role,
                "content": content,
            }
        case other:
            members = asdict(other, filter=lambda _, value: value is not None)
            if isinstance(other, FunctionCall) and item.response_id is not None:
                members["response_id"] = item.response_id
            return {"type": other.type, **members}


def _exported_part(growing: GrowingPart, *, audio: bool) -> JsonObject:
    match growing.value:
        case InputText() | OutputText() as part:
            return {"type": part.type, "text": part.text}
        case InputAudio() as part:
            found = audio_of(growing.track) if audio and growing.track is not None else None
            if found is None or growing.track is None:
                return {"type": part.type, "transcript": part.transcript}
            encoding = {"type": growing.track.encoding, "rate": growing.track.rate}
            return {
                "type": part.type,
                "transcript": part.transcript,
                "audio": found,
                "format": encoding,
            }
        case OutputAudio() as part if growing.is_cut:
            return {
                "type": part.type,
                "transcript": growing.heard,
                "heard_ms": 0 if growing.track is None else growing.track.ms,
                "is_estimate": not part.transcript,
            }
        case OutputAudio() as part:
            return {"type": part.type, "transcript": part.transcript}
        case InputImage() as part:
            return {"type": part.type, "image_url": part.image_url, "detail": part.detail}
        case unknown:
            return unknown.raw


# --- reading --------------------------------------------------------------------------------------


def read_history(history: Iterable[object]) -> tuple[Entry, ...]:
    """Read a history.

    Args:
        history: What `Conversation.export` returned, or what was read back from where that was
            stored.  What is malformed is read as an entry that cannot be told again.

    Raises:
        TypeError: It is not a list of entries at all.
    """
    # A text and a single entry can be iterated, too: into letters and into keys.
    if isinstance(history, str | bytes | Mapping) or not isinstance(history, Iterable):
        raise TypeError(f"history must be a list of entries, not {kind_of(history)}")
    return tuple(_read(entry) for entry in history)


def _read(entry: object) -> Entry:
    if not isinstance(entry, Mapping):
        return Entry(item_id=None, problem="it is not an item")
    item_id = _text(entry, "id") or None
    call_id, name, output = _text(entry, "call_id"), _text(entry, "name"), _text(entry, "output")
    match entry.get("type"):
        case "message":
            return _read_message(entry, item_id)
        case "function_call" if call_id and name:
            call = FunctionCall(
                id=item_id, call_id=call_id, name=name, arguments=_text(entry, "arguments") or ""
            )
            return Entry(item_id=item_id, told=call, response_id=_text(entry, "response_id"))
        case "function_call_output" if call_id:
            answer = FunctionCallOutput(id=item_id, call_id=call_id, output=output or "")
            return Entry(item_id=item_id, told=answer)
        case "function_call" | "function_call_output":
            return Entry(item_id=item_id, problem="it has no call_id or no name")
        case _:
            return Entry(item_id=item_id, problem="only the service makes items of this type")


def _read_message(entry: Mapping[object, object], item_id: str | None) -> Entry:
    content = entry.get("content")
    parts = content if isinstance(content, list | tuple) else ()
    pieces = [piece for part in parts if (piece := _read_part(part)) is not None]
    return Entry(
        item_id=item_id,
        told=Said(
            role=_text(entry, "role"),
            pieces=tuple(pieces),
            is_partial=len(pieces) < len(parts),
            is_cut_short=entry.get("status") in ("in_progress", "incomplete"),
        ),
    )


def _read_part(part: object) -> Piece | None:
    """What a part says or shows."""
    if not isinstance(part, Mapping):
        return None
    match part.get("type"):
        case "input_image" if url := _text(part, "image_url"):
            return InputImage(url, _text(part, "detail"))
        case kind if kind in _WRITTEN:
            return _words(part, "text")
        case kind if kind in _SPOKEN:
            return _read_spoken(part)
        case _:
            return None


def _read_spoken(part: Mapping[object, object]) -> Spoken | None:
    words, audio, heard_ms = _words(part, "transcript"), part.get("audio"), part.get("heard_ms")
    if isinstance(audio, str) and audio:
        audio = AudioData.from_base64(audio)
    if not isinstance(audio, AudioData):
        audio = None
    is_cut = isinstance(heard_ms, int) and heard_ms >= 0
    if words is None and audio is None and not is_cut:
        return None
    return Spoken(
        words=words,
        audio=audio,
        encoding=_read_encoding(part.get("format")),
        heard_ms=heard_ms if isinstance(heard_ms, int) and is_cut else None,
        is_estimate=part.get("is_estimate") is True,
    )


def _read_encoding(stated: object) -> Encoding | None:
    match stated:
        case {"type": str(name), "rate": int(rate)}:
            return Encoding.of(AudioFormat(type=name, rate=rate))
        case _:
            return None


def _words(part: Mapping[object, object], key: str) -> str | None:
    words = _text(part, key)
    return words if words and not words.isspace() else None


def _text(entry: Mapping[object, object], key: str) -> str | None:
    value = entry.get(key)
    return value if isinstance(value, str) else None
