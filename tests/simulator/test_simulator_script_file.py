"""Scripts that stand in files: what they mean, and what is said about those that cannot be read."""

from __future__ import annotations

import inspect
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from realtime_trio import open_session
from realtime_trio.audio import AudioData, write_wav
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    AssistantMessage,
    FunctionCallOutput,
    FunctionTool,
    InputText,
    McpHttpError,
    McpListedTool,
    McpProtocolError,
    McpToolExecutionError,
    UserMessage,
)
from realtime_trio.simulator import (
    INSTANT,
    LIFELIKE,
    Call,
    Failure,
    HostedCall,
    McpServer,
    Message,
    Pacing,
    Reply,
    Script,
    Turn,
    open_simulator_transport,
)
from realtime_trio.simulator.script.fault import Fault
from realtime_trio.simulator.script.script_file import (
    ScriptFile,
    ScriptFileError,
    When,
    load_script,
    parse_script,
)

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "script.yaml"
PAGE = ROOT / "docs" / "script-files.md"
NOWHERE = Path("/nonexistent")


def parsed(**document: object) -> ScriptFile:
    return parse_script(document, folder=NOWHERE)


def reply(written: object) -> Reply:
    (only,) = parsed(replies=[written]).script.replies
    return only


def fault(written: object) -> Fault:
    (only,) = parsed(faults=[written]).faults
    return only


def error_of(document: object, folder: Path = NOWHERE) -> ScriptFileError:
    with pytest.raises(ScriptFileError) as caught:
        parse_script(document, folder=folder)
    return caught.value


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def error_in(folder: Path, name: str, text: str) -> ScriptFileError:
    with pytest.raises(ScriptFileError) as caught:
        load_script(written(folder, name, text))
    return caught.value


# --- what a script says ---------------------------------------------------------------------------


def test_an_empty_mapping_is_the_script_without_anything() -> None:
    assert parsed() == ScriptFile(Script())


def test_a_text_is_a_reply() -> None:
    assert reply("Hello!") == reply({"text": "Hello!"}) == Reply.text("Hello!")


def test_speech_without_audio_is_spoken_by_the_synthetic_voice() -> None:
    assert reply({"speech": {"text": "Hello!"}}) == Reply.speech("Hello!")


def test_the_audio_of_speech_is_a_wav_file_beside_the_script(tmp_path: Path) -> None:
    samples = np.arange(240, dtype=np.int16)
    (tmp_path / "voice").mkdir()
    write_wav(tmp_path / "voice" / "hello.wav", samples)
    file = written(
        tmp_path,
        "script.json",
        '{"replies": [{"speech": {"text": "Hello!", "audio": "voice/hello.wav"}}]}',
    )
    assert load_script(file).script.replies == (Reply.speech("Hello!", AudioData(samples)),)


def test_a_call_has_arguments_and_an_id() -> None:
    named = reply(
        {
            "call": {
                "name": "get_weather",
                "arguments": {"city": "Paris", "days": [1, 2.5, None, True]},
                "call_id": "call_7",
            }
        }
    )
    assert named == Reply.calls(
        Call("get_weather", '{"city":"Paris","days":[1,2.5,null,true]}', "call_7")
    )
    assert reply({"call": "stop"}) == reply({"call": {"name": "stop"}}) == Reply.call("stop")


def test_arguments_may_be_a_text_that_is_broken_on_purpose() -> None:
    assert reply({"call": {"name": "stop", "arguments": '{"a":'}}) == Reply.calls(
        Call("stop", '{"a":')
    )


def test_several_calls_are_one_reply() -> None:
    assert reply({"calls": ["stop", {"name": "start"}]}) == Reply.calls(Call("stop"), Call("start"))


def test_no_calls_are_a_reply_that_says_nothing() -> None:
    assert reply({"calls": []}) == Reply()


def test_a_call_of_a_hosted_tool_has_all_its_options() -> None:
    call = {
        "server_label": "docs",
        "name": "search",
        "arguments": {"query": "trio"},
        "output": {"pages": 2},
        "error": "The index is gone.",
        "approval": True,
        "duration": 2,
    }
    expected = Reply.mcp(
        "docs",
        "search",
        {"query": "trio"},
        output={"pages": 2},
        error="The index is gone.",
        approval=True,
        duration=2.0,
    )
    assert reply({"mcp": call}) == expected
    assert reply({"mcp": {"server_label": "docs", "name": "search"}}) == Reply.mcp("docs", "search")
    assert reply(
        {"mcp": {"server_label": "docs", "name": "search", "output": "Two."}}
    ) == Reply.mcp("docs", "search", output="Two.")


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({"tool_execution_error": {"message": "no"}}, McpToolExecutionError(message="no")),
        (
            {"protocol_error": {"code": -32600, "message": "no"}},
            McpProtocolError(code=-32600, message="no"),
        ),
        ({"http_error": {"code": 503, "message": "no"}}, McpHttpError(code=503, message="no")),
    ],
)
def test_a_hosted_call_fails_in_each_way(document: object, error: McpProtocolError) -> None:
    (call,) = reply({"mcp": {"server_label": "docs", "name": "search", "error": document}}).outputs
    assert isinstance(call, HostedCall)
    assert call.error == error


def test_a_failure_has_code_message_and_type() -> None:
    assert reply({"fail": {"code": "quota", "message": "Pay.", "type": "payment"}}) == Reply.fail(
        "quota", "Pay.", type="payment"
    )
    assert reply({"fail": {"code": None, "message": "Sorry."}}) == Reply.fail(None, "Sorry.")


def test_what_comes_then_is_in_the_same_response() -> None:
    document = {
        "text": "Let me look.",
        "then": [
            {"call": "get_weather"},
            "And",
            {"speech": {"text": "more"}},
            {"fail": {"code": "x", "message": "y"}},
        ],
        "pacing": "lifelike",
    }
    assert reply(document) == Reply(
        outputs=(Message("Let me look."), Call("get_weather"), Message("And"), Message("more")),
        failure=Failure("x", "y"),
        pacing=LIFELIKE,
    )


def test_pacing_goes_by_name_or_by_numbers() -> None:
    assert parsed(pacing="instant").script.pacing == INSTANT
    assert parsed(pacing="lifelike").script.pacing == LIFELIKE
    numbers = {"time_to_first_event": 1, "tokens_per_second": 5, "audio_speed": 1.5}
    assert parsed(pacing=numbers).script.pacing == Pacing(
        time_to_first_event=1.0, tokens_per_second=5.0, audio_speed=1.5
    )
    assert reply({"text": "slow", "pacing": {"audio_speed": 1}}).pacing == Pacing(audio_speed=1.0)


def test_what_is_understood_may_be_nothing() -> None:
    script = parsed(
        transcripts=["Hello?", None], transcription_delay=1, transcription_jitter=0.5
    ).script
    assert script == Script(
        transcripts=("Hello?", None), transcription_delay=1.0, transcription_jitter=0.5
    )


def test_translations_are_pairs() -> None:
    script = parsed(
        translations=[{"heard": "Guten Morgen.", "translation": "Good morning."}]
    ).script
    assert script == Script(translations=[("Guten Morgen.", "Good morning.")])


def test_mcp_servers_have_tools() -> None:
    tool = {
        "name": "search",
        "input_schema": {"type": "object"},
        "description": "Search.",
        "annotations": {"readOnlyHint": True},
    }
    server = {
        "label": "docs",
        "tools": [tool],
        "is_reachable": False,
        "listing_delay": 1,
        "completes_item_first": True,
    }
    expected = McpServer(
        "docs",
        [
            McpListedTool(
                name="search",
                input_schema={"type": "object"},
                description="Search.",
                annotations={"readOnlyHint": True},
            )
        ],
        is_reachable=False,
        listing_delay=1.0,
        completes_item_first=True,
    )
    assert parsed(mcp_servers=[server, {"label": "empty"}]).script.mcp_servers == (
        expected,
        McpServer("empty"),
    )


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("drop", Fault.drop()),
        (
            {"drop": {"on": "response.output_audio.delta", "nth": 3}},
            Fault.drop("response.output_audio.delta", nth=3),
        ),
        ({"reset": None}, Fault.reset()),
        (
            {"closing": {"code": 1011, "reason": "tired", "on": "error"}},
            Fault.closing(1011, "tired", on="error"),
        ),
        ({"expiry": {"nth": 2}}, Fault.expiry(nth=2)),
        ("stall", Fault.stall()),
        ({"stall": {"seconds": 2, "on": "response."}}, Fault.stall(2.0, on="response.")),
        ({"delay": {"seconds": 0.5, "times": "forever"}}, Fault.delay(0.5, times=math.inf)),
        (
            {"slow": {"characters_per_second": 1000, "on": "response."}},
            Fault.slow(1000.0, on="response."),
        ),
        ("corrupt", Fault.corrupt()),
        (
            {"corrupt": {"how": "audio", "nth": 2, "times": 3}},
            Fault.corrupt("audio", nth=2, times=3),
        ),
        ({"duplicate": {"times": 2}}, Fault.duplicate(times=2)),
        (
            {"reorder": {"on": "rate_limits.updated", "behind": 2}},
            Fault.reorder("rate_limits.updated", behind=2),
        ),
        (
            {"failing": {"code": None, "message": "Oh.", "type": "x"}},
            Fault.failing(None, "Oh.", type="x"),
        ),
    ],
)
def test_every_fault_goes_by_its_name(document: object, expected: Fault) -> None:
    assert fault(document) == expected


# Whatever a class or constructor takes must have a key.  A key that is there complains about this
# value, and one that is not is unknown.
UNSAYABLE = object()


def attributes(cls: type[Any]) -> Iterator[str]:
    return (field.name for field in attrs.fields(cls))


def parameters(function: Callable[..., object]) -> Iterator[str]:
    return iter(inspect.signature(function).parameters)


FAULTS = [name for name, member in vars(Fault).items() if isinstance(member, classmethod)]


def the_ways_in() -> Iterator[tuple[str, Mapping[str, object]]]:
    hosted = {"server_label": "docs", "name": "search"}
    yield from ((name, {name: UNSAYABLE}) for name in attributes(Script))
    yield from ((f"pacing.{name}", {"pacing": {name: UNSAYABLE}}) for name in attributes(Pacing))
    yield from (
        (f"replies[0].speech.{name}", {"replies": [{"speech": {"text": "a", name: UNSAYABLE}}]})
        for name in ("text", "audio")
    )
    yield from (
        (f"replies[0].call.{name}", {"replies": [{"call": {"name": "a", name: UNSAYABLE}}]})
        for name in attributes(Call)
    )
    yield from (
        (f"replies[0].mcp.{name}", {"replies": [{"mcp": {**hosted, name: UNSAYABLE}}]})
        for name in attributes(HostedCall)
    )
    failure = {"code": "a", "message": "a"}
    yield from (
        (f"replies[0].fail.{name}", {"replies": [{"fail": {**failure, name: UNSAYABLE}}]})
        for name in attributes(Failure)
    )
    yield from (
        (f"mcp_servers[0].{name}", {"mcp_servers": [{"label": "a", name: UNSAYABLE}]})
        for name in attributes(McpServer)
    )
    tool = {"name": "a", "input_schema": {}}
    for name in attributes(McpListedTool):
        yield (
            f"mcp_servers[0].tools[0].{name}",
            {"mcp_servers": [{"label": "a", "tools": [{**tool, name: UNSAYABLE}]}]},
        )
    for kind in FAULTS:
        constructor = getattr(Fault, kind)
        needed = {
            name: UNSAYABLE
            for name, one in inspect.signature(constructor).parameters.items()
            if one.default is one.empty
        }
        for name in parameters(constructor):
            # The others that are needed come later, so the first complaint is about this one.
            yield f"faults[0].{kind}", {"faults": [{kind: {name: UNSAYABLE, **needed}}]}


@pytest.mark.parametrize(("where", "document"), [*the_ways_in()])
def test_everything_that_python_can_say_has_a_key(
    where: str, document: Mapping[str, object]
) -> None:
    error = error_of(document)
    assert error.where.startswith(where)
    assert "means nothing here" not in error.problem
    assert "object" in error.problem


# --- when -----------------------------------------------------------------------------------------


def turn(text: str = "", **more: Any) -> Turn:
    return Turn(**{"items": (UserMessage(content=(InputText(text),)),), "modality": "text", **more})


def when(**asked: object) -> When:
    predicate = reply({"text": "yes", "when": asked}).when
    assert isinstance(predicate, When)
    return predicate


def test_nothing_asked_for_holds_always() -> None:
    assert when()(turn())


def test_expressions_are_searched_without_regard_to_case() -> None:
    assert when(user="weather|rain")(turn("Will it RAIN?"))
    assert not when(user="^weather")(turn("The weather"))


def test_the_output_of_a_tool_counts_only_while_it_is_the_last_item() -> None:
    output = FunctionCallOutput(call_id="call_1", output="It is sunny.")
    assert when(tool_output="sunny")(turn(items=(output,)))
    assert not when(tool_output="rain")(turn(items=(output,)))
    assert not when(tool_output="")(turn(items=(output, AssistantMessage(content=()))))


def test_instructions_and_modality_count() -> None:
    assert when(instructions="brief")(turn(instructions="Be BRIEF."))
    assert not when(instructions="brief")(turn())
    assert when(modality="text")(turn())
    assert not when(modality="audio")(turn())


def test_functions_must_be_on_offer() -> None:
    offer = (FunctionTool(name="get_weather"), FunctionTool(name="get_time"))
    assert when(tools=["get_time"])(turn(tools=offer))
    assert not when(tools=["get_time", "sing"])(turn(tools=offer))


def test_audio_counts_by_its_seconds() -> None:
    assert when(heard_seconds={"min": 1})(turn(heard_seconds=1.0))
    assert not when(heard_seconds={"min": 1})(turn(heard_seconds=0.9))
    assert not when(heard_seconds={"min": 1, "max": 2})(turn(heard_seconds=2.1))


def test_metadata_may_say_more() -> None:
    assert when(metadata={"topic": "joke"})(
        turn(metadata={"topic": "joke", "list": ["not hashable"]})
    )
    assert not when(metadata={"topic": "joke"})(turn(metadata={"topic": "weather"}))
    assert not when(metadata={"topic": "joke"})(turn())


def test_all_that_is_asked_for_must_hold() -> None:
    both = when(user="weather", modality="text")
    assert both(turn("weather"))
    assert not both(turn("weather", modality="audio"))
    assert not both(turn("time"))


# --- what is wrong --------------------------------------------------------------------------------


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
        ({"pacing": {"audio_speed": 0}}, "pacing", "audio_speed is 0.0; it must be greater than 0"),
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
    """replies transcripts transcription_delay translations pacing mcp_servers faults text speech call calls mcp fail then when audio name
    arguments call_id server_label output error approval duration code message type user tool_output instructions modality tools
    heard_seconds min max metadata time_to_first_event tokens_per_second audio_speed heard translation label input_schema is_reachable
    drop closing stall delay slow corrupt duplicate reorder failing on nth times seconds behind how http_error protocol_error""",
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


# --- files ----------------------------------------------------------------------------------------


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
        "replies:\n- call:\n    name: on\n    arguments:\n      {a: on, b: 12:30, c: 007, d: 2025-01-31, e: no, f: ~, g: null, h: ,"
        " i: true, j: -1, k: 1.5e3, l: 'true', m: 1_000, n: .5, o: =, p: !!str 5}\n"
        "faults: [drop: {on: error}]\n"
    )
    loaded = load_script(written(tmp_path, name, text))
    (call,) = loaded.script.replies[0].outputs
    assert isinstance(call, Call)
    assert call.name == "on"
    assert json.loads(call.arguments) == {
        "a": "on", "b": "12:30", "c": "007", "d": "2025-01-31", "e": "no", "f": None, "g": None, "h": None, "i": True,
        "j": -1, "k": 1500.0, "l": "true", "m": "1_000", "n": ".5", "o": "=", "p": "5",
    }  # fmt: skip
    assert loaded.faults == (Fault.drop("error"),)


def test_yaml_may_refer_and_merge(tmp_path: Path) -> None:
    text = "pacing: &slow {audio_speed: 1, tokens_per_second: 5}\nreplies:\n- {text: a, pacing: {<<: *slow, audio_speed: 2}}\n"
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
            "not YAML: while parsing a flow node, expected the node content, but found '<stream end>'",
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
    assert "pip install 'realtime-trio[yaml]'" in error_in(tmp_path, "script.yaml", "{}").problem
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
