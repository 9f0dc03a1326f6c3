"""The offline agent and tools: which one is called, and with which arguments."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from offline_talk import HOUSE, TIMER, WEATHER, hold, make_tool

from realtime_trio.events import (
    FunctionTool,
    McpTool,
)
from realtime_trio.simulator.offline.argument_words import Search, property_of

# --- calls ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "name", "arguments"),
    [
        ("What is the weather in Paris?", "get_weather", '{"city":"Paris"}'),
        (
            "what's the weather like in new york tomorrow in celsius please",
            "get_weather",
            '{"city":"new york","unit":"celsius"}',
        ),
        ("Paris weather, or rather Rome weather", "get_weather", '{"city":"Rome"}'),
        ("turn on the light in the kitchen", "setLight", '{"room":"kitchen","on":true}'),
        (
            "Switch off the lamp in the living room!",
            "setLight",
            '{"room":"living room","on":false}',
        ),
        (
            "switch on the lamp in the hall to 250 or 50 percent",
            "setLight",
            '{"room":"hall","on":true,"brightness":50}',
        ),
        ("set a timer for ten minutes", "set_timer", '{"minutes":10}'),
        (
            'set a timer for 12.5 minutes called "green tea"',
            "set_timer",
            '{"minutes":12.5,"label":"green tea"}',
        ),
        (
            "send a message to Bob saying I am late.",
            "send_message",
            '{"recipient":"Bob","text":"I am late"}',
        ),
        (
            "book a flight from Paris to New York on Friday for two passengers",
            "book_flight",
            '{"origin":"Paris","destination":"New York","date":"Friday","passengers":2}',
        ),
    ],
)
async def test_it_calls_the_tool_that_the_words_ask_for(
    said: str, name: str, arguments: str
) -> None:
    assert await hold(said, tools=HOUSE) == (name, arguments)


@pytest.mark.parametrize(
    "said",
    [
        "hello",
        "what is twelve times seven",
        "what is on your mind",
        "do you like flying",
        "say the weather is nice",
        "Don't turn on the light in the kitchen.",
    ],
)
async def test_it_calls_nothing_that_was_not_asked_for(said: str) -> None:
    assert isinstance(await hold(said, tools=HOUSE), str)


async def test_only_functions_are_called() -> None:
    assert isinstance(
        await hold("what is the weather in Paris", tools=(McpTool(server_label="weather"),)), str
    )


async def test_of_two_tools_that_fit_the_better_one_is_called_else_the_first() -> None:
    forecast = make_tool("get_weather_forecast", "The weather of the coming days.")
    assert await hold("show me the weather forecast", tools=(WEATHER, forecast)) == (
        "get_weather_forecast",
        "{}",
    )
    assert await hold("the weather", tools=(make_tool("weather"), make_tool("get_weather"))) == (
        "weather",
        "{}",
    )


async def test_what_is_done_says_less_than_what_it_is_done_to() -> None:
    tools = (make_tool("show_map"), make_tool("restaurant_guide"))
    assert await hold("Show me a restaurant", tools=tools) == ("restaurant_guide", "{}")


async def test_a_name_of_little_words_is_still_a_name() -> None:
    assert await hold("i want to get it", tools=(make_tool("get_it"),)) == ("get_it", "{}")


def handoff(agent: str, about: str = "") -> FunctionTool:
    """As @openai/agents-realtime makes them; the one of Python differs in the arguments alone."""
    description = f"Handoff to the {agent} agent to handle the request. {about}"
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    return FunctionTool(name=f"transfer_to_{agent}", description=description, parameters=schema)


HANDOFFS = (
    handoff("billing_agent", "Answers questions about invoices."),
    handoff("weather_agent"),
    handoff("Agent"),
    make_tool("transfer_money", None, ()),
)


@pytest.mark.parametrize(
    ("said", "called"),
    [
        ("What will the weather be like tomorrow?", "transfer_to_weather_agent"),
        ("Could you transfer me to the billing agent?", "transfer_to_billing_agent"),
        (
            "There is a mistake in one of my invoices, I have questions.",
            "transfer_to_billing_agent",
        ),
        ("Transfer some money.", "transfer_money"),
        ("Please handle my request.", None),
        ("Are you an agent?", None),
    ],
)
async def test_a_handoff_is_called_by_what_the_other_agent_is_for(
    said: str, called: str | None
) -> None:
    answer = await hold(said, tools=HANDOFFS)
    assert (answer if called is None else (called, "{}")) == answer
    assert isinstance(answer, str) == (called is None)


async def test_plurals_are_the_same_word() -> None:
    assert await hold("list the stories", tools=(make_tool("list_story"),)) == ("list_story", "{}")


@pytest.mark.parametrize(
    ("tool", "question", "said", "arguments"),
    [
        (WEATHER, "For which city?", "Paris", '{"city":"Paris"}'),
        (WEATHER, "For which city?", "It's in Paris, please.", '{"city":"Paris"}'),
        (TIMER, "How many minutes?", "twenty five", '{"minutes":25}'),
        (
            make_tool("weather", None, ("level",), level={"type": "integer"}),
            "Which number for level?",
            "1.5, no, 2",
            '{"level":2}',
        ),
        (
            make_tool("weather", None, ("dark",), dark={"type": "boolean"}),
            "Dark: yes or no?",
            "yes",
            '{"dark":true}',
        ),
        (
            make_tool("weather", None, ("sky",), sky={"enum": ["blue", "light_blue", "grey"]}),
            "Which sky: blue, light_blue or grey?",
            "the light blue one",
            '{"sky":"light_blue"}',
        ),
        (
            make_tool(
                "weather",
                None,
                ("days",),
                days={"type": "array", "items": {"enum": ["monday", "friday"]}},
            ),
            "Which days?",
            "on mondays and on friday",
            '{"days":["monday","friday"]}',
        ),
        (
            make_tool("weather", None, ("reporter",)),
            "Which reporter?",
            "the old man",
            '{"reporter":"old man"}',
        ),
    ],
)
async def test_it_asks_for_what_is_missing_and_takes_the_answer(
    tool: FunctionTool, question: str, said: str, arguments: str
) -> None:
    request = "start the timer" if tool is TIMER else "weather"
    assert await hold(request, tools=(tool,)) == question
    assert await hold(request, said, tools=(tool,)) == (tool.name, arguments)


async def test_it_asks_until_nothing_is_missing() -> None:
    assert await hold("Book a flight", tools=HOUSE) == "Which origin?"
    assert await hold("Book a flight", "from Paris", tools=HOUSE) == "Which destination?"
    assert await hold("Book a flight", "from Paris", "London", tools=HOUSE) == (
        "book_flight",
        '{"origin":"Paris","destination":"London"}',
    )


async def test_what_was_said_before_is_not_asked_again() -> None:
    assert await hold("turn the kitchen light off", tools=HOUSE) == "For which room?"
    assert await hold("turn the kitchen light off", "the light in the kitchen", tools=HOUSE) == (
        "setLight",
        '{"room":"kitchen","on":false}',
    )


@pytest.mark.parametrize(
    "said",
    ["never mind", "what is 3 plus 4", "who knows?", "why", "that " * 13, "  ", "don't do it"],
)
async def test_what_is_no_answer_ends_the_question(said: str) -> None:
    assert isinstance(await hold("what is the weather", said, tools=HOUSE), str)
    assert isinstance(await hold("what is the weather", said, "hm", tools=HOUSE), str)


async def test_the_name_of_something_has_a_dozen_words_at_most() -> None:
    tool = make_tool("play_song", None, ("title",), title={"type": "string"})
    longest = " ".join(["green"] * 12)
    assert await hold("Play a song", longest, tools=(tool,)) == (
        "play_song",
        f'{{"title":"{longest}"}}',
    )
    assert isinstance(await hold("Play a song", f"{longest} green", tools=(tool,)), str)


async def test_another_request_takes_the_place_of_the_question() -> None:
    assert await hold("what is the weather", "set a timer for two minutes", tools=HOUSE) == (
        "set_timer",
        '{"minutes":2}',
    )


async def test_a_number_is_not_invented() -> None:
    assert isinstance(await hold("set a timer", "soon", tools=HOUSE), str)


async def test_it_does_not_pretend_to_make_objects() -> None:
    tool = make_tool("send_form", None, ("form",), form={"type": "object"})
    assert (
        await hold("send the form", tools=(tool,))
        == "I cannot put together the form that this needs."
    )


# --- schemas as they come -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "said", "found"),
    [
        ({"type": ["null", "integer"]}, "five", 5),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, "switch it off", False),
        ({"oneOf": [{"type": "null"}]}, "on", None),
        ({"$ref": "#/$defs/Color"}, "a RED one", "red"),
        ({"$ref": "Color"}, "for red", "red"),
        ({"$ref": "#/$defs/Loop"}, "for red", "red"),
        ({"const": 3}, "three", 3),
        ({"enum": [None, "", 7, 2.5]}, "two point five", 2.5),
        ({"enum": ["a", "b"]}, "c", None),
        ({"type": "array", "items": {"type": "integer"}}, "2, 3 and 5", [2, 3, 5]),
        ({"type": "array", "items": {"type": "array"}}, "2", None),
        ({"type": "array"}, "nothing", None),
        ({"type": "boolean"}, "do the thing", True),
        ({"type": "boolean"}, "do it", None),
        ({"type": "number", "minimum": 1, "maximum": 2}, "0.5 or 3 or 1.5", 1.5),
        ({"type": "integer"}, "1.5", None),
        ({"type": "tuple"}, "with i", None),
        ({}, "say 'tea time' with milk", "tea time"),
        ("broken", "about x-rays today", "x-rays"),
    ],
)
def test_a_value_is_found_by_its_schema(schema: object, said: str, found: object) -> None:
    root: Mapping[str, object] = {
        "properties": {"thing": schema},
        "$defs": {"Color": {"enum": ["red", "green"]}, "Loop": {"$ref": "#/$defs/Loop"}},
    }
    assert Search(said, ["tool"]).find("thing", property_of(root, "thing")) == found


async def test_a_word_becomes_one_argument_only() -> None:
    tool = make_tool(
        "mix", None, ("first", "second"), first={"type": "integer"}, second={"type": "integer"}
    )
    assert await hold("mix 1 with 2", tools=(tool,)) == ("mix", '{"first":1,"second":2}')
    assert await hold("mix 1", tools=(tool,)) == "Which number for second?"


@pytest.mark.parametrize(
    "parameters", [None, {}, {"required": "city", "properties": [1]}, {"required": [1]}]
)
async def test_a_tool_without_a_usable_schema_is_called_without_arguments(
    parameters: Mapping[str, object] | None,
) -> None:
    assert await hold(
        "the weather in Paris", tools=(FunctionTool(name="weather", parameters=parameters),)
    ) == ("weather", "{}")
