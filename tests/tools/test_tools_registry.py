"""Functions as tools, and the tools of a session."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, cast

import attrs
import pytest
import trio

from realtime_trio._session.tool_context import ToolContext
from realtime_trio.errors import LocalProtocolError, ToolDefinitionError
from realtime_trio.events import FunctionCall, FunctionTool, McpTool, UnknownObject
from realtime_trio.tools import (
    Constraints,
    LocalTool,
    ToolArgumentsError,
    ToolRegistry,
    encode_result,
    tool,
)

if TYPE_CHECKING:
    from realtime_trio._session.voice import Session


@tool
async def get_weather(
    lat: float, lng: float, location: Annotated[str, "Name of the location"]
) -> dict[str, float]:
    """Retrieves the weather for a given lat, lng coordinate pair."""
    await trio.lowlevel.checkpoint()
    return {"temperature": lat + lng}


@tool(
    name="add_up",
    description="Sums.",
    timeout=2.5,
    requires_approval=True,
    respond=False,
    on_interrupt="cancel",
)
def add(numbers: Annotated[list[int], Constraints(min_length=1)], start: int = 0) -> int:
    """Add numbers."""
    return sum(numbers, start)


def plain(text: str) -> str:
    """Say it."""
    return text


class Lights:
    def __init__(self) -> None:
        self.are_on = False

    @tool(timeout=1)
    def switch(self, on: bool) -> str:
        """Switch the lights."""
        self.are_on = on
        return "done"

    def dim(self, level: int) -> int:
        return level

    @staticmethod
    @tool
    def count(room: str) -> int:
        return len(room)

    add = add


MANUAL = FunctionTool(
    name="manual", description="By hand.", parameters={"type": "object", "properties": {}}
)
HOSTED = McpTool(server_label="docs", server_url="https://example.com")


def test_a_function_is_a_tool() -> None:
    assert get_weather.definition == FunctionTool(
        name="get_weather",
        description="Retrieves the weather for a given lat, lng coordinate pair.",
        parameters={
            "type": "object",
            "properties": {
                "lat": {"type": "number"},
                "lng": {"type": "number"},
                "location": {"type": "string", "description": "Name of the location"},
            },
            "required": ["lat", "lng", "location"],
            "additionalProperties": False,
        },
    )
    assert (
        get_weather.timeout,
        get_weather.requires_approval,
        get_weather.respond,
        get_weather.on_interrupt,
    ) == (
        None,
        False,
        True,
        "keep",
    )
    assert repr(get_weather) == "<LocalTool get_weather>"


async def test_a_tool_is_called_like_the_function_it_was() -> None:
    assert await get_weather(1.0, 2.0, location="here") == {"temperature": 3.0}
    assert add([1, 2]) == 3
    assert get_weather.is_async
    assert not add.is_async


def test_a_tool_looks_like_the_function_it_was() -> None:
    assert cast(Any, add).__name__ == "add"
    assert add.__doc__ == "Add numbers."
    assert add.__module__ == __name__
    assert str(inspect.signature(add)) == str(inspect.signature(add.function))


def test_options_are_kept() -> None:
    assert (add.name, add.definition.description) == ("add_up", "Sums.")
    assert (add.timeout, add.requires_approval, add.respond, add.on_interrupt) == (
        2.5,
        True,
        False,
        "cancel",
    )
    assert tool(plain, timeout=math.inf).timeout == math.inf


def test_a_tool_runs_on_what_the_model_wrote() -> None:
    arguments = add.read_arguments('{"numbers": [1, 2]}')
    assert arguments == {"numbers": [1, 2]}
    assert encode_result(add.call(arguments)) == "3"
    with pytest.raises(ToolArgumentsError, match=r"^numbers: expected at least 1 elements, got 0$"):
        add.read_arguments('{"numbers": []}')


async def test_calling_an_async_tool_makes_a_coroutine() -> None:
    arguments = get_weather.read_arguments('{"lat": 1, "lng": 2, "location": "here"}')
    assert await cast(Awaitable[object], get_weather.call(arguments)) == {"temperature": 3.0}


def test_a_context_is_filled_in() -> None:
    @tool
    def remind(text: str, context: ToolContext) -> tuple[str, str]:
        return text, context.call.name

    context = ToolContext(
        session=cast("Session", None),
        call=FunctionCall(name="remind", arguments='{"text": "tea"}', call_id="call_1"),
        deadline=math.inf,
        report=lambda progress: None,
        respond_early=lambda result, respond: None,
    )
    assert remind.wants_context
    assert not add.wants_context
    assert list(cast(dict[str, Any], remind.definition.parameters)["properties"]) == ["text"]
    assert remind.call(remind.read_arguments(context.call.arguments), context) == ("tea", "remind")
    with pytest.raises(ToolArgumentsError, match="'context' is not expected"):
        remind.read_arguments('{"text": "tea", "context": null}')


def test_methods_are_tools_of_their_object() -> None:
    lights, others = Lights(), Lights()
    assert not lights.switch.is_unbound
    assert lights.switch.timeout == 1
    assert lights.switch.call(lights.switch.read_arguments('{"on": true}')) == "done"
    assert lights.switch(on=True) == "done"
    assert (lights.are_on, others.are_on) == (True, False)
    assert tool(lights.dim).call({"level": 3}) == 3
    assert lights.count("hall") == Lights.count("hall") == 4
    assert lights.add is add
    assert Lights.switch.is_unbound
    assert Lights.switch(others, True) == "done"
    assert others.are_on


def test_a_definition_may_be_written_by_hand() -> None:
    @tool(definition=MANUAL, timeout=3)
    def relay(a: bytes, **more: Any) -> dict[str, Any]:
        return {"a": a, **more}

    assert relay.definition is MANUAL
    assert relay.call(relay.read_arguments('{"a": 1, "b": [2]}')) == {"a": 1, "b": [2]}
    with pytest.raises(ToolArgumentsError, match=r"^a is missing$"):
        relay.read_arguments("")
    with pytest.raises(TypeError, match="name and description are part of the definition"):
        tool(plain, definition=MANUAL, name="other")


def test_approval_may_depend_on_the_arguments() -> None:
    assert add.needs_approval({"numbers": [1]})
    assert not get_weather.needs_approval({})
    pay = tool(plain, requires_approval=lambda arguments: arguments["text"] != "cheap")
    assert [pay.needs_approval({"text": text}) for text in ("cheap", "dear")] == [False, True]


def test_a_predicate_sees_defaults_too() -> None:
    def pay(amount: int = 100) -> None: ...

    assert tool(pay, requires_approval=lambda arguments: arguments["amount"] > 50).needs_approval(
        {}
    )


def test_a_predicate_of_approval_cannot_be_async() -> None:
    async def is_dear(arguments: Mapping[str, Any]) -> bool:
        await trio.lowlevel.checkpoint()
        return bool(arguments)

    with pytest.raises(ToolDefinitionError, match="requires_approval"):
        tool(plain, requires_approval=is_dear)  # type: ignore[arg-type]  # the point of the test


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: tool(lambda: None),
            "a lambda has no name the model could use; give it one with name=",
        ),
        (lambda: tool(plain, timeout=0), "timeout must be more than 0 seconds, not 0"),
        (lambda: tool(plain, timeout=math.nan), "timeout must be more than 0 seconds, not nan"),
        (
            lambda: tool(plain, on_interrupt=cast(Any, "stop")),
            "on_interrupt must be 'keep' or 'cancel', not 'stop'",
        ),
        (lambda: tool(len), "<built-in function len> is not a function"),
        (lambda: ToolRegistry([cast(Any, 3)]), "int is not a tool; allowed are functions"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_when_it_is_made(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(ToolDefinitionError, match=message):
        make()


def test_a_lambda_with_a_name_is_a_tool() -> None:
    assert tool(lambda: 3, name="three").name == "three"


def test_a_registry_holds_all_kinds_of_tools_in_order() -> None:
    newer = UnknownObject("search", {"type": "search"})
    registry = ToolRegistry([get_weather, MANUAL, HOSTED, plain, newer])
    assert registry.names == ("get_weather", "manual", "docs", "plain", "search")
    wrapped = registry.get("plain")
    assert isinstance(wrapped, LocalTool)
    assert registry.definitions == (
        get_weather.definition,
        MANUAL,
        HOSTED,
        wrapped.definition,
        newer,
    )
    assert list(registry) == [get_weather, MANUAL, HOSTED, wrapped, newer]
    assert len(registry) == 5
    assert "docs" in registry
    assert registry.get("unheard_of") is None


def test_a_name_is_given_once() -> None:
    registry = ToolRegistry([plain])
    for twin in (
        plain,
        FunctionTool(name="plain"),
        McpTool(server_label="plain"),
        UnknownObject("x", {"name": "plain"}),
    ):
        with pytest.raises(
            LocalProtocolError, match="there is a tool named 'plain' already; remove it first"
        ):
            registry.add(twin)
    assert len(registry) == 1


def test_a_method_without_its_object_is_refused() -> None:
    with pytest.raises(
        LocalProtocolError, match=r"switch is a method; take it from an object: some_object\.switch"
    ):
        ToolRegistry([Lights.switch])
    assert ToolRegistry([Lights().switch]).names == ("switch",)


def test_a_tool_may_be_removed_and_added_again() -> None:
    registry = ToolRegistry([plain, MANUAL])
    removed = registry.remove("plain")
    assert [*registry.names] == ["manual"]
    assert registry.add(removed) is removed
    assert [*registry.names] == ["manual", "plain"]


def test_what_is_not_there_cannot_be_removed() -> None:
    registry = ToolRegistry([plain, MANUAL])
    with pytest.raises(
        LocalProtocolError, match="there is no tool named 'docs'; there are: 'plain', 'manual'"
    ):
        registry.remove("docs")
    with pytest.raises(LocalProtocolError, match="there is no tool named 'plain'; there are: none"):
        ToolRegistry().remove("plain")


def test_definitions_are_replaced_where_they_stand_and_functions_stay() -> None:
    other = attrs.evolve(MANUAL, description="another one")
    registry = ToolRegistry([MANUAL, plain, HOSTED])
    changed = registry.with_definitions([FunctionTool(name="new"), other])
    assert changed.names == ("manual", "plain", "new")
    assert changed.get("manual") == other
    assert registry.with_definitions([HOSTED, MANUAL]).names == registry.names
    with pytest.raises(LocalProtocolError, match="there is a tool named 'plain' already"):
        registry.with_definitions([FunctionTool(name="plain")])
    with pytest.raises(LocalProtocolError, match="there is a tool named 'manual' already"):
        registry.with_definitions([MANUAL, MANUAL])


def test_a_copy_changes_by_itself() -> None:
    registry = ToolRegistry([plain, MANUAL])
    copy = registry.copy()
    copy.remove("manual")
    copy.add(HOSTED)
    assert copy.names == ("plain", "docs")
    assert registry.names == ("plain", "manual")
