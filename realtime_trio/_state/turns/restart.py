"""What becomes of the responses whose connection was lost.

Owns no state: it takes them out of what is under way, and says what is to be asked for again.
Pure.  It refuses to know who waits in line, and when a create may go out.
"""

from __future__ import annotations

from collections.abc import Mapping

from realtime_trio._frozen import frozen
from realtime_trio._state.turns.actions import Actions, ResponseRequest, Restarted, Withdrawn
from realtime_trio._state.turns.exchange import Exchange
from realtime_trio._state.turns.rounds import Rounds
from realtime_trio._state.turns.run import Run, cut
from realtime_trio._state.turns.settling import concluded, finish
from realtime_trio.events import Response, ResponseCreate


@frozen(kw_only=True)
class Loss:
    """What a lost connection has left to do."""

    actions: Actions
    """Whom to tell."""
    again: tuple[ResponseRequest, ...]
    """What to ask for again, the oldest first."""
    is_reply_lost: bool
    """Whether a response went that nobody here had asked for."""


def lose(
    exchange: Exchange,
    rounds: Rounds[ResponseRequest],
    ends: Mapping[str, Response],
    creates: Mapping[str, ResponseCreate],
    *,
    ask: bool,
    is_interrupted: bool,
) -> Loss:
    """Give up what went with the connection.

    Args:
        exchange: What is under way: nothing runs afterwards, and of the creates without an answer
            those stay that somebody wants.
        rounds: The rounds of tools: a round whose response will be given again is forgotten.
        ends: How responses have ended, by their ids, as far as that is known.
        creates: What asked for responses that nobody has asked the turns for, by their ids.
        ask: Whether to ask again for responses that were cut.
        is_interrupted: Whether the user was speaking, so that the conversation's response is over.
    """
    actions: Actions = ()
    again: list[ResponseRequest] = []
    is_reply_lost = False
    for run in exchange.cut():
        end = ends.get(run.id) or cut(run.id)
        request = _request_of(run, creates)
        is_aside = run.is_aside if request is None else request.is_out_of_band
        is_over = end.status == "completed" or (is_interrupted and not is_aside)
        if not ask or is_over or not _is_wanted(run):
            actions += finish(rounds, run, end)
            continue
        rounds.forget(run)
        # A follow-up is owed again by itself, since what it was to read is still unread.
        if request is None:
            is_reply_lost = is_reply_lost or not is_aside
        elif not request.is_follow_up:
            actions += (Restarted(request),)
            again.append(request)
    actions += tuple(Withdrawn(asked.request) for asked in exchange.drop_abandoned())
    # A reply to what the service was calling is owed as well, though it cannot read that.
    for owner in rounds.give_up_hosted(goes_on=ask and not is_interrupted):
        actions += concluded(owner)
    return Loss(actions=actions, again=tuple(again), is_reply_lost=is_reply_lost)


def _request_of(run: Run, creates: Mapping[str, ResponseCreate]) -> ResponseRequest | None:
    """What has asked for a response, and may ask for it again; None if that was not we."""
    if run.asked is not None:
        return run.asked.request
    create = creates.get(run.id)
    return None if create is None else ResponseRequest(create)


def _is_wanted(run: Run) -> bool:
    """Whether to ask again for a response that was cut.

    Not if somebody has stopped it; and one that has called functions is followed by the reply to
    their outputs, or they would be called twice.
    """
    return not (run.is_stopped or run.is_given_up or run.calls - run.hosted)
