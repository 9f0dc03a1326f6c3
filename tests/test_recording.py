"""Recordings: what is written while a session runs, what is left out, how it is read back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, strategies as st
from peers import Leaves
from recordings import client, created, lines_of, read_back, saved, server, wait_for_lines
from simulated import open_simulated, speech
from strategies import any_client_event, any_server_event
from trio.testing import wait_all_tasks_blocked

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.kinds import DEFAULT_MODEL, SessionKind
from realtime_trio._protocol.rewriting import rewrite
from realtime_trio._runtime.hub import EventHub
from realtime_trio._session.opening import open_session
from realtime_trio.audio import AudioData
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    AssistantMessage,
    AudioFormat,
    ClientEvent,
    ConversationItemCreate,
    ConversationItemRetrieved,
    ErrorDetail,
    ErrorEvent,
    Event,
    FunctionTool,
    InputAudioBufferAppend,
    McpTool,
    OutputAudio,
    Response,
    ResponseAudio,
    ResponseAudioOutput,
    ResponseCreated,
    ResponseOutputAudioDelta,
    SessionAudio,
    SessionAudioInput,
    SessionAudioOutput,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    TranscriptionSession,
    TranslationAudio,
    TranslationSession,
    TranslationSessionCreated,
    TranslationSessionOutputAudioDelta,
    UnknownEvent,
    UserMessage,
)
from realtime_trio.recording import Recording, WireRecord, open_recording, read_recording
from realtime_trio.simulator import Reply, Script, open_simulator_transport


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


# --- while a session runs -------------------------------------------------------------------------


async def test_a_session_is_recorded_from_its_first_event_to_its_last(path: Path) -> None:
    async with open_simulated(Reply.text("Good day."), output_modalities=["text"]) as session:
        wire = session.wire()
        async with open_recording(wire, path):
            await session.ask("Hello!")
    recording = read_recording(path)
    assert (recording.kind, recording.model, recording.dropped) == (
        SessionKind.REALTIME,
        DEFAULT_MODEL,
        0,
    )
    types = [(record.source, record.event.type) for record in recording.records]
    assert types[:4] == [
        ("server", "session.created"),
        ("client", "session.update"),
        ("server", "session.updated"),
        ("client", "conversation.item.create"),
    ]
    assert types[-1][0] == "server"
    assert recording.records[0].time == 0


async def test_the_file_is_one_json_object_a_line(path: Path) -> None:
    async with open_simulated() as session, open_recording(session.wire(), path):
        await session.insert_item(UserMessage.text("one\ntwo\u2028three"))
    header, first, *_ = map(json.loads, lines_of(path))
    assert header == {"version": 1, "kind": "realtime", "model": DEFAULT_MODEL}
    assert (first["time"], first["source"], first["event"]["type"]) == (
        0.0,
        "server",
        "session.created",
    )
    [create] = [
        record.event
        for record in read_recording(path).records
        if isinstance(record.event, ConversationItemCreate)
    ]
    assert create.item == attrs.evolve(UserMessage.text("one\ntwo\u2028three"), id=create.item.id)


async def test_what_has_happened_is_in_the_file_while_the_session_goes_on(path: Path) -> None:
    hub: EventHub[WireRecord] = EventHub()
    with trio.fail_after(5):
        async with open_recording(hub.subscribe(), path):
            for number in range(3):
                hub.publish(server(created())[0])
                await wait_for_lines(path, number + 2)


async def test_leaving_by_an_exception_still_writes_what_was_not_written(path: Path) -> None:
    hub: EventHub[WireRecord] = EventHub()
    with Leaves(RuntimeError, match="crash"):
        async with open_recording(hub.subscribe(), path):
            hub.publish(server(created())[0])
            raise RuntimeError("crash")
    assert len(read_recording(path).records) == 1


async def test_leaving_by_a_cancellation_does_too(path: Path) -> None:
    hub: EventHub[WireRecord] = EventHub()
    with trio.CancelScope() as scope:
        async with open_recording(hub.subscribe(), path):
            for record in server(*[created()] * 600):  # more than is written at once
                hub.publish(record)
            scope.cancel()
    assert len(read_recording(path).records) == 600


async def test_a_burst_is_written_whole(path: Path) -> None:
    hub: EventHub[WireRecord] = EventHub()
    async with open_recording(hub.subscribe(), path):
        for record in server(*[created()] * 600):
            hub.publish(record)
        await wait_all_tasks_blocked()
        hub.close()
    assert len(read_recording(path).records) == 600


async def test_records_that_were_missed_are_counted_where_they_are_missing(path: Path) -> None:
    hub: EventHub[WireRecord] = EventHub()
    wire = hub.subscribe(capacity=2)
    for record in server(*[created()] * 5):
        hub.publish(record)
    async with open_recording(wire, path):
        await wait_for_lines(path, 4)
        for record in server(*[created()] * 7):
            hub.publish(record)
    assert json.loads(lines_of(path)[3]) == {"dropped": 3}
    recording = read_recording(path)
    assert (len(recording.records), recording.dropped) == (4, 8)


async def test_a_gap_at_the_beginning_comes_after_the_header(path: Path) -> None:
    hub: EventHub[WireRecord] = EventHub(backlog=1)
    for record in server(created(), created()):
        hub.publish(record)
    wire = hub.subscribe()
    wire.receive_nowait()
    async with open_recording(wire, path):
        await wait_for_lines(path, 2)
    assert read_recording(path) == Recording(records=(), dropped=1)


async def test_a_session_in_which_nothing_happens_is_an_empty_recording(path: Path) -> None:
    hub: EventHub[WireRecord] = EventHub()
    hub.close()
    async with open_recording(hub.subscribe(), path):
        await wait_all_tasks_blocked()
    assert read_recording(path) == Recording(records=()) == Recording.of([])


async def test_the_file_is_written_in_another_thread(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[threading.Thread] = set()
    run_sync: Any = trio.to_thread.run_sync

    async def noted(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        def run() -> Any:
            threads.add(threading.current_thread())
            return function(*arguments)

        return await run_sync(run, **options)

    monkeypatch.setattr(trio.to_thread, "run_sync", noted)
    hub: EventHub[WireRecord] = EventHub()
    async with open_recording(hub.subscribe(), path):
        hub.publish(server(created())[0])
    assert threads
    assert threading.current_thread() not in threads


async def test_a_file_that_cannot_be_opened_is_found_at_once(tmp_path: Path) -> None:
    hub: EventHub[WireRecord] = EventHub()
    with pytest.raises(FileNotFoundError):
        async with open_recording(hub.subscribe(), tmp_path / "nowhere" / "session.jsonl"):
            raise AssertionError("unreachable")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
async def test_a_full_disk_ends_the_block() -> None:
    hub: EventHub[WireRecord] = EventHub()
    with trio.fail_after(5), Leaves(OSError, match="No space"):
        async with open_recording(hub.subscribe(), "/dev/full"):
            hub.publish(server(created())[0])
            await trio.sleep_forever()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
async def test_what_the_block_raises_wins_over_a_full_disk() -> None:
    hub: EventHub[WireRecord] = EventHub()
    with pytest.raises(KeyError) as raised:
        async with open_recording(hub.subscribe(), "/dev/full"):
            raise KeyError("mine")
    assert "No space" in raised.value.__notes__[0]


# --- what is left out -----------------------------------------------------------------------------


def test_secrets_are_left_out_unless_somebody_wants_them(path: Path) -> None:
    tools = (
        McpTool(
            server_label="docs",
            server_url="https://me:word@example.com/mcp?key=abc",
            authorization="oauth-token",
            headers={"X-Key": "very secret", "Authorization": "Bearer abc"},
        ),
        McpTool(server_label="plain", server_url="https://example.com/mcp"),
        FunctionTool(
            name="log_in",
            parameters={
                "properties": {"headers": {"type": "object"}, "password": {"type": "string"}}
            },
        ),
    )
    update = SessionUpdate(
        session=SessionConfig(tools=tools, instructions="The key is sk-proj-0123456789abcdef.")
    )
    refusal = ErrorEvent(
        event_id="event_2",
        error=ErrorDetail(type="x", message="Incorrect API key provided: ek_0123456789abcdef."),
    )
    raw = {
        "type": "session.tooled",
        "tools": [
            {"type": "mcp", "headers": {"X-Key": "very secret"}, "api_key": "hidden", "mode": 1}
        ],
    }
    strange = UnknownEvent(type="session.tooled", raw=raw)
    records = [*client(update), *server(refusal, strange)]
    [written, refused, tooled] = read_back(path, *records)
    text = path.read_text("utf-8")
    for secret in ("word", "abc", "oauth-token", "very secret", "hidden", "sk-proj", "ek_01"):
        assert secret not in text.replace("password", "")
    assert isinstance(written, SessionUpdate)
    assert isinstance(refused, ErrorEvent)
    assert refused.error.message == "Incorrect API key provided: <secret>."
    assert isinstance(written.session, SessionConfig)
    assert written.session.tools
    docs, plain, function = written.session.tools
    assert isinstance(docs, McpTool)
    assert docs.headers == {"X-Key": "<secret>", "Authorization": "<secret>"}
    assert docs.server_url == "https://<secret>example.com/mcp<secret>"
    assert (plain, function) == tools[1:]
    assert isinstance(tooled, UnknownEvent)
    clean = {"type": "mcp", "headers": {"X-Key": "<secret>"}, "api_key": "<secret>", "mode": 1}
    assert tooled.raw == {"type": "session.tooled", "tools": [clean]}
    assert read_back(path, *records, scrub_secrets=False) == [update, refusal, strange]


def test_scrubbed_audio_reads_as_silence_of_the_same_length(path: Path) -> None:
    loud = AudioData(speech(10))
    item = AssistantMessage(content=(OutputAudio(loud, "hello"),), id="a")
    place: dict[str, Any] = {
        "event_id": "event_2",
        "response_id": "r",
        "item_id": "a",
        "output_index": 0,
        "content_index": 0,
    }
    records = [
        *server(created()),
        *client(
            InputAudioBufferAppend(audio=loud), ConversationItemCreate(item=UserMessage.audio(loud))
        ),
        *server(
            ResponseOutputAudioDelta(**place, delta=loud),
            ConversationItemRetrieved(event_id="event_3", item=item),
        ),
    ]
    append, create, delta, retrieved = read_back(path, *records, scrub_audio=True)[1:]
    quiet = AudioData(bytes(loud.nbytes))
    assert append == InputAudioBufferAppend(audio=quiet)
    assert create == ConversationItemCreate(item=UserMessage.audio(quiet))
    assert delta == ResponseOutputAudioDelta(**place, delta=quiet)
    assert retrieved == ConversationItemRetrieved(
        event_id="event_3", item=attrs.evolve(item, content=(OutputAudio(quiet, "hello"),))
    )
    assert f"<{loud.nbytes} bytes of audio>" in path.read_text("utf-8")


def test_silence_is_what_it_is_in_the_format_of_the_session_or_of_the_response(path: Path) -> None:
    audio = SessionAudio(
        input=SessionAudioInput(format=AudioFormat.pcmu()),
        output=SessionAudioOutput(format=AudioFormat.pcma()),
    )
    place: dict[str, Any] = {
        "event_id": "event_2",
        "item_id": "a",
        "output_index": 0,
        "content_index": 0,
    }
    special = Response(
        id="r", audio=ResponseAudio(output=ResponseAudioOutput(format=AudioFormat.pcm()))
    )
    records = [
        *server(created(audio=audio)),
        *client(InputAudioBufferAppend(audio=b"abc")),
        *server(
            ResponseCreated(event_id="event_3", response=special),
            ResponseOutputAudioDelta(**place, response_id="r", delta=b"abcd"),
            ResponseCreated(event_id="event_4", response=Response(id="s")),
            ResponseOutputAudioDelta(**place, response_id="s", delta=b"abcd"),
            ResponseOutputAudioDelta(**place, response_id="unheard of", delta=b"abcd"),
        ),
    ]
    events = read_back(path, *records, scrub_audio=True)
    assert [event.audio.data for event in events if isinstance(event, InputAudioBufferAppend)] == [
        b"\xff" * 3
    ]
    assert [
        event.delta.data for event in events if isinstance(event, ResponseOutputAudioDelta)
    ] == [bytes(4), b"\xd5" * 4, b"\xd5" * 4]


def test_audio_of_events_from_the_future_is_scrubbed_too(path: Path) -> None:
    strange = [
        {"type": "song.append", "audio": AudioData(b"abc").base64, "title": "abc"},
        {"type": "response.sung_audio.delta", "delta": AudioData(b"abcdef").base64},
    ]
    events = read_back(
        path,
        *server(*[UnknownEvent(type=str(raw["type"]), raw=raw) for raw in strange]),
        scrub_audio=True,
    )
    assert [event.raw for event in events if isinstance(event, UnknownEvent)] == [
        {"type": "song.append", "audio": "<3 bytes of audio>", "title": "abc"},
        {"type": "response.sung_audio.delta", "delta": "<6 bytes of audio>"},
    ]


def test_rewriting_leaves_alone_what_does_not_change() -> None:
    update = SessionUpdate(
        session=SessionConfig(tools=(FunctionTool(name="a", parameters={"x": [1, {"y": "z"}]}),))
    )
    assert rewrite(update, lambda _, value: value) is update
    changed = rewrite(update, lambda name, value: "w" if name == "y" else value)
    assert changed == SessionUpdate(
        session=SessionConfig(tools=(FunctionTool(name="a", parameters={"x": [1, {"y": "w"}]}),))
    )


# --- reading --------------------------------------------------------------------------------------


def test_kind_and_model_are_told_by_the_first_event() -> None:
    translation = TranslationSession(
        id="sess_1", expires_at=1, model="gpt-realtime-translate", audio=TranslationAudio()
    )
    first = [
        created(),
        SessionCreated(event_id="event_1", session=TranscriptionSession()),
        TranslationSessionCreated(event_id="event_1", session=translation),
        ErrorEvent(event_id="event_1", error=ErrorDetail(type="x", message="no")),
    ]
    recordings = [Recording.of(server(event)) for event in first]
    assert [(recording.kind, recording.model) for recording in recordings] == [
        (SessionKind.REALTIME, "gpt-realtime"),
        (SessionKind.TRANSCRIPTION, None),
        (SessionKind.TRANSLATION, "gpt-realtime-translate"),
        (SessionKind.REALTIME, None),
    ]


def test_a_translation_session_is_read_as_one(path: Path) -> None:
    session = TranslationSession(
        id="sess_1", expires_at=1, model="gpt-realtime-translate", audio=TranslationAudio()
    )
    events = [
        TranslationSessionCreated(event_id="event_1", session=session),
        TranslationSessionOutputAudioDelta(event_id="event_2", delta=b"ab", elapsed_ms=200),
    ]
    recording = read_recording(saved(path, Recording.of(server(*events))))
    assert (recording.kind, [record.event for record in recording.records]) == (
        SessionKind.TRANSLATION,
        events,
    )
    assert [record.time for record in recording.records] == [0.0, 0.25]


def test_what_was_no_event_is_read_as_the_same(path: Path) -> None:
    strange = [
        UnknownEvent(
            event_id="event_1", type="song.sung", raw={"event_id": "event_1", "type": "song.sung"}
        ),
        UnknownEvent(raw="{broken", problem="not JSON"),
        UnknownEvent(raw=b"\xff\x00", problem="not JSON"),
        UnknownEvent(raw=[1, 2], problem="expected an object, got a list"),
    ]
    events = read_back(path, *server(*strange))
    assert all(isinstance(event, UnknownEvent) for event in events)
    assert [event.raw for event in events if isinstance(event, UnknownEvent)] == [
        strange[0].raw,
        "{broken",
        "\\xff\x00",
        [1, 2],
    ]
    assert events[0] == strange[0]


def test_what_was_missed_survives_being_saved_again(path: Path) -> None:
    recording = Recording(
        records=tuple(attrs.evolve(record, time=0.0) for record in server(created())),
        model="gpt-realtime",
        dropped=3,
    )
    assert read_recording(saved(path, recording)) == recording


def test_a_last_line_that_a_crash_has_cut_off_is_ignored(path: Path) -> None:
    text = saved(path, Recording.of(server(created(), created()))).read_text("utf-8")
    path.write_text(text[:-20], encoding="utf-8")
    assert len(read_recording(path).records) == 1
    path.write_bytes(text.encode() + b'{"time": 1, "event": "\xc3')
    assert len(read_recording(path).records) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "its first line is not the header"),
        ("hello\n", "its first line is not the header"),
        ('{"version": 1, "kind": "opera", "model": null}\n', "its first line is not the header"),
        (
            '{"type": "error", "event_id": "e", "error": {"type": "x", "message": "y"}}\n',
            "its first line is not the header",
        ),
        (
            '{"version": 2, "kind": "realtime", "model": null}\n',
            "version 2; this library reads version 1",
        ),
        (
            '{"version": 1, "kind": "realtime", "model": null}\n{"time": 0}\n',
            "line 2 .* not a record",
        ),
        ('{"version": 1, "kind": "realtime", "model": null}\nhm\n', "line 2 .* not a record"),
        (
            '{"version": 1, "kind": "realtime", "model": null}\n'
            '{"time": 0, "source": "me", "event": {}}\n',
            "line 2 .* not a record",
        ),
    ],
)
def test_what_is_no_recording_is_refused_with_the_line(path: Path, text: str, problem: str) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LocalProtocolError, match=problem):
        read_recording(path)


@given(st.lists(any_client_event() | any_server_event(), max_size=5))
def test_every_event_is_read_as_it_came_over_the_wire(
    tmp_path_factory: pytest.TempPathFactory, events: list[Event]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    ours, theirs = Codec(Role.CLIENT), Codec(Role.SERVER)
    records = server(created())
    expected: list[Event] = [created()]
    for event in events:
        is_ours = isinstance(event, ClientEvent)
        sender, receiver = (ours, theirs) if is_ours else (theirs, ours)
        records += client(event) if is_ours else server(event)
        expected.append(receiver.decode(sender.encode(event)))
    assert read_back(path, *records, scrub_secrets=False) == expected


@given(any_client_event() | any_server_event())
def test_whatever_was_scrubbed_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, event: Event
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    records = client(event) if isinstance(event, ClientEvent) else server(event)
    [read] = read_back(path, *records, scrub_audio=True, scrub_secrets=True)
    assert type(read) is type(event)


async def test_a_session_is_recorded_from_its_opening_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    async with (
        open_simulator_transport(Script([Reply.text("Hi.")])) as transport,
        open_session(transport=transport, record=path, output_modalities=["text"]) as session,
    ):
        assert (await session.ask("Hello?")).text == "Hi."
    types = [record.event.type for record in read_recording(path).records]
    assert types[:3] == ["session.created", "session.update", "session.updated"]
    assert types[-2:] == ["response.done", "rate_limits.updated"]


async def test_a_session_that_cannot_be_recorded_does_not_begin(tmp_path: Path) -> None:
    async with open_simulator_transport(Script()) as transport:
        with pytest.raises(IsADirectoryError):
            async with open_session(transport=transport, record=tmp_path):
                pass
