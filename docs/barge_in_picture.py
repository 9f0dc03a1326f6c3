"""Draws what happens in a barge-in: `python docs/barge_in_picture.py` writes barge-in.svg.

It is measured, not made up: a session talks with the simulator over a WebSocket, in real time, with
simulated devices.  A question is asked, and two seconds into the answer another one.  Every run is
a little different.  The dependency group `docs` has what draws it; `talk` needs nothing.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import trio
from attrs import define, field
from numpy.typing import NDArray

from realtime_trio import EventStream, Session, open_session
from realtime_trio.audio import PCM_RATE, read_wav
from realtime_trio.devices import (
    Microphone,
    SimulatedDevices,
    level_db,
    open_microphone,
    open_speaker,
)
from realtime_trio.events import (
    ConversationItemTruncate,
    ConversationItemTruncated,
    InputAudioBufferSpeechStarted,
    ResponseDone,
    ResponseOutputAudioDelta,
)
from realtime_trio.playback import Playback
from realtime_trio.recording import WireRecord
from realtime_trio.simulator import (
    LIFELIKE,
    Reply,
    Script,
    serve_simulator,
    synthesize_speech,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE: Final = Path(__file__).resolve().with_name("barge-in.svg")
QUESTIONS: Final = Path(__file__).resolve().parent.parent / "examples" / "questions"
STORY: Final = "Once upon a time there was a clock, and it was always right. " * 4
USER, MODEL, WIRE = "#30638e", "#d1495b", "#8a8f98"
CLOSE: Final = 0.1
"""Seconds on either side of the interruption that are shown enlarged."""


@define
class Course:
    """What was seen of one run; times are seconds of trio's clock."""

    start: float
    """When the devices began."""
    heard_user: list[tuple[float, float]] = field(factory=list)
    """Level of what the microphone has heard, with when."""
    sound: list[NDArray[np.int16]] = field(factory=list)
    """What the loudspeaker was given, from the start on."""
    received: list[tuple[float, float]] = field(factory=list)
    """Seconds of the first answer that had arrived, with when."""
    heard_model: list[tuple[float, float]] = field(factory=list)
    """Seconds of it that had been heard, with when."""
    interrupted: float = 0.0
    """When the server said that the user speaks."""
    cut: float = 0.0
    """When the client told it what was heard."""
    cut_ms: int = 0
    """How much that was."""
    agreed: float = 0.0
    """When the server had cut its own copy."""
    answers: list[str] = field(factory=list)
    """Items of the model that audio came of, in order."""

    @property
    def waveform(self) -> NDArray[np.int16]:
        """What the loudspeaker was given, as a whole."""
        return np.concatenate(self.sound)

    @property
    def silent(self) -> float:
        """When the last sample of the first answer was given to the loudspeaker."""
        begin = round((self.interrupted - self.start) * PCM_RATE)
        # The next answer begins half a second later at the earliest.
        until = np.flatnonzero(self.waveform[begin : begin + PCM_RATE // 2])
        return self.interrupted + (int(until[-1]) + 1 if len(until) else 0) / PCM_RATE


async def talk() -> Course:
    """Have the conversation, which takes about ten seconds."""
    first, second = (read_wav(QUESTIONS / f"{name}.wav") for name in ("abilities", "interruption"))
    # The answer begins half a second after the question.
    said = np.concatenate((first, np.zeros(round(2.5 * PCM_RATE), np.int16), second))
    answers = [
        Reply.speech(STORY, synthesize_speech(STORY)),
        Reply.speech("Eighty-four.", synthesize_speech("Eighty-four.")),
    ]
    devices = SimulatedDevices()
    async with trio.open_nursery() as servers:
        url = await servers.start(partial(serve_simulator, Script(answers, pacing=LIFELIKE)))
        async with (
            open_speaker(backend=devices) as speaker,
            open_session(url=url, playback=speaker.playback) as session,
            open_microphone(backend=devices) as microphone,
            trio.open_nursery() as nursery,
        ):
            course = Course(trio.current_time())
            nursery.start_soon(devices.run, said, partial(note_sound, course, speaker.playback))
            nursery.start_soon(listen, course, microphone, session)
            nursery.start_soon(note_wire, course, session.wire())
            with session.events(ResponseDone) as done, trio.fail_after(60):
                for _ in answers:
                    await done.receive()
                await trio.sleep(speaker.playback.unheard / speaker.playback.rate + 0.5)
            nursery.cancel_scope.cancel()
        servers.cancel_scope.cancel()
    return course


async def listen(course: Course, microphone: Microphone, session: Session) -> None:
    """Send what the microphone hears."""
    async for chunk in microphone:
        course.heard_user.append((trio.current_time(), level_db(chunk)))
        await session.append_audio(chunk)


def note_sound(course: Course, playback: Playback, samples: NDArray[np.int16]) -> None:
    """Take note of what the loudspeaker plays, and of what is known about it."""
    course.sound.append(samples)
    if course.answers:
        course.heard_model.append(
            (trio.current_time(), playback.heard_ms(course.answers[0]) / 1000)
        )


async def note_wire(course: Course, wire: EventStream[WireRecord]) -> None:
    """Take note of what is said on the wire."""
    async for record in wire:
        match record.event:
            case ResponseOutputAudioDelta(item_id=item_id, delta=delta):
                if item_id not in course.answers:
                    course.answers.append(item_id)
                if item_id == course.answers[0]:
                    before = course.received[-1][1] if course.received else 0.0
                    seconds = len(delta.samples) / PCM_RATE
                    course.received.append((record.time, before + seconds))
            case InputAudioBufferSpeechStarted() if course.answers and not course.interrupted:
                course.interrupted = record.time
            case ConversationItemTruncate(audio_end_ms=ms):
                course.cut, course.cut_ms = record.time, ms
            case ConversationItemTruncated():
                course.agreed = record.time
            case _:
                pass


# --- drawing --------------------------------------------------------------------------------------


def draw(course: Course, picture: Path) -> None:
    """Draw a run: all of it, and the moment of the interruption enlarged."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "realtime_trio", "font.size": 9})
    figure, (user, model, book, close) = plt.subplots(
        4, 1, figsize=(9, 8.4), height_ratios=(1, 1, 2, 1.6), layout="constrained"
    )
    draw_user(user, course)
    draw_model(model, course)
    draw_book(book, course)
    draw_close(close, course)
    for axes in (user, model, book):
        axes.set_xlim(0, len(course.waveform) / PCM_RATE)
        axes.axvline(course.interrupted - course.start, color="black", linewidth=0.8)
    figure.savefig(picture, metadata={"Date": None})
    plt.close(figure)


def draw_user(axes: Axes, course: Course) -> None:
    """How loud the user is."""
    times, levels = np.array(course.heard_user).T
    axes.fill_between(times - course.start, levels, -60, where=levels > -60, color=USER)
    axes.set(ylim=(-60, 0), ylabel="dB")
    axes.set_title("the microphone", loc="left")
    axes.annotate(
        "speech_started",
        (course.interrupted - course.start, -5),
        xytext=(6, 0),
        textcoords="offset points",
        va="top",
    )


def draw_model(axes: Axes, course: Course) -> None:
    """How loud the model is."""
    frame = PCM_RATE // 50
    whole = course.waveform[: len(course.waveform) // frame * frame].reshape(-1, frame)
    levels = np.array([level_db(samples) for samples in whole])
    axes.fill_between(np.arange(len(levels)) / 50, levels, -60, where=levels > -60, color=MODEL)
    axes.set(ylim=(-60, 0), ylabel="dB")
    axes.set_title("the loudspeaker", loc="left")


def draw_book(axes: Axes, course: Course) -> None:
    """What had arrived of the first answer, and what was heard."""
    times, seconds = np.array(course.received).T
    end = len(course.waveform) / PCM_RATE
    axes.step(
        [*(times - course.start), end],
        [*seconds, seconds[-1]],
        where="post",
        color=WIRE,
        label="has arrived",
    )
    times, seconds = np.array(course.heard_model).T
    axes.plot(times - course.start, seconds, color=MODEL, label="was heard")
    axes.set(ylabel="s of the first answer", xlabel="s")
    axes.set_title("the playback", loc="left")
    axes.annotate(
        f"conversation.item.truncate\naudio_end_ms = {course.cut_ms}",
        (course.cut - course.start, course.cut_ms / 1000),
        xytext=(24, 8),
        textcoords="offset points",
        arrowprops={"arrowstyle": "->"},
        va="bottom",
    )
    axes.legend(loc="upper left", frameon=False)


def draw_close(axes: Axes, course: Course) -> None:
    """The waveform of the loudspeaker around the interruption."""
    middle = course.interrupted - course.start
    begin, end = (round((middle + offset) * PCM_RATE) for offset in (-CLOSE, CLOSE))
    samples = course.waveform[begin:end]
    ms = (np.arange(begin, end) / PCM_RATE - middle) * 1000
    axes.plot(ms, samples, color=MODEL, linewidth=0.6)
    axes.set(xlim=(-CLOSE * 1000, CLOSE * 1000), xlabel="ms", yticks=[])
    axes.set_title("the loudspeaker, enlarged", loc="left")
    for moment, label, height in (
        (course.interrupted, "speech_started", 0.95),
        (course.agreed, "conversation.item.truncated", 0.2),
        (course.silent, f"silent, {(course.silent - course.interrupted) * 1000:.0f} ms later", 0.7),
    ):
        at = (moment - course.interrupted) * 1000
        axes.axvline(at, color="black", linewidth=0.8)
        axes.annotate(
            label,
            (at, height),
            xycoords=("data", "axes fraction"),
            xytext=(6, 0),
            textcoords="offset points",
            va="top",
        )


if __name__ == "__main__":
    draw(trio.run(talk), Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
