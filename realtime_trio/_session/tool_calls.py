"""Runs the tools of a session: so many at once, each within its time, and every call is answered exactly once.

Owns the calls that are open.  Refuses to know what a response is or when the model replies: it
answers, and `turns` sees to the rest.

Theory of operation.  A call is open from `submit` until `_finish`, and nothing else ends it:
whoever comes second, be it the tool with its result, the deadline, the user's speech or the end of
the session, finds it closed and does nothing.  Finishing is synchronous, so the answer is in the
outbox before anybody else can act, even if a tool that was cancelled is still cleaning up.  Workers
are tasks that come with the calls, up to `concurrency`, and go when no call waits; a call that
waits for approval occupies none.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field, frozen

from realtime_trio._runtime.nursery import ServiceNursery, leaves_of
from realtime_trio._session.tool_context import ToolContext
from realtime_trio._state.utility_events import (
    ToolApprovalRequested,
    ToolCallFinished,
    ToolCallProgress,
    ToolCallStarted,
    ToolOutcome,
)
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import FunctionCall, McpApprovalRequest
from realtime_trio.tools.arguments import ToolArgumentsError
from realtime_trio.tools.registry import LocalTool, ToolRegistry
from realtime_trio.tools.results import ToolResultError, encode_result

if TYPE_CHECKING:
    from realtime_trio._session.voice import Session

_logger = logging.getLogger("realtime_trio.tools")

_NOT_A_FAULT: Final = (trio.Cancelled, KeyboardInterrupt, GeneratorExit)
"""What comes out of a tool and is not its fault; everything else is, also what asyncio and
`sys.exit` raise."""
_MOST_ABANDONED: Final = 32
"""Threads that may hang on after their time is over without keeping a later tool from running."""


@frozen(kw_only=True)
class ToolLimits:
    """How much at once, and how long.

    Raises:
        LocalProtocolError: A limit is not more than 0.
    """

    concurrency: int = 8
    """Tools that run at the same time, and threads for those of them that block."""
    timeout: float = 60.0
    """Seconds a tool may run that says nothing else itself; `math.inf` lets it."""
    approval_timeout: float = 300.0
    """Seconds a call waits for its approval."""

    def __attrs_post_init__(self) -> None:
        for name, value in (("concurrency", self.concurrency), ("timeout", self.timeout)):
            if not value > 0:
                raise LocalProtocolError(f"tool_{name} must be more than 0, not {value}")
        if not self.approval_timeout > 0:
            raise LocalProtocolError(
                f"approval_timeout must be more than 0 seconds, not {self.approval_timeout}"
            )


@define(eq=False)
class _Job:
    """An open call."""

    call: FunctionCall
    tool: LocalTool[..., object]
    arguments: dict[str, object] = field(factory=dict)
    start: float | None = None  # when the tool began to run
    scope: trio.CancelScope = field(factory=trio.CancelScope)  # around the tool while it runs
    watch: trio.CancelScope = field(
        factory=trio.CancelScope
    )  # around who looks at the clock meanwhile
    approval: trio.Event | None = None  # set when somebody has said yes, or the call is over
    has_answered: bool = False  # early: the model has its output
    by_hand: str | None = None  # the output that somebody else gave

    @property
    def call_id(self) -> str:
        return str(self.call.call_id)


class ToolExecutor:
    """The tools of one session at work.  Everything but the tools themselves is synchronous and belongs to the thread of the trio loop.

    Args:
        session: Whose tools they are: answers are posted and events are published there.
        services: Runs the workers.
        registry: The tools.
        limits: How much at once, and how long.
    """

    def __init__(
        self, session: Session, services: ServiceNursery, registry: ToolRegistry, limits: ToolLimits
    ) -> None:
        self.registry = registry
        self._former = ToolRegistry()
        self._session = session
        self._services = services
        self._limits = limits
        self._threads = trio.CapacityLimiter(limits.concurrency + _MOST_ABANDONED)
        self._jobs: dict[str, _Job] = {}
        self._queue: deque[_Job] = deque()
        self._workers = 0
        self._hosted: dict[
            str, trio.Event
        ] = {}  # approvals of calls on MCP servers that wait -> set when decided
        self._loop = trio.lowlevel.current_trio_token()
        self._is_closed = False

    @property
    def open_calls(self) -> tuple[FunctionCall, ...]:
        """Calls that are not finished: waiting, running or in need of approval."""
        return tuple(job.call for job in self._jobs.values())

    # --- tools ------------------------------------------------------------------------------------

    def offer(self, tools: ToolRegistry) -> None:
        """Put these tools in place, because the server is about to be told of them.  Those before are called by who does not know yet."""
        self._former, self.registry = self.registry, tools

    def confirm(self) -> None:
        """The server knows: nobody calls the former tools any more."""
        self._former = ToolRegistry()

    def knows(self, name: str) -> bool:
        """Whether calls of this name are answered here."""
        return isinstance(self.registry.get(name) or self._former.get(name), LocalTool)

    # --- calls ------------------------------------------------------------------------------------

    def submit(self, call: FunctionCall) -> None:
        """Take a call that the model has made, unless it is open already or its tool has no function and somebody else answers for it."""
        known = self.registry.get(call.name) or self._former.get(call.name)
        if str(call.call_id) in self._jobs or (
            known is not None and not isinstance(known, LocalTool)
        ):
            return
        if known is None:
            names = ", ".join(self.registry.names)
            self._close_call(
                call,
                "unknown",
                _error(f"there is no tool named {call.name!r}; there are: {names or 'none'}"),
            )
            return
        job = self._jobs[str(call.call_id)] = _Job(call, known)
        if self._is_closed:
            self._finish(job, "cancelled", _error("the session is ending"))
        else:
            self._enqueue(job)

    def approve(self, call_id: str) -> bool:
        """Let a call run that waits for approval; False if none of this id does."""
        job = self._jobs.get(call_id)
        if job is None or job.approval is None or job.approval.is_set():
            return False
        job.approval.set()
        return True

    def reject(self, call_id: str, reason: str | None) -> bool:
        """Answer a call that waits for approval with a refusal; False if none of this id does."""
        if not self.approve(call_id):
            return False
        self._finish(
            self._jobs[call_id],
            "rejected",
            _error("the call was not approved" + (f": {reason}" if reason else "")),
        )
        return True

    def answered_by_hand(self, call_id: str, output: str) -> None:
        """Note that somebody else has answered: a tool that has not begun does not, and one that runs has nothing more to say."""
        job = self._jobs.get(call_id)
        if job is None or job.has_answered:
            return
        job.has_answered, job.by_hand = True, output
        if job.start is None:
            self._stop(job, "cancelled", "the call was answered")

    def cancel(self, call_id: str) -> None:
        """Answer a call as cancelled and stop its tool.

        Raises:
            LocalProtocolError: There is no such open call.
        """
        if call_id not in self._jobs:
            raise LocalProtocolError(f"no tool is at work on a call {call_id!r}")
        self._stop(self._jobs[call_id], "cancelled", "the call was cancelled")

    def interrupt(self) -> None:
        """The user takes the floor: stop the tools that wish to be, and let the model reply to the user instead of to them."""
        for job in [job for job in self._jobs.values() if job.tool.on_interrupt == "cancel"]:
            self._stop(job, "cancelled", "the user interrupted", respond=False)

    def close(self) -> None:
        """The session is ending: answer everything that is open.  Idempotent."""
        self._is_closed = True
        for job in [*self._jobs.values()]:
            self._stop(job, "cancelled", "the session is ending", respond=False)
        for decided in self._hosted.values():
            decided.set()
        self._hosted.clear()

    # --- what a running tool may do ---------------------------------------------------------------

    def in_loop(self, act: Callable[[], None]) -> None:
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

    def report(self, call: FunctionCall, progress: object) -> None:
        """Publish how far a call is; nothing happens once it is finished."""
        if str(call.call_id) in self._jobs:
            self._session._hub.publish(ToolCallProgress(call=call, progress=progress))

    def answer(self, call: FunctionCall, result: object, *, respond: bool | None) -> None:
        """Answer a call whose tool goes on.

        Raises:
            LocalProtocolError: The call is answered already.
            ToolResultError: The result is not JSON.
        """
        job = self._jobs.get(str(call.call_id))
        if job is None or job.has_answered:
            raise LocalProtocolError(f"call {call.call_id!r} is answered already")
        output = encode_result(result)
        job.has_answered = True
        self._session._answer_call(
            job.call_id, output, respond=job.tool.respond if respond is None else respond
        )

    # --- approvals of calls on MCP servers --------------------------------------------------------

    def await_decision(self, request: McpApprovalRequest) -> None:
        """Note that a call on an MCP server needs approval, and see to it that it does not wait forever."""
        if not self._is_closed and request.id not in self._hosted:
            self._hosted[request.id] = trio.Event()
            self._services.start_soon(self._expire_hosted, request.id, self._hosted[request.id])

    def take_decision(self, request_id: str) -> None:
        """Note that an approval is being decided.

        Raises:
            LocalProtocolError: None of this id waits.
        """
        if request_id not in self._hosted:
            raise LocalProtocolError(f"no call {request_id!r} waits for approval")
        self._hosted.pop(request_id).set()

    def decided_by_hand(self, request_id: str) -> None:
        """Note that somebody has decided with an event of their own."""
        if request_id in self._hosted:
            self.take_decision(request_id)

    async def _expire_hosted(self, request_id: str, decided: trio.Event) -> None:
        with trio.move_on_after(self._limits.approval_timeout):
            await decided.wait()
        if request_id in self._hosted:
            self.take_decision(request_id)
            self._session._post_decision(request_id, approve=False, reason=self._nobody_approved)

    # --- inside -----------------------------------------------------------------------------------

    @property
    def _nobody_approved(self) -> str:
        return f"nobody approved the call within {self._limits.approval_timeout:g} s"

    def _enqueue(self, job: _Job) -> None:
        self._queue.append(job)
        if self._workers < self._limits.concurrency:
            self._workers += 1
            self._services.start_soon(self._work)

    async def _work(self) -> None:  # noqa: ASYNC910 - it begins with a call to work on
        try:
            while self._queue:
                await self._process(self._queue.popleft())
        finally:
            self._workers -= 1

    async def _process(self, job: _Job) -> None:
        if not self._is_open(job):
            await trio.lowlevel.checkpoint()
        elif job.approval is not None or self._may_run(job):
            await self._run(job)
        else:
            await trio.lowlevel.checkpoint()

    def _may_run(self, job: _Job) -> bool:
        """Look at the arguments; a call that does not fit is answered, and one that needs approval is set aside."""
        try:
            job.arguments = job.tool.read_arguments(job.call.arguments)
            needs_approval = job.tool.needs_approval(job.arguments)
        except ToolArgumentsError as error:
            self._finish(job, "invalid", _error(str(error)))
            return False
        except BaseException as error:  # noqa: ASYNC103 - of the predicate, which is to blame for most of them
            faults, others = _split(error)
            if faults is None or others is not None:
                raise
            self._fail(job, faults)
            return False  # noqa: ASYNC104
        if needs_approval:
            job.approval = trio.Event()
            self._services.start_soon(self._await_approval, job, job.approval)
            self._session._hub.publish(ToolApprovalRequested(call=job.call))
        return not needs_approval

    async def _await_approval(self, job: _Job, approval: trio.Event) -> None:
        with trio.move_on_after(self._limits.approval_timeout) as waiting:
            await approval.wait()
        if waiting.cancelled_caught and not approval.is_set():
            approval.set()
            self._finish(job, "timed_out", _error(self._nobody_approved))
        elif self._is_open(job):
            self._enqueue(job)

    async def _run(self, job: _Job) -> None:  # noqa: ASYNC910 - a tool without a checkpoint has none
        timeout = self._limits.timeout if job.tool.timeout is None else job.tool.timeout
        job.start = trio.current_time()
        if timeout < math.inf:
            self._services.start_soon(self._watch, job, timeout)
        self._session._hub.publish(ToolCallStarted(call=job.call))
        try:
            with job.scope:
                result = await self._call(job, job.start + timeout)
                self._finish(job, "completed", encode_result(result), is_news=result is not None)
        except ToolResultError as error:
            _logger.error("tool %s: %s", job.tool.name, error)
            self._finish(job, "failed", _error(str(error)))
        except BaseException as error:  # noqa: ASYNC103 - the tool is to blame for all but Cancelled and Ctrl-C
            faults, others = _split(error)
            if faults is not None:
                self._fail(job, faults)
            if others is not None:
                raise others from None  # noqa: ASYNC104

    async def _watch(self, job: _Job, seconds: float) -> None:  # noqa: ASYNC910 - only a finished job cancels it on entry
        """Answer when the time is over, even if the tool takes its time to notice."""
        assert job.start is not None
        with job.watch:
            await trio.sleep_until(job.start + seconds)
            self._stop(
                job, "timed_out", f"the tool did not finish within {seconds:g} s", is_news=True
            )

    async def _call(self, job: _Job, deadline: float) -> object:
        context = (
            ToolContext(session=self._session, call=job.call, deadline=deadline)
            if job.tool.wants_context
            else None
        )
        if job.tool.is_async:
            result = job.tool.call(job.arguments, context)
        else:
            call = partial(_boxed, job.tool, job.arguments, context)
            (result,) = await trio.to_thread.run_sync(
                call, abandon_on_cancel=True, limiter=self._threads
            )
        if inspect.isawaitable(result):
            return await result
        return result  # noqa: ASYNC910 - it came out of a thread

    def _fail(self, job: _Job, error: BaseException) -> None:
        """Tell the model what went wrong, and the log where."""
        _logger.error("tool %s failed", job.tool.name, exc_info=error)
        self._finish(job, "failed", _error("; ".join(map(_words, leaves_of(error)))))

    def _stop(
        self,
        job: _Job,
        outcome: ToolOutcome,
        why: str,
        *,
        respond: bool | None = None,
        is_news: bool = False,
    ) -> None:
        self._finish(job, outcome, _error(why), respond=respond, is_news=is_news)
        job.scope.cancel()
        if job.approval is not None:
            job.approval.set()

    def _is_open(self, job: _Job) -> bool:
        return self._jobs.get(job.call_id) is job

    def _finish(
        self,
        job: _Job,
        outcome: ToolOutcome,
        output: str,
        *,
        respond: bool | None = None,
        is_news: bool = True,
    ) -> None:
        """Answer a call if it is open; one that was answered early is followed by a message, if there is any news."""
        if not self._is_open(job):
            return
        del self._jobs[job.call_id]
        job.watch.cancel()
        respond = job.tool.respond if respond is None else respond
        duration = 0.0 if job.start is None else trio.current_time() - job.start
        if not job.has_answered:
            self._close_call(job.call, outcome, output, respond=respond, duration=duration)
            return
        if job.by_hand is not None:
            output = job.by_hand
        elif is_news:
            self._session._tell_model(
                job.call_id,
                f"{job.tool.name} (call {job.call_id}) has finished: {output}",
                respond=respond,
            )
        self._session._hub.publish(
            ToolCallFinished(call=job.call, output=output, duration=duration, outcome=outcome)
        )

    def _close_call(
        self,
        call: FunctionCall,
        outcome: ToolOutcome,
        output: str,
        *,
        respond: bool = True,
        duration: float = 0.0,
    ) -> None:
        self._session._answer_call(str(call.call_id), output, respond=respond)
        self._session._hub.publish(
            ToolCallFinished(call=call, output=output, duration=duration, outcome=outcome)
        )


def _boxed(
    tool: LocalTool[..., object], arguments: dict[str, object], context: ToolContext | None
) -> tuple[object]:
    """Call a function in a thread; boxed, because trio takes a coroutine that comes out of a thread for a mistake."""
    return (tool.call(arguments, context),)


def _split(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """What a tool is to blame for, and the rest."""
    if isinstance(error, BaseExceptionGroup):
        others, faults = error.split(_NOT_A_FAULT)
        return faults, others
    return (None, error) if isinstance(error, _NOT_A_FAULT) else (error, None)


def _error(message: str) -> str:
    """An answer that says that there is no result, in the shape that models know."""
    return encode_result({"error": message.encode(errors="replace").decode()})


def _words(error: BaseException) -> str:
    try:
        return str(error) or type(error).__name__
    except Exception:
        return type(error).__name__
