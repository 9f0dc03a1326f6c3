"""The order of the protocol: what may be sent when, as a table of small rules.

Each rule looks at one thing.  It is a function from what was sent so far, and what is sent now, to
complaints; its name is the name of the rule, and its docstring the rule itself.  Rules look at
today's protocol, and at what the service does on a WebSocket; where the service is known to leave
something open, no rule closes it.
"""

from realtime_trio._order.check import (
    CLIENT_RULES as CLIENT_RULES,
    SERVER_RULES as SERVER_RULES,
    OrderWatch as OrderWatch,
    Recorded as Recorded,
    Violation as Violation,
    assert_order as assert_order,
    check_order as check_order,
)
