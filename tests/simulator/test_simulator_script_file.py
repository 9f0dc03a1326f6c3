"""Scripts that stand in files: what they mean."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from script_documents import FAULTS, error_of, fault, parsed, reply, written

from realtime_trio.audio import AudioData, write_wav
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
)
from realtime_trio.simulator.script.fault import Fault
from realtime_trio.simulator.script.script_file import (
    ScriptFile,
    When,
    load_script,
)

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
        ({"stall": {"nth": 1}}, Fault.stall()),
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
