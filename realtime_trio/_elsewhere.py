"""Where a name is: in a module that nobody has needed yet, or in another than the one asked.

Owns the `__getattr__` of `realtime_trio` and `realtime_trio.events`, stand-ins for modules, the
list of names that never travel, and the list of names that single modules have.  Which names a
package exports is decided in its `__init__`, and what waits, in the module that uses it.

Theory of operation.  Whatever is loaded is paid for by every program, and few programs use all of
it: a relay has no need of numpy, a command line that prints its help has no need of trio.  A module
may define a function `__getattr__`, which Python calls for names that the module does not have.
Everything that is loaded late, is loaded by such a function, which then leaves the name in the
module, so that it is called once for each:

- the front door's names come from the modules of the package (`getattr_of`);
- a big module, of ours or of somebody else, is a stand-in until something of it is used (`module`).

Type checkers, and the test of who may import whom, read the ordinary import beside it:

    if TYPE_CHECKING:
        import numpy as np
    else:
        np = _elsewhere.module("numpy")
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Final

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
    "Budget": "realtime_trio.money",
    "BudgetExceeded": "realtime_trio.money",
    "BudgetMeter": "realtime_trio.money",
    "BudgetSpent": "realtime_trio.money",
    "BudgetWarning": "realtime_trio.money",
    "Codec": "realtime_trio.connection",
    "Cost": "realtime_trio.money",
    "Interruption": "realtime_trio.playback",
    "ModelPrices": "realtime_trio.money",
    "Playback": "realtime_trio.playback",
    "PlayedPart": "realtime_trio.playback",
    "Recording": "realtime_trio.recording",
    "Role": "realtime_trio.connection",
    "SessionKind": "realtime_trio.connection",
    "WebSocketSettings": "realtime_trio.connection",
    "WireRecord": "realtime_trio.recording",
    "known_prices": "realtime_trio.money",
    "recording_to_wav": "realtime_trio.recorded_audio",
}
"""Public names of single modules that the front door does not pass on, and their modules."""


def public_names(module: ModuleType) -> list[str]:
    """The names that a package exports, without those of its modules."""
    return [
        name
        for name in dir(module)
        if not name.startswith("_") and not isinstance(getattr(module, name), ModuleType)
    ]


def homes(*packages: ModuleType) -> dict[str, str]:
    """Say of every name that `packages` or `OF_MODULES` have which module to import it from."""
    of_packages = {name: package.__name__ for package in packages for name in public_names(package)}
    return of_packages | OF_MODULES


def names_in(package: str, modules: Mapping[str, str]) -> dict[str, str]:
    """Say of every name that a package loads late which module has it, for `getattr_of`.

    Args:
        package: Full name of the package.
        modules: For each module inside the package, its names with blanks between them; under `""`
            those of the modules that are names themselves.
    """
    return {
        name: f"{package}.{module or name}"
        for module, names in modules.items()
        for name in names.split()
    }


def module(name: str) -> ModuleType:
    """Make a stand-in for a module, which loads it when something of it is asked for.

    An `ImportError` comes from there, too.  After that, a name is as near as in the module itself.

    Args:
        name: The module's full name.
    """
    stand_in = ModuleType(name, "Loaded when something of it is asked for.")

    def load(attribute: str) -> object:
        value = getattr(import_module(name), attribute)
        setattr(stand_in, attribute, value)
        return value

    vars(stand_in)["__getattr__"] = load
    return stand_in


def getattr_of(
    package: str,
    names: Mapping[str, str],
    sentences: Callable[[], Mapping[str, str]],
) -> Callable[[str], object]:
    """Make a package's `__getattr__`, which loads its names, and says where other names are.

    Args:
        package: Full name of the package.
        names: For each name that is loaded late, the module that has it; a module of the package
            has itself.
        sentences: Returns what to say about each name that is somewhere else.  It is called when
            somebody asks for a name that the package does not have.

    Returns:
        A function that returns one of `names`, and raises `AttributeError` for every other name, as
        a module without it would.
    """

    def find(name: str) -> object:
        if (home := names.get(name)) is not None:
            loaded = import_module(home)
            value = loaded if home == f"{package}.{name}" else getattr(loaded, name)
            setattr(sys.modules[package], name, value)
            return value
        # Programs that look into modules ask for names with underscores, which are nowhere else.
        sentence = None if name.startswith("_") else sentences().get(name)
        if sentence is None:
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package]
            )
        # `from package import name` replaces an AttributeError by a message of its own, so that the
        # sentence would be lost.  But before that, importlib looks whether the name is a submodule,
        # and there anything else than an AttributeError gets through.
        if sys._getframe(1).f_code.co_name == "_handle_fromlist":
            raise ImportError(sentence, name=package)
        raise AttributeError(sentence)

    return find
