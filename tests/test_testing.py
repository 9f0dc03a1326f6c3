"""The test kit, used as its users do.

Sessions in memory, transports that remember, assertions, and the pytest plugin.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from simulated import buffered, records, speech
from trio.testing import MockClock

from realtime_trio import _pytest_plugin
from realtime_trio._protocol.codec import Role
from realtime_trio._protocol.dialects import Dialect
from realtime_trio._protocol.kinds import DEFAULT_MODEL
from realtime_trio._session.opening import SessionOptions, open_session
from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio._transport.contract import Close
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio.errors import ConnectionLost, LocalProtocolError
from realtime_trio.events import (
    ConversationItemTruncated,
    ErrorEvent,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    McpApprovalRequest,
    McpListedTool,
    McpTool,
    ResponseDone,
    ResponseOutputAudioDelta,
    SessionCreated,
    SystemMessage,
    UnknownEvent,
    UserMessage,
)
from realtime_trio.simulator import (
    LIFELIKE,
    Call,
    Cast,
    Fault,
    McpServer,
    OfflineAgent,
    SimulatedServer,
    open_simulator_transport,
    sequential_ids,
)
from realtime_trio.testing import (
    Recording,
    RecordingTransport,
    ReplayServer,
    Reply,
    Script,
    SimulationOptions,
    assert_conversation,
    assert_order,
    check_order,
    open_recording,
    open_simulated_session,
    read_recording,
)

pytest_plugins = ["pytester"]

LOOK = FunctionTool(name="look")


def complaint(talk: list[ConversationItem], *expected: tuple[object, ...]) -> list[str]:
    with pytest.raises(AssertionError) as failure:
        # What fits no item may be anything, also what mypy would refuse.
        assert_conversation(talk, expected)  # type: ignore[arg-type]
    return str(failure.value).splitlines()[1:]


# --- sessions -------------------------------------------------------------------------------------


async def test_a_session_with_a_script_needs_two_lines(autojump_clock: MockClock) -> None:
    script = Script([Reply.text("Sunny, 21 degrees.")])
    async with open_simulated_session(script, instructions="be brief") as (session, server):
        answer = await session.ask("Weather in Paris?")
        assert isinstance(server, SimulatedServer)
        assert session.config.instructions == "be brief"
    assert answer.transcript == "Sunny, 21 degrees."


async def test_without_a_script_the_simulator_answers_for_itself(autojump_clock: MockClock) -> None:
    async with open_simulated_session(model="gpt-realtime-mini", new_id=sequential_ids()) as (
        session,
        _,
    ):
        assert "Hello!" in (await session.ask("Hello!")).transcript
        assert session.config.model == "gpt-realtime-mini"
        assert session.conversation.items[0].id.startswith("item_0000")


async def test_a_recording_can_take_the_place_of_the_script(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    async with (
        open_simulated_session(Script([Reply.text("Good day.")])) as (session, _),
        open_recording(session.wire(), path),
    ):
        await session.ask("Hello!")
    server = ReplayServer(read_recording(path), speed=math.inf)
    async with open_simulated_session(server) as (session, served):
        assert served is server
        assert (await session.ask("Good morning!")).transcript == "Good day."
    assert server.is_finished


def test_every_keyword_of_open_session_is_passed_on() -> None:
    keywords = inspect.signature(open_session).parameters.keys() - {
        "model",
        "url",
        "transport",
        "reconnect",
        "options",
    }
    assert (
        SimulationOptions.__annotations__.keys() == keywords | SessionOptions.__annotations__.keys()
    )


def test_without_trio_there_is_no_simulated_session() -> None:
    async def use() -> None:
        async with open_simulated_session():
            pytest.fail("not reached")

    with pytest.raises(LocalProtocolError, match="runs in trio alone"):
        asyncio.run(use())


async def test_messages_that_do_not_fit_are_errors_unless_they_may_be(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated_session() as (session, _):
        assert session._codec.strict
    async with open_simulated_session(strict=False) as (session, _):
        assert not session._codec.strict


# --- every kind of turn keeps the order -----------------------------------------------------------


@pytest.mark.parametrize("modality", ["text", "audio"])
async def test_the_simulator_keeps_the_order(modality: str, autojump_clock: MockClock) -> None:
    replies = [
        Reply.text("Let me look.").then(
            Reply.calls(Call("look", {"x": 1}), Call("look", {"x": 2}))
        ),
        Reply.text("I see a tree."),
        Reply.fail("server_error", "Sorry."),
        Reply.text("one two three four five"),
        Reply.mcp("docs", "search", {"q": "tree"}, output="found", approval=True),
    ]
    script = Script(replies, transcripts=["hello", None])
    options: dict[str, Any] = {
        "output_modalities": [modality],
        "tools": [LOOK],
        "turn_detection": None,
    }
    async with open_simulated_session(script, **options) as (session, _):
        wire = session.wire()
        with session.events(ErrorEvent) as errors:
            await session.send_message("Look!")
            await trio.sleep(1)
            for item in [
                item for item in session.conversation.items if item.type == "function_call"
            ]:
                await session.send_tool_output(str(item.call_id), "a tree")
            await trio.sleep(1)
            async with session.user_turn():
                await session.append_audio(speech(200))
            await session.ask("Count!", max_output_tokens=3)
            await session.ask("Count!", conversation="none")
            item = await session.insert_item(UserMessage.text("first"), previous_item_id="root")
            await session.retrieve_item(item.id)
            await session.delete_item(item.id)
            assert buffered(errors) == []
        assert_order(records(wire))


async def test_an_interruption_keeps_the_order(autojump_clock: MockClock) -> None:
    async with open_simulated_session(
        Script([Reply.text("a long story about nothing at all")], pacing=LIFELIKE)
    ) as (session, _):
        wire = session.wire()
        await session.send_message("Tell me a story!")
        delta = await session.wait_for(ResponseOutputAudioDelta)
        await session.cancel_response(delta.item_id, 2400)
        await session.wait_for(ConversationItemTruncated)
        transcript = records(wire)
    assert_order(transcript)
    [done] = [record.event for record in transcript if isinstance(record.event, ResponseDone)]
    assert done.response.status == "cancelled"


# --- transports that remember ---------------------------------------------------------------------


async def test_a_transport_remembers_both_directions(autojump_clock: MockClock) -> None:
    async with open_simulator_transport(Script([Reply.text("Good day.")])) as inner:
        transport = RecordingTransport(inner)
        async with open_session(transport=transport) as session:
            wire = session.wire()
            await session.ask("Hello!")
            closes = [transport.closed]
        closes.append(transport.closed)
    assert closes == [None, Close(1000)]
    assert [record.event for record in transport.records] == [
        record.event for record in records(wire)
    ]
    assert [event.type for event in transport.sent] == [
        "conversation.item.create",
        "response.create",
    ]
    assert transport.received[0].type == "session.created"
    assert all(isinstance(message, str) for message in transport.messages)
    assert check_order(transport.records) == []
    assert Recording.of(transport.records).model == DEFAULT_MODEL


async def test_the_server_s_end_can_be_watched_as_well() -> None:
    near, far = memory_transport_pair()
    transport = RecordingTransport(far, role=Role.SERVER)
    await near.send('{"type": "response.cancel"}')
    await near.send(b"\x00")
    await transport.receive()
    sent_before = list(transport.sent)
    await transport.send('{"type": "session.hum", "event_id": "event_1"}')
    assert [event.type for event in transport.received] == ["response.cancel", ""]
    assert sent_before == []
    assert [type(event) for event in transport.sent] == [UnknownEvent]
    assert [record.source for record in transport.records] == ["client", "client", "server"]
    assert transport.messages[1] == b"\x00"
    assert tuple(record.text for record in transport.records) == transport.messages
    assert all(record.wall_time for record in transport.records)
    await transport.aclose(3000, "enough")
    assert near.closed == Close(3000, "enough")


async def test_a_beta_connection_is_decoded_as_one() -> None:
    near, far = memory_transport_pair()
    transport = RecordingTransport(near, dialect=Dialect.BETA)
    text = '{"type":"session.created","event_id":"e","session":{"id":"s","voice":"alloy"}}'
    await far.send(text)
    await transport.receive()
    [record] = transport.records
    assert (type(record.event), record.dialect, record.text) == (
        SessionCreated,
        Dialect.BETA,
        text,
    )


async def test_what_could_not_be_sent_was_tried() -> None:
    near, _ = memory_transport_pair()
    transport = RecordingTransport(near)
    await transport.aclose()
    with pytest.raises(ConnectionLost):
        await transport.send("{}")
    assert transport.messages == ("{}",)
    assert await transport.receive() == ()


# --- conversations --------------------------------------------------------------------------------


async def items() -> list[ConversationItem]:
    async with open_simulated_session(
        Script([Reply.call("look", x=1)]), tools=[LOOK], turn_detection=None
    ) as (session, _):
        await session.insert_item(SystemMessage.text("Be kind."))
        await session.append_audio(speech(200))
        await session.commit_audio()
        await session.send_message("Look!")
        await trio.testing.wait_all_tasks_blocked()
        [call] = [item.call for item in session.conversation.items if item.call is not None]
        assert isinstance(call, FunctionCall)
        await session.insert_item(
            FunctionCallOutput(call_id=str(call.call_id), output='{"what": ["a tree"]}')
        )
        assert_conversation(
            session,
            [("system",), ("user", None), ("user", "Look!"), ("call", "look"), ("output", ...)],
        )
        assert_conversation(
            session.conversation, [("system",)] + [("user",)] * 2 + [("call",), ("output",)]
        )
        return list(session.conversation.items)


async def test_a_conversation_is_compared_line_by_line(autojump_clock: MockClock) -> None:
    talk = await items()
    texts = [
        ("system", "Be kind."),
        ("user", None),
        ("user", "Look!"),
        ("call", "look", '{"x":1}'),
        ("output", '{"what": ["a tree"]}'),
    ]
    values = [
        ("system", ...),
        ("user", ...),
        ("user", ...),
        ("call", ..., {"x": 1}),
        ("output", {"what": ["a tree"]}),
    ]
    assert_conversation(talk, texts)
    assert_conversation(talk, values)
    assert_conversation([], [])


async def test_a_failure_shows_the_difference_and_nothing_else(autojump_clock: MockClock) -> None:
    talk = await items()
    expected = [
        ("system", ...),
        ("user", None),
        ("user", "Listen!"),
        ("call", "look", {"x": 2}),
        ("output", {"what": ["a tree"]}),
    ]
    assert complaint(talk, *expected) == [
        "  system: ...",
        "  user: None",
        "- user: 'Listen!'",
        "- call: 'look', {'x': 2}",
        "+ user: 'Look!'",
        """+ call: 'look', '{"x":1}'""",
        "  output: {'what': ['a tree']}",
    ]


async def test_a_missing_item_and_one_too_many_are_shown(autojump_clock: MockClock) -> None:
    talk = await items()
    assert complaint(talk[:1], ("system", ...), ("user", "hello")) == [
        "  system: ...",
        "- user: 'hello'",
    ]
    assert complaint(talk[:2], ("user", None)) == ["+ system: 'Be kind.'", "  user: None"]
    assert complaint(talk[:1], ("system", "Be kind.", "really")) == [
        "- system: 'Be kind.', 'really'",
        "+ system: 'Be kind.'",
    ]


async def test_arguments_that_are_no_json_fit_no_mapping(autojump_clock: MockClock) -> None:
    script = Script([Reply.calls(Call("look", "{broken"), Call("look", "[1]"))])
    async with open_simulated_session(script, tools=[LOOK]) as (session, _):
        await session.send_message("Look!")
        await trio.sleep(1)
        _, broken, listed = session.conversation.items
        assert complaint([broken], ("call", "look", {"x": 1})) != []
        assert complaint([listed], ("call", "look", {})) != []
        assert_conversation(
            [broken, listed], [("call", "look", "{broken"), ("call", "look", "[1]")]
        )


async def test_other_items_go_by_their_type(autojump_clock: MockClock) -> None:
    server = McpTool(server_label="docs", server_url="https://example.com/mcp")
    listed = McpListedTool(name="search", input_schema={})
    script = Script(
        [Reply.mcp("docs", "search", approval=True)], mcp_servers=[McpServer("docs", [listed])]
    )
    async with open_simulated_session(script, tools=[server]) as (session, _):
        await session.send_message("Search!")
        await trio.sleep(1)
        assert_conversation(
            session, [("mcp_list_tools",), ("user", "Search!"), (McpApprovalRequest.type,)]
        )


# --- the pytest plugin ----------------------------------------------------------------------------

# As a conftest imports them, so that this works whether or not the plugin is installed under its
# own name.
CONFTEST = "from realtime_trio._pytest_plugin import *"


@pytest.mark.socket
def test_the_fixtures_open_sessions_and_serve_them(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\ntrio_mode = true\nfilterwarnings = error")
    pytester.makepyfile(
        """
        import pytest
        from realtime_trio import open_session
        from realtime_trio.testing import Reply, Script

        @pytest.fixture
        def realtime_script():
            return Script([Reply.text("Good day.")])

        async def test_in_memory(simulated_session, autojump_clock):
            async with simulated_session(output_modalities=["text"]) as (session, server):
                assert (await session.ask("Hello!")).text == "Good day."

        async def test_on_a_socket(realtime_server):
            async with open_session(url=realtime_server) as session:
                assert (await session.ask("Hello!")).transcript == "Good day."
        """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=2)


def test_without_a_script_of_their_own_the_fixtures_have_one(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_script(realtime_script): assert realtime_script.replies == ()")
    pytester.runpytest_inprocess().assert_outcomes(passed=1)


def test_without_pytest_trio_there_is_no_server_and_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pytest_trio", None)
    spec = importlib.util.spec_from_file_location("plugin_alone", _pytest_plugin.__file__)
    assert spec is not None
    assert spec.loader is not None
    alone = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(alone)
    assert hasattr(alone, "simulated_session")
    assert not hasattr(alone, "realtime_server")
    assert hasattr(_pytest_plugin, "realtime_server")


async def test_a_simulated_session_may_have_an_agent_and_faults(
    autojump_clock: trio.testing.MockClock,
) -> None:
    fault = Fault.delay(5.0, on="response.done")
    async with open_simulated_session(
        cast=Cast(OfflineAgent()), faults=[fault], output_modalities=["text"]
    ) as (session, _):
        before = trio.current_time()
        assert (await session.ask("What is 6 times 7?")).text == "6 times 7 is 42."
        assert trio.current_time() == before + 5.0
