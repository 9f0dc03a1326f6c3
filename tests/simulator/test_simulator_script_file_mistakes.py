"""Scripts with mistakes: each is named, with its place."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from script_documents import FAULTS, NOWHERE, error_of, written

from realtime_trio.errors import LocalProtocolError
from realtime_trio.simulator.script.script_file import (
    ScriptFile,
    ScriptFileError,
    parse_script,
)


@pytest.mark.parametrize(
    ("document", "where", "problem"),
    [
        ([], "", "expected a mapping, got a list"),
        (None, "", "expected a mapping, got null"),
        (
            {"reples": []},
            "",
            "'reples' means nothing here; did you mean replies? allowed: replies, transcripts,",
        ),
        ({1: 2}, "", "1 means nothing here; allowed: replies"),
        ({"replies": {}}, "replies", "expected a list, got a mapping"),
        ({"replies": [None]}, "replies[0]", "expected a text or a mapping, got null"),
        (
            {"replies": [{}]},
            "replies[0]",
            "expected exactly one of text, speech, call, calls, mcp, fail, got none",
        ),
        (
            {"replies": [{"text": "a", "call": "b"}]},
            "replies[0]",
            "got text and call; more go under then",
        ),
        (
            {"replies": ["a", "b", {"call": {"arguments": {}}}]},
            "replies[2].call",
            "name is missing",
        ),
        (
            {"replies": ["a", "b", {"call": {"name": 5}}]},
            "replies[2].call.name",
            "got a number; quotes make a text of anything",
        ),
        (
            {"replies": [{"call": {"name": ["a"]}}]},
            "replies[0].call.name",
            "expected a text, got a list",
        ),
        (
            {"replies": [{"call": {"name": "a", "arguments": {"a": {1, 2}}}}]},
            "replies[0].call.arguments",
            "no JSON form",
        ),
        (
            {"replies": [{"call": {"name": "a", "arguments": {1: 2}}}]},
            "replies[0].call.arguments",
            "expected a text, got a number",
        ),
        (
            {"replies": [{"text": "a", "then": ["b", {"cal": "c"}]}]},
            "replies[0].then[1]",
            "did you mean call?",
        ),
        (
            {"replies": [{"text": "a", "then": [{}]}]},
            "replies[0].then[0]",
            "expected exactly one of text, speech",
        ),
        (
            {"replies": [{"fail": {"code": None, "message": "a"}, "then": ["b"]}]},
            "replies[0]",
            "nothing can come after fail",
        ),
        ({"replies": [{"text": "\ud800"}]}, "replies[0].text", "half a surrogate pair"),
        ({"replies": ["\ud800"]}, "replies[0]", "half a surrogate pair"),
        (
            {"replies": [{"text": "a", "when": {"user": "("}}]},
            "replies[0].when.user",
            "not a regular expression: missing )",
        ),
        (
            {"replies": [{"text": "a", "when": {"user": "a{9999999999}"}}]},
            "replies[0].when.user",
            "not a regular expression",
        ),
        (
            {"replies": [{"text": "a", "when": {"usr": "a"}}]},
            "replies[0].when",
            "did you mean user?",
        ),
        (
            {"replies": [{"text": "a", "when": {"modality": "adio"}}]},
            "replies[0].when.modality",
            "did you mean audio? allowed: text, audio",
        ),
        (
            {"replies": [{"text": "a", "when": {"modality": 1}}]},
            "replies[0].when.modality",
            "expected one of text, audio, got a number",
        ),
        (
            {"replies": [{"text": "a", "when": {"metadata": {"a": 1}}}]},
            "replies[0].when.metadata.a",
            "expected a text, got a number",
        ),
        (
            {"replies": [{"text": "a", "when": {"heard_seconds": 1}}]},
            "replies[0].when.heard_seconds",
            "expected a mapping",
        ),
        (
            {"replies": [{"text": "a", "when": {"heard_seconds": {"min": 2, "max": 1}}}]},
            "replies[0].when.heard_seconds",
            "nothing is at least 2.0 and at most 1.0",
        ),
        ({"pacing": "lifelik"}, "pacing", "did you mean lifelike?"),
        ({"pacing": 3}, "pacing", "expected a mapping, got a number"),
        ({"pacing": {"audio_speed": 0}}, "pacing", "audio_speed must be a number greater than 0"),
        (
            {"pacing": {"audio_speed": "fast"}},
            "pacing.audio_speed",
            "expected a number, got the text 'fast'",
        ),
        ({"pacing": {"audio_speed": True}}, "pacing.audio_speed", "expected a number, got true"),
        ({"pacing": {"audio_speed": 10**400}}, "pacing.audio_speed", "too large"),
        ({"transcription_delay": -1}, "transcription_delay", "expected seconds, 0 or more"),
        ({"transcription_delay": math.nan}, "transcription_delay", "expected seconds, 0 or more"),
        (
            {"transcripts": [False]},
            "transcripts[0]",
            "expected a text, got false; quotes make a text of anything",
        ),
        ({"transcripts": [b""]}, "transcripts[0]", "expected a text, got a value of type bytes"),
        (
            {"mcp_servers": [{"label": "a"}, {"label": "a"}]},
            "",
            "several MCP servers with the label 'a'",
        ),
        (
            {"mcp_servers": [{"label": "a", "is_reachable": "no"}]},
            "mcp_servers[0].is_reachable",
            "expected true or false, got the text 'no'",
        ),
        (
            {"faults": ["dorp"]},
            "faults[0]",
            "'dorp' means nothing here; did you mean drop? allowed: drop, reset, closing",
        ),
        ({"faults": [3]}, "faults[0]", "expected a mapping, got a number"),
        ({"faults": [{}]}, "faults[0]", "expected exactly one of drop, reset"),
        (
            {"faults": [{"drop": {}, "reset": {}}]},
            "faults[0]",
            "expected exactly one of drop, reset",
        ),
        (
            {"faults": [{"drop": {"nth": 0}}]},
            "faults[0].drop.nth",
            "expected a whole number, 1 or more, got a number",
        ),
        (
            {"faults": [{"drop": {"nth": 1.5}}]},
            "faults[0].drop.nth",
            "expected a whole number, got a number",
        ),
        (
            {"faults": [{"closing": {"code": 1006}}]},
            "faults[0].closing",
            "close code 1006 may not be sent",
        ),
        (
            {"faults": [{"reorder": {"on": "response.done"}}]},
            "faults[0].reorder",
            "has its place in the order of events",
        ),
        (
            {"faults": [{"delay": {"seconds": 1, "times": "for ever"}}]},
            "faults[0].delay.times",
            "did you mean forever?",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(document: object, where: str, problem: str) -> None:
    error = error_of(document)
    assert error.where == where
    assert problem in error.problem
    assert str(error) == (
        f"script: {where}: {error.problem}" if where else f"script: {error.problem}"
    )


def test_it_is_an_error_of_ours_like_any_other_misuse() -> None:
    assert issubclass(ScriptFileError, LocalProtocolError)


def test_a_wav_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    error = error_of({"replies": [{"speech": {"text": "a", "audio": "hello.wav"}}]}, tmp_path)
    assert error.where == "replies[0].speech.audio"
    assert error.problem == f"{tmp_path / 'hello.wav'} cannot be read: No such file or directory"


@pytest.mark.parametrize("name", ["script.yaml", "zero\0.wav"])
def test_a_file_that_is_no_wav_file_is_named(tmp_path: Path, name: str) -> None:
    written(tmp_path, "script.yaml", "replies: []")
    error = error_of({"replies": [{"speech": {"text": "a", "audio": name}}]}, tmp_path)
    assert error.where == "replies[0].speech.audio"
    assert "cannot be read" in error.problem


NONSENSE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["forever", "instant"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = re.findall(
    r"\w+",
    """replies transcripts transcription_delay translations pacing mcp_servers faults text speech
    call calls mcp fail then when audio name arguments call_id server_label output error approval
    duration code message type user tool_output instructions modality tools heard_seconds min max
    metadata time_to_first_event tokens_per_second audio_speed heard translation label input_schema
    is_reachable drop closing stall delay slow corrupt duplicate reorder failing on nth times
    seconds behind how http_error protocol_error""",
)
ALMOST = st.recursive(
    NONSENSE,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=20,
)
FORM = st.fixed_dictionaries(
    {},
    optional={
        "replies": st.lists(
            st.dictionaries(
                st.sampled_from(
                    ["text", "speech", "call", "calls", "mcp", "fail", "then", "when", "pacing"]
                ),
                ALMOST,
                max_size=2,
            )
        ),
        "faults": st.lists(
            st.dictionaries(st.sampled_from(FAULTS), ALMOST, min_size=1, max_size=1)
        ),
        "mcp_servers": st.lists(ALMOST),
        "pacing": ALMOST,
    },
)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of the compiler of regular expressions
@settings(deadline=None)
@given(NONSENSE | ALMOST | FORM)
def test_any_document_is_a_script_or_an_error_of_ours(document: object) -> None:
    with suppress(ScriptFileError):
        assert isinstance(parse_script(document, folder=NOWHERE), ScriptFile)
