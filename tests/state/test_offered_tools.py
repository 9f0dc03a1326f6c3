"""Which tools the model may call while the list is changing."""

from __future__ import annotations

import pytest

from realtime_trio._state.offered_tools import OfferedTools
from realtime_trio.events import FunctionTool
from realtime_trio.tools import tool
from realtime_trio.tools.registry import ToolRegistry


@tool
def old() -> None:
    """Be there already."""


@tool
def new() -> None:
    """Come later."""


OLD, NEW = ToolRegistry([old]), ToolRegistry([new])
DEFINED = ToolRegistry([FunctionTool(name="theirs")])


def test_it_begins_with_a_list() -> None:
    offered = OfferedTools(OLD)
    assert offered.registry is OLD
    assert (offered.find("old"), offered.find("new")) == (old, None)
    offered.begin_with(NEW)
    assert (offered.find("old"), offered.find("new")) == (None, new)


def test_until_the_server_has_answered_both_lists_may_be_called() -> None:
    offered = OfferedTools(OLD)
    offered.offer(NEW)
    assert (offered.registry, offered.find("old"), offered.find("new")) == (NEW, old, new)


def test_a_list_that_was_taken_stays_alone() -> None:
    offered = OfferedTools(OLD)
    offered.offer(NEW)
    offered.settle(NEW, OLD, is_refused=False)
    assert (offered.registry, offered.find("old")) == (NEW, None)


def test_after_a_refusal_the_former_list_is_in_place() -> None:
    offered = OfferedTools(OLD)
    offered.offer(NEW)
    offered.settle(NEW, OLD, is_refused=True)
    assert (offered.registry, offered.find("new")) == (OLD, None)


def test_a_refusal_does_not_undo_what_was_offered_after_it() -> None:
    offered = OfferedTools(OLD)
    offered.offer(NEW)
    later = ToolRegistry()
    offered.offer(later)
    offered.settle(NEW, OLD, is_refused=True)
    assert offered.registry is later


@pytest.mark.parametrize(
    ("registry", "knows", "has_functions"),
    [(OLD, True, True), (DEFINED, False, False), (ToolRegistry(), False, False)],
)
def test_the_session_answers_for_functions_and_not_for_definitions(
    registry: ToolRegistry, knows: bool, has_functions: bool
) -> None:
    offered = OfferedTools(registry)
    name = registry.names[0] if registry.names else "old"
    assert offered.knows(name) is knows
    assert offered.has_functions is has_functions
