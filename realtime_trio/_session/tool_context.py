"""What a running tool may know about its call, and do beside returning a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from realtime_trio.events import FunctionCall
from realtime_trio.tools.schema import Injected

if TYPE_CHECKING:
    from realtime_trio._session.voice import Session


@frozen(kw_only=True)
class ToolContext(Injected):
    """Annotate a parameter of a tool with it to be told about the call; the model does not see the parameter.

    Its methods can be called from the thread of a tool that blocks, too; not from another event
    loop that such a tool runs.
    """

    session: Session
    """The session the call was made in.  Belongs to the trio loop: from a thread, reach it through
    `trio.from_thread`."""
    call: FunctionCall
    """The call: its id, and its arguments as the model wrote them."""
    deadline: float
    """When the tool will be stopped, as `trio.current_time()` counts; `math.inf` if never."""

    def report(self, progress: object) -> None:
        """Publish a `ToolCallProgress` for the application.  The model is not told."""
        tools = self.session._tools
        tools.in_loop(lambda: tools.report(self.call, progress))

    def answer(self, result: object, *, respond: bool | None = None) -> None:
        """Answer the call now and go on working.

        What the tool returns in the end is told to the model as a message of its own, unless it is
        None.

        Args:
            result: As one would return it.
            respond: Whether the model shall reply to this; as the tool's `respond` says when None.

        Raises:
            LocalProtocolError: The call is answered already.
            ToolResultError: The result is not JSON.
        """
        tools = self.session._tools
        tools.in_loop(lambda: tools.answer(self.call, result, respond=respond))
