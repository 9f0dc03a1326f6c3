"""Turns against a server that keeps the protocol to the letter, in random order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import count
from typing import Literal

from attrs import define, field
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from turn_events import (
    CLEARED,
    COMMITTED,
    FULL,
    LOST,
    SPEECH_STARTED,
    SPEECH_STOPPED,
    TIMEOUT,
    acknowledged,
    called,
    open_turns,
    refusal,
    request,
)

from realtime_trio._state.turns.actions import (
    Action,
    Concluded,
    Failed,
    Finished,
    ResponseRequest,
    Send,
    Started,
    Withdrawn,
)
from realtime_trio._state.turns.exchange import State
from realtime_trio._state.turns.run import METADATA_KEY
from realtime_trio.events import (
    ClientEvent,
    ConversationItemCreate,
    FunctionCall,
    FunctionCallOutput,
    InputAudioBufferClear,
    InputAudioBufferCommit,
    Response,
    ResponseCancel,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    ResponseOutputItemDone,
    ResponseStatusDetails,
    ServerEvent,
    ServerVad,
    TurnDetection,
)


@define(eq=False)
class Reply:
    """A response as the server knows it."""

    id: str
    asked: ResponseCreate | None
    is_aside: bool
    is_announced: bool = True
    is_seen: bool = False  # by the client
    is_over: bool = False  # as far as the client has seen

    def shown(self, echoes: bool, status: str, reason: str | None = None) -> Response:
        return Response(
            id=self.id,
            status=status,
            status_details=None if reason is None else ResponseStatusDetails(reason=reason),
            metadata=self.asked.response.metadata
            if echoes and self.asked is not None and self.asked.response is not None
            else None,
            conversation_id=None if self.is_aside else "conv",
        )


@define(eq=False)
class Answer:
    """A call's output as everybody together knows it."""

    respond: bool
    is_at_server: bool = False
    read_by: Reply | None = None
    is_given_up: bool = False


@define(eq=False)
class Wish:
    """What a request has come to, as the client was told."""

    request: ResponseRequest
    told: list[str] = field(factory=list)

    @property
    def is_settled(self) -> bool:
        return self.told[-1:] in (["concluded"], ["failed"], ["withdrawn"])


Message = tuple[
    ServerEvent | TurnDetection | None, Reply | None, str | None
]  # what, about which response, answer to which create


class StrictServer(RuleBasedStateMachine):
    """Turns on one end, the protocol's rules on the other, and messages under way in between.

    "Only one response can write to the default Conversation at a time", "the server will not
    continue by itself after a function call", and turn detection may create a response at any time:
    before, while and after a create of ours is under way.
    """

    @initialize(
        echoes=st.booleans(),
        says_why=st.booleans(),
        turn_detection=st.sampled_from(
            [
                ServerVad(),
                ServerVad(create_response=False),
                ServerVad(interrupt_response=False),
                None,
            ]
        ),
    )
    def connect(self, echoes: bool, says_why: bool, turn_detection: ServerVad | None) -> None:
        self.echoes = echoes
        self.says_why = says_why
        self.reconnect(turn_detection)

    def reconnect(self, turn_detection: ServerVad | None) -> None:
        self.numbers = count(1)
        self.to_server: deque[ClientEvent] = deque()
        self.to_client: deque[Message] = deque()
        # the server
        self.turn_detection = turn_detection
        self.creates = (
            turn_detection is not None and turn_detection.create_response is not False
        )  # as far as the client knows
        self.active: Reply | None = None
        self.asides: list[Reply] = []
        self.is_user_speaking = False
        self.next_fails = self.next_is_unannounced = False
        # the client
        self.turns = open_turns(turn_detection)
        self.wishes: dict[ResponseRequest, Wish] = {}
        self.unanswered: set[str] = set()
        self.follow_ups: dict[str, list[Answer]] = {}
        self.unanswered_calls: dict[str, Reply] = {}
        self.rounds: dict[Reply, dict[str, Answer]] = {}
        self.answers: dict[str, Answer] = {}
        self.replies: dict[str, Reply] = {}
        self.cancelled: list[str | None] = []
        self.unwanted: set[str] = set()
        self.optional: set[Reply] = set()  # whose calls need no reply any more
        self.last_heard: ServerEvent | None = None
        self.is_user_heard = False
        self.has_seen_echo = False

    def number(self, prefix: str) -> str:
        return f"{prefix}{next(self.numbers)}"

    # what the application does

    @rule(
        aside=st.sampled_from([False, False, False, True]),
        kind=st.sampled_from(["none", "some", "full", "ours"]),
    )
    def application_asks(self, aside: bool, kind: Literal["none", "some", "full", "ours"]) -> None:
        event_id = self.number("a")
        metadata = {
            "none": None,
            "some": {"topic": "weather"},
            "full": {**dict(list(FULL.items())[1:]), "n": event_id},
            "ours": {METADATA_KEY: "mine", "n": event_id},
        }[kind]
        wish = request(event_id, aside=aside, metadata=metadata)
        self.wishes[wish] = Wish(wish)
        self.perform(self.turns.want_response(wish))

    @precondition(lambda self: self.wishes)
    @rule(data=st.data(), how=st.sampled_from(["cancel", "cancel by id", "abandon"]))
    def application_changes_its_mind(self, data: st.DataObject, how: str) -> None:
        if how == "cancel":
            self.unwanted |= self.unanswered
            self.perform(self.turns.cancel())
        elif how == "abandon":
            wish = data.draw(st.sampled_from(list(self.wishes)))
            self.unwanted.add(str(wish.event.event_id))
            # The wish may wait for any of these, through the outputs that they have read.
            self.optional |= {*self.rounds, *self.replies.values()}
            self.optional |= set() if self.active is None else {self.active}
            self.perform(self.turns.abandon(wish))
        elif self.replies:
            self.perform(self.turns.cancel(data.draw(st.sampled_from(sorted(self.replies)))))

    @precondition(lambda self: self.unanswered_calls)
    @rule(data=st.data(), respond=st.sampled_from([True, True, False]))
    def tool_answers(self, data: st.DataObject, respond: bool) -> None:
        call_id = data.draw(st.sampled_from(sorted(self.unanswered_calls)))
        reply = self.unanswered_calls.pop(call_id)
        answer = Answer(respond and not reply.is_aside)
        self.rounds[reply][call_id] = self.answers[call_id] = answer
        self.to_server.append(
            ConversationItemCreate(item=FunctionCallOutput(call_id=call_id, output="{}"))
        )
        self.perform(self.turns.call_answered(call_id, respond=respond))

    # what the network does

    @precondition(lambda self: self.to_server or self.to_client)
    @rule(to_server=st.sampled_from([1, 2, 9, 0]), to_client=st.sampled_from([9, 3, 2, 1, 0]))
    def messages_arrive(self, to_server: int, to_client: int) -> None:
        for _ in range(min(to_server, len(self.to_server))):
            self.message_reaches_server()
        for _ in range(min(to_client, len(self.to_client))):
            self.message_reaches_client()

    def message_reaches_server(self) -> None:
        match self.to_server.popleft():
            case ResponseCreate(event_id=event_id) as event:
                aside = event.response is not None and event.response.conversation == "none"
                if self.next_fails:
                    self.next_fails = False
                    self.say(refusal(event_id, "unknown_parameter"), answers=event_id)
                elif self.active is not None and not aside:
                    self.say(refusal(event_id), answers=event_id)
                else:
                    self.begin(event, aside)
            case ResponseCancel(event_id=event_id, response_id=response_id):
                running = [
                    reply
                    for reply in (self.active, *self.asides)
                    if reply is not None and reply.id == response_id
                ]
                if running:
                    self.end(running[0], "cancelled", "client_cancelled")
                else:
                    self.say(refusal(event_id, "response_cancel_not_active"))
            case ConversationItemCreate(item=FunctionCallOutput(call_id=call_id)):
                self.answers[call_id].is_at_server = True
                self.say(acknowledged(call_id))
            case InputAudioBufferCommit():
                self.is_user_speaking = False
                self.say(COMMITTED)
            case _:
                self.is_user_speaking = False
                self.say(CLEARED)

    def message_reaches_client(self) -> None:
        event, reply, answers = self.to_client.popleft()
        if answers is not None:
            self.unanswered.discard(answers)
        if not isinstance(event, ServerEvent):
            self.creates = isinstance(event, ServerVad) and event.create_response is not False
            self.is_user_heard = self.is_user_heard and self.creates
            self.perform(self.turns.configure(event))
            return
        self.last_heard = event
        if event in (SPEECH_STARTED, SPEECH_STOPPED, COMMITTED, CLEARED):
            self.is_user_heard = event in (SPEECH_STARTED, SPEECH_STOPPED) and self.creates
        match event:
            case ResponseCreated(response=response):
                assert reply is not None
                self.replies[reply.id] = reply
                reply.is_seen = True
                self.has_seen_echo |= self.echoes and response.metadata is not None
            case ResponseDone():
                assert reply is not None
                reply.is_over = True
                if reply.is_aside and self.echoes:
                    self.unanswered_calls = {
                        call_id: other
                        for call_id, other in self.unanswered_calls.items()
                        if other is not reply
                    }
            case ResponseOutputItemDone(item=FunctionCall(call_id=str(call_id))):
                assert reply is not None
                self.unanswered_calls[call_id] = reply
                self.rounds.setdefault(reply, {})
            case _:
                pass
        self.perform(self.turns.apply(event))
        if isinstance(event, ResponseCreated) and answers in self.unwanted:
            assert reply is not None
            assert reply.id in self.cancelled, "an orphan goes on speaking"

    # what the server does

    @precondition(lambda self: self.active or self.asides)
    @rule(data=st.data(), how=st.sampled_from(["calls", "completed", "failed", "has no id"]))
    def model_finishes(self, data: st.DataObject, how: str) -> None:
        reply = data.draw(
            st.sampled_from([reply for reply in (self.active, *self.asides) if reply is not None])
        )
        if how == "calls":
            self.say(called(reply.id, self.number("call")), reply)
        self.end(
            reply,
            "failed" if how == "failed" else "completed",
            is_nameless=how == "has no id" and not reply.is_aside and reply.is_announced,
        )

    @precondition(lambda self: self.turn_detection)
    @rule(is_idle=st.sampled_from([False, False, False, True]))
    def user_begins_or_stops_to_speak(self, is_idle: bool) -> None:
        assert self.turn_detection is not None
        if self.is_user_speaking:
            self.is_user_speaking = False
            self.say(SPEECH_STOPPED)
            self.answer_user()
        elif not is_idle:
            self.is_user_speaking = True
            self.say(SPEECH_STARTED)
            if self.active is not None and self.turn_detection.interrupt_response is not False:
                self.end(self.active, "cancelled", "turn_detected")
        elif self.active is None:
            self.say(TIMEOUT)
            self.answer_user()

    @precondition(lambda self: self.active)
    @rule(calls=st.integers(1, 2), is_over=st.booleans(), is_heard=st.booleans())
    def model_calls_functions(self, calls: int, is_over: bool, is_heard: bool) -> None:
        """What everything else races with, said in one breath so that it is not rare."""
        assert self.active is not None
        for _ in range(calls):
            self.say(called(self.active.id, self.number("call")), self.active)
        if is_over:
            self.end(self.active, "completed")
        while is_heard and self.to_client:
            self.message_reaches_client()

    @rule(
        what=st.sampled_from(["failure", "silence", "loss", "update", "commit", "clear"]),
        flags=st.tuples(st.booleans(), st.booleans()),
    )
    def something_rare_happens(self, what: str, flags: tuple[bool, bool]) -> None:
        if what == "failure":
            self.next_fails = True
        elif what == "silence":
            self.next_is_unannounced = self.has_seen_echo  # otherwise nobody could tell
        elif what == "loss":
            self.lose_connection()
        elif what == "commit":
            self.to_server.append(InputAudioBufferCommit())
        elif what == "clear":
            self.to_server.append(InputAudioBufferClear())
        else:
            self.turn_detection = ServerVad(create_response=flags[0], interrupt_response=flags[1])
            self.to_client.append((self.turn_detection, None, None))

    def lose_connection(self) -> None:
        open_requests = {wish.request for wish in self.wishes.values() if not wish.is_settled}
        failed = self.turns.disconnected(LOST)
        assert {
            action.request
            for action in failed
            if isinstance(action, Failed) and not action.request.is_follow_up
        } == open_requests
        self.reconnect(self.turn_detection)

    def say(
        self, event: ServerEvent, reply: Reply | None = None, answers: str | None = None
    ) -> None:
        self.to_client.append((event, reply, answers))

    def answer_user(self) -> None:
        self.say(COMMITTED)
        assert self.turn_detection is not None
        if self.turn_detection.create_response is False:
            return
        if self.active is None:
            self.begin(None, False)
        elif self.says_why:
            self.say(refusal(None))

    def begin(self, asked: ResponseCreate | None, aside: bool) -> None:
        reply = Reply(
            self.number("r"), asked, aside, is_announced=aside or not self.next_is_unannounced
        )
        self.next_is_unannounced = self.next_is_unannounced and aside
        if aside:
            self.asides.append(reply)
        else:
            self.active = reply
            for answer in self.answers.values():
                if answer.is_at_server and answer.read_by is None:
                    answer.read_by = reply
        if reply.is_announced:
            event = ResponseCreated(
                event_id="event", response=reply.shown(self.echoes, "in_progress")
            )
            self.say(event, reply, answers=None if asked is None else asked.event_id)

    def end(
        self, reply: Reply, status: str, reason: str | None = None, is_nameless: bool = False
    ) -> None:
        if reply.is_aside:
            self.asides.remove(reply)
        else:
            self.active = None
        response = Response() if is_nameless else reply.shown(self.echoes, status, reason)
        self.say(
            ResponseDone(event_id="event", response=response),
            reply,
            answers=None if reply.asked is None else reply.asked.event_id,
        )

    # what the client is told to do

    def perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Send(ResponseCreate() as event):
                    self.check_create(event)
                    self.to_server.append(event)
                case Send(ResponseCancel(response_id=response_id) as event):
                    assert response_id not in self.cancelled, "cancelled twice"
                    self.cancelled.append(response_id)
                    self.to_server.append(event)
                case Started(wish, response_id):
                    self.check_answer(wish, response_id)
                    self.tell(wish, "started", after=[[]])
                case Finished(wish, response):
                    self.check_answer(wish, response.id)
                    self.tell(wish, "finished", after=[[], ["started"]])
                case Concluded(wish):
                    self.tell(wish, "concluded", after=[["finished"], ["started", "finished"]])
                case Failed(wish):
                    self.tell(wish, "failed", after=[[], ["finished"], ["started", "finished"]])
                    for answer in self.follow_ups.get(str(wish.event.event_id), []):
                        answer.is_given_up = True
                case Withdrawn(wish):
                    self.tell(wish, "withdrawn", after=[[]])

    def check_create(self, event: ResponseCreate) -> None:
        if event.response is not None and event.response.conversation == "none":
            return
        assert not self.unanswered, "two creates under way"
        assert event.event_id
        self.unanswered.add(event.event_id)
        assert not [
            reply for reply in self.replies.values() if not reply.is_aside and not reply.is_over
        ], "a response is active"
        waiting = [
            wish.request.event.event_id
            for wish in self.wishes.values()
            if not wish.told and not wish.request.is_out_of_band
        ]
        if event.event_id.startswith("a"):
            assert event.event_id == waiting[0], "it is not its turn yet"
            return
        self.follow_ups[event.event_id] = list(self.answers.values())
        assert [
            answer for answer in self.owed() if answer.read_by is None or not answer.read_by.is_seen
        ], "nothing is owed"
        assert not self.is_user_heard, "it talks over the user"
        coming = self.to_client[0][1] if self.to_client else None
        assert self.last_heard is not COMMITTED or coming is None or coming.asked is not None, (
            "turn detection answers already"
        )

    def check_answer(self, wish: ResponseRequest, response_id: str) -> None:
        reply = self.replies.get(response_id)
        assert reply is None or (
            reply.asked is not None and reply.asked.event_id == wish.event.event_id
        ), "somebody else's response"

    def tell(self, request: ResponseRequest, what: str, *, after: list[list[str]]) -> None:
        if request.is_follow_up:
            return
        wish = self.wishes[request]
        assert wish.told in after
        wish.told.append(what)

    def owed(self) -> list[Answer]:
        """Answers that want a reply, of responses that are done and have no other calls."""
        return [
            answer
            for reply, answers in self.rounds.items()
            if reply.is_over and reply not in self.unanswered_calls.values()
            for answer in answers.values()
            if answer.respond and not answer.is_given_up
        ]

    # what must be true

    @invariant()
    def an_active_response_is_known_to_be_active(self) -> None:
        seen = [
            reply for reply in self.replies.values() if not reply.is_aside and not reply.is_over
        ]
        assert len(seen) <= 1
        if seen:
            assert self.turns.state in (State.TAKEN, State.CONTESTED)
        if self.unanswered:
            assert self.turns.state in (State.ASKED, State.CONTESTED)

    def everything_comes_to_rest(self) -> None:
        self.next_fails = False
        for _ in range(200):
            while self.to_server or self.to_client:
                while self.to_server:
                    self.message_reaches_server()
                while self.to_client:
                    self.message_reaches_client()
            if self.is_user_speaking:
                self.user_begins_or_stops_to_speak(False)
            elif self.active is not None or self.asides:
                for reply in [*self.asides, *([] if self.active is None else [self.active])]:
                    self.end(reply, "completed")
            elif self.unanswered_calls:
                call_id, reply = self.unanswered_calls.popitem()
                self.rounds[reply][call_id] = self.answers[call_id] = Answer(not reply.is_aside)
                self.to_server.append(
                    ConversationItemCreate(item=FunctionCallOutput(call_id=call_id, output="{}"))
                )
                self.perform(self.turns.call_answered(call_id))
            else:
                break
        else:
            raise AssertionError("it never ends")
        assert self.turns.state is State.FREE
        assert [wish for wish in self.wishes.values() if not wish.is_settled] == [], (
            "a request was forgotten"
        )
        forgotten = [
            answer
            for reply, answers in self.rounds.items()
            if reply not in self.optional
            and (reply.asked is None or reply.asked.event_id not in self.unwanted)
            for answer in answers.values()
            if answer in self.owed() and answer.read_by is None
        ]
        assert forgotten == [], "a follow-up was forgotten"

    def teardown(self) -> None:
        if hasattr(self, "turns"):
            self.everything_comes_to_rest()


TestAgainstAStrictServer = StrictServer.TestCase

TestAgainstAStrictServer.settings = settings(
    max_examples=3 * settings().max_examples
)  # cheap ones, and what matters is rare
