"""How much room an item takes in a model's context, and how much may be told again.

Owns an estimate: the services count tokens in their own ways, and tell only the sums.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from types import NoneType
from typing import Final, TypeAlias

from realtime_trio._frozen import frozen
from realtime_trio._misuse import check_kind, check_number, kind_of
from realtime_trio._state.conversation.audio import Encoding
from realtime_trio.events import (
    AssistantMessage,
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

Summarize: TypeAlias = Callable[[Sequence[Item]], Awaitable[str]]
"""Puts the oldest part of a conversation into a few words."""

_BYTES_PER_TOKEN: Final = 4
"""UTF-8 bytes of text in a token: the usual rule for English, and near enough for scripts whose
characters are three bytes and about one token each."""
_AUDIO_MS_PER_TOKEN: Final = 100
"""Of the user's speech, by the service's documentation of costs."""
_IMAGE_TOKENS: Final = 1000
"""The documentation says nothing about images in this protocol; elsewhere a large one takes about
as many."""
_ITEM_TOKENS: Final = 4
"""What an item takes besides its content: who speaks, and where it ends."""


@frozen(kw_only=True)
class HistoryLimit:
    """How much of a conversation is told again; the oldest part is what goes.

    Calls of tools stay with their outputs, so that a little less may be told than allowed.
    """

    items: int | None = None
    """The most items, a summary included; None for any number."""
    tokens: int | None = None
    """The most tokens, as estimated: four bytes of text, or 100 ms of the user's audio, are one.
    A summary comes on top.  None for any number."""
    summarize: Summarize | None = None
    """An async function that gets the items that are too many, the oldest first, and returns a
    text, which takes their place as a system message; `""` for none.  None leaves them out."""

    def __attrs_post_init__(self) -> None:
        for name, value in (("items", self.items), ("tokens", self.tokens)):
            allowed = "0 or more, or None"
            check_kind(name, value, int, NoneType, allowed=allowed)
            if value is not None:
                check_number(name, value, lambda most: most >= 0, allowed=allowed)
        if self.summarize is not None and not callable(self.summarize):
            raise TypeError(
                "summarize must be an async function from items to a text, "
                f"not {kind_of(self.summarize)}"
            )


NO_LIMIT: Final = HistoryLimit()
"""Everything is told again."""


def tokens_of(item: Item, encoding: Encoding) -> int:
    """About how many tokens an item takes.

    Args:
        item: What is told.
        encoding: That of the audio in it.
    """
    texts: list[str] = []
    tokens = _ITEM_TOKENS
    match item:
        case (
            SystemMessage(content=content)
            | UserMessage(content=content)
            | AssistantMessage(content=content)
        ):
            for part in content:
                match part:
                    case InputText(text=text) | OutputText(text=text):
                        texts.append(text)
                    case InputImage():
                        tokens += _IMAGE_TOKENS
                    case InputAudio(audio=audio) if audio is not None:
                        ms = audio.nbytes * 1000 // encoding.bytes_per_s
                        tokens += -(-ms // _AUDIO_MS_PER_TOKEN)
        case FunctionCall(name=name, arguments=arguments):
            texts += [name, arguments]
        case FunctionCallOutput(output=output):
            texts.append(output)
        case _:
            pass
    return tokens + sum(
        -(-len(text.encode(errors="replace")) // _BYTES_PER_TOKEN) for text in texts
    )
