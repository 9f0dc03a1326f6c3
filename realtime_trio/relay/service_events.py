"""What a guest is told: every event of the service, without what the grant hides.

Pure.  Owns which fields are cut out, and which events and items a guest does not see: the calls of
tools that run in the relay, and what the relay has asked for itself.
"""

from __future__ import annotations

from typing import Any, Final

from realtime_trio._protocol.codec import Codec, Role
from realtime_trio._protocol.json_text import write_json
from realtime_trio._state.recent import Recent
from realtime_trio.events import UnknownEvent
from realtime_trio.relay.grant import Grant
from realtime_trio.relay.reading import Json

PLAIN: Final = frozenset(
    {
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "response.output_text.delta",
        "conversation.item.input_audio_transcription.delta",
        "session.output_audio.delta",
        "session.output_transcript.delta",
        "session.input_transcript.delta",
    }
)
"""Events that come by the thousand and have nothing to hide."""

_HOLDERS: Final = ("session", "response")
"""Members of events in which fields are hidden."""
_REMEMBERED: Final = 4096
"""Items that are hidden; with thirty calls a minute, those of more than an hour."""


class ServiceEvents:
    """What one guest is told.

    Args:
        grant: What is hidden.
    """

    def __init__(self, grant: Grant) -> None:
        self._grant = grant
        self._reader = Codec(Role.CLIENT, kind=grant.kind)
        self._writer = Codec(Role.SERVER, kind=grant.kind)
        self._names = grant.own_tools if grant.hide_tools else frozenset()
        self._calls = Recent(_REMEMBERED)
        self._items = _HiddenItems(_REMEMBERED)
        self._own_events = Recent(_REMEMBERED)

    def hide_item(self, item_id: str) -> None:
        """Tell nothing of an item that the relay is about to put into the conversation."""
        self._items.add(item_id)

    def expect(self, event_id: str) -> None:
        """Tell nothing of a refusal of this event, which the relay sends itself."""
        self._own_events.add(event_id)

    def hides(self, item_id: str) -> bool:
        """Whether the guest does not know this item."""
        return item_id in self._items

    def hides_call(self, call_id: str) -> bool:
        """Whether the guest does not know this call of a tool."""
        return call_id in self._calls

    def clean(self, text: str, payload: Json) -> str | None:
        """The text to pass on: the one that came, unless something had to be taken out.

        Args:
            text: The message.
            payload: The same, read; it may be changed.

        Returns:
            None if the guest is told nothing.
        """
        if self._is_hidden(payload):
            return None
        if self._cut(payload):
            text = write_json(payload)
        return self._known(text)

    def _known(self, text: str) -> str | None:
        if self._grant.unknown == "pass":
            return text
        event = self._reader.decode(text)
        return None if isinstance(event, UnknownEvent) else self._writer.encode(event)

    # --- events that are not told -----------------------------------------------------------------

    def _is_hidden(self, payload: Json) -> bool:
        if payload.get("type") == "error":
            error = payload.get("error")
            refused = error.get("event_id") if isinstance(error, dict) else None
            return isinstance(refused, str) and refused in self._own_events
        item = payload.get("item")
        if isinstance(item, dict):
            return self._is_hidden_item(item, payload.get("previous_item_id"))
        item_id = payload.get("item_id")
        return isinstance(item_id, str) and item_id in self._items

    def _is_hidden_item(self, item: Json, previous: object) -> bool:
        item_id = item.get("id")
        if not isinstance(item_id, str):
            return False
        if item_id not in self._items and not self._is_of_a_tool(item):
            return False
        self._items.add(item_id, previous if isinstance(previous, str) else None)
        return True

    def _is_of_a_tool(self, item: Json) -> bool:
        call_id = item.get("call_id")
        if item.get("type") == "function_call" and item.get("name") in self._names:
            if isinstance(call_id, str):
                self._calls.add(call_id)
            return True
        return (
            item.get("type") == "function_call_output"
            and isinstance(call_id, str)
            and call_id in self._calls
        )

    # --- what is cut out --------------------------------------------------------------------------

    def _cut(self, payload: Json) -> bool:
        """Take out what is hidden; returns whether there was something."""
        is_changed = False
        for name in _HOLDERS:
            if isinstance(holder := payload.get(name), dict):
                is_changed |= self._cut_fields(holder) | self._cut_output(holder)
        previous = payload.get("previous_item_id")
        if isinstance(previous, str) and previous in self._items:
            payload["previous_item_id"] = self._items.visible_before(previous)
            is_changed = True
        return is_changed

    def _cut_fields(self, holder: dict[str, Any]) -> bool:
        hidden = self._grant.hidden & holder.keys()
        for name in hidden:
            del holder[name]
        return bool(hidden)

    def _cut_output(self, holder: dict[str, Any]) -> bool:
        output = holder.get("output")
        if not self._names or not isinstance(output, list):
            return False
        shown = [
            item
            for item in output
            if not (isinstance(item, dict) and self._is_hidden_item(item, None))
        ]
        holder["output"] = shown
        return len(shown) < len(output)


class _HiddenItems:
    """Items that a guest does not know, and which item stands before each of them.

    The oldest are forgotten.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._before: dict[str, str | None] = {}

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._before

    def add(self, item_id: str, previous: str | None = None) -> None:
        if previous is not None or item_id not in self._before:
            self._before[item_id] = previous
        if len(self._before) > self._most:
            del self._before[next(iter(self._before))]

    def visible_before(self, item_id: str) -> str | None:
        """The item before this one that the guest knows, None if there is none."""
        seen = set()
        found: str | None = item_id
        # A service that has lost its mind must not be followed in a circle.
        while found is not None and found in self._before and found not in seen:
            seen.add(found)
            found = self._before[found]
        return None if found in seen else found
