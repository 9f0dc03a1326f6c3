"""Functions as tools: what the model may call, what it is told about it, and what came out.

`tool` makes a `LocalTool` of a function; a `ToolRegistry` holds the tools of a session.  Nothing
here runs a tool.
"""

from realtime_trio.tools.arguments import (
    ToolArgumentsError as ToolArgumentsError,
)
from realtime_trio.tools.constraints import (
    Constraints as Constraints,
)
from realtime_trio.tools.registry import (
    AnyTool as AnyTool,
    Approval as Approval,
    LocalTool as LocalTool,
    OnInterrupt as OnInterrupt,
    ToolOptions as ToolOptions,
    ToolRegistry as ToolRegistry,
    tool as tool,
)
from realtime_trio.tools.results import (
    ToolOutput as ToolOutput,
    ToolResultError as ToolResultError,
    encode_result as encode_result,
)
