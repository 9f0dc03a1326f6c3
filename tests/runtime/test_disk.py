"""Work on files is done in a thread, and what is to be written is written whole."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints

from realtime_trio._runtime.disk import in_thread, write_all


async def test_work_is_done_in_a_thread_of_its_own() -> None:
    limiter = trio.CapacityLimiter(1)
    assert await in_thread(limiter, threading.get_ident) != threading.get_ident()


async def test_under_an_autojump_clock_it_is_done_right_here(autojump_clock: MockClock) -> None:
    with assert_checkpoints():
        assert await in_thread(trio.CapacityLimiter(1), threading.get_ident) == (
            threading.get_ident()
        )


async def test_what_the_work_raises_is_raised() -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await in_thread(trio.CapacityLimiter(1), fail)


class Slow(io.FileIO):
    """A file that takes three bytes at a time."""

    def write(self, data: object) -> int:
        return super().write(bytes(data)[:3])  # type: ignore[call-overload]


def test_all_is_written_also_where_a_write_takes_less(tmp_path: Path) -> None:
    with Slow(tmp_path / "file", "w") as file:
        assert write_all(file, b"0123456789") is None
    assert (tmp_path / "file").read_bytes() == b"0123456789"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a disk that is full")
def test_a_full_disk_is_returned() -> None:
    with io.FileIO("/dev/full", "w") as file:
        failure = write_all(file, b"x")
    assert isinstance(failure, OSError)
    assert "No space" in str(failure)
