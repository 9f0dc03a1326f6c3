"""A translation session: speech in, and the same in another language out while it is spoken.

Owns the meaning of its events: there are no items, turns or responses, only what was said and what
was understood so far, and an end that takes its time because what was sent is still being
translated.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import ClassVar, TypedDict, Unpack

import trio

from realtime_trio._misuse import kind_of
from realtime_trio._protocol.endpoint import Endpoint
from realtime_trio._protocol.kinds import DEFAULT_TRANSLATION_MODEL, SessionKind
from realtime_trio._runtime.nursery import ServiceNursery
from realtime_trio._session.base import BaseSession
from realtime_trio._session.ids import generate_id
from realtime_trio._session.input_audio import split_audio
from realtime_trio._session.link import Link, Phase
from realtime_trio._session.parts import SessionParts
from realtime_trio._session.running import check_arguments, run_session
from realtime_trio._state.acknowledgements import Pending, unanswered
from realtime_trio._state.conversation.item import GrowingText
from realtime_trio._state.reactions import Reactions, Room
from realtime_trio._transport.contract import Transport
from realtime_trio.audio import AudioLike
from realtime_trio.connection import ConnectOptions, OpenTransport, check_options
from realtime_trio.errors import LocalProtocolError, ServerError, SessionClosed
from realtime_trio.events import (
    UNSET,
    AudioFormat,
    Event,
    NoiseReduction,
    NoiseReductionType,
    Transcription,
    TranslationSession,
    TranslationSessionClose,
    TranslationSessionClosed,
    TranslationSessionConfig,
    TranslationSessionCreated,
    TranslationSessionInputAudioBufferAppend,
    TranslationSessionInputTranscriptDelta,
    TranslationSessionOutputTranscriptDelta,
    TranslationSessionUpdate,
    TranslationSessionUpdated,
)


class TranslationSettings(TypedDict, total=False):
    """A translation session's settings as flat keywords, as in `TranslationSessionConfig`."""

    language: str
    transcription: Transcription | str | None
    noise_reduction: NoiseReduction | NoiseReductionType | None


class Translator(BaseSession):
    """A session that translates.

    Made by `open_translation_session`; usable from any number of tasks.  What it says comes as
    events: `TranslationSessionOutputAudioDelta`, `TranslationSessionOutputTranscriptDelta` and, if
    the original is transcribed, `TranslationSessionInputTranscriptDelta`.  Text is kept here too;
    audio is not.
    """

    def __init__(self, parts: SessionParts) -> None:
        super().__init__(parts)
        self._config: TranslationSession | None = None
        self._said = GrowingText()
        self._heard = GrowingText()
        self._closing: Pending | None = None

    # --- looking ----------------------------------------------------------------------------------

    @property
    def config(self) -> TranslationSession:
        """The effective configuration, as the server last reported it."""
        assert self._config is not None, "a session is handed out only after session.created"
        return self._config

    @property
    def transcript(self) -> str:
        """The translation so far, as text.  Readable after the block."""
        return self._said.read()

    @property
    def source_transcript(self) -> str:
        """The original so far, as text; empty unless `transcription` is on.

        Readable after the block.
        """
        return self._heard.read()

    # --- speaking ---------------------------------------------------------------------------------

    async def update(
        self,
        config: TranslationSessionConfig | None = None,
        **settings: Unpack[TranslationSettings],
    ) -> TranslationSession:
        """Change the configuration and wait until the server has taken it.

        Args:
            config: The change as the protocol nests it.
            **settings: The change as flat keywords instead: `update(language="fr")`.  None clears
                where the setting allows it.

        Returns:
            The whole effective configuration.

        Raises:
            ServerError: The server refused, and then changed nothing; `param` says what was wrong.
            LocalProtocolError, TypeError: The change is not a configuration, or does not fit the
                protocol; nothing was sent.
            SessionClosed: The session ended before the answer came.

        Cancellation: before the change was queued nothing was sent; afterwards it takes effect all
            the same.
        """
        if config is None:
            check_options(settings, TranslationSettings)
            config = TranslationSessionConfig.of(**settings)
        elif not isinstance(config, TranslationSessionConfig):
            raise TypeError(
                "update() takes a TranslationSessionConfig or keywords such as "
                f'language="fr", not {kind_of(config)}'
            )
        elif settings:
            raise TypeError(
                "update() takes either a TranslationSessionConfig or keywords, not both"
            )
        answer = await self._request(TranslationSessionUpdate(session=config))
        assert isinstance(answer, TranslationSessionUpdated)
        return answer.session

    async def append_audio(self, audio: AudioLike, *, chunk_ms: int | None = None) -> None:
        """Append speech of any length.

        Live speech should come without pauses, silence included: the model cannot see gaps.

        Args:
            audio: 24 kHz mono PCM: int16 or float32 array of shape (n,), or bytes.
            chunk_ms: Whole milliseconds per event, at least 1; the server works in steps of 200.
                By default events are as long as is reasonable.

        Raises:
            LocalProtocolError, TypeError: It is not audio, `chunk_ms` is no length, or `finish` was
                called; nothing was sent.
            SessionClosed: The session has ended.

        Cancellation: between two events; what was queued is sent.
        """
        for piece in split_audio(audio, AudioFormat.pcm(), chunk_ms):
            if self._closing is not None:
                raise LocalProtocolError(
                    "no audio can be appended any more: the session is being closed"
                )
            await self.send(TranslationSessionInputAudioBufferAppend(audio=piece))
        await trio.lowlevel.checkpoint()

    async def finish(self) -> None:
        """End the session, and wait until everything that was sent has been translated.

        What is still to come arrives in the streams before this returns; then they end.  Any number
        of tasks may call it, and again.

        Raises:
            ServerError: The server refused; the session goes on.
            SessionClosed: The session ended before the server had said everything.

        Cancellation: the session ends all the same.
        """
        if self._closing is None:
            close = self._named(TranslationSessionClose())
            # At once: two tasks must not both wait for room with it.
            self._closing = self._enqueue(close, self._codec.encode(close))
        assert self._closing is not None
        await self._wait_for_ack(self._closing)

    # --- inside -----------------------------------------------------------------------------------

    def _rooms(self) -> tuple[Room, ...]:
        return (*super()._rooms(), self._reactions.of(self))

    def _on_words(self, event: TranslationSessionOutputTranscriptDelta) -> None:
        self._said.append(event.delta)

    def _on_input_words(self, event: TranslationSessionInputTranscriptDelta) -> None:
        self._heard.append(event.delta)

    def _on_created(self, event: TranslationSessionCreated) -> None:
        self._config = event.session
        self._link.begin()

    def _on_updated(self, event: TranslationSessionUpdated) -> None:
        self._link.configured()
        self._config = event.session

    def _on_closed(self, event: TranslationSessionClosed) -> None:
        """Everything has been translated, whether the client or the server wanted to end."""
        self._link.enter(Phase.OVER)
        closing = self._closing = self._closing or Pending(TranslationSessionClose())
        if not closing.is_settled:
            closing.acknowledgement = event
            self._settled(closing)

    _reactions: ClassVar[Reactions[Translator, None]] = Reactions(
        {
            TranslationSessionClosed: _on_closed,
            TranslationSessionCreated: _on_created,
            TranslationSessionInputTranscriptDelta: _on_input_words,
            TranslationSessionOutputTranscriptDelta: _on_words,
            TranslationSessionUpdated: _on_updated,
        }
    )
    """What is kept here, and what the server says about the session itself; not the audio."""

    def _note_sent(self, event: Event) -> None:
        # Sent by hand it has its acknowledgement, too; but one without an id is not expected.
        if isinstance(event, TranslationSessionClose) and self._closing is None:
            self._closing = self._acknowledgements.find(event) or Pending(event)

    def _settled(self, pending: Pending) -> None:
        super()._settled(pending)
        if pending is self._closing and isinstance(pending.error, ServerError):
            self._closing = None  # refused: the session goes on

    def _over(self) -> None:
        if self._closing is not None and not self._closing.is_settled:
            self._closing.error = unanswered(TranslationSessionClose)
            self._settled(self._closing)

    async def _drain(self) -> None:
        with suppress(SessionClosed, ServerError):
            await self.finish()
        await super()._drain()


@asynccontextmanager
async def open_translation_session(
    model: str = DEFAULT_TRANSLATION_MODEL,
    *,
    language: str,
    transcription: Transcription | str | None = None,
    noise_reduction: NoiseReduction | NoiseReductionType | None = None,
    url: str | Endpoint | None = None,
    transport: Transport | OpenTransport | None = None,
    record: str | os.PathLike[str] | None = None,
    capacity: int | None = None,
    new_id: Callable[[str], str] = generate_id,
    **options: Unpack[ConnectOptions],
) -> AsyncIterator[Translator]:
    """Open a session that translates speech: ready inside the block, closed and gone after it.

    Args:
        model: Translation model.
        language: Code of the language to translate into, e.g. `es`; whatever is spoken is
            understood.
        transcription: Transcribe the original as well; only the model can be chosen.
        noise_reduction: Reduce noise.
        url: The service: a URL, an `Endpoint`, or None for `OPENAI_BASE_URL` and then OpenAI's own.
        transport: A connected transport to use instead of connecting, for tests and tunnels; the
            block closes it.  Or an async context manager function that opens one.
        record: A file to record the session in as it goes over the wire, but for keys; see
            `open_recording`.
        capacity: Events a stream may fall behind, unless it is opened with a bound of its own.
        new_id: Makes the ids of client events: called with a prefix.
        **options: How to connect, see `ConnectOptions`.

    Raises:
        ConnectionFailed: There was no session within `connect_timeout`: unreachable, refused, a
            wrong key, an unknown model, or a configuration the server does not accept.
        ConnectionLost: The connection ended in the middle of the block in any other way than a
            clean close, before the server had said that it has translated everything.  It leaves
            bare, not in a group; an exception of the block wins over it and gets a note.
        LocalProtocolError, TypeError: An argument is unusable; nothing was sent.

    Leaving in the normal way first does what `finish` does, but for no longer than `close_timeout`:
    streams that are read outside of the block get the rest of the translation.  To wait as long as
    it takes, call `finish`.  Leaving by an exception or a cancellation waits for nothing.
    """
    check_options(options, ConnectOptions, function=open_translation_session)
    check_arguments(transport=transport, capacity=capacity, new_id=new_id)
    config = TranslationSessionConfig.of(
        language=language,
        transcription=transcription or UNSET,
        noise_reduction=noise_reduction or UNSET,
    )

    def make(link: Link, services: ServiceNursery) -> Translator:
        parts = SessionParts(link=link, services=services, capacity=capacity, new_id=new_id)
        return Translator(parts)

    async with run_session(
        make,
        SessionKind.TRANSLATION,
        TranslationSessionUpdate(event_id=new_id("evt_"), session=config),
        model=model,
        url=url,
        transport=transport,
        record=record,
        options=options,
    ) as session:
        yield session
