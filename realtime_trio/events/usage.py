"""Tokens, seconds and rate limits: what a session costs and what it may still cost."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from realtime_trio._frozen import frozen
from realtime_trio.events._base import ClientEvent, ServerEvent, UnknownObject


@frozen(kw_only=True)
class CachedTokenDetails:
    """Cached input tokens by modality."""

    text_tokens: int = 0
    """Cached text tokens."""
    image_tokens: int = 0
    """Cached image tokens."""
    audio_tokens: int = 0
    """Cached audio tokens."""


@frozen(kw_only=True)
class InputTokenDetails:
    """Input tokens of a response by modality.

    The whole conversation is input to every response, and is paid for again each time.
    """

    cached_tokens: int = 0
    """How many of the input tokens came from the prompt cache, in all modalities; part of the
    input, not an addition to it."""
    text_tokens: int = 0
    """Text tokens, cached ones included."""
    image_tokens: int = 0
    """Image tokens, cached ones included."""
    audio_tokens: int = 0
    """Audio tokens, cached ones included: about one per 100 ms of user audio."""
    cached_tokens_details: CachedTokenDetails | None = None
    """The cached tokens by modality."""


@frozen(kw_only=True)
class OutputTokenDetails:
    """Output tokens of a response by modality."""

    text_tokens: int = 0
    """Text tokens, the transcript of spoken output included."""
    audio_tokens: int = 0
    """Audio tokens: about one per 50 ms of speech."""


# Numbers default to 0 here, and nothing is required: servers that speak this protocol leave out
# what they do not count, and a response is worth reading without its bill.
@frozen(kw_only=True)
class ResponseUsage:
    """What one response is billed for."""

    total_tokens: int = 0
    """Input plus output tokens."""
    input_tokens: int = 0
    """Tokens read, cached ones included."""
    output_tokens: int = 0
    """Tokens generated."""
    input_token_details: InputTokenDetails | None = None
    """The input by modality."""
    output_token_details: OutputTokenDetails | None = None
    """The output by modality."""


@frozen(kw_only=True)
class TranscriptionTokenDetails:
    """Input tokens of a transcription by modality."""

    text_tokens: int = 0
    """Text tokens (the transcription prompt)."""
    audio_tokens: int = 0
    """Audio tokens."""


@frozen(kw_only=True)
class TokenTranscriptionUsage:
    """A transcription that is billed by tokens, on the transcription model's own price list."""

    type: ClassVar[Literal["tokens"]] = "tokens"
    """Tells it from a usage by duration."""

    input_tokens: int
    """Tokens read."""
    output_tokens: int
    """Tokens written."""
    total_tokens: int
    """Their sum."""
    input_token_details: TranscriptionTokenDetails | None = None
    """The input by modality."""


@frozen(kw_only=True)
class DurationTranscriptionUsage:
    """A transcription that is billed by the length of its audio."""

    type: ClassVar[Literal["duration"]] = "duration"
    """Tells it from a usage by tokens."""

    seconds: float
    """Seconds of audio."""


TranscriptionUsage = TokenTranscriptionUsage | DurationTranscriptionUsage | UnknownObject
"""How an input transcription is billed."""


@frozen(kw_only=True)
class RateLimit:
    """One of the account's limits."""

    name: Literal["requests", "tokens"] | str | None = None
    """What is limited."""
    limit: int | None = None
    """The most that is allowed per window."""
    remaining: int | None = None
    """What is left in this window."""
    reset_seconds: float | None = None
    """Seconds until the window starts anew."""


@frozen(kw_only=True)
class RateLimitsUpdated(ServerEvent):
    """The account's limits, after a response has reserved or used its share.

    Comes near the start or the end of a response, or never.
    """

    # The specification puts it at the start of a response, where output tokens are reserved; the
    # service was seen to send it some 40 ms after `response.done`, and some servers leave it out.
    type: ClassVar[Literal["rate_limits.updated"]] = "rate_limits.updated"
    """Wire name."""

    rate_limits: tuple[RateLimit, ...]
    """Every limit the server chose to report, usually only tokens."""


CLIENT: Final[tuple[type[ClientEvent], ...]] = ()
"""What a client sends."""

SERVER: Final[tuple[type[ServerEvent], ...]] = (RateLimitsUpdated,)
"""What a server sends."""
