"""What is under way: our creates, the responses that run, and which of these answers which.

Owns the guard: whether a create may go out.  Pure.  It refuses to know what is wanted next, what
follows a response, and how far the user is; whether turn detection owes a response, it is told.
"""

# Theory of operation
#
# The default conversation has one active response at a time, and a create that comes too early is
# refused.  So there is a guard in two halves, `asked` (our create is under way) and `active` (a
# response runs), and `state` is nothing but the two together:
#
#               our create   created     created       done of the     our create
#               handed out   (ours)      (not ours)    active one      refused
#   FREE        ASKED        -           TAKEN         -               -
#   ASKED       -            TAKEN       CONTESTED     -               FREE, or TAKEN (*)
#   TAKEN       -            -           TAKEN (**)    FREE            -
#   CONTESTED   -            TAKEN       CONTESTED     ASKED           TAKEN
#
# A create goes out in FREE alone.  CONTESTED is the race with turn detection, which starts
# responses by itself: our create will be refused if it arrives before that response is done, and
# taken otherwise.
#
# (*) If no response is known that explains the refusal, we missed its beginning: a nameless one is
# taken to be active, and the next `done` ends it.  If the one that explains it has ended meanwhile,
# we try again at once.  (**) The new one supersedes the old one.
#
# Our creates are recognised by a pair of their metadata, which the server repeats.  Until it has
# done so once, the first response that begins after a create is taken for its answer, unless turn
# detection owes one; a refusal afterwards proves that guess wrong.

from __future__ import annotations

import enum
from typing import Final

from realtime_trio._state.recent import Recent
from realtime_trio._state.turns.actions import ResponseRequest
from realtime_trio._state.turns.run import Asked, Run
from realtime_trio.events import Response, Unset

_REMEMBERED: Final = 64
"""Ended responses whose stragglers we know; they trail by a round trip, not by minutes."""


class State(enum.Enum):
    """Who has the turn in the default conversation."""

    FREE = "free"  # nobody: a create may go out
    ASKED = "asked"  # our create is under way
    TAKEN = "taken"  # a response is active
    CONTESTED = "contested"  # a response is active that is not ours, and our create is under way
    CLOSED = "closed"  # the session has ended


class Exchange:
    """The creates and the responses that are under way on one connection."""

    def __init__(self) -> None:
        self.under_way: list[Asked] = []
        """Creates without an answer: at most one for the conversation, any number out of band."""
        self.running: list[Run] = []
        """The responses that run, the oldest first."""
        self.active: Run | None = None
        """The one that has the turn in the conversation."""
        self._ended = Recent(_REMEMBERED)
        self._echoes = False  # whether the server repeats metadata, as far as we have seen

    # --- looking ----------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Who has the turn, as long as the session goes on."""
        if self.asked is None:
            return State.FREE if self.active is None else State.TAKEN
        return State.ASKED if self.active is None else State.CONTESTED

    @property
    def asked(self) -> Asked | None:
        """The create for the conversation that is under way."""
        # A loop: it is asked with every event of a response, and a generator costs most of that.
        for asked in self.under_way:
            if not asked.request.is_out_of_band:
                return asked
        return None

    @property
    def requests(self) -> list[ResponseRequest]:
        """What was sent and is not over, the requests that are being answered first."""
        answered = [run.asked for run in self.running if run.asked is not None]
        return [asked.request for asked in answered + self.under_way]

    def find(self, response_id: str) -> Run | None:
        """The response that runs and has this id."""
        return next((run for run in self.running if run.id == response_id), None)

    def answer_to(self, request: ResponseRequest) -> Run | None:
        """The response that runs and answers this request."""
        return next(
            (run for run in self.running if run.asked is not None and run.asked.request is request),
            None,
        )

    # --- responses --------------------------------------------------------------------------------

    def begin(self, response: Response, *, is_due: bool) -> Run | None:
        """Note that a response has begun.

        Args:
            response: What is known of it.
            is_due: Whether turn detection owes a response.

        Returns:
            The response, or None if its beginning was known or it is over.
        """
        if response.id and (response.id in self._ended or self.find(response.id) is not None):
            return None
        named = self._named(response)
        asked = named or self._guess(response, is_due=is_due)
        return self._start(response, asked, is_guess=named is None)

    def begin_unseen(self) -> None:
        """Note that a response is active of which nothing is known."""
        self.active = Run()
        self.running.append(self.active)

    def mention(self, response_id: str) -> Run | None:
        """Note the id of a response that must have begun; return it, if its beginning was seen."""
        run = self.find(response_id)
        if run is None and self.active is not None and not self.active.id:
            # The one that is active without a name, since only one can be.
            run = self.active
            run.id = response_id
        return run

    def ending(self, response: Response, *, is_due: bool) -> Run | None:
        """Which response this is the end of, None if it is over or was never known.

        By id, by name, and if it has neither, the one that it must be.
        """
        if response.id and response.id in self._ended:
            return None
        named = self._named(response)
        run = self.find(response.id) if response.id else None
        run = run or next(
            (
                run
                for run in self.running
                if run.asked is not None and run.asked.is_named_by(response.metadata)
            ),
            None,
        )
        if run is not None and run.asked is None and named is not None:
            self._assign(run, named)
        if run is not None:
            return run
        if named is None and self.active is not None:
            return self.active if "" in (response.id, self.active.id) else None
        guess = named or self._guess(response, is_due=is_due)
        asked = guess or (None if response.id else self.asked)
        return None if asked is None else self._start(response, asked, is_guess=named is None)

    def end(self, run: Run | None, response: Response) -> None:
        """Note that a response is done: the one of which `ending` has said that it is."""
        self._ended.add(response.id or (run.id if run is not None else ""))
        if (asked := self.asked) is not None and (run is None or not run.is_aside):
            asked.saw_an_end = True
        if run is not None:
            self.running.remove(run)
        if run is self.active:
            self.active = None

    def _start(self, response: Response, asked: Asked | None, *, is_guess: bool) -> Run:
        run = Run(id=response.id, is_guess=is_guess)
        if asked is not None:
            self._assign(run, asked)
        elif self.active is not None:
            # Somebody else's; in the conversation it could not run now.
            run.is_aside = response.conversation_id is None
        self.running.append(run)
        if not run.is_aside:
            self.active = run
        return run

    def _assign(self, run: Run, asked: Asked) -> None:
        self.under_way.remove(asked)
        run.asked = asked
        run.is_aside = asked.request.is_out_of_band

    def _named(self, response: Response) -> Asked | None:
        """The create that the response's metadata name."""
        asked = next(
            (asked for asked in self.under_way if asked.is_named_by(response.metadata)), None
        )
        self._echoes = self._echoes or asked is not None
        return asked

    def _guess(self, response: Response, *, is_due: bool) -> Asked | None:
        """The create that a response without a name must answer, as far as one can tell."""
        if self._echoes:
            return None
        aside = next((asked for asked in self.under_way if asked.request.is_out_of_band), None)
        # A server that does not say which conversation can still mean the one beside it, if that is
        # all that was asked for.
        is_aside = response.conversation_id is None or (
            isinstance(response.conversation_id, Unset) and self.asked is None
        )
        if is_aside and aside is not None:
            return aside
        return None if is_due else self.asked

    # --- creates ----------------------------------------------------------------------------------

    def ask(self, asked: Asked) -> None:
        """Note that a create is sent: one for the conversation only if `state` is `FREE`."""
        self.under_way.append(asked)

    def refused(self, event_id: str | None) -> Asked | None:
        """Note that an event was refused; return the create, if it is one."""
        for asked in self.under_way:
            if asked.event.event_id == event_id:
                self.under_way.remove(asked)
                return asked
        for run in self.running:
            if run.is_guess and run.asked is not None and run.asked.event.event_id == event_id:
                asked, run.asked = run.asked, None
                return asked
        return None

    # --- another connection -----------------------------------------------------------------------

    def cut(self) -> list[Run]:
        """Note that the connection is gone, and return the responses that went with it."""
        running, self.running, self.active = self.running, [], None
        # Stragglers cannot come, and another server may have the same ids.
        self._ended = Recent(_REMEMBERED)
        return running

    def drop_abandoned(self) -> list[Asked]:
        """Forget the creates without an answer that nobody wants; return them."""
        dropped = [
            asked
            for asked in self.under_way
            if asked.is_abandoned and not asked.request.is_follow_up
        ]
        for asked in dropped:
            self.under_way.remove(asked)
        return dropped
