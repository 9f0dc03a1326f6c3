"""Run the benchmarks, and say in one table which goals were missed.

`nox -s bench` calls this: `nox -s bench -- --quick`, `nox -s bench -- flood append`,
`nox -s bench -- --compare OLD.json`.  Each `bench_NAME.py` is a program of its own that can be run
alone as well; here they run one after another, before other programs where that is allowed, and
their numbers go into one file, `all.json`, beside one file for each.

Compared with an older `all.json` are the values of the targets, and the speed of every candidate
relative to its peer in the same run, since times of different days and machines say little.

The exit code is 1 if a goal was missed or a benchmark failed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from machine import machine, versions
from wire import settle

HERE: Final = Path(__file__).parent
NAMES: Final = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
NOTABLE: Final = 0.1
"""A speed that has changed by less, relative to the peer's, is not listed."""

Results = dict[str, dict[str, Any]]
"""Name of a benchmark -> what it has written."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], epilog="benchmarks: " + ", ".join(NAMES)
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="which benchmarks; all of them by default"
    )
    parser.add_argument("--quick", action="store_true", help="within seven minutes, less precisely")
    parser.add_argument(
        "--json", metavar="DIR", type=Path, default=HERE / "results", help="where the numbers go"
    )
    parser.add_argument(
        "--compare", metavar="OLD.json", type=Path, help="show what has changed since then"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"there is no {', '.join(sorted(unknown))}, only {', '.join(NAMES)}")
    old = read(arguments.compare) if arguments.compare else {}  # before it may be overwritten
    results: Results = {}
    failed = []
    for name in arguments.names or NAMES:
        began = time.perf_counter()
        written = arguments.json / f"bench_{name}.json"
        written.unlink(missing_ok=True)
        run(name, arguments.json, quick=arguments.quick)
        print(f"\nbench_{name} took {time.perf_counter() - began:.0f} s\n", flush=True)
        if written.exists():
            results[name] = json.loads(written.read_text(encoding="utf-8"))
        else:
            failed.append(name)
    write(results, arguments.json / "all.json", quick=arguments.quick)
    targets = list(targets_of(results))
    print(table(targets, {key_of(target): target["value"] for target in targets_of(old)}))
    for line in changes(results, old):
        print(line)
    missed = [target["what"] for target in targets if not target["met"]]
    print(f"\n{len(targets) - len(missed)} of {len(targets)} goals met")
    for what in missed:
        print(f"  missed: {what}")
    for name in failed:
        print(f"  failed: bench_{name}")
    return 1 if missed or failed else 0


def run(name: str, folder: Path, *, quick: bool) -> None:
    """Run one benchmark, whose output is shown as it comes."""
    command = [sys.executable, str(HERE / f"bench_{name}.py"), "--json", str(folder)]
    subprocess.run(
        [*command, "--quick"] if quick else command,
        start_new_session=True,
        preexec_fn=partial(settle, None, first=False),
    )


def write(results: Results, path: Path, *, quick: bool) -> None:
    """Put all numbers of a run into one file."""
    content = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "machine": machine(),
        "packages": versions(),
        "benchmarks": results,
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read(path: Path) -> Results:
    """Read such a file."""
    results: Results = json.loads(path.read_text(encoding="utf-8"))["benchmarks"]
    return results


def targets_of(results: Results) -> Iterator[Mapping[str, Any]]:
    """All targets that were looked at."""
    for result in results.values():
        yield from result["targets"]


def key_of(target: Mapping[str, Any]) -> str:
    """What identifies a target from run to run."""
    return str(target.get("key", target["what"]))


def table(targets: list[Mapping[str, Any]], before: Mapping[str, float]) -> str:
    """The targets, their goals and what became of them."""
    width = max((len(target["what"]) for target in targets), default=0)
    lines = [f"  {'':<{width}}  {'value':>9}  {'before':>9}  {'goal':>10}  {'moonshot':>10}"]
    for target in targets:
        was = before.get(key_of(target))
        earlier = "" if was is None else f"{was:.4g}"
        numbers = f"{target['value']:9.4g}  {earlier:>9}  {target['goal']:>10}"
        moonshot = target.get("moonshot", "")
        lines.append(f"  {target['what']:<{width}}  {numbers}  {moonshot:>10}  {target['verdict']}")
    return "\n".join(lines)


def changes(new: Results, old: Results) -> Iterator[str]:
    """The candidates whose speed, relative to their peer, has changed."""
    for name in new.keys() & old.keys():
        compared = old[name]["comparisons"]
        for title, comparison in new[name]["comparisons"].items():
            before = compared.get(title, {"candidates": {}})["candidates"]
            for candidate, numbers in comparison["candidates"].items():
                if candidate not in before:
                    continue
                speed, was = (each["times_peer_speed"] for each in (numbers, before[candidate]))
                if abs(speed / was - 1) >= NOTABLE:
                    yield (
                        f"  {title}: {candidate} has {speed / was:.2f} times the speed it had"
                        f" (of {comparison['peer']}'s: {was:.2f}, now {speed:.2f})"
                    )


if __name__ == "__main__":
    sys.exit(main())
