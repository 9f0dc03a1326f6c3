"""Where a key would be seen by others than those it is meant for.

Owns which addresses are beyond doubt: OpenAI's own service, and this machine.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

OPENAI_HOST: Final = "api.openai.com"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return f".{host.lower()}".endswith(".localhost")


def is_openai(host: str) -> bool:
    """Whether a host is OpenAI's own service; regions have a name in front of it."""
    return host == OPENAI_HOST or host.endswith("." + OPENAI_HOST)


def exposure_of_key(url: str, *, is_borrowed: bool) -> str | None:
    """What is wrong with sending a key to this address, as a sentence; None if nothing is.

    Args:
        url: Address of the service.
        is_borrowed: Whether the key is OPENAI_API_KEY, and nobody has said that it is for this
            address.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return None  # such a URL is refused anyway, before anything is sent
    if is_loopback(host):
        return None
    if parts.scheme in ("ws", "http"):
        return f"a key would be sent to {host} without encryption; use wss://"
    if is_borrowed and not is_openai(host):
        return (
            f"OPENAI_API_KEY would be sent to {host}, which is not OpenAI; "
            "pass api_key= to say which key that service gets, or api_key=None for no key"
        )
    return None
