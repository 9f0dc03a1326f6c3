"""The order of the protocol: what may be said when, as a table of small rules, each of which looks at one thing.

A rule is a function from what was said so far and what is said now to complaints; its name is the
name of the rule, and its docstring the rule itself.  Rules look at today's protocol, and at what
the service does on a WebSocket; where it is known to leave something open, no rule closes it.
"""

from realtime_trio._order.check import (
    CLIENT_RULES as CLIENT_RULES,
    SERVER_RULES as SERVER_RULES,
    Recorded as Recorded,
    Violation as Violation,
    assert_order as assert_order,
    check_order as check_order,
)
