"""How a response is stopped, and what was to follow from it is given up.

Owns no state: it works on what is under way and on the rounds of tools.  Pure.  It refuses to know
what waits in line.
"""

from __future__ import annotations

from collections.abc import Callable

from realtime_trio._state.turns.actions import Actions, Concluded, ResponseRequest, Send
from realtime_trio._state.turns.exchange import Exchange
from realtime_trio._state.turns.rounds import Rounds
from realtime_trio._state.turns.run import Run
from realtime_trio._state.turns.settling import give_up_calls
from realtime_trio.events import ResponseCancel

NewId = Callable[[str], str]


def stop(run: Run, new_id: NewId) -> Actions:
    """Cancel a response, unless that was done or is not possible."""
    # Without an id, a cancel means the conversation's response, and would hit another one.
    if run.is_stopped or (run.is_aside and not run.id):
        return ()
    run.is_stopped = True
    return (Send(ResponseCancel(event_id=new_id("evt_"), response_id=run.id or None)),)


def stop_turn(exchange: Exchange, new_id: NewId) -> Actions:
    """Cancel the response that has the turn, and the one that is asked for as soon as it begins."""
    if (asked := exchange.asked) is not None:
        asked.is_abandoned = True
    return () if exchange.active is None else stop(exchange.active, new_id)


def abandon(
    request: ResponseRequest,
    exchange: Exchange,
    rounds: Rounds[ResponseRequest],
    new_id: NewId,
) -> Actions:
    """Stop the response to a request that was sent, and what follows; nothing if it is settled."""
    for asked in exchange.under_way:
        if asked.request is request:
            asked.is_abandoned = asked.is_unwanted = True
    run = exchange.answer_to(request)
    if run is None:
        return _give_up_round(request, exchange, rounds, new_id)
    run.is_given_up = True
    return (*give_up_calls(run), *stop(run, new_id))


def _give_up_round(
    request: ResponseRequest,
    exchange: Exchange,
    rounds: Rounds[ResponseRequest],
    new_id: NewId,
) -> Actions:
    """Stop a turn that is in a round of tools."""
    owner = rounds.give_up(request)
    if owner is None or owner.response is None:
        return ()
    actions: Actions = (Concluded(request, owner.response), *give_up_calls(owner))
    if rounds.owe_reply:
        return actions  # the follow-up is for others, too
    if (asked := exchange.asked) is not None and asked.request.is_follow_up:
        asked.is_abandoned = True
    run = exchange.active
    if run is not None and run.asked is not None and run.asked.request.is_follow_up:
        actions += stop(run, new_id)
    return actions
