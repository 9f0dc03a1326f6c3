"""A voice session: everything one can do with it.

Owns the meaning of a voice session's events, its configuration, and which tools the model has.  How
events travel is in `base`, how the user's audio gets to the server in `input_audio`, how responses
are asked for in `responding`, what they may cost in `limited`, and how tools are run in
`tool_calls`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Unpack

import attrs
import trio

from realtime_trio import _elsewhere
from realtime_trio._misuse import check_kind, kind_of
from realtime_trio._session.approvals import HostedApprovals
from realtime_trio._session.lasting.session import LastingSession
from realtime_trio._session.link import Phase
from realtime_trio._session.parts import SessionParts
from realtime_trio._session.tool_calls import MakeContext, ToolLimits, ToolWorkers
from realtime_trio._session.tool_changes import ToolChanges
from realtime_trio._session.tool_items import ToolItems
from realtime_trio._state.acknowledgements import Pending
from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio._state.conversation.reducer import Conversation
from realtime_trio._state.conversation.size import HistoryLimit
from realtime_trio._state.mcp import McpActivity
from realtime_trio._state.offered_tools import OfferedTools
from realtime_trio._state.open_calls import ForSession, OpenCalls, PostOutput, Publish, TellModel
from realtime_trio._state.reactions import Reactions, Room
from realtime_trio._state.turns.actions import Send
from realtime_trio._state.turns.machine import Turns
from realtime_trio._state.utility_events import (
    Interrupted,
    ItemDeleted,
    ToolApprovalRequested,
    ToolCallRequested,
)
from realtime_trio.connection import OpenTransport, check_options
from realtime_trio.errors import LocalProtocolError, ServerError
from realtime_trio.events import (
    UNSET,
    ConversationItemCreate,
    Event,
    FunctionCall,
    FunctionCallOutput,
    InputImage,
    McpApprovalRequest,
    McpApprovalResponse,
    RateLimit,
    RealtimeSession,
    ResponseCancel,
    ResponseConfig,
    ResponseCreate,
    SessionConfig,
    SessionCreated,
    SessionSettings,
    SessionUpdate,
    SessionUpdated,
    Tool,
    Unset,
)
from realtime_trio.tools.registry import AnyTool, LocalTool, ToolRegistry, several
from realtime_trio.tools.results import ToolOutput

if TYPE_CHECKING:
    from realtime_trio._session.lasting import policy
    from realtime_trio._state.conversation import restoring
else:
    policy = _elsewhere.module("realtime_trio._session.lasting.policy")
    restoring = _elsewhere.module("realtime_trio._state.conversation.restoring")


class Session(LastingSession):
    """A conversation with the service.  Made by `open_session`; usable from any number of tasks."""

    _omissions: tuple[restoring.Omission, ...] = ()

    def __init__(
        self,
        parts: SessionParts,
        *,
        tools: ToolRegistry,
        tool_limits: ToolLimits,
        make_context: Callable[[Session], MakeContext],
    ) -> None:
        super().__init__(parts)
        self._mcp = McpActivity()
        self._offered = OfferedTools(tools)
        self._changes = ToolChanges(self._offered)
        self._calls = OpenCalls()
        self._items = ToolItems(parts.new_id)
        self._workers = ToolWorkers(
            self._calls,
            parts.services,
            tool_limits,
            tell=self._act_on_call,
            make_context=make_context(self),
        )
        self._approvals = HostedApprovals(
            parts.services,
            tool_limits.approval_timeout,
            partial(self._expire, tool_limits.nobody_approved),
        )

    # --- looking ----------------------------------------------------------------------------------

    @property
    def rate_limits(self) -> Mapping[str | None, RateLimit]:
        """The account's limits as last reported, by name (`tokens`, `requests`)."""
        return self._costs.rate_limits

    @property
    def tools(self) -> tuple[LocalTool[..., object] | Tool, ...]:
        """The tools of the session: functions, and definitions of tools that run elsewhere."""
        return tuple(self._offered.registry)

    @property
    def open_calls(self) -> tuple[FunctionCall, ...]:
        """Calls of the session's own tools that wait, run or await approval, the oldest first."""
        return self._calls.calls

    @property
    def omissions(self) -> tuple[restoring.Omission, ...]:
        """What of the `history` given to `open_session` is not in this one, or not as it was."""
        return self._omissions

    # --- configuring ------------------------------------------------------------------------------

    async def update(
        self,
        config: SessionConfig | None = None,
        *,
        tools: Iterable[Tool] | Unset = UNSET,
        **settings: Unpack[SessionSettings],
    ) -> RealtimeSession:
        """Change the configuration and wait until the server has taken it.

        Only what differs from the present configuration is sent; None clears where the setting
        allows it.

        Args:
            config: The change as the protocol nests it.
            tools: Definitions without a function, to take the place of the present ones.  Tools
                with a function stay: see `set_tools`.
            **settings: The change as flat keywords instead of `config`:
                `update(voice="marin", turn_detection=None)`.

        Returns:
            The whole effective configuration.

        Raises:
            ServerError: The server refused, and then changed nothing; `param` says what was wrong.
            LocalProtocolError, TypeError: The change is not a configuration, does not fit the
                protocol, gives two tools one name, or changes the voice after the model has spoken;
                nothing was sent.
            RemoteProtocolError: The server's answer could not be read.
            SessionClosed: The session ended before the answer came.

        Cancellation: before the change was queued nothing was sent; afterwards it takes effect all
            the same.
        """
        if config is None:
            check_options(settings, SessionSettings, function=self.update)
            config = SessionConfig.of(tools=_definitions(tools), **settings)
        elif not isinstance(config, SessionConfig):
            raise TypeError(
                'update() takes a SessionConfig or keywords such as voice="marin", '
                f"not {kind_of(config)}"
            )
        elif settings or not isinstance(tools, Unset):
            raise TypeError("update() takes either a SessionConfig or keywords, not both")
        # Before anything is compared: what it holds may be of any type.
        self._codec.encode(SessionUpdate(session=config))
        if isinstance(config.tools, Unset):
            return await self._configure(config, None)
        async with self._changes.one_at_a_time:
            return await self._configure(
                config, self._offered.registry.with_definitions(config.tools)
            )

    async def _configure(
        self, config: SessionConfig, tools: ToolRegistry | None
    ) -> RealtimeSession:
        """Bring the server to a configuration, and these tools with it."""
        if tools is not None:
            config = attrs.evolve(config, tools=tools.definitions)
        # All waiting comes first: what is compared, sent and put in place below belongs together.
        await self._wait_to_speak()
        change = config.changes_from(self.config)
        if change is not None:
            self._check_voice(change)
        if self._acknowledgements.awaits(SessionUpdate):
            # What will be in force when this arrives is not known, so all of it is sent.
            change = config
        if change is None:
            if tools is not None:
                self._offered.begin_with(tools)
            return self.config
        update = self._named(SessionUpdate(session=change))
        pending = self._enqueue(update, self._codec.encode(update))
        assert pending is not None
        if tools is not None:
            # In the same step: the model may call them before anybody sees the acknowledgement.
            self._changes.offer(tools, pending)
        answer = await self._wait_for_ack(pending)
        assert isinstance(answer, SessionUpdated)
        return answer.session if isinstance(answer.session, RealtimeSession) else self.config

    def _check_voice(self, change: SessionConfig) -> None:
        output = change.audio.output if change.audio else UNSET
        if output and output.voice and any(_has_spoken(item) for item in self._conversation.items):
            raise LocalProtocolError(
                "the voice cannot change any more: "
                "the model has spoken with another one in this session"
            )

    # --- tools ------------------------------------------------------------------------------------

    async def add_tool(self, added: AnyTool) -> None:
        """Give the model one more tool and wait until the server has taken it.

        Args:
            added: A tool, a plain function, or a definition that somebody else answers for.

        Raises:
            LocalProtocolError: There is one of this name already, or it is a method without an
                object; nothing was sent.
            ToolDefinitionError: A plain function cannot be a tool; nothing was sent.
            ServerError, SessionClosed: As for `update`.
        """
        async with self._changes.one_at_a_time:
            tools = self._offered.registry.copy()
            tools.add(added)
            await self._configure(SessionConfig(), tools)

    async def remove_tool(self, name: str) -> None:
        """Take a tool from the model and wait until the server has taken note.

        Calls of it that run already are answered by it, later ones are not.

        Raises:
            LocalProtocolError: There is none of this name; nothing was sent.
            ServerError, SessionClosed: As for `update`.
        """
        async with self._changes.one_at_a_time:
            tools = self._offered.registry.copy()
            tools.remove(name)
            await self._configure(SessionConfig(), tools)

    async def set_tools(self, tools: Iterable[AnyTool]) -> None:
        """Give the model exactly these tools and wait until the server has taken them.

        If it has them already, nothing is sent.

        Raises:
            LocalProtocolError: Two have the same name, or one is a method without an object;
                nothing was sent.
            ToolDefinitionError: A plain function cannot be a tool; nothing was sent.
            ServerError, SessionClosed: As for `update`.
        """
        registry = ToolRegistry(tools)
        async with self._changes.one_at_a_time:
            await self._configure(SessionConfig(), registry)

    async def approve(
        self, call: FunctionCall | McpApprovalRequest | ConversationItem | str
    ) -> None:
        """Let a call be made that waits for approval.

        Args:
            call: The call of the `ToolApprovalRequested`, its item, or its id.

        Raises:
            LocalProtocolError, TypeError: No such call waits for approval (any more), or this is
                not a call; nothing was sent.
            ServerError: The server refused the approval of a call on an MCP server.
            SessionClosed: The session ended first.
        """
        await self._decide(call, approve=True, reason=None)

    async def reject(
        self,
        call: FunctionCall | McpApprovalRequest | ConversationItem | str,
        reason: str | None = None,
    ) -> None:
        """Refuse a call that waits for approval: it is not made, and the model is told so.

        Args:
            call: The call of the `ToolApprovalRequested`, its item, or its id.
            reason: Why, for the model.

        Raises:
            LocalProtocolError, TypeError, ServerError, SessionClosed: As for `approve`.
        """
        await self._decide(call, approve=False, reason=reason)

    async def _decide(
        self,
        call: FunctionCall | McpApprovalRequest | ConversationItem | str,
        *,
        approve: bool,
        reason: str | None,
    ) -> None:
        asked = call.id if isinstance(call, McpApprovalRequest) else _call_id(call)
        decision = self._items.decision(asked, approve=approve, reason=reason)
        text = self._codec.encode(decision)
        await self._wait_to_speak()
        if self._calls.awaits_approval(asked):
            calls = self._calls
            self._workers.act(calls.approve(asked) if approve else calls.reject(asked, reason))
            return
        # Taken and queued in one step: whoever is cancelled before can still decide, and so can
        # somebody else.
        self._approvals.take(asked)
        pending = self._enqueue(decision, text)
        assert pending is not None
        try:
            await self._wait_for_ack(pending)
        except ServerError:
            # Unless it was deleted, the service still waits for a decision.
            if asked in self._mcp.pending_approvals:
                self._approvals.wait_for(asked)
            raise

    async def cancel_call(self, call: FunctionCall | ConversationItem | str) -> None:
        """Stop a tool of the session, or keep it from running, and tell the model so.

        Args:
            call: The call, its item, or its id.

        Raises:
            LocalProtocolError, TypeError: No tool of the session is at work on such a call, or this
                is not a call.
        """
        call_id = _call_id(call)
        await trio.lowlevel.checkpoint()
        self._workers.act(self._calls.cancel(call_id, trio.current_time()))

    async def send_tool_output(
        self,
        call: FunctionCall | ConversationItem | str,
        output: str | ToolOutput,
        *,
        respond: bool = True,
    ) -> None:
        """Answer a call of a function.

        The model replies once all calls of its response are answered.

        Args:
            call: The call, its item, or its id.
            output: What the function returned, usually as JSON text; a `ToolOutput` may bring
                images along.
            respond: Whether the model should reply to this one.

        Raises:
            LocalProtocolError, TypeError: The call was never made or is answered, this is not a
                call, or the output is not text; nothing was sent.
            SessionClosed: The session has ended.
        """
        call_id = _call_id(call)
        check_kind(
            "output", output, str, ToolOutput, allowed="a str, such as JSON, or a ToolOutput"
        )
        given = output if isinstance(output, ToolOutput) else ToolOutput(output)
        creates = self._items.output(call_id, given)
        texts = [self._codec.encode(create) for create in creates]
        await trio.lowlevel.checkpoint()
        # The turns refuse a call that is answered; only then is anything queued.
        actions = self._turns.call_answered(call_id, respond=respond)
        for create, text in zip(creates, texts, strict=True):
            self._enqueue(create, text)
        self._act(actions)

    # --- inside -----------------------------------------------------------------------------------

    def _keep_up(
        self,
        dial: OpenTransport,
        connect_timeout: float,
        *,
        reconnect: policy.Reconnect,
        limit: HistoryLimit,
    ) -> Callable[[], Awaitable[None]]:
        """Go on over other connections, as the policy says; returns the task that sees to it."""
        return self._last(
            reconnect,
            limit,
            dial,
            connect_timeout,
            items=self._items,
            approvals=self._approvals,
            configured=self._configured,
        )

    def _rooms(self) -> tuple[Room, ...]:
        return (
            *super()._rooms(),
            self._reactions.of(self),
            Conversation.reactions.of(self._conversation)
            if self._playing is None
            else Conversation.reactions.through(self._playing.apply),
            McpActivity.reactions.of(self._mcp),
            # Late: what the turns ask for is sent with what the conversation knows by now.
            *self._limits_and_turns(),
            # After the turns, which know best what a response answers.
            *self._lasting_rooms(),
        )

    def _limits_and_turns(self) -> tuple[Room, ...]:
        turns = Turns.reactions.through(self._take_turns)
        # What a budget does not allow is known before the turns ask for it; sums alone can wait.
        if self._spending is None:
            return (turns, *self._limit_rooms())
        return (*self._limit_rooms(), turns)

    def _acting(self) -> tuple[Room, ...]:
        return (*super()._acting(), self._acts.of(self))

    def _is_busy(self) -> bool:
        return super()._is_busy() or bool(self._calls.calls)

    def _on_session_created(self, event: SessionCreated) -> None:
        if isinstance(event.session, RealtimeSession):
            self._link.begin()
            self._configured(event.session)

    def _on_session_updated(self, event: SessionUpdated) -> None:
        self._link.configured()
        if isinstance(event.session, RealtimeSession):
            self._configured(event.session)

    def _on_call_requested(self, event: ToolCallRequested) -> None:
        if not self._answers(event.call):
            return
        tool = self._offered.find(event.call.name)
        # A definition without a function is answered for by the application.
        if tool is None or isinstance(tool, LocalTool):
            self._workers.act(self._calls.submit(event.call, tool, self._offered.registry))

    def _on_approval_requested(self, event: ToolApprovalRequested) -> None:
        if isinstance(event.call, McpApprovalRequest):
            self._approvals.wait_for(event.call.id)

    def _on_deleted(self, event: ItemDeleted) -> None:
        self._approvals.dismiss(event.item.id)

    def _on_interrupted(self, _: Interrupted) -> None:
        self._workers.act(self._calls.interrupt(trio.current_time()))

    _reactions: ClassVar[Reactions[Session, None]] = Reactions(
        {SessionCreated: _on_session_created, SessionUpdated: _on_session_updated}
    )
    """What the server says about the session itself."""
    _acts: ClassVar[Reactions[Session, None]] = Reactions(
        {
            Interrupted: _on_interrupted,
            ItemDeleted: _on_deleted,
            ToolApprovalRequested: _on_approval_requested,
            ToolCallRequested: _on_call_requested,
        }
    )
    """What the session acts on, of what follows from the server's events."""

    def _answers(self, call: FunctionCall) -> bool:
        """Whether the session answers a call, if only to say that there is no such tool."""
        is_open = self._turns.awaits(str(call.call_id))
        return is_open and self._offered.answers(call.name, told=self.config.tools or ())

    def _configured(self, config: RealtimeSession) -> None:
        self._config = config
        detection = self._input.turn_detection if self._is_detecting_turns else None
        self._note_audio_settings()
        self._act(self._turns.configure(detection))

    def _settled(self, pending: Pending) -> None:
        super()._settled(pending)
        self._changes.settled(pending)

    def _note_sent(self, event: Event) -> None:
        super()._note_sent(event)
        if note := self._notes[type(event)]:
            note(self, event)

    def _note_item(self, event: ConversationItemCreate) -> None:
        match event.item:
            case FunctionCallOutput(call_id=call_id, output=output):
                now = trio.current_time()
                self._workers.act(self._calls.output_given_elsewhere(call_id, output, now))
                # An application that answers with its own events asks for the response, too.
                if self._turns.awaits(call_id):
                    self._act(self._turns.call_answered(call_id, respond=False))
            case FunctionCall(call_id=str(call_id)):
                with suppress(LocalProtocolError):
                    self._turns.call_added(call_id)
            case McpApprovalResponse(approval_request_id=request_id):
                self._approvals.dismiss(request_id)

    def _note_create(self, event: ResponseCreate) -> None:
        match event.response:
            case ResponseConfig(tools=tuple() as tools):
                self._offered.lend(tools)

    def _note_cancel(self, event: ResponseCancel) -> None:
        self._turns.cancel_sent(event.response_id)

    _notes: ClassVar[Reactions[Session, None]] = Reactions(
        {
            ConversationItemCreate: _note_item,
            ResponseCancel: _note_cancel,
            ResponseCreate: _note_create,
        }
    )
    """What the session takes note of, of what is sent: not of audio, of which there is most."""

    def _take_floor(self) -> ConversationItem | None:
        silenced = super()._take_floor()
        self._workers.act(self._calls.interrupt(trio.current_time()))
        return silenced

    def _give_up_calls(self, call_ids: frozenset[str]) -> None:
        self._workers.act(self._calls.give_up(call_ids, trio.current_time()))

    def _leave(self) -> None:
        self._close_tools()

    def _over(self) -> None:
        self._close_tools()
        super()._over()

    def _close_tools(self) -> None:
        self._workers.act(self._calls.close(trio.current_time()))
        self._approvals.close()

    def _act_on_call(self, action: ForSession) -> None:
        match action:
            case PostOutput(call_id, output, respond):
                self._post_output(call_id, output, respond=respond)
            case TellModel(call_id, news, attachments, respond):
                self._tell_model(call_id, news, attachments, respond=respond)
            case Publish(event):
                self._hub.publish(event)

    def _post_output(self, call_id: str, output: ToolOutput, *, respond: bool) -> None:
        """Post the output of a tool, unless the application has answered meanwhile."""
        with suppress(LocalProtocolError):
            actions = self._turns.call_answered(call_id, respond=respond)
            for create in self._items.output(call_id, output):
                self._post(create)
            if self._link.phase >= Phase.LEAVING:
                # A session that is being left wants no reply any more; but tasks that wait for one
                # are told.
                actions = tuple(action for action in actions if not isinstance(action, Send))
            self._act(actions)

    def _tell_model(
        self, call_id: str, news: str, images: tuple[InputImage, ...], *, respond: bool
    ) -> None:
        """Post a message about a call that had its output, and let the model reply to it."""
        creates = self._items.news(news, images)
        for create in creates:
            self._post(create)
        if respond:
            self._act(self._turns.news_told(call_id, str(creates[0].item.id)))

    def _expire(self, why: str, request_id: str) -> None:
        self._post(self._items.decision(request_id, approve=False, reason=why))


def _has_spoken(item: ConversationItem) -> bool:
    return item.role == "assistant" and item.audio_ms > 0


def _call_id(call: FunctionCall | ConversationItem | str) -> str:
    if isinstance(call, str):
        return call
    # A request for the approval of a call on an MCP server has no id but that of its item.
    if isinstance(call, ConversationItem):
        return call.call_id or call.id
    check_kind("call", call, FunctionCall, allowed="a call, its item or its id")
    return str(call.call_id)


def _definitions(tools: Iterable[Tool] | Unset) -> tuple[Tool, ...] | Unset:
    if isinstance(tools, Unset):
        return tools
    definitions = several(tools)
    for each in definitions:
        if callable(each):
            raise TypeError(
                "update() takes definitions of tools; set_tools() and add_tool() take functions"
            )
    return definitions
