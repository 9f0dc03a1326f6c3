"""A conversation as it is told to another server, which knows nothing of it.

Owns what becomes of calls that wait for their outputs.  What can be told of every other item is
decided in `_state.conversation.history`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from attrs import evolve

from realtime_trio._frozen import frozen
from realtime_trio._state.conversation.history import Omission, export_items, history_events
from realtime_trio._state.conversation.item import ConversationItem
from realtime_trio.events import (
    ConversationItemCreate,
    FunctionCall,
    FunctionCallOutput,
    JsonObject,
    UnknownObject,
)


@frozen(kw_only=True)
class Retelling:
    """What another server is told of the items."""

    events: tuple[ConversationItemCreate, ...]
    """To be sent in this order; each item has an id."""
    omissions: tuple[Omission, ...]
    """What of the conversation is not in them, and why."""
    orphans: tuple[str, ...]
    """Calls that wait for their outputs and are not in them."""


def retell(
    items: Iterable[ConversationItem], open_calls: Collection[str], new_id: Callable[[str], str]
) -> Retelling:
    """Say what another server is told of a conversation.

    Args:
        items: The items, in order.
        open_calls: The calls whose outputs are still to come: they are told without.
        new_id: Makes ids for items whose own cannot be used.
    """
    history: list[JsonObject] = []
    places: list[int] = []
    for place, exported in enumerate(export_items(items)):
        history.append(exported)
        places.append(place)
        call_id = exported.get("call_id")
        if exported.get("type") == "function_call" and call_id in open_calls:
            # The output to come is stood in for, or the call would be left out without it.
            history.append({"type": "function_call_output", "call_id": call_id, "output": ""})
            places.append(place)
    replay = history_events(history)
    events = tuple(
        _with_id(create, new_id) for create in replay.events if not _stands_in(create, open_calls)
    )
    told = {create.item.call_id for create in events if isinstance(create.item, FunctionCall)}
    return Retelling(
        events=events,
        omissions=tuple(evolve(each, index=places[each.index]) for each in replay.omitted),
        orphans=tuple(call_id for call_id in open_calls if call_id not in told),
    )


def _stands_in(create: ConversationItemCreate, open_calls: Collection[str]) -> bool:
    match create.item:
        case FunctionCallOutput(call_id=call_id):
            return call_id in open_calls
        case _:
            return False


def _with_id(
    create: ConversationItemCreate, new_id: Callable[[str], str]
) -> ConversationItemCreate:
    """The event with an id, by which its refusal can be told, and its item with one, too."""
    item = create.item
    if not isinstance(item, UnknownObject) and item.id is None:
        item = evolve(item, id=new_id("item_"))
    return evolve(create, event_id=new_id("evt_"), item=item)
