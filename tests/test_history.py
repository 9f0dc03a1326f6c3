"""Conversations that outlive their session, for those who use them."""

from __future__ import annotations

from realtime_trio import history
from realtime_trio._state.conversation import restoring, size


def test_what_users_need_of_a_restored_conversation_is_in_one_place() -> None:
    assert history.Omission is restoring.Omission
    assert history.HistoryLimit is size.HistoryLimit
    assert history.Summarize is size.Summarize
