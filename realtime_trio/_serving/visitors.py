"""Which web pages and which names of the host a server without a key answers to.

Owns the judgement of the headers Host and Origin, and nothing of keys: who has shown one is nobody
to be suspicious of.

Theory of operation.  A browser lets every web page open a WebSocket to this machine, and says in
Origin which page it is.  A page may also have a name of its own that leads to this machine (DNS
rebinding), so that for the browser page and server are one; then the name stands in Host.  So
a page is let in if it comes from this server or was allowed, and a name is answered to if nobody
else can have chosen it.  Other programs send no Origin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

from attrs import field, frozen

from realtime_trio._legible import legible
from realtime_trio._misuse import to_tuple
from realtime_trio._serving.http import RequestHead
from realtime_trio.errors import LocalProtocolError

ANY: Final = "*"
"""Allows all origins or hosts."""

_ORIGIN: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[^/?#@\s]+)")
_NAME: Final = re.compile(r"[^/?#@\s:\[\]]+")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_LONGEST: Final = 200
"""Characters of a header in an explanation."""


def _to_origins(origins: Iterable[str]) -> frozenset[str]:
    return frozenset(_to_origin(origin) for origin in to_tuple("origins", origins))


def _to_origin(origin: str) -> str:
    # "null" is what browsers say of pages from files and of sandboxed ones.
    if origin in (ANY, "null"):
        return origin
    found = _ORIGIN.fullmatch(origin.lower().removesuffix("/"))
    if found is None:
        raise LocalProtocolError(
            f"{origin!r} is not the origin of a web page; one looks like http://localhost:5173"
        )
    return _without_default_port(found["scheme"], found["host"])


def _without_default_port(scheme: str, host: str) -> str:
    return f"{scheme}://{host.removesuffix(f':{_DEFAULT_PORTS.get(scheme)}')}"


def _to_hosts(hosts: Iterable[str]) -> frozenset[str]:
    return frozenset(_to_host(host) for host in to_tuple("hosts", hosts))


def _to_host(host: str) -> str:
    name = host.lower().removeprefix("[").removesuffix("]")
    if not _NAME.fullmatch(name) and _ip(name) is None:
        raise LocalProtocolError(
            f"{host!r} is not the name of a host; one looks like simulator.example, without a port"
        )
    return name


@frozen
class Visitors:
    """Whom a server answers that nobody has shown a key."""

    address: str
    """Where it listens: a name or an IP address."""
    origins: frozenset[str] = field(default=frozenset(), converter=_to_origins, kw_only=True)
    """Web pages that are let in besides those of the server's own address."""
    hosts: frozenset[str] = field(default=frozenset(), converter=_to_hosts, kw_only=True)
    """Names that it answers to besides its address and those of the loopback."""

    def objection(self, request: RequestHead) -> str | None:
        """Why a request is not to be answered, and what would allow it; None if it is."""
        host, origin = request.header("host"), request.header("origin")
        if host is not None and not self._answers_to(host):
            return (
                f"this server does not answer to the host {legible(host, _LONGEST)!r}; "
                "it has to be allowed (hosts=, or --allow-host)"
            )
        if origin is not None and not self._admits(origin, host or ""):
            return (
                f"web pages of {legible(origin, _LONGEST)!r} are not let in; "
                "they have to be allowed (origins=, or --allow-origin)"
            )
        return None

    def _answers_to(self, host: str) -> bool:
        # Whatever stands in a header, this raises nothing but ValueError: for a half of [].
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if ANY in self.hosts or name in self.hosts or name == self.address.lower():
            return True
        if name == "localhost" or name.endswith(".localhost"):
            return True
        # Nobody else can choose what an IP address leads to.
        address, here = _ip(name), _ip(self.address)
        return address is not None and (
            address.is_loopback or address == here or (here is not None and here.is_unspecified)
        )

    def _admits(self, origin: str, host: str) -> bool:
        origin = origin.lower()
        if ANY in self.origins or origin in self.origins:
            return True
        scheme = origin.partition("://")[0]
        # Only a page that this host itself has served.
        return origin == _without_default_port(scheme, host.lower())


def _ip(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
