"""From what a server said to the replies that say it again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from realtime_trio.audio import G711_RATE, PCM_RATE, AudioData, resample
from realtime_trio.audio.track import PCM, samples_of
from realtime_trio.events import (
    AssistantMessage,
    ConversationItemInputAudioTranscriptionCompleted,
    ConversationItemInputAudioTranscriptionFailed,
    Event,
    FunctionCall,
    InputAudioBufferCommitted,
    Item,
    McpApprovalRequest,
    McpCall,
    McpListedTool,
    McpListTools,
    OutputAudio,
    OutputText,
    RealtimeSession,
    Response,
    ResponseDone,
    ResponseOutputAudioDelta,
    SessionCreated,
    SessionUpdated,
)
from realtime_trio.simulator.script.reply import Call, Failure, HostedCall, Message, Output, Reply


def replies_in(events: Sequence[Event]) -> list[Reply]:
    """Every response as a reply, in the order in which they ended."""
    spoken = _speech_in(events)
    # By what was called and not by id: a call that was approved ends in another item than the one
    # that asked for the approval.
    outcomes = {
        call.name + call.arguments: call
        for call in _items_in(events)
        if isinstance(call, McpCall) and _is_over(call)
    }
    return [
        _reply(event.response, spoken, outcomes)
        for event in events
        if isinstance(event, ResponseDone)
    ]


def transcripts_in(events: Sequence[Event]) -> list[str | None]:
    """What was understood of each committed piece of audio, in the order of the commits.

    None stands for a transcription that failed.  Audio that was not transcribed is left out.
    """
    heard: dict[str, str | None] = {}
    for event in events:
        match event:
            case ConversationItemInputAudioTranscriptionCompleted(
                item_id=item_id, transcript=words
            ):
                heard[item_id] = words
            case ConversationItemInputAudioTranscriptionFailed(item_id=item_id):
                heard[item_id] = None
            case _:
                pass
    # In the order of the commits, which is the order a script needs; transcripts may overtake each
    # other.
    return [
        heard[event.item_id]
        for event in events
        if isinstance(event, InputAudioBufferCommitted) and event.item_id in heard
    ]


def servers_in(events: Sequence[Event]) -> dict[str, tuple[McpListedTool, ...]]:
    """The tools of every MCP server, by its label, as they were listed last."""
    return {
        item.server_label: item.tools
        for item in _items_in(events)
        # Empty while the listing is in progress, and when it has failed.
        if isinstance(item, McpListTools) and item.tools
    }


def _items_in(events: Iterable[Event]) -> Iterable[Item]:
    return (item for event in events if (item := getattr(event, "item", None)) is not None)


def _is_over(call: McpCall) -> bool:
    return call.output is not None or call.error is not None


def _speech_in(events: Iterable[Event]) -> dict[str, AudioData]:
    """What was spoken of each item: PCM at 24 kHz."""
    encoding = PCM
    pieces: dict[str, list[bytes]] = {}
    encodings: dict[str, str] = {}
    for event in events:
        match event:
            case (
                SessionCreated(session=RealtimeSession(audio=audio))
                | SessionUpdated(session=RealtimeSession(audio=audio))
            ):
                output = audio.output if audio is not None else None
                encoding = (
                    output.format.type
                    if output is not None and output.format is not None and output.format.type
                    else encoding
                )
            case ResponseOutputAudioDelta(item_id=item_id, delta=delta):
                # The encoding at that time: a session may change it between two responses.
                pieces.setdefault(item_id, []).append(delta.data)
                encodings[item_id] = encoding
            case _:
                pass
    return {
        item_id: _as_pcm(b"".join(data), encodings[item_id]) for item_id, data in pieces.items()
    }


def _as_pcm(data: bytes, encoding: str) -> AudioData:
    samples = samples_of(AudioData(data), encoding)
    return AudioData.of(samples if encoding == PCM else resample(samples, G711_RATE, PCM_RATE))


def _reply(response: Response, spoken: dict[str, AudioData], outcomes: dict[str, McpCall]) -> Reply:
    outputs = [
        output
        for item in response.output
        if (output := _output(item, spoken, outcomes)) is not None
    ]
    error = (
        response.status_details.error
        if response.status == "failed" and response.status_details is not None
        else None
    )
    failure = (
        None
        if error is None
        else Failure(error.code, error.message or "", error.type or "server_error")
    )
    return Reply(outputs=tuple(outputs), failure=failure)


def _output(
    item: Item, spoken: dict[str, AudioData], outcomes: dict[str, McpCall]
) -> Output | None:
    match item:
        case AssistantMessage(content=parts):
            # Joined, since a reply says a message in one part.
            words = (
                part.text if isinstance(part, OutputText) else part.transcript
                for part in parts
                if isinstance(part, OutputText | OutputAudio)
            )
            return Message("".join(filter(None, words)), audio=spoken.get(item.id or ""))
        case FunctionCall(name=name, arguments=arguments, call_id=call_id):
            return Call(name, arguments, call_id)
        case McpCall(server_label=label, name=name, arguments=arguments):
            # In the response the call may still be running; its output comes after it.
            ended = outcomes.get(name + arguments, item)
            return HostedCall(
                label, name, arguments, output=ended.output or "", error=ended.error, approval=False
            )
        case McpApprovalRequest(server_label=label, name=name, arguments=arguments):
            # Not approved in the recording, but perhaps by the client that is here: then with an
            # empty output.
            approved = outcomes.get(name + arguments)
            output, error = (
                ("", None) if approved is None else (approved.output or "", approved.error)
            )
            return HostedCall(label, name, arguments, output=output, error=error, approval=True)
        case _:
            return None
