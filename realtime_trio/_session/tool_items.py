"""What the model is told about calls, as items: outputs, images, news and decisions.

Owns the shape of these items, and their order.  When they are sent is for the session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from realtime_trio.events import (
    ConversationItemCreate,
    FunctionCallOutput,
    InputImage,
    Item,
    McpApprovalResponse,
    SystemMessage,
    UserMessage,
)
from realtime_trio.tools.results import ToolOutput


class ToolItems:
    """Makes the items about calls, each in the event that creates it.

    Args:
        new_id: Makes the ids of items and events.
    """

    _orphans: frozenset[str] = frozenset()
    """Calls that are not in the conversation any more."""

    def __init__(self, new_id: Callable[[str], str]) -> None:
        self._new_id = new_id

    def orphan(self, call_ids: Iterable[str]) -> tuple[str, ...]:
        """Note that these calls are not in the conversation any more.

        No output can answer them, so the model is told of their outputs in messages.

        Returns:
            Those of which it was not noted before.
        """
        new = tuple(call_id for call_id in call_ids if call_id not in self._orphans)
        self._orphans |= set(new)
        return new

    def output(self, call_id: str, output: ToolOutput) -> tuple[ConversationItemCreate, ...]:
        """The output of a call; its images follow in a message of the user."""
        item_id = self._new_id("item_")
        item = FunctionCallOutput(call_id=call_id, output=output.text, id=item_id)
        return self._create(self.fitted(item)), *self._showing(output.attachments)

    def fitted(self, output: FunctionCallOutput) -> FunctionCallOutput | SystemMessage:
        """The item that tells of an output: a message, if its call is not there any more."""
        if output.call_id not in self._orphans:
            return output
        words = f"a function called before (call {output.call_id}) has returned: {output.output}"
        return SystemMessage.text(words, id=output.id)

    def news(self, news: str, images: tuple[InputImage, ...]) -> tuple[ConversationItemCreate, ...]:
        """A message about a call that had its output already."""
        message = SystemMessage.text(news, id=self._new_id("item_"))
        return self._create(message), *self._showing(images)

    def decision(
        self, request_id: str, *, approve: bool, reason: str | None
    ) -> ConversationItemCreate:
        """What somebody decided about a call on an MCP server."""
        item_id = self._new_id("item_")
        return self._create(
            McpApprovalResponse(
                approval_request_id=request_id, approve=approve, reason=reason, id=item_id
            )
        )

    def _showing(self, images: tuple[InputImage, ...]) -> tuple[ConversationItemCreate, ...]:
        # The protocol's function_call_output is text; images can only be part of a user message.
        if not images:
            return ()
        return (self._create(UserMessage(content=images, id=self._new_id("item_"))),)

    def _create(self, item: Item) -> ConversationItemCreate:
        return ConversationItemCreate(item=item, event_id=self._new_id("evt_"))
