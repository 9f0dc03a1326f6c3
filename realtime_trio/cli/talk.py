"""`realtime-trio talk`: a spoken conversation, full duplex.

Owns which sound goes where: from a microphone or a file to the service, and from there to a
loudspeaker or a file.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Final, Literal

import click
import trio
from attrs import frozen

from realtime_trio._runtime.hub import EventStream
from realtime_trio._session.voice import Session
from realtime_trio.audio import WavWriter, read_wav
from realtime_trio.cli.answer import went_well
from realtime_trio.cli.keys import open_keys
from realtime_trio.cli.running import run
from realtime_trio.cli.service import Service, opened, takes_service
from realtime_trio.cli.terminal import StatusLine, complain, remark, report
from realtime_trio.cli.transcript import TRANSCRIBED, Transcript, meter
from realtime_trio.devices import (
    Backend,
    EchoControl,
    EchoGate,
    LiveKitEchoControl,
    Microphone,
    PortAudio,
    SimulatedDevices,
    Speaker,
    VoiceActivity,
    open_microphone,
    open_speaker,
    speech_model,
)
from realtime_trio.events import ErrorEvent, Event, ResponseCreated, ResponseDone

_REFRESH: Final = 0.1
"""Seconds between two looks at the meters."""
_PATIENCE: Final = 3.0
"""Seconds of silence after which a talk from a file is over: turn detection takes half a second,
and a busy service one or two to begin its answer."""


@frozen(kw_only=True)
class Sound:
    """Where sound comes from and goes to."""

    microphone: str | None
    """Number or name of a device; None for the default."""
    speaker: str | None
    """The same, to play."""
    wav_in: Path | None
    """A file instead of a microphone."""
    wav_out: Path | None
    """A file instead of a loudspeaker."""
    echo: str
    """What is done about the echo: auto, gate, cancel, none."""
    is_quick: bool
    """Whether speech that is heard here interrupts."""


@click.command()
@click.option("--microphone", help="Number or name of the device, or a part of it, to listen with")
@click.option("--speaker", help="The same, to play on; `realtime-trio devices` lists them")
@click.option(
    "--wav-in",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="WAV file to say instead of listening, in real time; the talk ends after it",
)
@click.option(
    "--wav-out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="WAV file to write instead of playing, in real time, silence included",
)
@click.option(
    "--echo",
    type=click.Choice(["auto", "gate", "cancel", "none"]),
    default="auto",
    show_default=True,
    help="Against the model hearing itself: a gate, an echo canceller (livekit), or nothing; auto "
    "is a gate, and nothing with headphones",
)
@click.option(
    "--quick",
    is_flag=True,
    help="Interrupt as soon as this machine hears speech, without waiting for the service",
)
@takes_service
def talk(
    service: Service,
    microphone: str | None,
    speaker: str | None,
    wav_in: Path | None,
    wav_out: Path | None,
    echo: str,
    quick: bool,
) -> None:
    """Hold a spoken conversation.  Ctrl-C ends it.

    Keys: m mutes the microphone, the space bar interrupts, q ends the talk.
    """
    sound = Sound(
        microphone=microphone,
        speaker=speaker,
        wav_in=wav_in,
        wav_out=wav_out,
        echo=echo,
        is_quick=quick,
    )
    run(functools.partial(_talk, service, sound))


async def _talk(service: Service, sound: Sound) -> bool:
    said = None if sound.wav_in is None else await trio.to_thread.run_sync(read_wav, sound.wav_in)
    files = SimulatedDevices()
    has_card = said is None or sound.wav_out is None
    card: Backend = PortAudio() if has_card else files
    async with (
        open_speaker(
            device=_device(sound.speaker) if sound.wav_out is None else None,
            backend=card if sound.wav_out is None else files,
        ) as speaker,
        opened(
            service,
            playback=speaker.playback,
            transcription="gpt-4o-mini-transcribe",
        ) as session,
        # Not before there is somebody to listen to it.
        open_microphone(
            _device(sound.microphone) if said is None else None,
            speaker=speaker,
            # A file hears nothing.
            echo=_echo(sound.echo) if said is None and sound.wav_out is None else None,
            backend=card if said is None else files,
        ) as microphone,
        open_keys() as key,
        trio.open_nursery() as nursery,
    ):
        with (
            nullcontext() if sound.wav_out is None else WavWriter(sound.wav_out) as written,
            session.events(*TRANSCRIBED, ResponseCreated, ErrorEvent) as events,
        ):
            conversation = Talk(session, microphone, speaker)
            if said is not None or sound.wav_out is not None:
                heard = None if written is None else written.append
                nursery.start_soon(files.run, said, heard)
            nursery.start_soon(conversation.listen, sound.is_quick)
            nursery.start_soon(conversation.obey, key, nursery.cancel_scope)
            if said is not None:
                duration = len(said) / microphone.rate
                nursery.start_soon(conversation.end_after, duration, nursery.cancel_scope)
            nursery.start_soon(conversation.show_levels)
            await conversation.follow(events)
            nursery.cancel_scope.cancel()
    conversation.sum_up()
    return conversation.is_well


def _device(chosen: str | None) -> int | str | None:
    return int(chosen) if chosen is not None and chosen.isdecimal() else chosen


def _echo(chosen: str) -> EchoControl | Literal["auto"] | None:
    match chosen:
        case "none":
            return None
        case "cancel":
            return LiveKitEchoControl()
        case "gate":
            return EchoGate()
        case _:
            return "auto"


class Talk:
    """A conversation while it lasts: what its tasks share."""

    def __init__(self, session: Session, microphone: Microphone, speaker: Speaker) -> None:
        self._session = session
        self._microphone = microphone
        self._speaker = speaker
        self._transcript = Transcript()
        self._status = StatusLine()
        self._active = 0
        self._last_news = trio.current_time()
        self.is_well = True
        """Whether no response has failed."""

    async def listen(self, is_quick: bool) -> None:
        """Send what the microphone hears."""
        activity = VoiceActivity(speech_model(), self._microphone.rate) if is_quick else None
        async for chunk in self._microphone:
            is_speech = activity is not None and activity.process(chunk).has_started
            if is_speech and self._speaker.playback.is_audible:
                await self._session.cancel_response()
            await self._session.append_audio(chunk)

    async def follow(self, events: EventStream[Event]) -> None:
        """Print what is said, until the session ends."""
        async for event in events:
            self._last_news = trio.current_time()
            for line in self._transcript.apply(event):
                self._status.clear()
                report(line)
            match event:
                case ResponseCreated():
                    self._active += 1
                case ResponseDone(response=response):
                    self._active = max(0, self._active - 1)
                    self._status.clear()
                    self.is_well &= went_well(response)
                case ErrorEvent(error=error):
                    self._status.clear()
                    complain(error.message)
                case _:
                    pass

    async def show_levels(self) -> None:
        """Draw the meters, for as long as the talk lasts."""
        try:
            while True:
                muted = " muted" if self._microphone.is_muted else ""
                self._status.show(
                    f"you [{meter(self._microphone.level)}]{muted} "
                    f"model [{meter(self._speaker.level)}] {self._transcript.unfinished}"
                )
                await trio.sleep(_REFRESH)
        finally:
            self._status.clear()

    async def obey(self, key: Callable[[], Awaitable[str]], scope: trio.CancelScope) -> None:
        """Do what the keys say."""
        while True:
            match await key():
                case "m":
                    self._microphone.is_muted = not self._microphone.is_muted
                case " ":
                    await self._session.cancel_response()
                case "q":
                    scope.cancel()
                case _:
                    pass

    async def end_after(self, seconds: float, scope: trio.CancelScope) -> None:
        """End the talk when everything was said and answered, and nothing more comes."""
        await trio.sleep(seconds)
        while True:
            if self._active or self._speaker.playback.is_audible:
                self._last_news = trio.current_time()
            if (left := self._last_news + _PATIENCE - trio.current_time()) <= 0:
                break
            await trio.sleep(min(left, _REFRESH))
        scope.cancel()

    def sum_up(self) -> None:
        """Say what the sound devices could not do, if anything."""
        for count, what in (
            (self._microphone.overruns, "what was said was lost, overruns"),
            (self._speaker.underruns, "the loudspeaker had nothing to play, underruns"),
            (self._speaker.gaps, "answers paused because their audio came late"),
        ):
            if count:
                remark(f"{what}: {count}")
