"""What a running tool may know about its call, and do beside returning a result."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field

from realtime_trio._frozen import frozen
from realtime_trio._session.voice import Session
from realtime_trio.events import FunctionCall
from realtime_trio.tools.schema import Injected


@frozen(kw_only=True)
class ToolContext(Injected):
    """Annotate a parameter of a tool with it to be told about the call.

    The model does not see the parameter.  The methods can be called from the thread of a tool that
    blocks, too; not from another event loop that such a tool runs.
    """

    session: Session
    """The session in which the call was made.  It belongs to the trio loop: from a thread, reach it
    through `trio.from_thread`."""
    call: FunctionCall
    """The call: its id, and its arguments as the model wrote them."""
    deadline: float
    """When the tool will be stopped, as `trio.current_time()` counts; `math.inf` if never."""
    _report: Callable[[object], None] = field(repr=False)
    _respond_early: Callable[[object, bool | None], None] = field(repr=False)

    def report(self, progress: object) -> None:
        """Publish a `ToolCallProgress` for the application.  The model is not told.

        Nothing happens once the call is finished.
        """
        self._report(progress)

    def respond_early(self, result: object, *, respond: bool | None = None) -> None:
        """Give the model the output of the call now, and go on working.

        What the tool returns in the end is told to the model in a message of its own, unless it is
        None.

        Args:
            result: The output, as a tool would return it.
            respond: Whether the model should reply to this; None does as the tool's `respond` says.

        Raises:
            LocalProtocolError: The call has its output already.
            ToolResultError: The result is not JSON.
        """
        self._respond_early(result, respond)
