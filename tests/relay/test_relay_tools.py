"""Tools that run in the relay: every call is answered once, and the model replies when all are."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
from relays import CREATED, Relayed, open_relayed
from trio.testing import MockClock

from realtime_trio import tool
from realtime_trio.money import Budget
from realtime_trio.relay import Grant, RelayContext
from realtime_trio.tools import LocalTool

Json = dict[str, Any]


@tool
async def get_weather(city: str) -> str:
    """The weather."""
    await trio.sleep(1)
    return f"sunny in {city}"


async def opened(relayed: Relayed, **session: Any) -> None:
    """Go through the greeting, in which the tools are told."""
    created = {**CREATED, "session": {**CREATED["session"], **session}}  # type: ignore[dict-item]
    await relayed.service.say(created)
    await relayed.service.hear("session.update")
    await relayed.service.say({**created, "type": "session.updated"})
    await relayed.guest.hear("session.created")


def call(number: int = 1, name: str = "get_weather", arguments: str = '{"city":"Paris"}') -> Json:
    return {
        "id": f"item_{number}",
        "type": "function_call",
        "status": "completed",
        "name": name,
        "call_id": f"call_{number}",
        "arguments": arguments,
    }


def response_of(*calls: Json, response_id: str = "resp_1") -> list[Json]:
    """What the service says of a response that calls tools."""
    response = {"id": response_id, "object": "realtime.response", "conversation_id": "conv_1"}
    said: list[Json] = [
        {"type": "response.created", "response": {**response, "status": "in_progress"}}
    ]
    for index, each in enumerate(calls):
        place = {"response_id": response_id, "output_index": index, "item": each}
        said.append({"type": "response.output_item.added", **place})
        said.append({"type": "response.output_item.done", **place})
    done = {**response, "status": "completed", "output": list(calls)}
    said.append({"type": "response.done", "response": done})
    return [{"event_id": f"event_{number}", **each} for number, each in enumerate(said)]


async def outputs(relayed: Relayed, many: int) -> dict[str, str]:
    heard = [await relayed.service.hear("conversation.item.create") for _ in range(many)]
    return {event["item"]["call_id"]: event["item"]["output"] for event in heard}


async def types_told(relayed: Relayed, many: int) -> list[str]:
    return [(await relayed.guest.hear())["type"] for _ in range(many)]


async def test_calls_are_answered_and_one_reply_is_asked_for(autojump_clock: MockClock) -> None:
    async with open_relayed(Grant(tools=[get_weather]), greets=False) as relayed:
        await opened(relayed)
        await relayed.service.say(*response_of(call(1), call(2, arguments='{"city":"Rome"}')))
        assert await outputs(relayed, 2) == {"call_1": "sunny in Paris", "call_2": "sunny in Rome"}
        await relayed.service.hear("response.create")
        assert await types_told(relayed, 2) == ["response.created", "response.done"]


@pytest.mark.parametrize(
    ("arguments", "words"), [("nonsense", "error"), ('{"city":1}', "city"), ("{}", "city")]
)
async def test_a_call_that_does_not_fit_is_answered_by_what_is_wrong(
    arguments: str, words: str, autojump_clock: MockClock
) -> None:
    async with open_relayed(Grant(tools=[get_weather]), greets=False) as relayed:
        await opened(relayed)
        await relayed.service.say(*response_of(call(arguments=arguments)))
        assert words in (await outputs(relayed, 1))["call_1"]
        await relayed.service.hear("response.create")


async def test_a_tool_that_fails_or_takes_too_long_ends_nothing(autojump_clock: MockClock) -> None:
    @tool
    async def fail() -> str:
        """It fails."""
        await trio.lowlevel.checkpoint()
        raise ValueError("the password is x")

    @tool(timeout=5)
    async def dawdle() -> None:
        """It dawdles."""
        await trio.sleep_forever()

    async with open_relayed(Grant(tools=[fail, dawdle]), greets=False) as relayed:
        await opened(relayed)
        said = response_of(call(1, "fail", "{}"), call(2, "dawdle", "{}"))
        await relayed.service.say(*said)
        told = await outputs(relayed, 2)
        assert "ValueError" in told["call_1"]
        assert "password" not in told["call_1"]
        assert "within 5 s" in told["call_2"]
        await relayed.service.hear("response.create")


async def test_nobody_can_be_asked_for_an_approval(autojump_clock: MockClock) -> None:
    @tool(requires_approval=True)
    def pay() -> str:
        """It pays."""
        raise AssertionError("nobody has approved")

    async with open_relayed(Grant(tools=[pay]), greets=False) as relayed:
        await opened(relayed)
        await relayed.service.say(*response_of(call(1, "pay", "{}")))
        assert "cannot ask anybody" in (await outputs(relayed, 1))["call_1"]


async def test_a_tool_may_know_for_whom_it_runs_and_answer_early(autojump_clock: MockClock) -> None:
    @tool
    async def book(context: RelayContext) -> str:
        """It books."""
        context.respond_early(f"booking for {context.grant.who}")
        await trio.sleep(1)
        return "booked"

    assert isinstance(book, LocalTool)
    async with open_relayed(Grant(who="ann", tools=[book]), greets=False) as relayed:
        await opened(relayed)
        await relayed.service.say(*response_of(call(1, "book", "{}")))
        assert await outputs(relayed, 1) == {"call_1": "booking for ann"}
        await relayed.service.hear("response.create")
        await relayed.service.say(*response_of(response_id="resp_2"))
        news = await relayed.service.hear("conversation.item.create")
        assert "booked" in json.dumps(news["item"])
        await relayed.service.hear("response.create")


async def test_tools_that_wish_it_are_stopped_when_the_guest_speaks(
    autojump_clock: MockClock,
) -> None:
    @tool(on_interrupt="cancel")
    async def search() -> None:
        """It searches."""
        await trio.sleep_forever()

    async with open_relayed(Grant(tools=[search]), greets=False) as relayed:
        await opened(relayed)
        await relayed.service.say(*response_of(call(1, "search", "{}")))
        speech = {"type": "input_audio_buffer.speech_started", "event_id": "e"}
        await relayed.service.say({**speech, "audio_start_ms": 0, "item_id": "item_user"})
        assert "interrupted" in (await outputs(relayed, 1))["call_1"]


async def test_a_reply_waits_for_the_guest_to_finish_and_not_for_ever(
    autojump_clock: MockClock,
) -> None:
    detection = {"input": {"turn_detection": {"type": "server_vad"}}}
    async with open_relayed(Grant(tools=[get_weather]), greets=False) as relayed:
        await opened(relayed, audio=detection)
        await relayed.guest.say('{"type":"input_audio_buffer.append","audio":"AAAA"}')
        await relayed.service.hear("input_audio_buffer.append")
        await relayed.service.say(*response_of(call()))
        speech = {"type": "input_audio_buffer.speech_started", "event_id": "e"}
        await relayed.service.say({**speech, "audio_start_ms": 0, "item_id": "item_user"})
        await outputs(relayed, 1)
        start = trio.current_time()
        await relayed.service.hear("response.create")
        assert 1 < trio.current_time() - start < 10


async def test_the_tools_of_a_guest_are_its_own_affair(autojump_clock: MockClock) -> None:
    grant = Grant(tools=[get_weather], items={"function_call_output"})
    async with open_relayed(grant, greets=False) as relayed:
        await opened(relayed)
        await relayed.service.say(*response_of(call(1), call(2, "paint")))
        told = await types_told(relayed, 4)
        assert told.count("response.output_item.done") == 1
        await outputs(relayed, 1)
        output = {"type": "function_call_output", "call_id": "call_2", "output": "painted"}
        await relayed.guest.say({"type": "conversation.item.create", "item": output})
        assert (await relayed.service.hear())["item"] == output
        # All calls are answered, and the relay asks for the reply to its own.
        await relayed.service.hear("response.create")


async def test_once_the_budget_is_spent_no_reply_is_asked_for(autojump_clock: MockClock) -> None:
    grant = Grant(tools=[get_weather], budget=Budget(seconds=0.5))
    async with open_relayed(grant, greets=False) as relayed:
        await opened(relayed)
        await relayed.service.say(*response_of(call()))
        await outputs(relayed, 1)
        with trio.move_on_after(5) as patience:
            await relayed.service.hear()
        assert patience.cancelled_caught


async def test_a_call_that_was_cut_off_is_not_run(autojump_clock: MockClock) -> None:
    async with open_relayed(Grant(tools=[get_weather]), greets=False) as relayed:
        await opened(relayed)
        await relayed.service.say(*response_of({**call(), "status": "incomplete"}))
        with trio.move_on_after(5) as patience:
            await relayed.service.hear()
        assert patience.cancelled_caught
