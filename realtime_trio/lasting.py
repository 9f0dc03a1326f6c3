"""Sessions that last: another connection before the end of one and after its loss.

`open_session(reconnect=Reconnect())` goes on when the connection is lost, and before the server
ends its session, with the conversation, the configuration, the tools, the streams and whoever
waits.  These are the events that tell of it, and what they hold.
"""

from __future__ import annotations

from realtime_trio._session.lasting.policy import Reconnect as Reconnect
from realtime_trio._state.losses import (
    Loss as Loss,
    Reconnected as Reconnected,
    Reconnecting as Reconnecting,
    SessionExpiring as SessionExpiring,
    SessionRenewed as SessionRenewed,
)
from realtime_trio.errors import RequestLost as RequestLost
