"""An hour of talk through `Conversation`: what deltas and appends cost, and what stays in memory.

Both sides talk for an hour, in sixty turns: a minute of the user's, in appends of 100 ms, and a
minute of the model's, in deltas of 100 ms with a word of transcript each; "one item" has all of the
model's in a single turn and no user.  The cost of a delta and of an append is taken at the start of
the hour, when every window is full, and at its end, with every retention, the default among them.
From the moment at which a window is full, each delta also lets go of one that is old; whether the
cost grows with what is old shows in what comes after that.  Next to it stands what keeps a
conversation when nobody thinks of it: the audio of an item as one array that every delta makes
anew.

Left out: the wire and the session around it, which `bench_flood` and `bench_append` measure.
"""

from __future__ import annotations

import base64
import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from harness import CLOCK, Comparison, Report

from realtime_trio import Conversation
from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AssistantMessage,
    ConversationItemAdded,
    ConversationItemDone,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputAudioBufferCommitted,
    OutputAudio,
    Response,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ServerEvent,
    UserMessage,
)

MINUTES, DELTAS, DELTA_MS = 60, 600, 100
FIRST, WHEN_FULL, LAST = "first 10 %", "when the windows are full", "last 10 %"
OURS, OURS_READ, NAIVE = (
    "Conversation",
    "Conversation, audio read each time",
    "a new array per delta",
)

ALL, WINDOW, NONE, DEFAULT = "all", "last 60 s", "none", "by default"
KEPT: dict[str, Callable[[], Conversation]] = {
    DEFAULT: Conversation,
    ALL: partial(Conversation, retention="all"),
    WINDOW: partial(Conversation, retention=60.0),
    NONE: partial(Conversation, retention="none"),
}
"""How much audio, and what keeps so much."""
FULL = 12
"""Minutes after which every window is full; the default is ten minutes of each side."""

_AUDIO = base64.b64encode(
    np.random.default_rng(1).integers(-8000, 8000, 24 * DELTA_MS, np.int16).tobytes()
).decode()
_now: Callable[[], float] = getattr(time, CLOCK)


def main() -> int:
    report = Report("bench_conversation", __doc__)
    repeats = 3 if report.quick else 11
    costs = []
    for name, make in KEPT.items():
        hour = partial(hour_costs, make, MINUTES)
        costs.append(measure(report, f"a delta of audio, kept: {name}", hour, repeats))
    one_item = partial(hour_costs, KEPT[ALL], 1)
    costs.append(measure(report, "a delta of audio, all in one item", one_item, repeats))
    append = measure(report, "an append", partial(append_costs, KEPT[DEFAULT]), repeats)
    minute = report.compare(
        "a minute of one answer",
        {OURS: ours, OURS_READ: ours_read, NAIVE: naive},
        peer=NAIVE,
        events=DELTAS,
    )
    print()
    report.meet("conversation.delta", max(each.median(LAST) for each in costs))
    report.meet("conversation.flat", max(each.ratio(LAST, WHEN_FULL) for each in costs))
    report.meet("conversation.append.flat", append.ratio(LAST, WHEN_FULL))
    report.meet("conversation.minute", minute.ratio(NAIVE, OURS))
    report.meet("conversation.read", minute.ratio(NAIVE, OURS_READ))
    report.meet("conversation.nothing", grown_kib(KEPT[NONE]))
    report.meet("conversation.window", grown_kib(KEPT[WINDOW]))
    report.meet("conversation.default", grown_kib(KEPT[DEFAULT]))
    return report.finish()


def measure(
    report: Report, title: str, hour: Callable[[], list[float]], repeats: int
) -> Comparison:
    """What something costs at both ends of an hour, and in the tenth in which windows are full."""
    hours = [hour() for _ in range(repeats)]
    tenths = {FIRST: 0, WHEN_FULL: FULL * 10 // MINUTES, LAST: -1}
    rounds = {name: [hour[tenth] for hour in hours] for name, tenth in tenths.items()}
    return report.add(title, Comparison(rounds=rounds, peer=FIRST, unit="us"))


def hour_costs(make: Callable[[], Conversation], turns: int) -> list[float]:
    """Microseconds per delta of audio in each tenth of an hour that is said in so many turns.

    Every delta is fresh: its audio has not been decoded before.
    """
    conversation = make()
    apply = conversation.apply
    tenths = [0.0] * 10
    gc.collect()
    for minute in range(MINUTES):
        if turns > 1:
            listen(conversation, minute)
        said = list(minute_of(minute, turns))
        begun = next(
            index
            for index, event in enumerate(said)
            if isinstance(event, ResponseOutputAudioTranscriptDelta)
        )
        deltas = [event for event in said if isinstance(event, ResponseOutputAudioDelta)]
        for event in said[:begun]:
            apply(event)
        started = _now()
        for event in deltas:
            apply(event)
        tenths[minute * 10 // MINUTES] += _now() - started
        for event in said[begun:]:
            if not isinstance(event, ResponseOutputAudioDelta):
                apply(event)
    answers = [item for item in conversation.items if item.role == "assistant"]
    assert sum(item.audio_ms for item in answers) == MINUTES * DELTAS * DELTA_MS
    return [seconds * 10 / (MINUTES * DELTAS) * 1e6 for seconds in tenths]


def append_costs(make: Callable[[], Conversation]) -> list[float]:
    """Microseconds per append of 100 ms in each tenth of an hour."""
    conversation = make()
    tenths = [0.0] * 10
    gc.collect()
    for minute in range(MINUTES):
        tenths[minute * 10 // MINUTES] += listen(conversation, minute)
        for event in minute_of(minute, MINUTES):
            conversation.apply(event)
    return [seconds * 10 / (MINUTES * DELTAS) * 1e6 for seconds in tenths]


def grown_kib(make: Callable[[], Conversation]) -> float:
    """KiB that are in use at the end of the hour and were not when every window was full."""
    tracemalloc.start()
    conversation = make()
    before = 0
    for minute in range(MINUTES):
        listen(conversation, minute)
        for event in minute_of(minute, MINUTES):
            conversation.apply(event)
        if minute == FULL - 1:
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(conversation.items) == 2 * MINUTES
    return (after - before) / 1024


def listen(conversation: Conversation, minute: int) -> float:
    """Let the user speak for a minute; returns the seconds that the appends took."""
    appends = [
        InputAudioBufferAppend(audio=AudioData.from_base64(_AUDIO), event_id="event_1")
        for _ in range(DELTAS)
    ]
    started = _now()
    for append in appends:
        conversation.sent(append)
    took = _now() - started
    item_id, previous = f"user_{minute}", f"item_{minute - 1}" if minute else None
    item = UserMessage(id=item_id, status="completed", content=(InputAudio(transcript=None),))
    conversation.sent(InputAudioBufferCommit(event_id="event_2"))
    for event in (
        InputAudioBufferCommitted(event_id="event_1", item_id=item_id, previous_item_id=previous),
        ConversationItemAdded(event_id="event_1", item=item, previous_item_id=previous),
        ConversationItemDone(event_id="event_1", item=item, previous_item_id=previous),
    ):
        conversation.apply(event)
    return took


def minute_of(minute: int, turns: int) -> Iterator[ServerEvent]:
    """What the server says in one minute of the hour."""
    turn = minute * turns // MINUTES
    is_first = minute == 0 or (minute - 1) * turns // MINUTES != turn
    is_last = minute == MINUTES - 1 or (minute + 1) * turns // MINUTES != turn
    response_id, item_id = f"resp_{turn}", f"item_{turn}"
    if is_first:
        item = AssistantMessage(id=item_id, status="in_progress", content=())
        yield ResponseCreated(
            event_id="event_1",
            response=Response(id=response_id, status="in_progress", conversation_id="conv_1"),
        )
        yield ResponseOutputItemAdded(
            event_id="event_1", response_id=response_id, output_index=0, item=item
        )
        yield ConversationItemAdded(
            event_id="event_1", item=item, previous_item_id=f"user_{turn}" if turns > 1 else None
        )
    for _ in range(DELTAS):
        yield ResponseOutputAudioTranscriptDelta(
            event_id="event_1",
            response_id=response_id,
            item_id=item_id,
            output_index=0,
            content_index=0,
            delta="word ",
        )
        yield ResponseOutputAudioDelta(
            event_id="event_1",
            response_id=response_id,
            item_id=item_id,
            output_index=0,
            content_index=0,
            delta=AudioData.from_base64(_AUDIO),  # a new one each time, since it decodes only once
        )
    if is_last:
        words = "word " * (DELTAS * MINUTES // turns)
        item = AssistantMessage(id=item_id, status="completed", content=(OutputAudio(None, words),))
        yield ResponseOutputItemDone(
            event_id="event_1", response_id=response_id, output_index=0, item=item
        )
        yield ResponseDone(
            event_id="event_1",
            response=Response(
                id=response_id, status="completed", output=(item,), conversation_id="conv_1"
            ),
        )


_MINUTE = list(minute_of(0, MINUTES))


def ours() -> None:
    """Keep the audio of one answer, and read it in the end."""
    conversation = Conversation()
    for event in _MINUTE:
        conversation.apply(event)
    assert len(conversation.items[0].audio) == DELTAS * DELTA_MS * 24


def ours_read() -> None:
    """Read it after every delta."""
    conversation = Conversation()
    for event in _MINUTE:
        conversation.apply(event)
        if isinstance(event, ResponseOutputAudioDelta):
            read = len(conversation.items[0].audio)
    assert read == DELTAS * DELTA_MS * 24


def naive() -> None:
    """What the JavaScript client does, in numpy."""
    audio = np.empty(0, np.int16)
    transcript = ""
    for event in _MINUTE:
        if isinstance(event, ResponseOutputAudioDelta):
            audio = np.concatenate([audio, event.delta.samples])
        elif isinstance(event, ResponseOutputAudioTranscriptDelta):
            transcript += event.delta
    assert len(audio) == DELTAS * DELTA_MS * 24


if __name__ == "__main__":
    sys.exit(main())
