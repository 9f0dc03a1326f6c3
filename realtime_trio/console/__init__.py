"""The Realtime Console: a session in a browser, live or from a recording.

    async with open_session() as session, open_inspector(session):
        ...

prints an address to open.  `realtime-trio console` is the same with a session of its own, and
`realtime-trio report` makes one file of a recording.
"""

from realtime_trio.console.inspector import (
    Inspector as Inspector,
    open_inspector as open_inspector,
)
from realtime_trio.console.report import report_of as report_of
