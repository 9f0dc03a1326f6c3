"""Maximum coverage: 95 % of the branches overall, and every pure module 100 % by its own test file.

Run by `nox -s coverage`.  The own test file of `realtime_trio/audio/pcm.py` is
tests/test_audio_pcm.py or, shared by the package, tests/test_audio.py.  Each of them runs alone, so
that no other test can cover up what it misses; then all the others run together, and the sum of
everything counts for the overall figure.  So each test runs once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
sys.path.append(str(ROOT / "docs"))  # where pytest, too, finds what the layers are read with

from floors import MODULES  # noqa: E402
from test_layers import is_pure  # noqa: E402

OVERALL = 95
DATA = ROOT / ".coverage"


def coverage(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "coverage", *arguments],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


def own_tests(module: str) -> tuple[Path, ...]:
    """The test files that must cover a module alone: test_NAME.py, and test_NAME_THEME.py of it."""
    parts = [part.strip("_") for part in module.split(".")]
    # The tests of a room are in a folder of its name, so that two rooms may have modules of one
    # name; those of a module at the top are anywhere.
    room = TESTS / parts[0] if (TESTS / parts[0]).is_dir() else TESTS
    for end in range(len(parts), 0, -1):
        # With and without its folder: _session/responses.py has test_session_responses.py, of what
        # a session does with it, and test_responses.py, of what it does by itself.  A wing of the
        # simulator need not be named: service/usage.py has test_simulator_usage.py.
        names = ["_".join(parts[start:end]) for start in reversed(range(end))]
        names.append(f"{parts[0]}_{parts[end - 1]}")
        found: list[Path] = []
        for name in names:
            if files := sorted(room.rglob(f"test_{name}.py")):
                found += [*files, *sorted(room.rglob(f"test_{name}_*.py"))]
        if found:
            return tuple(dict.fromkeys(found))
    return ()


def check(tests: tuple[Path, ...], modules: list[Path]) -> str | None:
    """Run test files alone; return what to complain about."""
    where = ", ".join(str(module.relative_to(ROOT)) for module in modules)
    if not tests:
        return f"{where}: there is no test file of that name"
    names = " ".join(file.name for file in tests)
    data = f"--data-file={DATA}.{tests[0].stem}"
    run = coverage("run", data, "-m", "pytest", "-q", *map(str, tests))
    if run.returncode != 0:
        return f"{names} fails\n{run.stdout}"
    report = coverage(
        "report", data, "--fail-under=100", f"--include={','.join(map(str, modules))}"
    )
    if report.returncode != 0:
        return f"{names} alone does not cover {where}\n{report.stdout}"
    print(f"{names} covers {where}", flush=True)
    return None


def main() -> int:
    for stale in ROOT.glob(".coverage.*"):
        stale.unlink()
    modules_by_tests: dict[tuple[Path, ...], list[Path]] = {}
    for module, path in MODULES.items():
        if is_pure(module) and not module.startswith("simulator") and path.name != "__init__.py":
            modules_by_tests.setdefault(own_tests(module), []).append(path)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        complaints = [
            complaint
            for complaint in pool.map(check, modules_by_tests, modules_by_tests.values())
            if complaint
        ]

    others = coverage(
        "run",
        f"--data-file={DATA}.others",
        "-m",
        "pytest",
        "-q",
        *(f"--ignore={file}" for tests in modules_by_tests for file in tests),
    )
    if others.returncode != 0:
        complaints.append(f"the other tests fail\n{others.stdout}")
    combined = coverage("combine", "--quiet")
    overall = coverage("report", f"--fail-under={OVERALL}")
    print(combined.stdout + overall.stdout)
    if combined.returncode != 0 or overall.returncode != 0:
        complaints.append(f"overall coverage is below {OVERALL} %")
    print(*complaints, sep="\n\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
