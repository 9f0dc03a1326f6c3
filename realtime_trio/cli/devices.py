"""`realtime-trio devices`: the sound devices of this machine."""

from __future__ import annotations

import click

from realtime_trio.cli.running import run
from realtime_trio.cli.terminal import remark, report
from realtime_trio.devices import Device, PortAudio


@click.command()
def devices() -> None:
    """List the sound devices, with the numbers and names that `talk` takes.

    Each with its channels in and out, its rate, and whether it is the default.
    """
    run(_devices)


async def _devices() -> None:
    found = await PortAudio().devices()
    for device in found:
        report(line(device))
    if not found:
        remark("there is no sound device")


def line(device: Device) -> str:
    """A device in a line: number, channels, rate, name, and of what it is the default."""
    defaults = [
        what
        for what, is_default in (
            ("microphone", device.is_default_input),
            ("loudspeaker", device.is_default_output),
        )
        if is_default
    ]
    return (
        f"{device.number:3}  {device.inputs:3} in {device.outputs:3} out  {device.rate:6} Hz  "
        f"{device.name}" + (f"  (default {' and '.join(defaults)})" if defaults else "")
    )
