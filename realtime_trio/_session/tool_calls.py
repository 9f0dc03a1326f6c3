"""Runs the tools of a session: so many at once, and each within its time.

Owns the tasks and the clocks.  Which calls are open, and what follows when one ends, is decided in
`_state.open_calls`; what concerns the session goes back to it as actions.

Workers are tasks that come with the calls, up to `concurrency`, and go when no call waits.  A call
that awaits approval occupies none.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import trio

from realtime_trio._frozen import frozen
from realtime_trio._misuse import check_number
from realtime_trio._runtime.nursery import ServiceNursery, leaves_of
from realtime_trio._state.open_calls import (
    AwaitApproval,
    CallActions,
    CallPhase,
    ForSession,
    Halt,
    OpenCall,
    OpenCalls,
    RunCall,
    StopClock,
)
from realtime_trio.events import FunctionCall
from realtime_trio.tools.arguments import ToolArgumentsError
from realtime_trio.tools.failures import (
    ToolErrors,
    check_tool_errors,
    type_for_model,
    words_for_model,
)
from realtime_trio.tools.registry import LocalTool
from realtime_trio.tools.results import ToolOutput, ToolResultError, cut_off
from realtime_trio.tools.schema import Injected

_logger = logging.getLogger("realtime_trio.tools")

_NOT_A_FAULT: Final = (trio.Cancelled, KeyboardInterrupt, SystemExit, GeneratorExit)
"""What comes out of a tool and is not its fault; everything else is, also what asyncio raises.
`sys.exit` is meant for the program, wherever it is called, and ends it as Ctrl-C does."""
DEFAULT_OUTPUT_LIMIT: Final = 32_768
"""Characters of the longest output of a tool.  At about four characters a token it is a quarter of
the 32k tokens that the smaller models read at once, instructions and all turns included."""
_MOST_ABANDONED: Final = 32
"""Threads that may hang on after their time is over without keeping a later tool from running."""


@frozen(kw_only=True)
class ToolLimits:
    """How many tools at once, how long, and how much of them the model is told.

    Raises:
        TypeError: A limit is not a number, or `errors` is nothing that can be meant.
        LocalProtocolError: A limit is not more than 0, or `errors` is an unknown word.
    """

    concurrency: int
    """Tools that run at the same time, and threads for those of them that block."""
    timeout: float
    """Seconds a tool may run that says nothing else itself; `math.inf` lets it."""
    approval_timeout: float
    """Seconds a call waits for its approval."""
    errors: ToolErrors
    """What the model is told about an exception."""
    output_limit: int | None
    """Characters of the longest output; None lets any pass."""

    def __attrs_post_init__(self) -> None:
        # By the names of the arguments that they were given as.
        check_number(
            "tool_concurrency",
            self.concurrency,
            lambda many: many >= 1 and (many == math.inf or many.is_integer()),
            allowed="a whole number from 1 up",
        )
        for name, seconds in (
            ("tool_timeout", self.timeout),
            ("approval_timeout", self.approval_timeout),
        ):
            check_number(name, seconds, lambda value: value > 0, allowed="more than 0 seconds")
        check_tool_errors(self.errors)
        if self.output_limit is not None:
            check_number(
                "tool_output_limit",
                self.output_limit,
                lambda many: many >= 1 and many.is_integer(),
                allowed="a whole number of characters from 1 up, or None",
            )

    @property
    def nobody_approved(self) -> str:
        """What the model is told when the time for an approval is over."""
        return f"nobody approved the call within {self.approval_timeout:g} s"


class MakeContext(Protocol):
    """Makes the context of a call, for tools that want to know about it."""

    def __call__(
        self,
        *,
        call: FunctionCall,
        deadline: float,
        report: Callable[[object], None],
        respond_early: Callable[[object, bool | None], None],
    ) -> Injected:
        """Make the context of one call."""
        ...


class ToolWorkers:
    """The tools of one session at work.

    Everything but the tools themselves is synchronous and belongs to the thread of the trio loop.

    Args:
        calls: The calls that are open.
        services: Runs the workers and the clocks.
        limits: How much at once, and how long.
        tell: Does what concerns the session, at once.
        make_context: Makes the context of a call.
    """

    def __init__(
        self,
        calls: OpenCalls,
        services: ServiceNursery,
        limits: ToolLimits,
        *,
        tell: Callable[[ForSession], None],
        make_context: MakeContext,
    ) -> None:
        self._calls = calls
        self._services = services
        self._limits = limits
        self._tell = tell
        self._make_context = make_context
        self._threads: trio.CapacityLimiter | None = None
        """Made for the first tool that blocks."""
        self._queue: list[OpenCall] = []
        self._workers = 0
        self._running: dict[OpenCall, trio.CancelScope] = {}
        self._clocks: dict[OpenCall, trio.CancelScope] = {}
        self._loop = trio.lowlevel.current_trio_token()

    def act(self, actions: CallActions) -> None:
        """Do what follows from something that happened to a call, in its order."""
        for action in actions:
            match action:
                case RunCall(call):
                    self._enqueue(call)
                case AwaitApproval(call):
                    self._start_clock(call, self._expire_approval, self._limits.approval_timeout)
                case StopClock(call):
                    if clock := self._clocks.pop(call, None):
                        clock.cancel()
                case Halt(call):
                    # Its output has been posted before: a tool that is slow to stop delays nothing.
                    if call in self._running:
                        self._running[call].cancel()
                case _:
                    self._tell(action)

    # --- workers ----------------------------------------------------------------------------------

    def _enqueue(self, call: OpenCall) -> None:
        self._queue.append(call)
        # Tasks come with the calls: a session whose model calls nothing has none.
        if self._workers < self._limits.concurrency:
            self._workers += 1
            self._services.start_soon(self._work)

    async def _work(self) -> None:  # noqa: ASYNC910 - it begins with a call to work on
        try:
            while self._queue:
                await self._process(self._queue.pop(0))
        finally:
            # No checkpoint since the queue was empty: a call that comes now starts a new worker.
            self._workers -= 1

    async def _process(self, call: OpenCall) -> None:
        # What came out of the queue may have been finished while it waited there.
        if self._calls.is_open(call) and (call.phase is CallPhase.APPROVED or self._read(call)):
            await self._run(call)
        else:
            await trio.lowlevel.checkpoint()

    def _read(self, call: OpenCall) -> bool:
        """Look at the arguments; returns whether the tool may run now.

        A call that does not fit is answered, and one that needs approval is set aside.
        """
        try:
            arguments = call.tool.read_arguments(call.call.arguments)
            needs_approval = call.tool.needs_approval(arguments)
        except ToolArgumentsError as error:
            self.act(self._calls.finish(call, "invalid", self._error(str(error))))
            return False
        except BaseException as error:  # noqa: ASYNC103 - most are the fault of the predicate
            faults, others = _split(error)
            if faults is None or others is not None:
                raise
            self._fail(call, faults)
            return False  # noqa: ASYNC104
        self.act(self._calls.read(call, arguments, needs_approval=needs_approval))
        return not needs_approval

    async def _run(self, call: OpenCall) -> None:  # noqa: ASYNC910 - a tool may have no checkpoint
        timeout = self._limits.timeout if call.tool.timeout is None else call.tool.timeout
        start = trio.current_time()
        # The clock is not this scope's deadline: it answers in time even if the tool does not stop.
        scope = self._running[call] = trio.CancelScope()
        if timeout < math.inf:
            self._start_clock(call, self._expire, timeout)
        self.act(self._calls.started(call, start))
        try:
            with scope:
                result = await self._call(call, start + timeout)
                # Inside: a tool that was stopped has no result to finish with.
                self._finish(call, result)
        except ToolResultError as error:
            _logger.error("tool %s: %s", call.tool.name, error)
            self._end_badly(call, self._error(str(error)))
        except BaseException as error:  # noqa: ASYNC103 - all but _NOT_A_FAULT is the tool's
            faults, others = _split(error)
            if faults is not None:
                self._fail(call, faults)
            if others is not None:
                raise others from None  # noqa: ASYNC104
        finally:
            del self._running[call]

    async def _call(self, call: OpenCall, deadline: float) -> object:
        context = self._context_of(call, deadline) if call.tool.wants_context else None
        if call.tool.is_async:
            result = call.tool.call(call.arguments, context)
        else:
            boxed = partial(_boxed, call.tool, call.arguments, context)
            (result,) = await trio.to_thread.run_sync(
                boxed, abandon_on_cancel=True, limiter=self._thread_limit()
            )
        # A plain function may return a coroutine, e.g. a lambda or a partial around an async one.
        if inspect.isawaitable(result):
            return await result
        return result  # noqa: ASYNC910 - it came out of a thread

    def _thread_limit(self) -> trio.CapacityLimiter:
        # Not trio's default limiter: tools that block would starve the application's own threads.
        if self._threads is None:
            most = self._limits.concurrency + _MOST_ABANDONED
            # A whole number may be a float, of which trio takes infinity alone.
            self._threads = trio.CapacityLimiter(most if most == math.inf else int(most))
        return self._threads

    def _finish(self, call: OpenCall, result: object) -> None:
        output, now = self._output_of(call, result), trio.current_time()
        is_news = result is not None
        self.act(self._calls.finish(call, "completed", output, now=now, is_news=is_news))

    def _fail(self, call: OpenCall, error: BaseException) -> None:
        """Tell the log what went wrong and where, and the model as much as it may know."""
        _logger.error("tool %s failed", call.tool.name, exc_info=error)
        self._end_badly(call, self._error("; ".join(map(self._words, leaves_of(error)))))

    def _words(self, error: BaseException) -> str:
        try:
            return words_for_model(error, self._limits.errors)
        except Exception:  # the application's function runs in there
            _logger.exception("tool_errors failed; the model is told the class of the exception")
            return type_for_model(error)

    def _error(self, message: str) -> ToolOutput:
        # Cut before it is written as JSON, which would otherwise end in the middle.
        return ToolOutput.error(cut_off(message, self._limits.output_limit))

    def _output_of(self, call: OpenCall, result: object) -> ToolOutput:
        output = ToolOutput.of(result)
        text = cut_off(output.text, self._limits.output_limit)
        if text is output.text:
            return output
        _logger.warning(
            "tool %s: the output of %d characters was cut off after %d",
            call.tool.name,
            len(output.text),
            self._limits.output_limit,
        )
        return ToolOutput(text, output.attachments)

    def _end_badly(self, call: OpenCall, output: ToolOutput) -> None:
        self.act(self._calls.finish(call, "failed", output, now=trio.current_time()))

    # --- clocks -----------------------------------------------------------------------------------

    def _start_clock(
        self, call: OpenCall, expire: Callable[[OpenCall, float], None], seconds: float
    ) -> None:
        # The scope exists before its task runs, so that the clock can be stopped from now on.
        clock = self._clocks[call] = trio.CancelScope()
        deadline = trio.current_time() + seconds
        self._services.start_soon(self._watch, clock, deadline, partial(expire, call, seconds))

    async def _watch(  # noqa: ASYNC910 - only a stopped clock cancels it on entry
        self, clock: trio.CancelScope, deadline: float, expire: Callable[[], None]
    ) -> None:
        with clock:
            await trio.sleep_until(deadline)
            expire()

    def _expire(self, call: OpenCall, seconds: float) -> None:
        """Answer when the time is over, even if the tool takes its time to notice."""
        why, now = f"the tool did not finish within {seconds:g} s", trio.current_time()
        self.act(self._calls.stop(call, "timed_out", why, now=now, is_news=True))

    def _expire_approval(self, call: OpenCall, _: float) -> None:
        self.act(self._calls.expire(call, self._limits.nobody_approved))

    # --- what a running tool may do ---------------------------------------------------------------

    def _context_of(self, call: OpenCall, deadline: float) -> Injected:
        def report(progress: object) -> None:
            self._in_loop(lambda: self.act(self._calls.progress(call.call_id, progress)))

        def respond_early(result: object, respond: bool | None) -> None:
            def act() -> None:
                output = self._output_of(call, result)
                self.act(self._calls.respond_early(call.call_id, output, respond=respond))

            self._in_loop(act)

        return self._make_context(
            call=call.call, deadline=deadline, report=report, respond_early=respond_early
        )

    def _in_loop(self, act: Callable[[], None]) -> None:
        """Do something in the loop of the session, from wherever a tool may run.

        Raises:
            RuntimeError: The caller runs another loop in its thread, which cannot wait for this
                one.
        """
        try:
            loop = trio.lowlevel.current_trio_token()
        except RuntimeError:  # a thread
            loop = None
        if loop is self._loop:
            act()
        else:
            trio.from_thread.run_sync(act, trio_token=self._loop)


def _boxed(
    tool: LocalTool[..., object], arguments: dict[str, object], context: Injected | None
) -> tuple[object]:
    """Call a function in a thread.

    The result is boxed because trio takes a coroutine that comes out of a thread for a mistake.
    """
    return (tool.call(arguments, context),)


def _split(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """What a tool is to blame for, and the rest."""
    if isinstance(error, BaseExceptionGroup):
        others, faults = error.split(_NOT_A_FAULT)
        return faults, others
    return (None, error) if isinstance(error, _NOT_A_FAULT) else (error, None)
