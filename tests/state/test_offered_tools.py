"""Which tools the model may call while the list is changing."""

from __future__ import annotations

from realtime_trio._state.offered_tools import OfferedTools
from realtime_trio.events import FunctionTool, McpTool
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
    offered.settle(NEW, is_refused=False)
    assert (offered.registry, offered.find("old")) == (NEW, None)


def test_after_a_refusal_the_former_list_is_in_place() -> None:
    offered = OfferedTools(OLD)
    offered.offer(NEW)
    offered.settle(NEW, is_refused=True)
    assert (offered.registry, offered.find("new")) == (OLD, None)


def test_a_refusal_does_not_undo_what_was_offered_after_it() -> None:
    offered = OfferedTools(OLD)
    offered.offer(NEW)
    later = ToolRegistry()
    offered.offer(later)
    offered.settle(NEW, is_refused=True)
    assert offered.registry is later


def test_what_was_built_upon_a_refused_list_is_gone_with_its_own_refusal() -> None:
    offered = OfferedTools(OLD)
    both = ToolRegistry([old, new])
    offered.offer(NEW)
    offered.offer(both)
    offered.settle(NEW, is_refused=True)
    offered.settle(both, is_refused=True)
    assert (offered.registry, offered.find("new")) == (OLD, None)


def test_all_lists_that_are_under_way_may_be_called() -> None:
    offered = OfferedTools(OLD)
    offered.offer(NEW)
    offered.offer(ToolRegistry())
    assert (offered.find("old"), offered.find("new")) == (old, new)


def test_calls_of_a_function_are_answered_whatever_the_server_was_told() -> None:
    assert OfferedTools(OLD).answers("old", told=())


def test_calls_of_a_tool_that_nobody_has_are_answered_if_there_are_functions() -> None:
    assert OfferedTools(OLD).answers("unheard_of", told=[old.definition])
    assert not OfferedTools(DEFINED).answers("unheard_of", told=())
    assert not OfferedTools(ToolRegistry()).answers("unheard_of", told=())


def test_calls_of_a_definition_are_for_the_application() -> None:
    definition = FunctionTool(name="theirs")
    offered = OfferedTools(ToolRegistry([old, definition]))
    assert not offered.answers("theirs", told=[old.definition, definition])


def test_calls_of_a_tool_that_one_response_was_given_are_for_the_application() -> None:
    offered = OfferedTools(OLD)
    offered.lend([FunctionTool(name="theirs"), McpTool(server_label="docs")])
    assert not offered.answers("theirs", told=())
    assert offered.answers("docs", told=())
