"""Whom to tell that a response is over, and that nothing follows it any more.

Owns no state: it works on the rounds of tools.  Pure.  It refuses to know which response it is, and
what is asked for next.
"""

from __future__ import annotations

from realtime_trio._state.turns.actions import (
    Actions,
    Concluded,
    Finished,
    GiveUpCalls,
    ResponseRequest,
)
from realtime_trio._state.turns.rounds import Round, Rounds
from realtime_trio._state.turns.run import Run
from realtime_trio.events import Response


def finish(rounds: Rounds[ResponseRequest], run: Run, response: Response) -> Actions:
    """Settle what waited for a response that is over."""
    rounds.response_done(run, response, is_guess=run.is_guess)
    actions: Actions = ()
    reads = run.reads
    if run.asked is not None:
        request = run.asked.request
        actions = (Finished(request, response),)
        run.origins += [] if request.is_follow_up else [request]
        reads |= run.asked.covers
    if not run.is_aside:
        # Whoever waited for the replies to these outputs now waits for the end of this one.
        run.origins += rounds.read(reads)
    if run.is_given_up:
        # Nothing follows any more, though its calls may still be answered.
        actions += concluded(run)
        run.origins.clear()
    return (*actions, *conclude(rounds, run))


def conclude(rounds: Rounds[ResponseRequest], owner: Round[ResponseRequest]) -> Actions:
    """If nothing follows this response, tell those who wait for that."""
    return concluded(owner) if rounds.conclude(owner) else ()


def concluded(owner: Round[ResponseRequest]) -> Actions:
    """Tell those who wait for the end of a round that its response was the last one."""
    assert owner.response is not None, "nothing concludes before its response is done"
    return tuple(Concluded(request, owner.response) for request in owner.origins)


def give_up_calls(owner: Round[ResponseRequest]) -> Actions:
    """Tell that nobody waits for the calls of this round any more."""
    return (GiveUpCalls(frozenset(owner.pending)),) if owner.pending else ()
