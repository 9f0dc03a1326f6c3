"""The picture of a barge-in: its run is real, and shows what the documentation says."""

from __future__ import annotations

from pathlib import Path

import barge_in_picture
import pytest
import trio

from realtime_trio.audio import PCM_RATE


@pytest.mark.socket
async def test_a_barge_in_takes_the_course_that_is_described(tmp_path: Path) -> None:
    with trio.fail_after(60):
        course = await barge_in_picture.talk()
    assert len(course.answers) == 2
    # The answer comes faster than it is played, and what was heard is what the server is told.
    assert course.received[-1][1] > 2 * course.cut_ms / 1000
    assert course.heard_model[-1][1] == course.cut_ms / 1000 > 0.5
    assert course.interrupted <= course.cut <= course.agreed
    # It fades out within a block of 10 ms and 20 ms; and then the other answer is heard.
    assert 0 <= course.silent - course.interrupted < 0.04
    after = round((course.silent - course.start) * PCM_RATE)
    assert course.waveform[after:].any()
    pytest.importorskip("matplotlib")
    picture = tmp_path / "barge-in.svg"
    barge_in_picture.draw(course, picture)
    assert f"audio_end_ms = {course.cut_ms}" in picture.read_text(encoding="utf-8")
