"""Where a command that serves listens: the options for it, which such commands share."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click
from attrs import frozen

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@frozen
class Certificate:
    """Files for TLS."""

    cert: Path
    """Certificate chain, PEM."""
    key: Path | None
    """Its private key, PEM; None if that is in the same file."""

    def context(self) -> ssl.SSLContext:
        """The server's side of TLS.

        Raises:
            OSError: The files are not what they should be.
        """
        cert, key = self.cert, self.key
        files = f"{cert} does" if key is None else f"{cert} and {key} do"

        def password() -> str:
            # Without this OpenSSL would ask on the terminal, and the server would wait for ever.
            raise OSError(f"the private key in {key or cert} is encrypted; decrypt it first")

        # Python's name for the server's side: the purpose is that of the other end.
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(cert, key, password)
        except ssl.SSLError as error:
            raise OSError(
                f"{files} not have a certificate and its private key, both in PEM form"
                f" ({error.reason or 'unreadable'})"
            ) from error
        return context


def takes_port(default: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the options for an address, `host` and `port`.

    Args:
        default: The port.  It is fixed, so that the address can be written down.
    """

    def add(command: Callable[..., None]) -> Callable[..., None]:
        host = click.option(
            "--host", default="127.0.0.1", show_default=True, help="Address to listen on"
        )
        port = click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=default,
            show_default=True,
            help="Port to listen on, 0 for any that is free",
        )
        return host(port(command))

    return add


def takes_certificate(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for TLS, and pass them as `certificate`, which is None without them."""

    @click.option("--cert", type=_FILE, help="Certificate chain (PEM): serve wss and https")
    @click.option(
        "--key", type=_FILE, help="Its private key (PEM), if that is not in the same file"
    )
    @functools.wraps(command)
    def with_certificate(
        *values: object, cert: Path | None, key: Path | None, **rest: object
    ) -> None:
        if key is not None and cert is None:
            raise click.UsageError("--key needs --cert: it is the private key of that certificate")
        certificate = None if cert is None else Certificate(cert, key)
        command(*values, certificate=certificate, **rest)

    return with_certificate


takes_folder = click.option(
    "--record",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder to record every session in",
)
"""Adds the option for recordings of all sessions, `record`."""
