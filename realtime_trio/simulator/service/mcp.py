"""Tools on MCP servers: the service lists them, asks whether they may be called, and calls them.

Owns which servers were named, what they listed, which approvals are awaited and which calls run.
What a server offers and what comes of a call is the script's business; that the model makes one is
the response's.

Theory of operation.  A list belongs to an address and to what is allowed of it, so it is fetched
again only if a client changes one of these, or names the server once more after it has failed.  A
tool with a bare label stands for the last full configuration of that label. What the model may call
is decided when its response begins: what is on the lists of those servers that are in the effective
configuration at that moment.

Fetching a list and running a call take their time beside everything else.  Like a response, each is
a generator that yields the time before which it must not go on.  One that takes no time is over
before anything else happens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs
from attrs import define, frozen

from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemDone,
    McpApprovalFilter,
    McpApprovalResponse,
    McpCall,
    McpListedTool,
    McpListTools,
    McpListToolsCompleted,
    McpListToolsFailed,
    McpListToolsInProgress,
    McpTool,
    McpToolFilter,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
    Tool,
)
from realtime_trio.simulator.script.script import HostedCall, McpServer, Message, Output, Reply
from realtime_trio.simulator.service.configuration import PCM
from realtime_trio.simulator.service.conversation import ServerConversation
from realtime_trio.simulator.service.item_entry import ItemEntry
from realtime_trio.simulator.service.lifecycle import ServerOutbox, Steps, Task
from realtime_trio.simulator.service.refusal import Refusal, check_choice, listed, missing

# It is documented that the service checks labels, addresses and authorization, but not with which
# codes it refuses them; those in this file are our choice.
_ADDRESSES = ("server_url", "connector_id", "tunnel_id")
_CONNECTORS = (
    "connector_dropbox",
    "connector_gmail",
    "connector_googlecalendar",
    "connector_googledrive",
    "connector_microsoftteams",
    "connector_outlookcalendar",
    "connector_outlookemail",
    "connector_sharepoint",
)

_Allowed = tuple[str, ...] | McpToolFilter | None


@frozen(kw_only=True)
class _Source:
    """What a list is a list of."""

    label: str
    server_url: str | None
    connector_id: str | None
    tunnel_id: str | None
    allowed: _Allowed


@frozen
class MadeCall:
    """A call that the model has made as a whole, or that was approved."""

    call: HostedCall
    """What comes of it."""
    item: McpCall
    """The call, without its outcome."""
    entry: ItemEntry = attrs.field(kw_only=True)
    """Where the item is kept."""
    previous: str | None = attrs.field(kw_only=True)
    """Id of the item before it."""
    output_index: int = attrs.field(kw_only=True)
    """The position in the response of the item that led to it."""
    is_apart: bool = attrs.field(default=False, kw_only=True)
    """Whether it is of a response out of band; then its outcome has no place to be shown."""


@define(eq=False)
class HostedTools:
    """The MCP servers of one session."""

    _servers: tuple[McpServer, ...]
    _conversation: ServerConversation
    _out: ServerOutbox
    _named: dict[str, McpTool] = attrs.field(factory=dict, init=False)
    """The last full configuration of each label."""
    _lists: dict[_Source, tuple[McpListedTool, ...] | None] = attrs.field(factory=dict, init=False)
    """What was listed; None while it is being fetched."""
    _asked: dict[str, tuple[HostedCall, int]] = attrs.field(factory=dict, init=False)
    """Calls that wait for approval, with their position in the response, by the request's id."""
    tasks: list[Task] = attrs.field(factory=list, init=False)
    """What is under way."""

    def forget_finished(self) -> None:
        """Drop the tasks that are over."""
        self.tasks = [task for task in self.tasks if task.due is not None]

    # --- configuration ----------------------------------------------------------------------------

    def check(self, tools: Iterable[Tool], param: str) -> None:
        """Check the tools that a client configures, as far as they are on MCP servers.

        Raises:
            Refusal: Two have the same label, or one is not told how to reach its server, or in two
                ways.
        """
        labels = set()
        for index, tool in enumerate(tools):
            if not isinstance(tool, McpTool):
                continue
            where = f"{param}[{index}]"
            if tool.server_label in labels:
                raise Refusal(
                    f"Invalid '{where}.server_label': the label '{tool.server_label}' is used by "
                    "another tool. Labels must be unique.",
                    code="invalid_value",
                    param=f"{where}.server_label",
                )
            labels.add(tool.server_label)
            self._check_server(tool, where)

    def _check_server(self, tool: McpTool, where: str) -> None:
        addresses = [name for name in _ADDRESSES if getattr(tool, name) is not None]
        # After the import of its tools a server may be named by its label alone.
        if not addresses and not self._is_imported(tool.server_label):
            raise missing(f"{where}.server_url")
        if len(addresses) > 1:
            raise _exclusive(addresses, where)
        if tool.connector_id is not None:
            check_choice(tool.connector_id, _CONNECTORS, f"{where}.connector_id")
        header = next(
            (name for name in tool.headers or () if name.lower() == "authorization"), None
        )
        if header is not None and tool.authorization is not None:
            raise _exclusive(["authorization", f"headers.{header}"], where)
        if isinstance(tool.require_approval, str):
            check_choice(tool.require_approval, ("always", "never"), f"{where}.require_approval")

    def _is_imported(self, label: str) -> bool:
        """Whether the tools behind a label were listed, or are being listed."""
        full = self._named.get(label)
        return full is not None and _source(full) in self._lists

    # --- lists ------------------------------------------------------------------------------------

    def discover(self, tools: Iterable[Tool], now: float) -> None:
        """Fetch the lists of those servers, among checked tools, of which there is none."""
        for tool in tools:
            if not isinstance(tool, McpTool) or _is_bare(tool):
                continue
            self._named[tool.server_label] = tool
            source = _source(tool)
            if source not in self._lists:
                # Noted before it is fetched: naming the server again meanwhile fetches nothing.
                self._lists[source] = None
                self.tasks.append(Task(self._fetch(source, now)))

    def _fetch(self, source: _Source, now: float) -> Steps:
        item = McpListTools(id=self._out.new_id("item_"), server_label=source.label, tools=())
        entry = ItemEntry(str(item.id), item, PCM)
        self._out.send(McpListToolsInProgress(event_id=self._out.event_id(), item_id=entry.id))
        previous = self._conversation.insert(entry)
        self._out.send(
            ConversationItemAdded(
                event_id=self._out.event_id(), item=item, previous_item_id=previous
            )
        )
        server = next((server for server in self._servers if server.label == source.label), None)
        # Without a delay there is no wait at all, not even for "now": the response whose request
        # names the server finds the list.
        if server is not None and server.listing_delay:
            yield now + server.listing_delay
        if server is None or not server.is_reachable:
            # Forgotten, so that naming the server once more is another attempt.  The item stays as
            # it is, without tools.
            del self._lists[source]
            self._out.send(McpListToolsFailed(event_id=self._out.event_id(), item_id=entry.id))
            return
        found = tuple(tool for tool in server.tools if _allows(source.allowed, tool))
        self._lists[source] = found
        entry.become(attrs.evolve(item, tools=found))
        # The service does not promise an order, and clients must take both.
        if server.completes_item_first:
            self._tell_done(entry, previous)
        self._out.send(McpListToolsCompleted(event_id=self._out.event_id(), item_id=entry.id))
        if not server.completes_item_first:
            self._tell_done(entry, previous)

    def _tell_done(self, entry: ItemEntry, previous: str | None) -> None:
        self._out.send(
            ConversationItemDone(
                event_id=self._out.event_id(), item=entry.shown, previous_item_id=previous
            )
        )

    # --- calls ------------------------------------------------------------------------------------

    def offered(self, reply: Reply, tools: Iterable[Tool]) -> Reply:
        """What becomes of a reply in a response that may use these tools.

        Returns:
            The reply with calls that know whether they need approval, and with words in place of
            those that are impossible.
        """
        by_label = {tool.server_label: tool for tool in tools if isinstance(tool, McpTool)}
        return attrs.evolve(
            reply, outputs=tuple(self._offered(output, by_label) for output in reply.outputs)
        )

    def _offered(self, output: Output, tools: dict[str, McpTool]) -> Output:
        if not isinstance(output, HostedCall):
            return output
        tool = tools.get(output.server_label)
        callee = (
            None
            if tool is None
            else next(
                (listed for listed in self._callable(tool) if listed.name == output.name), None
            )
        )
        # A model does not know what it was not offered.  Words show the author of the script what
        # is missing; an error would blame the client.
        if tool is None or callee is None:
            return Message(
                f"I would call {output.name} of the MCP server {output.server_label}, "
                "but I have no such tool."
            )
        if output.approval is not None:
            return output
        rule = tool.require_approval or self._full(tool).require_approval
        return attrs.evolve(output, approval=_needs_approval(rule, callee))

    def _full(self, tool: McpTool) -> McpTool:
        return self._named[tool.server_label] if _is_bare(tool) else tool

    def _callable(self, tool: McpTool) -> Iterator[McpListedTool]:
        return (
            found
            for found in self._lists.get(_source(self._full(tool))) or ()
            if _allows(tool.allowed_tools, found)
        )

    def await_approval(self, request_id: str, call: HostedCall, output_index: int) -> None:
        """Keep a call until the client has answered."""
        self._asked[request_id] = call, output_index

    def answer(self, response: McpApprovalResponse, now: float) -> None:
        """Run the call that was asked for, if it is approved.

        A request that a client has made up asks for nothing.
        """
        # Approval alone starts the call, as official clients expect it: they send nothing else.
        call, output_index = self._asked.pop(response.approval_request_id, (None, 0))
        if call is None or not response.approve:
            return
        item = McpCall(
            id=self._out.new_id("item_"),
            server_label=call.server_label,
            name=call.name,
            arguments=call.arguments,
            approval_request_id=response.approval_request_id,
        )
        entry = ItemEntry(item.id, item, PCM)
        previous = self._conversation.insert(entry)
        self._out.send(
            ConversationItemAdded(
                event_id=self._out.event_id(), item=item, previous_item_id=previous
            )
        )
        self.run(
            MadeCall(call, item, entry=entry, previous=previous, output_index=output_index), now
        )

    def run(self, made: MadeCall, now: float) -> None:
        """Run a call.  The service does not go on by itself when it is over.

        The guide shows the answer in the same response; on the live wire the client has to ask for
        another one.
        """
        self.tasks.append(Task(self._run(made, now)))

    def _run(self, made: MadeCall, now: float) -> Steps:
        call, place = made.call, {"output_index": made.output_index}
        self._out.send(
            ResponseMcpCallInProgress(event_id=self._out.event_id(), item_id=made.item.id, **place)
        )
        if call.duration:
            yield now + call.duration
        if call.error is None:
            made.entry.become(attrs.evolve(made.item, output=call.output))
            self._out.send(
                ResponseMcpCallCompleted(
                    event_id=self._out.event_id(), item_id=made.item.id, **place
                )
            )
        else:
            made.entry.become(attrs.evolve(made.item, error=call.error))
            self._out.send(
                ResponseMcpCallFailed(event_id=self._out.event_id(), item_id=made.item.id, **place)
            )
        if not made.is_apart:
            self._tell_done(made.entry, made.previous)


def _is_bare(tool: McpTool) -> bool:
    """Whether a tool says no more of its server than the label."""
    return all(getattr(tool, name) is None for name in _ADDRESSES)


def _source(tool: McpTool) -> _Source:
    return _Source(
        label=tool.server_label,
        server_url=tool.server_url,
        connector_id=tool.connector_id,
        tunnel_id=tool.tunnel_id,
        allowed=tool.allowed_tools,
    )


def _exclusive(names: list[str], where: str) -> Refusal:
    return Refusal(
        f"Mutually exclusive parameters: {listed([f'{where}.{name}' for name in names])}.",
        code="mutually_exclusive_parameters",
        param=f"{where}.{names[-1]}",
    )


def _allows(allowed: _Allowed, tool: McpListedTool) -> bool:
    match allowed:
        case None:
            return True
        case McpToolFilter():
            return _picks(allowed, tool)
        case names:
            return tool.name in names


def _picks(picked: McpToolFilter, tool: McpListedTool) -> bool:
    """Whether a filter fits a tool in everything that it names."""
    is_read_only = (tool.annotations or {}).get("readOnlyHint") is True
    return (picked.tool_names is None or tool.name in picked.tool_names) and picked.read_only in (
        None,
        is_read_only,
    )


def _needs_approval(rule: str | McpApprovalFilter | None, tool: McpListedTool) -> bool:
    """Whether a tool needs approval.  It does by default, and if both lists pick it."""
    if isinstance(rule, McpApprovalFilter):
        if rule.always is not None and _picks(rule.always, tool):
            return True
        return rule.never is None or not _picks(rule.never, tool)
    return rule != "never"
