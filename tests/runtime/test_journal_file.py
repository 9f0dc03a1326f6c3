"""A journal on disk: opened after any crash, by one at a time, and replaced in one step."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from realtime_trio._runtime import journal_file
from realtime_trio._runtime.journal_file import JournalFile
from realtime_trio._state.conversation.journal import (
    HEADER,
    Gone,
    JournalLine,
    Put,
    read_journal,
    write_line,
)
from realtime_trio.errors import LocalProtocolError

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX system")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "talk.jsonl"


def put(number: int, text: str = "") -> Put:
    after = f"item_{number - 1}" if number else None
    return Put(f"item_{number}", after, {"id": f"item_{number}", "text": text})


def filled(path: Path, *lines: JournalLine) -> None:
    file = JournalFile(path)
    assert file.append(lines) is None
    file.close()


def ids(path: Path) -> tuple[str, ...]:
    return tuple(read_journal(path.read_bytes(), "it")[0].order)


@POSIX
def test_a_new_one_is_for_its_owner_alone(path: Path) -> None:
    filled(path)
    assert path.read_bytes() == HEADER
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_is_taken_up_where_it_was_left(path: Path) -> None:
    filled(path, put(0), put(1))
    file = JournalFile(path)
    assert (file.item_ids, file.dropped) == (("item_0", "item_1"), 0)
    assert file.append([put(2), Gone("item_0")]) is None
    assert file.item_ids == ("item_1", "item_2")
    assert file.read().items == [put(1).item, put(2).item]
    file.close()
    file.close()
    assert ids(path) == ("item_1", "item_2")


def test_after_a_crash_at_any_byte_it_goes_on_behind_the_last_whole_line(path: Path) -> None:
    filled(path, put(0, "one"), put(1, "two"))
    whole = path.read_bytes()
    lengths = [0, len(HEADER), len(HEADER + write_line(put(0, "one"))), len(whole)]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        file = JournalFile(path)
        kept = max(length for length in lengths if length <= cut)
        assert file.dropped == cut - kept
        assert file.append([put(2)]) is None
        file.close()
        there = max(0, lengths.index(kept) - 1)
        assert ids(path) == (*(f"item_{number}" for number in range(there)), "item_2")


def test_what_is_not_a_journal_is_left_alone(path: Path) -> None:
    path.write_bytes(b"my diary\n")
    for _ in range(2):  # it has been let go of
        with pytest.raises(LocalProtocolError, match=r"talk\.jsonl is not the journal"):
            JournalFile(path)
    assert path.read_bytes() == b"my diary\n"


def test_a_folder_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        JournalFile(tmp_path / "none" / "talk.jsonl")


@POSIX
def test_one_at_a_time_has_it_open(path: Path) -> None:
    file = JournalFile(path)
    with pytest.raises(LocalProtocolError, match="is open already, here or in another program"):
        JournalFile(path)
    file.shorten()
    with pytest.raises(LocalProtocolError, match="is open already"):
        JournalFile(path)
    file.close()
    JournalFile(path).close()


@POSIX
def test_whoever_opened_what_was_just_replaced_opens_the_new_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(path, put(0))
    lock = journal_file._lock
    replaced: list[Path] = []

    def replace_first(file: object, at: Path) -> None:
        if not replaced:
            replaced.append(at)
            path.with_name("other").write_bytes(HEADER + write_line(put(0)) + write_line(put(1)))
            os.replace(path.with_name("other"), path)
        elif len(replaced) == 1:
            replaced.append(at)
            path.unlink()
        lock(file, at)  # type: ignore[arg-type]

    monkeypatch.setattr(journal_file, "_lock", replace_first)
    file = JournalFile(path)
    assert file.item_ids == ()  # the third time, when nobody was in between
    file.close()


def test_it_is_shortened_when_most_of_it_is_not_needed(path: Path) -> None:
    file = JournalFile(path)
    for number in range(300):
        assert file.append([put(0, str(number))]) is None
    file.close()
    lines = path.read_bytes().splitlines()
    assert len(lines) < 300
    assert lines[-1] == write_line(put(0, "299")).strip()
    assert ids(path) == ("item_0",)


@POSIX
def test_a_link_stays_a_link(path: Path) -> None:
    filled(path, put(0), put(0, "again"))
    link = path.with_name("link.jsonl")
    link.symlink_to(path)
    file = JournalFile(link)
    file.shorten()
    file.close()
    assert link.is_symlink()
    assert len(path.read_bytes().splitlines()) == 2


def test_what_is_needed_is_not_shortened(path: Path) -> None:
    file = JournalFile(path)
    assert file.append(map(put, range(600))) is None
    before = os.stat(path).st_ino
    assert file.append([put(600)]) is None
    assert os.stat(path).st_ino == before
    file.close()


def fails(number: int) -> Callable[..., None]:
    """A function that fails with an error of the system."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_shortening_that_fails_does_not_keep_lines_from_being_appended(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []

    def fail(*names: object) -> None:
        tried.append(names)
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(os, "replace", fail)
    file = JournalFile(path)
    for number in range(600):
        assert file.append([put(0, str(number))]) is None
    file.close()
    assert len(path.read_bytes().splitlines()) == 601
    assert len(tried) == 2


@pytest.mark.parametrize("has_locks", [True, False])
@pytest.mark.parametrize("step", ["write_all", "fsync", "replace"])
def test_a_shortening_that_fails_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str, has_locks: bool
) -> None:
    if not has_locks:
        monkeypatch.setattr(journal_file, "_flock", None)
    filled(path, put(0), put(0, "again"), put(1))
    whole = path.read_bytes()
    file = JournalFile(path)
    with monkeypatch.context() as patch:
        if step == "write_all":
            patch.setattr(journal_file, step, lambda *_: OSError(errno.ENOSPC, "full"))
        else:
            patch.setattr(os, step, fails(errno.EIO))
        with pytest.raises(OSError, match=r"full|Input/output"):
            file.shorten()
    assert path.read_bytes() == whole
    assert file.append([put(2)]) is None
    file.shorten()
    file.close()
    assert path.read_bytes() == HEADER + b"".join(
        write_line(line) for line in (put(0, "again"), put(1), put(2))
    )


def test_an_append_that_fails_says_why(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = JournalFile(path)
    monkeypatch.setattr(journal_file, "write_all", lambda *_: OSError(errno.ENOSPC, "full"))
    failure = file.append([put(0)])
    assert isinstance(failure, OSError)
    assert file.item_ids == ()
    file.close()


def test_half_a_line_that_did_not_fit_is_taken_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = JournalFile(path)

    def fill(disk: io.FileIO, data: bytes) -> OSError:
        disk.write(data[:10])
        return OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(journal_file, "write_all", fill)
        assert isinstance(file.append([put(0)]), OSError)
    assert file.append([put(0)]) is None
    file.close()
    assert path.read_bytes() == HEADER + write_line(put(0))


def test_where_there_is_no_disk_nothing_has_to_be_synced(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = JournalFile(path)
    monkeypatch.setattr(os, "fsync", fails(errno.EINVAL))
    assert file.append([put(0)]) is None
    monkeypatch.setattr(os, "fsync", fails(errno.EIO))
    assert isinstance(file.append([put(0, "again")]), OSError)
    file.close()


def test_without_locks_it_works_all_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_file, "_flock", None)
    filled(path, put(0), put(0, "again"))
    file = JournalFile(path)
    file.shorten()
    assert file.append([put(1)]) is None
    file.close()
    assert ids(path) == ("item_0", "item_1")
