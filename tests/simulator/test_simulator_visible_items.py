"""What the model sees of a conversation: sums that are kept up to date, at the price of news."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from itertools import pairwise
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, strategies as st
from service_client import audio

from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AssistantMessage,
    ConversationItemCreate,
    ConversationItemDelete,
    ErrorEvent,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    OutputAudio,
    ResponseConfig,
    ResponseCreate,
    RetentionRatio,
    SessionConfig,
    SessionUpdate,
    TokenLimits,
    Truncation,
    UserMessage,
)
from realtime_trio.simulator import Reply, Script, SimulatedServer
from realtime_trio.simulator.service.configuration import PCM
from realtime_trio.simulator.service.conversation import ServerConversation
from realtime_trio.simulator.service.item_entry import ItemEntry

# --- what is added up -----------------------------------------------------------------------------

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["say", "front", "behind", "speak", "understand", "reword", "remove"])
        | st.sampled_from(["read", "leave out", "look"]),
        st.integers(0, 30),
    ),
    max_size=40,
)


class Naive:
    """A conversation, and beside it what the last response has read, written down in full."""

    def __init__(self) -> None:
        self.conversation = ServerConversation("conv_1")
        self.entries: list[ItemEntry] = []
        self.read: list[tuple[str, int, int]] = []
        self.made = 0

    @property
    def seen(self) -> list[ItemEntry]:
        return [entry for entry in self.entries if not entry.is_left_out]

    def make(self, tokens: int, previous: str | None) -> None:
        self.made += 1
        if tokens % 3:
            entry = ItemEntry(f"item_{self.made}", UserMessage.text(" word" * tokens), PCM)
        else:
            entry = ItemEntry(f"item_{self.made}", UserMessage.audio(audio(tokens * 100)), PCM)
        before = self.conversation.insert(entry, previous)
        index = 0 if before is None else [one.id for one in self.entries].index(before) + 1
        self.entries.insert(index, entry)

    def take(self, step: str, number: int) -> None:
        visible = self.conversation.visible
        entry = self.entries[number % len(self.entries)] if self.entries else None
        match step:
            case "say":
                self.make(number, None)
            case "front":
                self.make(number, "root")
            case "behind" if entry is not None:
                self.make(number, entry.id)
            case "speak" if entry is not None:
                entry.speak(bytes(4_800 * number))
            case "understand" if entry is not None:
                entry.understand(f"word {number}")
            case "reword" if entry is not None:
                entry.become(UserMessage.text(" word" * number))
            case "remove" if entry is not None:
                self.conversation.remove(entry)
                self.entries.remove(entry)
            case "read":
                visible.read()
                self.read = [(one.id, *one.tokens) for one in self.seen]
            case "leave out":
                gone = self.seen[: number % 4]
                visible.leave_out(len(gone))
                assert all(one.is_left_out for one in gone)
                del self.read[: len(gone)]
            case _:
                self.look()

    def look(self) -> None:
        """Compare what is kept with what is there."""
        visible = self.conversation.visible
        seen = self.seen
        sums = visible.sizes()
        assert visible.entries(0) == seen
        assert visible.understood(0) == tuple(one.understood for one in seen)
        assert [
            (after[0] - before[0], after[1] - before[1]) for before, after in pairwise(sums)
        ] == [one.tokens for one in seen]
        # Never more than what is still the same; less only if something changed and changed back.
        assert [(one.id, *one.tokens) for one in seen[: visible.unread]] == self.read[
            : visible.unread
        ]
        assert self.conversation.has_spoken == any(one.spoken for one in self.entries)
        assert all(self.conversation.find(one.id) is one for one in self.entries)


@given(steps=_STEPS)
def test_the_sums_are_those_of_adding_everything_up(steps: list[tuple[str, int]]) -> None:
    naive = Naive()
    for step, number in steps:
        naive.take(step, number)
    naive.look()


def test_what_did_not_change_its_size_is_still_read() -> None:
    conversation = ServerConversation("conv_1")
    entries = [ItemEntry(f"item_{n}", UserMessage.audio(audio(500)), PCM) for n in range(3)]
    for entry in entries:
        conversation.insert(entry)
    conversation.visible.read()
    entries[1].understand("Hello.")
    entries[1].become(entries[1].understood)
    assert conversation.visible.unread == 3
    (part,) = entries[1].understood.content  # type: ignore[union-attr]  # it is a UserMessage
    assert conversation.visible.understood(1)[0] == entries[1].understood
    assert isinstance(part, InputAudio)
    assert part.transcript == "Hello."
    entries[1].become(UserMessage.text("Hello."))
    assert conversation.visible.unread == 1


def test_audio_is_told_once_to_those_who_listen() -> None:
    conversation = ServerConversation("conv_1")
    entries = [ItemEntry(f"item_{n}", UserMessage.audio(audio(500)), PCM) for n in range(3)]
    for entry in entries:
        conversation.insert(entry)
    conversation.insert(ItemEntry("item_text", UserMessage.text("Hello."), PCM))
    conversation.remove(entries[1])
    assert conversation.visible.take_unheard() == [entries[0], entries[2]]
    assert conversation.visible.take_unheard() == []


def test_speech_in_a_conversation_is_known_until_it_is_deleted() -> None:
    conversation = ServerConversation("conv_1")
    entry = ItemEntry("item_1", AssistantMessage(content=(OutputAudio(transcript="Hi."),)), PCM)
    conversation.insert(entry)
    spoken = [conversation.has_spoken]
    entry.speak(bytes(48_000))
    spoken.append(conversation.has_spoken)
    conversation.remove(entry)
    assert [*spoken, conversation.has_spoken] == [False, True, False]


# --- what it costs --------------------------------------------------------------------------------


def work_of(job: Callable[[], object]) -> int:
    """How many instructions Python executes for something: the same in every run."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        count += event == "opcode"
        return trace

    # Python 3.12 counts in no frame unless one has asked for it before.
    sys._getframe().f_trace_opcodes = True
    before = sys.gettrace()
    # What is collected meanwhile is somebody else's, and so are the instructions of its finalizers.
    gc.disable()
    sys.settrace(trace)
    try:
        job()
    finally:
        sys.settrace(before)
        gc.enable()
    return count


def written(server: SimulatedServer, number: int) -> None:
    server.receive(
        ConversationItemCreate(item=UserMessage.text(f"Turn {number % 10}."), event_id="e"), 0.0
    )
    server.receive(ResponseCreate(), 0.0)


def spoken(server: SimulatedServer, number: int) -> None:
    server.receive(InputAudioBufferAppend(audio=audio(200)), 0.0)
    server.receive(InputAudioBufferCommit(), 0.0)
    server.receive(ResponseCreate(), 0.0)


def called(server: SimulatedServer, number: int) -> None:
    call = FunctionCall(id=f"call_{number:05}", name="look", call_id=f"c{number:05}", arguments="")
    server.receive(ConversationItemCreate(item=UserMessage.text("Look.")), 0.0)
    server.receive(ConversationItemCreate(item=call), 0.0)
    output = FunctionCallOutput(call_id=f"c{number:05}", output="Seen.")
    # As clients do that always say where an item goes.
    server.receive(ConversationItemCreate(item=output, previous_item_id=f"call_{number:05}"), 0.0)
    server.receive(ResponseCreate(), 0.0)


def deleted(server: SimulatedServer, number: int) -> None:
    written(server, number)
    item = UserMessage.text("Never mind.", id=f"gone_{number:05}")
    server.receive(ConversationItemCreate(item=item), 0.0)
    server.receive(ConversationItemDelete(item_id=f"gone_{number:05}"), 0.0)


def apart(server: SimulatedServer, number: int) -> None:
    written(server, number)
    server.receive(ResponseCreate(response=ResponseConfig(conversation="none")), 0.0)


@pytest.mark.parametrize("limit", [None, 60])
@pytest.mark.parametrize("has_ears", [False, True])
@pytest.mark.parametrize("turn", [written, spoken, called, deleted, apart])
def test_the_five_hundredth_turn_is_as_much_work_as_the_tenth(
    turn: Callable[[SimulatedServer, int], None], has_ears: bool, limit: int | None
) -> None:
    # With a predicate, for which the server has to know what the user says.
    script = Script(
        [Reply.text("never", when=lambda _: False), *[Reply.text("Yes.")] * 1_100],
    )
    server = SimulatedServer(script, has_ears=has_ears)
    server.connect(0.0)
    # With the limit nearly everything has been left out in the end.
    truncation: Truncation = (
        "disabled"
        if limit is None
        else RetentionRatio(retention_ratio=1.0, token_limits=TokenLimits(post_instructions=limit))
    )
    server.receive(
        SessionUpdate(session=SessionConfig(output_modalities=("text",), truncation=truncation)),
        0.0,
    )

    def play(number: int) -> None:
        turn(server, number)
        for question in server.take_questions():
            server.transcription_ends(question.id, "Hello.", 0.0)
        assert not any(isinstance(event, ErrorEvent) for event in server.take_due(0.0))

    for number in range(10):
        play(number)
    early = work_of(lambda: play(10))
    for number in range(11, 500):
        play(number)
    late = work_of(lambda: play(500))
    # Ids have more digits in the end, and the tokens of a number vary.
    assert late == pytest.approx(early, rel=0.05)


def test_streaming_speech_costs_the_same_however_much_was_said() -> None:
    def spoken_at(length: int) -> int:
        conversation = ServerConversation("conv_1")
        for number in range(length):
            conversation.insert(ItemEntry(f"item_{number}", UserMessage.text("Hello."), PCM))
        entry = ItemEntry("item_x", AssistantMessage(content=(OutputAudio(),)), PCM)
        conversation.insert(entry)
        conversation.visible.read()

        def speak() -> None:
            for _ in range(100):
                entry.speak(AudioData(bytes(4_800)).data)
            conversation.visible.sizes()

        return work_of(speak)

    spoken_at(1)  # what is made once is made now
    assert spoken_at(1_000) == spoken_at(10)
