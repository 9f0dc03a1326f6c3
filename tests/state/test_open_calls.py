"""Which calls are open and who may finish them: exactly one output for each of them."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from realtime_trio._state.open_calls import (
    AwaitApproval,
    CallActions,
    CallPhase,
    Halt,
    OpenCall,
    OpenCalls,
    PostOutput,
    Publish,
    RunCall,
    StopClock,
    TellModel,
)
from realtime_trio._state.utility_events import (
    ToolApprovalRequested,
    ToolCallFinished,
    ToolCallProgress,
    ToolCallStarted,
)
from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import FunctionCall, InputImage
from realtime_trio.tools import LocalTool, ToolOutput, tool
from realtime_trio.tools.registry import ToolRegistry

IMAGE = InputImage(image_url="data:image/png;base64,AAAA")


@tool
def steady() -> None:
    """Go on whatever the user says."""


@tool(on_interrupt="cancel")
def shy() -> None:
    """Stop when the user speaks."""


@tool(respond=False)
def quiet() -> None:
    """Leave the model alone."""


REGISTRY = ToolRegistry([steady, shy, quiet])


def call_of(name: str, call_id: str = "call_1") -> FunctionCall:
    return FunctionCall(name=name, arguments="{}", call_id=call_id)


def submit(calls: OpenCalls, tool: LocalTool[..., object], call_id: str = "call_1") -> OpenCall:
    (action,) = calls.submit(call_of(tool.name, call_id), tool, REGISTRY)
    assert isinstance(action, RunCall)
    return action.call


def set_aside(calls: OpenCalls, tool: LocalTool[..., object]) -> OpenCall:
    """A call that awaits approval."""
    call = submit(calls, tool)
    calls.read(call, {}, needs_approval=True)
    return call


def outcomes(actions: CallActions) -> list[str]:
    return [
        action.event.outcome
        for action in actions
        if isinstance(action, Publish) and isinstance(action.event, ToolCallFinished)
    ]


def outputs(actions: CallActions) -> list[str]:
    return [action.output.text for action in actions if isinstance(action, PostOutput)]


# --- from the model -------------------------------------------------------------------------------


def test_a_call_goes_to_a_worker_and_is_open() -> None:
    calls = OpenCalls()
    call = submit(calls, steady)
    assert (call.call_id, call.phase) == ("call_1", CallPhase.QUEUED)
    assert calls.is_open(call)
    assert calls.calls == (call.call,)


def test_a_call_that_is_open_is_not_taken_twice() -> None:
    calls = OpenCalls()
    submit(calls, steady)
    assert calls.submit(call_of("steady"), steady, REGISTRY) == ()


@pytest.mark.parametrize(
    ("offered", "names"),
    [(REGISTRY, "steady, shy, quiet"), (ToolRegistry(), "none")],
)
def test_the_model_is_told_which_tools_there_are(offered: ToolRegistry, names: str) -> None:
    calls = OpenCalls()
    actions = calls.submit(call_of("stady"), None, offered)
    assert outcomes(actions) == ["unknown"]
    (output,) = outputs(actions)
    assert "no tool named 'stady'" in output
    assert f"there are: {names}" in output
    assert calls.calls == ()


def test_a_call_after_the_end_is_answered_and_not_run() -> None:
    calls = OpenCalls()
    calls.close(0.0)
    actions = calls.submit(call_of("steady"), steady, REGISTRY)
    assert outcomes(actions) == ["cancelled"]
    assert not any(isinstance(action, RunCall) for action in actions)
    assert calls.calls == ()


# --- a life ---------------------------------------------------------------------------------------


def test_a_call_runs_reports_and_is_finished_once() -> None:
    calls = OpenCalls()
    call = submit(calls, steady)
    assert calls.read(call, {"a": 1}, needs_approval=False) == ()
    assert call.arguments == {"a": 1}
    assert calls.started(call, 10.0) == (Publish(ToolCallStarted(call=call.call)),)
    progress = ToolCallProgress(call=call.call, progress=0.5)
    assert calls.progress("call_1", 0.5) == (Publish(progress),)
    output = ToolOutput("done", (IMAGE,))
    assert calls.finish(call, "completed", output, now=12.5) == (
        StopClock(call),
        PostOutput("call_1", output, True),
        Publish(
            ToolCallFinished(
                call=call.call,
                output="done",
                attachments=(IMAGE,),
                duration=2.5,
                outcome="completed",
            )
        ),
    )
    assert not calls.is_open(call)
    assert calls.progress("call_1", 0.9) == ()
    assert calls.finish(call, "failed", output, now=13.0) == ()
    assert calls.stop(call, "cancelled", "too late") == (Halt(call),)


@pytest.mark.parametrize(("tool_", "respond"), [(steady, True), (quiet, False)])
def test_the_tool_decides_whether_the_model_replies(
    tool_: LocalTool[..., object], respond: bool
) -> None:
    calls = OpenCalls()
    call = submit(calls, tool_)
    _, posted, _ = calls.finish(call, "completed", ToolOutput("x"))
    assert posted == PostOutput("call_1", ToolOutput("x"), respond)


# --- approval -------------------------------------------------------------------------------------


def test_a_call_waits_for_approval_and_then_runs() -> None:
    calls = OpenCalls()
    call = submit(calls, steady)
    assert not calls.awaits_approval("call_1")
    assert calls.read(call, {}, needs_approval=True) == (
        AwaitApproval(call),
        Publish(ToolApprovalRequested(call=call.call)),
    )
    assert calls.awaits_approval("call_1")
    assert not calls.awaits_approval("call_2")
    assert calls.approve("call_1") == (StopClock(call), RunCall(call))
    assert call.phase is CallPhase.APPROVED
    assert not calls.awaits_approval("call_1")
    assert calls.expire(call, "too slow") == ()


@pytest.mark.parametrize(("reason", "said"), [(None, "approved"), ("too dear", "too dear")])
def test_a_rejection_says_why(reason: str | None, said: str) -> None:
    calls = OpenCalls()
    set_aside(calls, steady)
    actions = calls.reject("call_1", reason)
    assert outcomes(actions) == ["rejected"]
    (output,) = outputs(actions)
    assert said in output


def test_what_nobody_decides_expires() -> None:
    calls = OpenCalls()
    call = set_aside(calls, steady)
    actions = calls.expire(call, "nobody approved")
    assert outcomes(actions) == ["timed_out"]
    assert calls.expire(call, "nobody approved") == ()


# --- an output before the end ---------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "respond"), [(None, True), (False, False)])
def test_an_early_output_keeps_the_call_open_and_the_result_is_news(
    asked: bool | None, respond: bool
) -> None:
    calls = OpenCalls()
    call = submit(calls, steady)
    calls.started(call, 0.0)
    early = calls.respond_early("call_1", ToolOutput("working"), respond=asked)
    assert early == (PostOutput("call_1", ToolOutput("working"), respond),)
    with pytest.raises(LocalProtocolError, match="'call_1' is answered already"):
        calls.respond_early("call_1", ToolOutput("again"), respond=None)
    stopped, told, finished = calls.finish(call, "completed", ToolOutput("42", (IMAGE,)))
    assert stopped == StopClock(call)
    news = "steady (call call_1) has finished: 42"
    assert told == TellModel("call_1", news, (IMAGE,), True)
    assert isinstance(finished, Publish)


def test_a_call_that_is_over_cannot_respond_early() -> None:
    with pytest.raises(LocalProtocolError, match="'call_9' is answered already"):
        OpenCalls().respond_early("call_9", ToolOutput("x"), respond=None)


def test_a_result_that_is_no_news_is_not_told() -> None:
    calls = OpenCalls()
    call = submit(calls, steady)
    calls.respond_early("call_1", ToolOutput("all there is"), respond=None)
    actions = calls.finish(call, "completed", ToolOutput("null"), is_news=False)
    assert outcomes(actions) == ["completed"]
    assert len(actions) == 2


# --- answered by the application ------------------------------------------------------------------


def test_a_call_answered_elsewhere_before_it_began_does_not_begin() -> None:
    calls = OpenCalls()
    call = submit(calls, steady)
    actions = calls.output_given_elsewhere("call_1", "mine", 1.0)
    assert outcomes(actions) == ["cancelled"]
    assert outputs(actions) == []
    assert Halt(call) in actions
    assert finished_event(actions).output == "mine"


def test_a_running_call_answered_elsewhere_has_nothing_more_to_say() -> None:
    calls = OpenCalls()
    call = submit(calls, steady)
    calls.started(call, 0.0)
    assert calls.output_given_elsewhere("call_1", "mine", 1.0) == ()
    assert calls.output_given_elsewhere("call_1", "and again", 1.0) == ()
    actions = calls.finish(call, "completed", ToolOutput("its own"))
    assert not any(isinstance(action, PostOutput | TellModel) for action in actions)
    assert finished_event(actions).output == "mine"


def test_an_output_for_a_call_nobody_knows_changes_nothing() -> None:
    assert OpenCalls().output_given_elsewhere("call_9", "mine", 0.0) == ()


def finished_event(actions: CallActions) -> ToolCallFinished:
    (event,) = (
        action.event
        for action in actions
        if isinstance(action, Publish) and isinstance(action.event, ToolCallFinished)
    )
    return event


# --- stopped --------------------------------------------------------------------------------------


def test_a_cancelled_call_is_answered_before_its_function_is_stopped() -> None:
    calls = OpenCalls()
    call = submit(calls, steady)
    calls.started(call, 1.0)
    actions = calls.cancel("call_1", 2.0)
    assert outcomes(actions) == ["cancelled"]
    assert len(outputs(actions)) == 1
    assert actions[-1] == Halt(call)
    with pytest.raises(LocalProtocolError, match="no tool is at work on a call 'call_1'"):
        calls.cancel("call_1", 3.0)


def test_an_interruption_stops_the_tools_that_want_it_and_asks_for_no_reply() -> None:
    calls = OpenCalls()
    kept, stopped = submit(calls, steady, "kept"), submit(calls, shy, "stopped")
    actions = calls.interrupt(1.0)
    assert calls.calls == (kept.call,)
    assert [a.respond for a in actions if isinstance(a, PostOutput)] == [False]
    assert [a.call for a in actions if isinstance(a, Halt)] == [stopped]


def test_calls_that_nobody_waits_for_are_stopped_if_they_want_it() -> None:
    calls = OpenCalls()
    submit(calls, steady, "kept")
    stopped, other = submit(calls, shy, "stopped"), submit(calls, shy, "another turn's")
    actions = calls.give_up({"kept", "stopped", "unheard of"}, 1.0)
    assert calls.calls[1:] == (other.call,)
    assert [a.call for a in actions if isinstance(a, Halt)] == [stopped]
    assert "nobody waits for the answer" in outputs(actions)[0]


def test_the_end_answers_everything_once() -> None:
    calls = OpenCalls()
    submit(calls, steady, "a")
    submit(calls, quiet, "b")
    assert outcomes(calls.close(1.0)) == ["cancelled", "cancelled"]
    assert calls.close(2.0) == ()


# --- whatever happens -----------------------------------------------------------------------------

IDS = st.sampled_from(["a", "b", "c"])
TOOLS = st.sampled_from([steady, shy, quiet])


class Calls(RuleBasedStateMachine):
    """Everybody who may do something to a call, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = OpenCalls()
        self.seen: list[OpenCall] = []  # every call a worker was ever given
        self.taken: Counter[str] = Counter()  # calls taken, by id
        self.posted: Counter[str] = Counter()
        self.elsewhere: Counter[str] = Counter()
        self.finished: Counter[str] = Counter()
        self.clocks: set[OpenCall] = set()
        self.time = 0.0

    def now(self) -> float:
        self.time += 1
        return self.time

    def act(self, actions: CallActions) -> None:
        for action in actions:
            match action:
                case RunCall(call):
                    if call not in self.seen:
                        self.seen.append(call)
                case AwaitApproval(call):
                    self.clocks.add(call)
                case StopClock(call):
                    self.clocks.discard(call)
                case PostOutput(call_id):
                    self.posted[call_id] += 1
                case Publish(ToolCallFinished() as event):
                    self.finished[str(event.call.call_id)] += 1
                    assert event.duration >= 0
                case _:
                    pass

    def drawn(self, data: st.DataObject) -> OpenCall:
        return data.draw(st.sampled_from(self.seen))

    @rule(call_id=IDS, tool_=TOOLS, is_known=st.booleans())
    def model_calls(self, call_id: str, tool_: LocalTool[..., object], is_known: bool) -> None:
        was_open = call_id in {call.call_id for call in self.calls.calls}
        found = tool_ if is_known else None
        self.act(self.calls.submit(call_of(tool_.name, call_id), found, REGISTRY))
        if not was_open:
            self.taken[call_id] += 1

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), needs_approval=st.booleans())
    def worker_looks(self, data: st.DataObject, needs_approval: bool) -> None:
        call = self.drawn(data)
        if self.calls.is_open(call) and call.phase is CallPhase.QUEUED:
            self.act(self.calls.read(call, {}, needs_approval=needs_approval))
            if not needs_approval:
                self.act(self.calls.started(call, self.now()))

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), is_news=st.booleans())
    def function_ends(self, data: st.DataObject, is_news: bool) -> None:
        call = self.drawn(data)
        self.act(
            self.calls.finish(call, "completed", ToolOutput("x"), now=self.now(), is_news=is_news)
        )

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def time_is_over(self, data: st.DataObject) -> None:
        call = self.drawn(data)
        self.act(self.calls.expire(call, "nobody decided"))
        self.act(self.calls.stop(call, "timed_out", "too long", now=self.now(), is_news=True))

    @rule(call_id=IDS)
    def responds_early(self, call_id: str) -> None:
        with suppress(LocalProtocolError):
            self.act(self.calls.respond_early(call_id, ToolOutput("soon"), respond=None))

    @rule(call_id=IDS, approve=st.booleans())
    def somebody_decides(self, call_id: str, approve: bool) -> None:
        if self.calls.awaits_approval(call_id):
            calls = self.calls
            self.act(calls.approve(call_id) if approve else calls.reject(call_id, None))

    @rule(call_id=IDS)
    def application_answers(self, call_id: str) -> None:
        # As the session does it: the application's own event counts if the call is unanswered.
        before = self.posted[call_id] + self.elsewhere[call_id]
        if before < self.taken[call_id]:
            self.elsewhere[call_id] += 1
            self.act(self.calls.output_given_elsewhere(call_id, "mine", self.now()))

    @rule(call_id=IDS)
    def somebody_cancels(self, call_id: str) -> None:
        with suppress(LocalProtocolError):
            self.act(self.calls.cancel(call_id, self.now()))

    @rule()
    def user_speaks(self) -> None:
        self.act(self.calls.interrupt(self.now()))
        assert all(call.name != "shy" for call in self.calls.calls), (
            "what wants to be stopped is stopped"
        )

    @rule()
    def session_ends(self) -> None:
        self.act(self.calls.close(self.now()))
        assert self.calls.calls == ()

    @invariant()
    def one_output_for_each_call(self) -> None:
        open_ids = Counter(str(call.call_id) for call in self.calls.calls)
        for call_id, taken in self.taken.items():
            given = self.posted[call_id] + self.elsewhere[call_id]
            assert taken - open_ids[call_id] <= given <= taken
            assert self.finished[call_id] == taken - open_ids[call_id]

    @invariant()
    def only_calls_that_await_approval_have_a_clock(self) -> None:
        assert all(
            self.calls.is_open(call) and call.phase is CallPhase.AWAITING_APPROVAL
            for call in self.clocks
        )


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.lists(st.sampled_from(["completed", "failed", "timed_out"]), min_size=1, max_size=5))
def test_the_first_end_counts(ends: list[str]) -> None:
    calls = OpenCalls()
    call = submit(calls, steady)
    seen = [
        outcome
        for end in ends
        for outcome in outcomes(calls.finish(call, end, ToolOutput(end)))  # type: ignore[arg-type]
    ]
    assert seen == ends[:1]
