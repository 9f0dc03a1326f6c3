"""Files that a command is going to write, looked at before anything is asked and paid for."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click

PIPE: Final = Path("-")
"""Standard input or output instead of a file."""


def writable(_: click.Context, __: click.Parameter, out: Path | None) -> Path | None:
    """Look whether a file could be written: a callback of an option."""
    # By trying: permissions alone do not tell whether a name is too long or a disk is read-only.
    # What is not a file, such as a pipe, would take the trial for the answer.
    if out == PIPE:
        if sys.stdout is not None and sys.stdout.isatty():
            raise click.BadParameter("a WAV file is nothing for a terminal: pipe it into something")
        return out
    try:
        if out is not None and not os.path.lexists(out):
            out.open("xb").close()
            out.unlink()
        elif out is not None and out.is_file():
            out.open("ab").close()
    except OSError as error:
        raise click.BadParameter(f"{str(out)!r} cannot be written: {error.strerror}") from error
    return out
