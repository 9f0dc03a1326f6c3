"""What a session has taken so far, model by model, and what it may still take.

Owns the sums.  Pure: it is told every server event and keeps the few numbers in them that are
money.  It refuses to know prices, which are in `prices`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypeVar

from realtime_trio._frozen import frozen
from realtime_trio._state.reactions import Reactions
from realtime_trio.events import (
    CachedTokenDetails,
    ConversationItemInputAudioTranscriptionCompleted,
    DurationTranscriptionUsage,
    Event,
    InputTokenDetails,
    OutputTokenDetails,
    RateLimit,
    RateLimitsUpdated,
    RealtimeSession,
    ResponseDone,
    ResponseUsage,
    SessionCreated,
    SessionUpdated,
    TokenTranscriptionUsage,
    TranscriptionTokenDetails,
    TranscriptionUsage,
)

_K = TypeVar("_K")
_V = TypeVar("_V")

_REMEMBERED: Final = 256
"""Responses and transcriptions, of each so many, that can still be looked up and corrected: an hour
of lively talk, a quarter of a megabyte.  Older ones stay in the sums."""


@frozen(kw_only=True)
class Usage:
    """Sums over a session.

    Transcriptions of the user's speech are apart, since another model makes them at another price.
    """

    responses: int = 0
    """Responses that were billed, cancelled ones included."""
    total_tokens: int = 0
    """Input plus output tokens of all responses."""
    input_tokens: int = 0
    """Tokens read, cached ones included.  The whole conversation is read for every response."""
    input_text_tokens: int = 0
    """Text among them."""
    input_audio_tokens: int = 0
    """Audio among them."""
    input_image_tokens: int = 0
    """Images among them."""
    cached_tokens: int = 0
    """Those of the input tokens that came from the prompt cache, at a fraction of the price."""
    cached_text_tokens: int = 0
    """Text among them."""
    cached_audio_tokens: int = 0
    """Audio among them."""
    cached_image_tokens: int = 0
    """Images among them."""
    output_tokens: int = 0
    """Tokens generated."""
    output_text_tokens: int = 0
    """Text among them, transcripts of spoken output included."""
    output_audio_tokens: int = 0
    """Audio among them."""
    transcriptions: int = 0
    """Transcriptions of the user's speech that were billed, by tokens or by duration."""
    transcription_tokens: int = 0
    """Input plus output tokens of transcriptions."""
    transcription_input_tokens: int = 0
    """Tokens they read."""
    transcription_input_text_tokens: int = 0
    """Text among them."""
    transcription_input_audio_tokens: int = 0
    """Audio among them."""
    transcription_output_tokens: int = 0
    """Tokens they wrote."""
    transcription_seconds: float = 0.0
    """Audio of those that are billed by duration, in seconds."""
    untold_tokens: int = 0
    """Tokens of responses and transcriptions of which the server did not say the modality."""
    unreported: int = 0
    """Responses that ended without any word about what they took."""

    @property
    def cached_share(self) -> float:
        """How much of the input came from the cache, from 0 to 1; 0 if there was no input."""
        return self.cached_tokens / self.input_tokens if self.input_tokens > 0 else 0.0

    def __add__(self, other: Usage) -> Usage:
        """Both together, e.g. of two sessions."""
        if not isinstance(other, Usage):
            return NotImplemented
        return _each(operator.add, self, other)

    def __sub__(self, other: Usage) -> Usage:
        """What came on top of `other`, e.g. since it was looked at."""
        if not isinstance(other, Usage):
            return NotImplemented
        return _each(operator.sub, self, other)


_NUMBERS: Final = tuple(Usage.__annotations__)
_numbers_of: Final = operator.attrgetter(*_NUMBERS)


def _each(compute: Callable[[Any, Any], Any], a: Usage, b: Usage) -> Usage:
    """Compute every number of both."""
    numbers = map(compute, _numbers_of(a), _numbers_of(b))
    return Usage(**dict(zip(_NUMBERS, numbers, strict=True)))


_NOTHING: Final = Usage()
_FINISHED: Final = ("completed", "incomplete")


class Costs:
    """The sums of one session.

    Args:
        asked: The model that was asked for; the server may report another name for it.
        is_default: Whether nobody has chosen that one, so that a server may take no notice of it.
    """

    def __init__(self, asked: str | None = None, *, is_default: bool = False) -> None:
        self._asked = asked
        self._is_default = is_default
        self._model = asked
        self._transcriber: str | None = None
        self._by_model: dict[str | None, Usage] = {}
        self._responses: dict[str, tuple[str | None, ResponseUsage]] = {}
        self._transcriptions: dict[
            tuple[str, int | None], tuple[str | None, TranscriptionUsage]
        ] = {}
        self._rate_limits: dict[str | None, RateLimit] = {}

    @property
    def usage(self) -> Usage:
        """The sums so far."""
        return sum(self._by_model.values(), start=_NOTHING)

    @property
    def by_model(self) -> Mapping[str | None, Usage]:
        """The same by the model that took it; None is a model that the server has not named."""
        return MappingProxyType(self._by_model)

    @property
    def model(self) -> str | None:
        """The model that responds, as the server says it, or else as it was asked for."""
        return self._model

    @property
    def transcriber(self) -> str | None:
        """The model that writes down what the user says, None if none does."""
        return self._transcriber

    def alias_of(self, model: str | None) -> str | None:
        """Another name of a model: the one by which it was asked for, None if there is none."""
        if model is None or model != self._model or self._asked is None:
            return None
        # Of a default, a version of a certain day is still the same.
        is_same = not self._is_default or model.startswith(self._asked)
        return self._asked if is_same else None

    def of_response(self, response_id: str) -> ResponseUsage | None:
        """What one response took.

        None if it is not done, was not billed, or was hundreds of responses ago.
        """
        return self._responses.get(response_id, (None, None))[1]

    def model_of(self, response_id: str) -> str | None:
        """The model that gave a response, None if that is not known."""
        return self._responses.get(response_id, (None, None))[0]

    @property
    def rate_limits(self) -> Mapping[str | None, RateLimit]:
        """The latest limits the server reported, by name: `tokens`, `requests`."""
        return MappingProxyType(self._rate_limits)

    def apply(self, event: Event) -> None:
        """Take one event; most are of no interest.

        What is reported more than once counts once, with the latest numbers.
        """
        react = self.reactions[type(event)]
        if react is not None:
            react(self, event)

    def _on_response(self, event: ResponseDone) -> None:
        usage, response_id = event.response.usage, event.response.id
        if usage is None:
            # One that was cancelled before it began to speak need not be billed.
            if event.response.status in _FINISHED and response_id not in self._responses:
                self._add(self._model, Usage(unreported=1))
            return
        # What is reported again is still of the model that it was of.
        model, before = self._responses.get(response_id, (self._model, None))
        # One without an id cannot be recognised when it is reported again.
        _store(self._responses, response_id, (model, usage) if response_id else None)
        used = usage_of(usage)
        self._add(model, used if before is None else used - usage_of(before))

    def _on_transcription(self, event: ConversationItemInputAudioTranscriptionCompleted) -> None:
        key = (event.item_id, event.content_index)
        model, before = self._transcriptions.get(key, (self._transcriber, None))
        _store(self._transcriptions, key, (model, event.usage))
        used = _of_transcription(event.usage)
        self._add(model, used if before is None else used - _of_transcription(before))

    def _on_session(self, event: SessionCreated | SessionUpdated) -> None:
        session = event.session
        if isinstance(session, RealtimeSession):
            self._model = session.model or self._model
        heard = None if session.audio is None else session.audio.input
        if heard is not None:
            self._transcriber = heard.transcription.model if heard.transcription else None

    def _add(self, model: str | None, usage: Usage) -> None:
        if usage != _NOTHING:
            self._by_model[model] = self._by_model.get(model, _NOTHING) + usage

    def _on_rate_limits(self, event: RateLimitsUpdated) -> None:
        self._rate_limits.update((limit.name, limit) for limit in event.rate_limits)

    reactions: ClassVar[Reactions[Costs, None]] = Reactions(
        {
            ConversationItemInputAudioTranscriptionCompleted: _on_transcription,
            RateLimitsUpdated: _on_rate_limits,
            ResponseDone: _on_response,
            SessionCreated: _on_session,
            SessionUpdated: _on_session,
        }
    )
    """What costs something, or says what may be spent."""


def _store(table: dict[_K, _V], key: _K, value: _V | None) -> None:
    """Store a value as the latest, letting go of the oldest if there are many; None is none."""
    table.pop(key, None)
    if value is not None:
        table[key] = value
        if len(table) > _REMEMBERED:
            del table[next(iter(table))]


def usage_of(usage: ResponseUsage) -> Usage:
    """What one response took, as a usage of its own."""
    read = usage.input_token_details or InputTokenDetails()
    cached = _cached(read)
    written = usage.output_token_details or OutputTokenDetails()
    told = read.text_tokens + read.audio_tokens + read.image_tokens
    told_written = written.text_tokens + written.audio_tokens
    untold_cached = read.cached_tokens if cached == CachedTokenDetails() else 0
    return Usage(
        responses=1,
        total_tokens=usage.total_tokens,
        input_tokens=usage.input_tokens,
        input_text_tokens=read.text_tokens,
        input_audio_tokens=read.audio_tokens,
        input_image_tokens=read.image_tokens,
        cached_tokens=read.cached_tokens,
        cached_text_tokens=cached.text_tokens,
        cached_audio_tokens=cached.audio_tokens,
        cached_image_tokens=cached.image_tokens,
        output_tokens=usage.output_tokens,
        output_text_tokens=written.text_tokens,
        output_audio_tokens=written.audio_tokens,
        untold_tokens=max(0, usage.input_tokens - told)
        + max(0, usage.output_tokens - told_written)
        + untold_cached,
    )


def _cached(read: InputTokenDetails) -> CachedTokenDetails:
    """The cached tokens by modality: as the server says, or where there is only one modality."""
    if read.cached_tokens_details is not None:
        return read.cached_tokens_details
    match (read.text_tokens > 0, read.audio_tokens > 0, read.image_tokens > 0):
        case (True, False, False):
            return CachedTokenDetails(text_tokens=read.cached_tokens)
        case (False, True, False):
            return CachedTokenDetails(audio_tokens=read.cached_tokens)
        case (False, False, True):
            return CachedTokenDetails(image_tokens=read.cached_tokens)
    return CachedTokenDetails()


def _of_transcription(usage: TranscriptionUsage) -> Usage:
    match usage:
        case TokenTranscriptionUsage():
            read = usage.input_token_details or TranscriptionTokenDetails()
            return Usage(
                transcriptions=1,
                transcription_tokens=usage.total_tokens,
                transcription_input_tokens=usage.input_tokens,
                transcription_input_text_tokens=read.text_tokens,
                transcription_input_audio_tokens=read.audio_tokens,
                transcription_output_tokens=usage.output_tokens,
                untold_tokens=max(0, usage.input_tokens - read.text_tokens - read.audio_tokens),
            )
        case DurationTranscriptionUsage():
            return Usage(transcriptions=1, transcription_seconds=usage.seconds)
        case _:
            return Usage()
