"""What numbers are to be read with: the machine, the interpreter, and the versions of what ran."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

_PACKAGES: Final = (
    *("realtime-trio", "attrs", "cattrs", "numpy", "orjson", "pybase64", "trio", "trio-websocket"),
    *("openai", "openai-agents", "pydantic", "msgspec", "websockets", "picows"),
)


def machine() -> dict[str, object]:
    """Processor, system and interpreter."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")  # where Linux keeps the name that platform does not know
    if cpuinfo.exists():
        models = (
            line.partition(":")[2].strip()
            for line in cpuinfo.read_text().splitlines()
            if line.startswith("model name")
        )
        cpu = next(models, cpu)
    return {
        "cpu": cpu,
        "cpus": os.cpu_count(),
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {sys.version}",
    }


def versions() -> dict[str, str]:
    """Of the packages that are installed."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a peer that this benchmark does not need
            continue
    return found
