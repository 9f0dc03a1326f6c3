"""How a session becomes ready, and every way in which it does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any

import pytest
import trio
from peers import (
    Leaves,
    Server,
    counted_ids,
    created,
    drain,
    failure,
    memory_server,
    open_pair,
    updated,
)
from simulated import buffered
from tool_sessions import (
    calls,
    error,
    look_if_allowed,
    open_tools,
    outputs,
    start_turn,
    wait,
)
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._protocol.dialects import Dialect
from realtime_trio._session.opening import open_session
from realtime_trio._session.tool_context import ToolContext
from realtime_trio._session.transcription import open_transcription_session
from realtime_trio._session.translation import open_translation_session
from realtime_trio._state.utility_events import ToolCallFinished, ToolCallStarted
from realtime_trio._transport.contract import Close
from realtime_trio.errors import (
    ConnectionFailed,
    ConnectionLost,
    LocalProtocolError,
    ServerError,
)
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreate,
    FunctionTool,
    RealtimeSession,
    SessionConfig,
    SessionCreated,
    SessionUpdate,
    UnknownEvent,
)


async def test_a_session_is_ready_once_the_server_has_begun_it(autojump_clock: MockClock) -> None:
    async with open_pair() as (session, server):
        assert session.config.instructions == "as you like"
        assert session.closed is None
    assert await server.hear_the_rest() == []


async def test_a_session_with_a_configuration_is_ready_once_the_server_has_taken_it(
    autojump_clock: MockClock,
) -> None:
    near, server = memory_server()
    steps: list[str] = []

    async def serve() -> None:
        await server.say(created())
        update = await server.hear(SessionUpdate)
        assert update.session == SessionConfig(instructions="be brief")
        assert update.event_id == "evt_1"
        await wait_all_tasks_blocked()
        steps.append("answers")
        await server.say(updated("be brief"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        async with open_session(
            transport=near, new_id=counted_ids(), instructions="be brief"
        ) as session:
            steps.append("ready")
            assert session.config.instructions == "be brief"
    assert steps == ["answers", "ready"]


@pytest.mark.parametrize("code", [3000, 4000, 1000])
async def test_a_service_that_refuses_after_the_handshake_is_quoted(
    code: int, autojump_clock: MockClock
) -> None:
    near, server = memory_server()
    await server.say(failure("Incorrect API key provided", code="invalid_api_key"))
    await server.transport.aclose(code, "invalid_request_error")
    with pytest.raises(
        ConnectionFailed, match="refused the session: Incorrect API key provided"
    ) as caught:
        async with open_session(transport=near):
            pytest.fail("not reached")
    assert (caught.value.code, caught.value.status) == ("invalid_api_key", None)


@pytest.mark.parametrize("is_said", [True, False])
async def test_what_the_service_says_is_bounded_and_legible(
    is_said: bool, autojump_clock: MockClock
) -> None:
    near, server = memory_server()
    if is_said:
        await server.say(failure("\x1b[31mno\n" + "x" * 1_500_000))
    await server.transport.aclose(4000, "\x1b[31mno\n" + "x" * 1_500_000)
    with pytest.raises(ConnectionFailed) as caught:
        async with open_session(transport=near):
            pytest.fail("not reached")
    assert r"\x1b[31mno\n" in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


async def test_a_refusal_without_a_code_is_called_by_its_type(autojump_clock: MockClock) -> None:
    near, server = memory_server()
    await server.say(failure("no"))
    await server.transport.aclose(4000)
    with pytest.raises(ConnectionFailed) as caught:
        async with open_session(transport=near):
            pytest.fail("not reached")
    assert caught.value.code == "invalid_request_error"


@pytest.mark.parametrize(
    ("close", "text"),
    [(Close(1008, "policy"), "connection: 1008 policy$"), (Close(1000), "connection: 1000$")],
)
async def test_a_service_that_closes_without_a_word_is_quoted_by_its_close_code(
    close: Close, text: str, autojump_clock: MockClock
) -> None:
    near, server = memory_server()
    await server.transport.aclose(close.code, close.reason)
    with pytest.raises(ConnectionFailed, match=text) as caught:
        async with open_session(transport=near):
            pytest.fail("not reached")
    assert caught.value.code is None


async def test_a_service_that_never_begins_the_session_is_given_up(
    autojump_clock: MockClock,
) -> None:
    near, _ = memory_server()
    start = trio.current_time()
    with pytest.raises(ConnectionFailed, match="did not begin the session in time"):
        async with open_session(transport=near, connect_timeout=3):
            pytest.fail("not reached")
    assert trio.current_time() - start == 3
    assert near.closed is not None


@pytest.mark.parametrize("instructions", [None, "be brief"])
@pytest.mark.parametrize(
    ("first", "why"),
    [
        (
            '{"type": "session.created", "event_id": "e", "session": {"type": "transcription"}}',
            "as a transcription session, and not as a realtime session$",
        ),
        (
            '{"type": "session.created", "event_id": "e", "session": 5}',
            r"in words that cannot be read: expected an object.* @ \$\.session",
        ),
        (
            '{"type": "session.created", "event_id": "e", "session": {"type": "translation"}}',
            "in words that cannot be read: expected an object of type .*'realtime'",
        ),
        (
            '{"type": "transcription_session.created", "event_id": "e", "session": {}}',
            "with transcription_session.created, which a realtime session of this dialect "
            "does not have$",
        ),
    ],
)
async def test_a_beginning_that_is_none_is_told_at_once(
    first: str, why: str, instructions: str | None, autojump_clock: MockClock
) -> None:
    near, server = memory_server()
    await server.transport.send(first)
    start = trio.current_time()
    settings = {} if instructions is None else {"instructions": instructions}
    with pytest.raises(ConnectionFailed, match="the service began the session " + why):
        async with open_session(transport=near, **settings):  # type: ignore[arg-type]
            pytest.fail("not reached")
    assert trio.current_time() == start
    assert near.closed is not None


@pytest.mark.parametrize(
    "open_",
    [open_transcription_session, partial(open_translation_session, language="fr")],
)
async def test_sessions_of_all_kinds_tell_at_once_that_the_service_began_another(
    open_: Callable[..., AbstractAsyncContextManager[object]], autojump_clock: MockClock
) -> None:
    near, server = memory_server()
    await server.say(created())
    start = trio.current_time()
    with pytest.raises(ConnectionFailed, match="the service began the session "):
        async with open_(transport=near):
            pytest.fail("not reached")
    assert trio.current_time() == start


async def test_a_second_beginning_that_cannot_be_read_ends_nothing(
    autojump_clock: MockClock,
) -> None:
    async with open_pair() as (session, server):
        events = session.events(UnknownEvent)
        await server.transport.send('{"type": "session.created", "session": 5}')
        assert (await events.receive()).type == "session.created"


async def test_a_service_that_never_takes_the_configuration_is_given_up(
    autojump_clock: MockClock,
) -> None:
    near, server = memory_server()
    await server.say(created())
    with pytest.raises(ConnectionFailed, match="did not take the configuration in time") as caught:
        async with open_session(transport=near, instructions="be brief"):
            pytest.fail("not reached")
    assert caught.value.code is None


async def test_what_the_service_complained_about_meanwhile_is_quoted_when_it_is_given_up(
    autojump_clock: MockClock,
) -> None:
    near, server = memory_server()
    await server.say(created(), failure("You are out of money", code="insufficient_quota"))
    with pytest.raises(ConnectionFailed, match="out of money") as caught:
        async with open_session(transport=near, instructions="be brief"):
            pytest.fail("not reached")
    assert caught.value.code == "insufficient_quota"


async def test_a_refused_configuration_is_a_refused_session(autojump_clock: MockClock) -> None:
    near, server = memory_server()

    async def serve() -> None:
        await server.say(created())
        update = await server.hear(SessionUpdate)
        await server.say(
            failure(
                "no such voice",
                code="invalid_value",
                param="session.audio.output.voice",
                of=update.event_id,
            )
        )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(
            ConnectionFailed,
            match=r"refused the configuration: .*no such voice.*session\.audio\.output\.voice",
        ) as caught:
            async with open_session(transport=near, voice="nobody"):
                pytest.fail("not reached")
    assert caught.value.code == "invalid_value"
    assert isinstance(caught.value.__cause__, ServerError)


async def test_a_connection_lost_while_the_configuration_is_under_way_is_a_failed_one(
    autojump_clock: MockClock,
) -> None:
    near, server = memory_server()

    async def serve() -> None:
        await server.say(created())
        await server.hear(SessionUpdate)
        near.abort("gone")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(ConnectionFailed, match="closed the connection: 1006 gone"):
            async with open_session(transport=near, instructions="be brief"):
                pytest.fail("not reached")


async def serve_update_and_close(server: Server, code: int) -> None:
    await server.hear(SessionUpdate)
    await server.say(updated("be brief"))
    await server.transport.aclose(code)


@pytest.mark.parametrize("attempt", range(10))
async def test_a_session_that_began_and_is_over_was_one(
    attempt: int, autojump_clock: MockClock
) -> None:
    near, server = memory_server()
    await server.say(created())
    await server.transport.aclose(1000)
    async with open_session(transport=near) as session:
        assert await drain(session.events()) == [created()]
    near, server = memory_server()
    await server.say(created(), failure("no", code="invalid_model"))
    await server.transport.aclose(4000)
    with Leaves(ConnectionLost, "4000"):
        async with open_session(transport=near) as session:
            await drain(session.events())
    assert await drain(session.events()) == []


@pytest.mark.parametrize("attempt", range(10))
async def test_a_session_that_took_its_configuration_and_is_over_was_one(
    attempt: int, autojump_clock: MockClock
) -> None:
    for code in (1000, 1011):
        near, server = memory_server()
        await server.say(created())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_update_and_close, server, code)
            with nullcontext() if code == 1000 else Leaves(ConnectionLost):
                async with open_session(transport=near, instructions="be brief") as session:
                    assert await drain(session.events()) == [created(), updated("be brief")]


@pytest.mark.parametrize("attempt", range(10))
async def test_a_session_that_began_and_did_not_take_its_configuration_was_none(
    attempt: int, autojump_clock: MockClock
) -> None:
    for code in (1000, 1011):
        near, server = memory_server()
        await server.say(created())
        await server.transport.aclose(code)
        with Leaves(ConnectionFailed, f"the service closed the connection: {code}"):
            async with open_session(transport=near, instructions="be brief"):
                pytest.fail("not reached")


async def test_a_misspelt_keyword_is_refused_as_python_refuses_it(
    autojump_clock: MockClock,
) -> None:
    near, _ = memory_server()
    with pytest.raises(
        TypeError, match=r"'instuctions' \(did you mean 'instructions'\?\); allowed are "
    ):
        async with open_session(transport=near, instuctions="be brief"):  # type: ignore[call-arg]
            pytest.fail("not reached")


async def test_an_unusable_setting_is_refused_before_anything_is_sent(
    autojump_clock: MockClock,
) -> None:
    near, server = memory_server()
    with pytest.raises(LocalProtocolError, match=r"session\.audio\.output\.speed"):
        async with open_session(transport=near, speed="fast"):  # type: ignore[arg-type]
            pytest.fail("not reached")
    assert near.closed is None
    await near.aclose()
    assert await server.hear_the_rest() == []


async def test_a_server_of_the_older_dialect_is_understood(autojump_clock: MockClock) -> None:
    near, server = memory_server()
    await server.transport.send(
        '{"type":"session.created","event_id":"e","session":{"id":"sess_1","modalities":["text"],"voice":"alloy"}}'
    )
    async with open_session(transport=near, dialect=Dialect.BETA) as session:
        assert session.config.output_modalities == ("text",)


async def test_a_history_that_the_server_refuses_is_a_refused_session(
    autojump_clock: MockClock,
) -> None:
    near, server = memory_server()

    async def refuse() -> None:
        await server.say(created())
        for number in range(2):
            create = await server.hear(ConversationItemCreate)
            await server.say(
                failure("too long", code="string_above_max_length", of=create.event_id)
                if number
                else ConversationItemAdded(event_id="event_1", item=create.item)
            )

    history = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        for text in ("one", "two")
    ]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(refuse)
        with pytest.raises(ConnectionFailed, match=r"refused the history: .*too long") as caught:
            async with open_session(transport=near, history=history):
                pytest.fail("not reached")
    assert caught.value.code == "string_above_max_length"


async def test_a_history_has_been_taken_when_the_session_is_ready(
    autojump_clock: MockClock,
) -> None:
    near, server = memory_server()
    steps: list[str] = []

    async def take() -> None:
        await server.say(created())
        # All of it, before the first is answered.
        creates = [await server.hear(ConversationItemCreate) for _ in range(2)]
        previous = None
        for create in creates:
            await wait_all_tasks_blocked()
            steps.append("answers")
            await server.say(
                ConversationItemAdded(
                    event_id="event_1", item=create.item, previous_item_id=previous
                )
            )
            previous = create.item.id

    history = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        for text in ("one", "two")
    ]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        async with open_session(transport=near, history=history) as session:
            steps.append("ready")
            assert [item.text for item in session.conversation.items] == ["one", "two"]
    assert steps == ["answers", "answers", "ready"]


@pytest.mark.parametrize(
    ("argument", "error", "problem"),
    [
        ({"transport": 5}, TypeError, "transport must be a Transport, .* or None, not int"),
        ({"new_id": 5}, TypeError, "new_id must be a function from a prefix to an id, not int"),
        ({"capacity": 0}, ValueError, "capacity"),
        ({"retention": "some"}, LocalProtocolError, "retention"),
        ({"tool_concurrency": 0}, LocalProtocolError, "tool_concurrency must be a whole number"),
        ({"tool_concurrency": 1.5}, LocalProtocolError, "tool_concurrency must be a whole number"),
        ({"tool_timeout": 0}, LocalProtocolError, "tool_timeout must be more than 0 seconds"),
        ({"approval_timeout": 0}, LocalProtocolError, "approval_timeout must be more than 0 s"),
        ({"tool_errors": "some"}, LocalProtocolError, "tool_errors must be"),
        ({"tool_output_limit": 0}, LocalProtocolError, "tool_output_limit must be a whole number"),
        ({"tool_output_limit": 9.5}, LocalProtocolError, "tool_output_limit must be a whole num"),
    ],
)
async def test_what_no_session_can_be_opened_with_is_refused_before_anything_is_sent(
    argument: dict[str, Any], error: type[Exception], problem: str, autojump_clock: MockClock
) -> None:
    near, server = memory_server()
    await server.say(created())
    options: Any = {"transport": near, "instructions": "be brief"} | argument
    with pytest.raises(error, match=problem):
        async with open_session(**options):
            pytest.fail("not reached")
    assert near.closed is None
    await near.aclose()
    assert await server.hear_the_rest() == []


@pytest.mark.parametrize(
    "argument",
    [
        {"tool_concurrency": 1},
        {"tool_concurrency": math.inf},
        {"tool_timeout": math.inf},
        {"approval_timeout": 1e-3},
        {"tool_errors": "full"},
        {"tool_output_limit": 1},
        {"tool_output_limit": None},
    ],
)
async def test_limits_may_be_as_narrow_or_as_wide_as_they_make_sense(
    argument: dict[str, Any], autojump_clock: MockClock
) -> None:
    near, server = memory_server()
    await server.say(created())
    async with open_session(transport=near, **argument) as session:
        assert session.tools == ()


@pytest.mark.parametrize("names", [["look"], ["look", "look"]])
async def test_the_tools_that_the_server_has_are_the_sessions_if_they_can_be_told_apart(
    names: list[str], autojump_clock: MockClock
) -> None:
    near, server = memory_server()
    tools = tuple(FunctionTool(name=name) for name in names)
    await server.say(
        SessionCreated(event_id="event_1", session=RealtimeSession(id="sess_1", tools=tools))
    )
    async with open_session(transport=near) as session:
        assert session.tools == (tools if len(tools) == 1 else ())


# How many functions run, and for how long, if nothing is said about it


async def test_eight_functions_run_at_once_and_each_for_a_minute(
    autojump_clock: MockClock,
) -> None:
    async with open_tools([wait], calls(*["wait"] * 9)) as session:
        started, finished = session.events(ToolCallStarted), session.events(ToolCallFinished)
        await start_turn(session)
        assert len(buffered(started)) == 8
        start = trio.current_time()
        assert (await finished.receive()).outcome == "timed_out"
        assert trio.current_time() == start + 60


async def test_an_approval_is_waited_for_five_minutes(autojump_clock: MockClock) -> None:
    async with open_tools([look_if_allowed], calls("ask_me")) as session:
        finished = session.events(ToolCallFinished)
        await start_turn(session)
        start = trio.current_time()
        assert (await finished.receive()).outcome == "timed_out"
        assert trio.current_time() == start + 300


async def test_a_function_may_know_the_session_that_runs_it(autojump_clock: MockClock) -> None:
    contexts: list[ToolContext] = []

    async def look(context: ToolContext) -> str:
        await trio.lowlevel.checkpoint()
        contexts.append(context)
        return "the sky"

    async with open_tools([look], calls("look")) as session:
        await session.ask("Look!")
    [context] = contexts
    assert context.session is session
    assert "call_1" in repr(context)
    assert "report" not in repr(context)
    assert "respond_early" not in repr(context)


async def test_of_an_exception_the_model_is_told_the_type(autojump_clock: MockClock) -> None:
    async def leak() -> None:
        await trio.lowlevel.checkpoint()
        raise LookupError("postgres://admin:secret@db")

    async with open_tools([leak], calls("leak")) as session:
        wire = session.wire()
        await session.ask("Go on!")
        assert outputs(wire) == [("call_1", error("the tool failed with LookupError"))]
