"""The questions of a simulated server without a shell, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from casts import SLOW, said, statuses, tone
from hypothesis import given, strategies as st

from realtime_trio.audio import AudioData
from realtime_trio.errors import LocalProtocolError, RemoteProtocolError
from realtime_trio.events import (
    Event,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseDone,
)
from realtime_trio.simulator import (
    INSTANT,
    Call,
    Failure,
    McpServer,
    Pacing,
    Reply,
    Script,
    SimulatedServer,
    sequential_ids,
)
from realtime_trio.simulator.roles import Piece, Say
from realtime_trio.simulator.service.questions import AnswerWanted, TranscriptWanted
from realtime_trio.testing import assert_order


def attended(script: Script | None = None, *events: Event, **options: Any) -> SimulatedServer:
    """A server that has obeyed these events."""
    server = SimulatedServer(
        script or Script(), has_agent=True, has_ears=True, new_id=sequential_ids(), **options
    )
    server.connect(0.0)
    for event in events:
        server.receive(event, 0.0)
    return server


def test_a_question_is_told_once_and_not_if_it_is_void() -> None:
    server = attended(None, ResponseCreate())
    (question,) = server.take_questions()
    assert isinstance(question, AnswerWanted)
    assert server.take_questions() == ()
    assert server.is_wanted(question.id)
    server.receive(ResponseCancel(), 0.0)
    assert not server.is_wanted(question.id)
    server.receive(ResponseCreate(), 0.0)
    server.receive(ResponseCancel(), 0.0)
    assert server.take_questions() == ()


def test_answers_that_are_not_wanted_any_more_are_ignored() -> None:
    server = attended(None, ResponseCreate())
    (question,) = server.take_questions()
    server.receive(ResponseCancel(), 0.0)
    server.take_due(0.0)
    server.say(question.id, Say("late"), 1.0)
    server.answer_ends(question.id, 1.0)
    server.answer_fails(question.id, Failure(None, "late"), 1.0)
    server.transcription_ends("audio_7", "late", 1.0)
    server.transcription_fails("audio_7", Failure(None, "late"), 1.0)
    assert not server.is_keeping_up(question.id)
    assert server.take_due(1.0) == ()


def test_an_agent_is_held_back_while_the_client_takes_nothing() -> None:
    server = attended(None, ResponseCreate(response=ResponseConfig(output_modalities=("text",))))
    (question,) = server.take_questions()
    pieces = 0
    while server.is_keeping_up(question.id):
        assert pieces < 1000
        server.say(question.id, Say("word "), 0.0)
        pieces += 1
    assert pieces > 10
    taken = server.take_due(0.0)
    assert 50 < len(taken) < 200
    assert server.is_keeping_up(question.id)


def test_a_server_waits_for_answers_at_no_time() -> None:
    server = attended(None, ResponseCreate(), expires_after=float("inf"))
    server.take_due(0.0)
    assert server.next_due is None
    assert len(server.take_due(float("inf"))) == 1  # at the end of all times the session is over


def test_nothing_is_wanted_when_the_session_is_over() -> None:
    commit = (InputAudioBufferAppend(audio=tone(500)), InputAudioBufferCommit())
    server = attended(
        Script([Reply.text("a", when=lambda _turn: True)]),
        *commit,
        ResponseCreate(),
        expires_after=10.0,
    )
    (question,) = server.take_questions()
    assert isinstance(question, TranscriptWanted)
    assert repr(question) == f"TranscriptWanted(id={question.id!r})"
    server.take_due(11.0)
    assert not server.is_wanted(question.id)
    server.transcription_ends(question.id, "late", 12.0)
    assert server.take_due(12.0) == ()


def test_a_piece_must_be_one() -> None:
    server = attended(None, ResponseCreate())
    (question,) = server.take_questions()
    with pytest.raises(LocalProtocolError, match="Say and Call"):
        server.say(question.id, "a", 0.0)  # type: ignore[arg-type]
    with pytest.raises(RemoteProtocolError):
        server.say(question.id, Say("a", AudioData.from_base64("?")), 0.0)


def test_tools_on_mcp_servers_stay_the_scripts_business() -> None:
    script = Script([Reply.mcp("docs", "search")], mcp_servers=[McpServer("docs")])
    server = attended(script, ResponseCreate())
    assert server.take_questions() == ()


PIECES = st.lists(
    st.builds(Say, st.text("ab .", max_size=9)) | st.builds(Call, st.sampled_from(["f", "g"])),
    max_size=12,
)


@given(
    pieces=PIECES,
    modality=st.sampled_from(["text", "audio"]),
    steps=st.lists(st.floats(0, 3), max_size=12),
    pacing=st.sampled_from([INSTANT, SLOW]),
)
def test_whatever_an_agent_says_is_said_in_the_protocols_order(
    pieces: Iterable[Piece], modality: Any, steps: list[float], pacing: Pacing
) -> None:
    server = attended(
        Script(pacing=pacing),
        ResponseCreate(response=ResponseConfig(output_modalities=(modality,))),
    )
    (question,) = server.take_questions()
    events: list[Event] = []
    now = 0.0
    for number, piece in enumerate(pieces):
        now += steps[number] if number < len(steps) else 0.0
        server.say(question.id, piece, now)
        events += server.take_due(now)
    server.answer_ends(question.id, now)
    while (due := server.next_due) is not None and due < 3600:
        events += server.take_due(due)
    assert_order(events)
    response = next(event for event in events if isinstance(event, ResponseDone)).response
    runs: list[str] = []  # messages as their texts, calls as their names
    for piece in pieces:
        if isinstance(piece, Call):
            runs += [piece.name, ""]
        elif piece.text:
            runs = [*runs[:-1], runs[-1] + piece.text] if runs else [piece.text]
    assert "".join(filter(None, runs)) == "".join(map(said, response.output))
    assert [run for run in runs if run] == list(map(said, response.output))
    assert statuses(response) == ["completed"] * len(response.output)
