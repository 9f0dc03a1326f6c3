"""A voice session: `open_session` and everything one can do with it.

Owns the meaning of a voice session's events: the conversation, whose turn it is, what it costs, and
which tools the model has.  How events travel is `exchange`'s business, how the user's audio gets to
the server is `input_audio`'s, and how tools are run is `tools.executor`'s.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, Unpack

import attrs
import numpy as np
import trio

from realtime_trio._protocol.codec import Codec
from realtime_trio._protocol.endpoint import Endpoint
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._runtime.nursery import ServiceNursery
from realtime_trio._session.base import generate_id, open_exchange
from realtime_trio._session.input_audio import InputAudioExchange
from realtime_trio._session.responses import FOLLOWED, Answer, LiveResponse
from realtime_trio._session.shorthand import MessageContent, difference, identified, user_message
from realtime_trio._session.tool_calls import ToolExecutor, ToolLimits
from realtime_trio._state.acknowledgements import Request
from realtime_trio._state.conversation.audio import Retention
from realtime_trio._state.conversation.history import Omission, history_events
from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio._state.mcp import McpActivity
from realtime_trio._state.turns import (
    Actions,
    Concluded,
    Failed,
    Finished,
    ResponseRequest,
    Send,
    Started,
    Turns,
    Withdrawn,
)
from realtime_trio._state.utility_events import (
    Interrupted,
    ToolApprovalRequested,
    ToolCallRequested,
)
from realtime_trio._transport.contract import Transport
from realtime_trio.connection import ConnectOptions, check_options
from realtime_trio.errors import ConnectionFailed, LocalProtocolError, ServerError, SessionClosed
from realtime_trio.events import (
    UNSET,
    AudioFormat,
    ConversationItemCreate,
    ConversationItemDelete,
    ConversationItemRetrieve,
    ConversationItemTruncate,
    ErrorEvent,
    Event,
    FunctionCall,
    FunctionCallOutput,
    InputAudioBufferClear,
    Item,
    JsonObject,
    McpApprovalRequest,
    McpApprovalResponse,
    OutputAudio,
    RateLimit,
    RealtimeSession,
    Response,
    ResponseConfig,
    ResponseCreate,
    ResponseSettings,
    ServerEvent,
    SessionConfig,
    SessionCreated,
    SessionSettings,
    SessionUpdate,
    SessionUpdated,
    SystemMessage,
    Tool,
    UnknownObject,
    Unset,
)
from realtime_trio.tools.registry import AnyTool, LocalTool, ToolRegistry

_BENIGN: Final = frozenset(
    {"response_cancel_not_active", "conversation_already_has_active_response"}
)
"""Refusals that mean that something else was faster; the turns deal with them."""
_REFLEXES: Final = (
    64  # events of our own whose refusal is recognised; a refusal trails by a round trip
)


class SessionOptions(ConnectOptions, SessionSettings, total=False):
    """Every keyword of `open_session`: how to connect, and how the session shall be."""


@attrs.define(eq=False)
class _Waiter:
    """Somebody who waits for the end of a turn."""

    done: trio.Event = attrs.field(factory=trio.Event)
    response: Response | None = None
    error: Exception | None = None


class Session(InputAudioExchange[RealtimeSession]):
    """A conversation with the service.  Made by `open_session`; usable from any number of tasks."""

    def __init__(
        self,
        transport: Transport,
        codec: Codec,
        services: ServiceNursery,
        *,
        capacity: int | None,
        new_id: Callable[[str], str],
        retention: Retention,
        tools: ToolRegistry,
        limits: ToolLimits,
    ) -> None:
        super().__init__(
            transport, codec, services, capacity=capacity, new_id=new_id, retention=retention
        )
        self._turns = Turns(new_id)
        self._tools = ToolExecutor(self, services, tools, limits)
        self._changing_tools = trio.Lock()
        self._lent: set[str] = set()  # names of tools that a single response was given
        self._mcp = McpActivity()
        self._is_leaving = False
        self._reflexes: deque[str] = deque(maxlen=_REFLEXES)
        self._live: dict[ResponseRequest, LiveResponse] = {}
        self._waiters: dict[ResponseRequest, _Waiter] = {}
        self._omissions: tuple[Omission, ...] = ()

    # --- looking ----------------------------------------------------------------------------------

    @property
    def rate_limits(self) -> Mapping[str | None, RateLimit]:
        """The account's limits as last reported, by name (`tokens`, `requests`)."""
        return self._ledger.rate_limits

    @property
    def tools(self) -> tuple[LocalTool[..., object] | Tool, ...]:
        """The tools of the session: those with a function, and definitions of those that run elsewhere."""
        return tuple(self._tools.registry)

    @property
    def open_calls(self) -> tuple[FunctionCall, ...]:
        """Calls of the session's own tools that are not finished: waiting, running or in need of approval."""
        return self._tools.open_calls

    @property
    def omissions(self) -> tuple[Omission, ...]:
        """What of the `history` given to `open_session` could not be replayed."""
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
            config: The change as the protocol nests it; or
            tools: Definitions without a function, to take the place of the present ones.  Tools
                with a function stay: see `set_tools`.
            **settings: The change as flat keywords: `update(voice="marin", turn_detection=None)`.

        Returns:
            The whole effective configuration.

        Raises:
            ServerError: The server refused, and then changed nothing; `param` says what was wrong.
            LocalProtocolError: The change does not fit the protocol, gives two tools one name, or
                changes the voice after the model has spoken; nothing was sent.
            RemoteProtocolError: The server's answer could not be read.
            SessionClosed: The session ended before the answer came.

        Cancellation: before the change was queued nothing was sent; afterwards it takes effect all
            the same.
        """
        if config is None:
            check_options(settings, SessionSettings)
            config = SessionConfig.of(tools=tools, **settings)
        elif settings or not isinstance(tools, Unset):
            raise TypeError("update() takes either a SessionConfig or keywords, not both")
        self._codec.encode(
            SessionUpdate(session=config)
        )  # before anything is compared: what it holds may be of any type
        if isinstance(config.tools, Unset):
            return await self._configure(config, None)
        async with self._changing_tools:
            return await self._configure(
                config, self._tools.registry.with_definitions(config.tools)
            )

    async def _configure(
        self, config: SessionConfig, tools: ToolRegistry | None
    ) -> RealtimeSession:
        """Bring the server to a configuration, and these tools with it."""
        before = self._tools.registry
        tools = before if tools is None else tools
        if tools is not before:
            config = attrs.evolve(config, tools=tools.definitions)
        change = difference(config, self.config)
        if isinstance(change, SessionConfig):
            self._check_voice(change)
        if self._replies.awaits(SessionUpdate):
            change = config  # what will be in force when this arrives is not known
        if not isinstance(change, SessionConfig):
            await trio.lowlevel.checkpoint()
            self._check_open()
            self._tools.registry = tools
            return self.config
        update = SessionUpdate(session=change)
        asked = await self._ask(update) if tools is before else await self._ask_for(update, tools)
        answer = await self._answer(*asked)
        assert isinstance(answer, SessionUpdated)
        return answer.session if isinstance(answer.session, RealtimeSession) else self.config

    async def _ask_for(
        self, update: SessionUpdate, tools: ToolRegistry
    ) -> tuple[Request, trio.Event]:
        """Send an update, and keep the tools in place that the server knows, whether anybody waits for its answer or not."""
        before, named, settled = self._tools.registry, self._named(update), trio.Event()
        request: Request | None = None

        def on_settled() -> None:
            assert request is not None
            if isinstance(request.error, ServerError) and self._tools.registry is tools:
                self._tools.offer(before)
            self._tools.confirm()
            settled.set()

        self._tools.offer(tools)
        try:
            request = await self._queue(named, self._codec.encode(named), on_settled)
        except BaseException:
            self._tools.offer(before)
            raise
        assert request is not None
        return request, settled

    def _check_voice(self, change: SessionConfig) -> None:
        output = change.audio.output if change.audio else UNSET
        if output and output.voice and any(_has_spoken(item) for item in self._conversation.items):
            raise LocalProtocolError(
                "the voice cannot change any more: the model has spoken with another one in this session"
            )

    # --- speaking ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def user_turn(
        self, *, respond: bool = True, interrupt: bool = True
    ) -> AsyncIterator[None]:
        """Push to talk: append audio inside the block; leaving it commits what was appended and asks for a response.

        Needs turn detection to be off.  Leaving by an exception discards the audio, and so does
        less than 100 ms of it, which is an error.

        Args:
            respond: Ask for a response at the end.
            interrupt: Stop the response that is being spoken, as somebody who begins to talk
                expects.

        Raises:
            LocalProtocolError: Turn detection is on, or less than 100 ms of audio were appended.
            ServerError, SessionClosed: As for `update`.
        """
        if self._is_detecting_turns:
            raise LocalProtocolError(
                "user_turn() needs turn detection to be off: open_session(turn_detection=None)"
            )
        await trio.lowlevel.checkpoint()
        if interrupt:
            self._act(self._turns.cancel())
            self._tools.interrupt()
        try:
            yield
            await self.commit_audio()
        except BaseException:
            self._post(self._named(InputAudioBufferClear()))
            raise
        if respond:
            await self.respond()

    async def send_message(
        self,
        content: MessageContent,
        *,
        respond: bool = True,
        previous_item_id: str | None = None,
        **settings: Unpack[ResponseSettings],
    ) -> str | None:
        """Say something to the model, and ask for a response.

        Audio that was appended before and waits to be committed is committed first, if turn
        detection is off.

        Args:
            content: A text, audio (int16 or float32 array, or bytes), a content part, or several
                texts and parts.
            respond: Ask for a response.
            previous_item_id: Insert after this item; `root` at the front; None appends.
            **settings: Settings for this response alone.

        Returns:
            Id of the user message; None if the content was an empty list, which only asks for a
            response.

        Raises:
            LocalProtocolError: The content or the settings do not fit the protocol, or less than
                100 ms of audio wait to be committed; nothing was sent.
            SessionClosed: The session has ended.
        """
        if settings and not respond:
            raise TypeError("settings are for the response, and none is asked for")
        message = attrs.evolve(user_message(content), id=self._new_id("item_"))
        create = ConversationItemCreate(item=message, previous_item_id=previous_item_id)
        self._codec.encode(create)
        request = self._request_for(None, settings) if respond else None
        await trio.lowlevel.checkpoint()
        self._commit_pending()
        if message.content:
            await self.send(create)
        if request is not None:
            self._want(request)
        return message.id if message.content else None

    # --- responses --------------------------------------------------------------------------------

    async def respond(
        self, config: ResponseConfig | None = None, **settings: Unpack[ResponseSettings]
    ) -> None:
        """Ask for a response; it goes out when it is its turn, after the response that is active now.

        Audio that was appended and waits to be committed is committed first, if turn detection is
        off.

        Args:
            config: Settings for this response alone, as the protocol nests them; or
            **settings: as flat keywords.  `conversation="none"` makes it out of band: it may run
                beside others and leaves no trace.

        Raises:
            LocalProtocolError: The settings do not fit the protocol, or less than 100 ms of audio
                wait to be committed; nothing was sent.
            SessionClosed: The session has ended.
        """
        request = self._request_for(config, settings)
        await trio.lowlevel.checkpoint()
        if not request.is_out_of_band:
            self._commit_pending()
        self._want(request)

    @asynccontextmanager
    async def open_response(
        self, config: ResponseConfig | None = None, **settings: Unpack[ResponseSettings]
    ) -> AsyncIterator[LiveResponse]:
        """Ask for a response and follow it: `async with session.open_response() as response: async for delta in response: ...`.

        Leaving the block before the end cancels the response, or withdraws the request if it has
        not been its turn yet.

        Args:
            config: As for `respond`.
            **settings: As for `respond`.
        """
        request = self._request_for(config, settings)
        await trio.lowlevel.checkpoint()
        if not request.is_out_of_band:
            self._commit_pending()
        with self._follow(request) as live:
            yield live

    @contextmanager
    def _follow(self, request: ResponseRequest) -> Iterator[LiveResponse]:
        with self._hub.subscribe(*FOLLOWED, kept=False) as stream:
            live = self._live[request] = LiveResponse(stream, lambda: self._encoding_of(request))
            try:
                self._want(request)
                yield live
            finally:
                if self._live.pop(request, None) is not None:
                    self._act(self._turns.abandon(request))

    async def ask(
        self, content: MessageContent | None = None, **settings: Unpack[ResponseSettings]
    ) -> Answer:
        """Say something and wait for the answer: the last response of the turn, after all rounds of tools.

        Args:
            content: As for `send_message`; None asks about what is there already.
            **settings: Settings for the first response.

        Raises:
            ServerError: The server refused the response, or the one to its tools.
            LocalProtocolError: As for `send_message`.
            SessionClosed: The session ended first.

        Cancellation: cancels the response.
        """
        request = self._request_for(None, settings)
        await trio.lowlevel.checkpoint()
        if content is not None:
            await self.send_message(content, respond=False)
        elif not request.is_out_of_band:
            self._commit_pending()
        if request.is_out_of_band:  # its speech is nowhere but in its events
            with self._follow(request) as live:
                return await live.wait()
        waiter = self._waiters[request] = _Waiter()
        try:
            self._want(request)
            await waiter.done.wait()
        finally:
            if self._waiters.pop(request, None) is not None:
                self._act(self._turns.abandon(request))
        if waiter.error is not None:
            raise waiter.error
        assert waiter.response is not None
        return Answer(response=waiter.response, audio=self._audio_of(waiter.response))

    async def cancel_response(
        self, item_id: str | None = None, sample_count: int = 0
    ) -> ConversationItem | None:
        """Interrupt the model: cancel its response and, given an item, cut that item to what the user heard.

        Tools that wish to be interrupted (`on_interrupt="cancel"`) are stopped, too.

        Nothing is sent that the server would refuse: no cancel where nothing is active, and no more
        milliseconds than arrived.

        Args:
            item_id: The assistant message that was being played; None only cancels.
            sample_count: How many of its samples were played, at the session's output rate.

        Returns:
            The item, None if none was given.

        Raises:
            LocalProtocolError: There is no such item, it is no assistant message, or it has no
                audio; nothing was sent.
        """
        await trio.lowlevel.checkpoint()
        item = None if item_id is None else self._spoken_item(item_id)
        self._act(self._turns.cancel())
        self._tools.interrupt()
        if item is not None:
            index = next(i for i, part in enumerate(item.parts) if isinstance(part, OutputAudio))
            heard_ms = min(max(0, sample_count) * 1000 // item.audio_rate, item.audio_ms)
            self._post(
                self._named(
                    ConversationItemTruncate(
                        item_id=item.id, content_index=index, audio_end_ms=heard_ms
                    )
                )
            )
        return item

    # --- items ------------------------------------------------------------------------------------

    async def insert_item(
        self, item: Item, *, previous_item_id: str | None = None
    ) -> ConversationItem:
        """Add an item to the conversation and wait until the server has taken it.  Starts no response.

        Args:
            item: The item; gets an id if it has none.
            previous_item_id: Insert after this item; `root` at the front; None appends.

        Raises:
            ServerError: The server refused it.
            LocalProtocolError: It does not fit the protocol; nothing was sent.
            SessionClosed: The session ended before the answer came.
        """
        if isinstance(item, UnknownObject):
            raise LocalProtocolError(
                "only items of known types can be inserted; send others with send_raw()"
            )
        item = identified(item, self._new_id)
        await self._request(ConversationItemCreate(item=item, previous_item_id=previous_item_id))
        return self._known_item(str(item.id))

    async def delete_item(self, item_id: str) -> None:
        """Delete an item and wait until it is gone.

        Raises:
            ServerError: The server refused, e.g. because there is no such item.
            SessionClosed: The session ended before the answer came.
        """
        await self._request(ConversationItemDelete(item_id=item_id))

    async def retrieve_item(self, item_id: str) -> ConversationItem:
        """Fetch an item as the server keeps it, audio included, into the conversation.

        Raises:
            ServerError: The server refused, e.g. because there is no such item.
            SessionClosed: The session ended before the answer came.
        """
        await self._request(ConversationItemRetrieve(item_id=item_id))
        return self._known_item(item_id)

    async def truncate(
        self, item_id: str, audio_end_ms: int, *, content_index: int = 0
    ) -> ConversationItem:
        """Cut an assistant message to what the user heard, and wait until the server has done so.

        Args:
            item_id: The message.
            audio_end_ms: Milliseconds to keep.
            content_index: Its part.

        Raises:
            ServerError: The server refused, e.g. because there is less audio.
            SessionClosed: The session ended before the answer came.
        """
        await self._request(
            ConversationItemTruncate(
                item_id=item_id, content_index=content_index, audio_end_ms=audio_end_ms
            )
        )
        return self._known_item(item_id)

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
        async with self._changing_tools:
            tools = self._tools.registry.copy()
            tools.add(added)
            await self._configure(SessionConfig(), tools)

    async def remove_tool(self, name: str) -> None:
        """Take a tool from the model and wait until the server knows.  Calls of it that run already are answered by it, later ones are not.

        Raises:
            LocalProtocolError: There is none of this name; nothing was sent.
            ServerError, SessionClosed: As for `update`.
        """
        async with self._changing_tools:
            tools = self._tools.registry.copy()
            tools.remove(name)
            await self._configure(SessionConfig(), tools)

    async def set_tools(self, tools: Iterable[AnyTool]) -> None:
        """Give the model exactly these tools and wait until the server has taken them.  If it has them already nothing is sent.

        Raises:
            LocalProtocolError: Two have the same name, or one is a method without an object;
                nothing was sent.
            ToolDefinitionError: A plain function cannot be a tool; nothing was sent.
            ServerError, SessionClosed: As for `update`.
        """
        registry = ToolRegistry(tools)
        async with self._changing_tools:
            await self._configure(SessionConfig(), registry)

    async def approve(self, call: FunctionCall | McpApprovalRequest | str) -> None:
        """Let a call be made that waits for approval.

        Args:
            call: The call of the `ToolApprovalRequested`, or its id.

        Raises:
            LocalProtocolError: No such call waits for approval (any more); nothing was sent.
            ServerError: The server refused the approval of a call on an MCP server.
            SessionClosed: The session ended first.
        """
        await self._decide(call, approve=True, reason=None)

    async def reject(
        self, call: FunctionCall | McpApprovalRequest | str, reason: str | None = None
    ) -> None:
        """Refuse a call that waits for approval: it is not made, and the model is told so.

        Args:
            call: The call of the `ToolApprovalRequested`, or its id.
            reason: Why, for the model.

        Raises:
            LocalProtocolError, ServerError, SessionClosed: As for `approve`.
        """
        await self._decide(call, approve=False, reason=reason)

    async def _decide(
        self, call: FunctionCall | McpApprovalRequest | str, *, approve: bool, reason: str | None
    ) -> None:
        asked = (
            call
            if isinstance(call, str)
            else call.id
            if isinstance(call, McpApprovalRequest)
            else str(call.call_id)
        )
        await trio.lowlevel.checkpoint()
        self._check_open()
        if self._tools.approve(asked) if approve else self._tools.reject(asked, reason):
            return
        self._tools.take_decision(asked)
        await self._request(self._decision(asked, approve=approve, reason=reason))

    async def cancel_call(self, call: FunctionCall | str) -> None:
        """Stop a tool of the session, or keep it from running, and tell the model that the call was cancelled.

        Args:
            call: The call, or its id.

        Raises:
            LocalProtocolError: No tool of the session is at work on such a call.
        """
        await trio.lowlevel.checkpoint()
        self._tools.cancel(call if isinstance(call, str) else str(call.call_id))

    async def send_tool_output(
        self, call: FunctionCall | str, output: str, *, respond: bool = True
    ) -> None:
        """Answer a call of a function, and let the model reply once all calls of its response are answered.

        Args:
            call: The call, or its id.
            output: What the function returned, usually as JSON text.
            respond: Whether the model shall reply to this one.

        Raises:
            LocalProtocolError: The call was never made or is answered; nothing was sent.
            SessionClosed: The session has ended.
        """
        call_id = call if isinstance(call, str) else str(call.call_id)
        create = self._output_of(call_id, output)
        text = self._codec.encode(create)
        await trio.lowlevel.checkpoint()
        actions = self._turns.call_answered(call_id, respond=respond)
        self._enqueue(create, text)
        self._act(actions)

    # --- inside -----------------------------------------------------------------------------------

    def _understand(self, event: ServerEvent) -> Iterable[Event]:
        match event:
            case SessionCreated(session=RealtimeSession() as config):
                self._created.set()
                self._configured(config)
            case SessionUpdated(session=config):
                self._is_configuring = False
                if isinstance(config, RealtimeSession):
                    self._configured(config)
        derived = self._conversation.apply(event) + self._mcp.apply(event)
        self._ledger.apply(event)
        self._act(self._turns.apply(event))
        return derived

    def _react(self, event: Event) -> None:
        match event:
            case ToolCallRequested(call=call) if self._turns.awaits(
                str(call.call_id)
            ) and not self._is_answered_elsewhere(call.name):
                self._tools.submit(call)
            case ToolApprovalRequested(call=McpApprovalRequest() as request):
                self._tools.await_decision(request)
            case Interrupted():
                self._tools.interrupt()
            case _:
                pass

    def _is_answered_elsewhere(self, name: str) -> bool:
        """Whether the model has this tool from somewhere else than the session's own list, or the session answers for none."""
        if self._tools.knows(name):
            return False
        if not any(isinstance(tool, LocalTool) for tool in self._tools.registry):
            return True
        return name in self._lent or any(
            name == getattr(tool, "name", None) for tool in self.config.tools or ()
        )

    def _configured(self, config: RealtimeSession) -> None:
        self._config = config
        self._act(
            self._turns.configure(self._input.turn_detection if self._is_detecting_turns else None)
        )

    def _is_benign(self, event: ServerEvent) -> bool:
        if (
            isinstance(event, ErrorEvent)
            and event.error.code in _BENIGN
            and event.error.event_id in self._reflexes
        ):
            return True
        return super()._is_benign(event)

    def _note_sent(self, event: Event) -> None:
        super()._note_sent(event)
        match event:
            case ConversationItemCreate(item=FunctionCallOutput(call_id=call_id, output=output)):
                self._tools.answered_by_hand(call_id, output)
                if self._turns.awaits(
                    call_id
                ):  # somebody who answers with events of their own asks for the response, too
                    self._act(self._turns.call_answered(call_id, respond=False))
            case ConversationItemCreate(item=FunctionCall(call_id=str(call_id))):
                with suppress(LocalProtocolError):
                    self._turns.call_added(call_id)
            case ConversationItemCreate(item=McpApprovalResponse(approval_request_id=request_id)):
                self._tools.decided_by_hand(request_id)
            case ResponseCreate(response=ResponseConfig(tools=tuple() as tools)):
                self._lent |= {str(getattr(tool, "name", "")) for tool in tools}

    def _leave(self) -> None:
        self._is_leaving = True
        self._tools.close()

    def _over(self) -> None:
        self._tools.close()
        self._act(
            self._turns.disconnected(SessionClosed("the session ended before the response did"))
        )

    def _act(self, actions: Actions) -> None:
        """Do what the turns say, in their order."""
        for action in actions:
            match action:
                case Send(event=event):
                    assert event.event_id is not None
                    self._reflexes.append(event.event_id)
                    self._post(event)
                case Started(request=request, response_id=response_id):
                    if request in self._live:
                        self._live[request]._id = response_id
                case Finished(request=request, response=response):
                    if live := self._live.pop(request, None):
                        live._end(response)
                case Concluded(request=request, response=response):
                    if waiter := self._waiters.pop(request, None):
                        waiter.response = response
                        waiter.done.set()
                case Failed(request=request, error=error):
                    self._fail(request, error)
                case Withdrawn(request=request) if (
                    request in self._live or request in self._waiters
                ):
                    self._fail(
                        request,
                        ServerError(
                            "the response was cancelled before it began",
                            event_id=request.event.event_id,
                        ),
                    )
                case Withdrawn():
                    pass

    def _answer_call(self, call_id: str, output: str, *, respond: bool) -> None:
        """Post the output of a tool, unless somebody has answered by hand meanwhile."""
        with suppress(LocalProtocolError):
            actions = self._turns.call_answered(call_id, respond=respond)
            self._post(self._output_of(call_id, output))
            # Who leaves wants no reply any more; but who waits for one is told.
            self._act(
                tuple(
                    action
                    for action in actions
                    if not (self._is_leaving and isinstance(action, Send))
                )
            )

    def _output_of(self, call_id: str, output: str) -> ConversationItemCreate:
        item = FunctionCallOutput(call_id=call_id, output=output, id=self._new_id("item_"))
        return ConversationItemCreate(item=item, event_id=self._new_id("evt_"))

    def _tell_model(self, call_id: str, news: str, *, respond: bool) -> None:
        """Post a message about a call that had its answer, and let the model reply to it as to an answer."""
        message = SystemMessage.text(news, id=self._new_id("item_"))
        self._post(self._named(ConversationItemCreate(item=message)))
        if respond:
            self._act(self._turns.news_told(call_id, str(message.id)))

    def _post_decision(self, request_id: str, *, approve: bool, reason: str | None) -> None:
        self._post(self._decision(request_id, approve=approve, reason=reason))

    def _decision(
        self, request_id: str, *, approve: bool, reason: str | None
    ) -> ConversationItemCreate:
        answer = McpApprovalResponse(
            approval_request_id=request_id, approve=approve, reason=reason, id=self._new_id("item_")
        )
        return ConversationItemCreate(item=answer, event_id=self._new_id("evt_"))

    def _fail(self, request: ResponseRequest, error: Exception) -> None:
        with suppress(ValueError):
            self._reflexes.remove(
                str(request.event.event_id)
            )  # a refusal that somebody is told of is not benign
        if live := self._live.pop(request, None):
            live._end(error)
        if waiter := self._waiters.pop(request, None):
            waiter.error = error
            waiter.done.set()

    def _request_for(
        self, config: ResponseConfig | None, settings: ResponseSettings
    ) -> ResponseRequest:
        if config is not None and settings:
            raise TypeError("a response takes either a ResponseConfig or keywords, not both")
        if settings:
            check_options(settings, ResponseSettings)
            config = ResponseConfig.of(**settings)
        event = ResponseCreate(event_id=self._new_id("evt_"), response=config)
        self._codec.encode(event)
        return ResponseRequest(event)

    def _want(self, request: ResponseRequest) -> None:
        self._check_open()
        self._act(self._turns.want_response(request))

    def _check_open(self) -> None:
        if self._outbox.is_closed:
            raise SessionClosed("the session has ended; nothing can be sent any more")

    def _encoding_of(self, request: ResponseRequest) -> str:
        asked, present = request.event.response or ResponseConfig(), self.config
        outputs = [
            settings.audio.output for settings in (asked, present) if settings.audio is not None
        ]
        formats = [output.format for output in outputs if output is not None]
        return next(
            (known.type for known in formats if known is not None and known.type),
            str(AudioFormat.pcm().type),
        )

    def _known_item(self, item_id: str) -> ConversationItem:
        item = self._conversation.get(item_id)
        if item is None:  # deleted since, or not of this session
            raise LocalProtocolError(f"there is no item {item_id!r} in the conversation")
        return item

    def _spoken_item(self, item_id: str) -> ConversationItem:
        item = self._conversation.get(item_id)
        if item is None:
            raise LocalProtocolError(f"there is no item {item_id!r} in the conversation")
        if item.type != "message" or item.role != "assistant":
            raise LocalProtocolError(
                f"item {item_id!r} is no assistant message; only those can be interrupted"
            )
        if not any(isinstance(part, OutputAudio) for part in item.parts) or item.audio_ms == 0:
            raise LocalProtocolError(f"item {item_id!r} has no audio that could be cut")
        return item

    def _audio_of(self, response: Response) -> np.ndarray[Any, np.dtype[np.int16]]:
        known = (self._conversation.get(item.id or "") for item in response.output)
        pieces = [item.audio for item in known if item is not None]
        return np.concatenate(pieces) if pieces else np.empty(0, np.int16)


def _has_spoken(item: ConversationItem) -> bool:
    return item.role == "assistant" and item.audio_ms > 0


@asynccontextmanager
async def open_session(
    model: str | None = None,
    *,
    url: str | Endpoint | None = None,
    transport: Transport | None = None,
    record: str | os.PathLike[str] | None = None,
    tools: Iterable[AnyTool] | None = None,
    tool_concurrency: int = 8,
    tool_timeout: float = 60.0,
    approval_timeout: float = 300.0,
    history: Iterable[JsonObject] = (),
    retention: Retention = "all",
    capacity: int | None = None,
    new_id: Callable[[str], str] = generate_id,
    **options: Unpack[SessionOptions],
) -> AsyncIterator[Session]:
    """Open a voice session: ready when the block is entered, closed and gone when it is left.

    Args:
        model: Model to talk to; `gpt-realtime` when neither this nor the endpoint names one.
        url: The service: a URL, an `Endpoint` such as `azure(...)`, or None for `OPENAI_BASE_URL`
            and then OpenAI's own.
        transport: A connected transport to use instead of connecting, for tests and tunnels; the
            block closes it.
        record: A file to record the session in as it goes over the wire, but for keys; see
            `open_recording`.
        tools: What the model may call: functions, which the session runs and answers for;
            definitions without a function, which you answer for with `send_tool_output`; and tools
            on MCP servers, which the service runs.  None leaves what the server has by itself.
        tool_concurrency: How many of the functions run at once; the others wait.
        tool_timeout: Seconds a function may take unless it was decorated otherwise; then the model
            is told that it timed out.
        approval_timeout: Seconds a call waits for its approval; then the model is told that there
            was none.
        history: An earlier conversation, as `session.conversation.export()` wrote it.
            `session.omissions` says what could not be replayed.
        retention: Which audio to keep with the items: `all`, `none`, or the last so many seconds of
            each kind.
        capacity: Events a stream may fall behind, unless it is opened with a bound of its own.
        new_id: Makes the ids of client events and items: called with a prefix.
        **options: How to connect, see `ConnectOptions`, and how the session shall be, see
            `SessionConfig.of`.

    Raises:
        ConnectionFailed: There was no session within `connect_timeout`: unreachable, refused, a
            wrong key, an unknown model, or a configuration the server does not accept.
        ConnectionLost: The connection ended in the middle of the block in any other way than a
            clean close.  It leaves bare, not in a group; an exception of the block wins over it and
            gets a note.
        LocalProtocolError, ToolDefinitionError, TypeError: An argument is unusable; nothing was
            sent.

    Leaving in the normal way first writes what was sent, within `close_timeout`; leaving by an
    exception or a cancellation does not.  Tools that still run are stopped, and their calls are
    answered as cancelled.
    """
    check_options(options, SessionOptions)
    settings: Any = {
        name: value for name, value in options.items() if name in SessionSettings.__annotations__
    }
    connecting: Any = {
        name: value for name, value in options.items() if name in ConnectOptions.__annotations__
    }
    registry = ToolRegistry(tools or ())
    limits = ToolLimits(
        concurrency=tool_concurrency, timeout=tool_timeout, approval_timeout=approval_timeout
    )
    config = SessionConfig.of(tools=UNSET if tools is None else registry.definitions, **settings)
    replay = history_events(history)

    def make(connected: Transport, codec: Codec, services: ServiceNursery) -> Session:
        return Session(
            connected,
            codec,
            services,
            capacity=capacity,
            new_id=new_id,
            retention=retention,
            tools=registry,
            limits=limits,
        )

    async with open_exchange(
        make,
        SessionKind.REALTIME,
        SessionUpdate(event_id=new_id("evt_"), session=config)
        if config != SessionConfig()
        else None,
        model=model,
        url=url,
        transport=transport,
        record=record,
        options=connecting,
    ) as session:
        session._omissions = replay.omitted
        if tools is None:  # what the server gives the model by itself stays when one more is added
            with suppress(LocalProtocolError):
                session._tools.registry = ToolRegistry(session.config.tools or ())
        creates = [
            attrs.evolve(create, item=identified(create.item, new_id)) for create in replay.events
        ]
        replayed = [await session._ask(create) for create in creates]
        for request, settled in replayed:
            try:
                await session._answer(request, settled)
            except ServerError as error:
                raise ConnectionFailed(
                    f"the service refused the history: {error}", code=error.code
                ) from error
        yield session
