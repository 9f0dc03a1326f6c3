"""Whatever breaks and whenever: both sides have the same conversation, but for what `Loss` names.

A client that talks, with a tool, with audio and with items that come and go, is driven through
random drops at random messages, refused attempts, restarts and renewals.  At the end, when all is
quiet, the simulated server's own view of the conversation is held against the client's: the same
items in the same order, nothing twice, and whatever differs is in the last loss that was told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
import trio
from attrs import define, field, frozen
from hypothesis import HealthCheck, event, given, note, settings, strategies as st
from lasting_talk import lines_of
from numpy.typing import NDArray
from trio.testing import MockClock, wait_all_tasks_blocked

from realtime_trio import tool
from realtime_trio._session.opening import open_session
from realtime_trio._session.voice import Session
from realtime_trio.errors import (
    ConnectionFailed,
    LocalProtocolError,
    RequestLost,
    ServerError,
)
from realtime_trio.events import (
    AssistantMessage,
    InputAudio,
    Item,
    RealtimeSession,
    ResponseCreated,
    ResponseDone,
    UserMessage,
)
from realtime_trio.lasting import Loss, Reconnect, Reconnected, SessionRenewed
from realtime_trio.simulator import Call, Cast, Fault, Script, SimulatedService, Turn
from realtime_trio.simulator.roles import Piece, Say

CHUNK = np.arange(2400, dtype=np.int16)
"""100 ms."""
Resume: TypeAlias = Literal["ask", "drop"]
LOUD = np.tile(np.array([4000, -4000], np.int16), 1200)
SILENT = np.zeros(2400, np.int16)


class Agent:
    """Answers what it is asked, slowly enough that it can be cut anywhere."""

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:  # noqa: ASYNC900, ASYNC911
        if turn.tool_output is not None:
            words = f"It says {turn.tool_output}."
        elif turn.user_text.startswith("look"):
            yield Call("look", {"at": turn.user_text})  # noqa: ASYNC911
            return  # noqa: ASYNC911
        else:
            words = f"You said {turn.user_text}."
        for word in words.split():
            await trio.sleep(0.25)
            yield Say(f"{word} ")


class Ears:
    """Hears how long it is."""

    async def transcribe(self, samples: NDArray[np.int16]) -> str | None:
        await trio.sleep(0.2)
        return f"sound {len(samples)}"


@tool
async def look(at: str) -> str:
    """Look at something."""
    await trio.sleep(1.0)
    return f"nothing at {at}"


# --- what may happen ------------------------------------------------------------------------------


@frozen
class Step:
    """One thing that happens."""

    kind: str
    number: int = 0


STEPS = st.one_of(
    st.builds(
        Step, st.sampled_from(["say", "ask", "ask tool", "respond", "commit", "append", "speak"])
    ),
    st.builds(Step, st.just("wait"), st.integers(1, 12)),
    st.builds(Step, st.sampled_from(["insert", "delete", "truncate"]), st.integers(0, 9)),
    st.builds(Step, st.sampled_from(["drop", "drop", "restart", "cancel", "configure"])),
    st.builds(Step, st.just("refuse"), st.integers(1, 2)),
    st.builds(Step, st.just("expire")),
)
FAULTS = st.lists(st.integers(1, 60), max_size=4)
"""At which message each of the first connections breaks."""


@define
class Talk:
    """One run."""

    session: Session
    service: SimulatedService
    nursery: trio.Nursery
    said: int = 0
    answers: dict[str, str] = field(factory=dict)
    asked: list[str] = field(factory=list)
    failed: list[str] = field(factory=list)
    """Texts whose response was cancelled by us, or refused."""

    async def take(self, step: Step) -> None:
        await trio.lowlevel.checkpoint()
        event(step.kind)
        session = self.session
        match step.kind:
            case "say":
                await session.send_message(self._words("hello"), respond=False)
            case "ask":
                self.nursery.start_soon(self._ask, self._words("hello"))
            case "ask tool":
                self.nursery.start_soon(self._ask, self._words("look"))
            case "respond":
                await session.respond()
            case "append":
                await session.append_audio(CHUNK)
            case "speak":
                for piece in [LOUD] * 4 + [SILENT] * 8:
                    await session.append_audio(piece)
                    await trio.sleep(0.1)
            case "commit":
                self.nursery.start_soon(self._commit)
            case "wait":
                await trio.sleep(step.number / 8)
            case "insert":
                place = self._some(step.number)
                words = UserMessage.text(self._words("note"))
                self.nursery.start_soon(self._insert, words, place)
            case "delete":
                if (item_id := self._some(step.number)) is not None:
                    self.nursery.start_soon(self._try, session.delete_item, item_id)
            case "truncate":
                if (item_id := self._some(step.number)) is not None:
                    self.nursery.start_soon(self._try, session.truncate, item_id, 100)
            case "configure":
                text = self._words("be")
                self.nursery.start_soon(self._configure, text)
            case "drop":
                self.service.drop()
            case "restart":
                self.nursery.start_soon(self._try, session.restart)
            case "cancel":
                await session.cancel_response()
            case "refuse":
                self.service.refuse(*[None] * step.number)
            case "expire":
                await trio.sleep(30)

    def _words(self, kind: str) -> str:
        self.said += 1
        return f"{kind} {self.said}"

    def _some(self, number: int) -> str | None:
        items = self.session.conversation.items
        return items[number % len(items)].id if items else None

    async def _ask(self, words: str) -> None:  # noqa: ASYNC910
        self.asked.append(words)
        try:
            answer = await self.session.ask(words)
        except ServerError:
            self.failed.append(words)
            return  # noqa: ASYNC910
        if answer.status == "completed":
            self.answers[words] = answer.text.strip()
        else:
            self.failed.append(words)

    async def _commit(self) -> None:  # noqa: ASYNC910
        with suppress(LocalProtocolError, ServerError):
            await self.session.commit_audio()

    async def _insert(  # noqa: ASYNC910
        self, item: UserMessage, place: str | None
    ) -> None:
        with suppress(ServerError):
            await self.session.insert_item(item, previous_item_id=place)

    async def _configure(self, text: str) -> None:
        await self.session.update(instructions=text)
        assert self.session.config.instructions is not None

    async def _try(self, method: object, *arguments: object) -> None:  # noqa: ASYNC910
        with suppress(ServerError, RequestLost, LocalProtocolError, ConnectionFailed):
            await method(*arguments)  # type: ignore[operator]


# --- judging --------------------------------------------------------------------------------------


def check_same(
    session: Session, service: SimulatedService, lost: Loss, wordless: set[str | None]
) -> None:
    """Both sides have the same items, but for what the last loss names, and lost transcripts."""
    ours = [item.snapshot for item in session.conversation.items]
    theirs = list(service.server.items)
    note(f"client: {list(zip(ids(ours), lines_of(ours), strict=True))}")
    note(f"server: {list(zip(ids(theirs), lines_of(theirs), strict=True))}")
    note(f"lost: {lost}")
    omitted = {each.item_id for each in lost.omissions if each.what == "item"}
    assert max(Counter(ids(theirs)).values(), default=1) == 1
    kept = [item for item in ours if item.id not in omitted]
    there = [item for item in theirs if item.id not in omitted]
    assert ids(there) == ids(kept)
    for server_item, client_item in zip(there, kept, strict=True):
        if is_spoken_in_part(client_item) or client_item.id in wordless:
            continue
        assert lines_of([server_item]) == lines_of([client_item])


def is_spoken_in_part(item: Item) -> bool:
    """Whether the two have it at different moments of its making, or it was truncated."""
    return isinstance(item, AssistantMessage) and (item.status != "completed" or not said(item))


def said(item: Item) -> str:
    return lines_of([item])[0][1]


def ids(items: Sequence[Item]) -> list[str | None]:
    return [item.id for item in items]


def check_audio(session: Session, service: SimulatedService) -> None:
    """What the user said is the same on both sides, where the server has the sound of it."""
    for theirs in service.server.items:
        ours = session.conversation.get(str(theirs.id))
        if not isinstance(theirs, UserMessage) or ours is None:
            continue
        sounds = [
            part.audio.samples
            for part in theirs.content
            if isinstance(part, InputAudio) and part.audio is not None
        ]
        if sounds:
            assert np.array_equal(np.concatenate(sounds), ours.audio)


async def run(steps: list[Step], faults: list[int], *, detects: bool, resume: Resume) -> None:
    service = SimulatedService(
        Script(),
        cast=Cast(Agent(), ears=Ears()),
        faults=lambda number: (
            [Fault.drop(nth=3 + faults[number - 1])] if number <= len(faults) else []
        ),
        expires_after=300.0,
        latency=0.1,
    )
    policy = Reconnect(
        attempts=50, give_up_after=1e4, renew_before=100.0, longest_session=300.0, resume=resume
    )
    async with open_session(
        transport=service.open,
        reconnect=policy,
        tools=[look],
        turn_detection="server_vad" if detects else None,
        transcription="whisper",
        strict=True,
    ) as session:
        told = session.events(Reconnected, SessionRenewed, ResponseCreated, ResponseDone)
        lost = Loss()
        wordless: set[str | None] = set()
        begun: list[str] = []
        ended: list[str] = []
        async with trio.open_nursery() as nursery:
            talk = Talk(session, service, nursery)
            for step in steps:
                await talk.take(step)
            # Everybody who waits gets an answer.
            nursery.cancel_scope.deadline = trio.current_time() + 2000
        assert not nursery.cancel_scope.cancel_called
        # Until there is a connection that holds, and nothing more follows on it.
        quiet_s = 0
        while quiet_s < 20:  # noqa: ASYNC110 - nobody tells that nothing more will happen
            await trio.sleep(1)
            quiet_s = quiet_s + 1 if session.closed is None else 0
        await wait_all_tasks_blocked()
        for each in [told.receive_nowait() for _ in range(told.pending)]:
            match each:
                case ResponseCreated(response=response):
                    begun.append(response.id)
                case ResponseDone(response=response):
                    ended.append(response.id)
                case Reconnected(lost=what) | SessionRenewed(lost=what):
                    lost = what
                    wordless.update(what.transcripts)
        assert sorted(begun) == sorted(ended)
        theirs = service.server._session
        assert isinstance(theirs, RealtimeSession)
        assert session.config.instructions == theirs.instructions
        check_same(session, service, lost, wordless)
        check_audio(session, service)
        for words, answer in talk.answers.items():
            # Of whatever was said last when the response began.
            assert answer.startswith(("You said", "It says nothing at look")), words
        assert {*talk.answers, *talk.failed} == {*talk.asked}


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=14), FAULTS, st.booleans(), st.sampled_from(["ask", "drop"]))
def test_both_sides_have_the_same_but_for_what_is_told(
    steps: list[Step], faults: list[int], detects: bool, resume: Resume
) -> None:
    clock = MockClock(autojump_threshold=0)
    trio.run(partial(run, steps, faults, detects=detects, resume=resume), clock=clock)
