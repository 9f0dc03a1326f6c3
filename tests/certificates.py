"""TLS for tests: contexts of an authority that is made up on the spot."""

from __future__ import annotations

import ssl

import trustme


def server_context(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    """For a server whose certificate is issued to this name."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def client_context(authority: trustme.CA) -> ssl.SSLContext:
    """For a client that trusts the authority, too."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a server, and for a client that trusts it."""
    authority = trustme.CA()
    return server_context(authority), client_context(authority)
