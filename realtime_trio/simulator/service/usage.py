"""Tokens and milliseconds: what a response is made of and billed for.

The counts are plausible, not exact: text is cut at words and every few letters, audio by its
length, as the service bills it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from attrs import frozen

from realtime_trio.audio import PCM_RATE, AudioLike, alaw_encode, mulaw_encode, resample
from realtime_trio.audio.data import AudioData
from realtime_trio.audio.pcm import G711_RATE
from realtime_trio.events import (
    AudioFormat,
    CachedTokenDetails,
    InputTokenDetails,
    OutputTokenDetails,
    RateLimit,
    ResponseUsage,
)

# As the guide to costs has it.  That the model's speech costs the second rate also when it is read
# again is our assumption.
USER_MS_PER_TOKEN = 100
ASSISTANT_MS_PER_TOKEN = 50
_CACHE_BLOCK = 64
"""The service caches prompts in blocks of this many tokens."""
_TOKENS_PER_MINUTE = 4_000_000
"""The limit of an account; the real ones depend on the customer."""
# Six letters at most, so that words stream in pieces as those of a model do.
_TOKEN = re.compile(r"\s*\w{1,6}|\s*[^\w\s]|\s+")


def tokenize(text: str) -> list[str]:
    """Cut text into the pieces in which it streams; joined they are the text again."""
    return _TOKEN.findall(text)


def bytes_per_ms(audio_format: AudioFormat) -> int:
    """48 for PCM at 24 kHz, 8 for G.711."""
    return 2 * PCM_RATE // 1000 if audio_format.type == "audio/pcm" else G711_RATE // 1000


def duration_ms(size: int, audio_format: AudioFormat) -> float:
    """How long `size` bytes of audio play, in milliseconds."""
    return size / bytes_per_ms(audio_format)


def encode_audio(audio: AudioLike, audio_format: AudioFormat) -> bytes:
    """Bring 24 kHz PCM into a session's output format."""
    pcm = AudioData.of(audio)
    if audio_format.type == "audio/pcm":
        return pcm.data
    narrow = resample(pcm.samples, PCM_RATE, G711_RATE)
    return mulaw_encode(narrow) if audio_format.type == "audio/pcmu" else alaw_encode(narrow)


def audio_tokens(milliseconds: float, ms_per_token: int) -> int:
    """Tokens of a piece of audio; a started token counts."""
    # Nobody documents the rounding.  16 tokens for 1.63 s were seen once, which is one less.
    return math.ceil(milliseconds / ms_per_token)


def text_tokens(texts: Iterable[str | None]) -> int:
    """Tokens of all these texts."""
    return sum(len(tokenize(text)) for text in texts if text)


@frozen(kw_only=True)
class InputTokens:
    """What a response has to read."""

    text: int
    audio: int
    cacheable: int = 0
    """Tokens the response before had to read already."""

    @property
    def total(self) -> int:
        """Tokens of both modalities."""
        return self.text + self.audio


def make_usage(read: InputTokens, *, text: int, audio: int) -> ResponseUsage:
    """The bill of a response that read this and produced so many tokens of text and audio."""
    # Each part is a multiple of the block as well, so a few tokens may be lost between the two.
    cached = min(read.total, read.cacheable) // _CACHE_BLOCK * _CACHE_BLOCK
    cached_text = min(cached, read.text // _CACHE_BLOCK * _CACHE_BLOCK)
    cached_audio = min(cached - cached_text, read.audio // _CACHE_BLOCK * _CACHE_BLOCK)
    return ResponseUsage(
        total_tokens=read.total + text + audio,
        input_tokens=read.total,
        output_tokens=text + audio,
        input_token_details=InputTokenDetails(
            cached_tokens=cached_text + cached_audio,
            text_tokens=read.text,
            audio_tokens=read.audio,
            cached_tokens_details=CachedTokenDetails(
                text_tokens=cached_text, audio_tokens=cached_audio
            ),
        ),
        output_token_details=OutputTokenDetails(text_tokens=text, audio_tokens=audio),
    )


def make_rate_limits(usage: ResponseUsage) -> tuple[RateLimit, ...]:
    """What an account that does nothing else has left after this response."""
    used = usage.total_tokens
    # Tokens alone, without a limit of requests: so it was seen on the live wire.
    return (
        RateLimit(
            name="tokens",
            limit=_TOKENS_PER_MINUTE,
            remaining=max(0, _TOKENS_PER_MINUTE - used),
            reset_seconds=round(60 * used / _TOKENS_PER_MINUTE, 3),
        ),
    )
