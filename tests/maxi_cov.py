"""Maximum coverage: 95 % of the branches overall, and every pure module 100 % by its own test file.

Run by `nox -s coverage`.  The own test file of `realtime_trio/audio/pcm.py` is tests/test_audio_pcm.py or, shared by the package,
tests/test_audio.py.  Each of them runs alone, so that no other test can cover up what it misses; then all the others run together, and
the sum of everything counts for the overall figure.  So each test runs once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from test_layers import LAST_PURE_LEVEL, LEVELS, MODULES, place

OVERALL = 95
TESTS = Path(__file__).parent
ROOT = TESTS.parent
DATA = ROOT / ".coverage"


def coverage(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "coverage", *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )


def own_tests(module: str) -> Path:
    """The test file that must cover a module alone; it may not exist."""
    names = [part.lstrip("_") for part in module.split(".")]
    exact = TESTS / f"test_{'_'.join(names)}.py"
    shared = TESTS / f"test_{'_'.join(names[:-1])}.py"
    return shared if shared.exists() and not exact.exists() else exact


def check(tests: Path, modules: list[Path]) -> str | None:
    """Run a test file alone; return what to complain about."""
    where = ", ".join(str(module.relative_to(ROOT)) for module in modules)
    if not tests.exists():
        return f"{where}: there is no {tests.name}"
    data = f"--data-file={DATA}.{tests.stem}"
    run = coverage("run", data, "-m", "pytest", "-q", str(tests))
    if run.returncode != 0:
        return f"{tests.name} fails\n{run.stdout}"
    report = coverage("report", data, "--fail-under=100", f"--include={','.join(map(str, modules))}")
    if report.returncode != 0:
        return f"{tests.name} alone does not cover {where}\n{report.stdout}"
    print(f"{tests.name} covers {where}", flush=True)
    return None


def main() -> int:
    for stale in ROOT.glob(".coverage.*"):
        stale.unlink()
    modules_by_tests: dict[Path, list[Path]] = {}
    for module, path in MODULES.items():
        level = place(module, LEVELS)
        if level is None or (level <= LAST_PURE_LEVEL and path.name != "__init__.py" and module != "_version"):
            modules_by_tests.setdefault(own_tests(module), []).append(path)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        complaints = [complaint for complaint in pool.map(check, modules_by_tests, modules_by_tests.values()) if complaint]

    others = coverage("run", f"--data-file={DATA}.others", "-m", "pytest", "-q", *(f"--ignore={tests}" for tests in modules_by_tests))
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
