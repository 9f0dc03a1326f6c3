"""A session with tools on an MCP server, for tests of what the simulated service does with them."""

from __future__ import annotations

from collections.abc import Sequence

from service_client import Client, of_type, only

from realtime_trio.events import (
    AssistantMessage,
    ConversationItemCreate,
    ConversationItemDone,
    Event,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListedTool,
    McpListTools,
    McpTool,
    OutputText,
    ResponseConfig,
    ResponseCreate,
    ResponseDone,
    SessionConfig,
    SessionUpdate,
    Tool,
)
from realtime_trio.simulator import INSTANT, Pacing, Reply, Script, SimulatedServer
from realtime_trio.simulator.script.script import McpServer

SEARCH = McpListedTool(
    name="search",
    input_schema={"type": "object"},
    description="Finds pages.",
    annotations={"readOnlyHint": True},
)
WRITE = McpListedTool(name="write", input_schema={"type": "object"})
SERVER = McpServer("docs", [SEARCH, WRITE])
DOCS = McpTool(server_label="docs", server_url="https://docs.example.com", require_approval="never")
DOCS_IF_ASKED = McpTool(server_label="docs", server_url="https://docs.example.com")
BARE = McpTool(server_label="docs")
FOUND = Reply.mcp("docs", "search", {"q": "trio"}, output="Two pages.")

LISTING = [
    "mcp_list_tools.in_progress",
    "conversation.item.added",
    "mcp_list_tools.completed",
    "conversation.item.done",
]
CALLING = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.mcp_call_arguments.delta*",
    "response.mcp_call_arguments.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]
RUNNING = ["response.mcp_call.in_progress", "response.mcp_call.completed", "conversation.item.done"]
ASKING = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]
ANSWER = ["conversation.item.added", "conversation.item.done"]
IMPOSSIBLE = "I would call search of the MCP server docs, but I have no such tool."


class HostedClient(Client):
    """A client of text sessions whose model may call hosted tools.

    Args:
        replies: What the model says and calls.
        servers: The MCP servers that the service can reach.
        tools: The tools of the session.
        pacing: How fast the model is.
    """

    def __init__(
        self,
        *replies: Reply,
        servers: Sequence[McpServer] = (SERVER,),
        tools: Sequence[Tool] = (),
        pacing: Pacing = INSTANT,
    ) -> None:
        super().__init__(
            server=SimulatedServer(Script(replies, mcp_servers=servers, pacing=pacing))
        )
        self.update(*tools)

    def update(self, *tools: Tool) -> list[Event]:
        """Change the tools of the session."""
        return self.send(
            SessionUpdate(session=SessionConfig.of(tools=tools, output_modalities=["text"]))
        )

    def respond(self, *tools: Tool, now: float | None = None) -> list[Event]:
        """Ask for a response, with tools of its own if there are any."""
        return self.send(
            ResponseCreate(response=ResponseConfig(tools=tools) if tools else None), now=now
        )

    def approve(
        self, request: McpApprovalRequest | str, approve: bool = True, now: float | None = None
    ) -> list[Event]:
        """Answer a request for approval."""
        request_id = request if isinstance(request, str) else request.id
        return self.send(
            ConversationItemCreate(
                item=McpApprovalResponse(approval_request_id=request_id, approve=approve)
            ),
            now=now,
        )

    def ask(self, *tools: Tool, now: float | None = None) -> McpApprovalRequest:
        """Ask for a response; return the approval it asks for."""
        request = only(self.respond(*tools, now=now), ConversationItemDone).item
        assert isinstance(request, McpApprovalRequest)
        return request


def listed(events: Sequence[Event]) -> list[str]:
    """The names of the tools on the list that is done."""
    item = only(events, ConversationItemDone).item
    assert isinstance(item, McpListTools)
    return [tool.name for tool in item.tools]


def call(events: Sequence[Event]) -> McpCall:
    """The call that the conversation says is done."""
    items = [event.item for event in of_type(events, ConversationItemDone)]
    (made,) = [item for item in items if isinstance(item, McpCall)]
    return made


def words(events: Sequence[Event]) -> str:
    """What a response of one message says."""
    (item,) = only(events, ResponseDone).response.output
    assert isinstance(item, AssistantMessage)
    (part,) = item.content
    assert isinstance(part, OutputText)
    return part.text
