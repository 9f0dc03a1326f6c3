"""A relay: browsers talk with the service through your server, which keeps the key and the rules.

`serve_relay` is a server on a port of its own; `relay` is one session on any transport.  What a
guest may do is a `Grant`.  docs/relay.md is the way in.
"""

from realtime_trio._serving.http import HttpRequest as HttpRequest, HttpResponse as HttpResponse
from realtime_trio._serving.websocket_server import (
    Accept as Accept,
    HandshakeRequest as HandshakeRequest,
    Reject as Reject,
)
from realtime_trio.relay.access import (
    AccessDenied as AccessDenied,
    Authorize as Authorize,
    token_of as token_of,
)
from realtime_trio.relay.asgi import RelayApp as RelayApp, relay_app as relay_app
from realtime_trio.relay.audit import Audit as Audit, AuditRecord as AuditRecord
from realtime_trio.relay.client_secrets import (
    ClientSecret as ClientSecret,
    mint_client_secret as mint_client_secret,
)
from realtime_trio.relay.core import relay as relay
from realtime_trio.relay.ending import Why as Why
from realtime_trio.relay.grant import (
    ANY as ANY,
    DEFAULT_EVENTS as DEFAULT_EVENTS,
    DEFAULT_HIDDEN as DEFAULT_HIDDEN,
    DEFAULT_ITEMS as DEFAULT_ITEMS,
    DEFAULT_OVERRIDES as DEFAULT_OVERRIDES,
    Grant as Grant,
)
from realtime_trio.relay.limits import Limits as Limits
from realtime_trio.relay.routes import Route as Route
from realtime_trio.relay.serve import serve_relay as serve_relay
from realtime_trio.relay.service import Service as Service, service_at as service_at
from realtime_trio.relay.tokens import Token as Token, TokenIssuer as TokenIssuer
from realtime_trio.relay.tools import RelayContext as RelayContext
