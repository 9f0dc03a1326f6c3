"""The user's audio on its way to the server: what sessions with an input buffer have in common.

Owns appending, committing and clearing, and the conversation and the costs that follow from it.
What else a session is for, whether it answers or only transcribes, is for the kinds of session that
build on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, Generic, SupportsIndex, TypeVar

import trio
from attrs import evolve

from realtime_trio import _elsewhere
from realtime_trio._misuse import check_kind
from realtime_trio._session.base import BaseSession
from realtime_trio._session.parts import SessionParts
from realtime_trio._state.conversation.input_buffer import COMMIT_EMPTY
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.costs import Usage
from realtime_trio.audio import PCM_RATE, AudioData, AudioLike, alaw_encode, mulaw_encode
from realtime_trio.errors import LocalProtocolError, ServerError
from realtime_trio.events import (
    AudioFormat,
    ClientEvent,
    ConversationItemCreate,
    ErrorEvent,
    Event,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    RealtimeSession,
    SessionAudioInput,
    TranscriptionSession,
    UserMessage,
)

if TYPE_CHECKING:
    from realtime_trio import money
    from realtime_trio._state import prices
else:
    money = _elsewhere.module("realtime_trio.money")
    prices = _elsewhere.module("realtime_trio._state.prices")

S = TypeVar("S", bound=RealtimeSession | TranscriptionSession)

MIN_COMMIT_MS: Final = 100
"""The service refuses to commit less."""
MAX_APPEND_BYTES: Final = 2**20
"""Longest piece of audio in one event.  The protocol allows 15 MiB, but masking and encoding that
would hold up everybody else."""
_PCM: Final = AudioFormat.pcm()
_G711: Final = {"audio/pcmu": mulaw_encode, "audio/pcma": alaw_encode}


def check_prices(given: object) -> None:
    """Refuse what is not a price list.

    Raises:
        TypeError: It is not.
    """
    check_kind(
        "prices", given, Mapping, type(None), allowed="a mapping of names to ModelPrices, or None"
    )


def in_format(audio: AudioData, audio_format: AudioFormat) -> AudioData:
    """The audio as a session with this input format takes it.

    Samples are companded for G.711; bytes are in the format already.
    """
    encode = _G711.get(audio_format.type or "") if audio.is_pcm else None
    return audio if encode is None else AudioData(encode(audio.samples))


def split_audio(
    audio: AudioLike, audio_format: AudioFormat, chunk_ms: int | None
) -> Iterator[AudioData]:
    """Encode audio and cut it into pieces for one event each; there is none if there is no audio.

    Args:
        audio: int16 or float32 array of shape (n,), at the rate of the format; or bytes, encoded
            already.
        audio_format: How to encode it.
        chunk_ms: Milliseconds per piece; None makes them as long as is reasonable.

    Raises:
        LocalProtocolError: It is not audio, or a piece would be of no length.
        TypeError: `chunk_ms` is not a whole number.
    """
    if chunk_ms is not None:
        check_kind("chunk_ms", chunk_ms, SupportsIndex, allowed="a whole number of milliseconds")
        if chunk_ms < 1:
            raise LocalProtocolError(f"chunk_ms must be at least 1 millisecond, not {chunk_ms}")
    encoded = in_format(AudioData.of(audio), audio_format)
    data = encoded.data
    size = MAX_APPEND_BYTES if chunk_ms is None else chunk_ms * _bytes_per_ms(audio_format)
    if 0 < len(data) <= size:
        # What a microphone gives is one piece as it is.
        yield encoded
        return
    for start in range(0, len(data), size):
        yield AudioData(data[start : start + size])


class InputAudioSession(BaseSession, Generic[S]):
    """Base of the kinds of session that make user messages of an input buffer."""

    def __init__(self, parts: SessionParts) -> None:
        super().__init__(parts)
        self._config: S | None = None
        self._conversation = Conversation(
            retention=parts.retention,
            clock=trio.current_time,
            # A playback listens to everything.
            wants=self._hub.wants if parts.playback is None else (lambda _: True),
        )
        self._costs = parts.costs
        self._prices = parts.prices

    @property
    def config(self) -> S:
        """The effective configuration, as the server last reported it."""
        assert self._config is not None, "a session is handed out only after session.created"
        return self._config

    @property
    def conversation(self) -> Conversation:
        """The conversation, up to date with the events you hold.  Readable after the block."""
        return self._conversation

    @property
    def usage(self) -> Usage:
        """What the session has taken so far: tokens by modality, and seconds of transcription."""
        return self._costs.usage

    @property
    def cost(self) -> prices.Cost:
        """What that has cost so far, by the prices that the session was given.

        Exact, by modality, with the cached part and the transcriptions apart; `cost.total` is None
        if something has no price, and `cost.unpriced` says what.  Without `prices=` the first call
        loads the list of the extra `prices`, which takes a third of a second; without the extra
        nothing has a price.
        """
        return prices.session_cost(self._costs, self._price_list)

    @property
    def _price_list(self) -> prices.Prices:
        return money.default_prices() if self._prices is None else self._prices

    async def append_audio(  # noqa: ASYNC910 - every way through has a checkpoint
        self, audio: AudioLike, *, chunk_ms: int | None = None
    ) -> None:
        """Append the user's audio, of any length, to the input buffer.

        Args:
            audio: int16 or float32 array of shape (n,), at the rate of the session's input format
                (24 kHz by default, 8 kHz for G.711); or bytes in that format.
            chunk_ms: Whole milliseconds per event, at least 1; 20 to 100 is usual.  By default
                events are as long as is reasonable.

        Raises:
            LocalProtocolError, TypeError: It is not audio (the bytes of a file are not, nor are
                floats far outside [-1, 1]), or `chunk_ms` is no length; nothing was sent.
            SessionClosed: The session has ended.

        Cancellation: between two events; what was queued is sent.  As with `send`, not every call
            lets other tasks run.
        """
        piece = None
        for piece in split_audio(audio, self._input_format, chunk_ms):
            # As `send` does, without a look at what is known: what it is, and in which format.
            event = InputAudioBufferAppend(audio=piece, event_id=self._new_id("evt_"))
            await self._queue(event, self._codec.encode(event))
        if piece is None:
            # There was no audio, and so no checkpoint.
            await trio.lowlevel.checkpoint()

    async def commit_audio(self) -> str | None:
        """Make the appended audio a user message, and wait until the server has done so.

        This does not start a response.

        Returns:
            Id of the user message; None if turn detection was faster and there was nothing left to
            commit.

        Raises:
            LocalProtocolError: Less than 100 ms are pending, which the server would refuse; nothing
                was sent.
            ServerError, SessionClosed: As for `update`.
        """
        detecting = self._is_detecting_turns
        if not detecting:
            self._check_commit()
        try:
            answer = await self._request(InputAudioBufferCommit())
        except ServerError as error:
            # Turn detection may have committed the same audio first, which is what was wanted.
            if not detecting or error.code != COMMIT_EMPTY:
                raise
            await trio.lowlevel.checkpoint()
            return None
        assert isinstance(answer, InputAudioBufferCommitted)
        return answer.item_id

    async def clear_audio(self) -> None:
        """Discard the appended audio, and wait until the server has done so."""
        await self._request(InputAudioBufferClear())

    def _is_benign(self, event: ErrorEvent) -> bool:
        return event.error.code == COMMIT_EMPTY and self._is_detecting_turns

    def _named(self, event: ClientEvent) -> ClientEvent:
        return super()._named(self._in_format(event))

    def _in_format(self, event: ClientEvent) -> ClientEvent:
        """The event with its audio in the session's input format, where it was given as samples."""
        match event:
            case InputAudioBufferAppend(audio=audio) if audio.is_pcm:
                return evolve(event, audio=in_format(audio, self._input_format))
            case ConversationItemCreate(item=UserMessage(content=content) as message):
                parts = [
                    evolve(part, audio=in_format(part.audio, self._input_format))
                    if isinstance(part, InputAudio) and part.audio is not None
                    else part
                    for part in content
                ]
                return evolve(event, item=evolve(message, content=parts))
            case _:
                return event

    def _note_sent(self, event: Event) -> None:
        self._conversation.sent(event)

    def _over(self) -> None:
        for event in self._conversation.end():
            self._hub.publish(event)
        super()._over()

    def _commit_pending(self) -> None:
        if not self._is_detecting_turns and self._conversation.pending_input_ms > 0:
            self._check_commit()
            # At once, or another task would find the same audio pending.
            self._post(self._named(InputAudioBufferCommit()))

    def _check_commit(self) -> None:
        pending = self._conversation.pending_input_ms
        if pending < MIN_COMMIT_MS:
            raise LocalProtocolError(
                f"cannot commit {pending} ms of audio: "
                f"at least {MIN_COMMIT_MS} ms must have been appended"
            )

    @property
    def _input(self) -> SessionAudioInput:
        return (
            self.config.audio.input if self.config.audio is not None else None
        ) or SessionAudioInput()

    @property
    def _is_detecting_turns(self) -> bool:
        detection = self._input.turn_detection
        return detection is not None and detection.type != "none"  # as some servers write it

    @property
    def _input_format(self) -> AudioFormat:
        return self._input.format or _PCM


def _bytes_per_ms(audio_format: AudioFormat) -> int:
    return (
        2 * (audio_format.rate or PCM_RATE) // 1000
        if audio_format.type in ("audio/pcm", None)
        else 8
    )
