"""`realtime-trio report`: a recorded session as a page to attach to a bug."""

from __future__ import annotations

import functools
from pathlib import Path

import click
import trio

from realtime_trio.cli.running import run
from realtime_trio.cli.terminal import remark
from realtime_trio.console.report import report_of
from realtime_trio.recording import read_recording


@click.command("report")
@click.argument("recording", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="HTML file to write  [default: the name of the recording, with .html]",
)
def make_report(recording: Path, out: Path | None) -> None:
    """Make one HTML file of a recorded session, which needs no server and no network.

    RECORDING is a file of `open_session(record=...)` or `serve --record`.  Everything that was said
    is in the report, audio included, but no key.
    """
    run(functools.partial(_make, recording, out or recording.with_suffix(".html")))


async def _make(recording: Path, out: Path) -> None:
    size = await trio.to_thread.run_sync(_written, recording, out)
    remark(f"{size / 2**20:.1f} MiB, written to {out}")


def _written(recording: Path, out: Path) -> int:
    return out.write_bytes(report_of(read_recording(recording), recording.name).encode())
