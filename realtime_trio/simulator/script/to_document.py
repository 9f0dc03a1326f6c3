"""What a server said, as a script file that lets the simulator say it again.

The counterpart of `script_file`, which reads such documents.  A script file names WAV files and
holds no audio, so that what was spoken is left to the simulator's own voice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from realtime_trio._protocol.json_text import parse_json
from realtime_trio.events import (
    Event,
    McpHttpError,
    McpListedTool,
    McpProtocolError,
    McpToolExecutionError,
)
from realtime_trio.simulator.script.from_recording import replies_in, servers_in, transcripts_in
from realtime_trio.simulator.script.reply import Call, Failure, HostedCall, Message, Output, Reply

Document = dict[str, object]


def document_of(events: Sequence[Event]) -> Document:
    """The script of a session, as plain values that `parse_script` reads.

    Args:
        events: What the server sent, in order.  What came in pieces is told again when it is whole,
            so that deltas may be left out.

    Returns:
        Only the keys that something stands behind; an empty document if nothing was said.
    """
    servers = servers_in(events)
    members: Document = {
        "replies": [_reply(reply) for reply in replies_in(events)],
        "transcripts": transcripts_in(events),
        "mcp_servers": [_server(label, tools) for label, tools in servers.items()],
    }
    return {key: value for key, value in members.items() if value}


def _reply(reply: Reply) -> Document:
    steps = [step for output in reply.outputs for step in _output(output)]
    if reply.failure is not None:
        steps.append({"fail": _failure(reply.failure)})
    # A response that said nothing is one, too.
    first, *rest = steps or [{"calls": []}]
    return {**first, "then": rest} if rest else first


def _output(output: Output) -> list[Document]:
    match output:
        case Message(text=text):
            return [{"text": text}]
        case Call():
            return [{"call": _call(output)}]
        case HostedCall():
            return [{"mcp": _hosted(output)}]


def _call(call: Call) -> Document:
    members: Document = {"name": call.name}
    if call.arguments:
        members["arguments"] = _arguments(call.arguments)
    if call.call_id:
        members["call_id"] = call.call_id
    return members


def _hosted(call: HostedCall) -> Document:
    members: Document = {"server_label": call.server_label, "name": call.name}
    if call.arguments:
        members["arguments"] = _arguments(call.arguments)
    if call.output:
        members["output"] = call.output
    match call.error:
        case McpToolExecutionError(message=message):
            members["error"] = message
        case (McpProtocolError() | McpHttpError()) as error:
            members["error"] = {error.type: {"code": error.code, "message": error.message}}
        case _:
            pass
    if call.approval is not None:
        members["approval"] = call.approval
    if call.duration:
        members["duration"] = call.duration
    return members


def _arguments(written: str) -> object:
    """Arguments as somebody would write them into a file: an object, or a text that is broken."""
    try:
        read: object = parse_json(written)
    except ValueError:
        return written
    return read if isinstance(read, Mapping) else written


def _failure(failure: Failure) -> Document:
    return {"code": failure.code, "message": failure.message, "type": failure.type}


def _server(label: str, tools: Sequence[McpListedTool]) -> Document:
    return {"label": label, "tools": [_tool(tool) for tool in tools]}


def _tool(tool: McpListedTool) -> Document:
    members: Document = {"name": tool.name, "input_schema": tool.input_schema}
    if tool.description is not None:
        members["description"] = tool.description
    if tool.annotations is not None:
        members["annotations"] = tool.annotations
    return members
