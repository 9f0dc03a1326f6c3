"""Which tools the model has been offered, while the list is changing.

Owns the list that the server has taken, those it has been told of since, and the names that single
responses were given.  Pure.

The server is told of a new list, and the model may call from it before anybody has looked at the
acknowledgement; it may also still call from the former one.  So all are known until the server has
answered.  What it refuses is gone, whoever has built upon it meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable

from realtime_trio.events import Tool
from realtime_trio.tools.registry import LocalTool, ToolRegistry


class OfferedTools:
    """The tools of one session.

    Args:
        registry: Those it begins with.
    """

    _lent: frozenset[str] = frozenset()
    """Names of the tools that single responses had of their own."""

    def __init__(self, registry: ToolRegistry) -> None:
        self._taken = registry
        self._offers: list[ToolRegistry] = []
        """Those that the server has not answered, the oldest first."""

    @property
    def registry(self) -> ToolRegistry:
        """The present list: the newest that the server was told of."""
        return self._offers[-1] if self._offers else self._taken

    def begin_with(self, tools: ToolRegistry) -> None:
        """Take a list that the server has already."""
        self._taken = tools

    def offer(self, tools: ToolRegistry) -> None:
        """Put a list in place, because the server is being told of it."""
        self._offers.append(tools)

    def settle(self, tools: ToolRegistry, *, is_refused: bool) -> None:
        """The server has answered an offer: nobody calls the former tools any more.

        Args:
            tools: What was offered.
            is_refused: Whether the server has refused it; then what it took before is in place
                again, unless another has been offered meanwhile.
        """
        # By identity: two offers may be equal.
        self._offers = [offer for offer in self._offers if offer is not tools]
        if not is_refused:
            self._taken = tools

    def find(self, name: str) -> LocalTool[..., object] | Tool | None:
        """The tool of this name, among the present and the former ones."""
        lists = (*reversed(self._offers), self._taken)
        return next((found for each in lists if (found := each.get(name)) is not None), None)

    def lend(self, tools: Iterable[Tool]) -> None:
        """A single response is asked for with tools of its own, which the application answers."""
        self._lent |= {name for tool in tools if (name := _name_of(tool)) is not None}

    def answers(self, name: str, *, told: Iterable[Tool]) -> bool:
        """Whether the session answers calls of this name, if only to say that it has no such tool.

        It does not if the model has the tool from somewhere else than the session's own list, or if
        the session answers for no tool at all.

        Args:
            name: What is called.
            told: The tools of the configuration, as the server reports it.
        """
        if isinstance(self.find(name), LocalTool):
            return True
        has_functions = any(isinstance(tool, LocalTool) for tool in self.registry)
        if not has_functions or name in self._lent:
            return False
        return all(name != _name_of(tool) for tool in told)


def _name_of(tool: Tool) -> str | None:
    """What the model calls it; tools on MCP servers have names of their own."""
    return getattr(tool, "name", None)
