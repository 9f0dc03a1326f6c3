"""Where a name is, for programs that ask the wrong module for it.

Owns the `__getattr__` of `realtime_trio` and `realtime_trio.events`, the list of names that never
travel, and the list of names that single modules have.  Which names a package exports is decided
in its `__init__`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Final, NoReturn

DERIVED: Final = (
    "ArgumentsDelta",
    "AudioDelta",
    "ConversationItem",
    "Delta",
    "DeltaDropped",
    "InputTranscriptDelta",
    "InputTranscriptSegment",
    "Interrupted",
    "ItemAppended",
    "ItemCompleted",
    "ItemDeleted",
    "ItemEvent",
    "ItemTruncated",
    "ItemUpdated",
    "McpCallFinished",
    "McpCallStarted",
    "McpToolsListed",
    "McpToolsUnavailable",
    "TextDelta",
    "ToolApprovalRequested",
    "ToolCallFinished",
    "ToolCallProgress",
    "ToolCallRequested",
    "ToolCallStarted",
    "ToolOutcome",
    "TranscriptDelta",
    "TranscriptSegment",
    "UtilityEvent",
)
"""Names that one looks for among the events.  They never travel, so the front door has them."""

OF_MODULES: Final = {
    "Codec": "realtime_trio.connection",
    "Interruption": "realtime_trio.playback",
    "Playback": "realtime_trio.playback",
    "PlayedPart": "realtime_trio.playback",
    "Recording": "realtime_trio.recording",
    "Role": "realtime_trio.connection",
    "SessionKind": "realtime_trio.connection",
    "WebSocketSettings": "realtime_trio.connection",
    "WireRecord": "realtime_trio.recording",
}
"""Public names of single modules that the front door does not pass on, and their modules."""


def public_names(module: ModuleType) -> list[str]:
    """The names that a package exports, without those of its modules."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    ]


def homes(*packages: ModuleType) -> dict[str, str]:
    """Say of every name that `packages` or `OF_MODULES` have which module to import it from."""
    of_packages = {name: package.__name__ for package in packages for name in public_names(package)}
    return of_packages | OF_MODULES


def getattr_of(module: str, sentences: Mapping[str, str]) -> Callable[[str], NoReturn]:
    """Make a module's `__getattr__`, which says where names are that the module does not have.

    Args:
        module: Full name of the module.
        sentences: For each name that is somewhere else, what to say.

    Returns:
        A function that raises `AttributeError` for every name, as a module without it would.
    """

    def point(name: str) -> NoReturn:
        sentence = sentences.get(name)
        if sentence is None:
            raise AttributeError(
                f"module {module!r} has no attribute {name!r}", name=name, obj=sys.modules[module]
            )
        # `from module import name` replaces an AttributeError by a message of its own, so that the
        # sentence would be lost.  But before that, importlib looks whether the name is a submodule,
        # and there anything else than an AttributeError gets through.
        if sys._getframe(1).f_code.co_name == "_handle_fromlist":
            raise ImportError(sentence, name=module)
        raise AttributeError(sentence)

    return point
