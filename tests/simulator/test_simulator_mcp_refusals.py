"""Hosted tools that the simulated server refuses, in a session or a response."""

from __future__ import annotations

import pytest
from hosted_tools import (
    BARE,
    DOCS,
    LISTING,
    HostedClient,
    listed,
)
from service_client import only, types

from realtime_trio.events import (
    FunctionTool,
    ItemReference,
    JsonObject,
    McpTool,
    RealtimeSession,
    ResponseConfig,
    ResponseCreate,
    SessionConfig,
    SessionUpdate,
    SessionUpdated,
    Tool,
    UserMessage,
)
from realtime_trio.simulator.script.script import McpServer

URL = "https://docs.example.com"


TUNNEL = "tunnel_0123456789abcdef0123456789abcdef"


WRONG: list[tuple[tuple[Tool, ...], str, str]] = [
    ((DOCS, FunctionTool(name="f"), DOCS), "invalid_value", "[2].server_label"),
    ((FunctionTool(name="f"), BARE), "missing_required_parameter", "[1].server_url"),
    (
        (McpTool(server_label="docs", server_url=URL, connector_id="connector_gmail"),),
        "mutually_exclusive_parameters",
        "[0].connector_id",
    ),
    (
        (McpTool(server_label="docs", server_url=URL, tunnel_id=TUNNEL),),
        "mutually_exclusive_parameters",
        "[0].tunnel_id",
    ),
    (
        (McpTool(server_label="docs", connector_id="connector_fridge"),),
        "invalid_value",
        "[0].connector_id",
    ),
    (
        (
            McpTool(
                server_label="docs",
                server_url=URL,
                authorization="x",
                headers={"authorization": "Bearer y"},
            ),
        ),
        "mutually_exclusive_parameters",
        "[0].headers.authorization",
    ),
    (
        (McpTool(server_label="docs", server_url=URL, require_approval="sometimes"),),
        "invalid_value",
        "[0].require_approval",
    ),
]


@pytest.mark.parametrize(("tools", "code", "param"), WRONG)
def test_a_wrong_tool_rejects_the_whole_update(
    tools: tuple[Tool, ...], code: str, param: str
) -> None:
    client = HostedClient()
    error = client.refused(
        SessionUpdate(session=SessionConfig.of(instructions="Sing.", tools=tools))
    )
    assert (error.code, error.param) == (code, f"session.tools{param}")
    session = only(client.send(SessionUpdate(session=SessionConfig())), SessionUpdated).session
    assert isinstance(session, RealtimeSession)
    assert session.tools == ()
    assert session.instructions != "Sing."


@pytest.mark.parametrize(("tools", "code", "param"), WRONG)
def test_a_wrong_tool_refuses_the_whole_response(
    tools: tuple[Tool, ...], code: str, param: str
) -> None:
    error = HostedClient().refused(ResponseCreate(response=ResponseConfig(tools=tools)))
    assert (error.code, error.param) == (code, f"response.tools{param}")


def test_the_refusals_say_what_is_wrong() -> None:
    client = HostedClient()

    def message(*tools: Tool) -> str:
        return client.refused(SessionUpdate(session=SessionConfig.of(tools=tools))).message

    assert message(DOCS, DOCS) == (
        "Invalid 'session.tools[1].server_label': the label 'docs' is used by another tool. "
        "Labels must be unique."
    )
    assert message(BARE) == "Missing required parameter: 'session.tools[0].server_url'."
    assert message(McpTool(server_label="docs", server_url=URL, tunnel_id=TUNNEL)) == (
        "Mutually exclusive parameters: "
        "'session.tools[0].server_url' and 'session.tools[0].tunnel_id'."
    )


@pytest.mark.parametrize("headers", [None, {"X-Key": "y"}])
def test_authorization_goes_with_other_headers(headers: JsonObject | None) -> None:
    client = HostedClient()
    assert listed(
        client.update(
            McpTool(server_label="docs", server_url=URL, authorization="x", headers=headers)
        )
    )
    assert types(
        client.update(
            McpTool(server_label="docs", server_url=URL, headers={"Authorization": "Bearer y"})
        )
    ) == ["session.updated"]


def test_a_bare_label_is_enough_from_the_moment_its_tools_are_being_listed() -> None:
    client = HostedClient(servers=[McpServer("docs", listing_delay=2.0)], tools=[DOCS])
    assert types(client.update(BARE)) == ["session.updated"]


def test_a_bare_label_of_a_server_that_could_not_be_listed_is_not_enough() -> None:
    error = HostedClient(servers=[], tools=[DOCS]).refused(
        SessionUpdate(session=SessionConfig.of(tools=[BARE]))
    )
    assert error.param == "session.tools[0].server_url"


def test_a_response_that_is_refused_for_another_reason_lists_nothing() -> None:
    client = HostedClient()
    error = client.refused(
        ResponseCreate(
            response=ResponseConfig(
                tools=(DOCS,), input=(UserMessage.text("hi"), ItemReference(id="x"))
            )
        )
    )
    assert error.param == "response.input[1].id"
    assert types(client.update(DOCS)) == ["session.updated", *LISTING]
