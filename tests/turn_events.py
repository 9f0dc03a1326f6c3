"""What servers say of turns, in short, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Final

from realtime_trio._state.turns.actions import Action, ResponseRequest, Send
from realtime_trio._state.turns.exchange import State
from realtime_trio._state.turns.machine import Turns
from realtime_trio._state.turns.run import METADATA_KEY
from realtime_trio.errors import SessionClosed
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemCreate,
    ErrorDetail,
    ErrorEvent,
    FunctionCall,
    FunctionCallOutput,
    InputAudioBufferCleared,
    InputAudioBufferCommitted,
    InputAudioBufferSpeechStarted,
    InputAudioBufferSpeechStopped,
    InputAudioBufferTimeoutTriggered,
    JsonObject,
    Response,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemDone,
    ResponseStatusDetails,
    ServerEvent,
    TurnDetection,
    UserMessage,
)

ALREADY_ACTIVE: Final = "conversation_already_has_active_response"

LOST: Final = SessionClosed("the line went dead")


def open_turns(turn_detection: TurnDetection | None = None) -> Turns:
    numbers = count(1)
    turns = Turns(lambda prefix: f"{prefix}{next(numbers)}")
    assert turns.configure(turn_detection) == ()
    return turns


def request(
    event_id: str | None,
    *,
    aside: bool = False,
    metadata: JsonObject | None = None,
    about: str | None = None,
) -> ResponseRequest:
    config = ResponseConfig(conversation="none" if aside else None, metadata=metadata)
    says = ConversationItemCreate(event_id=about, item=UserMessage.text("Hello!"))
    return ResponseRequest(
        ResponseCreate(event_id=event_id, response=config if aside or metadata else None),
        about=() if about is None else (says,),
    )


def state_of(turns: Turns) -> State:
    return turns.state


def sent(*actions: Action) -> list[str | None]:
    """What is sent: ids of creates and of what they are about, `cancel ID`."""
    said: list[str | None] = []
    for action in actions:
        match action:
            case Send(
                ResponseCreate(event_id=event_id) | ConversationItemCreate(event_id=event_id)
            ):
                said.append(event_id)
            case Send(ResponseCancel(response_id=response_id)):
                said.append(f"cancel {response_id}")
    return said


def created(
    response_id: str,
    answers: str | None = None,
    *,
    conversation: str | None = "conv",
    **metadata: str,
) -> ResponseCreated:
    if answers is not None:
        metadata[METADATA_KEY] = answers
    return ResponseCreated(
        event_id="event",
        response=Response(
            id=response_id,
            status="in_progress",
            metadata=metadata or None,
            conversation_id=conversation,
        ),
    )


def done(
    response_id: str, answers: str | None = None, *, reason: str | None = None
) -> ResponseDone:
    status, details = (
        ("completed", None)
        if reason is None
        else ("cancelled", ResponseStatusDetails(type="cancelled", reason=reason))
    )
    metadata = None if answers is None else {METADATA_KEY: answers}
    return ResponseDone(
        event_id="event",
        response=Response(id=response_id, status=status, status_details=details, metadata=metadata),
    )


def called(response_id: str, call_id: str, status: str = "completed") -> ResponseOutputItemDone:
    item = FunctionCall(name="look", arguments="{}", call_id=call_id, status=status)
    return ResponseOutputItemDone(
        event_id="event", response_id=response_id, output_index=0, item=item
    )


def acknowledged(call_id: str) -> ConversationItemAdded:
    return ConversationItemAdded(
        event_id="event", item=FunctionCallOutput(call_id=call_id, output="{}")
    )


def refusal(event_id: str | None, code: str | None = ALREADY_ACTIVE) -> ErrorEvent:
    return ErrorEvent(
        event_id="event",
        error=ErrorDetail(type="invalid_request_error", code=code, message="no", event_id=event_id),
    )


SPEECH_STARTED: Final = InputAudioBufferSpeechStarted(
    event_id="event", audio_start_ms=0, item_id="item"
)

SPEECH_STOPPED: Final = InputAudioBufferSpeechStopped(
    event_id="event", audio_end_ms=0, item_id="item"
)

COMMITTED: Final = InputAudioBufferCommitted(event_id="event", item_id="item")

CLEARED: Final = InputAudioBufferCleared(event_id="event")

TIMEOUT: Final = InputAudioBufferTimeoutTriggered(
    event_id="event", audio_start_ms=0, audio_end_ms=0, item_id="item"
)


def feed(turns: Turns, events: Iterable[ServerEvent]) -> tuple[Action, ...]:
    return tuple(action for event in events for action in turns.apply(event))


def ask(turns: Turns, event_id: str = "a") -> ResponseRequest:
    """Ask for a response that is sent at once."""
    wish = request(event_id)
    assert sent(*turns.want_response(wish)) == [event_id]
    return wish


def with_call_under_way(
    turn_detection: TurnDetection | None = None,
) -> tuple[Turns, ResponseRequest]:
    """Response `r`, the answer to request `a`, is done and has made call `c`."""
    turns = open_turns(turn_detection)
    wish = ask(turns)
    feed(turns, [created("r", "a"), called("r", "c"), done("r")])
    return turns, wish


# --- requests -------------------------------------------------------------------------------------


FULL: Final = {f"key{number}": "value" for number in range(16)}
