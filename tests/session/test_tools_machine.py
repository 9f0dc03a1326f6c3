"""Whatever models, tools, users and networks do: one output a call, one reply a batch of them.

A session talks to a simulated server in memory, on a clock that jumps.  Hypothesis makes up what
the model calls, what happens meanwhile and how it ends; what went over the wire is judged
afterwards, without a look into the session.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from contextlib import suppress
from typing import Literal

import trio
from attrs import define, field, frozen
from hypothesis import HealthCheck, event, given, settings, strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import ToolContext, tool
from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio._state.utility_events import ToolCallFinished, ToolCallRequested
from realtime_trio._transport.memory import memory_transport_pair
from realtime_trio.errors import ConnectionLost, LocalProtocolError, ServerError, SessionClosed
from realtime_trio.events import (
    ConversationItemCreate,
    ErrorEvent,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    InputAudioBufferCleared,
    InputAudioBufferSpeechStarted,
    InputText,
    ResponseCreate,
    ResponseDone,
    ResponseOutputItemDone,
    ServerEvent,
    ServerVad,
    SystemMessage,
)
from realtime_trio.recording import WireRecord
from realtime_trio.simulator import (
    INSTANT,
    Call,
    Pacing,
    Reply,
    Script,
    SimulatedServer,
    run_server,
)

HURRIED = Pacing(time_to_first_event=1.0, tokens_per_second=2.0)
APPLICATION = {"who": "the application"}
EVERYTHING = 100_000
FOREVER = 100_000.0

# --- tools ----------------------------------------------------------------------------------------


@tool
async def quick() -> str:
    """Return at once."""
    await trio.lowlevel.checkpoint()
    return "here"


@tool
async def slow(seconds: float = 1.0) -> str:
    """Take some time."""
    await trio.sleep(seconds)
    return "at last"


@tool(on_interrupt="cancel")
async def stoppable(seconds: float = 1.0) -> str:
    """Take some time, unless somebody has something better to do."""
    await trio.sleep(seconds)
    return "at last"


@tool
async def untidy(seconds: float = 1.0) -> str:
    """Take some time, and some more to tidy up."""
    try:
        await trio.sleep(seconds)
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(seconds / 2)
    return "clean"


@tool
async def failing(seconds: float = 0.0) -> None:
    """Fail, sooner or later."""
    await trio.sleep(seconds)
    raise LookupError("nothing there")


@tool
async def early(context: ToolContext, seconds: float = 1.0) -> str:
    """Answer at once and work on."""
    context.report("begun")
    context.respond_early("soon")
    await trio.sleep(seconds)
    return "done"


@tool(on_interrupt="cancel")
async def early_and_quiet(context: ToolContext, seconds: float = 1.0) -> None:
    """Answer after a while, work on and have nothing to say about it."""
    await trio.sleep(seconds / 2)
    context.respond_early("soon")
    await trio.sleep(seconds / 2)


@tool(respond=False)
async def quiet(seconds: float = 1.0) -> str:
    """Take some time and want no reply."""
    await trio.sleep(seconds)
    return "never mind"


@tool(requires_approval=True)
async def approved(seconds: float = 1.0) -> str:
    """Ask before doing anything."""
    await trio.sleep(seconds)
    return "with your permission"


@tool(requires_approval=lambda arguments: arguments["seconds"] > 5, on_interrupt="cancel")
async def approved_if_long(seconds: float) -> str:
    """Ask before doing anything that takes long."""
    await trio.sleep(seconds)
    return "with your permission"


MANUAL = FunctionTool(name="manual", parameters={"type": "object", "properties": {}})
FUNCTIONS = (
    quick,
    slow,
    stoppable,
    untidy,
    failing,
    early,
    early_and_quiet,
    quiet,
    approved,
    approved_if_long,
)
TIMED = tuple(
    each.name for each in (*FUNCTIONS, early, approved, approved_if_long) if each is not quick
)


# --- what happens ---------------------------------------------------------------------------------


@frozen
class Pass:
    """Time passes."""

    seconds: float


@frozen
class Do:
    """Somebody does something, perhaps to one of the calls so far."""

    what: Literal[
        "respond", "ask", "interrupt", "speak", "hush", "cancel", "approve", "reject", "answer"
    ]
    which: int = 0


Action = Pass | Do
Ending = Literal["leave", "raise", "cancel", "server leaves", "loss"]


@frozen(kw_only=True)
class Plan:
    """One life of a session."""

    replies: tuple[Reply, ...]
    actions: tuple[Action, ...]
    concurrency: int
    settles: bool
    """Whether everything comes to its end before the session does."""
    ending: Ending


SECONDS = st.sampled_from([0.0, 0.5, 1.0, 3.0, 8.0, 29.5, 60.0])


@st.composite
def replies(draw: st.DrawFn) -> tuple[Reply, ...]:
    made: list[Reply] = []
    made_calls: list[Call] = []
    for _ in range(draw(st.integers(1, 4))):
        first = len(made_calls)
        for _ in range(draw(st.integers(1, 4))):
            is_again = made_calls and draw(
                st.sampled_from([False] * 9 + [True])
            )  # now and then a server repeats itself
            made_calls.append(
                made_calls[-1] if is_again else draw(calls(f"call_{len(made_calls)}"))
            )
        reply = Reply.calls(
            *made_calls[first:], pacing=draw(st.sampled_from([INSTANT, INSTANT, HURRIED]))
        )
        made.append(reply.then(Reply.text("I am on it.")) if draw(st.booleans()) else reply)
    return tuple(made)


@st.composite
def calls(draw: st.DrawFn, call_id: str) -> Call:
    kind = draw(
        st.sampled_from(["timed"] * 8 + ["quick", "manual", "unheard_of", "malformed", "misfit"])
    )
    match kind:
        case "timed":
            return Call(draw(st.sampled_from(TIMED)), {"seconds": draw(SECONDS)}, call_id)
        case "malformed":
            return Call(
                draw(st.sampled_from(TIMED)),
                draw(st.sampled_from(['{"seconds": ', "[]", "nothing"])),
                call_id,
            )
        case "misfit":
            return Call(draw(st.sampled_from(TIMED)), {"seconds": "a while"}, call_id)
        case name:
            return Call(name, "{}", call_id)


ACTIONS = st.one_of(
    st.builds(Pass, SECONDS),
    st.builds(Do, st.sampled_from(["respond", "respond", "ask", "interrupt", "speak", "hush"])),
    st.builds(
        Do,
        st.sampled_from(["cancel", "approve", "approve", "reject", "reject", "answer"]),
        st.integers(0, 7),
    ),
)
PLANS = st.builds(
    Plan,
    replies=replies(),
    actions=st.lists(ACTIONS, min_size=2, max_size=12).map(
        lambda actions: (Do("respond"), *actions)
    ),
    concurrency=st.integers(1, 3),
    settles=st.booleans(),
    ending=st.sampled_from(["leave", "raise", "cancel", "server leaves", "loss"]),
)


# --- how it happens -------------------------------------------------------------------------------

_codec = Codec(Role.SERVER, strict=True)


class EnoughError(Exception):
    """Why the block is left."""


class Life:
    """A session while it lives, and what was seen of it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.records: list[WireRecord] = []
        self.requested: list[FunctionCall] = []
        self.finished: list[ToolCallFinished] = []
        self.done: set[str] = set()
        self.asking = 0
        self._near, self._far = memory_transport_pair()

    async def live(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                run_server,
                self._far,
                SimulatedServer(Script(self.plan.replies), expires_after=math.inf),
            )
            with (
                trio.fail_after(FOREVER),
                trio.CancelScope() as scope,
                suppress(EnoughError, ConnectionLost),
            ):
                await self._live(nursery, scope)
            await wait_all_tasks_blocked()
            self._look()
            assert self.asking == 0
            nursery.cancel_scope.cancel()

    async def _live(self, nursery: trio.Nursery, scope: trio.CancelScope) -> None:
        async with open_session(
            transport=self._near,
            tools=[*FUNCTIONS, MANUAL],
            tool_concurrency=self.plan.concurrency,
            tool_timeout=30,
            approval_timeout=50,
            output_modalities=("text",),
            turn_detection=ServerVad(),
            strict=True,
        ) as session:
            self._wire = session.wire(capacity=EVERYTHING)
            self._events = session.events(ToolCallRequested, ToolCallFinished, capacity=EVERYTHING)
            for action in self.plan.actions:
                await self._act(session, nursery, action)
                self._look()
            if self.plan.settles:
                await self._settle(session)
            await self._end(scope)

    def _look(self) -> None:
        """What went over the wire, and what the session told of it."""
        self.records += (self._wire.receive_nowait() for _ in range(self._wire.pending))
        for _ in range(self._events.pending):
            match self._events.receive_nowait():
                case ToolCallRequested(call=call):
                    self.requested.append(call)
                case ToolCallFinished() as finished:
                    self.finished.append(finished)

    async def _say(self, event: ServerEvent) -> None:
        await self._far.send(_codec.encode(event))
        await wait_all_tasks_blocked()

    async def _act(self, session: Session, nursery: trio.Nursery, action: Action) -> None:
        await trio.lowlevel.checkpoint()
        match action:
            case Pass(seconds=seconds):
                await trio.sleep(seconds)
            case Do(what="respond"):
                await session.respond(metadata=APPLICATION)
            case Do(what="ask"):
                self.asking += 1
                nursery.start_soon(self._ask, session)
            case Do(what="interrupt"):
                await session.cancel_response()
            case Do(what="speak"):
                await self._say(
                    InputAudioBufferSpeechStarted(
                        event_id="event_spoken", audio_start_ms=0, item_id="item_spoken"
                    )
                )
            case Do(what="hush"):
                await self._say(InputAudioBufferCleared(event_id="event_cleared"))
            case Do(what=what, which=which):
                first = which % max(1, len(self.requested))
                for call in (
                    *self.requested[first:],
                    *self.requested[:first],
                ):  # the next one of which it can be said
                    if await self._decide(session, what, str(call.call_id)):
                        break
        if isinstance(action, Do):
            await wait_all_tasks_blocked()

    async def _decide(self, session: Session, what: str, call_id: str) -> bool:
        """Do something to a call; False if that is not possible."""
        await trio.lowlevel.checkpoint()
        try:
            match what:
                case "cancel":
                    await session.cancel_call(call_id)
                case "approve":
                    await session.approve(call_id)
                case "reject":
                    await session.reject(call_id, "no")
                case "answer":
                    await session.send_tool_output(call_id, "by hand")
        except LocalProtocolError:
            return False
        self.done.add(what)
        return True

    async def _ask(self, session: Session) -> None:
        await trio.lowlevel.checkpoint()
        with suppress(ServerError, SessionClosed):
            await session.ask(metadata=APPLICATION)
        self.asking -= 1

    async def _settle(self, session: Session) -> None:
        """Let everything come to its end: nobody speaks, and what waits for somebody gives up."""
        await self._say(InputAudioBufferCleared(event_id="event_cleared"))
        seen = -1
        while seen < len(self.records):
            seen = len(self.records)
            await trio.sleep(1000)
            self._look()
            for call in self.requested:
                if call.name == MANUAL.name:
                    await self._decide(session, "answer", str(call.call_id))
            await wait_all_tasks_blocked()
            self._look()
        assert (self.asking, session.open_calls) == (0, ())

    async def _end(self, scope: trio.CancelScope) -> None:
        await trio.lowlevel.checkpoint()
        match self.plan.ending:
            case "leave":
                pass
            case "raise":
                raise EnoughError
            case "cancel":
                scope.cancel()
                await trio.sleep_forever()
            case "server leaves":
                await self._far.aclose(1000)
                await trio.sleep(1)
            case "loss":
                self._far.abort("the network is down")
                await trio.sleep_forever()


# --- what must be true of it ----------------------------------------------------------------------


@define
class Batch:
    """The calls of one response."""

    open: set[str] = field(factory=set)
    answered: set[str] = field(factory=set)
    unread: set[str] = field(factory=set)
    is_done: bool = False


@define
class Judge:
    """Reads the wire as the service would, and checks what it says about calls and replies."""

    batches: dict[str, Batch] = field(factory=dict)
    outputs: dict[str, str] = field(factory=dict)
    news: set[str] = field(factory=set)

    def read(self, record: WireRecord) -> None:
        match record.event:
            case ResponseOutputItemDone(
                response_id=response_id, item=FunctionCall(call_id=str(call_id), status="completed")
            ):
                if (
                    not any(call_id in batch.open for batch in self.batches.values())
                    and call_id not in self.outputs
                ):
                    self.batches.setdefault(response_id, Batch()).open.add(call_id)
            case ResponseDone(response=response):
                self.batches.setdefault(response.id, Batch()).is_done = True
            case ErrorEvent(error=error):
                assert error.code == "response_cancel_not_active", error
            case ConversationItemCreate(item=FunctionCallOutput(call_id=call_id, output=output)):
                self._read_output(call_id, output)
            case ConversationItemCreate(
                item=SystemMessage(content=(InputText(text=str(text)), *_))
            ):
                self._read_news(text)
            case ResponseCreate():
                self._read_create(record.event)

    def _read_output(self, call_id: str, output: str) -> None:
        assert call_id not in self.outputs, f"{call_id} was answered twice"
        self.outputs[call_id] = output
        [batch] = [batch for batch in self.batches.values() if call_id in batch.open]
        batch.open.remove(call_id)
        batch.answered.add(call_id)
        batch.unread.add(call_id)

    def _read_news(self, text: str) -> None:
        """A tool that answered early has finished, and the model is told."""
        [call_id] = re.findall(r"\(call (\w+)\) has finished", text)
        assert call_id in self.outputs
        news = f"news of {call_id}"
        assert news not in self.news, f"{news} were told twice"
        self.news.add(news)
        [batch] = [batch for batch in self.batches.values() if call_id in batch.answered]
        batch.unread.add(news)

    def _read_create(self, create: ResponseCreate) -> None:
        is_asked_for = (
            create.response is not None
            and (create.response.metadata or {}).get("who") == APPLICATION["who"]
        )
        is_owed = any(
            batch.is_done and batch.unread and not batch.open for batch in self.batches.values()
        )
        assert is_asked_for or is_owed, "nobody needs a reply to what has been answered so far"
        for batch in self.batches.values():
            batch.unread.clear()

    @property
    def open(self) -> set[str]:
        return {call_id for batch in self.batches.values() for call_id in batch.open}

    @property
    def unread(self) -> set[str]:
        return {call_id for batch in self.batches.values() for call_id in batch.unread}


def check(life: Life) -> None:
    judge = Judge()
    for record in life.records:
        judge.read(record)
    names = {str(call.call_id): call.name for call in reversed(life.requested)}
    by_hand = {call_id for call_id, name in names.items() if name == "manual"}
    # Every call of a function, and every call of what is none, comes to one end; those that are
    # left to the application have none.
    assert Counter(event.call.call_id for event in life.finished) == Counter(names.keys() - by_hand)
    assert judge.outputs.keys() <= names.keys()
    if life.plan.settles or life.plan.ending == "leave":
        assert judge.open <= (set() if life.plan.settles else by_hand)
    if life.plan.settles:
        wants_none = {
            call_id
            for call_id, output in judge.outputs.items()
            if names[call_id] == "quiet" or "interrupted" in output
        }
        assert judge.unread <= wants_none, "the model has not replied"
    for what in life.done:
        event(f"done: {what}")
    for finished in life.finished:
        event(f"outcome: {finished.outcome}")
    event(f"ending: {life.plan.ending}, {'settled' if life.plan.settles else 'busy'}")


@given(PLANS)
@settings(max_examples=3 * settings().max_examples, suppress_health_check=[HealthCheck.too_slow])
def test_every_call_has_one_output_and_every_batch_one_reply(plan: Plan) -> None:
    life = Life(plan)
    trio.run(life.live, clock=MockClock(autojump_threshold=0))
    check(life)
