"""Which tool calls of a session are open, and who may finish them: every call is answered once.

Owns the open calls from the moment the model makes them.  Pure: it is told what happened and
returns what is to be done.  It refuses to know how a function is run, and what the model says to
its output.

Theory of operation.  A call is open from `submit` until it is finished, and nothing else ends it:
whatever comes second, the tool with its result, the deadline, the user's speech or the end of
the session, finds it closed and changes nothing.  Finishing returns all that follows from it, so
the output is in the queue before anything else can happen, even while a tool that was stopped is
still cleaning up.  A call passes through these phases, and can be finished in each of them:

    QUEUED -> (needs approval) AWAITING_APPROVAL -> APPROVED -> RUNNING
    QUEUED -> (needs none)                                      RUNNING
"""

from __future__ import annotations

import enum
from collections.abc import Collection

from attrs import define, field

from realtime_trio._frozen import frozen
from realtime_trio._state.utility_events import (
    ToolApprovalRequested,
    ToolCallFinished,
    ToolCallProgress,
    ToolCallStarted,
    ToolOutcome,
    UtilityEvent,
)
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import FunctionCall, InputImage
from realtime_trio.tools.registry import LocalTool, ToolRegistry
from realtime_trio.tools.results import ToolOutput


class CallPhase(enum.Enum):
    """How far an open call is."""

    QUEUED = enum.auto()
    """It waits for a worker to look at its arguments."""
    AWAITING_APPROVAL = enum.auto()
    """Somebody must say yes or no."""
    APPROVED = enum.auto()
    """Somebody has said yes; it waits for a worker to run it."""
    RUNNING = enum.auto()
    """Its function runs."""


@define(eq=False)
class OpenCall:
    """A call of a tool that is not finished."""

    call: FunctionCall
    """What the model asked for."""
    tool: LocalTool[..., object]
    """What answers it."""
    phase: CallPhase = CallPhase.QUEUED
    """How far it is."""
    arguments: dict[str, object] = field(factory=dict, repr=False)
    """Keyword arguments of the function, once they have been read."""
    start: float | None = None
    """When its function began to run, None if it has not."""
    has_output: bool = False
    """Whether the model has an output already, though the call goes on."""
    output_elsewhere: str | None = None
    """The output that somebody else has given."""

    @property
    def call_id(self) -> str:
        """Its id, by which its output is told."""
        return str(self.call.call_id)


@frozen
class RunCall:
    """Give the call to a worker."""

    call: OpenCall


@frozen
class AwaitApproval:
    """See to it that the call does not wait for its approval forever."""

    call: OpenCall


@frozen
class StopClock:
    """Whatever limits the time of the call limits it no more."""

    call: OpenCall


@frozen
class Halt:
    """Stop the function of the call, if it runs."""

    call: OpenCall


@frozen
class PostOutput:
    """Send the output of a call."""

    call_id: str
    output: ToolOutput
    respond: bool


@frozen
class TellModel:
    """Send news of a call that had its output already."""

    call_id: str
    news: str
    attachments: tuple[InputImage, ...]
    respond: bool


@frozen
class Publish:
    """Publish an event."""

    event: UtilityEvent


ForWorkers = RunCall | AwaitApproval | StopClock | Halt
"""What concerns those who run the functions."""
ForSession = PostOutput | TellModel | Publish
"""What concerns the session."""
CallActions = tuple[ForWorkers | ForSession, ...]
"""What is to be done, in this order."""


class OpenCalls:
    """The calls of one session that are not finished."""

    def __init__(self) -> None:
        self._calls: dict[str, OpenCall] = {}
        self._is_closed = False

    @property
    def calls(self) -> tuple[FunctionCall, ...]:
        """The calls as the model made them, the oldest first."""
        return tuple(each.call for each in self._calls.values())

    def is_open(self, call: OpenCall) -> bool:
        """Whether it is not finished yet."""
        return self._calls.get(call.call_id) is call

    # --- from the model ---------------------------------------------------------------------------

    def submit(
        self, call: FunctionCall, tool: LocalTool[..., object] | None, offered: ToolRegistry
    ) -> CallActions:
        """Take a call that the model has made; one that is open already stays as it is.

        Args:
            call: The call.
            tool: What answers it; None if there is no such tool, which the model is then told.
            offered: The tools that there are, to tell the model of.
        """
        if str(call.call_id) in self._calls:
            return ()
        if tool is None:
            names = ", ".join(offered.names) or "none"
            output = ToolOutput.error(f"there is no tool named {call.name!r}; there are: {names}")
            return _answered(call, "unknown", output)
        opened = self._calls[str(call.call_id)] = OpenCall(call, tool)
        if self._is_closed:
            return self.finish(opened, "cancelled", ToolOutput.error("the session is ending"))
        return (RunCall(opened),)

    # --- from the workers -------------------------------------------------------------------------

    def read(
        self, call: OpenCall, arguments: dict[str, object], *, needs_approval: bool
    ) -> CallActions:
        """Its arguments fit; if somebody has to say yes first, the call is set aside."""
        call.arguments = arguments
        if not needs_approval:
            return ()
        call.phase = CallPhase.AWAITING_APPROVAL
        return AwaitApproval(call), Publish(ToolApprovalRequested(call=call.call))

    def started(self, call: OpenCall, now: float) -> CallActions:
        """Its function begins to run."""
        call.phase, call.start = CallPhase.RUNNING, now
        return (Publish(ToolCallStarted(call=call.call)),)

    def progress(self, call_id: str, progress: object) -> CallActions:
        """Its function reports how far it is; nothing follows once the call is finished."""
        call = self._calls.get(call_id)
        return (
            () if call is None else (Publish(ToolCallProgress(call=call.call, progress=progress)),)
        )

    def respond_early(
        self, call_id: str, output: ToolOutput, *, respond: bool | None
    ) -> CallActions:
        """Its function gives its output and goes on working.

        Raises:
            LocalProtocolError: The call has its output already.
        """
        call = self._calls.get(call_id)
        if call is None or call.has_output:
            raise LocalProtocolError(f"call {call_id!r} is answered already")
        call.has_output = True
        return (PostOutput(call_id, output, call.tool.respond if respond is None else respond),)

    def finish(
        self,
        call: OpenCall,
        outcome: ToolOutcome,
        output: ToolOutput,
        *,
        now: float = 0.0,
        respond: bool | None = None,
        is_news: bool = True,
    ) -> CallActions:
        """End a call if it is open; nothing follows otherwise.

        Args:
            call: The call.
            outcome: How it ended.
            output: What the model is told.
            now: The time, as that of `started`.
            respond: Whether the model should reply; None lets the tool decide.
            is_news: Whether the output is worth a message of its own, if the model has one already.
        """
        if not self.is_open(call):
            return ()
        del self._calls[call.call_id]
        respond = call.tool.respond if respond is None else respond
        duration = 0.0 if call.start is None else now - call.start
        if not call.has_output:
            return StopClock(call), *_answered(call.call, outcome, output, respond, duration)
        told: tuple[TellModel, ...] = ()
        if call.output_elsewhere is not None:
            output = ToolOutput(call.output_elsewhere)
        elif is_news:
            news = f"{call.tool.name} (call {call.call_id}) has finished: {output.text}"
            told = (TellModel(call.call_id, news, output.attachments, respond),)
        finished = _finished(call.call, outcome, output, duration)
        return StopClock(call), *told, Publish(finished)

    def stop(
        self,
        call: OpenCall,
        outcome: ToolOutcome,
        why: str,
        *,
        now: float = 0.0,
        respond: bool | None = None,
        is_news: bool = False,
    ) -> CallActions:
        """End a call for a reason of ours, and stop its function."""
        output = ToolOutput.error(why)
        finished = self.finish(call, outcome, output, now=now, respond=respond, is_news=is_news)
        return *finished, Halt(call)

    # --- from everybody else ----------------------------------------------------------------------

    def awaits_approval(self, call_id: str) -> bool:
        """Whether somebody must say yes or no to this call."""
        call = self._calls.get(call_id)
        return call is not None and call.phase is CallPhase.AWAITING_APPROVAL

    def approve(self, call_id: str) -> CallActions:
        """Somebody has said yes to a call that awaits approval."""
        call = self._calls[call_id]
        call.phase = CallPhase.APPROVED
        return StopClock(call), RunCall(call)

    def reject(self, call_id: str, reason: str | None) -> CallActions:
        """Somebody has said no to a call that awaits approval."""
        why = "the call was not approved" + (f": {reason}" if reason else "")
        return self.finish(self._calls[call_id], "rejected", ToolOutput.error(why))

    def expire(self, call: OpenCall, why: str) -> CallActions:
        """Nobody has decided in time."""
        if not self.is_open(call) or call.phase is not CallPhase.AWAITING_APPROVAL:
            return ()
        return self.finish(call, "timed_out", ToolOutput.error(why))

    def output_given_elsewhere(self, call_id: str, output: str, now: float) -> CallActions:
        """The application has answered with an event of its own.

        A tool that has not begun does not begin; one that runs has nothing more to say.
        """
        call = self._calls.get(call_id)
        if call is None or call.has_output:
            return ()
        call.has_output, call.output_elsewhere = True, output
        if call.phase is CallPhase.RUNNING:
            return ()
        return self.stop(call, "cancelled", "the call was answered", now=now)

    def cancel(self, call_id: str, now: float) -> CallActions:
        """Somebody does not want the call any more.

        Raises:
            LocalProtocolError: There is no such open call.
        """
        if call_id not in self._calls:
            raise LocalProtocolError(f"no tool is at work on a call {call_id!r}")
        return self.stop(self._calls[call_id], "cancelled", "the call was cancelled", now=now)

    def interrupt(self, now: float) -> CallActions:
        """The user takes the floor.

        Tools that want it are stopped, and the model replies to the user instead of to them.
        """
        stopped = [call for call in self._calls.values() if call.tool.on_interrupt == "cancel"]
        return self._stop_all(stopped, "the user interrupted", now)

    def give_up(self, call_ids: Collection[str], now: float) -> CallActions:
        """Nobody waits for the turn of these calls: tools that want it are stopped."""
        stopped = [
            call
            for call in self._calls.values()
            if call.call_id in call_ids and call.tool.on_interrupt == "cancel"
        ]
        return self._stop_all(stopped, "nobody waits for the answer any more", now)

    def close(self, now: float) -> CallActions:
        """The session is ending: answer everything that is open.  Idempotent."""
        self._is_closed = True
        return self._stop_all([*self._calls.values()], "the session is ending", now)

    def _stop_all(self, calls: list[OpenCall], why: str, now: float) -> CallActions:
        return tuple(
            action
            for call in calls
            for action in self.stop(call, "cancelled", why, now=now, respond=False)
        )


def _answered(
    call: FunctionCall,
    outcome: ToolOutcome,
    output: ToolOutput,
    respond: bool = True,
    duration: float = 0.0,
) -> tuple[PostOutput, Publish]:
    finished = _finished(call, outcome, output, duration)
    return PostOutput(str(call.call_id), output, respond), Publish(finished)


def _finished(
    call: FunctionCall, outcome: ToolOutcome, output: ToolOutput, duration: float
) -> ToolCallFinished:
    return ToolCallFinished(
        call=call,
        output=output.text,
        attachments=output.attachments,
        duration=duration,
        outcome=outcome,
    )
