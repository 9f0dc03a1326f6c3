"""An answer on the terminal, while it streams and when it has ended."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from realtime_trio._runtime.hub import EventStream
from realtime_trio._session.voice import Session
from realtime_trio._state.costs import Usage
from realtime_trio._state.utility_events import AudioDelta, ItemUpdated, TextDelta, TranscriptDelta
from realtime_trio.audio import PCM_RATE
from realtime_trio.cli.terminal import complain, remark, stream
from realtime_trio.errors import ServerError, SessionClosed
from realtime_trio.events import ErrorDetail, ErrorEvent, Response, ResponseCreated, ResponseDone

AnswerEvent = ItemUpdated | ResponseCreated | ResponseDone | ErrorEvent
ANSWERING: Final = (ItemUpdated, ResponseCreated, ResponseDone, ErrorEvent)
"""The events that `print_answer` needs.

They come in one stream, and not by `open_response`: an error that names no request is printed, too,
between the words before it and the words after it.
"""


async def print_answer(
    events: EventStream[AnswerEvent],
    record: Callable[[NDArray[np.int16]], None] | None = None,
    *,
    begins: Callable[[], None] = lambda: None,
    aside: bool = False,
) -> tuple[Response, float]:
    """Print the next answer while it streams.

    Args:
        events: A stream of the events `ANSWERING`.
        record: Called with its speech, piece by piece: shape (n,), int16.
        begins: Called before anything is printed, and whenever there is an error.
        aside: Print it on standard error.

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
                    stream(text, aside=aside)
                case ItemUpdated(delta=AudioDelta() as piece):
                    samples += len(piece.samples)
                    if record is not None:
                        record(piece.samples)
                case ErrorEvent(error=error):
                    begins()
                    failure = failure_of(error)
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
            stream("\n", aside=aside)
    raise SessionClosed("the service closed the session before the answer was finished")


def failure_of(error: ErrorDetail) -> ServerError:
    """What a service has reported, as an exception."""
    return ServerError(
        error.message,
        type=error.type,
        code=error.code,
        param=error.param,
        event_id=error.event_id,
    )


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


def print_usage(session: Session, *, is_paid: bool) -> None:
    """Say in one line what a session took and cost, if anything.

    Args:
        session: It may have ended.
        is_paid: Whether the service is the one whose prices are known.
    """
    if session.usage.responses:
        remark(f"usage: {summary(session.usage, session.cost.total if is_paid else None)}")


def summary(usage: Usage, dollars: Decimal | None) -> str:
    """What a session took and cost, in one line; None if its price is not known."""
    taken = (
        f"{usage.input_tokens} tokens in ({usage.cached_tokens} cached), "
        f"{usage.output_tokens} tokens out"
    )
    if usage.transcription_tokens:
        taken += f", {usage.transcription_tokens} for transcripts"
    if usage.transcription_seconds:
        taken += f", {usage.transcription_seconds:.1f} s for transcripts"
    return taken if dollars is None else f"{taken}, ${dollars:.4f}"
