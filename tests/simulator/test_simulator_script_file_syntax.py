"""Scripts in YAML and JSON: the files of the example and of the documentation, and broken ones."""

from __future__ import annotations

import json
import re
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from script_documents import error_in, written

from realtime_trio import open_session
from realtime_trio.simulator import (
    Call,
    HostedCall,
    Message,
    Pacing,
    Reply,
    Script,
    open_simulator_transport,
)
from realtime_trio.simulator.script.fault import Fault
from realtime_trio.simulator.script.script_file import (
    ScriptFile,
    ScriptFileError,
    load_script,
)

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "script.yaml"
PAGE = ROOT / "docs" / "script-files.md"


def test_the_example_says_all_sorts_of_things() -> None:
    example = load_script(EXAMPLE)
    outputs = {type(output) for reply in example.script.replies for output in reply.outputs}
    assert outputs == {Message, Call, HostedCall}
    assert any(
        isinstance(output, Message) and output.audio
        for reply in example.script.replies
        for output in reply.outputs
    )
    assert any(reply.failure for reply in example.script.replies)
    assert [fault.kind for fault in example.faults] == ["delay", "duplicate", "drop"]


async def test_the_example_is_played(autojump_clock: object) -> None:
    example = load_script(EXAMPLE)
    async with (
        open_simulator_transport(example.script, faults=example.faults) as transport,
        open_session(transport=transport) as session,
    ):
        assert (await session.ask("Tell me a joke!")).transcript.startswith("A nursery")
        assert (await session.ask("Hi!")).transcript == "Hello!"


BLOCKS = re.findall(
    r"^```(yaml|json)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize(("syntax", "text"), BLOCKS)
def test_what_the_documentation_shows_can_be_loaded(tmp_path: Path, syntax: str, text: str) -> None:
    assert load_script(written(tmp_path, f"script.{syntax}", text)) != ScriptFile(Script())


def test_the_documentation_shows_the_same_script_in_both_syntaxes(tmp_path: Path) -> None:
    first, second = (
        load_script(written(tmp_path, f"script.{syntax}", text)) for syntax, text in BLOCKS[:2]
    )
    assert [syntax for syntax, _ in BLOCKS[:2]] == ["yaml", "json"]
    assert first == second


@pytest.mark.parametrize("name", ["script.yaml", "script.yml", "SCRIPT.YAML"])
def test_yaml_has_the_values_of_json(tmp_path: Path, name: str) -> None:
    text = (
        "replies:\n- call:\n    name: on\n    arguments:\n"
        "      {a: on, b: 12:30, c: 007, d: 2025-01-31, e: no, f: ~, g: null, h: ,"
        " i: true, j: -1, k: 1.5e3, l: 'true', m: 1_000, n: .5, o: =, p: !!str 5}\n"
        "faults: [drop: {on: error}]\n"
    )
    loaded = load_script(written(tmp_path, name, text))
    (call,) = loaded.script.replies[0].outputs
    assert isinstance(call, Call)
    assert call.name == "on"
    assert json.loads(call.arguments) == {
        "a": "on", "b": "12:30", "c": "007", "d": "2025-01-31", "e": "no", "f": None, "g": None,
        "h": None, "i": True, "j": -1, "k": 1500.0, "l": "true", "m": "1_000", "n": ".5", "o": "=",
        "p": "5",
    }  # fmt: skip
    assert loaded.faults == (Fault.drop("error"),)


def test_yaml_may_refer_and_merge(tmp_path: Path) -> None:
    text = (
        "pacing: &slow {audio_speed: 1, tokens_per_second: 5}\n"
        "replies:\n- {text: a, pacing: {<<: *slow, audio_speed: 2}}\n"
    )
    script = load_script(written(tmp_path, "script.yaml", text)).script
    assert script.replies[0].pacing == Pacing(audio_speed=2.0, tokens_per_second=5.0)


def test_yaml_may_write_one_character_as_two_escapes(tmp_path: Path) -> None:
    assert load_script(
        written(tmp_path, "script.yaml", 'replies: ["\\ud83d\\ude00"]')
    ).script == Script([Reply.text("😀")])


def test_a_byte_order_mark_is_no_harm(tmp_path: Path) -> None:
    assert load_script(
        written(tmp_path, "script.json", '\ufeff{"replies": ["Hello!"]}')
    ).script == Script([Reply.text("Hello!")])


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        (
            "replies:\n- text: a: b\n",
            "line 2, column 10",
            "not YAML: mapping values are not allowed here",
        ),
        (
            "replies: [",
            "line 1, column 11",
            "not YAML: while parsing a flow node, expected the node content, "
            "but found '<stream end>'",
        ),
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1", "not YAML: the key 'a' stands here again"),
        (
            "pacing: !!python/name:os.system\n",
            "line 1, column 9",
            "not YAML: could not determine a constructor",
        ),
        (
            "pacing: !!set {a, b}\n",
            "line 1, column 9",
            "not YAML: could not determine a constructor",
        ),
        ("pacing: !!int lifelike\n", "line 1, column 9", "not YAML: not a value: Expecting value"),
        (
            "? [a]\n: b\n",
            "line 1, column 3",
            "not YAML: while constructing a mapping, found unhashable key",
        ),
        (
            "{}\n---\n{}\n",
            "line 2, column 1",
            "not YAML: expected a single document in the stream, but found another document",
        ),
        ("a: \x07\n", "", "not readable: unacceptable character #x0007"),
        ("[" * 5000, "", "not readable: maximum recursion depth exceeded"),
        ('"\\U99999999"', "", "not readable:"),
        ("", "", "expected a mapping, got null"),
        ("replies: [{txt: a}]", "replies[0]", "'txt' means nothing here; did you mean text?"),
    ],
)
def test_yaml_that_cannot_be_read_is_named_with_its_place(
    tmp_path: Path, text: str, where: str, problem: str
) -> None:
    error = error_in(tmp_path, "script.yaml", text)
    assert (error.file, error.where) == (str(tmp_path / "script.yaml"), where)
    assert error.problem.startswith(problem)


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        ('{\n  "replies": [,]}', "line 2, column 15", "not JSON: Expecting value"),
        ('{"a": 1, "a": 2}', "", "the key 'a' stands twice in one object"),
        ("9" * 5000, "", "not readable: Exceeds the limit"),
        (
            '{"replies": [{"txt": "a"}]}',
            "replies[0]",
            "'txt' means nothing here; did you mean text?",
        ),
    ],
)
def test_json_that_cannot_be_read_is_named_with_its_place(
    tmp_path: Path, text: str, where: str, problem: str
) -> None:
    error = error_in(tmp_path, "script.json", text)
    assert (error.file, error.where) == (str(tmp_path / "script.json"), where)
    assert error.problem.startswith(problem)


def test_json_of_any_depth_is_an_error_of_ours(tmp_path: Path) -> None:
    assert error_in(tmp_path, "script.json", "[" * 100_000).problem.startswith("not ")


def test_yaml_without_pyyaml_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    problem = error_in(tmp_path, "script.yaml", "{}").problem
    assert problem.startswith("YAML needs PyYAML, of the extra yaml: pip install '.[yaml]' in a ")
    assert load_script(written(tmp_path, "script.json", "{}")) == ScriptFile(Script())


def test_other_kinds_of_files_are_no_scripts(tmp_path: Path) -> None:
    error = error_in(tmp_path, "script.toml", "")
    assert (
        str(error)
        == f"{tmp_path / 'script.toml'}: a script is a file whose name ends in .yaml, .yml, .json"
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ScriptFileError, match=r"script\.json: cannot be read: No such file or directory"
    ):
        load_script(tmp_path / "script.json")


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "script.json"
    file.write_bytes(b'{"replies": ["\xff"]}')
    with pytest.raises(ScriptFileError, match="not UTF-8 from byte 14 on"):
        load_script(file)


LETTERS = st.text(st.characters(exclude_characters="\x7f"), max_size=8)  # which YAML does not have
WORTH_SENDING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | LETTERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LETTERS, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=50)
@given(WORTH_SENDING)
def test_a_document_is_the_same_in_both_syntaxes(
    tmp_path_factory: pytest.TempPathFactory, document: object
) -> None:
    # What is arbitrary stands where anything may stand.
    whole = {
        "mcp_servers": [{"label": "a", "tools": [{"name": "b", "input_schema": {"c": document}}]}]
    }
    folder = tmp_path_factory.mktemp("scripts")

    def outcome(name: str, text: str) -> object:
        try:
            return load_script(written(folder, name, text))
        except ScriptFileError as error:
            return error.where

    as_json = json.dumps(whole)
    assert outcome("script.yaml", as_json) == outcome("script.json", as_json)


@pytest.mark.parametrize("name", ["script.yaml", "script.json"])
@settings(deadline=None, max_examples=50)
@given(text=st.text("{}[]:,-?&*!|>'\"%#@ \n\tab01.\\U<~", max_size=30))
def test_any_text_is_a_script_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, name: str, text: str
) -> None:
    file = written(tmp_path_factory.getbasetemp(), name, text)
    with suppress(ScriptFileError):
        load_script(file)
