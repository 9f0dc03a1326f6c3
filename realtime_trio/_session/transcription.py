"""A transcription session: speech in, its transcript out, and no answers.

Owns the meaning of its events: the user's messages, their captions, what it costs.  How the audio
gets to the server is `input_audio`'s business.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, Unpack

from realtime_trio import _elsewhere
from realtime_trio._misuse import kind_of
from realtime_trio._protocol.endpoint import Endpoint
from realtime_trio._protocol.kinds import DEFAULT_TRANSCRIPTION_MODEL, SessionKind
from realtime_trio._runtime.hub import EventStream
from realtime_trio._runtime.nursery import ServiceNursery
from realtime_trio._session.ids import generate_id
from realtime_trio._session.input_audio import InputAudioSession, check_prices
from realtime_trio._session.link import Link
from realtime_trio._session.parts import SessionParts
from realtime_trio._session.running import check_arguments, run_session
from realtime_trio._state.captions import Caption, Captions
from realtime_trio._state.conversation.audio import Retention, check_retention
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.costs import Costs
from realtime_trio._state.reactions import Reactions, Room
from realtime_trio._transport.contract import Transport
from realtime_trio.connection import ConnectOptions, OpenTransport, check_options
from realtime_trio.events import (
    AudioFormat,
    AudioFormatName,
    Include,
    NoiseReduction,
    NoiseReductionType,
    SessionCreated,
    SessionUpdate,
    SessionUpdated,
    Transcription,
    TranscriptionSession,
    TranscriptionSessionConfig,
    TurnDetection,
    TurnDetectionName,
)

if TYPE_CHECKING:
    from realtime_trio import money
else:
    money = _elsewhere.module("realtime_trio.money")


class TranscriptionSettings(TypedDict, total=False):
    """A transcription session's settings as flat keywords, as in `TranscriptionSessionConfig`."""

    input_format: AudioFormat | AudioFormatName
    transcription: Transcription | str | None
    noise_reduction: NoiseReduction | NoiseReductionType | None
    turn_detection: TurnDetection | TurnDetectionName | None
    include: Include | str | Iterable[Include | str]


class TranscriptionOptions(ConnectOptions, TranscriptionSettings, total=False):
    """Every keyword of `open_transcription_session`: how to connect, and the settings."""


class Transcriber(InputAudioSession[TranscriptionSession]):
    """A session that transcribes.

    Made by `open_transcription_session`; usable from any number of tasks.
    """

    def __init__(self, parts: SessionParts) -> None:
        super().__init__(parts)
        self._captions = Captions()

    def captions(self, *, capacity: int | None = None) -> EventStream[Caption]:
        """Open a stream of captions: what is said, as it is understood, one piece after the other.

        The same as `events(Caption)`: open it before you append what it is to bring.

        Args:
            capacity: Captions the stream may fall behind before it misses some and says so with
                `SlowConsumer`.
        """
        return self.events(Caption, capacity=capacity)

    async def update(
        self,
        config: TranscriptionSessionConfig | None = None,
        **settings: Unpack[TranscriptionSettings],
    ) -> TranscriptionSession:
        """Change the configuration and wait until the server has taken it.

        Args:
            config: The change as the protocol nests it; or
            **settings: the change as flat keywords: `update(turn_detection=None)`.  None clears
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
            check_options(settings, TranscriptionSettings)
            config = TranscriptionSessionConfig.of(**settings)
        elif not isinstance(config, TranscriptionSessionConfig):
            raise TypeError(
                "update() takes a TranscriptionSessionConfig or keywords such as "
                f"turn_detection=None, not {kind_of(config)}"
            )
        elif settings:
            raise TypeError(
                "update() takes either a TranscriptionSessionConfig or keywords, not both"
            )
        answer = await self._request(SessionUpdate(session=config))
        assert isinstance(answer, SessionUpdated)
        return answer.session if isinstance(answer.session, TranscriptionSession) else self.config

    def _rooms(self) -> tuple[Room, ...]:
        return (
            *super()._rooms(),
            self._reactions.of(self),
            Conversation.reactions.of(self._conversation),
            Costs.reactions.of(self._costs),
            Captions.reactions.through(self._captions.apply),
        )

    def _on_session_created(self, event: SessionCreated) -> None:
        if isinstance(event.session, TranscriptionSession):
            self._config = event.session
            self._link.begin()

    def _on_session_updated(self, event: SessionUpdated) -> None:
        self._link.configured()
        if isinstance(event.session, TranscriptionSession):
            self._config = event.session

    _reactions: ClassVar[Reactions[Transcriber, None]] = Reactions(
        {SessionCreated: _on_session_created, SessionUpdated: _on_session_updated}
    )
    """What the server says about the session itself."""

    def _over(self) -> None:
        for caption in self._captions.rest():
            self._hub.publish(caption)
        super()._over()


@asynccontextmanager
async def open_transcription_session(
    model: str | None = None,
    *,
    url: str | Endpoint | None = None,
    transport: Transport | OpenTransport | None = None,
    record: str | os.PathLike[str] | None = None,
    retention: Retention = "none",
    prices: money.Prices | None = None,
    capacity: int | None = None,
    new_id: Callable[[str], str] = generate_id,
    **options: Unpack[TranscriptionOptions],
) -> AsyncIterator[Transcriber]:
    """Open a session that only transcribes: ready inside the block, closed and gone after it.

    Leaving does not wait for transcripts that are still to come: first take the final caption of
    what was committed last.

    Args:
        model: Transcription model, short for `transcription=Transcription(model=...)`;
            `gpt-4o-transcribe` when neither is given.
        url: The service: a URL, an `Endpoint` such as `azure(...)`, or None for `OPENAI_BASE_URL`
            and then OpenAI's own.
        transport: A connected transport to use instead of connecting, for tests and tunnels; the
            block closes it.  Or an async context manager function that opens one.
        record: A file to record the session in as it goes over the wire, but for keys; see
            `open_recording`.
        retention: Which audio to keep with the items: `all`, `none`, or the last so many seconds
            that were said.
        prices: What models cost, by name, for `session.cost`; None for the list of the extra
            `prices`, if it is installed.
        capacity: Events a stream may fall behind, unless it is opened with a bound of its own.
        new_id: Makes the ids of client events: called with a prefix.
        **options: How to connect, see `ConnectOptions`, and the settings of the session, see
            `TranscriptionSettings`.  By default the server detects turns; some models transcribe
            without a pause instead, and need `turn_detection=None`.

    Raises:
        ConnectionFailed: There was no session within `connect_timeout`: unreachable, refused, a
            wrong key, or a configuration the server does not accept, such as an unknown model.
        ConnectionLost: The connection ended in the middle of the block in any other way than a
            clean close.  It leaves bare, not in a group; an exception of the block wins over it and
            gets a note.
        LocalProtocolError, TypeError: An argument is unusable; nothing was sent.
    """
    check_options(options, TranscriptionOptions, function=open_transcription_session)
    check_arguments(transport=transport, capacity=capacity, new_id=new_id)
    check_retention(retention)
    check_prices(prices)
    settings: Any = {
        name: value
        for name, value in options.items()
        if name in TranscriptionSettings.__annotations__
    }
    connecting: Any = {
        name: value for name, value in options.items() if name in ConnectOptions.__annotations__
    }
    if model is not None and "transcription" in settings:
        raise TypeError(
            "open_transcription_session() takes either a model or "
            "transcription=Transcription(model=...), not both"
        )
    settings.setdefault("transcription", Transcription(model=model or DEFAULT_TRANSCRIPTION_MODEL))

    def make(link: Link, services: ServiceNursery) -> Transcriber:
        return Transcriber(
            SessionParts(
                link=link,
                services=services,
                capacity=capacity,
                new_id=new_id,
                retention=retention,
                prices=prices,
            )
        )

    async with run_session(
        make,
        SessionKind.TRANSCRIPTION,
        SessionUpdate(event_id=new_id("evt_"), session=TranscriptionSessionConfig.of(**settings)),
        model=None,
        url=url,
        transport=transport,
        record=record,
        options=connecting,
    ) as session:
        yield session
