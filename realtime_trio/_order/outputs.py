"""Rules about the outputs of a response: their brackets, and what is between them."""

from __future__ import annotations

from typing import Final, cast

from realtime_trio._order.wire_log import Complaints, LoggedOutput, WireLog
from realtime_trio.events import (
    AssistantMessage,
    ConversationItemAdded,
    ConversationItemDone,
    Event,
    FunctionCall,
    Item,
    McpCall,
    OutputAudio,
    OutputText,
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
)


def outputs_are_numbered(so_far: WireLog, event: Event) -> Complaints:
    """The outputs of a response are numbered 0, 1, ... in the order in which they are added."""
    if isinstance(event, ResponseOutputItemAdded):
        expected = (
            len(so_far.responses[event.response_id].outputs)
            if event.response_id in so_far.responses
            else 0
        )
        if event.output_index != expected:
            yield (
                f"item {event.item.id} has output_index {event.output_index}; "
                f"it should be {expected}"
            )


def outputs_keep_their_order(so_far: WireLog, event: Event) -> Complaints:
    """An output is added to its response, then to the conversation, and gets its content.

    It is done in the conversation, and then in its response.
    """
    match event:
        case ResponseOutputItemAdded():
            if event.item.id in so_far.outputs:
                yield f"output {event.item.id} was added before"
        case ConversationItemAdded() if output := so_far.outputs.get(event.item.id or ""):
            if not output.response.is_default:
                yield (
                    f"item {event.item.id} joins the conversation, but its response is out of band"
                )
            elif not output.is_empty or output.is_done:
                yield (f"item {event.item.id} is added to the conversation after its content began")
        case ConversationItemDone() if output := so_far.outputs.get(event.item.id or ""):
            if output.is_done and not isinstance(event.item, McpCall):
                yield (
                    f"item {event.item.id} is done in the conversation "
                    "after it was done in the response"
                )
            yield from _left_open(output)
        case ResponseOutputItemDone():
            output = so_far.outputs.get(event.item.id or "")
            if output is None:
                yield f"output {event.item.id} is done, but was never added"
                return
            yield from _of_its_response(output, event.response_id, event.output_index)
            if output.is_done and not isinstance(event.item, McpCall):
                yield f"output {event.item.id} was done before"
            elif (
                output.response.is_default
                and output.final is None
                and not isinstance(event.item, McpCall)
            ):
                yield f"output {event.item.id} is done before conversation.item.done"
            # Otherwise this was said when it was done in the conversation.
            if output.final is None:
                yield from _left_open(output)
        case _ if _is_content(event):
            yield from _content_in_place(so_far, event)


def _content_in_place(so_far: WireLog, event: Event) -> Complaints:
    item_id = str(getattr(event, "item_id", ""))
    output = so_far.outputs.get(item_id)
    if output is None:
        yield f"{event.type} is about item {item_id}, which is not an output of a response"
        return
    yield from _of_its_response(
        output, getattr(event, "response_id", None), cast("int", getattr(event, "output_index", 0))
    )
    if output.is_done or output.final is not None:
        yield f"{event.type} comes after item {item_id} is done"
    elif output.response.is_default and not output.is_joined:
        yield f"{event.type} comes before item {item_id} is added to the conversation"


def _of_its_response(output: LoggedOutput, response_id: str | None, index: int) -> Complaints:
    # The events about a running MCP call do not name the response.
    if response_id is not None and (response_id, index) != (output.response.id, output.index):
        yield (
            f"item {output.item.id} is output {output.index} of {output.response.id}, "
            f"not {index} of {response_id}"
        )


_CONTENT: Final = (
    ResponseContentPartAdded,
    ResponseContentPartDone,
    ResponseOutputTextDelta,
    ResponseOutputTextDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputAudioTranscriptDelta,
    ResponseOutputAudioTranscriptDone,
    ResponseFunctionCallArgumentsDelta,
    ResponseFunctionCallArgumentsDone,
    ResponseMcpCallArgumentsDelta,
    ResponseMcpCallArgumentsDone,
)


def _is_content(event: Event) -> bool:
    return isinstance(event, _CONTENT)


def _left_open(output: LoggedOutput) -> Complaints:
    for index, part in output.parts.items():
        if not part.is_done:
            yield f"part {index} of item {output.item.id} is still open"
    if isinstance(output.item, FunctionCall | McpCall) and output.arguments.whole is None:
        yield f"the arguments of item {output.item.id} are still open"


def parts_keep_their_order(so_far: WireLog, event: Event) -> Complaints:
    """A part is added, gets its deltas, each stream of them is done once, and then the part is."""
    item_id, index = getattr(event, "item_id", None), getattr(event, "content_index", None)
    if not _is_content(event) or item_id is None or index is None:
        return
    part, name = so_far.part(item_id, index), f"part {index} of item {item_id}"
    if isinstance(event, ResponseContentPartAdded):
        if part is not None and part.is_added:
            yield f"{name} was added before"
        return
    if part is None or not part.is_added:
        yield f"{event.type} comes before {name} was added"
        return
    if part.is_done:
        yield f"{event.type} comes after {name} was done"
        return
    # Text has one stream of deltas, speech has two: audio and transcript may end in either order,
    # and the part after both.
    is_text = part.kind == "text"
    match event:
        case ResponseOutputTextDelta() | ResponseOutputTextDone() if not is_text:
            yield f"{event.type} for {name}, which is {part.kind}"
        case ResponseOutputAudioDelta() | ResponseOutputAudioDone() if (
            is_text or part.is_audio_done
        ):
            yield f"{event.type} for {name}, " + (
                "which is text" if is_text else "whose audio is done"
            )
        case ResponseOutputAudioTranscriptDelta() | ResponseOutputAudioTranscriptDone() if is_text:
            yield f"{event.type} for {name}, which is text"
        case ResponseContentPartDone():
            if part.words.whole is None:
                yield f"{name} is done before its {'text' if is_text else 'transcript'}"
            if not is_text and not part.is_audio_done:
                yield f"{name} is done before its audio"
        case _ if part.words.whole is not None and not isinstance(
            event, ResponseOutputAudioDelta | ResponseOutputAudioDone
        ):
            yield f"{event.type} comes after the words of {name} were stated as a whole"


def arguments_keep_their_order(so_far: WireLog, event: Event) -> Complaints:
    """The arguments of a call come in deltas and are then stated once.

    Nothing else has arguments, and calls have no parts.
    """
    if (
        not _is_content(event)
        or (output := so_far.outputs.get(str(getattr(event, "item_id", "")))) is None
    ):
        return
    match event:
        case ResponseFunctionCallArgumentsDelta() | ResponseFunctionCallArgumentsDone():
            fits = isinstance(output.item, FunctionCall)
        case ResponseMcpCallArgumentsDelta() | ResponseMcpCallArgumentsDone():
            fits = isinstance(output.item, McpCall)
        case _:
            if isinstance(output.item, FunctionCall | McpCall):
                yield f"{event.type} for item {output.item.id}, which is a {output.item.type}"
            return
    if not fits:
        yield f"{event.type} for item {output.item.id}, which is a {output.item.type}"
    elif output.arguments.whole is not None:
        yield f"{event.type} comes after the arguments of item {output.item.id} were stated"


def deltas_add_up(so_far: WireLog, event: Event) -> Complaints:
    """A whole is the sum of the pieces before it, and every later statement of it is the same."""
    match event:
        case (
            ResponseOutputTextDone(text=whole) | ResponseOutputAudioTranscriptDone(transcript=whole)
        ):
            part = so_far.part(event.item_id, event.content_index)
            if part is not None and whole != part.words.joined:
                yield _different(event, event.item_id, whole, part.words.joined)
        case (
            ResponseFunctionCallArgumentsDone(arguments=whole)
            | ResponseMcpCallArgumentsDone(arguments=whole)
        ):
            output = so_far.outputs.get(event.item_id)
            if output is not None and whole != output.arguments.joined:
                yield _different(event, event.item_id, whole, output.arguments.joined)
        case ResponseContentPartDone(item_id=item_id):
            part = so_far.part(item_id, event.content_index)
            words = event.part.text if event.part.text is not None else event.part.transcript
            if (
                part is not None
                and words is not None
                and part.words.whole is not None
                and words != part.words.whole
            ):
                yield _different(event, item_id, words, part.words.whole)
        case ConversationItemDone(item=item) | ResponseOutputItemDone(item=item):
            yield from _same_words(so_far, event, item)
        case ResponseDone(response=response):
            for item in response.output:
                yield from _same_words(so_far, event, item)


def _same_words(so_far: WireLog, event: Event, item: Item) -> Complaints:
    output = so_far.outputs.get(item.id or "")
    if output is None:
        return
    if isinstance(item, FunctionCall | McpCall):
        whole = output.arguments.whole
        if whole is not None and item.arguments != whole:
            yield _different(event, item.id, item.arguments, whole)
    elif isinstance(item, AssistantMessage):
        for index, part in output.parts.items():
            content = item.content[index] if index < len(item.content) else None
            match content:
                case OutputText(text=words) | OutputAudio(transcript=str(words)):
                    if part.words.whole is not None and words != part.words.whole:
                        yield _different(event, item.id, words, part.words.whole)
                # A part without words is fine, a part that is missing is not.
                case None:
                    yield f"{event.type} shows item {item.id} without its part {index}"


def _different(event: Event, item_id: str | None, whole: str, told: str) -> str:
    return f"{event.type} says {_short(whole)} for item {item_id}, but before it was {_short(told)}"


def _short(text: str) -> str:
    # Both ends of it: what differs is mostly at the end.
    return repr(text) if len(text) <= 60 else repr(text[:28] + "..." + text[-28:])
