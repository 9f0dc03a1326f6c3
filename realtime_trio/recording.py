"""What went over the wire, kept in a file: written while the session runs, and read back.

Owns the file format.  It needs no session, only a stream of wire records such as `session.wire()`.
What is left out of a message is in `_protocol.scrubbing`.

The first line is `{"version": 1, "kind": ..., "model": ...}`; every other line is a record::

    {"time": seconds since the first record, "at": seconds since 1970,
     "source": "client" or "server", "event": the message}

The message is the text that was on the wire, but for what was left out.  `"dialect": "beta"` stands
before one in that dialect.  A message that was not a JSON object is a string.  Where records were
missed because the disk did not keep up, `{"dropped": n}` stands in their place.
"""

from __future__ import annotations

import errno
import io
import math
import os
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import attrs
import trio

from realtime_trio._frozen import frozen
from realtime_trio._protocol.codec import Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.json_text import parse_json, write_json
from realtime_trio._protocol.kinds import SessionKind, kind_opened_by
from realtime_trio._protocol.rewriting import rewrite
from realtime_trio._protocol.scrubbing import scrub, without_keys
from realtime_trio._protocol.wire_record import (
    Source as Source,
    WireRecord as WireRecord,
    codec_of,
    is_not_json,
)
from realtime_trio._runtime.disk import in_thread, write_all
from realtime_trio._runtime.hub import EventStream
from realtime_trio._runtime.nursery import open_service_nursery
from realtime_trio.audio.data import AudioData
from realtime_trio.errors import LocalProtocolError, SessionClosed, SlowConsumer
from realtime_trio.events import (
    AudioFormat,
    Event,
    OutputAudio,
    Response,
    ResponseCreated,
    ResponseOutputAudioDelta,
    SessionAudio,
    SessionCreated,
    SessionUpdated,
    TranscriptionSession,
    TranslationSessionCreated,
    UnknownEvent,
)

VERSION: Final = 1
"""Version of the file format."""

_BATCH: Final = 256
"""Records written at once: enough for a burst, and at most some megabytes of text."""
_BEFORE_MESSAGE: Final = ',"event":'
"""What stands in a line before the message, and nowhere in front of that."""
_LINE_BREAKS: Final = re.compile(r"[\r\n]")
_KIND_NAMES: Final = frozenset(kind.value for kind in SessionKind)
_DIALECTS: Final = tuple(dialect.value for dialect in Dialect)

# --- silence --------------------------------------------------------------------------------------

# Eight digits are more than a message can hold.  What claims more is not a mark of ours.
_MARK: Final = re.compile(r"<(\d{1,8}) bytes of audio>")
# G.711 inverts bits on the line, so that silence is not a long run of zeros.
_SILENCE: Final[Mapping[str, int]] = {"audio/pcmu": 0xFF, "audio/pcma": 0xD5}
"""The byte that means silence in a format, where that is not zero."""


class AudioFormats:
    """Which formats audio is in, as far as a session has told by now."""

    def __init__(self) -> None:
        self.input: str | None = None
        """Type of the format of the user's audio; None if it is not known."""
        self._output: str | None = None
        self._of_response: dict[str, str | None] = {}

    def follow(self, event: Event) -> None:
        """Take note of the next event of the session."""
        match event:
            case SessionCreated(session=session) | SessionUpdated(session=session):
                audio = session.audio or SessionAudio()
                self.input = _type_of(audio.input.format if audio.input else None)
                self._output = _type_of(audio.output.format if audio.output else None)
            case ResponseCreated(response=Response(id=response_id, audio=spoken)):
                # A response may have a format of its own, which its deltas do not repeat.
                output = spoken.output if spoken else None
                self._of_response[response_id] = (
                    _type_of(output.format if output else None) or self._output
                )

    def output(self, response_id: str | None = None) -> str | None:
        """Type of the format that a response is spoken in, or else the session's."""
        return (
            self._output
            if response_id is None
            else self._of_response.get(response_id, self._output)
        )


class _Silence:
    """Puts silence where audio was scrubbed.

    It has to follow the session, since the bytes of silence depend on the format.
    """

    def __init__(self) -> None:
        self._formats = AudioFormats()

    def restore(self, record: WireRecord) -> WireRecord:
        event = record.event
        self._formats.follow(event)
        # Most recordings have their audio, and no mark in any message.
        if not (isinstance(record.text, str) and "bytes of audio>" in record.text):
            return record
        encoding = self._formats.input
        if isinstance(event, ResponseOutputAudioDelta):
            encoding = self._formats.output(event.response_id)
        restored = rewrite(event, partial(self._replace, encoding))
        return WireRecord.of_message(
            record.time,
            record.source,
            restored,
            record.text,
            dialect=record.dialect,
            wall_time=record.wall_time,
        )

    def _replace(self, encoding: str | None, name: str, value: object) -> object:
        match value:
            # An item does not say in which response it was spoken: the session's format is assumed.
            case OutputAudio(audio=AudioData() as audio):
                return attrs.evolve(value, audio=_silence(audio, self._formats.output()))
            case AudioData():
                return _silence(value, encoding)
        return value


def _type_of(audio_format: AudioFormat | None) -> str | None:
    return audio_format.type if audio_format else None


def _silence(audio: AudioData, encoding: str | None) -> AudioData:
    mark = _MARK.fullmatch(audio.base64)
    return _SilentAudio(int(mark[1]), _SILENCE.get(encoding or "", 0)) if mark else audio


class _SilentAudio(AudioData):
    """Silence as long as a file says, which takes no memory before somebody reads it.

    The file may come from anybody, and a short line may claim a lot.
    """

    __slots__ = ("_length", "_value")

    def __init__(self, length: int, value: int) -> None:
        super().__init__(b"")
        self._data = None
        self._length = length
        self._value = value

    @property
    def data(self) -> bytes:
        """The encoded audio."""
        if self._data is None:
            self._data = bytes([self._value]) * self._length
        return self._data

    @property
    def nbytes(self) -> int:
        """Size of `data` in bytes."""
        return self._length


# --- writing --------------------------------------------------------------------------------------


def message_json(
    record: WireRecord, *, scrub_audio: bool = False, scrub_secrets: bool = True
) -> str:
    """The message of a record as a JSON value in one line: an object as it was, else a string.

    Args:
        record: The record.
        scrub_audio: As for `open_recording`.
        scrub_secrets: As for `open_recording`.
    """
    event, text = record.event, record.text
    is_object = not isinstance(event, UnknownEvent) or isinstance(event.raw, Mapping)
    # Bytes that are not UTF-8, and halves of surrogate pairs, have no place in JSON: they are shown
    # and not kept.
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    elif not is_object:
        text = text.encode("utf-8", "backslashreplace").decode()
    text = scrub(text, event.type, secrets=scrub_secrets, audio=scrub_audio)
    if is_object:
        # Inside the strings of an object line breaks are escaped, so these separate its parts.
        return _LINE_BREAKS.sub(" ", text) if "\n" in text or "\r" in text else text
    # What is not JSON has secrets outside of strings as well.
    return write_json(without_keys(text) if scrub_secrets else text)


class _Scribe:
    """Turns wire records into lines.

    Args:
        scrub_audio: As for `open_recording`.
        scrub_secrets: As for `open_recording`.
        start: The time from which the times in the file count; None for that of the first record.
    """

    def __init__(
        self, *, scrub_audio: bool, scrub_secrets: bool, start: float | None = None
    ) -> None:
        self._scrub_audio = scrub_audio
        self._scrub_secrets = scrub_secrets
        self._start = start
        self._has_header = False

    def header(self, kind: SessionKind = SessionKind.REALTIME, model: str | None = None) -> str:
        """The first line, or `""` if it has been written already."""
        if self._has_header:
            return ""
        self._has_header = True
        return write_json({"version": VERSION, "kind": kind.value, "model": model}) + "\n"

    def record(self, record: WireRecord) -> str:
        """The line of a record; before that the header, if this is the first record."""
        header = self.header(*_identity(record.event)) if not self._has_header else ""
        if self._start is None:
            self._start = record.time
        # Microseconds: what the clocks have beyond that is noise, and costs ten characters a line.
        members: dict[str, object] = {"time": round(record.time - self._start, 6)}
        if record.wall_time is not None:
            members["at"] = round(record.wall_time, 6)
        members["source"] = record.source
        if record.dialect is not Dialect.GA:
            members["dialect"] = record.dialect.value
        message = message_json(
            record, scrub_audio=self._scrub_audio, scrub_secrets=self._scrub_secrets
        )
        # Put together as text, and the message last: so it is read back as it was, too.
        return f"{header}{write_json(members)[:-1]}{_BEFORE_MESSAGE}{message}}}\n"

    def gap(self, dropped: int) -> str:
        """The line that stands for records that were missed."""
        return self.header() + write_json({"dropped": dropped}) + "\n"


def _identity(first: Event) -> tuple[SessionKind, str | None]:
    """The kind of session, and its model if that is known, as the first event tells."""
    match first:
        case SessionCreated(session=session) | TranslationSessionCreated(session=session):
            model = None if isinstance(session, TranscriptionSession) else session.model
            return kind_opened_by(first) or SessionKind.REALTIME, model
    return SessionKind.REALTIME, None


@asynccontextmanager
async def open_recording(
    wire: EventStream[WireRecord],
    path: str | os.PathLike[str],
    *,
    scrub_audio: bool = False,
    scrub_secrets: bool = True,
) -> AsyncIterator[None]:
    """Write everything that goes over the wire to a file, while the block runs.

    Messages are written as they were, but for what is scrubbed.  They are in the file moments after
    they have come or gone, so that even a crash of the program loses next to nothing.  A task and a
    thread of their own do the writing, so that it delays nothing else; if the disk does not keep up
    with the wire, the file says how much is missing and where.  Under an autojump clock, which
    would run ahead of a thread, the task itself writes.

    Leaving the block, in whatever way, first writes what is left in the stream.  From its beginning
    the block is the only reader of the stream; it does not close it.

    Args:
        wire: What to record: `session.wire()`.  The first such stream has everything from the
            beginning.
        path: The file, which only its owner may read.  It is made, and never replaced: a recording
            of a conversation cannot be made a second time.  A device or a pipe may be there.
        scrub_audio: Write the size of audio instead of its content.  It is read back as silence.
        scrub_secrets: Leave out headers, what stands in the place of a credential, and everything
            that looks like a key of the service or a password in a URL.

    Raises:
        FileExistsError: There is a file of this name.
        FileNotFoundError: The folder of the file does not exist.
        OSError: The file cannot be written.  If that happens later than at the beginning, the block
            is cancelled and the bare error leaves it.
    """
    scribe = _Scribe(scrub_audio=scrub_audio, scrub_secrets=scrub_secrets)
    limiter = trio.CapacityLimiter(1)  # its own, so that it never waits for the threads of others
    file = await in_thread(limiter, partial(_create, path))

    async def write(text: str) -> None:
        # Bounded by the disk alone, since what was taken off the stream is to be written.
        with trio.CancelScope(shield=True):
            failure = await in_thread(limiter, lambda: write_all(file, text.encode()))
        # Not raised: an OSError that leaves a task would be called a bug of ours, an InternalError.
        if failure is not None:
            services.fail(failure)

    async def write_loop() -> None:
        try:
            while text := await _next(wire, scribe):
                await write(text)
        finally:
            # The header, too, if nothing has happened: then this is a recording of nothing, and not
            # an empty file that cannot be read back.
            rest = _waiting(wire, scribe, math.inf) + scribe.header()
            await write(rest)  # noqa: ASYNC102 - `write` is shielded

    with file:
        async with open_service_nursery() as services:
            services.start_soon(write_loop)
            yield


def check_recordable(path: str | os.PathLike[str]) -> None:
    """Look whether a recording could be made at this place, without making it.

    Raises:
        FileExistsError: There is a file of this name.
        FileNotFoundError: The folder of the file does not exist.
        IsADirectoryError: It is a folder.
    """
    if os.path.isfile(path):
        raise FileExistsError(
            errno.EEXIST,
            "a recording does not replace a file: move that one away or choose another name",
            os.fspath(path),
        )
    if os.path.isdir(path):
        raise IsADirectoryError(
            errno.EISDIR, "a recording is a file, and this is a folder", os.fspath(path)
        )
    if not os.path.isdir(os.path.dirname(os.path.abspath(path))):
        raise FileNotFoundError(
            errno.ENOENT,
            "the folder of the recording does not exist: make it first",
            os.fspath(path),
        )


def _create(path: str | os.PathLike[str]) -> io.FileIO:
    check_recordable(path)
    # What exists now is a device or a pipe, unless somebody was faster: then a file is not replaced
    # either.  Unbuffered: what waits in a buffer of Python's would be lost in a crash.
    mode = "w" if os.path.exists(path) and not os.path.isfile(path) else "x"
    return io.FileIO(path, mode, opener=partial(os.open, mode=0o600))


async def _next(wire: EventStream[WireRecord], scribe: _Scribe) -> str:
    """Wait for records and return the lines of all there are; `""` at the end of the stream."""
    await trio.lowlevel.checkpoint()
    try:
        text = scribe.record(await wire.receive())
    except SlowConsumer as gap:
        text = scribe.gap(gap.dropped)
    except SessionClosed:
        return ""
    return text + _waiting(wire, scribe, _BATCH)


def _waiting(wire: EventStream[WireRecord], scribe: _Scribe, limit: float) -> str:
    lines: list[str] = []
    while len(lines) < limit:
        try:
            lines.append(scribe.record(wire.receive_nowait()))
        except SlowConsumer as gap:
            lines.append(scribe.gap(gap.dropped))
        except (trio.WouldBlock, SessionClosed):
            break
    return "".join(lines)


# --- reading --------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Recording:
    """A session as it went over the wire."""

    kind: SessionKind = SessionKind.REALTIME
    """What the session was for."""
    model: str | None = None
    """Model that the session was with; None if that is not known."""
    records: tuple[WireRecord, ...]
    """Everything in order; times are seconds since the first."""
    dropped: int = 0
    """How many records are missing, because the recorder could not keep up."""

    @classmethod
    def of(cls, records: Iterable[WireRecord]) -> Recording:
        """Make a recording of records in memory."""
        given = tuple(records)
        kind, model = _identity(given[0].event) if given else (SessionKind.REALTIME, None)
        return cls(
            kind=kind,
            model=model,
            records=tuple(
                attrs.evolve(record, time=record.time - given[0].time) for record in given
            ),
        )

    def lines(self, *, scrub_audio: bool = False, scrub_secrets: bool = True) -> Iterator[str]:
        """The lines of a file that `read_recording` reads; the arguments are `open_recording`'s."""
        scribe = _Scribe(scrub_audio=scrub_audio, scrub_secrets=scrub_secrets, start=0.0)
        yield scribe.header(self.kind, self.model)
        yield from map(scribe.record, self.records)
        # Where the records are missing is not known here, only how many: so at the end.
        if self.dropped:
            yield scribe.gap(self.dropped)


def read_recording(path: str | os.PathLike[str]) -> Recording:
    """Read a file that `open_recording` wrote, even if a crash has cut off its last line.

    Events are as they were on the wire.  What was not an event of this version is an `UnknownEvent`
    again, and audio that was scrubbed is silence of the same length.  The file is read as a whole.

    Raises:
        LocalProtocolError: The file is not a recording, or is damaged; the message names the line.
        OSError: The file cannot be read.
    """
    # A crash may have cut a character of the last line in two: that line is dropped, not refused.
    with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
        # After the last newline there is nothing, or what a crash has left of a line.
        *lines, _ = file.read().split("\n")
    kind, model = _read_header(lines, path)
    silence = _Silence()
    records: list[WireRecord] = []
    dropped = 0
    for number, line in enumerate(lines[1:], start=2):
        found = _read_line(line, kind)
        if found is None:
            raise LocalProtocolError(
                f"line {number} of {os.fspath(path)} is not a record of a recording"
            )
        if isinstance(found, WireRecord):
            records.append(silence.restore(found))
        else:
            dropped += found
    return Recording(kind=kind, model=model, records=tuple(records), dropped=dropped)


def _read_header(
    lines: Sequence[str], path: str | os.PathLike[str]
) -> tuple[SessionKind, str | None]:
    match _read_object(lines[0]) if lines else None:
        case {
            "version": int(version),
            "kind": str(kind),
            "model": str() | None as model,
        } if kind in _KIND_NAMES:
            if version != VERSION:
                raise LocalProtocolError(
                    f"{os.fspath(path)} is a recording of version {version}; "
                    f"this library reads version {VERSION}"
                )
            return SessionKind(kind), model
    raise LocalProtocolError(
        f"{os.fspath(path)} is not a recording: its first line is not the header of one"
    )


def _read_line(line: str, kind: SessionKind) -> WireRecord | int | None:
    """A record, or a number of records that were missed; None if the line is neither."""
    # As it is written, with the message last and in the words that it had on the wire.
    head, separator, rest = line.rstrip().partition(_BEFORE_MESSAGE)
    if separator and rest.endswith("}"):
        record = _read_record(_read_object(f"{head}}}"), rest[:-1], kind)
        if record is not None:
            return record
    # As somebody else may have written it, with members in any order and blanks between them.
    match _read_object(line):
        case {"event": raw, **members}:
            return _read_record(members, write_json(raw), kind)
        case {"dropped": int(count)}:
            return count
    return None


def _read_record(members: object, written: str, kind: SessionKind) -> WireRecord | None:
    """The record of a message that was written as this JSON value; None if it is not a record."""
    match members:
        case {"time": int() | float() as time, "source": "client" | "server" as source, **others}:
            wall_time, dialect = others.get("at"), others.get("dialect", Dialect.GA.value)
            if not isinstance(wall_time, int | float | None) or dialect not in _DIALECTS:
                return None
            is_quoted = written.startswith('"')
            text = _read_object(written) if is_quoted else written
            if not isinstance(text, str):
                return None
            # Crosswise: a codec decodes what the other side sends.
            role = Role.SERVER if source == "client" else Role.CLIENT
            event = codec_of(role, kind, Dialect(dialect)).decode(text)
            # A string holds what was not JSON on the wire; anything else is JSON, or damaged.
            if not is_quoted and is_not_json(event):
                return None
            return WireRecord.of_message(
                time, source, event, text, dialect=Dialect(dialect), wall_time=wall_time
            )
    return None


def _read_object(line: str) -> object:
    try:
        return parse_json(line)
    except ValueError:
        return None
