"""The simulated server and hosted MCP tools: listing, calling, asking for approval, and what it refuses.

Everything it says goes through a codec and a strict client's codec.  If the environment variable
REALTIME_SCHEMA names a JSON Schema of the protocol, everything is held against that, too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from conformance import validate
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # its stubs are a package of their own

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    AssistantMessage,
    ClientEvent,
    ConversationItemAdded,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemDone,
    ConversationItemRetrieve,
    ConversationItemRetrieved,
    ErrorDetail,
    ErrorEvent,
    Event,
    FunctionTool,
    ItemReference,
    JsonObject,
    McpApprovalFilter,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpError,
    McpHttpError,
    McpListedTool,
    McpListTools,
    McpListToolsCompleted,
    McpProtocolError,
    McpTool,
    McpToolExecutionError,
    McpToolFilter,
    OutputText,
    RealtimeSession,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    SessionConfig,
    SessionUpdate,
    SessionUpdated,
    Tool,
    UserMessage,
)
from realtime_trio.simulator import INSTANT, Pacing, Reply, Script, SimulatedServer, Turn
from realtime_trio.simulator.script.script import HostedCall, McpServer

E = TypeVar("E", bound=Event)

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
SLOW = Pacing(time_to_first_event=1.0, tokens_per_second=1.0)

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


def load_validators() -> dict[str, Draft202012Validator]:
    path = os.environ.get("REALTIME_SCHEMA")
    if path is None:
        return {}
    schema = json.loads(Path(path).read_text(encoding="utf-8"))
    return {
        name: Draft202012Validator({**root, "$defs": schema["$defs"]})
        for name, root in schema["map"]["ga"]["server"].items()
    }


VALIDATORS = load_validators()


class Client:
    """A client of text sessions that checks what it gets: it fits the schema, if there is one, and a strict codec can read it."""

    def __init__(
        self,
        *replies: Reply,
        servers: Sequence[McpServer] = (SERVER,),
        tools: Sequence[Tool] = (),
        pacing: Pacing = INSTANT,
    ) -> None:
        self.server = SimulatedServer(Script(replies, mcp_servers=servers, pacing=pacing))
        self.now = 0.0
        self._theirs = Codec(Role.SERVER)
        self._ours = Codec(Role.CLIENT, strict=True)
        self.server.connect(self.now)
        self.take()
        self.update(*tools)

    def take(self, now: float | None = None) -> list[Event]:
        self.now = self.now if now is None else now
        events: list[Event] = []
        for event in self.server.take_due(self.now):
            text = self._theirs.encode(event)
            assert not VALIDATORS or not validate(json.loads(text), VALIDATORS)
            received = self._ours.decode(text)
            assert type(received) is type(event)
            events.append(received)
        return events

    def send(self, event: ClientEvent, now: float | None = None) -> list[Event]:
        self.now = self.now if now is None else now
        self.server.receive(self._theirs.decode(self._ours.encode(event)), self.now)
        return self.take()

    def update(self, *tools: Tool) -> list[Event]:
        return self.send(
            SessionUpdate(session=SessionConfig.of(tools=tools, output_modalities=["text"]))
        )

    def respond(self, *tools: Tool, now: float | None = None) -> list[Event]:
        return self.send(
            ResponseCreate(response=ResponseConfig(tools=tools) if tools else None), now
        )

    def approve(
        self, request: McpApprovalRequest | str, approve: bool = True, now: float | None = None
    ) -> list[Event]:
        request_id = request if isinstance(request, str) else request.id
        return self.send(
            ConversationItemCreate(
                item=McpApprovalResponse(approval_request_id=request_id, approve=approve)
            ),
            now,
        )

    def ask(self, *tools: Tool, now: float | None = None) -> McpApprovalRequest:
        """Ask for a response; return the approval it asks for."""
        request = only(self.respond(*tools, now=now), ConversationItemDone).item
        assert isinstance(request, McpApprovalRequest)
        return request

    def refused(self, event: ClientEvent) -> ErrorDetail:
        """Send something; return what is wrong with it, and make sure that nothing else came of it."""
        (error,) = self.send(event)
        assert isinstance(error, ErrorEvent)
        assert error.error.type == "invalid_request_error"
        return error.error


def of_type(events: Sequence[Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def only(events: Sequence[Event], kind: type[E]) -> E:
    (event,) = of_type(events, kind)
    return event


def types(events: Sequence[Event]) -> list[str]:
    """The wire types; several of the same in a row count once, marked with a star."""
    names: list[str] = []
    for event in events:
        if names and names[-1].rstrip("*") == event.type:
            names[-1] = f"{event.type}*"
        else:
            names.append(event.type)
    return names


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


IMPOSSIBLE = "I would call search of the MCP server docs, but I have no such tool."


# --- listing --------------------------------------------------------------------------------------


def test_tools_are_listed_when_their_server_is_named() -> None:
    client = Client()
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
    events = Client(servers=[McpServer("docs", [SEARCH], completes_item_first=True)]).update(DOCS)
    assert types(events)[3:] == ["conversation.item.done", "mcp_list_tools.completed"]


def test_tools_are_listed_once() -> None:
    client = Client(tools=[DOCS])
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
    assert types(Client(tools=[DOCS]).update(other)) == ["session.updated", *LISTING]


def test_several_servers_are_listed_one_by_one_and_functions_not_at_all() -> None:
    wiki = McpTool(server_label="wiki", server_url="https://wiki.example.com")
    events = Client(servers=[SERVER, McpServer("wiki")]).update(DOCS, FunctionTool(name="f"), wiki)
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
    events = Client().update(
        McpTool(server_label="docs", server_url="https://docs.example.com", allowed_tools=allowed)
    )
    assert listed(events) == names


@pytest.mark.parametrize("servers", [[McpServer("docs", [SEARCH], is_reachable=False)], []])
def test_a_listing_that_fails_leaves_an_empty_item_and_is_tried_again_when_the_server_is_named_again(
    servers: list[McpServer],
) -> None:
    client = Client(FOUND, servers=servers)
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
    client = Client(FOUND, FOUND, servers=[McpServer("docs", [SEARCH], listing_delay=2.0)])
    assert types(client.update(DOCS)) == ["session.updated", *LISTING[:2]]
    assert types(client.update(DOCS)) == ["session.updated"]  # under way
    assert words(client.respond(now=1.0)) == IMPOSSIBLE
    assert client.server.next_due == 2.0
    assert types(client.take(2.0)) == LISTING[2:]
    assert call(client.respond()).output == "Two pages."


def test_a_response_that_names_a_server_has_it_listed() -> None:
    client = Client(FOUND, FOUND)
    events = client.respond(DOCS)
    assert types(events) == [*LISTING, *CALLING, *RUNNING]
    assert words(client.respond()) == IMPOSSIBLE  # it is not in the session's configuration
    assert types(client.update(BARE)) == ["session.updated"]


def test_the_model_sees_the_list() -> None:
    def sees(turn: Turn) -> bool:
        return any(
            isinstance(item, McpListTools) and item.tools == (SEARCH, WRITE) for item in turn.items
        )

    assert words(Client(Reply.text("I see.", when=sees), tools=[DOCS]).respond()) == "I see."


# --- calls without approval -----------------------------------------------------------------------


def test_a_call_runs_after_its_response_and_nothing_follows() -> None:
    client = Client(FOUND, tools=[DOCS])
    events = client.respond()
    assert types(events) == [*CALLING, *RUNNING]
    assert client.take(100.0) == []
    begun = only(events, ConversationItemAdded).item
    assert isinstance(begun, McpCall)
    assert begun == McpCall(id=begun.id, server_label="docs", name="search", arguments="")
    made = McpCall(id=begun.id, server_label="docs", name="search", arguments='{"q":"trio"}')
    ran = McpCall(
        id=begun.id,
        server_label="docs",
        name="search",
        arguments='{"q":"trio"}',
        output="Two pages.",
    )
    response = only(events, ResponseDone).response
    assert (response.status, response.output) == ("completed", (made,))
    assert only(events, ResponseOutputItemAdded).item == begun
    assert only(events, ResponseOutputItemDone).item == made
    assert only(events, ConversationItemDone).item == ran
    assert (
        only(events, ConversationItemDone).previous_item_id
        == only(events, ConversationItemAdded).previous_item_id
    )
    assert (
        only(
            client.send(ConversationItemRetrieve(item_id=begun.id)), ConversationItemRetrieved
        ).item
        == ran
    )


def test_the_arguments_stream() -> None:
    events = Client(FOUND, tools=[DOCS]).respond()
    deltas = of_type(events, ResponseMcpCallArgumentsDelta)
    assert len(deltas) > 1
    assert "".join(delta.delta for delta in deltas) == '{"q":"trio"}'
    assert all(len(delta.delta) + len(delta.obfuscation or "") == 16 for delta in deltas)
    done = only(events, ResponseMcpCallArgumentsDone)
    assert done.arguments == '{"q":"trio"}'
    place = (only(events, ResponseCreated).response.id, call(events).id, 0)
    assert {(delta.response_id, delta.item_id, delta.output_index) for delta in deltas} == {place}
    assert (done.response_id, done.item_id, done.output_index) == place


def test_the_call_is_known_by_its_place_in_the_response() -> None:
    events = Client(Reply.text("Let me look.").then(FOUND), tools=[DOCS]).respond()
    made = call(events)
    started, completed = (
        only(events, ResponseMcpCallInProgress),
        only(events, ResponseMcpCallCompleted),
    )
    assert (
        (started.item_id, started.output_index)
        == (completed.item_id, completed.output_index)
        == (made.id, 1)
    )


@pytest.mark.parametrize(
    "error",
    [
        McpProtocolError(code=-32601, message="Unknown tool."),
        McpToolExecutionError(message="No such page."),
        McpHttpError(code=503, message="Come back later."),
    ],
)
def test_a_call_can_fail_in_every_way(error: McpError) -> None:
    events = Client(Reply.mcp("docs", "search", error=error), tools=[DOCS]).respond()
    assert types(events) == [*CALLING, RUNNING[0], "response.mcp_call.failed", RUNNING[2]]
    failed, made = only(events, ResponseMcpCallFailed), call(events)
    assert (failed.item_id, failed.output_index) == (made.id, 0)
    assert (made.output, made.error) == (None, error)


def test_a_text_is_the_message_of_a_tool_that_failed() -> None:
    assert call(
        Client(Reply.mcp("docs", "search", error="Oops."), tools=[DOCS]).respond()
    ).error == McpToolExecutionError(message="Oops.")


def test_arguments_and_output_may_be_json_or_anything() -> None:
    made = call(
        Client(Reply.mcp("docs", "search", '{"q":', output={"pages": 2}), tools=[DOCS]).respond()
    )
    assert (made.arguments, made.output) == ('{"q":', '{"pages":2}')
    silent = call(Client(Reply.mcp("docs", "search", ""), tools=[DOCS]).respond())
    assert (silent.arguments, silent.output) == ("", "")


def test_the_conversation_goes_on_while_a_tool_takes_its_time() -> None:
    slow = Reply.mcp("docs", "search", output="Two pages.", duration=3.0)
    client = Client(slow, Reply.text("Meanwhile."), tools=[DOCS])
    assert types(client.respond()) == [*CALLING, RUNNING[0]]
    assert words(client.respond(now=1.0)) == "Meanwhile."
    assert client.server.next_due == 3.0
    assert types(client.take(3.0)) == RUNNING[1:]


def test_the_time_of_a_call_starts_when_its_response_is_done() -> None:
    client = Client(Reply.mcp("docs", "search", "a b", duration=3.0), tools=[DOCS], pacing=SLOW)
    client.respond()
    assert types(client.take(1.5))[-1] == "response.mcp_call_arguments.delta"
    assert types(client.take(2.0)) == [
        "response.mcp_call_arguments.delta",
        *CALLING[4:],
        RUNNING[0],
    ]
    assert client.server.next_due == 5.0
    assert types(client.take(5.0)) == RUNNING[1:]


def test_calls_of_one_response_run_side_by_side() -> None:
    slow, fast = (
        Reply.mcp("docs", "search", output=f"{seconds}", duration=seconds) for seconds in (2.0, 1.0)
    )
    client = Client(slow.then(fast), tools=[DOCS])
    events = client.respond()
    assert types(events)[-2:] == ["rate_limits.updated", "response.mcp_call.in_progress*"]
    assert [event.output_index for event in of_type(events, ResponseMcpCallInProgress)] == [0, 1]
    assert call(client.take(1.0)).output == "1.0"
    assert call(client.take(2.0)).output == "2.0"


def test_the_model_knows_what_came_of_a_call() -> None:
    client = Client(FOUND, tools=[DOCS])
    before = only(client.respond(), ResponseDone).response.usage
    events = client.respond()
    assert words(events) == "The function returned: Two pages."
    after = only(events, ResponseDone).response.usage
    assert before is not None
    assert after is not None
    assert before.input_tokens < after.input_tokens


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
    client = Client(FOUND, tools=[DOCS])
    client.update(*tools)
    assert words(client.respond()) == IMPOSSIBLE


def test_the_tools_of_a_response_replace_those_of_the_session() -> None:
    client = Client(FOUND, FOUND, tools=[DOCS])
    assert words(client.respond(FunctionTool(name="f"))) == IMPOSSIBLE
    assert call(client.respond()).output == "Two pages."


def test_a_bare_label_stands_for_what_was_configured_under_it() -> None:
    client = Client(FOUND, FOUND, tools=[DOCS])
    client.update()
    assert call(client.respond(BARE)).output == "Two pages."
    client.update(McpTool(server_label="docs", require_approval="always"))
    client.ask()


# --- approval -------------------------------------------------------------------------------------


def test_an_approved_call_is_made() -> None:
    client = Client(FOUND, tools=[DOCS_IF_ASKED])
    events = client.respond()
    assert types(events) == ASKING
    request = only(events, ConversationItemDone).item
    assert isinstance(request, McpApprovalRequest)
    assert request == McpApprovalRequest(
        id=request.id, server_label="docs", name="search", arguments='{"q":"trio"}'
    )
    assert only(events, ResponseDone).response.output == (request,)
    assert (
        only(events, ResponseOutputItemAdded).item
        == only(events, ResponseOutputItemDone).item
        == request
    )

    events = client.approve(request)
    assert types(events) == [*ANSWER, "conversation.item.added", *RUNNING]
    answer, begun = of_type(events, ConversationItemAdded)
    assert isinstance(answer.item, McpApprovalResponse)
    assert answer.previous_item_id == request.id
    assert begun.previous_item_id == answer.item.id
    ran = call(events)
    assert begun.item == McpCall(
        id=ran.id,
        server_label="docs",
        name="search",
        arguments='{"q":"trio"}',
        approval_request_id=request.id,
    )
    assert (ran.approval_request_id, ran.output, ran.error) == (request.id, "Two pages.", None)
    assert only(events, ResponseMcpCallCompleted).item_id == ran.id
    assert client.take(100.0) == []


def test_an_approved_call_can_take_its_time_and_fail() -> None:
    client = Client(Reply.mcp("docs", "search", error="Oops.", duration=2.0), tools=[DOCS_IF_ASKED])
    request = client.ask()
    assert types(client.approve(request, now=5.0)) == [
        *ANSWER,
        "conversation.item.added",
        "response.mcp_call.in_progress",
    ]
    assert client.server.next_due == 7.0
    assert types(client.take(7.0)) == ["response.mcp_call.failed", "conversation.item.done"]


def test_what_is_not_approved_is_not_done() -> None:
    client = Client(FOUND, tools=[DOCS_IF_ASKED])
    request = client.ask()
    events = client.approve(request, approve=False)
    assert types(events) == ANSWER
    assert client.take(100.0) == []
    error = client.refused(
        ConversationItemCreate(
            item=McpApprovalResponse(approval_request_id=request.id, approve=True)
        )
    )
    assert (error.code, error.message) == (
        "invalid_approval_request_id",
        f"Approval request ID '{request.id}' is already answered.",
    )


def test_an_answer_to_no_question_is_refused() -> None:
    client = Client(FOUND, tools=[DOCS_IF_ASKED])
    client.ask()
    error = client.refused(
        ConversationItemCreate(item=McpApprovalResponse(approval_request_id="item_x", approve=True))
    )
    assert (error.code, error.message, error.param) == (
        "invalid_approval_request_id",
        "Approval request ID 'item_x' not found in conversation.",
        None,
    )


def test_a_deleted_request_cannot_be_approved() -> None:
    client = Client(FOUND, tools=[DOCS_IF_ASKED])
    request = client.ask()
    client.send(ConversationItemDelete(item_id=request.id))
    error = client.refused(
        ConversationItemCreate(
            item=McpApprovalResponse(approval_request_id=request.id, approve=True)
        )
    )
    assert error.code == "invalid_approval_request_id"


def test_a_request_that_was_restored_can_be_answered_and_starts_nothing() -> None:
    client = Client(tools=[DOCS])
    request = McpApprovalRequest(id="item_1", server_label="docs", name="search", arguments="{}")
    assert types(client.send(ConversationItemCreate(item=request))) == ANSWER
    assert types(client.approve("item_1")) == ANSWER
    assert client.take(100.0) == []


def test_requests_may_be_answered_in_any_order() -> None:
    first, second = Reply.mcp("docs", "search", output="1"), Reply.mcp("docs", "write", output="2")
    client = Client(first.then(second), tools=[DOCS_IF_ASKED])
    requests = [event.item for event in of_type(client.respond(), ConversationItemDone)]
    for index in (1, 0):
        request = requests[index]
        assert isinstance(request, McpApprovalRequest)
        events = client.approve(request)
        assert (call(events).output, only(events, ResponseMcpCallInProgress).output_index) == (
            str(index + 1),
            index,
        )


@pytest.mark.parametrize(
    ("rule", "asked"),
    [
        (None, {"search", "write"}),
        ("always", {"search", "write"}),
        ("never", set()),
        (McpApprovalFilter(), {"search", "write"}),
        (McpApprovalFilter(never=McpToolFilter(read_only=True)), {"write"}),
        (McpApprovalFilter(always=McpToolFilter(tool_names=("search",))), {"search", "write"}),
        (
            McpApprovalFilter(always=McpToolFilter(tool_names=("search",)), never=McpToolFilter()),
            {"search"},
        ),
        (
            McpApprovalFilter(
                always=McpToolFilter(tool_names=("write",)),
                never=McpToolFilter(tool_names=("search",)),
            ),
            {"write"},
        ),
    ],
)
def test_the_configuration_says_what_needs_approval(
    rule: str | McpApprovalFilter | None, asked: set[str]
) -> None:
    tool = McpTool(
        server_label="docs", server_url="https://docs.example.com", require_approval=rule
    )
    client = Client(Reply.mcp("docs", "search"), Reply.mcp("docs", "write"), tools=[tool])
    requests = [
        event.item for _ in range(2) for event in of_type(client.respond(), ConversationItemDone)
    ]
    assert {item.name for item in requests if isinstance(item, McpApprovalRequest)} == asked
    assert {item.name for item in requests if isinstance(item, McpCall)} == {
        "search",
        "write",
    } - asked


def test_a_reply_can_decide_for_itself_whether_to_ask() -> None:
    client = Client(
        Reply.mcp("docs", "search", approval=True),
        Reply.mcp("docs", "search", output="Two pages.", approval=False),
        tools=[DOCS],
    )
    client.ask()
    client.update(DOCS_IF_ASKED)
    assert call(client.respond()).output == "Two pages."


# --- responses that end otherwise -----------------------------------------------------------------


def test_a_call_that_is_cut_short_is_closed_and_never_runs() -> None:
    client = Client(Reply.mcp("docs", "search", "a b c"), tools=[DOCS], pacing=SLOW)
    client.respond()
    client.take(2.0)
    events = client.send(ResponseCancel(), 2.5)
    closing = [
        "response.mcp_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
    ]
    assert types(events) == [*closing, "response.done", "rate_limits.updated"]
    assert only(events, ResponseMcpCallArgumentsDone).arguments == call(events).arguments == "a b"
    response = only(events, ResponseDone).response
    assert (response.status, response.output) == ("cancelled", (call(events),))
    assert client.take(100.0) == []


def test_a_call_that_was_made_runs_even_if_its_response_is_cancelled() -> None:
    client = Client(
        Reply.mcp("docs", "search", "a", output="Two pages.", duration=3.0).then(
            Reply.text("So I looked.")
        ),
        tools=[DOCS],
        pacing=SLOW,
    )
    client.respond()
    client.take(2.5)
    events = client.send(ResponseCancel(), 2.5)
    assert only(events, ResponseDone).response.status == "cancelled"
    assert types(events)[-2:] == ["rate_limits.updated", RUNNING[0]]
    assert client.server.next_due == 5.5
    assert call(client.take(5.5)).output == "Two pages."


def test_a_request_that_is_not_whole_is_not_made() -> None:
    client = Client(FOUND, tools=[DOCS_IF_ASKED], pacing=SLOW)
    client.respond()
    assert client.take(2.0) == []
    events = client.send(ResponseCancel())
    assert types(events) == ["response.done", "rate_limits.updated"]
    assert only(events, ResponseDone).response.output == ()


def test_tokens_of_arguments_count() -> None:
    client = Client(Reply.mcp("docs", "search", "a b c"), tools=[DOCS])
    events = client.send(ResponseCreate(response=ResponseConfig(max_output_tokens=2)))
    response = only(events, ResponseDone).response
    assert response.status == "incomplete"
    assert response.usage is not None
    assert response.usage.output_tokens == 2
    assert call(events).arguments == "a b"
    assert of_type(events, ResponseMcpCallInProgress) == []


def test_a_call_out_of_band_leaves_the_conversation_alone() -> None:
    client = Client(FOUND, tools=[DOCS])
    events = client.send(ResponseCreate(response=ResponseConfig(conversation="none")))
    expected = [name for name in (*CALLING, *RUNNING) if not name.startswith("conversation")]
    assert types(events) == expected


def test_a_request_out_of_band_cannot_be_approved() -> None:
    client = Client(FOUND, tools=[DOCS_IF_ASKED])
    events = client.send(ResponseCreate(response=ResponseConfig(conversation="none")))
    request = only(events, ResponseOutputItemDone).item
    assert isinstance(request, McpApprovalRequest)
    error = client.refused(
        ConversationItemCreate(
            item=McpApprovalResponse(approval_request_id=request.id, approve=True)
        )
    )
    assert error.code == "invalid_approval_request_id"


# --- refusals -------------------------------------------------------------------------------------

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
    client = Client()
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
    error = Client().refused(ResponseCreate(response=ResponseConfig(tools=tools)))
    assert (error.code, error.param) == (code, f"response.tools{param}")


def test_the_refusals_say_what_is_wrong() -> None:
    client = Client()

    def message(*tools: Tool) -> str:
        return client.refused(SessionUpdate(session=SessionConfig.of(tools=tools))).message

    assert message(DOCS, DOCS) == (
        "Invalid 'session.tools[1].server_label': the label 'docs' is used by another tool. Labels must be unique."
    )
    assert message(BARE) == "Missing required parameter: 'session.tools[0].server_url'."
    assert message(McpTool(server_label="docs", server_url=URL, tunnel_id=TUNNEL)) == (
        "Mutually exclusive parameters: 'session.tools[0].server_url' and 'session.tools[0].tunnel_id'."
    )


@pytest.mark.parametrize("headers", [None, {"X-Key": "y"}])
def test_authorization_goes_with_other_headers(headers: JsonObject | None) -> None:
    client = Client()
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
    client = Client(servers=[McpServer("docs", listing_delay=2.0)], tools=[DOCS])
    assert types(client.update(BARE)) == ["session.updated"]


def test_a_bare_label_of_a_server_that_could_not_be_listed_is_not_enough() -> None:
    error = Client(servers=[], tools=[DOCS]).refused(
        SessionUpdate(session=SessionConfig.of(tools=[BARE]))
    )
    assert error.param == "session.tools[0].server_url"


def test_a_response_that_is_refused_for_another_reason_lists_nothing() -> None:
    client = Client()
    error = client.refused(
        ResponseCreate(
            response=ResponseConfig(
                tools=(DOCS,), input=(UserMessage.text("hi"), ItemReference(id="x"))
            )
        )
    )
    assert error.param == "response.input[1].id"
    assert types(client.update(DOCS)) == ["session.updated", *LISTING]


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
