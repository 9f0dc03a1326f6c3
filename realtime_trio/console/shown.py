"""A session of somebody's program as it is shown: every message, and what is wrong with it.

Owns what is said on the board of such a session.  Where the records come from is nothing to it, and
neither is who looks.
"""

from __future__ import annotations

from realtime_trio._protocol.wire_record import WireRecord
from realtime_trio._transport.contract import Close
from realtime_trio.console.board import KEPT_SIZE, Board, Look
from realtime_trio.console.marks import OrderMarks
from realtime_trio.console.messages import dropped_told, end_told, record_told, state_told
from realtime_trio.console.script_material import ScriptMaterial
from realtime_trio.events import FunctionCall, McpApprovalRequest


class ShownSession:
    """What is shown of one session.

    Args:
        may_act: Whether those who look may also act.
        room: Characters that are kept for those who come later.
    """

    def __init__(self, *, may_act: bool, room: int = KEPT_SIZE) -> None:
        self._may_act = may_act
        self._marks = OrderMarks(from_start=False)
        self._start: float | None = None
        self._approvals: dict[str, FunctionCall | McpApprovalRequest] = {}
        self._is_open = True
        self._board = Board(self._state(), room)
        self.material = ScriptMaterial()
        """For a script of the session."""

    def look(self) -> Look:
        """What was told so far, and a stream of the rest; close the stream in the end."""
        return self._board.look()

    def note(self, record: WireRecord) -> None:
        """Tell of a message on the wire."""
        if self._start is None:
            self._start = record.time
        violations = self._marks.judge(record)
        self.material.add(record)
        self._board.tell(record_told(record, record.time - self._start, violations))
        self._tell_state()

    def miss(self, count: int) -> None:
        """Tell that records are missing here."""
        self._marks.give_up("messages were missed, because there were too many at once")
        self._board.tell(dropped_told(count))
        self._tell_state()

    def await_approval(self, key: str, call: FunctionCall | McpApprovalRequest) -> None:
        """Tell that a call waits for a yes or no."""
        self._approvals[key] = call
        self._tell_state()

    def forget_approval(self, key: str) -> None:
        """Tell that it does not any more, if it did."""
        if self._approvals.pop(key, None) is not None:
            self._tell_state()

    def end(self, close: Close | None, reason: str = "") -> None:
        """Tell that nothing more will come, from a session that has ended so.  Idempotent."""
        if not self._is_open:
            return
        self._is_open = False
        self._approvals.clear()
        self._tell_state()
        self._board.tell(end_told(close, reason))
        self._board.close()

    def _state(self) -> str:
        return state_told(
            is_open=self._is_open,
            may_act=self._may_act and self._is_open,
            why_unwatched=self._marks.why_unwatched,
            approvals=self._approvals.values(),
        )

    def _tell_state(self) -> None:
        self._board.tell_state(self._state())
