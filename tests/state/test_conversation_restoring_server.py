"""A conversation that was had is restored at another server: what that one has is what is told.

Both servers are the simulated one.  It is not asked what it thinks by its events alone: its own
list of items is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
import numpy as np
from conversation_events import tell
from histories import items_of, kept, restored, stored
from hypothesis import given, settings, strategies as st
from service_client import Client

from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.conversation.restoring import Restored
from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AssistantMessage,
    AudioConfig,
    AudioInputConfig,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemTruncate,
    ErrorEvent,
    Event,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    InputImage,
    InputText,
    Item,
    ResponseCancel,
    ResponseCreate,
    SessionConfig,
    SessionUpdate,
    SystemMessage,
    Transcription,
    UserMessage,
)
from realtime_trio.simulator import Call, Message, Pacing, Reply, Script, SimulatedServer

SLOW = Pacing(time_to_first_event=0.0, tokens_per_second=4.0, audio_speed=1.0)
IMAGE = "data:image/png;base64,AA=="
TOO_LATE = "response_cancel_not_active"
WORDS = st.sampled_from(["one", "two", "three", "zwölf", "今日は"])
TEXTS = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)


class Talk:
    """A conversation with a simulated server, as both sides have it."""

    def __init__(self, replies: Iterable[Reply] = (), transcripts: Iterable[str] = ()) -> None:
        script = Script(replies, transcripts=transcripts)
        self.client = Client(server=SimulatedServer(script))
        self.conversation = Conversation(retention="all")
        self.calls = 0
        heard_as = AudioInputConfig(
            turn_detection=None, transcription=Transcription(model="whisper-1")
        )
        self.send(SessionUpdate(session=SessionConfig(audio=AudioConfig(input=heard_as))))

    def send(self, *events: Event, after_s: float = 0.0) -> None:
        """Send these, and let some time pass."""
        for event in events:
            self.conversation.sent(event)
        self.hear(self.client.send(*events))
        self.wait(after_s)

    def wait(self, seconds: float) -> None:
        self.hear(self.client.take(self.client.now + seconds))

    def hear(self, events: Iterable[Event]) -> None:
        for event in events:
            is_late = isinstance(event, ErrorEvent) and event.error.code == TOO_LATE
            assert is_late or not isinstance(event, ErrorEvent), event
            tell(self.conversation, event)

    @property
    def at_the_server(self) -> list[str]:
        """Ids of the items that the server has, in its order."""
        return [entry.id for entry in self.client.server._conversation._entries]

    @property
    def here(self) -> list[str]:
        return [item.id for item in self.conversation.items]


@attrs.frozen
class Step:
    """Something that happens in a conversation."""

    kind: str
    text: str
    share: float
    """Which item it is about, or how far it goes: 0 to 1."""


def pick(items: list[ConversationItem], share: float) -> ConversationItem | None:
    return items[int(share * (len(items) - 1))] if items else None


def say(talk: Talk, step: Step) -> None:
    before = pick(list(talk.conversation.items), step.share)
    talk.send(
        ConversationItemCreate(
            item=UserMessage.text(step.text),
            previous_item_id=None if before is None else before.id,
        )
    )


def instruct(talk: Talk, step: Step) -> None:
    message = SystemMessage.text(step.text)
    talk.send(ConversationItemCreate(item=message, previous_item_id="root"))


def show(talk: Talk, step: Step) -> None:
    message = UserMessage(content=[InputText(step.text), InputImage(IMAGE, "low")])
    talk.send(ConversationItemCreate(item=message))


def speak(talk: Talk, step: Step) -> None:
    audio = AudioData(np.full(24 * (100 + int(900 * step.share)), 1000, np.int16))
    talk.send(InputAudioBufferAppend(audio=audio), InputAudioBufferCommit(), after_s=5.0)


def respond(talk: Talk, step: Step) -> None:
    talk.send(ResponseCreate(), after_s=60.0)


def interrupt(talk: Talk, step: Step) -> None:
    talk.send(ResponseCreate(), after_s=4.0 * step.share)
    talk.send(ResponseCancel(), after_s=1.0)
    spoken = [item for item in talk.conversation.items if item.role == "assistant"]
    if spoken and spoken[-1].audio_ms and step.share > 0.5:
        truncate(talk, step)


def truncate(talk: Talk, step: Step) -> None:
    spoken = [item for item in talk.conversation.items if item.role == "assistant"]
    item = pick([item for item in spoken if item.audio_ms], step.share)
    if item is not None:
        ms = round(item.audio_ms * step.share)
        talk.send(ConversationItemTruncate(item_id=item.id, content_index=0, audio_end_ms=ms))


def answer_call(talk: Talk, step: Step) -> None:
    answered = {item.call_id for item in talk.conversation.items if item.output is not None}
    calls = [item for item in talk.conversation.items if item.type == "function_call"]
    item = pick([item for item in calls if item.call_id not in answered], step.share)
    if item is not None:
        output = FunctionCallOutput(call_id=str(item.call_id), output=step.text)
        talk.send(ConversationItemCreate(item=output))


def delete(talk: Talk, step: Step) -> None:
    item = pick(list(talk.conversation.items), step.share)
    if item is not None:
        talk.send(ConversationItemDelete(item_id=item.id))


DEEDS: dict[str, Callable[[Talk, Step], None]] = {
    "say": say,
    "instruct": instruct,
    "show": show,
    "speak": speak,
    "answer with words": respond,
    "answer with a call": respond,
    "answer with both": respond,
    "answer slowly": interrupt,
    "truncate": truncate,
    "answer a call": answer_call,
    "delete": delete,
}
STEPS = st.lists(
    st.builds(Step, st.sampled_from(sorted(DEEDS)), TEXTS, st.floats(0, 1)), max_size=12
)


def reply_to(step: Step, number: int) -> Reply | None:
    call = Call("look", {"at": step.text}, call_id=f"call_{number}")
    match step.kind:
        case "answer with words":
            return Reply.text(step.text)
        case "answer slowly":
            return Reply.text(step.text * 3, pacing=SLOW)
        case "answer with a call":
            return Reply.calls(call)
        case "answer with both":
            return Reply(outputs=(Message(step.text), call))
        case _:
            return None


def talked(steps: list[Step]) -> Talk:
    """Have a conversation."""
    replies = [reply_to(step, number) for number, step in enumerate(steps)]
    talk = Talk(
        [reply for reply in replies if reply is not None],
        transcripts=[step.text for step in steps if step.kind == "speak"],
    )
    for step in steps:
        DEEDS[step.kind](talk, step)
    assert talk.here == talk.at_the_server
    return talk


def words_of(item: ConversationItem) -> str:
    """What of an item was written or heard, or is called or returned."""
    called = f"{item.name}({item.arguments})" if item.type == "function_call" else ""
    return item.text + item.heard_transcript.strip() + called + (item.output or "")


def check_restored(talk: Talk, there: Restored, meanwhile: int) -> Talk:
    """Restore a conversation at another server, while the user says something else."""
    other = Talk()
    own = UserMessage.text("And then?", id="item_meanwhile")
    at = meanwhile % (len(there.events) + 1)
    other.send(*there.events[:at])
    other.send(ConversationItemCreate(item=own))
    other.send(*there.events[at:])

    told = items_of(there)
    order = [str(item.id) for item in told]
    assert other.at_the_server == other.here == [*order, "item_meanwhile"]
    for item in told:
        assert content_of(other.client.item(str(item.id))) == content_of(item)

    differences: dict[int, set[str]] = {}
    for omission in there.omitted:
        assert omission.item_id == talk.here[omission.index]
        differences.setdefault(omission.index, set()).add(omission.what)
    stays = [at for at in range(len(talk.here)) if "item" not in differences.get(at, set())]
    assert [talk.here[at] for at in stays] == order
    for at in stays:
        before = talk.conversation.items[at]
        after = other.conversation.get(before.id)
        assert after is not None
        assert (after.type, after.role) == (before.type, before.role)
        what = differences.get(at, set())
        if "part" not in what:
            assert words_of(after) == words_of(before)
        if before.role == "user" and not what:
            assert after.audio_ms == before.audio_ms
            assert np.array_equal(after.audio, before.audio)
        if before.role == "assistant" and before.audio_ms:
            assert "audio" in what
        if before.heard_ms is not None:
            assert "words" in what
    return other


def content_of(item: Item) -> object:
    """An item without what servers add."""
    match item:
        case UserMessage() | SystemMessage() | AssistantMessage():
            return item.role, item.content
        case FunctionCall() | FunctionCallOutput():
            return attrs.evolve(item, status=None)
        case other:
            return other


@settings(max_examples=100, deadline=None)
@given(STEPS, st.integers(0, 20))
def test_what_was_stored_is_at_the_other_server_in_the_same_order(
    steps: list[Step], meanwhile: int
) -> None:
    talk = talked(steps)
    there = restored(stored(talk.conversation))
    assert kept(talk.conversation, encoding=None) == there
    other = check_restored(talk, there, meanwhile)
    # What has been restored once loses nothing any more.
    again = restored(stored(other.conversation))
    assert again.omitted == ()
    assert items_of(again)[:-1] == items_of(there)


@settings(max_examples=100, deadline=None)
@given(STEPS, st.integers(0, 20))
def test_what_is_still_here_is_at_the_other_server_with_the_users_audio(
    steps: list[Step], meanwhile: int
) -> None:
    talk = talked(steps)
    there = kept(talk.conversation)
    assert restored(stored(talk.conversation, audio=True)) == there
    check_restored(talk, there, meanwhile)
    spoken = [item for item in talk.conversation.items if item.role == "user" and item.audio_ms]
    sent = [
        part
        for item in items_of(there)
        if isinstance(item, UserMessage)
        for part in item.content
        if isinstance(part, InputAudio)
    ]
    assert len(sent) == len(spoken)
