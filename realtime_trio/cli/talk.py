"""`realtime-trio talk`: a spoken conversation, full duplex.

Owns which sound goes where: from a microphone or a file to the service, and from there to a
loudspeaker or a file.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Final, Literal

import click
import trio
from attrs import frozen

from realtime_trio._runtime.hub import EventStream
from realtime_trio._session.voice import Session
from realtime_trio.audio import WavWriter, read_wav
from realtime_trio.cli.answer import print_usage, went_well
from realtime_trio.cli.files import writable
from realtime_trio.cli.keys import open_keys
from realtime_trio.cli.running import run
from realtime_trio.cli.service import Service, opened, takes_session
from realtime_trio.cli.speaking import Speaking, Turns
from realtime_trio.cli.terminal import StatusLine, complain, remark, report
from realtime_trio.cli.transcript import TRANSCRIBED, Silence, Transcript, meter
from realtime_trio.devices import (
    Backend,
    DeviceError,
    EchoControl,
    EchoGate,
    LiveKitEchoControl,
    Microphone,
    PortAudio,
    SimulatedDevices,
    Speaker,
    open_microphone,
    open_speaker,
    speech_model,
)
from realtime_trio.events import (
    ErrorEvent,
    Event,
    ResponseCreated,
    ResponseDone,
    SessionSettings,
)

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
    turns: Turns
    """Who finds the turns of the user."""
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
    callback=writable,
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
    "--turns",
    type=click.Choice(["service", "here", "key"]),
    default="service",
    show_default=True,
    help="Who knows when you speak: the service, this machine, which sends no silence, or the "
    "space bar, which begins and ends what you say",
)
@click.option(
    "--quick",
    is_flag=True,
    help="Interrupt as soon as this machine hears speech, without waiting for the service",
)
@takes_session
def talk(
    service: Service,
    microphone: str | None,
    speaker: str | None,
    wav_in: Path | None,
    wav_out: Path | None,
    echo: str,
    turns: Turns,
    quick: bool,
) -> None:
    """Hold a spoken conversation.  Ctrl-C ends it.

    Keys: m mutes the microphone, q ends the talk, and the space bar, or Enter, interrupts; with
    --turns key it begins and ends what you say.
    """
    sound = Sound(
        microphone=microphone,
        speaker=speaker,
        wav_in=wav_in,
        wav_out=wav_out,
        echo=echo,
        turns=turns,
        is_quick=quick,
    )
    run(functools.partial(_talk, service, sound))


async def _talk(service: Service, sound: Sound) -> bool:
    said = None if sound.wav_in is None else await trio.to_thread.run_sync(read_wav, sound.wav_in)
    files = SimulatedDevices()
    has_card = said is None or sound.wav_out is None
    card: Backend = PortAudio() if has_card else files
    if not await card.devices():
        raise DeviceError(
            "this machine has no sound device; --wav-in FILE and --wav-out FILE do without one"
        )
    settings: SessionSettings = {"transcription": "gpt-4o-mini-transcribe"}
    if sound.turns != "service":
        settings["turn_detection"] = None
    conversation: Talk | None = None
    try:
        async with (
            open_speaker(
                device=_device(sound.speaker) if sound.wav_out is None else None,
                backend=card if sound.wav_out is None else files,
            ) as speaker,
            opened(
                service,
                playback=speaker.playback,
                **settings,
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
                conversation = Talk(session, microphone, speaker, sound)
                if said is not None or sound.wav_out is not None:
                    heard = None if written is None else written.append
                    nursery.start_soon(files.run, said, heard)
                nursery.start_soon(conversation.listen)
                nursery.start_soon(conversation.obey, key, nursery.cancel_scope)
                if said is not None:
                    duration = len(said) / microphone.rate
                    nursery.start_soon(conversation.end_after, duration, nursery.cancel_scope)
                nursery.start_soon(conversation.show_levels)
                await conversation.follow(events)
                nursery.cancel_scope.cancel()
    finally:
        # Also after Ctrl-C, by which most talks end.
        if conversation is not None:
            conversation.sum_up()
            print_usage(session, is_paid=service.is_priced)
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

    def __init__(
        self, session: Session, microphone: Microphone, speaker: Speaker, sound: Sound
    ) -> None:
        self._microphone = microphone
        self._speaker = speaker
        self._speaking = Speaking(
            session,
            microphone.rate,
            speaker.playback,
            speech_model(),
            sound.turns,
            is_quick=sound.is_quick,
        )
        self._silence = Silence(trio.current_time())
        self._transcript = Transcript()
        self._status = StatusLine()
        self._active = 0
        self._last_news = trio.current_time()
        self.is_well = True
        """Whether no response has failed."""

    async def listen(self) -> None:
        """Send what the microphone hears, as far as it is the user's turn."""
        async for chunk in self._microphone:
            await self._speaking.hear(chunk)

    async def follow(self, events: EventStream[Event]) -> None:
        """Print what is said, until the session ends."""
        async for event in events:
            self._last_news = trio.current_time()
            self._print(self._transcript.apply(event))
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
                now = trio.current_time()
                if self._speaking.is_on or self._speaker.playback.is_audible:
                    self._print(self._silence.end(now))
                silence = self._silence.seconds(now)
                muted = " muted" if self._microphone.is_muted else ""
                said = f"silent for {silence:.0f} s" if silence else self._transcript.unfinished
                self._status.show(
                    f"you [{meter(self._microphone.level)}]{muted}"
                    f"{' speaking' if self._speaking.is_on else ''} "
                    f"model [{meter(self._speaker.level)}] {said}"
                )
                await trio.sleep(_REFRESH)
        finally:
            self._status.clear()

    def _print(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._status.clear()
            report(line)

    async def obey(self, key: Callable[[], Awaitable[str]], scope: trio.CancelScope) -> None:
        """Do what the keys say."""
        while True:
            match await key():
                case "m":
                    self._microphone.is_muted = not self._microphone.is_muted
                case " " | "\n":
                    await self._speaking.press()
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
