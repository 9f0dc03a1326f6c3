"""Whatever happens, a playback agrees with a model that is too simple to be wrong.

The model keeps every sample by itself: where it is, and of which part.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from played_talk import PlayedTalk
from strategies import any_server_event

from realtime_trio._state.utility_events import Interrupted
from realtime_trio.events import (
    ClientEvent,
    ConversationItemDelete,
    ConversationItemTruncate,
    Response,
    ResponseCancel,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
)
from realtime_trio.playback import Playback

Key = tuple[str, int]
Sample = tuple[Key, int]
"""The part it is of, and its value."""

RATE = 24_000
ITEMS = st.integers(1, 4)
PARTS = st.integers(0, 1)
COUNTS = st.one_of(st.integers(0, 60), st.integers(0, 600))


class PlaybackMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        """In samples."""
        self.round = 0
        self.value = 0
        self.queue: list[Sample] = []
        self.due: list[tuple[Sample, int]] = []
        """With the sample of the clock at which each has been played."""
        self.received: Counter[Key] = Counter()
        self.heard: Counter[Key] = Counter()
        self.order: list[Key] = []
        self.final: set[Key] = set()
        self.silenced: set[str] = set()
        self.cancelled: set[str] = set()
        self.active: str | None = None
        self.marks: list[tuple[str, int]] = []
        """With how many samples are due before it; -1 once it was cleared."""

    @initialize(tracking=st.sampled_from(["taken", "reported", "clock"]))
    def open(self, tracking: str) -> None:
        self.tracking = tracking
        clock = (lambda: self.now / RATE) if tracking == "clock" else None
        self.playback = Playback(RATE, tracking=tracking, clock=clock)  # type: ignore[arg-type]

    # --- being fed --------------------------------------------------------------------------------

    def response(self) -> str:
        return f"resp_{self.round}"

    def item(self, number: int) -> str:
        return f"item_{self.round}_{number}"

    @rule(says=st.booleans())
    def a_response_begins(self, says: bool) -> None:
        self.round += 1
        if says:
            response = Response(id=self.response(), status="in_progress", conversation_id="conv_1")
            assert not self.playback.apply(ResponseCreated(event_id="e", response=response))
            self.active = self.response()

    @rule()
    def a_response_ends(self) -> None:
        response = Response(id=self.response(), status="completed", conversation_id="conv_1")
        assert not self.playback.apply(ResponseDone(event_id="e", response=response))
        if self.active == self.response():
            self.active = None
        self.final |= {key for key in self.order if key[0].startswith(f"item_{self.round}_")}

    @rule(number=ITEMS, index=PARTS, count=COUNTS)
    def audio_arrives(self, number: int, index: int, count: int) -> None:
        item_id, key = self.item(number), (self.item(number), index)
        samples = (np.arange(self.value, self.value + count) % 30_000).astype(np.int16)
        self.value += count
        is_played = self.playback.append(
            samples, item_id, content_index=index, response_id=self.response()
        )
        assert is_played == (item_id not in self.silenced and self.response() not in self.cancelled)
        if not is_played:
            return
        if key not in self.order:
            self.order.append(key)
        self.final = (self.final | set(self.order)) - {key}  # one part after the other
        self.received[key] += count
        self.queue += [(key, int(value)) for value in samples]

    @rule(number=ITEMS)
    def an_item_is_complete(self, number: int) -> None:
        self.playback.finish(self.item(number))
        self.final |= {key for key in self.order if key[0] == self.item(number)}

    @rule(number=ITEMS)
    def an_item_is_deleted(self, number: int) -> None:
        self.playback.stop(self.item(number))
        self.silenced.add(self.item(number))
        self.queue = [sample for sample in self.queue if sample[0][0] != self.item(number)]

    # --- the sink ---------------------------------------------------------------------------------

    @rule(count=COUNTS, fills=st.booleans())
    def samples_are_taken(self, count: int, fills: bool) -> None:
        if fills:
            out = np.full(count, -1, np.int16)
            filled = self.playback.fill(out)
            assert not out[filled:].any()
            samples = out[:filled]
        else:
            samples = self.playback.take(count)
        taken, self.queue = self.queue[:count], self.queue[count:]
        assert samples.tolist() == [value for _, value in taken]
        if self.tracking == "taken":
            self.heard.update(key for key, _ in taken)
            return
        start = max(self.now, self.due[-1][1] if self.due else self.now)
        self.due += [(sample, start + 1 + i) for i, sample in enumerate(taken)]

    def play(self, count: int) -> None:
        self.heard.update(sample[0] for sample, _ in self.due[:count])
        self.due = self.due[count:]
        self.marks = [(name, max(-1, place - count)) for name, place in self.marks]

    @precondition(lambda self: self.tracking == "reported")
    @rule(count=COUNTS)
    def the_sink_counts(self, count: int) -> None:
        self.playback.played(count)
        self.play(count)

    @precondition(lambda self: self.tracking == "reported")
    @rule()
    def a_mark_is_set(self) -> None:
        self.marks.append((self.playback.mark(), len(self.due)))

    @precondition(lambda self: self.marks)
    @rule(data=st.data())
    def a_mark_comes_back(self, data: st.DataObject) -> None:
        name, place = data.draw(st.sampled_from(self.marks))
        self.playback.reached(name)
        self.play(max(0, place))

    @precondition(lambda self: self.tracking == "clock")
    @rule(count=COUNTS)
    def time_passes(self, count: int) -> None:
        self.now += count
        self.play(sum(1 for _, end in self.due if end <= self.now))

    # --- interrupting -----------------------------------------------------------------------------

    def cut(self, meant: str | None) -> list[ClientEvent]:
        """Silence a response, or everything; returns what the server is to be told."""

        def is_meant(key: Key) -> bool:
            return meant is None or key[0].startswith(f"item_{meant.removeprefix('resp_')}_")

        is_sink_silenced = all(is_meant(key) for (key, _), _ in self.due)
        heard = self.heard + Counter(key for (key, _), _ in self.due if not is_sink_silenced)
        expected: list[ClientEvent] = []
        ms = {key: heard[key] // 24 for key in self.order}
        all_missed = [
            key
            for key in self.order
            if is_meant(key)
            and key[0] not in self.silenced
            and (key not in self.final or ms[key] < self.received[key] // 24)
        ]
        # The item of which something was missed first comes first.
        for item_id in dict.fromkeys(key[0] for key in all_missed):
            keys = [key for key in self.order if key[0] == item_id]
            missed = [key for key in all_missed if key[0] == item_id]
            self.silenced.add(item_id)
            if any(key not in self.final for key in missed):
                self.cancelled.add("resp_" + item_id.split("_")[1])
            if any(ms[key] for key in keys):
                expected += [
                    ConversationItemTruncate(
                        item_id=item_id, content_index=key[1], audio_end_ms=ms[key]
                    )
                    for key in missed
                ]
            elif any(self.received[key] for key in keys):
                expected.append(ConversationItemDelete(item_id=item_id))
        self.queue = [sample for sample in self.queue if not is_meant(sample[0])]
        if is_sink_silenced:
            self.due = []
            self.marks = [(name, -1) for name, _ in self.marks]
        return expected

    @rule(by_server=st.booleans())
    def somebody_interrupts(self, by_server: bool) -> None:
        expected = self.cut(None)
        if self.active is not None:
            self.cancelled.add(self.active)
            if not by_server:
                expected.insert(0, ResponseCancel(response_id=self.active))
        self.active = None
        if by_server:
            events = self.playback.apply(Interrupted(item=None, audio_start_ms=0))
        else:
            events = self.playback.interrupt().events
        assert list(events) == expected

    @rule(ago=st.integers(0, 2))
    def one_response_is_interrupted(self, ago: int) -> None:
        response_id = f"resp_{self.round - ago}"
        expected = self.cut(response_id)
        self.cancelled.add(response_id)
        if self.active == response_id:
            self.active = None
            expected.insert(0, ResponseCancel(response_id=response_id))
        interruption = self.playback.interrupt(response_id)
        assert list(interruption.events) == expected
        if interruption.playing is not None:
            assert str(interruption.playing.item_id).startswith(f"item_{self.round - ago}_")

    # --- looking ----------------------------------------------------------------------------------

    @invariant()
    def it_knows_what_was_heard_and_what_is_left(self) -> None:
        if not hasattr(self, "playback"):
            return
        assert self.playback.queued == len(self.queue)
        assert self.playback.unheard == len(self.queue) + len(self.due)
        assert self.playback.is_audible == bool(self.queue or self.due)
        told = {(part.item_id, part.content_index): part for part in self.playback.parts}
        for key in self.order[-32:]:
            part = told[key]
            assert part.heard_ms == self.heard[key] // 24
            assert part.received_ms == self.received[key] // 24
        pending = [sample for sample, _ in self.due] + self.queue
        playing = self.playback.playing
        if pending:
            assert playing is not None
            assert (playing.item_id, playing.content_index) == pending[0][0]
        elif playing is not None:
            assert not playing.is_final


TestAgainstASimpleModel = PlaybackMachine.TestCase


@pytest.mark.parametrize("tracking", ["taken", "reported"])
@given(said=st.lists(any_server_event(), max_size=12))
def test_whatever_a_server_says_nothing_is_raised(tracking: str, said: list[ServerEvent]) -> None:
    talk = PlayedTalk(tracking=tracking)
    for event in said:
        talk.hear(event)
        talk.playback.take(100)
    talk.interrupt()
    assert not talk.playback.is_audible
