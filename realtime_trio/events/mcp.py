"""MCP events: the service finds and calls tools on remote servers by itself."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from realtime_trio._frozen import frozen
from realtime_trio.events._base import ClientEvent, ServerEvent


@frozen(kw_only=True)
class McpListToolsInProgress(ServerEvent):
    """The service asks an MCP server for its tools."""

    type: ClassVar[Literal["mcp_list_tools.in_progress"]] = "mcp_list_tools.in_progress"
    """Wire name."""

    item_id: str
    """Item that will hold the list."""


@frozen(kw_only=True)
class McpListToolsCompleted(ServerEvent):
    """The tools are known; the item that lists them is done just before or just after."""

    # Both orders were seen, so nothing may wait for one of the two as the second.
    type: ClassVar[Literal["mcp_list_tools.completed"]] = "mcp_list_tools.completed"
    """Wire name."""

    item_id: str
    """Item that holds the list."""


@frozen(kw_only=True)
class McpListToolsFailed(ServerEvent):
    """The MCP server did not name its tools; responses go on without them."""

    type: ClassVar[Literal["mcp_list_tools.failed"]] = "mcp_list_tools.failed"
    """Wire name."""

    item_id: str
    """Item that would have held the list."""


@frozen(kw_only=True)
class ResponseMcpCallArgumentsDelta(ServerEvent):
    """More of an MCP call's arguments."""

    type: ClassVar[Literal["response.mcp_call_arguments.delta"]] = (
        "response.mcp_call_arguments.delta"
    )
    """Wire name."""

    response_id: str
    """Which response."""
    item_id: str
    """Which item."""
    output_index: int
    """The item's position in the response, from 0."""
    delta: str
    """JSON text to append."""
    obfuscation: str | None = None
    """Random padding that hides the length of the text; ignore it."""


@frozen(kw_only=True)
class ResponseMcpCallArgumentsDone(ServerEvent):
    """An MCP call's arguments are final."""

    type: ClassVar[Literal["response.mcp_call_arguments.done"]] = "response.mcp_call_arguments.done"
    """Wire name."""

    response_id: str
    """Which response."""
    item_id: str
    """Which item."""
    output_index: int
    """The item's position in the response, from 0."""
    arguments: str
    """JSON text of the arguments."""


@frozen(kw_only=True)
class ResponseMcpCallInProgress(ServerEvent):
    """The service is calling the tool."""

    # Without a response_id, as the two below: the call goes on when its response is over.
    type: ClassVar[Literal["response.mcp_call.in_progress"]] = "response.mcp_call.in_progress"
    """Wire name."""

    output_index: int
    """The item's position in the response, from 0."""
    item_id: str
    """Which item."""


@frozen(kw_only=True)
class ResponseMcpCallCompleted(ServerEvent):
    """The tool has returned.

    Comes after the response is done.  The service does not go on by itself: ask for a response.
    """

    type: ClassVar[Literal["response.mcp_call.completed"]] = "response.mcp_call.completed"
    """Wire name."""

    output_index: int
    """The item's position in the response, from 0."""
    item_id: str
    """Which item; it holds the output."""


@frozen(kw_only=True)
class ResponseMcpCallFailed(ServerEvent):
    """The call failed."""

    type: ClassVar[Literal["response.mcp_call.failed"]] = "response.mcp_call.failed"
    """Wire name."""

    output_index: int
    """The item's position in the response, from 0."""
    item_id: str
    """Which item; it holds the error."""


CLIENT: Final[tuple[type[ClientEvent], ...]] = ()
"""What a client sends."""

SERVER: Final[tuple[type[ServerEvent], ...]] = (
    McpListToolsInProgress,
    McpListToolsCompleted,
    McpListToolsFailed,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseMcpCallInProgress,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
)
"""What a server sends."""
