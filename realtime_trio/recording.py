"""What went over the wire, kept in a file: written while the session runs, and read back.

Owns the file format and what is left out of it.  It needs no session, only a stream of wire
records such as `session.wire()`.

The first line is `{"version": 1, "kind": ..., "model": ...}`; every other line is a record::

    {"time": seconds since the first record, "source": "client" or "server", "event": the message}

A message that was not a JSON object is written as it was.  Where records were missed because the
disk did not keep up, `{"dropped": n}` stands in their place.  Events are always written in today's
dialect.
"""

from __future__ import annotations

import errno
import io
import math
import os
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, Literal, TypeVar, cast

import attrs
import trio

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.json_text import parse_json, write_json
from realtime_trio._protocol.kinds import SessionKind, kind_opened_by
from realtime_trio._runtime.hub import EventStream
from realtime_trio._runtime.nursery import open_service_nursery
from realtime_trio.audio.data import AudioData
from realtime_trio.errors import LocalProtocolError, SessionClosed, SlowConsumer
from realtime_trio.events import (
    AudioFormat,
    Event,
    McpTool,
    OutputAudio,
    RealtimeSession,
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

_T = TypeVar("_T")

VERSION: Final = 1
"""Version of the file format."""
SECRET: Final = "<secret>"
"""What is written in place of a secret."""

_BATCH: Final = 256
"""Records written at once: enough for a burst, and at most some megabytes of text."""
_KIND_NAMES: Final = frozenset(kind.value for kind in SessionKind)


@attrs.frozen
class WireRecord:
    """One event on the wire, in either direction."""

    time: float
    """When it was received or was about to be written, in seconds of `trio.current_time()`."""
    source: Literal["client", "server"]
    """Which side sent it."""
    event: Event
    """What was sent."""


# --- changing parts of a value --------------------------------------------------------------------

Replace = Callable[[str, object], object]
"""Takes the name of a field and its value, and returns the value that should be there instead, or
the same object to leave it alone."""


def rewrite(value: _T, replace: Replace, name: str = "") -> _T:
    """Replace parts of an event, or of any value inside one, at any depth.

    Args:
        value: The event.
        replace: Asked about every part, the whole before its parts.  Parts of a value that it has
            replaced are not visited.
        name: What the value is called where it stands.

    Returns:
        The changed copy, or the same object if nothing was changed.
    """
    return cast("_T", _rewrite(value, replace, name))


def _rewrite(value: object, replace: Replace, name: str) -> object:
    replaced = replace(name, value)
    if replaced is not value:
        return replaced
    # Copies are made only where something has changed: most events hold no secret and no audio.
    if isinstance(value, tuple | list):
        elements = [_rewrite(element, replace, name) for element in value]
        return type(value)(elements) if _differ(elements, value) else value
    if isinstance(value, Mapping):
        members = {key: _rewrite(member, replace, str(key)) for key, member in value.items()}
        return members if _differ(members.values(), value.values()) else value
    cls: Any = type(value)
    if attrs.has(cls):
        fields = {field.name: getattr(value, field.name) for field in attrs.fields(cls)}
        changed = {
            key: new
            for key, old in fields.items()
            if (new := _rewrite(old, replace, key)) is not old
        }
        # An instance of an attrs class, which the type checker cannot know.
        return attrs.evolve(value, **changed) if changed else value  # type: ignore[misc]
    return value


def _differ(new: Iterable[object], old: Iterable[object]) -> bool:
    return any(one is not other for one, other in zip(new, old, strict=True))


# --- scrubbing ------------------------------------------------------------------------------------

# Spelled as headers are and as fields of JSON are: the objects of an MCP server have both.
_SECRET_NAMES: Final = frozenset(
    {
        "access_token",
        "api-key",
        "api_key",
        "authorization",
        "client_secret",
        "password",
        "refresh_token",
    }
)
# OpenAI's keys begin with `sk-`, its short-lived ones for browsers with `ek_`.
_KEYS: Final = re.compile(r"\b(?:sk|ek)[-_][\w-]{8,}|\bBearer\s+[\w.~+/-]+=*")
# User name and password, and the whole query: any of its values may be a token.
_CREDENTIALS_IN_URL: Final = re.compile(r"(?<=://)[^/?#@]*@|\?.*", re.DOTALL)


def _without_secrets(name: str, value: object) -> object:
    match value:
        case McpTool():
            return attrs.evolve(
                value,
                authorization=value.authorization and SECRET,
                headers=value.headers and dict.fromkeys(value.headers, SECRET),
                server_url=value.server_url and _CREDENTIALS_IN_URL.sub(SECRET, value.server_url),
            )
        # The same object in an event that this version does not know, which is a plain mapping.
        case {"type": "mcp", "headers": Mapping() as headers}:
            # Its other parts have to be visited here: `rewrite` does not look into a replacement.
            return _rewrite(
                {**cast("Mapping[str, object]", value), "headers": dict.fromkeys(headers, SECRET)},
                _without_keys,
                name,
            )
    return _without_keys(name, value)


def _without_keys(name: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    clean = SECRET if name.lower() in _SECRET_NAMES else _KEYS.sub(SECRET, value)
    return clean if clean != value else value


_MARK: Final = re.compile(r"<(\d+) bytes of audio>")
# G.711 inverts bits on the line, so that silence is not a long run of zeros.
_SILENCE: Final[Mapping[str, int]] = {"audio/pcmu": 0xFF, "audio/pcma": 0xD5}
"""The byte that means silence in a format, where that is not zero."""


def _without_audio(name: str, value: object) -> object:
    match value:
        case AudioData():
            return AudioData.from_base64(_mark(value))
        # The other two are audio in an event that this version does not know.
        case str() if name == "audio":
            return _mark(AudioData.from_base64(value))
        case {"type": str(kind), "delta": str(delta)} if kind.endswith("audio.delta"):
            return {
                **cast("Mapping[str, object]", value),
                "delta": _mark(AudioData.from_base64(delta)),
            }
    return value


def _mark(audio: AudioData) -> str:
    return f"<{audio.nbytes} bytes of audio>"


class _Silence:
    """Puts silence where audio was scrubbed.

    It has to follow the session, since the bytes of silence depend on the format.
    """

    def __init__(self) -> None:
        self._input: str | None = None
        self._output: str | None = None
        self._of_response: dict[str, str | None] = {}

    def restore(self, event: Event) -> Event:
        match event:
            case SessionCreated(session=session) | SessionUpdated(session=session):
                self._follow(session)
            case ResponseCreated(response=Response(id=response_id, audio=audio)):
                # A response may have a format of its own, which its deltas do not repeat.
                output = audio.output if audio else None
                self._of_response[response_id] = (
                    _type_of(output.format if output else None) or self._output
                )
        encoding = self._input
        if isinstance(event, ResponseOutputAudioDelta):
            encoding = self._of_response.get(event.response_id, self._output)
        return rewrite(event, partial(self._replace, encoding))

    def _follow(self, session: RealtimeSession | TranscriptionSession) -> None:
        audio = session.audio or SessionAudio()
        self._input = _type_of(audio.input.format if audio.input else None)
        self._output = _type_of(audio.output.format if audio.output else None)

    def _replace(self, encoding: str | None, name: str, value: object) -> object:
        match value:
            # An item does not say in which response it was spoken: the session's format is assumed.
            case OutputAudio(audio=AudioData() as audio):
                return attrs.evolve(value, audio=_silence(audio, self._output))
            case AudioData():
                return _silence(value, encoding)
        return value


def _type_of(audio_format: AudioFormat | None) -> str | None:
    return audio_format.type if audio_format else None


def _silence(audio: AudioData, encoding: str | None) -> AudioData:
    mark = _MARK.fullmatch(audio.base64)
    return AudioData(bytes([_SILENCE.get(encoding or "", 0)]) * int(mark[1])) if mark else audio


# --- writing --------------------------------------------------------------------------------------


class _Scribe:
    """Turns wire records into lines."""

    def __init__(self, *, scrub_audio: bool, scrub_secrets: bool) -> None:
        self._scrubs = [
            change
            for wanted, change in ((scrub_audio, _without_audio), (scrub_secrets, _without_secrets))
            if wanted
        ]
        self._codecs: Mapping[str, Codec] = {}
        self._start = 0.0

    def header(self, kind: SessionKind = SessionKind.REALTIME, model: str | None = None) -> str:
        """The first line, or `""` if it has been written already."""
        if self._codecs:
            return ""
        self._codecs = {role.value: Codec(role, kind=kind) for role in Role}
        return write_json({"version": VERSION, "kind": kind.value, "model": model}) + "\n"

    def record(self, record: WireRecord) -> str:
        """The line of a record; before that the header, if this is the first record."""
        header = ""
        if not self._codecs:
            header = self.header(*_identity(record.event))
            self._start = record.time
        event = record.event
        for change in self._scrubs:
            event = rewrite(event, change)
        # Microseconds: what the clock has beyond that is noise, and costs ten characters a line.
        time = round(record.time - self._start, 6)
        if isinstance(event, UnknownEvent):
            # Bytes that are not UTF-8 have no place in JSON, so they are shown and not kept.
            raw = (
                event.raw.decode("utf-8", "backslashreplace")
                if isinstance(event.raw, bytes)
                else event.raw
            )
            return header + write_json({"time": time, "source": record.source, "event": raw}) + "\n"
        # Put together as text, since the codec writes text: reading it back would cost more.
        text = self._codecs[record.source].encode(event)
        return f'{header}{{"time":{time!r},"source":"{record.source}","event":{text}}}\n'

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

    Events are in the file moments after they have happened, so that even a crash of the program
    loses next to nothing.  A task and a thread of their own do the writing, so that it delays
    nothing else; if the disk does not keep up with the wire, the file says how much is missing and
    where.

    Under an autojump clock, which would run ahead of a thread, the task itself writes.

    Leaving the block, in whatever way, first writes what is left in the stream.  From its beginning
    the block is the only reader of the stream; it does not close it.

    Args:
        wire: What to record: `session.wire()`.  The first such stream has everything from the
            beginning.
        path: The file, which only its owner may read.  It is made, and never replaced: a recording
            of a conversation cannot be made a second time.  A device or a pipe may be there.
        scrub_audio: Write the size of audio instead of its content.  It is read back as silence.
        scrub_secrets: Leave out credentials of MCP servers, and everything that looks like a key of
            the service.

    Raises:
        FileExistsError: There is a file of this name.
        FileNotFoundError: The folder of the file does not exist.
        OSError: The file cannot be written.  If that happens later than at the beginning, the block
            is cancelled and the bare error leaves it.
    """
    scribe = _Scribe(scrub_audio=scrub_audio, scrub_secrets=scrub_secrets)
    limiter = trio.CapacityLimiter(1)  # its own, so that it never waits for the threads of others
    file = await _in_thread(limiter, partial(_create, path))

    async def write(text: str) -> None:
        # Bounded by the disk alone, since what was taken off the stream is to be written.
        with trio.CancelScope(shield=True):
            failure = await _in_thread(limiter, partial(_append, file, text))
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


async def _in_thread(limiter: trio.CapacityLimiter, work: Callable[[], _T]) -> _T:
    # While a thread works, all tasks may be waiting, and an autojump clock would take that for the
    # moment to jump: every deadline around us would be over at once.
    if math.isinf(getattr(trio.lowlevel.current_clock(), "autojump_threshold", math.inf)):
        return await trio.to_thread.run_sync(work, limiter=limiter)
    await trio.lowlevel.checkpoint()
    return work()


def _append(file: io.FileIO, text: str) -> OSError | None:
    """Hand text to the system, which keeps it even if this program crashes.

    Returns the error if there was one, so that a thread does not have to raise it.
    """
    # A raw file may take less than it is given, on a pipe or when a signal comes in between.
    rest = memoryview(text.encode())
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        return error
    return None


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


@attrs.frozen(kw_only=True)
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
        scribe = _Scribe(scrub_audio=scrub_audio, scrub_secrets=scrub_secrets)
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
    # Crosswise: a codec decodes what the other side sends.
    codecs = {"client": Codec(Role.SERVER, kind=kind), "server": Codec(Role.CLIENT, kind=kind)}
    silence = _Silence()
    records: list[WireRecord] = []
    dropped = 0
    for number, line in enumerate(lines[1:], start=2):
        match _read_object(line):
            case {
                "time": int() | float() as time,
                "source": "client" | "server" as source,
                "event": raw,
            }:
                records.append(
                    WireRecord(time, source, silence.restore(_read_event(codecs[source], raw)))
                )
            case {"dropped": int(count)}:
                dropped += count
            case _:
                raise LocalProtocolError(
                    f"line {number} of {os.fspath(path)} is not a record of a recording"
                )
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


def _read_object(line: str) -> object:
    try:
        return parse_json(line)
    except ValueError:
        return None


def _read_event(codec: Codec, raw: object) -> Event:
    match raw:
        case Mapping() | str():  # a string is a message that was not JSON, and is decoded as such
            return codec.decode(codec.encode_raw(raw))
        case _:
            return UnknownEvent(raw=raw, problem="expected an object")
