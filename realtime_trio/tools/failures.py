"""What the model is told about an exception that came out of a tool.

Owns how much of it leaves the program.  The text of an exception is written for developers: that of
a database has the connection string, that of an HTTP client the URL with its token.  What the model
is told goes to the service, and the user may hear it.  So by default it is the name of the class.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Literal, TypeAlias

from realtime_trio._misuse import kind_of
from realtime_trio.errors import LocalProtocolError, ToolError

ToolErrors: TypeAlias = Literal["type", "full"] | Callable[[Exception], str]
"""How much the model is told about an exception: the name of its class, its whole text, or what a
function makes of it."""


def check_tool_errors(tool_errors: object) -> None:
    """Refuse what does not say what the model is told.

    Raises:
        TypeError: It is neither a text nor a function, or an async function.
        LocalProtocolError: It is another text.
    """
    allowed = "'type', 'full' or a function of the exception"
    if inspect.iscoroutinefunction(tool_errors) or not (
        callable(tool_errors) or isinstance(tool_errors, str)
    ):
        given = kind_of(tool_errors) if not callable(tool_errors) else "an async one"
        raise TypeError(f"tool_errors must be {allowed}, not {given}")
    if isinstance(tool_errors, str) and tool_errors not in ("type", "full"):
        raise LocalProtocolError(f"tool_errors must be {allowed}, not {tool_errors!r}")


def words_for_model(error: BaseException, tool_errors: ToolErrors) -> str:
    """What the model is told about one exception.

    A `ToolError` is told as it is: its text was written for the model.

    Raises:
        TypeError: The function returned something else than a text.
        Exception: The function failed.
    """
    if isinstance(error, ToolError) or tool_errors == "full":
        return _text_of(error)
    # A cancellation of asyncio is not an Exception, and not for the function.
    if not callable(tool_errors) or not isinstance(error, Exception):
        return type_for_model(error)
    words = tool_errors(error)
    # Checked, since what an untyped function returned would end up as null in front of the model.
    if not isinstance(words, str):
        raise TypeError(f"the tool_errors function returned {kind_of(words)}, not a str")
    return words


def type_for_model(error: BaseException) -> str:
    """The least that one can be told: which class of exception it was."""
    return f"the tool failed with {type(error).__name__}"


def _text_of(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = ""  # a text of its own making that it cannot make
    return text or type(error).__name__
