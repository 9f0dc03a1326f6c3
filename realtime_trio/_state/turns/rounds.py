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
so, when their approval is denied, or when the request for it is deleted before anybody decides.
One that was asked for first goes by the id of that request.
Those of a response that did not complete are not waited for.

Rounds may wait for long, and there may be many.  So nothing here goes through all of them because
of one event: calls and unread outputs are found by their names, and whether a reply is owed is
derived from the few rounds that have something unread and wait for nothing more.
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
        self._rounds: dict[Round[R], int] = {}
        """The rounds, with numbers in the order of their beginning."""
        self._count = 0
        self._calls: set[str] = set()
        """All calls that there ever were."""
        self._by_call: dict[str, Round[R]] = {}
        self._by_unread: dict[str, Round[R]] = {}
        self._answered: dict[Round[R], None] = {}
        """The rounds with something unread that await no output."""
        self._approved: dict[str, str] = {}
        """Item of a call on an MCP server -> the request for its approval."""
        self._asking: set[str] = set()
        """The requests for approval that nobody has decided."""

    # --- looking ----------------------------------------------------------------------------------

    @property
    def owe_reply(self) -> bool:
        """Whether a follow-up is owed."""
        return any(each.owes_reply for each in self._answered)

    @property
    def await_outputs(self) -> bool:
        """Whether any call has no output yet."""
        return any(each.pending for each in self._rounds)

    @property
    def unread(self) -> frozenset[str]:
        """What a response would read that is asked for now."""
        return frozenset(self._by_unread)

    @property
    def acknowledged(self) -> frozenset[str]:
        """What a response reads that begins now, whoever asked for it."""
        return frozenset(name for name, owner in self._by_unread.items() if owner.unread[name])

    @property
    def are_open(self) -> bool:
        """Whether some call awaits its output, or some output its reply."""
        return bool(self._rounds)

    @property
    def awaited(self) -> frozenset[str]:
        """The calls that await an output which the service does not make."""
        rounds = (each for each in self._rounds if not each.is_aside)
        return frozenset(name for each in rounds for name in each.pending - each.hosted)

    @property
    def hosted(self) -> tuple[str, ...]:
        """The calls that the service has yet to run, by their names here."""
        return tuple(name for each in self._rounds for name in each.pending & each.hosted)

    @property
    def origins(self) -> list[R]:
        """Everything that waits for the end of a round."""
        return [origin for each in self._rounds for origin in each.origins]

    def knows(self, call_id: str) -> bool:
        """Whether there was such a call, however long ago."""
        return call_id in self._calls

    def awaits(self, call_id: str) -> bool:
        """Whether this is a call that has no output yet."""
        return self._awaiting(call_id) is not None

    def _awaiting(self, call_id: str) -> Round[R] | None:
        owner = self._by_call.get(call_id)
        return owner if owner is not None and call_id in owner.pending else None

    # --- the rounds themselves --------------------------------------------------------------------

    def _begin(self, owner: Round[R]) -> None:
        if owner not in self._rounds:
            self._rounds[owner] = self._count
            self._count += 1

    def _look(self, owner: Round[R]) -> None:
        """Note whether a round with other calls or outputs than before is one of the answered."""
        if owner.unread and not owner.pending:
            self._answered[owner] = None
        else:
            self._answered.pop(owner, None)

    def _forget(self, owner: Round[R]) -> None:
        del self._rounds[owner]
        for call_id in owner.calls:
            del self._by_call[call_id]
        self._asking -= owner.calls

    def _set_unread(self, owner: Round[R], name: str, *, is_acknowledged: bool) -> None:
        owner.unread[name] = is_acknowledged
        self._by_unread[name] = owner

    # --- calls ------------------------------------------------------------------------------------

    def add(self, owner: Round[R], call_id: str) -> None:
        """Note a call."""
        self._calls.add(call_id)
        owner.calls.add(call_id)
        owner.pending.add(call_id)
        self._by_call[call_id] = owner
        self._begin(owner)
        self._look(owner)

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
        if (owner := self._awaiting(name)) is not None:
            owner.hosted.add(name)

    def await_approval(self, name: str) -> None:
        """Note that the service asks before it runs this call."""
        if self.awaits(name):
            self._asking.add(name)

    def approved(self, name: str) -> None:
        """Note that it may run this call."""
        self._asking.discard(name)

    def take_back(self, name: str) -> Round[R] | None:
        """Note that a request for approval is gone from the conversation.

        Returns:
            Its round, if nobody had decided: now nobody can, and the call is never made.
        """
        return self.hosted_ended(name) if name in self._asking else None

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

    def forget(self, owner: Round[R]) -> None:
        """Forget a round whose response will be given once more, and what it has brought."""
        for name in [*owner.unread]:
            del owner.unread[name], self._by_unread[name]
        self._look(owner)
        if owner in self._rounds:
            self._forget(owner)

    def give_up_hosted(self, *, goes_on: bool) -> list[Round[R]]:
        """Note that the service which ran calls is gone, and with it what they returned.

        Args:
            goes_on: Whether the model should reply all the same, from what it still knows.  Then
                whoever waits for a reply to these calls waits for that one.

        Returns:
            The rounds to which nothing follows any more.
        """
        changed = [owner for owner in self._rounds if owner.hosted]
        for owner in changed:
            is_replied_to = goes_on and not owner.is_aside and not owner.is_given_up
            for name in owner.hosted & (owner.pending | owner.unread.keys()):
                owner.pending.discard(name)
                if is_replied_to:
                    # Nobody has it, so nothing is to be waited for: any response reads it.
                    self._set_unread(owner, name, is_acknowledged=True)
                elif owner.unread.pop(name, None) is not None:
                    del self._by_unread[name]
            self._look(owner)
        self._approved.clear()
        self._asking.clear()
        return [owner for owner in changed if self.conclude(owner)]

    # --- outputs ----------------------------------------------------------------------------------

    def output_posted(self, call_id: str, *, respond: bool) -> Round[R]:
        """Note that the output of a call was sent; return its round.

        Args:
            call_id: A call without an output.
            respond: Whether the model should reply to it.

        Raises:
            LocalProtocolError: There is no such call, or it has its output.
        """
        owner = self._awaiting(call_id)
        if owner is None:
            why = "is answered already" if self.knows(call_id) else "was never made"
            raise LocalProtocolError(f"call {call_id!r} {why}")
        owner.pending.remove(call_id)
        if respond and not owner.is_aside:
            self._set_unread(owner, call_id, is_acknowledged=False)
        self._look(owner)
        return owner

    def news_posted(self, call_id: str, item_id: str) -> None:
        """Note that news of a call which had its output were sent, as this item."""
        # If its round is over, the output was read, so the news are a round of their own.
        owner = self._by_call.get(call_id) or Round(response=Response())
        self._begin(owner)
        self._set_unread(owner, item_id, is_acknowledged=False)
        self._look(owner)

    def hosted_ended(self, item_id: str) -> Round[R] | None:
        """Note that the service has run a call, or will not; return its round if it was open."""
        name = self._approved.pop(item_id, item_id)
        owner = self._awaiting(name)
        if owner is None:
            return None
        owner.pending.remove(name)
        self._asking.discard(name)
        if not owner.is_aside:
            # It is in the conversation already: the service has put it there itself.
            self._set_unread(owner, name, is_acknowledged=True)
        self._look(owner)
        return owner

    def acknowledge(self, item: Item) -> None:
        """Note that an item is in the conversation; it may be an output, or news."""
        match item:
            case FunctionCallOutput(call_id=name):
                pass
            case SystemMessage(id=str(name)):
                pass
            case _:
                return
        if (owner := self._by_unread.get(name)) is not None:
            owner.unread[name] = True

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
        self._look(owner)

    def read(self, names: Collection[str]) -> list[R]:
        """Note that these are read.

        Returns:
            What waited for that, and now waits for the response that has read them.
        """
        changed: set[Round[R]] = set()
        for name in names:
            if (read := self._by_unread.pop(name, None)) is not None:
                del read.unread[name]
                changed.add(read)
        origins: list[R] = []
        for owner in sorted(changed, key=self._rounds.__getitem__):
            self._look(owner)
            if owner.is_complete:
                self._forget(owner)
                origins += owner.origins
        return origins

    def conclude(self, owner: Round[R]) -> bool:
        """Forget a round if nothing follows it any more; say whether that is so."""
        if not owner.is_complete:
            return False
        if owner in self._rounds:
            self._forget(owner)
        return True
