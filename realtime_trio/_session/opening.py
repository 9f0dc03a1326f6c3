"""Opening a voice session, from keywords to a session that is ready."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import partial
from types import NoneType
from typing import Any, Unpack

from realtime_trio._misuse import check_kind
from realtime_trio._protocol.chosen_model import ChosenModel
from realtime_trio._protocol.endpoint import Endpoint
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._runtime.nursery import ServiceNursery
from realtime_trio._session.base import check_arguments, generate_id, run_session
from realtime_trio._session.lasting.policy import Reconnect
from realtime_trio._session.lasting.upkeep import Upkeep
from realtime_trio._session.limits import check_limits, load_prices, make_limits
from realtime_trio._session.link import Link
from realtime_trio._session.playing import check_playback
from realtime_trio._session.tool_calls import DEFAULT_OUTPUT_LIMIT, MakeContext, ToolLimits
from realtime_trio._session.tool_context import ToolContext
from realtime_trio._session.voice import Session
from realtime_trio._state.budget import Budget
from realtime_trio._state.conversation.audio import (
    DEFAULT_RETENTION,
    Retention,
    check_retention,
)
from realtime_trio._state.conversation.history import Entry, read_history
from realtime_trio._state.conversation.keeping import NOTED
from realtime_trio._state.conversation.restoring import restore
from realtime_trio._state.conversation.size import NO_LIMIT, HistoryLimit
from realtime_trio._state.prices import Prices
from realtime_trio._transport.contract import Transport
from realtime_trio.connection import (
    ConnectOptions,
    OpenTransport,
    check_options,
    model_asked_for,
    websocket_settings,
)
from realtime_trio.errors import ConnectionFailed, LocalProtocolError, ServerError
from realtime_trio.events import (
    UNSET,
    JsonObject,
    SessionConfig,
    SessionSettings,
    SessionUpdate,
)
from realtime_trio.history import ConversationStore
from realtime_trio.playback.playback import Playback
from realtime_trio.tools.failures import ToolErrors
from realtime_trio.tools.registry import AnyTool, ToolRegistry


class SessionOptions(ConnectOptions, SessionSettings, total=False):
    """Every keyword of `open_session`: how to connect, and the settings of the session."""


@asynccontextmanager
async def open_session(
    model: str | None = None,
    *,
    url: str | Endpoint | None = None,
    transport: Transport | OpenTransport | None = None,
    reconnect: Reconnect | None = None,
    record: str | os.PathLike[str] | None = None,
    tools: Iterable[AnyTool] | None = None,
    tool_concurrency: int = 8,
    tool_timeout: float = 60.0,
    approval_timeout: float = 300.0,
    tool_errors: ToolErrors = "type",
    tool_output_limit: int | None = DEFAULT_OUTPUT_LIMIT,
    history: Iterable[JsonObject] = (),
    history_limit: HistoryLimit = NO_LIMIT,
    store: ConversationStore | None = None,
    retention: Retention = DEFAULT_RETENTION,
    playback: Playback | None = None,
    prices: Prices | None = None,
    budget: Budget | None = None,
    idle_timeout: float | None = None,
    capacity: int | None = None,
    new_id: Callable[[str], str] = generate_id,
    **options: Unpack[SessionOptions],
) -> AsyncIterator[Session]:
    """Open a voice session: ready when the block is entered, closed and gone when it is left.

    Args:
        model: Model to talk to; `gpt-realtime-2.1` when neither this nor the endpoint names one.
        url: The service: a URL, an `Endpoint` such as `azure(...)`, or None for `OPENAI_BASE_URL`
            and then OpenAI's own.
        transport: A connected transport to use instead of connecting, for tests and tunnels; the
            block closes it.  Or an async context manager function that opens one, and another one
            every time it is called.
        reconnect: Goes on over another connection when this one is lost or about to expire, with
            everything the session knows; see `Reconnect`.  None ends the session then.
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
        tool_errors: What the model is told when a function raises an exception: the name of its
            class (`type`), its whole text (`full`), or what your own function `Exception -> str`
            makes of it.  A `ToolError` is told as it is.  The log has everything in any case.
        tool_output_limit: Characters of the longest output of a function; a longer one is cut off,
            with a note for the model.  None lets any pass.
        history: An earlier conversation, as `session.conversation.export()` wrote it.
            `session.omissions` says what is not in this one, or not as it was.
        history_limit: How much of the history to tell, and what becomes of the rest; what
            summarizes it is waited for before the block is entered.
        store: A file that has the history and keeps the conversation from now on, of `open_store`.
        retention: Which audio to keep with the items: `all`, `none`, or the last so many seconds of
            each side.  The default, ten minutes, is 58 MB at most; `all` grows by 2.9 MB for every
            minute that is said.
        playback: Has the model's speech until your sink takes it, and knows what of it was heard:
            when the user interrupts, or `cancel_response` is called, it is silent at once and the
            server is told what was heard.  For one session.
        prices: What models cost, by name, for `session.cost` and for a budget in US dollars; None
            for the list of the extra `prices`, if it is installed.
        budget: What the session may take.  When it is spent, whatever would need one more response
            raises `BudgetExceeded`; see `Budget` for the rest.
        idle_timeout: Seconds after which the session hangs up if nobody speaks, and no response or
            tool is under way; None for never.  A `HangingUp` says so, and then it ends as after a
            clean close by the server.
        capacity: Events a stream may fall behind, unless it is opened with a bound of its own.
        new_id: Makes the ids of client events and items: called with a prefix.
        **options: How to connect, see `ConnectOptions`, and the settings of the session, see
            `SessionConfig.of`.

    Raises:
        ConnectionFailed: There was no session within `connect_timeout`: unreachable, refused, a
            wrong key, an unknown model, or a configuration the server does not accept.
        ConnectionLost: The connection ended in the middle of the block in any other way than a
            clean close.  It leaves bare, not in a group; an exception of the block wins over it and
            gets a note.
        LocalProtocolError, ToolDefinitionError, TypeError: An argument is unusable; nothing was
            sent.
        OSError: The store cannot be written any more; it leaves bare, like a lost connection.

    Leaving in the normal way first writes what was sent, within `close_timeout`; leaving by an
    exception or a cancellation does not.  Tools that still run are stopped, and their calls are
    answered as cancelled.
    """
    check_options(options, SessionOptions, function=open_session)
    check_arguments(transport=transport, capacity=capacity, new_id=new_id)
    check_retention(retention)
    check_playback(playback)
    check_kind("reconnect", reconnect, Reconnect, NoneType, allowed="a Reconnect or None")
    check_limits(budget, prices, idle_timeout)
    settings: Any = {
        name: value for name, value in options.items() if name in SessionSettings.__annotations__
    }
    connecting: Any = {
        name: value for name, value in options.items() if name in ConnectOptions.__annotations__
    }
    registry = ToolRegistry(tools or ())
    limits = ToolLimits(
        concurrency=tool_concurrency,
        timeout=tool_timeout,
        approval_timeout=approval_timeout,
        errors=tool_errors,
        output_limit=tool_output_limit,
    )
    # UNSET leaves the server's tools alone; an empty list clears them.
    config = SessionConfig.of(tools=UNSET if tools is None else registry.definitions, **settings)
    check_kind("history_limit", history_limit, HistoryLimit, allowed="a HistoryLimit")
    check_kind(
        "store", store, ConversationStore, NoneType, allowed="a store of open_store(), or None"
    )
    entries = read_history(history)
    if store is not None:
        if entries:
            raise LocalProtocolError(
                "a session begins with a history or with a store, not with both"
            )
        entries = read_history(await store.history())

    kind = SessionKind.REALTIME
    if budget is not None and budget.usd is not None and prices is None:
        prices = await load_prices()
    if transport is None:
        asked = model_asked_for(url, kind, model)
    else:
        # What its address asks for is not known, unless it is said here.
        asked = None if model is None else ChosenModel(model, "the argument model=")
    bounds = make_limits(
        budget,
        prices,
        asked,
        idle_timeout=idle_timeout,
        close_timeout=websocket_settings(connecting).close_timeout,
    )

    def make_context(session: Session) -> MakeContext:
        return partial(ToolContext, session=session)

    def make(link: Link, services: ServiceNursery) -> Session:
        return Session(
            link,
            services,
            capacity=capacity,
            new_id=new_id,
            retention=retention,
            playback=playback,
            tools=registry,
            limits=limits,
            make_context=make_context,
            bounds=bounds,
        )

    # Without a history there is nothing to wait for.
    async def prepare(session: Session) -> None:  # noqa: ASYNC910
        session._begin_limits()
        if tools is None:  # what the server gives the model by itself stays when one more is added
            with suppress(LocalProtocolError):
                session._offered.begin_with(ToolRegistry.known(session.config.tools or ()))
        await _tell_history(session, entries, history_limit, new_id)

    def keep_up(session: Session, dial: OpenTransport, connect_timeout: float) -> Upkeep:
        assert reconnect is not None
        return session._keep_up(reconnect, history_limit)(dial, connect_timeout)

    following = nullcontext() if store is None else store._following()
    async with (
        following as follow,
        run_session(
            make,
            kind,
            SessionUpdate(event_id=new_id("evt_"), session=config)
            if config != SessionConfig()
            else None,
            model=model,
            url=url,
            transport=transport,
            record=record,
            options=connecting,
            prepare=prepare,
            keep_up=None if reconnect is None else keep_up,
        ) as session,
    ):
        if follow is not None:
            follow(session.conversation, session._hub.subscribe(*NOTED, kept=False))
        yield session


async def _tell_history(
    session: Session, entries: Sequence[Entry], limit: HistoryLimit, new_id: Callable[[str], str]
) -> None:
    """Recreate an earlier conversation in a session that has none.

    Raises:
        ConnectionFailed: The server refused it.
    """
    restored = restore(
        entries, new_id=new_id, encoding=session.conversation.input_encoding, limit=limit
    )
    if restored.older and limit.summarize is not None:
        summary = await limit.summarize(restored.older)
        restored = restored.summarized(summary, new_id("item_"))
    session._omissions = restored.omitted
    # All are sent before the first is awaited: one round trip for a history of any length.
    told = [await session._send_request(create) for create in restored.events]
    for pending in told:
        try:
            await session._wait_for_ack(pending)
        except ServerError as error:
            raise ConnectionFailed(
                f"the service refused the history: {error}", code=error.code
            ) from error
