"""Names and options of tools that cannot be meant."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from simulated import open_simulated, types_sent
from trio.testing import MockClock

from realtime_trio import tool
from realtime_trio._session.opening import open_session
from realtime_trio.errors import LocalProtocolError, ToolDefinitionError
from realtime_trio.events import FunctionTool, McpTool, ResponseConfig, UnknownObject
from realtime_trio.tools import LocalTool
from realtime_trio.tools.registry import ToolRegistry

# The service: "Invalid 'tools[0].name': string does not match pattern", and nothing else.
GOOD = ["a", "get_weather", "get-weather", "A1", "7", "x" * 64]
BAD = ["", " ", "get weather", "get.weather", "wetter_für_köln", "x" * 65, "a\n", "a/b", "<lambda>"]


def plain(text: str) -> str:
    return text


@pytest.mark.parametrize("name", GOOD)
def test_a_name_has_letters_digits_underscores_and_hyphens(name: str) -> None:
    assert tool(plain, name=name).name == name
    assert ToolRegistry([FunctionTool(name=name)]).names == (name,)
    given = ResponseConfig.of(tools=iter([FunctionTool(name=name)])).tools
    assert given == (FunctionTool(name=name),)


NAMING: dict[str, Callable[[str], object]] = {
    "a function": lambda name: tool(plain, name=name),
    "a definition by hand": lambda name: tool(plain, definition=FunctionTool(name=name)),
    "a definition alone": lambda name: ToolRegistry([FunctionTool(name=name)]),
    "another one": lambda name: ToolRegistry().add(FunctionTool(name=name)),
    "others": lambda name: ToolRegistry().with_definitions([FunctionTool(name=name)]),
    "those of a response": lambda name: ResponseConfig.of(tools=[FunctionTool(name=name)]),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("naming", NAMING)
def test_another_name_is_refused_with_the_rule(naming: str, name: str) -> None:
    with pytest.raises(
        ToolDefinitionError, match=r"^a tool cannot be called '.*': a name is 1 to 64 of the .*-$"
    ):
        NAMING[naming](name)


def test_the_name_of_a_function_may_be_too_much_as_well() -> None:
    def größe() -> None: ...

    with pytest.raises(ToolDefinitionError, match="cannot be called 'größe'"):
        ToolRegistry([größe])


def test_a_name_is_not_shown_at_any_length() -> None:
    with pytest.raises(ToolDefinitionError) as caught:
        tool(plain, name="x" * 100_000)
    assert len(str(caught.value)) < 200


def test_what_a_server_has_taken_is_not_ours_to_refuse() -> None:
    reported = FunctionTool(name="get.weather")
    registry = ToolRegistry.known([reported])
    assert registry.copy().names == ("get.weather",)
    more = registry.with_definitions([FunctionTool(name="look")])
    assert more.names == ("look",)
    assert registry.definitions == (reported,)


def test_only_functions_have_such_names() -> None:
    others: list[McpTool | UnknownObject] = [
        McpTool(server_label="my server"),
        UnknownObject("search", {"name": "a b"}),
    ]
    assert ToolRegistry(others).names == ("my server", "a b")


OPTIONS: dict[str, tuple[dict[str, object], str]] = {
    "a name": ({"name": 5}, "name must be a str, not int"),
    "a description": ({"description": ["x"]}, "description must be a str, not list"),
    "a definition": (
        {"definition": {"name": "look"}},
        "definition must be a FunctionTool, not dict",
    ),
    "a timeout": ({"timeout": "5"}, "timeout must be a number of seconds or None, not str"),
    "a yes": ({"timeout": True}, "timeout must be a number of seconds or None, not bool"),
    "a word for no reply": ({"respond": "no"}, "respond must be True or False, not str"),
    "a word for no approval": (
        {"requires_approval": "never"},
        "requires_approval must be True, False or a plain function, not str",
    ),
    "nothing for approval": (
        {"requires_approval": None},
        "requires_approval must be True, False or a plain function, not None",
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_of_a_wrong_kind_is_refused(case: str) -> None:
    options, said = OPTIONS[case]
    misused: dict[str, Any] = options
    with pytest.raises(ToolDefinitionError, match=f"^{said}$"):
        tool(plain, **misused)


def test_an_option_may_be_none_where_that_means_something() -> None:
    made = tool(plain, timeout=None)
    assert made.timeout is None
    assert tool(plain, timeout=math.inf).timeout == math.inf


NOT_TOOLS: dict[str, tuple[object, type[Exception], str]] = {
    "a text": ("look", TypeError, "tools must be a list of tools, not str"),
    "a dictionary": ({"name": "look"}, TypeError, "tools must be a list of tools, not dict"),
    "a function": (plain, TypeError, "tools must be a list of tools, not function"),
    "one tool": (tool(plain), TypeError, "tools must be a list of tools, not LocalTool"),
    "one definition": (
        FunctionTool(name="look"),
        TypeError,
        "tools must be a list of tools, not FunctionTool",
    ),
    "dictionaries": (
        [{"type": "function", "name": "look"}],
        ToolDefinitionError,
        "dict is not a tool; allowed are functions, what tool.. makes of them, FunctionTool",
    ),
    "nothing": ([None], ToolDefinitionError, "None is not a tool; allowed are functions"),
    "texts": (["look"], ToolDefinitionError, "str is not a tool; allowed are functions"),
    "a class": ([dict], ToolDefinitionError, "<class 'dict'> is not a function"),
    "a bad name": ([FunctionTool(name="a b")], ToolDefinitionError, "cannot be called 'a b'"),
}


@pytest.mark.parametrize("case", NOT_TOOLS)
async def test_what_is_not_a_list_of_tools_is_refused_before_connecting(case: str) -> None:
    tools, error, said = NOT_TOOLS[case]
    misused: Any = tools
    with pytest.raises(error, match=said):
        async with open_session(url="ws://127.0.0.1:1", tools=misused):
            pytest.fail("not reached")


async def test_a_bad_name_is_not_sent(autojump_clock: MockClock) -> None:
    bad: list[FunctionTool | LocalTool[..., object]] = [FunctionTool(name="a b")]
    async with open_simulated(tools=[]) as session:
        wire = session.wire()
        types_sent(wire)  # the opening
        for attempt in (
            lambda: session.add_tool(bad[0]),
            lambda: session.set_tools(bad),
            lambda: session.update(tools=[FunctionTool(name="a b")]),
            lambda: session.respond(tools=[FunctionTool(name="a b")]),
        ):
            with pytest.raises(ToolDefinitionError, match="a tool cannot be called 'a b'"):
                await attempt()
        with pytest.raises(LocalProtocolError, match="no tool named 'a b'"):
            await session.remove_tool("a b")
        assert types_sent(wire) == []
