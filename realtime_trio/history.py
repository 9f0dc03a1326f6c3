"""Conversations that outlive their session: how much of them is told again.

Names alone: how they are restored is in `_state.conversation.restoring`.
"""

from __future__ import annotations

from realtime_trio._state.conversation.restoring import Omission as Omission
from realtime_trio._state.conversation.size import (
    HistoryLimit as HistoryLimit,
    Summarize as Summarize,
)
