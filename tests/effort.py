"""What something takes, in what can be counted: lines that are run, and bytes that are allocated.

The clock would say how busy the machine is.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import TraceFunction


def lines_run(function: Callable[[], object]) -> int:
    """How many lines of Python it takes, those of everything that it calls included."""
    count = 0

    def trace(_: FrameType, event: str, __: object) -> TraceFunction:
        nonlocal count
        count += event == "line"
        return trace

    # Coverage may be looking, too.
    before = sys.gettrace()
    # Finalizers of what others have left behind are lines as well.
    gc.collect()
    gc.disable()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
        gc.enable()
    return count


def bytes_allocated(function: Callable[[], object]) -> int:
    """How many bytes more than before were in use at most, while it ran."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
