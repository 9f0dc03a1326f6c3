"""The tools of MCP servers: which the simulated server lists, and which its model can call."""

from __future__ import annotations

import pytest
from hosted_tools import (
    BARE,
    CALLING,
    DOCS,
    DOCS_IF_ASKED,
    FOUND,
    IMPOSSIBLE,
    LISTING,
    RUNNING,
    SEARCH,
    SERVER,
    WRITE,
    HostedClient,
    call,
    listed,
    words,
)
from service_client import of_type, only, types
from simulated import SLOW

from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemDone,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    FunctionTool,
    McpListTools,
    McpListToolsCompleted,
    McpTool,
    McpToolFilter,
    SessionConfig,
    SessionUpdate,
    Tool,
)
from realtime_trio.simulator import Reply, Script, Turn
from realtime_trio.simulator.script.script import HostedCall, McpServer

# --- listing --------------------------------------------------------------------------------------


def test_tools_are_listed_when_their_server_is_named() -> None:
    client = HostedClient()
    events = client.update(DOCS)
    assert types(events) == ["session.updated", *LISTING]
    added, done = only(events, ConversationItemAdded), only(events, ConversationItemDone)
    item_id = only(events, McpListToolsCompleted).item_id
    assert added.item == McpListTools(id=item_id, server_label="docs", tools=())
    assert done.item == McpListTools(id=item_id, server_label="docs", tools=(SEARCH, WRITE))
    assert (added.previous_item_id, done.previous_item_id) == (None, None)
    assert (
        only(client.send(ConversationItemRetrieve(item_id=item_id)), ConversationItemRetrieved).item
        == done.item
    )


def test_the_item_may_be_done_before_the_listing_is() -> None:
    events = HostedClient(servers=[McpServer("docs", [SEARCH], completes_item_first=True)]).update(
        DOCS
    )
    assert types(events)[3:] == ["conversation.item.done", "mcp_list_tools.completed"]


def test_tools_are_listed_once() -> None:
    client = HostedClient(tools=[DOCS])
    for again in (DOCS, DOCS_IF_ASKED, BARE):
        assert types(client.update(again)) == ["session.updated"]
    assert types(client.send(SessionUpdate(session=SessionConfig(instructions="Be brief.")))) == [
        "session.updated"
    ]


@pytest.mark.parametrize(
    "other",
    [
        McpTool(server_label="docs", server_url="https://other.example.com"),
        McpTool(server_label="docs", connector_id="connector_gmail"),
        McpTool(server_label="docs", tunnel_id="tunnel_0123456789abcdef0123456789abcdef"),
        McpTool(
            server_label="docs", server_url="https://docs.example.com", allowed_tools=("write",)
        ),
    ],
)
def test_another_server_or_another_choice_of_tools_is_listed_anew(other: McpTool) -> None:
    assert types(HostedClient(tools=[DOCS]).update(other)) == ["session.updated", *LISTING]


def test_several_servers_are_listed_one_by_one_and_functions_not_at_all() -> None:
    wiki = McpTool(server_label="wiki", server_url="https://wiki.example.com")
    events = HostedClient(servers=[SERVER, McpServer("wiki")]).update(
        DOCS, FunctionTool(name="f"), wiki
    )
    assert types(events) == ["session.updated", *LISTING, *LISTING]
    first, second = of_type(events, ConversationItemDone)
    assert (
        first.item != second.item == McpListTools(id=second.item.id, server_label="wiki", tools=())
    )
    assert second.previous_item_id == first.item.id


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        (None, ["search", "write"]),
        (("write", "delete"), ["write"]),
        ((), []),
        (McpToolFilter(), ["search", "write"]),
        (McpToolFilter(tool_names=("search",)), ["search"]),
        (McpToolFilter(read_only=True), ["search"]),
        (McpToolFilter(read_only=False), ["write"]),
        (McpToolFilter(tool_names=("write",), read_only=True), []),
    ],
)
def test_only_allowed_tools_are_listed(
    allowed: tuple[str, ...] | McpToolFilter | None, names: list[str]
) -> None:
    events = HostedClient().update(
        McpTool(server_label="docs", server_url="https://docs.example.com", allowed_tools=allowed)
    )
    assert listed(events) == names


@pytest.mark.parametrize("servers", [[McpServer("docs", [SEARCH], is_reachable=False)], []])
def test_a_listing_that_fails_leaves_an_empty_item_and_is_tried_again_when_named_again(
    servers: list[McpServer],
) -> None:
    client = HostedClient(FOUND, servers=servers)
    failing = ["mcp_list_tools.in_progress", "conversation.item.added", "mcp_list_tools.failed"]
    events = client.update(DOCS)
    assert types(events) == ["session.updated", *failing]
    item_id = only(events, ConversationItemAdded).item.id
    retrieved = only(
        client.send(ConversationItemRetrieve(item_id=str(item_id))), ConversationItemRetrieved
    )
    assert retrieved.item == McpListTools(id=item_id, server_label="docs", tools=())
    assert words(client.respond()) == IMPOSSIBLE
    assert types(client.update(DOCS)) == ["session.updated", *failing]


def test_nobody_waits_for_a_slow_listing() -> None:
    client = HostedClient(FOUND, FOUND, servers=[McpServer("docs", [SEARCH], listing_delay=2.0)])
    assert types(client.update(DOCS)) == ["session.updated", *LISTING[:2]]
    assert types(client.update(DOCS)) == ["session.updated"]  # under way
    assert words(client.respond(now=1.0)) == IMPOSSIBLE
    assert client.server.next_due == 2.0
    assert types(client.take(2.0)) == LISTING[2:]
    assert call(client.respond()).output == "Two pages."


def test_a_response_that_names_a_server_has_it_listed() -> None:
    client = HostedClient(FOUND, FOUND)
    events = client.respond(DOCS)
    assert types(events) == [*LISTING, *CALLING, *RUNNING]
    assert words(client.respond()) == IMPOSSIBLE  # it is not in the session's configuration
    assert types(client.update(BARE)) == ["session.updated"]


def test_the_model_sees_the_list() -> None:
    def sees(turn: Turn) -> bool:
        return any(
            isinstance(item, McpListTools) and item.tools == (SEARCH, WRITE) for item in turn.items
        )

    assert words(HostedClient(Reply.text("I see.", when=sees), tools=[DOCS]).respond()) == "I see."


# --- what can be called ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tools",
    [
        (),
        (FunctionTool(name="search"),),
        (
            McpTool(
                server_label="docs", server_url="https://docs.example.com", allowed_tools=("write",)
            ),
        ),
        (McpTool(server_label="docs", allowed_tools=("write",)),),
    ],
)
def test_the_model_can_only_call_what_it_has(tools: tuple[Tool, ...]) -> None:
    client = HostedClient(FOUND, tools=[DOCS])
    client.update(*tools)
    assert words(client.respond()) == IMPOSSIBLE


def test_the_tools_of_a_response_replace_those_of_the_session() -> None:
    client = HostedClient(FOUND, FOUND, tools=[DOCS])
    assert words(client.respond(FunctionTool(name="f"))) == IMPOSSIBLE
    assert call(client.respond()).output == "Two pages."


def test_a_bare_label_stands_for_what_was_configured_under_it() -> None:
    client = HostedClient(FOUND, FOUND, tools=[DOCS])
    client.update()
    assert call(client.respond(BARE)).output == "Two pages."
    client.update(McpTool(server_label="docs", require_approval="always"))
    client.ask()


# --- the script -----------------------------------------------------------------------------------


def test_every_label_stands_for_one_server() -> None:
    with pytest.raises(LocalProtocolError, match="several MCP servers with the label 'docs'"):
        Script(mcp_servers=[SERVER, McpServer("docs")])


def test_a_reply_that_calls_a_hosted_tool_is_a_value() -> None:
    assert FOUND.outputs == (HostedCall("docs", "search", '{"q":"trio"}', output="Two pages."),)
    assert Reply.mcp("docs", "search", when=bool, pacing=SLOW) == Reply(
        outputs=(HostedCall("docs", "search"),), when=bool, pacing=SLOW
    )


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan")])
def test_nothing_takes_less_than_no_time_or_forever(seconds: float) -> None:
    with pytest.raises(LocalProtocolError, match="duration"):
        Reply.mcp("docs", "search", duration=seconds)
    with pytest.raises(LocalProtocolError, match="listing_delay"):
        McpServer("docs", listing_delay=seconds)
