"""Rules about responses as a whole: one after the other, from the creation to the end."""

from __future__ import annotations

from typing import Final

from realtime_trio._order.wire_log import Complaints, LoggedResponse, WireLog, status_of
from realtime_trio.events import (
    Event,
    McpCall,
    McpListToolsCompleted,
    McpListToolsFailed,
    McpListToolsInProgress,
    RateLimitsUpdated,
    ResponseCreated,
    ResponseDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
    ResponseOutputItemDone,
)


def responses_begin_and_end(so_far: WireLog, event: Event) -> Complaints:
    """`response.created` is a response's first event and `response.done` its last.

    Only calls of MCP tools go on.
    """
    match event:
        case ResponseCreated(response=response):
            if response.id in so_far.responses:
                yield f"response {response.id} was created before"
            return
        case ResponseDone(response=response):
            response_id: str | None = response.id
        # The output is done when the tool has returned, which is after the response.
        case ResponseOutputItemDone(item=McpCall()):
            return
        case _ if event.type.startswith("response."):
            response_id = getattr(event, "response_id", None)
        case _:
            return
    # The events about a running MCP call do not name a response, for the same reason.
    if response_id is None:
        return
    logged = so_far.responses.get(response_id)
    if logged is None:
        yield f"{event.type} is about response {response_id}, which was never created"
    elif logged.is_done:
        yield f"{event.type} comes after response {response_id} was done"


def one_response_at_a_time(so_far: WireLog, event: Event) -> Complaints:
    """The conversation has one active response.

    Responses out of band have no conversation, and may run beside it.
    """
    if (
        isinstance(event, ResponseCreated)
        and event.response.conversation_id is not None
        and so_far.active is not None
    ):
        yield f"response {event.response.id} is created while {so_far.active.id} is active"


_REASONS: Final = {
    "cancelled": ("turn_detected", "client_cancelled"),
    "incomplete": ("max_output_tokens", "content_filter"),
}


def responses_say_how_they_end(_: WireLog, event: Event) -> Complaints:
    """A response is created in progress and empty; in the end it says why it is not complete."""
    match event:
        case ResponseCreated(response=response):
            if response.status != "in_progress" or response.output or response.usage is not None:
                yield (
                    f"response {response.id} is created with status {response.status}; "
                    "it should be in progress, without output and usage"
                )
        case ResponseDone(response=response):
            details = response.status_details
            match response.status:
                case "completed":
                    if details is not None:
                        yield (
                            f"response {response.id} is completed, "
                            "but has details of another status"
                        )
                case "cancelled" | "incomplete" as status:
                    if (
                        details is None
                        or details.type != status
                        or details.reason not in _REASONS[status]
                    ):
                        yield (
                            f"response {response.id} is {status} and does not say why: "
                            f"one of {', '.join(_REASONS[status])}"
                        )
                case "failed":
                    if details is None or details.type != "failed" or details.error is None:
                        yield f"response {response.id} failed and does not say why"
                case status:
                    yield f"response {response.id} is done with status {status}"


def responses_close_what_they_opened(so_far: WireLog, event: Event) -> Complaints:
    """When a response is done, however it ends, its outputs are done, and it lists them all.

    Only calls of MCP tools may go on.
    """
    if (
        not isinstance(event, ResponseDone)
        or (logged := so_far.responses.get(event.response.id)) is None
    ):
        return
    for output in logged.outputs:
        if not output.is_done and not isinstance(output.item, McpCall):
            yield f"response {logged.id} is done, but its output {output.index} is not"
    yield from _listed(logged, event)
    if event.response.status == "completed":
        for item in event.response.output:
            # None: items that the service runs itself, such as MCP calls, have no status.
            if status_of(item) not in (None, "completed"):
                yield f"response {logged.id} is completed, but item {item.id} is {status_of(item)}"


def _listed(logged: LoggedResponse, event: ResponseDone) -> Complaints:
    told, listed = (
        [output.item.id for output in logged.outputs],
        [item.id for item in event.response.output],
    )
    if told != listed:
        yield f"response {logged.id} had the outputs {told} and lists {listed}"


def rate_limits_follow_responses(so_far: WireLog, event: Event) -> Complaints:
    """`rate_limits.updated` comes after `response.done`, once for each."""
    # As observed.  The specification puts it at the start; and the service may leave it out, so
    # nothing is said when it does not come.
    if isinstance(event, RateLimitsUpdated) and so_far.rate_limits_due <= 0:
        yield "no response was done since the rate limits were told"


def tools_are_listed_once(so_far: WireLog, event: Event) -> Complaints:
    """The listing of an MCP server's tools is in progress, and then completed or failed."""
    match event:
        case McpListToolsInProgress():
            if event.item_id in so_far.tool_lists:
                yield f"the listing {event.item_id} began before"
        case McpListToolsCompleted() | McpListToolsFailed():
            if (state := so_far.tool_lists.get(event.item_id)) != "in_progress":
                yield f"{event.type} for the listing {event.item_id}, which " + (
                    "never began" if state is None else "has ended"
                )


def mcp_calls_run_after_their_response(so_far: WireLog, event: Event) -> Complaints:
    """A call of an MCP tool has its arguments, is in progress, and is completed or fails.

    It is completed after its response is done.
    """
    if not isinstance(
        event, ResponseMcpCallInProgress | ResponseMcpCallCompleted | ResponseMcpCallFailed
    ):
        return
    output, entry = so_far.outputs.get(event.item_id), so_far.items.get(event.item_id)
    # A call that had to be approved is an item of the conversation, and not an output of a
    # response.
    item = output.item if output is not None else entry.item if entry is not None else None
    if not isinstance(item, McpCall):
        # What becomes of a call whose item is deleted is not documented.
        if event.item_id not in so_far.deleted:
            yield f"{event.type} is about item {event.item_id}, which is not a call of an MCP tool"
        return
    state = so_far.tool_calls.get(event.item_id)
    if isinstance(event, ResponseMcpCallInProgress):
        if output is not None and output.arguments.whole is None:
            yield f"the call {event.item_id} is made before its arguments were stated"
        if state is not None:
            yield f"the call {event.item_id} was made before"
        return
    if state != "in_progress":
        yield f"{event.type} for the call {event.item_id}, which is {state or 'not being made'}"
    if (
        isinstance(event, ResponseMcpCallCompleted)
        and output is not None
        and not output.response.is_done
    ):
        yield f"the call {event.item_id} is completed before its response is done"
