"""Draws the pictures of docs/performance.md, and fills in its tables, from the numbers of a run.

`python benchmarks/plots.py benchmarks/results/all.json`; the dependency group `docs` has what it
needs.  A table stands between `<!-- numbers: NAME -->` and `<!-- end -->`; the text around it is
written by hand.  The same numbers give the same bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from wire import AGENTS, CONNECTION, NAIVE, NO_AUDIO, OPENAI, PICOWS, SESSION, WEBSOCKETS

DOCS: Final = Path(__file__).parent.parent / "docs"
PAGE: Final = DOCS / "performance.md"
COLUMNS: Final = (OPENAI, AGENTS, SESSION, CONNECTION, WEBSOCKETS, PICOWS, NAIVE)
HEADS: Final = {
    OPENAI: "openai-python",
    AGENTS: "openai-agents",
    SESSION: "**session**",
    CONNECTION: "**connection**",
    WEBSOCKETS: "websockets + codec",
    PICOWS: "picows + codec",
    NAIVE: "by hand",
}
COLORS: Final = {
    OPENAI: "#b0b4ba",
    AGENTS: "#8a8f98",
    SESSION: "#d1495b",
    CONNECTION: "#edae49",
    WEBSOCKETS: "#7fa7bf",
    PICOWS: "#30638e",
    NAIVE: "#c9b79c",
}
ROWS: Final = (
    ("flood", "mix: socket to application", "an event of the mix, CPU µs"),
    ("flood", "control: socket to application", "a control event, CPU µs"),
    ("flood", "audio: socket to application", "an audio delta, CPU µs"),
    ("flood", "mix over TLS: socket to application", "an event of the mix over TLS, CPU µs"),
    ("append", "burst: append of 100 ms, array to socket", "append of 100 ms, burst, CPU µs"),
    ("append", "isolated: append of 100 ms, array to socket", "the same, isolated, CPU µs"),
    (
        "sessions",
        "30 sessions of profile A: CPU time of a second of a session",
        "a second of profile A, CPU ms",
    ),
    (
        "sessions",
        "30 sessions of profile B: CPU time of a second of a session",
        "a second of profile B, CPU ms",
    ),
    (
        "sessions",
        "30 sessions of profile A: latency of an event, median",
        "latency in profile A, median, ms",
    ),
    (
        "sessions",
        "30 sessions of profile A: latency of an event, p99",
        "latency in profile A, p99, ms",
    ),
    ("memory", "idle", "an idle session, KiB"),
    ("memory", "idle, over TLS", "the same over TLS, KiB"),
    ("memory", "active", "an active session, KiB"),
    ("start", "import to session.created", "cold start, CPU ms"),
)
"""Benchmark, title of the comparison, and what the table calls it."""

Results = Mapping[str, Any]


def main() -> int:
    run = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    results = run["benchmarks"]
    mpl.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "realtime_trio",
            "font.size": 9,
            "axes.axisbelow": True,
        }
    )
    draw("performance-events.svg", results, events)
    draw("performance-sessions.svg", results, sessions)
    page = PAGE.read_text(encoding="utf-8")
    tables: dict[str, Callable[[], str]] = {
        "run": lambda: provenance(run),
        "targets": lambda: targets(results),
        "candidates": lambda: candidates(results),
        "hosting": lambda: hosting(results),
    }
    for name, make in tables.items():
        before, start, rest = page.partition(f"<!-- numbers: {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        assert end, f"{PAGE.name} has no place for {name}"
        page = f"{before}{start}\n{make()}\n\n{end}{after}"
    PAGE.write_text(page, encoding="utf-8")
    return 0


# --- tables ---------------------------------------------------------------------------------------


def median(results: Results, benchmark: str, title: str, name: str) -> float | None:
    """What a candidate costs, if it was measured."""
    comparison = results.get(benchmark, {}).get("comparisons", {}).get(title, {})
    found = comparison.get("candidates", {}).get(name)
    return None if found is None else float(found["median"])


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; all columns but the first hold numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def short(value: float | None) -> str:
    """A number with three digits or so."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def provenance(run: Results) -> str:
    """When, where and with what."""
    machine, packages = run["machine"], run["packages"]
    python = machine["python"].split(" ")[1]
    peers = ", ".join(
        f"{name} {packages[name]}"
        for name in ("openai", "openai-agents", "websockets", "picows", "trio", "trio-websocket")
        if name in packages
    )
    kind = "A quick run" if run["quick"] else "A full run"
    return (
        f"{kind} of {run['date'][:10]}: {machine['cpu']}, {machine['cpus']} cores, "
        f"CPython {python}; {peers}."
    )


def targets(results: Results) -> str:
    """Every claim, and what became of it."""
    rows = [
        [
            target["what"],
            short(target["value"]),
            target["goal"].replace("<= ", "≤ ").replace(">= ", "≥ "),
            target.get("moonshot", "").replace("<= ", "≤ ").replace(">= ", "≥ "),
            target["verdict"],
        ]
        for result in results.values()
        for target in result["targets"]
    ]
    return markdown(["claim", "value", "goal", "moonshot", ""], rows)


def candidates(results: Results) -> str:
    """What everybody costs."""
    rows = [
        [what, *(short(median(results, benchmark, title, name)) for name in COLUMNS)]
        for benchmark, title, what in ROWS
    ]
    for kind in ("plain", "over TLS"):
        facts = results.get("sweep", {}).get("facts", {})
        held = [facts.get(f"{kind}: {name}") for name in COLUMNS]
        rows.append([f"sessions on one core, {kind}", *map(short, held)])
    return markdown(["", *HEADS.values()], rows)


def hosting(results: Results) -> str:
    """What an hour of talk costs."""
    rows = []
    for profile in "AB":
        title = f"30 sessions of profile {profile}: CPU time of a second of a session"
        costs = [median(results, "sessions", title, name) for name in COLUMNS[:4]]
        hours = [None if cost is None else cost * 3.6 for cost in costs]
        rows.append([f"CPU seconds of an hour of profile {profile}", *map(short, hours)])
    for title, what in (("idle", "KiB before anybody speaks"), ("active", "KiB after two turns")):
        rows.append(
            [what, *(short(median(results, "memory", title, name)) for name in COLUMNS[:4])]
        )
    silent = short(median(results, "memory", "active", NO_AUDIO))
    rows.append(['the same with `retention="none"`', "", "", silent, ""])
    return markdown(["", *(HEADS[name] for name in COLUMNS[:4])], rows)


# --- pictures -------------------------------------------------------------------------------------


def draw(name: str, results: Results, picture: Callable[[Results, Any], None]) -> None:
    """Make a picture of two halves, and write it."""
    figure, halves = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    picture(results, halves)
    figure.savefig(DOCS / name, metadata={"Date": None})
    plt.close(figure)


def bars(axes: Axes, results: Results, benchmark: str, title: str, label: str) -> None:
    """One bar per candidate."""
    costs = {name: median(results, benchmark, title, name) for name in COLUMNS}
    shown = [(name, cost) for name, cost in costs.items() if cost is not None][::-1]
    names = [HEADS[name].strip("*") for name, _ in shown]
    drawn = axes.barh(names, [cost for _, cost in shown], color=[COLORS[name] for name, _ in shown])
    axes.bar_label(drawn, [short(cost) for _, cost in shown], padding=3)
    axes.set_xlabel(label)
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)


def events(results: Results, halves: Sequence[Axes]) -> None:
    """The whole way in, and the whole way out."""
    for axes, (benchmark, title, label) in zip(halves, (ROWS[0], ROWS[4]), strict=True):
        bars(axes, results, benchmark, title, label)


def sessions(results: Results, halves: Sequence[Axes]) -> None:
    """What real time costs, and where a core is full."""
    bars(halves[0], results, *ROWS[6])
    axes = halves[1]
    facts = results.get("sweep", {}).get("facts", {})
    for name in COLUMNS:
        steps = facts.get(f"plain: {name}, sessions and share of the limit")
        if steps is not None:
            axes.plot(
                *zip(*steps, strict=True), "o-", label=HEADS[name].strip("*"), color=COLORS[name]
            )
    axes.axhline(1, color="black", linewidth=0.8, linestyle="--")
    axes.set_ylim(0, 1.5)
    axes.set_xlabel("sessions in one process, profile A")
    axes.set_ylabel("share of the limit")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    sys.exit(main())
