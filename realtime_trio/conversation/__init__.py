"""The conversation as the server tells it: `Conversation` turns server events into readable items and utility events, without any IO."""

from realtime_trio.conversation.audio import Retention as Retention
from realtime_trio.conversation.history import Omission as Omission, Replay as Replay, history_events as history_events
from realtime_trio.conversation.reducer import Conversation as Conversation
