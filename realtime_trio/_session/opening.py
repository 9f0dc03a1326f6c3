"""Opening a voice session, from keywords to a session that is ready."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from realtime_trio import _elsewhere
from realtime_trio._misuse import check_kind
from realtime_trio._protocol.chosen_model import ChosenModel
from realtime_trio._protocol.endpoint import Endpoint
from realtime_trio._protocol.kinds import SessionKind
from realtime_trio._runtime.nursery import ServiceNursery
from realtime_trio._session.ids import generate_id
from realtime_trio._session.input_audio import check_prices
from realtime_trio._session.link import Link
from realtime_trio._session.parts import SessionParts
from realtime_trio._session.running import check_arguments, run_session
from realtime_trio._session.tool_calls import DEFAULT_OUTPUT_LIMIT, MakeContext, ToolLimits
from realtime_trio._session.tool_context import ToolContext
from realtime_trio._session.voice import Session
from realtime_trio._state.conversation.audio import (
    DEFAULT_RETENTION,
    Retention,
    check_retention,
)
from realtime_trio._state.conversation.history import Entry, read_history
from realtime_trio._state.conversation.size import NO_LIMIT, HistoryLimit
from realtime_trio._state.costs import Costs
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
from realtime_trio.tools.failures import ToolErrors
from realtime_trio.tools.registry import AnyTool, ToolRegistry

# What a session has only if it is asked for, and is loaded then.
if TYPE_CHECKING:
    from realtime_trio import history as stores, money
    from realtime_trio._session import limits, playing
    from realtime_trio._session.lasting import policy
    from realtime_trio._state.conversation import keeping, restoring
    from realtime_trio.playback import playback as playbacks
else:
    stores = _elsewhere.module("realtime_trio.history")
    money = _elsewhere.module("realtime_trio.money")
    limits = _elsewhere.module("realtime_trio._session.limits")
    playing = _elsewhere.module("realtime_trio._session.playing")
    policy = _elsewhere.module("realtime_trio._session.lasting.policy")
    keeping = _elsewhere.module("realtime_trio._state.conversation.keeping")
    restoring = _elsewhere.module("realtime_trio._state.conversation.restoring")
    playbacks = _elsewhere.module("realtime_trio.playback.playback")


class SessionOptions(ConnectOptions, SessionSettings, total=False):
    """Every keyword of `open_session`: how to connect, and the settings of the session."""


@asynccontextmanager
async def open_session(
    model: str | None = None,
    *,
    url: str | Endpoint | None = None,
    transport: Transport | OpenTransport | None = None,
    reconnect: policy.Reconnect | None = None,
    record: str | os.PathLike[str] | None = None,
    tools: Iterable[AnyTool] | None = None,
    tool_concurrency: int = 8,
    tool_timeout: float = 60.0,
    approval_timeout: float = 300.0,
    tool_errors: ToolErrors = "type",
    tool_output_limit: int | None = DEFAULT_OUTPUT_LIMIT,
    history: Iterable[JsonObject] = (),
    history_limit: HistoryLimit = NO_LIMIT,
    store: stores.ConversationStore | None = None,
    retention: Retention = DEFAULT_RETENTION,
    playback: playbacks.Playback | None = None,
    prices: money.Prices | None = None,
    budget: money.Budget | None = None,
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
        ConnectionLost: The connection ended in the middle of the block, or while the history was
            being told, in any other way than a clean close.  It leaves bare, not in a group; an
            exception of the block wins over it and gets a note.
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
    check_prices(prices)
    if playback is not None:
        playing.check_playback(playback)
    if reconnect is not None:
        check_kind("reconnect", reconnect, policy.Reconnect, allowed="a Reconnect or None")
    is_limited = budget is not None or idle_timeout is not None
    if is_limited:
        limits.check_limits(budget, idle_timeout)
    settings: Any = {
        name: value for name, value in options.items() if name in SessionSettings.__annotations__
    }
    connecting: Any = {
        name: value for name, value in options.items() if name in ConnectOptions.__annotations__
    }
    registry = ToolRegistry(tools or ())
    tool_limits = ToolLimits(
        concurrency=tool_concurrency,
        timeout=tool_timeout,
        approval_timeout=approval_timeout,
        errors=tool_errors,
        output_limit=tool_output_limit,
    )
    # UNSET leaves the server's tools alone; an empty list clears them.
    config = SessionConfig.of(tools=UNSET if tools is None else registry.definitions, **settings)
    check_kind("history_limit", history_limit, HistoryLimit, allowed="a HistoryLimit")
    entries = read_history(history)
    if store is not None:
        check_kind(
            "store", store, stores.ConversationStore, allowed="a store of open_store(), or None"
        )
        if entries:
            raise LocalProtocolError(
                "a session begins with a history or with a store, not with both"
            )
        entries = read_history(await store.history())

    kind = SessionKind.REALTIME
    if transport is None:
        asked = model_asked_for(url, kind, model)
    else:
        # What its address asks for is not known, unless it is said here.
        asked = None if model is None else ChosenModel(model, "the argument model=")
    bounds = None
    if is_limited:
        if budget is not None and budget.usd is not None and prices is None:
            prices = await limits.load_prices()
        bounds = limits.make_limits(
            budget,
            prices,
            asked,
            idle_timeout=idle_timeout,
            close_timeout=websocket_settings(connecting).close_timeout,
        )
    if bounds is not None and bounds.meter is not None:
        costs = bounds.meter.costs
    elif asked is not None:
        costs = Costs(asked.name, is_default=asked.is_default)
    else:
        costs = Costs()

    def make(link: Link, services: ServiceNursery) -> Session:
        parts = SessionParts(
            link=link,
            services=services,
            capacity=capacity,
            new_id=new_id,
            retention=retention,
            costs=costs,
            prices=prices,
            playback=playback,
            limits=bounds,
        )
        return Session(parts, tools=registry, tool_limits=tool_limits, make_context=_contexts_of)

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
            prepare=partial(
                _prepare,
                keeps_tools=tools is None,
                entries=entries,
                limit=history_limit,
                new_id=new_id,
            ),
            keep_up=None
            if reconnect is None
            else partial(Session._keep_up, reconnect=reconnect, limit=history_limit),
        ) as session,
    ):
        if follow is not None:
            follow(session.conversation, session._hub.subscribe(*keeping.NOTED, kept=False))
        yield session


def _contexts_of(session: Session) -> MakeContext:
    return partial(ToolContext, session=session)


# Without a history there is nothing to wait for.
async def _prepare(  # noqa: ASYNC910
    session: Session,
    *,
    keeps_tools: bool,
    entries: Sequence[Entry],
    limit: HistoryLimit,
    new_id: Callable[[str], str],
) -> None:
    """Do what is still to be done with a session that is ready."""
    session._begin_limits()
    if keeps_tools:  # what the server gives the model by itself stays when one more is added
        with suppress(LocalProtocolError):
            session._offered.begin_with(ToolRegistry.known(session.config.tools or ()))
    if entries:
        await _tell_history(session, entries, limit, new_id)


# All of it may be left out, and then there is nothing to wait for.
async def _tell_history(  # noqa: ASYNC910
    session: Session, entries: Sequence[Entry], limit: HistoryLimit, new_id: Callable[[str], str]
) -> None:
    """Recreate an earlier conversation in a session that has none.

    Raises:
        ConnectionFailed: The server refused it.
    """
    restored = restoring.restore(
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
