"""Whatever a client sends in whatever order, the simulated server keeps its own order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from hypothesis import given, strategies as st
from service_client import LOOK, Client, of_type

from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._transport.contract import Close
from realtime_trio.audio import AudioData
from realtime_trio.events import (
    AudioFormat,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDone,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    ErrorEvent,
    Event,
    FunctionCall,
    FunctionCallOutput,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    ItemReference,
    Response,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseOutputAudioDelta,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    SemanticVad,
    ServerEvent,
    ServerVad,
    SessionConfig,
    SessionUpdate,
    Transcription,
    TranscriptionSessionConfig,
    UnknownEvent,
    UnknownObject,
    UserMessage,
)
from realtime_trio.simulator import (
    Call,
    Pacing,
    Reply,
    Script,
    SimulatedServer,
)

NAMES = st.sampled_from(["a", "b", "root", "", "item_000000000000000000009", "x" * 33])


ITEMS = st.one_of(
    st.builds(
        lambda text, name: UserMessage.text(text, id=name or None), st.text(max_size=5), NAMES
    ),
    st.builds(
        lambda size, name: UserMessage.audio(bytes(size), id=name or None),
        st.integers(0, 9000),
        NAMES,
    ),
    st.builds(lambda name: FunctionCall(name="f", arguments="{}", call_id=name or None), NAMES),
    st.builds(lambda name: FunctionCallOutput(call_id=name, output="x"), NAMES),
    st.just(UnknownObject("gizmo", {"type": "gizmo"})),
)


FORMATS = st.sampled_from(
    [AudioFormat.pcm(), AudioFormat.pcmu(), AudioFormat.pcma(), AudioFormat(type="x")]
)


UPDATES = st.one_of(
    st.builds(lambda f: SessionConfig.of(input_format=f), FORMATS),
    st.builds(lambda f: SessionConfig.of(output_format=f), FORMATS),
    st.sampled_from(
        [
            SessionConfig(output_modalities=("text",)),
            SessionConfig(output_modalities=("audio",)),
            SessionConfig.of(voice="cedar", speed=1.5),
            SessionConfig.of(transcription=Transcription(model="whisper-1"), turn_detection=None),
            SessionConfig.of(turn_detection=SemanticVad(), tracing="auto"),
            SessionConfig.of(
                turn_detection=ServerVad(silence_duration_ms=0, interrupt_response=False)
            ),
            TranscriptionSessionConfig(),
        ]
    ),
)


RESPONSES = st.builds(
    ResponseConfig,
    conversation=st.sampled_from([None, "auto", "none", "x"]),
    output_modalities=st.sampled_from([None, ("text",), ("audio",), ()]),
    max_output_tokens=st.sampled_from([None, 1, 5, "inf"]),
    input=st.one_of(
        st.none(),
        st.lists(st.one_of(ITEMS, st.builds(ItemReference, id=NAMES)), max_size=2).map(tuple),
    ),
)


CLIENT_EVENTS = st.one_of(
    st.builds(ConversationItemCreate, item=ITEMS, previous_item_id=st.one_of(st.none(), NAMES)),
    st.builds(ConversationItemDelete, item_id=NAMES),
    st.builds(ConversationItemRetrieve, item_id=NAMES),
    st.builds(
        ConversationItemTruncate,
        item_id=NAMES,
        content_index=st.integers(-1, 1),
        audio_end_ms=st.integers(-1, 500),
    ),
    st.builds(InputAudioBufferAppend, audio=st.integers(0, 9000).map(bytes)),
    st.builds(
        InputAudioBufferAppend,
        audio=st.integers(0, 9000).map(lambda size: 0.5 * np.sin(np.arange(size))),
    ),
    st.builds(
        lambda text: InputAudioBufferAppend(audio=AudioData.from_base64(text)), st.just("%%%%")
    ),
    st.just(InputAudioBufferCommit()),
    st.just(InputAudioBufferClear()),
    st.builds(SessionUpdate, session=UPDATES),
    st.builds(ResponseCreate, response=st.one_of(st.none(), RESPONSES)),
    st.builds(ResponseCancel, response_id=st.one_of(st.none(), NAMES)),
    st.builds(
        UnknownEvent,
        type=st.text(max_size=3),
        raw=st.sampled_from([b"", {}, "x"]),
        problem=st.sampled_from([None, "not JSON", "odd"]),
    ),
)


PACINGS = st.sampled_from(
    [
        None,
        Pacing(time_to_first_event=0.5, tokens_per_second=4.0, audio_speed=2.0),
        Pacing(audio_speed=0.5),
    ]
)


REPLIES = st.one_of(
    st.builds(lambda pacing: Reply.text("One two three.", pacing=pacing), PACINGS),
    st.builds(
        lambda pacing: Reply.speech("Yes.", np.zeros(9600, np.int16), pacing=pacing).then(LOOK),
        PACINGS,
    ),
    st.builds(lambda pacing: Reply.calls(Call("f"), Call("g", "a b c"), pacing=pacing), PACINGS),
    st.builds(Reply.fail, st.just("x"), st.just("y")),
)


def check_order(events: Sequence[Event]) -> None:
    """What must hold of everything a server ever says."""
    ids = [event.event_id for event in events if isinstance(event, ServerEvent)]
    assert len(ids) == len(events) == len({*ids})
    created = [event.response.id for event in of_type(events, ResponseCreated)]
    done = [event.response.id for event in of_type(events, ResponseDone)]
    assert Counter(created) == Counter(done)
    assert len({*created}) == len(created)
    active: str | None = None
    open_items: Counter[str | None] = Counter()
    open_outputs: set[tuple[str, int]] = set()
    for event in events:
        match event:
            case ResponseCreated(response=Response(id=name, conversation_id=str())):
                assert active is None
                active = name
            case ResponseDone(response=response):
                assert not any(owner == response.id for owner, _ in open_outputs)
                active = None if active == response.id else active
                assert response.status in ("completed", "cancelled", "incomplete", "failed")
            case ConversationItemAdded(item=item):
                open_items[item.id] += 1
            case ConversationItemDone(item=item):
                assert open_items[item.id] > 0
                open_items[item.id] -= 1
            case ResponseOutputItemAdded(response_id=owner, output_index=index):
                open_outputs.add((owner, index))
            case ResponseOutputItemDone(response_id=owner, output_index=index):
                open_outputs.remove((owner, index))
            case (
                ResponseOutputTextDelta()
                | ResponseOutputAudioDelta()
                | ResponseFunctionCallArgumentsDelta()
            ):
                assert (event.response_id, event.output_index) in open_outputs
    assert active is None
    assert not +open_items
    assert not open_outputs


@given(
    kind=st.sampled_from([SessionKind.REALTIME, SessionKind.REALTIME, SessionKind.TRANSCRIPTION]),
    replies=st.lists(REPLIES, max_size=4),
    delay=st.sampled_from([0.0, 0.3, 100.0]),
    steps=st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.6]), CLIENT_EVENTS), max_size=25),
)
def test_nothing_a_client_sends_breaks_the_server(
    kind: SessionKind, replies: list[Reply], delay: float, steps: list[tuple[float, Event]]
) -> None:
    client = Client(
        server=SimulatedServer(
            Script(replies, transcripts=["x", None], transcription_delay=delay), kind=kind
        )
    )
    theirs = client.theirs
    said: list[Event] = []
    now = 0.0
    for pause, event in steps:
        now += pause
        client.server.receive(event, now)
        if pause:
            said += client.take(now)
    while (due := client.server.next_due) is not None and due < 3600:
        said += client.take(due)
    check_order(said)
    assert all(theirs.encode(event) for event in said)
    assert isinstance(client.take(3600)[-1], ErrorEvent)
    assert client.server.close == Close(1001, "session_expired")
