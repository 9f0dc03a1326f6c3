"""What a running tool may know about its call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from realtime_trio.events import FunctionCall
from realtime_trio.tools.schema import Injected

if TYPE_CHECKING:
    from realtime_trio.session import Session


@frozen(kw_only=True)
class ToolContext(Injected):
    """Annotate a parameter of a tool with it to be told about the call; the model does not see the parameter."""

    session: Session
    """The session the call was made in."""
    call: FunctionCall
    """The call: its id, and its arguments as the model wrote them."""
    deadline: float
    """When the tool will be stopped, as `trio.current_time()` counts; `math.inf` if never."""
