"""Prices, and what servers say of tokens, for tests about money."""

from __future__ import annotations

from typing import Final

from realtime_trio.events import (
    CachedTokenDetails,
    ConversationItemInputAudioTranscriptionCompleted,
    DurationTranscriptionUsage,
    InputTokenDetails,
    MaxOutputTokens,
    OutputTokenDetails,
    RealtimeSession,
    Response,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseUsage,
    SessionCreated,
)
from realtime_trio.money import ModelPrices

MODEL: Final = "parrot-1"
PRICES: Final = {
    MODEL: ModelPrices(
        text_input=4,
        text_cached="0.4",
        text_output=16,
        audio_input=32,
        audio_cached="0.4",
        audio_output=64,
        image_input=5,
        image_cached="0.5",
    ),
    "scribe-1": ModelPrices(minute="0.006"),
    "scribe-2": ModelPrices(text_input=2.5, audio_input=6, text_output=10),
}
"""No model of these names exists."""


def usage(
    *, text: int = 0, audio: int = 0, cached: int = 0, says: int = 0, speaks: int = 0
) -> ResponseUsage:
    """A bill in which the cached tokens are text."""
    return ResponseUsage(
        total_tokens=text + audio + says + speaks,
        input_tokens=text + audio,
        output_tokens=says + speaks,
        input_token_details=InputTokenDetails(
            text_tokens=text,
            audio_tokens=audio,
            cached_tokens=cached,
            cached_tokens_details=CachedTokenDetails(text_tokens=cached),
        ),
        output_token_details=OutputTokenDetails(text_tokens=says, audio_tokens=speaks),
    )


def created(
    model: str | None = MODEL, max_output_tokens: MaxOutputTokens | None = None
) -> SessionCreated:
    session = RealtimeSession(id="sess_1", model=model, max_output_tokens=max_output_tokens)
    return SessionCreated(event_id="e", session=session)


def create(
    event_id: str | None, *, most: MaxOutputTokens | None = None, aside: bool = False
) -> ResponseCreate:
    config = ResponseConfig(max_output_tokens=most, conversation="none" if aside else None)
    return ResponseCreate(event_id=event_id, response=config)


def began(response_id: str, *, of: str | None = None) -> ResponseCreated:
    return ResponseCreated(event_id="e", response=Response(id=response_id, metadata=_names(of)))


def done(
    response_id: str, took: ResponseUsage | None = None, *, of: str | None = None
) -> ResponseDone:
    response = Response(id=response_id, status="completed", usage=took, metadata=_names(of))
    return ResponseDone(event_id="e", response=response)


def transcribed(item_id: str, seconds: float) -> ConversationItemInputAudioTranscriptionCompleted:
    return ConversationItemInputAudioTranscriptionCompleted(
        event_id="e",
        item_id=item_id,
        content_index=0,
        transcript="hello",
        usage=DurationTranscriptionUsage(seconds=seconds),
    )


def _names(event_id: str | None) -> dict[str, object] | None:
    return None if event_id is None else {"client_event_id": event_id}
