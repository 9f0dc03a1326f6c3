"""An answer on the terminal, while it streams and when it has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from realtime_trio._runtime.hub import EventStream
from realtime_trio._state.utility_events import AudioDelta, ItemUpdated, TextDelta, TranscriptDelta
from realtime_trio.audio import PCM_RATE, WavWriter
from realtime_trio.cli.terminal import complain, remark, stream
from realtime_trio.errors import ServerError, SessionClosed
from realtime_trio.events import ErrorEvent, Response, ResponseCreated, ResponseDone, ResponseUsage

AnswerEvent = ItemUpdated | ResponseCreated | ResponseDone | ErrorEvent
ANSWERING: Final = (ItemUpdated, ResponseCreated, ResponseDone, ErrorEvent)
"""The events that `print_answer` needs.

They come in one stream, and not by `open_response`: an error that names no request is printed, too,
between the words before it and the words after it.
"""


async def print_answer(
    events: EventStream[AnswerEvent],
    recording: WavWriter | None = None,
    begins: Callable[[], None] = lambda: None,
) -> tuple[Response, float]:
    """Print the next answer while it streams.

    Args:
        events: A stream of the events `ANSWERING`.
        recording: A file to append the speech to.
        begins: Called before anything is printed, and whenever there is an error.

    Returns:
        The finished response, and the duration of its speech in seconds.

    Raises:
        ServerError: An error came before the answer had begun, so there will be none.
        SessionClosed: The service closed the session before the answer was finished.
    """
    has_begun, has_text, samples = False, False, 0
    try:
        async for event in events:
            match event:
                case ResponseCreated():
                    has_begun = True
                case ItemUpdated(delta=TextDelta(text) | TranscriptDelta(text)):
                    if not has_text:
                        begins()
                    has_text = True
                    stream(text)
                case ItemUpdated(delta=AudioDelta() as piece):
                    samples += len(piece.samples)
                    if recording is not None:
                        recording.append(piece.samples)
                case ErrorEvent(error=error):
                    begins()
                    failure = ServerError(
                        error.message,
                        type=error.type,
                        code=error.code,
                        param=error.param,
                        event_id=error.event_id,
                    )
                    # Before the answer has begun, an error means that it never will.  Services do
                    # not always say which request an error is about, so that is not looked at.
                    if not has_begun:
                        raise failure
                    complain(str(failure))
                case ResponseDone(response=response):
                    return response, samples / PCM_RATE
                case _:
                    pass
    finally:
        # Also where the answer breaks off: the next remark should begin on a line of its own.
        if has_text:
            stream("\n")
    raise SessionClosed("the service closed the session before the answer was finished")


def went_well(response: Response) -> bool:
    """Say how a response ended, unless it completed; return False if it failed."""
    details = response.status_details
    match response.status:
        case "failed":
            error = details.error if details is not None else None
            why = (
                []
                if error is None
                else [part for part in (error.code or error.type, error.message) if part]
            )
            complain(": ".join(["the response failed", *why]))
            return False
        # Half an answer is an answer: something was said, and the exit code stays 0.
        case "incomplete" | "cancelled" as status:
            why = [] if details is None or details.reason is None else [details.reason]
            remark(": ".join([f"the answer is {status}", *why]))
        case _:
            pass
    return True


def summary(usage: ResponseUsage) -> str:
    """What a response cost, in one line."""
    cached = usage.input_token_details.cached_tokens if usage.input_token_details is not None else 0
    return f"{usage.input_tokens} tokens in ({cached} cached), {usage.output_tokens} tokens out"
