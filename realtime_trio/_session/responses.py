"""A response as one thing: while it streams (`LiveResponse`) and when it is done (`Answer`).

Owns the view of one response among all the events of a session.  Refuses to know when a response
may be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Self

import trio
from attrs import field

from realtime_trio import _elsewhere
from realtime_trio._frozen import frozen
from realtime_trio._runtime.hub import EventStream
from realtime_trio._state.utility_events import (
    ArgumentsDelta,
    AudioDelta,
    Delta,
    DeltaDropped,
    TextDelta,
    TranscriptDelta,
)
from realtime_trio.audio.track import MANY, SMALL
from realtime_trio.errors import LocalProtocolError, SessionClosed, SlowConsumer
from realtime_trio.events import (
    AssistantMessage,
    ErrorEvent,
    Event,
    FunctionCall,
    Item,
    OutputAudio,
    OutputText,
    Response,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputTextDelta,
    ResponseUsage,
    UnknownEvent,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = _elsewhere.module("numpy")

_DeltaEvent = (
    ResponseOutputTextDelta
    | ResponseOutputAudioTranscriptDelta
    | ResponseOutputAudioDelta
    | ResponseFunctionCallArgumentsDelta
)
FOLLOWED: Final = (
    ResponseOutputTextDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioDelta,
    ResponseFunctionCallArgumentsDelta,
    DeltaDropped,
    ResponseDone,
    ErrorEvent,
    UnknownEvent,
)
"""What a `LiveResponse` looks at: what it says, and every event with which a response can end."""


@frozen(kw_only=True)
class Answer:
    """A response that has ended, however it ended: look at `status`."""

    response: Response
    """The response as the server reported it."""
    audio: NDArray[np.int16] = field(repr=False, eq=False)
    """What was spoken: shape (n,), int16, at the session's output rate (24 kHz for PCM); empty for
    a written answer.  From `Session.ask` it is what the conversation has kept: with a `retention`
    of seconds only the end of a longer answer, and nothing with `"none"`; see `is_audio_whole`."""
    is_audio_whole: bool = True
    """Whether `audio` is all that was spoken."""

    @property
    def status(self) -> str | None:
        """`completed`, `cancelled`, `incomplete` or `failed`; see `response.status_details`."""
        return self.response.status

    @property
    def usage(self) -> ResponseUsage | None:
        """The tokens that it took; None if the server did not say."""
        return self.response.usage

    @property
    def items(self) -> tuple[Item, ...]:
        """Its items, in order."""
        return self.response.output

    @property
    def text(self) -> str:
        """Its words, written or spoken, in order."""
        return "".join(
            (part.text if isinstance(part, OutputText) else part.transcript) or ""
            for part in self._parts
        )

    @property
    def transcript(self) -> str:
        """The words that were spoken."""
        return "".join(
            part.transcript or "" for part in self._parts if isinstance(part, OutputAudio)
        )

    @property
    def calls(self) -> tuple[FunctionCall, ...]:
        """The functions it calls."""
        return tuple(item for item in self.response.output if isinstance(item, FunctionCall))

    @property
    def _parts(self) -> Iterable[OutputText | OutputAudio]:
        messages = (item for item in self.response.output if isinstance(item, AssistantMessage))
        return (
            part
            for message in messages
            for part in message.content
            if isinstance(part, OutputText | OutputAudio)
        )


class LiveResponse:
    """One response from its request to its end.  Made by `Session.open_response`.

    Iterate it for what it says, as it says it: `TextDelta`, `TranscriptDelta`, `AudioDelta` and
    `ArgumentsDelta`; the iteration ends with the response.  `await response.wait()` skips to the
    end.  One task at a time.

    In a session that reconnects, a response that was cut by the loss of its connection is asked for
    again: the iteration goes on with the new one, from its beginning, and `id` changes.
    """

    def __init__(self, stream: EventStream[Event], encoding: Callable[[], str]) -> None:
        self._stream = stream
        self._encoding = encoding
        self._audio: list[NDArray[np.int16]] = []
        self._sample_count = 0
        self._id: str | None = None
        self._response: Response | None = None
        self._error: Exception | None = None
        self._left: int | None = None
        """Events to read up to its end, once that has come: the reader may be far behind."""

    @property
    def id(self) -> str | None:
        """Its id, `resp_...`; None until it has begun."""
        return self._id

    @property
    def is_done(self) -> bool:
        """Whether it has ended, or will never begin."""
        return self._response is not None or self._error is not None

    async def wait(self) -> Answer:
        """Wait for the end, and return all of it.

        What arrives after it was cancelled is not part of it, as it is not in the conversation.

        Cancel-safe.

        Raises:
            ServerError: The server refused it.
            LocalProtocolError: The block was left before its end, so nobody knows how it went on.
            SessionClosed: The session ended first.
            SlowConsumer: Events were missed, so there is a gap in the audio.  Call again for what
                there is.
        """
        async for _ in self:
            pass
        if self._response is None:
            raise SessionClosed("the session ended before the response did")
        audio = np.concatenate(self._audio) if self._audio else np.empty(0, np.int16)
        return Answer(response=self._response, audio=audio)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delta:
        """Wait for the next piece; cancel-safe.

        Raises:
            ServerError, SessionClosed, SlowConsumer: As for `wait`.
        """
        while self._left is None or self._left > 0:
            piece = self._piece(await self._receive())
            if piece is not None:
                return piece
        await trio.lowlevel.checkpoint()
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def _receive(self) -> Event | None:
        try:
            event = await self._stream.receive()
        except SlowConsumer:
            self._count()
            raise
        except SessionClosed:
            await trio.lowlevel.checkpoint()
            self._left = 0
            return None
        self._count()
        return event

    def _count(self) -> None:
        if self._left is not None:
            self._left -= 1

    def _begin_anew(self) -> None:
        """It went with its connection, and is being asked for again: this one does not count."""
        self._id = None
        self._audio.clear()
        self._sample_count = 0

    def _end(self, outcome: Response | Exception) -> None:
        """It has ended so, and the event that says it is about to be published."""
        if isinstance(outcome, Response):
            self._id, self._response = outcome.id or self._id, outcome
        else:
            self._error = outcome
        # The event that ends it is published right after this, so it is one more than now wait.
        self._left = self._stream.pending + 1

    def _leave(self) -> None:
        """The block is being left, and with it the stream: take what has come."""
        if not self.is_done:
            self._error = LocalProtocolError(
                "the block of this response was left before the response had ended"
            )
        if self._left is None:
            self._left = 0
        while self._left > 0 and self._stream.pending:
            self._count()
            self._piece(self._stream.receive_nowait())
        self._left = 0

    def _piece(self, event: Event | None) -> Delta | None:
        """What an event adds to the response; None if nothing."""
        if not isinstance(event, _DeltaEvent) or event.response_id != self._id:
            return None
        # Published in the same step as the event that it is about: the response was cancelled, or
        # the item was cut, and the conversation does not have this either.
        if isinstance(self._stream.peek(), DeltaDropped):
            return None
        match event:
            case ResponseOutputTextDelta(delta=text):
                return TextDelta(text)
            case ResponseOutputAudioTranscriptDelta(delta=text):
                return TranscriptDelta(text)
            case ResponseFunctionCallArgumentsDelta(delta=text):
                return ArgumentsDelta(text)
            case _:
                delta = AudioDelta(event.delta, self._encoding(), event.content_index)
                self._keep(delta.samples)
                return delta

    def _keep(self, samples: NDArray[np.int16]) -> None:
        self._audio.append(samples)
        self._sample_count += len(samples)
        # As in an `AudioTrack`, and for the same reason: an array of one sample takes 200 bytes.
        count = len(self._audio)
        if count >= MANY and self._sample_count < count * SMALL:
            self._audio = [np.concatenate(self._audio)]
