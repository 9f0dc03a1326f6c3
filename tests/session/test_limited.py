"""A session within its budget: every way to a response leads through the gate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
import trio
from bills import MODEL, began, create, done, usage
from limited_sessions import answer, open_limited, open_simulated_within
from peers import Server, drain, failure
from simulated import sent
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio._session.voice import Session
from realtime_trio._state.budget import GOODBYE_TOKENS, Ending
from realtime_trio._state.prices import Unpriced
from realtime_trio.errors import BudgetExceeded, LocalProtocolError, SessionClosed
from realtime_trio.events import (
    ConversationItemCreate,
    ErrorEvent,
    FunctionCallOutput,
    InputAudioBufferAppend,
    InputAudioBufferCommit,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseDone,
    SemanticVad,
    ServerVad,
    SessionUpdate,
)
from realtime_trio.money import Budget, BudgetSpent, BudgetWarning, HangingUp
from realtime_trio.playback import Playback
from realtime_trio.simulator import Reply
from realtime_trio.tools import tool

Way = Callable[[Session], Awaitable[object]]


async def follow(session: Session) -> None:
    async with session.open_response() as response:
        await response.wait()


WAYS: dict[str, Way] = {
    "respond": lambda session: session.respond(),
    "greet": lambda session: session.greet(),
    "send_message": lambda session: session.send_message("Hello!"),
    "ask": lambda session: session.ask("Hello!"),
    "ask beside the conversation": lambda session: session.ask("Hello!", conversation="none"),
    "open_response": follow,
    "send": lambda session: session.send(ResponseCreate()),
    "send_raw": lambda session: session.send_raw({"type": "response.create"}),
    "send_raw of another version": lambda session: session.send_raw(
        {"type": "response.create", "response": 3}
    ),
    "user_turn": lambda session: session.user_turn().__aenter__(),
}


async def spend(session: Session, server: Server, took: int = 1000) -> None:
    """Have one response, which takes so many tokens."""
    with session.events(ResponseDone) as ends:
        await session.respond()
        await answer(server, 100 + session.usage.responses, usage(text=took))
        await ends.receive()


def was_closed(session: Session) -> bool:
    return session.closed is not None and session.closed.is_clean


def most(event: ResponseCreate) -> object:
    return (event.response or ResponseConfig()).max_output_tokens


# --- the gate -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_when_all_is_spent_no_way_leads_to_a_response(
    way: Way, autojump_clock: MockClock
) -> None:
    async with open_limited(budget=Budget(tokens=1000)) as (session, server):
        await spend(session, server)
        with pytest.raises(BudgetExceeded, match="1000 tokens of the budget of 1000 are spent"):
            await way(session)
        await session.send(InputAudioBufferCommit())
        await server.hear(InputAudioBufferCommit)  # nothing was sent before it


@pytest.mark.parametrize(
    "way", [WAYS[name] for name in ("respond", "greet", "open_response", "send", "send_raw")]
)
async def test_every_way_says_no_more_than_what_is_left(
    way: Way, autojump_clock: MockClock
) -> None:
    async with (
        open_limited(budget=Budget(tokens=1500)) as (session, server),
        trio.open_nursery() as nursery,
    ):
        await spend(session, server)
        nursery.start_soon(way, session)
        assert most(await answer(server, 1)) == 500


async def test_what_was_sent_unchecked_keeps_what_this_version_does_not_know(
    autojump_clock: MockClock,
) -> None:
    async with open_limited(budget=Budget(tokens=1500)) as (session, server):
        await spend(session, server)
        await session.send_raw({"type": "response.create", "tomorrow": True})
        assert server.transport is not None
        (message,) = await server.transport.receive()
        assert '"tomorrow"' in str(message)


async def test_a_message_without_a_response_costs_nothing(autojump_clock: MockClock) -> None:
    async with open_limited(budget=Budget(tokens=0)) as (session, server):
        await session.send_message("Just so that you know.", respond=False)
        await server.hear(ConversationItemCreate)


async def test_audio_that_waits_is_not_committed_for_nothing(autojump_clock: MockClock) -> None:
    async with open_limited(budget=Budget(tokens=0)) as (session, server):
        await session.append_audio(bytes(9600))
        with pytest.raises(BudgetExceeded):
            await session.respond()
        await server.hear(InputAudioBufferAppend)
        assert session.conversation.pending_input_ms == 200


async def test_a_user_turn_that_asks_for_nothing_needs_no_budget(
    autojump_clock: MockClock,
) -> None:
    async with open_simulated_within(budget=Budget(tokens=0), turn_detection=None) as session:
        async with session.user_turn(respond=False):
            await session.append_audio(bytes(9600))
        assert session.conversation.pending_input_ms == 0


async def test_who_waits_for_its_turn_is_told_when_nothing_is_left_for_it(
    autojump_clock: MockClock,
) -> None:
    async with open_limited(budget=Budget(tokens=1000)) as (session, server):
        outcomes: list[str] = []

        async def ask() -> None:
            with pytest.raises(BudgetExceeded):
                await session.ask("And me?")
            outcomes.append("told")

        async with trio.open_nursery() as nursery:
            await session.respond()
            first = await server.hear(ResponseCreate)
            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            await server.say(done("resp_1", usage(text=1000), of=first.event_id))
        assert outcomes == ["told"]
        await session.send(InputAudioBufferCommit())
        await server.hear(InputAudioBufferCommit)  # the question was not sent either


async def test_a_message_whose_sender_has_gone_on_is_sent_without_a_response(
    autojump_clock: MockClock,
) -> None:
    async with open_limited(budget=Budget(tokens=1000)) as (session, server):
        await session.respond()
        first = await server.hear(ResponseCreate)
        item_id = await session.send_message("And this.")
        await server.say(done("resp_1", usage(text=1000), of=first.event_id))
        said = await server.hear(ConversationItemCreate)
        assert said.item.id == item_id
        await session.send(InputAudioBufferCommit())
        await server.hear(InputAudioBufferCommit)


async def test_no_reply_to_tools_is_asked_for_and_who_waits_for_it_is_told(
    autojump_clock: MockClock,
) -> None:
    @tool
    async def look_up() -> str:
        """Look something up, slowly."""
        await trio.sleep(20)
        return "found"

    async with open_simulated_within(
        Reply.call("look_up"), Reply.text("Found."), budget=Budget(seconds=10), tools=(look_up,)
    ) as session:
        wire = session.wire()
        with pytest.raises(BudgetExceeded):
            await session.ask("Look it up.")
        assert trio.current_time() >= 20
        events = sent(wire)
        said = [event.item for event in events if isinstance(event, ConversationItemCreate)]
        assert isinstance(said[-1], FunctionCallOutput)
        assert [type(event) for event in events].count(ResponseCreate) == 1


async def test_a_refusal_by_the_server_gives_the_promise_back(autojump_clock: MockClock) -> None:
    async with open_limited(budget=Budget(tokens=1000)) as (session, server):
        with session.events(ErrorEvent) as errors:
            event_id = await session.send(create("evt_mine", most=700))
            await server.hear(ResponseCreate)
            await server.say(failure("no", of=event_id))
            await errors.receive()
        await session.send(create("evt_other", aside=True))
        assert most(await server.hear(ResponseCreate)) == 1000


async def test_without_a_budget_nothing_is_clamped_or_counted(autojump_clock: MockClock) -> None:
    async with open_limited() as (session, server):
        await spend(session, server, 10**9)
        await session.respond()
        assert most(await server.hear(ResponseCreate)) is None


# --- what it costs ------------------------------------------------------------------------------


async def test_what_it_costs_in_total_and_by_response(autojump_clock: MockClock) -> None:
    async with open_limited() as (session, server):
        with session.events(ResponseDone) as ends:
            await session.respond()
            await answer(server, 1, usage(text=100, cached=50, says=10))
            await session.respond()
            await answer(server, 2, usage(audio=100, speaks=10))
            await ends.receive()
            second = (await ends.receive()).response
        assert session.cost.total == Decimal("0.00038") + Decimal("0.00384")
        assert session.cost.cached_text == Decimal("0.00002")
        assert session.cost_of("resp_1").total == Decimal("0.00038")
        assert session.cost_of(second).audio == Decimal("0.00384")
        with pytest.raises(LocalProtocolError, match="'resp_3'"):
            session.cost_of("resp_3")
        with pytest.raises(TypeError, match="a response or its id"):
            session.cost_of(3)  # type: ignore[arg-type]  # that is the point
    assert session.cost.total == Decimal("0.00422")


async def test_an_answer_can_be_priced(autojump_clock: MockClock) -> None:
    async with open_simulated_within(Reply.text("Good day.")) as session:
        reply = await session.ask("Hello!")
        assert session.cost_of(reply) == session.cost
        assert session.cost.total


async def test_a_model_without_a_price_is_named(autojump_clock: MockClock) -> None:
    async with open_limited(prices={}) as (session, server):
        await spend(session, server)
        assert session.cost.total is None
        assert session.cost.unpriced == {Unpriced(MODEL, "model")}


# --- warnings and the end -----------------------------------------------------------------------


async def test_a_warning_comes_before_the_end(autojump_clock: MockClock) -> None:
    async with open_limited(budget=Budget(usd="0.01")) as (session, server):
        with session.events(BudgetWarning, BudgetSpent) as told:
            await spend(session, server, 2000)
            warning = await told.receive()
            assert isinstance(warning, BudgetWarning)
            assert (warning.limit, warning.share) == ("usd", 0.8)
            await spend(session, server, 500)
            spent = await told.receive()
            assert isinstance(spent, BudgetSpent)
            assert spent.spent.usd == Decimal("0.01")
        assert not was_closed(session)


async def test_seconds_pass_while_nothing_happens(autojump_clock: MockClock) -> None:
    async with open_limited(budget=Budget(seconds=60)) as (session, _):
        start = trio.current_time()
        with session.events(BudgetWarning, BudgetSpent) as told:
            assert isinstance(await told.receive(), BudgetWarning)
            assert trio.current_time() - start == pytest.approx(48)
            assert isinstance(await told.receive(), BudgetSpent)
            assert trio.current_time() - start == pytest.approx(60)
        with pytest.raises(BudgetExceeded, match="60 s of the budget of 60 s have passed"):
            await session.respond()


@pytest.mark.parametrize(
    "detection", [ServerVad(threshold=0.7), SemanticVad(eagerness="low", create_response=True)]
)
async def test_turn_detection_answers_no_more_when_all_is_spent(
    detection: ServerVad | SemanticVad, autojump_clock: MockClock
) -> None:
    async with open_limited(budget=Budget(tokens=1000), detection=detection) as (
        session,
        server,
    ):
        await spend(session, server)
        update = await server.hear(SessionUpdate)
        silent = update.session.audio.input.turn_detection  # type: ignore[union-attr]
        assert type(silent) is type(detection)
        assert silent.create_response is False
        # One that had begun by then, or that the server begins all the same, is stopped.
        await server.say(began("resp_vad"))
        assert (await server.hear(ResponseCancel)).response_id == "resp_vad"


@pytest.mark.parametrize("detection", [None, ServerVad(create_response=False)])
async def test_where_nobody_answers_by_itself_nothing_is_changed(
    detection: ServerVad | None, autojump_clock: MockClock
) -> None:
    async with open_limited(budget=Budget(tokens=1000), detection=detection) as (
        session,
        server,
    ):
        await spend(session, server)
        await session.send(InputAudioBufferCommit())
        await server.hear(InputAudioBufferCommit)


async def test_a_response_that_was_admitted_is_not_stopped(autojump_clock: MockClock) -> None:
    async with open_limited(budget=Budget(seconds=10)) as (session, server):
        await session.respond()
        asked = await server.hear(ResponseCreate)
        await trio.sleep(11)
        await server.say(began("resp_1", of=asked.event_id))
        await wait_all_tasks_blocked()
        await session.send(InputAudioBufferCommit())
        await server.hear(InputAudioBufferCommit)


async def test_it_can_close_when_the_active_response_is_done(autojump_clock: MockClock) -> None:
    budget = Budget(seconds=10, when_spent="close")
    async with open_limited(budget=budget) as (session, server):
        told = session.events(BudgetSpent, HangingUp, ResponseDone)
        await session.respond()
        asked = await server.hear(ResponseCreate)
        await trio.sleep(30)
        assert not was_closed(session)
        await server.say(done("resp_1", usage(text=1), of=asked.event_id))
        assert [type(event) for event in await drain(told)] == [
            BudgetSpent,
            HangingUp,
            ResponseDone,
        ]
        assert was_closed(session)
        with pytest.raises(SessionClosed):
            await session.respond()


async def test_it_can_say_goodbye_first(autojump_clock: MockClock) -> None:
    budget = Budget(tokens=1500, when_spent="goodbye", goodbye="Say farewell.")
    async with open_limited(budget=budget) as (session, server):
        told = session.events(HangingUp)
        await spend(session, server)
        goodbye = await server.hear(ResponseCreate)
        assert goodbye.response is not None
        assert goodbye.response.instructions == "Be kind.\n\nSay farewell."
        assert goodbye.response.tool_choice == "none"
        assert most(goodbye) == GOODBYE_TOKENS
        await server.say(
            began("resp_bye", of=goodbye.event_id),
            done("resp_bye", usage(text=100, speaks=100), of=goodbye.event_id),
        )
        assert await drain(told) == [HangingUp(reason="budget")]
        assert was_closed(session)


async def test_a_goodbye_that_is_refused_does_not_keep_it_open(autojump_clock: MockClock) -> None:
    budget = Budget(tokens=1500, when_spent="goodbye")
    async with open_limited(budget=budget) as (session, server):
        told = session.events(HangingUp)
        await spend(session, server)
        goodbye = await server.hear(ResponseCreate)
        await server.say(failure("no", of=goodbye.event_id))
        await drain(told)
        assert was_closed(session)


async def test_a_goodbye_that_never_ends_does_not_keep_it_open(autojump_clock: MockClock) -> None:
    budget = Budget(tokens=1500, when_spent="goodbye")
    async with open_limited(budget=budget) as (session, server):
        told = session.events(HangingUp)
        await spend(session, server)
        start = trio.current_time()
        goodbye = await server.hear(ResponseCreate)
        await server.say(began("resp_bye", of=goodbye.event_id))
        await drain_within(told, 40)
        assert trio.current_time() - start == pytest.approx(30, abs=1)
        await server.hear(ResponseCancel)


async def drain_within(stream: Any, seconds: float) -> None:
    with trio.fail_after(seconds):
        async for _ in stream:
            pass


async def test_the_goodbye_is_heard_to_its_end(autojump_clock: MockClock) -> None:
    playback = Playback()
    budget = Budget(seconds=10, when_spent="goodbye")
    async with open_simulated_within(
        Reply.text("Goodbye!"), budget=budget, playback=playback
    ) as session:
        wire, told = session.wire(), session.events(HangingUp)
        await trio.sleep(15)
        assert playback.is_audible
        assert not was_closed(session)
        playback.take(playback.queued)
        await drain_within(told, 1)
        assert was_closed(session)
        assert [type(event) for event in sent(wire)] == [SessionUpdate, ResponseCreate]


async def test_leaving_the_block_while_it_says_goodbye_leaves_nothing_behind(
    autojump_clock: MockClock,
) -> None:
    budget = Budget(tokens=1500, when_spent="goodbye")
    async with open_limited(budget=budget) as (session, server):
        await spend(session, server)
        await server.hear(ResponseCreate)
    assert was_closed(session)


@pytest.mark.parametrize("when_spent", ["close", "goodbye"])
async def test_a_server_that_closes_first_is_no_failure(
    when_spent: Ending, autojump_clock: MockClock
) -> None:
    budget = Budget(seconds=10, when_spent=when_spent)
    async with open_limited(budget=budget) as (session, server):
        await session.respond()
        await server.hear(ResponseCreate)
        await trio.sleep(11)
        await server.transport.aclose()
        await trio.sleep(100)
        assert was_closed(session)


async def test_what_is_spent_from_the_beginning_is_told_when_the_session_can_be_used(
    autojump_clock: MockClock,
) -> None:
    budget = Budget(tokens=0, when_spent="close")
    async with open_simulated_within(budget=budget, instructions="Be kind.") as session:
        told = session.events(BudgetWarning, BudgetSpent, HangingUp)
        assert session.config.instructions == "Be kind."
        assert [type(event) for event in await drain(told)] == [
            BudgetWarning,
            BudgetSpent,
            HangingUp,
        ]
        assert was_closed(session)


# --- opening ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"budget": 5}, TypeError, "budget must be a Budget or None, not int"),
        (
            {"prices": 5},
            TypeError,
            "prices must be a mapping of names to ModelPrices, or None, not int",
        ),
        ({"idle_timeout": 0}, LocalProtocolError, "idle_timeout must be more than 0 seconds"),
        ({"idle_timeout": "soon"}, TypeError, "idle_timeout must be more than 0 seconds"),
        (
            {"budget": Budget(usd=1), "prices": {}},
            LocalProtocolError,
            f"needs the prices of '{MODEL}'",
        ),
    ],
)
async def test_limits_that_cannot_be_meant_are_refused_before_anything_is_opened(
    options: dict[str, Any], error: type[Exception], says: str, autojump_clock: MockClock
) -> None:
    with pytest.raises(error, match=says):
        async with open_limited(**options):
            pass
