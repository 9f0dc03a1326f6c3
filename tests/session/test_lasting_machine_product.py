"""Whatever breaks, with all that a product has: both sides have the same, but for what is told.

As test_lasting_machine.py, with what is heard and what is not, functions called several at a time
and slow ones, tools on an MCP server, some of which ask first, responses out of band, pictures and
sounds, limits of what is told again, compaction, a budget, and losses that come while another one
is being mended.  At the end, when all is quiet, the server's view is held against the client's, and
once more after a restart.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from functools import partial

import numpy as np
import trio
from attrs import define, field, frozen
from hosted_tools import DOCS, SERVER
from hypothesis import HealthCheck, event, given, note, settings, strategies as st
from lasting_talk import lines_of, taken
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import ToolContext, tool
from realtime_trio._session.opening import open_session
from realtime_trio._session.responses import Answer
from realtime_trio._session.voice import Session
from realtime_trio._state.turns.run import CUT
from realtime_trio._state.utility_events import ToolApprovalRequested
from realtime_trio.audio import AudioData
from realtime_trio.errors import (
    BudgetExceeded,
    ConnectionFailed,
    LocalProtocolError,
    RequestLost,
    ServerError,
)
from realtime_trio.events import (
    ConversationItemTruncate,
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Item,
    McpApprovalRequest,
    ResponseCreated,
    ResponseDone,
    SystemMessage,
    UserMessage,
)
from realtime_trio.history import HistoryLimit
from realtime_trio.lasting import Loss, Reconnect, Reconnected, SessionRenewed
from realtime_trio.money import Budget
from realtime_trio.playback import Playback
from realtime_trio.simulator import (
    Call,
    Cast,
    Fault,
    Reply,
    Script,
    SimulatedServer,
    SimulatedService,
    Turn,
)
from realtime_trio.simulator.roles import Piece, Say
from realtime_trio.simulator.script.script import McpServer

CHUNK = np.arange(2400, dtype=np.int16)
"""100 ms."""
LOUD = np.tile(np.array([4000, -4000], np.int16), 1200)
SILENT = np.zeros(2400, np.int16)
PICTURE = "data:image/png;base64,iVBORw0KGgo="
SUMMARY = "What was said before"
BEGINNINGS = ("You said", "It says", "I would call search")
"""Of answers; the last one is given while the tools of a server are not listed yet."""


class Agent:
    """Answers what it is asked, slowly enough that it can be cut anywhere."""

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:  # noqa: ASYNC900, ASYNC911
        kind, _, number = turn.user_text.partition(" ")
        if turn.tool_output is not None:
            words = f"It says {turn.tool_output}."
        elif kind == "look":
            for place in range(1 + int(number) % 3):
                await trio.sleep(0.1)
                yield Call("look", {"at": f"{number}.{place}"})
            return  # noqa: ASYNC911
        elif kind == "wait":
            yield Call("wait", {"for_it": number})  # noqa: ASYNC911
            return  # noqa: ASYNC911
        else:
            words = f"You said {turn.user_text}."
        for word in words.split():
            await trio.sleep(0.25)
            yield Say(f"{word} ")


def asks_docs(number: int, turn: Turn) -> bool:
    last = turn.items[-1] if turn.items else None
    return isinstance(last, UserMessage) and turn.user_text.startswith(f"docs{number}")


DOCS_REPLIES = [
    Reply.mcp(
        "docs",
        "search",
        {"q": "trio"},
        output="two pages",
        approval=number == 1,
        duration=1.5,
        when=partial(asks_docs, number),
    )
    for number in (0, 1)
    for _ in range(8)
]


class Ears:
    """Hears how long it is."""

    async def transcribe(self, samples: object) -> str | None:
        await trio.sleep(0.2)
        return f"sound {len(samples)}"  # type: ignore[arg-type]


# --- what may happen ------------------------------------------------------------------------------


@frozen
class Step:
    """One thing that happens, and how long nothing else does."""

    kind: str
    number: int = 0
    pause: int = 0
    """In eighths of a second; below 0 as many checkpoints, in which something may be under way."""


TALK = ["ask", "look", "wait for it", "docs0", "docs1", "aside", "speak", "say", "respond"]
"""What a response follows."""
PAUSES = st.one_of(st.integers(-6, 0), st.integers(1, 12))
STEPS = st.one_of(
    st.builds(Step, st.sampled_from(TALK), pause=PAUSES),
    st.builds(Step, st.sampled_from(TALK), pause=PAUSES),
    st.builds(Step, st.sampled_from(["picture", "sound", "cancel", "call cancel"]), pause=PAUSES),
    st.builds(
        Step,
        st.sampled_from(
            ["listen", "delete", "delete", "truncate", "compact", "summarize", "note", "refuse"]
        ),
        st.integers(0, 9),
        PAUSES,
    ),
    st.builds(
        Step, st.sampled_from(["drop", "drop", "drop twice", "restart", "expire"]), pause=PAUSES
    ),
)
FAULTS = st.lists(st.one_of(st.integers(1, 8), st.integers(1, 120)), max_size=4)
"""At which message each of the first connections breaks; later ones may have no greeting."""


@frozen
class Circumstances:
    """What does not change in a run."""

    detects: bool
    is_asked_again: bool
    listens: bool
    expires_after: float
    items: int | None
    tokens: int | None
    summarizes: bool
    budget: int | None
    listing_delay: float
    stale_audio: float
    is_slow: bool
    """Whether what the server says of items comes late, so that more is under way."""


CIRCUMSTANCES = st.builds(
    Circumstances,
    detects=st.booleans(),
    is_asked_again=st.booleans(),
    listens=st.booleans(),
    expires_after=st.sampled_from([40.0, 1e6]),
    items=st.sampled_from([None, None, 0, 1, 3, 6]),
    tokens=st.sampled_from([None, None, 10, 40]),
    summarizes=st.booleans(),
    budget=st.sampled_from([None, None, None, None, 300, 3000]),
    listing_delay=st.sampled_from([0.0, 0.25]),
    stale_audio=st.sampled_from([10.0, 0.1]),
    is_slow=st.booleans(),
)


@define
class Talk:
    """One run."""

    session: Session
    service: SimulatedService
    nursery: trio.Nursery
    playback: Playback
    listens: bool
    said: int = 0
    runs: Counter[str] = field(factory=Counter)
    """How often each call has run."""
    asides: dict[str, str] = field(factory=dict)
    """What was asked out of band, and the answer."""
    answers: dict[str, Answer | None] = field(factory=dict)
    """What was asked in the conversation, and the answer; None if there was an error."""
    unanswerable: int = 0
    """Requests that failed because they were lost with their connection."""
    spoken_ms: int = 0
    """What the user has said."""
    has_deleted: bool = False
    """Whether items were taken out of the conversation."""
    has_truncated: bool = False
    """Whether speech was cut to less than was heard of it."""
    has_interrupted: bool = False
    """Whether responses were stopped, by voice or otherwise."""

    async def take(self, step: Step) -> None:
        await trio.lowlevel.checkpoint()
        event(step.kind)
        session, start = self.session, self.nursery.start_soon
        match step.kind:
            case "ask" | "look" | "wait for it" | "docs0" | "docs1":
                start(self._try, self._ask, self._words(step.kind.partition(" ")[0]))
            case "aside":
                start(self._try, self._aside, self._words("aside"))
            case "say":
                await self._try(session.send_message, self._words("hello"))
            case "respond":
                await self._try(session.respond)
            case "speak":
                self.spoken_ms += 1200
                self.has_interrupted = True
                for piece in [LOUD] * 4 + [SILENT] * 8:
                    await session.append_audio(piece)
                    await trio.sleep(0.1)
                if session.config.audio.input.turn_detection is None:  # type: ignore[union-attr]
                    start(self._try, session.commit_audio)
            case "picture":
                content = (InputText(self._words("see")), InputImage(PICTURE))
                start(self._try, session.insert_item, UserMessage(content=content))
            case "sound":
                audio = InputAudio(AudioData.of(CHUNK), self._words("sounds"))
                start(self._try, session.insert_item, UserMessage(content=[audio]))
            case "cancel":
                self.has_interrupted = True
                await session.cancel_response()
            case "call cancel":
                for call in session.open_calls[:1]:
                    await self._try(session.cancel_call, call)
            case "listen":
                self.playback.take(2400 * step.number)
            case "delete":
                if (item_id := self._some(step.number)) is not None:
                    self.has_deleted = True
                    start(self._try, session.delete_item, item_id)
            case "truncate":
                if (item_id := self._some(step.number)) is not None:
                    self.has_truncated = True
                    start(self._try, session.truncate, item_id, 100)
            case "compact":
                self.has_deleted = True
                start(self._compact, step.number, False)
            case "summarize":
                self.has_deleted = True
                start(self._compact, step.number, True)
            case "note":
                note_ = UserMessage.text(self._words("note"))
                start(self._try, self._insert, note_, self._some(step.number))
            case "drop":
                self.service.drop()
            case "drop twice":
                self.service.drop()
                await trio.sleep(0.3)
                self.service.drop()
            case "restart":
                start(self._try, session.restart)
            case "expire":
                await trio.sleep(20)
            case "refuse":
                self.service.refuse(*[None] * (1 + step.number % 2))
        for _ in range(-step.pause):
            await trio.lowlevel.checkpoint()
        await trio.sleep(max(0, step.pause) / 8)

    def _words(self, kind: str) -> str:
        self.said += 1
        return f"{kind} {self.said}"

    def _some(self, number: int) -> str | None:
        items = self.session.conversation.items
        return items[number % len(items)].id if items else None

    @property
    def is_quiet(self) -> bool:
        session = self.session
        assert session._upkeep is not None
        is_connected = session.closed is None and session._upkeep._lost is None
        is_heard = not self.listens or not self.playback.is_audible
        is_idle = session._turns.is_idle and not session._calls.calls
        return is_connected and is_idle and is_heard

    @property
    def server(self) -> SimulatedServer:
        """The server of the session's connection; the last one may be that of a renewal to come."""
        lines = self.service.lines
        return self.service.servers[lines.index(self.session._link._transport)]

    async def _insert(self, item: UserMessage, place: str | None) -> None:
        await self.session.insert_item(item, previous_item_id=place)

    async def _ask(self, words: str) -> None:
        self.answers[words] = None
        self.answers[words] = await self.session.ask(words)

    async def _aside(self, words: str) -> None:
        answer = await self.session.ask(
            conversation="none", input=[UserMessage.text(words)], output_modalities=["text"]
        )
        if answer.status == "completed":
            self.asides[words] = answer.text.strip()

    async def _compact(self, keep: int, summarizes: bool) -> None:
        summarize = summary_of if summarizes else None
        await self._try(partial(self.session.compact, keep_items=keep, summarize=summarize))

    async def approve(self) -> None:
        """Decide about every second call that waits for it, after a while."""
        number = 0
        with self.session.events(ToolApprovalRequested) as asked:
            while True:
                call = (await asked.receive()).call
                assert isinstance(call, McpApprovalRequest)
                number += 1
                decide = self.session.approve if number % 2 else self.session.reject
                await trio.sleep(0.25 * (number % 3))
                await self._try(decide, call)

    async def listen(self) -> None:
        """Be a loudspeaker."""
        while True:
            async for _ in self.session.audio_output(2400):
                await trio.sleep(0.1)

    async def _try(self, method: object, *arguments: object) -> None:  # noqa: ASYNC910
        try:
            await method(*arguments)  # type: ignore[operator]
        except RequestLost:
            self.unanswerable += 1
        except (ServerError, LocalProtocolError, ConnectionFailed, BudgetExceeded):
            pass


async def summary_of(items: Sequence[Item]) -> str:
    assert items
    await trio.sleep(0.5)
    return f"{SUMMARY}: {len(items)}"


# --- judging --------------------------------------------------------------------------------------


def ids(items: Sequence[Item]) -> list[str | None]:
    return [item.id for item in items]


def check_same(talk: Talk, lost: Loss, wordless: set[str], *, summarizes: bool) -> None:
    """Both sides have the same items, but for what the last loss names, and lost transcripts."""
    ours = [item.snapshot for item in talk.session.conversation.items]
    theirs: list[Item] = list(talk.server.items)
    note(f"client: {list(zip(ids(ours), lines_of(ours), strict=True))}")
    note(f"server: {list(zip(ids(theirs), lines_of(theirs), strict=True))}")
    note(f"lost: {lost}")
    assert max(Counter(ids(theirs)).values(), default=1) == 1
    omitted = {each.item_id for each in lost.omissions if each.what == "item"}
    # What is said to be missing is missing.
    assert not omitted & {*ids(theirs)}
    if any("summary" in each.reason for each in lost.omissions):
        # It stands for what is too old, and the client has all of that.
        assert summarizes
        (summary,) = [
            item for item in theirs if isinstance(item, SystemMessage) and item.id not in ids(ours)
        ]
        theirs.remove(summary)
    kept = [item for item in ours if item.id not in omitted]
    assert ids(theirs) == ids(kept)
    # What is told as its transcript has the same words.
    differing = {each.item_id for each in lost.omissions if each.what in ("words", "part")}
    for their_item, our_item in zip(theirs, kept, strict=True):
        if our_item.id not in differing and our_item.id not in wordless:
            assert lines_of([their_item]) == lines_of([our_item])
            assert pictures(their_item) == pictures(our_item)


def pictures(item: Item) -> list[str | None]:
    parts = item.content if isinstance(item, UserMessage) else ()
    return [part.image_url for part in parts if isinstance(part, InputImage)]


def check_calls(talk: Talk) -> None:
    """Every call was run once, and answered once."""
    assert max(talk.runs.values(), default=1) == 1
    theirs = talk.server.items
    outputs = Counter(item.call_id for item in theirs if isinstance(item, FunctionCallOutput))
    assert max(outputs.values(), default=1) == 1
    # One that was cut, by a limit of tokens, cannot be run.
    calls = {
        item.call_id
        for item in theirs
        if isinstance(item, FunctionCall) and item.status != "incomplete"
    }
    if not talk.has_deleted:
        assert calls == {*outputs}
    assert talk.session.open_calls == ()


def check_sounds(talk: Talk) -> None:
    """What the user said sounds the same on both sides, where the server has the sound of it."""
    for item in talk.server.items:
        ours = talk.session.conversation.get(str(item.id))
        if not isinstance(item, UserMessage) or ours is None:
            continue
        sounds = [
            part.audio.samples
            for part in item.content
            if isinstance(part, InputAudio) and part.audio is not None
        ]
        if sounds:
            assert np.array_equal(np.concatenate(sounds), ours.audio)


def check_speech(talk: Talk) -> None:
    """What the model said is as long on both sides, cut or not, and no less than what was heard.

    On a server that was told of it, only its words are.
    """
    playback = talk.playback
    for entry in talk.server._conversation.entries:
        ours = talk.session.conversation.get(entry.id)
        if ours is not None and entry.spoken:
            assert len(entry.spoken) // 48 == ours.audio_ms
    for part in playback.parts:
        played = talk.session.conversation.get(part.item_id or "")
        if played is not None and not talk.has_truncated:
            assert playback.heard_ms(played.id) <= played.audio_ms
    if talk.listens:
        assert playback.playing is None


def check_nothing_is_left(talk: Talk) -> None:
    """Nobody waits for anything, and nothing would be sent again."""
    session = talk.session
    assert session._turns.is_idle
    assert session._upkeep is not None
    log = session._upkeep.continuity.log
    assert [type(each.event).__name__ for each in log if not each.ms] == []
    if session._spending is not None:
        assert not session._spending.meter._promises
    for words, answer in talk.asides.items():
        assert answer == f"You said {words}."


def check_answers(talk: Talk, around: Circumstances) -> None:
    """Whoever has asked has an answer, unless somebody was in the way."""
    if talk.has_interrupted or around.budget is not None or not around.is_asked_again:
        return
    for words, answer in talk.answers.items():
        assert answer is not None, words
        assert answer.status == "completed", words
        assert answer.text.startswith(BEGINNINGS), words


def check_losses(talk: Talk, told: Told, *, detects: bool) -> None:
    """What is gone is what was said to be gone."""
    requests = told.all.requests
    # For those of the playback nobody waits.
    cuts = sum(isinstance(each, ConversationItemTruncate) for each in requests)
    assert len(requests) - cuts <= talk.unanswerable <= len(requests)
    assert {*told.all.responses} <= {*told.begun}
    assert told.cut <= {*told.all.responses}
    theirs = talk.server.items
    present = {*ids(theirs), *(each.call_id for each in theirs if isinstance(each, FunctionCall))}
    assert not present & {*told.all.calls}
    if not detects and not talk.has_deleted:
        heard = sum(item.audio_ms for item in talk.session.conversation.items if item._is_committed)
        assert heard == talk.spoken_ms - told.all.audio_ms


@define
class Told:
    """What was told of responses and losses."""

    lost: Loss = field(factory=Loss)
    """The last one."""
    all: Loss = field(factory=Loss)
    """All together."""
    wordless: set[str] = field(factory=set)
    begun: list[str] = field(factory=list)
    ended: list[str] = field(factory=list)
    cut: set[str] = field(factory=set)
    """Those that ended with their connection."""

    def take(self, events: Sequence[object]) -> None:
        for each in events:
            match each:
                case ResponseCreated(response=response):
                    self.begun.append(response.id)
                case ResponseDone(response=response):
                    self.ended.append(response.id)
                    details = response.status_details
                    if details is not None and details.reason == CUT:
                        self.cut.add(response.id)
                case Reconnected(lost=what) | SessionRenewed(lost=what):
                    self.lost = what
                    self.all += what
                    self.wordless.update(what.transcripts)


async def be_quiet(talk: Talk) -> None:  # noqa: ASYNC910 - it sleeps at least five times
    """Wait until there is a connection that holds, and nothing more follows on it."""
    quiet_s, server = 0, talk.server
    with trio.fail_after(1000):  # noqa: ASYNC912 - likewise
        # The same one all the time: a renewal may come at the very end.
        while quiet_s < 5 or talk.server is not server:
            server = talk.server
            await trio.sleep(1)
            await wait_all_tasks_blocked()
            quiet_s = quiet_s + 1 if talk.is_quiet and talk.server is server else 0


async def restart(session: Session) -> None:
    """Restart, also if some attempts fail."""
    while True:  # noqa: ASYNC913 - a restart that fails has waited, too
        with suppress(ConnectionFailed):
            await session.restart()
            return


def faults_of(faults: list[int], number: int, *, is_slow: bool) -> Iterator[Fault]:
    if number <= len(faults):
        # The first six messages open the session.
        yield Fault.drop(nth=faults[number - 1] + (6 if number == 1 else 0))
    if is_slow:
        yield Fault.delay(0.1, on="conversation.item", times=math.inf)


async def run(steps: list[Step], faults: list[int], around: Circumstances) -> None:
    runs = Counter[str]()

    @tool
    async def look(at: str, context: ToolContext) -> str:
        """Look at something."""
        runs[str(context.call.call_id)] += 1
        await trio.sleep(0.7 * (1 + ord(at[-1]) % 3))
        return f"nothing at {at}"

    @tool(on_interrupt="cancel")
    async def wait(for_it: str, context: ToolContext) -> str:
        """Wait for something that takes its time."""
        runs[str(context.call.call_id)] += 1
        await trio.sleep(12)
        return f"{for_it} is over"

    server = McpServer("docs", SERVER.tools, listing_delay=around.listing_delay)
    service = SimulatedService(
        Script(DOCS_REPLIES, mcp_servers=[server], transcription_delay=0.5),
        cast=Cast(Agent(), ears=Ears()),
        faults=lambda number: faults_of(faults, number, is_slow=around.is_slow),
        expires_after=around.expires_after,
        latency=0.1,
    )
    policy = Reconnect(
        attempts=50,
        give_up_after=1e4,
        renew_before=30.0,
        longest_session=2e6,
        stale_audio=around.stale_audio,
        resume="ask" if around.is_asked_again else "drop",
    )
    playback = Playback()
    async with open_session(
        transport=service.open,
        reconnect=policy,
        tools=[look, wait, DOCS],
        turn_detection="server_vad" if around.detects else None,
        transcription="whisper",
        playback=playback,
        history_limit=HistoryLimit(
            items=around.items,
            tokens=around.tokens,
            summarize=summary_of if around.summarizes else None,
        ),
        budget=None if around.budget is None else Budget(tokens=around.budget),
        strict=True,
    ) as session:
        stream = session.events(Reconnected, SessionRenewed, ResponseCreated, ResponseDone)
        told = Told()
        async with trio.open_nursery() as beside:
            async with trio.open_nursery() as nursery:
                talk = Talk(session, service, nursery, playback, around.listens, runs=runs)
                beside.start_soon(talk.approve)
                if around.listens:
                    beside.start_soon(talk.listen)
                for step in steps:
                    await talk.take(step)
                # Everybody who waits gets an answer.
                nursery.cancel_scope.deadline = trio.current_time() + 2000
            assert not nursery.cancel_scope.cancel_called
            service._expires_after = 1e6
            for is_restarted in (False, True):
                if is_restarted:
                    await restart(session)
                await be_quiet(talk)
                told.take(taken(stream))
                assert sorted(told.begun) == sorted(told.ended)
                check_same(talk, told.lost, told.wordless, summarizes=around.summarizes)
                check_calls(talk)
                check_sounds(talk)
                check_speech(talk)
                check_nothing_is_left(talk)
                check_answers(talk, around)
                check_losses(talk, told, detects=around.detects)
            beside.cancel_scope.cancel()


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=4, max_size=16), FAULTS, CIRCUMSTANCES)
def test_both_sides_have_the_same_whatever_a_product_does(
    steps: list[Step], faults: list[int], around: Circumstances
) -> None:
    clock = MockClock(autojump_threshold=0)
    trio.run(partial(run, steps, faults, around), clock=clock)
