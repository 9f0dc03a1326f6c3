"""Messages as they were: on the wire of a session, in a recording, and read back from it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from peers import Server, counted_ids, created, memory_server, open_pair
from recordings import lines_of, read_back, saved
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.rewriting import rewrite
from realtime_trio._session import base
from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio.audio import AudioData
from realtime_trio.errors import LocalProtocolError, SlowConsumer
from realtime_trio.events import (
    ConversationItemDelete,
    ErrorDetail,
    ErrorEvent,
    Event,
    InputAudioBufferAppend,
    InputAudioBufferClear,
    InputAudioBufferCleared,
    InputAudioBufferCommit,
    ResponseOutputAudioDelta,
    SessionCreated,
    UnknownEvent,
)
from realtime_trio.recording import Recording, WireRecord, read_recording

SPACED = (
    '{"type" : "input_audio_buffer.cleared",\n "event_id": "e\\u00e9", "mood": 1.0, "deep":'
    + '{"a":[' * 400
    + "]}" * 400
    + "}"
)
"""A message that this version understands and would not have written: it has fields of another
version, is nested deeper than JSON can be written, and has lines and blanks of its own."""


def record_of(text: str | bytes, **options: Any) -> WireRecord:
    return WireRecord.of_message(
        5.0, "server", Codec(strict=False).decode(text), text, wall_time=1e9, **options
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "session.jsonl"


@asynccontextmanager
async def open_recorded(path: Path) -> AsyncIterator[tuple[Session, Server]]:
    near, peer = memory_server()
    await peer.say(created())
    async with open_session(transport=near, record=path) as session:
        yield session, peer


# --- in a session ---------------------------------------------------------------------------------


async def test_a_record_has_the_message_as_it_was_and_when(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, peer):
        wire = session.wire()
        before = time.time()
        await peer.transport.send(SPACED)
        await peer.transport.send(b'{"type":"?"}')
        await wait_all_tasks_blocked()
        await session.send_raw('{"type": "mood.set"}')
        await session.send(InputAudioBufferClear(event_id="mine"))
        await wait_all_tasks_blocked()
        await wire.receive()  # the session has been created
        records = [await wire.receive() for _ in range(4)]
    assert [(record.source, record.text) for record in records] == [
        ("server", SPACED),
        ("server", b'{"type":"?"}'),
        ("client", '{"type": "mood.set"}'),
        ("client", '{"type":"input_audio_buffer.clear","event_id":"mine"}'),
    ]
    assert isinstance(records[0].event, InputAudioBufferCleared)
    for record in records:
        assert record.wall_time is not None
        assert before <= record.wall_time <= time.time()


async def test_the_words_of_a_beta_session_are_beta(autojump_clock: MockClock) -> None:
    near, peer = memory_server()
    text = '{"type":"session.created","event_id":"e","session":{"id":"s","object":"x"}}'
    await peer.transport.send(text)
    async with open_session(transport=near, dialect=Dialect.BETA) as session:
        record = await session.wire().receive()
    assert (record.text, record.dialect, type(record.event)) == (
        text,
        Dialect.BETA,
        SessionCreated,
    )


async def test_nothing_is_recorded_while_nobody_listens(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    made: list[str] = []

    class Noted(WireRecord):
        @classmethod
        def of_message(cls, *arguments: Any, **options: Any) -> WireRecord:
            made.append(arguments[2].type)
            return WireRecord.of_message(*arguments, **options)

    monkeypatch.setattr(base, "WireRecord", Noted)
    async with open_pair() as (session, peer):
        await session.send(InputAudioBufferClear())
        assert made == ["session.created"]  # the opening is kept for the first who listens
        with session.wire():
            await session.send(InputAudioBufferCommit())
            await wait_all_tasks_blocked()
        assert made.pop() == "input_audio_buffer.commit"
        await peer.say(InputAudioBufferCleared(event_id="e"))
        await wait_all_tasks_blocked()
        del made[:]
        await peer.say(InputAudioBufferCleared(event_id="e"))
        await wait_all_tasks_blocked()
        assert made == []


async def test_of_what_comes_before_anybody_listens_only_the_opening_is_kept(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, peer):
        for number in range(3):
            await peer.say(InputAudioBufferCleared(event_id=f"e{number}"))
        await wait_all_tasks_blocked()
        with session.wire() as wire:
            assert (await wire.receive()).event.type == "session.created"
            with pytest.raises(SlowConsumer) as gap:
                await wire.receive()
            assert gap.value.dropped == 3
            await session.send(InputAudioBufferClear())
            assert (await wire.receive()).source == "client"


# --- a record by itself ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (ConversationItemDelete(item_id="a"), '{"type":"conversation.item.delete","item_id":"a"}'),
        (
            InputAudioBufferCleared(event_id="e"),
            '{"type":"input_audio_buffer.cleared","event_id":"e"}',
        ),
        (UnknownEvent(type="x", raw={"type": "x"}), '{"type":"x"}'),
        (UnknownEvent(raw="{broken", problem="not JSON: it is broken"), "{broken"),
        (UnknownEvent(raw=b"\xff", problem="not JSON: it is broken"), b"\xff"),
        (UnknownEvent(raw="a", problem="expected an object, got a string"), '"a"'),
        (UnknownEvent(raw=[1], problem="expected an object, got a list"), "[1]"),
    ],
)
def test_a_record_of_an_event_has_the_message_that_it_would_be(
    event: Event, text: str | bytes
) -> None:
    record = WireRecord(0.0, "server", event)
    assert (record.text, record.dialect, record.wall_time) == (text, Dialect.GA, None)


def test_an_event_that_does_not_travel_has_no_message() -> None:
    with pytest.raises(LocalProtocolError, match="cannot send Event"):
        _ = WireRecord(0.0, "server", Event()).text


def test_another_event_in_a_record_is_not_saved_in_the_words_of_the_first(path: Path) -> None:
    """Whoever replaces what was said by something harmless does not save what was said."""
    record = record_of('{"type":"input_audio_buffer.cleared","event_id":"secret"}')
    harmless = attrs.evolve(record, event=InputAudioBufferCleared(event_id="e"))
    assert "secret" not in saved(path, Recording.of([harmless])).read_text("utf-8")
    assert attrs.evolve(record, time=1.0).text == record.text


# --- in a file ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"input_audio_buffer.cleared","event_id":"e","future":{"a":1.0,"a":1}}',
        '{"type":"future.event","items":[1e2, 12345678901234567890123]}',
        '{"type":"response.done","event_id":"e","response":"a misfit"}',
        '{"type":"x","event":"e","y":{"time":1,"event":{}}}',
        "[1, 2]",
        '"a string"',
        '"',
        "not JSON at all\n",
        '{"a":' * 1100,
        '{"a":' * 1024 + "1" + "}" * 1024,
    ],
    ids=[
        "fields",
        "type",
        "misfit",
        "names of ours",
        "list",
        "string",
        "quote",
        "text",
        "too deep",
        "as deep as can be",
    ],
)
@pytest.mark.parametrize("scrubbed", [False, True])
def test_a_message_is_read_back_to_the_last_blank(path: Path, text: str, scrubbed: bool) -> None:
    record = record_of(text)
    options = {"scrub_audio": scrubbed, "scrub_secrets": scrubbed}
    [read] = read_recording(saved(path, Recording.of([record]), **options)).records
    assert (read.text, read.source, read.wall_time, read.dialect) == (
        text,
        "server",
        1e9,
        Dialect.GA,
    )
    assert type(read.event) is type(record.event)
    assert len(lines_of(path)) == 2


def test_lines_within_a_message_become_one(path: Path) -> None:
    [read] = read_recording(saved(path, Recording.of([record_of(SPACED)]))).records
    assert read.text == SPACED.replace("\n", " ")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"\xff\x00", "\\xff\x00"),
        ("\ud83d", "\\ud83d"),
        ("Bearer abc \ud83d", "<secret> \\ud83d"),
        (b'{"type":"x"}', '{"type":"x"}'),
    ],
)
def test_what_a_file_cannot_hold_is_shown(path: Path, text: str | bytes, shown: str) -> None:
    [read] = read_recording(saved(path, Recording.of([record_of(text)]))).records
    assert read.text == shown


def test_each_line_says_when_it_was_and_in_which_dialect(path: Path) -> None:
    beta = WireRecord.of_message(
        5.25,
        "server",
        Codec(dialect=Dialect.BETA).decode('{"type":"response.audio.delta"}'),
        '{"type":"response.audio.delta"}',
        dialect=Dialect.BETA,
        wall_time=1e9 + 0.25,
    )
    recording = Recording.of([record_of('{"type":"x"}'), beta])
    lines = lines_of(saved(path, recording))[1:]
    assert lines == [
        '{"time":0.0,"at":1000000000.0,"source":"server","event":{"type":"x"}}',
        '{"time":0.25,"at":1000000000.25,"source":"server","dialect":"beta",'
        '"event":{"type":"response.audio.delta"}}',
    ]
    assert read_recording(path) == recording
    assert [record.dialect for record in read_recording(path).records] == [
        Dialect.GA,
        Dialect.BETA,
    ]


async def test_a_beta_session_is_recorded_in_its_own_words(
    path: Path, autojump_clock: MockClock
) -> None:
    near, peer = memory_server()
    beta = Codec(Role.SERVER, Dialect.BETA)
    await peer.transport.send(beta.encode(created()))
    delta = ResponseOutputAudioDelta(
        event_id="e", response_id="r", item_id="i", output_index=0, content_index=0, delta=b"ab"
    )
    async with open_session(
        transport=near, dialect=Dialect.BETA, record=path, new_id=counted_ids()
    ):
        await peer.transport.send(beta.encode(delta))
        await wait_all_tasks_blocked()
    *_, last = read_recording(path).records
    assert last.event == delta
    assert '"dialect":"beta","event":{"type":"response.audio.delta"' in lines_of(path)[-1]


@pytest.mark.parametrize(
    "line",
    [
        '{"event": {"type": "x"}, "source": "client", "time": 1}',
        '{"time":1,"source":"client","event":{"type":"x"},"note":2}',
        '  {"time":1,"source":"client","event":{"type":"x"}} \r',
    ],
)
def test_a_line_may_have_been_written_by_somebody_else(path: Path, line: str) -> None:
    header = '{"version":1,"kind":"realtime","model":null}\n'
    path.write_text(f"{header}{line}\n", encoding="utf-8")
    [read] = read_recording(path).records
    assert (read.event.type, read.source, read.time, read.wall_time) == ("x", "client", 1, None)


@pytest.mark.parametrize(
    "line",
    [
        '{"time":1,"source":"client","event":{"type":"x}}',
        '{"time":1,"source":"client","event":"x}',
        '{"time":1,"at":"noon","source":"client","event":{}}',
        '{"time":1,"source":"client","dialect":"latin","event":{}}',
        '{"time":1,"source":"client","dialect":["beta"],"event":{}}',
        '{"time":1,"source":"client","event":',
        '{"time":1,"source":"client"}',
        "[1]",
    ],
)
def test_a_damaged_line_is_refused(path: Path, line: str) -> None:
    path.write_text(f'{{"version":1,"kind":"realtime","model":null}}\n{line}\n', encoding="utf-8")
    with pytest.raises(LocalProtocolError, match=r"line 2 .* is not a record"):
        read_recording(path)


# --- what is left out -----------------------------------------------------------------------------


def test_secrets_in_places_without_a_type_are_left_out(path: Path) -> None:
    texts = [
        '{"type":"session.created","event_id":"e","session":{"id":"s","type":"realtime",'
        '"client_secret":{"value":"hidden"},"future":{"headers":{"X":"hidden"}}}}',
        '{"type":"session.updated","event_id":"e","session":5,"server_url":"ws://hidden@x/?hidden"}',
        '{"type":"x","tools":[{"headers":[["X","hidden"]],"server_url":"https://x/?hidden"}]}',
        '{"type":"x","headers":{"X":"hidden',
        "x: Bearer hidden",
    ]
    events = read_back(path, *map(record_of, texts))
    assert "hidden" not in path.read_text("utf-8")
    assert [type(event) for event in events] == [SessionCreated, *[UnknownEvent] * 4]
    saved(path, Recording.of(map(record_of, texts)), scrub_secrets=False)
    assert path.read_text("utf-8").count("hidden") == 8


def test_scrubbing_audio_leaves_the_rest_of_a_message_as_it_was(path: Path) -> None:
    text = '{"type": "input_audio_buffer.append", "audio": "YWJj", "future": 1.0}'
    event = Codec(Role.SERVER).decode(text)
    record = WireRecord.of_message(0.0, "client", event, text)
    [read] = read_recording(saved(path, Recording.of([record]), scrub_audio=True)).records
    assert read.event == InputAudioBufferAppend(audio=bytes(3))
    assert read.text == text.replace("YWJj", "<3 bytes of audio>")


# --- hostile files and hostile peers --------------------------------------------------------------


def append(audio: str) -> str:
    return (
        '{"version":1,"kind":"realtime","model":null}\n{"time":0,"source":"client","event":'
        f'{{"type":"input_audio_buffer.append","audio":"{audio}"}}}}\n'
    )


def test_a_line_that_claims_audio_takes_no_memory(path: Path) -> None:
    path.write_text(append("<99999999 bytes of audio>"), encoding="utf-8")
    [record] = read_recording(path).records
    assert isinstance(record.event, InputAudioBufferAppend)
    assert record.event.audio.nbytes == 99_999_999
    assert record.event.audio._data is None
    assert record.event.audio._base64 is None


@pytest.mark.parametrize("claimed", ["99999999999999", "9" * 5000])
def test_more_audio_than_a_message_can_hold_is_not_believed(path: Path, claimed: str) -> None:
    path.write_text(append(f"<{claimed} bytes of audio>"), encoding="utf-8")
    [record] = read_recording(path).records
    assert isinstance(record.event, InputAudioBufferAppend)
    assert record.event.audio.base64 == f"<{claimed} bytes of audio>"


def test_silence_is_audio_like_any_other(path: Path) -> None:
    path.write_text(append("<4 bytes of audio>"), encoding="utf-8")
    [record] = read_recording(path).records
    event = record.event
    assert isinstance(event, InputAudioBufferAppend)
    assert event == InputAudioBufferAppend(audio=bytes(4))
    assert InputAudioBufferAppend(audio=bytes(4)) == event
    assert (event.audio.nbytes, event.audio.samples.tolist()) == (4, [0, 0])
    assert Codec().encode(event) == '{"type":"input_audio_buffer.append","audio":"AAAAAA=="}'
    assert AudioData.of(event.audio) is event.audio


@pytest.mark.parametrize("depth", [260, 500, 1000])
async def test_a_recorded_session_lives_with_whatever_is_said(
    depth: int, path: Path, autojump_clock: MockClock
) -> None:
    deep = '{"a":' * depth + '{"password":"hidden"}' + "}" * depth
    said = [f'{{"type":"x","deep":{deep}}}', f'{{"type":"error","event_id":"e","error":{deep}}}']
    async with open_recorded(path) as (session, peer):
        for text in said:
            await peer.transport.send(text)
        await wait_all_tasks_blocked()
        await session.send_raw(said[0])
        await wait_all_tasks_blocked()
        await peer.say(ErrorEvent(event_id="e", error=ErrorDetail(type="x", message="still here")))
        await wait_all_tasks_blocked()
    _, *records = read_recording(path).records
    clean = [text.replace("hidden", "<secret>") for text in said]
    assert [record.text for record in records[:3]] == [*clean, clean[0]]
    assert isinstance(records[3].event, ErrorEvent)


async def test_a_recorder_survives_what_is_not_text(path: Path, autojump_clock: MockClock) -> None:
    async with open_recorded(path) as (_, peer):
        await peer.transport.send(b"\xff\xfe")
        await peer.transport.send("\ud83d")
        await wait_all_tasks_blocked()
    assert [record.text for record in read_recording(path).records[1:]] == ["\\xff\\xfe", "\\ud83d"]


@pytest.mark.parametrize("depth", [90, 1000])
def test_rewriting_goes_as_deep_as_the_protocol_does(depth: int) -> None:
    raw: dict[str, object] = {"word": "old"}
    for _ in range(depth):
        raw = {"a": raw}
    event = UnknownEvent(type="x", raw={"word": "old", "deep": raw})
    changed = rewrite(event, lambda name, value: "new" if name == "word" else value)
    assert isinstance(changed.raw, dict)
    assert changed.raw["word"] == "new"
    assert (changed.raw["deep"] is raw) is (depth == 1000)
