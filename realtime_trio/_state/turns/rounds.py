"""Rounds of tool calls: which calls await their output, and which outputs the model has not read.

Owns the calls of one session's responses.  Pure: it is told what was called, posted, acknowledged
and read.  It refuses to know when a response may be asked for, and what is in an output.

Theory of operation.  The calls of one response are a round.  An output is *unread* from when it is
sent until a response is done that began after it: one that we asked for later, or any that began
after the server had acknowledged the output.  A follow-up is owed while a response is done, all of
its calls have their outputs and some output is unread.  So whether one is owed is never remembered,
always derived: it cannot be forgotten by a refusal or be sent once per call, and the reply to the
user's interruption, which reads the outputs too, makes it superfluous.

Calls on MCP servers are run by the service, after the response that made them is done, and it does
not go on by itself.  So they are calls like others, which have their output when the service says
so, or when their approval is denied.  One that was asked for first goes by the id of that request.
Those of a response that did not complete are not waited for.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, TypeVar

from attrs import define, field

from realtime_trio.errors import LocalProtocolError
from realtime_trio.events import (
    FunctionCallOutput,
    Item,
    McpApprovalRequest,
    McpCall,
    Response,
    SystemMessage,
)

R = TypeVar("R")


@define(eq=False, kw_only=True)
class Round(Generic[R]):
    """The calls of one response, until their outputs are read."""

    is_aside: bool = False
    """Whether its response is out of band."""
    calls: set[str] = field(factory=set)
    """All of its calls."""
    pending: set[str] = field(factory=set)
    """Those that have no output yet."""
    hosted: set[str] = field(factory=set)
    """Those that the service runs."""
    unread: dict[str, bool] = field(factory=dict)
    """A call whose output is unread, or the item of later news -> whether the server has it."""
    origins: list[R] = field(factory=list)
    """What waits for the end of all this."""
    is_given_up: bool = False
    """Whether nobody wants a reply to its outputs any more."""
    response: Response | None = None
    """The response, once it is done."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing follows it any more."""
        return self.response is not None and not self.pending and not self.unread

    @property
    def owes_reply(self) -> bool:
        """Whether the model should be asked to go on."""
        is_answered = self.response is not None and not self.pending
        return is_answered and bool(self.unread) and not self.is_given_up


class Rounds(Generic[R]):
    """The rounds of one session whose outputs are not all read."""

    def __init__(self) -> None:
        self._rounds: list[Round[R]] = []
        self._calls: set[str] = set()
        self._approved: dict[str, str] = {}
        """Item of a call on an MCP server -> the request for its approval."""

    # --- looking ----------------------------------------------------------------------------------

    @property
    def owe_reply(self) -> bool:
        """Whether a follow-up is owed."""
        return any(each.owes_reply for each in self._rounds)

    @property
    def unread(self) -> frozenset[str]:
        """What a response would read that is asked for now."""
        return frozenset(name for each in self._rounds for name in each.unread)

    @property
    def acknowledged(self) -> frozenset[str]:
        """What a response reads that begins now, whoever asked for it."""
        return frozenset(
            name
            for each in self._rounds
            for name, is_acknowledged in each.unread.items()
            if is_acknowledged
        )

    @property
    def origins(self) -> list[R]:
        """Everything that waits for the end of a round."""
        return [origin for each in self._rounds for origin in each.origins]

    def knows(self, call_id: str) -> bool:
        """Whether there was such a call, however long ago."""
        return call_id in self._calls

    def awaits(self, call_id: str) -> bool:
        """Whether this is a call that has no output yet."""
        return any(call_id in each.pending for each in self._rounds)

    # --- calls ------------------------------------------------------------------------------------

    def add(self, owner: Round[R], call_id: str) -> None:
        """Note a call."""
        self._calls.add(call_id)
        owner.calls.add(call_id)
        owner.pending.add(call_id)
        if owner not in self._rounds:
            self._rounds.append(owner)

    def add_alone(self, call_id: str) -> None:
        """Note a call of a response that is over, or that nobody saw."""
        self.add(Round(response=Response()), call_id)

    def name_hosted(self, call: McpCall | McpApprovalRequest) -> str:
        """Give the name that a call on an MCP server has here: the id it was first known by."""
        if isinstance(call, McpCall) and call.approval_request_id is not None:
            self._approved[call.id] = call.approval_request_id
            return call.approval_request_id
        return call.id

    def mark_hosted(self, name: str) -> None:
        """Note that the service runs this call."""
        for each in self._rounds:
            if name in each.pending:
                each.hosted.add(name)

    def give_up(self, origin: R) -> Round[R] | None:
        """Note that somebody does not wait for a round any more.

        Returns:
            The round, if nobody else waits for it and so no reply is owed; else None.
        """
        owner = next((each for each in self._rounds if origin in each.origins), None)
        if owner is None:
            return None
        owner.origins.remove(origin)
        owner.is_given_up = not owner.origins
        return owner if owner.is_given_up else None

    # --- outputs ----------------------------------------------------------------------------------

    def output_posted(self, call_id: str, *, respond: bool) -> Round[R]:
        """Note that the output of a call was sent; return its round.

        Args:
            call_id: A call without an output.
            respond: Whether the model should reply to it.

        Raises:
            LocalProtocolError: There is no such call, or it has its output.
        """
        owner = next((each for each in self._rounds if call_id in each.pending), None)
        if owner is None:
            why = "is answered already" if self.knows(call_id) else "was never made"
            raise LocalProtocolError(f"call {call_id!r} {why}")
        owner.pending.remove(call_id)
        if respond and not owner.is_aside:
            owner.unread[call_id] = False
        return owner

    def news_posted(self, call_id: str, item_id: str) -> None:
        """Note that news of a call which had its output were sent, as this item."""
        owner = next((each for each in self._rounds if call_id in each.calls), None)
        if owner is None:
            # Its round is over: the output was read, so the news are a round of their own.
            owner = Round(response=Response())
            self._rounds.append(owner)
        owner.unread[item_id] = False

    def hosted_ended(self, item_id: str) -> Round[R] | None:
        """Note that the service has run a call, or will not; return its round if it was open."""
        name = self._approved.pop(item_id, item_id)
        for each in self._rounds:
            if name in each.pending:
                each.pending.remove(name)
                if not each.is_aside:
                    # It is in the conversation already: the service has put it there itself.
                    each.unread[name] = True
                return each
        return None

    def acknowledge(self, item: Item) -> None:
        """Note that an item is in the conversation; it may be an output, or news."""
        match item:
            case FunctionCallOutput(call_id=name):
                pass
            case SystemMessage(id=str(name)):
                pass
            case _:
                return
        for each in self._rounds:
            if name in each.unread:
                each.unread[name] = True

    def response_done(self, owner: Round[R], response: Response, *, is_guess: bool) -> None:
        """Note that the response of a round is done.

        Args:
            owner: The round.
            response: Its response.
            is_guess: Whether it was only inferred that the round is out of band, if it is.
        """
        owner.response = response
        if owner.is_aside and not is_guess:
            # Its calls are not in the conversation, so nobody can give an output.
            owner.pending.clear()
        elif response.status != "completed":
            owner.pending -= owner.hosted

    def read(self, names: Collection[str]) -> list[R]:
        """Note that these are read.

        Returns:
            What waited for that, and now waits for the response that has read them.
        """
        origins: list[R] = []
        for each in [*self._rounds]:
            for name in each.unread.keys() & names:
                del each.unread[name]
                if each.is_complete:
                    self._rounds.remove(each)
                    origins += each.origins
        return origins

    def conclude(self, owner: Round[R]) -> bool:
        """Forget a round if nothing follows it any more; say whether that is so."""
        if not owner.is_complete:
            return False
        if owner in self._rounds:
            self._rounds.remove(owner)
        return True
