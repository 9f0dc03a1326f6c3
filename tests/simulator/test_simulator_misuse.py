"""Scripts, faults and servers that cannot be: refused where they are written, in plain words."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio

from realtime_trio import simulator
from realtime_trio.errors import LocalProtocolError
from realtime_trio.simulator import (
    LIFELIKE,
    Call,
    Fault,
    OfflineAgent,
    Reply,
    Script,
    SimulatedServer,
    Turn,
    open_simulator_transport,
    serve_simulator,
)


async def fits(turn: Turn) -> bool:
    await trio.lowlevel.checkpoint()
    return True


sim: Any = simulator
"""The same without types: a type checker would refuse most of this, too."""


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: sim.Script(["hello"]), "replies must be made of Reply, such as Reply.text"),
        (lambda: sim.Script("hello"), "replies must be a sequence, not str"),
        (lambda: sim.Script(sim.Reply.text("a")), "replies must be a sequence, not Reply"),
        (lambda: sim.Script(None), "replies must be a sequence, not None"),
        (lambda: sim.Script(transcripts="hello"), "transcripts must be a sequence, not str"),
        (lambda: sim.Script(transcripts=[5]), "transcripts must be made of str and None, not int"),
        (lambda: sim.Script(translations="ab"), "translations must be a sequence, not str"),
        (lambda: sim.Script(translations=["ab"]), "must be a pair of texts, not str"),
        (lambda: sim.Script(translations=[("a", "b", "c")]), "a pair of texts, not 3 values"),
        (lambda: sim.Script(translations=[("a", None)]), "each text of translations must be a str"),
        (
            lambda: sim.Script(mcp_servers=["docs"]),
            "mcp_servers must be made of McpServer, not str",
        ),
        (lambda: sim.Script(pacing=2.0), "pacing must be a Pacing, not float"),
        (
            lambda: sim.Script(transcription_delay="1"),
            "transcription_delay must be a number of second",
        ),
        (lambda: sim.McpServer("docs", ["search"]), "tools must be made of McpListedTool, not str"),
        (lambda: sim.McpServer(None), "label must be a str, not None"),
        (lambda: sim.Reply.text(None), "text must be a str, not None"),
        (lambda: sim.Reply.speech(5), "text must be a str, not int"),
        (lambda: sim.Reply.text("a", when="hello"), "when must be a function of the turn, not str"),
        (lambda: sim.Reply.text("a", when=fits), "when must be a plain function of the turn"),
        (lambda: sim.Reply.text("a", when=OfflineAgent().answer), "when must be a plain function"),
        (lambda: sim.Reply.text("a", pacing=4), "pacing must be a Pacing or None, not int"),
        (lambda: sim.Reply.text("a").then("b"), "what comes then must be a Reply, not str"),
        (
            lambda: sim.Reply.call("f", when=lambda _: True),
            "Reply.calls(Call(name, {...}), when=...",
        ),
        (
            lambda: sim.Reply.call("f", pacing=LIFELIKE),
            "every keyword of Reply.call is an argument",
        ),
        (
            lambda: sim.Reply.calls("f"),
            "outputs must be made of Message, Call and HostedCall, not str",
        ),
        (lambda: sim.Reply(outputs=sim.Call("f")), "outputs must be a sequence, not Call"),
        (lambda: sim.Reply(failure="no"), "failure must be a Failure or None, not str"),
        (lambda: sim.Call(None), "name must be a str, not None"),
        (lambda: sim.Call("f", call_id=5), "call_id must be a str or None, not int"),
        (lambda: sim.Reply.mcp(None, "f"), "server_label must be a str, not None"),
        (lambda: sim.Reply.fail("code", None), "message must be a str, not None"),
        (lambda: sim.Pacing(audio_speed="fast"), "audio_speed must be a number greater than 0"),
        (lambda: sim.Fault.delay("x"), "seconds must be 0 seconds or more, not str"),
        (lambda: sim.Fault.slow("x"), "characters_per_second must be more than 0"),
        (lambda: sim.Fault.drop(nth="x"), "nth must be 1 or more"),
        (lambda: sim.Fault.drop(on=5), "on must be the type of an event or None, not int"),
        (lambda: sim.Cast("hello"), "agent must be an object with a method answer, not str"),
        (lambda: sim.Cast(OfflineAgent), "not the class OfflineAgent"),
        (lambda: sim.Cast(ears=OfflineAgent()), "ears must be an object with a method transcribe"),
        (lambda: sim.Cast(voice="ash"), "voice must be an object with a method speak, not str"),
    ],
)
def test_what_is_of_another_kind_is_refused(make: Callable[[], object], complaint: str) -> None:
    with pytest.raises(TypeError) as refused:
        make()
    assert complaint in str(refused.value)


def test_a_time_that_cannot_be_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="seconds must be 0 seconds or more, not -1"):
        Fault.delay(-1)


def test_an_argument_may_be_called_when() -> None:
    assert Reply.call("f", when="now", pacing=2).outputs == (
        Call("f", {"when": "now", "pacing": 2}),
    )


def test_a_reply_may_be_made_of_a_list() -> None:
    outputs: Any = [Call("f")]
    assert Reply(outputs=outputs).outputs == (Call("f"),)


@pytest.mark.parametrize(
    ("server", "options", "complaint"),
    [
        ("hello", {}, "a server must be a Script or a Simulation, not str"),
        ([Reply.text("a")], {}, "a server must be a Script or a Simulation, not list"),
        (SimulatedServer, {}, "not the class SimulatedServer"),
        (Script(), {"cast": OfflineAgent()}, "cast must be a Cast or None, not OfflineAgent"),
        (Script(), {"faults": Fault.drop()}, "faults must be a sequence, not Fault"),
        (Script(), {"faults": ["drop"]}, "each of faults must be a Fault, not str"),
    ],
)
async def test_what_cannot_be_served_in_memory_is_refused(
    server: Any, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(TypeError) as refused:
        async with open_simulator_transport(server, **options):
            pass
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("options", "error", "complaint"),
    [
        ({"script": "hello"}, TypeError, "script must be a Script or a function, not str"),
        ({"cast": OfflineAgent()}, TypeError, "cast must be a Cast or None, not OfflineAgent"),
        ({"faults": "drop"}, TypeError, "faults must be a sequence, not str"),
        ({"models": "gpt-realtime"}, TypeError, "models must be a sequence, not str"),
        ({"api_key": 5}, TypeError, "api_key must be a str or None, not int"),
        ({"api_key": ""}, LocalProtocolError, "api_key is empty"),
        ({"expires_after": "1h"}, TypeError, "expires_after must be more than 0 seconds, not str"),
        ({"expires_after": 0}, LocalProtocolError, "expires_after must be more than 0 seconds"),
    ],
)
async def test_options_that_make_no_sense_are_refused_before_anything_is_served(
    options: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    with trio.fail_after(5), pytest.raises(error) as refused:
        await partial(serve_simulator, **options)()
    assert complaint in str(refused.value)
