"""Every chore of the project, for a machine that has nothing but git and Python 3.11 or newer.

`python3 noxfile.py ARGS` is `nox ARGS` without having nox: it puts nox into `.nox/bootstrap`,
inside the checkout, and runs it from there. It leaves the system's Python alone and needs neither
pip nor Debian's `python3-venv`.  Where nox is installed, `nox ARGS` does the same.

Owns how the checks are run; what they demand is in pyproject.toml and in tests/.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent

NOX_VERSIONS = ">=2026.8.10"
"""The first version that tries an interpreter before it uses it: pyenv leaves a failing
`python3.12` on PATH for every other version."""

PIP_WHEEL = "pip-25.3-py3-none-any.whl"
PIP_SHA256 = "9655943313a94722b7774661c21049070f6bbb0a1516bf02f7c8d5d9201514cd"


def download_pip(folder: Path) -> Path:
    """Fetch pip's wheel from the package index (PyPI, or `PIP_INDEX_URL`) into `folder`.

    It runs as it is, without being installed.
    """
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
    with urllib.request.urlopen(index, timeout=60) as page:
        link = re.search(rf'href="([^"#]*{re.escape(PIP_WHEEL)})', page.read().decode())
    if link is None:
        sys.exit(
            f"{index} does not offer {PIP_WHEEL}: "
            "install Python's venv module (Debian: python3-venv) or set PIP_INDEX_URL"
        )
    with urllib.request.urlopen(
        urllib.parse.urljoin(index, html.unescape(link[1])), timeout=60
    ) as answer:
        content = answer.read()
    if hashlib.sha256(content).hexdigest() != PIP_SHA256:
        sys.exit(f"{PIP_WHEEL} from {index} is not the file that was expected")
    wheel = folder / PIP_WHEEL
    wheel.write_bytes(content)
    return wheel


def bootstrap() -> Path:
    """Return the Python of `.nox/bootstrap`, which has nox; make it first unless it works."""
    folder = ROOT / ".nox" / "bootstrap"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if (
        python.exists()
        and subprocess.run([python, "-c", "import nox"], capture_output=True).returncode == 0
    ):
        return python
    print("Setting up nox in .nox/bootstrap ...", flush=True)
    create = [sys.executable, "-m", "venv", "--clear", str(folder)]
    if subprocess.run(create, capture_output=True).returncode == 0:
        pip = [str(python), "-m", "pip"]
    else:  # Debian ships ensurepip, which puts pip into an environment, in a package of its own
        subprocess.run([*create, "--without-pip"], check=True)
        pip = [str(python), str(download_pip(folder) / "pip")]
    subprocess.run(
        [*pip, "install", "--quiet", "--disable-pip-version-check", f"nox{NOX_VERSIONS}"],
        check=True,
    )
    return python


if __name__ == "__main__":
    # Nothing is installed yet, so nothing else has looked at the version.
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.exit(f"Python 3.11 or newer is needed; {sys.executable} is {sys.version.split()[0]}")
    try:
        sys.exit(
            subprocess.run(
                [bootstrap(), "-m", "nox", "--noxfile", __file__, *sys.argv[1:]]
            ).returncode
        )
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(map(str, error.cmd))} failed with exit code {error.returncode}")
    except OSError as error:
        sys.exit(f"nox could not be set up: {error}")

import nox  # noqa: E402 - above, the script gets by without it
from nox.command import CommandFailed  # noqa: E402
from packaging.requirements import Requirement  # noqa: E402 - comes with nox

nox.needs_version = NOX_VERSIONS
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.download_python = "never"
# Not even where CI is set: what is there is tested, the rest is reported as skipped.
nox.options.error_on_missing_interpreters = False

PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
SUPPORTED = nox.project.python_versions(PYPROJECT)
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
TEST, LINT, BENCH, DOCS, BROWSER = (
    nox.project.dependency_groups(PYPROJECT, group)
    for group in ("test", "lint", "bench", "docs", "browser")
)
EXTRAS = ".[cli,proxy,llm,rest,web,yaml,prices]"
"""What everybody can install."""
OPTIONAL = ("voice-light", "devices", "vad")
"""What comes on top of it where there are wheels: a part of it is compiled."""
CODE = [
    "realtime_trio",
    "tests",
    "interop",
    "benchmarks",
    "examples",
    "docs/barge_in_picture.py",
    "docs/floors.py",
    "noxfile.py",
]
# By folders and files: a path that is not there is an error to pytest, a word of `-k` that selects
# nothing is not.
SIMULATED = [
    "tests/simulator",
    "tests/session",
    "tests/test_coming_from_javascript.py",
    "tests/test_examples.py",
    "tests/test_recording.py",
    "tests/test_reference_client.py",
    "tests/test_testing.py",
]
PARALLEL = ["--numprocesses=auto", "--maxprocesses=4"]
"""As many tests at once as there are cores, up to four; `-- -n0` runs them one by one."""
VOICED = [
    "tests/simulator/test_simulator_voice.py",
    "tests/simulator/test_simulator_voice_natural.py",
    "tests/cli/test_cli_say.py",
    "tests/test_docs.py",
    "tests/test_examples.py",
]
PAGE_TOOLS = str(ROOT / "tests" / "browser")
NPM_INSTALL = [
    *("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"),
    # No long wait where there is no registry.  Both pauses between attempts are given, since npm
    # refuses a longest one below its own shortest, which is 10 s.
    *("--fetch-timeout=30000", "--fetch-retries=1"),
    *("--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=3000"),
]
TRIO_CODE = [*CODE, "--exclude=interop/clients,node_modules"]
"""The clients are programs for asyncio, and what npm has put there is not ours."""
STARTABLE = (
    "serve_websocket",
    "serve_simulator",
    "serve_reception",
    "serve_console",
    "serve_relay",
    "_cancel_on_interrupt",
    "browse",
)
"""Functions that are started by `nursery.start`, in any file."""


def install_wheels(session: nox.Session, extras: str) -> bool:
    """Install extras, unless that takes a compiler; returns whether it was done."""
    try:
        # Wheels alone: a compiler that is not there would be noticed after minutes.
        session.install("--only-binary=:all:", f".[{extras}]")
    except CommandFailed:
        session.warn(f"no wheels of {extras} for this Python here, or they cannot be fetched")
        return False
    return True


def install_optional(session: nox.Session) -> None:
    """Install what hears, speaks and plays, as far as that is possible here.

    Without it the rest still works; tests of what is missing are skipped.
    """
    if not install_wheels(session, ",".join(OPTIONAL)):
        for extra in OPTIONAL:
            install_wheels(session, extra)


# The running interpreter is always found, so at least one of these is never skipped.
@nox.session(python=SUPPORTED if RUNNING in SUPPORTED else [*SUPPORTED, RUNNING])
def tests(session: nox.Session) -> None:
    """Run the tests on the installed package: `nox -s tests -- -k barge_in`."""
    install_optional(session)
    session.install(EXTRAS, *TEST)
    session.run("pytest", *PARALLEL, *session.posargs)


@nox.session(default=False)
def voice(session: nox.Session) -> None:
    """Run the tests of what hears and speaks with the models of the extra `voice` (200 MB)."""
    session.install(EXTRAS, ".[voice]", *TEST)
    session.run("pytest", *(session.posargs or VOICED))


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, style, trio's rules and types of everything, also in the documentation."""
    session.install("-e", EXTRAS, *LINT, *BENCH, *DOCS)
    session.run("ruff", "format", "--check", *CODE)
    session.run("ruff", "check", *CODE)
    session.run(
        "flake8",
        "--select=ASYNC",
        f"--startable-in-context-manager={','.join(STARTABLE)}",
        *TRIO_CODE,
    )
    session.run("mypy", "--strict", *CODE)
    # The snippets of the documentation, which no path leads to.
    session.run("pytest", "-q", "tests/test_docs.py", "-k", "type_checker")
    lint_page(session)


def lint_page(session: nox.Session) -> None:
    """Check types and style of the console's page, where there is node and a registry."""
    if install_page_tools(session):
        for script in ("types", "style"):
            session.run("npm", "run", "--silent", "--prefix", PAGE_TOOLS, script, external=True)


def install_page_tools(session: nox.Session) -> bool:
    """Install what checks the console's page; whether it is there now."""
    if shutil.which("npm") is None:
        session.warn("npm is not there: not everything of the console's page is checked")
        return False
    try:
        session.run(*NPM_INSTALL, "--prefix", PAGE_TOOLS, external=True)
    except CommandFailed:
        session.warn("npm reaches no registry: not everything of the console's page is checked")
        return False
    return True


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """Demand 95 % branch coverage overall, and 100 % of every pure module by its own test file."""
    install_optional(session)
    session.install("-e", EXTRAS, *TEST)
    session.run("python", "tests/maxi_cov.py")


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Try whether the tests notice small faults: `nox -s mutants -- _runtime.hub --sample 40`."""
    install_optional(session)
    session.install("-e", EXTRAS, *TEST)
    session.run("python", "tests/mutants.py", *session.posargs)


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """Have a spoken conversation without a service: `nox -s demo -- FOLDER` to keep it there."""
    session.install(".")
    # Without ears and a voice the demo speaks with the simulator's own.
    install_wheels(session, "voice") or install_wheels(session, "voice-light")
    session.run(
        "python",
        "examples/spoken_conversation.py",
        *(session.posargs or [str(Path(session.create_tmp()) / "conversation")]),
    )


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Run the benchmarks, and fail if a goal is missed: `nox -s bench -- --quick`.

    The numbers are kept in benchmarks/results; `-- --compare OLD.json` shows what has changed.
    """
    session.install(".", *BENCH)
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session(default=False)
def interop(session: nox.Session) -> None:
    """Let other people's clients and our simulator talk, and our client and their server.

    Needs node.
    """
    if shutil.which("npm") is None:
        session.skip("npm is not there")
    session.install(".[web]", *TEST, "-r", "interop/requirements.txt")
    folder = Path(session.create_tmp())
    shutil.copy(ROOT / "interop" / "package.json", folder)
    session.run(*NPM_INSTALL, "--no-package-lock", "--prefix", str(folder), external=True)
    session.env["INTEROP_NODE_MODULES"] = str(folder / "node_modules")
    session.env["INTEROP_PYTHON"] = str(Path(session.bin) / "python")
    session.run("pytest", "interop", *session.posargs)


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """Use the Realtime Console in a browser: `nox -s browser -- -k interrupted`.

    Needs Chromium, on PATH or in CHROMIUM; without it everything is skipped.  Where PICTURES names
    a folder, the pictures of the documentation are put there.
    """
    install_optional(session)
    session.install(EXTRAS, *TEST, *BROWSER)
    install_page_tools(session)
    session.run("pytest", "tests/browser", *session.posargs)


@nox.session(default=False)
def conformance(session: nox.Session) -> None:
    """Hold what travels against a JSON Schema of the protocol: `nox -s conformance -- SCHEMA.json`.

    That is every event class, and all that the simulator says in the tests of `SIMULATED`.
    """
    if len(session.posargs) != 1:
        session.error(
            "say which JSON Schema to hold the events against: nox -s conformance -- SCHEMA.json"
        )
    schema = Path(session.invoked_from, session.posargs[0])
    session.install(EXTRAS, *TEST)
    session.run("python", "tests/conformance.py", str(schema))
    session.env["REALTIME_SCHEMA"] = str(schema)
    session.run("pytest", "-q", *PARALLEL, *SIMULATED)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation as a site; broken links, or a picture that fails, are errors."""
    session.install(".", *DOCS)
    folder = Path(session.create_tmp())
    # Measured anew every time, so it is not the picture that is in the repository.
    session.run("python", "docs/barge_in_picture.py", str(folder / "barge-in.svg"))
    pages = folder / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    for linked in ("docs", "examples"):
        shutil.copytree(ROOT / linked, pages / linked, ignore=shutil.ignore_patterns("__pycache__"))
    for page in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"):
        shutil.copy(ROOT / page, pages / page)
    config = folder / "mkdocs.json"  # JSON is YAML, too
    config.write_text(
        json.dumps(
            {
                "site_name": "realtime_trio",
                "docs_dir": str(pages.resolve()),
                "site_dir": str(folder.resolve() / "site"),
            }
        )
    )
    session.run("mkdocs", "build", "--strict", "--config-file", str(config))


@nox.session(python=SUPPORTED[0], default=False)
def minimums(session: nox.Session) -> None:
    """Run the tests on the oldest Python with the oldest dependencies that are supported."""
    project = PYPROJECT["project"]
    declared = [
        *project["dependencies"],
        *project["optional-dependencies"]["cli"],
        *project["optional-dependencies"]["proxy"],
        *project["optional-dependencies"]["prices"],
    ]
    pins = [
        f"{required.name}=={bound.version}"
        for required in map(Requirement, declared)
        for bound in required.specifier
        if bound.operator == ">="
    ]
    constraints = Path(session.create_tmp()) / "minimums.txt"
    constraints.write_text("\n".join(pins) + "\n")
    session.install("--constraint", str(constraints), EXTRAS, *TEST)
    session.run("pytest", *PARALLEL, *session.posargs)
