"""An hour of spoken answers through `Conversation`: what a delta costs, and what stays in memory.

The cost of a delta is taken at the start of the hour and at its end.

The call has sixty turns of a minute, in deltas of 100 ms with a word of transcript each; "one item"
says all of it in a single turn.  Next to it stands what keeps a conversation when nobody thinks of
it: the audio of an item as one array that every delta makes anew.
"""

from __future__ import annotations

import base64
import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np
from harness import CLOCK, Comparison, Report

from realtime_trio._state.conversation.audio import Retention
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AssistantMessage,
    ConversationItemAdded,
    OutputAudio,
    Response,
    ResponseCreated,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ServerEvent,
)

MINUTES, DELTAS, DELTA_MS = 60, 600, 100
FIRST, LAST = "first 10 %", "last 10 %"
OURS, OURS_READ, NAIVE = (
    "Conversation",
    "Conversation, audio read each time",
    "a new array per delta",
)

CALLS: tuple[tuple[str, Retention, int], ...] = (
    ("all", "all", 60),
    ("all, one item", "all", 1),
    ("last 60 s", 60.0, 60),
    ("none", "none", 60),
)
"""What is kept of an hour, and in how many turns it is said."""

_AUDIO = base64.b64encode(
    np.random.default_rng(1).integers(-8000, 8000, 24 * DELTA_MS, np.int16).tobytes()
).decode()
_now: Callable[[], float] = getattr(time, CLOCK)


def main() -> int:
    report = Report("bench_conversation", __doc__)
    repeats = 3 if report.quick else 11
    slowest, steepest = 0.0, 0.0
    for name, retention, turns in CALLS:
        hours = [hour_costs(retention, turns) for _ in range(repeats)]
        rounds = {FIRST: [hour[0] for hour in hours], LAST: [hour[-1] for hour in hours]}
        costs = report.add(
            f"a delta of audio, kept: {name}",
            Comparison(rounds=rounds, peer=FIRST, unit="us/delta"),
        )
        slowest, steepest = (
            max(slowest, costs.median(LAST)),
            max(steepest, costs.ratio(LAST, FIRST)),
        )
    minute = report.compare(
        "a minute of one answer",
        {OURS: ours, OURS_READ: ours_read, NAIVE: naive},
        peer=NAIVE,
        events=DELTAS,
    )
    growth, growth_with_window = grown_kib("none"), grown_kib(60.0)
    print()
    report.at_most("us for a delta of audio", slowest, 4)
    report.at_most("a delta at the end of the hour, times one at its start", steepest, 1.25)
    report.at_least(
        "a minute, times the speed of a new array per delta", minute.ratio(NAIVE, OURS), 5
    )
    report.at_least("the same, audio read after every delta", minute.ratio(NAIVE, OURS_READ), 3)
    report.at_most("KiB that 54 minutes add when no audio is kept", growth, 600)
    report.at_most("KiB that 54 minutes add when the last minute is kept", growth_with_window, 600)
    return report.finish()


def hour_costs(retention: Retention, turns: int) -> list[float]:
    """Microseconds per delta of audio in each tenth of an hour that is said in so many turns.

    Every delta is fresh: its audio has not been decoded before.
    """
    conversation = Conversation(retention=retention)
    apply = conversation.apply
    tenths = [0.0] * 10
    gc.collect()
    for minute in range(MINUTES):
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
    assert sum(item.audio_ms for item in conversation.items) == MINUTES * DELTAS * DELTA_MS
    return [seconds * 10 / (MINUTES * DELTAS) * 1e6 for seconds in tenths]


def grown_kib(retention: Retention) -> float:
    """KiB that are in use at the end of the hour and were not after its first tenth."""
    tracemalloc.start()
    conversation = Conversation(retention=retention)
    before = 0
    for minute in range(MINUTES):
        for event in minute_of(minute, MINUTES):
            conversation.apply(event)
        if minute == MINUTES // 10 - 1:
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(conversation.items) == MINUTES
    return (after - before) / 1024


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
            event_id="event_1", item=item, previous_item_id=f"item_{turn - 1}" if turn else None
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
