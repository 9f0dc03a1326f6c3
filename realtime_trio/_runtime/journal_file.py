"""A journal on disk: one file that is only appended to, and replaced as a whole when it is long.

Owns the file and who may write to it.  All of it is for a thread; nothing here waits for trio.

Theory of operation.  Lines are appended in one write and are on the disk when that returns, so that
a crash of the program, or of the machine, can only cut off the end.  What is cut off is dropped
when the file is opened, before anything is appended to it.  A shorter file is written beside the
old one, synced, and then takes its name in one step: at any moment there is one of the two.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from realtime_trio._runtime.disk import write_all
from realtime_trio._state.conversation.journal import (
    HEADER,
    Journal,
    JournalLine,
    read_journal,
    write_line,
)
from realtime_trio.errors import LocalProtocolError

_flock: Callable[[io.FileIO], None] | None = None
"""Locks a file for whoever has it open; raises BlockingIOError if somebody else has done so."""
try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be replaced anyway
    pass
else:

    def _flock(file: io.FileIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_SPARE_LINES: Final = 256
"""Lines beyond those that are needed, below which a journal is not worth shortening."""


class JournalFile:
    """An open journal.

    Args:
        path: The file, made if there is none, for its owner alone.

    Raises:
        LocalProtocolError: It is not a journal, it is damaged, or somebody else has it open.
        OSError: It cannot be read and written.
    """

    def __init__(self, path: Path) -> None:
        # Where a link leads to: it is that file that is replaced, and not the link.
        self._path = Path(os.path.realpath(path))
        self._file = _open_alone(self._path)
        try:
            journal, self.dropped = self._recover()
        except BaseException:
            self._file.close()
            raise
        self._order, self._lines = journal.order, journal.lines

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Ids of the items that it has, in order."""
        return tuple(self._order)

    def _recover(self) -> tuple[Journal, int]:
        data = self._file.readall()
        journal, size = read_journal(data, os.fspath(self._path))
        dropped = len(data) - size
        if dropped:
            self._file.truncate(size)
        if not size:
            self._write(HEADER)
            _sync_folder(self._path)
        return journal, dropped

    def read(self) -> Journal:
        """What it says."""
        return read_journal(self._path.read_bytes(), os.fspath(self._path))[0]

    def append(self, lines: Iterable[JournalLine]) -> OSError | None:
        """Append lines, and shorten the file when most of it is not needed any more.

        Returns the error if there was one, so that a thread does not have to raise it.
        """
        lines = list(lines)
        try:
            self._write(b"".join(map(write_line, lines)))
            for line in lines:
                self._order.take(line)
            self._lines += len(lines)
        except OSError as error:
            return error
        if self._lines > 2 * len(self._order) + _SPARE_LINES:
            # Where there is no room for a second file, the long one still says everything.
            with suppress(OSError):
                self.shorten()
            # Also if that has failed, so that it is not tried again with every line.
            self._lines = len(self._order)
        return None

    def shorten(self) -> None:
        """Replace the file by one that says the same in the fewest lines.

        Raises:
            OSError: It cannot be replaced; the old one is as it was.
        """
        journal = self.read()
        beside = self._path.with_name(f"{self._path.name}.new")
        new = io.FileIO(beside, "w", opener=partial(os.open, mode=0o600))
        try:
            _lock(new, self._path)
            lines = [write_line(line) for line in journal.in_short()]
            _write_to_disk(new, b"".join([HEADER, *lines]))
            if _flock is None:
                new.close()
                self._file.close()
            os.replace(beside, self._path)
        except BaseException:
            new.close()
            if self._file.closed:
                self._file = io.FileIO(self._path, "a+")
            raise
        _sync_folder(self._path)
        self._file.close()
        self._file = io.FileIO(self._path, "a+") if _flock is None else new
        self._lines = len(lines)

    def close(self) -> None:
        """Let go of it.  Idempotent."""
        self._file.close()

    def _write(self, data: bytes) -> None:
        before = os.fstat(self._file.fileno()).st_size
        try:
            _write_to_disk(self._file, data)
        except OSError:
            # Half a line must not stay where the next one is appended to it.
            with suppress(OSError):
                self._file.truncate(before)
            raise


def _open_alone(path: Path) -> io.FileIO:
    while True:
        file = io.FileIO(path, "a+", opener=partial(os.open, mode=0o600))
        try:
            _lock(file, path)
            # Whoever had it open may have replaced it between the opening and the lock.
            if _is_at(file, path):
                file.seek(0)
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _is_at(file: io.FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _lock(file: io.FileIO, path: Path) -> None:
    if _flock is None:
        return
    try:
        _flock(file)
    except BlockingIOError:
        raise LocalProtocolError(
            f"{os.fspath(path)} is open already, here or in another program; "
            "a conversation is kept by one session at a time"
        ) from None


def _write_to_disk(file: io.FileIO, data: bytes) -> None:
    if (failure := write_all(file, data)) is not None:
        raise failure
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno != errno.EINVAL:  # something that is not on a disk
            raise


def _sync_folder(path: Path) -> None:
    """Have the name of a file on the disk, too."""
    if _flock is None:
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
