"""The user's turn: how far turn detection is with it, and whether it is going to answer.

Owns what the server says of the user's speech, as far as a response follows from that.  Pure.
"""

# Theory of operation
#
# While turn detection is going to start a response (the turn is not silent), follow-ups wait for
# it: they would talk over the user and then make that response fail.  They wait until a response is
# done, or it is clear that none comes: the audio was cleared, committed by the client, or an error
# that names nobody says so; or the session has waited long enough.

from __future__ import annotations

import enum

from realtime_trio.events import SemanticVad, ServerVad, TurnDetection


class _Stage(enum.Enum):
    SILENT = enum.auto()
    SPEAKING = enum.auto()
    STOPPED = enum.auto()  # ... and the commit is to come
    DUE = enum.auto()  # committed: a response is to come, and while it runs


class UserTurn:
    """How far the user's turn is, always silent where turn detection does not answer it."""

    def __init__(self) -> None:
        self._stage = _Stage.SILENT
        self._creates = False  # whether turn detection starts responses

    @property
    def is_silent(self) -> bool:
        """Whether no response of turn detection's is to be expected."""
        return self._stage is _Stage.SILENT

    @property
    def is_speaking(self) -> bool:
        """Whether the user speaks now."""
        return self._stage is _Stage.SPEAKING

    @property
    def is_uncommitted(self) -> bool:
        """Whether the user speaks, or has spoken and the commit is to come."""
        return self._stage in (_Stage.SPEAKING, _Stage.STOPPED)

    @property
    def is_due(self) -> bool:
        """Whether turn detection owes a response, or that one runs."""
        return self._stage is _Stage.DUE

    def configure(self, turn_detection: TurnDetection | None) -> None:
        """Note the turn detection in force."""
        match turn_detection:
            case ServerVad() | SemanticVad():
                self._creates = turn_detection.create_response is not False
            case _:
                self._creates = turn_detection is not None
        self._hear(self._stage)

    def silence(self) -> None:
        """Note that nothing more is to be expected of this turn."""
        self._stage = _Stage.SILENT

    def start(self) -> None:
        """Note that the user has begun to speak."""
        self._hear(_Stage.SPEAKING)

    def stop(self) -> None:
        """Note that the user has stopped, or has said nothing for long."""
        self._hear(_Stage.STOPPED)

    def commit(self) -> None:
        """Note that the audio is a message now."""
        # Turn detection answers what it committed itself, and announced as speech before.
        self._hear(_Stage.DUE if self._stage is _Stage.STOPPED else _Stage.SILENT)

    def response_done(self, *, is_interrupted: bool) -> None:
        """Note that the conversation's response is done.

        Args:
            is_interrupted: Whether it was the user's speech that has ended it.
        """
        if self.is_due:
            # This was the response that turn detection owed, or it was in that one's way.
            self.silence()
        if self.is_silent and is_interrupted:
            # The event that says that the user speaks may still be on its way.
            self._hear(_Stage.DUE)

    def _hear(self, stage: _Stage) -> None:
        self._stage = stage if self._creates else _Stage.SILENT
