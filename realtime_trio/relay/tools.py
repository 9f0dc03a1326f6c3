"""The tools of a relay: functions that the model calls and the guest knows nothing of.

Owns what follows from a call for the session: the output, and one reply when all calls of a
response have theirs.  Who may finish a call is decided in `_state.open_calls`, when the model is to
reply in `_state.turns`, and how functions run in `_session.tool_calls`: all as in a session.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import trio
from attrs import field, frozen

from realtime_trio._legible import legible
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._runtime.nursery import ServiceNursery
from realtime_trio._session.patience import Patience
from realtime_trio._session.tool_calls import DEFAULT_OUTPUT_LIMIT, ToolLimits, ToolWorkers
from realtime_trio._session.tool_items import ToolItems
from realtime_trio._state.open_calls import ForSession, OpenCalls, PostOutput, Publish, TellModel
from realtime_trio._state.turns.actions import Actions, Send
from realtime_trio._state.turns.machine import Turns
from realtime_trio._state.utility_events import ToolApprovalRequested
from realtime_trio.events import (
    ClientEvent,
    ConversationItemCreate,
    FunctionCall,
    FunctionCallOutput,
    InputAudioBufferSpeechStarted,
    RealtimeSession,
    ResponseCreate,
    ResponseOutputItemDone,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
)
from realtime_trio.relay.grant import Grant
from realtime_trio.relay.guest_events import NotAllowedError
from realtime_trio.relay.policy import Policy
from realtime_trio.tools.registry import LocalTool
from realtime_trio.tools.schema import Injected

_logger = logging.getLogger("realtime_trio.relay")

_LIMITS: Final = ToolLimits(
    concurrency=8,
    timeout=30.0,
    approval_timeout=1.0,
    errors="type",
    output_limit=DEFAULT_OUTPUT_LIMIT,
)


@frozen(kw_only=True)
class RelayContext(Injected):
    """Annotate a parameter of a relay's tool with it to be told for whom the tool runs.

    The model does not see the parameter.
    """

    grant: Grant
    """What the guest may do, and who it is."""
    call: FunctionCall
    """The call: its id, and its arguments as the model wrote them."""
    deadline: float
    """When the tool will be stopped, as `trio.current_time()` counts; `math.inf` if never."""
    _report: Callable[[object], None] = field(repr=False)
    _respond_early: Callable[[object, bool | None], None] = field(repr=False)

    def respond_early(self, result: object, *, respond: bool | None = None) -> None:
        """Give the model the output of the call now, and go on working; as `ToolContext` has it."""
        self._respond_early(result, respond)


class RelayTools:
    """The tools of one session at work.

    Args:
        grant: With the tools.
        policy: Is told what to hide.
        services: Runs the functions.
        post: Sends a text to the service.
    """

    def __init__(
        self,
        grant: Grant,
        policy: Policy,
        services: ServiceNursery,
        *,
        post: Callable[[str], None],
        new_id: Callable[[str], str],
    ) -> None:
        self._grant = grant
        self._policy = policy
        self._post = post
        self._codec = Codec(Role.CLIENT)
        self._from_guest = Codec(Role.SERVER)
        self._turns = Turns(new_id)
        self._items = ToolItems(new_id)
        self._calls = OpenCalls()
        self._patience = Patience(self._turns, services, self._stop_waiting)
        self._workers = ToolWorkers(
            self._calls, services, _LIMITS, tell=self._tell, make_context=self._make_context
        )

    def see(self, text: str) -> None:
        """Take note of an event of the service, and act on it."""
        event = self._codec.decode(text)
        if not isinstance(event, ServerEvent):
            return
        match event:
            case SessionCreated(session=session) | SessionUpdated(session=session):
                self._configure(session)
            case InputAudioBufferSpeechStarted():
                self._workers.act(self._calls.interrupt(trio.current_time()))
        self._act(self._turns.apply(event))
        if isinstance(event, ResponseOutputItemDone):
            self._submit(event.item)

    def see_guest(self, text: str) -> None:
        """Take note of an event of the guest."""
        event = self._from_guest.decode(text)
        match event:
            case ConversationItemCreate(item=FunctionCallOutput(call_id=call_id)):
                # The guest asks for the response to its own tools itself.
                if self._turns.awaits(call_id):
                    self._act(self._turns.call_answered(call_id, respond=False))

    def heard_audio(self) -> None:
        """Take note of audio of the guest."""
        self._patience.heard_audio()

    def _configure(self, session: object) -> None:
        audio = session.audio if isinstance(session, RealtimeSession) else None
        if audio is not None and audio.input is not None:
            self._act(self._turns.configure(audio.input.turn_detection))

    def _submit(self, item: object) -> None:
        if not isinstance(item, FunctionCall) or item.status not in (None, "completed"):
            return
        tool = self._grant.tools.get(item.name)
        if isinstance(tool, LocalTool) and self._turns.awaits(str(item.call_id)):
            self._workers.act(self._calls.submit(item, tool, self._grant.tools))

    def _tell(self, action: ForSession) -> None:
        match action:
            case PostOutput(call_id, output, respond):
                self._send(*self._items.output(call_id, output))
                if self._turns.awaits(call_id):
                    self._act(self._turns.call_answered(call_id, respond=respond))
            case TellModel(call_id, news, attachments, respond):
                creates = self._items.news(news, attachments)
                self._send(*creates)
                if respond:
                    self._act(self._turns.news_told(call_id, str(creates[0].item.id)))
            case Publish(ToolApprovalRequested(call=FunctionCall() as call)):
                # There is nobody who could be asked.
                self._workers.act(
                    self._calls.reject(str(call.call_id), "a relay cannot ask anybody")
                )
            case Publish(event):
                _logger.debug("%s", type(event).__name__)

    def _send(self, *creates: ConversationItemCreate) -> None:
        for create in creates:
            if self._grant.hide_tools and create.item.id is not None:
                self._policy.hide_item(create.item.id)
            self._send_event(create)

    def _send_event(self, event: ClientEvent) -> None:
        if isinstance(event, ResponseCreate):
            try:
                event = self._policy.admit(event, trio.current_time())
            except NotAllowedError as error:
                # The turn is not given back: there is nothing left to be asked for.
                _logger.info("no reply to a tool of %s: %s", legible(self._grant.who), error)
                return
        self._post(self._policy.ask(event).text)

    def _act(self, actions: Actions) -> None:
        for action in actions:
            if isinstance(action, Send):
                self._send_event(action.event)
        self._patience.look()

    def _stop_waiting(self) -> None:
        self._act(self._turns.stop_waiting_for_user())

    def _make_context(
        self,
        *,
        call: FunctionCall,
        deadline: float,
        report: Callable[[object], None],
        respond_early: Callable[[object, bool | None], None],
    ) -> RelayContext:
        return RelayContext(
            grant=self._grant,
            call=call,
            deadline=deadline,
            report=report,
            respond_early=respond_early,
        )
